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

/*  Offset of `member`, and an error at compile time if it is not a `type` (C++ refuses the comparison). */
#define WEFT_MEMBER_(member) (&((weft_self_ *) 0)->member)
#ifdef __cplusplus
#define WEFT_OFFSET_(member, type)                                                                           \
    (offsetof (weft_self_, member) + 0 * sizeof (WEFT_MEMBER_ (member) == (type *) 0))
#define WEFT_OFFSET_ARRAY_(member, type)                                                                     \
    (offsetof (weft_self_, member) + 0 * sizeof (*WEFT_MEMBER_ (member) == (const type *) 0))
#else
#define WEFT_OFFSET_(member, type) _Generic (WEFT_MEMBER_ (member), type *: offsetof (weft_self_, member))
#define WEFT_OFFSET_ARRAY_(member, type)                                                                     \
    _Generic (WEFT_MEMBER_ (member), type **: offsetof (weft_self_, member),                                 \
              const type **: offsetof (weft_self_, member))
#endif

/*  A member; the same under another name on the wire (for names that C does not allow); an array (`type *member`, may point to const, with `size_t count`); a member that counts
 *  only while `bool has` is true. At most WEFT_FIELDS_MAX in a struct. */
#define WEFT_FIELD(member, type) {#member, type##_schema, WEFT_OFFSET_ (member, type), 0, 0, false, false}
#define WEFT_FIELD_AS(name, member, type)                                                                    \
    {name, type##_schema, WEFT_OFFSET_ (member, type), 0, 0, false, false}
#define WEFT_ARRAY(member, type, count)                                                                      \
    {#member, type##_schema, WEFT_OFFSET_ARRAY_ (member, type), WEFT_OFFSET_ (count, size_t), 0, true, false}
#define WEFT_OPTIONAL(member, type, has)                                                                     \
    {#member, type##_schema, WEFT_OFFSET_ (member, type), 0, WEFT_OFFSET_ (has, bool), false, true}

/*  Defines the schema of struct typedef `T`, as function T_schema, in this file. A struct may hold arrays of
 *  itself. */
#define WEFT_SCHEMA(T, ...)                                                                                  \
    __attribute__ ((unused)) static inline const weft_schema_t *T##_schema (void)                            \
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

/*  WEFT_IN (type, pointer), WEFT_OUT (type, pointer). The pointer must be one to `type` (WEFT_IN: or const type)
 *  or to void, else it does not compile; it may be a literal: WEFT_IN (point, &(point){1, 2}). */
#ifdef __cplusplus
#define WEFT_IN(type, ...)                                                                                   \
    (weft_value_t{type##_schema (), const_cast<type *> (1 ? (__VA_ARGS__) : (const type *) 0)})
#define WEFT_OUT(type, ...) (weft_value_t{type##_schema (), 1 ? (__VA_ARGS__) : (type *) 0})
#define WEFT_NOTHING        (weft_value_t{weft_none_schema (), NULL})
#else
#define WEFT_IN(type, ...)                                                                                   \
    ((weft_value_t){type##_schema (), (void *) (uintptr_t) _Generic ((__VA_ARGS__), type *: (__VA_ARGS__),   \
                                          const type *: (__VA_ARGS__), void *: (__VA_ARGS__),                \
                                          const void *: (__VA_ARGS__))})
#define WEFT_OUT(type, ...)                                                                                  \
    ((weft_value_t){type##_schema (), _Generic ((__VA_ARGS__), type *: (__VA_ARGS__), void *: (__VA_ARGS__))})
#define WEFT_NOTHING ((weft_value_t){weft_none_schema (), NULL})
#endif

#ifdef __cplusplus
}
#endif

#endif
