/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker.h - serve methods to the mesh.
 *
 *      static weft_status_t multiply (weft_request_t *request, const void *args, void *reply)
 *      {
 *          const arith_args *in = args;
 *          int64_t *product = reply;
 *          return __builtin_mul_overflow (in->a, in->b, product)
 *                     ? weft_request_fail (request, 34, "overflow") : WEFT_OK;
 *      }
 *      static const weft_method_t arith [] = {
 *          WEFT_METHOD ("Multiply", multiply, arith_args, weft_int64, WEFT_IDEMPOTENT), WEFT_METHOD_END};
 *
 *      weft_worker_t *worker = weft_worker_new ("tcp://127.0.0.1:5555", NULL);
 *      weft_worker_add (worker, "Arith", arith, NULL);
 *      return weft_worker_run (worker);        // until SIGTERM: drains
 *
 *  A worker registers with its broker, beats, serves calls that come through the broker
 *  and calls that come directly, and registers again by itself whenever that is lost. */

#ifndef WEFT_WORKER_H_INCLUDED
#define WEFT_WORKER_H_INCLUDED

#include <weft/limits.h>
#include <weft/schema.h>
#include <weft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_worker weft_worker_t;
typedef struct weft_request weft_request_t;

/*  Serves one call. `args` points to a struct of the method's argument type, `reply` to a
 *  zeroed one of its reply type; both live until the handler returns, and what `reply` points
 *  to must live as long (weft_request_alloc helps). Returns WEFT_OK and the reply is sent, or
 *  what weft_request_fail returned, or another status of its own. Runs on one of the worker's
 *  threads, now this, now that, several at once; on that which reads the sockets while handlers
 *  of its method are quick. It may block: another thread then reads on, after a millisecond or
 *  two, or six if all calls were quick before; and calls of a method known to be slow are left to
 *  other threads at once.
 *  A request with a request key runs once: whoever asks again for the same method with the same key
 *  gets the first reply, while it is remembered (weft_worker_options_t). */
typedef weft_status_t (weft_handler_fn) (weft_request_t *request, const void *args, void *reply);

/*  What a method promises. */
enum {
    WEFT_IDEMPOTENT = 1, /* running it twice is as good as once: it may be retried */
    WEFT_INLINE = 2,     /* takes microseconds and never blocks: run it at once where it was read,
                            even while as many handlers run as may (concurrency) */
    WEFT_STREAM = 4      /* gives any number of items, by weft_request_send_item, instead of one reply: its
                            reply type is that of an item, and `reply` room for one. It runs on a thread of
                            its own, which does not count as one of `concurrency`; handler_timeout_ms is not
                            for it. Not with WEFT_INLINE */
};

typedef struct {
    const char *name; /* NULL ends the table */
    weft_handler_fn *handler;
    weft_schema_fn *args;
    weft_schema_fn *reply;
    unsigned flags;
    void *user; /* weft_request_user in the handler; overrides that of weft_worker_add */
} weft_method_t;

