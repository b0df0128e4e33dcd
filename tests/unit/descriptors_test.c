/* SPDX-License-Identifier: MPL-2.0 */

#include <weft/limits.h>
#include "check.h"
#include "deadlines.h"
#include "descriptors.h"

#define SECOND 1000000LL

static const int64_t silence_us = WEFT_SILENCE_MS * 1000LL;

TEST (what_was_never_heard_of_is_unknown)
{
    descriptors_t all;
    descriptors_init (&all);
    CHECK (!descriptors_find (&all, -1) && !descriptors_find (&all, 0) && !descriptors_find (&all, 1000000));
    descriptors_opened (&all, -1, 0);
    descriptors_release (&all, 7, &all, 0);
    CHECK_INT (descriptors_next_us (&all), DEADLINES_NEVER);
    CHECK_INT (descriptors_take_silent (&all, 100 * SECOND), -1);
    descriptors_fini (&all);
}

TEST (one_that_is_opened_again_is_nobodys)
{
    descriptors_t all;
    int owner;
    descriptors_init (&all);
    descriptors_opened (&all, 700, 0);
    CHECK (descriptors_find (&all, 700)->open && !descriptors_find (&all, 700)->owner);
    CHECK (!descriptors_find (&all, 699)->open);
    descriptors_find (&all, 700)->owner = &owner;
    CHECK (descriptors_holds (&all, 700, &owner) && !descriptors_holds (&all, 700, NULL));
    CHECK (descriptors_opened (&all, 700, SECOND) == &owner);
    CHECK (descriptors_holds (&all, 700, NULL));
    descriptors_fini (&all);
}

TEST (one_that_is_closed_tells_whose_it_was)
{
    descriptors_t all;
    int owner;
    descriptors_init (&all);
    CHECK (!descriptors_closed (&all, 5) && !descriptors_closed (&all, -1));
    descriptors_opened (&all, 5, 0);
    CHECK (!descriptors_closed (&all, 5));
    descriptors_opened (&all, 5, 0);
    descriptors_find (&all, 5)->owner = &owner;
    CHECK (descriptors_closed (&all, 5) == &owner);
    CHECK (!descriptors_holds (&all, 5, NULL) && !descriptors_holds (&all, 5, &owner) && !descriptors_closed (&all, 5));
    CHECK (!descriptors_holds (&all, 1000000, NULL));
    descriptors_fini (&all);
}

TEST (those_that_are_nobodys_for_too_long_are_taken_once)
{
    descriptors_t all;
    int owner;
    descriptors_init (&all);
    for (int fd = 10; fd < 14; fd++)
        descriptors_opened (&all, fd, 0);
    descriptors_opened (&all, 14, 2 * SECOND);
    descriptors_find (&all, 11)->owner = &owner;
    descriptors_find (&all, 13)->open = false;
    CHECK_INT (descriptors_take_silent (&all, silence_us - 1), -1);
    CHECK_INT (descriptors_take_silent (&all, silence_us), -1); /* it was looked a moment ago */
    CHECK_INT (descriptors_next_us (&all), silence_us - 1 + SECOND);
    const int64_t later_us = descriptors_next_us (&all);
    CHECK_INT (descriptors_take_silent (&all, later_us), 10);
    CHECK (!descriptors_find (&all, 10)->open);
    CHECK_INT (descriptors_take_silent (&all, later_us), 12);
    CHECK_INT (descriptors_take_silent (&all, later_us), -1);
    CHECK_INT (descriptors_take_silent (&all, 2 * SECOND + silence_us), 14);
    CHECK_INT (descriptors_take_silent (&all, 2 * SECOND + silence_us), -1);
    CHECK_INT (descriptors_take_silent (&all, 100 * SECOND), -1); /* all are somebody's */
    CHECK_INT (descriptors_next_us (&all), DEADLINES_NEVER);
    descriptors_fini (&all);
}

TEST (one_that_is_released_has_as_long_as_a_new_one)
{
    descriptors_t all;
    int owner, other;
    descriptors_init (&all);
    descriptors_opened (&all, 5, 0);
    descriptors_find (&all, 5)->owner = &owner;
    CHECK_INT (descriptors_take_silent (&all, 100 * SECOND), -1);
    descriptors_release (&all, 5, &other, 100 * SECOND); /* it is not his */
    CHECK (descriptors_find (&all, 5)->owner == &owner);
    descriptors_release (&all, 5, &owner, 200 * SECOND);
    CHECK (!descriptors_find (&all, 5)->owner);
    CHECK_INT (descriptors_take_silent (&all, 200 * SECOND + silence_us - 1), -1);
    CHECK_INT (descriptors_take_silent (&all, 201 * SECOND + silence_us), 5);
    descriptors_fini (&all);
}
