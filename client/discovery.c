/* SPDX-License-Identifier: MPL-2.0 */

#include "discovery.h"
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

discovery_t *discovery_new (const char *service, int64_t refresh_us, uint64_t seed)
{
    discovery_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->request.kind = REQUEST_WATCH;
    self->refresh_us = refresh_us;
    snprintf (self->service, sizeof self->service, "%s", service);
    table_init (&self->methods, seed);
    list_init (&self->waiting);
    return self;
}

void discovery_free (discovery_t *self, endpoints_t *endpoints)
{
    for (size_t i = 0; i < self->count; i++)
        endpoints_unlist (endpoints, self->members [i]);
    free (self->members);
    table_fini (&self->methods);
    free (self);
}

bool discovery_wants (const discovery_t *self, int64_t now_us)
{
    switch (self->state) {
    case DISCOVERY_IDLE:
        return true;
    case DISCOVERY_WATCHING:
        return self->count == 0 || now_us - self->updated_us >= self->refresh_us ||
               (self->confirm_us && now_us >= self->confirm_us);
    default: /* a broker that owes the list for so long has lost the question */
        return now_us - self->asked_us >= self->refresh_us;
    }
}

void discovery_asked (discovery_t *self, int64_t now_us)
{
    self->state = DISCOVERY_ASKING;
    self->asked_us = now_us;
}

void discovery_lost (discovery_t *self)
{
    self->state = DISCOVERY_IDLE;
}

void discovery_cut_off (discovery_t *self, int64_t now_us)
{
    discovery_asked (self, now_us);
    self->cut_off = true;
}

bool discovery_usable (const discovery_t *self)
{
    return self->listed && (self->count > 0 || self->state == DISCOVERY_WATCHING);
}

bool discovery_in_doubt (const discovery_t *self)
{
    return self->count > 0 && (self->cut_off || self->confirm_us != 0);
}

/*  Where the UUID is, or would go. */
static size_t position_of (const discovery_t *self, const char *uuid, bool *found)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp (self->members [middle]->uuid, uuid) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < self->count && strcmp (self->members [low]->uuid, uuid) == 0;
    return low;
}

static bool insert (discovery_t *self, size_t at, endpoint_t *endpoint, endpoints_t *endpoints)
{
    if (self->count == self->capacity) {
        const size_t capacity = self->capacity ? 2 * self->capacity : 8;
        endpoint_t **members = realloc (self->members, capacity * sizeof *members);
        if (!members)
            return false;
        self->members = members;
        self->capacity = capacity;
    }
    memmove (self->members + at + 1, self->members + at, (self->count - at) * sizeof *self->members);
    self->members [at] = endpoint;
    self->count++;
    endpoints_list (endpoints, endpoint);
    return true;
}

static void erase (discovery_t *self, size_t at, endpoints_t *endpoints)
{
    endpoint_t *endpoint = self->members [at];
    self->count--;
    memmove (self->members + at, self->members + at + 1, (self->count - at) * sizeof *self->members);
    endpoints_unlist (endpoints, endpoint);
}

static endpoint_state_t state_of (const char *name)
{
    if (strcmp (name, "alive") == 0)
        return ENDPOINT_ALIVE;
    if (strcmp (name, "suspect") == 0)
        return ENDPOINT_SUSPECT;
    return strcmp (name, "draining") == 0 ? ENDPOINT_DRAINING : ENDPOINT_GONE;
}

/*  1: something changed; 0: nothing new, or a row that makes no sense; -1: out of memory. */
static int apply_row (discovery_t *self, const worker_row *row, endpoints_t *endpoints)
{
    const endpoint_state_t state = state_of (row->state);
    const size_t size = strlen (row->uuid);
    bool found;
    const size_t at = position_of (self, row->uuid, &found);

    if (state == ENDPOINT_GONE) {
        const bool ours = found && row->incarnation >= self->members [at]->incarnation;
        if (ours)
            erase (self, at, endpoints);
        return ours;
    }
    if (size == 0 || size > ENDPOINT_UUID_MAX)
        return 0;
    endpoint_t *endpoint = endpoints_add (endpoints, row->uuid);
    if (!endpoint || (!found && !insert (self, at, endpoint, endpoints)))
        return -1;
    const bool changed = endpoint_update (endpoint, row->incarnation, row->capacity, state, row->endpoints,
                                          row->endpoint_count);
    return changed || !found;
}

