/* SPDX-License-Identifier: MPL-2.0
 *
 *  bench.c - weft bench: calls a method over and over, from one client or several, and says how that went.
 *
 *  Drivers (bench_driver.h) do the work, each on its own thread; this one waits beside them, takes what they
 *  counted once a second, listens for Ctrl-C, and writes the report. The same run twice: first to warm up,
 *  counting nothing, then in earnest, with nothing left over from before. */

#include "bench_driver.h"
#include "bench_report.h"
#include "commands.h"
#include "input.h"
#include "transport.h"
#include "words.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTSTANDING_DEFAULT      64    /* closed loop */
#define OUTSTANDING_OPEN_DEFAULT 10000 /* as many as a worker queues */
#define OUTSTANDING_MAX          WEFT_CLIENT_CALLS_MAX
#define CLIENTS_MAX              1000
#define RATE_MAX                 10000000
#define DURATION_DEFAULT_US      5000000
#define WARMUP_DEFAULT_US        500000
#define SECOND_US                1000000

typedef struct {
    cli_t *cli;
    bench_request_t request;
    bench_result_t result;
    int64_t duration_us; /* BENCH_LOAD_NEVER: until `wanted` have ended */
    uint64_t wanted;     /* UINT64_MAX: until the time is up */
    weft_client_t **clients; /* the first is the cli's */
    bench_driver_t **drivers;
    int interrupts, ended;   /* -1: heard */
    int64_t start_us, taken_us;
    bench_tally_t *total, *second;
    FILE *series, *distribution;
} bench_t;

/* ---- what was asked for ---- */

static int check_flags (cli_t *cli)
{
    const options_t *const options = &cli->options;
    const long long clients = options->clients;
    if (options->poisson && !options->rate)
        return cli_fail (cli, EXITS_USAGE, "--poisson is about when --rate starts calls, which is missing");
    if (options->outstanding && options->outstanding < clients)
        return cli_fail (cli, EXITS_USAGE, "--outstanding %lld is less than one for each of --clients %lld",
                         (long long) options->outstanding, clients);
    if (options->count && options->count < clients)
        return cli_fail (cli, EXITS_USAGE, "--number %lld is less than one for each of --clients %lld",
                         (long long) options->count, clients);
    if (options->rate && options->rate < clients)
        return cli_fail (cli, EXITS_USAGE, "--rate %lld is less than one for each of --clients %lld",
                         (long long) options->rate, clients);
    return EXITS_OK;
}

static uint64_t choose_outstanding (const options_t *options, uint64_t clients)
{
    if (options->outstanding)
        return (uint64_t) options->outstanding;
    const uint64_t usual = options->rate ? OUTSTANDING_OPEN_DEFAULT : OUTSTANDING_DEFAULT;
    return usual > clients ? usual : clients;
}

static int64_t choose_warmup (const options_t *options)
{
    if (options->warmup_us)
        return options->warmup_us == OPTIONS_NONE ? 0 : options->warmup_us;
    return options->count ? 0 : WARMUP_DEFAULT_US; /* who counts calls wants no others */
}

static void plan (bench_t *self)
{
    const options_t *const options = &self->cli->options;
    bench_result_t *const result = &self->result;
    result->clients = options->clients ? (uint64_t) options->clients : 1;
    result->outstanding = choose_outstanding (options, result->clients);
    result->rate = (uint64_t) options->rate;
    result->random = options->poisson;
    result->warmup_us = choose_warmup (options);
    self->wanted = options->count ? (uint64_t) options->count : UINT64_MAX;
    self->duration_us = options->duration_us ? options->duration_us
                        : options->count     ? BENCH_LOAD_NEVER
                                             : DURATION_DEFAULT_US;
}

/*  What one of `count` gets of the whole. */
static uint64_t share (uint64_t whole, uint64_t count, uint64_t index)
{
    return whole / count + (index < whole % count);
}

/* ---- clients and drivers ---- */

static bool open_file (bench_t *self, const char *path, FILE **file, int *code)
{
    if (path && !(*file = fopen (path, "w")))
        *code = cli_fail (self->cli, EXITS_USAGE, "cannot write %s: %s", path, strerror (errno));
    return *code == EXITS_OK;
}

static int close_file (bench_t *self, const char *path, FILE *file)
{
    if (!file)
        return EXITS_OK;
    const bool lost = ferror (file);
    if (fclose (file) == 0 && !lost)
        return EXITS_OK;
    return cli_fail (self->cli, EXITS_OTHER, "cannot write %s: %s", path, strerror (errno));
}

static int out_of_memory (bench_t *self)
{
    return cli_fail (self->cli, EXITS_OTHER, "out of memory or descriptors");
}

