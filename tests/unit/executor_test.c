/* SPDX-License-Identifier: MPL-2.0 */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "check.h"
#include "clock.h"
#include "executor.h"
#include "list.h"
#include "transport.h"

#define CHEAP_NS 1000

typedef struct {
    executor_job_t job;
    atomic_int ran, late;
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

static void late (executor_job_t *job)
{
    atomic_fetch_add (&CONTAINER_OF (job, task_t, job)->late, 1);
}

static void gone (void *arg)
{
    atomic_store ((atomic_bool *) arg, true);
}

/*  ------------------------------------------------------------------ a test is what a leader does  */

static int wake_fd;
static atomic_bool over, left;

/*  Ends a test's lead. */
static bool finish (void)
{
    atomic_store (&over, true);
    return true;
}

static executor_t *start (int lanes, executor_lead_fn *lead)
{
    wake_fd = transport_wake_open ();
    executor_t *executor = executor_new (lanes, CHEAP_NS, wake_fd, lead, NULL);
    CHECK (executor);
    return executor;
}

static void await (atomic_bool *flag)
{
    while (!atomic_load (flag))
        poll (NULL, 0, 1);
}

static void lead_to_the_end (int lanes, executor_lead_fn *lead)
{
    executor_t *executor = start (lanes, lead);
    await (&over);
    CHECK_INT (executor_destroy (&executor, -1, gone, &left), 0);
    CHECK (!executor && left);
    close (wake_fd);
}

static void submit (executor_t *executor, task_t *task)
{
    executor_batch_t batch;
    executor_batch_init (&batch);
    executor_batch_add (&batch, &task->job);
    executor_submit (executor, &batch);
    CHECK_INT (batch.count, 0);
}

/*  Collects until `count` jobs are back, sleeping as a leader does. */
static void collect (executor_t *executor, executor_batch_t *done, size_t count)
{
    while (done->count < count) {
        if (executor_collect (executor, done, false) || executor_collect (executor, done, true))
            continue;
        struct pollfd item = {wake_fd, POLLIN, 0};
        CHECK_INT (poll (&item, 1, 20000), 1); /* else a wake-up was lost */
        transport_wake_clear (wake_fd);
    }
}

/*  ------------------------------------------------------------------ jobs that have a thread of their own  */

static bool lead_some_apart (void *arg, executor_t *executor, executor_job_t *taken)
{
    enum { APART = 20 };
    static task_t apart [APART], others [3];
    atomic_bool gate = false;
    executor_batch_t done;
    (void) arg;
    CHECK (!taken);

    executor_batch_init (&done);
    for (int i = 0; i < APART; i++) {
        apart [i] = (task_t){.job.run = run, .gate = &gate};
        CHECK (executor_run_apart (executor, &apart [i].job));
    }
    for (int i = 0; i < 3; i++) { /* they leave the one lane to these */
        others [i] = (task_t){.job.run = run};
        submit (executor, &others [i]);
    }
    collect (executor, &done, 3);
    for (int i = 0; i < 3; i++)
        CHECK_INT (others [i].ran, 1);
    atomic_store (&gate, true);
    collect (executor, &done, 3 + APART);
    for (int i = 0; i < APART; i++)
        CHECK_INT (apart [i].ran, 1);
    CHECK (executor_run_apart (executor, &apart [0].job)); /* as some are over, whose threads go now */
    collect (executor, &done, 3 + APART + 1);
    return finish ();
}

TEST (jobs_that_may_last_for_ever_take_no_lane)
{
    lead_to_the_end (1, lead_some_apart);
}

static task_t endless;
static atomic_bool endless_gate;

static bool lead_and_leave_one_apart (void *arg, executor_t *executor, executor_job_t *taken)
{
    (void) arg;
    (void) taken;
    endless = (task_t){.job.run = run, .gate = &endless_gate};
    CHECK (executor_run_apart (executor, &endless.job));
    while (atomic_load (&concurrent) == 0)
        poll (NULL, 0, 1);
    return finish ();
}

TEST (a_thread_of_its_own_that_goes_on_is_abandoned)
{
    executor_t *executor = start (1, lead_and_leave_one_apart);
    await (&over);
    CHECK_INT (executor_destroy (&executor, 10, gone, &left), 1);
    CHECK (!left);
    atomic_store (&endless_gate, true);
    await (&left);
    close (wake_fd);
}

/*  ------------------------------------------------------------------ jobs for the others  */

static bool lead_many_batches (void *arg, executor_t *executor, executor_job_t *taken)
{
    enum { ROUNDS = 300, BATCH = 67 };
    task_t *tasks = calloc (BATCH, sizeof *tasks);
    (void) arg;
    CHECK (tasks && !taken);

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
        collect (executor, &done, size);
        CHECK_INT (done.count, size);
        for (size_t i = 0; i < size; i++)
            CHECK_INT (tasks [i].ran, 1);
    }
    CHECK (most <= 4);
    free (tasks);
    return finish ();
}

