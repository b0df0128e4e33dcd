/* SPDX-License-Identifier: MPL-2.0
 *
 *  object.h - a value whose fields are put together at run time: written as MessagePack with its type beside it,
 *  so that json.h prints it, and whatever it contains, by name. */

#ifndef OBJECT_H_INCLUDED
#define OBJECT_H_INCLUDED

#include "buffer.h"

typedef struct {
    buffer_t types, values;
    uint32_t count;
} object_t;

void object_init (object_t *self);
void object_fini (object_t *self);

void object_text (object_t *self, const char *name, const char *value);
void object_bool (object_t *self, const char *name, bool value);
void object_int (object_t *self, const char *name, int64_t value);
void object_double (object_t *self, const char *name, double value);

/*  A value that is MessagePack already, and its type (PROTOCOL.md, section 5). */
void object_value (object_t *self, const char *name, const void *type, size_t type_size, const void *value,
                   size_t size);

/*  What `inner` holds, as a field. */
void object_object (object_t *self, const char *name, const object_t *inner);

/*  Appends the whole, value and type. */
void object_write (const object_t *self, buffer_t *type, buffer_t *value);

#endif
