/* SPDX-License-Identifier: MPL-2.0
 *
 *  jobs.c - the service "Job", for weft-worker --load. Each handler writes a line when it begins and when it ends to the file
 *  that WEFT_CHAOS_LOG names, before anything else can happen:
 *
 *      B number pid us           it begins
 *      E number pid us status cancelled items   it ends; whether it was told that its caller gave up; what it sent of a stream
 *
 *  What is written survives the process, so the log is the truth of what ran. Two faults of its own:
 *
 *      WEFT_CHAOS_CRASH_MS           a process ends so long after its first call
 *      <WEFT_CHAOS_LOG>.slow-<pid>   while this file is there, each call takes SLOW_MS more */

#include "jobs.h"
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft/worker.h>

#define STEP_MS 5 /* between two looks whether it is cancelled */
#define SLOW_MS 50

static int log_fd = -1;
static char slow_path [512];
static int64_t crash_us;
static _Atomic int64_t first_us;

static void write_line (const char *line, int size)
{
    if (write (log_fd, line, (size_t) size) != size)
        abort (); /* a log with holes proves nothing */
}

static void note_begin (int64_t number)
{
    char line [96];
    write_line (line, snprintf (line, sizeof line, "B %lld %d %lld\n", (long long) number, (int) getpid (),
                                (long long) job_clock_us ()));
}

static weft_status_t note_end_of (int64_t number, weft_status_t status, bool cancelled, int64_t items)
{
    char line [160];
    write_line (line,
                snprintf (line, sizeof line, "E %lld %d %lld %s %d %lld\n", (long long) number, (int) getpid (),
                          (long long) job_clock_us (), weft_status_str (status), cancelled, (long long) items));
    return status;
}

static weft_status_t note_end (int64_t number, weft_status_t status, bool cancelled)
{
    return note_end_of (number, status, cancelled, 0);
}

static void crash_in_time (void)
{
    int64_t none = 0;
    const int64_t now_us = job_clock_us ();
    atomic_compare_exchange_strong (&first_us, &none, now_us);
    if (crash_us && now_us - first_us > crash_us)
        abort ();
}

static weft_status_t serve (weft_request_t *request, const void *args, void *reply)
{
    const job_args *in = args;
    job_reply *out = reply;
    bool cancelled = false;

    note_begin (in->number);
    crash_in_time ();
    const int64_t ms = in->ms + (access (slow_path, F_OK) == 0 ? SLOW_MS : 0);
    const int64_t until_us = job_clock_us () + ms * 1000;
    while (ms && job_clock_us () < until_us) {
        poll (NULL, 0, STEP_MS);
        cancelled = cancelled || weft_request_cancelled (request);
        if (cancelled && in->number >> 4 & 1 && JOB_KIND (in->number) != JOB_HANG)
            return note_end (in->number, WEFT_CANCELLED, true);
    }
    out->number = in->number;
    out->answer = JOB_ANSWER (in->number);
    out->pad = in->pad;
    if (JOB_KIND (in->number) == JOB_FAIL)
        return note_end (in->number, weft_request_fail (request, JOB_ANSWER (in->number), "as it should"), cancelled);
    return note_end (in->number, WEFT_OK, cancelled);
}

/*  Its time is spread over its items. What cannot be sent ends it. */
static weft_status_t give_items (weft_request_t *request, const void *args, void *reply)
{
    static _Atomic int64_t runs;
    const job_args *in = args;
    job_item *item = reply;
    weft_status_t status = WEFT_OK;

    note_begin (in->number);
    crash_in_time ();
    *item = (job_item){
        .number = in->number, .run = (int64_t) getpid () << 32 | atomic_fetch_add (&runs, 1), .pad = in->pad};
    const int64_t start_us = job_clock_us ();
    for (; status == WEFT_OK && item->index < in->items; item->index++) {
        const int64_t due_us = start_us + in->ms * 1000 * item->index / in->items;
        while (job_clock_us () < due_us && !weft_request_cancelled (request))
            poll (NULL, 0, 1);
        if ((status = weft_request_send_item (request, item)) != WEFT_OK)
            break;
    }
    return note_end_of (in->number, status, weft_request_cancelled (request), item->index);
}

static const weft_method_t methods [] = {
    WEFT_METHOD ("Once", serve, job_args, job_reply, 0),
    WEFT_METHOD ("Safe", serve, job_args, job_reply, WEFT_IDEMPOTENT),
    WEFT_METHOD ("Keyed", serve, job_args, job_reply, 0),
    WEFT_METHOD ("Fail", serve, job_args, job_reply, 0),
    WEFT_METHOD ("Fast", serve, job_args, job_reply, WEFT_IDEMPOTENT | WEFT_INLINE),
    WEFT_METHOD ("FastOnce", serve, job_args, job_reply, WEFT_INLINE),
    WEFT_METHOD ("Hang", serve, job_args, job_reply, 0),
    WEFT_METHOD ("Items", give_items, job_args, job_item, WEFT_STREAM),
    WEFT_METHOD ("Hedged", serve, job_args, job_reply, WEFT_IDEMPOTENT),
    WEFT_METHOD ("SafeItems", give_items, job_args, job_item, WEFT_STREAM | WEFT_IDEMPOTENT),
    WEFT_METHOD_END};

weft_status_t weft_load (weft_worker_t *worker)
{
    const char *path = getenv ("WEFT_CHAOS_LOG");
    log_fd = path ? open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (log_fd < 0) {
        fprintf (stderr, "WEFT_CHAOS_LOG has to name a file that can be written\n");
        return WEFT_INVALID;
    }
    snprintf (slow_path, sizeof slow_path, "%s.slow-%d", path, (int) getpid ());
    crash_us = getenv ("WEFT_CHAOS_CRASH_MS") ? atoll (getenv ("WEFT_CHAOS_CRASH_MS")) * 1000 : 0;
    return weft_worker_add (worker, "Job", methods, NULL);
}
