/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_test.c - the program weft against a real broker and workers: what each command finds and does. */

#include "command_line.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- listing ---- */

TEST (h11_services_their_workers_and_one_definition_are_listed)
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    char prefix [16];

    result_t got = WEFT (mesh, "ls");
    CHECK_INT (got.code, 0);
    CHECK (has (got.out, "SERVICE"));
    CHECK (has (got.out, "\nArith "));
    CHECK (has (got.out, "\nFoo "));
    CHECK (strstr (got.out, "\nArith ") < strstr (got.out, "\nFoo "));

    got = WEFT (mesh, "ls", "Arith");
    CHECK_INT (got.code, 0);
    CHECK_INT (count_lines (got.out), 2);
    CHECK (has (got.out, process_uuid (worker)));
    CHECK (has (got.out, strrchr (process_ready_word (worker, 3), ':'))); /* the port it got */

    got = WEFT (mesh, "workers", "info", process_uuid (worker));
    CHECK_INT (got.code, 0);
    CHECK (has (got.out, process_uuid (worker)));
    CHECK (has (got.out, "pair_args{a: int64, b: int64} -> int64"));

    snprintf (prefix, sizeof prefix, "%.8s", process_uuid (worker));
    got = WEFT (mesh, "workers", "info", prefix);
    CHECK_INT (got.code, 0);
    CHECK (has (got.out, process_uuid (worker)));

    got = WEFT (mesh, "ls", "-o", "json");
    CHECK_INT (got.code, 0);
    CHECK_INT (count_lines (got.out), 1);
    CHECK (strncmp (got.out, "{\"services\":[{\"name\":\"Arith\",", 29) == 0);

    got = WEFT (mesh, "-q", "ls");
    CHECK (strncmp (got.out, "Arith ", 6) == 0);
    mesh_destroy (&mesh);
}

TEST (n16_methods_with_signatures_and_counts_are_listed_sorted)
{
    mesh_t *mesh = new_mesh (NULL);
    mesh_worker (mesh, NULL);
    for (int i = 0; i < 4; i++)
        CHECK_INT (WEFT (mesh, "call", "Arith.Add", "{\"a\": 1, \"b\": 2}").code, 0);
    CHECK_INT (WEFT (mesh, "call", "Arith.Divide", "{\"a\": 1, \"b\": 0}").code, 6);

    const result_t all = WEFT (mesh, "describe");
    CHECK_INT (all.code, 0);
    CHECK (has (all.out, "Arith"));
    CHECK (has (all.out, ", 2 workers\n"));
    const char *const add = strstr (all.out, "\n  Add "), *const divide = strstr (all.out, "\n  Divide "),
               *const multiply = strstr (all.out, "\n  Multiply ");
    CHECK (add && divide && multiply && add < divide && divide < multiply);
    CHECK (strstr (all.out, "\nCount") < strstr (all.out, "\nEcho"));

    const result_t one = WEFT (mesh, "describe", "Arith", "-o", "json");
    CHECK_INT (one.code, 0);
    CHECK (has (one.out,
                "{\"name\":\"Add\",\"arguments\":\"pair_args{a: int64, b: int64}\",\"reply\":\"int64\","
                "\"idempotent\":true,\"inline\":true,\"stream\":false,\"calls\":4,\"errors\":0}"));
    CHECK (has (one.out, "\"name\":\"Divide\""));
    CHECK (has (one.out, "\"calls\":1,\"errors\":1}"));
    CHECK (!strstr (one.out, "Echo"));
    mesh_destroy (&mesh);
}

/* ---- calling ---- */

