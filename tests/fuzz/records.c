/* SPDX-License-Identifier: MPL-2.0
 *
 *  records.c - any bytes as a records frame with attachments.
 *
 *  Records lie one behind the other and cover what was read of the frame; each that is well-formed says the same when it is
 *  written again and read back; an outbox gives out what was put in. */

#include <stdlib.h>
#include "check.h"
#include "input.h"
#include "outbox.h"
#include "types.h"

static void check_text (text_t a, text_t b)
{
    CHECK_MEM (a.data, a.size, b.data, b.size);
}

/*  Text as the writers want it; false if it cannot be. Valid until they run out, which is after a record's many. */
static char space [1 << 16];
static size_t space_used;

static const char *z (text_t text)
{
    if (space_used + text.size + 1 > sizeof space || memchr (text.size ? text.data : "", 0, text.size))
        return NULL;
    char *copy = space + space_used;
    if (text.size)
        memcpy (copy, text.data, text.size);
    copy [text.size] = 0;
    space_used += text.size + 1;
    return copy;
}

static bool z_list (const text_t *texts, uint32_t count, const char **list)
{
    list [count] = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (!(list [i] = z (texts [i])))
            return false;
    return true;
}

/*  Reads back the one record that was written. */
static wire_record_t read_back (const buffer_t *written)
{
    wire_record_t record;
    const char *fault = "";
    mp_reader_t reader = mp_reader (written->data, written->size);
    CHECK (!written->failed);
    if (wire_next (&reader, &record, &fault) != 1)
        CHECK_STR (fault, "");
    CHECK_INT (mp_left (&reader), 0);
    return record;
}

/*  ------------------------------------------------------------------ calls  */

static void check_options (const wire_record_t *record, buffer_t *out)
{
    wire_options_t said, again;
    if (mp_left (&record->extra) == 0 || !wire_read_options (record->extra, &said))
        return;
    buffer_clear (out);
    wire_write_request (out, record->id, record->method, record->remaining_ms, NULL, 0, true, &said);
    const wire_record_t back = read_back (out);
    if (mp_left (&back.extra) == 0)
        again = (wire_options_t){0};
    else
        CHECK (wire_read_options (back.extra, &again));
    check_text (again.codec, said.codec);
    check_text (again.worker, said.worker);
    check_text (again.key, said.key);
    check_text (again.request_key, said.request_key);
    check_text (again.trace, said.trace);
    CHECK_MEM (again.meta.at, mp_left (&again.meta), said.meta.at, mp_left (&said.meta));
}

static void check_info (const wire_record_t *record, buffer_t *out)
{
    wire_info_t said, again = wire_info_none ();
    if (mp_left (&record->extra) == 0 || !wire_read_info (record->extra, &said))
        return;
    buffer_clear (out);
    wire_write_reply (out, record->id, record->status, NULL, 0, true, &said);
    const wire_record_t back = read_back (out);
    if (mp_left (&back.extra))
        CHECK (wire_read_info (back.extra, &again));
    CHECK_INT (again.executed, said.executed);
    CHECK_INT (again.origin, said.origin);
    check_text (again.text, said.text);
    CHECK_INT (again.code, said.code);
    CHECK_INT (again.retry_after_ms, said.retry_after_ms);
    CHECK_INT (again.broker_us, said.broker_us);
    CHECK_INT (again.queue_us, said.queue_us);
    CHECK_INT (again.handler_us, said.handler_us);
}

static void check_method (text_t method)
{
    text_t service, name;
    if (!wire_split_method (method, &service, &name))
        return;
    CHECK_INT (service.size + 1 + name.size, method.size);
    CHECK (service.data == method.data && name.data + name.size == method.data + method.size);
    CHECK (method.data [service.size] == '.' && !memchr (name.data, '.', name.size));
    CHECK (wire_name_valid (service));
}

/*  The writer that calls use, and the one for whatever it does not do. */
static void write_call (buffer_t *out, const wire_record_t *record)
{
    const void *body = record->attached ? NULL : record->body;
    const size_t size = record->attached ? 0 : record->body_size;
    const bool plain = !record->attached && mp_left (&record->extra) == 0;
    switch (record->kind) {
    case WIRE_REQUEST:
        if (!plain
            || !wire_write_short_request (out, record->id, record->method, record->remaining_ms, body, size))
            wire_write_request_raw (out, record->id, record->method, record->remaining_ms, body, size,
                                    record->attached, record->extra);
        break;
    case WIRE_REPLY:
        wire_write_reply_raw (out, record->id, record->status, body, size, record->attached, record->extra);
        break;
    case WIRE_ITEM:
        wire_write_item (out, record->id, record->number, body, size, record->attached);
        break;
    case WIRE_CREDIT:
        wire_write_credit (out, record->id, record->number);
        break;
    default:
        wire_write_cancel (out, record->id);
    }
}

