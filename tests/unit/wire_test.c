/* SPDX-License-Identifier: MPL-2.0
 *
 *  wire_test.c - records cut at every byte, patched in place, with too much of everything, and mutated from
 *  seeds. What each field means is checked by the golden vectors (golden_test.c). */

#include "wire.h"
#include "check.h"
#include "dice.h"
#include "sample.h"
#include "types.h"
#include <stdlib.h>

/*  Reads everything that there is to read of a record, as its receiver would; touches all of it. */

static volatile unsigned touched;

static void touch (const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        touched += bytes [i];
}

static void touch_texts (const text_t *texts, uint32_t count, uint32_t max)
{
    CHECK (count <= max);
    for (uint32_t i = 0; i < count; i++)
        touch (texts [i].data, texts [i].size);
}

static bool read_register (const wire_record_t *record)
{
    wire_register_t in;
    wire_service_t service;
    wire_method_t method;
    const char *fault = NULL;
    if (!wire_read_register (record, &in, &fault)) {
        CHECK (fault != NULL && fault [0]);
        return false;
    }
    uint32_t methods = 0;
    CHECK (in.service_count <= WEFT_SERVICES_MAX);
    for (uint32_t i = 0; i < in.service_count; i++) {
        CHECK (wire_next_service (&in.services, &service));
        touch (service.name.data, service.name.size);
        touch (service.version.data, service.version.size);
        for (uint32_t j = 0; j < service.method_count; j++) {
            CHECK (wire_next_method (&service.methods, &method));
            touch (method.name.data, method.name.size);
            CHECK (types_valid (method.args, method.args_size)
                   && types_valid (method.reply, method.reply_size));
            CHECK (++methods <= WEFT_METHODS_MAX);
        }
    }
    CHECK (!in.services.failed);
    touch_texts (in.endpoints, in.endpoint_count, WEFT_ENDPOINTS_MAX);
    touch_texts (in.label_keys, in.label_count, WEFT_LABELS_MAX);
    touch_texts (in.label_values, in.label_count, WEFT_LABELS_MAX);
    touch (in.uuid.data, in.uuid.size);
    touch (in.host.data, in.host.size);
    return true;
}

static bool read_hello (const wire_record_t *record)
{
    wire_hello_t hello;
    const char *fault = NULL;
    if (!wire_read_hello (record, &hello, &fault)) {
        CHECK (fault != NULL && fault [0]);
        return false;
    }
    touch_texts (hello.codecs, hello.codec_count, WEFT_CODECS_MAX);
    touch (hello.name.data, hello.name.size);
    touch (hello.role.data, hello.role.size);
    touch (hello.uuid.data, hello.uuid.size);
    return true;
}

static bool read_call (const wire_record_t *record)
{
    wire_options_t options;
    wire_info_t info;
    text_t service, name;
    CHECK (record->attached ? record->body == NULL : record->body != NULL);
    touch (record->body, record->body_size);
    if (record->kind == WIRE_REQUEST) {
        CHECK (record->id != 0);
        if (wire_split_method (record->method, &service, &name))
            CHECK (service.size && name.size && service.size + 1 + name.size == record->method.size);
        if (!wire_read_options (record->extra, &options))
            return false;
        touch (options.codec.data, options.codec.size);
        touch (options.worker.data, options.worker.size);
        touch (options.key.data, options.key.size);
        touch (options.request_key.data, options.request_key.size);
        touch (options.trace.data, options.trace.size);
        touch (options.meta.at, mp_left (&options.meta));
    }
    if (record->kind == WIRE_REPLY) {
        CHECK (record->status < WEFT_STATUS_COUNT);
        if (!wire_read_info (record->extra, &info))
            return false;
        CHECK (info.executed >= -1 && info.executed <= 2 && info.origin >= -1 && info.origin <= 3);
        touch (info.text.data, info.text.size);
    }
    return true;
}

