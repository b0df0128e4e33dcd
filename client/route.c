/* SPDX-License-Identifier: MPL-2.0
 *
 *  route.c - where does this call go?
 *
 *      weft.Registry               → the broker
 *      one worker wanted           → directly if it is known and reachable, else through the broker
 *      via BROKER                  → the broker; with a worker chosen here if the balancing mode or a
 *                                      request key asks for one
 *      via AUTO                    → a good endpoint of the list; if there is none, the broker; nor is a second
 *                                      connection waited for while the broker is there
 *      via DIRECT                  → a good endpoint, else any that was not tried yet */

#include "channel_inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bytes.h"

#define SERVICES_MAX   WEFT_BROKER_WATCHES_MAX
#define PROBE_EVERY_US 100000
#define IDLE_US        5000000 /* a service that nobody used for so long makes room for another */
#define LOOK_EVERY_US  100000

/*  The endpoints a call may choose from. */
typedef struct {
    endpoint_t *const *list;
    size_t count;
    balancer_t *balancer;
    bool connected; /* only from those that need not be waited for */
} choice_t;

/*  It goes nowhere. */
static void fail (channel_t *self, weft_call_t *call, weft_status_t status, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
static void fail (channel_t *self, weft_call_t *call, weft_status_t status, const char *format, ...)
{
    char text [WEFT_TEXT_MAX + 1];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    call_end (self, call, &(outcome_t){.status = status, .executed = WEFT_EXECUTED_NO, .text = text});
}

static void through_broker (channel_t *self, weft_call_t *call, endpoint_t *chosen)
{
    attempt_begin (self, call, self->broker, chosen);
}

static void remember_tried (weft_call_t *call, const endpoint_t *endpoint)
{
    if (call->tried_count < CALL_TRIED_MAX)
        call->tried [call->tried_count++] = endpoint->hash;
}

static bool was_tried (const weft_call_t *call, const endpoint_t *endpoint)
{
    for (size_t i = 0; i < call->tried_count; i++)
        if (call->tried [i] == endpoint->hash)
            return true;
    return false;
}

/*  AUTO goes through the broker rather than wait for a second connection, or to more workers than can be remembered. */
static bool waits_no_more (const channel_t *self, const weft_call_t *call)
{
    return call->settings.via == WEFT_VIA_AUTO &&
           (call->tried_count == CALL_TRIED_MAX || (call->unreached && link_takes (self->broker)));
}

/*  Over its own connection; false: there is no address that can be reached from here. */
static inline bool directly (channel_t *self, weft_call_t *call, endpoint_t *endpoint)
{
    if (endpoint->link.state == LINK_IDLE && !channel_connect (self, endpoint))
        return false;
    remember_tried (call, endpoint);
    attempt_begin (self, call, &endpoint->link, endpoint);
    return true;
}

/*  Who could not be reached gets a bare connection once its time has come: no call is risked. */
static void probe (channel_t *self, endpoint_t *endpoint)
{
    if (endpoint->unreachable && endpoint->link.state == LINK_IDLE && endpoint->state < ENDPOINT_DRAINING &&
        !endpoint_ejected (endpoint, self->now_us))
        channel_connect (self, endpoint);
}

/*  One particular worker. */
static void to_worker (channel_t *self, weft_call_t *call, const char *uuid)
{
    endpoint_t *endpoint = endpoints_find (&self->endpoints, uuid, strlen (uuid));
    const weft_via_t via = call->settings.via;
    const bool possible =
        endpoint && endpoint_fitness (endpoint, self->now_us) > ENDPOINT_ROUTED &&
        !(endpoint->unreachable && (via == WEFT_VIA_AUTO || (!call->same && was_tried (call, endpoint)))) &&
        (endpoint->link.state == LINK_READY || !waits_no_more (self, call));
    if (via != WEFT_VIA_BROKER && possible && directly (self, call, endpoint))
        return;
    if (via == WEFT_VIA_AUTO && endpoint)
        probe (self, endpoint);
    if (via == WEFT_VIA_DIRECT)
        fail (self, call, WEFT_NO_WORKERS, "worker %s cannot be reached directly", uuid);
    else
        through_broker (self, call, endpoint);
}

static endpoint_t *pick (channel_t *self, const weft_call_t *call, const choice_t *choice,
                         endpoint_fitness_t fitness, bool again)
{
    const bool keyed = call->settings.balance == WEFT_BALANCE_HASH;
    const balancer_question_t question = {.mode = call->settings.balance,
                                          .key = keyed ? balancer_key (call->key.data, call->key.size) : 0,
                                          .fitness = fitness,
                                          .connected = choice->connected,
                                          .tried = call->tried,
                                          .tried_count = again ? 0 : call->tried_count,
                                          .now_us = self->now_us};
    return balancer_pick (choice->balancer, &question, choice->list, choice->count, &self->dice);
}

/*  How a worker is reached from here is not the broker's trouble: any that takes calls will do. */
static void chosen_through_broker (channel_t *self, weft_call_t *call, const choice_t *choice)
{
    endpoint_t *endpoint = pick (self, call, choice, ENDPOINT_GOOD, false);
    if (!endpoint)
        endpoint = pick (self, call, choice, ENDPOINT_LAST_RESORT, false);
    if (!endpoint)
        endpoint = pick (self, call, choice, ENDPOINT_ROUTED, false);
    if (!endpoint)
        endpoint = pick (self, call, choice, ENDPOINT_ROUTED, true);
    if (!endpoint) {
        fail (self, call, WEFT_NO_WORKERS, "no worker for %s takes calls", call->method);
        return;
    }
    remember_tried (call, endpoint);
    through_broker (self, call, endpoint);
}

/*  HASH and PRIMARY mean one particular worker; a request key counts at one, which must be known to be asked again.
 *  The rest is left to the broker. */
static bool chooses_here (const weft_call_t *call)
{
    return call->settings.balance == WEFT_BALANCE_HASH || call->settings.balance == WEFT_BALANCE_PRIMARY ||
           call->request_key.size > 0;
}

static void somehow_through_broker (channel_t *self, weft_call_t *call, const choice_t *choice)
{
    if (chooses_here (call))
        chosen_through_broker (self, call, choice);
    else
        through_broker (self, call, NULL);
}

/*  To one of at least that fitness which was not tried yet. False: there is none. */
static bool to_untried (channel_t *self, weft_call_t *call, const choice_t *choice, endpoint_fitness_t fitness)
{
    endpoint_t *endpoint;
    while (call->tried_count < CALL_TRIED_MAX && (endpoint = pick (self, call, choice, fitness, false))) {
        if (directly (self, call, endpoint))
            return true;
        remember_tried (call, endpoint);
    }
    return false;
}

/*  A good endpoint if there is one; then the broker if it may be; then what was not tried yet, those that
 *  may answer before those that could not be reached. */
static void to_any (channel_t *self, weft_call_t *call, const choice_t *choice)
{
    const bool may_route = call->settings.via == WEFT_VIA_AUTO;
    choice_t near = *choice;
    endpoint_t *endpoint;
    near.connected = waits_no_more (self, call);
    if (near.connected && chooses_here (call)) { /* who gets it matters more than the way there */
        chosen_through_broker (self, call, choice);
        return;
    }
    while ((endpoint = pick (self, call, &near, ENDPOINT_GOOD, false)) ||
           (call->attempts > 0 && (endpoint = pick (self, call, &near, ENDPOINT_GOOD, true)))) {
        if (directly (self, call, endpoint))
            return;
        endpoint_unreachable (endpoint, self->now_us, &self->dice);
    }
    if (may_route && link_takes (self->broker)) {
        somehow_through_broker (self, call, choice);
        return;
    }
    if (to_untried (self, call, choice, ENDPOINT_DOUBTFUL) ||
        to_untried (self, call, choice, ENDPOINT_LAST_RESORT))
        return;
    if (may_route)
        somehow_through_broker (self, call, choice);
    else
        fail (self, call, WEFT_NO_WORKERS, "no worker for %s can be reached directly%s%.800s", call->method,
              call->text.size ? "; the last try: " : "", weft_call_text (call));
}

/*  Another endpoint for a second attempt, of those that do not ask for a pause. PRIMARY keeps its one. */
static endpoint_t *pick_beside (channel_t *self, const weft_call_t *call, discovery_t *discovery,
                                endpoint_fitness_t fitness)
{
    const weft_balance_t balance = call->settings.balance;
    uint64_t tried [2 * CALL_TRIED_MAX];
    balancer_question_t question = {.mode = balance == WEFT_BALANCE_PRIMARY ? WEFT_BALANCE_P2C : balance,
                                    .fitness = fitness,
                                    .tried = tried,
                                    .tried_count = call->tried_count,
                                    .now_us = self->now_us};
    endpoint_t *endpoint;
    memcpy (tried, call->tried, sizeof call->tried);
    if (balance == WEFT_BALANCE_HASH)
        question.key = balancer_key (call->key.data, call->key.size);
    while ((endpoint = balancer_pick (&discovery->balancer, &question, discovery->members, discovery->count,
                                      &self->dice)) &&
           self->now_us < endpoint->link.paused_until_us) {
        if (question.tried_count == 2 * CALL_TRIED_MAX)
            return NULL;
        tried [question.tried_count++] = endpoint->hash;
    }
    return endpoint;
}

bool route_beside (channel_t *self, weft_call_t *call, link_t **link, endpoint_t **endpoint)
{
    discovery_t *discovery = table_get (&self->services, call->service.data, call->service.size);
    const bool chosen = call->direct || call->attempt.endpoint;
    *endpoint = NULL;
    *link = self->broker;
    if (!discovery || !discovery->listed || discovery->count < 2 || call->tried_count == CALL_TRIED_MAX)
        return false;
    if (!call->direct && (!link_takes (self->broker) || self->now_us < self->broker->paused_until_us))
        return false;
    if (!chosen)
        return true;
    *endpoint = pick_beside (self, call, discovery, call->direct ? ENDPOINT_GOOD : ENDPOINT_ROUTED);
    if (!*endpoint)
        return false;
    if (call->direct) {
        *link = &(*endpoint)->link;
        if ((*link)->state == LINK_IDLE && !channel_connect (self, *endpoint)) {
            endpoint_unreachable (*endpoint, self->now_us, &self->dice);
            return false;
        }
    }
    remember_tried (call, *endpoint);
    return true;
}

/*  All that are live get a part of the broadcast. */
static void to_all (channel_t *self, weft_call_t *call, const choice_t *choice)
{
    endpoint_t **live = choice->count ? calloc (choice->count, sizeof *live) : NULL;
    size_t count = 0;
    for (size_t i = 0; live && i < choice->count; i++)
        if (choice->list [i]->state < ENDPOINT_DRAINING)
            live [count++] = choice->list [i];
    if (count)
        call_fan (self, call, live, count);
    else
        fail (self, call, WEFT_NO_WORKERS, "no live worker for %s", call->method);
    free (live);
}

static void choose (channel_t *self, weft_call_t *call, const choice_t *choice)
{
    if (call->settings.balance == WEFT_BALANCE_BROADCAST)
        to_all (self, call, choice);
    else if (call->settings.via == WEFT_VIA_BROKER)
        chosen_through_broker (self, call, choice);
    else
        to_any (self, call, choice);
}

/*  weft.Worker is everywhere: any worker known from any list will do. */
static void to_known_workers (channel_t *self, weft_call_t *call)
{
    balancer_t balancer = {0};
    const size_t known = self->endpoints.by_uuid.count;
    endpoint_t **list = calloc (known + 1, sizeof *list);
    choice_t choice = {list, 0, &balancer, false};
    size_t position = 0;
    for (endpoint_t *endpoint; list && (endpoint = table_next (&self->endpoints.by_uuid, &position));)
        if (endpoint->state < ENDPOINT_DRAINING)
            list [choice.count++] = endpoint;
    if (choice.count)
        choose (self, call, &choice);
    else
        fail (self, call, WEFT_NO_WORKERS, "%s needs a worker: none was named, and none is known yet",
              call->method);
    free (list);
}

/*  Lists. */

/*  May this service be forgotten for another? One that nobody registered and nobody waits for may at once. */
static bool is_idle (const channel_t *self, const discovery_t *discovery)
{
    if (!discovery_known (discovery) && !discovery->request.link)
        return list_empty (&discovery->waiting);
    return self->now_us - discovery->used_us >= IDLE_US && discovery_unneeded (discovery);
}

/*  Forgets the service that nobody used for longest, if that was long. While there is none, nobody looks again
 *  before one can have become so. */
static bool make_room (channel_t *self)
{
    discovery_t *oldest = NULL;
    size_t position = 0;
    if (self->now_us < self->crowded_us)
        return false;
    for (discovery_t *discovery; (discovery = table_next (&self->services, &position));)
        if ((!oldest || discovery->used_us < oldest->used_us) && is_idle (self, discovery))
            oldest = discovery;
    if (!oldest) {
        self->crowded_us = self->now_us + LOOK_EVERY_US;
        return false;
    }
    channel_forget (self, oldest);
    return true;
}

/*  Most calls are for the same service as the last one. */
static discovery_t *recent (const channel_t *self, text_t service)
{
    discovery_t *discovery = self->recent;
    const bool same = discovery && discovery->service_size == service.size &&
                      bytes_equal (discovery->service, service.data, service.size);
    return same ? discovery : NULL;
}

static discovery_t *find_or_make (channel_t *self, text_t service)
{
    discovery_t *discovery = table_get (&self->services, service.data, service.size);
    if (discovery || (self->services.count >= SERVICES_MAX && !make_room (self)))
        return discovery;
    char name [WEFT_METHOD_NAME_MAX + 1];
    snprintf (name, sizeof name, "%.*s", TEXT_ARG (service));
    discovery = discovery_new (name, self->options.refresh_us, self->options.seed);
    if (discovery && !table_put (&self->services, service.data, service.size, discovery)) {
        discovery_free (discovery, &self->endpoints);
        return NULL;
    }
    return discovery;
}

discovery_t *route_discovery (channel_t *self, text_t service)
{
    discovery_t *discovery = recent (self, service);
    if (!discovery)
        self->recent = discovery = find_or_make (self, service);
    return discovery;
}

static void probe_unreachable (channel_t *self, discovery_t *discovery)
{
    if (self->now_us - discovery->probed_us < PROBE_EVERY_US)
        return;
    discovery->probed_us = self->now_us;
    for (size_t i = 0; i < discovery->count; i++)
        probe (self, discovery->members [i]);
}

static void by_list (channel_t *self, weft_call_t *call, discovery_t *discovery)
{
    if (call->discover) {
        const outcome_t listed = {.status = WEFT_OK, .executed = WEFT_EXECUTED_NO};
        if (discovery_known (discovery))
            call_end (self, call, &listed);
        else
            fail (self, call, WEFT_NO_SERVICE, "no such service: %s", discovery->service);
    } else if (call->only [0])
        to_worker (self, call, call->only);
    else if (!discovery_known (discovery))
        fail (self, call, WEFT_NO_SERVICE, "no such service: %s", discovery->service);
    else if (discovery->count == 0)
        fail (self, call, WEFT_NO_WORKERS, "no workers of %s are live", discovery->service);
    else {
        const choice_t choice = {discovery->members, discovery->count, &discovery->balancer, false};
        probe_unreachable (self, discovery);
        choose (self, call, &choice);
    }
}

/*  Only a list can say who is meant. */
static bool names_workers (const weft_call_t *call)
{
    return call->discover || chooses_here (call) || call->settings.balance == WEFT_BALANCE_BROADCAST;
}

static bool needs_list (const weft_call_t *call)
{
    return names_workers (call) || call->settings.via != WEFT_VIA_BROKER;
}

static void by_service (channel_t *self, weft_call_t *call)
{
    const bool needed = needs_list (call);
    if (!needed && call->settings.retry == WEFT_RETRY_FAILFAST) {
        through_broker (self, call, NULL);
        return;
    }
    discovery_t *discovery = route_discovery (self, call->service);
    if (discovery)
        discovery->used_us = self->now_us;
    if (!needed) {
        if (discovery)
            channel_ask (self, discovery); /* nobody waits for it: it tells what may be retried */
        through_broker (self, call, NULL);
        return;
    }
    if (!discovery && call->settings.via == WEFT_VIA_AUTO && !names_workers (call)) {
        through_broker (self, call, NULL);
        return;
    }
    if (!discovery) {
        fail (self, call, WEFT_OVERLOADED, "too many services are watched: no place for %s", call->method);
        return;
    }
    channel_ask (self, discovery);
    if (discovery_usable (discovery))
        by_list (self, call, discovery);
    else
        call_wait_list (self, call, discovery);
}

/*  Nearly every call: its first try, for any worker of a service whose list is good, and a good worker is
 *  there. False: it is another one, and is still to be routed. */
static inline bool route_usual (channel_t *self, weft_call_t *call)
{
    discovery_t *discovery = recent (self, call->service);
    if (!discovery || !discovery_fresh (discovery, self->now_us) || call->ours || call->only [0] ||
        call->attempts > 0 || call->tried_count > 0 || names_workers (call))
        return false;
    discovery->used_us = self->now_us;
    if (call->settings.via == WEFT_VIA_BROKER) {
        through_broker (self, call, NULL);
        return true;
    }
    const choice_t choice = {discovery->members, discovery->count, &discovery->balancer, false};
    endpoint_t *endpoint;
    if (self->now_us - discovery->probed_us >= PROBE_EVERY_US)
        return false;
    if (choice.count > 1)
        endpoint = pick (self, call, &choice, ENDPOINT_GOOD, false);
    else
        endpoint = endpoint_fitness (choice.list [0], self->now_us) == ENDPOINT_GOOD ? choice.list [0] : NULL;
    if (!endpoint)
        return false;
    if (directly (self, call, endpoint))
        return true;
    endpoint_unreachable (endpoint, self->now_us, &self->dice);
    return false;
}

void route_call (channel_t *self, weft_call_t *call)
{
    if (route_usual (self, call))
        return;
    const char *wanted = call->only [0] ? call->only : call->same ? call->worker : "";
    if (call->discover || (!wanted [0] && !call->ours)) {
        by_service (self, call);
        return;
    }
    const bool worker_service = text_is (call->service, "weft.Worker");
    const bool known = wanted [0] && endpoints_find (&self->endpoints, wanted, strlen (wanted));

    if (text_is (call->service, "weft.Registry"))
        through_broker (self, call, NULL);
    else if (wanted [0] && (known || call->same || worker_service || call->settings.via == WEFT_VIA_BROKER))
        to_worker (self, call, wanted);
    else if (worker_service)
        to_known_workers (self, call);
    else
        by_service (self, call);
}

/*  Takes the calls that wait now; those that come to wait meanwhile stay. Who stood still learns that the list is here, and that a
 *  call's time is up, at once: then it does not leave. */
void route_listed (channel_t *self, discovery_t *discovery)
{
    for (size_t left = discovery->waiting.count; left > 0 && !list_empty (&discovery->waiting); left--) {
        weft_call_t *call = CONTAINER_OF (list_first (&discovery->waiting), weft_call_t, node);
        if (self->now_us >= call->deadline_us) {
            call_due (self, call);
            continue;
        }
        list_remove (&discovery->waiting, &call->node);
        call->discovery = NULL;
        call->state = CALL_NEW;
        by_list (self, call, discovery);
    }
}

void route_unlisted (channel_t *self, discovery_t *discovery, const outcome_t *outcome)
{
    for (size_t left = discovery->waiting.count; left > 0 && !list_empty (&discovery->waiting); left--) {
        weft_call_t *call = CONTAINER_OF (list_first (&discovery->waiting), weft_call_t, node);
        call_end (self, call, outcome);
    }
}
