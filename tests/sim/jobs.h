/* SPDX-License-Identifier: MPL-2.0
 *
 *  jobs.h - what is called in the simulated mesh: methods whose right answer is known, and whose every run is written
 *  down. */

#ifndef JOBS_H_INCLUDED
#define JOBS_H_INCLUDED

#include <weft/schema.h>
#include <weft/worker.h>

typedef struct {
    int64_t number;     /* of the call, unique in a run */
    weft_bytes pad;
} job_args;
WEFT_SCHEMA (job_args, WEFT_FIELD (number, weft_int64), WEFT_FIELD (pad, weft_bytes))

typedef struct {
    int64_t number, answer;
    weft_bytes pad;
} job_reply;
WEFT_SCHEMA (job_reply, WEFT_FIELD (number, weft_int64), WEFT_FIELD (answer, weft_int64),
             WEFT_FIELD (pad, weft_bytes))

#define JOB_SERVICE "Job"
typedef enum {
    JOB_ADD,
    JOB_ONCE,
    JOB_FAST,
    JOB_FAST_ONCE,
    JOB_FAIL,
    JOB_STREAM,
    JOB_STREAM_ONCE,
    JOB_KINDS
} job_kind_t;
extern const weft_method_t job_methods [];

static inline bool job_is_idempotent (job_kind_t kind)
{
    return job_methods [kind].flags & WEFT_IDEMPOTENT;
}

static inline bool job_is_stream (job_kind_t kind)
{
    return job_methods [kind].flags & WEFT_STREAM;
}

int64_t job_answer (int64_t number, job_kind_t kind);

/*  A stream's items: how many it has; each is a job_reply whose answer is its index. */
int64_t job_items (int64_t number);
size_t job_item_pad (int64_t number, int64_t index); /* bytes of its padding */

/*  The call's number in an encoded body; 0: it is none of ours. */
int64_t job_number (const void *body, size_t size);

/*  Set by who runs handlers: whose it is, and that its beginning was written down already. */
struct process;
extern struct process *job_process;
extern bool job_noted;
extern bool job_complete; /* a stream's: all its items were sent */

#endif
