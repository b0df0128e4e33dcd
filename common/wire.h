/* SPDX-License-Identifier: MPL-2.0
 *
 *  wire.h - records: PROTOCOL.md, sections 2 to 4, as bytes.
 *
 *  Readers take hostile bytes and return false; views point into the input and live as long as it does.
 *  Writers append one record to a buffer. */

#ifndef WIRE_H_INCLUDED
#define WIRE_H_INCLUDED

#include <weft/limits.h>
#include <weft/status.h>
#include "bytes.h"
#include "mp.h"
#include "text.h"

typedef enum {
    WIRE_HELLO = 1,
    WIRE_WELCOME = 2,
    WIRE_REFUSED = 3,
    WIRE_REQUEST = 4,
    WIRE_REPLY = 5,
    WIRE_ITEM = 6,
    WIRE_CREDIT = 7,
    WIRE_CANCEL = 8,
    WIRE_REGISTER = 9,
    WIRE_BEAT = 10,
    WIRE_BEAT_OK = 11,
    WIRE_DRAINING = 12,
    WIRE_GOODBYE = 13
} wire_kind_t;

#define WIRE_KINDS 14            /* one more than the highest */
#define WIRE_NO_DEADLINE UINT32_MAX

/*  One record, its fields as far as its kind is known. Those that do not belong to the kind are zero. */
typedef struct {
    unsigned kind;          /* unknown ones too: skip and count them */
    const uint8_t *start;   /* the whole record */
    size_t size;
    mp_reader_t fields;     /* all fields after the kind, for the readers below */
    uint32_t field_count;

    uint64_t id;            /* REQUEST REPLY ITEM CREDIT CANCEL */
    bool id_fixed;          /* written as cf + 8 bytes at start + 2 */
    text_t method;          /* REQUEST */
    uint32_t remaining_ms;  /* REQUEST */
    uint8_t *remaining_at;  /* REQUEST: where its 4 bytes are; NULL if not written fixed */
    weft_status_t status;   /* REPLY */
    uint64_t number;        /* ITEM: index; CREDIT: n */
    bool attached;          /* body was nil: it is the next attachment */
    const uint8_t *body;    /* REQUEST REPLY ITEM: NULL while attached and not yet resolved */
    size_t body_size;
    mp_reader_t extra;      /* options of REQUEST, info of REPLY: one map, or empty */
} wire_record_t;

/*  All of it but its body: what it takes however small the body is. */
static inline size_t wire_envelope_size (const wire_record_t *record)
{
    return record->attached ? record->size : record->size - record->body_size;
}

/*  Reads the next record of a records frame. 1, 0 at the end, -1 malformed with a static text in `*fault`.
 *  Checked here: everything listed in wire_record_t. HELLO, WELCOME, REFUSED, REGISTER, BEAT, BEAT_OK, DRAINING and GOODBYE are skipped over
 *  whole and read by the functions below. */
int wire_next (mp_reader_t *reader, wire_record_t *record, const char **fault);

/*  Rewrites in place what a broker changes. Only if id_fixed / remaining_at. */
static inline void wire_patch_id (const wire_record_t *record, uint64_t id)
{
    mp_put64 ((uint8_t *) (uintptr_t) record->start + 3, id);
}
static inline void wire_patch_remaining (const wire_record_t *record, uint32_t remaining_ms)
{
    mp_put32 (record->remaining_at, remaining_ms);
}

/*  The cold kinds. */
typedef struct {
    uint64_t lowest, highest;
    text_t role, name, uuid;            /* uuid: from options, empty if absent */
    text_t codecs [WEFT_CODECS_MAX];
    uint32_t codec_count;
} wire_hello_t;
bool wire_read_hello (const wire_record_t *record, wire_hello_t *hello, const char **fault);

typedef struct {
    uint64_t version;
    text_t codec, server;
    uint64_t body_max, frames_max, calls_max;
    text_t brokers [WEFT_BROKERS_MAX];
    uint32_t broker_count;
} wire_welcome_t;
bool wire_read_welcome (const wire_record_t *record, wire_welcome_t *welcome);

typedef struct {
    weft_status_t status;
    text_t text;
} wire_refused_t;
bool wire_read_refused (const wire_record_t *record, wire_refused_t *refused);

/*  REGISTER: the outer fields; services are walked with the readers below. */
typedef struct {
    text_t uuid, host;
    uint64_t incarnation, cores, pid, capacity;
    mp_reader_t services;               /* service_count × [name, version, methods] */
    uint32_t service_count;
    text_t endpoints [WEFT_ENDPOINTS_MAX];
    uint32_t endpoint_count;
    text_t label_keys [WEFT_LABELS_MAX], label_values [WEFT_LABELS_MAX];
    uint32_t label_count;
} wire_register_t;
typedef struct {
    text_t name, version;
    mp_reader_t methods;                /* method_count × [name, flags, arguments, reply] */
    uint32_t method_count;
} wire_service_t;
typedef struct {
    text_t name;
    uint64_t flags;
    const uint8_t *args, *reply;        /* types (section 5) as bytes, well-formed */
    size_t args_size, reply_size;
} wire_method_t;
/*  False: malformed or over a limit, `*fault` says which (static). The whole structure is checked here, so that the
 *  two walkers below cannot fail on what it returned. */
bool wire_read_register (const wire_record_t *record, wire_register_t *out, const char **fault);
bool wire_next_service (mp_reader_t *services, wire_service_t *out);
bool wire_next_method (mp_reader_t *methods, wire_method_t *out);

