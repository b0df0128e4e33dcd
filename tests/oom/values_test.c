/* SPDX-License-Identifier: MPL-2.0
 *
 *  values_test.c - what has no session of its own, while memory runs out: values and their bodies, settings, and whatever is made
 *  at the start. Each says no, keeps nothing, and works when it is asked again. */

#include <stdio.h>
#include <stdlib.h>
#include <weft/client.h>
#include <weft/worker.h>
#include "broker.h"
#include "call.h"
#include "channel.h"
#include "check.h"
#include "codec.h"
#include "config.h"
#include "failing.h"
#include "json.h"
#include "outbox.h"
#include "rows.h"
#include "sample.h"
#include "types.h"

static codec_error_t fault;

/*  ------------------------------------------------------------------ bodies  */

static node leaves [40];
static const node tree = {.value = -5, .key = {"abc", 3}, .children = leaves, .child_count = 40};
static codec_t codec;

static bool encode (weft_value_t value)
{
    buffer_t out;
    buffer_init (&out, SIZE_MAX);
    const bool first = OOM_INSIDE (codec_encode (codec, value, &out, &fault));
    CHECK (first || (out.size == 0 && out.failed && out.starved && fault.text [0]));
    buffer_fini (&out);
    return first;
}

static bool encode_sample (void)
{
    sample full = sample_full ();
    return encode (WEFT_IN (sample, &full));
}

static bool encode_tree (void)
{
    return encode (WEFT_IN (node, &tree));
}

TEST (a_value_is_encoded_whole_or_not_at_all)
{
    for (codec = CODEC_MSGPACK; codec <= CODEC_JSON; codec++) {
        CHECK (oom_try_each (encode_sample) > 0);
        CHECK (oom_try_each (encode_tree) > 0);
    }
}

static buffer_t body;
static weft_value_t target;

static bool decode (void)
{
    arena_t arena;
    arena_init (&arena, WEFT_DECODED_MAX);
    memset (target.data, 0, target.schema->size);
    const bool good = OOM_INSIDE (codec_decode (codec, body.data, body.size, target, &arena, &fault));
    for (size_t i = 0; !good && i < target.schema->size; i++)
        CHECK_INT (((const char *) target.data) [i], 0);
    CHECK (good || (arena.starved && fault.text [0]));
    arena_fini (&arena);
    return good;
}

static void check_decode (weft_value_t value, weft_value_t out)
{
    buffer_init (&body, SIZE_MAX);
    CHECK (codec_encode (codec, value, &body, &fault));
    target = out;
    CHECK (oom_try_each (decode) > 0);
    buffer_fini (&body);
}

TEST (a_body_is_decoded_whole_or_not_at_all)
{
    sample full = sample_full (), same;
    node again;
    for (codec = CODEC_MSGPACK; codec <= CODEC_JSON; codec++) {
        check_decode (WEFT_IN (sample, &full), WEFT_OUT (sample, &same));
        check_decode (WEFT_IN (node, &tree), WEFT_OUT (node, &again));
    }
}

static buffer_t type;
static const char *json;

static bool parse (void)
{
    buffer_t out;
    buffer_init (&out, SIZE_MAX);
    const bool good = OOM_INSIDE (json_to_mp (json, strlen (json), type.data, type.size, &out, &fault));
    CHECK (good || (out.size == 0 && out.starved && fault.text [0]));
    buffer_fini (&out);
    return good;
}

static bool print (void)
{
    buffer_t out;
    buffer_init (&out, SIZE_MAX);
    const bool good = OOM_INSIDE (json_from_mp (body.data, body.size, type.data, type.size, true, &out, &fault));
    CHECK (good || (out.size == 0 && out.starved));
    buffer_fini (&out);
    return good;
}

TEST (json_is_read_and_printed_whole_or_not_at_all)
{
    static const char *const texts [] = {
        "{\"value\":1,\"key\":\"eHl6\",\"children\":[{\"value\":2,\"key\":\"\",\"children\":[]}]}",
        "[{\"a\":1,\"b\":[true,null,2.5,\"\\u00e9\\n\"],\"c\":{\"d\":{}}},\"x\"]"};
    for (int i = 0; i < 2; i++) {
        buffer_init (&type, SIZE_MAX);
        buffer_init (&body, SIZE_MAX);
        if (i == 0)
            types_write (&type, node_schema ());
        json = texts [i];
        CHECK (oom_try_each (parse) > 0);
        CHECK (json_to_mp (json, strlen (json), type.data, type.size, &body, &fault));
        CHECK (oom_try_each (print) > 0);
        buffer_fini (&type);
        buffer_fini (&body);
    }
}

/*  ------------------------------------------------------------------ messages  */

