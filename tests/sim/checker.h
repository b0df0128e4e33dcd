/* SPDX-License-Identifier: MPL-2.0
 *
 *  checker.h - what must be true whatever happens.
 *
 *      one outcome       each call ends exactly once, and not past its deadline by more than a turn of its client
 *      fate              "no": it is in no worker's log, then or later, and no attempt was lost; "yes" and OK: it is
 *      once              what is not idempotent never runs twice (a broadcast: not twice at one worker)
 *      keys              what has a request key never runs twice in one life of a worker; who asks again is told the same
 *      answers           are those of the call that was made
 *      streams           items come in order, each once; all of them before an OK; never more at once than the window; one without a
 *                        deadline ends when its worker drains
 *      runs              what begins also ends, unless its worker is killed or its drain takes too long
 *      time              nothing begins after the time its worker was given, and that never grows on the way
 *      windows           a worker never has more open than it granted; nobody sends work to who is known to go or gone
 *      queues            nobody is turned down for a long wait while the queue is short of standing, and nobody waits for a deadline in
 *                        one that stands
 *      the first second  of a broker: nobody is told that there is no such service, or no worker of it
 *      a broker's drain  lasts until its clients have gone, or a second
 *      silence           no worker expires while many are silent, or the broker was, for one TTL
 *      stuck workers     get nothing while another is well
 *      two at most       a call is open at one worker at a time; at two workers, if it asked for that, its method is idempotent, it has
 *                        no key, and the budget of retries pays; when it ends, whoever still has it is told
 *      losses            a call does not outlive the connection that it was on until its deadline, and none is said to be lost without one
 *      bounds            what is held stays under its caps
 *      shares            nobody has more of what a broker has room for than it left free
 *      after the storm   registry and lists are right in a stated time, and then every call succeeds
 *      in the end        nothing is left, in any table */

#ifndef CHECKER_H_INCLUDED
#define CHECKER_H_INCLUDED

#include "load.h"
#include "network.h"

void checker_begin (void);
void checker_end (void);

/*  The end of a call, as its caller is told. */
void checker_outcome (record_t *record, weft_call_t *call);

/*  An item of a stream, as its caller takes it. */
void checker_item (record_t *record, weft_call_t *call, const void *body, size_t size);

/*  A handler begins (NEVER: it is unknown whether in time), and has run. */
void checker_begins (process_t *worker, int64_t number, int64_t now_us);
void checker_ends (process_t *worker, int64_t number);

/*  The id of some request that went by: what a peer could guess, at best. 0: none yet. */
uint64_t checker_some_id (void);

/*  What goes by. */
void checker_broker_reads (process_t *broker, end_t *end, message_t *message, int64_t transit_us);
void checker_broker_sends (end_t *end, message_t *message);
void checker_broker_lost (const end_t *end);
void checker_broker_leaves (const process_t *broker, int64_t told_us); /* it was told to, so long ago */
void checker_broker_bounds (size_t calls, size_t queued_bytes);
void checker_broker_lane (size_t queued);
void checker_broker_flow (size_t queued); /* of one client, in a lane */
void checker_broker_caller (size_t calls, size_t queued_bytes, size_t largest); /* ... of these in one call */
void checker_broker_outbox (size_t bytes);
void checker_broker_queue (const process_t *broker, size_t queued_for_all); /* after each thing that may have changed it */
void checker_broker_turn (const process_t *broker, uint64_t expired);
void checker_worker_starts (process_t *worker, const char *uuid);
void checker_worker_leaves (const process_t *worker); /* its drain is over, and was not cut short */
void checker_worker_reads (process_t *worker, end_t *end, message_t *message, int64_t transit_us);
void checker_worker_bounds (size_t in_flight);
void checker_takes (int64_t number, int64_t takes_us); /* what began takes so long */
void checker_client_starts (process_t *client, int64_t budget); /* in thousandths of a retry */
void checker_client_calls (process_t *client);
void checker_client_sends (process_t *client, uint64_t alias, message_t *message);
void checker_client_keeps (process_t *client, uint64_t alias, message_t *message, bool keeps); /* there is no room for what it sends */
void checker_client_reads (process_t *client, uint64_t alias, message_t *message);
void checker_client_lost (process_t *client, uint64_t alias);
void checker_client_gone (process_t *client, uint64_t alias); /* the network takes nothing more for it */
void checker_client_leaves (process_t *client, uint64_t alias); /* by itself */
void checker_client_hears (process_t *client, const char *worker, const char *state);
void checker_client_bounds (process_t *client, size_t open);

/*  After the storm: is the registry right, and are all lists? Then, when all is quiet: is anything left? */
void checker_converged (void);
void checker_idle (void);
void checker_empty (void);

/*  Once all have ended: what could not be judged before. */
void checker_judge (void);

typedef struct {
    uint64_t calls, abandoned, by_status [WEFT_STATUS_COUNT], runs, items, hedges;
} checker_summary_t;
extern checker_summary_t summary;

#endif
