/* SPDX-License-Identifier: MPL-2.0
 *
 *  The whole client without a socket: the test plays broker and workers, and moves the time. Calls, their replies and their ends. */

#include "check.h"
#include "stage.h"

#define BROKER CHANNEL_BROKER

static const weft_call_options_t direct = {.via = WEFT_VIA_DIRECT};
static const weft_call_options_t routed = {.via = WEFT_VIA_BROKER};

/*  Calls and replies. */

TEST (n1_n4_s6_a_call_carries_what_was_asked_and_the_request_says_it)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", NULL);
    size_t size;
    CHECK_STR (weft_call_method (call), "Test.Get");
    CHECK_MEM (weft_call_args_body (call, &size), 1, "\x07", 1);
    CHECK (!weft_call_done (call));
    const stage_record_t *request = stage_record (WIRE_REQUEST);
    CHECK_STR (request->method, "Test.Get");
    CHECK_MEM (request->body, request->body_size, "\x07", 1);
    CHECK_INT (request->remaining_ms, 5000);
    CHECK (request->id > 0);
    stage_reply (alias, request->id, 9);
    CHECK_INT (stage_result (call), 9);
    stage_free (call);
    stage_end ();
}

TEST (n2_s7_a_call_is_handed_back_once_whatever_comes_after)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", NULL);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    stage_reply (alias, id, 1);
    stage_reply (alias, id, 2);
    stage_refuse (alias, id, WEFT_INTERNAL, "late");
    channel_cancel (&stage.channel, call, stage.now_us);
    stage_pass (10000 * STAGE_MS);
    stage_link (alias, TRANSPORT_LOST);
    CHECK_INT (stage_result (call), 1); /* stage_done checks that it came out once */
    CHECK_INT (channel_stats (&stage.channel).late, 2);
    stage_free (call);
    stage_end ();
}

TEST (n3_sequence_numbers_and_ids_increase)
{
    const uint64_t alias = stage_begin_connected ();
    uint64_t last_sequence = 0, last_id = 0;
    for (int i = 0; i < 50; i++) {
        weft_call_t *call = stage_call ("Test.Get", NULL);
        const stage_record_t *request = stage_record (WIRE_REQUEST);
        CHECK (weft_call_sequence (call) > last_sequence && request->id > last_id);
        last_sequence = weft_call_sequence (call);
        last_id = request->id;
        stage_reply (alias, last_id, i);
        CHECK_INT (stage_result (call), i);
        stage_free (call);
    }
    stage_end ();
}

TEST (n6_s8_replies_in_any_order_find_their_calls)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *calls [5];
    uint64_t ids [5];
    for (int i = 0; i < 5; i++) {
        calls [i] = stage_call ("Test.Get", NULL);
        ids [i] = stage_record (WIRE_REQUEST)->id;
    }
    static const int order [] = {3, 0, 4, 2, 1};
    for (int i = 0; i < 5; i++)
        stage_reply (alias, ids [order [i]], order [i] * order [i]);
    for (int i = 0; i < 5; i++) {
        CHECK_INT (stage_result (calls [i]), i * i);
        stage_free (calls [i]);
    }
    stage_end ();
}

TEST (n7_unknown_replies_are_counted_and_dropped)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", NULL);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    stage_reply (alias, id + 1, 13);
    stage_reply (alias, 0, 13);
    stage_reply (BROKER, id, 13); /* not from where it was asked */
    CHECK (!stage_done (call));
    CHECK_INT (channel_stats (&stage.channel).late, 3);
    stage_reply (alias, id, 7);
    CHECK_INT (stage_result (call), 7);
    stage_free (call);
    stage_end ();
}

