/* SPDX-License-Identifier: MPL-2.0 */

#include "mp.h"
#include <string.h>
#include <weft/limits.h>

/*  Reading. */

static bool fail (mp_reader_t *self)
{
    self->failed = true;
    self->at = self->end;
    return false;
}

/*  `size` bytes, consumed; NULL (and failed) if they are not there. */
static inline const uint8_t *take (mp_reader_t *self, size_t size)
{
    if (mp_left (self) < size) {
        fail (self);
        return NULL;
    }
    const uint8_t *at = self->at;
    self->at += size;
    return at;
}

/*  A big-endian number of 1, 2, 4 or 8 bytes. */
static inline bool take_number (mp_reader_t *self, size_t size, uint64_t *value)
{
    uint16_t two;
    uint32_t four;
    const uint8_t *at = take (self, size);
    if (!at)
        return false;
    switch (size) {
        case 1:
            *value = *at;
            return true;
        case 2:
            memcpy (&two, at, 2);
            *value = __builtin_bswap16 (two);
            return true;
        case 4:
            memcpy (&four, at, 4);
            *value = __builtin_bswap32 (four);
            return true;
        default:
            memcpy (value, at, 8);
            *value = __builtin_bswap64 (*value);
            return true;
    }
}

/*  The size in a head whose lowest code is `first` and whose size field doubles with each code. */
static inline bool take_size (mp_reader_t *self, unsigned code, unsigned first, size_t smallest,
                              uint64_t *size)
{
    return take_number (self, smallest << (code - first), size);
}

#define TWO(type)     type, type
#define FOUR(type)    TWO (type), TWO (type)
#define SIXTEEN(type) FOUR (type), FOUR (type), FOUR (type), FOUR (type)
const uint8_t mp_types [256] = {
    SIXTEEN (MP_INT), SIXTEEN (MP_INT), SIXTEEN (MP_INT), SIXTEEN (MP_INT), /* 00 */
    SIXTEEN (MP_INT), SIXTEEN (MP_INT), SIXTEEN (MP_INT), SIXTEEN (MP_INT),
    SIXTEEN (MP_MAP), SIXTEEN (MP_ARRAY), SIXTEEN (MP_STR), SIXTEEN (MP_STR), /* 80 */
    MP_NIL, MP_NONE, TWO (MP_BOOL), TWO (MP_BIN), MP_BIN, TWO (MP_EXT), MP_EXT, TWO (MP_FLOAT), /* c0 */
    FOUR (MP_INT),                                                                              /* cc */
    FOUR (MP_INT), FOUR (MP_EXT), MP_EXT, TWO (MP_STR), MP_STR, TWO (MP_ARRAY), TWO (MP_MAP),   /* d0 */
    SIXTEEN (MP_INT), SIXTEEN (MP_INT)};                                                        /* e0 */

const char *mp_type_name (mp_type_t type)
{
    static const char *const names [] = {
        [MP_NONE] = "nothing", [MP_NIL] = "nil",    [MP_BOOL] = "bool", [MP_INT] = "integer",
        [MP_FLOAT] = "double", [MP_STR] = "string", [MP_BIN] = "bytes", [MP_ARRAY] = "array",
        [MP_MAP] = "map",      [MP_EXT] = "ext",
    };
    return names [type];
}

bool mp_read_nil (mp_reader_t *self)
{
    if (mp_peek (self) != MP_NIL)
        return fail (self);
    self->at++;
    return true;
}

bool mp_read_bool (mp_reader_t *self, bool *value)
{
    if (mp_peek (self) != MP_BOOL)
        return fail (self);
    *value = *self->at++ == 0xc3;
    return true;
}

/*  Any integer: its bits, and whether they are those of a negative one. */
static inline bool read_integer (mp_reader_t *self, uint64_t *bits, bool *negative)
{
    *negative = false;
    if (mp_peek (self) != MP_INT)
        return fail (self);

    const unsigned code = *self->at++;
    if (code <= 0x7f) {
        *bits = code;
        return true;
    }
    if (code >= 0xe0) {
        *bits = (uint64_t) (int64_t) (int8_t) code;
        *negative = true;
        return true;
    }
    if (code <= 0xcf)
        return take_size (self, code, 0xcc, 1, bits);

    if (!take_size (self, code, 0xd0, 1, bits))
        return false;
    const unsigned shift = 64 - (8u << (code - 0xd0)); /* sign-extend */
    *bits = (uint64_t) ((int64_t) (*bits << shift) >> shift);
    *negative = (int64_t) *bits < 0;
    return true;
}

