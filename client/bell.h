/* SPDX-License-Identifier: MPL-2.0
 *
 *  bell.h - wakes one thread that listens, and tells it what for: a condition variable without the mutex, so
 *  that whoever is woken to go its way need not queue for a lock first.
 *
 *  Ringing is the last that the ringer does to a bell: the listener may take it down as soon as it has heard.
 *  Of two tunes rung in a row the second counts. */

#ifndef BELL_H_INCLUDED
#define BELL_H_INCLUDED

#include <stdatomic.h>
#include <stdint.h>

typedef struct {
    atomic_uint state; /* 0: nothing rung */
} bell_t;

/*  Any thread. `tune` is 1 to 255. */
void bell_ring (bell_t *self, unsigned tune);

/*  One thread: waits for a tune and returns it, once; 0 when it is `until_us` (DEADLINES_NEVER: never) before
 *  any was rung. */
unsigned bell_wait (bell_t *self, int64_t until_us);

#endif
