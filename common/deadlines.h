/* SPDX-License-Identifier: MPL-2.0
 *
 *  deadlines.h - who is due next: a heap of nodes embedded in what they time.
 *
 *  Times are microseconds of one monotonic clock. */

#ifndef DEADLINES_H_INCLUDED
#define DEADLINES_H_INCLUDED

#include "list.h"
#include <stdint.h>

#define DEADLINES_NEVER INT64_MAX
#define DEADLINES_YOUNG_US 50000 /* see deadlines_set_lazily */

typedef struct {
    int64_t at_us;
    size_t index;       /* 1 and up while in the heap; 0: not in it */
    int64_t young_us;   /* until then it may stay in `young` */
    list_node_t young;
} deadline_t;

typedef struct {
    deadline_t **heap;
    size_t count, capacity;
    list_t young;       /* not in the heap yet, the oldest first */
} deadlines_t;

void deadlines_init (deadlines_t *self);
void deadlines_fini (deadlines_t *self);

/*  Room for `count` nodes, so that set cannot fail up to there. */
bool deadlines_reserve (deadlines_t *self, size_t count);

/*  Puts the node in, or moves it. False when out of memory (the node is then not in). */
bool deadlines_set (deadlines_t *self, deadline_t *node, int64_t at_us);

/*  Puts in a node that is not in, as set does, but cheaply for one that will most likely be cancelled long before it is due, like
 *  the deadline of a call: it finds its place in the heap only if it is still there after a while. `now_us` never goes back. */
static inline bool deadlines_set_lazily (deadlines_t *self, deadline_t *node, int64_t at_us, int64_t now_us)
{
    if (at_us <= now_us + DEADLINES_YOUNG_US)
        return deadlines_set (self, node, at_us);
    if (self->count + self->young.count + 1 >= self->capacity
        && !deadlines_reserve (self, self->count + self->young.count + 1))
        return false;
    node->at_us = at_us;
    node->young_us = now_us + DEADLINES_YOUNG_US;
    list_push (&self->young, &node->young);
    return true;
}

/*  Takes the node out; harmless if it is not in. */
void deadlines_leave_heap (deadlines_t *self, deadline_t *node);
static inline void deadlines_cancel (deadlines_t *self, deadline_t *node)
{
    list_remove (&self->young, &node->young);
    if (node->index != 0)
        deadlines_leave_heap (self, node);
}

/*  When pop is wanted at the latest: the first is not due before, but perhaps later. DEADLINES_NEVER: none is in. */
int64_t deadlines_next (const deadlines_t *self);

/*  Takes out and returns a node due at `now_us`, or NULL. */
deadline_t *deadlines_pop (deadlines_t *self, int64_t now_us);

#endif
