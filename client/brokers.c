/* SPDX-License-Identifier: MPL-2.0
 *
 *  brokers.c - links to brokers.
 *
 *  One is always wanted: when it fails, the next broker of the list is tried after a short, growing, random wait; when it drains, the
 *  next one is used while calls end there. */

#include "channel_inside.h"
#include <stdio.h>
#include <string.h>

#define RECONNECT_FIRST_US 20000
#define RECONNECT_MAX_US   1000000

void broker_open (channel_t *self)
{
    const uint64_t alias = self->broker == self->broker_links ? CHANNEL_BROKER : CHANNEL_OTHER_BROKER;
    const char *address = self->brokers [self->broker_at];
    if (self->closed)
        return;
    if (!channel_command (self, CHANNEL_OPEN_BROKER, alias, address)) {
        channel_time_link (self, self->broker, RECONNECT_MAX_US); /* there may be memory again */
        return;
    }
    link_connecting (self->broker, alias, address);
    channel_time_link (self, self->broker, channel_connect_limit_us (self));
}

/*  Longer and longer between tries, and never all clients at the same moment. */
static int64_t reconnect_us (channel_t *self)
{
    int64_t bound_us = RECONNECT_FIRST_US;
    for (unsigned i = 1; i < self->broker_failures && bound_us < RECONNECT_MAX_US; i++)
        bound_us *= 2;
    if (bound_us > RECONNECT_MAX_US)
        bound_us = RECONNECT_MAX_US;
    return bound_us / 2 + (int64_t) dice_below (&self->dice, (uint64_t) bound_us / 2);
}

static void next_broker (channel_t *self)
{
    self->broker_at = (self->broker_at + 1) % self->broker_count;
}

/*  Takes the connection down. What was sent on it is still there, what waits goes on waiting for the next broker. */
static void drop_broker (channel_t *self, link_t *link)
{
    channel_command (self, CHANNEL_CLOSE_BROKER, link->alias, "");
    list_remove (&self->dirty, &link->dirty);
    link_down (link);
    if (link == self->broker) {
        self->broker_failures++;
        next_broker (self);
        channel_time_link (self, link, reconnect_us (self));
    }
}

/*  For the texts of calls that wait for a broker. */
static void note_fault (channel_t *self, const char *why)
{
    if (self->broker_count == 1)
        snprintf (self->broker_fault, sizeof self->broker_fault, ": %s", why);
    else
        snprintf (self->broker_fault, sizeof self->broker_fault, "; %s, tried last: %s", self->broker->address,
                  why);
}

void broker_down (channel_t *self, link_t *link, const char *why)
{
    text_space_t space;
    const outcome_t outcome =
        outcome_here (WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE, &space, "broker %s: %s", link->address, why);
    if (link == self->broker) {
        note_fault (self, why);
        self->broker_refusals = 0;
    }
    drop_broker (self, link);
    channel_fail_requests (self, &link->sent, &outcome);
}

/*  What was sent with a HELLO that is refused was not read: it waits again, as if it had not left. */
static void take_back (channel_t *self, link_t *link)
{
    for (list_node_t *node; (node = list_first (&link->sent));) {
        request_t *request = CONTAINER_OF (node, request_t, node);
        if (request->kind == REQUEST_WATCH)
            watch_wait_again (self, CONTAINER_OF (request, discovery_t, request));
        else
            attempt_taken_back (self, CONTAINER_OF (request, attempt_t, request));
    }
}

/*  When all brokers there are refuse, those who wait need not wait longer; but who leaves, or has no room now, speaks for itself only,
 *  and not for the one that takes its place. */
