/* SPDX-License-Identifier: MPL-2.0 */

#include "stage.h"
#include <stdio.h>
#include <stdlib.h>
#include "check.h"

stage_t stage;

static bool reach (const char *address, void *arg)
{
    (void) arg;
    return !stage.unreachable || strncmp (address, stage.unreachable, strlen (stage.unreachable)) != 0;
}

channel_options_t stage_options (void)
{
    return (channel_options_t){.brokers = "tcp://b1:1",
                               .name = "test",
                               .call = {5000, 2000, WEFT_VIA_AUTO, WEFT_BALANCE_P2C, WEFT_RETRY_FAILOVER, 0},
                               .refresh_us = 10000 * STAGE_MS,
                               .calls_max = 1000,
                               .body_max = 100000,
                               .seed = 1};
}

/*  What the channel says. */

static void keep_text (char *to, size_t size, text_t text)
{
    snprintf (to, size, "%.*s", TEXT_ARG (text));
}

static void keep_meta (char *to, size_t size, mp_reader_t meta)
{
    uint32_t count = 0;
    text_t key, value;
    CHECK (mp_left (&meta) == 0 || mp_read_map (&meta, &count));
    for (size_t at = 0; count > 0 && at < size; count--) {
        CHECK (mp_read_str (&meta, &key.data, &key.size) && mp_read_str (&meta, &value.data, &value.size));
        at += (size_t) snprintf (to + at, size - at, "%.*s=%.*s ", TEXT_ARG (key), TEXT_ARG (value));
    }
}

static void keep_record (uint64_t alias, const wire_record_t *record)
{
    CHECK (stage.record_count < 512);
    stage_record_t *kept = &stage.records [stage.record_count++];
    *kept = (stage_record_t){
        .alias = alias, .kind = record->kind, .id = record->id, .remaining_ms = record->remaining_ms,
        .number = record->number};
    keep_text (kept->method, sizeof kept->method, record->method);
    kept->body_size = record->body_size;
    if (record->body && record->body_size <= sizeof kept->body)
        memcpy (kept->body, record->body, record->body_size);
    wire_options_t options;
    if (record->kind == WIRE_REQUEST && mp_left (&record->extra) &&
        wire_read_options (record->extra, &options)) {
        keep_text (kept->worker, sizeof kept->worker, options.worker);
        keep_text (kept->key, sizeof kept->key, options.key);
        keep_text (kept->request_key, sizeof kept->request_key, options.request_key);
        keep_text (kept->codec, sizeof kept->codec, options.codec);
        kept->credit = options.credit;
        keep_meta (kept->meta, sizeof kept->meta, options.meta);
    }
}

static void keep_message (uint64_t alias, message_t *message)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = "";
    int got;
    while ((got = message_next (&cursor, &record, &attachment, &fault)) == 1)
        keep_record (alias, &record);
    CHECK_STR (got < 0 ? fault : "", "");
}

static void keep_all (void)
{
    message_t message;
    message_init (&message);
    for (link_t *link; (link = channel_next_dirty (&stage.channel));)
        while (outbox_take (&link->outbox, &message)) {
            keep_message (link->alias, &message);
            link_departed (link, link_last (link));
            message_clear (&message);
        }
    for (const channel_command_t *command; (command = channel_next_command (&stage.channel));) {
        CHECK (stage.command_count < 512);
        stage.commands [stage.command_count++] = *command;
    }
}

const stage_record_t *stage_any_record (void)
{
    keep_all ();
    if (stage.record_at < stage.record_count)
        return &stage.records [stage.record_at++];
    stage.record_at = stage.record_count = 0;
    return NULL;
}

const stage_record_t *stage_record (wire_kind_t kind)
{
    const stage_record_t *record = stage_any_record ();
    while (record && record->kind != kind)
        record = stage_any_record ();
    return record;
}

const stage_record_t *stage_request (const char *method)
{
    for (const stage_record_t *record; (record = stage_record (WIRE_REQUEST));)
        if (strcmp (record->method, method) == 0)
            return record;
    return NULL;
}

const channel_command_t *stage_command (channel_command_kind_t kind)
{
    keep_all ();
    while (stage.command_at < stage.command_count) {
        const channel_command_t *command = &stage.commands [stage.command_at++];
        if (command->kind == kind)
            return command;
    }
    stage.command_at = stage.command_count = 0;
    return NULL;
}

void stage_forget (void)
{
    keep_all ();
    stage.record_at = stage.record_count = stage.command_at = stage.command_count = 0;
}

/*  Events. */

