/* SPDX-License-Identifier: MPL-2.0
 *
 *  client.h - call methods of the mesh.
 *
 *      weft_client_t *client = weft_client_new ("tcp://127.0.0.1:5555", NULL);
 *      int64_t product;
 *      weft_status_t status = weft_call (client, "Arith.Multiply", WEFT_IN (arith_args, &args),
 *                                        WEFT_OUT (weft_int64, &product), 500);
 *
 *  A client finds workers by itself and keeps watching them. Each call ends exactly once, with a status,
 *  with whether it ran, and with who says so (SEMANTICS.md). */

#ifndef WEFT_CLIENT_H_INCLUDED
#define WEFT_CLIENT_H_INCLUDED

#include <weft/limits.h>
#include <weft/schema.h>
#include <weft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_client weft_client_t;
typedef struct weft_call weft_call_t;

/*  Which way a call goes. AUTO: directly while a worker is reachable, else through the broker. */
typedef enum { WEFT_VIA_DEFAULT, WEFT_VIA_AUTO, WEFT_VIA_DIRECT, WEFT_VIA_BROKER } weft_via_t;

/*  Who gets it. DEFAULT is the client's, which is P2C. Through the broker, DEFAULT, P2C, RANDOM, ROUND_ROBIN,
 *  WEIGHTED and LEAST leave the choice to the broker (late binding), unless the call has a request key; the
 *  others choose a worker here. */
typedef enum {
    WEFT_BALANCE_DEFAULT,
    WEFT_BALANCE_P2C,         /* better of two at random, by outstanding × latency */
    WEFT_BALANCE_RANDOM,
    WEFT_BALANCE_ROUND_ROBIN,
    WEFT_BALANCE_WEIGHTED,    /* in proportion to capacity */
    WEFT_BALANCE_LEAST,       /* fewest outstanding */
    WEFT_BALANCE_HASH,        /* by key, consistent, with bounded load */
    WEFT_BALANCE_PRIMARY,     /* one, kept until it fails */
    WEFT_BALANCE_BROADCAST    /* all; the first error cancels the rest and is the outcome */
} weft_balance_t;

/*  What happens when an attempt fails and its fate allows another: FAILFAST none, FAILTRY the same worker,
 *  FAILOVER the next one. FAILBACKUP does not wait for the failure: when the first attempt takes longer than
 *  nearly all calls of the method, a second one goes to another worker beside it; the first answer wins, the
 *  other attempt is cancelled. Only for methods that the service declared idempotent, and for calls without
 *  `worker` and `request_key`; for others, and for what fails, it is FAILOVER. */
typedef enum {
    WEFT_RETRY_DEFAULT,
    WEFT_RETRY_FAILFAST,
    WEFT_RETRY_FAILTRY,
    WEFT_RETRY_FAILOVER,
    WEFT_RETRY_FAILBACKUP
} weft_retry_t;

/*  For one call; zero or NULL takes the client's default. Strings are copied. */
typedef struct {
    int timeout_ms;         /* the whole call, retries included; 1 to WEFT_CALL_TIMEOUT_MS_MAX; for a stream to
                               its end, and 0 is no limit */
    int connect_timeout_ms; /* to get through to a worker or the broker */
    weft_via_t via;
    weft_balance_t balance;
    weft_retry_t retry;
    int backup_ms;          /* FAILBACKUP: the second attempt comes after so long; 0: after the 95th percentile
                               of what this client saw of the method lately, while that is unknown after a
                               tenth of timeout_ms; but not before WEFT_BACKUP_MS_MIN */
    const char *key;        /* for HASH */
    const char *worker;     /* only this worker (UUID) */
    const char *request_key; /* the caller's name for this piece of work, at most WEFT_REQUEST_KEY_MAX bytes:
                                what may have run is tried again, at the same worker */
    const char *const *meta; /* "key=value", NULL-terminated; the handler can read them. 30 KiB in all pass a broker */
    int window;             /* of a stream: items that may be on their way here or wait to be taken; default
                               WEFT_STREAM_WINDOW; 1 to WEFT_STREAM_WINDOW_MAX */
} weft_call_options_t;

