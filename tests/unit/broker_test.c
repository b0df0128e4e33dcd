/* SPDX-License-Identifier: MPL-2.0 */

#include "broker_harness.h"
#include "dice.h"

/*  HELLO -------------------------------------------------------------------------------------------------------- */

TEST (n11_hello_is_answered_with_version_codec_limits_and_who)
{
    static const char *const brokers [] = {"tcp://other:1", NULL};
    broker_settings_t settings = usual_settings ();
    wire_welcome_t welcome;

    settings.peer_brokers = brokers;
    start_with (settings);
    peer_t *peer = stranger ();
    say_hello (peer, "client", "json");
    CHECK (wire_read_welcome (only (peer, WIRE_WELCOME), &welcome));
    CHECK_INT (welcome.version, 1);
    CHECK (text_is (welcome.codec, "json"));
    CHECK_INT (welcome.body_max, WEFT_BODY_MAX);
    CHECK_INT (welcome.calls_max, WEFT_BROKER_CLIENT_CALLS_MAX);
    CHECK (text_is (welcome.server, settings.uuid));
    CHECK_INT (welcome.broker_count, 1);
    CHECK (text_is (welcome.brokers [0], "tcp://other:1"));
    finish ();
}

static void say_odd_hello (peer_t *peer, const char *magic, unsigned lowest, unsigned highest, const char *role)
{
    buffer_t *out = records ();
    mp_write_array (out, 7);
    mp_write_uint (out, WIRE_HELLO);
    mp_write_text (out, magic);
    mp_write_uint (out, lowest);
    mp_write_uint (out, highest);
    mp_write_text (out, role);
    mp_write_array (out, 0);
    mp_write_text (out, "odd");
    say (peer, out);
}

TEST (n11_a_peer_that_speaks_something_else_is_refused_clearly)
{
    start ();
    peer_t *peer = stranger ();
    say_odd_hello (peer, "woof", 1, 1, "client");
    check_refused (peer, WEFT_INVALID, "weft");
    say_odd_hello (peer, "weft", 2, 9, "client");
    check_refused (peer, WEFT_INVALID, "you speak 2 to 9; known: 1 to 1");
    say_odd_hello (peer, "weft", 1, 1, "king");
    check_refused (peer, WEFT_INVALID, "unknown role \"king\"; known: client, worker, broker");
    say_odd_hello (peer, "weft", 0, 9, "client");
    only (peer, WIRE_WELCOME);
    say_odd_hello (peer, "weft", 1, 1, "client");
    check_refused (peer, WEFT_INVALID, "already");
    finish ();
}

TEST (s3_an_unknown_codec_is_refused_with_the_known_ones)
{
    start ();
    peer_t *peer = stranger ();
    say_hello (peer, "client", "xml");
    check_refused (peer, WEFT_INVALID, "unknown codec \"xml\"; known: msgpack, json, raw");
    finish ();
}

TEST (n11_hello_comes_first_and_may_still_follow)
{
    start ();
    peer_t *peer = stranger ();
    say_call (peer, 1, "Arith.Add", 1000);
    check_refused (peer, WEFT_INVALID, "say HELLO first");
    say_hello (peer, "client", "msgpack");
    only (peer, WIRE_WELCOME);
    finish ();
}

TEST (s2_requests_may_follow_hello_in_one_message)
{
    static const char *const codecs [] = {"msgpack", NULL};
    start ();
    worker_of (1, "Arith", 4);
    peer_t *peer = stranger ();
    buffer_t *out = records ();
    wire_write_hello (out, "client", codecs, "fast", NULL);
    wire_write_request (out, 1, text_of ("Arith.Add"), 1000, NULL, 0, false, NULL);
    say (peer, out);
    only (peer, WIRE_WELCOME);
    CHECK_INT (broker_counters (broker)->forwarded, 1);
    finish ();
}

