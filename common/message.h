/* SPDX-License-Identifier: MPL-2.0
 *
 *  message.h - one ZeroMQ message as weft means it: a records frame and its attachments.
 *
 *  zmq_msg_t is used as a reference-counted buffer; whether frames come from a socket or from a
 *  simulated network makes no difference here. */

#ifndef MESSAGE_H_INCLUDED
#define MESSAGE_H_INCLUDED

#include <zmq.h>
#include <weft/limits.h>
#include "wire.h"

typedef struct {
    zmq_msg_t frames [WEFT_MESSAGE_FRAMES_MAX]; /* [0]: records */
    int count;                                  /* frames that are initialised */
    int next;                                   /* attachment that the next nil body takes */
} message_t;

/*  Every message_t is initialised empty and closed with fini (or message_clear for reuse). */
void message_init (message_t *self);
void message_clear (message_t *self);
#define message_fini message_clear

/*  Adds a frame by moving it in (it becomes empty). False, and the frame stays, when there are too many. */
bool message_add (message_t *self, zmq_msg_t *frame);
bool message_add_bytes (message_t *self, const void *data, size_t size);

/*  Walks the records of a message. */
typedef struct {
    message_t *message;
    mp_reader_t reader;
    const uint8_t *start;
} message_cursor_t;

message_cursor_t message_cursor (message_t *message);

/*  The part of message_next for a record with an attached body. */
int message_attach (message_cursor_t *self, wire_record_t *record, zmq_msg_t **attachment, const char **fault);

/*  The next record. A lone record's frame, and any attachment, may be moved out before the next one is asked for; the
 *  views into it go with it. For one with an attached body, `*attachment` is that frame, borrowed from the
 *  message (move it out with zmq_msg_move if it is to live longer), and record->body views it; else NULL.
 *  1: got one; 0: no more; -1: malformed, and `*fault` says how (static text). */
static inline int message_next (message_cursor_t *self, wire_record_t *record, zmq_msg_t **attachment,
                                const char **fault)
{
    *attachment = NULL;
    if (self->start == self->reader.end) {
        *fault = "empty records frame";
        return -1;
    }
    const int got = wire_next (&self->reader, record, fault);
    return got == 1 && record->attached ? message_attach (self, record, attachment, fault) : got;
}

/*  True if `record` fills the whole records frame (so that the frame may be passed on as it is). */
static inline bool message_is_lone (const message_cursor_t *self, const wire_record_t *record)
{
    return record->start == self->start && record->start + record->size == self->reader.end;
}

#endif
