/* SPDX-License-Identifier: MPL-2.0
 *
 *  scarce_test.c - what a worker does when there is no memory. The linker gives this test the allocator's names
 *  (see CMakeLists.txt), so that any one allocation of the project's own code can fail. */

#include "session_fixture.h"

void *__real_malloc (size_t size);
void *__real_calloc (size_t count, size_t size);
void *__real_realloc (void *memory, size_t size);
void __real_free (void *memory);
void *__wrap_malloc (size_t size);
void *__wrap_calloc (size_t count, size_t size);
void *__wrap_realloc (void *memory, size_t size);
void __wrap_free (void *memory);

static int to_succeed = -1; /* allocations, before one fails; -1: all do */
static int held;            /* that were not freed */

static bool refused (void)
{
    return to_succeed >= 0 && to_succeed-- == 0;
}

static void *counted (void *memory)
{
    held += memory != NULL;
    return memory;
}

void *__wrap_malloc (size_t size)
{
    return refused () ? NULL : counted (__real_malloc (size));
}

void *__wrap_calloc (size_t count, size_t size)
{
    return refused () ? NULL : counted (__real_calloc (count, size));
}

void *__wrap_realloc (void *memory, size_t size)
{
    if (refused ())
        return NULL;
    return memory ? __real_realloc (memory, size) : counted (__real_realloc (NULL, size));
}

void __wrap_free (void *memory)
{
    held -= memory != NULL;
    __real_free (memory);
}

TEST (a_start_that_fails_leaves_nothing_behind)
{
    const requests_options_t options = {.body_max = 1000};
    requests_t requests;
    int before = held, failures = 0;

    for (to_succeed = 0; !requests_init (&requests, &options); to_succeed = ++failures)
        CHECK_INT (held, before);
    CHECK_INT (failures, 2); /* the index, and the spares */
    to_succeed = -1;
    requests_fini (&requests);
    CHECK_INT (held, before);
}

TEST (a_request_that_finds_no_memory_is_turned_down)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    message_t message;
    buffer_t records = fixture_records ();
    wire_write_request (&records, 1, text_of ("T.Add"), 1000, "\x92\x07\x06", 3, false, NULL);
    message_init (&message);
    CHECK (message_add_bytes (&message, records.data, records.size));

    to_succeed = 0;
    fixture_receive (&f, caller, &message);
    CHECK_INT (to_succeed, -1);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OVERLOADED);
    CHECK_STR (reply->text, "out of memory");
    CHECK (reply->info.executed < 0); /* no, as the status has it */
    message_fini (&message);
    buffer_fini (&records);
    fixture_add (&f, caller, 1); /* the next one may find some */
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, caller, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

TEST (a_large_reply_that_finds_no_memory_is_an_error_and_it_ran)
{
    fixture_t f;
    session_link_t *caller = fixture_serving (&f);
    fixture_request (&f, caller, 1, "T.Fill", 1000, "\xcd\x13\x88", 3, NULL); /* 5000 bytes */
    weft_request_t *request = fixture_begin (&f);
    request_run (request);
    request_end (request, f.now_us);

    to_succeed = 0;
    session_finished (&f.session, &request->job, f.now_us);
    CHECK_INT (to_succeed, -1);
    const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_INTERNAL);
    CHECK_STR (reply->text, "out of memory for the reply");
    CHECK_INT (reply->info.executed, WEFT_EXECUTED_YES);
    CHECK_INT (reply->info.origin, WEFT_ORIGIN_WORKER);
    CHECK_INT (reply->body_size, 0);
    fixture_request (&f, caller, 2, "T.Fill", 1000, "\xcd\x13\x88", 3, NULL);
    fixture_run (&f);
    reply = fixture_one (&f, caller, WIRE_REPLY);
    CHECK_INT (reply->status, WEFT_OK);
    CHECK (reply->attached);
    fixture_close (&f);
}

/*  Whichever allocation it is: it is not said to be too large, and not that nothing ran. */
TEST (an_item_that_finds_no_memory_ends_its_stream_and_it_ran)
{
    static const uint8_t item [5000];

    for (int succeed = 0; succeed < 2; succeed++) {
        fixture_t f;
        session_link_t *caller = fixture_serving (&f);
        fixture_request (&f, caller, 1, "T.Stream", WIRE_NO_DEADLINE, "\x00", 1,
                         &(wire_options_t){.credit = 10});
        weft_request_t *request = fixture_begin (&f);
        to_succeed = succeed;
        CHECK_INT (weft_request_send_item (request, &(weft_bytes){item, sizeof item}), WEFT_OVERLOADED);
        CHECK_INT (to_succeed, -1);
        fixture_end (&f, request);
        const seen_t *reply = fixture_one (&f, caller, WIRE_REPLY);
        CHECK_INT (reply->status, WEFT_INTERNAL);
        CHECK_STR (reply->text, "out of memory for an item of T.Stream");
        CHECK_INT (reply->info.executed, WEFT_EXECUTED_YES);
        fixture_close (&f);
    }
}
