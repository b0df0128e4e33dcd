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
    self->service_size = strlen (self->service);
    table_init (&self->methods, seed);
    table_init (&self->listed_now, seed);
    table_init (&self->tails, seed);
    list_init (&self->waiting);
    return self;
}

/*  What came of a list that never became whole is forgotten. */
static void drop_coming (discovery_t *self, endpoints_t *endpoints)
{
    size_t position = 0;
    for (endpoint_t *endpoint; (endpoint = table_next (&self->listed_now, &position));)
        endpoints_unlist (endpoints, endpoint);
    table_fini (&self->listed_now);
    self->coming = false;
}

void discovery_free (discovery_t *self, endpoints_t *endpoints)
{
    for (size_t i = 0; i < self->count; i++)
        endpoints_unlist (endpoints, self->members [i]);
    drop_coming (self, endpoints);
    free (self->members);
    table_fini (&self->methods);
    size_t position = 0;
    for (tail_t *tail; (tail = table_next (&self->tails, &position));)
        free (tail);
    table_fini (&self->tails);
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
    self->coming = false;
    self->asked_us = now_us;
}

void discovery_lost (discovery_t *self)
{
    self->state = DISCOVERY_IDLE;
    self->coming = false;
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

/*  A list names it. One that joins others there is new. */
static void enlist (const discovery_t *self, endpoint_t *endpoint, endpoints_t *endpoints, int64_t now_us)
{
    if (self->listed && endpoint->lists == 0)
        endpoint->ramp_us = now_us;
    endpoints_list (endpoints, endpoint);
}

static bool insert (discovery_t *self, size_t at, endpoint_t *endpoint, endpoints_t *endpoints, int64_t now_us)
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
    enlist (self, endpoint, endpoints, now_us);
    return true;
}

static void erase (discovery_t *self, size_t at, endpoints_t *endpoints)
{
    endpoint_t *endpoint = self->members [at];
    self->count--;
    memmove (self->members + at, self->members + at + 1, (self->count - at) * sizeof *self->members);
    endpoints_unlist (endpoints, endpoint);
}

/*  One that is stuck, but could run more, is as good as any. A state that is not known here is one of a worker that is there. */
static endpoint_state_t state_of (const worker_row *row)
{
    if (strcmp (row->state, "stuck") == 0)
        return row->in_flight >= row->capacity ? ENDPOINT_STUCK : ENDPOINT_ALIVE;
    if (strcmp (row->state, "suspect") == 0)
        return ENDPOINT_SUSPECT;
    if (strcmp (row->state, "draining") == 0)
        return ENDPOINT_DRAINING;
    return strcmp (row->state, "gone") == 0 ? ENDPOINT_GONE : ENDPOINT_ALIVE;
}

/*  1: something changed; 0: nothing new, or a row that makes no sense; -1: out of memory. Who is not a
 *  member becomes one only if `join`. */
static int apply_row (discovery_t *self, const worker_row *row, bool join, endpoints_t *endpoints,
                      int64_t now_us)
{
    const endpoint_state_t state = state_of (row);
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
    if (!endpoint || (!found && join && !insert (self, at, endpoint, endpoints, now_us)))
        return -1;
    const bool changed = endpoint_update (endpoint, row->incarnation, row->capacity, state, row->endpoints,
                                          row->endpoint_count);
    return found ? changed : join;
}

/*  A list that comes. */

/*  One more row of it, or a change of one. False: out of memory, or the list is too long. */
static bool note_row (discovery_t *self, const worker_row *row, endpoints_t *endpoints, int64_t now_us)
{
    const size_t size = strlen (row->uuid);
    endpoint_t *endpoint = table_get (&self->listed_now, row->uuid, size);

    if (state_of (row) == ENDPOINT_GONE) {
        if (endpoint && row->incarnation >= endpoint->incarnation)
            endpoints_unlist (endpoints, table_take (&self->listed_now, row->uuid, size));
        return true;
    }
    if (endpoint || size == 0 || size > ENDPOINT_UUID_MAX)
        return true;
    endpoint = self->listed_now.count < WEFT_CLIENT_LISTED_MAX ? endpoints_add (endpoints, row->uuid) : NULL;
    if (!endpoint || !table_put (&self->listed_now, row->uuid, size, endpoint))
        return false;
    enlist (self, endpoint, endpoints, now_us);
    return true;
}

static const char *state_name (endpoint_state_t state)
{
    return state == ENDPOINT_ALIVE     ? "alive"
           : state == ENDPOINT_SUSPECT ? "suspect"
           : state == ENDPOINT_STUCK   ? "stuck"
                                       : "draining";
}

static void tell (const discovery_t *self, const endpoint_t *endpoint, const char *state,
                  discovery_observer_fn *observer, void *arg)
{
    const char *address = endpoint->address_count ? endpoint->addresses [0] : NULL;
    if (observer)
        observer (self,
                  &(worker_row){.uuid = endpoint->uuid,
                                .incarnation = endpoint->incarnation,
                                .state = state,
                                .endpoints = &address,
                                .endpoint_count = address != NULL,
                                .name = "",
                                .host = ""},
                  arg);
}

static int by_uuid (const void *a, const void *b)
{
    return strcmp ((*(endpoint_t *const *) a)->uuid, (*(endpoint_t *const *) b)->uuid);
}

