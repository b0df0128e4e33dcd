/* SPDX-License-Identifier: MPL-2.0
 *
 *  broker.c - the broker's core among six peers who say what the fuzzer likes, while connections and time come and go.
 *
 *  Held against it: what it sends is well-formed; who asks is answered once, and nobody else is; no worker is given more than its
 *  window; when the workers are gone no call is open, and when all are gone nothing is left. */

#include "broker_harness.h"
#include "input.h"
#include "log.h"
#include "talk.h"

#define PLAYERS 6

typedef struct {
    peer_t *peer;           /* NULL: not connected */
    asks_t asks;
    uint64_t held [ASKS_MAX]; /* requests given to it that it has not answered */
    size_t held_count;
    uint64_t window;        /* the widest it ever said */
    bool guessed;           /* it answered what it was not given: its window proves nothing */
} player_t;

static player_t players [PLAYERS];
static uint64_t beats;

/*  ------------------------------------------------------------------ who comes and goes  */

static void come (player_t *self)
{
    static const char *const addresses [PLAYERS] = {"10.0.0.5", "10.0.0.5", "10.0.0.6", "127.0.0.1", "::1", ""};
    static uint32_t number;
    number++;
    self->peer = broker_peer_open (broker, &number, sizeof number, addresses [self - players], now_us);
    if (!self->peer)
        return;
    asks_begin (&self->asks);
    self->held_count = 0;
    self->window = 0;
    self->guessed = false;
}

static void part (player_t *self)
{
    if (self->peer)
        lose (self->peer);
    self->peer = NULL;
}

static void drop_doomed (void)
{
    peer_t *doomed;
    while ((doomed = broker_next_doomed (broker))) {
        size_t at = 0;
        while (at < PLAYERS && players [at].peer != doomed)
            at++;
        CHECK (at < PLAYERS);
        part (&players [at]);
    }
}

/*  ------------------------------------------------------------------ what they are told  */

static void hear_request (player_t *self, const wire_record_t *record)
{
    CHECK (self->peer->role == ROLE_WORKER && record->id != 0);
    for (size_t i = 0; i < self->held_count; i++)
        CHECK (self->held [i] != record->id);
    CHECK (self->held_count < ASKS_MAX);
    self->held [self->held_count++] = record->id;
    CHECK (self->guessed || self->held_count <= self->window);
}

static void hear_record (void *peer, const wire_record_t *record)
{
    player_t *self = peer;
    wire_welcome_t welcome;
    wire_refused_t refused;
    wire_beat_ok_t beat_ok;
    text_t text;

    switch (record->kind) {
    case WIRE_WELCOME:
        CHECK (wire_read_welcome (record, &welcome));
        break;
    case WIRE_REFUSED:
        CHECK (wire_read_refused (record, &refused));
        break;
    case WIRE_REQUEST:
        hear_request (self, record);
        break;
    case WIRE_REPLY:
    case WIRE_ITEM:
        asks_hear (&self->asks, record);
        break;
    case WIRE_BEAT_OK:
        CHECK (wire_read_beat_ok (record, &beat_ok));
        break;
    case WIRE_DRAINING:
    case WIRE_GOODBYE:
        CHECK (wire_read_text (record, &text));
        break;
    default:
        CHECK (record->kind == WIRE_CREDIT || record->kind == WIRE_CANCEL);
    }
}

/*  One message, or all that wait. */
static void hear (player_t *self, bool all)
{
    message_t message;

    message_init (&message);
    while (self->peer && broker_take (broker, self->peer, &message, now_us)) {
        talk_hear (&message, hear_record, self);
        message_clear (&message);
        if (!all)
            break;
    }
    message_fini (&message);
}

/*  ------------------------------------------------------------------ what they say  */

static uint64_t pick_held (input_t *input, const player_t *self)
{
    const unsigned which = input_byte (input);
    return which < 250 && self->held_count ? self->held [which % self->held_count] : input_number (input);
}

static void write_hello (input_t *input, buffer_t *out)
{
    static const char *const roles [] = {"client", "worker", "client", "worker", "broker", "odd"};
    static const char *const all [] = {"msgpack", "json", "raw", "xml", NULL};
    const unsigned choice = input_byte (input);
    const char *const codecs [] = {all [choice / 6 % 4], NULL};
    wire_write_hello (out, roles [choice % 6], choice > 200 ? all : codecs, "fuzz", NULL);
}

