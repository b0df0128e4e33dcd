/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_errors_test.c - what goes wrong with the program weft: one line that names it, and the exit code that it has. */

#include "command_line.h"
#include "fake.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST (wrong_input_is_named_and_exits_with_2)
{
    mesh_t *mesh = new_mesh (NULL);
    check_fails (WEFT (mesh, "call", "Arith.Add", "{\"a\": 1, \"b\" 2}"), 2, "line 1, column 14");
    check_fails (WEFT (mesh, "call", "Arith.Add", "{\"a\": 1, \"b\": \"x\"}"), 2,
                 "field b: expected int64, got string");
    check_fails (WEFT (mesh, "call", "Arith.Add", "{\"a\": 1}"), 2, "field b");
    check_fails (WEFT (mesh, "call", "Arith.Add"), 2, "it takes pair_args{a: int64, b: int64}");
    check_fails (WEFT (mesh, "call", "Arith.Add", "[1, 2]", "--tiemout", "5"), 2,
                 "unknown flag --tiemout; did you mean --timeout?");
    check_fails (WEFT (mesh, "call", "Arith.Add", "@/nonexistent/body.json"), 2,
                 "cannot read /nonexistent/body.json: No such file or directory");
    check_fails (WEFT (mesh, "call", "Arith.Add", "@/"), 2, "cannot read /");
    check_fails (WEFT (mesh, "call", "Arith", "{}"), 2,
                 "\"Arith\" is ill-formed; write it as Service.Method");
    check_fails (WEFT (mesh, "call", "Arith.Add", "[1, 2]", "--meta", "novalue"), 2, "--meta: \"novalue\"");
    check_fails (WEFT (mesh, "wrokers"), 2, "unknown command \"wrokers\"; did you mean workers?");
    check_fails (mesh_run (mesh, NULL, "weft", "-b", "tpc://here:1", "ls", NULL), 2,
                 "--broker: \"tpc://here:1\"");
    check_fails (mesh_run (mesh, NULL, "weft", "-b", "tcp://here:99999", "ls", NULL), 2,
                 "the port must be 1 to 65535");
    mesh_destroy (&mesh);
}

TEST (an_oversized_body_is_refused_before_it_is_sent)
{
    mesh_t *mesh = new_mesh (NULL);
    const size_t size = 17 * 1024 * 1024;
    char *const text = malloc (size), path [256], at [300];
    CHECK (text);
    memset (text, 'x', size);
    text [0] = text [size - 1] = '"';
    snprintf (path, sizeof path, "%s/large.json", mesh_folder (mesh));
    snprintf (at, sizeof at, "@%s", path);
    write_file (path, text, size);
    free (text);
    check_fails (WEFT (mesh, "call", "Echo.Text", at), 2, "is over the limit of 16,777,216");
    mesh_destroy (&mesh);
}

TEST (a_broker_that_repeats_a_page_of_its_list_is_not_believed)
{
    mesh_t *mesh = mesh_new ();
    fake_t *fake = fake_new (1);
    check_fails (mesh_run (mesh, NULL, "weft", "-b", fake_broker (fake), "workers", NULL), 1,
                 "weft.Registry.List: the broker's list goes back after 0 services and 1 workers");
    fake_destroy (&fake);
    mesh_destroy (&mesh);
}

TEST (an_unreachable_broker_is_named_and_exits_with_3)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    const int fd = take_port (false, endpoint);
    static const char *const commands [] = {"ls", "describe", "workers", "ping"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const int64_t start_ms = now_ms ();
        const result_t got = i == 0 ? mesh_run (mesh, NULL, "weft", commands [i], "-b", endpoint, NULL)
                                    : mesh_run (mesh, NULL, "weft", commands [i], "-b", endpoint,
                                                "--connect-timeout", "200ms", NULL);
        CHECK (has (got.err, endpoint));
        CHECK (has (got.err, "cannot be reached"));
        CHECK_INT (got.code, 3);
        CHECK (now_ms () - start_ms < patient_ms (4500));
    }
    check_fails (mesh_run (mesh, NULL, "weft", "call", "Arith.Add", "[1, 2]", "-b", endpoint,
                           "--connect-timeout", "200ms", NULL),
                 3, endpoint);
    check_fails (mesh_run (mesh, NULL, "weft", "watch", "Arith", "-b", endpoint, "--connect-timeout", "200ms",
                           NULL),
                 3, endpoint);
    close (fd);
    mesh_destroy (&mesh);
}

TEST (unknown_names_are_answered_with_the_known_ones_and_exit_with_4)
{
    mesh_t *mesh = new_mesh (NULL);
    check_fails (WEFT (mesh, "call", "Arth.Add", "{}"), 4,
                 "no service \"Arth\"; did you mean Arith?; services: Arith, Count, Echo");
    check_fails (WEFT (mesh, "call", "Arith.Ad", "{}"), 4,
                 "service Arith has no method \"Ad\"; did you mean Add?; methods: Add, Divide, Multiply");
    check_fails (WEFT (mesh, "ls", "Nowhere"), 4, "no service \"Nowhere\"; services: Arith");
    check_fails (WEFT (mesh, "describe", "Nowhere"), 4, "no service or worker \"Nowhere\"");
    check_fails (WEFT (mesh, "ping", "Nowhere"), 4, "no service or worker \"Nowhere\"");
    check_fails (WEFT (mesh, "workers", "info", "abcdef"), 4, "\"abcdef\"");
    check_fails (WEFT (mesh, "call", "weft.Registry.Lst"), 4, "did you mean weft.Registry.List?");
    mesh_destroy (&mesh);
}

