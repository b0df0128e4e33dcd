/* SPDX-License-Identifier: MPL-2.0 */

#include "sleeper.h"
#include "check.h"
#include "clock.h"
#include "transport.h"
#include <unistd.h>

#define MS 1000LL

TEST (it_sleeps_until_its_time_and_no_longer)
{
    sleeper_t sleeper;
    CHECK (sleeper_open (&sleeper));
    const int64_t begin_us = clock_now_us ();
    int sleeps = 0;
    for (int64_t until_us = begin_us + 30 * MS; clock_now_us () < until_us; sleeps++)
        CHECK_INT (sleeper_sleep (&sleeper, until_us), 0);
    CHECK_INT (sleeps, 1);
    CHECK_INT (sleeper_sleep (&sleeper, begin_us), 0); /* long over */
    CHECK_INT (sleeper_sleep (&sleeper, 0), 0);
    sleeper_close (&sleeper);
}

TEST (an_earlier_time_is_kept_and_a_later_one_costs_a_wake_up_at_most)
{
    sleeper_t sleeper;
    const int wake = transport_wake_open ();
    CHECK (sleeper_open (&sleeper) && sleeper_add (&sleeper, wake, 1));
    transport_wake (wake);
    const int64_t begin_us = clock_now_us ();
    CHECK_INT (sleeper_sleep (&sleeper, begin_us + 3600000 * MS), 1); /* the alarm is an hour off */
    transport_wake_clear (wake);
    CHECK_INT (sleeper_sleep (&sleeper, begin_us + 20 * MS), 0);
    CHECK (clock_now_us () >= begin_us + 20 * MS && clock_now_us () < begin_us + 60000 * MS);

    const int64_t again_us = clock_now_us ();
    transport_wake (wake);
    CHECK_INT (sleeper_sleep (&sleeper, again_us + 10 * MS), 1);
    transport_wake_clear (wake);
    int sleeps = 0;
    for (; clock_now_us () < again_us + 30 * MS; sleeps++)
        CHECK_INT (sleeper_sleep (&sleeper, again_us + 30 * MS), 0);
    CHECK (sleeps <= 2);
    sleeper_close (&sleeper);
    close (wake);
}

TEST (it_says_who_can_be_read_as_long_as_that_is_so)
{
    sleeper_t sleeper;
    const int a = transport_wake_open (), b = transport_wake_open ();
    CHECK (sleeper_open (&sleeper) && sleeper_add (&sleeper, a, 1) && sleeper_add (&sleeper, b, 2));
    transport_wake (b);
    CHECK_INT (sleeper_sleep (&sleeper, INT64_MAX), 2);
    transport_wake (a);
    CHECK_INT (sleeper_sleep (&sleeper, INT64_MAX), 3);
    transport_wake_clear (b);
    CHECK_INT (sleeper_sleep (&sleeper, INT64_MAX), 1);
    transport_wake_clear (a);
    CHECK_INT (sleeper_sleep (&sleeper, clock_now_us ()), 0);
    sleeper_close (&sleeper);
    close (a);
    close (b);
}
