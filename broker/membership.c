/* SPDX-License-Identifier: MPL-2.0
 *
 *  membership.c - workers come and go.
 *
 *      --REGISTER--> alive <--BEAT / silence--> suspect
 *                      |                           |
 *                      '--DRAINING--> draining     |
 *                      '-----------------'---------'--connection lost, GOODBYE, TTL, a newer incarnation--> gone */

#include "core.h"
#include "log.h"
#include <stdlib.h>
#include <string.h>

static void log_worker (const char *message, const worker_t *worker, const char *why)
{
    log_info (message, log_text ("uuid", worker->uuid), log_text ("name", ((const peer_t *) worker->owner)->name),
              log_text ("service", worker->member_count ? worker->services [0] : ""),
              log_int ("services", worker->member_count), log_text ("why", why));
}

/*  Tells who watches the service, and lets nobody wait for one that lost its last worker, or the last one that is well. */
static void announce_to (broker_t *self, service_t *service, worker_t *worker)
{
    watch_push (self, service, worker);
    routing_service_changed (self, service);
    if (service->lane.well > 0 || !service->lane.had_well)
        return;
    service->lane.had_well = false; /* those that are stuck were passed over while there was a better one: now they are as good as any */
    for (list_node_t *node = list_first (&service->members); node; node = list_after (&service->members, node))
        routing_serve (self, CONTAINER_OF (node, member_t, node)->worker);
}

static void announce (broker_t *self, worker_t *worker)
{
    for (uint32_t i = 0; i < worker->member_count; i++)
        announce_to (self, worker->members [i].service, worker);
}

/*  There is room for it since the worker registered. */
static void set_timer (broker_t *self, worker_t *worker)
{
    deadlines_set (&self->leases, &worker->due, lease_next_us (&worker->lease, &self->terms));
}

static void end_worker (broker_t *self, worker_t *worker, const char *why)
{
    ((peer_t *) worker->owner)->worker = NULL;
    deadlines_cancel (&self->leases, &worker->due);
    list_remove (&self->changed, &worker->changed);
    worker->server.closed = true;
    routing_worker_lost (self, worker);
    registry_part (&self->registry, worker);
    log_worker ("worker lost", worker, why);
    announce (self, worker);
    registry_remove (&self->registry, &worker);
}

void membership_lost (broker_t *self, peer_t *peer, const char *why)
{
    if (peer->worker)
        end_worker (self, peer->worker, why);
}

/*  REGISTER ----------------------------------------------------------------------------------------------------- */

static void beat_ok (broker_t *self, peer_t *peer, uint64_t sequence)
{
    wire_write_beat_ok (peer_open_record (self, peer), sequence, (uint64_t) self->settings.beat_ms,
                        (uint64_t) self->settings.ttl_ms, self->settings.peer_brokers);
    peer_close_record (self, peer, NULL);
}

/*  The worker that had this UUID before: an older incarnation gives way. */
static bool check_former (const peer_t *peer, const worker_t *former, const registration_t *registration,
                          refusal_t *refusal)
{
    const bool same = former && former->owner == peer;

    if (!former || registration->incarnation > former->incarnation
        || (same && registration->incarnation == former->incarnation))
        return true;
    return refuse (refusal, WEFT_INVALID, "uuid %s is registered already, with incarnation %llu", former->uuid,
                   (unsigned long long) former->incarnation);
}

/*  Same process, same connection, another list of services: what left the list is told too. */
static bool renew (broker_t *self, worker_t *worker, registration_t *registration, refusal_t *refusal)
{
    service_t *before [WEFT_SERVICES_MAX];
    const uint32_t count = worker->member_count;

    for (uint32_t i = 0; i < count; i++)
        before [i] = worker->members [i].service;
    if (!registry_renew (&self->registry, worker, registration, self->now_us, refusal))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!worker_serves (worker, before [i]))
            announce_to (self, before [i], worker);
    }
    return true;
}

