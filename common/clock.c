/* SPDX-License-Identifier: MPL-2.0 */

#include "clock.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

int64_t clock_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t clock_seed (void)
{
    uint64_t seed;
    if (getrandom (&seed, sizeof seed, 0) != sizeof seed)
        abort (); /* blocks until the kernel's pool is ready; cannot fail for 8 bytes */
    return seed;
}

void clock_uuid (char uuid [UUID_SIZE + 1])
{
    const uint64_t a = (clock_seed () & ~(uint64_t) 0xf000) | 0x4000;
    const uint64_t b = (clock_seed () & ~(3ull << 62)) | 2ull << 62;
    snprintf (uuid, UUID_SIZE + 1, "%08x-%04x-%04x-%04x-%012llx", (unsigned) (a >> 32),
              (unsigned) (a >> 16 & 0xffff), (unsigned) (a & 0xffff), (unsigned) (b >> 48),
              (unsigned long long) (b & 0xffffffffffff));
}

int clock_cores (void)
{
    cpu_set_t set;
    if (sched_getaffinity (0, sizeof set, &set) == 0 && CPU_COUNT (&set) > 0)
        return CPU_COUNT (&set);
    return 1;
}
