/* SPDX-License-Identifier: MPL-2.0
 *
 *  endpoint.h - one worker as a client sees it: where it is, how it does, whether to give it work.
 *
 *      GOOD --failure--> EJECTED --time passes--> on probation: one probe --success--> GOOD
 *        ^                  ^                                      `--failure--> EJECTED, longer
 *        `----- probe is out: nobody else ----'
 *
 *  Two kinds of failure count: the connection (at once), and silence until the deadline (three in a row).
 *  A worker that cannot be connected to is *unreachable*: no call is risked on it, the probe is a bare
 *  connection. One that is silent is on probation when its time is over: its probe is one call, and only
 *  what becomes of that counts, not what others wait for that were sent before.
 *
 *  One that joins others on a list, or is back, may have to warm up: its share of the calls grows for a few
 *  seconds. Those of the first list are as old as anybody knows. */

#ifndef ENDPOINT_H_INCLUDED
#define ENDPOINT_H_INCLUDED

#include <assert.h>
#include "ids.h"
#include "links.h"
#include "dice.h"
#include "table.h"

#define ENDPOINT_UUID_MAX 63
#define ENDPOINT_LATENCY_UNKNOWN 0
#define ENDPOINT_LATENCY_SHARE   8 /* a new sample counts one eighth */
#define ENDPOINT_FORGET_US       1000000 /* without an answer, and nothing open there, half of the average is forgotten */
#define ENDPOINT_RAMP_US         5000000 /* until one that is new, or back, has its full share */
#define ENDPOINT_RAMP_PERCENT    10      /* of that share it has at first */

/*  What the registry says of it. */
typedef enum { ENDPOINT_ALIVE, ENDPOINT_STUCK, ENDPOINT_SUSPECT, ENDPOINT_DRAINING, ENDPOINT_GONE } endpoint_state_t;

typedef struct {
    link_t link;
    char uuid [ENDPOINT_UUID_MAX + 1];
    uint64_t hash;          /* of the uuid, for HASH */
    uint64_t incarnation;
    uint64_t capacity;      /* calls at once, at least 1 */
    endpoint_state_t state;
    char (*addresses) [WEFT_ENDPOINT_MAX + 1];
    size_t address_count;
    size_t address_next;    /* to try when connecting */
    unsigned lists;         /* services that list it */
    list_node_t orphan;     /* in endpoints_t.orphans while none does */
    uint32_t outstanding;   /* calls given to it and not ended */
    int64_t latency_us;     /* moving average; ENDPOINT_LATENCY_UNKNOWN before the first reply */
    int64_t learnt_us;      /* when it last changed */
    unsigned failures;      /* since the last success */
    unsigned silences;      /* deadlines in a row */
    int64_t ejected_until_us; /* 0: not ejected */
    bool unreachable;       /* the last connection failed or was lost */
    bool probing;           /* the probe is out */
    int64_t ramp_us;        /* since when its share grows; 0: never had to */
} endpoint_t;

/*  How welcome a new call is there. */
typedef enum {
    ENDPOINT_NEVER,
    ENDPOINT_ROUTED,        /* it has no address: only through the broker */
    ENDPOINT_LAST_RESORT,   /* it could not be reached */
    ENDPOINT_DOUBTFUL,      /* it could, but is ejected, on probation with its probe out, or not well */
    ENDPOINT_GOOD
} endpoint_fitness_t;

static inline bool endpoint_ejected (const endpoint_t *self, int64_t now_us)
{
    return self->ejected_until_us > now_us;
}

static inline endpoint_fitness_t endpoint_fitness (const endpoint_t *self, int64_t now_us)
{
    if (self->state >= ENDPOINT_DRAINING || self->link.draining)
        return ENDPOINT_NEVER;
    if (self->address_count == 0)
        return ENDPOINT_ROUTED;
    if (self->unreachable)
        return ENDPOINT_LAST_RESORT;
    if (self->state != ENDPOINT_ALIVE || self->probing || endpoint_ejected (self, now_us))
        return ENDPOINT_DOUBTFUL;
    return ENDPOINT_GOOD;
}

/*  Takes over what the registry says: addresses (at most WEFT_ENDPOINTS_MAX; bad ones left out), capacity,
 *  state. False: nothing that matters changed, or the incarnation is lower and this is old news. */
bool endpoint_update (endpoint_t *self, uint64_t incarnation, uint64_t capacity, endpoint_state_t state,
                      const char *const *addresses, size_t count);

