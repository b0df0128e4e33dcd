/* SPDX-License-Identifier: MPL-2.0
 *
 *  contract.h - what a service's methods are, as some worker registered them. Workers that say the same share one. */

#ifndef CONTRACT_H_INCLUDED
#define CONTRACT_H_INCLUDED

#include "refusal.h"
#include "table.h"

#define METHOD_IDEMPOTENT 1u
#define METHOD_INLINE     2u
#define METHOD_STREAM     4u

typedef struct {
    size_t refs;
    text_t version;
    uint32_t count;
    wire_method_t *methods;     /* sorted by name; views into bytes */
    size_t size;
    uint8_t *bytes;             /* version and methods in one spelling: the key */
} contract_t;

typedef struct {
    table_t table;              /* by bytes */
    size_t bytes, bytes_max;    /* held in all */
    wire_method_t *scratch;     /* WEFT_METHODS_MAX */
    buffer_t spelling;
} contracts_t;

bool contracts_init (contracts_t *self, size_t bytes_max, uint64_t seed);
void contracts_fini (contracts_t *self);

/*  The contract of a service as a REGISTER says it, with one more reference; NULL: refused. */
contract_t *contracts_get (contracts_t *self, const wire_service_t *service, refusal_t *refusal);

/*  One reference less; the last one frees it. Nulls the pointer. */
void contracts_release (contracts_t *self, contract_t **contract);

/*  Order of texts, as bytes. */
int text_compare (text_t a, text_t b);

#endif
