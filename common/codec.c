/* SPDX-License-Identifier: MPL-2.0
 *
 *  codec.c - C values ⇄ bodies, along the schema's tables.
 *
 *  MessagePack is done here, in one pass each way; JSON goes through MessagePack (json.h), since it is for
 *  people. Decoding reads with the bounded cursor and keeps the same books as mp_valid: containers open,
 *  elements so far. */

#include "codec.h"
#include "fault.h"
#include "json.h"
#include "types.h"
#include "utf8.h"
#include <msgpack.h>
#include <string.h>

/*  Keeps what is not needed for a number out of the functions that every value passes through. */
#define APART __attribute__ ((noinline))

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

/*  What both ways share: a value's bounds. */

/*  One more container inside `depth` others. */
static bool enter (uint64_t *elements, uint64_t count, unsigned depth, fault_t *fault)
{
    *elements += count;
    if (depth >= WEFT_NESTING_MAX)
        return fault_set (fault, "nested deeper than %d", WEFT_NESTING_MAX);
    if (*elements > WEFT_ELEMENTS_MAX)
        return fault_set (fault, "more than %d elements in all", WEFT_ELEMENTS_MAX);
    return true;
}

/*  Consumes one value of any type. */
static bool skip (mp_reader_t *in, uint64_t *elements, unsigned depth, fault_t *fault)
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
        if (!skip (in, elements, depth + 1, fault))
            return false;
    return true;
}

static bool in_field (fault_t *fault, const weft_field_t *field)
{
    return fault_in_field (fault, field->name, strlen (field->name));
}

/*  Encoding. */

/*  Strings and bytes are packed by msgpack-c, numbers and heads by mp.h, straight into the buffer. */
typedef struct {
    buffer_t *out;
    msgpack_packer packer;
    uint64_t elements;
    fault_t fault;
} encoder_t;

static bool encode_value (encoder_t *self, const weft_schema_t *schema, const void *from, unsigned depth);

APART static bool encode_string (encoder_t *self, const char *text)
{
    const size_t size = text ? strlen (text) : 0;
    if (!text)
        return fault_set (&self->fault, "a string must not be NULL");
    if (size > UINT32_MAX)
        return fault_set (&self->fault, "too large");
    if (!utf8_valid (text, size))
        return fault_set (&self->fault, "not UTF-8");
    msgpack_pack_str_with_body (&self->packer, text, size);
    return true;
}

APART static bool encode_bytes (encoder_t *self, const weft_bytes *bytes)
{
    if (!bytes->data && bytes->size)
        return fault_set (&self->fault, "bytes are NULL but their size is %zu", bytes->size);
    if (bytes->size > UINT32_MAX)
        return fault_set (&self->fault, "too large");
    msgpack_pack_bin_with_body (&self->packer, bytes->data, bytes->size);
    return true;
}

APART static bool encode_any (encoder_t *self, const weft_any *any, unsigned depth)
{
    if (any->size == 0) {
        mp_write_nil (self->out);
        return true;
    }
    if (!any->data)
        return fault_set (&self->fault, "bytes are NULL but their size is %zu", any->size);
    mp_reader_t in = mp_reader (any->data, any->size);
    if (!skip (&in, &self->elements, depth, &self->fault))
        return false;
    if (mp_left (&in))
        return fault_set (&self->fault, "more than one value");
    buffer_append (self->out, any->data, any->size);
    return true;
}

APART static bool encode_array (encoder_t *self, const weft_schema_t *schema, const void *member,
                                size_t count, unsigned depth)
{
    const char *element;
    memcpy (&element, member, sizeof element); /* it is a T *, whatever T is */
    if (!element && count)
        return fault_set (&self->fault, "the array is NULL but its count is %zu", count);
    if (!enter (&self->elements, count, depth, &self->fault))
        return false;
    mp_write_array (self->out, (uint32_t) count);
    for (size_t i = 0; i < count; i++, element += schema->size)
        if (!encode_value (self, schema, element, depth + 1))
            return fault_in_element (&self->fault, i);
    return true;
}

static bool is_absent (const weft_field_t *field, const char *base)
{
    return field->optional && !*(const bool *) (base + field->has_offset);
}

