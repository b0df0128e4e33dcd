/* SPDX-License-Identifier: MPL-2.0
 *
 *  session_fixture.h - a session with some services, time moved by hand, and what comes out of it as plain
 *  values. */

#ifndef SESSION_FIXTURE_H_INCLUDED
#define SESSION_FIXTURE_H_INCLUDED

#include <stdio.h>
#include <stdlib.h>
#include "builtin.h"
#include "check.h"
#include "session.h"

#define MS   1000 /* microseconds */
#define UUID "11111111-2222-4333-8444-555555555555"

/*  ------------------------------------------------------------------ services  */

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const pair *in = args;
    (void) request;
    *(int64_t *) reply = (int64_t) ((uint64_t) in->a + (uint64_t) in->b);
    return WEFT_OK;
}

static weft_status_t divide (weft_request_t *request, const void *args, void *reply)
{
    const pair *in = args;
    if (in->b == 0 || (in->a == INT64_MIN && in->b == -1))
        return weft_request_fail (request, 33, "division\nby zero");
    *(int64_t *) reply = in->a / in->b;
    return WEFT_OK;
}

static weft_status_t echo (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    *(weft_bytes *) reply = *(const weft_bytes *) args;
    return WEFT_OK;
}

/*  As many bytes as asked for. */
static weft_status_t fill (weft_request_t *request, const void *args, void *reply)
{
    const int64_t *size = args;
    weft_bytes *out = reply;
    out->size = (size_t) *size;
    out->data = weft_request_alloc (request, out->size);
    return out->data ? WEFT_OK : WEFT_OVERLOADED;
}

/*  Returns the status that it is given, as its own. */
static weft_status_t say (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) reply;
    return (weft_status_t) * (const int64_t *) args;
}

static weft_status_t nothing (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) args;
    (void) reply;
    return WEFT_OK;
}

static weft_status_t meta_of (weft_request_t *request, const void *args, void *reply)
{
    weft_bytes *out = reply;
    (void) args;
    out->data = weft_request_meta (request, "colour", &out->size);
    return WEFT_OK;
}

/*  Which run this is, of all; those of each argument are counted too. */
static int64_t fixture_runs, fixture_runs_of [100];

static weft_status_t count_runs (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    fixture_runs_of [*(const uint64_t *) args % 100]++;
    *(int64_t *) reply = ++fixture_runs;
    return WEFT_OK;
}

static weft_status_t stream (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) reply;
    return (weft_status_t) * (const int64_t *) args; /* what it sends, the test sends for it */
}

static const weft_method_t test_methods [] = {
    WEFT_METHOD ("Add", add, pair, weft_int64, WEFT_IDEMPOTENT),
    WEFT_METHOD ("AddHere", add, pair, weft_int64, WEFT_INLINE),
    WEFT_METHOD ("Divide", divide, pair, weft_int64, 0),
    WEFT_METHOD ("Echo", echo, weft_bytes, weft_bytes, 0),
    WEFT_METHOD ("Fill", fill, weft_int64, weft_bytes, 0),
    WEFT_METHOD ("Say", say, weft_int64, weft_none, 0),
    WEFT_METHOD ("Nothing", nothing, weft_none, weft_none, 0),
    WEFT_METHOD ("Meta", meta_of, weft_none, weft_bytes, 0),
    WEFT_METHOD ("Count", count_runs, weft_int64, weft_int64, 0),
    WEFT_METHOD ("CountHere", count_runs, weft_int64, weft_int64, WEFT_INLINE),
    WEFT_METHOD ("Stream", stream, weft_int64, weft_bytes, WEFT_STREAM),
    WEFT_METHOD_END};

/*  ------------------------------------------------------------------ the session  */

typedef struct {
    session_t session;
    services_t services;
    int64_t now_us;
    executor_batch_t held; /* what the "executor" has, in order */
    bool may_run;           /* requests are run as they are read, if they are quick */
    session_link_t *link;   /* that the last command was about */
} fixture_t;

static int64_t fixture_now_us;

static int64_t fixture_clock (void)
{
    return fixture_now_us;
}

