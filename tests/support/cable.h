/* SPDX-License-Identifier: MPL-2.0
 *
 *  cable.h - a TCP line that a test can cut: who is connected through it loses its connection, at both ends, and may connect
 *  again. */

#ifndef CABLE_H_INCLUDED
#define CABLE_H_INCLUDED

typedef struct cable cable_t;

/*  A free port of this host. What connects there is connected to where it leads, "tcp://127.0.0.1:PORT" (said before
 *  anybody connects). */
cable_t *cable_new (void);
void cable_destroy (cable_t **self);
const char *cable_endpoint (const cable_t *self);
void cable_lead_to (cable_t *self, const char *endpoint);

/*  Closes what is connected; all of it is closed on return. How many connections that were. */
int cable_cut (cable_t *self);

#endif
