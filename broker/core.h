/* SPDX-License-Identifier: MPL-2.0
 *
 *  core.h - the inside of the broker's core, shared by the files that it is made of:
 *
 *      broker.c            peers, HELLO, the turn: what came in goes to whom it concerns; the clock's work
 *      membership.c        REGISTER, BEAT, DRAINING, GOODBYE: workers come and go
 *      routing.c           REQUEST, REPLY, ITEM, CREDIT, CANCEL: calls pass through
 *      admission.c         may one more call come in?
 *      watch.c             what changed is pushed to who watches
 *      registry_service.c  the methods of weft.Registry */

#ifndef CORE_H_INCLUDED
#define CORE_H_INCLUDED

#include "arena.h"
#include "broker.h"
#include "calls.h"
#include "codec.h"
#include "dispatch.h"
#include "grace.h"
#include "outbox.h"
#include "registry.h"
#include "rows.h"
#include "slim.h"

typedef enum { ROLE_STRANGER, ROLE_CLIENT, ROLE_WORKER, ROLE_BROKER } role_t;

struct peer {
    uint8_t routing_id [WEFT_ROUTING_ID_MAX];
    size_t routing_id_size;
    char address [64];
    char name [WEFT_PEER_NAME_MAX + 1];
    role_t role;
    bool parted;                /* it said GOODBYE, or was sent to another broker by one */
    bool hung_up;               /* nothing that is sent to it arrives */
    codec_t codec;
    outbox_t outbox;
    caller_t caller;            /* as one who calls */
    list_t watches;
    list_t listings;            /* watches whose list is not whole yet, in turn */
    list_node_t listing;        /* in broker->listing */
    worker_t *worker;           /* as one who serves; or NULL */
    list_node_t node;           /* in broker->peers */
    list_node_t dirty;          /* in broker->dirty while the outbox holds something */
    list_node_t doomed;         /* in broker->doomed: to be dropped */
    void *shell;
};

/*  Neighbouring records of one frame that go to one peer as they are, and are copied in one piece. Nothing else is written to anybody
 *  before they are, nor is the frame let go. */
typedef struct {
    peer_t *to;                 /* NULL: none */
    const uint8_t *start;
    size_t size;
} run_t;

struct broker {
    broker_settings_t settings;
    registry_t registry;
    calls_t calls;
    dispatch_t dispatch;
    lease_terms_t terms;
    grace_t grace;
    lane_t early;               /* calls for whom this broker does not know yet, but may soon */
    int64_t early_look_us;      /* when to look for them again */
    uint64_t early_seen;        /* registrations at the last look */
    deadlines_t leases;
    list_t changed;             /* workers whose beats said something new in this turn */
    list_t peers, dirty, doomed;
    int64_t now_us;             /* of the event being handled */
    int64_t started_us, ticked_us;
    bool stopping;              /* workers have been told, and are on their way to another broker */
    bool draining;              /* clients as well: no call is taken any more */
    int64_t stopping_us, drained_us; /* when that began */
    int64_t parted_us;          /* when the last of the clients went since */
    size_t callers;             /* clients that have not said GOODBYE */
    bool pressed;               /* some outbox is full: it wants to be taken before more comes in */
    size_t dear;                /* records of the message being handled that cost much more than a call does */
    broker_counters_t counters;
    outflow_t outflow;          /* of all calls that are open */
    int64_t outflow_us;         /* when its next measure begins */
    size_t watches;
    list_t held;                /* watches of services that nobody has registered yet, but somebody may soon; or that have just gone */
    list_t listing;             /* peers that took what there was of their lists: the next parts are due */
    chains_t watches_by_id;
    deadlines_t watches_due;
    arena_t arena;              /* for answers in the making */
    buffer_t body;              /* of a reply or item of our own */
    buffer_t map;               /* options or info in the making */
    slim_t slim;                /* a record that was too large to be passed on as it was */
    buffer_t nowhere;           /* what is written to the doomed */
    run_t run;
};

/*  Records to a peer: append one to what peer_open_record returns, then close it; or append one that is written already; or a frame
 *  with nothing else in it. One that is doomed gets nothing: what is written to it is thrown away. */
buffer_t *peer_open_record (broker_t *self, peer_t *peer);
void peer_close_record (broker_t *self, peer_t *peer, zmq_msg_t *attachment);
void peer_append (broker_t *self, peer_t *peer, const uint8_t *record, size_t size, zmq_msg_t *attachment);
void peer_adopt (broker_t *self, peer_t *peer, zmq_msg_t *frame, zmq_msg_t *attachment);
void peer_refuse (broker_t *self, peer_t *peer, weft_status_t status, const char *text);

/*  The same with records of the frame that is being read: they may wait for their neighbours until peer_end_run. */
#define RUN_MAX 16384
void peer_end_run (broker_t *self);
static inline void peer_pass (broker_t *self, peer_t *peer, const uint8_t *record, size_t size)
{
    run_t *run = &self->run;
    if (run->to == peer && run->start + run->size == record && run->size < RUN_MAX) {
        run->size += size;
        return;
    }
    peer_end_run (self);
    *run = (run_t){peer, record, size};
}

/*  It was told of other brokers. */
static inline bool broker_has_others (const broker_t *self)
{
    return self->settings.peer_brokers && self->settings.peer_brokers [0];
}

/*  Workers go, and clients do not know yet. */
static inline bool broker_is_parting (const broker_t *self)
{
    return self->stopping && !self->draining;
}

/*  Counts a record that costs more than a call does, the more the larger the mesh is. False: too many are in this message, which is worked
 *  through as a whole while all others wait. */
