/* SPDX-License-Identifier: MPL-2.0
 *
 *  registry_service.c - the methods of weft.Registry: ordinary requests, answered here. */

#include "core.h"
#include "types.h"
#include <stdlib.h>
#include <string.h>

/*  One request in the making: `body` decoded, the answer encoded into broker->body. */
typedef struct {
    broker_t *broker;
    peer_t *peer;
    const wire_record_t *record;
    codec_t codec;
    refusal_t refusal;
} ask_t;

static bool out_of_memory (ask_t *self)
{
    return refuse (&self->refusal, WEFT_OVERLOADED, "the broker is out of memory");
}

/*  An empty body stands for arguments that are all left out. */
static bool read_args (ask_t *self, weft_value_t args)
{
    codec_error_t error;

    if (self->record->body_size == 0
        || codec_decode (self->codec, self->record->body, self->record->body_size, args, &self->broker->arena, &error))
        return true;
    return refuse (&self->refusal, WEFT_INVALID, "reading body: %s", error.text);
}

static bool answer (ask_t *self, weft_value_t reply)
{
    codec_error_t error;

    buffer_clear (&self->broker->body);
    if (!codec_encode (self->codec, reply, &self->broker->body, &error))
        return refuse (&self->refusal, WEFT_INTERNAL, "writing the answer: %s", error.text);
    if (self->broker->body.size > self->broker->settings.body_max)
        return refuse (&self->refusal, WEFT_TOO_LARGE, "the answer has %zu bytes; the limit is %zu",
                       self->broker->body.size, self->broker->settings.body_max);
    peer_reply (self->broker, self->peer, self->record->id, &self->broker->body);
    return true;
}

static service_t *find_service (ask_t *self, const char *name)
{
    service_t *service = registry_service (&self->broker->registry, text_of (name));
    if (service && service->known)
        return service;
    refuse (&self->refusal, WEFT_NO_SERVICE, "no service \"%.*s\" was ever registered", QUOTED (text_of (name)));
    return NULL;
}

static worker_t *find_worker (ask_t *self, const char *uuid)
{
    worker_t *worker = registry_worker (&self->broker->registry, text_of (uuid));
    if (worker && worker_live (self->broker, worker))
        return worker;
    refuse (&self->refusal, WEFT_NO_WORKERS, "worker \"%.*s\" is not here", QUOTED (text_of (uuid)));
    return NULL;
}

/*  Pages ---------------------------------------------------------------------------------------------------------- */

/*  What an answer is to hold, sorted, before it is cut. In the arena. */
typedef struct {
    const service_t **services;
    const worker_t **workers;
    size_t service_count, worker_count;
    const char *services_after, *workers_after; /* "": from the start */
    size_t elements;                            /* of the rows so far */
    bool cut;
} page_t;

static bool page_begin (ask_t *self, page_t *page, const char *services_after, const char *workers_after)
{
    const registry_t *registry = &self->broker->registry;
    arena_t *arena = &self->broker->arena;

    *page = (page_t){.services_after = services_after, .workers_after = workers_after};
    page->services = arena_alloc (arena, (registry->services.count + 1) * sizeof *page->services);
    page->workers = arena_alloc (arena, (registry->workers.count + 1) * sizeof *page->workers);
    return (page->services && page->workers) || out_of_memory (self);
}

static void page_service (page_t *page, const service_t *service)
{
    if (service->known && strcmp (service->name, page->services_after) > 0)
        page->services [page->service_count++] = service;
}

static void page_worker (const ask_t *self, page_t *page, const worker_t *worker)
{
    if (worker_live (self->broker, worker) && strcmp (worker->uuid, page->workers_after) > 0)
        page->workers [page->worker_count++] = worker;
}

static void page_members (const ask_t *self, page_t *page, const service_t *service)
{
    for (list_node_t *node = list_first (&service->members); node; node = list_after (&service->members, node))
        page_worker (self, page, CONTAINER_OF (node, member_t, node)->worker);
}

