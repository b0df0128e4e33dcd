/* SPDX-License-Identifier: MPL-2.0
 *
 *  streaming.c - calls whose answer is a stream: items come in, are taken, and more are asked for. How a stream begins
 *  and ends is as with any call. */

#include "channel_inside.h"
#include <stdio.h>

/*  What came is none of what it should be: the worker is told to stop. */
static void spoil (channel_t *self, attempt_t *attempt, const wire_record_t *record, intake_result_t result)
{
    const unsigned long long index = (unsigned long long) record->number;
    text_space_t space;
    outcome_t outcome;
    if (record->body_size > self->options.body_max)
        outcome = outcome_here (WEFT_TOO_LARGE, WEFT_EXECUTED_YES, &space,
                                "item %llu has %zu bytes; at most %zu are taken", index, record->body_size,
                                self->options.body_max);
    else if (result == INTAKE_NO_MEMORY)
        outcome =
            outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_YES, &space, "out of memory for item %llu", index);
    else if (result == INTAKE_GAP)
        outcome = outcome_here (WEFT_INTERNAL, WEFT_EXECUTED_MAYBE, &space, "item %llu came instead of item %llu",
                                index, (unsigned long long) attempt->call->intake->index);
    else
        outcome = outcome_here (WEFT_INTERNAL, WEFT_EXECUTED_MAYBE, &space,
                                "item %llu came and was not asked for", index);
    attempt_abandoned (self, attempt, &outcome);
}

void attempt_item (channel_t *self, attempt_t *attempt, const wire_record_t *record, zmq_msg_t *attachment)
{
    intake_t *intake = attempt->call->intake;
    intake_result_t result = INTAKE_UNASKED;
    if (!intake)
        return; /* of a worker that does not know its own methods: the reply will come */
    if (record->body_size <= self->options.body_max)
        result = intake_put (intake, record->number, record->body, record->body_size, attachment);
    if (result != INTAKE_OK) {
        spoil (self, attempt, record, result);
        return;
    }
    intake->fresh_list = &self->fresh;
    if (!list_linked (&intake->fresh))
        list_push (&self->fresh, &intake->fresh);
    intake->call = attempt->call;
}

weft_call_t *channel_next_fresh (channel_t *self)
{
    list_node_t *node = list_pop (&self->fresh);
    return node ? CONTAINER_OF (node, intake_t, fresh)->call : NULL;
}

intake_item_t *channel_take_item (channel_t *self, weft_call_t *call, int64_t now_us)
{
    intake_item_t *item = intake_take (call->intake);
    link_t *link = call->attempt.request.link;
    if (!item || call->state != CALL_SENT || link->state != LINK_READY)
        return item;
    const uint64_t more = intake_ask (call->intake);
    if (more == 0)
        return item;
    self->now_us = now_us;
    wire_write_credit (outbox_open_record (&link->outbox), call->attempt.request.id, more);
    outbox_close_record (&link->outbox, NULL);
    channel_touch (self, link);
    return item;
}

void channel_spoil_item (channel_t *self, weft_call_t *call, const char *text, int64_t now_us)
{
    text_space_t space;
    outcome_t outcome =
        outcome_here (WEFT_INVALID, WEFT_EXECUTED_YES, &space, "reading item %llu: %s",
                      (unsigned long long) call->intake->taken - 1, text);
    intake_drop (call->intake);
    if (call->state != CALL_ENDED) {
        self->now_us = now_us;
        call_stop (self, call, &outcome);
        return;
    }
    call->status = outcome.status;
    call->executed = outcome.executed;
    call->origin = outcome.origin;
    call_set_text (call, "%s", outcome.text);
}
