/* SPDX-License-Identifier: MPL-2.0
 *
 *  host_test.c - the program weft-worker: commands as methods, several processes, flags, exit codes. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "calling.h"

/*  ------------------------------------------------------------------ helpers  */

/*  Starts a worker with commands, and waits until it is ready. Arguments after the broker's. */
#define EXEC_WORKER(mesh, ...)                                                                               \
    process_line (mesh_start (mesh, "weft-worker", "--broker", mesh_endpoint (mesh), __VA_ARGS__, NULL),     \
                  "weft-worker ready ")

/*  Calls with a JSON body. */
static weft_call_t *call_json (weft_client_t *client, const char *method, const char *json, int timeout_ms)
{
    const weft_call_options_t options = {.timeout_ms = timeout_ms};
    weft_call_t *call = weft_client_start_body (client, method, json, strlen (json), "json", &options, NULL,
                                                NULL);
    CHECK (call && weft_call_wait (call, -1));
    return call;
}

static void check_json (weft_client_t *client, const char *method, const char *json, const char *expected)
{
    size_t size;
    weft_call_t *call = call_json (client, method, json, 10000);
    if (weft_call_status (call) != WEFT_OK)
        CHECK_STR (weft_call_text (call), "");
    const void *body = weft_call_body (call, &size);
    CHECK_MEM (body, size, expected, strlen (expected));
    weft_call_destroy (&call);
}

