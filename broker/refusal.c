/* SPDX-License-Identifier: MPL-2.0 */

#include "refusal.h"
#include <stdarg.h>
#include <stdio.h>

bool refuse (refusal_t *self, weft_status_t status, const char *format, ...)
{
    va_list arguments;

    va_start (arguments, format);
    vsnprintf (self->text, sizeof self->text, format, arguments);
    va_end (arguments);
    for (char *at = self->text; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    self->status = status;
    self->retry_after_ms = 0;
    return false;
}