TEST (a_service_without_workers_is_told_from_an_unknown_one)
{
    process_t *worker;
    mesh_t *mesh = new_mesh (&worker);
    process_signal (worker, SIGTERM);
    CHECK_INT (process_wait (worker), 0);
    check_fails (WEFT (mesh, "call", "Arith.Add", "[1, 2]"), 4, "service Arith has no live worker");
    check_fails (WEFT (mesh, "ping", "Arith"), 4, "service Arith has no live worker");
    const result_t got = WEFT (mesh, "doctor");
    CHECK_INT (got.code, 4);
    CHECK (has (got.out, "FAIL  service    Arith has no live worker\n"));
    mesh_destroy (&mesh);
}

TEST (a_deadline_exits_with_5)
{
    mesh_t *mesh = new_mesh (NULL);
    const int64_t start_ms = now_ms ();
    check_fails (WEFT (mesh, "call", "Slow.Hang", "{\"ms\": 1000}", "-t", "150ms"), 5,
                 "Slow.Hang: DEADLINE_EXCEEDED");
    CHECK (now_ms () - start_ms < patient_ms (4000));
    static const char *const ways [] = {"direct", "broker"};
    for (int i = 0; i < 10; i++) /* its handler gives up at the deadline: that is no error of its own */
        check_fails (WEFT (mesh, "call", "Slow.Sleep", "{\"ms\": 1000}", "-t", "50ms", "--via", ways [i % 2]), 5,
                     "Slow.Sleep: DEADLINE_EXCEEDED");
    mesh_destroy (&mesh);
}

TEST (an_application_error_exits_with_6)
{
    mesh_t *mesh = new_mesh (NULL);
    check_fails (WEFT (mesh, "call", "Arith.Divide", "{\"a\": 1, \"b\": 0}"), 6,
                 "Arith.Divide: APP_ERROR: division by zero (code 33)");
    mesh_destroy (&mesh);
}

TEST (a_delay_for_second_attempts_that_nobody_makes_exits_with_2)
{
    mesh_t *mesh = new_mesh (NULL);
    check_fails (WEFT (mesh, "call", "Arith.Add", "{\"a\": 1, \"b\": 2}", "--backup-after", "20ms"), 2,
                 "--backup-after is about --retry failbackup, which is missing");
    const result_t got = WEFT (mesh, "call", "Arith.Add", "{\"a\": 1, \"b\": 2}", "--backup-after", "20ms", "--retry",
                               "failbackup");
    CHECK_INT (got.code, 0);
    CHECK_STR (got.out, "3\n");
    mesh_destroy (&mesh);
}

TEST (a_full_queue_exits_with_8)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, "--concurrency", "1", "--queue-max", "1", NULL);
    const result_t got = WEFT (mesh, "bench", "Slow.Hang", "{\"ms\": 50}", "-n", "16", "-c", "16", "--via",
                               "direct", "--retry", "failfast");
    CHECK_INT (got.code, 8);
    CHECK (has (got.err, "the first: OVERLOADED"));
    mesh_destroy (&mesh);
}

TEST (errors_are_json_objects_if_data_is)
{
    mesh_t *mesh = new_mesh (NULL);
    result_t got = WEFT (mesh, "call", "Arth.Add", "-o", "json");
    CHECK_STR (got.out, "");
    CHECK (strncmp (got.err, "{\"error\":\"no service \\\"Arth\\\"; did you mean Arith?;", 50) == 0);
    CHECK (has (got.err, "\"exit\":4}\n"));
    got = WEFT (mesh, "ls", "--bogus", "-o", "json");
    CHECK_STR (got.err, "{\"error\":\"ls: unknown flag --bogus\",\"exit\":2}\n");
    mesh_destroy (&mesh);
}

/* ---- standard output ---- */

TEST (a_reader_that_goes_away_is_no_error)
{
    mesh_t *mesh = new_mesh (NULL);
    const result_t got = shell (mesh, "bash", "sleep 0 | ($WEFT ls; echo code $? >&2) | true; true");
    CHECK_STR (got.err, "code 0\n");
    mesh_destroy (&mesh);
}

TEST (output_that_cannot_be_written_exits_with_1)
{
    mesh_t *mesh = new_mesh (NULL);
    check_fails (shell (mesh, "sh", "$WEFT ls >/dev/full"), 1,
                 "cannot write the output: No space left on device");
    check_fails (shell (mesh, "sh", "$WEFT ls >&-"), 1, "cannot write the output: ");
    mesh_destroy (&mesh);
}