void stage_pass (int64_t us)
{
    const int64_t until = stage.now_us + us;
    while (stage.now_us < until) {
        stage.now_us += until - stage.now_us < STAGE_MS ? until - stage.now_us : STAGE_MS;
        if (channel_next_us (&stage.channel) <= stage.now_us)
            channel_tick (&stage.channel, stage.now_us);
        keep_all ();
    }
}

void stage_link (uint64_t alias, transport_event_kind_t event)
{
    keep_all ();
    channel_link (&stage.channel, alias, event, WEFT_INVALID, stage.now_us);
    keep_all ();
}

void stage_say (uint64_t alias, const buffer_t *records)
{
    message_t message;
    message_init (&message);
    CHECK (message_add_bytes (&message, records->data, records->size));
    channel_message (&stage.channel, alias, &message, stage.now_us);
    message_fini (&message);
    keep_all ();
}

void stage_welcome (uint64_t alias)
{
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_welcome (&out, text_of ("msgpack"), 100000, 1000, "server", NULL);
    stage_say (alias, &out);
    buffer_fini (&out);
}

void stage_reply (uint64_t alias, uint64_t id, int64_t number)
{
    buffer_t out, body;
    buffer_init (&out, 65536);
    buffer_init (&body, 64);
    mp_write_int (&body, number);
    wire_write_reply (&out, id, WEFT_OK, body.data, body.size, false, NULL);
    stage_say (alias, &out);
    buffer_fini (&out);
    buffer_fini (&body);
}

void stage_refuse (uint64_t alias, uint64_t id, weft_status_t status, const char *text)
{
    buffer_t out;
    wire_info_t info = wire_info_none ();
    info.text = text_of (text);
    buffer_init (&out, 65536);
    wire_write_reply (&out, id, status, NULL, 0, false, &info);
    stage_say (alias, &out);
    buffer_fini (&out);
}

static void write_row (buffer_t *out, const char *row)
{
    char uuid [32], state [32], address [64], none [8] = "";
    CHECK (sscanf (row, "%31s %31s %7s", uuid, state, none) >= 2);
    snprintf (address, sizeof address, "tcp://%s:1", uuid);
    mp_write_array (out, 12);
    mp_write_text (out, uuid);
    mp_write_uint (out, 1);
    mp_write_array (out, 0);
    mp_write_array (out, *none ? 0 : 1);
    if (!*none)
        mp_write_text (out, address);
    mp_write_uint (out, 2);
    mp_write_uint (out, 4);
    mp_write_uint (out, 0);
    mp_write_text (out, state);
    for (int i = 0; i < 2; i++)
        mp_write_text (out, "");
    for (int i = 0; i < 2; i++)
        mp_write_uint (out, 1);
}

void stage_list (uint64_t id, uint64_t previous, uint64_t revision, bool full, const char *const *rows,
                 bool known)
{
    static const char *const names [] = {"Get", "Set"};
    buffer_t out, body;
    uint32_t count = 0;
    while (rows [count])
        count++;
    buffer_init (&out, 65536);
    buffer_init (&body, 65536);
    mp_write_array (&body, 5);
    mp_write_uint (&body, revision);
    mp_write_uint (&body, previous);
    mp_write_bool (&body, full);
    mp_write_array (&body, count);
    for (uint32_t i = 0; i < count; i++)
        write_row (&body, rows [i]);
    mp_write_array (&body, known ? 2 : 0);
    for (uint64_t i = 0; known && i < 2; i++) {
        mp_write_array (&body, 2);
        mp_write_text (&body, names [i]);
        mp_write_uint (&body, i == 0); /* Get is idempotent */
    }
    wire_write_item (&out, id, 0, body.data, body.size, false);
    stage_say (CHANNEL_BROKER, &out);
    buffer_fini (&out);
    buffer_fini (&body);
}

uint64_t stage_connect (const char *worker)
{
    char address [64];
    snprintf (address, sizeof address, "tcp://%s:1", worker);
    const channel_command_t *command = stage_command (CHANNEL_CONNECT);
    CHECK (command);
    CHECK_STR (command->address, address);
    const uint64_t alias = command->alias;
    stage_link (alias, TRANSPORT_READY);
    const stage_record_t *hello = stage_record (WIRE_HELLO);
    CHECK (hello && hello->alias == alias);
    stage_welcome (alias);
    return alias;
}

/*  Life. */

