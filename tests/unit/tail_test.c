/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "dice.h"
#include "tail.h"

#define SECOND 1000000LL

static tail_t tail;

/*  The 95th percentile of n even steps up to `longest_us`, seen within a second. */
static int64_t p95_of_steps (int n, int64_t longest_us)
{
    tail_init (&tail, 0);
    for (int i = 1; i <= n; i++)
        tail_note (&tail, longest_us * (i * 37 % n + 1) / n, SECOND * i / n);
    return tail_p95_us (&tail, SECOND);
}

TEST (it_is_never_too_short_and_too_long_by_a_quarter_at_most)
{
    for (int64_t longest_us = 100; longest_us <= 100 * SECOND; longest_us = longest_us * 17 / 10) {
        const int64_t p95_us = p95_of_steps (1000, longest_us);
        CHECK (p95_us >= longest_us * 95 / 100);
        CHECK (p95_us <= longest_us * 95 * 5 / 400 + 1);
    }
}

TEST (fewer_than_twenty_tell_nothing)
{
    tail_init (&tail, 0);
    for (int i = 0; i < 19; i++) {
        tail_note (&tail, 1000, 0);
        CHECK_INT (tail_p95_us (&tail, 0), 0);
    }
    tail_note (&tail, 1000, 0);
    CHECK (tail_p95_us (&tail, 0) >= 1000 && tail_p95_us (&tail, 0) < 1250);
}

TEST (one_in_a_hundred_does_not_show_and_one_in_ten_does)
{
    for (int rare = 0; rare < 2; rare++) {
        tail_init (&tail, 0);
        for (int i = 0; i < 1000; i++)
            tail_note (&tail, i % (rare ? 100 : 10) ? 1000 : 500000, 0);
        if (rare)
            CHECK (tail_p95_us (&tail, 0) < 1250);
        else
            CHECK (tail_p95_us (&tail, 0) >= 500000);
    }
}

TEST (extremes_have_a_place)
{
    tail_init (&tail, 0);
    for (int i = 0; i < 20; i++)
        tail_note (&tail, 0, 0);
    CHECK_INT (tail_p95_us (&tail, 0), 0);
    for (int i = 0; i < 2000; i++)
        tail_note (&tail, INT64_MAX, 0);
    CHECK (tail_p95_us (&tail, 0) >= 235 * SECOND);
    for (int i = 0; i < 40; i++)
        tail_note (&tail, -1, 0);
    CHECK (tail_p95_us (&tail, 0) >= 235 * SECOND);
}

TEST (it_follows_when_a_method_becomes_quicker_or_slower)
{
    int64_t now = 0;
    tail_init (&tail, now);
    for (int i = 0; i < 10000; i++)
        tail_note (&tail, 50000, now += 1000);
    for (int i = 0; i < 10000; i++)
        tail_note (&tail, 1000, now += 1000);
    CHECK (tail_p95_us (&tail, now) >= 1000 && tail_p95_us (&tail, now) < 50000); /* twenty times as many since */
    for (int i = 0; i < 1000; i++)
        tail_note (&tail, 50000, now += 1000);
    CHECK (tail_p95_us (&tail, now) >= 50000);
}

TEST (what_is_long_past_is_forgotten)
{
    tail_init (&tail, 0);
    for (int i = 0; i < 1000; i++)
        tail_note (&tail, 1000, 0);
    CHECK (tail_p95_us (&tail, 4 * TAIL_HALVE_US) > 0);
    CHECK_INT (tail_p95_us (&tail, 8 * TAIL_HALVE_US), 0);
    CHECK_INT (tail_p95_us (&tail, INT64_MAX), 0); /* at once, however long */
}

TEST (attempts_that_are_given_up_keep_the_percentile_from_creeping_down)
{
    dice_t dice;
    int64_t now = 0;
    int given_up [2] = {0}; /* in the first and the second half */
    dice_init (&dice, 1);
    tail_init (&tail, 0);
    for (int i = 0; i < 100000; i++) {
        const int64_t takes_us = 1000 + (int64_t) dice_below (&dice, 99000), p95_us = tail_p95_us (&tail, now += 1000);
        if (p95_us == 0 || takes_us <= p95_us) {
            tail_note (&tail, takes_us, now);
            continue;
        }
        given_up [i / 50000]++;
        tail_note_given_up (&tail, p95_us + 1, now); /* another was quicker */
    }
    CHECK (given_up [0] > 300 && given_up [1] > 300);
    CHECK (given_up [1] < 3500); /* one in twenty of them would be 2500 */
}

TEST (one_that_was_given_up_early_tells_nothing)
{
    tail_init (&tail, 0);
    for (int i = 0; i < 100; i++)
        tail_note (&tail, 1000, 0);
    const int64_t p95_us = tail_p95_us (&tail, 0);
    for (int i = 0; i < 1000; i++)
        tail_note_given_up (&tail, 10, 0);
    CHECK_INT (tail_p95_us (&tail, 0), p95_us);
    CHECK_INT (tail.count, 100);
}
