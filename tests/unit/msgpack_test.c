/* SPDX-License-Identifier: MPL-2.0
 *
 *  msgpack_test.c - what mp.h writes and takes, against msgpack-c as a second opinion. Built where that is found. */

#include "check.h"
#include "dice.h"
#include "exact.h"
#include <msgpack.h>

/*  What is written, compared to what msgpack-c writes. */

typedef struct {
    buffer_t ours;
    msgpack_sbuffer theirs;
    msgpack_packer packer;
} pair_t;

static void pair_init (pair_t *pair)
{
    buffer_init (&pair->ours, 1 << 20);
    msgpack_sbuffer_init (&pair->theirs);
    msgpack_packer_init (&pair->packer, &pair->theirs, msgpack_sbuffer_write);
}

static void pair_check (pair_t *pair)
{
    CHECK_MEM (pair->ours.data, pair->ours.size, pair->theirs.data, pair->theirs.size);
    buffer_clear (&pair->ours);
    msgpack_sbuffer_clear (&pair->theirs);
}

static void pair_fini (pair_t *pair)
{
    buffer_fini (&pair->ours);
    msgpack_sbuffer_destroy (&pair->theirs);
}

static void check_number (pair_t *pair, uint64_t bits)
{
    mp_write_uint (&pair->ours, bits);
    msgpack_pack_uint64 (&pair->packer, bits);
    mp_write_int (&pair->ours, (int64_t) bits);
    msgpack_pack_int64 (&pair->packer, (int64_t) bits);

    uint64_t natural;
    int64_t number;
    mp_reader_t reader = reader_of (pair->ours.data, pair->ours.size);
    CHECK (mp_read_uint (&reader, &natural) && natural == bits);
    CHECK (mp_read_int (&reader, &number) && number == (int64_t) bits);
    CHECK_INT (mp_left (&reader), 0);
    pair_check (pair);
}

TEST (numbers_are_written_as_short_as_can_be)
{
    pair_t pair;
    dice_t dice;
    pair_init (&pair);
    dice_init (&dice, 7);
    for (unsigned shift = 0; shift < 64; shift++)
        for (uint64_t around = 0; around < 5; around++) {
            check_number (&pair, (UINT64_C (1) << shift) + around - 2);
            check_number (&pair, -((UINT64_C (1) << shift) + around - 2));
            check_number (&pair, (UINT64_C (1) << shift) - 33 + around);
        }
    for (int i = 0; i < 10000; i++) {
        const uint64_t bits = dice_next (&dice) >> dice_below (&dice, 64);
        check_number (&pair, bits);
        check_number (&pair, -bits);
    }
    pair_fini (&pair);
}

TEST (sizes_are_written_as_short_as_can_be)
{
    static const size_t sizes [] = {0, 1, 15, 16, 31, 32, 33, 255, 256, 65535, 65536, 70000};
    static char zeros [70000];
    pair_t pair;
    pair_init (&pair);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes [0]; i++) {
        mp_write_str (&pair.ours, zeros, sizes [i]);
        msgpack_pack_str_with_body (&pair.packer, zeros, sizes [i]);
        pair_check (&pair);
        mp_write_bin (&pair.ours, zeros, sizes [i]);
        msgpack_pack_bin_with_body (&pair.packer, zeros, sizes [i]);
        pair_check (&pair);
        mp_write_array (&pair.ours, (uint32_t) sizes [i]);
        msgpack_pack_array (&pair.packer, sizes [i]);
        pair_check (&pair);
        mp_write_map (&pair.ours, (uint32_t) sizes [i]);
        msgpack_pack_map (&pair.packer, sizes [i]);
        pair_check (&pair);
    }
    mp_write_array (&pair.ours, UINT32_MAX);
    msgpack_pack_array (&pair.packer, UINT32_MAX);
    mp_write_map (&pair.ours, UINT32_MAX);
    msgpack_pack_map (&pair.packer, UINT32_MAX);
    mp_write_nil (&pair.ours);
    msgpack_pack_nil (&pair.packer);
    mp_write_bool (&pair.ours, true);
    msgpack_pack_true (&pair.packer);
    mp_write_bool (&pair.ours, false);
    msgpack_pack_false (&pair.packer);
    mp_write_double (&pair.ours, -0.1);
    msgpack_pack_double (&pair.packer, -0.1);
    mp_write_text (&pair.ours, "hello");
    msgpack_pack_str_with_body (&pair.packer, "hello", 5);
    mp_write_text (&pair.ours, NULL);
    msgpack_pack_str (&pair.packer, 0);
    pair_check (&pair);
    pair_fini (&pair);
}

