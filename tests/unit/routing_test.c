/* SPDX-License-Identifier: MPL-2.0 */

#include "broker_harness.h"

TEST (a_call_goes_to_a_worker_and_its_reply_back)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client ();
    say_call (caller, 7, "Arith.Add", 1000);
    const wire_record_t *request = only (worker, WIRE_REQUEST);
    CHECK (request->id != 7);
    CHECK (text_is (request->method, "Arith.Add"));
    CHECK_INT (request->remaining_ms, 1000);
    CHECK_MEM (request->body, request->body_size, "\x01", 1);
    say_reply (worker, request->id);
    const wire_record_t *reply = only (caller, WIRE_REPLY);
    CHECK_INT (reply->id, 7);
    CHECK_INT (reply->status, WEFT_OK);
    CHECK_MEM (reply->body, reply->body_size, "\x2a", 1);
    CHECK_INT (broker_gauges (broker).calls, 0);
    finish ();
}

TEST (a_record_written_in_an_unusual_way_is_written_anew)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client ();
    buffer_t *out = records ();
    mp_write_array (out, 5);
    mp_write_uint (out, WIRE_REQUEST);
    mp_write_uint (out, 7); /* not fixed */
    mp_write_text (out, "Arith.Add");
    mp_write_uint (out, 1000);
    mp_write_bin (out, "\x01", 1);
    say (caller, out);
    const wire_record_t *request = only (worker, WIRE_REQUEST);
    CHECK (request->id_fixed && request->remaining_at);
    out = records ();
    mp_write_array (out, 4);
    mp_write_uint (out, WIRE_REPLY);
    mp_write_uint (out, request->id);
    mp_write_uint (out, 0);
    mp_write_bin (out, "\x2a", 1);
    say (worker, out);
    CHECK_INT (only (caller, WIRE_REPLY)->id, 7);
    finish ();
}

TEST (n14_n15_each_wrong_name_has_its_own_error)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client ();
    say_call (caller, 1, "Arith", 1000);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_INVALID, 0, "ill-formed");
    say_call (caller, 2, "Geo.Area", 1000);
    check_reply (only (caller, WIRE_REPLY), 2, WEFT_NO_SERVICE, 0, "no service \"Geo\" was ever registered");
    say_call (caller, 3, "Arith.Nope", 1000);
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_UNIMPLEMENTED, 0, "service \"Arith\" has no method \"Nope\"");
    lose (worker);
    say_call (caller, 4, "Arith.Add", 1000);
    check_reply (only (caller, WIRE_REPLY), 4, WEFT_NO_WORKERS, 0, "no worker of service \"Arith\" is live");
    say_call (caller, 5, "weft.Worker.Ping", 1000);
    check_reply (only (caller, WIRE_REPLY), 5, WEFT_INVALID, 0, "\"worker\"");
    say_call (caller, 6, "weft.Registry.Nope", 1000);
    check_reply (only (caller, WIRE_REPLY), 6, WEFT_UNIMPLEMENTED, 0, "Describe, Drain, List, Watch");
    finish ();
}

TEST (n7_late_double_and_forged_replies_are_counted_and_dropped)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *thief = worker_of (2, "Geo", 4), *caller = client ();
    say_call (caller, 1, "Arith.Add", 1000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    say_reply (thief, id);
    say_reply (caller, id);
    say_reply (worker, id + 1);
    check_silent (caller);
    say_reply (worker, id);
    only (caller, WIRE_REPLY);
    say_reply (worker, id);
    check_silent (caller);
    check_silent (worker); /* nor answered */
    CHECK_INT (broker_counters (broker)->late, 4);
    say_call (caller, 2, "Arith.Add", 1000);
    only (worker, WIRE_REQUEST);
    finish ();
}

TEST (an_id_that_is_open_is_refused)
{
    start ();
    worker_of (1, "Arith", 1);
    peer_t *caller = client ();
    say_call (caller, 1, "Arith.Add", 1000);
    say_call (caller, 1, "Arith.Add", 1000);
    check_refused (caller, WEFT_INVALID, "open already");
    finish ();
}

TEST (ids_that_do_not_count_up_are_told_apart_all_the_same)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 9), *caller = client ();
    for (uint64_t id = 70000; id > 0; id -= 10000)
        say_call (caller, id, "Arith.Add", 1000);
    CHECK_INT (listen_to (worker), 7);
    say_call (caller, 30000, "Arith.Add", 1000);
    check_refused (caller, WEFT_INVALID, "open already");
    say_cancel (caller, 10000);
    only (worker, WIRE_CANCEL);
    say_call (caller, 5, "Arith.Add", 1000);
    only (worker, WIRE_REQUEST);
    finish ();
}

