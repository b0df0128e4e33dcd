/* SPDX-License-Identifier: MPL-2.0
 *
 *  service.c - what a worker serves.
 *
 *  Services are added whole, from one table, before the worker starts; from then on only the
 *  statistics change. A method is found by the bytes of its full name. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "service.h"
#include "types.h"

#define RESERVED_PREFIX "weft."

/*  ------------------------------------------------------------------ making and freeing  */

void services_init (services_t *self, uint64_t seed)
{
    *self = (services_t){0};
    table_init (&self->services, seed);
    table_init (&self->methods, seed);
}

static void service_free (service_t *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < self->method_count; i++)
        free (self->methods [i].full_name);
    free (self->methods);
    free (self->name);
    free (self);
}

void services_fini (services_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        service_free (self->list [i]);
    free (self->list);
    table_fini (&self->services);
    table_fini (&self->methods);
    *self = (services_t){0};
}

/*  ------------------------------------------------------------------ adding  */

static weft_status_t wrong (char *error, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
static weft_status_t wrong (char *error, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (error, WEFT_TEXT_MAX + 1, format, arguments);
    va_end (arguments);
    return WEFT_INVALID;
}

static weft_status_t no_memory (char *error)
{
    wrong (error, "out of memory");
    return WEFT_OVERLOADED;
}

static weft_status_t check_service (const services_t *self, const char *name, bool built_in, char *error)
{
    if (!name || !wire_name_valid (text_of (name)))
        return wrong (error,
                      "bad service name \"%.300s\": parts of 1 to %d of A-Z a-z 0-9 _ - with dots between",
                      name ? name : "", WEFT_NAME_PART_MAX);
    if (!built_in && strncmp (name, RESERVED_PREFIX, strlen (RESERVED_PREFIX)) == 0)
        return wrong (error, "service name \"%s\": names that begin with \"" RESERVED_PREFIX "\" are reserved",
                      name);
    if (services_lookup (self, text_of (name)))
        return wrong (error, "service \"%s\" is already defined", name);
    if (self->count >= WEFT_SERVICES_MAX)
        return wrong (error, "service \"%s\": more than %d services", name, WEFT_SERVICES_MAX);
    return WEFT_OK;
}

static bool defined_before (const weft_method_t *table, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp (table [i].name, table [index].name) == 0)
            return true;
    return false;
}

static weft_status_t check_method (const char *service, const weft_method_t *table, size_t index, char *error)
{
    const weft_method_t *entry = &table [index];
    char full [WEFT_METHOD_NAME_MAX + 2];
    text_t owner, name;

    const int size = snprintf (full, sizeof full, "%s.%s", service, entry->name);
    if (size > WEFT_METHOD_NAME_MAX || strchr (entry->name, '.')
        || !wire_split_method (text_of (full), &owner, &name))
        return wrong (error, "bad method name \"%.300s\" in service \"%s\": 1 to %d of A-Z a-z 0-9 _ -",
                      entry->name, service, WEFT_NAME_PART_MAX);
    if (!entry->handler || !entry->args || !entry->reply)
        return wrong (error, "method \"%s\" has no %s", full,
                      !entry->handler ? "handler" : !entry->args ? "argument type" : "reply type");
    if (entry->flags & WEFT_STREAM && entry->flags & WEFT_INLINE)
        return wrong (error, "method \"%s\" is both a stream and inline", full);
    if (defined_before (table, index))
        return wrong (error, "method \"%s\" is already defined", full);
    return WEFT_OK;
}

static weft_status_t check_table (const services_t *self, const char *name, const weft_method_t *table,
                                  size_t *count, char *error)
{
    size_t n = 0;

    for (; table && table [n].name; n++) {
        if (self->method_count + n >= WEFT_METHODS_MAX)
            return wrong (error, "service \"%s\": more than %d methods in all", name, WEFT_METHODS_MAX);
        const weft_status_t status = check_method (name, table, n, error);
        if (status)
            return status;
    }
    if (n == 0)
        return wrong (error, "service \"%s\" has no methods", name);
    *count = n;
    return WEFT_OK;
}

static bool method_init (method_t *self, const service_t *service, const weft_method_t *entry, void *user)
{
    const size_t size = strlen (service->name) + strlen (entry->name) + 2;

    self->full_name = malloc (size);
    if (!self->full_name)
        return false;
    snprintf (self->full_name, size, "%s.%s", service->name, entry->name);
    self->full_name_size = size - 1;
    self->entry = entry;
    self->service = service;
    self->user = entry->user ? entry->user : user;
    histogram_init (&self->handler_us, HISTOGRAM_COARSE, self->handler_buckets);
    return true;
}

