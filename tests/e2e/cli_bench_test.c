/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_bench_test.c - weft bench against a real worker: its two loops, what a stall shows as, what it writes and how it ends. */

#include "calling.h"
#include "command_line.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADD "Arith.Add", "[1, 2]"

/*  The number after "name": in the JSON after `from` (a name too; NULL: the beginning). */
static double number_in (const char *json, const char *from, const char *name)
{
    char key [64];
    snprintf (key, sizeof key, "\"%s\":", from ? from : "");
    const char *at = from ? strstr (json, key) : json;
    CHECK (at != NULL);
    snprintf (key, sizeof key, "\"%s\":", name);
    at = strstr (at, key);
    CHECK (at != NULL);
    return strtod (at + strlen (key), NULL);
}

/*  The content of a file of the mesh's folder; free it. */
static char *file_content (const char *path)
{
    char *const text = calloc (1, 65536);
    FILE *const file = fopen (path, "r");
    CHECK (text && file);
    CHECK (fread (text, 1, 65535, file) < 65535 && fclose (file) == 0);
    return text;
}

/*  A row beside the names: a second of the measurement has passed. */
static bool has_row (void *path)
{
    FILE *const file = fopen (path, "r");
    if (!file)
        return false;
    size_t lines = 0;
    for (int c; (c = fgetc (file)) != EOF;)
        lines += c == '\n';
    fclose (file);
    return lines > 1;
}

TEST (bench_counts_every_call_and_names_failures)
{
    mesh_t *mesh = new_mesh (NULL);
    static const char *const ways [] = {"direct", "broker"};
    for (size_t i = 0; i < 2; i++) {
        const result_t got = WEFT (mesh, "bench", ADD, "-n", "500", "-c", "8", "-o", "json", "--via", ways [i]);
        CHECK_STR (got.err, "");
        CHECK_INT (got.code, 0);
        CHECK (has (got.out, "\"calls\":500,\"failed\":0,"));
        CHECK (has (got.out, "\"failures\":{},"));
        CHECK_INT (number_in (got.out, NULL, "direct"), i == 0 ? 500 : 0);
    }
    result_t got = WEFT (mesh, "bench", ADD, "-d", "100ms", "-c", "2", "--warmup", "50ms");
    CHECK_INT (got.code, 0);
    CHECK (strncmp (got.out, "Arith.Add, closed loop: 2 under way\n\n", 37) == 0);
    CHECK (has (got.out, "\ncalls/s "));
    CHECK (has (got.out, "\np99.9 "));
    check_fails (WEFT (mesh, "bench", "Arith.Divide", "[1, 0]", "-n", "10"), 6, "division by zero");
    process_t *const slow = mesh_worker (mesh, "--concurrency", "1", NULL); /* 64 take it 6 s, one 0.1 s */
    got = WEFT (mesh, "bench", "Slow.Hang", "{\"ms\": 100}", "-n", "64", "-c", "64", "-t", "1s", "--retry",
                "failfast", "--worker", process_uuid (slow), "-o", "json");
    CHECK_INT (got.code, 5);
    CHECK (has (got.err, " calls failed; the first: DEADLINE_EXCEEDED"));
    CHECK (has (got.out, "\"failures\":{\"DEADLINE_EXCEEDED\":{\"calls\":"));
    CHECK_INT (number_in (got.out, "executed", "no") + number_in (got.out, "executed", "maybe"),
               number_in (got.out, NULL, "failed"));
    CHECK_INT (number_in (got.out, "workers", process_uuid (slow)), number_in (got.out, NULL, "calls"));
    CHECK (number_in (got.out, "handler", "mean_us") >= 100000);
    mesh_destroy (&mesh);
}

