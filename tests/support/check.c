/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include <stdio.h>
#include <stdlib.h>

#define TESTS_MAX 512

static struct {
    const char *name;
    void (*test) (void);
} tests [TESTS_MAX];
static size_t test_count;

void check_add (const char *name, void (*test) (void))
{
    if (test_count == TESTS_MAX)
        abort ();
    tests [test_count].name = name;
    tests [test_count++].test = test;
}

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

int main (int argc, char **argv)
{
    size_t ran = 0;
    for (size_t i = 0; i < test_count; i++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++)
            wanted = wanted || strcmp (argv [a], tests [i].name) == 0;
        if (!wanted)
            continue;
        if (argc != 2)
            printf ("%s\n", tests [i].name);
        tests [i].test ();
        ran++;
    }
    if (ran == 0) {
        fprintf (stderr, "no such test\n");
        return 2;
    }
    return 0;
}
