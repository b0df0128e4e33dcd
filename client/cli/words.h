/* SPDX-License-Identifier: MPL-2.0
 *
 *  words.h - the small things said to and read from people: durations, counts, near misses, safe text. */

#ifndef WORDS_H_INCLUDED
#define WORDS_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORDS_SHORT_MAX 32 /* room for any duration or count, with its NUL */

/*  "250", "250us", "1.5ms", "2s", "3m" as microseconds; a bare number counts units of `unit_us`. False
 *  if it is none, negative or beyond a year. */
bool words_to_duration (const char *text, int64_t unit_us, int64_t *us);

/*  "76 us", "1.25 ms", "3.40 s"; always three digits that count. */
const char *words_duration (char text [WORDS_SHORT_MAX], int64_t us);

/*  "1,234,567". */
const char *words_count (char text [WORDS_SHORT_MAX], uint64_t count);

/*  Replaces what could move a terminal's cursor or colours by '?': names and texts come from strangers. */
void words_defuse (char *text);

/*  How many columns UTF-8 text takes, as far as one code point is one column. */
size_t words_width (const char *text);

/*  Keeps the candidate nearest to a word, if it is near enough to be a slip of the fingers. */
typedef struct {
    const char *word, *best; /* best: NULL while none is near */
    size_t distance;
} nearest_t;
nearest_t nearest (const char *word);
void nearest_try (nearest_t *self, const char *candidate);

#endif
