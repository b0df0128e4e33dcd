/* SPDX-License-Identifier: MPL-2.0
 *
 *  checker_client.c - the attempts that a client makes of a call. */

#include <stdlib.h>
#include <string.h>
#include "channel.h"
#include "checker_inside.h"

#define TOLD_US         (1100 * MS) /* calls that wait for a connection still go out when it is there: the limit on connecting */
#define UUIDS_MAX       256
#define REQUESTS_MAX    8192        /* ids of a client's that are remembered */

/*  What a client was told of one worker. */
typedef struct {
    char uuid [40];
    int64_t gone_us;                /* 0: it is not */
} told_t;

typedef struct {
    told_t told [UUIDS_MAX];
    size_t told_count;
    struct {
        uint64_t alias;
        told_t *worker;
        int64_t draining_us;
    } links [UUIDS_MAX];
    size_t link_count;
    struct {
        uint64_t id;
        int64_t number;
    } requests [REQUESTS_MAX];      /* which call each was for */
    int64_t started_us, budget, calls, hedges, retries;
    int64_t loss_us [2];            /* when it last heard of the loss of a worker's connection, of a broker's */
} client_view_t;

static client_view_t *views [PROCESSES_MAX];

/*  Clients --------------------------------------------------------------------------------------------------------- */

static told_t *told_of (client_view_t *view, const char *uuid)
{
    for (size_t i = 0; i < view->told_count; i++)
        if (strcmp (view->told [i].uuid, uuid) == 0)
            return &view->told [i];
    if (view->told_count == UUIDS_MAX)
        return NULL;
    told_t *told = &view->told [view->told_count++];
    memset (told, 0, sizeof *told);
    strncpy (told->uuid, uuid, sizeof told->uuid - 1);
    return told;
}

void checker_client_starts (process_t *client, int64_t budget)
{
    if (!views [client->index])
        views [client->index] = calloc (1, sizeof (client_view_t));
    client_view_t *view = views [client->index];
    view->told_count = view->link_count = 0;
    memset (view->requests, 0, sizeof view->requests);
    memset (view->loss_us, 0, sizeof view->loss_us);
    view->started_us = world.now_us;
    view->budget = budget;
    view->calls = view->hedges = view->retries = 0;
}

void checker_client_calls (process_t *client)
{
    views [client->index]->calls++;
}

/*  Attempts --------------------------------------------------------------------------------------------------------- */

static void close_attempt (record_t *record, int at)
{
    record->open [at] = record->open [--record->open_count];
}

static record_t *call_of_request (const client_view_t *view, uint64_t id)
{
    const size_t at = id % REQUESTS_MAX;
    return view->requests [at].id == id ? load_record (view->requests [at].number) : NULL;
}

/*  The client has an answer to this request, or wants none any more. Whose it was, if it was open. */
static record_t *attempt_over (client_view_t *view, uint64_t alias, uint64_t id)
{
    record_t *record = call_of_request (view, id);
    for (int i = 0; record && i < record->open_count; i++)
        if (record->open [i].alias == alias && record->open [i].id == id) {
            close_attempt (record, i);
            return record;
        }
    return NULL;
}

static void check_second (const process_t *client, const record_t *record, uint64_t alias)
{
    const long long number = (long long) record->number;
    if (record->options.retry != WEFT_RETRY_FAILBACKUP || record->options.request_key || record->options.worker)
        violated ("%s has two attempts of call %lld open, which did not ask for that", client->name, number);
    if (!job_is_idempotent (record->kind))
        violated ("%s has two attempts of call %lld open, whose method is not idempotent", client->name, number);
    if (record->open_count > 1)
        violated ("%s has three attempts of call %lld open", client->name, number);
    if (!channel_is_broker (alias) && record->open [0].alias == alias)
        violated ("%s sends the second attempt of call %lld to the worker that has the first", client->name, number);
    if (channel_is_broker (alias) != channel_is_broker (record->open [0].alias))
        violated ("%s sends the two attempts of call %lld different ways", client->name, number);
}

/*  One budget for second attempts beside the first, and after it. */
static void check_budget (const process_t *client, const client_view_t *view)
{
    const int64_t earned = view->calls * 200 + (world.now_us - view->started_us) / 100;
    if ((view->hedges + view->retries) * 1000 > view->budget + earned)
        violated ("%s hedged %lld calls and tried %lld again, of %lld in %lld ms, more than its budget", client->name,
                  (long long) view->hedges, (long long) view->retries, (long long) view->calls,
                  (long long) (world.now_us - view->started_us) / 1000);
}

