/* SPDX-License-Identifier: MPL-2.0 */

#include "checker.h"
#include <stdlib.h>
#include <string.h>
#include "channel.h"
#include "codec.h"
#include "faults.h"
#include "roles.h"

#define LATE_US         (12 * MS)   /* a client's turn, its milliseconds, and the look at a process that was frozen */
#define ROUNDING_US     (3 * MS)    /* of remaining_ms, each hop up */
#define TOLD_US         (1100 * MS) /* calls that wait for a connection still go out when it is there: the limit on connecting */
#define OUTLIVED_US     (200 * MS)  /* after its connection was lost, no call waits for an answer on it */
#define PART_US         (1 * S)     /* for so long a broker that stops waits for its clients to go */
#define WARM_US         (1 * S)     /* a broker that has just started lets calls wait for workers to come back */
#define TURN_US         (10 * MS)   /* how late a turn may come, at worst */
#define STANDING_US     (100 * MS)  /* a queue that has not been empty for less does not stand */
#define UUIDS_MAX       256
#define REQUESTS_MAX    8192        /* ids of a client's that are remembered */

/*  What is known of one connection. */
typedef struct {
    uint64_t window, window_max;
    int64_t open;                   /* requests the broker sent, less the replies it read */
    int64_t draining_us, lost_us;   /* when the broker read or heard that; 0: not */
    int broker;                     /* which of them has it */
    bool calls;                     /* a client that has said HELLO in time, and not GOODBYE */
    int64_t beat_us;                /* when the broker read the last beat of a worker; 0: it is none */
    uint64_t progress;              /* as the last beat said */
    unsigned still;                 /* beats since it moved */
    bool stuck;                     /* and nothing more can run there */
    int64_t stuck_us, well_us;      /* when the broker read what made it so */
} seen_t;

/*  A time in which the broker's queue that any worker serves was never empty. */
typedef struct {
    int64_t filled_us, emptied_us;  /* NEVER: it is not yet */
} standing_t;

/*  A broker's: that queue, and its own turns. */
typedef struct {
    standing_t *standings;
    size_t standing_count, standing_room;
    int64_t turn_us, late_us;       /* its last turn; the last that came so late that it was stalled */
    int64_t looked_us;              /* for workers that should have expired */
    uint64_t expired;               /* workers, so far */
    uint64_t lives;
} broker_view_t;

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
} client_view_t;

checker_summary_t summary;

static broker_view_t broker_views [BROKERS_MAX];
static seen_t *seen;
static size_t seen_count;
static client_view_t *views [PROCESSES_MAX];
static uint64_t ids [16]; /* of requests */
static size_t id_at;

/*  Messages -------------------------------------------------------------------------------------------------------- */

static seen_t *seen_of (const end_t *end)
{
    if (end->number >= seen_count) {
        const size_t count = (size_t) end->number * 2 + 64;
        seen = realloc (seen, count * sizeof *seen);
        memset (seen + seen_count, 0, (count - seen_count) * sizeof *seen);
        seen_count = count;
    }
    return &seen [end->number];
}

/*  The next record of a message, without touching the message. `number`: of the call in a REQUEST, or 0. */
typedef struct {
    message_t *message;
    mp_reader_t reader;
    int next_frame;
} walk_t;

static walk_t walk (message_t *message)
{
    return (walk_t){message,
                    message->count ? mp_reader (zmq_msg_data (&message->frames [0]), zmq_msg_size (&message->frames [0]))
                                   : mp_reader ("", 0),
                    1};
}

static bool walk_next (walk_t *self, wire_record_t *record, record_t **call)
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

static void note_id (uint64_t id)
{
    ids [id_at++ % 16] = id;
}

uint64_t checker_some_id (void)
{
    return ids [roll (16)];
}

/*  The broker ------------------------------------------------------------------------------------------------------ */

static bool is_well (const seen_t *at)
{
    return at->beat_us && !at->lost_us && !at->draining_us && !at->stuck
           && world.now_us - at->beat_us < profile.ttl_ms * MS / 2;
}

