/* SPDX-License-Identifier: MPL-2.0
 *
 *  executor.c - threads that take turns.
 *
 *      sleeper <--no post free-- FOLLOWER --job--> runs it --> FOLLOWER
 *                                    |
 *                                post free
 *                                    v
 *                                 STANDBY --the leader's job takes long--> LEADER --has lost the lead--> FOLLOWER
 *
 *  Crossing cores is what costs, so as few threads as possible are woken. Jobs that are quick run on the leading
 *  thread. Others are queued: that wakes one sleeper, which wakes the next only if there is more than it takes
 *  itself; and a finished job wakes the leader only if that sleeps.
 *
 *  The standby sleeps in a timer. The leader sets it when it begins a job and it is not set; the standby sets it
 *  again as long as it sees that jobs have run. So where nothing happens nobody wakes up, and a lone call wakes
 *  nobody. If the standby finds the leader in the same job as a tick ago, it takes the lead. As long as it never
 *  finds the leader in a job, it comes by less often; and at once again for a job that nobody knows.
 *
 *  Jobs that may last for ever, and mostly wait, get threads of their own: they leave the lanes to the others.
 *
 *  Of `lanes` + 1 threads at most `lanes` run jobs, the leader's own included; so whenever the leader runs a job
 *  there is one left to stand by. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "executor.h"
#include "transport.h"

#define TICK_US      1000 /* a job is taken to be slow after one to two of them */
#define TICK_LONG_US 4000 /* while all jobs are quick; then one that is not is seen that much later */

/*  A thread that runs one job. */
typedef struct apart {
    executor_t *executor;
    executor_job_t *job;
    pthread_t thread;
    bool over;              /* it only has to leave its function */
    struct apart *next;
} apart_t;

struct executor {
    pthread_mutex_t lock;
    pthread_cond_t work, left;
    executor_lead_fn *lead;
    void *lead_arg;
    pthread_t *pool;
    int started;            /* threads in the pool */
    int threads;            /* of them, that have not left */
    int sleepers;           /* of them, that sleep */
    apart_t *aparts;        /* threads for one job each, also those that are over and were not joined yet */
    int apart;              /* of `threads`, that run such a job */
    int lanes, running;     /* jobs that may run; that do, on threads that do not lead */
    int64_t cheap_ns;
    int wake_fd;
    executor_batch_t waiting, done;
    bool complete;          /* all threads are there */
    bool led, over;         /* someone leads or led; nobody leads any more */
    bool standby;           /* somebody has that post */
    bool owed;              /* the leader has left its lane to another thread, which has not come yet */
    bool leader_sleeps;
    bool stopping;
    bool abandoned;         /* the last thread to leave frees */
    executor_gone_fn *gone;
    void *gone_arg;

    /* the leader's own */
    bool lane;              /* it may run jobs; read by others, with the lock, while there are jobs elsewhere */
    size_t elsewhere;       /* jobs that wait, run on other threads or are done */
    uint64_t runs;
    executor_job_t *job;    /* that it runs */

    /* between leader and standby */
    _Atomic uint64_t mark;  /* twice the number of jobs it has run, and one more while it runs one */
    atomic_bool timer_set;
    int timer_fd;
};

static void executor_free (executor_t *self)
{
    pthread_cond_destroy (&self->work);
    pthread_cond_destroy (&self->left);
    pthread_mutex_destroy (&self->lock);
    if (self->timer_fd >= 0)
        close (self->timer_fd);
    for (apart_t *apart = self->aparts, *next; apart; apart = next) {
        next = apart->next;
        free (apart);
    }
    free (self->pool);
    free (self);
}

/*  ------------------------------------------------------------------ the timer  */

static void set_timer (executor_t *self, int64_t after_ns)
{
    const struct itimerspec in = {.it_value = {0, after_ns}};
    timerfd_settime (self->timer_fd, 0, &in, NULL);
}

static void set_tick (executor_t *self, int64_t tick_us)
{
    set_timer (self, tick_us * 1000);
}

