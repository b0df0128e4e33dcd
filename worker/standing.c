/* SPDX-License-Identifier: MPL-2.0
 *
 *  standing.c - a worker's standing with its brokers.
 *
 *    DOWN --time--> OPENING --ready--> JOINING --registered--> REGISTERED
 *     ^                |                  |  \                    |
 *     '--- lost, not in time, unanswered, GOODBYE ----------------'
 *                                            \
 *                                             '--refused--> REFUSED   (never stood before, and final)
 *
 *  Every loss moves on to the next broker, soon, and with a random part so that the workers of a broker
 *  that died do not all come at once. A refusal that could pass (overload, draining, or of one that was
 *  registered already) counts as a loss. */

#include <stdio.h>
#include <string.h>
#include "standing.h"
#include "transport.h"

#define BACKOFF_MIN_US   20000
#define BACKOFF_MAX_US   800000 /* with what connecting takes, below a second */
#define ANSWER_MS        1000   /* for BEAT_OK, each try */
#define ANSWER_RETRIES   2
#define HEAR_NOTHING_US  (WEFT_CONNECT_TIMEOUT_MS * 1000LL)

/*  ------------------------------------------------------------------ which broker  */

static void learn (standing_t *self, text_t endpoint)
{
    char copy [WEFT_ENDPOINT_MAX + 1];
    const char *fault;

    if (endpoint.size == 0 || endpoint.size > WEFT_ENDPOINT_MAX || self->broker_count == WEFT_BROKERS_MAX)
        return;
    snprintf (copy, sizeof copy, "%.*s", TEXT_ARG (endpoint));
    if (!transport_endpoint_valid (copy, false, &fault))
        return;
    for (size_t i = 0; i < self->broker_count; i++)
        if (strcmp (self->brokers [i], copy) == 0)
            return;
    memcpy (self->brokers [self->broker_count++], copy, sizeof copy);
}

static void beater (const weft_beat_answer_t *answer, weft_beat_t *next, void *arg)
{
    standing_t *self = arg;

    if (answer->round_trip_us > self->slowest_us)
        self->slowest_us = answer->round_trip_us;
    if (self->beat_ms > 0 && self->beat_ms < next->delay_ms)
        next->delay_ms = self->beat_ms;
}

static void rest (standing_t *self)
{
    heart_init (&self->heart);
    self->heart.beater = beater;
    self->heart.beater_arg = self;
}

/*  In turn, but for the one to avoid. */
static void next_broker (standing_t *self)
{
    do
        self->broker = (self->broker + 1) % self->broker_count;
    while (self->broker == self->avoided);
}

void standing_init (standing_t *self, const standing_identity_t *identity, outbox_t *outbox,
                      const char *const *brokers, uint64_t seed)
{
    *self = (standing_t){
        .identity = identity, .outbox = outbox, .backoff_us = BACKOFF_MIN_US, .avoided = STANDING_NONE};
    dice_init (&self->dice, seed);
    rest (self);
    for (; *brokers; brokers++)
        learn (self, text_of (*brokers));
}

void standing_start (standing_t *self, int64_t now_us)
{
    self->open_at_us = now_us;
}

void standing_follow (standing_t *self, const standing_t *former, outbox_t *outbox, int64_t now_us)
{
    *self = (standing_t){
        .identity = former->identity,
        .outbox = outbox,
        .dice = former->dice,
        .beat_ms = former->beat_ms,
        .stood = true, /* a refusal is not the end */
        .incarnation = former->incarnation,
        .broker_count = former->broker_count,
        .broker = former->broker,
        .avoided = former->broker,
        .open_at_us = now_us,
        .backoff_us = BACKOFF_MIN_US,
        .slowest_us = former->slowest_us,
    };
    memcpy (self->brokers, former->brokers, sizeof self->brokers);
    rest (self);
    next_broker (self);
}

void standing_succeed (standing_t *self, const standing_t *former)
{
    self->avoided = STANDING_NONE;
    self->stood = former->stood;
    if (self->incarnation < former->incarnation)
        self->incarnation = former->incarnation;
    for (size_t i = 0; i < former->broker_count; i++)
        learn (self, text_of (former->brokers [i]));
}

/*  ------------------------------------------------------------------ losing it  */

static int64_t jittered (standing_t *self)
{
    const int64_t half = self->backoff_us / 2;
    const int64_t wait = half + (int64_t) dice_below (&self->dice, (uint64_t) half + 1);

    self->backoff_us = self->backoff_us * 2 < BACKOFF_MAX_US ? self->backoff_us * 2 : BACKOFF_MAX_US;
    return wait;
}

