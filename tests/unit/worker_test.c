/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker_test.c - a whole worker, its sockets and threads, against a broker that only pretends. */

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft/worker.h>
#include "fake_broker.h"

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static atomic_int released, running, served, blobs;

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const pair *in = args;
    (void) request;
    *(int64_t *) reply = in->a + in->b;
    atomic_fetch_add (&served, 1);
    return WEFT_OK;
}

static weft_status_t blob (weft_request_t *request, const void *args, void *reply)
{
    weft_bytes *out = reply;
    (void) args;
    out->size = 15000000;
    out->data = weft_request_alloc (request, out->size);
    atomic_fetch_add (&blobs, 1);
    return WEFT_OK;
}

static weft_status_t hold (weft_request_t *request, const void *args, void *reply)
{
    (void) args;
    (void) reply;
    atomic_fetch_add (&running, 1);
    while (!atomic_load (&released) && !weft_request_cancelled (request))
        poll (NULL, 0, 1);
    return weft_request_cancelled (request) ? WEFT_CANCELLED : WEFT_OK;
}

static weft_status_t hang (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) args;
    (void) reply;
    atomic_fetch_add (&running, 1);
    while (!atomic_load (&released))
        poll (NULL, 0, 1);
    atomic_fetch_add (&running, -1);
    return WEFT_OK;
}

static const weft_method_t arith [] = {WEFT_METHOD ("Add", add, pair, weft_int64, WEFT_IDEMPOTENT),
                                       WEFT_METHOD ("AddHere", add, pair, weft_int64, WEFT_INLINE),
                                       WEFT_METHOD ("Blob", blob, weft_none, weft_bytes, WEFT_INLINE),
                                       WEFT_METHOD ("Hold", hold, weft_none, weft_none, 0),
                                       WEFT_METHOD ("Hang", hang, weft_none, weft_none, 0),
                                       WEFT_METHOD_END};

static weft_worker_t *make (const char *broker, const weft_worker_options_t *options)
{
    atomic_store (&released, 0);
    atomic_store (&running, 0);
    weft_worker_t *worker = weft_worker_new (broker, options);
    CHECK (worker);
    CHECK_INT (weft_worker_add (worker, "Arith", arith, NULL), WEFT_OK);
    return worker;
}

static weft_worker_t *start (fake_broker_t *broker, const weft_worker_options_t *options)
{
    const int before = atomic_load (&broker->registers);
    weft_worker_t *worker = make (broker->endpoint, options);
    CHECK_INT (weft_worker_start (worker, 10000), WEFT_OK);
    fake_await (&broker->registers, before + 1);
    return worker;
}

/*  What the last registration said, copied. */
static const char *endpoints_of (fake_broker_t *broker)
{
    static fake_seen_t seen;
    seen = fake_seen (broker);
    return seen.endpoints;
}

/*  Passes a request on without waiting for its reply. */
static void order_call (fake_broker_t *broker, uint64_t id, const char *method)
{
    pthread_mutex_lock (&broker->lock);
    wire_write_request (&broker->orders, id, text_of (method), 60000, NULL, 0, false, NULL);
    pthread_mutex_unlock (&broker->lock);
}

/*  ------------------------------------------------------------------ starting  */

TEST (serves_routed_calls)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);

    fake_call (&broker, 1, "Arith.Add", "\x92\x07\x06", 3, NULL);
    CHECK_INT (fake_seen (&broker).status, WEFT_OK);
    CHECK_INT (fake_seen (&broker).reply_id, 1);
    CHECK_INT (fake_seen (&broker).body [0], 13);
    fake_call (&broker, 2, "Arith.AddHere", "\x92\x07\x07", 3, NULL);
    CHECK_INT (fake_seen (&broker).body [0], 14);

    CHECK_INT (weft_worker_stop (worker), WEFT_OK);
    CHECK_INT (broker.drainings, 1);
    fake_await (&broker.goodbyes, 1);
    weft_worker_destroy (&worker);
    CHECK (!worker);
    fake_stop (&broker);
}

