/* SPDX-License-Identifier: MPL-2.0 */

#include <stdio.h>
#include "balancer.h"
#include "check.h"

#define MEMBERS 5

static endpoints_t endpoints;
static endpoint_t *list [MEMBERS];
static balancer_t balancer;
static dice_t dice;
static int64_t now_us;

static void set_up (void)
{
    endpoints_init (&endpoints, 1);
    balancer = (balancer_t){0};
    dice_init (&dice, 7);
    now_us = 0;
    for (int i = 0; i < MEMBERS; i++) {
        char uuid [8];
        snprintf (uuid, sizeof uuid, "u%d", i);
        list [i] = endpoints_add (&endpoints, uuid);
        endpoint_update (list [i], 1, 1, ENDPOINT_ALIVE, (const char *[]){"tcp://a:1"}, 1);
    }
}

static void tear_down (void)
{
    endpoints_fini (&endpoints);
}

static endpoint_t *pick (weft_balance_t mode, uint64_t key)
{
    const balancer_question_t question = {.mode = mode, .key = key, .fitness = ENDPOINT_GOOD, .now_us = now_us};
    return balancer_pick (&balancer, &question, list, MEMBERS, &dice);
}

/*  How often each is picked. */
static void count (weft_balance_t mode, int picks, int *counts)
{
    memset (counts, 0, MEMBERS * sizeof *counts);
    for (int i = 0; i < picks; i++) {
        const endpoint_t *picked = pick (mode, (uint64_t) i);
        for (int m = 0; m < MEMBERS; m++)
            counts [m] += list [m] == picked;
    }
}

static const weft_balance_t modes [] = {WEFT_BALANCE_P2C,      WEFT_BALANCE_RANDOM, WEFT_BALANCE_ROUND_ROBIN,
                                        WEFT_BALANCE_WEIGHTED, WEFT_BALANCE_LEAST,  WEFT_BALANCE_HASH,
                                        WEFT_BALANCE_PRIMARY};
#define MODES (sizeof modes / sizeof *modes)

TEST (g12_no_mode_picks_one_that_is_unfit_or_was_tried)
{
    set_up ();
    list [0]->state = ENDPOINT_DRAINING;
    list [1]->unreachable = true;
    list [2]->ejected_until_us = 100;
    const uint64_t tried [] = {list [3]->hash};
    for (size_t m = 0; m < MODES; m++) {
        balancer = (balancer_t){0};
        for (uint64_t i = 0; i < 100; i++) {
            const balancer_question_t question = {
                .mode = modes [m], .key = i, .fitness = ENDPOINT_GOOD, .tried = tried, .tried_count = 1};
            CHECK (balancer_pick (&balancer, &question, list, MEMBERS, &dice) == list [4]);
        }
    }
    list [4]->state = ENDPOINT_GONE;
    for (size_t m = 0; m < MODES; m++) {
        const balancer_question_t question = {
            .mode = modes [m], .fitness = ENDPOINT_GOOD, .tried = tried, .tried_count = 1};
        CHECK (balancer_pick (&balancer, &question, list, MEMBERS, &dice) == NULL);
        CHECK (balancer_pick (&balancer, &question, list, 0, &dice) == NULL);
        const balancer_question_t any = {.mode = modes [m], .fitness = ENDPOINT_LAST_RESORT};
        CHECK (balancer_pick (&balancer, &any, list, MEMBERS, &dice) != NULL);
    }
    tear_down ();
}

TEST (random_and_p2c_spread_evenly_over_equals)
{
    int counts [MEMBERS];
    set_up ();
    count (WEFT_BALANCE_RANDOM, 5000, counts);
    for (int m = 0; m < MEMBERS; m++)
        CHECK (counts [m] > 800 && counts [m] < 1200);
    count (WEFT_BALANCE_P2C, 5000, counts);
    for (int m = 0; m < MEMBERS; m++)
        CHECK (counts [m] > 800 && counts [m] < 1200);
    tear_down ();
}

TEST (p2c_shuns_the_slow_and_the_busy)
{
    int counts [MEMBERS];
    set_up ();
    for (int m = 0; m < MEMBERS; m++)
        list [m]->latency_us = 100;
    list [0]->latency_us = 10000;
    list [1]->outstanding = 50;
    count (WEFT_BALANCE_P2C, 5000, counts);
    CHECK (counts [0] < 300 && counts [1] < 700);
    CHECK (counts [2] > 1000 && counts [3] > 1000 && counts [4] > 1000);
    for (int m = 0; m < MEMBERS; m++)
        list [m]->outstanding = 0;
    tear_down ();
}

/*  The first was slow; all others have answered just now. */
static int asked (void)
{
    int counts [MEMBERS];
    for (int m = 1; m < MEMBERS; m++)
        list [m]->learnt_us = now_us;
    count (WEFT_BALANCE_P2C, 1000, counts);
    return counts [0];
}

TEST (p2c_asks_again_who_was_slow_long_ago)
{
    set_up ();
    for (int m = 0; m < MEMBERS; m++)
        list [m]->latency_us = m ? 100 : 1000000;
    for (int second = 0; second < 10; second++) {
        now_us = second * ENDPOINT_FORGET_US;
        CHECK (asked () < 30);
    }
    now_us = 100 * ENDPOINT_FORGET_US;
    list [0]->outstanding = 1; /* that is not done yet: no reason to forget */
    CHECK (asked () < 30);
    list [0]->outstanding = 0;
    CHECK (asked () > 300);
    endpoint_replied (list [0], 1000000, now_us);
    list [0]->latency_us = 1000000; /* it is as slow as ever */
    CHECK (asked () < 30);
    tear_down ();
}

