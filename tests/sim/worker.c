/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker.c - a worker process: the session, and worker/turns.c, uplink.c, direct.c without their sockets; its executor's
 *  threads are lanes in virtual time. */

#include <stdio.h>
#include <stdlib.h>
#include "builtin.h"
#include "clock.h"
#include "checker.h"
#include "faults.h"
#include "jobs.h"
#include "roles.h"
#include "session.h"

#define TURN_MESSAGES_MAX 256
#define STALL_US          (10 * MS)
#define LANES_MAX         8
#define STREAMS_MAX       64
#define LOOKS             4 /* at whether it is cancelled, during a long handler that cares */

/*  direct_peer_t of direct.c. */
typedef struct {
    session_link_t *link;
    end_t *end;
    message_t *stalled;
    list_node_t of_lost, of_all;
} direct_caller_t;

typedef struct {
    weft_request_t *request; /* NULL: idle */
    int64_t step_us;
    int steps_left;
    uint64_t tag;
} lane_of_executor_t;

/*  A thread of its own. */
typedef struct {
    weft_request_t *request; /* NULL: none */
    uint64_t tag;
    int64_t number, sent;
} stream_thread_t;

/*  way_t of turns.c, with its uplink_t. */
typedef struct {
    port_t uplink;
    session_link_t *link;
    end_t *broker;              /* NULL: closed */
    bool ready, lost;
    weft_status_t lost_status;
    message_t *stalled;         /* to the broker */
} way_model_t;

typedef struct {
    process_t *process;
    session_t session;
    services_t services;
    char uuid [UUID_SIZE + 1], endpoint [64], bound [64];
    const char *brokers [BROKERS_MAX + 1], *endpoints [2];
    way_model_t ways [POSTS];
    port_t direct;
    list_t callers, lost_callers;
    executor_batch_t queued, done;
    lane_of_executor_t lanes [LANES_MAX];
    stream_thread_t streams [STREAMS_MAX];
    bool drain;
    int64_t flush_until_us;     /* flush_last */
} model_t;

static int64_t handlers_clock_us (void)
{
    return process_now_us (job_process);
}

/*  The executor --------------------------------------------------------------------------------------------------- */

static void run_lanes (model_t *self);

static void finish (model_t *self, lane_of_executor_t *lane)
{
    weft_request_t *request = lane->request;
    lane->request = NULL;
    job_process = self->process;
    job_noted = true;
    request_run (request);
    request_end (request, process_now_us (self->process));
    executor_batch_add (&self->done, &request->job);
    process_wake (self->process, world.now_us);
    run_lanes (self);
}

static void step (void *arg, uint64_t tag)
{
    process_t *process = arg;
    model_t *self = process->model;
    lane_of_executor_t *lane = NULL;

    for (int i = 0; self && i < LANES_MAX; i++)
        if (self->lanes [i].request && self->lanes [i].tag == tag)
            lane = &self->lanes [i];
    if (!lane)
        return; /* of a process that is no more */
    job_process = process;
    if (process->frozen) {
        world_at (world.now_us + 10 * MS, step, process, tag);
        return;
    }
    const bool cares = (tag & 1) && lane->steps_left > 0;
    if (lane->steps_left-- > 0 && !(cares && weft_request_cancelled (lane->request)))
        world_at (world.now_us + lane->step_us, step, process, tag);
    else
        finish (self, lane);
}

static lane_of_executor_t *free_lane (model_t *self)
{
    for (int i = 0; i < profile.concurrency; i++)
        if (!self->lanes [i].request)
            return &self->lanes [i];
    return NULL;
}

/*  A request that has begun runs its time. */
static void occupy (model_t *self, lane_of_executor_t *lane, weft_request_t *request)
{
    static uint64_t tags;
    const int64_t number = job_number (request->body, request->body_size);
    const int64_t takes_us = faults_handler_us (self->process);

    lane->request = request;
    lane->tag = ++tags * 2 + (number % 3 == 0);
    lane->steps_left = takes_us > 2 * MS ? LOOKS : 0;
    lane->step_us = takes_us / (lane->steps_left + 1);
    checker_begins (self->process, number, process_now_us (self->process));
    checker_takes (number, takes_us);
    world_at (world.now_us + lane->step_us, step, self->process, lane->tag);
}

