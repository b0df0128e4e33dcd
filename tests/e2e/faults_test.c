/* SPDX-License-Identifier: MPL-2.0
 *
 *  Processes that die, stop, drain and come back, with calls in flight: each call has one outcome, and it is true. */

#include "calling.h"
#include "client_inside.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/*  How often each tag "0" to "n-1" was executed, by the test log. */
static void count_executions (const char *path, int *counts, int n)
{
    char line [64];
    FILE *file = fopen (path, "r");
    memset (counts, 0, (size_t) n * sizeof *counts);
    while (file && fgets (line, sizeof line, file)) {
        const int tag = atoi (line);
        CHECK (tag >= 0 && tag < n);
        counts [tag]++;
    }
    if (file)
        fclose (file);
}

typedef struct {
    _Atomic int64_t at_ms;
} moment_t;

static void note_moment (weft_call_t *call, void *arg)
{
    (void) call;
    atomic_store (&((moment_t *) arg)->at_ms, now_ms ());
}

/*  Kills the only worker while it runs four calls that are not idempotent. Each must end within 50 ms. */
static void kill_with_calls_in_flight (weft_via_t via)
{
    enum { CALLS = 4 };
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, "--concurrency", "4", NULL);
    weft_client_t *client = client_of (mesh);
    const weft_call_options_t options = {.via = via, .timeout_ms = 30000};
    weft_call_t *calls [CALLS];
    moment_t moments [CALLS] = {0};
    for (int i = 0; i < CALLS; i++) {
        char tag [8];
        snprintf (tag, sizeof tag, "%d", i);
        const count_args args = {tag, 20000};
        calls [i] = weft_client_start (client, "Count.Next", WEFT_IN (count_args, &args), &options, note_moment, &moments [i]);
    }
    call_log_await (&log, CALLS);
    const int64_t killed_ms = now_ms ();
    process_signal (worker, SIGKILL);
    for (int i = 0; i < CALLS; i++) {
        check_outcome (calls [i], WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
        const int64_t took_ms = atomic_load (&moments [i].at_ms) - killed_ms;
        if (took_ms > patient_ms (50))
            fprintf (stderr, "ended %d ms after the kill\n", (int) took_ms);
        CHECK (took_ms <= patient_ms (50));
        CHECK_INT (weft_call_attempts (calls [i]), 1);
        CHECK (strstr (weft_call_text (calls [i]), process_uuid (worker))); /* it says who */
        weft_call_destroy (&calls [i]);
    }
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_killed_worker_ends_its_direct_calls_within_50_ms)
{
    kill_with_calls_in_flight (WEFT_VIA_DIRECT);
}

TEST (a_killed_worker_ends_its_routed_calls_within_50_ms)
{
    kill_with_calls_in_flight (WEFT_VIA_BROKER);
}

/*  Two workers; the one that has the calls is killed; the calls are idempotent, so nobody notices. */
static void kill_with_idempotent_calls (weft_via_t via)
{
    enum { CALLS = 8 };
    mesh_t *mesh = mesh_new ();
    int counts [CALLS];
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, NULL);
    process_t *first = mesh_worker (mesh, "--concurrency", "8", NULL);
    weft_client_t *client = client_of (mesh);
    const weft_call_options_t options = {.via = via, .timeout_ms = 30000};
    weft_call_t *calls [CALLS];
    for (int i = 0; i < CALLS; i++) {
        char tag [8];
        snprintf (tag, sizeof tag, "%d", i);
        calls [i] = start_count (client, "Count.Safe", tag, 20000, &options);
    }
    call_log_await (&log, CALLS);
    process_t *second = mesh_worker (mesh, "--concurrency", "8", NULL);
    await_workers (client, "Count", 2);
    process_signal (first, SIGKILL);
    process_wait (first);
    call_log_let_go (&log);
    for (int i = 0; i < CALLS; i++) {
        check_outcome (calls [i], WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_attempts (calls [i]), 2);
        if (via == WEFT_VIA_DIRECT)
            CHECK_STR (weft_call_worker (calls [i]), process_uuid (second));
        weft_call_destroy (&calls [i]);
    }
    count_executions (log.path, counts, CALLS);
    for (int i = 0; i < CALLS; i++)
        CHECK_INT (counts [i], 2);
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (idempotent_direct_calls_of_a_killed_worker_are_retried_elsewhere)
{
    kill_with_idempotent_calls (WEFT_VIA_DIRECT);
}

