/* SPDX-License-Identifier: MPL-2.0
 *
 *  heart.h - beat until told to stop.
 *
 *  A registrant sends one request after another to its registry: the first registers, the
 *  later ones say that it is still there. What the next one is, how long to wait for its answer
 *  and how often to repeat it is decided by a *beater*, a function that sees each answer. The
 *  registry dictates the interval. Workers use this heart with a default beater; a program
 *  that registers something that is not a weft worker can use it with its own. */

#ifndef WEFT_HEART_H_INCLUDED
#define WEFT_HEART_H_INCLUDED

#include <weft/schema.h>
#include <weft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_heart weft_heart_t;

/*  A beat to send. */
typedef enum { WEFT_BEAT_REGISTER, WEFT_BEAT_AGAIN, WEFT_BEAT_NONE } weft_beat_kind_t;
typedef struct {
    weft_beat_kind_t kind; /* NONE: no next beat, end cleanly */
    int64_t delay_ms;      /* from now; the answer's interval is the usual choice */
    int64_t timeout_ms;    /* for the answer, each try; at least 1 */
    int retries;           /* repeats after the first try; at least 0 */
    uint64_t load [4];     /* in_flight, capacity, oldest_ms, progress */
    const char *const *options; /* "key=value" sent along, NULL-terminated, or NULL; borrowed until the answer */
} weft_beat_t;

/*  What came back. */
typedef struct {
    uint64_t sequence;
    bool rejected;          /* then status and text say why */
    weft_status_t status;
    const char *text;
    int64_t interval_ms;    /* granted: when to beat next */
    int64_t ttl_ms;         /* silence for this long means gone */
    const char *const *brokers; /* other registries to try, NULL-terminated */
    int64_t round_trip_us;  /* of the try that was answered */
    int retransmissions;    /* tries before it */
} weft_beat_answer_t;

/*  Looks at `answer` and fills `next`, which arrives set to: kind AGAIN, delay_ms the granted interval,
 *  timeout and retries as before. Both are valid during the call. Runs on the thread that beats. */
typedef void (weft_beater_fn) (const weft_beat_answer_t *answer, weft_beat_t *next, void *arg);

typedef enum {
    WEFT_HEART_NEW,          /* first answer */
    WEFT_HEART_UPDATED,      /* a later answer */
    WEFT_HEART_RETRIED,      /* no answer in time, sent again */
    WEFT_HEART_DISCONNECTED  /* the beating has ended */
} weft_heart_event_t;
typedef void (weft_heart_event_fn) (weft_heart_event_t event, const weft_beat_answer_t *answer, void *arg);

/*  Who is to be registered. Borrowed while weft_heart_run runs. */
typedef struct {
    const char *service;            /* one service name */
    const char *const *endpoints;   /* NULL-terminated; at least one */
    const char *name;               /* for people; NULL: none */
    uint64_t cores;                 /* 0: those of this machine */
} weft_registrant_t;

/*  Makes a heart for a registry at `broker`. NULL when out of memory or the endpoint is wrong. */
WEFT_EXPORT weft_heart_t *weft_heart_new (const char *broker, const weft_registrant_t *registrant);
WEFT_EXPORT void weft_heart_destroy (weft_heart_t **self);

/*  Sets the beater (NULL: the default, which beats at the granted interval for ever) and the observer
 *  (NULL: none). Before run. */
WEFT_EXPORT void weft_heart_set_beater (weft_heart_t *self, weft_beater_fn *beater, void *arg);
WEFT_EXPORT void weft_heart_set_observer (weft_heart_t *self, weft_heart_event_fn *observer, void *arg);

/*  Registers, then beats until the end, on the calling thread. The first request waits
 *  `timeout_ms` for its answer and is repeated up to `retries` times. Returns OK when the beater asked for
 *  no next beat; CANCELLED after weft_heart_cancel, which says GOODBYE first; the registry's status when
 *  it rejects; BROKER_LOST when no answer came within timeout × (retries + 1). */
WEFT_EXPORT weft_status_t weft_heart_run (weft_heart_t *self, int64_t timeout_ms, int retries);

/*  Makes run return soon. Any thread, and signal handlers. */
WEFT_EXPORT void weft_heart_cancel (weft_heart_t *self);

/*  Why run ended, one line; "" before. Valid until the next run. */
WEFT_EXPORT const char *weft_heart_error (const weft_heart_t *self);

#ifdef __cplusplus
}
#endif

#endif