static void page_all (const ask_t *self, page_t *page)
{
    const registry_t *registry = &self->broker->registry;
    const service_t *service;
    const worker_t *worker;
    size_t at = 0;

    while ((service = table_next (&registry->services, &at)))
        page_service (page, service);
    for (at = 0; (worker = table_next (&registry->workers, &at));)
        page_worker (self, page, worker);
}

static int service_compare (const void *a, const void *b)
{
    return strcmp ((*(const service_t *const *) a)->name, (*(const service_t *const *) b)->name);
}

static int worker_compare (const void *a, const void *b)
{
    return strcmp ((*(const worker_t *const *) a)->uuid, (*(const worker_t *const *) b)->uuid);
}

static void page_sort (page_t *page)
{
    qsort (page->services, page->service_count, sizeof *page->services, service_compare);
    qsort (page->workers, page->worker_count, sizeof *page->workers, worker_compare);
}

/*  Is there room for a row of so many elements? There always is for the first. */
static bool page_has_room (page_t *page, size_t elements)
{
    page->cut = page->cut || (page->elements > 0 && page->elements + elements > WEFT_LIST_PAGE_ELEMENTS);
    page->elements += elements;
    return !page->cut;
}

/*  The workers' rows, behind the services'. */
static bool add_workers (const ask_t *self, page_t *page, worker_row **rows, size_t *count)
{
    const size_t most = page->cut ? 0 : page->worker_count;
    *rows = arena_alloc (&self->broker->arena, (most + 1) * sizeof **rows);
    if (!*rows)
        return false;
    for (; *count < most; ++*count) {
        const worker_row row = row_of_worker (self->broker, page->workers [*count]);
        if (!page_has_room (page, worker_row_elements (&row)))
            break;
        (*rows) [*count] = row;
    }
    return true;
}

/*  List ----------------------------------------------------------------------------------------------------------- */

#define SERVICE_ELEMENTS 7 /* of a service_row */

static bool add_services (const ask_t *self, page_t *page, list_reply *reply)
{
    reply->services = arena_alloc (&self->broker->arena, (page->service_count + 1) * sizeof *reply->services);
    if (!reply->services)
        return false;
    for (; reply->service_count < page->service_count; reply->service_count++) {
        const size_t i = reply->service_count;
        if (!page_has_room (page, SERVICE_ELEMENTS))
            return true;
        if (!row_of_service (self->broker, page->services [i], &reply->services [i]))
            return false;
    }
    return true;
}

static const char *given (bool has, const char *text)
{
    return has ? text : "";
}

static void say_pause (const ask_t *self, list_reply *reply)
{
    const broker_t *broker = self->broker;

    reply->paused = grace_text (&broker->grace, broker->now_us);
    reply->has_paused = reply->has_paused_ms = reply->paused != NULL;
    if (reply->paused)
        reply->paused_ms = (uint64_t) (broker->grace.until_us - broker->now_us) / 1000;
}

static bool on_list (ask_t *self)
{
    list_args args = {0};
    list_reply reply = {.revision = self->broker->registry.revision};
    page_t page;
    const service_t *service = NULL;

    if (!read_args (self, WEFT_OUT (list_args, &args))
        || (args.has_service && !(service = find_service (self, args.service)))
        || !page_begin (self, &page, given (args.has_services_after, args.services_after),
                        given (args.has_workers_after, args.workers_after)))
        return false;
    if (service) {
        page_service (&page, service);
        page_members (self, &page, service);
    } else
        page_all (self, &page);
    page_sort (&page);
    if (!add_services (self, &page, &reply) || !add_workers (self, &page, &reply.workers, &reply.worker_count))
        return out_of_memory (self);
    reply.more = reply.has_more = page.cut;
    say_pause (self, &reply);
    return answer (self, WEFT_IN (list_reply, &reply));
}

/*  Describe ------------------------------------------------------------------------------------------------------- */

/*  No fewer than it has: a name takes two bytes at least, and so does what stands for an array. */
static size_t definition_elements (const definition_row *row)
{
    size_t elements = 4;
    for (size_t i = 0; i < row->method_count; i++)
        elements += 9 + row->methods [i].arguments.size / 2 + row->methods [i].reply.size / 2;
    return elements;
}

