/* SPDX-License-Identifier: MPL-2.0 */

#include "calling.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

weft_client_t *client_of (const mesh_t *mesh)
{
    weft_client_t *client = weft_client_new (mesh_endpoint (mesh), NULL);
    if (!client)
        check_failed (__FILE__, __LINE__, weft_client_error ());
    return client;
}

static void print_outcome (const weft_call_t *call)
{
    fprintf (stderr, "%s: %s, executed %s, by %s, %d attempts, %s: %s\n", weft_call_method (call),
             weft_status_str (weft_call_status (call)), weft_executed_str (weft_call_executed (call)),
             weft_origin_str (weft_call_origin (call)), weft_call_attempts (call),
             weft_call_direct (call) ? "direct" : "routed", weft_call_text (call));
}

void check_outcome (weft_call_t *call, weft_status_t status, weft_executed_t executed)
{
    CHECK (call);
    CHECK (weft_call_wait (call, -1));
    if (weft_call_status (call) != status || weft_call_executed (call) != executed)
        print_outcome (call);
    CHECK_STR (weft_status_str (weft_call_status (call)), weft_status_str (status));
    CHECK_STR (weft_executed_str (weft_call_executed (call)), weft_executed_str (executed));
}

void check_add_call (weft_client_t *client, weft_via_t via, int64_t a, int64_t b)
{
    const weft_call_options_t options = {.via = via};
    const pair_args args = {a, b};
    int64_t sum = 0;
    weft_call_t *call = NULL;
    weft_client_call (client, "Arith.Add", WEFT_IN (pair_args, &args), &options, &call);
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &sum)), WEFT_OK);
    CHECK_INT (sum, a + b);
    if (via != WEFT_VIA_DEFAULT && via != WEFT_VIA_AUTO)
        CHECK_INT (weft_call_direct (call), via == WEFT_VIA_DIRECT);
    weft_call_destroy (&call);
}

weft_call_t *start_slow (weft_client_t *client, const char *method, int64_t ms, const weft_call_options_t *options)
{
    const slow_args args = {ms};
    return weft_client_start (client, method, WEFT_IN (slow_args, &args), options, NULL, NULL);
}

void know_the_way (weft_client_t *client, const char *method, weft_via_t via)
{
    weft_call_t *call = start_slow (client, method, 0, &(weft_call_options_t){.via = via, .timeout_ms = PATIENCE_MS});
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
}

weft_call_t *start_count (weft_client_t *client, const char *method, const char *tag, int64_t ms,
                          const weft_call_options_t *options)
{
    const count_args args = {tag, ms};
    return weft_client_start (client, method, WEFT_IN (count_args, &args), options, NULL, NULL);
}

call_log_t call_log (const mesh_t *mesh)
{
    call_log_t self;
    snprintf (self.path, sizeof self.path, "%s/executions", mesh_folder (mesh));
    snprintf (self.gate, sizeof self.gate, "%s.open", self.path);
    CHECK (setenv ("WEFT_TEST_LOG", self.path, 1) == 0);
    return self;
}

void call_log_clear (const call_log_t *self)
{
    unlink (self->path);
    unlink (self->gate);
}

typedef struct {
    const char *path;
    int calls;
} begun_t;

static bool have_begun (void *arg)
{
    const begun_t *wanted = arg;
    int lines = 0;
    FILE *file = fopen (wanted->path, "r");
    for (int c; file && (c = fgetc (file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose (file);
    return lines >= wanted->calls;
}

void call_log_await (const call_log_t *self, int calls)
{
    await ("the handlers", have_begun, &(begun_t){self->path, calls});
}

void call_log_let_go (const call_log_t *self)
{
    FILE *file = fopen (self->gate, "w");
    CHECK (file && fclose (file) == 0);
}

weft_call_t *list_workers (weft_client_t *client, const char *service, list_reply *list)
{
    const list_args args = {.service = service, .has_service = service [0] != '\0'};
    weft_call_t *call = NULL;
    *list = (list_reply){0};
    weft_status_t status = weft_client_call (client, "weft.Registry.List", WEFT_IN (list_args, &args), NULL, &call);
    if (status == WEFT_NO_SERVICE)
        return call;
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    status = weft_call_read (call, WEFT_OUT (list_reply, list));
    if (status != WEFT_OK)
        print_outcome (call);
    CHECK_INT (status, WEFT_OK);
    return call;
}

size_t workers_of (weft_client_t *client, const char *service)
{
    list_reply list;
    weft_call_t *call = list_workers (client, service, &list);
    const size_t count = list.worker_count;
    weft_call_destroy (&call);
    return count;
}

typedef struct {
    weft_client_t *client;
    const char *service;
    size_t count;
} wanted_t;

static bool as_many (void *arg)
{
    const wanted_t *wanted = arg;
    return workers_of (wanted->client, wanted->service) == wanted->count;
}

void await_workers (weft_client_t *client, const char *service, size_t count)
{
    await ("the number of workers", as_many, &(wanted_t){client, service, count});
}
