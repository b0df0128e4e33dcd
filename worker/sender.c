/* SPDX-License-Identifier: MPL-2.0
 *
 *  sender.c - empties an outbox into a socket. */

#include <errno.h>
#include <stdlib.h>
#include "sender.h"
#include "transport.h"

void sender_fini (sender_t *self)
{
    if (!self->stalled)
        return;
    message_fini (self->stalled);
    free (self->stalled);
    self->stalled = NULL;
}

/*  Keeps a message for later; false when out of memory. */
static bool stall (sender_t *self, message_t *message)
{
    if (message == self->stalled)
        return true;
    self->stalled = malloc (sizeof *self->stalled);
    if (!self->stalled)
        return false;
    message_init (self->stalled);
    for (int i = 0; i < message->count; i++)
        message_add (self->stalled, &message->frames [i]);
    message_clear (message);
    return true;
}

/*  Sends one message, which is then empty, or kept, or of no use. */
static sender_result_t send_one (sender_t *self, void *socket, const void *routing_id, size_t routing_id_size,
                                 message_t *message)
{
    if (transport_send (socket, routing_id, routing_id_size, message) == 0)
        return SENDER_DONE;
    const bool gone = errno == EHOSTUNREACH;
    if (errno == EAGAIN && stall (self, message))
        return SENDER_STALLED;
    message_clear (message);
    return gone ? SENDER_GONE : SENDER_LOST;
}

sender_result_t sender_flush (sender_t *self, void *socket, const void *routing_id, size_t routing_id_size,
                              outbox_t *outbox)
{
    sender_result_t result = SENDER_DONE;
    message_t message;

    if (outbox->failed)
        return SENDER_LOST;
    if (self->stalled) {
        result = send_one (self, socket, routing_id, routing_id_size, self->stalled);
        if (result == SENDER_DONE)
            sender_fini (self);
    }
    message_init (&message);
    while (result == SENDER_DONE && outbox_take (outbox, &message))
        result = send_one (self, socket, routing_id, routing_id_size, &message);
    return result == SENDER_DONE && outbox->failed ? SENDER_LOST : result;
}