TEST (n8_an_error_reply_ends_its_call_alone)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *bad = stage_call ("Test.Get", NULL), *good = stage_call ("Test.Get", NULL);
    const uint64_t bad_id = stage_record (WIRE_REQUEST)->id, good_id = stage_record (WIRE_REQUEST)->id;
    buffer_t out;
    wire_info_t info = wire_info_none ();
    info.code = 34;
    info.text = text_of ("overflow");
    info.handler_us = 1500;
    buffer_init (&out, 65536);
    wire_write_reply (&out, bad_id, WEFT_APP_ERROR, NULL, 0, false, &info);
    stage_say (alias, &out);
    buffer_fini (&out);
    stage_check (bad, WEFT_APP_ERROR, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_code (bad), 34);
    CHECK_STR (weft_call_text (bad), "overflow");
    CHECK_INT (weft_call_origin (bad), WEFT_ORIGIN_APPLICATION);
    CHECK_INT (weft_call_ledger (bad).handler_us, 1500);
    stage_reply (alias, good_id, 2);
    CHECK_INT (stage_result (good), 2);
    stage_free (bad);
    stage_free (good);
    stage_end ();
}

TEST (what_a_peer_says_of_a_failure_is_one_line_here)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Set", NULL);
    stage_refuse (alias, stage_request ("Test.Set")->id, WEFT_APP_ERROR, "two\nlines\033[31m\177");
    stage_check (call, WEFT_APP_ERROR, WEFT_EXECUTED_YES);
    CHECK_STR (weft_call_text (call), "two lines [31m ");
    stage_free (call);
    stage_end ();
}

TEST (n9_a_body_that_does_not_decode_fails_that_call_and_the_connection_goes_on)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", NULL);
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_reply (&out, stage_record (WIRE_REQUEST)->id, WEFT_OK, "\xa1x", 2, false, NULL);
    stage_say (alias, &out);
    buffer_fini (&out);
    int64_t number;
    CHECK (stage_done (call));
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &number)), WEFT_INVALID);
    stage_check (call, WEFT_INVALID, WEFT_EXECUTED_YES);
    CHECK (strncmp (weft_call_text (call), "reading body: ", 14) == 0);
    stage_free (call);
    call = stage_call ("Test.Get", NULL);
    stage_reply (alias, stage_record (WIRE_REQUEST)->id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);
    stage_end ();
}

TEST (a_malformed_message_is_answered_and_what_came_before_stands)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *one = stage_call ("Test.Get", NULL), *two = stage_call ("Test.Get", NULL);
    const uint64_t first = stage_record (WIRE_REQUEST)->id, second = stage_record (WIRE_REQUEST)->id;
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_reply (&out, first, WEFT_OK, "\x05", 1, false, NULL);
    buffer_append (&out, "\xc1", 1);
    wire_write_reply (&out, second, WEFT_OK, "\x06", 1, false, NULL);
    stage_say (alias, &out);
    buffer_fini (&out);
    CHECK_INT (stage_result (one), 5);
    CHECK (!stage_done (two));
    CHECK (stage_record (WIRE_REFUSED));
    CHECK_INT (channel_stats (&stage.channel).malformed, 1);
    stage_free (one);
    stage_free (two);
    stage_end ();
}

static void say_hello_first (uint64_t alias)
{
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_refused (&out, WEFT_INVALID, "say HELLO first");
    stage_say (alias, &out);
    buffer_fini (&out);
}

/*  One without memory forgot us, and could not hang up: all that was said after that was dropped, call for call. */
TEST (a_peer_that_does_not_know_us_any_more_is_connected_to_anew)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *one = stage_call ("Test.Set", &(weft_call_options_t){.via = WEFT_VIA_DIRECT});
    CHECK (stage_record (WIRE_REQUEST));
    say_hello_first (alias);
    stage_check (one, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    CHECK (stage_command (CHANNEL_DISCONNECT));
    weft_call_t *two = stage_call ("Test.Set", &(weft_call_options_t){.via = WEFT_VIA_BROKER});
    CHECK (stage_record (WIRE_REQUEST));
    say_hello_first (CHANNEL_BROKER);
    stage_check (two, WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE);
    CHECK (stage_command (CHANNEL_CLOSE_BROKER));
    CHECK_INT (channel_stats (&stage.channel).malformed, 0);
    stage_free (one);
    stage_free (two);
    stage_end ();
}

