/* SPDX-License-Identifier: MPL-2.0 */

#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "call.h"
#include "checker.h"
#include "faults.h"
#include "roles.h"

#define PAD_MAX    20000
#define FLOWING_US (2 * S)  /* the longest way of a credit to the worker and its item back, through the broker, in the worst weather */

static record_t **records;
static int64_t record_count, record_capacity;
static size_t open_count;
static bool stopped, calm, strict;
static const uint8_t padding [PAD_MAX];

/*  Records --------------------------------------------------------------------------------------------------------- */

record_t *load_record (int64_t number)
{
    return number > 0 && number <= record_count ? records [number - 1] : NULL;
}

int64_t load_count (void)
{
    return record_count;
}

size_t load_open (void)
{
    return open_count;
}

bool load_flows (void)
{
    for (int64_t i = 0; i < record_count; i++) {
        const record_t *record = records [i];
        if (record->call && record->deadline_us == NEVER && world.now_us - record->flowed_us < FLOWING_US)
            return true;
    }
    return false;
}

static record_t *record_new (process_t *client)
{
    if (record_count == record_capacity) {
        record_capacity = record_capacity ? 2 * record_capacity : 512;
        records = realloc (records, (size_t) record_capacity * sizeof (record_t *));
    }
    record_t *record = records [record_count++] = calloc (1, sizeof *record);
    record->number = record_count;
    record->client = client;
    return record;
}

void load_init (void)
{
    stopped = calm = strict = false;
    open_count = 0;
}

void load_fini (void)
{
    for (int64_t i = 0; i < record_count; i++)
        free (records [i]);
    free (records);
    records = NULL;
    record_count = record_capacity = 0;
}

/*  Starting -------------------------------------------------------------------------------------------------------- */

static weft_via_t some_via (void)
{
    static const weft_via_t ways [] = {WEFT_VIA_AUTO, WEFT_VIA_DIRECT, WEFT_VIA_BROKER};
    const unsigned *weights = profile.via_weights;
    uint64_t drawn = roll (weights [0] + weights [1] + weights [2]);
    int way = 0;
    for (; drawn >= weights [way]; way++)
        drawn -= weights [way];
    return profile.no_direct && ways [way] == WEFT_VIA_DIRECT ? WEFT_VIA_BROKER : ways [way];
}

static int some_timeout_ms (void)
{
    if (!strict && chance (profile.short_per_mille))
        return (int) between (1, 100);
    return (int) (strict || profile.gentle ? 5000 : between (300, 5000));
}

static void choose_way (record_t *record)
{
    weft_call_options_t *options = &record->options;
    options->via = some_via ();
    options->balance = (weft_balance_t) between (WEFT_BALANCE_P2C, WEFT_BALANCE_PRIMARY);
    options->retry = (weft_retry_t) between (WEFT_RETRY_FAILFAST, WEFT_RETRY_FAILOVER);
    options->timeout_ms = some_timeout_ms ();
    if (profile.gentle)
        options->retry = WEFT_RETRY_FAILOVER;
    if (chance (profile.backup_per_mille)) {
        options->retry = WEFT_RETRY_FAILBACKUP;
        options->backup_ms = chance (500) ? 0 : (int) between (1, profile.hedging ? 10 : 60);
    }
    snprintf (record->key, sizeof record->key, "%llu", (unsigned long long) roll (1000));
    if (options->balance == WEFT_BALANCE_HASH)
        options->key = record->key;
    if (chance (profile.keyed_per_mille)) {
        snprintf (record->request_key, sizeof record->request_key, "work %lld", (long long) record->number);
        options->request_key = record->request_key;
    }
    if (!strict && chance (profile.broadcast_per_mille))
        options->balance = WEFT_BALANCE_BROADCAST;
    process_t *worker = &world.processes [profile.brokers + (int) roll ((uint64_t) profile.workers)];
    if (strict || !chance (profile.bound_per_mille) || !worker->up)
        return;
    snprintf (record->worker, sizeof record->worker, "%s", worker_process_uuid (worker));
    options->worker = record->worker;
}

