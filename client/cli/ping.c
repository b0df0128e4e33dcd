/* SPDX-License-Identifier: MPL-2.0
 *
 *  ping.c - weft ping: round trips to the broker, or to workers, through the broker and straight to
 *  each endpoint.
 *
 *  Each way is a probe of its own, so that its time is that way's and nobody chooses or mends anything
 *  meanwhile. */

#include "catalog.h"
#include "commands.h"
#include "probe.h"
#include "words.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_DEFAULT       5
#define INTERVAL_DEFAULT_US 100000

/*  One way to one target, and what came back. */
typedef struct {
    const char *worker;   /* NULL: the broker itself is the target */
    const char *endpoint; /* NULL: through the broker */
    uint64_t sent, answered;
    int64_t min_us, max_us, sum_us;
    char error [256];     /* the last */
    weft_status_t status; /* of the last */
} way_t;

typedef struct {
    cli_t *cli;
    way_t *ways;
    size_t count;
    int interrupts; /* descriptor */
    bool interrupted;
} ping_t;

/* ---- one way ---- */

static void note_error (way_t *way, const probe_t *probe, weft_status_t status)
{
    way->status = status;
    snprintf (way->error, sizeof way->error, "%.*s", (int) sizeof way->error - 1,
              *probe->text ? probe->text : weft_status_text (status));
}

static void note_answer (way_t *way, int64_t us)
{
    way->min_us = way->answered == 0 || us < way->min_us ? us : way->min_us;
    way->max_us = us > way->max_us ? us : way->max_us;
    way->sum_us += us;
    way->answered++;
}

/*  Connects to the way's endpoint, or to the first broker that welcomes us. */
static bool open_way (const ping_t *self, way_t *way, probe_t *probe)
{
    const int timeout_ms = cli_connect_timeout_ms (self->cli);
    for (const char *at = way->endpoint ? way->endpoint : self->cli->options.broker; *at;) {
        char endpoint [WEFT_ENDPOINT_MAX + 1];
        at = cli_next_endpoint (at, endpoint);
        const bool opened = probe_open (probe, endpoint);
        const weft_status_t status = opened
                                         ? probe_hello (probe, way->endpoint ? way->worker : NULL, timeout_ms)
                                         : WEFT_INTERNAL;
        if (opened && status == WEFT_OK)
            return true;
        note_error (way, probe, status);
        probe_close (probe);
    }
    return false;
}

static void pause_between (ping_t *self)
{
    const int64_t us = self->cli->options.interval_us ? self->cli->options.interval_us : INTERVAL_DEFAULT_US;
    struct pollfd signals = {.fd = self->interrupts, .events = POLLIN};
    self->interrupted = poll (&signals, 1, (int) (us / 1000)) > 0;
}

static void ping_way (ping_t *self, way_t *way)
{
    const uint64_t count = self->cli->options.count ? (uint64_t) self->cli->options.count : COUNT_DEFAULT;
    const int timeout_ms = cli_timeout_ms (self->cli);
    probe_t probe;
    if (!open_way (self, way, &probe))
        return;
    while (way->sent < count && !self->interrupted) {
        if (way->sent > 0)
            pause_between (self);
        way->sent++;
        const char *const through = way->endpoint ? NULL : way->worker;
        const weft_status_t status = way->worker ? probe_ping_worker (&probe, through, timeout_ms)
                                                 : probe_ping_broker (&probe, timeout_ms);
        if (status == WEFT_OK)
            note_answer (way, probe.round_trip_us);
        else
            note_error (way, &probe, status);
        cli_progress (self->cli, "ping %s: %llu of %llu", way->worker ? way->worker : "broker",
                      (unsigned long long) way->sent, (unsigned long long) count);
    }
    probe_close (&probe);
}

/* ---- which ways ---- */

static void add_way (ping_t *self, const char *worker, const char *endpoint)
{
    self->ways [self->count++] = (way_t){.worker = worker, .endpoint = endpoint};
}

static void add_worker (ping_t *self, const worker_row *worker)
{
    add_way (self, worker->uuid, NULL);
    for (size_t i = 0; i < worker->endpoint_count; i++)
        if (probe_can_reach (worker->endpoints [i]))
            add_way (self, worker->uuid, worker->endpoints [i]);
}

static int find_ways (ping_t *self, const list_reply *list, const char *name)
{
    size_t most = 1;
    for (size_t i = 0; i < list->worker_count; i++)
        most += 1 + list->workers [i].endpoint_count;
    self->ways = calloc (most, sizeof *self->ways);
    if (!self->ways)
        return cli_fail (self->cli, EXITS_OTHER, "out of memory");

    const worker_row *const worker = catalog_find_worker (list, name);
    for (size_t i = 0; i < list->worker_count; i++)
        if (catalog_serves (&list->workers [i], name))
            add_worker (self, &list->workers [i]);
    if (self->count == 0 && worker)
        add_worker (self, worker);
    if (self->count > 0)
        return EXITS_OK;
    if (catalog_find_service (list, name))
        return cli_fail (self->cli, EXITS_NOBODY, "service %s has no live worker", name);
    return catalog_fail_unknown (self->cli, list, "service or worker", name);
}

