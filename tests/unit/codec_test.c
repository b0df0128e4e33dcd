/* SPDX-License-Identifier: MPL-2.0 */

#include "codec.h"
#include "check.h"
#include "dice.h"
#include "sample.h"
#include "types.h"
#include <math.h>
#include <stdlib.h>

static arena_t arena;
static codec_error_t error;

__attribute__ ((constructor)) static void prepare (void)
{
    arena_init (&arena, WEFT_DECODED_MAX);
}

static bool decode (const char *body, size_t size, weft_value_t value)
{
    strcpy (error.text, "?");
    return codec_decode (CODEC_MSGPACK, body, size, value, &arena, &error);
}
#define DECODE(type, bytes, to) decode (bytes, sizeof bytes - 1, WEFT_OUT (type, to))

/*  That the body is refused, with this line, and the value is empty. */
#define REFUSED(type, bytes, line)                                                                           \
    do {                                                                                                     \
        type value, empty;                                                                                   \
        memset (&value, 0, sizeof value);                                                                    \
        memset (&empty, 0, sizeof empty);                                                                    \
        CHECK (!DECODE (type, bytes, &value));                                                               \
        CHECK_STR (error.text, line);                                                                        \
        CHECK (memcmp (&value, &empty, sizeof value) == 0);                                                  \
    } while (0)

static void check_encoded (weft_value_t value, const char *expected, size_t size)
{
    buffer_t body;
    buffer_init (&body, 1 << 20);
    CHECK (codec_encode (CODEC_MSGPACK, value, &body, &error));
    CHECK_MEM (body.data, body.size, expected, size);
    buffer_fini (&body);
}
#define ENCODED(value, bytes) check_encoded (value, bytes, sizeof bytes - 1)

static void check_not_encoded (weft_value_t value, const char *line)
{
    buffer_t body;
    buffer_init (&body, 1 << 20);
    buffer_append (&body, "abc", 3);
    CHECK (!codec_encode (CODEC_MSGPACK, value, &body, &error));
    CHECK_STR (error.text, line);
    CHECK_MEM (body.data, body.size, "abc", 3);
    CHECK (!body.failed);
    buffer_fini (&body);
}

TEST (s3_codecs_are_found_by_name)
{
    CHECK_INT (codec_find (text_of ("msgpack")), CODEC_MSGPACK);
    CHECK_INT (codec_find (text_of ("json")), CODEC_JSON);
    CHECK_INT (codec_find (text_of ("raw")), CODEC_RAW);
    CHECK_INT (codec_find (text_of ("xml")), CODEC_UNKNOWN);
    CHECK_INT (codec_find (text_of ("")), CODEC_UNKNOWN);
    CHECK_STR (codec_name (CODEC_JSON), "json");
    CHECK_STR (codec_name (CODEC_UNKNOWN), "?");
}

TEST (s3_first_known_codec_of_an_offer_is_chosen)
{
    wire_hello_t hello = {.codec_count = 3};
    hello.codecs [0] = text_of ("xml");
    hello.codecs [1] = text_of ("json");
    hello.codecs [2] = text_of ("msgpack");
    CHECK_INT (codec_choose (&hello), CODEC_JSON);
    hello.codec_count = 1;
    CHECK_INT (codec_choose (&hello), CODEC_UNKNOWN);
    hello.codec_count = 0;
    CHECK_INT (codec_choose (&hello), CODEC_MSGPACK);
}

TEST (n12_structs_are_arrays_of_their_fields)
{
    arith_args args = {0};
    ENCODED (WEFT_IN (arith_args, &(arith_args){7, -6}), "\x92\x07\xfa");
    CHECK (DECODE (arith_args, "\x92\x07\xfa", &args));
    CHECK_INT (args.a, 7);
    CHECK_INT (args.b, -6);
}

