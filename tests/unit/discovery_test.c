/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "discovery.h"

#define SECOND 1000000LL

static endpoints_t endpoints;
static discovery_t *discovery;
static int told;
static char last_told [64];

static void set_up (void)
{
    endpoints_init (&endpoints, 1);
    discovery = discovery_new ("Arith", 10 * SECOND, 1);
    told = 0;
}

static void tear_down (void)
{
    discovery_free (discovery, &endpoints);
    endpoints_fini (&endpoints);
}

static void observe (const discovery_t *self, const worker_row *row, void *arg)
{
    (void) self, (void) arg;
    told++;
    strcpy (last_told, row->uuid);
    strcat (last_told, " ");
    strcat (last_told, row->state);
}

static worker_row row (const char *uuid, const char *state)
{
    static const char *addresses [] = {"tcp://a:1"};
    return (worker_row){.uuid = uuid,
                               .incarnation = 1,
                               .endpoints = addresses,
                               .endpoint_count = 1,
                               .capacity = 4,
                               .state = state,
                               .name = "",
                               .host = ""};
}

static discovery_result_t apply (uint64_t previous, uint64_t revision, bool full, worker_row *rows,
                                 size_t count, int64_t now_us)
{
    flags_row methods [] = {{"Add", 1}, {"Set", 0}};
    const watch_item change = {.revision = revision,
                                      .previous = previous,
                                      .full = full,
                                      .workers = rows,
                                      .worker_count = count,
                                      .methods = methods,
                                      .method_count = full && count ? 2 : 0};
    return discovery_apply (discovery, &change, &endpoints, now_us, observe, NULL);
}

static void check_state (const char *state, uint64_t in_flight, endpoint_state_t expected)
{
    worker_row rows [] = {row ("a", state), row ("b", "alive")};
    set_up ();
    discovery_asked (discovery, 0);
    rows [0].in_flight = in_flight;
    CHECK_INT (apply (0, 1, true, rows, 2, 1), DISCOVERY_OK);
    CHECK_INT (discovery->count, 2);
    CHECK_INT (discovery->members [0]->state, expected);
    tear_down ();
}

TEST (a_worker_in_a_state_that_is_not_known_here_is_there)
{
    check_state ("busy", 4, ENDPOINT_ALIVE);
    check_state ("enthusiastic", 0, ENDPOINT_ALIVE);
    check_state ("suspect", 0, ENDPOINT_SUSPECT);
}

TEST (a_stuck_worker_is_avoided_if_it_cannot_run_more)
{
    check_state ("stuck", 4, ENDPOINT_STUCK);
    check_state ("stuck", 1, ENDPOINT_ALIVE);
}

TEST (h6_the_first_answer_is_the_whole_list)
{
    set_up ();
    CHECK (discovery_wants (discovery, 0) && !discovery_usable (discovery));
    discovery_asked (discovery, 0);
    CHECK (!discovery_wants (discovery, 0)); /* once is enough */
    worker_row rows [] = {row ("b", "alive"), row ("c", "draining"), row ("a", "suspect")};
    CHECK_INT (apply (0, 7, true, rows, 3, 1), DISCOVERY_OK);
    CHECK (discovery_usable (discovery));
    CHECK_INT (discovery->count, 3);
    CHECK_STR (discovery->members [0]->uuid, "a"); /* g7: sorted */
    CHECK_STR (discovery->members [2]->uuid, "c");
    CHECK_INT (discovery->members [2]->state, ENDPOINT_DRAINING);
    CHECK_INT (discovery_flags (discovery, "Add", 3), 1);
    CHECK_INT (discovery_flags (discovery, "Set", 3), 0);
    CHECK_INT (discovery_flags (discovery, "Nix", 3), 0);
    tear_down ();
}

TEST (h7_joins_and_leaves_arrive_as_changes)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row first [] = {row ("a", "alive")}, join [] = {row ("b", "alive")},
                            leave [] = {row ("a", "gone")};
    apply (0, 1, true, first, 1, 0);
    CHECK_INT (apply (1, 2, false, join, 1, 0), DISCOVERY_OK);
    CHECK_INT (discovery->count, 2);
    CHECK_STR (last_told, "b alive");
    CHECK_INT (apply (2, 3, false, leave, 1, 0), DISCOVERY_OK);
    CHECK_INT (discovery->count, 1);
    CHECK_STR (last_told, "a gone");
    CHECK_INT (told, 3);
    CHECK_INT (endpoints.orphans.count, 1); /* its connection may have work to finish */
    tear_down ();
}

