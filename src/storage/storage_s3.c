/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 backend: opening, removing, health. The hard thing here is the
 * address: what a bucket, a prefix and an endpoint make together must be the
 * same bytes in the URL and in the signature, so all three are checked once.
 */
#include "storage/storage_s3_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PROBE_SECONDS 10
#define SPOOL_DEFAULT ((uint64_t)2 << 30)
#define PREFIX_MAX    256

static storage_open_fn s3_open;
static storage_close_fn s3_close;
static storage_has_object_fn s3_has_object;
static storage_remove_object_fn s3_remove_object;
static storage_state_fn s3_state;

const struct storage_ops storage_s3_ops = {
        .name = "s3",
        .open = s3_open,
        .close = s3_close,
        .put_begin = s3_put_begin,
        .put_write = s3_put_write,
        .put_peek = s3_put_peek,
        .put_seal = s3_put_seal,
        .put_commit = s3_put_commit,
        .put_ensure = s3_put_ensure,
        .put_end = s3_put_end,
        .open_object = s3_open_object,
        .has_object = s3_has_object,
        .remove_object = s3_remove_object,
        .put_derived = s3_put_derived,
        .open_derived = s3_open_derived,
        .read_begin = s3_read_begin,
        .verify_begin = s3_verify_begin,
        .read_at = s3_read_at,
        .read_end = s3_read_end,
        .batch_begin = s3_batch_begin,
        .batch_put = s3_batch_put,
        .batch_remove = s3_batch_remove,
        .batch_commit = s3_batch_commit,
        .batch_end = s3_batch_end,
        .get_sidecar = s3_get_sidecar,
        .list = s3_list,
        .state = s3_state,
};

/* ---- the address --------------------------------------------------------------- */

static bool is_given(const char *s)
{
        return s && *s;
}

static int set_bucket(struct s3 *s, struct span named, const char *other, struct err *e)
{
        char bucket[64] = "";

        if (named.n == 0)
                named = span_of(other);
        else if (is_given(other) && !span_eq(named, other))
                return err_set(e, ERR_INVALID, "the storage URL and S3_BUCKET name different buckets");
        if (named.n >= 3 && named.n < sizeof bucket)
                snprintf(bucket, sizeof bucket, "%.*s", (int)named.n, named.p);
        if (!bucket[0] ||
            strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != named.n ||
            bucket[0] == '.' || bucket[0] == '-' || strstr(bucket, ".."))
                return err_set(e, ERR_INVALID,
                               "the storage URL names no usable bucket: expected s3://bucket/prefix, "
                               "a bucket being 3 to 63 of [A-Za-z0-9._-]");
        s->bucket = mem_strdup(bucket);
        return s->bucket ? 0 : err_oom(e);
}

/* Segments that a client or a proxy may fold would break the signature. */
static int set_prefix(struct s3 *s, struct span named, struct err *e)
{
        bool good = named.n <= PREFIX_MAX && utf8_valid(named);
        struct span part;
        struct buf b;

        buf_init(&b, 2 * PREFIX_MAX);
        while (good && named.n > 0 && named.p[named.n - 1] == '/')
                named.n--;
        while (good && named.n > 0 && span_cut(&named, '/', &part)) {
                good = part.n > 0 && !span_eq(part, ".") && !span_eq(part, "..");
                for (size_t i = 0; i < part.n; i++)
                        good = good && (unsigned char)part.p[i] >= 0x20 && part.p[i] != 0x7f;
                buf_put(&b, part.p, part.n);
                buf_putc(&b, '/');
        }
        if (good && !buf_failed(&b))
                s->prefix = mem_strdup(buf_str(&b));
        buf_done(&b);
        if (!good)
                return err_set(e, ERR_INVALID,
                               "the prefix in the storage URL is not usable: expected names separated by single "
                               "slashes, none of them . or .., %d bytes at most",
                               PREFIX_MAX);
        return s->prefix ? 0 : err_oom(e);
}