/*  run_one of executor.c: request_serve */
static void run_lanes (model_t *self)
{
    lane_of_executor_t *lane;
    executor_job_t *job;

    while ((lane = free_lane (self)) != NULL && (job = executor_batch_take (&self->queued)) != NULL) {
        weft_request_t *request = CONTAINER_OF (job, weft_request_t, job);
        if (request_begin (request, process_now_us (self->process)))
            occupy (self, lane, request);
        else {
            executor_batch_add (&self->done, job);
            process_wake (self->process, world.now_us);
        }
    }
}

/*  Streams --------------------------------------------------------------------------------------------------------- */

static void stream_over (model_t *self, stream_thread_t *thread)
{
    weft_request_t *request = thread->request;
    thread->request = NULL;
    job_complete = thread->sent == job_items (thread->number);
    request_run (request);
    request_end (request, process_now_us (self->process));
    executor_batch_add (&self->done, &request->job);
    process_wake (self->process, world.now_us);
}

/*  A drain ends it at its next item, or where it waits for credit. */
static void check_stream (const model_t *self, const stream_thread_t *thread)
{
    if (self->session.state == SESSION_DRAINING && thread->request->deadline_us == NEVER)
        violated ("call %lld, a stream without a deadline, goes on at %s, which drains", (long long) thread->number,
                  self->process->name);
}

/*  What a stream's handler does next; where it would wait, it comes back. */
static void stream_step (void *arg, uint64_t tag)
{
    process_t *process = arg;
    model_t *self = process->model;
    stream_thread_t *thread = NULL;

    for (int i = 0; self && i < STREAMS_MAX; i++)
        if (self->streams [i].request && self->streams [i].tag == tag)
            thread = &self->streams [i];
    if (!thread)
        return; /* of a process that is no more */
    job_process = process;
    const bool in_time = process_now_us (process) < thread->request->deadline_us;
    if (!process->frozen && (thread->sent == job_items (thread->number) || (tag & 1 && weft_request_cancelled (thread->request)))) {
        stream_over (self, thread);
        return;
    }
    if (!process->frozen && (!in_time || stream_may_put (thread->request->stream))) {
        static const uint8_t pad [8 * WEFT_STREAM_CREDIT_BYTES];
        const job_reply item = {.number = thread->number, .answer = thread->sent,
                                .pad = {pad, job_item_pad (thread->number, thread->sent)}};
        if (weft_request_send_item (thread->request, &item) != WEFT_OK) {
            stream_over (self, thread);
            return;
        }
        thread->sent++;
        process_wake (process, world.now_us);
    }
    if (!process->frozen)
        check_stream (self, thread);
    world_at (world.now_us + between (1, 3 * MS), stream_step, process, tag);
}

/*  executor_run_apart */
static void run_apart (model_t *self, executor_job_t *job, int64_t now_us)
{
    static uint64_t tags;
    weft_request_t *request = CONTAINER_OF (job, weft_request_t, job);
    stream_thread_t *thread = self->streams;

    while (thread < self->streams + STREAMS_MAX && thread->request)
        thread++;
    if (thread == self->streams + STREAMS_MAX || (profile.crowded && chance (20))) {
        session_no_thread (&self->session, job, now_us);
        return;
    }
    if (!request_begin (request, now_us)) {
        executor_batch_add (&self->done, job);
        process_wake (self->process, world.now_us);
        return;
    }
    *thread = (stream_thread_t){.request = request, .number = job_number (request->body, request->body_size)};
    thread->tag = ++tags * 2 + (thread->number % 3 == 0); /* those look whether they are cancelled */
    checker_begins (self->process, thread->number, now_us);
    world_at (world.now_us + between (1, 5 * MS), stream_step, self->process, thread->tag);
}

/*  run_here of turns.c. Every handler that does not promise to be quick costs its thread the lead, so that it goes on
 *  beside the next. */
