/* SPDX-License-Identifier: MPL-2.0 */

#include <poll.h>
#include <string.h>
#include "check.h"
#include "sender.h"
#include "transport.h"

enum { SIZE = WEFT_BATCH_MAX }; /* each record fills a message */

typedef struct {
    void *context, *router, *dealer;
    uint8_t routing_id [32];
    size_t routing_id_size;
    outbox_t outbox;
    sender_t sender;
} pair_t;

static void set (void *socket, int option, int value)
{
    CHECK_INT (zmq_setsockopt (socket, option, &value, sizeof value), 0);
}

/*  A ROUTER whose one peer has room for very few messages. */
static void pair_open (pair_t *self)
{
    zmq_msg_t routing_id;
    message_t message;
    const char *fault;

    *self = (pair_t){.context = transport_context_acquire ()};
    self->router = transport_socket (self->context, ZMQ_ROUTER, 0);
    self->dealer = transport_socket (self->context, ZMQ_DEALER, 0);
    set (self->router, ZMQ_SNDHWM, 1);
    set (self->dealer, ZMQ_RCVHWM, 1);
    CHECK_INT (zmq_bind (self->router, "inproc://sender-test"), 0);
    CHECK_INT (zmq_connect (self->dealer, "inproc://sender-test"), 0);
    CHECK_INT (zmq_send (self->dealer, "x", 1, 0), 1);
    zmq_msg_init (&routing_id);
    message_init (&message);
    CHECK_INT (transport_receive (self->router, &routing_id, &message, &fault), 1);
    self->routing_id_size = zmq_msg_size (&routing_id);
    memcpy (self->routing_id, zmq_msg_data (&routing_id), self->routing_id_size);
    message_fini (&message);
    zmq_msg_close (&routing_id);
    outbox_init (&self->outbox, WEFT_OUTBOX_MAX);
}

static void pair_close (pair_t *self)
{
    sender_fini (&self->sender);
    outbox_fini (&self->outbox);
    zmq_close (self->router);
    if (self->dealer)
        zmq_close (self->dealer);
    transport_context_release ();
}

static void write_messages (pair_t *self, int count)
{
    for (int i = 0; i < count; i++) {
        uint8_t *at = buffer_extend (outbox_open_record (&self->outbox), SIZE);
        CHECK (at);
        memset (at, i, SIZE);
        outbox_close_record (&self->outbox, NULL);
    }
}

static sender_result_t flush (pair_t *self)
{
    return sender_flush (&self->sender, self->router, self->routing_id, self->routing_id_size, &self->outbox);
}

/*  The first byte of the next message; -1 if there is none. */
static int receive (pair_t *self)
{
    message_t message;
    const char *fault;
    int byte = -1;

    message_init (&message);
    if (transport_receive (self->dealer, NULL, &message, &fault) > 0) {
        CHECK_INT (zmq_msg_size (&message.frames [0]), SIZE);
        byte = *(uint8_t *) zmq_msg_data (&message.frames [0]);
    }
    message_fini (&message);
    return byte;
}

TEST (a_peer_without_room_gets_everything_later_in_order)
{
    enum { MESSAGES = 20 };
    pair_t pair;
    sender_result_t result;
    int received = 0, byte, stalls = 0;
    pair_open (&pair);
    write_messages (&pair, MESSAGES);
    while ((result = flush (&pair)) != SENDER_DONE || received < MESSAGES) {
        CHECK (result == SENDER_DONE || result == SENDER_STALLED);
        CHECK ((result == SENDER_STALLED) == (pair.sender.stalled != NULL));
        stalls += result == SENDER_STALLED;
        for (; (byte = receive (&pair)) >= 0; received++)
            CHECK_INT (byte, received);
    }
    CHECK (stalls > 0);
    CHECK_INT (received, MESSAGES);
    CHECK (outbox_empty (&pair.outbox));
    pair_close (&pair);
}

TEST (a_peer_that_is_gone_is_told_from_one_that_missed_something)
{
    pair_t pair;
    pair_open (&pair);
    write_messages (&pair, 10);
    CHECK_INT (flush (&pair), SENDER_STALLED);
    zmq_close (pair.dealer);
    pair.dealer = NULL;
    sender_result_t result;
    while ((result = flush (&pair)) == SENDER_STALLED) {
        char byte; /* libzmq lets go of a peer only when all it sent was read */
        CHECK_INT (zmq_recv (pair.router, &byte, 1, ZMQ_DONTWAIT), -1);
        poll (NULL, 0, 1);
    }
    CHECK_INT (result, SENDER_GONE);
    pair_close (&pair);
}

TEST (a_peer_for_which_too_much_waits_is_lost)
{
    pair_t pair;
    pair_open (&pair);
    pair.outbox.failed = true;
    CHECK_INT (flush (&pair), SENDER_LOST);
    pair_close (&pair);
}
