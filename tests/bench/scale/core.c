/* SPDX-License-Identifier: MPL-2.0
 *
 *  core.c - what the broker's core costs as the mesh grows: no sockets, up to a hundred thousand workers.
 *
 *      weft-scale-core WORKERS SERVICES [OPERATIONS]
 *
 *  Prints a line for each operation: name, workers, services, how many were done, nanoseconds of CPU for each. Under
 *  callgrind each operation becomes a dump of its own, named after it, that holds the instructions of the measured calls alone
 *  (`run` reads them). What is measured is what a shell calls: broker_on_message, broker_tick, broker_on_lost, and taking
 *  what they left in the outboxes; making and reading the messages is not. */

#include "broker.h"
#include "log.h"
#include "mp.h"
#include "records.h"
#include "wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef WEFT_SCALE_CALLGRIND
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION (void) 0
#define CALLGRIND_STOP_INSTRUMENTATION  (void) 0
#define CALLGRIND_TOGGLE_COLLECT        (void) 0
#define CALLGRIND_ZERO_STATS            (void) 0
#define CALLGRIND_DUMP_STATS_AT(name)   (void) (name)
#endif

#define BATCH    50  /* messages that come in one turn */
#define WATCHERS 100 /* of the one service whose changes are told */
#define TTL_US   10000000LL

#define MUST(what) ((what) ? (void) 0 : fail (#what))

static _Noreturn void fail (const char *what)
{
    fprintf (stderr, "weft-scale-core: failed: %s\n", what);
    exit (1);
}

/*  The mesh ------------------------------------------------------------------------------------------------------- */

typedef struct {
    peer_t *peer;
    uint64_t beats;
    int64_t beat_us;
} crowd_t;

/*  One message that was taken from an outbox. */
typedef struct {
    peer_t *to;
    message_t message;
} taken_t;

static broker_t *broker;
static int64_t now_us = 1000000000;
static size_t worker_count, service_count;
static crowd_t *workers;
static taken_t taken [4 * BATCH + WATCHERS * BATCH];
static size_t taken_count;

/*  The meter ------------------------------------------------------------------------------------------------------ */

static int64_t spent_ns, since_ns;
static size_t done;

