/* SPDX-License-Identifier: MPL-2.0
 *
 *  bench_driver.h - one client on a thread of its own, which starts calls when its load says so and counts
 *  what comes of them.
 *
 *  A call's time runs from the moment it was to start to the moment its callback runs here. Between the two
 *  the thread sleeps: until a reply comes, or the next call is due. The callbacks top up what is under way,
 *  so what they start leaves together.
 *
 *      new -> start -> (ask, take) ... -> [stop] -> finished -> join -> start ... -> destroy
 *
 *  All but what runs on its own thread is called from one other. */

#ifndef BENCH_DRIVER_H_INCLUDED
#define BENCH_DRIVER_H_INCLUDED

#include "bench_load.h"
#include "bench_tally.h"

typedef struct bench_driver bench_driver_t;

/*  What is called; borrowed for the drivers' lives. */
typedef struct {
    const char *method;
    const void *body; /* MessagePack */
    size_t size;
    const weft_call_options_t *options;
} bench_request_t;

/*  `client` has a loop of its own (own_loop), is borrowed, and used by nobody else from start to join.
 *  `ended`: a wake descriptor (transport.h), which is woken when a run is over. NULL: out of memory or
 *  descriptors. */
bench_driver_t *bench_driver_new (weft_client_t *client, const bench_request_t *request,
                                  uint64_t outstanding_max, int ended);
void bench_driver_destroy (bench_driver_t **self);

/*  Makes one call and waits for it: opens the connections, and shows that the method works. NULL: out of
 *  memory. */
weft_call_t *bench_driver_try (bench_driver_t *self);

/*  Begins a run. False: no thread. */
bool bench_driver_start (bench_driver_t *self, const bench_load_plan_t *plan, int64_t start_us);

/*  Starts no more calls; the run is over when those under way have ended. */
void bench_driver_stop (bench_driver_t *self);
bool bench_driver_finished (bench_driver_t *self);

/*  Asks for what was counted since last time; take waits for it and merges it. */
void bench_driver_ask (bench_driver_t *self);
void bench_driver_take (bench_driver_t *self, bench_tally_t *into);

/*  Ends a finished run: merges what has not been taken. */
typedef struct {
    int64_t end_us;
    uint64_t overdue;  /* their moment came, and they never started */
    int64_t behind_us; /* how late the last one started */
} bench_run_t;
bench_run_t bench_driver_join (bench_driver_t *self, bench_tally_t *into);

#endif
