/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker.c - a worker's session between its brokers and three direct callers who say what the fuzzer likes, while its handlers take
 *  their time, and connections and time come and go.
 *
 *  Held against it: what it sends is well-formed; who asks is answered once, over the connection that asked, and nobody else
 *  is; after a drain it is done and holds nothing. */

#include "input.h"
#include "session_fixture.h"
#include "talk.h"

#define CALLERS     3
#define LINKS       (POSTS + CALLERS) /* first its brokers: where it serves, and where it moves to or comes from */
#define RUNNING_MAX 6             /* as the executor has lanes, and a thread for each stream */

typedef struct {
    session_link_t *link;   /* NULL: not connected */
    asks_t asks; /* on the connection of now */
} player_t;

static fixture_t fixture;
static player_t players [LINKS];
static weft_request_t *running [RUNNING_MAX];
static size_t running_count;

/*  ------------------------------------------------------------------ what it says  */

static void hear_record (void *peer, const wire_record_t *record)
{
    player_t *self = peer;
    wire_register_t registered;
    wire_refused_t refused;
    wire_load_t load;
    wire_hello_t hello;
    wire_welcome_t welcome;
    uint64_t sequence;
    const char *fault = "";
    text_t text;

    switch (record->kind) {
    case WIRE_ITEM:
        asks_hear_item (&self->asks, record);
        /* fall through */
    case WIRE_REPLY:
        asks_hear (&self->asks, record);
        break;
    case WIRE_HELLO:
        CHECK (wire_read_hello (record, &hello, &fault));
        break;
    case WIRE_REGISTER:
        if (!wire_read_register (record, &registered, &fault))
            CHECK_STR (fault, "");
        CHECK_INT (registered.service_count, 1);
        break;
    case WIRE_BEAT:
        CHECK (wire_read_beat (record, &sequence, &load));
        break;
    case WIRE_WELCOME:
        CHECK (wire_read_welcome (record, &welcome));
        break;
    case WIRE_REFUSED:
        CHECK (wire_read_refused (record, &refused));
        break;
    case WIRE_DRAINING:
    case WIRE_GOODBYE:
        CHECK (wire_read_text (record, &text));
        break;
    default:
        CHECK_INT (record->kind, WIRE_CREDIT);
    }
}

static void hear (player_t *self)
{
    message_t message;

    if (!self->link || self->link->outbox.failed)
        return;
    message_init (&message);
    while (outbox_take (&self->link->outbox, &message)) {
        talk_hear (&message, hear_record, self);
        message_clear (&message);
    }
    message_fini (&message);
}

/*  ------------------------------------------------------------------ who comes and goes  */

static void come (player_t *self)
{
    self->link = session_peer_open (&fixture.session, NULL);
    asks_begin (&self->asks);
}

static void part (player_t *self)
{
    if (self->link)
        session_peer_lost (&fixture.session, self->link, fixture.now_us);
    self->link = NULL;
}

static bool is_broker (const player_t *self)
{
    return self < players + POSTS;
}

static post_t *post_at (const player_t *self)
{
    return &fixture.session.posts [self - players];
}

static void connect_broker (player_t *self)
{
    if (post_at (self)->standing.state != STANDING_OPENING)
        return;
    asks_begin (&self->asks);
    self->link = &post_at (self)->link;
    session_link_ready (&fixture.session, self->link, fixture.now_us);
}

static void lose_broker (player_t *self)
{
    if (post_at (self)->standing.state == STANDING_OPENING || self->link)
        session_link_lost (&fixture.session, &post_at (self)->link, WEFT_BROKER_LOST, "gone", fixture.now_us);
    self->link = NULL;
}

/*  The player whose link it is, if it is connected. */
static player_t *player_of (const session_link_t *link)
{
    for (int i = 0; i < LINKS; i++)
        if (players [i].link == link)
            return &players [i];
    return NULL;
}

