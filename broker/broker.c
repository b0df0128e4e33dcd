/* SPDX-License-Identifier: MPL-2.0 */

#include "core.h"
#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_CHAINS  4096
#define LEAVE_US      100000 /* calls of who had not heard that the broker stops may be on their way this long, */
#define LEAVE_TRIPS   4      /* or, if the ways are slow, as long as so many round trips: until clients hear, or connect and say HELLO */
#define PART_US       1000000 /* but no longer than this; workers have as much before */
#define PRESSED_BYTES (256 * 1024) /* sent now, large bodies travel on while others still come in */

/*  Life --------------------------------------------------------------------------------------------------------- */

static void set_default (size_t *value, size_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static broker_settings_t complete (const broker_settings_t *given)
{
    broker_settings_t settings = *given;

    if (settings.ttl_ms == 0)
        settings.ttl_ms = WEFT_TTL_MS;
    if (settings.beat_ms == 0)
        settings.beat_ms = broker_beat_ms (settings.ttl_ms);
    set_default (&settings.peers_max, WEFT_BROKER_PEERS_MAX);
    set_default (&settings.calls_max, WEFT_BROKER_CALLS_MAX);
    set_default (&settings.service_queue_max, WEFT_BROKER_SERVICE_QUEUE_MAX);
    set_default (&settings.client_calls_max, WEFT_BROKER_CLIENT_CALLS_MAX);
    set_default (&settings.services_max, WEFT_BROKER_SERVICES_MAX);
    set_default (&settings.watches_max, WEFT_BROKER_WATCHES_MAX);
    set_default (&settings.memory_max, WEFT_BROKER_MEMORY_MAX);
    set_default (&settings.body_max, WEFT_BODY_MAX);
    set_default (&settings.outbox_max, WEFT_OUTBOX_MAX);
    return settings;
}

int64_t broker_beat_ms (int64_t ttl_ms)
{
    const int64_t beat_ms = ttl_ms * 3 / 10;
    return beat_ms > 0 ? beat_ms : 1;
}

broker_t *broker_new (const broker_settings_t *settings, int64_t now_us, uint64_t seed)
{
    broker_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = complete (settings);
    self->terms = lease_terms (self->settings.ttl_ms, self->settings.beat_ms);
    self->now_us = self->started_us = self->ticked_us = now_us;
    grace_init (&self->grace);
    lane_init (&self->early);
    self->early.shed.off = true;
    membership_pause (self, GRACE_FRESH);
    list_init (&self->held);
    list_init (&self->changed);
    list_init (&self->peers);
    list_init (&self->dirty);
    list_init (&self->doomed);
    list_init (&self->listing);
    deadlines_init (&self->leases);
    deadlines_init (&self->watches_due);
    arena_init (&self->arena, WEFT_DECODED_MAX);
    buffer_init (&self->body, SIZE_MAX);
    buffer_init (&self->map, SIZE_MAX);
    slim_init (&self->slim);
    buffer_init (&self->nowhere, SIZE_MAX);
    const bool watches = chains_init (&self->watches_by_id, WATCH_CHAINS, seed + 5);
    const bool calls = calls_init (&self->calls, (uint32_t) self->settings.calls_max, seed);
    const bool dispatch = dispatch_init (&self->dispatch, seed + 1);
    const bool registry = registry_init (&self->registry, self->settings.peers_max, self->settings.services_max,
                                         self->settings.memory_max, seed + 2);
    if (!watches || !calls || !dispatch || !registry)
        broker_destroy (&self);
    return self;
}

void broker_destroy (broker_t **broker)
{
    broker_t *self = *broker;
    list_node_t *node;

    *broker = NULL;
    if (!self)
        return;
    while ((node = list_first (&self->peers)))
        broker_on_lost (self, CONTAINER_OF (node, peer_t, node), self->now_us);
    registry_fini (&self->registry);
    dispatch_fini (&self->dispatch);
    calls_fini (&self->calls);
    deadlines_fini (&self->leases);
    deadlines_fini (&self->watches_due);
    chains_fini (&self->watches_by_id);
    arena_fini (&self->arena);
    buffer_fini (&self->body);
    buffer_fini (&self->map);
    slim_fini (&self->slim);
    buffer_fini (&self->nowhere);
    free (self);
}

void broker_reconfigure (broker_t *self, const broker_settings_t *settings)
{
    const broker_settings_t old = self->settings;
    const int64_t since_us = self->terms.since_us;

    self->settings = complete (settings);
    memcpy (self->settings.uuid, old.uuid, sizeof old.uuid);
    self->settings.calls_max = old.calls_max;
    self->settings.services_max = old.services_max;
    self->terms = lease_terms (self->settings.ttl_ms, self->settings.beat_ms);
    self->terms.since_us = since_us;
    self->terms.grace_us = self->grace.until_us;
    self->registry.workers_max = self->settings.peers_max;
    self->registry.contracts.bytes_max = self->settings.memory_max;
    if (self->settings.ttl_ms < old.ttl_ms)
        membership_pause (self, GRACE_HASTE);
    membership_retime (self);
}

/*  Peers -------------------------------------------------------------------------------------------------------- */

peer_t *broker_peer_open (broker_t *self, const void *routing_id, size_t size, const char *address, int64_t now_us)
{
    self->now_us = now_us;
    if (size > WEFT_ROUTING_ID_MAX || self->peers.count >= self->settings.peers_max)
        return NULL;
    peer_t *peer = calloc (1, sizeof *peer);
    if (!peer)
        return NULL;
    memcpy (peer->routing_id, routing_id, size);
    peer->routing_id_size = size;
    snprintf (peer->address, sizeof peer->address, "%s", address);
    outbox_init (&peer->outbox, self->settings.outbox_max);
    caller_init (&peer->caller, &self->calls);
    list_init (&peer->watches);
    list_init (&peer->listings);
    list_push (&self->peers, &peer->node);
    self->counters.peers++;
    return peer;
}

/*  What it had here ends; the connection may live on. */
static void leave (broker_t *self, peer_t *peer, const char *why)
{
    if (peer->role == ROLE_CLIENT && !peer->parted) {
        self->callers--;
        self->parted_us = self->now_us;
    }
    peer->parted = true;
    routing_caller_lost (self, peer);
    watch_close_all (self, peer);
    membership_lost (self, peer, why);
}

void broker_on_lost (broker_t *self, peer_t *peer, int64_t now_us)
{
    self->now_us = now_us;
    self->counters.lost++;
    leave (self, peer, "connection lost");
    list_remove (&self->peers, &peer->node);
    list_remove (&self->dirty, &peer->dirty);
    list_remove (&self->doomed, &peer->doomed);
    list_remove (&self->listing, &peer->listing);
    outbox_fini (&peer->outbox);
    free (peer);
}

void peer_doom (broker_t *self, peer_t *peer, const char *why)
{
    if (list_linked (&peer->doomed))
        return;
    log_warning ("peer evicted", log_text ("name", peer->name), log_text ("address", peer->address),
                 log_text ("why", why));
    self->counters.evicted++;
    list_push (&self->doomed, &peer->doomed);
    list_remove (&self->dirty, &peer->dirty);
    outbox_clear (&peer->outbox);
}

peer_t *broker_next_doomed (const broker_t *self)
{
    list_node_t *node = list_first (&self->doomed);
    return node ? CONTAINER_OF (node, peer_t, doomed) : NULL;
}

void **peer_shell (peer_t *peer)
{
    return &peer->shell;
}

const void *peer_routing_id (const peer_t *peer, size_t *size)
{
    *size = peer->routing_id_size;
    return peer->routing_id;
}

void peer_hang_up (peer_t *peer)
{
    peer->hung_up = true;
}

/*  Sending ------------------------------------------------------------------------------------------------------ */

buffer_t *peer_open_record (broker_t *self, peer_t *peer)
{
    peer_end_run (self);
    if (!list_linked (&peer->doomed))
        return outbox_open_record (&peer->outbox);
    buffer_clear (&self->nowhere);
    return &self->nowhere;
}

static inline void written (broker_t *self, peer_t *peer)
{
    if (outbox_full (&peer->outbox) || outbox_bytes (&peer->outbox) >= PRESSED_BYTES)
        self->pressed = true;
    if (peer->outbox.failed)
        peer_doom (self, peer, "does not read what is sent to it");
    else if (!list_linked (&peer->dirty))
        list_push (&self->dirty, &peer->dirty);
}

void peer_close_record (broker_t *self, peer_t *peer, zmq_msg_t *attachment)
{
    if (list_linked (&peer->doomed))
        return;
    outbox_close_record (&peer->outbox, attachment);
    written (self, peer);
}

static void copy_records (broker_t *self, peer_t *peer, const uint8_t *records, size_t size, zmq_msg_t *attachment)
{
    if (list_linked (&peer->doomed))
        return;
    buffer_append (outbox_open_record (&peer->outbox), records, size);
    outbox_close_record (&peer->outbox, attachment);
    written (self, peer);
}

void peer_append (broker_t *self, peer_t *peer, const uint8_t *record, size_t size, zmq_msg_t *attachment)
{
    peer_end_run (self);
    copy_records (self, peer, record, size, attachment);
}

void peer_end_run (broker_t *self)
{
    const run_t run = self->run;

    if (!run.to)
        return;
    self->run.to = NULL;
    copy_records (self, run.to, run.start, run.size, NULL);
}

void peer_adopt (broker_t *self, peer_t *peer, zmq_msg_t *frame, zmq_msg_t *attachment)
{
    peer_end_run (self);
    if (list_linked (&peer->doomed))
        return;
    outbox_adopt (&peer->outbox, frame, attachment);
    written (self, peer);
}

peer_t *broker_next_dirty (broker_t *self)
{
    list_node_t *node = list_pop (&self->dirty);
    if (!node)
        self->pressed = false;
    return node ? CONTAINER_OF (node, peer_t, dirty) : NULL;
}

bool broker_pressed (const broker_t *self)
{
    return self->pressed;
}

bool broker_take (broker_t *self, peer_t *peer, message_t *message, int64_t now_us)
{
    const bool taken = outbox_take (&peer->outbox, message);

    self->now_us = now_us;
    if (peer->outbox.failed) {
        peer_doom (self, peer, "out of memory");
        return false;
    }
    if (!list_empty (&peer->listings) && outbox_empty (&peer->outbox))
        watch_taken (self, peer);
    if (peer->worker && peer->worker->server.backlogged && outbox_empty (&peer->outbox)) {
        peer->worker->server.backlogged = false;
        routing_serve (self, peer->worker);
    }
    return taken;
}

void peer_refuse (broker_t *self, peer_t *peer, weft_status_t status, const char *text)
{
    self->counters.refused++;
    wire_write_refused (peer_open_record (self, peer), status, text);
    peer_close_record (self, peer, NULL);
}

static void write_failure (broker_t *self, peer_t *peer, uint64_t id, weft_status_t status, wire_info_t *info)
{
    info->origin = WEFT_ORIGIN_BROKER;
    self->counters.failed++;
    wire_write_reply (peer_open_record (self, peer), id, status, NULL, 0, false, info);
    peer_close_record (self, peer, NULL);
}

void peer_fail (broker_t *self, peer_t *peer, uint64_t id, weft_status_t status, weft_executed_t executed,
                int64_t broker_us, const char *text)
{
    wire_info_t info = wire_info_none ();

    info.executed = (int) executed;
    info.text = text_of (text);
    info.broker_us = (uint64_t) broker_us;
    write_failure (self, peer, id, status, &info);
}

void peer_turn_down (broker_t *self, peer_t *peer, uint64_t id, const refusal_t *refusal, int64_t broker_us)
{
    wire_info_t info = wire_info_none ();

    info.executed = WEFT_EXECUTED_NO;
    info.text = text_of (refusal->text);
    info.retry_after_ms = refusal->retry_after_ms;
    info.broker_us = (uint64_t) broker_us;
    write_failure (self, peer, id, refusal->status, &info);
}

/*  A body over the inline limit becomes a frame. False: it is small, or there is no memory for one. */
static bool attach (const buffer_t *body, zmq_msg_t *attachment)
{
    if (body->size <= WEFT_BODY_INLINE_MAX || zmq_msg_init_size (attachment, body->size) < 0)
        return false;
    memcpy (zmq_msg_data (attachment), body->data, body->size);
    return true;
}

void peer_reply (broker_t *self, peer_t *peer, uint64_t id, const buffer_t *body)
{
    zmq_msg_t attachment;
    wire_info_t info = wire_info_none ();
    const bool attached = attach (body, &attachment);

    info.origin = WEFT_ORIGIN_BROKER;
    self->counters.replies++;
    wire_write_reply (peer_open_record (self, peer), id, WEFT_OK, body->data, body->size, attached, &info);
    peer_close_record (self, peer, attached ? &attachment : NULL);
    if (attached)
        zmq_msg_close (&attachment);
}

void peer_item (broker_t *self, peer_t *peer, uint64_t id, uint64_t index, const buffer_t *body)
{
    zmq_msg_t attachment;
    const bool attached = attach (body, &attachment);

    wire_write_item (peer_open_record (self, peer), id, index, body->data, body->size, attached);
    peer_close_record (self, peer, attached ? &attachment : NULL);
    if (attached)
        zmq_msg_close (&attachment);
}

/*  HELLO -------------------------------------------------------------------------------------------------------- */

static role_t role_find (text_t name)
{
    return text_is (name, "client") ? ROLE_CLIENT
           : text_is (name, "worker") ? ROLE_WORKER
           : text_is (name, "broker") ? ROLE_BROKER
                                      : ROLE_STRANGER;
}

static bool check_hello (broker_t *self, const peer_t *peer, const wire_hello_t *hello, refusal_t *refusal)
{
    if (peer->role != ROLE_STRANGER)
        return refuse (refusal, WEFT_INVALID, "HELLO was already said");
    if (hello->lowest > WEFT_PROTOCOL_HIGHEST || hello->highest < WEFT_PROTOCOL_LOWEST
        || hello->lowest > hello->highest)
        return refuse (refusal, WEFT_INVALID, "no common protocol version: you speak %llu to %llu; known: %d to %d",
                       (unsigned long long) hello->lowest, (unsigned long long) hello->highest, WEFT_PROTOCOL_LOWEST,
                       WEFT_PROTOCOL_HIGHEST);
    if (role_find (hello->role) == ROLE_STRANGER)
        return refuse (refusal, WEFT_INVALID, "unknown role \"%.*s\"; known: client, worker, broker",
                       QUOTED (hello->role));
    if (codec_choose (hello) == CODEC_UNKNOWN)
        return refuse (refusal, WEFT_INVALID, "unknown codec \"%.*s\"; known: " CODEC_NAMES,
                       QUOTED (hello->codecs [0]));
    if (self->draining || (self->stopping && role_find (hello->role) != ROLE_CLIENT))
        return refuse (refusal, WEFT_DRAINING, "the broker is stopping");
    return true;
}

static void copy_name (peer_t *peer, text_t name)
{
    for (size_t i = 0; i < name.size; i++)
        peer->name [i] = name.data [i] >= ' ' && name.data [i] <= '~' ? name.data [i] : '?';
}

static const char *on_hello (broker_t *self, peer_t *peer, const wire_record_t *record)
{
    wire_hello_t hello;
    refusal_t refusal;
    const char *fault = "malformed HELLO";

    if (!wire_read_hello (record, &hello, &fault))
        return fault;
    if (!check_hello (self, peer, &hello, &refusal)) {
        peer_refuse (self, peer, refusal.status, refusal.text);
        return NULL;
    }
    peer->role = role_find (hello.role);
    self->callers += peer->role == ROLE_CLIENT && !peer->parted;
    peer->codec = codec_choose (&hello);
    copy_name (peer, hello.name);
    self->counters.hellos++;
    wire_write_welcome (peer_open_record (self, peer), text_of (codec_name (peer->codec)), self->settings.body_max,
                        self->settings.client_calls_max, self->settings.uuid, self->settings.peer_brokers);
    peer_close_record (self, peer, NULL);
    log_debug ("peer said hello", log_text ("name", peer->name), log_view ("role", hello.role),
               log_text ("address", peer->address));
    return NULL;
}

/*  What comes in ------------------------------------------------------------------------------------------------ */

/*  DRAINING, GOODBYE, and what only answering sides say: not for us, but well-formed or not. */
static const char *on_notice (broker_t *self, peer_t *peer, const wire_record_t *record)
{
    text_t text;
    wire_refused_t refused;

    if (record->kind == WIRE_REFUSED) {
        if (!wire_read_refused (record, &refused))
            return "malformed REFUSED";
        if (peer->worker && refused.status == WEFT_INVALID)
            peer_doom (self, peer, "it could not read what was sent to it"); /* and nobody knows which of its calls it has */
        return NULL;
    }
    if (!wire_read_text (record, &text))
        return record->kind == WIRE_DRAINING ? "malformed DRAINING" : "malformed GOODBYE";
    if (record->kind == WIRE_DRAINING)
        membership_draining (self, peer);
    else
        leave (self, peer, "said goodbye");
    return NULL;
}

/*  NULL, or the fault that makes the record malformed. */
static const char *on_record (broker_t *self, peer_t *peer, const wire_record_t *record, zmq_msg_t *frame,
                              zmq_msg_t *attachment)
{
    switch (record->kind) {
        case WIRE_HELLO:
            return on_hello (self, peer, record);
        case WIRE_REQUEST:
            if (peer->hung_up)
                return NULL;
            return routing_request (self, peer, record, frame, attachment);
        case WIRE_REPLY:
            routing_reply (self, peer, record, frame, attachment);
            return NULL;
        case WIRE_ITEM:
            routing_item (self, peer, record, frame, attachment);
            return NULL;
        case WIRE_CREDIT:
            routing_credit (self, peer, record);
            return NULL;
        case WIRE_CANCEL:
            routing_cancel (self, peer, record);
            return NULL;
        case WIRE_REGISTER:
            return membership_register (self, peer, record);
        case WIRE_BEAT:
            return membership_beat (self, peer, record);
        case WIRE_REFUSED:
        case WIRE_DRAINING:
        case WIRE_GOODBYE:
            return on_notice (self, peer, record);
        default:
            self->counters.unknown++;
            return NULL;
    }
}

/*  May this peer say this now? What is unknown passes, to be counted. */
static bool greeted (const peer_t *peer, unsigned kind)
{
    return peer->role != ROLE_STRANGER || kind == WIRE_HELLO || kind == 0 || kind >= WIRE_KINDS;
}

/*  Puts the record that is written anew in the place of this one. False: out of memory. */
static __attribute__ ((noinline)) bool slim_record (broker_t *self, wire_record_t *record, zmq_msg_t **frame,
                                                    zmq_msg_t **attachment)
{
    peer_end_run (self); /* which may view the one before */
    if (!slim_down (&self->slim, record))
        return false;
    *record = self->slim.record;
    *frame = NULL;
    if (self->slim.attached)
        *attachment = &self->slim.body;
    return true;
}

void broker_on_message (broker_t *self, peer_t *peer, message_t *message, int64_t now_us)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment, *frame = NULL;
    const char *fault = NULL;
    bool told = false; /* once a message is enough */

    self->now_us = now_us;
    self->dear = 0;
    self->counters.messages++;
    while (!frame && !fault && !list_linked (&peer->doomed)
           && message_next (&cursor, &record, &attachment, &fault) > 0) {
        self->counters.records++;
        fault = NULL;
        if (greeted (peer, record.kind)) {
            frame = message_is_lone (&cursor, &record) ? &message->frames [0] : NULL; /* which may be moved out */
            if (record.size > WEFT_ENVELOPE_MAX && slim_is_due (&record) && !slim_record (self, &record, &frame, &attachment)) {
                peer_doom (self, peer, "no memory for what it sent");
                break;
            }
            fault = on_record (self, peer, &record, frame, attachment);
        } else if (!told && record.kind != WIRE_REFUSED && record.kind != WIRE_GOODBYE) {
            peer_refuse (self, peer, WEFT_INVALID, "say HELLO first");
            told = true;
        }
    }
    peer_end_run (self);
    slim_clear (&self->slim);
    if (fault)
        broker_on_fault (self, peer, fault, now_us);
}

