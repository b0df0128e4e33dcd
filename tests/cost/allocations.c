/* SPDX-License-Identifier: MPL-2.0
 *
 *  allocations.c - stands in for malloc and its kin, counts, and passes on to glibc.
 *
 *  Who asked is told by where the call returns to. With WEFT_ALLOCATIONS=FOLDER in the environment the counts are kept in
 *  FOLDER/<pid>.allocations, an allocations_t that others may read meanwhile. */

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "allocations.h"

#define RANGES_MAX 8
#define SEEN_BY_ALL __attribute__ ((visibility ("default")))

extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t count, size_t size);
extern void *__libc_realloc (void *data, size_t size);
extern void *__libc_memalign (size_t alignment, size_t size);

typedef struct {
    _Atomic uint64_t ours, libzmq;
} counts_t;

static counts_t own_counts, *counts = &own_counts;

/*  Where libzmq and libstdc++ are. */
static struct {
    uintptr_t from, to;
} ranges [RANGES_MAX];
static size_t range_count;

static int note_range (struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *slash = strrchr (info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
    (void) size;
    (void) arg;
    if (strncmp (name, "libzmq.", 7) != 0 && strncmp (name, "libstdc++.", 10) != 0)
        return 0;
    for (size_t i = 0; i < info->dlpi_phnum && range_count < RANGES_MAX; i++)
        if (info->dlpi_phdr [i].p_type == PT_LOAD && (info->dlpi_phdr [i].p_flags & PF_X)) {
            ranges [range_count].from = info->dlpi_addr + info->dlpi_phdr [i].p_vaddr;
            ranges [range_count].to = ranges [range_count].from + info->dlpi_phdr [i].p_memsz;
            range_count++;
        }
    return 0;
}

static void share_counts (const char *folder)
{
    char path [512];

    snprintf (path, sizeof path, "%s/%d.allocations", folder, (int) getpid ());
    const int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate (fd, sizeof *counts) < 0)
        abort ();
    counts = mmap (NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED)
        abort ();
    close (fd);
}

__attribute__ ((constructor)) static void begin (void)
{
    const char *folder = getenv ("WEFT_ALLOCATIONS");

    dl_iterate_phdr (note_range, NULL);
    if (folder)
        share_counts (folder);
}

static void count (void *caller)
{
    const uintptr_t at = (uintptr_t) caller;

    for (size_t i = 0; i < range_count; i++)
        if (at >= ranges [i].from && at < ranges [i].to) {
            atomic_fetch_add_explicit (&counts->libzmq, 1, memory_order_relaxed);
            return;
        }
    atomic_fetch_add_explicit (&counts->ours, 1, memory_order_relaxed);
}

SEEN_BY_ALL allocations_t allocations_read (void)
{
    return (allocations_t){counts->ours, counts->libzmq};
}

SEEN_BY_ALL void *malloc (size_t size)
{
    count (__builtin_return_address (0));
    return __libc_malloc (size);
}

SEEN_BY_ALL void *calloc (size_t number, size_t size)
{
    count (__builtin_return_address (0));
    return __libc_calloc (number, size);
}

SEEN_BY_ALL void *realloc (void *data, size_t size)
{
    count (__builtin_return_address (0));
    return __libc_realloc (data, size);
}

SEEN_BY_ALL void *memalign (size_t alignment, size_t size)
{
    count (__builtin_return_address (0));
    return __libc_memalign (alignment, size);
}

SEEN_BY_ALL void *aligned_alloc (size_t alignment, size_t size)
{
    count (__builtin_return_address (0));
    return __libc_memalign (alignment, size);
}

SEEN_BY_ALL int posix_memalign (void **data, size_t alignment, size_t size)
{
    count (__builtin_return_address (0));
    *data = __libc_memalign (alignment, size);
    return *data ? 0 : ENOMEM;
}
