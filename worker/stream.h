/* SPDX-License-Identifier: MPL-2.0
 *
 *  stream.h - what a stream's handler has said and its caller was not sent yet.
 *
 *      OPEN --put: an item more, while there is credit and room; else the handler waits
 *        |     take: the session sends what is there
 *        |     credit: the caller wants more
 *        '--end--> ENDED: put says why
 *
 *  One lock for all streams of a worker: the handlers' threads meet the session's here, and nowhere else. Each takes
 *  it for a few instructions. A handler that waits sleeps on a bell of its stream. */

#ifndef STREAM_H_INCLUDED
#define STREAM_H_INCLUDED

#include <weft/limits.h>
#include <weft/status.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <zmq.h>
#include "buffer.h"
#include "list.h"

/*  All streams of a worker. */
typedef struct {
    pthread_mutex_t lock;
    list_t pending;         /* streams with items to send */
    atomic_bool news;       /* one of them came since the session looked */
    bool held_back;         /* the session's: some could not send when it looked */
    size_t open;            /* the session's: how many there are */
    void (*wake) (void *);  /* tells the session's thread of news; NULL: it looks by itself */
    void *wake_arg;
} streams_t;

/*  An item on its way: in a frame of its own if it is large. */
typedef struct stream_item {
    struct stream_item *next;
    size_t size;
    bool attached;
    zmq_msg_t frame;
    uint8_t bytes [];
} stream_item_t;

typedef struct stream {
    streams_t *all;
    void *owner;            /* its request */
    size_t item_max;        /* bytes that the caller's side takes */
    uint64_t index;         /* the session's: of the item that is sent next */

    /* under the lock */
    pthread_cond_t bell;
    list_node_t of_pending;
    int64_t credit;         /* as it was given, less what was put took; the last pays for an item of any size */
    stream_item_t *first, **last;
    size_t bytes;           /* of those that wait */
    weft_status_t ended;    /* why no more is taken; OK: it is */
    weft_status_t refused;  /* what a put was told in the end: the caller did not get all */
} stream_t;

void streams_init (streams_t *self);
void streams_fini (streams_t *self);

/*  NULL: out of memory. */
stream_t *stream_new (streams_t *all, void *owner, uint64_t credit, size_t item_max);
void stream_free (stream_t *self);

/*  The handler's side. put takes the bytes of an item (the buffer becomes empty) once there is credit and room, and
 *  waits for both at most until `until_us` of the monotonic clock. OK, or why not: what stream_end said,
 *  DEADLINE_EXCEEDED, TOO_LARGE, OVERLOADED (out of memory). Whatever it is, it stays so. */
weft_status_t stream_put (stream_t *self, buffer_t *item, int64_t now_us, int64_t until_us);
/*  The item cannot even be put. */
weft_status_t stream_refuse (stream_t *self, weft_status_t why);
/*  What became of it, when its handler has returned: OK, unless a put was refused; or it was ended, if that counts too. */
weft_status_t stream_verdict (stream_t *self, bool ended_counts);
/*  Would put return at once? */
bool stream_may_put (stream_t *self);

/*  The session's side. */
void stream_credit (stream_t *self, uint64_t credits);
void stream_end (stream_t *self, weft_status_t why);
stream_item_t *stream_take (stream_t *self); /* all that wait, the oldest first, each to be freed */
void stream_item_free (stream_item_t *item);

/*  Should the session look? */
static inline bool streams_pending (const streams_t *self)
{
    return atomic_load_explicit (&self->news, memory_order_relaxed) || self->held_back;
}

/*  A look: so many streams have something to send. Each is then either taken from or held back for the next look. */
size_t streams_look (streams_t *self);
stream_t *streams_next (streams_t *self);
void stream_hold_back (stream_t *self);

#endif
