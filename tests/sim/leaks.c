/* SPDX-License-Identifier: MPL-2.0 */

#include "leaks.h"
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

int64_t leaks_blocks (void)
{
    return 0;
}

#else

/*  glibc's own, under the names that it keeps for this. */
void *__libc_malloc (size_t size);
void *__libc_calloc (size_t count, size_t size);
void *__libc_realloc (void *block, size_t size);
void __libc_free (void *block);

void *malloc (size_t size) __attribute__ ((visibility ("default")));
void *calloc (size_t count, size_t size) __attribute__ ((visibility ("default")));
void *realloc (void *block, size_t size) __attribute__ ((visibility ("default")));
void free (void *block) __attribute__ ((visibility ("default")));

static int64_t blocks;

int64_t leaks_blocks (void)
{
    return blocks;
}

void *malloc (size_t size)
{
    void *block = __libc_malloc (size);
    blocks += block != NULL;
    return block;
}

void *calloc (size_t count, size_t size)
{
    void *block = __libc_calloc (count, size);
    blocks += block != NULL;
    return block;
}

void *realloc (void *old, size_t size)
{
    void *block = __libc_realloc (old, size);
    blocks += !old && block;
    blocks -= old && !block && !size;
    return block;
}

void free (void *block)
{
    blocks -= block != NULL;
    __libc_free (block);
}

#endif
