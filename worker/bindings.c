/* SPDX-License-Identifier: MPL-2.0
 *
 *  bindings.c - where a worker takes direct calls.
 *
 *    tcp      any port, told with host "*", "at the address the broker sees", unless the user knows better
 *    ipc      ${XDG_RUNTIME_DIR:-/tmp}/weft-UID/UUID, in a folder of the user's own
 *    inproc   weft-UUID, for callers in the same process */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "bindings.h"
#include "log.h"
#include "transport.h"

#define STALE_S 60 /* a dead socket younger than this may be about to live */

static bool starts (const char *text, const char *prefix)
{
    return strncmp (text, prefix, strlen (prefix)) == 0;
}

/*  ------------------------------------------------------------------ what users give  */

/*  The next of comma-separated items, without spaces around it, copied; false at the end. */
static bool next_item (const char **list, char *item, size_t size)
{
    const char *from = *list + strspn (*list, " ,");
    size_t length = strcspn (from, ",");

    *list = from + length;
    while (length && from [length - 1] == ' ')
        length--;
    snprintf (item, size, "%.*s", (int) length, from);
    return length > 0;
}

/*  An advertised address: host, tcp://host or tcp://host:port → host and port ("" if not given). */
static bool split_advertised (const char *advertise, char host [WEFT_ENDPOINT_MAX + 1], char port [8])
{
    const char *from = starts (advertise, "tcp://") ? advertise + 6 : advertise;
    const char *colon = strrchr (from, ':');
    const bool has_port = colon && !strchr (colon, ']');
    char probe [WEFT_ENDPOINT_MAX + 16];
    const char *fault;

    snprintf (host, WEFT_ENDPOINT_MAX + 1, "%.*s", has_port ? (int) (colon - from) : (int) strlen (from),
              from);
    snprintf (port, 8, "%.7s", has_port ? colon + 1 : "");
    snprintf (probe, sizeof probe, "tcp://%s:%s", host, has_port ? port : "1");
    return transport_endpoint_valid (probe, false, &fault);
}

bool bindings_check (const char *bind, const char *advertise, char *error)
{
    char item [2 * WEFT_ENDPOINT_MAX], host [WEFT_ENDPOINT_MAX + 1], port [8];
    const char *fault;
    size_t count = 0;

    if (advertise && !split_advertised (advertise, host, port)) {
        snprintf (error, WEFT_TEXT_MAX + 1,
                  "bad address to advertise \"%.300s\": expected host or tcp://host[:port]", advertise);
        return false;
    }
    for (const char *at = bind ? bind : ""; strcmp (at, "none") != 0 && next_item (&at, item, sizeof item);
         count++) {
        if (!transport_endpoint_valid (item, true, &fault)) {
            snprintf (error, WEFT_TEXT_MAX + 1, "bad endpoint to bind \"%.300s\": %s", item, fault);
            return false;
        }
        if (count >= WEFT_ENDPOINTS_MAX - 1) {
            snprintf (error, WEFT_TEXT_MAX + 1, "more than %d endpoints to bind", WEFT_ENDPOINTS_MAX - 1);
            return false;
        }
    }
    return true;
}

/*  ------------------------------------------------------------------ binding  */

/*  How a bound endpoint is told to others. */
static void advertise_as (char *out, const char *bound, const char *advertise)
{
    char host [WEFT_ENDPOINT_MAX + 1], port [8];
    const char *own_port = strrchr (bound, ':') + 1;

    if (starts (bound, "tcp://") && advertise && split_advertised (advertise, host, port))
        snprintf (out, WEFT_ENDPOINT_MAX + 1, "tcp://%.240s:%s", host, *port ? port : own_port);
    else if (starts (bound, "tcp://0.0.0.0:") || starts (bound, "tcp://[::]:"))
        snprintf (out, WEFT_ENDPOINT_MAX + 1, "tcp://*:%.7s", own_port);
    else
        memcpy (out, bound, strlen (bound) + 1);
}

