/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multipart parser against a table of bodies. Its promise, that events do
 * not depend on where the input is cut, is tried with every cut in two and
 * many random ones.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "http/http.h"

#define TYPE "multipart/form-data; boundary=XyZ"

/* Events as text: "<name|filename|type>data</>" */
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
        assert_true(bytes.n > 0);
        buf_put(ctx, bytes.p, bytes.n);
        return 0;
}

static int note_end(void *ctx, struct err *e)
{
        (void)e;
        buf_puts(ctx, "</>");
        return 0;
}

static const struct multipart_events note = {note_begin, note_data, note_end};

/* Feeds s in pieces of the given sizes (the last one repeats; 0 = all). The outcome is put in out. */
static void parse_cut(const char *type, struct span s, const size_t *cuts, size_t ncuts, struct buf *out)
{
        struct err e = {0};
        struct multipart *m = NULL;
        size_t i = 0;
        int rc = multipart_new(span_of(type), NULL, &note, out, &m, &e);
        while (!rc && s.n > 0) {
                size_t n = cuts[i < ncuts ? i : ncuts - 1];
                i++;
                if (n == 0 || n > s.n)
                        n = s.n;
                char *copy = mem_alloc(n); /* its own block, so that a sanitizer sees any step outside */
                memcpy(copy, s.p, n);
                rc = multipart_feed(m, (struct span){copy, n}, &e);
                mem_free(copy);
                s = (struct span){s.p + n, s.n - n};
        }
        if (!rc)
                rc = multipart_finish(m, &e);
        if (rc)
                buf_printf(out, "!%s: %s", err_name(e.code), e.msg);
        multipart_free(m);
}

static void expect(const char *type, struct span body, const char *wanted)
{
        struct buf out;
        buf_init(&out, 1 << 20);
        parse_cut(type, body, (const size_t[]){0}, 1, &out);
        if (wanted[0] == '!' ? !strstr(buf_str(&out), wanted) : strcmp(buf_str(&out), wanted) != 0)
                fail_msg("body: %.*s\nwanted: %s\ngot: %s", (int)body.n, body.p, wanted, buf_str(&out));
        buf_done(&out);
}

#define HEAD(disposition) "--XyZ\r\nContent-Disposition: form-data; " disposition "\r\n\r\n"
#define TAIL              "\r\n--XyZ--\r\n"