/*  The second opinion: msgpack-c takes what mp_valid takes, to the last byte; and what mp_valid refuses is
 *  refused there too or breaks a cap of ours. */
static void check_opinion (const uint8_t *bytes, size_t size, unsigned *valid)
{
    msgpack_zone zone;
    msgpack_object object;
    size_t offset = 0;
    const bool ours = mp_valid (bytes, size);
    mp_reader_t reader = reader_of (bytes, size);
    const bool prefix = mp_skip (&reader);
    CHECK (!ours || prefix);
    *valid += ours;
    if (!prefix) /* may reserve by count: not for msgpack-c */
        return;
    msgpack_zone_init (&zone, 8192);
    const int result = msgpack_unpack ((const char *) bytes, size, &offset, &zone, &object);
    CHECK (result == (ours ? MSGPACK_UNPACK_SUCCESS : MSGPACK_UNPACK_EXTRA_BYTES));
    CHECK_INT (offset, size - mp_left (&reader));
    msgpack_zone_destroy (&zone);
}

TEST (random_bytes_are_judged_as_msgpack_c_judges_them)
{
    static const uint8_t heads [] = {0x90, 0x91, 0x92, 0x93, 0x80, 0x81, 0x82, 0xc0, 0xc1, 0xc2,
                                     0xc4, 0xc5, 0xc7, 0xca, 0xcb, 0xcc, 0xcf, 0xd0, 0xd3, 0xd4,
                                     0xd6, 0xd9, 0xda, 0xdc, 0xdd, 0xde, 0xa0, 0xa3};
    dice_t dice;
    unsigned valid = 0;
    dice_init (&dice, 8);
    for (int round = 0; round < 40000; round++) {
        uint8_t bytes [40];
        const size_t size = 1 + dice_below (&dice, round % 4 ? 12 : sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes [i] = dice_below (&dice, 2) ? heads [dice_below (&dice, sizeof heads)]
                                              : (uint8_t) dice_below (&dice, round % 3 ? 4 : 256);
        check_opinion (bytes, size, &valid);
    }
    CHECK (valid > 2000);
}

/*  A random value of at most `depth` more levels. */
static void write_random (buffer_t *out, dice_t *dice, unsigned depth)
{
    char text [300];
    memset (text, 'x', sizeof text);
    switch (dice_below (dice, depth ? 8 : 6)) {
        case 0:
            mp_write_nil (out);
            return;
        case 1:
            mp_write_bool (out, dice_below (dice, 2));
            return;
        case 2:
            mp_write_int (out, (int64_t) (dice_next (dice) >> dice_below (dice, 64)));
            return;
        case 3:
            mp_write_double (out, dice_unit (dice));
            return;
        case 4:
            mp_write_str (out, text, dice_below (dice, 4) ? dice_below (dice, 5) : dice_below (dice, 300));
            return;
        case 5:
            mp_write_bin (out, text, dice_below (dice, 4) ? dice_below (dice, 5) : dice_below (dice, 300));
            return;
        default: {
            const bool map = dice_below (dice, 2);
            const uint32_t count = (uint32_t) dice_below (dice, dice_below (dice, 8) ? 4 : 20);
            map ? mp_write_map (out, count) : mp_write_array (out, count);
            for (uint32_t i = 0; i < (map ? 2 * count : count); i++)
                write_random (out, dice, depth - 1);
        }
    }
}

TEST (random_values_are_valid_until_a_byte_is_missing)
{
    dice_t dice;
    unsigned valid = 0;
    dice_init (&dice, 9);
    for (int round = 0; round < 3000; round++) {
        buffer_t buffer;
        buffer_init (&buffer, 1 << 20);
        write_random (&buffer, &dice, 4);
        if (mp_valid (buffer.data, buffer.size)) {
            check_opinion (buffer.data, buffer.size, &valid);
            for (size_t cut = 0; cut < buffer.size; cut += cut < 60 ? 1 : 1 + dice_below (&dice, 200)) {
                mp_reader_t reader = reader_of (buffer.data, cut);
                CHECK (!mp_skip (&reader));
            }
        }
        buffer_fini (&buffer);
    }
    CHECK (valid > 2500);
}
