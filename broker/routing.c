/* SPDX-License-Identifier: MPL-2.0
 *
 *  routing.c - calls pass through: in from a client, on to a worker when one has room, and back.
 *
 *  A record that is alone in its frame is patched and passed on as it is; one of many is patched and copied into the
 *  batch of its destination; only one that was written in an unusual way, or whose options change, is written anew. */

#include "core.h"
#include "log.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_MAX      1000000 /* more than the call table holds */
#define EARLY_LOOK_US   20000   /* after a registration: others of the herd may follow at once */
#define OUTFLOW_EACH_US 1000000 /* between two measures of how quickly calls end */
#define OUT_OF_TIME     "time was up while the call waited at the broker"
#define NO_MEMORY       "the broker is out of memory"

/*  Where a request is to go. */
typedef struct {
    lane_t *lane;
    codec_t codec;              /* of the body; CODEC_UNKNOWN: the options say */
} plan_t;

/*  What can be said for sure about calls that end here ------------------------------------------------------------- */

static int64_t queued_us (const broker_t *self, const call_t *call)
{
    return (call->sent_us ? call->sent_us : self->now_us) - call->arrived_us;
}

/*  Tells the client, if it still waits, and forgets that it does. */
static void answer (broker_t *self, call_t *call, weft_status_t status, weft_executed_t executed, const char *text)
{
    if (!call->caller)
        return;
    peer_fail (self, peer_of_caller (call->caller), call->client_id, status, executed, queued_us (self, call), text);
    calls_abandon (&self->calls, call);
}

/*  Ends a call that waits in a lane; it has certainly not run. */
static void end_queued (broker_t *self, call_t *call, weft_status_t status, const char *text)
{
    dispatch_unqueue (&self->dispatch, call);
    answer (self, call, status, WEFT_EXECUTED_NO, text);
    calls_close (&self->calls, call);
}

static void end_lane (broker_t *self, lane_t *lane, weft_status_t status, const char *text)
{
    call_t *call;
    while ((call = lane_first (lane)))
        end_queued (self, call, status, text);
}

/*  Lets a call that holds its request wait in a lane. False when out of memory. */
static bool join_lane (broker_t *self, lane_t *lane, call_t *call)
{
    if (!dispatch_queue (&self->dispatch, lane, call, self->now_us))
        return false;
    if (call->deadline_us != DEADLINES_NEVER)
        calls_time (&self->calls, call, shed_at_us (&lane->shed, call->arrived_us, call->deadline_us));
    return true;
}

/*  Hands a call back that waited, and is in no lane any more. */
static void turn_down (broker_t *self, call_t *call, const refusal_t *refusal)
{
    self->counters.overloaded += refusal->status == WEFT_OVERLOADED;
    peer_turn_down (self, peer_of_caller (call->caller), call->client_id, refusal, queued_us (self, call));
    calls_close (&self->calls, call);
}

/*  The queue stands, and the call has waited its share. */
static void shed (broker_t *self, call_t *call)
{
    lane_t *lane = call->lane;
    refusal_t refusal;

    refuse (&refusal, WEFT_OVERLOADED, "%zu calls wait, for longer than is good: this one since %lld ms", lane->queued,
            (long long) queued_us (self, call) / 1000);
    refusal.retry_after_ms = outflow_ms (&lane->outflow, lane->served, lane->queued, self->now_us);
    self->counters.shed++;
    dispatch_unqueue (&self->dispatch, call);
    turn_down (self, call, &refusal);
}

static void tell_worker_cancel (broker_t *self, call_t *call)
{
    peer_t *peer = worker_of_server (call->server)->owner;
    wire_write_cancel (peer_open_record (self, peer), call->id);
    peer_close_record (self, peer, NULL);
}

/*  Forwarding ------------------------------------------------------------------------------------------------------ */

/*  `map` (one map of at most WEFT_ENVELOPE_MAX, or empty) with one more entry, whose value the caller then writes. So few bytes hold too
 *  few elements for the one more to make it malformed. */
_Static_assert (WEFT_ENVELOPE_MAX + 2 <= WEFT_ELEMENTS_MAX, "a map with one more entry has no more elements than a field may have");
static buffer_t *map_with (broker_t *self, mp_reader_t map, const char *key)
{
    uint32_t count = 0;

    buffer_clear (&self->map);
    if (mp_left (&map) > 0)
        mp_read_map (&map, &count);
    mp_write_map (&self->map, count + 1);
    if (count)
        buffer_append (&self->map, map.at, mp_left (&map));
    mp_write_text (&self->map, key);
    return &self->map;
}

