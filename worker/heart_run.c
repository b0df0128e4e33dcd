/* SPDX-License-Identifier: MPL-2.0
 *
 *  heart_run.c - a heart with a socket: registers and beats on the thread that asks for it.
 *
 *  What is sent when is decided in heart.c. Here a connection is opened, and opened anew after a loss, and
 *  the requests are written. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "heart.h"
#include "transport.h"
#include "uplink.h"

#define REOPEN_US 20000 /* between two attempts to connect */
#define LINGER_MS 1000
#define WOKEN     16    /* from another thread; beside the marks of uplink.h */

struct weft_heart {
    char broker [WEFT_ENDPOINT_MAX + 1];
    weft_registrant_t registrant;
    char uuid [UUID_SIZE + 1];
    uint64_t incarnation;
    heart_t heart;
    uplink_t uplink;
    outbox_t outbox;
    int64_t reopen_us;      /* when to connect again; NEVER while connected */
    sleeper_t sleeper;
    int wake_fd;
    char error [WEFT_TEXT_MAX + 1];
};

static bool is_right (const char *broker, const weft_registrant_t *registrant)
{
    const char *fault;
    return broker && transport_endpoint_valid (broker, false, &fault) && registrant && registrant->service
           && registrant->endpoints && registrant->endpoints [0];
}

weft_heart_t *weft_heart_new (const char *broker, const weft_registrant_t *registrant)
{
    weft_heart_t *self = is_right (broker, registrant) ? calloc (1, sizeof *self) : NULL;

    if (!self)
        return NULL;
    snprintf (self->broker, sizeof self->broker, "%s", broker);
    self->registrant = *registrant;
    clock_uuid (self->uuid);
    heart_init (&self->heart);
    outbox_init (&self->outbox, WEFT_OUTBOX_MAX);
    self->sleeper = (sleeper_t){-1, -1, 0};
    self->wake_fd = transport_wake_open ();
    if (self->wake_fd < 0 || !sleeper_open (&self->sleeper)
        || !sleeper_add (&self->sleeper, self->wake_fd, WOKEN))
        weft_heart_destroy (&self);
    return self;
}

void weft_heart_destroy (weft_heart_t **self_p)
{
    weft_heart_t *self = *self_p;

    *self_p = NULL;
    if (!self)
        return;
    outbox_fini (&self->outbox);
    sleeper_close (&self->sleeper);
    if (self->wake_fd >= 0)
        close (self->wake_fd);
    free (self);
}

void weft_heart_set_beater (weft_heart_t *self, weft_beater_fn *beater, void *arg)
{
    self->heart.beater = beater;
    self->heart.beater_arg = arg;
}

void weft_heart_set_observer (weft_heart_t *self, weft_heart_event_fn *observer, void *arg)
{
    self->heart.observer = observer;
    self->heart.observer_arg = arg;
}

void weft_heart_cancel (weft_heart_t *self)
{
    transport_wake (self->wake_fd);
}

const char *weft_heart_error (const weft_heart_t *self)
{
    return self->error;
}

/*  ------------------------------------------------------------------ what is said  */

static void write_hello (weft_heart_t *self)
{
    static const char *const codecs [] = {"msgpack", NULL};

    wire_write_hello (outbox_open_record (&self->outbox), "worker", codecs,
                      self->registrant.name ? self->registrant.name : "", NULL);
    outbox_close_record (&self->outbox, NULL);
}

static void write_register (weft_heart_t *self)
{
    const weft_registrant_t *who = &self->registrant;
    const uint64_t cores = who->cores ? who->cores : (uint64_t) clock_cores ();
    buffer_t *out = outbox_open_record (&self->outbox);

    if (self->heart.retransmissions == 0 || !self->incarnation)
        self->incarnation++;
    wire_write_register_begin (out, self->uuid, self->incarnation, 1);
    mp_write_array (out, 3);
    mp_write_text (out, who->service);
    mp_write_text (out, "");
    mp_write_array (out, 0);
    wire_write_register_end (out, who->endpoints, cores, NULL, "", (uint64_t) getpid (), 0);
}