TEST (g11_a_list_is_asked_for_again_only_when_stale)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row rows [] = {row ("a", "alive")};
    apply (0, 1, true, rows, 1, 5 * SECOND);
    CHECK_INT (discovery->updated_us, 5 * SECOND);
    CHECK_INT (discovery->refresh_us, 10 * SECOND);
    CHECK (!discovery_wants (discovery, 15 * SECOND - 1));
    CHECK (discovery_wants (discovery, 15 * SECOND));
    worker_row join [] = {row ("b", "alive")};
    apply (1, 2, false, join, 1, 14 * SECOND); /* pushed: as good as asked */
    CHECK (!discovery_wants (discovery, 15 * SECOND));
    discovery_asked (discovery, 30 * SECOND);
    CHECK (discovery_usable (discovery)); /* the old list serves meanwhile */
    CHECK (!discovery_wants (discovery, 40 * SECOND - 1));
    CHECK (discovery_wants (discovery, 40 * SECOND)); /* the answer never came */
    tear_down ();
}

TEST (a_gap_is_noticed_and_changes_nothing)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row rows [] = {row ("a", "alive")}, later [] = {row ("b", "alive")};
    CHECK_INT (apply (0, 1, false, rows, 1, 0), DISCOVERY_GAP); /* a change before the list */
    apply (0, 1, true, rows, 1, 0);
    CHECK_INT (apply (2, 3, false, later, 1, 0), DISCOVERY_GAP);
    CHECK_INT (discovery->count, 1);
    CHECK_INT (discovery->revision, 1);
    tear_down ();
}

TEST (a_whole_list_drops_those_it_does_not_name)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row old [] = {row ("a", "alive"), row ("b", "alive")},
                          new [] = {row ("b", "alive"), row ("c", "alive")};
    apply (0, 1, true, old, 2, 0);
    endpoint_t *b = endpoints_find (&endpoints, "b", 1);
    told = 0;
    apply (0, 9, true, new, 2, 0);
    CHECK_INT (discovery->count, 2);
    CHECK (discovery->members [0] == b); /* with all that is known of it */
    CHECK_INT (told, 2);                 /* a is gone, c is new; of b there is nothing to say */
    tear_down ();
}

TEST (a_broker_that_has_just_started_takes_no_worker_away_until_it_is_asked_again)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row rows [] = {row ("a", "alive"), row ("b", "alive")};
    CHECK_INT (apply (0, 7, true, rows, 2, 0), DISCOVERY_OK);
    discovery_cut_off (discovery, 1 * SECOND);
    CHECK (!discovery_wants (discovery, 1 * SECOND));                  /* it is asked for already */
    CHECK_INT (apply (0, 1, true, rows, 0, 2 * SECOND), DISCOVERY_OK); /* nobody is back yet */
    CHECK_INT (discovery->count, 2);
    CHECK (discovery_usable (discovery));
    CHECK_INT (apply (1, 2, false, rows, 1, 3 * SECOND), DISCOVERY_OK);
    CHECK_INT (apply (2, 3, false, rows, 1, 11 * SECOND), DISCOVERY_OK); /* told something, but not of b */
    CHECK (!discovery_wants (discovery, 12 * SECOND - 1));
    CHECK (discovery_wants (discovery, 12 * SECOND));
    discovery_asked (discovery, 12 * SECOND);
    CHECK_INT (apply (3, 4, true, rows, 1, 12 * SECOND), DISCOVERY_OK); /* now it is believed */
    CHECK_INT (discovery->count, 1);
    CHECK_STR (discovery->members [0]->uuid, "a");
    CHECK (!discovery_wants (discovery, 13 * SECOND));
    tear_down ();
}

