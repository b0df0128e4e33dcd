/* SPDX-License-Identifier: MPL-2.0
 *
 *  network.h - connections as libzmq and TCP make them, without either.
 *
 *  A *port* is a socket with its monitor. A connection has two *ends*; messages between them keep their order, arrive
 *  after a delay, or not at all once the connection is cut. Each side learns of a cut in its own time: at once, or
 *  only when its transport's heartbeat finds out. As with libzmq:
 *
 *    - the connecting side may send once it was told READY; the accepting side meets its peer with the first message;
 *    - what had arrived before a loss can still be read after it was told;
 *    - after a loss, the accepting side's sends are GONE, the connecting side's vanish;
 *    - a peer that does not read makes sends FULL.
 *
 *  While the way between two processes is blocked nothing is lost: it arrives afterwards, unless the heartbeat found
 *  out first. */

#ifndef NETWORK_H_INCLUDED
#define NETWORK_H_INCLUDED

#include "message.h"
#include "transport.h"
#include "world.h"

typedef struct port {
    process_t *process;
    list_t inbox;               /* messages that have arrived */
    list_t events;              /* the monitor's */
    char address [WEFT_ENDPOINT_MAX + 1];          /* where it listens; "": nowhere */
} port_t;

typedef struct connection connection_t;
typedef struct end {
    connection_t *connection;
    port_t *port;               /* NULL: given up by its owner */
    bool open;                  /* messages can be sent */
    bool told;                  /* of the end */
    bool accepting;
    size_t unread;              /* messages on their way to it, or unread */
    list_t wire;                /* those on their way, in order */
    int64_t last_us;            /* when the last of these arrives */
    int64_t pump_us;            /* when the wire is next looked at; NEVER */
    uint64_t number;            /* of the connection */
    void *owner;                /* the shell's */
} end_t;

typedef struct {
    list_node_t node;
    end_t *to;
    int64_t sent_us, arrives_us;
    int count;
    size_t *sizes;
    uint8_t *bytes;
} packet_t;

typedef struct {
    transport_event_kind_t kind;
    end_t *end;
    char address [WEFT_ENDPOINT_MAX + 1];
} network_event_t;

/*  This run's weather. */
typedef struct {
    int64_t delay_us, jitter_us;    /* of a message */
    unsigned spike_per_mille;       /* messages that take up to spike_us more */
    int64_t spike_us;
    unsigned echo_per_mille;        /* replies of workers that come again later */
    size_t room;                    /* messages between two ends */
} weather_t;
extern weather_t weather;

void network_begin (void);
void network_end (void); /* checks that nobody holds anything */

void port_open (port_t *self, process_t *process);
void port_close (port_t *self, bool politely); /* with all its connections */
void port_listen (port_t *self, const char *address);

/*  The next message: emptied into `message` (initialised, empty). NULL: none; else whose it is. `transit_us`: how long
 *  it took. */
end_t *port_receive (port_t *self, message_t *message, int64_t *transit_us);
bool port_event (port_t *self, network_event_t *event);
static inline bool port_has_news (const port_t *self)
{
    return !list_empty (&self->inbox) || !list_empty (&self->events);
}

end_t *end_connect (port_t *port, const char *address, void *owner);

/*  SENT: the message is empty. FULL: it stays. */
typedef enum { END_SENT, END_FULL, END_GONE } end_sent_t;
end_sent_t end_send (end_t *self, message_t *message);

/*  The owner gives its end up: what was sent still arrives (politely), or may not; what had come is dropped. */
void end_close (end_t *self, bool politely);

end_t *end_peer (const end_t *self);
const char *end_peer_host (const end_t *self);

/*  Faults. Cut: a random connection between living processes is lost; `half` tells one side late. */
bool network_cut_one (bool half);
void network_block (int from, int to);
void network_unblock (int from, int to);
bool network_blocked (int from, int to);
void network_freeze (process_t *process);
void network_thaw (process_t *process);

/*  How many connections both of whose ends are open there are. */
size_t network_open_count (void);

/*  Has any send been FULL so far? Then what waits for its turn has waited for no delay of the network's. */
bool network_was_full (void);

#endif
