/* SPDX-License-Identifier: MPL-2.0
 *
 *  executor.h - threads that take turns: one leads, the others run what it does not run itself, and one of them
 *  takes the lead from a leader that does not come back. */

#ifndef EXECUTOR_H_INCLUDED
#define EXECUTOR_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct executor_job executor_job_t;
typedef void (executor_run_fn) (executor_job_t *self);

/*  Embedded in what is to be run. */
struct executor_job {
    executor_run_fn *run;   /* on a thread that does not lead */
    int64_t cost_ns;        /* how long that will take, perhaps */
    bool unknown;           /* nobody can say */
    executor_job_t *next;
};

/*  Jobs one after another; `last` points to where the next one goes. */
typedef struct {
    executor_job_t *first, **last;
    size_t count;
    int64_t cost_ns;
} executor_batch_t;

static inline void executor_batch_init (executor_batch_t *self)
{
    self->first = NULL;
    self->last = &self->first;
    self->count = 0;
    self->cost_ns = 0;
}

static inline void executor_batch_add (executor_batch_t *self, executor_job_t *job)
{
    job->next = NULL;
    *self->last = job;
    self->last = &job->next;
    self->count++;
    self->cost_ns += job->cost_ns;
}

static inline executor_job_t *executor_batch_take (executor_batch_t *self)
{
    executor_job_t *job = self->first;
    if (!job)
        return NULL;
    if ((self->first = job->next) == NULL)
        self->last = &self->first;
    self->count--;
    self->cost_ns -= job->cost_ns;
    return job;
}

/*  Moves all of `from` to the end of it; `from` becomes empty. */
static inline void executor_batch_move (executor_batch_t *self, executor_batch_t *from)
{
    if (from->count == 0)
        return;
    *self->last = from->first;
    self->last = from->last;
    self->count += from->count;
    self->cost_ns += from->cost_ns;
    executor_batch_init (from);
}

typedef struct executor executor_t;

/*  What the leading thread does, until its work is over (true), or until executor_run has said that another
 *  thread leads (false: it must have returned at once and touched nothing of the leader's). `taken` is the job
 *  that the thread which led before still runs, NULL for the first one. Called on one thread at a time, and what
 *  one call did is seen by the next. */
typedef bool (executor_lead_fn) (void *arg, executor_t *self, executor_job_t *taken);

/*  Starts `lanes` + 1 threads, of which at most `lanes` run jobs, the leading one only those that cost no more
 *  than `cheap_ns`. `wake_fd` (an eventfd, the caller's) is written to when a job is done while the leader sleeps.
 *  NULL: no threads, descriptors or memory. */
executor_t *executor_new (int lanes, int64_t cheap_ns, int wake_fd, executor_lead_fn *lead, void *arg);

/*  Drops what has not begun, waits at most `timeout_ms` for what runs, and lets go of the executor. `gone
 *  (arg)` runs once, when the last thread has left: before this returns, or later on the thread of a job
 *  that went on (then it returns the number of those). No other function may be called on it any more.
 *  Jobs are the owner's to free, in `gone`. The lead must be over, or about to be. Not on one of its threads. */
typedef void (executor_gone_fn) (void *arg);
int executor_destroy (executor_t **self, int timeout_ms, executor_gone_fn *gone, void *arg);

/*  The rest is for the leading thread, in its lead function. */

/*  Appends the jobs that are done to `done`, and says by executor_may_run whether it may run jobs itself until
 *  the next call. With `sleeping` it may not; and if none were done, the next one that is writes to wake_fd. So
 *  call it last before sleeping, and sleep only if it says false. A leader that may run jobs has a lane of its own,
 *  so it must take back what it can. True: it appended some. */
bool executor_collect (executor_t *self, executor_batch_t *done, bool sleeping);
bool executor_may_run (const executor_t *self);

/*  Queues all jobs of the batch, which becomes empty, for whichever thread has time. */
void executor_submit (executor_t *self, executor_batch_t *batch);

/*  Runs the job on a thread that is made for it and takes no lane, however long that is. It is done like others. False: there is
 *  no thread to be had, and the job is still the caller's. */
bool executor_run_apart (executor_t *self, executor_job_t *job);

/*  Takes back the first one that waits, to run it here; NULL if there is none, or it is not cheap, or this
 *  thread may not run jobs. */
executor_job_t *executor_take_back (executor_t *self);

/*  Calls run (job) here. True: done, go on. False: it took long and another thread leads now; late (job) was
 *  called too, and the job handed to that thread as done. */
bool executor_run (executor_t *self, executor_job_t *job, executor_run_fn *run, executor_run_fn *late);

#endif
