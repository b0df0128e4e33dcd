/* SPDX-License-Identifier: MPL-2.0
 *
 *  broadcast.c - a call to all workers of a service: each gets a part, a call of its own, and what becomes of the parts becomes of the
 *  whole. */

#include "channel_inside.h"
#include <stdlib.h>
#include <string.h>

static weft_call_t *new_part (channel_t *self, weft_call_t *call, const endpoint_t *endpoint)
{
    weft_call_t *part = call_new (self->options.pool);
    if (!part)
        return NULL;
    memcpy (part->method, call->method, sizeof part->method);
    part->service = (text_t){part->method, call->service.size};
    part->name = (text_t){part->method + call->service.size + 1, call->name.size};
    part->ours = call->ours;
    part->codec = call->codec;
    part->settings = call->settings;
    part->settings.balance = WEFT_BALANCE_P2C;
    if (part->settings.retry == WEFT_RETRY_FAILOVER || part->settings.retry == WEFT_RETRY_FAILBACKUP)
        part->settings.retry = WEFT_RETRY_FAILTRY;
    part->described = call->described;
    part->request_key = call->request_key;
    part->meta = call->meta;
    memcpy (part->only, endpoint->uuid, sizeof part->only);
    part->parent = call;
    part->sequence = ++self->sequence;
    part->started_us = self->now_us;
    part->deadline_us = call->deadline_us;
    call_hold (part);
    return part;
}

void call_fan (channel_t *self, weft_call_t *call, endpoint_t *const *list, size_t count)
{
    text_space_t space;
    if (self->open + count > self->options.calls_max) {
        const outcome_t many = outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_NO, &space,
                                             "%zu calls are open; with a part for each of %zu workers they would be more than %zu",
                                             self->open, count, self->options.calls_max);
        call_end (self, call, &many);
        return;
    }
    const outcome_t outcome =
        outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_NO, &space, "out of memory for %zu workers", count);
    call->parts = calloc (count, sizeof *call->parts);
    for (size_t i = 0; call->parts && i < count; i++) {
        weft_call_t *part = new_part (self, call, list [i]);
        if (!part)
            break;
        call->parts [call->part_count++] = part;
    }
    const bool room = deadlines_reserve (&self->calls, self->open + count);
    call->parts_open = call->part_count;
    self->open += call->part_count;
    call_wait_parts (self, call);
    if (call->part_count < count || !room) {
        call_end (self, call, &outcome);
        return;
    }
    for (size_t i = 0; i < call->part_count && call->state == CALL_FANNED; i++)
        route_call (self, call->parts [i]);
}

void call_cancel_parts (channel_t *self, weft_call_t *call)
{
    for (size_t i = 0; i < call->part_count; i++)
        if (call->parts [i]->state != CALL_ENDED)
            channel_cancel (self, call->parts [i], self->now_us);
}

/*  A part that did not run says nothing of the others. */
static weft_executed_t executed_with_parts (const weft_call_t *call, const weft_call_t *part)
{
    bool perhaps = false;
    for (size_t i = 0; i < call->part_count; i++) {
        const weft_call_t *other = call->parts [i];
        perhaps = perhaps ||
                  (other->state == CALL_ENDED ? other->executed != WEFT_EXECUTED_NO : other->attempts > other->stayed);
    }
    return part->executed == WEFT_EXECUTED_NO && perhaps ? WEFT_EXECUTED_MAYBE : part->executed;
}

/*  A part ended: the first error, or the last success, ends the whole. */
void part_ended (channel_t *self, weft_call_t *part)
{
    weft_call_t *call = part->parent;
    call->parts_open--;
    if (call->state != CALL_FANNED)
        return;
    if (part->status == WEFT_OK && !call->first)
        call->first = part;
    if (part->status == WEFT_OK && call->parts_open > 0)
        return;
    memcpy (call->worker, call->first && part->status == WEFT_OK ? call->first->worker : part->worker,
            sizeof call->worker);
    const outcome_t outcome = {.status = part->status,
                               .executed = executed_with_parts (call, part),
                               .origin = part->origin,
                               .code = part->code,
                               .text = weft_call_text (part)};
    call->direct = part->direct;
    call->attempts = part->attempts - part->stayed;
    call_end (self, call, &outcome);
}
