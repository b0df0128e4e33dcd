/* SPDX-License-Identifier: MPL-2.0
 *
 *  A binary heap, counted from 1, whose nodes know their place. In front of it a queue of young nodes, most of which
 *  never see the heap: it always has room for them. */

#include "deadlines.h"
#include <stdlib.h>

void deadlines_init (deadlines_t *self)
{
    *self = (deadlines_t){0};
    list_init (&self->young);
}

void deadlines_fini (deadlines_t *self)
{
    free (self->heap);
    deadlines_init (self);
}

bool deadlines_reserve (deadlines_t *self, size_t count)
{
    if (count < self->capacity)
        return true;
    size_t capacity = self->capacity ? 2 * self->capacity : 64;
    if (capacity <= count)
        capacity = count + 1;
    deadline_t **heap = realloc (self->heap, capacity * sizeof *heap);
    if (!heap)
        return false;
    self->heap = heap;
    self->capacity = capacity;
    return true;
}

static void place (deadlines_t *self, deadline_t *node, size_t index)
{
    self->heap [index] = node;
    node->index = index;
}

/*  Moves the node from the hole at `index` to where it belongs. */
static void settle (deadlines_t *self, deadline_t *node, size_t index)
{
    while (index > 1 && node->at_us < self->heap [index / 2]->at_us) {
        place (self, self->heap [index / 2], index);
        index /= 2;
    }
    for (size_t child; (child = 2 * index) <= self->count; index = child) {
        if (child < self->count && self->heap [child + 1]->at_us < self->heap [child]->at_us)
            child++;
        if (node->at_us <= self->heap [child]->at_us)
            break;
        place (self, self->heap [child], index);
    }
    place (self, node, index);
}

bool deadlines_set (deadlines_t *self, deadline_t *node, int64_t at_us)
{
    if (node->index == 0) {
        list_remove (&self->young, &node->young); /* there is room for it already */
        if (!deadlines_reserve (self, self->count + self->young.count + 1))
            return false;
        node->index = ++self->count;
    }
    node->at_us = at_us;
    settle (self, node, node->index);
    return true;
}

static deadline_t *oldest_young (const deadlines_t *self)
{
    list_node_t *node = list_first (&self->young);
    return node ? CONTAINER_OF (node, deadline_t, young) : NULL;
}

/*  Those that are young no more take their places. */
static void age (deadlines_t *self, int64_t now_us)
{
    deadline_t *node;
    while ((node = oldest_young (self)) && node->young_us <= now_us) {
        list_remove (&self->young, &node->young);
        settle (self, node, ++self->count);
    }
}

void deadlines_leave_heap (deadlines_t *self, deadline_t *node)
{
    deadline_t *last = self->heap [self->count--];
    if (last != node)
        settle (self, last, node->index);
    node->index = 0;
}

int64_t deadlines_next (const deadlines_t *self)
{
    const int64_t first_us = self->count ? self->heap [1]->at_us : DEADLINES_NEVER;
    const deadline_t *young = oldest_young (self);
    return young && young->young_us < first_us ? young->young_us : first_us;
}

deadline_t *deadlines_pop (deadlines_t *self, int64_t now_us)
{
    age (self, now_us);
    if (self->count == 0 || self->heap [1]->at_us > now_us)
        return NULL;
    deadline_t *node = self->heap [1];
    deadlines_cancel (self, node);
    return node;
}
