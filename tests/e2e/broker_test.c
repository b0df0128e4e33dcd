/* SPDX-License-Identifier: MPL-2.0
 *
 *  broker_test.c - weft-broker as a program: what it is told, where from, what it says, how it stops. */

#include "calling.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROKER(mesh, ...) mesh_run (mesh, NULL, "weft-broker", __VA_ARGS__, NULL)
#define ANY_PORT          "tcp://127.0.0.1:*"

static bool has (const char *text, const char *part)
{
    return strstr (text, part) != NULL;
}

/*  One line that holds `part`, nothing on stdout, this exit code. */
static void check_fails (result_t got, int code, const char *part)
{
    const char *end = strchr (got.err, '\n');

    if (got.code != code || *got.out || !end || end [1] || !has (got.err, part))
        printf ("exit %d\nstdout: %s\nstderr: %s\nexpected %d, one line with: %s\n", got.code, got.out, got.err, code,
                part);
    CHECK_INT (got.code, code);
    CHECK_STR (got.out, "");
    CHECK (end && !end [1]);
    CHECK (has (got.err, part));
}

static const char *write_settings (mesh_t *mesh, const char *text)
{
    static char path [300];
    snprintf (path, sizeof path, "%s/broker.conf", mesh_folder (mesh));
    FILE *file = fopen (path, "w");
    CHECK (file != NULL);
    fputs (text, file);
    fclose (file);
    return path;
}

/*  ------------------------------------------------------------------ settings  */

TEST (a_wrong_setting_is_named_in_one_line_and_exits_with_2)
{
    mesh_t *mesh = mesh_new ();
    check_fails (BROKER (mesh, "--frobnicate"), 2, "unknown flag --frobnicate");
    check_fails (BROKER (mesh, "--tll-ms", "5"), 2, "--ttl-ms");
    check_fails (BROKER (mesh, "serve"), 2, "unknown argument \"serve\"");
    check_fails (BROKER (mesh, "--ttl-ms", "soon"), 2, "ttl-ms");
    check_fails (BROKER (mesh, "--bind", "here"), 2, "bind: \"here\": expected tcp://host:port");
    check_fails (BROKER (mesh, "--config", "/nonexistent/broker.conf"), 2, "cannot read /nonexistent/broker.conf");
    check_fails (BROKER (mesh, "--config", write_settings (mesh, "tll_ms = 5\n"), "--check-config"), 2, "tll_ms");
    check_fails (BROKER (mesh, "--config", write_settings (mesh, "ttl_ms = soon\n"), "--check-config"), 2, "ttl_ms");
    setenv ("WEFT_BROKER_TTL_MS", "soon", 1);
    check_fails (BROKER (mesh, "--check-config"), 2, "WEFT_BROKER_TTL_MS");
    unsetenv ("WEFT_BROKER_TTL_MS");
    mesh_destroy (&mesh);
}

TEST (flags_win_over_the_environment_and_that_over_the_file)
{
    mesh_t *mesh = mesh_new ();
    const char *file = write_settings (mesh, "ttl_ms = 1000\ndrain_ms = 1000\nmemory_max = 1M\nbeat_ms = 100\n");
    setenv ("WEFT_BROKER_TTL_MS", "2000", 1);
    setenv ("WEFT_BROKER_DRAIN_MS", "2000", 1);
    const result_t got = BROKER (mesh, "--config", file, "--ttl-ms", "3000", "--print-config");
    CHECK_INT (got.code, 0);
    CHECK (has (got.out, "\nttl_ms = 3000\n"));
    CHECK (has (got.out, "\ndrain_ms = 2000\n"));
    CHECK (has (got.out, "\nmemory_max = 1048576\n"));
    unsetenv ("WEFT_BROKER_TTL_MS");
    unsetenv ("WEFT_BROKER_DRAIN_MS");

    const char *printed = write_settings (mesh, got.out); /* what is printed can be read, and says the same */
    CHECK_STR (BROKER (mesh, "--config", printed, "--print-config").out, got.out);
    CHECK_INT (BROKER (mesh, "--config", printed, "--check-config").code, 0);
    mesh_destroy (&mesh);
}

