/* SPDX-License-Identifier: MPL-2.0
 *
 *  client.c - a client process: the channel, and client/sockets.c and driver.c without sockets and threads. */

#include <stdio.h>
#include <stdlib.h>
#include "channel.h"
#include "checker.h"
#include "faults.h"
#include "load.h"
#include "roles.h"

#define MESSAGES_PER_TURN   256
#define BATCHES_BEFORE_LOST 64
#define STUCK_RETRY_US      (2 * MS)
#define ENDS_MAX            64

/*  A message that waits until its peer reads. */
typedef struct {
    list_node_t node;
    uint64_t alias, last;
    message_t message;
} stuck_t;

/*  A worker's connection: sockets.c knows it by alias, and by address in `aliases`. */
typedef struct {
    uint64_t alias; /* 0: unused */
    end_t *end;
    char address [WEFT_ENDPOINT_MAX + 1];
} worker_end_t;

typedef struct {
    process_t *process;
    channel_t channel;
    call_pool_t pool;
    port_t broker_ports [2], workers_port;
    end_t *brokers [2];     /* by their links' aliases */
    worker_end_t ends [ENDS_MAX];
    list_t stuck;
    int64_t retry_us;
    bool more, busy;        /* inside a turn: what callbacks start is sent at its end */
} model_t;

/*  A socket: a broker's, or of all workers. */
enum { OTHER_BROKER = 1, WORKERS = 2 };
static void read_events (model_t *self, int socket, int64_t now_us);

/*  Commands -------------------------------------------------------------------------------------------------------- */

static worker_end_t *by_alias (model_t *self, uint64_t alias)
{
    for (int i = 0; i < ENDS_MAX; i++)
        if (self->ends [i].alias == alias)
            return &self->ends [i];
    return NULL;
}

static worker_end_t *by_address (model_t *self, const char *address)
{
    for (int i = 0; i < ENDS_MAX; i++)
        if (self->ends [i].alias && strcmp (self->ends [i].address, address) == 0)
            return &self->ends [i];
    return NULL;
}

static void drop_stuck_of (model_t *self, uint64_t alias)
{
    list_node_t *next;
    for (list_node_t *node = list_first (&self->stuck); node; node = next) {
        stuck_t *stuck = CONTAINER_OF (node, stuck_t, node);
        next = list_after (&self->stuck, node);
        if (stuck->alias != alias)
            continue;
        list_remove (&self->stuck, node);
        message_fini (&stuck->message);
        free (stuck);
    }
}

static void disconnect (model_t *self, uint64_t alias, const char *address)
{
    worker_end_t *there = by_address (self, address);
    checker_client_leaves (self->process, alias);
    drop_stuck_of (self, alias);
    if (!there || there->alias != alias)
        return;
    end_close (there->end, true);
    *there = (worker_end_t){0};
}

static bool displace (model_t *self, uint64_t holder, uint64_t alias, const char *address, int64_t now_us)
{
    read_events (self, WORKERS, now_us);
    if (!channel_displace (&self->channel, holder, alias, now_us))
        return false;
    disconnect (self, holder, address);
    return true;
}

static void connect_worker (model_t *self, uint64_t alias, const char *address, int64_t now_us)
{
    const worker_end_t *holder = by_address (self, address);
    if (holder && !displace (self, holder->alias, alias, address, now_us))
        return;
    worker_end_t *added = by_alias (self, 0);
    if (!added)
        abort ();
    *added = (worker_end_t){.alias = alias, .end = end_connect (&self->workers_port, address, NULL)};
    snprintf (added->address, sizeof added->address, "%s", address);
}

static void close_broker (model_t *self, uint64_t alias)
{
    const int socket = alias == CHANNEL_OTHER_BROKER;
    if (self->brokers [socket])
        port_close (&self->broker_ports [socket], false);
    self->brokers [socket] = NULL;
    checker_client_leaves (self->process, alias);
}

