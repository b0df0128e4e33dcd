/* SPDX-License-Identifier: MPL-2.0
 *
 *  spares.c - memory of large replies that were sent, for the next ones. */

#include <pthread.h>
#include <stdlib.h>
#include "spares.h"

/*  Memory on its way, or back. */
typedef struct loan {
    spares_t *owner;
    uint8_t *data;
    size_t capacity;
    struct loan *next;
} loan_t;

struct spares {
    pthread_mutex_t lock;
    loan_t *kept;
    size_t bytes, bytes_max;
    size_t users;   /* its owner, and every frame on its way; the last one frees it */
};

spares_t *spares_new (size_t bytes_max)
{
    spares_t *self = calloc (1, sizeof *self);

    if (!self)
        return NULL;
    pthread_mutex_init (&self->lock, NULL);
    self->bytes_max = bytes_max;
    self->users = 1;
    return self;
}

static void loan_free (loan_t *loan)
{
    free (loan->data);
    free (loan);
}

/*  With the lock held, which it lets go. */
static void leave (spares_t *self)
{
    const bool last = --self->users == 0;

    pthread_mutex_unlock (&self->lock);
    if (!last)
        return;
    pthread_mutex_destroy (&self->lock);
    free (self);
}

void spares_destroy (spares_t **self_p)
{
    spares_t *self = *self_p;
    loan_t *loan;

    *self_p = NULL;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    while ((loan = self->kept) != NULL) {
        self->kept = loan->next;
        loan_free (loan);
    }
    self->bytes_max = 0;
    leave (self);
}

/*  libzmq's, when a frame is closed. */
static void come_back (void *data, void *hint)
{
    loan_t *loan = hint;
    spares_t *self = loan->owner;

    (void) data;
    pthread_mutex_lock (&self->lock);
    const bool keep = loan->capacity <= self->bytes_max && self->bytes <= self->bytes_max - loan->capacity;
    if (keep) {
        self->bytes += loan->capacity;
        loan->next = self->kept;
        self->kept = loan;
    }
    leave (self);
    if (!keep)
        loan_free (loan);
}

bool spares_frame (spares_t *self, buffer_t *buffer, zmq_msg_t *frame)
{
    loan_t *loan = malloc (sizeof *loan);

    if (!loan)
        return false;
    *loan = (loan_t){.owner = self, .data = buffer->data, .capacity = buffer->capacity};
    if (zmq_msg_init_data (frame, buffer->data, buffer->size, come_back, loan) < 0) {
        free (loan);
        return false;
    }
    pthread_mutex_lock (&self->lock);
    self->users++;
    pthread_mutex_unlock (&self->lock);
    const size_t max = buffer->max;
    buffer_init (buffer, max);
    return true;
}

void spares_furnish (spares_t *self, buffer_t *buffer)
{
    pthread_mutex_lock (&self->lock);
    loan_t *loan = self->kept && self->kept->capacity <= buffer->max ? self->kept : NULL;
    if (loan) {
        self->kept = loan->next;
        self->bytes -= loan->capacity;
    }
    pthread_mutex_unlock (&self->lock);
    if (!loan)
        return;
    buffer->data = loan->data;
    buffer->capacity = loan->capacity;
    free (loan);
}
