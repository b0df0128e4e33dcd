/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "grace.h"

#define S  1000000LL

static grace_t grace;

static size_t silences (size_t workers, int64_t from_us, int64_t apart_us)
{
    for (size_t count = 1; count <= workers; count++)
        if (grace_silent (&grace, workers, 3 * S, from_us + (int64_t) count * apart_us))
            return count;
    return 0;
}

TEST (more_than_fifteen_percent_that_fall_silent_within_a_beat_are_a_hush)
{
    grace_init (&grace);
    CHECK_INT (silences (100, 100 * S, 100000), 16);
    grace_init (&grace);
    CHECK_INT (silences (20, 100 * S, 500000), 4);
}

TEST (those_who_go_one_after_another_are_no_hush)
{
    grace_init (&grace);
    CHECK_INT (silences (100, 100 * S, 1 * S), 0); /* four within a beat */
}

TEST (one_alone_is_no_hush_and_two_of_two_are)
{
    grace_init (&grace);
    CHECK (!grace_silent (&grace, 1, 3 * S, 10 * S));
    CHECK (!grace_silent (&grace, 1, 3 * S, 20 * S));
    grace_init (&grace);
    CHECK_INT (silences (2, 10 * S, 1 * S), 2);
}

TEST (a_hush_is_counted_from_nothing_again)
{
    grace_init (&grace);
    CHECK_INT (silences (2, 10 * S, 0), 2);
    grace_begin (&grace, GRACE_HUSH, 10 * S, 10 * S);
    CHECK (!grace_silent (&grace, 2, 3 * S, 11 * S));
    CHECK (grace_silent (&grace, 2, 3 * S, 11 * S));
}

TEST (each_reason_gives_one_ttl_and_has_its_text)
{
    grace_init (&grace);
    CHECK (!grace_text (&grace, 0));
    grace_begin (&grace, GRACE_FRESH, 10 * S, 100 * S);
    CHECK_STR (grace_text (&grace, 110 * S - 1), "the broker has just started");
    CHECK (!grace_text (&grace, 110 * S));
    grace_begin (&grace, GRACE_STALLED, 10 * S, 200 * S);
    CHECK_STR (grace_text (&grace, 200 * S), "the broker was stalled");
    grace_begin (&grace, GRACE_HUSH, 10 * S, 300 * S);
    CHECK_STR (grace_text (&grace, 300 * S), "many workers fell silent at once");
}

TEST (a_broker_warms_up_after_its_start_or_a_stall_only)
{
    grace_init (&grace);
    CHECK (!grace_warming (&grace, 0));
    grace_begin (&grace, GRACE_FRESH, 10 * S, 100 * S);
    CHECK (grace_warming (&grace, 101 * S - 1));
    CHECK (!grace_warming (&grace, 101 * S));
    grace_begin (&grace, GRACE_HUSH, 10 * S, 200 * S);
    CHECK (!grace_warming (&grace, 200 * S));
    grace_begin (&grace, GRACE_STALLED, 10 * S, 300 * S);
    CHECK (grace_warming (&grace, 300 * S));
}
