/* SPDX-License-Identifier: MPL-2.0
 *
 *  codec_encode.c - C values → bodies, along the schema's tables.
 *
 *  MessagePack is written in one pass; JSON is made of it (json.h), since it is for people. */

#include "codec_inside.h"
#include "json.h"
#include "utf8.h"

/*  The place to write to, `at`, is passed on within the memory that `out` has, and handed back behind what was
 *  written: NULL if it did not fit. What was written counts for `out` once that is settled. */
typedef struct {
    uint8_t *end;
    buffer_t *out;
    uint64_t elements;
    fault_t fault;
} encoder_t;

static uint8_t *encode_value (encoder_t *self, uint8_t *at, const weft_schema_t *schema, const void *from,
                              unsigned depth);

/*  Only a fault is told in full: where room is short, nothing more need be said. */
#define NOT_FIT(self, ...) (fault_set (&(self)->fault, __VA_ARGS__), NULL)

static void settle (encoder_t *self, const uint8_t *at)
{
    self->out->size = (size_t) (at - self->out->data);
}

/*  Goes on at the buffer's end; NULL if that failed. */
static uint8_t *resume (encoder_t *self)
{
    buffer_t *out = self->out;
    self->end = out->data + out->capacity;
    return out->failed ? NULL : out->data + out->size;
}

APART static uint8_t *make_room (encoder_t *self, uint8_t *at, size_t size)
{
    settle (self, at);
    const size_t written = self->out->size;
    if (buffer_extend (self->out, size))
        self->out->size = written;
    return resume (self);
}

/*  `at`, wherever it is now, with room for `size` bytes. */
static inline uint8_t *room (encoder_t *self, uint8_t *at, size_t size)
{
    return size <= (size_t) (self->end - at) ? at : make_room (self, at, size);
}

static inline uint8_t *put_byte (encoder_t *self, uint8_t *at, unsigned byte)
{
    if ((at = room (self, at, 1)) == NULL)
        return NULL;
    *at++ = (uint8_t) byte;
    return at;
}

/*  What mp.h writes, where a byte or a copy will not do. */
#define PUT(self, at, write, ...) (settle (self, at), write ((self)->out, __VA_ARGS__), resume (self))

APART static uint8_t *put_long_int (encoder_t *self, uint8_t *at, int64_t value)
{
    return PUT (self, at, mp_write_int, value);
}

APART static uint8_t *put_long_uint (encoder_t *self, uint8_t *at, uint64_t value)
{
    return PUT (self, at, mp_write_uint, value);
}

APART static uint8_t *put_long_head (encoder_t *self, uint8_t *at, uint32_t count)
{
    return PUT (self, at, mp_write_array, count);
}

static inline uint8_t *put_int (encoder_t *self, uint8_t *at, int64_t value)
{
    const bool is_byte = value >= -32 && value <= 0x7f;
    return is_byte ? put_byte (self, at, (unsigned) value & 0xff) : put_long_int (self, at, value);
}

static inline uint8_t *put_uint (encoder_t *self, uint8_t *at, uint64_t value)
{
    return value <= 0x7f ? put_byte (self, at, (unsigned) value) : put_long_uint (self, at, value);
}

static inline uint8_t *put_head (encoder_t *self, uint8_t *at, uint64_t count)
{
    return count <= 15 ? put_byte (self, at, 0x90 | (unsigned) count)
                       : put_long_head (self, at, (uint32_t) count);
}

static inline uint8_t *put_double (encoder_t *self, uint8_t *at, double value)
{
    uint64_t bits;
    if ((at = room (self, at, 9)) == NULL)
        return NULL;
    memcpy (&bits, &value, sizeof bits);
    *at = 0xcb;
    mp_put64 (at + 1, bits);
    return at + 9;
}