TEST (g9_a_malformed_record_is_refused_and_the_connection_goes_on)
{
    start ();
    peer_t *peer = client ();
    buffer_t *out = records ();
    wire_write_request (out, 1, text_of ("No.Such"), 1000, NULL, 0, false, NULL);
    mp_write_array (out, 1);
    mp_write_uint (out, WIRE_REQUEST);                                            /* too few fields */
    wire_write_request (out, 2, text_of ("No.Such"), 1000, NULL, 0, false, NULL); /* goes with it */
    say (peer, out);
    CHECK_INT (listen_to (peer), 2);
    check_reply (next (WIRE_REPLY), 1, WEFT_NO_SERVICE, 0, "No"); /* earlier ones stand */
    next (WIRE_REFUSED);
    CHECK_INT (broker_counters (broker)->malformed, 1);
    say_call (peer, 3, "No.Such", 1000);
    check_reply (only (peer, WIRE_REPLY), 3, WEFT_NO_SERVICE, 0, "No");
    finish ();
}

TEST (unknown_kinds_are_counted_and_never_answered)
{
    start ();
    peer_t *peer = client ();
    buffer_t *out = records ();
    mp_write_array (out, 1);
    mp_write_uint (out, 99);
    say (peer, out);
    check_silent (peer);
    CHECK_INT (broker_counters (broker)->unknown, 1);
    finish ();
}

/*  Calls -------------------------------------------------------------------------------------------------------- */

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

/*  Bounds ------------------------------------------------------------------------------------------------------- */

TEST (every_queue_says_overloaded_at_its_bound)
{
    broker_settings_t settings = usual_settings ();
    settings.service_queue_max = 2;
    settings.client_calls_max = 3;
    settings.calls_max = 4;
    start_with (settings);
    worker_of (1, "Arith,Geo", 0);
    peer_t *a = client (), *b = client ();
    say_call (a, 1, "Arith.Add", 5000);
    say_call (a, 2, "Arith.Add", 5000);
    say_call (a, 3, "Arith.Add", 5000);
    check_reply (only (a, WIRE_REPLY), 3, WEFT_OVERLOADED, 0, "the limit is 2");
    say_call (a, 4, "Geo.Add", 5000);
    say_call (a, 5, "Geo.Add", 5000);
    check_reply (only (a, WIRE_REPLY), 5, WEFT_OVERLOADED, 0, "this client has 3 calls open");
    say_call (b, 1, "Geo.Add", 5000);
    say_call (b, 2, "Geo.Add", 5000);
    check_reply (only (b, WIRE_REPLY), 2, WEFT_OVERLOADED, 0, "takes no more");
    CHECK_INT (broker_counters (broker)->overloaded, 3);
    finish ();
}

TEST (queued_bodies_are_bounded_in_bytes)
{
    static char body [4000];
    broker_settings_t settings = usual_settings ();
    settings.memory_max = 9000;
    start_with (settings);
    worker_of (1, "Arith", 0);
    peer_t *caller = client ();
    for (uint64_t id = 1; id <= 3; id++) {
        buffer_t *out = records ();
        wire_write_request (out, id, text_of ("Arith.Add"), 5000, body, sizeof body, false, NULL);
        say (caller, out);
    }
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_OVERLOADED, 0, "memory of 9000 bytes");
    finish ();
}

TEST (a_body_over_the_limit_is_too_large)
{
    static char body [5000];
    broker_settings_t settings = usual_settings ();
    settings.body_max = 4096;
    start_with (settings);
    worker_of (1, "Arith", 1);
    peer_t *caller = client ();
    buffer_t *out = records ();
    wire_write_request (out, 1, text_of ("Arith.Add"), 5000, body, sizeof body, false, NULL);
    say (caller, out);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_TOO_LARGE, 0, "5000 bytes; the limit is 4096");
    finish ();
}

