/* SPDX-License-Identifier: MPL-2.0
 *
 *  stream_test.c - streams at a worker, without threads but where a handler waits: what is let in, what is sent when, and how each
 *  ends. The test is the handler. */

#include <pthread.h>
#include "clock.h"
#include "session_fixture.h"

static void ask (fixture_t *f, session_link_t *link, uint64_t id, const char *method, uint64_t credit,
                 uint32_t remaining_ms)
{
    const wire_options_t options = {.credit = credit};
    fixture_request (f, link, id, method, remaining_ms, "\x00", 1, &options);
}

/*  A stream that has begun, with so much credit and no deadline. */
static weft_request_t *begin (fixture_t *f, session_link_t *link, uint64_t id, uint64_t credit)
{
    ask (f, link, id, "T.Stream", credit, WIRE_NO_DEADLINE);
    weft_request_t *request = fixture_begin (f);
    CHECK (request);
    CHECK_INT (fixture_seen (f, link), 0);
    return request;
}

static weft_status_t say_bytes (weft_request_t *request, const void *data, size_t size)
{
    return weft_request_send_item (request, &(weft_bytes){data, size});
}

static bool may_say (weft_request_t *request)
{
    return stream_may_put (request->stream);
}

static void give_credit (fixture_t *f, session_link_t *link, uint64_t id, uint64_t n)
{
    buffer_t records = fixture_records ();
    wire_write_credit (&records, id, n);
    fixture_feed (f, link, &records);
}

static void check_item (const seen_t *item, uint64_t id, uint64_t index, const char *body /* "\xc4" and size first */, size_t size)
{
    CHECK_INT (item->kind, WIRE_ITEM);
    CHECK_INT (item->id, id);
    CHECK_INT (item->number, index);
    CHECK_MEM (item->body, item->body_size, body, size);
}

TEST (items_go_out_in_order_and_the_reply_behind_them)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    weft_request_t *request = begin (&f, caller, 9, 10);
    CHECK_INT (say_bytes (request, "a", 1), WEFT_OK);
    CHECK_INT (say_bytes (request, "b", 1), WEFT_OK);
    CHECK (session_send_items (&f.session, f.now_us));
    CHECK_INT (fixture_seen (&f, caller), 2);
    check_item (&seen [0], 9, 0, "\xc4\x01" "a", 3);
    check_item (&seen [1], 9, 1, "\xc4\x01" "b", 3);
    CHECK (!session_send_items (&f.session, f.now_us));

    CHECK_INT (say_bytes (request, "c", 1), WEFT_OK); /* not looked at before the handler has returned */
    fixture_end (&f, request);
    CHECK_INT (fixture_seen (&f, caller), 2);
    check_item (&seen [0], 9, 2, "\xc4\x01" "c", 3);
    CHECK_INT (seen [1].kind, WIRE_REPLY);
    CHECK_INT (seen [1].status, WEFT_OK);
    CHECK_INT (seen [1].body_size, 0);
    CHECK_INT (f.session.requests.streams.open, 0);
    fixture_close (&f);
}

TEST (no_item_goes_out_without_credit)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    weft_request_t *request = begin (&f, caller, 9, 2);
    CHECK_INT (say_bytes (request, "a", 1), WEFT_OK);
    CHECK_INT (say_bytes (request, "b", 1), WEFT_OK);
    session_send_items (&f.session, f.now_us);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK (!may_say (request));
    give_credit (&f, caller, 8, 5); /* somebody else's */
    CHECK (!may_say (request));
    give_credit (&f, caller, 9, 1);
    CHECK (may_say (request));
    CHECK_INT (say_bytes (request, "c", 1), WEFT_OK);
    CHECK (!may_say (request));
    give_credit (&f, caller, 9, UINT64_MAX); /* more than can be counted */
    give_credit (&f, caller, 9, UINT64_MAX);
    CHECK (may_say (request));
    fixture_end (&f, request);
    fixture_close (&f);
}

