/* SPDX-License-Identifier: MPL-2.0
 *
 *  main.c - the program weft: reads the command line, runs the command, says how it went. */

#include "commands.h"
#include "completion.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/*  If one of the standard descriptors is closed, a socket would take its place and be written to.
 *  Standard output is opened for reading, so that a write to it fails as it should. */
static void keep_standard_descriptors (void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl (fd, F_GETFD) < 0 && open ("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit (EXITS_OTHER);
}

static int run (cli_t *cli, bool parsed, const char *error)
{
    const options_t *const options = &cli->options;
    if (!parsed)
        return cli_fail (cli, EXITS_USAGE, "%s", error);
    if (options->version) {
        printf ("weft %s (protocol %d)\n", weft_version (), WEFT_PROTOCOL_HIGHEST);
        return EXITS_OK;
    }
    if (options->help && options->command)
        options_command_help (stdout, options->command);
    else if (options->help)
        options_help (stdout, commands);
    if (options->help)
        return EXITS_OK;
    return cli_init (cli) ? options->command->run (cli) : EXITS_USAGE;
}

int main (int argc, char **argv)
{
    keep_standard_descriptors ();
    signal (SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, which cli_fini looks at */
    if (argc > 1 && strcmp (argv [1], "__complete") == 0) {
        completion_print (commands, argc - 2, argv + 2);
        return EXITS_OK;
    }

    cli_t cli = {.client = NULL};
    char error [OPTIONS_ERROR_MAX];
    const bool parsed = options_parse (&cli.options, commands, argc, argv, error);
    cli.json = cli.options.output == OUTPUT_JSON;
    return cli_fini (&cli, run (&cli, parsed, error));
}
