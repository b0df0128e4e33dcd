/* SPDX-License-Identifier: MPL-2.0
 *
 *  The whole client without a socket: streams. The test plays broker and workers, and takes the items. */

#include "check.h"
#include "stage.h"

#define BROKER CHANNEL_BROKER

static const weft_call_options_t direct = {.via = WEFT_VIA_DIRECT};
static const weft_call_options_t routed = {.via = WEFT_VIA_BROKER};

/*  An item whose body is one small number. */
static void item (uint64_t alias, uint64_t id, uint64_t index, int64_t number)
{
    buffer_t out, body;
    buffer_init (&out, 65536);
    buffer_init (&body, 100);
    mp_write_int (&body, number);
    wire_write_item (&out, id, index, body.data, body.size, false);
    stage_say (alias, &out);
    buffer_fini (&out);
    buffer_fini (&body);
}

static void items (uint64_t alias, uint64_t id, uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++)
        item (alias, id, i, (int64_t) i);
}

static void end (uint64_t alias, uint64_t id)
{
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_reply (&out, id, WEFT_OK, NULL, 0, false, NULL);
    stage_say (alias, &out);
    buffer_fini (&out);
}

/*  Takes one; -1 if there is none. */
static int64_t take (weft_call_t *call)
{
    intake_item_t *taken = channel_take_item (&stage.channel, call, stage.now_us);
    int64_t number = -1;
    if (!taken)
        return -1;
    mp_reader_t reader = mp_reader (intake_bytes (taken), taken->size);
    CHECK (mp_read_int (&reader, &number));
    return number;
}

TEST (a_stream_asks_for_items_takes_them_and_ends)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 4, &direct);
    const stage_record_t *request = stage_record (WIRE_REQUEST);
    const uint64_t id = request->id;
    CHECK_INT (request->credit, 4);
    CHECK_INT (request->remaining_ms, WIRE_NO_DEADLINE);
    items (alias, id, 0, 2);
    CHECK (channel_next_fresh (&stage.channel) == call);
    CHECK (!channel_next_fresh (&stage.channel)); /* once for both */
    CHECK_INT (take (call), 0);
    CHECK (!stage_record (WIRE_CREDIT));
    CHECK_INT (take (call), 1);
    const stage_record_t *credit = stage_record (WIRE_CREDIT);
    CHECK_INT (credit->id, id);
    CHECK_INT (credit->number, 2);
    items (alias, id, 2, 4);
    end (alias, id);
    stage_check (call, WEFT_OK, WEFT_EXECUTED_YES);
    for (int64_t i = 2; i < 6; i++)
        CHECK_INT (take (call), i); /* also after the end */
    CHECK_INT (take (call), -1);
    CHECK (!stage_record (WIRE_CREDIT) && !stage_record (WIRE_CANCEL));
    stage_free (call);
    stage_end ();
}

TEST (a_stream_goes_through_the_broker_as_well)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call = stage_stream ("Test.Get", 1, &routed);
    const stage_record_t *request = stage_request ("Test.Get");
    CHECK_INT (request->alias, BROKER);
    const uint64_t id = request->id;
    items (BROKER, id, 0, 1);
    CHECK_INT (take (call), 0);
    CHECK_INT (stage_record (WIRE_CREDIT)->alias, BROKER);
    end (BROKER, id);
    stage_check (call, WEFT_OK, WEFT_EXECUTED_YES);
    stage_free (call);
    stage_end ();
}

TEST (a_gap_is_a_fault_and_the_worker_is_told_to_stop)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    items (alias, id, 0, 1);
    CHECK_INT (take (call), 0);
    item (alias, id, 2, 2);
    CHECK_INT (stage_record (WIRE_CANCEL)->id, id);
    stage_check (call, WEFT_INTERNAL, WEFT_EXECUTED_MAYBE);
    stage_check_text (call, "item 2 came instead of item 1");
    item (alias, id, 1, 1); /* late */
    CHECK_INT (take (call), -1);
    stage_free (call);
    stage_end ();
}

TEST (a_worker_that_sends_more_than_was_asked_for_is_stopped)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    items (alias, id, 0, 64);
    CHECK_INT (take (call), 0);
    CHECK (!stage_done (call));
    item (alias, id, 64, 64);
    CHECK_INT (stage_record (WIRE_CANCEL)->id, id);
    stage_check (call, WEFT_INTERNAL, WEFT_EXECUTED_MAYBE);
    for (int64_t i = 1; i < 64; i++)
        CHECK_INT (take (call), i); /* they were right */
    stage_free (call);
    stage_end ();
}

TEST (a_reply_with_a_body_is_no_end_of_a_stream)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    items (alias, id, 0, 1);
    stage_reply (alias, id, 5); /* of a worker that sends its last item so, which nobody would see */
    stage_check (call, WEFT_INTERNAL, WEFT_EXECUTED_YES);
    stage_check_text (call, "the stream ended with a reply of 1 bytes; it takes none");
    CHECK_INT (take (call), 0);
    CHECK_INT (take (call), -1);
    stage_free (call);
    stage_end ();
}