static void await_timer (executor_t *self)
{
    uint64_t count;
    while (read (self->timer_fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

/*  ------------------------------------------------------------------ waking, with the lock held  */

static bool may_take (const executor_t *self)
{
    return self->waiting.count > 0 && self->running + self->lane < self->lanes;
}

static void wake_one (executor_t *self)
{
    if (self->sleepers > 0)
        pthread_cond_signal (&self->work);
    else if (self->standby)
        set_timer (self, 1);
}

static void tell_leader (executor_t *self)
{
    if (!self->leader_sleeps)
        return;
    self->leader_sleeps = false;
    transport_wake (self->wake_fd);
}

static void hand_back (executor_t *self, executor_job_t *job)
{
    self->running--;
    executor_batch_add (&self->done, job);
    tell_leader (self);
}

/*  ------------------------------------------------------------------ the standby  */

/*  Sees what the leader does, tick by tick. */
typedef struct {
    uint64_t mark;
    int64_t at_us;
    int64_t tick_us; /* to the next one, if the leader is in no job */
    bool quiet;      /* nothing ran since the tick before */
} watch_t;

static bool take_lead (executor_t *self, uint64_t mark)
{
    return atomic_compare_exchange_strong (&self->mark, &mark, mark + 1);
}

/*  At a tick: true if it has taken the lead. When nothing has run for two ticks the timer is left alone. Between
 *  them the leader may already set it, so that it cannot begin a job in the moment when nobody will look. */
static bool watch (executor_t *self, watch_t *seen)
{
    const uint64_t mark = atomic_load (&self->mark);
    const int64_t now_us = clock_now_us ();
    const bool same = mark == seen->mark, runs = mark & 1;

    if (same && runs && now_us - seen->at_us >= TICK_US)
        return take_lead (self, mark);
    if (!same) {
        const int64_t longer_us = 2 * seen->tick_us < TICK_LONG_US ? 2 * seen->tick_us : TICK_LONG_US;
        *seen = (watch_t){.mark = mark, .at_us = now_us, .tick_us = runs ? TICK_US : longer_us};
    }
    if (!same || runs) {
        atomic_store (&self->timer_set, true);
        set_tick (self, runs ? TICK_US : seen->tick_us);
    } else if (!seen->quiet || atomic_load (&self->timer_set)) {
        seen->quiet = true;
        atomic_store (&self->timer_set, false);
        set_tick (self, TICK_US);
    }
    return false;
}

/*  Stands by, with the lock held, until there is something else to do. True: leads now. */
static bool stand_by (executor_t *self)
{
    watch_t seen = {.tick_us = TICK_US};
    bool leads = false;

    self->standby = true;
    while (!leads && !self->stopping && !self->over && !may_take (self)) {
        pthread_mutex_unlock (&self->lock);
        await_timer (self);
        leads = watch (self, &seen);
        pthread_mutex_lock (&self->lock);
    }
    self->standby = false;
    set_tick (self, TICK_US); /* for the next one, who may have missed it */
    if (self->sleepers > 0)
        pthread_cond_signal (&self->work);
    return leads;
}

/*  ------------------------------------------------------------------ a thread, with the lock held  */

static void run_one (executor_t *self)
{
    executor_job_t *job = executor_batch_take (&self->waiting);

    self->running++;
    self->owed = false;
    if (may_take (self))
        wake_one (self);
    pthread_mutex_unlock (&self->lock);
    job->run (job);
    pthread_mutex_lock (&self->lock);
    hand_back (self, job);
}

/*  Leads until that is over or lost. `taken`: what the one before still runs, on a lane of its own from now on. */
static void lead_on (executor_t *self, executor_job_t *taken)
{
    self->led = true;
    if (taken) {
        self->running++;
        self->elsewhere++;
        self->lane = false;
    }
    pthread_mutex_unlock (&self->lock);
    const bool over = self->lead (self->lead_arg, self, taken);
    pthread_mutex_lock (&self->lock);
    if (!over)
        return;
    self->over = true;
    self->lane = false;
    pthread_cond_signal (&self->left);
    if (self->standby)
        set_timer (self, 1);
}

static void leave (executor_t *self)
{
    const bool last = --self->threads == 0 && self->abandoned;

    pthread_cond_signal (&self->left);
    pthread_mutex_unlock (&self->lock);
    if (!last)
        return;
    self->gone (self->gone_arg);
    executor_free (self);
}

static void *thread_of (void *arg)
{
    executor_t *self = arg;

    pthread_mutex_lock (&self->lock);
    while (!self->stopping)
        if (may_take (self))
            run_one (self);
        else if (self->complete && !self->led)
            lead_on (self, NULL);
        else if (self->complete && !self->over && !self->standby) {
            if (stand_by (self))
                lead_on (self, self->job);
        } else {
            self->sleepers++;
            pthread_cond_wait (&self->work, &self->lock);
            self->sleepers--;
        }
    leave (self);
    return NULL;
}

/*  ------------------------------------------------------------------ threads for one job  */

static void *thread_apart (void *arg)
{
    apart_t *apart = arg;
    executor_t *self = apart->executor;

    apart->job->run (apart->job);
    pthread_mutex_lock (&self->lock);
    executor_batch_add (&self->done, apart->job);
    tell_leader (self);
    apart->over = true;
    self->apart--;
    leave (self);
    return NULL;
}

/*  With the lock held: they have let go of it, and only have to return. */
static void join_aparts (executor_t *self)
{
    for (apart_t **at = &self->aparts; *at;) {
        apart_t *apart = *at;
        if (!apart->over) {
            at = &apart->next;
            continue;
        }
        *at = apart->next;
        pthread_join (apart->thread, NULL);
        free (apart);
    }
}

/*  ------------------------------------------------------------------ the leader  */

bool executor_may_run (const executor_t *self)
{
    return self->lane;
}

static bool cheap_waits (const executor_t *self)
{
    return self->waiting.count > 0 && self->waiting.first->cost_ns <= self->cheap_ns;
}

/*  With the lock held: whether one lane is for the leader. If that is the last free one, and what waits is nothing
 *  for the leader, another thread has its turn. */
static void claim (executor_t *self, bool sleeping)
{
    const int free = self->lanes - self->running;

    if (self->lane && free == 1 && self->waiting.count > 0 && !cheap_waits (self))
        self->owed = true;
    self->lane = !sleeping && free - self->owed > 0;
    if (may_take (self))
        wake_one (self);
}

bool executor_collect (executor_t *self, executor_batch_t *done, bool sleeping)
{
    if (self->elsewhere == 0) { /* then nobody else wants a lane, or wakes us */
        self->lane = true;
        return false;
    }
    pthread_mutex_lock (&self->lock);
    const size_t count = self->done.count;
    executor_batch_move (done, &self->done);
    claim (self, sleeping);
    self->leader_sleeps = sleeping && count == 0;
    pthread_mutex_unlock (&self->lock);
    self->elsewhere -= count;
    return count > 0;
}

void executor_submit (executor_t *self, executor_batch_t *batch)
{
    if (batch->count == 0)
        return;
    pthread_mutex_lock (&self->lock);
    self->elsewhere += batch->count;
    executor_batch_move (&self->waiting, batch);
    if (may_take (self))
        wake_one (self);
    pthread_mutex_unlock (&self->lock);
}

executor_job_t *executor_take_back (executor_t *self)
{
    executor_job_t *job = NULL;

    if (self->elsewhere == 0 || !self->lane)
        return NULL;
    pthread_mutex_lock (&self->lock);
    if (cheap_waits (self)) {
        job = executor_batch_take (&self->waiting);
        self->elsewhere--;
    }
    pthread_mutex_unlock (&self->lock);
    return job;
}

bool executor_run (executor_t *self, executor_job_t *job, executor_run_fn *run, executor_run_fn *late)
{
    uint64_t mark = 2 * ++self->runs + 1;

    self->job = job;
    atomic_store_explicit (&self->mark, mark, memory_order_release);
    if (job->unknown || !atomic_load_explicit (&self->timer_set, memory_order_relaxed)) {
        atomic_store (&self->timer_set, true);
        set_tick (self, TICK_US);
    }
    run (job);
    if (atomic_compare_exchange_strong (&self->mark, &mark, mark + 1))
        return true;
    late (job);
    pthread_mutex_lock (&self->lock);
    hand_back (self, job);
    pthread_mutex_unlock (&self->lock);
    return false;
}

/*  ------------------------------------------------------------------ making and letting go  */

/*  Signals are the host program's business: none is delivered to our threads. */
static bool make_thread (pthread_t *thread, void *(*function) (void *), void *arg)
{
    sigset_t all, before;

    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    const bool made = pthread_create (thread, NULL, function, arg) == 0;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return made;
}

static bool start_thread (executor_t *self)
{
    const bool started = make_thread (&self->pool [self->started], thread_of, self);
    self->started += started;
    return started;
}

bool executor_run_apart (executor_t *self, executor_job_t *job)
{
    apart_t *apart = calloc (1, sizeof *apart);

    if (!apart)
        return false;
    *apart = (apart_t){.executor = self, .job = job};
    pthread_mutex_lock (&self->lock);
    join_aparts (self);
    const bool made = make_thread (&apart->thread, thread_apart, apart);
    if (made) {
        apart->next = self->aparts;
        self->aparts = apart;
        self->threads++;
        self->apart++;
        self->elsewhere++;
    }
    pthread_mutex_unlock (&self->lock);
    if (!made)
        free (apart);
    return made;
}

static void nothing (void *arg)
{
    (void) arg;
}

static executor_t *executor_make (int threads)
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
    self->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC);
    return self;
}

executor_t *executor_new (int lanes, int64_t cheap_ns, int wake_fd, executor_lead_fn *lead, void *arg)
{
    const int threads = lanes + 1;
    executor_t *self = executor_make (threads);

    if (!self)
        return NULL;
    self->lanes = lanes;
    self->cheap_ns = cheap_ns;
    self->wake_fd = wake_fd;
    self->lead = lead;
    self->lead_arg = arg;

    pthread_mutex_lock (&self->lock);
    while (self->timer_fd >= 0 && self->threads < threads && start_thread (self))
        self->threads++;
    self->complete = self->threads == threads;
    pthread_cond_broadcast (&self->work);
    const bool complete = self->complete;
    pthread_mutex_unlock (&self->lock);
    if (!complete)
        executor_destroy (&self, -1, nothing, NULL);
    return self;
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
    join_aparts (self);
}

/*  With the lock held: the last to leave frees what this reads. */
static void let_go (executor_t *self)
{
    for (int i = 0; i < self->started; i++)
        pthread_detach (self->pool [i]);
    for (apart_t *apart = self->aparts; apart; apart = apart->next)
        pthread_detach (apart->thread);
}

int executor_destroy (executor_t **self_p, int timeout_ms, executor_gone_fn *gone, void *arg)
{
    executor_t *self = *self_p;
    const struct timespec until = after (timeout_ms < 0 ? 0 : timeout_ms);
    int waited = 0;

    *self_p = NULL;
    pthread_mutex_lock (&self->lock);
    while (self->led && !self->over)
        pthread_cond_wait (&self->left, &self->lock);
    self->stopping = true;
    self->gone = gone;
    self->gone_arg = arg;
    pthread_cond_broadcast (&self->work);
    while (self->threads > 0 && waited != ETIMEDOUT)
        waited = timeout_ms < 0 ? pthread_cond_wait (&self->left, &self->lock)
                                : pthread_cond_timedwait (&self->left, &self->lock, &until);
    while (self->threads > self->running + self->apart) /* who runs nothing leaves at once */
        pthread_cond_wait (&self->left, &self->lock);
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
