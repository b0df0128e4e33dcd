/* SPDX-License-Identifier: MPL-2.0
 *
 *  builtin.c - weft.Worker: Ping, Stats, Describe. An ordinary service, but always run by the thread that leads:
 *  so it answers even when every handler is stuck, and may look into the session. The rows are those of PROTOCOL.md, section 6. */

#include <stdlib.h>
#include <string.h>
#include "builtin.h"
#include "rows.h"
#include "types.h"

/*  ------------------------------------------------------------------ Ping  */

static weft_status_t ping (weft_request_t *request, const void *args, void *reply)
{
    const session_t *session = weft_request_user (request);
    ping_reply *out = reply;

    (void) args;
    out->uuid = session->options.identity.uuid;
    out->age_ms = (uint64_t) (session->now_us - session->started_us) / 1000;
    return WEFT_OK;
}

/*  ------------------------------------------------------------------ Stats  */

static int by_name (const void *a, const void *b)
{
    const method_stats_row *left = a, *right = b;
    return strcmp (left->name, right->name);
}

static size_t fill_method_rows (const services_t *services, method_stats_row *rows)
{
    size_t count = 0;

    for (size_t i = 0; i < services->count; i++) {
        const service_t *service = services->list [i];
        for (size_t k = 0; k < service->method_count && !service->built_in; k++) {
            const method_stats_t stats = method_stats (&service->methods [k]);
            rows [count++] = (method_stats_row){service->methods [k].full_name, stats.calls,  stats.errors,
                                          stats.p50_us,                  stats.p99_us, stats.max_us};
        }
    }
    qsort (rows, count, sizeof *rows, by_name);
    return count;
}

static weft_status_t stats (weft_request_t *request, const void *args, void *reply)
{
    const session_t *session = weft_request_user (request);
    const services_t *services = session->options.services;
    stats_reply *out = reply;

    (void) args;
    out->methods = weft_request_alloc (request, services->method_count * sizeof *out->methods);
    if (!out->methods)
        return WEFT_OVERLOADED;
    out->method_count = fill_method_rows (services, out->methods);
    out->uuid = session->options.identity.uuid;
    out->in_flight = session_in_flight (session);
    out->capacity = (uint64_t) session->options.concurrency;
    out->finished = session->requests.finished;
    out->refused = session->requests.refused;
    out->late = session->requests.late;
    out->malformed = session->stats.malformed;
    out->again = session->requests.again;
    out->has_again = true;
    return WEFT_OK;
}

/*  ------------------------------------------------------------------ Describe  */

/*  A type as one MessagePack value, in the request's memory. */
static bool describe_type (weft_request_t *request, const weft_schema_t *schema, weft_any *out)
{
    buffer_t buffer;
    buffer_init (&buffer, WEFT_SCHEMA_MAX);
    types_write (&buffer, schema);

    void *copy = buffer.failed ? NULL : weft_request_alloc (request, buffer.size);
    if (copy) {
        memcpy (copy, buffer.data, buffer.size);
        *out = (weft_any){copy, buffer.size};
    }
    buffer_fini (&buffer);
    return copy != NULL;
}

static bool describe_method (weft_request_t *request, const weft_method_t *entry, method_row *out)
{
    out->name = entry->name;
    out->idempotent = entry->flags & WEFT_IDEMPOTENT;
    out->runs_inline = entry->flags & WEFT_INLINE;
    return describe_type (request, entry->args (), &out->arguments)
           && describe_type (request, entry->reply (), &out->reply);
}

static bool describe_service (weft_request_t *request, const service_t *service, definition_row *out)
{
    out->name = service->name;
    out->version = "";
    out->methods = weft_request_alloc (request, service->method_count * sizeof *out->methods);
    if (!out->methods)
        return false;
    for (; out->method_count < service->method_count; out->method_count++)
        if (!describe_method (request, service->methods [out->method_count].entry,
                              &out->methods [out->method_count]))
            return false;
    return true;
}

static weft_status_t describe (weft_request_t *request, const void *args, void *reply)
{
    const session_t *session = weft_request_user (request);
    const services_t *services = session->options.services;
    definitions_reply *out = reply;

    (void) args;
    out->services = weft_request_alloc (request, services->count * sizeof *out->services);
    if (!out->services)
        return WEFT_OVERLOADED;
    for (size_t i = 0; i < services->count; i++) {
        if (services->list [i]->built_in)
            continue;
        if (!describe_service (request, services->list [i], &out->services [out->service_count++]))
            return WEFT_OVERLOADED;
    }
    return WEFT_OK;
}

weft_status_t builtin_add (services_t *services, session_t *session, char *error)
{
    static const weft_method_t methods [] = {
        WEFT_METHOD ("Ping", ping, weft_none, ping_reply, WEFT_IDEMPOTENT | WEFT_INLINE),
        WEFT_METHOD ("Stats", stats, weft_none, stats_reply, WEFT_IDEMPOTENT | WEFT_INLINE),
        WEFT_METHOD ("Describe", describe, weft_none, definitions_reply, WEFT_IDEMPOTENT | WEFT_INLINE),
        WEFT_METHOD_END,
    };
    return services_add (services, "weft.Worker", methods, session, true, error);
}
