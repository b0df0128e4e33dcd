/* SPDX-License-Identifier: MPL-2.0
 *
 *  move.h - a worker goes from a broker that stops to the next, and leaves nothing of the first one's behind. */

#ifndef MOVE_H_INCLUDED
#define MOVE_H_INCLUDED

#include "session.h"

/*  True if there is anything for move_settle to do. */
static inline bool move_is_due (const session_t *self)
{
    return self->other || self->post->standing.stopping;
}

/*  What follows for the other post, after each event: it is opened, becomes the session's own, or is closed. */
void move_settle (session_t *self, const wire_load_t *load);

/*  The worker itself will go: an other post that only was to be is given up. */
void move_stop (session_t *self);

/*  The other post's time; where there is one, as below. */
void move_tick (session_t *self);
int64_t move_next_us (const session_t *self);

/*  Requests of the other post that are open, without streams: they take room that its own broker cannot have. */
size_t move_held (const session_t *self);

#endif
