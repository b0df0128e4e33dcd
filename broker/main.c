/* SPDX-License-Identifier: MPL-2.0
 *
 *  main.c - weft-broker: what it was asked to do, and its exit code.
 *
 *      0  stopped as told, or the answer was yes
 *      1  could not start, or the health check failed
 *      2  wrong flag, key or value */

#include "healthcheck.h"
#include "log.h"
#include "loop.h"
#include "transport.h"
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define HEALTHCHECK_MS 2000
#define FDS_BESIDE     128 /* descriptors that are no peers */

extern char **environ;

typedef enum { RUN, CHECK, PRINT, HELP, VERSION, HEALTHCHECK } task_t;

typedef struct {
    int argc;
    char **argv;
    task_t task;
    const char *file;       /* --config */
    const char *endpoint;   /* of healthcheck */
} command_t;

static int fail (int code, const char *text)
{
    fprintf (stderr, "weft-broker: %s\n", text);
    return code;
}

static void print_help (void)
{
    printf ("usage: weft-broker [flags]\n"
            "       weft-broker healthcheck [endpoint] [flags]\n\n"
            "The registry and router of a weft mesh.\n\n"
            "  --config FILE        read settings from a ZPL file (or WEFT_BROKER_CONFIG)\n"
            "  --check-config       check all settings, and exit: 0 good, 2 not\n"
            "  --print-config       print all settings as they are in effect, as a ZPL file\n"
            "  --help, --version\n\n"
            "Settings, as flags, as WEFT_BROKER_… in the environment, or as keys (with _) in the file; flags win:\n\n");
    config_help (stdout);
    printf ("\nDefault endpoints: tcp://127.0.0.1:5555, and an ipc one beside it in XDG_RUNTIME_DIR or /tmp.\n"
            "SIGTERM: stop, after what is in flight; SIGHUP: read the settings again.\n");
}

/*  The flags that are no settings. 1: taken; 0: unknown. */
static int read_own_flag (command_t *self, int *at)
{
    static const struct {
        const char *flag;
        task_t task;
    } flags [] = {{"--check-config", CHECK}, {"--print-config", PRINT}, {"--help", HELP},
                  {"-h", HELP},              {"--version", VERSION},    {"-V", VERSION}};
    const char *flag = self->argv [*at];

    for (size_t i = 0; i < sizeof flags / sizeof flags [0]; i++) {
        if (strcmp (flag, flags [i].flag) != 0)
            continue;
        self->task = flags [i].task;
        (*at)++;
        return 1;
    }
    if (strcmp (flag, "--config") == 0 && *at + 1 < self->argc) {
        self->file = self->argv [*at + 1];
        *at += 2;
        return 1;
    }
    if (strncmp (flag, "--config=", 9) == 0) {
        self->file = flag + 9;
        (*at)++;
        return 1;
    }
    return 0;
}

/*  Words: healthcheck, and its endpoint. */
static bool read_word (command_t *self, int *at)
{
    const char *word = self->argv [*at];

    if (word [0] == '-')
        return false;
    if (self->task == RUN && strcmp (word, "healthcheck") == 0)
        self->task = HEALTHCHECK;
    else if (self->task == HEALTHCHECK && !self->endpoint)
        self->endpoint = word;
    else
        return false;
    (*at)++;
    return true;
}

static bool read_arguments (command_t *self, config_t *config, config_error_t *error)
{
    int at = 1;

    for (;;) {
        if (!config_read_flags (config, self->argc, self->argv, &at, error))
            return false;
        if (at >= self->argc)
            return true;
        if (read_own_flag (self, &at) || read_word (self, &at))
            continue;
        if (self->argv [at][0] == '-' && strcmp (self->argv [at], "--config") == 0)
            config_fail (error, "--config needs a value");
        else if (self->argv [at][0] == '-')
            config_unknown_flag (self->argv [at], error);
        else
            config_fail (error, "unknown argument \"%.100s\"; the one command is healthcheck", self->argv [at]);
        return false;
    }
}

/*  All sources, in order. The arguments are read first, for --config, and once more at the end. */
static bool read_all (command_t *self, config_t *config, config_error_t *error)
{
    config_t flags;
    config_error_t warning;

    config_init (&flags);
    self->file = getenv ("WEFT_BROKER_CONFIG");
    self->endpoint = NULL;
    self->task = RUN;
    bool good = read_arguments (self, &flags, error);
    config_fini (&flags);
    if (!good || self->task == HELP || self->task == VERSION)
        return good;
    self->endpoint = NULL;
    self->task = RUN;
    good = (!self->file || !*self->file || config_read_file (config, self->file, error))
           && config_read_environment (config, environ, &warning, error) && read_arguments (self, config, error)
           && config_check (config, error);
    if (good && warning.text [0])
        fprintf (stderr, "weft-broker: %s\n", warning.text);
    return good;
}

