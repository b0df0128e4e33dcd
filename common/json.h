/* SPDX-License-Identifier: MPL-2.0
 *
 *  json.h - JSON text ⇄ MessagePack bytes, guided by a type where one is known.
 *
 *  Strict RFC 8259, one value, at most WEFT_NESTING_MAX deep and WEFT_ELEMENTS_MAX elements. json_parse.c
 *  reads, json_print.c writes. Types may come from a peer: one that is not well-formed is an error, too. */

#ifndef JSON_H_INCLUDED
#define JSON_H_INCLUDED

#include "codec.h"
#include "mp.h"

/*  Appends the MessagePack value that `json` says. `type` (PROTOCOL.md, section 5; size 0: any) decides how:
 *  objects become arrays in field order, base64 becomes bin, numbers are checked. An empty text, or null for
 *  "none", appends nothing, where an empty body is allowed. False: `error` says where: "line 1, column 9:
 *  expected ':'", "field b: expected int64, got string" or "unknown field "c"; known: a, b". On failure `out`
 *  holds what it held (and is `failed` if it was out of memory or bound). */
bool json_to_mp (const char *json, size_t size, const void *type, size_t type_size, buffer_t *out,
                 codec_error_t *error);

/*  The same, but unknown fields are ignored: for bodies, whose sender may know a newer type. */
bool json_to_mp_known (const char *json, size_t size, const void *type, size_t type_size, buffer_t *out,
                       codec_error_t *error);

/*  Appends the JSON of one MessagePack value, or of an empty body; names for fields come from the type. Bytes
 *  become base64, NaN and infinities null. `pretty`: indented by two spaces with line ends, else one line. No
 *  NUL. False: not well-formed or no memory (then nothing is appended), or it does not fit the type (then it
 *  is printed by its own shape where it differs). */
bool json_from_mp (const void *value, size_t size, const void *type, size_t type_size, bool pretty,
                   buffer_t *out, codec_error_t *error);

/*  Appends `text` as a JSON string, with its quotes. What is not UTF-8 becomes U+FFFD; control characters are
 *  escaped, so it is safe on a terminal. */
void json_quote (buffer_t *out, const char *text, size_t size);

#endif
