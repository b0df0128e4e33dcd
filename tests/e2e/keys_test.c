/* SPDX-License-Identifier: MPL-2.0
 *
 *  Request keys: connections that break in mid-call, workers that die, and people who ask again. What the handlers' log
 *  holds is what ran. */

#include "cable.h"
#include "calling.h"
#include "command_line.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/*  A mesh whose one worker logs its calls; a line that can be cut lies before the worker or, for routed calls, between client
 *  and broker. `watcher` goes around it. */
typedef struct {
    mesh_t *mesh;
    call_log_t log;
    process_t *worker;
    cable_t *cable;
    weft_client_t *client, *watcher;
} scene_t;

static scene_t scene_new (weft_via_t via)
{
    scene_t scene = {.mesh = mesh_new (), .cable = cable_new ()};
    scene.log = call_log (scene.mesh);
    mesh_broker (scene.mesh, NULL, NULL);
    if (via == WEFT_VIA_DIRECT)
        scene.worker = mesh_worker (scene.mesh, "--bind", "tcp://127.0.0.1:0", "--advertise",
                                    cable_endpoint (scene.cable), NULL);
    else
        scene.worker = mesh_worker (scene.mesh, NULL);
    cable_lead_to (scene.cable,
                   via == WEFT_VIA_DIRECT ? process_ready_word (scene.worker, 3) : mesh_endpoint (scene.mesh));
    scene.watcher = client_of (scene.mesh);
    scene.client = via == WEFT_VIA_DIRECT ? client_of (scene.mesh)
                                          : weft_client_new (cable_endpoint (scene.cable), NULL);
    CHECK (scene.client);
    return scene;
}

static void scene_end (scene_t *scene)
{
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&scene->client);
    weft_client_destroy (&scene->watcher);
    mesh_destroy (&scene->mesh);
    cable_destroy (&scene->cable);
}

static stats_reply stats_of (const scene_t *scene)
{
    const weft_call_options_t options = {.via = WEFT_VIA_BROKER, .worker = process_uuid (scene->worker)};
    weft_call_t *call = NULL;
    stats_reply stats = {.again = 0};
    weft_client_call (scene->watcher, "weft.Worker.Stats", WEFT_NOTHING, &options, &call);
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_read (call, WEFT_OUT (stats_reply, &stats)), WEFT_OK);
    weft_call_destroy (&call);
    return stats;
}

typedef struct {
    const scene_t *scene;
    uint64_t requests;
} held_t;

static bool holds_as_many (void *arg)
{
    const held_t *held = arg;
    return stats_of (held->scene).in_flight == held->requests;
}

static void await_held (const scene_t *scene, uint64_t requests)
{
    await ("the worker's requests", holds_as_many, &(held_t){scene, requests});
}

/*  Runs that the log holds. */
static int runs (const call_log_t *log)
{
    int lines = 0;
    FILE *file = fopen (log->path, "r");
    for (int c; file && (c = fgetc (file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose (file);
    return lines;
}

static void check_number (weft_call_t *call, int64_t expected)
{
    int64_t number = -1;
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &number)), WEFT_OK);
    CHECK_INT (number, expected);
}

/*  The connection breaks while the handler runs: the client asks again, the worker lets it wait for the first reply, and
 *  whoever asks later gets that too. */
static void cut_in_mid_call (weft_via_t via)
{
    scene_t scene = scene_new (via);
    const weft_call_options_t options = {.via = via, .request_key = "order 66", .timeout_ms = 30000};
    weft_call_t *call = start_count (scene.client, "Count.Next", "order", 20000, &options);
    call_log_await (&scene.log, 1);
    CHECK (cable_cut (scene.cable) > 0);
    await_held (&scene, 2);
    call_log_let_go (&scene.log);
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_attempts (call), 2);
    CHECK_STR (weft_call_worker (call), process_uuid (scene.worker));
    check_number (call, 1);

    weft_call_options_t later = options;
    later.worker = weft_call_worker (call);
    weft_call_t *repeated = start_count (scene.watcher, "Count.Next", "order", 20000, &later);
    check_outcome (repeated, WEFT_OK, WEFT_EXECUTED_YES);
    check_number (repeated, 1);
    CHECK_INT (runs (&scene.log), 1);
    CHECK_INT (stats_of (&scene).again, 2);
    weft_call_destroy (&repeated);
    weft_call_destroy (&call);
    scene_end (&scene);
}

TEST (a_keyed_call_survives_a_cut_to_its_worker_and_runs_once)
{
    cut_in_mid_call (WEFT_VIA_DIRECT);
}

TEST (a_keyed_call_survives_a_cut_to_the_broker_and_runs_once)
{
    cut_in_mid_call (WEFT_VIA_BROKER);
}

