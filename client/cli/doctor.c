/* SPDX-License-Identifier: MPL-2.0
 *
 *  doctor.c - weft doctor: walks the path a call takes, step by step, and says what to do about what is
 *  broken.
 *
 *      broker:  address -> port -> handshake -> registry
 *      services: a live worker each;  workers: reached through the broker, and directly
 *      here:    descriptors
 *
 *  A step that fails ends its branch: what comes after would only fail for the same reason. */

#include "arena.h"
#include "catalog.h"
#include "codec.h"
#include "commands.h"
#include "probe.h"
#include "words.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_WANTED    1024
#define WORKERS_VISITED 16 /* at most; one is enough to show that a service can be reached */

typedef enum { GOOD, WARNING, PROBLEM } verdict_t;

typedef struct {
    const char *step, *verdict, *finding, *advice;
} check_row;
WEFT_SCHEMA (check_row, WEFT_FIELD (step, weft_string), WEFT_FIELD (verdict, weft_string),
             WEFT_FIELD (finding, weft_string), WEFT_FIELD (advice, weft_string))

typedef struct {
    bool ok;
    check_row *checks;
    size_t count;
} doctor_data;
WEFT_SCHEMA (doctor_data, WEFT_FIELD (ok, weft_bool), WEFT_ARRAY (checks, check_row, count))

typedef struct {
    cli_t *cli;
    arena_t arena; /* findings and lists */
    check_row rows [128];
    size_t count, warnings, problems;
    int code;  /* of the first problem */
} doctor_t;

/* ---- findings ---- */

static const char *keep (doctor_t *self, const char *text)
{
    char *const copy = arena_alloc (&self->arena, strlen (text) + 1);
    return copy ? strcpy (copy, text) : "";
}

/*  Prints a finding as it is made. `advice` may be "". */
__attribute__ ((format (printf, 5, 6))) static void find (doctor_t *self, verdict_t verdict, const char *step,
                                                          const char *advice, const char *format, ...)
{
    static const char *const verdicts [] = {"ok", "warning", "problem"};
    static const char *const marks [] = {"ok    ", "warn  ", "FAIL  "};
    static const char *const colours [] = {"32", "33", "31"};
    char finding [1024];
    va_list args;
    va_start (args, format);
    vsnprintf (finding, sizeof finding, format, args);
    va_end (args);
    words_defuse (finding);

    self->warnings += verdict == WARNING;
    self->problems += verdict == PROBLEM;
    if (self->count < sizeof self->rows / sizeof *self->rows)
        self->rows [self->count++] = (check_row){step, verdicts [verdict], keep (self, finding),
                                                 keep (self, advice)};
    if (self->cli->json)
        return;
    if (self->cli->colour)
        printf ("\033[%sm%s\033[0m%-11s%s\n", colours [verdict], marks [verdict], step, finding);
    else
        printf ("%s%-11s%s\n", marks [verdict], step, finding);
    if (*advice)
        printf ("%17s-> %s\n", "", advice);
    cli_flush ();
}

static bool fail_with (doctor_t *self, int code)
{
    if (self->code == EXITS_OK)
        self->code = code;
    return false;
}

/* ---- the broker: address, port, handshake ---- */

