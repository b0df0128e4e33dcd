/* SPDX-License-Identifier: MPL-2.0
 *
 *  limits.h - every bound in one place, with what happens when it is reached.
 *
 *  Times are in milliseconds, sizes in bytes. Those marked (default) can be set;
 *  the others are fixed by the protocol or by good sense. */

#ifndef WEFT_LIMITS_H_INCLUDED
#define WEFT_LIMITS_H_INCLUDED

/*  Names. INVALID beyond. */
#define WEFT_NAME_PART_MAX 63    /* between two dots of a service or method name */
#define WEFT_METHOD_NAME_MAX 255 /* "Service.Method" */
#define WEFT_PEER_NAME_MAX 63    /* the name in HELLO */
#define WEFT_ENDPOINT_MAX 255    /* "tcp://host:port" */
#define WEFT_REQUEST_KEY_MAX 255 /* a request key */
#define WEFT_TEXT_MAX 1023       /* an error's text; longer ones are cut */

/*  Frames and values. */
#define WEFT_MESSAGE_FRAMES_MAX 64             /* per message; the rest is dropped, INVALID */
#define WEFT_FRAME_ROOM 65536                  /* a frame is a body and a little more */
#define WEFT_FRAME_MAX (16 * 1024 * 1024 + WEFT_FRAME_ROOM) /* (default) the connection closes beyond */
#define WEFT_BODY_MAX (16 * 1024 * 1024)       /* (default) TOO_LARGE beyond */
#define WEFT_BODY_INLINE_MAX 4096              /* larger bodies travel as attachments */
#define WEFT_BODY_EMBEDDED_MAX (64 * 1024)     /* those that are not are attached by a broker beyond */
#define WEFT_ENVELOPE_MAX (32 * 1024)          /* a record through a broker, but for its body: INVALID beyond; a REPLY's info is left out */
#define WEFT_BATCH_MAX (16 * 1024)             /* a records frame is closed when it passes this */
#define WEFT_MESSAGE_BYTES_MAX (1024 * 1024)   /* of attachments; a message is closed when it passes this */
#define WEFT_COMPANY_MAX (64 * 1024)           /* a records frame of several records; one that would pass this begins another */
#define WEFT_ROUTING_ID_MAX 32                 /* peers with longer ones are ignored */
#define WEFT_NESTING_MAX 16                    /* INVALID beyond */
#define WEFT_ELEMENTS_MAX 65536                /* per body or record, INVALID beyond */
#define WEFT_DECODED_MAX (64 * 1024 * 1024)    /* a body as C structs, INVALID beyond */
#define WEFT_LIST_PART_ELEMENTS 8192           /* of rows in one item of a Watch; the rest comes in further ones */
#define WEFT_LIST_PAGE_ELEMENTS 32768          /* of rows in one answer of weft.Registry; the rest is to be asked for */
#define WEFT_CODECS_MAX 16                     /* offered in HELLO; the rest is not looked at */

/*  Registration. REFUSED beyond. */
#define WEFT_SERVICES_MAX 256         /* per worker */
#define WEFT_METHODS_MAX 1024         /* per worker */
#define WEFT_SERVICE_METHODS_MAX 4096 /* per service, of all its workers together */
#define WEFT_FIELDS_MAX 256           /* per struct */
#define WEFT_ENDPOINTS_MAX 16         /* per worker */
#define WEFT_LABELS_MAX 32            /* per worker */
#define WEFT_SCHEMA_MAX (64 * 1024)   /* a type, written as MessagePack */

