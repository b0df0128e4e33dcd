/* SPDX-License-Identifier: MPL-2.0
 *
 *  load.c - what load.h does outside of the path of a call. */

#include "load.h"

#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void usage (const char *program)
{
    fprintf (
        stderr,
        "usage: %s ROLE ADDRESS [--outstanding N] [--echo BYTES] [--handler US] [--option WORD] [--wrong N]\n"
        "tests/bench/run starts it\n",
        program);
    exit (2);
}

static uint64_t number_of (const char *text, uint64_t most, const char *program)
{
    char *end;
    const unsigned long long value = strtoull (text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > most)
        usage (program);
    return value;
}

/*  The runner leaves two descriptors open, and says which in BENCH_METER and BENCH_ANSWERS. */
static load_head_t *map_meter (int *answers)
{
    const char *descriptor = getenv ("BENCH_METER"), *also = getenv ("BENCH_ANSWERS");
    const size_t size = LOAD_HEAD_SIZE + (size_t) LOAD_LANE_SIZE * LOAD_LANES_MAX;
    struct stat file;
    void *memory = MAP_FAILED;
    if (descriptor && fstat (atoi (descriptor), &file) == 0 && (size_t) file.st_size == size)
        memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, atoi (descriptor), 0);
    if (memory == MAP_FAILED || !also)
        load_fail ("BENCH_METER", "no memory of a runner there; tests/bench/run starts loaders");
    *answers = atoi (also);
    return memory;
}

void load_begin (load_t *load, int argc, char **argv)
{
    static const struct option options [] = {
        {"outstanding", required_argument, NULL, 'n'}, {"echo", required_argument, NULL, 'e'},
        {"handler", required_argument, NULL, 'h'},     {"option", required_argument, NULL, 'o'},
        {"wrong", required_argument, NULL, 'w'},       {NULL, 0, NULL, 0}};

    memset (load, 0, sizeof *load);
    load->outstanding = 1;
    load->option = "";
    for (int letter; (letter = getopt_long (argc, argv, "", options, NULL)) != -1;)
        switch (letter) {
        case 'n':
            load->outstanding = (int) number_of (optarg, LOAD_OUTSTANDING_MAX, argv [0]);
            break;
        case 'e':
            load->echo_size = number_of (optarg, LOAD_ECHO_MAX, argv [0]);
            break;
        case 'h':
            load->handler_us = number_of (optarg, 1000000, argv [0]);
            break;
        case 'w':
            load->wrong_each = number_of (optarg, UINT32_MAX, argv [0]);
            break;
        case 'o':
            load->option = optarg;
            break;
        default:
            usage (argv [0]);
        }
    if (argc - optind != 2 || load->outstanding < 1 || (load->echo_size > 0 && load->echo_size < 64))
        usage (argv [0]);
    load->role = argv [optind];
    load->address = argv [optind + 1];
    signal (SIGPIPE, SIG_IGN);
    for (int i = 0; i < load->outstanding; i++)
        load->calls [i].number = (uint64_t) i;
    if (strcmp (load->role, "client") == 0)
        load->head = map_meter (&load->answers);
}

void load_ready (void)
{
    puts ("ready");
    fflush (stdout);
}

void load_end (void)
{
    fflush (NULL);
    _exit (0);
}

void load_fail (const char *what, const char *why)
{
    fprintf (stderr, "%s: %s\n", what, why);
    _exit (3);
}

uint32_t *load_lane (load_t *load)
{
    static atomic_flag answered = ATOMIC_FLAG_INIT;
    const uint32_t index = __atomic_fetch_add (&load->head->lanes, 1, __ATOMIC_RELAXED);
    if (index >= LOAD_LANES_MAX)
        load_fail ("load", "too many threads take answers");
    const uint64_t one = 1;
    if (!atomic_flag_test_and_set (&answered) && write (load->answers, &one, sizeof one) != sizeof one)
        load_fail ("BENCH_ANSWERS", "no eventfd there");
    return (uint32_t *) ((char *) load->head + LOAD_HEAD_SIZE + (size_t) index * LOAD_LANE_SIZE);
}

static unsigned char pattern (size_t index)
{
    return (unsigned char) (index * 7 + index / 512 + 1);
}

void load_fill (unsigned char *blob)
{
    for (size_t i = 0; i < LOAD_ECHO_MAX; i++)
        blob [i] = pattern (i);
}

void load_check_echo (const load_t *load, uint64_t number, const void *blob, size_t size)
{
    const unsigned char *bytes = blob;
    bool good = size == load->echo_size && load_stamp_of (blob, size) == number;
    for (size_t i = size - 1; good && i >= 8 && i < size; i -= 512)
        good = bytes [i] == pattern (i);
    if (!good)
        load_fail ("echo", "wrong answer");
}

void load_handle (const load_t *load)
{
    if (load->handler_us == 0)
        return;
    const uint64_t end_ns = load_clock_ns () + load->handler_us * 1000;
    while (load_clock_ns () < end_ns)
        ;
}

int64_t load_error (const load_t *load)
{
    static atomic_ullong answers;
    if (load->wrong_each == 0)
        return 0;
    return (atomic_fetch_add (&answers, 1) + 1) % load->wrong_each == 0;
}