#define WEFT_METHOD(name, handler, args, reply, flags)                                                       \
    {name, handler, args##_schema, reply##_schema, flags, NULL}
#define WEFT_METHOD_END {NULL, NULL, NULL, NULL, 0, NULL}

/*  All optional; zero or NULL takes the default. Strings are copied. */
typedef struct {
    const char *name;       /* for people; default: the program's name */
    const char *bind;       /* direct endpoints, comma-separated; default: any tcp port, and an ipc
                               endpoint beside it; "none": only calls through the broker */
    const char *advertise;  /* host or tcp://host[:port] to tell clients instead of what the broker sees */
    const char *const *labels; /* "key=value", NULL-terminated */
    int concurrency;        /* handlers at once; default: cores; 1 to WEFT_WORKER_CONCURRENCY_MAX.
                               There is one thread more, for the sockets */
    int queue_max;          /* calls not yet begun; default WEFT_WORKER_QUEUE_MAX */
    size_t queue_bytes_max; /* what their bodies and those of calls that run take; default WEFT_WORKER_QUEUE_BYTES_MAX */
    int streams_max;        /* streams at once; default WEFT_WORKER_STREAMS_MAX; 1 to 65535 */
    int handler_timeout_ms; /* default: none but the caller's deadline */
    int drain_timeout_ms;   /* default WEFT_DRAIN_TIMEOUT_MS */
    int beat_ms;            /* wished-for beat interval; the broker decides; default: the broker's */
    size_t body_max;        /* default WEFT_BODY_MAX */
    /* replies to requests with a request key that are remembered, to be given again; beyond, the oldest go */
    int replies_max;        /* how many; default WEFT_REPLIES_MAX */
    size_t replies_bytes_max; /* what they take in all; default WEFT_REPLIES_BYTES_MAX */
    int replies_age_ms;     /* how long; default WEFT_REPLIES_AGE_MS */
} weft_worker_options_t;

/*  Makes a worker for the brokers in `brokers` (comma-separated endpoints; it uses one at a
 *  time and fails over). Does not connect yet. NULL when out of memory or when an argument is
 *  wrong; weft_worker_error (NULL) then says which. */
WEFT_EXPORT weft_worker_t *weft_worker_new (const char *brokers, const weft_worker_options_t *options);

/*  Stops at once (no drain) if it runs, frees, and nulls the caller's pointer. Handlers that run see
 *  weft_request_cancelled and are waited for, at most the drain timeout; what those use that go on even
 *  then must outlive them. Not from a handler. */
WEFT_EXPORT void weft_worker_destroy (weft_worker_t **self);

/*  Adds service `name` with all methods of the table, which is borrowed for the worker's life, as
 *  are its schemas. Before start only. INVALID: bad or duplicate name, empty table, duplicate method,
 *  or after start; weft_worker_error says which. */
WEFT_EXPORT weft_status_t weft_worker_add (weft_worker_t *self, const char *name,
                                           const weft_method_t *methods, void *user);

/*  Binds, connects, registers and waits at most `timeout_ms` (-1: no limit) for the broker's
 *  acknowledgement. The worker then runs on its own threads. OK; INVALID: a registration refused, or an
 *  endpoint that cannot be bound; CONNECT_TIMEOUT: no broker answered (it goes on trying; call
 *  weft_worker_wait_ready, or destroy it). weft_worker_error says more. */
WEFT_EXPORT weft_status_t weft_worker_start (weft_worker_t *self, int timeout_ms);
WEFT_EXPORT weft_status_t weft_worker_wait_ready (weft_worker_t *self, int timeout_ms);

/*  Stops taking calls, hands back those not begun, finishes the others within the drain
 *  timeout, says goodbye. Returns when done; OK, or DEADLINE_EXCEEDED if handlers were abandoned. Not from
 *  a handler. */
WEFT_EXPORT weft_status_t weft_worker_stop (weft_worker_t *self);

/*  start, wait for SIGTERM or SIGINT (handled for the duration) or a Drain from the broker, stop.
 *  A second signal stops at once. Returns a process exit code: 0, or 1 with the reason on stderr. */
WEFT_EXPORT int weft_worker_run (weft_worker_t *self);

/*  What went wrong last in new, add or start, one line; "" if nothing did. For NULL: this thread's last
 *  failure of weft_worker_new. Valid until the next call on the worker. */
WEFT_EXPORT const char *weft_worker_error (const weft_worker_t *self);

/*  The worker's UUID (36 characters) and its direct endpoints as bound (NULL beyond the last).
 *  Valid for the worker's life; endpoints after start. Any thread. */
WEFT_EXPORT const char *weft_worker_uuid (const weft_worker_t *self);
WEFT_EXPORT const char *weft_worker_endpoint (const weft_worker_t *self, size_t index);

/*  What a shared object for `weft-worker --load` defines: adds its services to the worker, once per
 *  process, before it starts. Anything but WEFT_OK ends the program with weft_worker_error. */
__attribute__ ((visibility ("default"))) weft_status_t weft_load (weft_worker_t *worker);

/*  In a handler, on its thread, with its request: */

/*  Ends the call with APP_ERROR, the application's own `code` and one line of text (copied, cut at
 *  WEFT_TEXT_MAX). Return its result. */
WEFT_EXPORT weft_status_t weft_request_fail (weft_request_t *self, int64_t code, const char *text);

/*  Memory that lives until the reply is sent, zeroed; NULL when there is none. */
WEFT_EXPORT void *weft_request_alloc (weft_request_t *self, size_t size);

/*  In the handler of a stream: sends one item, a value of the method's reply type, which is encoded before this
 *  returns. Waits while the caller has not asked for more, or does not read what was sent. OK; or why no item is
 *  taken any more, and then none is: CANCELLED (the caller gave up or is gone), DEADLINE_EXCEEDED, DRAINING (the
 *  worker is told to stop, and the caller set no deadline by which the stream would end), TOO_LARGE, OVERLOADED
 *  (out of memory), INTERNAL (the item cannot be written). Return that then, or an error of your own: a stream
 *  that could not send all never ends OK. INVALID: the method is no stream. */
WEFT_EXPORT weft_status_t weft_request_send_item (weft_request_t *self, const void *item);

/*  True once the caller cancelled, went away or ran out of time, or the worker is told to stop and this is a stream
 *  without a deadline: work may stop. Cheap. A caller with a request key that loses its connection may come again for
 *  the reply, so that does not count. */
WEFT_EXPORT bool weft_request_cancelled (const weft_request_t *self);

/*  Milliseconds left of the caller's deadline, never negative; pass it on to calls of your own. */
WEFT_EXPORT int weft_request_remaining_ms (const weft_request_t *self);

/*  "Service.Method"; the `user` pointer; the value of the caller's metadata `key` (NULL if absent; not
 *  NUL-terminated memory of the request otherwise: `*size` bytes). Valid until the handler returns. */
WEFT_EXPORT const char *weft_request_method (const weft_request_t *self);
WEFT_EXPORT void *weft_request_user (const weft_request_t *self);
WEFT_EXPORT const char *weft_request_meta (const weft_request_t *self, const char *key, size_t *size);

/*  For handlers of type weft_any or weft_bytes: the codec of the body, "msgpack", "json" or "raw". Static. */
WEFT_EXPORT const char *weft_request_codec (const weft_request_t *self);

#ifdef __cplusplus
}
#endif

#endif
