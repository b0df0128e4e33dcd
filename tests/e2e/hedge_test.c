/* SPDX-License-Identifier: MPL-2.0
 *
 *  One worker of three that answers nothing for now: how many callers notice, with a second attempt beside the first and without? */

#include "calling.h"
#include <stdio.h>
#include <stdlib.h>

#define CALLS 30

typedef struct {
    mesh_t *mesh;
    call_log_t slow; /* of the worker whose handlers wait for the gate */
    weft_client_t *client;
} stall_t;

/*  Two quick workers, whose gate is open, and one whose gate is closed. */
static stall_t stall_begin (const char *concurrency)
{
    stall_t self = {.mesh = mesh_new ()};
    mesh_broker (self.mesh, NULL, NULL);
    call_log_t quick = call_log (self.mesh);
    call_log_let_go (&quick);
    for (int i = 0; i < 2; i++)
        mesh_worker (self.mesh, NULL);
    self.slow = quick;
    snprintf (self.slow.path, sizeof self.slow.path, "%s/slow", mesh_folder (self.mesh));
    snprintf (self.slow.gate, sizeof self.slow.gate, "%s.open", self.slow.path);
    CHECK (setenv ("WEFT_TEST_LOG", self.slow.path, 1) == 0);
    mesh_worker (self.mesh, "--concurrency", concurrency, NULL);
    unsetenv ("WEFT_TEST_LOG");
    self.client = client_of (self.mesh);
    await_workers (self.client, "Count", 3);
    CHECK_INT (weft_client_discover (self.client, "Count", PATIENCE_MS), WEFT_OK);
    return self;
}

static void stall_end (stall_t *self)
{
    call_log_let_go (&self->slow);
    weft_client_destroy (&self->client);
    mesh_destroy (&self->mesh);
}

static void start_all (const stall_t *self, weft_call_t *calls [CALLS], const weft_call_options_t *options)
{
    for (int i = 0; i < CALLS; i++) {
        char tag [8];
        snprintf (tag, sizeof tag, "%d", i);
        calls [i] = start_count (self->client, "Count.Safe", tag, 60000, options);
    }
}

static int count_done (weft_call_t *calls [CALLS])
{
    int done = 0;
    for (int i = 0; i < CALLS; i++)
        done += weft_call_done (calls [i]);
    return done;
}

static void end_all (weft_call_t *calls [CALLS])
{
    for (int i = 0; i < CALLS; i++) {
        check_outcome (calls [i], WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&calls [i]);
    }
}

static bool all_others_are_done (void *arg)
{
    return count_done (arg) >= CALLS - CALLS / 3;
}

TEST (with_failover_a_third_of_the_calls_wait_for_a_worker_that_hangs)
{
    weft_call_t *calls [CALLS];
    stall_t stall = stall_begin ("16");
    const weft_call_options_t options = {.via = WEFT_VIA_DIRECT, .balance = WEFT_BALANCE_ROUND_ROBIN, .timeout_ms = 60000};
    start_all (&stall, calls, &options);
    call_log_await (&stall.slow, CALLS / 3);
    await ("the other calls", all_others_are_done, calls);
    CHECK_INT (count_done (calls), CALLS - CALLS / 3);
    CHECK_INT (weft_client_stats (stall.client).hedged, 0);
    call_log_let_go (&stall.slow);
    end_all (calls);
    stall_end (&stall);
}

TEST (with_failbackup_nobody_waits_for_a_worker_that_hangs)
{
    weft_call_t *calls [CALLS];
    stall_t stall = stall_begin ("16");
    const weft_call_options_t options = {.via = WEFT_VIA_DIRECT, .balance = WEFT_BALANCE_ROUND_ROBIN,
                                         .retry = WEFT_RETRY_FAILBACKUP, .backup_ms = 20, .timeout_ms = 60000};
    start_all (&stall, calls, &options);
    call_log_await (&stall.slow, CALLS / 3); /* they did go there */
    end_all (calls); /* and the gate is closed */
    const weft_client_stats_t stats = weft_client_stats (stall.client);
    CHECK (stats.hedged >= CALLS / 3 && stats.hedges_won >= CALLS / 3);
    CHECK_INT (stats.failed, 0);
    stall_end (&stall);
}

TEST (through_the_broker_too_nobody_waits_for_a_worker_that_hangs)
{
    weft_call_t *calls [CALLS];
    stall_t stall = stall_begin ("1");
    weft_call_options_t options = {.via = WEFT_VIA_BROKER, .retry = WEFT_RETRY_FAILBACKUP, .backup_ms = 20, .timeout_ms = 60000};
    start_all (&stall, calls, &options);
    call_log_await (&stall.slow, 1);
    end_all (calls);
    CHECK (weft_client_stats (stall.client).hedges_won >= 1);
    stall_end (&stall);
}

static int begun_at (const call_log_t *log)
{
    int lines = 0;
    FILE *file = fopen (log->path, "r");
    for (int c; file && (c = fgetc (file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose (file);
    return lines;
}

TEST (a_client_that_is_told_no_delay_learns_it_and_leaves_the_worker_that_hangs_alone)
{
    stall_t stall = stall_begin ("16");
    const weft_call_options_t options = {.via = WEFT_VIA_DIRECT, .retry = WEFT_RETRY_FAILBACKUP, .timeout_ms = 2000};
    const count_args args = {"t", 60000};
    int at_first = 0;
    for (int i = 0; i < 200; i++) {
        weft_call_t *call = NULL;
        weft_client_call (stall.client, "Count.Safe", WEFT_IN (count_args, &args), &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&call);
        if (i == 99)
            at_first = begun_at (&stall.slow);
    }
    CHECK (at_first >= 1);
    CHECK (weft_client_stats (stall.client).hedges_won >= 1);
    CHECK (begun_at (&stall.slow) - at_first <= 5); /* 67 would be its share */
    stall_end (&stall);
}
