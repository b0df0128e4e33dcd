/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker_test.c - a whole worker, its sockets and threads, against a broker that only pretends. */

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft/worker.h>
#include "fake_broker.h"

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static atomic_int released, running;

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const pair *in = args;
    (void) request;
    *(int64_t *) reply = in->a + in->b;
    return WEFT_OK;
}

static weft_status_t hold (weft_request_t *request, const void *args, void *reply)
{
    (void) args;
    (void) reply;
    atomic_fetch_add (&running, 1);
    while (!atomic_load (&released) && !weft_request_cancelled (request))
        poll (NULL, 0, 1);
    return weft_request_cancelled (request) ? WEFT_CANCELLED : WEFT_OK;
}

static weft_status_t hang (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) args;
    (void) reply;
    atomic_fetch_add (&running, 1);
    while (!atomic_load (&released))
        poll (NULL, 0, 1);
    atomic_fetch_add (&running, -1);
    return WEFT_OK;
}

static const weft_method_t arith [] = {
    WEFT_METHOD ("Add", add, pair, weft_int64, WEFT_IDEMPOTENT), WEFT_METHOD ("AddHere", add, pair, weft_int64, WEFT_INLINE),
    WEFT_METHOD ("Hold", hold, weft_none, weft_none, 0), WEFT_METHOD ("Hang", hang, weft_none, weft_none, 0),
    WEFT_METHOD_END};

static weft_worker_t *start (fake_broker_t *broker, const weft_worker_options_t *options)
{
    atomic_store (&released, 0);
    atomic_store (&running, 0);
    weft_worker_t *worker = weft_worker_new (broker->endpoint, options);
    CHECK (worker);
    CHECK_INT (weft_worker_add (worker, "Arith", arith, NULL), WEFT_OK);
    CHECK_INT (weft_worker_start (worker, 10000), WEFT_OK);
    return worker;
}

TEST (serves_routed_calls)
{
    fake_broker_t broker;
    fake_start (&broker, NULL);
    weft_worker_t *worker = start (&broker, NULL);

    fake_call (&broker, 1, "Arith.Add", "\x92\x07\x06", 3, NULL);
    CHECK_INT (broker.status, WEFT_OK);
    CHECK_INT (broker.reply_id, 1);
    CHECK_INT (broker.body [0], 13);
    fake_call (&broker, 2, "Arith.AddHere", "\x92\x07\x07", 3, NULL);
    CHECK_INT (broker.body [0], 14);

    CHECK_INT (weft_worker_stop (worker), WEFT_OK);
    CHECK_INT (broker.drainings, 1);
    fake_await (&broker.goodbyes, 1);
    weft_worker_destroy (&worker);
    CHECK (!worker);
    fake_stop (&broker);
}
