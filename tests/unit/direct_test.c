/* SPDX-License-Identifier: MPL-2.0
 *
 *  direct_test.c - the socket for direct callers, over loopback, and what it makes of connections that end. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>
#include "direct.h"
#include "session_fixture.h"
#include "transport.h"

#define PATIENCE_MS 10000
#define NUMBERS_MAX 4096

static fixture_t f;
static direct_t direct;
static sleeper_t sleeper;
static void *context;
static struct sockaddr_in address;

static void set_up (size_t peers_max)
{
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    memset (&f, 0, sizeof f);
    session_options_t options = fixture_options (&f);
    options.peers_max = peers_max;
    fixture_open_with (&f, options);
    CHECK (sleeper_open (&sleeper));
    context = transport_context_acquire ();
    CHECK (direct_open (&direct, context, &f.session, &sleeper, 0, 1));
    CHECK (direct_bind (&direct, "tcp://127.0.0.1:*", endpoint));
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    address.sin_port = htons ((uint16_t) atoi (strrchr (endpoint, ':') + 1));
}

static void tear_down (void)
{
    direct_close (&direct, 0);
    sleeper_close (&sleeper);
    fixture_close (&f);
    transport_context_release ();
}

static void await (void *socket)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    CHECK (zmq_poll (&item, 1, PATIENCE_MS) == 1);
}

/*  ------------------------------------------------------------------ callers  */

