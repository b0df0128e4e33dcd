/* SPDX-License-Identifier: MPL-2.0
 *
 *  rows.h - what weft.Registry.Watch sends, as C structs (PROTOCOL.md, section 6). */

#ifndef ROWS_H_INCLUDED
#define ROWS_H_INCLUDED

#include <weft/schema.h>

typedef struct {
    weft_string service;
} registry_watch_t;
WEFT_SCHEMA (registry_watch_t, WEFT_FIELD (service, weft_string))

typedef struct {
    weft_string uuid;
    weft_uint64 incarnation;
    weft_string *services;
    size_t service_count;
    weft_string *endpoints;
    size_t endpoint_count;
    weft_uint64 cores, capacity, in_flight;
    weft_string state, name, host;
    weft_uint64 pid, age_ms;
} registry_worker_t;
WEFT_SCHEMA (registry_worker_t, WEFT_FIELD (uuid, weft_string), WEFT_FIELD (incarnation, weft_uint64),
             WEFT_ARRAY (services, weft_string, service_count), WEFT_ARRAY (endpoints, weft_string, endpoint_count),
             WEFT_FIELD (cores, weft_uint64), WEFT_FIELD (capacity, weft_uint64), WEFT_FIELD (in_flight, weft_uint64),
             WEFT_FIELD (state, weft_string), WEFT_FIELD (name, weft_string), WEFT_FIELD (host, weft_string),
             WEFT_FIELD (pid, weft_uint64), WEFT_FIELD (age_ms, weft_uint64))

typedef struct {
    weft_string name;
    weft_uint64 flags;
} registry_method_t;
WEFT_SCHEMA (registry_method_t, WEFT_FIELD (name, weft_string), WEFT_FIELD (flags, weft_uint64))

typedef struct {
    weft_uint64 revision, previous;
    weft_bool full;
    registry_worker_t *workers;
    size_t worker_count;
    registry_method_t *methods;
    size_t method_count;
} registry_change_t;
WEFT_SCHEMA (registry_change_t, WEFT_FIELD (revision, weft_uint64), WEFT_FIELD (previous, weft_uint64),
             WEFT_FIELD (full, weft_bool), WEFT_ARRAY (workers, registry_worker_t, worker_count),
             WEFT_ARRAY (methods, registry_method_t, method_count))

#endif
