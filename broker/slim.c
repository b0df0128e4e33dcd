/* SPDX-License-Identifier: MPL-2.0 */

#include "slim.h"
#include <string.h>

void slim_init (slim_t *self)
{
    buffer_init (&self->bytes, SIZE_MAX);
    self->attached = false;
}

static bool body_is_due (const wire_record_t *record)
{
    return !record->attached && record->body_size > WEFT_BODY_EMBEDDED_MAX;
}

bool slim_is_due (const wire_record_t *record)
{
    const bool long_envelope = wire_envelope_size (record) > WEFT_ENVELOPE_MAX;

    if (record->kind == WIRE_REQUEST)
        return body_is_due (record) && !long_envelope;
    return (record->kind == WIRE_REPLY || record->kind == WIRE_ITEM) && (body_is_due (record) || long_envelope);
}

static void write_anew (buffer_t *out, const wire_record_t *record, bool attached)
{
    mp_reader_t extra = record->extra;

    switch (record->kind) {
        case WIRE_REQUEST:
            wire_write_request_raw (out, record->id, record->method, record->remaining_ms, record->body, record->body_size,
                                    attached, extra);
            break;
        case WIRE_REPLY:
            if (mp_left (&extra) > WEFT_ENVELOPE_MAX)
                extra = mp_reader (NULL, 0);
            wire_write_reply_raw (out, record->id, record->status, record->body, record->body_size, attached, extra);
            break;
        default:
            wire_write_item (out, record->id, record->number, record->body, record->body_size, attached);
    }
}

bool slim_down (slim_t *self, const wire_record_t *record)
{
    const bool attach = body_is_due (record);
    const char *fault;

    slim_clear (self);
    buffer_clear (&self->bytes);
    if (attach && zmq_msg_init_size (&self->body, record->body_size) < 0)
        return false;
    self->attached = attach;
    write_anew (&self->bytes, record, record->attached || attach);
    mp_reader_t reader = mp_reader (self->bytes.data, self->bytes.size);
    if (self->bytes.failed || wire_next (&reader, &self->record, &fault) != 1)
        return false;
    if (attach)
        self->record.body = memcpy (zmq_msg_data (&self->body), record->body, record->body_size);
    else if (record->attached)
        self->record.body = record->body;
    self->record.body_size = record->body_size;
    return true;
}

void slim_clear (slim_t *self)
{
    if (self->attached)
        zmq_msg_close (&self->body);
    self->attached = false;
}

void slim_fini (slim_t *self)
{
    slim_clear (self);
    buffer_fini (&self->bytes);
}
