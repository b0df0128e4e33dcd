/* SPDX-License-Identifier: MPL-2.0
 *
 *  wire_inside.h - what the readers and writers of records share:
 *
 *      wire.c          what calls are made of: REQUEST, REPLY, ITEM, CREDIT, CANCEL
 *      wire_control.c  what peers say about themselves: HELLO, REGISTER, BEAT and the rest */

#ifndef WIRE_INSIDE_H_INCLUDED
#define WIRE_INSIDE_H_INCLUDED

#include "wire.h"

static inline bool read_text (mp_reader_t *reader, text_t *out)
{
    return mp_read_str (reader, &out->data, &out->size);
}

static inline bool skip_many (mp_reader_t *reader, uint64_t count)
{
    while (count--)
        if (!mp_skip (reader))
            return false;
    return true;
}

/*  The bytes of one whole value, as a reader of their own. */
static inline bool read_whole (mp_reader_t *reader, mp_reader_t *value)
{
    const uint8_t *start = reader->at;
    if (!mp_skip (reader))
        return false;
    *value = mp_reader (start, (size_t) (reader->at - start));
    return true;
}

/*  Walks a map of str to anything: the next key, with the reader at its value. An empty reader is an empty map. */
typedef struct {
    mp_reader_t reader;
    uint32_t left;
} map_walk_t;

static inline bool map_begin (map_walk_t *self, mp_reader_t map)
{
    *self = (map_walk_t){map, 0};
    return mp_left (&map) == 0 || mp_read_map (&self->reader, &self->left);
}

static inline bool map_next (map_walk_t *self, text_t *key)
{
    if (self->left == 0)
        return false;
    self->left--;
    return read_text (&self->reader, key);
}

static inline bool map_end (const map_walk_t *self)
{
    return self->left == 0 && !self->reader.failed;
}

/*  Array head and kind of a record. */
static inline void begin (buffer_t *out, wire_kind_t kind, uint32_t fields)
{
    mp_write_array (out, fields + 1);
    mp_write_uint (out, kind);
}

#endif
