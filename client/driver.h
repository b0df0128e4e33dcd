/* SPDX-License-Identifier: MPL-2.0
 *
 *  driver.h - one lock, and somebody who drives: feeds the channel from the sockets and hands out what ends.
 *
 *  Whoever waits for a call drives: it takes the *lead*, feeds the channel and sleeps in the sockets' epoll
 *  descriptor until something comes; others who wait are *followers*, each asleep on a bell of its own, and
 *  the leader dismisses those whose calls end: they go their way without the lock. A leader that is done
 *  passes the lead on to a follower. If there is none, calls with callbacks go on under the background
 *  thread; the others can do without a driver for a moment, since whoever started them most likely waits for
 *  the next of them: the background thread takes over after a short *grace*. It also takes the lead when
 *  nobody has had it for a while (lists change, brokers come and go), and gives it up to any caller that
 *  comes. So neither a lone synchronous call nor a thread that waits for its handles one by one meets another
 *  thread.
 *
 *  While finished calls lie about that nobody has looked at, their owner will soon look at the next: what it
 *  starts in between is *gathered*, to leave in one message when it waits, or after some microseconds with
 *  the next start. Where that goes wrong, since the owner has other things to do, the background thread
 *  sends what was gathered, and nothing is held back for a while; nor is anything while it is not at rest
 *  itself. A call that is alone leaves at once.
 *
 *  Callbacks run without the lock, on a thread that drives; it gives up the lead meanwhile.
 *
 *  All functions are called with the client's lock held, but for the one that says otherwise. */

#ifndef DRIVER_H_INCLUDED
#define DRIVER_H_INCLUDED

#include <pthread.h>
#include "bell.h"
#include "client_inside.h"
#include "sockets.h"

/*  A thread that waits for a call, or drives. */
typedef struct waiter {
    bell_t bell;
    struct waiter *next; /* of the same call */
    list_node_t node;    /* in the client's followers, while it follows */
    bool for_items;      /* an item of the stream will do */
} waiter_t;

struct weft_client {
    pthread_mutex_t lock;
    channel_t channel;
    sockets_t sockets;
    call_pool_t pool;
    call_settings_t settings;
    codec_t codec;
    char name [WEFT_PEER_NAME_MAX + 1];

    waiter_t *leader; /* NULL: nobody drives */
    bool asleep;      /* the leader, in epoll */
    int64_t sleeps_until_us;
    int64_t led_us;  /* when a caller last led */
    int64_t left_us; /* when calls were last left without a driver */
    uint64_t called_back; /* open calls with callbacks */
    uint64_t uncollected; /* done calls without, whose handles were not destroyed yet */
    int64_t finished_us; /* when the last of them was */
    int64_t gathered_us; /* since when requests are held back; 0: none is */
    int64_t gather_after_us;
    uint64_t gathered;
    list_t followers;
    list_t callbacks;     /* ended calls whose callbacks have not run */
    unsigned inside;      /* threads that wait */
    pthread_cond_t quiet; /* nobody is inside any more */
    uint64_t turns;

    waiter_t background;
    bool rests;             /* the background thread: it neither leads nor runs callbacks */
    int64_t rests_until_us;
    uint64_t rouses;        /* how often it was woken to lead */
    pthread_t thread;
    bool has_thread, own_loop, kicked, stopping, destroyed;
    weft_watch_fn *watcher;
    void *watcher_arg;
    size_t handles; /* the user's, and one for each call that is not freed */
};

void driver_init (weft_client_t *self);
void driver_fini (weft_client_t *self);

/*  Starts the background thread. False: errno says why. */
bool driver_start (weft_client_t *self);

/*  No thread is in the sockets any more when this returns. */
void driver_stop (weft_client_t *self);

/*  To be told of each call before it is given to the channel. */
void driver_admit (weft_client_t *self, weft_call_t *call);

/*  Waits for the call's end, or an item of a stream, at most until `until_us`. Returns without the lock. */
void driver_wait (weft_client_t *self, weft_call_t *call, int64_t until_us);
void driver_wait_for_item (weft_client_t *self, weft_call_t *call, int64_t until_us);

/*  After something was given to the channel: by a thread that waits next, or by one that goes its way. A call
 *  that was started may be *gathered* with others. */
void driver_send (weft_client_t *self);
void driver_follow_up (weft_client_t *self);
void driver_gather (weft_client_t *self);

/*  Nobody is to be called back for this call any more: it may be open, or have ended with its callback still to come. */
void driver_forget (weft_client_t *self, weft_call_t *call);

/*  The user gives up the handle of a call that is done. */
void driver_collect (weft_client_t *self, weft_call_t *call);

/*  Without the lock: true if `call` is the one whose callback this thread runs; then its handle is given
 *  up. */
bool driver_destroys_current (weft_call_t *call);

/*  One turn, without sleeping, unless somebody leads. */
void driver_turn (weft_client_t *self);

/*  Hands out what has ended, and runs callbacks until none is left: a callback may start a call that ends at
 *  once. At the client's end only, for that may go on and on. */
void driver_finish (weft_client_t *self);

#endif
