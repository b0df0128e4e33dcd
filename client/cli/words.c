/* SPDX-License-Identifier: MPL-2.0 */

#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YEAR_US (365.0 * 86400 * 1e6)

bool words_to_duration (const char *text, int64_t unit_us, int64_t *us)
{
    static const struct {
        const char *name;
        int64_t us;
    } units [] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}};

    const size_t digits = strspn (text, "0123456789.");
    if (digits == 0 || text [0] == '.')
        return false;
    char *unit;
    const double number = strtod (text, &unit);
    if (unit != text + digits)
        return false;
    for (size_t i = 0; *unit && i < sizeof units / sizeof *units; i++)
        if (strcmp (unit, units [i].name) == 0) {
            unit_us = units [i].us;
            unit = "";
        }
    if (*unit || number * (double) unit_us > YEAR_US)
        return false;
    *us = (int64_t) (number * (double) unit_us + 0.5);
    return true;
}

const char *words_duration (char text [WORDS_SHORT_MAX], int64_t us)
{
    const double value = us < 1000 ? (double) us : us < 1000000 ? (double) us / 1e3 : (double) us / 1e6;
    const char *unit = us < 1000 ? "us" : us < 1000000 ? "ms" : "s";
    const int places = us < 1000 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf (text, WORDS_SHORT_MAX, "%.*f %s", places, value, unit);
    return text;
}

const char *words_count (char text [WORDS_SHORT_MAX], uint64_t count)
{
    char digits [24];
    const int size = snprintf (digits, sizeof digits, "%llu", (unsigned long long) count);
    char *at = text;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits [i];
    }
    *at = '\0';
    return text;
}

void words_defuse (char *text)
{
    for (unsigned char *at = (unsigned char *) text; *at; at++) {
        const bool c1 = at [0] == 0xc2 && at [1] >= 0x80 && at [1] < 0xa0; /* control codes in UTF-8 */
        if (*at < 0x20 || *at == 0x7f || c1)
            *at = '?';
        if (c1)
            *++at = '?';
    }
}

size_t words_width (const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char) *text & 0xc0) != 0x80;
    return width;
}

/*  Edits (one letter more, less, other, or two swapped) that turn `a` into `b`. */
#define SLIP_MAX 63
static size_t edit_distance (const char *a, const char *b)
{
    const size_t a_size = strlen (a), b_size = strlen (b);
    if (a_size > SLIP_MAX || b_size > SLIP_MAX)
        return SIZE_MAX;

    size_t rows [3][SLIP_MAX + 1], *older = rows [0], *old = rows [1], *now = rows [2];
    for (size_t j = 0; j <= b_size; j++)
        older [j] = old [j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        now [0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = old [j - 1] + (a [i - 1] != b [j - 1]);
            if (old [j] + 1 < best)
                best = old [j] + 1;
            if (now [j - 1] + 1 < best)
                best = now [j - 1] + 1;
            if (i > 1 && j > 1 && a [i - 1] == b [j - 2] && a [i - 2] == b [j - 1] &&
                older [j - 2] + 1 < best)
                best = older [j - 2] + 1;
            now [j] = best;
        }
        size_t *const freed = older;
        older = old;
        old = now;
        now = freed;
    }
    return old [b_size];
}

nearest_t nearest (const char *word)
{
    const size_t size = strlen (word);
    return (nearest_t){word, NULL, size < 3 ? 2 : size / 3 + 2}; /* a candidate must beat this */
}

void nearest_try (nearest_t *self, const char *candidate)
{
    const size_t distance = edit_distance (self->word, candidate);
    if (distance < self->distance) {
        self->distance = distance;
        self->best = candidate;
    }
}
