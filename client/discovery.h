/* SPDX-License-Identifier: MPL-2.0
 *
 *  discovery.h - who serves this service? One list, watched at the broker.
 *
 *      IDLE --ask--> ASKING --the last part of the list--> WATCHING --changes, each after the last
 *                      ^                                      |
 *                      `---------- gap; stale; lost ----------'
 *
 *  A long list comes in parts, with changes between them perhaps. What is known of each worker is taken over
 *  at once, but who is on the list is decided by the whole of it.
 *
 *  A list once had is kept while it is asked for again, so a broker's absence takes nothing away. Nor does
 *  its return: to a broker that has just started the workers come back one by one, so its first list adds
 *  and changes, but those that it does not name stay until a list that is asked for one TTL later confirms
 *  that they are gone. */

#ifndef DISCOVERY_H_INCLUDED
#define DISCOVERY_H_INCLUDED

#include "balancer.h"
#include "rows.h"
#include "tail.h"

typedef enum { DISCOVERY_IDLE, DISCOVERY_ASKING, DISCOVERY_WATCHING } discovery_state_t;

typedef struct discovery {
    request_t request;              /* the Watch */
    char service [WEFT_METHOD_NAME_MAX + 1];
    size_t service_size;
    discovery_state_t state;
    bool listed;                    /* a whole list was had */
    bool cut_off;                   /* the broker went away since */
    int64_t confirm_us;             /* when to ask for a list that is believed in all; 0: it was */
    uint64_t revision;
    int64_t refresh_us;             /* older than this it is stale */
    int64_t updated_us;             /* when it was last told anything */
    int64_t asked_us;
    int64_t used_us;                /* when a call last went by it */
    int64_t probed_us;              /* when unreachable members were last looked after */
    unsigned gaps;                  /* in a row */
    bool coming;                    /* some parts of a list are here, not the last */
    table_t listed_now;             /* UUID → endpoint_t, of those parts */
    endpoint_t **members;           /* sorted by UUID */
    size_t count, capacity;
    table_t methods;                /* name → flags + 1; empty: nobody ever registered the service */
    table_t tails;                  /* name → tail_t, of methods whose calls are hedged */
    balancer_t balancer;
    list_t waiting;                 /* calls that wait for the list */
} discovery_t;

/*  Is told of each row that changed something. */
typedef void (discovery_observer_fn) (const discovery_t *discovery, const worker_row *row, void *arg);

discovery_t *discovery_new (const char *service, int64_t refresh_us, uint64_t seed);
void discovery_free (discovery_t *self, endpoints_t *endpoints);

/*  Should it be asked for now? (Asking is the caller's: then discovery_asked.) */
bool discovery_wants (const discovery_t *self, int64_t now_us);
void discovery_asked (discovery_t *self, int64_t now_us);

/*  The stream ended: what is had is kept. */
void discovery_lost (discovery_t *self);

/*  The same because the broker went away. It counts as asked for: the caller asks the next broker. */
void discovery_cut_off (discovery_t *self, int64_t now_us);

/*  May calls go by it? An empty list is believed only once it is confirmed. */
bool discovery_usable (const discovery_t *self);

/*  Nothing need be asked or doubted: all that is known is as the broker has it now. */
static inline bool discovery_fresh (const discovery_t *self, int64_t now_us)
{
    return self->state == DISCOVERY_WATCHING && self->listed && self->count > 0 && self->confirm_us == 0 &&
           now_us - self->updated_us < self->refresh_us;
}

/*  Are there members that the broker of now has not confirmed? */
bool discovery_in_doubt (const discovery_t *self);

/*  Takes over what the broker sent. PART: there is more to come before calls can go by it. GAP: something was
 *  missed, ask again. NO_MEMORY: or the list is longer than WEFT_CLIENT_LISTED_MAX. */
typedef enum { DISCOVERY_OK, DISCOVERY_PART, DISCOVERY_GAP, DISCOVERY_NO_MEMORY } discovery_result_t;
discovery_result_t discovery_apply (discovery_t *self, const watch_item *change, endpoints_t *endpoints,
                                    int64_t now_us, discovery_observer_fn *observer, void *arg);

/*  Could it go: does no call wait for it, or run at a worker that it lists? */
bool discovery_unneeded (const discovery_t *self);

/*  Has some worker this method, and its flags; 0 if unknown. */
bool discovery_offers (const discovery_t *self, const char *method, size_t size);
unsigned discovery_flags (const discovery_t *self, const char *method, size_t size);

/*  How long calls of that method take; NULL when it is not on the list, or out of memory. */
tail_t *discovery_tail (discovery_t *self, const char *method, size_t size, int64_t now_us);
static inline bool discovery_known (const discovery_t *self)
{
    return self->methods.count > 0 || self->count > 0;
}

/*  Would ejecting this one leave at least half of the members in, of those that take direct calls? */
bool discovery_may_eject (const discovery_t *self, const endpoint_t *endpoint, int64_t now_us);

#endif
