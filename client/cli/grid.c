/* SPDX-License-Identifier: MPL-2.0 */

#include "grid.h"
#include "words.h"
#include <assert.h>
#include <stdarg.h>
#include <string.h>

#define GAP 2

void grid_init (grid_t *self, const grid_column_t *columns)
{
    *self = (grid_t){.columns = columns};
    while (columns [self->column_count].title)
        self->column_count++;
    assert (self->column_count <= GRID_COLUMNS_MAX);
    buffer_init (&self->cells, SIZE_MAX / 2);
}

void grid_fini (grid_t *self)
{
    buffer_fini (&self->cells);
}

void grid_add (grid_t *self, const char *format, ...)
{
    va_list args, again;
    va_start (args, format);
    va_copy (again, args);
    const int size = vsnprintf (NULL, 0, format, args);
    char *const cell = size < 0 ? NULL : (char *) buffer_extend (&self->cells, (size_t) size + 1);
    if (cell) {
        vsnprintf (cell, (size_t) size + 1, format, again);
        words_defuse (cell);
        self->cell_count++;
    }
    va_end (again);
    va_end (args);
}

static void measure (const grid_t *self, bool titled, size_t widths [GRID_COLUMNS_MAX])
{
    for (size_t i = 0; i < self->column_count; i++)
        widths [i] = titled ? words_width (self->columns [i].title) : 0;
    const char *cell = (const char *) self->cells.data;
    for (size_t i = 0; i < self->cell_count; i++, cell += strlen (cell) + 1) {
        const size_t width = words_width (cell), column = i % self->column_count;
        if (width > widths [column])
            widths [column] = width;
    }
}

/*  The spaces before it are kept back until there is something to say, so that no line ends with them. */
static void print_cell (FILE *out, const char *text, size_t width, bool right, size_t *pending)
{
    const size_t spaces = width - words_width (text);
    if (right)
        *pending += spaces;
    if (*text) {
        fprintf (out, "%*s%s", (int) *pending, "", text);
        *pending = 0;
    }
    if (!right)
        *pending += spaces;
    *pending += GAP;
}

static void print_titles (const grid_t *self, const size_t widths [GRID_COLUMNS_MAX], bool bold, FILE *out)
{
    size_t pending = 0;
    fputs (bold ? "\033[1m" : "", out);
    for (size_t i = 0; i < self->column_count; i++)
        print_cell (out, self->columns [i].title, widths [i], self->columns [i].right, &pending);
    fputs (bold ? "\033[0m\n" : "\n", out);
}

void grid_print (const grid_t *self, grid_style_t style, FILE *out)
{
    size_t widths [GRID_COLUMNS_MAX];
    measure (self, style != GRID_UNTITLED, widths);
    if (style != GRID_UNTITLED)
        print_titles (self, widths, style == GRID_BOLD_TITLES, out);

    const char *cell = (const char *) self->cells.data;
    size_t pending = 0;
    for (size_t i = 0; i < self->cell_count; i++, cell += strlen (cell) + 1) {
        const size_t column = i % self->column_count;
        print_cell (out, cell, widths [column], self->columns [column].right, &pending);
        if (column + 1 == self->column_count) {
            fputc ('\n', out);
            pending = 0;
        }
    }
}