/*  One call of each client by itself: shows that the method works, and opens the connections. */
static int try_one (bench_t *self, bench_driver_t *driver)
{
    weft_call_t *call = bench_driver_try (driver);
    const int code = call && weft_call_status (call) == WEFT_OK
                         ? EXITS_OK
                         : cli_fail_call (self->cli, self->request.method, call);
    weft_call_destroy (&call);
    return code;
}

/*  NULL: said. */
static weft_client_t *one_more_client (bench_t *self)
{
    const weft_call_options_t *const call = self->request.options;
    cli_t other = *self->cli;
    other.client = cli_new_client (&other, true);
    if (other.client && call->worker && call->via == WEFT_VIA_DIRECT &&
        catalog_reach (&other, call->worker) != EXITS_OK)
        weft_client_destroy (&other.client);
    return other.client;
}

static int make_drivers (bench_t *self)
{
    const uint64_t count = self->result.clients;
    self->clients = calloc (count, sizeof *self->clients);
    self->drivers = calloc (count, sizeof *self->drivers);
    self->total = bench_tally_new ();
    self->second = bench_tally_new ();
    self->ended = transport_wake_open ();
    if (!self->clients || !self->drivers || !self->total || !self->second || self->ended < 0)
        return out_of_memory (self);
    for (uint64_t i = 0; i < count; i++) {
        self->clients [i] = i == 0 ? self->cli->client : one_more_client (self);
        if (!self->clients [i])
            return EXITS_OTHER;
        self->drivers [i] = bench_driver_new (self->clients [i], &self->request,
                                              share (self->result.outstanding, count, i), self->ended);
        if (!self->drivers [i])
            return out_of_memory (self);
        const int code = try_one (self, self->drivers [i]);
        if (code != EXITS_OK)
            return code;
    }
    return EXITS_OK;
}

static void drop_drivers (bench_t *self)
{
    for (uint64_t i = 0; self->drivers && i < self->result.clients; i++)
        bench_driver_destroy (&self->drivers [i]);
    for (uint64_t i = 1; self->clients && i < self->result.clients; i++)
        weft_client_destroy (&self->clients [i]);
    free (self->drivers);
    free (self->clients);
    bench_tally_destroy (&self->total);
    bench_tally_destroy (&self->second);
    if (self->ended >= 0)
        close (self->ended);
}

/* ---- a run ---- */

static void stop_all (bench_t *self)
{
    for (uint64_t i = 0; i < self->result.clients; i++)
        bench_driver_stop (self->drivers [i]);
}

static bool all_finished (bench_t *self)
{
    for (uint64_t i = 0; i < self->result.clients; i++)
        if (!bench_driver_finished (self->drivers [i]))
            return false;
    return true;
}

/*  What was counted since the last time, as a line of the series and of progress. */
static void show_second (bench_t *self)
{
    const int64_t now_us = clock_now_us (), at_us = now_us - self->start_us,
                  width_us = now_us - self->taken_us;
    char text [BENCH_REPORT_PROGRESS_MAX];
    bench_report_progress (at_us, width_us, self->second, text);
    cli_progress (self->cli, "%s", text);
    if (self->series) {
        bench_report_series (at_us, width_us, self->second, self->series);
        fflush (self->series);
    }
    bench_tally_merge (self->total, self->second);
    bench_tally_clear (self->second);
    self->taken_us = now_us;
}

static void take_second (bench_t *self)
{
    for (uint64_t i = 0; i < self->result.clients; i++)
        bench_driver_ask (self->drivers [i]);
    for (uint64_t i = 0; i < self->result.clients; i++)
        bench_driver_take (self->drivers [i], self->second);
    show_second (self);
}

static void join_all (bench_t *self, uint64_t count)
{
    bench_result_t *const result = &self->result;
    result->overdue = 0;
    result->behind_us = result->elapsed_us = 0;
    for (uint64_t i = 0; i < count; i++) {
        const bench_run_t run = bench_driver_join (self->drivers [i], self->second);
        const int64_t elapsed_us = run.end_us - self->start_us;
        result->overdue += run.overdue;
        result->behind_us = run.behind_us > result->behind_us ? run.behind_us : result->behind_us;
        result->elapsed_us = elapsed_us > result->elapsed_us ? elapsed_us : result->elapsed_us;
    }
}

static int start_all (bench_t *self, int64_t duration_us, uint64_t wanted)
{
    const uint64_t count = self->result.clients;
    self->start_us = self->taken_us = clock_now_us ();
    for (uint64_t i = 0; i < count; i++) {
        const bench_load_plan_t load = {
            .outstanding = share (self->result.outstanding, count, i),
            .wanted = wanted == UINT64_MAX ? wanted : share (wanted, count, i),
            .rate = (double) self->result.rate / (double) count,
            .phase = (double) i / (double) count,
            .random = self->result.random,
            .seed = clock_seed (),
            .duration_us = duration_us};
        if (bench_driver_start (self->drivers [i], &load, self->start_us))
            continue;
        stop_all (self);
        join_all (self, i);
        return cli_fail (self->cli, EXITS_OTHER, "cannot start a thread for client %llu",
                         (unsigned long long) i + 1);
    }
    return EXITS_OK;
}