TEST (s11_the_call_timeout_says_who_did_not_reply_and_tells_him)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.timeout_ms = 500});
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    stage_pass (499 * STAGE_MS);
    CHECK (!stage_done (call));
    stage_pass (1 * STAGE_MS);
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    CHECK_STR (weft_call_text (call), "no reply from worker w1 in 500 ms");
    const stage_record_t *cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel && cancel->alias == alias && cancel->id == id);
    stage_reply (alias, id, 1);
    CHECK_INT (channel_stats (&stage.channel).late, 1);
    stage_free (call);
    stage_end ();
}

/*  Hands a reply in although the time is up, as happens to a driver that wakes late. */
static weft_call_t *reply_late (bool ok)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.timeout_ms = 500});
    const uint64_t id = stage_request ("Test.Get")->id;
    stage.now_us += 500 * STAGE_MS;
    if (ok)
        stage_reply (alias, id, 3);
    else
        stage_refuse (alias, id, WEFT_APP_ERROR, "interrupted");
    return call;
}

TEST (s11_a_failure_that_comes_when_time_is_up_is_the_deadline)
{
    weft_call_t *call = reply_late (false);
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    CHECK_STR (weft_call_text (call), "no reply from worker w1 in 500 ms");
    stage_free (call);
    stage_end ();
    call = reply_late (true); /* but a result that is there is not thrown away */
    CHECK_INT (stage_result (call), 3);
    stage_free (call);
    stage_end ();
}

TEST (s11_a_call_that_never_left_certainly_did_not_run)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call =
        stage_call ("Test.Get", &(weft_call_options_t){.timeout_ms = 100, .via = WEFT_VIA_DIRECT});
    CHECK (stage_command (CHANNEL_CONNECT));
    stage_pass (100 * STAGE_MS);
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO);
    CHECK_STR (weft_call_text (call),
               "after 100 ms still waiting for a connection to worker w1 at tcp://w1:1");
    stage_free (call);
    stage_end ();
}

TEST (s11_a_call_whose_connection_comes_when_time_is_up_does_not_leave)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.timeout_ms = 100, .via = WEFT_VIA_DIRECT});
    weft_call_t *patient = stage_call ("Test.Set", &direct);
    stage.now_us += 200 * STAGE_MS; /* the process stood still: no tick came before the connection */
    stage_connect ("w1");
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO);
    stage_check_text (call, "still waiting for a connection to worker w1");
    CHECK (stage_record (WIRE_REQUEST)->id);
    CHECK (!stage_record (WIRE_REQUEST));
    CHECK (!stage_record (WIRE_CANCEL));
    CHECK (!stage_done (patient));
    stage_free (call);
    stage_free (patient);
    stage_end ();
}

TEST (s11_a_call_whose_list_comes_when_time_is_up_does_not_leave)
{
    stage_begin_connected ();
    weft_call_t *call = stage_call ("Other.Get", &(weft_call_options_t){.timeout_ms = 100});
    weft_call_t *patient = stage_call ("Other.Set", NULL);
    const uint64_t watch = stage_request ("weft.Registry.Watch")->id;
    stage.now_us += 200 * STAGE_MS; /* the process stood still */
    stage_list (watch, 0, 1, true, (const char *[]){"w1 alive", NULL}, true);
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO);
    stage_check_text (call, "still waiting for a list of Other from broker tcp://b1:1");
    const stage_record_t *request = stage_record (WIRE_REQUEST);
    CHECK (request);
    CHECK_STR (request->method, "Other.Set");
    CHECK (!stage_record (WIRE_REQUEST));
    stage_free (call);
    stage_free (patient);
    stage_end ();
}

/*  A handler that notices that time is up fails because of that, and may have done anything; who turned it down did not run it. */
TEST (s11_what_is_said_when_time_is_up_tells_whether_it_ran)
{
    static const struct {
        weft_status_t status;
        weft_executed_t executed;
    } cases [] = {{WEFT_OVERLOADED, WEFT_EXECUTED_NO}, {WEFT_DRAINING, WEFT_EXECUTED_NO}, {WEFT_APP_ERROR, WEFT_EXECUTED_MAYBE},
                  {WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint64_t alias = stage_begin_connected ();
        weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.timeout_ms = 100, .via = WEFT_VIA_DIRECT});
        stage.now_us += 100 * STAGE_MS;
        stage_refuse (alias, stage_request ("Test.Get")->id, cases [i].status, "");
        stage_check (call, WEFT_DEADLINE_EXCEEDED, cases [i].executed);
        stage_free (call);
        stage_end ();
    }
}