TEST (handlers_that_hang_hold_up_no_other_call_while_one_more_may_run)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, &(weft_worker_options_t){.concurrency = 3});
    for (int i = 1; i <= 2; i++) { /* each begins on the thread that reads */
        order_call (&broker, (uint64_t) i, "Arith.Hang");
        fake_await (&running, i);
    }
    fake_call (&broker, 3, "Arith.Add", "\x92\x07\x06", 3, NULL);
    CHECK_INT (fake_seen (&broker).status, WEFT_OK);
    CHECK_INT (fake_seen (&broker).reply_id, 3);
    CHECK_INT (running, 2);
    atomic_store (&released, 1);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (inline_methods_answer_even_while_every_handler_hangs)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, &(weft_worker_options_t){.concurrency = 1});
    order_call (&broker, 1, "Arith.Hang");
    fake_await (&running, 1);
    fake_call (&broker, 2, "Arith.AddHere", "\x92\x07\x06", 3, NULL);
    CHECK_INT (fake_seen (&broker).status, WEFT_OK);
    CHECK_INT (fake_seen (&broker).reply_id, 2);
    fake_call (&broker, 3, "weft.Worker.Ping", "", 0, NULL);
    CHECK_INT (fake_seen (&broker).reply_id, 3);
    CHECK_INT (running, 1);
    atomic_store (&released, 1);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (g2_registers_the_real_address_of_an_ephemeral_port)
{
    fake_broker_t broker;
    char expected [64];
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    const char *bound = weft_worker_endpoint (worker, 0);
    CHECK (strncmp (bound, "tcp://0.0.0.0:", 14) == 0);
    CHECK (atoi (bound + 14) > 0);
    snprintf (expected, sizeof expected, "tcp://*:%s ", bound + 14);
    CHECK (strncmp (endpoints_of (&broker), expected, strlen (expected)) == 0);
    CHECK_STR (fake_seen (&broker).uuid, weft_worker_uuid (worker));
    CHECK (strstr (endpoints_of (&broker), "ipc:///") && strstr (endpoints_of (&broker), "inproc://weft-"));
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (g2_an_advertised_address_takes_the_place_of_the_bound_one)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, &(weft_worker_options_t){.advertise = "worker.example"});
    char expected [64];
    snprintf (expected, sizeof expected, "tcp://worker.example:%s ", weft_worker_endpoint (worker, 0) + 14);
    CHECK (strncmp (endpoints_of (&broker), expected, strlen (expected)) == 0);
    weft_worker_destroy (&worker);

    worker = start (&broker,
                    &(weft_worker_options_t){.bind = "tcp://127.0.0.1:0", .advertise = "tcp://x.example:77"});
    CHECK (strncmp (endpoints_of (&broker), "tcp://x.example:77 inproc://", 28) == 0);
    weft_worker_destroy (&worker);

    worker = start (&broker, &(weft_worker_options_t){.bind = "none"});
    CHECK_STR (endpoints_of (&broker), "");
    CHECK (!weft_worker_endpoint (worker, 0));
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (g3_a_worker_is_ready_when_the_broker_has_acknowledged)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    atomic_store (&broker.mute, true);
    weft_worker_t *worker = make (broker.endpoint, NULL);
    CHECK_INT (weft_worker_start (worker, 50), WEFT_CONNECT_TIMEOUT);
    CHECK_STR (weft_worker_error (worker), "no broker answered yet");
    fake_await (&broker.registers, 1);
    atomic_store (&broker.mute, false);
    CHECK_INT (weft_worker_wait_ready (worker, 10000), WEFT_OK);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (b6_a_refused_registration_is_told)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    atomic_store (&broker.refuse, WEFT_PERMISSION_DENIED);
    weft_worker_t *worker = make (broker.endpoint, NULL);
    CHECK_INT (weft_worker_start (worker, -1), WEFT_INVALID);
    CHECK (strstr (weft_worker_error (worker), ": not you"));
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

static void check_wrong (const char *brokers, weft_worker_options_t options, const char *why)
{
    CHECK (!weft_worker_new (brokers, &options));
    if (!strstr (weft_worker_error (NULL), why))
        CHECK_STR (weft_worker_error (NULL), why);
}

