/* SPDX-License-Identifier: MPL-2.0
 *
 *  main.c - runs seeds, and says what was wrong with the first that failed.
 *
 *      weft-sim --seeds 1..2000 --jobs 2
 *      weft-sim --seed 77 --trace
 *
 *  A run: everything starts; clients call while faults strike; everything is mended, and a while later must be right;
 *  then every call must succeed; then all leave, and nothing may be left. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "checker.h"
#include "faults.h"
#include "leaks.h"
#include "roles.h"
#include "weft/log.h"

#define START_US    (1500 * MS)
#define SETTLE_US   (HEALED_US + 18 * S) /* loss noticed 4 s, back in 2 s; lists are confirmed a TTL of 10 s later */
#define STRICT_US   (2 * S)
#define QUIET_US    (6 * S)             /* the longest call with a deadline */
#define FLOW_US     (1 * S)             /* between two looks at streams without */
#define LEAVE_US    (14 * S)            /* the drain timeout, and what goes with leaving */
#define JOBS_MAX    64
#define ENDLESS_S   120                 /* of the clock; a run takes milliseconds */

bool leaves_politely;

/*  Processes -------------------------------------------------------------------------------------------------------- */

const program_t *program_of (const process_t *process)
{
    static const program_t *const programs [] = {&broker_program, &worker_program, &client_program, &hostile_program};
    return programs [process->role];
}

void process_turn (process_t *self)
{
    program_of (self)->turn (self);
}

int64_t process_next_us (const process_t *self)
{
    const int64_t next_us = program_of (self)->next_us (self);
    return next_us == NEVER ? NEVER : next_us - self->offset_us;
}

void process_start (process_t *self)
{
    self->up = true;
    self->leaving = false;
    self->lives++;
    self->turn_us = NEVER;
    self->turn_tag++;
    self->started_us = world.now_us;
    self->stalled_until_us = world.now_us;
    self->offset_us = chance (500) ? 0 : between (-3600 * S, 3600 * S);
    trace ("%s starts", self->name);
    program_of (self)->start (self);
    if (self->role == ROLE_OF_CLIENT)
        load_begin (self);
}

static void start_again (void *arg, uint64_t tag)
{
    process_t *self = arg;
    if (!self->up && !world.over && tag == self->lives)
        process_start (self);
}

void process_kill (process_t *self, bool politely)
{
    if (!self->up)
        return;
    trace ("%s %s", self->name, politely ? "is gone" : "is killed");
    self->up = false;
    leaves_politely = politely;
    program_of (self)->kill (self);
    if (!world.over)
        world_at (world.now_us + between (1, profile.gentle || chance (500) ? 50 * MS : HEALED_US), start_again, self,
                  self->lives);
}

/*  One run ---------------------------------------------------------------------------------------------------------- */

static void make_processes (void)
{
    const int counts [] = {profile.brokers, profile.workers, profile.clients, profile.hostiles};
    static const int64_t lags_us [] = {5, 30, 200, 2000};

    for (int role = 0; role < 4; role++)
        for (int i = 0; i < counts [role]; i++)
            process_new ((process_role_t) role, i)->lag_us = lags_us [roll (4)];
    for (int i = 0; i < world.process_count; i++)
        process_start (&world.processes [i]);
}

static void each (process_role_t role, void (*what) (process_t *process))
{
    for (int i = 0; i < world.process_count && !world.failed; i++)
        if (world.processes [i].role == role && world.processes [i].up)
            what (&world.processes [i]);
}

static void end_now (process_t *process)
{
    process_kill (process, true);
}

/*  Not all is well yet while somebody takes his time who was told to stop. */
static void await_leavers (void)
{
    const int64_t by_us = world.now_us + LEAVE_US;
    for (int i = 0; i < world.process_count && !world.failed && world.now_us < by_us; i++)
        while (world.processes [i].leaving && !world.failed && world.now_us < by_us)
            world_run (world.now_us + 1 * S);
}

static void storm (void)
{
    world_run (world.now_us + START_US);
    faults_begin ();
    world_run (world.now_us + profile.active_us);
    faults_heal ();
    load_calm ();
    await_leavers ();
    world_run (world.now_us + SETTLE_US);
}

static void calm (void)
{
    if (world.failed)
        return;
    checker_converged ();
    load_strict ();
    world_run (world.now_us + STRICT_US);
    load_stop ();
    world_run (world.now_us + QUIET_US);
    while (!world.failed && load_flows ())
        world_run (world.now_us + FLOW_US);
    if (!world.failed)
        checker_idle ();
    checker_judge ();
}

