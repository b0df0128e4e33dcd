/* SPDX-License-Identifier: MPL-2.0
 *
 *  descriptors.c - whose connection each descriptor is; see descriptors.h. */

#include <stdlib.h>
#include <string.h>
#include <weft/limits.h>
#include "deadlines.h"
#include "descriptors.h"

#define SWEEP_US 1000000 /* between two looks for those that are nobody's */

void descriptors_init (descriptors_t *self)
{
    *self = (descriptors_t){0};
}

void descriptors_fini (descriptors_t *self)
{
    free (self->all);
    descriptors_init (self);
}

descriptor_t *descriptors_find (const descriptors_t *self, int fd)
{
    return fd >= 0 && (size_t) fd < self->count ? &self->all [fd] : NULL;
}

static bool grow (descriptors_t *self, size_t least)
{
    const size_t count = 2 * least + 64;
    descriptor_t *grown = realloc (self->all, count * sizeof *grown);

    if (!grown)
        return false;
    memset (grown + self->count, 0, (count - self->count) * sizeof *grown);
    self->all = grown;
    self->count = count;
    return true;
}

void *descriptors_closed (descriptors_t *self, int fd)
{
    descriptor_t *at = descriptors_find (self, fd);
    void *owner = at ? at->owner : NULL;

    if (at)
        *at = (descriptor_t){0};
    return owner;
}

void *descriptors_opened (descriptors_t *self, int fd, int64_t now_us)
{
    void *owner = descriptors_closed (self, fd);

    if (fd < 0 || ((size_t) fd >= self->count && !grow (self, (size_t) fd)))
        return NULL;
    self->all [fd] = (descriptor_t){.open = true, .since_us = now_us};
    self->silent = true;
    return owner;
}

bool descriptors_holds (const descriptors_t *self, int fd, const void *owner)
{
    const descriptor_t *at = descriptors_find (self, fd);
    return at && at->open && at->owner == owner;
}

void descriptors_release (descriptors_t *self, int fd, const void *owner, int64_t now_us)
{
    descriptor_t *at = descriptors_find (self, fd);

    if (!at || at->owner != owner)
        return;
    at->owner = NULL;
    at->since_us = now_us;
    self->silent |= at->open;
}

/*  Goes on where it was when it found the one before. */
int descriptors_take_silent (descriptors_t *self, int64_t now_us)
{
    if (now_us < descriptors_next_us (self))
        return -1;
    if (self->swept == 0)
        self->silent = false;
    while (self->swept < self->count) {
        descriptor_t *at = &self->all [self->swept++];
        if (!at->open || at->owner)
            continue;
        self->silent = true;
        if (now_us - at->since_us < WEFT_SILENCE_MS * 1000LL)
            continue;
        at->open = false;
        return (int) self->swept - 1;
    }
    self->swept = 0;
    self->sweep_us = now_us + SWEEP_US;
    return -1;
}

int64_t descriptors_next_us (const descriptors_t *self)
{
    return self->silent ? self->sweep_us : DEADLINES_NEVER;
}
