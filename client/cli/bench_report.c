/* SPDX-License-Identifier: MPL-2.0 */

#include "bench_report.h"
#include "bench_load.h"
#include "grid.h"
#include "words.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *key;
    double quantile;
} quantiles [] = {{"p50", "p50", 0.5},     {"p75", "p75", 0.75},       {"p90", "p90", 0.9},
                  {"p99", "p99", 0.99},    {"p99.9", "p999", 0.999},   {"p99.99", "p9999", 0.9999},
                  {"max", "max", 1}};
#define QUANTILES (sizeof quantiles / sizeof *quantiles)

double bench_report_rate (uint64_t calls, int64_t elapsed_us)
{
    return elapsed_us > 0 ? (double) calls * 1e6 / (double) elapsed_us : 0;
}

static double rate_of (const bench_result_t *result)
{
    return bench_report_rate (bench_tally_ok (result->tally), result->elapsed_us);
}

bool bench_report_kept_up (const bench_result_t *result)
{
    return result->overdue == 0 && result->behind_us <= BENCH_LOAD_GRACE_US + result->elapsed_us / 100;
}

static uint64_t least_of (const histogram_t *histogram)
{
    return histogram->count ? histogram->min : 0;
}

/* ---- text ---- */

static const grid_column_t figure_columns [] = {{"", false}, {"", true}, {NULL, false}};

static void add_count (grid_t *grid, const char *name, uint64_t count)
{
    char text [WORDS_SHORT_MAX];
    grid_add (grid, "%s", name);
    grid_add (grid, "%s", words_count (text, count));
}

static void add_duration (grid_t *grid, const char *name, uint64_t us)
{
    char text [WORDS_SHORT_MAX];
    grid_add (grid, "%s", name);
    grid_add (grid, "%s", words_duration (text, (int64_t) us));
}

static void add_failures (grid_t *grid, const bench_tally_t *tally)
{
    add_count (grid, "failed", bench_tally_failed (tally));
    for (int i = 1; i < WEFT_STATUS_COUNT; i++)
        for (int j = 0; j < BENCH_EXECUTED_COUNT; j++)
            if (tally->outcomes [i].executed [j]) {
                char name [96];
                snprintf (name, sizeof name, "  %s, executed: %s", weft_status_str ((weft_status_t) i),
                          weft_executed_str ((weft_executed_t) j));
                add_count (grid, name, tally->outcomes [i].executed [j]);
            }
}

static void add_latency (grid_t *grid, const histogram_t *latency)
{
    add_duration (grid, "mean", (uint64_t) (histogram_mean (latency) + 0.5));
    add_duration (grid, "min", least_of (latency));
    for (size_t i = 0; i < QUANTILES; i++)
        add_duration (grid, quantiles [i].name, histogram_at (latency, quantiles [i].quantile));
}

static void add_gap (grid_t *grid)
{
    grid_add (grid, "%s", "");
    grid_add (grid, "%s", "");
}

static void print_figures (const bench_result_t *result, FILE *out)
{
    const bench_tally_t *const tally = result->tally;
    grid_t grid;
    grid_init (&grid, figure_columns);
    add_count (&grid, "calls", tally->calls);
    add_duration (&grid, "time", (uint64_t) result->elapsed_us);
    add_count (&grid, "calls/s", (uint64_t) (rate_of (result) + 0.5));
    if (result->rate)
        add_count (&grid, "calls/s asked for", result->rate);
    if (result->overdue)
        add_count (&grid, "never started", result->overdue);
    add_failures (&grid, tally);
    if (tally->retried)
        add_count (&grid, "tried more than once", tally->retried);
    add_gap (&grid);
    add_latency (&grid, &tally->latency);
    if (result->rate) {
        add_gap (&grid);
        add_duration (&grid, "started late, p50", histogram_at (&tally->lag, 0.5));
        add_duration (&grid, "started late, p99", histogram_at (&tally->lag, 0.99));
        add_duration (&grid, "started late, max", tally->lag.max);
    }
    grid_print (&grid, GRID_UNTITLED, out);
    grid_fini (&grid);
}