static mp_reader_t map_reader (const buffer_t *map)
{
    return mp_reader (map->data, map->size);
}

/*  Passes a record on that was patched in place: whole if `frame` is given, which then holds nothing else. */
static void pass_on (broker_t *self, peer_t *to, const wire_record_t *record, zmq_msg_t *frame,
                     zmq_msg_t *attachment)
{
    if (frame) {
        peer_adopt (self, to, frame, attachment);
        return;
    }
    if (attachment)
        peer_append (self, to, record->start, record->size, attachment);
    else
        peer_pass (self, to, record->start, record->size);
}

static uint32_t remaining_ms (const broker_t *self, const call_t *call)
{
    if (call->deadline_us == DEADLINES_NEVER)
        return WIRE_NO_DEADLINE;
    const int64_t left_ms = (call->deadline_us - self->now_us + 999) / 1000; /* a worker must not give up before us */
    return left_ms < 1 ? 1 : (uint32_t) left_ms;
}

/*  A worker that does not keep up with reading gets no more until it has what waits for it. */
static void note_backlog (const broker_t *self, worker_t *worker)
{
    const peer_t *peer = worker->owner;
    if (outbox_bytes (&peer->outbox) > self->settings.outbox_max / 4)
        worker->server.backlogged = true;
}

/*  Adds the codec to the options. False: out of memory. */
static bool name_codec (broker_t *self, codec_t codec, mp_reader_t *options)
{
    mp_write_text (map_with (self, *options, "codec"), codec_name (codec));
    *options = map_reader (&self->map);
    return !self->map.failed;
}

/*  Hands a request to a worker. `frame`: the record's own, if it is alone in there; NULL if not. False: out of memory, and the
 *  worker does not have it. */
static bool forward (broker_t *self, call_t *call, worker_t *worker, const wire_record_t *record, zmq_msg_t *frame,
                     zmq_msg_t *attachment)
{
    peer_t *to = worker->owner;
    const uint32_t left_ms = call->arrived_us == self->now_us ? record->remaining_ms : remaining_ms (self, call);
    const bool add_codec = call->codec != CODEC_UNKNOWN && call->codec != to->codec;
    mp_reader_t options = record->extra;

    if (add_codec && !name_codec (self, call->codec, &options))
        return false;
    call->sent_us = self->now_us;
    server_give (&worker->server, call);
    self->counters.forwarded++;
    if (record->id_fixed && record->remaining_at && !add_codec) {
        wire_patch_id (record, call->id);
        if (left_ms != record->remaining_ms)
            wire_patch_remaining (record, left_ms);
        pass_on (self, to, record, frame, attachment);
    } else {
        wire_write_request_raw (peer_open_record (self, to), call->id, record->method, left_ms, record->body,
                                record->body_size, record->attached, options);
        peer_close_record (self, to, attachment);
    }
    note_backlog (self, worker);
    return true;
}

/*  The same with a request that was held. */
static void forward_held (broker_t *self, call_t *call, worker_t *worker)
{
    size_t size;
    wire_record_t record;
    const char *fault;
    const void *bytes = call_record (call, &size);
    mp_reader_t reader = mp_reader (bytes, size);

    const int rc = wire_next (&reader, &record, &fault);
    assert (rc == 1); /* it was read before */
    if (call->deadline_us != DEADLINES_NEVER)
        calls_time (&self->calls, call, DEADLINES_NEVER);
    if (!forward (self, call, worker, &record, call->has_frame ? &call->frame : NULL,
                  call->has_attachment ? &call->attachment : NULL)) {
        answer (self, call, WEFT_OVERLOADED, WEFT_EXECUTED_NO, NO_MEMORY);
        calls_close (&self->calls, call);
        return;
    }
    peer_end_run (self);
    calls_drop_held (&self->calls, call);
}

/*  Ends a call that was just taken out of its queue, too late to begin. */
static void expire (broker_t *self, call_t *call)
{
    self->counters.timed_out++;
    answer (self, call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO, OUT_OF_TIME);
    calls_close (&self->calls, call);
}

