/* SPDX-License-Identifier: MPL-2.0 */

#include "commands.h"

static int run_help (cli_t *cli)
{
    const char *const name = cli->options.args [0];
    const command_t *const command = name ? options_command (commands, name) : NULL;
    if (name && !command)
        return cli_fail (cli, EXITS_USAGE, "help: no command \"%s\"; 'weft --help' lists them", name);
    if (command)
        options_command_help (stdout, command);
    else
        options_help (stdout, commands);
    return EXITS_OK;
}

const command_t command_help = {.name = "help",
                                .arguments = "[COMMAND]",
                                .summary = "say more about a command",
                                .examples = "  weft help call\n",
                                .args_max = 1,
                                .names = NAMES_COMMAND,
                                .run = run_help};

const command_t *const commands [] = {&command_call,   &command_ls,    &command_workers, &command_describe,
                                      &command_ping,   &command_watch, &command_bench,   &command_doctor,
                                      &command_completion, &command_help, NULL};
