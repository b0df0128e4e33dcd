/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker_run.h - inner contract between worker.c (threads and sockets), run.c (a process's life) and our
 *  programs. */

#ifndef WORKER_RUN_H_INCLUDED
#define WORKER_RUN_H_INCLUDED

#include <weft/worker.h>
#include "session.h"

/*  What the loop last reported. Any thread. */
session_state_t worker_state (weft_worker_t *self, weft_status_t *status, char text [WEFT_TEXT_MAX + 1]);

/*  An eventfd that is written to whenever worker_state changes; NULL-safe for nobody but its one reader. */
int worker_state_fd (const weft_worker_t *self);

/*  Ask the loop to drain, or to stop at once. Do not wait. */
void worker_ask_drain (weft_worker_t *self);
void worker_ask_quit (weft_worker_t *self);

/*  weft_worker_run, and: `ready (arg)` is called once when first registered; without a broker for
 *  `wait_ms` (0: no limit) it gives up. */
typedef struct {
    void (*ready) (weft_worker_t *worker, void *arg);
    void *arg;
    int wait_ms;
} worker_run_options_t;

enum { WORKER_RUN_OK = 0, WORKER_RUN_FAILED = 1, WORKER_RUN_NO_BROKER = 3 };

int worker_run (weft_worker_t *self, const worker_run_options_t *options);

#endif
