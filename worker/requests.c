/* SPDX-License-Identifier: MPL-2.0
 *
 *  requests.c - the calls that are open at a worker, and how each ends; see requests.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "deadlines.h"
#include "keyed.h"
#include "requests_inside.h"

#define INDEX_BITS     12
#define INDEX_SIZE     (1 << INDEX_BITS) /* chains of open requests */
#define GOLDEN         0x9e3779b97f4a7c15u
#define SWEEP_MIN_US   1000 /* between two looks at all requests */
#define SPARES_MAX     (8 * 1024 * 1024)
#define LEDGER_MIN_US  1000 /* shorter times are not worth their bytes */

/*  On the way of every call; keyed.c and stream.c want them too, seldom. */
#define ALWAYS_INLINE static inline __attribute__ ((always_inline))

/*  ------------------------------------------------------------------ the index of open requests  */

/*  Ids are the senders' choice, so which of them share a chain is a secret: the topmost bits of a product are
 *  made of all bits of both its factors. */
static weft_request_t **chain_of (const requests_t *self, const session_link_t *link, uint64_t id)
{
    const uint64_t hash = (id + link->serial * GOLDEN) * self->factor;
    return &self->index [hash >> (64 - INDEX_BITS)];
}

static weft_request_t **place_of (const requests_t *self, const session_link_t *link, uint64_t id)
{
    weft_request_t **place = chain_of (self, link, id);
    while (*place && ((*place)->id != id || (*place)->link != link))
        place = &(*place)->next_in_index;
    return place;
}

/*  From now on nobody waits for its reply. */
static void detach (requests_t *self, weft_request_t *request)
{
    if (!request->link)
        return;
    request->link->streams -= request->stream != NULL;
    if (request->listed) {
        *place_of (self, request->link, request->id) = request->next_in_index;
        list_remove (&request->link->requests, &request->of_link);
    }
    request->link = NULL;
}

static void unlist (requests_t *self, weft_request_t *request)
{
    detach (self, request);
    if (request->listed) {
        list_remove (&self->open, &request->of_session);
        self->open_streams -= request->stream != NULL;
    }
    request->listed = false;
}

weft_request_t *requests_find (const requests_t *self, const session_link_t *link, uint64_t id)
{
    return self->open.count ? *place_of (self, link, id) : NULL;
}

/*  ------------------------------------------------------------------ request objects  */

static weft_request_t *take_idle (requests_t *self)
{
    weft_request_t *request = self->idle;

    if (request) {
        self->idle = request->next_idle;
        return request;
    }
    if ((request = request_new (self->options.body_max)) == NULL)
        return NULL;
    if (self->options.clock_us)
        request->clock_us = self->options.clock_us;
    request->next_made = self->made;
    return self->made = request;
}

/*  The last one used is the next one used: after a burst, the others stay out of the way. */
ALWAYS_INLINE void put_idle (requests_t *self, weft_request_t *request)
{
    const bool large = request->large;

    self->bytes -= request->held;
    request->held = 0;
    request_reset (request);
    if (large)
        spares_furnish (self->spares, &request->reply);
    request->large = false;
    request->next_idle = self->idle;
    self->idle = request;
}

/*  ------------------------------------------------------------------ replies  */

/*  What goes without saying is not said: see PROTOCOL.md, REPLY. The origin of a failure is, since a
 *  broker may stand between. */
static wire_info_t info_of (weft_status_t status, weft_executed_t executed, weft_origin_t origin,
                            const char *text)
{
    wire_info_t info = wire_info_none ();

    if (status == WEFT_OK)
        return info;
    if (executed != weft_status_executed (status))
        info.executed = (int) executed;
    if (status != WEFT_APP_ERROR || origin != WEFT_ORIGIN_APPLICATION)
        info.origin = (int) origin;
    info.text = text_of (text);
    return info;
}

void requests_turn_down_as (requests_t *self, session_link_t *link, uint64_t id, weft_status_t status,
                            weft_executed_t executed, int64_t queue_us, const char *text)
{
    wire_info_t info = info_of (status, executed, WEFT_ORIGIN_WORKER, text);

    self->refused++;
    info.queue_us = queue_us > 0 ? (uint64_t) queue_us : 0;
    wire_write_reply (link_open_record (link), id, status, NULL, 0, false, &info);
    link_close_record (link, NULL);
}

void requests_turn_down (requests_t *self, session_link_t *link, uint64_t id, weft_status_t status,
                         int64_t queue_us, const char *text)
{
    requests_turn_down_as (self, link, id, status, WEFT_EXECUTED_NO, queue_us, text);
}

