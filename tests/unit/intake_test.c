/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "intake.h"
#include <string.h>

static intake_t *asked (uint64_t window, uint64_t first)
{
    intake_t *self = intake_new (window);
    CHECK (self);
    CHECK_INT (intake_begin (self), first);
    return self;
}

static intake_result_t put (intake_t *self, uint64_t index, size_t size)
{
    static const char body [4096];
    CHECK (size <= sizeof body);
    return intake_put (self, index, body, size, NULL);
}

TEST (items_come_out_as_they_went_in)
{
    intake_t *self = asked (64, 2);
    CHECK (!intake_holds (self) && !intake_take (self));
    CHECK_INT (intake_put (self, 0, "ab", 2, NULL), INTAKE_OK);
    CHECK_INT (intake_put (self, 1, "", 0, NULL), INTAKE_OK);
    intake_item_t *item = intake_take (self);
    CHECK_MEM (intake_bytes (item), item->size, "ab", 2);
    item = intake_take (self);
    CHECK_INT (item->size, 0);
    CHECK (intake_bytes (item));
    CHECK (!intake_take (self));
    CHECK_INT (self->taken, 2);
    intake_free (self);
}

TEST (what_was_not_asked_for_or_leaves_a_gap_is_not_taken)
{
    intake_t *self = asked (64, 2);
    CHECK_INT (put (self, 1, 1), INTAKE_GAP);
    CHECK_INT (put (self, 0, 1), INTAKE_OK);
    CHECK_INT (put (self, 0, 1), INTAKE_GAP); /* twice */
    CHECK_INT (put (self, 1, 1), INTAKE_OK);
    CHECK_INT (put (self, 2, 1), INTAKE_UNASKED);
    CHECK_INT (self->held, 2);
    intake_free (self);
}

/*  Takes what is held, one by one; the most that were out at once. */
static uint64_t run (intake_t *self, int items, size_t size, uint64_t *asks)
{
    uint64_t most = 0;
    for (int i = 0; i < items; i++) {
        while (self->promised > 0)
            CHECK_INT (put (self, self->index, size), INTAKE_OK);
        most = self->held > most ? self->held : most;
        CHECK (intake_take (self));
        *asks += intake_ask (self) > 0;
        CHECK (self->promised + self->held > 0); /* or it would stop for ever */
    }
    return most;
}

TEST (half_a_window_at_a_time_is_asked_for)
{
    intake_t *self = asked (64, 2);
    uint64_t asks = 0;
    CHECK_INT (run (self, 6400, 10, &asks), 64);
    CHECK (asks >= 190 && asks <= 210);
    intake_free (self);
}

TEST (large_items_narrow_the_window_and_never_close_it)
{
    intake_t *self = asked (64, 2);
    uint64_t asks = 0;
    self->largest = WEFT_STREAM_WINDOW_BYTES / 10;
    CHECK_INT (run (self, 100, 10, &asks), 10);
    intake_free (self);
    self = asked (64, 2);
    self->largest = 10 * (size_t) WEFT_STREAM_WINDOW_BYTES;
    CHECK_INT (run (self, 100, 10, &asks), 2);
    intake_free (self);
}

TEST (a_window_of_one_or_two_items_works)
{
    for (uint64_t window = 1; window <= 3; window++) {
        intake_t *self = asked (window, window < 2 ? 1 : 2);
        uint64_t asks = 0;
        CHECK_INT (run (self, 100, 10, &asks), window);
        self->largest = 10 * (size_t) WEFT_STREAM_WINDOW_BYTES;
        run (self, 100, 10, &asks);
        intake_free (self);
    }
}

TEST (another_attempt_begins_from_nothing)
{
    intake_t *self = asked (64, 2);
    CHECK_INT (put (self, 0, 1), INTAKE_OK);
    CHECK_INT (intake_begin (self), 2);
    CHECK (!intake_holds (self));
    CHECK_INT (put (self, 0, 1), INTAKE_OK);
    CHECK_INT (put (self, 1, 1), INTAKE_OK);
    intake_free (self);
}
