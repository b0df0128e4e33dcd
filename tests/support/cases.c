/* SPDX-License-Identifier: MPL-2.0
 *
 *  cases.c - every TEST of a program: the one that is named, or all. */

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
