/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The truth: jobs, assets, tasks, folders, vectors, history. One interface for
 * both engines; functions block, are thread-safe, and either do all of what
 * they say, durably, or nothing.
 *
 * Results are allocated in the caller's arena and live as long as it. Every
 * write that ends a task's step carries the task's fencing token and returns
 * ERR_STALE when the lease is gone.
 */
#ifndef FA_CATALOG_H
#define FA_CATALOG_H

#include "catalog/catalog_part.h"
#include "model/model.h"

struct catalog;
struct migration_watch;

struct catalog_opts {
        const char *url;       /* "sqlite:///abs/path/catalog.db" or "postgresql://…" (libpq's form) */
        const char *data_path; /* for the vector cache, <data>/vector/<model_id>.i8 */
        struct dur idempotency_ttl;
        unsigned phash_distance; /* near duplicates: Hamming distance below this; 0 = off */
        uint64_t queue_max_depth;
        uint64_t min_free;                   /* SQLite: see catalog_room; 0: none */
        float folder_threshold;              /* similarity, of folders that an ingest makes; 0: 0.72 */
        const struct migration_watch *watch; /* of the migrations that opening runs; NULL: nobody watches */
        /* PostgreSQL only; 0 and NULL stand for the default in brackets. */
        const char *db_password;    /* instead of the url's */
        unsigned db_pool_size;      /* connections kept open (10) */
        unsigned db_max_overflow;   /* and so many more for a while (20); UINT_MAX: none */
        struct dur db_pool_timeout; /* past it, waiting for a connection ends in ERR_BUSY (5 s) */
        uint64_t vector_exact_max;  /* vectors a filter may leave to be searched without the index (20,000) */
};

/* Applies migrations under a lock (catalog_migrate.h), refuses a catalog from a newer program, starts the writer. */
int catalog_open(const struct catalog_opts *opts, struct catalog **out, struct err *e) MUST_CHECK;
void catalog_close(struct catalog *c); /* waits for queued writes; NULL is fine */

/*
 * Vectors of this model id are searched from now on, besides those of up to
 * seven others (ERR_INVALID). Loads them (from the cache file when its epoch
 * fits, else from the rows) on a thread of its own; until then searches among
 * them return ERR_UNAVAILABLE "warming". Again for the same model: loads it anew.
 */
int catalog_use_model(struct catalog *c, const char *model_id, uint32_t dim, struct err *e) MUST_CHECK;
bool catalog_warm(struct catalog *c); /* there is a model in use, and all of them are loaded */

struct catalog_state {
        const char *engine; /* "sqlite", "postgresql" */
        bool ok;
        unsigned pool_size, overflow, max, in_use, idle, waiting; /* overflow: open past pool_size; max: ever open */
        double latency_ms;                                        /* of a trivial read just done */
        char note[160];
};
void catalog_state(struct catalog *c, struct catalog_state *out);
/*
 * Before it takes more: ERR_NO_SPACE when less than min_free is left for it,
 * on its volume and of what deleted rows have left inside the file. So room
 * remains to delete, which is a write as well. PostgreSQL sees to its own.
 */
int catalog_room(struct catalog *c, struct err *e) MUST_CHECK;

/* ---- ingest ---------------------------------------------------------------------- */

struct new_asset {
        struct id id;
        enum asset_kind kind;
        enum job_type type;
        const char *filename, *content_type;
        struct sha256 sha256;
        uint64_t size;
        bool has_task;             /* false: it is stored and that is all; the asset is done */
        const char *analysis_note; /* why there is no task although the type is known, or NULL */
};

struct new_job {
        struct id id;
        const char *owner, *comments;
        const char *const *tags; /* human tags */
        size_t ntags;
        const char *folder; /* put the files there, created if new; NULL none */
        struct wall created;
        const struct new_asset *assets;
        size_t nassets;
        const char *idempotency_scope; /* key id of the caller; "" = anonymous */
        const char *idempotency_key;   /* NULL none */
        struct sha256 content_hash;    /* of the request, compared on a repeat */
};

