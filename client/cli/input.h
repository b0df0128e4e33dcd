/* SPDX-License-Identifier: MPL-2.0
 *
 *  input.h - the body of a call, from JSON on the command line, in a file, or on standard input. */

#ifndef INPUT_H_INCLUDED
#define INPUT_H_INCLUDED

#include "catalog.h"

/*  Appends the body, as MessagePack, that `argument` ("{...}", "@file", "-", or NULL for none) makes
 *  for this method. EXITS_OK, or what is wrong with it has been said. */
int input_body (cli_t *cli, const char *argument, const signature_t *signature, buffer_t *body);

#endif
