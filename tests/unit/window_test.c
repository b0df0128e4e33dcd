/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "window.h"

#define MS 1000

static window_t window_of (uint64_t lanes, uint64_t room)
{
    window_t window;
    window_init (&window, lanes, room);
    return window;
}

/*  Calls come and end in rounds of `open`, each after the same wait; time passes so slowly that nothing is idle. */
static void rounds (window_t *self, int count, uint64_t open, int64_t waited_us)
{
    for (int i = 0; i < count; i++) {
        for (uint64_t call = 1; call <= open; call++)
            window_came (self, call, i);
        for (uint64_t call = 1; call <= open; call++)
            window_ended (self, waited_us, waited_us, i);
    }
}

/*  The broker fills whatever it is given. */
static void filled_rounds (window_t *self, int count, int64_t waited_us)
{
    for (int i = 0; i < count; i++)
        rounds (self, 1, window_size (self, 0), waited_us);
}

TEST (it_begins_at_twice_what_runs_at_once)
{
    CHECK_INT (window_of (1, 10000).size, 4);
    CHECK_INT (window_of (8, 10000).size, 16);
}

TEST (quick_calls_that_fill_it_widen_it_up_to_the_limit)
{
    window_t window = window_of (2, 10000);
    filled_rounds (&window, 1, 0);
    CHECK_INT (window_size (&window, 0), 8);
    filled_rounds (&window, 1, 100);
    CHECK_INT (window_size (&window, 0), 16);
    filled_rounds (&window, 20, 100);
    CHECK_INT (window_size (&window, 0), WINDOW_MAX);
}

TEST (calls_that_wait_do_not_widen_it)
{
    window_t window = window_of (2, 10000);
    filled_rounds (&window, 20, 700);
    CHECK_INT (window_size (&window, 0), 4);
}

TEST (a_window_that_the_broker_does_not_need_is_not_widened)
{
    window_t window = window_of (2, 10000);
    rounds (&window, 500, 2, 0);
    CHECK_INT (window_size (&window, 0), 16); /* others may be on their way */
}

TEST (one_that_is_hardly_used_shrinks)
{
    window_t window = window_of (2, 10000);
    filled_rounds (&window, 20, 0);
    rounds (&window, 2000, 16, 0);
    CHECK_INT (window_size (&window, 0), 256);
}

TEST (waiting_halves_it_and_waiting_long_ends_it_at_once)
{
    window_t window = window_of (2, 10000);
    filled_rounds (&window, 20, 0);
    filled_rounds (&window, 1, 2 * MS);
    CHECK_INT (window_size (&window, 0), WINDOW_MAX / 2);
    window_ended (&window, 6 * MS, 6 * MS, 1);
    CHECK_INT (window_size (&window, 0), 4);
}

TEST (calls_that_run_long_do_not_widen_it_though_none_waits)
{
    window_t window = window_of (2, 10000);
    for (int i = 0; i < 100; i++) {
        window_came (&window, 4, i);
        window_ended (&window, 0, 100 * MS, i);
    }
    CHECK_INT (window_size (&window, 0), 4);
}

TEST (one_call_of_a_round_that_waited_counts)
{
    window_t window = window_of (2, 10000);
    filled_rounds (&window, 3, 0);
    CHECK_INT (window_size (&window, 0), 32);
    window_ended (&window, 2 * MS, 2 * MS, 3);
    filled_rounds (&window, 1, 0);
    CHECK_INT (window_size (&window, 0), 16);
}

TEST (after_a_pause_it_begins_anew)
{
    window_t window = window_of (2, 10000);
    filled_rounds (&window, 20, 0);
    window_tick (&window, 999 * MS);
    CHECK_INT (window_size (&window, 0), WINDOW_MAX);
    window_tick (&window, 1001 * MS);
    CHECK_INT (window_size (&window, 0), 4);
}

TEST (it_leaves_half_of_a_short_queue_to_direct_callers)
{
    window_t window = window_of (2, 100);
    filled_rounds (&window, 20, 0);
    CHECK_INT (window_size (&window, 0), 50);
    CHECK_INT (window_of (2, 3).size, 4);
}

TEST (lanes_that_hang_count_for_nothing)
{
    window_t window = window_of (4, 10000);
    filled_rounds (&window, 20, 0);
    CHECK_INT (window_size (&window, 1), 6);
    CHECK_INT (window_size (&window, 3), 4);
    CHECK_INT (window_size (&window, 4), 0);
    CHECK_INT (window_size (&window, 0), WINDOW_MAX);
}
