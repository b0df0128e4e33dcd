/* SPDX-License-Identifier: MPL-2.0
 *
 *  registry.h - who serves what.
 *
 *      worker --member--> service --route--> "Service.Method"
 *
 *  A *worker* is one registration: a process under its UUID. A *member* is its place in one service. A *service* is
 *  known from its first registration on, also when nobody serves it any more, until the room is needed; one that somebody
 *  merely watches is not known. A *route* is a method that at least one worker of the service has, found by its full name (routes.h).
 *
 *  Nothing here sends. What changed is told to watchers by whoever calls (membership.c). */

#ifndef REGISTRY_H_INCLUDED
#define REGISTRY_H_INCLUDED

#include "clock.h"
#include <weft/schema.h>
#include "contract.h"
#include "dispatch.h"
#include "lease.h"
#include "pulse.h"
#include "routes.h"

typedef struct service service_t;
typedef struct worker worker_t;

typedef struct {
    offer_t offer;              /* to dispatch */
    worker_t *worker;
    service_t *service;
    contract_t *contract;
    list_node_t node;           /* in service->members */
} member_t;

struct service {
    char name [WEFT_METHOD_NAME_MAX + 1];
    size_t name_size;
    bool known;
    lane_t lane;
    list_t members;             /* oldest first */
    size_t open;                /* members that are not draining */
    list_node_t unused;         /* in registry->unused: known, but without members and watches */
    methods_t methods;
    uint64_t methods_told;      /* their digest as watchers know it */
    uint64_t revision;          /* of its last change */
    list_t watches;
    list_t walks;               /* under way through the members */
};

/*  A walk through a service's members that may pause while they come and go: who comes is met at the end, who goes is
 *  not met any more. */
typedef struct {
    service_t *service;
    list_node_t *at;            /* the next one; NULL: at the end */
    list_node_t node;           /* in service->walks */
} walk_t;

struct worker {
    char uuid [UUID_SIZE + 1];
    uint64_t incarnation;
    void *owner;                /* the connection it registered on */
    lease_t lease;
    deadline_t due;
    pulse_t pulse;
    bool draining;
    bool well;                  /* counted in its services' lanes as one that is neither closed nor stuck */
    server_t server;
    lane_t lane;                /* calls bound to this worker */
    offer_t offer;
    bool parted;                /* from all services */
    member_t *members;          /* sorted by service name */
    uint32_t member_count;
    weft_string *services;      /* their names */
    weft_string *endpoints;     /* as resolved */
    uint32_t endpoint_count;
    char host [WEFT_ENDPOINT_MAX + 1];
    uint64_t cores, pid, capacity;
    wire_load_t load;           /* of its last beat */
    int64_t since_us;
    list_node_t changed;        /* in broker->changed: watchers are to be told */
};

typedef struct {
    text_t name;
    contract_t *contract;
} promise_t;

/*  A REGISTER, checked wholly, before anything is changed. */
typedef struct {
    char uuid [UUID_SIZE + 1];
    char host [WEFT_ENDPOINT_MAX + 1];
    uint64_t incarnation, cores, pid, capacity;
    uint32_t service_count, endpoint_count;
    promise_t services [WEFT_SERVICES_MAX]; /* sorted by name */
    char endpoints [WEFT_ENDPOINTS_MAX][WEFT_ENDPOINT_MAX + 1];
} registration_t;

typedef struct {
    table_t workers;            /* by uuid */
    table_t services;           /* by name */
    routes_t routes;
    contracts_t contracts;
    registration_t *registration;
    size_t workers_max, services_max;
    list_t unused;              /* services nobody needs now, the longest unused first */
    uint64_t revision;          /* of the last change of all */
} registry_t;

bool registry_init (registry_t *self, size_t workers_max, size_t services_max, size_t bytes_max, uint64_t seed);

/*  All workers must be gone. */
void registry_fini (registry_t *self);

/*  Checks a REGISTER that came from `address`. The result belongs to the registry and views the record; it is used up
 *  by registry_add or registry_renew, or given back by registry_discard. NULL: refused, nothing has changed. */
registration_t *registry_read (registry_t *self, const wire_register_t *in, const char *address,
                               const char *const *allow_hosts, refusal_t *refusal);
void registry_discard (registry_t *self, registration_t *registration);

/*  A new worker; its window is closed until it says one. NULL: refused. */
worker_t *registry_add (registry_t *self, registration_t *registration, void *owner, int64_t now_us,
                        refusal_t *refusal);

/*  The same worker registers anew: what it holds stays. False: refused, the old registration stands. */
bool registry_renew (registry_t *self, worker_t *worker, registration_t *registration, int64_t now_us,
                     refusal_t *refusal);

/*  It serves nobody any more, but can still be looked at; with no calls at its server and none in its lane it can be freed. */
void registry_part (registry_t *self, worker_t *worker);
void registry_remove (registry_t *self, worker_t **worker);

/*  Draining: it stays listed, but gets nothing new and no service counts on it. */
void worker_drain (worker_t *self);

/*  After server.closed or server.stuck may have changed. */
void worker_weigh (worker_t *self);

worker_t *registry_worker (const registry_t *self, text_t uuid);
service_t *registry_service (const registry_t *self, text_t name);

/*  The route of "Service.Method"; NULL: none. */
static inline const route_t *registry_route (registry_t *self, text_t method)
{
    return routes_find (&self->routes, method);
}

/*  The service of this name, made (unknown) if need be, for a member or a watch; the one that was unused for longest may have to
 *  go for it. NULL: no room. Give it back with registry_forget: who neither serves nor watches it any more needs it no more. */
service_t *registry_service_open (registry_t *self, text_t name);
void registry_forget (registry_t *self, service_t *service);

/*  Begins, goes on (NULL: at the end), ends (harmless if it was never begun). The service must outlive it. */
void walk_begin (walk_t *self, service_t *service);
member_t *walk_next (walk_t *self);
void walk_end (walk_t *self);

/*  Counts a change of the service: its new revision. */
uint64_t registry_touch (registry_t *self, service_t *service);

/*  What the worker can run at once, as far as is known. */
uint64_t worker_capacity (const worker_t *self);
uint64_t worker_in_flight (const worker_t *self);
bool worker_serves (const worker_t *self, const service_t *service);

#endif
