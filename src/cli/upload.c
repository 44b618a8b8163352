/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file's way to the server: hash, ask whether it is there, send. The hard
 * thing is trying again after a lost connection without making a second copy:
 * all attempts of a file carry the same Idempotency-Key.
 */
#include "cli/ingest_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK     ((size_t)256 * 1024)
#define MAX_BUSY  5
#define MAX_LOST  3
#define MAX_PAUSE 60

int upload_init(struct upload *u, const struct api *api, const struct upload_opts *opts, struct err *e)
{
        *u = (struct upload){.opts = opts};
        if (client_clone(&u->api, api, e))
                return -1;
        u->hash = sha256_new();
        u->chunk = mem_alloc(CHUNK);
        return u->hash && u->chunk ? 0 : err_oom(e);
}

void upload_done(struct upload *u)
{
        client_close(&u->api);
        sha256_free(u->hash);
        mem_free(u->chunk);
        u->hash = NULL;
        u->chunk = NULL;
}

static int hash_file(struct upload *u, const char *path, struct sha256 *out, struct err *e)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t got;
        int rc = 0;

        if (fd < 0)
                return err_errno(e, errno, "cannot open it");
        for (;;) {
                got = read(fd, u->chunk, CHUNK);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        break;
                sha256_update(u->hash, u->chunk, (size_t)got);
        }
        if (got < 0)
                rc = err_errno(e, errno, "cannot read it");
        *out = sha256_final(u->hash);
        fd_close(&fd);
        return rc;
}

/* Seconds to wait before attempt n+1; the server's Retry-After counts, within reason. */
static double pause_for(const struct api *a, unsigned n)
{
        uint64_t asked;

        if (span_u64(span_of(a->r.retry_after), &asked) && asked > 0)
                return asked < MAX_PAUSE ? (double)asked : MAX_PAUSE;
        return 0.5 * (double)(1U << n);
}

static bool is_network(const struct err *e)
{
        return e->code == ERR_UNAVAILABLE || e->code == ERR_TIMEOUT;
}

static int send_patiently(struct upload *u, const char *path, struct httpc_request q)
{
        unsigned busy = 0, lost = 0;

        for (;;) {
                int rc = client_send(&u->api, path, q);
                if (rc == 0 && u->api.r.status != 503 && u->api.r.status != 429)
                        return 0;
                if (rc != 0 && !is_network(&u->api.e))
                        return rc;
                if ((rc == 0 && ++busy >= MAX_BUSY) || (rc != 0 && ++lost > MAX_LOST) || atomic_load(u->opts->stop))
                        return rc;
                sleep_for(dur_s(pause_for(&u->api, busy + lost - 1)));
        }
}

static void fail_upload(struct upload_result *r, const char *why, int fatal)
{
        r->outcome = UPLOAD_FAILED;
        r->fatal = fatal;
        snprintf(r->error, sizeof r->error, "%s", why);
}

/* No answer came: is it this file or the server? */
static void fail_unsent(struct upload *u, struct upload_result *r)
{
        struct err e = u->api.e;
        bool gone =
                is_network(&e) && client_send(&u->api, "/live", (struct httpc_request){.connect_timeout = dur_s(3)});

        fail_upload(r, e.msg, gone ? CLI_UNREACHABLE : 0);
}

static void fail_answered(const struct upload *u, struct upload_result *r)
{
        unsigned status = u->api.r.status;
        struct buf why;

        buf_init(&why, 16 * 1024);
        client_reason(&u->api, &why);
        fail_upload(r, buf_str(&why), status == 401 || status == 403 ? CLI_FAILED : 0);
        buf_done(&why);
}

static bool is_success(const struct upload *u)
{
        return u->api.r.status >= 200 && u->api.r.status < 300;
}

/* False when the question itself failed; r is filled in then. */
static bool ask_if_stored(struct upload *u, struct sha256 hash, bool *there, struct upload_result *r)
{
        char hex[SHA256_TEXT_LEN];
        const struct json *object;
        struct buf path;
        int rc;

        *there = false;
        buf_init(&path, 4096);
        buf_puts(&path, "/api/v1/objects?limit=1");
        client_query(&path, "sha256", sha256_format(hash, hex));
        client_query(&path, "owner", u->opts->held_by);
        rc = send_patiently(u, buf_str(&path), (struct httpc_request){.method = "GET"});
        buf_done(&path);
        if (rc)
                fail_unsent(u, r);
        else if (!is_success(u))
                fail_answered(u, r);
        if (rc || !is_success(u))
                return false;
        object = json_at(json_get(u->api.doc, "objects"), 0);
        /* A server that does not know the filter would answer with any file. */
        *there = strcmp(json_get_str(object, "sha256", ""), hex) == 0;
        if (*there)
                snprintf(r->system_id, sizeof r->system_id, "%s", json_get_str(object, "id", ""));
        return true;
}

static void on_sent(void *ctx, uint64_t done, uint64_t total)
{
        struct upload *u = ctx;

        (void)total;
        atomic_store(&u->sent, done < u->size ? done : u->size); /* the envelope's bytes are not the file's */
}

static void send_file(struct upload *u, const struct walk_file *f, struct upload_result *r)
{
        const struct upload_opts *o = u->opts;
        const char *slash = strrchr(f->path, '/');
        struct httpc_part parts[4];
        size_t n = 0;
        struct buf name;
        char id[ID_TEXT_LEN], header[64];
        const char *const headers[] = {header};
        int rc;

        buf_init(&name, 8192);
        text_clean(&name, span_of(slash ? slash + 1 : f->path));
        snprintf(header, sizeof header, "Idempotency-Key: %s", id_format(id_new(), id));
        if (o->owner)
                parts[n++] = (struct httpc_part){.name = "owner", .value = o->owner};
        if (o->folder)
                parts[n++] = (struct httpc_part){.name = "folder", .value = o->folder};
        if (o->tags)
                parts[n++] = (struct httpc_part){.name = "tags", .value = o->tags};
        parts[n++] = (struct httpc_part){.name = "files", .file = f->path, .filename = buf_str(&name)};
        rc = send_patiently(u, "/api/v1/ingest",
                            (struct httpc_request){.method = "POST",
                                                   .headers = headers,
                                                   .nheaders = 1,
                                                   .parts = parts,
                                                   .nparts = n,
                                                   .progress = on_sent,
                                                   .ctx = u});
        buf_done(&name);
        if (rc) {
                fail_unsent(u, r);
        } else if (!is_success(u)) {
                fail_answered(u, r);
        } else {
                const char *system_id = json_str(json_at(json_get(u->api.doc, "system_ids"), 0));
                r->outcome = UPLOAD_DONE;
                snprintf(r->job_id, sizeof r->job_id, "%s", json_get_str(u->api.doc, "job_id", ""));
                snprintf(r->system_id, sizeof r->system_id, "%s", system_id ? system_id : "");
                if (!r->job_id[0])
                        fail_upload(r, "the server's answer names no job", 0);
        }
}

void upload_file(struct upload *u, const struct walk_file *f, struct upload_result *r)
{
        struct sha256 hash;
        struct err e;
        bool there = false;

        *r = (struct upload_result){0};
        u->size = f->size;
        if (f->problem) {
                fail_upload(r, f->problem, 0);
                return;
        }
        if (!u->opts->again) {
                if (hash_file(u, f->path, &hash, &e)) {
                        fail_upload(r, e.msg, 0);
                        return;
                }
                if (!ask_if_stored(u, hash, &there, r))
                        return;
        }
        if (there)
                r->outcome = UPLOAD_SKIPPED;
        else
                send_file(u, f, r);
}
