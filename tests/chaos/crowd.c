/* SPDX-License-Identifier: MPL-2.0
 *
 *  crowd.c - many workers in one process, each with its own connection to the broker.
 *
 *      weft-chaos-crowd COUNT BROKERS SERVICES      SERVICES: a shared object as for weft-worker --load
 *
 *  Says "ready" when all are registered, and drains them one after another on SIGTERM. */

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft/worker.h>

typedef weft_status_t (load_fn) (weft_worker_t *worker);

static int complain (const char *what, const char *why)
{
    fprintf (stderr, "weft-chaos-crowd: %s: %s\n", what, why);
    return 1;
}

int main (int argc, char **argv)
{
    load_fn *load;
    sigset_t signals;
    int number;

    if (argc != 4)
        return complain ("usage", "weft-chaos-crowd COUNT BROKERS SERVICES");
    const int count = atoi (argv [1]);
    void *object = dlopen (argv [3], RTLD_NOW);
    if (!object || !(*(void **) &load = dlsym (object, "weft_load")))
        return complain (argv [3], dlerror ());
    sigemptyset (&signals);
    sigaddset (&signals, SIGTERM);
    sigprocmask (SIG_BLOCK, &signals, NULL);
    weft_worker_t **workers = calloc ((size_t) count, sizeof *workers);
    for (int i = 0; i < count; i++) {
        workers [i] = weft_worker_new (argv [2], &(weft_worker_options_t){.bind = "none", .concurrency = 1});
        if (!workers [i] || load (workers [i]) != WEFT_OK || weft_worker_start (workers [i], 30000) != WEFT_OK)
            return complain ("a worker", weft_worker_error (workers [i]));
    }
    puts ("ready");
    fflush (stdout);
    sigwait (&signals, &number);
    for (int i = 0; i < count; i++) {
        weft_worker_stop (workers [i]);
        weft_worker_destroy (&workers [i]);
    }
    free (workers);
    return 0;
}