/*  As PROTOCOL.md describes it; the bound is the TTL. */
static void note_beat (seen_t *at, const wire_record_t *record)
{
    const bool was_well = is_well (at), was_stuck = at->stuck;
    uint64_t sequence;
    wire_load_t load;
    if (!at->beat_us || !wire_read_beat (record, &sequence, &load))
        return;
    at->beat_us = world.now_us;
    at->still = load.progress != at->progress || load.in_flight == 0 ? 0 : at->still + 1;
    at->progress = load.progress;
    at->stuck = at->still >= 2 && (int64_t) load.oldest_ms >= profile.ttl_ms && load.in_flight >= load.capacity;
    at->stuck_us = was_stuck ? at->stuck_us : world.now_us;
    at->well_us = was_well ? at->well_us : world.now_us;
}

static bool is_for_one (const wire_record_t *record)
{
    wire_options_t options = {0};
    return mp_left (&record->extra) > 0 && wire_read_options (record->extra, &options) && options.worker.size > 0;
}

static void note_call (record_t *call, const end_t *end, const wire_record_t *record)
{
    call->broker_connection = end->number;
    call->broker_id = record->id;
    call->broker_us = world.now_us;
    call->broker_time_us = record->remaining_ms * 1000LL;
    call->broker_for_one = is_for_one (record);
}

void checker_broker_reads (process_t *broker, end_t *end, message_t *message, int64_t transit_us)
{
    seen_t *at = seen_of (end);
    wire_record_t record;
    record_t *call;

    at->broker = broker->number;
    for (walk_t walker = walk (message); walk_next (&walker, &record, &call);) {
        if (call) {
            call->transit_us += transit_us;
            call->worker_connection = 0;
            note_call (call, end, &record);
        }
        if (record.kind == WIRE_CREDIT && record.id == 0) {
            at->window = record.number;
            at->window_max = record.number > at->window_max ? record.number : at->window_max;
        } else if (record.kind == WIRE_REPLY)
            at->open--;
        else if (record.kind == WIRE_DRAINING && !at->draining_us)
            at->draining_us = world.now_us;
        else if (record.kind == WIRE_REGISTER) { /* what it held before is no longer the broker's business */
            at->draining_us = at->open = 0;
            at->beat_us = end_peer (end)->port && end_peer (end)->port->process->role == ROLE_OF_WORKER ? world.now_us : 0;
            at->well_us = world.now_us;
            at->stuck = false;
            at->still = 0;
            at->progress = 0;
        } else if (record.kind == WIRE_BEAT)
            note_beat (at, &record);
        else if (record.kind == WIRE_HELLO)
            at->calls = !broker->leaving && end_peer (end)->port && end_peer (end)->port->process->role == ROLE_OF_CLIENT;
        else if (record.kind == WIRE_GOODBYE) {
            at->beat_us = 0;
            at->calls = false;
        }
    }
}

/*  What the broker reads and what it decides in one turn has an order that is not seen here: what counts is what was so before. */
static void check_stuck (const seen_t *at, const record_t *call)
{
    if (!at->stuck || at->stuck_us == world.now_us || !call || call->broker_for_one || network_was_full ())
        return;
    for (size_t i = 0; i < seen_count; i++)
        if (seen [i].broker == at->broker && is_well (&seen [i]) && seen [i].well_us < world.now_us && seen [i].window_max > 0)
            violated ("the broker sends call %lld to a worker that is stuck, though another is well",
                      (long long) call->number);
}

/*  Silence after which a worker is suspect. */
static int64_t suspect_us (void)
{
    const int64_t ttl_us = profile.ttl_ms * MS, beat_us = ttl_us * 3 / 10;
    return (ttl_us + beat_us) / 2;
}

/*  The broker had a turn since. */
static void check_suspect (const seen_t *at, const record_t *call)
{
    const broker_view_t *view = &broker_views [at->broker];
    const int64_t silent_us = view->turn_us - at->beat_us;
    const bool excused = view->late_us && world.now_us - view->late_us < profile.ttl_ms * MS; /* it was the broker that did not listen */
    if (at->beat_us && call && !call->broker_for_one && silent_us > suspect_us () + TURN_US && !excused && !network_was_full ())
        violated ("the broker sends call %lld to a worker that is silent for %lld ms", (long long) call->number,
                  (long long) silent_us / 1000);
}

static record_t *call_of_reply (const end_t *end, uint64_t id)
{
    for (int64_t i = load_count (); i > 0; i--) {
        record_t *record = load_record (i);
        if (record->broker_us && record->broker_connection == end->number && record->broker_id == id)
            return record;
    }
    return NULL;
}

