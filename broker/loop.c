/* SPDX-License-Identifier: MPL-2.0 */

#include "loop.h"
#include "deadlines.h"
#include "descriptors.h"
#include "list.h"
#include "log.h"
#include "sleeper.h"
#include "table.h"
#include "transport.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <unistd.h>

#define TURN_MESSAGES_MAX 1000              /* received before everything is flushed */
#define TURN_BYTES_MAX    (8 * 1024 * 1024)
#define LOOK_US           1000              /* a loop that never sleeps looks for connections and signals this often */
#define RETRY_US          250               /* a peer whose pipe is full is tried again; then after as long as it has waited */
#define RETRY_MAX_US      64000
#define LINGER_MS         500               /* for the last words */
#define LOST_US           20000             /* how long a lost peer's last messages are read before it counts as lost */
#define OF_ROUTER         1u                /* marks of what wakes us */
#define OF_OTHERS         2u                /* the monitor, signals */
#define COMPLAIN_US       1000000           /* between two warnings that there is no room */
#define AUTO_ID_SIZE      5                 /* a routing id that libzmq chose: a zero byte and a counter, never reused */

/*  A peer's connection. */
typedef struct {
    peer_t *peer;
    int fd;                 /* -1: unknown */
    message_t *held;        /* what its full pipe did not take */
    int64_t lost_us;        /* when it was put in `lost` */
    deadline_t retry;       /* while something is held */
    int64_t retry_us;
    list_node_t lost;
} link_t;

struct loop {
    config_t config;
    loop_reload_fn *reload;
    void *reload_arg;
    char uuid [UUID_SIZE + 1];
    char *endpoints [CONFIG_LIST_MAX + 1];
    broker_t *broker;
    void *context, *router, *monitor;
    int signals;
    sleeper_t sleeper;
    table_t links;          /* by routing id */
    descriptors_t descriptors; /* whose is which: links */
    list_t lost;            /* links whose connection is gone, in order of time */
    deadlines_t stuck;      /* links whose pipe is full */
    zmq_msg_t routing_id;
    message_t in, out;
    bool more;              /* the last turn left messages unread */
    bool lone;              /* it was about one record at most */
    bool news;              /* of connections or signals */
    int64_t looked_us;      /* when those were looked for last */
    bool stopping, done;
    int64_t stop_us;        /* when draining ends */
    int64_t complain_us;    /* no warning before */
    int64_t now_us;
};

/*  Links -------------------------------------------------------------------------------------------------------- */

static const void *link_id (const link_t *link, size_t *size)
{
    return peer_routing_id (link->peer, size);
}

/*  Its end is near: see end_lost. */
static void link_lost (loop_t *self, link_t *link)
{
    descriptors_release (&self->descriptors, link->fd, link, self->now_us);
    if (list_linked (&link->lost))
        return;
    link->lost_us = self->now_us;
    list_push (&self->lost, &link->lost);
    peer_hang_up (link->peer);
}

static void link_end (loop_t *self, link_t *link)
{
    size_t size;
    const void *id = link_id (link, &size);

    descriptors_release (&self->descriptors, link->fd, link, self->now_us);
    table_take (&self->links, id, size);
    list_remove (&self->lost, &link->lost);
    deadlines_cancel (&self->stuck, &link->retry);
    broker_on_lost (self->broker, link->peer, self->now_us);
    if (link->held) {
        message_fini (link->held);
        free (link->held);
    }
    free (link);
}

static void on_event (loop_t *self, const transport_event_t *event)
{
    link_t *lost = NULL;

    if (event->kind == TRANSPORT_ACCEPTED)
        lost = descriptors_opened (&self->descriptors, event->fd, self->now_us);
    else if (event->kind == TRANSPORT_LOST)
        lost = descriptors_closed (&self->descriptors, event->fd);
    if (lost)
        link_lost (self, lost);
}

static void watch_connections (loop_t *self)
{
    transport_event_t event;

    while (transport_monitor_next (self->monitor, &event))
        on_event (self, &event);
}

static void close_silent (loop_t *self)
{
    int fd;

    if (self->now_us < descriptors_next_us (&self->descriptors))
        return;
    watch_connections (self);
    while ((fd = descriptors_take_silent (&self->descriptors, self->now_us)) >= 0) {
        log_debug ("connection closed: it said nothing", log_int ("fd", fd));
        transport_hang_up (fd);
    }
}

