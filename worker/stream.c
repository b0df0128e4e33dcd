/* SPDX-License-Identifier: MPL-2.0
 *
 *  stream.c - what a stream's handler has said and its caller was not sent yet; see stream.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "stream.h"
#include "wire.h"

void streams_init (streams_t *self)
{
    *self = (streams_t){.open = 0};
    pthread_mutex_init (&self->lock, NULL);
    list_init (&self->pending);
}

void streams_fini (streams_t *self)
{
    pthread_mutex_destroy (&self->lock);
}

/*  A caller may give more than can be counted. */
static int64_t more_credit (int64_t credit, uint64_t more)
{
    const uint64_t room = (uint64_t) INT64_MAX - (uint64_t) credit; /* of a debt, too */
    return more < room ? (int64_t) ((uint64_t) credit + more) : INT64_MAX;
}

stream_t *stream_new (streams_t *all, void *owner, uint64_t credit, size_t item_max)
{
    stream_t *self = calloc (1, sizeof *self);
    pthread_condattr_t monotonic;

    if (!self)
        return NULL;
    *self = (stream_t){.all = all, .owner = owner, .credit = more_credit (0, credit), .item_max = item_max};
    self->last = &self->first;
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&self->bell, &monotonic);
    pthread_condattr_destroy (&monotonic);
    all->open++;
    return self;
}

void stream_item_free (stream_item_t *item)
{
    if (item && item->attached)
        zmq_msg_close (&item->frame);
    free (item);
}

void stream_free (stream_t *self)
{
    if (!self)
        return;
    for (stream_item_t *item = stream_take (self), *next; item; item = next) {
        next = item->next;
        stream_item_free (item);
    }
    pthread_mutex_lock (&self->all->lock);
    list_remove (&self->all->pending, &self->of_pending);
    pthread_mutex_unlock (&self->all->lock);
    self->all->open--;
    pthread_cond_destroy (&self->bell);
    free (self);
}

/*  ------------------------------------------------------------------ the handler's side  */

static void free_bytes (void *data, void *hint)
{
    (void) hint;
    free (data);
}

/*  Small ones are copied, large ones keep their memory. NULL: none is left. */
static stream_item_t *item_of (buffer_t *bytes)
{
    const bool attached = bytes->size > WEFT_BODY_INLINE_MAX;
    stream_item_t *item = malloc (sizeof *item + (attached ? 0 : bytes->size));

    if (!item)
        return NULL;
    item->next = NULL;
    item->size = bytes->size;
    item->attached = attached;
    if (!attached && bytes->size)
        memcpy (item->bytes, bytes->data, bytes->size);
    if (attached) {
        const size_t max = bytes->max;
        if (zmq_msg_init_data (&item->frame, bytes->data, bytes->size, free_bytes, NULL) < 0) {
            free (item);
            return NULL;
        }
        buffer_init (bytes, max);
    }
    return item;
}

/*  One item may be larger than all the room there is. */
static bool has_room (const stream_t *self)
{
    return self->credit > 0 && (!self->first || self->bytes < WEFT_STREAM_PENDING_MAX);
}

static weft_status_t refuse (stream_t *self, weft_status_t why)
{
    if (self->ended == WEFT_OK)
        self->ended = why;
    return self->refused = self->ended;
}

/*  Sleeps until there is room, an end, or no time left. */
static void await_room (stream_t *self, int64_t until_us)
{
    const struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    int waited = 0;

    while (self->ended == WEFT_OK && !has_room (self) && waited != ETIMEDOUT)
        waited = until_us == INT64_MAX ? pthread_cond_wait (&self->bell, &self->all->lock)
                                       : pthread_cond_timedwait (&self->bell, &self->all->lock, &until);
    if (waited == ETIMEDOUT && !has_room (self))
        refuse (self, WEFT_DEADLINE_EXCEEDED);
}

