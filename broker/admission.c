/* SPDX-License-Identifier: MPL-2.0
 *
 *  admission.c - may one more call come in?
 *
 *  Not while the broker stops, nor with a body or options over the limits, nor without time. And three things run out: places for calls
 *  that are open, places in a queue, and memory for what waits there; of each, nobody gets so much that others find none. */

#include "core.h"

/*  Of whatever there is not enough for all, a client may take more only while it leaves as much free as it then has: so whoever has
 *  nothing finds room, however much others ask for. */
static bool is_fair (size_t own, size_t more, size_t held, size_t max)
{
    return held + own + more <= max;
}

/*  In the time that all calls that are open now take, some will be free again of whatever there are too many of. */
static bool come_back (broker_t *self, refusal_t *refusal)
{
    refusal->retry_after_ms =
        outflow_ms (&self->outflow, self->counters.replies, self->calls.open.count, self->now_us);
    return false;
}

bool admission_call (broker_t *self, const peer_t *peer, const wire_record_t *record, refusal_t *refusal)
{
    if (self->draining)
        return refuse (refusal, WEFT_DRAINING, "the broker is stopping");
    if (record->body_size > self->settings.body_max)
        return refuse (refusal, WEFT_TOO_LARGE, "a body of %zu bytes; the limit is %zu", record->body_size,
                       self->settings.body_max);
    if (record->remaining_ms == 0)
        return refuse (refusal, WEFT_DEADLINE_EXCEEDED, "no time was left when the call came");
    if (wire_envelope_size (record) > WEFT_ENVELOPE_MAX)
        return refuse (refusal, WEFT_INVALID, "a request of %zu bytes without its body, mostly options; the limit is %d",
                       wire_envelope_size (record), WEFT_ENVELOPE_MAX);
    if (peer->caller.calls.count >= self->settings.client_calls_max) {
        refuse (refusal, WEFT_OVERLOADED, "this client has %zu calls open; the limit is %zu", peer->caller.calls.count,
                self->settings.client_calls_max);
        return come_back (self, refusal);
    }
    if (!is_fair (peer->caller.calls.count, 1, self->calls.open.count, self->settings.calls_max)) {
        refuse (refusal, WEFT_OVERLOADED,
                "the broker holds %u calls, %zu of them for this client; the limit is %zu, half of it for one alone",
                self->calls.open.count, peer->caller.calls.count, self->settings.calls_max);
        return come_back (self, refusal);
    }
    return true;
}

bool admission_lane (broker_t *self, lane_t *lane, const caller_t *caller, refusal_t *refusal)
{
    const size_t max = self->settings.service_queue_max;
    const size_t own = 2 * lane->queued < max ? 0 : dispatch_waiting (&self->dispatch, lane, caller); /* when it matters */

    if (is_fair (own, 1, lane->queued, max))
        return true;
    refuse (refusal, WEFT_OVERLOADED,
            "%zu calls wait already, %zu of them for this client; the limit is %zu, half of it for one alone", lane->queued,
            own, max);
    refusal->retry_after_ms = outflow_ms (&lane->outflow, lane->served, lane->queued, self->now_us);
    return false;
}

bool admission_memory (broker_t *self, const caller_t *caller, size_t size, refusal_t *refusal)
{
    if (is_fair (caller->bytes, size, self->calls.bytes, self->settings.memory_max))
        return true;
    refuse (refusal, WEFT_OVERLOADED, "waiting calls fill the broker's memory of %zu bytes, or this client's share of it",
            self->settings.memory_max);
    return come_back (self, refusal);
}
