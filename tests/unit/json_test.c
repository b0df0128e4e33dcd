/* SPDX-License-Identifier: MPL-2.0 */

#include "json.h"
#include "base64.h"
#include "check.h"
#include "dice.h"
#include "sample.h"
#include "types.h"
#include "utf8.h"
#include <locale.h>
#include <stdlib.h>

static codec_error_t error;

static buffer_t type_of (const weft_schema_t *schema)
{
    buffer_t type;
    buffer_init (&type, WEFT_SCHEMA_MAX);
    if (schema)
        types_write (&type, schema);
    return type;
}

/*  `json`, read by the schema's type (NULL: none) and printed again. */
static void check_round (const weft_schema_t *schema, const char *json, const char *expected)
{
    buffer_t type = type_of (schema), value, text;
    buffer_init (&value, 1 << 20);
    buffer_init (&text, 1 << 20);
    if (!json_to_mp (json, strlen (json), type.data, type.size, &value, &error))
        CHECK_STR (error.text, "");
    CHECK (value.size == 0 || mp_valid (value.data, value.size));
    if (!json_from_mp (value.data, value.size, type.data, type.size, false, &text, &error))
        CHECK_STR (error.text, "");
    buffer_append (&text, "", 1);
    CHECK_STR ((const char *) text.data, expected);
    buffer_fini (&type);
    buffer_fini (&value);
    buffer_fini (&text);
}

static void check_read (const weft_schema_t *schema, const char *json, const char *expected, size_t size)
{
    buffer_t type = type_of (schema), value;
    buffer_init (&value, 1 << 20);
    if (!json_to_mp (json, strlen (json), type.data, type.size, &value, &error))
        CHECK_STR (error.text, "");
    CHECK_MEM (value.data, value.size, expected, size);
    buffer_fini (&type);
    buffer_fini (&value);
}
#define READ(schema, json, bytes) check_read (schema, json, bytes, sizeof bytes - 1)

static void check_refused (const weft_schema_t *schema, const char *json, size_t size, const char *line)
{
    buffer_t type = type_of (schema), value;
    char *exact = malloc (size + 1); /* so that a sanitizer sees a step too far */
    exact = realloc (memcpy (exact, json, size), size ? size : 1);
    buffer_init (&value, 1 << 20);
    buffer_append (&value, "abc", 3);
    strcpy (error.text, "accepted");
    CHECK (!json_to_mp (exact, size, type.data, type.size, &value, &error) || !error.text [0]);
    CHECK_STR (error.text, line);
    CHECK_MEM (value.data, value.size, "abc", 3);
    buffer_fini (&type);
    buffer_fini (&value);
    free (exact);
}
#define REFUSED(schema, json, line) check_refused (schema, json, sizeof json - 1, line)

static void check_printed (const weft_schema_t *schema, const char *value, size_t size, const char *expected,
                           const char *line)
{
    buffer_t type = type_of (schema), text;
    buffer_init (&text, 1 << 20);
    error.text [0] = '\0';
    CHECK_INT (json_from_mp (value, size, type.data, type.size, false, &text, &error), line [0] == '\0');
    CHECK_STR (error.text, line);
    buffer_append (&text, "", 1);
    CHECK_STR ((const char *) text.data, expected);
    buffer_fini (&type);
    buffer_fini (&text);
}
#define PRINTED(schema, bytes, expected, line) check_printed (schema, bytes, sizeof bytes - 1, expected, line)

TEST (values_without_a_type_keep_their_shape)
{
    READ (NULL, "null", "\xc0");
    READ (NULL, " \t\r\n true ", "\xc3");
    READ (NULL, "[]", "\x90");
    READ (NULL, "{}", "\x80");
    READ (NULL, "-1", "\xff");
    READ (NULL, "-0", "\x00");
    READ (NULL, "1e0", "\xcb\x3f\xf0\0\0\0\0\0\0");
    READ (NULL, "1.0", "\xcb\x3f\xf0\0\0\0\0\0\0");
    READ (NULL, "{\"a\": [1, \"x\"], \"\": {}}",
          "\x82\xa1"
          "a\x92\x01\xa1x\xa0\x80");
    check_round (NULL, "[1,-1,1.5,\"\",{\"a\":{\"b\":[]}},null,true]",
                 "[1,-1,1.5,\"\",{\"a\":{\"b\":[]}},null,true]");
}