/*  Where to connect: the best address that `reach` allows, in-process before ipc before tcp; after a
 *  failure, or a refusal, the next of them. NULL when there is none. */
typedef bool (endpoint_reach_fn) (const char *address, void *arg);
const char *endpoint_address (endpoint_t *self, endpoint_reach_fn *reach, void *arg);

/*  What percentage of its share of the calls it should have. */
static inline unsigned endpoint_share_percent (const endpoint_t *self, int64_t now_us)
{
    const int64_t since_us = now_us - self->ramp_us;
    if (!self->ramp_us || since_us >= ENDPOINT_RAMP_US)
        return 100;
    return ENDPOINT_RAMP_PERCENT + (unsigned) (since_us * (100 - ENDPOINT_RAMP_PERCENT) / ENDPOINT_RAMP_US);
}

/*  A call was given to it (true: as the probe), ended with a reply, ended in silence, or left without
 *  either. */
static inline bool endpoint_begin (endpoint_t *self, int64_t now_us)
{
    self->outstanding++;
    if (!self->ejected_until_us || self->probing || endpoint_ejected (self, now_us))
        return false;
    return self->probing = true;
}

static inline void endpoint_replied (endpoint_t *self, int64_t latency_us, int64_t now_us)
{
    self->failures = self->silences = 0;
    if (self->ejected_until_us)
        self->ramp_us = now_us;
    self->ejected_until_us = 0;
    self->probing = self->unreachable = false;
    if (latency_us == ENDPOINT_LATENCY_UNKNOWN)
        return; /* a refusal comes fast, and says nothing about work */
    self->learnt_us = now_us;
    if (self->latency_us == ENDPOINT_LATENCY_UNKNOWN)
        self->latency_us = latency_us;
    else
        self->latency_us += (latency_us - self->latency_us) / ENDPOINT_LATENCY_SHARE;
}

/*  What is to be expected of it. A time that was long once says less and less, or who was slow would hardly be asked again. */
static inline int64_t endpoint_latency_us (const endpoint_t *self, int64_t now_us)
{
    const int64_t idle_us = self->outstanding ? 0 : now_us - self->learnt_us;
    if (idle_us < ENDPOINT_FORGET_US || self->latency_us == ENDPOINT_LATENCY_UNKNOWN)
        return self->latency_us;
    const int64_t halves = idle_us / ENDPOINT_FORGET_US;
    return halves < 32 && self->latency_us >> halves ? self->latency_us >> halves : 1;
}

/*  Another one was quicker, when this one had taken so long already. */
static inline void endpoint_outrun (endpoint_t *self, int64_t after_us, int64_t now_us)
{
    self->learnt_us = now_us;
    if (self->latency_us == ENDPOINT_LATENCY_UNKNOWN)
        self->latency_us = after_us;
    else if (after_us > self->latency_us)
        self->latency_us += (after_us - self->latency_us) / ENDPOINT_LATENCY_SHARE;
}

void endpoint_silent (endpoint_t *self, int64_t now_us, bool probe, bool may_eject, dice_t *dice);

static inline void endpoint_end (endpoint_t *self, bool probe)
{
    assert (self->outstanding > 0);
    self->outstanding--;
    if (probe)
        self->probing = false; /* if it told nothing, the next call is one */
}

/*  The connection is there; or failed or was lost (to be said while the link still shows which). */
void endpoint_connected (endpoint_t *self, int64_t now_us);
void endpoint_unreachable (endpoint_t *self, int64_t now_us, dice_t *dice);

/*  All endpoints, by UUID, and by the alias of their connection. */
typedef struct {
    table_t by_uuid;
    ids_t by_alias;
    list_t orphans; /* listed by no service: to be removed when they have nothing left to do */
} endpoints_t;

void endpoints_init (endpoints_t *self, uint64_t seed);
void endpoints_fini (endpoints_t *self);
endpoint_t *endpoints_find (const endpoints_t *self, const char *uuid, size_t size);

/*  The endpoint of that UUID, made if need be; NULL when out of memory or the UUID is empty or too long. */
endpoint_t *endpoints_add (endpoints_t *self, const char *uuid);
void endpoints_remove (endpoints_t *self, endpoint_t *endpoint); /* frees it */

/*  A service lists it, or no longer does. */
void endpoints_list (endpoints_t *self, endpoint_t *endpoint);
void endpoints_unlist (endpoints_t *self, endpoint_t *endpoint);

#endif
