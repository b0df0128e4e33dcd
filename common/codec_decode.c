/* SPDX-License-Identifier: MPL-2.0
 *
 *  codec_decode.c - bodies → C values, along the schema's tables.
 *
 *  MessagePack is read in one pass, with the bounded cursor, which keeps the same books as mp_valid: containers open,
 *  elements so far. JSON becomes MessagePack first (json.h), since it is for people. */

#include "codec_inside.h"
#include "json.h"
#include "utf8.h"

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

/*  What nearly always comes is read here; other forms, limits and faults are left to mp.h. */

/*  The first byte of the next value; one that no value has at the end. */
static inline uint8_t first_byte (const decoder_t *self)
{
    return self->in.at < self->in.end ? *self->in.at : 0xc1;
}

static inline bool read_int (decoder_t *self, int64_t *to)
{
    const int8_t small = (int8_t) first_byte (self);
    if (small < -32)
        return mp_read_int (&self->in, to);
    *to = small;
    self->in.at++;
    return true;
}

static inline bool read_uint (decoder_t *self, uint64_t *to)
{
    const uint8_t small = first_byte (self);
    if (small > 0x7f)
        return mp_read_uint (&self->in, to);
    *to = small;
    self->in.at++;
    return true;
}

static inline bool read_double (decoder_t *self, double *to)
{
    if (first_byte (self) != 0xcb || mp_left (&self->in) < 9)
        return mp_read_double (&self->in, to);
    const uint64_t bits = mp_get64 (self->in.at + 1);
    memcpy (to, &bits, sizeof *to);
    self->in.at += 9;
    return true;
}

static inline bool read_bool (decoder_t *self, bool *to)
{
    const uint8_t code = first_byte (self);
    if ((code | 1) != 0xc3)
        return mp_read_bool (&self->in, to);
    *to = code & 1;
    self->in.at++;
    return true;
}

static inline bool read_str (decoder_t *self, const char **text, size_t *size)
{
    const uint8_t code = first_byte (self);
    const size_t length = code & 0x1f;
    if ((code & 0xe0) != 0xa0 || mp_left (&self->in) <= length)
        return mp_read_str (&self->in, text, size);
    *text = (const char *) self->in.at + 1;
    *size = length;
    self->in.at += 1 + length;
    return true;
}

/*  Each element takes a byte at least. */
static inline bool read_array (decoder_t *self, uint32_t *count)
{
    const uint8_t code = first_byte (self);
    const size_t number = code & 0x0f;
    if ((code & 0xf0) != 0x90 || mp_left (&self->in) <= number)
        return mp_read_array (&self->in, count);
    *count = (uint32_t) number;
    self->in.at++;
    return true;
}

static bool decode_int32 (decoder_t *self, int32_t *to)
{
    const uint8_t *at = self->in.at;
    int64_t wide;
    if (!read_int (self, &wide) || wide < INT32_MIN || wide > INT32_MAX)
        return unfit (self, at, "int32", MP_INT);
    *to = (int32_t) wide;
    return true;
}

