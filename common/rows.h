/* SPDX-License-Identifier: MPL-2.0
 *
 *  rows.h - what the built-in services take and give, as structs: PROTOCOL.md, section 6. One definition for
 *  those who answer (broker, worker) and those who ask (client, command line). */

#ifndef ROWS_H_INCLUDED
#define ROWS_H_INCLUDED

#include <weft/schema.h>

/*  weft.Registry. */

/*  From where a list goes on: behind this service and behind this worker. */
typedef struct {
    weft_string service;
    bool has_service;
    weft_string services_after, workers_after;
    bool has_services_after, has_workers_after;
} list_args;
WEFT_SCHEMA (list_args, WEFT_OPTIONAL (service, weft_string, has_service),
             WEFT_OPTIONAL (services_after, weft_string, has_services_after),
             WEFT_OPTIONAL (workers_after, weft_string, has_workers_after))

typedef struct {
    weft_string name;
    bool has_name;
    weft_string services_after, workers_after;
    bool has_services_after, has_workers_after;
} describe_args;
WEFT_SCHEMA (describe_args, WEFT_OPTIONAL (name, weft_string, has_name),
             WEFT_OPTIONAL (services_after, weft_string, has_services_after),
             WEFT_OPTIONAL (workers_after, weft_string, has_workers_after))

typedef struct {
    weft_string service;
} watch_args;
WEFT_SCHEMA (watch_args, WEFT_FIELD (service, weft_string))

typedef struct {
    weft_string worker;
} drain_args;
WEFT_SCHEMA (drain_args, WEFT_FIELD (worker, weft_string))

typedef struct {
    char unused; /* no fields */
} drain_reply;
static inline const weft_schema_t *drain_reply_schema (void)
{
    static const weft_field_t fields [] = {{0}};
    static const weft_schema_t schema = {"drain_reply", WEFT_KIND_STRUCT, sizeof (drain_reply), fields};
    return &schema;
}

typedef struct {
    weft_string name, version;
    uint64_t workers, capacity, in_flight, queued;
} service_row;
WEFT_SCHEMA (service_row, WEFT_FIELD (name, weft_string), WEFT_FIELD (version, weft_string),
             WEFT_FIELD (workers, weft_uint64), WEFT_FIELD (capacity, weft_uint64),
             WEFT_FIELD (in_flight, weft_uint64), WEFT_FIELD (queued, weft_uint64))

typedef struct {
    weft_string uuid;
    uint64_t incarnation;
    weft_string *services;
    size_t service_count;
    weft_string *endpoints;
    size_t endpoint_count;
    uint64_t cores, capacity, in_flight;
    weft_string state, name, host;
    uint64_t pid, age_ms;
} worker_row;
WEFT_SCHEMA (worker_row, WEFT_FIELD (uuid, weft_string), WEFT_FIELD (incarnation, weft_uint64),
             WEFT_ARRAY (services, weft_string, service_count), WEFT_ARRAY (endpoints, weft_string, endpoint_count),
             WEFT_FIELD (cores, weft_uint64), WEFT_FIELD (capacity, weft_uint64),
             WEFT_FIELD (in_flight, weft_uint64), WEFT_FIELD (state, weft_string), WEFT_FIELD (name, weft_string),
             WEFT_FIELD (host, weft_string), WEFT_FIELD (pid, weft_uint64), WEFT_FIELD (age_ms, weft_uint64))

typedef struct {
    uint64_t revision;
    service_row *services;
    size_t service_count;
    worker_row *workers;
    size_t worker_count;
    bool more, has_more;
    uint64_t paused_ms;     /* no worker expires for so long, and why */
    weft_string paused;
    bool has_paused_ms, has_paused;
} list_reply;
WEFT_SCHEMA (list_reply, WEFT_FIELD (revision, weft_uint64), WEFT_ARRAY (services, service_row, service_count),
             WEFT_ARRAY (workers, worker_row, worker_count), WEFT_OPTIONAL (more, weft_bool, has_more),
             WEFT_OPTIONAL (paused_ms, weft_uint64, has_paused_ms), WEFT_OPTIONAL (paused, weft_string, has_paused))

