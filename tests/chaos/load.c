/* SPDX-License-Identifier: MPL-2.0
 *
 *  load.c - a client that calls at a steady rate whatever happens, and writes down what became of each call.
 *
 *      weft-chaos-load NUMBER BROKERS LOG RATE SLOW_MS TIMEOUT_MS WAYS KINDS
 *
 *  NUMBER is its own, different from others'; RATE in calls a second; one in four takes up to SLOW_MS at the worker. WAYS and
 *  KINDS are letters, drawn by lot: d(irect), b(roker), a(uto); and 0 to 9, the kinds of jobs.h. Most calls are started with a
 *  callback; one thread makes synchronous ones meanwhile, and some take streams, each one after the other, if these are among the
 *  kinds. On SIGTERM it starts no more, waits until none can be open, and ends:
 *
 *      C number way timeout_ms ms start_us end_us status executed origin attempts direct worker right cancelled text
 *      I number wanted indices runs right       what was taken of a stream, before its C: how many items there are, the indices of
 *                                   those that came, in the order in which they came, and by how many runs they were sent
 *      W us service uuid state      the list of workers changed
 *      S us gap_us                  it could not run, or its threads waited for a processor, for so long
 *      L number way start_us        a call never ended
 *      F us started ended late malformed retried hedged      the end
 *
 *  SIGUSR1 makes it start no calls until the next one, so that all is quiet. */

#include "jobs.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/client.h>

#define TICK_MS      2
#define STALL_US     8000
#define LOOK_MS      5      /* between two looks for stalls */
#define BEHIND_US    100000 /* what is made up for: not all that was due while it stood still */
#define SYNC_EACH    10     /* one call in so many is a synchronous one */
#define OVERTIME_MS  3000   /* a call that is not done so long after its deadline never will be */
#define PAD_MAX      20000  /* past WEFT_BODY_INLINE_MAX: it travels as an attachment */
#define DISCOVER_MS  20000
#define OPEN_MAX     4096   /* it stops starting more, as a caller would */
#define HEDGE_MS     15     /* before the second attempt of every other hedged call; the client decides it for the others */
#define TAKERS       3      /* threads that take streams */
#define PAUSE_MS     40     /* between two streams of one of them */
#define ITEMS_MAX    100
#define ITEM_MAX     2000   /* bytes */

typedef struct job {
    int64_t number, start_us, ms;
    int timeout_ms;
    char way;
    bool cancelled;
    size_t pad_size;
    int64_t items; /* of a stream */
    struct job *next, *before;
} job_t;

static weft_client_t *client;
static int log_fd;
static int64_t own_number, rate, slow_ms, timeout_ms;
static const char *ways;
static char kinds [64], streams [64]; /* calls, and calls that give items */
static unsigned char pad [PAD_MAX];
static atomic_bool stopping, resting;
static atomic_int_fast64_t started, ended;

/*  Calls that are open; and the lines, so that each is whole. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static job_t open_jobs = {.next = &open_jobs, .before = &open_jobs};
static int open_count;

static void say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
static void say (const char *format, ...)
{
    char line [1600];
    va_list list;
    va_start (list, format);
    const int size = vsnprintf (line, sizeof line, format, list);
    va_end (list);
    if (size >= (int) sizeof line || write (log_fd, line, (size_t) size) != size)
        abort (); /* a log with holes proves nothing */
}

/*  Dice: one for each thread. */
static uint64_t roll (uint64_t *dice, uint64_t count)
{
    *dice = *dice * 6364136223846793005u + 1442695040888963407u;
    return (*dice >> 33) % count;
}

/*  Calls ----------------------------------------------------------------------------------------------------------- */

static void job_open (job_t *job)
{
    pthread_mutex_lock (&mutex);
    job->next = &open_jobs;
    job->before = open_jobs.before;
    job->next->before = job->before->next = job;
    open_count++;
    pthread_mutex_unlock (&mutex);
}