/*  It ran, but its reply cannot be sent. */
static void spoil (weft_request_t *request, weft_status_t status)
{
    request->status = status;
    request->executed = WEFT_EXECUTED_YES;
    request->origin = WEFT_ORIGIN_WORKER;
    buffer_clear (&request->reply);
}

/*  A broker may take less than we do; a frame over its limit would cost the connection. */
static void fit_reply (weft_request_t *request)
{
    if (request->reply.size <= request->link->body_max)
        return;
    snprintf (request->text, sizeof request->text, "the reply of %s is over the broker's limit of %llu bytes",
              request->method->full_name, (unsigned long long) request->link->body_max);
    spoil (request, WEFT_TOO_LARGE);
}

static void tell_times (wire_info_t *info, weft_status_t status, int64_t queue_us, int64_t handler_us)
{
    if (status != WEFT_OK || queue_us >= LEDGER_MIN_US)
        info->queue_us = queue_us > 0 ? (uint64_t) queue_us : 0;
    if (status != WEFT_OK || handler_us >= LEDGER_MIN_US)
        info->handler_us = handler_us > 0 ? (uint64_t) handler_us : 0;
}

/*  What is to be said of one that ran. */
static wire_info_t info_of_request (const weft_request_t *request, int64_t queue_us, int64_t handler_us)
{
    wire_info_t info = info_of (request->status, request->executed, request->origin, request->text);

    info.code = request->status == WEFT_APP_ERROR ? request->code : 0;
    tell_times (&info, request->status, queue_us, handler_us);
    return info;
}

static bool make_frame (requests_t *self, weft_request_t *request, zmq_msg_t *frame)
{
    request->large = spares_frame (self->spares, &request->reply, frame);
    if (!request->large) {
        snprintf (request->text, sizeof request->text, "out of memory for the reply");
        spoil (request, WEFT_INTERNAL);
    }
    return request->large;
}

/*  Sends the items that wait. */
static void send_items (weft_request_t *request)
{
    session_link_t *link = request->link;
    stream_t *stream = request->stream;

    for (stream_item_t *item = stream_take (stream), *next; item; item = next) {
        next = item->next;
        wire_write_item (link_open_record (link), request->id, stream->index++, item->bytes, item->size,
                         item->attached);
        link_close_record (link, item->attached ? &item->frame : NULL);
        stream_item_free (item);
    }
}

bool requests_send_items (requests_t *self)
{
    size_t count = streams_look (&self->streams), sent = 0;
    stream_t *stream;

    for (; count > 0 && (stream = streams_next (&self->streams)) != NULL; count--) {
        weft_request_t *request = stream->owner;
        if (request->link && outbox_bytes (&request->link->outbox) >= WEFT_STREAM_PENDING_MAX) {
            stream_hold_back (stream);
            continue;
        }
        if (request->link)
            send_items (request);
        sent++;
    }
    return sent > 0;
}

/*  Answers a request whose handler has returned, or that failed before. */
ALWAYS_INLINE void answer (requests_t *self, weft_request_t *request)
{
    session_link_t *link = request->link;
    const int64_t begun_us = atomic_load_explicit (&request->begun_us, memory_order_relaxed);
    const int64_t queue_us = begun_us - request->arrived_us, handler_us = request->ended_us - begun_us;
    zmq_msg_t frame;

    if (request->stream)
        send_items (request);
    fit_reply (request);
    const bool attached = request->reply.size > WEFT_BODY_INLINE_MAX && make_frame (self, request, &frame);
    const bool plain = request->status == WEFT_OK && queue_us < LEDGER_MIN_US && handler_us < LEDGER_MIN_US;
    wire_info_t info;
    if (!plain)
        info = info_of_request (request, queue_us, handler_us);
    wire_write_reply (link_open_record (link), request->id, request->status, request->reply.data,
                      request->reply.size, attached, plain ? NULL : &info);
    link_close_record (link, attached ? &frame : NULL);
    if (attached)
        zmq_msg_close (&frame);
}

/*  ------------------------------------------------------------------ ends of requests  */

/*  It has not begun, and will not. Its work may be done for another request with its key; not in a drain, in which
 *  they go all together. */
static void turn_down_unbegun (requests_t *self, weft_request_t *request, weft_status_t status,
                               const char *text, int64_t now_us)
{
    const bool wanted = request->work && status != WEFT_DRAINING && keyed_is_wanted (request);

    requests_turn_down_as (self, request->link, request->id, status,
                           wanted ? WEFT_EXECUTED_MAYBE : WEFT_EXECUTED_NO, now_us - request->arrived_us, text);
}

