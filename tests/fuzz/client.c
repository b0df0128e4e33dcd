/* SPDX-License-Identifier: MPL-2.0
 *
 *  client.c - a client's channel whose calls are answered by a broker and workers that say what the fuzzer likes, while links and
 *  time come and go.
 *
 *  Held against it: what it sends is well-formed, under ids that no connection has seen before; every call ends once, at its
 *  deadline at the latest; when it is closed nothing is left. */

#include <stdio.h>
#include "check.h"
#include "input.h"
#include "stage.h"
#include "talk.h"

#define CALLS_MAX 64
#define HEARD_MAX 32

typedef struct {
    weft_call_t *call;
    int64_t due_us;
    uint64_t taken;     /* of a stream */
} game_call_t;

static game_call_t calls [CALLS_MAX];
static size_t call_count;
static uint64_t started, ended;

/*  Requests that went out lately: what a reply should be to, if it is to find anybody. */
typedef struct {
    uint64_t alias, id;
    bool watch, stream;
    uint64_t credit, index; /* of a stream: items it may have, all small, and the next one's place */
} heard_t;

static heard_t heard [HEARD_MAX], any, *target;
static size_t heard_count;
static bool spoilt; /* some item may say that it is another */

/*  ------------------------------------------------------------------ what it says  */

static void hear_request (const stage_record_t *record)
{
    const size_t at = heard_count++ % HEARD_MAX;
    for (size_t i = 0; i < HEARD_MAX && i < heard_count - 1; i++)
        CHECK (i == at || heard [i].id != record->id);
    CHECK (record->id > 0 && record->remaining_ms > 0);
    heard [at] = (heard_t){.alias = record->alias, .id = record->id, .credit = record->credit,
                           .watch = strcmp (record->method, "weft.Registry.Watch") == 0, .stream = record->credit > 0};
}

static void hear_credit (const stage_record_t *record)
{
    CHECK (record->id > 0 && record->number > 0);
    for (size_t i = 0; i < HEARD_MAX && i < heard_count; i++)
        if (heard [i].id == record->id) {
            CHECK (heard [i].stream);
            heard [i].credit += record->number;
        }
}

static void hear (void)
{
    for (const stage_record_t *record; (record = stage_any_record ());)
        if (record->kind == WIRE_REQUEST)
            hear_request (record);
        else if (record->kind == WIRE_CREDIT)
            hear_credit (record);
    stage_forget ();
}

/*  ------------------------------------------------------------------ calls  */

static void start_call (input_t *input)
{
    static const char *const methods [] = {"Test.Get", "Test.Set", "Test.None", "Other.Get", "weft.Registry.List",
                                           "weft.Worker.Ping", "bad", "", "Test.None", "Test.None"};
    static const char *const workers [] = {NULL, "w1", "w5", "nobody"};
    const char *const method = methods [input_below (input, 10)];
    const unsigned how = input_byte (input), who = input_byte (input), more = input_byte (input);
    const uint64_t window = more < 128 ? 0 : 1 + more / 9 % 4 * (more & 64);
    const weft_call_options_t options = {.timeout_ms = 1 << how % 10,
                                         .connect_timeout_ms = 1 << who % 10,
                                         .via = (weft_via_t) (how / 64),
                                         .balance = (weft_balance_t) (more % 9),
                                         .retry = (weft_retry_t) (how / 16 % 4 + (how & 1)),
                                         .backup_ms = (int) (who % 4) * WEFT_BACKUP_MS_MIN,
                                         .key = who & 16 ? "key" : NULL,
                                         .worker = who & 32 ? workers [who / 64] : NULL,
                                         .request_key = who & 16 ? "request" : NULL};
    if (call_count == CALLS_MAX)
        return;
    calls [call_count++] = (game_call_t){.call = window ? stage_stream (method, window, &options) : stage_call (method, &options),
                                         .due_us = stage.now_us + options.timeout_ms * STAGE_MS};
    started++;
}

