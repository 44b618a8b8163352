/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REDIS_URL: redis://[user:password@]host[:port][/db] or unix://[user:password@]/path[?db=n]. The hard part is to say
 * what is wrong without repeating the value.
 */
#include "queue/queue_redis_priv.h"

#include <stdio.h>
#include <string.h>

#define ALLOWED "allowed is redis://[user:password@]host[:port][/db] or unix://[user:password@]/path[?db=n]"

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                return (c | 0x20) - 'a' + 10;
        return -1;
}

/* Percent-decoding (RFC 3986 section 2.1) into a C string; false for what would not fit, is ill-formed or is NUL. */
static bool decode_part(struct span s, char *out, size_t size)
{
        size_t n = 0;

        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                if (c == '%') {
                        int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
                        int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
                        if (low < 0)
                                return false;
                        c = (char)(high << 4 | low);
                        i += 2;
                }
                if (c == '\0' || n + 1 >= size)
                        return false;
                out[n++] = c;
        }
        out[n] = '\0';
        return true;
}

static bool copy_part(struct span s, char *out, size_t size)
{
        if (s.n == 0 || s.n >= size)
                return false;
        memcpy(out, s.p, s.n);
        out[s.n] = '\0';
        return true;
}

static bool is_host(struct span s, bool bracketed)
{
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                bool name = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' ||
                            c == '-' || c == '_';
                if (!name && !(bracketed && (c == ':' || c == '%')))
                        return false;
        }
        return s.n > 0;
}

static bool read_number(struct span s, uint64_t most, uint64_t *out)
{
        return s.n > 0 && span_u64(s, out) && *out <= most;
}

/* Cuts "user:password@" off the front; a password alone is written ":password@". */
static int cut_login(struct span *rest, struct queue_redis_address *a, struct err *e)
{
        const char *at = rest->n ? memrchr(rest->p, '@', rest->n) : NULL;
        struct span login, user;

        if (!at)
                return 0;
        login = (struct span){rest->p, (size_t)(at - rest->p)};
        *rest = (struct span){at + 1, rest->n - login.n - 1};
        if (!span_cut(&login, ':', &user) || !login.p || login.n == 0)
                return err_set(e, ERR_INVALID, "REDIS_URL: there is no password before the @; " ALLOWED);
        if (!decode_part(user, a->user, sizeof a->user) || !decode_part(login, a->password, sizeof a->password))
                return err_set(e, ERR_INVALID, "REDIS_URL: user or password is too long or badly escaped; " ALLOWED);
        return 0;
}

static int read_path(struct span rest, struct queue_redis_address *a, struct err *e)
{
        const char *query = memchr(rest.p, '?', rest.n);
        struct span path = {rest.p, query ? (size_t)(query - rest.p) : rest.n};
        uint64_t db = 0;

        if (query) {
                struct span q = {query + 1, rest.n - path.n - 1};
                if (q.n < 3 || memcmp(q.p, "db=", 3) != 0 || !read_number((struct span){q.p + 3, q.n - 3}, 65535, &db))
                        return err_set(e, ERR_INVALID, "REDIS_URL: what follows the ? is not db=n; " ALLOWED);
        }
        if (path.n == 0 || path.p[0] != '/' || !copy_part(path, a->path, sizeof a->path))
                return err_set(e, ERR_INVALID, "REDIS_URL: the socket's path is not absolute or is too long; " ALLOWED);
        a->db = (unsigned)db;
        snprintf(a->shown, sizeof a->shown, "%s", a->path);
        return 0;
}

static int read_host(struct span rest, struct queue_redis_address *a, struct err *e)
{
        struct span place, host, after = {NULL, 0};
        bool bracketed;
        uint64_t port = 6379, db = 0;

        span_cut(&rest, '/', &place);
        bracketed = place.n > 0 && place.p[0] == '[';
        if (bracketed) {
                const char *end = memchr(place.p, ']', place.n);
                if (!end)
                        return err_set(e, ERR_INVALID, "REDIS_URL: the [ of the host is not closed; " ALLOWED);
                host = (struct span){place.p + 1, (size_t)(end - place.p) - 1};
                after = (struct span){end + 1, place.n - host.n - 2};
        } else {
                const char *colon = place.n ? memchr(place.p, ':', place.n) : NULL;
                host = (struct span){place.p, colon ? (size_t)(colon - place.p) : place.n};
                after = (struct span){place.p + host.n, place.n - host.n};
        }
        if (!is_host(host, bracketed) || !copy_part(host, a->host, sizeof a->host))
                return err_set(e, ERR_INVALID, "REDIS_URL: there is no valid host; " ALLOWED);
        if (after.n > 0 &&
            (after.p[0] != ':' || !read_number((struct span){after.p + 1, after.n - 1}, 65535, &port) || port == 0))
                return err_set(e, ERR_INVALID, "REDIS_URL: the port is not from 1 to 65535; " ALLOWED);
        if (rest.n > 0 && !read_number(rest, 65535, &db))
                return err_set(e, ERR_INVALID, "REDIS_URL: the database is not from 0 to 65535; " ALLOWED);
        a->port = (uint16_t)port;
        a->db = (unsigned)db;
        snprintf(a->shown, sizeof a->shown, bracketed ? "[%s]:%u" : "%s:%u", a->host, (unsigned)a->port);
        return 0;
}

int queue_redis_parse(const char *url, struct queue_redis_address *out, struct err *e)
{
        static const char tcp[] = "redis://", local[] = "unix://";
        struct span rest = span_of(url);
        bool is_tcp = rest.n >= sizeof tcp - 1 && memcmp(rest.p, tcp, sizeof tcp - 1) == 0;
        bool is_local = rest.n >= sizeof local - 1 && memcmp(rest.p, local, sizeof local - 1) == 0;
        size_t cut = is_tcp ? sizeof tcp - 1 : sizeof local - 1;

        *out = (struct queue_redis_address){.port = 0};
        if (rest.n == 0)
                return err_set(e, ERR_INVALID, "REDIS_URL is empty and QUEUE_BACKEND=redis needs it; " ALLOWED);
        if (!is_tcp && !is_local)
                return err_set(e, ERR_INVALID, "REDIS_URL does not begin with redis:// or unix://; " ALLOWED);
        rest = (struct span){rest.p + cut, rest.n - cut};
        if (cut_login(&rest, out, e))
                return -1;
        return is_tcp ? read_host(rest, out, e) : read_path(rest, out, e);
}