TEST (a_call_prints_its_reply_on_each_way)
{
    mesh_t *mesh = new_mesh (NULL);
    static const char *const ways [] = {"auto", "direct", "broker"};
    for (size_t i = 0; i < 3; i++)
        check_prints (WEFT (mesh, "call", "Arith.Add", "{\"a\": 2, \"b\": 40}", "--via", ways [i]), "42\n");
    check_prints (WEFT (mesh, "call", "Arith.Multiply", "[6, 7]"), "42\n");
    check_prints (
        WEFT (mesh, "call", "Echo.Shape", "{\"title\": \"t\", \"points\": [{\"x\": 1.5, \"y\": 2.5}]}"),
        "{\"title\":\"t\",\"points\":[{\"x\":1.5,\"y\":2.5}]}\n");
    check_prints (WEFT (mesh, "call", "Echo.Echo", "\"aGVsbG8=\""), "\"aGVsbG8=\"\n");
    CHECK (strncmp (WEFT (mesh, "call", "Who.Am").out, "{\"pid\":", 7) == 0);
    CHECK (strncmp (WEFT (mesh, "call", "Who.Am", "{}").out, "{\"pid\":", 7) == 0);
    mesh_destroy (&mesh);
}

TEST (json_comes_from_a_file_or_standard_input)
{
    mesh_t *mesh = new_mesh (NULL);
    char path [256], at [300];
    snprintf (path, sizeof path, "%s/body.json", mesh_folder (mesh));
    snprintf (at, sizeof at, "@%s", path);
    write_file (path, "{\"a\": 1,\n \"b\": 2}\n", 18);
    check_prints (WEFT (mesh, "call", "Arith.Add", at), "3\n");
    check_prints (mesh_run (mesh, "{\"a\": 1, \"b\": 4}", "weft", "call", "Arith.Add", "-", "-b",
                            mesh_endpoint (mesh), NULL),
                  "5\n");
    mesh_destroy (&mesh);
}

TEST (with_json_output_the_whole_outcome_is_told)
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    result_t got = WEFT (mesh, "call", "Arith.Add", "[1, 2]", "-o", "json", "--via", "direct");
    CHECK_STR (got.err, "");
    CHECK (has (got.out, "{\"status\":\"OK\",\"executed\":\"yes\",\"origin\":\"application\",\"worker\":\""));
    CHECK (has (got.out, process_uuid (worker)));
    CHECK (has (got.out, "\"via\":\"direct\",\"attempts\":1,\"ledger\":{\"total_us\":"));
    CHECK (has (got.out, "\"reply\":3}\n"));

    got = WEFT (mesh, "call", "Arith.Divide", "[1, 0]", "-o", "json");
    CHECK_INT (got.code, 6);
    CHECK (has (got.out, "{\"status\":\"APP_ERROR\",\"executed\":\"yes\",\"origin\":\"application\""));
    CHECK (has (got.out, "\"code\":33,\"error\":\"division by zero\"}\n"));
    CHECK (has (got.err, "\"exit\":6,\"status\":\"APP_ERROR\""));
    CHECK_INT (count_lines (got.err), 1);
    mesh_destroy (&mesh);
}

TEST (a_broadcast_prints_a_line_for_each_worker)
{
    process_t *first;
    mesh_t *mesh = new_mesh (&first);
    process_t *const second = mesh_worker (mesh, NULL);
    const result_t got = WEFT (mesh, "call", "Arith.Add", "[1, 2]", "--balance", "broadcast");
    char line [64];
    CHECK_INT (got.code, 0);
    CHECK_INT (count_lines (got.out), 2);
    snprintf (line, sizeof line, "%s 3\n", process_uuid (first));
    CHECK (has (got.out, line));
    snprintf (line, sizeof line, "%s 3\n", process_uuid (second));
    CHECK (has (got.out, line));
    mesh_destroy (&mesh);
}

