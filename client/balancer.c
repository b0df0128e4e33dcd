/* SPDX-License-Identifier: MPL-2.0 */

#include "balancer.h"
#include <stdio.h>
#include <string.h>

#define SAMPLES          4    /* misses before everybody is looked at */
#define LATENCY_GUESS_US 1000 /* of a service nobody has answered for yet */
#define LOAD_PERCENT     125  /* HASH: of the average, before a key moves on */

static bool is_fit (const balancer_question_t *question, const endpoint_t *endpoint)
{
    if (endpoint_fitness (endpoint, question->now_us) < question->fitness ||
        (question->connected && endpoint->link.state != LINK_READY))
        return false;
    for (size_t i = 0; i < question->tried_count; i++)
        if (question->tried [i] == endpoint->hash)
            return false;
    return true;
}

/*  Any fit one, each as likely as the others. */
static endpoint_t *pick_random (const balancer_question_t *question, endpoint_t *const *list, size_t count,
                                dice_t *dice)
{
    for (int i = 0; i < SAMPLES; i++) {
        endpoint_t *endpoint = list [dice_below (dice, count)];
        if (is_fit (question, endpoint))
            return endpoint;
    }
    endpoint_t *picked = NULL;
    uint64_t fit = 0;
    for (size_t i = 0; i < count; i++)
        if (is_fit (question, list [i]) && dice_below (dice, ++fit) == 0)
            picked = list [i];
    return picked;
}

/*  How long a call would take there, roughly. One that has not answered yet is taken for as fast as the
 *  other. */
static double cost (const endpoint_t *endpoint, const endpoint_t *other, int64_t now_us)
{
    const endpoint_t *known = endpoint->latency_us ? endpoint : other;
    int64_t latency_us = endpoint_latency_us (known, now_us);
    if (latency_us == ENDPOINT_LATENCY_UNKNOWN)
        latency_us = LATENCY_GUESS_US;
    return (double) latency_us * (endpoint->outstanding + 1.0);
}

/*  One whose share still grows leaves some calls to others: by chance, so that it gets some even where it
 *  would always win, or always lose. */
static bool stands_back (const balancer_question_t *question, const endpoint_t *endpoint, dice_t *dice)
{
    const unsigned percent = endpoint_share_percent (endpoint, question->now_us);
    return percent < 100 && dice_below (dice, 100) >= percent;
}

static endpoint_t *pick_p2c (const balancer_question_t *question, endpoint_t *const *list, size_t count,
                             dice_t *dice)
{
    endpoint_t *one = pick_random (question, list, count, dice);
    if (!one || count < 2)
        return one;
    for (int i = 0; i < SAMPLES; i++) {
        endpoint_t *two = list [dice_below (dice, count)];
        if (two == one || !is_fit (question, two))
            continue;
        const bool one_back = stands_back (question, one, dice), two_back = stands_back (question, two, dice);
        const bool other = one_back == two_back ? cost (two, one, question->now_us) < cost (one, two, question->now_us) : one_back;
        return other ? two : one;
    }
    return one;
}

static endpoint_t *pick_in_turn (balancer_t *self, const balancer_question_t *question,
                                 endpoint_t *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        endpoint_t *endpoint = list [self->turn++ % count];
        if (is_fit (question, endpoint))
            return endpoint;
    }
    return NULL;
}

static endpoint_t *pick_weighted (const balancer_question_t *question, endpoint_t *const *list, size_t count,
                                  dice_t *dice)
{
    endpoint_t *picked = NULL;
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_fit (question, list [i]))
            continue;
        const uint64_t capacity = list [i]->capacity < UINT32_MAX ? list [i]->capacity : UINT32_MAX;
        const uint64_t weight = capacity * endpoint_share_percent (list [i], question->now_us);
        total += weight;
        if (dice_below (dice, total) < weight)
            picked = list [i];
    }
    return picked;
}

/*  The emptiest of those that were looked at. */
typedef struct {
    endpoint_t *endpoint;
    uint64_t ties;
} emptiest_t;

static void look_at (emptiest_t *self, endpoint_t *endpoint, dice_t *dice)
{
    if (self->endpoint && endpoint->outstanding > self->endpoint->outstanding)
        return;
    const bool tie = self->endpoint && endpoint->outstanding == self->endpoint->outstanding;
    self->ties = tie ? self->ties + 1 : 1;
    if (dice_below (dice, self->ties) == 0)
        self->endpoint = endpoint;
}

static endpoint_t *pick_least (const balancer_question_t *question, endpoint_t *const *list, size_t count,
                               dice_t *dice)
{
    emptiest_t forward = {0}, back = {0};
    for (size_t i = 0; i < count; i++)
        if (is_fit (question, list [i]))
            look_at (stands_back (question, list [i], dice) ? &back : &forward, list [i], dice);
    return forward.endpoint ? forward.endpoint : back.endpoint;
}

static uint64_t mix (uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

/*  Rendezvous: each endpoint draws a number for this key, the highest that is not overloaded wins. A key
 *  moves only when its endpoint goes, or has more than its share. */
static endpoint_t *pick_hash (const balancer_question_t *question, endpoint_t *const *list, size_t count)
{
    uint64_t outstanding = 1, fit = 0;
    for (size_t i = 0; i < count; i++)
        if (is_fit (question, list [i])) {
            outstanding += list [i]->outstanding;
            fit++;
        }
    if (fit == 0)
        return NULL;
    const uint64_t bound = (outstanding * LOAD_PERCENT / 100 + fit - 1) / fit;
    endpoint_t *picked = NULL;
    uint64_t highest = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_fit (question, list [i]) || list [i]->outstanding >= bound + 1)
            continue;
        const uint64_t drawn = mix (question->key ^ list [i]->hash);
        if (!picked || drawn > highest) {
            picked = list [i];
            highest = drawn;
        }
    }
    return picked;
}

static endpoint_t *pick_primary (balancer_t *self, const balancer_question_t *question,
                                 endpoint_t *const *list, size_t count, dice_t *dice)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp (list [i]->uuid, self->primary) == 0 && is_fit (question, list [i]))
            return list [i];
    endpoint_t *picked = pick_random (question, list, count, dice);
    if (picked)
        snprintf (self->primary, sizeof self->primary, "%s", picked->uuid);
    return picked;
}

endpoint_t *balancer_pick (balancer_t *self, const balancer_question_t *question, endpoint_t *const *list,
                           size_t count, dice_t *dice)
{
    if (count == 0)
        return NULL;
    if (count == 1 && question->mode != WEFT_BALANCE_PRIMARY)
        return is_fit (question, list [0]) ? list [0] : NULL;
    switch (question->mode) {
    case WEFT_BALANCE_RANDOM:
        return pick_random (question, list, count, dice);
    case WEFT_BALANCE_ROUND_ROBIN:
        return pick_in_turn (self, question, list, count);
    case WEFT_BALANCE_WEIGHTED:
        return pick_weighted (question, list, count, dice);
    case WEFT_BALANCE_LEAST:
        return pick_least (question, list, count, dice);
    case WEFT_BALANCE_HASH:
        return pick_hash (question, list, count);
    case WEFT_BALANCE_PRIMARY:
        return pick_primary (self, question, list, count, dice);
    default:
        return pick_p2c (question, list, count, dice);
    }
}

uint64_t balancer_key (const void *key, size_t size)
{
    return table_hash (0, key, size);
}
