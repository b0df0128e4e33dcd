/* SPDX-License-Identifier: MPL-2.0 */

#include "call.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX    (64 * 1024) /* memory a pooled call may hold on to, per buffer */
#define STRINGS_MAX (1024 * 1024)

/*  What is zero in a blank call. Compilers make a slow string instruction of one long memset. */
#define BLANK_FROM offsetof (weft_call_t, flaw)
#define BLANK_SIZE (offsetof (weft_call_t, args) - BLANK_FROM)

static inline void make_blank (weft_call_t *self)
{
    char *at = (char *) self + BLANK_FROM;
    _Static_assert (BLANK_SIZE > 192 && BLANK_SIZE <= 256, "four pieces of up to 64 bytes");
    memset (at, 0, 64);
    memset (at + 64, 0, 64);
    memset (at + 128, 0, 64);
    memset (at + 192, 0, BLANK_SIZE - 192);
}

/*  Pool. */

void call_pool_init (call_pool_t *self, size_t max)
{
    list_init (&self->free);
    self->max = max;
}

static void call_free (weft_call_t *self)
{
    buffer_fini (&self->args);
    buffer_fini (&self->strings);
    buffer_fini (&self->text);
    buffer_fini (&self->reply);
    free (self->backup);
    free (self);
}

void call_pool_fini (call_pool_t *self)
{
    for (list_node_t *node; (node = list_pop (&self->free));)
        call_free (CONTAINER_OF (node, weft_call_t, node));
    self->max = 0;
}

static inline void keep_buffer (buffer_t *buffer)
{
    if (buffer->capacity > KEPT_MAX) {
        const size_t max = buffer->max;
        buffer_fini (buffer);
        buffer_init (buffer, max);
    }
    buffer_clear (buffer);
}

static weft_call_t *call_make (void)
{
    weft_call_t *self = malloc (sizeof *self);
    if (!self)
        return NULL;
    memset (self, 0, BLANK_FROM);
    self->attempt.call = self;
    buffer_init (&self->args, SIZE_MAX);
    buffer_init (&self->strings, STRINGS_MAX);
    buffer_init (&self->text, WEFT_TEXT_MAX + 1);
    buffer_init (&self->reply, SIZE_MAX);
    return self;
}

weft_call_t *call_new (call_pool_t *pool)
{
    list_node_t *node = pool ? list_pop (&pool->free) : NULL;
    weft_call_t *self = node ? CONTAINER_OF (node, weft_call_t, node) : call_make ();
    if (!self)
        return NULL;
    assert (!self->attempt.request.link && !self->attempt.endpoint && self->timer.index == 0);
    make_blank (self);
    self->method [0] = self->only [0] = self->worker [0] = '\0';
    self->handles = 1;
    return self;
}

/*  What only some calls have. */
static void drop_extras (weft_call_t *self, call_pool_t *pool)
{
    for (size_t i = 0; i < self->part_count; i++)
        call_release (self->parts [i], pool);
    free (self->parts);
    if (self->has_args_frame)
        zmq_msg_close (&self->args_frame);
    if (self->has_reply_frame)
        zmq_msg_close (&self->reply_frame);
    if (self->has_arena)
        arena_fini (&self->arena);
    intake_free (self->intake);
    self->intake = NULL;
    self->key = self->request_key = (text_t){NULL, 0};
    self->meta = mp_reader (NULL, 0);
}

void call_recycle (weft_call_t *self, call_pool_t *pool)
{
    if (self->described || self->parts || self->has_args_frame || self->has_reply_frame ||
        (self->has_arena && self->arena.blocks))
        drop_extras (self, pool);
    if (!pool || pool->free.count >= pool->max) {
        call_free (self);
        return;
    }
    keep_buffer (&self->args);
    keep_buffer (&self->strings);
    keep_buffer (&self->text);
    keep_buffer (&self->reply);
    list_push_front (&pool->free, &self->node); /* its memory is warm */
}

/*  What is asked. */

static void take_settings (call_settings_t *to, const weft_call_options_t *options)
{
    if (options->timeout_ms)
        to->timeout_ms = options->timeout_ms;
    if (options->connect_timeout_ms)
        to->connect_timeout_ms = options->connect_timeout_ms;
    if (options->via)
        to->via = options->via;
    if (options->balance)
        to->balance = options->balance;
    if (options->retry)
        to->retry = options->retry;
    if (options->backup_ms)
        to->backup_ms = options->backup_ms;
}