void broker_refused (channel_t *self, weft_status_t status, const char *why)
{
    const bool passing = status == WEFT_DRAINING || status == WEFT_OVERLOADED;
    link_t *link = self->broker;
    text_space_t space;
    const outcome_t outcome =
        outcome_here (status, WEFT_EXECUTED_NO, &space, "broker %s refused: %s", link->address, why);
    self->broker_refusals = passing ? 0 : self->broker_refusals + 1;
    const bool all = self->broker_refusals >= self->broker_count;
    note_fault (self, why);
    take_back (self, link);
    drop_broker (self, link);
    for (size_t left = link->waiting.count; all && left > 0 && !list_empty (&link->waiting); left--) {
        request_t *request = CONTAINER_OF (list_first (&link->waiting), request_t, node);
        outcome_t own = outcome;
        if (request->kind == REQUEST_CALL) {
            attempt_failed (self, CONTAINER_OF (request, attempt_t, request), &own);
            continue;
        }
        request_leave (request);
        link_wait (link, request); /* behind the others, for the next link */
        route_unlisted (self, CONTAINER_OF (request, discovery_t, request), &outcome);
    }
}

/*  To the next broker at once; only calls that are under way stay with the one that was used. */
static void change_broker (channel_t *self, link_t *left, link_t *next)
{
    list_node_t *after;
    note_fault (self, "it stops");
    self->broker = next;
    next->paused_until_us = 0;
    next_broker (self);
    for (list_node_t *node = list_first (&left->sent); node; node = after) {
        request_t *request = CONTAINER_OF (node, request_t, node);
        after = list_after (&left->sent, node);
        if (request->kind == REQUEST_WATCH)
            watch_wait_again (self, CONTAINER_OF (request, discovery_t, request));
    }
    for (list_node_t *node; (node = list_first (&left->waiting));) {
        request_t *request = CONTAINER_OF (node, request_t, node);
        request_leave (request);
        link_wait (next, request);
    }
    broker_open (self);
}

/*  A broker that drains sends nothing more but what was asked for. The only one there is is told that it need not wait for us. */
void brokers_leave_draining (channel_t *self)
{
    link_t *used = self->broker, *other = &self->broker_links [used == self->broker_links];
    if (other->state == LINK_READY && other->calls == 0)
        broker_down (self, other, "it stops");
    if (!used->draining)
        return;
    if (self->broker_count > 1 && other->state == LINK_IDLE) {
        change_broker (self, used, other);
        brokers_leave_draining (self);
    } else if (used->calls == 0 && !used->parted) {
        used->parted = true;
        channel_say_goodbye (self, used);
    }
}

void broker_add (channel_t *self, text_t address)
{
    const char *fault;
    char added [WEFT_ENDPOINT_MAX + 1];
    if (self->broker_count == WEFT_BROKERS_MAX || address.size > WEFT_ENDPOINT_MAX)
        return;
    snprintf (added, sizeof added, "%.*s", TEXT_ARG (address));
    for (size_t i = 0; i < self->broker_count; i++)
        if (strcmp (self->brokers [i], added) == 0)
            return;
    if (transport_endpoint_valid (added, false, &fault))
        memcpy (self->brokers [self->broker_count++], added, sizeof added);
}

void brokers_take (channel_t *self, const char *brokers)
{
    for (const char *at = brokers; *at;) {
        const size_t size = strcspn (at, ",");
        broker_add (self, (text_t){at, size});
        at += size + (at [size] == ',');
    }
}

void broker_event (channel_t *self, link_t *link, transport_event_kind_t event, weft_status_t status)
{
    switch (event) {
    case TRANSPORT_READY:
        channel_ready (self, link);
        break;
    case TRANSPORT_LOST:
        broker_down (self, link, "the connection was lost");
        break;
    case TRANSPORT_REFUSED:
        /* without a key's refusal this may as well be a broker that stops, or a proxy before one that is not
         * there: it is tried again, and the connect timeout tells what was seen */
        if (status == WEFT_UNAUTHENTICATED && link == self->broker)
            broker_refused (self, status, "the key is not accepted");
        else
            broker_down (self, link, "it closes the connection as one that does not speak this protocol");
        break;
    case TRANSPORT_FAILED:
        broker_down (self, link, "nobody listens there");
        break;
    default:
        break;
    }
}