/*  The last credit pays for one of any size; what it lacked is taken off the next ones. */
TEST (a_large_item_takes_several_credits)
{
    static const char large [3 * WEFT_STREAM_CREDIT_BYTES];
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    weft_request_t *request = begin (&f, caller, 9, 5);
    CHECK_INT (say_bytes (request, large, sizeof large - 10), WEFT_OK); /* and what codes it */
    session_send_items (&f.session, f.now_us);
    CHECK (may_say (request)); /* two are left */
    CHECK_INT (say_bytes (request, large, sizeof large), WEFT_OK);
    session_send_items (&f.session, f.now_us);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK (!may_say (request));
    give_credit (&f, caller, 9, 2);
    CHECK (!may_say (request));
    give_credit (&f, caller, 9, 1);
    CHECK (may_say (request));
    fixture_end (&f, request);
    fixture_close (&f);
}

TEST (a_stream_that_waits_to_leave_takes_little_memory_whatever_its_credit)
{
    static const char large [4000];
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    weft_request_t *request = begin (&f, caller, 9, 1000000);
    size_t said = 0, sent = 0;
    for (; may_say (request); said++) /* nobody flushes: the session takes what the connection has room for */
        CHECK_INT (say_bytes (request, large, sizeof large), WEFT_OK);
    CHECK (said * sizeof large >= WEFT_STREAM_PENDING_MAX && said * sizeof large <= WEFT_STREAM_PENDING_MAX + 2 * sizeof large);
    for (int i = 0; i < 10; i++) {
        session_send_items (&f.session, f.now_us);
        for (; may_say (request); said++)
            CHECK_INT (say_bytes (request, large, sizeof large), WEFT_OK);
    }
    CHECK (outbox_bytes (&caller->outbox) < 2 * WEFT_STREAM_PENDING_MAX + 8192);
    CHECK (said * sizeof large < 3 * WEFT_STREAM_PENDING_MAX + 8192);
    for (int got; (got = fixture_seen (&f, caller)) > 0; sent += (size_t) got)
        session_send_items (&f.session, f.now_us);
    CHECK_INT (sent, said);
    CHECK (may_say (request));
    fixture_end (&f, request);
    fixture_close (&f);
}

TEST (a_large_item_is_attached_and_one_over_the_limit_ends_the_stream)
{
    static char large [100001];
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    weft_request_t *request = begin (&f, caller, 9, 10);
    CHECK_INT (say_bytes (request, large, 50000), WEFT_OK);
    session_send_items (&f.session, f.now_us);
    CHECK_INT (fixture_one (&f, caller, WIRE_ITEM)->attached, true);
    CHECK_INT (seen [0].body_size, 50003);
    CHECK_INT (say_bytes (request, large, sizeof large), WEFT_TOO_LARGE);
    CHECK_INT (say_bytes (request, "a", 1), WEFT_TOO_LARGE); /* for good: an item is missing */
    fixture_end (&f, request);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_TOO_LARGE);
    CHECK_STR (seen [0].text, "an item of T.Stream is over the limit of 100000 bytes");
    CHECK_INT (seen [0].info.executed, WEFT_EXECUTED_YES);
    fixture_close (&f);
}

TEST (cancelling_ends_the_sender_and_a_handler_that_says_ok_all_the_same_is_not_believed)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    weft_request_t *request = begin (&f, caller, 9, 0x7fffffff);
    fixture_cancel (&f, caller, 9);
    CHECK (weft_request_cancelled (request));
    CHECK_INT (say_bytes (request, "a", 1), WEFT_CANCELLED);
    fixture_end (&f, request); /* returns OK */
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_CANCELLED);
    CHECK_INT (seen [0].info.executed, -1);
    fixture_close (&f);
}

TEST (a_handler_that_sees_the_drain_and_gives_up_ends_as_drained)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    const wire_options_t options = {.credit = 5};
    fixture_request (&f, caller, 9, "T.Stream", WIRE_NO_DEADLINE, "\x01", 1, &options); /* returns 1, CANCELLED */
    weft_request_t *request = fixture_begin (&f);
    session_drain (&f.session, f.now_us);
    fixture_seen (&f, caller);
    CHECK (weft_request_cancelled (request));
    fixture_end (&f, request);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_DRAINING);
    CHECK_INT (seen [0].info.executed, WEFT_EXECUTED_MAYBE);
    CHECK_INT (seen [0].info.origin, WEFT_ORIGIN_WORKER);
    fixture_close (&f);
}