static void run_here (model_t *self, weft_request_t *request, int64_t now_us)
{
    const bool quick = request->method->entry->flags & WEFT_INLINE;

    job_process = self->process;
    job_noted = false;
    if (request_begin_here (request, now_us)) {
        if (!quick) {
            occupy (self, free_lane (self), request);
            session_adopt (&self->session, &request->job, now_us);
            return;
        }
        request_run (request);
        request_end (request, now_us);
    }
    session_finished (&self->session, &request->job, now_us);
}

/*  read_on of turns.c */
static void read_through (model_t *self, session_link_t *link, message_t *message, int64_t now_us)
{
    weft_request_t *request;

    session_receive (&self->session, link, message, now_us);
    while ((request = session_next (&self->session, free_lane (self) != NULL, now_us)) != NULL)
        run_here (self, request, now_us);
}

static bool collect (model_t *self, int64_t now_us)
{
    executor_job_t *job;
    bool some = false;
    while ((job = executor_batch_take (&self->done)) != NULL) {
        session_finished (&self->session, job, now_us);
        some = true;
    }
    return some;
}

/*  dispatch of turns.c */
static void dispatch (model_t *self)
{
    executor_job_t *job;
    while ((job = executor_batch_take (session_apart (&self->session))) != NULL)
        run_apart (self, job, process_now_us (self->process));
    executor_batch_move (&self->queued, session_away (&self->session));
    executor_batch_move (&self->queued, session_soon (&self->session));
    run_lanes (self);
}

/*  Sending --------------------------------------------------------------------------------------------------------- */

typedef enum { FLUSHED, STALLED, LOST } flushed_t;

static void unstall (message_t **stalled)
{
    if (!*stalled)
        return;
    message_fini (*stalled);
    free (*stalled);
    *stalled = NULL;
}

/*  send_one of sender.c */
static flushed_t send_one (end_t *end, message_t **stalled, message_t *message)
{
    const end_sent_t sent = end_send (end, message);
    if (sent == END_SENT)
        return FLUSHED;
    if (sent == END_GONE) {
        message_clear (message);
        return LOST;
    }
    if (message == *stalled)
        return STALLED;
    *stalled = malloc (sizeof **stalled);
    message_init (*stalled);
    for (int i = 0; i < message->count; i++)
        message_add (*stalled, &message->frames [i]);
    message_clear (message);
    return STALLED;
}

/*  sender_flush */
static flushed_t sender_flush_model (end_t *end, message_t **stalled, outbox_t *outbox)
{
    flushed_t result = FLUSHED;
    message_t message;
    if (outbox->failed)
        return LOST;
    if (*stalled) {
        result = send_one (end, stalled, *stalled);
        if (result == FLUSHED)
            unstall (stalled);
    }
    message_init (&message);
    while (result == FLUSHED && outbox_take (outbox, &message))
        result = send_one (end, stalled, &message);
    return result;
}

/*  uplink_close */
static void close_uplink (way_model_t *self, bool politely)
{
    unstall (&self->stalled);
    if (self->broker)
        port_close (&self->uplink, politely);
    self->broker = NULL;
    self->ready = self->lost = false;
}

static void lose_uplink (way_model_t *self, weft_status_t status)
{
    if (self->lost)
        return;
    self->lost = true;
    self->lost_status = status;
}

/*  uplink_flush, direct_flush: false if not all could be sent. */
static bool flush_broker (way_model_t *self, outbox_t *outbox)
{
    if (!self->broker) {
        outbox_clear (outbox);
        return true;
    }
    const flushed_t flushed = sender_flush_model (self->broker, &self->stalled, outbox);
    if (flushed == LOST)
        lose_uplink (self, WEFT_BROKER_LOST);
    return flushed != STALLED;
}

static void set_lost (model_t *self, direct_caller_t *caller)
{
    if (!list_linked (&caller->of_lost))
        list_push (&self->lost_callers, &caller->of_lost);
    caller->link->lost = true;
}

static bool flush_caller (model_t *self, session_link_t *link)
{
    direct_caller_t *caller = link->owner;
    const flushed_t flushed = sender_flush_model (caller->end, &caller->stalled, &link->outbox);
    if (flushed == LOST)
        set_lost (self, caller);
    return flushed != STALLED;
}

