/* SPDX-License-Identifier: MPL-2.0
 *
 *  bench_report.h - what a benchmark found, written for people, for programs, for a spreadsheet and for a
 *  plot. */

#ifndef BENCH_REPORT_H_INCLUDED
#define BENCH_REPORT_H_INCLUDED

#include "bench_tally.h"
#include "object.h"

typedef struct {
    const char *method;
    uint64_t outstanding, clients;
    uint64_t rate; /* asked for; 0: a closed loop */
    bool random;   /* its arrivals */
    int64_t warmup_us, elapsed_us;
    uint64_t overdue;  /* calls of an open loop that never started */
    int64_t behind_us; /* how late the last one started */
    bool interrupted;
    const bench_tally_t *tally;
} bench_result_t;

/*  Calls that ended well, per second. */
double bench_report_rate (uint64_t calls, int64_t elapsed_us);

/*  Whether an open loop's calls could start when they should: none is left over, and the last one was not late
 *  by more than BENCH_LOAD_GRACE_US and a hundredth of the time. */
bool bench_report_kept_up (const bench_result_t *result);

/*  Tables; without `titles` the figures alone. */
void bench_report_text (const bench_result_t *result, bool titles, FILE *out);

/*  Fills an object: see the manual page. */
void bench_report_json (const bench_result_t *result, object_t *object);

/*  The figures as one line of CSV, under a line of names if `titles`. */
void bench_report_csv (const bench_result_t *result, bool titles, FILE *out);

/*  The distribution of times as CSV, a line for each percentile, ever closer together. */
void bench_report_distribution (const histogram_t *latency, FILE *out);

/*  CSV over time: the names, then a line for the `width_us` that ended at `at_us`. */
void bench_report_series_titles (FILE *out);
void bench_report_series (int64_t at_us, int64_t width_us, const bench_tally_t *tally, FILE *out);

/*  One line on how it goes. */
#define BENCH_REPORT_PROGRESS_MAX 640
void bench_report_progress (int64_t at_us, int64_t width_us, const bench_tally_t *tally,
                            char text [BENCH_REPORT_PROGRESS_MAX]);

#endif
