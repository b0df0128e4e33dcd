/* SPDX-License-Identifier: MPL-2.0 */

#include "outbox.h"
#include <stdlib.h>
#include <string.h>

/*  Where a closed message ends. */
struct outbox_part {
    size_t records_end, attachments_end;
};

#define ATTACHMENTS_MAX (WEFT_MESSAGE_FRAMES_MAX - 1)

void outbox_init (outbox_t *self, size_t max)
{
    *self = (outbox_t){.max = max};
    buffer_init (&self->records, max);
}

/*  Forgets what was taken or thrown away; memory of a usual size stays. */
static void rewind_all (outbox_t *self)
{
    if (self->records.capacity > 8 * WEFT_BATCH_MAX)
        buffer_fini (&self->records);
    buffer_clear (&self->records);
    self->records.max = self->max;
    self->attachment_count = self->attachment_bytes = self->part_count = 0;
    self->taken_records = self->taken_attachments = self->taken_parts = 0;
    self->open_records = self->open_attachments = self->open_bytes = 0;
}

void outbox_clear (outbox_t *self)
{
    for (size_t i = self->taken_attachments; i < self->attachment_count; i++)
        zmq_msg_close (&self->attachments [i]);
    if (self->has_whole)
        zmq_msg_close (&self->whole);
    self->has_whole = self->failed = false;
    rewind_all (self);
}

void outbox_fini (outbox_t *self)
{
    outbox_clear (self);
    buffer_fini (&self->records);
    free (self->attachments);
    free (self->parts);
    *self = (outbox_t){0};
}

bool outbox_empty (const outbox_t *self)
{
    return !self->has_whole && self->taken_records == self->records.size;
}

static bool grow (void **array, size_t *capacity, size_t element_size)
{
    const size_t wanted = *capacity ? 2 * *capacity : 8;
    void *grown = realloc (*array, wanted * element_size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

/*  The records from here on go into another message. */
static void close_part (outbox_t *self, size_t records_end)
{
    if (self->part_count == self->part_capacity
        && !grow ((void **) &self->parts, &self->part_capacity, sizeof *self->parts)) {
        self->failed = true;
        return;
    }
    self->open_records = records_end;
    self->open_attachments = self->attachment_count;
    self->open_bytes = 0;
    self->parts [self->part_count++] = (outbox_part_t){self->open_records, self->open_attachments};
}

static void add_attachment (outbox_t *self, zmq_msg_t *attachment)
{
    const size_t size = zmq_msg_size (attachment);
    if (outbox_bytes (self) + size > self->max
        || (self->attachment_count == self->attachment_capacity
            && !grow ((void **) &self->attachments, &self->attachment_capacity, sizeof *self->attachments))) {
        self->failed = true;
        return;
    }
    zmq_msg_t *frame = &self->attachments [self->attachment_count++];
    zmq_msg_init (frame);
    zmq_msg_move (frame, attachment);
    self->attachment_bytes += size;
    self->open_bytes += size;
}

/*  A frame that was passed on whole gets company: its record becomes an ordinary one. */
static void unfold_whole (outbox_t *self)
{
    if (!self->has_whole)
        return;
    self->has_whole = false;
    buffer_append (&self->records, zmq_msg_data (&self->whole), zmq_msg_size (&self->whole));
    zmq_msg_close (&self->whole);
}

/*  A peer that reads slowly but steadily may never let the outbox run empty: what was taken is
 *  cut off the front once it is the larger half. */
static void compact (outbox_t *self)
{
    const size_t records = self->taken_records, attachments = self->taken_attachments;
    if (records < WEFT_BATCH_MAX || records < self->records.size / 2)
        return;
    self->records.size -= records;
    memmove (self->records.data, self->records.data + records, self->records.size);
    self->attachment_count -= attachments;
    if (self->attachment_count)
        memmove (self->attachments, self->attachments + attachments,
                 self->attachment_count * sizeof *self->attachments);
    self->part_count -= self->taken_parts;
    for (size_t i = 0; i < self->part_count; i++) {
        const outbox_part_t *part = &self->parts [i + self->taken_parts];
        self->parts [i] = (outbox_part_t){part->records_end - records, part->attachments_end - attachments};
    }
    self->open_records -= records;
    self->open_attachments -= attachments;
    self->taken_records = self->taken_attachments = self->taken_parts = 0;
}

buffer_t *outbox_make_room (outbox_t *self)
{
    compact (self);
    unfold_whole (self);
    return &self->records;
}

void outbox_close_message (outbox_t *self, zmq_msg_t *attachment)
{
    if (self->records.failed || outbox_bytes (self) > self->max) {
        self->failed = true;
        return;
    }
    if (self->records.size - self->open_records > WEFT_COMPANY_MAX && self->record_at > self->open_records)
        close_part (self, self->record_at); /* who takes a record alone need not take it behind others */
    if (attachment)
        add_attachment (self, attachment);
    if (self->records.size - self->open_records >= WEFT_BATCH_MAX
        || self->attachment_count - self->open_attachments == ATTACHMENTS_MAX || self->open_bytes >= WEFT_MESSAGE_BYTES_MAX)
        close_part (self, self->records.size);
}

void outbox_adopt (outbox_t *self, zmq_msg_t *frame, zmq_msg_t *attachment)
{
    if (!outbox_empty (self)) {
        buffer_t *records = outbox_open_record (self);
        buffer_append (records, zmq_msg_data (frame), zmq_msg_size (frame));
        zmq_msg_close (frame);
        zmq_msg_init (frame);
        outbox_close_record (self, attachment);
        return;
    }
    zmq_msg_init (&self->whole);
    zmq_msg_move (&self->whole, frame);
    self->has_whole = true;
    if (attachment)
        add_attachment (self, attachment);
}

/*  Moves attachments up to `end` behind the records frame of `message`. */
static void take_attachments (outbox_t *self, message_t *message, size_t end)
{
    for (; self->taken_attachments < end; self->taken_attachments++) {
        zmq_msg_t *frame = &self->attachments [self->taken_attachments];
        self->attachment_bytes -= zmq_msg_size (frame);
        message_add (message, frame);
        zmq_msg_close (frame);
    }
}

bool outbox_take (outbox_t *self, message_t *message)
{
    if (outbox_empty (self))
        return false;
    if (self->has_whole) {
        message_add (message, &self->whole);
        zmq_msg_close (&self->whole);
        self->has_whole = false;
        take_attachments (self, message, self->attachment_count);
        rewind_all (self);
        return true;
    }
    const bool closed = self->taken_parts < self->part_count;
    const size_t records_end = closed ? self->parts [self->taken_parts].records_end : self->records.size;
    const size_t attachments_end = closed ? self->parts [self->taken_parts].attachments_end : self->attachment_count;

    if (!message_add_bytes (message, self->records.data + self->taken_records, records_end - self->taken_records))
        return !(self->failed = true);
    self->taken_records = records_end;
    self->taken_parts += closed;
    take_attachments (self, message, attachments_end);
    if (outbox_empty (self))
        rewind_all (self);
    return true;
}
