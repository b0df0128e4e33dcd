/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "cli/options.h"
#include <stdlib.h>

/*  A small program's commands. */

static const flag_t call_flags [] = {FLAG_ONE_OF (0, "via", "WAY", options_via, via, "the way"),
                                     FLAG (0, "meta", "KEY=VALUE", FLAG_TEXTS, meta, "metadata"),
                                     FLAG ('c', "count", "N", FLAG_NUMBER, count, "how many"),
                                     FLAG ('d', "duration", "TIME", FLAG_SECONDS, duration_us, "how long"),
                                     FLAG_UP_TO ('r', "rate", "N", 5000, rate, "how many a second"),
                                     FLAG (0, "warmup", "TIME", FLAG_SECONDS_OR_NONE, warmup_us, "before"),
                                     FLAG_END};
static const command_t call = {.name = "call",
                               .arguments = "SERVICE.METHOD [JSON]",
                               .summary = "call it",
                               .examples = "  weft call A.B\n",
                               .flags = call_flags,
                               .args_min = 1,
                               .args_max = 2,
                               .csv = true};
static const command_t list = {
    .name = "list", .arguments = "[SERVICE]", .summary = "list it", .examples = "", .args_max = 1};
static const command_t *const table [] = {&call, &list, NULL};

static options_t options;
static char error [OPTIONS_ERROR_MAX];

/*  Parses "weft" and the words of one line. */
static bool parse (const char *line)
{
    static char words [1024];
    static char *argv [128];
    static char program [] = "weft";
    int argc = 0;
    snprintf (words, sizeof words, "%s", line);
    argv [argc++] = program;
    for (char *word = strtok (words, " "); word; word = strtok (NULL, " "))
        argv [argc++] = word;
    argv [argc] = NULL;
    return options_parse (&options, table, argc, argv, error);
}

TEST (global_flags_stand_before_or_after_the_command)
{
    CHECK (parse ("-b tcp://a:1 call A.B -o json -q"));
    CHECK (options.command == &call);
    CHECK_STR (options.broker, "tcp://a:1");
    CHECK_INT (options.output, OUTPUT_JSON);
    CHECK (options.quiet);
    CHECK_INT (options.arg_count, 1);
    CHECK_STR (options.args [0], "A.B");

    CHECK (parse ("call --broker=tcp://a:1 -qojson A.B {}"));
    CHECK_STR (options.broker, "tcp://a:1");
    CHECK_INT (options.output, OUTPUT_JSON);
    CHECK (options.quiet);
    CHECK_STR (options.args [1], "{}");
}

TEST (values_may_be_joined_or_apart)
{
    CHECK (parse ("call A.B -t500"));
    CHECK_INT (options.timeout_us, 500000);
    CHECK (parse ("call A.B -t 2s"));
    CHECK_INT (options.timeout_us, 2000000);
    CHECK (parse ("call A.B --timeout=250ms --duration 3 --count 7"));
    CHECK_INT (options.timeout_us, 250000);
    CHECK_INT (options.duration_us, 3000000);
    CHECK_INT (options.count, 7);
}

TEST (a_time_that_may_be_none_is_told_from_one_not_given)
{
    CHECK (parse ("call A.B"));
    CHECK_INT (options.warmup_us, 0);
    CHECK (parse ("call A.B --warmup 0"));
    CHECK_INT (options.warmup_us, OPTIONS_NONE);
    CHECK (parse ("call A.B --warmup 0ms"));
    CHECK_INT (options.warmup_us, OPTIONS_NONE);
    CHECK (parse ("call A.B --warmup 1.5"));
    CHECK_INT (options.warmup_us, 1500000);
}

TEST (csv_is_for_commands_that_know_it)
{
    CHECK (parse ("-o csv call A.B"));
    CHECK_INT (options.output, OUTPUT_CSV);
    CHECK (!parse ("-o csv list"));
    CHECK_STR (error, "--output: list knows text and json, but no csv");
}

TEST (choices_take_the_public_enums_values)
{
    CHECK (parse ("call A.B --via auto"));
    CHECK_INT (options.via, 1);
    CHECK (parse ("call A.B --via broker"));
    CHECK_INT (options.via, 3);
}

TEST (a_flag_may_be_given_several_times)
{
    CHECK (parse ("call A.B --meta a=1 --meta b=2"));
    CHECK_INT (options.meta.count, 2);
    CHECK_STR (options.meta.values [1], "b=2");
    CHECK (options.meta.values [2] == NULL);
}

TEST (two_dashes_end_flags)
{
    CHECK (parse ("call -- A.B --via"));
    CHECK_STR (options.args [1], "--via");
}

