/* SPDX-License-Identifier: MPL-2.0
 *
 *  weft.h - everything a program needs to serve and to call. */

#ifndef WEFT_H_INCLUDED
#define WEFT_H_INCLUDED

#include <weft/version.h>
#include <weft/status.h>
#include <weft/limits.h>
#include <weft/schema.h>
#include <weft/log.h>
#include <weft/worker.h>
#include <weft/heart.h>
#include <weft/client.h>

#endif
