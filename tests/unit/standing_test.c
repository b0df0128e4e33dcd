/* SPDX-License-Identifier: MPL-2.0
 *
 *  standing_test.c - how a worker comes to its brokers, and comes back. */

#include "session_fixture.h"

TEST (g3_registration_is_the_first_beat_and_is_acknowledged_before_it_is_ready)
{
    fixture_t f;
    fixture_open (&f);
    fixture_next (&f);
    CHECK_STR (fixture_opened (&f), "tcp://one:1");
    CHECK_INT (fixture_seen (&f, &f.session.post->link), 0); /* nothing before there is a connection */
    session_link_ready (&f.session, &f.session.post->link, f.now_us);
    CHECK_INT (fixture_seen (&f, &f.session.post->link), 3);
    CHECK_INT (seen [0].kind, WIRE_HELLO);
    CHECK_INT (seen [1].kind, WIRE_REGISTER);
    CHECK_INT (seen [1].incarnation, 1);
    CHECK_STR (seen [1].text, "tcp://*:4000");
    CHECK_INT (seen [2].kind, WIRE_CREDIT);
    CHECK_INT (seen [2].id, 0);
    CHECK_INT (seen [2].number, 4);

    fixture_welcome (&f, &f.session.post->link);
    CHECK_INT (f.session.state, SESSION_JOINING);
    fixture_beat_ok (&f, 0, 3000);
    CHECK_INT (f.session.state, SESSION_SERVING);
    fixture_close (&f);
}

TEST (g5_beats_are_periodic_at_the_brokers_interval)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    for (uint64_t sequence = 1; sequence <= 5; sequence++) {
        const int64_t before_us = f.now_us;
        fixture_next (&f);
        CHECK_INT (f.now_us - before_us, sequence == 1 ? 3000 * MS : 700 * MS);
        const seen_t *beat = fixture_one (&f, &f.session.post->link, WIRE_BEAT);
        CHECK_INT (beat->sequence, sequence);
        CHECK_INT (beat->load.capacity, 2);
        fixture_beat_ok (&f, sequence, 700);
    }
    fixture_close (&f);
}

TEST (g4_an_explicit_interval_is_honoured_as_far_as_the_broker_allows)
{
    fixture_t f;
    session_options_t options = fixture_options (&f);
    options.beat_ms = 500;
    fixture_open_with (&f, options);
    fixture_register (&f);
    const int64_t before_us = f.now_us;
    fixture_next (&f);
    CHECK_INT (f.now_us - before_us, 500 * MS);
    fixture_beat_ok (&f, 1, 200);
    CHECK_INT (session_next_us (&f.session), f.now_us + 200 * MS);
    fixture_close (&f);
}

TEST (beats_carry_the_load)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Add", 100000, "\x92\x07\x06", 3, NULL);
    fixture_run (&f);
    fixture_at (&f, f.now_us + 1000 * MS);
    fixture_request (&f, caller, 2, "T.Add", 100000, "\x92\x07\x06", 3, NULL);
    fixture_request (&f, caller, 3, "T.Add", 100000, "\x92\x07\x06", 3, NULL);
    weft_request_t *running = fixture_begin (&f);
    fixture_next (&f);
    const seen_t *beat = fixture_one (&f, &f.session.post->link, WIRE_BEAT);
    CHECK_INT (beat->load.in_flight, 2);
    CHECK_INT (beat->load.oldest_ms, 2000);
    CHECK_INT (beat->load.progress, 1);
    fixture_end (&f, running);
    fixture_close (&f);
}

TEST (g6_a_beat_without_answer_is_repeated_and_then_the_connection_is_made_anew)
{
    fixture_t f;
    const char *endpoint = "";
    fixture_open (&f);
    fixture_register (&f);
    for (int try = 0; try < 3; try++) {
        fixture_next (&f);
        CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_BEAT)->sequence, 1);
    }
    fixture_next (&f);
    CHECK_INT (f.session.state, SESSION_JOINING);
    CHECK_INT (session_command (&f.session, &f.link, &endpoint), STANDING_CLOSE);
    CHECK_INT (session_command (&f.session, &f.link, &endpoint), STANDING_NOTHING);
    fixture_next (&f);
    CHECK_STR (fixture_opened (&f), "tcp://two:2");
    session_link_ready (&f.session, &f.session.post->link, f.now_us);
    CHECK_INT (fixture_seen (&f, &f.session.post->link), 3);
    CHECK_INT (seen [1].incarnation, 2);
    fixture_close (&f);
}

TEST (g6_an_unacknowledged_registration_opens_a_new_connection)
{
    fixture_t f;
    const char *endpoint = "";
    fixture_open (&f);
    fixture_next (&f);
    fixture_opened (&f);
    session_link_ready (&f.session, &f.session.post->link, f.now_us);
    fixture_seen (&f, &f.session.post->link);
    for (int try = 0; try < 2; try++) {
        fixture_next (&f);
        CHECK_INT (fixture_seen (&f, &f.session.post->link), 2); /* and its window */
        CHECK_INT (seen [0].kind, WIRE_REGISTER);
        CHECK_INT (seen [0].incarnation, 1);
    }
    fixture_next (&f);
    CHECK_INT (session_command (&f.session, &f.link, &endpoint), STANDING_CLOSE);
    fixture_close (&f);
}

