/* SPDX-License-Identifier: MPL-2.0
 *
 *  bench_load.h - when the next call of a benchmark may start. Decides; reads no clock and starts nothing.
 *
 *  Closed loop: one starts as soon as fewer than `outstanding` are under way, so a slow mesh is asked less.
 *  Open loop: each has its moment, whatever became of the others, evenly or at random (Poisson). If it cannot
 *  start then, because its sender was late or `outstanding` are under way, it starts later, and is told when
 *  it should have: who measures from there hides no stall.
 *
 *      take (now) -> start it, measured from `intended`        next_us -> when to ask again
 *      ended      -> one less under way                        over    -> nothing more will come */

#ifndef BENCH_LOAD_H_INCLUDED
#define BENCH_LOAD_H_INCLUDED

#include "dice.h"
#include <stdbool.h>
#include <stdint.h>

#define BENCH_LOAD_NEVER    INT64_MAX
#define BENCH_LOAD_GRACE_US 100000 /* after the end: for calls that were due before, and a moment's stall */

/*  What one client is to do. */
typedef struct {
    uint64_t outstanding; /* at most so many under way */
    uint64_t wanted;      /* in all; UINT64_MAX: until the time is up */
    double rate;          /* calls per second; 0: a closed loop */
    double phase;         /* of an even open loop: where in the first interval it begins, 0 to 1 */
    bool random;          /* Poisson arrivals, from `seed` */
    uint64_t seed;
    int64_t duration_us;  /* BENCH_LOAD_NEVER: until `wanted` have ended */
} bench_load_plan_t;

typedef struct {
    bench_load_plan_t plan;
    dice_t dice;
    int64_t start_us, until_us;
    uint64_t started, ended;
    double due_us; /* of an open loop: the moment of the call to come, after the start */
    bool stopped;
} bench_load_t;

void bench_load_init (bench_load_t *self, const bench_load_plan_t *plan, int64_t start_us);

/*  True: start one now; `intended_us` is when it should have been, now or earlier. */
bool bench_load_take (bench_load_t *self, int64_t now_us, int64_t *intended_us);

void bench_load_ended (bench_load_t *self);

/*  No more may start. */
void bench_load_stop (bench_load_t *self);

/*  All that will start has ended, and the time is up. */
bool bench_load_over (const bench_load_t *self, int64_t now_us);

/*  When something can happen without a call's end: one may start, or the time is up. NEVER, or now or earlier
 *  for "at once". */
int64_t bench_load_next_us (const bench_load_t *self, int64_t now_us);

/*  Calls of an open loop whose moment was before `now` and that have not started. */
uint64_t bench_load_overdue (const bench_load_t *self, int64_t now_us);

static inline uint64_t bench_load_under_way (const bench_load_t *self)
{
    return self->started - self->ended;
}

#endif
