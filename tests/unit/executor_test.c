/* SPDX-License-Identifier: MPL-2.0 */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include "check.h"
#include "executor.h"
#include "list.h"
#include "transport.h"

typedef struct {
    executor_job_t job;
    int number;
    atomic_int ran;
    atomic_bool *gate; /* runs until it is open */
} task_t;

static atomic_int concurrent, most;

static void run (executor_job_t *job)
{
    task_t *task = CONTAINER_OF (job, task_t, job);
    const int now = atomic_fetch_add (&concurrent, 1) + 1;
    int seen = atomic_load (&most);
    while (now > seen && !atomic_compare_exchange_weak (&most, &seen, now)) {
    }
    while (task->gate && !atomic_load (task->gate))
        poll (NULL, 0, 1);
    atomic_fetch_add (&task->ran, 1);
    atomic_fetch_add (&concurrent, -1);
}

static void gone (void *arg)
{
    atomic_store ((atomic_bool *) arg, true);
}

/*  Collects until `count` jobs are back, sleeping as an owner does. */
static size_t collect (executor_t *executor, int wake_fd, executor_batch_t *done, size_t count)
{
    size_t sleeps = 0;
    while (done->count < count) {
        if (executor_collect (executor, done, false) || executor_collect (executor, done, true))
            continue;
        struct pollfd item = {wake_fd, POLLIN, 0};
        CHECK_INT (poll (&item, 1, 20000), 1); /* else a wake-up was lost */
        transport_wake_clear (wake_fd);
        sleeps++;
    }
    return sleeps;
}

TEST (runs_every_job_once_and_hands_it_back)
{
    enum { ROUNDS = 300, BATCH = 67 };
    task_t *tasks = calloc (BATCH, sizeof *tasks);
    const int wake_fd = transport_wake_open ();
    executor_t *executor = executor_new (4, wake_fd);
    atomic_bool left = false;
    CHECK (executor && tasks);

    for (int round = 0; round < ROUNDS; round++) {
        executor_batch_t batch, done;
        const size_t size = (size_t) round % BATCH + 1;
        executor_batch_init (&batch);
        executor_batch_init (&done);
        for (size_t i = 0; i < size; i++) {
            tasks [i] = (task_t){.job.run = run};
            executor_batch_add (&batch, &tasks [i].job);
        }
        executor_submit (executor, &batch);
        CHECK_INT (batch.count, 0);
        collect (executor, wake_fd, &done, size);
        CHECK_INT (done.count, size);
        for (size_t i = 0; i < size; i++)
            CHECK_INT (tasks [i].ran, 1);
    }
    CHECK (most <= 4);
    CHECK_INT (executor_destroy (&executor, -1, gone, &left), 0);
    CHECK (!executor && left);
    close (wake_fd);
    free (tasks);
}

TEST (a_slow_job_holds_nobody_up_while_a_thread_is_free)
{
    atomic_bool gate = false, left = false;
    task_t slow = {.job.run = run, .gate = &gate}, quick [100];
    const int wake_fd = transport_wake_open ();
    executor_t *executor = executor_new (2, wake_fd);
    executor_batch_t batch, done;

    executor_batch_init (&batch);
    executor_batch_init (&done);
    executor_batch_add (&batch, &slow.job);
    for (int i = 0; i < 100; i++) {
        quick [i] = (task_t){.job.run = run};
        executor_batch_add (&batch, &quick [i].job);
    }
    executor_submit (executor, &batch);
    collect (executor, wake_fd, &done, 100);
    CHECK_INT (slow.ran, 0);
    atomic_store (&gate, true);
    collect (executor, wake_fd, &done, 101);
    CHECK_INT (slow.ran, 1);
    executor_destroy (&executor, -1, gone, &left);
    close (wake_fd);
}

TEST (an_owner_that_is_awake_is_not_woken)
{
    task_t task = {.job.run = run};
    atomic_bool left = false;
    const int wake_fd = transport_wake_open ();
    executor_t *executor = executor_new (1, wake_fd);
    executor_batch_t batch, done;

    executor_batch_init (&batch);
    executor_batch_init (&done);
    executor_batch_add (&batch, &task.job);
    executor_submit (executor, &batch);
    while (!executor_collect (executor, &done, false))
        poll (NULL, 0, 1);
    CHECK_INT (poll (&(struct pollfd){wake_fd, POLLIN, 0}, 1, 0), 0);
    executor_destroy (&executor, -1, gone, &left);
    close (wake_fd);
}

TEST (jobs_that_go_on_are_abandoned_and_the_last_one_cleans_up)
{
    static atomic_bool gate, left; /* outlive the test's own frame */
    static task_t slow [2], waiting;
    const int wake_fd = transport_wake_open ();
    executor_t *executor = executor_new (2, wake_fd);
    executor_batch_t batch;

    executor_batch_init (&batch);
    for (int i = 0; i < 2; i++) {
        slow [i] = (task_t){.job.run = run, .gate = &gate};
        executor_batch_add (&batch, &slow [i].job);
    }
    waiting = (task_t){.job.run = run};
    executor_batch_add (&batch, &waiting.job);
    executor_submit (executor, &batch);
    while (atomic_load (&concurrent) < 2)
        poll (NULL, 0, 1);

    CHECK_INT (executor_destroy (&executor, 10, gone, &left), 2);
    CHECK (!left);
    atomic_store (&gate, true);
    while (!atomic_load (&left))
        poll (NULL, 0, 1);
    CHECK_INT (slow [0].ran + slow [1].ran, 2);
    CHECK_INT (waiting.ran, 0);
    close (wake_fd);
}

static atomic_int threads_ended;

/*  Runs as a thread ends, some time after its last job. */
static void note_end (void *arg)
{
    (void) arg;
    poll (NULL, 0, 20);
    atomic_fetch_add (&threads_ended, 1);
}

static pthread_key_t ending;

static void mark_thread (executor_job_t *job)
{
    CHECK (pthread_setspecific (ending, job) == 0);
    run (job);
}

TEST (when_it_is_destroyed_its_threads_have_ended)
{
    atomic_bool gate = false, left = false;
    task_t tasks [2];
    const int wake_fd = transport_wake_open ();
    executor_t *executor = executor_new (2, wake_fd);
    executor_batch_t batch;

    CHECK (pthread_key_create (&ending, note_end) == 0);
    executor_batch_init (&batch);
    for (int i = 0; i < 2; i++) {
        tasks [i] = (task_t){.job.run = mark_thread, .gate = &gate};
        executor_batch_add (&batch, &tasks [i].job);
    }
    executor_submit (executor, &batch);
    while (atomic_load (&concurrent) < 2)
        poll (NULL, 0, 1);
    atomic_store (&gate, true);
    CHECK_INT (executor_destroy (&executor, -1, gone, &left), 0);
    CHECK_INT (threads_ended, 2);
    CHECK (left);
    close (wake_fd);
}
