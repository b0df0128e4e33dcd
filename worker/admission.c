/* SPDX-License-Identifier: MPL-2.0
 *
 *  admission.c - which requests a worker lets in; see admission.h. */

#include <stdio.h>
#include <string.h>
#include "admission.h"
#include "keyed.h"

/*  A name as it may be printed. */
static text_t printable (text_t name, char copy [WEFT_METHOD_NAME_MAX + 1])
{
    const size_t size = name.size < WEFT_METHOD_NAME_MAX ? name.size : WEFT_METHOD_NAME_MAX;
    for (size_t i = 0; i < size; i++)
        copy [i] = name.data [i] >= ' ' && name.data [i] < 127 ? name.data [i] : '?';
    return (text_t){copy, size};
}

static void turn_down_name (session_t *self, session_link_t *link, const wire_record_t *record)
{
    char text [WEFT_TEXT_MAX + 1], copy [WEFT_METHOD_NAME_MAX + 1];
    text_t service, name;
    weft_status_t status = WEFT_INVALID;

    services_explain (self->options.services, record->method, text, sizeof text);
    if (wire_split_method (record->method, &service, &name))
        status = services_lookup (self->options.services, service) ? WEFT_UNIMPLEMENTED : WEFT_NO_SERVICE;
    else {
        const text_t shown = printable (record->method, copy);
        snprintf (text, sizeof text, "ill-formed method name \"%.*s\": want \"Service.Method\"",
                  TEXT_ARG (shown));
    }
    requests_turn_down (&self->requests, link, record->id, status, 0, text);
}

size_t admission_room (const session_options_t *options)
{
    return (size_t) options->queue_max + (size_t) options->concurrency;
}

/*  Bytes that bodies may still take. */
static size_t left_of (const session_t *self)
{
    const size_t held = self->requests.bytes, max = self->options.queue_bytes_max;
    return held < max ? max - held : 0;
}

/*  Why a request cannot be taken at all; NULL: it can. */
static const char *obstacle (const session_t *self, const wire_record_t *record, weft_status_t *status)
{
    if (self->state == SESSION_DRAINING || self->state == SESSION_DONE)
        return *status = WEFT_DRAINING, "this worker is going away";
    if (record->remaining_ms == 0)
        return *status = WEFT_DEADLINE_EXCEEDED, "out of time on arrival";
    if (record->body_size > self->options.body_max)
        return *status = WEFT_TOO_LARGE, "the body is over this worker's limit";
    if (requests_held (&self->requests) >= admission_room (&self->options))
        return *status = WEFT_OVERLOADED, "the worker's queue is full";
    if (self->requests.bytes && record->body_size > left_of (self))
        return *status = WEFT_OVERLOADED, "the bodies in the worker's queue take too much memory";
    return NULL;
}

/*  False if its options ask for what is not here, and it was turned down. */
static bool read_options (session_t *self, session_link_t *link, const wire_record_t *record,
                          wire_options_t *said, codec_t *codec)
{
    char text [WEFT_TEXT_MAX + 1];

    if (!wire_read_options (record->extra, said)) {
        requests_turn_down (&self->requests, link, record->id, WEFT_INVALID, 0, "malformed options");
        return false;
    }
    if (said->worker.size && !text_is (said->worker, self->options.identity.uuid)) {
        requests_turn_down (&self->requests, link, record->id, WEFT_NO_WORKERS, 0, "this is another worker");
        return false;
    }
    if (said->request_key.size > WEFT_REQUEST_KEY_MAX) {
        requests_turn_down (&self->requests, link, record->id, WEFT_INVALID, 0,
                            "the request key has more than 255 bytes");
        return false;
    }
    if (said->codec.size)
        *codec = codec_find (said->codec);
    if (*codec != CODEC_UNKNOWN)
        return true;
    snprintf (text, sizeof text, "unknown codec \"%.*s\"; known: " CODEC_NAMES,
              (int) (said->codec.size < 63 ? said->codec.size : 63), said->codec.data);
    requests_turn_down (&self->requests, link, record->id, WEFT_INVALID, 0, text);
    return false;
}

/*  Where it is to run. */
static pace_place_t place_for (const session_t *self, const method_t *method)
{
    if (method->service->built_in || method->entry->flags & WEFT_INLINE)
        return PACE_HERE;
    const pace_place_t place = pace_place (&method->pace);
    return place == PACE_HERE && !self->reading.may_run ? PACE_SOON : place;
}

/*  It was let in, unless it is NULL: there was no memory. */
static void let_run (session_t *self, session_link_t *link, const wire_record_t *record, weft_request_t *request)
{
    if (!request) {
        requests_turn_down (&self->requests, link, record->id, WEFT_OVERLOADED, 0, "out of memory");
        return;
    }
    const pace_place_t place = place_for (self, request->method);
    if (place == PACE_HERE)
        self->reading.found = request;
    else
        requests_put (&self->requests, request, place, self->now_us);
    if (link->broker)
        window_came (&self->window,
                     link->requests.count - link->streams + self->unsent + (place == PACE_HERE),
                     self->now_us);
}