/*  Writes a request whose id and time are not fixed: it cannot be passed on as it is. */
static void write_odd_request (buffer_t *out, uint8_t id, const char *method)
{
    mp_write_array (out, 5);
    mp_write_uint (out, WIRE_REQUEST);
    mp_write_uint (out, id);
    mp_write_text (out, method);
    mp_write_uint (out, 1000);
    mp_write_bin (out, &id, 1);
}

static void write_request (buffer_t *out, uint8_t id, const char *method)
{
    wire_write_request (out, id, text_of (method), 1000, &id, 1, false, NULL);
}

/*  The bodies that the worker got, as text; its ids are kept. */
static uint64_t given [64];
static const char *bodies (peer_t *worker)
{
    static char text [64];
    const size_t count = listen_to (worker);
    for (size_t i = 0; i < count; i++) {
        const wire_record_t *request = next (WIRE_REQUEST);
        text [i] = (char) request->body [0];
        given [i] = request->id;
    }
    text [count] = '\0';
    return text;
}

TEST (records_of_one_frame_keep_their_order_wherever_they_go)
{
    start ();
    peer_t *adder = worker_of (1, "Arith", 64), *talker = worker_of (2, "Text", 64), *alice = client (), *bob = client ();
    buffer_t *out = records ();
    for (const char *at = "abABcdXCyDEefz"; *at; at++)
        if (*at == 'X')
            write_request (out, (uint8_t) *at, "No.Such");
        else if (*at >= 'x')
            write_odd_request (out, (uint8_t) *at, "Arith.Add");
        else
            write_request (out, (uint8_t) *at, *at < 'a' ? "Text.Add" : "Arith.Add");
    say (alice, out);
    check_reply (only (alice, WIRE_REPLY), 'X', WEFT_NO_SERVICE, 0, "No");
    CHECK_STR (bodies (talker), "ABCDE");
    CHECK_STR (bodies (adder), "abcdyefz");

    out = records (); /* back: to two clients, one of them in between */
    write_request (out, '1', "Arith.Add");
    write_request (out, '2', "Arith.Add");
    uint64_t hers [64];
    memcpy (hers, given, sizeof hers);
    say (bob, out);
    CHECK_STR (bodies (adder), "12");
    out = records ();
    for (size_t i = 0; i < 8; i++) {
        wire_write_reply (out, hers [i], WEFT_OK, "+", 1, false, NULL);
        if (i % 4 == 2)
            wire_write_reply (out, given [i / 4], WEFT_OK, "-", 1, false, NULL);
    }
    say (adder, out);
    CHECK_INT (listen_to (alice), 8);
    for (const char *at = "abcdyefz"; *at; at++)
        CHECK_INT (next (WIRE_REPLY)->id, *at);
    CHECK_INT (listen_to (bob), 2);
    CHECK_INT (next (WIRE_REPLY)->id, '1');
    CHECK_INT (next (WIRE_REPLY)->id, '2');
    finish ();
}

TEST (a_method_that_was_just_called_is_gone_with_the_last_worker_that_has_it)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client ();
    say_call (caller, 1, "Arith.Add", 1000);
    only (worker, WIRE_REQUEST);
    lose (worker);
    listen_to (caller);
    say_call (caller, 2, "Arith.Add", 1000);
    check_reply (only (caller, WIRE_REPLY), 2, WEFT_NO_WORKERS, 0, "live");
    worker = worker_of (2, "Arith", 4);
    say_call (caller, 3, "Arith.Add", 1000);
    only (worker, WIRE_REQUEST);
    say_call (caller, 4, "Arith.Ad", 1000);
    check_reply (only (caller, WIRE_REPLY), 4, WEFT_UNIMPLEMENTED, 0, "Ad");
    finish ();
}

TEST (a_worker_gets_no_more_than_its_window)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 0), *caller = client ();
    for (uint64_t id = 1; id <= 5; id++)
        say_call (caller, id, "Arith.Add", 5000);
    check_silent (worker);
    check_silent (caller); /* live, but without room: they wait */
    say_credit (worker, 2);
    CHECK_INT (listen_to (worker), 2);
    const uint64_t first = next (WIRE_REQUEST)->id;
    say_reply (worker, first);
    CHECK_INT (listen_to (worker), 1);
    say_credit (worker, 0);
    CHECK_INT (broker_gauges (broker).queued, 2);
    finish ();
}

TEST (a_queued_call_ends_at_its_deadline_and_never_ran)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 0), *caller = client ();
    say_call (caller, 1, "Arith.Add", 200);
    const int64_t deadline_us = now_us + 200 * MS;
    pass (199 * MS);
    check_silent (caller);
    CHECK_INT (broker_next_us (broker), deadline_us);
    pass (1 * MS);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_DEADLINE_EXCEEDED, 0, "waited at the broker");
    say_credit (worker, 5);
    check_silent (worker);
    finish ();
}