static void leave (void)
{
    if (world.failed)
        return;
    world.over = true;
    each (ROLE_OF_HOSTILE, end_now);
    each (ROLE_OF_WORKER, worker_process_drain);
    world_run (world.now_us + LEAVE_US);
    each (ROLE_OF_CLIENT, client_process_close);
    world_run (world.now_us + 1 * S);
    if (!world.failed)
        checker_empty ();
}

static void check_enough (void)
{
    const uint64_t well = summary.by_status [WEFT_OK] + summary.by_status [WEFT_APP_ERROR];
    if (well < 20)
        violated ("void: only %llu of %llu calls were answered", (unsigned long long) well,
                  (unsigned long long) summary.calls);
}

static bool run_seed (uint64_t seed)
{
    const int64_t blocks = leaks_blocks ();
    world_begin (seed);
    network_begin ();
    checker_begin ();
    profile_draw ();
    profile_trace ();
    load_init ();
    make_processes ();
    storm ();
    calm ();
    leave ();
    if (!world.failed)
        check_enough ();
    const bool whole = !world.failed;
    world.over = true;
    for (int i = 0; i < world.process_count; i++)
        process_kill (&world.processes [i], false);
    load_fini ();
    network_end ();
    checker_end ();
    world_end ();
    if (whole && leaks_blocks () != blocks)
        violated ("%lld blocks of memory were not freed", (long long) (leaks_blocks () - blocks));
    return !world.failed;
}

/*  Many runs -------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t seed, digest, events, failed; /* failed: the seed, of an entry that ends all */
    checker_summary_t summary;
} report_t;

static int report_fd = -1;
static uint64_t running_seed;

/*  A core's assertion, or worse, or that it never comes to an end, is a finding too. */
static void crashed (int number)
{
    const report_t report = {.failed = running_seed};
    if (write (report_fd, &report, sizeof report) < 0) {
    }
    signal (number, SIG_DFL);
    raise (number);
}

static void work (uint64_t first, uint64_t last, uint64_t step)
{
    static const int signals [] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal (signals [i], crashed);
    for (uint64_t seed = first; seed <= last; seed += step) {
        running_seed = seed;
        alarm (ENDLESS_S);
        const bool good = run_seed (seed);
        const report_t report = {seed, world.digest, world.events, good ? 0 : seed, summary};
        if (write (report_fd, &report, sizeof report) < 0 || !good)
            _exit (1);
    }
    _exit (0);
}

typedef struct {
    uint64_t runs, events, failed;
    int died;               /* how one ended that never came to say in which seed, as wait tells it; 0: none did */
    checker_summary_t summary;
} total_t;

static void add (total_t *total, const report_t *report)
{
    total->failed = report->failed && (!total->failed || report->failed < total->failed) ? report->failed : total->failed;
    total->runs += report->seed != 0;
    total->events += report->events;
    total->summary.calls += report->summary.calls;
    total->summary.abandoned += report->summary.abandoned;
    total->summary.runs += report->summary.runs;
    total->summary.items += report->summary.items;
    total->summary.hedges += report->summary.hedges;
    for (int i = 0; i < WEFT_STATUS_COUNT; i++)
        total->summary.by_status [i] += report->summary.by_status [i];
}

static total_t run_many (uint64_t first, uint64_t last, unsigned jobs)
{
    total_t total = {0};
    report_t report;
    pid_t children [JOBS_MAX];
    int fds [2];

    if (pipe (fds) < 0)
        abort ();
    report_fd = fds [1];
    fflush (stdout);
    for (unsigned i = 0; i < jobs; i++)
        if ((children [i] = fork ()) == 0) {
            close (fds [0]);
            work (first + i, last, jobs);
        }
    close (fds [1]);
    while (!total.failed && read (fds [0], &report, sizeof report) == (ssize_t) sizeof report)
        add (&total, &report);
    close (fds [0]);
    for (unsigned i = 0; i < jobs; i++) {
        int status = 0;
        if (total.failed)
            kill (children [i], SIGKILL);
        waitpid (children [i], &status, 0);
        if (!total.failed && !(WIFEXITED (status) && WEXITSTATUS (status) == 0))
            total.died = status;
    }
    return total;
}

static const char *rolling_option (void)
{
    return profile_rolling_only ? " --rolling" : "";
}

