/* SPDX-License-Identifier: MPL-2.0
 *
 *  session_test.c - what a worker does with a request: where it runs, how it is answered or turned down. */

#include "session_fixture.h"

/*  ------------------------------------------------------------------ calls  */

TEST (s6_a_request_is_run_and_its_id_echoed)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 99);
    CHECK_INT (fixture_seen (&f, caller), 0);
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->id, 99);
    CHECK_INT (reply->status, WEFT_OK);
    CHECK_MEM (reply->body, reply->body_size, "\x0d", 1);
    CHECK_INT (reply->info.executed, -1);
    CHECK_INT (session_in_flight (&f.session), 0);
    fixture_close (&f);
}

TEST (after_a_burst_the_same_memory_serves_one_call_after_another)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    for (uint64_t id = 1; id <= 3; id++)
        fixture_add (&f, caller, id);
    fixture_run (&f);
    fixture_add (&f, caller, 4);
    weft_request_t *first = fixture_begin (&f);
    fixture_end (&f, first);
    fixture_add (&f, caller, 5);
    weft_request_t *second = fixture_begin (&f);
    CHECK (second == first);
    fixture_end (&f, second);
    CHECK_INT (fixture_seen (&f, caller), 5);
    fixture_close (&f);
}

TEST (routed_requests_are_answered_to_the_broker)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    fixture_add (&f, &f.session.post->link, 5);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_REPLY)->id, 5);
    fixture_close (&f);
}

TEST (n12_handlers_fail_with_their_own_code_and_text)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Divide", 1000, "\x92\x07\x00", 3, NULL);
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_APP_ERROR);
    CHECK_INT (reply->info.code, 33);
    CHECK_STR (reply->text, "division by zero");
    CHECK_INT (reply->body_size, 0);
    fixture_close (&f);
}

TEST (n12_a_handlers_own_status_is_the_applications_and_it_ran)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Say", 1000, "\x0c", 1, NULL); /* OVERLOADED */
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OVERLOADED);
    CHECK_INT (reply->info.executed, WEFT_EXECUTED_YES);
    CHECK_INT (reply->info.origin, WEFT_ORIGIN_APPLICATION);

    fixture_request (&f, caller, 2, "T.Say", 1000, "\x63", 1, NULL); /* 99 */
    fixture_run (&f);
    reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_INTERNAL);
    CHECK_STR (reply->text, "the handler of T.Say returned 99, which is no status");
    fixture_close (&f);
}

TEST (s5_replies_to_a_batch_are_each_whole_and_in_order_of_finishing)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    buffer_t records = fixture_records ();
    for (uint64_t id = 1; id <= 3; id++)
        wire_write_request (&records, id, text_of ("T.Add"), 1000,
                            (const uint8_t []){0x92, (uint8_t) id, (uint8_t) id}, 3, false, NULL);
    fixture_feed (&f, caller, &records);
    weft_request_t *first = fixture_begin (&f), *second = fixture_begin (&f), *third = fixture_begin (&f);
    fixture_end (&f, third);
    fixture_end (&f, first);
    fixture_end (&f, second);
    CHECK_INT (fixture_seen (&f, caller), 3);
    CHECK_INT (seen [0].id, 3);
    CHECK_INT (seen [0].body [0], 6);
    CHECK_INT (seen [1].id, 1);
    CHECK_INT (seen [1].body [0], 2);
    CHECK_INT (seen [2].id, 2);
    CHECK_INT (seen [2].body [0], 4);
    fixture_close (&f);
}

TEST (s4_a_caller_is_served_until_it_says_goodbye)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    for (uint64_t id = 1; id <= 20; id++) {
        fixture_add (&f, caller, id);
        fixture_run (&f);
        CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->id, id);
    }
    buffer_t records = fixture_records ();
    wire_write_goodbye (&records, "bye");
    fixture_feed (&f, caller, &records);
    CHECK_INT (caller->state, LINK_GONE);
    fixture_close (&f);
}

TEST (what_promises_to_be_quick_is_run_as_it_is_read_and_other_work_put_off)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.AddHere", 1000, "\x92\x01\x02", 3, NULL);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->body [0], 3);
    fixture_add (&f, caller, 2);
    CHECK_INT (fixture_seen (&f, caller), 0);
    CHECK_INT (session_in_flight (&f.session), 1);
    CHECK_INT (session_soon (&f.session)->count, 1);
    fixture_close (&f);
}