TEST (a_broker_that_sleeps_as_long_as_it_wants_is_there_at_every_deadline)
{
    static const uint32_t times_ms [] = {1, 49, 50, 51, 100, 2000, 75, 101};
    uint64_t ended = 0;
    start ();
    peer_t *caller = client ();
    worker_of (1, "Arith", 4);
    const int64_t begin_us = now_us;
    for (uint64_t i = 0; i < 8; i++)
        say_call (caller, i + 1, "Arith.Add", times_ms [i]);
    for (int turns = 0; ended != 0xff; turns++) {
        CHECK (broker_next_us (broker) > now_us && turns < 20);
        now_us = broker_next_us (broker);
        broker_tick (broker, now_us);
        for (size_t count = listen_to (caller); count; count--) {
            const uint64_t i = next (WIRE_REPLY)->id - 1;
            CHECK_INT (now_us, begin_us + times_ms [i] * MS);
            ended |= (uint64_t) 1 << i;
        }
    }
    finish ();
}

TEST (expired_work_never_starts_even_if_room_comes_before_the_tick)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 0), *caller = client ();
    say_call (caller, 1, "Arith.Add", 200);
    say_call (caller, 2, "Arith.Add", 2000);
    now_us += 1000 * MS; /* a stall: what came meanwhile is heard first */
    say_credit (worker, 5);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_DEADLINE_EXCEEDED, 0, "waited at the broker");
    CHECK_INT (only (worker, WIRE_REQUEST)->remaining_ms, 1000);
    CHECK_INT (broker_counters (broker)->timed_out, 1);
    pass (1 * MS);
    check_silent (caller);
    finish ();
}

TEST (time_spent_in_the_queue_is_taken_off_and_told)
{
    wire_info_t info;
    start ();
    peer_t *worker = worker_of (1, "Arith", 0), *caller = client ();
    say_call (caller, 1, "Arith.Add", 1000);
    pass (300 * MS);
    say_credit (worker, 5);
    const wire_record_t *request = only (worker, WIRE_REQUEST);
    CHECK_INT (request->remaining_ms, 700);
    say_reply (worker, request->id);
    CHECK (wire_read_info (only (caller, WIRE_REPLY)->extra, &info));
    CHECK_INT (info.broker_us, 300 * MS);

    worker = worker_of (2, "Text", 0); /* a part of a millisecond is rounded up: who is asked must not give up before us */
    say_call (caller, 2, "Text.Add", 1000);
    pass (300 * MS + 1);
    say_credit (worker, 5);
    CHECK_INT (only (worker, WIRE_REQUEST)->remaining_ms, 700);
    finish ();
}

TEST (a_call_in_flight_past_its_deadline_is_maybe_and_keeps_its_place)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 200);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    pass (200 * MS);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_DEADLINE_EXCEEDED, 1, "worker had the call");
    CHECK_INT (only (worker, WIRE_CANCEL)->id, id);
    say_call (caller, 2, "Arith.Add", 5000);
    check_silent (worker); /* its window is still taken */
    say_reply (worker, id);
    check_silent (caller);
    CHECK_INT (broker_counters (broker)->late, 1);
    CHECK_INT (listen_to (worker), 0 + 1);
    finish ();
}

TEST (no_time_left_is_said_at_once)
{
    start ();
    worker_of (1, "Arith", 1);
    peer_t *caller = client ();
    say_call (caller, 1, "Arith.Add", 0);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_DEADLINE_EXCEEDED, 0, "no time");
    finish ();
}

TEST (cancel_drops_a_queued_call_and_passes_on_to_a_running_one)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    say_call (caller, 2, "Arith.Add", 5000);
    say_cancel (caller, 2);
    check_reply (only (caller, WIRE_REPLY), 2, WEFT_CANCELLED, 0, "");
    say_cancel (caller, 1);
    CHECK_INT (only (worker, WIRE_CANCEL)->id, id);
    check_silent (caller);
    say_reply (worker, id);
    CHECK_INT (only (caller, WIRE_REPLY)->id, 1);
    say_cancel (caller, 1); /* crossed */
    check_silent (caller);
    finish ();
}

TEST (a_lost_client_has_its_calls_dropped_and_cancelled)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    say_call (caller, 2, "Arith.Add", 5000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    lose (caller);
    CHECK_INT (only (worker, WIRE_CANCEL)->id, id);
    CHECK_INT (broker_gauges (broker).queued, 0);
    say_reply (worker, id);
    CHECK_INT (broker_gauges (broker).calls, 0);
    finish ();
}

