/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_test.c - the program weft against a real broker and workers: what it prints, where, and its exit
 *  code. */

#include "mesh.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*  Runs weft at the mesh's broker; the arguments follow. */
#define WEFT(mesh, ...) mesh_run (mesh, NULL, "weft", __VA_ARGS__, "-b", mesh_endpoint (mesh), NULL)

static bool has (const char *text, const char *part)
{
    if (strstr (text, part))
        return true;
    fprintf (stderr, "\"%s\" is not in:\n%s\n", part, text);
    return false;
}

static size_t count_lines (const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/*  One line on stderr, "weft: " first, that names `part`; nothing on stdout. */
static void check_fails (result_t result, int code, const char *part)
{
    CHECK_STR (result.out, "");
    CHECK (has (result.err, part));
    CHECK (strncmp (result.err, "weft: ", 6) == 0);
    CHECK_INT (count_lines (result.err), 1);
    CHECK_INT (result.code, code);
}

static void check_prints (result_t result, const char *out)
{
    CHECK_STR (result.err, "");
    CHECK_STR (result.out, out);
    CHECK_INT (result.code, 0);
}

/*  A mesh of a broker and one worker. */
static mesh_t *new_mesh (process_t **worker)
{
    mesh_t *const mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    process_t *const started = mesh_worker (mesh, NULL);
    if (worker)
        *worker = started;
    return mesh;
}

/*  A socket on a free port of this host; listening only if asked. Its endpoint names it. */
static int take_port (bool listening, char endpoint [64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl (INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK (fd >= 0 && bind (fd, (struct sockaddr *) &address, size) == 0);
    CHECK (!listening || listen (fd, 8) == 0);
    CHECK (getsockname (fd, (struct sockaddr *) &address, &size) == 0);
    snprintf (endpoint, 64, "tcp://127.0.0.1:%d", ntohs (address.sin_port));
    return fd;
}

static void write_file (const char *path, const char *text, size_t size)
{
    FILE *const file = fopen (path, "w");
    CHECK (file && fwrite (text, 1, size, file) == size && fclose (file) == 0);
}

/*  Runs a line of shell in which $WEFT is the program. */
static result_t shell (mesh_t *mesh, const char *shell_name, const char *line)
{
    CHECK (setenv ("WEFT", mesh_program ("weft"), 1) == 0 && setenv ("WEFT_BROKER", mesh_endpoint (mesh), 1) == 0);
    const result_t result = mesh_run (mesh, NULL, shell_name, "-c", line, NULL);
    unsetenv ("WEFT_BROKER");
    return result;
}

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

/* ---- what goes wrong ---- */

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

/* ---- benchmarks ---- */

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

static bool is_there (void *path)
{
    return access (path, F_OK) == 0;
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
    process_t *const warming = mesh_start (mesh, "weft", "bench", ADD, "--warmup", "600s", "--series", path, "-b",
                                           mesh_endpoint (mesh), NULL);
    await ("it has begun", is_there, path);
    process_signal (warming, SIGINT);
    CHECK_INT (process_wait (warming), 1);
    process_said (warming, "interrupted while warming up: nothing was measured");
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

/* ---- completion ---- */

TEST (completion_offers_commands_flags_choices_and_live_names)
{
    mesh_t *mesh = new_mesh (NULL);
    CHECK_INT (setenv ("WEFT_BROKER", mesh_endpoint (mesh), 1), 0);
    CHECK (has (mesh_run (mesh, NULL, "weft", "__complete", "de", NULL).out, "describe\t"));
    CHECK (
        has (mesh_run (mesh, NULL, "weft", "__complete", "call", "X.Y", "--bal", NULL).out, "--balance\t"));
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "--via", "d", NULL), "direct\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "--via=d", NULL), "--via=direct\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "--via", "=", "d", NULL), "direct\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "Arith.", NULL),
                  "Arith.Add\nArith.Divide\nArith.Multiply\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "ls", "Ar", NULL), "Arith\tservice\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "workers", "in", NULL), "info\n");
    CHECK_INT (count_lines (mesh_run (mesh, NULL, "weft", "__complete", "workers", "info", "", NULL).out), 1);
    unsetenv ("WEFT_BROKER");
    mesh_destroy (&mesh);
}

