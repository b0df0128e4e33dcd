/* SPDX-License-Identifier: MPL-2.0
 *
 *  session.c - the worker without its sockets.
 *
 *    JOINING <--> SERVING --drain--> DRAINING --nothing runs, all have gone--> DONE
 *        \--refused--> REFUSED
 *
 *  Here are its links and what they say; which calls are let in is in admission.c, what becomes of them in requests.c. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "admission.h"
#include "move.h"
#include "session.h"

#define LINGER_US      100000  /* callers that had not heard of the drain may be on their way this long, */
#define LINGER_TRIPS   6       /* or, if the ways are slow, as long as so many round trips: until they hear, and connect */
#define PART_US        1000000 /* how long a drained worker waits for its peers' goodbyes */

/*  ------------------------------------------------------------------ links  */

static void link_init (session_t *self, session_link_t *link, bool broker)
{
    *link = (session_link_t){
        .broker = broker, .body_max = UINT64_MAX, .serial = ++self->serial, .dirty = &self->dirty};
    outbox_init (&link->outbox, WEFT_OUTBOX_MAX);
    list_init (&link->requests);
}

static void refuse (session_link_t *link, weft_status_t status, const char *text)
{
    if (link->broker && !standing_connected (&post_of (link)->standing))
        return;
    wire_write_refused (link_open_record (link), status, text);
    link_close_record (link, NULL);
}

size_t session_in_flight (const session_t *self)
{
    return self->requests.open.count;
}

static wire_load_t load_of (const session_t *self)
{
    return (wire_load_t){
        .in_flight = self->requests.open.count - self->requests.open_streams,
        .capacity = (uint64_t) self->options.concurrency,
        .oldest_ms = (uint64_t) requests_oldest_us (&self->requests, self->now_us) / 1000,
        .progress = self->requests.finished,
    };
}

void session_cancel_all (session_t *self)
{
    requests_cancel_all (&self->requests);
}

/*  How long it waited for a thread. */
static int64_t waited_us (const weft_request_t *request, int64_t now_us)
{
    const int64_t begun_us = atomic_load_explicit (&request->begun_us, memory_order_relaxed);
    return (begun_us ? begun_us : now_us) - request->arrived_us;
}

void session_finished (session_t *self, executor_job_t *job, int64_t now_us)
{
    weft_request_t *request = CONTAINER_OF (job, weft_request_t, job);

    self->now_us = now_us;
    if (request->link && request->link->broker && !request->stream) {
        self->unsent++;
        window_ended (&self->window, waited_us (request, now_us), now_us - request->arrived_us, now_us);
    }
    requests_finished (&self->requests, request, now_us);
}

void session_adopt (session_t *self, executor_job_t *job, int64_t now_us)
{
    self->now_us = now_us;
    requests_adopt (&self->requests, CONTAINER_OF (job, weft_request_t, job), now_us);
}

bool session_is_own (const weft_request_t *request)
{
    return request->method->service->built_in;
}

/*  ------------------------------------------------------------------ requests come in  */

static void on_request (session_t *self, session_link_t *link, const wire_record_t *record,
                        zmq_msg_t *attachment)
{
    if (link->lost)
        return; /* whoever asked was told so, or will be: nobody waits for it */
    if (requests_find (&self->requests, link, record->id))
        refuse (link, WEFT_INVALID, "a REQUEST's id is already in use on this connection");
    else
        admission_request (self, link, record, attachment);
}

static void on_credit (session_t *self, session_link_t *link, const wire_record_t *record)
{
    weft_request_t *request = requests_find (&self->requests, link, record->id);

    if (request && request->stream)
        stream_credit (request->stream, record->number);
}

static void on_cancel (session_t *self, session_link_t *link, const wire_record_t *record)
{
    weft_request_t *request = requests_find (&self->requests, link, record->id);

    if (request)
        requests_cancel (&self->requests, request, self->now_us);
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
    assert (self->reading.link != peer);
    self->now_us = now_us;
    requests_orphan (&self->requests, peer, self->now_us);
    list_remove (&self->peers, &peer->of_peers);
    list_remove (&self->dirty, &peer->of_dirty);
    outbox_fini (&peer->outbox);
    free (peer);
    session_settle (self);
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
        refuse (peer, status, why);
        return;
    }
    peer->state = LINK_WELCOME;
    peer->codec = codec_choose (&hello);
    wire_write_welcome (link_open_record (peer), text_of (codec_name (peer->codec)), self->options.body_max,
                        admission_room (&self->options), self->options.identity.uuid, NULL);
    link_close_record (peer, NULL);
    if (self->state == SESSION_DRAINING) {
        wire_write_draining (link_open_record (peer), "this worker is going away");
        link_close_record (peer, NULL);
    }
}