TEST (what_a_client_asked_for_before_it_hung_up_is_not_begun)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 2), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    peer_hang_up (caller);
    say_call (caller, 2, "Arith.Add", 5000);
    say_call (caller, 3, "weft.Registry.List", 5000);
    check_silent (worker);
    check_silent (caller);
    say_cancel (caller, 1); /* what else it said counts */
    CHECK_INT (only (worker, WIRE_CANCEL)->id, id);
    lose (caller);
    finish ();
}

static void say_keyed_call (peer_t *peer, uint64_t id)
{
    const wire_options_t options = {.request_key = text_of ("order 66")};
    buffer_t *out = records ();
    wire_write_request (out, id, text_of ("Arith.Add"), 5000, "\x01", 1, false, &options);
    say (peer, out);
}

TEST (a_lost_clients_call_with_a_request_key_goes_on)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 2), *caller = client ();
    say_keyed_call (caller, 1);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    say_call (caller, 2, "Arith.Add", 5000);
    const uint64_t other = only (worker, WIRE_REQUEST)->id;
    lose (caller);
    CHECK_INT (only (worker, WIRE_CANCEL)->id, other);
    say_reply (worker, id);
    say_reply (worker, other);
    CHECK_INT (broker_gauges (broker).calls, 0);

    caller = client (); /* in the same memory: these have none */
    for (uint64_t call = 1; call <= 2; call++) {
        say_call (caller, call, "Arith.Add", 5000);
        only (worker, WIRE_REQUEST);
    }
    lose (caller);
    CHECK_INT (listen_to (worker), 2);
    finish ();
}

TEST (n10_a_lost_worker_ends_its_calls_in_the_same_turn)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 2), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    say_call (caller, 2, "Arith.Add", 5000);
    say_call (caller, 3, "Arith.Add", 5000); /* queued */
    lose (worker);
    CHECK_INT (listen_to (caller), 3);
    check_reply (next (WIRE_REPLY), 1, WEFT_WORKER_LOST, 1, "e0000000-0000-4000-8000-000000000001");
    check_reply (next (WIRE_REPLY), 2, WEFT_WORKER_LOST, 1, "was lost");
    check_reply (next (WIRE_REPLY), 3, WEFT_NO_WORKERS, 0, "Arith");
    finish ();
}

TEST (queued_calls_stay_while_another_worker_is_live)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 0), *other = worker_of (2, "Arith", 0), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    lose (worker);
    check_silent (caller);
    say_credit (other, 1);
    only (other, WIRE_REQUEST);
    finish ();
}

TEST (a_bound_call_goes_to_that_worker_or_nobody)
{
    start ();
    peer_t *one = worker_of (1, "Arith", 4), *two = worker_of (2, "Arith", 1), *caller = client ();
    for (uint64_t id = 1; id <= 3; id++)
        say_bound_call (caller, id, "Arith.Add", uuid (2));
    check_silent (one);
    only (two, WIRE_REQUEST);
    say_bound_call (caller, 4, "weft.Worker.Ping", uuid (1));
    only (one, WIRE_REQUEST);
    say_bound_call (caller, 5, "Arith.Add", uuid (9));
    check_reply (only (caller, WIRE_REPLY), 5, WEFT_NO_WORKERS, 0, "000000000009\" is not here");
    say_bound_call (caller, 6, "Arith", uuid (1));
    check_reply (only (caller, WIRE_REPLY), 6, WEFT_INVALID, 0, "ill-formed");
    lose (two);
    CHECK_INT (listen_to (caller), 3);
    check_reply (next (WIRE_REPLY), 1, WEFT_WORKER_LOST, 1, "");
    check_reply (next (WIRE_REPLY), 2, WEFT_NO_WORKERS, 0, "waited for it");
    check_silent (one);
    finish ();
}

TEST (a_draining_worker_gets_nothing_new_and_finishes_the_rest)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    say_call (caller, 2, "Arith.Add", 5000);
    say_bound_call (caller, 3, "Arith.Add", uuid (1));
    say_draining (worker);
    CHECK_INT (listen_to (caller), 2);
    check_reply (next (WIRE_REPLY), 3, WEFT_DRAINING, 0, "is draining");
    check_reply (next (WIRE_REPLY), 2, WEFT_NO_WORKERS, 0, "Arith");
    say_reply (worker, id);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OK);
    say_call (caller, 4, "Arith.Add", 5000);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_NO_WORKERS);
    finish ();
}

TEST (a_foreign_codec_is_named_when_the_call_is_passed_on)
{
    wire_options_t options;
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client_with ("json");
    say_call (caller, 1, "Arith.Add", 5000);
    CHECK (wire_read_options (only (worker, WIRE_REQUEST)->extra, &options));
    CHECK (text_is (options.codec, "json"));
    finish ();
}

