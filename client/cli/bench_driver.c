/* SPDX-License-Identifier: MPL-2.0 */

#include "bench_driver.h"
#include "clock.h"
#include "exits.h"
#include "transport.h"
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define BATCH 64 /* started by the loop before it looks for replies */

/*  A call under way. */
typedef struct slot {
    bench_driver_t *driver;
    int64_t intended_us;
    struct slot *next; /* free */
} slot_t;

struct bench_driver {
    weft_client_t *client;
    const bench_request_t *request;
    int wake, ended;
    pthread_t thread;
    atomic_bool stopping, asked;

    /*  Of its thread while it runs. */
    bench_load_t load;
    slot_t *slots, *free_slot;
    bench_tally_t *tally;
    bench_run_t run;

    /*  Handed over. */
    pthread_mutex_t lock;
    pthread_cond_t handed;
    bench_tally_t *given;
    bool finished;
};

bench_driver_t *bench_driver_new (weft_client_t *client, const bench_request_t *request,
                                  uint64_t outstanding_max, int ended)
{
    bench_driver_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->client = client;
    self->request = request;
    self->ended = ended;
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->handed, NULL);
    self->wake = transport_wake_open ();
    self->slots = calloc (outstanding_max, sizeof *self->slots);
    self->tally = bench_tally_new ();
    self->given = bench_tally_new ();
    if (self->wake < 0 || !self->slots || !self->tally || !self->given) {
        bench_driver_destroy (&self);
        return NULL;
    }
    for (uint64_t i = 0; i < outstanding_max; i++) {
        self->slots [i] = (slot_t){.driver = self, .next = self->free_slot};
        self->free_slot = &self->slots [i];
    }
    return self;
}

void bench_driver_destroy (bench_driver_t **self_pointer)
{
    bench_driver_t *const self = *self_pointer;
    if (!self)
        return;
    *self_pointer = NULL;
    bench_tally_destroy (&self->tally);
    bench_tally_destroy (&self->given);
    if (self->wake >= 0)
        close (self->wake);
    pthread_cond_destroy (&self->handed);
    pthread_mutex_destroy (&self->lock);
    free (self->slots);
    free (self);
}

weft_call_t *bench_driver_try (bench_driver_t *self)
{
    const bench_request_t *const request = self->request;
    weft_call_t *const call = weft_client_start_body (self->client, request->method, request->body,
                                                      request->size, "msgpack", request->options, NULL, NULL);
    if (call)
        weft_call_wait (call, -1);
    return call;
}

/* ---- calls ---- */

static void count (bench_driver_t *self, const bench_ended_t *ended)
{
    bench_tally_add (self->tally, ended);
    if (ended->status != WEFT_OK && self->tally->first_failure == WEFT_OK)
        bench_tally_blame (
            self->tally, ended->status,
            exits_of (ended->status, ended->executed, weft_client_stats (self->client).broker));
}

static void on_done (weft_call_t *call, void *arg);

/*  False: none may start now, or memory ran out, which counts as a call that failed. */
static bool start_one (bench_driver_t *self, int64_t now_us)
{
    const bench_request_t *const request = self->request;
    int64_t intended_us;
    if (!bench_load_take (&self->load, now_us, &intended_us))
        return false;
    slot_t *const slot = self->free_slot;
    assert (slot);
    slot->intended_us = intended_us;
    self->run.behind_us = now_us - intended_us;
    if (self->load.plan.rate > 0)
        histogram_add (&self->tally->lag, (uint64_t) (now_us - intended_us));
    self->free_slot = slot->next;
    if (weft_client_start_body (self->client, request->method, request->body, request->size, "msgpack",
                                request->options, on_done, slot))
        return true;
    slot->next = self->free_slot;
    self->free_slot = slot;
    bench_load_ended (&self->load);
    count (self, &(bench_ended_t){.status = WEFT_OVERLOADED, .text = "out of memory", .worker = ""});
    return false;
}

