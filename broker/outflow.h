/* SPDX-License-Identifier: MPL-2.0
 *
 *  outflow.h - how quickly does it empty? What who finds a queue full is told of when to come back. Decides; never reads a clock.
 *
 *  Whoever owns the queue counts what leaves it. How long one takes is measured over the time since somebody last asked, if that is
 *  long enough to tell. */

#ifndef OUTFLOW_H_INCLUDED
#define OUTFLOW_H_INCLUDED

#include <stddef.h>
#include <stdint.h>

#define OUTFLOW_LOOK_US 100000 /* measured over no less than this */
#define OUTFLOW_MIN_MS  10
#define OUTFLOW_UNKNOWN_MS 100
#define OUTFLOW_MAX_MS  5000

typedef struct {
    uint64_t seen;          /* that had left when the measure began */
    int64_t since_us;       /* when it began */
    int64_t each_ns;        /* that one took, by the last measure; 0: unknown */
} outflow_t;

/*  A new measure begins: how long nobody waited before says nothing. `left` is the count so far. */
void outflow_begin (outflow_t *self, uint64_t left, int64_t now_us);

/*  In how many milliseconds `waiting` more will have left: within the limits above. */
uint64_t outflow_ms (outflow_t *self, uint64_t left, size_t waiting, int64_t now_us);

#endif
