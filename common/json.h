/* SPDX-License-Identifier: MPL-2.0
 *
 *  json.h - JSON text ⇄ MessagePack bytes, guided by a type where one is known.
 *
 *  Strict RFC 8259, one value, at most WEFT_NESTING_MAX deep and WEFT_ELEMENTS_MAX elements. */

#ifndef JSON_H_INCLUDED
#define JSON_H_INCLUDED

#include "codec.h"
#include "mp.h"

/*  Appends the MessagePack value that `json` says. `type` (PROTOCOL.md, section 5; size 0: any) decides how: objects become arrays
 *  in field order, base64 becomes bin, numbers are checked. False: `error` says where: "line 1, column 9: expected ':'" or
 *  "field b: expected int64, got string". On failure `out` is as it was. */
bool json_to_mp (const char *json, size_t size, const void *type, size_t type_size, buffer_t *out,
                 codec_error_t *error);

/*  Appends the JSON of one MessagePack value; names for fields come from the type. Bytes become base64, NaN and infinities null.
 *  `pretty`: indented by two spaces with line ends, else one line. No NUL. False: not well-formed, or does not fit the type (then it is
 *  printed by its own shape where it differs). */
bool json_from_mp (const void *value, size_t size, const void *type, size_t type_size, bool pretty, buffer_t *out,
                   codec_error_t *error);

/*  Appends `text` as a JSON string, with its quotes. */
void json_quote (buffer_t *out, const char *text, size_t size);

#endif