/*  Another attempt after one that ended. */
static void check_again (const process_t *client, client_view_t *view, const record_t *record)
{
    view->retries += record->left;
    const bool decided = record->options.retry == WEFT_RETRY_FAILBACKUP; /* perhaps, when that was said: it waited for its turn to leave */
    if (world.now_us < record->not_before_us && !decided)
        violated ("%s tries call %lld again %lld ms before it should, as it was told", client->name, (long long) record->number,
                  (long long) (record->not_before_us - world.now_us) / 1000);
}

static void attempt_sent (process_t *client, client_view_t *view, record_t *record, uint64_t alias, uint64_t id)
{
    const bool again = record->sent++ > 0;
    if (record->options.balance == WEFT_BALANCE_BROADCAST || record->ended)
        return; /* its work is asked for again, by another call */
    if (record->open_count > 0) {
        check_second (client, record, alias);
        view->hedges++;
        record->hedges++;
        summary.hedges++;
    } else if (again)
        check_again (client, view, record);
    check_budget (client, view);
    view->requests [id % REQUESTS_MAX].id = id;
    view->requests [id % REQUESTS_MAX].number = record->number;
    if (record->open_count == ATTEMPTS_MAX)
        return;
    record->open [record->open_count].kept = false;
    record->open [record->open_count].alias = alias;
    record->open [record->open_count++].id = id;
}

/*  The network says, or who is there, that whatever was sent over that connection is answered by nobody. */
static void note_loss (const process_t *client, uint64_t alias)
{
    views [client->index]->loss_us [channel_is_broker (alias)] = world.now_us;
    for (int64_t number = 1; number <= load_count (); number++) {
        record_t *record = load_record (number);
        for (int i = 0; record->client == client && record->call && i < record->open_count; i++)
            if (record->open [i].alias == alias)
                *(channel_is_broker (alias) ? &record->lost_broker : &record->lost_worker) = true;
    }
}

bool checker_client_lost_now (const process_t *client, bool broker)
{
    return views [client->index]->loss_us [broker] == world.now_us;
}

/*  Whatever was open over that connection is not any more. `lost_us`: when its client heard that, or 0. */
static void attempts_lost (const process_t *client, uint64_t alias, int64_t lost_us)
{
    for (int64_t number = 1; number <= load_count (); number++) {
        record_t *record = load_record (number);
        if (record->client != client || !record->call)
            continue;
        for (int i = record->open_count - 1; i >= 0; i--)
            if (record->open [i].alias == alias) {
                record->unsure |= lost_us != 0 && !record->open [i].kept;
                record->given_up |= !lost_us;
                record->left = lost_us && !record->open [i].kept;
                close_attempt (record, i);
            }
        if (lost_us && record->client_alias == alias && record->open_count == 0)
            record->client_lost_us = lost_us;
    }
}

void checker_client_hears (process_t *client, const char *worker, const char *state)
{
    trace ("%s hears that %s is %s", client->name, worker, state);
    told_t *told = told_of (views [client->index], worker);
    const bool gone = strcmp (state, "gone") == 0 || strcmp (state, "draining") == 0;

    if (told)
        told->gone_us = !gone ? 0 : told->gone_us ? told->gone_us : world.now_us;
}

static size_t link_of (client_view_t *view, uint64_t alias)
{
    size_t at = 0;
    while (at < view->link_count && view->links [at].alias != alias)
        at++;
    if (at == view->link_count) {
        if (at == UUIDS_MAX) /* the last one is given up for it */
            at--;
        else
            view->link_count++;
        view->links [at].alias = alias;
        view->links [at].worker = NULL;
        view->links [at].draining_us = 0;
    }
    return at;
}

static void note_hello (client_view_t *view, uint64_t alias, const wire_record_t *record)
{
    wire_hello_t hello;
    const char *fault;
    char uuid [40] = "";
    if (!wire_read_hello (record, &hello, &fault) || hello.uuid.size >= sizeof uuid)
        return;
    memcpy (uuid, hello.uuid.data, hello.uuid.size);
    view->links [link_of (view, alias)].worker = told_of (view, uuid);
}

