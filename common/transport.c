/* SPDX-License-Identifier: MPL-2.0 */

#include "transport.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKETS_MAX 16384
#define BACKLOG 4096

/*  Until the next attempt to connect: shells give up a lost connection long before. With -1, libzmq gives it up by itself,
 *  and what had come on it and was not read yet is gone. */
#define NEVER_MS 86400000

/*  The shared context. */

static pthread_mutex_t context_lock = PTHREAD_MUTEX_INITIALIZER;
static void *context;
static unsigned context_users;

void *transport_context_acquire (void)
{
    pthread_mutex_lock (&context_lock);
    if (!context && (context = zmq_ctx_new ()))
        zmq_ctx_set (context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    if (context)
        context_users++;
    void *shared = context;
    pthread_mutex_unlock (&context_lock);
    return shared;
}

void transport_context_release (void)
{
    void *ended = NULL;
    pthread_mutex_lock (&context_lock);
    if (--context_users == 0) {
        ended = context;
        context = NULL;
    }
    pthread_mutex_unlock (&context_lock);
    while (ended && zmq_ctx_term (ended) < 0 && errno == EINTR) {
    }
}

/*  Sockets. */

static void set_int (void *socket, int option, int value)
{
    /* fails only for options that the socket's type does not have */
    (void) zmq_setsockopt (socket, option, &value, sizeof value);
}

void *transport_socket (void *shared, int type, size_t frame_max)
{
    const int64_t message_max = frame_max ? (int64_t) frame_max : WEFT_FRAME_MAX;
    void *socket = zmq_socket (shared, type);
    if (!socket)
        return NULL;
    set_int (socket, ZMQ_LINGER, 0);
    set_int (socket, ZMQ_HEARTBEAT_IVL, WEFT_TRANSPORT_BEAT_MS);
    set_int (socket, ZMQ_HEARTBEAT_TIMEOUT, WEFT_TRANSPORT_TIMEOUT_MS);
    set_int (socket, ZMQ_TCP_MAXRT, WEFT_TRANSPORT_STUCK_MS); /* while there is no room for a PING, nothing else would notice */
    set_int (socket, ZMQ_HANDSHAKE_IVL, WEFT_HANDSHAKE_MS);
    set_int (socket, ZMQ_RECONNECT_IVL, NEVER_MS);
    set_int (socket, ZMQ_BACKLOG, BACKLOG);
    if (type == ZMQ_ROUTER)
        set_int (socket, ZMQ_ROUTER_MANDATORY, 1);
    if (zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max) < 0) {
        zmq_close (socket);
        return NULL;
    }
    return socket;
}