APART static uint8_t *encode_string (encoder_t *self, uint8_t *at, const char *text)
{
    const size_t size = text ? strlen (text) : 0;
    if (!text)
        return NOT_FIT (self, "a string must not be NULL");
    if (size > UINT32_MAX)
        return NOT_FIT (self, "too large");
    if (!utf8_valid (text, size))
        return NOT_FIT (self, "not UTF-8");
    if (size > 31)
        return PUT (self, at, mp_write_str, text, size);
    if ((at = room (self, at, 1 + size)) == NULL)
        return NULL;
    *at = (uint8_t) (0xa0 | size);
    memcpy (at + 1, text, size);
    return at + 1 + size;
}

APART static uint8_t *encode_bytes (encoder_t *self, uint8_t *at, const weft_bytes *bytes)
{
    if (!bytes->data && bytes->size)
        return NOT_FIT (self, "bytes are NULL but their size is %zu", bytes->size);
    if (bytes->size > UINT32_MAX)
        return NOT_FIT (self, "too large");
    return PUT (self, at, mp_write_bin, bytes->data, bytes->size);
}

APART static uint8_t *encode_any (encoder_t *self, uint8_t *at, const weft_any *any, unsigned depth)
{
    if (any->size == 0)
        return put_byte (self, at, 0xc0);
    if (!any->data)
        return NOT_FIT (self, "bytes are NULL but their size is %zu", any->size);
    mp_reader_t in = mp_reader (any->data, any->size);
    if (!codec_skip (&in, &self->elements, depth, &self->fault))
        return NULL;
    if (mp_left (&in))
        return NOT_FIT (self, "more than one value");
    return PUT (self, at, buffer_append, any->data, any->size);
}

APART static uint8_t *encode_array (encoder_t *self, uint8_t *at, const weft_schema_t *schema,
                                    const void *member, size_t count, unsigned depth)
{
    const char *element;
    memcpy (&element, member, sizeof element); /* it is a T *, whatever T is */
    if (!element && count)
        return NOT_FIT (self, "the array is NULL but its count is %zu", count);
    if (!enter (&self->elements, count, depth, &self->fault))
        return NULL;
    at = put_head (self, at, count);
    for (size_t i = 0; at && i < count; i++, element += schema->size)
        if ((at = encode_value (self, at, schema, element, depth + 1)) == NULL)
            fault_in_element (&self->fault, i);
    return at;
}

static inline bool is_absent (const weft_field_t *field, const char *base)
{
    return field->optional && !*(const bool *) (base + field->has_offset);
}

static ALWAYS_INLINE uint8_t *encode_field (encoder_t *self, uint8_t *at, const weft_field_t *field,
                                            const char *base, unsigned depth)
{
    const void *member = base + field->offset;
    if (is_absent (field, base))
        return put_byte (self, at, 0xc0);
    if (field->array)
        return encode_array (self, at, field->type (), member,
                             *(const size_t *) (base + field->count_offset), depth);
    return encode_value (self, at, field->type (), member, depth);
}

/*  Optional fields absent at the end are left out. */
static ALWAYS_INLINE uint8_t *encode_fields (encoder_t *self, uint8_t *at, const weft_schema_t *schema,
                                             const char *base, unsigned depth)
{
    const weft_field_t *field = schema->fields;
    size_t count = 0;
    while (field [count].type)
        count++;
    while (count && is_absent (&field [count - 1], base))
        count--;

    if (!enter (&self->elements, count, depth, &self->fault))
        return NULL;
    at = put_head (self, at, count);
    for (; at && count; field++, count--)
        if ((at = encode_field (self, at, field, base, depth + 1)) == NULL)
            in_field (&self->fault, field);
    return at;
}

APART static uint8_t *encode_struct (encoder_t *self, uint8_t *at, const weft_schema_t *schema,
                                     const char *base, unsigned depth)
{
    return encode_fields (self, at, schema, base, depth);
}

