/* SPDX-License-Identifier: MPL-2.0 */

#include "fault.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fault_set (fault_t *self, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (self->what, sizeof self->what, format, args);
    va_end (args);
    return false;
}

/*  Puts text before the place so far; if there is no room, the outer part becomes "...". */
static void prepend (fault_t *self, const char *text, size_t size)
{
    const size_t room = self->where_at - 3; /* always space for the dots */
    if (self->full)
        return;
    if (size > room) {
        self->full = true;
        text = "...";
        size = 3;
    }
    self->where_at -= size;
    for (size_t i = 0; i < size; i++) /* a name may be a peer's */
        self->where [self->where_at + i] = text [i] > ' ' && text [i] < 0x7f ? text [i] : '?';
}

bool fault_in_field (fault_t *self, const char *name, size_t size)
{
    const char next = self->where [self->where_at];
    if (next != '\0' && next != '[')
        prepend (self, ".", 1);
    prepend (self, name, size);
    return false;
}

bool fault_in_element (fault_t *self, size_t index)
{
    char text [32];
    const char next = self->where [self->where_at];
    if (next != '\0' && next != '[')
        prepend (self, ".", 1);
    prepend (self, text, (size_t) snprintf (text, sizeof text, "[%zu]", index));
    return false;
}

void fault_line (codec_error_t *error, const char *format, ...)
{
    static const char dots [] = "...";
    const size_t last = sizeof error->text - sizeof dots;
    if (!error)
        return;
    va_list args;
    va_start (args, format);
    const int size = vsnprintf (error->text, sizeof error->text, format, args);
    va_end (args);
    if (size < 0 || (size_t) size < sizeof error->text)
        return;

    size_t cut = last; /* where no character is divided */
    while (cut > 0 && (error->text [cut] & 0xc0) == 0x80)
        cut--;
    memcpy (error->text + cut, dots, sizeof dots);
}

void fault_write (const fault_t *self, codec_error_t *error)
{
    const char *where = self->where + self->where_at;
    if (*where)
        fault_line (error, "field %s: %s", where, self->what);
    else
        fault_line (error, "%s", self->what);
}
