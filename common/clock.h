/* SPDX-License-Identifier: MPL-2.0
 *
 *  clock.h - the one place that reads a clock, the system's dice and a process's identity. Shells use it, cores do not. */

#ifndef CLOCK_H_INCLUDED
#define CLOCK_H_INCLUDED

#include <stddef.h>
#include <stdint.h>

#define UUID_SIZE 36

/*  Microseconds of the monotonic clock. */
int64_t clock_now_us (void);

/*  Random bits from the system. */
uint64_t clock_seed (void);

/*  A fresh random (version 4) UUID as text with its NUL. */
void clock_uuid (char uuid [UUID_SIZE + 1]);

/*  Processors this process may use, at least 1. */
int clock_cores (void);

#endif
