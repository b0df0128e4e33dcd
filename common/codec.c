/* SPDX-License-Identifier: MPL-2.0 */

#include "codec_inside.h"
#include "types.h"

static const char *const codec_names [CODEC_COUNT] = {"msgpack", "json", "raw"};

codec_t codec_find (text_t name)
{
    for (int i = 0; i < CODEC_COUNT; i++)
        if (mp_str_is (name.data, name.size, codec_names [i]))
            return (codec_t) i;
    return CODEC_UNKNOWN;
}

const char *codec_name (codec_t codec)
{
    return codec >= 0 && codec < CODEC_COUNT ? codec_names [codec] : "?";
}

codec_t codec_choose (const wire_hello_t *hello)
{
    if (hello->codec_count == 0)
        return CODEC_MSGPACK;
    for (uint32_t i = 0; i < hello->codec_count; i++)
        if (codec_find (hello->codecs [i]) != CODEC_UNKNOWN)
            return codec_find (hello->codecs [i]);
    return CODEC_UNKNOWN;
}

bool codec_skip (mp_reader_t *in, uint64_t *elements, unsigned depth, fault_t *fault)
{
    uint32_t count;
    const mp_type_t type = mp_peek (in);
    if (type != MP_ARRAY && type != MP_MAP)
        return mp_skip (in) || fault_set (fault, "malformed");
    if (!(type == MP_ARRAY ? mp_read_array (in, &count) : mp_read_map (in, &count)))
        return fault_set (fault, "malformed");

    const uint64_t values = type == MP_MAP ? 2 * (uint64_t) count : count;
    if (!enter (elements, values, depth, fault))
        return false;
    for (uint64_t i = 0; i < values; i++)
        if (!codec_skip (in, elements, depth + 1, fault))
            return false;
    return true;
}

bool codec_describe (buffer_t *type, const weft_schema_t *schema)
{
    buffer_init (type, WEFT_SCHEMA_MAX);
    types_write (type, schema);
    if (type->failed && !type->starved)
        buffer_clear (type);
    return !type->failed;
}

bool codec_refuse (codec_error_t *error, const char *why, const char *what)
{
    fault_line (error, "%s%s", why, what);
    return false;
}