/*  Drops a request that waits; false if it was too late for that. The executor will hand it back. */
static bool drop (requests_t *self, weft_request_t *request, weft_status_t status, const char *text,
                  int64_t now_us)
{
    if (!request_drop (request)) {
        if (request->stream)
            stream_end (request->stream, WEFT_CANCELLED);
        return false;
    }
    if (request->link)
        turn_down_unbegun (self, request, status, text, now_us);
    unlist (self, request);
    self->dropped++;
    if (request->work)
        keyed_never_ran (self, request);
    self->bytes -= request->held;
    request->held = 0;
    request_drop_input (request);
    return true;
}

void requests_cancel (requests_t *self, weft_request_t *request, int64_t now_us)
{
    if (atomic_load (&request->state) == REQUEST_REPEATING)
        keyed_cancel (self, request, now_us);
    else if (request->work && keyed_is_wanted (request))
        request->unwanted = true;
    else if (!drop (self, request, WEFT_CANCELLED, "cancelled before it began", now_us))
        atomic_store (&request->cancelled, true);
}

void requests_drop_waiting (requests_t *self, weft_status_t status, const char *text, int64_t now_us)
{
    list_node_t *next, *node = list_first (&self->open);

    for (; node; node = next) {
        weft_request_t *request = CONTAINER_OF (node, weft_request_t, of_session);
        next = list_after (&self->open, node);
        if (atomic_load (&request->state) == REQUEST_WAITING)
            drop (self, request, status, text, now_us);
    }
}

void requests_orphan (requests_t *self, session_link_t *link, int64_t now_us)
{
    list_node_t *node;

    while ((node = list_first (&link->requests)) != NULL) {
        weft_request_t *request = CONTAINER_OF (node, weft_request_t, of_link);
        detach (self, request);
        if (atomic_load (&request->state) == REQUEST_REPEATING)
            keyed_leave (self, request);
        else if (request->work && keyed_is_wanted (request))
            continue;
        else if (!drop (self, request, WEFT_CANCELLED, "", now_us) && !request->work)
            atomic_store (&request->cancelled, true);
    }
}

void requests_cancel_all (requests_t *self)
{
    list_node_t *node = list_first (&self->open);

    for (; node; node = list_after (&self->open, node)) {
        weft_request_t *request = CONTAINER_OF (node, weft_request_t, of_session);
        atomic_store (&request->cancelled, true);
        if (request->stream)
            stream_end (request->stream, WEFT_CANCELLED);
    }
}

/*  One with a deadline will end like any call; without, it may go on for ever. */
void requests_end_streams (requests_t *self)
{
    list_node_t *node = list_first (&self->open);

    for (; node; node = list_after (&self->open, node)) {
        weft_request_t *request = CONTAINER_OF (node, weft_request_t, of_session);
        if (!request->stream || request->deadline_us != DEADLINES_NEVER)
            continue;
        stream_end (request->stream, WEFT_DRAINING);
        atomic_store (&request->cancelled, true);
    }
}

void requests_no_thread (requests_t *self, weft_request_t *request, int64_t now_us)
{
    drop (self, request, WEFT_OVERLOADED, "there is no thread for another stream", now_us);
    requests_finished (self, request, now_us);
}

/*  It ran to its end. */
static void count (requests_t *self, weft_request_t *request, int64_t now_us)
{
    const int64_t begun_us = atomic_load_explicit (&request->begun_us, memory_order_relaxed);
    const int64_t took_us = request->ended_us - begun_us;

    self->finished++;
    self->stuck -= request->overdue;
    if (!request->stream)
        pace_note (&request->method->pace, took_us);
    method_count (request->method, request->status != WEFT_OK, took_us);
    self->late += !request->link;
    if (request->work)
        keyed_ran (self, request, now_us);
    else if (request->link)
        answer (self, request);
}

static void expired (requests_t *self, weft_request_t *request, int64_t now_us)
{
    if (request->link)
        turn_down_unbegun (self, request, WEFT_DEADLINE_EXCEEDED, "out of time before it began", now_us);
    if (request->work)
        keyed_never_ran (self, request);
}

void requests_finished (requests_t *self, weft_request_t *request, int64_t now_us)
{
    const int state = atomic_load (&request->state);

    if (state == REQUEST_DROPPED)
        self->dropped--;
    else {
        if (state == REQUEST_DONE)
            count (self, request, now_us);
        else
            expired (self, request, now_us);
        unlist (self, request);
    }
    put_idle (self, request);
}