/*  A caller is a plain socket: so it takes no number when it connects, and the worker's end takes the lowest that is free. */
static int caller (void)
{
    const int fd = socket (AF_INET, SOCK_STREAM, 0);
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    CHECK (fd >= 0 && setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    return fd;
}

static int open_count (void)
{
    int count = 0;
    for (size_t fd = 0; fd < direct.descriptors.count; fd++)
        count += direct.descriptors.all [fd].open;
    return count;
}

static void await_open (int count)
{
    while (open_count () != count) {
        await (direct.monitor);
        direct_events (&direct, f.now_us);
    }
}

static void tell (int fd, const void *data, size_t size)
{
    CHECK (send (fd, data, size, MSG_NOSIGNAL) == (ssize_t) size);
}

/*  Takes part in ZMTP's handshake as a DEALER; the number of the worker's end. */
static int connect_there (int fd)
{
    static const uint8_t greeting [64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const char ready [] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                 "DEALER";
    uint8_t heard [64];
    bool before [NUMBERS_MAX] = {false};
    for (size_t number = 0; number < direct.descriptors.count; number++)
        before [number] = direct.descriptors.all [number].open;
    CHECK (connect (fd, (struct sockaddr *) &address, sizeof address) == 0);
    await_open (open_count () + 1);
    tell (fd, greeting, sizeof greeting);
    tell (fd, ready, sizeof ready - 1);
    CHECK (recv (fd, heard, sizeof heard, MSG_WAITALL) == sizeof heard);
    CHECK (recv (fd, heard, 2, MSG_WAITALL) == 2);
    const size_t size = heard [1];
    CHECK (size <= sizeof heard && recv (fd, heard, size, MSG_WAITALL) == (ssize_t) size);
    CHECK (direct.descriptors.count <= NUMBERS_MAX);
    for (size_t number = 0; number < direct.descriptors.count; number++)
        if (direct.descriptors.all [number].open && !before [number])
            return (int) number;
    CHECK (false);
    return -1;
}

static void tell_records (int fd, buffer_t *records)
{
    const uint8_t head [2] = {0, (uint8_t) records->size};
    CHECK (records->size < 256);
    tell (fd, head, 2);
    tell (fd, records->data, records->size);
    buffer_fini (records);
}

static void say_hello (int fd)
{
    static const char *const codecs [] = {"msgpack", NULL};
    buffer_t records = fixture_records ();
    wire_write_hello (&records, "client", codecs, "test", NULL);
    tell_records (fd, &records);
}

/*  WELCOME, or some other message. */
static bool hears (int fd)
{
    uint8_t byte;
    return recv (fd, &byte, 1, 0) == 1;
}

/*  The rest of the message whose first byte was heard. */
static void hear_out (int fd)
{
    uint8_t size, rest [255];
    CHECK (recv (fd, &size, 1, MSG_WAITALL) == 1);
    CHECK (recv (fd, rest, size, MSG_WAITALL) == size);
}

/*  All that it said has come: ZMTP's PONG was sent behind it. The second time that can also be read. */
static void settle (int fd)
{
    char pong [7];
    for (int i = 0; i < 2; i++) {
        tell (fd, "\x04\x07\x04PING\0\0", 9);
        CHECK (recv (fd, pong, sizeof pong, MSG_WAITALL) == sizeof pong && memcmp (pong + 3, "PONG", 4) == 0);
    }
}

static bool is_hung_up (int fd)
{
    uint8_t byte;
    return recv (fd, &byte, 1, 0) == 0;
}

/*  The worker's end is closed too, after all was read, and that was heard of. */
static void leave (int fd)
{
    const int count = open_count ();
    close (fd);
    await_open (count - 1);
}

/*  The lowest number that is free is this one, which libzmq closes when it has said so; what else was free is taken. */
static void fill_up_to (int number)
{
    int fd;
    while (fcntl (number, F_GETFD) >= 0)
        sched_yield ();
    do
        CHECK ((fd = dup (0)) >= 0);
    while (fd != number);
    close (fd);
}

/*  ------------------------------------------------------------------ the worker's turns  */

static bool read_one (void)
{
    message_t message;
    message_init (&message);
    const bool got = direct_receive (&direct, &message, f.now_us);
    while (got && session_next (&f.session, false, f.now_us)) {
    }
    message_fini (&message);
    direct_read (&direct, f.now_us);
    return got;
}

static void answer (void)
{
    session_link_t *link;
    for (size_t links = f.session.dirty.count; links > 0; links--)
        if (!(link = session_next_dirty (&f.session))->broker && !direct_flush (&direct, link, f.now_us))
            link_set_dirty (link);
}

static void serve (void)
{
    while (read_one ()) {
    }
    answer ();
}

static bool carries (int from, int to)
{
    char byte = 0;
    return send (from, "x", 1, MSG_NOSIGNAL) == 1 && recv (to, &byte, 1, MSG_DONTWAIT) == 1 && byte == 'x';
}

/*  ------------------------------------------------------------------ descriptors that are others' by now  */

/*  A caller says HELLO and is gone before anybody reads that; its number is another socket's of this program when it is read. */
static void let_one_be_brief (int ends [2])
{
    const int brief = caller (), number = connect_there (brief);
    say_hello (brief);
    leave (brief);
    fill_up_to (number);
    CHECK (socketpair (AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK_INT (ends [0], number);
    CHECK (read_one ());
}

TEST (one_that_spoke_and_was_gone_is_lost_and_its_descriptor_let_alone)
{
    int ends [2];
    set_up (8);
    let_one_be_brief (ends);
    CHECK_INT (direct.peers.count, 1);
    CHECK_INT (direct.lost.count, 1);
    for (session_link_t *link; (link = session_next_dirty (&f.session)) != NULL;) {
        link->outbox.failed = true; /* it missed something */
        direct_flush (&direct, link, f.now_us);
    }
    CHECK (carries (ends [0], ends [1]) && carries (ends [1], ends [0]));
    direct_part (&direct, f.now_us);
    CHECK_INT (direct.peers.count, 0);
    tear_down ();
}

/*  As for want of memory when it was opened: its end would not be heard of either. */
TEST (one_whose_descriptor_is_not_known_is_lost)
{
    set_up (8);
    const int fd = caller ();
    connect_there (fd);
    say_hello (fd);
    settle (fd);
    descriptors_fini (&direct.descriptors);
    CHECK (read_one ());
    CHECK_INT (direct.lost.count, 1);
    close (fd);
    tear_down ();
}

TEST (one_that_cannot_be_let_in_and_is_gone_has_its_descriptor_let_alone)
{
    int ends [2];
    set_up (0);
    let_one_be_brief (ends);
    CHECK_INT (direct.peers.count, 0);
    CHECK (carries (ends [0], ends [1]) && carries (ends [1], ends [0]));
    tear_down ();
}

TEST (one_that_is_gone_takes_nobody_with_it_that_has_its_descriptor)
{
    set_up (8);
    const int brief = caller (), silent = caller (), number = connect_there (brief);
    say_hello (brief);
    leave (brief);
    fill_up_to (number);
    CHECK_INT (connect_there (silent), number);
    while (direct.lost.count == 0) {
        serve (); /* to the end of what the other one said: then it cannot be reached */
        if (direct.peers.count)
            link_set_dirty (CONTAINER_OF (list_first (&f.session.peers), session_link_t, of_peers));
        answer ();
    }
    say_hello (silent);
    await (direct.socket);
    serve ();
    CHECK (hears (silent));
    tear_down ();
}

/*  What is read first of two callers, of whom one is gone and the other has its number, is not always what was said first. */
static void check_that_the_later_one_stays (bool is_read_first)
{
    int other = -1;
    set_up (8);
    if (is_read_first) { /* libzmq puts the last one in the place of one that has no more to say */
        other = caller ();
        connect_there (other);
        say_hello (other);
        await (direct.socket);
        CHECK (read_one ());
    }
    const int brief = caller (), later = caller (), number = connect_there (brief);
    say_hello (brief);
    leave (brief);
    fill_up_to (number);
    CHECK_INT (connect_there (later), number);
    say_hello (later);
    settle (later);
    await (direct.socket);
    CHECK (read_one ());
    const descriptor_t *at = descriptors_find (&direct.descriptors, number);
    const void *first = at->owner;
    CHECK (read_one ());
    CHECK (first && at->owner);
    CHECK_INT (at->owner == first, is_read_first);
    CHECK_INT (direct.lost.count, 1);
    serve ();
    CHECK (hears (later));
    direct_part (&direct, f.now_us);
    leave (later);
    CHECK_INT (direct.lost.count, 1);
    direct_part (&direct, f.now_us);
    CHECK_INT (direct.peers.count, is_read_first ? 1 : 0);
    if (is_read_first)
        leave (other);
    tear_down ();
}

TEST (of_two_with_one_descriptor_the_later_one_has_it)
{
    check_that_the_later_one_stays (false);
}

TEST (of_two_with_one_descriptor_the_later_one_has_it_though_it_is_read_first)
{
    check_that_the_later_one_stays (true);
}

/*  ------------------------------------------------------------------ what nobody waits for  */

/*  A caller that is known asks, and is gone before that is read. */
static void let_one_ask_and_go (void)
{
    set_up (8);
    const int brief = caller ();
    connect_there (brief);
    say_hello (brief);
    await (direct.socket);
    serve ();
    CHECK (hears (brief)); /* WELCOME, all of it: what is not read when it closes would take the rest with it */
    hear_out (brief);
    buffer_t records = fixture_records ();
    wire_write_request (&records, 1, text_of ("T.Add"), 1000, "\x92\x07\x06", 3, false, NULL);
    tell_records (brief, &records);
    close (brief);
    await (direct.socket);
}

TEST (what_one_asked_whose_end_the_monitor_told_is_not_begun)
{
    let_one_ask_and_go ();
    await_open (0);
    CHECK (read_one ());
    CHECK_INT (fixture_take (&f), 0);
    tear_down ();
}

TEST (what_one_asked_whose_end_nobody_told_yet_is_not_begun_in_doubt)
{
    for (int doubtful = 0; doubtful < 2; doubtful++) {
        let_one_ask_and_go ();
        direct.doubtful = doubtful;
        CHECK (read_one ());
        CHECK_INT (fixture_take (&f), !doubtful);
        tear_down ();
    }
}

/*  ------------------------------------------------------------------ those that say nothing  */

TEST (a_connection_that_says_nothing_is_hung_up)
{
    set_up (8);
    const int silent = caller (), quick = caller (), number = connect_there (silent);
    const int64_t since_us = f.now_us;
    connect_there (quick);
    say_hello (quick);
    await (direct.socket);
    serve ();
    direct_tick (&direct, since_us + WEFT_SILENCE_MS * MS - 1);
    CHECK (descriptors_find (&direct.descriptors, number)->open);
    CHECK (direct_next_us (&direct) <= since_us + (WEFT_SILENCE_MS + 1000) * MS);
    direct_tick (&direct, direct_next_us (&direct));
    CHECK (is_hung_up (silent));
    CHECK (hears (quick));
    CHECK_INT (direct.peers.count, 1);
    CHECK_INT (direct.lost.count, 0);
    close (silent);
    close (quick);
    tear_down ();
}
