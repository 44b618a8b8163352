/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multipart parser's promise: any split of the same bytes gives the same
 * events. The first eight bytes are sizes of the pieces, the rest is the body.
 */
#include <stdlib.h>
#include <string.h>
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int note_begin(void *ctx, const struct multipart_part *p, struct err *e)
{
        (void)e;
        buf_printf(ctx, "<%s|%s|%s>", p->name, p->filename ? p->filename : "-",
                   p->content_type ? p->content_type : "-");
        return 0;
}

static int note_data(void *ctx, struct span bytes, struct err *e)
{
        (void)e;
        if (bytes.n == 0)
                abort();
        buf_put(ctx, bytes.p, bytes.n);
        return 0;
}

static int note_end(void *ctx, struct err *e)
{
        (void)e;
        buf_puts(ctx, "</>");
        return 0;
}

static void parse(struct span s, const uint8_t *sizes, struct buf *out)
{
        static const struct multipart_events note = {note_begin, note_data, note_end};
        static const struct multipart_limits limits = {.max_parts = 20, .max_header_bytes = 200};
        struct multipart *m = NULL;
        struct err e = {0};
        if (multipart_new(SPAN("multipart/form-data; boundary=B"), &limits, &note, out, &m, &e))
                return;
        int rc = 0;
        for (size_t i = 0; !rc && s.n > 0; i++) {
                size_t n = sizes ? 1u + sizes[i % 8] % 32u : s.n;
                if (n > s.n)
                        n = s.n;
                rc = multipart_feed(m, (struct span){s.p, n}, &e);
                s = (struct span){s.p + n, s.n - n};
        }
        if (!rc)
                rc = multipart_finish(m, &e);
        if (rc)
                buf_printf(out, "!%s", e.msg);
        multipart_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct buf whole, cut;
        if (size < 8)
                return 0;
        struct span body = {(const char *)data + 8, size - 8};
        buf_init(&whole, 1 << 22);
        buf_init(&cut, 1 << 22);
        parse(body, NULL, &whole);
        parse(body, data, &cut);
        if (whole.n != cut.n || (whole.n && memcmp(whole.p, cut.p, whole.n) != 0))
                abort();
        buf_done(&whole);
        buf_done(&cut);
        return 0;
}