static void open_broker (model_t *self, uint64_t alias, const char *address)
{
    const int socket = alias == CHANNEL_OTHER_BROKER;
    close_broker (self, alias);
    port_open (&self->broker_ports [socket], self->process);
    self->brokers [socket] = end_connect (&self->broker_ports [socket], address, NULL);
}

static void carry_out (model_t *self, channel_command_t command, int64_t now_us)
{
    switch (command.kind) {
    case CHANNEL_OPEN_BROKER:
        open_broker (self, command.alias, command.address);
        break;
    case CHANNEL_CLOSE_BROKER:
        drop_stuck_of (self, command.alias);
        close_broker (self, command.alias);
        break;
    case CHANNEL_CONNECT:
        connect_worker (self, command.alias, command.address, now_us);
        break;
    case CHANNEL_DISCONNECT:
        disconnect (self, command.alias, command.address);
        break;
    }
}

/*  Sending --------------------------------------------------------------------------------------------------------- */

typedef enum { SENT, FULL, GONE } sent_t;

static sent_t send_message (model_t *self, uint64_t alias, message_t *message, int64_t now_us)
{
    const worker_end_t *worker = channel_is_broker (alias) ? NULL : by_alias (self, alias);
    end_t *end = channel_is_broker (alias) ? self->brokers [alias == CHANNEL_OTHER_BROKER] : worker ? worker->end : NULL;
    const end_sent_t sent = end ? end_send (end, message) : END_GONE;
    if (sent == END_SENT)
        return SENT;
    if (sent == END_FULL)
        return FULL;
    message_clear (message);
    if (end)
        checker_client_gone (self->process, alias);
    else
        checker_client_leaves (self->process, alias);
    channel_link (&self->channel, alias, TRANSPORT_LOST, WEFT_OK, now_us);
    return GONE;
}

static bool is_stuck (const model_t *self, uint64_t alias)
{
    for (list_node_t *node = list_first (&self->stuck); node; node = list_after (&self->stuck, node))
        if (CONTAINER_OF (node, stuck_t, node)->alias == alias)
            return true;
    return false;
}

static void set_aside (model_t *self, uint64_t alias, uint64_t last, message_t *message, int64_t now_us)
{
    stuck_t *stuck = malloc (sizeof *stuck);
    *stuck = (stuck_t){.alias = alias, .last = last};
    message_init (&stuck->message);
    for (int i = 0; i < message->count; i++)
        message_add (&stuck->message, &message->frames [i]);
    message_clear (message);
    if (list_empty (&self->stuck))
        self->retry_us = now_us + STUCK_RETRY_US;
    list_push (&self->stuck, &stuck->node);
}

static void retry_stuck (model_t *self, int64_t now_us)
{
    if (now_us < self->retry_us)
        return;
    self->retry_us = now_us + STUCK_RETRY_US;
    for (size_t left = self->stuck.count; left > 0 && !list_empty (&self->stuck); left--) {
        stuck_t *stuck = CONTAINER_OF (list_pop (&self->stuck), stuck_t, node);
        checker_client_keeps (self->process, stuck->alias, &stuck->message, false);
        const sent_t sent = send_message (self, stuck->alias, &stuck->message, now_us);
        if (sent == FULL) {
            checker_client_keeps (self->process, stuck->alias, &stuck->message, true);
            list_push (&self->stuck, &stuck->node);
            continue;
        }
        if (sent == SENT)
            channel_departed (&self->channel, stuck->alias, stuck->last);
        free (stuck);
    }
}

static void flush_link (model_t *self, link_t *link, int64_t now_us)
{
    const uint64_t alias = link->alias;
    message_t message;
    if (link->outbox.failed) {
        checker_client_leaves (self->process, alias);
        channel_link (&self->channel, alias, TRANSPORT_LOST, WEFT_OK, now_us);
        return;
    }
    if (is_stuck (self, alias)) {
        channel_touch (&self->channel, link);
        return;
    }
    message_init (&message);
    while (outbox_take (&link->outbox, &message)) {
        checker_client_sends (self->process, alias, &message);
        const uint64_t last = link_last (link);
        const sent_t sent = send_message (self, alias, &message, now_us);
        if (sent == FULL) {
            checker_client_keeps (self->process, alias, &message, true);
            set_aside (self, alias, last, &message, now_us);
            channel_touch (&self->channel, link);
        }
        if (sent != SENT)
            return;
        link_departed (link, last);
    }
}