static bool admit (broker_t *self, peer_t *peer, registration_t *registration, refusal_t *refusal)
{
    worker_t *former = registry_worker (&self->registry, text_of (registration->uuid));

    if (!check_former (peer, former, registration, refusal)) {
        registry_discard (&self->registry, registration);
        return false;
    }
    if (former && former->owner == peer)
        return renew (self, former, registration, refusal);
    if (former)
        end_worker (self, former, "a newer incarnation registered");
    if (peer->worker)
        end_worker (self, peer->worker, "registered as another");
    peer->worker = registry_add (&self->registry, registration, peer, self->now_us, refusal);
    return peer->worker != NULL;
}

const char *membership_register (broker_t *self, peer_t *peer, const wire_record_t *record)
{
    refusal_t refusal;
    wire_register_t in;
    registration_t *registration = NULL;
    const char *fault = "malformed REGISTER";

    if (!wire_read_register (record, &in, &fault))
        return fault;
    if (peer->role != ROLE_WORKER)
        refuse (&refusal, WEFT_INVALID, "REGISTER is for workers");
    else if (self->stopping)
        refuse (&refusal, WEFT_DRAINING, "the broker is stopping");
    else if (!broker_affords (self))
        refuse (&refusal, WEFT_OVERLOADED, "more than %d registrations in one message", WEFT_BROKER_DEAR_MAX);
    else if (!deadlines_reserve (&self->leases, self->registry.workers.count + 1))
        refuse (&refusal, WEFT_OVERLOADED, "the broker is out of memory");
    else
        registration = registry_read (&self->registry, &in, peer->address, self->settings.allow_hosts, &refusal);

    if (!registration || !admit (self, peer, registration, &refusal)) {
        log_warning ("registration refused", log_text ("name", peer->name), log_text ("why", refusal.text));
        peer_refuse (self, peer, refusal.status, refusal.text);
        return NULL;
    }
    worker_t *worker = peer->worker;
    self->counters.registrations++;
    set_timer (self, worker);
    beat_ok (self, peer, 0);
    log_worker ("worker joined", worker, "registered");
    announce (self, worker);
    routing_serve (self, worker);
    return NULL;
}

/*  Later -------------------------------------------------------------------------------------------------------- */

/*  What its work looks like now. True: others should know. */
static bool feel_pulse (broker_t *self, worker_t *worker)
{
    const bool was_stuck = worker->pulse.state == PULSE_STUCK, was_hopeless = worker->server.stuck;

    pulse_beat (&worker->pulse, &worker->load, worker_capacity (worker), self->terms.ttl_us);
    const bool is_stuck = worker->pulse.state == PULSE_STUCK;
    worker->server.stuck = pulse_hopeless (&worker->pulse);
    if (is_stuck != was_stuck)
        log_worker (is_stuck ? "worker is stuck" : "worker goes on", worker,
                    is_stuck ? "no call ended over some beats, and the oldest is old" : "calls end again");
    return is_stuck != was_stuck || worker->server.stuck != was_hopeless;
}

const char *membership_beat (broker_t *self, peer_t *peer, const wire_record_t *record)
{
    worker_t *worker = peer->worker;
    uint64_t sequence;
    wire_load_t load;

    if (!wire_read_beat (record, &sequence, &load))
        return "malformed BEAT";
    self->counters.beats++;
    if (!worker) {
        peer_refuse (self, peer, WEFT_NO_WORKERS, "you are not registered here; register again");
        return NULL;
    }
    const bool capacity_changed = load.capacity && load.capacity != worker_capacity (worker);
    const bool recovered = worker->server.closed && !worker->draining;
    const bool suspected = worker->lease.state == LEASE_SUSPECT;
    lease_beat (&worker->lease, self->now_us);
    if (suspected)
        set_timer (self, worker); /* it waits for the end of the lease, and suspicion comes first */
    worker->load = load;
    if (load.capacity)
        worker->server.capacity = load.capacity;
    beat_ok (self, peer, sequence);
    if (recovered) {
        worker->server.closed = false;
        log_worker ("worker is back", worker, "beat after silence");
    }
    const bool felt = feel_pulse (self, worker);
    if (!recovered && !capacity_changed && !felt)
        return NULL;
    worker_weigh (worker);
    if (!list_linked (&worker->changed)) /* however often it changes its mind, all are told once a turn */
        list_push (&self->changed, &worker->changed);
    routing_serve (self, worker);
    return NULL;
}

