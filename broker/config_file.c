/* SPDX-License-Identifier: MPL-2.0
 *
 *  config_file.c - the one part of the config that needs czmq: its ZPL reader. */

#include "config.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <czmq.h>

static bool read_key (config_t *self, const char *path, zconfig_t *item, config_error_t *error)
{
    config_error_t fault;
    const char *value = zconfig_value (item);

    if (zconfig_child (item)) {
        snprintf (error->text, sizeof error->text, "%s: unknown section \"%.64s\"; keys are not nested", path,
                  zconfig_name (item));
        return false;
    }
    if (config_set (self, CONFIG_FILE, zconfig_name (item), value ? value : "", &fault))
        return true;
    snprintf (error->text, sizeof error->text, "%.200s: %.280s", path, fault.text);
    return false;
}

bool config_read_file (config_t *self, const char *path, config_error_t *error)
{
    if (access (path, R_OK) < 0) {
        snprintf (error->text, sizeof error->text, "cannot read %.200s: %s", path, strerror (errno));
        return false;
    }
    zconfig_t *root = zconfig_load (path);
    if (!root) {
        snprintf (error->text, sizeof error->text, "%.200s is not well-formed ZPL", path);
        return false;
    }
    bool good = true;
    for (zconfig_t *item = zconfig_child (root); good && item; item = zconfig_next (item))
        good = read_key (self, path, item, error);
    zconfig_destroy (&root);
    return good;
}
