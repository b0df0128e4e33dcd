/* SPDX-License-Identifier: MPL-2.0
 *
 *  Streams between real processes, on both routes: in order, all of them, no faster than they are taken, and ended by whatever ends
 *  them. */

#include "calling.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    mesh_t *mesh;
    process_t *broker, *worker;
    weft_client_t *client;
    call_log_t log;
} trio_t;

static trio_t trio_of (const char *flag, const char *value)
{
    trio_t trio = {.mesh = mesh_new ()};
    trio.log = call_log (trio.mesh);
    trio.broker = mesh_broker (trio.mesh, NULL, NULL);
    trio.worker = mesh_worker (trio.mesh, flag, value, NULL);
    trio.client = client_of (trio.mesh);
    return trio;
}

static trio_t trio_new (void)
{
    return trio_of (NULL, NULL);
}

static void trio_destroy (trio_t *trio)
{
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&trio->client);
    mesh_destroy (&trio->mesh);
}

static weft_call_t *start_stream (const trio_t *trio, const char *method, stream_args args, const weft_call_options_t *options)
{
    args.tag = args.tag ? args.tag : "";
    weft_call_t *call = weft_client_stream (trio->client, method, WEFT_IN (stream_args, &args), options);
    CHECK (call);
    return call;
}

/*  Takes `count` items, the next of which must be `from`. */
static void take (weft_call_t *call, int64_t from, int64_t count)
{
    stream_item item;
    for (int64_t i = from; i < from + count; i++) {
        const bool is_there = weft_call_next (call, WEFT_OUT (stream_item, &item), PATIENCE_MS);
        CHECK_STR (is_there || !weft_call_done (call) ? "" : weft_call_text (call), "");
        CHECK (is_there);
        CHECK_INT (item.number, i);
    }
}

static void check_end (weft_call_t *call, weft_status_t status, weft_executed_t executed)
{
    stream_item item;
    CHECK (!weft_call_next (call, WEFT_OUT (stream_item, &item), PATIENCE_MS));
    check_outcome (call, status, executed);
    CHECK (!weft_call_next (call, WEFT_OUT (stream_item, &item), 0)); /* and again */
    weft_call_destroy (&call);
}

typedef struct {
    char path [128];
    const char *text;
} wanted_line_t;

static bool is_logged (void *arg)
{
    const wanted_line_t *self = arg;
    char line [256];
    bool found = false;
    FILE *file = fopen (self->path, "r");
    while (file && !found && fgets (line, sizeof line, file))
        found = strncmp (line, self->text, strlen (self->text)) == 0;
    if (file)
        fclose (file);
    return found;
}

/*  Waits until a handler has left with a line that begins so. */
static void await_log (const trio_t *trio, const char *text)
{
    wanted_line_t wanted = {.text = text};
    snprintf (wanted.path, sizeof wanted.path, "%s", trio->log.path);
    await (text, is_logged, &wanted);
}

static int64_t items_sent (const trio_t *trio)
{
    int64_t count = -1;
    CHECK_INT (weft_call (trio->client, "Stream.Sent", WEFT_NOTHING, WEFT_OUT (weft_int64, &count), PATIENCE_MS), WEFT_OK);
    return count;
}

TEST (a_stream_arrives_whole_and_in_order_on_both_routes)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        weft_call_t *call = start_stream (&trio, "Stream.Count", (stream_args){.count = 20000, .pad = 20}, &(weft_call_options_t){.via = via});
        take (call, 0, 20000);
        CHECK_INT (weft_call_direct (call), via == WEFT_VIA_DIRECT);
        check_end (call, WEFT_OK, WEFT_EXECUTED_YES);
        call = start_stream (&trio, "Stream.Once", (stream_args){.count = 0}, &(weft_call_options_t){.via = via});
        check_end (call, WEFT_OK, WEFT_EXECUTED_YES);
        call = start_stream (&trio, "Stream.Fail", (stream_args){.count = 3}, &(weft_call_options_t){.via = via});
        take (call, 0, 3);
        check_end (call, WEFT_APP_ERROR, WEFT_EXECUTED_YES);
    }
    trio_destroy (&trio);
}

