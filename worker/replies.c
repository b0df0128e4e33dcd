/* SPDX-License-Identifier: MPL-2.0
 *
 *  replies.c - what was answered under request keys; see replies.h.
 *
 *  Arguments are remembered by their size and a hash with a secret seed: enough to tell work that was asked for
 *  again from other work under the same key. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <weft/limits.h>
#include "deadlines.h"
#include "replies.h"

#define TABLE_BYTES 64 /* what the table holds for each, about */

void replies_init (replies_t *self, const replies_limits_t *limits, uint64_t seed)
{
    *self = (replies_t){.limits = *limits, .seed = seed};
    if (self->limits.count_max == 0)
        self->limits.count_max = WEFT_REPLIES_MAX;
    if (self->limits.bytes_max == 0)
        self->limits.bytes_max = WEFT_REPLIES_BYTES_MAX;
    if (self->limits.age_us == 0)
        self->limits.age_us = WEFT_REPLIES_AGE_MS * 1000LL;
    table_init (&self->works, seed);
    list_init (&self->over);
}

static void work_free (work_t *work)
{
    zmq_msg_close (&work->frame);
    free (work->data);
    free (work);
}

void replies_fini (replies_t *self)
{
    size_t position = 0;
    work_t *work;

    while ((work = table_next (&self->works, &position)) != NULL)
        work_free (work);
    table_fini (&self->works);
    *self = (replies_t){0};
}

/*  ------------------------------------------------------------------ keys and arguments  */

/*  A method's address and a request key. */
typedef struct {
    uint8_t bytes [sizeof (void *) + WEFT_REQUEST_KEY_MAX];
    size_t size;
} name_t;

static name_t name_of (const void *method, text_t key)
{
    name_t name = {.size = sizeof method + key.size};

    assert (key.size <= WEFT_REQUEST_KEY_MAX);
    memcpy (name.bytes, &method, sizeof method);
    memcpy (name.bytes + sizeof method, key.data, key.size);
    return name;
}

work_t *replies_find (replies_t *self, const void *method, text_t key, int64_t now_us)
{
    const name_t name = name_of (method, key);

    replies_expire (self, now_us);
    return table_get (&self->works, name.bytes, name.size);
}

bool replies_match (const replies_t *self, const work_t *work, codec_t codec, const void *args, size_t size)
{
    return work->codec == codec && work->args_size == size
           && work->args_hash == table_hash (self->seed, args, size);
}

work_t *replies_begin (replies_t *self, const void *method, text_t key, codec_t codec, const void *args,
                       size_t size)
{
    const name_t name = name_of (method, key);
    work_t *work = calloc (1, sizeof *work + name.size);

    if (!work)
        return NULL;
    memcpy (work->key, name.bytes, name.size);
    work->key_size = name.size;
    work->codec = codec;
    work->args_size = size;
    work->args_hash = table_hash (self->seed, args, size);
    work->bytes = sizeof *work + name.size + TABLE_BYTES;
    list_init (&work->waiting);
    zmq_msg_init (&work->frame);
    if (table_put (&self->works, work->key, work->key_size, work))
        return work;
    work_free (work);
    return NULL;
}

/*  ------------------------------------------------------------------ ends  */

void replies_abandon (replies_t *self, work_t *work)
{
    assert (list_empty (&work->waiting) && !list_linked (&work->of_over));
    table_take (&self->works, work->key, work->key_size);
    work_free (work);
}

/*  Copies text and body, or shares the body's frame. False: there is no room for it, and nothing was taken. */
static bool keep (const replies_t *self, work_t *work, const reply_t *reply)
{
    const size_t text_size = strlen (reply->text) + 1;
    const size_t copied = text_size + (reply->frame ? 0 : reply->body_size);

    if (work->bytes + text_size + reply->body_size > self->limits.bytes_max
        || !(work->data = malloc (copied)))
        return false;
    memcpy (work->data, reply->text, text_size);
    if (reply->frame) {
        zmq_msg_copy (&work->frame, reply->frame);
        work->reply.frame = &work->frame;
        work->reply.body = zmq_msg_data (&work->frame);
    } else {
        if (reply->body_size)
            memcpy (work->data + text_size, reply->body, reply->body_size);
        work->reply.body = work->data + text_size;
    }
    work->reply.text = work->data;
    work->bytes += text_size + reply->body_size;
    return true;
}

void replies_know (replies_t *self, work_t *work, const reply_t *reply)
{
    assert (!work->known);
    work->known = true;
    work->reply = *reply;
    work->reply.frame = NULL;
    if (keep (self, work, reply))
        return;
    work->reply = (reply_t){
        .status = reply->status == WEFT_OK ? WEFT_TOO_LARGE : reply->status,
        .executed = reply->executed,
        .origin = reply->status == WEFT_OK ? WEFT_ORIGIN_WORKER : reply->origin,
        .code = reply->code,
        .text = "it was done before, under this request key; there was no room to remember the reply"};
}

static void forget_oldest (replies_t *self)
{
    work_t *work = CONTAINER_OF (list_pop (&self->over), work_t, of_over);

    self->bytes -= work->bytes;
    replies_abandon (self, work);
}

void replies_finish (replies_t *self, work_t *work, int64_t now_us)
{
    assert (work->known && !list_linked (&work->of_over));
    work->runner = NULL;
    work->over_us = now_us;
    list_push (&self->over, &work->of_over);
    self->bytes += work->bytes;
    while (self->over.count > self->limits.count_max || self->bytes > self->limits.bytes_max)
        forget_oldest (self);
}

int64_t replies_next_us (const replies_t *self)
{
    const list_node_t *oldest = list_first (&self->over);
    return oldest ? CONTAINER_OF (oldest, work_t, of_over)->over_us + self->limits.age_us : DEADLINES_NEVER;
}

void replies_expire (replies_t *self, int64_t now_us)
{
    while (now_us >= replies_next_us (self))
        forget_oldest (self);
}