static void write_meta (buffer_t *out, const char *const *meta)
{
    uint32_t count = 0;
    while (meta [count])
        count++;
    mp_write_map (out, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *equals = strchr (meta [i], '=');
        const size_t key = equals ? (size_t) (equals - meta [i]) : strlen (meta [i]);
        mp_write_str (out, meta [i], key);
        mp_write_text (out, equals ? equals + 1 : "");
    }
}

/*  Copies the options' strings, one after the other, then points at them. */
APART static bool take_strings (weft_call_t *self, const weft_call_options_t *options)
{
    buffer_t *strings = &self->strings;
    const size_t key = options->key ? strlen (options->key) : 0;
    const size_t request_key = options->request_key ? strlen (options->request_key) : 0;
    if (!key && !request_key && !options->meta)
        return true; /* empty ones */
    buffer_append (strings, options->key, key);
    buffer_append (strings, options->request_key, request_key);
    if (options->meta)
        write_meta (strings, options->meta);
    if (strings->failed)
        return false;
    const char *data = (const char *) strings->data;
    self->described = true;
    self->key = (text_t){data, key};
    self->request_key = (text_t){data + key, request_key};
    self->meta = mp_reader (data + key + request_key, strings->size - key - request_key);
    return true;
}

/*  Remembers what is wrong; the core ends the call with it. */
APART static bool flawed (weft_call_t *self, const char *format, const char *what)
{
    self->flaw = WEFT_INVALID;
    call_set_text (self, format, what);
    return true;
}

/*  What this thread split last: most likely it is the next one too. */
static _Thread_local struct {
    char method [WEFT_METHOD_NAME_MAX + 1];
    size_t size, service_size;
    bool ours;
} last_split;

APART static bool split_anew (const char *method)
{
    text_t service, name;
    const size_t size = strlen (method);
    if (!wire_split_method ((text_t){method, size}, &service, &name))
        return false;
    memcpy (last_split.method, method, size + 1);
    last_split.size = size;
    last_split.service_size = service.size;
    last_split.ours = service.size > 5 && memcmp (service.data, "weft.", 5) == 0;
    return true;
}

static bool take_method (weft_call_t *self, const char *method)
{
    if ((last_split.size == 0 || strcmp (method, last_split.method) != 0) && !split_anew (method))
        return false;
    const size_t size = last_split.size, service_size = last_split.service_size;
    bytes_copy (self->method, last_split.method, size + 1);
    self->ours = last_split.ours;
    self->service = (text_t){self->method, service_size};
    self->name = (text_t){self->method + service_size + 1, size - service_size - 1};
    return true;
}

/*  For the text of an error, and for weft_call_method. */
APART static void keep_method (weft_call_t *self, const char *method)
{
    const size_t size = strlen (method);
    const size_t kept = size < WEFT_METHOD_NAME_MAX ? size : WEFT_METHOD_NAME_MAX;
    memcpy (self->method, method, kept);
    self->method [kept] = '\0';
}

static bool is_time (int ms)
{
    return ms >= 1 && ms <= WEFT_CALL_TIMEOUT_MS_MAX;
}

APART static bool take_worker (weft_call_t *self, const char *uuid)
{
    const size_t size = strlen (uuid);
    if (size > ENDPOINT_UUID_MAX)
        return false;
    memcpy (self->only, uuid, size + 1);
    return true;
}

bool call_ask (weft_call_t *self, const char *method, const weft_call_options_t *options,
               const call_settings_t *settings)
{
    self->settings = *settings;
    if (self->intake)
        self->settings.timeout_ms = 0;
    const bool split = !self->discover && take_method (self, method);
    if (!split)
        keep_method (self, method);
    if (options) {
        take_settings (&self->settings, options);
        if (options->worker && !take_worker (self, options->worker))
            return flawed (self, "worker \"%.80s\" is no UUID", options->worker);
        if (options->request_key && strlen (options->request_key) > WEFT_REQUEST_KEY_MAX)
            return flawed (self, "request_key \"%.40s...\" has more than 255 bytes", options->request_key);
        if (options->backup_ms && !is_time (options->backup_ms))
            return flawed (self, "%s must be 0 to 86400000 ms", "backup_ms");
        if ((options->key || options->request_key || options->meta) && !take_strings (self, options))
            return false;
    }
    const bool timed = is_time (self->settings.timeout_ms) || (self->intake && self->settings.timeout_ms == 0);
    if (!timed || !is_time (self->settings.connect_timeout_ms))
        return flawed (self, "%s must be 1 to 86400000 ms", timed ? "connect_timeout_ms" : "timeout_ms");
    if (self->intake && self->settings.balance == WEFT_BALANCE_BROADCAST)
        return flawed (self, "%s: a stream goes to one worker; it cannot be broadcast", method);
    if (self->intake && self->request_key.size)
        return flawed (self, "%s: a stream takes no request key", method);
    if (self->discover) {
        self->service = text_of (self->method);
        return wire_name_valid (text_of (method)) ? true
                                                  : flawed (self, "ill-formed service name \"%.80s\"", method);
    }
    return split ? true : flawed (self, "ill-formed method \"%.80s\": expected Service.Method", method);
}

