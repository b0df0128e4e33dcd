/* SPDX-License-Identifier: MPL-2.0
 *
 *  text.h - text that somebody else owns. */

#ifndef TEXT_H_INCLUDED
#define TEXT_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*  A view: not NUL-terminated, valid as long as its owner. */
typedef struct {
    const char *data;
    size_t size;
} text_t;

#define TEXT_ARG(t) (int) (t).size, (t).data /* for "%.*s" */

static inline text_t text_of (const char *z)
{
    return (text_t){z, z ? strlen (z) : 0};
}

static inline bool text_is (text_t self, const char *z)
{
    return self.size == strlen (z) && memcmp (self.data, z, self.size) == 0;
}

static inline bool text_eq (text_t a, text_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp (a.data, b.data, a.size) == 0);
}

#endif
