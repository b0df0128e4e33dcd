/* SPDX-License-Identifier: MPL-2.0
 *
 *  json_print.c - MessagePack to JSON text, with the names that a type knows.
 *
 *  The value is checked first, so printing cannot fail for its sake; where it does not fit its type it is
 *  printed by its own shape, and the first such place is told at the end. */

#include "json.h"
#include "base64.h"
#include "fault.h"
#include "types.h"
#include "utf8.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    buffer_t *out;
    bool pretty;
    unsigned misfits;
    fault_t fault; /* of the first */
} printer_t;

static void print_value (printer_t *self, mp_reader_t *in, const types_view_t *type, unsigned level);
static void print_own (printer_t *self, mp_reader_t *in, unsigned level);

static const types_view_t any_type = {.kind = WEFT_KIND_ANY};

/*  Pieces of text. */

static void print (printer_t *self, const char *text)
{
    buffer_append (self->out, text, strlen (text));
}

static void new_line (printer_t *self, unsigned level)
{
    if (!self->pretty)
        return;
    print (self, "\n");
    while (level--)
        print (self, "  ");
}

/*  Before an element: the bracket or a comma, and a line of its own. */
static void begin_element (printer_t *self, const char *open, bool first, unsigned level)
{
    print (self, first ? open : ",");
    new_line (self, level + 1);
}

static void end_list (printer_t *self, const char *open, const char *close, bool empty, unsigned level)
{
    if (empty)
        print (self, open);
    else
        new_line (self, level);
    print (self, close);
}

static void print_name (printer_t *self, text_t name)
{
    json_quote (self->out, name.data, name.size);
    print (self, self->pretty ? ": " : ":");
}

/*  True if this character may stand as it is. */
static bool is_plain (const uint8_t *at, size_t length)
{
    if (length == 1)
        return *at >= 0x20 && *at != 0x7f && *at != '"' && *at != '\\';
    return length > 2 || at [0] != 0xc2 || at [1] >= 0xa0; /* the rest is control characters too */
}

static void quote_special (buffer_t *out, const uint8_t *at, size_t length)
{
    static const char letters [] = "bfnrt\"\\", meanings [] = "\b\f\n\r\t\"\\";
    char text [16];
    const char *meaning = length == 1 && *at ? strchr (meanings, (char) *at) : NULL;
    if (meaning)
        snprintf (text, sizeof text, "\\%c", letters [meaning - meanings]);
    else
        snprintf (text, sizeof text, "\\u%04x", length == 0 ? 0xfffdu : at [length - 1]);
    buffer_append (out, text, strlen (text));
}

void json_quote (buffer_t *out, const char *text, size_t size)
{
    const uint8_t *at = (const uint8_t *) text, *end = size ? at + size : at, *plain = at;
    buffer_append (out, "\"", 1);
    while (at < end) {
        const size_t length = utf8_length (at, (size_t) (end - at));
        if (length && is_plain (at, length)) {
            at += length;
            continue;
        }
        buffer_append (out, plain, (size_t) (at - plain));
        quote_special (out, at, length);
        at += length ? length : 1;
        plain = at;
    }
    buffer_append (out, plain, (size_t) (at - plain));
    buffer_append (out, "\"", 1);
}

static void print_base64 (printer_t *self, const void *data, size_t size)
{
    print (self, "\"");
    base64_write (self->out, data, size);
    print (self, "\"");
}

