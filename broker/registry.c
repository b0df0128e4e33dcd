/* SPDX-License-Identifier: MPL-2.0 */

#include "registry.h"
#include "hosts.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool registry_init (registry_t *self, size_t workers_max, size_t services_max, size_t bytes_max, uint64_t seed)
{
    *self = (registry_t){.workers_max = workers_max, .services_max = services_max};
    table_init (&self->workers, seed);
    table_init (&self->services, seed + 1);
    routes_init (&self->routes, seed + 2);
    list_init (&self->unused);
    self->registration = calloc (1, sizeof *self->registration);
    return contracts_init (&self->contracts, bytes_max, seed + 4) && self->registration;
}

void registry_fini (registry_t *self)
{
    size_t position = 0;
    service_t *service;

    assert (self->workers.count == 0);
    while ((service = table_next (&self->services, &position))) {
        methods_fini (&service->methods);
        free (service);
    }
    table_fini (&self->workers);
    table_fini (&self->services);
    routes_fini (&self->routes);
    contracts_fini (&self->contracts);
    free (self->registration);
}

/*  Services ----------------------------------------------------------------------------------------------------- */

service_t *registry_service (const registry_t *self, text_t name)
{
    return table_get (&self->services, name.data, name.size);
}

static void service_free (registry_t *self, service_t *service)
{
    assert (list_empty (&service->members) && list_empty (&service->watches) && service->lane.queued == 0);
    list_remove (&self->unused, &service->unused);
    table_take (&self->services, service->name, service->name_size);
    methods_fini (&service->methods);
    free (service);
}

/*  Room for one more service, if need be that of the one that nobody has needed for longest. */
static bool make_room (registry_t *self)
{
    list_node_t *oldest = list_first (&self->unused);

    if (self->services.count >= self->services_max && oldest)
        service_free (self, CONTAINER_OF (oldest, service_t, unused));
    return self->services.count < self->services_max;
}

service_t *registry_service_open (registry_t *self, text_t name)
{
    service_t *service = registry_service (self, name);
    if (service) {
        list_remove (&self->unused, &service->unused);
        return service;
    }
    if (name.size > WEFT_METHOD_NAME_MAX || !make_room (self))
        return NULL;
    service = calloc (1, sizeof *service);
    if (!service)
        return NULL;
    memcpy (service->name, name.data, name.size);
    service->name_size = name.size;
    lane_init (&service->lane);
    methods_init (&service->methods, service, (text_t){service->name, name.size});
    list_init (&service->members);
    list_init (&service->watches);
    list_init (&service->walks);
    service->revision = self->revision;
    if (!table_put (&self->services, name.data, name.size, service)) {
        free (service);
        return NULL;
    }
    return service;
}

void registry_forget (registry_t *self, service_t *service)
{
    if (!list_empty (&service->members) || !list_empty (&service->watches))
        return;
    if (!service->known)
        service_free (self, service);
    else if (!list_linked (&service->unused))
        list_push (&self->unused, &service->unused);
}

/*  Walks -------------------------------------------------------------------------------------------------------- */

void walk_begin (walk_t *self, service_t *service)
{
    *self = (walk_t){.service = service, .at = list_first (&service->members)};
    list_push (&service->walks, &self->node);
}

member_t *walk_next (walk_t *self)
{
    if (!self->at)
        return NULL;
    member_t *member = CONTAINER_OF (self->at, member_t, node);
    self->at = list_after (&self->service->members, self->at);
    return member;
}

void walk_end (walk_t *self)
{
    if (list_linked (&self->node))
        list_remove (&self->service->walks, &self->node);
}

/*  At the end of the members: also the next one of walks that had met all others. */
static void members_push (service_t *service, member_t *member)
{
    list_push (&service->members, &member->node);
    for (list_node_t *node = list_first (&service->walks); node; node = list_after (&service->walks, node)) {
        walk_t *walk = CONTAINER_OF (node, walk_t, node);
        if (!walk->at)
            walk->at = &member->node;
    }
}

