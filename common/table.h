/* SPDX-License-Identifier: MPL-2.0
 *
 *  table.h - values under byte keys: open addressing, keys copied. */

#ifndef TABLE_H_INCLUDED
#define TABLE_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    struct table_entry *entries;
    size_t count, used, capacity; /* used: with tombstones */
    uint64_t seed;                /* of the hash: a peer that knows no seed cannot make collisions */
} table_t;

void table_init (table_t *self, uint64_t seed);
void table_fini (table_t *self); /* values are the owner's */

/*  Stores value (not NULL), replacing. False when out of memory. */
bool table_put (table_t *self, const void *key, size_t size, void *value);
void *table_get (const table_t *self, const void *key, size_t size);
void *table_take (table_t *self, const void *key, size_t size);

/*  Walks in no order: start with *position = 0; NULL at the end. Entries may be taken out meanwhile. */
void *table_next (const table_t *self, size_t *position);

/*  The hash it uses. */
uint64_t table_hash (uint64_t seed, const void *key, size_t size);

#endif