/*  Connects and closes. 0 or an errno. */
static int try_connect (const struct addrinfo *address, int timeout_ms)
{
    const int fd = socket (address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return errno;
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    if (connect (fd, address->ai_addr, address->ai_addrlen) < 0) {
        error = errno;
        if (error == EINPROGRESS && poll (&polled, 1, timeout_ms) <= 0)
            error = ETIMEDOUT;
        else if (error == EINPROGRESS && getsockopt (fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
            error = errno;
    }
    close (fd);
    return error;
}

static const char *connect_advice (int error)
{
    if (error == ECONNREFUSED)
        return "nothing listens there: start weft-broker, or name the right one with -b or WEFT_BROKER";
    if (error == ETIMEDOUT)
        return "packets vanish: a firewall, or not the broker's address";
    return "see whether this host has a route to that address";
}

static bool check_tcp (doctor_t *self, const char *address)
{
    char host [WEFT_ENDPOINT_MAX + 1], numeric [NI_MAXHOST] = "";
    snprintf (host, sizeof host, "%s", address);
    char *const colon = strrchr (host, ':');
    *colon = '\0';
    const size_t bracket = host [0] == '[';
    if (bracket)
        colon [-1] = '\0';

    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    const int failure = getaddrinfo (host + bracket, colon + 1, &hints, &addresses);
    if (failure) {
        find (self, PROBLEM, "address", "correct the name, or use an address", "%s: %s", host + bracket,
              gai_strerror (failure));
        return fail_with (self, EXITS_BROKER);
    }
    int error = 0;
    for (const struct addrinfo *at = addresses; at; at = at->ai_next) {
        getnameinfo (at->ai_addr, at->ai_addrlen, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST);
        error = try_connect (at, cli_connect_timeout_ms (self->cli));
        if (!error)
            break;
    }
    freeaddrinfo (addresses);
    find (self, GOOD, "address", "", "%s is %s", host + bracket, numeric);
    find (self, error ? PROBLEM : GOOD, "port", error ? connect_advice (error) : "", "%s port %s: %s",
          numeric, colon + 1, error ? strerror (error) : "open");
    return error ? fail_with (self, EXITS_BROKER) : true;
}

static bool check_ipc (doctor_t *self, const char *path)
{
    struct stat found;
    if (path [0] != '@' && stat (path, &found) < 0) {
        find (self, PROBLEM, "address", "is the broker on this host, and bound to this path?", "%s: %s", path,
              strerror (errno));
        return fail_with (self, EXITS_BROKER);
    }
    if (path [0] != '@' && !S_ISSOCK (found.st_mode)) {
        find (self, PROBLEM, "address", "name the socket that the broker made", "%s is no socket", path);
        return fail_with (self, EXITS_BROKER);
    }
    find (self, GOOD, "address", "", "%s is a socket", path);
    return true;
}

static bool check_address (doctor_t *self, const char *endpoint)
{
    if (strncmp (endpoint, "tcp://", 6) == 0)
        return check_tcp (self, endpoint + 6);
    if (strncmp (endpoint, "ipc://", 6) == 0)
        return check_ipc (self, endpoint + 6);
    find (self, PROBLEM, "address", "use the broker's tcp:// or ipc:// endpoint",
          "%s reaches only inside one process", endpoint);
    return fail_with (self, EXITS_BROKER);
}

static const char *handshake_advice (weft_status_t status)
{
    if (status == WEFT_UNAUTHENTICATED || status == WEFT_PERMISSION_DENIED)
        return "the broker does not know this key; ask who runs it";
    if (status == WEFT_DEADLINE_EXCEEDED)
        return "the broker is stopped or swamped, or something else listens there";
    return "is this the port of a weft broker, and of this version?";
}

static bool check_handshake (doctor_t *self, const char *endpoint, probe_t *probe)
{
    const bool opened = probe_open (probe, endpoint);
    const weft_status_t status = opened ? probe_hello (probe, NULL, cli_connect_timeout_ms (self->cli))
                                        : WEFT_INTERNAL;
    char round_trip [WORDS_SHORT_MAX];
    if (opened && status == WEFT_OK) {
        find (self, GOOD, "handshake", "", "speaks weft version %llu, server %s, %s",
              (unsigned long long) probe->version, probe->server,
              words_duration (round_trip, probe->round_trip_us));
        return true;
    }
    find (self, PROBLEM, "handshake", handshake_advice (status), "%s: %s", weft_status_str (status),
          probe->text);
    const int code = exits_of (status, WEFT_EXECUTED_NO, true);
    return fail_with (self, code == EXITS_REFUSED ? code : EXITS_BROKER);
}

static bool check_registry (doctor_t *self, probe_t *probe, list_reply *list)
{
    static const uint8_t all [] = {0x90};
    codec_error_t error = {""};
    const weft_status_t status =
        probe_call (probe, "weft.Registry.List", NULL, all, sizeof all, cli_timeout_ms (self->cli));
    char round_trip [WORDS_SHORT_MAX];
    void *const body = status == WEFT_OK ? arena_alloc (&self->arena, probe->reply_size + 1) : NULL;
    if (body)
        memcpy (body, probe->reply, probe->reply_size); /* the probe's own copy ends with its next call */
    if (body && codec_decode (CODEC_MSGPACK, body, probe->reply_size, WEFT_OUT (list_reply, list),
                              &self->arena, &error)) {
        find (self, GOOD, "registry", "", "%s%zu services, %zu workers, revision %llu, %s",
              list->has_more && list->more ? "at least " : "", list->service_count, list->worker_count, (unsigned long long) list->revision,
              words_duration (round_trip, probe->round_trip_us));
        if (list->has_paused)
            find (self, GOOD, "registry", "", "for %.1f s more no worker expires: %s",
                  list->has_paused_ms ? (double) list->paused_ms / 1000 : 0.0, list->paused);
        return true;
    }
    find (self, PROBLEM, "registry", "the broker answers but does not list; look at its log", "%s: %s",
          weft_status_str (status), *error.text ? error.text : probe->text);
    return fail_with (self, status == WEFT_OK ? EXITS_OTHER : exits_of (status, WEFT_EXECUTED_NO, true));
}

/* ---- services and workers ---- */

static void check_services (doctor_t *self, const list_reply *list)
{
    if (list->service_count == 0) {
        find (self, PROBLEM, "services", "start a worker: weft-worker --broker ... --load ...",
              "no service is registered");
        fail_with (self, EXITS_NOBODY);
    }
    for (size_t i = 0; i < list->service_count; i++) {
        const service_row *const row = &list->services [i];
        if (row->workers == 0) {
            find (self, PROBLEM, "service", "start a worker for it, or see why its workers went",
                  "%s has no live worker", row->name);
            fail_with (self, EXITS_NOBODY);
        } else if (row->queued > 0 && row->in_flight >= row->capacity) {
            find (self, WARNING, "service", "add workers", "%s: %llu calls wait, its workers are all busy",
                  row->name, (unsigned long long) row->queued);
        } else {
            find (self, GOOD, "service", "", "%s has %llu live worker%s", row->name,
                  (unsigned long long) row->workers, row->workers == 1 ? "" : "s");
        }
    }
}

/*  One of its endpoints is enough: that is how a client sees it. */
static void check_direct (doctor_t *self, const worker_row *worker)
{
    char round_trip [WORDS_SHORT_MAX], reason [512] = "it gives none";
    for (size_t i = 0; i < worker->endpoint_count; i++) {
        probe_t probe;
        if (!probe_can_reach (worker->endpoints [i]))
            continue;
        const int timeout_ms = cli_connect_timeout_ms (self->cli);
        const bool reached = probe_open (&probe, worker->endpoints [i]) &&
                             probe_hello (&probe, worker->uuid, timeout_ms) == WEFT_OK &&
                             probe_ping_worker (&probe, NULL, timeout_ms) == WEFT_OK;
        if (reached)
            find (self, GOOD, "direct", "", "%s at %s, %s", worker->uuid, worker->endpoints [i],
                  words_duration (round_trip, probe.round_trip_us));
        else
            snprintf (reason, sizeof reason, "%.200s: %.300s", worker->endpoints [i], probe.text);
        probe_close (&probe);
        if (reached)
            return;
    }
    find (self, WARNING, "direct",
          "calls go through the broker; to spare them that, open the worker's port or give it --advertise",
          "%s by no endpoint (%s)", worker->uuid, reason);
}

static void check_worker (doctor_t *self, probe_t *broker, const worker_row *worker)
{
    char round_trip [WORDS_SHORT_MAX];
    const weft_status_t status = probe_ping_worker (broker, worker->uuid, cli_timeout_ms (self->cli));
    if (status == WEFT_OK) {
        find (self, GOOD, "routed", "", "%s through the broker, %s", worker->uuid,
              words_duration (round_trip, broker->round_trip_us));
    } else {
        find (self, PROBLEM, "routed", "the worker is stopped or stuck: look at its log, or restart it",
              "%s: %s: %s", worker->uuid, weft_status_str (status), broker->text);
        fail_with (self, exits_of (status, WEFT_EXECUTED_NO, true));
    }
    check_direct (self, worker);
}

static void check_workers (doctor_t *self, probe_t *broker, const list_reply *list)
{
    size_t visited = 0;
    for (size_t i = 0; i < list->worker_count; i++) {
        const worker_row *const worker = &list->workers [i];
        if (strcmp (worker->state, "stuck") == 0)
            find (self, WARNING, "worker", "look at its log: a handler that hangs, or takes very long",
                  "%s is stuck: %llu calls, and none came to an end for long", worker->uuid,
                  (unsigned long long) worker->in_flight);
        else if (strcmp (worker->state, "alive") != 0 && strcmp (worker->state, "busy") != 0)
            find (self, WARNING, "worker", "", "%s is %s", worker->uuid, worker->state);
        else if (visited++ < WORKERS_VISITED)
            check_worker (self, broker, worker);
    }
}

/* ---- here ---- */

static void check_limits (doctor_t *self)
{
    struct rlimit files;
    if (getrlimit (RLIMIT_NOFILE, &files) < 0)
        return;
    const unsigned long long limit = files.rlim_cur;
    if (limit < FILES_WANTED)
        find (self, WARNING, "here", "raise it with ulimit -n: every connection takes one",
              "%llu open files are allowed", limit);
    else
        find (self, GOOD, "here", "", "%llu open files are allowed", limit);
}

/* ---- all of it ---- */

static bool check_broker (doctor_t *self, const char *endpoint)
{
    find (self, GOOD, "broker", "", "%s", endpoint);
    if (!check_address (self, endpoint))
        return false;
    list_reply list = {.revision = 0};
    probe_t probe;
    const bool welcome = check_handshake (self, endpoint, &probe);
    if (welcome && check_registry (self, &probe, &list)) {
        check_services (self, &list);
        check_workers (self, &probe, &list);
    }
    probe_close (&probe);
    return welcome;
}

static int run (cli_t *cli)
{
    doctor_t *const self = calloc (1, sizeof *self);
    if (!self)
        return cli_fail (cli, EXITS_OTHER, "out of memory");
    self->cli = cli;
    arena_init (&self->arena, WEFT_DECODED_MAX);
    for (const char *at = cli->options.broker; *at;) {
        char endpoint [WEFT_ENDPOINT_MAX + 1];
        at = cli_next_endpoint (at, endpoint);
        check_broker (self, endpoint);
    }
    check_limits (self);

    const doctor_data data = {self->problems == 0, self->rows, self->count};
    if (cli->json)
        cli_print_value (cli, WEFT_IN (doctor_data, &data));
    else if (self->problems == 0)
        printf ("\n%s", "all is well");
    else
        printf ("\n%zu problem%s", self->problems, self->problems == 1 ? "" : "s");
    if (!cli->json)
        printf (self->warnings ? ", %zu warning%s\n" : "\n", self->warnings, self->warnings == 1 ? "" : "s");
    const int code = self->problems == 0 ? EXITS_OK : self->code;
    arena_fini (&self->arena);
    free (self);
    return code;
}

const command_t command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "check the path that calls take, and say what to do about what is broken",
    .details =
        "Each broker: its address, port, handshake and registry; each service: a live worker; workers:\n"
        "through the broker and directly; and this host's limits. Exit code 0 if calls can be made, else\n"
        "that of the first problem. Warnings do not change it.\n",
    .examples = "  weft doctor\n"
                "  weft doctor -b tcp://mesh.example:5555 -o json\n",
    .run = run};