static void on_goodbye (session_t *self, session_link_t *peer)
{
    requests_orphan (&self->requests, peer, self->now_us);
    outbox_clear (&peer->outbox);
    list_remove (&self->dirty, &peer->of_dirty);
    peer->state = LINK_GONE;
}

/*  A record before HELLO, which may still follow. */
static void on_stranger (session_link_t *peer, const wire_record_t *record, bool *told)
{
    if (*told || record->kind == WIRE_REFUSED || record->kind == WIRE_GOODBYE)
        return;
    refuse (peer, WEFT_INVALID, "say HELLO first");
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
        on_stranger (peer, record, told);
        return true;
    }
    switch (record->kind) {
        case WIRE_HELLO:
            if (peer->state == LINK_WELCOME)
                refuse (peer, WEFT_INVALID, "HELLO was already said");
            else
                on_hello (self, peer, record);
            return peer->state == LINK_WELCOME;
        case WIRE_REQUEST:
            on_request (self, peer, record, attachment);
            return true;
        case WIRE_CANCEL:
            on_cancel (self, peer, record);
            return true;
        case WIRE_CREDIT:
            on_credit (self, peer, record);
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

/*  An order to this worker names it; without a name the broker speaks of itself. */
static void on_draining (session_t *self, post_t *post, const wire_record_t *record)
{
    mp_reader_t fields = record->fields;
    text_t text, worker;

    if (record->field_count < 2 || !mp_read_str (&fields, &text.data, &text.size)
        || !mp_read_str (&fields, &worker.data, &worker.size))
        post->standing.stopping = true;
    else if (text_is (worker, self->options.identity.uuid))
        session_drain (self, self->now_us);
}

static bool on_standing (session_t *self, post_t *post, const wire_record_t *record)
{
    standing_t *standing = &post->standing;
    const bool was_known = standing->heart.registered;

    if (!standing_record (standing, record, self->now_us)) {
        self->stats.malformed++;
        refuse (&post->link, WEFT_INVALID, "malformed record");
        return false;
    }
    if (standing->welcome) {
        post->link.body_max = standing->body_max;
        post->link.codec = standing->codec;
    }
    if (was_known && !standing->heart.registered) /* who sent what is here was told that we are lost */
        requests_orphan (&self->requests, &post->link, self->now_us);
    return true;
}

static bool broker_record (session_t *self, post_t *post, const wire_record_t *record, zmq_msg_t *attachment)
{
    if (!standing_connected (&post->standing))
        return false;
    switch (record->kind) {
        case WIRE_REQUEST:
            if (post->standing.welcome)
                on_request (self, &post->link, record, attachment);
            return true;
        case WIRE_CANCEL:
            on_cancel (self, &post->link, record);
            return true;
        case WIRE_CREDIT:
            on_credit (self, &post->link, record);
            return true;
        case WIRE_DRAINING:
            on_draining (self, post, record);
            return true;
        case WIRE_WELCOME:
        case WIRE_REFUSED:
        case WIRE_BEAT_OK:
        case WIRE_GOODBYE:
            return on_standing (self, post, record);
        default:
            self->stats.unknown++;
            return true;
    }
}

void session_link_ready (session_t *self, session_link_t *link, int64_t now_us)
{
    self->now_us = now_us;
    standing_ready (&post_of (link)->standing, now_us);
    session_settle (self);
}

void session_link_lost (session_t *self, session_link_t *link, weft_status_t status, const char *text, int64_t now_us)
{
    self->now_us = now_us;
    standing_lost (&post_of (link)->standing, status, text, now_us);
    session_settle (self);
}

/*  ------------------------------------------------------------------ messages  */

void session_receive (session_t *self, session_link_t *link, message_t *message, int64_t now_us)
{
    assert (!self->reading.link);
    self->now_us = now_us;
    self->reading = (session_reading_t){.link = link, .cursor = message_cursor (message)};
}

/*  What was found is the caller's; more may follow. */
weft_request_t *session_next (session_t *self, bool may_run, int64_t now_us)
{
    session_reading_t *reading = &self->reading;
    session_link_t *link = reading->link;
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = NULL;
    bool more = true;
    int got = 1;

    if (!link)
        return NULL;
    self->now_us = now_us;
    reading->may_run = may_run;
    reading->found = NULL;
    while (more && !reading->found
           && (got = message_next (&reading->cursor, &record, &attachment, &fault)) > 0)
        more = link->broker ? broker_record (self, post_of (link), &record, attachment)
                            : peer_record (self, link, &record, attachment, &reading->told);
    if (reading->found)
        return reading->found;
    reading->link = NULL;
    if (got < 0)
        session_receive_fault (self, link, fault, now_us);
    else
        session_settle (self);
    return NULL;
}

void session_receive_fault (session_t *self, session_link_t *link, const char *fault, int64_t now_us)
{
    self->now_us = now_us;
    self->stats.malformed++;
    if (link->broker || link->state == LINK_STRANGER || link->state == LINK_WELCOME)
        refuse (link, WEFT_INVALID, fault);
    session_settle (self);
}

/*  ------------------------------------------------------------------ drain  */

static void tell_broker (session_t *self, post_t *post)
{
    if (!post || !standing_connected (&post->standing))
        return;
    wire_write_draining (link_open_record (&post->link), "this worker is going away");
    link_close_record (&post->link, NULL);
    standing_fence (&post->standing, self->now_us);
}

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
        wire_write_draining (link_open_record (peer), "this worker is going away");
        link_close_record (peer, NULL);
    }
    move_stop (self);
    tell_broker (self, self->post);
    tell_broker (self, self->other);
    requests_drop_waiting (&self->requests, WEFT_DRAINING, "this worker is going away", self->now_us);
    requests_end_streams (&self->requests);
    session_settle (self);
}

