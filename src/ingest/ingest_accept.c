/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepts one upload request, part by part. Files have temporary names until every part has arrived; the first bad
 * part fails the whole request, and ingest_free removes all of it.
 */
#include <string.h>

#include "ingest/ingest_priv.h"
#include "catalog/catalog.h"
#include "catalog/catalog_asset.h"
#include "catalog/catalog_ingest.h"
#include "catalog/catalog_upkeep.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define MAX_TAGS          100
#define MAX_TAG_BYTES     100
#define MAX_COMMENT_BYTES 10000
#define MAX_KEY_BYTES     255
#define REMOVAL_TRIES     8 /* 3 s in total */
#define REMOVAL_MS        20

struct file_part {
        struct storage_put *put;
        struct stored stored;
        struct new_asset asset;
};

struct ingest_request {
        struct ingest *ing;
        struct arena *arena;
        const char *bound_owner, *key_id;
        const char *owner, *comments, *folder, *idempotency_key;
        const char *tags[MAX_TAGS];
        size_t ntags;
        struct file_part *files;
        size_t nfiles, cap;
        struct sha256_ctx *content; /* over names, values, file names and hashes, in their order */
        /* the file being received */
        bool open;
        const char *filename, *hint;
        char *head; /* SNIFF_HEAD bytes, one for the request */
        size_t head_len;
};

int ingest_begin(struct ingest *ing, const struct ingest_caller *who, struct ingest_request **out, struct err *e)
{
        if (catalog_room(ing->o.catalog, e))
                return -1;
        struct ingest_request *r = mem_calloc(1, sizeof *r);
        if (!r)
                return err_oom(e);
        r->ing = ing;
        r->arena = arena_new(4 << 20);
        r->content = sha256_new();
        r->head = mem_alloc(SNIFF_HEAD);
        if (!r->arena || !r->content || !r->head) {
                ingest_free(r);
                return err_oom(e);
        }
        r->bound_owner = who->owner && *who->owner ? arena_strdup(r->arena, who->owner) : NULL;
        r->key_id = arena_strdup(r->arena, who->key_id ? who->key_id : "");
        if (who->idempotency_key && ingest_field(r, "idempotency_key", span_of(who->idempotency_key), e)) {
                ingest_free(r);
                return -1;
        }
        *out = r;
        return 0;
}

static bool has_control(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if ((unsigned char)s.p[i] < 0x20 && s.p[i] != '\n' && s.p[i] != '\r' && s.p[i] != '\t')
                        return true;
        return false;
}

static int check_text(const char *name, struct span v, size_t max, struct err *e)
{
        if (v.n > max)
                return err_set(e, ERR_INVALID, "%s: %zu bytes, at most %zu are allowed", name, v.n, max);
        if (!utf8_valid(v) || has_control(v))
                return err_set(e, ERR_INVALID, "%s: must be UTF-8 without control characters", name);
        return 0;
}

static int set_owner(struct ingest_request *r, struct span v, struct err *e)
{
        if (v.n == 0)
                return 0;
        if (!owner_valid(v))
                return err_set(e, ERR_INVALID,
                               "owner: '%.*s' is not 1-64 of A-Z a-z 0-9 . _ @ - (not beginning with a dot)",
                               (int)(v.n < 80 ? v.n : 80), utf8_valid(v) && !has_control(v) ? v.p : "?");
        if (r->bound_owner && !span_eq(v, r->bound_owner))
                return err_set(e, ERR_FORBIDDEN, "owner: this key may write only as '%s'", r->bound_owner);
        r->owner = arena_strndup(r->arena, v);
        return r->owner ? 0 : err_oom(e);
}

