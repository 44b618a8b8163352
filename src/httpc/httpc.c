/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blocking request over a reused easy handle. The hard thing is telling
 * the caller's own failures (a file that shrank, a full disk, an answer past
 * its limit) from the network's: curl reports all of them as "aborted by
 * callback", so a callback leaves its reason in the call and that wins.
 */
#include "httpc/httpc_priv.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MAX_BODY ((size_t)64 * 1024 * 1024)
#define MAX_REDIRECTS    5
#define MAX_HEADERS      ((size_t)64 * 1024)

struct httpc {
        CURL *curl;
        char error[CURL_ERROR_SIZE];
};

struct source { /* a file on its way out */
        struct call *call;
        const char *path;
        int fd;
        off_t from, at, size; /* where the body begins, the next byte, where it ends */
};

struct call {
        struct httpc *h;
        const struct httpc_request *q;
        struct httpc_response *out;
        struct err failure; /* of one of our callbacks */
        bool sends;
        struct curl_slist *headers;
        curl_mime *mime;
        struct source *sources, upload;
        char host[256];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void start_curl(void)
{
        curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int httpc_new(struct httpc **out, struct err *e)
{
        struct httpc *h;

        pthread_once(&curl_once, start_curl);
        if (curl_ready != CURLE_OK)
                return err_set(e, ERR_INTERNAL, "libcurl does not start: %s", curl_easy_strerror(curl_ready));
        h = mem_calloc(1, sizeof *h);
        if (!h)
                return err_oom(e);
        h->curl = curl_easy_init();
        if (!h->curl) {
                mem_free(h);
                return err_oom(e);
        }
        *out = h;
        return 0;
}

void httpc_free(struct httpc *h)
{
        if (!h)
                return;
        curl_easy_cleanup(h->curl);
        mem_free(h);
}

void httpc_response_done(struct httpc_response *r)
{
        buf_done(&r->body);
        buf_done(&r->headers);
}

bool httpc_response_header(const struct httpc_response *r, const char *name, struct span *value)
{
        struct span rest = buf_span(&r->headers), line, key;

        while (span_cut(&rest, '\n', &line))
                if (span_cut(&line, ':', &key) && line.p && span_ieq(key, name)) {
                        *value = span_trim(line);
                        return true;
                }
        return false;
}

void httpc_escape(struct buf *out, const char *s)
{
        static const char hex[] = "0123456789ABCDEF";

        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;
                bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
                if (letter || (c >= '0' && c <= '9') || strchr("-._~", c)) {
                        buf_putc(out, (char)c);
                } else {
                        buf_putc(out, '%');
                        buf_putc(out, hex[c >> 4]);
                        buf_putc(out, hex[c & 15]);
                }
        }
}

/* ---- callbacks -------------------------------------------------------------- */

static long status_of(const struct call *c)
{
        long status = 0;

        curl_easy_getinfo(c->h->curl, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
        struct call *c = ctx;
        long status = status_of(c);

        n *= size;
        if (c->q->out_fd > 0 && status >= 200 && status < 300)
                return fd_write_all(c->q->out_fd, p, n, &c->failure) == 0 ? n : 0;
        buf_put(&c->out->body, p, n);
        if (!buf_failed(&c->out->body))
                return n;
        err_set(&c->failure, ERR_TOO_LARGE, "the answer of %s is larger than %zu bytes", c->host, c->out->body.max);
        return 0;
}

static void copy_text(char *out, size_t size, struct span s)
{
        if (s.n >= size)
                s.n = size - 1;
        memcpy(out, s.p, s.n);
        out[s.n] = '\0';
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
        struct call *c = ctx;
        struct span line = {p, size * n}, name;

        if (line.n >= 5 && memcmp(p, "HTTP/", 5) == 0) { /* a new answer, as after 100 Continue */
                c->out->content_type[0] = c->out->retry_after[0] = c->out->filename[0] = '\0';
                buf_reset(&c->out->headers);
                return size * n;
        }
        if (c->q->keep_headers)
                buf_put(&c->out->headers, p, size * n); /* past its limit they count as none */
        if (!span_cut(&line, ':', &name) || !line.p)
                return size * n;
        line = span_trim(line);
        if (span_ieq(name, "Content-Type"))
                copy_text(c->out->content_type, sizeof c->out->content_type, line);
        else if (span_ieq(name, "Retry-After"))
                copy_text(c->out->retry_after, sizeof c->out->retry_after, line);
        else if (span_ieq(name, "Content-Disposition"))
                httpc_disposition_name(line, c->out->filename, sizeof c->out->filename);
        return size * n;
}

static int on_progress(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
        struct call *c = ctx;

        if (c->sends)
                c->q->progress(c->q->ctx, (uint64_t)ulnow, (uint64_t)ultotal);
        else
                c->q->progress(c->q->ctx, (uint64_t)dlnow, (uint64_t)dltotal);
        return 0;
}

static size_t on_read(char *p, size_t size, size_t n, void *ctx)
{
        struct source *s = ctx;
        ssize_t got;

        n *= size;
        if ((off_t)n > s->size - s->at) /* a file that grows meanwhile is sent as long as it was announced */
                n = (size_t)(s->size - s->at);
        if (n == 0)
                return 0;
        do
                got = pread(s->fd, p, n, s->at);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                err_errno(&s->call->failure, errno, "cannot read %s", s->path);
        else if (got == 0)
                err_set(&s->call->failure, ERR_IO, "%s became shorter while it was sent", s->path);
        if (got <= 0)
                return CURL_READFUNC_ABORT;
        s->at += got;
        return (size_t)got;
}

static int on_seek(void *ctx, curl_off_t offset, int origin)
{
        struct source *s = ctx;

        if (origin != SEEK_SET || offset < 0 || offset > s->size - s->from)
                return CURL_SEEKFUNC_CANTSEEK;
        s->at = s->from + offset;
        return CURL_SEEKFUNC_OK;
}

/* ---- one request -------------------------------------------------------------- */

/* Host and, as what comes back, whether it is this machine: such a request must not leave by a proxy. */
static int split_host(const char *url, char *host, size_t size, bool *loopback, struct err *e)
{
        CURLU *u = curl_url();
        char *text = NULL;
        CURLUcode rc;

        if (!u)
                return err_oom(e);
        rc = curl_url_set(u, CURLUPART_URL, url, 0);
        if (rc == CURLUE_OK)
                rc = curl_url_get(u, CURLUPART_HOST, &text, 0);
        if (rc == CURLUE_OK) {
                size_t n = strlen(text);
                snprintf(host, size, "%s", text);
                *loopback = strncmp(text, "127.", 4) == 0 || strcmp(text, "[::1]") == 0 ||
                            strcasecmp(text, "localhost") == 0 ||
                            (n > 10 && strcasecmp(text + n - 10, ".localhost") == 0);
                curl_free(text);
        }
        curl_url_cleanup(u);
        if (rc == CURLUE_OUT_OF_MEMORY)
                return err_oom(e);
        return rc == CURLUE_OK ? 0 : err_set(e, ERR_INVALID, "not a usable address: %s", curl_url_strerror(rc));
}

static bool same_origin(const char *a, const char *b)
{
        static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
        CURLU *ua = curl_url(), *ub = curl_url();
        bool same = ua && ub && !curl_url_set(ua, CURLUPART_URL, a, 0) && !curl_url_set(ub, CURLUPART_URL, b, 0);

        for (size_t i = 0; same && i < COUNT_OF(parts); i++) {
                char *x = NULL, *y = NULL;
                same = !curl_url_get(ua, parts[i], &x, CURLU_DEFAULT_PORT) &&
                       !curl_url_get(ub, parts[i], &y, CURLU_DEFAULT_PORT) && strcasecmp(x, y) == 0;
                curl_free(x);
                curl_free(y);
        }
        curl_url_cleanup(ua);
        curl_url_cleanup(ub);
        return same;
}

static int open_source(struct source *s, const char *path, struct err *e)
{
        struct stat st;

        s->path = path;
        s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us here */
        if (s->fd < 0)
                return err_errno(e, errno, "cannot open %s", path);
        if (fstat(s->fd, &st))
                return err_errno(e, errno, "cannot look at %s", path);
        if (!S_ISREG(st.st_mode))
                return err_set(e, ERR_INVALID, "%s is not a regular file", path);
        s->size = st.st_size;
        return 0;
}

static int add_parts(struct call *c, struct err *e)
{
        const struct httpc_request *q = c->q;

        c->sources = mem_calloc(q->nparts, sizeof *c->sources);
        c->mime = curl_mime_init(c->h->curl);
        if (!c->sources || !c->mime)
                return err_oom(e);
        for (size_t i = 0; i < q->nparts; i++)
                c->sources[i].fd = -1;
        for (size_t i = 0; i < q->nparts; i++) {
                const struct httpc_part *p = &q->parts[i];
                struct source *s = &c->sources[i];
                curl_mimepart *part = curl_mime_addpart(c->mime);
                CURLcode rc = part ? curl_mime_name(part, p->name) : CURLE_OUT_OF_MEMORY;

                s->call = c;
                if (rc == CURLE_OK && p->value) {
                        rc = curl_mime_data(part, p->value, CURL_ZERO_TERMINATED);
                } else if (rc == CURLE_OK) {
                        if (open_source(s, p->file, e))
                                return -1;
                        rc = curl_mime_data_cb(part, s->size, on_read, on_seek, NULL, s);
                        if (rc == CURLE_OK)
                                rc = curl_mime_filename(part, p->filename ? p->filename : p->file);
                        if (rc == CURLE_OK)
                                rc = curl_mime_type(part, "application/octet-stream");
                }
                if (rc != CURLE_OK)
                        return err_oom(e);
        }
        curl_easy_setopt(c->h->curl, CURLOPT_MIMEPOST, c->mime);
        return 0;
}

static int add_header(struct call *c, const char *line, struct err *e)
{
        struct curl_slist *more = curl_slist_append(c->headers, line);

        if (!more)
                return err_oom(e);
        c->headers = more;
        return 0;
}

static int set_headers(struct call *c, bool own, struct err *e)
{
        const struct httpc_request *q = c->q;

        if (!own)
                return 0;
        for (size_t i = 0; i < q->nheaders; i++) {
                if (strpbrk(q->headers[i], "\r\n"))
                        return err_set(e, ERR_INVALID, "a request header holds a line break");
                if (add_header(c, q->headers[i], e))
                        return -1;
        }
        return 0;
}

static int set_signature(struct call *c, struct err *e)
{
        const struct httpc_sigv4 *s = c->q->sigv4;
        char hex[SHA256_TEXT_LEN];
        struct buf lines;

        if (!s)
                return 0;
        assert(s->payload || c->q->body_fd <= 0);
        buf_init(&lines, 32768);
        const char *payload = s->payload ? s->payload : sha256_format(sha256_of(c->q->body.p, c->q->body.n), hex);
        int rc = httpc_sign(s, c->q->method, c->q->url, payload, wall_now(), &lines, e);
        struct span rest = buf_span(&lines), line;
        while (rc == 0 && span_cut(&rest, '\n', &line)) {
                lines.p[line.p - lines.p + (ptrdiff_t)line.n] = '\0'; /* where the newline was, or the end's own NUL */
                rc = add_header(c, line.p, e);
        }
        buf_done(&lines);
        return rc;
}

static void set_limits(CURL *curl, const struct httpc_request *q, bool loopback)
{
        int64_t connect_ms = q->connect_timeout.ns > 0 ? (q->connect_timeout.ns + 999999) / 1000000 : 5000;
        int64_t idle_s = q->idle_timeout.ns > 0 ? (q->idle_timeout.ns + 999999999) / 1000000000 : 60;

#if LIBCURL_VERSION_NUM >= 0x075500
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)idle_s);
        if (loopback)
                curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

static int set_method(struct call *c, struct err *e)
{
        CURL *curl = c->h->curl;
        const struct httpc_request *q = c->q;
        const char *method = q->method ? q->method : "GET";

        if (q->nparts > 0) {
                if (add_parts(c, e))
                        return -1;
                c->sends = true;
        } else if (q->body_fd > 0) {
                c->upload = (struct source){.call = c,
                                            .path = "a file to send",
                                            .fd = q->body_fd,
                                            .from = (off_t)q->body_offset,
                                            .at = (off_t)q->body_offset,
                                            .size = (off_t)(q->body_offset + q->body_size)};
                curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
                curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_size);
                curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
                curl_easy_setopt(curl, CURLOPT_READDATA, &c->upload);
                curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
                curl_easy_setopt(curl, CURLOPT_SEEKDATA, &c->upload);
                c->sends = true;
        } else if (q->body.n > 0 || strcmp(method, "POST") == 0) {
                curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, q->body.n > 0 ? q->body.p : "");
                c->sends = q->body.n > 0;
                /* curl would call it a form; the caller's own Content-Type, if any, comes later and wins. A header
                 * that is taken away would still be signed. */
                if (add_header(c, q->sigv4 ? "Content-Type: application/octet-stream" : "Content-Type:", e))
                        return -1;
        }
        if (strcmp(method, "HEAD") == 0)
                curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        else
                curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        return 0;
}

