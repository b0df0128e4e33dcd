/* SPDX-License-Identifier: MPL-2.0
 *
 *  client.c - what the client's channel takes for calls: arguments encoded, sent in a frame, answered in one, read. */

#include "cost.h"
#include "check.h"
#include "stage.h"
#include "sample.h"

#define FRAME_MAX 32

static uint64_t peer; /* the alias of the link that is called over */
static weft_call_options_t how;
static weft_call_t *calls [FRAME_MAX];

static void begin_direct (size_t size)
{
    (void) size;
    peer = stage_begin_connected ();
    how = (weft_call_options_t){.via = WEFT_VIA_DIRECT};
}

static void begin_routed (size_t size)
{
    (void) size;
    stage_begin_listed (NULL, 1);
    peer = CHANNEL_BROKER;
    how = (weft_call_options_t){.via = WEFT_VIA_BROKER};
}

static void end (void)
{
    stage_end ();
}

/*  As the shell starts a call with a value. */
static bool start (size_t i)
{
    const arith_args args = {(int64_t) i, 7};
    codec_error_t error;

    calls [i] = call_new (&stage.pool);
    calls [i]->codec = stage.channel.options.codec;
    const bool made = codec_encode (CODEC_MSGPACK, WEFT_IN (arith_args, &args), &calls [i]->args, &error)
                      && call_ask (calls [i], "Test.Get", &how, &stage.channel.options.call)
                      && call_seal_args (calls [i]);
    channel_start (&stage.channel, calls [i], stage.now_us);
    return made;
}

/*  Answers every request of the message: with the sum. */
static void answer (message_t *requests, message_t *replies, size_t count)
{
    message_cursor_t cursor = message_cursor (requests);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;
    buffer_t written, body;

    buffer_init (&written, 1 << 20);
    buffer_init (&body, 64);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 1);
        CHECK_INT (record.kind, WIRE_REQUEST);
        buffer_clear (&body);
        mp_write_int (&body, (int64_t) i + 7);
        wire_write_reply (&written, record.id, WEFT_OK, body.data, body.size, false, NULL);
    }
    CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 0);
    message_clear (requests);
    CHECK (message_add_bytes (replies, written.data, written.size));
    buffer_fini (&written);
    buffer_fini (&body);
}

static void calls_round (size_t size)
{
    channel_t *channel = &stage.channel;
    message_t requests, replies;
    int64_t results [FRAME_MAX];
    size_t done = 0;
    bool good = true;

    message_init (&requests);
    message_init (&replies);
    stage.now_us += 20;
    cost_on ();
    for (size_t i = 0; i < size; i++)
        good = start (i) && good;
    link_t *link = channel_next_dirty (channel);
    const bool took = link && outbox_take (&link->outbox, &requests);
    cost_off (0);
    CHECK (good && took && link->alias == peer && !channel_next_dirty (channel) && !channel_next_command (channel));
    answer (&requests, &replies, size);

    stage.now_us += 20;
    cost_on ();
    channel_message (channel, peer, &replies, stage.now_us);
    message_clear (&replies);
    for (weft_call_t *call; (call = channel_next_done (channel)); done++) {
        atomic_store_explicit (&call->done, true, memory_order_release);
        call_release (call, &stage.pool);
    }
    for (size_t i = 0; i < size; i++) {
        good = weft_call_done (calls [i]) && weft_call_read (calls [i], WEFT_OUT (weft_int64, &results [i])) == WEFT_OK
               && good;
        call_release (calls [i], &stage.pool);
    }
    cost_off (size);
    CHECK (good && done == size);
    for (size_t i = 0; i < size; i++)
        CHECK_INT (results [i], (int64_t) i + 7);
}

const cost_t client_costs [] = {
    {"client.direct.1", begin_direct, calls_round, end, 1, 100, 200},
    {"client.direct.32", begin_direct, calls_round, end, FRAME_MAX, 20, 40},
    {"client.routed.1", begin_routed, calls_round, end, 1, 100, 200},
    {"client.routed.32", begin_routed, calls_round, end, FRAME_MAX, 20, 40},
    {0},
};
