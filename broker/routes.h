/* SPDX-License-Identifier: MPL-2.0
 *
 *  routes.h - which methods a service has, from what its workers promise.
 *
 *      contract --claim--> route "Service.Method" <--claim-- another contract
 *
 *  Workers that promise the same share a contract, and each contract *claims* its methods once for the service, however
 *  many workers keep it. A *route* is a method that some contract claims. Where contracts disagree, the newest says what
 *  the method is, and it is idempotent only if all that have it say so. A worker that comes or goes costs a look into a table,
 *  and if its contract is new or was the last of its kind, one step for each of its methods. */

#ifndef ROUTES_H_INCLUDED
#define ROUTES_H_INCLUDED

#include "contract.h"
#include "list.h"

struct service;

typedef struct {
    struct service *service;
    text_t name;                /* of the method; view into the newest contract */
    unsigned flags;             /* as agreed */
    const wire_method_t *method; /* as the newest says */
    list_t claims;              /* oldest first */
    size_t idempotent;          /* how many of them say so */
} route_t;

/*  The methods of one service. */
typedef struct {
    struct service *service;
    text_t name;                /* the service's */
    route_t **routes;           /* sorted by name */
    uint32_t count, capacity;
    uint64_t digest;            /* of names and flags */
} methods_t;

/*  Those of all services. */
typedef struct {
    table_t by_name;            /* "Service.Method" → route_t */
    table_t variants;           /* service and contract → its claims */
    const route_t *last;        /* that was asked for, as `last_name`; or NULL */
    char last_name [WEFT_METHOD_NAME_MAX + 1];
    size_t last_size;
} routes_t;

void routes_init (routes_t *self, uint64_t seed);
void routes_fini (routes_t *self); /* all contracts must be gone */

/*  `name` must live as long as the service. */
void methods_init (methods_t *self, struct service *service, text_t name);
void methods_fini (methods_t *self); /* none may be left */

/*  Would the service have more than WEFT_SERVICE_METHODS_MAX with this contract? */
bool routes_overflow (const routes_t *self, const methods_t *methods, const contract_t *contract);

/*  One more worker of the service keeps the contract, which must live until the last one left. False: out of memory, it
 *  does not count. */
bool routes_add (routes_t *self, methods_t *methods, const contract_t *contract);

/*  One less. Harmless for one that did not count. */
void routes_remove (routes_t *self, methods_t *methods, const contract_t *contract);

/*  The route of "Service.Method"; NULL: none. Calls come in batches of one method, so the last answer is kept. */
const route_t *routes_find (routes_t *self, text_t method);

#endif