static void announce_changed (broker_t *self)
{
    list_node_t *node;
    while ((node = list_pop (&self->changed)))
        announce (self, CONTAINER_OF (node, worker_t, changed));
}

void membership_draining (broker_t *self, peer_t *peer)
{
    worker_t *worker = peer->worker;

    if (!worker || worker->draining)
        return;
    worker_drain (worker);
    log_worker ("worker draining", worker, "said so");
    routing_worker_draining (self, worker);
    announce (self, worker);
}

void membership_pause (broker_t *self, grace_reason_t reason)
{
    grace_begin (&self->grace, reason, self->terms.ttl_us, self->now_us);
    self->terms.grace_us = self->grace.until_us;
    if (reason != GRACE_HUSH) /* who could say what was said before? */
        self->terms.since_us = self->now_us;
    LOG_ (reason == GRACE_FRESH ? WEFT_LOG_INFO : WEFT_LOG_WARNING, "no worker expires for one TTL",
          log_text ("why", grace_text (&self->grace, self->now_us)), log_int ("ttl_ms", self->settings.ttl_ms));
}

/*  More than usual may have fallen silent with it. */
static void heed_silence (broker_t *self, const worker_t *worker)
{
    if (!grace_silent (&self->grace, self->registry.workers.count, self->settings.beat_ms * 1000,
                       lease_silent_since_us (&worker->lease, &self->terms)))
        return;
    self->counters.hushes++;
    membership_pause (self, GRACE_HUSH);
}

static void suspect (broker_t *self, worker_t *worker)
{
    self->counters.suspected++;
    heed_silence (self, worker);
    worker->server.closed = true;
    worker_weigh (worker);
    log_worker ("worker is silent", worker, "no beat");
    announce (self, worker);
}

bool membership_withdrawn (const broker_t *self)
{
    size_t position = 0;
    const worker_t *worker;

    while ((worker = table_next (&self->registry.workers, &position)))
        if (worker->server.window > 0 && !worker->draining)
            return false;
    return true;
}

void membership_release (broker_t *self, worker_t *worker)
{
    peer_t *peer = worker->owner;

    if (!broker_has_others (self) || peer->parted || !list_empty (&worker->server.calls))
        return;
    peer->parted = true;
    wire_write_goodbye (peer_open_record (self, peer), "the broker is stopping: go to another");
    peer_close_record (self, peer, NULL);
}

void membership_tick (broker_t *self)
{
    deadline_t *due;

    while ((due = deadlines_pop (&self->leases, self->now_us))) {
        worker_t *worker = CONTAINER_OF (due, worker_t, due);
        if (due->at_us < lease_next_us (&worker->lease, &self->terms)) { /* heard since: its turn comes */
            set_timer (self, worker);
            continue;
        }
        switch (lease_tick (&worker->lease, &self->terms, self->now_us)) {
            case LEASE_EVICT:
                self->counters.expired++;
                routing_worker_silent (self, worker);
                end_worker (self, worker, "no beat for the TTL");
                continue;
            case LEASE_SUSPECTED:
                suspect (self, worker);
                break;
            case LEASE_NOTHING:
                break;
        }
        set_timer (self, worker);
    }
    announce_changed (self);
}

void membership_retime (broker_t *self)
{
    size_t position = 0;
    worker_t *worker;

    while ((worker = table_next (&self->registry.workers, &position)))
        set_timer (self, worker);
}
