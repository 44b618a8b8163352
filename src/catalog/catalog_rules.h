/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rules of the catalog share among themselves, with the engines and
 * with the room keep: cursors, and the small changes that all topics are made of.
 * No other room includes this.
 */
#ifndef FA_CATALOG_RULES_H
#define FA_CATALOG_RULES_H

#include "catalog/catalog.h"
#include "catalog/catalog_asset.h"
#include "catalog/catalog_ingest.h"
#include "catalog/catalog_metadata.h"
#include "catalog/catalog_migrate.h"
#include "catalog/catalog_search.h"
#include "catalog/catalog_task.h"
#include "catalog/catalog_upkeep.h"
#include "db/db_migrate.h"
#include "db/db_page.h"
#include "text/text.h"
#include "vector/vector.h"

struct row;

#define MODEL_ID_MAX 256
#define MODELS_MAX   8 /* in use at once */

struct catalog { /* first member of an engine's own */
        struct database *database;
        enum dialect dialect; /* its */
        const struct search_engine *search;
        struct dur idempotency_ttl;
        unsigned phash_distance;
        float folder_threshold;
        uint64_t queue_max_depth;
        struct sha256 cursor_secret; /* see db_cursor.c */
};

/* ---- transactions (db.h) ----------------------------------------------------------- */

static inline struct catalog *catalog_of(struct tx *tx)
{
        return tx->owner;
}

static inline struct db *read_begin(struct catalog *c, struct err *e)
{
        return database_read(c->database, e);
}

static inline void read_end(struct catalog *c, struct db *db, struct mono began)
{
        database_read_end(c->database, db, began);
}

static inline int write_do(struct catalog *c, enum lane lane, write_fn *fn, void *arg, struct err *e)
{
        return database_write(c->database, lane, fn, arg, e);
}

static inline struct db *batch_begin(struct catalog *c, unsigned limit, size_t elem, struct arena *a, void *out,
                                     size_t *n, struct err *e)
{
        return database_batch(c->database, limit, elem, a, out, n, e);
}

/* ---- what is searched ------------------------------------------------------------------ */

/* What a change means for whatever an engine searches by; it reads the truth of it again. */
struct event {
        enum { EVENT_VECTOR, EVENT_ROW, EVENT_FOLDER, EVENT_RELABEL } kind;
        int64_t asset;         /* VECTOR (and row), ROW: its folder or whether it is in the trash */
        struct id cluster, to; /* FOLDER: its prototype or lock; RELABEL: all members now in to (nil: unsorted) */
};

/* The vector of one of the asset's parts, unit, in place of an older one. The event is the caller's. (catalog_work.c)
 */
int vector_write(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model, const float *v,
                 uint32_t dim, struct err *e) MUST_CHECK;

extern const struct db_migration catalog_migrations_sqlite[], catalog_migrations_postgres[];

struct copy_found { /* what a database says of a copy into it; all 0 when it is empty */
        bool begun, finished;
        int64_t origin;
        struct sha256 source;
};

/* ---- pages -------------------------------------------------------------------- */

uint64_t filter_shape(const struct asset_filter *f);
/* " WHERE …" over alias a of asset; always begins with the trash condition. (catalog_filter.c) */
int sql_filter(struct sql *q, const struct asset_filter *f, struct err *e) MUST_CHECK;
enum name_way { NAMES_INDEXED, NAMES_SCANNED /* one by one: most of them match */ };
int sql_filter_names(struct sql *q, const struct asset_filter *f, enum name_way way, struct err *e) MUST_CHECK;
/* Whether a filter asks for what only the asset's own row tells: neither owner, kind nor folder. */
bool filter_needs_asset(const struct asset_filter *f);

static inline int page_begin(struct page *p, struct catalog *c, const char *cursor, struct arena *a, struct err *e)
{
        return page_start(p, &c->cursor_secret, cursor, a, e);
}

/* ---- text ----------------------------------------------------------------------- */

/* What the engine's words_settle promises. (catalog_search.c) */
enum words_of { WORDS_OF_ASSETS, WORDS_OF_PARTS };
void words_settle(struct catalog *c, enum words_of what);
/* Words find all texts of parts again. (catalog_part.c) */
int parts_again(struct tx *tx, struct err *e) MUST_CHECK;

/* ---- changes that several topics share ---------------------------------------------------- */