TEST (structs_are_taken_as_maps_too)
{
    arith_args args = {0};
    CHECK (DECODE (arith_args,
                   "\x83\xa1"
                   "b\x02\xa1x\xc0\xa1"
                   "a\x01",
                   &args));
    CHECK_INT (args.a, 1);
    CHECK_INT (args.b, 2);
    CHECK (DECODE (arith_args,
                   "\x83\x05\x93\x01\x02\x03\xa1"
                   "b\x04\xa1"
                   "a\x03",
                   &args));
    CHECK_INT (args.a, 3);
    REFUSED (arith_args,
             "\x82\xa1"
             "a\x01\xa1"
             "a\x02",
             "field a: given twice");
    REFUSED (arith_args,
             "\x82\xa1"
             "a\x01\xa1"
             "c\x02",
             "field b: missing");
}

TEST (elements_beyond_the_known_fields_are_ignored)
{
    arith_args args = {0};
    CHECK (DECODE (arith_args, "\x94\x07\x06\x92\xc0\xa1z\x81\x01\x02", &args));
    CHECK_INT (args.b, 6);
}

TEST (optional_fields_are_nil_or_left_out)
{
    only_optional value = {0};
    ENCODED (WEFT_IN (only_optional, &value), "\x90");
    ENCODED (WEFT_IN (only_optional, &((only_optional){"x", true})), "\x91\xa1x");
    CHECK (DECODE (only_optional, "\x90", &value) && !value.has_service);
    CHECK (DECODE (only_optional, "\x91\xc0", &value) && !value.has_service);
    CHECK (DECODE (only_optional, "\x80", &value) && !value.has_service);
    CHECK (DECODE (only_optional, "\x81\xa7service\xc0", &value) && !value.has_service);
    CHECK (DECODE (only_optional, "\x91\xa1x", &value) && value.has_service);
    CHECK_STR (value.service, "x");
}

TEST (optional_field_in_the_middle_is_nil)
{
    sample full = sample_full ();
    full.has_colour = full.has_weight = false;
    full.points = NULL;
    full.point_count = 0;
    full.names = NULL;
    full.name_count = 0;
    full.any.size = 0;
    full.real = 1;
    full.large = full.small = 0;
    full.natural = 0;
    ENCODED (WEFT_IN (sample, &full),
             "\x9d\xc3\x00\x00\x00\xcb\x3f\xf0\0\0\0\0\0\0\xa5hello\xc4\x04\0\1\2\xff\xc0"
             "\x92\xcb\x40\x08\0\0\0\0\0\0\xcb\x40\x10\0\0\0\0\0\0\x90\x90\xc0"
             "\x92\xcb\0\0\0\0\0\0\0\0\xcb\xbf\xf0\0\0\0\0\0\0");
}

TEST (everything_comes_back)
{
    const sample in = sample_full ();
    for (codec_t codec = CODEC_MSGPACK; codec <= CODEC_JSON; codec++) {
        sample out = {0};
        buffer_t body;
        buffer_init (&body, 1 << 20);
        CHECK (codec_encode (codec, WEFT_IN (sample, &in), &body, &error));
        CHECK (codec_decode (codec, body.data, body.size, WEFT_OUT (sample, &out), &arena, &error));
        CHECK (out.flag);
        CHECK_INT (out.small, INT32_MIN);
        CHECK_INT (out.large, INT64_MIN);
        CHECK (out.natural == UINT64_MAX);
        CHECK (out.real == 0.1);
        CHECK_STR (out.text, "hello");
        CHECK_MEM (out.bytes.data, out.bytes.size, in.bytes.data, in.bytes.size);
        CHECK_MEM (out.any.data, out.any.size, in.any.data, in.any.size);
        CHECK (out.at.x == 3 && out.at.y == 4);
        CHECK_INT (out.point_count, 2);
        CHECK (out.points [1].x == -0.5 && out.points [1].y == 1e300);
        CHECK_INT (out.name_count, 3);
        for (size_t i = 0; i < 3; i++)
            CHECK_STR (out.names [i], in.names [i]);
        CHECK (out.has_colour && out.colour == 7);
        CHECK (out.has_origin && out.origin.y == -1);
        CHECK (out.has_weight && out.weight == 2.5);
        buffer_fini (&body);
    }
}