TEST (wrong_arguments_are_named)
{
    static const char *const labels [] = {"novalue", NULL};
    const char *good = "tcp://127.0.0.1:5555";
    check_wrong (NULL, (weft_worker_options_t){0}, "");
    check_wrong ("", (weft_worker_options_t){0}, "no broker endpoint");
    check_wrong ("tcp://a:1, http://b", (weft_worker_options_t){0}, "bad broker endpoint \"http://b\"");
    check_wrong (good, (weft_worker_options_t){.concurrency = -1}, "concurrency must be 0 to 1024, not -1");
    check_wrong (good, (weft_worker_options_t){.concurrency = 5000}, "concurrency must be");
    check_wrong (good, (weft_worker_options_t){.bind = "tcp://*:http"},
                 "bad endpoint to bind \"tcp://*:http\"");
    check_wrong (good, (weft_worker_options_t){.advertise = "a b"}, "bad address to advertise \"a b\"");
    check_wrong (good, (weft_worker_options_t){.labels = labels}, "bad label \"novalue\"");
}

TEST (a_port_in_use_is_named)
{
    fake_broker_t broker;
    char why [WEFT_ENDPOINT_MAX + 64];
    fake_start (&broker, NULL);
    weft_worker_t *worker = make (broker.endpoint, &(weft_worker_options_t){.bind = broker.endpoint});
    CHECK_INT (weft_worker_start (worker, 1000), WEFT_INVALID);
    snprintf (why, sizeof why, "cannot bind %s: Address already in use", broker.endpoint);
    CHECK_STR (weft_worker_error (worker), why);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (what_belongs_before_the_start_is_refused_after_it)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    CHECK_INT (weft_worker_add (worker, "More", arith, NULL), WEFT_INVALID);
    CHECK_STR (weft_worker_error (worker), "service \"More\": the worker has already started");
    CHECK_INT (weft_worker_start (worker, 0), WEFT_INVALID);
    CHECK_INT (weft_worker_stop (worker), WEFT_OK);
    CHECK_INT (weft_worker_stop (worker), WEFT_OK);
    CHECK_INT (weft_worker_wait_ready (worker, 0), WEFT_INVALID);
    weft_worker_destroy (&worker);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

/*  ------------------------------------------------------------------ beats  */

TEST (g5_a_busy_handler_never_delays_a_beat)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    atomic_store (&broker.next_ms, 10);
    weft_worker_t *worker = start (&broker, &(weft_worker_options_t){.concurrency = 1});
    order_call (&broker, 1, "Arith.Hang");
    fake_await (&running, 1);
    fake_await (&broker.beats, atomic_load (&broker.beats) + 5);
    CHECK_INT (fake_seen (&broker).load.in_flight, 1);
    atomic_store (&released, 1);
    fake_await (&broker.replies, 1);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (g6_a_worker_registers_again_within_a_second_of_its_brokers_return)
{
    fake_broker_t broker;
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    CHECK_INT (fake_seen (&broker).incarnation, 1);
    memcpy (endpoint, broker.endpoint, sizeof endpoint);
    fake_stop (&broker);
    while (weft_worker_wait_ready (worker, 0) == WEFT_OK)
        poll (NULL, 0, 1);
    fake_start (&broker, endpoint);
    const int64_t start_us = clock_now_us ();
    fake_await (&broker.registers, 1);
    CHECK (clock_now_us () - start_us < 1000000);
    CHECK_INT (fake_seen (&broker).incarnation, 2);
    CHECK_INT (weft_worker_wait_ready (worker, 10000), WEFT_OK);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (a_worker_goes_to_another_broker)
{
    fake_broker_t one, two;
    char both [2 * WEFT_ENDPOINT_MAX + 8];
    fake_start (&one, NULL);
    fake_start (&two, NULL);
    snprintf (both, sizeof both, "%s, %s", one.endpoint, two.endpoint);
    weft_worker_t *worker = make (both, NULL);
    CHECK_INT (weft_worker_start (worker, 10000), WEFT_OK);
    CHECK_INT (one.registers, 1);
    fake_stop (&one);
    fake_await (&two.registers, 1);
    CHECK_INT (fake_seen (&two).incarnation, 2);
    CHECK_STR (fake_seen (&two).uuid, weft_worker_uuid (worker));
    weft_worker_destroy (&worker);
    fake_stop (&two);
}

/*  ------------------------------------------------------------------ direct callers  */

/*  Connects a caller's socket and sends HELLO and one request for `method`, with `size` bytes of a pair. */
static void hello_and_call (void *socket, const char *endpoint, const char *method, size_t size)
{
    static const char *const codecs [] = {"msgpack", NULL};
    char address [WEFT_ENDPOINT_MAX + 1];
    message_t message;
    buffer_t records;

    snprintf (address, sizeof address, "%s", endpoint);
    if (strncmp (address, "tcp://0.0.0.0:", 14) == 0)
        snprintf (address, sizeof address, "tcp://127.0.0.1:%s", endpoint + 14);
    CHECK (socket && zmq_connect (socket, address) == 0);
    buffer_init (&records, 10000);
    message_init (&message);
    wire_write_hello (&records, "client", codecs, "test", NULL);
    wire_write_request (&records, 1, text_of (method), 60000, "\x92\x07\x06", size, false, NULL);
    CHECK (message_add_bytes (&message, records.data, records.size));
    CHECK_INT (transport_send (socket, NULL, 0, &message), 0);
    buffer_fini (&records);
}

static void *call_directly (void *context, const char *endpoint, const char *method, size_t size)
{
    void *socket = transport_socket (context, ZMQ_DEALER, 0);
    hello_and_call (socket, endpoint, method, size);
    return socket;
}

/*  Waits for a REPLY on a caller's socket; its first byte. */
static int await_reply (void *socket)
{
    for (;;) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
        message_t message;
        wire_record_t record;
        zmq_msg_t *attachment;
        const char *fault;
        int byte = -1;

        CHECK_INT (zmq_poll (&item, 1, 20000), 1);
        message_init (&message);
        CHECK_INT (transport_receive (socket, NULL, &message, &fault), 1);
        message_cursor_t cursor = message_cursor (&message);
        while (message_next (&cursor, &record, &attachment, &fault) > 0)
            if (record.kind == WIRE_REPLY)
                byte = record.status == WEFT_OK ? record.body [0] : 1000 + (int) record.status;
        message_fini (&message);
        if (byte >= 0)
            return byte;
    }
}

TEST (h12_tcp_ipc_and_inproc_callers_are_served_side_by_side)
{
    fake_broker_t broker;
    void *sockets [3], *context = transport_context_acquire ();
#ifdef __SANITIZE_THREAD__
    const size_t count =
        2; /* over inproc, memory changes hands inside libzmq, where this sanitizer does not look */
#else
    const size_t count = 3;
#endif
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    for (size_t i = 0; i < count; i++) {
        CHECK (weft_worker_endpoint (worker, i));
        sockets [i] = call_directly (context, weft_worker_endpoint (worker, i),
                                     i ? "Arith.Add" : "Arith.AddHere", 3);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK_INT (await_reply (sockets [i]), 13);
        zmq_close (sockets [i]);
    }
    char path [WEFT_ENDPOINT_MAX + 1], inproc [WEFT_ENDPOINT_MAX + 1];
    snprintf (path, sizeof path, "%s", weft_worker_endpoint (worker, 1) + 6);
    snprintf (inproc, sizeof inproc, "%s", weft_worker_endpoint (worker, 2));
    CHECK (access (path, F_OK) == 0);
    CHECK (transport_inproc_has (inproc));
    weft_worker_destroy (&worker);
    CHECK (access (path, F_OK) < 0);
    CHECK (!transport_inproc_has (inproc));
    transport_context_release ();
    fake_stop (&broker);
}

TEST (a_direct_caller_that_dies_cancels_its_handlers)
{
    fake_broker_t broker;
    void *context = transport_context_acquire ();
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, &(weft_worker_options_t){.concurrency = 1});
    void *socket = call_directly (context, weft_worker_endpoint (worker, 0), "Arith.Hold", 0);
    fake_await (&running, 1);
    zmq_close (socket);
    fake_call (&broker, 1, "Arith.Add", "\x92\x07\x06", 3, NULL); /* the only slot is free again */
    CHECK_INT (fake_seen (&broker).status, WEFT_OK);
    weft_worker_destroy (&worker);
    transport_context_release ();
    fake_stop (&broker);
}

