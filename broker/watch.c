/* SPDX-License-Identifier: MPL-2.0
 *
 *  watch.c - what changed is pushed to who watches, in the turn in which it happened.
 *
 *      Watch --> HELD --somebody registers, or the broker is warm--> LISTING   (only if the broker has just started)
 *      Watch --> LISTING --the last part of the list--> OPEN --CANCEL, deadline: REPLY / peer lost--> ended
 *                   '----- each change: one ITEM ---------'
 *
 *  The whole list goes out in parts, each written when the peer has taken the one before, and a few of them a turn: so
 *  a long list costs neither memory nor anybody's time. Changes that come meanwhile are told at once, between two parts.
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
    walk_t walk;                /* through the workers that are to be listed */
    list_node_t listing;        /* in peer->listings until the list is whole */
    list_node_t held;           /* in broker->held: see grace.h */
} watch_t;

#define PARTS_PER_TURN 4

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
        item->methods [i] = (flags_row){row.methods [i].name, service->methods.routes [i]->flags};
    item->method_count = row.method_count;
    return true;
}

/*  The next workers of the walk, as many as belong in one part. */
static bool list_workers (broker_t *self, walk_t *walk, watch_item *item)
{
    const size_t members = walk->service->members.count, most = WEFT_LIST_PART_ELEMENTS / 13 + 1;
    size_t elements = 0;

    item->workers = arena_alloc (&self->arena, (members < most ? members + 1 : most) * sizeof *item->workers);
    if (!item->workers)
        return false;
    while (walk->at && elements < WEFT_LIST_PART_ELEMENTS) {
        const worker_t *worker = walk_next (walk)->worker;
        if (!worker_live (self, worker))
            continue;
        item->workers [item->worker_count] = row_of_worker (self, worker);
        elements += worker_row_elements (&item->workers [item->worker_count++]);
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
    list_remove (&watch->peer->listings, &watch->listing);
    list_remove (&self->held, &watch->held);
    walk_end (&watch->walk);
    registry_forget (&self->registry, watch->service);
    self->watches--;
    free (watch);
}

static void watch_end (broker_t *self, watch_t *watch, weft_status_t status, const char *text)
{
    peer_fail (self, watch->peer, watch->id, status, WEFT_EXECUTED_YES, 0, text);
    watch_free (self, watch);
}

/*  The methods go with the last part. False: out of memory. */
static bool send_part (broker_t *self, watch_t *watch)
{
    watch_item item = {.revision = watch->service->revision, .full = true};

    if (watch->index > 0)
        item.previous = item.revision; /* all changes since were told */
    arena_reset (&self->arena);
    if (!list_workers (self, &watch->walk, &item))
        return false;
    item.more = item.has_more = watch->walk.at != NULL;
    if ((!item.more && !list_methods (self, watch->service, &item)) || !encode (self, watch->codec, &item))
        return false;
    send_item (self, watch);
    if (!item.more) {
        walk_end (&watch->walk);
        list_remove (&watch->peer->listings, &watch->listing);
    }
    return true;
}

/*  The next part of the list that is first in the peer's queue. */
static void list_on (broker_t *self, peer_t *peer)
{
    list_node_t *first = list_first (&peer->listings);
    watch_t *watch = first ? CONTAINER_OF (first, watch_t, listing) : NULL;

    if (watch && !send_part (self, watch))
        watch_end (self, watch, WEFT_OVERLOADED, "the broker is out of memory");
}

void watch_taken (broker_t *self, peer_t *peer)
{
    if (!list_linked (&peer->listing))
        list_push (&self->listing, &peer->listing);
}

bool watch_busy (const broker_t *self)
{
    return !self->draining && !list_empty (&self->listing);
}

static void begin_list (broker_t *self, watch_t *watch)
{
    peer_t *peer = watch->peer;

    list_remove (&self->held, &watch->held);
    list_push (&peer->listings, &watch->listing);
    walk_begin (&watch->walk, watch->service);
    if (outbox_bytes (&peer->outbox) < WEFT_BATCH_MAX) /* else when that has been taken */
        list_on (self, peer);
}

/*  Those of one service, or (NULL) all. */
static void release_held (broker_t *self, const service_t *service)
{
    list_node_t *after;
    for (list_node_t *node = list_first (&self->held); node; node = after) {
        watch_t *watch = CONTAINER_OF (node, watch_t, held);
        after = list_after (&self->held, node);
        if (!service || watch->service == service)
            begin_list (self, watch);
    }
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
    caller_note_id (&peer->caller, id);
    chains_add (&self->watches_by_id, &watch->chain, chains_hash (&self->watches_by_id, peer->caller.serial, id));
    list_push (&peer->watches, &watch->peer_node);
    list_push (&service->watches, &watch->service_node);
    self->watches++;
    self->counters.watches++;
    const bool early = !service->known && grace_warming (&self->grace, self->now_us);
    const bool late = service->open == 0 && broker_is_parting (self); /* its workers may have gone to the other broker */
    if (early || late)
        list_push (&self->held, &watch->held);
    else
        begin_list (self, watch);
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
    return caller_may_know (&peer->caller, id) && watch_find (self, peer, id);
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
    if (!list_empty (&self->held) && !grace_warming (&self->grace, self->now_us) && !self->stopping)
        release_held (self, NULL);
    for (int parts = 0; parts < PARTS_PER_TURN && watch_busy (self); parts++)
        list_on (self, CONTAINER_OF (list_pop (&self->listing), peer_t, listing));
}

/*  Someone who cannot be told of a change must not believe the list is whole: the next revision shows the gap. */
static void push_codec (broker_t *self, service_t *service, codec_t codec, watch_item *item)
{
    bool encoded = false;
    for (list_node_t *node = list_first (&service->watches); node; node = list_after (&service->watches, node)) {
        watch_t *watch = CONTAINER_OF (node, watch_t, service_node);
        if (watch->codec != codec || watch->index == 0) /* a list that has not begun will show it */
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
    if (self->stopping)
        return; /* workers leave us because we stop: nobody should leave them for that */
    if (list_empty (&service->watches)) {
        service->methods_told = service->methods.digest;
        return;
    }
    arena_reset (&self->arena);
    if (service->methods_told != service->methods.digest && list_methods (self, service, &item))
        service->methods_told = service->methods.digest;
    for (int codec = 0; codec < CODEC_COUNT; codec++)
        push_codec (self, service, (codec_t) codec, &item);
    if (service->members.count == 1 && !list_empty (&self->held)) /* the first one: it is known now */
        release_held (self, service);
}
