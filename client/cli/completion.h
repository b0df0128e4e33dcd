/* SPDX-License-Identifier: MPL-2.0
 *
 *  completion.h - what the shells' completion asks: weft __complete WORD... */

#ifndef COMPLETION_H_INCLUDED
#define COMPLETION_H_INCLUDED

#include "options.h"

/*  Prints the candidates for the last of `words` (ends with NULL), given those before it: one a line, a
 *  tab, and what it is. Silent about all failures, and quick about them. */
void completion_print (const command_t *const *commands, int count, char **words);

#endif
