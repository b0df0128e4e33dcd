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

    if (zconfig_child (item))
        return config_fail (error, "%.200s: unknown section \"%.64s\"; keys are not nested", path, zconfig_name (item));
    if (config_set (self, CONFIG_FILE, zconfig_name (item), value ? value : "", &fault))
        return true;
    return config_fail (error, "%.200s: %.280s", path, fault.text);
}

bool config_read_file (config_t *self, const char *path, config_error_t *error)
{
    if (access (path, R_OK) < 0)
        return config_fail (error, "cannot read %.200s: %s", path, strerror (errno));
    zconfig_t *root = zconfig_load (path);
    if (!root)
        return config_fail (error, "%.200s is not well-formed ZPL", path);
    bool good = true;
    for (zconfig_t *item = zconfig_child (root); good && item; item = zconfig_next (item))
        good = read_key (self, path, item, error);
    zconfig_destroy (&root);
    return good;
}
