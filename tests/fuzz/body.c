/* SPDX-License-Identifier: MPL-2.0
 *
 *  body.c - any bytes as a body of some type in some codec.
 *
 *  Input: a byte that chooses the type, one for the codec, the body. What is well-formed to us is so to msgpack-c; what decodes is
 *  encoded again into what decodes to the same, in the same codec and in the other; what does not leaves nothing behind and says in
 *  one line why. */

#include <msgpack.h>
#include <stdlib.h>
#include "check.h"
#include "codec.h"
#include "input.h"
#include "json.h"
#include "rows.h"
#include "sample.h"
#include "types.h"
#include "utf8.h"

static const struct {
    weft_schema_fn *schema;
    bool loose; /* has doubles or "any", of which JSON cannot say all */
} types [] = {{sample_schema, true},         {node_schema, false},        {arith_args_schema, false},
              {only_optional_schema, false}, {weft_any_schema, true},     {weft_string_schema, false},
              {weft_bytes_schema, false},    {weft_int32_schema, false},  {weft_int64_schema, false},
              {weft_uint64_schema, false},   {weft_double_schema, true},  {weft_bool_schema, false},
              {weft_none_schema, false},     {watch_item_schema, false},  {describe_reply_schema, true},
              {stats_reply_schema, false},   {list_args_schema, false},   {point_schema, true}};

/*  Both agree on what is one well-formed value. Only asked of what we let through: msgpack-c believes counts. */
static void check_opinion (const uint8_t *bytes, size_t size)
{
    msgpack_zone zone;
    msgpack_object object;
    size_t offset = 0;
    mp_reader_t reader = mp_reader (bytes, size);
    const bool whole = mp_valid (bytes, size), prefix = mp_skip (&reader);

    CHECK (!whole || prefix);
    if (!prefix)
        return;
    CHECK (whole == (mp_left (&reader) == 0));
    CHECK (msgpack_zone_init (&zone, 8192));
    const int result = msgpack_unpack ((const char *) bytes, size, &offset, &zone, &object);
    CHECK_INT (result, whole ? MSGPACK_UNPACK_SUCCESS : MSGPACK_UNPACK_EXTRA_BYTES);
    CHECK_INT (offset, size - mp_left (&reader));
    msgpack_zone_destroy (&zone);
}

static void check_error (const codec_error_t *error)
{
    CHECK (memchr (error->text, 0, sizeof error->text) && error->text [0]);
    for (const char *at = error->text; *at; at++)
        CHECK ((unsigned char) *at >= ' ' && *at != 127);
}

static weft_value_t fresh (const weft_schema_t *schema, void *memory)
{
    memset (memory, 0, schema->size);
    return (weft_value_t){schema, memory};
}

/*  Encodes, decodes and encodes: the bytes must be the same. `rounds`: of these only the last must be, where a codec has no
 *  word for all that was there before. */
static void check_round (codec_t codec, weft_value_t value, arena_t *arena, int rounds)
{
    codec_error_t error;
    buffer_t first, second;
    void *memory = malloc (value.schema->size);

    buffer_init (&first, 8 << 20);
    buffer_init (&second, 8 << 20);
    if (codec_encode (codec, value, &first, &error)) {
        weft_value_t again = fresh (value.schema, memory);
        if (!codec_decode (codec, first.data, first.size, again, arena, &error))
            CHECK_STR (rounds > 1 ? "" : error.text, "");
        else if (rounds > 1)
            check_round (codec, again, arena, rounds - 1);
        else {
            CHECK (codec_encode (codec, again, &second, &error));
            CHECK_MEM (second.data, second.size, first.data, first.size);
        }
    } else
        CHECK_STR (rounds > 1 ? "" : error.text, "");
    buffer_fini (&first);
    buffer_fini (&second);
    free (memory);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    codec_error_t error = {{0}};
    arena_t arena;

    if (size < 2)
        return 0;
    const size_t which = data [0] % (sizeof types / sizeof types [0]);
    const weft_schema_t *schema = types [which].schema ();
    const bool bare = schema->kind == WEFT_KIND_BYTES || schema->kind == WEFT_KIND_NONE;
    const codec_t codec = (codec_t) (data [1] % CODEC_COUNT);
    uint8_t *body = malloc (size - 1); /* of its own, so that a step too far shows; never of size 0 */
    void *memory = malloc (schema->size);
    size -= 2;
    memcpy (body, data + 2, size);

    check_opinion (body, size);
    arena_init (&arena, 16 << 20);
    weft_value_t value = fresh (schema, memory);
    if (codec_decode (codec, body, size, value, &arena, &error)) {
        CHECK (codec != CODEC_MSGPACK || size == 0 || mp_valid (body, size));
        CHECK (codec != CODEC_RAW || bare);
        check_round (CODEC_MSGPACK, value, &arena, 1);
        check_round (CODEC_JSON, value, &arena, types [which].loose ? 2 : 1);
        if (bare)
            check_round (CODEC_RAW, value, &arena, 1);
    } else {
        check_error (&error);
        for (size_t i = 0; i < schema->size; i++)
            CHECK_INT (((const char *) memory) [i], 0);
    }
    arena_fini (&arena);
    free (body);
    free (memory);
    return 0;
}
