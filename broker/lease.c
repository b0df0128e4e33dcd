/* SPDX-License-Identifier: MPL-2.0 */

#include "lease.h"

lease_terms_t lease_terms (int64_t ttl_ms, int64_t beat_ms)
{
    return (lease_terms_t){
        .suspect_us = (beat_ms + (ttl_ms - beat_ms) / 2) * 1000,
        .ttl_us = ttl_ms * 1000,
        .since_us = INT64_MIN,
        .grace_us = INT64_MIN,
    };
}

void lease_begin (lease_t *self, int64_t now_us)
{
    *self = (lease_t){LEASE_ALIVE, now_us};
}

void lease_beat (lease_t *self, int64_t now_us)
{
    if (self->state == LEASE_DEAD || self->state == LEASE_JOINING)
        return;
    self->heard_us = now_us;
    self->state = LEASE_ALIVE;
}

int64_t lease_silent_since_us (const lease_t *self, const lease_terms_t *terms)
{
    return self->heard_us > terms->since_us ? self->heard_us : terms->since_us;
}

lease_state_t lease_state (const lease_t *self, const lease_terms_t *terms, int64_t now_us)
{
    const int64_t silent_us = now_us - lease_silent_since_us (self, terms);

    if (self->state == LEASE_JOINING || self->state == LEASE_DEAD)
        return self->state;
    if (silent_us >= terms->ttl_us && now_us >= terms->grace_us)
        return LEASE_DEAD;
    return silent_us >= terms->suspect_us ? LEASE_SUSPECT : LEASE_ALIVE;
}

lease_action_t lease_tick (lease_t *self, const lease_terms_t *terms, int64_t now_us)
{
    const lease_state_t before = self->state, now = lease_state (self, terms, now_us);

    self->state = before == LEASE_ALIVE && now == LEASE_DEAD ? LEASE_SUSPECT : now;
    if (self->state == before)
        return LEASE_NOTHING;
    return self->state == LEASE_DEAD ? LEASE_EVICT : self->state == LEASE_SUSPECT ? LEASE_SUSPECTED : LEASE_NOTHING;
}

int64_t lease_next_us (const lease_t *self, const lease_terms_t *terms)
{
    if (self->state == LEASE_JOINING || self->state == LEASE_DEAD)
        return INT64_MAX;
    if (self->state != LEASE_SUSPECT)
        return lease_silent_since_us (self, terms) + terms->suspect_us;
    const int64_t dead_us = lease_silent_since_us (self, terms) + terms->ttl_us;
    return dead_us > terms->grace_us ? dead_us : terms->grace_us;
}
