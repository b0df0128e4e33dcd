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

static struct {
    weft_call_t *call;
    int64_t due_us;
} calls [CALLS_MAX];
static size_t call_count;
static uint64_t started, ended;

/*  Requests that went out lately: what a reply should be to, if it is to find anybody. */
static struct {
    uint64_t alias, id;
    bool watch;
} heard [HEARD_MAX], target;
static size_t heard_count;

/*  ------------------------------------------------------------------ what it says  */

static void hear (void)
{
    for (const stage_record_t *record; (record = stage_record (WIRE_REQUEST)); heard_count++) {
        const size_t at = heard_count % HEARD_MAX;
        heard [at].alias = record->alias;
        heard [at].id = record->id;
        heard [at].watch = strcmp (record->method, "weft.Registry.Watch") == 0;
        CHECK (record->id > 0 && record->remaining_ms > 0);
        for (size_t i = 0; i < HEARD_MAX && i < heard_count; i++)
            CHECK (i == at || heard [i].id != record->id);
    }
    stage_forget ();
}

/*  ------------------------------------------------------------------ calls  */

static void start_call (input_t *input)
{
    static const char *const methods [] = {"Test.Get", "Test.Set", "Test.None", "Other.Get", "weft.Registry.List",
                                           "weft.Worker.Ping", "bad", ""};
    static const char *const workers [] = {NULL, "w1", "w5", "nobody"};
    const char *const method = methods [input_below (input, 8)];
    const unsigned how = input_byte (input), who = input_byte (input);
    const weft_call_options_t options = {.timeout_ms = 1 << how % 10,
                                         .connect_timeout_ms = 1 << who % 10,
                                         .via = (weft_via_t) (how / 64),
                                         .balance = (weft_balance_t) input_below (input, 9),
                                         .retry = (weft_retry_t) (how / 16 % 4 + (how & 1)),
                                         .backup_ms = (int) (who % 4),
                                         .key = who & 16 ? "key" : NULL,
                                         .worker = who & 32 ? workers [who / 64] : NULL,
                                         .request_key = who & 16 ? "request" : NULL};
    if (call_count == CALLS_MAX)
        return;
    calls [call_count].call = stage_call (method, &options);
    calls [call_count++].due_us = stage.now_us + options.timeout_ms * STAGE_MS;
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
    if (known && which < 224)
        target = heard [which % known];
    else {
        target.alias = input_number (input) % (stage.channel.endpoints.by_alias.last + 2);
        target.id = which & 1 ? input_number (input) : stage.channel.requests.last + which / 2 % 2;
        target.watch = which & 4;
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
        mp_write_uint (&body, how / 2 % 2);
    }
    if (how & 4)
        mp_write_bool (&body, how & 2);
    wire_write_item (out, target.id, 0, body.data, body.size, false);
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
    info.retry_after_ms = what & 64;
    info.broker_us = info.handler_us = what & 32 ? input_number (input) : 0;
    wire_write_reply (out, target.id, (weft_status_t) (what & 128 ? how % 32 : 0), attached ? NULL : "\x07", attached ? 0 : 1,
                      attached, &info);
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
        wire_write_credit (out, target.id, what / 16);
        wire_write_cancel (out, target.id);
        break;
    case 5:
    case 6:
        bytes = input_bytes (input, &size);
        buffer_append (out, bytes, size);
        break;
    case 7:
    case 8:
    case 9:
        write_list (input, out);
        break;
    default:
        if (target.watch && what < 240)
            write_list (input, out);
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
    if (how & 4)
        talk_spoil (input, &out);
    talk_message (&message, &out, how);
    channel_message (&stage.channel, target.alias, &message, stage.now_us);
    message_fini (&message);
    buffer_fini (&out);
}

static void move_link (input_t *input)
{
    static const transport_event_kind_t events [] = {TRANSPORT_LOST, TRANSPORT_FAILED, TRANSPORT_REFUSED, TRANSPORT_ACCEPTED};
    const unsigned how = input_byte (input);
    const uint64_t last = stage.channel.endpoints.by_alias.last;
    const uint64_t alias = how & 1 ? CHANNEL_BROKER : last - how / 2 % 8 % (last + 1);

    stage_link (alias, how < 160 ? TRANSPORT_READY : events [how / 16 % 4]);
}

/*  ------------------------------------------------------------------ the game  */

/*  What an honest shell does: a link whose outbox failed is lost. */
static void lose_failed (void)
{
    size_t position = 0;
    if (stage.channel.broker->outbox.failed)
        stage_link (CHANNEL_BROKER, TRANSPORT_LOST);
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
        if (call_count)
            channel_cancel (&stage.channel, calls [what / 16 % call_count].call, stage.now_us);
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
        stage_pass (STAGE_MS << what / 16 % 10);
        break;
    case 9:
        channel_displace (&stage.channel, input_below (input, 16), what / 16, stage.now_us);
        break;
    default:
        be_told (input);
    }
    lose_failed ();
    hear ();
    collect ();
}

/*  Whatever was: a broker that is there, and answers, is used. */
static void check_serves (void)
{
    const weft_call_options_t options = {.timeout_ms = 60000, .connect_timeout_ms = 60000, .via = WEFT_VIA_BROKER};
    stage_link (CHANNEL_BROKER, TRANSPORT_LOST); /* it may have said that it goes */
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
        stage_link (CHANNEL_BROKER, TRANSPORT_READY);
        stage_welcome (CHANNEL_BROKER);
        request = stage_request ("weft.Registry.List");
        stage.now_us += 100 * STAGE_MS;
        channel_tick (&stage.channel, stage.now_us);
    }
    CHECK (request);
    stage_reply (CHANNEL_BROKER, request->id, 5);
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
