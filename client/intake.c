/* SPDX-License-Identifier: MPL-2.0 */

#include "intake.h"
#include <stdlib.h>
#include <string.h>
#include "wire.h"

intake_t *intake_new (uint64_t window)
{
    intake_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->window = (int64_t) window;
    self->last = &self->first;
    return self;
}

static void free_item (intake_item_t *item)
{
    if (item && item->attached)
        zmq_msg_close (&item->frame);
    free (item);
}

void intake_drop (intake_t *self)
{
    for (intake_item_t *item = self->first, *next; item; item = next) {
        next = item->next;
        free_item (item);
    }
    self->first = NULL;
    self->last = &self->first;
    self->held = 0;
}

void intake_free (intake_t *self)
{
    if (!self)
        return;
    if (self->fresh_list)
        list_remove (self->fresh_list, &self->fresh);
    intake_drop (self);
    free_item (self->current);
    free (self);
}

uint64_t intake_begin (intake_t *self)
{
    intake_drop (self);
    self->index = 0;
    self->promised = self->window;
    return (uint64_t) self->promised;
}

/*  Small ones are copied. */
static intake_item_t *item_of (const void *body, size_t size, zmq_msg_t *attachment)
{
    intake_item_t *item = malloc (sizeof *item + (attachment ? 0 : size));
    if (!item)
        return NULL;
    item->next = NULL;
    item->size = size;
    item->attached = attachment != NULL;
    if (attachment) {
        zmq_msg_init (&item->frame);
        zmq_msg_move (&item->frame, attachment);
    } else if (size)
        memcpy (item->bytes, body, size);
    return item;
}

intake_result_t intake_put (intake_t *self, uint64_t index, const void *body, size_t size, zmq_msg_t *attachment)
{
    if (index != self->index)
        return INTAKE_GAP;
    if (self->promised <= 0)
        return INTAKE_UNASKED;
    intake_item_t *item = item_of (body, size, attachment);
    if (!item)
        return INTAKE_NO_MEMORY;
    *self->last = item;
    self->last = &item->next;
    self->index++;
    self->promised -= wire_item_credits (size);
    self->held += wire_item_credits (size);
    return INTAKE_OK;
}

intake_item_t *intake_take (intake_t *self)
{
    intake_item_t *item = self->first;
    if (!item)
        return NULL;
    if ((self->first = item->next) == NULL)
        self->last = &self->first;
    self->held -= wire_item_credits (item->size);
    self->taken++;
    free_item (self->current);
    return self->current = item;
}

const void *intake_bytes (intake_item_t *item)
{
    return item->attached ? zmq_msg_data (&item->frame) : item->bytes;
}

uint64_t intake_ask (intake_t *self)
{
    const int64_t more = self->window - self->promised - self->held;
    if (more < (self->window + 1) / 2)
        return 0;
    self->promised += more;
    return (uint64_t) more;
}
