/* SPDX-License-Identifier: MPL-2.0
 *
 *  hostile.c - a process that means no good. */

#include "roles.h"

static void start (process_t *process)
{
    (void) process;
}

static void turn (process_t *process)
{
    (void) process;
}

static int64_t next_us (const process_t *process)
{
    (void) process;
    return NEVER;
}

const program_t hostile_program = {start, start, turn, next_us};
