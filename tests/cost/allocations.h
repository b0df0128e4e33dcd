/* SPDX-License-Identifier: MPL-2.0
 *
 *  allocations.h - how often a process asked for memory, by who asked.
 *
 *  allocations.c stands in for malloc and its kin: preloaded into a program, or linked into it. */

#ifndef ALLOCATIONS_H_INCLUDED
#define ALLOCATIONS_H_INCLUDED

#include <stdint.h>

/*  `libzmq`: by it, or by libstdc++ for it. `ours`: by anyone else. */
typedef struct {
    uint64_t ours, libzmq;
} allocations_t;

/*  Those of all threads so far. NULL where the counter is not. */
__attribute__ ((weak, visibility ("default"))) allocations_t allocations_read (void);

#endif