void session_quit (session_t *self, int64_t now_us)
{
    self->now_us = now_us;
    if (self->state == SESSION_DONE)
        return;
    self->state = SESSION_DRAINING;
    self->drain_by_us = self->part_by_us = self->linger_by_us = now_us;
    requests_drop_waiting (&self->requests, WEFT_DRAINING, "this worker is going away", self->now_us);
    session_settle (self);
}

/*  Until when callers may still turn up. How slow their ways are is not known, but how slow the one to the broker is. */
static int64_t linger_by_us (const session_t *self)
{
    const int64_t slow_us = self->part_by_us - PART_US + LINGER_TRIPS * self->post->standing.slowest_us;
    const int64_t by_us = slow_us > self->linger_by_us ? slow_us : self->linger_by_us;
    return by_us < self->part_by_us ? by_us : self->part_by_us;
}

static bool has_parted (const post_t *post)
{
    return !post || !standing_connected (&post->standing) || post->standing.fenced;
}

/*  Nothing more will come: the broker has seen that we drain, and the callers have left, those included
 *  that were just connecting; or they had their time. */
static bool all_have_parted (const session_t *self)
{
    const bool brokers = has_parted (self->post) && has_parted (self->other);
    const bool callers = self->peers.count == 0 && self->now_us >= linger_by_us (self);
    return (brokers && callers) || self->now_us >= self->part_by_us;
}

static void finish_drain (session_t *self)
{
    const bool idle = self->requests.open.count == 0 && all_have_parted (self);

    if (!idle && self->now_us < self->drain_by_us)
        return;
    for (list_node_t *node = list_first (&self->peers); node; node = list_after (&self->peers, node)) {
        session_link_t *peer = CONTAINER_OF (node, session_link_t, of_peers);
        if (peer->state != LINK_WELCOME)
            continue;
        wire_write_goodbye (link_open_record (peer), "drained");
        link_close_record (peer, NULL);
    }
    for (post_t *post = self->posts; post < self->posts + POSTS; post++) {
        standing_leave (&post->standing, "drained");
        if (!outbox_empty (&post->link.outbox))
            link_set_dirty (&post->link);
    }
    self->state = SESSION_DONE;
}

/*  ------------------------------------------------------------------ after every event  */

