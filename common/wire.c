/* SPDX-License-Identifier: MPL-2.0 */

#include "wire_inside.h"
#include <string.h>
#include "bytes.h"

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

/*  The usual shape ---------------------------------------------------------------------------------------------- */

/*  Nearly all records are REQUEST and REPLY as our own writers make them. Those are read at known places; one that differs in
 *  anything is read the long way. Each of these returns where it ends, or NULL. */

static const uint8_t *usual_method (const uint8_t *at, const uint8_t *end, wire_record_t *record)
{
    const size_t left = (size_t) (end - at);
    size_t head = 1, size;

    if (left < 2)
        return NULL;
    if ((at [0] & 0xe0) == 0xa0)
        size = at [0] & 0x1f;
    else if (at [0] == 0xd9) {
        head = 2;
        size = at [1];
    } else
        return NULL;
    if (left < head + size + 5 || at [head + size] != 0xce)
        return NULL;
    record->method = (text_t){(const char *) at + head, size};
    at += head + size + 1;
    record->remaining_ms = mp_get32 (at);
    record->remaining_at = (uint8_t *) (uintptr_t) at;
    return at + 4;
}

static const uint8_t *usual_status (const uint8_t *at, const uint8_t *end, wire_record_t *record)
{
    if (at == end || *at >= WEFT_STATUS_COUNT)
        return NULL;
    record->status = (weft_status_t) *at;
    return at + 1;
}

static const uint8_t *usual_body (const uint8_t *at, const uint8_t *end, wire_record_t *record)
{
    const size_t left = (size_t) (end - at);
    size_t head, size;

    if (left > 0 && at [0] == 0xc0) {
        record->attached = true;
        return at + 1;
    }
    if (left < 2)
        return NULL;
    if (at [0] == 0xc4) {
        head = 2;
        size = at [1];
    } else if (at [0] == 0xc5 && left > 2) {
        head = 3;
        size = (size_t) at [1] << 8 | at [2];
    } else
        return NULL;
    if (left < head + size)
        return NULL;
    record->body = at + head;
    record->body_size = size;
    return at + head + size;
}

static bool next_usual (mp_reader_t *reader, wire_record_t *record)
{
    const uint8_t *const start = reader->at, *at = start + WIRE_HEAD_SIZE;
    const uint32_t count = (uint32_t) start [0] - 0x91; /* fields after the kind */
    const bool request = start [1] == WIRE_REQUEST;
    const uint32_t known = request ? 4 : 3;

    if (count < known || count > 14 || (!request && start [1] != WIRE_REPLY) || start [2] != 0xcf)
        return false;
    record->kind = start [1];
    record->field_count = count;
    record->id = mp_get64 (start + 3);
    record->id_fixed = true;
    if (request && record->id == 0)
        return false;
    at = request ? usual_method (at, reader->end, record) : usual_status (at, reader->end, record);
    if (at)
        at = usual_body (at, reader->end, record);
    if (!at)
        return false;
    if (count > known) {
        mp_reader_t rest = mp_reader (at, (size_t) (reader->end - at));
        if (!read_extra (&rest, record, known))
            return false;
        at = rest.at;
    }
    reader->at = at;
    return true;
}

/*  The next record ---------------------------------------------------------------------------------------------- */

static int finish (const mp_reader_t *reader, wire_record_t *record, const uint8_t *fields)
{
    record->fields = (mp_reader_t){fields, reader->at, false};
    record->size = (size_t) (reader->at - record->start);
    return 1;
}

/*  Field by field: compilers make a slow string instruction of one big assignment. */
static void clear (wire_record_t *record, const uint8_t *start)
{
    record->kind = 0;
    record->start = start;
    record->size = 0;
    record->fields = (mp_reader_t){start, start, false};
    record->field_count = 0;
    record->id = 0;
    record->id_fixed = false;
    record->method = (text_t){NULL, 0};
    record->remaining_ms = 0;
    record->remaining_at = NULL;
    record->status = WEFT_OK;
    record->number = 0;
    record->attached = false;
    record->body = NULL;
    record->body_size = 0;
    record->extra = (mp_reader_t){NULL, NULL, false};
}

static __attribute__ ((noinline)) int next_any (mp_reader_t *reader, wire_record_t *record, const char **fault)
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

    clear (record, reader->at);
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
    return finish (reader, record, fields);
}

int wire_next (mp_reader_t *reader, wire_record_t *record, const char **fault)
{
    const size_t left = mp_left (reader);
    if (left == 0)
        return 0;
    clear (record, reader->at);
    if (left > WIRE_HEAD_SIZE && next_usual (reader, record))
        return finish (reader, record, record->start + 2);
    return next_any (reader, record, fault);
}