static void end_call (size_t at)
{
    weft_call_t *call = calls [at].call;
    CHECK (stage_done (call));
    CHECK ((unsigned) weft_call_status (call) < WEFT_STATUS_COUNT);
    CHECK (weft_call_status (call) != WEFT_OK || weft_call_executed (call) == WEFT_EXECUTED_YES);
    for (const char *text = weft_call_text (call); *text; text++)
        CHECK ((unsigned char) *text >= ' ');
    stage_free (call);
    calls [at] = calls [--call_count];
    ended++;
}

/*  No stream holds or expects more than its window; the items that are taken are there in the order in which they were sent. */
static void check_streams (void)
{
    for (size_t i = 0; i < call_count; i++) {
        const intake_t *intake = calls [i].call->intake;
        CHECK (!intake || intake->held + intake->promised <= intake->window);
    }
}

static void take_items (input_t *input)
{
    const unsigned how = input_byte (input);
    game_call_t *chosen = call_count ? &calls [how % call_count] : NULL;
    if (!chosen || !chosen->call->intake)
        return;
    for (unsigned n = 1 + how / 64; n > 0; n--) {
        intake_item_t *item = channel_take_item (&stage.channel, chosen->call, stage.now_us);
        if (!item)
            return;
        chosen->taken++;
        CHECK (chosen->call->intake->taken == chosen->taken && item->size <= stage.channel.options.body_max);
        if (item->size && !item->attached && !spoilt)
            CHECK_INT (*(const uint8_t *) intake_bytes (item), (uint8_t) (chosen->taken - 1));
    }
    if (how & 32)
        channel_spoil_item (&stage.channel, chosen->call, "it does not fit", stage.now_us);
}

/*  Those that are over; none may be open beyond its time. */
static void collect (void)
{
    for (size_t i = call_count; i-- > 0;)
        if (stage_done (calls [i].call))
            end_call (i);
        else
            CHECK (stage.now_us < calls [i].due_us + 2 * STAGE_MS);
}

/*  ------------------------------------------------------------------ what it is told  */

/*  Mostly one that was heard, now and then anything. */
static void aim (input_t *input)
{
    const size_t known = heard_count < HEARD_MAX ? heard_count : HEARD_MAX;
    const unsigned which = input_byte (input);
    target = &any;
    if (known && which < 224)
        target = &heard [which % known];
    else {
        any = (heard_t){.watch = which & 4};
        any.alias = input_number (input) % (stage.channel.endpoints.by_alias.last + 2);
        if (!(which & 8) && any.alias == CHANNEL_BROKER)
            any.alias = CHANNEL_OTHER_BROKER;
        any.id = which & 1 ? input_number (input) : stage.channel.requests.last + which / 2 % 2;
    }
}

static void write_row (input_t *input, buffer_t *out)
{
    static const char *const states [] = {"alive", "alive", "alive", "suspect", "draining", "gone", "odd"};
    static const char *const addresses [] = {"tcp://x:1", "tcp://y:1", "ipc:///z", "odd"};
    const unsigned how = input_byte (input), what = input_byte (input);
    char uuid [8];

    snprintf (uuid, sizeof uuid, "w%u", how % 6);
    mp_write_array (out, 12);
    mp_write_text (out, uuid);
    mp_write_uint (out, how / 64);
    mp_write_array (out, 0);
    mp_write_array (out, what & 128 ? 0 : 1);
    if (what < 128)
        mp_write_text (out, addresses [what / 8 % 4]);
    for (unsigned n = 0; n < 3; n++)
        mp_write_uint (out, (how + n) % 5);
    mp_write_text (out, states [what % 7]);
    for (int n = 0; n < 2; n++)
        mp_write_text (out, "");
    for (int n = 0; n < 2; n++)
        mp_write_uint (out, 1);
}

static void write_list (input_t *input, buffer_t *out)
{
    static const char *const names [] = {"Get", "Set", "None"};
    const unsigned how = input_byte (input), methods = how >> 6;
    const uint32_t rows = how >> 3 & 7;
    buffer_t body;

    buffer_init (&body, 65536);
    mp_write_array (&body, how & 4 ? 6 : 5);
    mp_write_uint (&body, input_below (input, 4));
    mp_write_uint (&body, input_below (input, 4));
    mp_write_bool (&body, how & 1);
    mp_write_array (&body, rows);
    for (uint32_t i = 0; i < rows; i++)
        write_row (input, &body);
    mp_write_array (&body, methods);
    for (unsigned i = 0; i < methods; i++) {
        mp_write_array (&body, 2);
        mp_write_text (&body, names [i]);
        mp_write_uint (&body, i == 2 ? 4 : how / 2 % 2);
    }
    if (how & 4)
        mp_write_bool (&body, how & 2);
    wire_write_item (out, target->id, 0, body.data, body.size, false);
    spoilt = spoilt || !target->watch;
    buffer_fini (&body);
}

