/* SPDX-License-Identifier: MPL-2.0 */

#include "fake.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "check.h"
#include "outbox.h"
#include "transport.h"

#define BROKER      FAKE_WORKERS_MAX /* its place among the sockets */
#define BROKER_UUID "00000000-0000-4000-8000-00000000beef"

typedef enum { NOTHING, KILL, STOP_BROKER, START_BROKER, STOP } order_t;

struct fake {
    pthread_t thread;
    void *context;
    void *sockets [FAKE_WORKERS_MAX + 1];
    char endpoints [FAKE_WORKERS_MAX + 1][256];
    char uuids [FAKE_WORKERS_MAX][40];
    size_t workers;
    atomic_uint requests [FAKE_WORKERS_MAX + 1], cancels, watches, goodbyes, hellos;
    int wake;
    atomic_int order, argument; /* an order that was carried out is NOTHING again */
    bool handed_back;
};

static void open_socket (fake_t *self, size_t place)
{
    char *endpoint = self->endpoints [place];
    const bool again = endpoint [0] != '\0';
    size_t size = sizeof self->endpoints [place];
    self->sockets [place] = transport_socket (self->context, ZMQ_ROUTER, 0);
    CHECK (self->sockets [place]);
    if (!again) /* an address for this process alone: nobody takes a port that was let go for a while */
        snprintf (endpoint, size, "tcp://127.%d.%d.%d:*", (getpid () >> 14 & 127) + 1,
                  (getpid () >> 7 & 127) + 1, (getpid () & 127) + 1);
    /* the port may be ours only once libzmq's thread has let go of it */
    while (zmq_bind (self->sockets [place], endpoint) < 0)
        CHECK (again && errno == EADDRINUSE);
    CHECK (zmq_getsockopt (self->sockets [place], ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
}

static void close_socket (fake_t *self, size_t place)
{
    if (self->sockets [place])
        zmq_close (self->sockets [place]);
    self->sockets [place] = NULL;
}

/*  Records. */

static void write_row (const fake_t *self, buffer_t *out, size_t worker)
{
    mp_write_array (out, 12);
    mp_write_text (out, self->uuids [worker]);
    mp_write_uint (out, 1);
    mp_write_array (out, 1);
    mp_write_text (out, "Test");
    mp_write_array (out, 1);
    mp_write_text (out, self->endpoints [worker]);
    mp_write_uint (out, 2);
    mp_write_uint (out, 4);
    mp_write_uint (out, 0);
    mp_write_text (out, "alive");
    mp_write_text (out, "fake");
    mp_write_text (out, "here");
    mp_write_uint (out, 1);
    mp_write_uint (out, 1);
}

static void write_list (const fake_t *self, buffer_t *out, bool known)
{
    static const char *const methods [] = {"Echo", "Sum", "Fail", "Bad", "Never", "Draining", "Drop"};
    uint32_t live = 0;
    for (size_t i = 0; i < self->workers; i++)
        live += self->sockets [i] != NULL;
    mp_write_array (out, 5);
    mp_write_uint (out, 1);
    mp_write_uint (out, 0);
    mp_write_bool (out, true);
    mp_write_array (out, known ? live : 0);
    for (size_t i = 0; known && i < self->workers; i++)
        if (self->sockets [i])
            write_row (self, out, i);
    mp_write_array (out, known ? 7 : 0);
    for (size_t i = 0; known && i < 7; i++) {
        mp_write_array (out, 2);
        mp_write_text (out, methods [i]);
        mp_write_uint (out, strcmp (methods [i], "Sum") == 0);
    }
}

static void on_watch (fake_t *self, const wire_record_t *record, outbox_t *out)
{
    mp_reader_t body = mp_reader (record->body, record->body_size);
    uint32_t count;
    const char *name = "";
    size_t size = 0;
    CHECK (mp_read_array (&body, &count) && mp_read_str (&body, &name, &size));
    self->watches++;
    buffer_t list;
    buffer_init (&list, 65536);
    write_list (self, &list, mp_str_is (name, size, "Test"));
    wire_write_item (outbox_open_record (out), record->id, 0, list.data, list.size, false);
    outbox_close_record (out, NULL);
    buffer_fini (&list);
}

static void reply (outbox_t *out, const wire_record_t *record, weft_status_t status, const void *body,
                   size_t size, const wire_info_t *info)
{
    zmq_msg_t frame;
    const bool attached = size > WEFT_BODY_INLINE_MAX;
    if (attached) {
        zmq_msg_init_size (&frame, size);
        memcpy (zmq_msg_data (&frame), body, size);
    }
    wire_write_reply (outbox_open_record (out), record->id, status, attached ? NULL : body, size, attached,
                      info);
    outbox_close_record (out, attached ? &frame : NULL);
    if (attached)
        zmq_msg_close (&frame);
}

static void on_sum (const wire_record_t *record, outbox_t *out)
{
    mp_reader_t body = mp_reader (record->body, record->body_size);
    uint32_t count;
    int64_t a, b;
    uint8_t bytes [16];
    buffer_t sum = {.data = bytes, .capacity = sizeof bytes, .max = sizeof bytes};
    CHECK (mp_read_array (&body, &count) && mp_read_int (&body, &a) && mp_read_int (&body, &b));
    mp_write_int (&sum, a + b);
    reply (out, record, WEFT_OK, sum.data, sum.size, NULL);
}

static bool is_method (const wire_record_t *record, const char *name)
{
    return text_is (record->method, name);
}

/*  One worker, again and again: there is always more. */
static void on_list (fake_t *self, const wire_record_t *record, outbox_t *out)
{
    buffer_t list;
    buffer_init (&list, 65536);
    mp_write_array (&list, 4);
    mp_write_uint (&list, 1);
    mp_write_array (&list, 0);
    mp_write_array (&list, 1);
    write_row (self, &list, 0);
    mp_write_bool (&list, true);
    reply (out, record, WEFT_OK, list.data, list.size, NULL);
    buffer_fini (&list);
}

static void on_request (fake_t *self, size_t place, const wire_record_t *record, outbox_t *out)
{
    if (place == BROKER && is_method (record, "weft.Registry.Watch")) {
        on_watch (self, record, out);
        return;
    }
    if (place == BROKER && is_method (record, "weft.Registry.List")) {
        on_list (self, record, out);
        return;
    }
    self->requests [place]++;
    wire_info_t info = wire_info_none ();
    if (is_method (record, "Test.Sum"))
        on_sum (record, out);
    else if (is_method (record, "Test.Fail")) {
        info.code = 34;
        info.text = text_of ("overflow");
        reply (out, record, WEFT_APP_ERROR, NULL, 0, &info);
    } else if (is_method (record, "Test.Bad"))
        reply (out, record, WEFT_OK, "\xc1", 1, NULL);
    else if (is_method (record, "Test.Draining") && !self->handed_back) {
        self->handed_back = true;
        reply (out, record, WEFT_DRAINING, NULL, 0, NULL);
    } else if (is_method (record, "Test.Drop"))
        close_socket (self, place);
    else if (!is_method (record, "Test.Never"))
        reply (out, record, WEFT_OK, record->body, record->body_size, NULL);
}

static void on_record (fake_t *self, size_t place, const wire_record_t *record, outbox_t *out)
{
    if (record->kind == WIRE_HELLO) {
        self->hellos++;
        wire_write_welcome (outbox_open_record (out), text_of ("msgpack"), WEFT_BODY_MAX, 1000,
                            place == BROKER ? BROKER_UUID : self->uuids [place], NULL);
        outbox_close_record (out, NULL);
    }
    self->cancels += record->kind == WIRE_CANCEL;
    self->goodbyes += record->kind == WIRE_GOODBYE;
    if (record->kind == WIRE_REQUEST)
        on_request (self, place, record, out);
}

static void on_message (fake_t *self, size_t place, const void *id, size_t id_size, message_t *message)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = "";
    outbox_t out;
    message_t answer;
    outbox_init (&out, WEFT_OUTBOX_MAX);
    message_init (&answer);
    int got;
    while ((got = message_next (&cursor, &record, &attachment, &fault)) == 1)
        on_record (self, place, &record, &out);
    if (got < 0)
        check_failed (__FILE__, __LINE__, fault);
    while (self->sockets [place] && outbox_take (&out, &answer)) {
        transport_send (self->sockets [place], id, id_size, &answer);
        message_clear (&answer);
    }
    outbox_fini (&out);
}

static void read_all (fake_t *self, size_t place)
{
    zmq_msg_t id;
    message_t message;
    const char *fault;
    zmq_msg_init (&id);
    message_init (&message);
    while (self->sockets [place] && transport_receive (self->sockets [place], &id, &message, &fault) == 1) {
        on_message (self, place, zmq_msg_data (&id), zmq_msg_size (&id), &message);
        message_clear (&message);
    }
    zmq_msg_close (&id);
}

static bool carry_out (fake_t *self)
{
    const order_t order = (order_t) self->order;
    if (order == KILL)
        close_socket (self, (size_t) self->argument);
    if (order == STOP_BROKER)
        close_socket (self, BROKER);
    if (order == START_BROKER)
        open_socket (self, BROKER);
    self->order = NOTHING;
    return order != STOP;
}

static void *run (void *arg)
{
    fake_t *self = arg;
    for (bool going = true; going;) {
        zmq_pollitem_t items [FAKE_WORKERS_MAX + 2];
        size_t places [FAKE_WORKERS_MAX + 2];
        int count = 0;
        items [count++] = (zmq_pollitem_t){.fd = self->wake, .events = ZMQ_POLLIN};
        for (size_t i = 0; i <= BROKER; i++)
            if (self->sockets [i]) {
                places [count] = i;
                items [count++] = (zmq_pollitem_t){.socket = self->sockets [i], .events = ZMQ_POLLIN};
            }
        zmq_poll (items, count, -1);
        for (int i = 1; i < count; i++)
            if (items [i].revents)
                read_all (self, places [i]);
        if (items [0].revents) {
            transport_wake_clear (self->wake);
            going = carry_out (self);
        }
    }
    return NULL;
}

static void order (fake_t *self, order_t what, size_t argument)
{
    self->argument = (int) argument;
    self->order = (int) what;
    transport_wake (self->wake);
    while (self->order != NOTHING) {
    }
}

fake_t *fake_new (size_t workers)
{
    fake_t *self = calloc (1, sizeof *self);
    CHECK (self && workers <= FAKE_WORKERS_MAX);
    self->context = transport_context_acquire ();
    self->wake = transport_wake_open ();
    self->workers = workers;
    for (size_t i = 0; i < workers; i++) {
        snprintf (self->uuids [i], sizeof self->uuids [i], "%zu0000000-0000-4000-8000-000000000000", i);
        open_socket (self, i);
    }
    open_socket (self, BROKER);
    CHECK (pthread_create (&self->thread, NULL, run, self) == 0);
    return self;
}

void fake_destroy (fake_t **self_pointer)
{
    fake_t *self = *self_pointer;
    *self_pointer = NULL;
    order (self, STOP, 0);
    pthread_join (self->thread, NULL);
    for (size_t i = 0; i <= BROKER; i++)
        close_socket (self, i);
    close (self->wake);
    transport_context_release ();
    free (self);
}

const char *fake_broker (const fake_t *self)
{
    return self->endpoints [BROKER];
}

const char *fake_worker_uuid (const fake_t *self, size_t worker)
{
    return self->uuids [worker];
}

unsigned fake_requests (fake_t *self, size_t worker)
{
    return self->requests [worker];
}

unsigned fake_routed (fake_t *self)
{
    return self->requests [BROKER];
}

unsigned fake_cancels (fake_t *self)
{
    return self->cancels;
}

unsigned fake_watches (fake_t *self)
{
    return self->watches;
}

unsigned fake_goodbyes (fake_t *self)
{
    return self->goodbyes;
}

unsigned fake_hellos (fake_t *self)
{
    return self->hellos;
}

void fake_kill_worker (fake_t *self, size_t worker)
{
    order (self, KILL, worker);
}

void fake_stop_broker (fake_t *self)
{
    order (self, STOP_BROKER, 0);
}

void fake_start_broker (fake_t *self)
{
    order (self, START_BROKER, 0);
}
