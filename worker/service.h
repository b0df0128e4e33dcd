/* SPDX-License-Identifier: MPL-2.0
 *
 *  service.h - what a worker serves: services, their methods, and what became of the calls. */

#ifndef SERVICE_H_INCLUDED
#define SERVICE_H_INCLUDED

#include <weft/worker.h>
#include "buffer.h"
#include "histogram.h"
#include "pace.h"
#include "table.h"
#include "wire.h"

typedef struct service service_t;

/*  One method: the user's table entry, its full name, its statistics. Never moves. */
typedef struct method {
    const weft_method_t *entry;
    const service_t *service;
    char *full_name;        /* "Service.Method" */
    size_t full_name_size;
    void *user;
    pace_t pace;
    uint64_t calls, errors;
    histogram_t handler_us;
    uint64_t handler_buckets [HISTOGRAM_BUCKETS (HISTOGRAM_COARSE)];
} method_t;

struct service {
    char *name;
    method_t *methods;      /* in the order of the table */
    size_t method_count;
    bool built_in;          /* not registered, not described */
};

typedef struct {
    service_t **list;       /* sorted by name */
    size_t count, method_count;
    table_t services, methods; /* by name, by full name */
} services_t;

void services_init (services_t *self, uint64_t seed);
void services_fini (services_t *self);

/*  Adds a service with all methods of `table`, which is borrowed. All or nothing: OK, INVALID or
 *  OVERLOADED (out of memory), and then `error` (of WEFT_TEXT_MAX + 1) says in one line what is wrong.
 *  `built_in` may use names that begin with "weft.", others may not. */
weft_status_t services_add (services_t *self, const char *name, const weft_method_t *table, void *user,
                            bool built_in, char *error);

/*  The method, the service of that name, or NULL. Neither allocates. */
method_t *services_find (const services_t *self, text_t full_name);
service_t *services_lookup (const services_t *self, text_t name);

/*  One line for people who asked for what is not here: `no service "X" here; known: A, B`. */
void services_explain (const services_t *self, text_t full_name, char *text, size_t size);

/*  Appends services of REGISTER: services_registered () times [name, version, methods]. */
uint32_t services_registered (const services_t *self);
void services_write (const services_t *self, buffer_t *out);

/*  Counts one call. This and method_stats on the session's thread. */
void method_count (method_t *self, bool error, int64_t handler_us);

typedef struct {
    uint64_t calls, errors, p50_us, p99_us, max_us;
} method_stats_t;
method_stats_t method_stats (method_t *self);

#endif
