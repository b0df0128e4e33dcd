/* SPDX-License-Identifier: MPL-2.0 */

#include "wire.h"
#include "types.h"
#include <string.h>

/*  Names. */

static bool name_byte (char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/*  Parts of 1 to WEFT_NAME_PART_MAX good bytes, with dots between them. */
bool wire_name_valid (text_t name)
{
    size_t part = 0;
    if (name.size > WEFT_METHOD_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (name.data [i] == '.' ? part == 0 : !name_byte (name.data [i]))
            return false;
        part = name.data [i] == '.' ? 0 : part + 1;
        if (part > WEFT_NAME_PART_MAX)
            return false;
    }
    return part > 0;
}

bool wire_split_method (text_t method, text_t *service, text_t *name)
{
    const char *dot = method.size ? memrchr (method.data, '.', method.size) : NULL;
    if (!dot || !wire_name_valid (method))
        return false;
    *service = (text_t){method.data, (size_t) (dot - method.data)};
    *name = (text_t){dot + 1, method.size - service->size - 1};
    return true;
}

/*  Reading records. */

static bool read_text (mp_reader_t *reader, text_t *out)
{
    return mp_read_str (reader, &out->data, &out->size);
}

static bool read_text_or_bin (mp_reader_t *reader, text_t *out)
{
    const uint8_t *data;
    if (mp_peek (reader) == MP_STR)
        return read_text (reader, out);
    if (!mp_read_bin (reader, &data, &out->size))
        return false;
    out->data = (const char *) data;
    return true;
}

static bool skip_many (mp_reader_t *reader, uint64_t count)
{
    while (count--)
        if (!mp_skip (reader))
            return false;
    return true;
}

/*  The bytes of one whole value, as a reader of their own. */
static bool read_whole (mp_reader_t *reader, mp_reader_t *value)
{
    const uint8_t *start = reader->at;
    if (!mp_skip (reader))
        return false;
    *value = mp_reader (start, (size_t) (reader->at - start));
    return true;
}

static bool read_id (mp_reader_t *reader, wire_record_t *record)
{
    record->id_fixed = reader->at == record->start + 2 && mp_left (reader) >= 9 && *reader->at == 0xcf;
    return mp_read_uint (reader, &record->id);
}

static bool read_body (mp_reader_t *reader, wire_record_t *record)
{
    if (mp_peek (reader) == MP_NIL) {
        record->attached = true;
        return mp_read_nil (reader);
    }
    return mp_read_bin (reader, &record->body, &record->body_size);
}

/*  An optional map: the last known field of REQUEST and REPLY. */
static bool read_extra (mp_reader_t *reader, wire_record_t *record, uint32_t known)
{
    if (record->field_count <= known)
        return true;
    return mp_peek (reader) == MP_MAP && read_whole (reader, &record->extra)
           && skip_many (reader, record->field_count - known - 1);
}

static bool read_request (mp_reader_t *reader, wire_record_t *record)
{
    uint64_t remaining;
    if (record->field_count < 4 || !read_id (reader, record) || record->id == 0
        || !read_text (reader, &record->method))
        return false;

    const uint8_t *head = reader->at;
    if (!mp_read_uint (reader, &remaining) || remaining > UINT32_MAX)
        return false;
    record->remaining_ms = (uint32_t) remaining;
    if (*head == 0xce)
        record->remaining_at = (uint8_t *) (uintptr_t) (head + 1);
    return read_body (reader, record) && read_extra (reader, record, 4);
}

static bool read_reply (mp_reader_t *reader, wire_record_t *record)
{
    uint64_t status;
    if (record->field_count < 3 || !read_id (reader, record) || !mp_read_uint (reader, &status))
        return false;
    record->status = status < WEFT_STATUS_COUNT ? (weft_status_t) status : WEFT_INTERNAL;
    return read_body (reader, record) && read_extra (reader, record, 3);
}

/*  ITEM, CREDIT, CANCEL: an id, perhaps a number, perhaps a body. */
static bool read_stream (mp_reader_t *reader, wire_record_t *record, uint32_t known)
{
    return record->field_count >= known && read_id (reader, record)
           && (known < 2 || mp_read_uint (reader, &record->number))
           && (known < 3 || read_body (reader, record)) && skip_many (reader, record->field_count - known);
}

static bool read_fields (mp_reader_t *reader, wire_record_t *record)
{
    switch (record->kind) {
        case WIRE_REQUEST:
            return read_request (reader, record);
        case WIRE_REPLY:
            return read_reply (reader, record);
        case WIRE_ITEM:
            return read_stream (reader, record, 3);
        case WIRE_CREDIT:
            return read_stream (reader, record, 2);
        case WIRE_CANCEL:
            return read_stream (reader, record, 1);
        default:
            return skip_many (reader, record->field_count);
    }
}

int wire_next (mp_reader_t *reader, wire_record_t *record, const char **fault)
{
    static const char *const faults [WIRE_KINDS] = {
        [WIRE_HELLO] = "malformed HELLO",       [WIRE_WELCOME] = "malformed WELCOME",
        [WIRE_REFUSED] = "malformed REFUSED",   [WIRE_REQUEST] = "malformed REQUEST",
        [WIRE_REPLY] = "malformed REPLY",       [WIRE_ITEM] = "malformed ITEM",
        [WIRE_CREDIT] = "malformed CREDIT",     [WIRE_CANCEL] = "malformed CANCEL",
        [WIRE_REGISTER] = "malformed REGISTER", [WIRE_BEAT] = "malformed BEAT",
        [WIRE_BEAT_OK] = "malformed BEAT_OK",   [WIRE_DRAINING] = "malformed DRAINING",
        [WIRE_GOODBYE] = "malformed GOODBYE"};
    uint32_t count;
    uint64_t kind;

    if (mp_left (reader) == 0)
        return 0;
    *record = (wire_record_t){.start = reader->at};
    if (!mp_read_array (reader, &count) || count == 0 || !mp_read_uint (reader, &kind)) {
        *fault = "a record is an array that starts with its kind";
        return -1;
    }
    record->kind = kind < WIRE_KINDS ? (unsigned) kind : WIRE_KINDS;
    record->field_count = count - 1;

    const uint8_t *fields = reader->at;
    if (!read_fields (reader, record)) {
        *fault = record->kind < WIRE_KINDS && faults [record->kind] ? faults [record->kind]
                                                                    : "malformed record of unknown kind";
        return -1;
    }
    record->fields = mp_reader (fields, (size_t) (reader->at - fields));
    record->size = (size_t) (reader->at - record->start);
    return 1;
}

void wire_patch_id (const wire_record_t *record, uint64_t id)
{
    mp_put64 ((uint8_t *) (uintptr_t) record->start + 3, id);
}

void wire_patch_remaining (const wire_record_t *record, uint32_t remaining_ms)
{
    mp_put32 (record->remaining_at, remaining_ms);
}

/*  The cold kinds. */

/*  An array of str, of which at most `max` are kept. */
static bool read_texts (mp_reader_t *reader, text_t *out, uint32_t max, uint32_t *kept)
{
    uint32_t count;
    text_t beyond;
    if (!mp_read_array (reader, &count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!read_text (reader, i < max ? &out [i] : &beyond))
            return false;
    *kept = count < max ? count : max;
    return true;
}

/*  Walks a map of str to anything: the next key, with the reader at its value. An empty reader is an empty map. */
typedef struct {
    mp_reader_t reader;
    uint32_t left;
} map_walk_t;

static bool map_begin (map_walk_t *self, mp_reader_t map)
{
    *self = (map_walk_t){map, 0};
    return mp_left (&map) == 0 || mp_read_map (&self->reader, &self->left);
}

static bool map_next (map_walk_t *self, text_t *key)
{
    if (self->left == 0)
        return false;
    self->left--;
    return read_text (&self->reader, key);
}

static bool map_end (const map_walk_t *self)
{
    return self->left == 0 && !self->reader.failed;
}

bool wire_read_hello (const wire_record_t *record, wire_hello_t *hello, const char **fault)
{
    mp_reader_t fields = record->fields, options = {0};
    text_t magic, key;
    map_walk_t walk;

    *hello = (wire_hello_t){0};
    *fault = "malformed HELLO";
    if (record->field_count < 6 || !read_text (&fields, &magic))
        return false;
    if (!text_is (magic, "weft")) {
        *fault = "not weft: HELLO must say \"weft\" first";
        return false;
    }
    if (!mp_read_uint (&fields, &hello->lowest) || !mp_read_uint (&fields, &hello->highest)
        || !read_text (&fields, &hello->role)
        || !read_texts (&fields, hello->codecs, WEFT_CODECS_MAX, &hello->codec_count)
        || !read_text (&fields, &hello->name)
        || (record->field_count > 6 && !read_whole (&fields, &options)) || !map_begin (&walk, options))
        return false;
    while (map_next (&walk, &key))
        if (text_is (key, "uuid"))
            read_text (&walk.reader, &hello->uuid);
        else
            mp_skip (&walk.reader);
    if (!map_end (&walk))
        return false;
    if (hello->name.size > WEFT_PEER_NAME_MAX) {
        *fault = "HELLO's name is longer than 63 bytes";
        return false;
    }
    return true;
}

bool wire_read_welcome (const wire_record_t *record, wire_welcome_t *welcome)
{
    mp_reader_t fields = record->fields, limits;
    text_t key;
    map_walk_t walk;

    *welcome = (wire_welcome_t){.body_max = WEFT_BODY_MAX,
                                .frames_max = WEFT_MESSAGE_FRAMES_MAX,
                                .calls_max = UINT64_MAX};
    if (record->field_count < 5 || !mp_read_uint (&fields, &welcome->version)
        || !read_text (&fields, &welcome->codec) || !read_whole (&fields, &limits)
        || !read_text (&fields, &welcome->server)
        || !read_texts (&fields, welcome->brokers, WEFT_BROKERS_MAX, &welcome->broker_count)
        || !map_begin (&walk, limits))
        return false;
    while (map_next (&walk, &key))
        if (text_is (key, "body"))
            mp_read_uint (&walk.reader, &welcome->body_max);
        else if (text_is (key, "frames"))
            mp_read_uint (&walk.reader, &welcome->frames_max);
        else if (text_is (key, "calls"))
            mp_read_uint (&walk.reader, &welcome->calls_max);
        else
            mp_skip (&walk.reader);
    return map_end (&walk);
}

bool wire_read_refused (const wire_record_t *record, wire_refused_t *refused)
{
    mp_reader_t fields = record->fields;
    uint64_t status;
    if (record->field_count < 2 || !mp_read_uint (&fields, &status) || !read_text (&fields, &refused->text))
        return false;
    refused->status = status && status < WEFT_STATUS_COUNT ? (weft_status_t) status : WEFT_INTERNAL;
    return true;
}

bool wire_next_method (mp_reader_t *methods, wire_method_t *out)
{
    uint32_t count;
    mp_reader_t args, reply;
    if (!mp_read_array (methods, &count) || count < 4 || !read_text (methods, &out->name)
        || !mp_read_uint (methods, &out->flags) || !read_whole (methods, &args) || !read_whole (methods, &reply)
        || !skip_many (methods, count - 4))
        return false;
    out->args = args.at;
    out->args_size = mp_left (&args);
    out->reply = reply.at;
    out->reply_size = mp_left (&reply);
    return true;
}

bool wire_next_service (mp_reader_t *services, wire_service_t *out)
{
    uint32_t count;
    if (!mp_read_array (services, &count) || count < 3 || !read_text (services, &out->name)
        || !read_text (services, &out->version) || !read_whole (services, &out->methods))
        return false;
    return mp_read_array (&out->methods, &out->method_count) && skip_many (services, count - 3);
}

/*  Walks all services and methods once, so that later walks cannot fail. */
static bool check_services (const wire_register_t *in, const char **fault)
{
    mp_reader_t services = in->services;
    wire_service_t service;
    wire_method_t method;
    uint64_t methods = 0;

    if (in->service_count > WEFT_SERVICES_MAX) {
        *fault = "more than 256 services";
        return false;
    }
    for (uint32_t i = 0; i < in->service_count; i++) {
        if (!wire_next_service (&services, &service))
            return false;
        if ((methods += service.method_count) > WEFT_METHODS_MAX) {
            *fault = "more than 1024 methods";
            return false;
        }
        for (uint32_t j = 0; j < service.method_count; j++) {
            if (!wire_next_method (&service.methods, &method))
                return false;
            if (method.args_size > WEFT_SCHEMA_MAX || method.reply_size > WEFT_SCHEMA_MAX) {
                *fault = "a type of more than 65536 bytes";
                return false;
            }
            if (!types_valid (method.args, method.args_size) || !types_valid (method.reply, method.reply_size)) {
                *fault = "a type that is malformed";
                return false;
            }
        }
    }
    return true;
}

static bool read_labels (mp_reader_t *fields, wire_register_t *out)
{
    uint32_t count;
    text_t key, value;
    if (!mp_read_map (fields, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_text (fields, &key) || !read_text (fields, &value))
            return false;
        if (out->label_count == WEFT_LABELS_MAX)
            continue;
        out->label_keys [out->label_count] = key;
        out->label_values [out->label_count++] = value;
    }
    return true;
}

bool wire_read_register (const wire_record_t *record, wire_register_t *out, const char **fault)
{
    mp_reader_t fields = record->fields, options = {0};
    text_t key;
    map_walk_t walk;

    *out = (wire_register_t){0};
    *fault = "malformed REGISTER";
    if (record->field_count < 6 || !read_text (&fields, &out->uuid) || !mp_read_uint (&fields, &out->incarnation)
        || !read_whole (&fields, &out->services) || !mp_read_array (&out->services, &out->service_count)
        || !read_texts (&fields, out->endpoints, WEFT_ENDPOINTS_MAX, &out->endpoint_count)
        || !mp_read_uint (&fields, &out->cores) || !read_labels (&fields, out)
        || (record->field_count > 6 && !read_whole (&fields, &options)) || !map_begin (&walk, options))
        return false;
    while (map_next (&walk, &key))
        if (text_is (key, "host"))
            read_text (&walk.reader, &out->host);
        else if (text_is (key, "pid"))
            mp_read_uint (&walk.reader, &out->pid);
        else if (text_is (key, "capacity"))
            mp_read_uint (&walk.reader, &out->capacity);
        else
            mp_skip (&walk.reader);
    return map_end (&walk) && check_services (out, fault);
}

bool wire_read_beat (const wire_record_t *record, uint64_t *sequence, wire_load_t *load)
{
    mp_reader_t fields = record->fields;
    uint32_t count;
    return record->field_count >= 2 && mp_read_uint (&fields, sequence) && mp_read_array (&fields, &count)
           && count >= 4 && mp_read_uint (&fields, &load->in_flight) && mp_read_uint (&fields, &load->capacity)
           && mp_read_uint (&fields, &load->oldest_ms) && mp_read_uint (&fields, &load->progress);
}

bool wire_read_beat_ok (const wire_record_t *record, wire_beat_ok_t *out)
{
    mp_reader_t fields = record->fields;
    *out = (wire_beat_ok_t){0};
    return record->field_count >= 4 && mp_read_uint (&fields, &out->sequence)
           && mp_read_uint (&fields, &out->next_ms) && mp_read_uint (&fields, &out->ttl_ms)
           && read_texts (&fields, out->brokers, WEFT_BROKERS_MAX, &out->broker_count);
}

bool wire_read_text (const wire_record_t *record, text_t *out)
{
    mp_reader_t fields = record->fields;
    return record->field_count >= 1 && read_text (&fields, out);
}

bool wire_read_options (mp_reader_t extra, wire_options_t *options)
{
    map_walk_t walk;
    text_t key;
    *options = (wire_options_t){0};
    if (!map_begin (&walk, extra))
        return false;
    while (map_next (&walk, &key)) {
        if (text_is (key, "codec"))
            read_text (&walk.reader, &options->codec);
        else if (text_is (key, "worker"))
            read_text (&walk.reader, &options->worker);
        else if (text_is (key, "key"))
            read_text_or_bin (&walk.reader, &options->key);
        else if (text_is (key, "request_key"))
            read_text_or_bin (&walk.reader, &options->request_key);
        else if (text_is (key, "trace"))
            read_text (&walk.reader, &options->trace);
        else if (text_is (key, "meta") && mp_peek (&walk.reader) == MP_MAP)
            read_whole (&walk.reader, &options->meta);
        else if (text_is (key, "meta"))
            return false;
        else
            mp_skip (&walk.reader);
    }
    return map_end (&walk);
}

bool wire_read_info (mp_reader_t extra, wire_info_t *info)
{
    map_walk_t walk;
    text_t key;
    uint64_t number;
    *info = wire_info_none ();
    if (!map_begin (&walk, extra))
        return false;
    while (map_next (&walk, &key)) {
        if (text_is (key, "executed")) {
            if (mp_read_uint (&walk.reader, &number) && number <= WEFT_EXECUTED_YES)
                info->executed = (int) number;
        } else if (text_is (key, "origin")) {
            if (mp_read_uint (&walk.reader, &number) && number <= WEFT_ORIGIN_APPLICATION)
                info->origin = (int) number;
        } else if (text_is (key, "text"))
            read_text (&walk.reader, &info->text);
        else if (text_is (key, "code"))
            mp_read_int (&walk.reader, &info->code);
        else if (text_is (key, "retry_after_ms"))
            mp_read_uint (&walk.reader, &info->retry_after_ms);
        else if (text_is (key, "broker_us"))
            mp_read_uint (&walk.reader, &info->broker_us);
        else if (text_is (key, "queue_us"))
            mp_read_uint (&walk.reader, &info->queue_us);
        else if (text_is (key, "handler_us"))
            mp_read_uint (&walk.reader, &info->handler_us);
        else
            mp_skip (&walk.reader);
    }
    return map_end (&walk);
}

/*  Writing. */

static void begin (buffer_t *out, wire_kind_t kind, uint32_t fields)
{
    mp_write_array (out, fields + 1);
    mp_write_uint (out, kind);
}

static void write_texts (buffer_t *out, const char *const *texts)
{
    uint32_t count = 0;
    while (texts && texts [count])
        count++;
    mp_write_array (out, count);
    for (uint32_t i = 0; i < count; i++)
        mp_write_text (out, texts [i]);
}

static void write_body (buffer_t *out, const void *body, size_t size, bool attached)
{
    if (attached)
        mp_write_nil (out);
    else
        mp_write_bin (out, body, size);
}

/*  The bytes of a reader, as they are. */
static void write_whole (buffer_t *out, mp_reader_t value)
{
    buffer_append (out, value.at, mp_left (&value));
}

void wire_write_hello (buffer_t *out, const char *role, const char *const *codecs, const char *name,
                       const char *uuid)
{
    begin (out, WIRE_HELLO, uuid ? 7 : 6);
    mp_write_text (out, "weft");
    mp_write_uint (out, WEFT_PROTOCOL_LOWEST);
    mp_write_uint (out, WEFT_PROTOCOL_HIGHEST);
    mp_write_text (out, role);
    write_texts (out, codecs);
    mp_write_text (out, name);
    if (uuid) {
        mp_write_map (out, 1);
        mp_write_text (out, "uuid");
        mp_write_text (out, uuid);
    }
}

void wire_write_welcome (buffer_t *out, text_t codec, uint64_t body_max, uint64_t calls_max, const char *server,
                         const char *const *brokers)
{
    begin (out, WIRE_WELCOME, 5);
    mp_write_uint (out, WEFT_PROTOCOL_HIGHEST);
    mp_write_str (out, codec.data, codec.size);
    mp_write_map (out, 3);
    mp_write_text (out, "body");
    mp_write_uint (out, body_max);
    mp_write_text (out, "frames");
    mp_write_uint (out, WEFT_MESSAGE_FRAMES_MAX);
    mp_write_text (out, "calls");
    mp_write_uint (out, calls_max);
    mp_write_text (out, server);
    write_texts (out, brokers);
}

void wire_write_refused (buffer_t *out, weft_status_t status, const char *text)
{
    begin (out, WIRE_REFUSED, 2);
    mp_write_uint (out, status);
    mp_write_text (out, text);
}

void wire_write_request_raw (buffer_t *out, uint64_t id, text_t method, uint32_t remaining_ms, const void *body,
                             size_t size, bool attached, mp_reader_t options)
{
    begin (out, WIRE_REQUEST, mp_left (&options) ? 5 : 4);
    mp_write_uint64_fixed (out, id);
    mp_write_str (out, method.data, method.size);
    mp_write_uint32_fixed (out, remaining_ms);
    write_body (out, body, size, attached);
    write_whole (out, options);
}

static void write_option (buffer_t *out, const char *key, text_t value)
{
    if (value.size == 0)
        return;
    mp_write_text (out, key);
    mp_write_str (out, value.data, value.size);
}

void wire_write_request (buffer_t *out, uint64_t id, text_t method, uint32_t remaining_ms, const void *body,
                         size_t size, bool attached, const wire_options_t *options)
{
    uint32_t count = 0;
    if (options)
        count = (uint32_t) ((options->codec.size > 0) + (options->worker.size > 0) + (options->key.size > 0)
                            + (options->request_key.size > 0) + (options->trace.size > 0)
                            + (mp_left (&options->meta) > 0));

    begin (out, WIRE_REQUEST, count ? 5 : 4);
    mp_write_uint64_fixed (out, id);
    mp_write_str (out, method.data, method.size);
    mp_write_uint32_fixed (out, remaining_ms);
    write_body (out, body, size, attached);
    if (count == 0)
        return;
    mp_write_map (out, count);
    write_option (out, "codec", options->codec);
    write_option (out, "worker", options->worker);
    write_option (out, "key", options->key);
    write_option (out, "request_key", options->request_key);
    write_option (out, "trace", options->trace);
    if (mp_left (&options->meta) > 0) {
        mp_write_text (out, "meta");
        write_whole (out, options->meta);
    }
}

void wire_write_reply_raw (buffer_t *out, uint64_t id, weft_status_t status, const void *body, size_t size,
                           bool attached, mp_reader_t info)
{
    begin (out, WIRE_REPLY, mp_left (&info) ? 4 : 3);
    mp_write_uint64_fixed (out, id);
    mp_write_uint (out, status);
    write_body (out, body, size, attached);
    write_whole (out, info);
}

static void write_count (buffer_t *out, const char *key, uint64_t value)
{
    if (value == 0)
        return;
    mp_write_text (out, key);
    mp_write_uint (out, value);
}

void wire_write_reply (buffer_t *out, uint64_t id, weft_status_t status, const void *body, size_t size,
                       bool attached, const wire_info_t *info)
{
    uint32_t count = 0;
    if (info)
        count = (uint32_t) ((info->executed >= 0) + (info->origin >= 0) + (info->text.size > 0)
                            + (info->code != 0) + (info->retry_after_ms > 0) + (info->broker_us > 0)
                            + (info->queue_us > 0) + (info->handler_us > 0));

    begin (out, WIRE_REPLY, count ? 4 : 3);
    mp_write_uint64_fixed (out, id);
    mp_write_uint (out, status);
    write_body (out, body, size, attached);
    if (count == 0)
        return;
    mp_write_map (out, count);
    if (info->executed >= 0) {
        mp_write_text (out, "executed");
        mp_write_uint (out, (uint64_t) info->executed);
    }
    if (info->origin >= 0) {
        mp_write_text (out, "origin");
        mp_write_uint (out, (uint64_t) info->origin);
    }
    write_option (out, "text", info->text);
    if (info->code != 0) {
        mp_write_text (out, "code");
        mp_write_int (out, info->code);
    }
    write_count (out, "retry_after_ms", info->retry_after_ms);
    write_count (out, "broker_us", info->broker_us);
    write_count (out, "queue_us", info->queue_us);
    write_count (out, "handler_us", info->handler_us);
}

void wire_write_item (buffer_t *out, uint64_t id, uint64_t index, const void *body, size_t size, bool attached)
{
    begin (out, WIRE_ITEM, 3);
    mp_write_uint64_fixed (out, id);
    mp_write_uint (out, index);
    write_body (out, body, size, attached);
}

void wire_write_credit (buffer_t *out, uint64_t id, uint64_t n)
{
    begin (out, WIRE_CREDIT, 2);
    mp_write_uint64_fixed (out, id);
    mp_write_uint (out, n);
}

void wire_write_cancel (buffer_t *out, uint64_t id)
{
    begin (out, WIRE_CANCEL, 1);
    mp_write_uint64_fixed (out, id);
}

void wire_write_beat (buffer_t *out, uint64_t sequence, const wire_load_t *load)
{
    begin (out, WIRE_BEAT, 2);
    mp_write_uint (out, sequence);
    mp_write_array (out, 4);
    mp_write_uint (out, load->in_flight);
    mp_write_uint (out, load->capacity);
    mp_write_uint (out, load->oldest_ms);
    mp_write_uint (out, load->progress);
}

void wire_write_beat_ok (buffer_t *out, uint64_t sequence, uint64_t next_ms, uint64_t ttl_ms,
                         const char *const *brokers)
{
    begin (out, WIRE_BEAT_OK, 4);
    mp_write_uint (out, sequence);
    mp_write_uint (out, next_ms);
    mp_write_uint (out, ttl_ms);
    write_texts (out, brokers);
}

void wire_write_draining (buffer_t *out, const char *text)
{
    begin (out, WIRE_DRAINING, 1);
    mp_write_text (out, text);
}

void wire_write_goodbye (buffer_t *out, const char *text)
{
    begin (out, WIRE_GOODBYE, 1);
    mp_write_text (out, text);
}

void wire_write_register_begin (buffer_t *out, const char *uuid, uint64_t incarnation, uint32_t service_count)
{
    begin (out, WIRE_REGISTER, 7);
    mp_write_text (out, uuid);
    mp_write_uint (out, incarnation);
    mp_write_array (out, service_count);
}

static void write_labels (buffer_t *out, const char *const *labels)
{
    uint32_t count = 0;
    while (labels && labels [count])
        count++;
    mp_write_map (out, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *equals = strchr (labels [i], '=');
        mp_write_str (out, labels [i], equals ? (size_t) (equals - labels [i]) : strlen (labels [i]));
        mp_write_text (out, equals ? equals + 1 : "");
    }
}

void wire_write_register_end (buffer_t *out, const char *const *endpoints, uint64_t cores,
                              const char *const *labels, const char *host, uint64_t pid, uint64_t capacity)
{
    write_texts (out, endpoints);
    mp_write_uint (out, cores);
    write_labels (out, labels);
    mp_write_map (out, 3);
    mp_write_text (out, "host");
    mp_write_text (out, host);
    mp_write_text (out, "pid");
    mp_write_uint (out, pid);
    mp_write_text (out, "capacity");
    mp_write_uint (out, capacity);
}
