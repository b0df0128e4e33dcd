/* SPDX-License-Identifier: MPL-2.0 */

#include "ids.h"
#include <stdlib.h>

#define CAPACITY_MIN 64

void ids_init (ids_t *self)
{
    *self = (ids_t){0};
}

void ids_fini (ids_t *self)
{
    free (self->cells);
    *self = (ids_t){0};
}

/*  What shared no cell before shares none among twice as many. */
bool ids_grow (ids_t *self)
{
    const size_t capacity = self->capacity ? self->capacity * 2 : CAPACITY_MIN;
    ids_t larger = *self;
    larger.cells = calloc (capacity, sizeof *larger.cells);
    if (!larger.cells)
        return false;
    larger.capacity = capacity;
    for (size_t i = 0; i < self->capacity; i++)
        if (self->cells [i].id != 0)
            *ids_cell (&larger, self->cells [i].id) = self->cells [i];
    free (self->cells);
    *self = larger;
    return true;
}
