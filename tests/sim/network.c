/* SPDX-License-Identifier: MPL-2.0 */

#include "network.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MIN_US (WEFT_TRANSPORT_TIMEOUT_MS * MS)
#define HEARTBEAT_MAX_US ((WEFT_TRANSPORT_TIMEOUT_MS + WEFT_TRANSPORT_BEAT_MS) * MS)
#define AGAIN_US         (100 * MS) /* between two looks at a way that is blocked */
#define PORTS_MAX        64

struct connection {
    list_node_t node;
    uint64_t number;
    end_t ends [2];             /* connecting, accepting */
    int from, to;               /* processes, by index */
    char address [WEFT_ENDPOINT_MAX + 1];
    bool cut;                   /* nothing that is sent now arrives */
    int64_t cut_us;
    int64_t began_us;
};

typedef struct {
    list_node_t node;
    network_event_t event;
} queued_event_t;

weather_t weather;

static list_t connections;
static bool was_full;
static list_t echoes; /* what is to be said again */
static uint64_t connection_number;
static uint64_t blocked [PROCESSES_MAX][PROCESSES_MAX], block_number; /* 0: open */
static uint64_t frozen [PROCESSES_MAX];
static port_t *ports [PORTS_MAX];

static void pump (void *arg, uint64_t tag);

/*  Small things ------------------------------------------------------------------------------------------------- */

end_t *end_peer (const end_t *self)
{
    return &self->connection->ends [!self->accepting];
}

static int process_of (const end_t *self)
{
    return self->accepting ? self->connection->to : self->connection->from;
}

const char *end_peer_host (const end_t *self)
{
    return world.processes [process_of (end_peer (self))].host;
}

static bool is_frozen (const end_t *self)
{
    return world.processes [process_of (self)].frozen;
}

/*  Nothing reaches this end now. */
static bool is_cut_off (const end_t *self)
{
    return blocked [process_of (end_peer (self))][process_of (self)] != 0;
}

static int64_t delay_us (void)
{
    const int64_t spike_us = chance (weather.spike_per_mille) ? between (0, weather.spike_us) : 0;
    return weather.delay_us + between (0, weather.jitter_us) + spike_us;
}

static void packet_free (packet_t *packet)
{
    packet->to->unread--;
    free (packet);
}

static void drop_wire (end_t *self)
{
    list_node_t *node;
    while ((node = list_pop (&self->wire)))
        packet_free (CONTAINER_OF (node, packet_t, node));
}

static void tell (end_t *self, transport_event_kind_t kind)
{
    if (!self->port)
        return;
    queued_event_t *queued = calloc (1, sizeof *queued);
    queued->event = (network_event_t){.kind = kind, .end = self};
    memcpy (queued->event.address, self->connection->address, sizeof queued->event.address);
    list_push (&self->port->events, &queued->node);
    process_wake (self->port->process, world.now_us);
}

static void forget_unread (port_t *port, const end_t *of)
{
    list_node_t *next;
    for (list_node_t *node = list_first (&port->inbox); node; node = next) {
        packet_t *packet = CONTAINER_OF (node, packet_t, node);
        next = list_after (&port->inbox, node);
        if (packet->to != of)
            continue;
        list_remove (&port->inbox, node);
        packet_free (packet);
    }
}

/*  Ports -------------------------------------------------------------------------------------------------------- */

void port_open (port_t *self, process_t *process)
{
    *self = (port_t){.process = process};
    list_init (&self->inbox);
    list_init (&self->events);
}

void port_listen (port_t *self, const char *address)
{
    snprintf (self->address, sizeof self->address, "%s", address);
    for (size_t i = 0; i < PORTS_MAX; i++)
        if (!ports [i]) {
            ports [i] = self;
            return;
        }
    abort ();
}

static port_t *listener (const char *address)
{
    for (size_t i = 0; i < PORTS_MAX; i++)
        if (ports [i] && strcmp (ports [i]->address, address) == 0)
            return ports [i];
    return NULL;
}

