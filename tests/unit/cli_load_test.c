/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_load_test.c - when a benchmark's calls start, on a clock that is moved by hand. */

#include "check.h"
#include "cli/bench_load.h"

#define START_US 5000000
#define CALLS_MAX 100000

/*  A mesh that answers each call after `service_us`, but none between stall_us and stall_us + stall_for_us; and a
 *  sender that is never late. */
typedef struct {
    int64_t service_us, stall_us, stall_for_us;
    int64_t intended [CALLS_MAX], started [CALLS_MAX], ended [CALLS_MAX];
    size_t count, finished;
    uint64_t most; /* under way */
    int64_t end_us;
} mesh_t;

static int64_t end_of (const mesh_t *self, int64_t start_us)
{
    const int64_t end_us = start_us + self->service_us;
    const bool stalled = end_us >= self->stall_us && start_us < self->stall_us + self->stall_for_us;
    return stalled ? self->stall_us + self->stall_for_us + self->service_us : end_us;
}

static void start_all (mesh_t *self, bench_load_t *load, int64_t now_us)
{
    int64_t intended_us;
    while (bench_load_take (load, now_us, &intended_us)) {
        CHECK (self->count < CALLS_MAX);
        CHECK (intended_us <= now_us);
        self->intended [self->count] = intended_us;
        self->started [self->count] = now_us;
        self->ended [self->count++] = end_of (self, now_us);
    }
    if (bench_load_under_way (load) > self->most)
        self->most = bench_load_under_way (load);
}

static void run_mesh (mesh_t *self, bench_load_t *load, const bench_load_plan_t *plan)
{
    int64_t now_us = START_US;
    bench_load_init (load, plan, now_us);
    while (!bench_load_over (load, now_us)) {
        start_all (self, load, now_us);
        const int64_t next_us = bench_load_next_us (load, now_us);
        const int64_t end_us = self->finished < self->count ? self->ended [self->finished] : BENCH_LOAD_NEVER;
        CHECK (next_us != BENCH_LOAD_NEVER || end_us != BENCH_LOAD_NEVER); /* else it would sleep for ever */
        if (end_us <= next_us) {
            self->finished++;
            bench_load_ended (load);
        }
        now_us = end_us < next_us ? end_us : next_us > now_us ? next_us : now_us;
    }
    self->end_us = now_us;
}

static mesh_t mesh;
static bench_load_t load;

static void run (int64_t service_us, int64_t stall_us, int64_t stall_for_us, bench_load_plan_t plan)
{
    mesh = (mesh_t){.service_us = service_us, .stall_us = START_US + stall_us, .stall_for_us = stall_for_us};
    run_mesh (&mesh, &load, &plan);
    CHECK_INT (load.ended, mesh.count);
}

/*  Calls that took longer than `us` from their intended moment. */
static size_t count_longer (int64_t us)
{
    size_t count = 0;
    for (size_t i = 0; i < mesh.count; i++)
        count += mesh.ended [i] - mesh.intended [i] > us;
    return count;
}

TEST (a_closed_loop_keeps_so_many_under_way)
{
    run (1000, 0, 0, (bench_load_plan_t){.outstanding = 8, .wanted = UINT64_MAX, .duration_us = 1000000});
    CHECK_INT (mesh.most, 8);
    CHECK_INT (mesh.count, 8000);
    CHECK_INT (mesh.end_us, START_US + 1000000);
}

TEST (a_closed_loop_ends_with_the_last_of_those_wanted)
{
    run (1000, 0, 0, (bench_load_plan_t){.outstanding = 8, .wanted = 20, .duration_us = BENCH_LOAD_NEVER});
    CHECK_INT (mesh.count, 20);
    CHECK_INT (mesh.end_us, START_US + 3000);
    run (1000, 0, 0, (bench_load_plan_t){.outstanding = 8, .wanted = 20, .duration_us = 1000000});
    CHECK_INT (mesh.end_us, START_US + 3000);
}

TEST (an_open_loop_starts_evenly_and_does_not_drift)
{
    run (20, 0, 0,
         (bench_load_plan_t){.outstanding = 100, .wanted = UINT64_MAX, .rate = 30000, .duration_us = 2000000});
    CHECK_INT (mesh.count, 60000);
    for (size_t i = 0; i < mesh.count; i++)
        CHECK_INT (mesh.started [i], START_US + (int64_t) ((double) i * 1e6 / 30000));
    CHECK_INT (mesh.end_us, START_US + 2000000);
    CHECK_INT (bench_load_overdue (&load, mesh.end_us), 0);
}

