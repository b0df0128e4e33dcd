/* SPDX-License-Identifier: MPL-2.0
 *
 *  session_test.c - what a worker decides about requests and callers. */

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
    fixture_add (&f, &f.session.link, 5);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, &f.session.link, WIRE_REPLY)->id, 5);
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
    f.session.link.body_max = 100;
    for (int i = 0; i < 2; i++) {
        session_link_t *link = i ? caller : &f.session.link;
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
        "service \"T\" has no method \"Power\"; known: Add, AddHere, Divide, Echo, Fill, Say, Nothing, Meta");
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

/*  ------------------------------------------------------------------ time  */

TEST (what_is_out_of_time_on_arrival_is_not_taken)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Add", 0, "\x92\x07\x06", 3, NULL);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_DEADLINE_EXCEEDED);
    CHECK_INT (reply->info.executed, WEFT_EXECUTED_NO);
    CHECK_INT (fixture_take (&f), 0);
    fixture_close (&f);
}

TEST (expired_work_never_starts)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Add", 50, "\x92\x07\x06", 3, NULL);
    fixture_take (&f);
    fixture_at (&f, f.now_us + 50 * MS);
    CHECK (!fixture_begin (&f)); /* nobody had ticked */
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_DEADLINE_EXCEEDED);
    CHECK_INT (reply->info.executed, WEFT_EXECUTED_NO);
    CHECK_INT (reply->info.queue_us, 50 * MS);
    CHECK_INT (session_in_flight (&f.session), 0);
    fixture_close (&f);
}

TEST (waiting_work_is_answered_when_its_time_is_up)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Add", 500, "\x92\x07\x06", 3, NULL);
    fixture_request (&f, caller, 2, "T.Add", 50, "\x92\x07\x06", 3, NULL);
    fixture_take (&f);
    CHECK_INT (session_next_us (&f.session), f.now_us + 50 * MS);
    fixture_next (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->id, 2);
    CHECK_INT (session_next_us (&f.session), f.now_us + 450 * MS);
    fixture_run (&f); /* the first runs, the second is only handed back */
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->id, 1);
    CHECK_INT (f.session.requests.dropped, 0);
    fixture_close (&f);
}

TEST (a_request_without_deadline_does_not_expire)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Add", WIRE_NO_DEADLINE, "\x92\x07\x06", 3, NULL);
    fixture_take (&f);
    fixture_at (&f, f.now_us + 100000000LL * MS);
    weft_request_t *request = fixture_begin (&f);
    CHECK (request);
    CHECK (!weft_request_cancelled (request));
    CHECK_INT (weft_request_remaining_ms (request), INT32_MAX);
    fixture_end (&f, request);
    fixture_close (&f);
}

TEST (handlers_can_ask_how_much_time_is_left)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_take (&f);
    weft_request_t *request = fixture_begin (&f);
    fixture_at (&f, f.now_us + 300 * MS);
    CHECK_INT (weft_request_remaining_ms (request), 700);
    CHECK (!weft_request_cancelled (request));
    fixture_at (&f, f.now_us + 700 * MS);
    CHECK_INT (weft_request_remaining_ms (request), 0);
    CHECK (weft_request_cancelled (request));
    fixture_end (&f, request);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK); /* still one reply */
    fixture_close (&f);
}

TEST (a_handler_that_gives_up_when_time_is_up_ends_as_its_caller_does)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Divide", 50, "\x92\x07\x00", 3, NULL);
    fixture_take (&f);
    weft_request_t *request = fixture_begin (&f);
    fixture_at (&f, f.now_us + 50 * MS);
    fixture_end (&f, request);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_DEADLINE_EXCEEDED);
    CHECK (reply->info.executed < 0); /* as the status has it: maybe */
    CHECK_INT (reply->info.code, 0);
    fixture_close (&f);
}

static session_link_t *open_with_handler_timeout (fixture_t *f, int64_t timeout_us)
{
    session_options_t options = fixture_options (f);
    options.handler_timeout_us = timeout_us;
    fixture_open_with (f, options);
    fixture_register (f);
    return fixture_caller (f);
}

