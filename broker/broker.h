/* SPDX-License-Identifier: MPL-2.0
 *
 *  broker.h - the broker's core: everything it decides, and nothing it does with sockets.
 *
 *  Messages and the time go in; for each peer an outbox fills up. The shell (loop.c, or a simulator) tells of peers that
 *  come, speak and are lost, calls broker_tick each turn, then takes what is in the outboxes:
 *
 *      broker_peer_open, broker_on_message, broker_on_lost ... broker_tick ... broker_next_dirty, broker_take
 *
 *  and sleeps until something comes in or broker_next_us. Nothing here waits, reads a clock or throws dice that were not
 *  given. Log events are the one thing that leaves by the side; nothing depends on them. */

#ifndef BROKER_H_INCLUDED
#define BROKER_H_INCLUDED

#include "clock.h"
#include "message.h"

typedef struct broker broker_t;
typedef struct peer peer_t;

/*  Strings and lists are borrowed for the broker's life. Zero takes the default of limits.h. */
typedef struct {
    char uuid [UUID_SIZE + 1];          /* of this process */
    int64_t ttl_ms, beat_ms;
    const char *const *peer_brokers;    /* told to all, NULL-terminated; or NULL */
    const char *const *allow_hosts;     /* that workers may advertise, NULL-terminated; or NULL */
    size_t peers_max, calls_max, service_queue_max, client_calls_max, services_max, watches_max;
    size_t memory_max, body_max, outbox_max;
} broker_settings_t;

typedef struct {
    uint64_t messages, records, malformed, unknown, refused;
    uint64_t hellos, peers, lost, evicted;
    uint64_t registrations, beats, expired, suspected, stalls, hushes;
    uint64_t requests, forwarded, queued, replies, late, cancelled, failed, timed_out, overloaded, shed;
    uint64_t watches, pushed;
} broker_counters_t;

/*  NULL when out of memory. */
broker_t *broker_new (const broker_settings_t *settings, int64_t now_us, uint64_t seed);
void broker_destroy (broker_t **self);

/*  Takes over what can be changed while it runs: all but uuid, calls_max and services_max. Borrowed as before. */
void broker_reconfigure (broker_t *self, const broker_settings_t *settings);

/*  A connection that says something for the first time. `routing_id` (at most WEFT_ROUTING_ID_MAX bytes) and `address` (as
 *  transport_peer_address) are copied. NULL: too many, or out of memory. */
peer_t *broker_peer_open (broker_t *self, const void *routing_id, size_t size, const char *address, int64_t now_us);

/*  What a peer said. Frames may be moved out of `message`; the rest is still to be cleared. */
void broker_on_message (broker_t *self, peer_t *peer, message_t *message, int64_t now_us);

/*  It said something that cannot even be a message (transport_receive's fault). */
void broker_on_fault (broker_t *self, peer_t *peer, const char *fault, int64_t now_us);

/*  The connection is gone: ends all it had, and frees the peer. */
void broker_on_lost (broker_t *self, peer_t *peer, int64_t now_us);

/*  What is due. Call it each turn, after what came in was handed over. */
void broker_tick (broker_t *self, int64_t now_us);

/*  When the tick is wanted at the latest. */
int64_t broker_next_us (const broker_t *self);

/*  A peer that something waits for: it leaves that list; what broker_take does not take puts it back only with the
 *  next record. NULL: none. */
peer_t *broker_next_dirty (broker_t *self);

/*  True if a whole message, or much, waits for somebody: it should be taken before more is handed over. */
bool broker_pressed (const broker_t *self);

/*  Moves the next message for the peer to an empty `message`. False: none waits. */
bool broker_take (broker_t *self, peer_t *peer, message_t *message, int64_t now_us);

/*  A peer whose connection is to be closed: do so, and call broker_on_lost. NULL: none. */
peer_t *broker_next_doomed (const broker_t *self);

/*  Begins to stop. With other brokers, workers are told first, and clients served on until all of those have gone there, a second at
 *  most. Then DRAINING to all, what is queued is handed back, nothing new is taken. Done when broker_drained, by its last
 *  tick: no call is open, and nobody who had not heard of it can have sent one, as far as can be known. */
void broker_drain (broker_t *self, int64_t now_us);
bool broker_drained (const broker_t *self);

/*  GOODBYE to all. */
void broker_stop (broker_t *self, int64_t now_us);

/*  The beat interval that goes with a TTL: room for two beats to get lost. */
int64_t broker_beat_ms (int64_t ttl_ms);

const broker_counters_t *broker_counters (const broker_t *self);

/*  What is held now, for tests and metrics. */
typedef struct {
    size_t peers, workers, services, calls, queued, queued_bytes, watches, contract_bytes;
} broker_gauges_t;
broker_gauges_t broker_gauges (const broker_t *self);

/*  A peer as its shell sees it. */
void **peer_shell (peer_t *peer);
const void *peer_routing_id (const peer_t *peer, size_t *size);

/*  Its connection is gone, but what came over it may not all have been heard yet: that counts until broker_on_lost, but for requests,
 *  whose replies nobody would get. */
void peer_hang_up (peer_t *peer);

#endif