TEST (where_a_method_runs_depends_on_how_long_it_took)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    f.may_run = true;
    fixture_add (&f, caller, 1);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->body [0], 13); /* unknown: as it is read */

    method_t *method = services_find (&f.services, text_of ("T.Add"));
    for (int i = 0; i < 100; i++)
        pace_note (&method->pace, 20);
    fixture_add (&f, caller, 2);
    fixture_add (&f, caller, 3);
    CHECK_INT (session_soon (&f.session)->count, 2);
    CHECK (session_soon (&f.session)->cost_ns > 30000);
    CHECK (!session_soon (&f.session)->first->unknown);
    pace_note_slow (&method->pace);
    fixture_add (&f, caller, 4);
    CHECK_INT (session_away (&f.session)->count, 1);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 3);
    fixture_close (&f);
}

TEST (a_request_that_takes_long_where_it_was_read_is_open_like_any_other)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    message_t message;
    buffer_t records = fixture_records ();
    wire_write_request (&records, 1, text_of ("T.Add"), 1000, "\x92\x07\x06", 3, false, NULL);
    wire_write_request (&records, 1, text_of ("T.Add"), 1000, "\x92\x07\x06", 3, false, NULL);
    wire_write_cancel (&records, 1);
    message_init (&message);
    CHECK (message_add_bytes (&message, records.data, records.size));

    session_receive (&f.session, caller, &message, f.now_us);
    weft_request_t *request = session_next (&f.session, true, f.now_us);
    CHECK (request && request_begin_here (request, f.now_us));
    CHECK (request->job.unknown);
    CHECK_INT (session_in_flight (&f.session), 0);
    fixture_at (&f, f.now_us + 2 * MS);
    session_adopt (&f.session, &request->job, f.now_us); /* another thread reads on */
    CHECK_INT (session_in_flight (&f.session), 1);
    CHECK (!session_next (&f.session, true, f.now_us));
    CHECK (weft_request_cancelled (request));
    CHECK_INT (fixture_one (&f, caller, WIRE_REFUSED)->status, WEFT_INVALID); /* its id is in use */

    fixture_add (&f, caller, 2); /* the like of it is not run here again */
    CHECK_INT (session_away (&f.session)->count, 1);
    fixture_end (&f, request);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->id, 1);
    CHECK_INT (reply->body [0], 13);
    CHECK_INT (session_in_flight (&f.session), 1);
    message_fini (&message);
    buffer_fini (&records);
    fixture_close (&f);
}

TEST (large_bodies_travel_as_attachments_both_ways)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    enum { SIZE = 5000 };
    zmq_msg_t body;
    buffer_t records = fixture_records ();
    wire_write_request (&records, 1, text_of ("T.Echo"), 1000, NULL, 0, true, NULL);
    zmq_msg_init_size (&body, SIZE + 3);
    memset (zmq_msg_data (&body), 'x', SIZE + 3);
    memcpy (zmq_msg_data (&body), "\xc5\x13\x88", 3); /* bin, 5000 bytes */
    fixture_feed_bytes (&f, caller, records.data, records.size, &body);
    buffer_fini (&records);
    zmq_msg_close (&body);
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OK);
    CHECK (reply->attached);
    CHECK_INT (reply->body_size, SIZE + 3);
    CHECK_INT (reply->body [SIZE], 'x');

    fixture_add (&f, caller, 2); /* the same request object, after a large reply */
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->body [0], 13);
    fixture_close (&f);
}

TEST (a_reply_over_the_limit_is_too_large_and_it_ran)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Fill", 1000, "\xce\x00\x01\x86\xa0", 5,
                     NULL); /* 100000 and a header */
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_TOO_LARGE);
    CHECK_INT (reply->info.executed, WEFT_EXECUTED_YES);
    CHECK_INT (reply->info.origin, WEFT_ORIGIN_WORKER);
    CHECK_STR (reply->text, "the reply of T.Fill is over the limit of 100000 bytes");
    fixture_close (&f);
}

TEST (a_reply_over_the_brokers_limit_is_not_sent_to_it)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    f.session.post->link.body_max = 100;
    for (int i = 0; i < 2; i++) {
        session_link_t *link = i ? caller : &f.session.post->link;
        fixture_request (&f, link, 1, "T.Fill", 1000, "\x7f", 1, NULL);
        fixture_run (&f);
        const seen_t *reply = fixture_one (&f, link, WIRE_REPLY);
        CHECK_INT (reply->status, i ? WEFT_OK : WEFT_TOO_LARGE);
        CHECK_STR (reply->text, i ? "" : "the reply of T.Fill is over the broker's limit of 100 bytes");
    }
    fixture_close (&f);
}