/*  How many requests the broker may have open here. Handlers that hang do not count. */
static uint64_t window_of (const session_t *self)
{
    if (self->state == SESSION_DRAINING || self->state == SESSION_DONE)
        return 0;
    const uint64_t size = window_size (&self->window, self->requests.stuck);
    const uint64_t held = self->other ? move_held (self) : 0;
    return (size > held ? size - held : 0) + self->post->link.streams;
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

/*  Moving may give the session another post, which has something to say. */
static void settle_other (session_t *self)
{
    const post_t *before = self->post;
    const wire_load_t load = load_of (self);

    move_settle (self, &load);
    if (self->post != before)
        session_settle (self);
}

/*  Draws the consequences: requests of a lost broker, the window, what the heart has to say, the end of a
 *  drain. */
void session_settle (session_t *self)
{
    post_t *post = self->post;
    standing_t *standing = &post->standing;

    if (!standing_connected (standing))
        requests_orphan (&self->requests, &post->link, self->now_us);
    if (self->state == SESSION_DRAINING)
        finish_drain (self);
    else if (self->state != SESSION_DONE)
        self->state = state_of (standing);
    standing->window = window_of (self);
    if (standing_has_to_write (standing)) {
        const wire_load_t load = load_of (self);
        standing_write (standing, &load, self->now_us);
    }
    if (!outbox_empty (&post->link.outbox))
        link_set_dirty (&post->link);
    if (move_is_due (self))
        settle_other (self);
}

void session_tick (session_t *self, int64_t now_us)
{
    self->now_us = now_us;
    if (self->state == SESSION_DONE)
        return;
    if (self->state != SESSION_DRAINING || standing_connected (&self->post->standing))
        standing_tick (&self->post->standing, now_us);
    if (self->other)
        move_tick (self);
    window_tick (&self->window, now_us);
    if (now_us >= self->requests.sweep_us)
        requests_sweep (&self->requests, now_us);
    session_settle (self);
}

static int64_t earlier (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t session_next_us (const session_t *self)
{
    int64_t next_us = self->requests.sweep_us;

    if (self->state == SESSION_DONE)
        return DEADLINES_NEVER;
    if (self->state != SESSION_DRAINING || standing_connected (&self->post->standing))
        next_us = earlier (next_us, standing_next_us (&self->post->standing));
    if (self->other)
        next_us = earlier (next_us, move_next_us (self));
    if (self->state == SESSION_DRAINING) {
        next_us = earlier (next_us, self->drain_by_us);
        if (self->requests.open.count == 0)
            next_us = earlier (next_us, self->now_us < linger_by_us (self) ? linger_by_us (self) : self->part_by_us);
    }
    return next_us;
}

/*  ------------------------------------------------------------------ what came out  */

standing_command_t session_command (session_t *self, session_link_t **link, const char **endpoint)
{
    standing_command_t command = STANDING_NOTHING;

    for (size_t i = 0; i < POSTS && command == STANDING_NOTHING; i++) {
        *link = &self->posts [i].link;
        command = standing_command (&self->posts [i].standing, endpoint);
    }
    return command;
}

executor_batch_t *session_soon (session_t *self)
{
    return &self->requests.soon;
}

executor_batch_t *session_away (session_t *self)
{
    return &self->requests.away;
}

executor_batch_t *session_apart (session_t *self)
{
    return &self->requests.apart;
}

bool session_send_items (session_t *self, int64_t now_us)
{
    if (!streams_pending (&self->requests.streams))
        return false;
    self->now_us = now_us;
    return requests_send_items (&self->requests);
}

void session_no_thread (session_t *self, executor_job_t *job, int64_t now_us)
{
    self->now_us = now_us;
    requests_no_thread (&self->requests, CONTAINER_OF (job, weft_request_t, job), now_us);
}

session_link_t *session_next_dirty (session_t *self)
{
    list_node_t *node = list_pop (&self->dirty);
    session_link_t *link = node ? CONTAINER_OF (node, session_link_t, of_dirty) : NULL;

    if (link && link->broker)
        self->unsent = 0;
    return link;
}

/*  ------------------------------------------------------------------ making and freeing  */

bool session_init (session_t *self, const session_options_t *options)
{
    const requests_options_t limits = {.body_max = options->body_max,
                                       .handler_timeout_us = options->handler_timeout_us,
                                       .clock_us = options->clock_us,
                                       .replies = options->replies,
                                       .seed = options->seed,
                                       .streams_max = options->streams_max};

    *self = (session_t){.options = *options, .state = SESSION_JOINING};
    if (self->options.queue_bytes_max == 0)
        self->options.queue_bytes_max = WEFT_WORKER_QUEUE_BYTES_MAX;
    if (!requests_init (&self->requests, &limits))
        return false;
    list_init (&self->peers);
    list_init (&self->dirty);
    for (size_t i = 0; i < POSTS; i++)
        link_init (self, &self->posts [i].link, true);
    self->post = self->posts;
    window_init (&self->window, (uint64_t) options->concurrency, admission_room (options));
    standing_init (&self->post->standing, &self->options.identity, &self->post->link.outbox, options->brokers,
                   options->seed);
    self->post->standing.beat_ms = options->beat_ms;
    return true;
}

void session_start (session_t *self, const char *const *endpoints, int64_t now_us)
{
    self->now_us = self->started_us = now_us;
    self->options.identity.endpoints = endpoints;
    standing_start (&self->post->standing, now_us);
}

void session_fini (session_t *self)
{
    list_node_t *node;

    if (!self->requests.index)
        return;
    while ((node = list_first (&self->peers)) != NULL)
        session_peer_lost (self, CONTAINER_OF (node, session_link_t, of_peers), self->now_us);
    requests_fini (&self->requests);
    for (size_t i = 0; i < POSTS; i++)
        outbox_fini (&self->posts [i].link.outbox);
    *self = (session_t){0};
}
