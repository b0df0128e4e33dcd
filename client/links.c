/* SPDX-License-Identifier: MPL-2.0 */

#include "links.h"
#include <assert.h>
#include <stdio.h>

void link_init (link_t *self)
{
    *self = (link_t){.body_max = UINT64_MAX};
    outbox_init (&self->outbox, WEFT_OUTBOX_MAX);
    list_init (&self->waiting);
    list_init (&self->sent);
}

void link_fini (link_t *self)
{
    assert (list_empty (&self->waiting) && list_empty (&self->sent));
    outbox_fini (&self->outbox);
}

void link_connecting (link_t *self, uint64_t alias, const char *address)
{
    assert (self->state == LINK_IDLE && list_empty (&self->sent));
    self->state = LINK_CONNECTING;
    self->alias = alias;
    self->welcomed = self->draining = self->parted = false;
    self->body_max = UINT64_MAX;
    if (address != self->address)
        snprintf (self->address, sizeof self->address, "%s", address);
}

void link_ready (link_t *self, int64_t now_us)
{
    self->state = LINK_READY;
    self->ready_us = now_us;
}

void link_down (link_t *self)
{
    self->state = LINK_IDLE;
    self->draining = false;
    outbox_clear (&self->outbox);
}

void link_wait (link_t *self, request_t *request)
{
    assert (!request->link);
    request->link = self;
    request->id = 0;
    list_push (&self->waiting, &request->node);
}