TEST (large_bodies_pass_through_as_they_are)
{
    static char body [100000];
    message_t message;
    buffer_t *out = records ();

    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    for (uint64_t id = 1; id <= 2; id++) { /* at once, and from the queue */
        memset (body, (int) id, sizeof body);
        wire_write_request (out, id, text_of ("Arith.Add"), 5000, NULL, 0, true, NULL);
        message_init (&message);
        message_add_bytes (&message, out->data, out->size);
        message_add_bytes (&message, body, sizeof body);
        broker_on_message (broker, caller, &message, now_us);
        message_fini (&message);
        buffer_clear (out);
    }
    CHECK_INT (broker_gauges (broker).queued_bytes > 100000, 1);
    const wire_record_t *request = only (worker, WIRE_REQUEST);
    CHECK_INT (request->body_size, 100000);
    CHECK_INT (request->body [99999], 1);
    say_reply (worker, request->id);
    request = only (worker, WIRE_REQUEST);
    CHECK_INT (request->body [99999], 2);
    CHECK_INT (broker_gauges (broker).queued_bytes, 0);
    finish ();
}

TEST (items_pass_through_before_the_reply)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 9, "Arith.Add", FOREVER);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    buffer_t *out = records ();
    wire_write_item (out, id, 0, "a", 1, false);
    wire_write_item (out, id, 1, "b", 1, false);
    wire_write_reply (out, id, WEFT_OK, NULL, 0, false, NULL);
    say (worker, out);
    CHECK_INT (listen_to (caller), 3);
    CHECK_INT (next (WIRE_ITEM)->id, 9);
    CHECK_INT (next (WIRE_ITEM)->number, 1);
    CHECK_INT (next (WIRE_REPLY)->id, 9);
    finish ();
}

TEST (credit_for_a_stream_reaches_its_worker)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 9, "Arith.Add", FOREVER);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    buffer_t *out = records ();
    wire_write_credit (out, 9, 25);
    say (caller, out);
    const wire_record_t *credit = only (worker, WIRE_CREDIT);
    CHECK_INT (credit->id, id);
    CHECK_INT (credit->number, 25);
    finish ();
}

/*  Queues that stand -------------------------------------------------------------------------------------------- */

static uint64_t retry_after_ms (const wire_record_t *record)
{
    wire_info_t info;
    CHECK (wire_read_info (record->extra, &info));
    return info.retry_after_ms;
}

/*  Twice as many calls come as the worker can take, all with a second of time. Without turning some down all would wait for nearly a
 *  second, and be begun when it is too late. */
TEST (a_queue_that_stands_does_not_eat_the_time_of_all_calls)
{
    size_t sent = 0, late = 0, turned_down = 0;

    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    for (uint64_t id = 1; id <= 400; id++) {
        now_us += 50 * MS;
        say_call (caller, id, "Arith.Add", 1000);
        if (id % 40 == 0)
            say_beat (worker, id);
        for (size_t left = id % 2 == 0 ? listen_to (worker) : 0; left > 0; left--) { /* every 100 ms */
            const wire_record_t *request = &inbox [inbox_next++].record;
            if (request->kind != WIRE_REQUEST)
                continue;
            sent++;
            late += id > 40 && request->remaining_ms < 700;
            say_reply (worker, request->id);
        }
        broker_tick (broker, now_us);
        for (size_t left = listen_to (caller); left > 0; left--) {
            const wire_record_t *reply = next (WIRE_REPLY);
            if (reply->status == WEFT_OK)
                continue;
            check_reply (reply, reply->id, WEFT_OVERLOADED, 0, "for longer than is good");
            CHECK (retry_after_ms (reply) > 0);
            turned_down++;
        }
    }
    CHECK_INT (late, 0);
    CHECK (sent > 195);
    CHECK (turned_down > 180);
    CHECK_INT (broker_counters (broker)->shed, turned_down);
    CHECK_INT (broker_counters (broker)->timed_out, 0);
    finish ();
}

TEST (a_burst_that_drains_in_time_is_served_wholly)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    for (uint64_t id = 1; id <= 90; id++)
        say_call (caller, id, "Arith.Add", 1000);
    for (int i = 0; i < 90; i++) {
        now_us += 10 * MS;
        say_reply (worker, only (worker, WIRE_REQUEST)->id);
        broker_tick (broker, now_us);
        CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OK);
    }
    CHECK_INT (broker_counters (broker)->shed, 0);
    finish ();
}

