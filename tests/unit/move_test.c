/* SPDX-License-Identifier: MPL-2.0
 *
 *  move_test.c - a worker goes from a broker that stops to the next, and finishes what it has from the first. */

#include "session_fixture.h"

static void say_stopping (fixture_t *f, session_link_t *link)
{
    buffer_t records = fixture_records ();
    wire_write_draining (&records, "the broker is stopping");
    fixture_feed (f, link, &records);
}

/*  Opens the next broker's connection, beside the one there is. */
static session_link_t *open_next (fixture_t *f, const char *endpoint)
{
    const char *opened;
    fixture_tick (f, 0);
    while (!*(opened = fixture_opened (f)))
        fixture_next (f);
    CHECK_STR (opened, endpoint);
    session_link_ready (&f->session, f->link, f->now_us);
    return f->link;
}

static void register_at (fixture_t *f, session_link_t *link)
{
    fixture_welcome (f, link);
    CHECK_INT (fixture_seen (f, link), 3);
    CHECK_INT (seen [0].kind, WIRE_HELLO);
    CHECK_INT (seen [1].kind, WIRE_REGISTER);
    CHECK_INT (seen [2].kind, WIRE_CREDIT);
    fixture_answer (f, link, 0, 3000);
}

/*  It serves at the first broker, which stops. */
static session_link_t *serve (fixture_t *f)
{
    fixture_open (f);
    fixture_register (f);
    session_link_t *old = &f->session.post->link;
    CHECK_STR (f->session.post->standing.brokers [f->session.post->standing.broker], "tcp://one:1");
    return old;
}

static const seen_t *seen_of (int count, unsigned kind)
{
    for (int i = 0; i < count; i++)
        if (seen [i].kind == kind)
            return &seen [i];
    CHECK (!"nothing of that kind");
    return NULL;
}

/*  The old broker reads the withdrawal and says so. */
static void confirm (fixture_t *f, session_link_t *old, uint64_t sequence)
{
    fixture_tick (f, 0);
    const int count = fixture_seen (f, old);
    CHECK_INT (seen_of (count, WIRE_CREDIT)->number, 0);
    CHECK_INT (seen_of (count, WIRE_BEAT)->sequence, sequence);
    CHECK (seen_of (count, WIRE_CREDIT) < seen_of (count, WIRE_BEAT));
    fixture_answer (f, old, sequence, 3000);
}

static standing_command_t command_of (fixture_t *f, session_link_t **link)
{
    const char *endpoint;
    return session_command (&f->session, link, &endpoint);
}

TEST (a_worker_whose_broker_stops_registers_at_the_next_before_it_leaves)
{
    fixture_t f;
    session_link_t *old = serve (&f), *about;
    say_stopping (&f, old);
    session_link_t *next = open_next (&f, "tcp://two:2");
    CHECK (next != old);
    CHECK_INT (f.session.state, SESSION_SERVING);
    CHECK_INT (fixture_seen (&f, old), 0); /* it may not get there: nothing is given up yet */
    register_at (&f, next);
    CHECK (&f.session.post->link == next);
    CHECK_INT (f.session.state, SESSION_SERVING);
    CHECK_INT (f.session.post->standing.incarnation, 2);
    confirm (&f, old, 1);
    CHECK_INT (fixture_one (&f, old, WIRE_GOODBYE)->kind, WIRE_GOODBYE);
    fixture_tick (&f, 0);
    CHECK_INT (command_of (&f, &about), STANDING_PART);
    CHECK (about == old);
    CHECK (!f.session.other);
    fixture_add (&f, next, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, next, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

TEST (calls_of_the_old_broker_end_over_its_own_connection)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    fixture_add (&f, old, 1);
    weft_request_t *slow = fixture_begin (&f);
    say_stopping (&f, old);
    session_link_t *next = open_next (&f, "tcp://two:2");
    register_at (&f, next);
    CHECK_INT (fixture_one (&f, next, WIRE_CREDIT)->number, 3); /* four, less the one that it holds */
    fixture_add (&f, old, 2); /* sent before the withdrawal was read */
    confirm (&f, old, 1);
    fixture_add (&f, next, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, old, WIRE_REPLY)->id, 2);
    CHECK_INT (seen_of (fixture_seen (&f, next), WIRE_REPLY)->id, 1);
    fixture_end (&f, slow);
    CHECK_INT (fixture_seen (&f, old), 2);
    CHECK_INT (seen [0].kind, WIRE_REPLY);
    CHECK_INT (seen [0].status, WEFT_OK);
    CHECK_INT (seen [1].kind, WIRE_GOODBYE);
    CHECK_INT (fixture_one (&f, next, WIRE_CREDIT)->number, 4);
    fixture_close (&f);
}