TEST (the_ledger_says_how_long_a_call_waited_here)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call = stage_call ("Test.Get", &direct);
    stage_pass (30 * STAGE_MS);
    const uint64_t alias = stage_connect ("w1");
    const uint64_t id = stage_request ("Test.Get")->id;
    stage_pass (12 * STAGE_MS);
    stage_reply (alias, id, 1);
    CHECK_INT (stage_result (call), 1);
    CHECK_INT (weft_call_ledger (call).client_queue_us, 30 * STAGE_MS);
    CHECK_INT (weft_call_ledger (call).total_us, 42 * STAGE_MS);
    stage_free (call);
    stage_end ();
}

/*  Sends a reply that tells of its time. */
static void reply_with_times (uint64_t alias, uint64_t id, weft_status_t status, uint64_t queue_us, uint64_t handler_us)
{
    buffer_t out;
    wire_info_t info = wire_info_none ();
    info.queue_us = queue_us;
    info.handler_us = handler_us;
    buffer_init (&out, 65536);
    wire_write_reply (&out, id, status, "\x05", status == WEFT_OK, false, &info);
    stage_say (alias, &out);
    buffer_fini (&out);
}

TEST (the_ledger_tells_of_the_last_attempt_and_of_all_before_it_together)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", &direct);
    uint64_t id = stage_request ("Test.Get")->id;
    const int64_t began_us = stage.now_us;
    stage_pass (20 * STAGE_MS);
    reply_with_times (alias, id, WEFT_OVERLOADED, 19 * STAGE_MS, 0);
    const stage_record_t *request;
    while (!(request = stage_request ("Test.Get")))
        stage_pass (1 * STAGE_MS);
    const int64_t again_us = stage.now_us;
    CHECK (again_us > began_us + 20 * STAGE_MS);
    stage_pass (8 * STAGE_MS);
    reply_with_times (alias, request->id, WEFT_OK, 2 * STAGE_MS, 5 * STAGE_MS);
    CHECK_INT (stage_result (call), 5);
    const weft_ledger_t ledger = weft_call_ledger (call);
    CHECK_INT (ledger.earlier_us, again_us - began_us);
    CHECK_INT (ledger.worker_queue_us, 2 * STAGE_MS);
    CHECK_INT (ledger.handler_us, 5 * STAGE_MS);
    CHECK_INT (ledger.total_us, again_us - began_us + 8 * STAGE_MS);
    stage_free (call);
    stage_end ();
}

/*  Started 10 ms before its only worker asked for a pause of 30 ms; may last 100 ms. */
static weft_call_t *call_put_off (uint64_t alias)
{
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .timeout_ms = 100});
    const uint64_t id = stage_request ("Test.Get")->id;
    buffer_t out;
    wire_info_t info = wire_info_none ();
    info.queue_us = 9 * STAGE_MS;
    info.retry_after_ms = 30;
    stage_pass (10 * STAGE_MS);
    buffer_init (&out, 65536);
    wire_write_reply (&out, id, WEFT_OVERLOADED, NULL, 0, false, &info);
    stage_say (alias, &out);
    buffer_fini (&out);
    return call;
}

