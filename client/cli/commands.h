/* SPDX-License-Identifier: MPL-2.0
 *
 *  commands.h - every command, one file each. */

#ifndef COMMANDS_H_INCLUDED
#define COMMANDS_H_INCLUDED

#include "cli.h"
#include "clock.h"

extern const command_t command_call, command_ls, command_workers, command_describe, command_ping,
    command_watch, command_bench, command_doctor, command_completion, command_help;

/*  All of them, NULL at the end. */
extern const command_t *const commands [];

/*  Flags that several commands share. */
#define FLAG_VIA                                                                                             \
    FLAG_ONE_OF (0, "via", "WAY", options_via, via,                                                          \
                 "auto, direct or broker (default: auto, direct if reachable)")
#define FLAG_BALANCE                                                                                         \
    FLAG_ONE_OF (0, "balance", "MODE", options_balance, balance,                                             \
                 "p2c, random, round_robin, weighted, least, hash,\nprimary or broadcast (default: p2c)")
#define FLAG_RETRY                                                                                           \
    FLAG_ONE_OF (0, "retry", "MODE", options_retry, retry,                                                   \
                 "failfast, failtry, failover or failbackup: a second\n"                                      \
                 "attempt beside one that takes long (default: failover)")
#define FLAG_BACKUP_AFTER                                                                                    \
    FLAG (0, "backup-after", "TIME", FLAG_MS, backup_us,                                                     \
          "with failbackup: how long that is (default: what 95 %\nof the method's calls take)")
#define FLAG_KEY    FLAG (0, "key", "TEXT", FLAG_TEXT, key, "what --balance hash goes by")
#define FLAG_WORKER                                                                                          \
    FLAG_NAMES (0, "worker", "UUID", worker, NAMES_WORKER,                                                   \
                "only this worker, by its UUID or the beginning of it")
#define FLAG_META                                                                                            \
    FLAG (0, "meta", "KEY=VALUE", FLAG_TEXTS, meta, "metadata for the handler; may be given several times")

/*  The call options that the flags ask for. `worker` keeps the whole UUID for as long. */
int commands_call_options (cli_t *cli, weft_call_options_t *call, char worker [UUID_SIZE + 1]);

#endif
