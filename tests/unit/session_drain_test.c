/* SPDX-License-Identifier: MPL-2.0
 *
 *  session_drain_test.c - how a worker ends: with what runs, what waits, and who is connected. */

#include "session_fixture.h"

TEST (a_drain_hands_back_what_waits_and_finishes_what_runs)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_add (&f, caller, 2);
    weft_request_t *running = fixture_begin (&f);
    session_drain (&f.session, f.now_us);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (seen [0].kind, WIRE_DRAINING);
    CHECK_INT (seen [1].kind, WIRE_REPLY);
    CHECK_INT (seen [1].id, 2);
    CHECK_INT (seen [1].status, WEFT_DRAINING);
    CHECK_INT (seen [1].info.executed, -1);
    CHECK_INT (fixture_seen (&f, &f.session.post->link), 2);
    CHECK_INT (seen [0].kind, WIRE_DRAINING);
    CHECK_INT (seen [1].kind, WIRE_CREDIT);
    CHECK_INT (seen [1].number, 0);

    fixture_add (&f, caller, 3); /* it had not heard */
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_DRAINING);
    fixture_tick (&f, 0);
    CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_BEAT)->load.in_flight, 1);
    fixture_beat_ok (&f, 1, 3000);
    fixture_end (&f, running);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    CHECK_INT (f.session.state, SESSION_DRAINING); /* the caller has not left */

    buffer_t records = fixture_records ();
    wire_write_goodbye (&records, "bye");
    fixture_feed (&f, caller, &records);
    CHECK_INT (caller->state, LINK_GONE);
    session_peer_lost (&f.session, caller, f.now_us);
    CHECK_INT (f.session.state, SESSION_DRAINING); /* others may be on their way still */
    fixture_tick (&f, 100 * MS);
    CHECK_INT (f.session.state, SESSION_DONE);
    CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_GOODBYE)->kind, WIRE_GOODBYE);
    fixture_close (&f);
}

TEST (a_drain_does_not_wait_for_ever_for_callers_that_stay)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    session_drain (&f.session, f.now_us);
    fixture_seen (&f, caller);
    const int64_t start_us = f.now_us;
    while (f.session.state != SESSION_DONE)
        fixture_next (&f);
    CHECK_INT (f.now_us - start_us, 1000 * MS);
    CHECK_INT (fixture_one (&f, caller, WIRE_GOODBYE)->kind, WIRE_GOODBYE);
    fixture_close (&f);
}

TEST (a_drain_abandons_what_runs_too_long)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Add", 100000, "\x92\x07\x06", 3, NULL);
    weft_request_t *running = fixture_begin (&f);
    session_drain (&f.session, f.now_us);
    const int64_t start_us = f.now_us;
    while (f.session.state != SESSION_DONE)
        fixture_next (&f);
    CHECK_INT (f.now_us - start_us, 10000 * MS);
    CHECK_INT (session_in_flight (&f.session), 1);
    fixture_end (&f, running);
    fixture_close (&f);
}

TEST (a_drain_without_broker_or_callers_stays_a_moment_for_those_on_their_way)
{
    fixture_t f;
    fixture_open (&f);
    session_drain (&f.session, f.now_us);
    CHECK_INT (f.session.state, SESSION_DRAINING);
    const int64_t start_us = f.now_us;
    while (f.session.state != SESSION_DONE)
        fixture_next (&f);
    CHECK_INT (f.now_us - start_us, 100 * MS);
    CHECK_INT (session_next_us (&f.session), DEADLINES_NEVER);
    fixture_close (&f);
}

/*  Who had not heard of it may connect for as long as it takes to hear, and then to connect. */
TEST (where_ways_are_slow_a_drain_waits_longer_for_callers_on_their_way)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    session_peer_lost (&f.session, caller, f.now_us);
    session_drain (&f.session, f.now_us);
    const int64_t start_us = f.now_us;
    fixture_seen (&f, &f.session.post->link);
    fixture_tick (&f, 0);
    fixture_one (&f, &f.session.post->link, WIRE_BEAT);
    fixture_tick (&f, 80 * MS);
    fixture_beat_ok (&f, 1, 3000);
    while (f.session.state != SESSION_DONE)
        fixture_next (&f);
    CHECK_INT (f.now_us - start_us, 480 * MS);
    fixture_close (&f);
}

TEST (quitting_does_not_wait)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_add (&f, caller, 2);
    weft_request_t *running = fixture_begin (&f);
    session_quit (&f.session, f.now_us);
    CHECK_INT (f.session.state, SESSION_DONE);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (seen [0].status, WEFT_DRAINING);
    CHECK_INT (seen [1].kind, WIRE_GOODBYE);
    session_cancel_all (&f.session);
    CHECK (weft_request_cancelled (running));
    fixture_end (&f, running);
    fixture_close (&f);
}

static void feed_draining (fixture_t *f, const char *worker)
{
    buffer_t records = fixture_records ();
    mp_write_array (&records, worker ? 3 : 2);
    mp_write_uint (&records, WIRE_DRAINING);
    mp_write_text (&records, "go");
    if (worker)
        mp_write_text (&records, worker);
    fixture_feed (f, &f->session.post->link, &records);
}

TEST (a_broker_may_order_a_drain_and_its_own_is_something_else)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    feed_draining (&f, NULL);
    CHECK_INT (f.session.state, SESSION_SERVING);
    feed_draining (&f, "somebody else");
    CHECK_INT (f.session.state, SESSION_SERVING);
    feed_draining (&f, UUID);
    CHECK_INT (f.session.state, SESSION_DRAINING);
    fixture_close (&f);
}

TEST (newcomers_to_a_draining_worker_are_told)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    weft_request_t *running = fixture_begin (&f);
    session_drain (&f.session, f.now_us);
    session_link_t *peer = session_peer_open (&f.session, NULL);
    fixture_hello (&f, peer, "client", "msgpack", UUID);
    CHECK_INT (fixture_seen (&f, peer), 2);
    CHECK_INT (seen [1].kind, WIRE_DRAINING);
    fixture_end (&f, running);
    fixture_close (&f);
}