void port_close (port_t *self, bool politely)
{
    list_node_t *node, *next;

    if (!self->process)
        return;
    for (size_t i = 0; i < PORTS_MAX; i++)
        if (ports [i] == self)
            ports [i] = NULL;
    for (node = list_first (&connections); node; node = next) {
        connection_t *connection = CONTAINER_OF (node, connection_t, node);
        next = list_after (&connections, node);
        for (int i = 0; i < 2; i++)
            if (connection->ends [i].port == self)
                end_close (&connection->ends [i], politely);
    }
    while ((node = list_pop (&self->events)))
        free (CONTAINER_OF (node, queued_event_t, node));
    *self = (port_t){0};
}

bool port_event (port_t *self, network_event_t *event)
{
    list_node_t *node = self->process ? list_pop (&self->events) : NULL;
    if (!node)
        return false;
    queued_event_t *queued = CONTAINER_OF (node, queued_event_t, node);
    *event = queued->event;
    free (queued);
    return true;
}

end_t *port_receive (port_t *self, message_t *message, int64_t *transit_us)
{
    list_node_t *node = self->process ? list_pop (&self->inbox) : NULL;
    if (!node)
        return NULL;
    packet_t *packet = CONTAINER_OF (node, packet_t, node);
    const uint8_t *at = packet->bytes;
    end_t *to = packet->to;
    for (int i = 0; i < packet->count; at += packet->sizes [i++])
        message_add_bytes (message, at, packet->sizes [i]);
    *transit_us = world.now_us - packet->sent_us;
    packet_free (packet);
    return to;
}

/*  The end of connections --------------------------------------------------------------------------------------- */

/*  Tells one side, as soon as anything can be told there. */
static void tell_end (void *arg, uint64_t tag)
{
    end_t *self = arg;
    connection_t *connection = self->connection;
    const bool long_ago = world.now_us - connection->cut_us >= HEARTBEAT_MAX_US;

    if (!self->port || self->told)
        return;
    if (is_frozen (self) || (!long_ago && (is_cut_off (self) || !list_empty (&self->wire)))) {
        world_at (world.now_us + (list_empty (&self->wire) ? AGAIN_US : 1 * MS), tell_end, self, tag);
        return;
    }
    drop_wire (self);
    self->told = true;
    self->open = false;
    trace ("%s hears that its connection %llu is lost", self->port->process->name,
           (unsigned long long) connection->number);
    tell (self, TRANSPORT_LOST);
}

static void cut (connection_t *connection)
{
    if (connection->cut)
        return;
    connection->cut = true;
    connection->cut_us = world.now_us;
}

void end_close (end_t *self, bool politely)
{
    connection_t *connection = self->connection;
    end_t *peer = end_peer (self);
    port_t *port = self->port;

    if (!port)
        return;
    const bool was_cut = connection->cut;
    forget_unread (port, self);
    drop_wire (self);
    self->port = NULL;
    self->open = false;
    if (!politely && chance (500))
        drop_wire (peer);
    cut (connection);
    if (!was_cut || !politely)
        world_at (world.now_us + delay_us (), tell_end, peer, 0);
}

static int64_t heartbeat_us (void)
{
    return between (HEARTBEAT_MIN_US, HEARTBEAT_MAX_US);
}

static bool is_alive (const connection_t *connection)
{
    return !connection->cut && connection->ends [0].open && connection->ends [1].open;
}

size_t network_open_count (void)
{
    size_t count = 0;
    for (list_node_t *node = list_first (&connections); node; node = list_after (&connections, node))
        count += is_alive (CONTAINER_OF (node, connection_t, node));
    return count;
}

bool network_was_full (void)
{
    return was_full;
}

bool network_cut_one (bool half)
{
    const size_t count = network_open_count ();
    size_t chosen = count ? (size_t) roll (count) : 0;

    for (list_node_t *node = list_first (&connections); count && node; node = list_after (&connections, node)) {
        connection_t *connection = CONTAINER_OF (node, connection_t, node);
        if (!is_alive (connection) || chosen-- > 0)
            continue;
        const int first = (int) roll (2);
        const bool both_late = half && chance (300);
        trace ("connection %llu (%s - %s) is cut%s", (unsigned long long) connection->number,
               world.processes [connection->from].name, world.processes [connection->to].name,
               half ? ", and not both hear of it soon" : "");
        if (!half || chance (500)) {
            drop_wire (&connection->ends [0]);
            drop_wire (&connection->ends [1]);
        }
        cut (connection);
        world_at (world.now_us + (both_late ? heartbeat_us () : delay_us ()), tell_end, &connection->ends [first], 0);
        world_at (world.now_us + (half ? heartbeat_us () : delay_us ()), tell_end, &connection->ends [!first], 0);
        return true;
    }
    return false;
}