static bool encode_field (encoder_t *self, const weft_field_t *field, const char *base, unsigned depth)
{
    const void *member = base + field->offset;
    if (is_absent (field, base)) {
        mp_write_nil (self->out);
        return true;
    }
    const bool fits = field->array ? encode_array (self, field->type (), member,
                                                   *(const size_t *) (base + field->count_offset), depth)
                                   : encode_value (self, field->type (), member, depth);
    return fits || in_field (&self->fault, field);
}

/*  Optional fields absent at the end are left out. */
APART static bool encode_struct (encoder_t *self, const weft_schema_t *schema, const char *base,
                                 unsigned depth)
{
    size_t count = 0;
    for (size_t i = 0; schema->fields [i].type; i++)
        if (!is_absent (&schema->fields [i], base))
            count = i + 1;

    if (!enter (&self->elements, count, depth, &self->fault))
        return false;
    mp_write_array (self->out, (uint32_t) count);
    for (size_t i = 0; i < count; i++)
        if (!encode_field (self, &schema->fields [i], base, depth + 1))
            return false;
    return true;
}

static bool encode_value (encoder_t *self, const weft_schema_t *schema, const void *from, unsigned depth)
{
    switch (schema->kind) {
        case WEFT_KIND_NONE:
            mp_write_nil (self->out);
            return true;
        case WEFT_KIND_BOOL:
            mp_write_bool (self->out, *(const bool *) from);
            return true;
        case WEFT_KIND_INT32:
            mp_write_int (self->out, *(const int32_t *) from);
            return true;
        case WEFT_KIND_INT64:
            mp_write_int (self->out, *(const int64_t *) from);
            return true;
        case WEFT_KIND_UINT64:
            mp_write_uint (self->out, *(const uint64_t *) from);
            return true;
        case WEFT_KIND_DOUBLE:
            mp_write_double (self->out, *(const double *) from);
            return true;
        case WEFT_KIND_STRING:
            return encode_string (self, *(const char *const *) from);
        case WEFT_KIND_BYTES:
            return encode_bytes (self, from);
        case WEFT_KIND_ANY:
            return encode_any (self, from, depth);
        case WEFT_KIND_STRUCT:
            return encode_struct (self, schema, from, depth);
    }
    return fault_set (&self->fault, "unknown kind of type");
}

static bool encode_msgpack (weft_value_t value, buffer_t *out, codec_error_t *error)
{
    const size_t start = out->size;
    encoder_t self;
    self.out = out;
    self.elements = 0;
    fault_init (&self.fault);
    msgpack_packer_init (&self.packer, out, buffer_msgpack_write);

    bool fits = value.schema->kind == WEFT_KIND_NONE || encode_value (&self, value.schema, value.data, 0);
    if (fits && out->failed)
        fits = fault_set (&self.fault, "out of memory or larger than %zu bytes", out->max);
    if (!fits) {
        out->size = start; /* not buffer_truncate: the caller may want to know that it failed */
        fault_write (&self.fault, error);
    }
    return fits;
}

/*  The type as bytes; left empty, which means any, if it cannot be had. */
static void describe (buffer_t *type, const weft_schema_t *schema)
{
    buffer_init (type, WEFT_SCHEMA_MAX);
    types_write (type, schema);
    if (type->failed)
        buffer_clear (type);
}

APART static bool encode_json (weft_value_t value, buffer_t *out, codec_error_t *error)
{
    buffer_t body, type;
    buffer_init (&body, out->max);
    describe (&type, value.schema);

    bool fits = encode_msgpack (value, &body, error);
    out->failed |= body.failed;
    if (fits && body.size)
        fits = json_from_mp (body.data, body.size, type.data, type.size, false, out, error);
    buffer_fini (&body);
    buffer_fini (&type);
    return fits;
}

static bool refuse (codec_error_t *error, const char *why, const char *what)
{
    fault_line (error, "%s%s", why, what);
    return false;
}

APART static bool encode_raw (weft_value_t value, buffer_t *out, codec_error_t *error)
{
    const weft_bytes *bytes = value.data;
    if (value.schema->kind == WEFT_KIND_NONE)
        return true;
    if (value.schema->kind != WEFT_KIND_BYTES)
        return refuse (error, "codec raw carries bytes, not ", value.schema->name);
    if (!bytes->data && bytes->size)
        return refuse (error, "bytes are NULL but their size is not 0", "");
    const size_t start = out->size;
    buffer_append (out, bytes->data, bytes->size);
    if (!out->failed)
        return true;
    out->size = start;
    return refuse (error, "out of memory or larger than the bound", "");
}

