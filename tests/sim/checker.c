/* SPDX-License-Identifier: MPL-2.0 */

#include <string.h>
#include "channel.h"
#include "checker_inside.h"
#include "codec.h"
#include "roles.h"

#define LATE_US         (12 * MS)   /* a client's turn, its milliseconds, and the look at a process that was frozen */
#define ROUNDING_US     (3 * MS)    /* of remaining_ms, each hop up */
#define OUTLIVED_US     (200 * MS)  /* after its connection was lost, no call waits for an answer on it */

checker_summary_t summary;

static uint64_t ids [16]; /* of requests */
static int64_t running [PROCESSES_MAX]; /* runs that have begun at a worker and not ended */
static size_t id_at;

/*  Messages -------------------------------------------------------------------------------------------------------- */

walk_t checker_walk (message_t *message)
{
    return (walk_t){message,
                    message->count ? mp_reader (zmq_msg_data (&message->frames [0]), zmq_msg_size (&message->frames [0]))
                                   : mp_reader ("", 0),
                    1};
}

bool checker_next (walk_t *self, wire_record_t *record, record_t **call)
{
    const char *fault;
    *call = NULL;
    if (wire_next (&self->reader, record, &fault) != 1)
        return false;
    const void *body = record->body;
    size_t size = record->body_size;
    if (record->attached && self->next_frame < self->message->count) {
        zmq_msg_t *frame = &self->message->frames [self->next_frame++];
        body = zmq_msg_data (frame);
        size = zmq_msg_size (frame);
    }
    if (record->kind == WIRE_REQUEST && body)
        *call = load_record (job_number (body, size));
    return true;
}

void checker_note_id (uint64_t id)
{
    ids [id_at++ % 16] = id;
}

uint64_t checker_some_id (void)
{
    return ids [roll (16)];
}
/*  Workers --------------------------------------------------------------------------------------------------------- */

void checker_worker_starts (process_t *worker, const char *uuid)
{
    trace ("%s is %s", worker->name, uuid);
    running [worker->index] = 0;
}

void checker_worker_leaves (const process_t *worker)
{
    if (running [worker->index] > 0)
        violated ("%s leaves before it has to, and %lld runs that began there have not ended", worker->name,
                  (long long) running [worker->index]);
}

void checker_worker_reads (process_t *worker, end_t *end, message_t *message, int64_t transit_us)
{
    wire_record_t record;
    record_t *call;

    (void) end;
    for (walk_t walker = checker_walk (message); checker_next (&walker, &record, &call);) {
        if (!call)
            continue;
        call->transit_us += transit_us;
        if (record.remaining_ms == WIRE_NO_DEADLINE) {
            call->may_begin_until_us = NEVER;
            if (call->deadline_us != NEVER)
                violated ("%s is told that call %lld has no deadline", worker->name, (long long) call->number);
            continue;
        }
        const int64_t left_us = record.remaining_ms * 1000LL, until_us = world.now_us + left_us;
        if (until_us > call->may_begin_until_us)
            call->may_begin_until_us = until_us;
        if (!network_was_full () && left_us && until_us > call->deadline_us + call->transit_us + ROUNDING_US)
            violated ("%s is told that %lld ms are left of call %lld, whose deadline is in %lld ms", worker->name,
                      (long long) left_us / 1000, (long long) call->number,
                      (long long) (call->deadline_us - world.now_us) / 1000);
    }
}

void checker_worker_bounds (size_t in_flight)
{
    const size_t room = (size_t) profile.worker_queue_max + (size_t) profile.concurrency;
    if (in_flight > room)
        violated ("a worker holds %zu requests; it has room for %zu", in_flight, room);
}

