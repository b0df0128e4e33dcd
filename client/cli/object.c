/* SPDX-License-Identifier: MPL-2.0 */

#include "object.h"
#include "mp.h"

void object_init (object_t *self)
{
    *self = (object_t){.count = 0};
    buffer_init (&self->types, SIZE_MAX / 2);
    buffer_init (&self->values, SIZE_MAX / 2);
}

void object_fini (object_t *self)
{
    buffer_fini (&self->types);
    buffer_fini (&self->values);
}

static void add_field (object_t *self, const char *name)
{
    self->count++;
    mp_write_array (&self->types, 2);
    mp_write_text (&self->types, name);
}

void object_text (object_t *self, const char *name, const char *value)
{
    add_field (self, name);
    mp_write_text (&self->types, "string");
    mp_write_text (&self->values, value);
}

void object_bool (object_t *self, const char *name, bool value)
{
    add_field (self, name);
    mp_write_text (&self->types, "bool");
    mp_write_bool (&self->values, value);
}

void object_int (object_t *self, const char *name, int64_t value)
{
    add_field (self, name);
    mp_write_text (&self->types, "int64");
    mp_write_int (&self->values, value);
}

void object_double (object_t *self, const char *name, double value)
{
    add_field (self, name);
    mp_write_text (&self->types, "double");
    mp_write_double (&self->values, value);
}

void object_value (object_t *self, const char *name, const void *type, size_t type_size, const void *value,
                   size_t size)
{
    add_field (self, name);
    buffer_append (&self->types, type, type_size);
    buffer_append (&self->values, value, size);
}

void object_object (object_t *self, const char *name, const object_t *inner)
{
    add_field (self, name);
    object_write (inner, &self->types, &self->values);
}

void object_write (const object_t *self, buffer_t *type, buffer_t *value)
{
    mp_write_array (type, 3);
    mp_write_text (type, "struct");
    mp_write_text (type, "object");
    mp_write_array (type, self->count);
    buffer_append (type, self->types.data, self->types.size);
    mp_write_array (value, self->count);
    buffer_append (value, self->values.data, self->values.size);
}