TEST (a_call_that_left_a_standing_queue_has_its_own_deadline_again)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 60000);
    const uint64_t first = only (worker, WIRE_REQUEST)->id;
    say_call (caller, 2, "Arith.Add", 60000);
    for (uint64_t beat = 1; beat <= 2; beat++) {
        pass (5 * S);
        say_beat (worker, beat);
    }
    listen_to (worker);
    say_call (caller, 3, "Arith.Add", 4000); /* to be turned down in a second */
    say_cancel (caller, 2);
    listen_to (caller);
    now_us += 900 * MS;
    say_reply (worker, first);
    only (worker, WIRE_REQUEST);
    only (caller, WIRE_REPLY);
    pass (3 * S);
    check_silent (caller);
    pass (100 * MS);
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_DEADLINE_EXCEEDED, 1, "the worker had the call");
    finish ();
}

TEST (a_worker_that_reads_slowly_is_not_flooded)
{
    static char body [3000];
    broker_settings_t settings = usual_settings ();
    settings.outbox_max = 20000;
    start_with (settings);
    peer_t *worker = worker_of (1, "Arith", 100), *caller = client ();
    for (uint64_t id = 1; id <= 20; id++) {
        buffer_t *out = records ();
        wire_write_request (out, id, text_of ("Arith.Add"), 5000, body, sizeof body, false, NULL);
        say (caller, out);
    }
    CHECK (!broker_next_doomed (broker));
    CHECK (broker_gauges (broker).queued > 10);
    CHECK_INT (listen_to (worker), 20); /* as it reads, the rest comes */
    finish ();
}

/*  Just started ------------------------------------------------------------------------------------------------- */

TEST (a_call_for_somebody_not_known_yet_waits_while_workers_come_back)
{
    start_cold (usual_settings ());
    peer_t *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    say_call (caller, 2, "Arith.Add", 5000);
    say_call (caller, 3, "Geo.Add", 5000);
    say_bound_call (caller, 4, "Arith.Add", uuid (1));
    check_silent (caller);
    now_us += 300 * MS;
    broker_tick (broker, now_us);
    peer_t *worker = worker_of (1, "Arith", 2);
    broker_tick (broker, now_us);
    CHECK_INT (listen_to (worker), 2); /* as many as it has room for, in order */
    CHECK_INT (next (WIRE_REQUEST)->remaining_ms, 4700);
    next (WIRE_REQUEST);
    CHECK_INT (broker_next_us (broker), 1001 * S);
    now_us = broker_next_us (broker);
    broker_tick (broker, now_us);
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_NO_SERVICE, 0, "no service \"Geo\"");
    say_call (caller, 5, "Geo.Add", 5000);
    check_reply (only (caller, WIRE_REPLY), 5, WEFT_NO_SERVICE, 0, "no service \"Geo\"");
    CHECK_INT (broker_gauges (broker).queued, 1);
    finish ();
}

TEST (those_who_came_too_early_are_looked_at_a_few_times_not_at_each_registration)
{
    start_cold (usual_settings ());
    peer_t *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    now_us += 100 * MS;
    worker_of (1, "Geo", 1);
    broker_tick (broker, now_us);
    peer_t *worker = worker_of (2, "Arith", 1);
    broker_tick (broker, now_us);
    check_silent (worker);
    CHECK_INT (broker_next_us (broker), now_us + 20 * MS);
    now_us += 20 * MS;
    broker_tick (broker, now_us);
    only (worker, WIRE_REQUEST);
    finish ();
}

TEST (a_call_that_came_too_early_for_a_queue_that_is_full_is_told_when_to_come_back)
{
    broker_settings_t settings = usual_settings ();
    settings.service_queue_max = 4;
    start_cold (settings);
    peer_t *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    say_call (caller, 2, "Arith.Add", 5000);
    now_us += 100 * MS;
    worker_of (1, "Arith", 0);
    say_call (caller, 3, "Arith.Add", 5000);
    now_us += 20 * MS;
    broker_tick (broker, now_us);
    const wire_record_t *reply = only (caller, WIRE_REPLY);
    check_reply (reply, 2, WEFT_OVERLOADED, 0, "the limit is 4");
    CHECK (retry_after_ms (reply) > 0);
    CHECK_INT (broker_counters (broker)->overloaded, 1);
    finish ();
}

TEST (a_call_that_came_too_early_can_be_cancelled_and_time_out)
{
    start_cold (usual_settings ());
    peer_t *caller = client (), *gone = client ();
    say_call (gone, 1, "Arith.Add", 5000);
    lose (gone);
    say_call (caller, 1, "Arith.Add", 5000);
    say_call (caller, 2, "Arith.Add", 50);
    say_cancel (caller, 1);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_CANCELLED, 0, "");
    now_us += 50 * MS;
    broker_tick (broker, now_us);
    check_reply (only (caller, WIRE_REPLY), 2, WEFT_DEADLINE_EXCEEDED, 0, "");
    CHECK_INT (broker_gauges (broker).queued, 0);
    finish ();
}

