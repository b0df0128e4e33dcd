/* SPDX-License-Identifier: MPL-2.0
 *
 *  broker_harness.h - a broker's core, peers that say records to it by hand, and a clock that is moved by hand. */

#ifndef BROKER_HARNESS_H_INCLUDED
#define BROKER_HARNESS_H_INCLUDED

#include "broker.h"
#include "check.h"
#include "codec.h"
#include "core.h"
#include <stdio.h>
#include <stdlib.h>

#define S        1000000LL
#define MS       1000LL
#define FOREVER  WIRE_NO_DEADLINE

/*  One record that a peer got, with its own copy of the bytes. */
typedef struct {
    wire_record_t record;
    uint8_t *copy;
    uint8_t *body; /* if attached */
} got_t;

static broker_t *broker;
static int64_t now_us;

static inline broker_settings_t usual_settings (void)
{
    return (broker_settings_t){.uuid = "b0000000-0000-4000-8000-000000000000"};
}

/*  One that has just started, and may still hear from workers that are on their way. */
static inline void start_cold (broker_settings_t settings)
{
    now_us = 1000 * S;
    broker = broker_new (&settings, now_us, 42);
    CHECK (broker != NULL);
}

/*  Time passes, in steps that do not look like a stall. */
static inline void pass (int64_t us)
{
    const int64_t end_us = now_us + us;
    while (now_us < end_us) {
        now_us = end_us - now_us < S ? end_us : now_us + S;
        broker_tick (broker, now_us);
    }
}

static inline void start_with (broker_settings_t settings)
{
    start_cold (settings);
    pass (GRACE_WARM_US);
}

static inline void start (void)
{
    start_with (usual_settings ());
}

static inline peer_t *connect_from (const char *address)
{
    static uint32_t number;
    number++;
    peer_t *peer = broker_peer_open (broker, &number, sizeof number, address, now_us);
    CHECK (peer != NULL);
    return peer;
}

static inline void lose (peer_t *peer)
{
    broker_on_lost (broker, peer, now_us);
}

/*  Says what is in `records`, and empties it. */
static inline void say (peer_t *peer, buffer_t *records)
{
    message_t message;
    message_init (&message);
    CHECK (message_add_bytes (&message, records->data, records->size));
    broker_on_message (broker, peer, &message, now_us);
    message_fini (&message);
    buffer_clear (records);
}

static inline buffer_t *records (void)
{
    static buffer_t buffer;
    if (!buffer.max)
        buffer_init (&buffer, SIZE_MAX);
    buffer_clear (&buffer);
    return &buffer;
}

static inline void say_hello (peer_t *peer, const char *role, const char *codec)
{
    const char *const codecs [] = {codec, NULL};
    buffer_t *out = records ();
    wire_write_hello (out, role, codecs, "tester", NULL);
    say (peer, out);
}

/*  What a peer got ---------------------------------------------------------------------------------------------- */

static got_t inbox [4096];
static size_t inbox_count, inbox_next;

static inline void forget_inbox (void)
{
    for (size_t i = 0; i < inbox_count; i++) {
        free (inbox [i].copy);
        free (inbox [i].body);
    }
    inbox_count = inbox_next = 0;
}

static inline void keep (const wire_record_t *record)
{
    const char *fault;
    got_t *got = &inbox [inbox_count++];
    CHECK (inbox_count < sizeof inbox / sizeof inbox [0]);
    *got = (got_t){.copy = malloc (record->size)};
    memcpy (got->copy, record->start, record->size);
    mp_reader_t reader = mp_reader (got->copy, record->size);
    CHECK_INT (wire_next (&reader, &got->record, &fault), 1);
    if (!record->attached)
        return;
    got->body = malloc (record->body_size + 1);
    memcpy (got->body, record->body, record->body_size);
    got->record.body = got->body;
    got->record.body_size = record->body_size;
}

/*  Takes all that waits for the peer; how many records. The earlier ones are gone. */
static inline size_t listen_to (peer_t *peer)
{
    message_t message;
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;

    forget_inbox ();
    message_init (&message);
    while (broker_take (broker, peer, &message, now_us)) {
        message_cursor_t cursor = message_cursor (&message);
        int rc;
        while ((rc = message_next (&cursor, &record, &attachment, &fault)) > 0)
            keep (&record);
        CHECK_INT (rc, 0);
        message_clear (&message);
    }
    return inbox_count;
}