TEST (a_caller_that_goes_ends_its_streams_and_nobody_elses)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f), *other = fixture_caller (&f);
    weft_request_t *request = begin (&f, caller, 9, 5), *still = begin (&f, other, 9, 5);
    CHECK_INT (say_bytes (request, "a", 1), WEFT_OK); /* on its way when the caller goes */
    session_peer_lost (&f.session, caller, f.now_us);
    session_send_items (&f.session, f.now_us);
    CHECK_INT (say_bytes (request, "b", 1), WEFT_CANCELLED);
    CHECK_INT (say_bytes (still, "b", 1), WEFT_OK);
    fixture_end (&f, request);
    fixture_end (&f, still);
    CHECK_INT (fixture_seen (&f, other), 2);
    fixture_close (&f);
}

TEST (a_broker_that_forgot_this_worker_waits_for_none_of_its_streams)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    session_link_t *broker = &f.session.post->link;
    ask (&f, broker, 9, "T.Stream", 2, WIRE_NO_DEADLINE);
    weft_request_t *request = fixture_begin (&f);
    while (fixture_seen (&f, broker) == 0 || seen [0].kind != WIRE_BEAT)
        fixture_next (&f);
    fixture_refuse (&f, WEFT_NO_WORKERS, "who are you?");
    CHECK (fixture_seen (&f, broker) > 0);
    CHECK_INT (seen [0].kind, WIRE_REGISTER);
    CHECK_INT (seen [0].incarnation, 2);
    CHECK_INT (say_bytes (request, "a", 1), WEFT_CANCELLED);
    fixture_end (&f, request);
    CHECK_INT (fixture_seen (&f, broker), 0);
    fixture_close (&f);
}

TEST (time_ends_a_stream_that_has_a_deadline)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    ask (&f, caller, 9, "T.Stream", 5, 1000);
    weft_request_t *request = fixture_begin (&f);
    CHECK_INT (say_bytes (request, "a", 1), WEFT_OK);
    fixture_tick (&f, 1000 * MS);
    CHECK_INT (say_bytes (request, "b", 1), WEFT_DEADLINE_EXCEEDED);
    fixture_end (&f, request);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (seen [1].status, WEFT_DEADLINE_EXCEEDED);
    fixture_close (&f);
}

TEST (a_drain_ends_streams_without_a_deadline_and_waits_for_the_others)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    weft_request_t *endless = begin (&f, caller, 8, 5);
    ask (&f, caller, 9, "T.Stream", 5, 60000);
    weft_request_t *bounded = fixture_begin (&f);
    session_drain (&f.session, f.now_us);
    fixture_seen (&f, caller);
    CHECK (weft_request_cancelled (endless) && !weft_request_cancelled (bounded));
    CHECK_INT (say_bytes (endless, "a", 1), WEFT_DRAINING);
    CHECK_INT (say_bytes (bounded, "a", 1), WEFT_OK);
    fixture_end (&f, endless);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_DRAINING);
    CHECK_INT (seen [0].info.executed, WEFT_EXECUTED_MAYBE);
    CHECK_INT (f.session.state, SESSION_DRAINING);
    fixture_end (&f, bounded);
    CHECK_INT (fixture_seen (&f, caller), 2);
    CHECK_INT (seen [1].status, WEFT_OK);
    fixture_close (&f);
}

TEST (a_stream_is_not_called_as_a_plain_method_nor_a_plain_method_as_a_stream)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Stream", 1000, "\x00", 1, NULL);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_INVALID);
    CHECK_STR (seen [0].text, "T.Stream is a stream, and was called as if it were none");
    CHECK_INT (seen [0].info.executed, -1); /* no */
    ask (&f, caller, 2, "T.Say", 5, 1000);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_INVALID);
    CHECK_STR (seen [0].text, "T.Say is no stream");
    ask (&f, caller, 3, "weft.Worker.Ping", 5, 1000);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_INVALID);
    CHECK_INT (fixture_take (&f), 0);
    fixture_close (&f);
}

TEST (streams_are_bounded_and_take_no_room_from_calls)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    session_link_t *broker = &f.session.post->link;
    const uint64_t window = f.session.post->standing.window;
    weft_request_t *requests [4];
    for (int i = 0; i < 4; i++) {
        ask (&f, broker, 10 + (uint64_t) i, "T.Stream", 5, WIRE_NO_DEADLINE);
        requests [i] = fixture_begin (&f);
        CHECK_INT (fixture_one (&f, broker, WIRE_CREDIT)->number, window + (uint64_t) i + 1);
    }
    ask (&f, broker, 20, "T.Stream", 5, WIRE_NO_DEADLINE);
    CHECK_INT (fixture_one (&f, broker, WIRE_REPLY)->status, WEFT_OVERLOADED);
    CHECK_STR (seen [0].text, "this worker runs 4 streams already");
    for (int i = 0; i < 4; i++)
        fixture_end (&f, requests [i]);
    CHECK_INT (fixture_seen (&f, broker), 8);
    CHECK_INT (seen [7].kind, WIRE_CREDIT);
    CHECK_INT (seen [7].number, window);
    fixture_close (&f);
}

