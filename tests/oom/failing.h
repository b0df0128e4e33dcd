/* SPDX-License-Identifier: MPL-2.0
 *
 *  failing.h - memory that runs out at a chosen moment.
 *
 *  Linked with failing.c and the options of CMakeLists.txt, malloc and its kin fail as planned, but only inside of
 *  OOM_INSIDE: a test's own memory never runs out. */

#ifndef FAILING_H_INCLUDED
#define FAILING_H_INCLUDED

#include <stdbool.h>
#include <stdint.h>

/*  From the `first` allocation on (1 is the next one), `count` of them fail. */
void oom_plan (uint64_t first, uint64_t count);

/*  From now on none fails. */
void oom_calm (void);

/*  How many failed since the plan was made; how many pieces of memory are held now. */
uint64_t oom_failed (void);
int64_t oom_held (void);

/*  Calls `attempt` while its first, its second, … allocation fails, that one alone and with all that follow, until it asks for
 *  no more. Says how many there were. It may say false (it did not work) only if one failed, and may keep no memory. */
unsigned oom_try_each (bool (*attempt) (void));

/*  Evaluates `call` with memory as planned. */
typedef struct {
    bool outside;
} oom_scope_t;
oom_scope_t oom_enter (void);
void oom_leave (oom_scope_t *scope);
#define OOM_INSIDE(call)                                                                                     \
    __extension__ ({                                                                                         \
        oom_scope_t oom_scope_ __attribute__ ((cleanup (oom_leave), unused)) = oom_enter ();                 \
        call;                                                                                                \
    })

#endif