/*  True if the record is what its kind wants, fields and all. */
static bool read_whole (const wire_record_t *record)
{
    wire_welcome_t welcome;
    wire_refused_t refused;
    wire_beat_ok_t beat_ok;
    wire_load_t load;
    uint64_t sequence;
    text_t text;
    switch (record->kind) {
        case WIRE_HELLO:
            return read_hello (record);
        case WIRE_WELCOME:
            if (!wire_read_welcome (record, &welcome))
                return false;
            touch_texts (welcome.brokers, welcome.broker_count, WEFT_BROKERS_MAX);
            touch (welcome.codec.data, welcome.codec.size);
            touch (welcome.server.data, welcome.server.size);
            return true;
        case WIRE_REFUSED:
            if (!wire_read_refused (record, &refused))
                return false;
            CHECK (refused.status > 0 && refused.status < WEFT_STATUS_COUNT);
            touch (refused.text.data, refused.text.size);
            return true;
        case WIRE_REQUEST:
        case WIRE_REPLY:
        case WIRE_ITEM:
            return read_call (record);
        case WIRE_REGISTER:
            return read_register (record);
        case WIRE_BEAT:
            return wire_read_beat (record, &sequence, &load);
        case WIRE_BEAT_OK:
            if (!wire_read_beat_ok (record, &beat_ok))
                return false;
            touch_texts (beat_ok.brokers, beat_ok.broker_count, WEFT_BROKERS_MAX);
            return true;
        case WIRE_DRAINING:
        case WIRE_GOODBYE:
            if (!wire_read_text (record, &text))
                return false;
            touch (text.data, text.size);
            return true;
        default:
            return true;
    }
}

/*  Good records that were read before the end (`*ended`) or the first bad one. */
static unsigned read_frame (const void *bytes, size_t size, bool *ended)
{
    uint8_t *exact = malloc (size ? size : 1);
    if (size)
        memcpy (exact, bytes, size);
    mp_reader_t reader = mp_reader (exact, size);
    wire_record_t record;
    const char *fault = NULL;
    unsigned good = 0;
    int next;
    while ((next = wire_next (&reader, &record, &fault)) > 0) {
        CHECK (record.start >= exact && record.start + record.size <= exact + size && record.size > 0);
        CHECK (record.start + record.size == reader.at);
        if (record.id_fixed)
            wire_patch_id (&record, record.id);
        if (record.remaining_at)
            wire_patch_remaining (&record, record.remaining_ms);
        if (!read_whole (&record))
            break;
        good++;
    }
    CHECK (next >= 0 || (fault && fault [0]));
    *ended = next == 0;
    CHECK (size == 0 || memcmp (exact, bytes, size) == 0); /* patching what was there changes nothing */
    free (exact);
    return good;
}

/*  The usual shape is read by a shorter way. With an array head that is wider than need be, a record takes the long one. */

static bool same_view (const void *a, const uint8_t *base_a, const void *b, const uint8_t *base_b)
{
    return a == NULL || b == NULL ? a == b : (const uint8_t *) a - base_a == (const uint8_t *) b - base_b;
}

static void check_both_ways (const uint8_t *bytes, size_t size)
{
    wire_record_t shorter, longer;
    const char *fault_shorter = "", *fault_longer = "";
    uint8_t *exact = malloc (size), *wide = malloc (size + 2);

    memcpy (exact, bytes, size);
    wide [0] = 0xdc;
    wide [1] = 0;
    wide [2] = bytes [0] & 0x0f;
    memcpy (wide + 3, bytes + 1, size - 1);
    mp_reader_t reader = mp_reader (exact, size), wide_reader = mp_reader (wide, size + 2);
    const int rc = wire_next (&reader, &shorter, &fault_shorter);
    CHECK_INT (rc, wire_next (&wide_reader, &longer, &fault_longer));
    CHECK_STR (fault_shorter, fault_longer);
    if (rc == 1) {
        const uint8_t *a = exact, *b = wide + 2;
        CHECK_INT (shorter.kind, longer.kind);
        CHECK_INT (shorter.size + 2, longer.size);
        CHECK_INT (shorter.field_count, longer.field_count);
        CHECK_INT (shorter.id, longer.id);
        CHECK (!longer.id_fixed);
        CHECK_INT (shorter.remaining_ms, longer.remaining_ms);
        CHECK (same_view (shorter.remaining_at, a, longer.remaining_at, b));
        CHECK_INT (shorter.status, longer.status);
        CHECK_INT (shorter.number, longer.number);
        CHECK_INT (shorter.attached, longer.attached);
        CHECK (same_view (shorter.body, a, longer.body, b));
        CHECK_INT (shorter.body_size, longer.body_size);
        CHECK_INT (shorter.method.size, longer.method.size);
        CHECK (same_view (shorter.method.data, a, longer.method.data, b));
        CHECK (same_view (shorter.fields.at, a, longer.fields.at, b) && same_view (shorter.fields.end, a, longer.fields.end, b));
        CHECK (same_view (shorter.extra.at, a, longer.extra.at, b) && same_view (shorter.extra.end, a, longer.extra.end, b));
        CHECK (same_view (reader.at, a, wide_reader.at, b));
    }
    free (exact);
    free (wide);
}