static void write_request (input_t *input, player_t *self, buffer_t *out)
{
    static const char *const methods [] = {"A.Add",     "A.Add", "A.Next", "B.Add", "C.Add", "A.None",
                                           "Nobody.Is", "bad",   "",       "weft.Worker.Ping"};
    static const char *const codecs [] = {"", "", "json", "raw", "xml"};
    static const uint32_t times [] = {5000, FOREVER, 1, 100, 0, 60000};
    const char *const method = methods [input_below (input, 10)];
    const uint64_t id = asks_pick (&self->asks, input);
    const unsigned how = input_byte (input), more = how & 64 ? input_byte (input) : 0;
    const wire_options_t options = {.worker = text_of (how & 16 ? uuid (input_below (input, 4)) : ""),
                                    .codec = text_of (how & 32 ? codecs [input_below (input, 5)] : ""),
                                    .request_key = talk_request_key (how & 64 ? more : 2),
                                    .credit = more & 8 ? input_number (input) : 0};
    size_t size;
    const uint8_t *body = input_bytes (input, &size);
    wire_write_request (out, id, text_of (method), times [how % 6], body, size, how & 128, &options);
}

static void write_registry_request (input_t *input, player_t *self, buffer_t *out)
{
    static const char *const services [] = {"A", "B", "C", "", "weft", "none.such"};
    const unsigned how = input_byte (input);
    const char *const service = services [input_below (input, 6)];
    const codec_t codec = self->peer && self->peer->codec == CODEC_JSON ? CODEC_JSON : CODEC_MSGPACK;
    const char *method;
    codec_error_t error;
    buffer_t body;

    buffer_init (&body, 1 << 16);
    if (how % 4 == 0) {
        method = "weft.Registry.Watch";
        codec_encode (codec, WEFT_IN (watch_args, &((watch_args){service})), &body, &error);
    } else if (how % 4 == 1) {
        method = "weft.Registry.List";
        codec_encode (codec, WEFT_IN (list_args, &((list_args){.service = service, .has_service = how & 4})), &body, &error);
    } else if (how % 4 == 2) {
        method = "weft.Registry.Describe";
        const describe_args args = {.name = how & 8 ? uuid (how % 4) : service, .has_name = how & 4};
        codec_encode (codec, WEFT_IN (describe_args, &args), &body, &error);
    } else {
        method = how & 4 ? "weft.Registry.Odd" : "weft.Registry.Drain";
        codec_encode (codec, WEFT_IN (drain_args, &((drain_args){uuid (input_below (input, 4))})), &body, &error);
    }
    wire_write_request (out, asks_pick (&self->asks, input), text_of (method), how & 16 ? FOREVER : 1000, body.data, body.size,
                        false, NULL);
    buffer_fini (&body);
}

static void write_type (buffer_t *out, unsigned which)
{
    if (which % 4 < 2)
        mp_write_text (out, which % 2 ? "any" : "int64");
    else if (which % 4 == 2) {
        mp_write_array (out, 2);
        mp_write_text (out, "array");
        mp_write_text (out, "string");
    } else {
        mp_write_array (out, 4);
        mp_write_text (out, "struct");
        mp_write_text (out, "pair");
        mp_write_text (out, "a?");
        mp_write_text (out, "bytes");
    }
}

static void write_some_service (input_t *input, buffer_t *out, const char *name)
{
    const unsigned how = input_byte (input);
    mp_write_array (out, 3);
    mp_write_text (out, name);
    mp_write_text (out, how & 128 ? "2" : "1");
    mp_write_array (out, 1 + how % 2);
    for (unsigned i = 0; i < 1 + how % 2; i++) {
        mp_write_array (out, 4);
        mp_write_text (out, i ? "Next" : "Add");
        mp_write_uint (out, how / 2 % 8);
        write_type (out, how / 16);
        write_type (out, how / 32);
    }
}

static void write_register (input_t *input, buffer_t *out)
{
    static const char *const names [] = {"A", "B", "C"};
    static const char *const lists [] [3] = {{"tcp://*:7000", NULL}, {"tcp://10.0.0.5:1", "ipc:///tmp/x", NULL}, {NULL},
                                            {"tcp://somewhere:1", NULL}, {"odd", NULL}};
    const unsigned who = input_byte (input), which = input_byte (input);
    const uint32_t count = (uint32_t) __builtin_popcount (which & 7);

    wire_write_register_begin (out, who < 248 ? uuid (who % 4) : "odd", 1 + who / 4 % 4, count);
    for (unsigned i = 0; i < 3; i++)
        if (which >> i & 1)
            write_some_service (input, out, names [i]);
    wire_write_register_end (out, lists [which / 8 % 5], 2, NULL, "h", 1, which / 64);
}

/*  A beat as a worker says it, or one with whatever numbers. */
static void write_beat (input_t *input, buffer_t *out)
{
    const uint64_t sequence = input_number (input);
    const unsigned how = input_byte (input);
    wire_load_t load = {how % 4, 2, how & 8 ? 3600000 : 0, how & 16 ? 1 : 0};
    if (how & 128)
        load = (wire_load_t){input_number (input), input_number (input), input_number (input), input_number (input)};
    wire_write_beat (out, sequence, &load);
}

