/* SPDX-License-Identifier: MPL-2.0
 *
 *  world.h - virtual time, everything that happens in it, and the dice that decide what: all of it from one seed.
 *
 *      world     time, events, dice, the trace
 *      network   connections between processes: delay, order, loss, partitions
 *      broker, worker, client, hostile    one file per role: what its shell does, around the real core
 *      load      calls that clients make, and what handlers do
 *      faults    what goes wrong in this run, and when
 *      checker   what must be true all the same
 *
 *  No threads, no sockets, no clock. A *process* is one program: it takes a turn when something has come or its time
 *  has come, and may be stalled (takes no turn), frozen (as by SIGSTOP: nor does its I/O thread), or down. Its clock
 *  is the world's plus an offset of its own. */

#ifndef WORLD_H_INCLUDED
#define WORLD_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "dice.h"
#include "list.h"

#define MS        1000LL
#define S         1000000LL
#define NEVER     INT64_MAX
#define BEGIN_US  (10000 * S) /* so that no clock, whatever its offset, shows a time before 0 */
#define PROCESSES_MAX 24

typedef enum { ROLE_OF_BROKER, ROLE_OF_WORKER, ROLE_OF_CLIENT, ROLE_OF_HOSTILE } process_role_t;

typedef struct process {
    process_role_t role;
    int index;                  /* in world.processes */
    int number;                 /* among its role, from 0 */
    char name [24];             /* "worker 2" */
    char host [24];             /* its address, which outlives it */
    bool up;
    bool leaving;               /* was told to stop */
    uint64_t lives;             /* times it was started */
    int64_t offset_us;          /* of its clock */
    int64_t started_us;
    int64_t stalled_until_us;   /* takes no turn before */
    bool frozen;                /* and neither reads nor sends */
    int64_t lag_us;             /* until it gets the processor, usually at most */
    int64_t turn_us;            /* when its next turn is due; NEVER */
    uint64_t turn_tag;
    int64_t worst_lag_us;       /* the longest it was late for a turn in this life */
    void *model;                /* its role's */
} process_t;

typedef struct {
    uint64_t seed;
    int64_t now_us;
    dice_t dice;
    process_t processes [PROCESSES_MAX];
    int process_count;
    uint64_t events;            /* so far */
    uint64_t digest;            /* of all that was traced */
    bool failed, over;
} world_t;

extern world_t world;

void world_begin (uint64_t seed);
void world_end (void);

/*  Runs `what (arg, tag)` at that time; what is due at the same time runs in the order in which it was asked for. */
typedef void (world_event_fn) (void *arg, uint64_t tag);
void world_at (int64_t at_us, world_event_fn *what, void *arg, uint64_t tag);

/*  Lets things happen until that time, or until something failed. */
void world_run (int64_t until_us);

/*  Dice. */
uint64_t roll (uint64_t bound);                 /* 0 .. bound - 1; bound > 0 */
int64_t between (int64_t low, int64_t high);    /* both included */
bool chance (unsigned per_mille);

/*  Processes. */
process_t *process_new (process_role_t role, int number);
static inline int64_t process_now_us (const process_t *self)
{
    return world.now_us + self->offset_us;
}
/*  A turn is wanted no later than then (the world's time); it comes a little later, as turns do. */
void process_wake (process_t *self, int64_t at_us);

/*  Each role's: a turn; when it wants the next by itself (the world's time). */
void process_turn (process_t *self);
int64_t process_next_us (const process_t *self);

/*  What happened, for people who look for the cause. Costs nothing but a hash unless somebody reads it. */
extern bool tracing;
void trace_line (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
#define trace(...)                                                                                           \
    do {                                                                                                     \
        if (tracing)                                                                                         \
            trace_line (__VA_ARGS__);                                                                        \
    } while (0)
void trace_mix (uint64_t value); /* into the digest */

/*  Something is not as it must be: the run ends. */
void violated (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

#endif
