/* SPDX-License-Identifier: MPL-2.0
 *
 *  traffic.c - a worker, or a client that makes a given number of calls: what processes.py counts.
 *
 *      weft-cost-traffic worker BROKER
 *      weft-cost-traffic client BROKER direct|routed WINDOW CALLS */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define WINDOW_MAX 1024
#define TIMEOUT_MS 60000 /* all may be slow */

typedef struct {
    int64_t a, b;
} add_args;
WEFT_SCHEMA (add_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const add_args *in = args;
    (void) request;
    *(int64_t *) reply = in->a + in->b;
    return WEFT_OK;
}

static int serve (const char *broker)
{
    static const weft_method_t methods [] = {WEFT_METHOD ("Add", add, add_args, weft_int64, WEFT_IDEMPOTENT),
                                             WEFT_METHOD_END};
    weft_worker_t *worker = weft_worker_new (broker, NULL);

    if (!worker || weft_worker_add (worker, "Arith", methods, NULL) != WEFT_OK)
        return 1;
    const int code = weft_worker_run (worker);
    weft_worker_destroy (&worker);
    return code;
}

static void end_call (weft_call_t *call, int64_t expected)
{
    int64_t sum;

    if (!call || !weft_call_wait (call, -1) || weft_call_read (call, WEFT_OUT (weft_int64, &sum)) != WEFT_OK
        || sum != expected) {
        fprintf (stderr, "weft-cost-traffic: %s\n", call ? weft_call_text (call) : "out of memory");
        exit (1);
    }
    weft_call_destroy (&call);
}

static void call_alone (weft_client_t *client, const weft_call_options_t *options, int64_t number)
{
    weft_call_t *call = NULL;

    weft_client_call (client, "Arith.Add", WEFT_IN (add_args, (&(add_args){number, 5})), options, &call);
    end_call (call, number + 5);
}

static void call_window (weft_client_t *client, const weft_call_options_t *options, int window)
{
    weft_call_t *calls [WINDOW_MAX];

    for (int i = 0; i < window; i++)
        calls [i] = weft_client_start (client, "Arith.Add", WEFT_IN (add_args, (&(add_args){i, 5})), options, NULL, NULL);
    for (int i = 0; i < window; i++)
        end_call (calls [i], i + 5);
}

static int call (const char *broker, const char *way, int window, int calls)
{
    const weft_call_options_t options = {.timeout_ms = TIMEOUT_MS,
                                         .connect_timeout_ms = TIMEOUT_MS,
                                         .via = strcmp (way, "direct") == 0 ? WEFT_VIA_DIRECT : WEFT_VIA_BROKER};
    weft_client_t *client = weft_client_new (broker, NULL);

    if (!client || window < 1 || window > WINDOW_MAX)
        return 1;
    for (int i = 0; i < calls; i += window)
        if (window == 1)
            call_alone (client, &options, i);
        else
            call_window (client, &options, window);
    weft_client_destroy (&client);
    return 0;
}

int main (int argc, char **argv)
{
    if (argc == 3 && strcmp (argv [1], "worker") == 0)
        return serve (argv [2]);
    if (argc == 6 && strcmp (argv [1], "client") == 0)
        return call (argv [2], argv [3], atoi (argv [4]), atoi (argv [5]));
    fprintf (stderr, "usage: weft-cost-traffic worker BROKER | client BROKER direct|routed WINDOW CALLS\n");
    return 2;
}