TEST (a_peer_that_does_not_read_is_evicted)
{
    broker_settings_t settings = usual_settings ();
    settings.outbox_max = 10000;
    start_with (settings);
    peer_t *deaf = client (), *other = client ();
    for (uint64_t id = 1; id < 1000 && !broker_next_doomed (broker); id++)
        say_call (deaf, id, "No.Such", 1000);
    CHECK (broker_next_doomed (broker) == deaf);
    CHECK_INT (broker_counters (broker)->evicted, 1);
    say_call (deaf, 5000, "No.Such", 1000); /* nothing more happens to it */
    check_silent (deaf);
    lose (deaf);
    CHECK (!broker_next_doomed (broker));
    say_call (other, 1, "No.Such", 1000);
    only (other, WIRE_REPLY);
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

TEST (peers_are_bounded)
{
    broker_settings_t settings = usual_settings ();
    settings.peers_max = 1;
    start_with (settings);
    client ();
    CHECK (!broker_peer_open (broker, "zz", 2, "", now_us));
    CHECK (!broker_peer_open (broker, "123456789012345678901234567890123", 33, "", now_us));
    finish ();
}

/*  Liveness ----------------------------------------------------------------------------------------------------- */

TEST (b10_the_broker_dictates_interval_ttl_and_other_brokers)
{
    static const char *const brokers [] = {"tcp://b:1", NULL};
    broker_settings_t settings = usual_settings ();
    wire_beat_ok_t answer;

    settings.ttl_ms = 2000;
    settings.peer_brokers = brokers;
    start_with (settings);
    peer_t *peer = greeted_worker ();
    say_register (peer, uuid (1), 1, "Arith", NULL, 0);
    CHECK (wire_read_beat_ok (only (peer, WIRE_BEAT_OK), &answer));
    CHECK_INT (answer.sequence, 0);
    CHECK_INT (answer.next_ms, 600);
    CHECK_INT (answer.ttl_ms, 2000);
    CHECK (text_is (answer.brokers [0], "tcp://b:1"));
    say_beat (peer, 1);
    CHECK (wire_read_beat_ok (only (peer, WIRE_BEAT_OK), &answer));
    CHECK_INT (answer.sequence, 1);
    finish ();
}

TEST (g4_an_unset_beat_is_derived_and_a_set_one_honoured)
{
    broker_settings_t settings = usual_settings ();
    CHECK_INT (broker_beat_ms (WEFT_TTL_MS), WEFT_BEAT_MS);
    start_with (settings);
    CHECK_INT (broker->settings.beat_ms, 3000);
    finish ();
    settings.beat_ms = 777;
    start_with (settings);
    CHECK_INT (broker->settings.beat_ms, 777);
    finish ();
}

TEST (a_beat_of_somebody_unknown_asks_for_a_registration)
{
    start ();
    peer_t *peer = greeted_worker ();
    say_beat (peer, 1);
    check_refused (peer, WEFT_NO_WORKERS, "register again");
    finish ();
}

TEST (h4_a_silent_worker_is_suspected_then_gone)
{
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 5), *caller = client ();
    pass (7 * S);
    say_call (caller, 1, "Arith.Add", 60000);
    check_silent (worker); /* suspect: gets nothing new */
    pass (2 * S);
    say_beat (worker, 1);
    CHECK_INT (listen_to (worker), 2); /* BEAT_OK, and the call that waited */
    pass (10 * S);
    CHECK_INT (broker_gauges (broker).workers, 0);
    CHECK_INT (broker_counters (broker)->expired, 1);
    say_beat (worker, 2);
    check_refused (worker, WEFT_NO_WORKERS, "");
    finish ();
}

TEST (every_worker_has_its_own_deadline)
{
    start ();
    pass (30 * S);
    worker_of (1, "Arith", 5);
    peer_t *lively = worker_of (2, "Arith", 5);
    worker_of (3, "Arith", 5);
    for (uint64_t i = 1; i <= 4; i++) {
        pass (3 * S);
        say_beat (lively, i);
    }
    CHECK_INT (broker_gauges (broker).workers, 1); /* zguide 91: expiry stopped at the first live one */
    finish ();
}

