/* SPDX-License-Identifier: MPL-2.0
 *
 *  histogram.h - durations counted in buckets of 1/16 relative width (HDR style), fixed memory. */

#ifndef HISTOGRAM_H_INCLUDED
#define HISTOGRAM_H_INCLUDED

#include <stdint.h>

#define HISTOGRAM_BUCKETS 768 /* up to 2^47 */

typedef struct {
    uint64_t count, sum, max, min;
    uint64_t buckets [HISTOGRAM_BUCKETS];
} histogram_t;

void histogram_init (histogram_t *self);
void histogram_add (histogram_t *self, uint64_t value);
void histogram_merge (histogram_t *self, const histogram_t *other);

/*  The value below or at which the `quantile` (0 to 1) of all lie, to the bucket's upper edge, never above max. 0 when empty. */
uint64_t histogram_at (const histogram_t *self, double quantile);

#endif
