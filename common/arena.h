/* SPDX-License-Identifier: MPL-2.0
 *
 *  arena.h - memory freed all at once; blocks are kept for reuse. */

#ifndef ARENA_H_INCLUDED
#define ARENA_H_INCLUDED

#include <stddef.h>

typedef struct {
    struct arena_block *blocks;
    size_t total, max; /* bytes in blocks */
} arena_t;

void arena_init (arena_t *self, size_t max);
void arena_fini (arena_t *self);

/*  Zeroed memory aligned for anything; NULL over max or out of memory. */
void *arena_alloc (arena_t *self, size_t size);

/*  Frees everything at once but keeps the largest block (up to 64 KiB). */
void arena_reset (arena_t *self);

#endif