static void hang_up (loop_t *self, int fd, const link_t *link /* NULL: nobody's */)
{
    watch_connections (self);
    if (descriptors_holds (&self->descriptors, fd, link))
        transport_hang_up (fd);
}

/*  Who is not admitted still hears why, or is hung up on if there is no room even for that. */
static void turn_away (loop_t *self, const void *id, size_t size, int fd)
{
    buffer_t refused;
    bool told = false;

    buffer_init (&refused, 1024);
    wire_write_refused (&refused, WEFT_OVERLOADED, "the broker takes no more connections");
    if (!refused.failed && message_add_bytes (&self->out, refused.data, refused.size))
        told = transport_send (self->router, id, size, &self->out) == 0 || errno == EHOSTUNREACH;
    message_clear (&self->out);
    buffer_fini (&refused);
    if (!told)
        hang_up (self, fd, NULL);
    if (self->now_us < self->complain_us)
        return; /* it may try as often as it likes */
    self->complain_us = self->now_us + COMPLAIN_US;
    log_warning ("connection refused: too many", log_int ("fd", fd));
}

static link_t *link_open (loop_t *self, const void *id, size_t size, int fd)
{
    zmq_msg_t *frame = &self->in.frames [0];
    descriptor_t *at = descriptors_find (&self->descriptors, fd);
    link_t *link = calloc (1, sizeof *link);

    if (link)
        link->peer = broker_peer_open (self->broker, id, size, transport_peer_address (frame), self->now_us);
    if (!link || !link->peer || !table_put (&self->links, id, size, link)) {
        if (link && link->peer)
            broker_on_lost (self->broker, link->peer, self->now_us);
        free (link);
        turn_away (self, id, size, fd);
        return NULL;
    }
    link->fd = fd;
    *peer_shell (link->peer) = link;
    if (at)
        at->owner = link;
    if (fd >= 0 && (!at || !at->open))
        link_lost (self, link); /* it spoke and was gone before we heard of it */
    return link;
}

/*  Whose message has arrived. NULL: nobody's that counts. */
static link_t *link_find (loop_t *self)
{
    const uint8_t *id = zmq_msg_data (&self->routing_id);
    const size_t size = zmq_msg_size (&self->routing_id);
    link_t *link = table_get (&self->links, id, size);

    if (link && size == AUTO_ID_SIZE && id [0] == 0)
        return link;
    if (size > WEFT_ROUTING_ID_MAX || self->in.count == 0)
        return NULL;
    const int fd = transport_fd (&self->in.frames [0]);
    if (link && link->fd == fd)
        return link;
    watch_connections (self); /* descriptors are used again: what was there before comes first */
    if (link)
        link_end (self, link); /* it chose its routing id, and is back on another connection */
    const descriptor_t *at = descriptors_find (&self->descriptors, fd);
    if (at && at->owner)
        link_end (self, at->owner);
    return link_open (self, id, size, fd);
}

/*  In ----------------------------------------------------------------------------------------------------------- */

/*  Hands over what has come, up to a turn's worth: whether something is left, as far as is known.
 *
 *  To ask in vain costs a system call. After a turn about one record, one record is passed on before anything else is asked for;
 *  and then it is asked anyway, by sleep_until_work. */
typedef enum { LEFT_NOTHING, LEFT_SOMETHING, LEFT_UNKNOWN } left_t;
static left_t receive_all (loop_t *self)
{
    const broker_counters_t *counters = broker_counters (self->broker);
    const uint64_t records = counters->records;
    size_t bytes = 0;
    const char *fault;

    for (int count = 0; count < TURN_MESSAGES_MAX && bytes < TURN_BYTES_MAX && !broker_pressed (self->broker);
         count++) {
        const int rc = transport_receive (self->router, &self->routing_id, &self->in, &fault);
        if (rc == 0) {
            self->lone = counters->records - records <= 1;
            return LEFT_NOTHING;
        }
        for (int i = 0; i < self->in.count; i++)
            bytes += zmq_msg_size (&self->in.frames [i]);
        link_t *link = link_find (self);
        if (link && rc < 0)
            broker_on_fault (self->broker, link->peer, fault, self->now_us);
        else if (link)
            broker_on_message (self->broker, link->peer, &self->in, self->now_us);
        message_clear (&self->in);
        if (self->lone && counters->records - records == 1 && list_empty (&self->lost))
            return LEFT_UNKNOWN;
    }
    self->lone = false;
    return LEFT_SOMETHING;
}

