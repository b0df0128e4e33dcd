/* SPDX-License-Identifier: MPL-2.0
 *
 *  testing.c - services to be called by tests: correct, failing, slow, counting. Loaded with --load. */

#include <weft/worker.h>
#include "testing.h"
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const pair_args *in = args;
    int64_t *sum = reply;
    return __builtin_add_overflow (in->a, in->b, sum) ? weft_request_fail (request, 34, "overflow") : WEFT_OK;
}

static weft_status_t multiply (weft_request_t *request, const void *args, void *reply)
{
    const pair_args *in = args;
    int64_t *product = reply;
    return __builtin_mul_overflow (in->a, in->b, product) ? weft_request_fail (request, 34, "overflow") : WEFT_OK;
}

static weft_status_t divide (weft_request_t *request, const void *args, void *reply)
{
    const pair_args *in = args;
    int64_t *quotient = reply;
    if (in->b == 0)
        return weft_request_fail (request, 33, "division by zero");
    *quotient = in->b == -1 ? (int64_t) (0 - (uint64_t) in->a) : in->a / in->b;
    return WEFT_OK;
}

static weft_status_t echo_bytes (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    *(weft_bytes *) reply = *(const weft_bytes *) args;
    return WEFT_OK;
}

static weft_status_t echo_text (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    *(weft_string *) reply = *(const weft_string *) args;
    return WEFT_OK;
}

static weft_status_t echo_shape (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    *(shape *) reply = *(const shape *) args;
    return WEFT_OK;
}

static int64_t clock_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static weft_status_t sleep_politely (weft_request_t *request, const void *args, void *reply)
{
    const slow_args *in = args;
    const int64_t start = clock_ms ();
    while (clock_ms () - start < in->ms) {
        if (weft_request_cancelled (request))
            return weft_request_fail (request, 1, "cancelled");
        poll (NULL, 0, 1);
    }
    *(int64_t *) reply = clock_ms () - start;
    return WEFT_OK;
}

static weft_status_t hang (weft_request_t *request, const void *args, void *reply)
{
    const slow_args *in = args;
    const int64_t start = clock_ms ();
    (void) request;
    while (clock_ms () - start < in->ms)
        poll (NULL, 0, (int) (in->ms - (clock_ms () - start)));
    *(int64_t *) reply = clock_ms () - start;
    return WEFT_OK;
}

/*  One write per line: several processes append to one file. */
static void note (const char *tag)
{
    const char *path = getenv ("WEFT_TEST_LOG");
    char line [256];
    const size_t size = strnlen (tag, sizeof line - 1);
    const int fd = path ? open (path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (fd < 0)
        return;
    memcpy (line, tag, size);
    line [size] = '\n';
    if (write (fd, line, size + 1) < 0)
        abort (); /* a test that cannot count proves nothing */
    close (fd);
}

static bool is_open (void)
{
    const char *path = getenv ("WEFT_TEST_LOG");
    char gate [256];
    return path && snprintf (gate, sizeof gate, "%s.open", path) > 0 && access (gate, F_OK) == 0;
}

static weft_status_t count (weft_request_t *request, const void *args, void *reply)
{
    static atomic_int_fast64_t executions;
    const count_args *in = args;
    (void) request;
    const int64_t mine = atomic_fetch_add (&executions, 1) + 1;
    note (in->tag);
    for (const int64_t start = clock_ms (); clock_ms () - start < in->ms && !is_open ();)
        poll (NULL, 0, 1);
    *(int64_t *) reply = mine;
    return WEFT_OK;
}

static weft_status_t who (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) args;
    ((who_reply *) reply)->pid = getpid ();
    return WEFT_OK;
}

static atomic_int_fast64_t items_sent;

static weft_status_t stream (weft_request_t *request, const void *args, void *reply)
{
    const stream_args *in = args;
    stream_item *item = reply;
    weft_status_t status = WEFT_OK;
    char line [128];

    item->pad = (weft_bytes){weft_request_alloc (request, (size_t) in->pad + 1), (size_t) in->pad};
    while (status == WEFT_OK && item->number != in->count) {
        if ((status = weft_request_send_item (request, item)) != WEFT_OK)
            break;
        item->number++;
        atomic_fetch_add (&items_sent, 1);
        for (const int64_t start = clock_ms (); clock_ms () - start < in->gap_ms && !weft_request_cancelled (request);)
            poll (NULL, 0, 1);
    }
    snprintf (line, sizeof line, "%.60s %s %lld", in->tag, weft_status_str (status), (long long) item->number);
    note (line);
    return status == WEFT_OK && weft_request_user (request) ? weft_request_fail (request, 7, "as it should") : status;
}

static weft_status_t sent (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) args;
    *(int64_t *) reply = atomic_load (&items_sent);
    return WEFT_OK;
}

static const weft_method_t streaming [] = {
    WEFT_METHOD ("Count", stream, stream_args, stream_item, WEFT_STREAM | WEFT_IDEMPOTENT),
    WEFT_METHOD ("Once", stream, stream_args, stream_item, WEFT_STREAM),
    {"Fail", stream, stream_args_schema, stream_item_schema, WEFT_STREAM, &items_sent},
    WEFT_METHOD ("Sent", sent, weft_none, weft_int64, WEFT_IDEMPOTENT), WEFT_METHOD_END};

static const weft_method_t arith [] = {
    WEFT_METHOD ("Add", add, pair_args, weft_int64, WEFT_IDEMPOTENT | WEFT_INLINE),
    WEFT_METHOD ("Multiply", multiply, pair_args, weft_int64, WEFT_IDEMPOTENT),
    WEFT_METHOD ("Divide", divide, pair_args, weft_int64, WEFT_IDEMPOTENT), WEFT_METHOD_END};
static const weft_method_t foo [] = {WEFT_METHOD ("Sum", add, pair_args, weft_int64, 0), WEFT_METHOD_END};
static const weft_method_t echo [] = {WEFT_METHOD ("Echo", echo_bytes, weft_bytes, weft_bytes, WEFT_IDEMPOTENT),
                                      WEFT_METHOD ("Text", echo_text, weft_string, weft_string, WEFT_IDEMPOTENT),
                                      WEFT_METHOD ("Shape", echo_shape, shape, shape, WEFT_IDEMPOTENT), WEFT_METHOD_END};
static const weft_method_t slow [] = {WEFT_METHOD ("Sleep", sleep_politely, slow_args, weft_int64, 0),
                                      WEFT_METHOD ("Hang", hang, slow_args, weft_int64, 0), WEFT_METHOD_END};
static const weft_method_t counting [] = {WEFT_METHOD ("Next", count, count_args, weft_int64, 0),
                                          WEFT_METHOD ("Safe", count, count_args, weft_int64, WEFT_IDEMPOTENT),
                                          WEFT_METHOD_END};
static const weft_method_t whoami [] = {WEFT_METHOD ("Am", who, weft_none, who_reply, WEFT_IDEMPOTENT), WEFT_METHOD_END};

weft_status_t weft_load (weft_worker_t *worker)
{
    static const struct {
        const char *name;
        const weft_method_t *methods;
    } services [] = {{"Arith", arith}, {"Foo", foo}, {"Echo", echo}, {"Slow", slow}, {"Count", counting}, {"Who", whoami}, {"Stream", streaming}};
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        const weft_status_t status = weft_worker_add (worker, services [i].name, services [i].methods, NULL);
        if (status != WEFT_OK)
            return status;
    }
    return WEFT_OK;
}
