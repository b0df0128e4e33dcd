/* SPDX-License-Identifier: MPL-2.0 */

#include "arena.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_FIRST 4096
#define BLOCK_KEPT  (64 * 1024)

/*  The first block of the list is the one that is being filled. */
struct arena_block {
    struct arena_block *next;
    size_t size;
    alignas (max_align_t) uint8_t memory [];
};

void arena_init (arena_t *self, size_t max)
{
    *self = (arena_t){.max = max};
}

static void free_blocks (struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free (block);
        block = next;
    }
}

void arena_fini (arena_t *self)
{
    free_blocks (self->blocks);
    *self = (arena_t){.max = self->max};
}

static void fill (arena_t *self, struct arena_block *block)
{
    self->at = block ? block->memory : NULL;
    self->end = block ? block->memory + block->size : NULL;
}

/*  A block that holds `needed` bytes at least, and more if the bound allows: each twice the last, up to the
 *  size that is kept. */
static bool add_block (arena_t *self, size_t needed)
{
    const size_t left = self->max - self->total;
    if (needed > left) {
        self->starved = false;
        return false;
    }

    size_t size = self->blocks ? 2 * self->blocks->size : BLOCK_FIRST;
    if (size > BLOCK_KEPT)
        size = BLOCK_KEPT;
    if (size > left)
        size = left;
    if (size < needed)
        size = needed;

    struct arena_block *block = malloc (sizeof *block + size);
    self->starved = !block;
    if (!block)
        return false;
    *block = (struct arena_block){.next = self->blocks, .size = size};
    self->blocks = block;
    self->total += size;
    fill (self, block);
    return true;
}

void *arena_take_slow (arena_t *self, size_t size)
{
    if (size > self->max)
        return NULL;
    if (size == 0)
        size = 1;
    if (size > (size_t) (self->end - self->at) && !add_block (self, size))
        return NULL;
    return arena_take (self, size);
}

void *arena_alloc (arena_t *self, size_t size)
{
    void *memory = arena_take (self, size);
    return memory ? memset (memory, 0, size ? size : 1) : NULL;
}

static void keep_largest (arena_t *self)
{
    struct arena_block *kept = NULL, *next;
    for (struct arena_block *block = self->blocks; block; block = next) {
        next = block->next;
        block->next = NULL;
        if (block->size <= BLOCK_KEPT && (!kept || block->size > kept->size)) {
            free (kept);
            kept = block;
        } else
            free (block);
    }
    self->blocks = kept;
    self->total = kept ? kept->size : 0;
    fill (self, kept);
}

void arena_reset (arena_t *self)
{
    struct arena_block *block = self->blocks;
    if (!block)
        return;
    if (!block->next && block->size <= BLOCK_KEPT)
        self->at = block->memory;
    else
        keep_largest (self);
}
