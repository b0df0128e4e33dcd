/* SPDX-License-Identifier: MPL-2.0 */

#include "hosts.h"
#include "transport.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*  An address as bytes: 4 or 16 of them; 0: it is none. */
static size_t address_bytes (const char *text, size_t size, uint8_t bytes [16])
{
    char z [64];
    if (size >= sizeof z)
        return 0;
    memcpy (z, text, size);
    z [size] = 0;
    return inet_pton (AF_INET, z, bytes) == 1 ? 4 : inet_pton (AF_INET6, z, bytes) == 1 ? 16 : 0;
}

/*  "10.0.0.0/8" → its address and its count of bits. */
static size_t range_bytes (const char *range, uint8_t bytes [16], unsigned *bits)
{
    const char *slash = strchr (range, '/');
    char *end = NULL;
    if (!slash || slash [1] < '0' || slash [1] > '9')
        return 0;
    const size_t size = address_bytes (range, (size_t) (slash - range), bytes);
    const unsigned long value = strtoul (slash + 1, &end, 10);
    if (*end || value > size * 8)
        return 0;
    *bits = (unsigned) value;
    return size;
}

static bool in_range (const char *range, const char *host)
{
    uint8_t wanted [16], got [16];
    unsigned bits;
    const size_t size = range_bytes (range, wanted, &bits);

    if (size == 0 || address_bytes (host, strlen (host), got) != size)
        return false;
    if (memcmp (wanted, got, bits / 8) != 0)
        return false;
    const unsigned mask = 0xFF00u >> (bits % 8) & 0xFFu;
    return bits % 8 == 0 || ((wanted [bits / 8] ^ got [bits / 8]) & mask) == 0;
}

bool hosts_pattern_valid (const char *pattern)
{
    uint8_t bytes [16];
    unsigned bits;

    if (strchr (pattern, '/'))
        return range_bytes (pattern, bytes, &bits) > 0;
    const char *rest = strncmp (pattern, "*.", 2) == 0 ? pattern + 2 : pattern;
    return *rest && strspn (rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") == strlen (rest);
}

static bool fits (const char *pattern, const char *host)
{
    if (strcmp (pattern, "any") == 0 || strcasecmp (pattern, host) == 0)
        return true;
    if (strncmp (pattern, "*.", 2) == 0) {
        const size_t suffix = strlen (pattern) - 1, size = strlen (host);
        return size > suffix && strcasecmp (host + size - suffix, pattern + 1) == 0;
    }
    return strchr (pattern, '/') && in_range (pattern, host);
}

bool hosts_allow (const char *const *patterns, const char *host)
{
    for (; patterns && *patterns; patterns++)
        if (fits (*patterns, host))
            return true;
    return false;
}

static bool is_loopback (const char *host)
{
    return strcasecmp (host, "localhost") == 0 || strcmp (host, "::1") == 0 || in_range ("127.0.0.0/8", host);
}

/*  The address as a plain one: an ipc peer is on this machine, and IPv4 may be dressed as IPv6. */
static const char *plain_address (const char *address)
{
    if (!address || !*address || (address [0] == ':' && address [1] != ':'))
        return "127.0.0.1";
    return strncasecmp (address, "::ffff:", 7) == 0 && strchr (address, '.') ? address + 7 : address;
}

/*  "tcp://host:port" → host (without brackets) and port. The endpoint is known to be valid. */
static void split_tcp (const char *endpoint, char host [WEFT_ENDPOINT_MAX + 1], const char **port)
{
    const char *from = endpoint + strlen ("tcp://"), *colon = strrchr (from, ':');
    size_t size = (size_t) (colon - from);
    if (size >= 2 && *from == '[' && from [size - 1] == ']') {
        from++;
        size -= 2;
    }
    memcpy (host, from, size);
    host [size] = 0;
    *port = colon + 1;
}

static bool resolve_tcp (const char *endpoint, const char *address, const char *const *patterns,
                         char resolved [WEFT_ENDPOINT_MAX + 1], refusal_t *refusal)
{
    char host [WEFT_ENDPOINT_MAX + 1];
    const char *port, *seen = plain_address (address);

    split_tcp (endpoint, host, &port);
    if (strspn (port, "0123456789") != strlen (port) || atoi (port) == 0)
        return refuse (refusal, WEFT_INVALID, "endpoint \"%s\": no port", endpoint);
    const bool wild = strcmp (host, "*") == 0 || strcmp (host, "0.0.0.0") == 0 || strcmp (host, "::") == 0;
    if (!wild && strcasecmp (host, seen) != 0 && !(is_loopback (host) && is_loopback (seen))
        && !hosts_allow (patterns, host))
        return refuse (refusal, WEFT_INVALID,
                       "endpoint \"%s\": its host is not %s, from where you connect, nor in the broker's allow_hosts",
                       endpoint, seen);
    const char *chosen = wild ? seen : host;
    snprintf (resolved, WEFT_ENDPOINT_MAX + 1, strchr (chosen, ':') ? "tcp://[%s]:%s" : "tcp://%s:%s", chosen, port);
    return true;
}

bool hosts_resolve (text_t endpoint, const char *address, const char *const *patterns,
                    char resolved [WEFT_ENDPOINT_MAX + 1], refusal_t *refusal)
{
    char z [WEFT_ENDPOINT_MAX + 1];
    const char *fault;

    if (endpoint.size == 0)
        return refuse (refusal, WEFT_INVALID, "an endpoint is empty");
    if (endpoint.size > WEFT_ENDPOINT_MAX)
        return refuse (refusal, WEFT_INVALID, "an endpoint is longer than %d", WEFT_ENDPOINT_MAX);
    memcpy (z, endpoint.data, endpoint.size);
    z [endpoint.size] = 0;
    if (strlen (z) != endpoint.size)
        return refuse (refusal, WEFT_INVALID, "endpoint \"%s\": has a NUL", z);
    const bool tcp = strncmp (z, "tcp://", 6) == 0;
    if (!transport_endpoint_valid (z, tcp, &fault))
        return refuse (refusal, WEFT_INVALID, "endpoint \"%s\": %s", z, fault);
    if (tcp)
        return resolve_tcp (z, address, patterns, resolved, refusal);
    memcpy (resolved, z, endpoint.size + 1);
    return true;
}