bool mp_read_uint (mp_reader_t *self, uint64_t *value)
{
    uint64_t bits;
    bool negative;
    if (!read_integer (self, &bits, &negative))
        return false;
    if (negative)
        return fail (self);
    *value = bits;
    return true;
}

bool mp_read_int (mp_reader_t *self, int64_t *value)
{
    uint64_t bits;
    bool negative;
    if (!read_integer (self, &bits, &negative))
        return false;
    if (!negative && bits > INT64_MAX)
        return fail (self);
    *value = (int64_t) bits;
    return true;
}

bool mp_read_double (mp_reader_t *self, double *value)
{
    uint64_t bits;
    bool negative;
    if (mp_peek (self) == MP_INT) {
        if (!read_integer (self, &bits, &negative))
            return false;
        *value = negative ? (double) (int64_t) bits : (double) bits;
        return true;
    }
    if (mp_peek (self) != MP_FLOAT)
        return fail (self);

    if (*self->at++ == 0xcb) {
        if (!take_number (self, 8, &bits))
            return false;
        memcpy (value, &bits, sizeof *value);
        return true;
    }
    if (!take_number (self, 4, &bits))
        return false;
    const uint32_t narrow_bits = (uint32_t) bits;
    float narrow;
    memcpy (&narrow, &narrow_bits, sizeof narrow);
    *value = (double) narrow;
    return true;
}

bool mp_read_str (mp_reader_t *self, const char **data, size_t *size)
{
    uint64_t length;
    if (mp_peek (self) != MP_STR)
        return fail (self);
    const unsigned code = *self->at++;
    if (code <= 0xbf)
        length = code & 0x1f;
    else if (!take_size (self, code, 0xd9, 1, &length))
        return false;

    const uint8_t *at = take (self, length);
    if (!at)
        return false;
    *data = (const char *) at;
    *size = length;
    return true;
}

bool mp_read_bin (mp_reader_t *self, const uint8_t **data, size_t *size)
{
    uint64_t length;
    if (mp_peek (self) != MP_BIN)
        return fail (self);
    const unsigned code = *self->at++;
    if (!take_size (self, code, 0xc4, 1, &length))
        return false;

    const uint8_t *at = take (self, length);
    if (!at)
        return false;
    *data = at;
    *size = length;
    return true;
}

/*  The count of an array or map; each element needs at least `element_size` bytes of what is left. */
static bool read_count (mp_reader_t *self, mp_type_t type, unsigned wide_code, size_t element_size,
                        uint32_t *count)
{
    uint64_t number;
    if (mp_peek (self) != type)
        return fail (self);
    const unsigned code = *self->at++;
    if (code <= 0x9f)
        number = code & 0x0f;
    else if (!take_size (self, code, wide_code, 2, &number))
        return false;
    if (number > mp_left (self) / element_size)
        return fail (self);
    *count = (uint32_t) number;
    return true;
}

bool mp_read_array (mp_reader_t *self, uint32_t *count)
{
    return read_count (self, MP_ARRAY, 0xdc, 1, count);
}

bool mp_read_map (mp_reader_t *self, uint32_t *count)
{
    return read_count (self, MP_MAP, 0xde, 2, count);
}

/*  Consumes an ext value, or the rest of any scalar. */
static bool skip_scalar (mp_reader_t *self, mp_type_t type)
{
    uint64_t bits, size;
    bool flag;
    double number;
    const char *str;
    const uint8_t *bin;
    switch (type) {
        case MP_NIL:
            return mp_read_nil (self);
        case MP_BOOL:
            return mp_read_bool (self, &flag);
        case MP_INT:
            return read_integer (self, &bits, &flag);
        case MP_FLOAT:
            return mp_read_double (self, &number);
        case MP_STR:
            return mp_read_str (self, &str, &(size_t){0});
        case MP_BIN:
            return mp_read_bin (self, &bin, &(size_t){0});
        case MP_EXT: {
            const unsigned code = *self->at++;
            if (code >= 0xd4 && code <= 0xd8)
                size = 1u << (code - 0xd4);
            else if (!take_size (self, code, 0xc7, 1, &size))
                return false;
            return take (self, 1) && take (self, size);
        }
        default:
            return fail (self);
    }
}

bool mp_skip (mp_reader_t *self)
{
    uint64_t pending [WEFT_NESTING_MAX + 1]; /* values still to come at each depth */
    uint64_t elements = 0;
    size_t depth = 0;
    pending [0] = 1;

    for (;;) {
        while (pending [depth] == 0) {
            if (depth == 0)
                return true;
            depth--;
        }
        pending [depth]--;

        const mp_type_t type = mp_peek (self);
        if (type != MP_ARRAY && type != MP_MAP) {
            if (!skip_scalar (self, type))
                return false;
            continue;
        }
        uint32_t count;
        if (!(type == MP_ARRAY ? mp_read_array (self, &count) : mp_read_map (self, &count)))
            return false;
        const uint64_t values = type == MP_MAP ? 2 * (uint64_t) count : count;
        elements += values;
        if (depth == WEFT_NESTING_MAX || elements > WEFT_ELEMENTS_MAX)
            return fail (self);
        pending [++depth] = values;
    }
}

