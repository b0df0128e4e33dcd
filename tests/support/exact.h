/* SPDX-License-Identifier: MPL-2.0
 *
 *  exact.h - a reader over memory that ends where the bytes do, so that a sanitizer sees a step too far. */

#ifndef EXACT_H_INCLUDED
#define EXACT_H_INCLUDED

#include "mp.h"
#include <stdlib.h>
#include <string.h>

/*  Valid until the next one is made. */
static inline mp_reader_t reader_of (const void *bytes, size_t size)
{
    static uint8_t *exact;
    free (exact);
    exact = malloc (size ? size : 1);
    if (size)
        memcpy (exact, bytes, size);
    return mp_reader (exact, size);
}

#endif