/*  A second that ends about when the run does is left to the end: else a moment with the last few calls would
 *  follow it as a second of its own. */
static bool is_second (const bench_t *self, int64_t tick_us)
{
    const int64_t left_us = self->start_us + self->duration_us - tick_us;
    return self->duration_us == BENCH_LOAD_NEVER || left_us > SECOND_US / 4 || left_us < -SECOND_US / 4;
}

/*  Until all are done. With `shown`, the seconds are. */
static void wait_all (bench_t *self, bool shown)
{
    struct pollfd polled [] = {{.fd = self->interrupts, .events = POLLIN},
                               {.fd = self->ended, .events = POLLIN}};
    int64_t tick_us = self->start_us + SECOND_US;
    while (!all_finished (self)) {
        const int64_t left_us = tick_us - clock_now_us ();
        poll (polled, 2, !shown ? -1 : left_us > 0 ? (int) ((left_us + 999) / 1000) : 0);
        if (polled [0].revents) {
            polled [0].fd = self->interrupts = -1;
            self->result.interrupted = true;
            stop_all (self);
        }
        if (polled [1].revents)
            transport_wake_clear (self->ended);
        if (shown && clock_now_us () >= tick_us) {
            if (is_second (self, tick_us))
                take_second (self);
            tick_us += SECOND_US * (1 + (clock_now_us () - tick_us) / SECOND_US);
        }
    }
}

static int run_once (bench_t *self, int64_t duration_us, uint64_t wanted, bool shown)
{
    const int code = start_all (self, duration_us, wanted);
    if (code != EXITS_OK)
        return code;
    wait_all (self, shown);
    join_all (self, self->result.clients);
    if (shown)
        show_second (self);
    else
        bench_tally_clear (self->second);
    return EXITS_OK;
}

/* ---- what came of it ---- */

static void print (const bench_t *self)
{
    cli_t *const cli = self->cli;
    object_t object;
    if (cli->options.output == OUTPUT_CSV)
        bench_report_csv (&self->result, !cli->options.quiet, stdout);
    if (cli->options.output == OUTPUT_TEXT)
        bench_report_text (&self->result, !cli->options.quiet, stdout);
    if (cli->json) {
        object_init (&object);
        bench_report_json (&self->result, &object);
        cli_print_object (cli, &object);
        object_fini (&object);
    }
    if (self->distribution)
        bench_report_distribution (&self->total->latency, self->distribution);
}

/*  Standard output first, so that the remarks stand below it on a terminal. */
static int report (bench_t *self)
{
    cli_t *const cli = self->cli;
    bench_result_t *const result = &self->result;
    char asked [WORDS_SHORT_MAX], reached [WORDS_SHORT_MAX], overdue [WORDS_SHORT_MAX];
    const bench_tally_t *const total = result->tally = self->total;
    cli_progress (cli, "%s", "");
    print (self);
    cli_flush ();
    if (result->rate && !bench_report_kept_up (result))
        cli_note (cli,
                  "could not keep up: %s calls/s asked for, %s reached; %s calls were due and never started",
                  words_count (asked, result->rate),
                  words_count (reached, (uint64_t) bench_report_rate (total->calls, result->elapsed_us)),
                  words_count (overdue, result->overdue));
    if (total->first_failure == WEFT_OK)
        return EXITS_OK;
    return cli_fail (cli, total->first_exit, "%llu of %llu calls failed; the first: %s: %s",
                     (unsigned long long) bench_tally_failed (total), (unsigned long long) total->calls,
                     weft_status_str (total->first_failure), total->outcomes [total->first_failure].text);
}

static int warm_up (bench_t *self)
{
    if (self->result.warmup_us == 0)
        return EXITS_OK;
    cli_progress (self->cli, "warming up");
    const int code = run_once (self, self->result.warmup_us, UINT64_MAX, false);
    if (code == EXITS_OK && self->result.interrupted)
        return cli_fail (self->cli, EXITS_OTHER, "interrupted while warming up: nothing was measured");
    return code;
}

static int measure (bench_t *self)
{
    char worker [UUID_SIZE + 1];
    weft_call_options_t call;
    int code = commands_call_options (self->cli, &call, worker);
    self->request.options = &call;
    if (code == EXITS_OK)
        code = make_drivers (self);
    self->interrupts = cli_catch_interrupts (); /* until here there is nothing to report, and one ends the program */
    if (code == EXITS_OK)
        code = warm_up (self);
    if (self->series)
        bench_report_series_titles (self->series);
    if (code == EXITS_OK)
        code = run_once (self, self->duration_us, self->wanted, true);
    return code == EXITS_OK ? report (self) : code;
}