/*  What an honest shell does after each event. */
static void shell (void)
{
    const char *endpoint;
    standing_command_t command;
    session_link_t *link;

    fixture_take (&fixture);
    session_send_items (&fixture.session, fixture.now_us);
    for (int i = 0; i < POSTS; i++)
        if (players [i].link && players [i].link->outbox.failed)
            lose_broker (&players [i]);
    while ((command = session_command (&fixture.session, &link, &endpoint)) != STANDING_NOTHING) {
        CHECK (command != STANDING_OPEN || (endpoint && *endpoint));
        if (player_of (link))
            player_of (link)->link = NULL; /* closed, or opened: not there yet */
    }
    while ((link = session_next_dirty (&fixture.session)) != NULL)
        if (!player_of (link))
            outbox_clear (&link->outbox); /* there is nowhere to send it */
    for (int i = POSTS; i < LINKS; i++)
        if (players [i].link && (players [i].link->state == LINK_GONE || players [i].link->outbox.failed))
            part (&players [i]);
}

/*  ------------------------------------------------------------------ what they say  */

static void write_request (input_t *input, player_t *self, buffer_t *out)
{
    static const char *const methods [] = {
        "T.Add", "T.AddHere", "T.Echo", "T.Fill", "T.Say", "T.Nothing", "T.Meta", "T.Divide", "T.None", "U.X", "bad",
        "weft.Worker.Ping", "weft.Worker.Stats", "weft.Worker.Describe", "weft.Worker.Odd", "T.Stream", "T.Count", "T.CountHere",
        "T.Stream"};
    static const char *const codecs [] = {"msgpack", "json", "raw", "xml"};
    static const uint32_t times [] = {5000, WIRE_NO_DEADLINE, 1, 100, 0, 60000};
    static const uint8_t meta [] = "\x81\xa6" "colour" "\xa1x";
    const char *const method = methods [input_below (input, 19)];
    const uint64_t id = asks_pick (&self->asks, input);
    const unsigned how = input_byte (input), key = how & 64 ? input_byte (input) : 0;
    const bool streams = strcmp (method, "T.Stream") == 0;
    const wire_options_t options = {.worker = text_of (how & 16 ? UUID : ""),
                                    .codec = text_of (how & 32 ? codecs [input_below (input, 4)] : ""),
                                    .request_key = key & 8 || !streams ? talk_request_key (how & 64 ? key : 2) : text_of (""),
                                    .credit = streams != (bool) (key & 16) ? input_number (input) : 0,
                                    .meta = mp_reader (meta, how & 64 ? sizeof meta - 1 : 0)};
    size_t size;
    const uint8_t *body = input_bytes (input, &size);
    wire_write_request (out, id, text_of (method), times [how % 6], body, size, how & 128, &options);
}

/*  What only a caller, or only a broker, has to say comes from both. */
static void write_record (input_t *input, player_t *self, buffer_t *out)
{
    static const char *const roles [] = {"client", "client", "worker", "broker"};
    static const char *const codecs [] = {"msgpack", "json", "raw", "xml", NULL};
    static const char *const brokers [] = {"tcp://three:3", "odd", NULL};
    const unsigned what = input_below (input, 16), how = input_byte (input);
    const char *const codec [] = {codecs [how / 4 % 4], NULL};
    size_t size;
    const uint8_t *bytes;

    switch (what) {
    case 0:
        wire_write_hello (out, roles [how % 4], codec, "x", how & 64 ? UUID : how & 128 ? "another" : NULL);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        write_request (input, self, out);
        break;
    case 6:
        wire_write_cancel (out, asks_pick (&self->asks, input));
        break;
    case 7:
        wire_write_welcome (out, text_of (codecs [how % 4]), input_number (input), 10, "s", how & 8 ? brokers : NULL);
        break;
    case 8:
        wire_write_beat_ok (out, how % 4, input_number (input), input_number (input), how & 8 ? brokers : NULL);
        break;
    case 9:
        wire_write_refused (out, (weft_status_t) (how % 32), "no");
        break;
    case 10:
        if (how % 4) {
            wire_write_draining (out, "soon");
            break;
        }
        mp_write_array (out, 3); /* an order */
        mp_write_uint (out, WIRE_DRAINING);
        mp_write_text (out, "go");
        mp_write_text (out, UUID);
        break;
    case 11:
        wire_write_goodbye (out, "now");
        break;
    case 12:
        wire_write_credit (out, how & 1 ? 0 : asks_pick (&self->asks, input), input_number (input));
        break;
    case 13:
    case 14:
        bytes = input_bytes (input, &size);
        buffer_append (out, bytes, size);
        break;
    default:
        wire_write_reply (out, how, WEFT_OK, "x", 1, false, NULL);
        wire_write_item (out, how, 1, "x", 1, false);
    }
}

