/* SPDX-License-Identifier: MPL-2.0
 *
 *  The linker sends the calls of all that is linked here to __wrap_…: see --wrap in ld (1). libzmq's own go their usual way,
 *  so what it can fail at is wrapped where it is called. */

#include "failing.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#include "check.h"

static uint64_t next_fails, fails_left, failed;
static int64_t held;
static bool inside;

void oom_plan (uint64_t first, uint64_t count)
{
    next_fails = first;
    fails_left = count;
    failed = 0;
}

void oom_calm (void)
{
    fails_left = 0;
}

uint64_t oom_failed (void)
{
    return failed;
}

int64_t oom_held (void)
{
    return held;
}

static bool try_once (bool (*attempt) (void), uint64_t first, uint64_t count)
{
    const int64_t before = held;
    oom_plan (first, count);
    const bool good = attempt ();
    oom_calm ();
    CHECK (good || failed > 0);
    CHECK_INT (held, before);
    return failed > 0;
}

unsigned oom_try_each (bool (*attempt) (void))
{
    unsigned first = 1;
    while (try_once (attempt, first, 1) && try_once (attempt, first, UINT64_MAX))
        first++;
    return first - 1;
}

oom_scope_t oom_enter (void)
{
    const oom_scope_t scope = {!inside};
    inside = true;
    return scope;
}

void oom_leave (oom_scope_t *scope)
{
    if (scope->outside)
        inside = false;
}

static bool fails (void)
{
    if (!inside || fails_left == 0 || (next_fails > 0 && --next_fails > 0))
        return false;
    fails_left--;
    failed++;
    errno = ENOMEM;
    return true;
}

static void *keep (void *data)
{
    held += data != NULL;
    return data;
}

#define WRAP(type, name, ...)                                                                                \
    type __real_##name (__VA_ARGS__);                                                                        \
    type __wrap_##name (__VA_ARGS__);                                                                        \
    type __wrap_##name (__VA_ARGS__)

WRAP (void *, malloc, size_t size)
{
    return fails () ? NULL : keep (__real_malloc (size));
}

WRAP (void *, calloc, size_t count, size_t size)
{
    return fails () ? NULL : keep (__real_calloc (count, size));
}

WRAP (void *, realloc, void *data, size_t size)
{
    if (fails ())
        return NULL;
    void *moved = __real_realloc (data, size);
    held += !data && moved;
    return moved;
}

WRAP (char *, strdup, const char *text)
{
    return fails () ? NULL : keep (__real_strdup (text));
}

WRAP (char *, strndup, const char *text, size_t size)
{
    return fails () ? NULL : keep (__real_strndup (text, size));
}

WRAP (void, free, void *data)
{
    held -= data != NULL;
    __real_free (data);
}

WRAP (int, zmq_msg_init_size, zmq_msg_t *message, size_t size)
{
    return fails () ? -1 : __real_zmq_msg_init_size (message, size);
}

WRAP (int, zmq_msg_init_data, zmq_msg_t *message, void *data, size_t size, zmq_free_fn *release, void *hint)
{
    return fails () ? -1 : __real_zmq_msg_init_data (message, data, size, release, hint);
}
