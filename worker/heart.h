/* SPDX-License-Identifier: MPL-2.0
 *
 *  heart.h - the machine behind <weft/heart.h>: which beat is next, when, and what its answer means.
 *
 *  It never sends and never reads a clock: its owner tells it what happened and when, sends what
 *  heart_take says, and calls heart_tick at heart_next_us. */

#ifndef HEART_H_INCLUDED
#define HEART_H_INCLUDED

#include <weft/heart.h>
#include "deadlines.h"
#include "wire.h"

#define HEART_INTERVAL_MIN_MS 10       /* a registry cannot make us spin */
#define HEART_INTERVAL_MAX_MS 86400000 /* nor sleep for ever */

typedef enum { HEART_IDLE, HEART_ASKING, HEART_RESTING, HEART_ENDED } heart_state_t;

/*  What is to be sent now. */
typedef enum { HEART_NOTHING, HEART_REGISTER, HEART_BEAT, HEART_GOODBYE } heart_send_t;

typedef struct {
    heart_state_t state;
    bool connected;         /* there is a connection to send on */
    bool registered;        /* the registry knows us, over this connection */
    bool known;             /* the first answer was told */
    heart_send_t to_send;
    weft_beat_t beat;       /* being asked, or the next */
    uint64_t sequence;      /* of the last beat; 0 for a REGISTER */
    int retransmissions;
    int64_t sent_us;
    int64_t due_us;         /* of this try's answer, or of the next beat */
    weft_status_t status;   /* why it ended */
    char text [WEFT_TEXT_MAX + 1];
    weft_beater_fn *beater;
    void *beater_arg;
    weft_heart_event_fn *observer;
    void *observer_arg;
} heart_t;

void heart_init (heart_t *self);

/*  The first request. Time for its answer counts from now, whether there is a connection or not. */
void heart_begin (heart_t *self, int64_t timeout_ms, int retries, int64_t now_us);

/*  A fresh connection, on which whatever is asked is asked anew, as a REGISTER; and its loss. */
void heart_connected (heart_t *self);
void heart_lost (heart_t *self, int64_t now_us);

/*  The registry's answers. */
void heart_answer (heart_t *self, const wire_beat_ok_t *answer, int64_t now_us);
void heart_refused (heart_t *self, const wire_refused_t *refused, int64_t now_us);

/*  Beats now instead of when it is due. */
void heart_hurry (heart_t *self, int64_t now_us);
void heart_cancel (heart_t *self);

void heart_tick (heart_t *self, int64_t now_us);
int64_t heart_next_us (const heart_t *self);

/*  What to send now, once; `beat` and `sequence` say what it says. */
heart_send_t heart_take (heart_t *self, int64_t now_us);

/*  Appends the BEAT that was taken, with its load and options. */
void heart_write_beat (const heart_t *self, buffer_t *out);

/*  Appends "key=value" options (NULL-terminated, or NULL) as a map. */
void heart_write_options (buffer_t *out, const char *const *options);

#endif
