/* SPDX-License-Identifier: MPL-2.0 */

#include "contract.h"
#include "types.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool contracts_init (contracts_t *self, size_t bytes_max, uint64_t seed)
{
    *self = (contracts_t){.bytes_max = bytes_max};
    table_init (&self->table, seed);
    buffer_init (&self->spelling, SIZE_MAX);
    self->scratch = calloc (WEFT_METHODS_MAX, sizeof *self->scratch);
    return self->scratch != NULL;
}

void contracts_fini (contracts_t *self)
{
    assert (self->table.count == 0);
    table_fini (&self->table);
    buffer_fini (&self->spelling);
    free (self->scratch);
}

int text_compare (text_t a, text_t b)
{
    const size_t shared = a.size < b.size ? a.size : b.size;
    const int order = shared ? memcmp (a.data, b.data, shared) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int method_compare (const void *a, const void *b)
{
    return text_compare (((const wire_method_t *) a)->name, ((const wire_method_t *) b)->name);
}

/*  A method's own name: one part, no dots. */
static bool method_name_valid (text_t name)
{
    return wire_name_valid (name) && !memchr (name.data, '.', name.size);
}

static bool check_method (const wire_service_t *service, const wire_method_t *method, refusal_t *refusal)
{
    if (!method_name_valid (method->name))
        return refuse (refusal, WEFT_INVALID, "service \"%.*s\": ill-formed method name \"%.*s\"",
                       QUOTED (service->name), QUOTED (method->name));
    if (service->name.size + 1 + method->name.size > WEFT_METHOD_NAME_MAX)
        return refuse (refusal, WEFT_INVALID, "\"%.*s.%.*s\" is longer than %d", QUOTED (service->name),
                       QUOTED (method->name), WEFT_METHOD_NAME_MAX);
    if (!types_valid (method->args, method->args_size) || !types_valid (method->reply, method->reply_size))
        return refuse (refusal, WEFT_INVALID, "method \"%.*s.%.*s\": its types are ill-formed",
                       QUOTED (service->name), QUOTED (method->name));
    return true;
}

/*  The service's methods in the scratch, checked and sorted. */
static bool read_methods (contracts_t *self, const wire_service_t *service, refusal_t *refusal)
{
    mp_reader_t methods = service->methods;

    if (service->method_count > WEFT_METHODS_MAX)
        return refuse (refusal, WEFT_INVALID, "service \"%.*s\" has too many methods", QUOTED (service->name));
    for (uint32_t i = 0; i < service->method_count; i++)
        if (!wire_next_method (&methods, &self->scratch [i]) || !check_method (service, &self->scratch [i], refusal))
            return false;
    qsort (self->scratch, service->method_count, sizeof *self->scratch, method_compare);
    for (uint32_t i = 1; i < service->method_count; i++)
        if (text_eq (self->scratch [i].name, self->scratch [i - 1].name))
            return refuse (refusal, WEFT_INVALID, "duplicate method \"%.*s.%.*s\"", QUOTED (service->name),
                           QUOTED (self->scratch [i].name));
    return true;
}

static void spell (contracts_t *self, const wire_service_t *service)
{
    buffer_t *out = &self->spelling;

    buffer_clear (out);
    mp_write_str (out, service->version.data, service->version.size);
    for (uint32_t i = 0; i < service->method_count; i++) {
        const wire_method_t *method = &self->scratch [i];
        mp_write_array (out, 4);
        mp_write_str (out, method->name.data, method->name.size);
        mp_write_uint (out, method->flags);
        buffer_append (out, method->args, method->args_size);
        buffer_append (out, method->reply, method->reply_size);
    }
}

static void contract_free (contract_t *contract)
{
    free (contract->methods);
    free (contract->bytes);
    free (contract);
}

/*  A contract of its own, from the spelling. */
static contract_t *contract_new (const buffer_t *spelling, uint32_t count)
{
    contract_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->bytes = malloc (spelling->size);
    self->methods = calloc (count + 1, sizeof *self->methods); /* never none: a registrant may have no methods */
    if (!self->bytes || !self->methods) {
        contract_free (self);
        return NULL;
    }
    memcpy (self->bytes, spelling->data, spelling->size);
    self->size = spelling->size;
    self->count = count;
    mp_reader_t reader = mp_reader (self->bytes, self->size);
    mp_read_str (&reader, &self->version.data, &self->version.size);
    for (uint32_t i = 0; i < count; i++)
        wire_next_method (&reader, &self->methods [i]);
    assert (!reader.failed);
    return self;
}

contract_t *contracts_get (contracts_t *self, const wire_service_t *service, refusal_t *refusal)
{
    refuse (refusal, WEFT_OVERLOADED, "the broker is out of memory");
    if (!read_methods (self, service, refusal))
        return NULL;
    spell (self, service);
    if (self->spelling.failed)
        return NULL;
    contract_t *contract = table_get (&self->table, self->spelling.data, self->spelling.size);
    if (contract) {
        contract->refs++;
        return contract;
    }
    if (self->bytes + self->spelling.size > self->bytes_max) {
        refuse (refusal, WEFT_OVERLOADED, "the broker's memory for method tables is full");
        return NULL;
    }
    contract = contract_new (&self->spelling, service->method_count);
    if (!contract || !table_put (&self->table, contract->bytes, contract->size, contract)) {
        if (contract)
            contract_free (contract);
        return NULL;
    }
    contract->refs = 1;
    self->bytes += contract->size;
    return contract;
}

void contracts_release (contracts_t *self, contract_t **contract)
{
    contract_t *released = *contract;

    *contract = NULL;
    if (!released || --released->refs > 0)
        return;
    table_take (&self->table, released->bytes, released->size);
    self->bytes -= released->size;
    contract_free (released);
}