void checker_begins (process_t *worker, int64_t number, int64_t now_us)
{
    record_t *record = load_record (number);

    if (!record)
        return; /* weft.Worker's */
    trace ("%s begins call %lld", worker->name, (long long) number);
    trace_mix ((uint64_t) number << 8 | (uint64_t) worker->index);
    const uint64_t here = (uint64_t) worker->index << 32 | worker->lives;
    for (int i = 0; i < record->runs && i < RUNS_MAX; i++)
        if (record->ran_at [i] == here && (!job_is_idempotent (record->kind) || record->options.request_key))
            violated ("call %lld of %s runs twice at %s", (long long) number, job_methods [record->kind].name,
                      worker->name);
    if (record->runs < RUNS_MAX)
        record->ran_at [record->runs] = here;
    if (record->runs++ > 0 && !record->may_run_again && record->options.balance != WEFT_BALANCE_BROADCAST)
        violated ("call %lld of %s, which is not idempotent, runs again, at %s", (long long) number,
                  job_methods [record->kind].name, worker->name);
    if (now_us != NEVER && world.now_us >= record->may_begin_until_us)
        violated ("call %lld begins %lld ms after its time was up", (long long) number,
                  (long long) (world.now_us - record->may_begin_until_us) / 1000);
    summary.runs++;
    running [worker->index]++;
}

void checker_takes (int64_t number, int64_t takes_us)
{
    record_t *record = load_record (number);
    if (record)
        record->takes_us = takes_us;
}

void checker_ends (process_t *worker, int64_t number)
{
    if (!load_record (number))
        return;
    if (--running [worker->index] < 0)
        violated ("call %lld ends at %s, where it did not begin", (long long) number, worker->name);
}

/*  Outcomes -------------------------------------------------------------------------------------------------------- */

static void check_answer (record_t *record, weft_call_t *call)
{
    if (job_is_stream (record->kind)) {
        if (record->items != job_items (record->number))
            violated ("call %lld ended with OK after %lld items; it has %lld", (long long) record->number,
                      (long long) record->items, (long long) job_items (record->number));
        return;
    }
    const int64_t number = load_work (record)->number;
    job_reply reply = {0};
    if (weft_call_read (call, WEFT_OUT (job_reply, &reply)) != WEFT_OK)
        violated ("the reply of call %lld cannot be read: %s", (long long) record->number, weft_call_text (call));
    if (reply.number != number || reply.answer != job_answer (number, record->kind)
        || reply.pad.size != record->pad_size)
        violated ("call %lld got a wrong answer: %lld for call %lld, with %zu bytes instead of %zu",
                  (long long) record->number, (long long) reply.answer, (long long) reply.number, reply.pad.size,
                  record->pad_size);
}

void checker_item (record_t *record, weft_call_t *call, const void *body, size_t size)
{
    const intake_t *intake = call->intake;
    codec_error_t error;
    job_reply item = {0};
    arena_t arena;

    arena_init (&arena, 100000);
    if (!codec_decode (call->codec, body, size, WEFT_OUT (job_reply, &item), &arena, &error))
        violated ("an item of call %lld cannot be read: %s", (long long) record->number, error.text);
    else if (item.number != record->number || item.answer != record->items
             || item.pad.size != job_item_pad (record->number, record->items))
        violated ("call %lld got item %lld of call %lld instead of its item %lld", (long long) record->number,
                  (long long) item.answer, (long long) item.number, (long long) record->items);
    arena_fini (&arena);
    record->items++;
    record->flowed_us = world.now_us;
    summary.items++;
    if (record->ended)
        violated ("call %lld got an item after its end", (long long) record->number);
    if (intake->held + intake->promised > intake->window)
        violated ("%lld credits' worth of items of call %lld are here and %lld on their way; the window is %lld",
                  (long long) intake->held, (long long) record->number, (long long) intake->promised,
                  (long long) intake->window);
}

/*  What the broker says reaches everybody soon. */
static bool is_undisturbed (void)
{
    const unsigned disturbing = 1u << FAULT_CUT | 1u << FAULT_HALF_OPEN | 1u << FAULT_PARTITION | 1u << FAULT_ONE_WAY
                                | 1u << FAULT_STALL | 1u << FAULT_FREEZE | 1u << FAULT_KILL_BROKER
                                | 1u << FAULT_DRAIN_BROKER;
    return !(profile.faults & disturbing) && !network_was_full () && weather.delay_us <= 10 * MS;
}