bool codec_encode (codec_t codec, weft_value_t value, buffer_t *out, codec_error_t *error)
{
    if (!value.schema || (!value.data && value.schema->kind != WEFT_KIND_NONE))
        return refuse (error, "no value", "");
    switch (codec) {
        case CODEC_MSGPACK:
            return encode_msgpack (value, out, error);
        case CODEC_JSON:
            return encode_json (value, out, error);
        case CODEC_RAW:
            return encode_raw (value, out, error);
        default:
            return refuse (error, "unknown codec; known: ", CODEC_NAMES);
    }
}

/*  Decoding. */

typedef struct {
    mp_reader_t in;
    arena_t *arena;
    uint64_t elements;
    fault_t fault;
} decoder_t;

static bool decode_value (decoder_t *self, const weft_schema_t *schema, void *to, unsigned depth);

/*  Why the value at `at` was not what was expected, whose MessagePack type is `wanted`. */
APART static bool unfit (decoder_t *self, const uint8_t *at, const char *expected, mp_type_t wanted)
{
    mp_reader_t in = mp_reader (at, (size_t) (self->in.end - at));
    const mp_type_t got = mp_peek (&in);
    if (got != wanted)
        return fault_set (&self->fault, "expected %s, got %s", expected, mp_type_name (got));
    if (got != MP_INT || !mp_skip (&in))
        return fault_set (&self->fault, "malformed");
    return fault_set (&self->fault, "out of the range of %s", expected);
}

static bool decode_int32 (decoder_t *self, int32_t *to)
{
    const uint8_t *at = self->in.at;
    int64_t wide;
    if (!mp_read_int (&self->in, &wide) || wide < INT32_MIN || wide > INT32_MAX)
        return unfit (self, at, "int32", MP_INT);
    *to = (int32_t) wide;
    return true;
}

APART static bool decode_string (decoder_t *self, const char **to)
{
    const uint8_t *at = self->in.at;
    const char *text;
    size_t size;
    if (!mp_read_str (&self->in, &text, &size))
        return unfit (self, at, "string", MP_STR);
    if (!utf8_valid (text, size))
        return fault_set (&self->fault, "not UTF-8");
    if (memchr (text, '\0', size))
        return fault_set (&self->fault, "a NUL inside a string");

    char *copy = arena_alloc (self->arena, size + 1);
    if (!copy)
        return fault_set (&self->fault, "larger than %zu bytes when decoded", self->arena->max);
    memcpy (copy, text, size);
    *to = copy;
    return true;
}

APART static bool decode_bytes (decoder_t *self, weft_bytes *to)
{
    const uint8_t *at = self->in.at, *data;
    if (!mp_read_bin (&self->in, &data, &to->size))
        return unfit (self, at, "bytes", MP_BIN);
    to->data = data;
    return true;
}

APART static bool decode_any (decoder_t *self, weft_any *to, unsigned depth)
{
    const uint8_t *at = self->in.at;
    if (!skip (&self->in, &self->elements, depth, &self->fault))
        return false;
    *to = (weft_any){at, (size_t) (self->in.at - at)};
    return true;
}

/*  nil; what other languages make of an empty struct is as good. */
APART static bool decode_none (decoder_t *self)
{
    const uint8_t *at = self->in.at;
    const mp_type_t type = mp_peek (&self->in);
    uint32_t count = 0;
    if (type == MP_NIL)
        return mp_read_nil (&self->in);
    if ((type == MP_ARRAY && mp_read_array (&self->in, &count) && count == 0)
        || (type == MP_MAP && mp_read_map (&self->in, &count) && count == 0))
        return true;
    return unfit (self, at, "none", MP_NIL);
}

