/* SPDX-License-Identifier: MPL-2.0 */

#include "catalog.h"
#include "clock.h"
#include "mp.h"
#include "types.h"
#include "wire.h"
#include "words.h"
#include <stdlib.h>
#include <string.h>

#define KNOWN_MAX 400 /* bytes of names in an error */

/* ---- fetching ---- */

/*  Calls and reads. `*call` is the caller's, and holds what `reply` points to. */
static weft_status_t fetch (cli_t *cli, const char *method, weft_value_t args, weft_value_t reply,
                            weft_call_t **call)
{
    const weft_call_options_t options = {.timeout_ms = cli_timeout_ms (cli), .via = WEFT_VIA_BROKER};
    const weft_status_t status = weft_client_call (cli->client, method, args, &options, call);
    return status == WEFT_OK ? weft_call_read (*call, reply) : status;
}

/*  Says that `name` names nothing, with what is there. */
static int fail_unknown (cli_t *cli, const char *what, const char *name)
{
    list_t list;
    int code = catalog_list (cli, NULL, &list);
    if (code == EXITS_OK)
        code = catalog_fail_unknown (cli, &list.is, what, name);
    list_free (&list);
    return code;
}

/*  The next page, behind what the list has; its call becomes the list's. */
static weft_status_t fetch_page (cli_t *cli, const char *service, list_t *list, list_reply *page)
{
    const list_reply *const is = &list->is;
    list_args args = {.service = service, .has_service = service != NULL};
    weft_call_t **const calls = realloc (list->calls, (list->call_count + 1) * sizeof *calls);
    if (!calls)
        return WEFT_OVERLOADED;
    list->calls = calls;
    args.has_services_after = is->service_count > 0;
    if (args.has_services_after)
        args.services_after = is->services [is->service_count - 1].name;
    args.has_workers_after = is->worker_count > 0;
    if (args.has_workers_after)
        args.workers_after = is->workers [is->worker_count - 1].uuid;
    return fetch (cli, "weft.Registry.List", WEFT_IN (list_args, &args), WEFT_OUT (list_reply, page),
                  &calls [list->call_count++]);
}

/*  Puts `count` rows behind the others. */
static bool join_rows (void **rows, size_t *row_count, const void *more, size_t count, size_t size)
{
    char *const grown = realloc (*rows, (*row_count + count + 1) * size);
    if (!grown)
        return false;
    if (count)
        memcpy (grown + *row_count * size, more, count * size);
    *rows = grown;
    *row_count += count;
    return true;
}

static bool join_page (list_reply *is, const list_reply *page)
{
    is->revision = page->revision;
    return join_rows ((void **) &is->services, &is->service_count, page->services, page->service_count,
                      sizeof *is->services) &&
           join_rows ((void **) &is->workers, &is->worker_count, page->workers, page->worker_count,
                      sizeof *is->workers);
}

/*  Is what the page begins with behind what is there, as it should be? */
static bool goes_on (const list_reply *is, const list_reply *page)
{
    return (!is->service_count || !page->service_count ||
            strcmp (page->services [0].name, is->services [is->service_count - 1].name) > 0) &&
           (!is->worker_count || !page->worker_count ||
            strcmp (page->workers [0].uuid, is->workers [is->worker_count - 1].uuid) > 0);
}

static int fail_page (cli_t *cli, const char *service, list_t *list, weft_status_t status)
{
    const weft_call_t *const call = list->call_count ? list->calls [list->call_count - 1] : NULL;
    const bool answered = call && weft_call_status (call) == WEFT_OK; /* and there was no memory for it */
    const int code = service && status == WEFT_NO_SERVICE
                         ? fail_unknown (cli, "service", service)
                         : cli_fail_call (cli, "weft.Registry.List", answered ? NULL : call);
    list_free (list);
    return code;
}

/*  The broker says for ever that there is more. */
static int fail_endless (cli_t *cli, list_t *list, int code, const char *why)
{
    cli_fail (cli, code, "weft.Registry.List: %s after %zu services and %zu workers", why, list->is.service_count,
              list->is.worker_count);
    list_free (list);
    return code;
}

int catalog_list (cli_t *cli, const char *service, list_t *list)
{
    const int64_t by_us = clock_now_us () + cli_timeout_ms (cli) * 1000LL; /* all pages */
    *list = (list_t){.calls = NULL};
    for (bool more = true; more;) {
        list_reply page = {.more = false};
        weft_status_t status = fetch_page (cli, service, list, &page);
        if (status == WEFT_OK && !goes_on (&list->is, &page))
            return fail_endless (cli, list, EXITS_OTHER, "the broker's list goes back");
        if (status == WEFT_OK && !join_page (&list->is, &page))
            status = WEFT_OVERLOADED;
        if (status != WEFT_OK)
            return fail_page (cli, service, list, status);
        more = page.has_more && page.more && page.service_count + page.worker_count > 0;
        if (more && clock_now_us () >= by_us)
            return fail_endless (cli, list, EXITS_DEADLINE, "time is up");
    }
    return EXITS_OK;
}

