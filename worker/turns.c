/* SPDX-License-Identifier: MPL-2.0
 *
 *  turns.c - the loop of a worker, one turn after the other.
 *
 *  One thread owns the sockets and the session. Each turn has the same phases: what was asked from outside, what
 *  handlers finished, what the broker and what direct callers sent, time, what is to be sent. It sleeps only after
 *  every socket said that it has nothing, since their descriptors tell of news once. Beats are sent by this
 *  thread, and handlers run on others (but for inline ones), so a busy handler delays no beat. */

#include <poll.h>
#include <time.h>
#include "clock.h"
#include "transport.h"
#include "turns.h"

#define TURN_MESSAGES_MAX 256    /* from one socket before the other has its turn */
#define MONITOR_TURNS     16     /* a loop that never sleeps looks at its monitors this often */
#define STALL_US          10000  /* before a peer that had no room is tried again */
#define LAST_FLUSH_US     500000 /* for what is still to be sent when it stops */

/*  ------------------------------------------------------------------ one turn  */

/*  Runs what is to be run here and hands the rest over. */
static void dispatch (turns_t *self)
{
    executor_job_t *job;

    while ((job = session_take_inline (&self->session)) != NULL) {
        job->run (job);
        session_finished (&self->session, job, self->session.now_us);
    }
    executor_submit (self->executor, session_take_work (&self->session));
}

static bool collect (turns_t *self, bool sleeping, int64_t now_us)
{
    executor_batch_t done;
    executor_job_t *job;

    executor_batch_init (&done);
    const bool some = executor_collect (self->executor, &done, sleeping);
    while ((job = executor_batch_take (&done)) != NULL)
        session_finished (&self->session, job, now_us);
    return some;
}

/*  What came is read before the loss is believed. */
static size_t serve_broker (turns_t *self, int64_t now_us)
{
    message_t message;
    const char *fault = "";
    size_t count = 0;
    int got;

    if (self->look_at_monitors && uplink_events (&self->uplink))
        session_link_ready (&self->session, now_us);
    message_init (&message);
    while (count < TURN_MESSAGES_MAX && (got = uplink_receive (&self->uplink, &message, &fault)) != 0) {
        if (got > 0)
            session_receive (&self->session, &self->session.link, &message, now_us);
        else
            session_receive_fault (&self->session, &self->session.link, fault, now_us);
        message_clear (&message);
        dispatch (self);
        count++;
    }
    if (!self->uplink.lost || count == TURN_MESSAGES_MAX)
        return count;
    const weft_status_t status = self->uplink.status;
    const char *text = self->uplink.text;
    uplink_close (&self->uplink, 0);
    session_link_lost (&self->session, status, text, now_us);
    return count + 1;
}

static size_t serve_callers (turns_t *self, int64_t now_us)
{
    size_t count = 0;

    if (self->look_at_monitors)
        direct_events (&self->direct);
    while (count < TURN_MESSAGES_MAX && direct_receive (&self->direct, now_us)) {
        dispatch (self);
        count++;
    }
    if (count < TURN_MESSAGES_MAX)
        direct_part (&self->direct, now_us);
    return count;
}

static void command (turns_t *self)
{
    const char *endpoint = NULL;
    standing_command_t wanted;

    while ((wanted = session_command (&self->session, &endpoint)) != STANDING_NOTHING) {
        uplink_close (&self->uplink, 0);
        if (wanted == STANDING_OPEN) {
            uplink_open (&self->uplink, endpoint);
            self->session.link.hold_us = 0;
            self->look_at_monitors = true;
        }
    }
}

/*  Each link once: one that stalls is dirty again, for a later turn. */
static size_t flush (turns_t *self, int64_t now_us)
{
    size_t tried = 0;

    for (size_t links = self->session.dirty.count; links > 0; links--) {
        session_link_t *link = session_next_dirty (&self->session);
        const bool held = link->hold_us > now_us;
        tried += !held;
        if (held || !(link->broker ? uplink_flush (&self->uplink, &link->outbox)
                                   : direct_flush (&self->direct, link))) {
            link->hold_us = held ? link->hold_us : now_us + STALL_US;
            link_set_dirty (link);
        }
    }
    return tried;
}

/*  What was asked from other threads. */
static void obey (turns_t *self, int64_t now_us)
{
    if (atomic_exchange (&self->ask_drain, false))
        session_drain (&self->session, now_us);
    if (atomic_exchange (&self->ask_quit, false))
        session_quit (&self->session, now_us);
}

bool turns_take (turns_t *self)
{
    const int64_t now_us = clock_now_us ();
    size_t events = 0;

    obey (self, now_us);
    self->look_at_monitors |= ++self->count % MONITOR_TURNS == 0;
    events += collect (self, false, now_us);
    events += serve_broker (self, now_us);
    events += serve_callers (self, now_us);
    self->look_at_monitors = false;
    if (now_us >= session_next_us (&self->session)) {
        session_tick (&self->session, now_us);
        events++;
    }
    dispatch (self);
    command (self);
    events += flush (self, now_us);
    return events > 0 || self->look_at_monitors || self->uplink.lost || !list_empty (&self->direct.lost);
}

/*  ------------------------------------------------------------------ sleeping  */

static struct timespec until (int64_t now_us, int64_t then_us)
{
    const int64_t wait_us = then_us > now_us ? then_us - now_us : 0;
    const int64_t capped_us = wait_us < 3600 * 1000000LL ? wait_us : 3600 * 1000000LL;
    return (struct timespec){capped_us / 1000000, capped_us % 1000000 * 1000};
}

void turns_sleep (turns_t *self)
{
    const int64_t now_us = clock_now_us ();
    int64_t next_us = session_next_us (&self->session);
    struct pollfd fds [5] = {{self->wake_fd, POLLIN, 0}};
    int count = 1;

    if (self->session.dirty.count && next_us > now_us + STALL_US)
        next_us = now_us + STALL_US;
    if (collect (self, true, now_us))
        return;
    const int uplink = uplink_poll (&self->uplink, fds + count);
    count += uplink;
    const int direct = direct_poll (&self->direct, fds + count);
    count += direct;

    const struct timespec timeout = until (now_us, next_us);
    ppoll (fds, (nfds_t) count, &timeout, NULL);
    if (fds [0].revents)
        transport_wake_clear (self->wake_fd);
    self->look_at_monitors |= uplink && fds [2].revents;
    self->look_at_monitors |= direct && fds [uplink + 2].revents;
}

void turns_flush_last (turns_t *self)
{
    const int64_t until_us = clock_now_us () + LAST_FLUSH_US;

    while (flush (self, clock_now_us ()), self->session.dirty.count && clock_now_us () < until_us)
        poll (NULL, 0, 1);
}
