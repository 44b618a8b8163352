/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Range, ETag lists, dates and Content-Disposition over any text: a part lies
 * inside of the whole, and no filename gets a control character out.
 */
#include <stdlib.h>
#include <string.h>
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_disposition(struct span s)
{
        struct buf b;
        char *name = mem_alloc(s.n + 1);
        if (!name)
                return;
        if (s.n)
                memcpy(name, s.p, s.n);
        name[s.n] = '\0';
        buf_init(&b, 1 << 20);
        disposition_put(&b, true, name);
        for (size_t i = 0; i < b.n; i++) {
                if (b.p[i] < 0x20 || b.p[i] > 0x7e)
                        abort();
        }
        buf_done(&b);
        mem_free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint64_t first = 0, length = 0, total;
        int64_t seconds;
        if (size < 8)
                return 0;
        memcpy(&total, data, 8);
        struct span s = {(const char *)data + 8, size - 8};
        if (range_parse(s, total, &first, &length) == RANGE_PART &&
            (length == 0 || first >= total || length > total - first))
                abort();
        etag_list_matches(s, "tag");
        etag_strong_equal(s, "tag");
        if (http_date_parse(s, &seconds)) {
                char text[HTTP_DATE_LEN];
                int64_t again;
                if (!http_date_parse(span_of(http_date_format((struct wall){seconds * 1000000}, text)), &again))
                        abort();
        }
        check_disposition(s);
        return 0;
}
