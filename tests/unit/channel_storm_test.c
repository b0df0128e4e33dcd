/* SPDX-License-Identifier: MPL-2.0
 *
 *  Whatever peers send, and however links come and go: no crash, and one outcome for every call. All from a
 *  seed, which is printed: `channel_storm_test` with WEFT_SEED=n runs that storm alone. */

#include <stdio.h>
#include <stdlib.h>
#include "check.h"
#include "stage.h"

#define FRAMES    2500 /* per storm */
#define CALLS_MAX 200

static dice_t dice;
static weft_call_t *calls [CALLS_MAX];
static size_t call_count;
static uint64_t outcomes, started, directly, seen [WEFT_STATUS_COUNT];

static uint64_t roll (uint64_t below)
{
    return dice_below (&dice, below);
}

/*  Requests that went out lately: what a reply should be to, if it is to find anybody. */
#define HEARD_MAX 32
static struct {
    uint64_t alias, id;
    bool watch;
} heard [HEARD_MAX], target;
static size_t heard_count;

static void hear (void)
{
    for (const stage_record_t *record; (record = stage_record (WIRE_REQUEST)); heard_count++) {
        const size_t at = heard_count % HEARD_MAX;
        heard [at].alias = record->alias;
        heard [at].id = record->id;
        heard [at].watch = strcmp (record->method, "weft.Registry.Watch") == 0;
    }
    stage_forget ();
}

/*  Mostly one that was heard, now and then anything. */
static void aim (void)
{
    const size_t known = heard_count < HEARD_MAX ? heard_count : HEARD_MAX;
    if (known && roll (8))
        target = heard [roll (known)];
    else {
        target.alias = roll (stage.channel.endpoints.by_alias.last + 2);
        target.id = roll (2) ? dice_next (&dice) : roll (stage.channel.requests.last + 2);
        target.watch = roll (2);
    }
}

static void write_list (buffer_t *out)
{
    static const char *const states [] = {"alive", "alive", "alive", "suspect", "draining", "gone", "odd"};
    const uint32_t rows = (uint32_t) roll (5);
    buffer_t body;
    buffer_init (&body, 65536);
    mp_write_array (&body, 5);
    mp_write_uint (&body, roll (4));
    mp_write_uint (&body, roll (4));
    mp_write_bool (&body, roll (2));
    mp_write_array (&body, rows);
    for (uint32_t i = 0; i < rows; i++) {
        char uuid [8];
        snprintf (uuid, sizeof uuid, "w%d", (int) roll (6));
        mp_write_array (&body, 12);
        mp_write_text (&body, uuid);
        mp_write_uint (&body, roll (3));
        mp_write_array (&body, 0);
        mp_write_array (&body, 1);
        mp_write_text (&body, "tcp://x:1");
        for (int n = 0; n < 3; n++)
            mp_write_uint (&body, roll (5));
        mp_write_text (&body, states [roll (7)]);
        for (int n = 0; n < 2; n++)
            mp_write_text (&body, "");
        for (int n = 0; n < 2; n++)
            mp_write_uint (&body, 1);
    }
    mp_write_array (&body, 1);
    mp_write_array (&body, 2);
    mp_write_text (&body, "Get");
    mp_write_uint (&body, roll (2));
    wire_write_item (out, target.id, 0, body.data, body.size, false);
    buffer_fini (&body);
}

static void write_reply (buffer_t *out)
{
    static const char text [] = "a text that explains it";
    wire_info_t info = wire_info_none ();
    info.executed = (int) roll (4) - 1;
    info.text = (text_t){text, roll (sizeof text)};
    info.retry_after_ms = roll (3);
    const bool attached = roll (8) == 0;
    wire_write_reply (out, target.id, roll (2) ? WEFT_OK : (weft_status_t) roll (25),
                      attached ? NULL : "\x07", attached ? 0 : 1, attached, &info);
}

static void write_record (buffer_t *out)
{
    static const char *const brokers [] = {"tcp://b1:1", "tcp://b7:1", "odd", NULL};
    switch (roll (20)) {
    case 0:
        wire_write_welcome (out, text_of ("msgpack"), roll (2) * 1000, 10, "server", brokers);
        break;
    case 1:
        if (roll (4) == 0)
            wire_write_refused (out, (weft_status_t) roll (20), "no");
        break;
    case 2:
        if (roll (4) == 0)
            wire_write_draining (out, "");
        break;
    case 3:
        if (roll (4) == 0)
            wire_write_goodbye (out, "");
        break;
    case 4:
        wire_write_credit (out, target.id, roll (5));
        wire_write_cancel (out, target.id);
        break;
    default:
        if (target.watch && roll (8))
            write_list (out);
        else
            write_reply (out);
    }
}

/*  Damages a few bytes, cuts the end off, or appends noise. */
static void mutate (buffer_t *out)
{
    if (out->size == 0)
        return;
    for (uint64_t i = roll (4); i > 0; i--)
        out->data [roll (out->size)] = (uint8_t) dice_next (&dice);
    if (roll (6) == 0)
        buffer_truncate (out, roll (out->size) + 1);
    for (uint64_t i = roll (6) == 0 ? roll (40) : 0; i > 0; i--) {
        const uint8_t noise = (uint8_t) dice_next (&dice);
        buffer_append (out, &noise, 1);
    }
}

