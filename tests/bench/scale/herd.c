/* SPDX-License-Identifier: MPL-2.0
 *
 *  herd.c - thousands of light workers and clients in one process and one thread: they speak ZMTP and the protocol by hand
 *  over plain TCP, a descriptor and a few hundred bytes each, so that what is measured is the broker.
 *
 *      weft-scale-herd BROKER [COMMAND]...       (tcp://127.0.0.1:PORT)
 *
 *  Commands, as arguments or, without any, on the standard input, one a line; each is answered with one line when it is done:
 *
 *      workers N SERVICE [SERVICES]      N more workers join at once, spread over SERVICES services (SERVICE0, SERVICE1, ...) or
 *                                        all in SERVICE; done when the broker has acknowledged all
 *      watchers N SERVICE                N more clients that watch SERVICE; done when each has the whole list
 *      leave N                           the N newest workers close their connections; done when all watchers of their
 *                                        service heard of each of them
 *      rest SECONDS                      only beats
 *
 *  and "ok seconds=... key=value..." or "failed WHY". Meanwhile workers beat, and answer calls of any method with the sum of
 *  the two numbers that they get, from the broker and directly: all listen at one port, each under an address of its own in
 *  127.0.0.0/8. At the end of the input it ends; after commands that were arguments it goes on until it is killed. */

#include "buffer.h"
#include "clock.h"
#include "deadlines.h"
#include "list.h"
#include "mp.h"
#include "records.h"
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define GREETING_SIZE 64
#define GIVE_UP_US    60000000
#define EVENTS        512

enum { MORE = 1, LONG = 2, COMMAND = 4 }; /* flags of a ZMTP frame */

typedef enum { WORKER, WATCHER, CALLER } role_t;

typedef struct {
    list_node_t node;       /* in workers or watchers */
    role_t role;
    int fd;
    bool greeted;           /* its greeting came */
    bool writable_wanted;
    buffer_t in, out;
    buffer_t held;          /* to be sent once it is greeted, as a DEALER does */
    size_t in_at;           /* what was read of it */
    buffer_t body, attached; /* of the message that is coming: its records, its first attachment */
    size_t frames;
    deadline_t beat_due;
    uint64_t beats;
    bool listed;            /* a watcher's list is whole */
    size_t gone;            /* workers that a watcher heard of since the last count */
} light_t;

static struct sockaddr_in broker;
static int epoll, listener, listener_port;
static list_t workers, watchers;
static deadlines_t beats;
static uint32_t worker_number;
static char service_name [200];

static struct {
    size_t registered, listed, gone, lost;
    uint64_t beat_oks, requests, rows, changes, watched_bytes, refused;
} count;

static char failure [200];

static void fail (const char *what)
{
    if (!failure [0])
        snprintf (failure, sizeof failure, "%s: %s", what, strerror (errno));
}

/*  Gives its memory back: there are thousands of them, and most rest most of the time. */
static void release (buffer_t *buffer)
{
    buffer_fini (buffer);
    buffer_init (buffer, SIZE_MAX);
}

/*  Sending -------------------------------------------------------------------------------------------------------- */

static void wish (light_t *self, bool writable)
{
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = self};
    if (writable != self->writable_wanted)
        epoll_ctl (epoll, EPOLL_CTL_MOD, self->fd, &event);
    self->writable_wanted = writable;
}

static void flush (light_t *self)
{
    size_t sent = 0;
    while (sent < self->out.size) {
        const ssize_t rc = send (self->fd, self->out.data + sent, self->out.size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (rc < 0)
            break;
        sent += (size_t) rc;
    }
    memmove (self->out.data, self->out.data + sent, self->out.size - sent);
    self->out.size -= sent;
    wish (self, self->out.size > 0);
    if (self->out.size == 0)
        release (&self->out);
}

static void add_frame (light_t *self, unsigned flags, const void *data, size_t size)
{
    uint8_t head [9] = {(uint8_t) (flags | (size > 255 ? LONG : 0)), (uint8_t) size};
    if (size > 255)
        mp_put64 (head + 1, size);
    buffer_t *to = self->greeted ? &self->out : &self->held;
    buffer_append (to, head, size > 255 ? 9 : 2);
    buffer_append (to, data, size);
}

static void greet (light_t *self)
{
    uint8_t greeting [GREETING_SIZE] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'N', 'U', 'L', 'L'};
    static const char dealer [] = "\5READY\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0";
    static const char router [] = "\5READY\13Socket-Type\0\0\0\6ROUTER\10Identity\0\0\0";
    buffer_append (&self->out, greeting, sizeof greeting);
    add_frame (self, COMMAND, self->role == CALLER ? router : dealer, sizeof dealer); /* with the last zero */
}