static int run_with (bench_t *self)
{
    cli_t *const cli = self->cli;
    signature_t signature;
    buffer_t body;
    int code = cli_connect (cli, true);
    if (code != EXITS_OK)
        return code;
    buffer_init (&body, 2u * WEFT_BODY_MAX);
    code = catalog_signature (cli, cli->options.args [0], &signature);
    if (code == EXITS_OK && signature.stream)
        code = cli_fail (cli, EXITS_USAGE, "%s is a stream; bench takes methods with one reply", signature.name);
    if (code == EXITS_OK)
        code = input_body (cli, cli->options.args [1], &signature, &body);
    if (code == EXITS_OK) {
        self->request = (bench_request_t){.method = signature.name, .body = body.data, .size = body.size};
        self->result.method = signature.name;
        code = measure (self);
    }
    drop_drivers (self);
    signature_free (&signature);
    buffer_fini (&body);
    return code;
}

static int run (cli_t *cli)
{
    const options_t *const options = &cli->options;
    bench_t self = {.cli = cli, .interrupts = -1, .ended = -1};
    int code = check_flags (cli);
    if (code != EXITS_OK)
        return code;
    plan (&self);
    if (open_file (&self, options->series, &self.series, &code) &&
        open_file (&self, options->distribution, &self.distribution, &code))
        code = run_with (&self);
    const int series_code = close_file (&self, options->series, self.series);
    const int distribution_code = close_file (&self, options->distribution, self.distribution);
    return code ? code : series_code ? series_code : distribution_code;
}

static const flag_t flags [] = {
    FLAG ('n', "number", "N", FLAG_NUMBER, count, "stop after so many calls"),
    FLAG ('d', "duration", "TIME", FLAG_SECONDS, duration_us,
          "stop after so long, in seconds or as 500ms\n(default: 5s, unless -n)"),
    FLAG_UP_TO ('c', "outstanding", "N", OUTSTANDING_MAX, outstanding,
                "calls under way at once; with --rate: at most\n(default: 64; with --rate 10000)"),
    FLAG_UP_TO ('r', "rate", "N", RATE_MAX, rate,
                "an open loop: start so many calls per second, and\n"
                "measure each from when it should have started"),
    FLAG (0, "poisson", NULL, FLAG_SWITCH, poisson, "with --rate: at random moments, not evenly"),
    FLAG_UP_TO (0, "clients", "N", CLIENTS_MAX, clients,
                "share all that among so many clients, each with its\n"
                "own connections and thread (default: 1)"),
    FLAG (0, "warmup", "TIME", FLAG_SECONDS_OR_NONE, warmup_us,
          "do the same for so long before, uncounted\n(default: 500ms; with -n 0)"),
    FLAG (0, "series", "FILE", FLAG_TEXT, series, "write a line of CSV for each second to FILE"),
    FLAG (0, "distribution", "FILE", FLAG_TEXT, distribution,
          "write the percentiles of the times to FILE, as CSV"),
    FLAG_VIA,
    FLAG_BALANCE,
    FLAG_RETRY,
    FLAG_BACKUP_AFTER,
    FLAG_WORKER,
    FLAG_KEY,
    FLAG_META,
    FLAG_END};

const command_t command_bench = {
    .name = "bench",
    .arguments = "SERVICE.METHOD [JSON|@FILE|-]",
    .summary = "call a method over and over and say how fast it goes",
    .details =
        "A closed loop: a call starts when another ends, so that N are under way; if the mesh stalls, so\n"
        "does the loop. With --rate an open loop: calls start when they should, whatever became of the\n"
        "others, and those that cannot start yet count their waiting, as users would; so no stall is\n"
        "hidden. If the rate cannot be kept up, that is said.\n"
        "\n"
        "Every answer's status is checked; times are of all calls, failed ones too, right within 1 %.\n"
        "Before, each client makes one call by itself, and all warm up; neither is counted. Ctrl-C ends it\n"
        "early, with the figures so far. If calls failed, the exit code is that of the first.\n"
        "With -o csv the figures are one line under their names (without, with -q), for appending.\n",
    .examples = "  weft bench Arith.Add '{\"a\": 2, \"b\": 3}'\n"
                "  weft bench Arith.Add '{\"a\": 2, \"b\": 3}' -c 1 -n 10000 --via broker\n"
                "  weft bench Arith.Add '{\"a\": 2, \"b\": 3}' --rate 5000 -d 30 --series seconds.csv\n"
                "  weft bench Text.Count @body.json -d 30 -o json\n"
                "  weft bench Text.Count @body.json --retry failbackup\n",
    .flags = flags,
    .args_min = 1,
    .args_max = 2,
    .names = NAMES_METHOD,
    .csv = true,
    .run = run};
