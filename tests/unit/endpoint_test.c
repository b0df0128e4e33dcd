/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "endpoint.h"

#define SECOND 1000000LL

static endpoints_t endpoints;
static dice_t dice;

static endpoint_t *make (const char *uuid)
{
    endpoints_init (&endpoints, 1);
    dice_init (&dice, 1);
    endpoint_t *endpoint = endpoints_add (&endpoints, uuid);
    endpoint_update (endpoint, 1, 2, ENDPOINT_ALIVE, (const char *[]){"tcp://a:1"}, 1);
    return endpoint;
}

static bool all (const char *address, void *arg)
{
    (void) address, (void) arg;
    return true;
}

static bool not_ipc (const char *address, void *arg)
{
    (void) arg;
    return strncmp (address, "ipc:", 4) != 0;
}

TEST (one_uuid_is_one_endpoint)
{
    endpoint_t *endpoint = make ("u1");
    CHECK (endpoints_add (&endpoints, "u1") == endpoint);
    CHECK (endpoints_find (&endpoints, "u1", 2) == endpoint);
    CHECK (endpoints_find (&endpoints, "u2", 2) == NULL);
    CHECK (endpoints_add (&endpoints, "") == NULL);
    endpoints_fini (&endpoints);
}

TEST (h12_the_nearest_transport_is_taken_first)
{
    endpoint_t *endpoint = make ("u1");
    const char *addresses [] = {"tcp://a:1", "ipc:///tmp/x", "inproc://y"};
    endpoint_update (endpoint, 1, 2, ENDPOINT_ALIVE, addresses, 3);
    CHECK_STR (endpoint_address (endpoint, all, NULL), "inproc://y");
    CHECK_STR (endpoint_address (endpoint, not_ipc, NULL), "inproc://y");
    endpoint->link.state = LINK_CONNECTING;
    endpoint_unreachable (endpoint, 0, &dice); /* then the next */
    CHECK_STR (endpoint_address (endpoint, all, NULL), "ipc:///tmp/x");
    CHECK_STR (endpoint_address (endpoint, not_ipc, NULL), "tcp://a:1");
    endpoint_unreachable (endpoint, 0, &dice);
    endpoint_unreachable (endpoint, 0, &dice);
    CHECK_STR (endpoint_address (endpoint, all, NULL), "inproc://y");
    endpoint->link.state = LINK_IDLE;
    endpoints_fini (&endpoints);
}

/*  Another worker may be there by now, or this one may want no more connections there. */
TEST (h12_an_address_that_connects_and_refuses_is_left_for_the_next_too)
{
    endpoint_t *endpoint = make ("u1");
    const char *addresses [] = {"tcp://a:1", "ipc:///tmp/x"};
    endpoint_update (endpoint, 1, 2, ENDPOINT_ALIVE, addresses, 2);
    link_connecting (&endpoint->link, 1, "ipc:///tmp/x");
    link_ready (&endpoint->link, 0);
    endpoint_unreachable (endpoint, 0, &dice);
    link_down (&endpoint->link);
    CHECK_STR (endpoint_address (endpoint, all, NULL), "tcp://a:1");
    link_connecting (&endpoint->link, 2, "tcp://a:1");
    link_ready (&endpoint->link, 0);
    endpoint->link.welcomed = true;
    endpoint_unreachable (endpoint, 0, &dice); /* one that was good begins with the nearest again */
    link_down (&endpoint->link);
    CHECK_STR (endpoint_address (endpoint, all, NULL), "ipc:///tmp/x");
    endpoint_unreachable (endpoint, 0, &dice); /* no connection was begun: nothing is learnt of any address */
    CHECK_STR (endpoint_address (endpoint, all, NULL), "ipc:///tmp/x");
    endpoints_fini (&endpoints);
}