static void say (light_t *self, const buffer_t *what)
{
    add_frame (self, 0, what->data, what->size);
    flush (self);
}

/*  Joining -------------------------------------------------------------------------------------------------------- */

static light_t *light_new (role_t role, int fd)
{
    static const int on = 1;
    light_t *self = calloc (1, sizeof *self);
    if (!self) {
        fail ("out of memory");
        close (fd);
        return NULL;
    }
    self->role = role;
    self->fd = fd;
    buffer_init (&self->in, SIZE_MAX);
    buffer_init (&self->out, SIZE_MAX);
    buffer_init (&self->held, SIZE_MAX);
    buffer_init (&self->body, SIZE_MAX);
    buffer_init (&self->attached, SIZE_MAX);
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = self};
    self->writable_wanted = true;
    if (epoll_ctl (epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail ("epoll");
    greet (self);
    return self;
}

static light_t *light_connect (role_t role)
{
    const int fd = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (connect (fd, (struct sockaddr *) &broker, sizeof broker) < 0 && errno != EINPROGRESS)) {
        fail ("cannot connect");
        if (fd >= 0)
            close (fd);
        return NULL;
    }
    return light_new (role, fd);
}

static void light_close (light_t *self)
{
    if (self->role == WORKER)
        list_remove (&workers, &self->node);
    else if (self->role == WATCHER)
        list_remove (&watchers, &self->node);
    deadlines_cancel (&beats, &self->beat_due);
    buffer_fini (&self->in);
    buffer_fini (&self->out);
    buffer_fini (&self->held);
    buffer_fini (&self->body);
    buffer_fini (&self->attached);
    close (self->fd);
    free (self);
}

static void write_hello (buffer_t *out, const char *role)
{
    static const char *const codecs [] = {"msgpack", NULL};
    wire_write_hello (out, role, codecs, "herd", NULL);
}

/*  The Nth worker: its UUID, and its address in 127.0.0.0/8. */
static void join (light_t *self, const char *service)
{
    char uuid [UUID_SIZE + 1], endpoint [64];
    const char *endpoints [] = {endpoint, NULL};
    const uint32_t n = ++worker_number;
    snprintf (uuid, sizeof uuid, "%08x-0000-4000-8000-%012x", n * 2654435761u, n);
    snprintf (endpoint, sizeof endpoint, "tcp://127.%u.%u.%u:%d", 1 + (n >> 16), n >> 8 & 255, n & 255, listener_port);
    buffer_t *out = records ();
    write_hello (out, "worker");
    wire_write_register_begin (out, uuid, 1, 1);
    mp_write_array (out, 3);
    mp_write_text (out, service);
    mp_write_text (out, "1.0");
    mp_write_array (out, 1);
    mp_write_array (out, 4);
    mp_write_text (out, "Add");
    mp_write_uint (out, 1);
    mp_write_text (out, "any");
    mp_write_text (out, "int64");
    wire_write_register_end (out, endpoints, 1, NULL, "herd", n, 4);
    wire_write_credit (out, 0, 64);
    add_frame (self, 0, out->data, out->size);
    list_push (&workers, &self->node);
}

static void watch (light_t *self, const char *service)
{
    uint8_t body [260];
    const size_t size = strlen (service);
    body [0] = 0x91;
    body [1] = 0xd9;
    body [2] = (uint8_t) size;
    memcpy (body + 3, service, size);
    buffer_t *out = records ();
    write_hello (out, "client");
    wire_write_request (out, 1, text_of ("weft.Registry.Watch"), WIRE_NO_DEADLINE, body, size + 3, false, NULL);
    add_frame (self, 0, out->data, out->size);
    list_push (&watchers, &self->node);
}

/*  What comes in -------------------------------------------------------------------------------------------------- */