/*  ------------------------------------------------------------------ what must come of it  */

/*  Reads what is about to be said. Nothing is certain behind a record that may end the connection. */
static void expect (player_t *self, message_t *message)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    wire_options_t options;
    zmq_msg_t *attachment;
    const char *fault;
    const standing_t *standing = is_broker (self) ? &post_at (self)->standing : NULL;
    bool certain = standing ? standing_connected (standing) && standing->welcome : self->link->state == LINK_WELCOME;

    while (message_next (&cursor, &record, &attachment, &fault) > 0)
        if (record.kind == WIRE_REQUEST) {
            asks_expect (&self->asks, record.id, certain);
            if (wire_read_options (record.extra, &options))
                asks_credit (&self->asks, record.id, options.credit);
        } else if (record.kind == WIRE_CREDIT)
            asks_credit (&self->asks, record.id, record.number);
        else if (record.kind != WIRE_CANCEL && record.kind != WIRE_REPLY) {
            certain = false;
            if (record.kind == WIRE_REFUSED) /* a broker that has forgotten the worker has forgotten what it asked, too */
                asks_give_up (&self->asks);
        }
}

static void speak (input_t *input, player_t *self)
{
    const unsigned how = input_byte (input);
    buffer_t out = fixture_records ();
    message_t message;

    if (self->asks.count < ASKS_MAX - ASKS_ROOM) {
        for (unsigned n = 1 + how % 4; n > 0; n--)
            write_record (input, self, &out);
        if (how & 4)
            talk_spoil (input, &out);
        talk_message (&message, &out, how);
        expect (self, &message);
        fixture.may_run = how & 8;
        fixture_receive (&fixture, self->link, &message);
        message_fini (&message);
    }
    buffer_fini (&out);
}

/*  ------------------------------------------------------------------ the game  */

static void begin_one (void)
{
    if (running_count == RUNNING_MAX || fixture_take (&fixture) == 0)
        return;
    weft_request_t *request = fixture_begin (&fixture);
    if (request)
        running [running_count++] = request;
}

static void end_one (unsigned which)
{
    if (running_count == 0)
        return;
    weft_request_t *request = running [which % running_count];
    running_count--;
    running [which % (running_count + 1)] = running [running_count];
    fixture_end (&fixture, request);
}

/*  A handler of a stream says some items, and does not wait. */
static void say_items (input_t *input)
{
    static const char bytes [40000];
    const unsigned how = input_byte (input);
    const size_t size = how & 8 ? 0 : how & 16 ? 3000 : how & 32 ? sizeof bytes : how;

    if (running_count == 0 || !running [how % running_count]->stream)
        return;
    weft_request_t *request = running [how % running_count];
    for (unsigned n = 1 + how / 64; n > 0 && stream_may_put (request->stream); n--)
        weft_request_send_item (request, &(weft_bytes){bytes, size});
}

/*  There is no thread for the next one, if it is a stream. */
static void fail_thread (void)
{
    executor_job_t *job = fixture_take (&fixture) ? fixture.held.first : NULL;
    if (job && CONTAINER_OF (job, weft_request_t, job)->stream)
        session_no_thread (&fixture.session, executor_batch_take (&fixture.held), fixture.now_us);
}

static void act_rarely (input_t *input, unsigned what)
{
    switch (what) {
    case 0:
        session_drain (&fixture.session, fixture.now_us);
        break;
    case 1:
        session_quit (&fixture.session, fixture.now_us);
        break;
    case 2:
        session_cancel_all (&fixture.session);
        break;
    case 3:
        fixture_tick (&fixture, (int64_t) 1 << (25 + input_below (input, 20))); /* up to a year: a clock that jumps */
        break;
    default:
        say_items (input);
    }
}