struct job_receipt {
        struct id job_id;
        struct wall created;
        bool replayed; /* the same idempotency key came before with the same content: its answer again */
        struct id *assets;
        size_t nassets;
        struct duplicate {
                struct id asset, of; /* an older asset of the same owner with the same bytes, not in the trash */
        } * duplicates;
        size_t nduplicates;
        const bool *damaged; /* an asset's object is known to be: put its bytes anew. NULL when replayed */
        bool other_content;  /* refused: the idempotency key was used with other content, by job_id at created */
};

/*
 * One transaction: job, objects, assets, tasks, tags, lineage, idempotency.
 * ERR_CONFLICT with receipt->other_content: the key was used with other content, by receipt->job_id.
 * ERR_BUSY: queue_max_depth tasks are waiting already. ERR_STALE: the bytes of a file are being removed at this
 * moment; put them again and come again. Once it returned 0 nobody removes them, but somebody may have before: the
 * caller looks, and calls catalog_ingest_undo if it cannot put them again.
 */
int catalog_ingest(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                   struct err *e) MUST_CHECK;
/* The job with all it brought is gone, and its idempotency key free. */
int catalog_ingest_undo(struct catalog *c, struct id job, struct err *e) MUST_CHECK;
/* Only the look-up of an idempotency key: 1 found (receipt filled), 0 not, -1 error or conflict as above. */
int catalog_idempotency_find(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                             struct err *e);

/* ---- tasks ------------------------------------------------------------------------ */

/* 1: *out leased to worker; 0: nothing ready among types (bit 1<<job_type); -1 error. Asset becomes processing. */
int catalog_task_claim(struct catalog *c, const char *worker, struct dur lease, uint32_t types, struct arena *a,
                       struct task *out, struct err *e);
int catalog_task_extend(struct catalog *c, const struct task *t, struct dur lease, struct err *e) MUST_CHECK;
/* Hand a lease back uncounted, to be ready again after delay. Stale is not an error here. */
int catalog_task_release(struct catalog *c, const struct task *t, struct dur delay, struct err *e) MUST_CHECK;

struct task_failure {
        const char *stage;
        enum err_code code;
        const char *reason;
        bool crash;           /* counts as a crash, not as an error */
        bool dead;            /* to the DLQ now */
        struct wall retry_at; /* when not dead */
};
int catalog_task_fail(struct catalog *c, const struct task *t, const struct task_failure *f, struct err *e) MUST_CHECK;
/* Leases that ran out: back to ready with the crash counted, or dead at max_crashes. Returns how many moved, or -1. */
int catalog_task_expire(struct catalog *c, unsigned max_crashes, struct err *e);
/* Tasks ready now among types, and when the next one becomes ready (us 0: none). */
int catalog_task_ready(struct catalog *c, uint32_t types, uint64_t *now, struct wall *next, struct err *e) MUST_CHECK;

enum placement_kind { PLACE_UNSORTED, PLACE_ASSIGN, PLACE_FOUND, PLACE_KEEP };

struct placement {
        enum placement_kind kind; /* KEEP: a person or the ingest decided already */
        struct id cluster_id;     /* ASSIGN: existing; FOUND: the new one's */
        float similarity;
        const char *name;         /* FOUND: wished name; made unique by adding " 2", " 3" … */
        float threshold;          /* FOUND */
        const struct id *members; /* FOUND: other assets, unsorted until now */
        const float *member_similarity;
        size_t nmembers;
        const char *why; /* for lineage: "0.81 to Cats, second 0.40" */
        uint64_t seen;   /* catalog_placing_version as it was before the decision; 0: do not check */
};