bool mp_valid (const void *data, size_t size)
{
    mp_reader_t reader = mp_reader (data, size);
    return mp_skip (&reader) && mp_left (&reader) == 0;
}

bool mp_str_is (const char *data, size_t size, const char *text)
{
    return strlen (text) == size && memcmp (data, text, size) == 0;
}

/*  Writing. */

/*  A code byte and a big-endian number of `size` bytes. */
static inline void write_number (buffer_t *buffer, unsigned code, uint64_t value, size_t size)
{
    uint8_t *at = buffer_extend (buffer, 1 + size);
    if (!at)
        return;
    at [0] = (uint8_t) code;
    value = size ? __builtin_bswap64 (value << (64 - 8 * size)) : 0;
    memcpy (at + 1, &value, size);
}

static void write_byte (buffer_t *buffer, unsigned byte)
{
    write_number (buffer, byte, 0, 0);
}

void mp_write_nil (buffer_t *buffer)
{
    write_byte (buffer, 0xc0);
}

void mp_write_bool (buffer_t *buffer, bool value)
{
    write_byte (buffer, value ? 0xc3 : 0xc2);
}

void mp_write_uint (buffer_t *buffer, uint64_t value)
{
    if (value <= 0x7f)
        write_byte (buffer, (unsigned) value);
    else if (value <= UINT8_MAX)
        write_number (buffer, 0xcc, value, 1);
    else if (value <= UINT16_MAX)
        write_number (buffer, 0xcd, value, 2);
    else if (value <= UINT32_MAX)
        write_number (buffer, 0xce, value, 4);
    else
        write_number (buffer, 0xcf, value, 8);
}

void mp_write_int (buffer_t *buffer, int64_t value)
{
    if (value >= 0)
        mp_write_uint (buffer, (uint64_t) value);
    else if (value >= -32)
        write_byte (buffer, (unsigned) (value & 0xff));
    else if (value >= INT8_MIN)
        write_number (buffer, 0xd0, (uint64_t) value, 1);
    else if (value >= INT16_MIN)
        write_number (buffer, 0xd1, (uint64_t) value, 2);
    else if (value >= INT32_MIN)
        write_number (buffer, 0xd2, (uint64_t) value, 4);
    else
        write_number (buffer, 0xd3, (uint64_t) value, 8);
}

void mp_write_double (buffer_t *buffer, double value)
{
    uint64_t bits;
    memcpy (&bits, &value, sizeof bits);
    write_number (buffer, 0xcb, bits, 8);
}

void mp_write_uint64_fixed (buffer_t *buffer, uint64_t value)
{
    write_number (buffer, 0xcf, value, 8);
}

/*  A head whose size field is 1, 2 or 4 bytes under codes `code`, `code + 1`, `code + 2`. */
static void write_head (buffer_t *buffer, unsigned code, size_t size)
{
    if (size <= UINT8_MAX)
        write_number (buffer, code, size, 1);
    else if (size <= UINT16_MAX)
        write_number (buffer, code + 1, size, 2);
    else
        write_number (buffer, code + 2, size, 4);
}

void mp_write_str (buffer_t *buffer, const char *data, size_t size)
{
    if (size <= 31)
        write_byte (buffer, 0xa0 | (unsigned) size);
    else
        write_head (buffer, 0xd9, size);
    buffer_append (buffer, data, size);
}

void mp_write_text (buffer_t *buffer, const char *text)
{
    mp_write_str (buffer, text, text ? strlen (text) : 0);
}

void mp_write_bin (buffer_t *buffer, const void *data, size_t size)
{
    write_head (buffer, 0xc4, size);
    buffer_append (buffer, data, size);
}

void mp_write_array (buffer_t *buffer, uint32_t count)
{
    if (count <= 15)
        write_byte (buffer, 0x90 | count);
    else if (count <= UINT16_MAX)
        write_number (buffer, 0xdc, count, 2);
    else
        write_number (buffer, 0xdd, count, 4);
}

void mp_write_map (buffer_t *buffer, uint32_t count)
{
    if (count <= 15)
        write_byte (buffer, 0x80 | count);
    else if (count <= UINT16_MAX)
        write_number (buffer, 0xde, count, 2);
    else
        write_number (buffer, 0xdf, count, 4);
}
