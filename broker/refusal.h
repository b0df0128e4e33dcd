/* SPDX-License-Identifier: MPL-2.0
 *
 *  refusal.h - why not: a status and one line for people. */

#ifndef REFUSAL_H_INCLUDED
#define REFUSAL_H_INCLUDED

#include "wire.h"

typedef struct {
    weft_status_t status;
    uint64_t retry_after_ms;    /* 0: nothing is known of when it may go better */
    char text [512];
} refusal_t;

/*  Fills it and returns false, so that a check can say `return refuse (...)`. What peers sent may be quoted:
 *  bytes that are not printable ASCII become '?'. */
bool refuse (refusal_t *self, weft_status_t status, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/*  A peer's text for "%.*s", cut to a length that suits a line. */
#define QUOTED(t) (int) ((t).size < 80 ? (t).size : 80), (t).data ? (t).data : ""

#endif
