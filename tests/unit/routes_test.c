/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "dice.h"
#include "mp.h"
#include "routes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHODS   6
#define CONTRACTS 24

static contracts_t contracts;
static routes_t routes;
static methods_t methods;

static void set_up (void)
{
    CHECK (contracts_init (&contracts, SIZE_MAX / 2, 1));
    routes_init (&routes, 2);
    methods_init (&methods, NULL, text_of ("Arith"));
}

static void tear_down (void)
{
    CHECK_INT (methods.count, 0);
    CHECK_INT (methods.digest, 0);
    methods_fini (&methods);
    routes_fini (&routes);
    contracts_fini (&contracts);
}

/*  A contract with `count` methods "m<first>", "m<first + 1>", ... that are idempotent or not. */
static contract_t *contract_of (unsigned first, unsigned count, unsigned flags, const char *version)
{
    buffer_t bytes;
    char name [16];
    wire_service_t service;
    refusal_t refusal;
    buffer_init (&bytes, SIZE_MAX);
    mp_write_array (&bytes, 3);
    mp_write_text (&bytes, "Arith");
    mp_write_text (&bytes, version);
    mp_write_array (&bytes, count);
    for (unsigned i = 0; i < count; i++) {
        snprintf (name, sizeof name, "m%u", first + i);
        mp_write_array (&bytes, 4);
        mp_write_text (&bytes, name);
        mp_write_uint (&bytes, flags);
        mp_write_text (&bytes, "any");
        mp_write_text (&bytes, "int64");
    }
    mp_reader_t reader = mp_reader (bytes.data, bytes.size);
    CHECK (wire_next_service (&reader, &service));
    contract_t *contract = contracts_get (&contracts, &service, &refusal);
    CHECK (contract != NULL);
    buffer_fini (&bytes);
    return contract;
}

static const route_t *route_of (unsigned number)
{
    char name [32];
    snprintf (name, sizeof name, "Arith.m%u", number);
    return routes_find (&routes, text_of (name));
}

TEST (a_method_is_there_while_some_contract_claims_it)
{
    set_up ();
    contract_t *one = contract_of (0, 2, 0, "1"), *two = contract_of (1, 2, 0, "2");
    CHECK (routes_add (&routes, &methods, one));
    CHECK (routes_add (&routes, &methods, two));
    CHECK_INT (methods.count, 3);
    CHECK (text_is (methods.routes [0]->name, "m0") && text_is (methods.routes [2]->name, "m2"));
    routes_remove (&routes, &methods, one);
    CHECK (!route_of (0) && route_of (1) && route_of (2));
    routes_remove (&routes, &methods, two);
    CHECK (!route_of (1));
    contracts_release (&contracts, &one);
    contracts_release (&contracts, &two);
    tear_down ();
}

TEST (a_contract_counts_until_its_last_worker_left)
{
    set_up ();
    contract_t *contract = contract_of (0, 1, 0, "1");
    for (int i = 0; i < 3; i++)
        CHECK (routes_add (&routes, &methods, contract));
    CHECK_INT (route_of (0)->claims.count, 1);
    for (int i = 0; i < 2; i++)
        routes_remove (&routes, &methods, contract);
    CHECK (route_of (0) != NULL);
    routes_remove (&routes, &methods, contract);
    CHECK (!route_of (0));
    contracts_release (&contracts, &contract);
    tear_down ();
}

TEST (the_newest_contract_says_what_a_method_is)
{
    set_up ();
    contract_t *old = contract_of (0, 1, METHOD_INLINE, "1"), *new = contract_of (0, 1, METHOD_STREAM, "2");
    routes_add (&routes, &methods, old);
    const uint64_t digest = methods.digest;
    routes_add (&routes, &methods, new);
    CHECK_INT (route_of (0)->flags, METHOD_STREAM);
    CHECK (methods.digest != digest); /* who watches is told */
    routes_remove (&routes, &methods, new);
    CHECK_INT (route_of (0)->flags, METHOD_INLINE);
    CHECK (methods.digest == digest);
    routes_remove (&routes, &methods, old);
    contracts_release (&contracts, &old);
    contracts_release (&contracts, &new);
    tear_down ();
}

/*  Against what a look at all contracts says, after each of many comings and goings. */
TEST (routes_are_what_all_contracts_together_say)
{
    contract_t *known [CONTRACTS];
    unsigned first [CONTRACTS], count [CONTRACTS], workers [CONTRACTS] = {0};
    bool idempotent [CONTRACTS];
    char version [16];
    dice_t dice;
    set_up ();
    dice_init (&dice, 7);
    for (unsigned i = 0; i < CONTRACTS; i++) {
        first [i] = (unsigned) dice_below (&dice, METHODS);
        count [i] = (unsigned) dice_below (&dice, METHODS - first [i] + 1);
        idempotent [i] = dice_below (&dice, 4) > 0;
        snprintf (version, sizeof version, "%u", i);
        known [i] = contract_of (first [i], count [i], idempotent [i], version);
    }
    for (int step = 0; step < 20000; step++) {
        const size_t i = dice_below (&dice, CONTRACTS);
        if (workers [i] && dice_below (&dice, 3)) {
            workers [i]--;
            routes_remove (&routes, &methods, known [i]);
        } else {
            workers [i]++;
            CHECK (routes_add (&routes, &methods, known [i]));
        }
        unsigned present = 0;
        for (unsigned m = 0; m < METHODS; m++) {
            bool there = false, agreed = true;
            for (unsigned c = 0; c < CONTRACTS; c++)
                if (workers [c] && m >= first [c] && m < first [c] + count [c]) {
                    there = true;
                    agreed = agreed && idempotent [c];
                }
            const route_t *route = route_of (m);
            CHECK_INT (route != NULL, there);
            CHECK (!route || (route->flags & METHOD_IDEMPOTENT) == agreed);
            present += there;
        }
        CHECK_INT (methods.count, present);
    }
    for (unsigned i = 0; i < CONTRACTS; i++) {
        while (workers [i]--)
            routes_remove (&routes, &methods, known [i]);
        contracts_release (&contracts, &known [i]);
    }
    tear_down ();
}

TEST (the_methods_of_a_service_are_bounded)
{
    set_up ();
    contract_t *full [WEFT_SERVICE_METHODS_MAX / WEFT_METHODS_MAX];
    const unsigned fulls = sizeof full / sizeof *full;
    for (unsigned i = 0; i < fulls; i++) {
        full [i] = contract_of (i * WEFT_METHODS_MAX, WEFT_METHODS_MAX, 0, "1");
        CHECK (!routes_overflow (&routes, &methods, full [i]));
        routes_add (&routes, &methods, full [i]);
    }
    contract_t *more = contract_of (WEFT_SERVICE_METHODS_MAX, 1, 0, "1"), *same = contract_of (5, 3, 0, "2");
    CHECK (routes_overflow (&routes, &methods, more));
    CHECK (!routes_overflow (&routes, &methods, same)); /* others have these methods too */
    for (unsigned i = 0; i < fulls; i++) {
        routes_remove (&routes, &methods, full [i]);
        contracts_release (&contracts, &full [i]);
    }
    contracts_release (&contracts, &more);
    contracts_release (&contracts, &same);
    tear_down ();
}
