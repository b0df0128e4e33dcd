/* SPDX-License-Identifier: MPL-2.0
 *
 *  ids.h - open things under ids that grow, are never 0 and never used twice.
 *
 *  What PROTOCOL.md asks of request ids. An id has one cell, by its lowest bits, and one whose cell is still
 *  taken is left out: so each lookup is one step, whatever is open and for how long. */

#ifndef IDS_H_INCLUDED
#define IDS_H_INCLUDED

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t id; /* 0: free */
    void *value;
} ids_cell_t;

typedef struct {
    ids_cell_t *cells;
    size_t count, capacity;
    uint64_t last; /* id given out last */
} ids_t;

void ids_init (ids_t *self);
void ids_fini (ids_t *self);

static inline ids_cell_t *ids_cell (const ids_t *self, uint64_t id)
{
    return &self->cells [(size_t) id & (self->capacity - 1)];
}

/*  Puts `value` (not NULL) in under the next id; 0 when out of memory. */
bool ids_grow (ids_t *self);
static inline uint64_t ids_put (ids_t *self, void *value)
{
    assert (value);
    if ((self->count + 1) * 2 > self->capacity && !ids_grow (self))
        return 0;
    ids_cell_t *cell;
    do
        cell = ids_cell (self, ++self->last);
    while (cell->id != 0);
    *cell = (ids_cell_t){self->last, value};
    self->count++;
    return self->last;
}

/*  NULL when the id is not open. */
static inline void *ids_get (const ids_t *self, uint64_t id)
{
    if (id == 0 || self->count == 0)
        return NULL;
    const ids_cell_t *cell = ids_cell (self, id);
    return cell->id == id ? cell->value : NULL;
}

static inline void *ids_take (ids_t *self, uint64_t id)
{
    void *value = ids_get (self, id);
    if (value) {
        *ids_cell (self, id) = (ids_cell_t){0};
        self->count--;
    }
    return value;
}

#endif