/*  A watch's item: how many rows, whether the list is whole, who is gone. */
static void on_item (light_t *self, const void *body, size_t size)
{
    mp_reader_t in = mp_reader (body, size);
    uint32_t fields, rows = 0, row_fields;
    bool full = false, more = false;
    const char *state;
    size_t state_size;

    mp_read_array (&in, &fields);
    mp_skip (&in);
    mp_skip (&in);
    mp_read_bool (&in, &full);
    mp_read_array (&in, &rows);
    for (uint32_t i = 0; i < rows; i++) {
        if (full) {
            mp_skip (&in);
            continue;
        }
        mp_read_array (&in, &row_fields);
        for (int field = 0; field < 7; field++)
            mp_skip (&in);
        mp_read_str (&in, &state, &state_size);
        for (uint32_t field = 8; field < row_fields; field++)
            mp_skip (&in);
        if (!in.failed && mp_str_is (state, state_size, "gone")) {
            self->gone++;
            count.gone++;
        }
        count.changes++;
    }
    mp_skip (&in);
    if (fields > 5)
        mp_read_bool (&in, &more);
    if (in.failed)
        fail ("an item that cannot be read");
    count.rows += full ? rows : 0;
    if (full && !more && !self->listed) {
        self->listed = true;
        count.listed++;
    }
}

static void on_request (light_t *self, const wire_record_t *record, buffer_t *out)
{
    mp_reader_t body = mp_reader (record->body, record->body_size);
    uint32_t fields;
    int64_t a = 0, b = 0;
    uint8_t sum [16];
    buffer_t reply;

    (void) self;
    mp_read_array (&body, &fields);
    mp_read_int (&body, &a);
    mp_read_int (&body, &b);
    buffer_init (&reply, sizeof sum);
    mp_write_int (&reply, a + b);
    wire_write_reply (out, record->id, WEFT_OK, reply.data, reply.size, false, NULL);
    buffer_fini (&reply);
    count.requests++;
}

static void on_record (light_t *self, const wire_record_t *record, buffer_t *out)
{
    uint64_t sequence;
    wire_beat_ok_t ok;

    switch (record->kind) {
        case WIRE_BEAT_OK:
            if (!wire_read_beat_ok (record, &ok))
                return;
            sequence = ok.sequence;
            count.registered += sequence == 0;
            count.beat_oks += sequence > 0;
            /* the first one at any time within the interval, as those of workers that started at any time */
            deadlines_set (&beats, &self->beat_due,
                           clock_now_us () + (int64_t) ok.next_ms * (sequence ? 1000 : 100 + rand () % 900));
            break;
        case WIRE_REQUEST:
            on_request (self, record, out);
            break;
        case WIRE_HELLO:
            wire_write_welcome (out, text_of ("msgpack"), 1 << 24, 1000, "00000000-0000-4000-8000-000000000000", NULL);
            break;
        case WIRE_ITEM:
            if (record->attached)
                on_item (self, self->attached.data, self->attached.size);
            else
                on_item (self, record->body, record->body_size);
            break;
        case WIRE_REFUSED:
            count.refused++;
            break;
        default:
            break;
    }
}

static void on_message (light_t *self)
{
    mp_reader_t reader = mp_reader (self->body.data, self->body.size);
    wire_record_t record;
    const char *fault;
    buffer_t *out = records ();

    while (wire_next (&reader, &record, &fault) == 1)
        on_record (self, &record, out);
    if (out->size)
        say (self, out);
}

/*  A frame of a message, or a command of the transport: READY, or PING, which wants a PONG. */
static void on_frame (light_t *self, unsigned flags, const uint8_t *data, size_t size)
{
    if (flags & COMMAND) {
        if (size >= 7 && memcmp (data, "\4PING", 5) == 0) {
            uint8_t pong [64] = "\4PONG";
            const size_t context = size - 7 < sizeof pong - 5 ? size - 7 : 0;
            memcpy (pong + 5, data + 7, context);
            add_frame (self, COMMAND, pong, 5 + context);
            flush (self);
        }
        return;
    }
    if (self->role == WATCHER)
        count.watched_bytes += size;
    if (self->frames < 2)
        buffer_append (self->frames ? &self->attached : &self->body, data, size);
    self->frames++;
    if (flags & MORE)
        return;
    on_message (self);
    buffer_clear (&self->body);
    buffer_clear (&self->attached);
    if (self->attached.capacity > 65536)
        release (&self->attached);
    self->frames = 0;
}

