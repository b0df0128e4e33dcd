/* SPDX-License-Identifier: MPL-2.0 */

#include "mesh.h"
#include "clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 64
#define ARGS_MAX 64
#define STEP_MS 2 /* between two looks at a file or a process */
#define VALGRIND_FOUND 99 /* the --error-exitcode that tests/CMakeLists.txt gives it */

struct process {
    pid_t pid;
    char name [32];
    char out_path [256], err_path [256];
    char ready [1024]; /* its ready line */
    bool ended, expected_to_end;
    int code;
    char *text; /* last process_line */
    char *out, *err; /* what mesh_run gave */
    mesh_t *mesh;
};

struct mesh {
    char folder [64];
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    process_t processes [PROCESSES_MAX];
    size_t count;
    int guard; /* a pipe to it, held as long as we live; -1 */
};

static mesh_t *current; /* for the exit handler */

int64_t now_ms (void)
{
    return clock_now_us () / 1000;
}

int64_t patient_ms (int64_t ms)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    return 10 * ms;
#else
    return getenv ("WEFT_TEST_WRAPPER") ? 20 * ms : ms;
#endif
}

static const char *build_file (const char *name, char path [512])
{
    static const char *const places [] = {".", "tests"};
    const char *build = getenv ("WEFT_BUILD_DIR");
    for (size_t i = 0; build && i < sizeof places / sizeof *places; i++) {
        struct stat info;
        snprintf (path, 512, "%s/%s/%s", build, places [i], name);
        if (stat (path, &info) == 0 && S_ISREG (info.st_mode))
            return path;
    }
    return name;
}

const char *mesh_program (const char *name)
{
    static char path [512];
    return build_file (name, path);
}

static void remove_folder (const char *folder)
{
    char command [128];
    snprintf (command, sizeof command, "rm -rf '%s'", folder);
    if (system (command) != 0)
        fprintf (stderr, "cannot remove %s\n", folder);
}

static void kill_all (mesh_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (!self->processes [i].ended) {
            kill (self->processes [i].pid, SIGKILL);
            waitpid (self->processes [i].pid, NULL, 0);
            self->processes [i].ended = true;
        }
}

static void show (const char *title, process_t *process, char *text)
{
    const size_t size = strlen (text);
    if (size)
        fprintf (stderr, "--- %s of %s (last part):\n%s", title, process->name, size > 3000 ? text + size - 3000 : text);
    free (text);
}

/*  A test that fails shows what its processes said. */
static void at_exit (void)
{
    mesh_t *mesh = current;
    if (!mesh)
        return;
    kill_all (mesh);
    for (size_t i = 0; i < mesh->count; i++)
        show ("stderr", &mesh->processes [i], process_stderr (&mesh->processes [i]));
    remove_folder (mesh->folder);
}

/*  Has somebody clean up after us if we are killed. */
static int post_guard (const char *folder)
{
    const char *source = getenv ("WEFT_SOURCE_DIR");
    char program [512];
    int ends [2];
    if (!source)
        return -1;
    snprintf (program, sizeof program, "%s/tests/support/guard", source);
    CHECK (pipe2 (ends, O_CLOEXEC) == 0);
    const int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
    const pid_t pid = fork ();
    CHECK (null >= 0 && pid >= 0);
    if (pid == 0) {
        dup2 (ends [0], STDIN_FILENO);
        dup2 (null, STDOUT_FILENO);
        dup2 (null, STDERR_FILENO);
        execlp ("setsid", "setsid", "-f", program, folder, NULL);
        _exit (127);
    }
    close (null);
    close (ends [0]);
    int status;
    CHECK (waitpid (pid, &status, 0) == pid && status == 0);
    return ends [1];
}

mesh_t *mesh_new (void)
{
    static bool registered;
    mesh_t *self = calloc (1, sizeof *self);
    CHECK (self && !current);
    snprintf (self->folder, sizeof self->folder, "%s/weft-test-XXXXXX", getenv ("TMPDIR") ? getenv ("TMPDIR") : "/tmp");
    CHECK (mkdtemp (self->folder));
    self->guard = post_guard (self->folder);
    if (!registered)
        CHECK (atexit (at_exit) == 0);
    registered = true;
    current = self;
    return self;
}

const char *mesh_folder (const mesh_t *self)
{
    return self->folder;
}

const char *mesh_endpoint (const mesh_t *self)
{
    return self->endpoint;
}

/*  True if the process's stderr shows that a sanitizer or valgrind found something. */
static bool found_fault (process_t *process)
{
    static const char *const signs [] = {"AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:",
                                         "definitely lost:", "Invalid read", "Invalid write", "Assertion"};
    char *text = process_stderr (process);
    bool found = process->code == VALGRIND_FOUND;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        found = found || strstr (text, signs [i]);
    free (text);
    return found;
}

