/* SPDX-License-Identifier: MPL-2.0
 *
 *  watch.c - what changed is pushed to who watches, in the turn in which it happened.
 *
 *      Watch --full list--> OPEN --each change: one ITEM--> ... --CANCEL, deadline: REPLY / peer lost--> ended
 *
 *  A change is encoded once per codec, however many watch. Every ITEM names the revision it makes and the one it
 *  follows, so who missed one knows. */

#include "core.h"
#include <stdlib.h>

typedef struct {
    peer_t *peer;
    service_t *service;
    codec_t codec;
    uint64_t id, index;
    deadline_t due;
    chain_node_t chain;         /* by peer and id */
    list_node_t peer_node, service_node;
} watch_t;

/*  The methods with their flags, in the arena; false: out of memory. */
static bool list_methods (broker_t *self, const service_t *service, watch_item *item)
{
    definition_row row;

    if (!row_of_routes (self, service, &row))
        return false;
    item->methods = arena_alloc (&self->arena, (row.method_count + 1) * sizeof *item->methods);
    if (!item->methods)
        return false;
    for (size_t i = 0; i < row.method_count; i++)
        item->methods [i] = (flags_row){row.methods [i].name, service->routes [i].flags};
    item->method_count = row.method_count;
    return true;
}

static bool list_workers (broker_t *self, const service_t *service, watch_item *item)
{
    item->workers = arena_alloc (&self->arena, (service->members.count + 1) * sizeof *item->workers);
    if (!item->workers)
        return false;
    for (list_node_t *node = list_first (&service->members); node; node = list_after (&service->members, node)) {
        const worker_t *worker = CONTAINER_OF (node, member_t, node)->worker;
        if (worker_live (self, worker))
            item->workers [item->worker_count++] = row_of_worker (self, worker);
    }
    return true;
}

static bool encode (broker_t *self, codec_t codec, watch_item *item)
{
    codec_error_t error;
    buffer_clear (&self->body);
    return codec_encode (codec, WEFT_IN (watch_item, item), &self->body, &error);
}

static void send_item (broker_t *self, watch_t *watch)
{
    peer_item (self, watch->peer, watch->id, watch->index++, &self->body);
    self->counters.pushed++;
}

static void watch_free (broker_t *self, watch_t *watch)
{
    list_remove (&watch->peer->watches, &watch->peer_node);
    list_remove (&watch->service->watches, &watch->service_node);
    chains_remove (&self->watches_by_id, &watch->chain);
    deadlines_cancel (&self->watches_due, &watch->due);
    registry_forget (&self->registry, watch->service);
    self->watches--;
    free (watch);
}

static void watch_end (broker_t *self, watch_t *watch, weft_status_t status, const char *text)
{
    peer_fail (self, watch->peer, watch->id, status, WEFT_EXECUTED_YES, 0, text);
    watch_free (self, watch);
}

static bool send_full (broker_t *self, watch_t *watch)
{
    watch_item item = {.revision = watch->service->revision, .full = true};

    arena_reset (&self->arena);
    if (!list_workers (self, watch->service, &item) || !list_methods (self, watch->service, &item)
        || !encode (self, watch->codec, &item))
        return false;
    send_item (self, watch);
    return true;
}

void watch_open (broker_t *self, peer_t *peer, uint64_t id, codec_t codec, text_t name, int64_t deadline_us)
{
    service_t *service = NULL;
    watch_t *watch = NULL;

    if (peer->watches.count < self->settings.watches_max)
        service = registry_service_open (&self->registry, name);
    if (service)
        watch = calloc (1, sizeof *watch);
    if (!watch || (deadline_us != DEADLINES_NEVER && !deadlines_set (&self->watches_due, &watch->due, deadline_us))) {
        free (watch);
        if (service)
            registry_forget (&self->registry, service);
        peer_fail (self, peer, id, WEFT_OVERLOADED, WEFT_EXECUTED_NO, 0, "no room for another watch");
        return;
    }
    watch->peer = peer;
    watch->service = service;
    watch->codec = codec;
    watch->id = id;
    chains_add (&self->watches_by_id, &watch->chain, chains_hash (&self->watches_by_id, peer->caller.serial, id));
    list_push (&peer->watches, &watch->peer_node);
    list_push (&service->watches, &watch->service_node);
    self->watches++;
    self->counters.watches++;
    if (!send_full (self, watch))
        watch_end (self, watch, WEFT_OVERLOADED, "the broker is out of memory");
}

static watch_t *watch_find (const broker_t *self, const peer_t *peer, uint64_t id)
{
    const uint64_t hash = chains_hash (&self->watches_by_id, peer->caller.serial, id);
    for (chain_node_t *node = chains_first (&self->watches_by_id, hash); node; node = chains_match (node->next, hash)) {
        watch_t *watch = CONTAINER_OF (node, watch_t, chain);
        if (watch->peer == peer && watch->id == id)
            return watch;
    }
    return NULL;
}

bool watch_is_open (const broker_t *self, const peer_t *peer, uint64_t id)
{
    return !list_empty (&peer->watches) && watch_find (self, peer, id);
}

bool watch_cancel (broker_t *self, peer_t *peer, uint64_t id)
{
    watch_t *watch = watch_find (self, peer, id);
    if (watch)
        watch_end (self, watch, WEFT_CANCELLED, "the watch was cancelled");
    return watch != NULL;
}

void watch_close_all (broker_t *self, peer_t *peer)
{
    list_node_t *node;
    while ((node = list_first (&peer->watches)))
        watch_free (self, CONTAINER_OF (node, watch_t, peer_node));
}

void watch_tick (broker_t *self)
{
    deadline_t *due;
    while ((due = deadlines_pop (&self->watches_due, self->now_us)))
        watch_end (self, CONTAINER_OF (due, watch_t, due), WEFT_DEADLINE_EXCEEDED, "the watch's time is up");
}

/*  Someone who cannot be told of a change must not believe the list is whole: the next revision shows the gap. */
static void push_codec (broker_t *self, service_t *service, codec_t codec, watch_item *item)
{
    bool encoded = false;
    for (list_node_t *node = list_first (&service->watches); node; node = list_after (&service->watches, node)) {
        watch_t *watch = CONTAINER_OF (node, watch_t, service_node);
        if (watch->codec != codec)
            continue;
        if (!encoded && !encode (self, codec, item))
            return;
        encoded = true;
        send_item (self, watch);
    }
}

void watch_push (broker_t *self, service_t *service, worker_t *worker)
{
    worker_row row = row_of_worker (self, worker);
    watch_item item = {.previous = service->revision, .workers = &row, .worker_count = 1};

    item.revision = registry_touch (&self->registry, service);
    if (!worker_serves (worker, service))
        row.state = "gone";
    if (self->draining)
        return; /* workers leave us because we stop: nobody should leave them for that */
    if (list_empty (&service->watches)) {
        service->routes_told = service->routes_digest;
        return;
    }
    arena_reset (&self->arena);
    if (service->routes_told != service->routes_digest && list_methods (self, service, &item))
        service->routes_told = service->routes_digest;
    for (int codec = 0; codec < CODEC_COUNT; codec++)
        push_codec (self, service, (codec_t) codec, &item);
}
