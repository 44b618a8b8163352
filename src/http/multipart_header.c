/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header lines of a part. The hard part is that a quoted filename means
 * different things: curl writes \" and \\, browsers write %22 and leave every
 * backslash as it is. Only what one of them must have meant is undone.
 */
#include <string.h>
#include "http/gate.h"
#include "http/multipart_priv.h"

struct span param_reader_init(struct param_reader *r, struct span header_value)
{
        struct span first = {0};
        r->rest = header_value;
        if (!span_cut(&r->rest, ';', &first))
                r->rest = (struct span){0};
        return span_trim(first);
}

/* rest begins behind the opening quote. \" and \\ are undone, any other backslash stays (C:\dir\file). */
static int read_quoted(struct span *rest, struct buf *value, struct err *e)
{
        for (size_t i = 0; i < rest->n; i++) {
                char c = rest->p[i];
                if (c == '"') {
                        *rest = (struct span){rest->p + i + 1, rest->n - i - 1};
                        return 0;
                }
                if (c == '\\' && i + 1 < rest->n && (rest->p[i + 1] == '"' || rest->p[i + 1] == '\\'))
                        c = rest->p[++i];
                buf_putc(value, c);
        }
        return err_set(e, ERR_INVALID, "a quoted header parameter has no closing quote");
}

int param_next(struct param_reader *r, struct span *name, struct buf *value, struct err *e)
{
        struct span rest = span_trim(r->rest);
        while (rest.n > 0 && rest.p[0] == ';') /* "a;; b" and a ';' at the end are harmless */
                rest = span_trim((struct span){rest.p + 1, rest.n - 1});
        buf_reset(value);
        if (rest.n == 0)
                return 0;
        const char *eq = memchr(rest.p, '=', rest.n);
        *name = span_trim((struct span){rest.p, eq ? (size_t)(eq - rest.p) : 0});
        if (!gate_is_token(*name))
                return err_set(e, ERR_INVALID, "a header parameter is not of the form name=value");
        rest = span_trim((struct span){eq + 1, (size_t)(rest.p + rest.n - eq - 1)});
        if (rest.n > 0 && rest.p[0] == '"') {
                rest = (struct span){rest.p + 1, rest.n - 1};
                if (read_quoted(&rest, value, e))
                        return -1;
                rest = span_trim(rest);
                if (rest.n > 0 && rest.p[0] != ';')
                        return err_set(e, ERR_INVALID, "there is something after a quoted header parameter");
        } else {
                const char *end = rest.n ? memchr(rest.p, ';', rest.n) : NULL;
                struct span token = span_trim((struct span){rest.p, end ? (size_t)(end - rest.p) : rest.n});
                if (!gate_is_token(token))
                        return err_set(e, ERR_INVALID, "the header parameter %.*s is neither a token nor quoted",
                                       (int)(name->n < 64 ? name->n : 64), name->p);
                buf_put(value, token.p, token.n);
                rest = end ? (struct span){end, (size_t)(rest.p + rest.n - end)} : (struct span){0};
        }
        r->rest = rest;
        return buf_failed(value) ? err_oom(e) : 1;
}

void part_headers_init(struct part_headers *h, size_t max)
{
        *h = (struct part_headers){0};
        buf_init(&h->name, max);
        buf_init(&h->filename, max);
        buf_init(&h->filename_ext, max);
        buf_init(&h->content_type, max);
}

void part_headers_done(struct part_headers *h)
{
        buf_done(&h->name);
        buf_done(&h->filename);
        buf_done(&h->filename_ext);
        buf_done(&h->content_type);
}

void part_headers_reset(struct part_headers *h)
{
        buf_reset(&h->name);
        buf_reset(&h->filename);
        buf_reset(&h->filename_ext);
        buf_reset(&h->content_type);
        h->has_disposition = h->has_name = h->has_filename = h->has_filename_ext = false;
        h->has_type = h->has_encoding = false;
}

static int hex_pair(const char *p)
{
        int v = 0;
        for (int i = 0; i < 2; i++) {
                char c = p[i];
                if (c >= '0' && c <= '9')
                        v = v << 4 | (c - '0');
                else if ((c | 32) >= 'a' && (c | 32) <= 'f')
                        v = v << 4 | ((c | 32) - 'a' + 10);
                else
                        return -1;
        }
        return v;
}

/* UTF-8'lang'percent-encoded (RFC 8187). */
static int decode_ext(struct span raw, struct buf *out, struct err *e)
{
        struct span charset, language;
        if (!span_cut(&raw, '\'', &charset) || !span_cut(&raw, '\'', &language) || !span_ieq(charset, "utf-8"))
                return err_set(e, ERR_INVALID, "filename* must be of the form UTF-8''name");
        for (size_t i = 0; i < raw.n; i++) {
                if (raw.p[i] != '%') {
                        buf_putc(out, raw.p[i]);
                        continue;
                }
                int v = i + 2 < raw.n ? hex_pair(raw.p + i + 1) : -1;
                if (v < 0)
                        return err_set(e, ERR_INVALID,
                                       "filename* holds a percent sign without two hex digits after it");
                buf_putc(out, (char)v);
                i += 2;
        }
        return buf_failed(out) ? err_oom(e) : 0;
}