static const struct {
        struct span body;
        const char *wanted;
} bodies[] = {
        {SPAN(HEAD("name=\"a\"") "hello" TAIL), "<a|-|->hello</>"},
        {SPAN("preamble\r\n--Xy\r\n" HEAD("name=a") "x" TAIL "epilogue --XyZ"), "<a|-|->x</>"},
        {SPAN("\r\n" HEAD("name=a") "x" TAIL), "<a|-|->x</>"},
        {SPAN("--XyZ \t \r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--XyZ--"), "<a|-|->x</>"},
        {SPAN(HEAD("name=a") TAIL), "<a|-|-></>"},
        {SPAN(HEAD("name=a") "--XyZ--"), "<a|-|-></>"},
        {SPAN("--XyZ\r\n\r\nx" TAIL), "<|-|->x</>"},
        {SPAN("--XyZ--"), ""},
        {SPAN(HEAD("name=a") "\r\n\r\r\n--Xy\r\n--X\r\n-" TAIL), "<a|-|->\r\n\r\r\n--Xy\r\n--X\r\n-</>"},
        {SPAN(HEAD("name=a") "--Xy" TAIL), "<a|-|->--Xy</>"},
        {SPAN(HEAD("name=a") "-" TAIL), "<a|-|->-</>"},
        {SPAN(HEAD("name=a") "x\n--XyZ--\n" TAIL), "<a|-|->x\n--XyZ--\n</>"},
        {SPAN(HEAD("name=a; filename=\"b \\\"c\\\".txt\"") "x" TAIL), "<a|b \"c\".txt|->x</>"},
        {SPAN(HEAD("name=a; filename=\"b %22c%22 %41.txt\"") "x" TAIL), "<a|b \"c\" %41.txt|->x</>"},
        {SPAN(HEAD("name=a; filename=\"C:\\dir\\f.txt\"") "x" TAIL), "<a|C:\\dir\\f.txt|->x</>"},
        {SPAN(HEAD("name=a; filename=\"x;y=z\" ;") "x" TAIL), "<a|x;y=z|->x</>"},
        {SPAN(HEAD("name=a; filename=\"\"") "x" TAIL), "<a||->x</>"},
        {SPAN(HEAD("name=a; filename=\"b\"; filename*=UTF-8''%e2%82%ac%20x") "x" TAIL), "<a|\xe2\x82\xac x|->x</>"},
        {SPAN("--XyZ\r\ncontent-DISPOSITION:FORM-data;NAME=a\r\nCONTENT-type: image/png; q=1\r\nX-Other: "
              "y\r\n\r\nx" TAIL),
         "<a|-|image/png; q=1>x</>"},
        {SPAN("--XyZ\r\nContent-Disposition: form-data; name=a\r\nContent-Type: multipart/mixed; "
              "boundary=in\r\n\r\n--in\r\n\r\nz\r\n--in--" TAIL),
         "<a|-|multipart/mixed; boundary=in>--in\r\n\r\nz\r\n--in--</>"},
        {SPAN(HEAD("name=a") "1\r\n" HEAD("name=b") "2" TAIL), "<a|-|->1</><b|-|->2</>"},
        {SPAN("--XyZ\r\nContent-Transfer-Encoding: 8BIT\r\n\r\nx" TAIL), "<|-|->x</>"},
        /* refused */
        {SPAN(""), "!invalid: the body holds no multipart boundary"},
        {SPAN(HEAD("name=a") "hello"), "!invalid: the multipart body ends before"},
        {SPAN("--XyZ\nContent-Disposition: form-data\n\nx\n--XyZ--"), "!invalid: a multipart boundary line ends in LF"},
        {SPAN("--XyZ\r\nA: b\nC: d\r\n\r\nx" TAIL), "!invalid: a header line of part 1 ends in LF"},
        {SPAN("--XyZ\r\nA: b\rC: d\r\n\r\nx" TAIL), "!invalid: a header line of part 1 holds a CR"},
        {SPAN("--XyZabc\r\n\r\nx" TAIL), "!invalid: there is something between"},
        {SPAN("--XyZ-\r\n\r\nx" TAIL), "!invalid: there is something between"},
        {SPAN("--XyZ\r\nA: b\r\n c\r\n\r\nx" TAIL), "!invalid: a header line of a part is folded"},
        {SPAN("--XyZ\r\nno colon\r\n\r\nx" TAIL), "!invalid: a header line of a part is not"},
        {SPAN("--XyZ\r\nA : b\r\n\r\nx" TAIL), "!invalid: a header line of a part is not"},
        {SPAN("--XyZ\r\nContent-Transfer-Encoding: base64\r\n\r\nx" TAIL), "!invalid: the Content-Transfer-Encoding"},
        {SPAN("--XyZ\r\nContent-Disposition: attachment; name=a\r\n\r\nx" TAIL), "!invalid: the Content-Disposition"},
        {SPAN(HEAD("name=a; name=b") "x" TAIL), "!invalid: a part has two names"},
        {SPAN(HEAD("name=\"a") "x" TAIL), "!invalid: a quoted header parameter"},
        {SPAN(HEAD("name") "x" TAIL), "!invalid: a header parameter is not"},
        {SPAN(HEAD("name=\"a\" b=c") "x" TAIL), "!invalid: there is something after a quoted"},
        {SPAN(HEAD("name=a; filename*=latin1''x") "x" TAIL), "!invalid: filename* must be"},
        {SPAN(HEAD("name=a; filename*=UTF-8''%4") "x" TAIL), "!invalid: filename* holds a percent"},
        {SPAN(HEAD("name=a; filename*=UTF-8''a%0Ab") "x" TAIL), "!invalid: filename* holds a control"},
        {SPAN(HEAD("name=a; filename*=UTF-8''a%00b") "x" TAIL), "!invalid: filename* holds a control"},
        {SPAN(HEAD("name=a; filename=\"\xff\"") "x" TAIL), "!invalid: a header of a part is not well-formed"},
        {SPAN(HEAD("name=a; filename=\"b\0c\"") "x" TAIL), "!invalid: a header of a part holds a control"},
};

static void bodies_mean_what_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < COUNT_OF(bodies); i++)
                expect(TYPE, bodies[i].body, bodies[i].wanted);
}

static void expect_same(size_t body, const size_t *cuts, size_t ncuts, const struct buf *whole)
{
        struct buf out;
        buf_init(&out, 1 << 20);
        parse_cut(TYPE, bodies[body].body, cuts, ncuts, &out);
        if (out.n != whole->n || (out.n && memcmp(out.p, whole->p, out.n) != 0))
                fail_msg("body %zu, first cut %zu:\nwhole: %s\ncut: %s", body, cuts[0], buf_str(whole), buf_str(&out));
        buf_done(&out);
}

static void every_split_gives_the_same_events(void **state)
{
        (void)state;
        for (size_t i = 0; i < COUNT_OF(bodies); i++) {
                struct buf whole;
                buf_init(&whole, 1 << 20);
                parse_cut(TYPE, bodies[i].body, (const size_t[]){0}, 1, &whole);
                for (size_t at = 1; at < bodies[i].body.n; at++)
                        expect_same(i, (const size_t[]){at, 0}, 2, &whole);
                for (size_t step = 1; step < 9; step++)
                        expect_same(i, &step, 1, &whole);
                for (int round = 0; round < 200; round++) {
                        size_t cuts[16];
                        for (size_t k = 0; k < COUNT_OF(cuts); k++)
                                cuts[k] = 1 + random_u64() % 12;
                        expect_same(i, cuts, COUNT_OF(cuts), &whole);
                }
                buf_done(&whole);
        }
}

