/* SPDX-License-Identifier: MPL-2.0
 *
 *  exec.c - methods served by any command.
 *
 *  The argument goes in as one JSON value and a line end. Exit status 0: stdout is the reply, one JSON value
 *  (or, as text, all of stdout without its last line end). Else the call ends with APP_ERROR, the exit status
 *  as its code and the last line of stderr as its text. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "child.h"
#include "exec.h"
#include "json.h"
#include "utf8.h"
#include "wire.h"

/*  ------------------------------------------------------------------ one call  */

static bool nobody_waits (void *arg)
{
    return weft_request_cancelled (arg);
}

static weft_status_t copy_reply (weft_request_t *request, const buffer_t *bytes, weft_any *reply)
{
    void *copy = weft_request_alloc (request, bytes->size ? bytes->size : 1);

    if (!copy)
        return WEFT_OVERLOADED;
    if (bytes->size)
        memcpy (copy, bytes->data, bytes->size);
    *reply = (weft_any){copy, bytes->size};
    return WEFT_OK;
}

static weft_status_t reply_json (weft_request_t *request, const buffer_t *output, weft_any *reply)
{
    codec_error_t error = {{0}};
    char text [WEFT_TEXT_MAX + 1];
    buffer_t value;
    weft_status_t status;

    buffer_init (&value, SIZE_MAX / 2);
    if (json_to_mp ((const char *) output->data, output->size, NULL, 0, &value, &error))
        status = copy_reply (request, &value, reply);
    else {
        snprintf (text, sizeof text, "the command's output is not JSON: %s", error.text);
        status = weft_request_fail (request, 0, text);
    }
    buffer_fini (&value);
    return status;
}

static weft_status_t reply_text (weft_request_t *request, const buffer_t *output, weft_string *reply)
{
    const char *text = (const char *) output->data;
    size_t size = output->size;

    if (size && text [size - 1] == '\n')
        size--;
    if (size && (memchr (text, '\0', size) || !utf8_valid (text, size)))
        return weft_request_fail (request, 0, "the command's output is not UTF-8 text");
    char *copy = weft_request_alloc (request, size + 1);
    if (!copy)
        return WEFT_OVERLOADED;
    if (size)
        memcpy (copy, text, size);
    *reply = copy;
    return WEFT_OK;
}

static weft_status_t judge (weft_request_t *request, const exec_method_t *method, const child_job_t *job,
                            child_end_t end, int code, void *reply)
{
    char text [WEFT_TEXT_MAX + 1];

    switch (end) {
        case CHILD_FAILED:
            snprintf (text, sizeof text, "cannot run the command: %s", strerror (code));
            return weft_request_fail (request, 127, text);
        case CHILD_STOPPED:
            return WEFT_CANCELLED;
        case CHILD_TOO_LARGE:
            return WEFT_TOO_LARGE;
        case CHILD_SIGNALLED:
            snprintf (text, sizeof text, "the command was killed by signal %d (%s)", code, strsignal (code));
            return weft_request_fail (request, 128 + code, text);
        case CHILD_EXITED:
            break;
    }
    if (code == 0)
        return method->text ? reply_text (request, job->output, reply)
                            : reply_json (request, job->output, reply);
    snprintf (text, sizeof text, "the command exited with status %d", code);
    return weft_request_fail (request, code, *job->last_line ? job->last_line : text);
}

static weft_status_t run (weft_request_t *request, const void *args, void *reply)
{
    const exec_method_t *method = weft_request_user (request);
    const weft_any *in = args;
    char last_line [WEFT_TEXT_MAX + 1] = "";
    codec_error_t error = {{0}};
    buffer_t input, output;
    weft_status_t status;
    int code = 0;

    buffer_init (&input, SIZE_MAX / 2);
    buffer_init (&output, method->reply_max);
    if (in->size && !json_from_mp (in->data, in->size, NULL, 0, false, &input, &error))
        status = weft_request_fail (request, 0, error.text);
    else {
        buffer_append (&input, in->size ? "\n" : "null\n", in->size ? 1 : 5);
        const child_job_t job = {.input = input.data,
                                 .input_size = input.size,
                                 .output = &output,
                                 .last_line = last_line,
                                 .last_line_size = sizeof last_line,
                                 .stop = nobody_waits,
                                 .arg = request};
        const child_end_t end = child_run (method->command, &job, &code);
        status = judge (request, method, &job, end, code, reply);
    }
    buffer_fini (&input);
    buffer_fini (&output);
    return status;
}

/*  ------------------------------------------------------------------ adding  */

static int by_name (const void *a, const void *b)
{
    const exec_method_t *left = a, *right = b;
    return strcmp (left->name, right->name);
}

static bool same_service (const char *a, const char *b)
{
    const char *dot = strrchr (a, '.');
    const size_t size = (size_t) (dot - a) + 1;
    return strncmp (a, b, size) == 0 && !strchr (b + size, '.');
}

/*  Adds `count` methods of one service. */
static bool add_service (weft_worker_t *worker, exec_method_t *methods, size_t count, weft_method_t *table)
{
    char service [WEFT_METHOD_NAME_MAX + 1];
    const char *dot = strrchr (methods [0].name, '.');

    snprintf (service, sizeof service, "%.*s", (int) (dot - methods [0].name), methods [0].name);
    for (size_t i = 0; i < count; i++)
        table [i] = (weft_method_t){.name = strrchr (methods [i].name, '.') + 1,
                                    .handler = run,
                                    .args = weft_any_schema,
                                    .reply = methods [i].text ? weft_string_schema : weft_any_schema,
                                    .flags = methods [i].idempotent ? WEFT_IDEMPOTENT : 0,
                                    .user = &methods [i]};
    table [count] = (weft_method_t) WEFT_METHOD_END;
    return weft_worker_add (worker, service, table, NULL) == WEFT_OK;
}

bool exec_add (weft_worker_t *worker, exec_method_t *methods, size_t count, weft_method_t *tables,
               char *error)
{
    text_t service, name;
    size_t end;

    for (size_t i = 0; i < count; i++)
        if (!wire_split_method (text_of (methods [i].name), &service, &name)) {
            snprintf (error, WEFT_TEXT_MAX + 1, "--method \"%.300s\": expected Service.Method",
                      methods [i].name);
            return false;
        }
    qsort (methods, count, sizeof *methods, by_name);
    for (size_t from = 0; from < count; from = end) {
        for (end = from + 1; end < count && same_service (methods [from].name, methods [end].name);)
            end++;
        if (!add_service (worker, methods + from, end - from, tables)) {
            snprintf (error, WEFT_TEXT_MAX + 1, "%s", weft_worker_error (worker));
            return false;
        }
        tables += end - from + 1;
    }
    return true;
}
