/* SPDX-License-Identifier: MPL-2.0
 *
 *  wordcount.c - counts lines, words and bytes of files by calls spread over the workers of a mesh.
 *
 *      wordcount BROKER SECONDS RESULTS FILE...
 *
 *  Files are cut into parts that fit a call. Each part is counted twice, directly and through the broker,
 *  and then again and again until the time is up, with some calls always in flight; so whatever happens
 *  to a worker meanwhile happens to calls. Every answer must be the same as the one before. What happened
 *  goes to stdout, and "lines words bytes" of each file to RESULTS.
 *
 *  All calls are asynchronous: `finished` takes an answer and starts the next call. It runs on the library's
 *  thread, so what it shares with `main` is under a lock. */

#include <weft/client.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IN_FLIGHT    32        /* calls open at once */
#define PART_MAX     (1 << 20) /* bytes of one call; WEFT_BODY_MAX is the library's limit */
#define UUID_SIZE    40        /* 36 and a NUL, in whole words */
#define WORKERS_MAX  64        /* told apart in the summary */
#define REMARKS_MAX  6         /* retried calls told one by one */
#define FAILURES_MAX 6         /* then it gives up */

typedef struct {
    weft_string name;
    weft_bytes content;
} text;
WEFT_SCHEMA (text, WEFT_FIELD (name, weft_string), WEFT_FIELD (content, weft_bytes))

typedef struct {
    weft_int64 lines, words, bytes;
    weft_string worker;
} counts;
WEFT_SCHEMA (counts, WEFT_FIELD (lines, weft_int64), WEFT_FIELD (words, weft_int64),
             WEFT_FIELD (bytes, weft_int64), WEFT_FIELD (worker, weft_string))

typedef struct {
    const char *name; /* without its folder */
    counts counts;
    uint64_t calls;
    char first [2][UUID_SIZE]; /* who counted it first, through the broker and directly */
} file_t;

typedef struct {
    file_t *file;
    text text;
    counts counts;
    bool counted;
} part_t;

typedef struct {
    char uuid [UUID_SIZE];
    uint64_t calls [2]; /* through the broker, directly */
} tally_t;

static struct {
    weft_client_t *client;
    int64_t start_us, end_us;
    file_t *files;
    part_t *parts;
    size_t file_count, part_count;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t idle;
    uint64_t started, in_flight, retried, failed;
    tally_t tallies [WORKERS_MAX];
    char remarks [REMARKS_MAX][128];
} run = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

static int64_t now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static double elapsed_s (void)
{
    return (double) (now_us () - run.start_us) / 1e6;
}

static void *need_memory (void *memory)
{
    if (!memory) {
        fputs ("wordcount: out of memory\n", stderr);
        exit (1);
    }
    return memory;
}

/*  Files and their parts. */

