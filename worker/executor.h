/* SPDX-License-Identifier: MPL-2.0
 *
 *  executor.h - runs jobs on threads of its own and hands them back. */

#ifndef EXECUTOR_H_INCLUDED
#define EXECUTOR_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct executor_job executor_job_t;
typedef void (executor_run_fn) (executor_job_t *self);

/*  Embedded in what is to be run. */
struct executor_job {
    executor_run_fn *run;
    executor_job_t *next;
};

/*  Jobs one after another; `last` points to where the next one goes. */
typedef struct {
    executor_job_t *first, **last;
    size_t count;
} executor_batch_t;

static inline void executor_batch_init (executor_batch_t *self)
{
    self->first = NULL;
    self->last = &self->first;
    self->count = 0;
}

static inline void executor_batch_add (executor_batch_t *self, executor_job_t *job)
{
    job->next = NULL;
    *self->last = job;
    self->last = &job->next;
    self->count++;
}

/*  To be the next that is taken. */
static inline void executor_batch_put_first (executor_batch_t *self, executor_job_t *job)
{
    job->next = self->first;
    self->first = job;
    if (!job->next)
        self->last = &job->next;
    self->count++;
}

static inline executor_job_t *executor_batch_take (executor_batch_t *self)
{
    executor_job_t *job = self->first;
    if (job && (self->first = job->next) == NULL)
        self->last = &self->first;
    self->count -= job != NULL;
    return job;
}

typedef struct executor executor_t;

/*  Starts `threads` threads. `wake_fd` (an eventfd, the caller's) is written to when a job is done while
 *  its owner sleeps. NULL: no threads or no memory. */
executor_t *executor_new (int threads, int wake_fd);

/*  Queues all jobs of the batch, which becomes empty. The owner's thread. */
void executor_submit (executor_t *self, executor_batch_t *batch);

/*  Appends the jobs that are done to `done`. With `sleeping`, and if none were, the next one that is done
 *  writes to wake_fd; so call it last before sleeping, and sleep only if it says false. True: it appended
 *  some. The owner's thread. */
bool executor_collect (executor_t *self, executor_batch_t *done, bool sleeping);

/*  Drops what has not begun, waits at most `timeout_ms` for what runs, and lets go of the executor. `gone
 *  (arg)` runs once, when the last thread has left: before this returns, or later on the thread of a job
 *  that went on (then it returns the number of those). No other function may be called on it any more.
 *  Jobs are the owner's to free, in `gone`. */
typedef void (executor_gone_fn) (void *arg);
int executor_destroy (executor_t **self, int timeout_ms, executor_gone_fn *gone, void *arg);

#endif
