/* SPDX-License-Identifier: MPL-2.0
 *
 *  calling.h - short ways to call the testing services, for end-to-end tests. */

#ifndef CALLING_H_INCLUDED
#define CALLING_H_INCLUDED

#include "mesh.h"
#include "rows.h"
#include "testing.h"

/*  Both routes, for tests that must hold on each. */
static const weft_via_t both_routes [] = {WEFT_VIA_DIRECT, WEFT_VIA_BROKER};
#define FOR_BOTH_ROUTES(via)                                                                                 \
    for (size_t i_##via = 0; i_##via < 2; i_##via++)                                                         \
        for (weft_via_t via = both_routes [i_##via], once_##via = 1; once_##via; once_##via = 0)

/*  A client of the mesh's broker; fails the test if it cannot be made. */
weft_client_t *client_of (const mesh_t *mesh);

/*  Arith.Add and such, checked: the test fails unless it is OK with a + b. */
void check_add_call (weft_client_t *client, weft_via_t via, int64_t a, int64_t b);

/*  Starts `method` with a slow_args or count_args. */
weft_call_t *start_slow (weft_client_t *client, const char *method, int64_t ms, const weft_call_options_t *options);
weft_call_t *start_count (weft_client_t *client, const char *method, const char *tag, int64_t ms,
                          const weft_call_options_t *options);

/*  Calls the slow `method` for nothing, so that the next call needs no list and no connection first. */
void know_the_way (weft_client_t *client, const char *method, weft_via_t via);

/*  Waits for the call, prints what came if it is another status than expected, and fails then. */
void check_outcome (weft_call_t *call, weft_status_t status, weft_executed_t executed);

/*  Lets workers that are started from now on note each Count call in a file, and wait in it for a gate. */
typedef struct {
    char path [128], gate [160];
} call_log_t;
call_log_t call_log (const mesh_t *mesh);
void call_log_clear (const call_log_t *self); /* empties the file and closes the gate */
void call_log_await (const call_log_t *self, int calls); /* waits until so many have begun */
void call_log_let_go (const call_log_t *self); /* opens the gate: none sleeps any more */

/*  Workers that serve `service` now, by the broker's list. */
size_t workers_of (weft_client_t *client, const char *service);

/*  Waits until that many do. */
void await_workers (weft_client_t *client, const char *service, size_t count);

/*  The broker's list of workers of a service ("" : all), valid as long as the call, which the caller destroys. */
weft_call_t *list_workers (weft_client_t *client, const char *service, list_reply *list);

#endif