static void job_close (job_t *job)
{
    pthread_mutex_lock (&mutex);
    job->next->before = job->before;
    job->before->next = job->next;
    open_count--;
    pthread_mutex_unlock (&mutex);
}

static bool is_right (const job_t *job, weft_call_t *call)
{
    job_reply reply = {0};
    if (JOB_STREAMS (JOB_KIND (job->number)))
        return true; /* its items are looked at as they come */
    switch (weft_call_status (call)) {
    case WEFT_OK:
        return weft_call_read (call, WEFT_OUT (job_reply, &reply)) == WEFT_OK && reply.number == job->number
               && reply.answer == JOB_ANSWER (job->number) && reply.pad.size == job->pad_size
               && memcmp (reply.pad.data ? reply.pad.data : pad, pad, job->pad_size) == 0;
    case WEFT_APP_ERROR:
        return weft_call_code (call) == JOB_ANSWER (job->number);
    default:
        return true;
    }
}

/*  Its one outcome. */
static void job_ended (job_t *job, weft_call_t *call)
{
    const int64_t now_us = job_clock_us ();
    const bool right = is_right (job, call);
    const weft_status_t status = weft_call_status (call);
    char text [512];

    snprintf (text, sizeof text, "%s", weft_call_text (call));
    for (char *at = text; *at; at++)
        *at = *at == '\n' || *at == '\t' ? ' ' : *at;
    say ("C\t%lld\t%c\t%d\t%lld\t%lld\t%lld\t%s\t%s\t%s\t%d\t%d\t%s\t%d\t%d\t%s\n", (long long) job->number, job->way,
         job->timeout_ms, (long long) job->ms, (long long) job->start_us, (long long) now_us, weft_status_str (status),
         weft_executed_str (weft_call_executed (call)), weft_origin_str (weft_call_origin (call)), weft_call_attempts (call),
         weft_call_direct (call), weft_call_worker (call), right, job->cancelled, text);
    atomic_fetch_add (&ended, 1);
}

static void on_done (weft_call_t *call, void *arg)
{
    job_t *job = arg;
    job_close (job);
    job_ended (job, call);
    weft_call_destroy (&call);
    free (job);
}

/*  A call of one of these kinds as the dice want it; `key` keeps its request key until it is started. */
static job_t *job_new (uint64_t *dice, const char *some_kinds, bool synchronous, weft_call_options_t *options,
                       char key [32])
{
    job_t *job = calloc (1, sizeof *job);
    if (!job)
        abort ();
    const job_kind_t kind = (job_kind_t) (some_kinds [roll (dice, strlen (some_kinds))] - '0');
    const int64_t count = atomic_fetch_add (&started, 1) + 1;
    const uint64_t die = roll (dice, 1000);

    job->number = JOB_NUMBER (own_number, count, kind);
    job->way = ways [roll (dice, strlen (ways))];
    job->timeout_ms = (int) timeout_ms;
    if (kind == JOB_HANG)
        job->ms = 2 * timeout_ms;
    else if (kind != JOB_FAST && kind != JOB_FAST_ONCE && die < 250) {
        job->ms = die < 30 ? slow_ms : 1 + (int64_t) roll (dice, (uint64_t) slow_ms / 4 + 1);
        if (die < 4) /* too little time */
            job->timeout_ms = 1 + (int) slow_ms / 4;
        job->cancelled = synchronous && die < 100;
    }
    job->pad_size = die >= 900 ? 1 + roll (dice, PAD_MAX) : 0;
    *options = (weft_call_options_t){
        .timeout_ms = job->timeout_ms,
        .via = job->way == 'd' ? WEFT_VIA_DIRECT : job->way == 'b' ? WEFT_VIA_BROKER : WEFT_VIA_AUTO,
    };
    if (kind == JOB_KEYED) {
        snprintf (key, 32, "%lld", (long long) job->number);
        options->request_key = key;
    }
    if (kind == JOB_HEDGED) {
        options->retry = WEFT_RETRY_FAILBACKUP;
        options->backup_ms = die % 2 ? HEDGE_MS : 0;
    }
    if (JOB_STREAMS (kind)) {
        job->items = (int64_t) roll (dice, ITEMS_MAX);
        job->pad_size = roll (dice, ITEM_MAX);
        job->cancelled = die % 10 == 0;
        options->window = 1 + (int) roll (dice, ITEMS_MAX);
    }
    return job;
}