static void read_frames (light_t *self)
{
    for (;;) {
        const uint8_t *at = self->in.data + self->in_at;
        const size_t left = self->in.size - self->in_at;
        if (!self->greeted) {
            if (left < GREETING_SIZE)
                return;
            self->greeted = true;
            self->in_at += GREETING_SIZE;
            buffer_append (&self->out, self->held.data, self->held.size);
            release (&self->held);
            flush (self);
            continue;
        }
        const size_t head = left && at [0] & LONG ? 9 : 2;
        if (left < head)
            return;
        uint64_t size = at [1];
        if (head == 9) {
            memcpy (&size, at + 1, 8);
            size = __builtin_bswap64 (size);
        }
        if (left - head < size)
            return;
        self->in_at += head + size;
        on_frame (self, at [0], at + head, size);
    }
}

/*  False: the peer has closed. */
static bool receive (light_t *self)
{
    static uint8_t space [262144];
    for (;;) {
        const ssize_t rc = recv (self->fd, space, sizeof space, MSG_DONTWAIT);
        if (rc < 0)
            return errno == EAGAIN;
        if (rc == 0)
            return false;
        buffer_append (&self->in, space, (size_t) rc);
        read_frames (self);
        self->in.size -= self->in_at;
        memmove (self->in.data, self->in.data + self->in_at, self->in.size);
        self->in_at = 0;
        if (self->in.size == 0)
            release (&self->in);
        if ((size_t) rc < sizeof space)
            return true;
    }
}

