/* SPDX-License-Identifier: MPL-2.0
 *
 *  mp_test.c - the cursor against hand-made bytes. What it reads and writes is judged by others in msgpack_test.c. */

#include "mp.h"
#include "check.h"
#include "exact.h"
#include <stdlib.h>
#include <weft/limits.h>

#define READER(bytes) reader_of (bytes, sizeof bytes - 1)

static void check_integer (const char *bytes, size_t size, mp_type_t type, int64_t expected)
{
    mp_reader_t reader = reader_of (bytes, size);
    int64_t number;
    uint64_t natural;
    double real;
    CHECK_INT (mp_peek (&reader), type);
    CHECK (mp_read_int (&reader, &number));
    CHECK_INT (number, expected);
    CHECK_INT (mp_left (&reader), 0);
    CHECK_INT (mp_peek (&reader), MP_NONE);

    reader = reader_of (bytes, size);
    CHECK_INT (mp_read_uint (&reader, &natural), expected >= 0);
    CHECK (expected < 0 || natural == (uint64_t) expected);

    reader = reader_of (bytes, size);
    CHECK (mp_read_double (&reader, &real));
    CHECK (real == (double) expected);

    for (size_t cut = 0; cut < size; cut++) {
        reader = reader_of (bytes, cut);
        CHECK (!mp_read_int (&reader, &number));
        CHECK (reader.failed && mp_left (&reader) == 0);
        reader = reader_of (bytes, cut);
        CHECK (!mp_read_double (&reader, &real));
        reader = reader_of (bytes, cut);
        CHECK (!mp_skip (&reader));
    }
}
#define IS_INT(bytes, number) check_integer (bytes, sizeof bytes - 1, MP_INT, number)

TEST (integers_of_every_width)
{
    IS_INT ("\x00", 0);
    IS_INT ("\x7f", 127);
    IS_INT ("\xff", -1);
    IS_INT ("\xe0", -32);
    IS_INT ("\xcc\x00", 0);
    IS_INT ("\xcc\xff", 255);
    IS_INT ("\xcd\x01\x02", 258);
    IS_INT ("\xcd\xff\xff", 65535);
    IS_INT ("\xce\x01\x02\x03\x04", 0x01020304);
    IS_INT ("\xce\xff\xff\xff\xff", UINT32_MAX);
    IS_INT ("\xcf\x01\x02\x03\x04\x05\x06\x07\x08", 0x0102030405060708);
    IS_INT ("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", INT64_MAX);
    IS_INT ("\xd0\x7f", 127);
    IS_INT ("\xd0\x80", -128);
    IS_INT ("\xd1\x01\x02", 258);
    IS_INT ("\xd1\x80\x00", INT16_MIN);
    IS_INT ("\xd2\x01\x02\x03\x04", 0x01020304);
    IS_INT ("\xd2\x80\x00\x00\x00", INT32_MIN);
    IS_INT ("\xd3\x01\x02\x03\x04\x05\x06\x07\x08", 0x0102030405060708);
    IS_INT ("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", INT64_MIN);
    IS_INT ("\xd3\xff\xff\xff\xff\xff\xff\xff\xff", -1);
}

