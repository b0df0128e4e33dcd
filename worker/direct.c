/* SPDX-License-Identifier: MPL-2.0
 *
 *  direct.c - the socket for direct callers.
 *
 *  A message's descriptor tells over which connection it came, and the monitor names the same descriptor
 *  when that closes. Descriptors are used again, so the monitor is read before a new peer is mapped; and a
 *  peer is taken leave of only when nothing of its is left to read. In-process callers have no descriptor:
 *  they say goodbye, or sending to them fails. */

#include <stdlib.h>
#include <string.h>
#include "direct.h"
#include "transport.h"

struct direct_peer {
    session_link_t *link;
    uint8_t routing_id [WEFT_ROUTING_ID_MAX];
    size_t routing_id_size;
    int fd; /* -1: unknown */
    sender_t sender;
    list_node_t of_lost;
};

bool direct_open (direct_t *self, void *context, session_t *session, sleeper_t *sleeper, size_t frame_max,
                  uint64_t seed)
{
    *self = (direct_t){.session = session, .sleeper = sleeper};
    list_init (&self->lost);
    table_init (&self->peers, seed);
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

static void set_lost (direct_t *self, direct_peer_t *peer)
{
    if (!list_linked (&peer->of_lost))
        list_push (&self->lost, &peer->of_lost);
    if (peer->fd >= 0 && self->by_fd [peer->fd] == peer)
        self->by_fd [peer->fd] = NULL;
    peer->fd = -1;
}

static void forget (direct_t *self, direct_peer_t *peer, int64_t now_us)
{
    set_lost (self, peer);
    list_remove (&self->lost, &peer->of_lost);
    table_take (&self->peers, peer->routing_id, peer->routing_id_size);
    sender_fini (&peer->sender);
    session_peer_lost (self->session, peer->link, now_us);
    free (peer);
}

/*  Remembers whose connection the descriptor is; without memory it stays unknown. */
static void map_fd (direct_t *self, direct_peer_t *peer, int fd)
{
    const size_t wanted = fd < 0 ? 0 : (size_t) fd + 1;

    if (wanted > self->fd_capacity) {
        const size_t capacity = wanted < 64 ? 64 : 2 * wanted;
        direct_peer_t **grown = realloc (self->by_fd, capacity * sizeof *grown);
        if (!grown)
            return;
        memset (grown + self->fd_capacity, 0, (capacity - self->fd_capacity) * sizeof *grown);
        self->by_fd = grown;
        self->fd_capacity = capacity;
    }
    if (fd < 0)
        return;
    self->by_fd [fd] = peer;
    peer->fd = fd;
}

/*  Says to someone there is no room for what the matter is, or hangs up if there is none even for that: what he said is gone. */
static void turn_away (direct_t *self, const void *routing_id, size_t size, int fd)
{
    message_t message;
    buffer_t record;
    bool told = false;

    buffer_init (&record, WEFT_BATCH_MAX);
    message_init (&message);
    wire_write_refused (&record, WEFT_OVERLOADED, "this worker has no room for more connections");
    if (!record.failed && message_add_bytes (&message, record.data, record.size))
        told = transport_send (self->socket, routing_id, size, &message) == 0;
    if (!told)
        transport_hang_up (fd);
    message_fini (&message);
    buffer_fini (&record);
}

static direct_peer_t *meet (direct_t *self, const void *routing_id, size_t size, zmq_msg_t *frame)
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
        session_peer_lost (self->session, peer->link, self->session->now_us);
        free (peer);
        return NULL;
    }
    map_fd (self, peer, transport_fd (frame));
    return peer;
}

/*  Who sent this; NULL: somebody to be ignored. */
static direct_peer_t *sender_of (direct_t *self, zmq_msg_t *routing_id, message_t *message)
{
    const void *data = zmq_msg_data (routing_id);
    const size_t size = zmq_msg_size (routing_id);

    if (size == 0 || size > WEFT_ROUTING_ID_MAX)
        return NULL;
    direct_peer_t *peer = table_get (&self->peers, data, size);
    if (peer || message->count == 0)
        return peer;
    direct_events (self);
    peer = meet (self, data, size, &message->frames [0]);
    if (!peer)
        turn_away (self, data, size, transport_fd (&message->frames [0]));
    return peer;
}

/*  ------------------------------------------------------------------ events and messages  */

void direct_events (direct_t *self)
{
    transport_event_t event;

    while (self->monitor && transport_monitor_next (self->monitor, &event)) {
        const size_t fd = event.kind == TRANSPORT_LOST && event.fd >= 0 ? (size_t) event.fd : SIZE_MAX;
        if (fd < self->fd_capacity && self->by_fd [fd])
            set_lost (self, self->by_fd [fd]);
    }
}

/*  It missed something. Over a connection that went on it would take itself for known, and be a stranger. */
static void hang_up (direct_t *self, direct_peer_t *peer)
{
    direct_events (self);
    transport_hang_up (peer->fd);
    set_lost (self, peer);
}

bool direct_receive (direct_t *self, message_t *message, int64_t now_us)
{
    zmq_msg_t routing_id;
    const char *fault = "";

    if (!self->socket)
        return false;
    zmq_msg_init (&routing_id);
    const int got = transport_receive (self->socket, &routing_id, message, &fault);
    direct_peer_t *peer = got ? sender_of (self, &routing_id, message) : NULL;
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

bool direct_flush (direct_t *self, session_link_t *link)
{
    direct_peer_t *peer = link->owner;
    const bool overflow = link->outbox.failed;
    const sender_result_t result = sender_flush (&peer->sender, self->socket, peer->routing_id,
                                                 peer->routing_id_size, &link->outbox);

    if (result == SENDER_LOST) {
        self->dropped += overflow;
        hang_up (self, peer);
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
    free (self->by_fd);
    *self = (direct_t){0};
}