/*  Partitions and stops ------------------------------------------------------------------------------------------ */

/*  The heartbeat of the side that hears nothing: is it still so? */
static void miss_heartbeat (void *arg, uint64_t tag)
{
    end_t *self = arg;
    connection_t *connection = self->connection;
    end_t *peer = end_peer (self);
    const int from = process_of (peer), to = process_of (self);

    if (!self->port || self->told || (blocked [from][to] != tag && frozen [from] != tag))
        return;
    if (is_frozen (self)) { /* it hears of it when it wakes up, as of everything else */
        world_at (world.now_us + AGAIN_US, miss_heartbeat, self, tag);
        return;
    }
    cut (connection);
    self->told = true;
    self->open = false;
    drop_wire (self);
    trace ("%s gives its silent connection %llu up", self->port->process->name,
           (unsigned long long) connection->number);
    tell (self, TRANSPORT_LOST);
    if (chance (500))
        drop_wire (peer);
    world_at (world.now_us + delay_us (), tell_end, peer, 0);
}

static void watch_heartbeats (int from, int to, uint64_t tag)
{
    for (list_node_t *node = list_first (&connections); node; node = list_after (&connections, node)) {
        connection_t *connection = CONTAINER_OF (node, connection_t, node);
        for (int i = 0; i < 2; i++) {
            end_t *end = &connection->ends [i];
            if (process_of (end_peer (end)) == from && (to < 0 || process_of (end) == to) && end->open)
                world_at (world.now_us + heartbeat_us (), miss_heartbeat, end, tag);
        }
    }
}

static void pump_all (void)
{
    for (list_node_t *node = list_first (&connections); node; node = list_after (&connections, node)) {
        connection_t *connection = CONTAINER_OF (node, connection_t, node);
        for (int i = 0; i < 2; i++)
            if (!list_empty (&connection->ends [i].wire))
                world_at (world.now_us + between (0, 200 * MS), pump, &connection->ends [i], 0);
    }
}

bool network_blocked (int from, int to)
{
    return blocked [from][to] != 0;
}

void network_block (int from, int to)
{
    if (blocked [from][to])
        return;
    trace ("nothing gets from %s to %s", world.processes [from].name, world.processes [to].name);
    blocked [from][to] = ++block_number;
    watch_heartbeats (from, to, block_number);
}

void network_unblock (int from, int to)
{
    if (!blocked [from][to])
        return;
    trace ("the way from %s to %s is open again", world.processes [from].name, world.processes [to].name);
    blocked [from][to] = 0;
    pump_all ();
}

void network_freeze (process_t *process)
{
    process->frozen = true;
    frozen [process->index] = ++block_number;
    watch_heartbeats (process->index, -1, block_number);
}

void network_thaw (process_t *process)
{
    process->frozen = false;
    frozen [process->index] = 0;
    pump_all ();
}

/*  Messages ------------------------------------------------------------------------------------------------------ */

static void trace_records (const packet_t *packet)
{
    static const char *const names [] = {"?", "HELLO", "WELCOME", "REFUSED", "REQUEST", "REPLY", "ITEM", "CREDIT",
                                         "CANCEL", "REGISTER", "BEAT", "BEAT_OK", "DRAINING", "GOODBYE"};
    mp_reader_t reader = mp_reader (packet->bytes, packet->sizes [0]);
    wire_record_t record;
    const char *fault;
    char text [400];
    size_t at = 0;

    while (at + 60 < sizeof text && wire_next (&reader, &record, &fault) == 1) {
        const char *name = record.kind < WIRE_KINDS ? names [record.kind] : "?";
        at += (size_t) snprintf (text + at, sizeof text - at, " %s", name);
        if (record.kind >= WIRE_REQUEST && record.kind <= WIRE_CANCEL)
            at += (size_t) snprintf (text + at, sizeof text - at, ":%llx", (unsigned long long) record.id);
        if (record.kind == WIRE_REPLY)
            at += (size_t) snprintf (text + at, sizeof text - at, "=%d", (int) record.status);
        if (record.kind == WIRE_CREDIT)
            at += (size_t) snprintf (text + at, sizeof text - at, "=%llu", (unsigned long long) record.number);
    }
    text [at] = 0;
    const end_t *from = end_peer (packet->to);
    trace ("%s -> %s over %llu:%s", world.processes [process_of (from)].name,
           world.processes [process_of (packet->to)].name, (unsigned long long) packet->to->number, text);
}

