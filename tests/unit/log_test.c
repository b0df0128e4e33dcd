/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*  What `log_to_stderr` writes while `event` runs. */
static void capture (char *out, size_t size, bool json, void (*event) (void))
{
    int ends [2];
    const int saved = dup (STDERR_FILENO);
    CHECK (pipe (ends) == 0);
    dup2 (ends [1], STDERR_FILENO);
    log_to_stderr (WEFT_LOG_INFO, json);
    event ();
    dup2 (saved, STDERR_FILENO);
    close (ends [1]);
    const ssize_t got = read (ends [0], out, size - 1);
    out [got > 0 ? got : 0] = '\0';
    close (ends [0]);
    close (saved);
    weft_log_set (WEFT_LOG_INFO, NULL, NULL);
}

static void odd_event (void)
{
    log_info ("worker lost", log_text ("uuid", "a-b"), log_int ("calls", -3),
              log_view ("text", (text_t){"say \"hi\"\n\x01\xff", 11}));
    log_debug ("not shown", log_int ("x", 1));
}

TEST (text_quotes_what_would_break_a_line)
{
    char out [1000];
    capture (out, sizeof out, false, odd_event);
    CHECK_STR (out + 24, " info worker lost uuid=a-b calls=-3 text=\"say \\\"hi\\\"\\u000a\\u0001\\u00ff\"\n");
}

TEST (json_is_one_object_a_line)
{
    char out [1000];
    capture (out, sizeof out, true, odd_event);
    CHECK (strncmp (out, "{\"time\":\"", 9) == 0);
    CHECK_STR (out + 33, "\",\"level\":\"info\",\"message\":\"worker lost\",\"uuid\":\"a-b\",\"calls\":-3,"
                         "\"text\":\"say \\\"hi\\\"\\u000a\\u0001\\u00ff\"}\n");
}

static void long_event (void)
{
    static char z [5000];
    memset (z, '\n', sizeof z - 1);
    log_info ("long", log_text ("a", z), log_text ("b", z), log_text ("c", z), log_text ("d", z));
}

TEST (long_values_are_cut_and_the_line_stays_whole)
{
    static char out [20000];
    capture (out, sizeof out, true, long_event);
    const size_t size = strlen (out);
    CHECK (size > 4000 && strcmp (out + size - 3, "\"}\n") == 0);
}