static inline bool broker_affords (broker_t *self)
{
    return ++self->dear <= WEFT_BROKER_DEAR_MAX;
}

/*  The connection is of no use any more. */
void peer_doom (broker_t *self, peer_t *peer, const char *why);

/*  A REPLY of the broker's own: an error with its text, or a body (attached if it is large). */
void peer_fail (broker_t *self, peer_t *peer, uint64_t id, weft_status_t status, weft_executed_t executed,
                int64_t broker_us, const char *text);
void peer_turn_down (broker_t *self, peer_t *peer, uint64_t id, const refusal_t *refusal, int64_t broker_us);
void peer_reply (broker_t *self, peer_t *peer, uint64_t id, const buffer_t *body);
void peer_item (broker_t *self, peer_t *peer, uint64_t id, uint64_t index, const buffer_t *body);

static inline peer_t *peer_of_caller (caller_t *caller)
{
    return CONTAINER_OF (caller, peer_t, caller);
}
static inline worker_t *worker_of_server (server_t *server)
{
    return CONTAINER_OF (server, worker_t, server);
}

/*  What takes a record returns NULL, or the fault that makes it malformed (static). */

/*  membership.c */
const char *membership_register (broker_t *self, peer_t *peer, const wire_record_t *record);
const char *membership_beat (broker_t *self, peer_t *peer, const wire_record_t *record);
void membership_draining (broker_t *self, peer_t *peer);
void membership_lost (broker_t *self, peer_t *peer, const char *why);
void membership_tick (broker_t *self);

/*  No worker takes calls from here any more. */
bool membership_withdrawn (const broker_t *self);

/*  A worker with nothing of ours is not needed by a broker that stops: it may as well serve another one at once, if there is one. */
void membership_release (broker_t *self, worker_t *worker);
void membership_retime (broker_t *self); /* the terms of all leases have changed */
void membership_pause (broker_t *self, grace_reason_t reason); /* no worker expires for one TTL */

/*  routing.c. `frame`: the one that holds the record, if it holds nothing else, to be passed on whole; or NULL. */
const char *routing_request (broker_t *self, peer_t *peer, const wire_record_t *record, zmq_msg_t *frame,
                             zmq_msg_t *attachment);
void routing_reply (broker_t *self, peer_t *peer, const wire_record_t *record, zmq_msg_t *frame,
                    zmq_msg_t *attachment);
void routing_item (broker_t *self, peer_t *peer, const wire_record_t *record, zmq_msg_t *frame, zmq_msg_t *attachment);
void routing_credit (broker_t *self, peer_t *peer, const wire_record_t *record);
void routing_cancel (broker_t *self, peer_t *peer, const wire_record_t *record);
void routing_tick (broker_t *self);
int64_t routing_next_us (const broker_t *self);

/*  After anything that may have given the worker room. */
void routing_serve (broker_t *self, worker_t *worker);

/*  The caller is gone: its calls are dropped or cancelled. */
void routing_caller_lost (broker_t *self, peer_t *peer);

/*  The worker is about to go, but its connection stands: should it wake, it is not to go on with what nobody waits for, such as a stream
 *  that would wait for credit for ever. What has a request key is for the caller to ask for again. */
void routing_worker_silent (broker_t *self, worker_t *worker);

/*  The worker is gone: calls that it holds may have run; those bound to it have not. */
void routing_worker_lost (broker_t *self, worker_t *worker);

/*  The worker takes no more: those bound to it that have not begun are handed back. */
void routing_worker_draining (broker_t *self, worker_t *worker);

/*  A service that nobody serves any more keeps nobody waiting. */
void routing_service_changed (broker_t *self, service_t *service);

/*  All that is queued is handed back with DRAINING. */
void routing_drain (broker_t *self);

/*  admission.c. Each says why not, and when to come back. May this call be open here at all? */
bool admission_call (broker_t *self, const peer_t *peer, const wire_record_t *record, refusal_t *refusal);

/*  May one more call of this client wait in the lane? */
bool admission_lane (broker_t *self, lane_t *lane, const caller_t *caller, refusal_t *refusal);

/*  And its `size` bytes in memory? */
bool admission_memory (broker_t *self, const caller_t *caller, size_t size, refusal_t *refusal);

/*  watch.c */
void watch_open (broker_t *self, peer_t *peer, uint64_t id, codec_t codec, text_t name, int64_t deadline_us);
bool watch_is_open (const broker_t *self, const peer_t *peer, uint64_t id);
bool watch_cancel (broker_t *self, peer_t *peer, uint64_t id); /* false: no such watch */
void watch_close_all (broker_t *self, peer_t *peer);

/*  Tells who watches the service that this worker came, changed, or serves it no more. */
void watch_push (broker_t *self, service_t *service, worker_t *worker);

/*  The peer has taken all that waited for it, so there is room for more of its lists. */
void watch_taken (broker_t *self, peer_t *peer);

void watch_tick (broker_t *self);
bool watch_busy (const broker_t *self); /* the tick is wanted at once */

/*  rows.c: things as others see them. Strings are views, or in the arena; false: out of memory. */
bool worker_live (const broker_t *self, const worker_t *worker);
worker_row row_of_worker (const broker_t *self, const worker_t *worker);
bool row_of_service (broker_t *self, const service_t *service, service_row *row);
bool row_of_routes (broker_t *self, const service_t *service, definition_row *row);
bool row_of_member (broker_t *self, const member_t *member, definition_row *row);

/*  registry_service.c */
void registry_service_request (broker_t *self, peer_t *peer, const wire_record_t *record,
                               const wire_options_t *options);

#endif