static void check_text (const record_t *record, weft_call_t *call)
{
    const char *text = weft_call_text (call);
    if (record->status != WEFT_DEADLINE_EXCEEDED || record->options.balance == WEFT_BALANCE_BROADCAST || record->original)
        return; /* a broadcast is on several connections; of one that asks again, its original knows which */
    /* with little room its next attempt may still wait to be sent */
    if (!network_was_full () && record->client_lost_us && record->deadline_us - record->client_lost_us > OUTLIVED_US
        && strncmp (text, "no reply from", 13) == 0)
        violated ("call %lld waited for its deadline, though its connection was lost %lld ms before",
                  (long long) record->number, (long long) (record->deadline_us - record->client_lost_us) / 1000);
    const bool at_worker = strcmp (text, "time was up while the worker had the call") == 0
                           || (is_undisturbed () && strncmp (text, "no reply from", 13) == 0 && channel_is_broker (record->client_alias));
    if (!at_worker || record->hedges)
        return; /* of a hedged call the other worker may be well */
    const int64_t lost_us = checker_broker_lost_us (record->worker_connection);
    if (lost_us && record->deadline_us - lost_us > OUTLIVED_US)
        violated ("call %lld waited at the broker for its deadline, though its worker was lost %lld ms before",
                  (long long) record->number, (long long) (record->deadline_us - lost_us) / 1000);
}

/*  Under one key, whatever is told of the run is told again. */
static void check_same (record_t *record, weft_call_t *call)
{
    record_t *work = load_work (record);
    const char *text = weft_call_text (call);

    if (!record->options.request_key || record->executed != WEFT_EXECUTED_YES
        || record->options.balance == WEFT_BALANCE_BROADCAST)
        return;
    if (work->told && (work->told_status != record->status || strncmp (work->told_text, text, sizeof work->told_text - 1) != 0))
        violated ("call %lld asked for work again that ended with %s (%s), and was told %s (%s)", (long long) record->number,
                  weft_status_str (work->told_status), work->told_text, weft_status_str (record->status), text);
    work->told = true;
    work->told_status = record->status;
    snprintf (work->told_text, sizeof work->told_text, "%s", text);
}

static bool may_end_with (const record_t *record, weft_status_t status)
{
    const int64_t number = record->original ? record->original->number : record->number;

    switch (status) {
    case WEFT_APP_ERROR:
        return record->kind == JOB_FAIL;
    case WEFT_OK:
        return record->kind != JOB_FAIL;
    case WEFT_CANCELLED:
        return record->cancelled || number % 3 == 0; /* those handlers look */
    case WEFT_HANDLER_TIMEOUT:
        return profile.handler_timeout_us > 0;
    case WEFT_INVALID:
    case WEFT_UNIMPLEMENTED:
    case WEFT_PERMISSION_DENIED:
    case WEFT_UNAUTHENTICATED:
    case WEFT_TOO_LARGE:
    case WEFT_INTERNAL:
        return false;
    default:
        return true;
    }
}

