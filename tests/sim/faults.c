/* SPDX-License-Identifier: MPL-2.0 */

#include "faults.h"
#include <string.h>
#include "load.h"
#include "network.h"
#include "roles.h"

#define BACK_US (1 * S)

profile_t profile;
bool profile_rolling_only;

static bool striking;
static int64_t slow_until_us;
static const process_t *hanging;
static int64_t hanging_until_us;

static const char *const names [FAULTS] = {"cut", "half-open", "partition", "one-way", "kill-worker", "drain-worker",
                                           "kill-broker", "drain-broker", "kill-client", "close-client", "stall", "freeze",
                                           "hush", "hang", "slow", "burst"};

/*  The profile ----------------------------------------------------------------------------------------------------- */

static unsigned sometimes (unsigned per_mille)
{
    return chance (500) ? 0 : (unsigned) roll (per_mille + 1);
}

static size_t bound (bool low, int64_t from, int64_t to, size_t otherwise)
{
    return low && chance (500) ? (size_t) between (from, to) : otherwise;
}

static void draw_weather (void)
{
    static const int64_t delays_us [] = {20, 100, 500, 2000, 10000, 40000};
    weather.delay_us = delays_us [roll (6)];
    weather.jitter_us = chance (300) ? 0 : weather.delay_us * between (1, 3);
    weather.spike_per_mille = profile.gentle ? 0 : sometimes (20);
    weather.spike_us = between (1, 200) * MS;
    weather.echo_per_mille = profile.gentle ? 0 : sometimes (100);
    weather.room = profile.crowded && chance (500) ? (size_t) between (2, 30) : 1000;
}

static void draw_bounds (void)
{
    const bool low = profile.crowded;
    profile.broker_calls_max = bound (low, 4, 60, 2000);
    profile.service_queue_max = bound (low, 1, 30, 1000);
    profile.client_calls_max = bound (low, 2, 40, 1000);
    profile.outbox_max = bound (low, 65536, 80000, 0); /* no less may be set */
    profile.calls_max = bound (low, 3, 60, 1000);
    profile.worker_queue_max = (int) bound (low, 1, 20, 1000);
    profile.concurrency = (int) (profile.gentle ? between (3, 8) : between (1, 4));
}

/*  How far apart the calls of a client must be that nobody has to turn one down while a worker is away: the others are busy for
 *  60 % of the time then, with all the attempts that there may be. A call has a lane of its worker while it runs, and room in the
 *  worker's window, which has two for each lane, while it is on its way or a stream as well. */
static int64_t sustained_gap_us (void)
{
    const int64_t lanes = (int64_t) profile.concurrency * (profile.workers - 1);
    const int64_t runs_us = profile.handler_us / 2, trip_us = 2 * weather.delay_us + weather.jitter_us;
    const int64_t flows_us = (2 * trip_us + 30 * MS) * profile.stream_per_mille / 1000;
    const int64_t stays_us = (runs_us + trip_us + flows_us) / 2;
    const int64_t busy_us = runs_us > stays_us ? runs_us : stays_us;
    const int64_t attempts_per_mille = (1000 + profile.backup_per_mille / 2) * 1000 / (1000 - profile.follow_per_mille);
    return busy_us * attempts_per_mille / 1000 * profile.clients / lanes * 10 / 6;
}

static void draw_load (void)
{
    static const int64_t handlers_us [] = {20, 100, 500, 2000, 10000, 30000};
    const bool gentle = profile.gentle;
    for (int i = 0; i < 3; i++)
        profile.via_weights [i] = (unsigned) roll (3);
    profile.via_weights [roll (3)]++;
    profile.once_per_mille = (unsigned) roll (1001);
    profile.backup_per_mille = sometimes (1000);
    profile.poor = !gentle && chance (300);
    profile.big_per_mille = sometimes (200);
    profile.cancel_per_mille = gentle ? 0 : sometimes (200);
    profile.short_per_mille = gentle ? 0 : sometimes (300);
    profile.keyed_per_mille = sometimes (300);
    profile.broadcast_per_mille = gentle ? 0 : sometimes (100);
    profile.bound_per_mille = gentle ? 0 : sometimes (100);
    profile.json_per_mille = sometimes (1000);
    profile.stuck_per_mille = gentle ? 0 : sometimes (20);
    profile.follow_per_mille = sometimes (300);
    profile.stream_per_mille = gentle ? 100 : sometimes (300);
    /* some outlast what a drained worker waits for its callers, 1 s; none the shortest TTL, or the worker would pass for stuck */
    profile.handler_us = gentle && chance (400) ? (chance (500) ? 400 : 1400) * MS : handlers_us [roll (6)];
    profile.handler_timeout_us = !gentle && chance (300) ? between (20, 500) * MS + 2 * profile.handler_us : 0;
    profile.call_gap_us = between (5, 80) * MS;
    if (gentle && profile.call_gap_us < sustained_gap_us ())
        profile.call_gap_us = sustained_gap_us ();
}