/*  A map of str to str. */
static bool read_texts (mp_reader_t *reader, mp_reader_t *map)
{
    map_walk_t walk;
    text_t text;

    if (mp_peek (reader) != MP_MAP || !read_whole (reader, map))
        return false;
    map_begin (&walk, *map);
    while (map_next (&walk, &text))
        if (!read_text (&walk.reader, &text))
            return false;
    return map_end (&walk);
}

/*  Those that nobody here asks for are checked as well: a broker passes them on to who may ask. */
bool wire_read_options (mp_reader_t extra, wire_options_t *options)
{
    map_walk_t walk;
    text_t key;
    int64_t priority;
    uint64_t hops;
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
        else if (text_is (key, "meta")) {
            if (!read_texts (&walk.reader, &options->meta))
                return false;
        } else if (text_is (key, "credit"))
            mp_read_uint (&walk.reader, &options->credit);
        else if (text_is (key, "priority"))
            mp_read_int (&walk.reader, &priority);
        else if (text_is (key, "hops"))
            mp_read_uint (&walk.reader, &hops);
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

/*  REQUEST and REPLY are written in one piece, up to their options or info. */

static size_t str_head (size_t size)
{
    return size <= 31 ? 1 : size <= UINT8_MAX ? 2 : size <= UINT16_MAX ? 3 : 5;
}

static size_t body_head (size_t size, bool attached)
{
    return attached ? 1 : size <= UINT8_MAX ? 2 : size <= UINT16_MAX ? 3 : 5;
}

/*  A head whose size field is 1, 2 or 4 bytes wide under the codes `code`, `code + 1`, `code + 2`. */
static uint8_t *put_wide_head (uint8_t *at, unsigned code, size_t size)
{
    if (size <= UINT8_MAX) {
        at [0] = (uint8_t) code;
        at [1] = (uint8_t) size;
        return at + 2;
    }
    if (size <= UINT16_MAX) {
        at [0] = (uint8_t) (code + 1);
        at [1] = (uint8_t) (size >> 8);
        at [2] = (uint8_t) size;
        return at + 3;
    }
    at [0] = (uint8_t) (code + 2);
    mp_put32 (at + 1, (uint32_t) size);
    return at + 5;
}

static uint8_t *put_str (uint8_t *at, text_t text)
{
    if (text.size > 31)
        at = put_wide_head (at, 0xd9, text.size);
    else
        *at++ = (uint8_t) (0xa0 | text.size);
    bytes_copy (at, text.data, text.size);
    return at + text.size;
}

static void put_body (uint8_t *at, const void *body, size_t size, bool attached)
{
    if (attached) {
        *at = 0xc0;
        return;
    }
    at = put_wide_head (at, 0xc4, size);
    bytes_copy (at, body, size);
}

static void write_request_head (buffer_t *out, uint32_t fields, uint64_t id, text_t method, uint32_t remaining_ms,
                                const void *body, size_t size, bool attached)
{
    const size_t inside = attached ? 0 : size;
    uint8_t *at = buffer_extend (out, WIRE_HEAD_SIZE + str_head (method.size) + method.size + 5 + body_head (size, attached) + inside);
    if (!at)
        return;
    at = wire_put_head (at, WIRE_REQUEST, fields, id);
    at = put_str (at, method);
    at [0] = 0xce;
    mp_put32 (at + 1, remaining_ms);
    put_body (at + 5, body, size, attached);
}

static void write_reply_head (buffer_t *out, uint32_t fields, uint64_t id, weft_status_t status, const void *body,
                              size_t size, bool attached)
{
    const size_t inside = attached ? 0 : size;
    uint8_t *at = buffer_extend (out, WIRE_HEAD_SIZE + 1 + body_head (size, attached) + inside);
    if (!at)
        return;
    at = wire_put_head (at, WIRE_REPLY, fields, id);
    at [0] = (uint8_t) status;
    put_body (at + 1, body, size, attached);
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

void wire_write_request_raw (buffer_t *out, uint64_t id, text_t method, uint32_t remaining_ms, const void *body,
                             size_t size, bool attached, mp_reader_t options)
{
    write_request_head (out, mp_left (&options) ? 5 : 4, id, method, remaining_ms, body, size, attached);
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
                            + (mp_left (&options->meta) > 0) + (options->credit > 0));

    write_request_head (out, count ? 5 : 4, id, method, remaining_ms, body, size, attached);
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
    if (options->credit > 0) {
        mp_write_text (out, "credit");
        mp_write_uint (out, options->credit);
    }
}

void wire_write_reply_raw (buffer_t *out, uint64_t id, weft_status_t status, const void *body, size_t size,
                           bool attached, mp_reader_t info)
{
    write_reply_head (out, mp_left (&info) ? 4 : 3, id, status, body, size, attached);
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

    write_reply_head (out, count ? 4 : 3, id, status, body, size, attached);
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