APART static bool decode_string (decoder_t *self, const char **to)
{
    const uint8_t *at = self->in.at;
    const char *text;
    size_t size;
    if (!read_str (self, &text, &size))
        return unfit (self, at, "string", MP_STR);
    if (!utf8_valid (text, size))
        return fault_set (&self->fault, "not UTF-8");
    if (memchr (text, '\0', size))
        return fault_set (&self->fault, "a NUL inside a string");

    char *copy = arena_take (self->arena, size + 1);
    if (!copy)
        return fault_set (&self->fault, "larger than %zu bytes when decoded", self->arena->max);
    memcpy (copy, text, size);
    copy [size] = '\0';
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
    if (!codec_skip (&self->in, &self->elements, depth, &self->fault))
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
    if (!read_array (self, &count))
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

static ALWAYS_INLINE bool decode_member (decoder_t *self, const weft_field_t *field, char *base,
                                         unsigned depth)
{
    void *member = base + field->offset;
    if (field->optional) {
        if (first_byte (self) == 0xc0)
            return mp_read_nil (&self->in);
        *(bool *) (base + field->has_offset) = true;
    }
    if (field->array)
        return decode_array (self, field->type (), member, (size_t *) (base + field->count_offset), depth);
    return decode_value (self, field->type (), member, depth);
}

APART static bool decode_field (decoder_t *self, const weft_field_t *field, char *base, unsigned depth)
{
    return decode_member (self, field, base, depth) || in_field (&self->fault, field);
}

static bool missing (decoder_t *self, const weft_field_t *field)
{
    if (field->optional)
        return true;
    fault_set (&self->fault, "missing");
    return in_field (&self->fault, field);
}

/*  A struct as the array of its fields. */
static ALWAYS_INLINE bool decode_positions (decoder_t *self, const weft_schema_t *schema, char *base,
                                            unsigned depth)
{
    uint32_t count;
    if (!read_array (self, &count))
        return fault_set (&self->fault, "malformed");
    if (!enter (&self->elements, count, depth, &self->fault))
        return false;

    const weft_field_t *field = schema->fields;
    for (; field->type && count; field++, count--)
        if (!decode_member (self, field, base, depth + 1))
            return in_field (&self->fault, field);
    for (; field->type; field++)
        if (!missing (self, field))
            return false;
    for (; count; count--)
        if (!codec_skip (&self->in, &self->elements, depth + 1, &self->fault))
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

/*  The field with that name. They mostly come in order, so `expected` is asked first. NULL: there is none. */
static const weft_field_t *find_field (const weft_schema_t *schema, const weft_field_t *expected, text_t name)
{
    const bool known = expected < schema->fields + WEFT_FIELDS_MAX && expected->type;
    if (known && mp_str_is (name.data, name.size, expected->name))
        return expected;
    for (size_t i = 0; schema->fields [i].type && i < WEFT_FIELDS_MAX; i++)
        if (mp_str_is (name.data, name.size, schema->fields [i].name))
            return &schema->fields [i];
    return NULL;
}

/*  The value of the key just read. */
static bool decode_named (decoder_t *self, const weft_schema_t *schema, const weft_field_t *field, char *base,
                          seen_t *fields, unsigned depth)
{
    if (!field)
        return codec_skip (&self->in, &self->elements, depth, &self->fault);
    const size_t i = (size_t) (field - schema->fields);
    if (seen (fields, i)) {
        fault_set (&self->fault, "given twice");
        return in_field (&self->fault, field);
    }
    fields->bits [i / 64] |= UINT64_C (1) << i % 64;
    return decode_field (self, field, base, depth);
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

    const weft_field_t *expected = schema->fields;
    for (; count; count--) {
        text_t name = {0};
        const bool is_text = mp_peek (&self->in) == MP_STR;
        const bool key =
            is_text ? mp_read_str (&self->in, &name.data, &name.size) || fault_set (&self->fault, "malformed")
                    : codec_skip (&self->in, &self->elements, depth + 1, &self->fault);
        const weft_field_t *field = key ? find_field (schema, expected, name) : NULL;
        if (!key || !decode_named (self, schema, field, base, &fields, depth + 1))
            return false;
        expected = field ? field + 1 : expected;
    }
    for (size_t i = 0; schema->fields [i].type; i++)
        if ((i >= WEFT_FIELDS_MAX || !seen (&fields, i)) && !missing (self, &schema->fields [i]))
            return false;
    return true;
}

/*  Array or map. */
static ALWAYS_INLINE bool decode_fields (decoder_t *self, const weft_schema_t *schema, void *to,
                                         unsigned depth)
{
    const uint8_t *at = self->in.at;
    const mp_type_t type = mp_peek (&self->in);
    if (type == MP_ARRAY)
        return decode_positions (self, schema, to, depth);
    if (type == MP_MAP)
        return decode_names (self, schema, to, depth);
    return unfit (self, at, schema->name, MP_ARRAY);
}

APART static bool decode_struct (decoder_t *self, const weft_schema_t *schema, void *to, unsigned depth)
{
    return decode_fields (self, schema, to, depth);
}

static ALWAYS_INLINE bool decode_value (decoder_t *self, const weft_schema_t *schema, void *to,
                                        unsigned depth)
{
    const uint8_t *at = self->in.at;
    switch (schema->kind) {
        case WEFT_KIND_NONE:
            return decode_none (self);
        case WEFT_KIND_BOOL:
            return read_bool (self, to) || unfit (self, at, "bool", MP_BOOL);
        case WEFT_KIND_INT32:
            return decode_int32 (self, to);
        case WEFT_KIND_INT64:
            return read_int (self, to) || unfit (self, at, "int64", MP_INT);
        case WEFT_KIND_UINT64:
            return read_uint (self, to) || unfit (self, at, "uint64", MP_INT);
        case WEFT_KIND_DOUBLE:
            return read_double (self, to) || unfit (self, at, "double", MP_FLOAT);
        case WEFT_KIND_STRING:
            return decode_string (self, to);
        case WEFT_KIND_BYTES:
            return decode_bytes (self, to);
        case WEFT_KIND_ANY:
            return decode_any (self, to, depth);
        case WEFT_KIND_STRUCT:
            return decode_struct (self, schema, to, depth);
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

    bool fits = value.schema->kind == WEFT_KIND_STRUCT ? decode_fields (&self, value.schema, value.data, 0)
                                                       : decode_value (&self, value.schema, value.data, 0);
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

    bool fits = codec_describe (&type, value.schema)
                    ? json_to_mp_known (body, size, type.data, type.size, &made, error)
                    : codec_refuse (error, "out of memory", "");
    if (fits && made.size) {
        void *kept = arena_alloc (arena, made.size);
        if (kept)
            memcpy (kept, made.data, made.size);
        fits = kept ? decode_msgpack (kept, made.size, value, arena, error)
                    : codec_refuse (error, "too large when decoded", "");
    }
    arena->starved |= made.starved || type.starved;
    buffer_fini (&made);
    buffer_fini (&type);
    return fits;
}

APART static bool decode_raw (const void *body, size_t size, weft_value_t value, codec_error_t *error)
{
    if (value.schema->kind == WEFT_KIND_NONE && size == 0)
        return true;
    if (value.schema->kind != WEFT_KIND_BYTES)
        return codec_refuse (error, "codec raw carries bytes, not ", value.schema->name);
    *(weft_bytes *) value.data = (weft_bytes){body, size};
    return true;
}

APART static bool decode (codec_t codec, const void *body, size_t size, weft_value_t value, arena_t *arena,
                          codec_error_t *error)
{
    if (codec == CODEC_RAW)
        return decode_raw (body, size, value, error);
    if (size == 0) /* of any other codec */
        return may_be_empty (value.schema) || codec_refuse (error, "empty body, expected ", value.schema->name);
    if (codec == CODEC_JSON)
        return decode_json (body, size, value, arena, error);
    return codec_refuse (error, "unknown codec; known: ", CODEC_NAMES);
}

bool codec_decode (codec_t codec, const void *body, size_t size, weft_value_t value, arena_t *arena,
                   codec_error_t *error)
{
    if (!value.schema || (!value.data && value.schema->kind != WEFT_KIND_NONE))
        return codec_refuse (error, "no value", "");
    const bool fits = codec == CODEC_MSGPACK && size ? decode_msgpack (body, size, value, arena, error)
                                                     : decode (codec, body, size, value, arena, error);
    if (fits)
        return true;
    if (value.data)
        memset (value.data, 0, value.schema->size);
    return false;
}
