/* SPDX-License-Identifier: MPL-2.0 */

#include "broker_harness.h"

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
    only (worker, WIRE_CANCEL);
    say_beat (worker, 2);
    check_refused (worker, WEFT_NO_WORKERS, "");
    finish ();
}

TEST (a_worker_that_expires_is_told_to_cancel_what_nobody_waits_for_any_more)
{
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 5), *caller = client ();
    say_call (caller, 1, "Arith.Add", FOREVER);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    pass (10 * S);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE, "");
    CHECK_INT (only (worker, WIRE_CANCEL)->id, id); /* should it wake */
    finish ();
}

TEST (a_worker_that_is_back_is_suspected_again_in_time)
{
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 5);
    worker_of (2, "Arith", 5);
    pass (7 * S); /* both: none expires for long */
    say_beat (worker, 1);
    CHECK_INT (broker_counters (broker)->suspected, 2);
    pass (6 * S);
    CHECK_INT (broker_counters (broker)->suspected, 2);
    now_us += 500 * MS;
    broker_tick (broker, now_us);
    CHECK_INT (broker_counters (broker)->suspected, 3);
    finish ();
}

TEST (every_worker_has_its_own_deadline)
{
    start ();
    pass (30 * S);
    worker_of (1, "Arith", 5);
    peer_t *lively = worker_of (2, "Arith", 5);
    worker_of (3, "Arith", 5);
    pass (3 * S);
    worker_of (4, "Arith", 5);
    for (uint64_t i = 1; i <= 7; i++) {
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

TEST (when_many_workers_fall_silent_at_once_none_expires_for_one_ttl)
{
    start ();
    pass (30 * S);
    peer_t *silent [2] = {worker_of (1, "Arith", 5), worker_of (2, "Arith", 5)}, *others [6];
    for (unsigned i = 0; i < 6; i++)
        others [i] = worker_of (3 + i, "Arith", 5);
    for (uint64_t beat = 1; beat <= 5; beat++) { /* two of eight: a quarter */
        pass (3 * S);
        for (int i = 0; i < 6; i++)
            say_beat (others [i], beat);
    }
    CHECK_INT (broker_counters (broker)->hushes, 1);
    CHECK_INT (broker_gauges (broker).workers, 8); /* after 15 s of silence */
    say_beat (silent [0], 1);
    for (uint64_t beat = 6; beat <= 8; beat++) {
        pass (3 * S);
        for (int i = 0; i < 6; i++)
            say_beat (others [i], beat);
        say_beat (silent [0], beat);
    }
    CHECK_INT (broker_gauges (broker).workers, 7); /* it really was gone */
    CHECK_INT (broker_counters (broker)->hushes, 1);
    finish ();
}

TEST (who_fell_silent_at_once_is_found_at_once_by_a_broker_that_looks_late)
{
    start ();
    pass (30 * S);
    worker_of (1, "Arith", 5);
    peer_t *second = worker_of (2, "Arith", 5);
    pass (1 * S);
    say_beat (second, 1);
    pass (5500 * MS);
    CHECK_INT (broker_counters (broker)->suspected, 1);
    now_us += 4 * S; /* a look at the second was due after one of them */
    broker_tick (broker, now_us);
    CHECK_INT (broker_counters (broker)->stalls, 0);
    CHECK_INT (broker_counters (broker)->hushes, 1);
    CHECK_INT (broker_gauges (broker).workers, 2);
    finish ();
}

TEST (who_fell_silent_at_once_is_spared_by_a_broker_that_looks_when_their_time_is_over)
{
    start ();
    pass (30 * S);
    worker_of (1, "Arith", 5);
    worker_of (2, "Arith", 5);
    pass (6 * S);
    CHECK_INT (broker_counters (broker)->suspected, 0);
    now_us += 4500 * MS; /* short of a stall */
    broker_tick (broker, now_us);
    CHECK_INT (broker_counters (broker)->stalls, 0);
    CHECK_INT (broker_counters (broker)->suspected, 2);
    CHECK_INT (broker_counters (broker)->hushes, 1);
    CHECK_INT (broker_gauges (broker).workers, 2);
    pass (9 * S);
    CHECK_INT (broker_gauges (broker).workers, 2);
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

/*  Stuck workers ------------------------------------------------------------------------------------------------ */

/*  Four calls that do not end, however long the worker beats. */
static void get_stuck (peer_t *worker, uint64_t from)
{
    for (uint64_t i = 0; i < 5; i++) {
        pass (3 * S);
        say_load (worker, from + i, (wire_load_t){4, 4, 3000 * (i + 1), 17});
    }
}

TEST (a_stuck_worker_gets_nothing_new_while_another_takes_calls)
{
    start ();
    peer_t *stuck = worker_of (1, "Arith", 8), *caller = client ();
    get_stuck (stuck, 1);
    CHECK (registry_worker (&broker->registry, text_of (uuid (1)))->server.stuck);
    peer_t *other = worker_of (2, "Arith", 1);
    listen_to (stuck);
    say_call (caller, 1, "Arith.Add", 60000);
    say_call (caller, 2, "Arith.Add", 60000); /* the other is full, but will have room */
    check_silent (stuck);
    say_reply (other, only (other, WIRE_REQUEST)->id);
    say_reply (other, only (other, WIRE_REQUEST)->id);
    say_bound_call (caller, 3, "Arith.Add", uuid (1)); /* who asks for it gets it */
    only (stuck, WIRE_REQUEST);
    say_call (caller, 4, "Arith.Add", 60000);
    say_call (caller, 5, "Arith.Add", 60000);
    lose (other);
    CHECK_INT (listen_to (stuck), 1); /* now nobody else is there */
    finish ();
}

TEST (a_stuck_worker_gets_calls_once_nobody_else_is_there_though_none_waited_then)
{
    start ();
    peer_t *stuck = worker_of (1, "Arith", 8), *caller = client ();
    get_stuck (stuck, 1);
    peer_t *other = worker_of (2, "Arith", 1);
    listen_to (stuck);
    say_call (caller, 1, "Arith.Add", 60000); /* which shows that the stuck one takes none now */
    say_reply (other, only (other, WIRE_REQUEST)->id);
    lose (other);
    say_call (caller, 2, "Arith.Add", 60000);
    only (stuck, WIRE_REQUEST);
    finish ();
}

TEST (a_stuck_worker_that_goes_on_gets_calls_again)
{
    start ();
    peer_t *stuck = worker_of (1, "Arith", 8), *caller = client ();
    get_stuck (stuck, 1);
    worker_of (2, "Arith", 0);
    listen_to (stuck);
    say_call (caller, 1, "Arith.Add", 60000);
    check_silent (stuck);
    say_load (stuck, 6, (wire_load_t){3, 4, 16000, 18});
    CHECK_INT (listen_to (stuck), 2); /* BEAT_OK, and the call */
    finish ();
}

TEST (a_worker_with_one_call_that_hangs_and_room_beside_it_is_used_like_any)
{
    start ();
    peer_t *stuck = worker_of (1, "Arith", 8), *caller = client ();
    for (uint64_t i = 1; i <= 5; i++) {
        pass (3 * S);
        say_load (stuck, i, (wire_load_t){1, 4, 3000 * i, 17});
    }
    worker_of (2, "Arith", 0);
    listen_to (stuck);
    say_call (caller, 1, "Arith.Add", 60000);
    only (stuck, WIRE_REQUEST);
    finish ();
}
