/* SPDX-License-Identifier: MPL-2.0
 *
 *  client_fixture.h - a client of fake peers over real sockets, and the calls its tests make. */

#ifndef CLIENT_FIXTURE_H_INCLUDED
#define CLIENT_FIXTURE_H_INCLUDED

#include <weft/client.h>
#include <pthread.h>
#include <stdatomic.h>
#include "check.h"
#include "fake.h"

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static const weft_call_options_t direct = {.via = WEFT_VIA_DIRECT};
static const weft_call_options_t routed = {.via = WEFT_VIA_BROKER};

static fake_t *fake;
static weft_client_t *client;

static inline void set_up_with (size_t workers, const weft_client_options_t *options)
{
    fake = fake_new (workers);
    client = weft_client_new (fake_broker (fake), options);
    CHECK_STR (weft_client_error (), "");
    CHECK (client);
}

static inline void set_up (size_t workers)
{
    set_up_with (workers, NULL);
}

static inline void tear_down (void)
{
    weft_client_destroy (&client);
    CHECK (!client);
    fake_destroy (&fake);
}

static inline void check_sum (int64_t a, int64_t b, const weft_call_options_t *options)
{
    weft_call_t *call;
    int64_t result;
    weft_status_t status =
        weft_client_call (client, "Test.Sum", WEFT_IN (pair, &(pair){a, b}), options, &call);
    CHECK_STR (status ? weft_call_text (call) : "", "");
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &result)), WEFT_OK);
    CHECK_INT (result, a + b);
    CHECK_INT (weft_call_executed (call), WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
    CHECK (!call);
}

static inline weft_call_t *start (const char *method, const weft_call_options_t *options, weft_call_fn *done,
                                  void *arg)
{
    weft_call_t *call = weft_client_start (client, method, WEFT_IN (pair, &(pair){1, 2}), options, done, arg);
    CHECK (call);
    return call;
}

static inline void check_status (const weft_call_t *call, weft_status_t status, weft_executed_t executed)
{
    CHECK (weft_call_done (call));
    CHECK_STR (weft_status_str (weft_call_status (call)), weft_status_str (status));
    CHECK_STR (weft_executed_str (weft_call_executed (call)), weft_executed_str (executed));
}

/*  Calls with callbacks, counted as they end. */

typedef struct {
    atomic_int left, finished;
    pthread_mutex_t lock;
    pthread_cond_t all;
} tally;

static inline void count_one (tally *self)
{
    pthread_mutex_lock (&self->lock);
    self->finished++;
    pthread_cond_signal (&self->all);
    pthread_mutex_unlock (&self->lock);
}

static inline void await_all (tally *self, int count)
{
    pthread_mutex_lock (&self->lock);
    while (self->finished < count)
        pthread_cond_wait (&self->all, &self->lock);
    pthread_mutex_unlock (&self->lock);
    CHECK_INT (self->finished, count);
}

static inline void on_done (weft_call_t *call, void *arg)
{
    int64_t result;
    CHECK (weft_call_arg (call) == arg);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &result)), WEFT_OK);
    CHECK_INT (result, 3);
    weft_call_destroy (&call);
    count_one (arg);
}

#endif