TEST (the_short_way_of_reading_a_record_finds_what_the_long_one_finds)
{
    static const size_t sizes [] = {0, 1, 31, 32, 255, 256, 70000};
    static uint8_t body [70000];
    static char name [70000];
    const wire_options_t options = {.codec = text_of ("json"), .request_key = text_of ("k")};
    wire_info_t info = wire_info_none ();
    buffer_t out;
    dice_t dice;
    unsigned records = 0;

    dice_init (&dice, 44);
    buffer_init (&out, SIZE_MAX);
    memset (name, 'n', sizeof name);
    info.text = text_of ("what");
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 7; j++)
            for (unsigned k = 0; k < 8; k++) {
                const bool attached = k & 1;
                buffer_clear (&out);
                if (k & 4)
                    wire_write_request (&out, 1 + dice_next (&dice) / 2, (text_t){name, sizes [i]}, (uint32_t) dice_next (&dice),
                                        body, sizes [j], attached, k & 2 ? &options : NULL);
                else
                    wire_write_reply (&out, dice_next (&dice), (weft_status_t) (i * 3), body, sizes [j], attached,
                                      k & 2 ? &info : NULL);
                check_both_ways (out.data, out.size);
                records++;
                const size_t whole = out.size;
                for (size_t cut = 3; cut < whole; cut += whole < 600 ? 1 : 1000)
                    check_both_ways (out.data, cut);
                for (int mutations = 0; mutations < (whole < 10000 ? 300 : 20); mutations++) {
                    const size_t at = 1 + dice_below (&dice, (uint32_t) (whole < 60 || mutations % 2 ? whole - 1 : 59));
                    const uint8_t old = out.data [at];
                    out.data [at] = (uint8_t) dice_next (&dice);
                    check_both_ways (out.data, whole);
                    out.data [at] = old;
                }
                for (uint8_t head = 0x90; head < 0x9f; head++) {
                    out.data [0] = head;
                    check_both_ways (out.data, whole);
                }
            }
    CHECK_INT (records, 392);
    buffer_fini (&out);
}

/*  One of each kind, with everything in it. */

static const char *const codecs [] = {"msgpack", "json", "raw", NULL};
static const char *const brokers [] = {"tcp://10.0.0.1:5555", "ipc:///tmp/b", NULL};
static const char *const labels [] = {"zone=a", "empty=", "bare", NULL};

static void write_services (buffer_t *out, uint32_t services, uint32_t methods)
{
    for (uint32_t i = 0; i < services; i++) {
        mp_write_array (out, 3);
        mp_write_text (out, "Arith");
        mp_write_text (out, "1.2");
        mp_write_array (out, methods);
        for (uint32_t j = 0; j < methods; j++) {
            mp_write_array (out, 4);
            mp_write_text (out, "Multiply");
            mp_write_uint (out, 1);
            types_write (out, j % 2 ? weft_none_schema () : arith_args_schema ());
            types_write (out, weft_int64_schema ());
        }
    }
}

