/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker.c - what the worker's session takes for a frame of calls: read, decoded, run, encoded, answered. */

#include "cost.h"
#include "session_fixture.h"

#define FRAME_MAX 32

static fixture_t fixture;
static session_link_t *sender;
static uint64_t last_id;

static void begin (session_link_t *(*from) (void))
{
    session_options_t options = fixture_options (&fixture);
    options.queue_max = 1000;
    fixture_open_with (&fixture, options);
    fixture_register (&fixture);
    sender = from ();
    last_id = 0;
}

static session_link_t *some_caller (void)
{
    return fixture_caller (&fixture);
}

static session_link_t *the_broker (void)
{
    return &fixture.session.post->link;
}

static void begin_direct (size_t size)
{
    (void) size;
    begin (some_caller);
}

static void begin_routed (size_t size)
{
    (void) size;
    begin (the_broker);
}

static void end (void)
{
    fixture_close (&fixture);
}

/*  Reads the message and runs what is to be run at once, as the leading thread does. */
static void run_as_read (session_t *session, bool may_run)
{
    weft_request_t *request;

    while ((request = session_next (session, may_run, fixture.now_us)) != NULL) {
        if (request_begin_here (request, fixture.now_us)) {
            request_run (request);
            request_end (request, fixture.now_us);
        }
        session_finished (session, &request->job, fixture.now_us);
    }
}

/*  All that was put off runs as on other threads, and comes back. */
static void run_rest (session_t *session)
{
    executor_job_t *job;

    while ((job = executor_batch_take (session_soon (session))) != NULL) {
        job->run (job);
        session_finished (session, job, fixture.now_us);
    }
    session_settle (session);
}

/*  All replies are there, in order; what the broker is told besides does not matter here. */
static void check_replies (message_t *message, size_t count)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;
    uint64_t id = last_id - count;

    while (message_next (&cursor, &record, &attachment, &fault) > 0) {
        if (record.kind == WIRE_CREDIT)
            continue;
        CHECK_INT (record.kind, WIRE_REPLY);
        CHECK_INT (record.id, ++id);
        CHECK_INT (record.status, WEFT_OK);
        CHECK_MEM (record.body, record.body_size, "\x0d", 1);
    }
    CHECK_INT (id, last_id);
    message_clear (message);
}

static void frame_round (bool may_run, size_t size)
{
    session_t *session = &fixture.session;
    buffer_t written = fixture_records ();
    message_t in, out;

    for (size_t i = 0; i < size; i++)
        wire_write_request (&written, ++last_id, text_of ("T.Add"), 5000, "\x92\x07\x06", 3, false, NULL);
    message_init (&in);
    message_init (&out);
    CHECK (message_add_bytes (&in, written.data, written.size));
    buffer_fini (&written);
    fixture_at (&fixture, fixture.now_us + 20);

    cost_on ();
    session_receive (session, sender, &in, fixture.now_us);
    run_as_read (session, may_run);
    message_clear (&in);
    run_rest (session);
    session_link_t *link = session_next_dirty (session);
    const bool took = link == sender && outbox_take (&link->outbox, &out);
    cost_off (size);

    CHECK (took && outbox_empty (&sender->outbox) && !session_next_dirty (session));
    check_replies (&out, size);
}

static void quick_round (size_t size)
{
    frame_round (true, size);
}

static void shared_round (size_t size)
{
    frame_round (false, size);
}

const cost_t worker_costs [] = {
    {"worker.direct.1", begin_direct, quick_round, end, 1, 100, 200},
    {"worker.direct.32", begin_direct, quick_round, end, FRAME_MAX, 20, 40},
    {"worker.direct.shared.32", begin_direct, shared_round, end, FRAME_MAX, 20, 40},
    {"worker.routed.1", begin_routed, quick_round, end, 1, 100, 200},
    {"worker.routed.32", begin_routed, quick_round, end, FRAME_MAX, 20, 40},
    {0},
};