static int set_up(struct call *c, const char *url, bool own_headers, struct err *e)
{
        CURL *curl = c->h->curl;
        bool loopback = false;

        curl_easy_reset(curl);
        c->h->error[0] = '\0';
        if (split_host(url, c->host, sizeof c->host, &loopback, e) || set_method(c, e) ||
            set_headers(c, own_headers, e) || set_signature(c, e))
                return -1;
        set_limits(curl, c->q, loopback);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, c->headers);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "file-allocator/" FA_VERSION);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, c->h->error);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
        curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(curl, CURLOPT_HEADERDATA, c);
        if (c->q->progress) {
                curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
                curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
                curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c);
        }
        return 0;
}

static void tear_down(struct call *c)
{
        curl_easy_setopt(c->h->curl, CURLOPT_MIMEPOST, NULL);
        curl_easy_setopt(c->h->curl, CURLOPT_HTTPHEADER, NULL);
        curl_mime_free(c->mime);
        curl_slist_free_all(c->headers);
        for (size_t i = 0; c->sources && i < c->q->nparts; i++)
                fd_close(&c->sources[i].fd);
        mem_free(c->sources);
        c->mime = NULL;
        c->headers = NULL;
        c->sources = NULL;
}

static int explain_failure(const struct call *c, CURLcode rc, struct err *e)
{
        const char *why = c->h->error[0] ? c->h->error : curl_easy_strerror(rc);
        long sent = 0;

        if (c->failure.code != ERR_NONE) {
                if (e)
                        *e = c->failure;
                return -1;
        }
        /* libcurl names an answer that is not HTTP as it names a scheme it does not know. */
        curl_easy_getinfo(c->h->curl, CURLINFO_REQUEST_SIZE, &sent);
        if (rc == CURLE_UNSUPPORTED_PROTOCOL && sent > 0)
                return err_set(e, ERR_UNAVAILABLE, "%s: %s", c->host, why);
        switch (rc) {
        case CURLE_OPERATION_TIMEDOUT:
                return err_set(e, ERR_TIMEOUT, "%s does not answer: %s", c->host, why);
        case CURLE_OUT_OF_MEMORY:
                return err_oom(e);
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
                return err_set(e, ERR_INVALID, "not a usable address: %s", why);
        default:
                return err_set(e, ERR_UNAVAILABLE, "%s: %s", c->host, why);
        }
}