TEST (lists_longer_than_their_short_heads)
{
    for (uint32_t count = 14; count < 66000; count = count * 4 + 1) {
        buffer_t json, value;
        mp_reader_t in;
        uint32_t read;
        buffer_init (&json, 1 << 20);
        buffer_init (&value, 1 << 20);
        buffer_append (&json, "[", 1);
        for (uint32_t i = 0; i < count; i++)
            buffer_append (&json, i ? ",7" : "7", i ? 2 : 1);
        buffer_append (&json, "]", 1);
        CHECK (json_to_mp ((char *) json.data, json.size, NULL, 0, &value, &error));
        CHECK (mp_valid (value.data, value.size));
        in = mp_reader (value.data, value.size);
        CHECK (mp_read_array (&in, &read));
        CHECK_INT (read, count);
        buffer_fini (&json);
        buffer_fini (&value);
    }
}

TEST (objects_become_arrays_in_field_order)
{
    READ (arith_args_schema (), "{\"b\": 2, \"a\": 1}", "\x92\x01\x02");
    READ (arith_args_schema (), "[1, 2]", "\x92\x01\x02");
    READ (only_optional_schema (), "{}", "\x90");
    READ (only_optional_schema (), "[]", "\x90");
    READ (only_optional_schema (), "", "");
    READ (only_optional_schema (), "{\"service\": null}", "\x90");
    READ (only_optional_schema (), "[null]", "\x90");
    READ (only_optional_schema (), "{\"service\": \"x\"}", "\x91\xa1x");
    READ (
        node_schema (),
        "{\"children\": [{\"key\": \"\", \"value\": 2, \"children\": []}], \"key\": \"AP8=\", \"value\": 1}",
        "\x93\x01\xc4\x02\x00\xff\x91\x93\x02\xc4\x00\x90");
}

TEST (an_optional_field_left_out_in_the_middle_is_nil)
{
    static const char json [] =
        "{\"weight\":1,\"flag\":true,\"small\":1,\"large\":2,\"natural\":3,\"real\":4,\"text\":"
        "\"t\",\"bytes\":\"\",\"any\":null,\"at\":[5,6],\"points\":[],\"names\":[\"n\"],\"colour\":null}";
    READ (
        sample_schema (), json,
        "\x9e\xc3\x01\x02\x03\xcb\x40\x10\0\0\0\0\0\0\xa1t\xc4\x00\xc0"
        "\x92\xcb\x40\x14\0\0\0\0\0\0\xcb\x40\x18\0\0\0\0\0\0\x90\x91\xa1n\xc0\xc0\xcb\x3f\xf0\0\0\0\0\0\0");
    check_round (sample_schema (), json,
                 "{\"flag\":true,\"small\":1,\"large\":2,\"natural\":3,\"real\":4.0,\"text\":\"t\",\"bytes\":"
                 "\"\",\"any\":null,"
                 "\"at\":{\"x\":5.0,\"y\":6.0},\"points\":[],\"names\":[\"n\"],\"weight\":1.0}");
}

