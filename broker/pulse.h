/* SPDX-License-Identifier: MPL-2.0
 *
 *  pulse.h - what do a worker's beats say of its work? Decides; never sends, never reads a clock.
 *
 *      ALIVE   it could run more
 *      BUSY    all that it can run at once is in use, and calls come to an end
 *      STUCK   its oldest call is older than a bound, and over some beats no call came to an end
 *
 *  Whether it beats at all is told by its lease (lease.h): SUSPECT, DEAD. One call that takes very long looks like one that hangs; so
 *  STUCK is for people to look at, and nothing is taken from a worker for it. Only one that is stuck and *full* gets no new calls while
 *  others take them: they would only wait there. */

#ifndef PULSE_H_INCLUDED
#define PULSE_H_INCLUDED

#include "wire.h"

#define PULSE_STILL_BEATS 2 /* in a row without progress */

typedef enum { PULSE_ALIVE, PULSE_BUSY, PULSE_STUCK } pulse_state_t;

typedef struct {
    pulse_state_t state;
    bool full;              /* no more can run */
    uint64_t progress;      /* of the last beat */
    unsigned still;         /* beats since it moved */
} pulse_t;

/*  Starts, or starts again. */
void pulse_begin (pulse_t *self);

/*  What a beat says. `capacity`: how much it can run at once; 0: unknown. */
void pulse_beat (pulse_t *self, const wire_load_t *load, uint64_t capacity, int64_t bound_us);

static inline bool pulse_hopeless (const pulse_t *self)
{
    return self->state == PULSE_STUCK && self->full;
}

#endif