/*  Broker (defaults). OVERLOADED beyond, unless said otherwise. Of those marked (shared) a client may take as much as it leaves free. */
#define WEFT_BROKER_PEERS_MAX 20000          /* connections; REFUSED beyond */
#define WEFT_BROKER_CALLS_MAX 100000         /* routed calls queued or in flight, in all (shared) */
#define WEFT_BROKER_SERVICE_QUEUE_MAX 10000  /* calls queued per service (shared) */
#define WEFT_BROKER_SERVICES_MAX 20000       /* known; the longest unused is forgotten, REFUSED if none is */
#define WEFT_BROKER_CLIENT_CALLS_MAX 20000   /* open calls per client */
#define WEFT_BROKER_WATCHES_MAX 1024         /* per client */
#define WEFT_BROKER_DEAR_MAX 32              /* of REGISTER, and of weft.Registry's List, Describe and Drain, in one message */
#define WEFT_BROKER_MEMORY_MAX (1024LL * 1024 * 1024) /* bodies held for queued calls (shared) */
#define WEFT_OUTBOX_MAX (64 * 1024 * 1024)   /* waiting for one peer that does not read; it is dropped beyond */
#define WEFT_BROKER_PIPE_MAX 128             /* messages that libzmq has for one peer; further ones wait in its outbox */

/*  Worker (defaults). */
#define WEFT_WORKER_QUEUE_MAX 10000      /* calls not yet begun; OVERLOADED beyond */
#define WEFT_WORKER_QUEUE_BYTES_MAX (256 * 1024 * 1024) /* their bodies, and of those that run; OVERLOADED beyond, but one is always let in */
#define WEFT_WORKER_CONCURRENCY_MAX 1024 /* handlers at once; INVALID beyond */
#define WEFT_WORKER_PEERS_MAX 10000      /* direct connections; REFUSED beyond */
#define WEFT_WORKER_STREAMS_MAX 256      /* streams at once, each with a thread of its own; OVERLOADED beyond */
#define WEFT_STREAM_PENDING_MAX (64 * 1024) /* of items that wait to leave for a caller, per stream and per connection: its sender waits */
#define WEFT_HANDLER_TIMEOUT_MS 0        /* 0: only the caller's deadline */
#define WEFT_DRAIN_TIMEOUT_MS 30000      /* what runs longer is abandoned */
#define WEFT_REPLIES_MAX 10000           /* to requests with a key; the oldest is forgotten beyond, here and in bytes */
#define WEFT_REPLIES_BYTES_MAX (64 * 1024 * 1024)
#define WEFT_REPLIES_AGE_MS 600000       /* ten minutes; older ones are forgotten */

/*  Client (defaults). */
#define WEFT_CALL_TIMEOUT_MS 5000         /* streams: none */
#define WEFT_CALL_TIMEOUT_MS_MAX 86400000 /* a day; INVALID beyond */
#define WEFT_CONNECT_TIMEOUT_MS 2000
#define WEFT_CLIENT_CALLS_MAX 100000      /* open at once; OVERLOADED beyond */
#define WEFT_STREAM_WINDOW 64             /* items of a stream that came or may come, and were not taken */
#define WEFT_STREAM_WINDOW_MAX 65536      /* INVALID beyond */
#define WEFT_STREAM_CREDIT_BYTES (16 * 1024) /* a larger item counts as several: one more for each so many bytes */
#define WEFT_CLIENT_ENDPOINTS_MAX 16384   /* connections to workers */
#define WEFT_ATTEMPTS_MAX 3               /* per call, the first included */
#define WEFT_BACKUP_MS_MIN 1              /* the soonest that a second attempt is made beside the first */
#define WEFT_CLIENT_LISTED_MAX 262144     /* workers of one service; a longer list is not taken over */
#define WEFT_REFRESH_MS 10000             /* a list of workers older than this is asked for again */
#define WEFT_BROKERS_MAX 16               /* alternatives in an endpoint list */

/*  Leases and connections (defaults). */
#define WEFT_TTL_MS 10000
#define WEFT_BEAT_MS 3000
#define WEFT_TRANSPORT_BEAT_MS 1000
#define WEFT_TRANSPORT_TIMEOUT_MS 3000
#define WEFT_TRANSPORT_STUCK_MS   10000           /* TCP has not caught up for so long with what it lost: no less, or a way that loses one
                                                    packet in five would do for a cut */
#define WEFT_HANDSHAKE_MS 2000
#define WEFT_SILENCE_MS 5000              /* a connection to a broker or a worker that has said nothing by then is closed */

#endif