/*  Room may come in the same turn as a deadline, or both after a stall: then the deadline was first. */
void routing_serve (broker_t *self, worker_t *worker)
{
    call_t *call;
    while ((call = dispatch_next (&self->dispatch, &worker->server)))
        if (call->deadline_us <= self->now_us)
            expire (self, call);
        else
            forward_held (self, call, worker);
}

/*  REQUEST --------------------------------------------------------------------------------------------------------- */

/*  Why a method has no route. */
static bool explain (const broker_t *self, text_t method, refusal_t *refusal)
{
    text_t service_name, name;

    if (!wire_split_method (method, &service_name, &name))
        return refuse (refusal, WEFT_INVALID, "ill-formed method \"%.*s\": expected Service.Method", QUOTED (method));
    if (text_is (service_name, "weft.Worker"))
        return refuse (refusal, WEFT_INVALID, "%.*s goes to one worker: say which, with the option \"worker\"",
                       QUOTED (method));
    const service_t *service = registry_service (&self->registry, service_name);
    if (!service || !service->known)
        return refuse (refusal, WEFT_NO_SERVICE, "no service \"%.*s\" was ever registered", QUOTED (service_name));
    if (service->open == 0)
        return refuse (refusal, WEFT_NO_WORKERS, "no worker of service \"%s\" is live", service->name);
    return refuse (refusal, WEFT_UNIMPLEMENTED, "service \"%s\" has no method \"%.*s\"", service->name, QUOTED (name));
}

static bool plan_bound (broker_t *self, const wire_record_t *record, text_t uuid, plan_t *plan, refusal_t *refusal)
{
    text_t service, name;
    worker_t *worker = registry_worker (&self->registry, uuid);

    if (!wire_split_method (record->method, &service, &name))
        return explain (self, record->method, refusal);
    if (!worker)
        return refuse (refusal, WEFT_NO_WORKERS, "worker \"%.*s\" is not here", QUOTED (uuid));
    if (worker->draining)
        return refuse (refusal, WEFT_DRAINING, "worker \"%s\" is draining", worker->uuid);
    plan->lane = &worker->lane;
    return true;
}

static bool plan_route (broker_t *self, const peer_t *peer, const wire_record_t *record,
                        const wire_options_t *options, plan_t *plan, refusal_t *refusal)
{
    plan->codec = options->codec.size ? CODEC_UNKNOWN : peer->codec;
    if (options->worker.size)
        return plan_bound (self, record, options->worker, plan, refusal);
    const route_t *route = registry_route (&self->registry, record->method);
    if (!route || route->service->open == 0)
        return explain (self, record->method, refusal);
    plan->lane = &route->service->lane;
    return true;
}

/*  Gives the call to a worker that has room, or lets it wait for one. False: it can do neither. */
static bool place (broker_t *self, call_t *call, const plan_t *plan, const wire_record_t *record, zmq_msg_t *frame,
                   zmq_msg_t *attachment, refusal_t *refusal)
{
    server_t *server = lane_server (plan->lane);

    if (server)
        return forward (self, call, worker_of_server (server), record, frame, attachment)
               || refuse (refusal, WEFT_OVERLOADED, NO_MEMORY);
    const size_t size = record->size + (attachment ? zmq_msg_size (attachment) : 0);
    if (!admission_lane (self, plan->lane, call->caller, refusal) || !admission_memory (self, call->caller, size, refusal))
        return false;
    if (!calls_hold (&self->calls, call, record, frame, attachment) || !join_lane (self, plan->lane, call))
        return refuse (refusal, WEFT_OVERLOADED, NO_MEMORY);
    self->counters.queued++;
    return true;
}

static void reject (broker_t *self, peer_t *peer, uint64_t id, const refusal_t *refusal)
{
    self->counters.overloaded += refusal->status == WEFT_OVERLOADED;
    peer_turn_down (self, peer, id, refusal, 0);
}

static bool for_registry (text_t method)
{
    static const char prefix [] = "weft.Registry.";
    const size_t size = sizeof prefix - 1;
    return method.size > size && memcmp (method.data, prefix, size) == 0 && !memchr (method.data + size, '.', method.size - size);
}

/*  An id is open until its REPLY. */
static bool id_is_open (const broker_t *self, const peer_t *peer, uint64_t id)
{
    return calls_of_caller (&self->calls, &peer->caller, id) || watch_is_open (self, peer, id);
}

