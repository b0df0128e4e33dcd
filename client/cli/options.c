/* SPDX-License-Identifier: MPL-2.0 */

#include "options.h"
#include "exits.h"
#include "words.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 1000000000LL

/*  In the order of the public enums, from their second on: a place here is the value there. */
const char *const options_via [] = {"auto", "direct", "broker", NULL};
const char *const options_balance [] = {"p2c",  "random",  "round_robin", "weighted", "least",
                                        "hash", "primary", "broadcast",   NULL};
const char *const options_retry [] = {"failfast", "failtry", "failover", "failbackup", NULL};

static const char *const outputs [] = {"text", "json", "csv", NULL};

const flag_t options_global_flags [] = {
    FLAG ('b', "broker", "ENDPOINTS", FLAG_TEXT, broker,
          "the broker, or several with commas between (default: $WEFT_BROKER,\nelse tcp://127.0.0.1:5555)"),
    FLAG_ONE_OF ('o', "output", "FORMAT", outputs, output,
                 "text for people, json for programs (errors too); bench: csv"),
    FLAG ('q', "quiet", NULL, FLAG_SWITCH, quiet, "no headings, notes or progress; errors all the same"),
    FLAG ('t', "timeout", "TIME", FLAG_MS, timeout_us, "for each call, as 500, 500ms or 2s (default: 5s)"),
    FLAG (0, "connect-timeout", "TIME", FLAG_MS, connect_timeout_us,
          "to get through to a broker or worker (default: 2s)"),
    FLAG ('h', "help", NULL, FLAG_SWITCH, help, "this text"),
    FLAG (0, "version", NULL, FLAG_SWITCH, version, "the version"),
    FLAG_END};

/*  A parse under way. */
typedef struct {
    options_t *options;
    const command_t *const *commands;
    char **next; /* the words not yet read; ends with NULL */
    char *error;
    bool failed, flags_ended;
} parser_t;

__attribute__ ((format (printf, 2, 3))) static void wrong (parser_t *self, const char *format, ...)
{
    if (self->failed)
        return;
    self->failed = true;
    va_list args;
    va_start (args, format);
    vsnprintf (self->error, OPTIONS_ERROR_MAX, format, args);
    va_end (args);
}

/*  "; did you mean "x"?" or nothing. */
static const char *hint (char text [OPTIONS_ERROR_MAX], const nearest_t *near, const char *prefix)
{
    text [0] = '\0';
    if (near->best)
        snprintf (text, OPTIONS_ERROR_MAX, "; did you mean %s%s?", prefix, near->best);
    return text;
}

/* ---- flags ---- */

const flag_t *options_flag (const command_t *command, char letter, const char *name, size_t size)
{
    const flag_t *const tables [] = {options_global_flags, command ? command->flags : NULL};
    for (size_t i = 0; i < 2; i++)
        for (const flag_t *flag = tables [i]; flag && flag->name; flag++)
            if (letter ? flag->letter == letter
                       : strlen (flag->name) == size && memcmp (flag->name, name, size) == 0)
                return flag;
    return NULL;
}

static void unknown_flag (parser_t *self, const char *name, size_t size)
{
    const command_t *const command = self->options->command;
    char word [64], text [OPTIONS_ERROR_MAX];
    snprintf (word, sizeof word, "%.*s", (int) size, name);
    nearest_t near = nearest (word);
    const flag_t *const tables [] = {options_global_flags, command ? command->flags : NULL};
    for (size_t i = 0; i < 2; i++)
        for (const flag_t *flag = tables [i]; flag && flag->name; flag++)
            nearest_try (&near, flag->name);
    wrong (self, "%s%sunknown flag --%s%s", command ? command->name : "", command ? ": " : "", word,
           hint (text, &near, "--"));
}

static int find_choice (parser_t *self, const flag_t *flag, const char *value)
{
    nearest_t near = nearest (value);
    char known [256] = "", text [OPTIONS_ERROR_MAX];
    for (int i = 0; flag->choices [i]; i++) {
        if (strcmp (flag->choices [i], value) == 0)
            return i + 1;
        nearest_try (&near, flag->choices [i]);
        const size_t size = strlen (known);
        snprintf (known + size, sizeof known - size, "%s%s", i ? ", " : "", flag->choices [i]);
    }
    wrong (self, "--%s: \"%s\" is none of %s%s", flag->name, value, known, hint (text, &near, ""));
    return 0;
}