/*  Replies that a caller has: of messages that are there, or of one that must come. */
static int count_replies (void *socket)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    message_t message;
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;
    int count = 0;

    CHECK_INT (zmq_poll (&item, 1, 20000), 1);
    message_init (&message);
    CHECK_INT (transport_receive (socket, NULL, &message, &fault), 1);
    message_cursor_t cursor = message_cursor (&message);
    while (message_next (&cursor, &record, &attachment, &fault) > 0)
        count += record.kind == WIRE_REPLY;
    message_fini (&message);
    return count;
}

static void send_request (void *socket, uint64_t id, const char *method, size_t size)
{
    message_t message;
    buffer_t records;
    buffer_init (&records, 1000);
    message_init (&message);
    wire_write_request (&records, id, text_of (method), 60000, "\x92\x07\x06", size, false, NULL);
    CHECK (message_add_bytes (&message, records.data, records.size));
    CHECK_INT (transport_send (socket, NULL, 0, &message), 0);
    buffer_fini (&records);
}

TEST (a_caller_that_does_not_read_holds_nobody_up_and_loses_nothing)
{
    enum { CALLS = 300 };
    fake_broker_t broker;
    void *context = transport_context_acquire ();
    const int one = 1;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    void *slow = transport_socket (context, ZMQ_DEALER, 0);
    CHECK_INT (zmq_setsockopt (slow, ZMQ_RCVHWM, &one, sizeof one), 0);
    hello_and_call (slow, weft_worker_endpoint (worker, 0), "Arith.Blob", 0); /* fills the way to it */
    for (int i = 0; i < CALLS; i++) {
        const int before = atomic_load (&served);
        send_request (slow, (uint64_t) i + 2, "Arith.AddHere", 3);
        while (atomic_load (&served) == before) /* so that they are not one message */
            sched_yield ();
    }
    fake_call (&broker, 1, "Arith.Add", "\x92\x07\x06", 3, NULL);
    CHECK_INT (fake_seen (&broker).status, WEFT_OK);
    for (int replies = 0; replies < CALLS + 1;)
        replies += count_replies (slow);
    zmq_close (slow);
    weft_worker_destroy (&worker);
    transport_context_release ();
    fake_stop (&broker);
}

