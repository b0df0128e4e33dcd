/* SPDX-License-Identifier: MPL-2.0
 *
 *  keyed_test.c - what a worker makes of requests with a request key. */

#include <malloc.h>
#include "dice.h"
#include "keyed.h"
#include "session_fixture.h"

/*  T.Count (number) under a key. */
static void ask (fixture_t *f, session_link_t *link, uint64_t id, const char *key, uint8_t number, uint32_t remaining_ms)
{
    const wire_options_t options = {.request_key = text_of (key)};
    fixture_request (f, link, id, "T.Count", remaining_ms, &number, 1, &options);
}

static void lose (fixture_t *f, session_link_t *caller)
{
    session_peer_lost (&f->session, caller, f->now_us);
}

/*  The one reply that waits there: a run's number. */
static void check_run (fixture_t *f, session_link_t *link, uint64_t id, int64_t run)
{
    const seen_t *reply = fixture_one (f, link, WIRE_REPLY);
    CHECK_INT (reply->id, id);
    CHECK_STR (weft_status_str (reply->status), "OK");
    CHECK_INT (reply->body_size, 1);
    CHECK_INT (reply->body [0], run);
}

static void check_end (fixture_t *f, session_link_t *link, uint64_t id, weft_status_t status, weft_executed_t executed)
{
    const seen_t *reply = fixture_one (f, link, WIRE_REPLY);
    CHECK_INT (reply->id, id);
    CHECK_STR (weft_status_str (reply->status), weft_status_str (status));
    CHECK_STR (weft_executed_str (reply->info.executed < 0 ? weft_status_executed (reply->status)
                                                           : (weft_executed_t) reply->info.executed),
               weft_executed_str (executed));
}

static session_link_t *begin (fixture_t *f)
{
    fixture_runs = 0;
    return fixture_serving (f);
}

/*  All is over: nothing is open, and nobody waits. */
static void end (fixture_t *f)
{
    CHECK_INT (session_in_flight (&f->session), 0);
    CHECK_INT (requests_held (&f->session.requests), 0);
    CHECK_INT (f->session.requests.bytes, 0);
    CHECK_INT (f->session.requests.replies.works.count, f->session.requests.replies.over.count);
    fixture_close (f);
}

/*  ------------------------------------------------------------------ once  */

TEST (the_first_reply_comes_again_and_nothing_runs)
{
    fixture_t f;
    session_link_t *caller = begin (&f), *other = fixture_caller (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 1, 1);
    ask (&f, caller, 2, "k", 5, 1000);
    check_run (&f, caller, 2, 1);
    ask (&f, other, 1, "k", 5, 1000);
    check_run (&f, other, 1, 1);
    ask (&f, &f.session.post->link, 9, "k", 5, 1000);
    check_run (&f, &f.session.post->link, 9, 1);
    CHECK_INT (fixture_runs, 1);
    CHECK_INT (f.session.requests.again, 3);
    ask (&f, caller, 3, "another", 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 3, 2);
    end (&f);
}

TEST (an_error_comes_again_with_its_code_and_text)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    for (uint64_t id = 1; id <= 2; id++) {
        fixture_request (&f, caller, id, "T.Divide", 1000, "\x92\x07\x00", 3, &options);
        CHECK_INT (fixture_take (&f), id == 1);
        fixture_run (&f);
        const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
        CHECK_INT (reply->status, WEFT_APP_ERROR);
        CHECK_INT (reply->info.code, 33);
        CHECK_STR (reply->text, "division by zero");
    }
    end (&f);
}

TEST (what_is_run_as_it_is_read_is_remembered_too)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    for (uint64_t id = 1; id <= 3; id++) {
        fixture_request (&f, caller, id, "T.CountHere", 1000, "\x05", 1, &options);
        check_run (&f, caller, id, 1);
    }
    end (&f);
}