TEST (a_dash_and_a_negative_number_are_arguments)
{
    CHECK (parse ("call A.B -"));
    CHECK_STR (options.args [1], "-");
    CHECK (parse ("call A.B -5"));
    CHECK_STR (options.args [1], "-5");
}

static void check_wrong (const char *line, const char *expected)
{
    CHECK (!parse (line));
    CHECK_STR (error, expected);
}

TEST (a_mistake_is_named_and_the_nearest_known_suggested)
{
    check_wrong ("call A.B --tiemout 5", "call: unknown flag --tiemout; did you mean --timeout?");
    check_wrong ("call A.B --frobnicate", "call: unknown flag --frobnicate");
    check_wrong ("call A.B -z", "call: unknown flag -z");
    check_wrong ("-x", "unknown flag -x");
    check_wrong ("cal A.B", "unknown command \"cal\"; did you mean call?");
    check_wrong ("frobnicate", "unknown command \"frobnicate\"; 'weft --help' lists them");
    check_wrong ("", "no command; 'weft --help' lists them");
    check_wrong ("call", "call needs SERVICE.METHOD; usage: weft call SERVICE.METHOD [JSON]");
    check_wrong ("list a b", "list: \"b\" is one argument too many; usage: weft list [SERVICE]");
    check_wrong ("call A.B --via drect",
                 "--via: \"drect\" is none of auto, direct, broker; did you mean direct?");
    check_wrong ("call A.B -t soon", "--timeout: \"soon\" is no time; write it like 500ms or 2s");
    check_wrong ("call A.B -t 0", "--timeout: \"0\" is out of range; from 1ms to 24h");
    check_wrong ("call A.B -t 25h", "--timeout: \"25h\" is out of range; from 1ms to 24h");
    check_wrong ("call A.B --count 0", "--count: \"0\" is no number from 1 to 1000000000");
    check_wrong ("call A.B --rate 0", "--rate: \"0\" is no number from 1 to 5000");
    check_wrong ("call A.B --rate 5001", "--rate: \"5001\" is no number from 1 to 5000");
    check_wrong ("call A.B --rate -5", "--rate: \"-5\" is no number from 1 to 5000");
    check_wrong ("call A.B --warmup -1s", "--warmup: \"-1s\" is no time; write it like 500ms or 2s");
    check_wrong ("call A.B --warmup 1us", "--warmup: \"1us\" is out of range; 0 or from 1ms to 24h");
    check_wrong ("call A.B --count 5x", "--count: \"5x\" is no number from 1 to 1000000000");
    check_wrong ("call A.B --broker", "--broker needs a value: ENDPOINTS");
    check_wrong ("call A.B --quiet=yes", "--quiet takes no value");
    check_wrong ("list --via auto", "list: unknown flag --via");
}

TEST (the_first_mistake_is_said_but_output_flags_after_it_count)
{
    CHECK (!parse ("call A.B --bogus --via nowhere -o json"));
    CHECK_STR (error, "call: unknown flag --bogus");
    CHECK_INT (options.output, OUTPUT_JSON);
}

TEST (too_many_of_a_repeated_flag_are_refused)
{
    char line [1024] = "call A.B";
    for (int i = 0; i <= OPTIONS_TEXTS_MAX; i++)
        strcat (line, " --meta a=1");
    check_wrong (line, "--meta: at most 32");
}

TEST (help_needs_no_arguments)
{
    CHECK (parse ("call --help"));
    CHECK (options.help && options.command == &call);
    CHECK (parse ("-h"));
    CHECK (options.help && !options.command);
    CHECK (parse ("--version"));
    CHECK (options.version);
}

static char *help_of (const command_t *command)
{
    char *text = NULL;
    size_t size;
    FILE *const out = open_memstream (&text, &size);
    if (command)
        options_command_help (out, command);
    else
        options_help (out, table);
    fclose (out);
    return text;
}

TEST (help_lists_commands_flags_and_exit_codes)
{
    char *text = help_of (NULL);
    CHECK (strstr (text, "\n  call        call it\n") != NULL);
    CHECK (strstr (text, "\n  -b, --broker ENDPOINTS      the broker") != NULL);
    CHECK (strstr (text, "\n  3  no broker could be reached\n") != NULL);
    CHECK (strstr (text, "\n      --version               the version\n") != NULL);
    free (text);
}

TEST (help_of_a_command_has_usage_flags_and_examples)
{
    char *text = help_of (&call);
    CHECK (strncmp (text, "weft call - call it\n\nusage: weft call SERVICE.METHOD [JSON] [flags]\n", 66) ==
           0);
    CHECK (strstr (text, "      --via WAY               the way\n") != NULL);
    CHECK (strstr (text, "examples:\n  weft call A.B\n") != NULL);
    free (text);
}
