/* SPDX-License-Identifier: MPL-2.0
 *
 *  uplink.c - the connection to a broker.
 *
 *    closed --open--> connecting --ready--> up --lost--> (owner closes) --> closed
 *
 *  A socket is used for one connection only: nothing that was sent before a loss may be sent after it. */

#include <string.h>
#include "transport.h"
#include "uplink.h"

void uplink_init (uplink_t *self, void *context, sleeper_t *sleeper, size_t frame_max)
{
    *self = (uplink_t){.context = context, .sleeper = sleeper, .frame_max = frame_max, .text = ""};
}

static void lose (uplink_t *self, weft_status_t status, const char *text)
{
    if (self->lost)
        return; /* the first reason is the cause */
    self->lost = true;
    self->status = status;
    self->text = text;
}

bool uplink_open (uplink_t *self, const char *endpoint)
{
    const bool inproc = strncmp (endpoint, "inproc://", 9) == 0;

    self->ready = self->lost = false;
    self->socket = transport_socket (self->context, ZMQ_DEALER, self->frame_max);
    if (self->socket)
        self->monitor = transport_monitor_open (self->context, self->socket);
    if (!self->monitor || !sleeper_add (self->sleeper, transport_descriptor (self->socket), UPLINK_NEWS)
        || !sleeper_add (self->sleeper, transport_descriptor (self->monitor), UPLINK_EVENTS)) {
        lose (self, WEFT_BROKER_LOST, "out of sockets");
        return false;
    }
    if ((inproc && !transport_inproc_has (endpoint)) || zmq_connect (self->socket, endpoint) < 0) {
        lose (self, WEFT_CONNECT_TIMEOUT, "cannot connect");
        return false;
    }
    self->ready = inproc; /* its monitor says nothing */
    return true;
}

void uplink_close (uplink_t *self, int linger_ms)
{
    sender_fini (&self->sender);
    if (self->monitor)
        sleeper_remove (self->sleeper, transport_descriptor (self->monitor));
    if (self->socket) {
        sleeper_remove (self->sleeper, transport_descriptor (self->socket));
        transport_monitor_close (self->socket, &self->monitor);
        (void) zmq_setsockopt (self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close (self->socket);
    }
    self->socket = NULL;
    self->ready = self->lost = false;
}

bool uplink_events (uplink_t *self)
{
    transport_event_t event;
    bool ready = self->ready;

    self->ready = false;
    while (self->monitor && transport_monitor_next (self->monitor, &event))
        switch (event.kind) {
            case TRANSPORT_READY:
                ready = true;
                break;
            case TRANSPORT_LOST:
                lose (self, WEFT_BROKER_LOST, "the connection was lost");
                break;
            case TRANSPORT_FAILED:
                lose (self, WEFT_CONNECT_TIMEOUT, "cannot connect");
                break;
            case TRANSPORT_REFUSED:
                lose (self, event.status,
                      event.status == WEFT_UNAUTHENTICATED ? "the broker does not know our key"
                                                           : "no ZeroMQ peer answers there");
                break;
            default:
                break;
        }
    return ready;
}

int uplink_receive (uplink_t *self, message_t *message, const char **fault)
{
    return self->socket ? transport_receive (self->socket, NULL, message, fault) : 0;
}

bool uplink_flush (uplink_t *self, outbox_t *outbox)
{
    if (!self->socket) {
        outbox_clear (outbox);
        return true;
    }
    const sender_result_t result = sender_flush (&self->sender, self->socket, NULL, 0, outbox);
    if (result == SENDER_LOST || result == SENDER_GONE)
        lose (self, WEFT_BROKER_LOST, "the broker does not read");
    return result != SENDER_STALLED;
}
