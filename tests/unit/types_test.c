/* SPDX-License-Identifier: MPL-2.0 */

#include "types.h"
#include "check.h"
#include "dice.h"
#include "sample.h"
#include <stdlib.h>

static void check_printed (const void *type, size_t size, const char *expected)
{
    buffer_t text;
    buffer_init (&text, 1 << 20);
    types_print (&text, type, size);
    buffer_append (&text, "", 1);
    CHECK_STR ((const char *) text.data, expected);
    buffer_fini (&text);
}

static void check_schema (const weft_schema_t *schema, const char *expected)
{
    buffer_t type;
    buffer_init (&type, WEFT_SCHEMA_MAX);
    types_write (&type, schema);
    CHECK (!type.failed);
    CHECK (types_valid (type.data, type.size));
    CHECK (mp_valid (type.data, type.size));
    check_printed (type.data, type.size, expected);
    for (size_t cut = 0; cut < type.size; cut++)
        CHECK (!types_valid (type.data, cut));
    buffer_fini (&type);
}

TEST (schemas_are_written_valid_and_readable)
{
    check_schema (weft_none_schema (), "none");
    check_schema (weft_bool_schema (), "bool");
    check_schema (weft_int32_schema (), "int32");
    check_schema (weft_int64_schema (), "int64");
    check_schema (weft_uint64_schema (), "uint64");
    check_schema (weft_double_schema (), "double");
    check_schema (weft_string_schema (), "string");
    check_schema (weft_bytes_schema (), "bytes");
    check_schema (weft_any_schema (), "any");
    check_schema (arith_args_schema (), "arith_args{a: int64, b: int64}");
    check_schema (only_optional_schema (), "only_optional{service?: string}");
    check_schema (
        sample_schema (),
        "sample{flag: bool, small: int32, large: int64, natural: uint64, real: double, text: string, "
        "bytes: bytes, any: any, at: point{x: double, y: double}, points: [point{x: double, y: double}], "
        "names: [string], colour?: int64, origin?: point{x: double, y: double}, weight?: double}");
}

TEST (a_struct_inside_itself_is_named)
{
    check_schema (node_schema (), "node{value: int64, key: bytes, children: [node]}");
}

TEST (wire_form_is_as_on_the_page)
{
    static const char expected [] = "\x96\xa6struct\xaa"
                                    "arith_args\xa1"
                                    "a\xa5int64\xa1"
                                    "b\xa5int64";
    buffer_t type;
    buffer_init (&type, 1000);
    types_write (&type, arith_args_schema ());
    CHECK_MEM (type.data, type.size, expected, sizeof expected - 1);
    buffer_fini (&type);
}

/*  Structs in each other, deeper than a type may be. */
#define LEVEL(this, inner)                                                                                   \
    typedef struct {                                                                                         \
        inner *in;                                                                                           \
        size_t count;                                                                                        \
    } this;                                                                                                  \
    WEFT_SCHEMA (this, WEFT_ARRAY (in, inner, count))
LEVEL (l9, arith_args)
LEVEL (l8, l9)
LEVEL (l7, l8)
LEVEL (l6, l7)
LEVEL (l5, l6)
LEVEL (l4, l5)
LEVEL (l3, l4)
LEVEL (l2, l3)

TEST (what_is_too_deep_is_any)
{
    check_schema (l5_schema (), "l5{in: [l6{in: [l7{in: [l8{in: [l9{in: [any]}]}]}]}]}");
    check_schema (l2_schema (), "l2{in: [l3{in: [l4{in: [l5{in: [l6{in: [any]}]}]}]}]}");
}

static void check_valid (const char *type, size_t size, bool expected)
{
    uint8_t *exact = malloc (size); /* so that a sanitizer sees a step too far */
    memcpy (exact, type, size);
    CHECK_INT (types_valid (exact, size), expected);
    buffer_t text;
    buffer_init (&text, 1 << 20);
    types_print (&text, exact, size);
    buffer_fini (&text);
    free (exact);
}
#define VALID(bytes)   check_valid (bytes, sizeof bytes - 1, true)
#define INVALID(bytes) check_valid (bytes, sizeof bytes - 1, false)