static void write_kind (buffer_t *out, unsigned kind)
{
    const wire_options_t options = {.codec = text_of ("json"),
                                    .worker = text_of ("uuid"),
                                    .key = text_of ("key"),
                                    .request_key = text_of ("again"),
                                    .trace = text_of ("00-ab"),
                                    .meta = mp_reader ("\x81\xa1k\xa1v", 5)};
    const wire_info_t info = {.executed = 2,
                              .origin = 3,
                              .text = text_of ("overflow"),
                              .code = -34,
                              .retry_after_ms = 1000,
                              .broker_us = 70000,
                              .queue_us = 2,
                              .handler_us = 3};
    const wire_load_t load = {1, 200, 70000, UINT64_MAX};
    switch (kind) {
        case WIRE_HELLO:
            wire_write_hello (out, "client", codecs, "a name", "uuid");
            return;
        case WIRE_WELCOME:
            wire_write_welcome (out, text_of ("msgpack"), 1 << 24, 1000, "server", brokers);
            return;
        case WIRE_REFUSED:
            wire_write_refused (out, WEFT_INVALID, "say HELLO first");
            return;
        case WIRE_REQUEST:
            wire_write_request (out, 7, text_of ("A.B.c"), 5000, "\x92\x01\x02", 3, false, &options);
            return;
        case WIRE_REPLY:
            wire_write_reply (out, 7, WEFT_APP_ERROR, "", 0, false, &info);
            return;
        case WIRE_ITEM:
            wire_write_item (out, 7, 300, "body", 4, false);
            return;
        case WIRE_CREDIT:
            wire_write_credit (out, 0, 64);
            return;
        case WIRE_CANCEL:
            wire_write_cancel (out, 7);
            return;
        case WIRE_REGISTER:
            wire_write_register_begin (out, "0b0e", 3, 2);
            write_services (out, 2, 2);
            wire_write_register_end (out, brokers, 8, labels, "host", 4711, 16);
            return;
        case WIRE_BEAT:
            wire_write_beat (out, 9, &load);
            return;
        case WIRE_BEAT_OK:
            wire_write_beat_ok (out, 9, 3000, 10000, brokers);
            return;
        case WIRE_DRAINING:
            wire_write_draining (out, "stopping");
            return;
        case WIRE_GOODBYE:
            wire_write_goodbye (out, "");
            return;
        default: /* of a later version */
            mp_write_array (out, 3);
            mp_write_uint (out, kind);
            mp_write_text (out, "new");
            mp_write_map (out, 0);
    }
}

TEST (records_cut_at_any_byte_are_malformed)
{
    for (unsigned kind = 1; kind < 20; kind++) {
        buffer_t frame;
        bool ended;
        buffer_init (&frame, 1 << 20);
        write_kind (&frame, kind);
        CHECK_INT (read_frame (frame.data, frame.size, &ended), 1);
        CHECK (ended);
        for (size_t cut = 1; cut < frame.size; cut++) {
            CHECK_INT (read_frame (frame.data, cut, &ended), 0);
            CHECK (!ended);
        }
        buffer_fini (&frame);
    }
}

TEST (records_before_a_cut_stand)
{
    buffer_t frame;
    size_t ends [20] = {0};
    bool ended;
    buffer_init (&frame, 1 << 20);
    for (unsigned kind = 1; kind < 20; kind++) {
        write_kind (&frame, kind);
        ends [kind] = frame.size;
    }
    unsigned whole = 0;
    for (size_t cut = 0; cut <= frame.size; cut++) {
        if (whole < 19 && cut == ends [whole + 1])
            whole++;
        CHECK_INT (read_frame (frame.data, cut, &ended), whole);
        CHECK_INT (ended, cut == ends [whole]);
    }
    CHECK_INT (whole, 19);
    buffer_fini (&frame);
}

TEST (every_byte_changed_to_every_value_is_survived)
{
    for (unsigned kind = 1; kind <= WIRE_GOODBYE; kind++) {
        buffer_t frame;
        bool ended;
        buffer_init (&frame, 1 << 20);
        write_kind (&frame, kind);
        for (size_t at = 0; at < frame.size; at++) {
            const uint8_t kept = frame.data [at];
            for (unsigned value = 0; value < 256; value++) {
                frame.data [at] = (uint8_t) value;
                read_frame (frame.data, frame.size, &ended);
            }
            frame.data [at] = kept;
        }
        buffer_fini (&frame);
    }
}

