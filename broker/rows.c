/* SPDX-License-Identifier: MPL-2.0 */

#include "core.h"
#include <string.h>

bool worker_live (const broker_t *self, const worker_t *worker)
{
    return !worker->parted && lease_state (&worker->lease, &self->terms, self->now_us) != LEASE_DEAD;
}

static const char *worker_state (const broker_t *self, const worker_t *worker)
{
    if (!worker_live (self, worker))
        return "gone";
    if (worker->draining)
        return "draining";
    if (lease_state (&worker->lease, &self->terms, self->now_us) == LEASE_SUSPECT)
        return "suspect";
    return worker->pulse.state == PULSE_STUCK ? "stuck" : worker->pulse.state == PULSE_BUSY ? "busy" : "alive";
}

worker_row row_of_worker (const broker_t *self, const worker_t *worker)
{
    return (worker_row){
        .uuid = worker->uuid,
        .incarnation = worker->incarnation,
        .services = worker->services,
        .service_count = worker->member_count,
        .endpoints = worker->endpoints,
        .endpoint_count = worker->endpoint_count,
        .cores = worker->cores,
        .capacity = worker_capacity (worker),
        .in_flight = worker_in_flight (worker),
        .state = worker_state (self, worker),
        .name = ((const peer_t *) worker->owner)->name,
        .host = worker->host,
        .pid = worker->pid,
        .age_ms = (uint64_t) (self->now_us - worker->since_us) / 1000,
    };
}

/*  A NUL-terminated copy in the arena; what peers call things need not be UTF-8. */
static const char *arena_text (broker_t *self, text_t text)
{
    char *copy = arena_alloc (&self->arena, text.size + 1);
    for (size_t i = 0; copy && i < text.size; i++)
        copy [i] = text.data [i] >= ' ' && text.data [i] <= '~' ? text.data [i] : '?';
    return copy;
}

/*  What the newest of its workers says. */
static const char *service_version (broker_t *self, const service_t *service)
{
    if (list_empty (&service->members))
        return "";
    const member_t *newest = CONTAINER_OF (service->members.head.prev, member_t, node);
    return arena_text (self, newest->contract->version);
}

bool row_of_service (broker_t *self, const service_t *service, service_row *row)
{
    *row = (service_row){
        .name = service->name, .version = service_version (self, service), .queued = service->lane.queued};
    for (list_node_t *node = list_first (&service->members); node; node = list_after (&service->members, node)) {
        const worker_t *worker = CONTAINER_OF (node, member_t, node)->worker;
        if (!worker_live (self, worker))
            continue;
        row->workers++;
        row->capacity += worker_capacity (worker);
        row->in_flight += worker_in_flight (worker);
    }
    return row->version != NULL;
}

static bool row_of_method (broker_t *self, const wire_method_t *method, unsigned flags, method_row *row)
{
    *row = (method_row){
        .name = arena_text (self, method->name),
        .idempotent = flags & METHOD_IDEMPOTENT,
        .runs_inline = flags & METHOD_INLINE,
        .stream = flags & METHOD_STREAM,
        .arguments = {method->args, method->args_size},
        .reply = {method->reply, method->reply_size},
    };
    return row->name != NULL;
}

bool row_of_routes (broker_t *self, const service_t *service, definition_row *row)
{
    *row = (definition_row){.name = service->name, .version = service_version (self, service)};
    row->methods = arena_alloc (&self->arena, (service->methods.count + 1) * sizeof *row->methods);
    if (!row->version || !row->methods)
        return false;
    for (; row->method_count < service->methods.count; row->method_count++) {
        const route_t *route = service->methods.routes [row->method_count];
        if (!row_of_method (self, route->method, route->flags, &row->methods [row->method_count]))
            return false;
    }
    return true;
}

bool row_of_member (broker_t *self, const member_t *member, definition_row *row)
{
    const contract_t *contract = member->contract;

    *row = (definition_row){.name = member->service->name, .version = arena_text (self, contract->version)};
    row->methods = arena_alloc (&self->arena, (contract->count + 1) * sizeof *row->methods);
    if (!row->version || !row->methods)
        return false;
    for (; row->method_count < contract->count; row->method_count++) {
        const wire_method_t *method = &contract->methods [row->method_count];
        if (!row_of_method (self, method, (unsigned) method->flags, &row->methods [row->method_count]))
            return false;
    }
    return true;
}
