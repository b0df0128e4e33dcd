/* SPDX-License-Identifier: MPL-2.0
 *
 *  version.h - the library's version, and how its symbols are exported. */

#ifndef WEFT_VERSION_H_INCLUDED
#define WEFT_VERSION_H_INCLUDED

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0
#define WEFT_VERSION       "0.1.0"

/*  The wire protocol's version (common/PROTOCOL.md): lowest and highest spoken. */
#define WEFT_PROTOCOL_LOWEST  1
#define WEFT_PROTOCOL_HIGHEST 1

#if defined WEFT_BUILDING
#define WEFT_EXPORT __attribute__ ((visibility ("default")))
#else
#define WEFT_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*  The version of the library that is running, as in WEFT_VERSION. Static; any thread. */
WEFT_EXPORT const char *weft_version (void);

#ifdef __cplusplus
}
#endif

#endif