/*  Who is asked for may be on the way back to a broker that has just started; or gone from one that stops, and will soon hand back what
 *  waits. */
static bool may_wait (const broker_t *self)
{
    return grace_warming (&self->grace, self->now_us) || broker_is_parting (self);
}

static bool too_early (const broker_t *self, const refusal_t *refusal)
{
    return may_wait (self)
           && (refusal->status == WEFT_NO_SERVICE || refusal->status == WEFT_NO_WORKERS
               || refusal->status == WEFT_UNIMPLEMENTED);
}

/*  Where a request is to go, or to wait until that is known. */
static bool plan_call (broker_t *self, const peer_t *peer, const wire_record_t *record, const wire_options_t *options,
                       plan_t *plan, refusal_t *refusal)
{
    if (plan_route (self, peer, record, options, plan, refusal))
        return true;
    plan->lane = &self->early;
    return too_early (self, refusal);
}

static void route (broker_t *self, peer_t *peer, const wire_record_t *record, const wire_options_t *options,
                   zmq_msg_t *frame, zmq_msg_t *attachment)
{
    refusal_t refusal;
    plan_t plan = {0};

    if (!admission_call (self, peer, record, &refusal) || !plan_call (self, peer, record, options, &plan, &refusal)) {
        reject (self, peer, record->id, &refusal);
        return;
    }
    const int64_t deadline_us = record->remaining_ms == WIRE_NO_DEADLINE
                                    ? DEADLINES_NEVER
                                    : self->now_us + (int64_t) record->remaining_ms * 1000;
    call_t *call = calls_open (&self->calls, &peer->caller, record->id, self->now_us, deadline_us);
    if (!call) {
        refuse (&refusal, WEFT_OVERLOADED, NO_MEMORY);
        reject (self, peer, record->id, &refusal);
        return;
    }
    call->codec = plan.codec;
    call->keyed = options->request_key.size > 0;
    if (!place (self, call, &plan, record, frame, attachment, &refusal)) {
        reject (self, peer, call->client_id, &refusal);
        calls_close (&self->calls, call);
    }
}

/*  Looks again where one is to go that came too early. */
static void route_early (broker_t *self, call_t *call)
{
    wire_options_t options = {0};
    wire_record_t record;
    const char *fault;
    plan_t plan = {0};
    refusal_t refusal;
    size_t size;
    const void *bytes = call_record (call, &size);
    mp_reader_t reader = mp_reader (bytes, size);

    const int rc = wire_next (&reader, &record, &fault);
    assert (rc == 1); /* it was read before, and its options */
    if (mp_left (&record.extra) > 0)
        wire_read_options (record.extra, &options);
    const bool known = plan_call (self, peer_of_caller (call->caller), &record, &options, &plan, &refusal);
    if (known && plan.lane == &self->early)
        return;
    dispatch_unqueue (&self->dispatch, call);
    if (!known || !admission_lane (self, plan.lane, call->caller, &refusal)) {
        turn_down (self, call, &refusal);
        return;
    }
    server_t *server = lane_server (plan.lane);
    if (server)
        forward_held (self, call, worker_of_server (server));
    else if (!join_lane (self, plan.lane, call)) {
        refuse (&refusal, WEFT_OVERLOADED, NO_MEMORY);
        turn_down (self, call, &refusal);
    }
}

/*  Not one look for each worker that comes back, but a few for all of them. */
static void look_early (broker_t *self)
{
    const bool warm = !may_wait (self);
    list_node_t *flow_after, *after;

    if (self->early.queued == 0 || (!warm && self->now_us < self->early_look_us)
        || (!warm && self->early_seen == self->counters.registrations))
        return;
    self->early_look_us = self->now_us + EARLY_LOOK_US;
    self->early_seen = self->counters.registrations;
    for (list_node_t *node = list_first (&self->early.flows); node; node = flow_after) {
        list_t *calls = &CONTAINER_OF (node, flow_t, node)->calls;
        flow_after = list_after (&self->early.flows, node);
        size_t left = calls->count; /* the flow goes with its last call */
        for (list_node_t *at = list_first (calls); left > 0; at = after) {
            after = --left > 0 ? list_after (calls, at) : NULL;
            route_early (self, CONTAINER_OF (at, call_t, node));
        }
    }
}

