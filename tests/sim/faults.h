/* SPDX-License-Identifier: MPL-2.0
 *
 *  faults.h - what kind of world a seed makes, and what goes wrong in it. Each seed enables a random subset of all faults,
 *  so that some runs are rough in one way only, and rare combinations occur. */

#ifndef FAULTS_H_INCLUDED
#define FAULTS_H_INCLUDED

#include "world.h"

typedef enum {
    FAULT_CUT,              /* a connection breaks, both sides hear of it */
    FAULT_HALF_OPEN,        /* a connection breaks, one side or both hear of it late */
    FAULT_PARTITION,        /* two processes, or one and all others, cannot reach each other */
    FAULT_ONE_WAY,          /* the same in one direction */
    FAULT_KILL_WORKER,
    FAULT_DRAIN_WORKER,
    FAULT_KILL_BROKER,
    FAULT_DRAIN_BROKER,
    FAULT_KILL_CLIENT,
    FAULT_CLOSE_CLIENT,
    FAULT_STALL,            /* a process takes no turn for a while */
    FAULT_FREEZE,           /* nor does its transport: SIGSTOP */
    FAULT_HUSH,             /* all workers but one stall at once: their hosts are fine, and none of them beats */
    FAULT_HANG,             /* all handlers of a worker hang for a while, and it beats */
    FAULT_SLOW,             /* handlers take long for a while */
    FAULT_BURST,            /* many calls at once */
    FAULTS
} fault_kind_t;

typedef struct {
    bool gentle;            /* only rolling restarts, one at a time: no call may fail */
    int brokers;            /* with two, one takes over what the other had; they know nothing of each other's workers */
    int workers, clients, hostiles;
    unsigned faults;        /* bits */
    int64_t active_us, fault_gap_us;
    /* load */
    int64_t call_gap_us;    /* of one client */
    unsigned via_weights [3]; /* auto, direct, broker */
    unsigned backup_per_mille; /* of calls ask for a second attempt beside a slow one */
    bool hedging;           /* all do, and workers have little room and do not last */
    bool poor;              /* clients have saved nothing for retries */
    unsigned once_per_mille, big_per_mille, cancel_per_mille, short_per_mille, keyed_per_mille, broadcast_per_mille,
        bound_per_mille, json_per_mille, stuck_per_mille, follow_per_mille, stream_per_mille;
    int64_t handler_us;     /* usually, at most */
    /* settings of the cores */
    int64_t ttl_ms, refresh_us, handler_timeout_us;
    size_t broker_calls_max, service_queue_max, client_calls_max, outbox_max, memory_max, calls_max;
    int concurrency, worker_queue_max;
    bool same_ports;        /* a worker that is started again listens where the last one did */
    bool no_direct;         /* workers have no direct endpoints */
    bool crowded;           /* some bound is low enough to be met */
} profile_t;
extern profile_t profile;
extern bool profile_rolling_only; /* no other run is wanted */

/*  Draws the profile of this seed. */
void profile_draw (void);
void profile_trace (void);

/*  Begins to strike, and stops: all that is broken is mended, what is down comes back within `HEALED_US`. */
void faults_begin (void);
void faults_heal (void);
#define HEALED_US (2 * S)

/*  How long the next handler at this worker takes. */
int64_t faults_handler_us (const process_t *worker);

#endif
