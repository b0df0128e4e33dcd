/* SPDX-License-Identifier: MPL-2.0
 *
 *  replies.h - what was answered under request keys, so that work which is asked for again is not done again.
 *
 *                 begin                     know                 finish
 *      (none) ------------> under way -----------------> known ----------> over --too many, large or old--> (none)
 *                               \--it never ran: abandon--> (none)
 *
 *  A key is the caller's name for a piece of work, and counts for one method. Only what is over is ever forgotten, the
 *  oldest first. A reply that cannot be kept leaves at least that the work was done. Knows no link, reads no clock. */

#ifndef REPLIES_H_INCLUDED
#define REPLIES_H_INCLUDED

#include <zmq.h>
#include "codec.h"
#include "list.h"
#include "table.h"
#include "text.h"

/*  Of all that is over; zero takes the default. */
typedef struct {
    size_t count_max, bytes_max;
    int64_t age_us;
} replies_limits_t;

/*  A reply as it is told, once or again. */
typedef struct {
    weft_status_t status;
    weft_executed_t executed;
    weft_origin_t origin;
    int64_t code;
    const char *text;
    const void *body;
    size_t body_size;
    zmq_msg_t *frame;       /* the body again, if it travels as a frame of its own: it is shared, never copied */
} reply_t;

/*  A piece of work. */
typedef struct work {
    struct weft_request *runner; /* whose run it is; NULL: over */
    list_t waiting;         /* requests for the same work that wait for its reply */
    bool known;
    reply_t reply;          /* once known; valid as long as the work */

    /* replies.c's own */
    uint64_t args_hash;
    size_t args_size;
    codec_t codec;
    zmq_msg_t frame;
    char *data;             /* text, then body */
    size_t bytes;
    int64_t over_us;
    list_node_t of_over;
    size_t key_size;
    uint8_t key [];         /* method and key */
} work_t;

typedef struct {
    replies_limits_t limits;
    table_t works;
    list_t over;            /* oldest first */
    size_t bytes;           /* of those */
    uint64_t seed;
} replies_t;

void replies_init (replies_t *self, const replies_limits_t *limits, uint64_t seed);
void replies_fini (replies_t *self);

/*  The work of that method and key (at most WEFT_REQUEST_KEY_MAX bytes), if it is remembered; or NULL. */
work_t *replies_find (replies_t *self, const void *method, text_t key, int64_t now_us);

/*  Was it asked for with these arguments? */
bool replies_match (const replies_t *self, const work_t *work, codec_t codec, const void *args, size_t size);

/*  A new one, under way; NULL: out of memory. */
work_t *replies_begin (replies_t *self, const void *method, text_t key, codec_t codec, const void *args,
                       size_t size);

/*  It never ran: frees it. */
void replies_abandon (replies_t *self, work_t *work);

/*  What is to be answered from now on, once. The reply is copied, its frame shared. */
void replies_know (replies_t *self, work_t *work, const reply_t *reply);

/*  Its run has ended: it may be forgotten, and be so at once. */
void replies_finish (replies_t *self, work_t *work, int64_t now_us);

/*  Forgets what is too old. Due at replies_next_us. */
void replies_expire (replies_t *self, int64_t now_us);
int64_t replies_next_us (const replies_t *self);

#endif
