/* SPDX-License-Identifier: MPL-2.0 */

#include "base64.h"
#include <string.h>

static const char alphabet [] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write (buffer_t *out, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t at = 0; at < size; at += 3) {
        const size_t count = size - at < 3 ? size - at : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < count ? bytes [at + i] : 0);
        char four [4] = {'=', '=', '=', '='};
        for (size_t i = 0; i <= count; i++)
            four [i] = alphabet [bits >> (18 - 6 * i) & 0x3f];
        buffer_append (out, four, 4);
    }
}

size_t base64_decoded_size (const char *text, size_t size)
{
    if (size % 4)
        return SIZE_MAX;
    if (size == 0)
        return 0;
    return size / 4 * 3 - (text [size - 1] == '=') - (text [size - 1] == '=' && text [size - 2] == '=');
}

/*  0 to 63, or -1. */
static int digit (char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read (uint8_t *data, const char *text, size_t size)
{
    const size_t decoded_size = base64_decoded_size (text, size);
    if (decoded_size == SIZE_MAX)
        return false;

    for (size_t at = 0, done = 0; done < decoded_size; at += 4) {
        const size_t count = decoded_size - done < 3 ? decoded_size - done : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < 4; i++) {
            const int value = i <= count ? digit (text [at + i]) : 0;
            if (value < 0)
                return false;
            bits = bits << 6 | (uint32_t) value;
        }
        if (bits & ((1u << 8 * (3 - count)) - 1))
            return false; /* bits that belong to no byte */
        for (size_t i = 0; i < count; i++)
            data [done++] = (uint8_t) (bits >> (16 - 8 * i));
    }
    return true;
}
