/* SPDX-License-Identifier: MPL-2.0
 *
 *  channel.h - the client without sockets, clock or threads: calls and events in, records and commands out.
 *
 *      calls ──────▶ ┌─────────┐ ──▶ done calls
 *      link events ▶ │ channel │ ──▶ links with something to send (outbox)
 *      messages ───▶ │         │ ──▶ commands: open, close, connect, disconnect
 *      time ───────▶ └─────────┘ ──▶ when it next has something to do
 *
 *  A call is *routed* (which worker, by which way; route.c), *attempted* over a link (attempt.c), and ends
 *  or is tried again. The shell feeds events, then takes everything that came out. A broker's
 *  link has one of two aliases, workers' links have others, which are never reused. */

#ifndef CHANNEL_H_INCLUDED
#define CHANNEL_H_INCLUDED

#include "call.h"
#include "discovery.h"
#include "retry.h"
#include "transport.h"

/*  Links to brokers: to the one that is used, and to one that drains and still has calls of ours. */
#define CHANNEL_BROKER       0
#define CHANNEL_OTHER_BROKER UINT64_MAX
static inline bool channel_is_broker (uint64_t alias)
{
    return alias == CHANNEL_BROKER || alias == CHANNEL_OTHER_BROKER;
}

typedef struct {
    const char *brokers;        /* comma-separated endpoints, valid */
    const char *name;
    codec_t codec;
    call_settings_t call;       /* defaults of calls */
    int64_t refresh_us;
    size_t calls_max, body_max;
    uint64_t seed;
    endpoint_reach_fn *reach;   /* may this address be connected to from here? */
    void *reach_arg;
    call_pool_t *pool;          /* for the parts of broadcasts */
} channel_options_t;

typedef enum {
    CHANNEL_OPEN_BROKER,
    CHANNEL_CLOSE_BROKER,
    CHANNEL_CONNECT,
    CHANNEL_DISCONNECT
} channel_command_kind_t;

typedef struct {
    channel_command_kind_t kind;
    uint64_t alias;
    char address [WEFT_ENDPOINT_MAX + 1];
} channel_command_t;

/*  A change of a list, for weft_watch_fn. */
typedef struct {
    char service [WEFT_METHOD_NAME_MAX + 1];
    char worker [ENDPOINT_UUID_MAX + 1];
    char state [16];
    char endpoint [WEFT_ENDPOINT_MAX + 1];
} channel_change_t;

typedef struct {
    channel_options_t options;
    int64_t now_us;                 /* of the event that is being handled */
    bool closed;

    char brokers [WEFT_BROKERS_MAX][WEFT_ENDPOINT_MAX + 1];
    size_t broker_count, broker_at;
    unsigned broker_failures;       /* in a row */
    size_t broker_refusals;         /* in a row */
    char broker_fault [400];        /* why there is no link: ": nobody listens there"; else "" */
    link_t broker_links [2];
    link_t *broker;                 /* the one that is used; the other is idle, or has calls that end before it is left */

    endpoints_t endpoints;
    table_t services;               /* name → discovery_t */
    int64_t crowded_us;             /* until when no place among them can become free */
    discovery_t *recent;            /* the one of them that was asked for last */
    ids_t requests;                 /* sent and not ended: request_t */
    deadlines_t calls, links;
    retry_budget_t budget;
    dice_t dice;
    size_t open;
    uint64_t sequence;
    weft_client_stats_t stats;
    arena_t arena;                  /* for what is decoded and used at once */
    buffer_t scratch;

    list_t done, dirty;
    list_t fresh;                   /* streams with items that nobody was told of */
    bool full;                      /* one of the dirty has a full message */
    channel_command_t *commands;
    size_t command_count, command_at, command_capacity;
    bool observed;                  /* keep changes */
    channel_change_t *changes;
    size_t change_count, change_at, change_capacity;
} channel_t;

/*  False: out of memory. Opens the first broker's link at once. */
bool channel_init (channel_t *self, const channel_options_t *options, int64_t now_us);
void channel_fini (channel_t *self); /* after close, when done is empty */

/*  In. `call` was asked and its arguments are sealed; the channel holds a handle of its own until it has
 *  ended. */
void channel_start (channel_t *self, weft_call_t *call, int64_t now_us);
void channel_cancel (channel_t *self, weft_call_t *call, int64_t now_us);
void channel_link (channel_t *self, uint64_t alias, transport_event_kind_t event, weft_status_t status,
                   int64_t now_us);
void channel_message (channel_t *self, uint64_t alias, message_t *message, int64_t now_us);

/*  The worker of link `alias` is to be connected where that of `holder` is. True: it may, and the holder
 *  is taken down. False: the holder is connected, so the address is its own; the other, out of date, is
 *  taken down. */
bool channel_displace (channel_t *self, uint64_t holder, uint64_t alias, int64_t now_us);
void channel_malformed (channel_t *self); /* a message was dropped by the transport */
void channel_tick (channel_t *self, int64_t now_us);

/*  Of a stream: takes the oldest item that is here (NULL: none is), which lives until the next is taken, and asks for more if it
 *  is time. The item that was taken last does not fit its type: the stream ends. */
intake_item_t *channel_take_item (channel_t *self, weft_call_t *call, int64_t now_us);
void channel_spoil_item (channel_t *self, weft_call_t *call, const char *text, int64_t now_us);

/*  Ends all calls with SHUTDOWN, says goodbye, takes no more. */
void channel_close (channel_t *self, int64_t now_us);

/*  Out. Each takes one from its list; NULL when there is none. A done call comes with the channel's
 *  handle. */
static inline weft_call_t *channel_next_done (channel_t *self)
{
    list_node_t *node = list_pop (&self->done);
    return node ? CONTAINER_OF (node, weft_call_t, node) : NULL;
}
weft_call_t *channel_next_fresh (channel_t *self); /* a stream to which items came; no handle */
link_t *channel_next_dirty (channel_t *self);
void channel_touch (channel_t *self, link_t *link); /* puts one back: it still has something to send */
void channel_touch_alias (channel_t *self, uint64_t alias); /* the same; harmless if there is no such link */
void channel_departed (channel_t *self, uint64_t alias, uint64_t last); /* link_departed, of what was stuck; harmless too */
const channel_command_t *channel_next_command (channel_t *self); /* valid until the next event */
const channel_change_t *channel_next_change (channel_t *self);   /* the same */
int64_t channel_next_us (const channel_t *self);
weft_client_stats_t channel_stats (const channel_t *self);

#endif