static void write_reply (input_t *input, player_t *self, buffer_t *out)
{
    const uint64_t id = pick_held (input, self);
    const unsigned how = input_byte (input), more = how & 64 ? input_byte (input) : 0;
    wire_info_t info = wire_info_none ();
    size_t size;
    const uint8_t *bytes = input_bytes (input, &size);

    info.executed = (int) (more % 4) - 1;
    info.text = text_of (more & 4 ? "why" : "");
    info.retry_after_ms = more & 8 ? input_number (input) : 0;
    info.handler_us = info.queue_us = more & 16 ? input_number (input) : 0;
    wire_write_reply (out, id, (weft_status_t) (how % 32), bytes, size, how & 128, &info);
}

static void write_record (input_t *input, player_t *self, buffer_t *out)
{
    static const char *const brokers [] = {"tcp://b:1", NULL};
    size_t size;
    const uint8_t *bytes;

    switch (input_below (input, 16)) {
    case 0:
        write_hello (input, out);
        break;
    case 1:
    case 2:
        write_request (input, self, out);
        break;
    case 3:
    case 4:
        write_reply (input, self, out);
        break;
    case 5: {
        const uint64_t id = pick_held (input, self), index = input_number (input);
        bytes = input_bytes (input, &size);
        wire_write_item (out, id, index, bytes, size, size == 7);
        break;
    }
    case 6:
        wire_write_credit (out, 0, input_number (input));
        break;
    case 7:
        wire_write_credit (out, asks_pick (&self->asks, input), input_number (input));
        break;
    case 8:
        wire_write_cancel (out, asks_pick (&self->asks, input));
        break;
    case 9:
        write_register (input, out);
        break;
    case 10:
        write_beat (input, out);
        break;
    case 11:
        wire_write_draining (out, "soon");
        break;
    case 12:
        wire_write_goodbye (out, "now");
        break;
    case 13:
        write_registry_request (input, self, out);
        break;
    case 14:
        bytes = input_bytes (input, &size);
        buffer_append (out, bytes, size);
        break;
    default:
        wire_write_beat_ok (out, 1, 1, 1, brokers);
        wire_write_refused (out, WEFT_INVALID, "no");
    }
}

/*  ------------------------------------------------------------------ what must come of it  */

static void note_reply (player_t *self, uint64_t id)
{
    for (size_t i = 0; i < self->held_count; i++)
        if (self->held [i] == id) {
            self->held [i] = self->held [--self->held_count];
            return;
        }
    self->guessed = true;
}

/*  Reads what is about to be said. Nothing is certain behind a record that may be refused as malformed. */
static void expect (player_t *self, message_t *message)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    wire_options_t options;
    zmq_msg_t *attachment;
    const char *fault;
    bool certain = self->peer->role != ROLE_STRANGER;

    while (message_next (&cursor, &record, &attachment, &fault) > 0)
        switch (record.kind) {
        case WIRE_REQUEST:
            if (record.id == 0 || (mp_left (&record.extra) && !wire_read_options (record.extra, &options)))
                certain = false; /* the rest is read only by who has not said HELLO */
            asks_expect (&self->asks, record.id, certain);
            break;
        case WIRE_REPLY:
            note_reply (self, record.id);
            break;
        case WIRE_CREDIT:
            if (record.id == 0 && record.number > self->window)
                self->window = record.number;
            break;
        case WIRE_REGISTER:
            self->held_count = 0; /* with its registration it starts anew */
            certain = false;
            break;
        case WIRE_ITEM:
        case WIRE_CANCEL:
            break;
        case WIRE_GOODBYE: /* what is open then is never answered */
            asks_give_up (&self->asks);
            certain = false;
            break;
        default:
            certain = false;
        }
}

static void speak (input_t *input, player_t *self)
{
    const unsigned how = input_byte (input);
    buffer_t *out = records ();
    message_t message;

    if (self->asks.count > ASKS_MAX - ASKS_ROOM || self->held_count > ASKS_MAX / 2)
        return;
    for (unsigned n = 1 + how % 4; n > 0; n--)
        write_record (input, self, out);
    if (how & 4)
        talk_spoil (input, out);
    hear (self, true); /* so that what it holds is what it was given before this */
    if (list_linked (&self->peer->doomed))
        return;
    talk_message (&message, out, how);
    expect (self, &message);
    broker_on_message (broker, self->peer, &message, now_us);
    message_fini (&message);
}

/*  ------------------------------------------------------------------ the game  */

/*  Peers choose parts of it, and it goes to a terminal. */
static void check_event (weft_log_level_t level, const char *message, const char *fields, void *arg)
{
    (void) level;
    (void) message;
    (void) arg;
    for (const char *at = fields; *at; at++)
        CHECK ((unsigned char) *at >= ' ' && *at != 127);
}