TEST (a_call_that_came_too_early_does_not_begin_when_its_worker_comes_too_late)
{
    start_cold (usual_settings ());
    peer_t *caller = client ();
    say_call (caller, 1, "Arith.Add", 50);
    now_us += 60 * MS;
    peer_t *worker = worker_of (1, "Arith", 2);
    broker_tick (broker, now_us);
    check_silent (worker);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_DEADLINE_EXCEEDED, 0, "");
    finish ();
}

TEST (a_name_that_can_never_be_right_is_refused_by_a_broker_that_has_just_started_too)
{
    start_cold (usual_settings ());
    peer_t *caller = client ();
    say_call (caller, 1, "nonsense", 5000);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_INVALID, 0, "ill-formed");
    finish ();
}

TEST (calls_that_waited_while_the_broker_was_stalled_wait_on_for_workers_to_come_back)
{
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 0), *caller = client ();
    say_call (caller, 1, "Arith.Add", 60000);
    now_us += 10 * S; /* stopped */
    broker_tick (broker, now_us);
    lose (worker);
    check_silent (caller);
    now_us += 200 * MS;
    worker = worker_of (1, "Arith", 1);
    broker_tick (broker, now_us);
    only (worker, WIRE_REQUEST);
    finish ();
}

/*  Options of `elements` elements: as many as one field may have pass the reader. */
static void write_many_options (buffer_t *map, uint32_t elements)
{
    buffer_init (map, SIZE_MAX);
    mp_write_map (map, 1);
    mp_write_text (map, "x");
    mp_write_array (map, elements - 2);
    for (uint32_t i = 2; i < elements; i++)
        mp_write_nil (map);
}

TEST (options_that_one_more_would_make_malformed_are_turned_down)
{
    buffer_t map, *out;
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client_with ("json");
    write_many_options (&map, WEFT_ELEMENTS_MAX);
    out = records ();
    wire_write_request_raw (out, 1, text_of ("Arith.Add"), 1000, "1", 1, false, mp_reader (map.data, map.size));
    say (caller, out);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_INVALID, 0, "without its body, mostly options; the limit is 32768");
    check_silent (worker);
    buffer_fini (&map);

    write_many_options (&map, WEFT_ENVELOPE_MAX - 100); /* these have room for the codec */
    wire_write_request_raw (out, 2, text_of ("Arith.Add"), 1000, "1", 1, false, mp_reader (map.data, map.size));
    say (caller, out);
    wire_options_t options;
    CHECK (wire_read_options (only (worker, WIRE_REQUEST)->extra, &options));
    CHECK (text_is (options.codec, "json"));
    buffer_fini (&map);
    finish ();
}

TEST (an_info_that_one_more_would_make_malformed_stays_as_it_is)
{
    buffer_t map, *out;
    start ();
    peer_t *worker = worker_of (1, "Arith", 0), *caller = client ();
    say_call (caller, 1, "Arith.Add", 1000);
    pass (10 * MS);
    say_credit (worker, 1);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    write_many_options (&map, WEFT_ELEMENTS_MAX);
    out = records ();
    wire_write_reply_raw (out, id, WEFT_OK, "1", 1, false, mp_reader (map.data, map.size));
    say (worker, out);
    CHECK_INT (only (caller, WIRE_REPLY)->id, 1);
    buffer_fini (&map);
    finish ();
}

/*  Says a request whose one option `key` is a map of "a" to a number, or a number below 0. */
static void say_with_option (peer_t *peer, uint64_t id, const char *key, bool map)
{
    buffer_t options, *out = records ();
    buffer_init (&options, 1000);
    mp_write_map (&options, 1);
    mp_write_text (&options, key);
    if (map) {
        mp_write_map (&options, 1);
        mp_write_text (&options, "a");
    }
    mp_write_int (&options, -5);
    wire_write_request_raw (out, id, text_of ("Arith.Add"), 1000, "1", 1, false, mp_reader (options.data, options.size));
    buffer_fini (&options);
    say (peer, out);
}

TEST (options_that_a_worker_could_not_read_are_not_passed_on)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client ();
    static const char *const keys [] = {"codec", "worker", "key", "request_key", "trace", "meta", "priority", "hops", "credit"};
    for (size_t i = 0; i < 9; i++) {
        say_with_option (caller, i + 1, keys [i], true);
        check_refused (caller, WEFT_INVALID, "malformed REQUEST: its options");
    }
    say_with_option (caller, 10, "hops", false);
    check_refused (caller, WEFT_INVALID, "malformed REQUEST: its options");
    check_silent (worker);
    say_with_option (caller, 11, "priority", false);
    say_with_option (caller, 12, "else", true);
    CHECK_INT (listen_to (worker), 2);
    check_silent (caller);
    finish ();
}

