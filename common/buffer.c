/* SPDX-License-Identifier: MPL-2.0 */

#include "buffer.h"
#include <stdlib.h>
#include <string.h>
#include "bytes.h"

#define CAPACITY_MIN 256

void buffer_init (buffer_t *self, size_t max)
{
    *self = (buffer_t){.max = max};
}

void buffer_fini (buffer_t *self)
{
    free (self->data);
    *self = (buffer_t){0};
}

void buffer_truncate (buffer_t *self, size_t size)
{
    if (size < self->size)
        self->size = size;
    self->failed = self->starved = false;
}

void buffer_trim (buffer_t *self)
{
    uint8_t *data = self->size && self->size < self->capacity ? realloc (self->data, self->size) : NULL;

    if (!data)
        return; /* nothing to give back, or it cannot be done */
    self->data = data;
    self->capacity = self->size;
}

static bool grow (buffer_t *self, size_t needed)
{
    size_t capacity = self->capacity <= self->max / 2 ? 2 * self->capacity : self->max;
    if (capacity < needed)
        capacity = needed; /* something large at once: most likely it is all */
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    if (capacity > self->max)
        capacity = self->max;

    uint8_t *data = realloc (self->data, capacity);
    if (!data)
        return false;
    self->data = data;
    self->capacity = capacity;
    return true;
}

uint8_t *buffer_extend_slow (buffer_t *self, size_t size)
{
    if (self->failed)
        return NULL;
    self->failed = size > self->max - self->size;
    self->starved = !self->failed && !grow (self, self->size + size);
    self->failed = self->failed || self->starved;
    if (self->failed)
        return NULL;
    uint8_t *at = self->data + self->size;
    self->size += size;
    return at;
}

void buffer_append (buffer_t *self, const void *data, size_t size)
{
    if (size == 0)
        return;
    uint8_t *at = buffer_extend (self, size);
    if (at)
        bytes_copy (at, data, size);
}