typedef struct {
    const char *name;         /* for people; default: the program's name */
    const char *codec;        /* "msgpack" (default) or "json" */
    weft_call_options_t call; /* defaults for calls; key, worker, request_key, meta and window are not looked at */
    int refresh_ms;           /* age at which a list of workers is asked for again; default WEFT_REFRESH_MS */
    int calls_max;            /* open at once; default WEFT_CLIENT_CALLS_MAX */
    size_t body_max;          /* default WEFT_BODY_MAX */
    bool own_loop;            /* no thread of its own: the user polls weft_client_fd and drives */
    uint64_t seed;            /* of the balancer's dice; 0: from the system */
} weft_client_options_t;

/*  Makes a client for the brokers in `brokers` (comma-separated endpoints; one at a time, fails over).
 *  Connects in the background: never waits. It belongs to this process: a child after fork can use neither
 *  it nor, without exec, one of its own. NULL when out of memory or when an argument is wrong;
 *  weft_client_error then says which. */
WEFT_EXPORT weft_client_t *weft_client_new (const char *brokers, const weft_client_options_t *options);

/*  Ends open calls with SHUTDOWN (callbacks run on this thread), says goodbye, frees, nulls the pointer.
 *  Call handles stay valid until destroyed. No other thread may be in a call *on the client* then, but
 *  threads that wait for a call are woken with SHUTDOWN. Not from a callback. */
WEFT_EXPORT void weft_client_destroy (weft_client_t **self);

/*  Ends open calls with SHUTDOWN and refuses new ones with it; the client remains to be destroyed. Any
 *  thread. */
WEFT_EXPORT void weft_client_close (weft_client_t *self);

/*  Why this thread's last weft_client_new failed, one line; "" if it did not. */
WEFT_EXPORT const char *weft_client_error (void);

/*  Calls `method` ("Service.Method") and waits for its outcome. Simple types and structs only: with a
 *  reply type that points to memory (strings, bytes, arrays, any) it is INVALID at once; use
 *  weft_client_call. `timeout_ms` 0: the client's default. Any thread, many at once. */
WEFT_EXPORT weft_status_t weft_call (weft_client_t *self, const char *method, weft_value_t args,
                                     weft_value_t reply, int timeout_ms);

/*  Calls `method` and waits for its one outcome. `args` is borrowed until return. `*call` holds the
 *  outcome, is never NULL unless memory ran out, and is the caller's to destroy; `call` itself may be
 *  NULL. Any thread, many at once. Returns the status. */
WEFT_EXPORT weft_status_t weft_client_call (weft_client_t *self, const char *method, weft_value_t args,
                                            const weft_call_options_t *options, weft_call_t **call);

/*  Receives a finished call, exactly once, on a thread that drives the client: its own, one that waits in
 *  a call, or the one in weft_client_drive, _close or _destroy. It may start calls, and destroy `call`; it
 *  should not block. After SHUTDOWN it should start none: they end at once, and closing waits for their
 *  callbacks too. */
typedef void (weft_call_fn) (weft_call_t *call, void *arg);

/*  Starts a call and returns at once with its handle, which the caller destroys (with `done`, from within
 *  it or later). `args` is encoded before it returns. With `done` NULL, wait with weft_call_wait. A call
 *  that cannot start still ends by itself, with its status. NULL only when memory ran out. Any thread.
 *  It leaves at once. Only one of many, while finished calls lie about that nobody destroyed yet, may stay
 *  for the next ones that are started, to leave with them: until somebody waits for a call, for
 *  microseconds as a rule and about a millisecond at most. */
WEFT_EXPORT weft_call_t *weft_client_start (weft_client_t *self, const char *method, weft_value_t args,
                                            const weft_call_options_t *options, weft_call_fn *done,
                                            void *arg);

/*  The same with a body already encoded in `codec` ("msgpack", "json", "raw"), which is copied. */
WEFT_EXPORT weft_call_t *weft_client_start_body (weft_client_t *self, const char *method, const void *body,
                                                 size_t size, const char *codec,
                                                 const weft_call_options_t *options, weft_call_fn *done,
                                                 void *arg);

