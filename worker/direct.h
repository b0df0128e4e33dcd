/* SPDX-License-Identifier: MPL-2.0
 *
 *  direct.h - the socket for direct callers: a bound ROUTER, and who is behind each routing id. */

#ifndef DIRECT_H_INCLUDED
#define DIRECT_H_INCLUDED

#include "descriptors.h"
#include "sender.h"
#include "session.h"
#include "sleeper.h"
#include "table.h"

/*  What wakes the sleeper: messages, and events of connections. */
enum { DIRECT_NEWS = 4, DIRECT_EVENTS = 8 };

typedef struct direct_peer direct_peer_t;

typedef struct {
    session_t *session;
    sleeper_t *sleeper;
    void *socket, *monitor;     /* NULL if there is none */
    table_t peers;              /* by routing id */
    descriptors_t descriptors;  /* whose they are */
    list_t lost;                /* gone, and not yet taken leave of */
    bool doubtful;              /* the shell's: more may be gone than the monitor knows */
    direct_peer_t *reading;     /* whose message the session reads */
    uint64_t dropped;           /* peers that did not read */
} direct_t;

/*  False: no socket or memory. Bind before others know of it. */
bool direct_open (direct_t *self, void *context, session_t *session, sleeper_t *sleeper, size_t frame_max,
                  uint64_t seed);
void direct_close (direct_t *self, int linger_ms);

/*  Binds, and writes the endpoint it became (WEFT_ENDPOINT_MAX + 1). False with errno. */
bool direct_bind (direct_t *self, const char *endpoint, char *bound);

/*  Reads what the monitor has. */
void direct_events (direct_t *self, int64_t now_us);

/*  Hangs up on those that connected and say nothing. Due at direct_next_us. */
void direct_tick (direct_t *self, int64_t now_us);
int64_t direct_next_us (const direct_t *self);

/*  Receives one message into the empty `message` and begins to give it to the session; false when there is none.
 *  Call direct_read when the session has read it. */
bool direct_receive (direct_t *self, message_t *message, int64_t now_us);
void direct_read (direct_t *self, int64_t now_us);

/*  Takes leave of the lost: only after direct_receive said that there is nothing more. */
void direct_part (direct_t *self, int64_t now_us);

/*  Sends what waits for a peer. False: it has no room now for all of it. */
bool direct_flush (direct_t *self, session_link_t *link, int64_t now_us);

#endif
