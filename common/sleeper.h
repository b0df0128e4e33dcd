/* SPDX-License-Identifier: MPL-2.0
 *
 *  sleeper.h - sleeps until a descriptor can be read or a time has come.
 *
 *  One system call per sleep: descriptors are named once, and the alarm is set anew only if it would come too late. */

#ifndef SLEEPER_H_INCLUDED
#define SLEEPER_H_INCLUDED

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int epoll, timer;       /* -1: not open */
    int64_t alarm_us;       /* when the timer goes off; INT64_MAX: it does not */
} sleeper_t;

/*  False: out of descriptors; close it all the same. */
bool sleeper_open (sleeper_t *self);
void sleeper_close (sleeper_t *self);

/*  Wakes when `fd` can be read. `mark` is one bit, not the highest. False: out of memory. */
bool sleeper_add (sleeper_t *self, int fd, unsigned mark);

/*  Before `fd` is closed. */
void sleeper_remove (sleeper_t *self, int fd);

/*  Sleeps until `until_us` of the monotonic clock at the latest (INT64_MAX: no limit), perhaps less. The marks of those that can be
 *  read. */
unsigned sleeper_sleep (sleeper_t *self, int64_t until_us);

#endif
