/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_probe_test.c - a probe against a peer on a thread that answers as each test wants. */

#include "check.h"
#include "cli/probe.h"
#include "transport.h"
#include <pthread.h>
#include <stdio.h>

#define PATIENCE_MS 5000

typedef enum { WELCOMES, REFUSES, IS_SILENT, TALKS_NONSENSE } manners_t;

typedef struct {
    manners_t manners;
    weft_status_t status; /* of its replies */
    size_t reply_size;    /* of bytes 'x' */
    void *context, *router, *stop;
    char endpoint [WEFT_ENDPOINT_MAX + 1], stop_endpoint [64];
    pthread_t thread;
    char method [64], worker [64]; /* asked for last; read after peer_stop */
} peer_t;

static void answer (peer_t *self, const wire_record_t *record, buffer_t *out)
{
    static uint8_t body [WEFT_BODY_INLINE_MAX];
    wire_options_t options;
    memset (body, 'x', sizeof body);
    if (record->kind == WIRE_HELLO && self->manners == WELCOMES)
        wire_write_welcome (out, text_of ("msgpack"), WEFT_BODY_MAX, 100, "server-1", NULL);
    else if (record->kind == WIRE_HELLO && self->manners == REFUSES)
        wire_write_refused (out, WEFT_PERMISSION_DENIED, "not you");
    else if (record->kind == WIRE_HELLO && self->manners == TALKS_NONSENSE)
        buffer_append (out, "hello?", 6);
    else if (record->kind == WIRE_REQUEST) {
        CHECK (wire_read_options (record->extra, &options));
        snprintf (self->method, sizeof self->method, "%.*s", TEXT_ARG (record->method));
        snprintf (self->worker, sizeof self->worker, "%.*s", TEXT_ARG (options.worker));
        wire_info_t info = wire_info_none ();
        info.text = text_of (self->status == WEFT_OK ? "" : "because");
        wire_write_reply (out, record->id, self->status, body, self->reply_size, false, &info);
    }
}

static void serve (peer_t *self)
{
    zmq_msg_t id;
    message_t message;
    const char *fault;
    buffer_t out;
    zmq_msg_init (&id);
    message_init (&message);
    buffer_init (&out, WEFT_BATCH_MAX);
    if (transport_receive (self->router, &id, &message, &fault) == 1) {
        message_cursor_t cursor = message_cursor (&message);
        wire_record_t record;
        zmq_msg_t *attachment;
        while (message_next (&cursor, &record, &attachment, &fault) == 1)
            answer (self, &record, &out);
        message_clear (&message);
        if (out.size > 0) {
            CHECK (message_add_bytes (&message, out.data, out.size));
            CHECK_INT (transport_send (self->router, zmq_msg_data (&id), zmq_msg_size (&id), &message), 0);
        }
    }
    buffer_fini (&out);
    message_fini (&message);
    zmq_msg_close (&id);
}

static void *run (void *arg)
{
    peer_t *const self = arg;
    zmq_pollitem_t items [] = {{self->router, 0, ZMQ_POLLIN, 0}, {self->stop, 0, ZMQ_POLLIN, 0}};
    while (items [1].revents == 0) {
        zmq_poll (items, 2, -1);
        if (items [0].revents)
            serve (self);
    }
    zmq_close (self->router);
    return NULL;
}

static void peer_start (peer_t *self)
{
    size_t size = sizeof self->endpoint;
    self->context = transport_context_acquire ();
    self->router = transport_socket (self->context, ZMQ_ROUTER, 0);
    self->stop = zmq_socket (self->context, ZMQ_PAIR);
    snprintf (self->stop_endpoint, sizeof self->stop_endpoint, "inproc://stop-%p", (void *) self);
    CHECK (self->router && zmq_bind (self->router, "tcp://127.0.0.1:*") == 0);
    CHECK (zmq_bind (self->stop, self->stop_endpoint) == 0);
    CHECK (zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, self->endpoint, &size) == 0);
    CHECK (pthread_create (&self->thread, NULL, run, self) == 0);
}

