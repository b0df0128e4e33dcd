/* SPDX-License-Identifier: MPL-2.0
 *
 *  Registering, finding and watching workers, between real processes. */

#include "calling.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TEST (g1_clients_and_workers_know_only_the_brokers_address)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    check_add_call (client, WEFT_VIA_DIRECT, 40, 2); /* the worker's own endpoint came from the broker */
    check_add_call (client, WEFT_VIA_BROKER, 40, 2);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g2_a_worker_registers_the_ephemeral_port_it_got)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, "--bind", "tcp://127.0.0.1:*", NULL);
    weft_client_t *client = client_of (mesh);
    list_reply list;
    weft_call_t *call = list_workers (client, "Arith", &list);
    CHECK_INT (list.worker_count, 1);
    CHECK_STR (list.workers [0].uuid, process_uuid (worker));
    CHECK_STR (list.workers [0].endpoints [0], process_ready_word (worker, 3));
    CHECK (strncmp (list.workers [0].endpoints [0], "tcp://127.0.0.1:", 16) == 0);
    CHECK (atoi (list.workers [0].endpoints [0] + 16) > 0);
    weft_call_destroy (&call);
    check_add_call (client, WEFT_VIA_DIRECT, 1, 2);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  A port that was free a moment ago. */
static void free_endpoint (mesh_t *mesh, char endpoint [64])
{
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    snprintf (endpoint, 64, "%s", mesh_endpoint (mesh));
    process_signal (broker, SIGTERM);
    CHECK_INT (process_wait (broker), 0);
}

TEST (g3_a_worker_is_ready_only_when_its_registration_is_acknowledged)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    free_endpoint (mesh, endpoint);
    process_t *worker = mesh_worker_start (mesh, "--log-level", "debug", NULL);
    process_said (worker, endpoint); /* it tried, and says where */
    char *out = process_stdout (worker);
    CHECK_STR (out, "");
    free (out);
    mesh_broker (mesh, endpoint, NULL);
    process_line (worker, "weft-worker ready ");
    weft_client_t *client = client_of (mesh);
    CHECK_INT (workers_of (client, "Arith"), 1);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

static _Atomic int bad_states;

static _Atomic int stuck_states;

static void note_bad_state (const char *service, const char *worker, const char *state, const char *endpoint, void *arg)
{
    (void) service;
    (void) worker;
    (void) endpoint;
    (void) arg;
    if (strcmp (state, "stuck") == 0)
        stuck_states++; /* which its beats say */
    else if (strcmp (state, "alive") != 0)
        bad_states++;
}

TEST (g5_a_busy_handler_never_delays_a_beat)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, "--ttl-ms", "900", "--beat-ms", "200", NULL);
    mesh_worker (mesh, "--concurrency", "1", NULL);
    weft_client_t *client = client_of (mesh);
    weft_client_set_watcher (client, note_bad_state, NULL);
    CHECK_INT (weft_client_discover (client, "Slow", PATIENCE_MS), WEFT_OK);
    weft_call_t *call = start_slow (client, "Slow.Hang", 3000, &(weft_call_options_t){.timeout_ms = 20000});
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES); /* three times the TTL without a free thread */
    CHECK_INT (bad_states, 0);
    CHECK (stuck_states > 0);
    list_reply list;
    weft_call_t *listed = list_workers (client, "Slow", &list);
    CHECK_INT (list.worker_count, 1);
    weft_call_destroy (&listed);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g6_a_worker_registers_again_by_itself_after_a_broker_outage)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    snprintf (endpoint, sizeof endpoint, "%s", mesh_endpoint (mesh));
    process_t *worker = mesh_worker (mesh, NULL);
    for (int round = 0; round < 3; round++) {
        process_signal (broker, SIGKILL);
        process_wait (broker);
        broker = mesh_broker (mesh, endpoint, NULL);
        weft_client_t *client = client_of (mesh);
        const int64_t start_ms = now_ms ();
        await_workers (client, "Arith", 1);
        CHECK (now_ms () - start_ms < 5000);
        list_reply list;
        weft_call_t *call = list_workers (client, "Arith", &list);
        CHECK_STR (list.workers [0].uuid, process_uuid (worker)); /* the same worker, a higher incarnation */
        CHECK_INT (list.workers [0].incarnation, round + 2);
        weft_call_destroy (&call);
        check_add_call (client, WEFT_VIA_BROKER, 1, 2);
        weft_client_destroy (&client);
    }
    mesh_destroy (&mesh);
}

