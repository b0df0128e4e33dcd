/* SPDX-License-Identifier: MPL-2.0 */

#include "driver.h"
#include <assert.h>
#include <errno.h>
#include "clock.h"

#define HOUSEKEEPING_US 75000
#define GRACE_US        1000 /* that calls without callbacks may go without a driver */
#define GATHER_US       40   /* that a request is held back for the next ones */
#define GATHER_LATE_US  150  /* longer than that went wrong */
#define GATHER_PAUSE_US 100000

#define BATCH           16   /* callbacks in a row without the lock */

/*  Some callbacks that this thread runs. */
typedef struct batch {
    weft_client_t *client;
    weft_call_t *calls [BATCH];
    int at, count;
    struct batch *outer; /* of another client, or one whose callback waits */
} batch_t;

static _Thread_local batch_t *running;

/*  Waking. */

/*  What a follower is told. */
enum {
    LEAD = 1,  /* somebody has to: take the lock and see */
    DISMISSED, /* the call is done, and the client has forgotten you */
    LOOK       /* the background thread */
};

static void wake_leader (weft_client_t *self)
{
    if (self->leader && self->asleep)
        sockets_wake (&self->sockets);
}

/*  Handing out. */

static void release (weft_client_t *self, weft_call_t *call)
{
    assert (self->handles > 1);
    self->handles -= call->handles == 1;
    call_release (call, &self->pool);
}

/*  One thread less is in here. */
static void leave (weft_client_t *self)
{
    if (--self->inside == 0 && self->stopping)
        pthread_cond_broadcast (&self->quiet);
}

