/* SPDX-License-Identifier: MPL-2.0
 *
 *  session_time_test.c - what time and a change of mind do to the calls at a worker: deadlines, the limit on
 *  handlers, the window that the broker gets, cancellation. */

#include "session_fixture.h"

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
    CHECK_INT (f.session.post->standing.window_told, 4);
    fixture_close (&f);
}

/*  The calls that the broker may have open come at once, and each runs for so long, one after the other. */
static void fill_the_window (fixture_t *f, int64_t each_us)
{
    static uint64_t id;
    weft_request_t *request;

    for (uint64_t count = f->session.post->standing.window; count > 0; count--)
        fixture_add (f, &f->session.post->link, ++id);
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
    fixture_seen (&f, &f.session.post->link);
    CHECK_INT (f.session.post->standing.window_told, 4);

    for (int i = 0; i < 3; i++)
        fill_the_window (&f, 1);
    CHECK_INT (f.session.post->standing.window_told, 32);
    fill_the_window (&f, 20 * MS);
    CHECK_INT (f.session.post->standing.window_told, 4);
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
    CHECK_INT (f.session.post->standing.window_told, 4);
    fixture_close (&f);
}

TEST (a_stuck_worker_asks_for_less_and_in_the_end_for_nothing)
{
    fixture_t f;
    session_link_t *caller = open_with_handler_timeout (&f, 100 * MS);
    weft_request_t *requests [2];
    CHECK_INT (f.session.post->standing.window_told, 4);
    fixture_add (&f, caller, 1);
    fixture_add (&f, caller, 2);
    for (int i = 0; i < 2; i++)
        requests [i] = fixture_begin (&f);
    fixture_tick (&f, 100 * MS);
    CHECK_INT (f.session.requests.stuck, 2);
    const seen_t *credit = fixture_one (&f, &f.session.post->link, WIRE_CREDIT);
    CHECK_INT (credit->id, 0);
    CHECK_INT (credit->number, 0);

    fixture_end (&f, requests [0]);
    CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_CREDIT)->number, 4);
    fixture_end (&f, requests [1]);
    CHECK_INT (fixture_seen (&f, &f.session.post->link), 0); /* unchanged: nothing to say */
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
    fixture_add (&f, &f.session.post->link, 1);
    fixture_add (&f, &f.session.post->link, 2);
    weft_request_t *running = fixture_begin (&f);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "gone", f.now_us);
    CHECK (weft_request_cancelled (running));
    fixture_end (&f, running);
    fixture_run (&f);
    CHECK_INT (f.session.requests.late, 1);
    CHECK (outbox_empty (&f.session.post->link.outbox));
    fixture_register (&f); /* the next broker may use the same ids */
    fixture_add (&f, &f.session.post->link, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}
