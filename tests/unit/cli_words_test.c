/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "cli/words.h"

TEST (durations_are_read_with_or_without_a_unit)
{
    static const struct {
        const char *text;
        int64_t unit_us, us;
    } good [] = {{"250", 1000, 250000},   {"2", 1000000, 2000000}, {"500ms", 1000000, 500000},
                 {"1.5s", 1000, 1500000}, {"3m", 1000, 180000000}, {"7us", 1000, 7},
                 {"0", 1000, 0},          {"1h", 1, 3600000000}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t us = -1;
        CHECK (words_to_duration (good [i].text, good [i].unit_us, &us));
        CHECK_INT (us, good [i].us);
    }
}

TEST (what_is_no_duration_is_refused)
{
    static const char *const bad [] = {"",      "ms", "-1",  "5x",           "5 ms", "5msx",
                                       "1.2.3", ".5", "1e3", "99999999999s", "0x10", "inf"};
    int64_t us;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK (!words_to_duration (bad [i], 1000, &us));
}

TEST (durations_are_said_in_three_digits)
{
    char text [WORDS_SHORT_MAX];
    CHECK_STR (words_duration (text, 0), "0 us");
    CHECK_STR (words_duration (text, 999), "999 us");
    CHECK_STR (words_duration (text, 1000), "1.00 ms");
    CHECK_STR (words_duration (text, 12345), "12.3 ms");
    CHECK_STR (words_duration (text, 999400), "999 ms");
    CHECK_STR (words_duration (text, 3400000), "3.40 s");
    CHECK_STR (words_duration (text, 86400000000), "86400 s");
}

TEST (counts_have_commas)
{
    char text [WORDS_SHORT_MAX];
    CHECK_STR (words_count (text, 0), "0");
    CHECK_STR (words_count (text, 999), "999");
    CHECK_STR (words_count (text, 1000), "1,000");
    CHECK_STR (words_count (text, 1234567), "1,234,567");
    CHECK_STR (words_count (text, UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST (text_from_strangers_cannot_move_the_cursor)
{
    char text [] = "a\033[2Jb\r\nc\x7f \xc2\x9b" "1m \xc3\xa9";
    words_defuse (text);
    CHECK_STR (text, "a?[2Jb??c? ??1m \xc3\xa9");
}

TEST (width_counts_code_points)
{
    CHECK_INT (words_width (""), 0);
    CHECK_INT (words_width ("abc"), 3);
    CHECK_INT (words_width ("\xc3\xa9\xe2\x82\xac"), 2);
}

TEST (the_nearest_word_is_suggested_if_it_is_near)
{
    static const char *const known [] = {"describe", "doctor", "watch", "ls"};
    static const struct {
        const char *word, *best;
    } cases [] = {{"descrbe", "describe"}, {"wacth", "watch"}, {"docter", "doctor"}, {"sl", "ls"},
                  {"frobnicate", NULL},    {"x", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nearest_t near = nearest (cases [i].word);
        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            nearest_try (&near, known [j]);
        if (cases [i].best)
            CHECK_STR (near.best, cases [i].best);
        else
            CHECK (near.best == NULL);
    }
}

TEST (a_word_too_long_to_compare_is_near_to_nothing)
{
    char word [200];
    memset (word, 'a', sizeof word - 1);
    word [sizeof word - 1] = '\0';
    nearest_t near = nearest (word);
    nearest_try (&near, word);
    CHECK (near.best == NULL);
}
