/* SPDX-License-Identifier: MPL-2.0
 *
 *  The golden vectors, read with the C side; tests/golden/README.md explains their format. Each message is decoded and
 *  told in the vectors' words, then, if it is an exact one, written again with our writers. */

#include "message.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"

#define FILE_MAX (1 << 20)

/*  Telling. */

__attribute__ ((format (printf, 2, 3))) static void say (buffer_t *out, const char *format, ...)
{
    char text [2048];
    va_list args;
    va_start (args, format);
    const int size = vsnprintf (text, sizeof text, format, args);
    va_end (args);
    CHECK (size >= 0 && (size_t) size < sizeof text);
    buffer_append (out, text, (size_t) size);
}

static void say_text (buffer_t *out, const char *key, text_t value)
{
    say (out, " %s=\"%.*s\"", key, TEXT_ARG (value));
}

static void say_text_if (buffer_t *out, const char *key, text_t value)
{
    if (value.size)
        say_text (out, key, value);
}

static void say_number (buffer_t *out, const char *key, uint64_t value)
{
    say (out, " %s=%ju", key, (uintmax_t) value);
}

static void say_number_if (buffer_t *out, const char *key, uint64_t value)
{
    if (value)
        say_number (out, key, value);
}

static void say_texts (buffer_t *out, const char *key, const text_t *values, uint32_t count)
{
    say (out, " %s=[", key);
    for (uint32_t i = 0; i < count; i++)
        say (out, "%s\"%.*s\"", i ? "," : "", TEXT_ARG (values [i]));
    say (out, "]");
}

static void say_pair (buffer_t *out, uint32_t i, text_t key, text_t value)
{
    say (out, "%s\"%.*s\":\"%.*s\"", i ? "," : "", TEXT_ARG (key), TEXT_ARG (value));
}

static void say_bytes (buffer_t *out, const char *key, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    bool alike = size >= 64;
    for (size_t i = 1; alike && i < size; i++)
        alike = bytes [i] == bytes [0];

    say (out, " %s=%s", key, size ? "" : "-");
    if (alike)
        say (out, "%zu*%02x", size, bytes [0]);
    for (size_t i = 0; !alike && i < size; i++)
        say (out, "%02x", bytes [i]);
}

static void say_body (buffer_t *out, const wire_record_t *record)
{
    say_bytes (out, "body", record->body, record->body_size);
    if (record->attached)
        say (out, " attached");
}

static void say_meta (buffer_t *out, mp_reader_t meta)
{
    uint32_t count;
    text_t key, value;
    if (mp_left (&meta) == 0 || !mp_read_map (&meta, &count))
        return;
    say (out, " meta={");
    for (uint32_t i = 0; i < count; i++) {
        CHECK (mp_read_str (&meta, &key.data, &key.size) && mp_read_str (&meta, &value.data, &value.size));
        say_pair (out, i, key, value);
    }
    say (out, "}");
}

/*  An option that the library does not read (yet): an integer, if it is there. */
static void say_other_option (buffer_t *out, const char *key, mp_reader_t options)
{
    uint32_t count = 0;
    text_t name;
    int64_t value;
    if (mp_left (&options))
        mp_read_map (&options, &count);
    while (count-- && mp_read_str (&options, &name.data, &name.size))
        if (!text_is (name, key))
            mp_skip (&options);
        else if (mp_read_int (&options, &value))
            say (out, " %s=%jd", key, (intmax_t) value);
}

static bool tell_request (buffer_t *out, const wire_record_t *record)
{
    wire_options_t options;
    if (!wire_read_options (record->extra, &options))
        return false;
    say (out, "REQUEST id=%ju", (uintmax_t) record->id);
    say_text (out, "method", record->method);
    say_number (out, "remaining_ms", record->remaining_ms);
    say_body (out, record);
    say_text_if (out, "codec", options.codec);
    say_text_if (out, "worker", options.worker);
    if (options.key.size)
        say_bytes (out, "key", options.key.data, options.key.size);
    if (options.request_key.size)
        say_bytes (out, "request_key", options.request_key.data, options.request_key.size);
    say_text_if (out, "trace", options.trace);
    say_meta (out, options.meta);
    say_other_option (out, "priority", record->extra);
    say_other_option (out, "hops", record->extra);
    if (options.credit)
        say_number (out, "credit", options.credit);
    return true;
}

