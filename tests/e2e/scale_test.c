/* SPDX-License-Identifier: MPL-2.0
 *
 *  A mesh larger than one message can say: thousands of light workers (tests/bench/scale/herd.c), a real broker, real clients. */

#include "calling.h"
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define HERD      5200
#define HERD_TEXT "5200"

typedef struct {
    atomic_size_t alive, gone;
} seen_t;

static void see (const char *service, const char *worker, const char *state, const char *endpoint, void *arg)
{
    seen_t *seen = arg;
    (void) worker;
    (void) endpoint;
    CHECK_STR (service, "Herd");
    if (strcmp (state, "alive") == 0)
        atomic_fetch_add (&seen->alive, 1);
    else if (strcmp (state, "gone") == 0)
        atomic_fetch_add (&seen->gone, 1);
}

static bool all_alive (void *arg)
{
    return atomic_load (&((seen_t *) arg)->alive) >= HERD;
}

static bool all_gone (void *arg)
{
    return atomic_load (&((seen_t *) arg)->gone) >= HERD;
}

static process_t *herd_of (mesh_t *mesh)
{
    process_t *herd = mesh_start (mesh, "tests/weft-scale-herd", mesh_endpoint (mesh), "workers " HERD_TEXT " Herd", NULL);
    const char *line = process_line (herd, "");
    CHECK (strncmp (line, "ok ", 3) == 0);
    return herd;
}

static size_t times (const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr (text, word)); text++)
        count++;
    return count;
}

TEST (h6_a_client_lists_more_workers_than_one_message_can_name)
{
    static const weft_call_options_t direct = {.via = WEFT_VIA_DIRECT, .balance = WEFT_BALANCE_RANDOM};
    const pair_args args = {40, 2};
    seen_t seen = {0};
    int64_t sum = 0;
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, "--transport-beat-ms", "0", NULL);
    process_t *herd = herd_of (mesh);
    weft_client_t *client = client_of (mesh);
    weft_client_set_watcher (client, see, &seen);
    CHECK_INT (weft_client_discover (client, "Herd", PATIENCE_MS), WEFT_OK);
    await ("the whole list", all_alive, &seen);
    CHECK_INT (atomic_load (&seen.alive), HERD); /* each of them once */
    for (int i = 0; i < 20; i++) {
        weft_call_t *call;
        weft_client_call (client, "Herd.Add", WEFT_IN (pair_args, &args), &direct, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &sum)), WEFT_OK);
        CHECK_INT (sum, 42);
        weft_call_destroy (&call);
    }
    process_signal (herd, SIGKILL);
    process_wait (herd);
    await ("the end of all", all_gone, &seen);
    CHECK_INT (atomic_load (&seen.gone), HERD);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (h11_weft_ls_names_more_workers_than_one_answer_can)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, "--transport-beat-ms", "0", NULL);
    herd_of (mesh);
    const result_t of_service = mesh_run (mesh, NULL, "weft", "--broker", mesh_endpoint (mesh), "ls", "Herd", "-o", "json", NULL);
    CHECK_INT (of_service.code, 0);
    CHECK_INT (times (of_service.out, "\"uuid\""), HERD);
    const result_t all = mesh_run (mesh, NULL, "weft", "--broker", mesh_endpoint (mesh), "workers", NULL);
    CHECK_INT (all.code, 0);
    CHECK_INT (times (all.out, "tcp://127."), HERD);
    mesh_destroy (&mesh);
}
