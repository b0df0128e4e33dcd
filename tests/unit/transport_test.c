/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "clock.h"
#include "transport.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

/*  A bound ROUTER and a DEALER that is connected to it; what came last: from whom, or why not. */
typedef struct {
    void *context, *router, *dealer, *router_monitor, *dealer_monitor;
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    message_t message;
    zmq_msg_t id;
    const char *fault;
} pair_t;

static void wait_event (void *monitor, transport_event_kind_t kind, transport_event_t *event)
{
    zmq_pollitem_t item = {monitor, 0, ZMQ_POLLIN, 0};
    for (;;) {
        while (transport_monitor_next (monitor, event))
            if (event->kind == kind)
                return;
        CHECK (zmq_poll (&item, 1, 5000) == 1);
    }
}

static void pair_open (pair_t *self)
{
    size_t size = sizeof self->endpoint;
    transport_event_t event;
    message_init (&self->message);
    zmq_msg_init (&self->id);
    self->fault = "";
    self->context = transport_context_acquire ();
    self->router = transport_socket (self->context, ZMQ_ROUTER, 0);
    self->router_monitor = transport_monitor_open (self->context, self->router);
    CHECK (zmq_bind (self->router, "tcp://127.0.0.1:*") == 0);
    CHECK (zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, self->endpoint, &size) == 0);
    self->dealer = transport_socket (self->context, ZMQ_DEALER, 0);
    self->dealer_monitor = transport_monitor_open (self->context, self->dealer);
    CHECK (zmq_connect (self->dealer, self->endpoint) == 0);
    wait_event (self->dealer_monitor, TRANSPORT_READY, &event);
}

static void close_one (void **socket, void **monitor)
{
    if (!*socket)
        return;
    transport_monitor_close (*socket, monitor);
    zmq_close (*socket);
    *socket = NULL;
}

static void pair_close (pair_t *self)
{
    message_clear (&self->message);
    zmq_msg_close (&self->id);
    close_one (&self->dealer, &self->dealer_monitor);
    close_one (&self->router, &self->router_monitor);
    transport_context_release ();
}

/*  What is there already: 1, 0 or -1, as transport_receive. */
static int receive_now (pair_t *self, void *socket)
{
    return transport_receive (socket, socket == self->router ? &self->id : NULL, &self->message, &self->fault);
}

static int receive (pair_t *self, void *socket)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    CHECK (zmq_poll (&item, 1, 5000) == 1);
    return receive_now (self, socket);
}

/*  Sends the message to the peer that was heard last. */
static int answer (pair_t *self)
{
    return transport_send (self->router, zmq_msg_data (&self->id), zmq_msg_size (&self->id), &self->message);
}

static void check_frame (pair_t *self, int frame, const char *text)
{
    zmq_msg_t *got = &self->message.frames [frame];
    CHECK_MEM (zmq_msg_data (got), zmq_msg_size (got), text, strlen (text));
}

TEST (a_message_keeps_its_frames_and_names_its_connection)
{
    pair_t pair;
    transport_event_t event;
    pair_open (&pair);
    CHECK_INT (receive_now (&pair, pair.router), 0);
    message_add_bytes (&pair.message, "records", 7);
    message_add_bytes (&pair.message, "body", 4);
    CHECK_INT (transport_send (pair.dealer, NULL, 0, &pair.message), 0);
    CHECK_INT (pair.message.count, 0);

    CHECK_INT (receive (&pair, pair.router), 1);
    CHECK_INT (pair.message.count, 2);
    check_frame (&pair, 1, "body");
    CHECK_STR (transport_peer_address (&pair.message.frames [0]), "127.0.0.1");
    const int fd = transport_fd (&pair.message.frames [0]);
    CHECK_INT (answer (&pair), 0);
    CHECK_INT (receive (&pair, pair.dealer), 1);
    message_clear (&pair.message);

    /* the close names the same descriptor, and the peer is unreachable then */
    close_one (&pair.dealer, &pair.dealer_monitor);
    wait_event (pair.router_monitor, TRANSPORT_LOST, &event);
    CHECK_INT (event.fd, fd);
    const int64_t end_us = clock_now_us () + 5000000;
    int rc;
    do { /* the pipe goes a moment after the connection, and only once it was read to its end */
        message_clear (&pair.message);
        CHECK_INT (receive_now (&pair, pair.router), 0);
        message_add_bytes (&pair.message, "late", 4);
        rc = answer (&pair);
    } while ((rc == 0 || errno == EAGAIN) && clock_now_us () < end_us);
    CHECK_INT (rc, -1);
    CHECK_INT (errno, EHOSTUNREACH);
    CHECK_INT (pair.message.count, 1);
    pair_close (&pair);
}

