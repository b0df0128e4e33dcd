/* SPDX-License-Identifier: MPL-2.0
 *
 *  healthcheck.h - asks a running broker what any client would ask, and says how it went. */

#ifndef HEALTHCHECK_H_INCLUDED
#define HEALTHCHECK_H_INCLUDED

#include "config.h"

/*  The endpoint at which a broker with this config can be reached from here. False: there is none. */
bool healthcheck_endpoint (const config_t *config, char endpoint [WEFT_ENDPOINT_MAX + 1]);

/*  HELLO and weft.Registry.List, within `timeout_ms`. True if both were answered as they should; `line` says how it
 *  went either way. */
bool healthcheck (const char *endpoint, int timeout_ms, config_error_t *line);

#endif