TEST (a_number_too_large_for_an_int_is_refused)
{
    mp_reader_t reader = READER ("\xcf\x80\0\0\0\0\0\0\0");
    int64_t number;
    uint64_t natural;
    CHECK (!mp_read_int (&reader, &number) && reader.failed);
    reader = READER ("\xcf\x80\0\0\0\0\0\0\0");
    CHECK (mp_read_uint (&reader, &natural) && natural == UINT64_C (1) << 63);
    reader = READER ("\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    double real;
    CHECK (mp_read_double (&reader, &real) && real == 18446744073709551616.0);
}

TEST (doubles_of_both_widths)
{
    double real;
    mp_reader_t reader = READER ("\xca\xbf\xc0\x00\x00");
    CHECK_INT (mp_peek (&reader), MP_FLOAT);
    CHECK (mp_read_double (&reader, &real) && real == -1.5);
    reader = READER ("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a");
    CHECK (mp_read_double (&reader, &real) && real == 0.1);
    reader = READER ("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a");
    CHECK (!mp_read_int (&reader, &(int64_t){0}));
}

/*  Which reads take a value with this first byte. */
static unsigned accepted_by (const uint8_t *bytes, size_t size)
{
    unsigned mask = 0;
    uint64_t natural;
    int64_t number;
    double real;
    bool flag;
    const char *text;
    const uint8_t *data;
    size_t length;
    uint32_t count;
    for (unsigned i = 0; i < 9; i++) {
        mp_reader_t reader = reader_of (bytes, size);
        const bool taken = i == 0   ? mp_read_nil (&reader)
                           : i == 1 ? mp_read_bool (&reader, &flag)
                           : i == 2 ? mp_read_uint (&reader, &natural)
                           : i == 3 ? mp_read_int (&reader, &number)
                           : i == 4 ? mp_read_double (&reader, &real)
                           : i == 5 ? mp_read_str (&reader, &text, &length)
                           : i == 6 ? mp_read_bin (&reader, &data, &length)
                           : i == 7 ? mp_read_array (&reader, &count)
                                    : mp_read_map (&reader, &count);
        CHECK_INT (taken, !reader.failed);
        mask |= (unsigned) taken << i;
    }
    return mask;
}

TEST (each_first_byte_has_one_type)
{
    uint8_t bytes [600] = {0};
    for (unsigned code = 0; code <= 0xff; code++) {
        static const unsigned expected [] = {
            [MP_NONE] = 0, [MP_NIL] = 1,  [MP_BOOL] = 2,    [MP_INT] = 4 + 8 + 16, [MP_FLOAT] = 16,
            [MP_STR] = 32, [MP_BIN] = 64, [MP_ARRAY] = 128, [MP_MAP] = 256,        [MP_EXT] = 0};
        bytes [0] = (uint8_t) code;
        mp_reader_t reader = reader_of (bytes, sizeof bytes);
        const mp_type_t type = mp_peek (&reader);
        unsigned mask = expected [type];
        if (code >= 0xe0)
            mask &= ~4u; /* negative */
        CHECK_INT (mp_skip (&reader), code != 0xc1);
        CHECK_INT (accepted_by (bytes, sizeof bytes), mask);
        CHECK_INT (type == MP_NONE, code == 0xc1);
        CHECK (strlen (mp_type_name (type)) > 2);
    }
}

TEST (after_a_failure_nothing_is_read)
{
    mp_reader_t reader = READER ("\xa1x\x01\xc0\xc3\x90\x80\xc4\0");
    CHECK (!mp_read_nil (&reader));
    CHECK (reader.failed);
    CHECK_INT (mp_left (&reader), 0);
    CHECK_INT (mp_peek (&reader), MP_NONE);
    CHECK (!mp_read_nil (&reader));
    CHECK (!mp_read_bool (&reader, &(bool){0}));
    CHECK (!mp_read_uint (&reader, &(uint64_t){0}));
    CHECK (!mp_read_int (&reader, &(int64_t){0}));
    CHECK (!mp_read_double (&reader, &(double){0}));
    CHECK (!mp_read_str (&reader, &(const char *){0}, &(size_t){0}));
    CHECK (!mp_read_bin (&reader, &(const uint8_t *){0}, &(size_t){0}));
    CHECK (!mp_read_array (&reader, &(uint32_t){0}));
    CHECK (!mp_read_map (&reader, &(uint32_t){0}));
    CHECK (!mp_skip (&reader));
}

TEST (an_empty_reader_has_nothing)
{
    mp_reader_t reader = mp_reader (NULL, 0);
    CHECK_INT (mp_peek (&reader), MP_NONE);
    CHECK (!mp_skip (&reader));
    CHECK (!mp_valid (NULL, 0));
}

/*  A head of str, bin, array or map of every width, with `size` as its size, in front of `left` bytes. */
static void check_sized (const char *head, size_t head_size, mp_type_t type, uint64_t size, size_t left,
                         bool fits)
{
    uint8_t *bytes = calloc (1, head_size + left);
    const char *text = NULL;
    const uint8_t *data = NULL;
    size_t length = 0;
    uint32_t count = 0;
    memcpy (bytes, head, head_size);
    mp_reader_t reader = reader_of (bytes, head_size + left);
    const uint8_t *const start = reader.at;
    free (bytes);

    CHECK_INT (mp_peek (&reader), type);
    const bool taken = type == MP_STR     ? mp_read_str (&reader, &text, &length)
                       : type == MP_BIN   ? mp_read_bin (&reader, &data, &length)
                       : type == MP_ARRAY ? mp_read_array (&reader, &count)
                                          : mp_read_map (&reader, &count);
    CHECK_INT (taken, fits);
    if (!fits)
        return;
    CHECK_INT (type == MP_ARRAY || type == MP_MAP ? count : length, size);
    if (text || data)
        CHECK ((const uint8_t *) (text ? (const void *) text : data) == start + head_size);
    CHECK_INT (mp_left (&reader), type == MP_ARRAY || type == MP_MAP ? left : left - length);
}

TEST (t15_sizes_and_counts_are_believed_only_as_far_as_the_bytes_go)
{
    static const struct {
        unsigned code;
        size_t width;
        mp_type_t type;
    } heads [] = {{0xa0, 0, MP_STR},   {0xd9, 1, MP_STR},   {0xda, 2, MP_STR}, {0xdb, 4, MP_STR},
                  {0xc4, 1, MP_BIN},   {0xc5, 2, MP_BIN},   {0xc6, 4, MP_BIN}, {0x90, 0, MP_ARRAY},
                  {0xdc, 2, MP_ARRAY}, {0xdd, 4, MP_ARRAY}, {0x80, 0, MP_MAP}, {0xde, 2, MP_MAP},
                  {0xdf, 4, MP_MAP}};
    static const uint64_t sizes [] = {0, 1, 2, 15, 31, 32, 255, 256, 65535, 65536, INT32_MAX, UINT32_MAX};
    for (size_t h = 0; h < sizeof heads / sizeof heads [0]; h++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes [0]; s++) {
            const uint64_t size = sizes [s], each = heads [h].type == MP_MAP ? 2 : 1;
            const uint64_t most = heads [h].width == 0 ? (heads [h].code == 0xa0 ? 31 : 15)
                                                       : UINT64_MAX >> (64 - 8 * heads [h].width);
            char head [5] = {(char) heads [h].code};
            if (size > most)
                continue;
            if (heads [h].width == 0)
                head [0] = (char) (heads [h].code | size);
            for (size_t i = 0; i < heads [h].width; i++)
                head [1 + i] = (char) (size >> 8 * (heads [h].width - 1 - i));
            const size_t head_size = 1 + heads [h].width;
            if (size < 100000) {
                check_sized (head, head_size, heads [h].type, size, size * each, true);
                check_sized (head, head_size, heads [h].type, size, size * each + 3, true);
            }
            if (size > 0)
                check_sized (head, head_size, heads [h].type, size, size < 100000 ? size * each - 1 : 50,
                             false);
            for (size_t cut = 1; cut < head_size; cut++)
                check_sized (head, cut, heads [h].type, size, 0, false);
        }
}

TEST (t17_sixteen_deep_and_no_deeper)
{
    char bytes [40];
    for (size_t depth = 1; depth <= 30; depth++)
        for (int map = 0; map < 2; map++) {
            size_t size = 0;
            for (size_t i = 0; i < depth; i++) {
                if (map)
                    bytes [size++] = '\x81';
                bytes [size++] = map ? '\x01' : '\x91';
                if (size > 34)
                    break;
            }
            bytes [size++] = '\xc0';
            if (size <= 34)
                CHECK_INT (mp_valid (bytes, size), depth <= WEFT_NESTING_MAX);
        }
}

TEST (t17_nesting_in_keys_and_in_later_elements_counts_too)
{
    char bytes [80];
    size_t size = 0;
    bytes [size++] = '\x81'; /* a map whose key is 15 deep, then 16 */
    memset (bytes + size, '\x91', 15);
    bytes [size + 15] = bytes [size + 16] = '\xc0';
    CHECK (mp_valid (bytes, size + 17));
    memset (bytes + size, '\x91', 16);
    bytes [size + 16] = bytes [size + 17] = '\xc0';
    CHECK (!mp_valid (bytes, size + 18));

    bytes [0] = '\x92'; /* depth is of each branch, not their sum */
    memset (bytes + 1, '\x91', 15);
    bytes [16] = '\xc0';
    memset (bytes + 17, '\x91', 15);
    bytes [32] = '\xc0';
    CHECK (mp_valid (bytes, 33));
}

static bool valid_with_elements (uint32_t first, uint32_t second)
{
    buffer_t buffer;
    buffer_init (&buffer, 1 << 20);
    mp_write_array (&buffer, first);
    for (uint32_t i = 1; i < first; i++)
        mp_write_nil (&buffer);
    mp_write_map (&buffer, second);
    for (uint32_t i = 0; i < 2 * second; i++)
        mp_write_nil (&buffer);
    const bool valid = mp_valid (buffer.data, buffer.size);
    buffer_fini (&buffer);
    return valid;
}

TEST (t16_elements_are_counted_over_all_lists)
{
    CHECK (valid_with_elements (65536, 0));
    CHECK (!valid_with_elements (65537, 0));
    CHECK (valid_with_elements (2, 32767));
    CHECK (!valid_with_elements (1, 32768));
    CHECK (valid_with_elements (65534, 1));
    CHECK (!valid_with_elements (65535, 1));
}

TEST (t18_bytes_after_the_value_are_seen)
{
    CHECK (mp_valid ("\x91\x01", 2));
    CHECK (!mp_valid ("\x91\x01\x01", 3));
    CHECK (!mp_valid ("\x91", 1));
    mp_reader_t reader = READER ("\x91\x01\x02");
    CHECK (mp_skip (&reader));
    CHECK_INT (mp_left (&reader), 1);
}

TEST (exts_are_skipped_whole)
{
    static const struct {
        const char *head;
        size_t head_size, body_size;
    } exts [] = {
        {"\xd4\x05", 2, 1},       {"\xd5\x05", 2, 2},           {"\xd6\x05", 2, 4},
        {"\xd7\x05", 2, 8},       {"\xd8\x05", 2, 16},          {"\xc7\x00\x05", 3, 0},
        {"\xc7\xff\x05", 3, 255}, {"\xc8\x01\x00\x05", 4, 256}, {"\xc9\x00\x01\x00\x00\x05", 6, 65536}};
    for (size_t i = 0; i < sizeof exts / sizeof exts [0]; i++) {
        const size_t size = exts [i].head_size + exts [i].body_size;
        uint8_t *bytes = calloc (1, size + 1);
        memcpy (bytes, exts [i].head, exts [i].head_size);
        mp_reader_t reader = reader_of (bytes, size + 1);
        CHECK_INT (mp_peek (&reader), MP_EXT);
        CHECK (mp_skip (&reader));
        CHECK_INT (mp_left (&reader), 1);
        for (size_t cut = 0; cut < size; cut += cut < 10 || cut + 10 > size ? 1 : 97) {
            reader = reader_of (bytes, cut);
            CHECK (!mp_skip (&reader));
        }
        free (bytes);
    }
    CHECK (!mp_valid ("\xc9\xff\xff\xff\xff\x05", 6));
}

TEST (text_is_compared_whole)
{
    CHECK (mp_str_is ("abc", 3, "abc"));
    CHECK (!mp_str_is ("abc", 3, "ab"));
    CHECK (!mp_str_is ("abc", 2, "abc"));
    CHECK (!mp_str_is ("a\0c", 3, "a"));
    CHECK (mp_str_is ("", 0, ""));
    CHECK (mp_str_is (NULL, 0, ""));
}

TEST (fixed_widths_stay_fixed_and_can_be_patched)
{
    buffer_t buffer;
    uint64_t number;
    buffer_init (&buffer, 100);
    buffer_append (&buffer, "\xce\0\0\0\x01", 5);
    mp_write_uint64_fixed (&buffer, 1);
    CHECK_MEM (buffer.data, buffer.size, "\xce\0\0\0\x01\xcf\0\0\0\0\0\0\0\x01", 14);
    mp_put32 (buffer.data + 1, 0x01020304);
    mp_put64 (buffer.data + 6, 0x0102030405060708);
    mp_reader_t reader = mp_reader (buffer.data, buffer.size);
    CHECK (mp_read_uint (&reader, &number) && number == 0x01020304);
    CHECK (mp_read_uint (&reader, &number) && number == 0x0102030405060708);
    buffer_fini (&buffer);
}

TEST (a_full_buffer_takes_no_half_value)
{
    for (size_t max = 0; max < 14; max++) {
        buffer_t buffer;
        buffer_init (&buffer, max);
        mp_write_uint64_fixed (&buffer, 7);
        CHECK_INT (buffer.size, max >= 9 ? 9 : 0);
        CHECK_INT (buffer.failed, max < 9);
        mp_write_nil (&buffer);
        CHECK_INT (buffer.size, max >= 10 ? 10 : max == 9 ? 9 : 0);
        buffer_truncate (&buffer, 0);
        CHECK (!buffer.failed);
        buffer_fini (&buffer);
    }
}