static const char *method_of (const job_t *job, char method [32])
{
    snprintf (method, 32, "Job.%s", job_names [JOB_KIND (job->number)]);
    return method;
}

/*  Starts one with a callback. */
static void start_one (uint64_t *dice)
{
    weft_call_options_t options;
    char key [32], method [32];
    job_t *job = job_new (dice, kinds, false, &options, key);
    const job_args args = {job->number, job->ms, {pad, job->pad_size}, 0};

    job_open (job);
    job->start_us = job_clock_us ();
    if (!weft_client_start (client, method_of (job, method), WEFT_IN (job_args, &args), &options, on_done, job))
        abort ();
}

/*  Makes one and waits for its end, or cancels it when it has run for a while. */
static void make_one (uint64_t *dice)
{
    weft_call_options_t options;
    char key [32], method [32];
    weft_call_t *call = NULL;
    job_t *job = job_new (dice, kinds, true, &options, key);
    const job_args args = {job->number, job->ms, {pad, job->pad_size}, 0};

    job_open (job);
    job->start_us = job_clock_us ();
    if (!job->cancelled)
        weft_client_call (client, method_of (job, method), WEFT_IN (job_args, &args), &options, &call);
    else if ((call = weft_client_start (client, method_of (job, method), WEFT_IN (job_args, &args), &options, NULL, NULL))) {
        weft_call_wait (call, (int) job->ms / 2);
        weft_call_cancel (call);
        if (!weft_call_wait (call, job->timeout_ms + OVERTIME_MS))
            return; /* it stays in the list of those that are open */
    }
    if (!call)
        abort ();
    on_done (call, job);
}

/*  Streams --------------------------------------------------------------------------------------------------------- */

/*  What came of one: indices as "0-17,19", and how often another run had sent an item than the one before. */
typedef struct {
    char indices [1024];
    size_t size;
    int64_t first, last, run;
    int runs;
    bool right;
} taken_t;

static void note_indices (taken_t *self)
{
    if (self->last >= 0 && self->size < sizeof self->indices - 48)
        self->size += (size_t) sprintf (self->indices + self->size, "%s%lld-%lld", self->size ? "," : "",
                                       (long long) self->first, (long long) self->last);
}

static void take_one (taken_t *self, const job_t *job, const job_item *item)
{
    if (item->index != self->last + 1) {
        note_indices (self);
        self->first = item->index;
    }
    self->last = item->index;
    self->runs += item->run != self->run;
    self->run = item->run;
    self->right = self->right && item->number == job->number && item->pad.size == job->pad_size
                  && memcmp (item->pad.data ? item->pad.data : pad, pad, job->pad_size) == 0;
}

/*  Takes it to its end, or cancels it in the middle; every other one is taken slowly, as long as there is time. */
static void take_stream (uint64_t *dice)
{
    weft_call_options_t options;
    char key [32], method [32];
    job_t *job = job_new (dice, streams, false, &options, key);
    const job_args args = {job->number, job->ms, {pad, job->pad_size}, job->items};
    const bool slow = job->number >> 4 & 1;
    const int64_t cancelled_at = job->cancelled ? (int64_t) roll (dice, ITEMS_MAX) : ITEMS_MAX;
    taken_t taken = {.last = -1, .right = true};

    job_open (job);
    job->start_us = job_clock_us ();
    const int64_t until_us = job->start_us + job->timeout_ms * 1000;
    weft_call_t *call =
        weft_client_stream (client, method_of (job, method), WEFT_IN (job_args, &args), &options);
    if (!call)
        abort ();
    for (int64_t count = 0;; count++) {
        job_item item;
        if (count == cancelled_at)
            weft_call_cancel (call);
        if (!weft_call_next (call, WEFT_OUT (job_item, &item), job->timeout_ms + OVERTIME_MS))
            break;
        take_one (&taken, job, &item);
        if (slow && job_clock_us () < until_us)
            poll (NULL, 0, TICK_MS);
    }
    if (!weft_call_done (call))
        return; /* it stays in the list of those that are open */
    note_indices (&taken);
    say ("I\t%lld\t%lld\t%s\t%d\t%d\n", (long long) job->number, (long long) job->items,
         taken.size ? taken.indices : "-", taken.runs, taken.right);
    on_done (call, job);
}

