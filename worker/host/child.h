/* SPDX-License-Identifier: MPL-2.0
 *
 *  child.h - one run of a command: input in, output out, within bounds and as long as somebody waits. */

#ifndef CHILD_H_INCLUDED
#define CHILD_H_INCLUDED

#include <stdbool.h>
#include "buffer.h"

typedef enum {
    CHILD_EXITED,       /* code: its exit status */
    CHILD_SIGNALLED,    /* code: the signal */
    CHILD_STOPPED,      /* nobody waits any more: killed */
    CHILD_TOO_LARGE,    /* its output is over the bound: killed */
    CHILD_FAILED        /* could not be started; code: errno */
} child_end_t;

typedef struct {
    const void *input;
    size_t input_size;
    buffer_t *output;               /* appended to, up to its max */
    char *last_line;                /* of stderr */
    size_t last_line_size;
    bool (*stop) (void *arg);       /* asked a few times a second */
    void *arg;
} child_job_t;

/*  Runs `command` with /bin/sh -c and waits for its end. The command leads a process group, which dies as a
 *  whole when it is killed. SIGPIPE must be ignored. Any thread, many at once. */
child_end_t child_run (const char *command, const child_job_t *job, int *code);

#endif
