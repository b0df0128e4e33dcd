/* SPDX-License-Identifier: MPL-2.0
 *
 *  epoll.c - the floor: TCP and nothing else. Messages with their length in front; what is ready is read, answered and
 *  written in one go. ADDRESS is host:port. A call is {number, a, b} of native integers, its answer {number, sum}. */

#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE  (64 << 20) /* of address space; what is not touched is not there */
#define ADD_SIZE     (3 * sizeof (uint64_t))
#define EVENTS_MAX   64
#define LISTEN_QUEUE 512

typedef struct {
    int fd;
    bool blocked; /* waits until it can write */
    size_t in_size, out_size;
    unsigned char *in, *out;
} connection_t;

static load_t load;

static void must (bool good, const char *what)
{
    if (!good)
        load_fail (what, strerror (errno));
}

static int open_socket (bool server)
{
    const int one = 1, fd = socket (AF_INET, SOCK_STREAM, 0);
    const char *colon = strchr (load.address, ':');
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    address.sin_port = htons ((uint16_t) atoi (colon ? colon + 1 : load.address));
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (server)
        must (bind (fd, (void *) &address, sizeof address) == 0 && listen (fd, LISTEN_QUEUE) == 0,
              load.address);
    else
        must (connect (fd, (void *) &address, sizeof address) == 0, load.address);
    return fd;
}

static connection_t *connection_new (int fd)
{
    const int one = 1;
    connection_t *self = calloc (1, sizeof *self);
    must (self && fd >= 0, "connection");
    self->fd = fd;
    self->in = malloc (BUFFER_SIZE);
    self->out = malloc (BUFFER_SIZE);
    must (self->in && self->out, "connection");
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return self;
}

static void connection_destroy (connection_t *self)
{
    close (self->fd);
    free (self->in);
    free (self->out);
    free (self);
}

/*  False once the other end has left. */
static bool read_in (connection_t *self, int flags)
{
    const ssize_t size = recv (self->fd, self->in + self->in_size, BUFFER_SIZE - self->in_size, flags);
    if (size > 0)
        self->in_size += (size_t) size;
    return size > 0 || (size < 0 && errno == EAGAIN);
}

static bool write_out (connection_t *self)
{
    size_t sent = 0;
    bool alive = true;
    while (alive && sent < self->out_size) {
        const ssize_t size =
            send (self->fd, self->out + sent, self->out_size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN)
            break;
        alive = size >= 0;
        sent += alive ? (size_t) size : 0;
    }
    memmove (self->out, self->out + sent, self->out_size -= sent);
    return alive;
}

static void put (connection_t *self, const void *body, size_t size)
{
    const uint32_t length = (uint32_t) size;
    if (self->out_size + sizeof length + size > BUFFER_SIZE)
        load_fail ("send", "too much is waiting");
    memcpy (self->out + self->out_size, &length, sizeof length);
    memcpy (self->out + self->out_size + sizeof length, body, size);
    self->out_size += sizeof length + size;
}

/*  Gives each whole message that has come to `take`. */
static void take_all (connection_t *self, void (*take) (connection_t *, const unsigned char *, size_t))
{
    size_t at = 0;
    uint32_t length;
    while (self->in_size - at >= sizeof length) {
        memcpy (&length, self->in + at, sizeof length);
        if (self->in_size - at < sizeof length + length)
            break;
        take (self, self->in + at + sizeof length, length);
        at += sizeof length + length;
    }
    memmove (self->in, self->in + at, self->in_size -= at);
}

static void answer (connection_t *self, const unsigned char *body, size_t size)
{
    uint64_t numbers [3];
    if (size == ADD_SIZE) {
        memcpy (numbers, body, sizeof numbers);
        numbers [1] += numbers [2];
        put (self, numbers, 2 * sizeof (uint64_t));
    } else
        put (self, body, size);
}

static void serve (void)
{
    const int listener = open_socket (true), poller = epoll_create1 (0);
    struct epoll_event event = {.events = EPOLLIN}, events [EVENTS_MAX];
    epoll_ctl (poller, EPOLL_CTL_ADD, listener, &event);
    load_ready ();
    for (;;) {
        const int count = epoll_wait (poller, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            connection_t *self = events [i].data.ptr;
            if (!self) {
                self = connection_new (accept (listener, NULL, NULL));
                event = (struct epoll_event){.events = EPOLLIN, .data.ptr = self};
                epoll_ctl (poller, EPOLL_CTL_ADD, self->fd, &event);
                continue;
            }
            bool alive = !(events [i].events & (EPOLLIN | EPOLLHUP)) || read_in (self, MSG_DONTWAIT);
            if (alive) {
                take_all (self, answer);
                alive = write_out (self);
            }
            if (!alive)
                connection_destroy (self);
            else if (self->blocked != (self->out_size > 0)) {
                self->blocked = !self->blocked;
                event.events = EPOLLIN | (self->blocked ? EPOLLOUT : 0u);
                event.data.ptr = self;
                epoll_ctl (poller, EPOLL_CTL_MOD, self->fd, &event);
            }
        }
    }
}

static unsigned char blob [LOAD_ECHO_MAX];
static int open_calls;

static void send_call (connection_t *self, uint64_t number)
{
    const uint64_t numbers [3] = {number, number, LOAD_ADDEND};
    load_stamp (blob, number);
    if (load.echo_size > 0)
        put (self, blob, load.echo_size);
    else
        put (self, numbers, sizeof numbers);
}

static void check (connection_t *self, const unsigned char *body, size_t size)
{
    const uint64_t number = load_stamp_of (body, size);
    if (LOAD_PLACE (number) >= (size_t) load.outstanding || number != load.calls [LOAD_PLACE (number)].number)
        load_fail ("answer", "wrong number");
    load_call_t *call = &load.calls [LOAD_PLACE (number)];
    if (load.echo_size > 0)
        load_check_echo (&load, number, body, size);
    else {
        int64_t numbers [2] = {0, 0};
        if (size == sizeof numbers)
            memcpy (numbers, body, sizeof numbers);
        load_check_add (number, numbers [1]);
    }
    if (load_next (&load, call))
        send_call (self, call->number);
    else
        open_calls--;
}

static void call_on (void)
{
    connection_t *self = connection_new (open_socket (false));
    load_fill (blob);
    for (open_calls = 0; open_calls < load.outstanding; open_calls++) {
        load_start (&load.calls [open_calls]);
        send_call (self, load.calls [open_calls].number);
    }
    while (open_calls > 0) {
        must (write_out (self), "send");
        if (self->out_size > 0) {
            struct pollfd both = {.fd = self->fd, .events = POLLIN | POLLOUT};
            poll (&both, 1, -1);
            if (!(both.revents & POLLIN))
                continue;
        }
        must (read_in (self, 0), "receive");
        take_all (self, check);
    }
    load_end ();
}

int main (int argc, char **argv)
{
    load_begin (&load, argc, argv);
    if (strcmp (load.role, "server") == 0)
        serve ();
    call_on ();
    return 2;
}