TEST (bench_refuses_nonsense_before_it_looks_for_a_broker)
{
    mesh_t *mesh = mesh_new ();
#define BENCH(...) mesh_run (mesh, NULL, "weft", "bench", ADD, "-b", "tcp://127.0.0.1:1", __VA_ARGS__, NULL)
    check_fails (BENCH ("--rate", "0"), 2, "--rate: \"0\" is no number from 1 to 10000000");
    check_fails (BENCH ("--rate", "fast"), 2, "--rate: \"fast\" is no number from 1 to 10000000");
    check_fails (BENCH ("--clients", "1001"), 2, "--clients: \"1001\" is no number from 1 to 1000");
    check_fails (BENCH ("-c", "100001"), 2, "--outstanding: \"100001\" is no number from 1 to 100000");
    check_fails (BENCH ("--warmup", "soon"), 2, "--warmup: \"soon\" is no time; write it like 500ms or 2s");
    check_fails (BENCH ("--poisson"), 2, "--poisson is about when --rate starts calls, which is missing");
    check_fails (BENCH ("--clients", "8", "-c", "7"), 2,
                 "--outstanding 7 is less than one for each of --clients 8");
    check_fails (BENCH ("--clients", "8", "-n", "7"), 2, "--number 7 is less than one for each of --clients 8");
    check_fails (BENCH ("--clients", "8", "-r", "7"), 2, "--rate 7 is less than one for each of --clients 8");
    check_fails (BENCH ("--series", "/nonexistent/s.csv"), 2,
                 "cannot write /nonexistent/s.csv: No such file or directory");
    check_fails (BENCH ("--distribution", "/nonexistent/d.csv"), 2,
                 "cannot write /nonexistent/d.csv: No such file or directory");
    check_fails (mesh_run (mesh, NULL, "weft", "ls", "-o", "csv", NULL), 2,
                 "--output: ls knows text and json, but no csv");
#undef BENCH
    mesh_destroy (&mesh);
}

/*  Stops the worker for half a second in the middle of a benchmark of two; what that found, as JSON. Free it. */
static char *bench_a_stall (const char *const flags [4])
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    char path [256];
    snprintf (path, sizeof path, "%s/series.csv", mesh_folder (mesh));
    process_t *const bench =
        mesh_start (mesh, "weft", "bench", ADD, "--via", "direct", "-d", "2s", flags [0], flags [1], flags [2],
                    flags [3], "--series", path, "-o", "json", "-b", mesh_endpoint (mesh), NULL);
    await ("a second has passed", has_row, path);
    const int64_t start_ms = now_ms ();
    process_signal (worker, SIGSTOP);
    while (now_ms () - start_ms < 500)
        usleep (1000);
    process_signal (worker, SIGCONT);
    CHECK_INT (process_wait (bench), 0);
    char *const out = process_stdout (bench);
    CHECK (number_in (out, "latency_us", "max") >= 490000);
    mesh_destroy (&mesh);
    return out;
}

TEST (an_open_loop_shows_a_stall_in_every_call_that_was_to_start_in_it)
{
    char *const out = bench_a_stall ((const char *[]){"--rate", "1000", "-c", "10000"});
    CHECK_INT (number_in (out, NULL, "calls"), 2000);
    CHECK (number_in (out, "latency_us", "p90") >= 100000); /* 400 of them waited for longer */
    free (out);
}

TEST (an_open_loop_shows_it_just_the_same_when_few_may_be_under_way)
{
    char *const out = bench_a_stall ((const char *[]){"--rate", "1000", "-c", "2"});
    CHECK_INT (number_in (out, NULL, "calls"), 2000);
    CHECK (number_in (out, "latency_us", "p90") >= 100000);
    CHECK (number_in (out, "started_late_us", "p90") >= 100000);
    free (out);
}

TEST (a_closed_loop_shows_it_only_in_the_calls_under_way)
{
    char *const out = bench_a_stall ((const char *[]){"-c", "1", "--warmup", "100ms"});
    CHECK (number_in (out, "latency_us", "p99") < 100000);
    free (out);
}

