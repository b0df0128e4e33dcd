/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "outflow.h"

#define S  1000000LL
#define MS 1000LL

TEST (what_waits_is_gone_after_as_long_as_it_takes_at_the_rate_seen)
{
    outflow_t outflow = {0};
    outflow_begin (&outflow, 50, 10 * S);
    CHECK_INT (outflow_ms (&outflow, 50 + 200, 400, 11 * S), 2000); /* 200 a second */
    CHECK_INT (outflow_ms (&outflow, 50 + 200, 100, 11 * S), 500);
}

TEST (a_rate_is_measured_anew_when_there_is_something_new_to_tell)
{
    outflow_t outflow = {0};
    outflow_begin (&outflow, 0, 0);
    CHECK_INT (outflow_ms (&outflow, 10, 10, 1 * S), 1000);
    CHECK_INT (outflow_ms (&outflow, 10, 10, 1 * S + 50 * MS), 1000); /* too soon to tell */
    CHECK_INT (outflow_ms (&outflow, 110, 10, 2 * S), 100);
}

TEST (before_anything_has_left_it_is_a_guess_and_then_ever_longer)
{
    outflow_t outflow = {0};
    outflow_begin (&outflow, 7, 10 * S);
    CHECK_INT (outflow_ms (&outflow, 7, 100, 10 * S + 1 * MS), OUTFLOW_UNKNOWN_MS);
    CHECK_INT (outflow_ms (&outflow, 7, 4, 10 * S + 200 * MS), 800);
    CHECK_INT (outflow_ms (&outflow, 7, 4, 11 * S), 4000);
    CHECK_INT (outflow_ms (&outflow, 7, 4, 60 * S), OUTFLOW_MAX_MS);
}

TEST (a_pause_in_which_nobody_waited_is_not_measured_and_the_last_rate_holds)
{
    outflow_t outflow = {0};
    outflow_begin (&outflow, 0, 0);
    CHECK_INT (outflow_ms (&outflow, 100, 100, 1 * S), 1000);
    outflow_begin (&outflow, 100, 3600 * S);
    CHECK_INT (outflow_ms (&outflow, 100, 100, 3600 * S + 1 * MS), 1000);
}

TEST (it_is_told_within_limits_however_many_wait)
{
    outflow_t outflow = {0};
    outflow_begin (&outflow, 0, 0);
    CHECK_INT (outflow_ms (&outflow, 1000000, 3, 1 * S), OUTFLOW_MIN_MS);
    CHECK_INT (outflow_ms (&outflow, 1000000, 0, 1 * S), OUTFLOW_MIN_MS);
    CHECK_INT (outflow_ms (&outflow, 1000000, SIZE_MAX / 2, 1 * S), OUTFLOW_MAX_MS);
}
