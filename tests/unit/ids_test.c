/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "dice.h"
#include "ids.h"

TEST (n3_ids_grow_and_map_to_what_they_stand_for)
{
    ids_t ids;
    int things [300];
    ids_init (&ids);
    CHECK (ids_get (&ids, 1) == NULL);
    CHECK (ids_take (&ids, 1) == NULL);
    for (uint64_t i = 0; i < 300; i++)
        CHECK_INT (ids_put (&ids, &things [i]), i + 1);
    CHECK_INT (ids.count, 300);
    for (uint64_t i = 0; i < 300; i++)
        CHECK (ids_get (&ids, i + 1) == &things [i]);
    CHECK (ids_get (&ids, 0) == NULL);
    CHECK (ids_get (&ids, 301) == NULL);
    CHECK (ids_take (&ids, 7) == &things [6]);
    CHECK (ids_take (&ids, 7) == NULL);
    CHECK_INT (ids_put (&ids, &things [6]), 301); /* never 7 again */
    ids_fini (&ids);
}

TEST (ids_survive_any_order_of_taking)
{
    enum { OPEN = 500 };
    ids_t ids;
    dice_t dice;
    static uint64_t open [OPEN];
    static char things [20000], *thing [OPEN];
    uint64_t last = 0;
    size_t count = 0;
    ids_init (&ids);
    dice_init (&dice, 5);
    for (int step = 0; step < 20000; step++) {
        if (count < OPEN && dice_below (&dice, 2)) {
            const uint64_t id = ids_put (&ids, &things [step]);
            CHECK (id > last);
            last = id;
            thing [count] = &things [step];
            open [count++] = id;
        } else if (count) {
            const size_t at = dice_below (&dice, count);
            CHECK (ids_take (&ids, open [at]) == thing [at]);
            CHECK (ids_get (&ids, open [at]) == NULL);
            open [at] = open [--count];
            thing [at] = thing [count];
        }
        CHECK_INT (ids.count, count);
    }
    for (size_t i = 0; i < count; i++)
        CHECK (ids_get (&ids, open [i]) == thing [i]);
    ids_fini (&ids);
}

/*  A call that stays open for long: its cell comes round again and again. */
TEST (an_id_that_stays_is_never_in_the_way)
{
    ids_t ids;
    int lasting, passing;
    ids_init (&ids);
    CHECK_INT (ids_put (&ids, &lasting), 1);
    for (uint64_t last = 1; last < 1000;) {
        const uint64_t id = ids_put (&ids, &passing);
        CHECK (id > last);
        CHECK (ids_get (&ids, 1) == &lasting);
        CHECK (ids_take (&ids, id) == &passing);
        last = id;
    }
    CHECK_INT (ids.count, 1);
    CHECK (ids_take (&ids, 1) == &lasting);
    ids_fini (&ids);
}