/*  Lists that changed go to the checker as to a watcher; before what is sent because of them. */
static void tell_changes (model_t *self)
{
    for (const channel_change_t *change; (change = channel_next_change (&self->channel));)
        checker_client_hears (self->process, change->worker, change->state);
}

/*  sockets_flush */
static void flush (model_t *self, int64_t now_us)
{
    channel_t *channel = &self->channel;
    tell_changes (self);
    if (!list_empty (&self->stuck))
        retry_stuck (self, now_us);
    for (size_t left = channel->dirty.count; left > 0 && !list_empty (&channel->dirty); left--)
        flush_link (self, channel_next_dirty (channel), now_us);
    for (const channel_command_t *command; (command = channel_next_command (channel));)
        carry_out (self, *command, now_us);
    for (size_t left = channel->dirty.count; left > 0 && !list_empty (&channel->dirty); left--)
        flush_link (self, channel_next_dirty (channel), now_us);
}

/*  Receiving ------------------------------------------------------------------------------------------------------- */

static uint64_t alias_of (model_t *self, const end_t *end)
{
    for (int i = 0; i < ENDS_MAX; i++)
        if (self->ends [i].alias && self->ends [i].end == end)
            return self->ends [i].alias;
    return UINT64_MAX - 1; /* of one that was given up */
}

static uint64_t broker_alias (int socket)
{
    return socket == OTHER_BROKER ? CHANNEL_OTHER_BROKER : CHANNEL_BROKER;
}

static port_t *port_of (model_t *self, int socket)
{
    return socket == WORKERS ? &self->workers_port : &self->broker_ports [socket];
}

/*  True if it is known to be empty now. */
static bool receive_all (model_t *self, int socket, int64_t now_us)
{
    message_t message;
    int64_t transit_us;
    message_init (&message);
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        if (socket != WORKERS && !self->brokers [socket])
            return true;
        end_t *end = port_receive (port_of (self, socket), &message, &transit_us);
        if (!end)
            return true;
        const uint64_t alias = socket == WORKERS ? alias_of (self, end) : broker_alias (socket);
        checker_client_reads (self->process, alias, &message);
        channel_message (&self->channel, alias, &message, now_us);
        message_clear (&message);
    }
    return false;
}

static void tell_event (model_t *self, int socket, const network_event_t *event, int64_t now_us)
{
    uint64_t alias = broker_alias (socket);
    if (socket == WORKERS) { /* a monitor names the address, and nothing else */
        const worker_end_t *worker = by_address (self, event->address);
        if (!worker)
            return;
        alias = worker->alias;
    }
    if (event->kind == TRANSPORT_LOST)
        for (int i = 0; i < BATCHES_BEFORE_LOST && !receive_all (self, socket, now_us); i++) {
        }
    channel_link (&self->channel, alias, event->kind, WEFT_OK, now_us);
    if (event->kind == TRANSPORT_LOST)
        checker_client_lost (self->process, alias);
}

static void read_events (model_t *self, int socket, int64_t now_us)
{
    network_event_t event;
    while ((socket == WORKERS || self->brokers [socket]) && port_event (port_of (self, socket), &event)) {
        tell_event (self, socket, &event, now_us);
        if (socket != WORKERS && event.kind != TRANSPORT_READY && event.kind != TRANSPORT_ACCEPTED)
            return;
    }
}

