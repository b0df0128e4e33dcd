/* SPDX-License-Identifier: MPL-2.0
 *
 *  channel.c - links, records and time.
 *
 *  A worker's link is made when a call needs it, and kept; brokers' links are brokers.c's. */

#include "channel_inside.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOODBYE_US     2000000 /* after it, a draining worker that does not close is left */
#define CALLS_RESERVED 64

/*  Out. */

static bool grow (void **array, size_t *capacity, size_t element_size)
{
    const size_t wanted = *capacity ? 2 * *capacity : 8;
    void *grown = realloc (*array, wanted * element_size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

/*  False when out of memory: then the link is left as it was. */
bool channel_command (channel_t *self, channel_command_kind_t kind, uint64_t alias, const char *address)
{
    if (self->command_count == self->command_capacity &&
        !grow ((void **) &self->commands, &self->command_capacity, sizeof *self->commands))
        return false;
    channel_command_t *added = &self->commands [self->command_count++];
    *added = (channel_command_t){.kind = kind, .alias = alias};
    snprintf (added->address, sizeof added->address, "%s", address);
    return true;
}

const channel_command_t *channel_next_command (channel_t *self)
{
    if (self->command_at < self->command_count)
        return &self->commands [self->command_at++];
    self->command_at = self->command_count = 0;
    return NULL;
}

const channel_change_t *channel_next_change (channel_t *self)
{
    if (self->change_at < self->change_count)
        return &self->changes [self->change_at++];
    self->change_at = self->change_count = 0;
    return NULL;
}

void channel_keep_change (const discovery_t *discovery, const worker_row *row, void *arg)
{
    channel_t *self = arg;
    if (self->change_count == self->change_capacity &&
        !grow ((void **) &self->changes, &self->change_capacity, sizeof *self->changes))
        return;
    channel_change_t *change = &self->changes [self->change_count++];
    snprintf (change->service, sizeof change->service, "%s", discovery->service);
    snprintf (change->worker, sizeof change->worker, "%s", row->uuid);
    snprintf (change->state, sizeof change->state, "%s", row->state);
    snprintf (change->endpoint, sizeof change->endpoint, "%s", row->endpoint_count ? row->endpoints [0] : "");
}

void channel_touch (channel_t *self, link_t *link)
{
    if (!list_linked (&link->dirty))
        list_push (&self->dirty, &link->dirty);
}

link_t *channel_next_dirty (channel_t *self)
{
    list_node_t *node = list_pop (&self->dirty);
    return node ? CONTAINER_OF (node, link_t, dirty) : NULL;
}

int64_t channel_next_us (const channel_t *self)
{
    const int64_t calls_us = deadlines_next (&self->calls), links_us = deadlines_next (&self->links);
    return calls_us < links_us ? calls_us : links_us;
}

weft_client_stats_t channel_stats (const channel_t *self)
{
    weft_client_stats_t stats = self->stats;
    stats.broker = self->broker->state == LINK_READY && self->broker->welcomed;
    return stats;
}

void channel_malformed (channel_t *self)
{
    self->stats.malformed++;
}

/*  Links. */

static void say_hello (channel_t *self, link_t *link)
{
    const endpoint_t *endpoint = endpoint_of (link);
    const char *codecs [CODEC_COUNT + 1] = {codec_name (self->options.codec)};
    size_t count = 1;
    for (codec_t codec = CODEC_MSGPACK; codec < CODEC_COUNT; codec++)
        if (codec != self->options.codec)
            codecs [count++] = codec_name (codec);
    wire_write_hello (outbox_open_record (&link->outbox), "client", codecs, self->options.name,
                      endpoint ? endpoint->uuid : NULL);
    outbox_close_record (&link->outbox, NULL);
    channel_touch (self, link);
}

void channel_say_goodbye (channel_t *self, link_t *link)
{
    wire_write_goodbye (outbox_open_record (&link->outbox), "");
    outbox_close_record (&link->outbox, NULL);
    channel_touch (self, link);
}

/*  The limit on connecting leaves time for a second try within a call's connect timeout. */
int64_t channel_connect_limit_us (const channel_t *self)
{
    return self->options.call.connect_timeout_ms * 1000LL / 2;
}

void channel_time_link (channel_t *self, link_t *link, int64_t in_us)
{
    deadlines_set (&self->links, &link->timer, self->now_us + in_us);
}

bool channel_connect (channel_t *self, endpoint_t *endpoint)
{
    const char *address = endpoint_address (endpoint, self->options.reach, self->options.reach_arg);
    if (!address || self->closed || endpoint->link.ending ||
        self->endpoints.by_alias.count >= WEFT_CLIENT_ENDPOINTS_MAX ||
        !deadlines_reserve (&self->links, self->links.count + 2)) /* its own, and still the broker's */
        return false;
    const uint64_t alias = ids_put (&self->endpoints.by_alias, endpoint);
    if (!alias)
        return false;
    link_connecting (&endpoint->link, alias, address);
    channel_time_link (self, &endpoint->link, channel_connect_limit_us (self));
    if (channel_command (self, CHANNEL_CONNECT, alias, address))
        return true;
    ids_take (&self->endpoints.by_alias, alias);
    link_down (&endpoint->link);
    deadlines_cancel (&self->links, &endpoint->link.timer);
    return false;
}

/*  What waited for the link goes out. */
static void flush_waiting (channel_t *self, link_t *link)
{
    for (size_t left = link->waiting.count; left > 0 && !list_empty (&link->waiting); left--) {
        request_t *request = CONTAINER_OF (list_first (&link->waiting), request_t, node);
        if (request->kind == REQUEST_WATCH)
            watch_send (self, CONTAINER_OF (request, discovery_t, request));
        else
            attempt_send (self, CONTAINER_OF (request, attempt_t, request));
    }
}

void channel_ready (channel_t *self, link_t *link)
{
    if (link->state != LINK_CONNECTING)
        return;
    link_ready (link, self->now_us);
    deadlines_cancel (&self->links, &link->timer);
    if (!channel_is_broker (link->alias)) {
        endpoint_connected (endpoint_of (link), self->now_us);
        self->stats.endpoints++;
    }
    say_hello (self, link);
    flush_waiting (self, link);
}

/*  Ends the attempts in one of a link's lists, those that are in it now: what is still here did not run. Watches start over. */
void channel_fail_requests (channel_t *self, list_t *list, const outcome_t *outcome)
{
    for (size_t left = list->count; left > 0 && !list_empty (list); left--) {
        request_t *request = CONTAINER_OF (list_first (list), request_t, node);
        if (request->kind == REQUEST_WATCH) {
            watch_wait_again (self, CONTAINER_OF (request, discovery_t, request));
            continue;
        }
        outcome_t own = *outcome;
        if (!request_departed (request))
            own.executed = WEFT_EXECUTED_NO;
        attempt_failed (self, CONTAINER_OF (request, attempt_t, request), &own);
    }
}

/*  Workers' links. */

/*  Takes the connection down. Requests on it are still there. */
static void drop_endpoint (channel_t *self, endpoint_t *endpoint)
{
    link_t *link = &endpoint->link;
    self->stats.endpoints -= link->state == LINK_READY;
    channel_command (self, CHANNEL_DISCONNECT, link->alias, link->address);
    ids_take (&self->endpoints.by_alias, link->alias);
    deadlines_cancel (&self->links, &link->timer);
    list_remove (&self->dirty, &link->dirty);
    link_down (link);
}

/*  The connection failed, was lost (WORKER_LOST), or was refused with another status: what was sent may have run unless it was
 *  refused. */
static void endpoint_down (channel_t *self, endpoint_t *endpoint, weft_status_t status, const char *why)
{
    link_t *link = &endpoint->link;
    const bool was_ready = link->state == LINK_READY;
    const bool expected = link->draining;
    text_space_t lost_space, waiting_space;
    const outcome_t lost =
        outcome_here (status, status == WEFT_WORKER_LOST ? WEFT_EXECUTED_MAYBE : WEFT_EXECUTED_NO, &lost_space,
                      "worker %s: %s", endpoint->uuid, why);
    const outcome_t failed =
        outcome_here (WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO, &waiting_space,
                      "cannot connect to worker %s at %s: %s", endpoint->uuid, link->address, why);
    if (!expected)
        endpoint_unreachable (endpoint, self->now_us, &self->dice);
    drop_endpoint (self, endpoint);
    link->ending = true;
    channel_fail_requests (self, &link->sent, &lost);
    channel_fail_requests (self, &link->waiting, was_ready ? &lost : &failed);
    link->ending = false;
}

/*  Gone from all lists, and nothing left to do. */
static void reap_orphans (channel_t *self)
{
    list_node_t *next;
    for (list_node_t *node = list_first (&self->endpoints.orphans); node; node = next) {
        next = list_after (&self->endpoints.orphans, node);
        endpoint_t *endpoint = CONTAINER_OF (node, endpoint_t, orphan);
        if (endpoint->outstanding > 0)
            continue;
        if (endpoint->link.state != LINK_IDLE)
            drop_endpoint (self, endpoint);
        endpoints_remove (&self->endpoints, endpoint);
    }
}

void channel_left (channel_t *self, link_t *link)
{
    if (channel_is_broker (link->alias) || !link->draining || link->state != LINK_READY ||
        !list_empty (&link->sent))
        return;
    channel_say_goodbye (self, link);
    channel_time_link (self, link, GOODBYE_US);
}

static void on_item (channel_t *self, link_t *link, const wire_record_t *record, zmq_msg_t *attachment)
{
    request_t *request = ids_get (&self->requests, record->id);
    if (!request || request->link != link)
        return; /* of one that was ended: nobody waits for it */
    if (request->kind == REQUEST_WATCH)
        watch_told (self, CONTAINER_OF (request, discovery_t, request), record);
    else
        attempt_item (self, CONTAINER_OF (request, attempt_t, request), record, attachment);
}

/*  Records. */

static void on_reply (channel_t *self, link_t *link, const wire_record_t *record, zmq_msg_t *attachment)
{
    request_t *request = ids_get (&self->requests, record->id);
    if (!request || request->link != link) {
        self->stats.late += record->status != WEFT_CANCELLED; /* that one we asked for */
        return;
    }
    if (request->kind == REQUEST_WATCH)
        watch_ended (self, CONTAINER_OF (request, discovery_t, request), record);
    else
        attempt_replied (self, CONTAINER_OF (request, attempt_t, request), record, attachment);
}

static void on_welcome (channel_t *self, link_t *link, const wire_record_t *record)
{
    wire_welcome_t welcome;
    if (!wire_read_welcome (record, &welcome)) {
        self->stats.malformed++;
        return;
    }
    link->welcomed = true;
    if (welcome.body_max > 0)
        link->body_max = welcome.body_max;
    if (link != self->broker)
        return;
    self->broker_failures = 0;
    self->broker_refusals = 0;
    self->broker_fault [0] = '\0';
    for (uint32_t i = 0; i < welcome.broker_count; i++)
        broker_add (self, welcome.brokers [i]);
}

/*  What a worker that wants no connection with us means for calls: another one may want them. */
static weft_status_t turned_away (weft_status_t status)
{
    return status == WEFT_OVERLOADED || status == WEFT_DRAINING ? status : WEFT_CONNECT_TIMEOUT;
}

/*  Whoever welcomed us does not know us any more: what was said since is not heard, and HELLO is said once on a connection. */
static bool is_forgotten (const link_t *link, const wire_refused_t *refused)
{
    return link->welcomed && refused->status == WEFT_INVALID && text_is (refused->text, "say HELLO first");
}

/*  Before WELCOME the connection is of no use, nor when we are forgotten. After it, one record was; which one is not said. False:
 *  the link is down. */
static bool on_refused (channel_t *self, link_t *link, const wire_record_t *record)
{
    wire_refused_t refused;
    const bool read = wire_read_refused (record, &refused), forgotten = read && is_forgotten (link, &refused);
    if (!read || (link->welcomed && !forgotten)) {
        self->stats.malformed++;
        return true;
    }
    char text [WEFT_TEXT_MAX + 1];
    snprintf (text, sizeof text, "%.*s", TEXT_ARG (refused.text));
    if (forgotten && channel_is_broker (link->alias))
        broker_down (self, link, "it does not know us any more");
    else if (forgotten)
        endpoint_down (self, endpoint_of (link), WEFT_WORKER_LOST, "it does not know us any more");
    else if (link == self->broker)
        broker_refused (self, refused.status, text);
    else if (channel_is_broker (link->alias))
        broker_down (self, link, text);
    else
        endpoint_down (self, endpoint_of (link), turned_away (refused.status), text);
    return false;
}

static bool on_goodbye (channel_t *self, link_t *link)
{
    if (channel_is_broker (link->alias))
        broker_down (self, link, "it said goodbye");
    else
        endpoint_down (self, endpoint_of (link), WEFT_WORKER_LOST, "it said goodbye");
    return false;
}

static void on_draining (channel_t *self, link_t *link)
{
    link->draining = true;
    if (!channel_is_broker (link->alias))
        endpoint_of (link)->state = ENDPOINT_DRAINING;
    channel_left (self, link);
}

/*  False: the link is no more. */
static bool on_record (channel_t *self, link_t *link, const wire_record_t *record, zmq_msg_t *attachment)
{
    switch (record->kind) {
    case WIRE_REPLY:
        on_reply (self, link, record, attachment);
        return link->state == LINK_READY;
    case WIRE_ITEM:
        on_item (self, link, record, attachment);
        return link->state == LINK_READY;
    case WIRE_WELCOME:
        on_welcome (self, link, record);
        return true;
    case WIRE_REFUSED:
        return on_refused (self, link, record);
    case WIRE_DRAINING:
        on_draining (self, link);
        return true;
    case WIRE_GOODBYE:
        return on_goodbye (self, link);
    default:
        return true; /* not for us, or newer than we are */
    }
}

static link_t *link_of (channel_t *self, uint64_t alias)
{
    if (channel_is_broker (alias))
        return &self->broker_links [alias != CHANNEL_BROKER];
    endpoint_t *endpoint = ids_get (&self->endpoints.by_alias, alias);
    return endpoint ? &endpoint->link : NULL;
}

void channel_touch_alias (channel_t *self, uint64_t alias)
{
    link_t *link = link_of (self, alias);
    if (link)
        channel_touch (self, link);
}

void channel_departed (channel_t *self, uint64_t alias, uint64_t last)
{
    link_t *link = link_of (self, alias);
    if (link)
        link_departed (link, last);
}

static void refuse (channel_t *self, link_t *link, const char *fault)
{
    self->stats.malformed++;
    wire_write_refused (outbox_open_record (&link->outbox), WEFT_INVALID, fault);
    outbox_close_record (&link->outbox, NULL);
    channel_touch (self, link);
}

/*  What every event may have left behind. */
static inline void settle (channel_t *self)
{
    if (self->broker_links [0].draining | self->broker_links [1].draining)
        brokers_leave_draining (self);
    if (!list_empty (&self->endpoints.orphans))
        reap_orphans (self);
}

void channel_message (channel_t *self, uint64_t alias, message_t *message, int64_t now_us)
{
    self->now_us = now_us;
    link_t *link = link_of (self, alias);
    if (!link || link->state != LINK_READY)
        return;
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = "";
    int got;
    while ((got = message_next (&cursor, &record, &attachment, &fault)) == 1)
        if (!on_record (self, link, &record, attachment))
            break;
    if (got < 0)
        refuse (self, link, fault);
    settle (self);
}

static void on_endpoint_event (channel_t *self, endpoint_t *endpoint, transport_event_kind_t event)
{
    switch (event) {
    case TRANSPORT_READY:
        channel_ready (self, &endpoint->link);
        break;
    case TRANSPORT_LOST:
        endpoint_down (self, endpoint, WEFT_WORKER_LOST, "the connection was lost");
        break;
    case TRANSPORT_REFUSED:
        endpoint_down (self, endpoint, WEFT_CONNECT_TIMEOUT, "it does not speak this protocol");
        break;
    case TRANSPORT_FAILED:
        endpoint_down (self, endpoint, WEFT_WORKER_LOST, "nobody listens there");
        break;
    default:
        break;
    }
}

bool channel_displace (channel_t *self, uint64_t holder, uint64_t alias, int64_t now_us)
{
    self->now_us = now_us;
    endpoint_t *there = ids_get (&self->endpoints.by_alias, holder);
    endpoint_t *other = ids_get (&self->endpoints.by_alias, alias);
    const bool stays = there && there->link.state == LINK_READY;
    endpoint_t *down = stays ? other : there;
    if (down)
        endpoint_down (self, down, WEFT_WORKER_LOST, "another worker is there");
    settle (self);
    return !stays && other;
}

void channel_link (channel_t *self, uint64_t alias, transport_event_kind_t event, weft_status_t status,
                   int64_t now_us)
{
    self->now_us = now_us;
    link_t *link = link_of (self, alias);
    if (!link || link->state == LINK_IDLE)
        return;
    if (channel_is_broker (alias))
        broker_event (self, link, event, status);
    else
        on_endpoint_event (self, endpoint_of (link), event);
    settle (self);
}

/*  Time. */

static void link_due (channel_t *self, link_t *link)
{
    const bool connecting = link->state == LINK_CONNECTING;
    if (link == self->broker && link->state == LINK_IDLE)
        broker_open (self);
    else if (link == self->broker)
        broker_down (self, link, "it does not answer");
    else
        endpoint_down (self, endpoint_of (link), WEFT_WORKER_LOST,
                       connecting ? "no connection in time" : "it does not close");
}

void channel_tick (channel_t *self, int64_t now_us)
{
    self->now_us = now_us;
    for (deadline_t *due; (due = deadlines_pop (&self->links, now_us));)
        link_due (self, CONTAINER_OF (due, link_t, timer));
    for (deadline_t *due; (due = deadlines_pop (&self->calls, now_us));)
        call_due (self, CONTAINER_OF (due, weft_call_t, timer));
    settle (self);
}

/*  Calls. */

/*  Ends before it began. */
APART static void turn_down (channel_t *self, weft_call_t *call, size_t size)
{
    text_space_t space;
    outcome_t outcome;
    if (self->closed)
        outcome = outcome_here (WEFT_SHUTDOWN, WEFT_EXECUTED_NO, &space, "the client was closed");
    else if (call->flaw)
        outcome = outcome_here (call->flaw, WEFT_EXECUTED_NO, &space, "%s", weft_call_text (call));
    else if (size > self->options.body_max)
        outcome =
            outcome_here (WEFT_TOO_LARGE, WEFT_EXECUTED_NO, &space,
                          "the arguments have %zu bytes; at most %zu are sent", size, self->options.body_max);
    else if (self->open > self->options.calls_max)
        outcome = outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_NO, &space, "%zu calls are open already",
                                self->options.calls_max);
    else
        outcome = outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_NO, &space, "out of memory");
    call_end (self, call, &outcome);
}

