/* SPDX-License-Identifier: MPL-2.0
 *
 *  move.c - a worker goes from a broker that stops to the next.
 *
 *    STAYING --the broker stops, another is known--> JOINING: registers there, serves here as before
 *       ^                                               |  |  '-- not there: tries the next, and on
 *       |  '--------------- this broker is lost --------'  |
 *       |                                                  | registered there: that is its broker now
 *       |                                                  v
 *       '--nothing of the old one's is left, or it is lost-- LEAVING: takes nothing new from the old one
 *
 *  A request is answered where it came from. What a broker had sent before it read that the window is closed has come when it
 *  has answered a beat that was sent after that: only then can nothing be left. */

#include "move.h"

static bool going (const session_t *self)
{
    return self->state == SESSION_DRAINING || self->state == SESSION_DONE;
}

static void forget_other (session_t *self)
{
    requests_orphan (&self->requests, &self->other->link, self->now_us);
    self->other = NULL;
}

/*  ------------------------------------------------------------------ to the next  */

static void begin (session_t *self)
{
    post_t *next = self->post == self->posts ? &self->posts [1] : self->posts;

    outbox_clear (&next->link.outbox);
    standing_follow (&next->standing, &self->post->standing, &next->link.outbox, self->now_us);
    self->other = next;
    self->leaving = false;
}

static void swap (session_t *self)
{
    post_t *old = self->post;

    self->post = self->other;
    self->other = old;
    standing_succeed (&self->post->standing, &old->standing);
}

/*  Where it is going, and where it still is. */
static void join (session_t *self)
{
    if (!standing_connected (&self->other->standing)) /* it may have asked for something before it was lost */
        requests_orphan (&self->requests, &self->other->link, self->now_us);
    if (!standing_connected (&self->post->standing)) {
        swap (self);
        forget_other (self);
    } else if (self->other->standing.state == STANDING_REGISTERED) {
        swap (self);
        self->leaving = true;
        standing_withdraw (&self->other->standing, self->now_us);
    }
}

/*  ------------------------------------------------------------------ from the old one  */

static bool nothing_left (const post_t *old)
{
    return old->link.requests.count == 0 && (old->standing.fenced || !old->standing.heart.registered);
}

static void leave (session_t *self)
{
    post_t *old = self->other;

    if (standing_connected (&old->standing)) {
        if (!nothing_left (old))
            return;
        standing_leave (&old->standing, "moved to another broker");
        link_set_dirty (&old->link);
    } else if (old->standing.state == STANDING_LEFT && !list_linked (&old->link.of_dirty)) {
        old->standing.want_close = true; /* all has been sent */
        forget_other (self);
    } else if (old->standing.state != STANDING_LEFT)
        forget_other (self);
}

/*  ------------------------------------------------------------------ always  */

static void write_other (session_t *self, const wire_load_t *load)
{
    standing_t *standing = &self->other->standing;

    standing->window = self->leaving || going (self) ? 0 : self->post->standing.window;
    if (standing_has_to_write (standing))
        standing_write (standing, load, self->now_us);
    if (!outbox_empty (&self->other->link.outbox))
        link_set_dirty (&self->other->link);
}

void move_settle (session_t *self, const wire_load_t *load)
{
    if (!self->other && !going (self) && standing_connected (&self->post->standing) && self->post->standing.broker_count > 1)
        begin (self);
    else if (self->other && self->leaving)
        leave (self);
    else if (self->other && !going (self))
        join (self);
    else if (self->other && !standing_connected (&self->other->standing))
        forget_other (self);
    if (self->other)
        write_other (self, load);
}

void move_stop (session_t *self)
{
    if (!self->other || self->leaving || standing_connected (&self->other->standing))
        return;
    standing_leave (&self->other->standing, "");
    self->other->standing.want_close = true;
    self->other = NULL;
}

void move_tick (session_t *self)
{
    standing_tick (&self->other->standing, self->now_us);
}

int64_t move_next_us (const session_t *self)
{
    if (self->other->standing.state == STANDING_LEFT && !list_linked (&self->other->link.of_dirty))
        return self->now_us;
    return standing_next_us (&self->other->standing);
}

size_t move_held (const session_t *self)
{
    return self->other->link.requests.count - self->other->link.streams;
}