/*  When the queue was filled that was never empty between these two times; NEVER: there is none such. */
static int64_t filled_us (const broker_view_t *view, int64_t from_us, int64_t to_us)
{
    for (size_t i = 0; i < view->standing_count; i++) {
        const standing_t *standing = &view->standings [i];
        if (standing->filled_us <= from_us && standing->emptied_us >= to_us)
            return standing->filled_us;
    }
    return NEVER;
}

static bool is_shed (const wire_record_t *record, const wire_info_t *info)
{
    static const char text [] = "calls wait, for longer than is good";
    return record->status == WEFT_OVERLOADED && memmem (info->text.data, info->text.size, text, sizeof text - 1);
}

/*  Who was turned down had waited long enough, in a queue that stood long enough; who waited until the deadline did not wait in such a
 *  queue. When the broker decided is told by the time that it says the call has waited: the reply may leave later. */
static void check_wait (const end_t *end, const wire_record_t *record)
{
    wire_info_t info;
    if ((record->status != WEFT_OVERLOADED && record->status != WEFT_DEADLINE_EXCEEDED)
        || !wire_read_info (record->extra, &info) || info.broker_us == 0 || info.origin != WEFT_ORIGIN_BROKER)
        return;
    const record_t *call = call_of_reply (end, record->id);
    if (!call || call->broker_for_one || info.executed != WEFT_EXECUTED_NO)
        return;
    const process_t *broker = end->port->process;
    const broker_view_t *view = &broker_views [broker->number];
    const int64_t came_us = call->broker_us, time_us = call->broker_time_us, waited_us = (int64_t) info.broker_us;
    const int64_t decided_us = came_us + waited_us, share_us = time_us / 4;
    const int64_t stands_us = time_us > STANDING_US ? time_us : STANDING_US;

    if (is_shed (record, &info)) {
        const int64_t since_us = filled_us (view, decided_us, decided_us), stood_us = since_us == NEVER ? 0 : decided_us - since_us;
        if (waited_us < share_us || stood_us < stands_us)
            violated ("call %lld was turned down after %lld of %lld ms, in a queue that stood for %lld ms",
                      (long long) call->number, (long long) waited_us / 1000, (long long) time_us / 1000,
                      (long long) stood_us / 1000);
        return;
    }
    const int64_t since_us = filled_us (view, came_us, decided_us);
    if (record->status == WEFT_DEADLINE_EXCEEDED && since_us != NEVER && since_us + stands_us <= came_us + time_us - share_us
        && share_us > TURN_US && broker->stalled_until_us < came_us)
        violated ("call %lld waited for its deadline of %lld ms in a queue that had stood for %lld ms when it came",
                  (long long) call->number, (long long) time_us / 1000, (long long) (came_us - since_us) / 1000);
}

/*  A broker that has just started does not know yet who serves what. */
static void check_early (const end_t *end, const wire_record_t *record)
{
    wire_info_t info;
    if ((record->status != WEFT_NO_SERVICE && record->status != WEFT_NO_WORKERS) || !wire_read_info (record->extra, &info)
        || info.origin != WEFT_ORIGIN_BROKER)
        return;
    const record_t *call = call_of_reply (end, record->id);
    if (!call || call->broker_for_one)
        return;
    const int64_t waited_us = (int64_t) info.broker_us;
    const int64_t age_us = call->broker_us + waited_us - end->port->process->started_us;
    if (age_us < WARM_US)
        violated ("call %lld waited %lld ms and was told %s by a broker that was started %lld ms before", (long long) call->number,
                  (long long) waited_us / 1000, weft_status_str (record->status), (long long) age_us / 1000);
}

void checker_broker_sends (end_t *end, message_t *message)
{
    seen_t *at = seen_of (end);
    wire_record_t record;
    record_t *call;

    for (walk_t walker = walk (message); walk_next (&walker, &record, &call);) {
        if (record.kind == WIRE_REPLY) {
            check_early (end, &record);
            check_wait (end, &record);
        }
        if (record.kind != WIRE_REQUEST)
            continue;
        check_stuck (at, call);
        check_suspect (at, call);
        note_id (record.id);
        if (call)
            call->worker_connection = end->number; /* the last one it was given to */
        if (++at->open > (int64_t) at->window_max && weather.echo_per_mille == 0)
            violated ("%lld requests are open at a worker that granted %llu", (long long) at->open,
                      (unsigned long long) at->window_max);
        if (at->draining_us && world.now_us - at->draining_us > (network_was_full () ? 10 * S : 0))
            violated ("the broker sends call %lld to a worker that said DRAINING %lld ms ago",
                      call ? (long long) call->number : 0, (long long) (world.now_us - at->draining_us) / 1000);
    }
}

