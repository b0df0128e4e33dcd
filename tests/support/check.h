/* SPDX-License-Identifier: MPL-2.0
 *
 *  check.h - the smallest test harness that tells where and what.
 *
 *      TEST (empty_list_has_no_first)
 *      {
 *          CHECK (list_first (&list) == NULL);
 *          CHECK_INT (list.count, 0);
 *          CHECK_STR (name, "Arith");
 *      }
 *
 *  A test's name stands on the line of its TEST, so that CMake finds it. A failed check prints both
 *  values and ends the process. Run one test by name, or all. */

#ifndef CHECK_H_INCLUDED
#define CHECK_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void check_add (const char *name, void (*test) (void));
void check_failed (const char *file, int line, const char *what) __attribute__ ((noreturn));
void check_int (const char *file, int line, const char *what, intmax_t got, intmax_t expected);
void check_str (const char *file, int line, const char *what, const char *got, const char *expected);
void check_mem (const char *file, int line, const char *what, const void *got, size_t got_size, const void *expected,
                size_t expected_size);

#define TEST(name)                                                                                           \
    static void test_##name (void);                                                                          \
    __attribute__ ((constructor)) static void add_##name (void)                                              \
    {                                                                                                        \
        check_add (#name, test_##name);                                                                      \
    }                                                                                                        \
    static void test_##name (void)

#define CHECK(condition) ((condition) ? (void) 0 : check_failed (__FILE__, __LINE__, #condition))
#define CHECK_INT(got, expected)                                                                             \
    check_int (__FILE__, __LINE__, #got, (intmax_t) (got), (intmax_t) (expected))
#define CHECK_STR(got, expected) check_str (__FILE__, __LINE__, #got, got, expected)
#define CHECK_MEM(got, got_size, expected, expected_size)                                                    \
    check_mem (__FILE__, __LINE__, #got, got, got_size, expected, expected_size)

#endif