/*  The next record of what the last listen_to took; it must be of this kind. */
static inline const wire_record_t *next (unsigned kind)
{
    CHECK (inbox_next < inbox_count);
    const wire_record_t *record = &inbox [inbox_next++].record;
    CHECK_INT (record->kind, kind);
    return record;
}

/*  The one record that waits for the peer. */
static inline const wire_record_t *only (peer_t *peer, unsigned kind)
{
    CHECK_INT (listen_to (peer), 1);
    return next (kind);
}

static inline void check_silent (peer_t *peer)
{
    CHECK_INT (listen_to (peer), 0);
}

static inline void check_refused (peer_t *peer, weft_status_t status, const char *part)
{
    wire_refused_t refused;
    char text [1024];
    CHECK (wire_read_refused (only (peer, WIRE_REFUSED), &refused));
    CHECK_INT (refused.status, status);
    snprintf (text, sizeof text, "%.*s", TEXT_ARG (refused.text));
    if (!strstr (text, part))
        CHECK_STR (text, part);
}

static inline void check_reply (const wire_record_t *record, uint64_t id, weft_status_t status, int executed,
                                const char *part)
{
    wire_info_t info;
    char text [1024];
    CHECK_INT (record->id, id);
    CHECK_INT (record->status, status);
    CHECK (wire_read_info (record->extra, &info));
    snprintf (text, sizeof text, "%.*s", TEXT_ARG (info.text));
    if (!strstr (text, part))
        CHECK_STR (text, part);
    CHECK_INT (info.executed, executed);
}

/*  Everyone a test needs ---------------------------------------------------------------------------------------- */

static inline peer_t *client_with (const char *codec)
{
    peer_t *peer = connect_from ("10.0.0.9");
    say_hello (peer, "client", codec);
    only (peer, WIRE_WELCOME);
    return peer;
}

static inline peer_t *client (void)
{
    return client_with ("msgpack");
}

static inline peer_t *stranger (void)
{
    return connect_from ("10.0.0.8");
}

static inline peer_t *greeted_worker (void)
{
    peer_t *peer = connect_from ("10.0.0.5");
    say_hello (peer, "worker", "msgpack");
    only (peer, WIRE_WELCOME);
    return peer;
}

/*  "e0000000-0000-4000-8000-00000000000n" */
static inline const char *uuid (unsigned n)
{
    static char text [8][UUID_SIZE + 1];
    static unsigned turn;
    char *chosen = text [turn++ % 8];
    snprintf (chosen, UUID_SIZE + 1, "e0000000-0000-4000-8000-%012x", n);
    return chosen;
}

/*  Writes a service whose methods "Add" and "Next" have the given flags. */
static inline void write_service (buffer_t *out, const char *name, unsigned flags)
{
    mp_write_array (out, 3);
    mp_write_text (out, name);
    mp_write_text (out, "1");
    mp_write_array (out, 2);
    for (int i = 0; i < 2; i++) {
        mp_write_array (out, 4);
        mp_write_text (out, i ? "Next" : "Add");
        mp_write_uint (out, flags);
        mp_write_text (out, "any");
        mp_write_text (out, "int64");
    }
}

/*  `services`: comma-separated. `endpoint`: or NULL. */
static inline void say_register (peer_t *peer, const char *id, uint64_t incarnation, const char *services,
                                 const char *endpoint, unsigned flags)
{
    const char *endpoints [] = {endpoint, NULL};
    char list [512];
    uint32_t count = *services ? 1 : 0;
    buffer_t *out = records ();

    for (const char *at = services; *at; at++)
        count += *at == ',';
    snprintf (list, sizeof list, "%s", services);
    wire_write_register_begin (out, id, incarnation, count);
    char *rest = list;
    for (uint32_t i = 0; i < count; i++) {
        char *name = rest;
        rest = strchr (rest, ',');
        if (rest)
            *rest++ = 0;
        write_service (out, name, flags);
    }
    wire_write_register_end (out, endpoints, 4, NULL, "box", 77, 4);
    say (peer, out);
}

