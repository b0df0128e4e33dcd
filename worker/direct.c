/* SPDX-License-Identifier: MPL-2.0
 *
 *  direct.c - the socket for direct callers.
 *
 *  A message's descriptor tells over which connection it came, and the monitor names the same descriptor
 *  when that closes. Descriptors are used again, so the monitor is read before a new peer gets its own, and before
 *  one is hung up; and a peer is taken leave of only when nothing of its is left to read. In-process callers have no
 *  descriptor: they say goodbye, or sending to them fails. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "direct.h"
#include "transport.h"

#define AUTO_ID_SIZE 5 /* a routing id that libzmq chose: a zero byte and a number */

struct direct_peer {
    session_link_t *link;
    uint8_t routing_id [WEFT_ROUTING_ID_MAX];
    size_t routing_id_size;
    int fd; /* -1: unknown, or closed */
    sender_t sender;
    list_node_t of_lost;
};

bool direct_open (direct_t *self, void *context, session_t *session, sleeper_t *sleeper, size_t frame_max,
                  uint64_t seed)
{
    *self = (direct_t){.session = session, .sleeper = sleeper};
    list_init (&self->lost);
    table_init (&self->peers, seed);
    descriptors_init (&self->descriptors);
    self->socket = transport_socket (context, ZMQ_ROUTER, frame_max);
    self->monitor = self->socket ? transport_monitor_open (context, self->socket) : NULL;
    if (self->monitor && sleeper_add (sleeper, transport_descriptor (self->socket), DIRECT_NEWS)
        && sleeper_add (sleeper, transport_descriptor (self->monitor), DIRECT_EVENTS))
        return true;
    direct_close (self, 0);
    return false;
}

bool direct_bind (direct_t *self, const char *endpoint, char *bound)
{
    size_t size = WEFT_ENDPOINT_MAX + 1;

    return zmq_bind (self->socket, endpoint) == 0
           && zmq_getsockopt (self->socket, ZMQ_LAST_ENDPOINT, bound, &size) == 0;
}

/*  ------------------------------------------------------------------ peers  */

static void set_lost (direct_t *self, direct_peer_t *peer, int64_t now_us)
{
    if (!list_linked (&peer->of_lost))
        list_push (&self->lost, &peer->of_lost);
    peer->link->lost = true;
    descriptors_release (&self->descriptors, peer->fd, peer, now_us);
    peer->fd = -1;
}

static void forget (direct_t *self, direct_peer_t *peer, int64_t now_us)
{
    set_lost (self, peer, now_us);
    list_remove (&self->lost, &peer->of_lost);
    table_take (&self->peers, peer->routing_id, peer->routing_id_size);
    sender_fini (&peer->sender);
    session_peer_lost (self->session, peer->link, now_us);
    free (peer);
}

static uint32_t number_of (const direct_peer_t *peer)
{
    const uint8_t *id = peer->routing_id;
    return (uint32_t) id [1] << 24 | (uint32_t) id [2] << 16 | (uint32_t) id [3] << 8 | id [4];
}

/*  Did it connect after the other one? libzmq numbers those that choose no routing id in the order in which they come, and
 *  begins anew some time. */
static bool came_after (const direct_peer_t *peer, const direct_peer_t *other)
{
    if (peer->routing_id_size != AUTO_ID_SIZE || other->routing_id_size != AUTO_ID_SIZE)
        return true;
    return number_of (peer) - number_of (other) < UINT32_MAX / 2;
}

/*  Its first message came over this descriptor. If that is closed it spoke and was gone before it was heard of; and of two that
 *  claim it, so was the one that came first. */
static void claim (direct_t *self, direct_peer_t *peer, int fd, int64_t now_us)
{
    descriptor_t *at = descriptors_find (&self->descriptors, fd);

    if (fd < 0)
        return;
    if (!at || !at->open || (at->owner && !came_after (peer, at->owner))) {
        set_lost (self, peer, now_us);
        return;
    }
    if (at->owner)
        set_lost (self, at->owner, now_us);
    at->owner = peer;
    peer->fd = fd;
}

static void hang_up_at (direct_t *self, int fd, const direct_peer_t *peer /* NULL: nobody's */)
{
    if (descriptors_holds (&self->descriptors, fd, peer))
        transport_hang_up (fd);
}

/*  Says to someone there is no room for what the matter is, or hangs up if there is none even for that: what he said is gone. Who
 *  cannot be reached is gone himself, and his descriptor somebody else's, perhaps. */
static void turn_away (direct_t *self, const void *routing_id, size_t size, int fd)
{
    message_t message;
    buffer_t record;
    bool told = false;

    buffer_init (&record, WEFT_BATCH_MAX);
    message_init (&message);
    wire_write_refused (&record, WEFT_OVERLOADED, "this worker has no room for more connections");
    if (!record.failed && message_add_bytes (&message, record.data, record.size))
        told = transport_send (self->socket, routing_id, size, &message) == 0 || errno == EHOSTUNREACH;
    if (!told)
        hang_up_at (self, fd, NULL);
    message_fini (&message);
    buffer_fini (&record);
}

