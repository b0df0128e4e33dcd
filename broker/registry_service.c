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

/*  List ----------------------------------------------------------------------------------------------------------- */

static int service_row_compare (const void *a, const void *b)
{
    return strcmp (((const service_row *) a)->name, ((const service_row *) b)->name);
}

static int worker_row_compare (const void *a, const void *b)
{
    return strcmp (((const worker_row *) a)->uuid, ((const worker_row *) b)->uuid);
}

static bool add_service (ask_t *self, const service_t *service, list_reply *reply)
{
    service_row *row = &reply->services [reply->service_count++];
    return row_of_service (self->broker, service, row);
}

static void add_worker (const ask_t *self, const worker_t *worker, worker_row *rows, size_t *count)
{
    if (worker_live (self->broker, worker))
        rows [(*count)++] = row_of_worker (self->broker, worker);
}

static bool list_all (ask_t *self, list_reply *reply)
{
    const registry_t *registry = &self->broker->registry;
    const service_t *service;
    const worker_t *worker;
    size_t at = 0;

    while ((service = table_next (&registry->services, &at)))
        if (service->known && !add_service (self, service, reply))
            return false;
    for (at = 0; (worker = table_next (&registry->workers, &at));)
        add_worker (self, worker, reply->workers, &reply->worker_count);
    return true;
}

static void add_members (const ask_t *self, const service_t *service, worker_row *rows, size_t *count)
{
    for (list_node_t *node = list_first (&service->members); node; node = list_after (&service->members, node))
        add_worker (self, CONTAINER_OF (node, member_t, node)->worker, rows, count);
}

static bool on_list (ask_t *self)
{
    const registry_t *registry = &self->broker->registry;
    list_args args = {0};
    list_reply reply = {.revision = registry->revision};
    const service_t *service = NULL;

    if (!read_args (self, WEFT_OUT (list_args, &args))
        || (args.has_service && !(service = find_service (self, args.service))))
        return false;
    reply.services = arena_alloc (&self->broker->arena, (registry->services.count + 1) * sizeof *reply.services);
    reply.workers = arena_alloc (&self->broker->arena, (registry->workers.count + 1) * sizeof *reply.workers);
    if (!reply.services || !reply.workers)
        return out_of_memory (self);
    if (service ? !add_service (self, service, &reply) : !list_all (self, &reply))
        return out_of_memory (self);
    if (service)
        add_members (self, service, reply.workers, &reply.worker_count);
    qsort (reply.services, reply.service_count, sizeof *reply.services, service_row_compare);
    qsort (reply.workers, reply.worker_count, sizeof *reply.workers, worker_row_compare);
    return answer (self, WEFT_IN (list_reply, &reply));
}

/*  Describe ------------------------------------------------------------------------------------------------------- */

static int contract_row_compare (const void *a, const void *b)
{
    return strcmp (((const definition_row *) a)->name, ((const definition_row *) b)->name);
}

static bool describe_all (ask_t *self, describe_reply *reply)
{
    const registry_t *registry = &self->broker->registry;
    const service_t *service;
    const worker_t *worker;
    size_t at = 0;

    while ((service = table_next (&registry->services, &at)))
        if (service->known && !row_of_routes (self->broker, service, &reply->services [reply->service_count++]))
            return out_of_memory (self);
    for (at = 0; (worker = table_next (&registry->workers, &at));)
        add_worker (self, worker, reply->workers, &reply->worker_count);
    return true;
}

static bool describe_worker (ask_t *self, const worker_t *worker, describe_reply *reply)
{
    add_worker (self, worker, reply->workers, &reply->worker_count);
    for (uint32_t i = 0; i < worker->member_count; i++)
        if (!row_of_member (self->broker, &worker->members [i], &reply->services [reply->service_count++]))
            return out_of_memory (self);
    return true;
}

static bool describe_service (ask_t *self, const char *name, describe_reply *reply)
{
    const service_t *service = find_service (self, name);
    if (!service)
        return false;
    add_members (self, service, reply->workers, &reply->worker_count);
    return row_of_routes (self->broker, service, &reply->services [reply->service_count++])
           || out_of_memory (self);
}

static bool describe_self (ask_t *self, describe_reply *reply);

static bool on_describe (ask_t *self)
{
    const registry_t *registry = &self->broker->registry;
    describe_args args = {0};
    describe_reply reply = {0};

    if (!read_args (self, WEFT_OUT (describe_args, &args)))
        return false;
    reply.services = arena_alloc (&self->broker->arena, (registry->services.count + 1) * sizeof *reply.services);
    reply.workers = arena_alloc (&self->broker->arena, (registry->workers.count + 1) * sizeof *reply.workers);
    if (!reply.services || !reply.workers)
        return out_of_memory (self);
    const worker_t *worker = args.has_name ? registry_worker (registry, text_of (args.name)) : NULL;
    const bool done = !args.has_name                           ? describe_all (self, &reply)
                      : strcmp (args.name, "weft.Registry") == 0 ? describe_self (self, &reply)
                      : worker                                 ? describe_worker (self, worker, &reply)
                                                               : describe_service (self, args.name, &reply);
    if (!done)
        return false;
    qsort (reply.services, reply.service_count, sizeof *reply.services, contract_row_compare);
    qsort (reply.workers, reply.worker_count, sizeof *reply.workers, worker_row_compare);
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
    definition_row *row = &reply->services [reply->service_count++];

    *row = (definition_row){.name = "weft.Registry", .version = WEFT_VERSION};
    row->methods = arena_alloc (&self->broker->arena, METHOD_COUNT * sizeof *row->methods);
    if (!row->methods)
        return out_of_memory (self);
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

static bool serve (ask_t *self, text_t name)
{
    if (self->codec != CODEC_MSGPACK && self->codec != CODEC_JSON)
        return refuse (&self->refusal, WEFT_INVALID, "weft.Registry takes msgpack or json");
    if (self->record->remaining_ms == 0)
        return refuse (&self->refusal, WEFT_DEADLINE_EXCEEDED, "no time was left when the call came");
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (text_is (name, methods [i].name))
            return methods [i].serve (self);
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
        peer_fail (self, peer, record->id, ask.refusal.status, WEFT_EXECUTED_NO, 0, ask.refusal.text);
}