void channel_start (channel_t *self, weft_call_t *call, int64_t now_us)
{
    size_t size;
    self->now_us = now_us;
    call_hold (call);
    call->sequence = ++self->sequence;
    call->started_us = now_us;
    call->deadline_us =
        call->settings.timeout_ms ? now_us + call->settings.timeout_ms * 1000LL : DEADLINES_NEVER;
    self->open++;
    self->stats.started++;
    retry_budget_call (&self->budget);
    call_args (call, &size);
    if (self->closed || call->flaw || size > self->options.body_max || self->open > self->options.calls_max ||
        !deadlines_reserve (&self->calls, self->open))
        turn_down (self, call, size);
    else
        route_call (self, call);
    settle (self);
}

/*  Life. */

bool channel_init (channel_t *self, const channel_options_t *options, int64_t now_us)
{
    *self = (channel_t){.options = *options, .now_us = now_us};
    self->broker = self->broker_links;
    for (int i = 0; i < 2; i++)
        link_init (&self->broker_links [i]);
    endpoints_init (&self->endpoints, options->seed);
    table_init (&self->services, options->seed);
    ids_init (&self->requests);
    deadlines_init (&self->calls);
    deadlines_init (&self->links);
    retry_budget_init (&self->budget, now_us);
    dice_init (&self->dice, options->seed);
    arena_init (&self->arena, WEFT_DECODED_MAX);
    buffer_init (&self->scratch, WEFT_BATCH_MAX);
    list_init (&self->done);
    list_init (&self->dirty);
    list_init (&self->fresh);
    brokers_take (self, options->brokers);
    assert (self->broker_count > 0);
    if (!deadlines_reserve (&self->calls, CALLS_RESERVED) ||
        !deadlines_reserve (&self->links, CALLS_RESERVED))
        return false;
    broker_open (self);
    return self->command_count > 0;
}

