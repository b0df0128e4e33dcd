/* SPDX-License-Identifier: MPL-2.0
 *
 *  own_loop.c - a program with an event loop of its own: weft adds one descriptor to it and no thread.
 *  Each line on stdin with two numbers starts a multiplication; results are printed as they come, while
 *  the loop goes on. */

#include <weft.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

typedef struct {
    int64_t a, b;
} arith_args;
WEFT_SCHEMA (arith_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static int open_calls;

/*  Runs in weft_client_drive, on the loop's thread. */
static void print_product (weft_call_t *call, void *arg)
{
    int64_t product;
    (void) arg;
    if (weft_call_read (call, WEFT_OUT (weft_int64, &product)) == WEFT_OK)
        printf ("%lld\n", (long long) product);
    else
        printf ("%s\n", weft_call_text (call));
    fflush (stdout);
    weft_call_destroy (&call);
    open_calls--;
}

/*  False at the end of stdin. */
static bool read_line (weft_client_t *client)
{
    char line [128];
    long long a, b;
    if (!fgets (line, sizeof line, stdin))
        return false;
    if (sscanf (line, "%lld %lld", &a, &b) == 2) {
        weft_client_start (client, "Arith.Multiply", WEFT_IN (arith_args, &(arith_args){a, b}), NULL,
                           print_product, NULL);
        open_calls++;
    }
    return true;
}

static void watch (int loop, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl (loop, EPOLL_CTL_ADD, fd, &event) < 0)
        perror ("epoll_ctl"); /* a file as stdin cannot be waited for */
}

int main (int argc, char **argv)
{
    weft_client_t *client = weft_client_new (argc > 1 ? argv [1] : "tcp://127.0.0.1:5555",
                                             &(weft_client_options_t){.own_loop = true});
    if (!client) {
        fprintf (stderr, "%s\n", weft_client_error ());
        return 1;
    }
    setvbuf (stdin, NULL, _IONBF, 0); /* what stdio holds back, epoll does not see */
    const int loop = epoll_create1 (0);
    watch (loop, STDIN_FILENO);
    watch (loop, weft_client_fd (client));

    for (bool reading = true; reading || open_calls > 0;) {
        struct epoll_event event;
        if (epoll_wait (loop, &event, 1, -1) < 1)
            continue;
        if (event.data.fd == weft_client_fd (client))
            weft_client_drive (client);
        else if (!read_line (client)) {
            reading = false;
            epoll_ctl (loop, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        }
    }
    close (loop);
    weft_client_destroy (&client);
    return 0;
}