TEST (round_robin_takes_turns)
{
    int counts [MEMBERS];
    set_up ();
    count (WEFT_BALANCE_ROUND_ROBIN, 50, counts);
    for (int m = 0; m < MEMBERS; m++)
        CHECK_INT (counts [m], 10);
    tear_down ();
}

TEST (weighted_goes_by_capacity)
{
    int counts [MEMBERS];
    set_up ();
    list [4]->capacity = 6; /* of 10 */
    count (WEFT_BALANCE_WEIGHTED, 5000, counts);
    CHECK (counts [4] > 2800 && counts [4] < 3200);
    CHECK (counts [0] > 400 && counts [0] < 600);
    tear_down ();
}

TEST (least_takes_the_emptiest_and_breaks_ties_by_the_dice)
{
    int counts [MEMBERS];
    set_up ();
    for (int m = 0; m < 3; m++)
        list [m]->outstanding = 1;
    count (WEFT_BALANCE_LEAST, 1000, counts);
    CHECK_INT (counts [0] + counts [1] + counts [2], 0);
    CHECK (counts [3] > 400 && counts [4] > 400);
    for (int m = 0; m < 3; m++)
        list [m]->outstanding = 0;
    tear_down ();
}

static const weft_balance_t ramped [] = {WEFT_BALANCE_P2C, WEFT_BALANCE_WEIGHTED, WEFT_BALANCE_LEAST};

TEST (the_share_of_a_new_one_grows_from_a_little_to_all_of_it)
{
    int counts [MEMBERS];
    for (size_t m = 0; m < 3; m++) {
        int last = 0;
        set_up ();
        list [0]->ramp_us = 1;
        for (int tenth = 0; tenth <= 10; tenth++) {
            now_us = 1 + tenth * ENDPOINT_RAMP_US / 10;
            count (ramped [m], 20000, counts); /* 4000 would be its share */
            CHECK (counts [0] > last - 150);
            CHECK (tenth > 0 || (counts [0] > 250 && counts [0] < 700));
            CHECK (tenth < 10 || (counts [0] > 3700 && counts [0] < 4300));
            for (int other = 1; other < MEMBERS; other++)
                CHECK (counts [other] > 3700);
            last = counts [0];
        }
        tear_down ();
    }
}

TEST (where_all_are_new_all_have_the_same_share)
{
    int counts [MEMBERS];
    for (size_t m = 0; m < 3; m++) {
        set_up ();
        for (int i = 0; i < MEMBERS; i++)
            list [i]->ramp_us = 1;
        now_us = 2;
        count (ramped [m], 20000, counts);
        for (int i = 0; i < MEMBERS; i++)
            CHECK (counts [i] > 3700 && counts [i] < 4300);
        tear_down ();
    }
}

TEST (a_new_one_that_is_alone_gets_everything)
{
    set_up ();
    for (int i = 1; i < MEMBERS; i++)
        list [i]->unreachable = true;
    list [0]->ramp_us = 1;
    now_us = 2;
    for (size_t m = 0; m < MODES; m++)
        for (int i = 0; i < 100; i++)
            CHECK (pick (modes [m], 0) == list [0]);
    tear_down ();
}

TEST (hash_keeps_a_key_where_it_was_when_others_leave)
{
    set_up ();
    endpoint_t *before [1000];
    for (uint64_t key = 0; key < 1000; key++) {
        before [key] = pick (WEFT_BALANCE_HASH, balancer_key (&key, sizeof key));
        CHECK (pick (WEFT_BALANCE_HASH, balancer_key (&key, sizeof key)) == before [key]);
    }
    list [2]->state = ENDPOINT_GONE;
    int moved = 0, of_two = 0;
    for (uint64_t key = 0; key < 1000; key++) {
        moved += pick (WEFT_BALANCE_HASH, balancer_key (&key, sizeof key)) != before [key];
        of_two += before [key] == list [2];
    }
    CHECK_INT (moved, of_two);
    CHECK (of_two > 120 && of_two < 280);
    tear_down ();
}

TEST (hash_moves_on_from_one_that_has_more_than_its_share)
{
    set_up ();
    endpoint_t *home = pick (WEFT_BALANCE_HASH, 42);
    home->outstanding = 100;
    endpoint_t *next = pick (WEFT_BALANCE_HASH, 42);
    CHECK (next != home);
    CHECK (pick (WEFT_BALANCE_HASH, 42) == next);
    home->outstanding = 0;
    CHECK (pick (WEFT_BALANCE_HASH, 42) == home);
    tear_down ();
}

TEST (h9_primary_is_kept_until_it_fails)
{
    set_up ();
    endpoint_t *primary = pick (WEFT_BALANCE_PRIMARY, 0);
    for (int i = 0; i < 100; i++)
        CHECK (pick (WEFT_BALANCE_PRIMARY, 0) == primary);
    primary->unreachable = true;
    endpoint_t *next = pick (WEFT_BALANCE_PRIMARY, 0);
    CHECK (next && next != primary);
    primary->unreachable = false; /* the old one is back, the new one stays */
    for (int i = 0; i < 100; i++)
        CHECK (pick (WEFT_BALANCE_PRIMARY, 0) == next);
    tear_down ();
}

TEST (the_same_seed_picks_the_same)
{
    for (size_t m = 0; m < MODES; m++) {
        char first [200], second [200];
        for (int round = 0; round < 2; round++) {
            set_up ();
            for (int i = 0; i < 200; i++)
                (round ? second : first) [i] = pick (modes [m], (uint64_t) i)->uuid [1];
            tear_down ();
        }
        CHECK_MEM (first, sizeof first, second, sizeof second);
    }
}
