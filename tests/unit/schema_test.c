/* SPDX-License-Identifier: MPL-2.0 */

#include <weft/schema.h>
#include "check.h"
#include "sample.h"
#include <stdio.h>
#include <stdlib.h>

TEST (built_in_types_have_their_names_and_sizes)
{
    CHECK_STR (weft_int32_schema ()->name, "int32");
    CHECK_INT (weft_int32_schema ()->size, 4);
    CHECK_STR (weft_any_schema ()->name, "any");
    CHECK_INT (weft_any_schema ()->size, sizeof (weft_any));
    CHECK_INT (weft_none_schema ()->kind, WEFT_KIND_NONE);
}

TEST (tables_point_at_the_members)
{
    const weft_field_t *fields = sample_schema ()->fields;
    CHECK_STR (sample_schema ()->name, "sample");
    CHECK_INT (sample_schema ()->size, sizeof (sample));
    CHECK_STR (fields [9].name, "points");
    CHECK (fields [9].array && fields [9].type == point_schema);
    CHECK_INT (fields [9].offset, offsetof (sample, points));
    CHECK_INT (fields [9].count_offset, offsetof (sample, point_count));
    CHECK (fields [12].optional);
    CHECK_INT (fields [12].has_offset, offsetof (sample, has_origin));
    CHECK (fields [14].type == NULL);
}

TEST (values_carry_type_and_pointer)
{
    const arith_args in = {6, 7};
    int64_t out = 0;
    CHECK (WEFT_IN (arith_args, &in).data == &in);
    CHECK (WEFT_IN (arith_args, &in).schema == arith_args_schema ());
    CHECK (WEFT_OUT (weft_int64, &out).data == &out);
    CHECK_INT (((arith_args *) WEFT_IN (arith_args, &(arith_args){1, 2}).data)->b, 2);
    CHECK (WEFT_NOTHING.schema == weft_none_schema ());
}

/*  Compiles `code` with the C compiler alone; true if that went without a word. */
static bool compiles (const char *compiler, const char *code)
{
    char command [2048];
    const char *source = getenv ("WEFT_SOURCE_DIR");
    snprintf (command, sizeof command,
              "%s -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I%s/common/include - "
              ">/dev/null 2>&1",
              compiler, source ? source : ".");
    FILE *pipe = popen (command, "w");
    CHECK (pipe != NULL);
    fputs ("#include <weft/schema.h>\n"
           "typedef struct { double x; int64_t n; size_t count; bool has; const double *xs; } thing;\n",
           pipe);
    fputs (code, pipe);
    return pclose (pipe) == 0;
}

static void check_macros (const char *compiler)
{
    static const char good [] =
        "WEFT_SCHEMA (thing, WEFT_FIELD (x, weft_double), WEFT_OPTIONAL (n, weft_int64, has),"
        " WEFT_ARRAY (xs, weft_double, count))\n"
        "weft_value_t f (const thing *t);\n"
        "weft_value_t f (const thing *t) { return WEFT_IN (thing, t); }\n";
    if (!compiles (compiler, "typedef int nothing;\n"))
        return; /* not installed here */
    CHECK (compiles (compiler, good));
    CHECK (!compiles (compiler, "WEFT_SCHEMA (thing, WEFT_FIELD (x, weft_int64))\n"));
    CHECK (!compiles (compiler, "WEFT_SCHEMA (thing, WEFT_FIELD (n, weft_uint64))\n"));
    CHECK (!compiles (compiler, "WEFT_SCHEMA (thing, WEFT_ARRAY (xs, weft_int64, count))\n"));
    CHECK (!compiles (compiler, "WEFT_SCHEMA (thing, WEFT_ARRAY (xs, weft_double, n))\n"));
    CHECK (!compiles (compiler, "WEFT_SCHEMA (thing, WEFT_OPTIONAL (n, weft_int64, count))\n"));
    CHECK (!compiles (compiler, "WEFT_SCHEMA (thing, WEFT_FIELD (y, weft_double))\n"));
    CHECK (!compiles (compiler, "weft_value_t f (double *d);\n"
                                "weft_value_t f (double *d) { return WEFT_IN (weft_int64, d); }\n"));
    CHECK (!compiles (compiler, "weft_value_t f (const double *d);\n"
                                "weft_value_t f (const double *d) { return WEFT_OUT (weft_double, d); }\n"));
}

TEST (macros_refuse_the_wrong_type_in_gcc)
{
    check_macros ("gcc -std=c11 -x c");
}

TEST (macros_refuse_the_wrong_type_in_clang)
{
    check_macros ("clang -std=c11 -x c");
}

TEST (macros_refuse_the_wrong_type_in_cplusplus)
{
    check_macros ("g++ -std=c++17 -x c++");
}
