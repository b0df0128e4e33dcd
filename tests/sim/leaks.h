/* SPDX-License-Identifier: MPL-2.0
 *
 *  leaks.h - how many blocks of memory are allocated: counted by standing before malloc. 0 always where a sanitizer does
 *  that better. */

#ifndef LEAKS_H_INCLUDED
#define LEAKS_H_INCLUDED

#include <stdint.h>

int64_t leaks_blocks (void);

#endif
