/* SPDX-License-Identifier: MPL-2.0
 *
 *  cable.c - a TCP line that a test can cut: a listening socket and two pumps for each connection. */

#include "cable.h"
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINES_MAX 64

struct cable {
    pthread_t thread;
    pthread_mutex_t lock; /* held by the thread but while it sleeps */
    int listener, wake [2];
    char endpoint [64];
    struct sockaddr_in target;
    int ends [2 * LINES_MAX]; /* each one's other end is beside it */
    int count;
    bool over;
};

static void set_no_delay (int fd)
{
    const int on = 1;
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void drop (cable_t *self, int line)
{
    for (int i = 0; i < 2; i++) {
        close (self->ends [2 * line + i]);
        self->ends [2 * line + i] = self->ends [2 * (self->count - 1) + i];
    }
    self->count--;
}

static void take_in (cable_t *self)
{
    const int near = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC), far = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK (near >= 0 && far >= 0 && self->count < LINES_MAX);
    if (connect (far, (struct sockaddr *) &self->target, sizeof self->target) < 0) {
        close (near);
        close (far);
        return;
    }
    set_no_delay (near);
    set_no_delay (far);
    self->ends [2 * self->count] = near;
    self->ends [2 * self->count++ + 1] = far;
}

/*  False: one side has closed. */
static bool pump (int from, int to)
{
    char bytes [65536];
    const ssize_t got = read (from, bytes, sizeof bytes);
    for (ssize_t sent = 0, now; sent < got; sent += now)
        if ((now = send (to, bytes + sent, (size_t) (got - sent), MSG_NOSIGNAL)) <= 0)
            return false;
    return got > 0;
}

static void *carry (void *arg)
{
    cable_t *self = arg;
    struct pollfd news [2 + 2 * LINES_MAX];

    pthread_mutex_lock (&self->lock);
    while (!self->over) {
        const int count = self->count;
        news [0] = (struct pollfd){.fd = self->wake [0], .events = POLLIN};
        news [1] = (struct pollfd){.fd = self->listener, .events = POLLIN};
        for (int i = 0; i < 2 * count; i++)
            news [2 + i] = (struct pollfd){.fd = self->ends [i], .events = POLLIN};
        pthread_mutex_unlock (&self->lock);
        poll (news, (nfds_t) (2 + 2 * count), -1);
        pthread_mutex_lock (&self->lock);
        char byte;
        if (news [0].revents) { /* the lines may be others by now */
            CHECK (read (self->wake [0], &byte, 1) == 1);
            continue;
        }
        for (int i = 2 * count - 1; i >= 0; i--)
            if (news [2 + i].revents && !pump (self->ends [i], self->ends [i ^ 1])) {
                drop (self, i / 2);
                i &= ~1;
            }
        if (news [1].revents)
            take_in (self);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

cable_t *cable_new (void)
{
    cable_t *self = calloc (1, sizeof *self);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl (INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    CHECK (self && pipe2 (self->wake, O_CLOEXEC) == 0);
    self->listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK (self->listener >= 0 && bind (self->listener, (struct sockaddr *) &address, size) == 0);
    CHECK (listen (self->listener, 16) == 0 && getsockname (self->listener, (struct sockaddr *) &address, &size) == 0);
    snprintf (self->endpoint, sizeof self->endpoint, "tcp://127.0.0.1:%d", ntohs (address.sin_port));
    pthread_mutex_init (&self->lock, NULL);
    CHECK (pthread_create (&self->thread, NULL, carry, self) == 0);
    return self;
}

const char *cable_endpoint (const cable_t *self)
{
    return self->endpoint;
}

void cable_lead_to (cable_t *self, const char *endpoint)
{
    int port = 0;
    CHECK (sscanf (endpoint, "tcp://127.0.0.1:%d", &port) == 1);
    pthread_mutex_lock (&self->lock);
    self->target = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr = {htonl (INADDR_LOOPBACK)}, .sin_port = htons ((uint16_t) port)};
    pthread_mutex_unlock (&self->lock);
}

static void wake (cable_t *self)
{
    CHECK (write (self->wake [1], "", 1) == 1);
}

int cable_cut (cable_t *self)
{
    pthread_mutex_lock (&self->lock);
    const int count = self->count;
    while (self->count)
        drop (self, self->count - 1);
    pthread_mutex_unlock (&self->lock);
    wake (self);
    return count;
}

void cable_destroy (cable_t **self_p)
{
    cable_t *self = *self_p;

    *self_p = NULL;
    pthread_mutex_lock (&self->lock);
    self->over = true;
    pthread_mutex_unlock (&self->lock);
    wake (self);
    pthread_join (self->thread, NULL);
    cable_cut (self);
    close (self->listener);
    close (self->wake [0]);
    close (self->wake [1]);
    pthread_mutex_destroy (&self->lock);
    free (self);
}