/* An asset as writers look at it. */
struct row {
        int64_t n, job;
        struct id id, cluster; /* nil: none */
        char owner[OWNER_MAX + 1];
        enum asset_kind kind;
        enum job_type type;
        enum asset_status status;
        bool trashed, pinned;
        float similarity; /* < 0: unknown */
        uint64_t size;
        struct sha256 sha256;
};
/* Both lock the row. owner NULL: any. ERR_NOT_FOUND. (catalog_change.c) */
int row_find(struct tx *tx, struct id id, const char *owner, struct row *out, struct err *e) MUST_CHECK;
int row_load(struct tx *tx, int64_t n, struct row *out, struct err *e) MUST_CHECK;
/* The one place where an asset's status changes: counters and job follow. */
int row_set_status(struct tx *tx, struct row *r, enum asset_status to, struct err *e) MUST_CHECK;
int row_set_trashed(struct tx *tx, struct row *r, bool trashed, struct err *e) MUST_CHECK;
#define COUNTER_OBJECTS (-1) /* kinds of counters, owner "" */
#define COUNTER_WAITING (-2) /* tasks, in PostgreSQL */
int counter_add(struct tx *tx, const char *owner, int kind, int status, int64_t n, int64_t bytes,
                struct err *e) MUST_CHECK;
/* Takes delta of each status off or onto the job; its state and times follow at the end. */
int job_count(struct tx *tx, int64_t job, enum asset_status status, int delta, struct err *e) MUST_CHECK;
/* That many tasks more or less wait. */
void tx_waiting(struct tx *tx, int64_t delta);
/* The asset's searchable text is brought up to date at the end of the transaction. */
int tx_text(struct tx *tx, int64_t asset, struct err *e) MUST_CHECK;
int tx_event(struct tx *tx, struct event ev, struct err *e) MUST_CHECK;
/* Its sidecar has to be written again; at the end of the write. Every change of what a kept_asset or kept_folder tells
 * goes with one. (catalog_work.c) */
int tx_mark(struct tx *tx, enum kept_kind kind, struct id id, struct err *e) MUST_CHECK;
/* What tells one change of a marked thing from the next. */
int64_t mark_change(void);
/* All assets an operation has moved, after their rows were changed: whoever else marks one holds its row. */
int tx_mark_items(struct tx *tx, int64_t op, struct err *e) MUST_CHECK;
/* The one place where a task's state changes; asserts that the move is legal. */
int task_move(struct tx *tx, int64_t task, enum task_state from, enum task_state to, struct err *e) MUST_CHECK;
/* The lease a worker brings, its task locked, or ERR_STALE. (catalog_task.c) */
struct held {
        int64_t n, asset;
        enum task_purpose purpose;
};
int lease_find(struct tx *tx, const struct task *t, struct held *out, struct err *e) MUST_CHECK;
/* The asset has no task of this purpose, whatever its state. */
int task_add(struct tx *tx, int64_t asset, enum task_purpose p, enum job_type type, struct err *e) MUST_CHECK;
/* In place of one that has ended, or was given up. 1: one is under way, and nothing was done. */
int task_renew(struct tx *tx, int64_t asset, enum task_purpose p, enum job_type type, struct err *e) MUST_CHECK;
int lineage_add(struct tx *tx, int64_t asset, const char *action, const char *actor, const char *detail,
                struct err *e) MUST_CHECK;
/* In place of all that these sources (bits 1 << tag_source) said before; the tags are of no other. */
int tags_replace(struct tx *tx, int64_t asset, uint32_t sources, const struct tag *tags, size_t n,
                 struct err *e) MUST_CHECK;