/*  flush of turns.c */
static void flush (model_t *self, int64_t now_us)
{
    for (size_t links = self->session.dirty.count; links > 0; links--) {
        session_link_t *link = session_next_dirty (&self->session);
        const bool held = link->hold_us > now_us;
        if (held || !(link->broker ? flush_broker (link->owner, &link->outbox) : flush_caller (self, link))) {
            link->hold_us = held ? link->hold_us : now_us + STALL_US;
            link_set_dirty (link);
        }
    }
}

/*  Receiving ------------------------------------------------------------------------------------------------------- */

/*  uplink_events: true, once, when it has become ready. */
static bool uplink_events_model (way_model_t *self)
{
    network_event_t event;
    bool ready = self->ready;
    self->ready = false;
    while (port_event (&self->uplink, &event)) {
        if (event.kind == TRANSPORT_READY)
            ready = true;
        else if (event.kind == TRANSPORT_LOST)
            lose_uplink (self, WEFT_BROKER_LOST);
        else if (event.kind == TRANSPORT_FAILED)
            lose_uplink (self, WEFT_CONNECT_TIMEOUT);
    }
    return ready;
}

/*  serve_broker of turns.c */
static void serve_broker (model_t *self, way_model_t *way, int64_t now_us)
{
    message_t message;
    int64_t transit_us;
    size_t count = 0;

    if (uplink_events_model (way))
        session_link_ready (&self->session, way->link, now_us);
    way->link->lost |= way->lost;
    message_init (&message);
    while (count < TURN_MESSAGES_MAX && way->broker && port_receive (&way->uplink, &message, &transit_us)) {
        checker_worker_reads (self->process, way->broker, &message, transit_us);
        read_through (self, way->link, &message, now_us);
        message_clear (&message);
        dispatch (self);
        count++;
    }
    if (!way->lost || count == TURN_MESSAGES_MAX)
        return;
    const weft_status_t status = way->lost_status;
    close_uplink (way, false);
    session_link_lost (&self->session, way->link, status, "lost", now_us);
}

/*  forget of direct.c */
static void forget (model_t *self, direct_caller_t *caller, int64_t now_us)
{
    list_remove (&self->lost_callers, &caller->of_lost);
    list_remove (&self->callers, &caller->of_all);
    caller->end->owner = NULL;
    unstall (&caller->stalled);
    session_peer_lost (&self->session, caller->link, now_us);
    free (caller);
}

/*  meet, turn_away of direct.c */
static direct_caller_t *meet (model_t *self, end_t *end)
{
    direct_caller_t *caller = calloc (1, sizeof *caller);
    caller->link = session_peer_open (&self->session, caller);
    if (!caller->link) {
        message_t message;
        buffer_t record;
        buffer_init (&record, 1024);
        message_init (&message);
        wire_write_refused (&record, WEFT_OVERLOADED, "this worker has no room for more connections");
        message_add_bytes (&message, record.data, record.size);
        end_send (end, &message);
        message_fini (&message);
        buffer_fini (&record);
        free (caller);
        return NULL;
    }
    caller->end = end;
    end->owner = caller;
    list_push (&self->callers, &caller->of_all);
    if (!end->open)
        set_lost (self, caller);
    return caller;
}

/*  direct_events */
static void direct_events_model (model_t *self)
{
    network_event_t event;
    while (port_event (&self->direct, &event))
        if (event.kind == TRANSPORT_LOST && event.end->owner)
            set_lost (self, event.end->owner);
}

/*  serve_callers of turns.c, direct_receive, direct_part */
static void serve_callers (model_t *self, int64_t now_us)
{
    message_t message;
    int64_t transit_us;
    size_t count = 0;
    list_node_t *node;
    end_t *end;

    direct_events_model (self);
    message_init (&message);
    while (count < TURN_MESSAGES_MAX && (end = port_receive (&self->direct, &message, &transit_us))) {
        direct_caller_t *caller = end->owner ? end->owner : meet (self, end);
        if (caller) {
            checker_worker_reads (self->process, end, &message, transit_us);
            read_through (self, caller->link, &message, now_us);
        }
        message_clear (&message);
        if (caller && caller->link->state == LINK_GONE)
            forget (self, caller, now_us);
        dispatch (self);
        count++;
    }
    while (count < TURN_MESSAGES_MAX && (node = list_first (&self->lost_callers)))
        forget (self, CONTAINER_OF (node, direct_caller_t, of_lost), now_us);
}