TEST (completion_is_quick_and_silent_without_a_broker)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    const int fd = take_port (true, endpoint);
    const int64_t start_ms = now_ms ();
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "-b", endpoint, "call", "A", NULL), "");
    CHECK (now_ms () - start_ms < patient_ms (2000));
    close (fd);
    mesh_destroy (&mesh);
}

TEST (completion_works_in_bash)
{
    mesh_t *mesh = new_mesh (NULL);
    check_prints (shell (mesh, "bash",
                         ". <($WEFT completion bash); COMP_WORDS=($WEFT call Arith.M); COMP_CWORD=2; _weft; "
                         "echo \"${COMPREPLY[@]}\""),
                  "Arith.Multiply\n");
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

/* ---- help ---- */

TEST (help_goes_to_standard_output_and_names_every_command)
{
    mesh_t *mesh = mesh_new ();
    static const char *const commands [] = {"call",  "ls",    "workers", "describe",   "ping",
                                            "watch", "bench", "doctor",  "completion", "help"};
    const result_t all = mesh_run (mesh, NULL, "weft", "--help", NULL);
    CHECK_INT (all.code, 0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const result_t one = mesh_run (mesh, NULL, "weft", commands [i], "--help", NULL);
        CHECK (has (all.out, commands [i]));
        CHECK (has (one.out, "\nexamples:\n  "));
        CHECK_INT (one.code, 0);
        CHECK_STR (one.err, "");
    }
    CHECK (strncmp (mesh_run (mesh, NULL, "weft", "--version", NULL).out, "weft " WEFT_VERSION, 9) == 0);
    check_fails (mesh_run (mesh, NULL, "weft", NULL), 2, "no command");
    mesh_destroy (&mesh);
}

/*  The man page of `program` as text, its hyphens plain. */
static char *man_page (const char *program)
{
    char path [512];
    snprintf (path, sizeof path, "%s/deploy/man/%s.1", getenv ("WEFT_SOURCE_DIR"), program);
    FILE *const file = fopen (path, "r");
    char *const text = calloc (1, 65536);
    CHECK (file && text && fread (text, 1, 65535, file) > 0 && fclose (file) == 0);
    char *to = text;
    for (const char *at = text; *at; at++)
        if (*at != '\\')
            *to++ = *at;
    *to = '\0';
    return text;
}

/*  Every "--flag" of a help text is in the page. */
static void check_flags_documented (const char *help, const char *page)
{
    CHECK (strstr (help, "--") != NULL);
    for (const char *at = help; (at = strstr (at, "--"));) {
        char flag [64];
        const size_t size = 2 + strspn (at + 2, "abcdefghijklmnopqrstuvwxyz-");
        snprintf (flag, sizeof flag, "%.*s", (int) size, at);
        if (size > 2)
            CHECK (has (page, flag));
        at += size;
    }
}

TEST (man_pages_name_every_command_and_flag)
{
    mesh_t *mesh = mesh_new ();
    static const char *const programs [] = {"weft", "weft-broker", "weft-worker"};
    static const char *const commands [] = {"call",  "ls",    "workers", "describe",  "ping",
                                            "watch", "bench", "doctor",  "completion"};
    for (size_t i = 0; i < 3; i++) {
        char *const page = man_page (programs [i]);
        check_flags_documented (mesh_run (mesh, NULL, programs [i], "--help", NULL).out, page);
        free (page);
    }
    char *const page = man_page ("weft");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char heading [64];
        snprintf (heading, sizeof heading, "\n.SS %s", commands [i]);
        CHECK (has (page, heading));
        check_flags_documented (mesh_run (mesh, NULL, "weft", commands [i], "--help", NULL).out, page);
    }
    free (page);
    mesh_destroy (&mesh);
}
