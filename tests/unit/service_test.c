/* SPDX-License-Identifier: MPL-2.0 */

#include <stdio.h>
#include "check.h"
#include "service.h"

static weft_status_t nothing (weft_request_t *request, const void *args, void *reply)
{
    (void) request;
    (void) args;
    (void) reply;
    return WEFT_OK;
}

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static const weft_method_t arith [] = {
    WEFT_METHOD ("Add", nothing, pair, weft_int64, WEFT_IDEMPOTENT | WEFT_INLINE),
    WEFT_METHOD ("Divide", nothing, pair, weft_int64, 0),
    WEFT_METHOD ("Multiply", nothing, pair, weft_int64, WEFT_IDEMPOTENT), WEFT_METHOD_END};
static const weft_method_t one [] = {WEFT_METHOD ("Run", nothing, weft_none, weft_none, 0), WEFT_METHOD_END};

static char error [WEFT_TEXT_MAX + 1];

static services_t open_services (void)
{
    services_t self;
    services_init (&self, 1);
    error [0] = '\0';
    return self;
}

TEST (n13_one_call_registers_all_methods_of_a_table)
{
    services_t services = open_services ();
    int user = 0;
    CHECK_INT (services_add (&services, "Arith", arith, &user, false, error), WEFT_OK);
    CHECK_INT (services.method_count, 3);

    const method_t *method = services_find (&services, text_of ("Arith.Divide"));
    CHECK (method);
    CHECK_STR (method->full_name, "Arith.Divide");
    CHECK_STR (method->service->name, "Arith");
    CHECK (method->entry == &arith [1]);
    CHECK (method->user == &user);
    CHECK (services_find (&services, text_of ("Arith.Add")));
    CHECK (services_find (&services, text_of ("Arith.Multiply")));
    CHECK (!services_find (&services, text_of ("Arith.Power")));
    CHECK (!services_find (&services, (text_t){NULL, 0}));
    services_fini (&services);
}

TEST (n13_a_methods_own_user_pointer_wins)
{
    int service_user = 0, own = 0;
    const weft_method_t table [] = {{"A", nothing, weft_none_schema, weft_none_schema, 0, &own},
                                    {"B", nothing, weft_none_schema, weft_none_schema, 0, NULL},
                                    WEFT_METHOD_END};
    services_t services = open_services ();
    CHECK_INT (services_add (&services, "S", table, &service_user, false, error), WEFT_OK);
    CHECK (services_find (&services, text_of ("S.A"))->user == &own);
    CHECK (services_find (&services, text_of ("S.B"))->user == &service_user);
    services_fini (&services);
}

TEST (n15_duplicates_each_have_their_own_error)
{
    static const weft_method_t twice [] = {WEFT_METHOD ("Run", nothing, weft_none, weft_none, 0),
                                           WEFT_METHOD ("Run", nothing, weft_none, weft_none, 0),
                                           WEFT_METHOD_END};
    services_t services = open_services ();
    CHECK_INT (services_add (&services, "Arith", arith, NULL, false, error), WEFT_OK);
    CHECK_INT (services_add (&services, "Arith", one, NULL, false, error), WEFT_INVALID);
    CHECK_STR (error, "service \"Arith\" is already defined");
    CHECK_INT (services_add (&services, "Job", twice, NULL, false, error), WEFT_INVALID);
    CHECK_STR (error, "method \"Job.Run\" is already defined");

    CHECK (!services_lookup (&services, text_of ("Job"))); /* all or nothing */
    CHECK (!services_find (&services, text_of ("Job.Run")));
    CHECK_INT (services_add (&services, "Job", one, NULL, false, error), WEFT_OK);
    services_fini (&services);
}

TEST (n15_unknown_service_and_unknown_method_are_told_apart)
{
    services_t services = open_services ();
    char text [WEFT_TEXT_MAX + 1];
    services_add (&services, "Echo", one, NULL, false, error);
    services_add (&services, "Arith", arith, NULL, false, error);

    services_explain (&services, text_of ("Arith.Power"), text, sizeof text);
    CHECK_STR (text, "service \"Arith\" has no method \"Power\"; known: Add, Divide, Multiply");
    services_explain (&services, text_of ("Geometry.Area"), text, sizeof text);
    CHECK_STR (text, "no service \"Geometry\" at this worker; known: Arith, Echo");
    services_explain (&services, text_of ("Arith"), text, sizeof text);
    CHECK (strstr (text, "ill-formed"));
    services_explain (&services, text_of ("Geometry.Area"), text, 20); /* cut, not overrun */
    CHECK_INT (strlen (text), 19);
    services_fini (&services);
}

