/* SPDX-License-Identifier: MPL-2.0
 *
 *  peer.c - a real client or worker beside the herd: what its calls cost while the mesh is large.
 *
 *      weft-scale-peer work BROKER SERVICE
 *      weft-scale-peer call BROKER SERVICE direct|routed OUTSTANDING SECONDS [ENDPOINTS]
 *
 *  `work` serves SERVICE.Add until SIGTERM, and prints "ready" once it is registered. `call` keeps OUTSTANDING calls of
 *  SERVICE.Add open, checks each answer, and prints one line: calls, calls a second, p50 and p99 in microseconds, its own CPU
 *  in microseconds a call, its memory, and to how many workers it is connected. With ENDPOINTS it first calls until it has that
 *  many connections, and takes the workers in turn. */

#include <weft.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int64_t a, b;
} add_args;
WEFT_SCHEMA (add_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static _Noreturn void fail (const char *what, const char *why)
{
    fprintf (stderr, "weft-scale-peer: %s: %s\n", what, why);
    exit (1);
}

static int64_t now_ns (void)
{
    struct timespec at;
    clock_gettime (CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static double cpu_seconds (void)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long resident_kib (void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen ("/proc/self/statm", "r");
    if (!file || fscanf (file, "%ld %ld", &pages, &resident) != 2)
        fail ("memory", "cannot be read");
    fclose (file);
    return resident * (sysconf (_SC_PAGESIZE) / 1024);
}

/*  work ----------------------------------------------------------------------------------------------------------- */

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const add_args *in = args;
    (void) request;
    *(int64_t *) reply = in->a + in->b;
    return WEFT_OK;
}

static int work (const char *broker, const char *service)
{
    static const weft_method_t methods [] = {WEFT_METHOD ("Add", add, add_args, weft_int64, WEFT_IDEMPOTENT), {0}};
    sigset_t ends;
    int number;
    sigemptyset (&ends);
    sigaddset (&ends, SIGTERM);
    pthread_sigmask (SIG_BLOCK, &ends, NULL); /* in the worker's threads too */
    weft_worker_t *worker = weft_worker_new (broker, NULL);
    if (!worker || weft_worker_add (worker, service, methods, NULL) != WEFT_OK ||
        weft_worker_start (worker, 20000) != WEFT_OK)
        fail ("worker", weft_worker_error (worker));
    puts ("ready");
    fflush (stdout);
    sigwait (&ends, &number);
    weft_worker_destroy (&worker);
    return 0;
}

/*  call ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    weft_client_t *client;
    char method [256];
    weft_call_options_t options;
    int64_t end_ns;         /* no call is started after it */
    uint32_t *latencies_ns;
    size_t room;
    atomic_size_t calls, open;
    sem_t all_ended;
} run_t;

/*  One of the calls that are kept open. */
typedef struct {
    run_t *run;
    add_args args;
    int64_t sent_ns;
} slot_t;

static void on_done (weft_call_t *call, void *arg);

static void start (slot_t *slot)
{
    slot->args.a++;
    slot->sent_ns = now_ns ();
    if (!weft_client_start (slot->run->client, slot->run->method, WEFT_IN (add_args, &slot->args), &slot->run->options, on_done,
                            slot))
        fail (slot->run->method, "out of memory");
}

static void check (weft_call_t *call, const add_args *args)
{
    int64_t sum = 0;
    if (weft_call_status (call) != WEFT_OK)
        fail (weft_call_method (call), weft_call_text (call));
    if (weft_call_read (call, WEFT_OUT (weft_int64, &sum)) != WEFT_OK || sum != args->a + args->b)
        fail (weft_call_method (call), "a wrong answer");
}

static void on_done (weft_call_t *call, void *arg)
{
    slot_t *slot = arg;
    run_t *run = slot->run;
    const int64_t at_ns = now_ns ();
    check (call, &slot->args);
    weft_call_destroy (&call);
    const size_t n = atomic_fetch_add (&run->calls, 1);
    if (n < run->room)
        run->latencies_ns [n] = (uint32_t) (at_ns - slot->sent_ns);
    if (at_ns < run->end_ns)
        start (slot);
    else if (atomic_fetch_sub (&run->open, 1) == 1)
        sem_post (&run->all_ended);
}

/*  One at a time, by the thread that waits. */
static void run_alone (run_t *run)
{
    add_args args = {0, 7};
    for (int64_t at_ns = now_ns (); at_ns < run->end_ns;) {
        weft_call_t *call;
        args.a++;
        weft_client_call (run->client, run->method, WEFT_IN (add_args, &args), &run->options, &call);
        check (call, &args);
        weft_call_destroy (&call);
        const int64_t done_ns = now_ns ();
        const size_t n = atomic_fetch_add (&run->calls, 1);
        if (n < run->room)
            run->latencies_ns [n] = (uint32_t) (done_ns - at_ns);
        at_ns = done_ns;
    }
}

static void run_many (run_t *run, size_t outstanding)
{
    slot_t *slots = calloc (outstanding, sizeof *slots);
    if (!slots)
        fail ("call", "out of memory");
    atomic_store (&run->open, outstanding);
    for (size_t i = 0; i < outstanding; i++) {
        slots [i] = (slot_t){.run = run, .args = {0, (int64_t) i}};
        start (&slots [i]);
    }
    sem_wait (&run->all_ended);
    free (slots);
}

static void run_for (run_t *run, size_t outstanding, double seconds)
{
    atomic_store (&run->calls, 0);
    run->end_ns = now_ns () + (int64_t) (seconds * 1e9);
    if (outstanding == 1)
        run_alone (run);
    else
        run_many (run, outstanding);
}

static int compare (const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

static int call (const char *broker, const char *service, bool direct, size_t outstanding, double seconds, size_t endpoints)
{
    const weft_client_options_t options = {.call = {.timeout_ms = 20000, .connect_timeout_ms = 20000}};
    static run_t run;
    sem_init (&run.all_ended, 0, 0);
    run.client = weft_client_new (broker, &options);
    if (!run.client)
        fail ("client", weft_client_error ());
    snprintf (run.method, sizeof run.method, "%s.Add", service);
    run.options = (weft_call_options_t){.via = direct ? WEFT_VIA_DIRECT : WEFT_VIA_BROKER,
                                        .balance = endpoints ? WEFT_BALANCE_ROUND_ROBIN : WEFT_BALANCE_DEFAULT};
    const weft_status_t status = weft_client_discover (run.client, service, 20000);
    if (status != WEFT_OK)
        fail (service, weft_status_str (status));
    run_for (&run, outstanding, 0.3);
    for (int tries = 0; weft_client_stats (run.client).endpoints < endpoints; tries++) {
        if (tries == 100)
            fail (service, "not all workers can be connected");
        run_for (&run, 64, 0.3);
    }
    run.room = 20000000;
    run.latencies_ns = malloc (run.room * sizeof *run.latencies_ns);
    if (!run.latencies_ns)
        fail ("call", "out of memory");
    const long rss_kib = resident_kib ();
    const double cpu = cpu_seconds ();
    const int64_t since_ns = now_ns ();
    run_for (&run, outstanding, seconds);
    const double took = (double) (now_ns () - since_ns) / 1e9, used = cpu_seconds () - cpu;
    const size_t calls = atomic_load (&run.calls), kept = calls < run.room ? calls : run.room;
    qsort (run.latencies_ns, kept, sizeof *run.latencies_ns, compare);
    printf ("calls=%zu rate=%.0f p50_us=%.1f p99_us=%.1f cpu_us=%.2f rss_kib=%ld endpoints=%llu\n", calls, (double) calls / took,
            run.latencies_ns [kept / 2] / 1e3, run.latencies_ns [kept * 99 / 100] / 1e3, used * 1e6 / (double) calls, rss_kib,
            (unsigned long long) weft_client_stats (run.client).endpoints);
    free (run.latencies_ns);
    weft_client_destroy (&run.client);
    return 0;
}

int main (int argc, char **argv)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
    if (argc == 4 && strcmp (argv [1], "work") == 0)
        return work (argv [2], argv [3]);
    if ((argc == 7 || argc == 8) && strcmp (argv [1], "call") == 0)
        return call (argv [2], argv [3], strcmp (argv [4], "direct") == 0, (size_t) atol (argv [5]), atof (argv [6]),
                     argc == 8 ? (size_t) atol (argv [7]) : 0);
    fprintf (stderr, "usage: weft-scale-peer work BROKER SERVICE\n"
                     "       weft-scale-peer call BROKER SERVICE direct|routed OUTSTANDING SECONDS [ENDPOINTS]\n");
    return 2;
}
