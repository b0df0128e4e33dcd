/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "log.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/*  The other end of what stderr is while the log goes there, read only when a test says so. */
static int saved_stderr = -1, reading = -1;

static void begin_unread (weft_log_level_t level)
{
    int ends [2];
    CHECK (pipe (ends) == 0);
    saved_stderr = dup (STDERR_FILENO);
    dup2 (ends [1], STDERR_FILENO);
    close (ends [1]);
    reading = ends [0];
    CHECK (fcntl (reading, F_SETFL, O_NONBLOCK) == 0);
    log_to_stderr (level, false);
}

static void end_unread (void)
{
    dup2 (saved_stderr, STDERR_FILENO);
    close (saved_stderr);
    close (reading);
    weft_log_set (WEFT_LOG_INFO, NULL, NULL);
}

static char unread [1 << 20];

static const char *read_it (void)
{
    size_t size = 0;
    for (ssize_t got; (got = read (reading, unread + size, sizeof unread - 1 - size)) > 0;)
        size += (size_t) got;
    unread [size] = '\0';
    return unread;
}

static size_t count_of (const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr (text, part)); text++)
        count++;
    return count;
}

TEST (a_log_that_nobody_reads_holds_nobody_up)
{
    enum { LINES = 20000 };
    static char filler [201];
    memset (filler, 'x', sizeof filler - 1);
    begin_unread (WEFT_LOG_DEBUG);
    alarm (20); /* instead of waiting for ever */
    for (int i = 0; i < LINES; i++)
        log_debug ("said", log_text ("what", filler), log_int ("end", 7));
    const size_t said = count_of (read_it (), " debug said what=");
    CHECK (said > 100 && said < LINES);
    log_debug ("heard", log_int ("end", 7));
    log_debug ("heard", log_int ("end", 7));
    char *rest = strdup (read_it ());
    end_unread ();
    alarm (0);

    const char *lost = strstr (rest, " warning the log was not read fast enough: lines were lost lines=");
    CHECK (lost != NULL);
    const char *number = strchr (lost, '=') + 1;
    CHECK_INT (strtol (number, NULL, 10) + (long) said, LINES); /* one in part among those that were said */
    CHECK_INT (count_of (rest, " debug heard end=7\n"), 2);
    free (rest);
}

static void flood (int lines)
{
    for (int i = 0; i < lines; i++)
        log_info ("peer shouts", log_int ("i", i));
}

TEST (one_place_cannot_flood_the_log)
{
    begin_unread (WEFT_LOG_INFO);
    flood (10000);
    log_info ("something else", log_int ("i", 1));
    size_t shouts = count_of (read_it (), " info peer shouts i=");
    CHECK (shouts >= LOG_LINES_PER_SECOND && shouts <= 3 * LOG_LINES_PER_SECOND);
    CHECK_INT (count_of (unread, " info something else"), 1);

    /* the count is told by whatever is logged in a later second */
    size_t held_back = 0;
    do {
        log_debug ("not shown", log_int ("i", 1));
        log_info ("time passes", log_int ("i", 1));
        const char *told = strstr (read_it (), " warning too many lines were held back like=\"peer shouts\" lines=");
        held_back += told ? (size_t) strtol (strstr (told, "lines=") + 6, NULL, 10) : 0;
    } while (shouts + held_back < 10000);
    CHECK_INT (shouts + held_back, 10000);
    flood (1);
    CHECK_INT (count_of (read_it (), " info peer shouts i=0\n"), 1);
    end_unread ();
}
