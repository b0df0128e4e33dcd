/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "config.h"
#include <stdlib.h>

static config_t config;
static config_error_t fault;

static void check_fault (bool good, const char *part)
{
    CHECK (!good);
    if (!strstr (fault.text, part))
        CHECK_STR (fault.text, part);
    CHECK (!strchr (fault.text, '\n'));
}

static bool flags (int argc, char *const *argv)
{
    int at = 0;
    return config_read_flags (&config, argc, argv, &at, &fault) && at == argc;
}

TEST (defaults_are_good_and_safe)
{
    unsetenv ("XDG_RUNTIME_DIR");
    config_init (&config);
    CHECK (config_check (&config, &fault));
    CHECK_INT (config.bind.count, 2);
    CHECK_STR (config.bind.items [0], "tcp://127.0.0.1:5555");
    CHECK (strncmp (config.bind.items [1], "ipc:///tmp/weft-broker-5555-", 28) == 0);
    CHECK (config.bind_is_default);
    CHECK_INT (config.ttl_ms, 10000);
    CHECK_INT (config.beat_ms, 3000);
    config_fini (&config);
}

TEST (g4_the_beat_follows_from_the_ttl_unless_it_is_set)
{
    char *const set [] = {"--ttl-ms", "20000", "--beat-ms=1000"};
    config_init (&config);
    CHECK (flags (2, set) && config_check (&config, &fault));
    CHECK_INT (config.beat_ms, 6000);
    config_fini (&config);
    config_init (&config);
    CHECK (flags (3, set) && config_check (&config, &fault));
    CHECK_INT (config.beat_ms, 1000);
    config_fini (&config);
}

TEST (a_beat_that_is_not_below_the_ttl_is_refused_with_both_named)
{
    char *const set [] = {"--ttl-ms", "2000", "--beat-ms", "2000"};
    config_init (&config);
    CHECK (flags (4, set));
    check_fault (config_check (&config, &fault), "beat_ms (2000) must be less than ttl_ms (2000)");
    config_fini (&config);
}

TEST (flags_win_over_environment_over_file)
{
    char *const variables [] = {"WEFT_BROKER_TTL_MS=7000", "WEFT_BROKER_DRAIN_MS=70", "WEFT_BROKER_BIND=tcp://*:2,tcp://*:3", NULL};
    char *const set [] = {"--drain-ms", "60"};
    config_error_t warning;

    config_init (&config);
    CHECK (config_set (&config, CONFIG_FILE, "ttl_ms", "8000", &fault));
    CHECK (config_set (&config, CONFIG_FILE, "peers_max", "80", &fault));
    CHECK (config_set (&config, CONFIG_FILE, "bind", "tcp://*:1", &fault));
    CHECK (config_read_environment (&config, variables, &warning, &fault));
    CHECK (flags (2, set));
    CHECK_INT (config.peers_max, 80);
    CHECK_INT (config.ttl_ms, 7000);
    CHECK_INT (config.drain_ms, 60);
    CHECK_INT (config.bind.count, 2);
    CHECK_STR (config.bind.items [0], "tcp://*:2");
    CHECK_STR (config.bind.items [1], "tcp://*:3");
    config_fini (&config);
}

TEST (unknown_names_get_the_nearest_known_one)
{
    config_init (&config);
    check_fault (config_set (&config, CONFIG_FILE, "tll_ms", "1", &fault), "unknown key \"tll_ms\"; the nearest is \"ttl_ms\"");
    config_unknown_flag ("--log-levle=info", &fault);
    CHECK_STR (fault.text, "unknown flag --log-levle; the nearest is --log-level (--help lists all)");
    config_fini (&config);
}

TEST (what_a_line_about_the_config_quotes_is_printable)
{
    config_init (&config);
    CHECK (!config_set (&config, CONFIG_FILE, "ttl_ms\033[31m\n", "1", &fault));
    CHECK_STR (fault.text, "unknown key \"ttl_ms?[31m?\"; the nearest is \"ttl_ms\"");
    CHECK (!config_set (&config, CONFIG_FLAG, "ttl_ms", "1\r\177", &fault));
    CHECK_STR (fault.text, "ttl_ms: \"1??\" is no whole number");
    config_unknown_flag ("--\002", &fault);
    CHECK (!strchr (fault.text, '\002'));
    config_fini (&config);
}