TEST (handlers_see_the_callers_metadata)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    const uint8_t map [] = "\x82\xa4zone\xa1x\xa6" "colour\xa5green";
    const wire_options_t options = {.meta = mp_reader (map, sizeof map - 1)};
    fixture_request (&f, caller, 1, "T.Meta", 1000, NULL, 0, &options);
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OK);
    CHECK_MEM (reply->body, reply->body_size, "\xc4\x05green", 7);
    fixture_close (&f);
}

TEST (times_are_told_when_they_are_long_or_the_call_fails)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_take (&f);
    fixture_at (&f, f.now_us + 2 * MS);
    weft_request_t *request = fixture_begin (&f);
    fixture_at (&f, f.now_us + 5 * MS);
    fixture_end (&f, request);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->info.queue_us, 2 * MS);
    CHECK_INT (reply->info.handler_us, 5 * MS);

    fixture_request (&f, caller, 2, "T.Divide", 1000, "\x92\x07\x00", 3, NULL);
    fixture_take (&f);
    fixture_at (&f, f.now_us + 10);
    request = fixture_begin (&f);
    fixture_at (&f, f.now_us + 20);
    fixture_end (&f, request);
    reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->info.queue_us, 10);
    CHECK_INT (reply->info.handler_us, 20);
    fixture_close (&f);
}

/*  ------------------------------------------------------------------ codecs  */

TEST (s1_json_and_raw_bodies_are_served)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    const wire_options_t json = {.codec = text_of ("json")}, raw = {.codec = text_of ("raw")};
    fixture_request (&f, caller, 1, "T.Add", 1000, "{\"b\": 4, \"a\": 3}", 16, &json);
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_MEM (reply->body, reply->body_size, "7", 1);

    fixture_request (&f, caller, 2, "T.Echo", 1000, "abc", 3, &raw);
    fixture_run (&f);
    reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_MEM (reply->body, reply->body_size, "abc", 3);

    fixture_request (&f, caller, 3, "T.Add", 1000, "abc", 3, &raw);
    fixture_run (&f);
    reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_INVALID);
    CHECK_INT (reply->info.executed, -1); /* no, as the status says by itself */
    CHECK (strncmp (reply->text, "reading body: ", 14) == 0);
    fixture_close (&f);
}

TEST (s3_the_codec_is_agreed_once_and_unknown_ones_are_refused_with_the_list)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    session_link_t *peer = session_peer_open (&f.session, NULL);
    fixture_hello (&f, peer, "client", "json", NULL);
    CHECK_STR (fixture_one (&f, peer, WIRE_WELCOME)->welcome_codec, "json");
    fixture_request (&f, peer, 1, "T.Add", 1000, "[3,4]", 5, NULL);
    fixture_run (&f);
    CHECK_MEM (fixture_one (&f, peer, WIRE_REPLY)->body, 1, "7", 1);

    session_link_t *odd = session_peer_open (&f.session, NULL);
    fixture_hello (&f, odd, "client", "xml", NULL);
    const seen_t *refused = fixture_one (&f, odd, WIRE_REFUSED);
    CHECK_INT (refused->status, WEFT_INVALID);
    CHECK_STR (refused->text, "unknown codec \"xml\"; known: msgpack, json, raw");

    const wire_options_t xml = {.codec = text_of ("xml")};
    fixture_request (&f, peer, 2, "T.Add", 1000, "[3,4]", 5, &xml);
    const seen_t *reply = fixture_one (&f, peer, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_INVALID);
    CHECK_STR (reply->text, "unknown codec \"xml\"; known: msgpack, json, raw");
    fixture_close (&f);
}

TEST (n9_a_body_that_does_not_decode_says_so_and_did_not_run)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Add", 1000, "\x92\x07\xa1x", 4, NULL);
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_INVALID);
    CHECK_STR (reply->text, "reading body: field b: expected int64, got string");
    CHECK_INT (reply->info.origin, WEFT_ORIGIN_WORKER);
    fixture_add (&f, caller, 2); /* the connection goes on */
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

/*  ------------------------------------------------------------------ names  */

