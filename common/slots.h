/* SPDX-License-Identifier: MPL-2.0
 *
 *  slots.h - a table of open things under ids that are never reused: slot and generation.
 *
 *  An id that was taken out, or never given, or forged, finds nothing. */

#ifndef SLOTS_H_INCLUDED
#define SLOTS_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    struct slots_entry *entries;
    uint32_t count, capacity, max, free_head, free_tail;
} slots_t;

void slots_init (slots_t *self, uint32_t max);
void slots_fini (slots_t *self);

/*  Puts `value` (not NULL) in; its id, or 0 when full or out of memory. Ids of one slot grow. */
uint64_t slots_put (slots_t *self, void *value);
void *slots_get (const slots_t *self, uint64_t id);
void *slots_take (slots_t *self, uint64_t id);

/*  Walks the values: start with *position = 0; NULL at the end. Values may be taken out meanwhile. */
void *slots_next (const slots_t *self, uint32_t *position);

#endif
