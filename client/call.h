/* SPDX-License-Identifier: MPL-2.0
 *
 *  call.h - one call: what was asked, how far it is, what came of it.
 *
 *      NEW --> LISTING --> CONNECTING --> SENT --> ENDED
 *       |         (any of them may be skipped)      ^
 *       |          `--- failed, retry: BACKOFF ----'|
 *       `--> FANNED (a broadcast waits for its parts) --'
 *
 *  A *hedged* call (hedge.c) has a second attempt beside the first. It is SENT while one of them is.
 *
 *  A call ends exactly once; whoever comes second finds it ENDED. Handles are counted: one of the caller,
 *  one of the core while the call is open. Counting and pooling happen under the client's lock. */

#ifndef CALL_H_INCLUDED
#define CALL_H_INCLUDED

#include <assert.h>
#include <stdatomic.h>
#include <weft/client.h>
#include "arena.h"
#include "bytes.h"
#include "codec.h"
#include "endpoint.h"
#include "intake.h"
#include "links.h"

/*  What is rare, with its space for texts, stays out of the way of what every call goes through. */
#define APART __attribute__ ((noinline, cold))
#define ALWAYS_INLINE static inline __attribute__ ((always_inline))

#define CALL_TRIED_MAX 8 /* endpoints one call may be given to, those out of reach included */

typedef enum {
    CALL_NEW,
    CALL_LISTING,    /* waits for a service's list */
    CALL_CONNECTING, /* waits for a link */
    CALL_SENT,
    CALL_BACKOFF,
    CALL_FANNED,
    CALL_ENDED
} call_state_t;

/*  One try. A hedged call has two. */
typedef struct {
    request_t request;
    weft_call_t *call;
    endpoint_t *endpoint; /* who it is for, if known */
    int64_t sent_us;
    bool probe;           /* of that endpoint */
} attempt_t;

/*  What only a hedged call needs. */
typedef struct {
    attempt_t attempt;
    int64_t not_before_us; /* to be tried again, if both fail; 0: at any time */
} backup_t;

typedef struct {
    int timeout_ms, connect_timeout_ms; /* the first is 0 for a stream without a deadline */
    weft_via_t via;
    weft_balance_t balance;
    weft_retry_t retry;
    int backup_ms;
} call_settings_t;

struct weft_call {
    /*  Set when the call is asked and started, or as a call that ended leaves them: in no list, on no link,
     *  without a deadline. */
    attempt_t attempt;
    backup_t *backup;       /* NULL: it never had a second one; else of a call that ended: on no link */
    deadline_t timer;
    list_node_t node;       /* in one list: a service's waiting, the done, the pool */
    uint64_t sequence;
    text_t service, name;   /* in method */
    call_settings_t settings;
    codec_t codec;
    int64_t started_us, deadline_us, waiting_since_us;
    text_t key, request_key; /* these three: in strings, or the whole's; empty unless `described` */
    mp_reader_t meta;
    intake_t *intake;       /* of a stream; NULL: it is none, as is all that is not `described` */

    /*  Zero in a blank call. What was asked: */
    weft_status_t flaw;     /* found before it reached the core: it ends with this at once */
    bool discover;          /* not a call: waits for the list of service `method` */
    bool ours;              /* the service is weft's own: the registry, or a worker's about itself */
    bool described;         /* it has a key, a request key or meta */
    bool has_args_frame;

    /*  How far it is. */
    bool hedged;            /* there is, or was, a second attempt beside the first */
    bool same;              /* the next attempt goes to the same worker */
    bool unreached;         /* a worker's connection failed while it waited for it */
    call_state_t state;
    weft_executed_t executed_before; /* by earlier attempts: NO or MAYBE */
    int attempts;           /* sent */
    int stayed;             /* of those, that never left this process: their connection was lost before */
    size_t tried_count;
    int64_t connect_by_us;  /* 0: not waiting */
    struct discovery *discovery; /* LISTING: whose list */
    weft_call_t *parent;    /* of a broadcast's part */
    weft_call_t **parts;
    size_t part_count, parts_open;
    weft_call_t *first;     /* part that replied first: its body is the call's */