TEST (one_worker_can_be_asked_by_the_beginning_of_its_uuid)
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    mesh_worker (mesh, NULL);
    char prefix [16], expected [64];
    snprintf (prefix, sizeof prefix, "%.8s", process_uuid (worker));
    snprintf (expected, sizeof expected, "\"worker\":\"%s\"", process_uuid (worker));
    for (int i = 0; i < 4; i++)
        CHECK (
            has (WEFT (mesh, "call", "Arith.Add", "[1, 2]", "-o", "json", "--worker", prefix).out, expected));
    CHECK (has (WEFT (mesh, "call", "weft.Worker.Ping", "--worker", process_uuid (worker), "--via", "direct").out,
                process_uuid (worker)));
    check_fails (WEFT (mesh, "call", "Arith.Add", "[1, 2]", "--worker", "zzzz"), 4, "\"zzzz\"");
    mesh_destroy (&mesh);
}

/* ---- looking after ---- */

TEST (ping_measures_each_way)
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    result_t got = WEFT (mesh, "ping", "-c", "3", "-i", "1ms");
    CHECK_INT (got.code, 0);
    CHECK (has (got.out, "\nbroker  tcp://127.0.0.1:"));
    CHECK (has (got.out, " 3/3 "));

    got = WEFT (mesh, "ping", "Arith", "-c", "2", "-i", "1ms", "-o", "json");
    CHECK_STR (got.err, "");
    CHECK_INT (got.code, 0);
    CHECK (has (got.out, "\"via\":\"broker\",\"endpoint\":\""));
    CHECK (has (got.out, "\"via\":\"direct\",\"endpoint\":\"tcp://127.0.0.1:"));
    CHECK (!strstr (got.out, "error"));
    for (const char *at = got.out; (at = strstr (at, "\"sent\":")); at++)
        CHECK (strncmp (at, "\"sent\":2,\"answered\":2,\"min_us\":", 31) == 0);
    CHECK (has (got.out, process_uuid (worker)));
    mesh_destroy (&mesh);
}

TEST (watch_tells_who_comes_and_who_goes)
{
    process_t *first;
    mesh_t *mesh = new_mesh (&first);
    process_t *const watch = mesh_start (mesh, "weft", "watch", "Arith", "-o", "json", "--count", "3", "-b",
                                         mesh_endpoint (mesh), NULL);
    process_line (watch, "{\"time\":");
    process_t *const second = mesh_worker (mesh, NULL);
    process_signal (second, SIGKILL);
    CHECK_INT (process_wait (watch), 0);
    char *const out = process_stdout (watch);
    char line [128];
    CHECK_INT (count_lines (out), 3);
    CHECK (has (out, process_uuid (first)));
    snprintf (line, sizeof line, "\"worker\":\"%s\",\"state\":\"alive\"", process_uuid (second));
    CHECK (has (out, line));
    snprintf (line, sizeof line, "\"worker\":\"%s\",\"state\":\"gone\"", process_uuid (second));
    CHECK (has (out, line));
    free (out);
    mesh_destroy (&mesh);
}

TEST (watch_ends_with_ctrl_c)
{
    mesh_t *mesh = new_mesh (NULL);
    process_t *const watch = mesh_start (mesh, "weft", "watch", "Arith", "-o", "json", "-b",
                                         mesh_endpoint (mesh), NULL);
    process_line (watch, "{\"time\":");
    process_signal (watch, SIGINT);
    CHECK_INT (process_wait (watch), 0);
    mesh_destroy (&mesh);
}

/* ---- finding faults, taking away ---- */

TEST (doctor_finds_a_sound_mesh_sound)
{
    mesh_t *mesh = new_mesh (NULL);
    result_t got = WEFT (mesh, "doctor");
    CHECK (has (got.out, "ok    handshake  speaks weft version 1"));
    CHECK (has (got.out, "ok    service    Arith has 1 live worker\n"));
    CHECK (has (got.out, "ok    routed     "));
    CHECK (has (got.out, "ok    direct     "));
    CHECK (has (got.out, "\nall is well"));
    CHECK_INT (got.code, 0);
    got = WEFT (mesh, "doctor", "-o", "json");
    CHECK_INT (got.code, 0);
    CHECK (strncmp (got.out, "{\"ok\":true,\"checks\":[", 21) == 0);
    mesh_destroy (&mesh);
}