/*  A broker's changes in place are what reads back. */
static void check_patches (buffer_t *out, const wire_record_t *record)
{
    wire_record_t written = read_back (out);
    CHECK (written.id_fixed);
    wire_patch_id (&written, record->id / 2 + 1);
    if (written.kind == WIRE_REQUEST) {
        CHECK (written.remaining_at != NULL);
        wire_patch_remaining (&written, record->remaining_ms ^ 5);
    }
    const wire_record_t patched = read_back (out);
    CHECK_INT (patched.id, record->id / 2 + 1);
    CHECK_INT (patched.remaining_ms, written.kind == WIRE_REQUEST ? record->remaining_ms ^ 5 : 0);
    check_text (patched.method, record->method);
}

static void check_call (const wire_record_t *record, buffer_t *out)
{
    buffer_clear (out);
    write_call (out, record);
    const wire_record_t back = read_back (out);
    CHECK_INT (back.kind, record->kind);
    CHECK_INT (back.id, record->id);
    check_text (back.method, record->method);
    CHECK_INT (back.remaining_ms, record->remaining_ms);
    CHECK_INT (back.status, record->status);
    CHECK_INT (back.number, record->number);
    CHECK_INT (back.attached, record->attached);
    if (!record->attached)
        CHECK_MEM (back.body, back.body_size, record->body, record->body_size);
    CHECK_MEM (back.extra.at, mp_left (&back.extra), record->extra.at, mp_left (&record->extra));
    check_patches (out, record);
    if (record->kind == WIRE_REQUEST) {
        check_options (record, out);
        check_method (record->method);
    } else if (record->kind == WIRE_REPLY)
        check_info (record, out);
}

/*  ------------------------------------------------------------------ the rest  */

static void check_hello (const wire_record_t *record, buffer_t *out)
{
    wire_hello_t said, again;
    const char *fault = NULL, *codecs [WEFT_CODECS_MAX + 1];
    if (!wire_read_hello (record, &said, &fault)) {
        CHECK (fault && *fault);
        return;
    }
    const char *role = z (said.role), *name = z (said.name), *uuid = z (said.uuid);
    if (!role || !name || !uuid || !z_list (said.codecs, said.codec_count, codecs))
        return;
    wire_write_hello (out, role, codecs, name, *uuid ? uuid : NULL);
    const wire_record_t back = read_back (out);
    CHECK (wire_read_hello (&back, &again, &fault));
    check_text (again.role, said.role);
    check_text (again.name, said.name);
    check_text (again.uuid, said.uuid);
    CHECK_INT (again.codec_count, said.codec_count);
    for (uint32_t i = 0; i < said.codec_count; i++)
        check_text (again.codecs [i], said.codecs [i]);
}

static void check_brokers (const text_t *again, uint32_t again_count, const text_t *said, uint32_t count)
{
    CHECK_INT (again_count, count);
    for (uint32_t i = 0; i < count; i++)
        check_text (again [i], said [i]);
}

static void check_welcome (const wire_record_t *record, buffer_t *out)
{
    wire_welcome_t said, again;
    const char *brokers [WEFT_BROKERS_MAX + 1];
    if (!wire_read_welcome (record, &said))
        return;
    const char *server = z (said.server);
    if (!server || !z_list (said.brokers, said.broker_count, brokers))
        return;
    wire_write_welcome (out, said.codec, said.body_max, said.calls_max, server, brokers);
    const wire_record_t back = read_back (out);
    CHECK (wire_read_welcome (&back, &again));
    check_text (again.codec, said.codec);
    check_text (again.server, said.server);
    CHECK_INT (again.body_max, said.body_max);
    CHECK_INT (again.calls_max, said.calls_max);
    check_brokers (again.brokers, again.broker_count, said.brokers, said.broker_count);
}

static void check_refused (const wire_record_t *record, buffer_t *out)
{
    wire_refused_t said, again;
    if (!wire_read_refused (record, &said))
        return;
    CHECK (said.status > WEFT_OK && said.status < WEFT_STATUS_COUNT);
    const char *text = z (said.text);
    if (!text)
        return;
    wire_write_refused (out, said.status, text);
    const wire_record_t back = read_back (out);
    CHECK (wire_read_refused (&back, &again));
    CHECK_INT (again.status, said.status);
    check_text (again.text, said.text);
}