TEST (variables_of_an_orchestrator_are_left_alone)
{
    char *const variables [] = {"WEFT_BROKER_PORT_5555_TCP_ADDR=10.0.0.1", "WEFT_BROKER_SERVICE_HOST=10.0.0.1", "WEFT_BROKER=tcp://x:1", NULL};
    char *const misspelt [] = {"WEFT_BROKER_TLL_MS=1", NULL};
    config_error_t warning;
    config_init (&config);
    CHECK (config_read_environment (&config, variables, &warning, &fault));
    CHECK_STR (warning.text, "");
    CHECK (config_read_environment (&config, misspelt, &warning, &fault));
    CHECK_STR (warning.text, "WEFT_BROKER_TLL_MS is no setting; did you mean ttl_ms?");
    config_fini (&config);
}

TEST (wrong_values_are_named_with_what_is_expected)
{
    char *const set [] = {"--ttl-ms", "soon"}, *const missing [] = {"--ttl-ms"}, *const low [] = {"--ttl-ms=5"};
    config_init (&config);
    check_fault (flags (2, set), "--ttl-ms: ttl_ms: \"soon\" is no whole number");
    check_fault (flags (1, missing), "--ttl-ms needs a value");
    check_fault (flags (1, low), "out of range: 100 to 3600000");
    check_fault (config_set (&config, CONFIG_FLAG, "log_level", "loud", &fault), "\"loud\" is none of debug, info");
    check_fault (config_set (&config, CONFIG_FLAG, "peers_max", "-5", &fault), "no whole number");
    check_fault (config_set (&config, CONFIG_FLAG, "memory_max", "5X", &fault), "is no size");
    check_fault (config_set (&config, CONFIG_FLAG, "memory_max", "99999999999G", &fault), "is no size");
    config_fini (&config);
}

TEST (sizes_may_have_units)
{
    config_init (&config);
    CHECK (config_set (&config, CONFIG_FILE, "body_max", "1M", &fault));
    CHECK_INT (config.body_max, 1 << 20);
    CHECK (config_set (&config, CONFIG_FILE, "body_max", "64KiB", &fault));
    CHECK_INT (config.body_max, 65536);
    config_fini (&config);
}

static void check_list (const char *key, const char *value, const char *why)
{
    config_init (&config);
    CHECK (config_set (&config, CONFIG_FILE, key, value, &fault));
    check_fault (config_check (&config, &fault), why);
    config_fini (&config);
}

TEST (endpoints_and_hosts_are_checked)
{
    check_list ("bind", "udp://x:1", "bind: \"udp://x:1\"");
    check_list ("bind", "inproc://x", "inproc");
    check_list ("bind", "tcp://127.0.0.1", "tcp://127.0.0.1");
    check_list ("peer_brokers", "tcp://*:1", "peer_brokers: \"tcp://*:1\"");
    check_list ("allow_hosts", "10.0.0.0/99", "allow_hosts: \"10.0.0.0/99\"");
}

TEST (what_is_printed_can_be_read_back)
{
    char text [4096], line [256], key [64], value [192];
    config_t again;
    FILE *out = fmemopen (text, sizeof text, "w+");

    config_init (&config);
    CHECK (config_set (&config, CONFIG_FLAG, "bind", "tcp://*:1", &fault));
    CHECK (config_set (&config, CONFIG_FLAG, "allow_hosts", "any", &fault));
    CHECK (config_set (&config, CONFIG_FLAG, "ttl_ms", "5000", &fault));
    CHECK (config_set (&config, CONFIG_FLAG, "log_format", "json", &fault));
    CHECK (config_check (&config, &fault));
    config_print (&config, out);
    rewind (out);
    config_init (&again);
    while (fgets (line, sizeof line, out)) {
        if (sscanf (line, "%63s = \"%191[^\"]\"", key, value) != 2)
            CHECK_INT (sscanf (line, "%63s = %191s", key, value), 2);
        CHECK (config_set (&again, CONFIG_FILE, key, value, &fault));
    }
    fclose (out);
    CHECK_INT (again.ttl_ms, 5000);
    CHECK_INT (again.log_format, 1);
    CHECK_STR (again.bind.items [0], "tcp://*:1");
    config_fini (&again);
    config_fini (&config);
}

static char changed [256], frozen [256];

static void note (const char *key, bool live)
{
    char *list = live ? changed : frozen;
    snprintf (list + strlen (list), sizeof changed - strlen (list), "%s ", key);
}

TEST (a_reload_knows_what_changed_and_what_needs_a_restart)
{
    config_t fresh;
    config_init (&config);
    config_init (&fresh);
    CHECK (config_check (&config, &fault));
    CHECK (config_set (&fresh, CONFIG_FILE, "bind", "tcp://*:1", &fault));
    CHECK (config_set (&fresh, CONFIG_FILE, "log_level", "debug", &fault));
    CHECK (config_check (&fresh, &fault));
    config_compare (&config, &fresh, note);
    CHECK_STR (changed, "log_level ");
    CHECK_STR (frozen, "bind ");
    config_fini (&config);
    config_fini (&fresh);
}