static void *take_streams (void *arg)
{
    uint64_t dice = (uint64_t) own_number * 131 + (uintptr_t) arg;
    while (!atomic_load (&stopping)) {
        if (!atomic_load (&resting))
            take_stream (&dice);
        poll (NULL, 0, PAUSE_MS);
    }
    return NULL;
}

/*  Threads --------------------------------------------------------------------------------------------------------- */

static void *make_calls (void *arg)
{
    uint64_t dice = (uint64_t) own_number * 77 + 1;
    (void) arg;
    while (!atomic_load (&stopping)) {
        if (!atomic_load (&resting))
            make_one (&dice);
        poll (NULL, 0, (int) (1000 * SYNC_EACH / rate) + 1);
    }
    return NULL;
}

/*  How long all threads of this process, together, were ready to run and had no processor. */
static int64_t waited_us (void)
{
    int64_t total_us = 0;
    DIR *tasks = opendir ("/proc/self/task");

    for (const struct dirent *task; tasks && (task = readdir (tasks));) {
        char path [300];
        long long ran_ns, waited_ns;
        snprintf (path, sizeof path, "/proc/self/task/%s/schedstat", task->d_name);
        FILE *file = fopen (path, "re");
        if (file && fscanf (file, "%lld %lld", &ran_ns, &waited_ns) == 2)
            total_us += waited_ns / 1000;
        if (file)
            fclose (file);
    }
    if (tasks)
        closedir (tasks);
    return total_us;
}

/*  When nothing came of it that there was something to do: this thread stood still, or others waited for a processor. */
static void *notice_stalls (void *arg)
{
    (void) arg;
    int64_t waited_before_us = waited_us ();
    for (int64_t before_us = job_clock_us ();;) {
        poll (NULL, 0, LOOK_MS);
        const int64_t now_us = job_clock_us (), now_waited_us = waited_us ();
        const int64_t gap_us = now_us - before_us - 1000 * LOOK_MS, wait_us = now_waited_us - waited_before_us;
        const int64_t stall_us = gap_us > wait_us ? gap_us : wait_us;
        if (stall_us > STALL_US)
            say ("S\t%lld\t%lld\n", (long long) before_us, (long long) stall_us);
        before_us = now_us;
        waited_before_us = now_waited_us;
    }
    return NULL;
}

static void on_change (const char *service, const char *worker, const char *state, const char *endpoint, void *arg)
{
    (void) endpoint;
    (void) arg;
    say ("W\t%lld\t%s\t%s\t%s\n", (long long) job_clock_us (), service, worker, state);
}

/*  As many as are due by now. */
static void keep_rate (void)
{
    uint64_t dice = (uint64_t) own_number * 101 + 7;
    int64_t due = 0, before_us = job_clock_us ();

    while (!atomic_load (&stopping)) {
        poll (NULL, 0, TICK_MS);
        const int64_t now_us = job_clock_us ();
        const int64_t since_us = now_us - before_us < BEHIND_US ? now_us - before_us : BEHIND_US;
        due += atomic_load (&resting) ? 0 : since_us * rate;
        before_us = now_us;
        for (; due >= 1000000; due -= 1000000) {
            pthread_mutex_lock (&mutex);
            const bool full = open_count >= OPEN_MAX;
            pthread_mutex_unlock (&mutex);
            if (!full)
                start_one (&dice);
        }
    }
}