void stage_begin (const channel_options_t *options)
{
    channel_options_t used = options ? *options : stage_options ();
    stage.now_us = 1000 * STAGE_MS;
    stage.record_count = stage.record_at = stage.command_count = stage.command_at = 0;
    stage.unreachable = NULL;
    call_pool_init (&stage.pool, 100);
    used.reach = reach;
    used.pool = &stage.pool;
    CHECK (channel_init (&stage.channel, &used, stage.now_us));
}

void stage_begin_listed (const channel_options_t *options, size_t workers)
{
    char names [8][32];
    const char *rows [9] = {NULL};
    stage_begin (options);
    stage_link (CHANNEL_BROKER, TRANSPORT_READY);
    stage_welcome (CHANNEL_BROKER);
    weft_call_t *call = call_new (&stage.pool);
    call->discover = true;
    call_ask (call, "Test", NULL, &stage.channel.options.call);
    channel_start (&stage.channel, call, stage.now_us);
    for (size_t i = 0; i < workers; i++) {
        snprintf (names [i], sizeof names [i], "w%zu alive", i + 1);
        rows [i] = names [i];
    }
    const stage_record_t *watch = stage_request ("weft.Registry.Watch");
    CHECK (watch);
    stage_list (watch->id, 0, 1, true, rows, true);
    CHECK (stage_done (call));
    CHECK_INT (weft_call_status (call), WEFT_OK);
    stage_free (call);
    while (stage_command (CHANNEL_CONNECT)) {
    }
    stage_record (WIRE_HELLO);
    stage_record (WIRE_HELLO);
}

uint64_t stage_begin_connected (void)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.via = WEFT_VIA_DIRECT});
    const uint64_t alias = stage_connect ("w1");
    stage_reply (alias, stage_request ("Test.Get")->id, 0);
    CHECK_INT (stage_result (call), 0);
    stage_free (call);
    return alias;
}

void stage_end (void)
{
    channel_close (&stage.channel, stage.now_us);
    for (weft_call_t *call; (call = channel_next_done (&stage.channel));) {
        atomic_store (&call->done, true);
        call_release (call, &stage.pool);
    }
    keep_all ();
    CHECK_INT (stage.channel.open, 0);
    CHECK_INT (stage.channel.broker->calls, 0);
    CHECK_INT (deadlines_next (&stage.channel.calls), DEADLINES_NEVER);
    CHECK (stage.channel.requests.count <= stage.channel.services.count); /* only watches may be open */
    channel_fini (&stage.channel);
    call_pool_fini (&stage.pool);
}

/*  Calls. */

static weft_call_t *call_with (const char *method, intake_t *intake, const weft_call_options_t *options)
{
    weft_call_t *call = call_new (&stage.pool);
    CHECK (call);
    call->intake = intake;
    call->described = intake != NULL;
    call->codec = stage.channel.options.codec;
    mp_write_int (&call->args, 7);
    CHECK (call_ask (call, method, options, &stage.channel.options.call));
    CHECK (call_seal_args (call));
    channel_start (&stage.channel, call, stage.now_us);
    keep_all ();
    return call;
}

weft_call_t *stage_call (const char *method, const weft_call_options_t *options)
{
    return call_with (method, NULL, options);
}

weft_call_t *stage_stream (const char *method, uint64_t window, const weft_call_options_t *options)
{
    return call_with (method, intake_new (window), options);
}

bool stage_done (weft_call_t *call)
{
    for (weft_call_t *ended; (ended = channel_next_done (&stage.channel));) {
        CHECK (!weft_call_done (ended)); /* never twice */
        atomic_store (&ended->done, true);
        call_release (ended, &stage.pool);
    }
    return weft_call_done (call);
}

void stage_free (weft_call_t *call)
{
    stage_done (call);
    if (!weft_call_done (call)) {
        channel_cancel (&stage.channel, call, stage.now_us);
        CHECK (stage_done (call));
        keep_all ();
    }
    call_release (call, &stage.pool);
}

int64_t stage_result (weft_call_t *call)
{
    int64_t number = 0;
    CHECK (stage_done (call));
    CHECK_STR (weft_status_str (weft_call_status (call)), "OK");
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &number)), WEFT_OK);
    return number;
}

void stage_check (weft_call_t *call, weft_status_t status, weft_executed_t executed)
{
    CHECK (stage_done (call));
    CHECK_STR (weft_status_str (weft_call_status (call)), weft_status_str (status));
    CHECK_STR (weft_executed_str (weft_call_executed (call)), weft_executed_str (executed));
}

void stage_check_text (weft_call_t *call, const char *part)
{
    if (!strstr (weft_call_text (call), part))
        CHECK_STR (weft_call_text (call), part);
}