/*  ------------------------------------------------------------------ time limits  */

static void time_out_handler (requests_t *self, weft_request_t *request, int64_t now_us)
{
    char text [WEFT_METHOD_NAME_MAX + 96];
    wire_info_t info;

    request->overdue = true;
    self->stuck++;
    atomic_store (&request->cancelled, true);
    if (!request->link && !request->work)
        return;
    snprintf (text, sizeof text, "handler timeout: %s ran longer than %lld ms", request->method->full_name,
              (long long) (self->options.handler_timeout_us / 1000));
    if (request->work)
        keyed_timed_out (self, request, text);
    if (!request->link)
        return;
    info = info_of (WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES, WEFT_ORIGIN_WORKER, text);
    info.handler_us = (uint64_t) (now_us - atomic_load (&request->begun_us));
    wire_write_reply (link_open_record (request->link), request->id, WEFT_HANDLER_TIMEOUT, NULL, 0, false,
                      &info);
    link_close_record (request->link, NULL);
    detach (self, request);
}

/*  Ends a request that is out of time, or says when it will be. One that waits may begin at any moment,
 *  without telling: its handler cannot be due before that much from now. */
static int64_t look_at (requests_t *self, weft_request_t *request, int64_t now_us)
{
    const int64_t limit_us = self->options.handler_timeout_us;
    int64_t due_us = DEADLINES_NEVER;

    if (request->overdue || (request->stream && atomic_load (&request->state) != REQUEST_WAITING))
        return due_us; /* a stream's handler may take as long as its caller lets it */
    if (atomic_load (&request->state) == REQUEST_REPEATING)
        return keyed_look_at (self, request, now_us);
    if (atomic_load (&request->state) == REQUEST_WAITING) {
        if (now_us < request->deadline_us) {
            if (limit_us && limit_us < request->deadline_us - now_us)
                return now_us + limit_us;
            return request->deadline_us;
        }
        if (drop (self, request, WEFT_DEADLINE_EXCEEDED, "out of time in the worker's queue", now_us))
            return due_us;
    }
    if (limit_us == 0 || atomic_load (&request->state) == REQUEST_EXPIRED) /* on its way back: it never ran */
        return due_us;
    due_us = atomic_load (&request->begun_us) + limit_us;
    if (now_us < due_us)
        return due_us;
    time_out_handler (self, request, now_us);
    return DEADLINES_NEVER;
}

void requests_sweep (requests_t *self, int64_t now_us)
{
    list_node_t *next, *node = list_first (&self->open);

    replies_expire (&self->replies, now_us);
    int64_t first_us = replies_next_us (&self->replies);
    for (; node; node = next) {
        next = list_after (&self->open, node);
        const int64_t due_us = look_at (self, CONTAINER_OF (node, weft_request_t, of_session), now_us);
        first_us = due_us < first_us ? due_us : first_us;
    }
    self->sweep_us = first_us < now_us + SWEEP_MIN_US ? now_us + SWEEP_MIN_US : first_us;
}

/*  A request has come: the next sweep may be due earlier. */
static void sweep_for (requests_t *self, const weft_request_t *request, int64_t now_us)
{
    int64_t due_us = request->deadline_us;
    const int64_t limit_us = self->options.handler_timeout_us;

    if (limit_us && limit_us < due_us - now_us)
        due_us = now_us + limit_us;
    if (due_us < self->sweep_us)
        self->sweep_us = due_us;
}

/*  ------------------------------------------------------------------ letting in  */

/*  What it holds of what came in. */
static size_t bytes_of (const weft_request_t *request)
{
    return request->input.size + (request->attached ? request->body_size : 0);
}

weft_request_t *requests_admit (requests_t *self, session_link_t *link, const wire_record_t *record,
                                zmq_msg_t *attachment, method_t *method, codec_t codec, int64_t now_us)
{
    weft_request_t *request = take_idle (self);

    if (!request)
        return NULL;
    if (!request_fill (request, record->body, record->body_size, attachment, record->extra)) {
        put_idle (self, request);
        return NULL;
    }
    request->method = method;
    request->codec = codec;
    request->arrived_us = now_us;
    request->deadline_us = record->remaining_ms == WIRE_NO_DEADLINE
                               ? DEADLINES_NEVER
                               : now_us + record->remaining_ms * 1000LL;
    request->link = link;
    request->id = record->id;
    request->job.unknown = !method->pace.known;
    self->bytes += request->held = bytes_of (request);
    return request;
}