/*  The last lines of a seed's trace: in a process of its own, which may crash. */
static void show_last (uint64_t seed, const char *program, int lines)
{
    char line [600];
    char command [600];
    snprintf (command, sizeof command, "'%s' --seed %llu%s --trace 2>&1 | tail -n %d", program, (unsigned long long) seed,
              rolling_option (), lines);
    FILE *output = popen (command, "r");
    while (output && fgets (line, sizeof line, output))
        fputs (line, stdout);
    if (output)
        pclose (output);
}

static void print_total (const total_t *total, double seconds)
{
    printf ("%llu runs in %.1f s: %llu calls, %llu of them hedged, %llu handlers, %llu items of streams, %llu events;",
            (unsigned long long) total->runs, seconds, (unsigned long long) total->summary.calls,
            (unsigned long long) total->summary.hedges, (unsigned long long) total->summary.runs,
            (unsigned long long) total->summary.items, (unsigned long long) total->events);
    for (int i = 0; i < WEFT_STATUS_COUNT; i++)
        if (total->summary.by_status [i])
            printf (" %s %llu", weft_status_str ((weft_status_t) i), (unsigned long long) total->summary.by_status [i]);
    printf ("; %llu callers killed before\n", (unsigned long long) total->summary.abandoned);
}

/*  What was asked for ----------------------------------------------------------------------------------------------- */

static void log_line (weft_log_level_t level, const char *message, const char *fields, void *arg)
{
    (void) level;
    (void) arg;
    trace ("log: %s %s", message, fields);
}

static int usage (void)
{
    fputs ("usage: weft-sim [--rolling] [--seeds A..B] [--jobs N] [--tail LINES] | [--rolling] --seed N [--trace]\n", stderr);
    return 2;
}

static double seconds_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static int one (uint64_t seed, bool wanted)
{
    tracing = wanted;
    static char room [65536]; /* or it would be counted as a leak */
    setvbuf (stdout, room, _IOLBF, sizeof room);
    if (tracing)
        weft_log_set (WEFT_LOG_DEBUG, log_line, NULL);
    const bool good = run_seed (seed);
    printf ("seed %llu: %s, digest %016llx, %llu events, %llu calls\n", (unsigned long long) seed, good ? "good" : "FAILED",
            (unsigned long long) world.digest, (unsigned long long) world.events, (unsigned long long) summary.calls);
    return good ? 0 : 1;
}

/*  As who is killed for want of memory does. */
static int say_died (const total_t *total, uint64_t first, uint64_t last)
{
    const bool killed = WIFSIGNALED (total->died);
    printf ("a process of those that ran seeds %llu to %llu ended with %s %d; it is not known in which seed\n", (unsigned long long) first,
            (unsigned long long) last, killed ? "signal" : "status", killed ? WTERMSIG (total->died) : WEXITSTATUS (total->died));
    return 1;
}

static int many (uint64_t first, uint64_t last, unsigned jobs, int tail, const char *program)
{
    const double began = seconds_now ();
    const total_t total = run_many (first, last, jobs);
    print_total (&total, seconds_now () - began);
    if (total.died && !total.failed)
        return say_died (&total, first, last);
    if (!total.failed)
        return 0;
    printf ("seed %llu failed; its last events:\n", (unsigned long long) total.failed);
    fflush (stdout);
    show_last (total.failed, program, tail);
    printf ("to see all of it: tests/sim/run --seed %llu%s --trace\n", (unsigned long long) total.failed, rolling_option ());
    return 1;
}

int main (int argc, char **argv)
{
    unsigned long long first = 1, last = 2000, seed = 0;
    unsigned jobs = 2;
    int tail = 40;
    bool wanted = false;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv [i + 1] : "";
        if (strcmp (argv [i], "--trace") == 0)
            wanted = true;
        else if (strcmp (argv [i], "--rolling") == 0)
            profile_rolling_only = true;
        else if ((strcmp (argv [i], "--seeds") == 0 && sscanf (value, "%llu..%llu", &first, &last) == 2)
                 || (strcmp (argv [i], "--seed") == 0 && sscanf (value, "%llu", &seed) == 1)
                 || (strcmp (argv [i], "--jobs") == 0 && sscanf (value, "%u", &jobs) == 1)
                 || (strcmp (argv [i], "--tail") == 0 && sscanf (value, "%d", &tail) == 1))
            i++;
        else
            return usage ();
    }
    if (first < 1 || last < first || jobs < 1 || jobs > JOBS_MAX || (wanted && !seed))
        return usage ();
    return seed ? one (seed, wanted) : many (first, last, jobs, tail, argv [0]);
}
