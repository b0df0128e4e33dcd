/* SPDX-License-Identifier: MPL-2.0
 *
 *  bench.c - weft bench: keeps so many calls under way (a closed loop), checks every answer, and says
 *  how fast it went.
 *
 *  One thread: the loop waits for the client and lets it run the callbacks, which top up what is under way: so
 *  what they start leaves together. After a failure the loop does it. */

#include "clock.h"
#include "commands.h"
#include "histogram.h"
#include "input.h"
#include "words.h"
#include <poll.h>
#include <string.h>

#define OUTSTANDING_DEFAULT 64
#define DURATION_DEFAULT_US 5000000
#define TICK_MS             200

typedef struct {
    cli_t *cli;
    const signature_t *signature;
    const buffer_t *body;
    weft_call_options_t options;
    uint64_t outstanding, wanted; /* under way at once, in all */
    uint64_t started, finished;
    bool stopping;
    int64_t start_us, until_us, last_us; /* until: 0 if only `wanted` ends it */
    histogram_t latency;
    uint64_t latency_buckets [HISTOGRAM_BUCKETS (HISTOGRAM_FINE)];
    uint64_t statuses [WEFT_STATUS_COUNT];
    char error [256]; /* the first */
    int code;     /* its */
} bench_t;

static void top_up (bench_t *self);

static void on_done (weft_call_t *call, void *arg)
{
    bench_t *const self = arg;
    const weft_status_t status = weft_call_status (call);
    self->finished++;
    self->statuses [(unsigned) status < WEFT_STATUS_COUNT ? status : WEFT_INTERNAL]++;
    histogram_add (&self->latency, (uint64_t) weft_call_ledger (call).total_us);
    if (status != WEFT_OK && self->code == EXITS_OK) {
        self->code = cli_exit_of (self->cli, call);
        snprintf (self->error, sizeof self->error, "%s: %s", weft_status_str (status), weft_call_text (call));
    }
    weft_call_destroy (&call);
    if (status == WEFT_OK)
        top_up (self);
}

static bool start_one (bench_t *self)
{
    self->started++;
    if (weft_client_start_body (self->cli->client, self->signature->name, self->body->data, self->body->size,
                                "msgpack", &self->options, on_done, self))
        return true;
    self->started--;
    return false; /* out of memory: what is under way will free some */
}

static void top_up (bench_t *self)
{
    while (!self->stopping && self->started < self->wanted &&
           self->started - self->finished < self->outstanding)
        if (!start_one (self))
            break;
}

static void show_progress (bench_t *self, int64_t now_us)
{
    char count [WORDS_SHORT_MAX], rate [WORDS_SHORT_MAX];
    const double seconds = (double) (now_us - self->start_us) / 1e6;
    cli_progress (self->cli, "%s calls, %s/s, %.0f s", words_count (count, self->finished),
                  words_count (rate, seconds > 0 ? (uint64_t) ((double) self->finished / seconds) : 0),
                  seconds);
}

/*  Until all are done; or the time is up, or Ctrl-C came, and those under way have ended. */
static void loop (bench_t *self, int interrupts)
{
    struct pollfd polled [] = {{.fd = interrupts, .events = POLLIN},
                               {.fd = weft_client_fd (self->cli->client), .events = POLLIN}};
    int64_t tick_us = self->start_us;
    bool interrupted = false;
    for (;;) {
        const int64_t now_us = clock_now_us ();
        self->stopping = interrupted || (self->until_us && now_us >= self->until_us);
        top_up (self);
        if (self->started == self->finished)
            break;
        if (now_us >= tick_us) {
            show_progress (self, now_us);
            tick_us = now_us + TICK_MS * 1000;
        }
        poll (polled, 2, TICK_MS / 4);
        if (polled [0].revents) {
            interrupted = true;
            polled [0].fd = -1; /* heard */
        }
        weft_client_drive (self->cli->client);
    }
    self->last_us = clock_now_us ();
}

/* ---- what came of it ---- */

static const struct {
    const char *name, *key;
    double quantile;
} quantiles [] = {{"p50", "p50_us", 0.5},
                  {"p90", "p90_us", 0.9},
                  {"p99", "p99_us", 0.99},
                  {"p99.9", "p999_us", 0.999},
                  {"max", "max_us", 1}};
#define QUANTILES (sizeof quantiles / sizeof *quantiles)

static double rate_of (const bench_t *self)
{
    const double seconds = (double) (self->last_us - self->start_us) / 1e6;
    return seconds > 0 ? (double) self->statuses [WEFT_OK] / seconds : 0;
}

static void print_json (const bench_t *self)
{
    object_t object, statuses;
    object_init (&object);
    object_init (&statuses);
    for (int i = 0; i < WEFT_STATUS_COUNT; i++)
        if (self->statuses [i])
            object_int (&statuses, weft_status_str ((weft_status_t) i), (int64_t) self->statuses [i]);
    object_text (&object, "method", self->signature->name);
    object_int (&object, "outstanding", (int64_t) self->outstanding);
    object_double (&object, "seconds", (double) (self->last_us - self->start_us) / 1e6);
    object_int (&object, "calls", (int64_t) self->finished);
    object_int (&object, "errors", (int64_t) (self->finished - self->statuses [WEFT_OK]));
    object_double (&object, "calls_per_second", rate_of (self));
    for (size_t i = 0; i < QUANTILES; i++)
        object_int (&object, quantiles [i].key,
                    (int64_t) histogram_at (&self->latency, quantiles [i].quantile));
    object_object (&object, "statuses", &statuses);
    cli_print_object (self->cli, &object);
    object_fini (&object);
    object_fini (&statuses);
}

