/* SPDX-License-Identifier: MPL-2.0
 *
 *  consumer.c - somebody else's program: it knows weft by its installed headers and library alone. */

#include <stdio.h>
#include <string.h>
#include <weft.h>

typedef struct {
    int64_t a, b;
} sum_args;
WEFT_SCHEMA (sum_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

typedef struct {
    weft_string title;
    sum_args *pairs;
    size_t pair_count;
    weft_double colour;
    bool has_colour;
} picture;
WEFT_SCHEMA (picture, WEFT_FIELD (title, weft_string), WEFT_ARRAY (pairs, sum_args, pair_count),
             WEFT_OPTIONAL (colour, weft_double, has_colour))

static weft_status_t add (weft_request_t *request, const void *args, void *reply)
{
    const sum_args *in = args;
    weft_int64 *sum = reply;
    (void) request;
    *sum = in->a + in->b;
    return WEFT_OK;
}

static const weft_method_t methods [] = {
    WEFT_METHOD ("Add", add, sum_args, weft_int64, WEFT_IDEMPOTENT | WEFT_INLINE),
    WEFT_METHOD_END,
};

static int failed (const char *what, const char *why)
{
    fprintf (stderr, "consumer: %s: %s\n", what, why);
    return 1;
}

int main (void)
{
    const char *nowhere = "tcp://127.0.0.1:1";

    if (strcmp (weft_version (), WEFT_VERSION) != 0)
        return failed ("version", weft_version ());
    if (picture_schema ()->size != sizeof (picture))
        return failed ("schema", picture_schema ()->name);

    weft_worker_t *worker = weft_worker_new (nowhere, NULL);
    if (!worker)
        return failed ("worker", weft_worker_error (NULL));
    if (weft_worker_add (worker, "Sum", methods, NULL) != WEFT_OK)
        return failed ("add", weft_worker_error (worker));
    weft_worker_destroy (&worker);

    weft_client_t *client = weft_client_new (nowhere, NULL);
    if (!client)
        return failed ("client", weft_client_error ());
    weft_int64 sum = 0;
    sum_args args = {1, 2};
    const weft_status_t status =
        weft_call (client, "Sum.Add", WEFT_IN (sum_args, &args), WEFT_OUT (weft_int64, &sum), 50);
    weft_client_destroy (&client);
    if (status == WEFT_OK)
        return failed ("call", "somebody answered where nobody is");

    printf ("weft %s\n", weft_version ());
    return 0;
}