typedef struct {
    uint64_t in_flight, capacity, oldest_ms, progress;
} wire_load_t;
bool wire_read_beat (const wire_record_t *record, uint64_t *sequence, wire_load_t *load);

typedef struct {
    uint64_t sequence, next_ms, ttl_ms;
    text_t brokers [WEFT_BROKERS_MAX];
    uint32_t broker_count;
} wire_beat_ok_t;
bool wire_read_beat_ok (const wire_record_t *record, wire_beat_ok_t *out);
bool wire_read_text (const wire_record_t *record, text_t *text); /* DRAINING, GOODBYE */

/*  REQUEST options and REPLY info, read from `extra`; absent ones are empty or the default. */
typedef struct {
    text_t codec, worker, key, request_key, trace;
    mp_reader_t meta;                   /* a map of str to str, or empty */
    uint64_t credit;                    /* of a stream: items that are welcome to begin with; 0: it is none */
} wire_options_t;
bool wire_read_options (mp_reader_t extra, wire_options_t *options);

typedef struct {
    int executed, origin;               /* -1: not said */
    text_t text;
    int64_t code;
    uint64_t retry_after_ms, broker_us, queue_us, handler_us;
} wire_info_t;
bool wire_read_info (mp_reader_t extra, wire_info_t *info);

/*  Writers. `body` NULL with attached true writes nil. Options and info are written only if something is set. */
void wire_write_hello (buffer_t *out, const char *role, const char *const *codecs, const char *name,
                       const char *uuid /* or NULL */);
void wire_write_welcome (buffer_t *out, text_t codec, uint64_t body_max, uint64_t calls_max, const char *server,
                         const char *const *brokers /* NULL-terminated or NULL */);
void wire_write_refused (buffer_t *out, weft_status_t status, const char *text);
void wire_write_request (buffer_t *out, uint64_t id, text_t method, uint32_t remaining_ms, const void *body,
                         size_t size, bool attached, const wire_options_t *options /* or NULL */);
/*  The usual request, in place: without options, method and body short. False: it is not that short, and nothing was written. */
#define WIRE_HEAD_SIZE 11 /* array, kind, id */
static inline uint8_t *wire_put_head (uint8_t *at, wire_kind_t kind, uint32_t fields, uint64_t id)
{
    at [0] = (uint8_t) (0x91 + fields);
    at [1] = (uint8_t) kind;
    at [2] = 0xcf;
    mp_put64 (at + 3, id);
    return at + WIRE_HEAD_SIZE;
}
static inline bool wire_write_short_request (buffer_t *out, uint64_t id, text_t method, uint32_t remaining_ms,
                                             const void *body, size_t size)
{
    if (method.size > 31 || size > UINT8_MAX)
        return false;
    uint8_t *at = buffer_extend (out, WIRE_HEAD_SIZE + 1 + method.size + 5 + 2 + size);
    if (!at)
        return true; /* failed, as any writer of a buffer may */
    at = wire_put_head (at, WIRE_REQUEST, 4, id);
    *at++ = (uint8_t) (0xa0 | method.size);
    bytes_copy (at, method.data, method.size);
    at += method.size;
    at [0] = 0xce;
    mp_put32 (at + 1, remaining_ms);
    at [5] = 0xc4;
    at [6] = (uint8_t) size;
    bytes_copy (at + 7, body, size);
    return true;
}
/*  Any, with options given as the bytes of one map (empty: none). */
void wire_write_request_raw (buffer_t *out, uint64_t id, text_t method, uint32_t remaining_ms, const void *body,
                             size_t size, bool attached, mp_reader_t options);
void wire_write_reply (buffer_t *out, uint64_t id, weft_status_t status, const void *body, size_t size,
                       bool attached, const wire_info_t *info /* or NULL */);
void wire_write_reply_raw (buffer_t *out, uint64_t id, weft_status_t status, const void *body, size_t size,
                           bool attached, mp_reader_t info);
void wire_write_item (buffer_t *out, uint64_t id, uint64_t index, const void *body, size_t size, bool attached);

/*  Credits that an item takes. Both ends count alike. */
static inline int64_t wire_item_credits (size_t body_size)
{
    return 1 + (int64_t) (body_size / WEFT_STREAM_CREDIT_BYTES);
}
void wire_write_credit (buffer_t *out, uint64_t id, uint64_t n);
void wire_write_cancel (buffer_t *out, uint64_t id);
void wire_write_beat (buffer_t *out, uint64_t sequence, const wire_load_t *load);
void wire_write_beat_ok (buffer_t *out, uint64_t sequence, uint64_t next_ms, uint64_t ttl_ms,
                         const char *const *brokers);
void wire_write_draining (buffer_t *out, const char *text);
void wire_write_goodbye (buffer_t *out, const char *text);
/*  REGISTER is written in pieces by who knows the services: array header and kind, then each field with mp_write_*. */
void wire_write_register_begin (buffer_t *out, const char *uuid, uint64_t incarnation, uint32_t service_count);
void wire_write_register_end (buffer_t *out, const char *const *endpoints /* NULL-terminated */, uint64_t cores,
                              const char *const *labels /* "k=v" NULL-terminated, or NULL */, const char *host,
                              uint64_t pid, uint64_t capacity);

/*  An info with nothing said. */
static inline wire_info_t wire_info_none (void)
{
    return (wire_info_t){.executed = -1, .origin = -1};
}

/*  "Service.Method" → its two parts, split at the last dot. False: ill-formed (a part empty, too long, odd bytes). */
bool wire_split_method (text_t method, text_t *service, text_t *name);
bool wire_name_valid (text_t name); /* of a service */

#endif