static void accept_all (void)
{
    int fd;
    while ((fd = accept4 (listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        light_new (CALLER, fd);
}

static void beat (light_t *self)
{
    static const wire_load_t load = {0, 4, 0, 0};
    buffer_t *out = records ();
    wire_write_beat (out, ++self->beats, &load);
    say (self, out);
}

/*  One look at what came, waiting at most so long. */
static void turn (int timeout_ms)
{
    struct epoll_event events [EVENTS];
    const int ready = epoll_wait (epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < ready; i++) {
        light_t *light = events [i].data.ptr;
        if (!light) {
            accept_all ();
            continue;
        }
        if (events [i].events & EPOLLOUT)
            flush (light);
        if ((events [i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !receive (light)) {
            count.lost += light->role != CALLER;
            light_close (light);
        }
    }
    const int64_t now_us = clock_now_us ();
    for (deadline_t *due; (due = deadlines_pop (&beats, now_us));)
        beat (CONTAINER_OF (due, light_t, beat_due));
}

/*  Turns until `*counter` is `wanted`. */
static void until (const size_t *counter, size_t wanted, int64_t since_us)
{
    while (*counter < wanted && !failure [0]) {
        turn (20);
        if (clock_now_us () - since_us > GIVE_UP_US) {
            snprintf (failure, sizeof failure, "only %zu of %zu within 60 s; %zu connections were lost, %llu refused", *counter,
                      wanted, count.lost, (unsigned long long) count.refused);
            return;
        }
    }
}

/*  Commands ------------------------------------------------------------------------------------------------------- */

static void add_workers (size_t number, const char *service, size_t services, int64_t since_us)
{
    const size_t wanted = count.registered + number;
    char name [220];
    snprintf (service_name, sizeof service_name, "%s", service);
    for (size_t i = 0; i < number && !failure [0]; i++) {
        light_t *light = light_connect (WORKER);
        if (services)
            snprintf (name, sizeof name, "%s%zu", service, i % services);
        if (light)
            join (light, services ? name : service);
        if (i % 256 == 255)
            turn (0);
    }
    until (&count.registered, wanted, since_us);
}

static void add_watchers (size_t number, const char *service, int64_t since_us)
{
    const size_t wanted = count.listed + number;
    for (size_t i = 0; i < number && !failure [0]; i++) {
        light_t *light = light_connect (WATCHER);
        if (light)
            watch (light, service);
        if (i % 256 == 255)
            turn (0);
    }
    until (&count.listed, wanted, since_us);
}

static void remove_workers (size_t number, int64_t since_us)
{
    if (number > workers.count) {
        snprintf (failure, sizeof failure, "there are only %zu workers", workers.count);
        return;
    }
    const size_t wanted = count.gone + number * watchers.count;
    for (size_t i = 0; i < number; i++)
        light_close (CONTAINER_OF (workers.head.prev, light_t, node));
    count.registered -= number;
    until (&count.gone, wanted, since_us);
}

static void rest (double seconds, int64_t since_us)
{
    while (clock_now_us () - since_us < (int64_t) (seconds * 1e6))
        turn (10);
}

static void carry_out (const char *line)
{
    char word [20] = "", service [200] = "";
    double number = 0;
    size_t services = 0;
    const uint64_t beat_oks = count.beat_oks, requests = count.requests, bytes = count.watched_bytes, rows = count.rows,
                   changes = count.changes;
    const size_t lost = count.lost;
    const int64_t since_us = clock_now_us ();
    const int fields = sscanf (line, "%19s %lf %199s %zu", word, &number, service, &services);

    failure [0] = '\0';
    if (strcmp (word, "workers") == 0 && fields >= 3)
        add_workers ((size_t) number, service, services, since_us);
    else if (strcmp (word, "watchers") == 0 && fields == 3)
        add_watchers ((size_t) number, service, since_us);
    else if (strcmp (word, "leave") == 0 && fields == 2)
        remove_workers ((size_t) number, since_us);
    else if (strcmp (word, "rest") == 0 && fields == 2)
        rest (number, since_us);
    else
        snprintf (failure, sizeof failure, "unknown command: %.100s", line);
    if (failure [0])
        printf ("failed %s\n", failure);
    else
        printf ("ok seconds=%.6f beats=%llu requests=%llu bytes=%llu rows=%llu changes=%llu lost=%zu\n",
                (double) (clock_now_us () - since_us) / 1e6, (unsigned long long) (count.beat_oks - beat_oks),
                (unsigned long long) (count.requests - requests), (unsigned long long) (count.watched_bytes - bytes),
                (unsigned long long) (count.rows - rows), (unsigned long long) (count.changes - changes), count.lost - lost);
    fflush (stdout);
}

/*  Commands come at any time; between them the herd goes on. */
static void serve_input (void)
{
    static char lines [4096];
    size_t size = 0;
    fcntl (0, F_SETFL, O_NONBLOCK);
    for (;;) {
        const ssize_t rc = read (0, lines + size, sizeof lines - size - 1);
        if (rc == 0 || (rc < 0 && errno != EAGAIN))
            return;
        if (rc > 0)
            size += (size_t) rc;
        lines [size] = '\0';
        char *end = strchr (lines, '\n');
        if (!end) {
            turn (5);
            continue;
        }
        *end = '\0';
        carry_out (lines);
        size -= (size_t) (end + 1 - lines);
        memmove (lines, end + 1, size);
    }
}

/*  One port for all of them, on every address of this host's loopback. */
static bool listen_direct (void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_ANY)};
    socklen_t size = sizeof here;
    struct epoll_event event = {.events = EPOLLIN};
    listener = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind (listener, (struct sockaddr *) &here, sizeof here) < 0 || listen (listener, 4096) < 0
        || getsockname (listener, (struct sockaddr *) &here, &size) < 0
        || epoll_ctl (epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        return false;
    listener_port = ntohs (here.sin_port);
    return true;
}

int main (int argc, char **argv)
{
    unsigned port;
    char host [64];
    struct rlimit limit;

    if (argc < 2 || sscanf (argv [1], "tcp://%63[0-9.]:%u", host, &port) != 2
        || inet_pton (AF_INET, host, &broker.sin_addr) != 1) {
        fprintf (stderr, "usage: weft-scale-herd tcp://127.0.0.1:PORT [COMMAND]...\n");
        return 2;
    }
    broker.sin_family = AF_INET;
    broker.sin_port = htons ((uint16_t) port);
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
    list_init (&workers);
    list_init (&watchers);
    deadlines_init (&beats);
    epoll = epoll_create1 (EPOLL_CLOEXEC);
    if (epoll < 0 || !listen_direct ()) {
        fprintf (stderr, "weft-scale-herd: %s\n", strerror (errno));
        return 1;
    }
    for (int i = 2; i < argc; i++)
        carry_out (argv [i]);
    while (argc > 2)
        turn (100);
    serve_input ();
    return 0;
}
