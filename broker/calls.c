/* SPDX-License-Identifier: MPL-2.0 */

#include "calls.h"
#include <assert.h>
#include <stdlib.h>

#define CHAINS_WIDTH  65536
#define SPARE_MAX     4096  /* closed calls kept */
#define SMALL_MAX     1024  /* buffers up to here are kept with them; larger lone frames are moved, not copied */

bool calls_init (calls_t *self, uint32_t max, uint64_t seed)
{
    *self = (calls_t){0};
    slots_init (&self->open, max);
    deadlines_init (&self->due);
    list_init (&self->spare);
    return chains_init (&self->by_client, CHAINS_WIDTH, seed);
}

static void call_free (call_t *call)
{
    buffer_fini (&call->record);
    free (call);
}

void calls_fini (calls_t *self)
{
    assert (self->open.count == 0);
    list_node_t *node;
    while ((node = list_pop (&self->spare)))
        call_free (CONTAINER_OF (node, call_t, node));
    slots_fini (&self->open);
    deadlines_fini (&self->due);
    chains_fini (&self->by_client);
}

void caller_init (caller_t *self, calls_t *calls)
{
    list_init (&self->calls);
    self->serial = ++calls->serials;
}

static call_t *call_new (calls_t *self)
{
    list_node_t *node = list_pop (&self->spare);
    if (node)
        return CONTAINER_OF (node, call_t, node);
    call_t *call = calloc (1, sizeof *call);
    if (call)
        buffer_init (&call->record, SIZE_MAX);
    return call;
}

static void call_recycle (calls_t *self, call_t *call)
{
    if (self->spare.count >= SPARE_MAX) {
        call_free (call);
        return;
    }
    if (call->record.capacity > SMALL_MAX) {
        buffer_fini (&call->record);
        buffer_init (&call->record, SIZE_MAX);
    }
    list_push_front (&self->spare, &call->node); /* what was touched last is used first */
}

call_t *calls_open (calls_t *self, caller_t *caller, uint64_t client_id, int64_t now_us, int64_t deadline_us)
{
    call_t *call = call_new (self);
    if (!call)
        return NULL;
    call->client_id = client_id;
    call->caller = caller;
    call->arrived_us = now_us;
    call->deadline_us = deadline_us;
    call->sent_us = 0;
    call->id = slots_put (&self->open, call);
    if (!call->id) {
        call_recycle (self, call);
        return NULL;
    }
    if (deadline_us != DEADLINES_NEVER && !deadlines_set_lazily (&self->due, &call->due, deadline_us, now_us)) {
        slots_take (&self->open, call->id);
        call_recycle (self, call);
        return NULL;
    }
    list_push (&caller->calls, &call->caller_node);
    chains_add (&self->by_client, &call->chain, chains_hash_serial (&self->by_client, caller->serial, client_id));
    caller_note_id (caller, client_id);
    return call;
}

call_t *calls_of_server (const calls_t *self, uint64_t id, const struct server *server)
{
    call_t *call = slots_get (&self->open, id);
    return call && call->server == server ? call : NULL;
}

call_t *calls_of_caller (const calls_t *self, const caller_t *caller, uint64_t client_id)
{
    if (!caller_may_know (caller, client_id))
        return NULL;
    const uint64_t hash = chains_hash_serial (&self->by_client, caller->serial, client_id);
    for (chain_node_t *node = chains_first (&self->by_client, hash); node; node = chains_match (node->next, hash)) {
        call_t *call = CONTAINER_OF (node, call_t, chain);
        if (call->caller == caller && call->client_id == client_id)
            return call;
    }
    return NULL;
}

bool calls_hold (calls_t *self, call_t *call, const wire_record_t *record, zmq_msg_t *frame, zmq_msg_t *attachment)
{
    call->bytes = record->size + (attachment ? zmq_msg_size (attachment) : 0);
    if (frame && record->size > SMALL_MAX) {
        zmq_msg_init (&call->frame);
        zmq_msg_move (&call->frame, frame);
        call->has_frame = true;
    } else {
        buffer_clear (&call->record);
        buffer_append (&call->record, record->start, record->size);
        if (call->record.failed) {
            call->bytes = 0;
            return false;
        }
    }
    if (attachment) {
        zmq_msg_init (&call->attachment);
        zmq_msg_move (&call->attachment, attachment);
        call->has_attachment = true;
    }
    self->bytes += call->bytes;
    call->caller->bytes += call->bytes;
    return true;
}

const void *call_record (call_t *call, size_t *size)
{
    *size = call->has_frame ? zmq_msg_size (&call->frame) : call->record.size;
    return call->has_frame ? zmq_msg_data (&call->frame) : call->record.data;
}

void calls_drop_held (calls_t *self, call_t *call)
{
    if (call->bytes == 0)
        return;
    self->bytes -= call->bytes;
    if (call->caller)
        call->caller->bytes -= call->bytes;
    call->bytes = 0;
    if (call->has_frame)
        zmq_msg_close (&call->frame);
    if (call->has_attachment)
        zmq_msg_close (&call->attachment);
    call->has_frame = call->has_attachment = false;
}

void calls_abandon (calls_t *self, call_t *call)
{
    if (!call->caller)
        return;
    list_remove (&call->caller->calls, &call->caller_node);
    chains_remove (&self->by_client, &call->chain);
    deadlines_cancel (&self->due, &call->due);
    call->caller->bytes -= call->bytes;
    call->caller = NULL;
}

void calls_close (calls_t *self, call_t *call)
{
    assert (!call->flow && !call->server);
    calls_abandon (self, call);
    calls_drop_held (self, call);
    slots_take (&self->open, call->id);
    call_recycle (self, call);
}

bool calls_time (calls_t *self, call_t *call, int64_t at_us)
{
    const int64_t then_us = at_us < call->deadline_us ? at_us : call->deadline_us;
    return call->due.at_us == then_us || deadlines_set (&self->due, &call->due, then_us);
}

call_t *calls_expired (calls_t *self, int64_t now_us)
{
    deadline_t *due = deadlines_pop (&self->due, now_us);
    return due ? CONTAINER_OF (due, call_t, due) : NULL;
}
