/* SPDX-License-Identifier: MPL-2.0
 *
 *  requests.h - the calls that are open at a worker, of all its links, and how each ends.
 *
 *  A request is answered exactly once, whatever becomes of it:
 *
 *    turned down on arrival                                                 executed no
 *    dropped while it waits (cancelled, drained, out of time)               executed no
 *    ended by its handler, or by the limit on handlers                      executed yes
 *
 *  unless its sender is gone; then nobody is answered. One with a request key may get the
 *  reply of another: see keyed.h. It stays in `open` from arrival until it is answered or
 *  its handler has returned, whichever is later. */

#ifndef REQUESTS_H_INCLUDED
#define REQUESTS_H_INCLUDED

#include "link.h"
#include "replies.h"
#include "request.h"
#include "spares.h"

typedef struct {
    size_t body_max;
    int64_t handler_timeout_us;         /* 0: none */
    int64_t (*clock_us) (void);         /* for handlers; NULL: the system's */
    replies_limits_t replies;
    uint64_t seed;                      /* of the index, and of the replies */
    size_t streams_max;
} requests_options_t;

typedef struct {
    requests_options_t options;
    list_t open;                /* oldest first */
    size_t open_streams;        /* among them; not those that are dropped and not back yet */
    weft_request_t **index;     /* open ones by link and id, in chains */
    uint64_t factor;            /* says in which; odd */
    weft_request_t *made;       /* every request object there is */
    executor_batch_t soon, away; /* to be run: here or elsewhere, when all is read; elsewhere */
    executor_batch_t apart;     /* to be run by a thread of its own each: streams */
    streams_t streams;
    weft_request_t *idle;       /* objects for the next ones */
    spares_t *spares;           /* memory for large replies */
    replies_t replies;          /* to requests with a key */
    size_t bytes;               /* what those that were let in hold of what came in */
    size_t dropped;             /* dropped ones that the executor still holds */
    size_t stuck;               /* answered HANDLER_TIMEOUT, and still running */
    int64_t sweep_us;           /* when some request may run out of time */
    uint64_t finished, refused, late;
    uint64_t again;             /* replies told without a run of their own */
} requests_t;

/*  False: out of memory; then nothing is left to free. */
bool requests_init (requests_t *self, const requests_options_t *options);

/*  Frees every request: none may be with the executor, or running, any more. */
void requests_fini (requests_t *self);

/*  Those that take up room: the open ones, and the dropped ones that are not back yet. */
static inline size_t requests_held (const requests_t *self)
{
    return self->open.count + self->dropped;
}

/*  The open one of this link and id, or NULL. */
weft_request_t *requests_find (const requests_t *self, const session_link_t *link, uint64_t id);

/*  Lets a request in; NULL when out of memory. The attachment is moved. It is then either run at once, where it
 *  was read, or put among the open ones, to be run soon or away. */
weft_request_t *requests_admit (requests_t *self, session_link_t *link, const wire_record_t *record,
                                zmq_msg_t *attachment, method_t *method, codec_t codec, int64_t now_us);
void requests_put (requests_t *self, weft_request_t *request, pace_place_t place, int64_t now_us);

/*  Makes a stream of one that was let in, with the credit that its caller gave. False: it was turned down. */
bool requests_make_stream (requests_t *self, weft_request_t *request, uint64_t credit, int64_t now_us);

/*  Sends the items that streams have put, as far as their links have room; true if there were any. Those who have no end are
 *  ended. There was no thread for one. */
bool requests_send_items (requests_t *self);
void requests_end_streams (requests_t *self);
void requests_no_thread (requests_t *self, weft_request_t *request, int64_t now_us);

/*  One that is run where it was read takes long: another thread goes on with it. */
void requests_adopt (requests_t *self, weft_request_t *request, int64_t now_us);

/*  Answers one that was not let in, or did not run. */
void requests_turn_down (requests_t *self, session_link_t *link, uint64_t id, weft_status_t status,
                         int64_t queue_us, const char *text);

/*  The sender does not want it any more; it is gone. Whatever waits is dropped, what runs is told. */
void requests_cancel (requests_t *self, weft_request_t *request, int64_t now_us);
void requests_orphan (requests_t *self, session_link_t *link, int64_t now_us);

/*  Drops all that have not begun; tells all handlers that nobody waits any more. */
void requests_drop_waiting (requests_t *self, weft_status_t status, const char *text, int64_t now_us);
void requests_cancel_all (requests_t *self);

/*  One that was given out is back, or was run where it was read. */
void requests_finished (requests_t *self, weft_request_t *request, int64_t now_us);

/*  Ends those that are out of time. Due at sweep_us. */
void requests_sweep (requests_t *self, int64_t now_us);

/*  Age of the oldest that is no stream; 0 if there is none. */
int64_t requests_oldest_us (const requests_t *self, int64_t now_us);

#endif
