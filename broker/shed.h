/* SPDX-License-Identifier: MPL-2.0
 *
 *  shed.h - how long may a call wait in a queue? Decides; never sends, never reads a clock.
 *
 *      EMPTY --a call waits--> FRESH --not empty for as long as a caller has time--> STANDING
 *        ^-----------------------'------------------- all have gone -------------------'
 *
 *  A queue is there for bursts: it fills, and it drains. One that stands does no good: it makes all wait, and when the wait has grown as
 *  long as callers have time, workers do only what nobody waits for any more. So in a fresh queue a call may wait until its time is up; in
 *  one that stands, for a quarter of its time. Then it is turned down, while there is time to try again, elsewhere or later.
 *
 *  All measure is the caller's own time. Who has a minute may stand in a queue for longer than who has a second; a burst that drains
 *  before its callers run out of time costs none of them anything; and when queues are short nothing is ever turned down, however fast
 *  calls come. That a queue is judged by how long it has not been empty, and then by how long calls stay in it, not by its length, is
 *  the idea of controlled delay (CoDel) and of the queue timeouts made from it for servers. */

#ifndef SHED_H_INCLUDED
#define SHED_H_INCLUDED

#include <stdbool.h>
#include <stdint.h>

#define SHED_SHARE       4      /* of a call's time it may wait one part in so many, in a queue that stands */
#define SHED_STANDING_US 100000 /* a queue that has not been empty for less than this does not stand */

typedef struct {
    int64_t filled_us;          /* since when it has not been empty */
    bool off;                   /* a queue that is not one for workers: nobody is turned down */
} shed_t;

/*  The first call begins to wait. */
void shed_fill (shed_t *self, int64_t now_us);

/*  When a call is to be turned down that arrived then, has time until `deadline_us` and joins the queue: at its deadline (INT64_MAX:
 *  it has none), or earlier if the queue stands by then and a good part of its time is left. */
int64_t shed_at_us (const shed_t *self, int64_t arrived_us, int64_t deadline_us);

#endif