TEST (an_older_incarnation_is_old_news)
{
    endpoint_t *endpoint = make ("u1");
    const char *addresses [] = {"tcp://b:2"};
    CHECK (endpoint_update (endpoint, 3, 2, ENDPOINT_ALIVE, addresses, 1));
    CHECK (!endpoint_update (endpoint, 3, 2, ENDPOINT_ALIVE, addresses, 1)); /* nothing new */
    CHECK (!endpoint_update (endpoint, 2, 2, ENDPOINT_GONE, addresses, 1));
    CHECK_INT (endpoint->state, ENDPOINT_ALIVE);
    CHECK_STR (endpoint_address (endpoint, all, NULL), "tcp://b:2");
    endpoints_fini (&endpoints);
}

TEST (a_lost_connection_ejects_at_once_and_for_longer_each_time)
{
    endpoint_t *endpoint = make ("u1");
    int64_t now = 0, last = 0;
    for (int i = 0; i < 6; i++) {
        endpoint_unreachable (endpoint, now, &dice);
        CHECK_INT (endpoint_fitness (endpoint, now), ENDPOINT_LAST_RESORT);
        const int64_t length = endpoint->ejected_until_us - now;
        CHECK (length > last);
        last = length;
        now = endpoint->ejected_until_us;
        CHECK_INT (endpoint_fitness (endpoint, now), ENDPOINT_LAST_RESORT); /* no call is risked on it */
        endpoint_connected (endpoint, now);
        CHECK_INT (endpoint_fitness (endpoint, now), ENDPOINT_GOOD);
    }
    for (int i = 0; i < 20; i++)
        endpoint_unreachable (endpoint, now = endpoint->ejected_until_us, &dice);
    last = endpoint->ejected_until_us - now;
    CHECK (last > 20 * SECOND && last <= 30 * SECOND);
    endpoint_connected (endpoint, now);
    CHECK (!endpoint_begin (endpoint, now));
    endpoint_replied (endpoint, 100, 0);
    endpoint_end (endpoint, false);
    CHECK_INT (endpoint->failures, 0); /* an answer clears the record */
    endpoints_fini (&endpoints);
}

static void stay_silent (endpoint_t *endpoint, int64_t now_us, bool may_eject)
{
    const bool probe = endpoint_begin (endpoint, now_us);
    endpoint_silent (endpoint, now_us, probe, may_eject, &dice);
    endpoint_end (endpoint, probe);
}

/*  Calls with a request key ask their worker alone, again and again: eight tries in a second kept it out for half a minute. */
TEST (tries_while_it_is_out_do_not_keep_it_out_for_longer)
{
    endpoint_t *endpoint = make ("u1");
    endpoint_unreachable (endpoint, 0, &dice);
    const int64_t until_us = endpoint->ejected_until_us;
    for (int64_t now_us = 10000; now_us < 100000; now_us += 10000)
        endpoint_unreachable (endpoint, now_us, &dice);
    CHECK_INT (endpoint->ejected_until_us, until_us);
    CHECK (!endpoint_ejected (endpoint, SECOND / 5));
    endpoint_unreachable (endpoint, SECOND / 5, &dice); /* its second chance */
    CHECK (endpoint->ejected_until_us > SECOND / 5 + SECOND / 4 && endpoint->ejected_until_us <= SECOND);
    endpoints_fini (&endpoints);
}

TEST (three_silences_eject_unless_too_many_are_out)
{
    endpoint_t *endpoint = make ("u1");
    stay_silent (endpoint, 0, true);
    stay_silent (endpoint, 0, true);
    CHECK_INT (endpoint_fitness (endpoint, 0), ENDPOINT_GOOD);
    stay_silent (endpoint, 0, false);
    CHECK_INT (endpoint_fitness (endpoint, 0), ENDPOINT_GOOD);
    stay_silent (endpoint, 0, true);
    CHECK_INT (endpoint_fitness (endpoint, 0), ENDPOINT_DOUBTFUL);
    endpoints_fini (&endpoints);
}