void transport_set_beat (void *socket, int64_t beat_ms)
{
    set_int (socket, ZMQ_HEARTBEAT_IVL, (int) beat_ms);
    const int timeout_ms = (int) beat_ms * WEFT_TRANSPORT_TIMEOUT_MS / WEFT_TRANSPORT_BEAT_MS;
    set_int (socket, ZMQ_HEARTBEAT_TIMEOUT, timeout_ms);
    if (timeout_ms > WEFT_TRANSPORT_STUCK_MS)
        set_int (socket, ZMQ_TCP_MAXRT, timeout_ms);
    if (beat_ms > 0)
        return;
    set_int (socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int (socket, ZMQ_TCP_KEEPALIVE_IDLE, 1); /* seconds */
    set_int (socket, ZMQ_TCP_KEEPALIVE_INTVL, 1);
    set_int (socket, ZMQ_TCP_MAXRT, WEFT_TRANSPORT_TIMEOUT_MS + WEFT_TRANSPORT_BEAT_MS); /* what its probes have time for, too */
}

/*  Reads and drops the rest of a message that is not wanted. */
static void drop_rest (void *socket)
{
    zmq_msg_t frame;
    int more = 1;
    while (more) {
        zmq_msg_init (&frame);
        more = zmq_msg_recv (&frame, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&frame);
        zmq_msg_close (&frame);
    }
}

int transport_receive (void *socket, zmq_msg_t *routing_id, message_t *message, const char **fault)
{
    bool more = true;
    if (routing_id) {
        if (zmq_msg_recv (routing_id, socket, ZMQ_DONTWAIT) < 0)
            return 0;
        more = zmq_msg_more (routing_id);
    }
    while (more) {
        if (message->count == WEFT_MESSAGE_FRAMES_MAX) {
            drop_rest (socket);
            message_clear (message);
            *fault = "more than 64 frames";
            return -1;
        }
        zmq_msg_t *frame = &message->frames [message->count];
        zmq_msg_init (frame);
        if (zmq_msg_recv (frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (frame);
            break; /* of a message only its first frame can be missing: nothing is there */
        }
        message->count++;
        more = zmq_msg_more (frame);
    }
    if (message->count == 0 && routing_id) {
        *fault = "a message without frames";
        return -1;
    }
    return message->count > 0;
}

int transport_send (void *socket, const void *routing_id, size_t routing_id_size, message_t *message)
{
    if (routing_id && zmq_send (socket, routing_id, routing_id_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return -1;
    for (int i = 0; i < message->count; i++) {
        const int more = i + 1 < message->count ? ZMQ_SNDMORE : 0;
        if (zmq_msg_send (&message->frames [i], socket, ZMQ_DONTWAIT | more) >= 0)
            continue;
        if (i == 0 && !routing_id)
            return -1;
        break; /* the peer went away within the message: libzmq drops the whole of it */
    }
    message_clear (message);
    return 0;
}

/*  Monitors. */

#define MONITORED                                                                                            \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED           \
     | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL                            \
     | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

void *transport_monitor_open (void *shared, void *socket)
{
    static atomic_uint number;
    char name [64];
    snprintf (name, sizeof name, "inproc://weft-monitor-%u", atomic_fetch_add (&number, 1));
    if (zmq_socket_monitor (socket, name, MONITORED) < 0)
        return NULL;

    void *monitor = zmq_socket (shared, ZMQ_PAIR);
    if (monitor) {
        set_int (monitor, ZMQ_LINGER, 0);
        set_int (monitor, ZMQ_RCVHWM, 0); /* an event lost is a peer forgotten */
    }
    if (monitor && zmq_connect (monitor, name) == 0)
        return monitor;
    zmq_socket_monitor (socket, NULL, 0);
    if (monitor)
        zmq_close (monitor);
    return NULL;
}

void transport_monitor_close (void *socket, void **monitor)
{
    if (!*monitor)
        return;
    zmq_socket_monitor (socket, NULL, 0);
    zmq_close (*monitor);
    *monitor = NULL;
}

/*  The kind of a libzmq event; 0 for those that say nothing. */
static int event_kind (unsigned code)
{
    switch (code) {
        case ZMQ_EVENT_ACCEPTED:
            return TRANSPORT_ACCEPTED;
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            return TRANSPORT_READY;
        case ZMQ_EVENT_DISCONNECTED:
            return TRANSPORT_LOST;
        case ZMQ_EVENT_CLOSED:
            return TRANSPORT_FAILED;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            return TRANSPORT_REFUSED;
        default:
            return 0;
    }
}

/*  Reads one event of the monitor's two frames. 1: of interest; 0: none there; -1: of none. */
static int read_event (void *monitor, transport_event_t *event)
{
    uint8_t head [6];
    uint16_t code;
    uint32_t value;
    if (zmq_recv (monitor, head, sizeof head, ZMQ_DONTWAIT) < (int) sizeof head)
        return 0;
    memcpy (&code, head, sizeof code);
    memcpy (&value, head + 2, sizeof value);

    const int size = zmq_recv (monitor, event->endpoint, sizeof event->endpoint - 1, ZMQ_DONTWAIT);
    const size_t kept = size < 0 ? 0 : (size_t) size;
    event->endpoint [kept < sizeof event->endpoint ? kept : sizeof event->endpoint - 1] = '\0';
    const int kind = event_kind (code);
    event->kind = (transport_event_kind_t) kind;
    event->fd = kind == TRANSPORT_ACCEPTED || kind == TRANSPORT_LOST ? (int) value : -1;
    event->status = code == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ? WEFT_UNAUTHENTICATED : WEFT_INVALID;
    return kind ? 1 : -1;
}

bool transport_monitor_next (void *monitor, transport_event_t *event)
{
    int got;
    while ((got = read_event (monitor, event)) < 0) {
    }
    return got == 1;
}

int transport_descriptor (void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt (socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

int transport_fd (zmq_msg_t *frame)
{
    return zmq_msg_get (frame, ZMQ_SRCFD);
}

const char *transport_peer_address (zmq_msg_t *frame)
{
    const char *address = zmq_msg_gets (frame, "Peer-Address");
    return address ? address : "";
}

void transport_hang_up (int fd)
{
    if (fd >= 0)
        shutdown (fd, SHUT_RDWR);
}

bool transport_has_ended (int fd)
{
    struct pollfd connection = {.fd = fd, .events = POLLRDHUP};
    return fd >= 0 && poll (&connection, 1, 0) == 1;
}

/*  Names bound on inproc. */

#define INPROC_MAX 256

static pthread_mutex_t inproc_lock = PTHREAD_MUTEX_INITIALIZER;
static char *inproc_names [INPROC_MAX]; /* beyond, a name is just not found: others use tcp or ipc */

static char **inproc_find (const char *endpoint)
{
    for (size_t i = 0; i < INPROC_MAX; i++)
        if (endpoint ? inproc_names [i] && strcmp (inproc_names [i], endpoint) == 0 : !inproc_names [i])
            return &inproc_names [i];
    return NULL;
}

void transport_inproc_add (const char *endpoint)
{
    pthread_mutex_lock (&inproc_lock);
    char **vacant = inproc_find (NULL);
    if (vacant)
        *vacant = strdup (endpoint);
    pthread_mutex_unlock (&inproc_lock);
}

void transport_inproc_remove (const char *endpoint)
{
    pthread_mutex_lock (&inproc_lock);
    char **found = inproc_find (endpoint);
    if (found) {
        free (*found);
        *found = NULL;
    }
    pthread_mutex_unlock (&inproc_lock);
}

bool transport_inproc_has (const char *endpoint)
{
    pthread_mutex_lock (&inproc_lock);
    const bool found = inproc_find (endpoint) != NULL;
    pthread_mutex_unlock (&inproc_lock);
    return found;
}

/*  Endpoints. */

static bool tcp_valid (const char *address, bool bind, const char **fault)
{
    const char *colon = strrchr (address, ':');
    const size_t host = colon ? (size_t) (colon - address) : 0;
    static const char allowed [] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    const bool v6 = host > 2 && address [0] == '[' && address [host - 1] == ']';

    *fault = "expected tcp://host:port";
    if (!colon || host == 0)
        return false;
    const bool any_host = bind && host == 1 && address [0] == '*';
    if (!any_host && (v6 ? strspn (address + 1, "0123456789abcdefABCDEF:.") != host - 2 : strspn (address, allowed) != host))
        return false;

    const char *port = colon + 1;
    *fault = bind ? "the port must be 1 to 65535, or * for any" : "the port must be 1 to 65535";
    if (bind && (strcmp (port, "*") == 0 || strcmp (port, "0") == 0))
        return true;
    const size_t digits = strspn (port, "0123456789");
    const long number = digits > 0 && digits <= 5 && port [digits] == '\0' ? strtol (port, NULL, 10) : 0;
    return number >= 1 && number <= 65535;
}

bool transport_endpoint_valid (const char *endpoint, bool bind, const char **fault)
{
    const size_t path_max = sizeof ((struct sockaddr_un *) 0)->sun_path - 1;
    if (strlen (endpoint) > WEFT_ENDPOINT_MAX) {
        *fault = "longer than 255 bytes";
        return false;
    }
    for (const char *at = endpoint; *at; at++)
        if ((unsigned char) *at < ' ' || *at == 127) {
            *fault = "a control character in it";
            return false;
        }
    if (strncmp (endpoint, "tcp://", 6) == 0)
        return tcp_valid (endpoint + 6, bind, fault);
    if (strncmp (endpoint, "ipc://", 6) == 0) {
        *fault = "expected ipc://path with a path of 1 to 107 bytes";
        return strlen (endpoint + 6) >= 1 && strlen (endpoint + 6) <= path_max;
    }
    *fault = "expected inproc://name";
    if (strncmp (endpoint, "inproc://", 9) == 0)
        return endpoint [9] != '\0';
    *fault = "expected tcp://host:port, ipc://path or inproc://name";
    return false;
}

/*  Waking. */

int transport_wake_open (void)
{
    return eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void transport_wake (int fd)
{
    const uint64_t one = 1;
    /* fails only when the counter is full, and then the reader is awake */
    if (write (fd, &one, sizeof one) < 0) {
    }
}

void transport_wake_clear (int fd)
{
    uint64_t count;
    if (read (fd, &count, sizeof count) < 0) {
    }
}