void mesh_destroy (mesh_t **self)
{
    mesh_t *mesh = *self;
    for (size_t i = 0; i < mesh->count; i++) /* a clean end shows leaks, a killed one hides them */
        if (process_running (&mesh->processes [i])) {
            kill (mesh->processes [i].pid, SIGCONT);
            kill (mesh->processes [i].pid, SIGTERM);
        }
    for (size_t i = 0; i < mesh->count; i++) {
        process_wait (&mesh->processes [i]);
        if (found_fault (&mesh->processes [i]))
            check_failed (__FILE__, __LINE__, mesh->processes [i].name);
        free (mesh->processes [i].text);
        free (mesh->processes [i].out);
        free (mesh->processes [i].err);
    }
    current = NULL;
    remove_folder (mesh->folder);
    if (mesh->guard >= 0)
        close (mesh->guard);
    free (mesh);
    *self = NULL;
}

/*  Splits WEFT_TEST_WRAPPER at blanks in front of `argv`. */
static int add_wrapper (const char **argv)
{
    static char words [512];
    int count = 0;
    snprintf (words, sizeof words, "%s", getenv ("WEFT_TEST_WRAPPER") ? getenv ("WEFT_TEST_WRAPPER") : "");
    for (char *word = strtok (words, " "); word && count < 16; word = strtok (NULL, " "))
        argv [count++] = word;
    return count;
}

