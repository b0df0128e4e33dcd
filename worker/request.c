/* SPDX-License-Identifier: MPL-2.0
 *
 *  request.c - one call on its way through a worker; the states are in request.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "request.h"

#define KEEP_MAX     (64 * 1024) /* memory a request keeps for its next use */
#define ROOM_AT_ONCE 32          /* what is zeroed for the smallest values, in a store or two */

weft_request_t *request_new (size_t body_max)
{
    weft_request_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    buffer_init (&self->input, SIZE_MAX / 2);
    buffer_init (&self->reply, body_max);
    zmq_msg_init (&self->attachment);
    arena_init (&self->arena, WEFT_DECODED_MAX);
    self->job.run = request_serve;
    self->clock_us = clock_now_us;
    return self;
}

void request_free (weft_request_t *self)
{
    if (!self)
        return;
    stream_free (self->stream);
    zmq_msg_close (&self->attachment);
    buffer_fini (&self->input);
    buffer_fini (&self->reply);
    arena_fini (&self->arena);
    free (self);
}

static void recycle (buffer_t *buffer)
{
    const size_t max = buffer->max;
    if (buffer->capacity > KEEP_MAX) {
        buffer_fini (buffer);
        buffer_init (buffer, max);
    }
    buffer_clear (buffer);
}

static void drop_input (weft_request_t *self)
{
    if (self->attached) {
        zmq_msg_close (&self->attachment);
        zmq_msg_init (&self->attachment);
        self->attached = false;
    }
    recycle (&self->input);
    self->meta = mp_reader (NULL, 0);
    self->body = NULL;
    self->body_size = 0;
}

void request_reset (weft_request_t *self)
{
    drop_input (self);
    recycle (&self->reply);
    if (self->arena.blocks)
        arena_reset (&self->arena);
    if (self->stream) {
        stream_free (self->stream);
        self->stream = NULL;
    }
    atomic_store_explicit (&self->state, REQUEST_WAITING, memory_order_relaxed);
    atomic_store_explicit (&self->cancelled, false, memory_order_relaxed);
    atomic_store_explicit (&self->begun_us, 0, memory_order_relaxed);
    self->method = NULL;
    self->status = WEFT_OK;
    self->executed = WEFT_EXECUTED_NO;
    self->origin = WEFT_ORIGIN_WORKER;
    self->code = 0;
    self->text [0] = '\0';
    self->ended_us = 0;
    self->overdue = false;
}

bool request_fill_slow (weft_request_t *self, const void *body, size_t size, zmq_msg_t *attachment,
                        mp_reader_t options)
{
    const size_t options_size = mp_left (&options);
    wire_options_t read;

    if (!attachment)
        buffer_append (&self->input, body, size);
    const size_t options_at = self->input.size;
    if (options_size)
        buffer_append (&self->input, options.at, options_size);
    if (self->input.failed)
        return false;
    if (attachment) {
        zmq_msg_move (&self->attachment, attachment);
        self->attached = true;
    }
    self->body = attachment ? zmq_msg_data (&self->attachment) : self->input.data;
    self->body_size = size;
    if (options_size && wire_read_options (mp_reader (self->input.data + options_at, options_size), &read))
        self->meta = read.meta;
    return true;
}

/*  ------------------------------------------------------------------ the executor's thread  */

bool request_begin (weft_request_t *self, int64_t now_us)
{
    int expected = REQUEST_WAITING;
    const bool expired = now_us >= self->deadline_us;

    if (!expired) /* before the state says RUNNING, since the session reads both */
        atomic_store_explicit (&self->begun_us, now_us, memory_order_relaxed);
    return atomic_compare_exchange_strong (&self->state, &expected,
                                           expired ? REQUEST_EXPIRED : REQUEST_RUNNING)
           && !expired;
}

bool request_begin_here (weft_request_t *self, int64_t now_us)
{
    if (atomic_load_explicit (&self->state, memory_order_relaxed) != REQUEST_WAITING)
        return false;
    const bool expired = now_us >= self->deadline_us;
    atomic_store_explicit (&self->begun_us, expired ? 0 : now_us, memory_order_relaxed);
    atomic_store_explicit (&self->state, expired ? REQUEST_EXPIRED : REQUEST_RUNNING, memory_order_relaxed);
    return !expired;
}

static void outcome (weft_request_t *self, weft_status_t status, weft_executed_t executed,
                     weft_origin_t origin)
{
    self->status = status;
    self->executed = executed;
    self->origin = origin;
}

/*  A stream that could not put all its items has failed, whatever its handler makes of it; and one whose handler saw that it is
 *  cancelled, ended as it was. False: its handler has the say. */
