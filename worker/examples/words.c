/* SPDX-License-Identifier: MPL-2.0
 *
 *  words.c - a service as a shared object: weft-worker --load ./words.so
 *
 *  Counts lines, words and bytes of a text, as wc does. */

#include <weft/worker.h>

typedef struct {
    weft_bytes text;
} words_args;
WEFT_SCHEMA (words_args, WEFT_FIELD (text, weft_bytes))

typedef struct {
    uint64_t lines, words, bytes;
} words_reply;
WEFT_SCHEMA (words_reply, WEFT_FIELD (lines, weft_uint64), WEFT_FIELD (words, weft_uint64),
             WEFT_FIELD (bytes, weft_uint64))

static bool is_space (char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static weft_status_t count (weft_request_t *request, const void *args, void *reply)
{
    const words_args *in = args;
    const char *text = in->text.data;
    words_reply *out = reply;
    bool inside = false;

    (void) request;
    for (size_t i = 0; i < in->text.size; i++) {
        out->lines += text [i] == '\n';
        out->words += !inside && !is_space (text [i]);
        inside = !is_space (text [i]);
    }
    out->bytes = in->text.size;
    return WEFT_OK;
}

static const weft_method_t words [] = {
    WEFT_METHOD ("Count", count, words_args, words_reply, WEFT_IDEMPOTENT), WEFT_METHOD_END};

weft_status_t weft_load (weft_worker_t *worker)
{
    return weft_worker_add (worker, "Words", words, NULL);
}