/*  Starts a stream: calls a method that gives items one by one instead of one reply. Returns at once with its
 *  handle, which the caller destroys; NULL only when memory ran out. Its items are taken with weft_call_next:
 *
 *      weft_call_t *call = weft_client_stream (client, "Clock.Ticks", WEFT_IN (every, &second), NULL);
 *      while (weft_call_next (call, WEFT_OUT (tick, &item), -1))
 *          printf ("%lld\n", (long long) item.number);
 *      weft_status_t status = weft_call_status (call);     // OK: it came to its end, and all items were here
 *      weft_call_destroy (&call);                          // a stream that is not at its end is cancelled
 *
 *  The worker is asked for no more items than fit the window (of which one of WEFT_STREAM_CREDIT_BYTES or more takes
 *  several places, so that all are bounded by that and one item) and waits while they are not taken. Once an item was handed out
 *  the stream is not tried again: it ends with what went wrong. A method that is no stream, a BROADCAST and a
 *  request key end INVALID, and so does a stream that is called as if it were none. Any thread. */
WEFT_EXPORT weft_call_t *weft_client_stream (weft_client_t *self, const char *method, weft_value_t args,
                                             const weft_call_options_t *options);
WEFT_EXPORT weft_call_t *weft_client_stream_body (weft_client_t *self, const char *method, const void *body,
                                                  size_t size, const char *codec,
                                                  const weft_call_options_t *options);

/*  Decodes the next item of a stream into a zeroed C value; waits for it at most `timeout_ms` (0: not at all; -1:
 *  until one comes or the stream ends). What the value points to lives until the next call of this or destroy.
 *  True: here it is. False: there is none now; with weft_call_done the stream has ended, and its outcome is told
 *  like that of any call. Items that came before the end are handed out first, unless it was cancelled; and an
 *  item that does not decode ends the stream INVALID. Any thread, one at a time. */
WEFT_EXPORT bool weft_call_next (weft_call_t *self, weft_value_t item, int timeout_ms);
/*  The same, as encoded: never NULL for an item. */
WEFT_EXPORT const void *weft_call_next_body (weft_call_t *self, size_t *size, int timeout_ms);

/*  Waits until the call is done, at most `timeout_ms` (-1: until it is, which its deadline bounds). True
 *  if done. Any thread. A stream does not get there while its items are not taken. Of a call without a
 *  callback that nobody waits for, `done` tells up to about a millisecond late. */
WEFT_EXPORT bool weft_call_wait (weft_call_t *self, int timeout_ms);
WEFT_EXPORT bool weft_call_done (const weft_call_t *self);

/*  Gives up: the call ends with CANCELLED unless it has ended, and the worker is told. Any thread. */
WEFT_EXPORT void weft_call_cancel (weft_call_t *self);

/*  Frees the handle and nulls the pointer. A call that is not done is cancelled first. Its `done` is not called
 *  any more, unless another thread has taken it up already: that one may be about to run, or under way, when this
 *  returns. So what its `arg` points to must outlive it, until weft_client_destroy has returned at the latest; the
 *  call that it was given does so by itself. Once for each handle: in `done`, or elsewhere. */
WEFT_EXPORT void weft_call_destroy (weft_call_t **self);

/*  Of a call that is done; texts and bodies are valid until it is destroyed. `text` is one line about a
 *  failure, "" when OK. `code` is the application's. `worker` is the UUID of who answered or was tried
 *  last, "" if nobody or unknown. `attempts` is how often the call left this process. `sequence` increases from call to call of one
 *  client. */
WEFT_EXPORT weft_status_t weft_call_status (const weft_call_t *self);
WEFT_EXPORT weft_executed_t weft_call_executed (const weft_call_t *self);
WEFT_EXPORT weft_origin_t weft_call_origin (const weft_call_t *self);
WEFT_EXPORT const char *weft_call_text (const weft_call_t *self);
WEFT_EXPORT int64_t weft_call_code (const weft_call_t *self);
WEFT_EXPORT int weft_call_attempts (const weft_call_t *self);
WEFT_EXPORT const char *weft_call_worker (const weft_call_t *self);
WEFT_EXPORT bool weft_call_direct (const weft_call_t *self);
WEFT_EXPORT const void *weft_call_body (const weft_call_t *self, size_t *size);