int64_t routing_next_us (const broker_t *self)
{
    const int64_t due_us = deadlines_next (&self->calls.due);
    int64_t look_us = self->grace.warm_us;

    if (self->early.queued == 0 || broker_is_parting (self))
        return due_us;
    if (self->early_seen != self->counters.registrations && self->early_look_us < look_us)
        look_us = self->early_look_us;
    return look_us < due_us ? look_us : due_us;
}

const char *routing_request (broker_t *self, peer_t *peer, const wire_record_t *record, zmq_msg_t *frame,
                             zmq_msg_t *attachment)
{
    static const wire_options_t none;
    wire_options_t said;
    const wire_options_t *options = &none;

    self->counters.requests++;
    if (record->id == 0)
        return "malformed REQUEST: id 0";
    if (mp_left (&record->extra) > 0) {
        if (!wire_read_options (record->extra, &said))
            return "malformed REQUEST: its options";
        options = &said;
    }
    if (id_is_open (self, peer, record->id))
        peer_refuse (self, peer, WEFT_INVALID, "this id is open already");
    else if (for_registry (record->method) && !self->draining)
        registry_service_request (self, peer, record, options);
    else
        route (self, peer, record, options, frame, attachment);
    return NULL;
}

/*  REPLY and ITEM -------------------------------------------------------------------------------------------------- */

/*  The call that the worker behind this peer was given under this id. */
static call_t *call_of_worker (broker_t *self, const peer_t *peer, uint64_t id)
{
    call_t *call = peer->worker ? calls_of_server (&self->calls, id, &peer->worker->server) : NULL;
    if (!call || !call->caller)
        self->counters.late++;
    return call;
}

static void return_reply (broker_t *self, call_t *call, const wire_record_t *record, zmq_msg_t *frame,
                          zmq_msg_t *attachment)
{
    peer_t *to = peer_of_caller (call->caller);
    const int64_t waited_us = queued_us (self, call);
    const bool add_waited = waited_us >= 1000 && mp_left (&record->extra) <= WEFT_ENVELOPE_MAX;

    self->counters.replies++;
    if (record->id_fixed && !add_waited) {
        wire_patch_id (record, call->client_id);
        pass_on (self, to, record, frame, attachment);
        return;
    }
    mp_reader_t info = record->extra;
    if (add_waited) {
        mp_write_uint (map_with (self, info, "broker_us"), (uint64_t) waited_us);
        if (!self->map.failed) /* the time is not worth a reply */
            info = map_reader (&self->map);
    }
    wire_write_reply_raw (peer_open_record (self, to), call->client_id, record->status, record->body,
                          record->body_size, record->attached, info);
    peer_close_record (self, to, attachment);
}

void routing_reply (broker_t *self, peer_t *peer, const wire_record_t *record, zmq_msg_t *frame,
                    zmq_msg_t *attachment)
{
    call_t *call = call_of_worker (self, peer, record->id);

    if (!call)
        return;
    if (call->caller)
        return_reply (self, call, record, frame, attachment);
    server_release (&peer->worker->server, call);
    calls_close (&self->calls, call);
    routing_serve (self, peer->worker);
    if (self->draining)
        membership_release (self, peer->worker);
}

void routing_item (broker_t *self, peer_t *peer, const wire_record_t *record, zmq_msg_t *frame, zmq_msg_t *attachment)
{
    call_t *call = call_of_worker (self, peer, record->id);

    if (!call || !call->caller)
        return;
    peer_t *to = peer_of_caller (call->caller);
    if (record->id_fixed) {
        wire_patch_id (record, call->client_id);
        pass_on (self, to, record, frame, attachment);
        return;
    }
    wire_write_item (peer_open_record (self, to), call->client_id, record->number, record->body, record->body_size,
                     record->attached);
    peer_close_record (self, to, attachment);
}

/*  CREDIT and CANCEL ----------------------------------------------------------------------------------------------- */

void routing_credit (broker_t *self, peer_t *peer, const wire_record_t *record)
{
    if (record->id == 0) {
        if (!peer->worker)
            return;
        peer->worker->server.window = record->number < WINDOW_MAX ? record->number : WINDOW_MAX;
        routing_serve (self, peer->worker);
        return;
    }
    call_t *call = calls_of_caller (&self->calls, &peer->caller, record->id);
    if (!call || !call->server)
        return;
    peer_t *to = worker_of_server (call->server)->owner;
    wire_write_credit (peer_open_record (self, to), call->id, record->number);
    peer_close_record (self, to, NULL);
}