static void write_reply (input_t *input, buffer_t *out)
{
    static const char text [] = "a text that\nexplains it";
    wire_info_t info = wire_info_none ();
    const unsigned how = input_byte (input), what = input_byte (input);
    const bool attached = how & 128;

    info.executed = (int) (how / 32 % 4) - 1;
    info.text = (text_t){text, what % sizeof text};
    info.retry_after_ms = what & 64 ? how & 16 ? input_number (input) : 64 : 0;
    info.broker_us = info.handler_us = what & 32 ? input_number (input) : 0;
    wire_write_reply (out, target->id, (weft_status_t) (what & 128 ? how % 32 : 0), attached ? NULL : "\x07", attached ? 0 : 1,
                      attached, &info);
}

/*  Each begins with its place in the stream. Mostly the one that is due, now and then another, or one that was not asked for. */
static void write_item (input_t *input, buffer_t *out)
{
    static uint8_t bytes [255];
    const unsigned how = input_byte (input);
    const bool due = how < 192 && target->index < target->credit;
    const uint64_t index = due ? target->index++ : input_number (input);

    bytes [0] = (uint8_t) index;
    wire_write_item (out, target->id, index, how & 32 ? NULL : bytes, how & 32 ? 0 : how % 32, how & 32);
}

static void write_record (input_t *input, buffer_t *out)
{
    static const char *const brokers [] = {"tcp://b1:1", "tcp://b7:1", "odd", NULL};
    static const char *const codecs [] = {"msgpack", "json", "xml"};
    const unsigned what = input_byte (input);
    size_t size;
    const uint8_t *bytes;

    switch (what % 16) {
    case 0:
        wire_write_welcome (out, text_of (codecs [what / 16 % 3]), input_number (input), 10, "server", what & 64 ? brokers : NULL);
        break;
    case 1:
        wire_write_refused (out, (weft_status_t) (what / 16), what & 16 ? "say HELLO first" : "no");
        break;
    case 2:
        wire_write_draining (out, "soon");
        break;
    case 3:
        wire_write_goodbye (out, "now");
        break;
    case 4:
        wire_write_credit (out, target->id, what / 16);
        wire_write_cancel (out, target->id);
        break;
    case 5:
    case 6:
        spoilt = true;
        bytes = input_bytes (input, &size);
        buffer_append (out, bytes, size);
        break;
    case 7:
    case 8:
    case 9:
        write_list (input, out);
        break;
    default:
        if (target->watch && what < 240)
            write_list (input, out);
        else if (target->stream && what / 16 % 4)
            write_item (input, out);
        else
            write_reply (input, out);
    }
}

static void be_told (input_t *input)
{
    const unsigned how = input_byte (input);
    buffer_t out;
    message_t message;

    buffer_init (&out, 1 << 20);
    aim (input);
    for (unsigned n = 1 + how % 4; n > 0; n--)
        write_record (input, &out);
    spoilt = spoilt || how & 4;
    if (how & 4)
        talk_spoil (input, &out);
    talk_message (&message, &out, how);
    channel_message (&stage.channel, target->alias, &message, stage.now_us);
    message_fini (&message);
    buffer_fini (&out);
}

static void move_link (input_t *input)
{
    static const transport_event_kind_t events [] = {TRANSPORT_LOST, TRANSPORT_FAILED, TRANSPORT_REFUSED, TRANSPORT_ACCEPTED};
    const unsigned how = input_byte (input);
    const uint64_t last = stage.channel.endpoints.by_alias.last;
    const bool other = stage.channel.broker != stage.channel.broker_links && how & 14;
    const uint64_t broker = other ? CHANNEL_OTHER_BROKER : CHANNEL_BROKER;
    const uint64_t alias = how & 1 ? broker : last - how / 2 % 8 % (last + 1);

    stage_link (alias, how < 160 ? TRANSPORT_READY : events [how / 16 % 4]);
}