static bool send_one (void)
{
    outbox_t outbox;
    message_t message;
    zmq_msg_t attachment;

    outbox_init (&outbox, SIZE_MAX);
    message_init (&message);
    zmq_msg_init_size (&attachment, 5000);
    OOM_INSIDE (wire_write_request (outbox_open_record (&outbox), 1, text_of ("A.B"), 5, NULL, 0, true, NULL));
    OOM_INSIDE (outbox_close_record (&outbox, &attachment));
    zmq_msg_close (&attachment);
    const bool good = !outbox.failed && OOM_INSIDE (outbox_take (&outbox, &message));
    CHECK (good ? message.count == 2 && outbox_empty (&outbox) : outbox.failed); /* so that the peer is dropped */
    message_fini (&message);
    outbox_fini (&outbox);
    return good;
}

TEST (an_outbox_that_cannot_give_out_a_message_has_failed)
{
    CHECK (oom_try_each (send_one) >= 3);
}

/*  ------------------------------------------------------------------ settings  */

static bool configure (void)
{
    config_t config;
    config_error_t error = {{0}};
    char list [512] = "any";

    for (int i = 0; i < 40; i++)
        strcat (list, ",10.0.0.1");
    config_init (&config);
    const bool good = OOM_INSIDE (config_set (&config, CONFIG_FLAG, "allow_hosts", list, &error))
                      && OOM_INSIDE (config_set (&config, CONFIG_FLAG, "bind", "tcp://*:1", &error))
                      && OOM_INSIDE (config_check (&config, &error));
    CHECK_STR (error.text, good ? "" : "out of memory");
    config_fini (&config);
    return good;
}

TEST (settings_are_taken_or_refused_with_a_line)
{
    CHECK (oom_try_each (configure) >= 42);
}

/*  ------------------------------------------------------------------ what is made at the start  */

static bool make_broker (void)
{
    broker_settings_t settings = {.uuid = "b0000000-0000-4000-8000-000000000000"};
    broker_t *broker = OOM_INSIDE (broker_new (&settings, 1000, 42));
    const bool made = broker != NULL;
    broker_destroy (&broker);
    return made;
}

TEST (a_broker_is_made_whole_or_not_at_all)
{
    CHECK (oom_try_each (make_broker) >= 4);
}

static weft_status_t nothing (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) args;
    (void) reply;
    return WEFT_OK;
}

static const weft_method_t methods [] = {WEFT_METHOD ("One", nothing, weft_none, weft_none, 0),
                                         WEFT_METHOD ("Two", nothing, weft_none, weft_none, 0), WEFT_METHOD_END};

static bool make_worker (void)
{
    static const char *const labels [] = {"a=b", "c=d", NULL};
    const weft_worker_options_t options = {.labels = labels, .name = "w", .bind = "tcp://127.0.0.1:*"};
    weft_worker_t *worker = OOM_INSIDE (weft_worker_new ("tcp://a:1,tcp://b:2", &options));
    bool made = worker != NULL;

    CHECK (made || strstr (weft_worker_error (NULL), "out of "));
    if (made) {
        const weft_status_t status = OOM_INSIDE (weft_worker_add (worker, "Test", methods, NULL));
        CHECK (status == WEFT_OK || status == WEFT_OVERLOADED);
        made = status == WEFT_OK;
        CHECK (made || weft_worker_add (worker, "Test", methods, NULL) == WEFT_OK);
    }
    weft_worker_destroy (&worker);
    return made;
}

TEST (a_worker_and_its_services_are_made_whole_or_not_at_all)
{
    CHECK (oom_try_each (make_worker) > 15);
}

static bool make_client (void)
{
    const weft_client_options_t options = {.own_loop = true};
    weft_client_t *client = OOM_INSIDE (weft_client_new ("tcp://127.0.0.1:1", &options));
    const bool made = client != NULL;
    CHECK (made || weft_client_error () [0]);
    weft_client_destroy (&client);
    return made;
}

TEST (a_client_is_made_whole_or_not_at_all)
{
    CHECK (oom_try_each (make_client) > 3);
}

static bool ask (void)
{
    static const char *const meta [] = {"colour=red", NULL};
    const call_settings_t settings = {5000, 2000, WEFT_VIA_AUTO, WEFT_BALANCE_P2C, WEFT_RETRY_FAILOVER, 0};
    const weft_call_options_t options = {.request_key = "key", .key = "other", .meta = meta};
    weft_call_t *call = OOM_INSIDE (call_new (NULL));
    char large [10000] = {0};

    if (!call)
        return false;
    OOM_INSIDE (buffer_append (&call->args, large, sizeof large));
    const bool good = !call->args.failed && OOM_INSIDE (call_ask (call, "Test.Get", &options, &settings))
                      && OOM_INSIDE (call_seal_args (call));
    call_release (call, NULL);
    return good;
}

TEST (a_call_is_asked_whole_or_not_at_all)
{
    CHECK (oom_try_each (ask) >= 4);
}