static void enlist (requests_t *self, weft_request_t *request, int64_t now_us)
{
    weft_request_t **chain = chain_of (self, request->link, request->id);

    request->listed = true;
    request->next_in_index = *chain;
    *chain = request;
    list_push (&request->link->requests, &request->of_link);
    list_push (&self->open, &request->of_session);
    sweep_for (self, request, now_us);
}

static void give_out (requests_t *self, weft_request_t *request, pace_place_t place)
{
    request->job.cost_ns = request->method->pace.mean_ns;
    executor_batch_add (place == PACE_AWAY ? &self->away : &self->soon, &request->job);
}

void requests_put (requests_t *self, weft_request_t *request, pace_place_t place, int64_t now_us)
{
    enlist (self, request, now_us);
    give_out (self, request, place);
}

bool requests_make_stream (requests_t *self, weft_request_t *request, uint64_t credit, int64_t now_us)
{
    session_link_t *link = request->link;
    const size_t body_max = self->options.body_max;
    const bool room = self->streams.open < self->options.streams_max;
    char text [96];

    if (room)
        request->stream = stream_new (&self->streams, request, credit,
                                      link->body_max < body_max ? (size_t) link->body_max : body_max);
    if (!request->stream) {
        snprintf (text, sizeof text, room ? "out of memory" : "this worker runs %zu streams already",
                  self->streams.open);
        requests_turn_down (self, link, request->id, WEFT_OVERLOADED, 0, text);
        request->link = NULL;
        put_idle (self, request);
        return false;
    }
    link->streams++;
    self->open_streams++;
    enlist (self, request, now_us);
    executor_batch_add (&self->apart, &request->job);
    return true;
}

void requests_adopt (requests_t *self, weft_request_t *request, int64_t now_us)
{
    pace_note_slow (&request->method->pace);
    if (!request->listed)
        enlist (self, request, now_us);
}

int64_t requests_oldest_us (const requests_t *self, int64_t now_us)
{
    list_node_t *node = list_first (&self->open);

    while (node && CONTAINER_OF (node, weft_request_t, of_session)->stream)
        node = list_after (&self->open, node);
    return node ? now_us - CONTAINER_OF (node, weft_request_t, of_session)->arrived_us : 0;
}

/*  ------------------------------------------------------------------ for keyed.c  */

void requests_enlist (requests_t *self, weft_request_t *request, int64_t now_us)
{
    enlist (self, request, now_us);
}

void requests_retire (requests_t *self, weft_request_t *request)
{
    unlist (self, request);
    put_idle (self, request);
}

void requests_give_out (requests_t *self, weft_request_t *request)
{
    give_out (self, request, pace_place (&request->method->pace));
}

wire_info_t requests_info (weft_status_t status, weft_executed_t executed, weft_origin_t origin, const char *text,
                           int64_t queue_us, int64_t handler_us)
{
    wire_info_t info = info_of (status, executed, origin, text);

    tell_times (&info, status, queue_us, handler_us);
    return info;
}

bool requests_frame (requests_t *self, weft_request_t *request, zmq_msg_t *frame)
{
    if (request->reply.size <= WEFT_BODY_INLINE_MAX)
        return false;
    buffer_trim (&request->reply);
    return make_frame (self, request, frame);
}

void requests_answer (requests_t *self, weft_request_t *request)
{
    answer (self, request);
}

/*  ------------------------------------------------------------------ making and freeing  */

bool requests_init (requests_t *self, const requests_options_t *options)
{
    *self = (requests_t){.options = *options, .sweep_us = DEADLINES_NEVER};
    self->factor = (2 * options->seed + 1) * GOLDEN;
    list_init (&self->open);
    executor_batch_init (&self->soon);
    executor_batch_init (&self->away);
    replies_init (&self->replies, &options->replies, options->seed);
    executor_batch_init (&self->apart);
    streams_init (&self->streams);
    self->index = calloc (INDEX_SIZE, sizeof *self->index);
    self->spares = spares_new (SPARES_MAX);
    if (self->index && self->spares)
        return true;
    requests_fini (self);
    return false;
}

void requests_fini (requests_t *self)
{
    weft_request_t *request;

    while ((request = self->made) != NULL) {
        self->made = request->next_made;
        request_free (request);
    }
    replies_fini (&self->replies);
    streams_fini (&self->streams);
    spares_destroy (&self->spares);
    free (self->index);
    *self = (requests_t){0};
}
