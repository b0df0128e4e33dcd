/* SPDX-License-Identifier: MPL-2.0 */

#include "types.h"
#include "wire_inside.h"
#include <string.h>

/*  Reading. */

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

/*  Writing. */

static void write_texts (buffer_t *out, const char *const *texts)
{
    uint32_t count = 0;
    while (texts && texts [count])
        count++;
    mp_write_array (out, count);
    for (uint32_t i = 0; i < count; i++)
        mp_write_text (out, texts [i]);
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