static process_t *spawn (mesh_t *mesh, const char *program, const char *input, const char *const *args)
{
    char path [512];
    const char *argv [ARGS_MAX + 32];
    CHECK (mesh->count < PROCESSES_MAX);
    process_t *self = &mesh->processes [mesh->count];
    *self = (process_t){.mesh = mesh};
    snprintf (self->name, sizeof self->name, "%zu-%s", mesh->count, program);
    for (char *slash; (slash = strchr (self->name, '/'));)
        *slash = '_';
    char base [128];
    snprintf (base, sizeof base, "%s/%s", mesh->folder, self->name);
    snprintf (self->out_path, sizeof self->out_path, "%s.out", base);
    snprintf (self->err_path, sizeof self->err_path, "%s.err", base);
    mesh->count++;

    const char *file = build_file (program, path);
    int count = file == path ? add_wrapper (argv) : 0;
    argv [count++] = file;
    for (size_t i = 0; args [i]; i++)
        argv [count++] = args [i];
    argv [count] = NULL;

    int in = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input) {
        char in_path [300];
        snprintf (in_path, sizeof in_path, "%s.in", base);
        FILE *to = fopen (in_path, "w");
        CHECK (to && fputs (input, to) >= 0 && fclose (to) == 0);
        close (in);
        in = open (in_path, O_RDONLY | O_CLOEXEC);
    }
    const int out = open (self->out_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int err = open (self->err_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK (in >= 0 && out >= 0 && err >= 0);

    const pid_t parent = getpid ();
    self->pid = fork ();
    CHECK (self->pid >= 0);
    if (self->pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (getppid () != parent)
            _exit (127);
        setenv ("TMPDIR", mesh->folder, 1);
        setenv ("XDG_RUNTIME_DIR", mesh->folder, 1);
        dup2 (in, STDIN_FILENO);
        dup2 (out, STDOUT_FILENO);
        dup2 (err, STDERR_FILENO);
        execvp (argv [0], (char *const *) (uintptr_t) argv);
        fprintf (stderr, "%s: %s\n", argv [0], strerror (errno));
        _exit (127);
    }
    close (in);
    close (out);
    close (err);
    return self;
}

/*  Collects arguments up to NULL behind those already there. */
static void collect (const char **args, size_t count, va_list list)
{
    const char *arg;
    while ((arg = va_arg (list, const char *))) {
        CHECK (count < ARGS_MAX - 1);
        args [count++] = arg;
    }
    args [count] = NULL;
}

process_t *mesh_start (mesh_t *self, const char *program, ...)
{
    const char *args [ARGS_MAX];
    va_list list;
    va_start (list, program);
    collect (args, 0, list);
    va_end (list);
    return spawn (self, program, NULL, args);
}

static void remember_ready (process_t *process, const char *prefix)
{
    snprintf (process->ready, sizeof process->ready, "%s", process_line (process, prefix));
}

const char *process_ready_word (const process_t *self, int index)
{
    static char words [16][WEFT_ENDPOINT_MAX + 1]; /* the last sixteen stay valid */
    static unsigned turn;
    char *word = words [turn++ % 16];
    const char *at = self->ready;
    for (; index > 0 && *at; index--) {
        at += strcspn (at, " ");
        at += strspn (at, " ");
    }
    snprintf (word, WEFT_ENDPOINT_MAX + 1, "%.*s", (int) strcspn (at, " "), at);
    return word;
}

process_t *mesh_broker (mesh_t *self, const char *endpoint, ...)
{
    const char *args [ARGS_MAX] = {"--bind", endpoint ? endpoint : "tcp://127.0.0.1:*"};
    va_list list;
    va_start (list, endpoint);
    collect (args, 2, list);
    va_end (list);
    process_t *broker = spawn (self, "weft-broker", NULL, args);
    remember_ready (broker, "weft-broker ready ");
    snprintf (self->endpoint, sizeof self->endpoint, "%s", process_ready_word (broker, 3));
    return broker;
}

static process_t *start_worker (mesh_t *self, va_list list)
{
    static char services [512];
    build_file ("testing.so", services);
    const char *args [ARGS_MAX] = {"--broker", self->endpoint, "--load", services};
    collect (args, 4, list);
    return spawn (self, "weft-worker", NULL, args);
}

process_t *mesh_worker_start (mesh_t *self, ...)
{
    va_list list;
    va_start (list, self);
    process_t *worker = start_worker (self, list);
    va_end (list);
    return worker;
}

process_t *mesh_worker (mesh_t *self, ...)
{
    va_list list;
    va_start (list, self);
    process_t *worker = start_worker (self, list);
    va_end (list);
    remember_ready (worker, "weft-worker ready ");
    return worker;
}

static char *read_file (const char *path)
{
    size_t size = 0, room = 1 << 16;
    char *text = malloc (room);
    FILE *file = fopen (path, "r");
    CHECK (text);
    for (size_t got; file && (got = fread (text + size, 1, room - size - 1, file)) > 0;) {
        size += got;
        if (size + 1 == room)
            CHECK (text = realloc (text, room *= 2));
    }
    if (file)
        fclose (file);
    text [size] = '\0';
    return text;
}

char *process_stdout (process_t *self)
{
    return read_file (self->out_path);
}

char *process_stderr (process_t *self)
{
    return read_file (self->err_path);
}

/*  The first whole line of `text` that begins with `prefix`, cut out of it; NULL. */
static char *find_line (char *text, const char *prefix)
{
    for (char *line = text, *end; (end = strchr (line, '\n')); line = end + 1)
        if (strncmp (line, prefix, strlen (prefix)) == 0) {
            *end = '\0';
            return line;
        }
    return NULL;
}

const char *process_line (process_t *self, const char *prefix)
{
    const int64_t end_ms = now_ms () + PATIENCE_MS;
    for (;;) {
        const bool running = process_running (self);
        free (self->text);
        self->text = process_stdout (self);
        const char *line = find_line (self->text, prefix);
        if (line)
            return line;
        if (!running || now_ms () >= end_ms) {
            fprintf (stderr, "%s did not say \"%s\"%s\n", self->name, prefix, running ? " in time" : " before it ended");
            exit (1);
        }
        poll (NULL, 0, STEP_MS);
    }
}

void process_said (process_t *self, const char *text)
{
    const int64_t end_ms = now_ms () + PATIENCE_MS;
    for (;;) {
        char *said = process_stderr (self);
        const bool found = strstr (said, text) != NULL;
        free (said);
        if (found)
            return;
        if (now_ms () >= end_ms) {
            fprintf (stderr, "%s did not log \"%s\" in time\n", self->name, text);
            exit (1);
        }
        poll (NULL, 0, STEP_MS);
    }
}

int process_id (const process_t *self)
{
    return self->pid;
}

void process_signal (process_t *self, int signal_number)
{
    siginfo_t stopped;
    CHECK (!self->ended && kill (self->pid, signal_number) == 0);
    if (signal_number == SIGSTOP) /* its threads go on for a moment */
        CHECK (waitid (P_PID, (id_t) self->pid, &stopped, WSTOPPED | WNOWAIT) == 0);
}

size_t process_descriptors (const process_t *self)
{
    char path [64];
    size_t count = 0;
    snprintf (path, sizeof path, "/proc/%d/fd", (int) self->pid);
    DIR *folder = opendir (path);
    CHECK (folder);
    while (readdir (folder))
        count++;
    closedir (folder);
    return count - 2; /* "." and ".." */
}

bool process_running (process_t *self)
{
    int status;
    if (self->ended)
        return false;
    if (waitpid (self->pid, &status, WNOHANG) != self->pid)
        return true;
    self->ended = true;
    self->code = WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
    return false;
}

int process_wait (process_t *self)
{
    const int64_t end_ms = now_ms () + 2 * PATIENCE_MS;
    while (process_running (self)) {
        if (now_ms () >= end_ms) {
            fprintf (stderr, "%s did not end in time\n", self->name);
            exit (1);
        }
        poll (NULL, 0, STEP_MS);
    }
    return self->code;
}

result_t mesh_run (mesh_t *self, const char *input, const char *program, ...)
{
    const char *args [ARGS_MAX];
    va_list list;
    va_start (list, program);
    collect (args, 0, list);
    va_end (list);
    process_t *process = spawn (self, program, input, args);
    const int code = process_wait (process);
    process->out = process_stdout (process);
    process->err = process_stderr (process);
    const result_t result = {code, process->out, process->err};
    if (found_fault (process))
        check_failed (__FILE__, __LINE__, result.err);
    return result;
}

void await (const char *what, bool (*condition) (void *arg), void *arg)
{
    const int64_t end_ms = now_ms () + PATIENCE_MS;
    while (!condition (arg)) {
        if (now_ms () >= end_ms) {
            fprintf (stderr, "waited in vain for %s\n", what);
            exit (1);
        }
        poll (NULL, 0, STEP_MS);
    }
}