static bool is_address(struct span host)
{
        char last = host.n ? host.p[host.n - 1] : '\0';

        return last == ']' || (last >= '0' && last <= '9'); /* no top level domain ends in a digit */
}

/* A bucket whose name a host cannot hold, or a certificate for *.host cannot cover, goes into the path. */
static bool wants_path(const struct s3 *s, const char *host, bool forced)
{
        struct span name = span_of(host);

        name.n = strcspn(host, ":");
        if (host[0] == '[')
                name.n = strcspn(host, "]") + 1;
        return forced || is_address(name) ||
               strspn(s->bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(s->bucket);
}

static int set_root(struct s3 *s, const struct storage_s3_opts *o, struct err *e)
{
        char amazon[160];
        const char *endpoint = o->endpoint, *host;
        struct buf b;
        size_t n;

        snprintf(amazon, sizeof amazon, "https://s3.%.100s.amazonaws.com", s->region);
        if (!is_given(endpoint))
                endpoint = amazon;
        host = strstr(endpoint, "://");
        /* The message does not repeat it: it may hold a password, which is not given this way. */
        if (!host || (strncasecmp(endpoint, "http://", 7) != 0 && strncasecmp(endpoint, "https://", 8) != 0) ||
            !host[3] || host[3] == '/' || strpbrk(endpoint, "?#@ \"<>\\") || !utf8_valid(span_of(endpoint)))
                return err_set(e, ERR_INVALID,
                               "the S3 endpoint is not usable: expected http://host or https://host, "
                               "maybe with a port");
        host += 3;
        n = strlen(host);
        while (n > 0 && host[n - 1] == '/')
                n--;
        buf_init(&b, 1024);
        buf_put(&b, endpoint, (size_t)(host - endpoint));
        if (wants_path(s, host, o->force_path_style))
                buf_printf(&b, "%.*s/%s/", (int)n, host, s->bucket);
        else
                buf_printf(&b, "%s.%.*s/", s->bucket, (int)n, host);
        if (!buf_failed(&b))
                s->root = mem_strdup(buf_str(&b));
        buf_done(&b);
        return s->root ? 0 : err_oom(e);
}

static int set_place(struct s3 *s, struct err *e)
{
        struct buf b;

        buf_init(&b, 1024);
        buf_printf(&b, "%s/%s", s->bucket, s->prefix);
        if (!buf_failed(&b))
                s->place = mem_strdup(buf_str(&b));
        buf_done(&b);
        s->base.place = s->place;
        return s->place ? 0 : err_oom(e);
}

static int set_credentials(struct s3 *s, const struct storage_s3_opts *o, struct err *e)
{
        const char *region = is_given(o->region) ? o->region : "us-east-1";

        if (strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(region) ||
            strlen(region) > 64)
                return err_set(e, ERR_INVALID, "the S3 region \"%.40s\" is not usable", region);
        s->region = mem_strdup(region);
        return s->region ? s3_identity_open(s, o, e) : err_oom(e);
}

static int read_settings(struct s3 *s, const struct storage_opts *opts, struct err *e)
{
        const struct storage_s3_opts *o = &opts->s3;
        struct span rest = span_of(opts->url + 5), bucket = {0};

        span_cut(&rest, '/', &bucket);
        if (set_credentials(s, o, e) || set_bucket(s, bucket, o->bucket, e) || set_prefix(s, rest, e) ||
            set_root(s, o, e) || set_place(s, e))
                return -1;
        if (!is_given(o->spool_path))
                return err_set(e, ERR_INVALID, "the spool path of the S3 storage is empty");
        s->spool_path = mem_strdup(o->spool_path);
        if (!s->spool_path)
                return err_oom(e);
        s->spool_max = o->spool_max_bytes ? o->spool_max_bytes : SPOOL_DEFAULT;
        s->multipart_from = o->multipart_from ? o->multipart_from : (uint64_t)64 << 20;
        s->part_size = o->part_size ? o->part_size : (uint64_t)16 << 20;
        s->write_back = o->write_back;
        return 0;
}

/* ---- opening ---------------------------------------------------------------------- */

static int write_sentinel(struct s3 *s, struct err *e)
{
        char text[128], id[ID_TEXT_LEN];
        struct httpc_response r;
        int n = snprintf(text, sizeof text, "file-allocator storage 1\ninstallation %s\n", id_format(id_new(), id));
        int rc = fault_err(FAULT("storage.sentinel"), "cannot write the sentinel", e);

        if (rc < 0)
                return rc;
        rc = s3_do(s, &(struct s3_request){.method = "PUT", .key = S3_SENTINEL, .body = {text, (size_t)n}}, &r, e);

        if (rc == 0 && r.status != 200 && r.status != 201)
                rc = s3_refused(&r, "cannot write", S3_SENTINEL, e);
        httpc_response_done(&r);
        return rc == 0 ? fault_err(FAULT("storage.sentinel.after"), "cannot write the sentinel", e) : rc;
}

static int check_sentinel(struct s3 *s, const struct storage_opts *o, struct err *e)
{
        struct httpc_response r;
        struct err why = {0};
        int rc = s3_do(s, &(struct s3_request){.method = "GET", .key = S3_SENTINEL}, &r, &why);

        if (rc == 0 && r.status != 200)
                rc = s3_refused(&r, "cannot read", S3_SENTINEL, &why);
        httpc_response_done(&r);
        if (rc < 0 && why.code == ERR_NOT_FOUND) {
                if (o->read_only)
                        return err_set(e, ERR_NOT_FOUND, "%.120s is no storage: it holds no %s", s->place, S3_SENTINEL);
                if (o->expect_content)
                        return err_set(e, ERR_CONFLICT,
                                       "%.120s holds no %s although the catalog knows objects: is it the right bucket "
                                       "and prefix?",
                                       s->place, S3_SENTINEL);
                return write_sentinel(s, e);
        }
        if (rc < 0 && e)
                *e = why;
        return rc;
}

static int s3_open(const struct storage_opts *opts, struct storage **out, struct err *e)
{
        struct s3 *s = mem_calloc(1, sizeof *s);
        int rc = -1;

        if (!s)
                return err_oom(e);
        s->base.ops = &storage_s3_ops;
        s->spool = s->waiting = -1;
        s->last = &s->first;
        lock_init(&s->lock, "storage s3", RANK_STORAGE);
        lock_init(&s->syncing, "storage s3 sync", RANK_STORAGE);
        cond_init(&s->changed);
        cond_init(&s->work);
        if (read_settings(s, opts, e) || s3_spool_open(s, e) || s3_back_open(s, e) || check_sentinel(s, opts, e) ||
            s3_send_start(s, e))
                goto out;
        s->reachable = true;
        s->state_until = mono_add(mono_now(), dur_s(PROBE_SECONDS));
        *out = (struct storage *)s;
        s = NULL; /* the caller's now */
        rc = 0;
out:
        s3_close((struct storage *)s);
        return rc;
}

static void s3_close(struct storage *base)
{
        struct s3 *s = (struct s3 *)base;

        if (!s)
                return;
        s3_send_stop(s);
        s3_back_close(s);
        s3_spool_close(s);
        while (s->nidle > 0)
                httpc_free(s->idle[--s->nidle]);
        cond_done(&s->work);
        cond_done(&s->changed);
        lock_done(&s->syncing);
        lock_done(&s->lock);
        mem_free(s->bucket);
        mem_free(s->prefix);
        mem_free(s->place);
        mem_free(s->root);
        mem_free(s->region);
        mem_free(s->role_url);
        mem_free(s->role_token);
        mem_free(s->spool_path);
        mem_free(s);
}

/* ---- objects ------------------------------------------------------------------------ */

static bool s3_has_object(struct storage *base, struct sha256 key)
{
        struct s3 *s = (struct s3 *)base;
        char path[S3_KEY_MAX];
        uint64_t size;
        int fd, found = s3_back_find(s, key, &fd, &size, NULL);

        fd_close(&fd);
        s3_object_key(key, path);
        return found > 0 || s3_head(s, path, &size, NULL) == 0;
}

struct removal {
        struct s3 *s;
        struct sha256 key;
};

/* Keys that this program cannot have written are left alone. */
static int remove_found(void *ctx, const struct storage_found *f, struct err *e)
{
        const struct removal *r = ctx;
        char path[S3_KEY_MAX];

        if (!storage_derived_named(f->path))
                return 0;
        s3_derived_key(r->key, f->path, path);
        return s3_remove_key(r->s, path, e);
}

static int remove_derived(struct s3 *s, struct sha256 key, struct err *e)
{
        char folder[S3_KEY_MAX];

        s3_derived_key(key, "", folder);
        s3_copy_drop(s, folder);
        return s3_list_keys(s, folder, remove_found, &(struct removal){s, key}, e);
}

static int s3_remove_object(struct storage *base, struct sha256 key, struct err *e)
{
        struct s3 *s = (struct s3 *)base;
        char path[S3_KEY_MAX];
        struct s3_claim claim;
        int rc;

        s3_object_key(key, path);
        if (fault_err(FAULT("storage.remove"), "cannot remove an object", e))
                return -1;
        s3_claim(s, &claim, path);
        s3_copy_drop(s, path);
        rc = s3_back_remove(s, key, e) || remove_derived(s, key, e) || s3_remove_key(s, path, e) ? -1 : 0;
        s3_unclaim(s, &claim);
        return rc == 0 ? fault_err(FAULT("storage.remove.after"), "cannot remove an object", e) : rc;
}

/* ---- state ---------------------------------------------------------------------------- */

static bool probe_store(struct s3 *s, char *note, size_t n)
{
        struct httpc_response r;
        struct err e = {.msg = ""};
        int rc = s3_do(s, &(struct s3_request){.method = "HEAD", .key = S3_SENTINEL, .probe = true}, &r, &e);

        if (rc == 0 && r.status != 200)
                rc = s3_refused(&r, "cannot find", S3_SENTINEL, &e);
        httpc_response_done(&r);
        snprintf(note, n, "%.*s", (int)n - 1, e.msg);
        return rc == 0;
}

/* One caller asks the store, the others use the previous answer. */
static void refresh_state(struct s3 *s)
{
        char note[sizeof s->note];
        bool mine, reachable;

        lock_take(&s->lock);
        mine = !s->probing && mono_reached(s->state_until);
        if (mine)
                s->probing = true;
        lock_drop(&s->lock);
        if (!mine)
                return;
        reachable = probe_store(s, note, sizeof note);
        lock_take(&s->lock);
        s->reachable = reachable;
        memcpy(s->note, note, sizeof note);
        s->state_until = mono_add(mono_now(), dur_s(PROBE_SECONDS));
        s->probing = false;
        lock_drop(&s->lock);
}

static void s3_state(struct storage *base, struct storage_state *out)
{
        struct s3 *s = (struct s3 *)base;
        struct statvfs v;
        uint64_t taken, room;

        refresh_state(s);
        lock_take(&s->lock);
        out->writable = s->write_back ? atomic_load(&s->sync_errno) == 0 : s->reachable;
        if (s->write_back && !out->writable)
                snprintf(out->note, sizeof out->note, "a sync of the spool failed: no more uploads are acknowledged");
        else
                memcpy(out->note, *s->note ? s->note : s->trouble, sizeof out->note);
        s3_back_state(s, out);
        taken = s->used - s->copied; /* copies give way */
        room = taken < s->spool_max ? s->spool_max - taken : 0;
        lock_drop(&s->lock);
        if (fstatvfs(s->spool, &v) == 0) {
                uint64_t total = (uint64_t)v.f_blocks * v.f_frsize, available = (uint64_t)v.f_bavail * v.f_frsize;
                out->total_bytes = total < s->spool_max ? total : s->spool_max;
                out->free_bytes = available < room ? available : room;
                if (out->free_bytes > out->total_bytes)
                        out->free_bytes = out->total_bytes;
        }
}
