/* SPDX-License-Identifier: MPL-2.0
 *
 *  client_inside.h - what the client's own tests may know. */

#ifndef CLIENT_INSIDE_H_INCLUDED
#define CLIENT_INSIDE_H_INCLUDED

#include <weft/client.h>

/*  How often somebody looked at the sockets: an idle client must not. */
uint64_t client_turns (weft_client_t *self);

/*  How often the background thread was woken because calls were left without a driver. */
uint64_t client_rouses (weft_client_t *self);

/*  How many calls were held back when they were started, to leave with others. */
uint64_t client_gathered (weft_client_t *self);

/*  How many calls are open that have a callback, and how many without one are done whose handles were not destroyed. */
uint64_t client_called_back (weft_client_t *self);
uint64_t client_uncollected (weft_client_t *self);

/*  Does somebody lead, and sleep? */
bool client_asleep (weft_client_t *self);

/*  Is the background thread idle: does it neither lead nor run callbacks? */
bool client_rests (weft_client_t *self);

#endif
