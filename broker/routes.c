/* SPDX-License-Identifier: MPL-2.0 */

#include "routes.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX (2 * WEFT_METHOD_NAME_MAX + 2)

typedef struct {
    route_t *route;
    const wire_method_t *method;
    list_node_t node; /* in route->claims */
} claim_t;

/*  A contract in one service. */
typedef struct {
    size_t workers;
    uint32_t count;
    claim_t claims []; /* one for each method */
} variant_t;

/*  Both pointers as bytes: the key of a variant. */
typedef struct {
    const void *methods, *contract;
} pair_t;

void routes_init (routes_t *self, uint64_t seed)
{
    self->last = NULL;
    table_init (&self->by_name, seed);
    table_init (&self->variants, seed + 1);
}

void routes_fini (routes_t *self)
{
    assert (self->by_name.count == 0 && self->variants.count == 0);
    table_fini (&self->by_name);
    table_fini (&self->variants);
}

const route_t *routes_find (routes_t *self, text_t method)
{
    if (self->last && method.size == self->last_size && memcmp (method.data, self->last_name, method.size) == 0)
        return self->last;
    self->last = table_get (&self->by_name, method.data, method.size);
    if (self->last) {
        assert (method.size <= WEFT_METHOD_NAME_MAX);
        memcpy (self->last_name, method.data, method.size);
        self->last_size = method.size;
    }
    return self->last;
}

void methods_init (methods_t *self, struct service *service, text_t name)
{
    *self = (methods_t){.service = service, .name = name};
}

void methods_fini (methods_t *self)
{
    assert (self->count == 0);
    free (self->routes);
}

static size_t key_of (const methods_t *methods, text_t name, char key [KEY_MAX])
{
    memcpy (key, methods->name.data, methods->name.size);
    key [methods->name.size] = '.';
    memcpy (key + methods->name.size + 1, name.data, name.size);
    return methods->name.size + 1 + name.size;
}

static route_t *find (const routes_t *self, const methods_t *methods, text_t name)
{
    char key [KEY_MAX];
    return table_get (&self->by_name, key, key_of (methods, name, key));
}

/*  Where the name is among the sorted, or would go. */
static uint32_t position_of (const methods_t *methods, text_t name)
{
    uint32_t low = 0, high = methods->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (text_compare (methods->routes [middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room (methods_t *methods)
{
    if (methods->count < methods->capacity)
        return true;
    const uint32_t capacity = methods->capacity ? 2 * methods->capacity : 4;
    route_t **grown = realloc (methods->routes, capacity * sizeof *grown);
    if (!grown)
        return false;
    methods->routes = grown;
    methods->capacity = capacity;
    return true;
}

static route_t *route_open (routes_t *self, methods_t *methods, const wire_method_t *method)
{
    char key [KEY_MAX];
    route_t *route = find (self, methods, method->name);
    if (route)
        return route;
    if (!make_room (methods) || !(route = calloc (1, sizeof *route)))
        return NULL;
    if (!table_put (&self->by_name, key, key_of (methods, method->name, key), route)) {
        free (route);
        return NULL;
    }
    route->service = methods->service;
    route->name = method->name;
    list_init (&route->claims);
    const uint32_t at = position_of (methods, method->name);
    memmove (methods->routes + at + 1, methods->routes + at, (methods->count - at) * sizeof *methods->routes);
    methods->routes [at] = route;
    methods->count++;
    return route;
}

static void route_close (routes_t *self, methods_t *methods, route_t *route)
{
    char key [KEY_MAX];
    const uint32_t at = position_of (methods, route->name);

    self->last = NULL;
    table_take (&self->by_name, key, key_of (methods, route->name, key));
    methods->count--;
    memmove (methods->routes + at, methods->routes + at + 1, (methods->count - at) * sizeof *methods->routes);
    free (route);
}

/*  In any order the same: a sum over the methods. */
static uint64_t digest_of (const route_t *route)
{
    return list_empty (&route->claims) ? 0 : table_hash (route->flags, route->name.data, route->name.size);
}

/*  What the claims make of the route now. */
static void agree (route_t *route)
{
    if (list_empty (&route->claims))
        return;
    const claim_t *newest = CONTAINER_OF (route->claims.head.prev, claim_t, node);
    route->method = newest->method;
    route->name = newest->method->name;
    route->flags = (unsigned) newest->method->flags & ~METHOD_IDEMPOTENT;
    if (route->idempotent == route->claims.count)
        route->flags |= METHOD_IDEMPOTENT;
}

static void claim (methods_t *methods, claim_t *claim, route_t *route, const wire_method_t *method)
{
    *claim = (claim_t){.route = route, .method = method};
    methods->digest -= digest_of (route);
    list_push (&route->claims, &claim->node);
    route->idempotent += (method->flags & METHOD_IDEMPOTENT) != 0;
    agree (route);
    methods->digest += digest_of (route);
}

/*  The route may view the claim's method, so it is closed, or told of another, before that goes. */
static void unclaim (routes_t *self, methods_t *methods, claim_t *claim)
{
    route_t *route = claim->route;

    methods->digest -= digest_of (route);
    list_remove (&route->claims, &claim->node);
    route->idempotent -= (claim->method->flags & METHOD_IDEMPOTENT) != 0;
    agree (route);
    methods->digest += digest_of (route);
    if (list_empty (&route->claims))
        route_close (self, methods, route);
}

static void variant_close (routes_t *self, methods_t *methods, variant_t *variant)
{
    for (uint32_t i = 0; i < variant->count; i++)
        unclaim (self, methods, &variant->claims [i]);
    free (variant);
}

static variant_t *variant_open (routes_t *self, methods_t *methods, const contract_t *contract)
{
    variant_t *variant = calloc (1, sizeof *variant + contract->count * sizeof *variant->claims);
    if (!variant)
        return NULL;
    for (; variant->count < contract->count; variant->count++) {
        const wire_method_t *method = &contract->methods [variant->count];
        route_t *route = route_open (self, methods, method);
        if (!route) {
            variant_close (self, methods, variant);
            return NULL;
        }
        claim (methods, &variant->claims [variant->count], route, method);
    }
    return variant;
}

static variant_t *variant_find (const routes_t *self, const methods_t *methods, const contract_t *contract)
{
    const pair_t pair = {methods, contract};
    return table_get (&self->variants, &pair, sizeof pair);
}

bool routes_overflow (const routes_t *self, const methods_t *methods, const contract_t *contract)
{
    uint32_t count = methods->count;
    if (count + contract->count <= WEFT_SERVICE_METHODS_MAX || variant_find (self, methods, contract))
        return false;
    for (uint32_t i = 0; i < contract->count; i++)
        count += !find (self, methods, contract->methods [i].name);
    return count > WEFT_SERVICE_METHODS_MAX;
}

bool routes_add (routes_t *self, methods_t *methods, const contract_t *contract)
{
    const pair_t pair = {methods, contract};
    variant_t *variant = variant_find (self, methods, contract);

    if (!variant) {
        variant = variant_open (self, methods, contract);
        if (variant && !table_put (&self->variants, &pair, sizeof pair, variant)) {
            variant_close (self, methods, variant);
            variant = NULL;
        }
    }
    if (variant)
        variant->workers++;
    return variant != NULL;
}

void routes_remove (routes_t *self, methods_t *methods, const contract_t *contract)
{
    const pair_t pair = {methods, contract};
    variant_t *variant = variant_find (self, methods, contract);

    if (!variant || --variant->workers > 0)
        return;
    table_take (&self->variants, &pair, sizeof pair);
    variant_close (self, methods, variant);
}
