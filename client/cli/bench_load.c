/* SPDX-License-Identifier: MPL-2.0 */

#include "bench_load.h"
#include <assert.h>
#include <math.h>

static bool is_open (const bench_load_t *self)
{
    return self->plan.rate > 0;
}

static double interval_us (const bench_load_t *self)
{
    return 1e6 / self->plan.rate;
}

/*  From call to call at random; evenly it is counted from the start, so that errors do not add up. */
static void plan_next (bench_load_t *self)
{
    if (!is_open (self))
        return;
    if (self->plan.random)
        self->due_us += -log (1 - dice_unit (&self->dice)) * interval_us (self);
    else
        self->due_us = ((double) self->started + self->plan.phase) * interval_us (self);
}

void bench_load_init (bench_load_t *self, const bench_load_plan_t *plan, int64_t start_us)
{
    const bool timed = plan->duration_us != BENCH_LOAD_NEVER;
    *self = (bench_load_t){.plan = *plan,
                           .start_us = start_us,
                           .until_us = timed ? start_us + plan->duration_us : BENCH_LOAD_NEVER};
    dice_init (&self->dice, plan->seed);
    plan_next (self);
}

static int64_t due_at (const bench_load_t *self)
{
    return self->start_us + (int64_t) self->due_us;
}

/*  Some will still start, be it only because others end. */
static bool has_more (const bench_load_t *self, int64_t now_us)
{
    if (self->stopped || self->started >= self->plan.wanted)
        return false;
    if (!is_open (self) || self->until_us == BENCH_LOAD_NEVER)
        return now_us < self->until_us;
    return due_at (self) < self->until_us && now_us < self->until_us + BENCH_LOAD_GRACE_US;
}

bool bench_load_take (bench_load_t *self, int64_t now_us, int64_t *intended_us)
{
    if (bench_load_under_way (self) >= self->plan.outstanding || !has_more (self, now_us))
        return false;
    const int64_t due_us = is_open (self) ? due_at (self) : now_us;
    if (due_us > now_us)
        return false;
    *intended_us = due_us;
    self->started++;
    plan_next (self);
    return true;
}

void bench_load_ended (bench_load_t *self)
{
    assert (bench_load_under_way (self) > 0);
    self->ended++;
}

void bench_load_stop (bench_load_t *self)
{
    self->stopped = true;
}

/*  The last call owns its interval as all others do: else ten, at ten a second, would be over after 0.9 s. */
static int64_t end_us (const bench_load_t *self)
{
    if (self->stopped)
        return 0;
    if (self->until_us != BENCH_LOAD_NEVER && self->started < self->plan.wanted)
        return self->until_us;
    return is_open (self) ? due_at (self) : 0;
}

bool bench_load_over (const bench_load_t *self, int64_t now_us)
{
    return self->started == self->ended && !has_more (self, now_us) && now_us >= end_us (self);
}

int64_t bench_load_next_us (const bench_load_t *self, int64_t now_us)
{
    const bool room = bench_load_under_way (self) < self->plan.outstanding;
    if (has_more (self, now_us) && room)
        return is_open (self) ? due_at (self) : now_us;
    return self->started == self->ended && !has_more (self, now_us) ? end_us (self) : BENCH_LOAD_NEVER;
}

uint64_t bench_load_overdue (const bench_load_t *self, int64_t now_us)
{
    bench_load_t rest = *self;
    const int64_t end_us = now_us < self->until_us ? now_us : self->until_us;
    if (!is_open (self))
        return 0;
    while (rest.started < rest.plan.wanted && due_at (&rest) < end_us) {
        rest.started++;
        plan_next (&rest);
    }
    return rest.started - self->started;
}