/*  True: nobody told the session yet that there is something. */
static bool post (stream_t *self, stream_item_t *item)
{
    streams_t *all = self->all;

    *self->last = item;
    self->last = &item->next;
    self->bytes += item->size;
    self->credit -= wire_item_credits (item->size);
    if (list_linked (&self->of_pending))
        return false;
    list_push (&all->pending, &self->of_pending);
    return !atomic_exchange (&all->news, true);
}

weft_status_t stream_put (stream_t *self, buffer_t *bytes, int64_t now_us, int64_t until_us)
{
    streams_t *all = self->all;
    const bool fits = bytes->size <= self->item_max;
    stream_item_t *item = fits ? item_of (bytes) : NULL;
    weft_status_t status;
    bool wake = false;

    pthread_mutex_lock (&all->lock);
    if (!item)
        refuse (self, fits ? WEFT_OVERLOADED : WEFT_TOO_LARGE);
    else if (now_us >= until_us)
        refuse (self, WEFT_DEADLINE_EXCEEDED);
    else
        await_room (self, until_us);
    status = self->ended == WEFT_OK ? WEFT_OK : refuse (self, self->ended);
    if (status == WEFT_OK)
        wake = post (self, item);
    pthread_mutex_unlock (&all->lock);
    if (status != WEFT_OK)
        stream_item_free (item);
    if (wake && all->wake)
        all->wake (all->wake_arg);
    buffer_clear (bytes);
    return status;
}

weft_status_t stream_refuse (stream_t *self, weft_status_t why)
{
    pthread_mutex_lock (&self->all->lock);
    const weft_status_t status = refuse (self, why);
    pthread_mutex_unlock (&self->all->lock);
    return status;
}

weft_status_t stream_verdict (stream_t *self, bool ended_counts)
{
    pthread_mutex_lock (&self->all->lock);
    const weft_status_t status = ended_counts ? self->ended : self->refused;
    pthread_mutex_unlock (&self->all->lock);
    return status;
}

bool stream_may_put (stream_t *self)
{
    pthread_mutex_lock (&self->all->lock);
    const bool may = self->ended != WEFT_OK || has_room (self);
    pthread_mutex_unlock (&self->all->lock);
    return may;
}

/*  ------------------------------------------------------------------ the session's side  */

void stream_credit (stream_t *self, uint64_t credits)
{
    pthread_mutex_lock (&self->all->lock);
    self->credit = more_credit (self->credit, credits);
    pthread_cond_signal (&self->bell);
    pthread_mutex_unlock (&self->all->lock);
}

void stream_end (stream_t *self, weft_status_t why)
{
    pthread_mutex_lock (&self->all->lock);
    if (self->ended == WEFT_OK)
        self->ended = why;
    pthread_cond_signal (&self->bell);
    pthread_mutex_unlock (&self->all->lock);
}

stream_item_t *stream_take (stream_t *self)
{
    pthread_mutex_lock (&self->all->lock);
    stream_item_t *items = self->first;
    self->first = NULL;
    self->last = &self->first;
    self->bytes = 0;
    pthread_cond_signal (&self->bell);
    pthread_mutex_unlock (&self->all->lock);
    return items;
}

size_t streams_look (streams_t *self)
{
    pthread_mutex_lock (&self->lock);
    atomic_store (&self->news, false);
    self->held_back = false;
    const size_t count = self->pending.count;
    pthread_mutex_unlock (&self->lock);
    return count;
}

stream_t *streams_next (streams_t *self)
{
    pthread_mutex_lock (&self->lock);
    list_node_t *node = list_pop (&self->pending);
    pthread_mutex_unlock (&self->lock);
    return node ? CONTAINER_OF (node, stream_t, of_pending) : NULL;
}

void stream_hold_back (stream_t *self)
{
    pthread_mutex_lock (&self->all->lock);
    if (!list_linked (&self->of_pending))
        list_push (&self->all->pending, &self->of_pending);
    self->all->held_back = true;
    pthread_mutex_unlock (&self->all->lock);
}
