/* SPDX-License-Identifier: MPL-2.0 */

#include "bell.h"
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include "check.h"
#include "clock.h"
#include "deadlines.h"

TEST (a_bell_rung_before_is_heard_once)
{
    bell_t bell = {0};
    bell_ring (&bell, 1);
    bell_ring (&bell, 2);
    CHECK_INT (bell_wait (&bell, DEADLINES_NEVER), 2);
    CHECK_INT (bell_wait (&bell, clock_now_us ()), 0);
}

TEST (a_bell_that_nobody_rings_is_listened_to_until_its_time)
{
    bell_t bell = {0};
    const int64_t until_us = clock_now_us () + 20000;
    CHECK_INT (bell_wait (&bell, until_us), 0);
    CHECK (clock_now_us () >= until_us);
}

/*  Each bell lives on the listener's stack, and no longer than the wait. */
static _Atomic (bell_t *) there;

static void *listen_often (void *arg)
{
    for (unsigned i = 0; i < 20000; i++) {
        bell_t bell = {0};
        there = &bell;
        const unsigned tune = bell_wait (&bell, DEADLINES_NEVER);
        CHECK_INT (tune, 1 + i % 255);
    }
    return arg;
}

TEST (every_ring_is_heard)
{
    pthread_t listener;
    CHECK_INT (pthread_create (&listener, NULL, listen_often, NULL), 0);
    for (unsigned i = 0; i < 20000; i++) {
        bell_t *bell;
        while (!(bell = atomic_exchange (&there, NULL)))
            sched_yield ();
        bell_ring (bell, 1 + i % 255);
    }
    pthread_join (listener, NULL);
}
