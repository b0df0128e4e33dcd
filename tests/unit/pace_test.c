/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "pace.h"

static pace_t known (int64_t took_us)
{
    pace_t pace = {0};
    for (int i = 0; i < 100; i++)
        pace_note (&pace, took_us);
    return pace;
}

TEST (what_nobody_knows_is_run_where_it_was_read)
{
    const pace_t pace = {0};
    CHECK_INT (pace_place (&pace), PACE_HERE);
}

TEST (how_long_it_took_says_where_it_runs)
{
    pace_t trivial = known (0), short_one = known (20), slow = known (150);
    CHECK_INT (pace_place (&trivial), PACE_HERE);
    CHECK_INT (pace_place (&short_one), PACE_SOON);
    CHECK_INT (pace_place (&slow), PACE_AWAY);
}

TEST (one_call_is_enough_to_know_a_slow_method)
{
    pace_t pace = {0};
    pace_note (&pace, 100000);
    CHECK_INT (pace_place (&pace), PACE_AWAY);
}

TEST (one_call_that_took_long_does_not_make_a_quick_method_slow_but_several_do)
{
    pace_t pace = known (1);
    pace_note (&pace, 4000);
    CHECK_INT (pace_place (&pace), PACE_HERE);
    pace_note (&pace, 1);
    pace_note (&pace, 4000);
    CHECK_INT (pace_place (&pace), PACE_HERE);
    pace_note (&pace, 4000);
    pace_note (&pace, 4000);
    CHECK_INT (pace_place (&pace), PACE_AWAY);
}

TEST (a_slow_method_that_became_quick_is_believed_after_a_while)
{
    pace_t pace = known (100000);
    int calls = 0;
    while (pace_place (&pace) != PACE_HERE) {
        pace_note (&pace, 0);
        calls++;
    }
    CHECK (calls > 100);
    CHECK (calls < 400);
}

TEST (one_that_still_runs_is_known_to_be_slow_before_it_ends)
{
    pace_t pace = known (1);
    pace_note_slow (&pace);
    CHECK_INT (pace_place (&pace), PACE_AWAY);
    pace = known (100000);
    const int64_t before_ns = pace.mean_ns;
    pace_note_slow (&pace);
    CHECK_INT (pace.mean_ns, before_ns);
}

TEST (a_clock_of_microseconds_is_fine_enough)
{
    pace_t pace = {0};
    for (int i = 0; i < 1000; i++) {
        pace_note (&pace, i % 3 == 0);
        CHECK_INT (pace_place (&pace), PACE_HERE);
    }
}

TEST (much_work_is_shared_and_a_lone_call_never)
{
    CHECK (!pace_share (1, 90000));
    CHECK (!pace_share (2, 40000));
    CHECK (pace_share (3, 60000));
    CHECK (!pace_look_up (100) && pace_look_up (200));
}