TEST (a_worker_that_could_not_read_a_call_is_lost_with_what_it_holds)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 4), *caller = client ();
    say_call (caller, 1, "Arith.Add", 1000);
    only (worker, WIRE_REQUEST);
    buffer_t *out = records ();
    wire_write_refused (out, WEFT_DRAINING, "not of what was read");
    say (worker, out);
    CHECK (broker_next_doomed (broker) == NULL);
    wire_write_refused (out, WEFT_INVALID, "malformed REQUEST");
    say (worker, out);
    CHECK (broker_next_doomed (broker) == worker);
    lose (worker);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_WORKER_LOST, 1, "was lost");

    wire_write_refused (out, WEFT_INVALID, "a client may say so as often as it likes");
    say (caller, out);
    CHECK (broker_next_doomed (broker) == NULL);
    finish ();
}

/*  A map with one entry of `size` bytes. */
static mp_reader_t long_map (buffer_t *map, size_t size)
{
    static uint8_t filling [WEFT_FRAME_MAX];
    buffer_init (map, SIZE_MAX);
    mp_write_map (map, 1);
    mp_write_text (map, "x");
    mp_write_bin (map, filling, size);
    return mp_reader (map->data, map->size);
}

TEST (a_large_body_that_came_embedded_is_attached_when_it_is_passed_on)
{
    static uint8_t body [WEFT_BODY_MAX];
    buffer_t map, *out;
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client_with ("json");
    body [0] = 'a', body [sizeof body - 1] = 'z';
    const mp_reader_t options = long_map (&map, 30000);
    out = records ();
    for (uint64_t id = 1; id <= 2; id++) /* as large as its frame may be with the codec: at once, and from the queue */
        wire_write_request_raw (out, id, text_of ("Arith.Add"), 5000, body, id == 1 ? sizeof body : 100000, false, options);
    say (caller, out);
    for (uint64_t id = 1; id <= 2; id++) {
        const wire_record_t *request = only (worker, WIRE_REQUEST);
        CHECK (request->attached && request->size < 31000);
        CHECK_INT (request->body_size, id == 1 ? sizeof body : 100000);
        CHECK_INT (request->body [0], 'a');
        out = records ();
        if (id == 1)
            wire_write_item (out, request->id, 0, body, sizeof body, false);
        wire_write_reply_raw (out, request->id, WEFT_OK, body, sizeof body, false, options);
        say (worker, out);
        CHECK_INT (listen_to (caller), id == 1 ? 2 : 1);
        if (id == 1) {
            const wire_record_t *item = next (WIRE_ITEM);
            CHECK (item->attached && item->size < 100);
            CHECK_INT (item->body [sizeof body - 1], 'z');
        }
        const wire_record_t *reply = next (WIRE_REPLY);
        CHECK (reply->attached && reply->size < 31000);
        CHECK_INT (reply->id, id);
        CHECK_INT (reply->body [sizeof body - 1], 'z');
    }
    buffer_fini (&map);
    finish ();
}

TEST (an_info_longer_than_any_should_be_is_left_out)
{
    buffer_t map, *out;
    zmq_msg_t *attachment;
    const char *fault;
    wire_record_t record;
    message_t message;
    start ();
    peer_t *worker = worker_of (1, "Arith", 3), *caller = client ();
    const mp_reader_t info = long_map (&map, 100000);
    for (uint64_t id = 1; id <= 3; id++)
        say_call (caller, id, "Arith.Add", 1000);
    CHECK_INT (listen_to (worker), 3);
    out = records ();
    for (uint64_t id = 1; id <= 3; id++) /* with neighbours */
        wire_write_reply_raw (out, next (WIRE_REQUEST)->id, WEFT_APP_ERROR, "1", 1, id == 3, id > 1 ? info : mp_reader (NULL, 0));
    message_init (&message);
    message_add_bytes (&message, out->data, out->size);
    message_add_bytes (&message, "attached", 8);
    broker_on_message (broker, worker, &message, now_us);
    message_clear (&message);
    CHECK (broker_take (broker, caller, &message, now_us));
    message_cursor_t cursor = message_cursor (&message);
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 1);
        CHECK_INT (record.id, id);
        CHECK_INT (record.status, WEFT_APP_ERROR);
        CHECK_INT (mp_left (&record.extra), 0);
        CHECK_INT (record.body_size, id == 3 ? 8 : 1);
    }
    message_fini (&message);
    buffer_fini (&map);
    finish ();
}
