/* SPDX-License-Identifier: MPL-2.0
 *
 *  memory.c - memory that runs out, for LD_PRELOAD: so many of a million allocations fail as the int64 in the file that
 *  WEFT_CHAOS_MEMORY names says, at any time. Only those that the program itself asks for, or the codec for it: libzmq ends the
 *  process when one of its own fails, and nothing can be done about that from outside. The second int64 of the file counts those
 *  that failed. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc (size_t);
extern void *__libc_calloc (size_t, size_t);
extern void *__libc_realloc (void *, size_t);

typedef struct {
    int64_t per_million, failed;
} control_t;

#define RANGES_MAX 16
static struct {
    uintptr_t first, last;
} ranges [RANGES_MAX]; /* where code of ours is */
static size_t range_count;
static volatile control_t *control;
static uint64_t dice = 1;

static int note_object (struct dl_phdr_info *info, size_t size, void *arg)
{
    (void) size;
    (void) arg;
    if (info->dlpi_name [0] && !strstr (info->dlpi_name, "libweft") && !strstr (info->dlpi_name, "libmsgpack"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW (Phdr) *part = &info->dlpi_phdr [i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || range_count == RANGES_MAX)
            continue;
        ranges [range_count].first = info->dlpi_addr + part->p_vaddr;
        ranges [range_count].last = ranges [range_count].first + part->p_memsz;
        range_count++;
    }
    return 0;
}

__attribute__ ((constructor)) static void map_control (void)
{
    const char *path = getenv ("WEFT_CHAOS_MEMORY");
    const int fd = path ? open (path, O_RDWR | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap (NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        abort (); /* memory that never fails tests nothing */
    close (fd);
    dl_iterate_phdr (note_object, NULL);
    control = page;
}

static bool fails (const void *caller)
{
    if (!control || !control->per_million)
        return false;
    for (size_t i = 0; i < range_count; i++) {
        if ((uintptr_t) caller < ranges [i].first || (uintptr_t) caller >= ranges [i].last)
            continue;
        const uint64_t before = __atomic_fetch_add (&dice, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
        uint64_t mixed = (before ^ before >> 31) * 0xbf58476d1ce4e5b9u;
        mixed ^= mixed >> 29;
        if (mixed % 1000000 >= (uint64_t) control->per_million)
            return false;
        __atomic_fetch_add (&control->failed, 1, __ATOMIC_RELAXED);
        errno = ENOMEM;
        return true;
    }
    return false;
}

__attribute__ ((visibility ("default"))) void *malloc (size_t size)
{
    return fails (__builtin_return_address (0)) ? NULL : __libc_malloc (size);
}

__attribute__ ((visibility ("default"))) void *calloc (size_t count, size_t size)
{
    return fails (__builtin_return_address (0)) ? NULL : __libc_calloc (count, size);
}

__attribute__ ((visibility ("default"))) void *realloc (void *old, size_t size)
{
    return fails (__builtin_return_address (0)) ? NULL : __libc_realloc (old, size);
}