APART static bool decode_array (decoder_t *self, const weft_schema_t *schema, void *to, size_t *to_count,
                                unsigned depth)
{
    const uint8_t *at = self->in.at;
    uint32_t count;
    if (!mp_read_array (&self->in, &count))
        return unfit (self, at, "array", MP_ARRAY);
    if (!enter (&self->elements, count, depth, &self->fault))
        return false;
    if (count == 0)
        return true;

    char *element = arena_alloc (self->arena, count * schema->size);
    if (!element)
        return fault_set (&self->fault, "larger than %zu bytes when decoded", self->arena->max);
    memcpy (to, &element, sizeof element);
    *to_count = count;
    for (uint32_t i = 0; i < count; i++, element += schema->size)
        if (!decode_value (self, schema, element, depth + 1))
            return fault_in_element (&self->fault, i);
    return true;
}

static bool decode_field (decoder_t *self, const weft_field_t *field, char *base, unsigned depth)
{
    void *member = base + field->offset;
    if (field->optional) {
        if (mp_peek (&self->in) == MP_NIL)
            return mp_read_nil (&self->in);
        *(bool *) (base + field->has_offset) = true;
    }
    const bool fits = field->array ? decode_array (self, field->type (), member,
                                                   (size_t *) (base + field->count_offset), depth)
                                   : decode_value (self, field->type (), member, depth);
    return fits || in_field (&self->fault, field);
}

static bool missing (decoder_t *self, const weft_field_t *field)
{
    if (field->optional)
        return true;
    fault_set (&self->fault, "missing");
    return in_field (&self->fault, field);
}

/*  A struct as the array of its fields. */
APART static bool decode_positions (decoder_t *self, const weft_schema_t *schema, char *base, unsigned depth)
{
    uint32_t count;
    if (!mp_read_array (&self->in, &count))
        return fault_set (&self->fault, "malformed");
    if (!enter (&self->elements, count, depth, &self->fault))
        return false;

    const weft_field_t *field = schema->fields;
    for (; field->type && count; field++, count--)
        if (!decode_field (self, field, base, depth + 1))
            return false;
    for (; field->type; field++)
        if (!missing (self, field))
            return false;
    for (; count; count--)
        if (!skip (&self->in, &self->elements, depth + 1, &self->fault))
            return false;
    return true;
}

/*  Which fields of a struct have been seen. */
typedef struct {
    uint64_t bits [WEFT_FIELDS_MAX / 64];
} seen_t;

static bool seen (const seen_t *self, size_t index)
{
    return self->bits [index / 64] >> index % 64 & 1;
}

/*  The value of the key just read. */
static bool decode_named (decoder_t *self, const weft_schema_t *schema, text_t name, char *base,
                          seen_t *fields, unsigned depth)
{
    for (size_t i = 0; schema->fields [i].type && i < WEFT_FIELDS_MAX; i++) {
        const weft_field_t *field = &schema->fields [i];
        if (!mp_str_is (name.data, name.size, field->name))
            continue;
        if (seen (fields, i)) {
            fault_set (&self->fault, "given twice");
            return in_field (&self->fault, field);
        }
        fields->bits [i / 64] |= UINT64_C (1) << i % 64;
        return decode_field (self, field, base, depth);
    }
    return skip (&self->in, &self->elements, depth, &self->fault);
}

/*  A struct as a map of names to values. */
APART static bool decode_names (decoder_t *self, const weft_schema_t *schema, char *base, unsigned depth)
{
    seen_t fields = {0};
    uint32_t count;
    if (!mp_read_map (&self->in, &count))
        return fault_set (&self->fault, "malformed");
    if (!enter (&self->elements, 2 * (uint64_t) count, depth, &self->fault))
        return false;

    for (; count; count--) {
        text_t name = {0};
        const bool is_text = mp_peek (&self->in) == MP_STR;
        const bool key =
            is_text ? mp_read_str (&self->in, &name.data, &name.size) || fault_set (&self->fault, "malformed")
                    : skip (&self->in, &self->elements, depth + 1, &self->fault);
        if (!key || !decode_named (self, schema, name, base, &fields, depth + 1))
            return false;
    }
    for (size_t i = 0; schema->fields [i].type; i++)
        if ((i >= WEFT_FIELDS_MAX || !seen (&fields, i)) && !missing (self, &schema->fields [i]))
            return false;
    return true;
}

