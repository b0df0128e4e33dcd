/* SPDX-License-Identifier: MPL-2.0
 *
 *  turns.c - the loop of a worker, one turn after the other.
 *
 *  The thread that leads owns the sockets and the session. Each turn has the same phases: what was asked from
 *  outside, what other threads finished, what the broker and what direct callers sent, what is to be run, time, what is to be
 *  sent. It sleeps only after every socket said that it has nothing, since their descriptors tell of news once; and
 *  since sending may take that news in, a socket is asked again after that, and otherwise not.
 *
 *  It runs quick handlers itself. If one takes long another thread takes the lead, with the sockets and the
 *  session as they are; this one then finishes the handler and nothing else. So after each handler the question
 *  is whether it still leads, no turn keeps anything on its stack, and a busy handler delays no beat. */

#include <poll.h>
#include <unistd.h>
#include "clock.h"
#include "transport.h"
#include "turns.h"

#define TURN_MESSAGES_MAX 256    /* from one socket before the other has its turn */
#define TURN_US           200    /* of handlers before replies are sent */
#define MONITOR_TURNS     16     /* a loop that never sleeps looks at its monitors this often */
#define STALL_US          10000  /* before a peer that had no room is tried again */
#define AWAY_US           1000000 /* nothing was looked at for so long */
#define DOUBT_US          100000 /* until libzmq knows of what happened meanwhile */
#define PART_MS           500    /* for what was sent to a broker that is left */
#define LAST_FLUSH_US     500000 /* for what is still to be sent when it stops */

#define WOKEN 16 /* from another thread; beside the marks of uplink.h and direct.h */

/*  ------------------------------------------------------------------ time  */

/*  Who was away for long was asleep, or stopped, process or host. Then connections may have been lost that libzmq knows nothing of
 *  yet, and what was asked over those is answered nowhere: for a moment each message is mistrusted. */
static void look_at_clock (turns_t *self)
{
    const int64_t before_us = self->now_us;

    self->now_us = clock_now_us ();
    if (before_us && self->now_us - before_us >= AWAY_US) {
        self->doubt_until_us = self->now_us + DOUBT_US;
        self->look_at_monitors = true;
    }
    self->direct.doubtful = self->now_us < self->doubt_until_us;
}

/*  ------------------------------------------------------------------ one turn  */

/*  Runs a request on this thread. False: the lead is lost. */
static bool run_here (turns_t *self, weft_request_t *request)
{
    if (request_begin_here (request, self->now_us)) {
        if (session_is_own (request))
            request_run (request);
        else if (!executor_run (self->executor, &request->job, request_run_job, request_end_job))
            return false;
        self->now_us = clock_now_us ();
        request_end (request, self->now_us);
    }
    session_finished (&self->session, &request->job, self->now_us);
    return true;
}

static bool run_job_here (turns_t *self, executor_job_t *job)
{
    return run_here (self, CONTAINER_OF (job, weft_request_t, job));
}

static bool collect (turns_t *self, bool sleeping)
{
    executor_batch_t done;
    executor_job_t *job;

    executor_batch_init (&done);
    const bool some = executor_collect (self->executor, &done, sleeping);
    while ((job = executor_batch_take (&done)) != NULL)
        session_finished (&self->session, job, self->now_us);
    return some;
}

/*  Reads the message that was begun to its end, and runs what is quick. False: the lead is lost. */
static bool read_on (turns_t *self)
{
    const bool may_run = executor_may_run (self->executor);
    weft_request_t *request;

    while ((request = session_next (&self->session, may_run, self->now_us)) != NULL)
        if (!run_here (self, request))
            return false;
    message_clear (&self->message);
    direct_read (&self->direct, self->now_us);
    return true;
}

/*  Enough read, or run, for replies to go out first. */
static bool had_enough (const turns_t *self, size_t messages)
{
    return messages >= TURN_MESSAGES_MAX || self->now_us - self->began_us >= TURN_US;
}

/*  Where messages come one by one, the reply goes out before the socket is asked for another. It has to be asked
 *  again after that in any case. */
static bool reply_first (const turns_t *self, const arrivals_t *arrivals, size_t messages)
{
    return arrivals->alone && messages > 0 && self->session.dirty.count > 0;
}

static void note_arrivals (arrivals_t *self, size_t messages)
{
    if (self->last == 1 && messages == 0)
        self->alone = true;
    else if (self->last && messages)
        self->alone = false;
    self->last = messages;
}

