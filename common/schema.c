/* SPDX-License-Identifier: MPL-2.0
 *
 *  schema.c - the built-in types, under their names on the wire. */

#include <weft/schema.h>

#define BUILT_IN(word, KIND)                                                                                 \
    const weft_schema_t *weft_##word##_schema (void)                                                         \
    {                                                                                                        \
        static const weft_schema_t schema = {#word, KIND, sizeof (weft_##word), NULL};                       \
        return &schema;                                                                                      \
    }

BUILT_IN (none, WEFT_KIND_NONE)
BUILT_IN (bool, WEFT_KIND_BOOL)
BUILT_IN (int32, WEFT_KIND_INT32)
BUILT_IN (int64, WEFT_KIND_INT64)
BUILT_IN (uint64, WEFT_KIND_UINT64)
BUILT_IN (double, WEFT_KIND_DOUBLE)
BUILT_IN (string, WEFT_KIND_STRING)
BUILT_IN (bytes, WEFT_KIND_BYTES)
BUILT_IN (any, WEFT_KIND_ANY)
