/* SPDX-License-Identifier: MPL-2.0
 *
 *  session.c - the worker without its sockets.
 *
 *    JOINING <--> SERVING --drain--> DRAINING --nothing runs, all have gone--> DONE
 *        \--refused--> REFUSED
 *
 *  A request is answered exactly once, whatever becomes of it:
 *
 *    refused on arrival (name, codec, size, queue, drain, out of time)      executed no
 *    dropped while it waits (cancelled, drained, out of time)               executed no
 *    ended by its handler, or by the limit on handlers                      executed yes
 *
 *  unless its sender is gone; then nobody is answered. It stays in `requests` from arrival until it is
 *  answered or its handler has returned, whichever is later. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

#define LINGER_US      100000  /* callers that had not heard of the drain may be on their way this long */
#define PART_US        1000000 /* how long a drained worker waits for its peers' goodbyes */
#define SWEEP_MIN_US   1000    /* between two looks at all requests */
#define LEDGER_MIN_US  1000    /* shorter times are not worth their bytes */

static void settle (session_t *self);

/*  ------------------------------------------------------------------ links  */

static void link_init (session_t *self, session_link_t *link, bool broker)
{
    *link = (session_link_t){.broker = broker, .serial = ++self->serial};
    outbox_init (&link->outbox, WEFT_OUTBOX_MAX);
    list_init (&link->requests);
}

void session_set_dirty (session_t *self, session_link_t *link)
{
    if (!list_linked (&link->of_dirty))
        list_push (&self->dirty, &link->of_dirty);
}

static buffer_t *open_record (session_t *self, session_link_t *link)
{
    session_set_dirty (self, link);
    return outbox_open_record (&link->outbox);
}

static void refuse (session_t *self, session_link_t *link, weft_status_t status, const char *text)
{
    if (link->broker && !standing_connected (&self->standing))
        return;
    wire_write_refused (open_record (self, link), status, text);
    outbox_close_record (&link->outbox, NULL);
}

/*  ------------------------------------------------------------------ the index of open requests  */