/*  Of any call. `args_body` is the encoded arguments. */
WEFT_EXPORT uint64_t weft_call_sequence (const weft_call_t *self);
WEFT_EXPORT const char *weft_call_method (const weft_call_t *self);
WEFT_EXPORT const void *weft_call_args_body (const weft_call_t *self, size_t *size);
WEFT_EXPORT void *weft_call_arg (const weft_call_t *self);

/*  How long it took, in microseconds, and the parts that are known (0: under a millisecond or unknown). They
 *  do not overlap: what is left of the total is the network, and whoever never answered. The queues and the
 *  handler are those of the attempt that ended the call. */
typedef struct {
    int64_t total_us;        /* from start to outcome */
    int64_t earlier_us;      /* before that attempt: those before it, and the pauses between them */
    int64_t client_queue_us; /* waiting here for a connection or a list */
    int64_t broker_queue_us;
    int64_t worker_queue_us;
    int64_t handler_us;
} weft_ledger_t;
WEFT_EXPORT weft_ledger_t weft_call_ledger (const weft_call_t *self);

/*  Decodes the reply into a zeroed C value; what it points to lives as long as the call. If the body does
 *  not decode the call becomes INVALID, executed yes, "reading body: ...", and that is returned (OVERLOADED if it
 *  was for want of memory); a call that is not OK returns its status. */
WEFT_EXPORT weft_status_t weft_call_read (weft_call_t *self, weft_value_t reply);

/*  Replies of a BROADCAST: how many, and each as a finished call owned by this one; NULL beyond. */
WEFT_EXPORT size_t weft_call_reply_count (const weft_call_t *self);
WEFT_EXPORT weft_call_t *weft_call_reply (const weft_call_t *self, size_t index);

/*  Starts watching `service` and waits until its list is here, at most `timeout_ms` (0: the client's
 *  default). Not needed before calls: it spares the first one the wait. OK, NO_SERVICE, CONNECT_TIMEOUT
 *  (no broker), DEADLINE_EXCEEDED, INVALID (no name), SHUTDOWN, or what the broker refuses with. */
WEFT_EXPORT weft_status_t weft_client_discover (weft_client_t *self, const char *service, int timeout_ms);

/*  Is told of each change of the lists that this client watches, on a driving thread: the service, the
 *  worker's UUID, its state ("alive", "busy", "stuck", "suspect", "draining", "gone"; others may follow)
 *  and first endpoint ("" if none).
 *  Before the first call; NULL: none. Texts live during the call. */
typedef void (weft_watch_fn) (const char *service, const char *worker, const char *state,
                              const char *endpoint, void *arg);
WEFT_EXPORT void weft_client_set_watcher (weft_client_t *self, weft_watch_fn *watcher, void *arg);

/*  Counters since the start. Any thread. */
typedef struct {
    uint64_t started, finished, failed, retried;
    uint64_t hedged;     /* second attempts beside a first one (FAILBACKUP) */
    uint64_t hedges_won; /* those of them that answered first */
    uint64_t late;       /* replies that found no open call: dropped */
    uint64_t malformed;  /* messages dropped */
    uint64_t endpoints;  /* direct connections now */
    bool broker;         /* connected to a broker now */
} weft_client_stats_t;
WEFT_EXPORT weft_client_stats_t weft_client_stats (weft_client_t *self);

/*  For an event loop of one's own (own_loop): poll the descriptor for reading; when it is readable call
 *  drive, which does not block and runs callbacks. The descriptor belongs to the client. Starting calls
 *  needs no drive. */
WEFT_EXPORT int weft_client_fd (const weft_client_t *self);
WEFT_EXPORT void weft_client_drive (weft_client_t *self);

#ifdef __cplusplus
}
#endif

#endif