static direct_peer_t *meet (direct_t *self, const void *routing_id, size_t size, int fd, int64_t now_us)
{
    direct_peer_t *peer = calloc (1, sizeof *peer);

    if (!peer)
        return NULL;
    peer->fd = -1;
    memcpy (peer->routing_id, routing_id, size);
    peer->routing_id_size = size;
    peer->link = session_peer_open (self->session, peer);
    if (!peer->link) {
        free (peer);
        return NULL;
    }
    if (!table_put (&self->peers, peer->routing_id, size, peer)) {
        session_peer_lost (self->session, peer->link, now_us);
        free (peer);
        return NULL;
    }
    claim (self, peer, fd, now_us);
    return peer;
}

/*  Who sent this; NULL: somebody to be ignored. */
static direct_peer_t *sender_of (direct_t *self, zmq_msg_t *routing_id, message_t *message, int64_t now_us)
{
    const void *data = zmq_msg_data (routing_id);
    const size_t size = zmq_msg_size (routing_id);

    if (size == 0 || size > WEFT_ROUTING_ID_MAX)
        return NULL;
    direct_peer_t *peer = table_get (&self->peers, data, size);
    if (peer || message->count == 0)
        return peer;
    direct_events (self, now_us);
    const int fd = transport_fd (&message->frames [0]);
    peer = meet (self, data, size, fd, now_us);
    if (!peer)
        turn_away (self, data, size, fd);
    return peer;
}

/*  ------------------------------------------------------------------ events and messages  */

static void on_event (direct_t *self, const transport_event_t *event, int64_t now_us)
{
    direct_peer_t *lost = NULL;

    if (event->kind == TRANSPORT_ACCEPTED)
        lost = descriptors_opened (&self->descriptors, event->fd, now_us);
    else if (event->kind == TRANSPORT_LOST)
        lost = descriptors_closed (&self->descriptors, event->fd);
    if (lost)
        set_lost (self, lost, now_us);
}

void direct_events (direct_t *self, int64_t now_us)
{
    transport_event_t event;

    while (self->monitor && transport_monitor_next (self->monitor, &event))
        on_event (self, &event, now_us);
}

void direct_tick (direct_t *self, int64_t now_us)
{
    int fd;

    if (now_us < direct_next_us (self))
        return;
    direct_events (self, now_us);
    while ((fd = descriptors_take_silent (&self->descriptors, now_us)) >= 0)
        transport_hang_up (fd);
}

int64_t direct_next_us (const direct_t *self)
{
    return descriptors_next_us (&self->descriptors);
}

/*  It missed something. Over a connection that went on it would take itself for known, and be a stranger. */
static void hang_up (direct_t *self, direct_peer_t *peer, int64_t now_us)
{
    direct_events (self, now_us);
    hang_up_at (self, peer->fd, peer);
    set_lost (self, peer, now_us);
}

bool direct_receive (direct_t *self, message_t *message, int64_t now_us)
{
    zmq_msg_t routing_id;
    const char *fault = "";

    if (!self->socket)
        return false;
    zmq_msg_init (&routing_id);
    const int got = transport_receive (self->socket, &routing_id, message, &fault);
    direct_peer_t *peer = got ? sender_of (self, &routing_id, message, now_us) : NULL;
    if (peer && self->doubtful)
        peer->link->lost |= transport_has_ended (peer->fd);
    if (peer && got > 0)
        session_receive (self->session, peer->link, message, now_us);
    else if (peer)
        session_receive_fault (self->session, peer->link, fault, now_us);
    self->reading = peer;
    zmq_msg_close (&routing_id);
    return got != 0;
}

void direct_read (direct_t *self, int64_t now_us)
{
    direct_peer_t *peer = self->reading;

    self->reading = NULL;
    if (peer && peer->link->state == LINK_GONE)
        forget (self, peer, now_us);
}

void direct_part (direct_t *self, int64_t now_us)
{
    list_node_t *node;

    while ((node = list_first (&self->lost)) != NULL)
        forget (self, CONTAINER_OF (node, direct_peer_t, of_lost), now_us);
}

bool direct_flush (direct_t *self, session_link_t *link, int64_t now_us)
{
    direct_peer_t *peer = link->owner;
    const bool overflow = link->outbox.failed;
    const sender_result_t result = sender_flush (&peer->sender, self->socket, peer->routing_id,
                                                 peer->routing_id_size, &link->outbox);

    if (result == SENDER_GONE)
        set_lost (self, peer, now_us);
    else if (result == SENDER_LOST) {
        self->dropped += overflow;
        hang_up (self, peer, now_us);
    }
    return result != SENDER_STALLED;
}

/*  ------------------------------------------------------------------ the end  */

void direct_close (direct_t *self, int linger_ms)
{
    direct_peer_t *peer;
    size_t position = 0;

    while ((peer = table_next (&self->peers, &position)) != NULL)
        forget (self, peer, self->session->now_us);
    if (self->monitor)
        sleeper_remove (self->sleeper, transport_descriptor (self->monitor));
    if (self->socket) {
        sleeper_remove (self->sleeper, transport_descriptor (self->socket));
        transport_monitor_close (self->socket, &self->monitor);
        (void) zmq_setsockopt (self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close (self->socket);
    }
    table_fini (&self->peers);
    descriptors_fini (&self->descriptors);
    *self = (direct_t){0};
}
