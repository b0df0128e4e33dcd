/* SPDX-License-Identifier: MPL-2.0
 *
 *  broker.c - a broker process: the broker's core, and broker/loop.c without its sockets. */

#include <stdio.h>
#include <stdlib.h>
#include "checker.h"
#include "core.h"
#include "faults.h"
#include "jobs.h"
#include "roles.h"

#define TURN_MESSAGES_MAX 1000
#define RETRY_US          (2 * MS)
#define LOST_US           (20 * MS)
#define STOP_US           (10 * S)

const char *const broker_addresses [BROKERS_MAX] = {"tcp://10.0.0.1:5555", "tcp://10.0.0.2:5555"};
static const char *const other_brokers [BROKERS_MAX][2] = {{"tcp://10.0.0.2:5555", NULL}, {"tcp://10.0.0.1:5555", NULL}};

/*  A peer's connection: link_t of loop.c. */
typedef struct {
    peer_t *peer;
    end_t *end;
    message_t *held;
    int64_t lost_us;
    list_node_t lost, stuck, all;
} peer_link_t;

typedef struct {
    broker_t *broker;
    port_t router;
    list_t links, lost, stuck;
    message_t in, out;
    uint32_t routing_id;
    bool more, stopping, done;
    int64_t stop_us, now_us;
} model_t;

/*  link_lost */
static void link_lost (model_t *self, peer_link_t *link)
{
    if (list_linked (&link->lost))
        return;
    link->lost_us = self->now_us;
    list_push (&self->lost, &link->lost);
}

static void look_at_lane (const lane_t *lane)
{
    checker_broker_lane (lane->queued);
    for (list_node_t *node = list_first (&lane->flows); node; node = list_after (&lane->flows, node))
        checker_broker_flow (CONTAINER_OF (node, flow_t, node)->calls.count);
}

static void look_at_lanes (const broker_t *broker)
{
    const service_t *service;
    const worker_t *worker;
    size_t position = 0;
    look_at_lane (&broker->early);
    while ((service = table_next (&broker->registry.services, &position)))
        look_at_lane (&service->lane);
    position = 0;
    while ((worker = table_next (&broker->registry.workers, &position)))
        look_at_lane (&worker->lane);
}

static void look_at_caller (const caller_t *caller)
{
    size_t largest = 0;
    for (list_node_t *node = list_first (&caller->calls); node; node = list_after (&caller->calls, node)) {
        const call_t *call = CONTAINER_OF (node, call_t, caller_node);
        largest = call->bytes > largest ? call->bytes : largest;
    }
    checker_broker_caller (caller->calls.count, caller->bytes, largest);
}

/*  What it holds of all that has a bound. */
static void look_at_bounds (const broker_t *broker)
{
    const broker_gauges_t gauges = broker_gauges (broker);
    checker_broker_bounds (gauges.calls, gauges.queued_bytes);
    look_at_lanes (broker);
    for (list_node_t *node = list_first (&broker->peers); node; node = list_after (&broker->peers, node)) {
        const peer_t *peer = CONTAINER_OF (node, peer_t, node);
        look_at_caller (&peer->caller);
        checker_broker_outbox (outbox_bytes (&peer->outbox));
    }
}

/*  After each thing that may have changed it. */
static void look (const process_t *process, const model_t *self)
{
    const service_t *service = registry_service (&self->broker->registry, text_of (JOB_SERVICE));
    checker_broker_queue (process, service ? service->lane.queued : 0);
    look_at_bounds (self->broker);
}

/*  link_end */
static void link_end (model_t *self, peer_link_t *link)
{
    if (link->end->port)
        link->end->owner = NULL;
    list_remove (&self->links, &link->all);
    list_remove (&self->lost, &link->lost);
    list_remove (&self->stuck, &link->stuck);
    checker_broker_lost (link->end);
    broker_on_lost (self->broker, link->peer, self->now_us);
    if (link->held) {
        message_fini (link->held);
        free (link->held);
    }
    free (link);
}

/*  watch_connections */
static void watch_connections (model_t *self)
{
    network_event_t event;
    while (port_event (&self->router, &event))
        if (event.kind == TRANSPORT_LOST && event.end->owner)
            link_lost (self, event.end->owner);
}

/*  turn_away */
static void turn_away (model_t *self, end_t *end)
{
    buffer_t refused;
    buffer_init (&refused, 1024);
    wire_write_refused (&refused, WEFT_OVERLOADED, "the broker takes no more connections");
    if (message_add_bytes (&self->out, refused.data, refused.size))
        end_send (end, &self->out);
    message_clear (&self->out);
    buffer_fini (&refused);
}