TEST (g7_lists_are_sorted_and_live)
{
    mesh_t *mesh = mesh_new ();
    process_t *workers [5];
    mesh_broker (mesh, NULL, NULL);
    for (int i = 0; i < 5; i++)
        workers [i] = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    for (size_t left = 5; left > 2; left--) {
        list_reply list;
        weft_call_t *call = list_workers (client, "", &list);
        CHECK_INT (list.worker_count, left);
        for (size_t i = 1; i < list.worker_count; i++)
            CHECK (strcmp (list.workers [i - 1].uuid, list.workers [i].uuid) < 0);
        for (size_t i = 1; i < list.service_count; i++)
            CHECK (strcmp (list.services [i - 1].name, list.services [i].name) < 0);
        for (size_t i = 0; i < list.worker_count; i++)
            for (size_t dead = left; dead < 5; dead++)
                CHECK (strcmp (list.workers [i].uuid, process_uuid (workers [dead])) != 0);
        weft_call_destroy (&call);
        process_signal (workers [left - 1], SIGKILL);
        await_workers (client, "Arith", left - 1);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g9_an_unknown_registry_request_is_refused_and_the_connection_goes_on)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    weft_call_t *call = NULL;
    weft_client_call (client, "weft.Registry.Nonsense", WEFT_NOTHING, NULL, &call);
    check_outcome (call, WEFT_UNIMPLEMENTED, WEFT_EXECUTED_NO);
    CHECK (strstr (weft_call_text (call), "Nonsense") && strstr (weft_call_text (call), "List"));
    weft_call_destroy (&call);
    CHECK_INT (workers_of (client, "Arith"), 1);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g10_a_stopped_worker_is_not_listed_past_its_ttl)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, "--ttl-ms", "1000", NULL);
    process_t *worker = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    CHECK_INT (workers_of (client, "Arith"), 1);
    const int64_t start_ms = now_ms ();
    process_signal (worker, SIGSTOP); /* silent, its connection open */
    await_workers (client, "Arith", 0);
    CHECK (now_ms () - start_ms < 2000);
    process_signal (worker, SIGCONT); /* back, and registered anew */
    await_workers (client, "Arith", 1);
    check_add_call (client, WEFT_VIA_BROKER, 1, 2);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  Watches one service; counts who is alive. */
typedef struct {
    pthread_mutex_t lock;
    char service [64];
    char uuids [16][64];
    int alive, events, others;
} watched_t;

static void note_change (const char *service, const char *worker, const char *state, const char *endpoint, void *arg)
{
    watched_t *watched = arg;
    (void) endpoint;
    pthread_mutex_lock (&watched->lock);
    watched->events++;
    watched->others += strcmp (service, watched->service) != 0;
    int at = 0;
    while (at < watched->alive && strcmp (watched->uuids [at], worker) != 0)
        at++;
    const bool alive = strcmp (state, "alive") == 0;
    if (alive && at == watched->alive && at < 16)
        snprintf (watched->uuids [watched->alive++], 64, "%s", worker);
    else if (strcmp (state, "gone") == 0 && at < watched->alive)
        memcpy (watched->uuids [at], watched->uuids [--watched->alive], 64);
    pthread_mutex_unlock (&watched->lock);
}

static int wanted_alive;

static bool sees_as_many (void *arg)
{
    watched_t *watched = arg;
    pthread_mutex_lock (&watched->lock);
    const bool done = watched->alive == wanted_alive;
    pthread_mutex_unlock (&watched->lock);
    return done;
}

