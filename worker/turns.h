/* SPDX-License-Identifier: MPL-2.0
 *
 *  turns.h - a worker's sockets and its session, and what the thread that owns them does, turn by turn. */

#ifndef TURNS_H_INCLUDED
#define TURNS_H_INCLUDED

#include <stdatomic.h>
#include "direct.h"
#include "executor.h"
#include "session.h"
#include "uplink.h"

typedef struct {
    session_t session;
    uplink_t uplink;
    direct_t direct;
    executor_t *executor;
    unsigned count;
    bool look_at_monitors;

    /* between threads */
    int wake_fd;                        /* an eventfd that ends its sleep */
    atomic_bool ask_drain, ask_quit;
} turns_t;

/*  Takes one turn. True if anything happened, so that there may be more; else it is time to sleep. */
bool turns_take (turns_t *self);

/*  Sleeps until there is something to do. */
void turns_sleep (turns_t *self);

/*  What could not be sent yet has a last chance. */
void turns_flush_last (turns_t *self);

#endif
