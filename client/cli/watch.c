/* SPDX-License-Identifier: MPL-2.0
 *
 *  watch.c - weft watch: a line for each worker that comes, changes or goes. */

#include "commands.h"
#include "words.h"
#include <poll.h>
#include <string.h>
#include <time.h>

#define TURN_MS 1000 /* how soon a lost broker is noticed at the latest */

typedef struct {
    cli_t *cli;
    uint64_t left;  /* changes still to print */
    bool connected; /* as said last */
} watch_t;

static void print_json (watch_t *self, const struct timespec *now, const char *service, const char *worker,
                        const char *state, const char *endpoint)
{
    char seconds [32], time [48];
    struct tm parts;
    strftime (seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", gmtime_r (&now->tv_sec, &parts));
    snprintf (time, sizeof time, "%s.%03dZ", seconds, (int) (now->tv_nsec / 1000000));
    object_t object;
    object_init (&object);
    object_text (&object, "time", time);
    object_text (&object, "service", service);
    object_text (&object, "worker", worker);
    object_text (&object, "state", state);
    object_text (&object, "endpoint", endpoint);
    cli_print_object (self->cli, &object);
    object_fini (&object);
}

static void print_text (const struct timespec *now, const char *worker, const char *state,
                        const char *endpoint)
{
    char seconds [16], line [256];
    struct tm parts;
    strftime (seconds, sizeof seconds, "%H:%M:%S", localtime_r (&now->tv_sec, &parts));
    snprintf (line, sizeof line, "%s.%03d  %-8s  %s%s%s", seconds, (int) (now->tv_nsec / 1000000), state,
              worker, *endpoint ? "  " : "", endpoint);
    words_defuse (line);
    printf ("%s\n", line);
}

static void on_change (const char *service, const char *worker, const char *state, const char *endpoint,
                       void *arg)
{
    watch_t *const self = arg;
    struct timespec now;
    if (self->left == 0 || strcmp (service, self->cli->options.args [0]) != 0)
        return;
    clock_gettime (CLOCK_REALTIME, &now);
    if (self->cli->json)
        print_json (self, &now, service, worker, state, endpoint);
    else
        print_text (&now, worker, state, endpoint);
    self->left = cli_flush () ? self->left - 1 : 0;
}

static void note_broker (watch_t *self)
{
    const bool connected = weft_client_stats (self->cli->client).broker;
    if (connected != self->connected)
        cli_note (self->cli,
                  connected ? "the broker is back" : "the broker is gone; the list stays as it was");
    self->connected = connected;
}

static int run (cli_t *cli)
{
    const char *const service = cli->options.args [0];
    watch_t self = {.cli = cli, .left = cli->options.count ? (uint64_t) cli->options.count : UINT64_MAX};
    struct pollfd polled [] = {{.fd = cli_catch_interrupts (), .events = POLLIN}, {.events = POLLIN}};
    const int code = cli_connect (cli, true);
    if (code != EXITS_OK)
        return code;
    cli->pretty = false;
    weft_client_set_watcher (cli->client, on_change, &self);
    const weft_status_t status = weft_client_discover (cli->client, service, cli_timeout_ms (cli));
    if (status == WEFT_NO_SERVICE)
        cli_note (cli, "nobody has registered %s yet; waiting", service);
    else if (status != WEFT_OK)
        return cli_fail_status (cli, service, status);

    self.connected = true;
    polled [1].fd = weft_client_fd (cli->client);
    while (self.left > 0 && polled [0].revents == 0) {
        note_broker (&self);
        poll (polled, 2, TURN_MS);
        weft_client_drive (cli->client);
    }
    self.left = 0;
    return EXITS_OK;
}

static const flag_t flags [] = {FLAG (0, "count", "N", FLAG_NUMBER, count, "stop after so many lines"),
                                FLAG_END};

const command_t command_watch = {
    .name = "watch",
    .arguments = "SERVICE",
    .summary = "print a line for each worker that comes, changes or goes",
    .details =
        "First the workers that are there, then changes as they happen, until Ctrl-C. States: alive,\n"
        "suspect (silent for a while), draining, gone. With -o json each line is an object.\n",
    .examples = "  weft watch Arith\n"
                "  weft watch Arith -o json --count 10\n",
    .flags = flags,
    .args_min = 1,
    .args_max = 1,
    .names = NAMES_SERVICE,
    .run = run};
