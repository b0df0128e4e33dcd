/* SPDX-License-Identifier: MPL-2.0
 *
 *  cost.h - fixed work whose cost is counted: instructions (under callgrind) and allocations per call.
 *
 *  A cost drives one core by hand, without sockets, threads or a clock. What surrounds it (writing what a peer would
 *  say, checking what came out) is not counted: only what happens between cost_on and cost_off is, and not before
 *  everything that is kept for later has been made once. The same work takes the same instructions every time. */

#ifndef COST_H_INCLUDED
#define COST_H_INCLUDED

#include <stddef.h>

typedef struct {
    const char *name;            /* "broker.routed.32" */
    void (*begin) (size_t size); /* may be NULL, as may end */
    void (*round) (size_t size); /* the work, with cost_on and cost_off around what counts */
    void (*end) (void);
    size_t size;                 /* given to the three: calls per round, of most */
    int warm_rounds, rounds;
} cost_t;

/*  Ended by one without a name. */
extern const cost_t broker_costs [], client_costs [], worker_costs [], common_costs [];

/*  Counting begins; and ends, after that many calls. */
void cost_on (void);
void cost_off (size_t calls);

#endif