/*  link_find, link_open */
static peer_link_t *link_of (model_t *self, end_t *end)
{
    if (end->owner)
        return end->owner;
    peer_link_t *link = calloc (1, sizeof *link);
    const uint32_t id = ++self->routing_id;
    uint8_t routing_id [5] = {0, (uint8_t) (id >> 24), (uint8_t) (id >> 16), (uint8_t) (id >> 8), (uint8_t) id};
    link->end = end;
    link->peer = broker_peer_open (self->broker, routing_id, sizeof routing_id, end_peer_host (end), self->now_us);
    if (!link->peer) {
        free (link);
        turn_away (self, end);
        return NULL;
    }
    *peer_shell (link->peer) = link;
    list_push (&self->links, &link->all);
    end->owner = link;
    if (!end->open)
        link_lost (self, link);
    return link;
}

/*  receive_all: true if nothing is left. */
static bool receive_all (process_t *process, model_t *self)
{
    int64_t transit_us;
    for (int count = 0; count < TURN_MESSAGES_MAX && !broker_pressed (self->broker); count++) {
        end_t *end = port_receive (&self->router, &self->in, &transit_us);
        if (!end)
            return true;
        peer_link_t *link = link_of (self, end);
        if (link) {
            checker_broker_reads (process, end, &self->in, transit_us);
            broker_on_message (self->broker, link->peer, &self->in, self->now_us);
            look (process, self);
        }
        message_clear (&self->in);
    }
    return false;
}

/*  end_lost */
static void end_lost (model_t *self, bool empty)
{
    list_node_t *node;
    while ((node = list_first (&self->lost))) {
        peer_link_t *link = CONTAINER_OF (node, peer_link_t, lost);
        if (!empty && self->now_us - link->lost_us < LOST_US)
            return;
        link_end (self, link);
    }
}

/*  drop_doomed, hang_up */
static void drop_doomed (model_t *self)
{
    peer_t *peer;
    while ((peer = broker_next_doomed (self->broker))) {
        peer_link_t *link = *peer_shell (peer);
        end_t *end = link->end;
        link_end (self, link);
        end_close (end, true);
    }
}

/*  link_send, send_failed, link_hold */
static bool link_send (model_t *self, peer_link_t *link, message_t *message)
{
    const end_sent_t sent = end_send (link->end, message);
    if (sent == END_SENT)
        return true;
    if (sent == END_GONE) {
        message_clear (message);
        link_lost (self, link);
    } else if (message == &self->out) {
        link->held = malloc (sizeof *link->held);
        message_init (link->held);
        for (int i = 0; i < self->out.count; i++)
            message_add (link->held, &self->out.frames [i]);
        message_clear (&self->out);
        list_push (&self->stuck, &link->stuck);
    }
    return false;
}

/*  link_flush */
static void link_flush (model_t *self, peer_link_t *link)
{
    if (link->held || list_linked (&link->lost))
        return;
    while (broker_take (self->broker, link->peer, &self->out, self->now_us)) {
        checker_broker_sends (link->end, &self->out);
        if (!link_send (self, link, &self->out))
            return;
    }
}

/*  retry_stuck, flush_all */
static void flush_all (model_t *self)
{
    list_node_t *next;
    peer_t *peer;
    for (list_node_t *node = list_first (&self->stuck); node; node = next) {
        peer_link_t *link = CONTAINER_OF (node, peer_link_t, stuck);
        next = list_after (&self->stuck, node);
        if (!link_send (self, link, link->held))
            continue;
        free (link->held);
        link->held = NULL;
        list_remove (&self->stuck, &link->stuck);
        link_flush (self, link);
    }
    while ((peer = broker_next_dirty (self->broker)))
        link_flush (self, *peer_shell (peer));
}

/*  loop_run, one round of it */
static void turn (process_t *process)
{
    model_t *self = process->model;
    self->now_us = process_now_us (process);
    watch_connections (self);
    const bool empty = receive_all (process, self);
    end_lost (self, empty);
    look (process, self);
    broker_tick (self->broker, self->now_us);
    look (process, self);
    flush_all (self);
    drop_doomed (self);
    look (process, self);
    checker_broker_turn (process, broker_counters (self->broker)->expired);
    self->more = !empty;
    if (self->stopping && (broker_drained (self->broker) || self->now_us >= self->stop_us)) { /* check_stopped */
        checker_broker_leaves (process, self->now_us - (self->stop_us - STOP_US));
        broker_stop (self->broker, self->now_us);
        flush_all (self);
        process_kill (process, true); /* it lingers */
    }
}