/*  Asks so that the reply is a message of its own: when another caller has been answered, what was served before it has left. */
static void call_alone (void *socket, void *another, uint64_t id)
{
    const int before = atomic_load (&served);
    send_request (socket, id, "Arith.AddHere", 3);
    for (int calls = 1, more = 1; more >= 0; calls++) {
        send_request (another, id * 1000 + (uint64_t) calls, "Arith.AddHere", 3);
        CHECK_INT (await_reply (another), 13);
        more -= atomic_load (&served) > before + calls;
    }
}

/*  What it said before may have been on its way. */
static void await_idle (fake_broker_t *broker)
{
    do
        fake_await (&broker->beats, atomic_load (&broker->beats) + 2);
    while (fake_seen (broker).load.in_flight > 0);
}

/*  Else its next calls would be a stranger's, over a connection that it takes for good: they would wait for their deadlines. */
TEST (a_caller_that_too_much_waits_for_is_hung_up_on)
{
    enum { PIPE = 1100, BLOBS = 5 }; /* messages that libzmq takes; 15 MB each, the last one is over WEFT_OUTBOX_MAX */
    fake_broker_t broker;
    void *context = transport_context_acquire ();
    transport_event_t event = {0};
    message_t message;
    const char *fault;
    const int one = 1;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    void *slow = transport_socket (context, ZMQ_DEALER, 0);
    void *monitor = transport_monitor_open (context, slow);
    CHECK_INT (zmq_setsockopt (slow, ZMQ_RCVHWM, &one, sizeof one), 0);
    void *quick = call_directly (context, weft_worker_endpoint (worker, 0), "Arith.AddHere", 3);
    CHECK_INT (await_reply (quick), 13);
    hello_and_call (slow, weft_worker_endpoint (worker, 0), "Arith.Blob", 0); /* libzmq takes this one for it, */
    fake_await (&blobs, 1);
    call_alone (slow, quick, 2);
    send_request (slow, 3, "Arith.Blob", 0); /* and this one fills the way there */
    fake_await (&blobs, 2);
    for (int i = 0; i < PIPE; i++)
        call_alone (slow, quick, (uint64_t) i + 4);
    for (int i = 0; i < BLOBS; i++)
        send_request (slow, (uint64_t) i + PIPE + 4, "Arith.Blob", 0);
    fake_await (&blobs, BLOBS + 2);
    await_idle (&broker); /* what they answered is on its way */
    message_init (&message);
    while (event.kind != TRANSPORT_LOST) {
        zmq_pollitem_t items [] = {{slow, 0, ZMQ_POLLIN, 0}, {monitor, 0, ZMQ_POLLIN, 0}};
        CHECK (zmq_poll (items, 2, 20000) > 0);
        transport_receive (slow, NULL, &message, &fault);
        message_clear (&message);
        transport_monitor_next (monitor, &event);
    }
    transport_monitor_close (slow, &monitor);
    zmq_close (slow);
    zmq_close (quick);
    weft_worker_destroy (&worker);
    transport_context_release ();
    fake_stop (&broker);
}

