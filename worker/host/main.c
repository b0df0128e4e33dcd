/* SPDX-License-Identifier: MPL-2.0
 *
 *  main.c - the program weft-worker: hosts services from shared objects, or serves methods with commands. */

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>
#include "exec.h"
#include "log.h"
#include "supervise.h"
#include "worker_run.h"

#define OBJECTS_MAX    64
#define USAGE          2
#define DEFAULT_BROKER "tcp://127.0.0.1:5555"

typedef weft_status_t (load_fn) (weft_worker_t *worker);

typedef struct {
    const char *brokers;
    const char *objects [OBJECTS_MAX];
    load_fn *loads [OBJECTS_MAX];
    size_t object_count;
    exec_method_t methods [WEFT_METHODS_MAX];
    weft_method_t tables [2 * WEFT_METHODS_MAX];
    size_t method_count;
    const char *command;        /* of the last --exec */
    const char *labels [WEFT_LABELS_MAX + 1];
    size_t label_count;
    weft_worker_options_t worker;
    int processes, wait_ms;
    weft_log_level_t level;
    bool json_log, check, help, version;
} host_t;

/*  ------------------------------------------------------------------ words for people  */

static const char help_text [] =
    "usage: weft-worker [flags] --load FILE | --exec CMD --method Service.Method\n"
    "\n"
    "Hosts services and serves calls until SIGTERM; then it drains.\n"
    "\n"
    "  -b, --broker ENDPOINTS       brokers, comma-separated (WEFT_BROKER; " DEFAULT_BROKER ")\n"
    "      --load FILE              a shared object that defines weft_load; repeatable\n"
    "      --exec CMD               a command for /bin/sh: argument on stdin, reply from stdout, as JSON;\n"
    "                               exit status N fails the call with code N and the last line of stderr\n"
    "      --method SERVICE.METHOD  served by the --exec before it; repeatable\n"
    "      --idempotent             the --method before it may run twice\n"
    "      --text                   the reply of the --method before it is stdout as a string\n"
    "      --processes N            this many processes, started again when they crash (1)\n"
    "      --concurrency N          handlers at once in each (the number of cores)\n"
    "      --queue-max N            calls waiting for a handler (10000)\n"
    "      --queue-bytes-max BYTES  of their bodies, and those of calls that run (268435456)\n"
    "      --streams-max N          streams at once, each with a thread of its own (256)\n"
    "      --handler-timeout-ms N   no handler may run longer (only the caller's deadline counts)\n"
    "      --drain-timeout-ms N     what runs longer after SIGTERM is abandoned (30000)\n"
    "      --wait-ms N              give up if no broker answers in this time (keep trying)\n"
    "      --bind ENDPOINTS         where direct calls come in (tcp://*:0 and ipc); \"none\": only routed ones\n"
    "      --advertise ADDRESS      host or tcp://host[:port] that clients are told (what the broker sees)\n"
    "      --label KEY=VALUE        repeatable\n"
    "      --name NAME              for people (weft-worker)\n"
    "      --body-max BYTES         of a body (16777216)\n"
    "      --replies-max N          replies kept for repeated request keys (10000)\n"
    "      --replies-bytes-max BYTES  of all of them (67108864)\n"
    "      --replies-age-ms N       how long they are kept (600000)\n"
    "      --log-level LEVEL        debug, info, warning or error (info)\n"
    "      --log-format FORMAT      text or json (text)\n"
    "      --check                  check flags and services, then exit\n"
    "      --help, --version\n"
    "\n"
    "exit codes: 0 done, 1 failed, 2 wrong usage, 3 no broker within --wait-ms\n";

