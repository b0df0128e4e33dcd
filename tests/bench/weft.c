/* SPDX-License-Identifier: MPL-2.0
 *
 *  weft.c - weft as its users have it: an ordinary worker, and a client that uses the public functions.
 *
 *      worker BROKER   methods Add, Echo and Slow (100 ms), default options; --option takes what to bind
 *      client BROKER   --option takes a list of words:
 *                        direct, broker   the way
 *                        window           handles waited for in order, instead of callbacks
 *                        threads          eight threads that each do so, with an eighth of the calls, on one client
 *                        slow             a call of Slow is always outstanding too; it is not counted
 *
 *  One outstanding call is a synchronous weft_call; many are weft_client_start with a callback. */

#include "load.h"

#include <weft.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 8
#define SLOW_US 100000

typedef struct {
    int64_t a, b;
} add_args;
WEFT_SCHEMA (add_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static load_t load;

/*  The worker. */

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const add_args *in = args;
    (void) request;
    load_handle (&load);
    *(weft_int64 *) reply = in->a + in->b + load_error (&load);
    return WEFT_OK;
}

static weft_status_t echo (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    *(weft_bytes *) reply = *(const weft_bytes *) args;
    return WEFT_OK;
}

static weft_status_t slow (weft_request_t *request, const void *args, void *reply)
{
    usleep (SLOW_US);
    return add (request, args, reply);
}

static const weft_method_t methods [] = {WEFT_METHOD ("Add", add, add_args, weft_int64, WEFT_IDEMPOTENT),
                                         WEFT_METHOD ("Echo", echo, weft_bytes, weft_bytes, WEFT_IDEMPOTENT),
                                         WEFT_METHOD ("Slow", slow, add_args, weft_int64, WEFT_IDEMPOTENT),
                                         WEFT_METHOD_END};

static int work (void)
{
    const weft_worker_options_t options = {.bind = *load.option ? load.option : NULL};
    weft_worker_t *worker = weft_worker_new (load.address, &options);
    if (!worker)
        load_fail ("worker", weft_worker_error (NULL));
    if (weft_worker_add (worker, "Bench", methods, NULL) || weft_worker_start (worker, -1))
        load_fail ("worker", weft_worker_error (worker));
    load_ready ();
    for (;;)
        pause ();
}

/*  The client. */

static weft_client_t *client;
static atomic_int open_calls;
static sem_t all_answered;

static bool asked_for (const char *word)
{
    const size_t length = strlen (word);
    for (const char *at = load.option; (at = strstr (at, word)); at += length)
        if ((at == load.option || at [-1] == ',') && (at [length] == ',' || at [length] == '\0'))
            return true;
    return false;
}

static weft_call_t *start (load_call_t *call, unsigned char *blob, weft_call_fn *done)
{
    weft_call_t *handle;
    if (load.echo_size > 0) {
        const weft_bytes bytes = {blob, load.echo_size};
        load_stamp (blob, call->number);
        handle = weft_client_start (client, "Bench.Echo", WEFT_IN (weft_bytes, &bytes), NULL, done, call);
    } else {
        const add_args args = {(int64_t) call->number, LOAD_ADDEND};
        handle = weft_client_start (client, "Bench.Add", WEFT_IN (add_args, &args), NULL, done, call);
    }
    if (!handle)
        load_fail ("start", "out of memory");
    return handle;
}

static void check (const load_call_t *call, weft_call_t *handle)
{
    if (load.echo_size > 0) {
        weft_bytes bytes = {NULL, 0};
        if (weft_call_read (handle, WEFT_OUT (weft_bytes, &bytes)) != WEFT_OK)
            load_fail (weft_status_str (weft_call_status (handle)), weft_call_text (handle));
        load_check_echo (&load, call->number, bytes.data, bytes.size);
    } else {
        int64_t sum = 0;
        if (weft_call_read (handle, WEFT_OUT (weft_int64, &sum)) != WEFT_OK)
            load_fail (weft_status_str (weft_call_status (handle)), weft_call_text (handle));
        load_check_add (call->number, sum);
    }
}

static unsigned char *blob_new (void)
{
    unsigned char *blob = load.echo_size > 0 ? malloc (LOAD_ECHO_MAX) : NULL;
    if (blob)
        load_fill (blob);
    else if (load.echo_size > 0)
        load_fail ("start", "out of memory");
    return blob;
}