TEST (runs_every_job_once_and_hands_it_back)
{
    lead_to_the_end (4, lead_many_batches);
}

static bool lead_one_slow_job (void *arg, executor_t *executor, executor_job_t *taken)
{
    atomic_bool gate = false;
    task_t slow = {.job.run = run, .gate = &gate}, quick [100];
    executor_batch_t done;
    (void) arg;
    (void) taken;

    executor_batch_init (&done);
    submit (executor, &slow);
    for (int i = 0; i < 100; i++) {
        quick [i] = (task_t){.job.run = run};
        submit (executor, &quick [i]);
    }
    collect (executor, &done, 100);
    CHECK_INT (slow.ran, 0);
    atomic_store (&gate, true);
    collect (executor, &done, 101);
    CHECK_INT (slow.ran, 1);
    return finish ();
}

TEST (a_slow_job_holds_nobody_up_while_a_thread_is_free)
{
    lead_to_the_end (2, lead_one_slow_job);
}

static bool lead_awake (void *arg, executor_t *executor, executor_job_t *taken)
{
    task_t task = {.job = {.run = run, .cost_ns = CHEAP_NS + 1}};
    executor_batch_t done;
    (void) arg;
    (void) taken;

    executor_batch_init (&done);
    submit (executor, &task);
    while (!executor_collect (executor, &done, false))
        poll (NULL, 0, 1);
    CHECK_INT (poll (&(struct pollfd){wake_fd, POLLIN, 0}, 1, 0), 0);
    return finish ();
}

TEST (a_leader_that_is_awake_is_not_woken)
{
    lead_to_the_end (1, lead_awake);
}

/*  ------------------------------------------------------------------ jobs of the leader's own  */

static bool lead_quick_jobs (void *arg, executor_t *executor, executor_job_t *taken)
{
    executor_batch_t done;
    (void) arg;
    CHECK (!taken);

    executor_batch_init (&done);
    for (int i = 0; i < 1000; i++) {
        task_t task = {.job.run = run};
        CHECK (!executor_collect (executor, &done, false));
        CHECK (executor_may_run (executor));
        CHECK (executor_run (executor, &task.job, run, late));
        CHECK_INT (task.ran, 1);
        CHECK_INT (task.late, 0);
    }
    return finish ();
}

TEST (the_leader_runs_quick_jobs_itself_and_goes_on_leading)
{
    lead_to_the_end (1, lead_quick_jobs);
}

static task_t slow_ones [3];
static atomic_bool slow_gate;
static int leads;

/*  Each leader but the last loses the lead in a slow job. Then all lanes are in use. */
static bool lead_until_all_lanes_are_slow (void *arg, executor_t *executor, executor_job_t *taken)
{
    executor_batch_t done;
    (void) arg;

    executor_batch_init (&done);
    CHECK (taken == (leads ? &slow_ones [leads - 1].job : NULL));
    CHECK (!executor_collect (executor, &done, false));
    if (leads < 2) {
        task_t *task = &slow_ones [leads++];
        CHECK (executor_may_run (executor));
        CHECK (!executor_run (executor, &task->job, run, late));
        CHECK_INT (task->late, 1);
        return false;
    }
    CHECK (!executor_may_run (executor));
    CHECK_INT (concurrent, 2);
    atomic_store (&slow_gate, true);
    collect (executor, &done, 2);
    executor_collect (executor, &done, false);
    CHECK (executor_may_run (executor));
    for (int i = 0; i < 2; i++)
        CHECK_INT (slow_ones [i].ran, 1);
    return finish ();
}

TEST (who_does_not_come_back_loses_the_lead_and_its_job_is_handed_over)
{
    for (int i = 0; i < 2; i++)
        slow_ones [i] = (task_t){.job.run = run, .gate = &slow_gate};
    lead_to_the_end (2, lead_until_all_lanes_are_slow);
}

/*  Loses the lead again and again: between two losses the thread has come back. */
static bool lead_and_lose_often (void *arg, executor_t *executor, executor_job_t *taken)
{
    static task_t task;
    static atomic_bool gate;
    executor_batch_t done;
    (void) arg;

    executor_batch_init (&done);
    if (taken) {
        atomic_store (&gate, true);
        collect (executor, &done, 1);
        CHECK_INT (task.ran, 1);
        executor_collect (executor, &done, false);
    }
    if (leads++ == 20)
        return finish ();
    atomic_store (&gate, false);
    task = (task_t){.job.run = run, .gate = &gate};
    CHECK (executor_may_run (executor) || leads == 1);
    CHECK (!executor_run (executor, &task.job, run, late));
    return false;
}