TEST (n14_service_names_may_have_dots_and_the_last_one_splits)
{
    static const weft_method_t b [] = {WEFT_METHOD ("b", nothing, weft_none, weft_none, 0), WEFT_METHOD_END};
    services_t services = open_services ();
    CHECK_INT (services_add (&services, "a", b, NULL, false, error), WEFT_OK);
    CHECK_INT (services_add (&services, "a.b", one, NULL, false, error), WEFT_OK);
    CHECK_STR (services_find (&services, text_of ("a.b"))->service->name, "a");
    CHECK_STR (services_find (&services, text_of ("a.b.Run"))->service->name, "a.b");
    services_fini (&services);
}

static void check_refused (const char *name, const weft_method_t *table, const char *why)
{
    services_t services = open_services ();
    CHECK_INT (services_add (&services, name, table, NULL, false, error), WEFT_INVALID);
    if (!strstr (error, why))
        CHECK_STR (error, why);
    CHECK_INT (services.count, 0);
    services_fini (&services);
}

TEST (names_and_tables_are_checked)
{
    char long_name [WEFT_NAME_PART_MAX + 2];
    memset (long_name, 'x', sizeof long_name - 1);
    long_name [sizeof long_name - 1] = '\0';

    check_refused (NULL, one, "bad service name \"\"");
    check_refused ("", one, "bad service name \"\"");
    check_refused ("a b", one, "bad service name \"a b\"");
    check_refused (".a", one, "bad service name");
    check_refused (long_name, one, "bad service name");
    check_refused ("weft.Spy", one, "reserved");
    check_refused ("A", NULL, "service \"A\" has no methods");
    check_refused ("A", arith + 3, "service \"A\" has no methods");
    check_refused ("A",
                   (weft_method_t []){WEFT_METHOD ("x.y", nothing, weft_none, weft_none, 0), WEFT_METHOD_END},
                   "bad method name \"x.y\"");
    check_refused ("A",
                   (weft_method_t []){WEFT_METHOD ("", nothing, weft_none, weft_none, 0), WEFT_METHOD_END},
                   "bad method name \"\"");
    check_refused ("A", (weft_method_t []){WEFT_METHOD ("M", NULL, weft_none, weft_none, 0), WEFT_METHOD_END},
                   "method \"A.M\" has no handler");
    check_refused ("A", (weft_method_t []){{"M", nothing, NULL, weft_none_schema, 0, NULL}, WEFT_METHOD_END},
                   "method \"A.M\" has no argument type");
}

TEST (services_and_methods_are_bounded)
{
    services_t services = open_services ();
    char name [16];
    for (int i = 0; i < WEFT_SERVICES_MAX; i++) {
        snprintf (name, sizeof name, "S%d", i);
        CHECK_INT (services_add (&services, name, one, NULL, false, error), WEFT_OK);
    }
    CHECK_INT (services_add (&services, "More", one, NULL, false, error), WEFT_INVALID);
    CHECK (strstr (error, "more than 256 services"));
    services_fini (&services);
}

TEST (n16_services_are_written_sorted_with_their_types_and_flags)
{
    services_t services = open_services ();
    services_add (&services, "Echo", one, NULL, false, error);
    services_add (&services, "Arith", arith, NULL, false, error);
    services_add (&services, "weft.Worker", one, NULL, true, error);

    buffer_t out;
    buffer_init (&out, 1 << 16);
    wire_write_register_begin (&out, "u", 1, services_registered (&services));
    services_write (&services, &out);
    wire_write_register_end (&out, (const char *const []){NULL}, 1, NULL, "", 1, 1);
    CHECK (!out.failed);

    mp_reader_t reader = mp_reader (out.data, out.size);
    wire_record_t record;
    wire_register_t read;
    wire_service_t service;
    wire_method_t method;
    const char *fault = "";
    CHECK_INT (wire_next (&reader, &record, &fault), 1);
    CHECK (wire_read_register (&record, &read, &fault));
    CHECK_INT (read.service_count, 2);
    CHECK (wire_next_service (&read.services, &service));
    CHECK (text_is (service.name, "Arith"));
    CHECK_INT (service.method_count, 3);
    CHECK (wire_next_method (&service.methods, &method));
    CHECK (text_is (method.name, "Add"));
    CHECK_INT (method.flags, WEFT_IDEMPOTENT | WEFT_INLINE);
    CHECK (wire_next_service (&read.services, &service));
    CHECK (text_is (service.name, "Echo"));
    buffer_fini (&out);
    services_fini (&services);
}

TEST (n16_calls_and_errors_are_counted)
{
    services_t services = open_services ();
    services_add (&services, "Arith", arith, NULL, false, error);
    method_t *method = services_find (&services, text_of ("Arith.Add"));
    for (int i = 0; i < 100; i++)
        method_count (method, i < 3, i < 99 ? 10 : 5000);
    const method_stats_t stats = method_stats (method);
    CHECK_INT (stats.calls, 100);
    CHECK_INT (stats.errors, 3);
    CHECK_INT (stats.p50_us, 10);
    CHECK_INT (stats.max_us, 5000);
    services_fini (&services);
}