TEST (the_last_call_of_an_open_loop_owns_its_interval)
{
    run (50, 0, 0, (bench_load_plan_t){.outstanding = 9, .wanted = 10, .rate = 10, .duration_us = BENCH_LOAD_NEVER});
    CHECK_INT (mesh.count, 10);
    CHECK_INT (mesh.end_us, START_US + 1000000);
    run (50, 0, 0, (bench_load_plan_t){.outstanding = 9, .wanted = UINT64_MAX, .rate = 10, .duration_us = 1000000});
    CHECK_INT (mesh.count, 10);
    CHECK_INT (mesh.end_us, START_US + 1000000);
}

TEST (several_clients_share_one_even_rate)
{
    run (50, 0, 0,
         (bench_load_plan_t){.outstanding = 9, .wanted = 5, .rate = 10, .phase = 0.25, .duration_us = BENCH_LOAD_NEVER});
    for (size_t i = 0; i < 5; i++)
        CHECK_INT (mesh.started [i], START_US + 25000 + 100000 * (int64_t) i);
}

/*  A second of 1,000 a second, and 200 ms of silence in the middle. */
TEST (a_stall_delays_all_that_were_to_start_in_it)
{
    run (100, 400000, 200000,
         (bench_load_plan_t){.outstanding = 1000, .wanted = UINT64_MAX, .rate = 1000, .duration_us = 1000000});
    CHECK_INT (mesh.count, 1000);
    CHECK_INT (count_longer (1000), 200);
    CHECK_INT (count_longer (100000), 101);
}

TEST (a_stall_shows_just_the_same_when_few_may_be_under_way)
{
    run (100, 400000, 200000,
         (bench_load_plan_t){.outstanding = 4, .wanted = UINT64_MAX, .rate = 1000, .duration_us = 1000000});
    CHECK_INT (mesh.most, 4);
    CHECK_INT (mesh.count, 1000);
    CHECK (count_longer (1000) >= 200); /* those that waited here count their waiting */
    CHECK_INT (count_longer (100000), 103);
}

TEST (a_closed_loop_hides_a_stall)
{
    run (1000, 400000, 200000,
         (bench_load_plan_t){.outstanding = 1, .wanted = UINT64_MAX, .duration_us = 1000000});
    CHECK_INT (count_longer (1000), 1);
}

TEST (what_could_not_start_by_the_end_is_overdue)
{
    run (10000, 0, 0, /* 4 at once, 10 ms each: 400 a second at most */
         (bench_load_plan_t){.outstanding = 4, .wanted = UINT64_MAX, .rate = 1000, .duration_us = 1000000});
    CHECK_INT (mesh.count + bench_load_overdue (&load, mesh.end_us), 1000);
    CHECK (mesh.count >= 440 && mesh.count <= 448);
    CHECK (mesh.end_us <= START_US + 1000000 + BENCH_LOAD_GRACE_US + 10000);
}

TEST (a_sender_that_is_late_at_the_end_starts_what_was_due)
{
    int64_t intended_us;
    const bench_load_plan_t plan = {.outstanding = 9, .wanted = UINT64_MAX, .rate = 1000, .duration_us = 2000};
    bench_load_init (&load, &plan, START_US);
    CHECK (bench_load_take (&load, START_US + 2500, &intended_us));
    CHECK (bench_load_take (&load, START_US + 2500, &intended_us));
    CHECK_INT (intended_us, START_US + 1000);
    CHECK (!bench_load_take (&load, START_US + 2500, &intended_us)); /* the third would be after the end */
    CHECK (!bench_load_over (&load, START_US + 2500));
    bench_load_ended (&load);
    bench_load_ended (&load);
    CHECK (bench_load_over (&load, START_US + 2500));
}

TEST (random_arrivals_keep_the_rate_and_come_in_bunches)
{
    run (50, 0, 0,
         (bench_load_plan_t){
             .outstanding = 1000, .wanted = UINT64_MAX, .rate = 10000, .random = true, .seed = 7, .duration_us = 9000000});
    CHECK (mesh.count > 88500 && mesh.count < 91500); /* 90,000 ± 5 of its deviations */
    size_t close = 0;
    for (size_t i = 1; i < mesh.count; i++)
        close += mesh.intended [i] - mesh.intended [i - 1] < 50;
    const double share = (double) close / (double) mesh.count; /* 1 - 1/sqrt(e): 0.393 */
    CHECK (share > 0.38 && share < 0.41);
}

TEST (once_stopped_nothing_more_starts)
{
    int64_t intended_us;
    const bench_load_plan_t plan = {.outstanding = 2, .wanted = UINT64_MAX, .duration_us = 1000000};
    bench_load_init (&load, &plan, START_US);
    CHECK (bench_load_take (&load, START_US, &intended_us));
    bench_load_stop (&load);
    CHECK (!bench_load_take (&load, START_US, &intended_us));
    CHECK (!bench_load_over (&load, START_US));
    CHECK_INT (bench_load_next_us (&load, START_US), BENCH_LOAD_NEVER);
    bench_load_ended (&load);
    CHECK (bench_load_over (&load, START_US));
}
