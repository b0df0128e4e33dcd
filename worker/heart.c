/* SPDX-License-Identifier: MPL-2.0
 *
 *  heart.c - beat until told to stop. Decides; never sends, never reads a clock.
 *
 *    IDLE --begin--> ASKING --answer--> RESTING --time--> ASKING --> ...
 *                     |  ^                  |
 *        no answer in |__| again,           |
 *        time, and retries left             |
 *                     |                     |
 *                     '------> ENDED <------'   rejected, silence beyond the retries, cancelled,
 *                                               or the beater wants no next beat
 *
 *  A lost connection does not end anything by itself: the registration is asked anew on the next
 *  connection, within the same timeout × (retries + 1). */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "heart.h"

static int64_t clamp (int64_t value, int64_t lowest, int64_t highest)
{
    return value < lowest ? lowest : value > highest ? highest : value;
}

static int64_t after_ms (int64_t now_us, int64_t ms)
{
    return now_us + clamp (ms, 0, HEART_INTERVAL_MAX_MS) * 1000;
}

void heart_init (heart_t *self)
{
    *self = (heart_t){0};
}

static void tell (heart_t *self, weft_heart_event_t event, const weft_beat_answer_t *answer)
{
    if (self->observer)
        self->observer (event, answer, self->observer_arg);
}

/*  ------------------------------------------------------------------ asking  */

/*  Begins to ask for `beat`: its first try. */
static void ask (heart_t *self, int64_t now_us)
{
    if (!self->registered)
        self->beat.kind = WEFT_BEAT_REGISTER;
    self->sequence = self->beat.kind == WEFT_BEAT_REGISTER ? 0 : self->sequence + 1;
    self->retransmissions = 0;
    self->state = HEART_ASKING;
    self->due_us = after_ms (now_us, self->beat.timeout_ms);
    if (self->connected)
        self->to_send = self->beat.kind == WEFT_BEAT_REGISTER ? HEART_REGISTER : HEART_BEAT;
}

static void end (heart_t *self, weft_status_t status, const weft_beat_answer_t *answer)
{
    self->state = HEART_ENDED;
    self->status = status;
    self->registered = false;
    self->to_send = status == WEFT_OK || status == WEFT_CANCELLED ? HEART_GOODBYE : HEART_NOTHING;
    tell (self, WEFT_HEART_DISCONNECTED, answer);
}

void heart_begin (heart_t *self, int64_t timeout_ms, int retries, int64_t now_us)
{
    self->beat = (weft_beat_t){.kind = WEFT_BEAT_REGISTER,
                               .timeout_ms = clamp (timeout_ms, 1, HEART_INTERVAL_MAX_MS),
                               .retries = retries < 0 ? 0 : retries};
    self->status = WEFT_OK;
    self->text [0] = '\0';
    self->registered = self->known = false;
    self->to_send = HEART_NOTHING;
    ask (self, now_us);
}

void heart_connected (heart_t *self)
{
    self->connected = true;
    if (self->state == HEART_ASKING)
        self->to_send = HEART_REGISTER;
}

void heart_lost (heart_t *self, int64_t now_us)
{
    self->connected = self->registered = false;
    self->to_send = HEART_NOTHING;
    if (self->state == HEART_RESTING)
        ask (self, now_us);
    else if (self->state == HEART_ASKING) {
        self->beat.kind = WEFT_BEAT_REGISTER;
        self->sequence = 0;
    }
}

/*  ------------------------------------------------------------------ answers  */

static weft_beat_t next_beat (const heart_t *self, int64_t interval_ms)
{
    weft_beat_t next = self->beat;
    next.kind = WEFT_BEAT_AGAIN;
    next.delay_ms = interval_ms;
    return next;
}

/*  What the beater wants, within reason. */
static void rest (heart_t *self, weft_beat_t next, int64_t now_us)
{
    next.timeout_ms = clamp (next.timeout_ms, 1, HEART_INTERVAL_MAX_MS);
    next.retries = next.retries < 0 ? 0 : next.retries;
    self->beat = next;
    self->state = HEART_RESTING;
    self->due_us = after_ms (now_us, next.delay_ms);
}