TEST (large_items_come_whole_and_any_window_will_do)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via)
        for (int window = 1; window <= 1000; window *= 10) {
            weft_call_t *call = start_stream (&trio, "Stream.Count", (stream_args){.count = 50, .pad = 200000},
                                              &(weft_call_options_t){.via = via, .window = window});
            take (call, 0, 50);
            check_end (call, WEFT_OK, WEFT_EXECUTED_YES);
        }
    trio_destroy (&trio);
}

TEST (more_streams_than_a_worker_is_to_run_are_turned_down)
{
    trio_t trio = trio_of ("--streams-max", "2");
    weft_call_t *open [2];
    for (int i = 0; i < 2; i++) {
        open [i] = start_stream (&trio, "Stream.Count", (stream_args){.count = -1}, NULL);
        take (open [i], 0, 1);
    }
    weft_call_t *third = start_stream (&trio, "Stream.Count", (stream_args){.count = 1},
                                       &(weft_call_options_t){.retry = WEFT_RETRY_FAILFAST});
    check_end (third, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    for (int i = 0; i < 2; i++) {
        weft_call_cancel (open [i]);
        weft_call_destroy (&open [i]);
    }
    trio_destroy (&trio);
}

/*  A reader that takes nothing: the worker may have sent a window, and no more. */
TEST (a_reader_that_takes_its_time_holds_its_worker_back_and_nobody_else)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        const weft_call_options_t options = {.via = via, .window = 10};
        const int64_t before = items_sent (&trio);
        weft_call_t *slow [8];
        for (size_t i = 0; i < 8; i++) /* more than the worker has threads for calls */
            slow [i] = start_stream (&trio, "Stream.Count", (stream_args){.count = -1}, &options);
        for (size_t i = 0; i < 8; i++)
            take (slow [i], 0, 1);
        weft_call_t *quick = start_stream (&trio, "Stream.Count", (stream_args){.count = 5000}, &options);
        take (quick, 0, 5000);
        check_end (quick, WEFT_OK, WEFT_EXECUTED_YES);
        for (int i = 0; i < 100; i++)
            check_add_call (trio.client, via, i, 1);
        CHECK (items_sent (&trio) - before - 5000 <= 8 * 11);
        for (size_t i = 0; i < 8; i++) {
            take (slow [i], 1, 100); /* they go on as if nothing had been */
            weft_call_destroy (&slow [i]);
        }
    }
    trio_destroy (&trio);
}

TEST (cancelling_and_destroying_reach_the_handler)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        const weft_call_options_t options = {.via = via};
        call_log_clear (&trio.log);
        weft_call_t *call = start_stream (&trio, "Stream.Once", (stream_args){.count = -1, .tag = "waiting"}, &options);
        take (call, 0, 5); /* then its sender has to wait */
        weft_call_cancel (call);
        await_log (&trio, "waiting CANCELLED");
        check_end (call, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
        call = start_stream (&trio, "Stream.Once", (stream_args){.count = -1, .gap_ms = 60000, .tag = "idle"}, &options);
        take (call, 0, 1); /* its handler sleeps, and asks */
        weft_call_destroy (&call);
        await_log (&trio, "idle CANCELLED 1");
    }
    trio_destroy (&trio);
}

TEST (a_client_that_goes_ends_its_streams)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        call_log_clear (&trio.log);
        weft_call_t *call =
            start_stream (&trio, "Stream.Once", (stream_args){.count = -1, .tag = "left"}, &(weft_call_options_t){.via = via});
        take (call, 0, 5);
        weft_client_destroy (&trio.client);
        CHECK (weft_call_done (call));
        CHECK_INT (weft_call_status (call), WEFT_SHUTDOWN);
        stream_item item;
        while (weft_call_next (call, WEFT_OUT (stream_item, &item), -1)) {
        } /* what was here may still be taken */
        weft_call_destroy (&call);
        await_log (&trio, "left CANCELLED");
        trio.client = client_of (trio.mesh);
    }
    trio_destroy (&trio);
}