TEST (an_empty_list_is_not_believed_for_long)
{
    set_up ();
    discovery_asked (discovery, 0);
    apply (0, 1, true, NULL, 0, 0);
    CHECK (discovery_usable (discovery) && !discovery_known (discovery));
    CHECK (discovery_wants (discovery, 1)); /* the next call asks again */
    discovery_asked (discovery, 1);
    CHECK (!discovery_usable (discovery)); /* and waits for the answer */
    tear_down ();
}

TEST (a_service_without_workers_is_still_known)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row rows [] = {row ("a", "alive")}, leave [] = {row ("a", "gone")};
    apply (0, 1, true, rows, 1, 0);
    apply (1, 2, false, leave, 1, 0);
    CHECK_INT (discovery->count, 0);
    CHECK (discovery_known (discovery));
    tear_down ();
}

TEST (rows_that_make_no_sense_are_passed_over)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row rows [] = {
        row ("", "alive"), row ("a", "alive"),
        row ("0123456789012345678901234567890123456789012345678901234567890123", "alive"), row ("b", "gone")};
    CHECK_INT (apply (0, 1, true, rows, 4, 0), DISCOVERY_OK);
    CHECK_INT (discovery->count, 1);
    tear_down ();
}

TEST (never_more_than_half_may_be_ejected)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row rows [] = {row ("a", "alive"), row ("b", "alive"), row ("c", "alive"),
                                 row ("d", "alive"), row ("e", "alive")};
    apply (0, 1, true, rows, 5, 0);
    const endpoint_t *last = discovery->members [4];
    CHECK (discovery_may_eject (discovery, last, 0));
    discovery->members [0]->ejected_until_us = SECOND;
    CHECK (discovery_may_eject (discovery, last, 0));
    discovery->members [1]->unreachable = true;
    CHECK (!discovery_may_eject (discovery, last, 0)); /* a third of five would be more */
    CHECK (discovery_may_eject (discovery, last, SECOND));
    discovery->members [4]->probing = true; /* that it is out already does not count against it */
    CHECK (discovery_may_eject (discovery, last, SECOND));
    tear_down ();
}

TEST (who_joins_others_is_new_and_who_was_there_first_is_not)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row first [] = {row ("a", "alive"), row ("b", "alive")}, joins = row ("c", "alive");
    apply (0, 1, true, first, 2, SECOND);
    apply (1, 2, false, &joins, 1, 2 * SECOND);
    worker_row later [] = {row ("a", "alive"), row ("b", "alive"), row ("c", "alive"), row ("d", "alive")};
    discovery_asked (discovery, 3 * SECOND);
    apply (0, 3, true, later, 4, 3 * SECOND); /* the whole list again */
    CHECK_INT (discovery->members [0]->ramp_us, 0);
    CHECK_INT (discovery->members [1]->ramp_us, 0);
    CHECK_INT (discovery->members [2]->ramp_us, 2 * SECOND);
    CHECK_INT (discovery->members [3]->ramp_us, 3 * SECOND);
    tear_down ();
}

TEST (half_is_counted_among_those_that_take_calls)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row rows [] = {row ("a", "alive"), row ("b", "alive"), row ("c", "draining"), row ("d", "alive"),
                          row ("e", "suspect")};
    rows [3].endpoint_count = 0; /* only through the broker */
    apply (0, 1, true, rows, 5, 0);
    const endpoint_t *first = discovery->members [0], *doubtful = discovery->members [4];
    CHECK (!discovery_may_eject (discovery, first, 0)); /* of a, b and e, e is out already */
    CHECK (discovery_may_eject (discovery, doubtful, 0));
    tear_down ();
}

static discovery_result_t apply_part (uint64_t previous, worker_row *rows, size_t count, bool more)
{
    flags_row methods [] = {{"Add", 1}};
    const watch_item part = {.revision = 7, .previous = previous, .full = true, .workers = rows, .worker_count = count,
                             .methods = methods, .method_count = more ? 0 : 1, .more = more, .has_more = more};
    return discovery_apply (discovery, &part, &endpoints, 0, observe, NULL);
}

