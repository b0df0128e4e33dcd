/* SPDX-License-Identifier: MPL-2.0
 *
 *  deadlines.h - who is due next: a heap of nodes embedded in what they time.
 *
 *  Times are microseconds of one monotonic clock. */

#ifndef DEADLINES_H_INCLUDED
#define DEADLINES_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEADLINES_NEVER INT64_MAX

typedef struct {
    int64_t at_us;
    size_t index; /* 1 and up while in the heap; 0: not in it */
} deadline_t;

typedef struct {
    deadline_t **heap;
    size_t count, capacity;
} deadlines_t;

void deadlines_init (deadlines_t *self);
void deadlines_fini (deadlines_t *self);

/*  Room for `count` nodes, so that set cannot fail up to there. */
bool deadlines_reserve (deadlines_t *self, size_t count);

/*  Puts the node in, or moves it. False when out of memory (the node is then not in). */
bool deadlines_set (deadlines_t *self, deadline_t *node, int64_t at_us);

/*  Takes the node out; harmless if it is not in. */
void deadlines_cancel (deadlines_t *self, deadline_t *node);

/*  When the first is due; DEADLINES_NEVER if none. */
int64_t deadlines_next (const deadlines_t *self);

/*  Takes out and returns a node due at `now_us`, or NULL. */
deadline_t *deadlines_pop (deadlines_t *self, int64_t now_us);

#endif