static void act (input_t *input)
{
    const unsigned what = input_byte (input);
    player_t *self = &players [what % LINKS];

    switch (what / LINKS) {
    case 0:
        if (is_broker (self))
            lose_broker (self);
        else
            part (self);
        break;
    case 1:
        hear (self);
        break;
    case 2:
    case 3:
        fixture_tick (&fixture, (int64_t) 1 << input_below (input, 25));
        break;
    case 4:
    case 5:
    case 6:
        begin_one ();
        break;
    case 7:
    case 8:
    case 9:
        end_one (what % LINKS);
        break;
    case 10:
        act_rarely (input, input_below (input, 16));
        break;
    case 11:
        if (self->link)
            session_receive_fault (&fixture.session, self->link, "too many frames", fixture.now_us);
        break;
    case 12:
    case 13:
        if (session_next_us (&fixture.session) != DEADLINES_NEVER)
            fixture_next (&fixture);
        break;
    case 14:
        say_items (input);
        break;
    case 15:
        fail_thread ();
        break;
    default:
        if (!self->link && is_broker (self))
            connect_broker (self);
        else if (!self->link)
            come (self);
        if (self->link)
            speak (input, self);
    }
    shell ();
}

static session_options_t options_of (input_t *input)
{
    session_options_t options = fixture_options (&fixture);
    const unsigned how = input_byte (input);
    if (how & 1)
        options.handler_timeout_us = 50 * MS;
    if (how & 2)
        options.body_max = 100;
    if (how & 4)
        options.queue_max = 0;
    if (how & 8)
        options.peers_max = 1;
    if (how & 16) {
        const unsigned more = input_byte (input);
        options.beat_ms = 1 + how / 32;
        options.streams_max = more % 4;
        options.replies = (replies_limits_t){.count_max = more / 4 % 4, .bytes_max = more & 16 ? 100 : 0, .age_us = more & 32 ? MS : 0};
    }
    return options;
}

/*  Everything that was let in is run, and then everybody has been answered. */
static void settle (void)
{
    while (running_count || fixture_take (&fixture)) {
        begin_one ();
        end_one (0);
        shell ();
    }
    session_settle (&fixture.session);
    shell ();
    for (int i = 0; i < LINKS; i++) {
        hear (&players [i]);
        if (players [i].link && (is_broker (&players [i]) ? standing_connected (&post_at (&players [i])->standing)
                                                          : players [i].link->state == LINK_WELCOME))
            asks_check_answered (&players [i].asks);
    }
    CHECK_INT (session_in_flight (&fixture.session), 0);
    CHECK_INT (fixture.session.requests.stuck, 0);
}

/*  Whatever was: who comes now is served. */
static void check_serves (void)
{
    for (int i = POSTS; i < LINKS; i++)
        part (&players [i]);
    session_link_t *caller = fixture_caller (&fixture);
    fixture_request (&fixture, caller, 1, "T.Nothing", 1000, NULL, 0, NULL);
    fixture_run (&fixture);
    CHECK_INT (fixture_one (&fixture, caller, WIRE_REPLY)->status, WEFT_OK);
    session_peer_lost (&fixture.session, caller, fixture.now_us);
}

static void drain (void)
{
    session_drain (&fixture.session, fixture.now_us);
    for (int turn = 0; turn < 100 && fixture.session.state != SESSION_DONE; turn++) {
        shell ();
        fixture_tick (&fixture, 100 * MS);
    }
    CHECK_INT (fixture.session.state, SESSION_DONE);
    CHECK (session_next_us (&fixture.session) == DEADLINES_NEVER);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    input_t input = input_of (data, size);

    running_count = 0;
    for (int i = 0; i < LINKS; i++)
        players [i].link = NULL;
    fixture_open_with (&fixture, options_of (&input));
    while (input_left (&input) && fixture.session.state != SESSION_DONE)
        act (&input);
    input_over ();
    settle ();
    if (fixture.session.state == SESSION_SERVING || fixture.session.state == SESSION_JOINING)
        check_serves ();
    drain ();
    for (int i = POSTS; i < LINKS; i++)
        part (&players [i]);
    fixture_close (&fixture);
    return 0;
}
