/* SPDX-License-Identifier: MPL-2.0
 *
 *  fake_broker.h - just enough of a broker, on a thread, for tests of those that register: it answers as
 *  it is told to, counts what comes, and can pass requests to the last one that registered. */

#ifndef FAKE_BROKER_H_INCLUDED
#define FAKE_BROKER_H_INCLUDED

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include "check.h"
#include "clock.h"
#include "outbox.h"
#include "transport.h"

/*  What came last, of each kind. */
typedef struct {
    char uuid [64], endpoints [512], meta [256];
    uint64_t incarnation;
    wire_load_t load;
    uint64_t reply_id;
    weft_status_t status;
    uint8_t body [256];
    size_t body_size;
} fake_seen_t;

typedef struct {
    /* how it behaves; set at any time */
    atomic_bool mute;           /* answers nothing but HELLO */
    atomic_bool forget;         /* says NO_WORKERS to the next BEAT */
    atomic_int refuse;          /* a status: answers REGISTER with it */
    atomic_int next_ms, ttl_ms;

    /* what came */
    atomic_int hellos, registers, beats, goodbyes, drainings, replies, window;
    pthread_mutex_t lock;
    fake_seen_t seen;           /* with the lock; fake_seen copies it */

    /* what to do */
    buffer_t orders;            /* records for the last registrant; with the lock */
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    void *socket;
    uint8_t peer [32];
    size_t peer_size;
    atomic_bool stop;
    pthread_t thread;
} fake_broker_t;

static void fake_await (atomic_int *counter, int least)
{
    for (int i = 0; i < 20000 && atomic_load (counter) < least; i++)
        poll (NULL, 0, 1);
    CHECK (atomic_load (counter) >= least);
}

/*  What has come so far, for the test's thread. */
static fake_seen_t fake_seen (fake_broker_t *self)
{
    pthread_mutex_lock (&self->lock);
    const fake_seen_t seen = self->seen;
    pthread_mutex_unlock (&self->lock);
    return seen;
}

static void fake_register (fake_broker_t *self, const wire_record_t *record, buffer_t *out)
{
    fake_seen_t *seen = &self->seen;
    wire_register_t in;
    const char *fault = "";

    if (!wire_read_register (record, &in, &fault)) {
        wire_write_refused (out, WEFT_INVALID, fault);
        return;
    }
    seen->incarnation = in.incarnation;
    snprintf (seen->uuid, sizeof seen->uuid, "%.*s", TEXT_ARG (in.uuid));
    seen->endpoints [0] = '\0';
    for (uint32_t i = 0; i < in.endpoint_count; i++) {
        const size_t used = strlen (seen->endpoints);
        snprintf (seen->endpoints + used, sizeof seen->endpoints - used, "%.*s ",
                  TEXT_ARG (in.endpoints [i]));
    }
    if (atomic_load (&self->refuse))
        wire_write_refused (out, (weft_status_t) atomic_load (&self->refuse), "not you");
    else if (!atomic_load (&self->mute))
        wire_write_beat_ok (out, 0, (uint64_t) atomic_load (&self->next_ms),
                            (uint64_t) atomic_load (&self->ttl_ms), NULL);
    atomic_fetch_add (&self->registers, 1);
}

/*  The options of a BEAT, "key=value " each. */
static void fake_beat_options (fake_seen_t *seen, const wire_record_t *record)
{
    mp_reader_t fields = record->fields;
    uint64_t sequence;
    uint32_t count = 0;
    text_t key, value;

    seen->meta [0] = '\0';
    if (record->field_count < 3 || !mp_read_uint (&fields, &sequence) || !mp_skip (&fields)
        || !mp_read_map (&fields, &count))
        return;
    while (count-- > 0 && mp_read_str (&fields, &key.data, &key.size)
           && mp_read_str (&fields, &value.data, &value.size)) {
        const size_t used = strlen (seen->meta);
        snprintf (seen->meta + used, sizeof seen->meta - used, "%.*s=%.*s ", TEXT_ARG (key),
                  TEXT_ARG (value));
    }
}

static void fake_beat (fake_broker_t *self, const wire_record_t *record, buffer_t *out)
{
    uint64_t sequence;

    if (!wire_read_beat (record, &sequence, &self->seen.load))
        return;
    fake_beat_options (&self->seen, record);
    if (atomic_exchange (&self->forget, false))
        wire_write_refused (out, WEFT_NO_WORKERS, "who are you?");
    else if (!atomic_load (&self->mute))
        wire_write_beat_ok (out, sequence, (uint64_t) atomic_load (&self->next_ms),
                            (uint64_t) atomic_load (&self->ttl_ms), NULL);
    atomic_fetch_add (&self->beats, 1);
}

static void fake_reply (fake_broker_t *self, const wire_record_t *record)
{
    fake_seen_t *seen = &self->seen;

    seen->reply_id = record->id;
    seen->status = record->status;
    seen->body_size = record->body_size < sizeof seen->body ? record->body_size : sizeof seen->body;
    if (seen->body_size)
        memcpy (seen->body, record->body, seen->body_size);
    atomic_fetch_add (&self->replies, 1);
}

