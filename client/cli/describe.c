/* SPDX-License-Identifier: MPL-2.0
 *
 *  describe.c - weft describe: what can be called, how, and how often it was.
 *
 *  Definitions come from the registry; counts are asked of every worker and summed. */

#include "describe.h"
#include "commands.h"
#include "types.h"
#include "words.h"
#include <stdlib.h>
#include <string.h>

/*  A method as it is shown. */
typedef struct {
    const char *name, *arguments, *reply; /* types as text */
    bool idempotent, runs_inline, stream;
    uint64_t calls, errors;
} shown_method;
WEFT_SCHEMA (shown_method, WEFT_FIELD (name, weft_string), WEFT_FIELD (arguments, weft_string),
             WEFT_FIELD (reply, weft_string), WEFT_FIELD (idempotent, weft_bool),
             WEFT_FIELD_AS ("inline", runs_inline, weft_bool), WEFT_FIELD (stream, weft_bool),
             WEFT_FIELD (calls, weft_uint64), WEFT_FIELD (errors, weft_uint64))

typedef struct {
    const char *name, *version;
    uint64_t workers;
    shown_method *methods;
    size_t method_count;
} shown_service;
WEFT_SCHEMA (shown_service, WEFT_FIELD (name, weft_string), WEFT_FIELD (version, weft_string),
             WEFT_FIELD (workers, weft_uint64), WEFT_ARRAY (methods, shown_method, method_count))

typedef struct {
    shown_service *services;
    size_t count;
} shown;
WEFT_SCHEMA (shown, WEFT_ARRAY (services, shown_service, count))

/* ---- from definitions to what is shown ---- */

/*  A type as text of its own; freed with the service. */
static const char *type_text (weft_any type)
{
    buffer_t text;
    buffer_init (&text, WEFT_SCHEMA_MAX);
    if (type.size)
        types_print (&text, type.data, type.size);
    else
        buffer_append (&text, "any", 3);
    buffer_append (&text, "", 1);
    if (!text.failed)
        return (const char *) text.data;
    buffer_fini (&text);
    return NULL;
}

static bool show_service (const definition_row *row, const describe_reply *reply, shown_service *out)
{
    *out = (shown_service){.name = row->name, .version = row->version};
    for (size_t i = 0; i < reply->worker_count; i++)
        out->workers += catalog_serves (&reply->workers [i], row->name);
    out->methods = calloc (row->method_count + 1, sizeof *out->methods);
    if (!out->methods)
        return false;
    bool complete = true;
    for (size_t i = 0; i < row->method_count; i++) {
        const method_row *const method = &row->methods [i];
        shown_method *const line = &out->methods [out->method_count++];
        *line = (shown_method){.name = method->name,
                               .arguments = type_text (method->arguments),
                               .reply = type_text (method->reply),
                               .idempotent = method->idempotent,
                               .runs_inline = method->runs_inline,
                               .stream = method->stream};
        complete = complete && line->arguments && line->reply;
    }
    return complete;
}

static void shown_free (shown *self)
{
    for (size_t i = 0; i < self->count; i++) {
        for (size_t j = 0; j < self->services [i].method_count; j++) {
            free ((void *) (uintptr_t) self->services [i].methods [j].arguments);
            free ((void *) (uintptr_t) self->services [i].methods [j].reply);
        }
        free (self->services [i].methods);
    }
    free (self->services);
}

static bool show (const describe_reply *reply, shown *self)
{
    *self = (shown){.services = calloc (reply->service_count + 1, sizeof *self->services)};
    bool complete = self->services != NULL;
    while (complete && self->count < reply->service_count) {
        complete = show_service (&reply->services [self->count], reply, &self->services [self->count]);
        self->count++;
    }
    return complete;
}

/* ---- counts ---- */

static void add_counts (shown *self, const method_stats_row *stats)
{
    for (size_t i = 0; i < self->count; i++) {
        const shown_service *const service = &self->services [i];
        const size_t size = strlen (service->name);
        if (strncmp (stats->name, service->name, size) != 0 || stats->name [size] != '.')
            continue;
        for (size_t j = 0; j < service->method_count; j++)
            if (strcmp (service->methods [j].name, stats->name + size + 1) == 0) {
                service->methods [j].calls += stats->calls;
                service->methods [j].errors += stats->errors;
            }
    }
}

static bool take_stats (shown *self, weft_call_t *call)
{
    stats_reply stats = {.method_count = 0};
    weft_call_wait (call, -1);
    if (weft_call_read (call, WEFT_OUT (stats_reply, &stats)) != WEFT_OK)
        return false;
    for (size_t i = 0; i < stats.method_count; i++)
        add_counts (self, &stats.methods [i]);
    return true;
}