TEST (integers_have_their_full_range)
{
    READ (weft_int64_schema (), "-9223372036854775808", "\xd3\x80\0\0\0\0\0\0\0");
    READ (weft_int64_schema (), "9223372036854775807", "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff");
    READ (weft_uint64_schema (), "18446744073709551615", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    READ (weft_int32_schema (), "-2147483648", "\xd2\x80\0\0\0");
    READ (weft_uint64_schema (), "-0", "\x00");
    REFUSED (weft_int64_schema (), "9223372036854775808", "9223372036854775808 is out of the range of int64");
    REFUSED (weft_int64_schema (), "-9223372036854775809",
             "-9223372036854775809 is out of the range of int64");
    REFUSED (weft_uint64_schema (), "18446744073709551616",
             "18446744073709551616 is out of the range of uint64");
    REFUSED (weft_uint64_schema (), "-1", "-1 is out of the range of uint64");
    REFUSED (weft_int32_schema (), "2147483648", "2147483648 is out of the range of int32");
    REFUSED (weft_int32_schema (), "1.0", "expected int32, got a number with a fraction or exponent");
    REFUSED (NULL, "99999999999999999999", "99999999999999999999 is out of the range of 64 bits");
    check_round (NULL, "[18446744073709551615,-9223372036854775808]",
                 "[18446744073709551615,-9223372036854775808]");
}

TEST (doubles_are_short_and_come_back)
{
    check_round (weft_double_schema (), "0.1", "0.1");
    check_round (weft_double_schema (), "1", "1.0");
    check_round (weft_double_schema (), "-0", "-0.0");
    check_round (weft_double_schema (), "1e300", "1e+300");
    check_round (weft_double_schema (), "0.30000000000000004", "0.30000000000000004");
    check_round (weft_double_schema (), "123456789012345678", "1.2345678901234568e+17");
    REFUSED (weft_double_schema (), "1e999", "out of the range of double");
    REFUSED (weft_double_schema (), "null", "expected double, got null");
    PRINTED (weft_double_schema (), "\xcb\x7f\xf8\0\0\0\0\0\0", "null", "");
    PRINTED (weft_double_schema (), "\xcb\xff\xf0\0\0\0\0\0\0", "null", "");
    PRINTED (weft_double_schema (), "\x07", "7", "");
}

TEST (the_locale_has_no_say)
{
    if (!setlocale (LC_ALL, "de_DE.UTF-8") && !setlocale (LC_ALL, "C.UTF-8"))
        return;
    check_round (weft_double_schema (), "2.5", "2.5");
    setlocale (LC_ALL, "C");
}

TEST (strings_are_unescaped_and_escaped)
{
    READ (weft_string_schema (), "\"a\\u00e9\\ud83d\\ude00\\n\\/\\\"\"",
          "\xaa"
          "a\xc3\xa9\xf0\x9f\x98\x80\n/\"");
    READ (weft_string_schema (), "\"\xc3\xa9\"", "\xa2\xc3\xa9");
    READ (NULL, "\"\\u0000\"", "\xa1\0");
    READ (NULL, "\"\\b\\f\\r\\t\\\\\"", "\xa5\b\f\r\t\\");
    check_round (weft_string_schema (), "\"\\u001b\\u007f\\u0085\\u00a0\\n\\\"\\\\/\"",
                 "\"\\u001b\\u007f\\u0085\xc2\xa0\\n\\\"\\\\/\"");
    PRINTED (NULL,
             "\xa3"
             "a\xff"
             "b",
             "\"a\\ufffdb\"", "");
    REFUSED (weft_string_schema (), "\"\\u0000\"", "a NUL inside a string");
    REFUSED (NULL, "\"\\ud83d\"", "line 1, column 2: half a surrogate pair");
    REFUSED (NULL, "\"\\ud83d\\u0041\"", "line 1, column 2: half a surrogate pair");
    REFUSED (NULL, "\"\\ude00\"", "line 1, column 2: half a surrogate pair");
    REFUSED (NULL, "\"\\u12g4\"", "line 1, column 6: expected four hexadecimal digits");
    REFUSED (NULL, "\"\\x\"", "line 1, column 3: no such escape");
    REFUSED (NULL, "\"\\", "line 1, column 3: no such escape");
    REFUSED (NULL, "\"a\nb\"", "line 1, column 3: a control character in a string must be escaped");
    REFUSED (NULL, "\"\xc3\"", "line 1, column 2: not UTF-8");
    REFUSED (NULL, "\"\xed\xa0\x80\"", "line 1, column 2: not UTF-8");
    REFUSED (NULL, "\"abc", "line 1, column 5: the string does not end");
}

TEST (only_json_is_json)
{
    REFUSED (NULL, "", "line 1, column 1: expected a value");
    REFUSED (NULL, "  \n ", "line 2, column 2: expected a value");
    REFUSED (NULL,
             "\xef\xbb\xbf"
             "1",
             "line 1, column 1: expected a value");
    REFUSED (NULL, "tru", "line 1, column 1: expected a value");
    REFUSED (NULL, "nul", "line 1, column 1: expected a value");
    REFUSED (NULL, "NaN", "line 1, column 1: expected a value");
    REFUSED (NULL, "'a'", "line 1, column 1: expected a value");
    REFUSED (NULL, "1 2", "line 1, column 3: expected the end");
    REFUSED (NULL, "01", "line 1, column 2: a number must not begin with 0");
    REFUSED (NULL, "+1", "line 1, column 1: expected a value");
    REFUSED (NULL, ".5", "line 1, column 1: expected a value");
    REFUSED (NULL, "1.", "line 1, column 3: expected a digit");
    REFUSED (NULL, "1e", "line 1, column 3: expected a digit");
    REFUSED (NULL, "-", "line 1, column 2: expected a digit");
    REFUSED (NULL, "[1,]", "line 1, column 4: expected a value");
    REFUSED (NULL, "[1 2]", "line 1, column 4: expected ',' or ']'");
    REFUSED (NULL, "[", "line 1, column 2: expected a value");
    REFUSED (NULL, "[1", "line 1, column 3: expected ',' or ']'");
    REFUSED (NULL, "{\"a\" 1}", "line 1, column 6: expected ':'");
    REFUSED (NULL, "{\"a\":1,}", "line 1, column 8: expected a name in quotes");
    REFUSED (NULL, "{a:1}", "line 1, column 2: expected a name in quotes");
    REFUSED (NULL, "{\"a\":1 \"b\"}", "line 1, column 8: expected ',' or '}'");
    REFUSED (NULL, "\n\n {\"\xc3\xa9\" 1}", "line 3, column 7: expected ':'");
    REFUSED (arith_args_schema (), "{\"a\": 1, \"b\" 2}", "line 1, column 14: expected ':'");
    REFUSED (NULL, "1\0", "line 1, column 2: expected the end");
}

TEST (misfits_say_where_and_what)
{
    REFUSED (arith_args_schema (), "{\"a\": 1, \"b\": \"x\"}", "field b: expected int64, got string");
    REFUSED (arith_args_schema (), "{\"a\": 1, \"b\": 1.5}",
             "field b: expected int64, got a number with a fraction or exponent");
    REFUSED (arith_args_schema (), "{\"a\": 1}", "field b: missing");
    REFUSED (arith_args_schema (), "[1]", "field b: missing");
    REFUSED (arith_args_schema (), "[1, 2, 3]", "arith_args has only 2 fields");
    REFUSED (arith_args_schema (), "5", "expected arith_args, got number");
    REFUSED (arith_args_schema (), "{\"a\": 1, \"c\": 2}", "unknown field \"c\"; known: a, b");
    REFUSED (arith_args_schema (), "{\"a\": 1, \"\\n\": 2}", "unknown field \"\\n\"; known: a, b");
    REFUSED (arith_args_schema (), "{\"a\": 1, \"a\": 2}", "\"a\" is given twice");
    REFUSED (arith_args_schema (), "{\"a\": 1, \"b\": null}", "field b: expected int64, got null");
    REFUSED (NULL, "{\"x\": {\"a\": 1, \"b\": 2, \"a\": 2}}", "field x: \"a\" is given twice");
    REFUSED (NULL, "{\"x\": [1, 1e999]}", "field x[1]: out of the range of double");
    REFUSED (weft_bool_schema (), "\"true\"", "expected bool, got string");
    REFUSED (weft_string_schema (), "true", "expected string, got true");
    REFUSED (weft_string_schema (), "{}", "expected string, got object");
    REFUSED (node_schema (),
             "{\"value\": 1, \"key\": \"\", \"children\": [[1, \"\", []], [1, \"\", [{\"key\": \"*\"}]]]}",
             "field children[1].children[0].key: not base64");
    REFUSED (node_schema (), "{\"value\": 1, \"key\": \"\", \"children\": {}}",
             "field children: expected array, got object");
    REFUSED (weft_none_schema (), "1", "line 1, column 1: expected none: null or nothing");
}

TEST (a_long_list_of_known_fields_is_cut)
{
    buffer_t type;
    char json [600];
    buffer_init (&type, WEFT_SCHEMA_MAX);
    mp_write_array (&type, 2 + 2 * 200);
    mp_write_text (&type, "struct");
    mp_write_text (&type, "s");
    for (int i = 0; i < 200; i++) {
        mp_write_text (&type, "field_name");
        mp_write_text (&type, "bool");
    }
    memset (json, 'k', sizeof json);
    memcpy (json, "{\"", 2);
    memcpy (json + 590, "\":true}   ", 10);
    CHECK (!json_to_mp (json, sizeof json, type.data, type.size, &type, &error));
    CHECK_INT (strlen (error.text), 255);
    CHECK_STR (error.text + 252, "...");
    CHECK (strstr (error.text, "known: field_name, field_name") != NULL);
    buffer_fini (&type);
}

TEST (none_is_nothing)
{
    READ (weft_none_schema (), "", "");
    READ (weft_none_schema (), " null ", "");
    READ (weft_none_schema (), "{ }", "");
    READ (weft_none_schema (), "[]", "");
    PRINTED (weft_none_schema (), "", "null", "");
    PRINTED (only_optional_schema (), "", "{}", "");
    PRINTED (NULL, "", "null", "");
    PRINTED (arith_args_schema (), "", "{}", "empty body");
}

TEST (t17_nesting_is_bounded)
{
    char deep [40], expected [40];
    for (size_t depth = 15; depth <= 17; depth++) {
        memset (deep, '[', depth);
        memset (deep + depth, ']', depth);
        memset (expected, '\x91', depth);
        expected [depth - 1] = '\x90';
        if (depth <= 16)
            deep [2 * depth] = '\0', check_read (NULL, deep, expected, depth);
        else
            check_refused (NULL, deep, 2 * depth, "line 1, column 17: nested deeper than 16");
    }
    REFUSED (NULL, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
             "line 1, column 17: nested deeper than 16");
}

TEST (t16_elements_are_bounded)
{
    buffer_t json, value;
    buffer_init (&json, 1 << 20);
    buffer_init (&value, 1 << 20);
    buffer_append (&json, "[", 1);
    for (int i = 0; i < 65537; i++)
        buffer_append (&json, "0,", 2);
    json.data [json.size - 1] = ']';
    CHECK (!json_to_mp ((char *) json.data, json.size, NULL, 0, &value, &error));
    CHECK_STR (error.text, "field [65536]: more than 65536 elements in all");
    json.data [json.size - 3] = ']';
    CHECK (json_to_mp ((char *) json.data, json.size - 2, NULL, 0, &value, &error));
    CHECK (mp_valid (value.data, value.size));
    buffer_fini (&json);
    buffer_fini (&value);
}

TEST (the_bound_of_the_output_holds)
{
    static const char json [] = "{\"a\":1,\"b\":\"some text\",\"c\":[1,2,3]}";
    for (size_t max = 3; max < 40; max++) {
        buffer_t out;
        buffer_init (&out, max);
        buffer_append (&out, "abc", 3);
        if (json_to_mp (json, sizeof json - 1, NULL, 0, &out, &error)) {
            CHECK (max >= 3 + 22 && mp_valid (out.data + 3, out.size - 3));
            buffer_t text;
            buffer_init (&text, max - 3);
            CHECK_INT (json_from_mp (out.data + 3, out.size - 3, NULL, 0, false, &text, &error),
                       max - 3 >= sizeof json - 1);
            CHECK_INT (text.size, max - 3 >= sizeof json - 1 ? sizeof json - 1 : 0);
            CHECK_INT (text.failed, max - 3 < sizeof json - 1);
            buffer_fini (&text);
        } else {
            CHECK (out.failed && max < 3 + 22);
            CHECK_MEM (out.data, out.size, "abc", 3);
            CHECK (strstr (error.text, "out of memory or larger than") != NULL);
        }
        buffer_fini (&out);
    }
}

TEST (pretty_is_indented_by_two)
{
    static const char value [] = "\x93\x01\xc4\0\x91\x93\x02\xc4\x01z\x90";
    buffer_t type = type_of (node_schema ()), text;
    buffer_init (&text, 1 << 20);
    CHECK (json_from_mp (value, sizeof value - 1, type.data, type.size, true, &text, &error));
    buffer_append (&text, "", 1);
    CHECK_STR ((const char *) text.data, "{\n"
                                         "  \"value\": 1,\n"
                                         "  \"key\": \"\",\n"
                                         "  \"children\": [\n"
                                         "    {\n"
                                         "      \"value\": 2,\n"
                                         "      \"key\": \"eg==\",\n"
                                         "      \"children\": []\n"
                                         "    }\n"
                                         "  ]\n"
                                         "}");
    buffer_fini (&type);
    buffer_fini (&text);
}

TEST (what_does_not_fit_the_type_is_printed_by_its_shape)
{
    PRINTED (arith_args_schema (), "\x92\x01\xa1x", "{\"a\":1,\"b\":\"x\"}",
             "field b: expected int64, got string");
    PRINTED (arith_args_schema (), "\x91\x01", "{\"a\":1}", "field b: missing");
    PRINTED (arith_args_schema (), "\x93\x01\x02\x03", "{\"a\":1,\"b\":2}", "");
    PRINTED (arith_args_schema (),
             "\x82\xa1"
             "b\x02\xa1z\x93\x01\x02\x03",
             "{\"b\":2,\"z\":[1,2,3]}", "field a: missing");
    PRINTED (arith_args_schema (), "\x05", "5", "expected arith_args, got integer");
    PRINTED (weft_int32_schema (), "\xce\x80\0\0\0", "2147483648", "expected int32, got integer");
    PRINTED (node_schema (), "\x93\x01\xc4\0\x92\x93\x01\xc4\0\x01\x93\xc0\xc0\xc0",
             "{\"value\":1,\"key\":\"\",\"children\":[{\"value\":1,\"key\":\"\",\"children\":1},"
             "{\"value\":null,\"key\":null,\"children\":null}]}",
             "field children[0].children: expected array, got integer");
    PRINTED (NULL, "\x92\x01", "", "malformed: not one MessagePack value");
    PRINTED (NULL, "\x01\x01", "", "malformed: not one MessagePack value");
}

TEST (maps_with_odd_keys_and_exts_have_a_shape_too)
{
    PRINTED (NULL, "\x85\x01\x02\xc0\x01\xc3\x01\xc4\x01z\x01\x91\x01\x01",
             "{\"1\":2,\"null\":1,\"true\":1,\"eg==\":1,\"kQE=\":1}", "");
    PRINTED (NULL, "\xd4\xffz", "{\"ext\":-1,\"data\":\"eg==\"}", "");
    PRINTED (NULL,
             "\xd8\x05"
             "0123456789abcdef",
             "{\"ext\":5,\"data\":\"MDEyMzQ1Njc4OWFiY2RlZg==\"}", "");
    PRINTED (NULL, "\xc7\0\x05", "{\"ext\":5,\"data\":\"\"}", "");
    PRINTED (NULL, "\xc8\0\x01\x05z", "{\"ext\":5,\"data\":\"eg==\"}", "");
    PRINTED (NULL, "\xc9\0\0\0\x01\x05z", "{\"ext\":5,\"data\":\"eg==\"}", "");
}

TEST (a_malformed_type_is_refused)
{
    buffer_t out;
    buffer_init (&out, 1000);
    CHECK (!json_to_mp ("1", 1, "\x91\x01", 2, &out, &error));
    CHECK_STR (error.text, "the type is malformed");
    CHECK (!json_from_mp ("\x01", 1, "\x91\x01", 2, false, &out, &error));
    CHECK_MEM (out.data, out.size, "1", 1);
    buffer_fini (&out);
}

TEST (base64_is_strict)
{
    static const char *const good [] = {"", "", "Zg==", "f", "Zm8=", "fo", "Zm9v", "foo", "Zm9vYg==", "foob"};
    static const char *const bad [] = {"Z",    "Zg",   "Zg=",     "Zg===",    "Zh==",   "Zm9=",
                                       "====", "Z===", "=g==",    "Zg==Zg==", "Zm9v\n", "Zm 9",
                                       "Zm9-", "Zm9_", "Z\xc3==", "A=A="};
    for (size_t i = 0; i < sizeof good / sizeof good [0]; i += 2) {
        uint8_t data [8];
        buffer_t text;
        buffer_init (&text, 100);
        const size_t size = base64_decoded_size (good [i], strlen (good [i]));
        CHECK (base64_read (data, good [i], strlen (good [i])));
        CHECK_MEM (data, size, good [i + 1], strlen (good [i + 1]));
        base64_write (&text, data, size);
        CHECK_MEM (text.data, text.size, good [i], strlen (good [i]));
        buffer_fini (&text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad [0]; i++) {
        uint8_t data [16];
        if (base64_read (data, bad [i], strlen (bad [i])))
            CHECK_STR (bad [i], "refused");
    }
}

TEST (utf8_is_strict)
{
    for (uint32_t code = 0; code <= 0x10ffff; code += code < 0x1000 ? 1 : 97) {
        uint8_t at [4];
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        const size_t length = utf8_put (at, code);
        CHECK_INT (utf8_length (at, length), length);
        CHECK_INT (utf8_length (at, length - 1), 0);
    }
    CHECK (!utf8_valid ("\xc0\x80", 2));
    CHECK (!utf8_valid ("\xe0\x9f\xbf", 3));
    CHECK (!utf8_valid ("\xed\xa0\x80", 3));
    CHECK (!utf8_valid ("\xf0\x8f\xbf\xbf", 4));
    CHECK (!utf8_valid ("\xf4\x90\x80\x80", 4));
    CHECK (!utf8_valid ("\xf5\x80\x80\x80", 4));
    CHECK (!utf8_valid ("\x80", 1));
    CHECK (!utf8_valid ("12345678\xff", 9));
    CHECK (utf8_valid ("12345678\xc3\xa9", 10));
    CHECK (utf8_valid (NULL, 0));
}

/*  Text that is nearly JSON, by a type that is nearly one. */

static size_t scramble (dice_t *dice, uint8_t *bytes, size_t size)
{
    static const char likely [] = "{}[]\",:\\0123456789.eE-+ntfu \n\xc3\x00\xff";
    for (uint64_t changes = dice_below (dice, 4); changes > 0 && size; changes--)
        bytes [dice_below (dice, size)] = dice_below (dice, 2)
                                              ? (uint8_t) likely [dice_below (dice, sizeof likely)]
                                              : (uint8_t) dice_next (dice);
    return dice_below (dice, 4) || size == 0 ? size : dice_below (dice, size);
}

/*  What was read can be printed, and what was printed reads as the same. */
static void check_seeded (const char *json, size_t size, const buffer_t *type, unsigned *read)
{
    buffer_t value, text, again;
    buffer_init (&value, 1 << 20);
    buffer_init (&text, 1 << 20);
    buffer_init (&again, 1 << 20);
    error.text [0] = '\0';
    if (json_to_mp (json, size, type->data, type->size, &value, &error)) {
        ++*read;
        CHECK (value.size == 0 || mp_valid (value.data, value.size));
        CHECK (json_from_mp (value.data, value.size, type->data, type->size, size % 2, &text, &error));
        CHECK (utf8_valid (text.data, text.size));
        CHECK (json_to_mp ((char *) text.data, text.size, type->data, type->size, &again, &error));
        CHECK_MEM (again.data, again.size, value.data, value.size);
    } else {
        CHECK (error.text [0] != '\0' && strchr (error.text, '\n') == NULL);
        CHECK (utf8_valid (error.text, strlen (error.text)));
        CHECK_INT (value.size, 0);
    }
    buffer_fini (&value);
    buffer_fini (&text);
    buffer_fini (&again);
}

TEST (seeded_json_never_crashes_and_comes_back)
{
    static const char *const texts [] = {
        ("{\"flag\":true,\"small\":1,\"large\":-2,\"natural\":3,\"real\":4.5e-1,\"text\":\"t\\u00e9\\n\","
         "\"bytes\":\"AAEC\",\"any\":"
         "{\"a\":[1,2.5,null]},\"at\":{\"x\":5,\"y\":6},\"points\":[[1,2],{\"x\":1,\"y\":2}],\"names\":["
         "\"n\",\"\"],\"colour\":7}"),
        "{\"value\":1,\"key\":\"AA==\",\"children\":[{\"value\":2,\"key\":\"\",\"children\":[]},[3,\"\",[]]]"
        "}",
        "{\"a\":-12,\"b\":34}", "[[],{},\"\\\\\\ud83d\\ude00\",0.5,true,false,null,-1,{\"k\":{\"k\":{}}}]"};
    dice_t dice;
    unsigned read = 0;
    buffer_t types [4] = {type_of (sample_schema ()), type_of (node_schema ()),
                          type_of (arith_args_schema ()), type_of (NULL)};
    dice_init (&dice, 4);
    for (int round = 0; round < 10000; round++) {
        const size_t which = dice_below (&dice, 4);
        char *json = malloc (strlen (texts [which]));
        memcpy (json, texts [which], strlen (texts [which]));
        const size_t size = scramble (&dice, (uint8_t *) json, strlen (texts [which]));
        json = realloc (json, size ? size : 1);
        check_seeded (json, size, &types [dice_below (&dice, 8) ? which : 3], &read);
        free (json);
    }
    CHECK (read > 1500);
    for (int i = 0; i < 4; i++)
        buffer_fini (&types [i]);
}

TEST (seeded_types_never_crash)
{
    static const char json [] =
        "{\"a\":-12,\"b\":[1,{\"x\":1}],\"key\":\"AA==\",\"value\":1,\"children\":[[1,\"\",[]]]}";
    dice_t dice;
    buffer_t type;
    buffer_init (&type, WEFT_SCHEMA_MAX);
    dice_init (&dice, 5);
    for (int round = 0; round < 10000; round++) {
        buffer_t value;
        buffer_init (&value, 1 << 20);
        buffer_clear (&type);
        types_write (&type, round % 2 ? node_schema () : sample_schema ());
        type.size = scramble (&dice, type.data, type.size);
        json_to_mp_known (json, sizeof json - 1, type.data, type.size, &value, &error);
        buffer_fini (&value);
    }
    buffer_fini (&type);
}

TEST (seeded_values_always_print_as_json)
{
    const sample full = sample_full ();
    dice_t dice;
    buffer_t value, types [2] = {type_of (sample_schema ()), type_of (node_schema ())};
    buffer_init (&value, 1 << 20);
    CHECK (codec_encode (CODEC_MSGPACK, WEFT_IN (sample, &full), &value, &error));
    dice_init (&dice, 6);
    for (int round = 0; round < 10000; round++) {
        buffer_t text, back;
        buffer_init (&text, 1 << 20);
        buffer_init (&back, 1 << 20);
        uint8_t *bytes = malloc (value.size);
        memcpy (bytes, value.data, value.size);
        const size_t size = scramble (&dice, bytes, value.size);
        const buffer_t *type = &types [dice_below (&dice, 2)];
        json_from_mp (bytes, size, type->data, type->size, round % 2, &text, &error);
        CHECK_INT (text.size > 0, size == 0 || mp_valid (bytes, size));
        if (text.size && !json_to_mp ((char *) text.data, text.size, NULL, 0, &back, &error))
            CHECK (strstr (error.text, "given twice") != NULL); /* keys that differ only in kind */
        buffer_fini (&text);
        buffer_fini (&back);
        free (bytes);
    }
    buffer_fini (&value);
    buffer_fini (&types [0]);
    buffer_fini (&types [1]);
}