TEST (a_long_stream_makes_no_worker_look_stuck)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    weft_request_t *request = begin (&f, fixture_caller (&f), 9, 5);
    while (fixture_seen (&f, &f.session.post->link) == 0)
        fixture_next (&f);
    CHECK_INT (seen [0].kind, WIRE_BEAT);
    CHECK_INT (seen [0].load.in_flight, 0);
    CHECK_INT (seen [0].load.oldest_ms, 0);
    fixture_end (&f, request);
    fixture_close (&f);
}

TEST (a_stream_that_was_dropped_and_is_not_back_yet_is_not_taken_off_what_is_in_flight)
{
    fixture_t f;
    fixture_open (&f);
    fixture_register (&f);
    session_link_t *caller = fixture_caller (&f);
    ask (&f, caller, 9, "T.Stream", 5, WIRE_NO_DEADLINE);
    fixture_take (&f);
    fixture_cancel (&f, caller, 9);
    CHECK_INT (f.session.requests.streams.open, 1);
    for (uint64_t calls = 0; calls < 2; calls++) {
        while (fixture_seen (&f, &f.session.post->link) == 0)
            fixture_next (&f);
        CHECK_INT (seen [0].kind, WIRE_BEAT);
        CHECK_INT (seen [0].load.in_flight, calls);
        fixture_beat_ok (&f, seen [0].sequence, 3000);
        fixture_request (&f, caller, 10, "T.Add", 60000, "\x92\x07\x06", 3, NULL);
    }
    fixture_run (&f);
    fixture_close (&f);
}

TEST (a_stream_without_a_thread_is_turned_down)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    ask (&f, caller, 9, "T.Stream", 5, WIRE_NO_DEADLINE);
    session_no_thread (&f.session, executor_batch_take (session_apart (&f.session)), f.now_us);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OVERLOADED);
    CHECK_INT (requests_held (&f.session.requests), 0);
    CHECK_INT (f.session.requests.streams.open, 0);
    fixture_close (&f);
}

/*  A handler that waits, on a thread of its own. */

typedef struct {
    streams_t *all;
    stream_t *stream;
    int64_t until_us;
    weft_status_t status;
} sender_thread_t;

static void *send_one (void *arg)
{
    sender_thread_t *self = arg;
    buffer_t bytes;
    buffer_init (&bytes, 100);
    buffer_append (&bytes, "x", 1);
    self->status = stream_put (self->stream, &bytes, clock_now_us (), self->until_us);
    buffer_fini (&bytes);
    return NULL;
}

/*  It waits, and `wake` ends that. */
static weft_status_t wait_until (void (*wake) (stream_t *stream), int64_t until_us)
{
    streams_t all;
    pthread_t thread;
    streams_init (&all);
    sender_thread_t sender = {&all, stream_new (&all, NULL, 0, 100), until_us, WEFT_STATUS_COUNT};
    CHECK_INT (pthread_create (&thread, NULL, send_one, &sender), 0);
    if (wake)
        wake (sender.stream);
    pthread_join (thread, NULL);
    stream_free (sender.stream);
    streams_fini (&all);
    return sender.status;
}

static void give_one (stream_t *stream)
{
    stream_credit (stream, 1);
}

static void end_it (stream_t *stream)
{
    stream_end (stream, WEFT_DRAINING);
    stream_end (stream, WEFT_CANCELLED); /* the first one counts */
}

TEST (a_handler_waits_until_it_is_asked_for_more_or_told_why_not)
{
    CHECK_INT (wait_until (give_one, INT64_MAX), WEFT_OK);
    CHECK_INT (wait_until (end_it, INT64_MAX), WEFT_DRAINING);
    CHECK_INT (wait_until (NULL, clock_now_us () + 20 * MS), WEFT_DEADLINE_EXCEEDED);
}
