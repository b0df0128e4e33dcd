/* SPDX-License-Identifier: MPL-2.0
 *
 *  The golden vectors of bodies, read with the C side; tests/golden/README.md explains their format. Each body is decoded
 *  into the C type that the vector's type describes, and encoded again with both codecs. */

#include "codec.h"
#include "types.h"
#include <stdio.h>
#include <stdlib.h>
#include "check.h"

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

typedef struct {
    const char *title;
    int32_t colour;
    pair at;
    bool has_colour, has_at;
} shape;
WEFT_SCHEMA (shape, WEFT_FIELD (title, weft_string), WEFT_OPTIONAL (colour, weft_int32, has_colour),
             WEFT_OPTIONAL (at, pair, has_at))

typedef struct {
    const char *after;
    bool has_after;
} page;
WEFT_SCHEMA (page, WEFT_OPTIONAL (after, weft_string, has_after))

typedef struct {
    double *row;
    pair *pairs;
    size_t row_size, pair_count;
} rows;
WEFT_SCHEMA (rows, WEFT_ARRAY (row, weft_double, row_size), WEFT_ARRAY (pairs, pair, pair_count))

typedef struct node {
    int64_t value;
    struct node *children;
    size_t child_count;
} node;
WEFT_SCHEMA (node, WEFT_FIELD (value, weft_int64), WEFT_ARRAY (children, node, child_count))

static weft_schema_fn *const schemas [] = {
    pair_schema,       shape_schema,      page_schema,        rows_schema,        node_schema,
    weft_none_schema,  weft_bool_schema,  weft_int32_schema,  weft_int64_schema,  weft_uint64_schema,
    weft_double_schema, weft_string_schema, weft_bytes_schema, weft_any_schema};

/*  The vector being read. */
static const weft_schema_t *schema;
static buffer_t msgpack, json;

static void read_hex (buffer_t *bytes, const char *text)
{
    buffer_clear (bytes);
    for (unsigned byte; sscanf (text, "%2x", &byte) == 1; text += 2)
        buffer_append (bytes, &(uint8_t){(uint8_t) byte}, 1);
}

static void read_text (buffer_t *bytes, const char *text)
{
    buffer_clear (bytes);
    buffer_append (bytes, text, strlen (text));
}

/*  The schema that is written as this type. */
static const weft_schema_t *find_schema (const char *text)
{
    const weft_schema_t *found = NULL;
    buffer_t type, written;
    buffer_init (&type, 1 << 16);
    buffer_init (&written, 1 << 16);
    read_hex (&type, text);
    for (size_t i = 0; !found && i < sizeof schemas / sizeof *schemas; i++) {
        buffer_clear (&written);
        types_write (&written, schemas [i] ());
        if (written.size == type.size && memcmp (written.data, type.data, type.size) == 0)
            found = schemas [i] ();
    }
    buffer_fini (&type);
    buffer_fini (&written);
    CHECK (found != NULL);
    return found;
}

static void check_encoded (codec_t codec, weft_value_t value, const buffer_t *expected)
{
    codec_error_t error;
    buffer_t out;
    buffer_init (&out, 1 << 16);
    CHECK (codec_encode (codec, value, &out, &error));
    CHECK_MEM (out.data, out.size, expected->data, expected->size);
    buffer_fini (&out);
}

/*  That the body is the vector's value, or (not good) that it is refused with a line. */
static void check_body (codec_t codec, const buffer_t *body, bool good)
{
    _Alignas (16) char data [256] = {0};
    const weft_value_t value = {schema, data};
    codec_error_t error = {""};
    arena_t arena;

    CHECK (schema->size <= sizeof data);
    arena_init (&arena, 1 << 16);
    const bool fits = codec_decode (codec, body->data, body->size, value, &arena, &error);
    if (good)
        CHECK_STR (fits ? "" : error.text, "");
    CHECK (fits == good);
    if (fits) {
        check_encoded (CODEC_MSGPACK, value, &msgpack);
        check_encoded (CODEC_JSON, value, &json);
    } else {
        CHECK (error.text [0] != '\0' && !strchr (error.text, '\n'));
    }
    arena_fini (&arena);
}

/*  One line: its word, and what comes after one blank. */
static void check_line (const char *line)
{
    const char *rest = line + strcspn (line, " ");
    const size_t word = (size_t) (rest - line);
    buffer_t body;

    rest += *rest == ' ';
    buffer_init (&body, 1 << 16);
    if (strncmp (line, "type", word) == 0) {
        schema = find_schema (rest);
    } else if (strncmp (line, "msgpack", word) == 0) {
        read_hex (&msgpack, rest);
    } else if (strncmp (line, "json", word) == 0) {
        read_text (&json, rest);
        check_body (CODEC_MSGPACK, &msgpack, true);
        check_body (CODEC_JSON, &json, true);
    } else if (strncmp (line, "also-msgpack", word) == 0 || strncmp (line, "bad-msgpack", word) == 0) {
        read_hex (&body, rest);
        check_body (CODEC_MSGPACK, &body, line [0] == 'a');
    } else if (strncmp (line, "also-json", word) == 0 || strncmp (line, "bad-json", word) == 0) {
        read_text (&body, rest);
        check_body (CODEC_JSON, &body, line [0] == 'a');
    }
    buffer_fini (&body);
}

TEST (bodies_mean_what_the_vectors_say)
{
    char path [512], line [4096];
    const char *source = getenv ("WEFT_SOURCE_DIR");
    int count = 0;
    snprintf (path, sizeof path, "%s/tests/golden/bodies.txt", source ? source : ".");
    FILE *lines = fopen (path, "r");
    CHECK (lines != NULL);

    buffer_init (&msgpack, 1 << 16);
    buffer_init (&json, 1 << 16);
    while (fgets (line, sizeof line, lines)) {
        line [strcspn (line, "\n")] = '\0';
        fprintf (stderr, "%s\n", line); /* seen when it fails */
        if (line [0] && line [0] != '#')
            check_line (line);
        count++;
    }
    CHECK (count > 150);
    buffer_fini (&msgpack);
    buffer_fini (&json);
    fclose (lines);
}