static void print_headline (const bench_result_t *result, FILE *out)
{
    char outstanding [WORDS_SHORT_MAX], clients [WORDS_SHORT_MAX], rate [WORDS_SHORT_MAX];
    words_count (outstanding, result->outstanding);
    words_count (clients, result->clients);
    words_count (rate, result->rate);
    if (result->rate)
        fprintf (out, "%s, open loop: %s calls/s%s, at most %s under way", result->method, rate,
                 result->random ? " at random" : "", outstanding);
    else
        fprintf (out, "%s, closed loop: %s under way", result->method, outstanding);
    fprintf (out, result->clients > 1 ? ", %s clients\n\n" : "\n\n", clients);
}

/*  Where rows of the distribution may begin: so many to a power of ten, round figures. */
static const struct {
    unsigned count, tenths [10];
} ladders [] = {{10, {10, 12, 15, 20, 25, 30, 40, 50, 60, 80}}, {3, {10, 20, 50}}, {1, {10}}};
#define LADDERS (sizeof ladders / sizeof *ladders)

#define ROWS_MAX   16
#define BAR_MAX    40
#define STEPS_MAX  140

/*  The lower bounds in microseconds, upwards from 0; how many. */
static size_t make_ladder (size_t which, uint64_t bounds [STEPS_MAX])
{
    size_t count = 0;
    bounds [count++] = 0;
    for (uint64_t power = 1; power <= 10000000000u; power *= 10)
        for (unsigned i = 0; i < ladders [which].count; i++) {
            const uint64_t bound = power * ladders [which].tenths [i] / 10;
            if (bound > bounds [count - 1])
                bounds [count++] = bound;
        }
    return count;
}

static size_t step_of (const uint64_t bounds [STEPS_MAX], size_t count, uint64_t us)
{
    size_t step = 0;
    while (step + 1 < count && bounds [step + 1] <= us)
        step++;
    return step;
}

/*  The finest ladder on which the values from the least to nearly the greatest take few rows. */
static size_t choose_ladder (const histogram_t *latency, uint64_t bounds [STEPS_MAX], size_t *first,
                             size_t *last)
{
    size_t count = 0;
    for (size_t i = 0; i < LADDERS; i++) {
        count = make_ladder (i, bounds);
        *first = step_of (bounds, count, latency->min);
        *last = step_of (bounds, count, histogram_at (latency, 0.999));
        if (*last - *first < ROWS_MAX)
            break;
    }
    return count;
}

/*  The last row has all the rest. */
static void print_distribution (const histogram_t *latency, FILE *out)
{
    static const grid_column_t columns [] = {{"from", true}, {"", false}, {"", true}, {NULL, false}};
    uint64_t bounds [STEPS_MAX], calls [STEPS_MAX] = {0}, most = 0, value, count;
    size_t first, last;
    if (latency->count == 0)
        return;
    const size_t steps = choose_ladder (latency, bounds, &first, &last);
    for (size_t position = 0; histogram_next (latency, &position, &value, &count);) {
        const size_t step = step_of (bounds, steps, value);
        calls [step < last ? step : last] += count;
    }
    for (size_t i = first; i <= last; i++)
        most = calls [i] > most ? calls [i] : most;

    grid_t grid;
    grid_init (&grid, columns);
    for (size_t i = first; i <= last; i++) {
        char from [WORDS_SHORT_MAX], bar [BAR_MAX + 1];
        const size_t size = (size_t) (((double) calls [i] * BAR_MAX + (double) most / 2) / (double) most);
        memset (bar, '#', size);
        bar [size] = '\0';
        grid_add (&grid, "%s", words_duration (from, (int64_t) bounds [i]));
        grid_add (&grid, "%s", bar);
        grid_add (&grid, "%.1f %%", 100 * (double) calls [i] / (double) latency->count);
    }
    fputc ('\n', out);
    grid_print (&grid, GRID_TITLES, out);
    grid_fini (&grid);
}

