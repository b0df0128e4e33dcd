/* SPDX-License-Identifier: MPL-2.0 */

#include <ctype.h>
#include "check.h"
#include "clock.h"

TEST (uuids_differ_in_every_part)
{
    char one [UUID_SIZE + 1];
    bool differs [UUID_SIZE] = {false};
    char first [UUID_SIZE + 1];

    clock_uuid (first);
    for (int i = 0; i < 100; i++) {
        clock_uuid (one);
        for (int k = 0; k < UUID_SIZE; k++)
            differs [k] |= one [k] != first [k];
    }
    for (int k = 0; k < UUID_SIZE; k++) {
        const bool fixed = k == 8 || k == 13 || k == 14 || k == 18 || k == 23;
        CHECK (differs [k] == !fixed);
        CHECK (fixed || isxdigit ((unsigned char) first [k]));
    }
    CHECK (first [14] == '4' && strchr ("89ab", first [19]));
    CHECK_INT (strlen (first), UUID_SIZE);
}