static void free_args (void *data, void *hint)
{
    (void) hint;
    free (data);
}

bool call_seal_args (weft_call_t *self)
{
    if (self->args.size <= WEFT_BODY_INLINE_MAX)
        return true;
    if (zmq_msg_init_data (&self->args_frame, self->args.data, self->args.size, free_args, NULL) < 0)
        return false;
    self->has_args_frame = true;
    buffer_init (&self->args, self->args.max); /* its memory is the frame's now */
    return true;
}

/*  What came of it. */

void call_set_text (weft_call_t *self, const char *format, ...)
{
    char text [WEFT_TEXT_MAX + 1];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    for (char *at = text; *at; at++) /* peers wrote some of it, and it is promised to be one line */
        if ((unsigned char) *at < ' ' || *at == 127)
            *at = ' ';
    buffer_clear (&self->text);
    buffer_append (&self->text, text, strlen (text) + 1);
}

/*  Public: what the handle tells. Nothing below takes a lock: once `done` is seen, nobody writes. */

bool weft_call_done (const weft_call_t *self)
{
    return atomic_load_explicit (&self->done, memory_order_acquire);
}

weft_status_t weft_call_status (const weft_call_t *self)
{
    return self->status;
}

weft_executed_t weft_call_executed (const weft_call_t *self)
{
    return self->executed;
}

weft_origin_t weft_call_origin (const weft_call_t *self)
{
    return self->origin;
}

const char *weft_call_text (const weft_call_t *self)
{
    return self->text.size && !self->text.failed ? (const char *) self->text.data : "";
}

int64_t weft_call_code (const weft_call_t *self)
{
    return self->code;
}

int weft_call_attempts (const weft_call_t *self)
{
    return self->attempts - self->stayed;
}

const char *weft_call_worker (const weft_call_t *self)
{
    return self->worker;
}

bool weft_call_direct (const weft_call_t *self)
{
    return self->direct;
}

static inline const void *body_of (const weft_call_t *call, size_t *size)
{
    const weft_call_t *self = call->first ? call->first : call;
    if (!self->has_reply_frame) {
        *size = self->reply.size;
        return self->reply.data ? (const void *) self->reply.data : "";
    }
    zmq_msg_t *frame = (zmq_msg_t *) (uintptr_t) &self->reply_frame;
    *size = zmq_msg_size (frame);
    return zmq_msg_data (frame);
}

const void *weft_call_body (const weft_call_t *self, size_t *size)
{
    return body_of (self, size);
}

uint64_t weft_call_sequence (const weft_call_t *self)
{
    return self->sequence;
}

const char *weft_call_method (const weft_call_t *self)
{
    return self->method;
}

const void *weft_call_args_body (const weft_call_t *self, size_t *size)
{
    return call_args (self, size);
}

void *weft_call_arg (const weft_call_t *self)
{
    return self->callback_arg;
}

weft_ledger_t weft_call_ledger (const weft_call_t *self)
{
    return self->ledger;
}

weft_status_t weft_call_read (weft_call_t *self, weft_value_t reply)
{
    if (self->status != WEFT_OK)
        return self->status;
    if (!self->has_arena) {
        arena_init (&self->arena, WEFT_DECODED_MAX);
        self->has_arena = true;
    }
    size_t size;
    codec_error_t error;
    const void *body = body_of (self, &size);
    if (reply.data)
        memset (reply.data, 0, reply.schema->size);
    self->arena.starved = false;
    if (!codec_decode (self->codec, body, size, reply, &self->arena, &error)) {
        call_set_text (self, "reading body: %s", self->arena.starved ? "out of memory" : error.text);
        self->status = self->arena.starved ? WEFT_OVERLOADED : WEFT_INVALID;
        self->executed = WEFT_EXECUTED_YES;
        self->origin = WEFT_ORIGIN_CLIENT;
    }
    return self->status;
}

size_t weft_call_reply_count (const weft_call_t *self)
{
    return self->part_count;
}

weft_call_t *weft_call_reply (const weft_call_t *self, size_t index)
{
    return index < self->part_count ? self->parts [index] : NULL;
}
