/* SPDX-License-Identifier: MPL-2.0 */

#include "outflow.h"

void outflow_begin (outflow_t *self, uint64_t left, int64_t now_us)
{
    self->seen = left;
    self->since_us = now_us;
}

static void measure (outflow_t *self, uint64_t left, int64_t now_us)
{
    const int64_t passed_us = now_us - self->since_us;
    const uint64_t gone = left - self->seen;

    if (passed_us < OUTFLOW_LOOK_US && (self->each_ns > 0 || gone == 0))
        return;
    self->each_ns = passed_us * 1000 / (int64_t) (gone > 0 ? gone : 1) + 1; /* if none has left, it takes that long at least */
    if (passed_us >= OUTFLOW_LOOK_US && gone > 0)
        outflow_begin (self, left, now_us);
}

uint64_t outflow_ms (outflow_t *self, uint64_t left, size_t waiting, int64_t now_us)
{
    measure (self, left, now_us);
    if (self->each_ns == 0)
        return OUTFLOW_UNKNOWN_MS;
    if (waiting > 0 && self->each_ns >= OUTFLOW_MAX_MS * 1000000LL / (int64_t) waiting)
        return OUTFLOW_MAX_MS;
    const uint64_t ms = (uint64_t) self->each_ns * waiting / 1000000;
    return ms < OUTFLOW_MIN_MS ? OUTFLOW_MIN_MS : ms;
}
