/* SPDX-License-Identifier: MPL-2.0
 *
 *  An id is generation << 32 | slot + 1. A freed slot waits at the tail of the free list, so that the same
 *  slot, and with it a guessable id, comes back as late as possible. */

#include "slots.h"
#include <stdlib.h>

#define NONE UINT32_MAX

struct slots_entry {
    void *value;
    uint32_t generation;
    uint32_t next_free;
};

void slots_init (slots_t *self, uint32_t max)
{
    *self = (slots_t){.max = max, .free_head = NONE, .free_tail = NONE};
}

void slots_fini (slots_t *self)
{
    free (self->entries);
    slots_init (self, self->max);
}

static void push_free (slots_t *self, uint32_t slot)
{
    self->entries [slot].next_free = NONE;
    if (self->free_tail == NONE)
        self->free_head = slot;
    else
        self->entries [self->free_tail].next_free = slot;
    self->free_tail = slot;
}

static bool grow (slots_t *self)
{
    if (self->capacity >= self->max)
        return false;
    const uint64_t wanted = self->capacity ? 2 * (uint64_t) self->capacity : 32;
    const uint32_t capacity = wanted < self->max ? (uint32_t) wanted : self->max;

    struct slots_entry *entries = realloc (self->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    self->entries = entries;
    for (uint32_t slot = self->capacity; slot < capacity; slot++) {
        entries [slot] = (struct slots_entry){.generation = 1};
        push_free (self, slot);
    }
    self->capacity = capacity;
    return true;
}

uint64_t slots_put (slots_t *self, void *value)
{
    if (self->free_head == NONE && !grow (self))
        return 0;
    const uint32_t slot = self->free_head;
    struct slots_entry *entry = &self->entries [slot];
    self->free_head = entry->next_free;
    if (self->free_head == NONE)
        self->free_tail = NONE;
    entry->value = value;
    self->count++;
    return (uint64_t) entry->generation << 32 | (slot + 1);
}

static struct slots_entry *find (const slots_t *self, uint64_t id)
{
    const uint32_t slot = (uint32_t) id - 1;
    if (slot >= self->capacity)
        return NULL;
    struct slots_entry *entry = &self->entries [slot];
    return entry->value && entry->generation == id >> 32 ? entry : NULL;
}

void *slots_get (const slots_t *self, uint64_t id)
{
    const struct slots_entry *entry = find (self, id);
    return entry ? entry->value : NULL;
}

void *slots_take (slots_t *self, uint64_t id)
{
    struct slots_entry *entry = find (self, id);
    if (!entry)
        return NULL;
    void *value = entry->value;
    entry->value = NULL;
    entry->generation++;
    self->count--;
    push_free (self, (uint32_t) id - 1);
    return value;
}

void *slots_next (const slots_t *self, uint32_t *position)
{
    while (*position < self->capacity) {
        void *value = self->entries [(*position)++].value;
        if (value)
            return value;
    }
    return NULL;
}
