/* SPDX-License-Identifier: MPL-2.0
 *
 *  ids.h - open things under ids that grow, are never 0 and never used twice.
 *
 *  What PROTOCOL.md asks of request ids. An id has one cell, by its lowest bits, and one whose cell is still
 *  taken is left out: so each lookup is one step, whatever is open and for how long. */

#ifndef IDS_H_INCLUDED
#define IDS_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    struct ids_cell *cells;
    size_t count, capacity;
    uint64_t last; /* id given out last */
} ids_t;

void ids_init (ids_t *self);
void ids_fini (ids_t *self);

/*  Puts `value` (not NULL) in under the next id; 0 when out of memory. */
uint64_t ids_put (ids_t *self, void *value);

/*  NULL when the id is not open. */
void *ids_get (const ids_t *self, uint64_t id);
void *ids_take (ids_t *self, uint64_t id);

#endif
