/* SPDX-License-Identifier: MPL-2.0
 *
 *  types.h - a schema as it travels: PROTOCOL.md, section 5, written from C tables and read back as bytes. */

#ifndef TYPES_H_INCLUDED
#define TYPES_H_INCLUDED

#include <weft/limits.h>
#include <weft/schema.h>
#include "mp.h"
#include "text.h"

/*  Arrays inside each other in a type: what REGISTER and Describe leave of WEFT_NESTING_MAX. */
#define TYPES_NESTING_MAX (WEFT_NESTING_MAX - 6)

/*  Appends the type that describes `schema`. What would nest too deep, and structs with too many fields or a
 *  name that is none, are written "any". */
void types_write (buffer_t *out, const weft_schema_t *schema);

/*  True if the bytes are exactly one well-formed type (size, depth, fields, known names). */
bool types_valid (const void *type, size_t size);

/*  A signature for people: "arith_args{a: int64, b?: int64}", "[point{x: double, y: double}]"; a struct
 *  inside itself only by its name. Appends; no NUL. */
void types_print (buffer_t *out, const void *type, size_t size);

/*  A part of a valid type, for who walks along it. */
typedef struct types_view types_view_t;
struct types_view {
    weft_kind_t kind; /* unless array */
    bool array;
    bool same;          /* was named by "same" */
    text_t name;        /* of a struct */
    mp_reader_t inside; /* an array's element; a struct's fields */
    uint32_t field_count;
    const types_view_t *around; /* the nearest struct around it */
};

/*  The whole of a valid type; "any" for size 0. */
types_view_t types_view (const void *type, size_t size);

/*  The elements of an array. */
types_view_t types_element (const types_view_t *array);

/*  One field of a struct after the other: `fields` starts as `parent->inside`. The field's type refers to
 *  `parent`, which must stay where it is. False after the last. */
typedef struct {
    text_t name;
    bool optional;
    types_view_t type;
} types_field_t;
bool types_next_field (mp_reader_t *fields, const types_view_t *parent, types_field_t *field);

/*  The field of that name and its index; false if there is none, and then both mean nothing. */
bool types_find_field (const types_view_t *parent, text_t name, types_field_t *field, uint32_t *index);

/*  True if an empty body can stand for it: none, or a struct without required fields. */
bool types_may_be_empty (const types_view_t *self);

/*  What an error calls it: "int64", "array", the struct's name. */
text_t types_name (const types_view_t *self);

#endif