static void check_failure (weft_client_t *client, const char *method, weft_status_t status, int64_t code,
                           const char *text)
{
    weft_call_t *call = call_json (client, method, "[1,2]", 10000);
    CHECK_STR (weft_call_text (call), text);
    CHECK_INT (weft_call_status (call), status);
    CHECK_INT (weft_call_code (call), code);
    CHECK_INT (weft_call_executed (call), WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
}

static void check_usage (const char *expected, result_t got)
{
    CHECK_STR (got.err, expected);
    CHECK_INT (got.code, 2);
    CHECK_STR (got.out, "");
}

/*  ------------------------------------------------------------------ commands  */

TEST (a_command_serves_a_method)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    EXEC_WORKER (mesh, "--exec", "cat", "--method", "Cmd.Echo", "--idempotent", "--method", "Cmd.Same",
                 "--exec", "wc -c | tr -d ' '", "--method", "Cmd.Size", "--method", "Other.Size", "--text");
    weft_client_t *client = client_of (mesh);
    check_json (client, "Cmd.Echo", "{\"a\":[1,2.5,null],\"b\":\"x\"}", "{\"a\":[1,2.5,null],\"b\":\"x\"}");
    check_json (client, "Cmd.Same", "[true]", "[true]");
    check_json (client, "Cmd.Size", "[1,2]", "6"); /* and a line end */
    check_json (client, "Other.Size", "[1,2]", "\"6\"");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_commands_exit_status_and_last_words_become_the_error)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    EXEC_WORKER (mesh, "--exec", "echo one >&2; echo the reason >&2; echo >&2; exit 7", "--method",
                 "Cmd.Fail", "--exec", "exit 3", "--method", "Cmd.Mute", "--exec", "kill -9 $$", "--method",
                 "Cmd.Dies", "--exec", "echo oops", "--method", "Cmd.NotJson", "--exec", "printf '\\377'",
                 "--method", "Cmd.NotText", "--text");
    weft_client_t *client = client_of (mesh);
    check_failure (client, "Cmd.Fail", WEFT_APP_ERROR, 7, "the reason");
    check_failure (client, "Cmd.Mute", WEFT_APP_ERROR, 3, "the command exited with status 3");
    check_failure (client, "Cmd.Dies", WEFT_APP_ERROR, 137, "the command was killed by signal 9 (Killed)");
    check_failure (client, "Cmd.NotText", WEFT_APP_ERROR, 0, "the command's output is not UTF-8 text");
    weft_call_t *call = call_json (client, "Cmd.NotJson", "1", 10000);
    CHECK (strncmp (weft_call_text (call), "the command's output is not JSON: line 1", 40) == 0);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (large_input_and_output_do_not_block_each_other)
{
    enum { SIZE = 3000000 };
    mesh_t *mesh = mesh_new ();
    char *json = malloc (SIZE + 1);
    mesh_broker (mesh, NULL, NULL);
    EXEC_WORKER (mesh, "--exec", "cat", "--method", "Cmd.Echo", "--exec", "true", "--method", "Cmd.Deaf",
                 "--text", "--body-max", "4000000", "--exec", "tr '\\0' x </dev/zero", "--method",
                 "Cmd.Endless", "--text");
    weft_client_t *client = client_of (mesh);
    memset (json, 'x', SIZE);
    json [0] = json [SIZE - 1] = '"';
    json [SIZE] = '\0';
    check_json (client, "Cmd.Echo", json, json);
    check_json (client, "Cmd.Deaf", json, "\"\""); /* it reads nothing of it */

    weft_call_t *call = call_json (client, "Cmd.Endless", "1", 10000);
    CHECK_INT (weft_call_status (call), WEFT_TOO_LARGE);
    CHECK_INT (weft_call_executed (call), WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    free (json);
    mesh_destroy (&mesh);
}

static bool has_content (void *path)
{
    char command [300];
    snprintf (command, sizeof command, "test -s '%s'", (char *) path);
    return system (command) == 0;
}

/*  Nobody may be there to bury an orphan: a zombie is gone too. */
static bool is_gone (void *pid_file)
{
    char command [300];
    snprintf (command, sizeof command, "! grep -qs '^State:.[^ZX]' /proc/$(cat '%s')/status",
              (char *) pid_file);
    return system (command) == 0;
}

/*  Calls a command that would sleep for a minute, until one has got so far as to say who it is; then it must go. */
static void check_killed (const char *flag, const char *value, int timeout_ms, weft_status_t status)
{
    mesh_t *mesh = mesh_new ();
    char pid_file [200], command [300];
    mesh_broker (mesh, NULL, NULL);
    snprintf (pid_file, sizeof pid_file, "%s/pid", mesh_folder (mesh));
    snprintf (command, sizeof command, "sh -c 'echo $$ >\"%s\"; exec sleep 60'; true",
              pid_file); /* a grandchild */
    EXEC_WORKER (mesh, "--exec", command, "--method", "Cmd.Sleep", flag, value);
    weft_client_t *client = client_of (mesh);
    do {
        weft_call_t *call = call_json (client, "Cmd.Sleep", "1", timeout_ms);
        CHECK_INT (weft_call_status (call), status);
        weft_call_destroy (&call);
    } while (!has_content (pid_file));
    await ("the command to be killed", is_gone, pid_file);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_command_is_killed_when_nobody_waits_any_more)
{
    check_killed ("--concurrency", "2", 300, WEFT_DEADLINE_EXCEEDED);
}

TEST (s12_a_command_is_killed_at_the_handler_timeout)
{
    check_killed ("--handler-timeout-ms", "200", 10000, WEFT_HANDLER_TIMEOUT);
}

TEST (a_command_does_not_outlive_its_worker)
{
    mesh_t *mesh = mesh_new ();
    char pid_file [200], command [300];
    mesh_broker (mesh, NULL, NULL);
    snprintf (pid_file, sizeof pid_file, "%s/pid", mesh_folder (mesh));
    snprintf (command, sizeof command, "echo $$ >'%s'; exec sleep 60", pid_file);
    process_t *worker = mesh_start (mesh, "weft-worker", "--broker", mesh_endpoint (mesh), "--exec", command, "--method",
                                    "Cmd.Sleep", "--drain-timeout-ms", "200", NULL);
    process_line (worker, "weft-worker ready ");
    weft_client_t *client = client_of (mesh);
    const weft_any one = {"\x01", 1};
    weft_call_t *call = weft_client_start (client, "Cmd.Sleep", WEFT_IN (weft_any, &one),
                                           &(weft_call_options_t){.timeout_ms = 60000}, NULL, NULL);
    await ("the command", has_content, pid_file);
    process_signal (worker, SIGTERM);
    CHECK_INT (process_wait (worker), 1); /* it says that it abandoned a handler */
    CHECK (is_gone (pid_file));
    check_outcome (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  ------------------------------------------------------------------ processes  */

/*  Starts a call that lasts `ms`, whatever happens, and waits until its handler runs. */
static weft_call_t *start_long (weft_client_t *client, const call_log_t *log, int64_t ms)
{
    weft_call_t *call = start_count (client, "Count.Next", "long", ms, NULL);
    call_log_await (log, 1);
    return call;
}

TEST (h1_several_processes_are_several_workers_and_a_crashed_one_comes_back)
{
    mesh_t *mesh = mesh_new ();
    char command [64];
    mesh_broker (mesh, NULL, NULL);
    process_t *host = mesh_worker_start (mesh, "--processes", "3", NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Arith", 3);

    who_reply who = {0};
    CHECK_INT (weft_call (client, "Who.Am", WEFT_NOTHING, WEFT_OUT (who_reply, &who), 5000), WEFT_OK);
    snprintf (command, sizeof command, "kill -9 %lld", (long long) who.pid);
    CHECK_INT (system (command), 0);
    process_said (host, "a worker process ended, another will follow");
    await_workers (client, "Arith", 3);

    process_signal (host, SIGTERM);
    CHECK_INT (process_wait (host), 0);
    await_workers (client, "Arith", 0);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (one_interrupt_drains_every_process)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, NULL);
    process_t *host = mesh_worker_start (mesh, "--processes", "2", NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Count", 2);
    weft_call_t *call = start_long (client, &log, 300);
    process_signal (host, SIGINT);
    CHECK (weft_call_wait (call, 10000));
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (process_wait (host), 0);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  ------------------------------------------------------------------ flags and exit codes  */

#define RUN(mesh, ...) mesh_run (mesh, NULL, "weft-worker", __VA_ARGS__, NULL)

TEST (wrong_usage_is_named_in_one_line_and_exits_with_2)
{
    mesh_t *mesh = mesh_new ();
    check_usage ("weft-worker: unknown flag --frobnicate; see weft-worker --help\n",
                 RUN (mesh, "--frobnicate"));
    check_usage ("weft-worker: --concurrency \"many\": expected a number from 1 to 1024\n",
                 RUN (mesh, "--concurrency", "many"));
    check_usage ("weft-worker: --broker needs a value\n", RUN (mesh, "--broker"));
    check_usage ("weft-worker: unexpected argument \"x\"; see weft-worker --help\n", RUN (mesh, "x"));
    check_usage ("weft-worker: --log-level \"loud\": expected debug, info, warning or error\n",
                 RUN (mesh, "--log-level", "loud"));
    check_usage ("weft-worker: --label \"x\": expected key=value, at most 32 times\n",
                 RUN (mesh, "--label", "x"));
    check_usage (
        "weft-worker: nothing to serve: give --load, or --exec with --method; see weft-worker --help\n",
        RUN (mesh, "--name", "x"));
    check_usage ("weft-worker: --method A.B: there is no --exec for it\n", RUN (mesh, "--method", "A.B"));
    check_usage ("weft-worker: --exec \"cat\": there is no --method for it\n", RUN (mesh, "--exec", "cat"));
    check_usage ("weft-worker: --method \"AB\": expected Service.Method\n",
                 RUN (mesh, "--exec", "cat", "--method", "AB"));
    check_usage ("weft-worker: method \"A.B\" is already defined\n",
                 RUN (mesh, "--exec", "cat", "--method", "A.B", "--method", "A.B"));
    check_usage ("weft-worker: --text: there is no --method before it\n", RUN (mesh, "--text"));
    check_usage ("weft-worker: bad broker endpoint \"http://x\": expected tcp://host:port, ipc://path or "
                 "inproc://name\n",
                 RUN (mesh, "-b", "http://x", "--exec", "cat", "--method", "A.B"));
    check_usage (
        "weft-worker: bad broker endpoint \"http://x\": expected tcp://host:port, ipc://path or "
        "inproc://name\n",
        RUN (mesh, "-b", "http://x", "--exec", "cat", "--method", "A.B", "--processes", "3")); /* once */
    mesh_destroy (&mesh);
}

TEST (an_object_that_cannot_be_loaded_is_named)
{
    mesh_t *mesh = mesh_new ();
    result_t got = RUN (mesh, "--load", "/nowhere/x.so");
    CHECK_INT (got.code, 2);
    CHECK (strncmp (got.err, "weft-worker: --load /nowhere/x.so: ", 35) == 0);
    got = RUN (mesh, "--load", "libm.so.6");
    CHECK_STR (got.err, "weft-worker: --load libm.so.6: it does not define weft_load\n");
    CHECK_INT (got.code, 2);
    mesh_destroy (&mesh);
}

TEST (check_loads_everything_and_exits)
{
    mesh_t *mesh = mesh_new ();
    char services [512];
    snprintf (services, sizeof services, "%s/tests/testing.so", getenv ("WEFT_BUILD_DIR"));
    CHECK_INT (RUN (mesh, "--check", "--load", services).code, 0);
    result_t got = RUN (mesh, "--check", "--load", services, "--load", services);
    CHECK_INT (got.code, 2);
    CHECK (strstr (got.err, ": service \"Arith\" is already defined\n"));
    got = RUN (mesh, "--version");
    CHECK_STR (got.out, "weft-worker " WEFT_VERSION "\n");
    got = RUN (mesh, "--help");
    CHECK (strstr (got.out, "exit codes: "));
    CHECK_INT (got.code, 0);
    mesh_destroy (&mesh);
}

TEST (without_a_broker_it_keeps_trying_or_gives_up_when_told_to)
{
    mesh_t *mesh = mesh_new ();
    result_t got = RUN (mesh, "-b", "tcp://127.0.0.1:1", "--exec", "cat", "--method", "A.B", "--wait-ms",
                        "200");
    CHECK_INT (got.code, 3);
    CHECK (strstr (got.err, "weft-worker: tcp://127.0.0.1:1: cannot connect\n"));

    process_t *worker = mesh_start (mesh, "weft-worker", "-b", "tcp://127.0.0.1:1", "--exec", "cat",
                                    "--method", "A.B", NULL);
    process_said (worker, "warning cannot reach a broker why=\"tcp://127.0.0.1:1: cannot connect\"");
    CHECK (process_running (worker));
    process_signal (worker, SIGTERM);
    CHECK_INT (process_wait (worker), 0);
    mesh_destroy (&mesh);
}

TEST (a_port_in_use_is_named_and_exits_with_1)
{
    mesh_t *mesh = mesh_new ();
    char why [400];
    mesh_broker (mesh, NULL, NULL);
    result_t got = RUN (mesh, "-b", mesh_endpoint (mesh), "--exec", "cat", "--method", "A.B", "--bind",
                        mesh_endpoint (mesh));
    CHECK_INT (got.code, 1);
    snprintf (why, sizeof why, "weft-worker: cannot bind %s: Address already in use\n", mesh_endpoint (mesh));
    CHECK (strstr (got.err, why));
    mesh_destroy (&mesh);
}

TEST (the_second_signal_does_not_wait_for_handlers)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    process_t *worker = mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    await_workers (client, "Count", 1);
    weft_call_t *call = start_long (client, &log, 60000);
    process_signal (worker, SIGTERM);
    process_said (broker, "worker draining");
    CHECK (process_running (worker));
    process_signal (worker, SIGTERM);
    CHECK_INT (process_wait (worker), 1);
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}
