/* SPDX-License-Identifier: MPL-2.0
 *
 *  common.c - what everybody uses: bodies to bytes and back, records to bytes and back. */

#include "cost.h"
#include "check.h"
#include "codec.h"
#include "sample.h"

#define TIMES 100

static buffer_t bytes;
static arena_t arena;

static void begin (size_t size)
{
    (void) size;
    buffer_init (&bytes, 1 << 20);
    arena_init (&arena, 1 << 20);
}

static void end (void)
{
    buffer_fini (&bytes);
    arena_fini (&arena);
}

/*  Bodies ------------------------------------------------------------------------------------------------------ */

static void encode (weft_value_t value)
{
    codec_error_t error;
    bool good = true;

    cost_on ();
    for (int i = 0; i < TIMES; i++) {
        buffer_clear (&bytes);
        good = codec_encode (CODEC_MSGPACK, value, &bytes, &error) && good;
    }
    cost_off (TIMES);
    CHECK (good && bytes.size > 0);
}

static void decode (weft_value_t in, weft_value_t out)
{
    codec_error_t error;
    bool good = true;

    buffer_clear (&bytes);
    CHECK (codec_encode (CODEC_MSGPACK, in, &bytes, &error));
    cost_on ();
    for (int i = 0; i < TIMES; i++) {
        memset (out.data, 0, out.schema->size);
        good = codec_decode (CODEC_MSGPACK, bytes.data, bytes.size, out, &arena, &error) && good;
        arena_reset (&arena);
    }
    cost_off (TIMES);
    CHECK (good);
}

static void encode_add (size_t size)
{
    const arith_args args = {7, 6};
    (void) size;
    encode (WEFT_IN (arith_args, &args));
}

static void decode_add (size_t size)
{
    const arith_args args = {7, 6};
    arith_args got;
    (void) size;
    decode (WEFT_IN (arith_args, &args), WEFT_OUT (arith_args, &got));
    CHECK (got.a == 7 && got.b == 6);
}

static void encode_nested (size_t size)
{
    const sample full = sample_full ();
    (void) size;
    encode (WEFT_IN (sample, &full));
}

static void decode_nested (size_t size)
{
    const sample full = sample_full ();
    sample got;
    (void) size;
    decode (WEFT_IN (sample, &full), WEFT_OUT (sample, &got));
    CHECK (got.name_count == full.name_count && got.colour == full.colour);
}

/*  Records ----------------------------------------------------------------------------------------------------- */

static void write_request (uint64_t id)
{
    wire_write_request (&bytes, id, text_of ("Arith.Add"), 5000, "\x92\x07\x06", 3, false, NULL);
}

static void write_reply (uint64_t id)
{
    wire_write_reply (&bytes, id, WEFT_OK, "\x0d", 1, false, NULL);
}

static void write_records (void (*write) (uint64_t id))
{
    buffer_clear (&bytes);
    cost_on ();
    for (uint64_t id = 1; id <= TIMES; id++)
        write (id);
    cost_off (TIMES);
    CHECK (!bytes.failed && bytes.size > 0);
}

static void read_records (void (*write) (uint64_t id))
{
    wire_record_t record;
    const char *fault;
    uint64_t sum = 0;

    buffer_clear (&bytes);
    for (uint64_t id = 1; id <= TIMES; id++)
        write (id);
    mp_reader_t reader = mp_reader (bytes.data, bytes.size);
    cost_on ();
    while (wire_next (&reader, &record, &fault) > 0)
        sum += record.id;
    cost_off (TIMES);
    CHECK_INT (sum, TIMES * (TIMES + 1) / 2);
}

static void request_written (size_t size)
{
    (void) size;
    write_records (write_request);
}

static void request_read (size_t size)
{
    (void) size;
    read_records (write_request);
}

static void reply_written (size_t size)
{
    (void) size;
    write_records (write_reply);
}

static void reply_read (size_t size)
{
    (void) size;
    read_records (write_reply);
}

const cost_t common_costs [] = {
    {"codec.encode.add", begin, encode_add, end, 0, 1, 1},
    {"codec.decode.add", begin, decode_add, end, 0, 1, 1},
    {"codec.encode.nested", begin, encode_nested, end, 0, 1, 1},
    {"codec.decode.nested", begin, decode_nested, end, 0, 1, 1},
    {"wire.write.request", begin, request_written, end, 0, 1, 1},
    {"wire.read.request", begin, request_read, end, 0, 1, 1},
    {"wire.write.reply", begin, reply_written, end, 0, 1, 1},
    {"wire.read.reply", begin, reply_read, end, 0, 1, 1},
    {0},
};