static int add_tags(struct ingest_request *r, struct span v, struct err *e)
{
        struct span part;
        while (span_cut(&v, ',', &part)) {
                part = span_trim(part);
                if (part.n == 0)
                        continue;
                if (check_text("tags", part, MAX_TAG_BYTES, e))
                        return -1;
                if (r->ntags == MAX_TAGS)
                        return err_set(e, ERR_INVALID, "tags: more than %d in one request", MAX_TAGS);
                r->tags[r->ntags] = arena_strndup(r->arena, part);
                if (!r->tags[r->ntags])
                        return err_oom(e);
                r->ntags++;
        }
        return 0;
}

static int set_text(struct ingest_request *r, const char **field, const char *name, struct span v, size_t max,
                    struct err *e)
{
        if (check_text(name, v, max, e))
                return -1;
        if (v.n == 0)
                return 0;
        *field = arena_strndup(r->arena, v);
        return *field ? 0 : err_oom(e);
}

static int set_folder(struct ingest_request *r, struct span v, struct err *e)
{
        char clean[NAME_MAX_BYTES + 1];
        v = span_trim(v);
        if (v.n == 0)
                return 0;
        if (check_text("folder", v, NAME_MAX_BYTES, e) || filename_clean(v, clean, e))
                return -1;
        if (!span_eq(v, clean))
                return err_set(e, ERR_INVALID, "folder: '%.60s' must not contain path parts or control characters",
                               v.p);
        r->folder = arena_strndup(r->arena, v);
        return r->folder ? 0 : err_oom(e);
}

static int set_key(struct ingest_request *r, struct span v, struct err *e)
{
        if (v.n == 0)
                return err_set(e, ERR_INVALID, "idempotency_key: empty; 1 to %d bytes are allowed", MAX_KEY_BYTES);
        const char *key = NULL;
        if (set_text(r, &key, "idempotency_key", v, MAX_KEY_BYTES, e))
                return -1;
        if (r->idempotency_key && strcmp(r->idempotency_key, key))
                return err_set(e, ERR_INVALID, "idempotency_key: the header and the field differ");
        r->idempotency_key = key;
        return 0;
}

static void hash_part(struct ingest_request *r, const char *name, const void *p, size_t n)
{
        uint64_t len = n;
        sha256_update(r->content, name, strlen(name) + 1);
        sha256_update(r->content, &len, sizeof len);
        sha256_update(r->content, p, n);
}

int ingest_field(struct ingest_request *r, const char *name, struct span v, struct err *e)
{
        if (!strcmp(name, "idempotency_key"))
                return set_key(r, v, e);
        hash_part(r, name, v.p, v.n);
        if (!strcmp(name, "owner"))
                return set_owner(r, v, e);
        if (!strcmp(name, "comments"))
                return set_text(r, &r->comments, name, v, MAX_COMMENT_BYTES, e);
        if (!strcmp(name, "tags") || !strcmp(name, "tags[]"))
                return add_tags(r, v, e);
        if (!strcmp(name, "folder"))
                return set_folder(r, v, e);
        if (!strcmp(name, "payload"))
                return err_set(e, ERR_UNSUPPORTED,
                               "payload: JSON documents are not accepted by this version; send them as files");
        return err_set(e, ERR_INVALID,
                       "unknown field '%.60s'; allowed: files, owner, comments, tags, folder, idempotency_key", name);
}

int ingest_file_begin(struct ingest_request *r, const char *filename, const char *content_type, struct err *e)
{
        char clean[NAME_MAX_BYTES + 1];
        assert(!r->open);
        if (filename_clean(span_of(filename), clean, e))
                return -1;
        if (mem_grow((void **)&r->files, &r->cap, r->nfiles + 1, sizeof *r->files))
                return err_oom(e);
        struct file_part *f = &r->files[r->nfiles];
        memset(f, 0, sizeof *f);
        r->filename = arena_strdup(r->arena, clean);
        r->hint = content_type ? arena_strdup(r->arena, content_type) : "";
        if (!r->filename || !r->hint)
                return err_oom(e);
        if (storage_put_begin(r->ing->o.storage, &f->put, e))
                return -1;
        r->nfiles++;
        r->head_len = 0;
        r->open = true;
        return 0;
}

