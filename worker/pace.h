/* SPDX-License-Identifier: MPL-2.0
 *
 *  pace.h - how long a method's handler takes, and so where its calls run. Decides; reads no clock. */

#ifndef PACE_H_INCLUDED
#define PACE_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    bool known;
    bool startled;      /* the last one was far off the mean */
    int64_t mean_ns;    /* of late; quick to rise, slow to fall */
} pace_t;

/*  A handler took so long; one has run so long already that others must not wait for its like. */
void pace_note (pace_t *self, int64_t took_us);
void pace_note_slow (pace_t *self);

typedef enum {
    PACE_HERE,  /* at once, on the thread that read it */
    PACE_SOON,  /* when all is read that is there: then pace_share knows */
    PACE_AWAY   /* on another thread */
} pace_place_t;
pace_place_t pace_place (const pace_t *self);

/*  True if `count` calls that wait together, for so long in all, are worth waking another thread. */
bool pace_share (size_t count, int64_t total_ns);

/*  The thread that reads may run what takes no longer. */
int64_t pace_cheap_ns (void);

/*  True when a thread that has run handlers for so long should look at its sockets again. */
bool pace_look_up (int64_t busy_us);

#endif
