/* SPDX-License-Identifier: MPL-2.0 */

#include "sockets.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "clock.h"

enum { BROKER = 1, OTHER_BROKER = 4, WORKERS = 16, WAKE = 64, TIMER = 128 };
#define MONITOR_OF(source) ((source) << 1)

#define MESSAGES_PER_TURN   256
#define BATCHES_BEFORE_LOST 64
#define STUCK_RETRY_US      2000  /* at first; then as long again as it has waited */
#define STUCK_RETRY_MAX_US  64000
#define ROUTING_ID_SIZE     9

/*  A message that waits until its peer reads. */
typedef struct {
    deadline_t due;
    int64_t delay_us;
    uint64_t alias;
    uint64_t last; /* request in it, or before it */
    message_t message;
} stuck_t;

/*  The alias as a routing id: a letter (a zero first byte is libzmq's), then the number. */
static void make_routing_id (uint8_t *id, uint64_t alias)
{
    id [0] = 'w';
    mp_put64 (id + 1, alias);
}

static uint64_t read_routing_id (zmq_msg_t *id)
{
    uint64_t alias = 0;
    if (zmq_msg_size (id) != ROUTING_ID_SIZE)
        return 0;
    memcpy (&alias, (const uint8_t *) zmq_msg_data (id) + 1, sizeof alias);
    return __builtin_bswap64 (alias);
}

/*  Watching. */