TEST (silences_that_could_not_eject_do_not_make_the_first_ejection_longer)
{
    endpoint_t *endpoint = make ("u1");
    for (int i = 0; i < 20; i++)
        stay_silent (endpoint, 0, false);
    CHECK (!endpoint_ejected (endpoint, 0));
    stay_silent (endpoint, 0, true);
    CHECK (endpoint->ejected_until_us > 0 && endpoint->ejected_until_us <= SECOND / 5);
    CHECK_INT (endpoint->failures, 1);
    endpoints_fini (&endpoints);
}

TEST (an_ejected_one_returns_through_one_probe)
{
    endpoint_t *endpoint = make ("u1");
    for (int i = 0; i < 3; i++)
        stay_silent (endpoint, 0, true);
    const int64_t back = endpoint->ejected_until_us;
    CHECK_INT (endpoint_fitness (endpoint, back), ENDPOINT_GOOD);
    CHECK (endpoint_begin (endpoint, back)); /* the probe */
    CHECK_INT (endpoint_fitness (endpoint, back), ENDPOINT_DOUBTFUL);
    endpoint_silent (endpoint, back, true, true, &dice); /* failed: out again after one */
    endpoint_end (endpoint, true);
    CHECK (endpoint_ejected (endpoint, back + 1));
    const int64_t again = endpoint->ejected_until_us;
    CHECK (endpoint_begin (endpoint, again));
    endpoint_replied (endpoint, 5, 0);
    CHECK_INT (endpoint_fitness (endpoint, again), ENDPOINT_GOOD);
    endpoint_end (endpoint, true);
    endpoints_fini (&endpoints);
}

TEST (a_probe_that_tells_nothing_is_followed_by_another)
{
    endpoint_t *endpoint = make ("u1");
    for (int i = 0; i < 3; i++)
        stay_silent (endpoint, 0, true);
    const int64_t back = endpoint->ejected_until_us;
    CHECK (endpoint_begin (endpoint, back));
    endpoint_end (endpoint, true); /* cancelled */
    CHECK_INT (endpoint_fitness (endpoint, back), ENDPOINT_GOOD);
    endpoints_fini (&endpoints);
}

TEST (there_is_one_probe_whatever_else_is_still_open_there)
{
    endpoint_t *endpoint = make ("u1");
    for (int i = 0; i < 5; i++)
        CHECK (!endpoint_begin (endpoint, 0)); /* five that were sent before */
    for (int i = 0; i < 3; i++)
        stay_silent (endpoint, 0, true);
    const int64_t back = endpoint->ejected_until_us;
    CHECK (!endpoint_begin (endpoint, back - 1)); /* there was nobody else */
    CHECK (endpoint_begin (endpoint, back));
    CHECK (!endpoint_begin (endpoint, back));
    endpoint_end (endpoint, false); /* somebody else's end is not the probe's */
    CHECK_INT (endpoint_fitness (endpoint, back), ENDPOINT_DOUBTFUL);
    endpoint_end (endpoint, true); /* cancelled, while others are open */
    CHECK_INT (endpoint_fitness (endpoint, back), ENDPOINT_GOOD);
    CHECK (endpoint_begin (endpoint, back));
    endpoints_fini (&endpoints);
}

TEST (one_failure_is_not_counted_again_by_all_that_were_sent_before_it)
{
    endpoint_t *endpoint = make ("u1");
    for (int i = 0; i < 30; i++)
        endpoint_begin (endpoint, 0);
    for (int i = 0; i < 30; i++) {
        endpoint_silent (endpoint, 0, false, true, &dice);
        endpoint_end (endpoint, false);
    }
    CHECK_INT (endpoint->failures, 1);
    CHECK (endpoint->ejected_until_us <= SECOND / 5);
    endpoints_fini (&endpoints);
}