void broker_on_fault (broker_t *self, peer_t *peer, const char *fault, int64_t now_us)
{
    self->now_us = now_us;
    self->counters.malformed++;
    peer_refuse (self, peer, WEFT_INVALID, fault);
}

/*  Time --------------------------------------------------------------------------------------------------------- */

static void tell_stopping (broker_t *self, bool workers)
{
    for (list_node_t *node = list_first (&self->peers); node; node = list_after (&self->peers, node)) {
        peer_t *peer = CONTAINER_OF (node, peer_t, node);
        if ((peer->role == ROLE_WORKER) != workers)
            continue;
        wire_write_draining (peer_open_record (self, peer), "the broker is stopping");
        peer_close_record (self, peer, NULL);
    }
}

/*  Clients find their workers at the other broker when they come there; without another there is nothing to wait for. */
static void drain_when_parted (broker_t *self)
{
    if (!broker_is_parting (self)
        || (broker_has_others (self) && !membership_withdrawn (self) && self->now_us < self->stopping_us + PART_US))
        return;
    self->draining = true;
    self->drained_us = self->parted_us = self->now_us;
    tell_stopping (self, false);
    routing_drain (self);
    for (list_node_t *node = list_first (&self->peers); node; node = list_after (&self->peers, node))
        if (CONTAINER_OF (node, peer_t, node)->worker)
            membership_release (self, CONTAINER_OF (node, peer_t, node)->worker);
}