TEST (those_that_come_while_it_waits_or_runs_get_the_reply_when_it_is_there)
{
    fixture_t f;
    session_link_t *caller = begin (&f), *other = fixture_caller (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    ask (&f, caller, 2, "k", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    CHECK_INT (fixture_take (&f), 0);
    ask (&f, other, 1, "k", 5, 1000);
    ask (&f, &f.session.post->link, 7, "k", 5, 1000);
    CHECK_INT (fixture_take (&f), 0);
    CHECK_INT (session_in_flight (&f.session), 4);
    CHECK_INT (fixture_seen (&f, other) + fixture_seen (&f, caller), 0);
    fixture_end (&f, request);
    CHECK_INT (fixture_seen (&f, caller), 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT (seen [i].id, i + 1);
        CHECK_INT (seen [i].body [0], 1);
    }
    check_run (&f, other, 1, 1);
    check_run (&f, &f.session.post->link, 7, 1);
    CHECK_INT (fixture_runs, 1);
    end (&f);
}

TEST (a_lost_caller_comes_again_for_the_reply_and_its_handler_is_not_told_to_stop)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    lose (&f, caller);
    CHECK (!weft_request_cancelled (request));
    caller = fixture_caller (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    CHECK_INT (fixture_take (&f), 0);
    fixture_end (&f, request);
    check_run (&f, caller, 1, 1);
    end (&f);
}

TEST (a_reply_that_nobody_waited_for_is_there_for_who_comes_again)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    lose (&f, caller);
    fixture_end (&f, request);
    CHECK_INT (f.session.requests.late, 1);
    caller = fixture_caller (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    check_run (&f, caller, 1, 1);
    end (&f);
}

TEST (calls_through_a_lost_broker_are_answered_through_the_next)
{
    fixture_t f;
    begin (&f);
    ask (&f, &f.session.post->link, 1, "k", 5, 60000);
    weft_request_t *request = fixture_begin (&f);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "lost", f.now_us);
    CHECK (!weft_request_cancelled (request));
    fixture_register (&f);
    ask (&f, &f.session.post->link, 1, "k", 5, 60000);
    fixture_end (&f, request);
    check_run (&f, &f.session.post->link, 1, 1);
    end (&f);
}

/*  ------------------------------------------------------------------ what never ran  */

TEST (what_was_dropped_before_it_began_runs_when_it_is_asked_for_again)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "cancelled", 5, 1000);
    fixture_cancel (&f, caller, 1);
    check_end (&f, caller, 1, WEFT_CANCELLED, WEFT_EXECUTED_NO);
    ask (&f, caller, 2, "late", 5, 10);
    fixture_tick (&f, 20 * MS);
    check_end (&f, caller, 2, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO);
    ask (&f, caller, 3, "lost", 5, 1000);
    lose (&f, caller);
    fixture_run (&f);
    CHECK_INT (fixture_runs, 0);
    CHECK_INT (f.session.requests.replies.works.count, 0);
    caller = fixture_caller (&f);
    static const char *const keys [] = {"cancelled", "late", "lost"};
    for (uint64_t id = 1; id <= 3; id++) {
        ask (&f, caller, id, keys [id - 1], 5, 1000);
        fixture_run (&f);
        check_run (&f, caller, id, (int64_t) id);
    }
    end (&f);
}

TEST (when_the_first_runs_out_of_time_in_the_queue_the_next_one_runs)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "k", 5, 10);
    fixture_take (&f);
    ask (&f, caller, 2, "k", 5, 1000);
    ask (&f, caller, 3, "k", 5, 1000);
    fixture_tick (&f, 20 * MS);
    check_end (&f, caller, 1, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE); /* its work is still to be done */
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (seen [0].id, 2);
    CHECK_INT (seen [1].id, 3);
    CHECK_INT (fixture_runs, 1);

    ask (&f, caller, 4, "late", 5, 10);
    fixture_take (&f);
    ask (&f, caller, 5, "late", 5, 1000);
    fixture_at (&f, f.now_us + 20 * MS);
    CHECK (!fixture_begin (&f)); /* found out by the thread that would have run it */
    check_end (&f, caller, 4, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    fixture_run (&f);
    check_run (&f, caller, 5, 2);
    end (&f);
}

TEST (a_first_one_that_is_lost_or_cancelled_runs_for_the_others)
{
    fixture_t f;
    session_link_t *caller = begin (&f), *other = fixture_caller (&f);
    ask (&f, caller, 1, "a", 5, 1000);
    ask (&f, other, 1, "a", 5, 1000);
    lose (&f, caller);
    fixture_run (&f);
    check_run (&f, other, 1, 1);
    ask (&f, other, 2, "b", 5, 1000);
    ask (&f, other, 3, "b", 5, 1000);
    fixture_cancel (&f, other, 2);
    CHECK_INT (fixture_seen (&f, other), 0);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, other), 2);
    CHECK_INT (fixture_runs, 2);
    end (&f);
}