static void fake_record (fake_broker_t *self, const wire_record_t *record, buffer_t *out)
{
    switch (record->kind) {
        case WIRE_HELLO:
            wire_write_welcome (out, text_of ("msgpack"), WEFT_BODY_MAX, 1000, "the-fake-broker", NULL);
            atomic_fetch_add (&self->hellos, 1);
            break;
        case WIRE_REGISTER:
            fake_register (self, record, out);
            break;
        case WIRE_BEAT:
            fake_beat (self, record, out);
            break;
        case WIRE_REPLY:
            fake_reply (self, record);
            break;
        case WIRE_CREDIT:
            atomic_store (&self->window, (int) record->number);
            break;
        case WIRE_DRAINING:
            atomic_fetch_add (&self->drainings, 1);
            break;
        case WIRE_GOODBYE:
            atomic_fetch_add (&self->goodbyes, 1);
            break;
        default:
            break;
    }
}

static void fake_receive (fake_broker_t *self)
{
    zmq_msg_t routing_id;
    message_t message;
    const char *fault;
    buffer_t out;
    wire_record_t record;
    zmq_msg_t *attachment;

    zmq_msg_init (&routing_id);
    message_init (&message);
    buffer_init (&out, 1 << 20);
    if (transport_receive (self->socket, &routing_id, &message, &fault) > 0) {
        message_cursor_t cursor = message_cursor (&message);
        pthread_mutex_lock (&self->lock);
        self->peer_size = zmq_msg_size (&routing_id);
        memcpy (self->peer, zmq_msg_data (&routing_id), self->peer_size);
        while (message_next (&cursor, &record, &attachment, &fault) > 0)
            fake_record (self, &record, &out);
        pthread_mutex_unlock (&self->lock);
        message_clear (&message);
        if (out.size && message_add_bytes (&message, out.data, out.size))
            transport_send (self->socket, self->peer, self->peer_size, &message);
    }
    buffer_fini (&out);
    message_fini (&message);
    zmq_msg_close (&routing_id);
}

static void fake_order (fake_broker_t *self)
{
    message_t message;

    message_init (&message);
    pthread_mutex_lock (&self->lock);
    if (self->orders.size && message_add_bytes (&message, self->orders.data, self->orders.size))
        transport_send (self->socket, self->peer, self->peer_size, &message);
    buffer_clear (&self->orders);
    pthread_mutex_unlock (&self->lock);
    message_fini (&message);
}

static void *fake_loop (void *arg)
{
    fake_broker_t *self = arg;
    void *context = transport_context_acquire ();
    size_t size = sizeof self->endpoint;

    self->socket = transport_socket (context, ZMQ_ROUTER, 0);
    CHECK (zmq_bind (self->socket, self->endpoint [0] ? self->endpoint : "tcp://127.0.0.1:*") == 0);
    CHECK (zmq_getsockopt (self->socket, ZMQ_LAST_ENDPOINT, self->endpoint, &size) == 0);
    atomic_store (&self->window, -1); /* bound */
    while (!atomic_load (&self->stop)) {
        zmq_pollitem_t item = {self->socket, 0, ZMQ_POLLIN, 0};
        if (zmq_poll (&item, 1, 2) > 0)
            fake_receive (self);
        fake_order (self);
    }
    zmq_close (self->socket);
    transport_context_release ();
    return NULL;
}

/*  `endpoint` NULL: any port. */
static void fake_start (fake_broker_t *self, const char *endpoint)
{
    memset (self, 0, sizeof *self);
    pthread_mutex_init (&self->lock, NULL);
    buffer_init (&self->orders, 1 << 20);
    atomic_store (&self->next_ms, 50);
    atomic_store (&self->ttl_ms, 500);
    atomic_store (&self->window, -2);
    snprintf (self->endpoint, sizeof self->endpoint, "%s", endpoint ? endpoint : "");
    CHECK (pthread_create (&self->thread, NULL, fake_loop, self) == 0);
    fake_await (&self->window, -1);
}

static void fake_stop (fake_broker_t *self)
{
    atomic_store (&self->stop, true);
    pthread_join (self->thread, NULL);
    buffer_fini (&self->orders);
    pthread_mutex_destroy (&self->lock);
}

/*  Passes a request on, and waits for its reply, or another, which fake_seen then has. */
__attribute__ ((unused)) static void fake_call (fake_broker_t *self, uint64_t id, const char *method,
                                                const void *body, size_t size, const wire_options_t *options)
{
    const int before = atomic_load (&self->replies);

    pthread_mutex_lock (&self->lock);
    wire_write_request (&self->orders, id, text_of (method), 10000, body, size, false, options);
    pthread_mutex_unlock (&self->lock);
    fake_await (&self->replies, before + 1);
}

#endif
