/* SPDX-License-Identifier: MPL-2.0
 *
 *  probe.h - one connection to one endpoint, taken step by step, for looking at the path itself: ping
 *  and doctor.
 *
 *  The client library hides which connection a call takes, and mends what breaks; a probe does neither.
 *
 *      open -> hello (waits for the welcome) -> call, call, ... -> close */

#ifndef PROBE_H_INCLUDED
#define PROBE_H_INCLUDED

#include "message.h"

typedef struct {
    void *context, *socket, *monitor;
    message_t message;    /* received last; replies view it */
    uint64_t last_id;
    char text [WEFT_TEXT_MAX + 1]; /* why the last step failed */
    char server [64];     /* who answered hello */
    uint64_t version;
    const uint8_t *reply; /* of the last call; valid until the next */
    size_t reply_size;
    int64_t round_trip_us;
} probe_t;

/*  False for endpoints that are inside another process, or on another host's file system. */
bool probe_can_reach (const char *endpoint);

/*  Begins to connect. False: `text` says why. */
bool probe_open (probe_t *self, const char *endpoint);
void probe_close (probe_t *self);

/*  Says HELLO, for `worker` (a UUID) or whoever it is (NULL), and waits for WELCOME. OK;
 *  CONNECT_TIMEOUT: nobody listens; WORKER_LOST: the connection closed; INVALID, UNAUTHENTICATED: what
 *  answers does not speak weft, or not with us; DEADLINE_EXCEEDED; or as refused. */
weft_status_t probe_hello (probe_t *self, const char *worker, int timeout_ms);

/*  One call with an encoded body. Through a broker, `worker` names who shall serve it; else NULL. OK or
 *  the reply's status, or as above. */
weft_status_t probe_call (probe_t *self, const char *method, const char *worker, const void *body,
                          size_t size, int timeout_ms);

/*  The cheapest call that each answers: a broker, by a listing of nothing; a worker, by weft.Worker.Ping. */
weft_status_t probe_ping_broker (probe_t *self, int timeout_ms);
weft_status_t probe_ping_worker (probe_t *self, const char *through_broker_to, int timeout_ms);

#endif
