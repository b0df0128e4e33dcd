/* SPDX-License-Identifier: MPL-2.0
 *
 *  heap.c - what a process holds, for LD_PRELOAD: the first int64 in the file that WEFT_CHAOS_HEAP names is the number of bytes that it
 *  has allocated and not freed, all the time, and the second the most that it ever was. What libc keeps of what was freed, for each
 *  thread and between what lives long, is in its RSS, and not in this. */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHOWN __attribute__ ((visibility ("default")))

extern void *__libc_malloc (size_t);
extern void *__libc_calloc (size_t, size_t);
extern void *__libc_realloc (void *, size_t);
extern void *__libc_memalign (size_t, size_t);
extern void __libc_free (void *);

typedef struct {
    int64_t held, most;
} heap_t;

static heap_t before; /* there is a file */
static heap_t *heap = &before;

__attribute__ ((constructor)) static void map_file (void)
{
    const char *path = getenv ("WEFT_CHAOS_HEAP");
    const int fd = path ? open (path, O_RDWR | O_CLOEXEC) : -1;
    heap_t *page = fd < 0 ? MAP_FAILED : mmap (NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        abort (); /* a heap that never grows shows nothing */
    close (fd);
    *page = before;
    heap = page;
}

static void count (int64_t bytes)
{
    const int64_t held = __atomic_add_fetch (&heap->held, bytes, __ATOMIC_RELAXED);
    int64_t most = __atomic_load_n (&heap->most, __ATOMIC_RELAXED);
    while (held > most && !__atomic_compare_exchange_n (&heap->most, &most, held, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static void *counted (void *block)
{
    if (block)
        count ((int64_t) malloc_usable_size (block));
    return block;
}

SHOWN void *malloc (size_t size)
{
    return counted (__libc_malloc (size));
}

SHOWN void *calloc (size_t number, size_t size)
{
    return counted (__libc_calloc (number, size));
}

SHOWN void free (void *block)
{
    if (block)
        count (-(int64_t) malloc_usable_size (block));
    __libc_free (block);
}

SHOWN void *realloc (void *old, size_t size)
{
    const int64_t was = old ? (int64_t) malloc_usable_size (old) : 0;
    void *block = __libc_realloc (old, size);
    if (block || (old && size == 0)) /* then it was freed */
        count (-was);
    return counted (block);
}

SHOWN void *memalign (size_t alignment, size_t size)
{
    return counted (__libc_memalign (alignment, size));
}

SHOWN void *aligned_alloc (size_t alignment, size_t size)
{
    return memalign (alignment, size);
}

SHOWN int posix_memalign (void **block, size_t alignment, size_t size)
{
    *block = memalign (alignment, size);
    return *block ? 0 : ENOMEM;
}