static void print_text (const bench_t *self)
{
    static const grid_column_t columns [] = {{"", false}, {"", true}, {NULL, false}};
    char text [WORDS_SHORT_MAX];
    grid_t grid;
    grid_init (&grid, columns);
    grid_add (&grid, "calls");
    grid_add (&grid, "%s", words_count (text, self->finished));
    grid_add (&grid, "outstanding");
    grid_add (&grid, "%s", words_count (text, self->outstanding));
    grid_add (&grid, "time");
    grid_add (&grid, "%s", words_duration (text, self->last_us - self->start_us));
    grid_add (&grid, "calls/s");
    grid_add (&grid, "%s", words_count (text, (uint64_t) rate_of (self)));
    for (size_t i = 0; i < QUANTILES; i++) {
        grid_add (&grid, "%s", quantiles [i].name);
        grid_add (&grid, "%s",
                  words_duration (text, (int64_t) histogram_at (&self->latency, quantiles [i].quantile)));
    }
    grid_add (&grid, "errors");
    grid_add (&grid, "%s", words_count (text, self->finished - self->statuses [WEFT_OK]));
    for (int i = 1; i < WEFT_STATUS_COUNT; i++)
        if (self->statuses [i]) {
            grid_add (&grid, "  %s", weft_status_str ((weft_status_t) i));
            grid_add (&grid, "%s", words_count (text, self->statuses [i]));
        }
    grid_print (&grid, GRID_UNTITLED, stdout);
    grid_fini (&grid);
}

static int report (const bench_t *self)
{
    cli_progress (self->cli, "%s", "");
    if (self->cli->json)
        print_json (self);
    else
        print_text (self);
    cli_flush ();
    if (self->code == EXITS_OK)
        return EXITS_OK;
    return cli_fail (self->cli, self->code, "%llu of %llu calls failed; the first: %s",
                     (unsigned long long) (self->finished - self->statuses [WEFT_OK]),
                     (unsigned long long) self->finished, self->error);
}

/*  One call by itself: shows that the method works, and opens the connections. */
static int try_one (bench_t *self)
{
    weft_call_t *call = weft_client_start_body (self->cli->client, self->signature->name, self->body->data,
                                                self->body->size, "msgpack", &self->options, NULL, NULL);
    if (call)
        weft_call_wait (call, -1);
    const int code = call && weft_call_status (call) == WEFT_OK
                         ? EXITS_OK
                         : cli_fail_call (self->cli, self->signature->name, call);
    weft_call_destroy (&call);
    return code;
}

static int measure (cli_t *cli, const signature_t *signature, const buffer_t *body, int interrupts)
{
    const options_t *const options = &cli->options;
    char worker [UUID_SIZE + 1];
    bench_t self = {.cli = cli,
                    .signature = signature,
                    .body = body,
                    .outstanding = options->outstanding ? (uint64_t) options->outstanding
                                                        : OUTSTANDING_DEFAULT,
                    .wanted = options->count ? (uint64_t) options->count : UINT64_MAX};
    histogram_init (&self.latency, HISTOGRAM_FINE, self.latency_buckets);
    int code = commands_call_options (cli, &self.options, worker);
    if (code == EXITS_OK)
        code = try_one (&self);
    if (code != EXITS_OK)
        return code;
    self.start_us = clock_now_us ();
    if (options->duration_us || !options->count)
        self.until_us = self.start_us + (options->duration_us ? options->duration_us : DURATION_DEFAULT_US);
    loop (&self, interrupts);
    return report (&self);
}

static int run (cli_t *cli)
{
    signature_t signature;
    buffer_t body;
    const int interrupts = cli_catch_interrupts ();
    int code = cli_connect (cli, true);
    if (code != EXITS_OK)
        return code;
    buffer_init (&body, 2u * WEFT_BODY_MAX);
    code = catalog_signature (cli, cli->options.args [0], &signature);
    if (code == EXITS_OK)
        code = input_body (cli, cli->options.args [1], &signature, &body);
    if (code == EXITS_OK)
        code = measure (cli, &signature, &body, interrupts);
    signature_free (&signature);
    buffer_fini (&body);
    return code;
}

static const flag_t flags [] = {
    FLAG ('n', "number", "N", FLAG_NUMBER, count, "stop after so many calls"),
    FLAG ('d', "duration", "TIME", FLAG_SECONDS, duration_us,
          "stop after so long, in seconds or as 500ms\n(default: 5s, unless -n)"),
    FLAG ('c', "outstanding", "N", FLAG_NUMBER, outstanding, "calls under way at once (default: 64)"),
    FLAG_VIA,
    FLAG_BALANCE,
    FLAG_RETRY,
    FLAG_WORKER,
    FLAG_KEY,
    FLAG_META,
    FLAG_END};

const command_t command_bench = {
    .name = "bench",
    .arguments = "SERVICE.METHOD [JSON|@FILE|-]",
    .summary = "call a method over and over and say how fast it goes",
    .details =
        "A closed loop: a call starts when another ends, so that N are under way. Every answer's status is\n"
        "checked; times are of all calls, failed ones too. One call is made before, and not counted. Ctrl-C\n"
        "ends it early, with the figures so far. If calls failed, the exit code is that of the first.\n",
    .examples = "  weft bench Arith.Add '{\"a\": 2, \"b\": 3}'\n"
                "  weft bench Arith.Add '{\"a\": 2, \"b\": 3}' -c 1 -n 10000 --via broker\n"
                "  weft bench Text.Count @body.json -d 30 -o json\n",
    .flags = flags,
    .args_min = 1,
    .args_max = 2,
    .names = NAMES_METHOD,
    .run = run};
