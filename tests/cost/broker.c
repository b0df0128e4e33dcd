/* SPDX-License-Identifier: MPL-2.0
 *
 *  broker.c - what the broker's core takes for calls that pass through it, and for beats. */

#include "broker_harness.h"
#include "cost.h"

#define WORKERS_MAX 1000
#define FRAME_MAX   32

static peer_t *caller, *workers [WORKERS_MAX];
static uint64_t last_id, last_sequence;
static uint64_t forwarded [FRAME_MAX]; /* ids */

static void begin_with (size_t count)
{
    broker_settings_t settings = usual_settings ();
    settings.ttl_ms = 10000;
    start_with (settings);
    for (size_t i = 0; i < count; i++)
        workers [i] = worker_of ((unsigned) i + 1, "Arith", 2 * FRAME_MAX);
    caller = client ();
    while (broker_next_dirty (broker)) /* all was taken */
        ;
    last_id = last_sequence = 0;
}

static void begin_one (size_t size)
{
    (void) size;
    begin_with (1);
}

static void begin_many (size_t size)
{
    (void) size;
    begin_with (WORKERS_MAX);
}

static void end (void)
{
    finish ();
}

static void message_of (message_t *message, const buffer_t *from)
{
    message_init (message);
    CHECK (message_add_bytes (message, from->data, from->size));
}

/*  One turn of the shell: what came, the clock, what goes out (to one peer, in one message). What counts. */
static peer_t *turn (peer_t *from, message_t *in, message_t *out, size_t calls)
{
    now_us += 20;
    cost_on ();
    broker_on_message (broker, from, in, now_us);
    message_clear (in);
    broker_tick (broker, now_us);
    peer_t *to = broker_next_dirty (broker);
    const bool took = to && broker_take (broker, to, out, now_us) && !broker_next_dirty (broker);
    cost_off (calls);
    CHECK (took);
    return to;
}

/*  The ids of the `count` records of that kind in the message, which is emptied. */
static void read_ids (message_t *message, unsigned kind, uint64_t *ids, size_t count)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;

    for (size_t i = 0; i < count; i++) {
        CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 1);
        CHECK_INT (record.kind, kind);
        CHECK_INT (record.status, WEFT_OK);
        ids [i] = record.id;
    }
    CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 0);
    message_clear (message);
}

/*  A frame of calls goes to a worker, which answers them in one. */
static void calls_round (size_t size)
{
    message_t in, out;
    uint64_t answered [FRAME_MAX];
    buffer_t *written = records ();

    for (size_t i = 0; i < size; i++)
        wire_write_request (written, ++last_id, text_of ("Arith.Add"), 5000, "\x92\x07\x06", 3, false, NULL);
    message_of (&in, written);
    message_init (&out);
    peer_t *worker = turn (caller, &in, &out, size);
    CHECK (worker->worker);
    read_ids (&out, WIRE_REQUEST, forwarded, size);

    written = records ();
    for (size_t i = 0; i < size; i++)
        wire_write_reply (written, forwarded [i], WEFT_OK, "\x0d", 1, false, NULL);
    message_of (&in, written);
    CHECK (turn (worker, &in, &out, 0) == caller);
    read_ids (&out, WIRE_REPLY, answered, size);
    for (size_t i = 0; i < size; i++)
        CHECK_INT (answered [i], last_id - size + 1 + i);
    message_fini (&out);
}

/*  Every worker beats once. */
static void beats_round (size_t size)
{
    const wire_load_t load = {0, 4, 0, 0};
    uint64_t ignored;
    message_t in, out;

    last_sequence++;
    message_init (&out);
    for (size_t i = 0; i < size; i++) {
        buffer_t *written = records ();
        wire_write_beat (written, last_sequence, &load);
        message_of (&in, written);
        now_us += 980;
        CHECK (turn (workers [i], &in, &out, 1) == workers [i]);
        read_ids (&out, WIRE_BEAT_OK, &ignored, 1);
    }
    message_fini (&out);
}

const cost_t broker_costs [] = {
    {"broker.routed.1", begin_one, calls_round, end, 1, 100, 200},
    {"broker.routed.32", begin_one, calls_round, end, FRAME_MAX, 20, 40},
    {"broker.routed.1.workers.1000", begin_many, calls_round, end, 1, 1100, 200},
    {"broker.beat.workers.1000", begin_many, beats_round, end, WORKERS_MAX, 1, 1},
    {0},
};