static inline void say_credit (peer_t *peer, uint64_t window)
{
    buffer_t *out = records ();
    wire_write_credit (out, 0, window);
    say (peer, out);
}

/*  A worker of these services with a window. */
static inline peer_t *worker_of (unsigned n, const char *services, uint64_t window)
{
    peer_t *peer = greeted_worker ();
    say_register (peer, uuid (n), 1, services, "tcp://*:7000", 1);
    only (peer, WIRE_BEAT_OK);
    say_credit (peer, window);
    return peer;
}

/*  In a turn of its own: what is new in it is told at its end. */
static inline void say_load (peer_t *peer, uint64_t sequence, wire_load_t load)
{
    buffer_t *out = records ();
    wire_write_beat (out, sequence, &load);
    say (peer, out);
    broker_tick (broker, now_us);
}

static inline void say_beat (peer_t *peer, uint64_t sequence)
{
    say_load (peer, sequence, (wire_load_t){0, 4, 0, 0});
}

static inline void say_call (peer_t *peer, uint64_t id, const char *method, uint32_t remaining_ms)
{
    buffer_t *out = records ();
    wire_write_request (out, id, text_of (method), remaining_ms, "\x01", 1, false, NULL);
    say (peer, out);
}

static inline void say_bound_call (peer_t *peer, uint64_t id, const char *method, const char *worker)
{
    const wire_options_t options = {.worker = text_of (worker)};
    buffer_t *out = records ();
    wire_write_request (out, id, text_of (method), 5000, "\x01", 1, false, &options);
    say (peer, out);
}

static inline void say_reply (peer_t *peer, uint64_t id)
{
    buffer_t *out = records ();
    wire_write_reply (out, id, WEFT_OK, "\x2a", 1, false, NULL);
    say (peer, out);
}

static inline void say_goodbye (peer_t *peer)
{
    buffer_t *out = records ();
    wire_write_goodbye (out, "bye");
    say (peer, out);
}

static inline void say_cancel (peer_t *peer, uint64_t id)
{
    buffer_t *out = records ();
    wire_write_cancel (out, id);
    say (peer, out);
}

static inline void say_draining (peer_t *peer)
{
    buffer_t *out = records ();
    wire_write_draining (out, "bye soon");
    say (peer, out);
}

/*  A call of weft.Registry with arguments as a C value. */
static inline void ask (peer_t *peer, uint64_t id, const char *method, weft_value_t args)
{
    codec_error_t error;
    buffer_t body, *out;

    buffer_init (&body, SIZE_MAX);
    CHECK (codec_encode (peer->codec, args, &body, &error));
    out = records ();
    wire_write_request (out, id, text_of (method), FOREVER, body.data, body.size, false, NULL);
    buffer_fini (&body);
    say (peer, out);
}

static arena_t answers;

/*  Decodes the body of a REPLY or ITEM; valid until finish. */
static inline void decode (const peer_t *peer, const wire_record_t *record, weft_value_t value)
{
    codec_error_t error;
    if (!answers.max)
        arena_init (&answers, 1 << 24);
    if (!codec_decode (peer->codec, record->body, record->body_size, value, &answers, &error))
        CHECK_STR (error.text, "");
}

/*  All peers are lost: nothing may be left. */
static inline void finish (void)
{
    list_node_t *node;
    while ((node = list_first (&broker->peers)))
        lose (CONTAINER_OF (node, peer_t, node));
    const broker_gauges_t gauges = broker_gauges (broker);
    CHECK_INT (gauges.peers, 0);
    CHECK_INT (gauges.workers, 0);
    CHECK_INT (gauges.calls, 0);
    CHECK_INT (gauges.queued, 0);
    CHECK_INT (gauges.queued_bytes, 0);
    CHECK_INT (gauges.watches, 0);
    CHECK_INT (gauges.contract_bytes, 0);
    CHECK_INT (deadlines_next (&broker->calls.due), DEADLINES_NEVER);
    CHECK_INT (deadlines_next (&broker->leases), DEADLINES_NEVER);
    forget_inbox ();
    buffer_fini (records ());
    arena_fini (&answers);
    answers = (arena_t){0};
    broker_destroy (&broker);
}

#endif