TEST (a_broker_that_was_stalled_expires_nobody_for_one_ttl)
{
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 5);
    now_us += 60 * S; /* stopped */
    broker_tick (broker, now_us);
    CHECK_INT (broker_counters (broker)->stalls, 1);
    CHECK_INT (broker_gauges (broker).workers, 1);
    pass (9 * S);
    CHECK_INT (broker_gauges (broker).workers, 1);
    say_beat (worker, 1);
    pass (9 * S);
    CHECK_INT (broker_gauges (broker).workers, 1);
    pass (2 * S);
    CHECK_INT (broker_gauges (broker).workers, 0);
    finish ();
}

TEST (a_sleeping_broker_wakes_often_enough_to_notice_a_stall)
{
    start ();
    CHECK_INT (broker_next_us (broker), INT64_MAX);
    worker_of (1, "Arith", 5);
    CHECK (broker_next_us (broker) <= now_us + 5 * S);
    finish ();
}

/*  Stopping ----------------------------------------------------------------------------------------------------- */

TEST (a_stopping_broker_takes_nothing_new_and_lets_the_rest_finish)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    say_call (caller, 2, "Arith.Add", 5000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    broker_drain (broker, now_us);
    only (worker, WIRE_DRAINING);
    CHECK_INT (listen_to (caller), 2);
    next (WIRE_DRAINING);
    check_reply (next (WIRE_REPLY), 2, WEFT_DRAINING, 0, "stopping");
    say_call (caller, 3, "Arith.Add", 5000);
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_DRAINING, 0, "stopping");
    peer_t *newcomer = stranger ();
    say_hello (newcomer, "client", "msgpack");
    check_refused (newcomer, WEFT_DRAINING, "stopping");
    CHECK (!broker_idle (broker));
    say_reply (worker, id);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OK);
    CHECK (broker_idle (broker));
    broker_stop (broker, now_us);
    only (caller, WIRE_GOODBYE);
    finish ();
}

TEST (settings_can_change_while_it_runs)
{
    wire_beat_ok_t answer;
    broker_settings_t settings = usual_settings ();
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 1);
    settings.ttl_ms = 2000;
    broker_reconfigure (broker, &settings);
    pass (1900 * MS);
    CHECK_INT (broker_gauges (broker).workers, 1); /* it has yet to hear of it */
    say_beat (worker, 1);
    CHECK (wire_read_beat_ok (only (worker, WIRE_BEAT_OK), &answer));
    CHECK_INT (answer.ttl_ms, 2000);
    pass (2100 * MS);
    CHECK_INT (broker_gauges (broker).workers, 0);
    finish ();
}

/*  Hostile ------------------------------------------------------------------------------------------------------ */