/*  ------------------------------------------------------------------ stopping  */

static void *release_later (void *arg)
{
    fake_broker_t *broker = arg;
    fake_await (&broker->drainings, 1);
    atomic_store (&released, 1);
    return NULL;
}

TEST (stop_finishes_what_runs)
{
    fake_broker_t broker;
    pthread_t thread;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    order_call (&broker, 1, "Arith.Hold");
    fake_await (&running, 1);
    CHECK (pthread_create (&thread, NULL, release_later, &broker) == 0);
    CHECK_INT (weft_worker_stop (worker), WEFT_OK);
    pthread_join (thread, NULL);
    fake_await (&broker.goodbyes, 1);
    CHECK_INT (broker.replies, 1);
    CHECK_INT (fake_seen (&broker).status, WEFT_OK);
    CHECK_INT (broker.window, 0);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (handlers_that_do_not_end_are_abandoned_in_time)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, &(weft_worker_options_t){.drain_timeout_ms = 30});
    order_call (&broker, 1, "Arith.Hang");
    fake_await (&running, 1);
    CHECK_INT (weft_worker_stop (worker), WEFT_DEADLINE_EXCEEDED);
    CHECK_STR (weft_worker_error (worker), "handlers still ran after 30 ms and were abandoned");
    weft_worker_destroy (&worker); /* the handler is still there, and needs its request */
    CHECK_INT (running, 1);
    atomic_store (&released, 1);
    while (atomic_load (&running))
        poll (NULL, 0, 1);
    fake_stop (&broker);
}

TEST (destroy_tells_handlers_and_waits_for_them)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);
    order_call (&broker, 1, "Arith.Hold");
    fake_await (&running, 1);
    weft_worker_destroy (&worker);
    fake_await (&broker.goodbyes, 1);
    CHECK_INT (broker.replies, 0);
    fake_stop (&broker);
}

static void *run (void *arg)
{
    static int code;
    code = weft_worker_run (arg);
    return &code;
}

TEST (run_ends_with_a_signal_and_gives_signals_back)
{
    fake_broker_t broker;
    struct sigaction before, after;
    pthread_t thread;
    void *code;
    fake_start (&broker, NULL);
    weft_worker_t *worker = make (broker.endpoint, NULL);
    sigaction (SIGTERM, NULL, &before);
    CHECK (pthread_create (&thread, NULL, run, worker) == 0);
    fake_await (&broker.registers, 1);
    CHECK_INT (kill (getpid (), SIGTERM), 0);
    pthread_join (thread, &code);
    CHECK_INT (*(int *) code, 0);
    sigaction (SIGTERM, NULL, &after);
    CHECK (before.sa_handler == after.sa_handler);
    fake_await (&broker.goodbyes, 1);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}

TEST (run_ends_when_the_broker_orders_a_drain)
{
    fake_broker_t broker;
    pthread_t thread;
    void *code;
    fake_start (&broker, NULL);
    weft_worker_t *worker = make (broker.endpoint, NULL);
    CHECK (pthread_create (&thread, NULL, run, worker) == 0);
    fake_await (&broker.registers, 1);
    pthread_mutex_lock (&broker.lock);
    mp_write_array (&broker.orders, 3);
    mp_write_uint (&broker.orders, WIRE_DRAINING);
    mp_write_text (&broker.orders, "asked to");
    mp_write_text (&broker.orders, weft_worker_uuid (worker));
    pthread_mutex_unlock (&broker.lock);
    pthread_join (thread, &code);
    CHECK_INT (*(int *) code, 0);
    weft_worker_destroy (&worker);
    fake_stop (&broker);
}