static ALWAYS_INLINE uint8_t *encode_value (encoder_t *self, uint8_t *at, const weft_schema_t *schema,
                                            const void *from, unsigned depth)
{
    switch (schema->kind) {
        case WEFT_KIND_NONE:
            return put_byte (self, at, 0xc0);
        case WEFT_KIND_BOOL:
            return put_byte (self, at, *(const bool *) from ? 0xc3 : 0xc2);
        case WEFT_KIND_INT32:
            return put_int (self, at, *(const int32_t *) from);
        case WEFT_KIND_INT64:
            return put_int (self, at, *(const int64_t *) from);
        case WEFT_KIND_UINT64:
            return put_uint (self, at, *(const uint64_t *) from);
        case WEFT_KIND_DOUBLE:
            return put_double (self, at, *(const double *) from);
        case WEFT_KIND_STRING:
            return encode_string (self, at, *(const char *const *) from);
        case WEFT_KIND_BYTES:
            return encode_bytes (self, at, from);
        case WEFT_KIND_ANY:
            return encode_any (self, at, from, depth);
        case WEFT_KIND_STRUCT:
            return encode_struct (self, at, schema, from, depth);
    }
    return NOT_FIT (self, "unknown kind of type");
}

/*  What does not fit is the value's fault; what finds no room is nobody's, wherever it was found. */
APART static bool give_up (encoder_t *self, size_t start, codec_error_t *error)
{
    buffer_t *out = self->out;
    if (out->failed) {
        fault_init (&self->fault);
        fault_set (&self->fault, "out of memory or larger than %zu bytes", out->max);
    }
    out->size = start; /* not buffer_truncate: the caller may want to know that it failed */
    fault_write (&self->fault, error);
    return false;
}

static bool encode_msgpack (weft_value_t value, buffer_t *out, codec_error_t *error)
{
    const weft_kind_t kind = value.schema->kind;
    const size_t start = out->size;
    encoder_t self;
    self.out = out;
    self.elements = 0;
    fault_init (&self.fault);

    if (kind == WEFT_KIND_NONE && !out->failed)
        return true;
    if (!out->data && buffer_extend (out, 1)) /* so that there is a place to write to */
        out->size = 0;
    uint8_t *at = resume (&self);
    if (at)
        at = kind == WEFT_KIND_STRUCT ? encode_fields (&self, at, value.schema, value.data, 0)
                                      : encode_value (&self, at, value.schema, value.data, 0);
    if (!at)
        return give_up (&self, start, error);
    settle (&self, at);
    return true;
}

APART static bool encode_json (weft_value_t value, buffer_t *out, codec_error_t *error)
{
    buffer_t body, type;
    buffer_init (&body, out->max);

    bool fits = codec_describe (&type, value.schema) ? encode_msgpack (value, &body, error)
                                                     : codec_refuse (error, "out of memory", "");
    out->failed |= body.failed || type.failed;
    out->starved |= body.starved || type.starved;
    if (fits && body.size)
        fits = json_from_mp (body.data, body.size, type.data, type.size, false, out, error);
    buffer_fini (&body);
    buffer_fini (&type);
    return fits;
}

APART static bool encode_raw (weft_value_t value, buffer_t *out, codec_error_t *error)
{
    const weft_bytes *bytes = value.data;
    if (value.schema->kind == WEFT_KIND_NONE)
        return true;
    if (value.schema->kind != WEFT_KIND_BYTES)
        return codec_refuse (error, "codec raw carries bytes, not ", value.schema->name);
    if (!bytes->data && bytes->size)
        return codec_refuse (error, "bytes are NULL but their size is not 0", "");
    const size_t start = out->size;
    buffer_append (out, bytes->data, bytes->size);
    if (!out->failed)
        return true;
    out->size = start;
    return codec_refuse (error, "out of memory or larger than the bound", "");
}

bool codec_encode (codec_t codec, weft_value_t value, buffer_t *out, codec_error_t *error)
{
    if (!value.schema || (!value.data && value.schema->kind != WEFT_KIND_NONE))
        return codec_refuse (error, "no value", "");
    if (codec == CODEC_MSGPACK)
        return encode_msgpack (value, out, error);
    if (codec == CODEC_JSON)
        return encode_json (value, out, error);
    if (codec == CODEC_RAW)
        return encode_raw (value, out, error);
    return codec_refuse (error, "unknown codec; known: ", CODEC_NAMES);
}
