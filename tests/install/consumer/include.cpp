// SPDX-License-Identifier: MPL-2.0
//
// include.cpp - the headers are C++ as well.

#include <weft.h>

const char *version_in_cpp ()
{
    return weft_version ();
}