struct task_result {
        const struct task *task;
        const char *metadata; /* JSON object text */
        bool has_phash;
        uint64_t phash;
        const struct tag *tags; /* replaces all tags of non-human sources */
        size_t ntags;
        struct part_list parts;
        struct placement placement;
        /* What was made of the object, kept as catalog_step_put would, in the same transaction; step NULL: nothing. */
        const char *step, *step_version;
        struct span step_data;
        const char *products; /* what the storage now holds of the object; NULL: as before */
};
/*
 * The asset is done: metadata, tags, embedding, near duplicates, placement,
 * prototypes, lineage and the task's end in one transaction.
 * ERR_CONFLICT: the placement no longer holds (folder gone or locked, a member
 * was taken); nothing was written: place again. ERR_STALE: the lease is gone.
 */
int catalog_task_complete(struct catalog *c, const struct task_result *r, struct err *e) MUST_CHECK;

/* What a step made of an object, kept for the next asset with the same bytes: key (object, step, version). */
int catalog_step_put(struct catalog *c, struct sha256 object, const char *step, const char *version, struct span data,
                     struct err *e) MUST_CHECK;
/*
 * 1 found, 0 not, -1 error. Only an owner with a second asset of these bytes is given it: how fast a file
 * is done must not tell whether somebody else has it.
 */
int catalog_step_get(struct catalog *c, struct sha256 object, const char *owner, const char *step, const char *version,
                     struct arena *a, struct span *out, struct err *e);

/* ---- jobs and the dead-letter queue -------------------------------------------------- */

enum job_status { JOBS_QUEUED, JOBS_PROCESSING, JOBS_DONE, JOBS_FAILED, JOBS_PARTIAL, JOBS_STATUS_COUNT };
const char *job_status_name(enum job_status s);

struct job_view {
        struct id id;
        const char *owner;
        enum job_status status; /* queued: none begun; failed: all failed; partial: all ended, some failed */
        uint64_t queued, processing, done, failed, total;
        struct wall created, updated, completed; /* completed.us 0: not yet */
        struct asset *assets; /* id filename status stage cluster_id error error_code only; NULL in lists */
        size_t nassets;
};
/* owner NULL: any. ERR_NOT_FOUND also for another owner's. */
int catalog_job_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct job_view *out,
                    struct err *e) MUST_CHECK;
/* Newest first; status -1: any. cursor "" or NULL: from the start. *next is NULL at the end. */
int catalog_job_list(struct catalog *c, const char *owner, int status, unsigned limit, const char *cursor,
                     struct arena *a, struct job_view **out, size_t *n, const char **next, struct err *e) MUST_CHECK;

struct dead_task {
        struct id task_id, job_id, asset_id;
        enum job_type type;
        const char *filename, *owner, *stage, *error, *code;
        unsigned errors, crashes, deliveries;
        struct wall first_failed, last_failed;
        struct task_error {
                const char *stage, *code, *message;
                struct wall at;
                bool crash;
        } * history; /* the newest TASK_ERRORS_MAX, oldest first; only from catalog_dlq_get */
        size_t nhistory;
};
#define TASK_ERRORS_MAX 200
/* stage, owner NULL: any. total counts all that match. */
int catalog_dlq_list(struct catalog *c, const char *owner, const char *stage, unsigned limit, const char *cursor,
                     struct arena *a, struct dead_task **out, size_t *n, uint64_t *total, const char **next,
                     struct err *e) MUST_CHECK;
/* All dead tasks of a job, with history. ERR_NOT_FOUND when it has none, also for another owner's. */
int catalog_dlq_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct dead_task **out,
                    size_t *n, struct err *e) MUST_CHECK;
struct dlq_choice {
        const char *owner;       /* NULL: any */
        const struct id *job;    /* NULL: any */
        const struct id *assets; /* NULL: all of the job */
        size_t n;
        const char *actor;
};
/* Fresh counts of errors and crashes; history stays. *moved: how many. */
int catalog_dlq_retry(struct catalog *c, const struct dlq_choice *which, uint64_t *moved, struct err *e) MUST_CHECK;
/* Drops the DLQ entries; the file and its asset stay (failed, with the error). */
int catalog_dlq_discard(struct catalog *c, const struct dlq_choice *which, uint64_t *moved, struct err *e) MUST_CHECK;