void broker_tick (broker_t *self, int64_t now_us)
{
    const int64_t gap_us = now_us - self->ticked_us;

    self->now_us = self->ticked_us = now_us;
    if (self->registry.workers.count && gap_us > self->terms.ttl_us / 2) {
        self->counters.stalls++;
        log_warning ("the broker was stalled", log_int ("stalled_ms", gap_us / 1000));
        membership_pause (self, GRACE_STALLED);
    }
    membership_tick (self);
    drain_when_parted (self);
    routing_tick (self);
    watch_tick (self);
}

/*  Clients say GOODBYE as soon as they have heard and have nothing open here: so the last of them tells how slow the ways are. */
static int64_t leave_by_us (const broker_t *self)
{
    const int64_t slow_us = LEAVE_TRIPS * (self->parted_us - self->drained_us);
    if (self->callers > 0 || slow_us > PART_US)
        return self->drained_us + PART_US;
    return self->drained_us + (slow_us > LEAVE_US ? slow_us : LEAVE_US);
}

static int64_t earlier (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t broker_next_us (const broker_t *self)
{
    int64_t next_us = earlier (routing_next_us (self), deadlines_next (&self->watches_due));

    next_us = earlier (next_us, deadlines_next (&self->leases));
    if (broker_is_parting (self))
        next_us = earlier (next_us, self->stopping_us + PART_US);
    if (self->draining && self->calls.open.count == 0)
        next_us = earlier (next_us, leave_by_us (self));
    if (watch_busy (self))
        next_us = earlier (next_us, self->ticked_us);
    if (!list_empty (&self->held) && !self->stopping)
        next_us = earlier (next_us, self->grace.warm_us);
    if (self->registry.workers.count)
        next_us = earlier (next_us, self->ticked_us + self->terms.ttl_us / 4); /* or a stall would not show */
    return next_us;
}

void broker_drain (broker_t *self, int64_t now_us)
{
    self->now_us = now_us;
    if (self->stopping)
        return;
    self->stopping = true;
    self->stopping_us = now_us;
    tell_stopping (self, true);
    drain_when_parted (self);
}

bool broker_drained (const broker_t *self)
{
    return self->draining && self->calls.open.count == 0 && self->now_us >= leave_by_us (self);
}

void broker_stop (broker_t *self, int64_t now_us)
{
    self->now_us = now_us;
    for (list_node_t *node = list_first (&self->peers); node; node = list_after (&self->peers, node)) {
        peer_t *peer = CONTAINER_OF (node, peer_t, node);
        wire_write_goodbye (peer_open_record (self, peer), "the broker has stopped");
        peer_close_record (self, peer, NULL);
    }
}

const broker_counters_t *broker_counters (const broker_t *self)
{
    return &self->counters;
}

broker_gauges_t broker_gauges (const broker_t *self)
{
    return (broker_gauges_t){
        .peers = self->peers.count,
        .workers = self->registry.workers.count,
        .services = self->registry.services.count,
        .calls = self->calls.open.count,
        .queued = self->dispatch.queued,
        .queued_bytes = self->calls.bytes,
        .watches = self->watches,
        .contract_bytes = self->registry.contracts.bytes,
    };
}