static bool watch_fd (sockets_t *self, int fd, unsigned source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
    return fd >= 0 && epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void unwatch (sockets_t *self, void *socket)
{
    if (socket)
        epoll_ctl (self->epoll, EPOLL_CTL_DEL, transport_descriptor (socket), NULL);
}

static bool is_of_broker (const sockets_t *self, const watched_t *watched)
{
    return watched != &self->workers;
}

static watched_t *of_alias (sockets_t *self, uint64_t alias)
{
    return channel_is_broker (alias) ? &self->brokers [alias != CHANNEL_BROKER] : &self->workers;
}

/*  Opens a socket with its monitor, both watched. */
static bool open_socket (sockets_t *self, watched_t *watched, int type)
{
    watched->socket = transport_socket (self->context, type, self->frame_max);
    watched->monitor = watched->socket ? transport_monitor_open (self->context, watched->socket) : NULL;
    self->check |= watched->source | MONITOR_OF (watched->source);
    return watched->monitor && watch_fd (self, transport_descriptor (watched->socket), watched->source) &&
           watch_fd (self, transport_descriptor (watched->monitor), MONITOR_OF (watched->source));
}

static void close_socket (sockets_t *self, watched_t *watched, int linger_ms)
{
    if (watched->monitor) {
        unwatch (self, watched->monitor);
        transport_monitor_close (watched->socket, &watched->monitor);
    }
    if (watched->socket) {
        unwatch (self, watched->socket);
        zmq_setsockopt (watched->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close (watched->socket);
    }
    watched->socket = NULL;
}

/*  Life. */

bool sockets_init (sockets_t *self, size_t body_max, uint64_t seed)
{
    *self = (sockets_t){.epoll = epoll_create1 (EPOLL_CLOEXEC),
                        .wake = transport_wake_open (),
                        .nudge = transport_wake_open (),
                        .timer = timerfd_create (CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                        .brokers = {{.source = BROKER, .alias = CHANNEL_BROKER},
                                    {.source = OTHER_BROKER, .alias = CHANNEL_OTHER_BROKER}},
                        .workers = {.source = WORKERS},
                        .frame_max = (body_max > WEFT_BODY_MAX ? body_max : WEFT_BODY_MAX) + WEFT_FRAME_ROOM,
                        .armed_us = DEADLINES_NEVER};
    table_init (&self->stuck, seed);
    deadlines_init (&self->stuck_due);
    table_init (&self->aliases, seed);
    self->context = transport_context_acquire ();
    return self->context && self->epoll >= 0 && self->nudge >= 0 && watch_fd (self, self->wake, WAKE) &&
           watch_fd (self, self->timer, TIMER) &&
           open_socket (self, &self->workers, ZMQ_ROUTER);
}

static void drop_stuck (sockets_t *self, stuck_t *stuck)
{
    table_take (&self->stuck, &stuck->alias, sizeof stuck->alias);
    deadlines_cancel (&self->stuck_due, &stuck->due);
    message_fini (&stuck->message);
    free (stuck);
}

void sockets_fini (sockets_t *self, int linger_ms)
{
    size_t position = 0;
    for (stuck_t *stuck; (stuck = table_next (&self->stuck, &position));)
        drop_stuck (self, stuck);
    table_fini (&self->stuck);
    deadlines_fini (&self->stuck_due);
    if (self->context) {
        close_socket (self, &self->brokers [0], linger_ms);
        close_socket (self, &self->brokers [1], linger_ms);
        close_socket (self, &self->workers, linger_ms);
        transport_context_release ();
    }
    table_fini (&self->aliases);
    const int descriptors [] = {self->epoll, self->wake, self->timer, self->nudge};
    for (size_t i = 0; i < 4; i++)
        if (descriptors [i] >= 0)
            close (descriptors [i]);
}

/*  Commands. */

static bool is_inproc (const char *address)
{
    return strncmp (address, "inproc:", 7) == 0;
}

/*  In this process there is no handshake to wait for, and no event that tells of it. */
static transport_event_kind_t connect_socket (void *socket, const char *address)
{
    if (is_inproc (address) && !transport_inproc_has (address))
        return TRANSPORT_FAILED;
    if (zmq_connect (socket, address) < 0)
        return TRANSPORT_FAILED;
    return is_inproc (address) ? TRANSPORT_READY : 0;
}

static stuck_t *stuck_of (const sockets_t *self, uint64_t alias)
{
    return self->stuck.count ? table_get (&self->stuck, &alias, sizeof alias) : NULL;
}

static void drop_stuck_of (sockets_t *self, uint64_t alias)
{
    stuck_t *stuck = stuck_of (self, alias);
    if (stuck)
        drop_stuck (self, stuck);
}

static void disconnect (sockets_t *self, uint64_t alias, const char *address)
{
    const size_t size = strlen (address);
    drop_stuck_of (self, alias);
    if ((uint64_t) (uintptr_t) table_get (&self->aliases, address, size) != alias)
        return;
    table_take (&self->aliases, address, size);
    zmq_disconnect (self->workers.socket, address); /* a lost one is gone already */
    self->check |= WORKERS;
}

static void read_events (sockets_t *self, channel_t *channel, watched_t *watched, int64_t now_us);

/*  Two workers are said to be at one address, which cannot be. */
static bool displace (sockets_t *self, channel_t *channel, uint64_t holder, uint64_t alias,
                      const char *address, int64_t now_us)
{
    read_events (self, channel, &self->workers, now_us); /* the one that was there before may just have gone */
    if (!channel_displace (channel, holder, alias, now_us))
        return false;
    disconnect (self, holder, address);
    return true;
}

static void connect_worker (sockets_t *self, channel_t *channel, uint64_t alias, const char *address,
                            int64_t now_us)
{
    const size_t size = strlen (address);
    const uint64_t holder = (uint64_t) (uintptr_t) table_get (&self->aliases, address, size);
    if (holder && !displace (self, channel, holder, alias, address, now_us))
        return;
    uint8_t id [ROUTING_ID_SIZE];
    make_routing_id (id, alias);
    zmq_setsockopt (self->workers.socket, ZMQ_CONNECT_ROUTING_ID, id, sizeof id);
    table_put (&self->aliases, address, size, (void *) (uintptr_t) alias);
    const transport_event_kind_t event = connect_socket (self->workers.socket, address);
    self->check |= WORKERS;
    if (event)
        channel_link (channel, alias, event, WEFT_OK, now_us);
}

static void open_broker (sockets_t *self, channel_t *channel, uint64_t alias, const char *address, int64_t now_us)
{
    watched_t *broker = of_alias (self, alias);
    close_socket (self, broker, 0);
    transport_event_kind_t event = TRANSPORT_FAILED;
    if (open_socket (self, broker, ZMQ_DEALER))
        event = connect_socket (broker->socket, address);
    if (event)
        channel_link (channel, alias, event, WEFT_OK, now_us);
}

static void carry_out (sockets_t *self, channel_t *channel, channel_command_t command, int64_t now_us)
{
    switch (command.kind) {
    case CHANNEL_OPEN_BROKER:
        open_broker (self, channel, command.alias, command.address, now_us);
        break;
    case CHANNEL_CLOSE_BROKER:
        drop_stuck_of (self, command.alias);
        close_socket (self, of_alias (self, command.alias), 0);
        break;
    case CHANNEL_CONNECT:
        connect_worker (self, channel, command.alias, command.address, now_us);
        break;
    case CHANNEL_DISCONNECT:
        disconnect (self, command.alias, command.address);
        break;
    }
}

/*  Sending. */

typedef enum { SENT, FULL, GONE } sent_t;

/*  FULL: the peer has no room, the message stays. GONE: so is the peer, and the link's memory perhaps. */
static sent_t send_message (sockets_t *self, channel_t *channel, uint64_t alias, message_t *message,
                            int64_t now_us)
{
    uint8_t id [ROUTING_ID_SIZE];
    make_routing_id (id, alias);
    const bool to_broker = channel_is_broker (alias);
    watched_t *watched = of_alias (self, alias);
    void *socket = watched->socket;
    self->check |= watched->source;
    if (socket && transport_send (socket, to_broker ? NULL : id, to_broker ? 0 : sizeof id, message) == 0)
        return SENT;
    if (socket && errno == EAGAIN)
        return FULL;
    message_clear (message);
    channel_link (channel, alias, TRANSPORT_LOST, WEFT_OK, now_us);
    return GONE;
}

/*  Its link has no more to flush until it has left. False: out of memory, as if it were lost on the way: the
 *  calls' deadlines hold. */
static bool set_aside (sockets_t *self, uint64_t alias, uint64_t last, message_t *message, int64_t now_us)
{
    stuck_t *stuck = calloc (1, sizeof *stuck);
    if (!stuck || !table_put (&self->stuck, &alias, sizeof alias, stuck) ||
        !deadlines_set (&self->stuck_due, &stuck->due, now_us + STUCK_RETRY_US)) {
        table_take (&self->stuck, &alias, sizeof alias);
        free (stuck);
        message_clear (message);
        return false;
    }
    stuck->alias = alias;
    stuck->last = last;
    stuck->delay_us = STUCK_RETRY_US;
    message_init (&stuck->message);
    for (int i = 0; i < message->count; i++)
        message_add (&stuck->message, &message->frames [i]);
    message_clear (message);
    return true;
}

/*  Not at every turn: each try looks like something to take in, so the driver would never sleep. Nor does a
 *  peer that does not read cost a try every other millisecond for ever: the next one comes after as long as
 *  it has waited. */
static void retry_stuck (sockets_t *self, channel_t *channel, int64_t now_us)
{
    for (deadline_t *due; (due = deadlines_pop (&self->stuck_due, now_us));) {
        stuck_t *stuck = CONTAINER_OF (due, stuck_t, due);
        const uint64_t alias = stuck->alias;
        const sent_t sent = send_message (self, channel, alias, &stuck->message, now_us);
        if (sent == FULL) {
            stuck->delay_us *= stuck->delay_us < STUCK_RETRY_MAX_US ? 2 : 1;
            deadlines_set (&self->stuck_due, &stuck->due, now_us + stuck->delay_us); /* in the place it had */
            continue;
        }
        if (sent == SENT)
            channel_departed (channel, alias, stuck->last);
        drop_stuck (self, stuck);
        channel_touch_alias (channel, alias);
    }
}

/*  All messages that wait, or only those that are full: more goes into the last. */
static void flush_link (sockets_t *self, channel_t *channel, link_t *link, bool only_full, int64_t now_us)
{
    const uint64_t alias = link->alias;
    message_t message;
    if (link->outbox.failed) {
        channel_link (channel, alias, TRANSPORT_LOST, WEFT_OK, now_us);
        return;
    }
    if (stuck_of (self, alias))
        return; /* behind the message that is stuck */
    message_init (&message);
    while ((!only_full || outbox_full (&link->outbox)) && outbox_take (&link->outbox, &message)) {
        const uint64_t last = link_last (link);
        const sent_t sent = send_message (self, channel, alias, &message, now_us);
        if (sent == FULL && !set_aside (self, alias, last, &message, now_us)) {
            link->outbox.failed = true; /* that message is gone: so is the link */
            channel_touch (channel, link);
        }
        if (sent != SENT)
            return;
        link_departed (link, last);
    }
    if (link->outbox.failed || (only_full && !outbox_empty (&link->outbox)))
        channel_touch (channel, link);
}

static void flush_dirty (sockets_t *self, channel_t *channel, bool only_full, int64_t now_us)
{
    for (size_t left = channel->dirty.count; left > 0 && !list_empty (&channel->dirty); left--)
        flush_link (self, channel, channel_next_dirty (channel), only_full, now_us);
}

void sockets_flush_full (sockets_t *self, channel_t *channel, int64_t now_us)
{
    channel->full = false;
    flush_dirty (self, channel, true, now_us);
}

void sockets_flush (sockets_t *self, channel_t *channel, int64_t now_us)
{
    if (deadlines_next (&self->stuck_due) <= now_us)
        retry_stuck (self, channel, now_us);
    /* records first: a goodbye must leave before its connection goes */
    channel->full = false;
    flush_dirty (self, channel, false, now_us);
    for (const channel_command_t *command; (command = channel_next_command (channel));)
        carry_out (self, channel, *command, now_us);
    /* what became ready at once, in this process, has something to say */
    flush_dirty (self, channel, false, now_us);
}

/*  Receiving. */

/*  Takes in what a socket holds, a batch at most. True if it is known to be empty now. */
static bool receive_all (sockets_t *self, channel_t *channel, watched_t *watched, bool hurry, int64_t now_us)
{
    const bool from_broker = is_of_broker (self, watched);
    zmq_msg_t id;
    message_t message;
    zmq_msg_init (&id);
    message_init (&message);
    bool empty = false;
    for (int i = 0; i < MESSAGES_PER_TURN && !empty; i++) {
        const char *fault;
        const int got = watched->socket ? transport_receive (watched->socket, from_broker ? NULL : &id, &message, &fault) : 0;
        empty = got == 0;
        if (got < 0)
            channel_malformed (channel);
        if (got == 1)
            channel_message (channel, from_broker ? watched->alias : read_routing_id (&id), &message, now_us);
        message_clear (&message);
        if (got == 1 && hurry && channel->open == 0)
            break;
    }
    zmq_msg_close (&id);
    return empty;
}

static void tell_event (sockets_t *self, channel_t *channel, watched_t *watched, const transport_event_t *event,
                        int64_t now_us)
{
    uint64_t alias = watched->alias;
    if (!is_of_broker (self, watched)) {
        alias = (uint64_t) (uintptr_t) table_get (&self->aliases, event->endpoint, strlen (event->endpoint));
        if (alias == 0)
            return; /* of a connection that was given up */
    }
    if (event->kind == TRANSPORT_LOST) { /* what came before the end counts */
        for (int i = 0; i < BATCHES_BEFORE_LOST && !receive_all (self, channel, watched, false, now_us);
             i++) {
        }
        self->check |= watched->source;
    }
    channel_link (channel, alias, event->kind, event->status, now_us);
}

static void read_events (sockets_t *self, channel_t *channel, watched_t *watched, int64_t now_us)
{
    transport_event_t event;
    void *monitor = watched->monitor;
    while (monitor && transport_monitor_next (monitor, &event)) {
        tell_event (self, channel, watched, &event, now_us);
        if (is_of_broker (self, watched) && event.kind != TRANSPORT_READY && event.kind != TRANSPORT_ACCEPTED)
            return; /* the socket is to be closed: the rest is its echo */
    }
}

static unsigned take_check (sockets_t *self, unsigned source)
{
    const unsigned set = self->check & source;
    self->check &= ~source;
    return set;
}

static void look_at_socket (sockets_t *self, channel_t *channel, watched_t *watched, bool hurry, int64_t now_us)
{
    if (take_check (self, watched->source) && !receive_all (self, channel, watched, hurry, now_us))
        self->check |= watched->source;
}

static void look_at_monitor (sockets_t *self, channel_t *channel, watched_t *watched, int64_t now_us)
{
    if (take_check (self, MONITOR_OF (watched->source)))
        read_events (self, channel, watched, now_us);
}

void sockets_turn (sockets_t *self, channel_t *channel, bool hurry)
{
    const int64_t now_us = clock_now_us ();
    if (take_check (self, WAKE))
        transport_wake_clear (self->wake);
    if (take_check (self, TIMER)) {
        uint64_t count;
        self->armed_us = DEADLINES_NEVER;
        if (read (self->timer, &count, sizeof count) < 0) {
        }
    }
    look_at_socket (self, channel, &self->workers, hurry, now_us);
    look_at_socket (self, channel, &self->brokers [0], hurry, now_us);
    look_at_socket (self, channel, &self->brokers [1], hurry, now_us);
    look_at_monitor (self, channel, &self->workers, now_us);
    look_at_monitor (self, channel, &self->brokers [0], now_us);
    look_at_monitor (self, channel, &self->brokers [1], now_us);
    if (channel_next_us (channel) <= now_us)
        channel_tick (channel, now_us);
    sockets_flush (self, channel, now_us);
}

/*  Sleeping. */

bool sockets_busy (const sockets_t *self)
{
    return self->check != 0;
}

int64_t sockets_next_us (const sockets_t *self)
{
    return deadlines_next (&self->stuck_due);
}

/*  Milliseconds as poll and epoll take them, never too short. */
static int timeout_ms (int64_t now_us, int64_t until_us)
{
    if (until_us == DEADLINES_NEVER)
        return -1;
    const int64_t left_ms = until_us <= now_us ? 0 : (until_us - now_us + 999) / 1000;
    return left_ms > INT32_MAX ? INT32_MAX : (int) left_ms;
}

unsigned sockets_sleep (const sockets_t *self, int64_t now_us, int64_t until_us)
{
    struct epoll_event events [8];
    unsigned sources = 0;
    const int count = epoll_wait (self->epoll, events, 8, timeout_ms (now_us, until_us));
    for (int i = 0; i < count; i++)
        sources |= events [i].data.u32;
    return sources;
}

unsigned sockets_sleep_behind (const sockets_t *self, int64_t now_us, int64_t until_us)
{
    struct pollfd items [] = {{.fd = self->epoll, .events = POLLIN}, {.fd = self->nudge, .events = POLLIN}};
    poll (items, 2, timeout_ms (now_us, until_us));
    if (items [1].revents)
        transport_wake_clear (self->nudge);
    return sockets_sleep (self, 0, 0);
}

void sockets_nudge (const sockets_t *self)
{
    transport_wake (self->nudge);
}

void sockets_note (sockets_t *self, unsigned sources)
{
    self->check |= sources;
}

void sockets_wake (const sockets_t *self)
{
    transport_wake (self->wake);
}

void sockets_arm (sockets_t *self, int64_t at_us)
{
    if (at_us == self->armed_us)
        return;
    struct itimerspec when = {0};
    if (at_us != DEADLINES_NEVER) {
        const int64_t at = at_us > 0 ? at_us : 1;
        when.it_value = (struct timespec){at / 1000000, at % 1000000 * 1000};
    }
    timerfd_settime (self->timer, TFD_TIMER_ABSTIME, &when, NULL);
    self->armed_us = at_us;
}