TEST (arguments_that_cannot_be_read_are_not_remembered)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    for (uint64_t id = 1; id <= 2; id++)
        fixture_request (&f, caller, id, "T.Count", 1000, "\xa1x", 2, &options);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT (seen [i].status, WEFT_INVALID);
        CHECK (strstr (seen [i].text, "reading body"));
    }
    ask (&f, caller, 3, "k", 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 3, 1);
    end (&f);
}

TEST (other_arguments_under_the_same_key_are_refused)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    ask (&f, caller, 2, "k", 6, 1000);
    check_end (&f, caller, 2, WEFT_INVALID, WEFT_EXECUTED_NO);
    fixture_run (&f);
    check_run (&f, caller, 1, 1);
    ask (&f, caller, 3, "k", 6, 1000);
    check_end (&f, caller, 3, WEFT_INVALID, WEFT_EXECUTED_NO);
    CHECK (strstr (seen [0].text, "request key"));
    const wire_options_t json = {.request_key = text_of ("k"), .codec = text_of ("json")};
    fixture_request (&f, caller, 4, "T.Count", 1000, "\x05", 1, &json);
    check_end (&f, caller, 4, WEFT_INVALID, WEFT_EXECUTED_NO);
    end (&f);
}

/*  ------------------------------------------------------------------ time and cancellation  */

TEST (a_handler_that_runs_too_long_ends_all_that_wait_and_stays_ended)
{
    fixture_t f;
    fixture_runs = 0;
    memset (&f, 0, sizeof f);
    session_options_t options = fixture_options (&f);
    options.handler_timeout_us = 50 * MS;
    fixture_open_with (&f, options);
    fixture_register (&f);
    session_link_t *caller = fixture_caller (&f), *other = fixture_caller (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    ask (&f, other, 1, "k", 5, 1000);
    ask (&f, other, 2, "k", 5, 1000);
    fixture_tick (&f, 60 * MS);
    check_end (&f, caller, 1, WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES);
    CHECK_INT (fixture_seen (&f, other), 2);
    for (int i = 0; i < 2; i++)
        CHECK_INT (seen [i].status, WEFT_HANDLER_TIMEOUT);
    ask (&f, other, 3, "k", 5, 1000); /* while it goes on */
    check_end (&f, other, 3, WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES);
    fixture_end (&f, request);
    ask (&f, other, 4, "k", 5, 1000);
    check_end (&f, other, 4, WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES);
    CHECK_INT (fixture_runs, 1);
    end (&f);
}

TEST (one_that_waits_ends_at_its_own_deadline)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    ask (&f, caller, 2, "k", 5, 10);
    fixture_tick (&f, 20 * MS);
    check_end (&f, caller, 2, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    fixture_end (&f, request);
    check_run (&f, caller, 1, 1);
    end (&f);
}

TEST (a_handler_is_told_to_stop_when_nobody_wants_its_reply_any_more)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    ask (&f, caller, 2, "k", 5, 1000);
    fixture_cancel (&f, caller, 1);
    CHECK (!weft_request_cancelled (request));
    fixture_cancel (&f, caller, 2);
    check_end (&f, caller, 2, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
    CHECK (weft_request_cancelled (request));
    fixture_end (&f, request);
    check_run (&f, caller, 1, 1);

    ask (&f, caller, 3, "alone", 5, 1000);
    request = fixture_begin (&f);
    fixture_cancel (&f, caller, 3);
    CHECK (weft_request_cancelled (request));
    fixture_end (&f, request);
    check_run (&f, caller, 3, 2);
    end (&f);
}

TEST (what_a_handler_gave_up_at_its_deadline_is_not_done_again)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    fixture_request (&f, caller, 1, "T.Say", 10, "\x01", 1, &options); /* CANCELLED */
    weft_request_t *request = fixture_begin (&f);
    fixture_at (&f, f.now_us + 20 * MS);
    fixture_end (&f, request);
    check_end (&f, caller, 1, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    fixture_request (&f, caller, 2, "T.Say", 1000, "\x01", 1, &options);
    check_end (&f, caller, 2, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    CHECK_STR (seen [0].text, "time was up while T.Say ran");
    end (&f);
}

/*  ------------------------------------------------------------------ bounds and drain  */

TEST (replies_are_forgotten_in_time_without_a_further_request)
{
    fixture_t f;
    fixture_runs = 0;
    memset (&f, 0, sizeof f);
    session_options_t options = fixture_options (&f);
    options.replies.age_us = 500 * MS;
    fixture_open_with (&f, options);
    fixture_register (&f);
    session_link_t *caller = fixture_caller (&f);
    ask (&f, caller, 1, "k", 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 1, 1);
    CHECK (session_next_us (&f.session) <= f.now_us + 500 * MS);
    for (const int64_t until_us = f.now_us + 501 * MS; session_next_us (&f.session) < until_us;)
        fixture_next (&f);
    CHECK_INT (f.session.requests.replies.works.count, 0);
    ask (&f, caller, 2, "k", 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 2, 2);
    end (&f);
}

TEST (a_full_worker_still_tells_what_it_knows_and_lets_nobody_else_wait)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "known", 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 1, 1);
    for (uint64_t id = 10; id < 15; id++) /* two threads, and a queue of three */
        ask (&f, caller, id, "under way", 5, 1000);
    CHECK_INT (fixture_seen (&f, caller), 0);
    ask (&f, caller, 2, "known", 5, 1000);
    check_run (&f, caller, 2, 1);
    ask (&f, caller, 3, "under way", 5, 1000);
    check_end (&f, caller, 3, WEFT_OVERLOADED, WEFT_EXECUTED_MAYBE);
    ask (&f, caller, 4, "new", 5, 1000);
    check_end (&f, caller, 4, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 5);
    CHECK_INT (fixture_runs, 2);
    end (&f);
}

