/* SPDX-License-Identifier: MPL-2.0
 *
 *  codec_inside.h - what both ways share: a value's bounds, and the words for what does not fit.
 *
 *      codec.c         the codecs' names; what is below
 *      codec_encode.c  C values → bodies
 *      codec_decode.c  bodies → C values */

#ifndef CODEC_INSIDE_H_INCLUDED
#define CODEC_INSIDE_H_INCLUDED

#include "codec.h"
#include "fault.h"
#include <string.h>

/*  Keeps what is not needed for a number out of the functions that every value passes through. */
#define APART __attribute__ ((noinline))

/*  Keeps the loop over a struct's numbers in one piece. */
#define ALWAYS_INLINE inline __attribute__ ((always_inline))

/*  One more container inside `depth` others. */
static inline bool enter (uint64_t *elements, uint64_t count, unsigned depth, fault_t *fault)
{
    *elements += count;
    if (depth >= WEFT_NESTING_MAX)
        return fault_set (fault, "nested deeper than %d", WEFT_NESTING_MAX);
    if (*elements > WEFT_ELEMENTS_MAX)
        return fault_set (fault, "more than %d elements in all", WEFT_ELEMENTS_MAX);
    return true;
}

/*  Consumes one value of any type. */
bool codec_skip (mp_reader_t *in, uint64_t *elements, unsigned depth, fault_t *fault);

static inline bool in_field (fault_t *fault, const weft_field_t *field)
{
    return fault_in_field (fault, field->name, strlen (field->name));
}

/*  The type as bytes; left empty, which means any, if it is too long. False: out of memory. */
bool codec_describe (buffer_t *type, const weft_schema_t *schema);

/*  False, for whoever says why. */
bool codec_refuse (codec_error_t *error, const char *why, const char *what);

#endif