static bool tell_reply (buffer_t *out, const wire_record_t *record)
{
    wire_info_t info;
    if (!wire_read_info (record->extra, &info))
        return false;
    say (out, "REPLY id=%ju status=%d", (uintmax_t) record->id, (int) record->status);
    say_body (out, record);
    if (info.executed >= 0)
        say_number (out, "executed", (uint64_t) info.executed);
    if (info.origin >= 0)
        say_number (out, "origin", (uint64_t) info.origin);
    say_text_if (out, "text", info.text);
    if (info.code)
        say (out, " code=%jd", (intmax_t) info.code);
    say_number_if (out, "retry_after_ms", info.retry_after_ms);
    say_number_if (out, "broker_us", info.broker_us);
    say_number_if (out, "queue_us", info.queue_us);
    say_number_if (out, "handler_us", info.handler_us);
    return true;
}

static bool tell_hello (buffer_t *out, const wire_record_t *record, const char **fault)
{
    wire_hello_t hello;
    if (!wire_read_hello (record, &hello, fault))
        return false;
    say (out, "HELLO lowest=%ju", (uintmax_t) hello.lowest);
    say_number (out, "highest", hello.highest);
    say_text (out, "role", hello.role);
    say_texts (out, "codecs", hello.codecs, hello.codec_count);
    say_text (out, "name", hello.name);
    say_text_if (out, "uuid", hello.uuid);
    return true;
}

static bool tell_welcome (buffer_t *out, const wire_record_t *record)
{
    wire_welcome_t welcome;
    if (!wire_read_welcome (record, &welcome))
        return false;
    say (out, "WELCOME version=%ju", (uintmax_t) welcome.version);
    say_text (out, "codec", welcome.codec);
    say_number (out, "body", welcome.body_max);
    say_number (out, "frames", welcome.frames_max);
    say_number (out, "calls", welcome.calls_max);
    say_text (out, "server", welcome.server);
    say_texts (out, "brokers", welcome.brokers, welcome.broker_count);
    return true;
}

static void tell_services (buffer_t *out, const wire_register_t *in)
{
    mp_reader_t services = in->services;
    wire_service_t service;
    wire_method_t method;
    for (uint32_t i = 0; i < in->service_count; i++) {
        CHECK (wire_next_service (&services, &service));
        say (out, "\n SERVICE");
        say_text (out, "name", service.name);
        say_text (out, "version", service.version);
        for (uint32_t j = 0; j < service.method_count; j++) {
            CHECK (wire_next_method (&service.methods, &method));
            say (out, "\n  METHOD");
            say_text (out, "name", method.name);
            say_number (out, "flags", method.flags);
            say_bytes (out, "arguments", method.args, method.args_size);
            say_bytes (out, "reply", method.reply, method.reply_size);
        }
    }
}

static bool tell_register (buffer_t *out, const wire_record_t *record, const char **fault)
{
    wire_register_t in;
    if (!wire_read_register (record, &in, fault))
        return false;
    say (out, "REGISTER");
    say_text (out, "uuid", in.uuid);
    say_number (out, "incarnation", in.incarnation);
    say_texts (out, "endpoints", in.endpoints, in.endpoint_count);
    say_number (out, "cores", in.cores);
    say (out, " labels={");
    for (uint32_t i = 0; i < in.label_count; i++)
        say_pair (out, i, in.label_keys [i], in.label_values [i]);
    say (out, "}");
    say_text_if (out, "host", in.host);
    say_number_if (out, "pid", in.pid);
    say_number_if (out, "capacity", in.capacity);
    tell_services (out, &in);
    return true;
}

static bool tell_beat (buffer_t *out, const wire_record_t *record)
{
    uint64_t sequence;
    wire_load_t load;
    if (!wire_read_beat (record, &sequence, &load))
        return false;
    say (out, "BEAT sequence=%ju", (uintmax_t) sequence);
    say_number (out, "in_flight", load.in_flight);
    say_number (out, "capacity", load.capacity);
    say_number (out, "oldest_ms", load.oldest_ms);
    say_number (out, "progress", load.progress);
    return true;
}

static bool tell_beat_ok (buffer_t *out, const wire_record_t *record)
{
    wire_beat_ok_t answer;
    if (!wire_read_beat_ok (record, &answer))
        return false;
    say (out, "BEAT_OK sequence=%ju", (uintmax_t) answer.sequence);
    say_number (out, "next_ms", answer.next_ms);
    say_number (out, "ttl_ms", answer.ttl_ms);
    say_texts (out, "brokers", answer.brokers, answer.broker_count);
    return true;
}