static bool is_blank (char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/*  The size of the next part: it ends behind a blank, so that no word is cut. 0 if it cannot. */
static size_t part_size (const char *data, size_t left)
{
    size_t size = PART_MAX;
    if (left <= size)
        return left;
    while (size > 0 && !is_blank (data [size - 1]))
        size--;
    return size;
}

static bool cut (file_t *file, const char *data, size_t left)
{
    do { /* an empty file is one empty part */
        const size_t size = part_size (data, left);
        if (size == 0 && left > 0) {
            fprintf (stderr, "wordcount: %s: a word of more than %d bytes cannot be cut into calls\n",
                     file->name, PART_MAX);
            return false;
        }
        run.parts = need_memory (realloc (run.parts, (run.part_count + 1) * sizeof *run.parts));
        run.parts [run.part_count++] = (part_t){.file = file, .text = {file->name, {data, size}}};
        data += size;
        left -= size;
    } while (left > 0);
    return true;
}

static bool refuse (const char *path, const char *why)
{
    fprintf (stderr, "wordcount: %s: %s\n", path, why);
    return false;
}

static bool load (file_t *file, const char *path)
{
    const char *slash = strrchr (path, '/');
    struct stat stat;
    void *data = NULL;
    const int fd = open (path, O_RDONLY | O_CLOEXEC);

    file->name = slash ? slash + 1 : path;
    if (fd < 0)
        return refuse (path, strerror (errno));
    const bool regular = fstat (fd, &stat) == 0 && S_ISREG (stat.st_mode);
    if (regular && stat.st_size > 0)
        data = mmap (NULL, (size_t) stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close (fd);
    if (!regular)
        return refuse (path, "not a regular file");
    if (data == MAP_FAILED)
        return refuse (path, strerror (errno));
    return cut (file, data, (size_t) stat.st_size);
}

/*  Calls. Each round over the parts takes the other route for each of them. */

static void start_next (void);

static tally_t *tally_of (const char *worker)
{
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        tally_t *tally = &run.tallies [i];
        if (!tally->uuid [0])
            snprintf (tally->uuid, sizeof tally->uuid, "%s", worker);
        if (strcmp (tally->uuid, worker) == 0)
            return tally;
    }
    return &run.tallies [WORKERS_MAX - 1];
}

static void remark_retry (const weft_call_t *call, const part_t *part, const char *worker)
{
    if (run.retried < REMARKS_MAX)
        snprintf (run.remarks [run.retried], sizeof run.remarks [0],
                  "call %" PRIu64 ", %s, %s: attempt %d answered by %.8s", weft_call_sequence (call),
                  part->file->name, weft_call_direct (call) ? "directly" : "routed",
                  weft_call_attempts (call), worker);
    run.retried++;
}

static void fail (const part_t *part, const weft_call_t *call, const char *why)
{
    if (run.failed++ < FAILURES_MAX)
        fprintf (stderr, "wordcount: %s: call %" PRIu64 ": %s (executed: %s)\n", part->file->name,
                 weft_call_sequence (call), why, weft_executed_str (weft_call_executed (call)));
}

static void add (counts *sum, const counts *more)
{
    sum->lines += more->lines;
    sum->words += more->words;
    sum->bytes += more->bytes;
}

static bool same (const counts *a, const counts *b)
{
    return a->lines == b->lines && a->words == b->words && a->bytes == b->bytes;
}

static void take_answer (weft_call_t *call, part_t *part)
{
    file_t *file = part->file;
    const bool direct = weft_call_direct (call);
    counts answer;

    if (weft_call_read (call, WEFT_OUT (counts, &answer)) != WEFT_OK) {
        fail (part, call, weft_call_text (call));
        return;
    }
    if (!part->counted) {
        part->counted = true;
        part->counts = answer;
        add (&file->counts, &answer);
    } else if (!same (&part->counts, &answer)) {
        fail (part, call, "another answer than before");
        return;
    }
    if (!file->first [direct][0])
        snprintf (file->first [direct], sizeof file->first [direct], "%s", answer.worker);
    file->calls++;
    tally_of (answer.worker)->calls [direct]++;
    if (weft_call_attempts (call) > 1)
        remark_retry (call, part, answer.worker);
}

static void finished (weft_call_t *call, void *arg)
{
    pthread_mutex_lock (&run.lock);
    take_answer (call, arg);
    pthread_mutex_unlock (&run.lock);
    weft_call_destroy (&call);

    start_next (); /* before this one counts as gone, so that there is no moment without calls */
    pthread_mutex_lock (&run.lock);
    if (--run.in_flight == 0)
        pthread_cond_signal (&run.idle);
    pthread_mutex_unlock (&run.lock);
}

static part_t *next_part (weft_via_t *via)
{
    part_t *part = NULL;

    pthread_mutex_lock (&run.lock);
    const bool all_done = run.started >= 2 * run.part_count && now_us () >= run.end_us;
    if (!all_done && run.failed < FAILURES_MAX) {
        const uint64_t number = run.started++;
        const uint64_t round = number / run.part_count, place = number % run.part_count;
        part = &run.parts [place];
        *via = (round + place) % 2 ? WEFT_VIA_BROKER : WEFT_VIA_DIRECT;
        run.in_flight++;
    }
    pthread_mutex_unlock (&run.lock);
    return part;
}

static void start_next (void)
{
    weft_call_options_t options = {0};
    part_t *part = next_part (&options.via);

    if (part)
        need_memory (weft_client_start (run.client, "Text.Count", WEFT_IN (text, &part->text), &options,
                                        finished, part));
}

static void changed (const char *service, const char *worker, const char *state, const char *endpoint,
                     void *arg)
{
    (void)service;
    (void)endpoint;
    (void)arg;
    printf ("  %5.2f s  worker %.8s is %s\n", elapsed_s (), worker, state);
}

/*  What happened. */

static void print_file (int width, const file_t *file)
{
    printf ("  %-*s %9" PRId64 " %9" PRId64 " %11" PRId64, width, file->name, file->counts.lines,
            file->counts.words, file->counts.bytes);
    if (file->calls)
        printf (" %8" PRIu64 "   %-8.8s  %.8s", file->calls, file->first [1], file->first [0]);
    putchar ('\n');
}

static void print_files (void)
{
    file_t total = {.name = "total"};
    int width = (int) strlen (total.name);

    for (size_t i = 0; i < run.file_count; i++)
        if ((int) strlen (run.files [i].name) > width)
            width = (int) strlen (run.files [i].name);
    printf ("\n  %-*s %9s %9s %11s %8s   %-8s  %s\n", width, "file", "lines", "words", "bytes", "calls",
            "direct", "routed");
    for (size_t i = 0; i < run.file_count; i++) {
        print_file (width, &run.files [i]);
        add (&total.counts, &run.files [i].counts);
    }
    print_file (width, &total);
}

static void print_workers (void)
{
    printf ("\n  %-8s %9s %9s\n", "worker", "direct", "routed");
    for (size_t i = 0; i < WORKERS_MAX && run.tallies [i].uuid [0]; i++)
        printf ("  %.8s %9" PRIu64 " %9" PRIu64 "\n", run.tallies [i].uuid, run.tallies [i].calls [1],
                run.tallies [i].calls [0]);
}

static void print_calls (void)
{
    printf ("\n  %" PRIu64 " calls in %.1f s: %" PRIu64 " answered at the first attempt, %" PRIu64
            " retried, %" PRIu64 " failed\n",
            run.started, elapsed_s (), run.started - run.retried - run.failed, run.retried, run.failed);
    for (size_t i = 0; i < run.retried && i < REMARKS_MAX; i++)
        printf ("    %s\n", run.remarks [i]);
    if (run.retried > REMARKS_MAX)
        printf ("    and %" PRIu64 " more\n", run.retried - REMARKS_MAX);
}

static bool write_results (const char *path)
{
    FILE *out = fopen (path, "we");
    if (!out)
        return refuse (path, strerror (errno));
    for (size_t i = 0; i < run.file_count; i++) {
        const counts *sum = &run.files [i].counts;
        fprintf (out, "%" PRId64 " %" PRId64 " %" PRId64 "\n", sum->lines, sum->words, sum->bytes);
    }
    return fclose (out) == 0 || refuse (path, strerror (errno));
}

int main (int argc, char **argv)
{
    if (argc < 5) {
        fputs ("usage: wordcount BROKER SECONDS RESULTS FILE...\n", stderr);
        return 2;
    }
    setvbuf (stdout, NULL, _IOLBF, 0);
    run.file_count = (size_t) argc - 4;
    run.files = need_memory (calloc (run.file_count, sizeof *run.files));
    for (size_t i = 0; i < run.file_count; i++)
        if (!load (&run.files [i], argv [i + 4]))
            return 2;

    run.client = weft_client_new (argv [1], NULL);
    if (!run.client) {
        fprintf (stderr, "wordcount: %s\n", weft_client_error ());
        return 2;
    }
    run.start_us = now_us ();
    run.end_us = run.start_us + (int64_t) (atof (argv [2]) * 1e6);
    weft_client_set_watcher (run.client, changed, NULL);
    for (int i = 0; i < IN_FLIGHT; i++)
        start_next ();

    pthread_mutex_lock (&run.lock);
    while (run.in_flight > 0)
        pthread_cond_wait (&run.idle, &run.lock);
    pthread_mutex_unlock (&run.lock);
    weft_client_destroy (&run.client);

    print_files ();
    print_workers ();
    print_calls ();
    return write_results (argv [3]) && run.failed == 0 ? 0 : 1;
}