TEST (g11_h6_h7_after_the_whole_list_joins_and_leaves_arrive_without_polling)
{
    mesh_t *mesh = mesh_new ();
    watched_t watched = {.lock = PTHREAD_MUTEX_INITIALIZER, .service = "Arith"};
    mesh_broker (mesh, NULL, NULL);
    process_t *first = mesh_worker (mesh, NULL);
    /* refreshed once an hour: what comes sooner was pushed (g11, mended) */
    weft_client_t *client = weft_client_new (mesh_endpoint (mesh), &(weft_client_options_t){.refresh_ms = 3600000});
    weft_client_set_watcher (client, note_change, &watched);
    CHECK_INT (weft_client_discover (client, "Arith", PATIENCE_MS), WEFT_OK);
    wanted_alive = 1; /* h6: the whole list at the start */
    await ("the list", sees_as_many, &watched);
    process_t *second = mesh_worker (mesh, NULL);
    wanted_alive = 2;
    await ("the join", sees_as_many, &watched);
    process_signal (first, SIGKILL);
    wanted_alive = 1;
    await ("the leave", sees_as_many, &watched);
    pthread_mutex_lock (&watched.lock);
    CHECK_STR (watched.uuids [0], process_uuid (second));
    CHECK_INT (watched.others, 0); /* h8: only what was asked for, though each worker serves six services */
    pthread_mutex_unlock (&watched.lock);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (h5_a_killed_worker_is_delisted_in_milliseconds)
{
    mesh_t *mesh = mesh_new ();
    watched_t watched = {.lock = PTHREAD_MUTEX_INITIALIZER, .service = "Arith"};
    mesh_broker (mesh, NULL, NULL);
    weft_client_t *client = client_of (mesh);
    weft_client_set_watcher (client, note_change, &watched);
    for (int round = 0; round < 5; round++) {
        process_t *worker = mesh_worker (mesh, NULL);
        CHECK_INT (weft_client_discover (client, "Arith", PATIENCE_MS), WEFT_OK);
        wanted_alive = 1;
        await ("the join", sees_as_many, &watched);
        const int64_t start_ms = now_ms ();
        process_signal (worker, SIGKILL);
        wanted_alive = 0;
        await ("the leave", sees_as_many, &watched);
        CHECK (now_ms () - start_ms < 1000); /* milliseconds; the TTL is ten seconds */
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g12_an_empty_list_is_said_at_once)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    check_add_call (client, WEFT_VIA_AUTO, 1, 2);
    process_signal (worker, SIGKILL);
    await_workers (client, "Arith", 0);
    static const weft_via_t routes [] = {WEFT_VIA_AUTO, WEFT_VIA_DIRECT, WEFT_VIA_BROKER};
    for (size_t i = 0; i < 3; i++) {
        const weft_call_options_t options = {.via = routes [i], .timeout_ms = 20000};
        const pair_args args = {1, 2};
        weft_call_t *call = NULL;
        const int64_t start_ms = now_ms ();
        weft_client_call (client, "Arith.Add", WEFT_IN (pair_args, &args), &options, &call);
        check_outcome (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
        CHECK (now_ms () - start_ms < 5000); /* not the timeout */
        weft_call_destroy (&call);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g12_when_discovery_fails_nothing_is_sent)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    free_endpoint (mesh, endpoint);
    weft_client_t *client = weft_client_new (endpoint, NULL);
    const weft_call_options_t options = {.timeout_ms = 10000, .connect_timeout_ms = 300};
    weft_call_t *call = NULL;
    weft_client_call (client, "Arith.Add", WEFT_NOTHING, &options, &call);
    check_outcome (call, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    CHECK (strstr (weft_call_text (call), endpoint));
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g13_broadcast_reaches_every_live_worker)
{
    mesh_t *mesh = mesh_new ();
    process_t *workers [3];
    mesh_broker (mesh, NULL, NULL);
    for (int i = 0; i < 3; i++)
        workers [i] = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Who", 3);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .balance = WEFT_BALANCE_BROADCAST};
        weft_call_t *call = NULL;
        bool seen [3] = {false};
        weft_client_call (client, "Who.Am", WEFT_NOTHING, &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_reply_count (call), 3);
        who_reply one;
        CHECK_INT (weft_call_read (call, WEFT_OUT (who_reply, &one)), WEFT_OK); /* one of them is the call's own */
        for (size_t i = 0; i < 3; i++)
            for (int w = 0; w < 3; w++)
                seen [w] = seen [w] || strcmp (weft_call_worker (weft_call_reply (call, i)), process_uuid (workers [w])) == 0;
        CHECK (seen [0] && seen [1] && seen [2]);
        weft_call_destroy (&call);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (g13_the_first_error_of_a_broadcast_cancels_the_rest)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, "--handler-timeout-ms", "200", NULL); /* this one gives up early */
    mesh_worker (mesh, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Slow", 3);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .balance = WEFT_BALANCE_BROADCAST, .timeout_ms = 30000};
        const int64_t start_ms = now_ms ();
        weft_call_t *call = start_slow (client, "Slow.Sleep", 20000, &options);
        check_outcome (call, WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES);
        CHECK (now_ms () - start_ms < 10000);
        weft_call_destroy (&call);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (h1_each_worker_process_gets_a_fresh_uuid)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    process_t *a = mesh_worker (mesh, NULL), *b = mesh_worker (mesh, NULL);
    CHECK_INT (strlen (process_uuid (a)), 36);
    CHECK_INT (strlen (process_uuid (b)), 36);
    CHECK (strcmp (process_uuid (a), process_uuid (b)) != 0);
    mesh_destroy (&mesh);
}

TEST (h9_primary_stays_until_it_fails_and_h10_then_another_is_picked)
{
    mesh_t *mesh = mesh_new ();
    process_t *workers [3];
    mesh_broker (mesh, NULL, NULL);
    for (int i = 0; i < 3; i++)
        workers [i] = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Who", 3);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .balance = WEFT_BALANCE_PRIMARY};
        char chosen [64] = "";
        for (int i = 0; i < 20; i++) {
            weft_call_t *call = NULL;
            weft_client_call (client, "Who.Am", WEFT_NOTHING, &options, &call);
            check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
            if (i == 0)
                snprintf (chosen, sizeof chosen, "%s", weft_call_worker (call));
            CHECK_STR (weft_call_worker (call), chosen);
            weft_call_destroy (&call);
        }
        for (int w = 0; w < 3; w++)
            if (strcmp (process_uuid (workers [w]), chosen) == 0)
                process_signal (workers [w], SIGKILL);
        weft_call_t *call = NULL; /* idempotent: picked again even if the loss is not known yet */
        weft_client_call (client, "Who.Am", WEFT_NOTHING, &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK (strcmp (weft_call_worker (call), chosen) != 0);
        weft_call_destroy (&call);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (h12_endpoints_of_several_transports_serve_one_service)
{
    mesh_t *mesh = mesh_new ();
    char ipc [128];
    snprintf (ipc, sizeof ipc, "ipc://%s/direct", mesh_folder (mesh));
    mesh_broker (mesh, NULL, NULL);
    process_t *tcp_worker = mesh_worker (mesh, "--bind", "tcp://127.0.0.1:*", NULL);
    process_t *ipc_worker = mesh_worker (mesh, "--bind", ipc, NULL);
    CHECK (strncmp (process_ready_word (tcp_worker, 3), "tcp://", 6) == 0);
    CHECK (strncmp (process_ready_word (ipc_worker, 3), "ipc://", 6) == 0);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Who", 2);
    process_t *both [] = {tcp_worker, ipc_worker};
    for (int i = 0; i < 2; i++) {
        const weft_call_options_t options = {.via = WEFT_VIA_DIRECT, .worker = process_uuid (both [i])};
        weft_call_t *call = NULL;
        weft_client_call (client, "Who.Am", WEFT_NOTHING, &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK (weft_call_direct (call));
        CHECK_STR (weft_call_worker (call), process_uuid (both [i]));
        weft_call_destroy (&call);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    const pair_args *in = args;
    *(int64_t *) reply = in->a + in->b;
    return WEFT_OK;
}

TEST (h12_a_worker_in_the_same_process_is_called_over_inproc)
{
    static const weft_method_t methods [] = {WEFT_METHOD ("Add", add, pair_args, weft_int64, WEFT_IDEMPOTENT),
                                             WEFT_METHOD_END};
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    weft_worker_t *worker = weft_worker_new (mesh_endpoint (mesh), &(weft_worker_options_t){.bind = "inproc://here"});
    CHECK (worker);
    CHECK_INT (weft_worker_add (worker, "Local", methods, NULL), WEFT_OK);
    CHECK_INT (weft_worker_start (worker, PATIENCE_MS), WEFT_OK);
    CHECK_STR (weft_worker_endpoint (worker, 0), "inproc://here");
    weft_client_t *client = client_of (mesh);
    for (int i = 0; i < 100; i++) {
        const weft_call_options_t options = {.via = WEFT_VIA_DIRECT};
        const pair_args args = {i, 1};
        int64_t sum = 0;
        weft_call_t *call = NULL;
        weft_client_call (client, "Local.Add", WEFT_IN (pair_args, &args), &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &sum)), WEFT_OK);
        CHECK_INT (sum, i + 1);
        weft_call_destroy (&call);
    }
    CHECK_INT (weft_worker_stop (worker), WEFT_OK);
    weft_worker_destroy (&worker);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (n15_a_duplicate_service_in_one_worker_is_an_error_of_its_own)
{
    static const weft_method_t methods [] = {WEFT_METHOD ("Add", add, pair_args, weft_int64, 0), WEFT_METHOD_END};
    weft_worker_t *worker = weft_worker_new ("tcp://127.0.0.1:1", NULL);
    CHECK_INT (weft_worker_add (worker, "Local", methods, NULL), WEFT_OK);
    CHECK_INT (weft_worker_add (worker, "Local", methods, NULL), WEFT_INVALID);
    CHECK (strstr (weft_worker_error (worker), "Local") && strstr (weft_worker_error (worker), "already"));
    weft_worker_destroy (&worker);
}

static void keep_answer (const weft_beat_answer_t *answer, weft_beat_t *next, void *arg)
{
    *(weft_beat_answer_t *) arg = *answer;
    next->kind = WEFT_BEAT_NONE;
}

/*  What the mesh's broker grants to one who registers; then it is stopped. */
static weft_beat_answer_t granted_by (mesh_t *mesh, process_t *broker)
{
    static const char *const endpoints [] = {"tcp://127.0.0.1:7", NULL};
    const weft_registrant_t registrant = {.service = "Printer", .endpoints = endpoints};
    weft_beat_answer_t answer = {0};
    weft_heart_t *heart = weft_heart_new (mesh_endpoint (mesh), &registrant);
    weft_heart_set_beater (heart, keep_answer, &answer);
    CHECK_INT (weft_heart_run (heart, 2000, 2), WEFT_OK);
    weft_heart_destroy (&heart);
    process_signal (broker, SIGTERM);
    CHECK_INT (process_wait (broker), 0);
    return answer;
}

TEST (g4_h4_b10_the_broker_grants_an_interval_that_fits_its_ttl_or_the_one_it_was_given)
{
    mesh_t *mesh = mesh_new ();
    weft_beat_answer_t answer = granted_by (mesh, mesh_broker (mesh, NULL, NULL)); /* the defaults */
    CHECK_INT (answer.ttl_ms, 10000);
    CHECK_INT (answer.interval_ms, 3000);
    answer = granted_by (mesh, mesh_broker (mesh, NULL, "--ttl-ms", "6000", NULL)); /* derived, with room for a lost beat */
    CHECK_INT (answer.ttl_ms, 6000);
    CHECK (answer.interval_ms > 0 && 2 * answer.interval_ms < 6000);
    answer = granted_by (mesh, mesh_broker (mesh, NULL, "--ttl-ms", "6000", "--beat-ms", "700", NULL));
    CHECK_INT (answer.interval_ms, 700);
    mesh_destroy (&mesh);
}

TEST (several_brokers_may_be_given_and_a_worker_fails_over)
{
    mesh_t *mesh = mesh_new ();
    char second [64], list [160];
    mesh_broker (mesh, NULL, NULL);
    snprintf (second, sizeof second, "%s", mesh_endpoint (mesh));
    process_t *first = mesh_broker (mesh, NULL, NULL);
    snprintf (list, sizeof list, "%s,%s", mesh_endpoint (mesh), second);
    mesh_worker (mesh, "--broker", list, NULL);
    weft_client_t *client = weft_client_new (list, NULL);
    check_add_call (client, WEFT_VIA_BROKER, 1, 2);
    process_signal (first, SIGKILL);
    process_wait (first);
    await_workers (client, "Arith", 1); /* both, worker and client, are at the second one now */
    check_add_call (client, WEFT_VIA_BROKER, 3, 4);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}
static void count_event (weft_heart_event_t event, const weft_beat_answer_t *answer, void *arg)
{
    (void) answer;
    ((int *) arg) [event]++;
}

static void beat_thrice (const weft_beat_answer_t *answer, weft_beat_t *next, void *arg)
{
    int *beats = arg;
    CHECK (!answer->rejected && answer->interval_ms > 0 && answer->round_trip_us > 0);
    next->delay_ms = 10; /* sooner than granted is allowed */
    if (++*beats == 3)
        next->kind = WEFT_BEAT_NONE;
}

TEST (b2_b3_b4_b5_b9_a_heart_beats_at_a_real_broker_until_its_beater_wants_no_more)
{
    mesh_t *mesh = mesh_new ();
    int events [4] = {0}, beats = 0;
    static const char *const endpoints [] = {"tcp://127.0.0.1:7", NULL};
    const weft_registrant_t registrant = {.service = "Printer", .endpoints = endpoints};
    mesh_broker (mesh, NULL, NULL);
    weft_heart_t *heart = weft_heart_new (mesh_endpoint (mesh), &registrant);
    CHECK (heart);
    weft_heart_set_beater (heart, beat_thrice, &beats);
    weft_heart_set_observer (heart, count_event, events);
    CHECK_INT (weft_heart_run (heart, 2000, 2), WEFT_OK);
    CHECK_INT (beats, 3);
    CHECK_INT (events [WEFT_HEART_NEW], 1);
    CHECK_INT (events [WEFT_HEART_UPDATED], 2);
    CHECK_INT (events [WEFT_HEART_DISCONNECTED], 1);
    weft_heart_destroy (&heart);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Printer", 0);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (b6_a_real_broker_rejects_and_its_reason_ends_the_beating)
{
    mesh_t *mesh = mesh_new ();
    static const char *const endpoints [] = {"tcp://elsewhere.example:7", NULL};
    const weft_registrant_t registrant = {.service = "Printer", .endpoints = endpoints};
    mesh_broker (mesh, NULL, NULL);
    weft_heart_t *heart = weft_heart_new (mesh_endpoint (mesh), &registrant);
    CHECK (heart);
    CHECK (weft_heart_run (heart, 2000, 2) != WEFT_OK);
    CHECK (strstr (weft_heart_error (heart), "elsewhere.example"));
    weft_heart_destroy (&heart);
    mesh_destroy (&mesh);
}

static void *run_heart (void *arg)
{
    return (void *) (intptr_t) weft_heart_run (arg, 2000, 2);
}

TEST (b8_a_cancelled_heart_leaves_a_real_brokers_list_at_once_and_b1_run_returns)
{
    mesh_t *mesh = mesh_new ();
    int events [4] = {0};
    pthread_t thread;
    void *status;
    static const char *const endpoints [] = {"tcp://127.0.0.1:7", NULL};
    const weft_registrant_t registrant = {.service = "Printer", .endpoints = endpoints};
    mesh_broker (mesh, NULL, "--ttl-ms", "600000", NULL); /* nobody leaves by silence */
    weft_client_t *client = client_of (mesh);
    weft_heart_t *heart = weft_heart_new (mesh_endpoint (mesh), &registrant);
    CHECK (heart);
    weft_heart_set_observer (heart, count_event, events);
    CHECK_INT (pthread_create (&thread, NULL, run_heart, heart), 0);
    await_workers (client, "Printer", 1);
    weft_heart_cancel (heart);
    pthread_join (thread, &status);
    CHECK_INT ((intptr_t) status, WEFT_CANCELLED);
    CHECK_INT (events [WEFT_HEART_DISCONNECTED], 1);
    await_workers (client, "Printer", 0);
    weft_heart_destroy (&heart);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}