/*  driver.c: hand_over_all, run_callbacks */
static void hand_over (model_t *self)
{
    for (weft_call_t *call; (call = channel_next_fresh (&self->channel));)
        load_fresh (call);
    for (weft_call_t *call; (call = channel_next_done (&self->channel));) {
        if (weft_call_done (call))
            violated ("a call of %s ended twice", self->process->name);
        atomic_store (&call->done, true);
        load_done (self->process, call);
        call_release (call, &self->pool);
    }
}

/*  sockets_turn, turn of driver.c */
static void turn (process_t *process)
{
    model_t *self = process->model;
    const int64_t now_us = process_now_us (process);

    self->busy = true;
    self->more = !receive_all (self, WORKERS, now_us);
    for (int broker = 0; broker < 2; broker++)
        self->more |= !receive_all (self, broker, now_us);
    read_events (self, WORKERS, now_us);
    for (int broker = 0; broker < 2; broker++)
        read_events (self, broker, now_us);
    if (channel_next_us (&self->channel) <= now_us)
        channel_tick (&self->channel, now_us);
    flush (self, now_us);
    hand_over (self);
    flush (self, now_us); /* push_out, after callbacks */
    self->busy = false;
    checker_client_bounds (process, self->channel.open);
}

static int64_t next_us (const process_t *process)
{
    const model_t *self = process->model;
    const int64_t now_us = process_now_us (process);
    for (int broker = 0; broker < 2; broker++)
        if (self->brokers [broker] && port_has_news (&self->broker_ports [broker]))
            return now_us;
    if (self->more || port_has_news (&self->workers_port) || !list_empty (&self->channel.done))
        return now_us;
    int64_t next = channel_next_us (&self->channel);
    if (!list_empty (&self->stuck) && self->retry_us < next)
        next = self->retry_us;
    if (self->channel.dirty.count && next > now_us + STUCK_RETRY_US)
        next = now_us + STUCK_RETRY_US;
    if (next == NEVER || next <= now_us)
        return next;
    return now_us + (next - now_us + 999) / 1000 * 1000; /* epoll takes milliseconds */
}

/*  Life ------------------------------------------------------------------------------------------------------------ */

static bool reach (const char *address, void *arg)
{
    (void) arg;
    return strncmp (address, "tcp://", 6) == 0;
}

static void start (process_t *process)
{
    model_t *self = calloc (1, sizeof *self);
    char brokers [100];
    process->model = self;
    self->process = process;
    snprintf (brokers, sizeof brokers, "%s%s%s", broker_addresses [0], profile.brokers > 1 ? "," : "",
              profile.brokers > 1 ? broker_addresses [1] : "");
    list_init (&self->stuck);
    call_pool_init (&self->pool, 16);
    port_open (&self->workers_port, process);
    const channel_options_t options = {
        .brokers = brokers,
        .name = process->name,
        .codec = chance (profile.json_per_mille) ? CODEC_JSON : CODEC_MSGPACK,
        .call = {5000, 2000, WEFT_VIA_AUTO, WEFT_BALANCE_P2C, WEFT_RETRY_FAILOVER, 0},
        .refresh_us = profile.refresh_us,
        .calls_max = profile.calls_max,
        .body_max = 100000,
        .seed = roll (UINT64_MAX),
        .reach = reach,
        .pool = &self->pool,
    };
    if (!channel_init (&self->channel, &options, process_now_us (process)))
        abort ();
    self->channel.observed = true;
    if (profile.poor)
        self->channel.budget.tokens = 0;
    checker_client_starts (process, self->channel.budget.tokens);
    flush (self, process_now_us (process));
    process_wake (process, world.now_us);
}

static void end_process_of (process_t *process)
{
    model_t *self = process->model;
    channel_close (&self->channel, process_now_us (process));
    for (weft_call_t *call; (call = channel_next_done (&self->channel));)
        call_release (call, &self->pool); /* nobody is there to be told */
    load_forget (process);
    while (!list_empty (&self->stuck))
        drop_stuck_of (self, CONTAINER_OF (list_first (&self->stuck), stuck_t, node)->alias);
    channel_fini (&self->channel);
    port_close (&self->workers_port, leaves_politely);
    close_broker (self, CHANNEL_BROKER);
    close_broker (self, CHANNEL_OTHER_BROKER);
    call_pool_fini (&self->pool);
    free (self);
    process->model = NULL;
}