void list_free (list_t *list)
{
    for (size_t i = 0; i < list->call_count; i++)
        weft_call_destroy (&list->calls [i]);
    free (list->calls);
    free (list->is.services);
    free (list->is.workers);
    *list = (list_t){.calls = NULL};
}

static int by_name (const void *a, const void *b)
{
    return strcmp (((const method_row *) a)->name, ((const method_row *) b)->name);
}

/*  Methods by name; and a type that is none, since strangers wrote it, becomes "any". */
static void tidy (describe_reply *reply)
{
    for (size_t i = 0; i < reply->service_count; i++) {
        definition_row *const service = &reply->services [i];
        if (service->method_count > 0)
            qsort (service->methods, service->method_count, sizeof *service->methods, by_name);
        for (size_t j = 0; j < service->method_count; j++) {
            method_row *const method = &service->methods [j];
            if (!types_valid (method->arguments.data, method->arguments.size))
                method->arguments = (weft_any){NULL, 0};
            if (!types_valid (method->reply.data, method->reply.size))
                method->reply = (weft_any){NULL, 0};
        }
    }
}

int catalog_describe (cli_t *cli, const char *what, const char *name, definitions_t *definitions)
{
    *definitions = (definitions_t){.call = NULL};
    describe_reply *const reply = &definitions->is;
    const describe_args args = {.name = name, .has_name = name != NULL};
    const weft_status_t status = fetch (cli, "weft.Registry.Describe", WEFT_IN (describe_args, &args),
                                        WEFT_OUT (describe_reply, reply), &definitions->call);
    const bool unknown = status == WEFT_NO_SERVICE || status == WEFT_NO_WORKERS ||
                         (status == WEFT_OK && reply->service_count + reply->worker_count == 0);
    if (status == WEFT_OK && !(name && unknown)) {
        tidy (reply);
        return EXITS_OK;
    }
    const int code = name && unknown ? fail_unknown (cli, what, name)
                                     : cli_fail_call (cli, "weft.Registry.Describe", definitions->call);
    definitions_free (definitions);
    return code;
}

void definitions_free (definitions_t *definitions)
{
    weft_call_destroy (&definitions->call);
    *definitions = (definitions_t){.call = NULL};
}

/* ---- finding ---- */

const worker_row *catalog_find_worker (const list_reply *list, const char *name)
{
    const size_t size = strlen (name);
    const worker_row *found = NULL;
    for (size_t i = 0; size >= 4 && i < list->worker_count; i++)
        if (strncmp (list->workers [i].uuid, name, size) == 0) {
            if (found)
                return NULL;
            found = &list->workers [i];
        }
    return found;
}

const service_row *catalog_find_service (const list_reply *list, const char *name)
{
    for (size_t i = 0; i < list->service_count; i++)
        if (strcmp (list->services [i].name, name) == 0)
            return &list->services [i];
    return NULL;
}

bool catalog_serves (const worker_row *worker, const char *service)
{
    for (size_t i = 0; i < worker->service_count; i++)
        if (strcmp (worker->services [i], service) == 0)
            return true;
    return false;
}

/*  A list of names for an error: the nearest to a word, and as many as fit in a line. */
typedef struct {
    nearest_t near;
    char known [KNOWN_MAX + 8];
    size_t size, left_out;
} known_t;

static known_t known_none (const char *word)
{
    return (known_t){.near = nearest (word)};
}

static void known_add (known_t *self, const char *name)
{
    nearest_try (&self->near, name);
    if (self->size + strlen (name) + 2 > KNOWN_MAX)
        self->left_out++;
    else
        self->size += (size_t) snprintf (self->known + self->size, KNOWN_MAX - self->size, "%s%s",
                                         self->size ? ", " : "", name);
}

static const char *known_text (known_t *self, const char *label, char text [WEFT_TEXT_MAX])
{
    char more [32] = "";
    if (self->left_out)
        snprintf (more, sizeof more, " and %zu more", self->left_out);
    snprintf (text, WEFT_TEXT_MAX, "%s%s%s; %s: %s%s", self->near.best ? "; did you mean " : "",
              self->near.best ? self->near.best : "", self->near.best ? "?" : "", label,
              self->size ? self->known : "none", more);
    return text;
}

int catalog_fail_unknown (cli_t *cli, const list_reply *list, const char *what, const char *name)
{
    char text [WEFT_TEXT_MAX];
    known_t known = known_none (name);
    for (size_t i = 0; i < list->service_count; i++)
        known_add (&known, list->services [i].name);
    return cli_fail (cli, EXITS_NOBODY, "no %s \"%s\"%s", what, name, known_text (&known, "services", text));
}

