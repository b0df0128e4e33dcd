/* SPDX-License-Identifier: MPL-2.0 */

#include "arena.h"
#include "check.h"
#include <stdint.h>

TEST (memory_is_zeroed_and_aligned_also_after_a_reset)
{
    arena_t arena;
    arena_init (&arena, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 1; size < 3000; size = size * 2 + 1) {
            uint8_t *memory = arena_alloc (&arena, size);
            CHECK (memory != NULL);
            CHECK_INT ((uintptr_t) memory % _Alignof(max_align_t), 0);
            for (size_t i = 0; i < size; i++)
                CHECK_INT (memory [i], 0);
            memset (memory, 0xff, size);
        }
        arena_reset (&arena);
    }
    arena_fini (&arena);
}

TEST (allocations_do_not_overlap)
{
    arena_t arena;
    uint8_t *pieces [200];
    arena_init (&arena, 1 << 20);
    for (size_t i = 0; i < 200; i++) {
        pieces [i] = arena_alloc (&arena, i * 3);
        memset (pieces [i], (int) i, i * 3);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t j = 0; j < i * 3; j++)
            CHECK_INT (pieces [i][j], i);
    arena_fini (&arena);
}

TEST (nothing_over_the_bound)
{
    arena_t arena;
    arena_init (&arena, 1000);
    CHECK (arena_alloc (&arena, 1001) == NULL);
    CHECK (arena_alloc (&arena, SIZE_MAX) == NULL);
    CHECK (arena_alloc (&arena, 600) != NULL);
    CHECK (arena_alloc (&arena, 600) == NULL);
    CHECK (arena_alloc (&arena, 300) != NULL);
    CHECK (arena.total <= 1000);
    arena_reset (&arena);
    CHECK (arena_alloc (&arena, 1000) != NULL);
    arena_fini (&arena);
    CHECK (arena.blocks == NULL);
}

TEST (reset_keeps_one_block_of_64_kib_at_most)
{
    arena_t arena;
    arena_init (&arena, 1 << 24);
    CHECK (arena_alloc (&arena, 1 << 20) != NULL);
    CHECK (arena_alloc (&arena, 10) != NULL);
    arena_reset (&arena);
    CHECK (arena.total > 0 && arena.total <= 64 * 1024);

    const struct arena_block *kept = arena.blocks;
    for (int i = 0; i < 100; i++) {
        CHECK (arena_alloc (&arena, 1000) != NULL);
        arena_reset (&arena);
        CHECK (arena.blocks == kept);
    }
    arena_fini (&arena);
}
