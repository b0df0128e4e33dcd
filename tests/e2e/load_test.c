/* SPDX-License-Identifier: MPL-2.0
 *
 *  Many threads on one client object, each answer checked. */

#include "calling.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 8 };

/*  10,000 calls a thread; a tenth of that under a wrapper, which is fifty times slower. */
static int calls_per_thread (void)
{
    return getenv ("WEFT_TEST_WRAPPER") ? 100 : 10000;
}

typedef struct {
    weft_client_t *client;
    weft_call_options_t options;
    int number;
    int good;
    pthread_t thread;
} caller_t;

static void *call_many (void *arg)
{
    caller_t *self = arg;
    for (int i = 0; i < calls_per_thread (); i++) {
        const pair_args args = {self->number * 1000000 + i, i};
        int64_t sum = -1;
        weft_call_t *call = NULL;
        const weft_status_t status = weft_client_call (self->client, i % 2 ? "Arith.Add" : "Foo.Sum",
                                                       WEFT_IN (pair_args, &args), &self->options, &call);
        if (status != WEFT_OK)
            fprintf (stderr, "call %d: %s: %s\n", i, weft_status_str (status), weft_call_text (call));
        else if (weft_call_read (call, WEFT_OUT (weft_int64, &sum)) == WEFT_OK && sum == args.a + args.b)
            self->good++;
        weft_call_destroy (&call);
    }
    return NULL;
}

static void many_threads (weft_via_t via)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    caller_t callers [THREADS];
    for (int i = 0; i < THREADS; i++) {
        callers [i] = (caller_t){.client = client, .options = {.via = via, .timeout_ms = 60000}, .number = i};
        CHECK (pthread_create (&callers [i].thread, NULL, call_many, &callers [i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join (callers [i].thread, NULL);
        CHECK_INT (callers [i].good, calls_per_thread ());
    }
    const weft_client_stats_t stats = weft_client_stats (client);
    CHECK_INT (stats.failed, 0);
    CHECK (stats.finished >= (uint64_t) THREADS * (uint64_t) calls_per_thread ());
    CHECK_INT (stats.late, 0);
    CHECK_INT (stats.malformed, 0);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (eight_threads_make_ten_thousand_direct_calls_each)
{
    many_threads (WEFT_VIA_DIRECT);
}

TEST (eight_threads_make_ten_thousand_routed_calls_each)
{
    many_threads (WEFT_VIA_BROKER);
}

/*  Asynchronous: each completion starts the next call, from the callback. */
typedef struct {
    weft_client_t *client;
    weft_call_options_t options;
    atomic_int left, good, done;
} relay_t;

static void relay (weft_call_t *call, void *arg);

static void start_next (relay_t *self)
{
    const int i = atomic_fetch_sub (&self->left, 1);
    const pair_args args = {i, 7};
    if (i <= 0) {
        atomic_fetch_add (&self->done, 1);
        return;
    }
    CHECK (weft_client_start (self->client, "Arith.Add", WEFT_IN (pair_args, &args), &self->options, relay, self));
}

static void relay (weft_call_t *call, void *arg)
{
    relay_t *self = arg;
    int64_t sum = -1;
    if (weft_call_read (call, WEFT_OUT (weft_int64, &sum)) == WEFT_OK)
        atomic_fetch_add (&self->good, sum > 7);
    weft_call_destroy (&call);
    start_next (self);
}

static bool relays_done (void *arg)
{
    return atomic_load (&((relay_t *) arg)->done) == 64;
}

TEST (callbacks_that_start_calls_keep_64_outstanding)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    FOR_BOTH_ROUTES (via)
    {
        const int total = getenv ("WEFT_TEST_WRAPPER") ? 500 : 20000;
        relay_t self = {.client = client, .options = {.via = via, .timeout_ms = 30000}, .left = total};
        for (int i = 0; i < 64; i++)
            start_next (&self);
        await ("all calls", relays_done, &self);
        CHECK_INT (atomic_load (&self.good), total);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (s13_protocol_registry_discovery_balancing_and_timeouts_work_together)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    for (int i = 0; i < 3; i++)
        mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Arith", 3);
    static const weft_balance_t modes [] = {WEFT_BALANCE_P2C,   WEFT_BALANCE_RANDOM, WEFT_BALANCE_ROUND_ROBIN,
                                            WEFT_BALANCE_WEIGHTED, WEFT_BALANCE_LEAST,  WEFT_BALANCE_HASH,
                                            WEFT_BALANCE_PRIMARY};
    FOR_BOTH_ROUTES (via)
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        char workers [8][64];
        size_t distinct = 0;
        for (int i = 0; i < 30; i++) {
            char key [16];
            snprintf (key, sizeof key, "key %d", i);
            const weft_call_options_t options = {.via = via, .balance = modes [m], .key = key, .timeout_ms = 5000};
            const pair_args args = {i, i};
            int64_t sum = 0;
            weft_call_t *call = NULL;
            weft_client_call (client, "Foo.Sum", WEFT_IN (pair_args, &args), &options, &call);
            check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
            CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &sum)), WEFT_OK);
            CHECK_INT (sum, 2 * i);
            size_t at = 0;
            while (at < distinct && strcmp (workers [at], weft_call_worker (call)) != 0)
                at++;
            if (at == distinct && distinct < 8)
                snprintf (workers [distinct++], 64, "%s", weft_call_worker (call));
            weft_call_destroy (&call);
        }
        if (via == WEFT_VIA_DIRECT && modes [m] == WEFT_BALANCE_ROUND_ROBIN)
            CHECK_INT (distinct, 3);
        if (modes [m] == WEFT_BALANCE_PRIMARY)
            CHECK_INT (distinct, 1);
        if (modes [m] == WEFT_BALANCE_HASH)
            CHECK (distinct > 1);
    }
    const weft_call_options_t hasty = {.timeout_ms = 50};
    know_the_way (client, "Slow.Sleep", WEFT_VIA_AUTO);
    weft_call_t *late = start_slow (client, "Slow.Sleep", 5000, &hasty);
    check_outcome (late, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&late);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}