/*  command of turns.c */
static void command (model_t *self)
{
    const char *endpoint = NULL;
    session_link_t *link;
    standing_command_t wanted;

    while ((wanted = session_command (&self->session, &link, &endpoint)) != STANDING_NOTHING) {
        way_model_t *way = link->owner;
        close_uplink (way, wanted == STANDING_PART);
        if (wanted != STANDING_OPEN)
            continue;
        port_open (&way->uplink, self->process);
        way->broker = end_connect (&way->uplink, endpoint, NULL);
        link->hold_us = 0;
        link->lost = false;
    }
}

/*  The turn -------------------------------------------------------------------------------------------------------- */

/*  turns_flush_last, and the end of the process */
static void leave (model_t *self, int64_t now_us)
{
    if (self->flush_until_us == 0)
        self->flush_until_us = now_us + 500 * MS;
    flush (self, now_us);
    if (self->flush_until_us < self->session.drain_by_us) /* so it was not the drain timeout */
        checker_worker_leaves (self->process);
    if (self->session.dirty.count == 0 || now_us >= self->flush_until_us)
        process_kill (self->process, true);
}

/*  turns_take of turns.c */
static void turn (process_t *process)
{
    model_t *self = process->model;
    const int64_t now_us = process_now_us (process);

    if (self->session.state == SESSION_DONE) {
        leave (self, now_us);
        return;
    }
    if (self->drain) { /* obey */
        session_drain (&self->session, now_us);
        self->drain = false;
    }
    collect (self, now_us);
    session_send_items (&self->session, now_us);
    for (size_t i = 0; i < POSTS; i++)
        serve_broker (self, &self->ways [i], now_us);
    serve_callers (self, now_us);
    if (now_us >= session_next_us (&self->session))
        session_tick (&self->session, now_us);
    dispatch (self);
    session_settle (&self->session);
    command (self);
    flush (self, now_us);
    checker_worker_bounds (session_in_flight (&self->session));
    if (self->session.state == SESSION_DONE)
        leave (self, now_us);
}

/*  turns_sleep of turns.c */
static int64_t next_us (const process_t *process)
{
    const model_t *self = process->model;
    const int64_t now_us = process_now_us (process);
    if (self->session.state == SESSION_DONE)
        return now_us + 1 * MS;
    int64_t next = session_next_us (&self->session);
    if (!list_empty (&self->lost_callers) || self->done.count || port_has_news (&self->direct))
        return now_us;
    for (const way_model_t *way = self->ways; way < self->ways + POSTS; way++)
        if (way->lost || (way->broker && port_has_news (&way->uplink)))
            return now_us;
    if (self->session.dirty.count && next > now_us + STALL_US)
        next = now_us + STALL_US;
    return next;
}

/*  Life ------------------------------------------------------------------------------------------------------------ */