void checker_broker_lost (const end_t *end)
{
    seen_of (end)->lost_us = world.now_us;
}

void checker_broker_leaves (const process_t *broker, int64_t told_us)
{
    for (size_t i = 0; i < seen_count; i++)
        if (seen [i].broker == broker->number && seen [i].calls && !seen [i].lost_us && told_us < PART_US)
            violated ("%s leaves %lld ms after it was told to, and a client that is there has not said goodbye", broker->name,
                      (long long) told_us / 1000);
}

void checker_broker_bounds (size_t workers, size_t queued, size_t calls)
{
    if (calls > profile.broker_calls_max)
        violated ("the broker holds %zu calls, over its limit of %zu", calls, profile.broker_calls_max);
    /* one lane for the service, one for those who came too early, one for each worker that is registered (also one that is no more) */
    const size_t lanes = 2 + workers;
    if (queued > lanes * profile.service_queue_max)
        violated ("%zu calls are queued; the limit of a lane is %zu", queued, profile.service_queue_max);
}

#define SLACK_US (3 * MS) /* of turns */

/*  A worker has expired: is it one of many that fell silent at once, or was it the broker that did not listen? */
static void check_expiry (const process_t *broker)
{
    const int64_t ttl_us = profile.ttl_ms * MS, beat_us = ttl_us * 3 / 10;
    const broker_view_t *view = &broker_views [broker->number];
    size_t workers = 0, silent = 0;
    int64_t first_us = NEVER, last_us = 0;

    if (view->late_us && world.now_us - view->late_us < ttl_us - SLACK_US)
        violated ("a worker expires %lld ms after the broker was stalled",
                  (long long) (world.now_us - view->late_us) / 1000);
    if (world.now_us - broker->started_us < ttl_us - SLACK_US)
        violated ("a worker expires %lld ms after the broker was started",
                  (long long) (world.now_us - broker->started_us) / 1000);
    for (size_t i = 0; i < seen_count; i++) {
        const seen_t *at = &seen [i];
        if (at->broker != broker->number)
            continue;
        workers += at->beat_us && !at->lost_us;
        if (!at->beat_us || at->lost_us || world.now_us - at->beat_us < suspect_us ())
            continue;
        silent++;
        first_us = at->beat_us < first_us ? at->beat_us : first_us;
        last_us = at->beat_us > last_us ? at->beat_us : last_us;
    }
    const int64_t hush_us = first_us + suspect_us ();
    const bool at_once = silent >= 2 && silent * 100 > workers * 15 && last_us - first_us < beat_us - SLACK_US;
    const bool usual = first_us > broker->started_us + ttl_us && first_us > view->late_us + ttl_us;
    if (at_once && usual && world.now_us - hush_us < ttl_us - SLACK_US)
        violated ("a worker expires though %zu of %zu fell silent at once, %lld ms ago", silent, workers,
                  (long long) (world.now_us - first_us) / 1000);
    for (size_t i = 0; i < seen_count; i++)
        if (seen [i].broker == broker->number && world.now_us - seen [i].beat_us >= ttl_us)
            seen [i].beat_us = 0; /* it is this one, or may go as well */
}

/*  Of the broker's own life: what was before is of no interest. */
static broker_view_t *begin_view (const process_t *broker)
{
    broker_view_t *view = &broker_views [broker->number];
    if (broker->lives == view->lives)
        return view;
    free (view->standings);
    memset (view, 0, sizeof *view);
    view->lives = broker->lives;
    view->turn_us = world.now_us;
    return view;
}

void checker_broker_queue (const process_t *broker, size_t queued_for_all)
{
    broker_view_t *view = begin_view (broker);
    standing_t *last = view->standing_count ? &view->standings [view->standing_count - 1] : NULL;
    const bool stands = last && last->emptied_us == NEVER;
    if (stands == (queued_for_all > 0))
        return;
    if (stands) {
        last->emptied_us = world.now_us;
        return;
    }
    if (view->standing_count == view->standing_room) {
        view->standing_room = 2 * view->standing_room + 64;
        view->standings = realloc (view->standings, view->standing_room * sizeof (standing_t));
    }
    view->standings [view->standing_count++] = (standing_t){world.now_us, NEVER};
}