static job_kind_t some_kind (void)
{
    if (chance (profile.stream_per_mille))
        return chance (600) ? JOB_STREAM : JOB_STREAM_ONCE;
    if (chance (profile.once_per_mille))
        return chance (700) ? JOB_ONCE : chance (500) ? JOB_FAST_ONCE : JOB_FAIL;
    return chance (700) ? JOB_ADD : JOB_FAST;
}

static void cancel (void *arg, uint64_t tag)
{
    record_t *record = load_record ((int64_t) tag);
    (void) arg;
    if (!record || !record->call || record->client->frozen || record->client->stalled_until_us > world.now_us)
        return;
    trace ("%s cancels call %lld", record->client->name, (long long) record->number);
    record->cancelled = true;
    client_process_cancel (record->client, record->call);
}

/*  Some have no deadline, but not where a drain must not fail a call. */
static void choose_stream (record_t *record)
{
    weft_call_options_t *options = &record->options;
    if (options->balance == WEFT_BALANCE_BROADCAST)
        options->balance = WEFT_BALANCE_P2C;
    options->request_key = NULL;
    if (!strict && !profile.gentle && chance (400))
        options->timeout_ms = 0;
    const bool far = weather.delay_us + weather.jitter_us > 50 * MS; /* then there is no time to ask for more again and again */
    options->window = strict || profile.gentle ? (profile.gentle && far ? 32 : 8) : (int) between (1, 20);
}

static void start (record_t *record);

static void call_once (process_t *client)
{
    record_t *record = record_new (client);

    record->kind = some_kind ();
    choose_way (record);
    if (job_is_stream (record->kind))
        choose_stream (record);
    record->strict = strict;
    record->may_run_again = job_is_idempotent (record->kind);
    record->pad_size = chance (profile.big_per_mille) ? (size_t) between (4000, chance (50) ? PAD_MAX : 5000) : (size_t) roll (40);
    start (record);
}

/*  The same work again, with its key, at the worker that may have done it. */
static void call_again (process_t *client, record_t *original, const char *worker)
{
    record_t *record = record_new (client);

    record->original = original;
    record->kind = original->kind;
    record->options = original->options;
    record->options.via = some_via ();
    record->options.timeout_ms = some_timeout_ms ();
    snprintf (record->worker, sizeof record->worker, "%s", worker);
    record->options.worker = record->worker;
    record->pad_size = original->pad_size;
    start (record);
    if (record->deadline_us > original->deadline_us) /* messages tell of the original, by its number */
        original->deadline_us = record->deadline_us;
}

static void start (record_t *record)
{
    process_t *client = record->client;
    codec_error_t error;

    record->started_us = record->flowed_us = world.now_us;
    record->deadline_us = record->options.timeout_ms ? world.now_us + record->options.timeout_ms * MS : NEVER;
    weft_call_t *call = record->call = client_process_call (client);
    call->callback_arg = record;
    if (job_is_stream (record->kind)) {
        call->intake = intake_new ((uint64_t) record->options.window);
        call->described = true;
    }
    const job_args args = {load_work (record)->number, {padding, record->pad_size}};
    if (!codec_encode (call->codec, WEFT_IN (job_args, &args), &call->args, &error))
        abort ();
    open_count++;
    trace ("%s begins call %lld: %s, via %d, balance %d, retry %d, %d ms%s%s%s", client->name, (long long) record->number,
           job_methods [record->kind].name, (int) record->options.via, (int) record->options.balance,
           (int) record->options.retry, record->options.timeout_ms, record->options.request_key ? ", keyed" : "",
           record->options.worker ? ", for one worker" : "", record->strict ? ", strict" : "");
    if (record->original)
        trace ("which is call %lld again", (long long) record->original->number);
    checker_client_calls (client);
    client_process_begin (client, call);
    if (!strict && chance (profile.cancel_per_mille))
        world_at (world.now_us + between (1, 300 * MS), cancel, NULL, (uint64_t) record->number);
}

