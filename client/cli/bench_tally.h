/* SPDX-License-Identifier: MPL-2.0
 *
 *  bench_tally.h - what came of a benchmark's calls, counted: how they ended, how long they took, who served
 *  them.
 *
 *  Each driver counts in one of its own; these are merged, for each second and for the whole. */

#ifndef BENCH_TALLY_H_INCLUDED
#define BENCH_TALLY_H_INCLUDED

#include "histogram.h"
#include "table.h"
#include <stdio.h>
#include <weft/client.h>

#define BENCH_EXECUTED_COUNT 3
#define BENCH_TEXT_MAX       200

/*  The parts of a call's ledger. */
typedef enum {
    BENCH_EARLIER,
    BENCH_CLIENT_QUEUE,
    BENCH_BROKER_QUEUE,
    BENCH_WORKER_QUEUE,
    BENCH_HANDLER,
    BENCH_PART_COUNT
} bench_part_t;
extern const char *const bench_part_names [BENCH_PART_COUNT]; /* "earlier" */

typedef struct {
    uint64_t calls, sum_us; /* only those where the part is known */
} bench_time_t;

typedef struct {
    char uuid [64];
    uint64_t calls;
} bench_worker_t;

/*  All calls that ended with one status. */
typedef struct {
    uint64_t calls, executed [BENCH_EXECUTED_COUNT];
    char text [BENCH_TEXT_MAX]; /* of the first */
} bench_outcome_t;

typedef struct {
    uint64_t calls, direct, retried;
    bench_outcome_t outcomes [WEFT_STATUS_COUNT];
    bench_time_t parts [BENCH_PART_COUNT];
    weft_status_t first_failure; /* WEFT_OK: none */
    int first_exit;
    histogram_t latency; /* from the moment each was to start */
    histogram_t lag;     /* of an open loop: from that moment to when it did */
    bench_worker_t **workers;
    size_t worker_count, worker_room;
    table_t by_uuid;
    bench_worker_t *last; /* found */
    uint64_t latency_buckets [HISTOGRAM_BUCKETS (HISTOGRAM_FINE)];
    uint64_t lag_buckets [HISTOGRAM_BUCKETS (HISTOGRAM_FINE)];
} bench_tally_t;

/*  Large: not for the stack. NULL when out of memory. */
bench_tally_t *bench_tally_new (void);
void bench_tally_destroy (bench_tally_t **self);

/*  Empty again. */
void bench_tally_clear (bench_tally_t *self);

/*  A call that ended; texts are borrowed. */
typedef struct {
    weft_status_t status;
    weft_executed_t executed;
    const char *text, *worker;
    bool direct;
    int attempts;
    weft_ledger_t ledger;
    int64_t latency_us;
} bench_ended_t;
void bench_tally_add (bench_tally_t *self, const bench_ended_t *ended);

/*  Keeps what the first failure was, and the exit code that it stands for. */
void bench_tally_blame (bench_tally_t *self, weft_status_t status, int exit_code);

/*  Adds all of `other`; what failed there first comes after what failed here. */
void bench_tally_merge (bench_tally_t *self, const bench_tally_t *other);

static inline uint64_t bench_tally_ok (const bench_tally_t *self)
{
    return self->outcomes [WEFT_OK].calls;
}

static inline uint64_t bench_tally_failed (const bench_tally_t *self)
{
    return self->calls - bench_tally_ok (self);
}

#endif