static int64_t read_number (parser_t *self, const flag_t *flag, const char *value)
{
    char *end;
    const long long number = strtoll (value, &end, 10);
    const long long most = flag->most ? flag->most : NUMBER_MAX;
    if (!isdigit ((unsigned char) value [0]) || *end || number < 1 || number > most)
        wrong (self, "--%s: \"%s\" is no number from 1 to %lld", flag->name, value, most);
    return number;
}

static int64_t read_duration (parser_t *self, const flag_t *flag, const char *value)
{
    int64_t us = 0;
    const bool none = flag->kind == FLAG_SECONDS_OR_NONE;
    if (!words_to_duration (value, flag->kind == FLAG_MS ? 1000 : 1000000, &us))
        wrong (self, "--%s: \"%s\" is no time; write it like 500ms or 2s", flag->name, value);
    else if (us == 0 && none)
        return OPTIONS_NONE;
    else if (us < 1000 || us > 86400000000)
        wrong (self, "--%s: \"%s\" is out of range; %sfrom 1ms to 24h", flag->name, value, none ? "0 or " : "");
    return us;
}

static void add_text (parser_t *self, const flag_t *flag, texts_t *texts, const char *value)
{
    if (texts->count == OPTIONS_TEXTS_MAX)
        wrong (self, "--%s: at most %d", flag->name, OPTIONS_TEXTS_MAX);
    else
        texts->values [texts->count++] = value;
}

static void set_flag (parser_t *self, const flag_t *flag, const char *value)
{
    void *const member = (char *) self->options + flag->offset;
    switch (flag->kind) {
    case FLAG_SWITCH:
        *(bool *) member = true;
        break;
    case FLAG_TEXT:
        *(const char **) member = value;
        break;
    case FLAG_TEXTS:
        add_text (self, flag, member, value);
        break;
    case FLAG_NUMBER:
        *(int64_t *) member = read_number (self, flag, value);
        break;
    case FLAG_MS:
    case FLAG_SECONDS:
    case FLAG_SECONDS_OR_NONE:
        *(int64_t *) member = read_duration (self, flag, value);
        break;
    case FLAG_CHOICE:
        *(int *) member = find_choice (self, flag, value);
        break;
    }
}

/*  The value of a flag that has one: `rest` of its own word, or the next word. */
static void take_value (parser_t *self, const flag_t *flag, const char *rest)
{
    if (rest)
        set_flag (self, flag, rest);
    else if (*self->next)
        set_flag (self, flag, *self->next++);
    else
        wrong (self, "--%s needs a value: %s", flag->name, flag->value);
}

/*  "name" or "name=value", after its "--". */
static void parse_long (parser_t *self, const char *word)
{
    const size_t size = strcspn (word, "=");
    const char *const value = word [size] ? word + size + 1 : NULL;
    const flag_t *const flag = options_flag (self->options->command, 0, word, size);
    if (!flag)
        unknown_flag (self, word, size);
    else if (flag->value)
        take_value (self, flag, value);
    else if (value)
        wrong (self, "--%s takes no value", flag->name);
    else
        set_flag (self, flag, NULL);
}

/*  "q", "qh", "n5", after its "-". */
static void parse_letters (parser_t *self, const char *letters)
{
    for (; *letters; letters++) {
        const command_t *const command = self->options->command;
        const flag_t *const flag = options_flag (command, *letters, NULL, 0);
        if (!flag) {
            wrong (self, "%s%sunknown flag -%c", command ? command->name : "", command ? ": " : "", *letters);
            return;
        }
        if (flag->value) {
            take_value (self, flag, letters [1] ? letters + 1 : NULL);
            return;
        }
        set_flag (self, flag, NULL);
    }
}

/* ---- commands and arguments ---- */

const command_t *options_command (const command_t *const *commands, const char *name)
{
    for (; *commands; commands++)
        if (strcmp ((*commands)->name, name) == 0)
            return *commands;
    return NULL;
}

static void parse_command (parser_t *self, const char *word)
{
    self->options->command = options_command (self->commands, word);
    if (self->options->command)
        return;
    nearest_t near = nearest (word);
    char text [OPTIONS_ERROR_MAX];
    for (size_t i = 0; self->commands [i]; i++)
        nearest_try (&near, self->commands [i]->name);
    wrong (self, "unknown command \"%s\"%s", word,
           near.best ? hint (text, &near, "") : "; 'weft --help' lists them");
}

static void parse_argument (parser_t *self, const char *word)
{
    options_t *const options = self->options;
    if (!options->command)
        parse_command (self, word);
    else if (options->arg_count < options->command->args_max)
        options->args [options->arg_count++] = word;
    else
        wrong (self, "%s: \"%s\" is one argument too many; usage: weft %s %s", options->command->name, word,
               options->command->name, options->command->arguments);
}