/* ---- what came of it ---- */

static void print_ways_json (const ping_t *self)
{
    self->cli->pretty = false;
    for (size_t i = 0; i < self->count; i++) {
        const way_t *const way = &self->ways [i];
        object_t object;
        object_init (&object);
        object_text (&object, "target", way->worker ? way->worker : "broker");
        object_text (&object, "via", way->worker && way->endpoint ? "direct" : "broker");
        object_text (&object, "endpoint", way->endpoint ? way->endpoint : self->cli->options.broker);
        object_int (&object, "sent", (int64_t) way->sent);
        object_int (&object, "answered", (int64_t) way->answered);
        if (way->answered) {
            object_int (&object, "min_us", way->min_us);
            object_int (&object, "avg_us", way->sum_us / (int64_t) way->answered);
            object_int (&object, "max_us", way->max_us);
        }
        if (*way->error)
            object_text (&object, "error", way->error);
        cli_print_object (self->cli, &object);
        object_fini (&object);
    }
}

static void print_ways (const ping_t *self)
{
    static const grid_column_t columns [] = {{"TARGET", false}, {"VIA", false}, {"ANSWERED", true},
                                             {"MIN", true},     {"AVG", true},  {"MAX", true},
                                             {"", false},       {NULL, false}};
    grid_t grid;
    grid_init (&grid, columns);
    for (size_t i = 0; i < self->count; i++) {
        const way_t *const way = &self->ways [i];
        char text [WORDS_SHORT_MAX];
        grid_add (&grid, "%s", way->worker ? way->worker : "broker");
        const char *const through = way->worker ? "broker" : self->cli->options.broker;
        grid_add (&grid, "%s", way->endpoint ? way->endpoint : through);
        grid_add (&grid, "%llu/%llu", (unsigned long long) way->answered, (unsigned long long) way->sent);
        const int64_t times [] = {way->min_us, way->answered ? way->sum_us / (int64_t) way->answered : 0,
                                  way->max_us};
        for (size_t j = 0; j < 3; j++)
            grid_add (&grid, "%s", way->answered ? words_duration (text, times [j]) : "-");
        grid_add (&grid, "%s", way->error);
    }
    cli_print_grid (self->cli, &grid);
    grid_fini (&grid);
}

static bool is_reached (const ping_t *self, const char *worker)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->ways [i].worker == worker && self->ways [i].answered)
            return true;
    return false;
}

/*  A worker that answers one way is there; the table shows which way is closed. */
static int judge (const ping_t *self)
{
    for (size_t i = 0; i < self->count && !self->interrupted; i++) {
        const way_t *const way = &self->ways [i];
        if (is_reached (self, way->worker))
            continue;
        if (way->worker)
            return cli_fail (self->cli, EXITS_NOBODY, "worker %s does not answer: %s", way->worker,
                             way->error);
        const int code = exits_of (way->status, WEFT_EXECUTED_NO, false);
        return cli_fail (self->cli, code == EXITS_REFUSED ? code : EXITS_BROKER,
                         "broker %s cannot be reached: %s; 'weft doctor' looks closer",
                         self->cli->options.broker, way->error);
    }
    return EXITS_OK;
}

static int ping_all (ping_t *self)
{
    for (size_t i = 0; i < self->count && !self->interrupted; i++)
        ping_way (self, &self->ways [i]);
    cli_progress (self->cli, "%s", "");
    if (self->cli->json)
        print_ways_json (self);
    else
        print_ways (self);
    cli_flush ();
    return judge (self);
}

static int run (cli_t *cli)
{
    const char *const name = cli->options.args [0];
    way_t broker = {.worker = NULL};
    ping_t self = {.cli = cli, .interrupts = cli_catch_interrupts ()};
    if (!name) {
        self.ways = &broker;
        self.count = 1;
        return ping_all (&self);
    }
    list_t list;
    int code = cli_connect (cli, false);
    if (code == EXITS_OK)
        code = catalog_list (cli, NULL, &list);
    if (code != EXITS_OK)
        return code;
    code = find_ways (&self, &list.is, name);
    if (code == EXITS_OK)
        code = ping_all (&self);
    free (self.ways);
    list_free (&list);
    return code;
}

static const flag_t flags [] = {
    FLAG ('c', "count", "N", FLAG_NUMBER, count, "round trips each way (default: 5)"),
    FLAG ('i', "interval", "TIME", FLAG_MS, interval_us, "between two (default: 100ms)"),
    FLAG_END};

const command_t command_ping = {
    .name = "ping",
    .arguments = "[SERVICE|UUID]",
    .summary = "measure round trips to the broker or to workers",
    .details =
        "Without an argument: to the broker. Else to that worker, or to each of that service: through the\n"
        "broker, and straight to every endpoint that can be reached from here. The first round trip on a\n"
        "new connection is not counted. A worker that answers on no way makes the exit code 4.\n",
    .examples = "  weft ping\n"
                "  weft ping Arith -c 20\n"
                "  weft ping 3f2a -o json\n",
    .flags = flags,
    .args_max = 1,
    .names = NAMES_SERVICE_OR_WORKER,
    .run = run};
