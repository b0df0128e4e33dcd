/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "cli/exits.h"
#include "cli/grid.h"
#include "cli/object.h"
#include <stdlib.h>

/*  What a grid prints. */
static char *print (const grid_t *grid, grid_style_t style)
{
    char *text = NULL;
    size_t size;
    FILE *const out = open_memstream (&text, &size);
    grid_print (grid, style, out);
    fclose (out);
    return text;
}

static const grid_column_t columns [] = {{"NAME", false}, {"COUNT", true}, {"NOTE", false}, {NULL, false}};

TEST (columns_are_as_wide_as_they_need)
{
    grid_t grid;
    grid_init (&grid, columns);
    grid_add (&grid, "Arithmetic");
    grid_add (&grid, "%d", 5);
    grid_add (&grid, "fine");
    grid_add (&grid, "\xc3\xa9");
    grid_add (&grid, "%d", 1234567);
    grid_add (&grid, "%s", "");
    char *text = print (&grid, GRID_TITLES);
    CHECK_STR (text, "NAME          COUNT  NOTE\n"
                     "Arithmetic        5  fine\n"
                     "\xc3\xa9           1234567\n");
    free (text);
    text = print (&grid, GRID_UNTITLED);
    CHECK_STR (text, "Arithmetic        5  fine\n"
                     "\xc3\xa9           1234567\n");
    free (text);
    grid_fini (&grid);
}

TEST (an_empty_grid_has_titles_only)
{
    grid_t grid;
    grid_init (&grid, columns);
    char *text = print (&grid, GRID_TITLES);
    CHECK_STR (text, "NAME  COUNT  NOTE\n");
    free (text);
    text = print (&grid, GRID_BOLD_TITLES);
    CHECK_STR (text, "\033[1mNAME  COUNT  NOTE\033[0m\n");
    free (text);
    text = print (&grid, GRID_UNTITLED);
    CHECK_STR (text, "");
    free (text);
    grid_fini (&grid);
}

TEST (cells_are_made_harmless)
{
    grid_t grid;
    grid_init (&grid, columns);
    grid_add (&grid, "%s", "a\033[31mb");
    grid_add (&grid, "1");
    grid_add (&grid, "%s", "two\nlines");
    char *text = print (&grid, GRID_UNTITLED);
    CHECK_STR (text, "a?[31mb  1  two?lines\n");
    free (text);
    grid_fini (&grid);
}

TEST (each_outcome_has_its_exit_code)
{
    static const int codes [WEFT_STATUS_COUNT] = {[WEFT_OK] = 0,
                                                  [WEFT_CANCELLED] = 1,
                                                  [WEFT_APP_ERROR] = 6,
                                                  [WEFT_INVALID] = 2,
                                                  [WEFT_DEADLINE_EXCEEDED] = 5,
                                                  [WEFT_HANDLER_TIMEOUT] = 5,
                                                  [WEFT_CONNECT_TIMEOUT] = 4,
                                                  [WEFT_NO_SERVICE] = 4,
                                                  [WEFT_NO_WORKERS] = 4,
                                                  [WEFT_UNIMPLEMENTED] = 4,
                                                  [WEFT_PERMISSION_DENIED] = 7,
                                                  [WEFT_UNAUTHENTICATED] = 7,
                                                  [WEFT_OVERLOADED] = 8,
                                                  [WEFT_TOO_LARGE] = 2,
                                                  [WEFT_DRAINING] = 4,
                                                  [WEFT_WORKER_LOST] = 1,
                                                  [WEFT_BROKER_LOST] = 3,
                                                  [WEFT_SHUTDOWN] = 1,
                                                  [WEFT_INTERNAL] = 1};
    for (int i = 0; i < WEFT_STATUS_COUNT; i++)
        CHECK_INT (exits_of ((weft_status_t) i, WEFT_EXECUTED_NO, true), codes [i]);
    CHECK_INT (exits_of ((weft_status_t) 99, WEFT_EXECUTED_NO, true), EXITS_OTHER);
}

TEST (without_a_broker_waiting_in_vain_is_the_brokers)
{
    CHECK_INT (exits_of (WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO, false), EXITS_BROKER);
    CHECK_INT (exits_of (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO, false), EXITS_BROKER);
    CHECK_INT (exits_of (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE, false), EXITS_DEADLINE);
}

TEST (a_bad_answer_is_not_the_users_mistake)
{
    CHECK_INT (exits_of (WEFT_INVALID, WEFT_EXECUTED_YES, true), EXITS_OTHER);
    CHECK_INT (exits_of (WEFT_TOO_LARGE, WEFT_EXECUTED_YES, true), EXITS_OTHER);
}

static char *text_of_object (const object_t *object)
{
    buffer_t out;
    buffer_init (&out, 4096);
    object_write (object, &out);
    buffer_append (&out, "", 1);
    CHECK (!out.failed);
    return (char *) out.data;
}

TEST (an_object_is_json_whatever_its_texts_hold)
{
    static const uint8_t type [] = {0x94, 0xa6, 's', 't', 'r', 'u', 'c', 't', 0xa1, 't',
                                    0xa1, 'x',  0xa5, 'i', 'n', 't', '6', '4'};
    static const uint8_t value [] = {0x91, 0x07}, broken [] = {0x92, 0x01};
    object_t object, inner;
    object_init (&object);
    object_init (&inner);
    object_int (&inner, "n", INT64_MIN);
    object_text (&object, "text", "say \"hi\"\n\033");
    object_bool (&object, "yes", true);
    object_double (&object, "rate", 1.5);
    object_object (&object, "inner", &inner);
    object_value (&object, "value", type, sizeof type, value, sizeof value);
    object_value (&object, "broken", NULL, 0, broken, sizeof broken);
    char *text = text_of_object (&object);
    CHECK_STR (text, "{\"text\":\"say \\\"hi\\\"\\n\\u001b\",\"yes\":true,\"rate\":1.500,"
                     "\"inner\":{\"n\":-9223372036854775808},\"value\":{\"x\":7},\"broken\":null}");
    free (text);
    object_fini (&object);
    object_fini (&inner);
}

TEST (an_object_without_fields_is_empty)
{
    object_t object;
    object_init (&object);
    char *text = text_of_object (&object);
    CHECK_STR (text, "{}");
    free (text);
    object_fini (&object);
}
