/* SPDX-License-Identifier: MPL-2.0 */

#include "input.h"
#include "json.h"
#include "types.h"
#include "words.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define JSON_MAX (8u * WEFT_BODY_MAX) /* text is longer than what it says */

/*  Reads a stream to its end. */
static int read_all (cli_t *cli, FILE *file, const char *name, buffer_t *text)
{
    char block [65536];
    size_t size;
    errno = 0;
    while ((size = fread (block, 1, sizeof block, file)) > 0)
        buffer_append (text, block, size);
    if (ferror (file))
        return cli_fail (cli, EXITS_USAGE, "cannot read %s: %s", name, strerror (errno));
    if (text->failed)
        return cli_fail (cli, EXITS_USAGE, "%s is too large: more than %u MiB", name, JSON_MAX >> 20);
    return EXITS_OK;
}

static int read_file (cli_t *cli, const char *path, buffer_t *text)
{
    FILE *const file = fopen (path, "rbe");
    if (!file)
        return cli_fail (cli, EXITS_USAGE, "cannot read %s: %s", path, strerror (errno));
    const int code = read_all (cli, file, path, text);
    fclose (file);
    return code;
}

static int read_stdin (cli_t *cli, buffer_t *text)
{
    if (isatty (STDIN_FILENO))
        cli_note (cli, "reading JSON from the terminal; Ctrl-D ends it");
    return read_all (cli, stdin, "standard input", text);
}

static bool is_blank (const buffer_t *text)
{
    for (size_t i = 0; i < text->size; i++)
        if (!strchr (" \t\r\n", text->data [i]) || !text->data [i])
            return false;
    return true;
}

/*  What stands for no JSON: an empty object where a struct is wanted, so that what is missing is named;
 *  else null. */
static void set_default (const types_view_t *type, buffer_t *text)
{
    const char *const json = type->kind == WEFT_KIND_STRUCT && !type->array ? "{}" : "null";
    buffer_clear (text);
    buffer_append (text, json, strlen (json));
}

/*  "; it takes add_args{a: int64, b: int64}", unless that is too long to be of help in one line. */
#define TAKES_MAX 320
static const char *print_takes (const buffer_t *type, char text [TAKES_MAX])
{
    buffer_t signature;
    buffer_init (&signature, TAKES_MAX - 32);
    types_print (&signature, type->data, type->size);
    text [0] = '\0';
    if (type->size && !signature.failed)
        snprintf (text, TAKES_MAX, "; it takes %.*s", (int) signature.size, (const char *) signature.data);
    buffer_fini (&signature);
    return text;
}

static int convert (cli_t *cli, const char *source, const buffer_t *text, const signature_t *signature,
                    buffer_t *body)
{
    const buffer_t *const type = &signature->arguments;
    codec_error_t error;
    if (!json_to_mp ((const char *) text->data, text->size, type->data, type->size, body, &error)) {
        char takes [TAKES_MAX];
        return cli_fail (cli, EXITS_USAGE, "%s: %s%s", source, error.text, print_takes (type, takes));
    }
    if (body->size > WEFT_BODY_MAX || body->failed) {
        char size [WORDS_SHORT_MAX], limit [WORDS_SHORT_MAX];
        return cli_fail (cli, EXITS_USAGE, "%s: a body of %s bytes is over the limit of %s", source,
                         words_count (size, body->size), words_count (limit, WEFT_BODY_MAX));
    }
    return EXITS_OK;
}

int input_body (cli_t *cli, const char *argument, const signature_t *signature, buffer_t *body)
{
    buffer_t text;
    buffer_init (&text, JSON_MAX);
    int code = EXITS_OK;
    const char *source = signature->name;
    if (argument && argument [0] == '@') {
        source = argument + 1;
        code = read_file (cli, source, &text);
    } else if (argument && strcmp (argument, "-") == 0) {
        source = "standard input";
        code = read_stdin (cli, &text);
    } else if (argument) {
        buffer_append (&text, argument, strlen (argument));
    }

    const types_view_t type = types_view (signature->arguments.data, signature->arguments.size);
    const bool braces = text.size == 2 && memcmp (text.data, "{}", 2) == 0;
    if (is_blank (&text) || (braces && type.kind == WEFT_KIND_NONE))
        set_default (&type, &text);
    if (code == EXITS_OK)
        code = convert (cli, source, &text, signature, body);
    buffer_fini (&text);
    return code;
}
