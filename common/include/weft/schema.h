/* SPDX-License-Identifier: MPL-2.0
 *
 *  schema.h - C structs that weft can encode, decode, check, describe and print.
 *
 *      typedef struct { double x, y; } point;
 *      WEFT_SCHEMA (point, WEFT_FIELD (x, weft_double), WEFT_FIELD (y, weft_double))
 *
 *      typedef struct {
 *          const char *title;
 *          point *points;                  // an array and its count
 *          size_t point_count;
 *          int64_t colour;                 // only if has_colour
 *          bool has_colour;
 *      } polygon;
 *      WEFT_SCHEMA (polygon, WEFT_FIELD (title, weft_string),
 *                   WEFT_ARRAY (points, point, point_count),
 *                   WEFT_OPTIONAL (colour, weft_int64, has_colour))
 *
 *  A type is named by one word everywhere: the struct's typedef, or one of the eight
 *  built in below. The member's C type must be that type; the compiler checks it. */

#ifndef WEFT_SCHEMA_H_INCLUDED
#define WEFT_SCHEMA_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/*  The built-in types, under the names that schemas use. */
typedef bool weft_bool;
typedef int32_t weft_int32;
typedef int64_t weft_int64;
typedef uint64_t weft_uint64;
typedef double weft_double;
typedef const char *weft_string;    /* UTF-8 and a NUL; decoded NUL inside is INVALID */
typedef struct {
    const void *data;               /* NULL only when size is 0 */
    size_t size;
} weft_bytes;                       /* raw bytes */
typedef weft_bytes weft_any;        /* one MessagePack value, any type; size 0 stands for nil */
typedef char weft_none;             /* no value: an empty body */

typedef enum {
    WEFT_KIND_NONE,
    WEFT_KIND_BOOL,
    WEFT_KIND_INT32,
    WEFT_KIND_INT64,
    WEFT_KIND_UINT64,
    WEFT_KIND_DOUBLE,
    WEFT_KIND_STRING,
    WEFT_KIND_BYTES,
    WEFT_KIND_ANY,
    WEFT_KIND_STRUCT
} weft_kind_t;

typedef struct weft_schema weft_schema_t;
typedef const weft_schema_t *(weft_schema_fn) (void);

/*  One member of a struct. Made by the macros; read by the codecs. */
typedef struct {
    const char *name;
    weft_schema_fn *type;   /* NULL ends the table */
    size_t offset;
    size_t count_offset;    /* where the count of an array is, a size_t */
    size_t has_offset;      /* where the bool of an optional member is */
    bool array;
    bool optional;
} weft_field_t;

struct weft_schema {
    const char *name;
    weft_kind_t kind;
    size_t size;                /* of the C type */
    const weft_field_t *fields; /* of a struct; ends with a NULL type */
};

/*  One function per type; what WEFT_METHOD and WEFT_VALUE refer to. Static results. */
WEFT_EXPORT const weft_schema_t *weft_none_schema (void);
WEFT_EXPORT const weft_schema_t *weft_bool_schema (void);
WEFT_EXPORT const weft_schema_t *weft_int32_schema (void);
WEFT_EXPORT const weft_schema_t *weft_int64_schema (void);
WEFT_EXPORT const weft_schema_t *weft_uint64_schema (void);
WEFT_EXPORT const weft_schema_t *weft_double_schema (void);
WEFT_EXPORT const weft_schema_t *weft_string_schema (void);
WEFT_EXPORT const weft_schema_t *weft_bytes_schema (void);
WEFT_EXPORT const weft_schema_t *weft_any_schema (void);

/*  Offset of `member`, and an error at compile time if it is not a `type`. */
#define WEFT_OFFSET_(member, type)                                                                           \
    (offsetof (weft_self_, member) + 0 * sizeof (&((weft_self_ *) 0)->member == (type *) 0))

/*  A member; an array (`type *member` with `size_t count`); a member that counts only
 *  while `bool has` is true. */
#define WEFT_FIELD(member, type) {#member, type##_schema, WEFT_OFFSET_ (member, type), 0, 0, false, false}
#define WEFT_ARRAY(member, type, count)                                                                      \
    {#member, type##_schema, WEFT_OFFSET_ (member, type *), WEFT_OFFSET_ (count, size_t), 0, true, false}
#define WEFT_OPTIONAL(member, type, has)                                                                     \
    {#member, type##_schema, WEFT_OFFSET_ (member, type), 0, WEFT_OFFSET_ (has, bool), false, true}

/*  Defines the schema of struct typedef `T`, as function T_schema, in this file. */
#define WEFT_SCHEMA(T, ...)                                                                                  \
    static inline const weft_schema_t *T##_schema (void)                                                     \
    {                                                                                                        \
        typedef T weft_self_;                                                                                \
        static const weft_field_t fields [] = {__VA_ARGS__, {NULL, NULL, 0, 0, 0, false, false}};            \
        static const weft_schema_t schema = {#T, WEFT_KIND_STRUCT, sizeof (T), fields};                      \
        return &schema;                                                                                      \
    }

/*  A C value and its type, for calls. `data` is read by WEFT_IN, written by WEFT_OUT. */
typedef struct {
    const weft_schema_t *schema;
    void *data;
} weft_value_t;

#define WEFT_IN(type, pointer)                                                                               \
    ((weft_value_t){type##_schema (), (void *) (uintptr_t) (1 ? (pointer) : (const type *) 0)})
#define WEFT_OUT(type, pointer) ((weft_value_t){type##_schema (), 1 ? (pointer) : (type *) 0})
#define WEFT_NOTHING            ((weft_value_t){weft_none_schema (), NULL})

#ifdef __cplusplus
}
#endif

#endif