/*  Two brokers know nothing of each other's workers, so whoever starts must find them all at the first, and nobody may be cut off.
 *  One that is alone is away for a while: on slow ways for longer than calls wait for a connection, 2 s. */
static void draw_brokers (void)
{
    const bool slow = weather.delay_us + weather.jitter_us > 5 * MS;
    profile.brokers = profile.gentle && chance (300) ? 2 : 1;
    if (profile.brokers > 1)
        profile.faults = 1u << FAULT_DRAIN_BROKER;
    else if (profile.gentle && slow)
        profile.faults = 1u << FAULT_DRAIN_WORKER;
}

/*  Much of what goes wrong with two attempts of a call needs both to fail, one by a loss and one for want of room. */
static void draw_hedging (void)
{
    profile.crowded = profile.hedging = true;
    profile.workers = (int) between (2, 4);
    profile.backup_per_mille = 1000;
    profile.once_per_mille = profile.stream_per_mille = profile.keyed_per_mille = 0;
    profile.handler_us = 30 * MS;
    profile.handler_timeout_us = 0;
    profile.worker_queue_max = (int) between (1, 3);
    profile.fault_gap_us = between (50, 300) * MS;
    profile.faults |= 1u << FAULT_CUT | 1u << FAULT_KILL_WORKER | 1u << FAULT_BURST;
}

void profile_draw (void)
{
    static const int64_t ttls_ms [] = {1500, 3000, 10000};
    memset (&profile, 0, sizeof profile);
    profile.gentle = chance (125) || profile_rolling_only;
    profile.crowded = !profile.gentle && chance (300);
    profile.workers = (int) between (profile.gentle ? 2 : 1, 4);
    profile.clients = (int) between (1, 3);
    profile.hostiles = !profile.gentle && chance (300) ? 1 : 0;
    profile.active_us = between (2, 7) * S;
    profile.fault_gap_us = profile.gentle ? 100 * MS : between (100, 1500) * MS;
    profile.faults = profile.gentle ? (1u << FAULT_DRAIN_WORKER | 1u << FAULT_DRAIN_BROKER) : (unsigned) roll (1u << FAULTS) & (unsigned) roll (1u << FAULTS);
    profile.ttl_ms = ttls_ms [roll (3)];
    profile.refresh_us = between (1, 10) * S;
    profile.same_ports = chance (500);
    profile.no_direct = !profile.gentle && chance (100);
    draw_weather ();
    draw_brokers ();
    draw_bounds ();
    draw_load ();
    if (!profile.gentle && chance (100))
        draw_hedging ();
    profile.memory_max = bound (profile.crowded, 4000, 60000, WEFT_BROKER_MEMORY_MAX);
    slow_until_us = hanging_until_us = 0;
    striking = false;
}

void profile_trace (void)
{
    trace ("%d brokers, %d workers x %d lanes, %d clients, %d hostile, %s%s active %.1f s, a fault every %.2f s", profile.brokers, profile.workers,
           profile.concurrency, profile.clients, profile.hostiles, profile.gentle ? "gentle, " : "",
           profile.hedging ? "hedging, " : profile.crowded ? "crowded, " : profile.no_direct ? "no direct endpoints, " : "", (double) profile.active_us / 1e6, (double) profile.fault_gap_us / 1e6);
    trace ("delay %lld us + %lld, room %zu, a call every %lld ms, handlers up to %lld us, ttl %lld ms",
           (long long) weather.delay_us, (long long) weather.jitter_us, weather.room,
           (long long) profile.call_gap_us / 1000, (long long) profile.handler_us, (long long) profile.ttl_ms);
    for (int i = 0; i < FAULTS; i++)
        if (profile.faults & 1u << i)
            trace ("may happen: %s", names [i]);
}

