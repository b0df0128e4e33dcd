/* SPDX-License-Identifier: MPL-2.0
 *
 *  types.h - a schema as it travels: PROTOCOL.md, section 5, written from C tables and read back as bytes. */

#ifndef TYPES_H_INCLUDED
#define TYPES_H_INCLUDED

#include <weft/schema.h>
#include "mp.h"

/*  Appends the type that describes `schema`. */
void types_write (buffer_t *out, const weft_schema_t *schema);

/*  True if the bytes are exactly one well-formed type (depth, fields, known names). */
bool types_valid (const void *type, size_t size);

/*  A signature for people: "arith_args{a: int64, b?: int64}", "[point{...}]". Appends; no NUL. */
void types_print (buffer_t *out, const void *type, size_t size);

#endif
