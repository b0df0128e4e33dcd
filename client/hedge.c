/* SPDX-License-Identifier: MPL-2.0
 *
 *  hedge.c - a second attempt beside one that takes unusually long (failbackup).
 *
 *      the first is sent --answer----------------------------------------------> ended
 *          | unusually long, another worker is there, the budget pays           ^
 *      both are open --one answers: the other is cancelled----------------------|
 *          | one fails                                                          |
 *      the other is open --answer-----------------------------------------------'
 *          | fails
 *      as if it had never had two: tried again, or the end
 *
 *  An answer is what ran, well or not. What did not run, or perhaps did, ends nothing while the other attempt
 *  may still be answered.
 *
 *  Both attempts may run to their end, so the service must have declared the method idempotent. A request key
 *  would not make up for that: the worker that has it answers once, but the other one does not know it. Nor is
 *  a keyed call of an idempotent method hedged, as its caller wants it to run once if that can be had. */

#include "channel_inside.h"
#include <stdlib.h>

#define UNKNOWN_SHARE 10 /* of the timeout is waited while nobody knows how long the method takes */

static discovery_t *discovery_of (channel_t *self, const weft_call_t *call)
{
    return table_get (&self->services, call->service.data, call->service.size);
}

static tail_t *tail_of (channel_t *self, const weft_call_t *call)
{
    discovery_t *discovery = discovery_of (self, call);
    return discovery ? discovery_tail (discovery, call->name.data, call->name.size, self->now_us) : NULL;
}

static attempt_t *beside (weft_call_t *call, const attempt_t *attempt)
{
    return attempt == &call->attempt ? &call->backup->attempt : &call->attempt;
}

/*  When. */

/*  While there is no list nobody knows what is idempotent, and there is nobody else to go to either. */
static bool is_wanted (channel_t *self, const weft_call_t *call)
{
    const discovery_t *discovery = discovery_of (self, call);
    return !call->hedged && !call->intake && !call->ours && !call->only [0] && !call->request_key.size &&
           call->attempts < WEFT_ATTEMPTS_MAX &&
           (!discovery || !discovery->listed || call_is_idempotent (self, call));
}

static int64_t delay_us (channel_t *self, const weft_call_t *call)
{
    tail_t *tail = tail_of (self, call);
    int64_t us = tail ? tail_p95_us (tail, self->now_us) : 0;
    if (call->settings.backup_ms)
        us = call->settings.backup_ms * 1000LL;
    else if (us == 0)
        us = call->settings.timeout_ms * 1000LL / UNKNOWN_SHARE;
    return us > WEFT_BACKUP_MS_MIN * 1000LL ? us : WEFT_BACKUP_MS_MIN * 1000LL;
}

int64_t hedge_at_us (channel_t *self, const attempt_t *attempt)
{
    const weft_call_t *call = attempt->call;
    return is_wanted (self, call) ? self->now_us + delay_us (self, call) : call->deadline_us;
}

/*  The second attempt. */

static backup_t *backup_of (weft_call_t *call)
{
    if (!call->backup && (call->backup = calloc (1, sizeof *call->backup)))
        call->backup->attempt.call = call;
    return call->backup;
}

void hedge_due (channel_t *self, weft_call_t *call)
{
    link_t *link;
    endpoint_t *endpoint;
    if (!is_wanted (self, call) || !backup_of (call) || !route_beside (self, call, &link, &endpoint) ||
        !retry_budget_take (&self->budget, self->now_us))
        return;
    call->hedged = true;
    call->backup->not_before_us = 0;
    self->stats.hedged++;
    attempt_begin_beside (self, &call->backup->attempt, link, endpoint);
}

/*  One of them answered. */

/*  Nobody waits for it any more: it takes longer than `attempt->sent_us` was ago. */
static void note_given_up (channel_t *self, attempt_t *attempt)
{
    const int64_t after_us = self->now_us - attempt->sent_us + 1;
    tail_t *tail = tail_of (self, attempt->call);
    if (attempt->request.id == 0)
        return;
    if (tail)
        tail_note_given_up (tail, after_us, self->now_us);
    if (attempt->endpoint && attempt->call->direct)
        endpoint_outrun (attempt->endpoint, after_us, self->now_us);
}

static void answered_beside (channel_t *self, attempt_t *attempt)
{
    weft_call_t *call = attempt->call;
    attempt_t *other = beside (call, attempt);
    if (other->request.link) {
        note_given_up (self, other);
        attempt_withdraw (self, other);
    }
    if (attempt->endpoint)
        memcpy (call->worker, attempt->endpoint->uuid, sizeof call->worker);
    if (attempt == &call->attempt)
        return;
    self->stats.hedges_won++;
    call->ledger.earlier_us = attempt->sent_us - call->started_us - call->ledger.client_queue_us;
}

void hedge_answered (channel_t *self, attempt_t *attempt)
{
    tail_t *tail = tail_of (self, attempt->call);
    if (tail)
        tail_note (tail, self->now_us - attempt->sent_us + 1, self->now_us);
    if (attempt->call->hedged)
        answered_beside (self, attempt);
}

/*  None did. */

bool hedge_goes_on (channel_t *self, attempt_t *attempt, outcome_t *outcome)
{
    weft_call_t *call = attempt->call;
    backup_t *backup = call->backup;
    const attempt_t *other = beside (call, attempt);
    if (self->now_us + outcome->retry_after_us < backup->not_before_us)
        outcome->retry_after_us = backup->not_before_us - self->now_us;
    if (!other->request.link)
        return false;
    if (outcome->retry_after_us)
        backup->not_before_us = self->now_us + outcome->retry_after_us;
    if (outcome->executed == WEFT_EXECUTED_MAYBE)
        call->executed_before = WEFT_EXECUTED_MAYBE;
    call_forget_times (call);
    call_drop_body (call); /* of an error that was not said to have run */
    if (other->request.id == 0)
        call_wait_link (self, call);
    return true;
}

void hedge_in_vain (channel_t *self, weft_call_t *call)
{
    note_given_up (self, &call->attempt);
    if (call->hedged)
        note_given_up (self, &call->backup->attempt);
}