static bool tell_refused (buffer_t *out, const wire_record_t *record)
{
    wire_refused_t refused;
    if (!wire_read_refused (record, &refused))
        return false;
    say (out, "REFUSED status=%d", (int) refused.status);
    say_text (out, "text", refused.text);
    return true;
}

/*  DRAINING and GOODBYE; the first may name a worker. */
static bool tell_text (buffer_t *out, const wire_record_t *record, const char *kind)
{
    mp_reader_t fields = record->fields;
    text_t text, worker;
    if (!wire_read_text (record, &text))
        return false;
    say (out, "%s", kind);
    say_text (out, "text", text);
    mp_skip (&fields);
    if (record->kind == WIRE_DRAINING && mp_read_str (&fields, &worker.data, &worker.size))
        say_text (out, "worker", worker);
    return true;
}

static uint64_t kind_of (const wire_record_t *record)
{
    mp_reader_t reader = mp_reader (record->start, record->size);
    uint32_t count;
    uint64_t kind = 0;
    CHECK (mp_read_array (&reader, &count) && mp_read_uint (&reader, &kind));
    return kind;
}

static bool tell (buffer_t *out, const wire_record_t *record, const char **fault)
{
    switch (record->kind) {
        case WIRE_HELLO:
            return tell_hello (out, record, fault);
        case WIRE_WELCOME:
            return tell_welcome (out, record);
        case WIRE_REFUSED:
            return tell_refused (out, record);
        case WIRE_REQUEST:
            return tell_request (out, record);
        case WIRE_REPLY:
            return tell_reply (out, record);
        case WIRE_ITEM:
            say (out, "ITEM id=%ju index=%ju", (uintmax_t) record->id, (uintmax_t) record->number);
            say_body (out, record);
            return true;
        case WIRE_CREDIT:
            say (out, "CREDIT id=%ju n=%ju", (uintmax_t) record->id, (uintmax_t) record->number);
            return true;
        case WIRE_CANCEL:
            say (out, "CANCEL id=%ju", (uintmax_t) record->id);
            return true;
        case WIRE_REGISTER:
            return tell_register (out, record, fault);
        case WIRE_BEAT:
            return tell_beat (out, record);
        case WIRE_BEAT_OK:
            return tell_beat_ok (out, record);
        case WIRE_DRAINING:
            return tell_text (out, record, "DRAINING");
        case WIRE_GOODBYE:
            return tell_text (out, record, "GOODBYE");
        default:
            say (out, "UNKNOWN kind=%ju", (uintmax_t) kind_of (record));
            return true;
    }
}

/*  The whole message, a line for each record, FAULT at the end if it is malformed from there. */
static void tell_message (buffer_t *out, message_t *message)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = "malformed";
    int got;

    while ((got = message_next (&cursor, &record, &attachment, &fault)) == 1) {
        const size_t before = out->size;
        if (!tell (out, &record, &fault)) {
            buffer_truncate (out, before);
            got = -1;
            break;
        }
        say (out, "\n");
    }
    if (got < 0) {
        CHECK (*fault != '\0');
        say (out, "FAULT\n");
    }
}

/*  Writing again. */

/*  A text with a NUL; the last 64 live. */
static const char *z (text_t text)
{
    static char copies [64][256];
    static unsigned next;
    char *copy = copies [next++ % 64];
    CHECK (text.size < sizeof copies [0]);
    if (text.size)
        memcpy (copy, text.data, text.size);
    copy [text.size] = '\0';
    return copy;
}

static const char *const *list (const text_t *texts, uint32_t count)
{
    static const char *zs [WEFT_CODECS_MAX + 1];
    CHECK (count <= WEFT_CODECS_MAX);
    for (uint32_t i = 0; i < count; i++)
        zs [i] = z (texts [i]);
    zs [count] = NULL;
    return zs;
}

static void write_services (buffer_t *out, const wire_register_t *in)
{
    mp_reader_t services = in->services;
    wire_service_t service;
    wire_method_t method;
    for (uint32_t i = 0; i < in->service_count; i++) {
        CHECK (wire_next_service (&services, &service));
        mp_write_array (out, 3);
        mp_write_str (out, service.name.data, service.name.size);
        mp_write_str (out, service.version.data, service.version.size);
        mp_write_array (out, service.method_count);
        for (uint32_t j = 0; j < service.method_count; j++) {
            CHECK (wire_next_method (&service.methods, &method));
            mp_write_array (out, 4);
            mp_write_str (out, method.name.data, method.name.size);
            mp_write_uint (out, method.flags);
            buffer_append (out, method.args, method.args_size);
            buffer_append (out, method.reply, method.reply_size);
        }
    }
}