TEST (idempotent_routed_calls_of_a_killed_worker_are_retried_elsewhere)
{
    kill_with_idempotent_calls (WEFT_VIA_BROKER);
}

TEST (n10_a_killed_broker_ends_routed_calls_with_broker_lost_and_no_direct_one)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, "--concurrency", "4", NULL);
    weft_client_t *client = client_of (mesh);
    CHECK_INT (weft_client_discover (client, "Arith", PATIENCE_MS), WEFT_OK);
    weft_call_t *routed = start_count (client, "Count.Next", "0", 20000,
                                       &(weft_call_options_t){.via = WEFT_VIA_BROKER, .timeout_ms = 30000});
    weft_call_t *direct = start_count (client, "Count.Next", "1", 20000,
                                       &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .timeout_ms = 30000});
    call_log_await (&log, 2);
    process_signal (broker, SIGKILL);
    check_outcome (routed, WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE);
    call_log_let_go (&log);
    check_outcome (direct, WEFT_OK, WEFT_EXECUTED_YES);
    for (int i = 0; i < 20; i++) /* the last good list goes on serving */
        check_add_call (client, WEFT_VIA_DIRECT, i, 1);
    for (int i = 0; i < 20; i++)
        check_add_call (client, WEFT_VIA_AUTO, i, 1);
    weft_call_destroy (&routed);
    weft_call_destroy (&direct);
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  Steady traffic on one route from a thread of its own. */
typedef struct {
    weft_client_t *client;
    weft_call_options_t options;
    const char *method;
    atomic_bool stop;
    atomic_int ok, others;
    weft_status_t last_bad;
    char last_text [256];
    pthread_t thread;
} traffic_t;

static void *drive_traffic (void *arg)
{
    traffic_t *self = arg;
    for (int64_t i = 0; !atomic_load (&self->stop); i++) {
        const pair_args args = {i, 1};
        int64_t sum = 0;
        weft_call_t *call = NULL;
        weft_status_t status =
            weft_client_call (self->client, self->method, WEFT_IN (pair_args, &args), &self->options, &call);
        if (status == WEFT_OK && weft_call_read (call, WEFT_OUT (weft_int64, &sum)) == WEFT_OK && sum == i + 1)
            self->ok++;
        else {
            self->others++;
            self->last_bad = status;
            snprintf (self->last_text, sizeof self->last_text, "%s", weft_call_text (call));
        }
        weft_call_destroy (&call);
    }
    return NULL;
}

static void traffic_start (traffic_t *self, weft_client_t *client, weft_via_t via, const char *method)
{
    *self = (traffic_t){.client = client, .method = method, .options = {.via = via, .timeout_ms = 10000}};
    CHECK (pthread_create (&self->thread, NULL, drive_traffic, self) == 0);
}

typedef struct {
    const traffic_t *traffic;
    int calls;
} traffic_wait_t;

static bool has_called (void *arg)
{
    const traffic_wait_t *wait = arg;
    return atomic_load (&wait->traffic->ok) + atomic_load (&wait->traffic->others) >= wait->calls;
}

/*  Waits until so many more calls were made: what happened meanwhile happened under load. */
static void traffic_go_on (const traffic_t *self, int calls)
{
    const int made = atomic_load (&self->ok) + atomic_load (&self->others);
    await ("traffic", has_called, &(traffic_wait_t){self, made + calls});
}

static void traffic_end (traffic_t *self)
{
    atomic_store (&self->stop, true);
    pthread_join (self->thread, NULL);
    if (self->others)
        fprintf (stderr, "%d of %d calls failed, last %s: %s\n", self->others, self->ok + self->others,
                 weft_status_str (self->last_bad), self->last_text);
}