TEST (s12_handler_timeout_ends_the_call_but_not_the_handler)
{
    fixture_t f;
    session_link_t *caller = open_with_handler_timeout (&f, 100 * MS);
    fixture_add (&f, caller, 1);
    fixture_take (&f);
    fixture_tick (&f, 70 * MS);
    weft_request_t *request = fixture_begin (&f);
    fixture_next (&f); /* 100 ms after it came: not yet */
    CHECK_INT (fixture_seen (&f, caller), 0);
    fixture_next (&f);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_HANDLER_TIMEOUT);
    CHECK_INT (reply->info.executed, -1); /* yes, as the status says by itself */
    CHECK_INT (reply->info.origin, WEFT_ORIGIN_WORKER);
    CHECK_INT (reply->info.handler_us, 100 * MS);
    CHECK_STR (reply->text, "handler timeout: T.Add ran longer than 100 ms");
    CHECK (weft_request_cancelled (request));

    CHECK_INT (session_in_flight (&f.session), 1); /* its slot stays lost until it returns */
    fixture_tick (&f, 1000 * MS);
    CHECK_INT (fixture_seen (&f, caller), 0);
    fixture_end (&f, request);
    CHECK_INT (fixture_seen (&f, caller), 0); /* the late result is dropped */
    CHECK_INT (f.session.requests.late, 1);
    CHECK_INT (session_in_flight (&f.session), 0);
    fixture_close (&f);
}

/*  The executor's thread finds it out of time in the moment before the session looks. */
TEST (s12_work_that_expired_unseen_is_no_handler_timeout)
{
    fixture_t f;
    session_link_t *caller = open_with_handler_timeout (&f, 100 * MS);
    fixture_add (&f, caller, 1);
    fixture_take (&f);
    executor_job_t *job = executor_batch_take (&f.held);
    CHECK (!request_begin (CONTAINER_OF (job, weft_request_t, job), f.now_us + 1000 * MS));
    fixture_tick (&f, 1000 * MS);
    CHECK_INT (fixture_seen (&f, caller), 0);
    CHECK_INT (f.session.requests.stuck, 0);
    session_finished (&f.session, job, f.now_us);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_DEADLINE_EXCEEDED);
    CHECK_INT (reply->info.executed, WEFT_EXECUTED_NO);
    CHECK_INT (f.session.requests.stuck, 0);
    CHECK_INT (f.session.standing.window_told, 4);
    fixture_close (&f);
}

/*  The calls that the broker may have open come at once, and each runs for so long, one after the other. */
static void fill_the_window (fixture_t *f, int64_t each_us)
{
    static uint64_t id;
    weft_request_t *request;

    for (uint64_t count = f->session.standing.window; count > 0; count--)
        fixture_add (f, &f->session.link, ++id);
    while (fixture_take (f)) {
        if ((request = fixture_begin (f)) == NULL)
            continue;
        fixture_at (f, f->now_us + each_us);
        fixture_end (f, request);
    }
}

TEST (quick_calls_widen_the_brokers_window_and_slow_ones_end_that)
{
    fixture_t f;
    session_options_t options = fixture_options (&f);
    options.queue_max = 10000;
    fixture_open_with (&f, options);
    fixture_register (&f);
    fixture_seen (&f, &f.session.link);
    CHECK_INT (f.session.standing.window_told, 4);

    for (int i = 0; i < 3; i++)
        fill_the_window (&f, 1);
    CHECK_INT (f.session.standing.window_told, 32);
    fill_the_window (&f, 20 * MS);
    CHECK_INT (f.session.standing.window_told, 4);
    fixture_close (&f);
}

TEST (calls_from_direct_callers_leave_the_brokers_window_alone)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    for (uint64_t id = 1; id <= 100; id += 4) {
        for (uint64_t more = 0; more < 4; more++)
            fixture_add (&f, caller, id + more);
        fixture_run (&f);
        fixture_seen (&f, caller);
    }
    CHECK_INT (f.session.standing.window_told, 4);
    fixture_close (&f);
}

