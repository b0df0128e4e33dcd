/* SPDX-License-Identifier: MPL-2.0
 *
 *  mesh.h - real processes for end-to-end tests: a broker, workers, commands.
 *
 *  Everything lives in one temporary folder, on free ports, and dies with the test, however it ends (tests/support/guard
 *  sees to that). Nothing here returns in failure: what cannot be started, or does not become ready in time, fails the test with what the process
 *  said. WEFT_TEST_WRAPPER (such as "valgrind -q") goes in front of each program. */

#ifndef MESH_H_INCLUDED
#define MESH_H_INCLUDED

#include <weft.h>
#include "check.h"

typedef struct mesh mesh_t;
typedef struct process process_t;

/*  How long anything may take before a test gives up waiting for it. */
#define PATIENCE_MS 20000

mesh_t *mesh_new (void);
void mesh_destroy (mesh_t **self); /* kills what still runs; reports a process that a sanitizer or valgrind failed */

/*  The temporary folder. */
const char *mesh_folder (const mesh_t *self);

/*  Where a file of the build is; the name itself if it is not there. Valid until the next call. */
const char *mesh_program (const char *name);

/*  Starts a program of the build, or a command from PATH, with arguments up to NULL. */
process_t *mesh_start (mesh_t *self, const char *program, ...) __attribute__ ((sentinel));

/*  Starts a broker on a free port (or on `endpoint` if not NULL) and waits until it is ready. Further arguments up to
 *  NULL. mesh_endpoint is then where it is. */
process_t *mesh_broker (mesh_t *self, const char *endpoint, ...) __attribute__ ((sentinel));
const char *mesh_endpoint (const mesh_t *self);

/*  Starts a worker for that broker that hosts the testing services, and waits until it is ready. */
process_t *mesh_worker (mesh_t *self, ...) __attribute__ ((sentinel));

/*  The same without waiting. */
process_t *mesh_worker_start (mesh_t *self, ...) __attribute__ ((sentinel));

/*  Waits for a line on stdout that begins with `prefix`; the line, valid until the next wait. */
const char *process_line (process_t *self, const char *prefix);

/*  Waits until stderr holds `text`. */
void process_said (process_t *self, const char *text);

/*  The word after `skip` words of the process's ready line: 2 is the UUID, 3 and up endpoints. "" if there is none. */
const char *process_ready_word (const process_t *self, int index);
#define process_uuid(self) process_ready_word (self, 2)

void process_signal (process_t *self, int signal_number); /* SIGSTOP: and waits until it has stopped */
int process_id (const process_t *self);

/*  How many descriptors it has open. */
size_t process_descriptors (const process_t *self);

/*  Waits until it has ended: its exit code, or 128 + signal. */
int process_wait (process_t *self);
bool process_running (process_t *self);

/*  Everything it wrote so far. */
char *process_stdout (process_t *self);
char *process_stderr (process_t *self);

/*  Runs a command to its end with `input` (may be NULL) on stdin. Texts are valid until the mesh ends. */
typedef struct {
    int code;
    const char *out, *err;
} result_t;
result_t mesh_run (mesh_t *self, const char *input, const char *program, ...) __attribute__ ((sentinel));

/*  Waits until `condition (arg)` holds; fails the test, naming `what`, if it does not in time. */
void await (const char *what, bool (*condition) (void *arg), void *arg);

/*  A bound on a duration, widened where a sanitizer or a wrapper slows everything down. */
int64_t patient_ms (int64_t ms);

/*  Milliseconds of the monotonic clock. */
int64_t now_ms (void);

#endif
