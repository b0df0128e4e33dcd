/* SPDX-License-Identifier: MPL-2.0
 *
 *  config.c - any bytes as the broker's configuration file, environment and flags.
 *
 *  Input: a byte of choices, then the file; or, separated by zero bytes, variables or arguments. What is taken can be printed,
 *  and what was printed reads back as the same; what is not taken is told in one line. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "check.h"
#include "config.h"
#include "input.h"

#define WORDS_MAX 64

/*  czmq's reader loses memory over a malformed file. */
const char *__lsan_default_suppressions (void);
__attribute__ ((visibility ("default"))) const char *__lsan_default_suppressions (void)
{
    return "leak:libczmq";
}

static unsigned differences;

static void differ (const char *key, bool live)
{
    (void) live;
    fprintf (stderr, "differs: %s\n", key);
    differences++;
}

static void check_error (const config_error_t *error)
{
    CHECK (memchr (error->text, 0, sizeof error->text) && error->text [0]);
    for (const char *at = error->text; *at; at++)
        CHECK ((unsigned char) *at >= ' ' && *at != 127);
}

/*  A file with these bytes; its path. It is always the same one. */
static const char *file_of (const void *data, size_t size)
{
    static int fd = -1;
    static char path [64];
    if (fd < 0) {
        fd = memfd_create ("config", MFD_CLOEXEC);
        CHECK (fd >= 0);
        snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    }
    CHECK (ftruncate (fd, 0) == 0 && pwrite (fd, data, size, 0) == (ssize_t) size);
    return path;
}

/*  Prints the config as a file and reads that. */
static void check_printed (config_t *config)
{
    config_t again;
    config_error_t error = {{0}};
    char *text = NULL;
    size_t size = 0;

    FILE *out = open_memstream (&text, &size);
    config_print (config, out);
    fclose (out);
    config_init (&again);
    if (!config_read_file (&again, file_of (text, size), &error) || !config_check (&again, &error))
        CHECK_STR (error.text, "");
    differences = 0;
    config_compare (config, &again, differ);
    CHECK_INT (differences, 0);
    const broker_settings_t settings = config_settings (&again);
    CHECK (settings.ttl_ms >= 100 && settings.peers_max > 0 && settings.body_max >= 4096);
    config_fini (&again);
    free (text);
}

/*  The rest of the input as words, each ended by a zero byte or the end. */
static int words_of (input_t *input, char **words, const char *prefix)
{
    int count = 0;
    while (input_left (input) && count < WORDS_MAX) {
        const uint8_t *zero = memchr (input->at, 0, input_left (input));
        const size_t size = zero ? (size_t) (zero - input->at) : input_left (input);
        words [count] = malloc (strlen (prefix) + size + 1);
        strcpy (words [count], prefix);
        strncat (words [count++], (const char *) input->at, size);
        input->at += size + (zero != NULL);
    }
    words [count] = NULL;
    return count;
}

static bool read_words (config_t *config, input_t *input, bool flags, bool prefixed, config_error_t *error)
{
    char *words [WORDS_MAX + 1];
    config_error_t warning = {{0}};
    int next = 0;
    const int count = words_of (input, words, !prefixed ? "" : flags ? "--" : "WEFT_BROKER_");
    const bool good = flags ? config_read_flags (config, count, words, &next, error)
                            : config_read_environment (config, words, &warning, error);
    if (good && flags) {
        CHECK (next >= 0 && next <= count);
        if (next < count) {
            config_unknown_flag (words [next], &warning);
            check_error (&warning);
        }
    } else if (warning.text [0])
        check_error (&warning);
    for (int i = 0; i < count; i++)
        free (words [i]);
    return good;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    input_t input = input_of (data, size);
    const unsigned how = input_byte (&input);
    config_t config;
    config_error_t error = {{0}};
    bool good;

    config_init (&config);
    if (how % 3 == 0)
        good = config_read_file (&config, file_of (input.at, input_left (&input)), &error);
    else
        good = read_words (&config, &input, how % 3 == 1, how & 4, &error);
    if (good && config_check (&config, &error))
        check_printed (&config);
    else
        check_error (&error);
    config_fini (&config);
    return 0;
}