/*  Who may say it. What has several sayers is said by whoever has the call, and never by a handler. */
static const unsigned sayers [WEFT_STATUS_COUNT] = {
    [WEFT_OK] = 1u << WEFT_ORIGIN_APPLICATION,
    [WEFT_APP_ERROR] = 1u << WEFT_ORIGIN_APPLICATION,
    [WEFT_CANCELLED] = 1u << WEFT_ORIGIN_CLIENT | 1u << WEFT_ORIGIN_WORKER | 1u << WEFT_ORIGIN_APPLICATION, /* a handler that looked */
    [WEFT_DEADLINE_EXCEEDED] = 1u << WEFT_ORIGIN_CLIENT | 1u << WEFT_ORIGIN_BROKER | 1u << WEFT_ORIGIN_WORKER,
    [WEFT_HANDLER_TIMEOUT] = 1u << WEFT_ORIGIN_WORKER,
    [WEFT_CONNECT_TIMEOUT] = 1u << WEFT_ORIGIN_CLIENT,
    [WEFT_NO_SERVICE] = 1u << WEFT_ORIGIN_CLIENT | 1u << WEFT_ORIGIN_BROKER | 1u << WEFT_ORIGIN_WORKER,
    [WEFT_NO_WORKERS] = 1u << WEFT_ORIGIN_CLIENT | 1u << WEFT_ORIGIN_BROKER | 1u << WEFT_ORIGIN_WORKER,
    [WEFT_OVERLOADED] = 1u << WEFT_ORIGIN_CLIENT | 1u << WEFT_ORIGIN_BROKER | 1u << WEFT_ORIGIN_WORKER,
    [WEFT_DRAINING] = 1u << WEFT_ORIGIN_CLIENT | 1u << WEFT_ORIGIN_BROKER | 1u << WEFT_ORIGIN_WORKER,
    [WEFT_WORKER_LOST] = 1u << WEFT_ORIGIN_CLIENT | 1u << WEFT_ORIGIN_BROKER,
    [WEFT_BROKER_LOST] = 1u << WEFT_ORIGIN_CLIENT,
    [WEFT_SHUTDOWN] = 1u << WEFT_ORIGIN_CLIENT,
};

static void check_origin (const record_t *record, weft_call_t *call)
{
    if (!(sayers [record->status] & 1u << weft_call_origin (call)))
        violated ("call %lld ended with %s, by %s: %s", (long long) record->number, weft_status_str (record->status),
                  weft_origin_str (weft_call_origin (call)), weft_call_text (call));
}

static void check_time (const record_t *record)
{
    const process_t *client = record->client;
    if (record->deadline_us == NEVER && record->status != WEFT_DEADLINE_EXCEEDED)
        return;
    const int64_t due_us =
        record->deadline_us > client->stalled_until_us ? record->deadline_us : client->stalled_until_us;
    if (world.now_us > due_us + LATE_US + client->lag_us)
        violated ("call %lld ended %lld ms after its deadline", (long long) record->number,
                  (long long) (world.now_us - record->deadline_us) / 1000);
    const bool told_again = record->original && record->executed == WEFT_EXECUTED_MAYBE; /* of a handler that gave up */
    if (record->status == WEFT_DEADLINE_EXCEEDED && world.now_us < record->deadline_us && !told_again)
        violated ("call %lld ended with DEADLINE_EXCEEDED %lld us before its deadline", (long long) record->number,
                  (long long) (record->deadline_us - world.now_us));
}

/*  Some certainly did not run; and nobody says "maybe" without a reason. */
static void check_fate (record_t *record)
{
    const weft_executed_t usual = weft_status_executed (record->status);
    const bool doubted = record->unsure || record->given_up || record->options.balance == WEFT_BALANCE_BROADCAST
                         || record->original || network_was_full () || load_work (record)->runs > 0;
    if (record->executed == WEFT_EXECUTED_MAYBE && (!doubted || usual == WEFT_EXECUTED_YES))
        violated ("call %lld ended with %s, executed maybe, and nothing speaks for it", (long long) record->number,
                  weft_status_str (record->status));
}

/*  Nobody who had it is said to be lost unless that was heard: from the network, or from themselves. */
static void check_loss (const record_t *record, weft_call_t *call)
{
    const bool of_worker = record->status == WEFT_WORKER_LOST, of_broker = record->status == WEFT_BROKER_LOST;
    if (record->executed != WEFT_EXECUTED_MAYBE || record->options.balance == WEFT_BALANCE_BROADCAST || record->original)
        return;
    if ((!of_worker && !of_broker) || (of_broker ? record->lost_broker : record->lost_worker))
        return;
    if (!checker_client_lost_now (record->client, of_broker)) /* what had not left yet may be lost as well, if an earlier attempt may have run */
        violated ("call %lld ended with %s, and its client heard of no such loss: %s", (long long) record->number,
                  weft_status_str (record->status), weft_call_text (call));
}