TEST (who_cannot_wait_for_what_runs_is_not_told_that_it_did_not_run)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "running", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    ask (&f, caller, 2, "running", 5, 0);
    check_end (&f, caller, 2, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    ask (&f, caller, 3, "other", 5, 0);
    check_end (&f, caller, 3, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO);
    for (uint64_t id = 10; id < 14; id++) /* the queue is full */
        ask (&f, caller, id, "waiting", 5, 1000);
    ask (&f, caller, 4, "running", 5, 1000);
    check_end (&f, caller, 4, WEFT_OVERLOADED, WEFT_EXECUTED_MAYBE);
    ask (&f, caller, 5, "running", 6, 1000); /* with other arguments it did not */
    check_end (&f, caller, 5, WEFT_INVALID, WEFT_EXECUTED_NO);
    f.session.options.queue_max = 0;
    session_drain (&f.session, f.now_us);
    CHECK_INT (fixture_seen (&f, caller), 5); /* those that waited, and that it drains */
    f.session.options.concurrency = 0;
    ask (&f, caller, 6, "running", 5, 1000);
    check_end (&f, caller, 6, WEFT_DRAINING, WEFT_EXECUTED_MAYBE);
    fixture_end (&f, request);
    check_run (&f, caller, 1, 1);
    fixture_run (&f);
    end (&f);
}

TEST (a_drain_hands_back_what_has_not_begun_and_tells_what_is_known_or_under_way)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    ask (&f, caller, 1, "known", 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 1, 1);
    ask (&f, caller, 2, "under way", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    ask (&f, caller, 3, "waiting", 5, 1000);
    ask (&f, caller, 4, "waiting", 5, 1000);
    session_drain (&f.session, f.now_us);
    CHECK_INT (fixture_seen (&f, caller), 3);
    for (int i = 1; i < 3; i++) {
        CHECK_INT (seen [i].id, i + 2);
        CHECK_INT (seen [i].status, WEFT_DRAINING);
        CHECK_INT (seen [i].info.executed, -1); /* no, by default */
    }
    ask (&f, caller, 5, "known", 5, 1000);
    check_run (&f, caller, 5, 1);
    ask (&f, caller, 6, "under way", 5, 1000);
    ask (&f, caller, 7, "new", 5, 1000);
    check_end (&f, caller, 7, WEFT_DRAINING, WEFT_EXECUTED_NO);
    fixture_end (&f, request);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (seen [0].id, 2);
    CHECK_INT (seen [1].id, 6);
    fixture_run (&f);
    CHECK_INT (fixture_runs, 2);
    end (&f);
}

