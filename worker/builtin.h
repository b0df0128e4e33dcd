/* SPDX-License-Identifier: MPL-2.0
 *
 *  builtin.h - weft.Worker: what every worker answers about itself. */

#ifndef BUILTIN_H_INCLUDED
#define BUILTIN_H_INCLUDED

#include "session.h"

/*  Adds the built-in service, to be served from `session` on its own thread. */
weft_status_t builtin_add (services_t *services, session_t *session, char *error);

#endif