/*  Where the time went. Parts under a millisecond are not told. */
static void check_ledger (const record_t *record, const weft_call_t *call)
{
    const weft_ledger_t ledger = weft_call_ledger (call);
    const int64_t took_us = world.now_us - record->started_us, parts_us = ledger.earlier_us + ledger.client_queue_us
        + ledger.broker_queue_us + ledger.worker_queue_us + ledger.handler_us;
    const bool ran_once = record->status == WEFT_OK && record->runs == 1 && !record->options.request_key
                          && record->options.balance != WEFT_BALANCE_BROADCAST;
    const bool told_late = took_us - ledger.total_us > LATE_US + record->client->lag_us
                           && record->client->stalled_until_us <= record->started_us;
    if (ledger.total_us > took_us || told_late || parts_us > ledger.total_us)
        violated ("call %lld took %lld us, and its ledger says %lld us, %lld us of them by part", (long long) record->number,
                  (long long) took_us, (long long) ledger.total_us, (long long) parts_us);
    if (ran_once && record->takes_us >= 2 * MS && ledger.handler_us < record->takes_us - 1 * MS)
        violated ("a handler took %lld us for call %lld, and its ledger says %lld us", (long long) record->takes_us,
                  (long long) record->number, (long long) ledger.handler_us);
}

void checker_outcome (record_t *record, weft_call_t *call)
{
    if (record->ended)
        violated ("call %lld ended twice", (long long) record->number);
    record->ended = true;
    record->status = weft_call_status (call);
    record->executed = weft_call_executed (call);
    trace ("%s: call %lld ended after %lld us: %s, executed %s, by %s, %d attempts: %s", record->client->name,
           (long long) record->number, (long long) (world.now_us - record->started_us), weft_status_str (record->status),
           weft_executed_str (record->executed), weft_origin_str (weft_call_origin (call)), weft_call_attempts (call),
           weft_call_text (call));
    trace_mix ((uint64_t) record->number << 16 | (uint64_t) record->status << 8 | (uint64_t) record->executed);
    if (record->open_count > 0 && !network_was_full ())
        violated ("call %lld ended, and %d of its attempts are neither answered nor cancelled", (long long) record->number,
                  record->open_count);
    summary.calls++;
    summary.by_status [record->status]++;
    check_time (record);
    check_text (record, call);
    if (!may_end_with (record, record->status))
        violated ("call %lld of %s ended with %s: %s", (long long) record->number, job_methods [record->kind].name,
                  weft_status_str (record->status), weft_call_text (call));
    check_origin (record, call);
    if (weft_call_attempts (call) > WEFT_ATTEMPTS_MAX)
        violated ("call %lld was sent %d times", (long long) record->number, weft_call_attempts (call));
    if (record->status == WEFT_OK)
        check_answer (record, call);
    if (record->status == WEFT_APP_ERROR && weft_call_code (call) != job_answer (load_work (record)->number, record->kind))
        violated ("call %lld got a wrong code", (long long) record->number);
    check_same (record, call);
    if (record->unsure && record->executed == WEFT_EXECUTED_NO && !record->options.request_key)
        violated ("call %lld ended with %s, executed no, but an attempt of it was lost", (long long) record->number,
                  weft_status_str (record->status));
    check_fate (record);
    check_loss (record, call);
    check_ledger (record, call);
    const bool no_room = profile.crowded
                         && (record->status == WEFT_OVERLOADED
                             || (record->status == WEFT_DEADLINE_EXCEEDED && record->turned_down)); /* and began again late */
    const bool well = record->status == WEFT_OK || record->status == WEFT_APP_ERROR || no_room;
    if ((record->strict || profile.gentle) && !well)
        violated ("call %lld ended with %s (%s), though %s", (long long) record->number,
                  weft_status_str (record->status), weft_call_text (call),
                  profile.gentle ? "nothing happened but rolling restarts" : "all was well");
}