static int by_calls (const void *a, const void *b)
{
    const bench_worker_t *const x = *(bench_worker_t *const *) a, *const y = *(bench_worker_t *const *) b;
    return x->calls != y->calls ? (x->calls < y->calls) - (x->calls > y->calls) : strcmp (x->uuid, y->uuid);
}

/*  The busiest first. */
static void sort_workers (const bench_tally_t *tally)
{
    if (tally->worker_count > 1)
        qsort (tally->workers, tally->worker_count, sizeof *tally->workers, by_calls);
}

#define WORKERS_SHOWN 16

static void print_workers (const bench_tally_t *tally, FILE *out)
{
    static const grid_column_t columns [] = {{"worker", false}, {"calls", true}, {"", true}, {NULL, false}};
    char text [WORDS_SHORT_MAX];
    if (tally->worker_count == 0)
        return;
    sort_workers (tally);
    grid_t grid;
    grid_init (&grid, columns);
    for (size_t i = 0; i < tally->worker_count && i < WORKERS_SHOWN; i++) {
        grid_add (&grid, "%s", tally->workers [i]->uuid);
        grid_add (&grid, "%s", words_count (text, tally->workers [i]->calls));
        grid_add (&grid, "%.1f %%", 100 * (double) tally->workers [i]->calls / (double) tally->calls);
    }
    fputc ('\n', out);
    grid_print (&grid, GRID_TITLES, out);
    grid_fini (&grid);
    if (tally->worker_count > WORKERS_SHOWN)
        fprintf (out, "and %s more\n", words_count (text, tally->worker_count - WORKERS_SHOWN));
}

/*  Only what took a millisecond is told (weft_ledger_t). */
static void print_parts (const bench_tally_t *tally, FILE *out)
{
    static const grid_column_t columns [] = {{"a millisecond or more in", false},
                                             {"calls", true},
                                             {"mean", true},
                                             {NULL, false}};
    static const char *const names [BENCH_PART_COUNT] = {"earlier attempts", "the client's queue", "the broker's queue",
                                                         "the worker's queue", "the handler"};
    char text [WORDS_SHORT_MAX];
    grid_t grid;
    grid_init (&grid, columns);
    for (int i = 0; i < BENCH_PART_COUNT; i++) {
        const bench_time_t *const part = &tally->parts [i];
        if (part->calls == 0)
            continue;
        grid_add (&grid, "%s", names [i]);
        grid_add (&grid, "%s", words_count (text, part->calls));
        grid_add (&grid, "%s", words_duration (text, (int64_t) (part->sum_us / part->calls)));
    }
    if (grid.cell_count > 0) {
        fputc ('\n', out);
        grid_print (&grid, GRID_TITLES, out);
    }
    grid_fini (&grid);
}

void bench_report_text (const bench_result_t *result, bool titles, FILE *out)
{
    if (titles)
        print_headline (result, out);
    print_figures (result, out);
    if (!titles)
        return;
    print_distribution (&result->tally->latency, out);
    print_workers (result->tally, out);
    print_parts (result->tally, out);
}

/* ---- JSON ---- */

static void add_times (object_t *object, const char *name, const histogram_t *histogram)
{
    object_t times;
    object_init (&times);
    object_int (&times, "min", (int64_t) least_of (histogram));
    object_double (&times, "mean", histogram_mean (histogram));
    for (size_t i = 0; i < QUANTILES; i++)
        object_int (&times, quantiles [i].key, (int64_t) histogram_at (histogram, quantiles [i].quantile));
    object_object (object, name, &times);
    object_fini (&times);
}