static void await_the_last (void)
{
    const int64_t until_us = job_clock_us () + (timeout_ms + OVERTIME_MS) * 1000;
    for (bool none = false; !none && job_clock_us () < until_us;) {
        poll (NULL, 0, TICK_MS);
        pthread_mutex_lock (&mutex);
        none = open_count == 0;
        pthread_mutex_unlock (&mutex);
    }
    pthread_mutex_lock (&mutex);
    for (const job_t *job = open_jobs.next; job != &open_jobs; job = job->next)
        say ("L\t%lld\t%c\t%lld\n", (long long) job->number, job->way, (long long) job->start_us);
    pthread_mutex_unlock (&mutex);
}

static void on_signal (int number)
{
    if (number == SIGUSR1)
        atomic_store (&resting, !atomic_load (&resting));
    else
        atomic_store (&stopping, true);
}

int main (int argc, char **argv)
{
    pthread_t caller, watchman, takers [TAKERS];

    if (argc != 9) {
        fprintf (stderr, "usage: weft-chaos-load NUMBER BROKERS LOG RATE SLOW_MS TIMEOUT_MS WAYS KINDS\n");
        return 2;
    }
    own_number = atoll (argv [1]);
    log_fd = open (argv [3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    rate = atoll (argv [4]);
    slow_ms = atoll (argv [5]);
    timeout_ms = atoll (argv [6]);
    ways = argv [7];
    for (const char *kind = argv [8]; *kind && kind < argv [8] + sizeof kinds - 1; kind++)
        strncat (JOB_STREAMS ((job_kind_t) (*kind - '0')) ? streams : kinds, kind, 1);
    if (!kinds [0]) {
        fprintf (stderr, "weft-chaos-load: KINDS has to name one that is no stream\n");
        return 2;
    }
    memset (pad, 'w', sizeof pad);
    client = weft_client_new (argv [2], &(weft_client_options_t){.name = "chaos"});
    if (!client || log_fd < 0) {
        fprintf (stderr, "weft-chaos-load: %s\n", client ? "cannot write the log" : weft_client_error ());
        return 1;
    }
    weft_client_set_watcher (client, on_change, NULL);
    signal (SIGTERM, on_signal);
    signal (SIGUSR1, on_signal);
    const int64_t until_us = job_clock_us () + DISCOVER_MS * 1000;
    for (weft_status_t status; (status = weft_client_discover (client, "Job", DISCOVER_MS)) != WEFT_OK;) {
        if (job_clock_us () > until_us) {
            fprintf (stderr, "weft-chaos-load: no list of workers: %s\n", weft_status_str (status));
            return 1;
        }
        poll (NULL, 0, TICK_MS);
    }
    puts ("ready");
    fflush (stdout);
    pthread_create (&watchman, NULL, notice_stalls, NULL);
    pthread_create (&caller, NULL, make_calls, NULL);
    for (uintptr_t i = 0; streams [0] && i < TAKERS; i++)
        pthread_create (&takers [i], NULL, take_streams, (void *) i);
    keep_rate ();
    pthread_join (caller, NULL);
    for (uintptr_t i = 0; streams [0] && i < TAKERS; i++)
        pthread_join (takers [i], NULL);
    await_the_last ();
    const weft_client_stats_t stats = weft_client_stats (client);
    say ("F\t%lld\t%lld\t%lld\t%llu\t%llu\t%llu\t%llu\n", (long long) job_clock_us (),
         (long long) atomic_load (&started), (long long) atomic_load (&ended), (unsigned long long) stats.late,
         (unsigned long long) stats.malformed, (unsigned long long) stats.retried,
         (unsigned long long) stats.hedged);
    weft_client_destroy (&client);
    return 0;
}
