/* SPDX-License-Identifier: MPL-2.0 */

#include "dispatch.h"
#include <assert.h>
#include <stdlib.h>

#define CHAINS_WIDTH 8192
#define UNUSED_MAX   4096

bool dispatch_init (dispatch_t *self, uint64_t seed)
{
    self->queued = 0;
    list_init (&self->unused);
    return chains_init (&self->flows, CHAINS_WIDTH, seed);
}

void dispatch_fini (dispatch_t *self)
{
    assert (self->queued == 0);
    list_node_t *node;
    while ((node = list_pop (&self->unused)))
        free (CONTAINER_OF (node, flow_t, node));
    chains_fini (&self->flows);
}

void lane_init (lane_t *self)
{
    *self = (lane_t){0};
    list_init (&self->flows);
    list_init (&self->idle);
    list_init (&self->spare);
}

void server_init (server_t *self)
{
    *self = (server_t){0};
    list_init (&self->spare);
    list_init (&self->parked);
    list_init (&self->calls);
}

bool server_takes (const server_t *self)
{
    return !self->closed && !self->backlogged && self->calls.count < self->window;
}

static bool server_idle (const server_t *self)
{
    return server_takes (self) && (self->capacity == 0 || self->calls.count < self->capacity);
}

/*  Offers ------------------------------------------------------------------------------------------------------- */

static void offer_leave (offer_t *self)
{
    if (self->place == OFFER_IDLE)
        list_remove (&self->lane->idle, &self->lane_node);
    else if (self->place == OFFER_SPARE) {
        list_remove (&self->lane->spare, &self->lane_node);
        list_remove (&self->server->spare, &self->server_node);
    } else if (self->place == OFFER_PARKED)
        list_remove (&self->server->parked, &self->server_node);
    self->place = OFFER_NONE;
}

/*  At the end of its new place, which may be its old one. */
static void offer_move (offer_t *self, offer_place_t place)
{
    offer_leave (self);
    self->place = place;
    if (place == OFFER_IDLE)
        list_push (&self->lane->idle, &self->lane_node);
    else if (place == OFFER_SPARE) {
        list_push (&self->lane->spare, &self->lane_node);
        list_push (&self->server->spare, &self->server_node);
    } else
        list_push (&self->server->parked, &self->server_node);
}

bool offer_takes (const offer_t *self)
{
    return server_takes (self->server) && (!self->server->stuck || self->lane->well == 0);
}

static offer_place_t offer_fitting (const offer_t *self)
{
    return !offer_takes (self) ? OFFER_PARKED : server_idle (self->server) ? OFFER_IDLE : OFFER_SPARE;
}

void offer_join (offer_t *self, server_t *server, lane_t *lane)
{
    *self = (offer_t){.lane = lane, .server = server};
    offer_move (self, OFFER_PARKED);
}

void offer_part (offer_t *self)
{
    offer_leave (self);
}

/*  The first offer in this place whose server is as free as the place says; the others go down. */
static offer_t *lane_offer (list_t *offers, offer_place_t place)
{
    list_node_t *node;
    while ((node = list_first (offers))) {
        offer_t *offer = CONTAINER_OF (node, offer_t, lane_node);
        const offer_place_t fitting = offer_fitting (offer);
        if (fitting <= place) {
            if (offers->count > 1)
                offer_move (offer, place); /* others first, next time */
            return offer;
        }
        offer_move (offer, fitting);
    }
    return NULL;
}

server_t *lane_server (lane_t *self)
{
    if (self->queued)
        return NULL;
    offer_t *offer = lane_offer (&self->idle, OFFER_IDLE);
    if (!offer)
        offer = lane_offer (&self->spare, OFFER_SPARE);
    return offer ? offer->server : NULL;
}

/*  Flows -------------------------------------------------------------------------------------------------------- */

static uint64_t flow_hash (const dispatch_t *self, const lane_t *lane, const caller_t *caller)
{
    return chains_hash (&self->flows, caller->serial, (uintptr_t) lane);
}