/*  Followers need not come back; others see for themselves that it is done, or that an item is there. */
static void tell_waiters (weft_client_t *self, weft_call_t *call, bool ended)
{
    for (waiter_t **at = &call->waiters; *at;) {
        waiter_t *waiter = *at;
        if (!list_linked (&waiter->node) || !(ended || waiter->for_items)) {
            if (waiter == self->leader)
                wake_leader (self);
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        list_remove (&self->followers, &waiter->node);
        leave (self);
        bell_ring (&waiter->bell, DISMISSED); /* it is gone now */
    }
}

static void hand_over (weft_client_t *self, weft_call_t *call)
{
    self->called_back -= call->counted;
    call->counted = false;
    atomic_store_explicit (&call->done, true, memory_order_release);
    if (call->waiters)
        tell_waiters (self, call, true);
    if (call->callback) {
        list_push (&self->callbacks, &call->node);
        return;
    }
    call->counted = call->handles > 1;
    self->uncollected += call->counted;
    self->finished_us = self->channel.now_us;
    release (self, call);
}

APART static void tell_of_items (weft_client_t *self)
{
    for (weft_call_t *call; (call = channel_next_fresh (&self->channel));)
        tell_waiters (self, call, false);
}

static void hand_over_all (weft_client_t *self)
{
    if (!list_empty (&self->channel.fresh))
        tell_of_items (self);
    for (weft_call_t *call; (call = channel_next_done (&self->channel));)
        hand_over (self, call);
}

static bool has_callbacks (const weft_client_t *self)
{
    return !list_empty (&self->callbacks) || self->channel.change_at < self->channel.change_count;
}

static int64_t sleep_limit_us (const weft_client_t *self, int64_t until_us)
{
    const int64_t channel_us = channel_next_us (&self->channel);
    const int64_t sockets_us = sockets_next_us (&self->sockets);
    const int64_t own_us = channel_us < sockets_us ? channel_us : sockets_us;
    return own_us < until_us ? own_us : until_us;
}

/*  A loop of the user's own must find the descriptor readable whenever there is something to drive. */
static void tell_loop (weft_client_t *self)
{
    if (has_callbacks (self) || sockets_busy (&self->sockets))
        sockets_wake (&self->sockets);
    sockets_arm (&self->sockets, sleep_limit_us (self, DEADLINES_NEVER));
}

/*  Signals only a background thread that would not look by itself soon enough. */
static void rouse_background (weft_client_t *self)
{
    const bool at_once = !self->leader && (self->called_back > 0 || has_callbacks (self));
    self->left_us = self->channel.now_us;
    if (!at_once && self->rests_until_us <= self->left_us + GRACE_US)
        return;
    self->kicked |= at_once;
    self->rests_until_us = 0;
    self->rouses++;
    bell_ring (&self->background.bell, LOOK);
}

/*  Nobody drives: a follower should, else the user's loop, else the background thread while calls are open
 *  or callbacks wait. */
static void find_driver (weft_client_t *self)
{
    if (self->leader)
        return;
    list_node_t *first = list_first (&self->followers);
    if (first)
        bell_ring (&CONTAINER_OF (first, waiter_t, node)->bell, LEAD);
    else if (self->own_loop)
        tell_loop (self);
    else if (self->has_thread && (self->channel.open > 0 || has_callbacks (self)))
        rouse_background (self);
}

/*  What was gathered has left. */
static void note_sent (weft_client_t *self, int64_t now_us)
{
    if (self->gathered_us && now_us - self->gathered_us >= GATHER_LATE_US)
        self->gather_after_us = now_us + GATHER_PAUSE_US;
    self->gathered_us = 0;
}

static void flush (weft_client_t *self, int64_t now_us)
{
    sockets_flush (&self->sockets, &self->channel, now_us);
    note_sent (self, now_us);
}

/*  After a thread that does not lead gave the channel something: sends it, and sees to it that its
 *  consequences are not slept through. */
static void push_out (weft_client_t *self)
{
    flush (self, clock_now_us ());
    if (self->leader && self->asleep && sockets_busy (&self->sockets))
        sockets_turn (&self->sockets, &self->channel, false); /* sending may have swallowed its wake-up */
    hand_over_all (self);
    if (has_callbacks (self) || sockets_busy (&self->sockets) ||
        sleep_limit_us (self, DEADLINES_NEVER) < self->sleeps_until_us)
        wake_leader (self);
    if (!self->leader && !list_empty (&self->followers))
        find_driver (self); /* who was called to lead may have been dismissed */
}

/*  Lets go of the lock to call the watcher. */
static void tell_changes (weft_client_t *self)
{
    for (const channel_change_t *next; (next = channel_next_change (&self->channel));) {
        const channel_change_t change = *next;
        pthread_mutex_unlock (&self->lock);
        self->watcher (change.service, change.worker, change.state, change.endpoint, self->watcher_arg);
        pthread_mutex_lock (&self->lock);
    }
}

/*  With the lock, before and after the callbacks of a batch. */
static void take_batch (batch_t *batch)
{
    list_t *callbacks = &batch->client->callbacks;
    for (batch->at = batch->count = 0; batch->count < BATCH && !list_empty (callbacks); batch->count++)
        batch->calls [batch->count] = CONTAINER_OF (list_pop (callbacks), weft_call_t, node);
}

static void release_batch (batch_t *batch)
{
    while (batch->count > 0)
        release (batch->client, batch->calls [--batch->count]);
}

/*  The rest of a batch, when a callback waits: others may run it meanwhile. */
static void give_back (batch_t *batch)
{
    while (batch->count > batch->at + 1)
        list_push_front (&batch->client->callbacks, &batch->calls [--batch->count]->node);
}

/*  Without the lock. */
static void run_batch (batch_t *batch)
{
    for (; batch->at < batch->count; batch->at++) {
        weft_call_t *call = batch->calls [batch->at];
        weft_call_fn *callback = atomic_load_explicit (&call->callback, memory_order_acquire);
        if (callback) /* NULL: the handle was destroyed meanwhile */
            callback (call, call->callback_arg);
    }
}

bool driver_destroys_current (weft_call_t *call)
{
    if (!running || running->at >= running->count || running->calls [running->at] != call)
        return false;
    assert (call->handles > 1);
    call->handles--;
    return true;
}

/*  Lets go of the lock to run all callbacks that wait; what they start is sent at the end. Somebody else
 *  may lead by then. */
static void run_callbacks (weft_client_t *self)
{
    batch_t batch = {.client = self, .outer = running};
    running = &batch;
    tell_changes (self);
    for (take_batch (&batch); batch.count > 0; take_batch (&batch)) {
        pthread_mutex_unlock (&self->lock);
        run_batch (&batch);
        pthread_mutex_lock (&self->lock);
        release_batch (&batch);
        if (self->channel.full)
            sockets_flush_full (&self->sockets, &self->channel, self->channel.now_us);
    }
    running = batch.outer;
    push_out (self);
}

/*  Is this thread within a callback of this client? */
static bool is_running (const weft_client_t *self)
{
    return running && running->client == self;
}

void driver_finish (weft_client_t *self)
{
    hand_over_all (self);
    wake_leader (self);
    while (has_callbacks (self))
        run_callbacks (self);
}

/*  One round: take in, decide, send, hand out. A leader that runs callbacks gives up the lead before. */
static void turn (weft_client_t *self, bool hurry)
{
    self->turns++;
    sockets_turn (&self->sockets, &self->channel, hurry);
    note_sent (self, self->channel.now_us);
    hand_over_all (self);
    if (!has_callbacks (self))
        return;
    self->leader = NULL;
    if (!list_empty (&self->followers))
        find_driver (self);
    run_callbacks (self);
}

/*  Asleep in epoll, without the lock. */
static void sleep_as_leader (weft_client_t *self, waiter_t *me, int64_t until_us)
{
    const int64_t limit_us = sleep_limit_us (self, until_us);
    self->asleep = true;
    self->sleeps_until_us = limit_us;
    pthread_mutex_unlock (&self->lock);
    const int64_t now_us = clock_now_us ();
    const unsigned sources = me == &self->background ? sockets_sleep_behind (&self->sockets, now_us, limit_us)
                                                     : sockets_sleep (&self->sockets, now_us, limit_us);
    pthread_mutex_lock (&self->lock);
    if (self->leader != me)
        return; /* deposed: somebody else looks after these */
    self->asleep = false;
    sockets_note (&self->sockets, sources);
}

/*  What the waiter waits for is there. */
static inline bool is_over (const waiter_t *me, const weft_call_t *call)
{
    return weft_call_done (call) || (me->for_items && intake_holds (call->intake));
}

/*  Drives until the call is done, the time is up, or the lead is lost. Without a call: until then, or
 *  stopping. */
static void lead (weft_client_t *self, waiter_t *me, const weft_call_t *call, int64_t until_us)
{
    if (self->leader)
        sockets_nudge (&self->sockets); /* the background thread: it finds itself deposed */
    self->leader = me;
    self->asleep = false;
    for (;;) {
        turn (self, call != NULL);
        if (self->leader != me || (call ? is_over (me, call) : self->stopping))
            break;
        if (until_us != DEADLINES_NEVER && clock_now_us () >= until_us)
            break; /* also when there is always something to take in */
        if (sockets_busy (&self->sockets))
            continue;
        sleep_as_leader (self, me, until_us);
        if (self->leader != me)
            return;
    }
    if (self->leader == me)
        self->leader = NULL;
    if (call)
        self->led_us = self->channel.now_us;
}

void driver_admit (weft_client_t *self, weft_call_t *call)
{
    call->counted = call->callback != NULL;
    self->called_back += call->counted;
}

void driver_forget (weft_client_t *self, weft_call_t *call)
{
    call->callback = NULL;
    if (weft_call_done (call))
        return; /* it is counted among the others, if at all */
    self->called_back -= call->counted;
    call->counted = false;
}

/*  False if it was dismissed: then the lock is not held any more. */
static bool follow (weft_client_t *self, waiter_t *me, int64_t until_us)
{
    list_push (&self->followers, &me->node);
    pthread_mutex_unlock (&self->lock);
    if (bell_wait (&me->bell, until_us) == DISMISSED)
        return false;
    pthread_mutex_lock (&self->lock);
    if (list_linked (&me->node)) {
        list_remove (&self->followers, &me->node);
        return true;
    }
    pthread_mutex_unlock (&self->lock); /* dismissed between the two */
    return false;
}

static void join_waiters (weft_call_t *call, waiter_t *me)
{
    me->next = call->waiters;
    call->waiters = me;
}

static void leave_waiters (weft_call_t *call, const waiter_t *me)
{
    waiter_t **at = &call->waiters;
    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
}

/*  In a callback all that happens at the end of the turn. */
void driver_follow_up (weft_client_t *self)
{
    if (is_running (self) || self->destroyed)
        return;
    push_out (self);
    find_driver (self);
}

/*  Is the call that was just started one of many? */
static bool in_company (const weft_client_t *self)
{
    const bool fresh = self->channel.now_us - self->finished_us < GATHER_LATE_US;
    return self->channel.open > 1 ? self->uncollected > 0 : self->uncollected > 1 && fresh;
}

/*  Not while the background thread drives, or runs callbacks: it is the one to send what was forgotten. */
static bool may_gather (const weft_client_t *self)
{
    const channel_t *channel = &self->channel;
    return in_company (self) && self->rests && channel->now_us >= self->gather_after_us &&
           (!self->gathered_us || channel->now_us - self->gathered_us < GATHER_US) &&
           list_empty (&channel->done) && channel->command_count == 0 &&
           (!self->leader || sleep_limit_us (self, DEADLINES_NEVER) >= self->sleeps_until_us);
}

void driver_gather (weft_client_t *self)
{
    if (is_running (self) || !may_gather (self)) {
        driver_follow_up (self);
        return;
    }
    if (!self->gathered_us)
        self->gathered_us = self->channel.now_us;
    self->gathered++;
    rouse_background (self);
}

void driver_collect (weft_client_t *self, weft_call_t *call)
{
    self->uncollected -= call->counted;
    call->counted = false;
}

/*  Before the wait that sends it: a leader sleeps, and would have to be woken for that. */
void driver_send (weft_client_t *self)
{
    if (self->leader && self->leader != &self->background)
        return;
    flush (self, self->channel.now_us);
    hand_over_all (self);
}

static inline void wait_as (weft_client_t *self, waiter_t me, weft_call_t *call, int64_t until_us)
{
    for (batch_t *batch = running; batch; batch = batch->outer)
        if (batch->client == self)
            give_back (batch);
    join_waiters (call, &me);
    self->inside++;
    if (self->leader && self->leader != &self->background)
        push_out (self);
    while (!is_over (&me, call) && !self->destroyed &&
           (until_us == DEADLINES_NEVER || clock_now_us () < until_us)) {
        if (!self->leader || self->leader == &self->background)
            lead (self, &me, call, until_us);
        else if (!follow (self, &me, until_us))
            return;
    }
    leave_waiters (call, &me);
    find_driver (self);
    leave (self);
    pthread_mutex_unlock (&self->lock);
}

void driver_wait (weft_client_t *self, weft_call_t *call, int64_t until_us)
{
    wait_as (self, (waiter_t){.next = NULL}, call, until_us);
}

void driver_wait_for_item (weft_client_t *self, weft_call_t *call, int64_t until_us)
{
    wait_as (self, (waiter_t){.for_items = true}, call, until_us);
}

/*  The background thread. */

/*  Should it lead? */
static bool is_needed (const weft_client_t *self, int64_t now_us)
{
    if (self->leader)
        return false;
    if (self->kicked || now_us - self->led_us >= HOUSEKEEPING_US)
        return true;
    if (!list_empty (&self->followers))
        return false; /* one of them is on its way */
    return has_callbacks (self) || self->called_back > 0 ||
           (self->channel.open > 0 && now_us - self->left_us >= GRACE_US);
}

/*  When it should look again. While calls are left and taken up again every moment, it looks that often, so
 *  that nobody need wake it for them. */
static int64_t next_look_us (const weft_client_t *self, int64_t looked_us, int64_t now_us)
{
    const int64_t since_us = now_us - self->led_us >= HOUSEKEEPING_US ? now_us : self->led_us;
    if (self->gathered_us || (!self->leader && self->channel.open > 0 && list_empty (&self->followers)))
        return self->left_us + GRACE_US;
    return self->left_us > looked_us ? now_us + GRACE_US : since_us + HOUSEKEEPING_US;
}

/*  Lets go of the lock. */
static void rest (weft_client_t *self, int64_t until_us)
{
    self->rests = true;
    self->rests_until_us = until_us;
    pthread_mutex_unlock (&self->lock);
    bell_wait (&self->background.bell, until_us);
    pthread_mutex_lock (&self->lock);
    self->rests = false;
}

static void *run_background (void *arg)
{
    weft_client_t *self = arg;
    pthread_mutex_lock (&self->lock);
    int64_t looked_us = 0;
    while (!self->stopping) {
        const int64_t now_us = clock_now_us ();
        const bool needed = is_needed (self, now_us);
        self->kicked = false;
        if (needed) {
            lead (self, &self->background, NULL, DEADLINES_NEVER);
            continue;
        }
        if (self->gathered_us && now_us - self->gathered_us >= GRACE_US)
            push_out (self);
        const int64_t until_us = next_look_us (self, looked_us, now_us);
        looked_us = now_us;
        rest (self, until_us);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

void driver_turn (weft_client_t *self)
{
    if (self->leader)
        return;
    waiter_t me = {.next = NULL};
    self->leader = &me;
    const unsigned sources = sockets_sleep (&self->sockets, 0, 0);
    sockets_note (&self->sockets, sources);
    turn (self, false);
    if (self->leader == &me)
        self->leader = NULL;
    find_driver (self);
}

/*  Life. */

void driver_init (weft_client_t *self)
{
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->quiet, NULL);
    list_init (&self->followers);
    list_init (&self->callbacks);
}

void driver_fini (weft_client_t *self)
{
    pthread_mutex_destroy (&self->lock);
    pthread_cond_destroy (&self->quiet);
}

bool driver_start (weft_client_t *self)
{
    errno = pthread_create (&self->thread, NULL, run_background, self);
    self->has_thread = errno == 0;
    return self->has_thread;
}

void driver_stop (weft_client_t *self)
{
    self->stopping = true;
    wake_leader (self);
    if (self->has_thread) {
        sockets_nudge (&self->sockets);
        bell_ring (&self->background.bell, LOOK);
        pthread_mutex_unlock (&self->lock);
        pthread_join (self->thread, NULL);
        pthread_mutex_lock (&self->lock);
    }
    while (self->inside > 0)
        pthread_cond_wait (&self->quiet, &self->lock);
}
