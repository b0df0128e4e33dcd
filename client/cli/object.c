/* SPDX-License-Identifier: MPL-2.0 */

#include "object.h"
#include "json.h"
#include <stdio.h>
#include <string.h>

void object_init (object_t *self)
{
    buffer_init (&self->text, SIZE_MAX / 2);
    buffer_append (&self->text, "{", 1);
}

void object_fini (object_t *self)
{
    buffer_fini (&self->text);
}

static void add_name (object_t *self, const char *name)
{
    if (self->text.size > 1)
        buffer_append (&self->text, ",", 1);
    json_quote (&self->text, name, strlen (name));
    buffer_append (&self->text, ":", 1);
}

static void add_raw (object_t *self, const char *name, const char *json)
{
    add_name (self, name);
    buffer_append (&self->text, json, strlen (json));
}

void object_text (object_t *self, const char *name, const char *value)
{
    add_name (self, name);
    json_quote (&self->text, value, strlen (value));
}

void object_bool (object_t *self, const char *name, bool value)
{
    add_raw (self, name, value ? "true" : "false");
}

void object_int (object_t *self, const char *name, int64_t value)
{
    char digits [24];
    snprintf (digits, sizeof digits, "%lld", (long long) value);
    add_raw (self, name, digits);
}

void object_double (object_t *self, const char *name, double value)
{
    char digits [400];
    snprintf (digits, sizeof digits, "%.3f", value);
    add_raw (self, name, digits);
}

void object_value (object_t *self, const char *name, const void *type, size_t type_size, const void *value,
                   size_t size)
{
    codec_error_t error;
    add_name (self, name);
    const size_t before = self->text.size;
    json_from_mp (value, size, type, type_size, false, &self->text, &error);
    if (self->text.size == before)
        buffer_append (&self->text, "null", 4); /* it was no value */
}

void object_object (object_t *self, const char *name, const object_t *inner)
{
    add_name (self, name);
    object_write (inner, &self->text);
}

void object_write (const object_t *self, buffer_t *out)
{
    buffer_append (out, self->text.data, self->text.size);
    buffer_append (out, "}", 1);
}
