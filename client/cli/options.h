/* SPDX-License-Identifier: MPL-2.0
 *
 *  options.h - the command line. Commands and flags are tables; parsing, help and completion all read them.
 *
 *      weft [flags] COMMAND [flags] [arguments]        "--" ends flags */

#ifndef OPTIONS_H_INCLUDED
#define OPTIONS_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_ARGS_MAX  8
#define OPTIONS_TEXTS_MAX 32
#define OPTIONS_ERROR_MAX 512

typedef struct command command_t;
typedef struct cli cli_t;

/*  What a flag writes into options_t. */
typedef enum {
    FLAG_SWITCH,  /* bool */
    FLAG_TEXT,    /* const char * */
    FLAG_TEXTS,   /* texts_t: may be given several times */
    FLAG_NUMBER,  /* int64_t, 1 to `most`, or to a thousand million if that is 0 */
    FLAG_MS,      /* int64_t, microseconds, more than 0; a bare number counts milliseconds */
    FLAG_SECONDS, /* int64_t, microseconds, more than 0; a bare number counts seconds */
    FLAG_SECONDS_OR_NONE, /* the same, or 0, which becomes OPTIONS_NONE */
    FLAG_CHOICE   /* int, the place in `choices`, from 1 */
} flag_kind_t;

/*  What an argument or a flag's value names, for completion. */
typedef enum {
    NAMES_NOTHING,
    NAMES_SERVICE,
    NAMES_METHOD,
    NAMES_WORKER,
    NAMES_SERVICE_OR_WORKER,
    NAMES_SUBCOMMAND, /* one of the command's `subcommands`, then a worker */
    NAMES_COMMAND
} names_t;

typedef struct {
    char letter;      /* 0: none */
    const char *name; /* NULL ends the table */
    const char *value; /* what help calls its value; NULL for a switch */
    flag_kind_t kind;
    size_t offset;    /* in options_t */
    const char *help;
    const char *const *choices; /* NULL-terminated, of FLAG_CHOICE */
    names_t names;
    int64_t most;     /* of FLAG_NUMBER */
} flag_t;

struct command {
    const char *name;
    const char *arguments; /* "SERVICE.METHOD [JSON|@FILE|-]" */
    const char *summary;   /* half a line */
    const char *details;   /* paragraphs, ready to print; may be NULL */
    const char *examples;  /* lines, ready to print */
    const flag_t *flags;   /* its own; may be NULL */
    size_t args_min, args_max;
    names_t names;         /* what its first argument names */
    const char *const *subcommands;
    bool csv;              /* it knows -o csv */
    int (*run) (cli_t *cli);
};

typedef struct {
    const char *values [OPTIONS_TEXTS_MAX + 1]; /* NULL-terminated */
    size_t count;
} texts_t;

typedef struct {
    const command_t *command; /* NULL if none was given */
    const char *args [OPTIONS_ARGS_MAX + 1];
    size_t arg_count;

    /* of every command */
    const char *broker;
    bool help, version, quiet;
    int output; /* OUTPUT_TEXT unless given */
    int64_t timeout_us, connect_timeout_us;

    /* of calls */
    int via, balance, retry;
    int64_t backup_us;
    const char *key, *worker, *request_key;
    texts_t meta;

    /* of loops */
    int64_t count, outstanding, duration_us, interval_us;

    /* of benchmarks */
    int64_t rate, clients, warmup_us;
    bool poisson;
    const char *series, *distribution;
} options_t;

#define OPTIONS_NONE (-1) /* of a time that was given as 0; not given, it is 0 */

enum { OUTPUT_TEXT = 1, OUTPUT_JSON = 2, OUTPUT_CSV = 3 };

/*  The flags that every command takes, and those that several share. */
extern const flag_t options_global_flags [];
extern const char *const options_via [], *const options_balance [], *const options_retry [];

#define FLAG(letter, name, value, kind, member, help)                                                        \
    {letter, name, value, kind, offsetof (options_t, member), help, NULL, NAMES_NOTHING, 0}
#define FLAG_UP_TO(letter, name, value, most, member, help)                                                  \
    {letter, name, value, FLAG_NUMBER, offsetof (options_t, member), help, NULL, NAMES_NOTHING, most}
#define FLAG_NAMES(letter, name, value, member, names, help)                                                 \
    {letter, name, value, FLAG_TEXT, offsetof (options_t, member), help, NULL, names, 0}
#define FLAG_ONE_OF(letter, name, value, choices, member, help)                                              \
    {letter, name, value, FLAG_CHOICE, offsetof (options_t, member), help, choices, NAMES_NOTHING, 0}
#define FLAG_END {0, NULL, NULL, FLAG_SWITCH, 0, NULL, NULL, NAMES_NOTHING, 0}

/*  Reads a command line; `commands` ends with NULL. All of it is read even after a mistake, so that -o
 *  and -q hold for the message too. False: `error` is one line about the first mistake. Texts point
 *  into argv. */
bool options_parse (options_t *self, const command_t *const *commands, int argc, char **argv,
                    char error [OPTIONS_ERROR_MAX]);

const command_t *options_command (const command_t *const *commands, const char *name);

/*  A flag of `command` (may be NULL) or of every command: by its letter, or by its name of `size`
 *  bytes. NULL: unknown. */
const flag_t *options_flag (const command_t *command, char letter, const char *name, size_t size);

void options_help (FILE *out, const command_t *const *commands);
void options_command_help (FILE *out, const command_t *command);

#endif
