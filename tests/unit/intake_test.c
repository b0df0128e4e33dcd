/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "intake.h"
#include <string.h>

static intake_t *asked (uint64_t window)
{
    intake_t *self = intake_new (window);
    CHECK (self);
    CHECK_INT (intake_begin (self), window);
    return self;
}

static intake_result_t put (intake_t *self, uint64_t index, size_t size)
{
    static const char body [4 * WEFT_STREAM_CREDIT_BYTES];
    CHECK (size <= sizeof body);
    return intake_put (self, index, body, size, NULL);
}

TEST (items_come_out_as_they_went_in)
{
    intake_t *self = asked (64);
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
    intake_t *self = asked (2);
    CHECK_INT (put (self, 1, 1), INTAKE_GAP);
    CHECK_INT (put (self, 0, 1), INTAKE_OK);
    CHECK_INT (put (self, 0, 1), INTAKE_GAP); /* twice */
    CHECK_INT (put (self, 1, 1), INTAKE_OK);
    CHECK_INT (put (self, 2, 1), INTAKE_UNASKED);
    CHECK_INT (self->held, 2);
    intake_free (self);
}

/*  Takes items one by one, as many as may come at once; the most that were held. */
static size_t run (intake_t *self, int items, size_t size, int *asks)
{
    size_t most = 0, held = 0;
    for (int i = 0; i < items; i++) {
        for (; self->promised > 0; held++)
            CHECK_INT (put (self, self->index, size), INTAKE_OK);
        most = held > most ? held : most;
        CHECK (intake_take (self));
        held--;
        *asks += intake_ask (self) > 0;
        CHECK (self->promised > 0 || intake_holds (self)); /* or it would stop for ever */
        CHECK (self->promised + self->held <= self->window);
    }
    return most;
}

TEST (half_a_window_at_a_time_is_asked_for)
{
    intake_t *self = asked (64);
    int asks = 0;
    CHECK_INT (run (self, 6400, 10, &asks), 64);
    CHECK (asks >= 190 && asks <= 210);
    intake_free (self);
}

TEST (a_large_item_takes_several_places)
{
    intake_t *self = asked (64);
    int asks = 0;
    CHECK_INT (run (self, 100, WEFT_STREAM_CREDIT_BYTES - 1, &asks), 64);
    intake_free (self);
    self = asked (64);
    CHECK_INT (run (self, 100, WEFT_STREAM_CREDIT_BYTES, &asks), 32);
    intake_free (self);
    self = asked (64);
    CHECK_INT (run (self, 100, 4 * WEFT_STREAM_CREDIT_BYTES, &asks), 13); /* of five each; the last one overdraws */
    intake_free (self);
}

/*  While the first are small, the whole window is promised; then large ones come. */
TEST (items_that_grow_take_no_more_than_the_window)
{
    intake_t *self = asked (64);
    int asks = 0;
    size_t held = 0;
    run (self, 100, 10, &asks);
    while (intake_take (self))
        intake_ask (self);
    for (; self->promised > 0; held += 4 * WEFT_STREAM_CREDIT_BYTES)
        CHECK_INT (put (self, self->index, 4 * WEFT_STREAM_CREDIT_BYTES), INTAKE_OK);
    CHECK (held > 0 && held < (64 + 4) * (size_t) WEFT_STREAM_CREDIT_BYTES);
    CHECK_INT (put (self, self->index, 0), INTAKE_UNASKED);
    intake_free (self);
}

TEST (a_small_window_takes_items_of_any_size)
{
    for (uint64_t window = 1; window <= 3; window++) {
        intake_t *self = asked (window);
        int asks = 0;
        CHECK_INT (run (self, 100, 10, &asks), window);
        run (self, 100, 4 * WEFT_STREAM_CREDIT_BYTES, &asks);
        CHECK_INT (run (self, 100, 4 * WEFT_STREAM_CREDIT_BYTES, &asks), 1);
        intake_free (self);
    }
}

TEST (another_attempt_begins_from_nothing)
{
    intake_t *self = asked (2);
    CHECK_INT (put (self, 0, 4 * WEFT_STREAM_CREDIT_BYTES), INTAKE_OK);
    CHECK_INT (intake_begin (self), 2);
    CHECK (!intake_holds (self));
    CHECK_INT (put (self, 0, 1), INTAKE_OK);
    CHECK_INT (put (self, 1, 1), INTAKE_OK);
    intake_free (self);
}
