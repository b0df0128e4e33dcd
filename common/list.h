/* SPDX-License-Identifier: MPL-2.0
 *
 *  list.h - a doubly linked list through nodes embedded in its members. */

#ifndef LIST_H_INCLUDED
#define LIST_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>

typedef struct list_node {
    struct list_node *prev, *next;
} list_node_t;

typedef struct {
    list_node_t head;
    size_t count;
} list_t;

/*  The struct that `member` of type `type` is embedded in. */
#define CONTAINER_OF(node, type, member) ((type *) (void *) ((char *) (node) - offsetof (type, member)))

static inline void list_init (list_t *self)
{
    self->head.prev = self->head.next = &self->head;
    self->count = 0;
}

static inline bool list_empty (const list_t *self)
{
    return self->count == 0;
}

/*  A node that is in no list has next == NULL; zeroed memory is such a node. */
static inline bool list_linked (const list_node_t *node)
{
    return node->next != NULL;
}

static inline void list_push (list_t *self, list_node_t *node) /* at the end */
{
    node->prev = self->head.prev;
    node->next = &self->head;
    self->head.prev->next = node;
    self->head.prev = node;
    self->count++;
}

static inline void list_push_front (list_t *self, list_node_t *node)
{
    node->prev = &self->head;
    node->next = self->head.next;
    self->head.next->prev = node;
    self->head.next = node;
    self->count++;
}

static inline void list_remove (list_t *self, list_node_t *node) /* harmless if not linked */
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
    self->count--;
}

static inline list_node_t *list_first (const list_t *self)
{
    return self->count ? self->head.next : NULL;
}

static inline list_node_t *list_last (const list_t *self)
{
    return self->count ? self->head.prev : NULL;
}

static inline list_node_t *list_after (const list_t *self, const list_node_t *node)
{
    return node->next == &self->head ? NULL : node->next;
}

static inline list_node_t *list_pop (list_t *self) /* from the start; NULL when empty */
{
    list_node_t *node = list_first (self);
    if (node)
        list_remove (self, node);
    return node;
}

#endif