void channel_close (channel_t *self, int64_t now_us)
{
    self->now_us = now_us;
    self->closed = true;
    for (deadline_t *due; (due = deadlines_pop (&self->calls, DEADLINES_NEVER));)
        call_shut (self, CONTAINER_OF (due, weft_call_t, timer));
    size_t position = 0;
    for (endpoint_t *endpoint; (endpoint = table_next (&self->endpoints.by_uuid, &position));)
        if (endpoint->link.state == LINK_READY)
            channel_say_goodbye (self, &endpoint->link);
    for (int i = 0; i < 2; i++)
        if (self->broker_links [i].state == LINK_READY)
            channel_say_goodbye (self, &self->broker_links [i]);
    for (deadline_t *due; (due = deadlines_pop (&self->links, DEADLINES_NEVER));) {
    }
}

void channel_fini (channel_t *self)
{
    assert (self->open == 0 && list_empty (&self->done));
    size_t position = 0;
    for (discovery_t *discovery; (discovery = table_next (&self->services, &position));) {
        request_leave (&discovery->request);
        discovery_free (discovery, &self->endpoints);
    }
    table_fini (&self->services);
    for (int i = 0; i < 2; i++) {
        link_down (&self->broker_links [i]);
        link_fini (&self->broker_links [i]);
    }
    endpoints_fini (&self->endpoints);
    ids_fini (&self->requests);
    deadlines_fini (&self->calls);
    deadlines_fini (&self->links);
    arena_fini (&self->arena);
    buffer_fini (&self->scratch);
    free (self->commands);
    free (self->changes);
}
