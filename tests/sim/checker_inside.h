/* SPDX-License-Identifier: MPL-2.0
 *
 *  checker_inside.h - what the checker's own files share: checker.c (workers, outcomes, what is left in the end), checker_broker.c
 *  (what a broker hears, decides and says), checker_bounds.c (what it holds), checker_client.c (the attempts that a client makes of a call). */

#ifndef CHECKER_INSIDE_H_INCLUDED
#define CHECKER_INSIDE_H_INCLUDED

#include "checker.h"
#include "faults.h"
#include "load.h"
#include "network.h"

/*  The next record of a message, without touching the message. `call`: of a REQUEST, or NULL. */
typedef struct {
    message_t *message;
    mp_reader_t reader;
    int next_frame;
} walk_t;
walk_t checker_walk (message_t *message);
bool checker_next (walk_t *self, wire_record_t *record, record_t **call);

/*  A request's: for those who guess. */
void checker_note_id (uint64_t id);

/*  When a broker heard that this connection is lost; 0: it did not. */
int64_t checker_broker_lost_us (uint64_t connection);

/*  Does this client hear just now that a connection to a broker, or to a worker, is lost? */
bool checker_client_lost_now (const process_t *client, bool broker);

void checker_brokers_begin (void);
void checker_brokers_end (void);
void checker_clients_end (void);

#endif
