/* SPDX-License-Identifier: MPL-2.0
 *
 *  sample.h - one C struct with everything that a schema can say. */

#ifndef SAMPLE_H_INCLUDED
#define SAMPLE_H_INCLUDED

#include <weft/schema.h>

typedef struct {
    double x, y;
} point;
WEFT_SCHEMA (point, WEFT_FIELD (x, weft_double), WEFT_FIELD (y, weft_double))

typedef struct {
    int64_t a, b;
} arith_args;
WEFT_SCHEMA (arith_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

typedef struct node {
    int64_t value;
    weft_bytes key;
    struct node *children;
    size_t child_count;
} node;
WEFT_SCHEMA (node, WEFT_FIELD (value, weft_int64), WEFT_FIELD (key, weft_bytes),
             WEFT_ARRAY (children, node, child_count))

typedef struct {
    const char *service;
    bool has_service;
} only_optional;
WEFT_SCHEMA (only_optional, WEFT_OPTIONAL (service, weft_string, has_service))

typedef struct {
    bool flag;
    int32_t small;
    int64_t large;
    uint64_t natural;
    double real;
    const char *text;
    weft_bytes bytes;
    weft_any any;
    point at;
    point *points;
    size_t point_count;
    const char **names;
    size_t name_count;
    int64_t colour;
    bool has_colour;
    point origin;
    bool has_origin;
    double weight;
    bool has_weight;
} sample;
WEFT_SCHEMA (sample, WEFT_FIELD (flag, weft_bool), WEFT_FIELD (small, weft_int32),
             WEFT_FIELD (large, weft_int64), WEFT_FIELD (natural, weft_uint64), WEFT_FIELD (real, weft_double),
             WEFT_FIELD (text, weft_string),
             WEFT_FIELD (bytes, weft_bytes), WEFT_FIELD (any, weft_any), WEFT_FIELD (at, point),
             WEFT_ARRAY (points, point, point_count), WEFT_ARRAY (names, weft_string, name_count),
             WEFT_OPTIONAL (colour, weft_int64, has_colour), WEFT_OPTIONAL (origin, point, has_origin),
             WEFT_OPTIONAL (weight, weft_double, has_weight))

/*  A sample with something in every field. What it points to is static. */
static inline sample sample_full (void)
{
    static point points [] = {{1, 2}, {-0.5, 1e300}};
    static const char *names [] = {"", "a\"b\\c\n", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"};
    return (sample){.flag = true,
                    .small = INT32_MIN,
                    .large = INT64_MIN,
                    .natural = UINT64_MAX,
                    .real = 0.1,
                    .text = "hello",
                    .bytes = {"\0\1\2\xff", 4},
                    .any = {"\x93\x01\xc0\xa1z", 5},
                    .at = {3, 4},
                    .points = points,
                    .point_count = 2,
                    .names = names,
                    .name_count = 3,
                    .colour = 7,
                    .has_colour = true,
                    .origin = {0, -1},
                    .has_origin = true,
                    .weight = 2.5,
                    .has_weight = true};
}

#endif