/*  The last words of a peer that stops: read late, after libzmq has seen the end of the connection. */
TEST (what_came_before_the_end_of_a_connection_can_be_read_after_it)
{
    const int linger_ms = 1000;
    pair_t pair;
    transport_event_t event;
    pair_open (&pair);
    CHECK (zmq_send (pair.dealer, "hello", 5, 0) == 5);
    CHECK_INT (receive_now (&pair, pair.dealer), 0); /* read to its end */
    CHECK_INT (receive (&pair, pair.router), 1);
    CHECK_INT (answer (&pair), 0);
    zmq_setsockopt (pair.router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    close_one (&pair.router, &pair.router_monitor);
    wait_event (pair.dealer_monitor, TRANSPORT_LOST, &event);
    poll (NULL, 0, 20); /* the dealer is told a moment after the monitor, and to ask it would be to read */
    CHECK_INT (receive_now (&pair, pair.dealer), 1);
    check_frame (&pair, 0, "hello");
    pair_close (&pair);
}

TEST (too_many_frames_are_dropped_whole)
{
    pair_t pair;
    pair_open (&pair);
    for (int i = 0; i < 5000; i++)
        CHECK (zmq_send (pair.dealer, "x", 1, i < 4999 ? ZMQ_SNDMORE : 0) == 1);
    CHECK (zmq_send (pair.dealer, "next", 4, 0) == 4);
    CHECK_INT (receive (&pair, pair.router), -1);
    CHECK_STR (pair.fault, "more than 64 frames");
    CHECK_INT (pair.message.count, 0);
    CHECK_INT (receive (&pair, pair.router), 1);
    check_frame (&pair, 0, "next");
    pair_close (&pair);
}

TEST (a_refused_connection_is_an_event)
{
    transport_event_t event;
    void *context = transport_context_acquire ();
    void *dealer = transport_socket (context, ZMQ_DEALER, 0);
    void *monitor = transport_monitor_open (context, dealer);
    CHECK (zmq_connect (dealer, "ipc:///nonexistent/weft") == 0);
    wait_event (monitor, TRANSPORT_FAILED, &event);
    CHECK_STR (event.endpoint, "ipc:///nonexistent/weft");
    close_one (&dealer, &monitor);
    transport_context_release ();
}

TEST (endpoints_are_checked_before_libzmq_sees_them)
{
    static const struct {
        const char *endpoint;
        bool connect, bind;
    } cases [] = {
        {"tcp://127.0.0.1:5555", true, true}, {"tcp://broker.example:1", true, true},
        {"tcp://[::1]:65535", true, true},    {"tcp://*:5555", false, true},
        {"tcp://127.0.0.1:*", false, true},   {"tcp://127.0.0.1:0", false, true},
        {"tcp://127.0.0.1", false, false},    {"tcp://:5555", false, false},
        {"tcp://a:65536", false, false},      {"tcp://a:99999999999", false, false},
        {"tcp://a:12x", false, false},        {"tcp://a b:12", false, false},
        {"tcp://a;tcp://b:1", false, false},  {"udp://a:1", false, false},
        {"ipc://", false, false},             {"ipc:///tmp/x", true, true},
        {"inproc://", false, false},          {"inproc://x", true, true},
        {"ipc:///tmp/a\nb", false, false},    {"tcp://a\033:1", false, false},
        {"", false, false},                   {"5555", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *fault = NULL;
        const bool connect = transport_endpoint_valid (cases [i].endpoint, false, &fault);
        const bool bind = transport_endpoint_valid (cases [i].endpoint, true, &fault);
        if (connect != cases [i].connect || bind != cases [i].bind)
            check_failed (__FILE__, __LINE__, cases [i].endpoint);
    }
}

TEST (a_wake_is_seen_and_cleared)
{
    struct pollfd wake = {transport_wake_open (), POLLIN, 0};
    CHECK_INT (poll (&wake, 1, 0), 0);
    transport_wake (wake.fd);
    transport_wake (wake.fd);
    CHECK_INT (poll (&wake, 1, 0), 1);
    transport_wake_clear (wake.fd);
    CHECK_INT (poll (&wake, 1, 0), 0);
}

static int option_of (void *socket, int option)
{
    int value = -2;
    size_t size = sizeof value;
    CHECK (zmq_getsockopt (socket, option, &value, &size) == 0);
    return value;
}

TEST (connections_are_probed_by_libzmq_or_by_tcp)
{
    void *context = transport_context_acquire (), *socket = transport_socket (context, ZMQ_ROUTER, 0);
    CHECK_INT (option_of (socket, ZMQ_HEARTBEAT_IVL), WEFT_TRANSPORT_BEAT_MS);
    transport_set_beat (socket, 2000);
    CHECK_INT (option_of (socket, ZMQ_HEARTBEAT_IVL), 2000);
    CHECK_INT (option_of (socket, ZMQ_HEARTBEAT_TIMEOUT), 6000);
    CHECK_INT (option_of (socket, ZMQ_TCP_KEEPALIVE), -1);
    transport_set_beat (socket, 0);
    CHECK_INT (option_of (socket, ZMQ_HEARTBEAT_IVL), 0);
    CHECK_INT (option_of (socket, ZMQ_TCP_KEEPALIVE), 1);
    zmq_close (socket);
    transport_context_release ();
}
