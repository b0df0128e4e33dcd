/* SPDX-License-Identifier: MPL-2.0
 *
 *  mp.h - MessagePack, read with a bounded cursor and written with known widths.
 *
 *  The reader takes hostile bytes: it never allocates, never recurses, never reads past the end, and believes
 *  no count that the remaining bytes could not hold. After the first failure it stays failed and every
 *  read returns false, so a sequence of reads can be checked once. */

#ifndef MP_H_INCLUDED
#define MP_H_INCLUDED

#include "buffer.h"

typedef struct {
    const uint8_t *at, *end;
    bool failed;
} mp_reader_t;

typedef enum {
    MP_NONE, /* at the end, or failed */
    MP_NIL,
    MP_BOOL,
    MP_INT, /* signed or unsigned */
    MP_FLOAT,
    MP_STR,
    MP_BIN,
    MP_ARRAY,
    MP_MAP,
    MP_EXT
} mp_type_t;

static inline mp_reader_t mp_reader (const void *data, size_t size)
{
    const uint8_t *at = data;
    return (mp_reader_t){at, size ? at + size : at, false};
}

static inline size_t mp_left (const mp_reader_t *self)
{
    return (size_t) (self->end - self->at);
}

/*  The type of the next value, without consuming it; its name for people ("nothing" for NONE). */
extern const uint8_t mp_types [256]; /* by first byte */
static inline mp_type_t mp_peek (const mp_reader_t *self)
{
    return self->at == self->end ? MP_NONE : (mp_type_t) mp_types [*self->at];
}
const char *mp_type_name (mp_type_t type);

/*  Each consumes one value of its type, or fails. Views point into the input. A negative number is no uint; an
 *  integer is a double too. Counts never exceed what is left (a map's twice). */
bool mp_read_nil (mp_reader_t *self);
bool mp_read_bool (mp_reader_t *self, bool *value);
bool mp_read_uint (mp_reader_t *self, uint64_t *value);
bool mp_read_int (mp_reader_t *self, int64_t *value);
bool mp_read_double (mp_reader_t *self, double *value);
bool mp_read_str (mp_reader_t *self, const char **data, size_t *size);
bool mp_read_bin (mp_reader_t *self, const uint8_t **data, size_t *size);
bool mp_read_array (mp_reader_t *self, uint32_t *count);
bool mp_read_map (mp_reader_t *self, uint32_t *count);

/*  Consumes one whole value of any type, at most WEFT_NESTING_MAX deep and WEFT_ELEMENTS_MAX elements in all. */
bool mp_skip (mp_reader_t *self);

/*  True if data is exactly one well-formed value within those caps: what makes it safe for a decoder
 *  that allocates by counts. */
bool mp_valid (const void *data, size_t size);

/*  Reads a str and compares. */
bool mp_str_is (const char *data, size_t size, const char *text);

/*  Writers. Integers take the shortest form; the fixed ones their width. */
void mp_write_nil (buffer_t *buffer);
void mp_write_bool (buffer_t *buffer, bool value);
void mp_write_uint (buffer_t *buffer, uint64_t value);
void mp_write_int (buffer_t *buffer, int64_t value);
void mp_write_double (buffer_t *buffer, double value);
void mp_write_uint64_fixed (buffer_t *buffer, uint64_t value); /* cf + 8 */
void mp_write_str (buffer_t *buffer, const char *data, size_t size);
void mp_write_text (buffer_t *buffer, const char *text); /* NUL-terminated; NULL is "" */
void mp_write_bin (buffer_t *buffer, const void *data, size_t size);
void mp_write_array (buffer_t *buffer, uint32_t count);
void mp_write_map (buffer_t *buffer, uint32_t count);

static inline void mp_put32 (uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32 (value);
    __builtin_memcpy (at, &value, 4);
}

static inline uint32_t mp_get32 (const uint8_t *at)
{
    uint32_t value;
    __builtin_memcpy (&value, at, 4);
    return __builtin_bswap32 (value);
}

static inline uint64_t mp_get64 (const uint8_t *at)
{
    uint64_t value;
    __builtin_memcpy (&value, at, 8);
    return __builtin_bswap64 (value);
}

static inline void mp_put64 (uint8_t *at, uint64_t value)
{
    value = __builtin_bswap64 (value);
    __builtin_memcpy (at, &value, 8);
}

#endif