static bool describe_services (const ask_t *self, page_t *page, describe_reply *reply)
{
    reply->services = arena_alloc (&self->broker->arena, (page->service_count + 1) * sizeof *reply->services);
    if (!reply->services)
        return false;
    for (; reply->service_count < page->service_count; reply->service_count++) {
        definition_row *row = &reply->services [reply->service_count];
        if (!row_of_routes (self->broker, page->services [reply->service_count], row))
            return false;
        if (!page_has_room (page, definition_elements (row)))
            return true;
    }
    return true;
}

/*  A worker's own definitions; its services are sorted. */
static bool describe_worker (const ask_t *self, const worker_t *worker, describe_reply *reply)
{
    reply->services = arena_alloc (&self->broker->arena, (worker->member_count + 1) * sizeof *reply->services);
    if (!reply->services)
        return false;
    for (uint32_t i = 0; i < worker->member_count; i++)
        if (!row_of_member (self->broker, &worker->members [i], &reply->services [reply->service_count++]))
            return false;
    return true;
}

static bool describe_self (ask_t *self, describe_reply *reply);

/*  Who is meant goes into the page; a worker's or the registry's own services into the reply at once. */
static bool describe_whom (ask_t *self, const describe_args *args, page_t *page, describe_reply *reply)
{
    const worker_t *worker = args->has_name ? registry_worker (&self->broker->registry, text_of (args->name)) : NULL;

    if (!args->has_name)
        page_all (self, page);
    else if (strcmp (args->name, "weft.Registry") == 0)
        return describe_self (self, reply) || out_of_memory (self);
    else if (worker) {
        page_worker (self, page, worker);
        return describe_worker (self, worker, reply) || out_of_memory (self);
    } else {
        const service_t *service = find_service (self, args->name);
        if (!service)
            return false;
        page_service (page, service);
        page_members (self, page, service);
    }
    page_sort (page);
    return describe_services (self, page, reply) || out_of_memory (self);
}

static bool on_describe (ask_t *self)
{
    describe_args args = {0};
    describe_reply reply = {0};
    page_t page;

    if (!read_args (self, WEFT_OUT (describe_args, &args))
        || !page_begin (self, &page, given (args.has_services_after, args.services_after),
                        given (args.has_workers_after, args.workers_after))
        || !describe_whom (self, &args, &page, &reply))
        return false;
    if (!add_workers (self, &page, &reply.workers, &reply.worker_count))
        return out_of_memory (self);
    reply.more = reply.has_more = page.cut;
    return answer (self, WEFT_IN (describe_reply, &reply));
}

/*  Watch, Drain --------------------------------------------------------------------------------------------------- */

static bool on_watch (ask_t *self)
{
    watch_args args = {0};
    const uint32_t left_ms = self->record->remaining_ms;

    if (!read_args (self, WEFT_OUT (watch_args, &args)))
        return false;
    const text_t name = text_of (args.service ? args.service : "");
    if (!wire_name_valid (name))
        return refuse (&self->refusal, WEFT_INVALID, "ill-formed service name \"%.*s\"", QUOTED (name));
    watch_open (self->broker, self->peer, self->record->id, self->codec, name,
                left_ms == WIRE_NO_DEADLINE ? DEADLINES_NEVER : self->broker->now_us + (int64_t) left_ms * 1000);
    return true;
}

/*  An order to that worker; its own DRAINING follows, or its GOODBYE. */
static bool on_drain (ask_t *self)
{
    drain_args args = {0};
    const drain_reply reply = {0};

    if (!read_args (self, WEFT_OUT (drain_args, &args)))
        return false;
    const worker_t *worker = find_worker (self, args.worker ? args.worker : "");
    if (!worker)
        return false;
    buffer_t *out = peer_open_record (self->broker, worker->owner);
    mp_write_array (out, 3);
    mp_write_uint (out, WIRE_DRAINING);
    mp_write_text (out, "asked to drain");
    mp_write_text (out, worker->uuid);
    peer_close_record (self->broker, worker->owner, NULL);
    return answer (self, WEFT_IN (drain_reply, &reply));
}