TEST (a_broker_restart_under_load_fails_no_direct_call_and_workers_are_back_within_a_second)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    snprintf (endpoint, sizeof endpoint, "%s", mesh_endpoint (mesh));
    for (int i = 0; i < 3; i++)
        mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Arith", 3);
    CHECK_INT (weft_client_discover (client, "Foo", 5000), WEFT_OK); /* known before the broker goes */
    traffic_t direct;
    traffic_start (&direct, client, WEFT_VIA_DIRECT, "Foo.Sum"); /* not idempotent: nothing hides a failure */
    for (int round = 0; round < 3; round++) {
        process_signal (broker, round == 1 ? SIGTERM : SIGKILL);
        process_wait (broker);
        traffic_go_on (&direct, 50); /* without a broker */
        broker = mesh_broker (mesh, endpoint, NULL);
        const int64_t start_ms = now_ms ();
        weft_client_t *fresh = client_of (mesh);
        await_workers (fresh, "Arith", 3);
        const int64_t took_ms = now_ms () - start_ms;
        if (took_ms > patient_ms (1000))
            fprintf (stderr, "workers were back after %d ms\n", (int) took_ms);
        CHECK (took_ms <= patient_ms (1000));
        check_add_call (fresh, WEFT_VIA_BROKER, 1, 2);
        weft_client_destroy (&fresh);
        traffic_go_on (&direct, 50); /* with the new one */
    }
    traffic_end (&direct);
    CHECK_INT (direct.others, 0);
    check_add_call (client, WEFT_VIA_BROKER, 1, 2); /* the old client is back too */
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  Calls through a broker that goes are handed back, wait for the next one, and there for workers that are not back yet. */
TEST (a_broker_that_is_terminated_and_started_again_fails_no_routed_call)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    snprintf (endpoint, sizeof endpoint, "%s", mesh_endpoint (mesh));
    for (int i = 0; i < 2; i++)
        mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Foo", 2);
    traffic_t traffic [4];
    for (int i = 0; i < 4; i++)
        traffic_start (&traffic [i], client, i % 2 ? WEFT_VIA_BROKER : WEFT_VIA_AUTO, "Foo.Sum");
    for (int round = 0; round < 5; round++) {
        traffic_go_on (&traffic [1], 50);
        process_signal (broker, SIGTERM);
        CHECK_INT (process_wait (broker), 0);
        broker = mesh_broker (mesh, endpoint, NULL);
    }
    for (int i = 0; i < 4; i++) {
        traffic_go_on (&traffic [i], 50);
        traffic_end (&traffic [i]);
        CHECK_INT (traffic [i].others, 0);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  They know each other's addresses. `both`: all of them, for who is to know both. */
static void start_two_brokers (mesh_t *mesh, process_t *brokers [2], char endpoints [2][64], char both [160])
{
    for (int i = 0; i < 2; i++) {
        brokers [i] = mesh_broker (mesh, NULL, NULL);
        snprintf (endpoints [i], 64, "%s", mesh_endpoint (mesh));
    }
    snprintf (both, 160, "%s,%s", endpoints [0], endpoints [1]);
    for (int i = 0; i < 2; i++) { /* now they can be told of each other */
        process_signal (brokers [i], SIGTERM);
        CHECK_INT (process_wait (brokers [i]), 0);
        brokers [i] = mesh_broker (mesh, endpoints [i], "--peer-brokers", endpoints [!i], NULL);
    }
}

/*  What a worker still has of a broker that stops keeps it from nothing at the other one. */
TEST (a_worker_serves_at_the_next_broker_while_its_calls_end_at_the_one_that_stops)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    process_t *brokers [2];
    char endpoints [2][64], both [160];
    start_two_brokers (mesh, brokers, endpoints, both);
    mesh_worker (mesh, "--broker", both, NULL);
    weft_client_t *first = weft_client_new (endpoints [0], NULL), *second = weft_client_new (endpoints [1], NULL);
    weft_call_t *running = start_count (first, "Count.Next", "running", 20000,
                                        &(weft_call_options_t){.via = WEFT_VIA_BROKER, .timeout_ms = 30000});
    call_log_await (&log, 1);
    process_signal (brokers [0], SIGTERM);
    await_workers (second, "Foo", 1);
    check_add_call (second, WEFT_VIA_BROKER, 1, 2);
    CHECK (!weft_call_done (running));
    CHECK (process_running (brokers [0]));
    call_log_let_go (&log);
    check_outcome (running, WEFT_OK, WEFT_EXECUTED_YES);
    weft_call_destroy (&running);
    CHECK_INT (process_wait (brokers [0]), 0);
    check_add_call (second, WEFT_VIA_BROKER, 3, 4);
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&first);
    weft_client_destroy (&second);
    mesh_destroy (&mesh);
}