static void write_register (buffer_t *out, const wire_record_t *record)
{
    const char *labels [WEFT_LABELS_MAX + 1] = {0};
    char pairs [WEFT_LABELS_MAX][256];
    wire_register_t in;
    const char *fault;

    CHECK (wire_read_register (record, &in, &fault));
    wire_write_register_begin (out, z (in.uuid), in.incarnation, in.service_count);
    write_services (out, &in);
    for (uint32_t i = 0; i < in.label_count; i++) {
        snprintf (pairs [i], sizeof pairs [i], "%s=%s", z (in.label_keys [i]), z (in.label_values [i]));
        labels [i] = pairs [i];
    }
    wire_write_register_end (out, list (in.endpoints, in.endpoint_count), in.cores, labels, z (in.host), in.pid,
                             in.capacity);
}

static void write_hello (buffer_t *out, const wire_record_t *record)
{
    wire_hello_t in;
    const char *fault;
    CHECK (wire_read_hello (record, &in, &fault));
    wire_write_hello (out, z (in.role), list (in.codecs, in.codec_count), z (in.name),
                      in.uuid.size ? z (in.uuid) : NULL);
}

static void write_welcome (buffer_t *out, const wire_record_t *record)
{
    wire_welcome_t in;
    CHECK (wire_read_welcome (record, &in));
    wire_write_welcome (out, in.codec, in.body_max, in.calls_max, z (in.server), list (in.brokers, in.broker_count));
}

static void write_refused (buffer_t *out, const wire_record_t *record)
{
    wire_refused_t in;
    CHECK (wire_read_refused (record, &in));
    wire_write_refused (out, in.status, z (in.text));
}

static void write_request (buffer_t *out, const wire_record_t *record)
{
    wire_options_t options;
    CHECK (wire_read_options (record->extra, &options));
    wire_write_request (out, record->id, record->method, record->remaining_ms, record->body, record->body_size,
                        record->attached, &options);
}

static void write_reply (buffer_t *out, const wire_record_t *record)
{
    wire_info_t info;
    CHECK (wire_read_info (record->extra, &info));
    wire_write_reply (out, record->id, record->status, record->body, record->body_size, record->attached, &info);
}

static void write_beat (buffer_t *out, const wire_record_t *record)
{
    uint64_t sequence;
    wire_load_t load;
    CHECK (wire_read_beat (record, &sequence, &load));
    wire_write_beat (out, sequence, &load);
}

static void write_beat_ok (buffer_t *out, const wire_record_t *record)
{
    wire_beat_ok_t in;
    CHECK (wire_read_beat_ok (record, &in));
    wire_write_beat_ok (out, in.sequence, in.next_ms, in.ttl_ms, list (in.brokers, in.broker_count));
}

static void write_text (buffer_t *out, const wire_record_t *record)
{
    text_t text;
    CHECK (wire_read_text (record, &text));
    if (record->kind == WIRE_DRAINING)
        wire_write_draining (out, z (text));
    else
        wire_write_goodbye (out, z (text));
}

static void write_again (buffer_t *out, const wire_record_t *record)
{
    typedef void (write_fn) (buffer_t *, const wire_record_t *);
    static write_fn *const cold [WIRE_KINDS] = {
        [WIRE_HELLO] = write_hello,       [WIRE_WELCOME] = write_welcome,   [WIRE_REFUSED] = write_refused,
        [WIRE_REQUEST] = write_request,   [WIRE_REPLY] = write_reply,       [WIRE_REGISTER] = write_register,
        [WIRE_BEAT] = write_beat,         [WIRE_BEAT_OK] = write_beat_ok,   [WIRE_DRAINING] = write_text,
        [WIRE_GOODBYE] = write_text};

    if (record->kind == WIRE_ITEM)
        wire_write_item (out, record->id, record->number, record->body, record->body_size, record->attached);
    else if (record->kind == WIRE_CREDIT)
        wire_write_credit (out, record->id, record->number);
    else if (record->kind == WIRE_CANCEL)
        wire_write_cancel (out, record->id);
    else
        cold [record->kind] (out, record);
}

/*  Reading the files. */

typedef struct {
    char name [64];
    bool exact;
    buffer_t records, meaning;
    zmq_msg_t attachments [8];
    int attachment_count;
} vector_t;

