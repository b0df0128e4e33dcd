/* SPDX-License-Identifier: MPL-2.0
 *
 *  Below 16 each value has its own bucket; above, each power of two is cut into 16. */

#include "histogram.h"

void histogram_init (histogram_t *self)
{
    *self = (histogram_t){.min = UINT64_MAX};
}

static unsigned bucket_of (uint64_t value)
{
    if (value < 16)
        return (unsigned) value;
    const unsigned power = 63 - (unsigned) __builtin_clzll (value); /* 4 and up */
    const unsigned bucket = (power - 3) * 16 + (unsigned) (value >> (power - 4) & 15);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t upper_edge (unsigned bucket)
{
    if (bucket < 16)
        return bucket;
    const unsigned power = bucket / 16 + 3;
    return ((uint64_t) (16 + bucket % 16 + 1) << (power - 4)) - 1;
}

void histogram_add (histogram_t *self, uint64_t value)
{
    self->count++;
    self->sum += value;
    if (value > self->max)
        self->max = value;
    if (value < self->min)
        self->min = value;
    self->buckets [bucket_of (value)]++;
}

void histogram_merge (histogram_t *self, const histogram_t *other)
{
    self->count += other->count;
    self->sum += other->sum;
    if (other->max > self->max)
        self->max = other->max;
    if (other->min < self->min)
        self->min = other->min;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        self->buckets [i] += other->buckets [i];
}

uint64_t histogram_at (const histogram_t *self, double quantile)
{
    const double wanted = quantile * (double) self->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && self->count; i++) {
        seen += self->buckets [i];
        if (seen > 0 && (double) seen >= wanted)
            return upper_edge (i) < self->max ? upper_edge (i) : self->max;
    }
    return self->max;
}