void routing_cancel (broker_t *self, peer_t *peer, const wire_record_t *record)
{
    call_t *call = calls_of_caller (&self->calls, &peer->caller, record->id);

    if (!call) {
        if (!watch_cancel (self, peer, record->id))
            self->counters.late++;
        return;
    }
    self->counters.cancelled++;
    if (call->flow)
        end_queued (self, call, WEFT_CANCELLED, "cancelled while it waited at the broker");
    else
        tell_worker_cancel (self, call); /* whose REPLY ends it */
}

/*  Endings --------------------------------------------------------------------------------------------------------- */

void routing_tick (broker_t *self)
{
    call_t *call;

    if (self->now_us >= self->outflow_us) {
        self->outflow_us = self->now_us + OUTFLOW_EACH_US;
        outflow_begin (&self->outflow, self->counters.replies, self->now_us);
    }
    while ((call = calls_expired (&self->calls, self->now_us))) {
        if (call->flow && self->now_us < call->deadline_us) {
            shed (self, call);
            continue;
        }
        self->counters.timed_out++;
        if (call->flow) {
            end_queued (self, call, WEFT_DEADLINE_EXCEEDED, OUT_OF_TIME);
            continue;
        }
        answer (self, call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE, "time was up while the worker had the call");
        tell_worker_cancel (self, call);
    }
    look_early (self);
}

void routing_caller_lost (broker_t *self, peer_t *peer)
{
    list_node_t *node;

    while ((node = list_first (&peer->caller.calls))) {
        call_t *call = CONTAINER_OF (node, call_t, caller_node);
        calls_abandon (&self->calls, call);
        if (call->flow) {
            dispatch_unqueue (&self->dispatch, call);
            calls_close (&self->calls, call);
        } else if (!call->keyed)
            tell_worker_cancel (self, call);
    }
}

void routing_worker_silent (broker_t *self, worker_t *worker)
{
    for (list_node_t *node = list_first (&worker->server.calls); node; node = list_after (&worker->server.calls, node)) {
        call_t *call = CONTAINER_OF (node, call_t, node);
        if (!call->keyed)
            tell_worker_cancel (self, call);
    }
}

/*  They wait with those that came too early. */
static void set_back (broker_t *self, lane_t *lane)
{
    refusal_t refusal;
    call_t *call;

    while ((call = lane_first (lane))) {
        dispatch_unqueue (&self->dispatch, call);
        if (admission_lane (self, &self->early, call->caller, &refusal) && !join_lane (self, &self->early, call))
            refuse (&refusal, WEFT_OVERLOADED, NO_MEMORY);
        if (!call->flow)
            turn_down (self, call, &refusal);
    }
}

void routing_worker_lost (broker_t *self, worker_t *worker)
{
    list_node_t *node;
    char text [128];

    snprintf (text, sizeof text, "worker %s was lost while it had the call", worker->uuid);
    while ((node = list_first (&worker->server.calls))) {
        call_t *call = CONTAINER_OF (node, call_t, node);
        server_release (&worker->server, call);
        answer (self, call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE, text);
        calls_close (&self->calls, call);
    }
    snprintf (text, sizeof text, "worker \"%s\" is gone; the call waited for it", worker->uuid);
    if (broker_is_parting (self))
        set_back (self, &worker->lane);
    end_lane (self, &worker->lane, WEFT_NO_WORKERS, text);
}

void routing_worker_draining (broker_t *self, worker_t *worker)
{
    char text [128];
    snprintf (text, sizeof text, "worker \"%s\" is draining", worker->uuid);
    end_lane (self, &worker->lane, WEFT_DRAINING, text);
}

void routing_service_changed (broker_t *self, service_t *service)
{
    char text [WEFT_METHOD_NAME_MAX + 64];

    if (service->open > 0 || service->lane.queued == 0)
        return;
    if (may_wait (self) && !self->draining) {
        set_back (self, &service->lane);
        return;
    }
    snprintf (text, sizeof text, "no worker of service \"%s\" is live", service->name);
    end_lane (self, &service->lane, WEFT_NO_WORKERS, text);
}

void routing_drain (broker_t *self)
{
    uint32_t position = 0;
    call_t *call;

    while ((call = slots_next (&self->calls.open, &position)))
        if (call->flow)
            end_queued (self, call, WEFT_DRAINING, "the broker is stopping");
}