static weft_request_t **chain_of (const session_t *self, const session_link_t *link, uint64_t id)
{
    const uint64_t hash = (id + link->serial * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    return &self->index [(hash >> 32) & (SESSION_INDEX_SIZE - 1)];
}

static weft_request_t **place_of (const session_t *self, const session_link_t *link, uint64_t id)
{
    weft_request_t **place = chain_of (self, link, id);
    while (*place && ((*place)->id != id || (*place)->link != link))
        place = &(*place)->next_in_index;
    return place;
}

static void attach (session_t *self, weft_request_t *request, session_link_t *link, uint64_t id)
{
    weft_request_t **chain = chain_of (self, link, id);

    request->link = link;
    request->id = id;
    request->next_in_index = *chain;
    *chain = request;
    list_push (&link->requests, &request->of_link);
}

/*  From now on nobody waits for its reply. */
static void detach (session_t *self, weft_request_t *request)
{
    if (!request->link)
        return;
    *place_of (self, request->link, request->id) = request->next_in_index;
    list_remove (&request->link->requests, &request->of_link);
    request->link = NULL;
}

/*  ------------------------------------------------------------------ request objects  */

static weft_request_t *take_idle (session_t *self)
{
    executor_job_t *job = executor_batch_take (&self->idle);
    if (job)
        return CONTAINER_OF (job, weft_request_t, job);

    weft_request_t *fresh = request_new (self->options.body_max);
    if (!fresh)
        return NULL;
    if (self->options.clock_us)
        fresh->clock_us = self->options.clock_us;
    fresh->next_made = self->made;
    return self->made = fresh;
}

/*  The last one used is the next one used: after a burst, the others stay out of the way. */
static void put_idle (session_t *self, weft_request_t *request)
{
    request_reset (request);
    executor_batch_put_first (&self->idle, &request->job);
}

size_t session_in_flight (const session_t *self)
{
    return self->requests.count;
}

static wire_load_t load_of (const session_t *self)
{
    const list_node_t *first = list_first (&self->requests);
    const weft_request_t *oldest = first ? CONTAINER_OF (first, weft_request_t, of_session) : NULL;

    return (wire_load_t){
        .in_flight = self->requests.count,
        .capacity = (uint64_t) self->options.concurrency,
        .oldest_ms = oldest ? (uint64_t) (self->now_us - oldest->arrived_us) / 1000 : 0,
        .progress = self->stats.finished,
    };
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

/*  Answers a request that did not run. */
static void turn_down (session_t *self, session_link_t *link, uint64_t id, weft_status_t status,
                       int64_t queue_us, const char *text)
{
    wire_info_t info = info_of (status, WEFT_EXECUTED_NO, WEFT_ORIGIN_WORKER, text);

    self->stats.refused++;
    info.queue_us = queue_us > 0 ? (uint64_t) queue_us : 0;
    wire_write_reply (open_record (self, link), id, status, NULL, 0, false, &info);
    outbox_close_record (&link->outbox, NULL);
}

static void free_body (void *data, void *hint)
{
    (void) hint;
    free (data);
}

/*  The reply's bytes as a frame, without a copy. */
static bool as_attachment (buffer_t *body, zmq_msg_t *frame)
{
    if (zmq_msg_init_data (frame, body->data, body->size, free_body, NULL) < 0)
        return false;
    const size_t max = body->max;
    buffer_init (body, max);
    return true;
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
static void fit_reply (session_t *self, weft_request_t *request)
{
    if (!request->link->broker || request->reply.size <= self->standing.body_max)
        return;
    snprintf (request->text, sizeof request->text, "the reply of %s is over the broker's limit of %llu bytes",
              request->method->full_name, (unsigned long long) self->standing.body_max);
    spoil (request, WEFT_TOO_LARGE);
}

/*  Answers a request whose handler has returned, or that failed before. */
static void answer (session_t *self, weft_request_t *request)
{
    session_link_t *link = request->link;
    const int64_t begun_us = atomic_load_explicit (&request->begun_us, memory_order_relaxed);
    const int64_t queue_us = begun_us - request->arrived_us, handler_us = request->ended_us - begun_us;
    zmq_msg_t frame;

    fit_reply (self, request);
    bool attached = request->reply.size > WEFT_BODY_INLINE_MAX;
    if (attached && !as_attachment (&request->reply, &frame)) {
        snprintf (request->text, sizeof request->text, "out of memory for the reply");
        spoil (request, WEFT_INTERNAL);
        attached = false;
    }
    wire_info_t info = info_of (request->status, request->executed, request->origin, request->text);
    info.code = request->status == WEFT_APP_ERROR ? request->code : 0;
    if (request->status != WEFT_OK || queue_us >= LEDGER_MIN_US)
        info.queue_us = queue_us > 0 ? (uint64_t) queue_us : 0;
    if (request->status != WEFT_OK || handler_us >= LEDGER_MIN_US)
        info.handler_us = handler_us > 0 ? (uint64_t) handler_us : 0;
    wire_write_reply (open_record (self, link), request->id, request->status, request->reply.data,
                      request->reply.size, attached, &info);
    outbox_close_record (&link->outbox, attached ? &frame : NULL);
    if (attached)
        zmq_msg_close (&frame);
}

/*  ------------------------------------------------------------------ ends of requests  */

/*  Drops a request that waits; false if it was too late for that. The executor will hand it back. */
static bool drop (session_t *self, weft_request_t *request, weft_status_t status, const char *text)
{
    if (!request_drop (request))
        return false;
    if (request->link)
        turn_down (self, request->link, request->id, status, self->now_us - request->arrived_us, text);
    detach (self, request);
    list_remove (&self->requests, &request->of_session);
    self->dropped++;
    return true;
}

static void drop_waiting (session_t *self, weft_status_t status, const char *text)
{
    list_node_t *next, *node = list_first (&self->requests);

    for (; node; node = next) {
        weft_request_t *request = CONTAINER_OF (node, weft_request_t, of_session);
        next = list_after (&self->requests, node);
        if (atomic_load (&request->state) == REQUEST_WAITING)
            drop (self, request, status, text);
    }
}

/*  The sender is gone: what waits is dropped, what runs is told. */
static void orphan_all (session_t *self, session_link_t *link)
{
    list_node_t *node;

    while ((node = list_first (&link->requests)) != NULL) {
        weft_request_t *request = CONTAINER_OF (node, weft_request_t, of_link);
        detach (self, request);
        drop (self, request, WEFT_CANCELLED, "");
    }
}

void session_cancel_all (session_t *self)
{
    list_node_t *node = list_first (&self->requests);

    for (; node; node = list_after (&self->requests, node))
        atomic_store (&CONTAINER_OF (node, weft_request_t, of_session)->cancelled, true);
}

/*  How long it waited for a thread. */
static int64_t waited_us (const weft_request_t *self, int64_t now_us)
{
    const int64_t begun_us = atomic_load_explicit (&self->begun_us, memory_order_relaxed);
    return (begun_us ? begun_us : now_us) - self->arrived_us;
}

void session_finished (session_t *self, executor_job_t *job, int64_t now_us)
{
    weft_request_t *request = CONTAINER_OF (job, weft_request_t, job);
    const int state = atomic_load (&request->state);

    self->now_us = now_us;
    if (request->link && request->link->broker)
        window_ended (&self->window, waited_us (request, now_us), now_us);
    if (state == REQUEST_DROPPED)
        self->dropped--;
    else {
        if (state == REQUEST_EXPIRED) {
            if (request->link)
                turn_down (self, request->link, request->id, WEFT_DEADLINE_EXCEEDED,
                           now_us - request->arrived_us, "out of time before it began");
        } else {
            self->stats.finished++;
            method_count (request->method, request->status != WEFT_OK,
                          request->ended_us
                              - atomic_load_explicit (&request->begun_us, memory_order_relaxed));
            if (request->link)
                answer (self, request);
            else
                self->stats.late++;
            self->stuck -= request->overdue;
        }
        detach (self, request);
        list_remove (&self->requests, &request->of_session);
    }
    put_idle (self, request);
    settle (self);
}

/*  ------------------------------------------------------------------ time limits  */

static void time_out_handler (session_t *self, weft_request_t *request)
{
    char text [WEFT_METHOD_NAME_MAX + 96];
    wire_info_t info;

    request->overdue = true;
    self->stuck++;
    atomic_store (&request->cancelled, true);
    if (!request->link)
        return;
    snprintf (text, sizeof text, "handler timeout: %s ran longer than %lld ms", request->method->full_name,
              (long long) (self->options.handler_timeout_us / 1000));
    info = info_of (WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES, WEFT_ORIGIN_WORKER, text);
    info.handler_us = (uint64_t) (self->now_us - atomic_load (&request->begun_us));
    wire_write_reply (open_record (self, request->link), request->id, WEFT_HANDLER_TIMEOUT, NULL, 0, false,
                      &info);
    outbox_close_record (&request->link->outbox, NULL);
    detach (self, request);
}

/*  Ends a request that is out of time, or says when it will be. One that waits may begin at any moment,
 *  without telling: its handler cannot be due before that much from now. */
static int64_t look_at (session_t *self, weft_request_t *request)
{
    const int64_t limit_us = self->options.handler_timeout_us;
    int64_t due_us = DEADLINES_NEVER;

    if (request->overdue)
        return due_us;
    if (atomic_load (&request->state) == REQUEST_WAITING) {
        if (self->now_us < request->deadline_us) {
            if (limit_us && limit_us < request->deadline_us - self->now_us)
                return self->now_us + limit_us;
            return request->deadline_us;
        }
        if (drop (self, request, WEFT_DEADLINE_EXCEEDED, "out of time in the worker's queue"))
            return due_us;
    }
    if (limit_us == 0 || atomic_load (&request->state) == REQUEST_EXPIRED) /* on its way back: it never ran */
        return due_us;
    due_us = atomic_load (&request->begun_us) + limit_us;
    if (self->now_us < due_us)
        return due_us;
    time_out_handler (self, request);
    return DEADLINES_NEVER;
}

static void sweep (session_t *self)
{
    list_node_t *next, *node = list_first (&self->requests);
    int64_t first_us = DEADLINES_NEVER;

    for (; node; node = next) {
        next = list_after (&self->requests, node);
        const int64_t due_us = look_at (self, CONTAINER_OF (node, weft_request_t, of_session));
        first_us = due_us < first_us ? due_us : first_us;
    }
    self->sweep_us = first_us < self->now_us + SWEEP_MIN_US ? self->now_us + SWEEP_MIN_US : first_us;
}

/*  A request has come: the next sweep may be due earlier. */
static void sweep_for (session_t *self, const weft_request_t *request)
{
    int64_t due_us = request->deadline_us;
    const int64_t limit_us = self->options.handler_timeout_us;

    if (limit_us && limit_us < due_us - self->now_us)
        due_us = self->now_us + limit_us;
    if (due_us < self->sweep_us)
        self->sweep_us = due_us;
}

/*  ------------------------------------------------------------------ requests come in  */

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
    turn_down (self, link, record->id, status, 0, text);
}

/*  Requests that are let in at once. */
static size_t room_of (const session_options_t *options)
{
    return (size_t) options->queue_max + (size_t) options->concurrency;
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
    if (self->requests.count + self->dropped >= room_of (&self->options))
        return *status = WEFT_OVERLOADED, "the worker's queue is full";
    return NULL;
}

/*  The codec of a request's bodies; false if its options ask for what is not here, and it was turned down. */
static bool read_options (session_t *self, session_link_t *link, const wire_record_t *record, codec_t *codec)
{
    wire_options_t options;
    char text [WEFT_TEXT_MAX + 1];

    *codec = link->broker ? self->standing.codec : link->codec;
    if (mp_left (&record->extra) == 0)
        return true;
    if (!wire_read_options (record->extra, &options)) {
        turn_down (self, link, record->id, WEFT_INVALID, 0, "malformed options");
        return false;
    }
    if (options.worker.size && !text_is (options.worker, self->options.identity.uuid)) {
        turn_down (self, link, record->id, WEFT_NO_WORKERS, 0, "this is another worker");
        return false;
    }
    if (options.codec.size)
        *codec = codec_find (options.codec);
    if (*codec != CODEC_UNKNOWN)
        return true;
    snprintf (text, sizeof text, "unknown codec \"%.*s\"; known: " CODEC_NAMES,
              (int) (options.codec.size < 63 ? options.codec.size : 63), options.codec.data);
    turn_down (self, link, record->id, WEFT_INVALID, 0, text);
    return false;
}

/*  Lets a request in. */
static void admit (session_t *self, session_link_t *link, const wire_record_t *record, zmq_msg_t *attachment,
                   method_t *method, codec_t codec)
{
    weft_request_t *request = take_idle (self);

    if (!request || !request_fill (request, record->body, record->body_size, attachment, record->extra)) {
        if (request)
            put_idle (self, request);
        turn_down (self, link, record->id, WEFT_OVERLOADED, 0, "out of memory");
        return;
    }
    request->method = method;
    request->codec = codec;
    request->arrived_us = self->now_us;
    request->deadline_us = record->remaining_ms == WIRE_NO_DEADLINE
                               ? DEADLINES_NEVER
                               : self->now_us + record->remaining_ms * 1000LL;
    attach (self, request, link, record->id);
    list_push (&self->requests, &request->of_session);
    if (link->broker)
        window_came (&self->window, link->requests.count, self->now_us);
    sweep_for (self, request);
    executor_batch_add (method->entry->flags & WEFT_INLINE ? &self->inline_work : &self->work, &request->job);
}

static void on_request (session_t *self, session_link_t *link, const wire_record_t *record,
                        zmq_msg_t *attachment)
{
    weft_status_t status;
    codec_t codec;

    if (*place_of (self, link, record->id)) {
        refuse (self, link, WEFT_INVALID, "a REQUEST's id is already in use on this connection");
        return;
    }
    const char *why = obstacle (self, record, &status);
    if (why) {
        turn_down (self, link, record->id, status, 0, why);
        return;
    }
    method_t *method = services_find (self->options.services, record->method);
    if (!method)
        turn_down_name (self, link, record);
    else if (read_options (self, link, record, &codec))
        admit (self, link, record, attachment, method, codec);
}

static void on_cancel (session_t *self, session_link_t *link, const wire_record_t *record)
{
    weft_request_t *request = *place_of (self, link, record->id);

    if (request)
        drop (self, request, WEFT_CANCELLED, "cancelled before it began");
}

/*  ------------------------------------------------------------------ direct callers  */

session_link_t *session_peer_open (session_t *self, void *owner)
{
    session_link_t *peer = self->peers.count < self->options.peers_max ? malloc (sizeof *peer) : NULL;

    if (!peer)
        return NULL;
    link_init (self, peer, false);
    peer->owner = owner;
    list_push (&self->peers, &peer->of_peers);
    return peer;
}

void session_peer_lost (session_t *self, session_link_t *peer, int64_t now_us)
{
    self->now_us = now_us;
    orphan_all (self, peer);
    list_remove (&self->peers, &peer->of_peers);
    list_remove (&self->dirty, &peer->of_dirty);
    outbox_fini (&peer->outbox);
    free (peer);
    settle (self);
}

/*  HELLO's objections; NULL: welcome. */
static const char *objection (const session_t *self, const wire_hello_t *hello, weft_status_t *status,
                              char *text, size_t size)
{
    *status = WEFT_INVALID;
    if (hello->lowest > WEFT_PROTOCOL_HIGHEST || hello->highest < WEFT_PROTOCOL_LOWEST) {
        snprintf (text, size, "unknown protocol version; known: %d to %d", WEFT_PROTOCOL_LOWEST,
                  WEFT_PROTOCOL_HIGHEST);
        return text;
    }
    if (text_is (hello->role, "worker"))
        return "this is a worker, not a broker";
    if (hello->uuid.size && !text_is (hello->uuid, self->options.identity.uuid)) {
        *status = WEFT_NO_WORKERS;
        snprintf (text, size, "this is worker %s, not the one that was meant", self->options.identity.uuid);
        return text;
    }
    if (codec_choose (hello) == CODEC_UNKNOWN) {
        const text_t first = hello->codecs [0];
        snprintf (text, size, "unknown codec \"%.*s\"; known: " CODEC_NAMES,
                  (int) (first.size < 63 ? first.size : 63), first.data);
        return text;
    }
    return NULL;
}

static void on_hello (session_t *self, session_link_t *peer, const wire_record_t *record)
{
    const char *fault = "malformed HELLO";
    char text [WEFT_TEXT_MAX + 1];
    wire_hello_t hello;
    weft_status_t status = WEFT_INVALID;

    const char *why = wire_read_hello (record, &hello, &fault)
                          ? objection (self, &hello, &status, text, sizeof text)
                          : fault;
    if (why) {
        peer->state = LINK_REFUSED;
        refuse (self, peer, status, why);
        return;
    }
    peer->state = LINK_WELCOME;
    peer->codec = codec_choose (&hello);
    wire_write_welcome (open_record (self, peer), text_of (codec_name (peer->codec)), self->options.body_max,
                        room_of (&self->options), self->options.identity.uuid, NULL);
    outbox_close_record (&peer->outbox, NULL);
    if (self->state == SESSION_DRAINING) {
        wire_write_draining (open_record (self, peer), "this worker is going away");
        outbox_close_record (&peer->outbox, NULL);
    }
}

static void on_goodbye (session_t *self, session_link_t *peer)
{
    orphan_all (self, peer);
    outbox_clear (&peer->outbox);
    list_remove (&self->dirty, &peer->of_dirty);
    peer->state = LINK_GONE;
}

/*  A record before HELLO, which may still follow. */
static void on_stranger (session_t *self, session_link_t *peer, const wire_record_t *record, bool *told)
{
    if (*told || record->kind == WIRE_REFUSED || record->kind == WIRE_GOODBYE)
        return;
    refuse (self, peer, WEFT_INVALID, "say HELLO first");
    *told = true;
}

/*  False: the rest of the message is of no use. `told`: that HELLO is missing; once a message is enough. */
static bool peer_record (session_t *self, session_link_t *peer, const wire_record_t *record,
                         zmq_msg_t *attachment, bool *told)
{
    if (peer->state == LINK_REFUSED || peer->state == LINK_GONE)
        return false;
    if (record->kind >= WIRE_KINDS) {
        self->stats.unknown++;
        return true;
    }
    if (peer->state == LINK_STRANGER && record->kind != WIRE_HELLO) {
        on_stranger (self, peer, record, told);
        return true;
    }
    switch (record->kind) {
        case WIRE_HELLO:
            if (peer->state == LINK_WELCOME)
                refuse (self, peer, WEFT_INVALID, "HELLO was already said");
            else
                on_hello (self, peer, record);
            return peer->state == LINK_WELCOME;
        case WIRE_REQUEST:
            on_request (self, peer, record, attachment);
            return true;
        case WIRE_CANCEL:
            on_cancel (self, peer, record);
            return true;
        case WIRE_GOODBYE:
            on_goodbye (self, peer);
            return false;
        default:
            self->stats.unknown++;
            return true;
    }
}

/*  ------------------------------------------------------------------ the broker  */

/*  An order to this worker names it; without a name the broker speaks of itself, and its GOODBYE will
 *  follow. */
static void on_draining (session_t *self, const wire_record_t *record)
{
    mp_reader_t fields = record->fields;
    text_t text, worker;

    if (record->field_count >= 2 && mp_read_str (&fields, &text.data, &text.size)
        && mp_read_str (&fields, &worker.data, &worker.size) && text_is (worker, self->options.identity.uuid))
        session_drain (self, self->now_us);
}

static bool broker_record (session_t *self, const wire_record_t *record, zmq_msg_t *attachment)
{
    if (!standing_connected (&self->standing))
        return false;
    switch (record->kind) {
        case WIRE_REQUEST:
            if (self->standing.welcome)
                on_request (self, &self->link, record, attachment);
            return true;
        case WIRE_CANCEL:
            on_cancel (self, &self->link, record);
            return true;
        case WIRE_DRAINING:
            on_draining (self, record);
            return true;
        case WIRE_WELCOME:
        case WIRE_REFUSED:
        case WIRE_BEAT_OK:
        case WIRE_GOODBYE:
            if (!standing_record (&self->standing, record, self->now_us)) {
                self->stats.malformed++;
                refuse (self, &self->link, WEFT_INVALID, "malformed record");
                return false;
            }
            return true;
        default:
            self->stats.unknown++;
            return true;
    }
}

void session_link_ready (session_t *self, int64_t now_us)
{
    self->now_us = now_us;
    standing_ready (&self->standing, now_us);
    settle (self);
}

void session_link_lost (session_t *self, weft_status_t status, const char *text, int64_t now_us)
{
    self->now_us = now_us;
    standing_lost (&self->standing, status, text, now_us);
    settle (self);
}

/*  ------------------------------------------------------------------ messages  */

void session_receive (session_t *self, session_link_t *link, message_t *message, int64_t now_us)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = NULL;
    bool more = true, told = false;
    int got = 1;

    self->now_us = now_us;
    while (more && (got = message_next (&cursor, &record, &attachment, &fault)) > 0)
        more = link->broker ? broker_record (self, &record, attachment)
                            : peer_record (self, link, &record, attachment, &told);
    if (got < 0)
        session_receive_fault (self, link, fault, now_us);
    else
        settle (self);
}

void session_receive_fault (session_t *self, session_link_t *link, const char *fault, int64_t now_us)
{
    self->now_us = now_us;
    self->stats.malformed++;
    if (link->broker || link->state == LINK_STRANGER || link->state == LINK_WELCOME)
        refuse (self, link, WEFT_INVALID, fault);
    settle (self);
}

/*  ------------------------------------------------------------------ drain  */

void session_drain (session_t *self, int64_t now_us)
{
    list_node_t *node = list_first (&self->peers);

    self->now_us = now_us;
    if (self->state == SESSION_DRAINING || self->state == SESSION_DONE)
        return;
    self->state = SESSION_DRAINING;
    self->drain_by_us = now_us + self->options.drain_timeout_us;
    self->part_by_us = now_us + PART_US;
    self->linger_by_us = now_us + LINGER_US;
    for (; node; node = list_after (&self->peers, node)) {
        session_link_t *peer = CONTAINER_OF (node, session_link_t, of_peers);
        if (peer->state != LINK_WELCOME)
            continue;
        wire_write_draining (open_record (self, peer), "this worker is going away");
        outbox_close_record (&peer->outbox, NULL);
    }
    if (standing_connected (&self->standing)) {
        wire_write_draining (open_record (self, &self->link), "this worker is going away");
        outbox_close_record (&self->link.outbox, NULL);
        standing_fence (&self->standing, now_us);
    }
    drop_waiting (self, WEFT_DRAINING, "this worker is going away");
    settle (self);
}

void session_quit (session_t *self, int64_t now_us)
{
    self->now_us = now_us;
    if (self->state == SESSION_DONE)
        return;
    self->state = SESSION_DRAINING;
    self->drain_by_us = self->part_by_us = self->linger_by_us = now_us;
    drop_waiting (self, WEFT_DRAINING, "this worker is going away");
    settle (self);
}

/*  Nothing more will come: the broker has seen that we drain, and the callers have left, those included
 *  that were just connecting; or they had their time. */
static bool all_have_parted (const session_t *self)
{
    const bool broker = !standing_connected (&self->standing) || self->standing.fenced;
    const bool callers = self->peers.count == 0 && self->now_us >= self->linger_by_us;
    return (broker && callers) || self->now_us >= self->part_by_us;
}

static void finish_drain (session_t *self)
{
    const bool idle = self->requests.count == 0 && all_have_parted (self);

    if (!idle && self->now_us < self->drain_by_us)
        return;
    for (list_node_t *node = list_first (&self->peers); node; node = list_after (&self->peers, node)) {
        session_link_t *peer = CONTAINER_OF (node, session_link_t, of_peers);
        if (peer->state != LINK_WELCOME)
            continue;
        wire_write_goodbye (open_record (self, peer), "drained");
        outbox_close_record (&peer->outbox, NULL);
    }
    standing_leave (&self->standing, "drained");
    if (!outbox_empty (&self->link.outbox))
        session_set_dirty (self, &self->link);
    self->state = SESSION_DONE;
}

/*  ------------------------------------------------------------------ after every event  */

/*  How many requests the broker may have open here. Handlers that hang do not count. */
static uint64_t window_of (const session_t *self)
{
    if (self->state == SESSION_DRAINING || self->state == SESSION_DONE)
        return 0;
    return window_size (&self->window, self->stuck);
}

static session_state_t state_of (const standing_t *standing)
{
    switch (standing->state) {
        case STANDING_REGISTERED:
            return SESSION_SERVING;
        case STANDING_REFUSED:
            return SESSION_REFUSED;
        default:
            return SESSION_JOINING;
    }
}

/*  Draws the consequences: requests of a lost broker, the window, what the heart has to say, the end of a
 *  drain. */
static void settle (session_t *self)
{
    standing_t *standing = &self->standing;

    if (!standing_connected (standing))
        orphan_all (self, &self->link);
    if (self->state == SESSION_DRAINING)
        finish_drain (self);
    else if (self->state != SESSION_DONE)
        self->state = state_of (standing);
    standing->window = window_of (self);
    if (standing_has_to_write (standing)) {
        const wire_load_t load = load_of (self);
        standing_write (standing, &load, self->now_us);
    }
    if (!outbox_empty (&self->link.outbox))
        session_set_dirty (self, &self->link);
}

void session_tick (session_t *self, int64_t now_us)
{
    self->now_us = now_us;
    if (self->state == SESSION_DONE)
        return;
    if (self->state != SESSION_DRAINING || standing_connected (&self->standing))
        standing_tick (&self->standing, now_us);
    window_tick (&self->window, now_us);
    if (now_us >= self->sweep_us)
        sweep (self);
    settle (self);
}

static int64_t earlier (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t session_next_us (const session_t *self)
{
    int64_t next_us = self->sweep_us;

    if (self->state == SESSION_DONE)
        return DEADLINES_NEVER;
    if (self->state != SESSION_DRAINING || standing_connected (&self->standing))
        next_us = earlier (next_us, standing_next_us (&self->standing));
    if (self->state == SESSION_DRAINING) {
        next_us = earlier (next_us, self->drain_by_us);
        if (self->requests.count == 0)
            next_us = earlier (next_us,
                               self->now_us < self->linger_by_us ? self->linger_by_us : self->part_by_us);
    }
    return next_us;
}

/*  ------------------------------------------------------------------ what came out  */

standing_command_t session_command (session_t *self, const char **endpoint)
{
    return standing_command (&self->standing, endpoint);
}

executor_job_t *session_take_inline (session_t *self)
{
    return executor_batch_take (&self->inline_work);
}

executor_batch_t *session_take_work (session_t *self)
{
    return &self->work;
}

session_link_t *session_next_dirty (session_t *self)
{
    list_node_t *node = list_pop (&self->dirty);
    return node ? CONTAINER_OF (node, session_link_t, of_dirty) : NULL;
}

/*  ------------------------------------------------------------------ making and freeing  */

bool session_init (session_t *self, const session_options_t *options)
{
    *self = (session_t){.options = *options, .state = SESSION_JOINING, .sweep_us = DEADLINES_NEVER};
    self->index = calloc (SESSION_INDEX_SIZE, sizeof *self->index);
    if (!self->index)
        return false;
    list_init (&self->peers);
    list_init (&self->dirty);
    list_init (&self->requests);
    executor_batch_init (&self->inline_work);
    executor_batch_init (&self->work);
    executor_batch_init (&self->idle);
    link_init (self, &self->link, true);
    window_init (&self->window, (uint64_t) options->concurrency, room_of (options));
    standing_init (&self->standing, &self->options.identity, &self->link.outbox, options->brokers,
                   options->seed);
    self->standing.beat_ms = options->beat_ms;
    return true;
}

void session_start (session_t *self, const char *const *endpoints, int64_t now_us)
{
    self->now_us = self->started_us = now_us;
    self->options.identity.endpoints = endpoints;
    standing_start (&self->standing, now_us);
}

void session_fini (session_t *self)
{
    list_node_t *node;
    weft_request_t *request;

    if (!self->index)
        return;
    while ((node = list_first (&self->peers)) != NULL)
        session_peer_lost (self, CONTAINER_OF (node, session_link_t, of_peers), self->now_us);
    while ((request = self->made) != NULL) {
        self->made = request->next_made;
        request_free (request);
    }
    outbox_fini (&self->link.outbox);
    free (self->index);
    *self = (session_t){0};
}
