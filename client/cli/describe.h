/* SPDX-License-Identifier: MPL-2.0
 *
 *  describe.h - services with their methods, signatures and counts, for people. */

#ifndef DESCRIBE_H_INCLUDED
#define DESCRIBE_H_INCLUDED

#include "catalog.h"

/*  Prints them after asking their workers how often each method was called. */
void describe_print (cli_t *cli, const describe_reply *definitions);

#endif
