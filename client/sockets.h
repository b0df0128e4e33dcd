/* SPDX-License-Identifier: MPL-2.0
 *
 *  sockets.h - the client's sockets in one epoll descriptor: carries a channel's commands and records out,
 *  and what comes in to it. Decides nothing, and locks nothing: one thread at a time, but for
 *  sockets_sleep.
 *
 *  One DEALER to each broker, one ROUTER to all workers (a connection's alias is its routing id), a monitor
 *  for each. A ZeroMQ descriptor tells of a change once, and any use of its socket may swallow that:
 *  `check` keeps the sockets that must be looked at before anyone sleeps. */

#ifndef SOCKETS_H_INCLUDED
#define SOCKETS_H_INCLUDED

#include "channel.h"

/*  A socket and its monitor; NULL while there is none. */
typedef struct {
    void *socket, *monitor;
    unsigned source;                    /* its bit; the next one is its monitor's */
    uint64_t alias;                     /* of the broker's link; of many: 0 */
} watched_t;

typedef struct {
    void *context;
    watched_t brokers [2], workers;
    int epoll, wake, timer;
    int nudge;                          /* ends the background thread's sleep, and nobody else's */
    unsigned check;                     /* bits of sources */
    size_t frame_max;
    table_t aliases;                    /* address → alias of the connection that is made there */
    table_t stuck;                      /* alias → the message that its peer had no room for */
    deadlines_t stuck_due;              /* when they are tried again */
    int64_t armed_us;                   /* when `timer` goes off */
} sockets_t;

/*  `body_max`: of a reply; what is over that only is answered for, and does not close the connection. False: out of memory, descriptors
 *  or sockets. */
bool sockets_init (sockets_t *self, size_t body_max, uint64_t seed);

/*  Closes all; what was sent last has `linger_ms` to leave. */
void sockets_fini (sockets_t *self, int linger_ms);

/*  Carries out what the channel wants: commands, then one message per link and turn. */
void sockets_flush (sockets_t *self, channel_t *channel, int64_t now_us);

/*  Sends the messages that are full, when the channel says that there are any: they are worked on over there
 *  while more is written here. */
void sockets_flush_full (sockets_t *self, channel_t *channel, int64_t now_us);

/*  Takes in what there is and flushes, until nothing more is known to be there. With `hurry` it may stop
 *  as soon as no call is open any more; what is left is taken in next time. */
void sockets_turn (sockets_t *self, channel_t *channel, bool hurry);

/*  True if sleeping now could miss something. */
bool sockets_busy (const sockets_t *self);

/*  When it has something to do by itself. */
int64_t sockets_next_us (const sockets_t *self);

/*  Waits for something to come in, at most until `until_us`; returns what did, for sockets_note. Needs no
 *  lock. The second is the background thread's: it may be sent away by sockets_nudge while somebody else
 *  sleeps here too. */
unsigned sockets_sleep (const sockets_t *self, int64_t now_us, int64_t until_us);
unsigned sockets_sleep_behind (const sockets_t *self, int64_t now_us, int64_t until_us);
void sockets_nudge (const sockets_t *self);
void sockets_note (sockets_t *self, unsigned sources);

/*  Ends a sleep, now or the next. Any thread. */
void sockets_wake (const sockets_t *self);

/*  Makes the epoll descriptor readable at that time, for loops that are not ours. */
void sockets_arm (sockets_t *self, int64_t at_us);

#endif