static flow_t *flow_find (const dispatch_t *self, const lane_t *lane, const caller_t *caller, uint64_t hash)
{
    for (chain_node_t *node = chains_first (&self->flows, hash); node; node = chains_match (node->next, hash)) {
        flow_t *flow = CONTAINER_OF (node, flow_t, chain);
        if (flow->lane == lane && flow->caller == caller)
            return flow;
    }
    return NULL;
}

size_t dispatch_waiting (const dispatch_t *self, const lane_t *lane, const caller_t *caller)
{
    const flow_t *flow = flow_find (self, lane, caller, flow_hash (self, lane, caller));
    return flow ? flow->calls.count : 0;
}

static flow_t *flow_open (dispatch_t *self, lane_t *lane, const caller_t *caller)
{
    const uint64_t hash = flow_hash (self, lane, caller);
    flow_t *flow = flow_find (self, lane, caller, hash);
    if (flow)
        return flow;
    list_node_t *node = list_pop (&self->unused);
    flow = node ? CONTAINER_OF (node, flow_t, node) : malloc (sizeof *flow);
    if (!flow)
        return NULL;
    *flow = (flow_t){.lane = lane, .caller = caller};
    list_init (&flow->calls);
    list_push (&lane->flows, &flow->node);
    chains_add (&self->flows, &flow->chain, hash);
    return flow;
}

static void flow_close (dispatch_t *self, flow_t *flow)
{
    list_remove (&flow->lane->flows, &flow->node);
    chains_remove (&self->flows, &flow->chain);
    if (self->unused.count < UNUSED_MAX)
        list_push (&self->unused, &flow->node);
    else
        free (flow);
}

bool dispatch_queue (dispatch_t *self, lane_t *lane, call_t *call, int64_t now_us)
{
    flow_t *flow = flow_open (self, lane, call->caller);
    if (!flow)
        return false;
    if (lane->queued == 0) {
        shed_fill (&lane->shed, now_us);
        outflow_begin (&lane->outflow, lane->served, now_us);
    }
    call->lane = lane;
    call->flow = flow;
    list_push (&flow->calls, &call->node);
    lane->queued++;
    self->queued++;
    return true;
}

void dispatch_unqueue (dispatch_t *self, call_t *call)
{
    flow_t *flow = call->flow;

    list_remove (&flow->calls, &call->node);
    flow->lane->queued--;
    self->queued--;
    call->flow = NULL;
    if (list_empty (&flow->calls))
        flow_close (self, flow);
}

call_t *lane_first (const lane_t *self)
{
    list_node_t *node = list_first (&self->flows);
    if (!node)
        return NULL;
    return CONTAINER_OF (list_first (&CONTAINER_OF (node, flow_t, node)->calls), call_t, node);
}

/*  The next call of the client whose turn it is; that client then waits for the others. */
static call_t *lane_take (dispatch_t *self, lane_t *lane)
{
    call_t *call = lane_first (lane);
    flow_t *flow = call->flow;

    list_remove (&lane->flows, &flow->node);
    list_push (&lane->flows, &flow->node);
    dispatch_unqueue (self, call);
    lane->served++;
    return call;
}

/*  Room --------------------------------------------------------------------------------------------------------- */

call_t *dispatch_next (dispatch_t *self, server_t *server)
{
    list_node_t *node;

    for (size_t left = server->parked.count; left > 0 && server_takes (server); left--) {
        offer_t *offer = CONTAINER_OF (list_first (&server->parked), offer_t, server_node);
        if (offer->lane->queued && offer_takes (offer)) {
            offer_move (offer, OFFER_PARKED); /* its other lanes first, next time */
            return lane_take (self, offer->lane);
        }
        offer_move (offer, offer_fitting (offer));
    }
    while ((node = list_first (&server->spare)) && server_idle (server))
        offer_move (CONTAINER_OF (node, offer_t, server_node), OFFER_IDLE);
    return NULL;
}

void server_give (server_t *self, call_t *call)
{
    assert (!call->flow && !call->server);
    call->server = self;
    list_push (&self->calls, &call->node);
}

void server_release (server_t *self, call_t *call)
{
    assert (call->server == self);
    call->server = NULL;
    list_remove (&self->calls, &call->node);
}
