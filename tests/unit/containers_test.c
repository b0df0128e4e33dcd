/* SPDX-License-Identifier: MPL-2.0
 *
 *  The tables and heaps that every room stands on, each against a simple model. */

#include "buffer.h"
#include "check.h"
#include "deadlines.h"
#include "dice.h"
#include "list.h"
#include "slots.h"
#include "table.h"
#include <stdio.h>
#include <stdlib.h>

TEST (slots_forget_an_id_for_good)
{
    slots_t slots;
    int value;
    slots_init (&slots, 100);
    const uint64_t id = slots_put (&slots, &value);
    CHECK (id != 0);
    CHECK (slots_get (&slots, id) == &value);
    CHECK (slots_get (&slots, id + 1) == NULL);
    CHECK (slots_get (&slots, id + ((uint64_t) 1 << 32)) == NULL);
    CHECK (slots_get (&slots, 0) == NULL);
    CHECK (slots_take (&slots, id) == &value);
    CHECK (slots_take (&slots, id) == NULL);
    for (int i = 0; i < 1000; i++) {
        const uint64_t other = slots_put (&slots, &value);
        CHECK (other != id);
        CHECK (slots_get (&slots, id) == NULL);
        slots_take (&slots, other);
    }
    CHECK_INT (slots.count, 0);
    slots_fini (&slots);
}

TEST (slots_are_bounded)
{
    for (uint32_t max = 0; max < 200; max += 7) {
        slots_t slots;
        slots_init (&slots, max);
        for (uint32_t i = 0; i < max; i++)
            CHECK (slots_put (&slots, &slots) != 0);
        CHECK (slots_put (&slots, &slots) == 0);
        CHECK_INT (slots.count, max);
        uint32_t position = 0, walked = 0;
        while (slots_next (&slots, &position))
            walked++;
        CHECK_INT (walked, max);
        slots_fini (&slots);
    }
}

TEST (deadlines_come_in_order_whatever_is_moved_or_cancelled)
{
    enum { N = 500 };
    static deadline_t nodes [N];
    deadlines_t heap;
    dice_t dice;
    dice_init (&dice, 42);
    deadlines_init (&heap);
    memset (nodes, 0, sizeof nodes);
    CHECK (deadlines_next (&heap) == DEADLINES_NEVER);

    for (int i = 0; i < 20000; i++) {
        deadline_t *node = &nodes [dice_below (&dice, N)];
        if (dice_below (&dice, 3) == 0)
            deadlines_cancel (&heap, node);
        else
            CHECK (deadlines_set (&heap, node, (int64_t) dice_below (&dice, 1000)));
        int64_t first = DEADLINES_NEVER;
        for (int j = 0; j < N; j++)
            if (nodes [j].index && nodes [j].at_us < first)
                first = nodes [j].at_us;
        CHECK_INT (deadlines_next (&heap), first);
    }
    CHECK (deadlines_pop (&heap, -1) == NULL);
    int64_t last = 0;
    size_t left = heap.count;
    for (deadline_t *node; (node = deadlines_pop (&heap, 1000)); left--) {
        CHECK (node->at_us >= last && node->index == 0);
        last = node->at_us;
    }
    CHECK_INT (left, 0);
    deadlines_fini (&heap);
}

/*  Nodes that are put in lazily come out as if they had not been, if whoever waits comes back when deadlines_next says. */
TEST (deadlines_are_met_however_lazily_they_are_set)
{
    enum { N = 200 };
    static deadline_t nodes [N];
    static bool in [N];
    deadlines_t heap;
    dice_t dice;
    int64_t now_us = 0;
    size_t met = 0, left = 0;
    dice_init (&dice, 43);
    deadlines_init (&heap);
    memset (nodes, 0, sizeof nodes);

    for (int i = 0; i < 50000; i++) {
        const size_t k = dice_below (&dice, N);
        const int64_t at_us = now_us + (int64_t) dice_below (&dice, 4 * DEADLINES_YOUNG_US);
        if (in [k])
            deadlines_cancel (&heap, &nodes [k]);
        else if (dice_below (&dice, 4))
            CHECK (deadlines_set_lazily (&heap, &nodes [k], at_us, now_us));
        else
            CHECK (deadlines_set (&heap, &nodes [k], at_us));
        in [k] = !in [k];
        if (in [k] && dice_below (&dice, 8) == 0)
            CHECK (deadlines_set (&heap, &nodes [k], at_us / 2 + now_us / 2)); /* moved, from wherever it was */

        const int64_t sleep_us = now_us + (int64_t) dice_below (&dice, 4000), next_us = deadlines_next (&heap);
        now_us = next_us < sleep_us ? (next_us > now_us ? next_us : now_us) : sleep_us;
        for (deadline_t *due; (due = deadlines_pop (&heap, now_us)); met++) {
            CHECK_INT (due->at_us, now_us < due->at_us ? -1 : due->at_us);
            CHECK (in [due - nodes]);
            in [due - nodes] = false;
        }
        CHECK (deadlines_next (&heap) > now_us);
        for (size_t j = 0; j < N; j++)
            CHECK (!in [j] || nodes [j].at_us > now_us);
    }
    CHECK (met > 1000);
    for (size_t j = 0; j < N; j++)
        left += in [j];
    CHECK_INT (heap.count + heap.young.count, left);
    for (size_t j = 0; j < N; j++)
        deadlines_cancel (&heap, &nodes [j]);
    CHECK (deadlines_next (&heap) == DEADLINES_NEVER);
    deadlines_fini (&heap);
}