static void content_types_are_checked(void **state)
{
        static const struct {
                const char *type, *wanted;
        } rows[] = {
                {"multipart/form-data; boundary=XyZ", ""},
                {"Multipart/Form-Data; charset=utf-8; BOUNDARY=\"XyZ\"", ""},
                {"multipart/mixed; boundary=XyZ", "!unsupported"},
                {"application/json", "!unsupported"},
                {"", "!unsupported"},
                {"multipart/form-data", "!invalid: the Content-Type names no boundary"},
                {"multipart/form-data; boundary=", "!invalid"},
                {"multipart/form-data; boundary=\"\"", "!invalid"},
                {"multipart/form-data; boundary=\"a \"", "!invalid: the multipart boundary ends in a blank"},
                {"multipart/form-data; boundary=\"a\\\"b\"", "!invalid: the multipart boundary holds"},
                {"multipart/form-data; boundary=a; boundary=b", "!invalid: the Content-Type has two"},
                {"multipart/form-data; "
                 "boundary=aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg1",
                 "!invalid: the multipart boundary has 71 bytes"},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++)
                expect(rows[i].type, SPAN("--XyZ--"), rows[i].wanted);
}

static void limits_are_kept(void **state)
{
        struct multipart *m;
        struct err e;
        struct buf out;
        struct multipart_limits lim = {.max_parts = 2, .max_header_bytes = 100};
        (void)state;
        buf_init(&out, 4096);
        assert_int_equal(multipart_new(SPAN(TYPE), &lim, &note, &out, &m, &e), 0);
        assert_int_equal(multipart_feed(m, SPAN("--XyZ\r\n\r\n1\r\n--XyZ\r\n\r\n2\r\n--XyZ\r\n\r\n"), &e), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        multipart_free(m);
        assert_int_equal(multipart_new(SPAN(TYPE), &lim, &note, &out, &m, &e), 0);
        assert_int_equal(multipart_feed(m, SPAN("--XyZ\r\nA: "), &e), 0);
        for (int i = 0; i < 97; i++)
                assert_int_equal(multipart_feed(m, SPAN("x"), &e), 0);
        assert_int_equal(multipart_feed(m, SPAN("x"), &e), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        multipart_free(m);
        buf_done(&out);
}

static int refuse_data(void *ctx, struct span bytes, struct err *e)
{
        (void)ctx, (void)bytes;
        return err_set(e, ERR_NO_SPACE, "full");
}

static void an_events_error_is_passed_on(void **state)
{
        struct multipart_events ev = {note_begin, refuse_data, note_end};
        struct multipart *m;
        struct err e;
        struct buf out;
        (void)state;
        buf_init(&out, 4096);
        assert_int_equal(multipart_new(SPAN(TYPE), NULL, &ev, &out, &m, &e), 0);
        assert_int_equal(multipart_feed(m, bodies[0].body, &e), -1);
        assert_int_equal(e.code, ERR_NO_SPACE);
        multipart_free(m);
        buf_done(&out);
}

static int count_data(void *ctx, struct span bytes, struct err *e)
{
        (void)e;
        *(size_t *)ctx += bytes.n;
        return 0;
}

static int nothing_begin(void *ctx, const struct multipart_part *p, struct err *e)
{
        (void)ctx, (void)p, (void)e;
        return 0;
}

static int nothing_end(void *ctx, struct err *e)
{
        (void)ctx, (void)e;
        return 0;
}

/* Printed, not asserted: a busy machine must not fail the build. */
static void big_parts_pass_quickly(void **state)
{
        static const char *const kinds[] = {"random", "all CR", "all CRLF--"};
        struct multipart_events ev = {nothing_begin, count_data, nothing_end};
        enum { CHUNK = 16384, ROUNDS = 16384 };
        char *chunk = mem_alloc(CHUNK);
        (void)state;
        for (int kind = 0; kind < 3; kind++) {
                size_t bytes = 0;
                struct multipart *m;
                struct err e;
                random_bytes(chunk, CHUNK);
                for (int i = 0; kind && i < CHUNK; i++)
                        chunk[i] = kind == 1 ? '\r' : "\r\n--"[i % 4];
                assert_int_equal(
                        multipart_new(SPAN("multipart/form-data; boundary=----WebKitFormBoundaryABCDEFGHIJKLMNOP"),
                                      NULL, &ev, &bytes, &m, &e),
                        0);
                assert_int_equal(multipart_feed(m, SPAN("------WebKitFormBoundaryABCDEFGHIJKLMNOP\r\n\r\n"), &e), 0);
                struct mono start = mono_now();
                for (int i = 0; i < ROUNDS / 4; i++)
                        assert_int_equal(multipart_feed(m, (struct span){chunk, CHUNK}, &e), 0);
                double s = dur_seconds(mono_since(start));
                assert_true(bytes + 64 > (size_t)CHUNK * ROUNDS / 4);
                print_message("%s: %.2f GB/s\n", kinds[kind], (double)bytes / s / 1e9);
                multipart_free(m);
        }
        mem_free(chunk);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bodies_mean_what_the_table_says), cmocka_unit_test(every_split_gives_the_same_events),
                cmocka_unit_test(content_types_are_checked),       cmocka_unit_test(limits_are_kept),
                cmocka_unit_test(an_events_error_is_passed_on),    cmocka_unit_test(big_parts_pass_quickly),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