static void write_seed_record (buffer_t *out, dice_t *dice)
{
    static const char *const codecs [] = {"msgpack", "json", NULL}, *const names [] = {"A.Add", "B.Next", "weft.Registry.List",
        "weft.Registry.Watch", "weft.Registry.Describe", "weft.Registry.Drain", "weft.Worker.Ping", "nodot", "No.Such"};
    static const char *const roles [] = {"client", "worker", "broker"};
    const wire_load_t load = {1, 2, 3, 4};
    const wire_options_t bound = {.worker = text_of (uuid ((unsigned) dice_below (dice, 4)))};
    const uint64_t id = dice_below (dice, 40);
    const char *endpoints [] = {"tcp://*:5", "ipc:///tmp/x", NULL};

    switch (dice_below (dice, 12)) {
        case 0:
            wire_write_hello (out, roles [dice_below (dice, 3)], codecs, "fuzz", NULL);
            break;
        case 1:
        case 2:
        case 3:
            wire_write_request (out, id, text_of (names [dice_below (dice, 9)]), (uint32_t) dice_below (dice, 3000),
                                "\x91\xa1" "A", 3, dice_below (dice, 9) == 0, dice_below (dice, 5) ? NULL : &bound);
            break;
        case 4:
            wire_write_reply (out, dice_below (dice, 2) ? id : 1 + dice_below (dice, 1u << 20), WEFT_OK, "\x01", 1, false, NULL);
            break;
        case 5:
            wire_write_item (out, id, 1, "x", 1, dice_below (dice, 9) == 0);
            break;
        case 6:
            wire_write_credit (out, dice_below (dice, 2) ? 0 : id, dice_below (dice, 9));
            break;
        case 7:
            wire_write_cancel (out, id);
            break;
        case 8:
        case 9:
            wire_write_register_begin (out, uuid ((unsigned) dice_below (dice, 4)), 1 + dice_below (dice, 9), 2);
            write_service (out, "A", (unsigned) dice_below (dice, 4));
            write_service (out, "B", 1);
            wire_write_register_end (out, endpoints, 2, NULL, "h", 1, 2);
            break;
        case 10:
            wire_write_beat (out, 1, &load);
            break;
        default:
            if (dice_below (dice, 2))
                wire_write_draining (out, "x");
            else
                wire_write_goodbye (out, "x");
    }
}

static void mutate (buffer_t *bytes, dice_t *dice)
{
    for (uint64_t n = dice_below (dice, 4); n > 0 && bytes->size; n--) {
        const size_t at = dice_below (dice, bytes->size);
        switch (dice_below (dice, 4)) {
            case 0:
                bytes->data [at] = (uint8_t) dice_next (dice);
                break;
            case 1:
                bytes->data [at] ^= (uint8_t) (1u << dice_below (dice, 8));
                break;
            case 2:
                buffer_truncate (bytes, at);
                break;
            default:
                buffer_append (bytes, "\xdd\xff\xff\xff\xff", 1 + dice_below (dice, 5));
        }
    }
}

/*  Takes all that waits, checking that we never send what cannot be read; gives each request an answer now and then. */
static void read_and_answer (peer_t *peer, dice_t *dice)
{
    listen_to (peer);
    for (size_t i = 0; i < inbox_count; i++)
        if (inbox [i].record.kind == WIRE_REQUEST && dice_below (dice, 2))
            say_reply (peer, inbox [i].record.id);
}

#define FUZZ_PEERS 6

static void fuzz (uint64_t seed, int messages)
{
    dice_t dice;
    peer_t *peers [FUZZ_PEERS];
    buffer_t bytes;
    message_t message;

    dice_init (&dice, seed);
    buffer_init (&bytes, SIZE_MAX);
    start ();
    for (int i = 0; i < FUZZ_PEERS; i++)
        peers [i] = stranger ();
    for (int n = 0; n < messages; n++) {
        peer_t **peer = &peers [dice_below (&dice, FUZZ_PEERS)];
        buffer_clear (&bytes);
        for (uint64_t count = 1 + dice_below (&dice, 4); count > 0; count--)
            write_seed_record (&bytes, &dice);
        if (dice_below (&dice, 2))
            mutate (&bytes, &dice);
        message_init (&message);
        message_add_bytes (&message, bytes.data, bytes.size);
        for (uint64_t count = dice_below (&dice, 3); count > 0; count--)
            message_add_bytes (&message, bytes.data, bytes.size);
        broker_on_message (broker, *peer, &message, now_us);
        message_fini (&message);
        read_and_answer (*peer, &dice);
        if (dice_below (&dice, 50) == 0) {
            lose (*peer);
            *peer = stranger ();
        }
        pass ((int64_t) dice_below (&dice, 100) * MS);
    }
    buffer_fini (&bytes);
    finish ();
}

TEST (ten_thousand_random_and_mutated_messages_harm_nobody)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        fuzz (seed, 1000);
}