TEST (seeded_frames_are_survived)
{
    dice_t dice;
    unsigned good = 0;
    dice_init (&dice, 10);
    for (int round = 0; round < 10000; round++) {
        buffer_t frame;
        bool ended;
        buffer_init (&frame, 1 << 20);
        for (uint64_t records = 1 + dice_below (&dice, 3); records > 0; records--)
            write_kind (&frame, 1 + (unsigned) dice_below (&dice, 15));
        for (uint64_t changes = dice_below (&dice, 4); changes > 0; changes--) {
            const size_t at = dice_below (&dice, frame.size), from = dice_below (&dice, frame.size);
            const size_t left = frame.size - (at > from ? at : from);
            if (dice_below (&dice, 2))
                frame.data [at] = (uint8_t) dice_next (&dice);
            else
                memmove (frame.data + at, frame.data + from, dice_below (&dice, left + 1));
        }
        good += read_frame (frame.data, dice_below (&dice, 4) ? frame.size : dice_below (&dice, frame.size),
                            &ended);
        buffer_fini (&frame);
    }
    CHECK (good > 5000);
}

TEST (ids_and_time_are_rewritten_in_place)
{
    buffer_t frame;
    wire_record_t record;
    const char *fault;
    buffer_init (&frame, 1 << 20);
    write_kind (&frame, WIRE_REQUEST);
    write_kind (&frame, WIRE_REPLY);
    write_kind (&frame, WIRE_CREDIT);
    mp_reader_t reader = mp_reader (frame.data, frame.size);
    for (int i = 0; i < 3; i++) {
        CHECK_INT (wire_next (&reader, &record, &fault), 1);
        CHECK (record.id_fixed);
        CHECK_INT (record.remaining_at != NULL, i == 0);
        wire_patch_id (&record, UINT64_MAX - (unsigned) i);
        if (i == 0)
            wire_patch_remaining (&record, 4321);
    }
    reader = mp_reader (frame.data, frame.size);
    for (int i = 0; i < 3; i++) {
        CHECK_INT (wire_next (&reader, &record, &fault), 1);
        CHECK (record.id == UINT64_MAX - (unsigned) i);
        CHECK (read_whole (&record));
        if (i == 0) {
            CHECK_INT (record.remaining_ms, 4321);
            CHECK (text_is (record.method, "A.B.c"));
            CHECK_MEM (record.body, record.body_size, "\x92\x01\x02", 3);
        }
    }
    buffer_fini (&frame);
}

/*  A CANCEL or REQUEST whose head, kind and id are as wide as said. */
static bool patchable (const char *bytes, size_t size)
{
    mp_reader_t reader = mp_reader (bytes, size);
    wire_record_t record;
    const char *fault;
    CHECK_INT (wire_next (&reader, &record, &fault), 1);
    CHECK_INT (record.id, 5);
    return record.id_fixed;
}

TEST (only_ids_where_they_belong_are_rewritten)
{
    CHECK (patchable ("\x92\x08\xcf\0\0\0\0\0\0\0\x05", 11));
    CHECK (!patchable ("\x92\x08\x05", 3));
    CHECK (!patchable ("\x92\x08\xce\0\0\0\x05", 7));
    CHECK (!patchable ("\x92\x08\xd3\0\0\0\0\0\0\0\x05", 11));
    CHECK (!patchable ("\x92\xcc\x08\xcf\0\0\0\0\0\0\0\x05", 12));
    CHECK (!patchable ("\xdc\0\x02\x08\xcf\0\0\0\0\0\0\0\x05", 13));
}