TEST (a_rate_that_cannot_be_kept_up_is_said_to_be)
{
    mesh_t *mesh = new_mesh (NULL);
    const result_t got = WEFT (mesh, "bench", "Slow.Hang", "{\"ms\": 20}", "--rate", "1000", "-c", "2", "-d",
                               "500ms", "--warmup", "0", "-o", "json");
    CHECK_INT (got.code, 0);
    CHECK (has (got.err, "could not keep up: 1,000 calls/s asked for, "));
    CHECK_INT (count_lines (got.err), 1);
    CHECK (has (got.out, "\"kept_up\":false,"));
    CHECK_INT (number_in (got.out, NULL, "calls") + number_in (got.out, NULL, "never_started"), 500);
    CHECK (number_in (got.out, NULL, "never_started") > 400);
    mesh_destroy (&mesh);
}

TEST (an_open_loop_keeps_its_rate_evenly_or_at_random)
{
    mesh_t *mesh = new_mesh (NULL);
    result_t got = WEFT (mesh, "bench", ADD, "-r", "500", "-d", "1s", "--warmup", "100ms", "-o", "json");
    CHECK_STR (got.err, "");
    CHECK_INT (number_in (got.out, NULL, "calls"), 500);
    CHECK (has (got.out, "\"loop\":\"open\",\"rate\":500,\"arrivals\":\"even\",\"outstanding\":10000,"));
    CHECK (has (got.out, "\"kept_up\":true,\"never_started\":0,"));
    got = WEFT (mesh, "bench", ADD, "-r", "500", "-d", "1s", "--poisson", "-o", "json");
    CHECK_STR (got.err, "");
    CHECK (number_in (got.out, NULL, "calls") > 300 && number_in (got.out, NULL, "calls") < 700);
    CHECK (has (got.out, "\"arrivals\":\"random\","));
    mesh_destroy (&mesh);
}

TEST (a_slow_rate_costs_next_to_nothing)
{
    mesh_t *mesh = new_mesh (NULL);
    const result_t got =
        shell (mesh, "bash", "TIMEFORMAT='%3U+%3S'; time $WEFT bench Arith.Add '[1, 2]' -r 20 -d 3s >/dev/null");
    char *rest;
    const double user = strtod (got.err, &rest);
    CHECK (*rest == '+');
    const double seconds = user + strtod (rest + 1, NULL);
    CHECK (seconds < 1.5); /* of 3.5: a loop that spins takes them all */
    mesh_destroy (&mesh);
}

TEST (several_clients_share_the_calls)
{
    process_t *first;
    mesh_t *mesh = new_mesh (&first);
    process_t *const second = mesh_worker (mesh, NULL);
    result_t got = WEFT (mesh, "bench", ADD, "--clients", "3", "-n", "301", "-c", "4", "-o", "json");
    CHECK_STR (got.err, "");
    CHECK (has (got.out, "\"outstanding\":4,\"clients\":3,"));
    CHECK_INT (number_in (got.out, NULL, "calls"), 301);
    CHECK_INT (number_in (got.out, "workers", process_uuid (first)) +
                   number_in (got.out, "workers", process_uuid (second)),
               301);
    got = WEFT (mesh, "bench", ADD, "--clients", "4", "--rate", "400", "-d", "500ms", "-o", "json");
    CHECK_STR (got.err, "");
    CHECK_INT (number_in (got.out, NULL, "calls"), 200);
    got = WEFT (mesh, "bench", "weft.Worker.Ping", "--clients", "2", "-n", "20", "--via", "direct", "--worker",
                process_uuid (second), "-o", "json");
    CHECK_STR (got.err, "");
    CHECK_INT (number_in (got.out, "workers", process_uuid (second)), 20);
    mesh_destroy (&mesh);
}