/*  Those that a whole list does not name are gone. */
static void erase_unnamed (discovery_t *self, const watch_item *change, endpoints_t *endpoints,
                           discovery_observer_fn *observer, void *arg)
{
    table_t named;
    table_init (&named, self->methods.seed);
    for (size_t i = 0; i < change->worker_count; i++)
        table_put (&named, change->workers [i].uuid, strlen (change->workers [i].uuid), self);
    for (size_t i = self->count; i-- > 0;) {
        endpoint_t *endpoint = self->members [i];
        if (table_get (&named, endpoint->uuid, strlen (endpoint->uuid)))
            continue;
        char uuid [ENDPOINT_UUID_MAX + 1];
        memcpy (uuid, endpoint->uuid, sizeof uuid);
        erase (self, i, endpoints);
        if (observer)
            observer (self, &(worker_row){.uuid = uuid, .state = "gone", .name = "", .host = ""}, arg);
    }
    table_fini (&named);
}

static bool take_methods (discovery_t *self, const watch_item *change)
{
    if (change->method_count == 0)
        return true; /* nothing new; a service that was known stays known */
    table_t methods;
    table_init (&methods, self->methods.seed);
    for (size_t i = 0; i < change->method_count; i++) {
        const flags_row *method = &change->methods [i];
        void *flags = (void *) (uintptr_t) ((method->flags & 0xffff) + 1);
        if (!table_put (&methods, method->name, strlen (method->name), flags)) {
            table_fini (&methods);
            return false;
        }
    }
    table_fini (&self->methods);
    self->methods = methods;
    return true;
}

discovery_result_t discovery_apply (discovery_t *self, const watch_item *change,
                                    endpoints_t *endpoints, int64_t now_us, discovery_observer_fn *observer,
                                    void *arg)
{
    if (!change->full && (self->state != DISCOVERY_WATCHING || change->previous != self->revision))
        return DISCOVERY_GAP;
    if (change->full && !self->cut_off)
        erase_unnamed (self, change, endpoints, observer, arg);
    if (change->full) {
        self->confirm_us = self->cut_off ? now_us + WEFT_TTL_MS * 1000LL : 0;
        self->cut_off = false;
    }
    for (size_t i = 0; i < change->worker_count; i++) {
        const int changed = apply_row (self, &change->workers [i], endpoints);
        if (changed < 0)
            return DISCOVERY_NO_MEMORY;
        if (changed && observer)
            observer (self, &change->workers [i], arg);
    }
    if (!take_methods (self, change))
        return DISCOVERY_NO_MEMORY;
    self->revision = change->revision;
    self->updated_us = now_us;
    self->listed = true;
    self->state = DISCOVERY_WATCHING;
    return DISCOVERY_OK;
}

bool discovery_offers (const discovery_t *self, const char *method, size_t size)
{
    return table_get (&self->methods, method, size) != NULL;
}

unsigned discovery_flags (const discovery_t *self, const char *method, size_t size)
{
    const uintptr_t flags = (uintptr_t) table_get (&self->methods, method, size);
    return flags ? (unsigned) (flags - 1) : 0;
}

bool discovery_may_eject (const discovery_t *self, int64_t now_us)
{
    size_t ejected = 0;
    for (size_t i = 0; i < self->count; i++)
        ejected += endpoint_ejected (self->members [i], now_us) || self->members [i]->unreachable;
    return (ejected + 1) * 2 <= self->count;
}
