/* SPDX-License-Identifier: MPL-2.0
 *
 *  supervise.h - N processes of one kind, kept alive. */

#ifndef SUPERVISE_H_INCLUDED
#define SUPERVISE_H_INCLUDED

#define SUPERVISE_MAX 1024

/*  Forks `count` processes that each run `work (arg)` and exit with its result, and starts those that
 *  crash again, after a pause that grows from 100 ms to 10 s and shrinks back once one has lived that
 *  long. SIGTERM and SIGINT are passed on. Returns when all have exited: 0, or the worst exit code.
 *  Processes that exit with 0 or 2 (wrong usage) are not started again. Call it before there are threads. */
int supervise (int count, int (*work) (void *arg), void *arg);

#endif
