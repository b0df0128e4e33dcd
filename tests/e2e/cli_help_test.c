/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_help_test.c - what the program weft says of itself: completion, help, and the pages of the manual. */

#include "command_line.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- completion ---- */

TEST (completion_offers_commands_flags_choices_and_live_names)
{
    mesh_t *mesh = new_mesh (NULL);
    CHECK_INT (setenv ("WEFT_BROKER", mesh_endpoint (mesh), 1), 0);
    CHECK (has (mesh_run (mesh, NULL, "weft", "__complete", "de", NULL).out, "describe\t"));
    CHECK (
        has (mesh_run (mesh, NULL, "weft", "__complete", "call", "X.Y", "--bal", NULL).out, "--balance\t"));
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "--via", "d", NULL), "direct\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "--via=d", NULL), "--via=direct\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "--via", "=", "d", NULL), "direct\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "call", "Arith.", NULL),
                  "Arith.Add\nArith.Divide\nArith.Multiply\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "ls", "Ar", NULL), "Arith\tservice\n");
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "workers", "in", NULL), "info\n");
    CHECK_INT (count_lines (mesh_run (mesh, NULL, "weft", "__complete", "workers", "info", "", NULL).out), 1);
    unsetenv ("WEFT_BROKER");
    mesh_destroy (&mesh);
}

TEST (completion_is_quick_and_silent_without_a_broker)
{
    mesh_t *mesh = mesh_new ();
    char endpoint [64];
    const int fd = take_port (true, endpoint);
    const int64_t start_ms = now_ms ();
    check_prints (mesh_run (mesh, NULL, "weft", "__complete", "-b", endpoint, "call", "A", NULL), "");
    CHECK (now_ms () - start_ms < patient_ms (2000));
    close (fd);
    mesh_destroy (&mesh);
}

TEST (completion_works_in_bash)
{
    mesh_t *mesh = new_mesh (NULL);
    check_prints (shell (mesh, "bash",
                         ". <($WEFT completion bash); COMP_WORDS=($WEFT call Arith.M); COMP_CWORD=2; _weft; "
                         "echo \"${COMPREPLY[@]}\""),
                  "Arith.Multiply\n");
    mesh_destroy (&mesh);
}

/* ---- help ---- */

TEST (help_goes_to_standard_output_and_names_every_command)
{
    mesh_t *mesh = mesh_new ();
    static const char *const commands [] = {"call",  "ls",    "workers", "describe",   "ping",
                                            "watch", "bench", "doctor",  "completion", "help"};
    const result_t all = mesh_run (mesh, NULL, "weft", "--help", NULL);
    CHECK_INT (all.code, 0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const result_t one = mesh_run (mesh, NULL, "weft", commands [i], "--help", NULL);
        CHECK (has (all.out, commands [i]));
        CHECK (has (one.out, "\nexamples:\n  "));
        CHECK_INT (one.code, 0);
        CHECK_STR (one.err, "");
    }
    CHECK (strncmp (mesh_run (mesh, NULL, "weft", "--version", NULL).out, "weft " WEFT_VERSION, 9) == 0);
    check_fails (mesh_run (mesh, NULL, "weft", NULL), 2, "no command");
    mesh_destroy (&mesh);
}

/*  The man page of `program` as text, its hyphens plain. */
static char *man_page (const char *program)
{
    char path [512];
    snprintf (path, sizeof path, "%s/deploy/man/%s.1", getenv ("WEFT_SOURCE_DIR"), program);
    FILE *const file = fopen (path, "r");
    char *const text = calloc (1, 65536);
    CHECK (file && text && fread (text, 1, 65535, file) > 0 && fclose (file) == 0);
    char *to = text;
    for (const char *at = text; *at; at++)
        if (*at != '\\')
            *to++ = *at;
    *to = '\0';
    return text;
}

/*  Every "--flag" of a help text is in the page. */
static void check_flags_documented (const char *help, const char *page)
{
    CHECK (strstr (help, "--") != NULL);
    for (const char *at = help; (at = strstr (at, "--"));) {
        char flag [64];
        const size_t size = 2 + strspn (at + 2, "abcdefghijklmnopqrstuvwxyz-");
        snprintf (flag, sizeof flag, "%.*s", (int) size, at);
        if (size > 2)
            CHECK (has (page, flag));
        at += size;
    }
}

TEST (man_pages_name_every_command_and_flag)
{
    mesh_t *mesh = mesh_new ();
    static const char *const programs [] = {"weft", "weft-broker", "weft-worker"};
    static const char *const commands [] = {"call",  "ls",    "workers", "describe",  "ping",
                                            "watch", "bench", "doctor",  "completion"};
    for (size_t i = 0; i < 3; i++) {
        char *const page = man_page (programs [i]);
        check_flags_documented (mesh_run (mesh, NULL, programs [i], "--help", NULL).out, page);
        free (page);
    }
    char *const page = man_page ("weft");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char heading [64];
        snprintf (heading, sizeof heading, "\n.SS %s", commands [i]);
        CHECK (has (page, heading));
        check_flags_documented (mesh_run (mesh, NULL, "weft", commands [i], "--help", NULL).out, page);
    }
    free (page);
    mesh_destroy (&mesh);
}