/*  The name of the argument at `index`, as the usage line calls it. */
static void argument_name (const char *arguments, size_t index, char name [64])
{
    for (; index > 0; index--) {
        arguments += strcspn (arguments, " ");
        arguments += strspn (arguments, " ");
    }
    snprintf (name, 64, "%.*s", (int) strcspn (arguments, " "), arguments);
}

static void check_arguments (parser_t *self)
{
    const options_t *const options = self->options;
    const command_t *const command = options->command;
    if (options->help || options->version)
        return;
    if (!command) {
        wrong (self, "no command; 'weft --help' lists them");
    } else if (options->arg_count < command->args_min) {
        char name [64];
        argument_name (command->arguments, options->arg_count, name);
        wrong (self, "%s needs %s; usage: weft %s %s", command->name, name, command->name,
               command->arguments);
    } else if (options->output == OUTPUT_CSV && !command->csv) {
        wrong (self, "--output: %s knows text and json, but no csv", command->name);
    }
}

/*  A flag starts with '-', but a lone one is an argument (standard input), and so is a negative number. */
static bool is_flag (const char *word)
{
    return word [0] == '-' && word [1] && !isdigit ((unsigned char) word [1]);
}

bool options_parse (options_t *self, const command_t *const *commands, int argc, char **argv,
                    char error [OPTIONS_ERROR_MAX])
{
    *self = (options_t){.output = OUTPUT_TEXT};
    parser_t parser = {self, commands, argv + (argc > 0), error, false, false};
    error [0] = '\0';

    while (*parser.next) {
        const char *const word = *parser.next++;
        if (parser.flags_ended || !is_flag (word))
            parse_argument (&parser, word);
        else if (strcmp (word, "--") == 0)
            parser.flags_ended = true;
        else if (word [1] == '-')
            parse_long (&parser, word + 2);
        else
            parse_letters (&parser, word + 1);
    }
    check_arguments (&parser);
    return !parser.failed;
}

/* ---- help ---- */

#define FLAG_COLUMN 28

static void print_flag (FILE *out, const flag_t *flag)
{
    char left [64];
    snprintf (left, sizeof left, "%s%c%s--%s%s%s", flag->letter ? "-" : " ",
              flag->letter ? flag->letter : ' ', flag->letter ? ", " : "  ", flag->name,
              flag->value ? " " : "", flag->value ? flag->value : "");
    fprintf (out, "  %-*s", FLAG_COLUMN, left);
    if (strlen (left) >= FLAG_COLUMN)
        fprintf (out, "\n%*s", FLAG_COLUMN + 2, "");
    for (const char *line = flag->help; line;) {
        const size_t size = strcspn (line, "\n");
        fprintf (out, "%.*s\n", (int) size, line);
        line = line [size] ? line + size + 1 : NULL;
        if (line)
            fprintf (out, "%*s", FLAG_COLUMN + 2, "");
    }
}

static void print_flags (FILE *out, const char *title, const flag_t *flags)
{
    if (!flags)
        return;
    fprintf (out, "\n%s:\n", title);
    for (; flags->name; flags++)
        print_flag (out, flags);
}

void options_help (FILE *out, const command_t *const *commands)
{
    fprintf (out, "weft - call and look after the services of a mesh\n"
                  "\nusage: weft [flags] COMMAND [flags] [arguments]\n"
                  "\ncommands:\n");
    for (; *commands; commands++)
        fprintf (out, "  %-12s%s\n", (*commands)->name, (*commands)->summary);
    print_flags (out, "flags, before or after the command", options_global_flags);
    fprintf (out, "\nexit codes:\n");
    for (const exit_meaning_t *exit = exit_meanings; exit->meaning; exit++)
        fprintf (out, "  %d  %s\n", exit->code, exit->meaning);
    fprintf (out,
             "\nData goes to standard output, everything else to standard error. With -o json an error is\n"
             "one JSON object on a line of standard error.\n"
             "'weft COMMAND --help' says more, with examples.\n");
}

void options_command_help (FILE *out, const command_t *command)
{
    fprintf (out, "weft %s - %s\n\nusage: weft %s %s%s[flags]\n", command->name, command->summary,
             command->name, command->arguments, *command->arguments ? " " : "");
    if (command->details)
        fprintf (out, "\n%s", command->details);
    print_flags (out, "flags", command->flags);
    print_flags (out, "flags of every command", options_global_flags);
    fprintf (out, "\nexamples:\n%s", command->examples);
}