static void check_beat (const wire_record_t *record, buffer_t *out)
{
    uint64_t said, again;
    wire_load_t load, load_again;
    if (!wire_read_beat (record, &said, &load))
        return;
    wire_write_beat (out, said, &load);
    const wire_record_t back = read_back (out);
    CHECK (wire_read_beat (&back, &again, &load_again));
    CHECK_INT (again, said);
    CHECK (memcmp (&load, &load_again, sizeof load) == 0);
}

static void check_beat_ok (const wire_record_t *record, buffer_t *out)
{
    wire_beat_ok_t said, again;
    const char *brokers [WEFT_BROKERS_MAX + 1];
    if (!wire_read_beat_ok (record, &said) || !z_list (said.brokers, said.broker_count, brokers))
        return;
    wire_write_beat_ok (out, said.sequence, said.next_ms, said.ttl_ms, brokers);
    const wire_record_t back = read_back (out);
    CHECK (wire_read_beat_ok (&back, &again));
    CHECK_INT (again.sequence, said.sequence);
    CHECK_INT (again.next_ms, said.next_ms);
    CHECK_INT (again.ttl_ms, said.ttl_ms);
    check_brokers (again.brokers, again.broker_count, said.brokers, said.broker_count);
}

static void check_notice (const wire_record_t *record, buffer_t *out)
{
    text_t said, again;
    if (!wire_read_text (record, &said))
        return;
    const char *text = z (said);
    if (!text)
        return;
    if (record->kind == WIRE_DRAINING)
        wire_write_draining (out, text);
    else
        wire_write_goodbye (out, text);
    const wire_record_t back = read_back (out);
    CHECK_INT (back.kind, record->kind);
    CHECK (wire_read_text (&back, &again));
    check_text (again, said);
}

/*  What was taken can be walked to its end, as wire_read_register promises. */
static void check_services (const wire_register_t *in)
{
    mp_reader_t services = in->services;
    wire_service_t service;
    wire_method_t method;
    buffer_t printed;

    for (uint32_t i = 0; i < in->service_count; i++) {
        CHECK (wire_next_service (&services, &service));
        for (uint32_t j = 0; j < service.method_count; j++) {
            CHECK (wire_next_method (&service.methods, &method));
            CHECK (types_valid (method.args, method.args_size) && types_valid (method.reply, method.reply_size));
            buffer_init (&printed, 4 << 20);
            types_print (&printed, method.args, method.args_size);
            CHECK (printed.size > 0);
            buffer_fini (&printed);
        }
        CHECK_INT (mp_left (&service.methods), 0);
    }
    CHECK_INT (mp_left (&services), 0);
}

static bool labels_of (const wire_register_t *in, const char **labels)
{
    labels [in->label_count] = NULL;
    for (uint32_t i = 0; i < in->label_count; i++) {
        const char *key = z (in->label_keys [i]), *value = key && !strchr (key, '=') ? z (in->label_values [i]) : NULL;
        if (!value)
            return false;
        space [(size_t) (value - space) - 1] = '='; /* it stands right behind the key */
        labels [i] = key;
    }
    return true;
}

static void check_register (const wire_record_t *record, buffer_t *out)
{
    wire_register_t said, again;
    const char *fault = NULL, *endpoints [WEFT_ENDPOINTS_MAX + 1], *labels [WEFT_LABELS_MAX + 1];
    if (!wire_read_register (record, &said, &fault)) {
        CHECK (fault && *fault);
        return;
    }
    check_services (&said);
    const char *uuid = z (said.uuid), *host = z (said.host);
    if (!uuid || !host || !z_list (said.endpoints, said.endpoint_count, endpoints) || !labels_of (&said, labels))
        return;
    wire_write_register_begin (out, uuid, said.incarnation, said.service_count);
    buffer_append (out, said.services.at, mp_left (&said.services));
    wire_write_register_end (out, endpoints, said.cores, labels, host, said.pid, said.capacity);
    const wire_record_t back = read_back (out);
    if (!wire_read_register (&back, &again, &fault))
        CHECK_STR (fault, "");
    check_text (again.uuid, said.uuid);
    check_text (again.host, said.host);
    CHECK_INT (again.incarnation, said.incarnation);
    CHECK_INT (again.service_count, said.service_count);
    CHECK_INT (again.cores, said.cores);
    CHECK_INT (again.pid, said.pid);
    CHECK_INT (again.capacity, said.capacity);
    CHECK_MEM (again.services.at, mp_left (&again.services), said.services.at, mp_left (&said.services));
    check_brokers (again.endpoints, again.endpoint_count, said.endpoints, said.endpoint_count);
    check_brokers (again.label_keys, again.label_count, said.label_keys, said.label_count);
    check_brokers (again.label_values, again.label_count, said.label_values, said.label_count);
}

