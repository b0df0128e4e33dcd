/* SPDX-License-Identifier: MPL-2.0 */

#include "pulse.h"

void pulse_begin (pulse_t *self)
{
    *self = (pulse_t){.state = PULSE_ALIVE};
}

void pulse_beat (pulse_t *self, const wire_load_t *load, uint64_t capacity, int64_t bound_us)
{
    const bool moved = load->progress != self->progress || load->in_flight == 0;
    const bool old = load->oldest_ms >= (uint64_t) bound_us / 1000;

    self->still = moved ? 0 : self->still < PULSE_STILL_BEATS ? self->still + 1 : self->still;
    self->progress = load->progress;
    self->full = capacity > 0 && load->in_flight >= capacity;
    self->state = old && self->still >= PULSE_STILL_BEATS ? PULSE_STUCK : self->full ? PULSE_BUSY : PULSE_ALIVE;
}