TEST (a_signal_has_the_settings_read_again_and_a_wrong_file_changes_nothing)
{
    mesh_t *mesh = mesh_new ();
    const char *file = write_settings (mesh, "ttl_ms = 9000\n");
    process_t *broker = mesh_broker (mesh, NULL, "--config", file, NULL);
    write_settings (mesh, "ttl_ms = 8000\nbody_max = 1M\n");
    process_signal (broker, SIGHUP);
    process_said (broker, "setting changed key=ttl_ms");
    process_said (broker, "setting changed, but takes effect only after a restart key=body_max");
    write_settings (mesh, "ttl_ms = soon\n");
    process_signal (broker, SIGHUP);
    process_said (broker, "configuration is wrong; going on with the old one why=");
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    check_add_call (client, WEFT_VIA_BROKER, 1, 2);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (as_many_peers_as_descriptors_allow_is_no_reason_to_warn)
{
    static const char quiet [] = "ulimit -n 1000 && exec \"$0\" --bind '" ANY_PORT "'";
    static const char wished [] = "ulimit -n 1000 && exec \"$0\" --bind '" ANY_PORT "' --peers-max 5000";
    mesh_t *mesh = mesh_new ();
    process_t *broker = mesh_start (mesh, "sh", "-c", quiet, mesh_program ("weft-broker"), NULL);
    process_line (broker, "weft-broker ready ");
    process_said (broker, "info the limit of descriptors (nofile) allows fewer peers than peers_max peers=872");
    broker = mesh_start (mesh, "sh", "-c", wished, mesh_program ("weft-broker"), NULL);
    process_line (broker, "weft-broker ready ");
    process_said (broker, "warning the limit of descriptors (nofile) allows fewer peers than peers_max peers=872");
    mesh_destroy (&mesh);
}

/*  ------------------------------------------------------------------ starting and stopping  */

TEST (an_endpoint_in_use_is_named_and_exits_with_1)
{
    mesh_t *mesh = mesh_new ();
    char ipc [300];
    snprintf (ipc, sizeof ipc, "ipc://%s/broker", mesh_folder (mesh));
    mesh_broker (mesh, ipc, NULL);
    check_fails (BROKER (mesh, "--bind", ipc, "--log-level", "error"), 1, ipc);
    mesh_broker (mesh, NULL, NULL);
    check_fails (BROKER (mesh, "--bind", mesh_endpoint (mesh), "--log-level", "error"), 1, mesh_endpoint (mesh));
    check_fails (BROKER (mesh, "--bind", "ipc:///nonexistent/folder/broker", "--log-level", "error"), 1,
                 "ipc:///nonexistent/folder/broker");
    mesh_destroy (&mesh);
}

TEST (a_terminated_broker_lets_what_is_in_flight_finish)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    const weft_call_options_t options = {.via = WEFT_VIA_BROKER};
    weft_call_t *call = start_count (client, "Count.Next", "x", 10000, &options);
    call_log_await (&log, 1);
    process_signal (broker, SIGTERM);
    process_said (broker, "stopping: calls in flight may finish");
    call_log_let_go (&log);
    CHECK (weft_call_wait (call, 10000));
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (process_wait (broker), 0);
    unsetenv ("WEFT_TEST_LOG");
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (a_health_check_tells_by_its_exit_code)
{
    mesh_t *mesh = mesh_new ();
    process_t *broker = mesh_broker (mesh, NULL, NULL);
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    snprintf (endpoint, sizeof endpoint, "%s", mesh_endpoint (mesh));
    const result_t result = BROKER (mesh, "healthcheck", endpoint);
    CHECK_INT (result.code, 0);
    CHECK (strstr (result.out, "answers, in "));
    CHECK (strstr (result.out, "no worker expires for "));
    CHECK (strstr (result.out, "the broker has just started"));
    process_signal (broker, SIGTERM);
    CHECK_INT (process_wait (broker), 0);
    CHECK_INT (BROKER (mesh, "healthcheck", endpoint).code, 1);
    mesh_destroy (&mesh);
}

TEST (logs_are_json_lines_if_told_so)
{
    mesh_t *mesh = mesh_new ();
    process_t *broker = mesh_broker (mesh, NULL, "--log-format", "json", NULL);
    mesh_worker (mesh, NULL);
    process_said (broker, "\"level\":\"info\",\"message\":\"worker joined\",\"uuid\":\"");
    mesh_destroy (&mesh);
}
