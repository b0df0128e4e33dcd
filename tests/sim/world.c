/* SPDX-License-Identifier: MPL-2.0 */

#include "world.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t at_us;
    uint64_t order;
    world_event_fn *what;
    void *arg;
    uint64_t tag;
} event_t;

world_t world;
bool tracing;

static event_t *heap;
static size_t heap_count, heap_capacity;
static uint64_t heap_order;

/*  Events ------------------------------------------------------------------------------------------------------- */

static bool is_before (const event_t *a, const event_t *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

void world_at (int64_t at_us, world_event_fn *what, void *arg, uint64_t tag)
{
    if (heap_count == heap_capacity) {
        heap_capacity = heap_capacity ? 2 * heap_capacity : 1024;
        heap = realloc (heap, heap_capacity * sizeof *heap);
    }
    const event_t event = {at_us > world.now_us ? at_us : world.now_us, heap_order++, what, arg, tag};
    size_t at = heap_count++;
    while (at > 0 && is_before (&event, &heap [(at - 1) / 2])) {
        heap [at] = heap [(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap [at] = event;
}

static event_t pop (void)
{
    const event_t first = heap [0], last = heap [--heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap_count; at = child) {
        if (child + 1 < heap_count && is_before (&heap [child + 1], &heap [child]))
            child++;
        if (!is_before (&heap [child], &last))
            break;
        heap [at] = heap [child];
    }
    heap [at] = last;
    return first;
}

void world_run (int64_t until_us)
{
    while (heap_count && heap [0].at_us <= until_us && !world.failed) {
        const event_t event = pop ();
        world.now_us = event.at_us;
        world.events++;
        event.what (event.arg, event.tag);
    }
    if (world.now_us < until_us)
        world.now_us = until_us;
}

void world_begin (uint64_t seed)
{
    world = (world_t){.seed = seed, .now_us = BEGIN_US};
    dice_init (&world.dice, seed * 0x9e3779b97f4a7c15u + 1);
    heap_count = 0;
    heap_order = 0;
}

void world_end (void)
{
    free (heap);
    heap = NULL;
    heap_count = heap_capacity = 0;
}

/*  Dice --------------------------------------------------------------------------------------------------------- */

uint64_t roll (uint64_t bound)
{
    return dice_below (&world.dice, bound);
}

int64_t between (int64_t low, int64_t high)
{
    return low + (int64_t) roll ((uint64_t) (high - low) + 1);
}

bool chance (unsigned per_mille)
{
    return per_mille > 0 && roll (1000) < per_mille;
}

/*  Processes ---------------------------------------------------------------------------------------------------- */

process_t *process_new (process_role_t role, int number)
{
    static const char *const names [] = {"broker", "worker", "client", "hostile"};
    process_t *self = &world.processes [world.process_count];

    *self = (process_t){.role = role, .index = world.process_count++, .number = number, .turn_us = NEVER};
    snprintf (self->name, sizeof self->name, "%s %d", names [role], number);
    snprintf (self->host, sizeof self->host, "10.0.%d.%d", (int) role, number + 1);
    return self;
}

static void take_turn (void *arg, uint64_t tag)
{
    process_t *self = arg;

    if (tag != self->turn_tag || !self->up)
        return;
    if (self->frozen || self->stalled_until_us > world.now_us) {
        world_at (self->frozen ? world.now_us + 10 * MS : self->stalled_until_us, take_turn, self, tag);
        return;
    }
    self->turn_us = NEVER;
    process_turn (self);
    if (self->up && !world.failed)
        process_wake (self, process_next_us (self));
}

void process_wake (process_t *self, int64_t at_us)
{
    if (!self->up || at_us == NEVER)
        return;
    if (at_us < world.now_us)
        at_us = world.now_us;
    const int64_t late_us = at_us + 1 + (int64_t) roll ((uint64_t) self->lag_us);
    if (late_us >= self->turn_us)
        return;
    self->turn_us = late_us;
    world_at (late_us, take_turn, self, ++self->turn_tag);
}

/*  Trace -------------------------------------------------------------------------------------------------------- */

void trace_mix (uint64_t value)
{
    world.digest = (world.digest ^ value) * 0x9e3779b97f4a7c15u;
    world.digest ^= world.digest >> 29;
}

void trace_line (const char *format, ...)
{
    va_list args;
    printf ("%11.6f ", (double) (world.now_us - BEGIN_US) / 1e6);
    va_start (args, format);
    vprintf (format, args);
    va_end (args);
    putchar ('\n');
}

void violated (const char *format, ...)
{
    va_list args;

    if (world.failed)
        return; /* the first one is the cause */
    world.failed = true;
    fflush (stdout);
    fprintf (tracing ? stdout : stderr, "seed %llu: VIOLATED at %.6f s: ", (unsigned long long) world.seed,
             (double) (world.now_us - BEGIN_US) / 1e6);
    va_start (args, format);
    vfprintf (tracing ? stdout : stderr, format, args);
    va_end (args);
    fputc ('\n', tracing ? stdout : stderr);
}
