/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "lease.h"

#define S 1000000LL

static lease_terms_t usual (void)
{
    return lease_terms (10000, 3000);
}

TEST (h4_silence_of_the_ttl_ends_a_lease)
{
    const lease_terms_t terms = usual ();
    lease_t lease = {0};
    CHECK_INT (lease_state (&lease, &terms, 0), LEASE_JOINING);

    lease_begin (&lease, 100 * S);
    CHECK_INT (lease_state (&lease, &terms, 100 * S), LEASE_ALIVE);
    CHECK_INT (lease_tick (&lease, &terms, 110 * S - 1), LEASE_SUSPECTED);
    CHECK_INT (lease_tick (&lease, &terms, 110 * S), LEASE_EVICT);
    CHECK_INT (lease_tick (&lease, &terms, 111 * S), LEASE_NOTHING); /* told once */
    lease_beat (&lease, 111 * S);
    CHECK_INT (lease_state (&lease, &terms, 111 * S), LEASE_DEAD);
}

TEST (h5_beats_in_time_keep_a_lease_for_ever)
{
    const lease_terms_t terms = usual ();
    lease_t lease;
    lease_begin (&lease, 0);
    for (int64_t now = 3 * S; now < 600 * S; now += 3 * S) {
        CHECK_INT (lease_tick (&lease, &terms, now), LEASE_NOTHING);
        lease_beat (&lease, now);
    }
}

TEST (suspicion_lies_between_a_missed_beat_and_the_end)
{
    const lease_terms_t terms = usual ();
    lease_t lease;
    lease_begin (&lease, 0);
    CHECK_INT (lease_next_us (&lease, &terms), 6500000);
    CHECK_INT (lease_tick (&lease, &terms, 6500000 - 1), LEASE_NOTHING);
    CHECK_INT (lease_tick (&lease, &terms, 6500000), LEASE_SUSPECTED);
    CHECK_INT (lease_next_us (&lease, &terms), 10 * S);
    lease_beat (&lease, 9 * S);
    CHECK_INT (lease_state (&lease, &terms, 9 * S), LEASE_ALIVE);
    CHECK_INT (lease_next_us (&lease, &terms), 9 * S + 6500000);
}

TEST (g10_a_lease_is_judged_when_it_is_read)
{
    const lease_terms_t terms = usual ();
    lease_t lease;
    lease_begin (&lease, 0);
    /* no tick between */
    CHECK_INT (lease_state (&lease, &terms, 10 * S - 1), LEASE_SUSPECT);
    CHECK_INT (lease_state (&lease, &terms, 10 * S), LEASE_DEAD);
}

TEST (nobody_dies_unsuspected_however_late_the_look)
{
    const lease_terms_t terms = usual ();
    lease_t lease;
    lease_begin (&lease, 0);
    CHECK_INT (lease_tick (&lease, &terms, 60 * S), LEASE_SUSPECTED);
    CHECK_INT (lease_next_us (&lease, &terms), 10 * S);
    CHECK_INT (lease_tick (&lease, &terms, 60 * S), LEASE_EVICT);
}

TEST (nobody_expires_in_a_grace)
{
    lease_terms_t terms = usual ();
    lease_t lease;
    lease_begin (&lease, 0);
    terms.grace_us = 60 * S;
    CHECK_INT (lease_tick (&lease, &terms, 50 * S), LEASE_SUSPECTED); /* but who is silent gets nothing new */
    CHECK_INT (lease_next_us (&lease, &terms), 60 * S);
    CHECK_INT (lease_tick (&lease, &terms, 60 * S - 1), LEASE_NOTHING);
    CHECK_INT (lease_tick (&lease, &terms, 60 * S), LEASE_EVICT);
}

TEST (silence_counts_from_when_the_broker_listened_again)
{
    lease_terms_t terms = usual ();
    lease_t lease;
    lease_begin (&lease, 0);
    terms.since_us = 60 * S;
    CHECK_INT (lease_tick (&lease, &terms, 60 * S), LEASE_NOTHING);
    CHECK_INT (lease_next_us (&lease, &terms), 66500000);
    CHECK_INT (lease_tick (&lease, &terms, 66500000), LEASE_SUSPECTED);
    CHECK_INT (lease_tick (&lease, &terms, 70 * S - 1), LEASE_NOTHING);
    CHECK_INT (lease_tick (&lease, &terms, 70 * S), LEASE_EVICT);
}