/* Browsers write a quote as %22 and escape nothing else in a name but line ends, which no name may hold. */
static void put_undoing_quote(struct buf *out, struct span s)
{
        for (size_t i = 0; i < s.n; i++) {
                bool quote = s.n - i >= 3 && memcmp(s.p + i, "%22", 3) == 0;
                buf_putc(out, quote ? '"' : s.p[i]);
                i += quote ? 2 : 0;
        }
}

static int expect_first(bool *seen, const char *what, struct err *e)
{
        if (*seen)
                return err_set(e, ERR_INVALID, "a part has two %s", what);
        *seen = true;
        return 0;
}

static int disposition_param(struct part_headers *h, struct span name, struct span value, struct err *e)
{
        if (span_ieq(name, "name")) {
                if (expect_first(&h->has_name, "names", e))
                        return -1;
                put_undoing_quote(&h->name, value);
        } else if (span_ieq(name, "filename")) {
                if (expect_first(&h->has_filename, "filenames", e))
                        return -1;
                put_undoing_quote(&h->filename, value);
        } else if (span_ieq(name, "filename*")) {
                return expect_first(&h->has_filename_ext, "filename* parameters", e)
                               ? -1
                               : decode_ext(value, &h->filename_ext, e);
        }
        return 0;
}

static int read_disposition(struct part_headers *h, struct span value, struct err *e)
{
        struct param_reader r;
        struct span name;
        struct buf text;
        if (expect_first(&h->has_disposition, "Content-Disposition headers", e))
                return -1;
        if (!span_ieq(param_reader_init(&r, value), "form-data"))
                return err_set(e, ERR_INVALID, "the Content-Disposition of a part must be form-data");
        buf_init(&text, h->name.max);
        int rc = 0, got = 0;
        while (!rc && (got = param_next(&r, &name, &text, e)) > 0)
                rc = disposition_param(h, name, buf_span(&text), e);
        buf_done(&text);
        return got < 0 ? -1 : rc;
}

static int check_encoding(struct part_headers *h, struct span value, struct err *e)
{
        static const char *const plain[] = {"7bit", "8bit", "binary"};
        if (expect_first(&h->has_encoding, "Content-Transfer-Encoding headers", e))
                return -1;
        for (size_t i = 0; i < COUNT_OF(plain); i++) {
                if (span_ieq(value, plain[i]))
                        return 0;
        }
        return err_set(e, ERR_INVALID, "the Content-Transfer-Encoding of a part must be 7bit, 8bit or binary");
}

static int check_text(struct span s, const char *what, struct err *e)
{
        for (size_t i = 0; i < s.n; i++) {
                if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
                        return err_set(e, ERR_INVALID, "%s holds a control character", what);
        }
        return utf8_valid(s) ? 0 : err_set(e, ERR_INVALID, "%s is not well-formed UTF-8", what);
}

int part_headers_line(struct part_headers *h, struct span line, struct err *e)
{
        if (line.p[0] == ' ' || line.p[0] == '\t')
                return err_set(e, ERR_INVALID, "a header line of a part is folded, which is not supported");
        const char *colon = memchr(line.p, ':', line.n);
        struct span name = {line.p, colon ? (size_t)(colon - line.p) : 0};
        if (!gate_is_token(name))
                return err_set(e, ERR_INVALID, "a header line of a part is not of the form name: value");
        if (check_text(line, "a header of a part", e))
                return -1;
        struct span value = span_trim((struct span){colon + 1, line.n - name.n - 1});
        if (span_ieq(name, "Content-Disposition"))
                return read_disposition(h, value, e);
        if (span_ieq(name, "Content-Transfer-Encoding"))
                return check_encoding(h, value, e);
        if (span_ieq(name, "Content-Type")) {
                if (expect_first(&h->has_type, "Content-Type headers", e))
                        return -1;
                buf_put(&h->content_type, value.p, value.n);
        }
        return 0;
}

int part_headers_finish(struct part_headers *h, struct multipart_part *out, struct err *e)
{
        if (buf_failed(&h->name) || buf_failed(&h->filename) || buf_failed(&h->filename_ext) ||
            buf_failed(&h->content_type))
                return err_oom(e);
        if (check_text(buf_span(&h->filename_ext), "filename*", e))
                return -1;
        *out = (struct multipart_part){.name = buf_str(&h->name)};
        if (h->has_filename_ext)
                out->filename = buf_str(&h->filename_ext);
        else if (h->has_filename)
                out->filename = buf_str(&h->filename);
        if (h->has_type)
                out->content_type = buf_str(&h->content_type);
        return 0;
}
