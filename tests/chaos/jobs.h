/* SPDX-License-Identifier: MPL-2.0
 *
 *  jobs.h - what is called while things break: methods whose right answer is known, and whose every run is written down.
 *
 *  A call's number says whose it is, and its kind, so that a run can be judged although its caller was killed. */

#ifndef JOBS_H_INCLUDED
#define JOBS_H_INCLUDED

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <weft/schema.h>

/*  history.py knows these by their numbers, too. */
typedef enum {
    JOB_ONCE,       /* not idempotent */
    JOB_SAFE,       /* idempotent */
    JOB_KEYED,      /* not idempotent, called with a request key */
    JOB_FAIL,       /* not idempotent, ends with an error of its own */
    JOB_FAST,       /* idempotent, inline */
    JOB_FAST_ONCE,  /* not idempotent, inline */
    JOB_HANG,       /* not idempotent, takes longer than anybody waits, and does not notice that */
    JOB_ITEMS,      /* a stream, not idempotent */
    JOB_HEDGED,     /* idempotent, called with a second attempt beside the first */
    JOB_SAFE_ITEMS, /* a stream, idempotent */
    JOB_KINDS
} job_kind_t;

static const char *const job_names [JOB_KINDS] = {"Once",     "Safe", "Keyed", "Fail",   "Fast",
                                                 "FastOnce", "Hang", "Items", "Hedged", "SafeItems"};
#define JOB_STREAMS(kind) ((kind) == JOB_ITEMS || (kind) == JOB_SAFE_ITEMS)

typedef struct {
    int64_t number;
    int64_t ms; /* that it takes; every other one ends early once it is cancelled */
    weft_bytes pad;
    int64_t items; /* of a stream */
} job_args;
WEFT_SCHEMA (job_args, WEFT_FIELD (number, weft_int64), WEFT_FIELD (ms, weft_int64),
             WEFT_FIELD (pad, weft_bytes), WEFT_FIELD (items, weft_int64))

typedef struct {
    int64_t number, answer;
    weft_bytes pad;
} job_reply;
WEFT_SCHEMA (job_reply, WEFT_FIELD (number, weft_int64), WEFT_FIELD (answer, weft_int64), WEFT_FIELD (pad, weft_bytes))

/*  One of a stream. */
typedef struct {
    int64_t number, index;
    int64_t run; /* of the handler that sent it, different for each */
    weft_bytes pad;
} job_item;
WEFT_SCHEMA (job_item, WEFT_FIELD (number, weft_int64), WEFT_FIELD (index, weft_int64),
             WEFT_FIELD (run, weft_int64), WEFT_FIELD (pad, weft_bytes))

#define JOB_NUMBER(client, count, kind) ((int64_t) (client) << 40 | (int64_t) (count) << 4 | (int64_t) (kind))
#define JOB_KIND(number)                ((job_kind_t) ((number) &15))
#define JOB_ANSWER(number)              ((number) *7919 + 1)

/*  The machine's one clock, whatever libraries in front of libc say. */
static inline int64_t job_clock_us (void)
{
    struct timespec now;
    syscall (SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

#endif