static service_t *service_new (const char *name, const weft_method_t *table, size_t count, void *user,
                               bool built_in)
{
    service_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->built_in = built_in;
    self->name = strdup (name);
    self->methods = calloc (count, sizeof *self->methods);
    bool made = self->name && self->methods;
    for (size_t i = 0; made && i < count; i++) {
        made = method_init (&self->methods [i], self, &table [i], user);
        self->method_count += made;
    }
    if (made)
        return self;
    service_free (self);
    return NULL;
}

static void withdraw (services_t *self, const service_t *service)
{
    table_take (&self->services, service->name, strlen (service->name));
    for (size_t i = 0; i < service->method_count; i++)
        table_take (&self->methods, service->methods [i].full_name, strlen (service->methods [i].full_name));
}

static bool publish (services_t *self, service_t *service)
{
    service_t **list = realloc (self->list, (self->count + 1) * sizeof *list);
    if (!list)
        return false;
    self->list = list;

    bool known = table_put (&self->services, service->name, strlen (service->name), service);
    for (size_t i = 0; known && i < service->method_count; i++) {
        method_t *method = &service->methods [i];
        known = table_put (&self->methods, method->full_name, strlen (method->full_name), method);
    }
    if (!known) {
        withdraw (self, service);
        return false;
    }
    size_t at = self->count++;
    for (; at > 0 && strcmp (list [at - 1]->name, service->name) > 0; at--)
        list [at] = list [at - 1];
    list [at] = service;
    self->method_count += service->method_count;
    return true;
}

weft_status_t services_add (services_t *self, const char *name, const weft_method_t *table, void *user,
                            bool built_in, char *error)
{
    size_t count = 0;
    weft_status_t status = check_service (self, name, built_in, error);

    if (status == WEFT_OK)
        status = check_table (self, name, table, &count, error);
    if (status)
        return status;

    service_t *service = service_new (name, table, count, user, built_in);
    if (service && publish (self, service))
        return WEFT_OK;
    service_free (service);
    return no_memory (error);
}

/*  ------------------------------------------------------------------ finding  */

method_t *services_find (const services_t *self, text_t full_name)
{
    return table_get (&self->methods, full_name.data, full_name.size);
}

service_t *services_lookup (const services_t *self, text_t name)
{
    return table_get (&self->services, name.data, name.size);
}

/*  Appends to a text of bounded size, as far as it fits. */
static void add_text (char *text, size_t size, const char *more)
{
    const size_t used = strlen (text);
    snprintf (text + used, size - used, "%s", more);
}

void services_explain (const services_t *self, text_t full_name, char *text, size_t size)
{
    text_t owner, name;

    if (!wire_split_method (full_name, &owner, &name)) {
        snprintf (text, size,
                  "ill-formed method name: want \"Service.Method\", parts of 1 to %d of A-Z a-z 0-9 _ -",
                  WEFT_NAME_PART_MAX);
        return;
    }
    const service_t *service = services_lookup (self, owner);
    const char *separator = "";
    if (service) {
        snprintf (text, size, "service \"%.*s\" has no method \"%.*s\"; known: ", TEXT_ARG (owner),
                  TEXT_ARG (name));
        for (size_t i = 0; i < service->method_count; i++, separator = ", ") {
            add_text (text, size, separator);
            add_text (text, size, service->methods [i].entry->name);
        }
        return;
    }
    snprintf (text, size, "no service \"%.*s\" at this worker; known: ", TEXT_ARG (owner));
    for (size_t i = 0; i < self->count; i++, separator = ", ") {
        add_text (text, size, separator);
        add_text (text, size, self->list [i]->name);
    }
}

/*  ------------------------------------------------------------------ telling  */

uint32_t services_registered (const services_t *self)
{
    uint32_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += !self->list [i]->built_in;
    return count;
}

void services_write (const services_t *self, buffer_t *out)
{
    for (size_t i = 0; i < self->count; i++) {
        const service_t *service = self->list [i];
        if (service->built_in)
            continue;
        mp_write_array (out, 3);
        mp_write_text (out, service->name);
        mp_write_text (out, "");
        mp_write_array (out, (uint32_t) service->method_count);
        for (size_t k = 0; k < service->method_count; k++) {
            const weft_method_t *entry = service->methods [k].entry;
            mp_write_array (out, 4);
            mp_write_text (out, entry->name);
            mp_write_uint (out, entry->flags);
            types_write (out, entry->args ());
            types_write (out, entry->reply ());
        }
    }
}

/*  ------------------------------------------------------------------ statistics  */

void method_count (method_t *self, bool error, int64_t handler_us)
{
    self->calls++;
    self->errors += error;
    histogram_add (&self->handler_us, handler_us > 0 ? (uint64_t) handler_us : 0);
}

method_stats_t method_stats (method_t *self)
{
    return (method_stats_t){
        .calls = self->calls,
        .errors = self->errors,
        .p50_us = histogram_at (&self->handler_us, 0.5),
        .p99_us = histogram_at (&self->handler_us, 0.99),
        .max_us = self->handler_us.max,
    };
}
