/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli.h - what every command is given: its options, its way to say things, and its mesh.
 *
 *  A command's `run` returns the exit code. Whatever fails says so once, where it fails, and returns
 *  the code, so that callers only pass it on. */

#ifndef CLI_H_INCLUDED
#define CLI_H_INCLUDED

#include "exits.h"
#include "grid.h"
#include "object.h"
#include "options.h"
#include <weft/client.h>

struct cli {
    options_t options;
    weft_client_t *client; /* NULL until cli_connect */
    bool json, colour, pretty; /* how data is printed: pretty JSON is indented */
    bool mute;             /* errors are not said */
    bool progress;         /* there is a progress line to wipe on stderr */
    int lost;              /* exit code for data that could not be printed, which has been said */
};

/*  Reads the environment and the terminal. `options` must be parsed. False: the broker's endpoints are
 *  ill-formed, which has been said. */
bool cli_init (cli_t *self);

/*  Flushes standard output. Returns `code`, or EXITS_OTHER if output was lost, which is said then. A
 *  reader that went away (weft ls | head) is no loss. */
int cli_fini (cli_t *self, int code);

/* ---- saying ---- */

/*  An error: one line "weft: ...", or with -o json an object. Returns `code`. */
int cli_fail (cli_t *self, int code, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

/*  The outcome of a call that is not OK. `what` names what was asked for. */
int cli_fail_call (cli_t *self, const char *what, const weft_call_t *call);

/*  The same where there is only a status. */
int cli_fail_status (cli_t *self, const char *what, weft_status_t status);

/*  The exit code of a finished call. */
int cli_exit_of (const cli_t *self, const weft_call_t *call);

/*  A remark on stderr, unless -q. */
void cli_note (cli_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/*  Replaces the progress line, if stderr is a terminal and not -q; an empty one wipes it. */
void cli_progress (cli_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/* ---- data ---- */

/*  Each prints one JSON value: indented on a terminal, unless the command turns `pretty` off, else on
 *  one line. */
void cli_print_value (cli_t *self, weft_value_t value);

/*  Prints an object whose one field `name` is an array of `count` rows, however many: `rows` is the first of them. */
void cli_print_rows (cli_t *self, const char *name, weft_value_t rows, size_t count);
void cli_print_object (cli_t *self, const object_t *object);
/*  MessagePack by its type. False: it does not fit its type; what could be printed was. */
bool cli_print_typed (cli_t *self, const void *type, size_t type_size, const void *value, size_t size);

/*  A table, with titles unless -q. */
void cli_print_grid (cli_t *self, const grid_t *grid);

/*  Writes out what was printed so far. False: nobody takes it any more. */
bool cli_flush (void);

/* ---- the mesh ---- */

/*  Makes the client. `own_loop`: see weft_client_options_t. EXITS_OK or said. */
int cli_connect (cli_t *self, bool own_loop);

/*  One more such client, the caller's; NULL: said. */
weft_client_t *cli_new_client (cli_t *self, bool own_loop);

/*  The time for one call. */
int cli_timeout_ms (const cli_t *self);

int cli_connect_timeout_ms (const cli_t *self);

/*  Walks a list of endpoints with commas between: copies the first, returns the rest, "" at the end. */
const char *cli_next_endpoint (const char *list, char endpoint [WEFT_ENDPOINT_MAX + 1]);

/*  The first SIGINT and the first SIGTERM as a descriptor to poll, instead of an end; the second ends
 *  the program. */
int cli_catch_interrupts (void);

#endif
