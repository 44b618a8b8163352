/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: whatever is taken decodes to clean UTF-8 and no segment is a way upwards. */
#include <stdlib.h>
#include <string.h>
#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct uri u;
        struct err e;
        struct arena *a = arena_new(1 << 20);
        if (!a)
                return 0;
        if (uri_parse(a, (struct span){(const char *)data, size}, &u, &e) == 0) {
                for (size_t i = 0; i < u.nsegments; i++) {
                        struct span s = span_of(u.segments[i]);
                        if (!utf8_valid(s) || span_eq(s, "..") || span_eq(s, "."))
                                abort();
                        for (size_t k = 0; k < s.n; k++) {
                                if ((unsigned char)s.p[k] < 0x20 || s.p[k] == 0x7f)
                                        abort();
                        }
                }
                for (size_t i = 0; i < u.nargs; i++) {
                        if (!utf8_valid(span_of(u.args[i].name)) || !utf8_valid(span_of(u.args[i].value)))
                                abort();
                }
        }
        arena_free(a);
        return 0;
}