static broker_settings_t settings_of (input_t *input)
{
    broker_settings_t settings = usual_settings ();
    const unsigned how = input_byte (input);
    if (how & 1)
        settings.calls_max = 1 + how / 16;
    if (how & 2)
        settings.service_queue_max = settings.client_calls_max = 1 + how / 32;
    if (how & 4)
        settings.services_max = settings.watches_max = 1 + how / 64;
    if (how & 8) {
        settings.memory_max = 1000;
        settings.body_max = 100;
        settings.outbox_max = 2000;
        settings.peers_max = 4;
    }
    return settings;
}

static void wait_for (input_t *input)
{
    const unsigned how = input_byte (input);
    if (how < 200)
        pass ((int64_t) 1 << how % 25);
    else
        broker_tick (broker, now_us += (int64_t) 1 << how % 45); /* as one who was stalled, for up to half a year */
}

/*  Beats as they should be, and time for them to pass: a worker's state comes to be known. */
static void beat (input_t *input, player_t *self)
{
    const unsigned how = input_byte (input);
    const wire_load_t load = {how % 4, 2, how & 8 ? 3600000 : 0, how & 16 ? beats : 1};
    for (unsigned n = 1 + how / 64; n > 0 && self->peer && self->peer->worker; n--) {
        say_load (self->peer, ++beats, load);
        drop_doomed ();
        if (how & 32)
            pass (S);
    }
}

static void act (input_t *input)
{
    unsigned what = input_byte (input);
    player_t *self = &players [what % PLAYERS];
    broker_settings_t settings;

    switch (what / PLAYERS) {
    case 0:
        part (self);
        break;
    case 1:
        hear (self, input_byte (input) & 1);
        break;
    case 2:
    case 3:
        wait_for (input);
        break;
    case 4:
        if (self->peer)
            broker_on_fault (broker, self->peer, "too many frames", now_us);
        break;
    case 5:
        what = input_byte (input);
        if (what % 4 == 0)
            broker_drain (broker, now_us);
        else
            beat (input, self);
        break;
    case 6:
        settings = settings_of (input);
        broker_reconfigure (broker, &settings);
        break;
    default:
        if (!self->peer)
            come (self);
        if (self->peer)
            speak (input, self);
    }
    drop_doomed ();
}

/*  Workers go, watchers take back what they asked: then everybody has been answered. */
static void settle (void)
{
    for (int i = 0; i < PLAYERS; i++)
        if (players [i].peer && players [i].peer->role == ROLE_WORKER && players [i].peer->worker)
            part (&players [i]);
    for (int i = 0; i < PLAYERS; i++)
        for (size_t n = 0; players [i].peer && n < players [i].asks.count; n++) {
            say_cancel (players [i].peer, players [i].asks.all [n].id);
            drop_doomed ();
        }
    for (int i = 0; i < PLAYERS; i++) {
        hear (&players [i], true);
        if (players [i].peer)
            asks_check_answered (&players [i].asks);
    }
    CHECK_INT (broker_gauges (broker).calls, 0);
    CHECK_INT (broker_gauges (broker).queued, 0);
    CHECK_INT (broker_gauges (broker).watches, 0);
}

/*  Whatever was: who comes now is served. */
static void check_serves (void)
{
    peer_t *const server = worker_of (9, "A", 5);
    peer_t *const caller = client ();
    say_call (caller, 1, "A.Add", 5000);
    say_reply (server, only (server, WIRE_REQUEST)->id);
    const wire_record_t *reply = only (caller, WIRE_REPLY);
    CHECK_INT (reply->id, 1);
    CHECK_INT (reply->status, WEFT_OK);
    lose (caller);
    lose (server);
}

/*  With nothing to do it asks for no turn now. */
static void check_rest (void)
{
    for (int turn = 0; turn < 20; turn++) {
        broker_tick (broker, now_us);
        for (int i = 0; i < PLAYERS; i++)
            hear (&players [i], true);
        drop_doomed ();
    }
    CHECK (broker->draining || broker_next_us (broker) > now_us); /* one that is drained is to be ended now */
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    input_t input = input_of (data, size);

    beats = 0;
    weft_log_set (WEFT_LOG_DEBUG, check_event, NULL);
    start_with (settings_of (&input));
    while (input_left (&input))
        act (&input);
    input_over ();
    check_rest ();
    settle ();
    if (broker->draining) {
        broker_stop (broker, now_us);
        for (int i = 0; i < PLAYERS; i++)
            hear (&players [i], true);
    }
    for (int i = 0; i < PLAYERS; i++)
        part (&players [i]);
    if (!broker->draining)
        check_serves ();
    finish ();
    return 0;
}
