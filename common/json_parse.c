/* SPDX-License-Identifier: MPL-2.0
 *
 *  json_parse.c - JSON text to MessagePack, one pass, along a type.
 *
 *  Members of an object come in any order, but a struct's fields have theirs: each is appended as it comes,
 *  and at the closing brace the pieces are put in order. */

#include "json.h"
#include "base64.h"
#include "fault.h"
#include "types.h"
#include "utf8.h"
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *start, *at, *end;
    const char *wrong; /* where the text is no JSON; NULL: the fault is about a field */
    buffer_t *out;
    buffer_t text;   /* the last string or number that could not stay where it was */
    buffer_t pieces; /* of a list, on their way into order */
    uint64_t elements;
    bool ignore_unknown;
    fault_t fault;
} parser_t;

static bool parse_value (parser_t *self, const types_view_t *type, unsigned depth);

static const types_view_t any_type = {.kind = WEFT_KIND_ANY};

/*  Faults. */

static bool wrong_at (parser_t *self, const char *at, const char *what)
{
    self->wrong = at;
    return fault_set (&self->fault, "%s", what);
}

static bool wrong (parser_t *self, const char *what)
{
    return wrong_at (self, self->at, what);
}

static bool misfit (parser_t *self, const types_view_t *type, const char *got)
{
    const text_t name = types_name (type);
    return fault_set (&self->fault, "expected %.*s, got %s", TEXT_ARG (name), got);
}

static bool no_room (parser_t *self)
{
    const bool full = (self->out->failed && !self->out->starved) || (self->pieces.failed && !self->pieces.starved);
    self->out->starved = !full;
    return fault_set (&self->fault, "out of memory or larger than %zu bytes", self->out->max);
}

static bool in_field (parser_t *self, text_t name)
{
    return fault_in_field (&self->fault, name.data, name.size);
}

/*  Appends a key as a JSON string that is not too long for an error. */
static void print_key (buffer_t *line, text_t key)
{
    const size_t shown = 64;
    json_quote (line, key.data, key.size < shown ? key.size : shown);
}

static bool unknown_field (parser_t *self, const types_view_t *type, text_t key)
{
    buffer_t line;
    types_field_t field;
    mp_reader_t fields = type->inside;
    const char *before = "; known: ";

    buffer_init (&line, 64 * 1024);
    print_key (&line, key);
    while (types_next_field (&fields, type, &field)) {
        buffer_append (&line, before, strlen (before));
        buffer_append (&line, field.name.data, field.name.size);
        before = ", ";
    }
    fault_set (&self->fault, "unknown field %.*s", (int) line.size, (const char *) line.data);
    buffer_fini (&line);
    return false;
}

static bool given_twice (parser_t *self, text_t key)
{
    buffer_t line;
    buffer_init (&line, 1024);
    print_key (&line, key);
    fault_set (&self->fault, "%.*s is given twice", (int) line.size, (const char *) line.data);
    buffer_fini (&line);
    return false;
}

/*  The line for people: of a fault in the text, where it is in lines and columns (characters). */
static void tell (const parser_t *self, codec_error_t *error)
{
    size_t line = 1, column = 1;
    if (!self->wrong) {
        fault_write (&self->fault, error);
        return;
    }
    for (const char *at = self->start; at < self->wrong; at++)
        if (*at == '\n') {
            line++;
            column = 1;
        } else if ((*at & 0xc0) != 0x80)
            column++;
    fault_line (error, "line %zu, column %zu: %s", line, column, self->fault.what);
}

/*  Tokens. */

static void skip_space (parser_t *self)
{
    while (self->at < self->end
           && (*self->at == ' ' || *self->at == '\n' || *self->at == '\r' || *self->at == '\t'))
        self->at++;
}

/*  Consumes `c`, after space, if it comes next. */
static bool next_is (parser_t *self, char c)
{
    skip_space (self);
    if (self->at == self->end || *self->at != c)
        return false;
    self->at++;
    return true;
}

static bool digit_next (const parser_t *self)
{
    return self->at < self->end && *self->at >= '0' && *self->at <= '9';
}

static bool skip_digits (parser_t *self)
{
    if (!digit_next (self))
        return wrong (self, "expected a digit");
    while (digit_next (self))
        self->at++;
    return true;
}