/* ---- assets --------------------------------------------------------------------------- */

struct asset_filter {
        const char *owner;           /* NULL any */
        uint32_t kinds;              /* bits 1<<asset_kind; 0 = all */
        uint32_t statuses;           /* bits 1<<asset_status; 0 = all */
        const struct id *cluster_id; /* NULL any; nil id: unsorted media */
        const char *const *tags;     /* all of them */
        size_t ntags;
        const char *content_type; /* exact, or "image/" prefix when it ends in a slash */
        const struct sha256 *sha256;
        const char *name;          /* substring of the filename, ASCII and Unicode case folded */
        struct wall after, before; /* created, us 0: open */
        bool trashed;              /* only the trash, instead of only the rest */
        uint32_t parts;            /* searches only: bits 1<<part_kind of the parts that are looked at; 0 = all */
};

enum asset_sort { SORT_CREATED_DESC, SORT_CREATED_ASC, SORT_NAME_ASC, SORT_NAME_DESC, SORT_SIZE_DESC, SORT_SIZE_ASC };

struct asset_page {
        struct asset *assets; /* with tags, cluster name; near_duplicates left out */
        size_t n;
        uint64_t total;
        const char *next; /* cursor, NULL at the end */
};
/* No item twice or missed while others are added. A cursor that was not made for this filter and sort, or was tampered
 * with: ERR_INVALID. */
int catalog_asset_list(struct catalog *c, const struct asset_filter *f, enum asset_sort sort, unsigned limit,
                       const char *cursor, struct arena *a, struct asset_page *out, struct err *e) MUST_CHECK;
/* Trash included. */
int catalog_asset_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct asset *out,
                      struct err *e) MUST_CHECK;
/* Many at once, in the order of ids; unknown or foreign ones are left out. */
int catalog_asset_get_many(struct catalog *c, const struct id *ids, size_t n, const char *owner, struct arena *a,
                           struct asset **out, size_t *found, struct err *e) MUST_CHECK;

struct asset_patch {
        const char *filename; /* NULL: leave */
        bool set_comments;
        const char *comments; /* NULL clears */
        bool set_tags;        /* replaces the human tags, and hides nothing else */
        const char *const *tags;
        size_t ntags;
        bool set_cluster;
        struct id cluster_id; /* nil: unsorted; either way pinned */
};
/* A move is an operation that can be undone; its id goes to *operation (may be NULL). */
int catalog_asset_patch(struct catalog *c, struct id id, const char *owner, const struct asset_patch *p,
                        const char *actor, struct id *operation, struct err *e) MUST_CHECK;
int catalog_asset_trash(struct catalog *c, struct id id, const char *owner, const char *actor,
                        struct err *e) MUST_CHECK;
int catalog_asset_restore(struct catalog *c, struct id id, const char *owner, const char *actor,
                          struct err *e) MUST_CHECK;
/* Gone for good. Its object stays for those who collect what no asset refers to. */
int catalog_asset_purge(struct catalog *c, struct id id, const char *owner, const char *actor,
                        struct err *e) MUST_CHECK;
/*
 * A new task for it, of this type (NULL: the one it has), and what was said of a missing analysis is forgotten.
 * Whether there is a pipeline for the asset is the caller's to know. ERR_CONFLICT when a task is under way.
 */
int catalog_asset_reprocess(struct catalog *c, struct id id, const char *owner, const enum job_type *type,
                            const char *actor, struct err *e) MUST_CHECK;

struct lineage_entry {
        struct wall at;
        const char
                *action; /* "accepted" "decoded" "placed" "moved" "renamed" "tagged" "failed" "retried" "trashed" … */
        const char *actor;  /* "service", "user", key id */
        const char *detail; /* JSON object text or NULL */
};
int catalog_lineage(struct catalog *c, struct id asset, const char *owner, struct arena *a, struct lineage_entry **out,
                    size_t *n, struct err *e) MUST_CHECK;