/*  What a peer said before it went counts, so the socket is emptied first. One that never is does not keep the callers
 *  of a dead worker waiting. */
static void end_lost (loop_t *self, bool empty)
{
    list_node_t *node;
    while ((node = list_first (&self->lost))) {
        link_t *link = CONTAINER_OF (node, link_t, lost);
        if (!empty && self->now_us - link->lost_us < LOST_US)
            return;
        link_end (self, link);
    }
}

static void drop_doomed (loop_t *self)
{
    peer_t *peer;
    while ((peer = broker_next_doomed (self->broker))) {
        link_t *link = *peer_shell (peer);
        hang_up (self, link->fd, link);
        link_end (self, link);
    }
}

/*  Out ---------------------------------------------------------------------------------------------------------- */

/*  Keeps what the pipe did not take. */
static void link_hold (loop_t *self, link_t *link)
{
    message_t *held = malloc (sizeof *held);
    if (!held || !deadlines_set (&self->stuck, &link->retry, self->now_us + RETRY_US)) {
        free (held);
        message_clear (&self->out);
        hang_up (self, link->fd, link); /* it would miss something */
        link_lost (self, link);
        return;
    }
    message_init (held);
    for (int i = 0; i < self->out.count; i++)
        message_add (held, &self->out.frames [i]);
    message_clear (&self->out);
    link->held = held;
    link->retry_us = RETRY_US;
}

static void send_failed (loop_t *self, link_t *link, message_t *message)
{
    if (errno == EAGAIN && message == &self->out)
        link_hold (self, link);
    else if (errno != EAGAIN) {
        message_clear (message);
        link_lost (self, link);
    }
}

/*  Sends one message; false: not now, or never. */
static bool link_send (loop_t *self, link_t *link, message_t *message)
{
    size_t size;
    const void *id = link_id (link, &size);

    if (transport_send (self->router, id, size, message) == 0)
        return true;
    send_failed (self, link, message);
    return false;
}

static void link_flush (loop_t *self, link_t *link)
{
    if (link->held || list_linked (&link->lost))
        return;
    while (broker_take (self->broker, link->peer, &self->out, self->now_us))
        if (!link_send (self, link, &self->out))
            return;
}

/*  However many do not read, a turn is about those that it is time for. */
static void retry_stuck (loop_t *self)
{
    for (deadline_t *due; (due = deadlines_pop (&self->stuck, self->now_us));) {
        link_t *link = CONTAINER_OF (due, link_t, retry);
        if (!link_send (self, link, link->held)) {
            link->retry_us *= link->retry_us < RETRY_MAX_US ? 2 : 1;
            if (!list_linked (&link->lost))
                deadlines_set (&self->stuck, &link->retry, self->now_us + link->retry_us); /* in the place it had */
            continue;
        }
        free (link->held);
        link->held = NULL;
        link_flush (self, link);
    }
}

static void flush_all (loop_t *self)
{
    peer_t *peer;
    retry_stuck (self);
    while ((peer = broker_next_dirty (self->broker)))
        link_flush (self, *peer_shell (peer));
}

/*  Signals ------------------------------------------------------------------------------------------------------ */

static void on_stop (loop_t *self)
{
    if (self->stopping) {
        log_warning ("told to stop again: stopping at once", log_text ("uuid", self->uuid));
        self->stop_us = self->now_us;
        return;
    }
    self->stopping = true;
    self->stop_us = self->now_us + self->config.drain_ms * 1000;
    log_info ("stopping: calls in flight may finish", log_int ("drain_ms", self->config.drain_ms));
    broker_drain (self->broker, self->now_us);
}

static void log_difference (const char *key, bool live)
{
    if (live)
        log_info ("setting changed", log_text ("key", key));
    else
        log_warning ("setting changed, but takes effect only after a restart", log_text ("key", key));
}

