/* SPDX-License-Identifier: MPL-2.0
 *
 *  loop.h - the broker's shell: sockets, clock and signals around the core. One thread.
 *
 *  A turn: what the connections' monitor says; what came in, until the socket is empty; who was lost; what is due;
 *  then everything that waits goes out. Only then it sleeps. A connection's loss counts only once the socket was found empty
 *  after it, so that replies that came before it count too. */

#ifndef LOOP_H_INCLUDED
#define LOOP_H_INCLUDED

#include "config.h"

typedef struct loop loop_t;

/*  On SIGHUP: reads the configuration again into `fresh` (initialised); false: it is wrong, and was reported. */
typedef bool (loop_reload_fn) (config_t *fresh, void *arg);

/*  Binds all endpoints. The config is moved in. NULL: one line on `error`. Signals TERM, INT and HUP must be blocked. */
loop_t *loop_new (config_t *config, loop_reload_fn *reload, void *arg, config_error_t *error);
void loop_destroy (loop_t **self);

/*  This process's id, and the endpoints as bound (NULL beyond the last). */
const char *loop_uuid (const loop_t *self);
const char *loop_endpoint (const loop_t *self, size_t index);

/*  Runs until it is told to stop and has drained. */
void loop_run (loop_t *self);

#endif
