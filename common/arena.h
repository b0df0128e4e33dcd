/* SPDX-License-Identifier: MPL-2.0
 *
 *  arena.h - memory freed all at once; blocks are kept for reuse. */

#ifndef ARENA_H_INCLUDED
#define ARENA_H_INCLUDED

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    struct arena_block *blocks;
    unsigned char *at, *end; /* what is left of the first block */
    size_t total, max;       /* bytes in blocks */
    bool starved;            /* there was no memory for the last block that was wanted */
} arena_t;

void arena_init (arena_t *self, size_t max);
void arena_fini (arena_t *self);

/*  Memory aligned for anything, as it comes; NULL over max or out of memory. The slow one is its part for what
 *  is not there. */
void *arena_take_slow (arena_t *self, size_t size);
static inline void *arena_take (arena_t *self, size_t size)
{
    const size_t left = (size_t) (self->end - self->at);
    if (size == 0 || size > left)
        return arena_take_slow (self, size);
    const size_t padded = (size + alignof (max_align_t) - 1) & ~(alignof (max_align_t) - 1);
    void *memory = self->at;
    self->at += padded < left ? padded : left;
    return memory;
}

/*  The same, zeroed. */
void *arena_alloc (arena_t *self, size_t size);

/*  Frees everything at once but keeps the largest block (up to 64 KiB). */
void arena_reset (arena_t *self);

#endif