/*  For so long it was neither just started nor stalled. */
static bool was_awake (const process_t *broker, int64_t for_us)
{
    const broker_view_t *view = &broker_views [broker->number];
    return world.now_us - broker->started_us > for_us && (!view->late_us || world.now_us - view->late_us > for_us);
}

/*  Many that fall silent at once are kept for a TTL longer; a few such in a row, and then they go. */
static void check_expired (const process_t *broker, broker_view_t *view)
{
    const int64_t limit_us = 4 * profile.ttl_ms * MS;
    if (world.now_us - view->looked_us < profile.ttl_ms * MS / 10 || !was_awake (broker, limit_us))
        return;
    view->looked_us = world.now_us;
    for (size_t i = 0; i < seen_count; i++)
        if (seen [i].broker == broker->number && seen [i].beat_us && !seen [i].lost_us && world.now_us - seen [i].beat_us > limit_us)
            violated ("a worker is silent for %lld ms, and has not expired", (long long) (world.now_us - seen [i].beat_us) / 1000);
}

void checker_broker_turn (const process_t *broker, uint64_t expired)
{
    broker_view_t *view = begin_view (broker);
    if (world.now_us - view->turn_us > profile.ttl_ms * MS / 2)
        view->late_us = world.now_us;
    if (expired > view->expired)
        check_expiry (broker);
    check_expired (broker, view);
    view->expired = expired;
    view->turn_us = world.now_us;
}

/*  Workers --------------------------------------------------------------------------------------------------------- */

void checker_worker_starts (process_t *worker, const char *uuid)
{
    trace ("%s is %s", worker->name, uuid);
}

void checker_worker_ends (process_t *worker)
{
    (void) worker;
}

void checker_worker_reads (process_t *worker, end_t *end, message_t *message, int64_t transit_us)
{
    wire_record_t record;
    record_t *call;

    (void) end;
    for (walk_t walker = walk (message); walk_next (&walker, &record, &call);) {
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
}

void checker_takes (int64_t number, int64_t takes_us)
{
    record_t *record = load_record (number);
    if (record)
        record->takes_us = takes_us;
}

void checker_ends (process_t *worker, int64_t number)
{
    (void) worker;
    (void) number;
}

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
                record->left = lost_us != 0;
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

    for (walk_t walker = walk (message); walk_next (&walker, &record, &call);) {
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
        note_id (record.id);
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

    for (walk_t walker = walk (message); walk_next (&walker, &record, &call);)
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

    for (walk_t walker = walk (message); walk_next (&walker, &record, &call);) {
        if (record.kind == WIRE_DRAINING && !channel_is_broker (alias))
            view->links [link_of (view, alias)].draining_us = world.now_us;
        else if (record.kind == WIRE_REPLY) {
            note_answer (view, alias, &record);
            attempt_over (view, alias, record.id);
        } else if (record.kind == WIRE_GOODBYE || record.kind == WIRE_REFUSED)
            attempts_lost (client, alias, 0);
    }
}

void checker_client_lost (process_t *client, uint64_t alias)
{
    attempts_lost (client, alias, world.now_us);
}

void checker_client_leaves (process_t *client, uint64_t alias)
{
    attempts_lost (client, alias, 0);
}

void checker_client_bounds (process_t *client, size_t open)
{
    /* a broadcast's parts count, and are made together */
    const size_t limit = profile.calls_max + (profile.broadcast_per_mille ? 64 : 0);
    if (open > limit)
        violated ("%s has %zu calls open; the limit is %zu", client->name, open, limit);
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
    if (!at_worker || record->hedges || record->worker_connection >= seen_count)
        return; /* of a hedged call the other worker may be well */
    const int64_t lost_us = seen [record->worker_connection].lost_us;
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
    memset (broker_views, 0, sizeof broker_views);
    id_at = 0;
}

void checker_end (void)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        free (views [i]);
        views [i] = NULL;
    }
    for (int i = 0; i < BROKERS_MAX; i++) {
        free (broker_views [i].standings);
        broker_views [i].standings = NULL;
    }
    free (seen);
    seen = NULL;
    seen_count = 0;
}