void checker_client_sends (process_t *client, uint64_t alias, message_t *message)
{
    client_view_t *view = views [client->index];
    wire_record_t record;
    record_t *call;

    for (walk_t walker = checker_walk (message); checker_next (&walker, &record, &call);) {
        if (record.kind == WIRE_HELLO && !channel_is_broker (alias))
            note_hello (view, alias, &record);
        if (record.kind == WIRE_CANCEL) {
            record_t *given_up = attempt_over (view, alias, record.id);
            if (given_up)
                given_up->given_up = true;
        }
        if (!call)
            continue;
        attempt_sent (client, view, call, alias, record.id);
        checker_note_id (record.id);
        call->client_alias = alias;
        call->client_lost_us = 0;
        trace ("%s sends call %lld over alias %llu", client->name, (long long) call->number, (unsigned long long) alias);
        const size_t at = link_of (view, alias);
        const told_t *worker = channel_is_broker (alias) ? NULL : view->links [at].worker;
        const int64_t said_us = worker && worker->gone_us ? worker->gone_us : view->links [at].draining_us;
        const int64_t since_us = said_us > client->stalled_until_us ? said_us : client->stalled_until_us;
        if (!channel_is_broker (alias) && said_us && world.now_us - since_us > (network_was_full () ? 10 * S : TOLD_US))
            violated ("%s sends call %lld to a worker that left %lld ms ago, as it was told", client->name,
                      (long long) call->number, (long long) (world.now_us - since_us) / 1000);
    }
}

void checker_client_keeps (process_t *client, uint64_t alias, message_t *message, bool keeps)
{
    wire_record_t record;
    record_t *call;

    for (walk_t walker = checker_walk (message); checker_next (&walker, &record, &call);)
        for (int i = 0; call && call->client == client && i < call->open_count; i++)
            if (call->open [i].alias == alias && call->open [i].id == record.id)
                call->open [i].kept = keeps;
}

static void note_answer (const client_view_t *view, uint64_t alias, const wire_record_t *record)
{
    record_t *call = call_of_request (view, record->id);
    wire_info_t info = wire_info_none ();
    if (call && record->status == WEFT_OVERLOADED)
        call->turned_down = true;
    if (call && record->status == WEFT_WORKER_LOST)
        call->lost_worker = true; /* whether that is so is judged where it is said */
    for (int i = 0; call && i < call->open_count; i++) {
        if (call->open [i].alias != alias || call->open [i].id != record->id)
            continue;
        if (mp_left (&record->extra))
            wire_read_info (record->extra, &info);
        call->unsure |= (info.executed >= 0 ? info.executed : (int) weft_status_executed (record->status)) == WEFT_EXECUTED_MAYBE;
        call->left = record->status != WEFT_DRAINING;
        if (call->open_count == 1)
            call->not_before_us = world.now_us + (int64_t) info.retry_after_ms * MS;
    }
}

void checker_client_reads (process_t *client, uint64_t alias, message_t *message)
{
    client_view_t *view = views [client->index];
    wire_record_t record;
    record_t *call;

    for (walk_t walker = checker_walk (message); checker_next (&walker, &record, &call);) {
        if (record.kind == WIRE_DRAINING && !channel_is_broker (alias))
            view->links [link_of (view, alias)].draining_us = world.now_us;
        else if (record.kind == WIRE_REPLY) {
            note_answer (view, alias, &record);
            attempt_over (view, alias, record.id);
        } else if (record.kind == WIRE_GOODBYE || record.kind == WIRE_REFUSED) {
            note_loss (client, alias);
            attempts_lost (client, alias, 0);
        }
    }
}

void checker_client_gone (process_t *client, uint64_t alias)
{
    note_loss (client, alias);
    attempts_lost (client, alias, 0);
}

void checker_client_lost (process_t *client, uint64_t alias)
{
    note_loss (client, alias);
    attempts_lost (client, alias, world.now_us);
}

void checker_client_leaves (process_t *client, uint64_t alias)
{
    attempts_lost (client, alias, 0);
}

void checker_client_bounds (process_t *client, size_t open)
{
    if (open > profile.calls_max)
        violated ("%s has %zu calls open; the limit is %zu", client->name, open, profile.calls_max);
}

void checker_clients_end (void)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        free (views [i]);
        views [i] = NULL;
    }
}
