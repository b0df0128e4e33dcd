/* SPDX-License-Identifier: MPL-2.0
 *
 *  input.h - a fuzzer's bytes read as choices: what to do next, to whom, with which values. At the end all choices are 0. */

#ifndef INPUT_H_INCLUDED
#define INPUT_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *at, *end;
} input_t;

static inline input_t input_of (const uint8_t *data, size_t size)
{
    return (input_t){data, data + size};
}

static inline size_t input_left (const input_t *self)
{
    return (size_t) (self->end - self->at);
}

static inline uint8_t input_byte (input_t *self)
{
    return self->at < self->end ? *self->at++ : 0;
}

/*  0 … below - 1; `below` at most 256. */
static inline unsigned input_below (input_t *self, unsigned below)
{
    return input_byte (self) % below;
}

/*  A number of any size: mostly small, or a power of two. */
static inline uint64_t input_number (input_t *self)
{
    const uint8_t first = input_byte (self);
    if (first < 192)
        return first;
    if (first < 240)
        return (uint64_t) 1 << (first - 192);
    uint64_t number = 0;
    for (unsigned i = 0; i < first % 8u + 1; i++)
        number = number << 8 | input_byte (self);
    return number;
}

/*  Bytes as they are, at most 255 of them; a view of the input. */
static inline const uint8_t *input_bytes (input_t *self, size_t *size)
{
    const size_t wanted = input_byte (self), left = input_left (self);
    const uint8_t *at = self->at;
    *size = wanted < left ? wanted : left;
    self->at += *size;
    return at;
}

/*  Says that the game is over, and what is left is to judge it: memory that had run out (see ../oom) is back. */
__attribute__ ((weak)) void memory_is_back (void);
static inline void input_over (void)
{
    if (memory_is_back)
        memory_is_back ();
}

/*  What libFuzzer calls. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#endif