/*  A stream is called as one, and nothing else is. */
static void admit_stream (session_t *self, session_link_t *link, const wire_record_t *record,
                          zmq_msg_t *attachment, method_t *method, codec_t codec, const wire_options_t *options)
{
    requests_t *requests = &self->requests;
    const bool stream = method->entry->flags & WEFT_STREAM;
    char text [WEFT_METHOD_NAME_MAX + 64];

    if (!stream || options->credit == 0 || options->request_key.size) {
        snprintf (text, sizeof text, "%s is %s", method->full_name,
                  !stream                ? "no stream"
                  : options->credit == 0 ? "a stream, and was called as if it were none"
                                         : "a stream, and takes no request key");
        requests_turn_down (requests, link, record->id, WEFT_INVALID, 0, text);
        return;
    }
    weft_request_t *request =
        requests_admit (requests, link, record, attachment, method, codec, self->now_us);
    if (request)
        requests_make_stream (requests, request, options->credit, self->now_us);
    else
        requests_turn_down (requests, link, record->id, WEFT_OVERLOADED, 0, "out of memory");
}

static bool has_key (const method_t *method, const wire_options_t *options)
{
    return options->request_key.size > 0 && !method->service->built_in && !(method->entry->flags & WEFT_STREAM);
}

/*  One with options, or of a stream. False: it was turned down, is a stream that runs, or has no need to run. */
static bool admit_described (session_t *self, session_link_t *link, const wire_record_t *record,
                             zmq_msg_t *attachment, method_t *method, codec_t codec, weft_request_t **request)
{
    requests_t *requests = &self->requests;
    wire_options_t options;

    if (!read_options (self, link, record, &options, &codec))
        return false;
    const text_t key = options.request_key;
    if (options.credit > 0 || method->entry->flags & WEFT_STREAM) {
        admit_stream (self, link, record, attachment, method, codec, &options);
        return false;
    }
    if (!has_key (method, &options))
        *request = requests_admit (requests, link, record, attachment, method, codec, self->now_us);
    else if (keyed_repeat (requests, link, record, method, codec, key, WEFT_OK, NULL, self->now_us))
        return false;
    else
        *request = keyed_admit (requests, link, record, attachment, method, codec, key, self->now_us);
    return true;
}

/*  What is remembered can be told though nothing new is taken, and what is under way waited for if there are room and time.
 *  False: it is none of these. */
static bool repeat_only (session_t *self, session_link_t *link, const wire_record_t *record, weft_status_t status,
                         const char *why)
{
    wire_options_t options;
    method_t *method;
    codec_t codec = link->codec;

    if (status == WEFT_TOO_LARGE || mp_left (&record->extra) == 0
        || (method = services_find (self->options.services, record->method)) == NULL
        || !wire_read_options (record->extra, &options) || options.request_key.size > WEFT_REQUEST_KEY_MAX
        || (options.worker.size && !text_is (options.worker, self->options.identity.uuid))
        || !has_key (method, &options))
        return false;
    if (options.codec.size)
        codec = codec_find (options.codec);
    if (record->remaining_ms > 0 && requests_held (&self->requests) < admission_room (&self->options))
        status = WEFT_OK;
    return keyed_repeat (&self->requests, link, record, method, codec, options.request_key, status, why,
                         self->now_us);
}

/*  Most calls are for the method of the last one. */
static method_t *method_of (const session_t *self, session_link_t *link, text_t name)
{
    const method_t *last = link->method;

    if (!last || last->full_name_size != name.size || memcmp (last->full_name, name.data, name.size) != 0)
        link->method = services_find (self->options.services, name);
    return link->method;
}

void admission_request (session_t *self, session_link_t *link, const wire_record_t *record, zmq_msg_t *attachment)
{
    weft_status_t status;
    const char *why = obstacle (self, record, &status);
    if (why) {
        if (!repeat_only (self, link, record, status, why))
            requests_turn_down (&self->requests, link, record->id, status, 0, why);
        return;
    }
    method_t *method = method_of (self, link, record->method);
    weft_request_t *request;
    if (!method) {
        turn_down_name (self, link, record);
        return;
    }
    if (mp_left (&record->extra) == 0 && !(method->entry->flags & WEFT_STREAM))
        request = requests_admit (&self->requests, link, record, attachment, method, link->codec, self->now_us);
    else if (!admit_described (self, link, record, attachment, method, link->codec, &request))
        return;
    let_run (self, link, record, request);
}