static void pump (void *arg, uint64_t tag)
{
    end_t *self = arg;
    list_node_t *node;

    (void) tag;
    if (is_frozen (self) || is_cut_off (self))
        return; /* looked at again when that is over */
    while ((node = list_first (&self->wire))) {
        packet_t *packet = CONTAINER_OF (node, packet_t, node);
        if (packet->arrives_us > world.now_us) {
            world_at (packet->arrives_us, pump, self, 0);
            return;
        }
        list_remove (&self->wire, node);
        if (!self->port || self->told) {
            packet_free (packet);
            continue;
        }
        list_push (&self->port->inbox, &packet->node);
        process_wake (self->port->process, world.now_us);
    }
}

static packet_t *packet_new (end_t *to, message_t *message)
{
    size_t bytes = 0;
    const size_t count = (size_t) message->count;
    for (size_t i = 0; i < count; i++)
        bytes += zmq_msg_size (&message->frames [i]);
    packet_t *packet = malloc (sizeof *packet + count * sizeof (size_t) + bytes);
    *packet = (packet_t){.to = to, .sent_us = world.now_us, .count = message->count};
    packet->sizes = (size_t *) (void *) (packet + 1);
    packet->bytes = (uint8_t *) (packet->sizes + count);
    uint8_t *at = packet->bytes;
    for (size_t i = 0; i < count; i++) {
        const size_t size = packet->sizes [i] = zmq_msg_size (&message->frames [i]);
        if (size)
            memcpy (at, zmq_msg_data (&message->frames [i]), size);
        at += size;
    }
    for (size_t i = 0; i + 8 <= bytes && i < 256; i += 8) {
        uint64_t word;
        memcpy (&word, packet->bytes + i, sizeof word);
        trace_mix (word);
    }
    to->unread++;
    return packet;
}

/*  Says what a worker said once more: a copy in a packet that waits for its time. */
static void say_again (void *arg, uint64_t tag)
{
    packet_t *packet = arg;
    end_t *to = packet->to;

    (void) tag;
    list_remove (&echoes, &packet->node);
    if (to->connection->cut || !to->port || to->unread > weather.room) {
        packet_free (packet);
        return;
    }
    trace ("%s says it again over %llu", world.processes [process_of (end_peer (to))].name,
           (unsigned long long) to->number);
    packet->arrives_us = world.now_us > to->last_us ? world.now_us : to->last_us;
    list_push (&to->wire, &packet->node);
    if (to->wire.count == 1)
        world_at (packet->arrives_us, pump, to, 0);
}

static void echo (packet_t *packet)
{
    list_push (&echoes, &packet->node);
    world_at (world.now_us + between (0, 500 * MS), say_again, packet, 0);
}

static bool is_replies (const packet_t *packet)
{
    mp_reader_t reader = mp_reader (packet->bytes, packet->count ? packet->sizes [0] : 0);
    wire_record_t record;
    const char *fault;
    int records = 0;
    for (; wire_next (&reader, &record, &fault) == 1; records++)
        if (record.kind != WIRE_REPLY)
            return false;
    return records > 0;
}

end_sent_t end_send (end_t *self, message_t *message)
{
    connection_t *connection = self->connection;
    end_t *peer = end_peer (self);

    if (!self->open && self->accepting)
        return END_GONE;
    if (peer->unread >= weather.room) {
        was_full = true;
        return END_FULL;
    }
    trace_mix ((uint64_t) world.now_us ^ self->number << 48);
    if (!self->open || connection->cut || !peer->port) {
        message_clear (message); /* into the void */
        return END_SENT;
    }
    packet_t *packet = packet_new (peer, message);
    if (self->port->process->role == ROLE_OF_WORKER && chance (weather.echo_per_mille) && is_replies (packet))
        echo (packet_new (peer, message));
    message_clear (message);
    const int64_t arrives_us = world.now_us + delay_us ();
    peer->last_us = packet->arrives_us = arrives_us > peer->last_us ? arrives_us : peer->last_us;
    list_push (&peer->wire, &packet->node);
    if (tracing && packet->count)
        trace_records (packet);
    if (peer->wire.count == 1)
        world_at (packet->arrives_us, pump, peer, 0);
    return END_SENT;
}

