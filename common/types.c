/* SPDX-License-Identifier: MPL-2.0 */

#include "types.h"
#include <string.h>

static const char *const kind_names [] = {
    [WEFT_KIND_NONE] = "none",     [WEFT_KIND_BOOL] = "bool",     [WEFT_KIND_INT32] = "int32",
    [WEFT_KIND_INT64] = "int64",   [WEFT_KIND_UINT64] = "uint64", [WEFT_KIND_DOUBLE] = "double",
    [WEFT_KIND_STRING] = "string", [WEFT_KIND_BYTES] = "bytes",   [WEFT_KIND_ANY] = "any",
};
#define SCALAR_COUNT (sizeof kind_names / sizeof kind_names [0])

static bool name_valid (const char *name, size_t size)
{
    if (size == 0 || size > WEFT_NAME_PART_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        const char c = name [i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
              || c == '-' || c == '.'))
            return false;
    }
    return true;
}

/*  Cuts the "?" off an optional field's name. */
static bool cut_optional (text_t *name)
{
    const bool optional = name->size > 0 && name->data [name->size - 1] == '?';
    name->size -= optional;
    return optional;
}

/*  Writing, from C tables. */

/*  The structs being written, from the inside out. */
typedef struct around {
    const weft_schema_t *schema;
    const struct around *next;
} around_t;

static void write_type (buffer_t *out, const weft_schema_t *schema, bool array, unsigned depth,
                        const around_t *around);

/*  Fields, or 0 if there are too many or a name is none: such a struct cannot be described. */
static uint32_t describable_fields (const weft_schema_t *schema)
{
    uint32_t count = 0;
    if (!name_valid (schema->name, strlen (schema->name)))
        return 0;
    for (const weft_field_t *field = schema->fields; field->type; field++)
        if (++count > WEFT_FIELDS_MAX || !name_valid (field->name, strlen (field->name)))
            return 0;
    return count;
}

static void write_field_name (buffer_t *out, const weft_field_t *field)
{
    char name [WEFT_NAME_PART_MAX + 1];
    const size_t size = strlen (field->name);
    memcpy (name, field->name, size);
    name [size] = '?';
    mp_write_str (out, name, size + field->optional);
}

static void write_struct (buffer_t *out, const weft_schema_t *schema, unsigned depth, const around_t *around)
{
    for (const around_t *outer = around; outer; outer = outer->next)
        if (outer->schema == schema) {
            mp_write_array (out, 2);
            mp_write_text (out, "same");
            mp_write_text (out, schema->name);
            return;
        }

    const uint32_t count = describable_fields (schema);
    if (count == 0) {
        mp_write_text (out, "any");
        return;
    }
    mp_write_array (out, 2 + 2 * count);
    mp_write_text (out, "struct");
    mp_write_text (out, schema->name);
    for (const weft_field_t *field = schema->fields; field->type; field++) {
        write_field_name (out, field);
        write_type (out, field->type (), field->array, depth + 1, &(around_t){schema, around});
    }
}

/*  `depth`: arrays of MessagePack around it. */
static void write_type (buffer_t *out, const weft_schema_t *schema, bool array, unsigned depth,
                        const around_t *around)
{
    const bool is_list = array || schema->kind == WEFT_KIND_STRUCT;
    if (is_list && depth == TYPES_NESTING_MAX)
        mp_write_text (out, "any");
    else if (array) {
        mp_write_array (out, 2);
        mp_write_text (out, "array");
        write_type (out, schema, false, depth + 1, around);
    } else if (schema->kind == WEFT_KIND_STRUCT)
        write_struct (out, schema, depth, around);
    else
        mp_write_text (out, kind_names [schema->kind]);
}

void types_write (buffer_t *out, const weft_schema_t *schema)
{
    write_type (out, schema, false, 0, NULL);
}

/*  Checking bytes. */

typedef struct names {
    text_t name;
    const struct names *next;
} names_t;

static bool type_valid (mp_reader_t *in, unsigned depth, const names_t *around);

static bool read_text (mp_reader_t *in, text_t *text)
{
    return mp_read_str (in, &text->data, &text->size);
}

static bool scalar_kind (text_t name, weft_kind_t *kind)
{
    for (size_t i = 0; i < SCALAR_COUNT; i++)
        if (mp_str_is (name.data, name.size, kind_names [i])) {
            *kind = (weft_kind_t) i;
            return true;
        }
    return false;
}

static bool struct_valid (mp_reader_t *in, uint32_t count, unsigned depth, const names_t *around)
{
    names_t self = {.next = around};
    if (count % 2 || (count - 2) / 2 > WEFT_FIELDS_MAX || !read_text (in, &self.name)
        || !name_valid (self.name.data, self.name.size))
        return false;
    for (uint32_t i = 2; i < count; i += 2) {
        text_t name;
        if (!read_text (in, &name))
            return false;
        cut_optional (&name);
        if (!name_valid (name.data, name.size) || !type_valid (in, depth + 1, &self))
            return false;
    }
    return true;
}

