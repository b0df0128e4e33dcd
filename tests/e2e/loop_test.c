/* SPDX-License-Identifier: MPL-2.0
 *
 *  The broker's loop among peers that behave badly: they stop reading, flood, come and go. Others must not notice. */

#include "calling.h"
#include "message.h"
#include "transport.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

/*  A peer that says what a test wants it to. */
typedef struct {
    void *context, *socket;
} raw_t;

/*  Connected, unless `endpoint` is NULL: then options may still be set. */
static raw_t raw_open (const char *endpoint)
{
    const int some_ms = PATIENCE_MS;
    raw_t self = {.context = transport_context_acquire ()};
    self.socket = transport_socket (self.context, ZMQ_DEALER, 0);
    CHECK (self.socket);
    CHECK (zmq_setsockopt (self.socket, ZMQ_SNDTIMEO, &some_ms, sizeof some_ms) == 0);
    CHECK (zmq_setsockopt (self.socket, ZMQ_RCVTIMEO, &some_ms, sizeof some_ms) == 0);
    CHECK (!endpoint || zmq_connect (self.socket, endpoint) == 0);
    return self;
}

static void raw_close (raw_t *self)
{
    zmq_close (self->socket);
    transport_context_release ();
}

static void raw_hello (raw_t *self)
{
    static const char *const codecs [] = {"msgpack", NULL};
    buffer_t hello;
    buffer_init (&hello, 1024);
    wire_write_hello (&hello, "client", codecs, "raw", NULL);
    CHECK (zmq_send (self->socket, hello.data, hello.size, 0) > 0);
    buffer_fini (&hello);
}

/*  The kind of the first record of the next message. */
static unsigned raw_hear (raw_t *self)
{
    wire_record_t record = {0};
    const char *fault;
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    CHECK (zmq_msg_recv (&frame, self->socket, 0) > 0);
    mp_reader_t reader = mp_reader (zmq_msg_data (&frame), zmq_msg_size (&frame));
    CHECK_INT (wire_next (&reader, &record, &fault), 1);
    zmq_msg_close (&frame);
    return record.kind;
}

/*  Calls through the broker until told to stop; the slowest. */
typedef struct {
    pthread_t thread;
    const char *endpoint;
    atomic_bool stop;
    atomic_int calls;
    int64_t slowest_ms;
} bystander_t;

static void *stand_by (void *arg)
{
    bystander_t *self = arg;
    weft_client_t *client = weft_client_new (self->endpoint, NULL);
    CHECK (client);
    while (!atomic_load (&self->stop)) {
        const int64_t start_ms = now_ms ();
        check_add_call (client, WEFT_VIA_BROKER, 1, 2);
        const int64_t took_ms = now_ms () - start_ms;
        self->slowest_ms = took_ms > self->slowest_ms ? took_ms : self->slowest_ms;
        atomic_fetch_add (&self->calls, 1);
    }
    weft_client_destroy (&client);
    return NULL;
}

static void bystander_start (bystander_t *self, const mesh_t *mesh)
{
    *self = (bystander_t){.endpoint = mesh_endpoint (mesh)};
    CHECK_INT (pthread_create (&self->thread, NULL, stand_by, self), 0);
}

/*  None of its calls failed, and none took long. */
static void bystander_finish (bystander_t *self)
{
    atomic_store (&self->stop, true);
    pthread_join (self->thread, NULL);
    CHECK (atomic_load (&self->calls) > 100);
    if (self->slowest_ms > patient_ms (1000))
        CHECK_INT (self->slowest_ms, patient_ms (1000));
}

typedef struct {
    weft_client_t *client;
    uint64_t in_flight;
} load_wait_t;

static bool worker_holds (void *arg)
{
    const load_wait_t *wait = arg;
    list_reply list;
    weft_call_t *listed = list_workers (wait->client, "Slow", &list);
    const bool holds = list.worker_count == 1 && list.workers [0].in_flight == wait->in_flight;
    weft_call_destroy (&listed);
    return holds;
}

