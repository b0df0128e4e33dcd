/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "shed.h"

#define S  1000000LL
#define MS 1000LL

static shed_t filled (int64_t at_us)
{
    shed_t shed = {0};
    shed_fill (&shed, at_us);
    return shed;
}

TEST (in_a_fresh_queue_a_call_may_wait_until_its_time_is_up)
{
    const shed_t shed = filled (100 * S);
    CHECK_INT (shed_at_us (&shed, 100 * S, 104 * S), 104 * S);
    CHECK_INT (shed_at_us (&shed, 101 * S - 1, 105 * S - 1), 105 * S - 1); /* it will stand, but too late to be of use */
}

TEST (in_a_queue_that_stands_a_call_may_wait_a_quarter_of_its_time)
{
    const shed_t shed = filled (100 * S);
    CHECK_INT (shed_at_us (&shed, 103 * S, 107 * S), 104 * S);  /* as soon as it stands */
    CHECK_INT (shed_at_us (&shed, 104 * S, 108 * S), 105 * S);
    CHECK_INT (shed_at_us (&shed, 900 * S, 904 * S), 901 * S);
    CHECK_INT (shed_at_us (&shed, 101 * S, 105 * S), 104 * S);  /* the last moment at which it leaves a quarter */
}

TEST (who_has_more_time_may_wait_longer_in_the_same_queue)
{
    const shed_t shed = filled (0);
    CHECK_INT (shed_at_us (&shed, 10 * S, 12 * S), 10500 * MS);
    CHECK_INT (shed_at_us (&shed, 10 * S, 70 * S), 70 * S);
    CHECK_INT (shed_at_us (&shed, 60 * S, 120 * S), 75 * S);
}

TEST (a_queue_of_a_moment_ago_does_not_stand_however_little_time_a_call_has)
{
    const shed_t shed = filled (10 * S);
    CHECK_INT (shed_at_us (&shed, 10 * S + 40 * MS, 10 * S + 60 * MS), 10 * S + 60 * MS);
    CHECK_INT (shed_at_us (&shed, 10 * S + 100 * MS, 10 * S + 120 * MS), 10 * S + 105 * MS);
}

TEST (a_call_without_a_deadline_is_not_turned_down)
{
    const shed_t shed = filled (0);
    CHECK_INT (shed_at_us (&shed, 1000 * S, INT64_MAX), INT64_MAX);
}
