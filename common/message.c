/* SPDX-License-Identifier: MPL-2.0 */

#include "message.h"
#include <string.h>

void message_init (message_t *self)
{
    self->count = 0;
    self->next = 1;
}

void message_clear (message_t *self)
{
    for (int i = 0; i < self->count; i++)
        zmq_msg_close (&self->frames [i]);
    message_init (self);
}

bool message_add (message_t *self, zmq_msg_t *frame)
{
    if (self->count == WEFT_MESSAGE_FRAMES_MAX)
        return false;
    zmq_msg_init (&self->frames [self->count]);
    zmq_msg_move (&self->frames [self->count++], frame);
    return true;
}

bool message_add_bytes (message_t *self, const void *data, size_t size)
{
    zmq_msg_t frame;
    if (zmq_msg_init_size (&frame, size) < 0)
        return false;
    if (size)
        memcpy (zmq_msg_data (&frame), data, size);
    const bool added = message_add (self, &frame);
    zmq_msg_close (&frame);
    return added;
}

message_cursor_t message_cursor (message_t *message)
{
    message->next = 1;
    if (message->count == 0)
        return (message_cursor_t){message, mp_reader (NULL, 0), NULL};
    zmq_msg_t *records = &message->frames [0];
    const uint8_t *start = zmq_msg_data (records);
    return (message_cursor_t){message, mp_reader (start, zmq_msg_size (records)), start};
}

int message_attach (message_cursor_t *self, wire_record_t *record, zmq_msg_t **attachment, const char **fault)
{
    message_t *message = self->message;
    if (message->next >= message->count) {
        *fault = "a body's attachment is missing";
        return -1;
    }
    zmq_msg_t *frame = &message->frames [message->next++];
    record->body = zmq_msg_data (frame);
    record->body_size = zmq_msg_size (frame);
    *attachment = frame;
    return 1;
}
