/* SPDX-License-Identifier: MPL-2.0
 *
 *  squares.c - many calls at once: all are started, then each is waited for. With a callback instead of
 *  waiting: wordcount.c. */

#include <weft.h>
#include <stdio.h>

#define SQUARES 20

typedef struct {
    int64_t a, b;
} arith_args;
WEFT_SCHEMA (arith_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

int main (int argc, char **argv)
{
    weft_client_t *client = weft_client_new (argc > 1 ? argv [1] : "tcp://127.0.0.1:5555", NULL);
    if (!client) {
        fprintf (stderr, "%s\n", weft_client_error ());
        return 1;
    }
    weft_call_t *calls [SQUARES];
    for (int64_t i = 0; i < SQUARES; i++)
        calls [i] = weft_client_start (client, "Arith.Multiply", WEFT_IN (arith_args, &(arith_args){i, i}),
                                       NULL, NULL, NULL);

    int failed = 0;
    for (int i = 0; i < SQUARES; i++) {
        int64_t square;
        weft_call_wait (calls [i], -1); /* its deadline bounds it */
        if (weft_call_read (calls [i], WEFT_OUT (weft_int64, &square)) == WEFT_OK)
            printf ("%d x %d = %lld\n", i, i, (long long) square);
        else {
            fprintf (stderr, "%d x %d: %s\n", i, i, weft_call_text (calls [i]));
            failed = 1;
        }
        weft_call_destroy (&calls [i]);
    }
    weft_client_destroy (&client);
    return failed;
}
