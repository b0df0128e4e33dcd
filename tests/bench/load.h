/* SPDX-License-Identifier: MPL-2.0
 *
 *  load.h - what all measured programs share: options, the window, latencies, checked answers.
 *
 *  A program is `PROGRAM server ADDRESS` (or another role that serves), or `PROGRAM client ADDRESS`, a loader: it keeps
 *  so many calls outstanding, starting the next one where one ends, until the window is over; then it waits for what is
 *  still outstanding, so that a lost call is noticed. The runner (meter.py) opens and closes the window and adds up the
 *  processor's time; the loader only writes each call's latency into memory that both have mapped.
 *
 *  What a call costs here is the same for all: one reading of the clock, which is the end of one call and the start of
 *  the next, and one counter of a histogram. Whatever a loader does between the two counts, such as encoding.
 *
 *      load_begin (&load, argc, argv);
 *      for (each of load.outstanding calls) load_start (call), send (call->number);
 *      for (each answer) {
 *          load_check_add (call->number, sum);
 *          if (load_next (&load, call)) send (call->number); else it is one less; at none: load_end ()
 *      }
 *
 *  which is load_call_on where one thread sends and receives. */

#ifndef LOAD_H_INCLUDED
#define LOAD_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/*  How the mapped memory is laid out: a head, then lanes, one for each thread that takes answers.
 *  meter.py and peers/netrpc.go know these numbers too. */
#define LOAD_HEAD_SIZE 4096
#define LOAD_LANE_SIZE 16384
#define LOAD_LANES_MAX 1024
#define LOAD_BUCKETS   3968 /* of 1/128 relative width, up to 2^37 ns */
#define LOAD_NS_MAX    (((uint64_t) 1 << 37) - 1)

enum { LOAD_WARMING, LOAD_MEASURED, LOAD_OVER };

typedef struct {
    uint32_t phase; /* written by the runner */
    uint32_t lanes; /* taken */
} load_head_t;

/*  One of the calls that are always outstanding. Numbers are never used twice; the lower 16 bits are the place. */
typedef struct {
    uint64_t number;
    uint64_t started_ns;
} load_call_t;

#define LOAD_PLACE(number)   ((size_t) ((number) &0xffff))
#define LOAD_OUTSTANDING_MAX 8192

typedef struct {
    const char *role, *address;
    const char *option; /* of one program alone */
    int outstanding;
    size_t echo_size;    /* 0: the work is `add` */
    uint64_t handler_us; /* what the handler of `add` takes besides */
    uint64_t wrong_each; /* a server answers each so-manieth call wrong: to see that it is noticed */
    load_call_t calls [LOAD_OUTSTANDING_MAX];
    load_head_t *head;
    int answers; /* an eventfd of the runner's */
} load_t;

/*  Reads the arguments, and maps the memory that the runner has made if the role is "client". Exits with 2 if wrong. */
void load_begin (load_t *load, int argc, char **argv);

/*  A server can be called from here on. */
void load_ready (void);

/*  All is answered: exits with 0, without going through what libraries do at exit. */
void load_end (void) __attribute__ ((noreturn));

/*  Exits with 3 and one line that names what failed or was wrong. */
void load_fail (const char *what, const char *why) __attribute__ ((noreturn));

/*  A thread's own lane. The first one of a process says that it has had an answer: when all have, the window opens. */
uint32_t *load_lane (load_t *load);

static inline uint64_t load_clock_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static inline size_t load_bucket (uint64_t ns)
{
    if (ns < 128)
        return (size_t) ns;
    if (ns > LOAD_NS_MAX)
        ns = LOAD_NS_MAX;
    const int power = 63 - __builtin_clzll (ns);
    return (size_t) (power - 6) * 128 + (size_t) ((ns >> (power - 7)) & 127);
}

static inline void load_start (load_call_t *call)
{
    call->started_ns = load_clock_ns ();
}

/*  A call has ended well; it becomes the next one. False: the window is over, start no more. */
static inline bool load_next (load_t *load, load_call_t *call)
{
    static __thread uint32_t *lane;
    const uint64_t now_ns = load_clock_ns ();
    const uint32_t phase = __atomic_load_n (&load->head->phase, __ATOMIC_RELAXED);

    if (!lane)
        lane = load_lane (load);
    if (phase == LOAD_MEASURED)
        lane [load_bucket (now_ns - call->started_ns)]++;
    call->started_ns = now_ns;
    call->number += 0x10000;
    return phase != LOAD_OVER;
}

/*  All of a loader's calls, from one thread that blocks where it receives. `receive_answer` checks an answer and says
 *  which call it ends. */
static inline void __attribute__ ((noreturn))
load_call_on (load_t *load, void *socket, void (*send_call) (void *socket, uint64_t number),
              load_call_t *(*receive_answer) (void *socket))
{
    for (int i = 0; i < load->outstanding; i++) {
        load_start (&load->calls [i]);
        send_call (socket, load->calls [i].number);
    }
    for (int open = load->outstanding; open > 0;) {
        load_call_t *call = receive_answer (socket);
        if (load_next (load, call))
            send_call (socket, call->number);
        else
            open--;
    }
    load_end ();
}

/*  The work. `add` is number + LOAD_ADDEND. `echo` sends a known pattern that begins with the number. */
#define LOAD_ADDEND   1000
#define LOAD_ECHO_MAX 65536

static inline void load_check_add (uint64_t number, int64_t sum)
{
    if (sum != (int64_t) number + LOAD_ADDEND)
        load_fail ("add", "wrong answer");
}

/*  Fills LOAD_ECHO_MAX bytes; then a call writes its number in front. */
void load_fill (unsigned char *blob);

static inline void load_stamp (unsigned char *blob, uint64_t number)
{
    memcpy (blob, &number, sizeof number);
}

static inline uint64_t load_stamp_of (const void *blob, size_t size)
{
    uint64_t number = UINT64_MAX;
    if (size >= sizeof number)
        memcpy (&number, blob, sizeof number);
    return number;
}

/*  Its size, its number, and one byte of each 512. */
void load_check_echo (const load_t *load, uint64_t number, const void *blob, size_t size);

/*  Servers: what the handler takes, and whether this answer is to be wrong (0 or 1, to be added). */
void load_handle (const load_t *load);
int64_t load_error (const load_t *load);

#ifdef __cplusplus
}
#endif

#endif
