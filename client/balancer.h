/* SPDX-License-Identifier: MPL-2.0
 *
 *  balancer.h - which of a service's endpoints gets this call?
 *
 *  Given the same list, question and dice it gives the same answer. Constant time for P2C, RANDOM and
 *  ROUND_ROBIN while most endpoints are good; the others look at each once. P2C, WEIGHTED and LEAST give
 *  an endpoint whose share still grows that share. */

#ifndef BALANCER_H_INCLUDED
#define BALANCER_H_INCLUDED

#include <weft/client.h>
#include "dice.h"
#include "endpoint.h"

/*  What it remembers per service. */
typedef struct {
    size_t turn;                            /* ROUND_ROBIN */
    char primary [ENDPOINT_UUID_MAX + 1];   /* PRIMARY; "" before the first pick */
} balancer_t;

typedef struct {
    weft_balance_t mode;            /* none of DEFAULT, BROADCAST */
    uint64_t key;                   /* hash of the key, for HASH */
    endpoint_fitness_t fitness;     /* at least that */
    bool connected;                 /* only those that need not be waited for */
    const uint64_t *tried;          /* hashes of endpoints not to pick */
    size_t tried_count;
    int64_t now_us;
} balancer_question_t;

/*  One of `list`, or NULL when none will do. */
endpoint_t *balancer_pick (balancer_t *self, const balancer_question_t *question, endpoint_t *const *list,
                           size_t count, dice_t *dice);

/*  The hash of a key for HASH. */
uint64_t balancer_key (const void *key, size_t size);

#endif
