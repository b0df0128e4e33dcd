/* SPDX-License-Identifier: MPL-2.0
 *
 *  multiply.c - a whole client. Start a broker and the worker in worker/examples/arith.c, then this. */

#include <weft.h>
#include <stdio.h>

typedef struct {
    int64_t a, b;
} arith_args;
WEFT_SCHEMA (arith_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

int main (int argc, char **argv)
{
    weft_client_t *client = weft_client_new (argc > 1 ? argv [1] : "tcp://127.0.0.1:5555", NULL);
    int64_t product;
    weft_status_t status = weft_call (client, "Arith.Multiply", WEFT_IN (arith_args, &(arith_args){7, 6}),
                                      WEFT_OUT (weft_int64, &product), 500);
    if (status == WEFT_OK)
        printf ("7 x 6 = %lld\n", (long long) product);
    else
        fprintf (stderr, "Arith.Multiply: %s\n", weft_status_text (status));
    weft_client_destroy (&client);
    return status != WEFT_OK;
}