TEST (what_the_old_broker_sent_before_it_read_the_withdrawal_is_waited_for)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    say_stopping (&f, old);
    register_at (&f, open_next (&f, "tcp://two:2"));
    fixture_tick (&f, 0);
    CHECK_INT (fixture_seen (&f, old), 2); /* no GOODBYE */
    fixture_add (&f, old, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, old, WIRE_REPLY)->status, WEFT_OK);
    fixture_answer (&f, old, 1, 3000);
    fixture_one (&f, old, WIRE_GOODBYE);
    fixture_close (&f);
}

TEST (streams_of_the_old_broker_go_on_over_its_own_connection)
{
    fixture_t f;
    const wire_options_t options = {.credit = 1};
    const weft_bytes item = {"abc", 3};
    session_link_t *old = serve (&f);
    fixture_request (&f, old, 1, "T.Stream", 60000, "\x00", 1, &options);
    weft_request_t *stream = fixture_begin (&f);
    fixture_seen (&f, old);
    say_stopping (&f, old);
    session_link_t *next = open_next (&f, "tcp://two:2");
    register_at (&f, next);
    CHECK_INT (f.session.post->standing.window_told, 4); /* it takes no room of the next one's */
    confirm (&f, old, 1);
    CHECK_INT (weft_request_send_item (stream, &item), WEFT_OK);
    session_send_items (&f.session, f.now_us);
    CHECK_INT (fixture_one (&f, old, WIRE_ITEM)->id, 1);
    buffer_t records = fixture_records ();
    wire_write_credit (&records, 1, 1);
    fixture_feed (&f, old, &records);
    CHECK_INT (weft_request_send_item (stream, &item), WEFT_OK);
    session_send_items (&f.session, f.now_us);
    fixture_one (&f, old, WIRE_ITEM);
    fixture_end (&f, stream);
    CHECK_INT (fixture_seen (&f, old), 2);
    CHECK_INT (seen [0].kind, WIRE_REPLY);
    CHECK_INT (seen [1].kind, WIRE_GOODBYE);
    fixture_close (&f);
}

TEST (a_worker_stays_where_it_is_while_no_other_broker_takes_it)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    say_stopping (&f, old);
    for (int i = 0; i < 3; i++) { /* it never tries the one that stops */
        session_link_t *next = open_next (&f, "tcp://two:2");
        if (i == 1) {
            buffer_t records = fixture_records ();
            wire_write_refused (&records, WEFT_DRAINING, "the broker is stopping");
            fixture_feed (&f, next, &records);
        } else
            session_link_lost (&f.session, next, WEFT_CONNECT_TIMEOUT, "cannot connect", f.now_us);
        fixture_seen (&f, next);
        CHECK (&f.session.post->link == old);
        CHECK_INT (f.session.state, SESSION_SERVING);
    }
    fixture_add (&f, old, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, old, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

TEST (a_worker_that_stays_goes_on_beating)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    say_stopping (&f, old);
    open_next (&f, "tcp://two:2");
    const int64_t due_us = f.now_us + 3000 * MS;
    while (fixture_seen (&f, old) == 0)
        fixture_next (&f);
    CHECK_INT (seen [0].kind, WIRE_BEAT);
    CHECK_INT (f.now_us, due_us);
    fixture_close (&f);
}

TEST (a_worker_that_knows_no_other_broker_stays)
{
    static const char *const brokers [] = {"tcp://one:1", NULL};
    fixture_t f;
    session_options_t options = fixture_options (&f);
    options.brokers = brokers;
    fixture_open_with (&f, options);
    fixture_register (&f);
    session_link_t *old = &f.session.post->link;
    say_stopping (&f, old);
    fixture_tick (&f, 100 * MS);
    CHECK_STR (fixture_opened (&f), "");
    const char *const others [] = {"tcp://two:2", NULL}; /* told with the next beat */
    while (fixture_seen (&f, old) == 0)
        fixture_next (&f);
    buffer_t records = fixture_records ();
    wire_write_beat_ok (&records, 1, 3000, 10000, others);
    fixture_feed (&f, old, &records);
    open_next (&f, "tcp://two:2");
    fixture_close (&f);
}

TEST (an_old_broker_that_is_lost_ends_its_own_calls_alone)
{
    fixture_t f;
    for (int how = 0; how < 2; how++) {
        session_link_t *old = serve (&f);
        fixture_add (&f, old, 1);
        weft_request_t *slow = fixture_begin (&f);
        say_stopping (&f, old);
        session_link_t *next = open_next (&f, "tcp://two:2");
        register_at (&f, next);
        fixture_add (&f, next, 1);
        weft_request_t *other = fixture_begin (&f);
        if (how == 0)
            session_link_lost (&f.session, old, WEFT_BROKER_LOST, "gone", f.now_us);
        else {
            buffer_t records = fixture_records ();
            wire_write_goodbye (&records, "the broker has stopped");
            fixture_feed (&f, old, &records);
        }
        CHECK (weft_request_cancelled (slow));
        CHECK (!weft_request_cancelled (other));
        CHECK (!f.session.other);
        CHECK_INT (f.session.state, SESSION_SERVING);
        fixture_seen (&f, next);
        fixture_end (&f, slow);
        fixture_end (&f, other);
        CHECK_INT (seen_of (fixture_seen (&f, next), WIRE_REPLY)->status, WEFT_OK);
        fixture_close (&f);
    }
}