TEST (the_lead_can_be_lost_again_and_again)
{
    lead_to_the_end (1, lead_and_lose_often);
}

/*  Goes on where the leader before it stopped: on a machine with much to do a quick job, too, may cost its thread the lead. */
static bool lead_a_mix (void *arg, executor_t *executor, executor_job_t *taken)
{
    enum { COUNT = 3000, LOSSES_MAX = COUNT / 10 };
    static task_t here [COUNT], away [COUNT];
    static executor_batch_t done;
    static size_t at, lost, lost_here;
    const task_t *task = taken ? CONTAINER_OF (taken, task_t, job) : NULL;
    (void) arg;

    if (!taken)
        executor_batch_init (&done);
    CHECK (!taken || ++lost < LOSSES_MAX);
    lost_here += task >= here && task < here + COUNT;
    while (at < COUNT) {
        const size_t i = at++;
        here [i] = away [i] = (task_t){.job.run = run};
        submit (executor, &away [i]);
        executor_collect (executor, &done, false);
        if (executor_may_run (executor) && !executor_run (executor, &here [i].job, run, late))
            return false;
        executor_job_t *back = executor_take_back (executor);
        if (back && !executor_run (executor, back, run, late))
            return false;
        if (back)
            executor_batch_add (&done, back);
    }
    collect (executor, &done, COUNT + lost_here);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_INT (away [i].ran, 1);
    CHECK (most <= 2);
    return finish ();
}

TEST (never_more_jobs_run_than_there_are_lanes_the_leaders_own_included)
{
    lead_to_the_end (2, lead_a_mix);
}

static bool lead_without_rest (void *arg, executor_t *executor, executor_job_t *taken)
{
    task_t dear = {.job = {.run = run, .cost_ns = CHEAP_NS + 1}};
    executor_batch_t done;
    (void) arg;
    (void) taken;

    executor_batch_init (&done);
    executor_collect (executor, &done, false);
    submit (executor, &dear);
    while (done.count == 0) {
        task_t task = {.job.run = run};
        CHECK (!executor_take_back (executor)); /* it is nothing for the leader */
        if (executor_may_run (executor))
            CHECK (executor_run (executor, &task.job, run, late));
        executor_collect (executor, &done, false);
    }
    CHECK_INT (dear.ran, 1);
    CHECK_INT (most, 1);
    return finish ();
}

TEST (a_leader_that_never_rests_leaves_the_only_lane_to_who_waits_for_it)
{
    lead_to_the_end (1, lead_without_rest);
}

static bool lead_and_take_back (void *arg, executor_t *executor, executor_job_t *taken)
{
    atomic_bool gate = false;
    task_t slow = {.job = {.run = run, .cost_ns = CHEAP_NS + 1}, .gate = &gate};
    task_t cheap = {.job = {.run = run, .cost_ns = CHEAP_NS}};
    executor_batch_t done;
    (void) arg;
    (void) taken;

    executor_batch_init (&done);
    submit (executor, &slow);
    while (atomic_load (&concurrent) == 0)
        poll (NULL, 0, 1);
    executor_collect (executor, &done, false);
    CHECK (!executor_may_run (executor)); /* the only lane is in use */
    submit (executor, &cheap);
    CHECK (!executor_take_back (executor));
    atomic_store (&gate, true);
    collect (executor, &done, 2);
    CHECK_INT (cheap.ran, 1);
    return finish ();
}

TEST (without_a_lane_the_leader_takes_nothing_back)
{
    lead_to_the_end (1, lead_and_take_back);
}

/*  How often threads of this process went to sleep so far. */
static long sleeps (void)
{
    char path [64], line [128];
    long sum = 0, count;

    for (int task = getpid (), misses = 0; misses < 50; task++) {
        snprintf (path, sizeof path, "/proc/self/task/%d/status", task);
        FILE *status = fopen (path, "r");
        misses += !status;
        while (status && fgets (line, sizeof line, status))
            if (sscanf (line, "voluntary_ctxt_switches: %ld", &count) == 1 && task != getpid ())
                sum += count;
        if (status)
            fclose (status);
    }
    return sum;
}

static bool lead_and_rest (void *arg, executor_t *executor, executor_job_t *taken)
{
    task_t task = {.job.run = run};
    (void) arg;
    (void) taken;
    CHECK (executor_run (executor, &task.job, run, late));
    poll (&(struct pollfd){wake_fd, POLLIN, 0}, 1, -1);
    return finish ();
}

