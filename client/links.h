/* SPDX-License-Identifier: MPL-2.0
 *
 *  links.h - one connection as the core sees it: to the broker, or to a worker.
 *
 *      IDLE --connect--> CONNECTING --ready--> READY --lost--> IDLE
 *                             `------failed------------------^
 *
 *  Requests wait here until the link is ready, and what is written then leaves in the order of its ids, so that what never left is
 *  known to have never left. */

#ifndef LINKS_H_INCLUDED
#define LINKS_H_INCLUDED

#include <weft/limits.h>
#include "deadlines.h"
#include "list.h"
#include "outbox.h"

typedef enum { LINK_IDLE, LINK_CONNECTING, LINK_READY } link_state_t;

typedef struct {
    link_state_t state;
    uint64_t alias;         /* of this connection */
    char address [WEFT_ENDPOINT_MAX + 1]; /* last used */
    bool welcomed;          /* WELCOME came */
    bool draining;          /* takes no new requests */
    bool parted;            /* GOODBYE was said there, and nothing more is */
    bool ending;            /* its requests are being ended: nobody may connect it meanwhile */
    uint64_t body_max;      /* of the other side; UINT64_MAX until it says */
    int64_t paused_until_us; /* it is overloaded, and said for how long: no second attempts there */
    int64_t ready_us;
    outbox_t outbox;
    list_node_t dirty;      /* in the channel's list of links to flush */
    list_t waiting;         /* requests not sent yet */
    list_t sent;            /* requests without a reply */
    size_t calls;           /* those of them that are calls', not watches */
    uint64_t departed;      /* up to this id they were given to the transport; the others wait in the outbox, or behind what is stuck */
    deadline_t timer;       /* CONNECTING: limit; IDLE: when to connect again (broker) */
} link_t;

/*  What a link carries: an attempt of a call, or a watch. */
typedef struct {
    enum { REQUEST_CALL, REQUEST_WATCH } kind;
    uint64_t id;       /* on the wire; 0: not sent */
    link_t *link;      /* where it waits or was sent; NULL: nowhere */
    list_node_t node;  /* in waiting or sent */
} request_t;

void link_init (link_t *self);
void link_fini (link_t *self);

void link_connecting (link_t *self, uint64_t alias, const char *address);
void link_ready (link_t *self, int64_t now_us);

/*  Back to IDLE; what waited to be flushed is thrown away. Requests stay in their lists: the caller ends
 *  them. */
void link_down (link_t *self);

/*  Queues a request, or aims one at the link that is sent at once; marks it sent under an id; takes it off
 *  (harmless if it is nowhere). */
void link_wait (link_t *self, request_t *request);
static inline void link_aim (link_t *self, request_t *request)
{
    request->link = self;
}
static inline void request_leave (request_t *request)
{
    if (request->link)
        list_remove (request->id ? &request->link->sent : &request->link->waiting, &request->node);
    request->link = NULL;
    request->id = 0;
}
static inline void link_sent (link_t *self, request_t *request, uint64_t id)
{
    request_leave (request);
    request->link = self;
    request->id = id;
    list_push (&self->sent, &request->node);
}

/*  Of the requests written so far, the one that leaves last; 0: all that left have a reply. To be kept when a message is taken out,
 *  and told when the transport has it. */
static inline uint64_t link_last (const link_t *self)
{
    const list_node_t *node = list_last (&self->sent);
    return node ? CONTAINER_OF (node, request_t, node)->id : 0;
}
static inline void link_departed (link_t *self, uint64_t last)
{
    if (last > self->departed)
        self->departed = last;
}
static inline bool request_departed (const request_t *request)
{
    return request->id != 0 && request->id <= request->link->departed;
}

static inline bool link_takes (const link_t *self)
{
    return self->state == LINK_READY && !self->draining;
}

#endif