static bool same_valid (mp_reader_t *in, const names_t *around)
{
    text_t name;
    if (!read_text (in, &name))
        return false;
    for (; around; around = around->next)
        if (text_eq (around->name, name))
            return true;
    return false;
}

static bool type_valid (mp_reader_t *in, unsigned depth, const names_t *around)
{
    text_t word;
    weft_kind_t kind;
    uint32_t count;
    if (mp_peek (in) == MP_STR)
        return read_text (in, &word) && scalar_kind (word, &kind);

    if (depth == TYPES_NESTING_MAX || !mp_read_array (in, &count) || count < 2 || !read_text (in, &word))
        return false;
    if (mp_str_is (word.data, word.size, "array"))
        return count == 2 && type_valid (in, depth + 1, around);
    if (mp_str_is (word.data, word.size, "same"))
        return count == 2 && same_valid (in, around);
    return mp_str_is (word.data, word.size, "struct") && struct_valid (in, count, depth, around);
}

bool types_valid (const void *type, size_t size)
{
    mp_reader_t in = mp_reader (type, size);
    return size <= WEFT_SCHEMA_MAX && type_valid (&in, 0, NULL) && mp_left (&in) == 0;
}

/*  Walking along bytes known to be valid. */

static types_view_t view_same (text_t name, const types_view_t *around)
{
    while (!text_eq (around->name, name))
        around = around->around;
    types_view_t view = *around;
    view.same = true;
    return view;
}

static types_view_t read_view (mp_reader_t *in, const types_view_t *around)
{
    types_view_t view = {.kind = WEFT_KIND_ANY, .around = around};
    text_t word = {0};
    uint32_t count = 0;
    if (mp_peek (in) == MP_STR) {
        read_text (in, &word);
        scalar_kind (word, &view.kind);
        return view;
    }

    mp_reader_t list = *in;
    mp_skip (in);
    mp_read_array (&list, &count);
    read_text (&list, &word);
    if (mp_str_is (word.data, word.size, "array")) {
        view.array = true;
        view.inside = list;
        return view;
    }
    read_text (&list, &view.name);
    if (mp_str_is (word.data, word.size, "same"))
        return view_same (view.name, around);
    view.kind = WEFT_KIND_STRUCT;
    view.inside = list;
    view.field_count = (count - 2) / 2;
    view.inside.end = in->at;
    return view;
}

types_view_t types_view (const void *type, size_t size)
{
    mp_reader_t in = mp_reader (type, size);
    return size ? read_view (&in, NULL) : (types_view_t){.kind = WEFT_KIND_ANY};
}

types_view_t types_element (const types_view_t *array)
{
    mp_reader_t in = array->inside;
    return read_view (&in, array->around);
}

bool types_next_field (mp_reader_t *fields, const types_view_t *parent, types_field_t *field)
{
    if (mp_left (fields) == 0 || !read_text (fields, &field->name))
        return false;
    field->optional = cut_optional (&field->name);
    field->type = read_view (fields, parent);
    return true;
}

bool types_find_field (const types_view_t *parent, text_t name, types_field_t *field, uint32_t *index)
{
    mp_reader_t fields = parent->inside;
    for (*index = 0; types_next_field (&fields, parent, field); ++*index)
        if (text_eq (field->name, name))
            return true;
    return false;
}

bool types_may_be_empty (const types_view_t *self)
{
    mp_reader_t fields = self->inside;
    types_field_t field;
    if (self->array || self->kind != WEFT_KIND_STRUCT)
        return !self->array && self->kind == WEFT_KIND_NONE;
    while (types_next_field (&fields, self, &field))
        if (!field.optional)
            return false;
    return true;
}

text_t types_name (const types_view_t *self)
{
    if (self->array)
        return text_of ("array");
    return self->kind == WEFT_KIND_STRUCT ? self->name : text_of (kind_names [self->kind]);
}

/*  Printing. */

static void print (buffer_t *out, const char *text)
{
    buffer_append (out, text, strlen (text));
}

static void print_view (buffer_t *out, const types_view_t *view)
{
    if (view->array) {
        const types_view_t element = types_element (view);
        print (out, "[");
        print_view (out, &element);
        print (out, "]");
        return;
    }
    const text_t name = types_name (view);
    buffer_append (out, name.data, name.size);
    if (view->kind != WEFT_KIND_STRUCT || view->same)
        return;

    mp_reader_t fields = view->inside;
    types_field_t field;
    const char *before = "{";
    while (types_next_field (&fields, view, &field)) {
        print (out, before);
        buffer_append (out, field.name.data, field.name.size);
        print (out, field.optional ? "?: " : ": ");
        print_view (out, &field.type);
        before = ", ";
    }
    print (out, view->field_count ? "}" : "{}");
}

void types_print (buffer_t *out, const void *type, size_t size)
{
    if (!types_valid (type, size)) {
        print (out, "?");
        return;
    }
    const types_view_t view = types_view (type, size);
    print_view (out, &view);
}
