/* SPDX-License-Identifier: MPL-2.0
 *
 *  arith.c - a whole worker. Start a broker, then this, then: weft call Arith.Multiply '{"a": 7, "b": 6}' */

#include <weft.h>

typedef struct {
    int64_t a, b;
} arith_args;
WEFT_SCHEMA (arith_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static weft_status_t multiply (weft_request_t *request, const void *args, void *reply)
{
    const arith_args *in = args;
    int64_t *product = reply;
    return __builtin_mul_overflow (in->a, in->b, product) ? weft_request_fail (request, 34, "overflow") : WEFT_OK;
}

static const weft_method_t arith [] = {
    WEFT_METHOD ("Multiply", multiply, arith_args, weft_int64, WEFT_IDEMPOTENT), WEFT_METHOD_END};

int main (void)
{
    weft_worker_t *worker = weft_worker_new ("tcp://127.0.0.1:5555", NULL);
    weft_worker_add (worker, "Arith", arith, NULL);
    return weft_worker_run (worker); /* until SIGTERM: drains */
}