TEST (a_stuck_worker_asks_for_less_and_in_the_end_for_nothing)
{
    fixture_t f;
    session_link_t *caller = open_with_handler_timeout (&f, 100 * MS);
    weft_request_t *requests [2];
    CHECK_INT (f.session.standing.window_told, 4);
    fixture_add (&f, caller, 1);
    fixture_add (&f, caller, 2);
    for (int i = 0; i < 2; i++)
        requests [i] = fixture_begin (&f);
    fixture_tick (&f, 100 * MS);
    CHECK_INT (f.session.requests.stuck, 2);
    const seen_t *credit = fixture_one (&f, &f.session.link, WIRE_CREDIT);
    CHECK_INT (credit->id, 0);
    CHECK_INT (credit->number, 0);

    fixture_end (&f, requests [0]);
    CHECK_INT (fixture_one (&f, &f.session.link, WIRE_CREDIT)->number, 4);
    fixture_end (&f, requests [1]);
    CHECK_INT (fixture_seen (&f, &f.session.link), 0); /* unchanged: nothing to say */
    fixture_close (&f);
}

/*  ------------------------------------------------------------------ cancellation  */

TEST (cancelling_queued_work_drops_it)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_take (&f);
    fixture_cancel (&f, caller, 1);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_CANCELLED);
    CHECK_INT (reply->info.executed, WEFT_EXECUTED_NO);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 0);
    CHECK_INT (f.session.requests.dropped, 0);
    fixture_close (&f);
}

TEST (cancelling_running_work_tells_the_handler_and_there_is_still_one_reply)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    weft_request_t *request = fixture_begin (&f);
    CHECK (!weft_request_cancelled (request));
    fixture_cancel (&f, caller, 1);
    fixture_cancel (&f, caller, 1);
    fixture_cancel (&f, caller, 2); /* nobody's */
    CHECK (weft_request_cancelled (request));
    CHECK_INT (fixture_seen (&f, caller), 0);
    fixture_end (&f, request);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->id, 1);
    fixture_close (&f);
}

TEST (one_caller_cannot_cancel_anothers_request)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f), *other = fixture_caller (&f);
    fixture_add (&f, caller, 1);
    fixture_add (&f, other, 1);
    fixture_cancel (&f, other, 1);
    CHECK_INT (fixture_one (&f, other, WIRE_REPLY)->status, WEFT_CANCELLED);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

TEST (a_lost_callers_work_is_cancelled_and_its_replies_dropped)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_add (&f, caller, 1);
    fixture_add (&f, caller, 2);
    weft_request_t *running = fixture_begin (&f);
    session_peer_lost (&f.session, caller, f.now_us);
    CHECK (weft_request_cancelled (running));
    fixture_end (&f, running);
    CHECK_INT (f.session.requests.late, 1);
    fixture_run (&f);
    CHECK_INT (f.session.requests.finished, 1); /* the second never ran */
    CHECK_INT (session_in_flight (&f.session) + f.session.requests.dropped, 0);
    fixture_close (&f);
}

TEST (a_lost_brokers_work_is_cancelled_and_its_replies_dropped)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    fixture_add (&f, &f.session.link, 1);
    fixture_add (&f, &f.session.link, 2);
    weft_request_t *running = fixture_begin (&f);
    session_link_lost (&f.session, WEFT_BROKER_LOST, "gone", f.now_us);
    CHECK (weft_request_cancelled (running));
    fixture_end (&f, running);
    fixture_run (&f);
    CHECK_INT (f.session.requests.late, 1);
    CHECK (outbox_empty (&f.session.link.outbox));
    fixture_register (&f); /* the next broker may use the same ids */
    fixture_add (&f, &f.session.link, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, &f.session.link, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

/*  ------------------------------------------------------------------ callers  */

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

/*  ------------------------------------------------------------------ drain  */

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
    CHECK_INT (fixture_seen (&f, &f.session.link), 2);
    CHECK_INT (seen [0].kind, WIRE_DRAINING);
    CHECK_INT (seen [1].kind, WIRE_CREDIT);
    CHECK_INT (seen [1].number, 0);

    fixture_add (&f, caller, 3); /* it had not heard */
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_DRAINING);
    fixture_tick (&f, 0);
    CHECK_INT (fixture_one (&f, &f.session.link, WIRE_BEAT)->load.in_flight, 1);
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
    CHECK_INT (fixture_one (&f, &f.session.link, WIRE_GOODBYE)->kind, WIRE_GOODBYE);
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
    fixture_feed (f, &f->session.link, &records);
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
