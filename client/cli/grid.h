/* SPDX-License-Identifier: MPL-2.0
 *
 *  grid.h - a table for people: cells first, then printed with each column as wide as it needs. */

#ifndef GRID_H_INCLUDED
#define GRID_H_INCLUDED

#include "buffer.h"
#include <stdio.h>

#define GRID_COLUMNS_MAX 12

typedef struct {
    const char *title;
    bool right; /* numbers */
} grid_column_t;

typedef struct {
    const grid_column_t *columns; /* ends with a NULL title */
    size_t column_count, cell_count;
    buffer_t cells;               /* texts with their NULs */
} grid_t;

/*  `columns` is borrowed for the grid's life. */
void grid_init (grid_t *self, const grid_column_t *columns);
void grid_fini (grid_t *self);

/*  Fills the next cell, left to right, row after row; control characters are made harmless. */
void grid_add (grid_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/*  Titles (in bold or plain, or left out), then the rows; no spaces at a line's end. */
typedef enum { GRID_UNTITLED, GRID_TITLES, GRID_BOLD_TITLES } grid_style_t;
void grid_print (const grid_t *self, grid_style_t style, FILE *out);

#endif