/*  Each link once: one that stalls is dirty again, for a later turn. */
static size_t flush (turns_t *self)
{
    size_t tried = 0;

    for (size_t links = self->session.dirty.count; links > 0; links--) {
        session_link_t *link = session_next_dirty (&self->session);
        const bool held = link->hold_us > self->now_us;
        way_t *way = link->broker ? link->owner : NULL;
        tried += !held;
        *(way ? &way->news : &self->callers_news) |= !held;
        if (held || !(way ? uplink_flush (&way->uplink, &link->outbox) : direct_flush (&self->direct, link, self->now_us))) {
            link->hold_us = held ? link->hold_us : self->now_us + STALL_US;
            link_set_dirty (link);
        }
    }
    return tried;
}

/*  What came is read before the loss is believed. False: the lead is lost. */
static bool serve_broker (turns_t *self, way_t *way, size_t *events)
{
    uplink_t *uplink = &way->uplink;
    const char *fault = "";
    size_t count = 0;
    int got = 1;

    if (self->look_at_monitors && uplink_events (uplink))
        session_link_ready (&self->session, way->link, self->now_us);
    way->link->lost |= uplink->lost;
    if (!way->news && !uplink->lost)
        return true;
    while (!had_enough (self, count) && !reply_first (self, &way->arrivals, count)
           && (got = uplink_receive (uplink, &self->message, &fault)) != 0) {
        if (self->direct.doubtful && self->message.count > 0)
            way->link->lost |= transport_has_ended (transport_fd (&self->message.frames [0]));
        if (got > 0)
            session_receive (&self->session, way->link, &self->message, self->now_us);
        else
            session_receive_fault (&self->session, way->link, fault, self->now_us);
        if (!read_on (self))
            return false;
        if (outbox_full (&way->link->outbox))
            flush (self);
        count++;
    }
    *events += count;
    note_arrivals (&way->arrivals, count);
    way->news = got != 0;
    if (!uplink->lost || got != 0)
        return true;
    const weft_status_t status = uplink->status;
    const char *text = uplink->text;
    uplink_close (uplink, 0);
    session_link_lost (&self->session, way->link, status, text, self->now_us);
    ++*events;
    return true;
}

static bool serve_brokers (turns_t *self, size_t *events)
{
    for (way_t *way = self->ways; way < self->ways + POSTS; way++)
        if (!serve_broker (self, way, events))
            return false;
    return true;
}

static bool brokers_wait (const turns_t *self)
{
    for (const way_t *way = self->ways; way < self->ways + POSTS; way++)
        if (way->news || way->uplink.lost)
            return true;
    return false;
}

static bool serve_callers (turns_t *self, size_t *events)
{
    size_t count = 0;
    bool more = true;

    if (self->look_at_monitors)
        direct_events (&self->direct, self->now_us);
    if (!self->callers_news && list_empty (&self->direct.lost))
        return true;
    while (!had_enough (self, count) && !reply_first (self, &self->of_callers, count)
           && (more = direct_receive (&self->direct, &self->message, self->now_us))) {
        if (!read_on (self))
            return false;
        count++;
    }
    *events += count;
    note_arrivals (&self->of_callers, count);
    self->callers_news = more;
    if (!more)
        direct_part (&self->direct, self->now_us);
    return true;
}

/*  Helps the others, for a while. */
static bool help (turns_t *self, size_t *events)
{
    const int64_t start_us = self->now_us;
    executor_job_t *job;

    while (!pace_look_up (self->now_us - start_us) && (job = executor_take_back (self->executor)) != NULL) {
        if (!run_job_here (self, job))
            return false;
        ++*events;
    }
    return true;
}

/*  Runs what waits, or has it run. */
static bool dispatch (turns_t *self, size_t *events)
{
    executor_batch_t *soon = session_soon (&self->session);
    executor_job_t *job;

    while ((job = executor_batch_take (session_apart (&self->session))) != NULL)
        if (!executor_run_apart (self->executor, job))
            session_no_thread (&self->session, job, self->now_us);
    executor_submit (self->executor, session_away (&self->session));
    if (!executor_may_run (self->executor) || pace_share (soon->count, soon->cost_ns))
        executor_submit (self->executor, soon);
    while ((job = executor_batch_take (soon)) != NULL) {
        if (!run_job_here (self, job))
            return false;
        ++*events;
    }
    return help (self, events);
}