static bool decode_value (decoder_t *self, const weft_schema_t *schema, void *to, unsigned depth)
{
    const uint8_t *at = self->in.at;
    switch (schema->kind) {
        case WEFT_KIND_NONE:
            return decode_none (self);
        case WEFT_KIND_BOOL:
            return mp_read_bool (&self->in, to) || unfit (self, at, "bool", MP_BOOL);
        case WEFT_KIND_INT32:
            return decode_int32 (self, to);
        case WEFT_KIND_INT64:
            return mp_read_int (&self->in, to) || unfit (self, at, "int64", MP_INT);
        case WEFT_KIND_UINT64:
            return mp_read_uint (&self->in, to) || unfit (self, at, "uint64", MP_INT);
        case WEFT_KIND_DOUBLE:
            return mp_read_double (&self->in, to) || unfit (self, at, "double", MP_FLOAT);
        case WEFT_KIND_STRING:
            return decode_string (self, to);
        case WEFT_KIND_BYTES:
            return decode_bytes (self, to);
        case WEFT_KIND_ANY:
            return decode_any (self, to, depth);
        case WEFT_KIND_STRUCT:
            switch (mp_peek (&self->in)) {
                case MP_ARRAY:
                    return decode_positions (self, schema, to, depth);
                case MP_MAP:
                    return decode_names (self, schema, to, depth);
                default:
                    return unfit (self, at, schema->name, MP_ARRAY);
            }
    }
    return fault_set (&self->fault, "unknown kind of type");
}

static bool may_be_empty (const weft_schema_t *schema)
{
    if (schema->kind != WEFT_KIND_STRUCT)
        return schema->kind == WEFT_KIND_NONE;
    for (const weft_field_t *field = schema->fields; field->type; field++)
        if (!field->optional)
            return false;
    return true;
}

static bool decode_msgpack (const void *body, size_t size, weft_value_t value, arena_t *arena,
                            codec_error_t *error)
{
    decoder_t self;
    self.in = mp_reader (body, size);
    self.arena = arena;
    self.elements = 0;
    fault_init (&self.fault);

    bool fits = decode_value (&self, value.schema, value.data, 0);
    if (fits && mp_left (&self.in))
        fits = fault_set (&self.fault, "bytes after the value");
    if (!fits)
        fault_write (&self.fault, error);
    return fits;
}

/*  What is decoded points into the MessagePack made of the text, so that moves to the arena. */
APART static bool decode_json (const void *body, size_t size, weft_value_t value, arena_t *arena,
                               codec_error_t *error)
{
    buffer_t made, type;
    buffer_init (&made, arena->max);
    describe (&type, value.schema);

    bool fits = json_to_mp_known (body, size, type.data, type.size, &made, error);
    if (fits && made.size) {
        void *kept = arena_alloc (arena, made.size);
        if (kept)
            memcpy (kept, made.data, made.size);
        fits = kept ? decode_msgpack (kept, made.size, value, arena, error)
                    : refuse (error, "too large when decoded", "");
    }
    buffer_fini (&made);
    buffer_fini (&type);
    return fits;
}

APART static bool decode_raw (const void *body, size_t size, weft_value_t value, codec_error_t *error)
{
    if (value.schema->kind == WEFT_KIND_NONE && size == 0)
        return true;
    if (value.schema->kind != WEFT_KIND_BYTES)
        return refuse (error, "codec raw carries bytes, not ", value.schema->name);
    *(weft_bytes *) value.data = (weft_bytes){body, size};
    return true;
}

static bool decode (codec_t codec, const void *body, size_t size, weft_value_t value, arena_t *arena,
                    codec_error_t *error)
{
    if (codec == CODEC_RAW)
        return decode_raw (body, size, value, error);
    if (size == 0 && may_be_empty (value.schema))
        return true;
    if (size == 0)
        return refuse (error, "empty body, expected ", value.schema->name);
    switch (codec) {
        case CODEC_MSGPACK:
            return decode_msgpack (body, size, value, arena, error);
        case CODEC_JSON:
            return decode_json (body, size, value, arena, error);
        default:
            return refuse (error, "unknown codec; known: ", CODEC_NAMES);
    }
}

bool codec_decode (codec_t codec, const void *body, size_t size, weft_value_t value, arena_t *arena,
                   codec_error_t *error)
{
    if (!value.schema || (!value.data && value.schema->kind != WEFT_KIND_NONE))
        return refuse (error, "no value", "");
    if (decode (codec, body, size, value, arena, error))
        return true;
    if (value.data)
        memset (value.data, 0, value.schema->size);
    return false;
}
