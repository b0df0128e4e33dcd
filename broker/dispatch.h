/* SPDX-License-Identifier: MPL-2.0
 *
 *  dispatch.h - which queued call goes to which worker next: late binding, fair between clients, O(1).
 *
 *  A *lane* is where calls wait that the same workers can serve: one per service, and one per worker for calls that
 *  are bound to it. Inside a lane each client has its own *flow*, and the flows take turns. A *server* is a
 *  worker as seen from here: its window (what it is willing to hold), its capacity (what it runs at once) and
 *  what it holds. An *offer* joins a server to a lane, and is in exactly one of these places:
 *
 *      IDLE    the server runs less than its capacity         lane->idle
 *      SPARE   it is busy, but would take one more            lane->spare   server->spare
 *      PARKED  it takes nothing now                                         server->parked
 *
 *  A server that is stuck takes nothing from a lane that another server is there for, even if that one is full just now.
 *
 *  Offers go down lazily, when a call for the lane finds the server busier than its place says, and up when the
 *  server gets room. So each move up pays for one move down, and a worker of 200 services costs a call no
 *  more than a worker of one. While a lane has calls queued all its offers are parked: that is what makes it
 *  enough to look at a server's parked offers when it gets room. */

#ifndef DISPATCH_H_INCLUDED
#define DISPATCH_H_INCLUDED

#include "calls.h"
#include "outflow.h"
#include "shed.h"

typedef struct lane {
    list_t flows;           /* of clients that have calls here, the next one first */
    list_t idle, spare;     /* offers */
    size_t well;            /* servers that are neither closed nor stuck */
    bool had_well;          /* there were some since the last time that there were none */
    size_t queued;
    uint64_t served;        /* calls that queued here and left for a server */
    shed_t shed;
    outflow_t outflow;
} lane_t;

typedef struct flow {
    lane_t *lane;
    const caller_t *caller;
    list_t calls;
    list_node_t node;       /* in lane->flows */
    chain_node_t chain;
} flow_t;

typedef struct server {
    uint64_t window;        /* calls it may hold; 0: none now */
    uint64_t capacity;      /* calls it runs at once; 0: as many as its window */
    bool closed;            /* draining or suspect: gets nothing */
    bool stuck;             /* gets nothing while another is there */
    bool backlogged;        /* does not read fast enough */
    list_t spare, parked;   /* offers */
    list_t calls;           /* in flight */
} server_t;

typedef enum { OFFER_NONE, OFFER_IDLE, OFFER_SPARE, OFFER_PARKED } offer_place_t;

typedef struct {
    lane_t *lane;
    server_t *server;
    offer_place_t place;
    list_node_t lane_node, server_node;
} offer_t;

typedef struct {
    chains_t flows;
    list_t unused;          /* flows, for reuse */
    size_t queued;
} dispatch_t;

bool dispatch_init (dispatch_t *self, uint64_t seed);
void dispatch_fini (dispatch_t *self);
void lane_init (lane_t *self);
void server_init (server_t *self);

bool server_takes (const server_t *self);
bool offer_takes (const offer_t *self); /* the same, of this lane's calls */

/*  Joins a server to a lane, or parts them. Call dispatch_next after joining. Who changes what makes a server well keeps lane->well right;
 *  when that falls to 0, dispatch_next is due for the lane's servers that are stuck. */
void offer_join (offer_t *self, server_t *server, lane_t *lane);
void offer_part (offer_t *self);

/*  The server that should get the next call of a lane nobody queues in: an idle one before a busy one, taking turns.
 *  NULL: none takes any, so the call has to queue. */
server_t *lane_server (lane_t *self);

/*  Puts a call (which holds its request) at the end of its client's flow. False when out of memory. */
bool dispatch_queue (dispatch_t *self, lane_t *lane, call_t *call, int64_t now_us);

/*  The calls that wait there for this caller. */
size_t dispatch_waiting (const dispatch_t *self, const lane_t *lane, const caller_t *caller);

/*  Takes a queued call out of its flow. */
void dispatch_unqueue (dispatch_t *self, call_t *call);

/*  After anything that may have given `server` room: the next queued call it should get, taken out of its queue, or
 *  NULL. Give it the call with server_give and ask again. */
call_t *dispatch_next (dispatch_t *self, server_t *server);

/*  The longest waiting call of the client whose turn it is, for emptying a lane; still queued. NULL: none. */
call_t *lane_first (const lane_t *self);

void server_give (server_t *self, call_t *call);
void server_release (server_t *self, call_t *call); /* then dispatch_next */

#endif