int64_t faults_handler_us (const process_t *worker)
{
    if (worker == hanging && world.now_us < hanging_until_us)
        return hanging_until_us - world.now_us;
    if (striking && chance (profile.stuck_per_mille))
        return between (1, 5) * S;
    if (world.now_us < slow_until_us)
        return between (10, 400) * MS;
    return between (1, profile.handler_us);
}

/*  Who is hit ------------------------------------------------------------------------------------------------------ */

static process_t *one_of (process_role_t role)
{
    process_t *found = NULL;
    uint64_t seen = 0;
    for (int i = 0; i < world.process_count; i++) {
        process_t *process = &world.processes [i];
        if (process->role == role && process->up && roll (++seen) == 0)
            found = process;
    }
    return found;
}

static process_t *anyone (void)
{
    process_t *process = &world.processes [roll ((uint64_t) world.process_count)];
    return process->up ? process : NULL;
}

/*  As somebody who restarts one after another waits for each to be back, and known. */
static bool all_are_back (void)
{
    for (int i = 0; i < world.process_count; i++) {
        const process_t *process = &world.processes [i];
        if (process->role <= ROLE_OF_WORKER && (!process->up || process->leaving || world.now_us - process->started_us < BACK_US))
            return false;
    }
    return true;
}

/*  What hits them -------------------------------------------------------------------------------------------------- */

static void unblock (void *arg, uint64_t tag)
{
    (void) arg;
    network_unblock ((int) (tag >> 8), (int) (tag & 255));
}

static void block (int from, int to, int64_t length_us)
{
    if (from == to || network_blocked (from, to))
        return;
    network_block (from, to);
    world_at (world.now_us + length_us, unblock, NULL, (uint64_t) from << 8 | (uint64_t) to);
}

static void partition (bool one_way)
{
    const int a = (int) roll ((uint64_t) world.process_count);
    const int only = chance (600) ? (int) roll ((uint64_t) world.process_count) : -1;
    const int64_t length_us = between (50 * MS, chance (500) ? 1 * S : 8 * S);
    const bool inward = chance (500);
    for (int b = 0; b < world.process_count; b++) {
        if (only >= 0 && b != only)
            continue;
        if (!one_way || inward)
            block (b, a, length_us);
        if (!one_way || !inward)
            block (a, b, length_us);
    }
}

static void thaw (void *arg, uint64_t tag)
{
    process_t *process = arg;
    (void) tag;
    if (!process->frozen)
        return;
    trace ("%s goes on", process->name);
    if (process->stalled_until_us < world.now_us)
        process->stalled_until_us = world.now_us;
    network_thaw (process);
}

static void freeze (process_t *process)
{
    if (!process || process->frozen)
        return;
    const int64_t length_us = between (10 * MS, chance (500) ? 1 * S : 6 * S);
    trace ("%s is frozen for %lld ms", process->name, (long long) length_us / 1000);
    network_freeze (process);
    world_at (world.now_us + length_us, thaw, process, 0);
}

static void stall_for (process_t *process, int64_t length_us)
{
    if (process->frozen || process->stalled_until_us > world.now_us)
        return;
    trace ("%s stalls for %lld ms", process->name, (long long) length_us / 1000);
    process->stalled_until_us = world.now_us + length_us;
}

static void stall (process_t *process)
{
    if (!process || process->frozen || process->stalled_until_us > world.now_us)
        return;
    stall_for (process, between (1 * MS, chance (500) ? 100 * MS : 4 * S));
}

/*  With a long TTL it would outlast the run. */
#define TTL_SHORT_MS 3000

