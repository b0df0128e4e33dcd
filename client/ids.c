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

static struct ids_cell *cell_of (const ids_t *self, uint64_t id)
{
    return &self->cells [(size_t) id & (self->capacity - 1)];
}

/*  What shared no cell before shares none among twice as many. */
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
            *cell_of (&larger, self->cells [i].id) = self->cells [i];
    free (self->cells);
    *self = larger;
    return true;
}

uint64_t ids_put (ids_t *self, void *value)
{
    assert (value);
    if ((self->count + 1) * 2 > self->capacity && !grow (self))
        return 0;
    struct ids_cell *cell;
    do
        cell = cell_of (self, ++self->last);
    while (cell->id != 0);
    *cell = (struct ids_cell){self->last, value};
    self->count++;
    return self->last;
}

void *ids_get (const ids_t *self, uint64_t id)
{
    if (id == 0 || self->count == 0)
        return NULL;
    const struct ids_cell *cell = cell_of (self, id);
    return cell->id == id ? cell->value : NULL;
}

void *ids_take (ids_t *self, uint64_t id)
{
    void *value = ids_get (self, id);
    if (value) {
        *cell_of (self, id) = (struct ids_cell){0};
        self->count--;
    }
    return value;
}