TEST (a_list_in_parts_counts_when_it_is_whole)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row one [] = {row ("d", "alive"), row ("b", "alive")}, two [] = {row ("c", "alive")},
               three [] = {row ("a", "draining")};
    CHECK_INT (apply_part (0, one, 2, true), DISCOVERY_PART);
    CHECK_INT (apply_part (7, two, 1, true), DISCOVERY_PART);
    CHECK (!discovery_usable (discovery));
    CHECK_INT (discovery->count, 0);
    CHECK_INT (told, 0);
    CHECK_INT (apply_part (7, three, 1, false), DISCOVERY_OK);
    CHECK (discovery_usable (discovery));
    CHECK_INT (discovery->count, 4);
    CHECK_INT (told, 4);
    CHECK_STR (discovery->members [0]->uuid, "a");
    CHECK_STR (discovery->members [3]->uuid, "d");
    CHECK_INT (discovery->members [0]->state, ENDPOINT_DRAINING);
    for (size_t i = 0; i < 4; i++)
        CHECK_INT (discovery->members [i]->lists, 1);
    tear_down ();
}

TEST (the_old_list_serves_until_the_new_one_is_whole)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row old [] = {row ("a", "alive"), row ("b", "alive")}, part [] = {row ("b", "draining")},
               rest [] = {row ("c", "alive")};
    apply (0, 1, true, old, 2, 0);
    discovery_asked (discovery, 1);
    told = 0;
    CHECK_INT (apply_part (0, part, 1, true), DISCOVERY_PART);
    CHECK (discovery_usable (discovery));
    CHECK_INT (discovery->count, 2);                                /* a is not gone for not being in the first part */
    CHECK_INT (discovery->members [1]->state, ENDPOINT_DRAINING); /* but of b this is true now */
    CHECK_STR (last_told, "b draining");
    CHECK_INT (apply_part (7, rest, 1, false), DISCOVERY_OK);
    CHECK_INT (discovery->count, 2);
    CHECK_STR (discovery->members [0]->uuid, "b");
    CHECK_STR (discovery->members [1]->uuid, "c");
    CHECK_INT (told, 3);
    CHECK_INT (endpoints.orphans.count, 1);
    tear_down ();
}

TEST (changes_between_two_parts_count)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row one [] = {row ("a", "alive"), row ("b", "alive")}, gone [] = {row ("a", "gone")},
               come [] = {row ("d", "alive")}, two [] = {row ("c", "alive"), row ("d", "alive")};
    CHECK_INT (apply_part (0, one, 2, true), DISCOVERY_PART);
    CHECK_INT (apply (7, 8, false, gone, 1, 0), DISCOVERY_PART);
    CHECK_INT (apply (8, 9, false, come, 1, 0), DISCOVERY_PART);
    CHECK (!discovery_usable (discovery));
    CHECK_INT (apply_part (9, two, 2, false), DISCOVERY_OK);
    CHECK_INT (discovery->count, 3);
    CHECK_STR (discovery->members [0]->uuid, "b");
    CHECK_STR (discovery->members [2]->uuid, "d");
    for (size_t i = 0; i < 3; i++)
        CHECK_INT (discovery->members [i]->lists, 1);
    tear_down ();
}

TEST (a_part_that_does_not_follow_is_a_gap)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row one [] = {row ("a", "alive")}, two [] = {row ("b", "alive")};
    CHECK_INT (apply_part (0, one, 1, true), DISCOVERY_PART);
    CHECK_INT (apply_part (6, two, 1, false), DISCOVERY_GAP);
    CHECK (!discovery_usable (discovery));
    tear_down ();
}

TEST (a_list_that_breaks_off_is_forgotten)
{
    set_up ();
    discovery_asked (discovery, 0);
    worker_row one [] = {row ("a", "alive")}, whole [] = {row ("b", "alive")};
    CHECK_INT (apply_part (0, one, 1, true), DISCOVERY_PART);
    discovery_lost (discovery);
    discovery_asked (discovery, 1);
    CHECK_INT (apply_part (0, whole, 1, false), DISCOVERY_OK);
    CHECK_INT (discovery->count, 1);
    CHECK_STR (discovery->members [0]->uuid, "b");
    CHECK_INT (endpoints.orphans.count, 1);
    tear_down ();
}
