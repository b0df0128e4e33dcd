/* SPDX-License-Identifier: MPL-2.0
 *
 *  fault.h - what does not fit in a value, and where: "field points[3].x: expected double, got string".
 *
 *  Whoever finds it says what; the place is put together from the inside out, by those who called, on
 *  their way back. So a value that fits costs nothing. */

#ifndef FAULT_H_INCLUDED
#define FAULT_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include "codec.h"

typedef struct {
    char what [512];
    char where [160]; /* filled from its end */
    size_t where_at;
    bool full;
} fault_t;

/*  Cheap: nothing is cleared that need not be. */
static inline void fault_init (fault_t *self)
{
    self->where_at = sizeof self->where - 1;
    self->where [self->where_at] = '\0';
    self->what [0] = '\0';
    self->full = false;
}

/*  All return false, so that a caller can return their result. */
bool fault_set (fault_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
bool fault_in_field (fault_t *self, const char *name, size_t size);
bool fault_in_element (fault_t *self, size_t index);

/*  The whole line: of the fault, or of one's own making. What is too long ends in "...". `error` may be
 *  NULL. */
void fault_write (const fault_t *self, codec_error_t *error);
void fault_line (codec_error_t *error, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

#endif
