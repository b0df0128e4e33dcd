/* SPDX-License-Identifier: MPL-2.0
 *
 *  outbox.h - what waits for one peer, batched into as few messages as the limits allow.
 *
 *  A core writes records here during a turn; its shell takes messages out and sends them, once per
 *  turn and peer. A lone record passed on whole (adopt) costs no copy. */

#ifndef OUTBOX_H_INCLUDED
#define OUTBOX_H_INCLUDED

#include "message.h"

typedef struct outbox_part outbox_part_t;

typedef struct {
    buffer_t records;       /* of all parts, back to back */
    zmq_msg_t whole;        /* a records frame passed on as it is */
    bool has_whole;
    zmq_msg_t *attachments;
    size_t attachment_count, attachment_capacity, attachment_bytes;
    outbox_part_t *parts;   /* closed messages; the open one is the rest */
    size_t part_count, part_capacity;
    size_t taken_records, taken_attachments, taken_parts;
    size_t open_records, open_attachments; /* where the open one begins */
    size_t open_bytes;      /* of its attachments */
    size_t record_at;       /* where the record begins that is being written */
    size_t max;             /* bytes in all, but for the batch that is being written */
    bool failed;            /* over max or out of memory: drop the peer */
} outbox_t;

void outbox_init (outbox_t *self, size_t max);
void outbox_fini (outbox_t *self);

/*  Throws away what waits. */
void outbox_clear (outbox_t *self);
bool outbox_empty (const outbox_t *self);

/*  True if a whole message waits, to which nothing is added any more: sent at once, it is worked on over there while the next one is
 *  made here. */
static inline bool outbox_full (const outbox_t *self)
{
    return self->part_count > self->taken_parts;
}
static inline size_t outbox_bytes (const outbox_t *self)
{
    return self->records.size - self->taken_records + self->attachment_bytes;
}

/*  The buffer to append one record to. Call outbox_close_record after each. */
buffer_t *outbox_make_room (outbox_t *self);
static inline buffer_t *outbox_open_record (outbox_t *self)
{
    buffer_t *records = self->taken_records || self->has_whole ? outbox_make_room (self) : &self->records;
    self->record_at = records->size;
    return records;
}

/*  Ends the record. `attachment` is moved in if the record's body is nil, else NULL. */
void outbox_close_message (outbox_t *self, zmq_msg_t *attachment);
static inline void outbox_close_record (outbox_t *self, zmq_msg_t *attachment)
{
    if (attachment || self->records.failed || self->records.size - self->open_records >= WEFT_BATCH_MAX)
        outbox_close_message (self, attachment);
}

/*  Passes on a records frame that holds one record, moved in, with its attachment or NULL. */
void outbox_adopt (outbox_t *self, zmq_msg_t *frame, zmq_msg_t *attachment);

/*  Moves the next message to an empty `message`. False when none waits, or when there is no memory for it: then it has failed. */
bool outbox_take (outbox_t *self, message_t *message);

#endif