static void on_reload (loop_t *self)
{
    config_t fresh;

    config_init (&fresh);
    if (!self->reload (&fresh, self->reload_arg)) {
        config_fini (&fresh);
        return;
    }
    log_info ("configuration read again", log_text ("uuid", self->uuid));
    config_compare (&self->config, &fresh, log_difference);
    log_to_stderr ((weft_log_level_t) fresh.log_level, fresh.log_format == 1);
    fresh.body_max = self->config.body_max; /* the socket's frame limit goes with it */
    config_t old = self->config;
    self->config = fresh;
    const broker_settings_t settings = config_settings (&self->config);
    broker_reconfigure (self->broker, &settings);
    config_fini (&old);
}

static void on_signals (loop_t *self)
{
    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof info) == (ssize_t) sizeof info) {
        if (info.ssi_signo == SIGHUP)
            on_reload (self);
        else
            on_stop (self);
    }
}

/*  The turn ----------------------------------------------------------------------------------------------------- */

static bool readable (void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

static int64_t next_us (const loop_t *self)
{
    int64_t next_us = broker_next_us (self->broker);

    if (self->stopping && self->stop_us < next_us)
        next_us = self->stop_us;
    if (descriptors_next_us (&self->descriptors) < next_us)
        next_us = descriptors_next_us (&self->descriptors);
    if (deadlines_next (&self->stuck) < next_us)
        next_us = deadlines_next (&self->stuck);
    return next_us;
}

/*  A ZeroMQ descriptor tells of news once, and sending may have taken them in, so the router is asked before sleeping. The
 *  monitor is read to its end, and touched by nothing else. */
static void sleep_until_work (loop_t *self)
{
    if (self->more || !list_empty (&self->lost))
        return;
    if (readable (self->router)) {
        self->lone = false;
        return;
    }
    self->news = sleeper_sleep (&self->sleeper, next_us (self)) & OF_OTHERS;
    self->looked_us = clock_now_us ();
}

static void look_around (loop_t *self)
{
    if (!self->news && self->now_us - self->looked_us < LOOK_US)
        return;
    self->news = false;
    self->looked_us = self->now_us;
    on_signals (self);
    watch_connections (self);
}

static void check_stopped (loop_t *self)
{
    if (!self->stopping || (!broker_drained (self->broker) && self->now_us < self->stop_us))
        return;
    broker_stop (self->broker, self->now_us);
    flush_all (self);
    self->done = true;
}

void loop_run (loop_t *self)
{
    while (!self->done) {
        sleep_until_work (self);
        self->now_us = clock_now_us ();
        look_around (self);
        const left_t left = receive_all (self);
        end_lost (self, left == LEFT_NOTHING);
        close_silent (self);
        broker_tick (self->broker, self->now_us);
        flush_all (self);
        drop_doomed (self);
        check_stopped (self);
        self->more = left == LEFT_SOMETHING;
    }
}

/*  Life --------------------------------------------------------------------------------------------------------- */

/*  libzmq takes an ipc path from whoever has it; we do not, if somebody answers there. */
static bool ipc_in_use (const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strncpy (address.sun_path, endpoint + strlen ("ipc://"), sizeof address.sun_path - 1);
    const bool used = fd >= 0 && connect (fd, (struct sockaddr *) &address, sizeof address) == 0;
    if (fd >= 0)
        close (fd);
    return used;
}

static bool bind_one (loop_t *self, const char *endpoint, size_t index, config_error_t *error)
{
    char bound [WEFT_ENDPOINT_MAX + 1] = "";
    size_t size = sizeof bound;
    const bool used = strncmp (endpoint, "ipc://", 6) == 0 && ipc_in_use (endpoint);

    if (used || zmq_bind (self->router, endpoint) < 0) {
        snprintf (error->text, sizeof error->text, "cannot bind %s: %s", endpoint,
                  used ? "somebody listens there already" : zmq_strerror (errno));
        return false;
    }
    zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, bound, &size);
    self->endpoints [index] = strdup (bound);
    return self->endpoints [index] != NULL;
}

