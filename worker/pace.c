/* SPDX-License-Identifier: MPL-2.0
 *
 *  pace.c - how long a method's handler takes, and so where its calls run.
 *
 *  To hand a call to another thread and back costs some microseconds; more if that thread has to be woken.
 *
 *    less than that              the reading thread runs it itself, whatever else waits
 *    a part of a millisecond     the reading thread runs a few itself; many it shares with others
 *    more                        another thread runs it: nobody behind it should wait so long
 *
 *  One that nobody knows is run where it was read: should it be slow, another thread takes over the reading. A
 *  single call that took long says little, its thread may just have lost the processor; so one alone does not
 *  count, but the next one like it does. */

#include "pace.h"

#define CROSSING_NS 3000    /* to another thread and back */
#define SLOW_NS     100000
#define HEAP_NS     50000   /* that is worth a wake-up */
#define LOOK_UP_US  200     /* what was done is sent then, which wakes who waits for it: too often costs more than it gains */

void pace_note (pace_t *self, int64_t took_us)
{
    const int64_t took_ns = took_us * 1000, most_ns = 4 * self->mean_ns + SLOW_NS;
    const bool far_off = self->known && took_ns > 4 * self->mean_ns + CROSSING_NS;

    if (!self->known)
        self->mean_ns = took_ns;
    else if (took_ns <= self->mean_ns)
        self->mean_ns -= (self->mean_ns - took_ns) / 16;
    else if (!far_off || self->startled)
        self->mean_ns += ((took_ns < most_ns ? took_ns : most_ns) - self->mean_ns) / 2;
    self->startled = far_off;
    self->known = true;
}

void pace_note_slow (pace_t *self)
{
    if (self->mean_ns < 2 * SLOW_NS)
        self->mean_ns = 2 * SLOW_NS;
    self->known = true;
}

pace_place_t pace_place (const pace_t *self)
{
    return self->mean_ns < CROSSING_NS ? PACE_HERE : self->mean_ns <= SLOW_NS ? PACE_SOON : PACE_AWAY;
}

bool pace_share (size_t count, int64_t total_ns)
{
    return count > 1 && total_ns > HEAP_NS;
}

int64_t pace_cheap_ns (void)
{
    return SLOW_NS;
}

bool pace_look_up (int64_t busy_us)
{
    return busy_us >= LOOK_UP_US;
}