/*  Connecting ---------------------------------------------------------------------------------------------------- */

static void become_ready (void *arg, uint64_t tag)
{
    connection_t *connection = arg;
    end_t *self = &connection->ends [0];

    if (!self->port || connection->cut)
        return;
    if (is_cut_off (self) || is_frozen (self) || is_frozen (end_peer (self))) {
        world_at (world.now_us + AGAIN_US, become_ready, connection, tag);
        return;
    }
    self->open = true;
    trace ("%s is connected over %llu", self->port->process->name, (unsigned long long) self->number);
    tell (self, TRANSPORT_READY);
}

static void be_refused (void *arg, uint64_t tag)
{
    connection_t *connection = arg;
    end_t *self = &connection->ends [0];

    if (!self->port)
        return;
    if (is_cut_off (self) || is_frozen (self)) {
        world_at (world.now_us + AGAIN_US, be_refused, connection, tag);
        return;
    }
    cut (connection);
    self->told = true;
    tell (self, TRANSPORT_FAILED);
}

/*  What asks for a connection arrives; TCP asks again when it does not. */
static void ask (void *arg, uint64_t tag)
{
    connection_t *connection = arg;
    end_t *from = &connection->ends [0], *to = &connection->ends [1];
    port_t *port = listener (connection->address);

    if (!from->port || connection->cut)
        return;
    connection->to = port ? port->process->index : connection->to;
    if (is_cut_off (to) || is_frozen (to)) {
        world_at (world.now_us + (is_frozen (to) ? AGAIN_US : tag < 1 ? 1 * S : 2 * S), ask, connection, tag + 1);
        return;
    }
    if (!port) {
        world_at (world.now_us + delay_us (), be_refused, connection, 0);
        return;
    }
    to->port = port;
    to->open = true;
    tell (to, TRANSPORT_ACCEPTED);
    world_at (world.now_us + 2 * delay_us (), become_ready, connection, 0);
}

static int host_of (const char *address)
{
    for (int i = 0; i < world.process_count; i++) {
        const size_t size = strlen (world.processes [i].host);
        if (strncmp (address + 6, world.processes [i].host, size) == 0 && address [6 + size] == ':')
            return i;
    }
    return 0;
}

end_t *end_connect (port_t *port, const char *address, void *owner)
{
    connection_t *connection = calloc (1, sizeof *connection);
    connection->number = ++connection_number;
    connection->from = port->process->index;
    connection->to = host_of (address);
    connection->began_us = world.now_us;
    snprintf (connection->address, sizeof connection->address, "%s", address);
    for (int i = 0; i < 2; i++) {
        end_t *end = &connection->ends [i];
        end->connection = connection;
        end->accepting = i;
        end->number = connection->number;
        list_init (&end->wire);
    }
    connection->ends [0].port = port;
    connection->ends [0].owner = owner;
    list_push (&connections, &connection->node);
    trace ("%s connects to %s: %llu", port->process->name, address, (unsigned long long) connection->number);
    world_at (world.now_us + delay_us (), ask, connection, 0);
    return &connection->ends [0];
}

/*  Life ---------------------------------------------------------------------------------------------------------- */

void network_begin (void)
{
    list_init (&connections);
    list_init (&echoes);
    connection_number = block_number = 0;
    was_full = false;
    memset (blocked, 0, sizeof blocked);
    memset (frozen, 0, sizeof frozen);
    memset (ports, 0, sizeof ports);
}

void network_end (void)
{
    list_node_t *node;
    while ((node = list_pop (&echoes)))
        packet_free (CONTAINER_OF (node, packet_t, node));
    while ((node = list_pop (&connections))) {
        connection_t *connection = CONTAINER_OF (node, connection_t, node);
        drop_wire (&connection->ends [0]);
        drop_wire (&connection->ends [1]);
        free (connection);
    }
}
