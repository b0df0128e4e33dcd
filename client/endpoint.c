/* SPDX-License-Identifier: MPL-2.0 */

#include "endpoint.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define EJECT_FIRST_US 200000
#define EJECT_MAX_US   30000000
#define SILENCES_MAX   3 /* deadlines in a row that eject */

static bool same_addresses (const endpoint_t *self, const char *const *addresses, size_t count)
{
    if (self->address_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp (self->addresses [i], addresses [i]) != 0)
            return false;
    return true;
}

static void take_addresses (endpoint_t *self, const char *const *addresses, size_t count)
{
    if (count > WEFT_ENDPOINTS_MAX)
        count = WEFT_ENDPOINTS_MAX;
    if (same_addresses (self, addresses, count))
        return;
    free (self->addresses);
    self->addresses = count ? calloc (count, sizeof *self->addresses) : NULL;
    self->address_count = self->address_next = 0;
    for (size_t i = 0; self->addresses && i < count; i++) {
        const size_t size = strlen (addresses [i]);
        if (size > 0 && size <= WEFT_ENDPOINT_MAX)
            memcpy (self->addresses [self->address_count++], addresses [i], size + 1);
    }
}

bool endpoint_update (endpoint_t *self, uint64_t incarnation, uint64_t capacity, endpoint_state_t state,
                      const char *const *addresses, size_t count)
{
    if (incarnation < self->incarnation)
        return false;
    const bool changed =
        incarnation != self->incarnation || state != self->state || !same_addresses (self, addresses, count);
    if (incarnation > self->incarnation)
        self->failures = self->silences = 0; /* it registered anew: it deserves a fresh try */
    self->incarnation = incarnation;
    self->capacity = capacity ? capacity : 1;
    self->state = state;
    if (state != ENDPOINT_GONE)
        take_addresses (self, addresses, count);
    return changed;
}

static int address_rank (const char *address)
{
    return strncmp (address, "inproc:", 7) == 0 ? 2 : strncmp (address, "ipc:", 4) == 0 ? 1 : 0;
}

const char *endpoint_address (endpoint_t *self, endpoint_reach_fn *reach, void *arg)
{
    const char *usable [WEFT_ENDPOINTS_MAX];
    size_t count = 0;
    for (int rank = 2; rank >= 0; rank--)
        for (size_t i = 0; i < self->address_count; i++)
            if (address_rank (self->addresses [i]) == rank && reach (self->addresses [i], arg))
                usable [count++] = self->addresses [i];
    return count ? usable [self->address_next % count] : NULL;
}

static void eject (endpoint_t *self, int64_t now_us, dice_t *dice)
{
    int64_t length_us = EJECT_FIRST_US;
    for (unsigned i = 1; i < self->failures && length_us < EJECT_MAX_US; i++)
        length_us *= 2;
    if (length_us > EJECT_MAX_US)
        length_us = EJECT_MAX_US;
    length_us -= (int64_t) dice_below (dice, (uint64_t) length_us / 4);
    self->ejected_until_us = now_us + length_us;
    self->probing = false;
    self->silences = 0;
}

void endpoint_silent (endpoint_t *self, int64_t now_us, bool probe, bool may_eject, dice_t *dice)
{
    if (self->ejected_until_us && !probe)
        return; /* it was sent before the others that ejected it: the same failure */
    self->silences++;
    if (!probe && self->silences < SILENCES_MAX)
        return;
    if (!may_eject)
        return; /* nor does it count: it was spared for the others' sake, and its first time out is a short one */
    self->failures++;
    eject (self, now_us, dice);
}

void endpoint_connected (endpoint_t *self, int64_t now_us)
{
    if (self->unreachable)
        self->ramp_us = now_us;
    self->unreachable = false;
    if (self->silences == 0)
        self->ejected_until_us = 0; /* the failures stay on record until it has answered */
}

void endpoint_unreachable (endpoint_t *self, int64_t now_us, dice_t *dice)
{
    const link_t *link = &self->link;
    const bool refused = link->state == LINK_CONNECTING || (link->state == LINK_READY && !link->welcomed);
    self->address_next = refused ? self->address_next + 1 : 0;
    self->unreachable = true;
    if (endpoint_ejected (self, now_us))
        return; /* calls that want it alone try it all the same, often: that is no reason to keep it out for longer */
    self->failures++;
    eject (self, now_us, dice);
}

void endpoints_init (endpoints_t *self, uint64_t seed)
{
    table_init (&self->by_uuid, seed);
    ids_init (&self->by_alias);
    list_init (&self->orphans);
}

static void endpoint_free (endpoint_t *endpoint)
{
    link_fini (&endpoint->link);
    free (endpoint->addresses);
    free (endpoint);
}

void endpoints_fini (endpoints_t *self)
{
    size_t position = 0;
    for (endpoint_t *endpoint; (endpoint = table_next (&self->by_uuid, &position));)
        endpoint_free (endpoint);
    table_fini (&self->by_uuid);
    ids_fini (&self->by_alias);
}

endpoint_t *endpoints_find (const endpoints_t *self, const char *uuid, size_t size)
{
    return table_get (&self->by_uuid, uuid, size);
}

endpoint_t *endpoints_add (endpoints_t *self, const char *uuid)
{
    const size_t size = strlen (uuid);
    endpoint_t *endpoint = endpoints_find (self, uuid, size);
    if (endpoint || size == 0 || size > ENDPOINT_UUID_MAX)
        return endpoint;
    endpoint = calloc (1, sizeof *endpoint);
    if (!endpoint)
        return NULL;
    link_init (&endpoint->link);
    memcpy (endpoint->uuid, uuid, size + 1);
    endpoint->hash = table_hash (0, uuid, size); /* unseeded: all clients agree */
    endpoint->capacity = 1;
    if (!table_put (&self->by_uuid, uuid, size, endpoint)) {
        endpoint_free (endpoint);
        return NULL;
    }
    return endpoint;
}

void endpoints_remove (endpoints_t *self, endpoint_t *endpoint)
{
    assert (endpoint->lists == 0 && endpoint->outstanding == 0 && endpoint->link.state == LINK_IDLE);
    list_remove (&self->orphans, &endpoint->orphan);
    table_take (&self->by_uuid, endpoint->uuid, strlen (endpoint->uuid));
    endpoint_free (endpoint);
}

void endpoints_list (endpoints_t *self, endpoint_t *endpoint)
{
    if (endpoint->lists++ == 0)
        list_remove (&self->orphans, &endpoint->orphan);
}

void endpoints_unlist (endpoints_t *self, endpoint_t *endpoint)
{
    assert (endpoint->lists > 0);
    if (--endpoint->lists > 0)
        return;
    endpoint->state = ENDPOINT_GONE;
    list_push (&self->orphans, &endpoint->orphan);
}
