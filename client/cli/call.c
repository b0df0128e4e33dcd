/* SPDX-License-Identifier: MPL-2.0
 *
 *  call.c - weft call: JSON in, one call, JSON out; or a line for each item of a stream. */

#include "commands.h"
#include "input.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 100 /* how soon Ctrl-C is noticed while no item comes */

/*  The outcome as an object: with -o json, one for each worker that was asked. */
static void print_outcome (cli_t *cli, const weft_call_t *call, const signature_t *signature)
{
    const weft_status_t status = weft_call_status (call);
    const weft_ledger_t times = weft_call_ledger (call);
    object_t outcome, ledger;
    object_init (&outcome);
    object_init (&ledger);

    object_int (&ledger, "total_us", times.total_us);
    object_int (&ledger, "earlier_us", times.earlier_us);
    object_int (&ledger, "client_queue_us", times.client_queue_us);
    object_int (&ledger, "broker_queue_us", times.broker_queue_us);
    object_int (&ledger, "worker_queue_us", times.worker_queue_us);
    object_int (&ledger, "handler_us", times.handler_us);

    object_text (&outcome, "status", weft_status_str (status));
    object_text (&outcome, "executed", weft_executed_str (weft_call_executed (call)));
    object_text (&outcome, "origin", weft_origin_str (weft_call_origin (call)));
    object_text (&outcome, "worker", weft_call_worker (call));
    object_text (&outcome, "via", weft_call_direct (call) ? "direct" : "broker");
    object_int (&outcome, "attempts", weft_call_attempts (call));
    object_object (&outcome, "ledger", &ledger);
    if (status == WEFT_APP_ERROR)
        object_int (&outcome, "code", weft_call_code (call));
    if (status != WEFT_OK)
        object_text (&outcome, "error", weft_call_text (call));

    size_t size;
    const void *const body = weft_call_body (call, &size);
    if (status == WEFT_OK && size > 0)
        object_value (&outcome, "reply", signature->reply.data, signature->reply.size, body, size);
    cli_print_object (cli, &outcome);
    object_fini (&outcome);
    object_fini (&ledger);
}

/*  The reply alone; "null" for a method that gives none. False: it is not what the method promised. */
static bool print_reply (cli_t *cli, const weft_call_t *call, const signature_t *signature)
{
    size_t size;
    const void *const body = weft_call_body (call, &size);
    if (size > 0)
        return cli_print_typed (cli, signature->reply.data, signature->reply.size, body, size);
    printf ("null\n");
    return true;
}

static int report_one (cli_t *cli, const weft_call_t *call, const signature_t *signature)
{
    const weft_status_t status = weft_call_status (call);
    if (cli->json)
        print_outcome (cli, call, signature);
    else if (status == WEFT_OK && !signature->stream && !print_reply (cli, call, signature))
        return cli_fail (cli, EXITS_OTHER, "%s: the reply does not fit the type it was registered with",
                         signature->name);
    return status == WEFT_OK ? EXITS_OK : cli_fail_call (cli, signature->name, call);
}

/*  A line for each worker that answered; the first error is the outcome. */
static int report_broadcast (cli_t *cli, weft_call_t *call, const signature_t *signature)
{
    cli->pretty = false;
    for (size_t i = 0; i < weft_call_reply_count (call); i++) {
        const weft_call_t *const reply = weft_call_reply (call, i);
        if (cli->json)
            print_outcome (cli, reply, signature);
        else if (weft_call_status (reply) == WEFT_OK) {
            printf ("%s ", weft_call_worker (reply));
            print_reply (cli, reply, signature);
        }
    }
    return weft_call_status (call) == WEFT_OK ? EXITS_OK : cli_fail_call (cli, signature->name, call);
}

static int make_call (cli_t *cli, const signature_t *signature, const buffer_t *body)
{
    weft_call_options_t options;
    char worker [UUID_SIZE + 1];
    const int failed = commands_call_options (cli, &options, worker);
    if (failed)
        return failed;
    weft_call_t *call = weft_client_start_body (cli->client, signature->name, body->data, body->size,
                                                "msgpack", &options, NULL, NULL);
    if (!call)
        return cli_fail (cli, EXITS_OTHER, "%s: out of memory", signature->name);
    weft_call_wait (call, -1);
    const int code = options.balance == WEFT_BALANCE_BROADCAST ? report_broadcast (cli, call, signature)
                                                               : report_one (cli, call, signature);
    weft_call_destroy (&call);
    return code;
}

/*  One item, on a line of its own. False: it could not be printed, or nobody reads any more. */
static bool print_item (cli_t *cli, const signature_t *signature, const void *body, size_t size)
{
    if (cli->json) {
        object_t line;
        object_init (&line);
        object_value (&line, "item", signature->reply.data, signature->reply.size, body, size);
        cli_print_object (cli, &line);
        object_fini (&line);
    } else if (size == 0)
        printf ("null\n");
    else if (!cli_print_typed (cli, signature->reply.data, signature->reply.size, body, size)) {
        cli_fail (cli, EXITS_OTHER, "%s: an item does not fit the type it was registered with", signature->name);
        return false;
    }
    return cli_flush ();
}

