/* SPDX-License-Identifier: MPL-2.0
 *
 *  ls.c - weft ls and weft workers: who is there, and one worker's definition. */

#include "catalog.h"
#include "commands.h"
#include "describe.h"
#include "words.h"
#include <string.h>

/* ---- rows ---- */

static void add_count (grid_t *grid, uint64_t count)
{
    grid_add (grid, "%llu", (unsigned long long) count);
}

static void add_text (grid_t *grid, const char *text)
{
    grid_add (grid, "%s", *text ? text : "-");
}

static void add_joined (grid_t *grid, const char *const *texts, size_t count)
{
    char joined [512] = "";
    for (size_t i = 0; i < count; i++) {
        const size_t size = strlen (joined);
        snprintf (joined + size, sizeof joined - size, "%s%s", i ? "," : "", texts [i]);
    }
    add_text (grid, joined);
}

static void print_services (cli_t *cli, const list_reply *list)
{
    static const grid_column_t columns [] = {{"SERVICE", false}, {"VERSION", false}, {"WORKERS", true},
                                             {"CAPACITY", true}, {"IN FLIGHT", true}, {"QUEUED", true},
                                             {NULL, false}};
    if (cli->json) {
        cli_print_rows (cli, "services", WEFT_IN (service_row, list->services), list->service_count);
        return;
    }
    grid_t grid;
    grid_init (&grid, columns);
    for (size_t i = 0; i < list->service_count; i++) {
        const service_row *const row = &list->services [i];
        add_text (&grid, row->name);
        add_text (&grid, row->version);
        add_count (&grid, row->workers);
        add_count (&grid, row->capacity);
        add_count (&grid, row->in_flight);
        add_count (&grid, row->queued);
    }
    cli_print_grid (cli, &grid);
    grid_fini (&grid);
    if (list->service_count == 0)
        cli_note (cli, "no service is registered");
}

static void print_workers (cli_t *cli, const list_reply *list)
{
    static const grid_column_t columns [] = {{"WORKER", false}, {"STATE", false}, {"IN FLIGHT", true},
                                             {"CAPACITY", true}, {"HOST", false}, {"PID", true},
                                             {"SERVICES", false}, {"ENDPOINTS", false}, {NULL, false}};
    if (cli->json) {
        cli_print_rows (cli, "workers", WEFT_IN (worker_row, list->workers), list->worker_count);
        return;
    }
    grid_t grid;
    grid_init (&grid, columns);
    for (size_t i = 0; i < list->worker_count; i++) {
        const worker_row *const row = &list->workers [i];
        add_text (&grid, row->uuid);
        add_text (&grid, row->state);
        add_count (&grid, row->in_flight);
        add_count (&grid, row->capacity);
        add_text (&grid, row->host);
        add_count (&grid, row->pid);
        add_joined (&grid, row->services, row->service_count);
        add_joined (&grid, row->endpoints, row->endpoint_count);
    }
    cli_print_grid (cli, &grid);
    grid_fini (&grid);
    if (list->worker_count == 0)
        cli_note (cli, "no worker is live");
}

/* ---- ls ---- */

static int list_workers (cli_t *cli, const char *service)
{
    list_t list;
    const int code = catalog_list (cli, service, &list);
    if (code == EXITS_OK)
        print_workers (cli, &list.is);
    list_free (&list);
    return code;
}

static int list_services (cli_t *cli)
{
    list_t list;
    const int code = catalog_list (cli, NULL, &list);
    if (code == EXITS_OK)
        print_services (cli, &list.is);
    list_free (&list);
    return code;
}

static int run_ls (cli_t *cli)
{
    const char *const service = cli->options.args [0];
    const int code = cli_connect (cli, false);
    if (code != EXITS_OK)
        return code;
    return service ? list_workers (cli, service) : list_services (cli);
}

const command_t command_ls = {
    .name = "ls",
    .arguments = "[SERVICE]",
    .summary = "list the services, or one service's workers",
    .details =
        "IN FLIGHT counts the calls that workers hold, QUEUED those that wait at the broker. With -o json\n"
        "the rows are in \"services\" or \"workers\".\n",
    .examples = "  weft ls\n"
                "  weft ls Arith\n"
                "  weft ls -o json | jq -r '.services[].name'\n",
    .args_max = 1,
    .names = NAMES_SERVICE,
    .run = run_ls};

/* ---- workers ---- */