/*  timeout_ms, sleep_until_work */
static int64_t next_us (const process_t *process)
{
    const model_t *self = process->model;
    int64_t next = broker_next_us (self->broker);
    if (self->more || !list_empty (&self->lost) || port_has_news (&self->router))
        return self->now_us;
    if (self->stopping && self->stop_us < next)
        next = self->stop_us;
    if (!list_empty (&self->stuck) && self->now_us + RETRY_US < next)
        next = self->now_us + RETRY_US;
    if (next == NEVER || next <= self->now_us)
        return next;
    return self->now_us + (next - self->now_us + 999) / 1000 * 1000; /* poll takes milliseconds */
}

static void start (process_t *process)
{
    model_t *self = calloc (1, sizeof *self);
    broker_settings_t settings = {
        .peer_brokers = profile.brokers > 1 ? other_brokers [process->number] : NULL,
        .ttl_ms = profile.ttl_ms,
        .calls_max = profile.broker_calls_max,
        .service_queue_max = profile.service_queue_max,
        .client_calls_max = profile.client_calls_max,
        .outbox_max = profile.outbox_max,
        .memory_max = profile.memory_max,
    };
    snprintf (settings.uuid, sizeof settings.uuid, "b0000000-0000-4000-8000-%04x%08llx", process->number,
              (unsigned long long) process->lives);
    process->model = self;
    list_init (&self->links);
    list_init (&self->lost);
    list_init (&self->stuck);
    message_init (&self->in);
    message_init (&self->out);
    self->now_us = process_now_us (process);
    self->broker = broker_new (&settings, self->now_us, roll (UINT64_MAX));
    port_open (&self->router, process);
    port_listen (&self->router, broker_addresses [process->number]);
    process_wake (process, world.now_us);
}

static void end_process_of (process_t *process)
{
    model_t *self = process->model;
    list_node_t *node;
    while ((node = list_first (&self->links)))
        link_end (self, CONTAINER_OF (node, peer_link_t, all));
    broker_destroy (&self->broker);
    port_close (&self->router, leaves_politely);
    message_fini (&self->in);
    message_fini (&self->out);
    free (self);
    process->model = NULL;
}

/*  on_stop */
void broker_process_drain (process_t *process)
{
    model_t *self = process->model;
    if (self->stopping)
        return;
    self->now_us = process_now_us (process);
    self->stopping = true;
    self->stop_us = self->now_us + STOP_US;
    broker_drain (self->broker, self->now_us);
    process_wake (process, world.now_us);
}

/*  For the checker ----------------------------------------------------------------------------------------------- */

bool broker_process_lists (const process_t *process, const char *const *uuids, size_t count, char why [200])
{
    const broker_t *broker = ((model_t *) process->model)->broker;
    for (size_t i = 0; i < count; i++) {
        const worker_t *worker = registry_worker (&broker->registry, text_of (uuids [i]));
        snprintf (why, 200, "worker %s %s", uuids [i], !worker ? "is not registered" : "takes no calls");
        if (!worker || worker->draining || worker->server.closed)
            return false;
    }
    size_t position = 0, registered = 0;
    for (const worker_t *worker; (worker = table_next (&broker->registry.workers, &position));)
        registered += worker->uuid [0] == 'e'; /* the hostile one's begins otherwise */
    snprintf (why, 200, "%zu workers are registered, not %zu", registered, count);
    return registered == count;
}

bool broker_process_is_empty (const process_t *process, char why [200])
{
    const broker_t *broker = ((model_t *) process->model)->broker;
    const broker_gauges_t gauges = broker_gauges (broker);
    snprintf (why, 200, "%zu peers, %zu workers, %zu calls, %zu queued, %zu bytes, %zu watches, %zu contract bytes",
              gauges.peers, gauges.workers, gauges.calls, gauges.queued, gauges.queued_bytes, gauges.watches,
              gauges.contract_bytes);
    return !gauges.peers && !gauges.workers && !gauges.calls && !gauges.queued && !gauges.queued_bytes
           && !gauges.watches && !gauges.contract_bytes;
}

const program_t broker_program = {start, end_process_of, turn, next_us};
