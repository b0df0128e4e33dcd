/* SPDX-License-Identifier: MPL-2.0
 *
 *  calls.h - the call table: every routed call that is open, what it holds, and who waits for it.
 *
 *      new --hold--> QUEUED (in a flow) --dispatch--> IN FLIGHT (at a server) --REPLY--> closed
 *       '------------------ a worker is ready -----------^   '--client gave up--> ABANDONED --REPLY--> closed
 *
 *  A call has two ids: the client's own, and the table's (slot and generation), which is what the worker sees.
 *  A reply under an id that is not open, or from another worker than the one that was given the call,
 *  finds nothing. An abandoned call has no client any more but still holds its place in the worker's window.
 *
 *  Closed calls are kept for reuse with their small buffers, so that a steady state allocates nothing. */

#ifndef CALLS_H_INCLUDED
#define CALLS_H_INCLUDED

#include "chains.h"
#include "codec.h"
#include "deadlines.h"
#include "list.h"
#include "message.h"
#include "slots.h"

typedef struct call call_t;

/*  Whoever calls: embedded in a peer. */
typedef struct {
    list_t calls;        /* its open calls, oldest first */
    uint64_t serial;     /* never used twice */
    uint64_t highest_id; /* of all it ever used */
    size_t bytes;        /* held by its queued calls */
} caller_t;

struct call {
    uint64_t id;                /* the table's */
    uint64_t client_id;         /* the client's */
    caller_t *caller;           /* NULL: nobody waits any more */
    list_node_t caller_node;
    chain_node_t chain;         /* by caller and client_id */
    deadline_t due;
    int64_t deadline_us;        /* INT64_MAX: none */
    int64_t arrived_us, sent_us;

    struct lane *lane;          /* where it queues or queued */
    struct flow *flow;          /* while queued */
    struct server *server;      /* while in flight */
    list_node_t node;           /* in its flow or at its server */

    buffer_t record;            /* while queued: the REQUEST, if small, */
    zmq_msg_t frame;            /* or if it is large and alone in its frame */
    bool has_frame;
    zmq_msg_t attachment;
    bool has_attachment;
    codec_t codec;              /* of its body; CODEC_UNKNOWN: its options say */
    bool keyed;                 /* it has a request key: its client may come again for the reply */
    size_t bytes;               /* held, as counted against the bound */
};

typedef struct {
    slots_t open;
    chains_t by_client;
    deadlines_t due;
    uint64_t serials;
    list_t spare;               /* closed calls, for reuse */
    size_t bytes;               /* held by queued calls */
} calls_t;

bool calls_init (calls_t *self, uint32_t max, uint64_t seed);
void calls_fini (calls_t *self);

void caller_init (caller_t *self, calls_t *calls);

/*  Notes an id that the caller uses. An id above all those is new: that saves looking for it. */
static inline void caller_note_id (caller_t *self, uint64_t id)
{
    if (id > self->highest_id)
        self->highest_id = id;
}
static inline bool caller_may_know (const caller_t *self, uint64_t id)
{
    return id <= self->highest_id;
}

/*  Opens a call of `caller`, which ends at `deadline_us`. NULL when the table is full or out of memory. */
call_t *calls_open (calls_t *self, caller_t *caller, uint64_t client_id, int64_t now_us, int64_t deadline_us);

/*  The call that a worker means, if it was given to `server`; the call that a client means. NULL: none such. */
call_t *calls_of_server (const calls_t *self, uint64_t id, const struct server *server);
call_t *calls_of_caller (const calls_t *self, const caller_t *caller, uint64_t client_id);

/*  Keeps a request for later: copies the record, or moves its frame (NULL: it shares it with others) if that is
 *  large; moves the attachment (or NULL). False when out of memory: then nothing was taken. */
bool calls_hold (calls_t *self, call_t *call, const wire_record_t *record, zmq_msg_t *frame, zmq_msg_t *attachment);

/*  The bytes of the record that is held. */
const void *call_record (call_t *call, size_t *size);

/*  Lets go of what calls_hold took and was not moved out. */
void calls_drop_held (calls_t *self, call_t *call);

/*  Nobody waits any more: the call stays until its worker has answered. */
void calls_abandon (calls_t *self, call_t *call);

/*  Ends a call: in no flow and at no server any more. */
void calls_close (calls_t *self, call_t *call);

/*  Has calls_expired return it then, before its deadline, or (DEADLINES_NEVER) at its deadline again. False when out of memory. */
bool calls_time (calls_t *self, call_t *call, int64_t at_us);

/*  A call whose deadline has come, once, or the time that was set for it; NULL: none. */
call_t *calls_expired (calls_t *self, int64_t now_us);

#endif
