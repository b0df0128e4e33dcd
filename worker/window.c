/* SPDX-License-Identifier: MPL-2.0
 *
 *  window.c - how many calls the broker may have open here.
 *
 *  Work should wait at the broker, where any worker can take it. But a call that takes a microsecond must not
 *  wait for a round trip either: then whole batches should be under way. So what is measured is how long calls
 *  wait here for a thread, round by round; a round is as many calls as the window has room for:
 *
 *    a part of it was used, and nothing stayed long  twice as large      (some are always on their way)
 *    something waited longer than is good            half as large
 *    something waited much longer                    the least           (at once)
 *    the window was hardly used                      half as large
 *    nothing came for a while                        the least           (who knows what will come)
 *
 *  The least is twice what runs at once: the next calls are here before one is done. */

#include "window.h"

#define STAY_SHORT_US 500
#define WAIT_LONG_US  1000
#define WAIT_WRONG_US 5000
#define IDLE_US       1000000

static void begin_round (window_t *self)
{
    self->ended = self->peak = 0;
    self->waited_us = self->stayed_us = 0;
}

static void resize (window_t *self, uint64_t size)
{
    self->size = size < self->least ? self->least : size > self->most ? self->most : size;
    begin_round (self);
}

static uint64_t least_for (uint64_t lanes)
{
    return 2 * (lanes < 2 ? 2 : lanes);
}

void window_init (window_t *self, uint64_t lanes, uint64_t room)
{
    const uint64_t least = least_for (lanes);

    *self = (window_t){.lanes = lanes, .least = least};
    self->most = room / 2 > WINDOW_MAX ? WINDOW_MAX : room / 2; /* direct callers want some of it too */
    if (self->most < least)
        self->most = least;
    self->size = least;
}

void window_came (window_t *self, uint64_t here, int64_t now_us)
{
    self->heard_us = now_us;
    if (here > self->peak)
        self->peak = here;
}

static void end_round (window_t *self)
{
    if (self->stayed_us <= STAY_SHORT_US && self->peak * 4 >= self->size)
        resize (self, 2 * self->size);
    else if (self->peak * 16 < self->size)
        resize (self, self->size / 2);
    else
        begin_round (self);
}

void window_ended (window_t *self, int64_t waited_us, int64_t stayed_us, int64_t now_us)
{
    self->heard_us = now_us;
    self->ended++;
    if (waited_us > self->waited_us)
        self->waited_us = waited_us;
    if (stayed_us > self->stayed_us)
        self->stayed_us = stayed_us;
    if (waited_us > WAIT_WRONG_US)
        resize (self, self->least);
    else if (self->ended < self->size)
        return;
    else if (self->waited_us > WAIT_LONG_US)
        resize (self, self->size / 2);
    else
        end_round (self);
}

void window_tick (window_t *self, int64_t now_us)
{
    if (now_us - self->heard_us >= IDLE_US)
        resize (self, self->least);
}

uint64_t window_size (const window_t *self, uint64_t stuck)
{
    const uint64_t free = self->lanes > stuck ? self->lanes - stuck : 0;

    if (free == 0)
        return 0;
    return stuck > 0 ? least_for (free) : self->size;
}
