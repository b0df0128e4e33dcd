/* SPDX-License-Identifier: MPL-2.0
 *
 *  supervise.c - N processes of one kind, kept alive.
 *
 *    RUNNING --crash--> PAUSED --time--> RUNNING
 *       \--told to go, or nothing to hope for--> GONE */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "supervise.h"

#define PAUSE_MIN_US 100000
#define PAUSE_MAX_US 10000000
#define USAGE        2

typedef struct {
    pid_t pid;              /* 0: does not run */
    int64_t started_us, start_at_us, pause_us;
    bool gone;
} process_t;

typedef struct {
    process_t processes [SUPERVISE_MAX];
    int count, left;        /* not gone */
    bool stopping;
    int worst;
    sigset_t signals, before;
    int (*work) (void *arg);
    void *arg;
} supervisor_t;

static void bury (supervisor_t *self, process_t *process)
{
    process->pid = 0;
    process->gone = true;
    self->left--;
}

static void start (supervisor_t *self, process_t *process)
{
    const pid_t supervisor = getpid ();
    const pid_t pid = fork ();

    process->started_us = clock_now_us ();
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGTERM);
        setpgid (0, 0); /* a Ctrl-C reaches it once, through us */
        sigprocmask (SIG_SETMASK, &self->before, NULL);
        if (getppid () != supervisor)
            _exit (1);
        exit (self->work (self->arg));
    }
    if (pid > 0) {
        process->pid = pid;
        return;
    }
    log_error ("cannot fork", log_int ("errno", errno));
    process->start_at_us = process->started_us + PAUSE_MAX_US;
}

/*  How a process ended, as a shell would say it. */
static int code_of (int status)
{
    return WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
}

static void mourn (supervisor_t *self, process_t *process, int code)
{
    const int64_t now_us = clock_now_us ();
    const pid_t pid = process->pid;

    process->pid = 0;
    if (code == 0 || code == USAGE || self->stopping) {
        self->worst = code > self->worst ? code : self->worst;
        bury (self, process);
        return;
    }
    if (now_us - process->started_us > PAUSE_MAX_US || process->pause_us < PAUSE_MIN_US)
        process->pause_us = PAUSE_MIN_US;
    log_warning ("a worker process ended, another will follow", log_int ("pid", pid), log_int ("code", code),
                 log_int ("pause_ms", process->pause_us / 1000));
    process->start_at_us = now_us + process->pause_us;
    process->pause_us = process->pause_us * 2 < PAUSE_MAX_US ? process->pause_us * 2 : PAUSE_MAX_US;
}

static void reap (supervisor_t *self)
{
    int status;
    pid_t pid;

    while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < self->count; i++)
            if (self->processes [i].pid == pid)
                mourn (self, &self->processes [i], code_of (status));
}

static void stop (supervisor_t *self, int number)
{
    self->stopping = true;
    for (int i = 0; i < self->count; i++) {
        process_t *process = &self->processes [i];
        if (process->pid > 0)
            kill (process->pid, number);
        else if (!process->gone)
            bury (self, process);
    }
}

/*  Starts what is due; when the next is, in microseconds of the clock. */
static int64_t start_due (supervisor_t *self)
{
    const int64_t now_us = clock_now_us ();
    int64_t next_us = INT64_MAX;

    for (int i = 0; i < self->count; i++) {
        process_t *process = &self->processes [i];
        if (process->pid > 0 || process->gone)
            continue;
        if (process->start_at_us <= now_us)
            start (self, process);
        if (process->pid == 0 && process->start_at_us < next_us)
            next_us = process->start_at_us;
    }
    return next_us;
}

static void await_signal (supervisor_t *self, int64_t until_us)
{
    const int64_t now_us = clock_now_us ();
    const int64_t wait_us = until_us == INT64_MAX ? 60000000 : until_us > now_us ? until_us - now_us : 0;
    const struct timespec timeout = {wait_us / 1000000, wait_us % 1000000 * 1000};
    const int number = sigtimedwait (&self->signals, NULL, &timeout);

    if (number == SIGTERM || number == SIGINT)
        stop (self, number);
}

int supervise (int count, int (*work) (void *arg), void *arg)
{
    supervisor_t *self = calloc (1, sizeof *self);
    int worst;

    if (!self)
        return 1;
    self->count = self->left = count;
    self->work = work;
    self->arg = arg;
    sigemptyset (&self->signals);
    sigaddset (&self->signals, SIGTERM);
    sigaddset (&self->signals, SIGINT);
    sigaddset (&self->signals, SIGCHLD);
    sigprocmask (SIG_BLOCK, &self->signals, &self->before);
    while (self->left > 0) {
        const int64_t next_us = self->stopping ? INT64_MAX : start_due (self);
        await_signal (self, next_us);
        reap (self);
    }
    sigprocmask (SIG_SETMASK, &self->before, NULL);
    worst = self->worst;
    free (self);
    return worst;
}