TEST (the_ledger_of_a_call_that_nobody_answered_tells_what_came_before_it)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = call_put_off (alias);
    stage_pass (90 * STAGE_MS);
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    weft_ledger_t ledger = weft_call_ledger (call);
    CHECK_INT (ledger.worker_queue_us, 0); /* that was the first attempt's */
    CHECK_INT (ledger.earlier_us, 40 * STAGE_MS);
    CHECK_INT (ledger.total_us, 100 * STAGE_MS);
    stage_free (call);
    stage_forget ();

    call = call_put_off (alias);
    stage_pass (20 * STAGE_MS);
    channel_cancel (&stage.channel, call, stage.now_us);
    stage_check (call, WEFT_CANCELLED, WEFT_EXECUTED_NO); /* between two attempts */
    ledger = weft_call_ledger (call);
    CHECK_INT (ledger.worker_queue_us, 0);
    CHECK_INT (ledger.earlier_us, 30 * STAGE_MS);
    CHECK_INT (ledger.total_us, 30 * STAGE_MS);
    stage_free (call);
    stage_end ();
}

TEST (s10_s12_the_three_timeouts_have_texts_of_their_own)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call =
        stage_call ("Test.Get", &(weft_call_options_t){.connect_timeout_ms = 50, .via = WEFT_VIA_DIRECT});
    CHECK (stage_command (CHANNEL_CONNECT));
    stage_pass (50 * STAGE_MS);
    stage_check (call, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    CHECK_STR (weft_call_text (call), "no connection to worker w1 at tcp://w1:1 in 50 ms");
    stage_free (call);
    stage_end ();

    const uint64_t alias = stage_begin_connected ();
    call = stage_call ("Test.Get", NULL);
    stage_refuse (alias, stage_record (WIRE_REQUEST)->id, WEFT_HANDLER_TIMEOUT,
                  "the handler took longer than 20 ms");
    stage_check (call, WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_origin (call), WEFT_ORIGIN_WORKER);
    CHECK_INT (weft_call_attempts (call), 1);
    stage_free (call);
    stage_end ();
}

TEST (a_cancelled_call_ends_at_once_and_the_worker_is_told)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", NULL);
    const uint64_t id = stage_record (WIRE_REQUEST)->id;
    channel_cancel (&stage.channel, call, stage.now_us);
    stage_check (call, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
    const stage_record_t *cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel && cancel->id == id);
    stage_refuse (alias, id, WEFT_CANCELLED, "");
    CHECK_INT (channel_stats (&stage.channel).late, 0); /* an answer that was asked for */
    stage_free (call);
    stage_end ();
}

TEST (n10_a_lost_worker_ends_its_calls_at_once_and_only_its)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Set", &direct), *other = stage_call ("Test.Set", &routed);
    stage_link (alias, TRANSPORT_LOST);
    stage_check (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_check_text (call, "w1");
    CHECK (!stage_done (other));
    stage_link (BROKER, TRANSPORT_LOST);
    stage_check (other, WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_check_text (other, "tcp://b1:1");
    stage_free (call);
    stage_free (other);
    stage_end ();
}

TEST (n10_closing_ends_all_with_shutdown_and_says_goodbye)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *sent = stage_call ("Test.Set", &direct), *waiting = stage_call ("Nix.Get", NULL);
    stage_record (WIRE_GOODBYE);
    channel_close (&stage.channel, stage.now_us);
    stage_check (sent, WEFT_SHUTDOWN, WEFT_EXECUTED_MAYBE);
    stage_check (waiting, WEFT_SHUTDOWN, WEFT_EXECUTED_NO);
    const stage_record_t *cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel && cancel->alias == alias);
    CHECK (stage_record (WIRE_GOODBYE));
    CHECK (stage_record (WIRE_GOODBYE));
    weft_call_t *after = stage_call ("Test.Get", NULL);
    stage_check (after, WEFT_SHUTDOWN, WEFT_EXECUTED_NO);
    stage_free (sent);
    stage_free (waiting);
    stage_free (after);
    stage_end ();
}

TEST (n14_ill_formed_methods_and_odd_options_are_invalid_at_once)
{
    stage_begin (NULL);
    static const char *const methods [] = {"", "Test", "Test.", ".Get", "Te st.Get", "Test..Get"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        weft_call_t *call = stage_call (methods [i], NULL);
        stage_check (call, WEFT_INVALID, WEFT_EXECUTED_NO);
        stage_check_text (call, "ill-formed");
        stage_free (call);
    }
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.timeout_ms = -1});
    stage_check (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    stage_check_text (call, "timeout_ms");
    stage_free (call);
    stage_end ();
}

