/* SPDX-License-Identifier: MPL-2.0
 *
 *  standing.h - a worker's standing with its brokers: finds one, says HELLO, registers, beats, and does it
 *  all again elsewhere when that is lost. Decides; never sends: what it writes goes to an outbox. */

#ifndef STANDING_H_INCLUDED
#define STANDING_H_INCLUDED

#include "codec.h"
#include "dice.h"
#include "heart.h"
#include "outbox.h"
#include "service.h"

/*  Who registers. Borrowed. */
typedef struct {
    const char *uuid, *name, *host;
    uint64_t pid, cores, capacity;
    const char *const *labels;      /* "key=value", NULL-terminated, or NULL */
    const char *const *endpoints;   /* direct ones, NULL-terminated */
    const services_t *services;
} standing_identity_t;

typedef enum {
    STANDING_DOWN,        /* no connection; the next is opened at open_at_us */
    STANDING_OPENING,     /* being opened, given up at give_up_us */
    STANDING_JOINING,     /* HELLO and REGISTER are sent */
    STANDING_REGISTERED,    /* registered */
    STANDING_REFUSED,     /* the broker does not want us; final */
    STANDING_LEFT         /* by our own will */
} standing_state_t;

#define STANDING_NONE SIZE_MAX

/*  What the owner of the sockets is to do. */
typedef enum {
    STANDING_NOTHING,
    STANDING_OPEN,
    STANDING_CLOSE,
    STANDING_PART         /* close when what was sent has left */
} standing_command_t;

typedef struct {
    standing_state_t state;
    const standing_identity_t *identity;
    outbox_t *outbox;
    heart_t heart;
    dice_t dice;
    int64_t beat_ms;            /* no longer than this between beats; 0: as the broker says */
    bool welcome;               /* the broker has answered HELLO */
    bool stopping;              /* it has said that it will go */
    bool stood;                 /* was registered once: a later refusal is not final */
    codec_t codec;
    uint64_t body_max;          /* that the broker takes */
    uint64_t incarnation;
    uint64_t window, window_told;
    uint64_t fence;             /* sequence of a beat sent since standing_fence; 0: none yet */
    bool fence_wanted, fenced;
    char brokers [WEFT_BROKERS_MAX][WEFT_ENDPOINT_MAX + 1];
    size_t broker_count, broker; /* which is in use, or next */
    size_t avoided;             /* not to be tried: the one that is still ours; STANDING_NONE: none */
    int64_t open_at_us, give_up_us, backoff_us;
    int64_t slowest_us;         /* the longest that an answer to a beat took */
    bool want_open, want_close;
    weft_status_t status;       /* why there is no standing; text: in one line */
    char text [WEFT_TEXT_MAX + 1];
} standing_t;

void standing_init (standing_t *self, const standing_identity_t *identity, outbox_t *outbox,
                      const char *const *brokers, uint64_t seed);
void standing_start (standing_t *self, int64_t now_us);

/*  Begins another standing beside one that stops: with the next broker, and never with that one's. When it takes that one's place
 *  it knows what that one knew. */
void standing_follow (standing_t *self, const standing_t *former, outbox_t *outbox, int64_t now_us);
void standing_succeed (standing_t *self, const standing_t *former);

/*  Events of the connection. After lost the owner closes it without being told. */
void standing_ready (standing_t *self, int64_t now_us);
void standing_lost (standing_t *self, weft_status_t status, const char *text, int64_t now_us);

/*  WELCOME, REFUSED, BEAT_OK, GOODBYE. False: it is none of them, or malformed. */
bool standing_record (standing_t *self, const wire_record_t *record, int64_t now_us);

/*  Asks for a sign that the broker has read everything written so far: `fenced` will say so. */
void standing_fence (standing_t *self, int64_t now_us);
/*  Takes no more calls from here, with a fence behind it. */
void standing_withdraw (standing_t *self, int64_t now_us);
/*  Says GOODBYE and is gone. */
void standing_leave (standing_t *self, const char *text);

void standing_tick (standing_t *self, int64_t now_us);
int64_t standing_next_us (const standing_t *self);

/*  Writes what is due; see standing_has_to_write. */
void standing_write (standing_t *self, const wire_load_t *load, int64_t now_us);

/*  The next thing to do; `*endpoint` for OPEN. */
standing_command_t standing_command (standing_t *self, const char **endpoint);

/*  True while records may be exchanged. */
static inline bool standing_connected (const standing_t *self)
{
    return self->state == STANDING_JOINING || self->state == STANDING_REGISTERED;
}

/*  True while something is due to be written: HELLO, REGISTER, BEAT with this load, CREDIT. */
static inline bool standing_has_to_write (const standing_t *self)
{
    return standing_connected (self)
           && (self->heart.to_send != HEART_NOTHING || self->window != self->window_told);
}

#endif