static void add_executed (object_t *object, const uint64_t executed [BENCH_EXECUTED_COUNT])
{
    object_t counts;
    object_init (&counts);
    for (int i = 0; i < BENCH_EXECUTED_COUNT; i++)
        object_int (&counts, weft_executed_str ((weft_executed_t) i), (int64_t) executed [i]);
    object_object (object, "executed", &counts);
    object_fini (&counts);
}

/*  By status. */
static void add_failure_objects (object_t *object, const bench_tally_t *tally)
{
    object_t failures, failure;
    object_init (&failures);
    for (int i = 1; i < WEFT_STATUS_COUNT; i++) {
        const bench_outcome_t *const outcome = &tally->outcomes [i];
        if (outcome->calls == 0)
            continue;
        object_init (&failure);
        object_int (&failure, "calls", (int64_t) outcome->calls);
        add_executed (&failure, outcome->executed);
        object_text (&failure, "text", outcome->text);
        object_object (&failures, weft_status_str ((weft_status_t) i), &failure);
        object_fini (&failure);
    }
    object_object (object, "failures", &failures);
    object_fini (&failures);
}

static void add_worker_object (object_t *object, const bench_tally_t *tally)
{
    object_t workers;
    object_init (&workers);
    sort_workers (tally);
    for (size_t i = 0; i < tally->worker_count; i++)
        object_int (&workers, tally->workers [i]->uuid, (int64_t) tally->workers [i]->calls);
    object_object (object, "workers", &workers);
    object_fini (&workers);
}

static void add_part_objects (object_t *object, const bench_tally_t *tally)
{
    object_t parts, part;
    object_init (&parts);
    for (int i = 0; i < BENCH_PART_COUNT; i++) {
        const bench_time_t *const time = &tally->parts [i];
        object_init (&part);
        object_int (&part, "calls", (int64_t) time->calls);
        object_double (&part, "mean_us", time->calls ? (double) time->sum_us / (double) time->calls : 0);
        object_object (&parts, bench_part_names [i], &part);
        object_fini (&part);
    }
    object_object (object, "ledger", &parts);
    object_fini (&parts);
}

static void add_question (object_t *object, const bench_result_t *result)
{
    object_text (object, "method", result->method);
    object_text (object, "loop", result->rate ? "open" : "closed");
    if (result->rate) {
        object_int (object, "rate", (int64_t) result->rate);
        object_text (object, "arrivals", result->random ? "random" : "even");
    }
    object_int (object, "outstanding", (int64_t) result->outstanding);
    object_int (object, "clients", (int64_t) result->clients);
    object_double (object, "warmup_seconds", (double) result->warmup_us / 1e6);
    object_double (object, "seconds", (double) result->elapsed_us / 1e6);
    object_bool (object, "interrupted", result->interrupted);
}

void bench_report_json (const bench_result_t *result, object_t *object)
{
    const bench_tally_t *const tally = result->tally;
    add_question (object, result);
    object_int (object, "calls", (int64_t) tally->calls);
    object_int (object, "failed", (int64_t) bench_tally_failed (tally));
    object_double (object, "calls_per_second", rate_of (result));
    if (result->rate) {
        object_bool (object, "kept_up", bench_report_kept_up (result));
        object_int (object, "never_started", (int64_t) result->overdue);
        add_times (object, "started_late_us", &tally->lag);
    }
    add_times (object, "latency_us", &tally->latency);
    add_failure_objects (object, tally);
    object_int (object, "retried", (int64_t) tally->retried);
    object_int (object, "direct", (int64_t) tally->direct);
    add_worker_object (object, tally);
    add_part_objects (object, tally);
}

/* ---- CSV ---- */

