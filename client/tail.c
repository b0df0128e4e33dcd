/* SPDX-License-Identifier: MPL-2.0 */

#include "tail.h"
#include <string.h>

#define READ_EVERY 16 /* samples; the percentile moves slowly */

/*  Four buckets for each power of two. */
static unsigned bucket_of (int64_t us)
{
    if (us < 4)
        return us > 0 ? (unsigned) us : 0;
    const unsigned power = 63u - (unsigned) __builtin_clzll ((unsigned long long) us);
    const unsigned bucket = (power - 1) * 4 + ((unsigned) (us >> (power - 2)) & 3);
    return bucket < TAIL_BUCKETS ? bucket : TAIL_BUCKETS - 1;
}

/*  The longest time in it. */
static int64_t end_of (unsigned bucket)
{
    if (bucket < 4)
        return bucket;
    const unsigned power = bucket / 4 + 1;
    return ((int64_t) (4 + bucket % 4 + 1) << (power - 2)) - 1;
}

void tail_init (tail_t *self, int64_t now_us)
{
    memset (self, 0, sizeof *self);
    self->halved_us = now_us;
}

static void halve (tail_t *self)
{
    self->count = 0;
    for (unsigned i = 0; i < TAIL_BUCKETS; i++)
        self->count += self->buckets [i] /= 2;
}

static void find (tail_t *self)
{
    uint32_t above = 0;
    unsigned bucket = TAIL_BUCKETS - 1;
    self->unread = 0;
    self->p95_us = 0;
    if (self->count < TAIL_KNOWN_MIN)
        return;
    while (above + self->buckets [bucket] <= self->count / 20)
        above += self->buckets [bucket--];
    self->p95_us = end_of (bucket);
}

static void fade (tail_t *self, int64_t now_us)
{
    int halvings = 0;
    for (; now_us - self->halved_us >= TAIL_HALVE_US && self->count > 0; halvings++) {
        halve (self);
        self->halved_us += TAIL_HALVE_US;
    }
    if (self->count == 0)
        self->halved_us = now_us;
    if (halvings > 0)
        find (self);
}

void tail_note (tail_t *self, int64_t took_us, int64_t now_us)
{
    fade (self, now_us);
    if (self->count >= TAIL_FULL)
        halve (self);
    self->buckets [bucket_of (took_us)]++;
    self->count++;
    if (++self->unread >= READ_EVERY || self->count == TAIL_KNOWN_MIN)
        find (self);
}

void tail_note_given_up (tail_t *self, int64_t after_us, int64_t now_us)
{
    if (after_us > tail_p95_us (self, now_us))
        tail_note (self, after_us, now_us);
}

int64_t tail_p95_us (tail_t *self, int64_t now_us)
{
    fade (self, now_us);
    return self->p95_us;
}
