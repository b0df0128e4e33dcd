/* SPDX-License-Identifier: MPL-2.0
 *
 *  object.h - a JSON object put together field by field. */

#ifndef OBJECT_H_INCLUDED
#define OBJECT_H_INCLUDED

#include "buffer.h"

typedef struct {
    buffer_t text; /* without its closing brace */
} object_t;

void object_init (object_t *self);
void object_fini (object_t *self);

void object_text (object_t *self, const char *name, const char *value);
void object_bool (object_t *self, const char *name, bool value);
void object_int (object_t *self, const char *name, int64_t value);
void object_double (object_t *self, const char *name, double value);

/*  A MessagePack value of a type (PROTOCOL.md, section 5; size 0: any). */
void object_value (object_t *self, const char *name, const void *type, size_t type_size, const void *value,
                   size_t size);
void object_object (object_t *self, const char *name, const object_t *inner);

/*  Appends the whole, on one line. */
void object_write (const object_t *self, buffer_t *out);

#endif