static session_options_t fixture_options (fixture_t *self)
{
    static const char *const brokers [] = {"tcp://one:1", "tcp://two:2", NULL};
    return (session_options_t){
        .identity = {.uuid = UUID, .name = "test", .host = "here", .pid = 7, .cores = 2, .capacity = 2,
                     .services = &self->services},
        .brokers = brokers,
        .services = &self->services,
        .concurrency = 2,
        .queue_max = 3,
        .drain_timeout_us = 10000 * MS,
        .body_max = 100000,
        .peers_max = 8,
        .streams_max = 4,
        .seed = 1,
        .clock_us = fixture_clock,
    };
}

static void fixture_at (fixture_t *self, int64_t now_us)
{
    self->now_us = fixture_now_us = now_us;
}

static void fixture_open_with (fixture_t *self, session_options_t options)
{
    static const char *const endpoints [] = {"tcp://*:4000", NULL};
    char error [WEFT_TEXT_MAX + 1];

    memset (self, 0, sizeof *self);
    executor_batch_init (&self->held);
    services_init (&self->services, 1);
    CHECK_INT (services_add (&self->services, "T", test_methods, NULL, false, error), WEFT_OK);
    CHECK_INT (builtin_add (&self->services, &self->session, error), WEFT_OK);
    CHECK (session_init (&self->session, &options));
    fixture_at (self, 1000 * MS);
    session_start (&self->session, endpoints, self->now_us);
}

static void fixture_open (fixture_t *self)
{
    fixture_open_with (self, fixture_options (self));
}

static void fixture_close (fixture_t *self)
{
    session_fini (&self->session);
    services_fini (&self->services);
}

static void fixture_tick (fixture_t *self, int64_t later_us)
{
    fixture_at (self, self->now_us + later_us);
    session_tick (&self->session, self->now_us);
}

/*  Moves time to when the session next has something to do. */
__attribute__ ((unused)) static void fixture_next (fixture_t *self)
{
    const int64_t next_us = session_next_us (&self->session);
    CHECK (next_us != DEADLINES_NEVER);
    fixture_tick (self, next_us > self->now_us ? next_us - self->now_us : 0);
}

/*  ------------------------------------------------------------------ in  */

/*  Gives a message to the session. Those of its requests that are to be run at once are. */
static void fixture_receive (fixture_t *self, session_link_t *link, message_t *message)
{
    weft_request_t *request;

    session_receive (&self->session, link, message, self->now_us);
    while ((request = session_next (&self->session, self->may_run, self->now_us)) != NULL) {
        if (request_begin_here (request, self->now_us)) {
            request_run (request);
            request_end (request, self->now_us);
        }
        session_finished (&self->session, &request->job, self->now_us);
    }
}

static void fixture_feed_bytes (fixture_t *self, session_link_t *link, const void *data, size_t size,
                                zmq_msg_t *attachment)
{
    message_t message;

    message_init (&message);
    CHECK (message_add_bytes (&message, data, size));
    if (attachment)
        CHECK (message_add (&message, attachment));
    fixture_receive (self, link, &message);
    message_fini (&message);
}

/*  Feeds what was written to the buffer, and clears it. */
static void fixture_feed (fixture_t *self, session_link_t *link, buffer_t *records)
{
    CHECK (!records->failed);
    fixture_feed_bytes (self, link, records->data, records->size, NULL);
    buffer_fini (records);
}

static buffer_t fixture_records (void)
{
    buffer_t records;
    buffer_init (&records, 1 << 24);
    return records;
}

__attribute__ ((unused)) static void fixture_request (fixture_t *self, session_link_t *link, uint64_t id,
                                                      const char *method, uint32_t remaining_ms,
                                                      const void *body, size_t size,
                                                      const wire_options_t *options)
{
    buffer_t records = fixture_records ();
    wire_write_request (&records, id, text_of (method), remaining_ms, body, size, false, options);
    fixture_feed (self, link, &records);
}

/*  T.Echo with a body of `size` bytes, as an attachment. */
__attribute__ ((unused)) static void fixture_echo (fixture_t *self, session_link_t *link, uint64_t id, uint32_t remaining_ms,
                                                   size_t size, const wire_options_t *options)
{
    buffer_t records = fixture_records ();
    zmq_msg_t body;
    CHECK (size > 3 && size < 65536 && zmq_msg_init_size (&body, size) == 0);
    uint8_t *at = zmq_msg_data (&body);
    memset (at, 'x', size);
    at [0] = 0xc5; /* bin 16 */
    at [1] = (uint8_t) ((size - 3) >> 8);
    at [2] = (uint8_t) (size - 3);
    wire_write_request (&records, id, text_of ("T.Echo"), remaining_ms, NULL, 0, true, options);
    fixture_feed_bytes (self, link, records.data, records.size, &body);
    buffer_fini (&records);
}