/*  weft_client_close, weft_client_destroy: the calls that are open end, and their callbacks run. */
void client_process_close (process_t *process)
{
    model_t *self = process->model;
    const int64_t now_us = process_now_us (process);
    channel_close (&self->channel, now_us);
    flush (self, now_us);
    hand_over (self);
    process_kill (process, true);
}

/*  load.c's side ---------------------------------------------------------------------------------------------------- */

weft_call_t *client_process_call (process_t *process)
{
    model_t *self = process->model;
    weft_call_t *call = call_new (&self->pool);
    call->codec = self->channel.options.codec;
    return call;
}

/*  weft_client_start, driver_follow_up */
void client_process_begin (process_t *process, weft_call_t *call)
{
    model_t *self = process->model;
    const int64_t now_us = process_now_us (process);
    if (!call_ask (call, load_method (call), load_options (call), &self->channel.options.call)
        || !call_seal_args (call))
        abort ();
    channel_start (&self->channel, call, now_us);
    if (!self->busy)
        flush (self, now_us);
    process_wake (process, !list_empty (&self->channel.done) ? world.now_us : next_us (process) - process->offset_us);
}

void client_process_cancel (process_t *process, weft_call_t *call)
{
    model_t *self = process->model;
    const int64_t now_us = process_now_us (process);
    channel_cancel (&self->channel, call, now_us);
    if (!self->busy)
        flush (self, now_us);
    process_wake (process, world.now_us);
}

/*  weft_call_next_body: the next item that is here, or NULL. */
const void *client_process_take (process_t *process, weft_call_t *call, size_t *size)
{
    model_t *self = process->model;
    const int64_t now_us = process_now_us (process);
    intake_item_t *item = channel_take_item (&self->channel, call, now_us);
    if (!self->busy)
        flush (self, now_us);
    if (!item)
        return NULL;
    *size = item->size;
    return intake_bytes (item);
}

void client_process_release (process_t *process, weft_call_t *call)
{
    model_t *self = process->model;
    call_release (call, &self->pool);
}

/*  For the checker -------------------------------------------------------------------------------------------------- */

bool client_process_lists (const process_t *process, const char *const *uuids, size_t count, char why [200])
{
    const model_t *self = process->model;
    const discovery_t *discovery = table_get (&self->channel.services, "Job", 3);

    snprintf (why, 200, "it never asked");
    if (!discovery)
        return true; /* all its calls went through the broker, and none may be retried */
    for (size_t i = 0; i < count; i++) {
        const endpoint_t *endpoint = endpoints_find (&self->channel.endpoints, uuids [i], strlen (uuids [i]));
        snprintf (why, 200, "worker %s is %s", uuids [i], endpoint ? "not alive there" : "missing");
        if (!endpoint || endpoint->state != ENDPOINT_ALIVE)
            return false;
    }
    snprintf (why, 200, "%zu workers are listed, not %zu; %zu in all", discovery->count, count,
              self->channel.endpoints.by_uuid.count);
    return discovery->count == count && self->channel.endpoints.by_uuid.count == count;
}

bool client_process_is_idle (const process_t *process, char why [200])
{
    const model_t *self = process->model;
    const channel_t *channel = &self->channel;
    snprintf (why, 200, "%zu calls open, %zu routed, %zu requests, %zu services, %zu stuck", channel->open,
              channel->broker->calls, channel->requests.count, channel->services.count, self->stuck.count);
    return channel->open == 0 && channel->broker->calls == 0 && channel->requests.count <= channel->services.count
           && deadlines_next (&channel->calls) == DEADLINES_NEVER && list_empty (&self->stuck);
}

const program_t client_program = {start, end_process_of, turn, next_us};