static const seen_t *refusal_of (fixture_t *f, session_link_t *caller, const char *method)
{
    fixture_request (f, caller, 1, method, 1000, NULL, 0, NULL);
    const seen_t *reply = fixture_one (f, caller, WIRE_REPLY);
    CHECK_INT (reply->info.origin, WEFT_ORIGIN_WORKER);
    return reply;
}

TEST (n14_names_without_a_dot_are_ill_formed)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    const seen_t *reply = refusal_of (&f, caller, "Add");
    CHECK_INT (reply->status, WEFT_INVALID);
    CHECK_STR (reply->text, "ill-formed method name \"Add\": want \"Service.Method\"");
    reply = refusal_of (&f, caller, "T.\nAdd");
    CHECK_STR (reply->text, "ill-formed method name \"T.?Add\": want \"Service.Method\"");
    CHECK_INT (refusal_of (&f, caller, "")->status, WEFT_INVALID);
    CHECK_INT (refusal_of (&f, caller, ".Add")->status, WEFT_INVALID);
    CHECK_INT (refusal_of (&f, caller, "T.")->status, WEFT_INVALID);
    fixture_close (&f);
}

TEST (n15_unknown_service_and_method_each_have_their_own_status)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    const seen_t *reply = refusal_of (&f, caller, "U.Add");
    CHECK_INT (reply->status, WEFT_NO_SERVICE);
    CHECK_STR (reply->text, "no service \"U\" at this worker; known: T, weft.Worker");
    reply = refusal_of (&f, caller, "T.Power");
    CHECK_INT (reply->status, WEFT_UNIMPLEMENTED);
    CHECK_STR (
        reply->text,
        "service \"T\" has no method \"Power\"; known: Add, AddHere, Divide, Echo, Fill, Say, Nothing, Meta, Count, CountHere, Stream");
    reply = refusal_of (&f, caller, "weft.Worker.Fly");
    CHECK_INT (reply->status, WEFT_UNIMPLEMENTED);
    CHECK_STR (reply->text, "service \"weft.Worker\" has no method \"Fly\"; known: Ping, Stats, Describe");
    fixture_close (&f);
}

/*  ------------------------------------------------------------------ bounds  */

TEST (a_full_queue_says_overloaded_and_nothing_ran)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    for (uint64_t id = 1; id <= 5; id++) /* 2 at once and 3 queued */
        fixture_add (&f, caller, id);
    CHECK_INT (fixture_seen (&f, caller), 0);
    fixture_add (&f, caller, 6);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OVERLOADED);
    CHECK_INT (reply->id, 6);
    CHECK_INT (reply->info.executed, -1);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 5);
    fixture_add (&f, caller, 7);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

static void check_overloaded (fixture_t *f, session_link_t *caller, uint64_t id)
{
    const seen_t *reply = fixture_one (f, caller, WIRE_REPLY);
    CHECK_INT (reply->id, id);
    CHECK_INT (reply->status, WEFT_OVERLOADED);
    CHECK_INT (reply->info.executed, -1);
    CHECK (strstr (reply->text, "memory"));
}

TEST (what_waits_and_runs_takes_no_more_than_its_bytes_but_one_is_always_let_in)
{
    fixture_t f;
    memset (&f, 0, sizeof f);
    session_options_t options = fixture_options (&f);
    options.queue_max = 100;
    options.queue_bytes_max = 20000;
    fixture_open_with (&f, options);
    fixture_register (&f);
    session_link_t *caller = fixture_caller (&f);
    fixture_echo (&f, caller, 1, 1000, 30000, NULL);
    fixture_add (&f, caller, 2);
    check_overloaded (&f, caller, 2);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);

    fixture_echo (&f, caller, 3, 1000, 9000, NULL);
    fixture_echo (&f, caller, 4, 1000, 9000, NULL);
    fixture_echo (&f, caller, 5, 1000, 9000, NULL);
    check_overloaded (&f, caller, 5);
    weft_request_t *request = fixture_begin (&f);
    fixture_echo (&f, caller, 6, 1000, 9000, NULL);
    check_overloaded (&f, caller, 6); /* what runs takes as much */
    fixture_cancel (&f, caller, 4);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_CANCELLED);
    fixture_echo (&f, caller, 7, 1000, 9000, NULL); /* though the one that was cancelled is not back yet */
    CHECK_INT (fixture_seen (&f, caller), 0);
    fixture_end (&f, request);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (f.session.requests.bytes, 0);
    fixture_close (&f);
}