TEST (large_replies_come_again_whole)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    for (uint64_t id = 1; id <= 3; id++) {
        fixture_request (&f, caller, id, "T.Fill", 1000, "\xcd\x27\x10", 3, &options); /* 10000 */
        CHECK_INT (fixture_take (&f), id == 1);
        fixture_run (&f);
        const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
        CHECK_INT (reply->status, WEFT_OK);
        CHECK (reply->attached);
        CHECK_INT (reply->body_size, 10003);
    }
    f.session.post->link.body_max = 5000;
    fixture_request (&f, &f.session.post->link, 1, "T.Fill", 1000, "\xcd\x27\x10", 3, &options);
    check_end (&f, &f.session.post->link, 1, WEFT_TOO_LARGE, WEFT_EXECUTED_YES);
    end (&f);
}

/*  Of the memory of a larger one that was sent, only as much as it fills. */
TEST (what_is_kept_of_a_reply_takes_no_more_memory_than_is_counted)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    for (uint64_t id = 1; id <= 2; id++) { /* the second one leaves the memory of the first to the next request */
        fixture_request (&f, caller, id, "T.Fill", 1000, "\xce\x00\x01\x60\x00", 5, NULL); /* 90112 */
        fixture_run (&f);
        CHECK (fixture_one (&f, caller, WIRE_REPLY)->attached);
    }
    fixture_request (&f, caller, 3, "T.Fill", 1000, "\xcd\x13\x88", 3, &options); /* 5000 */
    fixture_run (&f);
    CHECK (fixture_one (&f, caller, WIRE_REPLY)->attached);
    work_t *work = replies_find (&f.session.requests.replies, services_find (&f.services, text_of ("T.Fill")), text_of ("k"),
                                 f.now_us);
    CHECK (work && work->reply.frame);
    CHECK_INT (work->reply.body_size, 5003);
    CHECK (malloc_usable_size ((void *) (uintptr_t) work->reply.body) < 6000);
    CHECK (f.session.requests.replies.bytes >= 5003);
    end (&f);
}

TEST (one_that_waits_for_anothers_reply_holds_no_body_and_runs_with_its_one_if_it_must)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    fixture_echo (&f, caller, 1, 10, 5000, &options);
    const size_t held = f.session.requests.bytes;
    CHECK (held >= 5000);
    fixture_take (&f);
    fixture_echo (&f, caller, 2, 1000, 5000, &options);
    fixture_echo (&f, caller, 3, 1000, 5000, &options);
    CHECK_INT (f.session.requests.bytes, held);
    fixture_tick (&f, 20 * MS);
    check_end (&f, caller, 1, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    CHECK_INT (f.session.requests.bytes, held);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT (seen [i].status, WEFT_OK);
        CHECK_INT (seen [i].body_size, 5000);
        CHECK_INT (seen [i].body [4999], 'x');
    }
    end (&f);
}

TEST (one_for_which_there_are_too_many_bytes_may_still_wait_for_anothers_reply)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    f.session.options.queue_bytes_max = 6000;
    fixture_echo (&f, caller, 1, 1000, 5000, &options);
    fixture_echo (&f, caller, 2, 1000, 5000, &options);
    fixture_echo (&f, caller, 3, 1000, 5000, NULL);
    check_end (&f, caller, 3, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 2);
    end (&f);
}

/*  ------------------------------------------------------------------ who has a key  */

TEST (the_workers_own_service_does_not_remember)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    const wire_options_t options = {.request_key = text_of ("k")};
    for (uint64_t id = 1; id <= 2; id++) {
        fixture_request (&f, caller, id, "weft.Worker.Stats", 1000, "", 0, &options);
        CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    }
    CHECK_INT (f.session.requests.replies.works.count, 0);
    CHECK_INT (f.session.requests.again, 0);
    end (&f);
}

TEST (a_key_that_is_too_long_is_refused)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    char key [WEFT_REQUEST_KEY_MAX + 2];
    memset (key, 'k', sizeof key);
    key [WEFT_REQUEST_KEY_MAX] = '\0';
    ask (&f, caller, 1, key, 5, 1000);
    fixture_run (&f);
    check_run (&f, caller, 1, 1);
    key [WEFT_REQUEST_KEY_MAX] = 'k';
    key [WEFT_REQUEST_KEY_MAX + 1] = '\0';
    ask (&f, caller, 2, key, 5, 1000);
    check_end (&f, caller, 2, WEFT_INVALID, WEFT_EXECUTED_NO);
    end (&f);
}