    /*  What came of it. */
    weft_status_t status;   /* before the end: of the last attempt that counts */
    weft_executed_t executed;
    weft_origin_t origin;   /* like the status */
    atomic_bool done;
    bool direct, has_reply_frame, has_arena;
    bool counted;           /* among those with callbacks */
    unsigned handles;
    int64_t code;
    weft_ledger_t ledger;

    /*  Whose it is. */
    struct weft_client *client; /* NULL in the core's own tests */
    struct waiter *waiters;
    weft_call_fn *_Atomic callback; /* read without the lock when it is to run */
    void *callback_arg;

    /*  Of the rest, memory is kept, texts are empty, and what is left means nothing before it is set. */
    buffer_t args;          /* small ones */
    buffer_t strings;       /* key, request key, meta */
    buffer_t text, reply;
    char method [WEFT_METHOD_NAME_MAX + 1]; /* cut off if too long: INVALID then */
    char only [ENDPOINT_UUID_MAX + 1]; /* the one worker it is for; "": any */
    char worker [ENDPOINT_UUID_MAX + 1];
    uint64_t tried [CALL_TRIED_MAX];
    zmq_msg_t args_frame;   /* large ones, shared with what is sent */
    zmq_msg_t reply_frame;
    arena_t arena;
};

/*  Calls that can be used again with their memory. */
typedef struct {
    list_t free;
    size_t max;
} call_pool_t;

void call_pool_init (call_pool_t *self, size_t max);
void call_pool_fini (call_pool_t *self);

/*  A blank call with one handle; NULL when out of memory. */
weft_call_t *call_new (call_pool_t *pool);
static inline void call_hold (weft_call_t *self)
{
    self->handles++;
}
/*  Gives one handle back; the last one frees the call, and its parts. `pool` may be NULL. */
void call_recycle (weft_call_t *self, call_pool_t *pool);
static inline void call_release (weft_call_t *self, call_pool_t *pool)
{
    assert (self->handles > 0);
    if (--self->handles == 0)
        call_recycle (self, pool);
}

/*  Sets what is asked. False: out of memory. Options' own strings are copied; defaults are taken from
 *  `settings`. */
bool call_ask (weft_call_t *self, const char *method, const weft_call_options_t *options,
               const call_settings_t *settings);

/*  Large arguments become a frame that can be sent without a copy. False: out of memory. A part of a
 *  broadcast has those of the whole. */
bool call_seal_args (weft_call_t *self);
static inline const void *call_args (const weft_call_t *self, size_t *size)
{
    const weft_call_t *owner = self->parent ? self->parent : self;
    if (!owner->has_args_frame) {
        *size = owner->args.size;
        return owner->args.data ? (const void *) owner->args.data : "";
    }
    zmq_msg_t *frame = (zmq_msg_t *) (uintptr_t) &owner->args_frame; /* libzmq knows no const */
    *size = zmq_msg_size (frame);
    return zmq_msg_data (frame);
}

/*  Keeps a reply's body; `attachment`, if not NULL, is moved out. False: out of memory. */
static inline bool call_take_body (weft_call_t *self, const void *body, size_t size, zmq_msg_t *attachment)
{
    if (attachment) {
        zmq_msg_init (&self->reply_frame);
        zmq_msg_move (&self->reply_frame, attachment);
        self->has_reply_frame = true;
        return true;
    }
    uint8_t *at = buffer_extend (&self->reply, size);
    if (at)
        bytes_copy (at, body, size);
    return !self->reply.failed;
}

/*  Forgets it again. */
static inline void call_drop_body (weft_call_t *self)
{
    if (self->has_reply_frame)
        zmq_msg_close (&self->reply_frame);
    self->has_reply_frame = false;
    buffer_clear (&self->reply);
}

/*  Sets the text: one line, cut at WEFT_TEXT_MAX. */
void call_set_text (weft_call_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

#endif