static int complain (int code, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
static int complain (int code, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    fputs ("weft-worker: ", stderr);
    vfprintf (stderr, format, arguments);
    fputc ('\n', stderr);
    va_end (arguments);
    return code;
}

/*  ------------------------------------------------------------------ flags  */

enum {
    FLAG_LOAD = 256, FLAG_EXEC, FLAG_METHOD, FLAG_IDEMPOTENT, FLAG_TEXT, FLAG_PROCESSES, FLAG_CONCURRENCY,
    FLAG_QUEUE_MAX, FLAG_QUEUE_BYTES_MAX, FLAG_STREAMS_MAX, FLAG_HANDLER_TIMEOUT, FLAG_DRAIN_TIMEOUT, FLAG_WAIT, FLAG_BIND, FLAG_ADVERTISE, FLAG_LABEL,
    FLAG_NAME, FLAG_BODY_MAX, FLAG_REPLIES_MAX, FLAG_REPLIES_BYTES_MAX, FLAG_REPLIES_AGE, FLAG_LOG_LEVEL, FLAG_LOG_FORMAT, FLAG_CHECK, FLAG_HELP, FLAG_VERSION
};

static const struct option flags [] = {
    {"broker", required_argument, NULL, 'b'},
    {"load", required_argument, NULL, FLAG_LOAD},
    {"exec", required_argument, NULL, FLAG_EXEC},
    {"method", required_argument, NULL, FLAG_METHOD},
    {"idempotent", no_argument, NULL, FLAG_IDEMPOTENT},
    {"text", no_argument, NULL, FLAG_TEXT},
    {"processes", required_argument, NULL, FLAG_PROCESSES},
    {"concurrency", required_argument, NULL, FLAG_CONCURRENCY},
    {"queue-max", required_argument, NULL, FLAG_QUEUE_MAX},
    {"queue-bytes-max", required_argument, NULL, FLAG_QUEUE_BYTES_MAX},
    {"streams-max", required_argument, NULL, FLAG_STREAMS_MAX},
    {"handler-timeout-ms", required_argument, NULL, FLAG_HANDLER_TIMEOUT},
    {"drain-timeout-ms", required_argument, NULL, FLAG_DRAIN_TIMEOUT},
    {"wait-ms", required_argument, NULL, FLAG_WAIT},
    {"bind", required_argument, NULL, FLAG_BIND},
    {"advertise", required_argument, NULL, FLAG_ADVERTISE},
    {"label", required_argument, NULL, FLAG_LABEL},
    {"name", required_argument, NULL, FLAG_NAME},
    {"body-max", required_argument, NULL, FLAG_BODY_MAX},
    {"replies-max", required_argument, NULL, FLAG_REPLIES_MAX},
    {"replies-bytes-max", required_argument, NULL, FLAG_REPLIES_BYTES_MAX},
    {"replies-age-ms", required_argument, NULL, FLAG_REPLIES_AGE},
    {"log-level", required_argument, NULL, FLAG_LOG_LEVEL},
    {"log-format", required_argument, NULL, FLAG_LOG_FORMAT},
    {"check", no_argument, NULL, FLAG_CHECK},
    {"help", no_argument, NULL, FLAG_HELP},
    {"version", no_argument, NULL, FLAG_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *flag_name (int flag)
{
    for (const struct option *at = flags; at->name; at++)
        if (at->val == flag)
            return at->name;
    return "?";
}

static bool read_number (int flag, int lowest, int highest, int *number)
{
    char *end;

    errno = 0;
    const long value = strtol (optarg, &end, 10);
    if (*optarg && !*end && errno == 0 && value >= lowest && value <= highest) {
        *number = (int) value;
        return true;
    }
    complain (USAGE, "--%s \"%s\": expected a number from %d to %d", flag_name (flag), optarg, lowest, highest);
    return false;
}

static bool read_choice (int flag, const char *const *choices, const char *list, int *choice)
{
    for (*choice = 0; choices [*choice]; ++*choice)
        if (strcmp (choices [*choice], optarg) == 0)
            return true;
    complain (USAGE, "--%s \"%s\": expected %s", flag_name (flag), optarg, list);
    return false;
}

static bool add_object (host_t *host)
{
    if (host->object_count == OBJECTS_MAX) {
        complain (USAGE, "--load %s: more than %d objects", optarg, OBJECTS_MAX);
        return false;
    }
    host->objects [host->object_count++] = optarg;
    return true;
}

/*  An --exec after --methods that have none yet is theirs. */
static bool set_command (host_t *host)
{
    for (size_t i = 0; i < host->method_count; i++)
        if (!host->methods [i].command)
            host->methods [i].command = optarg;
    host->command = optarg;
    return true;
}

static bool add_method (host_t *host)
{
    if (host->method_count == WEFT_METHODS_MAX) {
        complain (USAGE, "--method %s: more than %d methods", optarg, WEFT_METHODS_MAX);
        return false;
    }
    host->methods [host->method_count++] = (exec_method_t){.command = host->command, .name = optarg};
    return true;
}

static exec_method_t *last_method (host_t *host, int flag)
{
    static exec_method_t none;
    if (host->method_count)
        return &host->methods [host->method_count - 1];
    complain (USAGE, "--%s: there is no --method before it", flag_name (flag));
    return &none;
}

static bool add_label (host_t *host)
{
    if (host->label_count == WEFT_LABELS_MAX || !strchr (optarg, '=') || optarg [0] == '=') {
        complain (USAGE, "--label \"%s\": expected key=value, at most %d times", optarg, WEFT_LABELS_MAX);
        return false;
    }
    host->labels [host->label_count++] = optarg;
    return true;
}

static bool read_flag (host_t *host, int flag)
{
    static const char *const levels [] = {"debug", "info", "warning", "error", NULL};
    static const char *const formats [] = {"text", "json", NULL};
    weft_worker_options_t *worker = &host->worker;
    int number = 0;
    bool right = true;

    switch (flag) {
        case 'b':
            host->brokers = optarg;
            return true;
        case FLAG_LOAD:
            return add_object (host);
        case FLAG_EXEC:
            return set_command (host);
        case FLAG_METHOD:
            return add_method (host);
        case FLAG_IDEMPOTENT:
            last_method (host, flag)->idempotent = true;
            return host->method_count > 0;
        case FLAG_TEXT:
            last_method (host, flag)->text = true;
            return host->method_count > 0;
        case FLAG_PROCESSES:
            return read_number (flag, 1, SUPERVISE_MAX, &host->processes);
        case FLAG_CONCURRENCY:
            return read_number (flag, 1, WEFT_WORKER_CONCURRENCY_MAX, &worker->concurrency);
        case FLAG_QUEUE_MAX:
            return read_number (flag, 1, 1000000, &worker->queue_max);
        case FLAG_QUEUE_BYTES_MAX:
            right = read_number (flag, 1, INT_MAX, &number);
            worker->queue_bytes_max = (size_t) number;
            return right;
        case FLAG_STREAMS_MAX:
            return read_number (flag, 1, UINT16_MAX, &worker->streams_max);
        case FLAG_HANDLER_TIMEOUT:
            return read_number (flag, 1, INT_MAX, &worker->handler_timeout_ms);
        case FLAG_DRAIN_TIMEOUT:
            return read_number (flag, 1, INT_MAX, &worker->drain_timeout_ms);
        case FLAG_WAIT:
            return read_number (flag, 1, INT_MAX, &host->wait_ms);
        case FLAG_BIND:
            worker->bind = optarg;
            return true;
        case FLAG_ADVERTISE:
            worker->advertise = optarg;
            return true;
        case FLAG_LABEL:
            return add_label (host);
        case FLAG_NAME:
            worker->name = optarg;
            return true;
        case FLAG_BODY_MAX:
            right = read_number (flag, 1, INT_MAX, &number);
            worker->body_max = (size_t) number;
            return right;
        case FLAG_REPLIES_MAX:
            return read_number (flag, 1, INT_MAX, &worker->replies_max);
        case FLAG_REPLIES_BYTES_MAX:
            right = read_number (flag, 1, INT_MAX, &number);
            worker->replies_bytes_max = (size_t) number;
            return right;
        case FLAG_REPLIES_AGE:
            return read_number (flag, 1, INT_MAX, &worker->replies_age_ms);
        case FLAG_LOG_LEVEL:
            right = read_choice (flag, levels, "debug, info, warning or error", &number);
            host->level = (weft_log_level_t) number;
            return right;
        case FLAG_LOG_FORMAT:
            right = read_choice (flag, formats, "text or json", &number);
            host->json_log = number == 1;
            return right;
        case FLAG_CHECK:
            return host->check = true;
        case FLAG_HELP:
            return host->help = true;
        case FLAG_VERSION:
            return host->version = true;
        default:
            return false;
    }
}

static bool read_flags (host_t *host, int argc, char **argv)
{
    int flag, at = 1;

    opterr = 0;
    while ((flag = getopt_long (argc, argv, ":b:", flags, NULL)) != -1) {
        if (flag == ':')
            complain (USAGE, "%s needs a value", argv [optind - 1]);
        else if (flag == '?')
            complain (USAGE, "unknown flag %s; see weft-worker --help", argv [at < argc ? at : argc - 1]);
        if (flag == ':' || flag == '?' || !read_flag (host, flag))
            return false;
        at = optind;
    }
    if (optind == argc)
        return true;
    complain (USAGE, "unexpected argument \"%s\"; see weft-worker --help", argv [optind]);
    return false;
}

/*  ------------------------------------------------------------------ what the flags mean together  */

/*  dlopen takes a name without a slash for a system library's. */
static void *open_object (const char *file)
{
    char path [PATH_MAX];
    const bool here = !strchr (file, '/') && access (file, R_OK) == 0;

    snprintf (path, sizeof path, "%s%s", here ? "./" : "", file);
    return dlopen (path, RTLD_NOW | RTLD_LOCAL);
}

static bool open_objects (host_t *host)
{
    for (size_t i = 0; i < host->object_count; i++) {
        void *object = open_object (host->objects [i]);
        void *load = object ? dlsym (object, "weft_load") : NULL;
        if (!load) {
            complain (USAGE, "--load %s: %s", host->objects [i],
                      object ? "it does not define weft_load" : dlerror ());
            return false;
        }
        memcpy (&host->loads [i], &load, sizeof load);
    }
    return true;
}

static bool check_methods (host_t *host)
{
    for (size_t i = 0; i < host->method_count; i++) {
        host->methods [i].reply_max = host->worker.body_max ? host->worker.body_max : WEFT_BODY_MAX;
        if (!host->methods [i].command) {
            complain (USAGE, "--method %s: there is no --exec for it", host->methods [i].name);
            return false;
        }
    }
    if (host->command && !host->method_count)
        complain (USAGE, "--exec \"%s\": there is no --method for it", host->command);
    else if (!host->object_count && !host->method_count)
        complain (USAGE, "nothing to serve: give --load, or --exec with --method; see weft-worker --help");
    else
        return true;
    return false;
}

static weft_worker_t *make_worker (host_t *host, bool load)
{
    char error [WEFT_TEXT_MAX + 1];
    weft_worker_t *worker = weft_worker_new (host->brokers, &host->worker);

    if (!worker) {
        complain (USAGE, "%s", weft_worker_error (NULL));
        return NULL;
    }
    bool made = exec_add (worker, host->methods, host->method_count, host->tables, error);
    if (!made)
        complain (USAGE, "%s", error);
    for (size_t i = 0; made && load && i < host->object_count; i++)
        if (host->loads [i](worker) != WEFT_OK) {
            const char *why = weft_worker_error (worker);
            complain (USAGE, "--load %s: %s", host->objects [i], *why ? why : "weft_load failed");
            made = false;
        }
    if (!made)
        weft_worker_destroy (&worker);
    return worker;
}

/*  ------------------------------------------------------------------ serving  */

static void say_ready (weft_worker_t *worker, void *arg)
{
    const char *endpoint;

    (void) arg;
    printf ("weft-worker ready %s", weft_worker_uuid (worker));
    for (size_t i = 0; (endpoint = weft_worker_endpoint (worker, i)) != NULL; i++)
        if (strncmp (endpoint, "inproc://", 9) != 0)
            printf (" %s", endpoint);
    printf ("\n");
    fflush (stdout);
}

static int serve (void *arg)
{
    host_t *host = arg;
    weft_worker_t *worker = make_worker (host, true);
    int code;

    if (!worker)
        return USAGE;
    code = host->check ? 0 : worker_run (worker, &(worker_run_options_t){say_ready, NULL, host->wait_ms});
    weft_worker_destroy (&worker);
    return code;
}

/*  Everything that can be wrong is found before there are several processes to say so. */
static int run (host_t *host)
{
    if (!check_methods (host) || !open_objects (host))
        return USAGE;
    if (host->processes <= 1 || host->check)
        return serve (host);
    weft_worker_t *probe = make_worker (host, false);
    if (!probe)
        return USAGE;
    weft_worker_destroy (&probe);
    return supervise (host->processes, serve, host);
}

int main (int argc, char **argv)
{
    static host_t host = {.level = WEFT_LOG_INFO};
    const char *broker = getenv ("WEFT_BROKER");

    host.brokers = broker && *broker ? broker : DEFAULT_BROKER;
    host.worker.labels = host.labels;
    signal (SIGPIPE, SIG_IGN);
    if (!read_flags (&host, argc, argv))
        return USAGE;
    if (host.help || host.version) {
        host.help ? fputs (help_text, stdout) : printf ("weft-worker %s\n", weft_version ());
        return 0;
    }
    log_to_stderr (host.level, host.json_log);
    return run (&host);
}
