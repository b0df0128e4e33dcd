/* SPDX-License-Identifier: MPL-2.0
 *
 *  Linear probing at no more than 3/4 full. A removed entry leaves a tombstone (key, no value), swept
 *  out when the table is rebuilt. */

#include "table.h"
#include <stdlib.h>
#include <string.h>

struct table_entry {
    void *value;
    uint8_t *key; /* NULL: never used */
    size_t size;
    uint64_t hash;
};

static uint8_t tombstone;

void table_init (table_t *self, uint64_t seed)
{
    *self = (table_t){.seed = seed};
}

void table_fini (table_t *self)
{
    for (size_t i = 0; i < self->capacity; i++)
        if (self->entries [i].value)
            free (self->entries [i].key);
    free (self->entries);
    table_init (self, self->seed);
}

static uint64_t mix (uint64_t x)
{
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

uint64_t table_hash (uint64_t seed, const void *key, size_t size)
{
    const uint8_t *at = key;
    uint64_t hash = mix (seed ^ size), word;
    for (; size >= 8; at += 8, size -= 8) {
        memcpy (&word, at, 8);
        hash = mix (hash ^ word);
    }
    word = 0;
    if (size)
        memcpy (&word, at, size);
    return mix (hash ^ word);
}

static struct table_entry *find (const table_t *self, const void *key, size_t size, uint64_t hash)
{
    if (self->capacity == 0)
        return NULL;
    for (size_t i = hash & (self->capacity - 1);; i = (i + 1) & (self->capacity - 1)) {
        struct table_entry *entry = &self->entries [i];
        if (!entry->key)
            return NULL;
        if (entry->value && entry->hash == hash && entry->size == size
            && (size == 0 || memcmp (entry->key, key, size) == 0))
            return entry;
    }
}

/*  The first place without a value on the way of `hash`; there is one. */
static struct table_entry *vacancy (const table_t *self, uint64_t hash)
{
    size_t i = hash & (self->capacity - 1);
    while (self->entries [i].value)
        i = (i + 1) & (self->capacity - 1);
    return &self->entries [i];
}

static bool rebuild (table_t *self)
{
    table_t grown = *self;
    grown.capacity = 16;
    while (grown.capacity < 2 * (self->count + 1))
        grown.capacity *= 2;
    grown.entries = calloc (grown.capacity, sizeof *grown.entries);
    if (!grown.entries)
        return false;
    grown.used = self->count;
    for (size_t i = 0; i < self->capacity; i++)
        if (self->entries [i].value)
            *vacancy (&grown, self->entries [i].hash) = self->entries [i];
    free (self->entries);
    *self = grown;
    return true;
}

bool table_put (table_t *self, const void *key, size_t size, void *value)
{
    const uint64_t hash = table_hash (self->seed, key, size);
    struct table_entry *entry = find (self, key, size, hash);
    if (entry) {
        entry->value = value;
        return true;
    }
    if (4 * (self->used + 1) > 3 * self->capacity && !rebuild (self))
        return false;
    uint8_t *copy = malloc (size ? size : 1);
    if (!copy)
        return false;
    if (size)
        memcpy (copy, key, size);
    entry = vacancy (self, hash);
    self->used += entry->key == NULL;
    self->count++;
    *entry = (struct table_entry){value, copy, size, hash};
    return true;
}

void *table_get (const table_t *self, const void *key, size_t size)
{
    const struct table_entry *entry = find (self, key, size, table_hash (self->seed, key, size));
    return entry ? entry->value : NULL;
}

void *table_take (table_t *self, const void *key, size_t size)
{
    struct table_entry *entry = find (self, key, size, table_hash (self->seed, key, size));
    if (!entry)
        return NULL;
    void *value = entry->value;
    free (entry->key);
    *entry = (struct table_entry){.key = &tombstone};
    self->count--;
    return value;
}

void *table_next (const table_t *self, size_t *position)
{
    while (*position < self->capacity) {
        void *value = self->entries [(*position)++].value;
        if (value)
            return value;
    }
    return NULL;
}