TEST (integers_are_checked_against_their_range)
{
    int32_t small;
    int64_t large;
    uint64_t natural;
    CHECK (DECODE (weft_int32, "\xd2\x80\0\0\0", &small) && small == INT32_MIN);
    CHECK (DECODE (weft_int32, "\xcf\0\0\0\0\x7f\xff\xff\xff", &small) && small == INT32_MAX);
    REFUSED (weft_int32, "\xce\x80\0\0\0", "out of the range of int32");
    REFUSED (weft_int32, "\xd3\xff\xff\xff\xff\x7f\xff\xff\xff", "out of the range of int32");
    CHECK (DECODE (weft_int64, "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", &large) && large == INT64_MAX);
    REFUSED (weft_int64, "\xcf\x80\0\0\0\0\0\0\0", "out of the range of int64");
    CHECK (DECODE (weft_uint64, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", &natural) && natural == UINT64_MAX);
    REFUSED (weft_uint64, "\xff", "out of the range of uint64");
}

TEST (an_integer_is_a_double_but_not_the_reverse)
{
    double real;
    CHECK (DECODE (weft_double, "\x07", &real) && real == 7);
    CHECK (DECODE (weft_double, "\xff", &real) && real == -1);
    CHECK (DECODE (weft_double, "\xca\x3f\x80\0\0", &real) && real == 1);
    REFUSED (weft_int64, "\xca\x3f\x80\0\0", "expected int64, got double");
}

TEST (faults_say_where)
{
    REFUSED (arith_args, "\x92\x01\xa1x", "field b: expected int64, got string");
    REFUSED (arith_args, "\x91\x01", "field b: missing");
    REFUSED (arith_args, "\xa1x", "expected arith_args, got string");
    REFUSED (arith_args, "\x92\x01\x02\xc0", "bytes after the value");
    REFUSED (arith_args, "", "empty body, expected arith_args");
    REFUSED (arith_args, "\x92\x01\xcd\x01", "field b: malformed");
    REFUSED (arith_args, "\xc1", "expected arith_args, got nothing");
    REFUSED (node, "\x93\x01\xc4\0\x92\x93\x01\xc4\0\x90\x93\x01\xc4\0\x91\x93\x01\xa0\x90",
             "field children[1].children[0].key: expected bytes, got string");
    REFUSED (only_optional, "\x81\xa7service\x01", "field service: expected string, got integer");
    REFUSED (weft_bool, "\x01", "expected bool, got integer");
    REFUSED (weft_bytes, "\xa0", "expected bytes, got string");
    REFUSED (weft_string, "\xc4\0", "expected string, got bytes");
    REFUSED (weft_none, "\x01", "expected none, got integer");
}

#define LONG "a_name_of_sixty_bytes_which_is_nearly_as_long_as_names_may_be"
#define DEEPER(this, inner)                                                                                  \
    typedef struct {                                                                                         \
        inner a_name_of_sixty_bytes_which_is_nearly_as_long_as_names_may_be;                                 \
    } this;                                                                                                  \
    WEFT_SCHEMA (this, WEFT_FIELD (a_name_of_sixty_bytes_which_is_nearly_as_long_as_names_may_be, inner))
DEEPER (long1, weft_bool)
DEEPER (long2, long1)
DEEPER (long3, long2)
DEEPER (long4, long3)

TEST (long_places_are_cut_on_the_outside)
{
    REFUSED (long4, "\x91\x91\x91\x91\x01", "field ...." LONG "." LONG ": expected bool, got integer");
}

TEST (t26_a_nul_or_bad_utf8_in_a_string_is_refused)
{
    const char *text;
    REFUSED (weft_string,
             "\xa3"
             "a\0b",
             "a NUL inside a string");
    REFUSED (weft_string, "\xa2\xc0\x80", "not UTF-8");
    REFUSED (weft_string, "\xa3\xed\xa0\x80", "not UTF-8");
    REFUSED (weft_string, "\xa4\xf4\x90\x80\x80", "not UTF-8");
    REFUSED (weft_string, "\xa1\xff", "not UTF-8");
    REFUSED (weft_string, "\xa2\xe2\x82", "not UTF-8");
    CHECK (DECODE (weft_string, "\xa4\xf4\x8f\xbf\xbf", &text));
    CHECK (DECODE (weft_string, "\xa0", &text));
    CHECK_STR (text, "");
}

TEST (bytes_and_any_point_into_the_body)
{
    static const char body [] = "\xc4\x02xy";
    weft_bytes bytes = {0};
    weft_any any = {0};
    CHECK (DECODE (weft_bytes, body, &bytes));
    CHECK (decode (body, 4, WEFT_OUT (weft_bytes, &bytes)));
    CHECK (bytes.data == body + 2 && bytes.size == 2);
    CHECK (decode (body, 4, WEFT_OUT (weft_any, &any)));
    CHECK (any.data == body && any.size == 4);
}

TEST (empty_body_is_none_or_a_struct_without_required_fields)
{
    only_optional optional = {0};
    weft_none none = 0;
    CHECK (decode (NULL, 0, WEFT_OUT (only_optional, &optional)) && !optional.has_service);
    CHECK (decode (NULL, 0, WEFT_OUT (weft_none, &none)));
    CHECK (decode (NULL, 0, WEFT_NOTHING));
    CHECK (decode ("\xc0", 1, WEFT_NOTHING));
    CHECK (decode ("\x90", 1, WEFT_NOTHING));
    CHECK (decode ("\x80", 1, WEFT_NOTHING));
    CHECK (!decode ("\x91\x01", 2, WEFT_NOTHING));
    CHECK_STR (error.text, "expected none, got array");
    REFUSED (weft_any, "", "empty body, expected any");
    REFUSED (weft_bytes, "", "empty body, expected bytes");
    ENCODED (WEFT_NOTHING, "");
}

TEST (values_that_do_not_fit_are_named)
{
    sample full = sample_full ();
    full.text = NULL;
    check_not_encoded (WEFT_IN (sample, &full), "field text: a string must not be NULL");
    full = sample_full ();
    full.points = NULL;
    check_not_encoded (WEFT_IN (sample, &full), "field points: the array is NULL but its count is 2");
    full = sample_full ();
    full.bytes.data = NULL;
    check_not_encoded (WEFT_IN (sample, &full), "field bytes: bytes are NULL but their size is 4");
    full = sample_full ();
    full.names = (const char *[]){"a", "\xff", "c"};
    check_not_encoded (WEFT_IN (sample, &full), "field names[1]: not UTF-8");
    full = sample_full ();
    full.any = (weft_any){"\x92\x01", 2};
    check_not_encoded (WEFT_IN (sample, &full), "field any: malformed");
    full.any = (weft_any){"\x01\x02", 2};
    check_not_encoded (WEFT_IN (sample, &full), "field any: more than one value");
    check_not_encoded ((weft_value_t){sample_schema (), NULL}, "no value");
}

TEST (an_empty_any_is_nil)
{
    ENCODED (WEFT_IN (weft_any, &(weft_any){0}), "\xc0");
}

TEST (a_body_over_the_bound_leaves_the_buffer_failed)
{
    buffer_t body;
    buffer_init (&body, 8);
    buffer_append (&body, "abc", 3);
    const sample full = sample_full ();
    for (codec_t codec = CODEC_MSGPACK; codec <= CODEC_JSON; codec++) {
        CHECK (!codec_encode (codec, WEFT_IN (sample, &full), &body, &error));
        CHECK (body.failed);
        CHECK_STR (error.text, "out of memory or larger than 8 bytes");
        CHECK_MEM (body.data, body.size, "abc", 3);
        buffer_truncate (&body, 3);
    }
    CHECK (!codec_encode (CODEC_RAW, WEFT_IN (weft_bytes, &((weft_bytes){"123456", 6})), &body, &error));
    CHECK (body.failed && body.size == 3);
    buffer_fini (&body);
}

TEST (a_body_fits_a_buffer_of_its_own_size_and_no_smaller)
{
    const sample full = sample_full ();
    buffer_t whole;
    buffer_init (&whole, 1 << 16);
    CHECK (codec_encode (CODEC_MSGPACK, WEFT_IN (sample, &full), &whole, &error));
    for (size_t max = 0; max <= whole.size; max++) {
        buffer_t body;
        buffer_init (&body, max);
        const bool fits = codec_encode (CODEC_MSGPACK, WEFT_IN (sample, &full), &body, &error);
        CHECK_INT (fits, max == whole.size);
        CHECK_INT (body.failed, !fits);
        CHECK_INT (body.size, fits ? max : 0);
        CHECK (!fits || memcmp (body.data, whole.data, max) == 0);
        buffer_fini (&body);
    }
    buffer_fini (&whole);
}

TEST (a_body_cut_short_anywhere_is_refused)
{
    const sample full = sample_full ();
    buffer_t whole;
    buffer_init (&whole, 1 << 16);
    CHECK (codec_encode (CODEC_MSGPACK, WEFT_IN (sample, &full), &whole, &error));
    for (size_t size = 0; size <= whole.size; size++) {
        uint8_t *exact = malloc (size + 1); /* so that a sanitizer sees a byte too many */
        memcpy (exact + 1, whole.data, size);
        sample got = {0};
        CHECK_INT (codec_decode (CODEC_MSGPACK, exact + 1, size, WEFT_OUT (sample, &got), &arena, &error),
                   size == whole.size);
        free (exact);
    }
    buffer_fini (&whole);
}

TEST (names_are_found_in_any_order)
{
    const struct {
        const char *body;
        size_t size;
    } orders [] = {{"\x82\xa1" "a\x07\xa1" "b\x06", 7},
                   {"\x82\xa1" "b\x06\xa1" "a\x07", 7},
                   {"\x83\xa1" "a\x07\xa1" "c\xc0\xa1" "b\x06", 10},
                   {"\x83\xa1" "b\x06\xa1" "z\x01\xa1" "a\x07", 10}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        arith_args got = {0};
        CHECK (codec_decode (CODEC_MSGPACK, orders [i].body, orders [i].size, WEFT_OUT (arith_args, &got),
                             &arena, &error));
        CHECK_INT (got.a, 7);
        CHECK_INT (got.b, 6);
    }
}

TEST (a_tree_goes_as_deep_as_a_body_may_nest)
{
    node tree [9];
    buffer_t body;
    memset (tree, 0, sizeof tree);
    for (size_t i = 0; i < 9; i++) {
        tree [i].value = (int64_t) i;
        tree [i].key = (weft_bytes){"k", 1};
        tree [i].children = i < 8 ? &tree [i + 1] : NULL;
        tree [i].child_count = i < 8;
    }
    buffer_init (&body, 1 << 20);
    for (codec_t codec = CODEC_MSGPACK; codec <= CODEC_JSON; codec++) {
        node out = {0};
        buffer_clear (&body);
        CHECK (!codec_encode (codec, WEFT_IN (node, &tree [0]), &body, &error));
        CHECK_STR (error.text,
                   "field children[0].children[0].children[0].children[0].children[0].children[0]."
                   "children[0].children[0]: nested deeper than 16");
        CHECK (codec_encode (codec, WEFT_IN (node, &tree [1]), &body, &error)); /* 8 nodes, 16 arrays */
        CHECK (codec != CODEC_MSGPACK || mp_valid (body.data, body.size));
        CHECK (codec_decode (codec, body.data, body.size, WEFT_OUT (node, &out), &arena, &error));
        const node *leaf = &out;
        while (leaf->child_count)
            leaf = leaf->children;
        CHECK_INT (leaf->value, 8);
        CHECK_MEM (leaf->key.data, leaf->key.size, "k", 1);
    }
    buffer_fini (&body);
}

TEST (a_loop_of_arrays_is_refused)
{
    node loop = {.value = 1, .child_count = 1};
    loop.children = &loop;
    check_not_encoded (WEFT_IN (node, &loop),
                       "field children[0].children[0].children[0].children[0].children[0].children[0]."
                       "children[0].children[0]: nested deeper than 16");
}

TEST (t17_nesting_is_counted_through_any)
{
    char deep [18];
    weft_any any = {0};
    memset (deep, '\x91', 17);
    deep [17] = '\xc0';
    CHECK (!decode (deep, 18, WEFT_OUT (weft_any, &any)));
    CHECK_STR (error.text, "nested deeper than 16");
    CHECK (decode (deep + 1, 17, WEFT_OUT (weft_any, &any)));

    sample full = sample_full ();
    full.any = (weft_any){deep + 1, 17};
    check_not_encoded (WEFT_IN (sample, &full), "field any: nested deeper than 16");
}

TEST (t15_a_count_that_lies_allocates_nothing)
{
    const size_t before = arena.total;
    REFUSED (sample, "\xdd\xff\xff\xff\xff", "malformed");
    REFUSED (node, "\x93\x01\xc4\0\xdd\x7f\xff\xff\xff", "field children: malformed");
    REFUSED (node, "\xdf\x7f\xff\xff\xff", "malformed");
    REFUSED (weft_any, "\xdd\x7f\xff\xff\xff", "malformed");
    CHECK_INT (arena.total, before);
}

typedef struct {
    int64_t *numbers;
    size_t count;
} list;
WEFT_SCHEMA (list, WEFT_ARRAY (numbers, weft_int64, count))

TEST (t16_elements_are_bounded)
{
    list value = {.numbers = calloc (70000, 8), .count = 65535};
    buffer_t body;
    buffer_init (&body, 1 << 20);
    CHECK (
        codec_encode (CODEC_MSGPACK, WEFT_IN (list, &value), &body, &error)); /* 65,535 and the list itself */
    CHECK (mp_valid (body.data, body.size));
    list out = {0};
    CHECK (codec_decode (CODEC_MSGPACK, body.data, body.size, WEFT_OUT (list, &out), &arena, &error));
    CHECK_INT (out.count, 65535);
    value.count++;
    check_not_encoded (WEFT_IN (list, &value), "field numbers: more than 65536 elements in all");
    free (value.numbers);

    buffer_clear (&body);
    mp_write_array (&body, 1);
    mp_write_array (&body, 65536);
    memset (buffer_extend (&body, 65536), 0, 65536);
    memset (&out, 0, sizeof out);
    CHECK (!mp_valid (body.data, body.size));
    CHECK (!codec_decode (CODEC_MSGPACK, body.data, body.size, WEFT_OUT (list, &out), &arena, &error));
    CHECK_STR (error.text, "field numbers: more than 65536 elements in all");
    buffer_fini (&body);
}

TEST (decoded_size_is_bounded_by_the_arena)
{
    arena_t small;
    buffer_t body;
    list out = {0};
    arena_init (&small, 1000);
    buffer_init (&body, 1 << 20);
    mp_write_array (&body, 1);
    mp_write_array (&body, 200);
    memset (buffer_extend (&body, 200), 0, 200);
    CHECK (!codec_decode (CODEC_MSGPACK, body.data, body.size, WEFT_OUT (list, &out), &small, &error));
    CHECK_STR (error.text, "field numbers: larger than 1000 bytes when decoded");
    CHECK (out.numbers == NULL && out.count == 0);
    buffer_fini (&body);
    arena_fini (&small);
}

TEST (raw_carries_bytes_as_they_are)
{
    weft_bytes out = {0};
    buffer_t body;
    buffer_init (&body, 100);
    CHECK (codec_encode (CODEC_RAW, WEFT_IN (weft_bytes, &((weft_bytes){"\0z", 2})), &body, &error));
    CHECK_MEM (body.data, body.size, "\0z", 2);
    CHECK (codec_decode (CODEC_RAW, body.data, body.size, WEFT_OUT (weft_bytes, &out), &arena, &error));
    CHECK (out.data == body.data && out.size == 2);
    CHECK (codec_decode (CODEC_RAW, NULL, 0, WEFT_NOTHING, &arena, &error));
    CHECK (!codec_decode (CODEC_RAW, "x", 1, WEFT_NOTHING, &arena, &error));
    CHECK (!codec_encode (CODEC_RAW, WEFT_IN (arith_args, &(arith_args){1, 2}), &body, &error));
    CHECK_STR (error.text, "codec raw carries bytes, not arith_args");
    CHECK_INT (body.size, 2);
    buffer_fini (&body);
}

TEST (json_bodies_ignore_what_they_do_not_know)
{
    arith_args args = {0};
    static const char body [] = "{\"c\": [1, {}], \"b\": 2, \"a\": 1}";
    CHECK (codec_decode (CODEC_JSON, body, sizeof body - 1, WEFT_OUT (arith_args, &args), &arena, &error));
    CHECK_INT (args.a, 1);
    CHECK_INT (args.b, 2);
    CHECK (codec_decode (CODEC_JSON, "[3, 4, 5]", 9, WEFT_OUT (arith_args, &args), &arena, &error));
    CHECK_INT (args.b, 4);
    CHECK (!codec_decode (CODEC_JSON, "{\"a\":1}", 7, WEFT_OUT (arith_args, &args), &arena, &error));
    CHECK_STR (error.text, "field b: missing");
    CHECK (codec_decode (CODEC_JSON, "null", 4, WEFT_NOTHING, &arena, &error));
    CHECK (codec_decode (CODEC_JSON, "", 0, WEFT_NOTHING, &arena, &error));
}

/*  Seeds: bodies that are nearly right. */

static uint8_t *mutated (dice_t *dice, const buffer_t *body, size_t *size)
{
    uint8_t *bytes = malloc (body->size + 1);
    *size = body->size;
    memcpy (bytes, body->data, body->size);
    for (uint64_t changes = dice_below (dice, 4); changes > 0; changes--)
        bytes [dice_below (dice, body->size)] = (uint8_t) dice_next (dice);
    if (dice_below (dice, 4) == 0)
        *size = dice_below (dice, body->size);
    return realloc (bytes, *size ? *size : 1); /* so that a sanitizer sees a step too far */
}

static uint8_t *random_bytes (dice_t *dice, size_t *size)
{
    static const uint8_t heads [] = {0x90, 0x91, 0x92, 0x93, 0x9e, 0x80, 0x81, 0x82, 0xc0, 0xc2, 0xc4, 0xca,
                                     0xcb, 0xcc, 0xcf, 0xd3, 0xd9, 0xdc, 0xdd, 0xde, 0xa0, 0xa1, 0xa2, 0xc7};
    *size = 1 + dice_below (dice, 60);
    uint8_t *bytes = malloc (*size);
    for (size_t i = 0; i < *size; i++)
        bytes [i] =
            dice_below (dice, 2) ? heads [dice_below (dice, sizeof heads)] : (uint8_t) dice_below (dice, 8);
    return bytes;
}

/*  Whatever decodes is encoded again into what decodes to the same, which shows in the same bytes. */
static bool check_round (codec_t codec, const uint8_t *bytes, size_t size, weft_value_t value)
{
    const size_t value_size = value.schema->size;
    arena_reset (&arena);
    memset (value.data, 0, value_size);
    if (!codec_decode (codec, bytes, size, value, &arena, &error)) {
        CHECK (error.text [0] && strlen (error.text) < sizeof error.text);
        for (size_t i = 0; i < value_size; i++)
            CHECK_INT (((const char *) value.data) [i], 0);
        return false;
    }
    buffer_t first, second;
    buffer_init (&first, 1 << 24);
    buffer_init (&second, 1 << 24);
    CHECK (codec_encode (CODEC_MSGPACK, value, &first, &error));
    memset (value.data, 0, value_size);
    CHECK (codec_decode (CODEC_MSGPACK, first.data, first.size, value, &arena, &error));
    CHECK (codec_encode (CODEC_MSGPACK, value, &second, &error));
    CHECK_MEM (second.data, second.size, first.data, first.size);
    buffer_fini (&first);
    buffer_fini (&second);
    return true;
}

TEST (seeded_bodies_never_crash_and_come_back)
{
    dice_t dice;
    unsigned decoded = 0;
    buffer_t good [4];
    const sample full = sample_full ();
    node leaf [2] = {{.value = 1}, {.value = 300, .key = {"xyz", 3}}};
    const node tree = {.value = -5, .key = {"abc", 3}, .children = leaf, .child_count = 2};
    dice_init (&dice, 2);
    for (int i = 0; i < 4; i++)
        buffer_init (&good [i], 1 << 20);
    CHECK (codec_encode (CODEC_MSGPACK, WEFT_IN (sample, &full), &good [0], &error));
    CHECK (codec_encode (CODEC_MSGPACK, WEFT_IN (node, &tree), &good [1], &error));
    CHECK (codec_encode (CODEC_JSON, WEFT_IN (sample, &full), &good [2], &error));
    CHECK (codec_encode (CODEC_JSON, WEFT_IN (node, &tree), &good [3], &error));

    for (int round = 0; round < 10000; round++) {
        sample a;
        node b;
        weft_any c;
        arith_args d;
        size_t size;
        const size_t which = dice_below (&dice, 5);
        uint8_t *bytes = which < 4 ? mutated (&dice, &good [which], &size) : random_bytes (&dice, &size);
        const codec_t codec = which == 2 || which == 3 ? CODEC_JSON : CODEC_MSGPACK;
        decoded += check_round (codec, bytes, size, WEFT_OUT (sample, &a));
        decoded += check_round (codec, bytes, size, WEFT_OUT (node, &b));
        decoded += check_round (codec, bytes, size, WEFT_OUT (weft_any, &c));
        decoded += check_round (codec, bytes, size, WEFT_OUT (arith_args, &d));
        free (bytes);
    }
    CHECK (decoded > 3000);
    for (int i = 0; i < 4; i++)
        buffer_fini (&good [i]);
}

TEST (seeded_values_come_back_in_both_codecs)
{
    dice_t dice;
    dice_init (&dice, 3);
    for (int round = 0; round < 10000; round++) {
        sample in = sample_full (), out = {0};
        buffer_t body, again;
        const uint64_t bits = dice_next (&dice);
        in.flag = bits & 1;
        in.has_colour = bits & 2;
        in.has_origin = bits & 4;
        in.has_weight = bits & 8;
        in.small = (int32_t) dice_next (&dice);
        in.large = (int64_t) (dice_next (&dice) >> dice_below (&dice, 64));
        in.natural = dice_next (&dice) >> dice_below (&dice, 64);
        const uint64_t real = dice_next (&dice);
        memcpy (&in.real, &real, 8);
        if (!isfinite (in.real))
            in.real = (double) in.large / 100;
        in.name_count = dice_below (&dice, 4);
        in.bytes.size = dice_below (&dice, 5);
        const codec_t codec = bits & 16 ? CODEC_JSON : CODEC_MSGPACK;

        buffer_init (&body, 1 << 20);
        buffer_init (&again, 1 << 20);
        arena_reset (&arena);
        CHECK (codec_encode (codec, WEFT_IN (sample, &in), &body, &error));
        CHECK (codec_decode (codec, body.data, body.size, WEFT_OUT (sample, &out), &arena, &error));
        CHECK (memcmp (&in.real, &out.real, 8) == 0);
        CHECK_INT (out.large, in.large);
        CHECK (codec_encode (codec, WEFT_IN (sample, &out), &again, &error));
        CHECK_MEM (again.data, again.size, body.data, body.size);
        buffer_fini (&body);
        buffer_fini (&again);
    }
}