TEST (a_killed_worker_ends_its_streams_and_one_of_which_nothing_was_taken_begins_anew)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        const weft_call_options_t options = {.via = via};
        call_log_clear (&trio.log);
        weft_call_t *taken = start_stream (&trio, "Stream.Count", (stream_args){.count = -1, .gap_ms = 1}, &options);
        take (taken, 0, 3);
        weft_call_t *fresh = start_stream (&trio, "Stream.Count", (stream_args){.count = 5}, &options);
        weft_call_t *once = start_stream (&trio, "Stream.Once", (stream_args){.count = -1, .gap_ms = 60000}, &options);
        while (items_sent (&trio) < 5)
            take (taken, 3, 0);
        process_t *other = mesh_worker (trio.mesh, NULL);
        await_workers (trio.client, "Stream", 2);
        const int64_t killed_ms = now_ms ();
        process_signal (trio.worker, SIGKILL);
        stream_item item;
        while (weft_call_next (taken, WEFT_OUT (stream_item, &item), PATIENCE_MS)) {
        }
        CHECK (now_ms () - killed_ms <= patient_ms (1000));
        check_end (taken, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
        take (fresh, 0, 5);
        check_end (fresh, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK (!weft_call_next (once, WEFT_OUT (stream_item, &item), PATIENCE_MS) || item.number == 0);
        check_end (once, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
        trio.worker = other;
    }
    trio_destroy (&trio);
}

TEST (a_killed_broker_ends_routed_streams_and_leaves_direct_ones_alone)
{
    trio_t trio = trio_new ();
    weft_call_t *routed = start_stream (&trio, "Stream.Count", (stream_args){.count = -1}, &(weft_call_options_t){.via = WEFT_VIA_BROKER});
    weft_call_t *direct = start_stream (&trio, "Stream.Count", (stream_args){.count = 3000}, &(weft_call_options_t){.via = WEFT_VIA_DIRECT});
    take (routed, 0, 100);
    take (direct, 0, 100);
    process_signal (trio.broker, SIGKILL);
    stream_item item;
    while (weft_call_next (routed, WEFT_OUT (stream_item, &item), PATIENCE_MS)) {
    }
    check_end (routed, WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE);
    take (direct, 100, 2900);
    check_end (direct, WEFT_OK, WEFT_EXECUTED_YES);
    trio_destroy (&trio);
}

TEST (a_drain_finishes_streams_with_a_deadline_and_ends_those_without)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        const weft_call_options_t endless = {.via = via}, bounded = {.via = via, .timeout_ms = 60000};
        weft_call_t *one = start_stream (&trio, "Stream.Once", (stream_args){.count = -1, .gap_ms = 1}, &endless);
        weft_call_t *other = start_stream (&trio, "Stream.Once", (stream_args){.count = 500, .gap_ms = 1}, &bounded);
        take (one, 0, 3);
        take (other, 0, 3);
        process_signal (trio.worker, SIGTERM);
        stream_item item;
        while (weft_call_next (one, WEFT_OUT (stream_item, &item), PATIENCE_MS)) {
        }
        check_end (one, WEFT_DRAINING, WEFT_EXECUTED_MAYBE);
        take (other, 3, 497);
        check_end (other, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (process_wait (trio.worker), 0);
        trio.worker = mesh_worker (trio.mesh, NULL);
        await_workers (trio.client, "Stream", 1);
    }
    trio_destroy (&trio);
}

TEST (time_is_up_for_a_stream_as_for_any_call)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        call_log_clear (&trio.log);
        weft_call_t *call = start_stream (&trio, "Stream.Once", (stream_args){.count = -1, .tag = "late"},
                                          &(weft_call_options_t){.via = via, .timeout_ms = 300, .window = 4});
        take (call, 0, 1);
        CHECK (weft_call_wait (call, PATIENCE_MS)); /* taking nothing */
        CHECK_STR (weft_status_str (weft_call_status (call)), "DEADLINE_EXCEEDED");
        take (call, 1, 1); /* what was here is handed out */
        weft_call_destroy (&call);
        await_log (&trio, "late ");
    }
    trio_destroy (&trio);
}