void checker_judge (void)
{
    for (int64_t i = 1; i <= load_count (); i++) {
        record_t *record = load_record (i);
        const int runs = load_work (record)->runs;
        summary.abandoned += record->abandoned;
        if (!record->ended)
            continue;
        if (record->executed == WEFT_EXECUTED_NO && record->runs > 0)
            violated ("call %lld ended with %s, executed no, but ran %d times", (long long) i,
                      weft_status_str (record->status), record->runs);
        if (record->executed == WEFT_EXECUTED_YES && runs == 0)
            violated ("call %lld ended with %s, executed yes, but never ran", (long long) i,
                      weft_status_str (record->status));
        if (record->runs > record->sent && !record->options.request_key)
            violated ("call %lld was sent %d times, and ran %d times", (long long) i, record->sent, record->runs);
        if (record->status == WEFT_OK && record->executed != WEFT_EXECUTED_YES)
            violated ("call %lld ended with OK, executed %s", (long long) i, weft_executed_str (record->executed));
    }
}

/*  After the storm ------------------------------------------------------------------------------------------------- */

/*  Of two brokers one has them all, as all go together to the one that is left. */
static void check_registries (const char *const *uuids, size_t count)
{
    char why [BROKERS_MAX][200];
    const process_t *brokers = world.processes;
    for (int i = 0; i < profile.brokers; i++)
        if (broker_process_lists (&brokers [i], uuids, count, why [i])
            && (profile.brokers == 1 || broker_process_lists (&brokers [!i], NULL, 0, why [!i])))
            return;
    violated ("the registry is not right after all was well for long: %s%s%s", why [0], profile.brokers > 1 ? "; " : "",
              profile.brokers > 1 ? why [1] : "");
}

void checker_converged (void)
{
    const char *uuids [PROCESSES_MAX];
    size_t count = 0;
    char why [200];

    for (int i = 0; i < world.process_count; i++) {
        const process_t *process = &world.processes [i];
        if (!process->up)
            violated ("%s is not up", process->name);
        else if (process->role == ROLE_OF_WORKER)
            uuids [count++] = worker_process_uuid (process);
    }
    if (!world.failed)
        check_registries (uuids, count);
    for (int i = 0; i < world.process_count && !world.failed; i++) {
        const process_t *process = &world.processes [i];
        if (process->role == ROLE_OF_CLIENT && !client_process_lists (process, uuids, count, why))
            violated ("the list of %s is not right after all was well for long: %s", process->name, why);
    }
}

void checker_idle (void)
{
    char why [200];

    if (load_open () > 0)
        violated ("%zu calls never ended", load_open ());
    for (int i = 0; i < world.process_count && !world.failed; i++) {
        const process_t *process = &world.processes [i];
        if (process->up && process->role == ROLE_OF_CLIENT && !client_process_is_idle (process, why))
            violated ("%s is not idle: %s", process->name, why);
        if (process->up && process->role == ROLE_OF_WORKER && !worker_process_is_idle (process, why))
            violated ("%s is not idle: %s", process->name, why);
        if (process->up && running [process->index] > 0)
            violated ("%lld runs that began at %s have not ended", (long long) running [process->index], process->name);
    }
}

void checker_empty (void)
{
    char why [200];

    for (int i = 0; i < world.process_count && !world.failed; i++) {
        const process_t *process = &world.processes [i];
        if (process->role == ROLE_OF_BROKER && !broker_process_is_empty (process, why))
            violated ("something is left at the broker: %s", why);
        if (process->role == ROLE_OF_WORKER && process->up)
            violated ("%s was told to drain and is still there", process->name);
    }
}

/*  Life ------------------------------------------------------------------------------------------------------------ */

void checker_begin (void)
{
    memset (&summary, 0, sizeof summary);
    memset (ids, 0, sizeof ids);
    memset (running, 0, sizeof running);
    id_at = 0;
    checker_brokers_begin ();
}

void checker_end (void)
{
    checker_clients_end ();
    checker_brokers_end ();
}