TEST (odd_types_are_told_from_good_ones)
{
    VALID ("\xa3"
           "any");
    VALID ("\xd9\x03"
           "any");
    INVALID ("\xa3"
             "ant");
    INVALID ("\xa6"
             "struct");
    INVALID ("\xc0");
    INVALID ("\xa4"
             "bool\xc0");
    VALID ("\x92\xa5"
           "array\xa4"
           "bool");
    INVALID ("\x91\xa5"
             "array");
    INVALID ("\x93\xa5"
             "array\xa4"
             "bool\xa4"
             "bool");
    VALID ("\x92\xa6"
           "struct\xa1s");
    INVALID ("\x92\xa6"
             "struct\xa0");
    INVALID ("\x92\xa6"
             "struct\xa2"
             "a ");
    INVALID ("\x93\xa6"
             "struct\xa1s\xa1"
             "f");
    VALID ("\x94\xa6"
           "struct\xa1s\xa2"
           "f?\xa4"
           "bool");
    INVALID ("\x94\xa6"
             "struct\xa1s\xa1?\xa4"
             "bool");
    INVALID ("\x94\xa6"
             "struct\xa1s\xa3"
             "f??\xa4"
             "bool");
    VALID ("\x94\xa6"
           "struct\xa1s\xa1"
           "f\x92\xa4same\xa1s");
    INVALID ("\x94\xa6"
             "struct\xa1s\xa1"
             "f\x92\xa4same\xa1t");
    INVALID ("\x92\xa4same\xa1s");
    INVALID ("\x81\xa4"
             "bool\xa4"
             "bool");
    INVALID ("\xdd\xff\xff\xff\xff\xa6"
             "struct\xa1s");
    INVALID ("");
    CHECK (!types_valid (NULL, 0));
}

TEST (nesting_is_bounded)
{
    buffer_t type;
    buffer_init (&type, WEFT_SCHEMA_MAX);
    for (int depth = 0; depth <= 40; depth++) {
        buffer_clear (&type);
        for (int i = 0; i < depth; i++) {
            mp_write_array (&type, 2);
            mp_write_text (&type, "array");
        }
        mp_write_text (&type, "bool");
        CHECK_INT (types_valid (type.data, type.size), depth <= TYPES_NESTING_MAX);
    }
    buffer_fini (&type);
}

TEST (fields_are_bounded)
{
    buffer_t type;
    buffer_init (&type, WEFT_SCHEMA_MAX);
    for (uint32_t count = WEFT_FIELDS_MAX - 1; count <= WEFT_FIELDS_MAX + 1; count++) {
        buffer_clear (&type);
        mp_write_array (&type, 2 + 2 * count);
        mp_write_text (&type, "struct");
        mp_write_text (&type, "s");
        for (uint32_t i = 0; i < count; i++) {
            mp_write_text (&type, "f");
            mp_write_text (&type, "bool");
        }
        CHECK_INT (types_valid (type.data, type.size), count <= WEFT_FIELDS_MAX);
    }
    buffer_fini (&type);
}

TEST (size_is_bounded)
{
    buffer_t type;
    buffer_init (&type, 2 * WEFT_SCHEMA_MAX);
    mp_write_array (&type, 2 + 2 * 200);
    mp_write_text (&type, "struct");
    mp_write_text (&type, "s");
    for (int i = 0; i < 200; i++) {
        mp_write_text (&type, "f");
        mp_write_array (&type, 2 + 2 * 50);
        mp_write_text (&type, "struct");
        mp_write_text (&type, "t");
        for (int j = 0; j < 50; j++) {
            mp_write_text (&type, "g");
            mp_write_text (&type, "bool");
        }
    }
    CHECK (type.size > WEFT_SCHEMA_MAX && !type.failed && mp_valid (type.data, type.size));
    CHECK (!types_valid (type.data, type.size));
    buffer_fini (&type);
}

TEST (fields_are_found_by_name)
{
    buffer_t type;
    types_field_t field;
    uint32_t index;
    buffer_init (&type, WEFT_SCHEMA_MAX);
    types_write (&type, sample_schema ());
    const types_view_t view = types_view (type.data, type.size);
    CHECK_INT (view.field_count, 14);
    CHECK (types_find_field (&view, text_of ("origin"), &field, &index));
    CHECK_INT (index, 12);
    CHECK (field.optional);
    CHECK_INT (field.type.kind, WEFT_KIND_STRUCT);
    CHECK (!types_find_field (&view, text_of ("origi"), &field, &index));
    CHECK (!types_find_field (&view, text_of (""), &field, &index));
    CHECK (!types_may_be_empty (&view));
    buffer_fini (&type);
}

TEST (random_types_never_crash)
{
    buffer_t type;
    dice_t dice;
    unsigned valid = 0;
    dice_init (&dice, 1);
    buffer_init (&type, WEFT_SCHEMA_MAX);
    for (int round = 0; round < 10000; round++) {
        buffer_clear (&type);
        types_write (&type, round % 2 ? sample_schema () : node_schema ());
        for (uint64_t changes = dice_below (&dice, 4); changes > 0; changes--)
            type.data [dice_below (&dice, type.size)] = (uint8_t) dice_next (&dice);
        if (dice_below (&dice, 4) == 0)
            type.size = dice_below (&dice, type.size);

        uint8_t *exact = malloc (type.size + 1);
        memcpy (exact, type.data, type.size);
        buffer_t text;
        buffer_init (&text, 1 << 20);
        types_print (&text, exact, type.size);
        CHECK (text.size > 0 && !text.failed);
        valid += types_valid (exact, type.size);
        buffer_fini (&text);
        free (exact);
    }
    CHECK (valid > 1000 && valid < 9000);
    buffer_fini (&type);
}