/*  ------------------------------------------------------------------ the game  */

/*  What an honest shell does: a link whose outbox failed is lost. */
static void lose_failed (void)
{
    size_t position = 0;
    for (size_t i = 0; i < 2; i++)
        if (stage.channel.broker_links [i].outbox.failed)
            stage_link (stage.channel.broker_links [i].alias, TRANSPORT_LOST);
    for (endpoint_t *endpoint; (endpoint = table_next (&stage.channel.endpoints.by_uuid, &position));)
        if (endpoint->link.outbox.failed) {
            stage_link (endpoint->link.alias, TRANSPORT_LOST);
            position = 0;
        }
}

static void act (input_t *input)
{
    const unsigned what = input_byte (input);

    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        start_call (input);
        break;
    case 3:
        if (call_count && what >= 128)
            channel_cancel (&stage.channel, calls [what / 16 % call_count].call, stage.now_us);
        else
            take_items (input);
        break;
    case 4:
    case 5:
    case 6:
        move_link (input);
        break;
    case 7:
        stage_pass ((int64_t) 1 << what / 16 % 16);
        break;
    case 8:
        if (what < 160)
            stage_pass (STAGE_MS << what / 16);
        else /* a clock that jumps, by up to a year */
            channel_tick (&stage.channel, stage.now_us += (int64_t) 1 << (20 + input_below (input, 25)));
        break;
    case 9:
        channel_displace (&stage.channel, input_below (input, 16), what / 16, stage.now_us);
        break;
    default:
        be_told (input);
    }
    lose_failed ();
    while (channel_next_fresh (&stage.channel)) {
    }
    hear ();
    check_streams ();
    collect ();
}

/*  Whatever was: a broker that is there, and answers, is used. */
static void check_serves (void)
{
    const weft_call_options_t options = {.timeout_ms = 60000, .connect_timeout_ms = 60000, .via = WEFT_VIA_BROKER};
    stage_link (CHANNEL_BROKER, TRANSPORT_LOST); /* it may have said that it goes */
    stage_link (CHANNEL_OTHER_BROKER, TRANSPORT_LOST);
    for (int turn = 0; turn < 200; turn++) {     /* all that is open ends; what was put off is due */
        stage.now_us += 100 * STAGE_MS;
        channel_tick (&stage.channel, stage.now_us);
        stage_forget ();
    }
    for (size_t i = call_count; i-- > 0;)
        end_call (i);
    weft_call_t *call = stage_call ("weft.Registry.List", &options);
    const stage_record_t *request = NULL;
    for (int turn = 0; turn < 100 && !request; turn++) {
        stage_link (stage.channel.broker->alias, TRANSPORT_READY);
        stage_welcome (stage.channel.broker->alias);
        request = stage_request ("weft.Registry.List");
        stage.now_us += 100 * STAGE_MS;
        channel_tick (&stage.channel, stage.now_us);
    }
    CHECK (request);
    stage_reply (request->alias, request->id, 5);
    CHECK_INT (stage_result (call), 5);
    stage_free (call);
    stage_forget ();
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    input_t input = input_of (data, size);
    channel_options_t options = stage_options ();
    const unsigned how = input_byte (&input);

    call_count = heard_count = 0;
    started = ended = 0;
    spoilt = false;
    options.seed = how;
    options.brokers = how & 1 ? "tcp://b1:1" : "tcp://b1:1,tcp://b2:1";
    options.calls_max = how & 2 ? 3 : 1000;
    options.body_max = how & 4 ? 100 : 100000;
    stage_begin (&options);
    stage.channel.observed = how & 8;
    while (input_left (&input))
        act (&input);
    input_over ();
    check_serves ();
    channel_close (&stage.channel, stage.now_us);
    while (call_count)
        end_call (call_count - 1);
    CHECK_INT (ended, started);
    CHECK_INT (channel_stats (&stage.channel).finished, started + 1);
    stage_end ();
    return 0;
}
