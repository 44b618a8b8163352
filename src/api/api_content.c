/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an asset and its pictures. Content types come from our own sniffing, never from the client. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "catalog/catalog_asset.h"
#include "log/log.h"

static bool inline_safe(const char *mime)
{
        static const char *const shown[] = {
                "image/jpeg",     "image/png",   "image/webp", "image/gif",       "image/avif",      "image/heic",
                "image/heif",     "image/tiff",  "video/mp4",  "video/quicktime", "video/webm",      "video/ogg",
                "video/mpeg",     "video/mp2t",  "video/3gpp", "video/x-m4v",     "video/x-msvideo", "video/x-matroska",
                "video/x-ms-asf", "video/x-flv", "audio/mpeg", "audio/mp4",       "audio/aac",       "audio/ogg",
                "audio/flac",     "audio/wav",   "audio/aiff", "audio/amr",       "audio/midi",
        };
        for (size_t i = 0; i < COUNT_OF(shown); i++)
                if (!strcmp(mime, shown[i]))
                        return true;
        return false;
}

/* The type of a stored file as told to a browser: anything it could run in this origin becomes plain bytes. */
static const char *served_type(const char *mime)
{
        if (inline_safe(mime))
                return mime;
        if (!strncmp(mime, "text/", 5))
                return "text/plain; charset=utf-8";
        static const char *const kept[] = {"application/pdf", "application/zip", "application/json",
                                           "application/gzip"};
        for (size_t i = 0; i < COUNT_OF(kept); i++)
                if (!strcmp(mime, kept[i]))
                        return mime;
        if (!strncmp(mime, "application/vnd.", 16) || !strcmp(mime, "application/msword"))
                return mime;
        return "application/octet-stream";
}

static bool load_asset(struct http_request *r, struct asset *a)
{
        struct id id;
        struct err e;
        if (!arg_id(r, "id", &id))
                return false;
        if (catalog_asset_get(api_of(r)->o.catalog, id, bound_owner(r), http_arena(r), a, &e)) {
                http_reply_err(r, &e);
                return false;
        }
        return true;
}

static int64_t read_object(void *state, uint64_t offset, char *out, size_t n)
{
        struct err e;
        int64_t got = storage_read_at(state, offset, out, n, &e);
        if (got < 0)
                log_warning("api", "a download breaks off: %s", e.msg);
        return got;
}

static void end_object(void *state)
{
        storage_read_end(state);
}

void get_content(struct http_request *r)
{
        struct asset a;
        struct err e;
        int fd;
        struct storage_read *stream;
        char etag[SHA256_TEXT_LEN];
        bool download;
        if (!load_asset(r, &a) || !arg_bool(r, "download", false, &download))
                return;
        if (storage_read_begin(api_of(r)->o.storage, a.sha256, a.size, &fd, &stream, &e)) {
                /*
                 * The catalog knows the object and the store does not: that is the server's fault, not a wrong
                 * address.
                 */
                if (e.code == ERR_NOT_FOUND)
                        e.code = ERR_IO;
                http_reply_err(r, &e);
                return;
        }
        struct http_content c = {.fd = fd,
                                 .read = read_object,
                                 .free = end_object,
                                 .state = stream,
                                 .size = a.size,
                                 .content_type = served_type(a.content_type),
                                 .etag = sha256_format(a.sha256, etag),
                                 .filename = a.filename,
                                 .attachment = download || !inline_safe(a.content_type),
                                 .cache_control = "private, max-age=31536000, immutable",
                                 .modified = a.created};
        http_reply_content(r, &c);
}

/* thumb, preview, or a number of pixels: the smaller product that is large enough. */
static bool wants_preview(struct http_request *r, bool *preview)
{
        const char *v = http_query(r, "size");
        uint64_t px;
        *preview = false;
        if (!v || !strcmp(v, "thumb"))
                return true;
        if (!strcmp(v, "preview")) {
                *preview = true;
                return true;
        }
        if (!span_u64(span_of(v), &px) || px < 1 || px > 16384) {
                http_reply_error(r, 400, "invalid", NULL,
                                 "size: '%.40s' is not thumb, preview or a number from 1 to 16384", v);
                return false;
        }
        const struct api_opts *o = &api_of(r)->o;
        *preview = llabs((long long)px - (long long)o->preview_size) < llabs((long long)px - (long long)o->thumb_size);
        return true;
}

static void reply_no_thumbnail(struct http_request *r, const struct asset *a)
{
        http_reply_error(r, 404, "no_thumbnail", NULL, "no thumbnail: the file is %s%s%s", asset_status_name(a->status),
                         a->analysis_note ? "; " : "", a->analysis_note ? a->analysis_note : "");
}

/* The first of its products whose name begins so and that is a picture. */
static bool find_picture(const struct asset *a, const char *prefix, char name[STORAGE_DERIVED_NAME_LEN])
{
        struct span rest = span_of(a->products), one;
        while (product_next(&rest, &one)) {
                snprintf(name, STORAGE_DERIVED_NAME_LEN, "%.*s", (int)one.n, one.p);
                const char *type = ingest_product_type(name);
                if (!strncmp(name, prefix, strlen(prefix)) && type && !strncmp(type, "image/", 6))
                        return true;
        }
        return false;
}

void get_thumbnail(struct http_request *r)
{
        struct asset a;
        struct err e;
        bool preview;
        int fd;
        uint64_t size;
        char etag[SHA256_TEXT_LEN + 2], hex[SHA256_TEXT_LEN], name[STORAGE_DERIVED_NAME_LEN];
        if (!load_asset(r, &a) || !wants_preview(r, &preview))
                return;
        /* What was made of the bytes belongs to this file once it was looked at itself: before, it may come from
         * another owner's. */
        if (!find_picture(&a, preview ? "preview." : "thumb.", name) && !find_picture(&a, "", name)) {
                reply_no_thumbnail(r, &a);
                return;
        }
        if (storage_open_derived(api_of(r)->o.storage, a.sha256, name, &fd, &size, &e)) {
                if (e.code == ERR_NOT_FOUND)
                        reply_no_thumbnail(r, &a);
                else
                        http_reply_err(r, &e);
                return;
        }
        snprintf(etag, sizeof etag, "%c%s", preview ? 'p' : 't', sha256_format(a.sha256, hex));
        struct http_content c = {.fd = fd,
                                 .size = size,
                                 .content_type = ingest_product_type(name),
                                 .etag = etag,
                                 .cache_control = "private, max-age=86400"};
        http_reply_content(r, &c);
}
