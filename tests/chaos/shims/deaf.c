/* SPDX-License-Identifier: MPL-2.0
 *
 *  deaf.c - a process that does not read what is sent to it, for LD_PRELOAD: while the int64 in the file that WEFT_CHAOS_DEAF names
 *  is not 0, there is nothing on any socket to receive. What it says itself goes out as ever. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int64_t *deaf;

__attribute__ ((constructor)) static void map_control (void)
{
    const char *path = getenv ("WEFT_CHAOS_DEAF");
    const int fd = path ? open (path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap (NULL, sizeof *deaf, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        abort (); /* one that hears tests nothing */
    close (fd);
    deaf = page;
}

__attribute__ ((visibility ("default"))) ssize_t recv (int fd, void *buffer, size_t size, int flags)
{
    if (!deaf || !*deaf)
        return syscall (SYS_recvfrom, fd, buffer, size, flags, NULL, NULL);
    poll (NULL, 0, 1); /* libzmq hears from the kernel that there is something, and asks again at once */
    errno = EAGAIN;
    return -1;
}