/* After one of its assets is gone: from now on it is unreferenced, if it is. (catalog_object.c) */
int object_release(struct tx *tx, const struct sha256 *h, struct err *e) MUST_CHECK;
/* What catalog_parts_put refuses as ERR_INVALID. (catalog_part.c) */
int part_list_check(const struct part_list *l, struct err *e) MUST_CHECK;
/* Of a list that was checked; the row is locked, and its owner is when it is in a folder. (catalog_part.c) */
int parts_put(struct tx *tx, const struct row *r, const struct part_list *l, struct err *e) MUST_CHECK;
/* A part, its vectors and its words. (catalog_part.c) */
int part_drop(struct tx *tx, int64_t n, struct err *e) MUST_CHECK;
/* Before an asset's row goes: the words of its parts leave the index. (catalog_part.c) */
int parts_words_leave(struct tx *tx, int64_t asset, struct err *e) MUST_CHECK;
/* The number of the asset's whole, made when there is none. (catalog_part.c) */
int part_whole(struct tx *tx, int64_t asset, int64_t *n, struct err *e) MUST_CHECK;
/* Who is nearly like an asset that is out of the trash: what came meanwhile did not look there. (catalog_complete.c) */
int near_again(struct tx *tx, const struct row *r, struct err *e) MUST_CHECK;
/* What is made of it, instead of what was noted before. (catalog_object.c) */
int products_put(struct tx *tx, const struct sha256 *h, const char *products, struct err *e) MUST_CHECK;
/* Before an asset refers to it; made when new. ERR_STALE: it is being collected. *damaged: it is known to be bad. */
int object_acquire(struct tx *tx, const struct sha256 *h, uint64_t size, bool *damaged, struct err *e) MUST_CHECK;
/* One more; the better confidence of two stays. */
int tag_put(struct tx *tx, int64_t asset, const struct tag *t, struct err *e) MUST_CHECK;
/* The perceptual hash and the near duplicates it makes, among those in the trash too when trashed. (catalog_complete.c)
 */
int phash_put(struct tx *tx, const struct row *r, uint64_t phash, bool trashed, struct err *e) MUST_CHECK;
/* What went wrong with a task, counted. (catalog_task.c) */
int task_note(struct tx *tx, int64_t task, const struct task_error *f, struct err *e) MUST_CHECK;
/* The newest TASK_ERRORS_MAX of them, oldest first, in the arena. (catalog_task.c) */
int task_errors(struct db *db, int64_t task, struct arena *a, struct task_error **out, size_t *n,
                struct err *e) MUST_CHECK;

/*
 * Folders, sums and who is where are changed by one write of an owner at a
 * time, over all instances; it is the first thing such a write locks. SQLite has
 * one writer, and nothing to lock.
 */
int lock_owner(struct tx *tx, const char *owner, struct err *e) MUST_CHECK;
int lock_owner_of_asset(struct tx *tx, struct id asset, struct err *e) MUST_CHECK;
int lock_owner_of_folder(struct tx *tx, struct id folder, struct err *e) MUST_CHECK;

int match_cmp(const void *a, const void *b); /* of struct vector_match, for qsort: best first, then by id */
#define GROUPED_MAX 64000                    /* parts that a search looks at in order to find k assets */
/* Of n matches of parts, best first, the first of each asset: at most k go to out. */
int match_group(const struct vector_match *m, size_t n, struct vector_match *out, size_t k, size_t *nout,
                struct err *e) MUST_CHECK;
/* The numbers of a vector in a column; returns how many. */
size_t col_vector(const struct rows *s, int i, float out[VECTOR_MAX_DIM]);
/* The model's number; made when new. ERR_CONFLICT when it has another dimension. */
int model_number(struct tx *tx, const char *id, uint32_t dim, int64_t *n, struct err *e) MUST_CHECK;

/* Columns of an asset in the order asset_read wants them; from asset a, job j, LEFT cluster c. */
#define ASSET_SELECT                                                                                                   \
        "SELECT a.n, a.id, j.id, a.kind, a.type, a.status, a.stage, a.error, a.error_code, a.filename, "               \
        "a.content_type, a.owner, a.comments, a.sha256, a.size, a.created, a.updated, a.trashed, a.metadata, a.note, " \
        "a.cluster, c.name, c.status, a.pinned, a.similarity, a.duplicate_of, "                                        \
        "CASE WHEN a.metadata IS NULL THEN '' ELSE (SELECT o.products FROM object o WHERE o.sha256 = a.sha256) END, "  \
        "(SELECT count(*) FROM asset_metadata x WHERE x.asset = a.n) "                                                 \
        "FROM asset a JOIN job j ON j.n = a.job LEFT JOIN cluster c ON c.id = a.cluster "
enum { ASSET_METADATA = 18, ASSET_OTHERS = 27 }; /* what the analysis says, and how many others say something */
row_read_fn asset_read;                          /* into a struct asset; its metadata is of all sources */

/* The number and dimension of a model in use; ERR_UNAVAILABLE when it is none. */
int model_in_use(struct catalog *c, const char *id, int64_t *model, uint32_t *dim, struct err *e) MUST_CHECK;

#endif
