/* SPDX-License-Identifier: MPL-2.0
 *
 *  chains.h - finding things by a 64-bit hash through nodes embedded in them: no allocation per thing.
 *
 *  The hash need not be unique: whoever searches compares what it finds. */

#ifndef CHAINS_H_INCLUDED
#define CHAINS_H_INCLUDED

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct chain_node {
    struct chain_node *next;
    uint64_t hash;
} chain_node_t;

typedef struct {
    chain_node_t **heads;
    size_t mask;
    uint64_t seed;
} chains_t;

/*  `width`: how many chains, a power of two. False when out of memory. */
static inline bool chains_init (chains_t *self, size_t width, uint64_t seed)
{
    self->heads = calloc (width, sizeof *self->heads);
    self->mask = width - 1;
    self->seed = seed | 1;
    return self->heads != NULL;
}

static inline void chains_fini (chains_t *self)
{
    free (self->heads);
    self->heads = NULL;
}

/*  The hash of a pair. Peers choose numbers but not the seed. */
static inline uint64_t chains_hash (const chains_t *self, uint64_t a, uint64_t b)
{
    uint64_t hash = (a ^ (self->seed >> 7)) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ (hash >> 29) ^ b) * self->seed;
    return hash ^ (hash >> 32);
}

/*  The same where `b` is a number that grows by one: neighbours lie beside each other. Its low bits are as they are, and what the
 *  peer may choose above them is as secret as `a`. */
static inline uint64_t chains_hash_serial (const chains_t *self, uint64_t a, uint64_t b)
{
    return chains_hash (self, a, b >> 16) + (b & 0xffff);
}

static inline void chains_add (chains_t *self, chain_node_t *node, uint64_t hash)
{
    chain_node_t **head = &self->heads [hash & self->mask];
    node->hash = hash;
    node->next = *head;
    *head = node;
}

static inline void chains_remove (chains_t *self, chain_node_t *node)
{
    chain_node_t **at = &self->heads [node->hash & self->mask];
    while (*at != node) {
        assert (*at);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
}

/*  The first node with this hash at or behind `node`; start with chains_first. */
static inline chain_node_t *chains_match (chain_node_t *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

static inline chain_node_t *chains_first (const chains_t *self, uint64_t hash)
{
    return chains_match (self->heads [hash & self->mask], hash);
}

#endif