/*  Two brokers that share nothing but their addresses: all move from one to the other and back. */
TEST (a_rolling_restart_of_two_brokers_fails_no_call)
{
    mesh_t *mesh = mesh_new ();
    process_t *brokers [2];
    char endpoints [2][64], both [160];
    start_two_brokers (mesh, brokers, endpoints, both);
    for (int i = 0; i < 2; i++)
        mesh_worker (mesh, "--broker", both, NULL);
    weft_client_t *client = weft_client_new (both, NULL);
    await_workers (client, "Foo", 2);
    traffic_t traffic [4];
    for (int i = 0; i < 4; i++)
        traffic_start (&traffic [i], client, i % 2 ? WEFT_VIA_BROKER : WEFT_VIA_AUTO, "Foo.Sum");
    for (int round = 0; round < 6; round++) {
        traffic_go_on (&traffic [1], 50);
        process_signal (brokers [round % 2], SIGTERM);
        CHECK_INT (process_wait (brokers [round % 2]), 0);
        traffic_go_on (&traffic [1], 50); /* at the other one, alone */
        brokers [round % 2] = mesh_broker (mesh, endpoints [round % 2], "--peer-brokers", endpoints [!(round % 2)], NULL);
    }
    for (int i = 0; i < 4; i++) {
        traffic_go_on (&traffic [i], 50);
        traffic_end (&traffic [i]);
        CHECK_INT (traffic [i].others, 0);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_terminated_worker_drains_without_a_failed_call)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    traffic_t traffic [4];
    check_add_call (client, WEFT_VIA_DIRECT, 1, 2);
    for (int i = 0; i < 4; i++)
        traffic_start (&traffic [i], client, both_routes [i % 2], "Foo.Sum");
    for (int round = 0; round < 5; round++) {
        call_log_clear (&log);
        process_t *leaving = mesh_worker (mesh, "--concurrency", "2", NULL);
        await_workers (client, "Foo", 2);
        weft_call_t *running [2];
        for (int i = 0; i < 2; i++)
            running [i] = start_count (client, "Count.Next", "running", 20000,
                                       &(weft_call_options_t){.via = both_routes [i],
                                                              .worker = process_uuid (leaving),
                                                              .timeout_ms = 30000});
        call_log_await (&log, 2);
        process_signal (leaving, SIGTERM);
        process_said (broker, "worker draining");
        call_log_let_go (&log);
        CHECK_INT (process_wait (leaving), 0);
        for (int i = 0; i < 2; i++) { /* begun: finished */
            check_outcome (running [i], WEFT_OK, WEFT_EXECUTED_YES);
            weft_call_destroy (&running [i]);
        }
    }
    for (int i = 0; i < 4; i++) {
        traffic_go_on (&traffic [i], 1);
        traffic_end (&traffic [i]);
        CHECK_INT (traffic [i].others, 0);
    }
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (calls_that_are_not_idempotent_never_run_twice_while_workers_die)
{
    enum { CALLS = 600 };
    mesh_t *mesh = mesh_new ();
    static int counts [CALLS];
    static weft_call_t *calls [CALLS];
    process_t *workers [3];
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, NULL);
    for (int i = 0; i < 3; i++)
        workers [i] = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Count", 3);
    for (int i = 0; i < CALLS; i++) {
        char tag [8];
        snprintf (tag, sizeof tag, "%d", i);
        calls [i] = start_count (client, "Count.Next", tag, 2,
                                 &(weft_call_options_t){.via = both_routes [i % 2], .timeout_ms = 30000});
        if (i % 100 == 50) {
            process_t **victim = &workers [i / 100 % 3];
            process_signal (*victim, SIGKILL);
            *victim = mesh_worker (mesh, NULL);
        }
        CHECK (weft_call_wait (calls [i / 2], -1)); /* no more than half are open */
    }
    int by_fate [3] = {0};
    for (int i = 0; i < CALLS; i++)
        CHECK (weft_call_wait (calls [i], -1));
    count_executions (log.path, counts, CALLS);
    for (int i = 0; i < CALLS; i++) {
        const weft_executed_t executed = weft_call_executed (calls [i]);
        by_fate [executed]++;
        CHECK (counts [i] <= 1);
        if (executed == WEFT_EXECUTED_YES)
            CHECK_INT (counts [i], 1);
        if (executed == WEFT_EXECUTED_NO)
            CHECK_INT (counts [i], 0);
        CHECK ((weft_call_status (calls [i]) == WEFT_OK) == (executed == WEFT_EXECUTED_YES));
        weft_call_destroy (&calls [i]);
    }
    CHECK (by_fate [WEFT_EXECUTED_YES] > CALLS / 2);
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_stopped_worker_is_noticed_by_direct_callers_within_four_seconds)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    weft_call_t *call = start_count (client, "Count.Next", "0", 15000,
                                     &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .timeout_ms = 30000});
    call_log_await (&log, 1);
    const int64_t start_ms = now_ms ();
    process_signal (worker, SIGSTOP);
    check_outcome (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    CHECK (now_ms () - start_ms < 5000);
    weft_call_destroy (&call);
    call_log_let_go (&log);
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

typedef struct {
    weft_client_t *client;
    const char *state;
} state_wait_t;

static bool is_listed_as (void *arg)
{
    const state_wait_t *wait = arg;
    list_reply list;
    weft_call_t *call = list_workers (wait->client, "Count", &list);
    bool found = false;
    for (size_t i = 0; i < list.worker_count; i++)
        found = found || strcmp (list.workers [i].state, wait->state) == 0;
    weft_call_destroy (&call);
    return found;
}

/*  The worker has begun so many, this one included. */
static void check_count (weft_client_t *client, weft_via_t via, int64_t expected)
{
    int64_t count = 0;
    weft_call_t *call = start_count (client, "Count.Next", "after", 0, &(weft_call_options_t){.via = via, .timeout_ms = 30000});
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &count)), WEFT_OK);
    CHECK_INT (count, expected);
    weft_call_destroy (&call);
}