/*  After a failure the loop tops up: else calls that fail at once would go on here for ever. */
static void on_done (weft_call_t *call, void *arg)
{
    slot_t *const slot = arg;
    bench_driver_t *const self = slot->driver;
    const int64_t now_us = clock_now_us ();
    const weft_status_t status = weft_call_status (call);
    bench_load_ended (&self->load);
    count (self, &(bench_ended_t){.status = status,
                                  .executed = weft_call_executed (call),
                                  .text = weft_call_text (call),
                                  .worker = weft_call_worker (call),
                                  .direct = weft_call_direct (call),
                                  .attempts = weft_call_attempts (call),
                                  .ledger = weft_call_ledger (call),
                                  .latency_us = now_us - slot->intended_us});
    slot->next = self->free_slot;
    self->free_slot = slot;
    weft_call_destroy (&call);
    for (int i = 0; status == WEFT_OK && i < BATCH && start_one (self, now_us); i++)
        ;
}

/* ---- the thread ---- */

static void hand_over (bench_driver_t *self)
{
    pthread_mutex_lock (&self->lock);
    bench_tally_t *const full = self->tally;
    self->tally = self->given;
    self->given = full;
    atomic_store (&self->asked, false);
    pthread_cond_signal (&self->handed);
    pthread_mutex_unlock (&self->lock);
}

/*  To the microsecond: poll's own milliseconds would make calls late. */
static void sleep_until (bench_driver_t *self, int64_t until_us)
{
    struct pollfd polled [] = {{.fd = self->wake, .events = POLLIN},
                               {.fd = weft_client_fd (self->client), .events = POLLIN}};
    struct timespec timeout = {0};
    const int64_t now_us = until_us == BENCH_LOAD_NEVER ? 0 : clock_now_us ();
    if (until_us > now_us)
        timeout = (struct timespec){(until_us - now_us) / 1000000, (until_us - now_us) % 1000000 * 1000};
    ppoll (polled, 2, until_us == BENCH_LOAD_NEVER ? NULL : &timeout, NULL);
    if (polled [0].revents)
        transport_wake_clear (self->wake);
    if (polled [1].revents)
        weft_client_drive (self->client);
}

static void *drive (void *arg)
{
    bench_driver_t *const self = arg;
    bench_load_t *const load = &self->load;
    int64_t now_us;
    prctl (PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        now_us = clock_now_us ();
        if (atomic_load (&self->stopping))
            bench_load_stop (load);
        for (int i = 0; i < BATCH && start_one (self, now_us); i++)
            now_us = clock_now_us ();
        if (atomic_load (&self->asked))
            hand_over (self);
        if (bench_load_over (load, now_us))
            break;
        sleep_until (self, bench_load_next_us (load, now_us));
    }
    self->run.end_us = now_us;
    self->run.overdue = bench_load_overdue (load, now_us);
    pthread_mutex_lock (&self->lock);
    self->finished = true;
    pthread_cond_signal (&self->handed);
    pthread_mutex_unlock (&self->lock);
    transport_wake (self->ended);
    return NULL;
}

bool bench_driver_start (bench_driver_t *self, const bench_load_plan_t *plan, int64_t start_us)
{
    bench_load_init (&self->load, plan, start_us);
    self->run = (bench_run_t){.end_us = start_us};
    self->finished = false;
    atomic_store (&self->stopping, false);
    atomic_store (&self->asked, false);
    bench_tally_clear (self->tally);
    bench_tally_clear (self->given);
    return pthread_create (&self->thread, NULL, drive, self) == 0;
}

/* ---- from the other thread ---- */

void bench_driver_stop (bench_driver_t *self)
{
    atomic_store (&self->stopping, true);
    transport_wake (self->wake);
}

bool bench_driver_finished (bench_driver_t *self)
{
    pthread_mutex_lock (&self->lock);
    const bool finished = self->finished;
    pthread_mutex_unlock (&self->lock);
    return finished;
}

void bench_driver_ask (bench_driver_t *self)
{
    atomic_store (&self->asked, true);
    transport_wake (self->wake);
}

void bench_driver_take (bench_driver_t *self, bench_tally_t *into)
{
    pthread_mutex_lock (&self->lock);
    while (atomic_load (&self->asked) && !self->finished)
        pthread_cond_wait (&self->handed, &self->lock);
    bench_tally_merge (into, self->given);
    bench_tally_clear (self->given);
    pthread_mutex_unlock (&self->lock);
}

bench_run_t bench_driver_join (bench_driver_t *self, bench_tally_t *into)
{
    pthread_join (self->thread, NULL);
    bench_tally_merge (into, self->given);
    bench_tally_merge (into, self->tally);
    return self->run;
}
