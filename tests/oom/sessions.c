/* SPDX-License-Identifier: MPL-2.0
 *
 *  sessions.c - plays the sessions that a fuzzer begins with, over and over, while the first, the second, … allocation fails: that
 *  one alone, it and the next few, or all from there on. All that the fuzzer holds against the core must still be true, and no
 *  memory may be lost.
 *
 *      oom_broker corpus/broker.seeds          all of them
 *      oom_broker corpus/broker.seeds 7 12 3   the 7th, with three failures from the 12th allocation on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "failing.h"
#include "input.h"

#define SESSION_MAX 4096

typedef struct {
    uint8_t data [SESSION_MAX];
    size_t size;
} session_bytes_t;

static unsigned long played, failures;

static int digit (char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static bool read_session (FILE *in, session_bytes_t *session)
{
    char line [2 * SESSION_MAX + 2];
    if (!fgets (line, sizeof line, in))
        return false;
    for (session->size = 0; line [2 * session->size] > '\n'; session->size++)
        session->data [session->size] =
            (uint8_t) (digit (line [2 * session->size]) << 4 | digit (line [2 * session->size + 1]));
    return true;
}

void memory_is_back (void)
{
    oom_calm ();
}

/*  True if memory ran out on the way. What is being played is said only if it comes to a bad end. */
static bool play (const session_bytes_t *session, uint64_t first, uint64_t count)
{
    const int64_t before = oom_held ();
    oom_plan (first, count);
    LLVMFuzzerTestOneInput (session->data, session->size);
    oom_calm ();
    CHECK_INT (oom_held (), before);
    played++;
    failures += oom_failed ();
    return oom_failed () > 0;
}

static char playing [128];

static void tell (void)
{
    if (*playing)
        fprintf (stderr, "while playing %s\n", playing);
}

static void play_all (FILE *in, const char *path)
{
    static const uint64_t counts [] = {1, 3, UINT64_MAX};
    session_bytes_t session;

    for (unsigned number = 1; read_session (in, &session); number++) {
        play (&session, 0, 0); /* what is made once and kept is not held against it */
        for (size_t i = 0; i < 3; i++) {
            uint64_t first = 0;
            do {
                snprintf (playing, sizeof playing, "%s %u %llu %llu", path, number, (unsigned long long) ++first,
                          (unsigned long long) counts [i]);
            } while (play (&session, first, counts [i]));
        }
    }
    *playing = 0;
}

int main (int argc, char **argv)
{
    session_bytes_t session;
    FILE *in = argc > 1 ? fopen (argv [1], "r") : NULL;
    if (!in) {
        fprintf (stderr, "which sessions?\n");
        return 2;
    }
    atexit (tell);
    if (argc == 5) {
        for (unsigned long number = strtoul (argv [2], NULL, 10); number > 0; number--)
            CHECK (read_session (in, &session));
        play (&session, 0, 0);
        play (&session, strtoull (argv [3], NULL, 10), strtoull (argv [4], NULL, 10));
    } else
        play_all (in, argv [1]);
    fclose (in);
    printf ("%lu sessions, %lu failed allocations\n", played, failures);
    CHECK (argc == 5 || failures > 500);
    return 0;
}