/*  Whoever reserved room for all does not look whether there was memory. */
TEST (deadlines_need_no_more_room_for_a_young_node_that_takes_its_place)
{
    enum { N = 63 };
    static deadline_t nodes [N];
    deadlines_t heap;
    deadlines_init (&heap);
    memset (nodes, 0, sizeof nodes);
    CHECK (deadlines_reserve (&heap, N));
    const size_t capacity = heap.capacity;
    CHECK_INT (capacity, N + 1);
    for (int i = 0; i < N; i++)
        CHECK (deadlines_set_lazily (&heap, &nodes [i], 1000000, 0));
    for (int i = 0; i < N; i++)
        CHECK (deadlines_set (&heap, &nodes [i], 1000));
    CHECK_INT (heap.capacity, capacity);
    CHECK_INT (heap.count, N);
    deadlines_fini (&heap);
}

TEST (there_is_room_for_all_that_grow_old_at_once)
{
    enum { N = 1000 };
    static deadline_t nodes [N];
    deadlines_t heap;
    deadlines_init (&heap);
    memset (nodes, 0, sizeof nodes);
    for (int i = 0; i < N; i++)
        CHECK (deadlines_set_lazily (&heap, &nodes [i], 10 * DEADLINES_YOUNG_US - i, 0));
    CHECK (heap.capacity > N);
    CHECK (deadlines_pop (&heap, DEADLINES_YOUNG_US) == NULL);
    CHECK_INT (heap.count, N);
    for (int i = N; i > 0; i--)
        CHECK (deadlines_pop (&heap, 10 * DEADLINES_YOUNG_US) == &nodes [i - 1]);
    deadlines_fini (&heap);
}

TEST (table_agrees_with_a_model)
{
    enum { N = 300 };
    int values [N];
    bool in [N] = {false};
    table_t table;
    dice_t dice;
    size_t count = 0;
    dice_init (&dice, 7);
    table_init (&table, 99);
    for (int i = 0; i < 50000; i++) {
        const size_t k = dice_below (&dice, N);
        char key [40];
        const size_t size = (size_t) snprintf (key, sizeof key, "%0*zu", (int) (k % 30), k);
        if (dice_below (&dice, 2)) {
            CHECK (table_put (&table, key, size, &values [k]));
            count += !in [k];
            in [k] = true;
        } else {
            CHECK (table_take (&table, key, size) == (in [k] ? &values [k] : NULL));
            count -= in [k];
            in [k] = false;
        }
        CHECK (table_get (&table, key, size) == (in [k] ? &values [k] : NULL));
        CHECK_INT (table.count, count);
    }
    size_t position = 0, walked = 0;
    while (table_next (&table, &position))
        walked++;
    CHECK_INT (walked, count);
    table_fini (&table);
}

TEST (list_keeps_order_and_count)
{
    struct item {
        int number;
        list_node_t node;
    } items [3] = {{1, {0}}, {2, {0}}, {3, {0}}};
    list_t list;
    list_init (&list);
    CHECK (list_first (&list) == NULL && list_pop (&list) == NULL);
    for (int i = 0; i < 3; i++)
        list_push (&list, &items [i].node);
    list_remove (&list, &items [1].node);
    list_remove (&list, &items [1].node); /* harmless */
    CHECK_INT (list.count, 2);
    CHECK (list_after (&list, &items [0].node) == &items [2].node);
    CHECK (list_after (&list, &items [2].node) == NULL);
    CHECK_INT (CONTAINER_OF (list_pop (&list), struct item, node)->number, 1);
    CHECK_INT (CONTAINER_OF (list_pop (&list), struct item, node)->number, 3);
    CHECK (list_empty (&list));
}

TEST (dice_of_one_seed_fall_alike)
{
    dice_t a, b, c;
    dice_init (&a, 1);
    dice_init (&b, 1);
    dice_init (&c, 2);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        const uint64_t number = dice_next (&a);
        CHECK (number == dice_next (&b));
        same += number == dice_next (&c);
    }
    CHECK_INT (same, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK (dice_below (&a, 7) < 7);
        CHECK (dice_unit (&a) >= 0 && dice_unit (&a) < 1);
    }
}

TEST (a_buffer_takes_what_one_large_body_needs_and_doubles_for_many_small_ones)
{
    static char body [100000];
    buffer_t buffer;
    buffer_init (&buffer, 150000);
    buffer_append (&buffer, "head", 4);
    buffer_append (&buffer, body, sizeof body);
    CHECK_INT (buffer.capacity, sizeof body + 4);
    for (int i = 0; i < 49996; i++)
        buffer_append (&buffer, "x", 1);
    CHECK (!buffer.failed);
    CHECK_INT (buffer.size, 150000);
    CHECK_INT (buffer.capacity, 150000);
    buffer_append (&buffer, "x", 1);
    CHECK (buffer.failed);
    CHECK_INT (buffer.size, 150000);
    buffer_fini (&buffer);

    size_t grown = 0, capacity = 0;
    buffer_init (&buffer, SIZE_MAX);
    for (int i = 0; i < 100000; i++) {
        buffer_append (&buffer, "x", 1);
        grown += buffer.capacity != capacity;
        capacity = buffer.capacity;
    }
    CHECK (grown < 12);
    buffer_fini (&buffer);
}

TEST (a_buffer_gives_back_what_it_does_not_fill)
{
    buffer_t buffer;
    buffer_init (&buffer, 100000);
    buffer_trim (&buffer);
    CHECK (!buffer.data);
    CHECK (buffer_extend (&buffer, 50000));
    buffer_truncate (&buffer, 3);
    memcpy (buffer.data, "abc", 3);
    buffer_trim (&buffer);
    CHECK_INT (buffer.capacity, 3);
    CHECK_MEM (buffer.data, buffer.size, "abc", 3);
    buffer_append (&buffer, "d", 1);
    CHECK_MEM (buffer.data, buffer.size, "abcd", 4);
    buffer_fini (&buffer);
}