/*  Slow.Sleep ends early when it is told that nobody waits. */
TEST (a_cut_does_not_stop_a_handler_that_runs_for_a_key)
{
    FOR_BOTH_ROUTES (via)
    {
        scene_t scene = scene_new (via);
        const weft_call_options_t options = {.via = via, .request_key = "order 66", .timeout_ms = 30000};
        weft_call_t *call = start_slow (scene.client, "Slow.Sleep", 1000, &options);
        await_held (&scene, 1);
        CHECK (cable_cut (scene.cable) > 0);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&call);
        scene_end (&scene);
    }
}

TEST (without_a_key_a_call_that_is_cut_off_ends_as_what_may_have_run)
{
    scene_t scene = scene_new (WEFT_VIA_DIRECT);
    const weft_call_options_t options = {.via = WEFT_VIA_DIRECT, .timeout_ms = 30000};
    weft_call_t *call = start_count (scene.client, "Count.Next", "order", 20000, &options);
    call_log_await (&scene.log, 1);
    CHECK (cable_cut (scene.cable) > 0);
    check_outcome (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    call_log_let_go (&scene.log);
    weft_call_destroy (&call);
    scene_end (&scene);
}

/*  It is this worker that has a request. */
static bool is_busy (weft_client_t *client, const process_t *worker)
{
    const scene_t scene = {.watcher = client, .worker = (process_t *) (uintptr_t) worker};
    return stats_of (&scene).in_flight > 0;
}

/*  Its memory is gone with the worker, so nobody else may run it. */
TEST (a_keyed_call_whose_worker_is_killed_is_not_run_elsewhere)
{
    FOR_BOTH_ROUTES (via)
    {
        mesh_t *mesh = mesh_new ();
        const call_log_t log = call_log (mesh);
        mesh_broker (mesh, NULL, NULL);
        process_t *workers [2] = {mesh_worker (mesh, NULL), mesh_worker (mesh, NULL)};
        weft_client_t *client = client_of (mesh);
        await_workers (client, "Count", 2);
        const weft_call_options_t options = {.via = via, .request_key = "order 66", .timeout_ms = 30000};
        weft_call_t *call = start_count (client, "Count.Next", "order", 20000, &options);
        call_log_await (&log, 1);
        const bool second = is_busy (client, workers [1]);
        process_signal (workers [second], SIGKILL);
        check_outcome (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
        CHECK (strstr (weft_call_text (call), "asked again"));
        call_log_let_go (&log);
        CHECK_INT (runs (&log), 1);
        weft_call_destroy (&call);
        unsetenv ("WEFT_TEST_LOG");
        weft_client_destroy (&client);
        mesh_destroy (&mesh);
    }
}

TEST (large_replies_come_again_whole)
{
    enum { SIZE = 1000000 };
    scene_t scene = scene_new (WEFT_VIA_DIRECT);
    char *const text = malloc (SIZE);
    memset (text, 'x', SIZE);
    FOR_BOTH_ROUTES (via)
    for (int i = 0; i < 2; i++) {
        const weft_call_options_t options = {.via = via, .request_key = via == WEFT_VIA_DIRECT ? "one" : "two"};
        const weft_bytes args = {text, SIZE};
        weft_call_t *call = NULL;
        weft_bytes reply = {NULL, 0};
        weft_client_call (scene.client, "Echo.Echo", WEFT_IN (weft_bytes, &args), &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_read (call, WEFT_OUT (weft_bytes, &reply)), WEFT_OK);
        CHECK_MEM (reply.data, reply.size, text, SIZE);
        weft_call_destroy (&call);
    }
    CHECK_INT (stats_of (&scene).again, 2);
    free (text);
    scene_end (&scene);
}

TEST (the_command_line_gets_the_first_reply_again)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, "--replies-max", "2", "--replies-bytes-max", "100000", "--replies-age-ms", "60000", NULL);
    for (int i = 0; i < 2; i++)
        check_prints (WEFT (mesh, "call", "Count.Next", "[\"a\", 0]", "--request-key", "k"), "1\n");
    check_prints (WEFT (mesh, "call", "Count.Next", "[\"a\", 0]"), "2\n");
    check_fails (WEFT (mesh, "call", "Count.Next", "[\"b\", 0]", "--request-key", "k"), 2,
                 "this request key was used before, with other arguments");
    for (int i = 0; i < 2; i++) /* which pushes "k" out */
        check_prints (WEFT (mesh, "call", "Count.Next", "[\"a\", 0]", "--request-key", i ? "m" : "l"), i ? "4\n" : "3\n");
    check_prints (WEFT (mesh, "call", "Count.Next", "[\"a\", 0]", "--request-key", "k"), "5\n");
    mesh_destroy (&mesh);
}