TEST (a_lost_worker_ends_its_stream_after_what_was_had)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct); /* Get is idempotent: it could be tried again */
    items (alias, stage_record (WIRE_REQUEST)->id, 0, 2);
    CHECK_INT (take (call), 0);
    stage_link (alias, TRANSPORT_LOST);
    stage_check (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    CHECK_INT (take (call), 1);
    CHECK_INT (take (call), -1);
    CHECK (!stage_record (WIRE_REQUEST));
    stage_free (call);
    stage_end ();
}

TEST (a_stream_of_which_nothing_was_taken_is_tried_again_from_its_beginning)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_stream ("Test.Get", 64, &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .retry = WEFT_RETRY_FAILOVER});
    const channel_command_t *first = stage_command (CHANNEL_CONNECT);
    const uint64_t one = first->alias;
    stage_link (one, TRANSPORT_READY);
    stage_welcome (one);
    items (one, stage_request ("Test.Get")->id, 0, 2); /* here, but nobody looked */
    stage_link (one, TRANSPORT_LOST);
    CHECK (!stage_done (call));
    CHECK_INT (take (call), -1);
    stage_pass (100 * STAGE_MS);
    const uint64_t two = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (two, TRANSPORT_READY);
    stage_welcome (two);
    const stage_record_t *request = stage_request ("Test.Get");
    const uint64_t id = request->id;
    CHECK_INT (request->credit, 64);
    item (two, id, 0, 40);
    CHECK_INT (take (call), 40);
    end (two, id);
    stage_check (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_attempts (call), 2);
    stage_free (call);
    stage_end ();
}

TEST (an_item_that_was_taken_makes_no_of_a_worker_a_maybe)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    items (alias, id, 0, 1);
    CHECK_INT (take (call), 0);
    stage_refuse (alias, id, WEFT_DRAINING, "going");
    stage_check (call, WEFT_DRAINING, WEFT_EXECUTED_MAYBE);
    stage_free (call);
    stage_end ();
}

TEST (a_cancelled_stream_tells_the_worker_and_forgets_what_came)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    items (alias, id, 0, 2);
    channel_cancel (&stage.channel, call, stage.now_us);
    CHECK_INT (stage_record (WIRE_CANCEL)->id, id);
    stage_check (call, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
    CHECK_INT (take (call), -1);
    stage_free (call);
    stage_end ();
}

TEST (a_stream_without_a_deadline_outlives_any_and_one_with_it_ends)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *endless = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    weft_call_t *bounded = stage_stream ("Test.Get", 64, &(weft_call_options_t){.timeout_ms = 700});
    CHECK_INT (stage_record (WIRE_REQUEST)->remaining_ms, 700);
    stage_pass (8000 * STAGE_MS);
    stage_check (bounded, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    CHECK (!weft_call_done (endless));
    item (alias, id, 0, 5);
    CHECK_INT (take (endless), 5);
    end (alias, id);
    stage_check (endless, WEFT_OK, WEFT_EXECUTED_YES);
    stage_free (endless);
    stage_free (bounded);
    stage_end ();
}

TEST (a_stream_waits_for_its_connection_no_longer_than_any_call)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    stage_pass (8000 * STAGE_MS);
    CHECK (stage_done (call));
    CHECK (weft_call_status (call) != WEFT_OK);
    stage_free (call);
    stage_end ();
}

TEST (an_item_that_does_not_fit_its_type_ends_the_stream)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    items (alias, id, 0, 2);
    CHECK_INT (take (call), 0);
    channel_spoil_item (&stage.channel, call, "what is this", stage.now_us);
    CHECK_INT (stage_record (WIRE_CANCEL)->id, id);
    stage_check (call, WEFT_INVALID, WEFT_EXECUTED_YES);
    CHECK_STR (weft_call_text (call), "reading item 0: what is this");
    CHECK_INT (take (call), -1);
    stage_free (call);
    stage_end ();
}

TEST (streams_are_not_broadcast_and_take_no_request_key)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_stream ("Test.Get", 64, &(weft_call_options_t){.balance = WEFT_BALANCE_BROADCAST});
    stage_check (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    stage_check_text (call, "Test.Get: a stream goes to one worker");
    stage_free (call);
    call = stage_stream ("Test.Get", 64, &(weft_call_options_t){.request_key = "once"});
    stage_check (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    stage_check_text (call, "Test.Get: a stream takes no request key");
    stage_free (call);
    stage_end ();
}

TEST (a_long_stream_says_nothing_of_how_quick_its_worker_is)
{
    const uint64_t alias = stage_begin_connected ();
    endpoint_t *endpoint = endpoints_find (&stage.channel.endpoints, "w1", 2);
    const int64_t latency_us = endpoint->latency_us;
    weft_call_t *call = stage_stream ("Test.Get", 64, &direct);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    stage_pass (7000 * STAGE_MS);
    end (alias, id);
    stage_check (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (endpoint->latency_us, latency_us);
    stage_free (call);
    stage_end ();
}