void standing_lost (standing_t *self, weft_status_t status, const char *text, int64_t now_us)
{
    if (self->state == STANDING_LEFT || self->state == STANDING_REFUSED || self->state == STANDING_DOWN)
        return; /* DOWN: its end is known, and the next broker is not to blame */
    self->status = status;
    snprintf (self->text, sizeof self->text, "%s: %.*s", self->brokers [self->broker], WEFT_TEXT_MAX / 2,
              text);
    self->state = STANDING_DOWN;
    self->welcome = self->stopping = false;
    self->want_open = self->want_close = false;
    self->window_told = 0;
    self->fence = 0;
    rest (self);
    outbox_clear (self->outbox);
    next_broker (self);
    self->open_at_us = now_us + jittered (self);
}

/*  The same by our own decision: the connection is still there. */
static void drop (standing_t *self, weft_status_t status, const char *text, int64_t now_us)
{
    standing_lost (self, status, text, now_us);
    self->want_close = true; /* before the next open */
}

static void refused (standing_t *self, weft_status_t status, const char *text, int64_t now_us)
{
    const bool final = status == WEFT_INVALID || status == WEFT_PERMISSION_DENIED
                       || status == WEFT_UNAUTHENTICATED;

    drop (self, status, text, now_us);
    if (final && !self->stood)
        self->state = STANDING_REFUSED;
}

/*  ------------------------------------------------------------------ the connection and what it says  */

void standing_ready (standing_t *self, int64_t now_us)
{
    static const char *const codecs [] = {"msgpack", "json", "raw", NULL};

    if (self->state != STANDING_OPENING)
        return;
    self->state = STANDING_JOINING;
    wire_write_hello (outbox_open_record (self->outbox), "worker", codecs, self->identity->name, NULL);
    outbox_close_record (self->outbox, NULL);
    heart_begin (&self->heart, ANSWER_MS, ANSWER_RETRIES, now_us);
    heart_connected (&self->heart);
}

static bool on_welcome (standing_t *self, const wire_record_t *record)
{
    wire_welcome_t welcome;

    if (!wire_read_welcome (record, &welcome))
        return false;
    const codec_t codec = codec_find (welcome.codec);
    self->codec = codec == CODEC_UNKNOWN ? CODEC_MSGPACK : codec;
    self->body_max = welcome.body_max;
    self->welcome = true;
    for (uint32_t i = 0; i < welcome.broker_count; i++)
        learn (self, welcome.brokers [i]);
    return true;
}

/*  The heart may have ended: by a refusal, or because nobody answers. */
static void look_at_heart (standing_t *self, int64_t now_us)
{
    char text [WEFT_TEXT_MAX + 1];

    if (self->heart.state != HEART_ENDED || !standing_connected (self))
        return;
    const weft_status_t status = self->heart.status;
    memcpy (text, self->heart.text, sizeof text);
    if (status == WEFT_BROKER_LOST)
        drop (self, status, text, now_us);
    else
        refused (self, status, text, now_us);
}

static bool on_refused (standing_t *self, const wire_record_t *record, int64_t now_us)
{
    wire_refused_t answer;
    char text [WEFT_TEXT_MAX + 1];

    if (!wire_read_refused (record, &answer))
        return false;
    if (self->welcome) {
        heart_refused (&self->heart, &answer, now_us);
        if (self->heart.state == HEART_ASKING)
            self->state = STANDING_JOINING; /* it forgot us */
        look_at_heart (self, now_us);
        return true;
    }
    snprintf (text, sizeof text, "%.*s", TEXT_ARG (answer.text));
    refused (self, answer.status, text, now_us);
    return true;
}

static bool on_beat_ok (standing_t *self, const wire_record_t *record, int64_t now_us)
{
    wire_beat_ok_t answer;

    if (!wire_read_beat_ok (record, &answer))
        return false;
    for (uint32_t i = 0; i < answer.broker_count; i++)
        learn (self, answer.brokers [i]);
    heart_answer (&self->heart, &answer, now_us);
    if (self->fence_wanted && self->fence && answer.sequence >= self->fence)
        self->fenced = true;
    if (!self->heart.registered)
        return true;
    self->state = STANDING_REGISTERED;
    self->stood = true;
    self->backoff_us = BACKOFF_MIN_US;
    self->status = WEFT_OK;
    self->text [0] = '\0';
    if (self->fence_wanted && !self->fence)
        heart_hurry (&self->heart, now_us);
    return true;
}