/*  Prints items until the stream ends, or Ctrl-C. */
static int follow (cli_t *cli, weft_call_t *call, const signature_t *signature)
{
    struct pollfd interrupt = {.fd = cli_catch_interrupts (), .events = POLLIN};
    bool printed = true;
    size_t size;

    cli->pretty = false;
    while (printed && poll (&interrupt, 1, 0) == 0) {
        const void *const body = weft_call_next_body (call, &size, LOOK_MS);
        if (body)
            printed = print_item (cli, signature, body, size);
        else if (weft_call_done (call))
            return report_one (cli, call, signature);
    }
    weft_call_cancel (call);
    return printed ? EXITS_OK : EXITS_OTHER;
}

static int make_stream (cli_t *cli, const signature_t *signature, const buffer_t *body)
{
    weft_call_options_t options;
    char worker [UUID_SIZE + 1];
    const int failed = commands_call_options (cli, &options, worker);
    if (failed)
        return failed;
    if (cli->options.timeout_us == 0)
        options.timeout_ms = 0; /* it may last */
    weft_call_t *call =
        weft_client_stream_body (cli->client, signature->name, body->data, body->size, "msgpack", &options);
    if (!call)
        return cli_fail (cli, EXITS_OTHER, "%s: out of memory", signature->name);
    const int code = follow (cli, call, signature);
    weft_call_destroy (&call);
    return code;
}

int commands_call_options (cli_t *cli, weft_call_options_t *call, char worker [UUID_SIZE + 1])
{
    const options_t *const options = &cli->options;
    *call = (weft_call_options_t){.timeout_ms = cli_timeout_ms (cli),
                                  .via = (weft_via_t) options->via,
                                  .balance = (weft_balance_t) options->balance,
                                  .retry = (weft_retry_t) options->retry,
                                  .backup_ms = (int) (options->backup_us / 1000),
                                  .key = options->key,
                                  .worker = options->worker ? worker : NULL,
                                  .request_key = options->request_key,
                                  .meta = options->meta.count ? options->meta.values : NULL};
    if (options->backup_us && call->retry != WEFT_RETRY_FAILBACKUP)
        return cli_fail (cli, EXITS_USAGE, "--backup-after is about --retry failbackup, which is missing");
    for (size_t i = 0; i < options->meta.count; i++) {
        const char *const meta = options->meta.values [i];
        if (meta [0] == '=' || !strchr (meta, '='))
            return cli_fail (cli, EXITS_USAGE, "--meta: \"%s\" is not KEY=VALUE", meta);
    }
    if (!options->worker)
        return EXITS_OK;
    const int code = catalog_worker (cli, options->worker, worker);
    return code == EXITS_OK && call->via == WEFT_VIA_DIRECT ? catalog_reach (cli, worker) : code;
}

static int run (cli_t *cli)
{
    signature_t signature;
    buffer_t body;
    int code = cli_connect (cli, false);
    if (code != EXITS_OK)
        return code;

    buffer_init (&body, 2u * WEFT_BODY_MAX);
    code = catalog_signature (cli, cli->options.args [0], &signature);
    if (code == EXITS_OK)
        code = input_body (cli, cli->options.args [1], &signature, &body);
    if (code == EXITS_OK)
        code = signature.stream ? make_stream (cli, &signature, &body) : make_call (cli, &signature, &body);
    signature_free (&signature);
    buffer_fini (&body);
    return code;
}

static const flag_t flags [] = {
    FLAG_VIA,
    FLAG_BALANCE,
    FLAG_RETRY,
    FLAG_BACKUP_AFTER,
    FLAG_WORKER,
    FLAG_KEY,
    FLAG (0, "request-key", "TEXT", FLAG_TEXT, request_key, "a name for this work, which makes retries safe"),
    FLAG_META,
    FLAG_END};

const command_t command_call = {
    .name = "call",
    .arguments = "SERVICE.METHOD [JSON|@FILE|-]",
    .summary = "call a method and print its reply",
    .details =
        "The JSON is checked against the types that the service registered. It comes from the command\n"
        "line, from @FILE, or from standard input (-). The reply is printed as JSON: indented on a\n"
        "terminal, else on one line. With -o json it is an object with status, executed, origin, worker,\n"
        "via, attempts, ledger (where the time went) and reply. With --balance broadcast every worker is\n"
        "asked, and there is one line for each, its UUID first.\n"
        "A stream prints one line for each item, until it ends, or Ctrl-C or --timeout ends it; with\n"
        "-o json each is an object with item, and the outcome comes last.\n",
    .examples = "  weft call Arith.Add '{\"a\": 2, \"b\": 3}'\n"
                "  weft call Text.Count @body.json --via broker -t 2s\n"
                "  weft call Cache.Clear --balance broadcast\n"
                "  weft call Clock.Ticks '{\"every_ms\": 1000}'\n"
                "  jq .body order.json | weft call Orders.Place - -o json --request-key order-17\n",
    .flags = flags,
    .args_min = 1,
    .args_max = 2,
    .names = NAMES_METHOD,
    .run = run};
