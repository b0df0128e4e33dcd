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
#include <string.h>

/*  Keeps what is not needed for a number out of the functions that every value passes through. */
#define APART __attribute__ ((noinline))

/*  Keeps the loop over a struct's numbers in one piece. */
#define ALWAYS_INLINE inline __attribute__ ((always_inline))

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
    if (!skip (&in, &self->elements, depth, &self->fault))
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
    if (codec == CODEC_MSGPACK)
        return encode_msgpack (value, out, error);
    if (codec == CODEC_JSON)
        return encode_json (value, out, error);
    if (codec == CODEC_RAW)
        return encode_raw (value, out, error);
    return refuse (error, "unknown codec; known: ", CODEC_NAMES);
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
        return skip (&self->in, &self->elements, depth, &self->fault);
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
                    : skip (&self->in, &self->elements, depth + 1, &self->fault);
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

APART static bool decode (codec_t codec, const void *body, size_t size, weft_value_t value, arena_t *arena,
                          codec_error_t *error)
{
    if (codec == CODEC_RAW)
        return decode_raw (body, size, value, error);
    if (size == 0) /* of any other codec */
        return may_be_empty (value.schema) || refuse (error, "empty body, expected ", value.schema->name);
    if (codec == CODEC_JSON)
        return decode_json (body, size, value, arena, error);
    return refuse (error, "unknown codec; known: ", CODEC_NAMES);
}

bool codec_decode (codec_t codec, const void *body, size_t size, weft_value_t value, arena_t *arena,
                   codec_error_t *error)
{
    if (!value.schema || (!value.data && value.schema->kind != WEFT_KIND_NONE))
        return refuse (error, "no value", "");
    const bool fits = codec == CODEC_MSGPACK && size ? decode_msgpack (body, size, value, arena, error)
                                                     : decode (codec, body, size, value, arena, error);
    if (fits)
        return true;
    if (value.data)
        memset (value.data, 0, value.schema->size);
    return false;
}
