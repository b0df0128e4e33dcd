/* SPDX-License-Identifier: MPL-2.0
 *
 *  main.c - runs the costs that are named, or all; tests/cost/run counts them.
 *
 *  Prints a line for each: name, calls, allocations by weft, allocations by libzmq. Under callgrind each becomes two
 *  profiles, in the same order: its warm rounds, and those that count. The allocations are those that the preloaded
 *  counter saw (else none). */

#include <gnu/libc-version.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <valgrind/callgrind.h>
#include <zmq.h>
#include "allocations.h"
#include "cost.h"

static size_t calls;
static allocations_t before, total;

void cost_on (void)
{
    if (allocations_read)
        before = allocations_read ();
    CALLGRIND_TOGGLE_COLLECT;
}

void cost_off (size_t more_calls)
{
    CALLGRIND_TOGGLE_COLLECT;
    calls += more_calls;
    if (!allocations_read)
        return;
    const allocations_t after = allocations_read ();
    total.ours += after.ours - before.ours;
    total.libzmq += after.libzmq - before.libzmq;
}

static void run (const cost_t *cost)
{
    if (cost->begin)
        cost->begin (cost->size);
    for (int i = 0; i < cost->warm_rounds; i++)
        cost->round (cost->size);
    CALLGRIND_DUMP_STATS_AT ("warming"); /* rather than zeroed: only what is dumped forgets how often it was called */
    calls = 0;
    total = (allocations_t){0};
    for (int i = 0; i < cost->rounds; i++)
        cost->round (cost->size);
    CALLGRIND_DUMP_STATS_AT (cost->name);
    if (cost->end)
        cost->end ();
    printf ("%s\t%zu\t%llu\t%llu\n", cost->name, calls, (unsigned long long) total.ours,
            (unsigned long long) total.libzmq);
}

static bool wanted (const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp (argv [i], name) == 0)
            return true;
    return argc == 1;
}

/*  What budgets depend on besides the source. */
static int tell_platform (void)
{
    int major, minor, patch;
    struct { const char *machine, *compiler; } built = {"another machine", "another compiler"};
#ifdef __x86_64__
    built.machine = "x86_64";
#endif
#if defined __GNUC__ && !defined __clang__
    built.compiler = "gcc";
#elif defined __clang__
    built.compiler = "clang";
#endif
    zmq_version (&major, &minor, &patch);
    printf ("%s, %s %d, glibc %s, libzmq %d.%d.%d\n", built.machine, built.compiler, __GNUC__, gnu_get_libc_version (),
            major, minor, patch);
    return 0;
}

int main (int argc, char **argv)
{
    const cost_t *const rooms [] = {broker_costs, client_costs, worker_costs, common_costs};

    if (argc == 2 && strcmp (argv [1], "--platform") == 0)
        return tell_platform ();
    for (size_t i = 0; i < sizeof rooms / sizeof rooms [0]; i++)
        for (const cost_t *cost = rooms [i]; cost->name; cost++)
            if (wanted (cost->name, argc, argv))
                run (cost);
    return 0;
}
