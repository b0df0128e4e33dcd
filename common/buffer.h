/* SPDX-License-Identifier: MPL-2.0
 *
 *  buffer.h - bytes that grow, up to a bound. */

#ifndef BUFFER_H_INCLUDED
#define BUFFER_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*  Once `failed` (over max, or no memory: then it has `starved`), appending does nothing more, so a writer may append
 *  a whole record and ask once at the end. */
typedef struct {
    uint8_t *data;
    size_t size, capacity, max; /* in this order, each at most the next */
    bool failed, starved;
} buffer_t;

void buffer_init (buffer_t *self, size_t max);
void buffer_fini (buffer_t *self);

/*  Forgets the content and the failure, keeps the memory. */
static inline void buffer_clear (buffer_t *self)
{
    self->size = 0;
    self->failed = self->starved = false;
}

/*  Cuts back to an earlier size and forgets the failure. */
void buffer_truncate (buffer_t *self, size_t size);

/*  Gives back the memory beyond its content. */
void buffer_trim (buffer_t *self);

/*  Makes room for `size` more bytes at the end and counts them as content; NULL if it failed. Valid until the
 *  next append. The slow one is its part for a buffer that must grow. */
uint8_t *buffer_extend_slow (buffer_t *self, size_t size);
static inline uint8_t *buffer_extend (buffer_t *self, size_t size)
{
    if (size > self->capacity - self->size || self->failed)
        return buffer_extend_slow (self, size);
    uint8_t *at = self->data + self->size;
    self->size += size;
    return at;
}

/*  Appends a copy. */
void buffer_append (buffer_t *self, const void *data, size_t size);

#endif
