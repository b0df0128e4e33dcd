/* SPDX-License-Identifier: MPL-2.0
 *
 *  records.h - where the next message's records are written. */

#ifndef RECORDS_H_INCLUDED
#define RECORDS_H_INCLUDED

#include "buffer.h"

/*  Empty; valid until the next call. */
static inline buffer_t *records (void)
{
    static buffer_t buffer;
    if (!buffer.max)
        buffer_init (&buffer, SIZE_MAX);
    buffer_clear (&buffer);
    return &buffer;
}

#endif