/*  T.Add (7, 6). */
__attribute__ ((unused)) static void fixture_add (fixture_t *self, session_link_t *link, uint64_t id)
{
    fixture_request (self, link, id, "T.Add", 1000, "\x92\x07\x06", 3, NULL);
}

__attribute__ ((unused)) static void fixture_cancel (fixture_t *self, session_link_t *link, uint64_t id)
{
    buffer_t records = fixture_records ();
    wire_write_cancel (&records, id);
    fixture_feed (self, link, &records);
}

/*  ------------------------------------------------------------------ out  */

typedef struct {
    unsigned kind;
    uint64_t id, number;
    weft_status_t status;
    wire_info_t info;
    char text [WEFT_TEXT_MAX + 1];
    uint8_t body [8192];
    size_t body_size;
    bool attached;
    wire_welcome_t welcome;
    char welcome_codec [16], welcome_server [64];
    uint64_t incarnation, sequence;
    wire_load_t load;
} seen_t;

#define SEEN_MAX 64
static seen_t seen [SEEN_MAX];

static void see_text (seen_t *out, text_t text)
{
    snprintf (out->text, sizeof out->text, "%.*s", TEXT_ARG (text));
}

static void see (seen_t *out, const wire_record_t *record)
{
    wire_refused_t refused;
    wire_register_t registered;
    const char *fault = "";
    text_t text;

    memset (out, 0, sizeof *out);
    out->kind = record->kind;
    out->id = record->id;
    out->number = record->number;
    switch (record->kind) {
        case WIRE_REPLY:
            out->status = record->status;
            out->attached = record->attached;
            out->body_size = record->body_size;
            memcpy (out->body, record->body,
                    record->body_size < sizeof out->body ? record->body_size : sizeof out->body);
            out->info = wire_info_none ();
            if (mp_left (&record->extra))
                CHECK (wire_read_info (record->extra, &out->info));
            see_text (out, out->info.text);
            break;
        case WIRE_ITEM:
            out->attached = record->attached;
            out->body_size = record->body_size;
            memcpy (out->body, record->body,
                    record->body_size < sizeof out->body ? record->body_size : sizeof out->body);
            break;
        case WIRE_REFUSED:
            CHECK (wire_read_refused (record, &refused));
            out->status = refused.status;
            see_text (out, refused.text);
            break;
        case WIRE_WELCOME:
            CHECK (wire_read_welcome (record, &out->welcome));
            snprintf (out->welcome_codec, sizeof out->welcome_codec, "%.*s", TEXT_ARG (out->welcome.codec));
            snprintf (out->welcome_server, sizeof out->welcome_server, "%.*s",
                      TEXT_ARG (out->welcome.server));
            break;
        case WIRE_REGISTER:
            CHECK (wire_read_register (record, &registered, &fault));
            out->incarnation = registered.incarnation;
            see_text (out, registered.endpoints [0]);
            break;
        case WIRE_BEAT:
            CHECK (wire_read_beat (record, &out->sequence, &out->load));
            break;
        case WIRE_DRAINING:
        case WIRE_GOODBYE:
            CHECK (wire_read_text (record, &text));
            see_text (out, text);
            break;
        default:
            break;
    }
}

/*  Everything that waits for `link` becomes seen [0 …]; how many. */
static int fixture_seen (fixture_t *self, session_link_t *link)
{
    message_t message;
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = "";
    int count = 0, got;

    message_init (&message);
    while (outbox_take (&link->outbox, &message)) {
        message_cursor_t cursor = message_cursor (&message);
        while ((got = message_next (&cursor, &record, &attachment, &fault)) > 0 && count < SEEN_MAX)
            see (&seen [count++], &record);
        CHECK_INT (got, 0);
        message_clear (&message);
    }
    list_remove (&self->session.dirty, &link->of_dirty);
    return count;
}

/*  The same when exactly one record of `kind` must be there. */
__attribute__ ((unused)) static const seen_t *fixture_one (fixture_t *self, session_link_t *link,
                                                           unsigned kind)
{
    CHECK_INT (fixture_seen (self, link), 1);
    CHECK_INT (seen [0].kind, kind);
    return &seen [0];
}

