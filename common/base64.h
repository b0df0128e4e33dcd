/* SPDX-License-Identifier: MPL-2.0
 *
 *  base64.h - bytes in JSON: RFC 4648, padded, strict. */

#ifndef BASE64_H_INCLUDED
#define BASE64_H_INCLUDED

#include "buffer.h"

/*  Appends the text of `data`. */
void base64_write (buffer_t *out, const void *data, size_t size);

/*  Bytes that `text` stands for, without looking at all of it; SIZE_MAX if its length or padding is wrong. */
size_t base64_decoded_size (const char *text, size_t size);

/*  Decodes into `data`, which has room for base64_decoded_size. False: some character does not belong. */
bool base64_read (uint8_t *data, const char *text, size_t size);

#endif