/* One hop. *next is where a redirect leads (the caller's), NULL when this was the answer. */
static int run_once(struct call *c, const char *url, bool own_headers, char **next, struct err *e)
{
        char *location = NULL;
        curl_off_t length = -1;
        CURLcode rc;
        int result = 0;

        *next = NULL;
        if (set_up(c, url, own_headers, e)) {
                tear_down(c);
                return -1;
        }
        rc = curl_easy_perform(c->h->curl);
        c->out->status = (unsigned)status_of(c);
        /* A server that refuses a body half-way has answered, although sending then fails. */
        if (rc != CURLE_OK && !(rc == CURLE_SEND_ERROR && c->out->status >= 400))
                result = explain_failure(c, rc, e);
        curl_easy_getinfo(c->h->curl, CURLINFO_REDIRECT_URL, &location);
        if (curl_easy_getinfo(c->h->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK)
                c->out->length = length;
        if (result == 0 && location && !c->sends && !c->q->sigv4 &&
            (!c->q->method || strcmp(c->q->method, "GET") == 0 || strcmp(c->q->method, "HEAD") == 0)) {
                *next = mem_strdup(location);
                if (!*next)
                        result = err_oom(e);
        }
        tear_down(c);
        return result;
}

int httpc_do(struct httpc *h, const struct httpc_request *q, struct httpc_response *out, struct err *e)
{
        struct call c = {.h = h, .q = q, .out = out};
        char *url = NULL, *next = NULL;
        bool own_headers = true;
        int rc;

        *out = (struct httpc_response){.length = -1};
        buf_init(&out->headers, MAX_HEADERS);
        buf_init(&out->body, q->max_body > 0 ? q->max_body : DEFAULT_MAX_BODY);
        rc = run_once(&c, q->url, own_headers, &next, e);
        for (int hop = 1; rc == 0 && next; hop++) {
                const char *from = url ? url : q->url;
                if (hop > MAX_REDIRECTS)
                        rc = err_set(e, ERR_UNAVAILABLE, "%s redirects more than %d times", c.host, MAX_REDIRECTS);
                else if (strncasecmp(from, "https:", 6) == 0 && strncasecmp(next, "https:", 6) != 0)
                        rc = err_set(e, ERR_UNAVAILABLE, "%s redirects from https to an unprotected address", c.host);
                if (rc)
                        break;
                own_headers = own_headers && same_origin(q->url, next);
                mem_free(url);
                url = next;
                next = NULL;
                buf_reset(&out->body);
                rc = run_once(&c, url, own_headers, &next, e);
        }
        mem_free(next);
        mem_free(url);
        return rc;
}