static void start (process_t *process)
{
    model_t *self = calloc (1, sizeof *self);
    char error [WEFT_TEXT_MAX + 1];
    const uint64_t life = process->lives;
    const unsigned port = 7000 + (unsigned) process->number + (profile.same_ports ? 0 : 100 * (unsigned) life);

    process->model = self;
    self->process = process;
    snprintf (self->uuid, sizeof self->uuid, "e0000000-0000-4000-8000-%04x%08llx", process->number,
              (unsigned long long) life);
    snprintf (self->endpoint, sizeof self->endpoint, "tcp://*:%u", port);
    snprintf (self->bound, sizeof self->bound, "tcp://%s:%u", process->host, port);
    for (int i = 0; i < profile.brokers; i++)
        self->brokers [i] = broker_addresses [i];
    self->endpoints [0] = profile.no_direct ? NULL : self->endpoint;
    list_init (&self->callers);
    list_init (&self->lost_callers);
    executor_batch_init (&self->queued);
    executor_batch_init (&self->done);
    services_init (&self->services, roll (UINT64_MAX));
    if (services_add (&self->services, JOB_SERVICE, job_methods, NULL, false, error) != WEFT_OK
        || builtin_add (&self->services, &self->session, error) != WEFT_OK)
        abort ();
    const session_options_t options = {
        .identity = {.uuid = self->uuid, .name = process->name, .host = process->host, .pid = life, .cores = 2,
                     .capacity = (uint64_t) profile.concurrency, .services = &self->services},
        .brokers = self->brokers,
        .services = &self->services,
        .concurrency = profile.concurrency,
        .queue_max = profile.worker_queue_max,
        .handler_timeout_us = profile.handler_timeout_us,
        .drain_timeout_us = 10 * S,
        .body_max = 100000,
        .peers_max = 64,
        .streams_max = STREAMS_MAX,
        .seed = roll (UINT64_MAX),
        .clock_us = handlers_clock_us,
    };
    session_init (&self->session, &options);
    for (size_t i = 0; i < POSTS; i++) {
        self->ways [i].link = &self->session.posts [i].link;
        self->ways [i].link->owner = &self->ways [i];
    }
    port_open (&self->direct, process);
    if (!profile.no_direct)
        port_listen (&self->direct, self->bound);
    session_start (&self->session, self->endpoints, process_now_us (process));
    checker_worker_starts (process, self->uuid);
    process_wake (process, world.now_us);
}

static void end_process_of (process_t *process)
{
    model_t *self = process->model;
    list_node_t *node;
    for (size_t i = 0; i < POSTS; i++)
        close_uplink (&self->ways [i], leaves_politely);
    while ((node = list_first (&self->callers))) {
        direct_caller_t *caller = CONTAINER_OF (node, direct_caller_t, of_all);
        list_remove (&self->callers, node);
        unstall (&caller->stalled);
        free (caller);
    }
    port_close (&self->direct, leaves_politely);
    session_fini (&self->session);
    services_fini (&self->services);
    free (self);
    process->model = NULL;
}

void worker_process_drain (process_t *process)
{
    model_t *self = process->model;
    self->drain = true;
    process_wake (process, world.now_us);
}

const char *worker_process_uuid (const process_t *process)
{
    return ((const model_t *) process->model)->uuid;
}

const char *worker_process_address (const process_t *process)
{
    return ((const model_t *) process->model)->direct.address;
}

static bool holds_nothing (const requests_t *requests, char why [200])
{
    const size_t under_way = requests->replies.works.count - requests->replies.over.count;
    snprintf (why, 200, "%zu requests are open, %zu dropped, %zu with a key under way, %zu streams, %zu stuck, %zu bytes",
              requests->open.count, requests->dropped, under_way, requests->streams.open, requests->stuck, requests->bytes);
    return !requests->open.count && !requests->dropped && !under_way && !requests->open_streams && !requests->streams.open
           && !requests->streams.pending.count && !requests->stuck && !requests->bytes;
}

static bool link_is_idle (const session_link_t *link)
{
    return list_empty (&link->requests) && link->streams == 0;
}

/*  All of them are there, or one has just gone as the hostile does to the last, and want nothing. */
static bool callers_are_idle (const model_t *self, char why [200])
{
    const bool uncertain = port_has_news (&self->direct);
    snprintf (why, 200, "%zu callers are known, %zu connected, %zu lost, or one is busy", self->session.peers.count,
              self->callers.count, self->lost_callers.count);
    for (list_node_t *node = list_first (&self->callers); node; node = list_after (&self->callers, node)) {
        const direct_caller_t *caller = CONTAINER_OF (node, direct_caller_t, of_all);
        if ((!caller->end->open && !uncertain) || !link_is_idle (caller->link))
            return false;
    }
    return self->session.peers.count == self->callers.count && (list_empty (&self->lost_callers) || uncertain);
}

bool worker_process_is_idle (const process_t *process, char why [200])
{
    const model_t *self = process->model;
    if (!holds_nothing (&self->session.requests, why) || !callers_are_idle (self, why))
        return false;
    snprintf (why, 200, "something is under way with a broker");
    for (const way_model_t *way = self->ways; way < self->ways + POSTS; way++)
        if (!link_is_idle (way->link))
            return false;
    return true;
}

const program_t worker_program = {start, end_process_of, turn, next_us};