/* ---- search ----------------------------------------------------------------------------- */

struct vector_match {
        struct id asset;
        int64_t part; /* its nearest, see catalog_parts_get */
        enum part_kind kind;
        float cosine; /* exact for the best 128, from int8 or half precision (error below 0.01) behind them */
};
/* The k nearest assets by their nearest part, among what the filter lets through (trash never), best first. Filters
 * before scoring. */
int catalog_vector_search(struct catalog *c, const char *model_id, const float *q, const struct asset_filter *f,
                          size_t k, struct vector_match *out, size_t *n, struct err *e) MUST_CHECK;
/* The whole's vector of a model in use. ERR_NOT_FOUND. */
int catalog_vector_get(struct catalog *c, const char *model_id, struct id asset, float *out, struct err *e) MUST_CHECK;

struct text_match {
        struct id asset;
        float rank; /* smaller is better; nothing of it depends on other owners' texts */
        bool in_filename, in_tags, in_text;
};
/* Full text over names, tags, descriptions and comments; words are prefixes, all must occur. Never a syntax error,
 * whatever the text. */
int catalog_text_search(struct catalog *c, const char *text, const struct asset_filter *f, size_t k,
                        struct text_match *out, size_t *n, struct err *e) MUST_CHECK;

/* ---- folders ------------------------------------------------------------------------------ */

struct prototype_match {
        struct id cluster;
        const char *name; /* in the arena */
        float cosine;
        float threshold; /* similarity */
        uint64_t count;
};
/* The k nearest prototypes of the owner's folders that are not locked, best first. */
int catalog_prototype_search(struct catalog *c, const char *model_id, const char *owner, const float *q, size_t k,
                             struct arena *a, struct prototype_match *out, size_t *n, struct err *e) MUST_CHECK;

struct cluster_filter {
        const char *owner; /* NULL any */
        int status;        /* -1 any */
};
enum cluster_sort { CLUSTERS_BY_NAME, CLUSTERS_BY_COUNT, CLUSTERS_BY_UPDATED, CLUSTERS_BY_CREATED };
int catalog_cluster_list(struct catalog *c, const struct cluster_filter *f, enum cluster_sort sort, unsigned limit,
                         const char *cursor, struct arena *a, struct cluster **out, size_t *n, uint64_t *total,
                         const char **next, struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND; when it was merged away, *survivor (may be NULL) is set and the call still fails with ERR_NOT_FOUND.
 */
int catalog_cluster_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct cluster *out,
                        struct id *survivor, struct err *e) MUST_CHECK;
/* A person's folder: active and touched. ERR_CONFLICT when the owner has one of that name. */
int catalog_cluster_create(struct catalog *c, const char *owner, const char *name, float threshold, const char *actor,
                           struct id *out, struct err *e) MUST_CHECK;
/* Its files become unsorted. */
int catalog_cluster_delete(struct catalog *c, struct id id, const char *owner, const char *actor, struct id *operation,
                           struct err *e) MUST_CHECK;

enum cluster_change_kind { CHANGE_RENAME, CHANGE_THRESHOLD, CHANGE_CONFIRM, CHANGE_LOCK };
struct cluster_change {
        enum cluster_change_kind kind;
        const char *name; /* RENAME: unique per owner, else ERR_CONFLICT */
        bool by_person;   /* RENAME: a person's name sticks */
        float threshold;  /* THRESHOLD */
        bool provisional; /* CONFIRM */
        bool locked;      /* LOCK */
        uint64_t version; /* 0: any; else ERR_CONFLICT when the folder changed since */
};
int catalog_cluster_change(struct catalog *c, struct id id, const char *owner, const struct cluster_change *ch,
                           const char *actor, struct id *operation, struct wall *updated, struct err *e) MUST_CHECK;
