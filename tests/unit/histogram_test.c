/* SPDX-License-Identifier: MPL-2.0
 *
 *  histogram_test.c - counted in buckets, against the sorted values themselves. */

#include "check.h"
#include "dice.h"
#include "histogram.h"
#include <math.h>
#include <stdlib.h>

#define SAMPLES 20000

static uint64_t buckets [HISTOGRAM_BUCKETS (HISTOGRAM_FINE)], other_buckets [HISTOGRAM_BUCKETS (HISTOGRAM_FINE)];
static uint64_t values [SAMPLES];

static const double quantiles [] = {0, 0.001, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1};
#define QUANTILES (sizeof quantiles / sizeof *quantiles)

static int compare (const void *a, const void *b)
{
    const uint64_t *const x = a, *const y = b;
    return (*x > *y) - (*x < *y);
}

/*  The least value at or below which the quantile of all sorted values lie. */
static uint64_t exact_at (double quantile)
{
    const double rank = ceil (quantile * SAMPLES);
    return values [rank < 1 ? 0 : (size_t) rank - 1];
}

/*  Never too small, nor too large by more than a bucket. */
static void check_near (const histogram_t *histogram)
{
    qsort (values, SAMPLES, sizeof *values, compare);
    for (size_t i = 0; i < QUANTILES; i++) {
        const uint64_t exact = exact_at (quantiles [i]), got = histogram_at (histogram, quantiles [i]);
        CHECK (got >= exact);
        CHECK (got - exact <= exact >> histogram->bits);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < SAMPLES; i++)
        sum += values [i];
    CHECK_INT (histogram->count, SAMPLES);
    CHECK_INT (histogram->sum, sum);
    CHECK_INT (histogram->min, values [0]);
    CHECK_INT (histogram->max, values [SAMPLES - 1]);
    CHECK (histogram_mean (histogram) == (double) sum / SAMPLES);
}

/*  Each a different shape of the same range, 1 µs to minutes. */
static uint64_t even (dice_t *dice)
{
    return dice_below (dice, 300 * 1000000);
}

static uint64_t of_any_size (dice_t *dice)
{
    return dice_below (dice, (uint64_t) 1 << dice_below (dice, HISTOGRAM_POWERS + 1));
}

static uint64_t long_tailed (dice_t *dice)
{
    return (uint64_t) (60 / pow (1 - dice_unit (dice), 1.3));
}

static uint64_t two_heaped (dice_t *dice)
{
    return dice_below (dice, 100) ? 80 + dice_below (dice, 40) : 200000 + dice_below (dice, 1000);
}

static uint64_t always_the_same (dice_t *dice)
{
    (void) dice;
    return 12345;
}

static uint64_t (*const shapes []) (dice_t *) = {even, of_any_size, long_tailed, two_heaped, always_the_same};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void check_shapes (unsigned bits)
{
    for (uint64_t seed = 0; seed < SHAPES * 4; seed++) {
        histogram_t histogram;
        dice_t dice;
        dice_init (&dice, seed);
        histogram_init (&histogram, bits, buckets);
        for (size_t i = 0; i < SAMPLES; i++)
            histogram_add (&histogram, values [i] = shapes [seed % SHAPES](&dice));
        check_near (&histogram);
    }
}

TEST (histogram_is_right_within_less_than_a_hundredth)
{
    check_shapes (HISTOGRAM_FINE);
}

TEST (a_coarse_histogram_is_right_within_a_sixteenth)
{
    check_shapes (HISTOGRAM_COARSE);
}

TEST (every_edge_of_every_bucket_is_near)
{
    for (unsigned power = 0; power + 1 < HISTOGRAM_POWERS; power++)
        for (uint64_t place = 0; place < 128; place++)
            for (int off = -1; off <= 1; off++) {
                const uint64_t value = ((uint64_t) 1 << power) + ((place << power) >> 7) + (uint64_t) off;
                histogram_t histogram;
                histogram_init (&histogram, HISTOGRAM_FINE, buckets);
                histogram_add (&histogram, value);
                histogram_add (&histogram, UINT64_MAX / 2); /* in the last bucket: so that max hides nothing */
                const uint64_t got = histogram_at (&histogram, 0.5);
                CHECK (got >= value && got - value <= value >> HISTOGRAM_FINE);
            }
}

TEST (merged_histograms_are_the_histogram_of_all)
{
    histogram_t whole, part;
    dice_t dice;
    dice_init (&dice, 5);
    histogram_init (&whole, HISTOGRAM_FINE, buckets);
    histogram_init (&part, HISTOGRAM_FINE, other_buckets);
    for (size_t i = 0; i < SAMPLES; i++) {
        histogram_add (&part, values [i] = long_tailed (&dice));
        if (dice_below (&dice, 1000) == 0 || i + 1 == SAMPLES) {
            histogram_merge (&whole, &part);
            histogram_clear (&part);
        }
    }
    check_near (&whole);
    histogram_merge (&whole, &part); /* nothing */
    check_near (&whole);
}

TEST (an_empty_histogram_knows_nothing)
{
    histogram_t histogram;
    size_t position = 0;
    uint64_t value, count;
    histogram_init (&histogram, HISTOGRAM_FINE, buckets);
    for (size_t i = 0; i < QUANTILES; i++)
        CHECK_INT (histogram_at (&histogram, quantiles [i]), 0);
    CHECK (histogram_mean (&histogram) == 0);
    CHECK_INT (histogram.count, 0);
    CHECK (!histogram_next (&histogram, &position, &value, &count));
}

TEST (values_beyond_the_range_count_and_are_the_max)
{
    histogram_t histogram;
    histogram_init (&histogram, HISTOGRAM_FINE, buckets);
    for (uint64_t i = 0; i < 10; i++)
        histogram_add (&histogram, ((uint64_t) 1 << 40) + i);
    CHECK_INT (histogram.count, 10);
    CHECK_INT (histogram_at (&histogram, 0.5), ((int64_t) 1 << 40) + 9); /* never too small */
}

TEST (a_walk_meets_every_value_in_order)
{
    histogram_t histogram;
    histogram_init (&histogram, HISTOGRAM_FINE, buckets);
    for (uint64_t i = 0; i < 100; i++)
        histogram_add (&histogram, i % 4 * 7);
    histogram_add (&histogram, 1000001);
    size_t position = 0;
    uint64_t value, count;
    for (uint64_t i = 0; i < 4; i++) {
        CHECK (histogram_next (&histogram, &position, &value, &count));
        CHECK_INT (value, i * 7);
        CHECK_INT (count, 25);
    }
    CHECK (histogram_next (&histogram, &position, &value, &count));
    CHECK_INT (value, 1000001);
    CHECK_INT (count, 1);
    CHECK (!histogram_next (&histogram, &position, &value, &count));
}