TEST (doctor_says_where_the_path_breaks)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    int fd = take_port (false, endpoint);
    result_t got = mesh_run (mesh, NULL, "weft", "doctor", "-b", endpoint, NULL);
    CHECK_INT (got.code, 3);
    CHECK (has (got.out, "FAIL  port"));
    CHECK (has (got.out, "Connection refused"));
    CHECK (has (got.out, "-> nothing listens there: start weft-broker"));
    CHECK (has (got.out, "\n1 problem\n"));
    close (fd);

    fd = take_port (true, endpoint); /* takes connections and says nothing */
    got = mesh_run (mesh, NULL, "weft", "doctor", "-b", endpoint, "--connect-timeout", "200ms", NULL);
    CHECK_INT (got.code, 3);
    CHECK (has (got.out, "FAIL  handshake"));
    close (fd);

    got = mesh_run (mesh, NULL, "weft", "doctor", "-b", "tcp://no.such.host.invalid:5555", NULL);
    CHECK_INT (got.code, 3);
    CHECK (has (got.out, "FAIL  address    no.such.host.invalid"));
    got = mesh_run (mesh, NULL, "weft", "doctor", "-b", "ipc:///nonexistent/broker", NULL);
    CHECK_INT (got.code, 3);
    CHECK (has (got.out, "FAIL  address    /nonexistent/broker: No such file or directory"));

    mesh_broker (mesh, NULL, NULL);
    got = WEFT (mesh, "doctor");
    CHECK_INT (got.code, 4);
    CHECK (has (got.out, "FAIL  services   no service is registered"));
    mesh_destroy (&mesh);
}

TEST (doctor_notices_a_stopped_worker)
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    process_signal (worker, SIGSTOP);
    const result_t got = WEFT (mesh, "doctor", "-t", "300ms", "--connect-timeout", "300ms");
    process_signal (worker, SIGCONT);
    CHECK (got.code != 0);
    CHECK (has (got.out, "FAIL  routed"));
    mesh_destroy (&mesh);
}

static bool has_gone (void *arg)
{
    return !process_running (arg);
}

TEST (a_worker_can_be_drained)
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    const result_t got = WEFT (mesh, "workers", "drain", process_uuid (worker));
    CHECK_INT (got.code, 0);
    CHECK_STR (got.out, "");
    await ("the worker goes", has_gone, worker);
    CHECK_INT (process_wait (worker), 0);
    mesh_destroy (&mesh);
}

/* ---- terminals ---- */

TEST (a_terminal_gets_titles_in_bold_indented_json_and_progress)
{
    mesh_t *mesh = new_mesh (NULL);
    result_t got = shell (mesh, "sh", "script -qec '$WEFT ls' /dev/null");
    CHECK (has (got.out, "\033[1mSERVICE"));
    got = shell (mesh, "sh", "NO_COLOR=1 script -qec '$WEFT ls' /dev/null");
    CHECK (!strstr (got.out, "\033["));
    got = shell (mesh, "sh", "script -qec '$WEFT call Who.Am' /dev/null");
    CHECK (strncmp (got.out, "{\r\n  \"pid\": ", 12) == 0);
    got = shell (mesh, "sh",
                 "script -qec '$WEFT bench Arith.Add \"[1, 2]\" -d 2s -c 1 >/dev/null' /dev/null");
    CHECK (has (got.out, "\rwarming up\033[K"));
    CHECK (has (got.out, "\r1 s: "));
    CHECK (has (got.out, " calls/s, p50 "));
    got = shell (mesh, "sh",
                 "script -qec '$WEFT -q bench Arith.Add \"[1, 2]\" -d 2s -c 1 >/dev/null' /dev/null");
    CHECK_STR (got.out, "");
    mesh_destroy (&mesh);
}
