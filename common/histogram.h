/* SPDX-License-Identifier: MPL-2.0
 *
 *  histogram.h - durations counted in buckets of one relative width (HDR style), in memory that is fixed
 *  beforehand.
 *
 *  Values below 2^bits have a bucket each; above, each power of two is cut into 2^bits. So a value's bucket is
 *  never wider than value / 2^bits, from nothing up to 2^HISTOGRAM_POWERS - 1; what is larger shares the
 *  last bucket. No function allocates, and none fails. */

#ifndef HISTOGRAM_H_INCLUDED
#define HISTOGRAM_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_POWERS 37 /* in microseconds: 38 hours, more than any call may take */

/*  How fine: 1/16 where there are many histograms, 1/128 (less than 1 %) where there are few. */
#define HISTOGRAM_COARSE 4
#define HISTOGRAM_FINE   7
#define HISTOGRAM_BUCKETS(bits) ((size_t) (HISTOGRAM_POWERS - (bits) + 1) << (bits))

typedef struct {
    uint64_t count, sum, max, min; /* exact; min is UINT64_MAX while empty */
    unsigned bits;
    uint64_t *buckets;
} histogram_t;

/*  Empty. `buckets` has HISTOGRAM_BUCKETS (bits), is the caller's, and is used for the histogram's life. */
void histogram_init (histogram_t *self, unsigned bits, uint64_t *buckets);

/*  Empty again. */
void histogram_clear (histogram_t *self);

void histogram_add (histogram_t *self, uint64_t value);

/*  Adds all of `other`, which has as many bits. */
void histogram_merge (histogram_t *self, const histogram_t *other);

/*  The value below or at which the `quantile` (0 to 1) of all lie, to the bucket's upper edge: never too
 *  small, too large by at most value / 2^bits, never above max. 0 when empty. */
uint64_t histogram_at (const histogram_t *self, double quantile);

/*  0 when empty. */
double histogram_mean (const histogram_t *self);

/*  Walks the buckets that hold something, upwards: start with *position = 0. `value` is the bucket's upper
 *  edge, of the last one max. False at the end. */
bool histogram_next (const histogram_t *self, size_t *position, uint64_t *value, uint64_t *count);

#endif
