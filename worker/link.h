/* SPDX-License-Identifier: MPL-2.0
 *
 *  link.h - one connection of a worker: the broker's, or a direct caller's. What is to be sent there waits in
 *  its outbox, and the link itself in a list of those that have something to send. */

#ifndef LINK_H_INCLUDED
#define LINK_H_INCLUDED

#include "codec.h"
#include "list.h"
#include "outbox.h"

typedef enum { LINK_STRANGER, LINK_WELCOME, LINK_REFUSED, LINK_GONE } link_state_t;

typedef struct session_link {
    bool broker;
    bool lost;              /* the shell's: no reply can go there any more, though not all that came is read */
    link_state_t state;     /* of a direct caller */
    codec_t codec;          /* unless a request says another */
    uint64_t body_max;      /* of a reply that it takes */
    struct method *method;  /* that was called last */
    uint64_t serial;        /* no two links of a session have the same */
    outbox_t outbox;
    list_t *dirty;          /* links with something to send */
    list_t requests;        /* open ones, oldest first */
    size_t streams;         /* among them */
    list_node_t of_dirty, of_peers;
    void *owner;            /* the shell's */
    int64_t hold_us;        /* the shell's: the peer has no room, not to be tried before */
} session_link_t;

static inline void link_set_dirty (session_link_t *self)
{
    if (!list_linked (&self->of_dirty))
        list_push (self->dirty, &self->of_dirty);
}

/*  The buffer to append one record to; close it after each, with the attachment that it speaks of or NULL. */
static inline buffer_t *link_open_record (session_link_t *self)
{
    link_set_dirty (self);
    return outbox_open_record (&self->outbox);
}

static inline void link_close_record (session_link_t *self, zmq_msg_t *attachment)
{
    outbox_close_record (&self->outbox, attachment);
}

#endif
