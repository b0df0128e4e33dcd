/* SPDX-License-Identifier: MPL-2.0
 *
 *  transport.h - the few things all shells do with ZeroMQ sockets. */

#ifndef TRANSPORT_H_INCLUDED
#define TRANSPORT_H_INCLUDED

#include "message.h"

/*  The process's one ZeroMQ context, shared so that inproc reaches everyone in the process. Made by the
 *  first user, ended after the last. NULL when out of memory or descriptors. */
void *transport_context_acquire (void);
void transport_context_release (void);

/*  A socket with the house's settings: heartbeats, handshake limit, frame limit, no linger, ROUTER_MANDATORY. `frame_max` 0: WEFT_FRAME_MAX.
 *  Connecting sockets do not reconnect by themselves. NULL: out of sockets or memory. */
void *transport_socket (void *context, int type, size_t frame_max);

/*  How often its connections are probed, before it is bound or connected; one that does not answer for three times as long is
 *  lost. libzmq looks at every connection of the socket at each answer, so for thousands of them 0 leaves it to TCP's keep-alive,
 *  which notices within some four seconds that a host or the network is gone, but not that a process stands still. */
void transport_set_beat (void *socket, int64_t beat_ms);

/*  Receives one message without waiting. `routing_id` non-NULL (initialised): a ROUTER's first frame goes there. `message` must be
 *  empty. 1: got one; 0: nothing there; -1: a message was dropped, `*fault` says why (too many frames, no frames). */
int transport_receive (void *socket, zmq_msg_t *routing_id, message_t *message, const char **fault);

/*  Sends without waiting and empties the message. `routing_id` of a ROUTER's peer or NULL. 0; or -1 with errno: EAGAIN (peer does not
 *  read), EHOSTUNREACH (peer is gone), others; the message stays, whole, for another try. */
int transport_send (void *socket, const void *routing_id, size_t routing_id_size, message_t *message);

/*  What a socket's connections do. */
typedef enum {
    TRANSPORT_ACCEPTED = 1, /* bound side, with fd */
    TRANSPORT_READY,        /* connection and handshake are done: messages flow */
    TRANSPORT_LOST,         /* was ready or accepted, and closed: fd, endpoint */
    TRANSPORT_FAILED,       /* could not connect: endpoint */
    TRANSPORT_REFUSED       /* the other side does not speak our protocol or key: endpoint, status */
} transport_event_kind_t;
typedef struct {
    transport_event_kind_t kind;
    int fd;                         /* -1 if unknown */
    weft_status_t status;           /* REFUSED: INVALID or UNAUTHENTICATED */
    char endpoint [WEFT_ENDPOINT_MAX + 1];
} transport_event_t;

/*  Opens a monitor of `socket`: a socket to poll and to read events from. NULL on failure. Close it with
 *  transport_monitor_close before the watched socket is closed. */
void *transport_monitor_open (void *context, void *socket);
bool transport_monitor_next (void *monitor, transport_event_t *event);
void transport_monitor_close (void *socket, void **monitor);

/*  The descriptor that can be read when the socket has news (told once: receive until there is nothing); -1 if it has none. */
int transport_descriptor (void *socket);

/*  Which connection a message came over (its descriptor) and from which address; -1 / "" if unknown (inproc). */
int transport_fd (zmq_msg_t *frame);
const char *transport_peer_address (zmq_msg_t *frame);

/*  Closes a connection of a bound socket from our side: libzmq has no call for one peer of many, but sees the end of its stream.
 *  Read the monitor's events first, or the descriptor may be another's by now. Nothing for -1. */
void transport_hang_up (int fd);

/*  Has the other side closed this connection? The system knows before libzmq has read what came over it before. False for -1. */
bool transport_has_ended (int fd);

/*  Names bound on inproc in this process, so that nobody connects to one that is not there. */
void transport_inproc_add (const char *endpoint);
void transport_inproc_remove (const char *endpoint);
bool transport_inproc_has (const char *endpoint);

/*  True if `endpoint` is one of tcp://host:port, ipc://path or inproc://name; else `*fault` says what is wrong (static). `bind`
 *  also allows the host and port *. */
bool transport_endpoint_valid (const char *endpoint, bool bind, const char **fault);

/*  An eventfd, for waking a poll from another thread. */
int transport_wake_open (void);
void transport_wake (int fd);
void transport_wake_clear (int fd);

#endif
