/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request target, taken apart from its raw text. The hard part is order:
 * the path is split at '/' first and decoded after, so that %2F inside a
 * segment is a character of a name and never a separator.
 */
#ifndef FA_HTTP_URI_H
#define FA_HTTP_URI_H

#include "base/base.h"

#define URI_SEGMENTS 32

struct uri_arg {
        const char *name, *value;
};

struct uri {
        const char *segments[URI_SEGMENTS]; /* "/a/" is {"a", ""}; "/" is {""} */
        size_t nsegments;
        struct uri_arg *args;
        size_t nargs;
};

/*
 * Origin-form targets only ("/path?query"). Everything decoded is well-formed
 * UTF-8 without NUL; segments hold no control character and are not "." or
 * "..", arguments may hold tab and line ends. All text lives in the arena.
 * ERR_INVALID names the fault; ERR_OOM.
 */
int uri_parse(struct arena *a, struct span raw, struct uri *out, struct err *e) MUST_CHECK;

#endif