TEST (a_body_over_the_limit_is_too_large_and_nothing_ran)
{
    fixture_t f;
    session_options_t options = fixture_options (&f);
    options.body_max = 100;
    fixture_open_with (&f, options);
    f.session.options.services = &f.services;
    session_link_t *caller = fixture_caller (&f);
    char body [101] = {0};
    fixture_request (&f, caller, 1, "T.Echo", 1000, body, sizeof body, NULL);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_TOO_LARGE);
    CHECK_INT (reply->info.executed, -1);
    fixture_close (&f);
}

/*  Whatever ids a caller takes: each REQUEST and CANCEL looks its own up. */
TEST (ids_that_look_alike_are_found_as_fast_as_others)
{
    enum { COUNT = 1000, CHAINS = 4096 };
    fixture_t f;
    session_options_t options = fixture_options (&f);
    options.queue_max = COUNT;
    fixture_open_with (&f, options);
    session_link_t *caller = fixture_caller (&f);
    for (unsigned shift = 0; shift <= 48; shift += 4) {
        for (uint64_t id = 1; id <= COUNT; id++)
            fixture_request (&f, caller, id << shift, "T.Add", 1000, "\x92\x07\x06", 3, NULL);
        CHECK_INT (session_in_flight (&f.session), COUNT);
        for (int chain = 0; chain < CHAINS; chain++) {
            int length = 0;
            for (weft_request_t *at = f.session.requests.index [chain]; at; at = at->next_in_index)
                length++;
            CHECK (length <= 8);
        }
        fixture_run (&f);
        outbox_clear (&caller->outbox);
    }
    fixture_close (&f);
}

TEST (callers_are_bounded)
{
    fixture_t f;
    fixture_open (&f);
    session_link_t *last = NULL;
    for (int i = 0; i < 8; i++)
        CHECK (last = session_peer_open (&f.session, NULL));
    CHECK (!session_peer_open (&f.session, NULL));
    session_peer_lost (&f.session, last, f.now_us);
    CHECK (session_peer_open (&f.session, NULL));
    fixture_close (&f);
}

/*  ------------------------------------------------------------------ weft.Worker  */

TEST (n16_a_worker_tells_of_itself)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    const wire_options_t json = {.codec = text_of ("json")};
    fixture_request (&f, caller, 1, "T.Divide", 1000, "\x92\x07\x00", 3, NULL);
    fixture_run (&f);
    fixture_seen (&f, caller);

    fixture_at (&f, f.now_us + 5 * MS);
    fixture_request (&f, caller, 2, "weft.Worker.Ping", 1000, "null", 4, &json);
    fixture_run (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OK);
    CHECK_MEM (reply->body, reply->body_size, "{\"uuid\":\"" UUID "\",\"age_ms\":5}", 8 + 1 + 36 + 13);

    fixture_request (&f, caller, 3, "weft.Worker.Stats", 1000, "{}", 2, &json);
    fixture_run (&f);
    reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OK);
    CHECK (
        strstr ((const char *) reply->body, "\"in_flight\":0,\"capacity\":2,\"finished\":2,\"refused\":0"));
    CHECK (strstr ((const char *) reply->body, "],\"again\":0}"));
    CHECK (strstr ((const char *) reply->body, "{\"name\":\"T.Divide\",\"calls\":1,\"errors\":1,"));
    const char *add_at = strstr ((const char *) reply->body, "T.Add\"");
    CHECK (add_at && add_at < strstr ((const char *) reply->body, "T.Divide"));
    CHECK (!strstr ((const char *) reply->body, "weft.Worker"));

    fixture_request (&f, caller, 4, "weft.Worker.Describe", 1000, NULL, 0, NULL);
    fixture_request (&f, caller, 5, "weft.Worker.Describe", 1000, "{}", 2, &json);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (seen [0].status, WEFT_OK);
    CHECK_INT (seen [1].status, WEFT_OK);
    CHECK (strstr (
        (const char *) seen [1].body,
        "{\"services\":[{\"name\":\"T\",\"version\":\"\",\"methods\":[{\"name\":\"Add\",\"idempotent\":true,"
        "\"inline\":false,\"stream\":false,\"arguments\":[\"struct\",\"pair\",\"a\",\"int64\",\"b\","
        "\"int64\"],\"reply\":\"int64\"}"));
    fixture_close (&f);
}
