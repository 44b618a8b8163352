/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON: what is accepted must dump to text that is accepted again and dumps the same. */
#include "json/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct err e = {0};
        struct json *doc = json_parse((struct span){(const char *)data, size}, &e), *again;
        struct buf first, second;

        if (!doc) {
                assert(e.code != ERR_NONE);
                return 0;
        }
        buf_init(&first, 64 * size + 1024);
        buf_init(&second, 64 * size + 1024);
        json_dump(doc, &first);
        assert(!buf_failed(&first));
        again = json_parse(buf_span(&first), &e);
        assert(again);
        json_dump(again, &second);
        assert(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
        json_free(doc);
        json_free(again);
        buf_done(&first);
        buf_done(&second);
        return 0;
}