int catalog_worker (cli_t *cli, const char *name, char uuid [UUID_SIZE + 1])
{
    if (strlen (name) == UUID_SIZE) {
        snprintf (uuid, UUID_SIZE + 1, "%s", name);
        return EXITS_OK;
    }
    list_t list;
    int code = catalog_list (cli, NULL, &list);
    const worker_row *const worker = code == EXITS_OK ? catalog_find_worker (&list.is, name) : NULL;
    if (worker)
        snprintf (uuid, UUID_SIZE + 1, "%s", worker->uuid);
    else if (code == EXITS_OK)
        code = cli_fail (cli, EXITS_NOBODY,
                         "no worker, or several, begin with \"%s\"; 'weft workers' lists them", name);
    list_free (&list);
    return code;
}

int catalog_reach (cli_t *cli, const char *uuid)
{
    list_t list;
    const int code = catalog_list (cli, NULL, &list);
    const worker_row *const worker = code == EXITS_OK ? catalog_find_worker (&list.is, uuid) : NULL;
    if (worker && worker->service_count > 0)
        weft_client_discover (cli->client, worker->services [0], cli_timeout_ms (cli));
    list_free (&list);
    return code;
}

/* ---- signatures ---- */

/*  The built-in services do not register, so their types are known here (an empty body is as good as {}). */
typedef struct {
    const char *name;
    weft_schema_fn *arguments, *reply;
} builtin_t;
static const builtin_t builtins [] = {
    {"weft.Registry.Describe", describe_args_schema, describe_reply_schema},
    {"weft.Registry.Drain", drain_args_schema, weft_none_schema},
    {"weft.Registry.List", list_args_schema, list_reply_schema},
    {"weft.Worker.Describe", weft_none_schema, describe_reply_schema},
    {"weft.Worker.Ping", weft_none_schema, ping_reply_schema},
    {"weft.Worker.Stats", weft_none_schema, stats_reply_schema},
};
#define BUILTIN_COUNT (sizeof builtins / sizeof *builtins)

static int builtin_signature (cli_t *cli, signature_t *self)
{
    char text [WEFT_TEXT_MAX];
    known_t known = known_none (self->name);
    for (size_t i = 0; i < BUILTIN_COUNT; i++) {
        known_add (&known, builtins [i].name);
        if (strcmp (builtins [i].name, self->name) == 0) {
            types_write (&self->arguments, builtins [i].arguments ());
            types_write (&self->reply, builtins [i].reply ());
            return EXITS_OK;
        }
    }
    if (strcmp (self->name, "weft.Registry.Watch") == 0)
        return cli_fail (cli, EXITS_USAGE, "weft.Registry.Watch is a stream; 'weft watch SERVICE' shows it");
    return cli_fail (cli, EXITS_NOBODY, "no built-in method \"%s\"%s", self->name,
                     known_text (&known, "known", text));
}

static int find_method (cli_t *cli, const definition_row *service, signature_t *self)
{
    char text [WEFT_TEXT_MAX];
    if (service->method_count == 0) /* methods go with the last worker */
        return cli_fail (cli, EXITS_NOBODY, "service %s has no live worker", service->name);
    known_t known = known_none (self->method);
    for (size_t i = 0; i < service->method_count; i++) {
        const method_row *const method = &service->methods [i];
        known_add (&known, method->name);
        if (strcmp (method->name, self->method) == 0) {
            buffer_append (&self->arguments, method->arguments.data, method->arguments.size);
            buffer_append (&self->reply, method->reply.data, method->reply.size);
            self->stream = method->stream;
            return EXITS_OK;
        }
    }
    return cli_fail (cli, EXITS_NOBODY, "service %s has no method \"%s\"%s", service->name, self->method,
                     known_text (&known, "methods", text));
}

static int registered_signature (cli_t *cli, signature_t *self)
{
    char service [WEFT_METHOD_NAME_MAX + 1];
    snprintf (service, sizeof service, "%.*s", (int) self->service_size, self->name);
    definitions_t definitions;
    int code = catalog_describe (cli, "service", service, &definitions);
    if (code != EXITS_OK)
        return code;
    const definition_row *found = NULL;
    for (size_t i = 0; i < definitions.is.service_count; i++)
        if (strcmp (definitions.is.services [i].name, service) == 0)
            found = &definitions.is.services [i];
    code = found ? find_method (cli, found, self) : fail_unknown (cli, "service", service);
    definitions_free (&definitions);
    return code;
}

int catalog_signature (cli_t *cli, const char *name, signature_t *self)
{
    *self = (signature_t){.stream = false};
    buffer_init (&self->arguments, WEFT_SCHEMA_MAX);
    buffer_init (&self->reply, WEFT_SCHEMA_MAX);

    text_t service, method;
    if (strlen (name) > WEFT_METHOD_NAME_MAX || !wire_split_method (text_of (name), &service, &method))
        return cli_fail (cli, EXITS_USAGE, "method \"%.80s\" is ill-formed; write it as Service.Method",
                         name);
    snprintf (self->name, sizeof self->name, "%s", name);
    self->service_size = service.size;
    self->method = self->name + service.size + 1;
    if (strncmp (name, "weft.", 5) == 0)
        return builtin_signature (cli, self);
    return registered_signature (cli, self);
}

void signature_free (signature_t *self)
{
    buffer_fini (&self->arguments);
    buffer_fini (&self->reply);
}