int ingest_file_data(struct ingest_request *r, struct span bytes, struct err *e)
{
        assert(r->open);
        struct file_part *f = &r->files[r->nfiles - 1];
        if (bytes.n > r->ing->o.max_file_size - storage_put_size(f->put))
                return err_set(e, ERR_TOO_LARGE, "file '%.80s' is larger than MAX_FILE_SIZE (%llu bytes)", r->filename,
                               (unsigned long long)r->ing->o.max_file_size);
        if (r->head_len < SNIFF_HEAD) {
                size_t n = SNIFF_HEAD - r->head_len < bytes.n ? SNIFF_HEAD - r->head_len : bytes.n;
                memcpy(r->head + r->head_len, bytes.p, n);
                r->head_len += n;
        }
        return storage_put_write(f->put, bytes.p, bytes.n, e);
}

/* The tail is read for ZIP only, whose directory lies at the end of the file. */
static int sniff_part(struct ingest_request *r, struct file_part *f, struct sniff_type *type, struct err *e)
{
        uint64_t size = storage_put_size(f->put);
        struct sniff_input in = {.head = {r->head, r->head_len},
                                 .size = size,
                                 .name = span_of(r->filename),
                                 .content_type = span_of(r->hint)};
        char *tail = NULL;
        if (r->head_len >= 4 && !memcmp(r->head, "PK\3\4", 4) && size > r->head_len) {
                size_t n = size < SNIFF_TAIL ? (size_t)size : SNIFF_TAIL;
                tail = mem_alloc(n);
                if (!tail)
                        return err_oom(e);
                int64_t got = storage_put_peek(f->put, size - n, tail, n, e);
                if (got < 0) {
                        mem_free(tail);
                        return -1;
                }
                in.tail = (struct span){tail, (size_t)got};
        }
        *type = sniff(&in);
        mem_free(tail);
        return 0;
}

int ingest_file_end(struct ingest_request *r, struct err *e)
{
        assert(r->open);
        r->open = false;
        struct file_part *f = &r->files[r->nfiles - 1];
        struct sniff_type type;
        if (sniff_part(r, f, &type, e) || storage_put_seal(f->put, &f->stored, e))
                return -1;
        f->asset = (struct new_asset){.id = id_new(), .filename = r->filename, .sha256 = f->stored.sha256};
        pipeline_classify(r->ing, &type, f->stored.size, &f->asset, r->arena);
        hash_part(r, "files", r->filename, strlen(r->filename));
        hash_part(r, "sha256", f->stored.sha256.b, sizeof f->stored.sha256.b);
        return 0;
}

static struct new_job job_of(struct ingest_request *r, struct new_asset *assets)
{
        struct new_job job = {
                .id = id_new(),
                .owner = r->owner         ? r->owner
                         : r->bound_owner ? r->bound_owner
                                          : DEFAULT_OWNER,
                .comments = r->comments,
                .tags = r->tags,
                .ntags = r->ntags,
                .folder = r->folder,
                .created = wall_now(),
                .assets = assets,
                .nassets = r->nfiles,
                .idempotency_scope = r->key_id,
                .idempotency_key = r->idempotency_key,
                .content_hash = sha256_final(r->content),
        };
        for (size_t i = 0; i < r->nfiles; i++)
                assets[i] = r->files[i].asset;
        return job;
}

/* An object that is being removed at this moment can be stored again shortly. */
static int add_job_retrying(struct ingest_request *r, const struct new_job *job, struct arena *a,
                            struct job_receipt *out, struct err *e)
{
        for (int tried = 0;; tried++) {
                if (catalog_ingest(r->ing->o.catalog, job, a, out, e) == 0)
                        return 0;
                if (e->code != ERR_STALE)
                        return -1;
                if (tried == REMOVAL_TRIES)
                        return err_set(e, ERR_BUSY, "%s; try again", e->msg);
                sleep_for(dur_ms((int64_t)REMOVAL_MS << (tried < 5 ? tried : 5)));
        }
}