TEST (a_stopped_client_disturbs_nobody_and_its_calls_are_cancelled)
{
    mesh_t *mesh = mesh_new ();
    bystander_t bystander;
    mesh_broker (mesh, NULL, "--ttl-ms", "2000", "--beat-ms", "200", NULL);
    mesh_worker (mesh, "--concurrency", "4", NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Slow", 1);
    process_t *stopped = mesh_start (mesh, "weft", "call", "Slow.Sleep", "[60000]", "-t", "60s", "--via", "broker", "-b",
                                     mesh_endpoint (mesh), NULL);
    await ("the call to run", worker_holds, &(load_wait_t){client, 1});
    bystander_start (&bystander, mesh);
    const int64_t start_ms = now_ms ();
    process_signal (stopped, SIGSTOP);
    await ("the call to be cancelled", worker_holds, &(load_wait_t){client, 0});
    CHECK (now_ms () - start_ms < patient_ms (6000)); /* transport heartbeats, and a beat */
    bystander_finish (&bystander);
    process_signal (stopped, SIGKILL);
    process_signal (stopped, SIGCONT);
    process_wait (stopped);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  Sends requests that are all answered, and never reads. */
static void *ask_deafly (void *arg)
{
    raw_t *self = arg;
    buffer_t request;
    buffer_init (&request, 1024);
    for (uint64_t id = 1; id < 200000; id++) {
        buffer_clear (&request);
        wire_write_request (&request, id, text_of ("weft.Registry.Describe"), WIRE_NO_DEADLINE, "\x90", 1, false, NULL);
        if (zmq_send (self->socket, request.data, request.size, 0) < 0)
            break; /* the broker hung up */
    }
    buffer_fini (&request);
    return NULL;
}

TEST (a_client_that_does_not_read_disturbs_nobody_and_is_evicted)
{
    const int few = 1, none = 0, soon_ms = 500;
    mesh_t *mesh = mesh_new ();
    bystander_t bystander;
    pthread_t thread;
    process_t *broker = mesh_broker (mesh, NULL, "--outbox-max", "1MiB", "--body-max", "64KiB", NULL);
    mesh_worker (mesh, NULL);
    raw_t deaf = raw_open (NULL);
    CHECK (zmq_setsockopt (deaf.socket, ZMQ_SNDTIMEO, &soon_ms, sizeof soon_ms) == 0);
    CHECK (zmq_setsockopt (deaf.socket, ZMQ_RCVHWM, &few, sizeof few) == 0);
    /* libzmq may abort if a heartbeat of its own is due on a lost connection that still has something to read */
    CHECK (zmq_setsockopt (deaf.socket, ZMQ_HEARTBEAT_IVL, &none, sizeof none) == 0);
    CHECK (zmq_connect (deaf.socket, mesh_endpoint (mesh)) == 0);
    raw_hello (&deaf);
    bystander_start (&bystander, mesh);
    CHECK_INT (pthread_create (&thread, NULL, ask_deafly, &deaf), 0);
    process_said (broker, "does not read what is sent to it");
    pthread_join (thread, NULL);
    bystander_finish (&bystander);
    raw_close (&deaf);
    mesh_destroy (&mesh);
}

/*  Asks for its bytes back, and does not read them. False: the broker hung up. */
static bool ask_for_echo (raw_t *self, uint64_t id)
{
    static char body [100 * 1024];
    uint8_t head [5] = {0xc6}; /* bytes as MessagePack */
    zmq_msg_t frame;
    buffer_t request;

    mp_put32 (head + 1, sizeof body);
    buffer_init (&request, 1024);
    wire_write_request (&request, id, text_of ("Echo.Echo"), WIRE_NO_DEADLINE, NULL, 0, true, NULL);
    CHECK (zmq_msg_init_size (&frame, sizeof head + sizeof body) == 0);
    memcpy (zmq_msg_data (&frame), head, sizeof head);
    memcpy ((char *) zmq_msg_data (&frame) + sizeof head, body, sizeof body);
    const bool sent = zmq_send (self->socket, request.data, request.size, ZMQ_SNDMORE) > 0
                      && zmq_msg_send (&frame, self->socket, 0) > 0;
    zmq_msg_close (&frame);
    buffer_fini (&request);
    return sent;
}

/*  One reply after the other, so that each is a message of its own: 600 are 60 MB. */
TEST (what_a_client_does_not_read_fills_its_outbox_before_much_is_in_its_pipe)
{
    const int few = 1, none = 0, soon_ms = 500;
    mesh_t *mesh = mesh_new ();
    process_t *broker = mesh_broker (mesh, NULL, "--outbox-max", "256KiB", "--body-max", "128KiB", NULL);
    mesh_worker (mesh, "--concurrency", "1", NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Arith", 1);
    raw_t deaf = raw_open (NULL);
    CHECK (zmq_setsockopt (deaf.socket, ZMQ_RCVHWM, &few, sizeof few) == 0);
    CHECK (zmq_setsockopt (deaf.socket, ZMQ_SNDTIMEO, &soon_ms, sizeof soon_ms) == 0);
    CHECK (zmq_setsockopt (deaf.socket, ZMQ_HEARTBEAT_IVL, &none, sizeof none) == 0);
    CHECK (zmq_connect (deaf.socket, mesh_endpoint (mesh)) == 0);
    raw_hello (&deaf);
    for (uint64_t id = 1; id <= 600 && ask_for_echo (&deaf, id); id++)
        check_add_call (client, WEFT_VIA_BROKER, 1, 2);
    process_said (broker, "does not read what is sent to it");
    raw_close (&deaf);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  Keeps the broker busy with messages that take it long and say nothing. */
enum { POURERS = 4 };
typedef struct {
    pthread_t thread;
    raw_t raws [POURERS];
    atomic_bool stop;
} flood_t;

static void *pour (void *arg)
{
    static char records [2048];
    flood_t *self = arg;
    memset (records, '\x91', sizeof records);
    for (size_t i = 1; i < sizeof records; i += 2)
        records [i] = 99; /* a kind that nobody knows */
    for (unsigned i = 0; !atomic_load (&self->stop); i++)
        CHECK (zmq_send (self->raws [i % POURERS].socket, records, sizeof records, 0) > 0);
    return NULL;
}

static void flood_start (flood_t *self, const mesh_t *mesh)
{
    for (int i = 0; i < POURERS; i++) {
        self->raws [i] = raw_open (mesh_endpoint (mesh));
        raw_hello (&self->raws [i]);
    }
    CHECK_INT (pthread_create (&self->thread, NULL, pour, self), 0);
}

/*  Leaves when all was read: libzmq may abort in a broker whose peer leaves earlier. */
static void flood_finish (flood_t *self)
{
    atomic_store (&self->stop, true);
    pthread_join (self->thread, NULL);
    for (int i = 0; i < POURERS; i++) {
        CHECK_INT (raw_hear (&self->raws [i]), WIRE_WELCOME);
        raw_hello (&self->raws [i]);
        CHECK_INT (raw_hear (&self->raws [i]), WIRE_REFUSED);
        raw_close (&self->raws [i]);
    }
}

TEST (a_killed_worker_is_noticed_by_a_broker_that_never_rests)
{
    flood_t flood = {0};
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Slow", 1);
    weft_call_t *call = start_slow (client, "Slow.Sleep", 60000,
                                    &(weft_call_options_t){.via = WEFT_VIA_BROKER, .timeout_ms = 10000});
    await ("the call to run", worker_holds, &(load_wait_t){client, 1});
    flood_start (&flood, mesh);
    poll (NULL, 0, 300); /* for the backlog to build up */
    const int64_t killed_ms = now_ms ();
    process_signal (worker, SIGKILL);
    check_outcome (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    CHECK (now_ms () - killed_ms < patient_ms (3000));
    flood_finish (&flood);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

typedef struct {
    const process_t *process;
    size_t wanted;
} descriptors_wait_t;

static bool has_descriptors (void *arg)
{
    const descriptors_wait_t *wait = arg;
    return process_descriptors (wait->process) <= wait->wanted;
}

static bool more_descriptors (void *arg)
{
    const descriptors_wait_t *wait = arg;
    return process_descriptors (wait->process) >= wait->wanted;
}

TEST (four_hundred_short_connections_leave_nothing_behind)
{
    enum { CONNECTIONS = 400 };
    mesh_t *mesh = mesh_new ();
    process_t *broker = mesh_broker (mesh, NULL, "--peers-max", "60", NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    check_add_call (client, WEFT_VIA_BROKER, 1, 2);
    const size_t before = process_descriptors (broker);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (i % 20 == 0) /* closing takes its time */
            await ("some connections to be closed", has_descriptors, &(descriptors_wait_t){broker, before + 10});
        raw_t raw = raw_open (mesh_endpoint (mesh));
        raw_hello (&raw);
        CHECK_INT (raw_hear (&raw), WIRE_WELCOME); /* those before have left their places */
        raw_close (&raw);
    }
    await ("the connections to be closed", has_descriptors, &(descriptors_wait_t){broker, before});
    check_add_call (client, WEFT_VIA_BROKER, 1, 2);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_call_that_was_on_its_way_when_the_broker_stops_is_handed_back)
{
    mesh_t *mesh = mesh_new ();
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    raw_t raw = raw_open (mesh_endpoint (mesh));
    buffer_t call;
    raw_hello (&raw);
    CHECK_INT (raw_hear (&raw), WIRE_WELCOME);
    process_signal (broker, SIGTERM);
    CHECK_INT (raw_hear (&raw), WIRE_DRAINING);
    buffer_init (&call, 1024);
    wire_write_request (&call, 1, text_of ("Arith.Multiply"), 5000, "\x92\x07\x06", 3, false, NULL);
    CHECK (zmq_send (raw.socket, call.data, call.size, 0) > 0);
    buffer_fini (&call);
    CHECK_INT (raw_hear (&raw), WIRE_REPLY);
    CHECK_INT (raw_hear (&raw), WIRE_GOODBYE);
    CHECK_INT (process_wait (broker), 0);
    raw_close (&raw);
    mesh_destroy (&mesh);
}

TEST (a_connection_that_says_nothing_is_closed)
{
    enum { CONNECTIONS = 10 };
    mesh_t *mesh = mesh_new ();
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Arith", 0);
    const size_t before = process_descriptors (broker);
    raw_t raws [CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++)
        raws [i] = raw_open (mesh_endpoint (mesh));
    await ("the connections to be there", more_descriptors, &(descriptors_wait_t){broker, before + CONNECTIONS});
    await ("the connections to be closed", has_descriptors, &(descriptors_wait_t){broker, before});
    await_workers (client, "Arith", 0); /* who has spoken may be silent for as long as it likes */
    for (int i = 0; i < CONNECTIONS; i++)
        raw_close (&raws [i]);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}