void bench_report_csv (const bench_result_t *result, bool titles, FILE *out)
{
    const bench_tally_t *const tally = result->tally;
    if (titles) {
        fputs ("method,loop,rate,outstanding,clients,seconds,calls,failed,calls_per_second,never_started,"
               "min_us,mean_us",
               out);
        for (size_t i = 0; i < QUANTILES; i++)
            fprintf (out, ",%s_us", quantiles [i].key);
        fputc ('\n', out);
    }
    fprintf (out, "%s,%s,", result->method, result->rate ? "open" : "closed");
    if (result->rate)
        fprintf (out, "%llu", (unsigned long long) result->rate);
    fprintf (out, ",%llu,%llu,%.3f,%llu,%llu,%.3f,%llu,%llu,%.3f", (unsigned long long) result->outstanding,
             (unsigned long long) result->clients, (double) result->elapsed_us / 1e6,
             (unsigned long long) tally->calls, (unsigned long long) bench_tally_failed (tally),
             rate_of (result), (unsigned long long) result->overdue,
             (unsigned long long) least_of (&tally->latency), histogram_mean (&tally->latency));
    for (size_t i = 0; i < QUANTILES; i++)
        fprintf (out, ",%llu",
                 (unsigned long long) histogram_at (&tally->latency, quantiles [i].quantile));
    fputc ('\n', out);
}

static void print_percentile (const histogram_t *latency, double rest, FILE *out)
{
    const double quantile = 1 - rest;
    const double one_in = rest > 0 ? 1 / rest : (double) latency->count;
    fprintf (out, "%.10g,%.10g,%llu\n", quantile * 100, one_in,
             (unsigned long long) histogram_at (latency, quantile));
}

/*  Five steps to each halving of what is left, until less than a call is. */
void bench_report_distribution (const histogram_t *latency, FILE *out)
{
    fputs ("percentile,one_in,latency_us\n", out);
    if (latency->count == 0)
        return;
    for (double rest = 1; rest * (double) latency->count >= 1; rest /= 2)
        for (int i = 0; i < 5 && rest * (1 - i / 10.0) * (double) latency->count >= 1; i++)
            print_percentile (latency, rest * (1 - i / 10.0), out);
    print_percentile (latency, 0, out);
}

void bench_report_series_titles (FILE *out)
{
    fputs ("seconds,calls,failed,calls_per_second,p50_us,p90_us,p99_us,max_us\n", out);
}

void bench_report_series (int64_t at_us, int64_t width_us, const bench_tally_t *tally, FILE *out)
{
    const histogram_t *const latency = &tally->latency;
    fprintf (out, "%.3f,%llu,%llu,%.3f", (double) at_us / 1e6, (unsigned long long) tally->calls,
             (unsigned long long) bench_tally_failed (tally),
             bench_report_rate (bench_tally_ok (tally), width_us));
    if (tally->calls)
        fprintf (out, ",%llu,%llu,%llu,%llu\n", (unsigned long long) histogram_at (latency, 0.5),
                 (unsigned long long) histogram_at (latency, 0.9),
                 (unsigned long long) histogram_at (latency, 0.99), (unsigned long long) latency->max);
    else
        fputs (",,,,\n", out);
}

void bench_report_progress (int64_t at_us, int64_t width_us, const bench_tally_t *tally,
                            char text [BENCH_REPORT_PROGRESS_MAX])
{
    char rate [WORDS_SHORT_MAX], p50 [WORDS_SHORT_MAX], p99 [WORDS_SHORT_MAX], max [WORDS_SHORT_MAX],
        failed [WORDS_SHORT_MAX];
    const histogram_t *const latency = &tally->latency;
    words_count (rate, (uint64_t) (bench_report_rate (bench_tally_ok (tally), width_us) + 0.5));
    words_duration (p50, (int64_t) histogram_at (latency, 0.5));
    words_duration (p99, (int64_t) histogram_at (latency, 0.99));
    words_duration (max, (int64_t) latency->max);
    words_count (failed, bench_tally_failed (tally));
    snprintf (text, BENCH_REPORT_PROGRESS_MAX, "%.0f s: %s calls/s, p50 %s, p99 %s, max %s, %s failed",
              (double) at_us / 1e6, rate, p50, p99, max, failed);
}