/*  Whoever is on it, by UUID; to be freed. NULL: out of memory. */
static endpoint_t **sort_coming (const discovery_t *self)
{
    endpoint_t **sorted = calloc (self->listed_now.count + 1, sizeof *sorted);
    size_t count = 0, position = 0;
    for (endpoint_t *endpoint; sorted && (endpoint = table_next (&self->listed_now, &position));)
        sorted [count++] = endpoint;
    if (sorted)
        qsort (sorted, count, sizeof *sorted, by_uuid);
    return sorted;
}

/*  The list is whole: who is on it are the members from now on, with those before if they are not to be
 *  doubted. */
static bool merge_coming (discovery_t *self, bool keep_unnamed, endpoints_t *endpoints,
                          discovery_observer_fn *observer, void *arg)
{
    const size_t named_count = self->listed_now.count, capacity = named_count + self->count + 1;
    endpoint_t **named = sort_coming (self), **merged = calloc (capacity, sizeof *merged);
    size_t count = 0, old = 0, new = 0;
    if (!named || !merged) {
        free (named);
        free (merged);
        return false;
    }
    while (old < self->count || new < named_count) {
        endpoint_t *before = old < self->count ? self->members [old] : NULL;
        endpoint_t *now = new < named_count ? named [new] : NULL;
        const int order = !before ? 1 : !now ? -1 : strcmp (before->uuid, now->uuid);
        old += order <= 0;
        new += order >= 0;
        if (order >= 0)
            merged [count++] = now; /* its place on the coming list becomes that among the members */
        if (order > 0)
            tell (self, now, state_name (now->state), observer, arg);
        if (order < 0 && keep_unnamed)
            merged [count++] = before;
        else if (order <= 0)
            endpoints_unlist (endpoints, before);
        if (order < 0 && !keep_unnamed)
            tell (self, before, "gone", observer, arg);
    }
    free (named);
    free (self->members);
    self->members = merged;
    self->count = count;
    self->capacity = capacity;
    table_fini (&self->listed_now);
    return true;
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

/*  What is said of single workers, in a part of a list or between two. */
static bool apply_rows (discovery_t *self, const watch_item *change, endpoints_t *endpoints, int64_t now_us,
                        discovery_observer_fn *observer, void *arg)
{
    for (size_t i = 0; i < change->worker_count; i++) {
        const worker_row *row = &change->workers [i];
        if (self->coming && !note_row (self, row, endpoints, now_us))
            return false;
        const int changed = apply_row (self, row, !change->full, endpoints, now_us);
        if (changed < 0)
            return false;
        if (changed && observer)
            observer (self, row, arg);
    }
    return true;
}

static bool complete (discovery_t *self, endpoints_t *endpoints, int64_t now_us,
                      discovery_observer_fn *observer, void *arg)
{
    if (!merge_coming (self, self->cut_off, endpoints, observer, arg))
        return false;
    self->coming = false;
    self->confirm_us = self->cut_off ? now_us + WEFT_TTL_MS * 1000LL : 0;
    self->cut_off = false;
    self->listed = true;
    self->state = DISCOVERY_WATCHING;
    return true;
}

discovery_result_t discovery_apply (discovery_t *self, const watch_item *change, endpoints_t *endpoints,
                                    int64_t now_us, discovery_observer_fn *observer, void *arg)
{
    const bool begins = change->full && !self->coming;
    if (!begins &&
        ((!self->coming && self->state != DISCOVERY_WATCHING) || change->previous != self->revision))
        return DISCOVERY_GAP;
    if (begins) {
        drop_coming (self, endpoints);
        self->coming = true;
    }
    if (!apply_rows (self, change, endpoints, now_us, observer, arg) || !take_methods (self, change))
        return DISCOVERY_NO_MEMORY;
    const bool whole = change->full && !(change->has_more && change->more);
    if (whole && !complete (self, endpoints, now_us, observer, arg))
        return DISCOVERY_NO_MEMORY;
    self->revision = change->revision;
    self->updated_us = self->asked_us = now_us;
    return self->coming ? DISCOVERY_PART : DISCOVERY_OK;
}

bool discovery_unneeded (const discovery_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->members [i]->outstanding > 0)
            return false;
    return list_empty (&self->waiting);
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

tail_t *discovery_tail (discovery_t *self, const char *method, size_t size, int64_t now_us)
{
    tail_t *tail = table_get (&self->tails, method, size);
    if (tail || self->tails.count >= WEFT_SERVICE_METHODS_MAX || !discovery_offers (self, method, size))
        return tail;
    tail = malloc (sizeof *tail);
    if (!tail)
        return NULL;
    tail_init (tail, now_us);
    if (table_put (&self->tails, method, size, tail))
        return tail;
    free (tail);
    return NULL;
}

bool discovery_may_eject (const discovery_t *self, const endpoint_t *endpoint, int64_t now_us)
{
    size_t count = 0, out = 1;
    for (size_t i = 0; i < self->count; i++) {
        const endpoint_fitness_t fitness = endpoint_fitness (self->members [i], now_us);
        count += fitness > ENDPOINT_ROUTED;
        out += fitness > ENDPOINT_ROUTED && fitness < ENDPOINT_GOOD && self->members [i] != endpoint;
    }
    return out * 2 <= count;
}
