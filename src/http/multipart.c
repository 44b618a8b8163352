/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incremental multipart/form-data (RFC 7578, 2046). The hard part is a
 * delimiter cut by the edge of a read: only its first byte is a CR, so the
 * bytes held back are always exactly a prefix of the delimiter, and a count is
 * all that must be kept. No event depends on where the input was cut.
 */
#include <string.h>
#include "http/multipart_priv.h"

enum step {
        STEP_PREAMBLE,  /* until the first delimiter */
        STEP_AFTER,     /* behind "--boundary" */
        STEP_CLOSING,   /* one '-' seen behind the boundary */
        STEP_PADDING,   /* blanks before the line end */
        STEP_LINE_END,  /* CR seen, LF must follow */
        STEP_HEADER,    /* collecting header lines */
        STEP_HEADER_LF, /* CR of a header line seen */
        STEP_BODY,
        STEP_EPILOGUE,
};

#define BOUNDARY_MAX 70

struct multipart {
        struct multipart_limits limits;
        struct multipart_events events;
        void *ctx;
        enum step step;
        char delimiter[BOUNDARY_MAX + 5]; /* CR LF - - boundary */
        size_t delimiter_n;
        size_t held;    /* bytes of the delimiter matched at the end of what was fed */
        size_t assumed; /* the first of those never came: a delimiter may also stand at the very beginning */
        size_t parts, header_bytes;
        struct buf line;
        struct part_headers headers;
        bool failed;
};

static bool boundary_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("'()+_,-./:=? ", c));
}

static int take_boundary(struct multipart *m, struct span b, struct err *e)
{
        if (b.n == 0 || b.n > BOUNDARY_MAX)
                return err_set(e, ERR_INVALID, "the multipart boundary has %zu bytes, allowed are 1 to %d", b.n,
                               BOUNDARY_MAX);
        for (size_t i = 0; i < b.n; i++) {
                if (!boundary_char(b.p[i]))
                        return err_set(e, ERR_INVALID, "the multipart boundary holds a character that is not allowed");
        }
        if (b.p[b.n - 1] == ' ')
                return err_set(e, ERR_INVALID, "the multipart boundary ends in a blank");
        memcpy(m->delimiter, "\r\n--", 4);
        memcpy(m->delimiter + 4, b.p, b.n);
        m->delimiter_n = b.n + 4;
        return 0;
}

static int parse_type(struct multipart *m, struct span type, struct err *e)
{
        struct param_reader r;
        struct span name;
        struct buf value;
        if (!span_ieq(param_reader_init(&r, type), "multipart/form-data"))
                return err_set(e, ERR_UNSUPPORTED, "the Content-Type must be multipart/form-data");
        buf_init(&value, 1024);
        bool seen = false;
        int rc = 0, got = 0;
        while (!rc && (got = param_next(&r, &name, &value, e)) > 0) {
                if (!span_ieq(name, "boundary"))
                        continue;
                rc = seen ? err_set(e, ERR_INVALID, "the Content-Type has two boundaries")
                          : take_boundary(m, buf_span(&value), e);
                seen = true;
        }
        if (got < 0)
                rc = -1;
        if (!rc && !seen)
                rc = err_set(e, ERR_INVALID, "the Content-Type names no boundary");
        buf_done(&value);
        return rc;
}

int multipart_new(struct span content_type, const struct multipart_limits *lim, const struct multipart_events *ev,
                  void *ctx, struct multipart **out, struct err *e)
{
        struct multipart *m = mem_calloc(1, sizeof *m);
        if (!m)
                return err_oom(e);
        m->limits = lim ? *lim : (struct multipart_limits){0};
        if (!m->limits.max_parts)
                m->limits.max_parts = 1000;
        if (!m->limits.max_header_bytes)
                m->limits.max_header_bytes = 8192;
        m->events = *ev;
        m->ctx = ctx;
        m->held = m->assumed = 2;
        buf_init(&m->line, m->limits.max_header_bytes + 1);
        part_headers_init(&m->headers, m->limits.max_header_bytes + 1);
        if (parse_type(m, content_type, e)) {
                multipart_free(m);
                return -1;
        }
        *out = m;
        return 0;
}

void multipart_free(struct multipart *m)
{
        if (!m)
                return;
        buf_done(&m->line);
        part_headers_done(&m->headers);
        mem_free(m);
}

static int give_data(struct multipart *m, const char *p, size_t n, struct err *e)
{
        if (n == 0 || m->step != STEP_BODY)
                return 0; /* preamble */
        return m->events.part_data(m->ctx, (struct span){p, n}, e);
}

/* How many bytes at the end of p could be the beginning of a delimiter. */
static size_t held_at_end(const struct multipart *m, const char *p, size_t n)
{
        const char *end = p + n;
        const char *from = n >= m->delimiter_n ? end - (m->delimiter_n - 1) : p;
        while (from < end && (from = memchr(from, '\r', (size_t)(end - from)))) {
                if (memcmp(from, m->delimiter, (size_t)(end - from)) == 0)
                        return (size_t)(end - from);
                from++;
        }
        return 0;
}

static int delimiter_found(struct multipart *m, struct err *e)
{
        bool in_part = m->step == STEP_BODY;
        m->held = m->assumed = 0;
        m->step = STEP_AFTER;
        return in_part ? m->events.part_end(m->ctx, e) : 0;
}

