/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include <stdio.h>
#include <stdlib.h>

void check_failed (const char *file, int line, const char *what)
{
    fprintf (stderr, "%s:%d: failed: %s\n", file, line, what);
    exit (1);
}

void check_int (const char *file, int line, const char *what, intmax_t got, intmax_t expected)
{
    if (got == expected)
        return;
    fprintf (stderr, "%s:%d: failed: %s is %jd, expected %jd\n", file, line, what, got, expected);
    exit (1);
}

void check_str (const char *file, int line, const char *what, const char *got, const char *expected)
{
    if (got && expected && strcmp (got, expected) == 0)
        return;
    fprintf (stderr, "%s:%d: failed: %s is \"%s\", expected \"%s\"\n", file, line, what, got ? got : "(null)",
             expected ? expected : "(null)");
    exit (1);
}

static void print_hex (const char *title, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    fprintf (stderr, "  %s (%zu):", title, size);
    for (size_t i = 0; i < size && i < 256; i++)
        fprintf (stderr, " %02x", bytes [i]);
    fputc ('\n', stderr);
}

void check_mem (const char *file, int line, const char *what, const void *got, size_t got_size, const void *expected,
                size_t expected_size)
{
    if (got_size == expected_size && (got_size == 0 || memcmp (got, expected, got_size) == 0))
        return;
    fprintf (stderr, "%s:%d: failed: %s differs\n", file, line, what);
    print_hex ("got", got, got_size);
    print_hex ("expected", expected, expected_size);
    exit (1);
}
