/* SPDX-License-Identifier: MPL-2.0
 *
 *  codec.h - bodies: C values by schema ⇄ msgpack, json, raw. PROTOCOL.md, section 5. */

#ifndef CODEC_H_INCLUDED
#define CODEC_H_INCLUDED

#include <weft/schema.h>
#include "arena.h"
#include "mp.h"
#include "wire.h"

typedef enum { CODEC_MSGPACK = 0, CODEC_JSON = 1, CODEC_RAW = 2, CODEC_UNKNOWN = -1 } codec_t;
#define CODEC_COUNT 3
#define CODEC_NAMES "msgpack, json, raw"

codec_t codec_find (text_t name);
const char *codec_name (codec_t codec);

/*  The first of a HELLO's codecs that is known; CODEC_UNKNOWN if none. An empty offer means msgpack. */
codec_t codec_choose (const wire_hello_t *hello);

/*  One line about what does not fit: "field points[3].x: expected double, got string". */
typedef struct {
    char text [256];
} codec_error_t;

/*  Appends the body that holds `value`. False: out of memory (then `out->starved`) or bound (then `out->failed`), or the value does
 *  not fit (a NULL string, a loop of arrays, raw with another type than bytes or none); error says, and `out`
 *  holds what it held. */
bool codec_encode (codec_t codec, weft_value_t value, buffer_t *out, codec_error_t *error);

/*  Decodes a body into the C value, which must be zeroed, and is again after a failure. Strings, bytes and
 *  arrays point into `arena` or into the body itself, so both must live as long as the value. Whether it failed
 *  for want of memory alone, `arena->starved` says, which is to be false before. */
bool codec_decode (codec_t codec, const void *body, size_t size, weft_value_t value, arena_t *arena,
                   codec_error_t *error);

#endif