/*  Each peer needs a descriptor. As many peers as were wished for, if that many can be had; else as many as can. */
static int64_t peers_allowed (int64_t wished)
{
    struct rlimit limit;
    const rlim_t wanted = (rlim_t) wished + FDS_BESIDE;

    if (getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return wished;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit (RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return wished;
    return (int64_t) (limit.rlim_cur > 2 * FDS_BESIDE ? limit.rlim_cur - FDS_BESIDE : limit.rlim_cur / 2);
}

/*  Nobody asked for the default, so it is no trouble if it cannot be had. */
static void fit_descriptors (config_t *config)
{
    const int64_t wished = config->peers_max;

    config->peers_max = peers_allowed (wished);
    if (config->peers_max == wished)
        return;
    LOG_ (wished == WEFT_BROKER_PEERS_MAX ? WEFT_LOG_INFO : WEFT_LOG_WARNING,
          "the limit of descriptors (nofile) allows fewer peers than peers_max",
          log_int ("peers", config->peers_max), log_int ("peers_max", wished));
}

static bool reload (config_t *fresh, void *arg)
{
    command_t command = *(const command_t *) arg;
    config_error_t error;

    if (read_all (&command, fresh, &error)) {
        fresh->peers_max = peers_allowed (fresh->peers_max);
        return true;
    }
    log_error ("configuration is wrong; going on with the old one", log_text ("why", error.text));
    return false;
}

static void block_signals (void)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGHUP);
    sigprocmask (SIG_BLOCK, &set, NULL);
    signal (SIGPIPE, SIG_IGN);
}

/*  Bodies come and go all the time. Left alone, the allocator gives their memory back each time and asks for it again, and the
 *  kernel clears every page of it: a fifth of what a large body costs here. */
static void keep_memory (void)
{
#ifdef __GLIBC__
    mallopt (M_TRIM_THRESHOLD, 32 * 1024 * 1024);
    mallopt (M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    mallopt (M_TOP_PAD, 1024 * 1024);
#endif
}

static int run (command_t *self, config_t *config)
{
    config_error_t error;

    keep_memory ();
    block_signals ();
    log_to_stderr ((weft_log_level_t) config->log_level, config->log_format == 1);
    fit_descriptors (config);
    loop_t *loop = loop_new (config, reload, self, &error);
    if (!loop)
        return fail (1, error.text);
    printf ("weft-broker ready %s", loop_uuid (loop));
    for (size_t i = 0; loop_endpoint (loop, i); i++)
        printf (" %s", loop_endpoint (loop, i));
    printf ("\n");
    fflush (stdout);
    loop_run (loop);
    loop_destroy (&loop);
    return 0;
}

static int check_health (const command_t *self, const config_t *config)
{
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    config_error_t line;
    const char *fault;

    if (self->endpoint) {
        if (!transport_endpoint_valid (self->endpoint, false, &fault)) {
            snprintf (line.text, sizeof line.text, "endpoint \"%.100s\": %s", self->endpoint, fault);
            return fail (2, line.text);
        }
        snprintf (endpoint, sizeof endpoint, "%s", self->endpoint);
    } else if (!healthcheck_endpoint (config, endpoint))
        return fail (2, "healthcheck: no endpoint in the settings has a fixed port; name one");
    const bool healthy = healthcheck (endpoint, HEALTHCHECK_MS, &line);
    fprintf (healthy ? stdout : stderr, "%s\n", line.text);
    return healthy ? 0 : 1;
}

int main (int argc, char **argv)
{
    command_t command = {.argc = argc, .argv = argv};
    config_t config;
    config_error_t error;
    int code = 0;

    setenv ("ZSYS_SIGHANDLER", "false", 1); /* czmq is not to take our signals */
    config_init (&config);
    if (!read_all (&command, &config, &error))
        code = fail (2, error.text);
    else if (command.task == HELP)
        print_help ();
    else if (command.task == VERSION)
        printf ("weft-broker %s\n", WEFT_VERSION);
    else if (command.task == PRINT)
        config_print (&config, stdout);
    else if (command.task == HEALTHCHECK)
        code = check_health (&command, &config);
    else if (command.task == RUN)
        code = run (&command, &config);
    config_fini (&config);
    return code;
}
