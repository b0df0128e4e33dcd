/* SPDX-License-Identifier: MPL-2.0
 *
 *  post.h - a worker's place at a broker: the connection, and what it is worth. */

#ifndef POST_H_INCLUDED
#define POST_H_INCLUDED

#include "link.h"
#include "standing.h"

typedef struct {
    session_link_t link;
    standing_t standing;
} post_t;

#define POSTS 2 /* one to serve, and one to go to or to leave */

static inline post_t *post_of (session_link_t *link)
{
    return CONTAINER_OF (link, post_t, link);
}

#endif