static void send_frame (void)
{
    buffer_t out;
    message_t message;
    buffer_init (&out, 1 << 20);
    message_init (&message);
    aim ();
    for (uint64_t i = roll (3) + 1; i > 0; i--)
        write_record (&out);
    if (roll (3) == 0)
        mutate (&out);
    message_add_bytes (&message, out.data, out.size);
    for (uint64_t i = roll (3); i > 0; i--)
        message_add_bytes (&message, "\x91\x05", roll (3));
    channel_message (&stage.channel, target.alias, &message, stage.now_us);
    message_fini (&message);
    buffer_fini (&out);
}

static void start_call (void)
{
    static const char *const methods [] = {"Test.Get",           "Test.Set",         "Other.Get",
                                           "weft.Registry.List", "weft.Worker.Ping", "bad"};
    static const char *const workers [] = {NULL, NULL, NULL, "w1", "w5", "nobody"};
    const weft_call_options_t options = {.timeout_ms = (int) roll (400) + 1,
                                         .connect_timeout_ms = (int) roll (400) + 1,
                                         .via = (weft_via_t) roll (4),
                                         .balance = (weft_balance_t) roll (9),
                                         .retry = (weft_retry_t) roll (5),
                                         .backup_ms = (int) roll (20),
                                         .key = roll (2) ? "key" : NULL,
                                         .worker = workers [roll (6)],
                                         .request_key = roll (4) ? NULL : "request"};
    calls [call_count++] = stage_call (methods [roll (6)], &options);
    started++;
}

static void end_call (size_t at)
{
    CHECK (stage_done (calls [at]));
    CHECK (weft_call_status (calls [at]) < WEFT_STATUS_COUNT);
    outcomes++;
    seen [weft_call_status (calls [at])]++;
    directly += weft_call_direct (calls [at]);
    stage_free (calls [at]);
    calls [at] = calls [--call_count];
}

static void move_links (void)
{
    static const transport_event_kind_t events [] = {TRANSPORT_LOST, TRANSPORT_FAILED, TRANSPORT_REFUSED,
                                                     TRANSPORT_ACCEPTED};
    const uint64_t last = stage.channel.endpoints.by_alias.last;
    const bool other = stage.channel.broker != stage.channel.broker_links && roll (4);
    const uint64_t broker = other ? CHANNEL_OTHER_BROKER : CHANNEL_BROKER;
    const uint64_t alias = roll (2) ? broker : last - roll (last < 6 ? last + 1 : 6);
    stage_link (alias, roll (8) ? TRANSPORT_READY : events [roll (4)]);
}

static void step (void)
{
    if (call_count < CALLS_MAX && roll (3) == 0)
        start_call ();
    if (call_count && roll (20) == 0)
        channel_cancel (&stage.channel, calls [roll (call_count)], stage.now_us);
    if (roll (3) == 0)
        move_links ();
    if (roll (4) == 0)
        stage_pass ((int64_t) roll (5000));
    send_frame ();
    for (size_t i = call_count; i-- > 0;)
        if (stage_done (calls [i]))
            end_call (i);
    hear ();
}

static void storm (uint64_t seed)
{
    printf ("WEFT_SEED=%llu\n", (unsigned long long) seed);
    fflush (stdout);
    dice_init (&dice, seed);
    call_count = outcomes = started = heard_count = 0;
    channel_options_t options = stage_options ();
    options.seed = seed;
    options.brokers = seed % 2 ? "tcp://b1:1" : "tcp://b1:1,tcp://b2:1";
    stage_begin (&options);
    stage.channel.observed = true;
    for (int i = 0; i < FRAMES; i++)
        step ();
    channel_close (&stage.channel, stage.now_us);
    while (call_count)
        end_call (call_count - 1);
    CHECK_INT (outcomes, started);
    CHECK (channel_stats (&stage.channel).malformed > 0);
    CHECK_INT (channel_stats (&stage.channel).finished, started);
    stage_end ();
}

TEST (ten_thousand_odd_frames_leave_every_call_one_outcome)
{
    const char *chosen = getenv ("WEFT_SEED");
    if (chosen)
        storm (strtoull (chosen, NULL, 10));
    for (uint64_t seed = 1; !chosen && seed <= 4; seed++)
        storm (seed);
    /* it was no dull storm */
    CHECK (chosen || (seen [WEFT_OK] > 200 && seen [WEFT_WORKER_LOST] > 10 && seen [WEFT_BROKER_LOST] > 10 &&
                      directly > 100));
}

TEST (noise_alone_is_counted_and_harms_nobody)
{
    const uint64_t alias = stage_begin_connected ();
    dice_init (&dice, 11);
    weft_call_t *call = stage_call ("Test.Get", NULL);
    const uint64_t id = stage_request ("Test.Get")->id;
    for (int i = 0; i < 2000; i++) {
        buffer_t out;
        buffer_init (&out, 4096);
        for (uint64_t n = roll (60) + 1; n > 0; n--) {
            const uint8_t byte = (uint8_t) (0xa0 | dice_next (&dice)); /* no record: those begin as arrays */
            buffer_append (&out, &byte, 1);
        }
        stage_say (roll (2) ? alias : CHANNEL_BROKER, &out);
        stage_forget ();
        buffer_fini (&out);
    }
    CHECK_INT (channel_stats (&stage.channel).malformed, 2000);
    stage_reply (alias, id, 3);
    CHECK_INT (stage_result (call), 3);
    stage_free (call);
    stage_end ();
}
