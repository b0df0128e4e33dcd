/* SPDX-License-Identifier: MPL-2.0
 *
 *  The harness itself: whatever ends a test, nothing of it stays. */

#include "mesh.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char folder [64];
    int pid;
} trace_t;

/*  A test that starts a process of which it knows nothing, says where, and hangs. */
static void hang (int to)
{
    trace_t trace;
    mesh_t *mesh = mesh_new ();
    process_t *shell = mesh_start (mesh, "sh", "-c", "sleep 600 & echo $!; wait", NULL);
    trace.pid = atoi (process_line (shell, ""));
    snprintf (trace.folder, sizeof trace.folder, "%s", mesh_folder (mesh));
    CHECK (write (to, &trace, sizeof trace) == sizeof trace);
    for (;;)
        pause ();
}

static bool is_removed (void *folder)
{
    struct stat info;
    return stat (folder, &info) < 0;
}

/*  Nobody may be there to bury an orphan: a zombie has ended too. */
static bool has_ended (void *pid)
{
    char command [128];
    snprintf (command, sizeof command, "! grep -qs '^State:.[^ZX]' /proc/%d/status", *(int *) pid);
    return system (command) == 0;
}

TEST (of_a_test_that_is_killed_no_process_and_no_folder_stays)
{
    trace_t trace;
    int ends [2], status;
    CHECK (pipe (ends) == 0);
    const pid_t test = fork ();
    CHECK (test >= 0);
    if (test == 0)
        hang (ends [1]);
    CHECK (read (ends [0], &trace, sizeof trace) == sizeof trace);
    CHECK (trace.pid > 0 && !has_ended (&trace.pid));
    CHECK (kill (test, SIGKILL) == 0 && waitpid (test, &status, 0) == test);
    await ("its processes to end", has_ended, &trace.pid);
    await ("its folder to be removed", is_removed, trace.folder);
}