/* The sources' files move into the target, their ids become aliases of it. versions: NULL, or target's then each
 * source's, for passes. */
int catalog_cluster_merge(struct catalog *c, struct id target, const struct id *sources, size_t n,
                          const uint64_t *versions, const char *owner, const char *actor, struct id *operation,
                          struct wall *updated, struct err *e) MUST_CHECK;

/* All folders of an owner with prototypes of a model in use (unit, row-major; folders without one are left out): a
 * pass's snapshot. */
int catalog_cluster_snapshot(struct catalog *c, const char *model_id, const char *owner, struct arena *a,
                             struct cluster **out, float **prototypes, size_t *n, struct err *e) MUST_CHECK;
/* Owners that have media. */
int catalog_owners(struct catalog *c, struct arena *a, const char ***out, size_t *n, struct err *e) MUST_CHECK;
/* Tag counts over a folder's members, most frequent first; mean_confidence over members that carry it. */
struct tag_count {
        const char *name;
        uint64_t members;
        float mean_confidence;
};
int catalog_cluster_tags(struct catalog *c, struct id cluster, size_t max, struct arena *a, struct tag_count **out,
                         size_t *n, struct err *e) MUST_CHECK;
/* Found a folder out of unsorted assets, or move unsorted ones into one (passes). As in catalog_task_complete:
 * ERR_CONFLICT when it no longer holds. */
int catalog_place(struct catalog *c, const char *owner, const struct placement *p, const char *actor,
                  struct err *e) MUST_CHECK;

/* ---- counts ----------------------------------------------------------------------------------- */

struct catalog_counts {
        uint64_t assets[KIND_COUNT][ASSET_STATUS_COUNT];
        uint64_t waiting[JOB_TYPE_COUNT]; /* ready or leased */
        uint64_t dead[JOB_TYPE_COUNT][2]; /* [1]: class system (not the input's fault) */
        double oldest_ready_seconds;
        uint64_t objects, object_bytes, asset_bytes, clusters, unsorted, trashed, embeddings;
};
int catalog_counts(struct catalog *c, const char *owner, struct catalog_counts *out, struct err *e) MUST_CHECK;

/* ---- the trash and its end -------------------------------------------------------------------- */

/* One of them for good. ERR_NOT_FOUND also when a person has restored it meanwhile. */
int catalog_trash_purge(struct catalog *c, struct id id, struct wall t, const char *actor, struct err *e) MUST_CHECK;
/* Assets trashed before t, oldest first: for the purge. */
int catalog_trash_due(struct catalog *c, struct wall t, unsigned limit, struct arena *a, struct id **out, size_t *n,
                      struct err *e) MUST_CHECK;

/* ---- objects --------------------------------------------------------------------------------- */

/* Whether there is a row of each of n. */
int catalog_objects_known(struct catalog *c, const struct sha256 *objects, size_t n, bool *known,
                          struct err *e) MUST_CHECK;
/* The object's bytes were put anew and are right. */
int catalog_object_mended(struct catalog *c, struct sha256 object, struct err *e) MUST_CHECK;
/* Assets that were done with this object are failed, with the reason; or, reason NULL, are done again that were failed
 * so. *moved: how many. */
int catalog_object_lost(struct catalog *c, struct sha256 object, const char *reason, uint64_t *moved,
                        struct err *e) MUST_CHECK;

/* ---- keys of the API ------------------------------------------------------------------------------ */

#define KEY_PREFIX_LEN 9 /* with the NUL */
#define KEYS_MAX       1000

struct api_key {
        struct id id;
        const char *name, *owner; /* owner NULL: bound to none */
        const char *prefix;
        enum key_scope scope;
        struct wall created, expires, last_used, revoked; /* us 0: never; last_used is up to a minute behind */
        const char *created_by, *revoked_by;
};