static void hush (void)
{
    const process_t *spared = one_of (ROLE_OF_WORKER);
    const int64_t ttl_us = profile.ttl_ms * MS, length_us = between (ttl_us / 2, 3 * ttl_us / 2);
    if (profile.ttl_ms > TTL_SHORT_MS)
        return;
    for (int i = 0; i < world.process_count; i++)
        if (world.processes [i].role == ROLE_OF_WORKER && world.processes [i].up && &world.processes [i] != spared)
            stall_for (&world.processes [i], length_us);
}

static void hang (void)
{
    if (world.now_us < hanging_until_us || profile.ttl_ms > TTL_SHORT_MS)
        return;
    hanging = one_of (ROLE_OF_WORKER);
    hanging_until_us = world.now_us + between (profile.ttl_ms * MS, 3 * profile.ttl_ms * MS);
    if (hanging)
        trace ("%s hangs for %lld ms", hanging->name, (long long) (hanging_until_us - world.now_us) / 1000);
}

static void hit_with_kill (process_t *process)
{
    if (process && !process->frozen)
        process_kill (process, false);
}

static void drain_worker (void)
{
    process_t *process = one_of (ROLE_OF_WORKER);
    if (!process || process->frozen || (profile.gentle && !all_are_back ()))
        return;
    trace ("%s is told to drain", process->name);
    process->leaving = true;
    worker_process_drain (process);
}

static void drain_broker (void)
{
    process_t *process = one_of (ROLE_OF_BROKER);
    if (!process || process->frozen || (profile.gentle && !all_are_back ()))
        return;
    process->leaving = true;
    trace ("%s is told to stop", process->name);
    broker_process_drain (process);
}

static void close_client (void)
{
    process_t *process = one_of (ROLE_OF_CLIENT);
    if (process && !process->frozen)
        client_process_close (process);
}

static void strike_with (fault_kind_t kind)
{
    trace ("fault: %s", names [kind]);
    switch (kind) {
    case FAULT_CUT:
    case FAULT_HALF_OPEN:
        network_cut_one (kind == FAULT_HALF_OPEN);
        break;
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
        partition (kind == FAULT_ONE_WAY);
        break;
    case FAULT_KILL_WORKER:
        hit_with_kill (one_of (ROLE_OF_WORKER));
        break;
    case FAULT_DRAIN_WORKER:
        drain_worker ();
        break;
    case FAULT_KILL_BROKER:
        hit_with_kill (one_of (ROLE_OF_BROKER));
        break;
    case FAULT_DRAIN_BROKER:
        drain_broker ();
        break;
    case FAULT_KILL_CLIENT:
        hit_with_kill (one_of (ROLE_OF_CLIENT));
        break;
    case FAULT_CLOSE_CLIENT:
        close_client ();
        break;
    case FAULT_STALL:
        stall (anyone ());
        break;
    case FAULT_FREEZE:
        freeze (anyone ());
        break;
    case FAULT_HUSH:
        hush ();
        break;
    case FAULT_HANG:
        hang ();
        break;
    case FAULT_SLOW:
        slow_until_us = world.now_us + between (50, 2000) * MS;
        break;
    case FAULT_BURST:
        load_burst ((int) between (5, 100));
        break;
    case FAULTS:
        break;
    }
}

static void strike (void *arg, uint64_t tag)
{
    (void) arg;
    (void) tag;
    if (!striking)
        return;
    for (int tries = 0; profile.faults && tries < 100; tries++) {
        const fault_kind_t kind = (fault_kind_t) roll (FAULTS);
        if (!(profile.faults & 1u << kind))
            continue;
        strike_with (kind);
        break;
    }
    world_at (world.now_us + between (1, 2 * profile.fault_gap_us), strike, NULL, 0);
}

void faults_begin (void)
{
    striking = true;
    world_at (world.now_us + between (1, profile.fault_gap_us), strike, NULL, 0);
}

void faults_heal (void)
{
    trace ("everything is mended");
    striking = false;
    slow_until_us = 0;
    for (int i = 0; i < world.process_count; i++) {
        process_t *process = &world.processes [i];
        for (int to = 0; to < world.process_count; to++)
            network_unblock (i, to);
        thaw (process, 0);
        if (process->stalled_until_us <= world.now_us)
            continue;
        process->stalled_until_us = world.now_us;
        process->turn_us = NEVER;
        process_wake (process, world.now_us);
    }
}