/*  The table ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    bool (*serve) (ask_t *self);
    weft_schema_fn *args, *reply;
    unsigned flags;
} methods [] = {
    {"Describe", on_describe, describe_args_schema, describe_reply_schema, METHOD_IDEMPOTENT},
    {"Drain", on_drain, drain_args_schema, drain_reply_schema, METHOD_IDEMPOTENT},
    {"List", on_list, list_args_schema, list_reply_schema, METHOD_IDEMPOTENT},
    {"Watch", on_watch, watch_args_schema, watch_item_schema, METHOD_IDEMPOTENT | METHOD_STREAM},
};

#define METHOD_COUNT (sizeof methods / sizeof methods [0])

/*  A type in the arena. */
static weft_any type_of (ask_t *self, weft_schema_fn *schema)
{
    buffer_t type;
    weft_any any = {NULL, 0};

    buffer_init (&type, WEFT_SCHEMA_MAX);
    types_write (&type, schema ());
    void *copy = type.failed ? NULL : arena_alloc (&self->broker->arena, type.size);
    if (copy) {
        memcpy (copy, type.data, type.size);
        any = (weft_any){copy, type.size};
    }
    buffer_fini (&type);
    return any;
}

static bool describe_self (ask_t *self, describe_reply *reply)
{
    definition_row *row = reply->services = arena_alloc (&self->broker->arena, sizeof *row);

    if (!row)
        return false;
    reply->service_count = 1;
    *row = (definition_row){.name = "weft.Registry", .version = WEFT_VERSION};
    row->methods = arena_alloc (&self->broker->arena, METHOD_COUNT * sizeof *row->methods);
    if (!row->methods)
        return false;
    for (; row->method_count < METHOD_COUNT; row->method_count++) {
        const size_t i = row->method_count;
        row->methods [i] = (method_row){
            .name = methods [i].name,
            .idempotent = true,
            .stream = methods [i].flags & METHOD_STREAM,
            .arguments = type_of (self, methods [i].args),
            .reply = type_of (self, methods [i].reply),
        };
    }
    return true;
}

/*  What is answered from all that is registered takes long: a few of these, and then it is others' turn. */
static bool is_affordable (ask_t *self)
{
    self->broker->pressed = true;
    if (broker_affords (self->broker))
        return true;
    self->broker->counters.overloaded++;
    refuse (&self->refusal, WEFT_OVERLOADED, "more than %d requests of weft.Registry in one message", WEFT_BROKER_DEAR_MAX);
    self->refusal.retry_after_ms = OUTFLOW_MIN_MS;
    return false;
}

static bool serve (ask_t *self, text_t name)
{
    if (self->codec != CODEC_MSGPACK && self->codec != CODEC_JSON)
        return refuse (&self->refusal, WEFT_INVALID, "weft.Registry takes msgpack or json");
    if (self->record->remaining_ms == 0)
        return refuse (&self->refusal, WEFT_DEADLINE_EXCEEDED, "no time was left when the call came");
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (text_is (name, methods [i].name))
            return (methods [i].serve == on_watch || is_affordable (self)) && methods [i].serve (self);
    return refuse (&self->refusal, WEFT_UNIMPLEMENTED,
                   "weft.Registry has no method \"%.*s\"; it has: Describe, Drain, List, Watch", QUOTED (name));
}

void registry_service_request (broker_t *self, peer_t *peer, const wire_record_t *record,
                               const wire_options_t *options)
{
    ask_t ask = {.broker = self, .peer = peer, .record = record};
    const size_t prefix = strlen ("weft.Registry.");
    const text_t name = {record->method.data + prefix, record->method.size - prefix};

    ask.codec = options->codec.size ? codec_find (options->codec) : peer->codec;
    arena_reset (&self->arena);
    if (!serve (&ask, name))
        peer_turn_down (self, peer, record->id, &ask.refusal, 0);
}