static void members_remove (service_t *service, member_t *member)
{
    for (list_node_t *node = list_first (&service->walks); node; node = list_after (&service->walks, node)) {
        walk_t *walk = CONTAINER_OF (node, walk_t, node);
        if (walk->at == &member->node)
            walk->at = list_after (&service->members, walk->at);
    }
    list_remove (&service->members, &member->node);
}

uint64_t registry_touch (registry_t *self, service_t *service)
{
    return service->revision = ++self->revision;
}

/*  Reading a REGISTER ------------------------------------------------------------------------------------------- */

static bool uuid_valid (text_t uuid)
{
    if (uuid.size != UUID_SIZE)
        return false;
    for (size_t i = 0; i < uuid.size; i++) {
        const char c = uuid.data [i];
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static bool check_service_name (text_t name, refusal_t *refusal)
{
    if (name.size == 0)
        return refuse (refusal, WEFT_INVALID, "a service's name is empty");
    if (!wire_name_valid (name))
        return refuse (refusal, WEFT_INVALID, "ill-formed service name \"%.*s\"", QUOTED (name));
    if (name.size > 5 && memcmp (name.data, "weft.", 5) == 0)
        return refuse (refusal, WEFT_INVALID, "service \"%.*s\": names that begin with \"weft.\" are reserved",
                       QUOTED (name));
    return true;
}

static int promise_compare (const void *a, const void *b)
{
    return text_compare (((const promise_t *) a)->name, ((const promise_t *) b)->name);
}

static bool read_services (registry_t *self, const wire_register_t *in, registration_t *out, refusal_t *refusal)
{
    mp_reader_t services = in->services;
    wire_service_t service;

    if (in->service_count == 0 || in->service_count > WEFT_SERVICES_MAX)
        return refuse (refusal, WEFT_INVALID, in->service_count ? "more than 256 services" : "no services");
    while (out->service_count < in->service_count) {
        promise_t *promise = &out->services [out->service_count];
        if (!wire_next_service (&services, &service))
            return refuse (refusal, WEFT_INVALID, "malformed REGISTER");
        if (!check_service_name (service.name, refusal))
            return false;
        promise->name = service.name;
        promise->contract = contracts_get (&self->contracts, &service, refusal);
        if (!promise->contract)
            return false;
        out->service_count++;
    }
    qsort (out->services, out->service_count, sizeof *out->services, promise_compare);
    for (uint32_t i = 1; i < out->service_count; i++)
        if (text_eq (out->services [i].name, out->services [i - 1].name))
            return refuse (refusal, WEFT_INVALID, "duplicate service \"%.*s\"", QUOTED (out->services [i].name));
    return true;
}

static void copy_text (char *to, size_t max, text_t from)
{
    const size_t size = from.size < max ? from.size : max;
    if (size)
        memcpy (to, from.data, size);
    to [size] = 0;
    for (size_t i = 0; i < size; i++)
        if (to [i] < ' ' || to [i] > '~')
            to [i] = '?';
}

static bool read_registration (registry_t *self, const wire_register_t *in, const char *address,
                               const char *const *allow_hosts, registration_t *out, refusal_t *refusal)
{
    if (!uuid_valid (in->uuid))
        return refuse (refusal, WEFT_INVALID, "ill-formed uuid \"%.*s\"", QUOTED (in->uuid));
    if (in->incarnation == 0)
        return refuse (refusal, WEFT_INVALID, "incarnations count from 1");
    copy_text (out->uuid, UUID_SIZE, in->uuid);
    copy_text (out->host, WEFT_ENDPOINT_MAX, in->host);
    out->incarnation = in->incarnation;
    out->cores = in->cores;
    out->pid = in->pid;
    out->capacity = in->capacity;
    for (uint32_t i = 0; i < in->endpoint_count; i++)
        if (!hosts_resolve (in->endpoints [i], address, allow_hosts, out->endpoints [i], refusal))
            return false;
    out->endpoint_count = in->endpoint_count;
    return read_services (self, in, out, refusal);
}

registration_t *registry_read (registry_t *self, const wire_register_t *in, const char *address,
                               const char *const *allow_hosts, refusal_t *refusal)
{
    registration_t *registration = self->registration;

    registration->service_count = registration->endpoint_count = 0;
    if (read_registration (self, in, address, allow_hosts, registration, refusal))
        return registration;
    registry_discard (self, registration);
    return NULL;
}

void registry_discard (registry_t *self, registration_t *registration)
{
    for (uint32_t i = 0; i < registration->service_count; i++)
        contracts_release (&self->contracts, &registration->services [i].contract);
    registration->service_count = 0;
}

/*  Workers ------------------------------------------------------------------------------------------------------ */

/*  Makes the member count: the offer to dispatch, and routes (without memory methods are missed, not misread). */
static void member_join (registry_t *self, member_t *member, worker_t *worker)
{
    service_t *service = member->service;

    member->worker = worker;
    service->known = true;
    list_remove (&self->unused, &service->unused);
    members_push (service, member);
    service->open += !worker->draining;
    service->lane.well += worker->well;
    service->lane.had_well |= worker->well;
    offer_join (&member->offer, &worker->server, &service->lane);
    routes_add (&self->routes, &service->methods, member->contract);
}

/*  The routes may view the contract, so they go first. */
static void member_part (registry_t *self, member_t *member)
{
    service_t *service = member->service;

    members_remove (service, member);
    service->open -= !member->worker->draining;
    service->lane.well -= member->worker->well;
    offer_part (&member->offer);
    routes_remove (&self->routes, &service->methods, member->contract);
    contracts_release (&self->contracts, &member->contract);
    registry_forget (self, service);
}

static void free_parts (worker_t *worker)
{
    for (uint32_t i = 0; i < worker->endpoint_count; i++)
        free ((void *) (uintptr_t) worker->endpoints [i]);
    free (worker->endpoints);
    free (worker->members);
    free (worker->services);
}

static bool prepare_endpoints (worker_t *parts, const registration_t *registration)
{
    parts->endpoints = calloc (registration->endpoint_count + 1, sizeof *parts->endpoints);
    if (!parts->endpoints)
        return false;
    for (uint32_t i = 0; i < registration->endpoint_count; i++) {
        char *copy = strdup (registration->endpoints [i]);
        if (!copy)
            return false;
        parts->endpoints [parts->endpoint_count++] = copy;
    }
    return true;
}

static bool prepare_members (registry_t *self, worker_t *parts, const registration_t *registration,
                             refusal_t *refusal)
{
    parts->members = calloc (registration->service_count, sizeof *parts->members);
    parts->services = calloc (registration->service_count, sizeof *parts->services);
    if (!parts->members || !parts->services)
        return refuse (refusal, WEFT_OVERLOADED, "the broker is out of memory");
    for (uint32_t i = 0; i < registration->service_count; i++) {
        service_t *service = registry_service_open (self, registration->services [i].name);
        if (!service)
            return refuse (refusal, WEFT_OVERLOADED, "the broker knows %zu services and takes no more",
                           self->services.count);
        parts->members [parts->member_count++].service = service;
        parts->services [i] = service->name;
        if (routes_overflow (&self->routes, &service->methods, registration->services [i].contract))
            return refuse (refusal, WEFT_OVERLOADED, "service \"%s\" would have more than %d methods in all",
                           service->name, WEFT_SERVICE_METHODS_MAX);
    }
    return true;
}

/*  What a registration needs in memory, in `parts`. False: nothing has changed. */
static bool prepare (registry_t *self, worker_t *parts, const registration_t *registration, refusal_t *refusal)
{
    refuse (refusal, WEFT_OVERLOADED, "the broker is out of memory");
    if (prepare_endpoints (parts, registration) && prepare_members (self, parts, registration, refusal))
        return true;
    for (uint32_t i = 0; i < parts->member_count; i++)
        registry_forget (self, parts->members [i].service);
    free_parts (parts);
    return false;
}

/*  Moves the prepared parts and the facts in, and joins the services. */
static void settle (registry_t *self, worker_t *worker, const worker_t *parts, registration_t *registration,
                    int64_t now_us)
{
    worker->members = parts->members;
    worker->member_count = parts->member_count;
    worker->services = parts->services;
    worker->endpoints = parts->endpoints;
    worker->endpoint_count = parts->endpoint_count;
    memcpy (worker->host, registration->host, sizeof worker->host);
    worker->incarnation = registration->incarnation;
    worker->cores = registration->cores;
    worker->pid = registration->pid;
    worker->capacity = worker->server.capacity = registration->capacity;
    worker->draining = worker->server.closed = worker->server.stuck = worker->parted = false;
    worker->well = true;
    pulse_begin (&worker->pulse);
    lease_begin (&worker->lease, now_us);
    for (uint32_t i = 0; i < worker->member_count; i++) {
        worker->members [i].contract = registration->services [i].contract; /* the reference moves */
        member_join (self, &worker->members [i], worker);
    }
    registration->service_count = 0;
}

worker_t *registry_add (registry_t *self, registration_t *registration, void *owner, int64_t now_us,
                        refusal_t *refusal)
{
    worker_t parts = {0};
    worker_t *worker = NULL;

    refuse (refusal, WEFT_OVERLOADED, "the broker has %zu workers and takes no more", self->workers.count);
    if (self->workers.count < self->workers_max && prepare (self, &parts, registration, refusal)) {
        worker = calloc (1, sizeof *worker);
        if (!worker || !table_put (&self->workers, registration->uuid, UUID_SIZE, worker)) {
            for (uint32_t i = 0; i < parts.member_count; i++)
                registry_forget (self, parts.members [i].service);
            free_parts (&parts);
            free (worker);
            worker = NULL;
        }
    }
    if (!worker) {
        registry_discard (self, registration);
        return NULL;
    }
    memcpy (worker->uuid, registration->uuid, sizeof worker->uuid);
    worker->owner = owner;
    worker->since_us = now_us;
    server_init (&worker->server);
    lane_init (&worker->lane);
    offer_join (&worker->offer, &worker->server, &worker->lane);
    settle (self, worker, &parts, registration, now_us);
    return worker;
}

void registry_part (registry_t *self, worker_t *worker)
{
    if (worker->parted)
        return;
    worker->parted = true;
    for (uint32_t i = 0; i < worker->member_count; i++)
        member_part (self, &worker->members [i]);
}

bool registry_renew (registry_t *self, worker_t *worker, registration_t *registration, int64_t now_us,
                     refusal_t *refusal)
{
    worker_t parts = {0};

    if (!prepare (self, &parts, registration, refusal)) {
        registry_discard (self, registration);
        return false;
    }
    registry_part (self, worker);
    free_parts (worker);
    settle (self, worker, &parts, registration, now_us);
    return true;
}

void registry_remove (registry_t *self, worker_t **worker)
{
    worker_t *removed = *worker;

    *worker = NULL;
    assert (list_empty (&removed->server.calls) && removed->lane.queued == 0);
    registry_part (self, removed);
    offer_part (&removed->offer);
    table_take (&self->workers, removed->uuid, UUID_SIZE);
    free_parts (removed);
    free (removed);
}

void worker_drain (worker_t *self)
{
    if (self->draining)
        return;
    self->draining = self->server.closed = true;
    for (uint32_t i = 0; i < self->member_count; i++)
        self->members [i].service->open--;
    worker_weigh (self);
}

void worker_weigh (worker_t *self)
{
    const bool well = !self->server.closed && !self->server.stuck;

    if (self->parted || well == self->well)
        return;
    self->well = well;
    for (uint32_t i = 0; i < self->member_count; i++) {
        lane_t *lane = &self->members [i].service->lane;
        lane->well += well ? 1 : (size_t) -1;
        lane->had_well |= well;
    }
}

worker_t *registry_worker (const registry_t *self, text_t uuid)
{
    return table_get (&self->workers, uuid.data, uuid.size);
}

uint64_t worker_capacity (const worker_t *self)
{
    return self->load.capacity ? self->load.capacity : self->capacity ? self->capacity : self->server.window;
}

uint64_t worker_in_flight (const worker_t *self)
{
    const uint64_t given = self->server.calls.count;
    return self->load.in_flight > given ? self->load.in_flight : given;
}

bool worker_serves (const worker_t *self, const service_t *service)
{
    for (uint32_t i = 0; i < self->member_count && !self->parted; i++)
        if (self->members [i].service == service)
            return true;
    return false;
}