/*  ------------------------------------------------------------------ the executor  */

/*  Takes over what the session gives out. */
static size_t fixture_take (fixture_t *self)
{
    executor_batch_move (&self->held, session_soon (&self->session));
    executor_batch_move (&self->held, session_away (&self->session));
    executor_batch_move (&self->held, session_apart (&self->session));
    return self->held.count;
}

/*  Begins the next one that it holds; NULL if it does not run (it is then back already). */
__attribute__ ((unused)) static weft_request_t *fixture_begin (fixture_t *self)
{
    executor_job_t *job = (fixture_take (self), executor_batch_take (&self->held));

    CHECK (job);
    weft_request_t *request = CONTAINER_OF (job, weft_request_t, job);
    if (request_begin (request, self->now_us))
        return request;
    session_finished (&self->session, job, self->now_us);
    session_settle (&self->session);
    return NULL;
}

__attribute__ ((unused)) static void fixture_end (fixture_t *self, weft_request_t *request)
{
    request_run (request);
    request_end (request, self->now_us);
    session_finished (&self->session, &request->job, self->now_us);
    session_settle (&self->session);
}

/*  Runs all there is. */
__attribute__ ((unused)) static void fixture_run (fixture_t *self)
{
    while (fixture_take (self)) {
        weft_request_t *request = fixture_begin (self);
        if (request)
            fixture_end (self, request);
    }
}

/*  ------------------------------------------------------------------ broker and callers  */

static void fixture_welcome (fixture_t *self, session_link_t *link)
{
    buffer_t records = fixture_records ();
    wire_write_welcome (&records, text_of ("msgpack"), WEFT_BODY_MAX, 100, "broker", NULL);
    fixture_feed (self, link, &records);
}

static void fixture_answer (fixture_t *self, session_link_t *link, uint64_t sequence, uint64_t next_ms)
{
    buffer_t records = fixture_records ();
    wire_write_beat_ok (&records, sequence, next_ms, 10000, NULL);
    fixture_feed (self, link, &records);
}

static void fixture_beat_ok (fixture_t *self, uint64_t sequence, uint64_t next_ms)
{
    fixture_answer (self, &self->session.post->link, sequence, next_ms);
}

__attribute__ ((unused)) static void fixture_refuse (fixture_t *self, weft_status_t status, const char *text)
{
    buffer_t records = fixture_records ();
    wire_write_refused (&records, status, text);
    fixture_feed (self, &self->session.post->link, &records);
}

/*  The command that the session gives now. */
static const char *fixture_opened (fixture_t *self)
{
    const char *endpoint = "";
    standing_command_t command;
    while ((command = session_command (&self->session, &self->link, &endpoint)) == STANDING_CLOSE) {
    }
    return command == STANDING_OPEN ? endpoint : "";
}

/*  Connects to the broker that it wants, and is registered there. */
static void fixture_register (fixture_t *self)
{
    do
        fixture_next (self);
    while (!*fixture_opened (self));
    session_link_ready (&self->session, &self->session.post->link, self->now_us);
    fixture_welcome (self, self->link);
    fixture_beat_ok (self, 0, 3000);
    CHECK_INT (self->session.state, SESSION_SERVING);
    fixture_seen (self, &self->session.post->link);
}

static void fixture_hello (fixture_t *self, session_link_t *peer, const char *role, const char *codec,
                           const char *uuid)
{
    const char *const codecs [] = {codec, NULL};
    buffer_t records = fixture_records ();
    wire_write_hello (&records, role, codecs, "caller", uuid);
    fixture_feed (self, peer, &records);
}

/*  A direct caller that is welcome. */
static session_link_t *fixture_caller (fixture_t *self)
{
    session_link_t *peer = session_peer_open (&self->session, NULL);
    CHECK (peer);
    fixture_hello (self, peer, "client", "msgpack", UUID);
    CHECK_INT (fixture_seen (self, peer), 1);
    CHECK_INT (seen [0].kind, WIRE_WELCOME);
    return peer;
}

/*  Served from the start: registered, with one caller. */
__attribute__ ((unused)) static session_link_t *fixture_serving (fixture_t *self)
{
    fixture_open (self);
    fixture_register (self);
    return fixture_caller (self);
}

#endif