/*  Labels and values. */
static void print_worker (const worker_row *row)
{
    static const grid_column_t columns [] = {{"", false}, {"", false}, {NULL, false}};
    char age [WORDS_SHORT_MAX];
    grid_t grid;
    grid_init (&grid, columns);
    grid_add (&grid, "worker");
    add_text (&grid, row->uuid);
    grid_add (&grid, "name");
    add_text (&grid, row->name);
    grid_add (&grid, "state");
    add_text (&grid, row->state);
    grid_add (&grid, "services");
    add_joined (&grid, row->services, row->service_count);
    for (size_t i = 0; i < row->endpoint_count; i++) {
        grid_add (&grid, "%s", i ? "" : "endpoints");
        add_text (&grid, row->endpoints [i]);
    }
    grid_add (&grid, "cores");
    add_count (&grid, row->cores);
    grid_add (&grid, "in flight");
    grid_add (&grid, "%llu of %llu", (unsigned long long) row->in_flight, (unsigned long long) row->capacity);
    grid_add (&grid, "host");
    add_text (&grid, row->host);
    grid_add (&grid, "pid");
    add_count (&grid, row->pid);
    grid_add (&grid, "incarnation");
    add_count (&grid, row->incarnation);
    grid_add (&grid, "age");
    grid_add (&grid, "%s", words_duration (age, (int64_t) row->age_ms * 1000));
    grid_print (&grid, GRID_UNTITLED, stdout);
    grid_fini (&grid);
}

static int show_worker (cli_t *cli, const char *uuid)
{
    definitions_t definitions;
    const int code = catalog_describe (cli, "worker", uuid, &definitions);
    if (code == EXITS_OK && cli->json) {
        cli_print_value (cli, WEFT_IN (describe_reply, &definitions.is));
    } else if (code == EXITS_OK) {
        for (size_t i = 0; i < definitions.is.worker_count; i++)
            print_worker (&definitions.is.workers [i]);
        printf ("\n");
        describe_print (cli, &definitions.is);
    }
    definitions_free (&definitions);
    return code;
}

static int drain_worker (cli_t *cli, const char *uuid)
{
    const drain_args args = {uuid};
    const weft_call_options_t options = {.timeout_ms = cli_timeout_ms (cli), .via = WEFT_VIA_BROKER};
    weft_call_t *call = NULL;
    int code = EXITS_OK;
    const weft_status_t status = weft_client_call (cli->client, "weft.Registry.Drain",
                                                   WEFT_IN (drain_args, &args), &options, &call);
    if (status != WEFT_OK)
        code = cli_fail_call (cli, "weft.Registry.Drain", call);
    else
        cli_note (cli, "worker %s finishes what it has and goes", uuid);
    weft_call_destroy (&call);
    return code;
}

static int run_workers (cli_t *cli)
{
    const char *const what = cli->options.args [0], *const name = cli->options.args [1];
    const bool info = what && strcmp (what, "info") == 0, drain = what && strcmp (what, "drain") == 0;
    if (what && !info && !drain && strcmp (what, "ls") != 0)
        return cli_fail (cli, EXITS_USAGE, "workers: \"%s\" is none of ls, info, drain", what);
    if ((info || drain) && !name)
        return cli_fail (cli, EXITS_USAGE, "workers %s needs UUID; 'weft workers' lists them", what);

    char uuid [UUID_SIZE + 1];
    int code = cli_connect (cli, false);
    if (code != EXITS_OK)
        return code;
    if (!info && !drain)
        return list_workers (cli, name);
    code = catalog_worker (cli, name, uuid);
    if (code != EXITS_OK)
        return code;
    return info ? show_worker (cli, uuid) : drain_worker (cli, uuid);
}

static const char *const subcommands [] = {"ls", "info", "drain", NULL};

const command_t command_workers = {
    .name = "workers",
    .arguments = "[ls [SERVICE] | info UUID | drain UUID]",
    .summary = "list workers, show one's definition, or drain one",
    .details = "ls      all workers, or one service's (what no argument means)\n"
               "info    one worker: where it is, its load, its services and their methods\n"
               "drain   tells a worker to finish what it has and go; no call fails\n\n"
               "The beginning of a UUID is enough, 4 letters or more, if no other worker's begins so.\n",
    .examples = "  weft workers\n"
                "  weft workers info 3f2a\n"
                "  weft workers drain 3f2a9c1e-6b1d-4d55-9e5c-0c8a4e1f7b11\n",
    .args_max = 2,
    .names = NAMES_SUBCOMMAND,
    .subcommands = subcommands,
    .run = run_workers};