/*  The ipc endpoint beside the default one is a courtesy: without it the broker works too. */
static bool bind_all (loop_t *self, config_error_t *error)
{
    size_t bound = 0;
    for (size_t i = 0; i < self->config.bind.count; i++) {
        if (bind_one (self, self->config.bind.items [i], bound, error)) {
            bound++;
            continue;
        }
        if (!self->config.bind_is_default || i == 0)
            return false;
        log_warning ("going on without an endpoint", log_text ("why", error->text));
    }
    return true;
}

static bool open_signals (loop_t *self)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGHUP);
    self->signals = signalfd (-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return self->signals >= 0;
}

static bool open_sockets (loop_t *self, config_error_t *error)
{
    snprintf (error->text, sizeof error->text, "out of memory or descriptors");
    self->context = transport_context_acquire ();
    if (!self->context || !open_signals (self))
        return false;
    self->router = transport_socket (self->context, ZMQ_ROUTER, (size_t) self->config.body_max + WEFT_FRAME_ROOM);
    if (!self->router)
        return false;
    zmq_setsockopt (self->router, ZMQ_SNDHWM, &(int){WEFT_BROKER_PIPE_MAX}, sizeof (int));
    transport_set_beat (self->router, self->config.transport_beat_ms);
    self->monitor = transport_monitor_open (self->context, self->router);
    if (!self->monitor)
        return false;
    if (!sleeper_open (&self->sleeper) || !sleeper_add (&self->sleeper, transport_descriptor (self->router), OF_ROUTER)
        || !sleeper_add (&self->sleeper, transport_descriptor (self->monitor), OF_OTHERS)
        || !sleeper_add (&self->sleeper, self->signals, OF_OTHERS))
        return false;
    return bind_all (self, error);
}

loop_t *loop_new (config_t *config, loop_reload_fn *reload, void *arg, config_error_t *error)
{
    loop_t *self = calloc (1, sizeof *self);
    if (!self) {
        snprintf (error->text, sizeof error->text, "out of memory");
        config_fini (config);
        return NULL;
    }
    self->config = *config;
    descriptors_init (&self->descriptors);
    *config = (config_t){0};
    self->reload = reload;
    self->reload_arg = arg;
    self->signals = self->sleeper.epoll = self->sleeper.timer = -1;
    self->now_us = clock_now_us ();
    table_init (&self->links, clock_seed ());
    list_init (&self->lost);
    deadlines_init (&self->stuck);
    zmq_msg_init (&self->routing_id);
    message_init (&self->in);
    message_init (&self->out);
    clock_uuid (self->uuid);
    broker_settings_t settings = config_settings (&self->config);
    memcpy (settings.uuid, self->uuid, sizeof settings.uuid);
    const bool opened = open_sockets (self, error);
    if (opened)
        self->broker = broker_new (&settings, self->now_us, clock_seed ());
    if (opened && !self->broker)
        snprintf (error->text, sizeof error->text, "out of memory");
    if (!self->broker)
        loop_destroy (&self);
    return self;
}

static void close_sockets (loop_t *self)
{
    const int linger_ms = self->done ? LINGER_MS : 0;

    sleeper_close (&self->sleeper);
    if (self->router) {
        zmq_setsockopt (self->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        transport_monitor_close (self->router, &self->monitor);
        zmq_close (self->router);
    }
    if (self->context)
        transport_context_release ();
    if (self->signals >= 0)
        close (self->signals);
}

void loop_destroy (loop_t **loop)
{
    loop_t *self = *loop;
    size_t position = 0;
    link_t *link;

    *loop = NULL;
    if (!self)
        return;
    while ((link = table_next (&self->links, &position)))
        link_end (self, link);
    broker_destroy (&self->broker);
    close_sockets (self);
    table_fini (&self->links);
    deadlines_fini (&self->stuck);
    descriptors_fini (&self->descriptors);
    zmq_msg_close (&self->routing_id);
    message_fini (&self->in);
    message_fini (&self->out);
    for (size_t i = 0; i <= CONFIG_LIST_MAX; i++)
        free (self->endpoints [i]);
    config_fini (&self->config);
    free (self);
}

const char *loop_uuid (const loop_t *self)
{
    return self->uuid;
}

const char *loop_endpoint (const loop_t *self, size_t index)
{
    return index <= CONFIG_LIST_MAX ? self->endpoints [index] : NULL;
}