TEST (a_silent_one_is_out_for_longer_each_time_its_probe_fails)
{
    endpoint_t *endpoint = make ("u1");
    int64_t now = 0, last = 0;
    for (int i = 0; i < 3; i++)
        stay_silent (endpoint, now, true);
    for (int i = 0; i < 7; i++) {
        CHECK (endpoint->ejected_until_us - now > last);
        last = endpoint->ejected_until_us - now;
        now = endpoint->ejected_until_us;
        stay_silent (endpoint, now, true);
    }
    for (int i = 0; i < 20; i++)
        stay_silent (endpoint, now = endpoint->ejected_until_us, true);
    CHECK (endpoint->ejected_until_us - now > 20 * SECOND && endpoint->ejected_until_us - now <= 30 * SECOND);
    endpoints_fini (&endpoints);
}

TEST (draining_and_unreachable_places_get_nothing)
{
    endpoint_t *endpoint = make ("u1");
    endpoint_update (endpoint, 1, 2, ENDPOINT_SUSPECT, (const char *[]){"tcp://a:1"}, 1);
    CHECK_INT (endpoint_fitness (endpoint, 0), ENDPOINT_DOUBTFUL);
    endpoint_update (endpoint, 1, 2, ENDPOINT_DRAINING, (const char *[]){"tcp://a:1"}, 1);
    CHECK_INT (endpoint_fitness (endpoint, 0), ENDPOINT_NEVER);
    endpoint_update (endpoint, 1, 2, ENDPOINT_ALIVE, NULL, 0);
    CHECK_INT (endpoint_fitness (endpoint, 0), ENDPOINT_ROUTED);
    CHECK (endpoint_address (endpoint, all, NULL) == NULL);
    endpoints_fini (&endpoints);
}

TEST (latency_is_averaged_and_refusals_do_not_count)
{
    endpoint_t *endpoint = make ("u1");
    endpoint_replied (endpoint, 800, 0);
    CHECK_INT (endpoint->latency_us, 800);
    endpoint_replied (endpoint, 1600, 0);
    CHECK_INT (endpoint->latency_us, 900);
    endpoint_replied (endpoint, ENDPOINT_LATENCY_UNKNOWN, 0);
    CHECK_INT (endpoint->latency_us, 900);
    endpoints_fini (&endpoints);
}

TEST (one_that_is_back_has_its_full_share_after_some_seconds)
{
    endpoint_t *endpoint = make ("u1");
    CHECK_INT (endpoint_share_percent (endpoint, 0), 100);
    for (int i = 0; i < 3; i++)
        stay_silent (endpoint, SECOND, true);
    endpoint_replied (endpoint, 100, 2 * SECOND);
    CHECK_INT (endpoint_share_percent (endpoint, 2 * SECOND), 10);
    CHECK_INT (endpoint_share_percent (endpoint, 2 * SECOND + ENDPOINT_RAMP_US / 2), 55);
    CHECK_INT (endpoint_share_percent (endpoint, 2 * SECOND + ENDPOINT_RAMP_US), 100);
    endpoint_replied (endpoint, 100, 9 * SECOND); /* as any does */
    CHECK_INT (endpoint_share_percent (endpoint, 9 * SECOND), 100);
    endpoint_unreachable (endpoint, 20 * SECOND, &dice);
    endpoint_connected (endpoint, 21 * SECOND);
    CHECK_INT (endpoint_share_percent (endpoint, 21 * SECOND), 10);
    endpoints_fini (&endpoints);
}

TEST (who_is_listed_nowhere_is_an_orphan)
{
    endpoint_t *endpoint = make ("u1");
    endpoints_list (&endpoints, endpoint);
    endpoints_list (&endpoints, endpoint);
    endpoints_unlist (&endpoints, endpoint);
    CHECK (list_empty (&endpoints.orphans));
    endpoints_unlist (&endpoints, endpoint);
    CHECK_INT (endpoints.orphans.count, 1);
    CHECK_INT (endpoint->state, ENDPOINT_GONE);
    endpoints_list (&endpoints, endpoint); /* came back */
    CHECK (list_empty (&endpoints.orphans));
    endpoints_unlist (&endpoints, endpoint);
    endpoints_remove (&endpoints, endpoint);
    CHECK (endpoints_find (&endpoints, "u1", 2) == NULL);
    endpoints_fini (&endpoints);
}
