/* SPDX-License-Identifier: MPL-2.0
 *
 *  exec.h - methods served by any command: the body in on stdin as JSON, the reply from stdout. */

#ifndef EXEC_H_INCLUDED
#define EXEC_H_INCLUDED

#include <weft/worker.h>

typedef struct {
    const char *command;        /* for /bin/sh -c; borrowed, as is the name */
    const char *name;           /* "Service.Method" */
    bool idempotent;
    bool text;                  /* stdout is the reply, as a string, instead of JSON */
    size_t reply_max;
} exec_method_t;

/*  Adds the methods, service by service, after sorting them. `methods` and `tables`, room for 2 × count
 *  entries, are borrowed for the worker's life. False: `error` (of WEFT_TEXT_MAX + 1) says why. */
bool exec_add (weft_worker_t *worker, exec_method_t *methods, size_t count, weft_method_t *tables,
               char *error);

#endif