/*  "4a" or "5000*4a", several, separated by blanks. */
static void read_bytes (buffer_t *out, const char *text)
{
    while (*text && *text != '\n') {
        char *end;
        unsigned long count = 1, byte = strtoul (text, &end, 16);
        if (*end == '*') {
            count = strtoul (text, NULL, 10);
            byte = strtoul (end + 1, &end, 16);
        }
        CHECK (byte <= 0xff && end > text);
        memset (buffer_extend (out, count), (int) byte, count);
        text = end + strspn (end, " ");
    }
}

static void read_attachment (vector_t *vector, const char *text)
{
    buffer_t bytes;
    CHECK (vector->attachment_count < 8);
    zmq_msg_t *frame = &vector->attachments [vector->attachment_count++];
    buffer_init (&bytes, FILE_MAX);
    read_bytes (&bytes, text);
    zmq_msg_init_size (frame, bytes.size);
    memcpy (zmq_msg_data (frame), bytes.data, bytes.size);
    buffer_fini (&bytes);
}

/*  One line of a vector; what it means is taken as it is, but for the class of a fault. */
static void read_line (vector_t *vector, const char *line)
{
    if (strncmp (line, "frame ", 6) == 0)
        read_bytes (&vector->records, line + 6);
    else if (strncmp (line, "attach ", 7) == 0)
        read_attachment (vector, line + 7);
    else if (strcmp (line, "exact\n") == 0)
        vector->exact = true;
    else if (strncmp (line, "FAULT ", 6) == 0)
        say (&vector->meaning, "FAULT\n");
    else
        buffer_append (&vector->meaning, line, strlen (line));
}

static void check_meaning (const vector_t *vector, message_t *message)
{
    buffer_t told, expected;
    buffer_init (&told, FILE_MAX);
    buffer_init (&expected, FILE_MAX);
    say (&told, "%s\n", vector->name);
    say (&expected, "%s\n", vector->name);
    tell_message (&told, message);
    buffer_append (&expected, vector->meaning.data, vector->meaning.size);
    buffer_append (&told, "", 1);
    buffer_append (&expected, "", 1);
    CHECK_STR ((const char *) told.data, (const char *) expected.data);
    buffer_fini (&told);
    buffer_fini (&expected);
}

static void check_exact (const vector_t *vector, message_t *message)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;
    buffer_t again;

    buffer_init (&again, FILE_MAX);
    while (message_next (&cursor, &record, &attachment, &fault) == 1)
        write_again (&again, &record);
    CHECK_MEM (again.data, again.size, vector->records.data, vector->records.size);
    buffer_fini (&again);
}

static void check_vector (vector_t *vector)
{
    message_t message;
    message_init (&message);
    CHECK (message_add_bytes (&message, vector->records.data, vector->records.size));
    for (int i = 0; i < vector->attachment_count; i++)
        CHECK (message_add (&message, &vector->attachments [i]));

    check_meaning (vector, &message);
    if (vector->exact)
        check_exact (vector, &message);
    message_fini (&message);
}

static void vector_begin (vector_t *vector)
{
    *vector = (vector_t){0};
    buffer_init (&vector->records, FILE_MAX);
    buffer_init (&vector->meaning, FILE_MAX);
}

static void vector_end (vector_t *vector)
{
    buffer_fini (&vector->records);
    buffer_fini (&vector->meaning);
    for (int i = 0; i < vector->attachment_count; i++)
        zmq_msg_close (&vector->attachments [i]);
}

/*  All vectors of a file; returns how many there were. */
static int check_file (const char *file)
{
    char path [512], line [8192];
    const char *source = getenv ("WEFT_SOURCE_DIR");
    snprintf (path, sizeof path, "%s/tests/golden/%s", source ? source : ".", file);
    FILE *lines = fopen (path, "r");
    CHECK (lines != NULL);

    vector_t vector;
    int count = 0;
    vector_begin (&vector);
    while (fgets (line, sizeof line, lines)) {
        if (line [0] == '\n' && vector.name [0]) {
            check_vector (&vector);
            vector_end (&vector);
            vector_begin (&vector);
            count++;
        } else if (line [0] != '#' && line [0] != '\n' && sscanf (line, "name %63s", vector.name) != 1) {
            read_line (&vector, line);
        }
    }
    CHECK (vector.name [0] == '\0'); /* the file ends with an empty line */
    vector_end (&vector);
    fclose (lines);
    return count;
}

TEST (n4_every_kind_means_what_the_vectors_say)
{
    CHECK (check_file ("kinds.txt") > 40);
}

TEST (what_a_later_version_sends_is_passed_over)
{
    CHECK (check_file ("growth.txt") > 20);
}

TEST (malformed_messages_are_good_up_to_their_fault)
{
    CHECK (check_file ("faults.txt") > 60);
}
