/* SPDX-License-Identifier: MPL-2.0 */

#include "bench_tally.h"
#include <stdlib.h>
#include <string.h>

const char *const bench_part_names [BENCH_PART_COUNT] = {"earlier", "client_queue", "broker_queue",
                                                         "worker_queue", "handler"};

bench_tally_t *bench_tally_new (void)
{
    bench_tally_t *const self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    table_init (&self->by_uuid, 0);
    histogram_init (&self->latency, HISTOGRAM_FINE, self->latency_buckets);
    histogram_init (&self->lag, HISTOGRAM_FINE, self->lag_buckets);
    return self;
}

static void forget_workers (bench_tally_t *self)
{
    table_fini (&self->by_uuid);
    table_init (&self->by_uuid, 0);
    for (size_t i = 0; i < self->worker_count; i++)
        free (self->workers [i]);
    self->worker_count = 0;
    self->last = NULL;
}

void bench_tally_destroy (bench_tally_t **self)
{
    if (!*self)
        return;
    forget_workers (*self);
    table_fini (&(*self)->by_uuid);
    free ((*self)->workers);
    free (*self);
    *self = NULL;
}

void bench_tally_clear (bench_tally_t *self)
{
    forget_workers (self);
    self->calls = self->direct = self->retried = 0;
    memset (self->outcomes, 0, sizeof self->outcomes);
    memset (self->parts, 0, sizeof self->parts);
    self->first_failure = WEFT_OK;
    self->first_exit = 0;
    histogram_clear (&self->latency);
    histogram_clear (&self->lag);
}

/* ---- who served ---- */

static bench_worker_t *new_worker (bench_tally_t *self, const char *uuid)
{
    if (self->worker_count == self->worker_room) {
        const size_t room = self->worker_room ? self->worker_room * 2 : 8;
        bench_worker_t **const grown = realloc (self->workers, room * sizeof *grown);
        if (!grown)
            return NULL;
        self->workers = grown;
        self->worker_room = room;
    }
    bench_worker_t *worker = calloc (1, sizeof *worker);
    if (worker) {
        snprintf (worker->uuid, sizeof worker->uuid, "%s", uuid);
        if (!table_put (&self->by_uuid, uuid, strlen (uuid), worker)) {
            free (worker);
            return NULL;
        }
        self->workers [self->worker_count++] = worker;
    }
    return worker;
}

/*  Without memory for one more, its calls count for nobody. */
static void count_worker (bench_tally_t *self, const char *uuid, uint64_t calls)
{
    if (!*uuid)
        return;
    if (!self->last || strcmp (self->last->uuid, uuid) != 0)
        self->last = table_get (&self->by_uuid, uuid, strlen (uuid));
    if (!self->last)
        self->last = new_worker (self, uuid);
    if (self->last)
        self->last->calls += calls;
}

/* ---- counting ---- */

static void count_part (bench_time_t *part, int64_t us)
{
    part->calls += us > 0;
    part->sum_us += us > 0 ? (uint64_t) us : 0;
}

void bench_tally_add (bench_tally_t *self, const bench_ended_t *ended)
{
    const unsigned status = (unsigned) ended->status;
    bench_outcome_t *const outcome = &self->outcomes [status < WEFT_STATUS_COUNT ? status : WEFT_INTERNAL];
    self->calls++;
    self->direct += ended->direct;
    self->retried += ended->attempts > 1;
    outcome->executed [ended->executed]++;
    if (outcome->calls++ == 0 && status != WEFT_OK)
        snprintf (outcome->text, sizeof outcome->text, "%s", ended->text);
    histogram_add (&self->latency, ended->latency_us > 0 ? (uint64_t) ended->latency_us : 0);
    count_worker (self, ended->worker, 1);
    count_part (&self->parts [BENCH_EARLIER], ended->ledger.earlier_us);
    count_part (&self->parts [BENCH_CLIENT_QUEUE], ended->ledger.client_queue_us);
    count_part (&self->parts [BENCH_BROKER_QUEUE], ended->ledger.broker_queue_us);
    count_part (&self->parts [BENCH_WORKER_QUEUE], ended->ledger.worker_queue_us);
    count_part (&self->parts [BENCH_HANDLER], ended->ledger.handler_us);
}

void bench_tally_blame (bench_tally_t *self, weft_status_t status, int exit_code)
{
    if (self->first_failure != WEFT_OK)
        return;
    self->first_failure = status;
    self->first_exit = exit_code;
}

static void merge_outcome (bench_outcome_t *self, const bench_outcome_t *other)
{
    if (self->calls == 0)
        memcpy (self->text, other->text, sizeof self->text);
    self->calls += other->calls;
    for (int i = 0; i < BENCH_EXECUTED_COUNT; i++)
        self->executed [i] += other->executed [i];
}

void bench_tally_merge (bench_tally_t *self, const bench_tally_t *other)
{
    self->calls += other->calls;
    self->direct += other->direct;
    self->retried += other->retried;
    for (int i = 0; i < WEFT_STATUS_COUNT; i++)
        merge_outcome (&self->outcomes [i], &other->outcomes [i]);
    for (int i = 0; i < BENCH_PART_COUNT; i++) {
        self->parts [i].calls += other->parts [i].calls;
        self->parts [i].sum_us += other->parts [i].sum_us;
    }
    bench_tally_blame (self, other->first_failure, other->first_exit);
    histogram_merge (&self->latency, &other->latency);
    histogram_merge (&self->lag, &other->lag);
    for (size_t i = 0; i < other->worker_count; i++)
        count_worker (self, other->workers [i]->uuid, other->workers [i]->calls);
}
