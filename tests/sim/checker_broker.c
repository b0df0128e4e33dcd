/* SPDX-License-Identifier: MPL-2.0
 *
 *  checker_broker.c - what a broker hears, decides and says. */

#include <stdlib.h>
#include <string.h>
#include "checker_inside.h"
#include "roles.h"

#define PART_US         (1 * S)     /* for so long a broker that stops waits for its clients to go */
#define WARM_US         (1 * S)     /* a broker that has just started lets calls wait for workers to come back */
#define TURN_US         (10 * MS)   /* how late a turn may come, at worst */
#define STANDING_US     (100 * MS)  /* a queue that has not been empty for less does not stand */

/*  What is known of one connection. */
typedef struct {
    uint64_t window, window_max;
    int64_t open;                   /* requests the broker sent, less the replies it read */
    int64_t draining_us, lost_us;   /* when the broker read or heard that; 0: not */
    int broker;                     /* which of them has it */
    bool calls;                     /* a client that has said HELLO in time, and not GOODBYE */
    int64_t beat_us;                /* when the broker read the last beat of a worker; 0: it is none */
    bool registered;                /* the broker has said so */
    int64_t over_us;                /* when that registration ended, by GOODBYE or silence; 0: it has not, or nobody can say */
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

static broker_view_t broker_views [BROKERS_MAX];
static seen_t *seen;
static size_t seen_count;

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
    for (walk_t walker = checker_walk (message); checker_next (&walker, &record, &call);) {
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
            at->draining_us = at->over_us = at->open = 0;
            at->beat_us = end_peer (end)->port && end_peer (end)->port->process->role == ROLE_OF_WORKER ? world.now_us : 0;
            at->well_us = world.now_us;
            at->registered = at->stuck = false;
            at->still = 0;
            at->progress = 0;
        } else if (record.kind == WIRE_BEAT)
            note_beat (at, &record);
        else if (record.kind == WIRE_HELLO)
            at->calls = !broker->leaving && end_peer (end)->port && end_peer (end)->port->process->role == ROLE_OF_CLIENT;
        else if (record.kind == WIRE_GOODBYE) {
            at->beat_us = 0;
            at->over_us = world.now_us;
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

/*  When it was given out, as its time that is left tells (it may leave later), and the broker had a turn since. */
static void check_suspect (const seen_t *at, const record_t *call, const wire_record_t *record)
{
    const broker_view_t *view = &broker_views [at->broker];
    const bool timed = call && record->remaining_ms != WIRE_NO_DEADLINE;
    const int64_t given_us = timed ? call->broker_us + call->broker_time_us - record->remaining_ms * 1000LL : 0;
    const int64_t heard_us = at->beat_us > view->late_us ? at->beat_us : view->late_us; /* after a stall silence begins anew */
    const int64_t silent_us = (given_us < view->turn_us ? given_us : view->turn_us) - heard_us;
    const bool excused = view->late_us && world.now_us - view->late_us < profile.ttl_ms * MS; /* it was the broker that did not listen */
    if (at->beat_us && call && !call->broker_for_one && silent_us > suspect_us () + TURN_US && !excused && !network_was_full ())
        violated ("the broker sends call %lld to a worker that is silent for %lld ms", (long long) call->number,
                  (long long) silent_us / 1000);
}

/*  What was given out in the turn in which the broker learnt it may still be behind it. */
static void check_over (const seen_t *at, const record_t *call)
{
    if (at->over_us && world.now_us - at->over_us > (network_was_full () ? 10 * S : 0))
        violated ("the broker sends call %lld to a worker whose registration ended %lld ms ago", call ? (long long) call->number : 0,
                  (long long) (world.now_us - at->over_us) / 1000);
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

    for (walk_t walker = checker_walk (message); checker_next (&walker, &record, &call);) {
        at->registered |= record.kind == WIRE_BEAT_OK;
        if (record.kind == WIRE_REFUSED && !at->registered)
            at->beat_us = 0;
        if (record.kind == WIRE_REPLY) {
            check_early (end, &record);
            check_wait (end, &record);
        }
        if (record.kind != WIRE_REQUEST)
            continue;
        check_stuck (at, call);
        check_suspect (at, call, &record);
        check_over (at, call);
        checker_note_id (record.id);
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

#define SLACK_US (3 * MS) /* of turns */

static bool may_have_expired (const process_t *broker, const seen_t *at)
{
    return at->broker == broker->number && at->beat_us && !at->lost_us && world.now_us - at->beat_us >= profile.ttl_ms * MS;
}

/*  So many of those that are silent have expired, and the others may go as well; only if all of them have is it known who they are. */
static void end_silent (const process_t *broker, uint64_t expired)
{
    uint64_t silent = 0;
    for (size_t i = 0; i < seen_count; i++)
        silent += may_have_expired (broker, &seen [i]);
    for (size_t i = 0; i < seen_count; i++)
        if (may_have_expired (broker, &seen [i])) {
            seen [i].beat_us = 0;
            seen [i].over_us = silent == expired && !profile.hostiles ? world.now_us : 0; /* theirs are not counted */
        }
}

/*  A worker has expired: is it one of many that fell silent at once, or was it the broker that did not listen? */
static void check_expiry (const process_t *broker, uint64_t expired)
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
    end_silent (broker, expired);
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
        check_expiry (broker, expired - view->expired);
    check_expired (broker, view);
    view->expired = expired;
    view->turn_us = world.now_us;
}

int64_t checker_broker_lost_us (uint64_t connection)
{
    return connection < seen_count ? seen [connection].lost_us : 0;
}

void checker_brokers_begin (void)
{
    memset (broker_views, 0, sizeof broker_views);
}

void checker_brokers_end (void)
{
    for (int i = 0; i < BROKERS_MAX; i++) {
        free (broker_views [i].standings);
        broker_views [i].standings = NULL;
    }
    free (seen);
    seen = NULL;
    seen_count = 0;
}