TEST (n14_a_method_is_split_at_its_last_dot)
{
    text_t service, name;
    CHECK (wire_split_method (text_of ("A.B.c"), &service, &name));
    CHECK (text_is (service, "A.B") && text_is (name, "c"));
    CHECK (wire_split_method (text_of ("a.b"), &service, &name));
    CHECK (text_is (service, "a") && text_is (name, "b"));
    CHECK (wire_split_method (text_of ("weft.Registry.List"), &service, &name));
    CHECK (text_is (service, "weft.Registry"));
}

static void check_ill_formed (const char *method, size_t size)
{
    text_t service, name;
    CHECK (!wire_split_method ((text_t){method, size}, &service, &name));
}

TEST (n14_ill_formed_methods_are_refused)
{
    static const char *const bad [] = {"",     "A",     ".",     "A.",    ".A",         "A..B",  ".A.B",
                                       "A.B.", "A B.c", "A.b c", "A/B.c", "A.\xc3\xa9", "A.b\n", "\tA.b",
                                       "A.b?", "*.b",   "A:b.c", "@.b",   "A.b\x7f",    "-..-"};
    for (size_t i = 0; i < sizeof bad / sizeof bad [0]; i++)
        check_ill_formed (bad [i], strlen (bad [i]));
    check_ill_formed ("A.b\0", 4);
    check_ill_formed ("A\0.b", 4);
    check_ill_formed (NULL, 0);
    for (int c = 0; c < 256; c++) {
        const char method [] = {'A', '.', 'b', (char) c};
        text_t service, name;
        const bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                          || c == '_' || c == '-';
        CHECK_INT (wire_split_method ((text_t){method, 4}, &service, &name), good);
    }
}

TEST (t26_names_are_bounded)
{
    char name [400];
    text_t service, method;
    for (size_t part = 62; part <= 64; part++) {
        memset (name, 'n', sizeof name);
        name [part] = '.';
        CHECK_INT (wire_split_method ((text_t){name, part + 2}, &service, &method), part <= 63);
        CHECK_INT (wire_name_valid ((text_t){name, part}), part <= 63);
        name [1] = '.';
        name [part] = 'n';
        CHECK_INT (wire_split_method ((text_t){name, part + 2}, &service, &method), part <= 63);
    }
    for (size_t size = 254; size <= 257; size++) {
        memset (name, 'n', sizeof name);
        for (size_t i = 50; i < 250; i += 50)
            name [i] = '.';
        CHECK_INT (wire_split_method ((text_t){name, size}, &service, &method), size <= 255);
    }
}

/*  Lists with one more than is kept. */

TEST (what_is_over_a_limit_is_left_or_refused)
{
    buffer_t frame;
    wire_record_t record;
    wire_hello_t hello;
    wire_register_t registered;
    const char *fault, *many [66] = {0};
    for (size_t i = 0; i < 65; i++)
        many [i] = i < 2 ? "first=1" : "x=y";
    buffer_init (&frame, 1 << 24);

    wire_write_hello (&frame, "client", many, "n", NULL);
    mp_reader_t reader = mp_reader (frame.data, frame.size);
    CHECK_INT (wire_next (&reader, &record, &fault), 1);
    CHECK (wire_read_hello (&record, &hello, &fault));
    CHECK_INT (hello.codec_count, WEFT_CODECS_MAX);
    CHECK (text_is (hello.codecs [1], "first=1"));
    CHECK (text_is (hello.name, "n")); /* read on behind the list */

    buffer_clear (&frame);
    wire_write_register_begin (&frame, "u", 1, 0);
    wire_write_register_end (&frame, many, 1, many, "h", 1, 1);
    reader = mp_reader (frame.data, frame.size);
    CHECK_INT (wire_next (&reader, &record, &fault), 1);
    CHECK (wire_read_register (&record, &registered, &fault));
    CHECK_INT (registered.endpoint_count, WEFT_ENDPOINTS_MAX);
    CHECK (text_is (registered.endpoints [1], "first=1"));
    CHECK_INT (registered.label_count, WEFT_LABELS_MAX);
    CHECK (text_is (registered.host, "h"));
    buffer_fini (&frame);
}

