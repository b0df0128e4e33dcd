/* SPDX-License-Identifier: MPL-2.0 */

#include "call.h"
#include "check.h"

static const call_settings_t settings = {.timeout_ms = 1000, .connect_timeout_ms = 500};

static weft_call_t *ask (call_pool_t *pool, const char *method)
{
    weft_call_t *call = call_new (pool);
    CHECK (call);
    CHECK (call_ask (call, method, NULL, &settings));
    return call;
}

static void check_split (call_pool_t *pool, const char *method, const char *service, const char *name)
{
    weft_call_t *call = ask (pool, method);
    CHECK_INT (call->flaw, WEFT_OK);
    CHECK_STR (weft_call_method (call), method);
    CHECK (text_is (call->service, service));
    CHECK (text_is (call->name, name));
    call_release (call, pool);
}

static void check_flawed (call_pool_t *pool, const char *method)
{
    weft_call_t *call = ask (pool, method);
    CHECK_INT (call->flaw, WEFT_INVALID);
    CHECK_STR (weft_call_method (call), method);
    call_release (call, pool);
}

TEST (each_method_is_split_by_itself_whatever_came_before)
{
    call_pool_t pool;
    call_pool_init (&pool, 4);
    for (int i = 0; i < 3; i++) {
        check_split (&pool, "Arith.Add", "Arith", "Add");
        check_split (&pool, "Arith.Add", "Arith", "Add");
        check_split (&pool, "Arith.Add.More", "Arith.Add", "More");
        check_flawed (&pool, "Arith");
        check_flawed (&pool, "");
        check_split (&pool, "A.b", "A", "b");
        check_flawed (&pool, "A.b.");
    }
    call_pool_fini (&pool);
}

/*  A call that had a large body had none at all in its next life. */
TEST (a_call_used_again_after_a_large_body_takes_bodies)
{
    static char body [200 * 1024];
    call_pool_t pool;
    size_t size;
    call_pool_init (&pool, 1);
    for (int i = 0; i < 3; i++) {
        weft_call_t *call = ask (&pool, "A.b");
        CHECK (call_take_body (call, body, sizeof body, NULL));
        weft_call_body (call, &size);
        CHECK_INT (size, sizeof body);
        buffer_append (&call->args, body, sizeof body);
        CHECK (!call->args.failed);
        call_release (call, &pool);
    }
    call_pool_fini (&pool);
}

TEST (a_request_key_has_at_most_255_bytes)
{
    char key [258];
    call_pool_t pool;
    call_pool_init (&pool, 1);
    memset (key, 'k', sizeof key);
    for (size_t size = 255; size < 257; size++) {
        key [size] = '\0';
        weft_call_t *call = call_new (&pool);
        CHECK (call_ask (call, "A.b", &(weft_call_options_t){.request_key = key}, &settings));
        CHECK_INT (call->flaw, size == 255 ? WEFT_OK : WEFT_INVALID);
        call_release (call, &pool);
        key [size] = 'k';
    }
    call_pool_fini (&pool);
}

TEST (a_call_used_again_is_blank)
{
    const char *const meta [] = {"a=b", NULL};
    const weft_call_options_t options = {.worker = "w", .key = "k", .request_key = "r", .meta = meta};
    call_pool_t pool;
    size_t size;
    call_pool_init (&pool, 1);
    weft_call_t *call = call_new (&pool), *first = call;
    CHECK (call_ask (call, "A.b", &options, &settings));
    CHECK_STR (call->only, "w");
    CHECK (text_is (call->key, "k"));
    memcpy (call->worker, "x", 2);
    call_set_text (call, "failed");
    CHECK (call_take_body (call, "body", 4, NULL));
    call_release (call, &pool);
    call = ask (&pool, "A.b");
    CHECK (call == first);
    CHECK_STR (call->only, "");
    CHECK_STR (weft_call_worker (call), "");
    CHECK_STR (weft_call_text (call), "");
    CHECK_INT (call->key.size + call->request_key.size + mp_left (&call->meta) + call->strings.size, 0);
    weft_call_body (call, &size);
    CHECK_INT (size, 0);
    CHECK (!weft_call_done (call));
    call_release (call, &pool);
    call_pool_fini (&pool);
}