TEST (requests_without_a_key_leave_nothing_behind)
{
    fixture_t f;
    session_link_t *caller = begin (&f);
    for (uint64_t id = 1; id <= 3; id++)
        fixture_add (&f, caller, id);
    fixture_run (&f);
    CHECK_INT (fixture_seen (&f, caller), 3);
    CHECK (!f.session.requests.replies.works.entries);
    end (&f);
}

/*  ------------------------------------------------------------------ all of it at once  */

#define STORM_CALLERS 4
#define STORM_KEYS    30
#define STORM_IDS     4000

/*  What each caller still has to hear of. */
typedef struct {
    session_link_t *link;
    uint64_t last_id;
    bool open [STORM_IDS + 1];
} storm_caller_t;

static storm_caller_t storm [STORM_CALLERS];

static void hear (fixture_t *f, storm_caller_t *caller)
{
    const int count = fixture_seen (f, caller->link);
    CHECK (count < SEEN_MAX);
    for (int i = 0; i < count; i++) {
        if (seen [i].kind != WIRE_REPLY)
            continue;
        CHECK (seen [i].id <= caller->last_id && caller->open [seen [i].id]); /* never twice */
        caller->open [seen [i].id] = false;
        if (seen [i].status == WEFT_OK)
            CHECK_INT (seen [i].body_size, 1);
    }
}

static void come_anew (fixture_t *f, storm_caller_t *caller)
{
    if (caller->link)
        lose (f, caller->link);
    memset (caller, 0, sizeof *caller);
    caller->link = fixture_caller (f);
}

static void storm_event (fixture_t *f, dice_t *dice, executor_batch_t *running)
{
    storm_caller_t *caller = &storm [dice_below (dice, STORM_CALLERS)];
    char key [16];
    weft_request_t *request;
    const uint8_t number = (uint8_t) dice_below (dice, STORM_KEYS);

    switch (dice_below (dice, 12)) {
        default:
            snprintf (key, sizeof key, "%d", number);
            caller->open [++caller->last_id] = true;
            ask (f, caller->link, caller->last_id, key, number, 1 + (uint32_t) dice_below (dice, 50));
            break;
        case 4:
            fixture_cancel (f, caller->link, 1 + dice_below (dice, caller->last_id + 1));
            break;
        case 5:
            if (dice_below (dice, 10) == 0)
                come_anew (f, caller);
            break;
        case 6:
        case 7:
            if (running->count < 2 && fixture_take (f) && (request = fixture_begin (f)) != NULL)
                executor_batch_add (running, &request->job);
            break;
        case 8:
        case 9:
            if (running->count)
                fixture_end (f, CONTAINER_OF (executor_batch_take (running), weft_request_t, job));
            break;
        case 10:
            fixture_tick (f, (int64_t) dice_below (dice, 20 * MS));
    }
    for (int i = 0; i < STORM_CALLERS; i++)
        hear (f, &storm [i]);
}

TEST (whatever_happens_each_request_is_answered_once_and_no_key_runs_twice)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        fixture_t f;
        dice_t dice;
        executor_batch_t running;
        memset (fixture_runs_of, 0, sizeof fixture_runs_of);
        fixture_runs = 0;
        memset (&f, 0, sizeof f);
        dice_init (&dice, seed);
        executor_batch_init (&running);
        session_options_t options = fixture_options (&f);
        options.queue_max = 10;
        options.handler_timeout_us = seed % 2 ? 30 * MS : 0;
        fixture_open_with (&f, options);
        fixture_register (&f);
        memset (storm, 0, sizeof storm);
        for (int i = 0; i < STORM_CALLERS; i++)
            come_anew (&f, &storm [i]);
        for (int i = 0; i < 3000; i++)
            storm_event (&f, &dice, &running);
        while (running.count)
            fixture_end (&f, CONTAINER_OF (executor_batch_take (&running), weft_request_t, job));
        fixture_run (&f);
        for (int i = 0; i < STORM_CALLERS; i++) {
            hear (&f, &storm [i]);
            for (uint64_t id = 1; id <= storm [i].last_id; id++)
                CHECK (!storm [i].open [id]);
        }
        for (int i = 0; i < STORM_KEYS; i++)
            CHECK_INT (fixture_runs_of [i], 1);
        end (&f);
    }
}
