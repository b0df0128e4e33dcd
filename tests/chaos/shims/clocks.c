/* SPDX-License-Identifier: MPL-2.0
 *
 *  clocks.c - a wall clock that jumps, for LD_PRELOAD: so many seconds off as the int64 in the file that WEFT_CHAOS_CLOCK names
 *  says, at any time. The monotonic clock is the machine's. */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_s;

__attribute__ ((constructor)) static void map_offset (void)
{
    const char *path = getenv ("WEFT_CHAOS_CLOCK");
    const int fd = path ? open (path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap (NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        abort (); /* a clock that does not jump tests nothing */
    offset_s = page;
    close (fd);
}

__attribute__ ((visibility ("default"))) int clock_gettime (clockid_t clock, struct timespec *now)
{
    const int result = (int) syscall (SYS_clock_gettime, clock, now);
    if (offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset_s;
    return result;
}

__attribute__ ((visibility ("default"))) int gettimeofday (struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void) zone;
    clock_gettime (CLOCK_REALTIME, &exact);
    *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return 0;
}

__attribute__ ((visibility ("default"))) time_t time (time_t *now)
{
    struct timespec exact;
    clock_gettime (CLOCK_REALTIME, &exact);
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}