/*  Asks all workers at once; what a silent one counted is missing, and that is said. */
static void count_calls (cli_t *cli, const describe_reply *reply, shown *self)
{
    weft_call_t **const calls = calloc (reply->worker_count + 1, sizeof *calls);
    size_t silent = 0;
    for (size_t i = 0; calls && i < reply->worker_count; i++) {
        const weft_call_options_t options = {.timeout_ms = cli_timeout_ms (cli),
                                             .via = WEFT_VIA_BROKER,
                                             .worker = reply->workers [i].uuid};
        calls [i] = weft_client_start (cli->client, "weft.Worker.Stats", WEFT_NOTHING, &options, NULL, NULL);
    }
    for (size_t i = 0; calls && i < reply->worker_count; i++) {
        cli_progress (cli, "asking workers: %zu of %zu", i, reply->worker_count);
        silent += !(calls [i] && take_stats (self, calls [i]));
        weft_call_destroy (&calls [i]);
    }
    cli_progress (cli, "%s", "");
    free (calls);
    if (silent)
        cli_note (cli, "%zu of %zu workers did not say their counts", silent, reply->worker_count);
}

/* ---- printing ---- */

static const char *flag_names (const shown_method *method)
{
    static const char *const names [] = {
        "-",      "idempotent",        "inline",        "idempotent,inline",
        "stream", "idempotent,stream", "inline,stream", "idempotent,inline,stream"};
    return names [method->idempotent + 2 * method->runs_inline + 4 * method->stream];
}

static void print_service (cli_t *cli, const shown_service *service)
{
    static const grid_column_t columns [] = {{"  METHOD", false}, {"CALLS", true}, {"ERRORS", true},
                                             {"FLAGS", false}, {"TAKES -> GIVES", false}, {NULL, false}};
    char head [WEFT_METHOD_NAME_MAX + 64], calls [WORDS_SHORT_MAX], errors [WORDS_SHORT_MAX];
    snprintf (head, sizeof head, "%s%s%s, %llu worker%s", service->name, *service->version ? " version " : "",
              service->version, (unsigned long long) service->workers, service->workers == 1 ? "" : "s");
    words_defuse (head);
    printf ("%s%s%s\n", cli->colour ? "\033[1m" : "", head, cli->colour ? "\033[0m" : "");

    grid_t grid;
    grid_init (&grid, columns);
    for (size_t i = 0; i < service->method_count; i++) {
        const shown_method *const method = &service->methods [i];
        grid_add (&grid, "  %s", method->name);
        grid_add (&grid, "%s", words_count (calls, method->calls));
        grid_add (&grid, "%s", words_count (errors, method->errors));
        grid_add (&grid, "%s", flag_names (method));
        grid_add (&grid, "%s -> %s", method->arguments, method->reply);
    }
    cli_print_grid (cli, &grid);
    grid_fini (&grid);
}

void describe_print (cli_t *cli, const describe_reply *definitions)
{
    shown all;
    if (show (definitions, &all)) {
        count_calls (cli, definitions, &all);
        if (cli->json)
            cli_print_value (cli, WEFT_IN (shown, &all));
        for (size_t i = 0; !cli->json && i < all.count; i++) {
            fputs (i ? "\n" : "", stdout);
            print_service (cli, &all.services [i]);
        }
    } else {
        cli_note (cli, "out of memory");
    }
    shown_free (&all);
}

static int run (cli_t *cli)
{
    const char *name = cli->options.args [0];
    char uuid [UUID_SIZE + 1];
    definitions_t definitions;
    list_t list = {.calls = NULL};
    int code = cli_connect (cli, false);
    if (code == EXITS_OK && name)
        code = catalog_list (cli, NULL, &list);
    if (code == EXITS_OK && name && !catalog_find_service (&list.is, name)) {
        const worker_row *const worker = catalog_find_worker (&list.is, name);
        if (worker) {
            snprintf (uuid, sizeof uuid, "%s", worker->uuid);
            name = uuid;
        }
    }
    list_free (&list);
    if (code == EXITS_OK)
        code = catalog_describe (cli, "service or worker", name, &definitions);
    if (code != EXITS_OK)
        return code;
    if (definitions.is.service_count == 0)
        cli_note (cli, "no service is registered");
    describe_print (cli, &definitions.is);
    definitions_free (&definitions);
    return EXITS_OK;
}

const command_t command_describe = {
    .name = "describe",
    .arguments = "[SERVICE|UUID]",
    .summary = "show methods, their types, flags and call counts",
    .details =
        "Services and methods are sorted by name. In a type, a \"?\" marks what may be left out. Counts are\n"
        "summed over the live workers, each since its own start.\n"
        "Flags: idempotent (may be retried), inline (runs at once where it was read), stream.\n",
    .examples = "  weft describe\n"
                "  weft describe Arith\n"
                "  weft describe 3f2a -o json\n",
    .args_max = 1,
    .names = NAMES_SERVICE_OR_WORKER,
    .run = run};
