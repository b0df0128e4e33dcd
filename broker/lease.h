/* SPDX-License-Identifier: MPL-2.0
 *
 *  lease.h - is this worker still there? Decides; never sends, never reads a clock.
 *
 *      JOINING --begin--> ALIVE --silence--> SUSPECT --longer silence--> DEAD
 *                           ^-------beat--------'
 *
 *  Every lease has its own deadline. What a lease is can be asked at any time and is true then, whether or not a
 *  timer has run. All leases share one set of terms. A broker that was itself asleep moves `since_us` forward: who said something
 *  before it could listen again was not silent then. One that doubts what the silence means moves `grace_us` forward, and nobody
 *  expires before it (grace.h says when). */

#ifndef LEASE_H_INCLUDED
#define LEASE_H_INCLUDED

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t suspect_us; /* silent for this long: no new work */
    int64_t ttl_us;     /* silent for this long: gone */
    int64_t since_us;   /* a point in time: silence counts from there */
    int64_t grace_us;   /* another: nobody expires before it */
} lease_terms_t;

typedef enum { LEASE_JOINING, LEASE_ALIVE, LEASE_SUSPECT, LEASE_DEAD } lease_state_t;
typedef enum { LEASE_NOTHING, LEASE_SUSPECTED, LEASE_EVICT } lease_action_t;

typedef struct {
    lease_state_t state;
    int64_t heard_us;
} lease_t;

/*  Starts, or starts again. */
void lease_begin (lease_t *self, int64_t now_us);

/*  A sign of life. One that is dead stays so. */
void lease_beat (lease_t *self, int64_t now_us);

/*  What is to be done now: each change is told once, and none left out. After LEASE_SUSPECTED, LEASE_EVICT may be due at once: not
 *  before all are told who came under suspicion earlier, for that may make a grace. */
lease_action_t lease_tick (lease_t *self, const lease_terms_t *terms, int64_t now_us);

/*  What it is at this moment, whether or not lease_tick was called. */
lease_state_t lease_state (const lease_t *self, const lease_terms_t *terms, int64_t now_us);

/*  Since when it has been silent: its last sign of life, or when the broker could listen again. */
int64_t lease_silent_since_us (const lease_t *self, const lease_terms_t *terms);

/*  When lease_tick next has something to say, unless a beat comes. */
int64_t lease_next_us (const lease_t *self, const lease_terms_t *terms);

/*  The usual terms: suspicion half way between the beat that was due and the end. */
lease_terms_t lease_terms (int64_t ttl_ms, int64_t beat_ms);

#endif