TEST (where_nothing_happens_nobody_wakes_up)
{
    executor_t *executor = start (2, lead_and_rest);
    const int64_t give_up_us = clock_now_us () + 20000000;
    for (long before = -1, now = sleeps (); now != before; now = sleeps ()) {
        CHECK (clock_now_us () < give_up_us);
        before = now;
        poll (NULL, 0, 50);
    }
    transport_wake (wake_fd);
    await (&over);
    CHECK_INT (executor_destroy (&executor, -1, gone, &left), 0);
    close (wake_fd);
}

enum { QUICK_US = 200000, TICK_LONG_US = 4000 };

static void spin (int64_t until_us)
{
    while (clock_now_us () < until_us) {
    }
}

/*  Quick jobs with time between them, for a while; then a slow one, which still costs it the lead. */
static bool lead_quick_jobs_and_a_slow_one (void *arg, executor_t *executor, executor_job_t *taken)
{
    static task_t slow;
    executor_batch_t done;
    (void) arg;

    executor_batch_init (&done);
    if (taken) {
        atomic_store (&slow_gate, true);
        collect (executor, &done, 1);
        return finish ();
    }
    task_t quick = {.job.run = run};
    slow = (task_t){.job.run = run, .gate = &slow_gate};
    const int64_t began_us = clock_now_us ();
    const long before = sleeps ();
    for (int64_t at_us = began_us; at_us < began_us + QUICK_US; at_us += 200) {
        CHECK (executor_run (executor, &quick.job, run, late));
        spin (at_us);
    }
    CHECK (sleeps () - before < QUICK_US / TICK_LONG_US + 30);
    CHECK (!executor_run (executor, &slow.job, run, late));
    return false;
}

TEST (while_all_jobs_are_quick_the_standby_looks_less_often_but_looks)
{
    lead_to_the_end (2, lead_quick_jobs_and_a_slow_one);
}

/*  ------------------------------------------------------------------ the end  */

static atomic_bool gate;
static task_t waiting;

static bool lead_into_hanging_jobs (void *arg, executor_t *executor, executor_job_t *taken)
{
    (void) arg;
    (void) taken;
    for (int i = 0; i < 2; i++) {
        slow_ones [i] = (task_t){.job.run = run, .gate = &gate};
        submit (executor, &slow_ones [i]);
    }
    waiting = (task_t){.job.run = run};
    submit (executor, &waiting);
    while (atomic_load (&concurrent) < 2)
        poll (NULL, 0, 1);
    return finish ();
}

TEST (jobs_that_go_on_are_abandoned_and_the_last_one_cleans_up)
{
    executor_t *executor = start (2, lead_into_hanging_jobs);
    await (&over);
    CHECK_INT (executor_destroy (&executor, 10, gone, &left), 2);
    CHECK (!left);
    atomic_store (&gate, true);
    await (&left);
    CHECK_INT (slow_ones [0].ran + slow_ones [1].ran, 2);
    CHECK_INT (waiting.ran, 0);
    close (wake_fd);
}

static bool lead_into_a_loss (void *arg, executor_t *executor, executor_job_t *taken)
{
    (void) arg;
    if (taken)
        return finish ();
    slow_ones [0] = (task_t){.job.run = run, .gate = &gate};
    CHECK (!executor_run (executor, &slow_ones [0].job, run, late));
    return false;
}

TEST (a_job_that_cost_its_thread_the_lead_is_abandoned_like_others)
{
    executor_t *executor = start (2, lead_into_a_loss);
    await (&over);
    CHECK_INT (executor_destroy (&executor, 10, gone, &left), 1);
    CHECK (!left);
    atomic_store (&gate, true);
    await (&left);
    CHECK_INT (slow_ones [0].ran, 1);
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

static bool lead_marked_threads (void *arg, executor_t *executor, executor_job_t *taken)
{
    (void) arg;
    (void) taken;
    CHECK (pthread_setspecific (ending, executor) == 0);
    for (int i = 0; i < 2; i++) {
        slow_ones [i] = (task_t){.job.run = mark_thread, .gate = &gate};
        submit (executor, &slow_ones [i]);
    }
    while (atomic_load (&concurrent) < 2)
        poll (NULL, 0, 1);
    atomic_store (&gate, true);
    return finish ();
}

TEST (when_it_is_destroyed_its_threads_have_ended)
{
    CHECK (pthread_key_create (&ending, note_end) == 0);
    lead_to_the_end (2, lead_marked_threads);
    CHECK_INT (threads_ended, 3);
}