static int64_t cpu_ns (void)
{
    struct timespec at;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void meter_begin (void)
{
    spent_ns = 0;
    done = 0;
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

static void meter_on (void)
{
    since_ns = cpu_ns ();
    CALLGRIND_TOGGLE_COLLECT;
}

static void meter_off (void)
{
    CALLGRIND_TOGGLE_COLLECT;
    spent_ns += cpu_ns () - since_ns;
}

static void meter_end (const char *name)
{
    char label [100];
    snprintf (label, sizeof label, "%s\t%zu\t%zu\t%zu", name, worker_count, service_count, done);
    CALLGRIND_DUMP_STATS_AT (label);
    CALLGRIND_STOP_INSTRUMENTATION;
    printf ("%s\t%.1f\n", label, (double) spent_ns / (double) done);
    fflush (stdout);
}

/*  Messages ------------------------------------------------------------------------------------------------------- */

static void make (message_t *message, const buffer_t *from)
{
    message_init (message);
    MUST (message_add_bytes (message, from->data, from->size));
}

static void forget_taken (void)
{
    while (taken_count)
        message_fini (&taken [--taken_count].message);
}

/*  What a shell does at the end of a turn, but for sending. */
static void take_all (void)
{
    peer_t *peer;
    while ((peer = broker_next_dirty (broker))) {
        for (;;) {
            taken_t *at = &taken [taken_count];
            MUST (taken_count < sizeof taken / sizeof *taken);
            message_init (&at->message);
            if (!broker_take (broker, peer, &at->message, now_us))
                break;
            at->to = peer;
            taken_count++;
        }
    }
}

static void say (peer_t *peer, const buffer_t *what)
{
    message_t message;
    make (&message, what);
    broker_on_message (broker, peer, &message, now_us);
    message_fini (&message);
}

static void say_quietly (peer_t *peer, const buffer_t *what)
{
    say (peer, what);
    take_all ();
    forget_taken ();
}

static peer_t *connect_peer (const char *role)
{
    static uint64_t number;
    const char *const codecs [] = {"msgpack", NULL};
    number++;
    peer_t *peer = broker_peer_open (broker, &number, sizeof number, "10.0.0.1", now_us);
    MUST (peer);
    buffer_t *out = records ();
    wire_write_hello (out, role, codecs, "scale", NULL);
    say_quietly (peer, out);
    return peer;
}

static const char *service_name (size_t n)
{
    static char name [32];
    snprintf (name, sizeof name, "Service%zu", n);
    return name;
}

static buffer_t *registration (size_t n, uint64_t incarnation)
{
    static const char *const methods [] = {"Add", "Get", "Set"};
    char uuid [UUID_SIZE + 1], endpoint [64];
    const char *endpoints [] = {endpoint, NULL};
    buffer_t *out = records ();
    snprintf (uuid, sizeof uuid, "e0000000-0000-4000-8000-%012zx", n * 2654435761u % 0xffffffffu);
    snprintf (endpoint, sizeof endpoint, "tcp://*:%zu", 1024 + n % 60000);
    wire_write_register_begin (out, uuid, incarnation, 1);
    mp_write_array (out, 3);
    mp_write_text (out, service_name (n % service_count));
    mp_write_text (out, "1.0");
    mp_write_array (out, 3);
    for (int i = 0; i < 3; i++) {
        mp_write_array (out, 4);
        mp_write_text (out, methods [i]);
        mp_write_uint (out, 1);
        mp_write_text (out, "any");
        mp_write_text (out, "int64");
    }
    wire_write_register_end (out, endpoints, 4, NULL, "box", n, 4);
    wire_write_credit (out, 0, 16);
    return out;
}

static void join (size_t n)
{
    workers [n] = (crowd_t){.peer = connect_peer ("worker"), .beat_us = now_us};
    say_quietly (workers [n].peer, registration (n, 1));
}

static void say_watch (peer_t *peer, uint64_t id, const char *service)
{
    buffer_t body;
    buffer_init (&body, 1000);
    mp_write_array (&body, 1);
    mp_write_text (&body, service);
    buffer_t *out = records ();
    wire_write_request (out, id, text_of ("weft.Registry.Watch"), WIRE_NO_DEADLINE, body.data, body.size, false, NULL);
    say (peer, out);
    buffer_fini (&body);
}

/*  Beats ---------------------------------------------------------------------------------------------------------- */

/*  Workers beat in an order that has nothing to do with how they joined. */
static size_t shuffled (size_t i)
{
    return i * 7919 % worker_count;
}

static void beat (size_t i)
{
    static const wire_load_t load = {1, 4, 10, 1000};
    message_t batch [BATCH];
    crowd_t *from [BATCH];

    for (size_t k = 0; k < BATCH; k++) {
        from [k] = &workers [shuffled (i + k)];
        buffer_t *out = records ();
        wire_write_beat (out, ++from [k]->beats, &load);
        make (&batch [k], out);
    }
    meter_on ();
    for (size_t k = 0; k < BATCH; k++)
        broker_on_message (broker, from [k]->peer, &batch [k], now_us);
    broker_tick (broker, now_us);
    take_all ();
    meter_off ();
    MUST (taken_count >= 1);
    forget_taken ();
    for (size_t k = 0; k < BATCH; k++)
        message_fini (&batch [k]);
    done += BATCH;
}

/*  All beat once in each beat interval, as they do in a mesh at rest. */
static void measure_beats (size_t operations)
{
    const size_t rounds = operations / worker_count + 1;
    const int64_t step_us = 3000000 * BATCH / (int64_t) worker_count;

    meter_begin ();
    for (size_t round = 0; round < rounds && done < operations; round++)
        for (size_t i = 0; i + BATCH <= worker_count && done < operations; i += BATCH) {
            now_us += step_us < 1 ? 1 : step_us;
            beat (i);
        }
    meter_end ("beat");
}

/*  Calls ---------------------------------------------------------------------------------------------------------- */

static void write_request (message_t *message, uint64_t id, size_t service)
{
    char method [48];
    snprintf (method, sizeof method, "%s.Add", service_name (service));
    buffer_t *out = records ();
    wire_write_request (out, id, text_of (method), 5000, "\x92\x01\x02", 3, false, NULL);
    make (message, out);
}

/*  The replies to what was taken by workers: one message for each request. */
static size_t answer_all (message_t *replies, peer_t **from, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < taken_count; i++) {
        message_cursor_t cursor = message_cursor (&taken [i].message);
        wire_record_t record;
        zmq_msg_t *attachment;
        const char *fault;
        while (message_next (&cursor, &record, &attachment, &fault) == 1) {
            MUST (record.kind == WIRE_REQUEST && count < most);
            buffer_t *out = records ();
            wire_write_reply (out, record.id, WEFT_OK, "\x03", 1, false, NULL);
            make (&replies [count], out);
            from [count++] = taken [i].to;
        }
    }
    return count;
}

/*  Requests of all services in turn go to workers, their replies come back. */
static void measure_dispatch (peer_t *caller, size_t operations)
{
    static uint64_t id;
    message_t batch [BATCH];
    peer_t *from [BATCH];

    meter_begin ();
    for (size_t i = 0; i < operations; i += BATCH) {
        now_us += 100;
        for (size_t k = 0; k < BATCH; k++)
            write_request (&batch [k], ++id, (i + k) * 31 % service_count);
        meter_on ();
        for (size_t k = 0; k < BATCH; k++)
            broker_on_message (broker, caller, &batch [k], now_us);
        broker_tick (broker, now_us);
        take_all ();
        meter_off ();
        for (size_t k = 0; k < BATCH; k++)
            message_fini (&batch [k]);
        const size_t count = answer_all (batch, from, BATCH);
        MUST (count == BATCH);
        forget_taken ();
        meter_on ();
        for (size_t k = 0; k < BATCH; k++)
            broker_on_message (broker, from [k], &batch [k], now_us);
        broker_tick (broker, now_us);
        take_all ();
        meter_off ();
        MUST (taken_count > 0 && taken [0].to == caller);
        forget_taken ();
        for (size_t k = 0; k < BATCH; k++)
            message_fini (&batch [k]);
        done += BATCH;
    }
    MUST (broker_gauges (broker).calls == 0);
    meter_end ("dispatch");
}

/*  Coming and going ----------------------------------------------------------------------------------------------- */

static void measure_joins (size_t operations)
{
    message_t batch [BATCH];
    peer_t *from [BATCH];

    meter_begin ();
    for (size_t i = 0; i < operations; i += BATCH) {
        for (size_t k = 0; k < BATCH; k++) {
            from [k] = connect_peer ("worker");
            make (&batch [k], registration (worker_count + i + k, 1));
        }
        meter_on ();
        for (size_t k = 0; k < BATCH; k++)
            broker_on_message (broker, from [k], &batch [k], now_us);
        take_all ();
        meter_off ();
        forget_taken ();
        for (size_t k = 0; k < BATCH; k++) {
            message_fini (&batch [k]);
            broker_on_lost (broker, from [k], now_us);
        }
        done += BATCH;
    }
    meter_end ("registration");
}

static void measure_losses (size_t operations)
{
    peer_t *from [BATCH];

    meter_begin ();
    for (size_t i = 0; i < operations; i += BATCH) {
        for (size_t k = 0; k < BATCH; k++) {
            from [k] = connect_peer ("worker");
            say_quietly (from [k], registration (worker_count + i + k, 1));
        }
        meter_on ();
        for (size_t k = 0; k < BATCH; k++)
            broker_on_lost (broker, from [k], now_us);
        meter_off ();
        done += BATCH;
    }
    meter_end ("loss");
}

/*  A worker of service 0 comes and goes; those who watch it are told twice, the others nothing. */
static void measure_deltas (size_t operations)
{
    peer_t *watchers [WATCHERS], *worker;
    const size_t rounds = operations / WATCHERS / 4 + 1;

    for (size_t i = 0; i < WATCHERS; i++) {
        watchers [i] = connect_peer ("client");
        say_watch (watchers [i], 1, service_name (0));
        do {
            broker_tick (broker, now_us);
            take_all ();
            forget_taken ();
        } while (broker_next_us (broker) <= now_us);
    }
    meter_begin ();
    for (size_t round = 0; round < rounds; round++) {
        const size_t n = worker_count * service_count; /* of service 0 */
        message_t message;
        worker = connect_peer ("worker");
        make (&message, registration (n, 1));
        meter_on ();
        broker_on_message (broker, worker, &message, now_us);
        take_all ();
        meter_off ();
        MUST (taken_count == WATCHERS + 1);
        forget_taken ();
        message_fini (&message);
        meter_on ();
        broker_on_lost (broker, worker, now_us);
        take_all ();
        meter_off ();
        MUST (taken_count == WATCHERS);
        forget_taken ();
        done += (size_t) 2 * WATCHERS;
    }
    meter_end ("delta");
    for (size_t i = 0; i < WATCHERS; i++)
        broker_on_lost (broker, watchers [i], now_us);
}

/*  A whole list for one watcher, for each worker on it. */
static void measure_lists (size_t operations)
{
    const size_t listed = worker_count / service_count, rounds = operations / (listed + 1) + 1;
    peer_t *watcher = connect_peer ("client");

    if (listed == 0)
        return;
    meter_begin ();
    for (uint64_t id = 1; id <= rounds; id++) {
        meter_on ();
        say_watch (watcher, id, service_name (0));
        do {
            broker_tick (broker, now_us);
            take_all ();
            forget_taken ();
        } while (broker_next_us (broker) <= now_us);
        meter_off ();
        buffer_t *out = records ();
        wire_write_cancel (out, id);
        say_quietly (watcher, out);
        done += listed;
    }
    meter_end ("list");
    broker_on_lost (broker, watcher, now_us);
}

/*  Nobody beats any more: suspicion first, then the end, each worker at its own time. */
static void measure_expiry (void)
{
    meter_begin ();
    for (int64_t end_us = now_us + 3 * TTL_US; now_us < end_us; now_us += 50000) {
        meter_on ();
        broker_tick (broker, now_us);
        take_all ();
        meter_off ();
        forget_taken ();
    }
    done = broker_counters (broker)->expired;
    MUST (done == worker_count && broker_gauges (broker).workers == 0);
    meter_end ("expiry");
}

/*  Time passes without a stall. */
static void settle (void)
{
    for (int i = 0; i < 8; i++) {
        now_us += 500000;
        broker_tick (broker, now_us);
    }
}

static long resident_kib (void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen ("/proc/self/statm", "r");
    MUST (file && fscanf (file, "%ld %ld", &pages, &resident) == 2);
    fclose (file);
    return resident * (sysconf (_SC_PAGESIZE) / 1024);
}

static size_t number (const char *text, const char *what, size_t least, size_t most)
{
    char *end;
    const unsigned long value = strtoul (text, &end, 10);
    if (*end || value < least || value > most) {
        fprintf (stderr, "weft-scale-core: %s \"%s\": a number from %zu to %zu is wanted\n", what, text, least, most);
        exit (2);
    }
    return value;
}

int main (int argc, char **argv)
{
    if (argc < 3 || argc > 4) {
        fprintf (stderr, "usage: weft-scale-core WORKERS SERVICES [OPERATIONS]\n");
        return 2;
    }
    worker_count = number (argv [1], "WORKERS", BATCH, 1000000);
    service_count = number (argv [2], "SERVICES", 1, worker_count);
    const size_t operations = number (argc > 3 ? argv [3] : "20000", "OPERATIONS", BATCH, 10000000);
    const broker_settings_t settings = {.uuid = "b0000000-0000-4000-8000-000000000000",
                                        .peers_max = worker_count + 1000,
                                        .services_max = service_count + 10,
                                        .ttl_ms = TTL_US / 1000};
    log_to_stderr (WEFT_LOG_ERROR, false);
    broker = broker_new (&settings, now_us, 42);
    workers = calloc (worker_count, sizeof *workers);
    MUST (broker && workers);

    const long before_kib = resident_kib ();
    for (size_t i = 0; i < worker_count; i++)
        join (i);
    printf ("memory\t%zu\t%zu\t%zu\t%.0f\n", worker_count, service_count, worker_count,
            (double) (resident_kib () - before_kib) * 1024 / (double) worker_count);
    peer_t *caller = connect_peer ("client");
    settle ();
    measure_beats (operations);
    measure_dispatch (caller, operations);
    measure_joins (operations / 4);
    measure_losses (operations / 4);
    measure_deltas (operations);
    measure_lists (operations);
    measure_expiry ();
    broker_destroy (&broker);
    free (workers);
    return 0;
}