/*  A number as the grammar has it; `*integral` if it has neither fraction nor exponent. */
static bool read_number (parser_t *self, text_t *number, bool *integral)
{
    const char *start = self->at;
    *integral = true;
    if (*self->at == '-')
        self->at++;
    if (self->at < self->end && *self->at == '0') {
        self->at++;
        if (digit_next (self))
            return wrong (self, "a number must not begin with 0");
    } else if (!skip_digits (self))
        return false;
    if (self->at < self->end && *self->at == '.') {
        *integral = false;
        self->at++;
        if (!skip_digits (self))
            return false;
    }
    if (self->at < self->end && (*self->at == 'e' || *self->at == 'E')) {
        *integral = false;
        self->at++;
        if (self->at < self->end && (*self->at == '+' || *self->at == '-'))
            self->at++;
        if (!skip_digits (self))
            return false;
    }
    *number = (text_t){start, (size_t) (self->at - start)};
    return true;
}

/*  Four hexadecimal digits. */
static bool read_hex (parser_t *self, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        const char c = self->at < self->end ? *self->at : '\0';
        const int value = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (value < 0)
            return wrong (self, "expected four hexadecimal digits");
        *code = *code << 4 | (uint32_t) value;
        self->at++;
    }
    return true;
}

/*  What follows "\u": one character, or the two halves of a surrogate pair. */
static bool read_unicode (parser_t *self, uint32_t *code)
{
    const char *escape = self->at - 2;
    uint32_t low;
    if (!read_hex (self, code))
        return false;
    if (*code < 0xd800 || *code > 0xdfff)
        return true;
    if (*code > 0xdbff || self->end - self->at < 2 || self->at [0] != '\\' || self->at [1] != 'u')
        return wrong_at (self, escape, "half a surrogate pair");
    self->at += 2;
    if (!read_hex (self, &low))
        return false;
    if (low < 0xdc00 || low > 0xdfff)
        return wrong_at (self, escape, "half a surrogate pair");
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/*  What follows a backslash, into `text`. */
static bool read_escape (parser_t *self)
{
    static const char letters [] = "\"\\/bfnrt", meanings [] = "\"\\/\b\f\n\r\t";
    const char c = self->at < self->end ? *self->at : '\0';
    const char *letter = c ? strchr (letters, c) : NULL;
    uint8_t bytes [4];
    uint32_t code;
    if (letter) {
        self->at++;
        buffer_append (&self->text, &meanings [letter - letters], 1);
        return true;
    }
    if (c != 'u')
        return wrong (self, "no such escape");
    self->at++;
    if (!read_unicode (self, &code))
        return false;
    buffer_append (&self->text, bytes, utf8_put (bytes, code));
    return true;
}

/*  Passes the characters of a string that stand for themselves. */
static bool skip_plain (parser_t *self)
{
    while (self->at < self->end && *self->at != '"' && *self->at != '\\') {
        const uint8_t *at = (const uint8_t *) self->at;
        const size_t length = utf8_length (at, (size_t) (self->end - self->at));
        if (*at < 0x20)
            return wrong (self, "a control character in a string must be escaped");
        if (length == 0)
            return wrong (self, "not UTF-8");
        self->at += length;
    }
    return self->at < self->end || wrong (self, "the string does not end");
}

/*  A string, from its quote on. The view is good until the next. */
static bool read_string (parser_t *self, text_t *string)
{
    const char *plain = ++self->at;
    if (!skip_plain (self))
        return false;
    if (*self->at == '"') {
        *string = (text_t){plain, (size_t) (self->at++ - plain)};
        return true;
    }
    buffer_clear (&self->text);
    while (*self->at == '\\') {
        buffer_append (&self->text, plain, (size_t) (self->at - plain));
        self->at++;
        if (!read_escape (self))
            return false;
        plain = self->at;
        if (!skip_plain (self))
            return false;
    }
    buffer_append (&self->text, plain, (size_t) (self->at++ - plain));
    *string = (text_t){(const char *) self->text.data, self->text.size};
    return !self->text.failed || no_room (self);
}

/*  Lists: arrays and maps, whose count is known at their end. */

static bool enter (parser_t *self, unsigned depth)
{
    if (depth >= WEFT_NESTING_MAX)
        return wrong (self, "nested deeper than 16");
    self->at++;
    return true;
}

static bool count_elements (parser_t *self, uint64_t count)
{
    self->elements += count;
    return self->elements <= WEFT_ELEMENTS_MAX
           || fault_set (&self->fault, "more than %d elements in all", WEFT_ELEMENTS_MAX);
}

/*  After an element: true if a comma asks for another. `*more` at the first call means: perhaps one. */
static bool next_element (parser_t *self, char close, bool first, bool *more)
{
    if (next_is (self, close)) {
        *more = false;
        return true;
    }
    *more = true;
    if (first || next_is (self, ','))
        return true;
    return wrong (self, close == ']' ? "expected ',' or ']'" : "expected ',' or '}'");
}

/*  Puts the head of a list before what has been appended since `start`. */
static bool put_head (parser_t *self, size_t start, uint32_t count, bool map)
{
    buffer_t *out = self->out, *pieces = &self->pieces;
    buffer_clear (pieces);
    if (map)
        mp_write_map (pieces, count);
    else
        mp_write_array (pieces, count);

    const size_t body_size = out->size - start;
    if (out->failed || pieces->failed || !buffer_extend (out, pieces->size))
        return no_room (self);
    memmove (out->data + start + pieces->size, out->data + start, body_size);
    memcpy (out->data + start, pieces->data, pieces->size);
    return true;
}

static bool parse_array (parser_t *self, const types_view_t *element, unsigned depth)
{
    const size_t start = self->out->size;
    uint32_t count = 0;
    bool more;
    if (!enter (self, depth))
        return false;
    for (;; count++) {
        if (!next_element (self, ']', count == 0, &more))
            return false;
        if (!more)
            return put_head (self, start, count, false);
        if (!count_elements (self, 1) || !parse_value (self, element, depth + 1))
            return fault_in_element (&self->fault, count);
    }
}

/*  One element of a struct written as an array; those beyond the known fields have no type. */
static bool parse_position (parser_t *self, const types_view_t *type, mp_reader_t *fields, uint32_t index,
                            unsigned depth, bool *present)
{
    types_field_t field;
    *present = false;
    if (types_next_field (fields, type, &field)) {
        const size_t start = self->out->size;
        types_view_t nothing = {.kind = WEFT_KIND_NONE};
        skip_space (self);
        const bool absent = field.optional && self->at < self->end && *self->at == 'n';
        if (!count_elements (self, 1) || !parse_value (self, absent ? &nothing : &field.type, depth))
            return in_field (self, field.name);
        *present = !absent && self->out->size > start;
        return true;
    }
    if (!self->ignore_unknown)
        return fault_set (&self->fault, "%.*s has only %u fields", TEXT_ARG (type->name), type->field_count);
    const size_t end = self->out->size;
    if (!parse_value (self, &any_type, depth))
        return fault_in_element (&self->fault, index);
    if (self->out->failed)
        return no_room (self);
    buffer_truncate (self->out, end);
    return true;
}

/*  Checks that the rest of the fields may be missing. */
static bool rest_missing (parser_t *self, const types_view_t *type, mp_reader_t fields)
{
    types_field_t field;
    while (types_next_field (&fields, type, &field))
        if (!field.optional) {
            fault_set (&self->fault, "missing");
            return in_field (self, field.name);
        }
    return true;
}

static bool parse_positions (parser_t *self, const types_view_t *type, unsigned depth)
{
    const size_t start = self->out->size;
    mp_reader_t fields = type->inside;
    size_t end = start; /* behind the last that is present */
    uint32_t count = 0;
    bool more, present;
    if (!enter (self, depth))
        return false;
    for (uint32_t i = 0;; i++) {
        if (!next_element (self, ']', i == 0, &more))
            return false;
        if (!more)
            break;
        if (!parse_position (self, type, &fields, i, depth + 1, &present))
            return false;
        if (present) {
            count = i + 1;
            end = self->out->size;
        }
    }
    if (!rest_missing (self, type, fields))
        return false;
    if (self->out->failed)
        return no_room (self);
    buffer_truncate (self->out, end);
    return put_head (self, start, count, false);
}

static bool read_key (parser_t *self, text_t *key)
{
    skip_space (self);
    if (self->at == self->end || *self->at != '"')
        return wrong (self, "expected a name in quotes");
    return read_string (self, key);
}

static int compare_keys (const void *a, const void *b)
{
    const text_t *left = a, *right = b;
    const size_t size = left->size < right->size ? left->size : right->size;
    const int order = size ? memcmp (left->data, right->data, size) : 0;
    return order ? order : (left->size > right->size) - (left->size < right->size);
}

/*  Checks that no two keys of the `count` pairs appended since `start` are the same. */
static bool check_keys (parser_t *self, size_t start, uint32_t count)
{
    mp_reader_t in = mp_reader (self->out->data + start, self->out->size - start);
    text_t *keys = count > 1 ? malloc (count * sizeof *keys) : NULL;
    bool differ = true;
    if (count <= 1)
        return true;
    if (!keys)
        return no_room (self);
    for (uint32_t i = 0; i < count; i++) {
        mp_read_str (&in, &keys [i].data, &keys [i].size);
        mp_skip (&in);
    }
    qsort (keys, count, sizeof *keys, compare_keys);
    for (uint32_t i = 1; i < count && differ; i++)
        if (compare_keys (&keys [i - 1], &keys [i]) == 0)
            differ = given_twice (self, keys [i]);
    free (keys);
    return differ;
}

/*  An object without a type. */
static bool parse_map (parser_t *self, unsigned depth)
{
    const size_t start = self->out->size;
    uint32_t count = 0;
    bool more;
    text_t key;
    if (!enter (self, depth))
        return false;
    for (;; count++) {
        if (!next_element (self, '}', count == 0, &more))
            return false;
        if (!more)
            break;
        if (!read_key (self, &key) || !count_elements (self, 2))
            return false;
        const size_t key_at = self->out->size;
        mp_write_str (self->out, key.data, key.size);
        if (!next_is (self, ':'))
            return wrong (self, "expected ':'");
        if (!parse_value (self, &any_type, depth + 1)) {
            mp_reader_t in = mp_reader (self->out->data + key_at, self->out->size - key_at);
            if (mp_read_str (&in, &key.data, &key.size))
                in_field (self, key);
            return false;
        }
    }
    if (self->out->failed)
        return no_room (self);
    return check_keys (self, start, count) && put_head (self, start, count, true);
}

/*  Where a field's value is in `out`; nothing if end is 0, nil if empty. */
typedef struct {
    size_t start, end;
} piece_t;

/*  One member of a struct written as an object, into its piece. */
static bool parse_member (parser_t *self, const types_view_t *type, piece_t *pieces, unsigned depth)
{
    static const types_view_t nothing = {.kind = WEFT_KIND_NONE};
    types_field_t field;
    uint32_t index;
    text_t key;
    if (!read_key (self, &key))
        return false;
    const bool known = types_find_field (type, key, &field, &index);
    if (!known && !self->ignore_unknown)
        return unknown_field (self, type, key);
    if (known && pieces [index].end)
        return given_twice (self, key);
    if (!next_is (self, ':'))
        return wrong (self, "expected ':'");

    skip_space (self);
    const size_t start = self->out->size;
    const bool absent = known && field.optional && self->at < self->end && *self->at == 'n';
    if (!parse_value (self, !known ? &any_type : absent ? &nothing : &field.type, depth))
        return known ? in_field (self, field.name) : false;
    if (self->out->failed)
        return no_room (self);
    if (!known || absent)
        buffer_truncate (self->out, start);
    if (known)
        pieces [index] = (piece_t){start, absent ? SIZE_MAX : self->out->size};
    return true;
}

/*  Replaces what has been appended since `start` by an array of the pieces in field order. */
static bool put_in_order (parser_t *self, const types_view_t *type, const piece_t *pieces, size_t start)
{
    mp_reader_t fields = type->inside;
    types_field_t field;
    uint32_t count = 0;
    for (uint32_t i = 0; types_next_field (&fields, type, &field); i++) {
        const bool present = pieces [i].end && pieces [i].end != SIZE_MAX;
        if (present)
            count = i + 1;
        else if (!field.optional) {
            fault_set (&self->fault, "missing");
            return in_field (self, field.name);
        }
    }
    if (!count_elements (self, count))
        return false;

    buffer_t *ordered = &self->pieces;
    buffer_clear (ordered);
    mp_write_array (ordered, count);
    for (uint32_t i = 0; i < count; i++)
        if (pieces [i].end && pieces [i].end != SIZE_MAX)
            buffer_append (ordered, self->out->data + pieces [i].start, pieces [i].end - pieces [i].start);
        else
            mp_write_nil (ordered);
    if (ordered->failed)
        return no_room (self);
    buffer_truncate (self->out, start);
    buffer_append (self->out, ordered->data, ordered->size);
    return !self->out->failed || no_room (self);
}

static bool parse_struct (parser_t *self, const types_view_t *type, unsigned depth)
{
    piece_t pieces [WEFT_FIELDS_MAX];
    const size_t start = self->out->size;
    bool more;
    memset (pieces, 0, type->field_count * sizeof *pieces);
    if (!enter (self, depth))
        return false;
    for (bool first = true;; first = false) {
        if (!next_element (self, '}', first, &more))
            return false;
        if (!more)
            return put_in_order (self, type, pieces, start);
        if (!parse_member (self, type, pieces, depth + 1))
            return false;
    }
}

/*  Values. */

static bool is (const types_view_t *type, weft_kind_t kind)
{
    return !type->array && type->kind == kind;
}

static bool parse_object (parser_t *self, const types_view_t *type, unsigned depth)
{
    if (is (type, WEFT_KIND_STRUCT))
        return parse_struct (self, type, depth);
    if (is (type, WEFT_KIND_ANY))
        return parse_map (self, depth);
    return misfit (self, type, "object");
}

static bool parse_list (parser_t *self, const types_view_t *type, unsigned depth)
{
    if (is (type, WEFT_KIND_STRUCT))
        return parse_positions (self, type, depth);
    if (is (type, WEFT_KIND_ANY))
        return parse_array (self, type, depth);
    if (!type->array)
        return misfit (self, type, "array");
    const types_view_t element = types_element (type);
    return parse_array (self, &element, depth);
}

static bool parse_bytes (parser_t *self, text_t string)
{
    const size_t size = base64_decoded_size (string.data, string.size);
    if (size == SIZE_MAX)
        return fault_set (&self->fault, "not base64");

    buffer_clear (&self->pieces);
    uint8_t *data = buffer_extend (&self->pieces, size);
    if (self->pieces.failed)
        return no_room (self);
    if (!base64_read (data, string.data, string.size))
        return fault_set (&self->fault, "not base64");
    mp_write_bin (self->out, data, size);
    return true;
}

static bool parse_string (parser_t *self, const types_view_t *type)
{
    text_t string;
    if (!is (type, WEFT_KIND_STRING) && !is (type, WEFT_KIND_BYTES) && !is (type, WEFT_KIND_ANY))
        return misfit (self, type, "string");
    if (!read_string (self, &string))
        return false;
    if (type->kind == WEFT_KIND_BYTES)
        return parse_bytes (self, string);
    if (type->kind == WEFT_KIND_STRING && string.size && memchr (string.data, '\0', string.size))
        return fault_set (&self->fault, "a NUL inside a string");
    mp_write_str (self->out, string.data, string.size);
    return true;
}

static bool parse_word (parser_t *self, const types_view_t *type, const char *word)
{
    const size_t size = strlen (word);
    if ((size_t) (self->end - self->at) < size || memcmp (self->at, word, size) != 0)
        return wrong (self, "expected a value");
    self->at += size;
    if (*word == 'n') {
        if (!is (type, WEFT_KIND_NONE) && !is (type, WEFT_KIND_ANY))
            return misfit (self, type, "null");
        mp_write_nil (self->out);
        return true;
    }
    if (!is (type, WEFT_KIND_BOOL) && !is (type, WEFT_KIND_ANY))
        return misfit (self, type, word);
    mp_write_bool (self->out, *word == 't');
    return true;
}

static bool parse_double (parser_t *self, text_t number)
{
    buffer_clear (&self->text); /* strtod wants a NUL */
    buffer_append (&self->text, number.data, number.size);
    buffer_append (&self->text, "", 1);
    if (self->text.failed)
        return no_room (self);
    const double value = strtod ((const char *) self->text.data, NULL);
    if (!isfinite (value))
        return fault_set (&self->fault, "out of the range of double");
    mp_write_double (self->out, value);
    return true;
}

/*  Magnitude and sign of an integer; false if it takes more than 64 bits. */
static bool magnitude (text_t number, uint64_t *value, bool *negative)
{
    *negative = number.data [0] == '-';
    *value = 0;
    for (size_t i = *negative; i < number.size; i++)
        if (__builtin_mul_overflow (*value, (uint64_t) 10, value)
            || __builtin_add_overflow (*value, (uint64_t) (number.data [i] - '0'), value))
            return false;
    return true;
}

static bool parse_integer (parser_t *self, const types_view_t *type, text_t number)
{
    const weft_kind_t kind = type->kind;
    const uint64_t most = kind == WEFT_KIND_INT32   ? INT32_MAX
                          : kind == WEFT_KIND_INT64 ? INT64_MAX
                                                    : UINT64_MAX;
    const uint64_t least = kind == WEFT_KIND_INT32    ? -(int64_t) INT32_MIN
                           : kind == WEFT_KIND_UINT64 ? 0
                                                      : (uint64_t) INT64_MAX + 1;
    const text_t name = types_name (type);
    uint64_t value;
    bool negative;
    if (!magnitude (number, &value, &negative) || value > (negative ? least : most))
        return fault_set (&self->fault, "%.*s is out of the range of %.*s",
                          (int) (number.size < 40 ? number.size : 40), number.data,
                          TEXT_ARG (kind == WEFT_KIND_ANY ? text_of ("64 bits") : name));
    if (negative)
        mp_write_int (self->out, (int64_t) (0 - value));
    else
        mp_write_uint (self->out, value);
    return true;
}

static bool parse_number (parser_t *self, const types_view_t *type)
{
    const char *start = self->at;
    text_t number = {0};
    bool integral;
    if (*start != '-' && !digit_next (self))
        return wrong (self, "expected a value");
    if (!read_number (self, &number, &integral))
        return false;
    if (is (type, WEFT_KIND_DOUBLE) || (is (type, WEFT_KIND_ANY) && !integral))
        return parse_double (self, number);
    if (is (type, WEFT_KIND_INT32) || is (type, WEFT_KIND_INT64) || is (type, WEFT_KIND_UINT64)
        || is (type, WEFT_KIND_ANY))
        return integral ? parse_integer (self, type, number)
                        : misfit (self, type, "a number with a fraction or exponent");
    return misfit (self, type, "number");
}

static bool parse_value (parser_t *self, const types_view_t *type, unsigned depth)
{
    skip_space (self);
    if (self->at == self->end)
        return wrong (self, "expected a value");
    switch (*self->at) {
        case '{':
            return parse_object (self, type, depth);
        case '[':
            return parse_list (self, type, depth);
        case '"':
            return parse_string (self, type);
        case 't':
            return parse_word (self, type, "true");
        case 'f':
            return parse_word (self, type, "false");
        case 'n':
            return parse_word (self, type, "null");
        default:
            return parse_number (self, type);
    }
}

/*  null, and what other languages make of an empty struct: nothing to append. */
static bool parse_none (parser_t *self)
{
    if (next_is (self, '{'))
        return next_is (self, '}') || wrong (self, "expected '}': there is no argument");
    if (next_is (self, '['))
        return next_is (self, ']') || wrong (self, "expected ']': there is no argument");
    if (self->end - self->at < 4 || memcmp (self->at, "null", 4) != 0)
        return wrong (self, "expected none: null or nothing");
    self->at += 4;
    return true;
}

static bool parse_text (parser_t *self, const types_view_t *type)
{
    skip_space (self);
    if (self->at == self->end && types_may_be_empty (type))
        return true;
    if (!(is (type, WEFT_KIND_NONE) ? parse_none (self) : parse_value (self, type, 0)))
        return false;
    skip_space (self);
    if (self->at < self->end)
        return wrong (self, "expected the end");
    return !self->out->failed || no_room (self);
}

static bool parse (parser_t *self, const void *type, size_t type_size)
{
    if (type_size && !types_valid (type, type_size))
        return fault_set (&self->fault, "the type is malformed");

    /*  strtod reads the decimal point of the thread's locale. */
    const locale_t c_locale = newlocale (LC_ALL_MASK, "C", (locale_t) 0);
    const locale_t old_locale = uselocale (c_locale);
    const types_view_t view = types_view (type, type_size);
    const bool fits = parse_text (self, &view);
    uselocale (old_locale);
    if (c_locale)
        freelocale (c_locale);
    return fits;
}

static bool to_mp (const char *json, size_t size, const void *type, size_t type_size, bool ignore_unknown,
                   buffer_t *out, codec_error_t *error)
{
    const size_t start = out->size;
    parser_t self = {.start = json, .at = json, .end = size ? json + size : json};
    self.out = out;
    self.ignore_unknown = ignore_unknown;
    fault_init (&self.fault);
    buffer_init (&self.text, size + 1);
    buffer_init (&self.pieces, out->max);

    const bool fits = parse (&self, type, type_size);
    if (!fits) {
        out->size = start; /* not buffer_truncate: the caller may want to know that it failed */
        tell (&self, error);
    }
    buffer_fini (&self.text);
    buffer_fini (&self.pieces);
    return fits;
}

bool json_to_mp (const char *json, size_t size, const void *type, size_t type_size, buffer_t *out,
                 codec_error_t *error)
{
    return to_mp (json, size, type, type_size, false, out, error);
}

bool json_to_mp_known (const char *json, size_t size, const void *type, size_t type_size, buffer_t *out,
                       codec_error_t *error)
{
    return to_mp (json, size, type, type_size, true, out, error);
}
