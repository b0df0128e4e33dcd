/* SPDX-License-Identifier: MPL-2.0
 *
 *  completion.c - weft completion: scripts for the shells, which ask the program itself (weft
 *  __complete) what may follow.
 *
 *  So commands, flags and choices come from the tables that the parser reads, and names from the live
 *  registry. */

#include "completion.h"
#include "catalog.h"
#include "commands.h"
#include <string.h>

#define TIMEOUT_US 300000 /* a shell waits for it */

/* ---- candidates ---- */

typedef struct {
    const char *prefix; /* of the word being typed, that every candidate begins with */
    const char *before; /* what stands before the candidate in the same word: "--via=" */
    size_t before_size;
} typed_t;

static void offer (const typed_t *typed, const char *lead, const char *candidate, const char *summary)
{
    char word [512];
    snprintf (word, sizeof word, "%s%s", lead, candidate);
    if (strncmp (word, typed->prefix, strlen (typed->prefix)) != 0 || strpbrk (word, "\t\n"))
        return;
    printf ("%.*s%s", (int) typed->before_size, typed->before, word);
    if (*summary)
        printf ("\t%.*s", (int) strcspn (summary, "\n"), summary);
    putchar ('\n');
}

static void offer_flags (const typed_t *typed, const command_t *command)
{
    const flag_t *const tables [] = {command ? command->flags : NULL, options_global_flags};
    for (size_t i = 0; i < 2; i++)
        for (const flag_t *flag = tables [i]; flag && flag->name; flag++)
            offer (typed, "--", flag->name, flag->help);
}

static void offer_commands (const typed_t *typed, const command_t *const *all)
{
    for (; *all; all++)
        offer (typed, "", (*all)->name, (*all)->summary);
}

static void offer_texts (const typed_t *typed, const char *const *texts)
{
    for (; texts && *texts; texts++)
        offer (typed, "", *texts, "");
}

/* ---- live names ---- */

static void offer_methods (cli_t *cli, const typed_t *typed)
{
    definitions_t definitions;
    if (catalog_describe (cli, "service", NULL, &definitions) != EXITS_OK)
        return;
    for (size_t i = 0; i < definitions.is.service_count; i++) {
        const definition_row *const service = &definitions.is.services [i];
        char lead [WEFT_METHOD_NAME_MAX + 1];
        snprintf (lead, sizeof lead, "%s.", service->name);
        for (size_t j = 0; j < service->method_count; j++)
            offer (typed, lead, service->methods [j].name, "");
    }
    definitions_free (&definitions);
}

static void offer_rows (cli_t *cli, const typed_t *typed, bool services, bool workers)
{
    list_t list;
    if (catalog_list (cli, NULL, &list) != EXITS_OK)
        return;
    for (size_t i = 0; services && i < list.is.service_count; i++)
        offer (typed, "", list.is.services [i].name, "service");
    for (size_t i = 0; workers && i < list.is.worker_count; i++)
        offer (typed, "", list.is.workers [i].uuid, list.is.workers [i].name);
    list_free (&list);
}

static void offer_names (const options_t *options, const typed_t *typed, names_t names)
{
    cli_t cli = {.options = *options, .mute = true};
    cli.options.timeout_us = cli.options.connect_timeout_us = TIMEOUT_US;
    if (names == NAMES_NOTHING || !cli_init (&cli) || cli_connect (&cli, false) != EXITS_OK)
        return;
    if (names == NAMES_METHOD)
        offer_methods (&cli, typed);
    else
        offer_rows (&cli, typed, names != NAMES_WORKER, names != NAMES_SERVICE);
    weft_client_destroy (&cli.client);
}

/* ---- what is asked for ---- */

static void offer_argument (const options_t *options, const typed_t *typed, const command_t *const *all)
{
    const command_t *const command = options->command;
    const bool second = options->arg_count == 1 && command->names == NAMES_SUBCOMMAND;
    if (command->names == NAMES_COMMAND && options->arg_count == 0)
        offer_commands (typed, all);
    else if (command->subcommands && options->arg_count == 0)
        offer_texts (typed, command->subcommands);
    else if (second)
        offer_names (options, typed, strcmp (options->args [0], "ls") == 0 ? NAMES_SERVICE : NAMES_WORKER);
    else if (options->arg_count == 0)
        offer_names (options, typed, command->names);
}

static void offer_value (const options_t *options, const typed_t *typed, const flag_t *flag)
{
    if (flag->choices)
        offer_texts (typed, flag->choices);
    else
        offer_names (options, typed, flag->names);
}