static void check_that_what_waited_is_not_begun (weft_via_t via)
{
    enum { CALLS = 8 };
    weft_call_t *calls [CALLS];
    mesh_t *mesh = mesh_new ();
    const weft_call_options_t options = {.via = via, .timeout_ms = 60000, .retry = WEFT_RETRY_FAILFAST};
    mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, "--concurrency", "4", NULL); /* and eight calls of its broker */
    weft_client_t *client = client_of (mesh);
    check_count (client, via, 1);
    process_signal (worker, SIGSTOP);
    for (int i = 0; i < CALLS; i++)
        calls [i] = start_count (client, "Count.Next", "before", 0, &options);
    for (int i = 0; i < CALLS; i++) {
        check_outcome (calls [i], WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
        weft_call_destroy (&calls [i]);
    }
    process_signal (worker, SIGCONT);
    await ("the worker", is_listed_as, &(state_wait_t){client, "alive"});
    for (int i = 2; i < 4; i++)
        check_count (client, via, i);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (what_a_stopped_worker_was_sent_is_not_begun_when_all_was_told_that_it_is_lost)
{
    check_that_what_waited_is_not_begun (WEFT_VIA_BROKER);
    check_that_what_waited_is_not_begun (WEFT_VIA_DIRECT);
}

TEST (a_worker_whose_handlers_hang_is_listed_as_stuck_and_others_take_the_calls)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    const weft_call_options_t routed = {.via = WEFT_VIA_BROKER, .timeout_ms = 30000};
    weft_call_t *hanging [2];
    mesh_broker (mesh, NULL, "--ttl-ms", "1000", NULL);
    mesh_worker (mesh, "--concurrency", "2", NULL);
    weft_client_t *client = client_of (mesh);
    for (int i = 0; i < 2; i++)
        hanging [i] = start_count (client, "Count.Next", "hang", 20000, &routed);
    call_log_await (&log, 2);
    await ("it to be busy", is_listed_as, &(state_wait_t){client, "busy"});
    await ("it to be stuck", is_listed_as, &(state_wait_t){client, "stuck"});
    unsetenv ("WEFT_TEST_LOG");
    mesh_worker (mesh, NULL);
    await_workers (client, "Arith", 2);
    for (int i = 0; i < 20; i++)
        check_add_call (client, i % 2 ? WEFT_VIA_BROKER : WEFT_VIA_AUTO, i, 1);
    call_log_let_go (&log);
    for (int i = 0; i < 2; i++) {
        check_outcome (hanging [i], WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&hanging [i]);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_full_queue_answers_overloaded_and_nothing_runs_twice)
{
    enum { CALLS = 60 };
    mesh_t *mesh = mesh_new ();
    static int counts [CALLS];
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, "--service-queue-max", "10", NULL);
    mesh_worker (mesh, "--concurrency", "1", "--queue-max", "5", NULL);
    weft_client_t *client = client_of (mesh);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .timeout_ms = 30000, .retry = WEFT_RETRY_FAILFAST};
        weft_call_t *calls [CALLS];
        int ok = 0, overloaded = 0;
        call_log_clear (&log);
        for (int i = 0; i < CALLS; i++) {
            char tag [8];
            snprintf (tag, sizeof tag, "%d", i);
            calls [i] = start_count (client, "Count.Next", tag, 30, &options);
        }
        for (int i = 0; i < CALLS; i++)
            CHECK (weft_call_wait (calls [i], -1));
        count_executions (log.path, counts, CALLS);
        for (int i = 0; i < CALLS; i++) {
            const weft_status_t status = weft_call_status (calls [i]);
            ok += status == WEFT_OK;
            overloaded += status == WEFT_OVERLOADED;
            CHECK_INT (counts [i], status == WEFT_OK);
            CHECK_INT (weft_call_executed (calls [i]), status == WEFT_OK ? WEFT_EXECUTED_YES : WEFT_EXECUTED_NO);
            weft_call_destroy (&calls [i]);
        }
        CHECK_INT (ok + overloaded, CALLS);
        CHECK (ok >= 5 && overloaded >= 10);
    }
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_drained_worker_hands_over_and_leaves)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    process_t *leaving = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Arith", 2);
    const char *uuid = process_uuid (leaving);
    weft_call_t *call = NULL;
    const result_t result = mesh_run (mesh, NULL, "weft", "-b", mesh_endpoint (mesh), "workers", "drain", uuid, NULL);
    CHECK_INT (result.code, 0);
    CHECK_INT (process_wait (leaving), 0);
    await_workers (client, "Arith", 1);
    check_add_call (client, WEFT_VIA_AUTO, 1, 2);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_method_that_only_some_workers_have_is_called_at_those)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    process_t *newer = mesh_start (mesh, "weft-worker", "--broker", mesh_endpoint (mesh), "--exec", "cat", "--method",
                                   "Arith.Cat", NULL); /* as while a new version is rolled out */
    process_line (newer, "weft-worker ready ");
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Arith", 2);
    FOR_BOTH_ROUTES (via)
    for (int i = 0; i < 10; i++) {
        const weft_call_options_t options = {.via = via, .timeout_ms = 10000};
        weft_call_t *call = weft_client_start_body (client, "Arith.Cat", "\x07", 1, "msgpack", &options, NULL, NULL);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&call);
        check_add_call (client, via, i, 1);
    }
    weft_call_t *nobody = weft_client_start_body (client, "Arith.Dog", "", 0, "msgpack", NULL, NULL, NULL);
    check_outcome (nobody, WEFT_UNIMPLEMENTED, WEFT_EXECUTED_NO);
    weft_call_destroy (&nobody);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_peer_without_room_does_not_keep_the_driver_spinning)
{
    enum { CALLS = 8000 };
    static weft_call_t *calls [CALLS];
    static const uint8_t data [4000];
    const weft_bytes body = {data, sizeof data};
    const weft_call_options_t options = {.via = WEFT_VIA_DIRECT, .timeout_ms = 30000, .retry = WEFT_RETRY_FAILFAST};
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    check_add_call (client, WEFT_VIA_DIRECT, 1, 2);
    CHECK_INT (weft_client_discover (client, "Echo", PATIENCE_MS), WEFT_OK);
    process_signal (worker, SIGSTOP);
    for (int i = 0; i < CALLS; i++) /* more than its connection takes: the rest has no room */
        calls [i] = weft_client_start (client, "Echo.Echo", WEFT_IN (weft_bytes, &body), &options, NULL, NULL);
    const uint64_t before = client_turns (client);
    CHECK (!weft_call_wait (calls [0], 500));
    const uint64_t turns = client_turns (client) - before;
    if (turns >= 2000) /* two or three for each try, every 2 ms; a driver that never sleeps makes tens of thousands */
        fprintf (stderr, "%d turns in half a second\n", (int) turns);
    CHECK (turns > 0 && turns < 2000);
    process_signal (worker, SIGKILL);
    for (int i = 0; i < CALLS; i++) {
        CHECK (weft_call_wait (calls [i], -1)); /* however far each came */
        weft_call_destroy (&calls [i]);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}
