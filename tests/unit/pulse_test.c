/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "pulse.h"

#define BOUND_US 10000000LL

static pulse_t pulse;

static pulse_state_t beat (uint64_t in_flight, uint64_t oldest_ms, uint64_t progress)
{
    const wire_load_t load = {in_flight, 4, oldest_ms, progress};
    pulse_beat (&pulse, &load, 4, BOUND_US);
    return pulse.state;
}

TEST (a_worker_is_busy_when_all_it_can_run_is_in_use)
{
    pulse_begin (&pulse);
    CHECK_INT (beat (0, 0, 0), PULSE_ALIVE);
    CHECK_INT (beat (3, 5, 10), PULSE_ALIVE);
    CHECK_INT (beat (4, 5, 20), PULSE_BUSY);
    CHECK_INT (beat (9, 5, 30), PULSE_BUSY);
    CHECK_INT (beat (3, 5, 40), PULSE_ALIVE);
}

TEST (it_is_stuck_when_its_oldest_call_is_old_and_no_call_ends_over_some_beats)
{
    pulse_begin (&pulse);
    CHECK_INT (beat (4, 4000, 7), PULSE_BUSY);
    CHECK_INT (beat (4, 7000, 7), PULSE_BUSY);
    CHECK_INT (beat (4, 9999, 7), PULSE_BUSY);
    CHECK_INT (beat (4, 10000, 7), PULSE_STUCK);
    CHECK (pulse_hopeless (&pulse));
    CHECK_INT (beat (4, 13000, 8), PULSE_BUSY); /* one ended */
    CHECK_INT (beat (4, 16000, 8), PULSE_BUSY);
    CHECK_INT (beat (4, 19000, 8), PULSE_STUCK);
    CHECK_INT (beat (0, 0, 8), PULSE_ALIVE);
}

TEST (an_old_call_beside_others_that_end_is_nothing)
{
    pulse_begin (&pulse);
    for (uint64_t i = 1; i < 20; i++)
        CHECK_INT (beat (2, 3000 * i, i), PULSE_ALIVE);
}

TEST (one_that_is_stuck_but_could_run_more_is_not_hopeless)
{
    pulse_begin (&pulse);
    beat (1, 10000, 7);
    beat (1, 13000, 7);
    CHECK_INT (beat (1, 16000, 7), PULSE_STUCK);
    CHECK (!pulse_hopeless (&pulse));
    CHECK_INT (beat (4, 19000, 7), PULSE_STUCK);
    CHECK (pulse_hopeless (&pulse));
}

TEST (what_a_worker_can_run_need_not_be_known)
{
    const wire_load_t load = {100, 0, 20000, 7};
    pulse_begin (&pulse);
    for (int i = 0; i < 4; i++)
        pulse_beat (&pulse, &load, 0, BOUND_US);
    CHECK_INT (pulse.state, PULSE_STUCK);
    CHECK (!pulse_hopeless (&pulse));
}
