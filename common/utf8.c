/* SPDX-License-Identifier: MPL-2.0 */

#include "utf8.h"
#include <string.h>

static bool continues (uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t utf8_length (const uint8_t *at, size_t left)
{
    if (left == 0)
        return 0;
    if (at [0] < 0x80)
        return 1;
    const size_t length = at [0] >= 0xf0 ? 4 : at [0] >= 0xe0 ? 3 : 2;
    if (at [0] < 0xc2 || at [0] > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if (!continues (at [i]))
            return 0;
    if ((at [0] == 0xe0 && at [1] < 0xa0) || (at [0] == 0xed && at [1] > 0x9f)
        || (at [0] == 0xf0 && at [1] < 0x90) || (at [0] == 0xf4 && at [1] > 0x8f))
        return 0;
    return length;
}

static bool eight_are_ascii (const uint8_t *at)
{
    uint64_t eight;
    memcpy (&eight, at, 8);
    return (eight & 0x8080808080808080u) == 0;
}

/*  Bytes at the start that are plain ASCII: in eights, the last of which may overlap the one before. */
static size_t ascii_length (const uint8_t *at, size_t size)
{
    size_t length = 0;
    for (; size - length >= 8; length += 8)
        if (!eight_are_ascii (at + length))
            return length;
    return size >= 8 && eight_are_ascii (at + size - 8) ? size : length;
}

bool utf8_valid (const void *text, size_t size)
{
    const uint8_t *bytes = text;
    size_t at = ascii_length (bytes, size);
    while (at < size) {
        const size_t length = bytes [at] < 0x80 ? 1 : utf8_length (bytes + at, size - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

size_t utf8_put (uint8_t at [4], uint32_t code)
{
    static const uint8_t lead [] = {0, 0, 0xc0, 0xe0, 0xf0};
    const size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        at [i] = (uint8_t) (0x80 | (code & 0x3f));
        code >>= 6;
    }
    at [0] = (uint8_t) (lead [length] | code);
    return length;
}