static bool judge_stream (weft_request_t *self, weft_status_t *status)
{
    const weft_status_t refused = stream_verdict (self->stream, *status == WEFT_CANCELLED);

    if (refused == WEFT_OK || (*status != WEFT_OK && *status != WEFT_CANCELLED && *status != refused))
        return false;
    const bool starved = refused == WEFT_OVERLOADED, spoilt = starved || refused == WEFT_TOO_LARGE || refused == WEFT_INTERNAL;
    *status = starved ? WEFT_INTERNAL : refused; /* OVERLOADED means that nothing ran */
    if (refused == WEFT_DEADLINE_EXCEEDED)
        return false;
    if (starved)
        snprintf (self->text, sizeof self->text, "out of memory for an item of %s", self->method->full_name);
    else if (!spoilt)
        snprintf (self->text, sizeof self->text, "%s was cut off: %s", self->method->full_name,
                  refused == WEFT_DRAINING ? "this worker is going away" : weft_status_text (refused));
    outcome (self, *status, spoilt ? WEFT_EXECUTED_YES : WEFT_EXECUTED_MAYBE, WEFT_ORIGIN_WORKER);
    return true;
}

/*  What the handler returned, made sense of. One that gives up because time is up ends as its caller does. */
static void judge (weft_request_t *self, weft_status_t status)
{
    if (self->stream && judge_stream (self, &status))
        return;
    if (status != WEFT_OK && self->clock_us () >= self->deadline_us) {
        snprintf (self->text, sizeof self->text, "time was up while %s ran", self->method->full_name);
        self->code = 0;
        outcome (self, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE, WEFT_ORIGIN_WORKER);
        return;
    }
    if ((unsigned) status >= WEFT_STATUS_COUNT) {
        snprintf (self->text, sizeof self->text, "the handler of %s returned %d, which is no status",
                  self->method->full_name, (int) status);
        status = WEFT_INTERNAL;
    } else if (status != WEFT_OK && status != WEFT_APP_ERROR && !self->text [0])
        snprintf (self->text, sizeof self->text, "%s", weft_status_text (status));
    outcome (self, status, WEFT_EXECUTED_YES, WEFT_ORIGIN_APPLICATION);
}

static void encode_reply (weft_request_t *self, weft_value_t reply)
{
    codec_error_t error;

    error.text [0] = '\0';
    if (codec_encode (self->codec, reply, &self->reply, &error))
        return;
    const bool starved = self->reply.starved, too_large = self->reply.failed && !starved;
    buffer_clear (&self->reply);
    if (starved) {
        snprintf (self->text, sizeof self->text, "out of memory for the reply");
        outcome (self, WEFT_INTERNAL, WEFT_EXECUTED_YES, WEFT_ORIGIN_WORKER);
        return;
    }
    if (too_large)
        snprintf (self->text, sizeof self->text, "the reply of %s is over the limit of %zu bytes",
                  self->method->full_name, self->reply.max);
    else
        snprintf (self->text, sizeof self->text, "writing reply: %s", error.text);
    outcome (self, too_large ? WEFT_TOO_LARGE : WEFT_INTERNAL, WEFT_EXECUTED_YES, WEFT_ORIGIN_WORKER);
}

/*  Room for one value of a type, zeroed; WEFT_NOTHING's has some too, so that handlers always get a pointer. */
static void *value_new (weft_request_t *self, const weft_schema_t *schema, size_t half)
{
    uint8_t *room = self->room + half * REQUEST_ROOM / 2;

    if (schema->size <= ROOM_AT_ONCE)
        return memset (room, 0, ROOM_AT_ONCE);
    if (schema->size <= REQUEST_ROOM / 2)
        return memset (room, 0, schema->size);
    return arena_alloc (&self->arena, schema->size);
}

void request_run (weft_request_t *self)
{
    const weft_method_t *entry = self->method->entry;
    const weft_schema_t *args_type = entry->args (), *reply_type = entry->reply ();
    const weft_value_t args = {args_type, value_new (self, args_type, 0)};
    const weft_value_t reply = {reply_type, value_new (self, reply_type, 1)};
    codec_error_t error;

    error.text [0] = '\0';
    self->arena.starved = false;
    const bool room = args.data && reply.data;
    const bool fits = room && codec_decode (self->codec, self->body, self->body_size, args, &self->arena, &error);
    if (!room || (!fits && self->arena.starved)) {
        snprintf (self->text, sizeof self->text, "out of memory");
        outcome (self, WEFT_OVERLOADED, WEFT_EXECUTED_NO, WEFT_ORIGIN_WORKER);
        return;
    }
    if (!fits) {
        snprintf (self->text, sizeof self->text, "reading body: %s", error.text);
        outcome (self, WEFT_INVALID, WEFT_EXECUTED_NO, WEFT_ORIGIN_WORKER);
        return;
    }
    judge (self, entry->handler (self, args.data, reply.data));
    if (self->stream)
        buffer_clear (&self->reply);
    else if (self->status == WEFT_OK)
        encode_reply (self, reply);
}