struct new_key {
        struct id id;
        const char *name, *owner, *prefix; /* owner NULL: bound to none */
        struct sha256 hash;
        enum key_scope scope;
        struct wall expires;
        struct id by;      /* the key that asks for it; nil: API_KEY, or somebody at the machine */
        const char *actor; /* for the record */
        bool first;        /* asked for without any key: ERR_CONFLICT when there are keys already */
        bool alone;        /* there is no API_KEY */
};
/*
 * No key makes one that may do more than itself: another owner's, of a higher
 * scope, or living longer (ERR_FORBIDDEN; a left-out expiry becomes its own).
 * The first one of a catalog without API_KEY must be an admin's bound to no
 * owner (ERR_INVALID). *expires (may be NULL): what it became. ERR_STALE: the
 * prefix is taken, try another.
 */
int catalog_key_create(struct catalog *c, const struct new_key *k, struct wall *expires, struct err *e) MUST_CHECK;
/* Newest first, at most KEYS_MAX; owner NULL: all. Revoked ones only on request. */
int catalog_key_list(struct catalog *c, const char *owner, bool revoked, struct arena *a, struct api_key **out,
                     size_t *n, uint64_t *total, struct err *e) MUST_CHECK;
struct key_end {
        struct id id, by;  /* by as in new_key */
        const char *owner; /* NULL: any */
        const char *actor;
        bool alone;
};
/*
 * Ends the key and its sessions; again is fine. ERR_NOT_FOUND; ERR_CONFLICT: it
 * is the last one that can make others, and there is no API_KEY.
 */
int catalog_key_revoke(struct catalog *c, const struct key_end *k, struct err *e) MUST_CHECK;
/* Whether there is or was a key: then the API is not open any more, also when all are revoked or have expired. */
int catalog_keys_exist(struct catalog *c, bool *out, struct err *e) MUST_CHECK;

struct known_key { /* of a key that holds at this moment */
        struct id id;
        struct sha256 hash;
        enum key_scope scope;
        char owner[OWNER_MAX + 1]; /* "" bound to none */
        bool idle;                 /* last_used is more than a minute ago */
};
/* 1, 0 (unknown, revoked, expired), -1. */
int catalog_key_find(struct catalog *c, const char *prefix, struct known_key *out, struct err *e);
/* Sets last_used, at most once a minute. */
int catalog_key_used(struct catalog *c, struct id id, struct err *e) MUST_CHECK;

struct new_session {
        struct sha256 hash;  /* of the cookie */
        struct id key;       /* nil: of API_KEY */
        struct sha256 proof; /* of API_KEY, where key is nil */
        struct dur lifetime;
};
/* A key has at most 100: the oldest give way. ERR_NOT_FOUND when the key is revoked or has expired. */
int catalog_session_add(struct catalog *c, const struct new_session *s, struct err *e) MUST_CHECK;
/* As catalog_key_find; id nil and *proof filled when it is of API_KEY. */
int catalog_session_find(struct catalog *c, struct sha256 hash, struct known_key *out, struct sha256 *proof,
                         struct err *e);
int catalog_session_end(struct catalog *c, struct sha256 hash, struct err *e) MUST_CHECK; /* none is fine */

/* ---- several instances ---------------------------------------------------------------------------- */

/*
 * A duty is what one instance at a time does for all, by the catalog's clock. 1: it is the holder's for the next
 * lease (again, when it was already); 0: another holds it, or it was done less than every ago; -1.
 */
int catalog_duty_take(struct catalog *c, const char *duty, const char *holder, struct dur lease, struct dur every,
                      struct err *e);
/* Through with it. Nothing happens when the duty is another's by now. */
int catalog_duty_done(struct catalog *c, const char *duty, const char *holder, struct err *e) MUST_CHECK;

/*
 * For placement.seen: changes whenever a placement may have made another one of
 * this owner wrong that was decided before. Then FOUND and UNSORTED end in
 * ERR_CONFLICT. 0 where one process alone places and takes turns itself.
 */
int catalog_placing_version(struct catalog *c, const char *owner, uint64_t *out, struct err *e) MUST_CHECK;

#endif
