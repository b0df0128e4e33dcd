/* SPDX-License-Identifier: MPL-2.0
 *
 *  What loaders share, load.h: the histogram's buckets, which meter.py reads, and the check of an echo. */

#include "check.h"
#include "load.h"

#include <sys/wait.h>
#include <unistd.h>

TEST (a_bucket_is_where_the_runner_looks_for_it)
{
    CHECK_INT (load_bucket (0), 0);
    CHECK_INT (load_bucket (127), 127);
    CHECK_INT (load_bucket (128), 128);
    CHECK_INT (load_bucket (255), 255);
    CHECK_INT (load_bucket (256), 256);
    CHECK_INT (load_bucket (257), 256);
    CHECK_INT (load_bucket (258), 257);
    CHECK_INT (load_bucket (1000), 384 + 122); /* from 512 in steps of 4 */
    CHECK_INT (load_bucket (LOAD_NS_MAX), LOAD_BUCKETS - 1);
    CHECK_INT (load_bucket (UINT64_MAX), LOAD_BUCKETS - 1);
}

/*  Of a child that checks an echo: 0 if it passes. */
static int verdict (const load_t *load, uint64_t number, const unsigned char *blob, size_t size)
{
    int status = 0;
    const pid_t child = fork ();
    if (child == 0) {
        load_check_echo (load, number, blob, size);
        _exit (0);
    }
    CHECK (child > 0 && waitpid (child, &status, 0) == child && WIFEXITED (status));
    return WEXITSTATUS (status);
}

TEST (an_echo_is_checked)
{
    static unsigned char blob [LOAD_ECHO_MAX];
    static const load_t load = {.echo_size = LOAD_ECHO_MAX};
    load_fill (blob);
    load_stamp (blob, 7);
    CHECK_INT (verdict (&load, 7, blob, sizeof blob), 0);
    CHECK_INT (verdict (&load, 8, blob, sizeof blob), 3);
    CHECK_INT (verdict (&load, 7, blob, sizeof blob - 1), 3);
    CHECK_INT (verdict (&load, 7, blob, 3), 3);
    blob [LOAD_ECHO_MAX - 1 - 512 * 20]++;
    CHECK_INT (verdict (&load, 7, blob, sizeof blob), 3);
}
