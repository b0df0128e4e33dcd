/* SPDX-License-Identifier: MPL-2.0 */

#include "ids.h"
#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 64

struct ids_cell {
    uint64_t id; /* 0: free */
    void *value;
};

void ids_init (ids_t *self)
{
    *self = (ids_t){0};
}

void ids_fini (ids_t *self)
{
    free (self->cells);
    *self = (ids_t){0};
}

/*  Linear probing; the cell of `id`, or the free one where it would go. */
static struct ids_cell *find (const ids_t *self, uint64_t id)
{
    size_t at = (size_t) id & (self->capacity - 1);
    while (self->cells [at].id != 0 && self->cells [at].id != id)
        at = (at + 1) & (self->capacity - 1);
    return &self->cells [at];
}

static bool grow (ids_t *self)
{
    const size_t capacity = self->capacity ? self->capacity * 2 : CAPACITY_MIN;
    ids_t larger = *self;
    larger.cells = calloc (capacity, sizeof *larger.cells);
    if (!larger.cells)
        return false;
    larger.capacity = capacity;
    for (size_t i = 0; i < self->capacity; i++)
        if (self->cells [i].id != 0)
            *find (&larger, self->cells [i].id) = self->cells [i];
    free (self->cells);
    *self = larger;
    return true;
}

uint64_t ids_put (ids_t *self, void *value)
{
    assert (value);
    if ((self->count + 1) * 2 > self->capacity && !grow (self))
        return 0;
    const uint64_t id = ++self->last;
    *find (self, id) = (struct ids_cell){id, value};
    self->count++;
    return id;
}

void *ids_get (const ids_t *self, uint64_t id)
{
    return id != 0 && self->count != 0 ? find (self, id)->value : NULL;
}

/*  Closes the gap at `hole`, so that no search stops there too early. */
static void close_gap (ids_t *self, size_t hole)
{
    const size_t mask = self->capacity - 1;
    for (size_t at = (hole + 1) & mask; self->cells [at].id != 0; at = (at + 1) & mask) {
        const size_t home = (size_t) self->cells [at].id & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            self->cells [hole] = self->cells [at];
            hole = at;
        }
    }
    self->cells [hole] = (struct ids_cell){0, NULL};
}

void *ids_take (ids_t *self, uint64_t id)
{
    if (id == 0 || self->count == 0)
        return NULL;
    struct ids_cell *cell = find (self, id);
    void *value = cell->value;
    if (value) {
        self->count--;
        close_gap (self, (size_t) (cell - self->cells));
    }
    return value;
}