static void call_one_by_one (void)
{
    load_call_t *call = &load.calls [0];
    unsigned char *blob = blob_new ();
    bool more = true;
    load_start (call);
    while (more) {
        if (load.echo_size > 0) {
            const weft_bytes bytes = {blob, load.echo_size};
            weft_call_t *handle;
            load_stamp (blob, call->number);
            weft_client_call (client, "Bench.Echo", WEFT_IN (weft_bytes, &bytes), NULL, &handle);
            check (call, handle);
            weft_call_destroy (&handle);
        } else {
            const add_args args = {(int64_t) call->number, LOAD_ADDEND};
            int64_t sum = 0;
            const weft_status_t status =
                weft_call (client, "Bench.Add", WEFT_IN (add_args, &args), WEFT_OUT (weft_int64, &sum), 0);
            if (status != WEFT_OK)
                load_fail ("call", weft_status_str (status));
            load_check_add (call->number, sum);
        }
        more = load_next (&load, call);
    }
}

static void answered (weft_call_t *handle, void *arg)
{
    static __thread unsigned char *blob;
    load_call_t *call = arg;
    if (!blob)
        blob = blob_new ();
    check (call, handle);
    weft_call_destroy (&handle);
    if (load_next (&load, call))
        start (call, blob, answered);
    else if (atomic_fetch_sub (&open_calls, 1) == 1)
        sem_post (&all_answered);
}

static void call_by_callbacks (void)
{
    unsigned char *blob = blob_new ();
    atomic_store (&open_calls, load.outstanding);
    for (int i = 0; i < load.outstanding; i++) {
        load_start (&load.calls [i]);
        start (&load.calls [i], blob, answered);
    }
    sem_wait (&all_answered);
}

typedef struct {
    pthread_t thread;
    int first, count;
} window_t;

static void *call_window (void *arg)
{
    const window_t *window = arg;
    load_call_t *calls = &load.calls [window->first];
    weft_call_t *handles [LOAD_OUTSTANDING_MAX];
    unsigned char *blob = blob_new ();
    for (int i = 0; i < window->count; i++) {
        load_start (&calls [i]);
        handles [i] = start (&calls [i], blob, NULL);
    }
    for (int i = 0, open = window->count; open > 0; i = (i + 1) % window->count) {
        if (!handles [i])
            continue;
        weft_call_wait (handles [i], -1);
        check (&calls [i], handles [i]);
        weft_call_destroy (&handles [i]);
        if (load_next (&load, &calls [i]))
            handles [i] = start (&calls [i], blob, NULL);
        else
            open--;
    }
    return NULL;
}

static void call_windows (int threads)
{
    window_t windows [THREADS];
    for (int i = 0; i < threads; i++) {
        const int count = load.outstanding / threads;
        windows [i] = (window_t){.first = i * count, .count = count};
        if (count == 0 || pthread_create (&windows [i].thread, NULL, call_window, &windows [i]))
            load_fail ("threads", "cannot start them");
    }
    for (int i = 0; i < threads; i++)
        pthread_join (windows [i].thread, NULL);
}

static void slow_answered (weft_call_t *handle, void *arg)
{
    const add_args args = {1, 2};
    int64_t sum = 0;
    (void) arg;
    if (weft_call_read (handle, WEFT_OUT (weft_int64, &sum)) != WEFT_OK || sum != args.a + args.b)
        load_fail ("slow call", weft_status_str (weft_call_status (handle)));
    weft_call_destroy (&handle);
    weft_client_start (client, "Bench.Slow", WEFT_IN (add_args, &args), NULL, slow_answered, NULL);
}

static void call_slow (void)
{
    const add_args args = {1, 2};
    weft_client_start (client, "Bench.Slow", WEFT_IN (add_args, &args), NULL, slow_answered, NULL);
}

static void call (void)
{
    const weft_client_options_t options = {.call.via =
                                               asked_for ("broker") ? WEFT_VIA_BROKER : WEFT_VIA_DIRECT};
    client = weft_client_new (load.address, &options);
    if (!client)
        load_fail ("client", weft_client_error ());
    sem_init (&all_answered, 0, 0);
    if (asked_for ("slow"))
        call_slow ();
    if (asked_for ("threads"))
        call_windows (THREADS);
    else if (asked_for ("window"))
        call_windows (1);
    else if (load.outstanding == 1)
        call_one_by_one ();
    else
        call_by_callbacks ();
    load_end ();
}

int main (int argc, char **argv)
{
    load_begin (&load, argc, argv);
    if (strcmp (load.role, "client") == 0)
        call ();
    return work ();
}
