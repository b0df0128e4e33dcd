/* SPDX-License-Identifier: MPL-2.0
 *
 *  run.c - the life of a process that is a worker: start, serve until told to go, drain.
 *
 *  SIGTERM and SIGINT are ours for that time; their handler only writes to a descriptor. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "transport.h"
#include "worker_run.h"

static atomic_int signal_fd = -1;

static void on_signal (int number)
{
    const int saved = errno;
    (void) number;
    transport_wake (atomic_load (&signal_fd));
    errno = saved;
}

typedef struct {
    struct sigaction term, interrupt;
} handlers_t;

static void take_signals (handlers_t *before)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigemptyset (&action.sa_mask);
    sigaction (SIGTERM, &action, &before->term);
    sigaction (SIGINT, &action, &before->interrupt);
}

static void give_signals_back (const handlers_t *before)
{
    sigaction (SIGTERM, &before->term, NULL);
    sigaction (SIGINT, &before->interrupt, NULL);
}

static int complain (const char *text, int code)
{
    fprintf (stderr, "%s: %s\n", program_invocation_short_name, text);
    return code;
}

/*  Waits for news of the worker or a signal. Milliseconds; -1: no limit. True: a signal came. */
static bool await_news (weft_worker_t *worker, int own_fd, int timeout_ms)
{
    struct pollfd fds [2] = {{own_fd, POLLIN, 0}, {worker_state_fd (worker), POLLIN, 0}};

    if (poll (fds, 2, timeout_ms) <= 0)
        return false;
    if (fds [1].revents)
        transport_wake_clear (fds [1].fd);
    if (!fds [0].revents)
        return false;
    transport_wake_clear (own_fd);
    return true;
}

/*  Serves until the worker is done; an exit code. */
static int live (weft_worker_t *worker, int own_fd, const worker_run_options_t *options)
{
    const int64_t give_up_us = clock_now_us () + options->wait_ms * 1000LL;
    char text [WEFT_TEXT_MAX + 1];
    weft_status_t status;
    session_state_t state;
    bool ready = false;
    int signals = 0;

    while ((state = worker_state (worker, &status, text)) != SESSION_DONE) {
        int timeout_ms = -1;
        if (state == SESSION_REFUSED && signals == 0)
            return complain (text, WORKER_RUN_FAILED);
        if (state == SESSION_SERVING && !ready) {
            ready = true;
            if (options->ready)
                options->ready (worker, options->arg);
        }
        if (!ready && options->wait_ms > 0) {
            const int64_t left_us = give_up_us - clock_now_us ();
            if (left_us <= 0)
                return complain (text [0] ? text : "no broker answered", WORKER_RUN_NO_BROKER);
            timeout_ms = (int) (left_us / 1000) + 1;
        }
        if (!await_news (worker, own_fd, timeout_ms))
            continue;
        if (++signals == 1)
            worker_ask_drain (worker);
        else
            worker_ask_quit (worker);
    }
    return WORKER_RUN_OK;
}

int worker_run (weft_worker_t *self, const worker_run_options_t *options)
{
    handlers_t before;
    int none = -1, code = WORKER_RUN_FAILED;
    const int own_fd = transport_wake_open ();

    if (own_fd < 0 || !atomic_compare_exchange_strong (&signal_fd, &none, own_fd)) {
        if (own_fd >= 0)
            close (own_fd);
        return complain (own_fd < 0 ? "out of descriptors" : "another worker runs in this process already",
                         WORKER_RUN_FAILED);
    }
    take_signals (&before);
    const weft_status_t status = weft_worker_start (self, 0);
    if (status == WEFT_INVALID)
        complain (weft_worker_error (self), WORKER_RUN_FAILED);
    else
        code = live (self, own_fd, options);
    if (code != WORKER_RUN_OK)
        worker_ask_quit (self);
    if (weft_worker_stop (self) != WEFT_OK && code == WORKER_RUN_OK)
        code = complain (weft_worker_error (self), WORKER_RUN_FAILED);
    give_signals_back (&before);
    atomic_store (&signal_fd, -1);
    close (own_fd);
    return code;
}

int weft_worker_run (weft_worker_t *self)
{
    return worker_run (self, &(worker_run_options_t){0});
}