/*
 * From here on no collector removes the objects; one may have done so between their commit and the catalog's
 * transaction.
 */
static int ensure_objects(struct ingest_request *r, const struct job_receipt *out, struct err *e)
{
        for (size_t i = 0; i < r->nfiles; i++) {
                bool damaged = out->damaged && out->damaged[i];
                if (storage_put_ensure(r->files[i].put, damaged, e))
                        return -1;
                if (damaged && catalog_object_mended(r->ing->o.catalog, r->files[i].stored.sha256, e))
                        return -1;
        }
        return 0;
}

/*
 * Repeats the answer of an earlier request, which may have ended between its transaction and its check of the bytes.
 * Assets that were deleted since stay deleted.
 */
static int ensure_replayed(struct ingest_request *r, const struct job_receipt *out, struct arena *a, struct err *e)
{
        struct asset *left;
        size_t n;
        bool missing = false;
        for (size_t i = 0; i < r->nfiles; i++)
                missing |= !storage_has_object(r->ing->o.storage, r->files[i].asset.sha256);
        if (!missing)
                return 0;
        if (catalog_asset_get_many(r->ing->o.catalog, out->assets, out->nassets, NULL, a, &left, &n, e))
                return -1;
        return n == out->nassets ? ensure_objects(r, out, e) : 0;
}

/*
 * The final names come first, then the catalog, then a check of the objects: a crash before the second step leaves an
 * object nobody refers to, one before the third at worst an asset whose upload was not acknowledged.
 */
static int keep_upload(struct ingest_request *r, const struct new_job *job, struct arena *a, struct job_receipt *out,
                       struct err *e)
{
        struct err why;
        for (size_t i = 0; i < r->nfiles; i++)
                if (storage_put_commit(r->files[i].put, &r->files[i].stored, e))
                        return -1;
        int fault = FAULT("ingest.committed");
        if (fault)
                return err_errno(e, fault, "cannot accept");
        if (add_job_retrying(r, job, a, out, e))
                return -1;
        if (out->replayed)
                return ensure_replayed(r, out, a, e);
        fault = FAULT("ingest.referred");
        if (fault || ensure_objects(r, out, e)) {
                if (fault)
                        err_errno(e, fault, "cannot accept");
                if (catalog_ingest_undo(r->ing->o.catalog, job->id, &why))
                        log_error("ingest", "a rejected upload remains in the catalog, perhaps without its bytes: %s",
                                  why.msg);
                return -1;
        }
        return 0;
}

int ingest_commit(struct ingest_request *r, struct arena *a, struct job_receipt *out, struct err *e)
{
        if (r->nfiles == 0)
                return err_set(e, ERR_INVALID, "neither files nor payload: send at least one part named 'files'");
        struct new_asset *assets = arena_array(r->arena, r->nfiles, sizeof *assets);
        if (!assets)
                return err_oom(e);
        struct new_job job = job_of(r, assets);
        if (job.idempotency_key) {
                /* A repeated request writes nothing. */
                int found = catalog_idempotency_find(r->ing->o.catalog, &job, a, out, e);
                if (found)
                        return found < 0 ? -1 : ensure_replayed(r, out, a, e);
        }
        if (keep_upload(r, &job, a, out, e))
                return -1;
        unsigned tasks = 0;
        for (size_t i = 0; i < r->nfiles; i++)
                tasks += assets[i].purposes >> PURPOSE_ANALYSE & 1;
        if (tasks && !out->replayed)
                queue_wake(r->ing->o.queue, PURPOSE_ANALYSE, tasks);
        return 0;
}

void ingest_free(struct ingest_request *r)
{
        if (!r)
                return;
        for (size_t i = 0; i < r->nfiles; i++)
                storage_put_end(r->files[i].put);
        mem_free(r->files);
        mem_free(r->head);
        sha256_free(r->content);
        arena_free(r->arena);
        mem_free(r);
}