/*  In as few digits as bring the same number back; with a point, so that it stays a double. */
static void print_double (printer_t *self, double value)
{
    char text [40];
    if (!isfinite (value)) {
        print (self, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf (text, sizeof text, "%.*g", digits, value);
        if (digits == 17 || strtod (text, NULL) == value)
            break;
    }
    print (self, text);
    if (!strpbrk (text, ".e"))
        print (self, ".0");
}

static void print_integer (printer_t *self, mp_reader_t *in)
{
    char text [32];
    mp_reader_t again = *in;
    uint64_t number;
    int64_t negative;
    if (mp_read_uint (in, &number))
        snprintf (text, sizeof text, "%llu", (unsigned long long) number);
    else {
        *in = again;
        mp_read_int (in, &negative);
        snprintf (text, sizeof text, "%lld", (long long) negative);
    }
    print (self, text);
}

/*  By the value's own shape. */

/*  A type byte of the user's and bytes. */
static void print_ext (printer_t *self, mp_reader_t *in)
{
    char text [32];
    const uint8_t *at = in->at;
    mp_skip (in);
    const size_t head = *at >= 0xd4 ? 1 : 1 + ((size_t) 1 << (*at - 0xc7));
    snprintf (text, sizeof text, "{\"ext\":%d,\"data\":", (int8_t) at [head]);
    print (self, text);
    print_base64 (self, at + head + 1, (size_t) (in->at - at) - head - 1);
    print (self, "}");
}

/*  A key that is no string becomes one; a list, only as its bytes. */
static void print_key (printer_t *self, mp_reader_t *in, unsigned level)
{
    const uint8_t *at = in->at;
    const char *text;
    size_t size;
    switch (mp_peek (in)) {
        case MP_STR:
            mp_read_str (in, &text, &size);
            json_quote (self->out, text, size);
            break;
        case MP_BIN:
            print_own (self, in, level);
            break;
        case MP_ARRAY:
        case MP_MAP:
        case MP_EXT:
            mp_skip (in);
            print_base64 (self, at, (size_t) (in->at - at));
            break;
        default:
            print (self, "\"");
            print_own (self, in, level);
            print (self, "\"");
    }
    print (self, self->pretty ? ": " : ":");
}

static void print_map (printer_t *self, mp_reader_t *in, unsigned level)
{
    uint32_t count = 0;
    mp_read_map (in, &count);
    for (uint32_t i = 0; i < count; i++) {
        begin_element (self, "{", i == 0, level);
        print_key (self, in, level);
        print_value (self, in, &any_type, level + 1);
    }
    end_list (self, "{", "}", count == 0, level);
}

static void print_array (printer_t *self, mp_reader_t *in, const types_view_t *element, unsigned level)
{
    uint32_t count = 0;
    mp_read_array (in, &count);
    for (uint32_t i = 0; i < count; i++) {
        const unsigned before = self->misfits;
        begin_element (self, "[", i == 0, level);
        print_value (self, in, element, level + 1);
        if (before == 0 && self->misfits)
            fault_in_element (&self->fault, i);
    }
    end_list (self, "[", "]", count == 0, level);
}

static void print_own (printer_t *self, mp_reader_t *in, unsigned level)
{
    bool flag = false;
    double number = 0;
    const char *text = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;
    switch (mp_peek (in)) {
        case MP_NONE:
        case MP_NIL:
            mp_read_nil (in);
            print (self, "null");
            return;
        case MP_BOOL:
            mp_read_bool (in, &flag);
            print (self, flag ? "true" : "false");
            return;
        case MP_INT:
            print_integer (self, in);
            return;
        case MP_FLOAT:
            mp_read_double (in, &number);
            print_double (self, number);
            return;
        case MP_STR:
            mp_read_str (in, &text, &size);
            json_quote (self->out, text, size);
            return;
        case MP_BIN:
            mp_read_bin (in, &data, &size);
            print_base64 (self, data, size);
            return;
        case MP_ARRAY:
            print_array (self, in, &any_type, level);
            return;
        case MP_MAP:
            print_map (self, in, level);
            return;
        case MP_EXT:
            print_ext (self, in);
            return;
    }
}

/*  By the type. */

static void misfit (printer_t *self, const char *what)
{
    if (self->misfits++ == 0)
        fault_set (&self->fault, "%s", what);
}

/*  One field's value; remembers the name if it is the first that does not fit. */
static void print_field (printer_t *self, mp_reader_t *in, const types_field_t *field, bool first,
                         unsigned level)
{
    const unsigned before = self->misfits;
    begin_element (self, "{", first, level);
    print_name (self, field->name);
    print_value (self, in, &field->type, level + 1);
    if (before == 0 && self->misfits)
        fault_in_field (&self->fault, field->name.data, field->name.size);
}

static void missing (printer_t *self, const types_field_t *field)
{
    const unsigned before = self->misfits;
    if (field->optional)
        return;
    misfit (self, "missing");
    if (before == 0)
        fault_in_field (&self->fault, field->name.data, field->name.size);
}

/*  A struct that is an array: elements beyond the known fields are of a newer type, and left out. */
static void print_positions (printer_t *self, mp_reader_t *in, const types_view_t *type, unsigned level)
{
    mp_reader_t fields = type->inside;
    types_field_t field;
    uint32_t count = 0;
    bool first = true;
    mp_read_array (in, &count);
    while (types_next_field (&fields, type, &field)) {
        if (count == 0)
            missing (self, &field);
        else if (count-- && field.optional && mp_peek (in) == MP_NIL)
            mp_skip (in);
        else {
            print_field (self, in, &field, first, level);
            first = false;
        }
    }
    while (count--)
        mp_skip (in);
    end_list (self, "{", "}", first, level);
}

/*  A struct that is a map: names that are not known are printed all the same. */
static void print_names (printer_t *self, mp_reader_t *in, const types_view_t *type, unsigned level)
{
    bool seen [WEFT_FIELDS_MAX] = {false};
    types_field_t field;
    text_t name;
    uint32_t count = 0, index;
    mp_read_map (in, &count);
    for (uint32_t i = 0; i < count; i++) {
        mp_reader_t key = *in;
        if (mp_peek (in) == MP_STR && mp_read_str (&key, &name.data, &name.size)
            && types_find_field (type, name, &field, &index)) {
            *in = key;
            seen [index] = true;
            if (field.optional && mp_peek (in) == MP_NIL)
                field.type = any_type;
            print_field (self, in, &field, i == 0, level);
            continue;
        }
        begin_element (self, "{", i == 0, level);
        print_key (self, in, level);
        print_value (self, in, &any_type, level + 1);
    }
    end_list (self, "{", "}", count == 0, level);

    mp_reader_t fields = type->inside;
    for (index = 0; types_next_field (&fields, type, &field); index++)
        if (!seen [index])
            missing (self, &field);
}

/*  The integer ahead is within the type's range. */
static bool in_range (const mp_reader_t *in, weft_kind_t kind)
{
    mp_reader_t copy = *in;
    int64_t number;
    if (kind == WEFT_KIND_UINT64)
        return mp_read_uint (&copy, &(uint64_t){0});
    return mp_read_int (&copy, &number)
           && (kind == WEFT_KIND_INT64 || (number >= INT32_MIN && number <= INT32_MAX));
}

static bool scalar_fits (const mp_reader_t *in, weft_kind_t kind)
{
    const mp_type_t got = mp_peek (in);
    switch (kind) {
        case WEFT_KIND_NONE:
            return got == MP_NIL;
        case WEFT_KIND_BOOL:
            return got == MP_BOOL;
        case WEFT_KIND_INT32:
        case WEFT_KIND_INT64:
        case WEFT_KIND_UINT64:
            return got == MP_INT && in_range (in, kind);
        case WEFT_KIND_DOUBLE:
            return got == MP_FLOAT || got == MP_INT;
        case WEFT_KIND_STRING:
            return got == MP_STR;
        case WEFT_KIND_BYTES:
            return got == MP_BIN;
        case WEFT_KIND_ANY:
            return true;
        case WEFT_KIND_STRUCT:
            return false;
    }
    return false;
}

static void print_value (printer_t *self, mp_reader_t *in, const types_view_t *type, unsigned level)
{
    const mp_type_t got = mp_peek (in);
    if (type->array && got == MP_ARRAY) {
        const types_view_t element = types_element (type);
        print_array (self, in, &element, level);
        return;
    }
    if (!type->array && type->kind == WEFT_KIND_STRUCT && got == MP_ARRAY) {
        print_positions (self, in, type, level);
        return;
    }
    if (!type->array && type->kind == WEFT_KIND_STRUCT && got == MP_MAP) {
        print_names (self, in, type, level);
        return;
    }
    if (type->array || !scalar_fits (in, type->kind)) {
        char what [128];
        const text_t name = types_name (type);
        snprintf (what, sizeof what, "expected %.*s, got %s", TEXT_ARG (name), mp_type_name (got));
        misfit (self, what);
    }
    print_own (self, in, level);
}

/*  An empty body: as null, or as a struct that has nothing in it. */
static void print_empty (printer_t *self, const types_view_t *type)
{
    print (self, !type->array && type->kind == WEFT_KIND_STRUCT ? "{}" : "null");
    if (!types_may_be_empty (type) && (type->array || type->kind != WEFT_KIND_ANY))
        misfit (self, "empty body");
}

static void print_body (printer_t *self, const void *value, size_t size, const types_view_t *type)
{
    /*  printf writes the decimal point of the thread's locale. */
    const locale_t c_locale = newlocale (LC_ALL_MASK, "C", (locale_t) 0);
    const locale_t old_locale = uselocale (c_locale);
    mp_reader_t in = mp_reader (value, size);
    if (size)
        print_value (self, &in, type, 0);
    else
        print_empty (self, type);
    uselocale (old_locale);
    if (c_locale)
        freelocale (c_locale);
}

bool json_from_mp (const void *value, size_t size, const void *type, size_t type_size, bool pretty,
                   buffer_t *out, codec_error_t *error)
{
    const size_t start = out->size;
    printer_t self = {.out = out, .pretty = pretty};
    bool fits = true;
    fault_init (&self.fault);

    if (size && !mp_valid (value, size))
        fits = fault_set (&self.fault, "malformed: not one MessagePack value");
    else {
        const bool type_valid = type_size == 0 || types_valid (type, type_size);
        const types_view_t view = types_view (type, type_valid ? type_size : 0);
        print_body (&self, value, size, &view);
        if (!type_valid)
            fits = fault_set (&self.fault, "the type is malformed");
    }
    if (out->failed) {
        out->size = start; /* not buffer_truncate: the caller may want to know that it failed */
        fits = fault_set (&self.fault, "out of memory or larger than %zu bytes", out->max);
    }
    if (!fits || self.misfits)
        fault_write (&self.fault, error);
    return fits && self.misfits == 0;
}
