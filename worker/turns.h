/* SPDX-License-Identifier: MPL-2.0
 *
 *  turns.h - a worker's sockets and its session, and what the thread that leads does with them, turn by turn. */

#ifndef TURNS_H_INCLUDED
#define TURNS_H_INCLUDED

#include <stdatomic.h>
#include "direct.h"
#include "executor.h"
#include "session.h"
#include "sleeper.h"
#include "uplink.h"

/*  What comes in from one socket, turn by turn. */
typedef struct {
    size_t last;    /* messages, in the turn before */
    bool alone;     /* one comes and no other behind it */
} arrivals_t;

/*  The connection of one of the session's posts. */
typedef struct {
    uplink_t uplink;
    session_link_t *link;
    bool news;                          /* there may be something to receive */
    arrivals_t arrivals;
} way_t;

typedef struct {
    session_t session;
    way_t ways [POSTS];
    direct_t direct;
    executor_t *executor;
    sleeper_t sleeper;
    message_t message;                  /* that the session reads */
    int64_t now_us, began_us;           /* as last looked; when this turn began */
    unsigned count;
    bool callers_news;
    arrivals_t of_callers;
    bool look_at_monitors;
    int64_t doubt_until_us;             /* more connections may be lost than libzmq knows of */

    /* between threads */
    int wake_fd;                        /* an eventfd that ends its sleep */
    atomic_bool ask_drain, ask_quit;
} turns_t;

/*  What others wake it with. -1s and nothing open before; close it all the same. False: out of descriptors. */
bool turns_open (turns_t *self);
void turns_close (turns_t *self);

/*  Takes one turn. BUSY: there may be more; IDLE: it is time to sleep; LOST: a handler took long, and another
 *  thread has the lead, so nothing of this may be touched any more. */
typedef enum { TURN_BUSY, TURN_IDLE, TURN_LOST } turn_t;
turn_t turns_take (turns_t *self);

/*  Closed ones, for a session that is made; and closes them, where what was sent may take `linger_ms` more to leave. */
void turns_init_uplinks (turns_t *self, void *context, size_t frame_max);
void turns_close_uplinks (turns_t *self, int linger_ms);

/*  On the first thread that leads, before its first turn. */
void turns_begin (turns_t *self, executor_t *executor);

/*  On the thread that has taken the lead: `job` is what the one before still runs. */
void turns_resume (turns_t *self, executor_job_t *job);

/*  Sleeps until there is something to do. */
void turns_sleep (turns_t *self);

/*  What could not be sent yet has a last chance. */
void turns_flush_last (turns_t *self);

#endif
