/* SPDX-License-Identifier: MPL-2.0
 *
 *  sender.h - empties an outbox into a socket, and keeps the one message that the peer has no room for. */

#ifndef SENDER_H_INCLUDED
#define SENDER_H_INCLUDED

#include "outbox.h"

typedef struct {
    message_t *stalled; /* taken out of the outbox, not yet sent; NULL: none */
} sender_t;

typedef enum {
    SENDER_DONE,    /* all is sent */
    SENDER_STALLED, /* the peer has no room: try again soon */
    SENDER_GONE,    /* there is no such peer any more */
    SENDER_LOST     /* it is there perhaps, and missed something: too much waits for it, or memory is out */
} sender_result_t;

/*  `routing_id` NULL for sockets that need none. */
sender_result_t sender_flush (sender_t *self, void *socket, const void *routing_id, size_t routing_id_size,
                              outbox_t *outbox);
void sender_fini (sender_t *self);

#endif
