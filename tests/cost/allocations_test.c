/* SPDX-License-Identifier: MPL-2.0
 *
 *  allocations_test.c - calls between real processes ask for no memory, once each has what it keeps for them.
 *
 *  What libzmq asks for is counted apart, and only printed. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "allocations.h"
#include "calling.h"

#define CALLS  4096
#define WINDOW 64
#define ROUNDS 10
#define STRAY  100

typedef struct {
    mesh_t *mesh;
    weft_client_t *client;
    const allocations_t *broker, *worker; /* theirs, as they go */
} scene_t;

/*  What a process counts. */
static const allocations_t *counts_of (const mesh_t *mesh, const process_t *process)
{
    char path [128];
    snprintf (path, sizeof path, "%s/%d.allocations", mesh_folder (mesh), process_id (process));
    const int fd = open (path, O_RDONLY | O_CLOEXEC);
    CHECK (fd >= 0);
    const allocations_t *counts = mmap (NULL, sizeof *counts, PROT_READ, MAP_SHARED, fd, 0);
    CHECK (counts != MAP_FAILED);
    close (fd);
    return counts;
}

static scene_t open_scene (void)
{
    scene_t scene = {.mesh = mesh_new ()};
    setenv ("LD_PRELOAD", mesh_program ("allocations.so"), 1);
    setenv ("WEFT_ALLOCATIONS", mesh_folder (scene.mesh), 1);
    scene.broker = counts_of (scene.mesh, mesh_broker (scene.mesh, NULL, NULL));
    scene.worker = counts_of (scene.mesh, mesh_worker (scene.mesh, NULL));
    unsetenv ("LD_PRELOAD");
    unsetenv ("WEFT_ALLOCATIONS");
    CHECK (scene.broker->ours > 0 && scene.worker->ours > 0); /* they do count */
    scene.client = client_of (scene.mesh);
    return scene;
}

static void close_scene (scene_t *scene)
{
    weft_client_destroy (&scene->client);
    mesh_destroy (&scene->mesh);
}

/*  Starts a window of calls, waits for each. */
static void call_window (weft_client_t *client, weft_via_t via, int window)
{
    const weft_call_options_t options = {.via = via, .timeout_ms = PATIENCE_MS};
    weft_call_t *calls [WINDOW];
    int64_t sum;

    for (int i = 0; i < window; i++)
        calls [i] = weft_client_start (client, "Arith.Add", WEFT_IN (pair_args, (&(pair_args){i, 5})),
                                      &options, NULL, NULL);
    for (int i = 0; i < window; i++) {
        CHECK (calls [i] && weft_call_wait (calls [i], -1));
        CHECK_INT (weft_call_read (calls [i], WEFT_OUT (weft_int64, &sum)), WEFT_OK);
        CHECK_INT (sum, i + 5);
        CHECK_INT (weft_call_direct (calls [i]), via == WEFT_VIA_DIRECT);
        weft_call_destroy (&calls [i]);
    }
}

static void call_many (const scene_t *scene, weft_via_t via, int window)
{
    for (int i = 0; i < CALLS; i += window)
        call_window (scene->client, via, window);
}

/*  One allocation in STRAY calls is a beat's or a timer's. */
static bool asked_for_none (const char *who, allocations_t before, allocations_t after)
{
    const uint64_t ours = after.ours - before.ours, libzmq = after.libzmq - before.libzmq;

    printf ("%s: %.3f allocations a call; libzmq %.3f\n", who, (double) ours / CALLS, (double) libzmq / CALLS);
    return ours <= CALLS / STRAY;
}

static bool one_round (const scene_t *scene, weft_via_t via, int window)
{
    const allocations_t broker = *scene->broker, worker = *scene->worker, client = allocations_read ();

    call_many (scene, via, window);
    const allocations_t client_after = allocations_read ();
    const bool of_client = asked_for_none ("client", client, client_after);
    const bool of_broker = asked_for_none ("broker", broker, *scene->broker);
    const bool of_worker = asked_for_none ("worker", worker, *scene->worker);
    return of_client && of_broker && of_worker;
}

/*  More may be open at once than ever before, for which something is made that is then kept; but not in every round. */
static void check_traffic (weft_via_t via, int window)
{
    scene_t scene = open_scene ();
    bool none = false;

    call_many (&scene, via, window);
    for (int i = 0; i < ROUNDS && !none; i++)
        none = one_round (&scene, via, window);
    fflush (stdout);
    CHECK (none);
    close_scene (&scene);
}

TEST (direct_calls_one_by_one_ask_for_no_memory)
{
    check_traffic (WEFT_VIA_DIRECT, 1);
}

TEST (direct_calls_in_batches_ask_for_no_memory)
{
    check_traffic (WEFT_VIA_DIRECT, WINDOW);
}

TEST (routed_calls_one_by_one_ask_for_no_memory)
{
    check_traffic (WEFT_VIA_BROKER, 1);
}

TEST (routed_calls_in_batches_ask_for_no_memory)
{
    check_traffic (WEFT_VIA_BROKER, WINDOW);
}
