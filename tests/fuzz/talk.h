/* SPDX-License-Identifier: MPL-2.0
 *
 *  talk.h - how a fuzzer's peers talk to a core: what they asked and are owed, frames that are spoilt on their way, and that what they
 *  are told is well-formed. */

#ifndef TALK_H_INCLUDED
#define TALK_H_INCLUDED

#include "check.h"
#include "input.h"
#include "message.h"

/*  ------------------------------------------------------------------ what they asked  */

#define ASKS_MAX 4096 /* beyond, nothing new is asked */
#define ASKS_ROOM 1500 /* a frame of raw bytes holds fewer */

/*  An id that was asked under. */
typedef struct {
    uint64_t id;
    unsigned asked;     /* so often, at most */
    bool certain;       /* and surely once: an answer is due */
    unsigned answered;
    uint64_t credit;    /* of a stream: what it was given, in all */
    uint64_t spent;
    uint64_t items;     /* that it had */
} ask_t;

/*  Those of one connection. */
typedef struct {
    uint64_t next_id;
    ask_t all [ASKS_MAX];
    size_t count;
} asks_t;

static inline void asks_begin (asks_t *self)
{
    self->next_id = 1;
    self->count = 0;
}

static inline ask_t *asks_find (asks_t *self, uint64_t id)
{
    for (size_t i = self->count; i-- > 0;)
        if (self->all [i].id == id)
            return &self->all [i];
    return NULL;
}

static inline void asks_credit (asks_t *self, uint64_t id, uint64_t credits)
{
    ask_t *ask = asks_find (self, id);
    if (ask)
        ask->credit = credits < UINT64_MAX - ask->credit ? ask->credit + credits : UINT64_MAX;
}

static inline void asks_expect (asks_t *self, uint64_t id, bool certain)
{
    ask_t *ask = asks_find (self, id);
    if (!ask) {
        ask = &self->all [self->count++];
        *ask = (ask_t){.id = id};
    }
    ask->asked++;
    ask->certain = ask->certain || certain;
}

/*  Nobody is told what he did not ask, or after he was answered. */
static inline void asks_hear (asks_t *self, const wire_record_t *record)
{
    wire_info_t info;
    ask_t *ask = asks_find (self, record->id);
    CHECK (ask && ask->answered < ask->asked);
    ask->answered += record->kind == WIRE_REPLY;
    CHECK (mp_left (&record->extra) == 0 || wire_read_info (record->extra, &info));
}

/*  Nobody may answer what was asked so far. */
static inline void asks_give_up (asks_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        self->all [i].certain = false;
}

static inline void asks_check_answered (const asks_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        CHECK (!self->all [i].certain || self->all [i].answered > 0);
}

/*  Items come in order, and none without credit; unless the id was asked under twice. */
static inline void asks_hear_item (asks_t *self, const wire_record_t *record)
{
    ask_t *ask = asks_find (self, record->id);
    CHECK (ask && (ask->asked > 1 || (record->number == ask->items && ask->spent < ask->credit)));
    ask->items++;
    ask->spent += (uint64_t) wire_item_credits (record->body_size);
}

/*  Mostly the next id, or one that was asked under already, now and then any. */
static inline uint64_t asks_pick (asks_t *self, input_t *input)
{
    const unsigned how = input_below (input, 8);
    if (how == 7)
        return input_number (input);
    if (how > 4 && self->count)
        return self->all [input_below (input, 256) % self->count].id;
    return self->next_id++;
}

/*  ------------------------------------------------------------------ what they say  */

/*  A few request keys, the longest there may be, and one that is longer. */
static inline text_t talk_request_key (unsigned which)
{
    static char long_key [WEFT_REQUEST_KEY_MAX + 1];
    static const char *const keys [] = {"key", "another", "", "third", "key", "key"};
    memset (long_key, 'k', sizeof long_key);
    return which % 8 < 6 ? text_of (keys [which % 8]) : (text_t){long_key, sizeof long_key - which % 2};
}

static inline void talk_spoil (input_t *input, buffer_t *out)
{
    for (unsigned n = input_below (input, 4); n > 0 && out->size; n--) {
        const size_t at = input_number (input) % out->size;
        switch (input_below (input, 3)) {
        case 0:
            out->data [at] = input_byte (input);
            break;
        case 1:
            buffer_truncate (out, at);
            break;
        default:
            buffer_append (out, "\xdd\xff\xff\xff\xff", 1 + at % 5);
        }
    }
}

/*  The records and some attachments. */
static inline void talk_message (message_t *message, const buffer_t *records, unsigned how)
{
    static const uint8_t attachment [200];
    message_init (message);
    CHECK (message_add_bytes (message, records->data, records->size));
    for (unsigned n = how >> 6; n > 0; n--)
        CHECK (message_add_bytes (message, attachment, how % sizeof attachment));
}

/*  ------------------------------------------------------------------ what they are told  */

/*  The records of a message that a core made. */
static inline void talk_hear (message_t *message, void (*hear_record) (void *peer, const wire_record_t *record), void *peer)
{
    message_cursor_t cursor = message_cursor (message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = "";
    int got;

    while ((got = message_next (&cursor, &record, &attachment, &fault)) > 0)
        hear_record (peer, &record);
    CHECK_STR (got < 0 ? fault : "", "");
    CHECK_INT (message->next, message->count);
}

#endif