static bool bind_one (bindings_t *self, direct_t *direct, const char *endpoint, const char *advertise)
{
    char wanted [WEFT_ENDPOINT_MAX + 1];
    const size_t size = strlen (endpoint);

    snprintf (wanted, sizeof wanted, "%s", endpoint);
    if (starts (endpoint, "tcp://") && size > 2 && strcmp (endpoint + size - 2, ":0") == 0)
        wanted [size - 1] = '*';
    if (!direct_bind (direct, wanted, self->bound [self->count]))
        return false;
    advertise_as (self->advertised [self->count], self->bound [self->count], advertise);
    self->list [self->count] = self->advertised [self->count];
    if (starts (endpoint, "inproc://"))
        transport_inproc_add (self->bound [self->count]);
    self->count++;
    return true;
}

/*  True if nobody listens on the socket any more. */
static bool is_dead_socket (const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;

    if (lstat (path, &info) < 0 || !S_ISSOCK (info.st_mode) || time (NULL) - info.st_mtime < STALE_S
        || strlen (path) >= sizeof address.sun_path)
        return false;
    memcpy (address.sun_path, path, strlen (path) + 1);
    const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool dead = fd >= 0 && connect (fd, (struct sockaddr *) &address, sizeof address) < 0
                      && errno == ECONNREFUSED;
    if (fd >= 0)
        close (fd);
    return dead;
}

/*  Removes the sockets of workers that were killed. */
static void sweep_folder (const char *folder)
{
    char path [512];
    struct dirent *entry;
    DIR *open = opendir (folder);

    while (open && (entry = readdir (open)) != NULL)
        if (snprintf (path, sizeof path, "%s/%s", folder, entry->d_name) < (int) sizeof path
            && is_dead_socket (path))
            unlink (path);
    if (open)
        closedir (open);
}

/*  Makes a folder that is ours alone; false if there is something else in its place. */
static bool make_folder (const char *folder)
{
    struct stat info;

    if (mkdir (folder, 0700) < 0 && errno != EEXIST)
        return false;
    return lstat (folder, &info) == 0 && S_ISDIR (info.st_mode) && info.st_uid == geteuid ()
           && (info.st_mode & 077) == 0;
}

/*  The endpoint beside tcp; it is a convenience, so a worker starts without it too. */
static void bind_ipc (bindings_t *self, direct_t *direct, const char *uuid)
{
    const char *runtime = getenv ("XDG_RUNTIME_DIR");
    const char *bases [] = {runtime && *runtime == '/' ? runtime : "/tmp", "/tmp"};
    char folder [256], endpoint [512];
    const char *fault;

    for (size_t i = 0; i < 2; i++) {
        if (snprintf (folder, sizeof folder, "%s/weft-%u", bases [i], (unsigned) geteuid ())
            >= (int) sizeof folder)
            continue;
        snprintf (endpoint, sizeof endpoint, "ipc://%s/%s", folder, uuid);
        if (!transport_endpoint_valid (endpoint, true, &fault) || !make_folder (folder))
            continue;
        sweep_folder (folder);
        if (bind_one (self, direct, endpoint, NULL))
            return;
    }
    log_info ("no ipc endpoint", log_text ("folder", folder),
              log_text ("why", "not a folder of this user alone"));
}

bool bindings_open (bindings_t *self, direct_t *direct, const char *bind, const char *advertise,
                    const char *uuid, char *error)
{
    char item [2 * WEFT_ENDPOINT_MAX];

    *self = (bindings_t){.count = 0};
    if (bind && strcmp (bind, "none") == 0)
        return true;
    for (const char *at = bind ? bind : "tcp://*:0"; next_item (&at, item, sizeof item);)
        if (!bind_one (self, direct, item, advertise)) {
            snprintf (error, WEFT_TEXT_MAX + 1, "cannot bind %s: %s", item, zmq_strerror (errno));
            return false;
        }
    if (!bind)
        bind_ipc (self, direct, uuid);
    snprintf (item, sizeof item, "inproc://weft-%s", uuid);
    bind_one (self, direct, item, NULL);
    return true;
}

void bindings_close (bindings_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (starts (self->bound [i], "inproc://"))
            transport_inproc_remove (self->bound [i]);
        if (starts (self->bound [i], "ipc://"))
            unlink (self->bound [i] + 6);
    }
}