static void command (turns_t *self)
{
    const char *endpoint = NULL;
    session_link_t *link;
    standing_command_t wanted;

    while ((wanted = session_command (&self->session, &link, &endpoint)) != STANDING_NOTHING) {
        way_t *way = link->owner;
        uplink_close (&way->uplink, wanted == STANDING_PART ? PART_MS : 0);
        if (wanted == STANDING_OPEN) {
            uplink_open (&way->uplink, endpoint);
            way->news = true;
            link->hold_us = 0;
            link->lost = false;
            self->look_at_monitors = true;
        }
    }
}

/*  What was asked from other threads. */
static void obey (turns_t *self)
{
    if (atomic_exchange (&self->ask_drain, false))
        session_drain (&self->session, self->now_us);
    if (atomic_exchange (&self->ask_quit, false))
        session_quit (&self->session, self->now_us);
}

turn_t turns_take (turns_t *self)
{
    size_t events = 0;

    look_at_clock (self);
    self->began_us = self->now_us;
    obey (self);
    self->look_at_monitors |= ++self->count % MONITOR_TURNS == 0;
    events += collect (self, false);
    events += session_send_items (&self->session, self->now_us);
    if (!read_on (self) || !serve_brokers (self, &events) || !serve_callers (self, &events)
        || !dispatch (self, &events))
        return TURN_LOST;
    self->look_at_monitors = false;
    if (self->now_us >= session_next_us (&self->session)) {
        session_tick (&self->session, self->now_us);
        events++;
    }
    direct_tick (&self->direct, self->now_us);
    session_settle (&self->session);
    command (self);
    events += flush (self);
    const bool more = self->look_at_monitors || self->callers_news || !list_empty (&self->direct.lost);
    return events > 0 || more || brokers_wait (self) ? TURN_BUSY : TURN_IDLE;
}

static void wake (void *arg)
{
    transport_wake (((turns_t *) arg)->wake_fd);
}

bool turns_open (turns_t *self)
{
    self->wake_fd = transport_wake_open ();
    return sleeper_open (&self->sleeper) && self->wake_fd >= 0
           && sleeper_add (&self->sleeper, self->wake_fd, WOKEN);
}

void turns_close (turns_t *self)
{
    sleeper_close (&self->sleeper);
    if (self->wake_fd >= 0)
        close (self->wake_fd);
}

void turns_init_uplinks (turns_t *self, void *context, size_t frame_max)
{
    for (size_t i = 0; i < POSTS; i++) {
        way_t *way = &self->ways [i];
        uplink_init (&way->uplink, context, &self->sleeper, frame_max);
        way->link = &self->session.posts [i].link;
        way->link->owner = way;
    }
}

void turns_close_uplinks (turns_t *self, int linger_ms)
{
    for (way_t *way = self->ways; way < self->ways + POSTS; way++)
        uplink_close (&way->uplink, linger_ms);
}

void turns_begin (turns_t *self, executor_t *executor)
{
    self->executor = executor;
    self->session.requests.streams.wake = wake;
    self->session.requests.streams.wake_arg = self;
    self->look_at_monitors = self->callers_news = true;
    message_init (&self->message);
}

void turns_resume (turns_t *self, executor_job_t *job)
{
    look_at_clock (self);
    session_adopt (&self->session, job, self->now_us);
}

/*  ------------------------------------------------------------------ sleeping  */

void turns_sleep (turns_t *self)
{
    self->now_us = clock_now_us ();
    int64_t next_us = session_next_us (&self->session);
    if (self->session.dirty.count && next_us > self->now_us + STALL_US)
        next_us = self->now_us + STALL_US;
    if (direct_next_us (&self->direct) < next_us)
        next_us = direct_next_us (&self->direct);
    if (collect (self, true))
        return;
    const unsigned news = sleeper_sleep (&self->sleeper, next_us);
    if (news & WOKEN)
        transport_wake_clear (self->wake_fd);
    for (way_t *way = self->ways; way < self->ways + POSTS; way++)
        way->news |= (news & UPLINK_NEWS) != 0 && way->uplink.socket;
    self->callers_news |= (news & DIRECT_NEWS) != 0;
    self->look_at_monitors |= (news & (UPLINK_EVENTS | DIRECT_EVENTS)) != 0;
}

void turns_flush_last (turns_t *self)
{
    const int64_t until_us = clock_now_us () + LAST_FLUSH_US;

    do {
        self->now_us = clock_now_us ();
        flush (self);
    } while (self->session.dirty.count && self->now_us < until_us && poll (NULL, 0, 1) == 0);
}