/*  The flag whose value a word is waiting for: "--via", "-b", or NULL. */
static const flag_t *waiting_flag (const command_t *command, const char *word)
{
    const flag_t *flag = NULL;
    if (word [0] == '-' && word [1] == '-')
        flag = options_flag (command, 0, word + 2, strlen (word + 2));
    else if (word [0] == '-' && word [1])
        flag = options_flag (command, word [strlen (word) - 1], NULL, 0);
    return flag && flag->value ? flag : NULL;
}

void completion_print (const command_t *const *all, int count, char **words)
{
    char error [OPTIONS_ERROR_MAX], program [] = "weft", *before [64] = {program};
    char *const last = count > 0 ? words [count - 1] : program + 4;
    int known = 1;
    for (int i = 0; i + 1 < count && known < 62; i++)
        if (strcmp (words [i], "=") != 0) /* bash takes "--via=direct" apart */
            before [known++] = words [i];

    options_t options;
    options_parse (&options, all, known, before, error);
    typed_t typed = {.prefix = strcmp (last, "=") == 0 ? "" : last, .before = last};
    const size_t equals = strcspn (last, "=");
    const flag_t *flag = waiting_flag (options.command, before [known - 1]);
    if (!flag && strncmp (last, "--", 2) == 0 && last [equals]) {
        flag = options_flag (options.command, 0, last + 2, equals - 2);
        typed.prefix = last + equals + 1;
        typed.before_size = equals + 1;
    }
    if (flag)
        offer_value (&options, &typed, flag);
    else if (last [0] == '-')
        offer_flags (&typed, options.command);
    else if (!options.command)
        offer_commands (&typed, all);
    else
        offer_argument (&options, &typed, all);
}

/* ---- scripts ---- */

static const char bash [] =
    "# bash completion for weft. Load it with: . <(weft completion bash)\n"
    "_weft ()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} IFS=$'\\n'\n"
    "    if [[ $cur == @* ]]; then\n"
    "        COMPREPLY=( $(compgen -f -P @ -- \"${cur#@}\") )\n"
    "        return\n"
    "    fi\n"
    "    COMPREPLY=(\n"
    "        $(\"${COMP_WORDS[0]}\" __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null | cut -f1) )\n"
    "}\n"
    "complete -o nosort -F _weft weft\n";

static const char zsh [] =
    "#compdef weft\n"
    "# zsh completion for weft. Put it as _weft into a folder of $fpath, or load it with:\n"
    "# . <(weft completion zsh)\n"
    "_weft ()\n"
    "{\n"
    "    local line name about\n"
    "    local -a candidates\n"
    "    if [[ $PREFIX == @* ]]; then\n"
    "        compset -P @\n"
    "        _files\n"
    "        return\n"
    "    fi\n"
    "    for line in \"${(@f)$(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
    "        name=${line%%$'\\t'*}\n"
    "        about=${line#*$'\\t'}\n"
    "        [[ -z $name ]] && continue\n"
    "        candidates+=(\"${name//:/\\\\:}:$([[ $about != $line ]] && print -r -- $about)\")\n"
    "    done\n"
    "    _describe weft candidates\n"
    "}\n"
    "if [[ $funcstack[1] == _weft ]]; then _weft \"$@\"; else compdef _weft weft; fi\n";

static const char fish [] =
    "# fish completion for weft. Load it with: weft completion fish | source\n"
    "function __weft_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    if string match -q -- '@*' $words[-1]\n"
    "        string replace -r '^' @ -- (__fish_complete_path (string sub -s 2 -- $words[-1]))\n"
    "    else\n"
    "        $words[1] __complete $words[2..-1] 2>/dev/null\n"
    "    end\n"
    "end\n"
    "complete -c weft -f -a '(__weft_complete)'\n";

static const char *const shells [] = {"bash", "zsh", "fish", NULL};

static int run (cli_t *cli)
{
    static const char *const scripts [] = {bash, zsh, fish};
    for (size_t i = 0; shells [i]; i++)
        if (strcmp (cli->options.args [0], shells [i]) == 0) {
            fputs (scripts [i], stdout);
            return EXITS_OK;
        }
    return cli_fail (cli, EXITS_USAGE, "completion: \"%s\" is none of bash, zsh, fish",
                     cli->options.args [0]);
}

const command_t command_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "print a script that completes commands, flags and live names",
    .details = "The script asks weft itself, which asks the broker for names and waits 300 ms at most.\n",
    .examples = "  . <(weft completion bash)                       # this shell\n"
                "  weft completion bash > /etc/bash_completion.d/weft\n"
                "  weft completion zsh > ~/.zfunc/_weft\n"
                "  weft completion fish > ~/.config/fish/completions/weft.fish\n",
    .args_min = 1,
    .args_max = 1,
    .names = NAMES_SUBCOMMAND,
    .subcommands = shells,
    .run = run};
