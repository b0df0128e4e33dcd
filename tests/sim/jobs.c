/* SPDX-License-Identifier: MPL-2.0 */

#include "jobs.h"
#include <string.h>
#include "checker.h"
#include "faults.h"
#include "mp.h"

process_t *job_process;
bool job_noted, job_complete;

int64_t job_answer (int64_t number, job_kind_t kind)
{
    return number * 7919 + (int64_t) kind;
}

int64_t job_items (int64_t number)
{
    return number % 31;
}

/*  Some streams have items of more than one credit; not where a broker has little room for what leaves. */
size_t job_item_pad (int64_t number, int64_t index)
{
    return !profile.outbox_max && number % 11 == 0 && (number + index) % 5 == 0 ? WEFT_STREAM_CREDIT_BYTES : 0;
}

/*  msgpack: the array's first element; JSON: the first digits. */
int64_t job_number (const void *body, size_t size)
{
    const char *text = body;
    int64_t number = 0;

    if (size && text [0] == '{') {
        size_t at = 0;
        while (at < size && (text [at] < '0' || text [at] > '9'))
            at++;
        for (; at < size && text [at] >= '0' && text [at] <= '9'; at++)
            number = number * 10 + (text [at] - '0');
        return number;
    }
    mp_reader_t reader = mp_reader (body, size);
    uint32_t count;
    return mp_read_array (&reader, &count) && count == 2 && mp_read_int (&reader, &number) ? number : 0;
}

static weft_status_t serve (weft_request_t *request, const void *args, void *reply)
{
    const job_args *in = args;
    job_reply *out = reply;
    const job_kind_t kind = (job_kind_t) (uintptr_t) weft_request_user (request);

    if (!job_noted)
        checker_begins (job_process, in->number, NEVER);
    checker_ends (job_process, in->number);
    if (kind == JOB_FAIL)
        return weft_request_fail (request, job_answer (in->number, kind), "as it should");
    if (in->number % 3 == 0 && weft_request_cancelled (request))
        return WEFT_CANCELLED; /* a handler that looks */
    out->number = in->number;
    out->answer = job_answer (in->number, kind);
    out->pad = in->pad;
    return WEFT_OK;
}

/*  What it says is said for it by who runs it. */
static weft_status_t serve_stream (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) reply;
    checker_ends (job_process, ((const job_args *) args)->number);
    return job_complete ? WEFT_OK : WEFT_CANCELLED;
}

#define JOB(name, flags, kind) {name, serve, job_args_schema, job_reply_schema, flags, (void *) (uintptr_t) kind}

const weft_method_t job_methods [] = {
    JOB ("Add", WEFT_IDEMPOTENT, JOB_ADD),
    JOB ("Once", 0, JOB_ONCE),
    JOB ("Fast", WEFT_IDEMPOTENT | WEFT_INLINE, JOB_FAST),
    JOB ("FastOnce", WEFT_INLINE, JOB_FAST_ONCE),
    JOB ("Fail", 0, JOB_FAIL),
    {"Stream", serve_stream, job_args_schema, job_reply_schema, WEFT_STREAM | WEFT_IDEMPOTENT, NULL},
    {"StreamOnce", serve_stream, job_args_schema, job_reply_schema, WEFT_STREAM, NULL},
    WEFT_METHOD_END};
