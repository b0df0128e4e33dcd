/* SPDX-License-Identifier: MPL-2.0
 *
 *  bytes.h - memcpy and memcmp for names and bodies, which are mostly so short that calling a function costs more than the
 *  work. */

#ifndef BYTES_H_INCLUDED
#define BYTES_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*  Two overlapping halves, each of a size that the compiler knows. */
#define BYTES_COPY_HALVES(half)                               \
    do {                                                      \
        uint8_t head [half], tail [half];                     \
        memcpy (head, source, half);                          \
        memcpy (tail, source + size - half, half);            \
        memcpy (target, head, half);                          \
        memcpy (target + size - half, tail, half);            \
    } while (0)

/*  The two do not overlap. */
static inline void bytes_copy (void *to, const void *from, size_t size)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    if (size > 32)
        memcpy (target, source, size);
    else if (size >= 16)
        BYTES_COPY_HALVES (16);
    else if (size >= 8)
        BYTES_COPY_HALVES (8);
    else if (size >= 4)
        BYTES_COPY_HALVES (4);
    else if (size > 0) {
        target [0] = source [0];
        target [size / 2] = source [size / 2];
        target [size - 1] = source [size - 1];
    }
}

static inline bool bytes_equal (const void *a, const void *b, size_t size)
{
    const uint8_t *one = a, *other = b;
    uint64_t one_end, other_end;
    if (size >= 4 && size < 8) {
        uint32_t here [2], there [2];
        memcpy (&here [0], one, 4);
        memcpy (&here [1], one + size - 4, 4);
        memcpy (&there [0], other, 4);
        memcpy (&there [1], other + size - 4, 4);
        return here [0] == there [0] && here [1] == there [1];
    }
    if (size < 8 || size > 32)
        return size == 0 || memcmp (a, b, size) == 0;
    for (size_t i = 0; i + 8 < size; i += 8) {
        uint64_t here, there;
        memcpy (&here, one + i, 8);
        memcpy (&there, other + i, 8);
        if (here != there)
            return false;
    }
    memcpy (&one_end, one + size - 8, 8);
    memcpy (&other_end, other + size - 8, 8);
    return one_end == other_end;
}

#endif