TEST (s3_the_codec_is_offered_first_and_named_in_each_request)
{
    channel_options_t options = stage_options ();
    options.codec = CODEC_JSON;
    stage_begin (&options);
    stage_link (BROKER, TRANSPORT_READY);
    weft_call_t *call = stage_call ("Test.Get", &routed);
    const stage_record_t *watch = stage_record (WIRE_REQUEST), *request;
    CHECK_STR (watch->codec, "msgpack"); /* what we read ourselves we ask for in our own codec */
    CHECK ((request = stage_record (WIRE_REQUEST)));
    CHECK_STR (request->method, "Test.Get");
    CHECK_STR (request->codec, "json");
    stage_free (call);
    stage_end ();
}

/*  The other side reads a body in the first codec of our HELLO if none is named. */
TEST (s3_a_body_in_msgpack_is_named_by_a_client_that_speaks_json)
{
    channel_options_t options = stage_options ();
    options.codec = CODEC_JSON;
    stage_begin_listed (&options, 1);
    weft_call_t *call = call_new (&stage.pool);
    mp_write_int (&call->args, 7);
    CHECK (call_ask (call, "Test.Get", &routed, &options.call));
    call->codec = CODEC_MSGPACK; /* weft_client_start_body */
    channel_start (&stage.channel, call, stage.now_us);
    const stage_record_t *request = stage_request ("Test.Get");
    CHECK (request);
    CHECK_STR (request->codec, "msgpack");
    stage_free (call);
    stage_end ();
}

TEST (s3_a_worker_that_knows_no_common_codec_is_a_clear_error)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call = stage_call ("Test.Set", &direct);
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    const uint64_t alias = connect->alias;
    stage_link (alias, TRANSPORT_READY);
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_refused (&out, WEFT_INVALID, "unknown codec \"xml\"; known: msgpack, json, raw");
    stage_say (alias, &out);
    buffer_fini (&out);
    stage_pass (10 *
                STAGE_MS); /* it was refused before anything ran, so others are looked for: there are none */
    stage_check (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
    stage_check_text (call, "known: msgpack, json, raw");
    stage_free (call);
    stage_end ();
}

TEST (bodies_over_the_limits_do_not_leave)
{
    channel_options_t options = stage_options ();
    options.body_max = 1000;
    stage_begin_listed (&options, 1);
    weft_call_t *call = call_new (&stage.pool);
    buffer_extend (&call->args, 1001);
    call_ask (call, "Test.Get", NULL, &stage.channel.options.call);
    channel_start (&stage.channel, call, stage.now_us);
    stage_check (call, WEFT_TOO_LARGE, WEFT_EXECUTED_NO);
    stage_check_text (call, "1001");
    stage_free (call);
    stage_end ();
}

TEST (bodies_over_the_other_sides_limit_do_not_leave)
{
    channel_options_t options = stage_options ();
    options.body_max = 1000000;
    stage_begin_listed (&options, 1); /* WELCOME said 100000 */
    weft_call_t *call = call_new (&stage.pool);
    memset (buffer_extend (&call->args, 100001), 0, 100001);
    call_ask (call, "Test.Get", &routed, &stage.channel.options.call);
    CHECK (call_seal_args (call));
    channel_start (&stage.channel, call, stage.now_us);
    stage_check (call, WEFT_TOO_LARGE, WEFT_EXECUTED_NO);
    stage_free (call);
    stage_end ();
}

TEST (too_many_open_calls_are_refused)
{
    channel_options_t options = stage_options ();
    options.calls_max = 2;
    stage_begin (&options);
    weft_call_t *one = stage_call ("Test.Get", NULL), *two = stage_call ("Test.Get", NULL),
                *three = stage_call ("Test.Get", NULL);
    CHECK (!stage_done (one) && !stage_done (two));
    stage_check (three, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    stage_free (one);
    stage_free (two);
    stage_free (three);
    stage_end ();
}
