/* SPDX-License-Identifier: MPL-2.0
 *
 *  fake.h - a broker and workers that know just enough to be called, on one thread of the test's own process.
 *
 *  Service "Test": Echo (the body back), Sum ([a, b] → a + b; idempotent), Fail (APP_ERROR 34 "overflow"), Bad (a body that does not
 *  decode), Never (no reply), Draining (handed back by the first worker asked, echoed by others), Drop (closes the connection's
 *  worker). The broker answers Watch for it, routed calls by itself, and List with the first worker
 *  and that there is more, for ever. */

#ifndef FAKE_H_INCLUDED
#define FAKE_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>

#define FAKE_WORKERS_MAX 8

typedef struct fake fake_t;

/*  Ready on return: broker and workers on ephemeral tcp ports. */
fake_t *fake_new (size_t workers);
void fake_destroy (fake_t **self);

const char *fake_broker (const fake_t *self);
const char *fake_worker_uuid (const fake_t *self, size_t worker);

/*  Counted so far. Any thread. */
unsigned fake_requests (fake_t *self, size_t worker);
unsigned fake_routed (fake_t *self);
unsigned fake_cancels (fake_t *self);
unsigned fake_watches (fake_t *self);
unsigned fake_goodbyes (fake_t *self);
unsigned fake_hellos (fake_t *self);

/*  Waits until it has happened when they return: the worker's socket is closed; the broker's is closed and, later, opened again. */
void fake_kill_worker (fake_t *self, size_t worker);
void fake_stop_broker (fake_t *self);
void fake_start_broker (fake_t *self);

#endif
