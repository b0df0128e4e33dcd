/* SPDX-License-Identifier: MPL-2.0
 *
 *  intake.h - the items of a stream on their way to the user: what came, what was taken, and how many more to ask for.
 *
 *      promised     asked for, not here yet
 *      held         here, not taken yet
 *
 *  Both are counted in credits, of which a large item takes several, and are together at most the window; when half of it is free,
 *  more is asked for. The last credit pays for an item of any size: then less than nothing is promised, until that is taken.
 *  Decides; sends nothing. */

#ifndef INTAKE_H_INCLUDED
#define INTAKE_H_INCLUDED

#include <weft/limits.h>
#include <stdbool.h>
#include <zmq.h>
#include "list.h"
#include <stdint.h>

typedef struct intake_item {
    struct intake_item *next;
    size_t size;
    bool attached;
    zmq_msg_t frame;
    uint8_t bytes [];
} intake_item_t;

typedef struct intake {
    int64_t window, promised, held;
    uint64_t index;             /* of the item that comes next */
    uint64_t taken;             /* in all */
    intake_item_t *first, **last;
    intake_item_t *current;     /* taken last: the user looks at it */
    list_t *fresh_list;         /* streams with items that nobody was told of; NULL before the first */
    list_node_t fresh;
    struct weft_call *call;     /* while it is among those */
} intake_t;

/*  NULL: out of memory. */
intake_t *intake_new (uint64_t window);
void intake_free (intake_t *self);

/*  Before an attempt: forgets what came of an earlier one. How many credits to give with the request. */
uint64_t intake_begin (intake_t *self);

/*  An item came; its attachment, if it has one, is moved. UNASKED: or in the wrong place. */
typedef enum { INTAKE_OK, INTAKE_GAP, INTAKE_UNASKED, INTAKE_NO_MEMORY } intake_result_t;
intake_result_t intake_put (intake_t *self, uint64_t index, const void *body, size_t size, zmq_msg_t *attachment);

static inline bool intake_holds (const intake_t *self)
{
    return self->first != NULL;
}

/*  The oldest that was not taken, NULL if there is none; it lives until the next is taken. */
intake_item_t *intake_take (intake_t *self);
const void *intake_bytes (intake_item_t *item);

/*  How many credits more to give now; 0: there is no need yet. They count as promised. */
uint64_t intake_ask (intake_t *self);

/*  Forgets what was not taken. */
void intake_drop (intake_t *self);

#endif
