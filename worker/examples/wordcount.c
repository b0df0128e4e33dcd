/* SPDX-License-Identifier: MPL-2.0
 *
 *  wordcount.c - a service to load: Text.Count says of a text what wc says.
 *
 *      weft-worker --load ./wordcount.so
 *
 *  Counting twice does no harm, so the method is idempotent: a call whose worker dies is
 *  answered by another one, and its caller need not know. */

#include <weft/worker.h>

typedef struct {
    weft_string name; /* for the caller's own use */
    weft_bytes content;
} text;
WEFT_SCHEMA (text, WEFT_FIELD (name, weft_string), WEFT_FIELD (content, weft_bytes))

typedef struct {
    weft_int64 lines, words, bytes;
    weft_string worker; /* who counted */
} counts;
WEFT_SCHEMA (counts, WEFT_FIELD (lines, weft_int64), WEFT_FIELD (words, weft_int64),
             WEFT_FIELD (bytes, weft_int64), WEFT_FIELD (worker, weft_string))

static bool is_blank (unsigned char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_printable (unsigned char byte)
{
    return byte > ' ' && byte < 0x7f;
}

/*  As wc in the C locale: a word is what stands between blanks and has something printable in it. */
static weft_status_t count (weft_request_t *request, const void *args, void *reply)
{
    const text *in = args;
    counts *out = reply;
    const unsigned char *bytes = in->content.data;
    bool in_word = false;

    for (size_t i = 0; i < in->content.size; i++) {
        if (bytes [i] == '\n')
            out->lines++;
        if (is_blank (bytes [i]))
            in_word = false;
        else if (!in_word && is_printable (bytes [i])) {
            in_word = true;
            out->words++;
        }
    }
    out->bytes = (weft_int64) in->content.size;
    out->worker = weft_worker_uuid (weft_request_user (request));
    return WEFT_OK;
}

static const weft_method_t methods [] = {
    WEFT_METHOD ("Count", count, text, counts, WEFT_IDEMPOTENT),
    WEFT_METHOD_END,
};

weft_status_t weft_load (weft_worker_t *worker)
{
    return weft_worker_add (worker, "Text", methods, worker);
}
