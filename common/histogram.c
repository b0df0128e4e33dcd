/* SPDX-License-Identifier: MPL-2.0
 *
 *  A bucket's number is its row (0: the single values; then one for each power of two) and its place in that. */

#include "histogram.h"
#include <assert.h>
#include <string.h>

static size_t bucket_count (const histogram_t *self)
{
    return HISTOGRAM_BUCKETS (self->bits);
}

void histogram_init (histogram_t *self, unsigned bits, uint64_t *buckets)
{
    assert (bits < HISTOGRAM_POWERS);
    *self = (histogram_t){.bits = bits, .buckets = buckets};
    histogram_clear (self);
}

void histogram_clear (histogram_t *self)
{
    self->count = self->sum = self->max = 0;
    self->min = UINT64_MAX;
    memset (self->buckets, 0, bucket_count (self) * sizeof *self->buckets);
}

static size_t bucket_of (const histogram_t *self, uint64_t value)
{
    const unsigned bits = self->bits;
    if (value >> bits == 0)
        return value;
    const unsigned power = 63 - (unsigned) __builtin_clzll (value);
    if (power >= HISTOGRAM_POWERS)
        return bucket_count (self) - 1;
    const uint64_t place = (value >> (power - bits)) - ((uint64_t) 1 << bits);
    return ((size_t) (power - bits + 1) << bits) + place;
}

static uint64_t upper_edge (const histogram_t *self, size_t bucket)
{
    const unsigned bits = self->bits, row = (unsigned) (bucket >> bits);
    if (row == 0)
        return bucket;
    const uint64_t place = bucket - ((size_t) row << bits);
    return ((((uint64_t) 1 << bits) + place + 1) << (row - 1)) - 1;
}

/*  No value of the bucket is larger. */
static uint64_t largest_of (const histogram_t *self, size_t bucket)
{
    const uint64_t edge = upper_edge (self, bucket);
    return edge < self->max && bucket + 1 < bucket_count (self) ? edge : self->max;
}

void histogram_add (histogram_t *self, uint64_t value)
{
    self->count++;
    self->sum += value;
    if (value > self->max)
        self->max = value;
    if (value < self->min)
        self->min = value;
    self->buckets [bucket_of (self, value)]++;
}

void histogram_merge (histogram_t *self, const histogram_t *other)
{
    assert (self->bits == other->bits);
    self->count += other->count;
    self->sum += other->sum;
    if (other->max > self->max)
        self->max = other->max;
    if (other->min < self->min)
        self->min = other->min;
    for (size_t i = 0; i < bucket_count (self); i++)
        self->buckets [i] += other->buckets [i];
}

uint64_t histogram_at (const histogram_t *self, double quantile)
{
    const double wanted = quantile * (double) self->count;
    uint64_t seen = 0, value = 0, count;
    for (size_t position = 0; histogram_next (self, &position, &value, &count);) {
        seen += count;
        if ((double) seen >= wanted)
            break;
    }
    return value;
}

double histogram_mean (const histogram_t *self)
{
    return self->count ? (double) self->sum / (double) self->count : 0;
}

bool histogram_next (const histogram_t *self, size_t *position, uint64_t *value, uint64_t *count)
{
    for (size_t i = *position; i < bucket_count (self); i++)
        if (self->buckets [i]) {
            *position = i + 1;
            *value = largest_of (self, i);
            *count = self->buckets [i];
            return true;
        }
    return false;
}