/* Goes on with a delimiter begun in an earlier read. Takes bytes off *in; held is 0 after a mismatch. */
static int resume_delimiter(struct multipart *m, struct span *in, struct err *e)
{
        size_t left = m->delimiter_n - m->held;
        size_t n = in->n < left ? in->n : left;
        size_t same = 0;
        while (same < n && in->p[same] == m->delimiter[m->held + same])
                same++;
        if (same < n) { /* what was held back, and these few, were data; the byte after may be a CR */
                if (give_data(m, m->delimiter + m->assumed, m->held + same - m->assumed, e))
                        return -1;
                m->held = m->assumed = 0;
        } else {
                m->held += same;
        }
        *in = (struct span){in->p + same, in->n - same};
        return m->held == m->delimiter_n ? delimiter_found(m, e) : 0;
}

static int feed_data(struct multipart *m, struct span *in, struct err *e)
{
        if (m->held)
                return resume_delimiter(m, in, e);
        const char *hit = memmem(in->p, in->n, m->delimiter, m->delimiter_n);
        if (hit) {
                struct span data = {in->p, (size_t)(hit - in->p)};
                *in = (struct span){hit + m->delimiter_n, in->n - data.n - m->delimiter_n};
                return give_data(m, data.p, data.n, e) || delimiter_found(m, e) ? -1 : 0;
        }
        size_t held = held_at_end(m, in->p, in->n);
        struct span data = {in->p, in->n - held};
        *in = (struct span){in->p + in->n, 0};
        m->held = held;
        return give_data(m, data.p, data.n, e);
}

static int part_begin(struct multipart *m, struct err *e)
{
        if (++m->parts > m->limits.max_parts)
                return err_set(e, ERR_TOO_LARGE, "the request has more than %zu parts", m->limits.max_parts);
        struct multipart_part part;
        if (part_headers_finish(&m->headers, &part, e))
                return -1;
        m->step = STEP_BODY;
        m->held = m->assumed =
                2; /* RFC 2046: a part without a body has no blank line, so this one begins the delimiter */
        return m->events.part_begin(m->ctx, &part, e);
}

static int header_line_done(struct multipart *m, struct err *e)
{
        if (buf_failed(&m->line))
                return err_oom(e);
        m->step = STEP_HEADER;
        if (m->line.n == 0)
                return part_begin(m, e);
        int rc = part_headers_line(&m->headers, buf_span(&m->line), e);
        buf_reset(&m->line);
        return rc;
}

static int feed_header(struct multipart *m, struct span *in, struct err *e)
{
        const char *cr = memchr(in->p, '\r', in->n);
        struct span text = {in->p, cr ? (size_t)(cr - in->p) : in->n};
        size_t room = m->limits.max_header_bytes - m->header_bytes;
        size_t allowed =
                text.n < room ? text.n : room; /* the first fault is the one reported, however the input is cut */
        if (memchr(text.p, '\n', allowed))
                return err_set(e, ERR_INVALID, "a header line of part %zu ends in LF, not in CRLF", m->parts + 1);
        if (text.n + (cr ? 2 : 0) > room)
                return err_set(e, ERR_TOO_LARGE, "the headers of part %zu are over the limit of %zu bytes",
                               m->parts + 1, m->limits.max_header_bytes);
        m->header_bytes += text.n + (cr ? 2 : 0);
        buf_put(&m->line, text.p, text.n);
        if (cr) {
                text.n++;
                m->step = STEP_HEADER_LF;
        }
        *in = (struct span){in->p + text.n, in->n - text.n};
        return 0;
}

/* The single bytes between a delimiter and the part's headers. */
static int feed_edge(struct multipart *m, char c, struct err *e)
{
        bool blank = c == ' ' || c == '\t';
        if ((m->step == STEP_AFTER && c == '-') || (m->step == STEP_CLOSING && c == '-')) {
                m->step = m->step == STEP_AFTER ? STEP_CLOSING : STEP_EPILOGUE;
        } else if ((m->step == STEP_AFTER || m->step == STEP_PADDING) && (blank || c == '\r')) {
                m->step = blank ? STEP_PADDING : STEP_LINE_END;
        } else if (m->step == STEP_LINE_END && c == '\n') {
                m->step = STEP_HEADER;
                m->header_bytes = 0;
                part_headers_reset(&m->headers);
                buf_reset(&m->line);
        } else if (m->step == STEP_HEADER_LF && c == '\n') {
                return header_line_done(m, e);
        } else if (c == '\n') {
                return err_set(e, ERR_INVALID, "a multipart boundary line ends in LF, not in CRLF");
        } else if (m->step == STEP_HEADER_LF) {
                return err_set(e, ERR_INVALID, "a header line of part %zu holds a CR without LF", m->parts + 1);
        } else {
                return err_set(e, ERR_INVALID, "there is something between a multipart boundary and its line end");
        }
        return 0;
}

static int feed_some(struct multipart *m, struct span *in, struct err *e)
{
        switch (m->step) {
        case STEP_PREAMBLE:
        case STEP_BODY:
                return feed_data(m, in, e);
        case STEP_HEADER:
                return feed_header(m, in, e);
        case STEP_EPILOGUE:
                *in = (struct span){in->p + in->n, 0};
                return 0;
        default:
                *in = (struct span){in->p + 1, in->n - 1};
                return feed_edge(m, in->p[-1], e);
        }
}

int multipart_feed(struct multipart *m, struct span bytes, struct err *e)
{
        assert(!m->failed);
        while (bytes.n > 0) {
                if (feed_some(m, &bytes, e)) {
                        m->failed = true;
                        return -1;
                }
        }
        return 0;
}

int multipart_finish(struct multipart *m, struct err *e)
{
        assert(!m->failed);
        if (m->step == STEP_EPILOGUE)
                return 0;
        m->failed = true;
        if (m->parts == 0 && m->step == STEP_PREAMBLE)
                return err_set(e, ERR_INVALID, "the body holds no multipart boundary");
        return err_set(e, ERR_INVALID, "the multipart body ends before its closing boundary");
}
