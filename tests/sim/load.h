/* SPDX-License-Identifier: MPL-2.0
 *
 *  load.h - the calls that clients make, each with its record. */

#ifndef LOAD_H_INCLUDED
#define LOAD_H_INCLUDED

#include <weft/client.h>
#include "jobs.h"
#include "world.h"

#define RUNS_MAX     8
#define ATTEMPTS_MAX 4

typedef struct record record_t;
struct record {
    /* what was asked */
    int64_t number;
    record_t *original;         /* the same work, with the same key and arguments, was asked for by this one; or NULL */
    process_t *client;
    job_kind_t kind;
    weft_call_options_t options;
    char key [16], request_key [24], worker [40];
    size_t pad_size;
    bool may_run_again;         /* by its method */
    bool strict;                /* begun when all was well again: it must succeed */
    int64_t started_us, deadline_us; /* NEVER: a stream without */
    /* what became of it */
    weft_call_t *call;          /* NULL: done, or its client is gone */
    bool abandoned, cancelled, ended;
    weft_status_t status;
    weft_executed_t executed;
    int64_t items;              /* of a stream, taken */
    int64_t flowed_us;          /* when the last was; or it began */
    bool reading;               /* somebody will take the next */
    /* what was seen on its way */
    int runs;
    uint64_t ran_at [RUNS_MAX]; /* worker and life */
    int64_t takes_us;           /* the last of these; of those that take a thread's time */
    int64_t transit_us;         /* all messages that carried it, together */
    int64_t may_begin_until_us; /* as the worker was told */
    uint64_t client_alias;      /* sent last over this */
    struct {
        uint64_t alias, id;
        bool kept;              /* it is stuck with its client */
    } open [ATTEMPTS_MAX];      /* what its client sent and has neither an answer to nor cancelled; not of broadcasts */
    int open_count, hedges, sent; /* sent: over all, also of broadcasts */
    bool unsure;                /* one of these was lost, or may have run: its client heard so */
    bool given_up;              /* its client cancelled one of these, or left whom it was sent to */
    bool lost_worker, lost_broker; /* its client heard that the connection of one of these was lost, from the network or from who had it */
    bool left;                  /* the last to end was lost, or turned down: another try is paid for */
    int64_t not_before_us;      /* a broker without room said that it should not be tried again before */
    bool turned_down;           /* its client was told OVERLOADED, and may have tried again */
    int64_t client_lost_us;     /* when the client heard that this is lost; 0: not */
    uint64_t worker_connection; /* the broker gave it to this one last */
    uint64_t broker_connection, broker_id; /* it came to the broker last over this, under this id, */
    int64_t broker_us, broker_time_us;     /* then (0: never), with so much time */
    bool broker_for_one;                   /* for one worker */
    /* under its key */
    bool told;                  /* some caller was told what came of the run: */
    weft_status_t told_status;
    char told_text [80];
};

void load_init (void);
void load_fini (void);

/*  A client begins to call, until load_stop. */
void load_begin (process_t *client);
void load_stop (void);
void load_calm (void);      /* fewer calls */
void load_strict (void);    /* from now on they must succeed */
void load_burst (int calls);

record_t *load_record (int64_t number); /* NULL: none such */
static inline record_t *load_work (record_t *record) /* the first that asked for the same work */
{
    return record->original ? record->original : record;
}
int64_t load_count (void);
size_t load_open (void);

/*  Is a stream open that has no deadline and still flows? Some are slow: each item of a small window waits for the way there and back. */
bool load_flows (void);

/*  For client.c. */
const char *load_method (const weft_call_t *call);
const weft_call_options_t *load_options (const weft_call_t *call);
void load_done (process_t *client, weft_call_t *call);
void load_fresh (weft_call_t *call); /* items came */
void load_forget (process_t *client); /* it was killed: nobody learns what became of its calls */

#endif
