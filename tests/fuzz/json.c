/* SPDX-License-Identifier: MPL-2.0
 *
 *  json.c - any bytes as JSON, and as MessagePack to be printed, by any type.
 *
 *  Input: a byte of choices (how the type is given; which side is given), the type, the text. What JSON says becomes one
 *  well-formed value, which is printed as JSON that says the same again. */

#include <stdlib.h>
#include "check.h"
#include "input.h"
#include "json.h"
#include "rows.h"
#include "sample.h"
#include "types.h"
#include "utf8.h"

static weft_schema_fn *const schemas [] = {
    sample_schema,      node_schema,       arith_args_schema, only_optional_schema, weft_any_schema,  weft_string_schema,
    weft_bytes_schema,  weft_int32_schema, weft_int64_schema, weft_uint64_schema,   weft_bool_schema, weft_double_schema,
    weft_none_schema,   watch_item_schema, point_schema};
#define SCHEMAS (sizeof schemas / sizeof schemas [0])

static void check_error (const codec_error_t *error)
{
    CHECK (memchr (error->text, 0, sizeof error->text) && error->text [0]);
    for (const char *at = error->text; *at; at++)
        CHECK ((unsigned char) *at >= ' ' && *at != 127);
}

/*  Whoever walks along a type meets what types_valid has promised. */
static void walk (const types_view_t *view, unsigned depth)
{
    types_field_t field, found;
    uint32_t count = 0, index;

    CHECK (depth <= WEFT_NESTING_MAX);
    if (view->array) {
        const types_view_t element = types_element (view);
        if (!element.same)
            walk (&element, depth + 1);
        return;
    }
    CHECK (types_name (view).size > 0);
    if (view->kind != WEFT_KIND_STRUCT || view->same)
        return;
    for (mp_reader_t fields = view->inside; types_next_field (&fields, view, &field); count++) {
        CHECK (types_find_field (view, field.name, &found, &index) && index <= count);
        if (!field.type.same)
            walk (&field.type, depth + 1);
    }
    CHECK_INT (count, view->field_count);
}

static void check_type (const uint8_t *type, size_t size)
{
    buffer_t printed;
    if (!types_valid (type, size))
        return;
    CHECK (mp_valid (type, size));
    const types_view_t view = types_view (type, size);
    walk (&view, 0);
    buffer_init (&printed, 4 << 20);
    types_print (&printed, type, size);
    CHECK (printed.size > 0 && utf8_valid (printed.data, printed.size));
    buffer_fini (&printed);
}

/*  Prints the value and reads that: the same value. An empty body may be printed as the value that it stands for. */
static void check_printed (const buffer_t *value, const uint8_t *type, size_t type_size, bool pretty)
{
    codec_error_t error;
    buffer_t text, again;

    buffer_init (&text, 8 << 20);
    buffer_init (&again, 8 << 20);
    if (!json_from_mp (value->data, value->size, type, type_size, pretty, &text, &error))
        CHECK_STR (error.text, "");
    CHECK (utf8_valid (text.data, text.size));
    CHECK (pretty || !memchr (text.data, '\n', text.size));
    if (!json_to_mp ((const char *) text.data, text.size, type, type_size, &again, &error))
        CHECK_STR (error.text, "");
    if (value->size)
        CHECK_MEM (again.data, again.size, value->data, value->size);
    buffer_fini (&text);
    buffer_fini (&again);
}

static void check_json (const char *json, size_t size, const uint8_t *type, size_t type_size)
{
    static const char before [] = "before";
    codec_error_t error = {{0}}, known_error = {{0}};
    buffer_t out, known;

    buffer_init (&out, 8 << 20);
    buffer_init (&known, 8 << 20);
    const bool strict = json_to_mp (json, size, type, type_size, &out, &error);
    buffer_append (&known, before, 6);
    const bool lenient = json_to_mp_known (json, size, type, type_size, &known, &known_error);
    CHECK (lenient || !strict);
    if (strict) {
        CHECK (out.size == 0 || mp_valid (out.data, out.size));
        CHECK_MEM (known.data + 6, known.size - 6, out.data, out.size);
        check_printed (&out, type, type_size, false);
        check_printed (&out, type, type_size, true);
    } else {
        check_error (&error);
        CHECK_INT (out.size, 0);
    }
    if (!lenient) {
        check_error (&known_error);
        CHECK_MEM (known.data, known.size, before, 6);
    }
    buffer_fini (&out);
    buffer_fini (&known);
}

/*  Any value, of that type or not: printed it is JSON. */
static void check_print (const uint8_t *value, size_t size, const uint8_t *type, size_t type_size)
{
    codec_error_t error = {{0}};
    buffer_t text, again;

    buffer_init (&text, 8 << 20);
    buffer_init (&again, 8 << 20);
    if (!json_from_mp (value, size, type, type_size, size % 2, &text, &error))
        check_error (&error);
    if (text.size) {
        CHECK (utf8_valid (text.data, text.size));
        if (!json_to_mp ((const char *) text.data, text.size, NULL, 0, &again, &error)
            && !strstr (error.text, "twice"))
            CHECK_STR (error.text, "");
    }
    buffer_fini (&text);
    buffer_fini (&again);
}

/*  Whatever bytes are quoted, they are read as one string. */
static void check_quote (const uint8_t *bytes, size_t size)
{
    codec_error_t error;
    buffer_t text, again;

    buffer_init (&text, 8 << 20);
    buffer_init (&again, 8 << 20);
    json_quote (&text, (const char *) bytes, size);
    for (size_t i = 0; i < text.size; i++)
        CHECK (text.data [i] >= ' ');
    if (!json_to_mp ((const char *) text.data, text.size, NULL, 0, &again, &error))
        CHECK_STR (error.text, "");
    CHECK (again.size > 0 && mp_types [again.data [0]] == MP_STR);
    buffer_fini (&text);
    buffer_fini (&again);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    input_t input = input_of (data, size);
    const unsigned how = input_byte (&input);
    buffer_t type;
    size_t type_size;

    buffer_init (&type, 1 << 20);
    if (how & 2)
        types_write (&type, schemas [input_below (&input, SCHEMAS)]());
    else if (how & 4) {
        const uint8_t *bytes = input_bytes (&input, &type_size);
        buffer_append (&type, bytes, type_size);
    }
    check_type (type.data, type.size);
    size = input_left (&input);
    char *text = malloc (size + 1); /* of its own, so that a step too far shows */
    memcpy (text, input.at, size);
    text = realloc (text, size ? size : 1);
    if (how & 1)
        check_print ((uint8_t *) text, size, type.data, type.size);
    else
        check_json (text, size, type.data, type.size);
    if (how & 8)
        check_quote ((uint8_t *) text, size);
    free (text);
    buffer_fini (&type);
    return 0;
}