TEST (bench_ends_with_ctrl_c_and_the_figures_so_far)
{
    mesh_t *mesh = new_mesh (NULL);
    char path [256];
    snprintf (path, sizeof path, "%s/series.csv", mesh_folder (mesh));
    static const char *const loops [] = {"--outstanding", "--rate"};
    for (size_t i = 0; i < 2; i++) {
        process_t *const bench =
            mesh_start (mesh, "weft", "bench", ADD, "-d", "600s", "--warmup", "0", loops [i], "50", "--series", path,
                        "-o", "json", "-b", mesh_endpoint (mesh), NULL);
        await ("a second has passed", has_row, path);
        process_signal (bench, SIGINT);
        CHECK_INT (process_wait (bench), 0);
        char *const out = process_stdout (bench);
        CHECK (has (out, "\"interrupted\":true,"));
        CHECK (number_in (out, NULL, "calls") >= 50);
        CHECK (number_in (out, NULL, "seconds") < 60);
        free (out);
        CHECK_INT (unlink (path), 0);
    }
    mesh_destroy (&mesh);
}

/*  Starts to bench calls that are noted, of `ms` each, and waits until so many have begun: the first is one by itself. */
static process_t *bench_noted (mesh_t *mesh, const call_log_t *log, int64_t ms, int calls)
{
    char args [32];
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    unsetenv ("WEFT_TEST_LOG");
    snprintf (args, sizeof args, "[\"x\", %lld]", (long long) ms);
    process_t *const bench = mesh_start (mesh, "weft", "bench", "Count.Next", args, "--warmup", "600s", "-t", "600s", "-b",
                                         mesh_endpoint (mesh), NULL);
    call_log_await (log, calls);
    return bench;
}

TEST (bench_that_ends_while_it_warms_up_has_measured_nothing)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    process_t *const bench = bench_noted (mesh, &log, 0, 2);
    process_signal (bench, SIGINT);
    CHECK_INT (process_wait (bench), 1);
    process_said (bench, "interrupted while warming up: nothing was measured");
    mesh_destroy (&mesh);
}

TEST (bench_does_not_wait_for_its_first_call_after_ctrl_c)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    process_t *const bench = bench_noted (mesh, &log, 600000, 1);
    process_signal (bench, SIGINT);
    CHECK_INT (process_wait (bench), 128 + SIGINT);
    call_log_let_go (&log);
    mesh_destroy (&mesh);
}

TEST (bench_writes_csv_for_spreadsheets_and_plots)
{
    mesh_t *mesh = new_mesh (NULL);
    char series [256], distribution [256];
    snprintf (series, sizeof series, "%s/series.csv", mesh_folder (mesh));
    snprintf (distribution, sizeof distribution, "%s/distribution.csv", mesh_folder (mesh));
    result_t got = WEFT (mesh, "bench", ADD, "-r", "100", "-d", "2s", "--warmup", "0", "-o", "csv", "--series",
                         series, "--distribution", distribution);
    CHECK_STR (got.err, "");
    CHECK_INT (count_lines (got.out), 2);
    CHECK (strncmp (got.out, "method,loop,rate,outstanding,", 29) == 0);
    CHECK (has (got.out, "\nArith.Add,open,100,10000,1,2.0"));
    CHECK (has (got.out, ",200,0,"));
    char *text = file_content (series);
    CHECK_INT (count_lines (text), 3);
    CHECK (has (text, "seconds,calls,failed,calls_per_second,p50_us,p90_us,p99_us,max_us\n1."));
    long calls = 0;
    for (const char *at = strchr (text, '\n'); at && at [1]; at = strchr (at + 1, '\n'))
        calls += strtol (strchr (at, ',') + 1, NULL, 10);
    CHECK_INT (calls, 200);
    free (text);
    text = file_content (distribution);
    CHECK (has (text, "percentile,one_in,latency_us\n0,1,"));
    CHECK (has (text, "\n98.75,80,"));
    CHECK (has (text, "\n100,200,"));
    free (text);
    got = WEFT (mesh, "bench", ADD, "-n", "10", "-o", "csv", "-q");
    CHECK_INT (count_lines (got.out), 1);
    CHECK (strncmp (got.out, "Arith.Add,closed,,64,1,", 23) == 0);
    got = WEFT (mesh, "bench", ADD, "-n", "10", "--distribution", "/dev/full");
    CHECK_STR (got.err, "weft: cannot write /dev/full: No space left on device\n");
    CHECK_INT (got.code, 1);
    mesh_destroy (&mesh);
}
