/* SPDX-License-Identifier: MPL-2.0
 *
 *  utf8.h - is this text? As in RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF. */

#ifndef UTF8_H_INCLUDED
#define UTF8_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*  Bytes of the well-formed character at `at` (1 to 4), of which `left` may be read; 0 if there is none. */
size_t utf8_length (const uint8_t *at, size_t left);

bool utf8_valid (const void *text, size_t size);

/*  Writes the character `code` (no surrogate, at most 0x10ffff); returns its bytes. */
size_t utf8_put (uint8_t at [4], uint32_t code);

#endif