static void check_record (const wire_record_t *record, buffer_t *out)
{
    static void (*const checks [WIRE_KINDS]) (const wire_record_t *, buffer_t *) = {
        [WIRE_HELLO] = check_hello,       [WIRE_WELCOME] = check_welcome,   [WIRE_REFUSED] = check_refused,
        [WIRE_REQUEST] = check_call,      [WIRE_REPLY] = check_call,        [WIRE_ITEM] = check_call,
        [WIRE_CREDIT] = check_call,       [WIRE_CANCEL] = check_call,       [WIRE_REGISTER] = check_register,
        [WIRE_BEAT] = check_beat,         [WIRE_BEAT_OK] = check_beat_ok,   [WIRE_DRAINING] = check_notice,
        [WIRE_GOODBYE] = check_notice};

    space_used = 0;
    buffer_clear (out);
    if (record->kind < WIRE_KINDS && checks [record->kind])
        checks [record->kind] (record, out);
}

/*  ------------------------------------------------------------------ messages  */

/*  Puts the record into an outbox, as a broker does that passes it on. */
static void pass_on (outbox_t *outbox, const wire_record_t *record, zmq_msg_t *attachment)
{
    zmq_msg_t copy;
    zmq_msg_init (&copy);
    if (attachment)
        zmq_msg_copy (&copy, attachment);
    buffer_append (outbox_open_record (outbox), record->start, record->size);
    outbox_close_record (outbox, attachment ? &copy : NULL);
    zmq_msg_close (&copy);
}

/*  The same records come out of the outbox, with the same bodies. */
static void check_passed (outbox_t *outbox, message_t *original, size_t count)
{
    message_t passed;
    message_cursor_t before = message_cursor (original), after = {0};
    wire_record_t record, expected;
    zmq_msg_t *attachment;
    const char *fault = "";

    message_init (&passed);
    CHECK (!outbox->failed);
    for (size_t i = 0; i < count; i++) {
        while (!after.message || message_next (&after, &record, &attachment, &fault) == 0) {
            message_clear (&passed);
            CHECK (outbox_take (outbox, &passed));
            after = message_cursor (&passed);
        }
        CHECK_STR (fault, "");
        CHECK_INT (message_next (&before, &expected, &attachment, &fault), 1);
        CHECK_MEM (record.start, record.size, expected.start, expected.size);
        CHECK_MEM (record.body, record.body_size, expected.body, expected.body_size);
    }
    CHECK (!after.message || message_next (&after, &record, &attachment, &fault) == 0);
    CHECK (outbox_empty (outbox));
    message_fini (&passed);
}

/*  Attachments are 0 to 3 frames of a few bytes each, chosen by the first byte. */
static void make_message (message_t *message, const uint8_t *data, size_t size)
{
    static const char bytes [] = "attachment";
    message_init (message);
    CHECK (message_add_bytes (message, data + 1, size - 1));
    for (unsigned i = 0; i < data [0] % 4u; i++)
        CHECK (message_add_bytes (message, bytes, (data [0] >> (2 + i)) % sizeof bytes));
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    message_t message;
    wire_record_t record;
    zmq_msg_t *attachment;
    buffer_t out;
    outbox_t outbox;
    const char *fault = NULL;
    size_t count = 0;
    int got;

    if (size == 0)
        return 0;
    make_message (&message, data, size);
    buffer_init (&out, 8 << 20);
    outbox_init (&outbox, 64 << 20);
    message_cursor_t cursor = message_cursor (&message);
    const uint8_t *at = cursor.start;
    while ((got = message_next (&cursor, &record, &attachment, &fault)) == 1) {
        CHECK (record.start == at && record.size > 0);
        at += record.size;
        count++;
        check_record (&record, &out);
        pass_on (&outbox, &record, attachment);
    }
    CHECK (got == 0 ? at == cursor.reader.end && count > 0 : fault && *fault);
    check_passed (&outbox, &message, count);
    outbox_fini (&outbox);
    buffer_fini (&out);
    message_fini (&message);
    return 0;
}