bool standing_record (standing_t *self, const wire_record_t *record, int64_t now_us)
{
    if (!standing_connected (self))
        return true;
    switch (record->kind) {
        case WIRE_WELCOME:
            return on_welcome (self, record);
        case WIRE_REFUSED:
            return on_refused (self, record, now_us);
        case WIRE_BEAT_OK:
            return on_beat_ok (self, record, now_us);
        case WIRE_GOODBYE:
            drop (self, WEFT_BROKER_LOST, "the broker said goodbye", now_us);
            return true;
        default:
            return false;
    }
}

/*  ------------------------------------------------------------------ will and time  */

void standing_fence (standing_t *self, int64_t now_us)
{
    self->fence_wanted = true;
    heart_hurry (&self->heart, now_us);
}

void standing_withdraw (standing_t *self, int64_t now_us)
{
    wire_write_credit (outbox_open_record (self->outbox), 0, 0);
    outbox_close_record (self->outbox, NULL);
    self->window = self->window_told = 0;
    standing_fence (self, now_us);
}

void standing_leave (standing_t *self, const char *text)
{
    if (standing_connected (self)) {
        wire_write_goodbye (outbox_open_record (self->outbox), text);
        outbox_close_record (self->outbox, NULL);
    }
    if (self->state != STANDING_REFUSED)
        self->state = STANDING_LEFT;
    self->want_open = false;
    heart_init (&self->heart);
}

void standing_tick (standing_t *self, int64_t now_us)
{
    if (self->state == STANDING_DOWN && now_us >= self->open_at_us) {
        self->state = STANDING_OPENING;
        self->want_open = true;
        self->give_up_us = now_us + HEAR_NOTHING_US;
    } else if (self->state == STANDING_OPENING && now_us >= self->give_up_us)
        drop (self, WEFT_CONNECT_TIMEOUT, "no connection in time", now_us);
    heart_tick (&self->heart, now_us);
    look_at_heart (self, now_us);
}

int64_t standing_next_us (const standing_t *self)
{
    switch (self->state) {
        case STANDING_DOWN:
            return self->open_at_us;
        case STANDING_OPENING:
            return self->give_up_us;
        case STANDING_JOINING:
        case STANDING_REGISTERED:
            return heart_next_us (&self->heart);
        default:
            return DEADLINES_NEVER;
    }
}

standing_command_t standing_command (standing_t *self, const char **endpoint)
{
    if (self->want_close) {
        self->want_close = false;
        return self->state == STANDING_LEFT ? STANDING_PART : STANDING_CLOSE;
    }
    if (!self->want_open)
        return STANDING_NOTHING;
    self->want_open = false;
    *endpoint = self->brokers [self->broker];
    return STANDING_OPEN;
}

/*  ------------------------------------------------------------------ writing  */

static void write_register (standing_t *self)
{
    const standing_identity_t *who = self->identity;
    buffer_t *out = outbox_open_record (self->outbox);

    if (self->heart.retransmissions == 0)
        self->incarnation++;
    wire_write_register_begin (out, who->uuid, self->incarnation, services_registered (who->services));
    services_write (who->services, out);
    wire_write_register_end (out, who->endpoints, who->cores, who->labels, who->host, who->pid,
                             who->capacity);
    outbox_close_record (self->outbox, NULL);
    self->window_told = UINT64_MAX; /* it replaces what the connection had: say it again */
}

static void write_beat (standing_t *self, const wire_load_t *load)
{
    const uint64_t numbers [4] = {load->in_flight, load->capacity, load->oldest_ms, load->progress};

    memcpy (self->heart.beat.load, numbers, sizeof numbers);
    heart_write_beat (&self->heart, outbox_open_record (self->outbox));
    outbox_close_record (self->outbox, NULL);
    if (self->fence_wanted && !self->fence)
        self->fence = self->heart.sequence;
}

void standing_write (standing_t *self, const wire_load_t *load, int64_t now_us)
{
    if (!standing_connected (self))
        return;
    switch (heart_take (&self->heart, now_us)) {
        case HEART_REGISTER:
            write_register (self);
            break;
        case HEART_BEAT:
            write_beat (self, load);
            break;
        default:
            break;
    }
    if (self->window == self->window_told)
        return;
    wire_write_credit (outbox_open_record (self->outbox), 0, self->window);
    outbox_close_record (self->outbox, NULL);
    self->window_told = self->window;
}
