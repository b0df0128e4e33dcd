/* SPDX-License-Identifier: MPL-2.0
 *
 *  session_callers_test.c - whom a worker listens to, and what it makes of what they say. */

#include "session_fixture.h"

TEST (n11_strangers_must_say_hello_first)
{
    fixture_t f;
    fixture_open (&f);
    session_link_t *peer = session_peer_open (&f.session, NULL);
    buffer_t records = fixture_records ();
    wire_write_cancel (&records, 1);
    wire_write_cancel (&records, 2);
    fixture_feed (&f, peer, &records);
    const seen_t *refused = fixture_one (&f, peer, WIRE_REFUSED);
    CHECK_INT (refused->status, WEFT_INVALID);
    CHECK_STR (refused->text, "say HELLO first");
    fixture_hello (&f, peer, "client", "msgpack", UUID); /* better late than never */
    CHECK_STR (fixture_one (&f, peer, WIRE_WELCOME)->welcome_server, UUID);
    fixture_close (&f);
}

TEST (n11_hello_may_follow_in_the_same_message_and_a_refusal_is_not_answered)
{
    static const char *const codecs [] = {"msgpack", NULL};
    fixture_t f;
    fixture_open (&f);
    session_link_t *peer = session_peer_open (&f.session, NULL);
    fixture_feed_bytes (&f, peer, "\x93\x03\x03\xa0", 4, NULL); /* REFUSED */
    CHECK_INT (fixture_seen (&f, peer), 0);
    buffer_t records = fixture_records ();
    wire_write_cancel (&records, 1);
    wire_write_hello (&records, "client", codecs, "x", UUID);
    fixture_feed (&f, peer, &records);
    CHECK_INT (fixture_seen (&f, peer), 2);
    CHECK_INT (seen [0].kind, WIRE_REFUSED);
    CHECK_INT (seen [1].kind, WIRE_WELCOME);
    fixture_close (&f);
}

TEST (n11_a_second_hello_is_refused_and_the_first_stands)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_hello (&f, caller, "client", "xml", UUID);
    CHECK_STR (fixture_one (&f, caller, WIRE_REFUSED)->text, "HELLO was already said");
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_add (&f, caller, 2);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->id, 2);
    fixture_close (&f);
}

static void check_objection (const char *role, const char *codec, const char *uuid, weft_status_t status,
                             const char *text)
{
    fixture_t f;
    fixture_open (&f);
    session_link_t *peer = session_peer_open (&f.session, NULL);
    fixture_hello (&f, peer, role, codec, uuid);
    const seen_t *refused = fixture_one (&f, peer, WIRE_REFUSED);
    CHECK_INT (refused->status, status);
    CHECK_STR (refused->text, text);
    fixture_add (&f, peer, 1); /* of no use */
    CHECK_INT (fixture_seen (&f, peer), 0);
    CHECK_INT (fixture_take (&f), 0);
    fixture_close (&f);
}

TEST (callers_that_mean_somebody_else_are_refused)
{
    check_objection ("client", "msgpack", "99999999-2222-4333-8444-555555555555", WEFT_NO_WORKERS,
                     "this is worker " UUID ", not the one that was meant");
    check_objection ("worker", "msgpack", NULL, WEFT_INVALID, "this is a worker, not a broker");
}

TEST (a_request_for_another_worker_is_not_served)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    const wire_options_t other = {.worker = text_of ("somebody")}, me = {.worker = text_of (UUID)};
    fixture_request (&f, caller, 1, "T.Add", 1000, "\x92\x07\x06", 3, &other);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_NO_WORKERS);
    fixture_request (&f, caller, 2, "T.Add", 1000, "\x92\x07\x06", 3, &me);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

TEST (hello_and_requests_may_come_in_one_message)
{
    static const char *const codecs [] = {"msgpack", NULL};
    fixture_t f;
    fixture_open (&f);
    session_link_t *peer = session_peer_open (&f.session, NULL);
    buffer_t records = fixture_records ();
    wire_write_hello (&records, "client", codecs, "x", UUID);
    wire_write_request (&records, 1, text_of ("T.Add"), 1000, "\x92\x07\x06", 3, false, NULL);
    fixture_feed (&f, peer, &records);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, peer), 2);
    CHECK_INT (seen [0].kind, WIRE_WELCOME);
    CHECK_INT (seen [0].welcome.body_max, 100000);
    CHECK_INT (seen [1].kind, WIRE_REPLY);
    fixture_close (&f);
}

TEST (what_is_asked_over_a_connection_that_is_lost_is_not_begun)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    caller->lost = f.session.post->link.lost = true;
    fixture_add (&f, caller, 2);
    fixture_add (&f, &f.session.post->link, 2);
    CHECK_INT (fixture_take (&f), 1);
    fixture_beat_ok (&f, 0, 1000); /* the rest counts */
    fixture_cancel (&f, caller, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_CANCELLED);
    CHECK_INT (session_in_flight (&f.session), 0);
    fixture_close (&f);
}

TEST (an_id_in_use_is_refused_and_the_first_request_stands)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_add (&f, caller, 1);
    CHECK_INT (fixture_one (&f, caller, WIRE_REFUSED)->status, WEFT_INVALID);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

TEST (g9_unknown_kinds_are_skipped_and_malformed_records_refused_once)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    buffer_t records = fixture_records ();
    buffer_append (&records, "\x92\x63\x01", 3); /* kind 99 */
    wire_write_request (&records, 1, text_of ("T.Add"), 1000, "\x92\x07\x06", 3, false, NULL);
    buffer_append (&records, "\x91\x04", 2); /* a REQUEST without fields */
    wire_write_request (&records, 2, text_of ("T.Add"), 1000, "\x92\x07\x06", 3, false, NULL);
    fixture_feed (&f, caller, &records);
    const seen_t *refused = fixture_one (&f, caller, WIRE_REFUSED);
    CHECK_INT (refused->status, WEFT_INVALID);
    CHECK_STR (refused->text, "malformed REQUEST");
    CHECK_INT (f.session.stats.unknown, 1);
    CHECK_INT (f.session.stats.malformed, 1);
    fixture_run (&f); /* what came before stands, and the connection goes on */
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->id, 1);
    fixture_add (&f, caller, 3);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->id, 3);
    fixture_close (&f);
}
