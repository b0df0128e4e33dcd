/* SPDX-License-Identifier: MPL-2.0
 *
 *  child.c - one run of a command.
 *
 *  Input, output and the end of the process are awaited together, so that neither side waits for a full
 *  pipe of the other. The end of the process is what counts: a grandchild that keeps the pipes open is not
 *  waited for. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "child.h"

#define LOOK_MS    20       /* between two questions whether to go on */
#define CHUNK_SIZE 65536
#define ERROR_KEEP 4096     /* the end of stderr that is kept */

extern char **environ;

enum { IN, OUT, ERR, END, STREAMS };

typedef struct {
    const child_job_t *job;
    pid_t pid;
    int fds [STREAMS];      /* ours; -1: closed */
    size_t written;
    char tail [ERROR_KEEP]; /* of stderr */
    size_t tail_size;
} child_t;

static void close_fd (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

/*  ------------------------------------------------------------------ starting  */

static int spawn (child_t *self, const char *command, int pipes [3][2])
{
    char *const argv [] = {(char *) "sh", (char *) "-c", (char *) (uintptr_t) command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    posix_spawn_file_actions_init (&files);
    posix_spawn_file_actions_adddup2 (&files, pipes [IN][0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2 (&files, pipes [OUT][1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2 (&files, pipes [ERR][1], STDERR_FILENO);
    sigemptyset (&none);
    sigfillset (&all);
    posix_spawnattr_init (&attributes);
    posix_spawnattr_setflags (&attributes,
                              POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask (&attributes, &none);
    posix_spawnattr_setsigdefault (&attributes, &all);
    const int failed = posix_spawn (&self->pid, "/bin/sh", &files, &attributes, argv, environ);
    posix_spawnattr_destroy (&attributes);
    posix_spawn_file_actions_destroy (&files);
    return failed;
}

/*  0 or errno. */
static int start (child_t *self, const char *command)
{
    int pipes [3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    int failed = 0;

    for (int i = 0; i < 3 && !failed; i++)
        failed = pipe2 (pipes [i], O_CLOEXEC) < 0 ? errno : 0;
    if (!failed)
        failed = spawn (self, command, pipes);
    self->fds [IN] = pipes [IN][1];
    self->fds [OUT] = pipes [OUT][0];
    self->fds [ERR] = pipes [ERR][0];
    close_fd (&pipes [IN][0]);
    close_fd (&pipes [OUT][1]);
    close_fd (&pipes [ERR][1]);
    if (failed)
        return failed;
    for (int i = IN; i <= ERR; i++)
        fcntl (self->fds [i], F_SETFL, O_NONBLOCK);
    self->fds [END] = pidfd_open (self->pid, 0);
    return 0;
}

/*  ------------------------------------------------------------------ moving bytes  */

static void feed (child_t *self)
{
    const child_job_t *job = self->job;

    while (self->written < job->input_size) {
        const ssize_t size = write (self->fds [IN], (const char *) job->input + self->written,
                                    job->input_size - self->written);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size < 0)
            break; /* it does not want to read: its own affair */
        self->written += (size_t) size;
    }
    close_fd (&self->fds [IN]);
}

static void keep_tail (child_t *self, const char *data, size_t size)
{
    const size_t kept = size < ERROR_KEEP ? size : ERROR_KEEP;
    const size_t excess = self->tail_size + kept > ERROR_KEEP ? self->tail_size + kept - ERROR_KEEP : 0;

    memmove (self->tail, self->tail + excess, self->tail_size - excess);
    self->tail_size -= excess;
    memcpy (self->tail + self->tail_size, data + size - kept, kept);
    self->tail_size += kept;
}

/*  Reads all that is there. */
static void take (child_t *self, int stream)
{
    char chunk [CHUNK_SIZE];
    ssize_t size;

    while (self->fds [stream] >= 0 && !self->job->output->failed) {
        size = read (self->fds [stream], chunk, sizeof chunk);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0)
            close_fd (&self->fds [stream]);
        else if (stream == OUT)
            buffer_append (self->job->output, chunk, (size_t) size);
        else
            keep_tail (self, chunk, (size_t) size);
    }
}

/*  ------------------------------------------------------------------ waiting  */

/*  Moves bytes until the process has ended (true), or must be killed. */
static bool attend (child_t *self)
{
    while (!self->job->output->failed && !self->job->stop (self->job->arg)) {
        struct pollfd polls [STREAMS];
        for (int i = 0; i < STREAMS; i++)
            polls [i] = (struct pollfd){self->fds [i], i == IN ? POLLOUT : POLLIN, 0};
        if (poll (polls, STREAMS, LOOK_MS) < 0 && errno != EINTR)
            return false;
        if (polls [IN].revents)
            feed (self);
        take (self, OUT);
        take (self, ERR);
        if (polls [END].revents)
            return true;
    }
    return false;
}

static void last_line (const child_t *self)
{
    const char *tail = self->tail;
    size_t end = self->tail_size, start;

    while (end > 0 && (tail [end - 1] == '\n' || tail [end - 1] == '\r' || tail [end - 1] == ' '))
        end--;
    for (start = end; start > 0 && tail [start - 1] != '\n';)
        start--;
    snprintf (self->job->last_line, self->job->last_line_size, "%.*s", (int) (end - start), tail + start);
}

child_end_t child_run (const char *command, const child_job_t *job, int *code)
{
    child_t self = {.job = job, .fds = {-1, -1, -1, -1}};
    child_end_t end;
    int status = 0;

    *code = start (&self, command);
    if (*code == 0) {
        const bool ended = self.fds [END] >= 0 && attend (&self);
        if (!ended)
            kill (-self.pid, SIGKILL);
        while (waitpid (self.pid, &status, 0) < 0 && errno == EINTR) {
        }
        take (&self, OUT);
        take (&self, ERR);
        *code = WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status);
        end = job->output->failed ? CHILD_TOO_LARGE
              : !ended            ? CHILD_STOPPED
              : WIFSIGNALED (status) ? CHILD_SIGNALLED
                                     : CHILD_EXITED;
    } else
        end = CHILD_FAILED;
    last_line (&self);
    for (int i = 0; i < STREAMS; i++)
        close_fd (&self.fds [i]);
    return end;
}