TEST (a_broker_that_is_lost_before_the_next_one_stands_leaves_the_way_there)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    fixture_add (&f, old, 1);
    weft_request_t *slow = fixture_begin (&f);
    say_stopping (&f, old);
    session_link_t *next = open_next (&f, "tcp://two:2");
    session_link_lost (&f.session, old, WEFT_BROKER_LOST, "gone", f.now_us);
    CHECK (weft_request_cancelled (slow));
    CHECK_INT (f.session.state, SESSION_JOINING);
    CHECK (&f.session.post->link == next);
    register_at (&f, next);
    CHECK_INT (f.session.state, SESSION_SERVING);
    CHECK (!f.session.other);
    fixture_seen (&f, next);
    session_link_lost (&f.session, next, WEFT_BROKER_LOST, "gone", f.now_us);
    open_next (&f, "tcp://one:1"); /* which may be back */
    fixture_end (&f, slow);
    fixture_close (&f);
}

TEST (what_a_broker_asked_before_it_was_lost_is_not_answered_over_its_next_connection)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    say_stopping (&f, old);
    session_link_t *next = open_next (&f, "tcp://two:2");
    fixture_welcome (&f, next);
    fixture_add (&f, next, 1); /* although nothing is registered there */
    weft_request_t *slow = fixture_begin (&f);
    session_link_lost (&f.session, next, WEFT_BROKER_LOST, "gone", f.now_us);
    next = open_next (&f, "tcp://two:2");
    fixture_end (&f, slow);
    fixture_welcome (&f, next);
    for (int i = fixture_seen (&f, next); i-- > 0;)
        CHECK (seen [i].kind != WIRE_REPLY);
    fixture_close (&f);
}

TEST (a_worker_moves_on_when_the_next_broker_stops_as_well_and_the_first_is_left)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    fixture_add (&f, old, 1);
    weft_request_t *slow = fixture_begin (&f);
    say_stopping (&f, old);
    session_link_t *next = open_next (&f, "tcp://two:2");
    register_at (&f, next);
    confirm (&f, old, 1);
    fixture_seen (&f, next);
    say_stopping (&f, next);
    fixture_tick (&f, 100 * MS);
    CHECK_STR (fixture_opened (&f), ""); /* one old connection at a time */
    fixture_end (&f, slow);
    fixture_seen (&f, old);
    CHECK (open_next (&f, "tcp://one:1") == old);
    register_at (&f, old);
    CHECK (&f.session.post->link == old);
    CHECK_INT (f.session.post->standing.incarnation, 3);
    fixture_close (&f);
}

TEST (a_worker_that_drains_says_so_to_both_brokers)
{
    fixture_t f;
    session_link_t *old = serve (&f);
    fixture_add (&f, old, 1);
    weft_request_t *slow = fixture_begin (&f);
    say_stopping (&f, old);
    session_link_t *next = open_next (&f, "tcp://two:2");
    register_at (&f, next);
    fixture_seen (&f, next);
    session_drain (&f.session, f.now_us);
    CHECK_INT (seen_of (fixture_seen (&f, next), WIRE_CREDIT)->number, 0);
    seen_of (fixture_seen (&f, old), WIRE_DRAINING);
    fixture_end (&f, slow);
    CHECK_INT (seen_of (fixture_seen (&f, old), WIRE_REPLY)->status, WEFT_OK);
    while (f.session.state != SESSION_DONE)
        fixture_next (&f);
    seen_of (fixture_seen (&f, next), WIRE_GOODBYE);
    seen_of (fixture_seen (&f, old), WIRE_GOODBYE);
    fixture_close (&f);
}

TEST (a_worker_that_drains_gives_up_a_move_that_has_not_begun)
{
    fixture_t f;
    session_link_t *old = serve (&f), *about;
    say_stopping (&f, old);
    fixture_tick (&f, 0);
    CHECK_STR (fixture_opened (&f), "tcp://two:2");
    session_drain (&f.session, f.now_us);
    CHECK (!f.session.other);
    CHECK_INT (command_of (&f, &about), STANDING_PART);
    CHECK (about != old);
    while (f.session.state != SESSION_DONE)
        fixture_next (&f);
    fixture_close (&f);
}