TEST (g6_a_broker_that_forgot_us_is_told_again_over_the_same_connection)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    fixture_next (&f);
    CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_BEAT)->sequence, 1);
    fixture_refuse (&f, WEFT_NO_WORKERS, "who are you?");
    CHECK_INT (f.session.state, SESSION_JOINING);
    CHECK_INT (fixture_seen (&f, &f.session.post->link), 2);
    CHECK_INT (seen [0].kind, WIRE_REGISTER);
    CHECK_INT (seen [0].incarnation, 2);
    CHECK_INT (seen [1].kind, WIRE_CREDIT);
    fixture_beat_ok (&f, 0, 3000);
    CHECK_INT (f.session.state, SESSION_SERVING);
    fixture_close (&f);
}

TEST (g6_a_lost_connection_is_made_anew_soon_with_growing_pauses_below_a_second)
{
    fixture_t f;
    int64_t last_us = 0;
    fixture_open (&f);
    fixture_register (&f);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "the connection was lost", f.now_us);
    CHECK_INT (f.session.state, SESSION_JOINING);
    for (int try = 0; try < 12; try++) {
        const int64_t pause_us = session_next_us (&f.session) - f.now_us;
        CHECK (pause_us >= 10 * MS && pause_us <= 800 * MS);
        CHECK (try > 0 || pause_us <= 20 * MS);
        last_us = pause_us;
        fixture_next (&f);
        CHECK_STR (fixture_opened (&f), try % 2 ? "tcp://one:1" : "tcp://two:2"); /* in turn */
        session_link_lost (&f.session, &f.session.post->link, WEFT_CONNECT_TIMEOUT, "cannot connect", f.now_us);
    }
    CHECK (last_us >= 400 * MS);
    CHECK_STR (f.session.post->standing.text, "tcp://one:1: cannot connect");
    fixture_register (&f);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "the connection was lost", f.now_us);
    CHECK (session_next_us (&f.session) - f.now_us <= 20 * MS); /* small again after a success */
    fixture_close (&f);
}

TEST (a_connection_that_does_not_come_is_given_up)
{
    fixture_t f;
    const char *endpoint = "";
    fixture_open (&f);
    fixture_next (&f);
    CHECK_STR (fixture_opened (&f), "tcp://one:1");
    const int64_t start_us = f.now_us;
    fixture_next (&f);
    CHECK_INT (f.now_us - start_us, WEFT_CONNECT_TIMEOUT_MS * MS);
    CHECK_INT (session_command (&f.session, &f.link, &endpoint), STANDING_CLOSE);
    fixture_next (&f);
    CHECK_STR (fixture_opened (&f), "tcp://two:2");
    fixture_close (&f);
}

TEST (brokers_tell_of_others)
{
    static const char *const others [] = {"tcp://three:3", "tcp://one:1", "nonsense", "tcp://*:4", NULL};
    fixture_t f;
    fixture_open (&f);
    fixture_next (&f);
    fixture_opened (&f);
    session_link_ready (&f.session, &f.session.post->link, f.now_us);
    buffer_t records = fixture_records ();
    wire_write_welcome (&records, text_of ("msgpack"), 1000, 100, "broker", others);
    wire_write_beat_ok (&records, 0, 3000, 10000, others);
    fixture_feed (&f, &f.session.post->link, &records);
    CHECK_INT (f.session.post->standing.broker_count, 3);
    for (int i = 0; i < 2; i++) {
        session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "gone", f.now_us);
        fixture_next (&f);
    }
    CHECK_STR (fixture_opened (&f), "tcp://three:3");
    fixture_close (&f);
}

TEST (a_broker_that_says_goodbye_is_left_for_another)
{
    fixture_t f;
    const char *endpoint = "";
    fixture_open (&f);
    fixture_register (&f);
    buffer_t records = fixture_records ();
    wire_write_goodbye (&records, "stopping");
    fixture_feed (&f, &f.session.post->link, &records);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "the connection was lost", f.now_us); /* it hangs up as well */
    CHECK_STR (f.session.post->standing.text, "tcp://one:1: the broker said goodbye");
    CHECK_INT (session_command (&f.session, &f.link, &endpoint), STANDING_CLOSE);
    fixture_next (&f);
    CHECK_STR (fixture_opened (&f), "tcp://two:2");
    fixture_close (&f);
}

static void check_refusal (weft_status_t status, bool before_welcome, session_state_t expected)
{
    fixture_t f;
    fixture_open (&f);
    fixture_next (&f);
    fixture_opened (&f);
    session_link_ready (&f.session, &f.session.post->link, f.now_us);
    if (!before_welcome)
        fixture_welcome (&f, &f.session.post->link);
    fixture_refuse (&f, status, "not you");
    CHECK_INT (f.session.state, expected);
    CHECK_INT (f.session.post->standing.status, status);
    CHECK_STR (f.session.post->standing.text, "tcp://one:1: not you");
    fixture_close (&f);
}

TEST (b6_a_refusal_for_good_is_final_and_a_passing_one_is_not)
{
    check_refusal (WEFT_INVALID, true, SESSION_REFUSED);
    check_refusal (WEFT_INVALID, false, SESSION_REFUSED);
    check_refusal (WEFT_PERMISSION_DENIED, false, SESSION_REFUSED);
    check_refusal (WEFT_OVERLOADED, true, SESSION_JOINING);
    check_refusal (WEFT_DRAINING, false, SESSION_JOINING);
}

TEST (g6_a_refusal_after_it_was_registered_once_is_not_final)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "gone", f.now_us);
    fixture_next (&f);
    fixture_opened (&f);
    session_link_ready (&f.session, &f.session.post->link, f.now_us);
    fixture_welcome (&f, &f.session.post->link);
    fixture_refuse (&f, WEFT_INVALID, "not you");
    CHECK_INT (f.session.state, SESSION_JOINING);
    fixture_register (&f);
    fixture_close (&f);
}

TEST (direct_calls_go_on_without_a_broker)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "gone", f.now_us);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}