TEST (streams_and_plain_methods_are_not_mistaken_for_each_other)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via) {
        const weft_call_options_t options = {.via = via};
        const stream_args args = {.count = 1, .tag = ""};
        weft_call_t *call = weft_client_start (trio.client, "Stream.Count", WEFT_IN (stream_args, &args), &options, NULL, NULL);
        check_outcome (call, WEFT_INVALID, WEFT_EXECUTED_NO);
        CHECK (strstr (weft_call_text (call), "Stream.Count is a stream"));
        weft_call_destroy (&call);
        call = weft_client_stream (trio.client, "Arith.Add", WEFT_IN (pair_args, &(pair_args){1, 2}), &options);
        check_end (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    }
    trio_destroy (&trio);
}

TEST (an_item_of_another_type_than_expected_ends_the_stream)
{
    trio_t trio = trio_new ();
    weft_call_t *call = start_stream (&trio, "Stream.Count", (stream_args){.count = 10}, NULL);
    int64_t number;
    CHECK (!weft_call_next (call, WEFT_OUT (weft_int64, &number), PATIENCE_MS));
    check_outcome (call, WEFT_INVALID, WEFT_EXECUTED_YES);
    CHECK (strncmp (weft_call_text (call), "reading item 0: ", 16) == 0);
    weft_call_destroy (&call);
    trio_destroy (&trio);
}

/*  Many readers on one client, each with its stream, while others call. */

static _Atomic int64_t read_in_all;

static void *read_streams (void *arg)
{
    const trio_t *trio = arg;
    for (int i = 0; i < 6; i++) {
        const weft_call_options_t options = {.via = both_routes [i % 2], .window = 1 + 7 * i};
        weft_call_t *call = start_stream (trio, "Stream.Count", (stream_args){.count = 2000, .pad = i}, &options);
        take (call, 0, 2000);
        check_end (call, WEFT_OK, WEFT_EXECUTED_YES);
        atomic_fetch_add (&read_in_all, 2000);
        for (int k = 0; k < 20; k++)
            check_add_call (trio->client, options.via, i, k);
    }
    return NULL;
}

TEST (many_threads_take_from_streams_of_one_client)
{
    enum { THREADS = 8 };
    trio_t trio = trio_new ();
    pthread_t threads [THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_INT (pthread_create (&threads [i], NULL, read_streams, &trio), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join (threads [i], NULL);
    CHECK_INT (read_in_all, THREADS * 6 * 2000);
    trio_destroy (&trio);
}

TEST (the_command_line_prints_a_line_for_each_item)
{
    trio_t trio = trio_new ();
    const result_t lines = mesh_run (trio.mesh, NULL, "weft", "-b", mesh_endpoint (trio.mesh), "call", "Stream.Count", "{\"count\": 3, \"pad\": 0, \"gap_ms\": 0, \"tag\": \"\"}", NULL);
    CHECK_STR (lines.err, "");
    CHECK_INT (lines.code, 0);
    CHECK_STR (lines.out, "{\"number\":0,\"pad\":\"\"}\n{\"number\":1,\"pad\":\"\"}\n{\"number\":2,\"pad\":\"\"}\n");
    const result_t failed = mesh_run (trio.mesh, NULL, "weft", "-b", mesh_endpoint (trio.mesh), "call", "Stream.Fail", "-o", "json", "{\"count\": 1, \"pad\": 0, \"gap_ms\": 0, \"tag\": \"\"}", NULL);
    CHECK_INT (failed.code, 6);
    CHECK (strncmp (failed.out, "{\"item\":{\"number\":0,\"pad\":\"\"}}\n{\"status\":\"APP_ERROR\"", 52) == 0);

    process_t *endless = mesh_start (trio.mesh, "weft", "-b", mesh_endpoint (trio.mesh), "call", "Stream.Once", "{\"count\": -1, \"pad\": 0, \"gap_ms\": 1, \"tag\": \"typed\"}", NULL);
    process_line (endless, "{\"number\":5,");
    process_signal (endless, SIGINT);
    CHECK_INT (process_wait (endless), 0);
    await_log (&trio, "typed CANCELLED");
    trio_destroy (&trio);
}