static void peer_stop (peer_t *self)
{
    void *const stop = zmq_socket (self->context, ZMQ_PAIR);
    CHECK (zmq_connect (stop, self->stop_endpoint) == 0 && zmq_send (stop, "", 0, 0) == 0);
    CHECK (pthread_join (self->thread, NULL) == 0);
    zmq_close (stop);
    zmq_close (self->stop);
    transport_context_release ();
}

TEST (hello_learns_who_answers)
{
    peer_t peer = {.manners = WELCOMES};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_OK);
    CHECK_STR (probe.server, "server-1");
    CHECK_INT (probe.version, 1);
    probe_close (&probe);
    peer_stop (&peer);
}

TEST (a_call_brings_the_reply_back)
{
    peer_t peer = {.manners = WELCOMES, .reply_size = 3};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_OK);
    CHECK_INT (probe_call (&probe, "A.B", "worker-7", "", 0, PATIENCE_MS), WEFT_OK);
    CHECK_MEM (probe.reply, probe.reply_size, "xxx", 3);
    CHECK (probe.round_trip_us > 0);
    CHECK_INT (probe_call (&probe, "A.C", "worker-7", "", 0, PATIENCE_MS), WEFT_OK);
    probe_close (&probe);
    peer_stop (&peer);
    CHECK_STR (peer.method, "A.C");
    CHECK_STR (peer.worker, "worker-7");
}

TEST (a_failed_call_says_why)
{
    peer_t peer = {.manners = WELCOMES, .status = WEFT_OVERLOADED};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_OK);
    CHECK_INT (probe_ping_worker (&probe, NULL, PATIENCE_MS), WEFT_OVERLOADED);
    CHECK_STR (probe.text, "because");
    probe_close (&probe);
    peer_stop (&peer);
    CHECK_STR (peer.method, "weft.Worker.Ping");
}

TEST (a_broker_without_the_pinged_service_is_there)
{
    peer_t peer = {.manners = WELCOMES, .status = WEFT_NO_SERVICE};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_OK);
    CHECK_INT (probe_ping_broker (&probe, PATIENCE_MS), WEFT_OK);
    probe_close (&probe);
    peer_stop (&peer);
}

TEST (a_refusal_is_told_as_it_was_said)
{
    peer_t peer = {.manners = REFUSES};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_PERMISSION_DENIED);
    CHECK_STR (probe.text, "not you");
    probe_close (&probe);
    peer_stop (&peer);
}

TEST (silence_ends_with_the_time)
{
    peer_t peer = {.manners = IS_SILENT};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, 50), WEFT_DEADLINE_EXCEEDED);
    CHECK_STR (probe.text, "no answer in time");
    probe_close (&probe);
    peer_stop (&peer);
}

TEST (nonsense_is_invalid)
{
    peer_t peer = {.manners = TALKS_NONSENSE};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_INVALID);
    CHECK (probe.text [0] != '\0');
    probe_close (&probe);
    peer_stop (&peer);
}

TEST (nobody_there_is_noticed_before_the_time_is_up)
{
    peer_t peer = {.manners = WELCOMES};
    probe_t probe;
    peer_start (&peer);
    peer_stop (&peer); /* its port is free now */
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_CONNECT_TIMEOUT);
    CHECK (probe.round_trip_us < PATIENCE_MS * 1000);
    probe_close (&probe);
}

TEST (a_lost_connection_ends_the_call)
{
    peer_t peer = {.manners = WELCOMES};
    probe_t probe;
    peer_start (&peer);
    CHECK (probe_open (&probe, peer.endpoint));
    CHECK_INT (probe_hello (&probe, NULL, PATIENCE_MS), WEFT_OK);
    peer_stop (&peer);
    CHECK_INT (probe_ping_broker (&probe, PATIENCE_MS), WEFT_WORKER_LOST);
    probe_close (&probe);
}
