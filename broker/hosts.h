/* SPDX-License-Identifier: MPL-2.0
 *
 *  hosts.h - which host may a worker advertise? Its own, as the broker sees it, or one that is allowed. */

#ifndef HOSTS_H_INCLUDED
#define HOSTS_H_INCLUDED

#include <weft/limits.h>
#include "refusal.h"

/*  True if `pattern` is one of: any, a host name, *.domain, an address, an address range as 10.0.0.0/8 or fd00::/8. */
bool hosts_pattern_valid (const char *pattern);

/*  True if one of the `patterns` (NULL-terminated, or NULL) fits the host. */
bool hosts_allow (const char *const *patterns, const char *host);

/*  What a worker that connects from `address` ("" or ":…": on this machine, over ipc) may advertise: checks one endpoint, and puts
 *  the address in where its host is a star. False: refused. */
bool hosts_resolve (text_t endpoint, const char *address, const char *const *patterns,
                    char resolved [WEFT_ENDPOINT_MAX + 1], refusal_t *refusal);

#endif
