/* SPDX-License-Identifier: MPL-2.0
 *
 *  executor.c - a pool of threads.
 *
 *  Crossing cores is what costs, so as few threads as possible are woken: a batch wakes one
 *  sleeper, which wakes the next only if there is more than it takes itself; and a finished job
 *  wakes its owner only if that sleeps. Jobs are taken one at a time: none waits behind a slow one
 *  while another thread is free. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "executor.h"
#include "transport.h"

struct executor {
    pthread_mutex_t lock;
    pthread_cond_t work, left;
    executor_batch_t waiting, done;
    pthread_t *pool;
    int started;            /* threads in the pool */
    int threads;            /* of them, that have not left */
    int idle;               /* of them, that sleep */
    int wake_fd;
    bool owner_sleeps;
    bool stopping;
    bool abandoned;         /* the last thread to leave frees */
    executor_gone_fn *gone;
    void *arg;
};

static void executor_free (executor_t *self)
{
    pthread_cond_destroy (&self->work);
    pthread_cond_destroy (&self->left);
    pthread_mutex_destroy (&self->lock);
    free (self->pool);
    free (self);
}

/*  ------------------------------------------------------------------ a thread of the pool  */

/*  The next job, with the lock held; NULL when it is time to leave. */
static executor_job_t *await_job (executor_t *self)
{
    while (!self->waiting.count && !self->stopping) {
        self->idle++;
        pthread_cond_wait (&self->work, &self->lock);
        self->idle--;
    }
    if (self->stopping)
        return NULL;
    executor_job_t *job = executor_batch_take (&self->waiting);
    if (self->waiting.count && self->idle)
        pthread_cond_signal (&self->work);
    return job;
}

static void hand_back (executor_t *self, executor_job_t *job)
{
    executor_batch_add (&self->done, job);
    if (!self->owner_sleeps)
        return;
    self->owner_sleeps = false;
    transport_wake (self->wake_fd);
}

static void leave (executor_t *self)
{
    const bool last = --self->threads == 0 && self->abandoned;

    pthread_cond_signal (&self->left);
    pthread_mutex_unlock (&self->lock);
    if (!last)
        return;
    self->gone (self->arg);
    executor_free (self);
}

static void *pool_thread (void *arg)
{
    executor_t *self = arg;
    executor_job_t *job;

    pthread_mutex_lock (&self->lock);
    while ((job = await_job (self)) != NULL) {
        pthread_mutex_unlock (&self->lock);
        job->run (job);
        pthread_mutex_lock (&self->lock);
        if (!self->stopping)
            hand_back (self, job);
    }
    leave (self);
    return NULL;
}

/*  Signals are the host program's business: none is delivered to our threads. */
static bool start_thread (executor_t *self)
{
    sigset_t all, before;

    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    const bool started = pthread_create (&self->pool [self->started], NULL, pool_thread, self) == 0;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    self->started += started;
    return started;
}

/*  ------------------------------------------------------------------ the owner  */

static void nothing (void *arg)
{
    (void) arg;
}

executor_t *executor_new (int threads, int wake_fd)
{
    executor_t *self = calloc (1, sizeof *self);
    pthread_condattr_t monotonic;

    if (!self || !(self->pool = calloc ((size_t) threads, sizeof *self->pool))) {
        free (self);
        return NULL;
    }
    pthread_mutex_init (&self->lock, NULL);
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&self->work, NULL);
    pthread_cond_init (&self->left, &monotonic);
    pthread_condattr_destroy (&monotonic);
    executor_batch_init (&self->waiting);
    executor_batch_init (&self->done);
    self->wake_fd = wake_fd;

    pthread_mutex_lock (&self->lock);
    while (self->threads < threads && start_thread (self))
        self->threads++;
    const bool complete = self->threads == threads;
    pthread_mutex_unlock (&self->lock);
    if (!complete)
        executor_destroy (&self, -1, nothing, NULL);
    return self;
}

void executor_submit (executor_t *self, executor_batch_t *batch)
{
    if (!batch->count)
        return;
    pthread_mutex_lock (&self->lock);
    *self->waiting.last = batch->first;
    self->waiting.last = batch->last;
    self->waiting.count += batch->count;
    const bool wake = self->idle > 0;
    pthread_mutex_unlock (&self->lock);
    if (wake)
        pthread_cond_signal (&self->work);
    executor_batch_init (batch);
}

bool executor_collect (executor_t *self, executor_batch_t *done, bool sleeping)
{
    pthread_mutex_lock (&self->lock);
    const bool some = self->done.count > 0;
    if (some) {
        *done->last = self->done.first;
        done->last = self->done.last;
        done->count += self->done.count;
        executor_batch_init (&self->done);
    }
    self->owner_sleeps = sleeping && !some;
    pthread_mutex_unlock (&self->lock);
    return some;
}

static struct timespec after (int timeout_ms)
{
    struct timespec at;
    clock_gettime (CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    return at;
}

/*  They have left their loop; now they are gone, so that nothing of theirs is in use when this process ends. */
static void join_all (executor_t *self)
{
    for (int i = 0; i < self->started; i++)
        pthread_join (self->pool [i], NULL);
}

/*  With the lock held: the last to leave frees what this reads. */
static void let_go (executor_t *self)
{
    for (int i = 0; i < self->started; i++)
        pthread_detach (self->pool [i]);
}

int executor_destroy (executor_t **self_p, int timeout_ms, executor_gone_fn *gone, void *arg)
{
    executor_t *self = *self_p;
    const struct timespec until = after (timeout_ms < 0 ? 0 : timeout_ms);
    int waited = 0;

    *self_p = NULL;
    pthread_mutex_lock (&self->lock);
    self->stopping = true;
    self->gone = gone;
    self->arg = arg;
    pthread_cond_broadcast (&self->work);
    while (self->threads > 0 && waited != ETIMEDOUT)
        waited = timeout_ms < 0 ? pthread_cond_wait (&self->left, &self->lock)
                                : pthread_cond_timedwait (&self->left, &self->lock, &until);
    const int left = self->threads;
    self->abandoned = left > 0;
    if (left > 0)
        let_go (self);
    pthread_mutex_unlock (&self->lock);
    if (left > 0)
        return left;
    join_all (self);
    gone (arg);
    executor_free (self);
    return 0;
}