/*  Registers so many methods; the fault, or NULL. */
static const char *register_fault (uint32_t services, uint32_t methods)
{
    buffer_t frame;
    wire_record_t record;
    wire_register_t registered;
    const char *fault = NULL;
    buffer_init (&frame, 1 << 24);
    wire_write_register_begin (&frame, "u", 1, services);
    write_services (&frame, services, methods);
    wire_write_register_end (&frame, brokers, 1, NULL, "h", 1, 1);
    mp_reader_t reader = mp_reader (frame.data, frame.size);
    CHECK_INT (wire_next (&reader, &record, &fault), 1);
    const bool good = wire_read_register (&record, &registered, &fault);
    buffer_fini (&frame);
    return good ? NULL : fault;
}

TEST (services_and_methods_are_bounded)
{
    CHECK (register_fault (256, 4) == NULL);
    CHECK_STR (register_fault (257, 1), "more than 256 services");
    CHECK_STR (register_fault (256, 5), "more than 1024 methods");
    CHECK (register_fault (1, 1024) == NULL);
    CHECK_STR (register_fault (1, 1025), "more than 1024 methods");
    CHECK (register_fault (0, 0) == NULL);
}

/*  Registers one method with these types. */
static bool registers (const char *args, size_t args_size, const char *reply, size_t reply_size)
{
    buffer_t frame;
    wire_record_t record;
    wire_register_t registered;
    const char *fault = NULL;
    buffer_init (&frame, 1 << 24);
    wire_write_register_begin (&frame, "u", 1, 1);
    mp_write_array (&frame, 3);
    mp_write_text (&frame, "S");
    mp_write_text (&frame, "");
    mp_write_array (&frame, 1);
    mp_write_array (&frame, 4);
    mp_write_text (&frame, "M");
    mp_write_uint (&frame, 0);
    buffer_append (&frame, args, args_size);
    buffer_append (&frame, reply, reply_size);
    wire_write_register_end (&frame, brokers, 1, NULL, "h", 1, 1);
    mp_reader_t reader = mp_reader (frame.data, frame.size);
    const bool good =
        wire_next (&reader, &record, &fault) == 1 && wire_read_register (&record, &registered, &fault);
    if (!good)
        CHECK_STR (fault, "a type that is malformed");
    buffer_fini (&frame);
    return good;
}

TEST (malformed_types_are_refused)
{
    CHECK (registers ("\xa3"
                      "any",
                      4, "\xa4none", 5));
    CHECK (!registers ("\xa3"
                       "ant",
                       4, "\xa4none", 5));
    CHECK (!registers ("\xa3"
                       "any",
                       4, "\xc0", 1));
    CHECK (!registers ("\x81\xa3"
                       "any\xa3"
                       "any",
                       9, "\xa4none", 5));
}

TEST (the_deepest_type_fits)
{
    buffer_t type;
    buffer_init (&type, 1 << 16);
    for (unsigned depth = 0; depth <= TYPES_NESTING_MAX; depth++) {
        buffer_clear (&type);
        for (unsigned i = 0; i < depth; i++) {
            mp_write_array (&type, 2);
            mp_write_text (&type, "array");
        }
        mp_write_text (&type, "bool");
        CHECK (registers ((char *) type.data, type.size, (char *) type.data, type.size));
    }
    buffer_fini (&type);
}

TEST (writers_leave_out_what_says_nothing)
{
    buffer_t frame;
    const wire_options_t options = {0};
    const wire_info_t info = wire_info_none ();
    buffer_init (&frame, 1 << 20);
    wire_write_request (&frame, 1, text_of ("A.b"), 1, "", 0, false, &options);
    CHECK_MEM (frame.data, frame.size,
               "\x95\x04\xcf\0\0\0\0\0\0\0\x01\xa3"
               "A.b\xce\0\0\0\x01\xc4\0",
               22);
    buffer_clear (&frame);
    wire_write_reply (&frame, 1, WEFT_OK, NULL, 0, true, &info);
    CHECK_MEM (frame.data, frame.size, "\x94\x05\xcf\0\0\0\0\0\0\0\x01\x00\xc0", 13);
    buffer_fini (&frame);
}