void request_end (weft_request_t *self, int64_t now_us)
{
    self->ended_us = now_us;
    atomic_store_explicit (&self->state, REQUEST_DONE, memory_order_release);
}

void request_serve (executor_job_t *job)
{
    weft_request_t *self = CONTAINER_OF (job, weft_request_t, job);

    if (!request_begin (self, self->clock_us ()))
        return;
    request_run (self);
    request_end (self, self->clock_us ());
}

void request_run_job (executor_job_t *job)
{
    request_run (CONTAINER_OF (job, weft_request_t, job));
}

void request_end_job (executor_job_t *job)
{
    weft_request_t *self = CONTAINER_OF (job, weft_request_t, job);
    request_end (self, self->clock_us ());
}

/*  ------------------------------------------------------------------ the session's thread  */

bool request_drop (weft_request_t *self)
{
    int expected = REQUEST_WAITING;

    return atomic_compare_exchange_strong (&self->state, &expected, REQUEST_DROPPED);
}

void request_drop_input (weft_request_t *self)
{
    drop_input (self);
}

void request_take_input (weft_request_t *self, weft_request_t *from)
{
    drop_input (self);
    const buffer_t input = self->input;
    self->input = from->input;
    from->input = input;
    if (from->attached)
        zmq_msg_move (&self->attachment, &from->attachment);
    self->attached = from->attached;
    self->body = from->attached ? zmq_msg_data (&self->attachment) : from->body;
    self->body_size = from->body_size;
    self->meta = from->meta;
    from->attached = false;
    drop_input (from);
}

/*  ------------------------------------------------------------------ for handlers  */

weft_status_t weft_request_fail (weft_request_t *self, int64_t code, const char *text)
{
    self->code = code;
    snprintf (self->text, sizeof self->text, "%s", text ? text : "");
    for (char *at = self->text; *at; at++)
        if ((unsigned char) *at < ' ')
            *at = ' '; /* one line */
    return WEFT_APP_ERROR;
}

void *weft_request_alloc (weft_request_t *self, size_t size)
{
    return arena_alloc (&self->arena, size);
}

weft_status_t weft_request_send_item (weft_request_t *self, const void *item)
{
    const weft_schema_t *type = self->method->entry->reply ();
    const weft_value_t value = {type, (void *) (uintptr_t) item};
    codec_error_t error;

    if (!self->stream)
        return WEFT_INVALID;
    error.text [0] = '\0';
    buffer_clear (&self->reply);
    const bool written = codec_encode (self->codec, value, &self->reply, &error);
    weft_status_t status;
    if (written)
        status = stream_put (self->stream, &self->reply, self->clock_us (), self->deadline_us);
    else
        status = stream_refuse (self->stream, self->reply.starved  ? WEFT_OVERLOADED
                                              : self->reply.failed ? WEFT_TOO_LARGE
                                                                   : WEFT_INTERNAL);
    if (status == WEFT_TOO_LARGE)
        snprintf (self->text, sizeof self->text, "an item of %s is over the limit of %zu bytes",
                  self->method->full_name, self->stream->item_max);
    else if (status == WEFT_INTERNAL)
        snprintf (self->text, sizeof self->text, "writing item: %s", error.text);
    return status;
}

bool weft_request_cancelled (const weft_request_t *self)
{
    return atomic_load_explicit (&self->cancelled, memory_order_relaxed)
           || self->clock_us () >= self->deadline_us;
}

int weft_request_remaining_ms (const weft_request_t *self)
{
    const int64_t now_us = self->clock_us ();
    const int64_t left_ms = self->deadline_us > now_us ? (self->deadline_us - now_us) / 1000 : 0;
    return left_ms > INT32_MAX ? INT32_MAX : (int) left_ms;
}

const char *weft_request_method (const weft_request_t *self)
{
    return self->method->full_name;
}

void *weft_request_user (const weft_request_t *self)
{
    return self->method->user;
}

const char *weft_request_meta (const weft_request_t *self, const char *key, size_t *size)
{
    mp_reader_t meta = self->meta;
    uint32_t count = 0;
    text_t name, value;

    *size = 0;
    if (mp_left (&meta) == 0 || !mp_read_map (&meta, &count))
        return NULL;
    for (; count > 0; count--) {
        if (!mp_read_str (&meta, &name.data, &name.size) || !mp_read_str (&meta, &value.data, &value.size))
            return NULL;
        if (!text_is (name, key))
            continue;
        *size = value.size;
        return value.data;
    }
    return NULL;
}

const char *weft_request_codec (const weft_request_t *self)
{
    return codec_name (self->codec);
}
