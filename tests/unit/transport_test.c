/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "clock.h"
#include "transport.h"
#include <errno.h>
#include <poll.h>

/*  A bound ROUTER and a DEALER that is connected to it. */
typedef struct {
    void *context, *router, *dealer, *router_monitor, *dealer_monitor;
    char endpoint [WEFT_ENDPOINT_MAX + 1];
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

static void pair_close (pair_t *self)
{
    if (self->dealer) {
        transport_monitor_close (self->dealer, &self->dealer_monitor);
        zmq_close (self->dealer);
    }
    if (self->router) {
        transport_monitor_close (self->router, &self->router_monitor);
        zmq_close (self->router);
    }
    transport_context_release ();
}

static int receive (void *socket, zmq_msg_t *id, message_t *message, const char **fault)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    CHECK (zmq_poll (&item, 1, 5000) == 1);
    return transport_receive (socket, id, message, fault);
}

TEST (a_message_keeps_its_frames_and_names_its_connection)
{
    pair_t pair;
    message_t message;
    zmq_msg_t id;
    const char *fault;
    transport_event_t event;
    pair_open (&pair);
    message_init (&message);
    zmq_msg_init (&id);
    CHECK_INT (transport_receive (pair.router, &id, &message, &fault), 0);
    message_add_bytes (&message, "records", 7);
    message_add_bytes (&message, "body", 4);
    CHECK_INT (transport_send (pair.dealer, NULL, 0, &message), 0);
    CHECK_INT (message.count, 0);

    CHECK_INT (receive (pair.router, &id, &message, &fault), 1);
    CHECK_INT (message.count, 2);
    CHECK_MEM (zmq_msg_data (&message.frames [1]), zmq_msg_size (&message.frames [1]), "body", 4);
    CHECK_STR (transport_peer_address (&message.frames [0]), "127.0.0.1");
    const int fd = transport_fd (&message.frames [0]);
    CHECK_INT (transport_send (pair.router, zmq_msg_data (&id), zmq_msg_size (&id), &message), 0);
    CHECK_INT (receive (pair.dealer, NULL, &message, &fault), 1);
    message_clear (&message);

    /* the close names the same descriptor, and the peer is unreachable then */
    transport_monitor_close (pair.dealer, &pair.dealer_monitor);
    zmq_close (pair.dealer);
    pair.dealer = NULL;
    wait_event (pair.router_monitor, TRANSPORT_LOST, &event);
    CHECK_INT (event.fd, fd);
    const int64_t end_us = clock_now_us () + 5000000;
    int rc;
    do { /* the pipe goes a moment after the connection, and only once it was read to its end */
        message_clear (&message);
        CHECK_INT (transport_receive (pair.router, &id, &message, &fault), 0);
        message_add_bytes (&message, "late", 4);
        rc = transport_send (pair.router, zmq_msg_data (&id), zmq_msg_size (&id), &message);
    } while ((rc == 0 || errno == EAGAIN) && clock_now_us () < end_us);
    CHECK_INT (rc, -1);
    CHECK_INT (errno, EHOSTUNREACH);
    CHECK_INT (message.count, 1);
    message_clear (&message);
    zmq_msg_close (&id);
    pair_close (&pair);
}

/*  The last words of a peer that stops: read late, after libzmq has seen the end of the connection. */
TEST (what_came_before_the_end_of_a_connection_can_be_read_after_it)
{
    const int linger_ms = 1000;
    pair_t pair;
    message_t message;
    zmq_msg_t id;
    const char *fault;
    transport_event_t event;
    pair_open (&pair);
    message_init (&message);
    zmq_msg_init (&id);
    CHECK (zmq_send (pair.dealer, "hello", 5, 0) == 5);
    CHECK_INT (receive (pair.router, &id, &message, &fault), 1);
    CHECK_INT (transport_receive (pair.dealer, NULL, &(message_t){0}, &fault), 0); /* read to its end */
    CHECK_INT (transport_send (pair.router, zmq_msg_data (&id), zmq_msg_size (&id), &message), 0);
    zmq_setsockopt (pair.router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    transport_monitor_close (pair.router, &pair.router_monitor);
    zmq_close (pair.router);
    pair.router = NULL;
    wait_event (pair.dealer_monitor, TRANSPORT_LOST, &event);
    poll (NULL, 0, 20); /* the dealer is told a moment after the monitor, and to ask it would be to read */
    CHECK_INT (transport_receive (pair.dealer, NULL, &message, &fault), 1);
    CHECK_MEM (zmq_msg_data (&message.frames [0]), zmq_msg_size (&message.frames [0]), "hello", 5);
    message_clear (&message);
    zmq_msg_close (&id);
    pair_close (&pair);
}

TEST (too_many_frames_are_dropped_whole)
{
    pair_t pair;
    message_t message;
    zmq_msg_t id;
    const char *fault = "";
    pair_open (&pair);
    message_init (&message);
    zmq_msg_init (&id);
    for (int i = 0; i < 5000; i++)
        CHECK (zmq_send (pair.dealer, "x", 1, i < 4999 ? ZMQ_SNDMORE : 0) == 1);
    CHECK (zmq_send (pair.dealer, "next", 4, 0) == 4);
    CHECK_INT (receive (pair.router, &id, &message, &fault), -1);
    CHECK_STR (fault, "more than 64 frames");
    CHECK_INT (message.count, 0);
    CHECK_INT (receive (pair.router, &id, &message, &fault), 1);
    CHECK_MEM (zmq_msg_data (&message.frames [0]), zmq_msg_size (&message.frames [0]), "next", 4);
    message_clear (&message);
    zmq_msg_close (&id);
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
    transport_monitor_close (dealer, &monitor);
    zmq_close (dealer);
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