void heart_answer (heart_t *self, const wire_beat_ok_t *answer, int64_t now_us)
{
    char brokers [WEFT_BROKERS_MAX][WEFT_ENDPOINT_MAX + 1];
    const char *broker_list [WEFT_BROKERS_MAX + 1] = {NULL};
    const bool unsent = self->to_send != HEART_NOTHING && self->retransmissions == 0;

    if (self->state != HEART_ASKING || unsent || answer->sequence != self->sequence)
        return; /* late: what counts was or will be answered */
    self->to_send = HEART_NOTHING;
    for (uint32_t i = 0; i < answer->broker_count; i++) {
        snprintf (brokers [i], sizeof brokers [i], "%.*s", TEXT_ARG (answer->brokers [i]));
        broker_list [i] = brokers [i];
    }
    const int64_t interval_ms = answer->next_ms > HEART_INTERVAL_MAX_MS ? HEART_INTERVAL_MAX_MS
                                : answer->next_ms < HEART_INTERVAL_MIN_MS ? HEART_INTERVAL_MIN_MS
                                                                          : (int64_t) answer->next_ms;
    const weft_beat_answer_t view = {
        .sequence = answer->sequence,
        .text = "",
        .interval_ms = interval_ms,
        .ttl_ms = answer->ttl_ms > INT64_MAX ? INT64_MAX : (int64_t) answer->ttl_ms,
        .brokers = broker_list,
        .round_trip_us = now_us - self->sent_us,
        .retransmissions = self->retransmissions,
    };
    self->registered = true;
    tell (self, self->known ? WEFT_HEART_UPDATED : WEFT_HEART_NEW, &view);
    self->known = true;

    weft_beat_t next = next_beat (self, interval_ms);
    if (self->beater)
        self->beater (&view, &next, self->beater_arg);
    if (next.kind == WEFT_BEAT_NONE)
        end (self, WEFT_OK, &view);
    else
        rest (self, next, now_us);
}

void heart_refused (heart_t *self, const wire_refused_t *refused, int64_t now_us)
{
    static const char *const none [] = {NULL};

    const bool asking = self->state == HEART_ASKING;

    if (refused->status == WEFT_NO_WORKERS && self->registered && (asking || self->state == HEART_RESTING)) {
        self->registered = false; /* it forgot us: it was restarted */
        ask (self, now_us);
        return;
    }
    if (!asking)
        return; /* it is about something else */
    snprintf (self->text, sizeof self->text, "%.*s", TEXT_ARG (refused->text));
    const weft_beat_answer_t view = {
        .sequence = self->sequence,
        .rejected = true,
        .status = refused->status,
        .text = self->text,
        .brokers = none,
        .round_trip_us = now_us - self->sent_us,
        .retransmissions = self->retransmissions,
    };
    end (self, refused->status, &view);
}

/*  ------------------------------------------------------------------ time and will  */

static void try_again (heart_t *self, int64_t now_us)
{
    if (self->retransmissions >= self->beat.retries) {
        snprintf (self->text, sizeof self->text, "no answer from the registry within %" PRId64 " ms",
                  self->beat.timeout_ms * (self->beat.retries + 1));
        end (self, WEFT_BROKER_LOST, NULL);
        return;
    }
    self->retransmissions++;
    self->due_us = after_ms (now_us, self->beat.timeout_ms);
    if (self->connected)
        self->to_send = self->beat.kind == WEFT_BEAT_REGISTER ? HEART_REGISTER : HEART_BEAT;
    tell (self, WEFT_HEART_RETRIED, NULL);
}

void heart_tick (heart_t *self, int64_t now_us)
{
    if (now_us < heart_next_us (self))
        return;
    if (self->state == HEART_ASKING)
        try_again (self, now_us);
    else
        ask (self, now_us);
}

int64_t heart_next_us (const heart_t *self)
{
    return self->state == HEART_ASKING || self->state == HEART_RESTING ? self->due_us : DEADLINES_NEVER;
}

void heart_hurry (heart_t *self, int64_t now_us)
{
    if (self->state == HEART_RESTING)
        self->due_us = now_us;
}

void heart_cancel (heart_t *self)
{
    if (self->state == HEART_ENDED)
        return;
    snprintf (self->text, sizeof self->text, "cancelled");
    end (self, WEFT_CANCELLED, NULL);
}

heart_send_t heart_take (heart_t *self, int64_t now_us)
{
    const heart_send_t send = self->connected ? self->to_send : HEART_NOTHING;

    self->to_send = HEART_NOTHING;
    if (send != HEART_NOTHING)
        self->sent_us = now_us;
    return send;
}

/*  ------------------------------------------------------------------ writing  */

void heart_write_options (buffer_t *out, const char *const *options)
{
    uint32_t count = 0;

    while (options && options [count])
        count++;
    mp_write_map (out, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *equals = strchr (options [i], '=');
        mp_write_str (out, options [i], equals ? (size_t) (equals - options [i]) : strlen (options [i]));
        mp_write_text (out, equals ? equals + 1 : "");
    }
}

void heart_write_beat (const heart_t *self, buffer_t *out)
{
    mp_write_array (out, self->beat.options ? 4 : 3);
    mp_write_uint (out, WIRE_BEAT);
    mp_write_uint (out, self->sequence);
    mp_write_array (out, 4);
    for (size_t i = 0; i < 4; i++)
        mp_write_uint (out, self->beat.load [i]);
    if (self->beat.options)
        heart_write_options (out, self->beat.options);
}
