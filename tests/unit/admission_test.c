/* SPDX-License-Identifier: MPL-2.0 */

#include "broker_harness.h"

static void say_large (peer_t *caller, uint64_t id, size_t size)
{
    static char body [5000];
    buffer_t *out = records ();
    CHECK (size <= sizeof body);
    wire_write_request (out, id, text_of ("Arith.Add"), 5000, body, size, false, NULL);
    say (caller, out);
}

TEST (every_queue_says_overloaded_at_its_bound)
{
    broker_settings_t settings = usual_settings ();
    settings.service_queue_max = 4;
    settings.client_calls_max = 3;
    settings.calls_max = 5;
    start_with (settings);
    worker_of (1, "Arith,Geo", 0);
    peer_t *a = client (), *b = client ();
    say_call (a, 1, "Arith.Add", 5000);
    say_call (a, 2, "Arith.Add", 5000);
    say_call (a, 3, "Arith.Add", 5000);
    check_reply (only (a, WIRE_REPLY), 3, WEFT_OVERLOADED, 0, "2 calls wait already, 2 of them for this client; the limit is 4");
    say_call (a, 4, "Geo.Add", 5000);
    say_call (a, 5, "Geo.Add", 5000);
    check_reply (only (a, WIRE_REPLY), 5, WEFT_OVERLOADED, 0, "this client has 3 calls open");
    say_call (b, 1, "Geo.Add", 5000);
    say_call (b, 2, "Geo.Add", 5000);
    check_reply (only (b, WIRE_REPLY), 2, WEFT_OVERLOADED, 0, "the broker holds 4 calls, 1 of them for this client; the limit is 5");
    CHECK_INT (broker_counters (broker)->overloaded, 3);
    finish ();
}

TEST (who_finds_a_queue_full_is_told_when_to_come_back_by_how_quickly_it_drains)
{
    broker_settings_t settings = usual_settings ();
    settings.service_queue_max = 40;
    start_with (settings);
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    for (uint64_t id = 1; id <= 21; id++)
        say_call (caller, id, "Arith.Add", 60000);
    for (uint64_t id = 22; id < 42; id++) {
        now_us += 50 * MS;
        say_reply (worker, only (worker, WIRE_REQUEST)->id);
        CHECK_INT (listen_to (caller), 1);
        say_call (caller, id, "Arith.Add", 60000);
    }
    say_call (caller, 42, "Arith.Add", 60000);
    const wire_record_t *reply = only (caller, WIRE_REPLY);
    check_reply (reply, 42, WEFT_OVERLOADED, 0, "the limit is 40");
    wire_info_t info;
    CHECK (wire_read_info (reply->extra, &info));
    CHECK_INT (info.retry_after_ms, 1000); /* 20 of 50 ms each */
    finish ();
}

TEST (queued_bodies_are_bounded_in_bytes)
{
    broker_settings_t settings = usual_settings ();
    settings.memory_max = 13000;
    start_with (settings);
    worker_of (1, "Arith", 0);
    peer_t *caller = client ();
    for (uint64_t id = 1; id <= 3; id++)
        say_large (caller, id, 4000);
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_OVERLOADED, 0, "memory of 13000 bytes");
    finish ();
}

/*  It has as many calls open as it may, and asks for more each time that one ends. */
TEST (a_client_that_fills_a_queue_locks_nobody_out)
{
    broker_settings_t settings = usual_settings ();
    settings.service_queue_max = 100;
    settings.client_calls_max = 200;
    start_with (settings);
    peer_t *worker = worker_of (1, "Arith", 1), *greedy = client (), *polite = client ();
    uint64_t id = 1, answered = 0;
    while (id <= 102)
        say_call (greedy, id++, "Arith.Add", 600000);
    CHECK_INT (broker_gauges (broker).queued, 50); /* it leaves as much free as it has */
    CHECK_INT (listen_to (greedy), 51);
    for (uint64_t i = 1; i <= 50; i++) {
        now_us += 50 * MS;
        say_call (polite, i, "Arith.Add", 5000);
        for (int turns = 0; turns < 2; turns++) {
            say_reply (worker, only (worker, WIRE_REQUEST)->id);
            say_call (greedy, id++, "Arith.Add", 600000);
            for (size_t left = listen_to (greedy); left > 0; left--)
                next (WIRE_REPLY);
        }
        for (size_t left = listen_to (polite); left > 0; left--, answered++)
            CHECK_INT (next (WIRE_REPLY)->status, WEFT_OK);
    }
    CHECK (answered >= 49);
    finish ();
}

TEST (a_client_that_fills_the_memory_locks_nobody_out)
{
    broker_settings_t settings = usual_settings ();
    settings.memory_max = 100000;
    start_with (settings);
    peer_t *worker = worker_of (1, "Arith", 0), *greedy = client (), *polite = client ();
    for (uint64_t id = 1; id <= 30; id++)
        say_large (greedy, id, 4000);
    CHECK_INT (broker_gauges (broker).queued, 12);
    say_call (polite, 1, "Arith.Add", 5000);
    check_silent (polite);
    listen_to (greedy);
    say_credit (worker, 12); /* what it has let go of is its own again */
    CHECK_INT (broker_gauges (broker).queued, 1);
    CHECK_INT (polite->caller.bytes, 0);
    CHECK_INT (greedy->caller.bytes, broker->calls.bytes);
    lose (worker);
    CHECK_INT (greedy->caller.bytes, 0);
    finish ();
}

TEST (a_client_that_opens_calls_without_end_locks_nobody_out)
{
    broker_settings_t settings = usual_settings ();
    settings.calls_max = 100;
    start_with (settings);
    peer_t *worker = worker_of (1, "Arith", 1000), *greedy = client (), *polite = client ();
    for (uint64_t id = 1; id <= 100; id++)
        say_call (greedy, id, "Arith.Add", 5000);
    CHECK_INT (listen_to (greedy), 50);
    CHECK_INT (listen_to (worker), 50);
    for (uint64_t id = 1; id <= 25; id++)
        say_call (polite, id, "Arith.Add", 5000);
    CHECK_INT (listen_to (worker), 25);
    check_silent (polite);
    finish ();
}

TEST (a_body_over_the_limit_is_too_large)
{
    broker_settings_t settings = usual_settings ();
    settings.body_max = 4096;
    start_with (settings);
    worker_of (1, "Arith", 1);
    peer_t *caller = client ();
    say_large (caller, 1, 5000);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_TOO_LARGE, 0, "5000 bytes; the limit is 4096");
    finish ();
}
