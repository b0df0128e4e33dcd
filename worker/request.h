/* SPDX-License-Identifier: MPL-2.0
 *
 *  request.h - one call on its way through a worker: what came in, whether it ran, what goes out.
 *
 *                    begin                    end
 *      WAITING ----------------> RUNNING -------------> DONE      (the executor's thread)
 *         |    \--deadline over--------------> EXPIRED
 *         |
 *         '--- cancelled, drained, expired ---> DROPPED           (the session's thread)
 *
 *  One that waits for another's reply, by its request key, is REPEATING: only the session knows it; see keyed.h.
 *
 *  Session and executor meet only in `state` and `cancelled`, which are atomic: whoever takes a request
 *  out of WAITING decides its fate. Everything else belongs to the thread that runs it while RUNNING and to
 *  the session's at any other time; the fields under "session" are always the session's. */

#ifndef REQUEST_H_INCLUDED
#define REQUEST_H_INCLUDED

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <zmq.h>
#include "arena.h"
#include "codec.h"
#include "executor.h"
#include "list.h"
#include "service.h"
#include "stream.h"

#define REQUEST_ROOM 256

enum { REQUEST_WAITING, REQUEST_RUNNING, REQUEST_DONE, REQUEST_EXPIRED, REQUEST_DROPPED, REQUEST_REPEATING };

struct weft_request {
    executor_job_t job;         /* first: a job is its request */
    atomic_int state;
    atomic_bool cancelled;      /* the caller is gone or its time is up */
    _Atomic int64_t begun_us;   /* 0: not begun */

    /* what came in */
    method_t *method;
    codec_t codec;
    buffer_t input;             /* a small body, then the options */
    zmq_msg_t attachment;       /* a large body, if `attached` */
    bool attached;
    const void *body;
    size_t body_size;
    mp_reader_t meta;           /* views input */
    int64_t arrived_us, deadline_us;
    int64_t (*clock_us) (void); /* for handlers that ask for the time left */

    /* what goes out */
    stream_t *stream;           /* NULL: it is none */
    alignas (max_align_t) uint8_t room [REQUEST_ROOM]; /* small arguments and a small reply */
    arena_t arena;              /* large ones, and what the handler asked for */
    weft_status_t status;
    weft_executed_t executed;
    weft_origin_t origin;
    int64_t code;
    char text [WEFT_TEXT_MAX + 1];
    buffer_t reply;             /* encoded */
    int64_t ended_us;

    /* session */
    uint64_t id;                /* the sender's */
    struct session_link *link;  /* the sender; NULL once nobody waits for the reply */
    list_node_t of_link, of_session;
    weft_request_t *next_in_index, *next_made, *next_idle;
    struct work *work;          /* that of its request key; NULL: it has none */
    list_node_t of_work;        /* while REPEATING */
    size_t held;                /* bytes of what came in */
    bool listed;                /* among the open ones; not while it just runs where it was read */
    bool large;                 /* its reply was sent as a frame of its own */
    bool overdue;               /* answered HANDLER_TIMEOUT while it went on */
    bool unwanted;              /* by its sender, while others waited for its work */
};

/*  A request with nothing in it; NULL when out of memory. Requests are made once and used many times. */
weft_request_t *request_new (size_t body_max);
void request_free (weft_request_t *self);

/*  Forgets one call and keeps memory of a usual size. */
void request_reset (weft_request_t *self);

/*  Takes the body in: a copy, or the attachment, which is moved. `options` are copied. False when out of
 *  memory. The slow one is its part for what is not just a body. */
bool request_fill_slow (weft_request_t *self, const void *body, size_t size, zmq_msg_t *attachment,
                        mp_reader_t options);
static inline bool request_fill (weft_request_t *self, const void *body, size_t size, zmq_msg_t *attachment,
                                 mp_reader_t options)
{
    if (attachment || size == 0 || mp_left (&options))
        return request_fill_slow (self, body, size, attachment, options);
    uint8_t *copy = buffer_extend (&self->input, size);
    if (!copy)
        return false;
    self->body = memcpy (copy, body, size);
    self->body_size = size;
    return true;
}

/*  On a thread of the executor, in this order: begin decides whether it runs at all (false: it does not); run
 *  decodes, calls the handler and encodes; end is the last touch. serve does all three by the request's
 *  clock. On the session's own thread begin_here does for begin. */
bool request_begin (weft_request_t *self, int64_t now_us);
bool request_begin_here (weft_request_t *self, int64_t now_us);
void request_run (weft_request_t *self);
void request_end (weft_request_t *self, int64_t now_us);
void request_serve (executor_job_t *job);

/*  run and end for the executor. */
void request_run_job (executor_job_t *job);
void request_end_job (executor_job_t *job);

/*  On the session's thread: takes it out of WAITING. False: it waits no more, nothing has happened. */
bool request_drop (weft_request_t *self);

/*  Of one that will not run: forgets what came in, since it may wait long for its turn to be thrown away; or takes it over. */
void request_drop_input (weft_request_t *self);
void request_take_input (weft_request_t *self, weft_request_t *from);

#endif