/*  Writes what the heart wants to say. */
static void write_due (weft_heart_t *self, int64_t now_us)
{
    switch (heart_take (&self->heart, now_us)) {
        case HEART_REGISTER:
            write_register (self);
            break;
        case HEART_BEAT:
            heart_write_beat (&self->heart, outbox_open_record (&self->outbox));
            break;
        case HEART_GOODBYE:
            wire_write_goodbye (outbox_open_record (&self->outbox), "done");
            break;
        case HEART_NOTHING:
            return;
    }
    outbox_close_record (&self->outbox, NULL);
}

/*  ------------------------------------------------------------------ what is heard  */

static void on_record (weft_heart_t *self, const wire_record_t *record, int64_t now_us)
{
    wire_beat_ok_t answer;
    wire_refused_t refused;

    if (record->kind == WIRE_BEAT_OK && wire_read_beat_ok (record, &answer))
        heart_answer (&self->heart, &answer, now_us);
    else if (record->kind == WIRE_REFUSED && wire_read_refused (record, &refused))
        heart_refused (&self->heart, &refused, now_us);
}

static void receive (weft_heart_t *self, int64_t now_us)
{
    message_t message;
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;
    int got;

    message_init (&message);
    while ((got = uplink_receive (&self->uplink, &message, &fault)) != 0) {
        message_cursor_t cursor = message_cursor (&message);
        while (got > 0 && message_next (&cursor, &record, &attachment, &fault) > 0)
            on_record (self, &record, now_us);
        message_clear (&message);
    }
}

/*  Looks after the connection. */
static void connect_again (weft_heart_t *self, int64_t now_us)
{
    if (self->uplink.lost) {
        uplink_close (&self->uplink, 0);
        outbox_clear (&self->outbox);
        heart_lost (&self->heart, now_us);
        self->reopen_us = now_us + REOPEN_US;
    }
    if (now_us < self->reopen_us)
        return;
    self->reopen_us = DEADLINES_NEVER;
    uplink_open (&self->uplink, self->broker);
}

/*  ------------------------------------------------------------------ the loop  */

static void turn (weft_heart_t *self)
{
    const int64_t now_us = clock_now_us ();

    connect_again (self, now_us);
    if (uplink_events (&self->uplink)) { /* after connecting: a descriptor tells of news once */
        write_hello (self);
        heart_connected (&self->heart);
    }
    receive (self, now_us);
    heart_tick (&self->heart, now_us);
    write_due (self, now_us);
    uplink_flush (&self->uplink, &self->outbox);
    receive (self, clock_now_us ()); /* after the last word to the socket, for the same reason */
}

static void sleep_until_news (weft_heart_t *self)
{
    const int64_t now_us = clock_now_us (), heart_us = heart_next_us (&self->heart);
    int64_t next_us = heart_us < self->reopen_us ? heart_us : self->reopen_us;

    if (self->uplink.lost || self->heart.to_send != HEART_NOTHING)
        return;
    if (self->uplink.sender.stalled && next_us > now_us + REOPEN_US)
        next_us = now_us + REOPEN_US;
    if (next_us > now_us + HEART_INTERVAL_MAX_MS * 1000LL)
        next_us = now_us + HEART_INTERVAL_MAX_MS * 1000LL;
    if (!(sleeper_sleep (&self->sleeper, next_us) & WOKEN))
        return;
    transport_wake_clear (self->wake_fd);
    heart_cancel (&self->heart);
}

weft_status_t weft_heart_run (weft_heart_t *self, int64_t timeout_ms, int retries)
{
    void *context = transport_context_acquire ();

    self->error [0] = '\0';
    if (!context) {
        snprintf (self->error, sizeof self->error, "out of memory or descriptors");
        return WEFT_INTERNAL;
    }
    uplink_init (&self->uplink, context, &self->sleeper, 0);
    self->reopen_us = 0;
    self->heart.connected = false;
    heart_begin (&self->heart, timeout_ms, retries, clock_now_us ());
    while (self->heart.state != HEART_ENDED) {
        turn (self);
        if (self->heart.state != HEART_ENDED)
            sleep_until_news (self);
    }
    write_due (self, clock_now_us ());
    uplink_flush (&self->uplink, &self->outbox);
    uplink_close (&self->uplink, LINGER_MS);
    outbox_clear (&self->outbox);
    transport_context_release ();
    snprintf (self->error, sizeof self->error, "%s", self->heart.text);
    return self->heart.status;
}