static bool can_call (const process_t *client)
{
    return client->up && !client->frozen && client->stalled_until_us <= world.now_us;
}

static void next_call (void *arg, uint64_t tag)
{
    process_t *client = arg;

    if (stopped || !client->up || tag != client->lives)
        return;
    if (can_call (client))
        call_once (client);
    const int64_t calm_us = strict ? 100 * MS : 300 * MS; /* or less often, if slow handlers leave no room */
    const int64_t gap_us = !calm || (profile.gentle && profile.call_gap_us > calm_us) ? profile.call_gap_us : calm_us;
    world_at (world.now_us + between (1, 2 * gap_us), next_call, client, tag);
}

void load_begin (process_t *client)
{
    const int64_t after_us = profile.gentle && world.now_us == BEGIN_US ? 1 * S : 0; /* workers are there by then */
    world_at (world.now_us + after_us + between (1, 2 * profile.call_gap_us), next_call, client, client->lives);
}

void load_stop (void)
{
    stopped = true;
}

void load_calm (void)
{
    calm = true;
}

void load_strict (void)
{
    strict = true;
}

void load_burst (int calls)
{
    for (int i = 0; i < world.process_count && calls > 0; i++) {
        process_t *client = &world.processes [i];
        if (client->role != ROLE_OF_CLIENT || !can_call (client))
            continue;
        for (; calls > 0; calls--)
            call_once (client);
    }
}

/*  Ending ---------------------------------------------------------------------------------------------------------- */

const char *load_method (const weft_call_t *call)
{
    static char name [64];
    const record_t *record = weft_call_arg (call);
    snprintf (name, sizeof name, JOB_SERVICE ".%s", job_methods [record->kind].name);
    return name;
}

const weft_call_options_t *load_options (const weft_call_t *call)
{
    return &((const record_t *) weft_call_arg (call))->options;
}

/*  It may have run, and its worker may tell. */
static bool may_ask_again (const process_t *client, const record_t *record)
{
    return !stopped && !strict && !profile.gentle && client->up && record->options.request_key
           && record->executed != WEFT_EXECUTED_NO && record->options.balance != WEFT_BALANCE_BROADCAST;
}

static bool take_item (record_t *record)
{
    size_t size;
    const void *body = client_process_take (record->client, record->call, &size);
    if (body)
        checker_item (record, record->call, body, size);
    return body != NULL;
}

/*  Takes some of the items that came, at a reader's pace. */
static void read_items (void *arg, uint64_t tag)
{
    record_t *record = load_record ((int64_t) tag);
    (void) arg;
    if (!record || !record->call)
        return;
    if (can_call (record->client))
        for (uint64_t left = 1 + roll (3); left > 0 && take_item (record); left--) {
        }
    record->reading = intake_holds (record->call->intake);
    if (record->reading)
        world_at (world.now_us + between (1, 10 * MS), read_items, NULL, tag);
}

void load_fresh (weft_call_t *call)
{
    record_t *record = weft_call_arg (call);
    if (record->reading || !record->call)
        return;
    record->reading = true;
    world_at (world.now_us + between (1, 10 * MS), read_items, NULL, (uint64_t) record->number);
}

void load_done (process_t *client, weft_call_t *call)
{
    record_t *record = weft_call_arg (call);
    char worker [40];

    while (call->intake && take_item (record)) {
    }
    checker_outcome (record, call);
    record->call = NULL;
    open_count--;
    snprintf (worker, sizeof worker, "%s", weft_call_worker (call));
    client_process_release (client, call);
    if (may_ask_again (client, record) && worker [0] && chance (500))
        call_again (client, load_work (record), worker);
    if (!stopped && !strict && client->up && chance (profile.follow_per_mille))
        call_once (client);
}

void load_forget (process_t *client)
{
    for (int64_t i = 0; i < record_count; i++) {
        record_t *record = records [i];
        if (record->client != client || !record->call)
            continue;
        client_process_release (client, record->call);
        record->call = NULL;
        record->abandoned = true;
        open_count--;
    }
}