typedef struct {
    weft_string name;
    bool idempotent, runs_inline, stream;
    weft_any arguments, reply; /* types */
} method_row;
WEFT_SCHEMA (method_row, WEFT_FIELD (name, weft_string), WEFT_FIELD (idempotent, weft_bool),
             WEFT_FIELD_AS ("inline", runs_inline, weft_bool), WEFT_FIELD (stream, weft_bool),
             WEFT_FIELD (arguments, weft_any), WEFT_FIELD (reply, weft_any))

typedef struct {
    weft_string name, version;
    method_row *methods;
    size_t method_count;
} definition_row;
WEFT_SCHEMA (definition_row, WEFT_FIELD (name, weft_string), WEFT_FIELD (version, weft_string),
             WEFT_ARRAY (methods, method_row, method_count))

typedef struct {
    definition_row *services;
    size_t service_count;
    worker_row *workers;
    size_t worker_count;
    bool more, has_more;
} describe_reply;
WEFT_SCHEMA (describe_reply, WEFT_ARRAY (services, definition_row, service_count),
             WEFT_ARRAY (workers, worker_row, worker_count), WEFT_OPTIONAL (more, weft_bool, has_more))

typedef struct {
    weft_string name;
    uint64_t flags;
} flags_row;
WEFT_SCHEMA (flags_row, WEFT_FIELD (name, weft_string), WEFT_FIELD (flags, weft_uint64))

typedef struct {
    uint64_t revision, previous;
    bool full;
    worker_row *workers;
    size_t worker_count;
    flags_row *methods;
    size_t method_count;
    bool more, has_more;
} watch_item;
WEFT_SCHEMA (watch_item, WEFT_FIELD (revision, weft_uint64), WEFT_FIELD (previous, weft_uint64),
             WEFT_FIELD (full, weft_bool), WEFT_ARRAY (workers, worker_row, worker_count),
             WEFT_ARRAY (methods, flags_row, method_count), WEFT_OPTIONAL (more, weft_bool, has_more))

/*  What a worker's row takes of WEFT_ELEMENTS_MAX: itself, its fields, and the elements of its arrays. */
static inline size_t worker_row_elements (const worker_row *row)
{
    return 13 + row->service_count + row->endpoint_count;
}

/*  weft.Worker. */

typedef struct {
    weft_string uuid;
    uint64_t age_ms;
} ping_reply;
WEFT_SCHEMA (ping_reply, WEFT_FIELD (uuid, weft_string), WEFT_FIELD (age_ms, weft_uint64))

typedef struct {
    weft_string name;
    uint64_t calls, errors, p50_us, p99_us, max_us;
} method_stats_row;
WEFT_SCHEMA (method_stats_row, WEFT_FIELD (name, weft_string), WEFT_FIELD (calls, weft_uint64),
             WEFT_FIELD (errors, weft_uint64), WEFT_FIELD (p50_us, weft_uint64), WEFT_FIELD (p99_us, weft_uint64),
             WEFT_FIELD (max_us, weft_uint64))

typedef struct {
    weft_string uuid;
    uint64_t in_flight, capacity, finished, refused, late, malformed;
    method_stats_row *methods;
    size_t method_count;
    uint64_t again;
    bool has_again;
} stats_reply;
WEFT_SCHEMA (stats_reply, WEFT_FIELD (uuid, weft_string), WEFT_FIELD (in_flight, weft_uint64),
             WEFT_FIELD (capacity, weft_uint64), WEFT_FIELD (finished, weft_uint64), WEFT_FIELD (refused, weft_uint64),
             WEFT_FIELD (late, weft_uint64), WEFT_FIELD (malformed, weft_uint64),
             WEFT_ARRAY (methods, method_stats_row, method_count), WEFT_OPTIONAL (again, weft_uint64, has_again))

typedef struct {
    definition_row *services;
    size_t service_count;
} definitions_reply;
WEFT_SCHEMA (definitions_reply, WEFT_ARRAY (services, definition_row, service_count))

#endif
