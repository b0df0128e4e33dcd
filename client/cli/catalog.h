/* SPDX-License-Identifier: MPL-2.0
 *
 *  catalog.h - what the mesh offers: rows of weft.Registry and weft.Worker (PROTOCOL.md, section 6),
 *  fetched and found.
 *
 *  A fetched list lives until it is freed; fetching says what went wrong and returns the exit code. */

#ifndef CATALOG_H_INCLUDED
#define CATALOG_H_INCLUDED

#include "cli.h"
#include "clock.h"

typedef struct {
    const char *name, *version;
    uint64_t workers, capacity, in_flight, queued;
} service_row;
WEFT_SCHEMA (service_row, WEFT_FIELD (name, weft_string), WEFT_FIELD (version, weft_string),
             WEFT_FIELD (workers, weft_uint64), WEFT_FIELD (capacity, weft_uint64),
             WEFT_FIELD (in_flight, weft_uint64), WEFT_FIELD (queued, weft_uint64))

typedef struct {
    const char *uuid;
    uint64_t incarnation;
    const char **services;
    size_t service_count;
    const char **endpoints;
    size_t endpoint_count;
    uint64_t cores, capacity, in_flight;
    const char *state, *name, *host;
    uint64_t pid, age_ms;
} worker_row;
WEFT_SCHEMA (worker_row, WEFT_FIELD (uuid, weft_string), WEFT_FIELD (incarnation, weft_uint64),
             WEFT_ARRAY (services, weft_string, service_count),
             WEFT_ARRAY (endpoints, weft_string, endpoint_count), WEFT_FIELD (cores, weft_uint64),
             WEFT_FIELD (capacity, weft_uint64), WEFT_FIELD (in_flight, weft_uint64),
             WEFT_FIELD (state, weft_string), WEFT_FIELD (name, weft_string), WEFT_FIELD (host, weft_string),
             WEFT_FIELD (pid, weft_uint64), WEFT_FIELD (age_ms, weft_uint64))

typedef struct {
    uint64_t revision;
    service_row *services;
    size_t service_count;
    worker_row *workers;
    size_t worker_count;
} list_reply;
WEFT_SCHEMA (list_reply, WEFT_FIELD (revision, weft_uint64),
             WEFT_ARRAY (services, service_row, service_count),
             WEFT_ARRAY (workers, worker_row, worker_count))

/*  "inline" is a keyword of C, so the member has another name. */
#define FIELD_INLINE {"inline", weft_bool_schema, WEFT_OFFSET_ (runs_inline, weft_bool), 0, 0, false, false}

typedef struct {
    const char *name;
    bool idempotent, runs_inline, stream;
    weft_any arguments, reply; /* types, checked to be well-formed; size 0: anything */
} method_row;
static inline const weft_schema_t *method_row_schema (void)
{
    typedef method_row weft_self_;
    static const weft_field_t fields [] = {
        WEFT_FIELD (name, weft_string),
        WEFT_FIELD (idempotent, weft_bool),
        FIELD_INLINE,
        WEFT_FIELD (stream, weft_bool),
        WEFT_FIELD (arguments, weft_any),
        WEFT_FIELD (reply, weft_any),
        {NULL, NULL, 0, 0, 0, false, false}};
    static const weft_schema_t schema = {"method_row", WEFT_KIND_STRUCT, sizeof (method_row), fields};
    return &schema;
}

typedef struct {
    const char *name, *version;
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
} describe_reply;
WEFT_SCHEMA (describe_reply, WEFT_ARRAY (services, definition_row, service_count),
             WEFT_ARRAY (workers, worker_row, worker_count))

typedef struct {
    const char *name;
    uint64_t calls, errors, p50_us, p99_us, max_us;
} method_stats;
WEFT_SCHEMA (method_stats, WEFT_FIELD (name, weft_string), WEFT_FIELD (calls, weft_uint64),
             WEFT_FIELD (errors, weft_uint64), WEFT_FIELD (p50_us, weft_uint64),
             WEFT_FIELD (p99_us, weft_uint64), WEFT_FIELD (max_us, weft_uint64))

typedef struct {
    const char *uuid;
    uint64_t in_flight, capacity, finished, refused, late, malformed;
    method_stats *methods;
    size_t method_count;
} stats_reply;
WEFT_SCHEMA (stats_reply, WEFT_FIELD (uuid, weft_string), WEFT_FIELD (in_flight, weft_uint64),
             WEFT_FIELD (capacity, weft_uint64), WEFT_FIELD (finished, weft_uint64),
             WEFT_FIELD (refused, weft_uint64), WEFT_FIELD (late, weft_uint64),
             WEFT_FIELD (malformed, weft_uint64), WEFT_ARRAY (methods, method_stats, method_count))

typedef struct {
    const char *service;
    bool has_service;
} list_args;
WEFT_SCHEMA (list_args, WEFT_OPTIONAL (service, weft_string, has_service))

typedef struct {
    const char *name;
    bool has_name;
} describe_args;
WEFT_SCHEMA (describe_args, WEFT_OPTIONAL (name, weft_string, has_name))

typedef struct {
    const char *worker;
} drain_args;
WEFT_SCHEMA (drain_args, WEFT_FIELD (worker, weft_string))

typedef struct {
    const char *uuid;
    uint64_t age_ms;
} ping_reply;
WEFT_SCHEMA (ping_reply, WEFT_FIELD (uuid, weft_string), WEFT_FIELD (age_ms, weft_uint64))

/*  Live workers and their services. */
typedef struct {
    weft_call_t *call;
    list_reply is;
} list_t;
int catalog_list (cli_t *cli, const char *service /* NULL: all */, list_t *list);
void list_free (list_t *list);

/*  Definitions, by service or worker or of all (NULL). */
typedef struct {
    weft_call_t *call;
    describe_reply is;
} definitions_t;
int catalog_describe (cli_t *cli, const char *what /* "service", for errors */, const char *name,
                      definitions_t *definitions);
void definitions_free (definitions_t *definitions);

/*  What one method takes and gives: from the registry, or of a built-in service. Unknown names are
 *  answered with the known ones. */
typedef struct {
    char name [WEFT_METHOD_NAME_MAX + 1]; /* "Service.Method" */
    size_t service_size;                  /* of it, up to the last dot */
    const char *method;                   /* and after it */
    buffer_t arguments, reply;            /* types; empty: any */
    bool stream;
} signature_t;
int catalog_signature (cli_t *cli, const char *name, signature_t *signature);
void signature_free (signature_t *signature);

/*  Among the list's workers, the one whose UUID is, or alone begins with, `name` (4 letters or more).
 *  NULL: none, or several. */
const worker_row *catalog_find_worker (const list_reply *list, const char *name);
const service_row *catalog_find_service (const list_reply *list, const char *name);
bool catalog_serves (const worker_row *worker, const char *service);

/*  Says that `name` is neither service nor worker, with the nearest and the known ones. */
int catalog_fail_unknown (cli_t *cli, const list_reply *list, const char *what, const char *name);

/*  The whole UUID of the worker whose UUID begins with `name`. */
int catalog_worker (cli_t *cli, const char *name, char uuid [UUID_SIZE + 1]);

#endif
