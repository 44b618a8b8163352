/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the catalog against itself. Most checks are a query that should return nothing and a function that repairs
 * one of its rows. The rows are read in one snapshot and repaired in slices; each repair looks at its row again under
 * lock, so a server may run meanwhile where the engine allows it.
 */
#include "keep/keep_check_priv.h"

#include <stdio.h>

#define SLICE    100
#define KEYS_CAP 1000000 /* the next run repairs the others */

struct key { /* identifies a row that was found */
        int64_t n;
        struct sha256 sha256; /* of an object's */
};

typedef int mend_fn(struct tx *tx, const struct key *k, struct err *e);

/* ---- mending ---------------------------------------------------------------------------- */

static int mend_unmarked(struct tx *tx, const struct key *k, struct err *e)
{
        return object_release(tx, &k->sha256, e);
}

static int mend_marked(struct tx *tx, const struct key *k, struct err *e)
{
        return db_run(
                tx->db, e,
                "UPDATE object SET orphaned = 0, collecting = 0 WHERE sha256 = ?1 AND EXISTS (SELECT 1 FROM asset "
                "WHERE sha256 = ?1)",
                "h", &k->sha256);
}

static int mend_task(struct tx *tx, const struct key *k, struct err *e)
{
        return db_run(tx->db, e, "UPDATE task SET state = 0, run_after = ?, lease_until = 0, worker = NULL WHERE n = ?",
                      "ll", tx->now.us, k->n);
}

/* Bypasses the counters, which may be as wrong as the row: they are recounted afterwards. */
static int set_status(struct tx *tx, int64_t asset, enum asset_status to, struct err *e)
{
        return db_run(tx->db, e, "UPDATE asset SET status = ?, updated = ? WHERE n = ?", "ill", (int)to, tx->now.us,
                      asset);
}

static int mend_without_task(struct tx *tx, const struct key *k, struct err *e)
{
        int64_t waits = 0;
        struct row r;

        if (row_load(tx, k->n, &r, e) ||
            db_int(tx->db, e, &waits, "SELECT count(*) FROM task WHERE asset = ? AND purpose = 0 AND state IN (0, 1)",
                   "l", k->n) < 0)
                return -1;
        if (waits || (r.status != ASSET_QUEUED && r.status != ASSET_PROCESSING))
                return 0;
        if (task_renew(tx, k->n, PURPOSE_ANALYSE, r.type, e) < 0 || set_status(tx, k->n, ASSET_QUEUED, e))
                return -1;
        return lineage_add(tx, k->n, "reprocessed", "fsck", NULL, e);
}

/* As the task says that analyses it. */
static int mend_status(struct tx *tx, const struct key *k, struct err *e)
{
        static const enum asset_status as[] = {
                [TASK_READY] = ASSET_QUEUED, [TASK_LEASED] = ASSET_PROCESSING, [TASK_DEAD] = ASSET_FAILED};
        int64_t state = -1;

        if (db_int(tx->db, e, &state, "SELECT state FROM task WHERE asset = ? AND purpose = 0 AND state IN (0, 1, 3)",
                   "l", k->n) < 0)
                return -1;
        return state < 0 ? 0 : set_status(tx, k->n, as[state], e);
}

/*
 * No worker would ever claim such a task. There cannot be two of one purpose: a unique index of the table forbids it.
 */
static int mend_stray_task(struct tx *tx, const struct key *k, struct err *e)
{
        return check_drop_task(tx, k->n, e);
}

static int mend_words(struct tx *tx, const struct key *k, struct err *e)
{
        return tx_text(tx, k->n, e);
}

static int mend_embedding(struct tx *tx, const struct key *k, struct err *e)
{
        return db_run(
                tx->db, e,
                SQL(tx->db, NULL,
                    "UPDATE embedding x SET part_kind = p.kind, owner = a.owner, kind = a.kind, cluster = a.cluster, "
                    "trashed = "
                    "(a.trashed > 0)::int FROM asset a JOIN part p ON p.asset = a.n WHERE p.n = x.part AND a.n = ?"),
                "l", k->n);
}

/* Repairs all counters at once. */
static int mend_part_words(struct tx *tx, const struct key *k, struct err *e)
{
        (void)k;
        return parts_again(tx, e);
}

#define JOB_SUM(s) "(SELECT count(*) FROM asset WHERE job = job.n AND status = " #s ")"

static int mend_job(struct tx *tx, const struct key *k, struct err *e)
{
        int64_t one;

        /*
         * The row is locked first: a transaction whose change is not in these counts yet then waits for it, and adds
         * to them.
         */
        if (db_int(tx->db, e, &one, LOCKING(tx->db, "SELECT 1 FROM job WHERE n = ?", "FOR UPDATE"), "l", k->n) < 0 ||
            db_run(tx->db, e,
                   "UPDATE job SET queued = " JOB_SUM(0) ", processing = " JOB_SUM(1) ", done = " JOB_SUM(
                           2) ", failed = " JOB_SUM(3) " WHERE n = ?",
                   "l", k->n))
                return -1;
        return job_count(tx, k->n, ASSET_DONE, 0, e); /* its state is derived at the end of the write */
}

static int mend_near(struct tx *tx, const struct key *k, struct err *e)
{
        (void)k;
        return db_run(tx->db, e,
                      "INSERT INTO near_duplicate (asset, other, distance) SELECT d.other, d.asset, d.distance FROM "
                      "near_duplicate d WHERE NOT EXISTS (SELECT 1 FROM near_duplicate r WHERE r.asset = d.other AND "
                      "r.other = d.asset) AND d.asset <> d.other ON CONFLICT DO NOTHING",
                      "");
}

#define FILES                                                                                                          \
        "SELECT owner, kind, CASE WHEN trashed > 0 THEN 4 ELSE status END AS status, count(*) AS c, CAST(sum(size) "   \
        "AS bigint) AS b FROM asset GROUP BY 1, 2, 3 UNION ALL SELECT '', -1, 0, count(*), CAST(coalesce(sum(size), "  \
        "0) AS bigint) FROM object"
#define TASKS " UNION ALL SELECT '', -2, 0, count(*), 0 FROM task WHERE state IN (0, 1) AND purpose = 0"
static_assert(ASSET_STATUS_COUNT == 4 && COUNTER_OBJECTS == -1 && COUNTER_WAITING == -2, "as the queries say");

static int mend_counters(struct tx *tx, const struct key *k, struct err *e)
{
        (void)k;
        if (db_run(tx->db, e, SQL(tx->db, NULL, "LOCK TABLE counter IN EXCLUSIVE MODE"), "") ||
            db_run(tx->db, e, "DELETE FROM counter", ""))
                return -1;
        return db_run(
                tx->db, e,
                SQL(tx->db, "INSERT INTO counter (owner, kind, status, count, bytes) " FILES,
                    "INSERT INTO counter (owner, kind, status, shard, count, bytes) SELECT owner, kind, status, 0, "
                    "c, b FROM (" FILES TASKS ") AS t"),
                "");
}

/* ---- the checks -------------------------------------------------------------------------- */

/* The error of a counter: the true count minus the stored one. */
#define OFF(truth)                                                                                                     \
        "SELECT CAST(0 AS bigint), 'of owner ''' || owner || '''', 'kind ' || kind || ', status ' || status || ': '"   \
        " || CAST(sum(c) AS bigint) || ' files and ' || CAST(sum(b) AS bigint) || ' bytes too few' FROM (" truth       \
        " UNION ALL SELECT owner, kind, status, -count, -bytes FROM counter) AS t GROUP BY owner, kind, status "       \
        "HAVING sum(c) <> 0 OR sum(b) <> 0"

#define WRONG_PURPOSE "SELECT n, id, 'purpose ' || purpose FROM task WHERE purpose < 0 OR purpose >= 5"
static_assert(PURPOSE_COUNT == 5, "as the query says");
#define WRONG_WORDS "SELECT a.n, a.id, NULL FROM asset a LEFT JOIN asset_text t ON t.n = a.n WHERE "

static const struct check {
        const char *name;
        const char *words; /* text of a finding: the row's second column follows, and its third in brackets */
        const char *sqlite, *postgres; /* NULL: not on this engine */
        mend_fn *mend;                 /* NULL: the right value cannot be known */
        bool together;                 /* one call repairs all */
        check_fn *run;                 /* instead of a query */
        bool text;                     /* the second column is a text, not an id or a hash */
} checks[] = {
        {.name = "database_file", .run = sqlite_check_file},
        {.name = "reference", .run = check_references}, /* first: the following checks assume the rows that it leaves */
        {"object_unmarked", "no file refers to it, and it is not marked for collection: object",
         "SELECT 0, sha256, NULL FROM object o WHERE orphaned = 0 AND collecting = 0 AND NOT EXISTS (SELECT 1 FROM "
         "asset a WHERE a.sha256 = o.sha256)",
         "SELECT 0::bigint, sha256, NULL FROM object o WHERE orphaned = 0 AND collecting = 0 AND NOT EXISTS (SELECT 1 "
         "FROM asset a WHERE a.sha256 = o.sha256)",
         mend_unmarked, false, NULL},
        {"object_marked", "files refer to it, and it is marked for collection: object",
         "SELECT 0, sha256, NULL FROM object o WHERE orphaned > 0 AND EXISTS (SELECT 1 FROM asset a WHERE a.sha256 = "
         "o.sha256)",
         "SELECT 0::bigint, sha256, NULL FROM object o WHERE orphaned > 0 AND EXISTS (SELECT 1 FROM asset a WHERE "
         "a.sha256 = o.sha256)",
         mend_marked, false, NULL},
        {"asset_size", "its size is not its object's: file",
         "SELECT a.n, a.id, a.size || ' and ' || o.size FROM asset a JOIN object o ON o.sha256 = a.sha256 WHERE a.size "
         "<> o.size",
         "SELECT a.n, a.id, a.size || ' and ' || o.size FROM asset a JOIN object o ON o.sha256 = a.sha256 WHERE a.size "
         "<> o.size",
         NULL, false, NULL},
        {"task_state", "a state that cannot be: task",
         "SELECT n, id, 'state ' || state FROM task WHERE state NOT IN (0, 1, 2, 3) OR (state = 1 AND lease_until = 0)",
         "SELECT n, id, 'state ' || state FROM task WHERE state NOT IN (0, 1, 2, 3) OR (state = 1 AND lease_until = 0)",
         mend_task, false, NULL},
        {"task_missing", "it waits, and no task is there for it: file",
         "SELECT n, id, filename FROM asset a WHERE status IN (0, 1) AND NOT EXISTS (SELECT 1 FROM task t WHERE "
         "t.asset = a.n AND t.purpose = 0 AND t.state IN (0, 1))",
         "SELECT n, id, filename FROM asset a WHERE status IN (0, 1) AND NOT EXISTS (SELECT 1 FROM task t WHERE "
         "t.asset = a.n AND t.purpose = 0 AND t.state IN (0, 1))",
         mend_without_task, false, NULL},
        {"asset_status", "its status is not what its task says: file",
         "SELECT a.n, a.id, a.filename FROM task t JOIN asset a ON a.n = t.asset WHERE t.purpose = 0 AND ((t.state = "
         "0 AND a.status <> 0) OR (t.state = 1 AND a.status <> 1) OR (t.state = 3 AND a.status <> 3))",
         "SELECT a.n, a.id, a.filename FROM task t JOIN asset a ON a.n = t.asset WHERE t.purpose = 0 AND ((t.state = "
         "0 AND a.status <> 0) OR (t.state = 1 AND a.status <> 1) OR (t.state = 3 AND a.status <> 3))",
         mend_status, false, NULL},
        {"task_purpose", "a purpose that no task can have: task", WRONG_PURPOSE, WRONG_PURPOSE, mend_stray_task, false,
         NULL},
        {"near_duplicate", "they are near duplicates in one direction only: files",
         "SELECT d.asset, d.asset || ' and ' || d.other, NULL FROM near_duplicate d WHERE NOT EXISTS (SELECT 1 FROM "
         "near_duplicate r WHERE r.asset = d.other AND r.other = d.asset)",
         "SELECT d.asset, d.asset || ' and ' || d.other, NULL FROM near_duplicate d WHERE NOT EXISTS (SELECT 1 FROM "
         "near_duplicate r WHERE r.asset = d.other AND r.other = d.asset)",
         mend_near, true, NULL, .text = true},
        {"embedding", "its vector is filed under another owner, folder or state: file", NULL,
         "SELECT DISTINCT a.n, a.id, NULL FROM embedding x JOIN part p ON p.n = x.part JOIN asset a ON a.n = p.asset "
         "WHERE x.owner <> a.owner OR x.part_kind <> p.kind OR x.kind <> "
         "a.kind OR x.cluster IS DISTINCT FROM a.cluster OR x.trashed <> (a.trashed > 0)::int",
         mend_embedding, false, NULL},
        {.name = "folder", .run = check_folders},
        /*
         * SQLite indexes new files in the order of their numbers, with a delay: up to the last one indexed, none may
         * be missing.
         */
        {"text_index", "words do not find it: file",
         WRONG_WORDS "(t.n IS NULL AND a.n <= (SELECT max(n) FROM asset_text)) OR t.name_fold <> a.name_fold",
         WRONG_WORDS "t.n IS NULL", mend_words, false, NULL},
        {"text_left", "words find what is not there any more: number",
         "SELECT t.n, CAST(t.n AS text), NULL FROM asset_text t LEFT JOIN asset a ON a.n = t.n WHERE a.n IS NULL", NULL,
         mend_words, false, NULL, .text = true},
        /* As above: up to the last one indexed, none may be missing. */
        {"part_words", "words do not find it: part",
         "SELECT p.n, CAST(p.n AS text), NULL FROM part p WHERE p.text IS NOT NULL AND p.n <= (SELECT max(id) FROM "
         "part_fts_docsize) AND NOT EXISTS (SELECT 1 FROM part_fts_docsize d WHERE d.id = p.n)",
         "SELECT p.n, CAST(p.n AS text), NULL FROM part p WHERE p.text IS NOT NULL AND p.words IS NULL",
         mend_part_words, true, NULL, .text = true},
        {.name = "text_words", .run = sqlite_check_words},
        {.name = "vector_cache", .run = sqlite_check_vectors},
        {"vector_index", "PostgreSQL calls it invalid (REINDEX INDEX CONCURRENTLY mends it): index", NULL,
         "SELECT 0::bigint, c.relname::text, NULL FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN "
         "pg_namespace s ON s.oid = c.relnamespace WHERE NOT i.indisvalid AND s.nspname = current_schema()",
         NULL, false, NULL, .text = true},
        {"job", "its counts are not its files': job",
         "SELECT n, id, NULL FROM job WHERE queued <> " JOB_SUM(0) " OR processing <> " JOB_SUM(
                 1) " OR done <> " JOB_SUM(2) " OR failed <> " JOB_SUM(3),
         "SELECT n, id, NULL FROM job WHERE queued <> " JOB_SUM(0) " OR processing <> " JOB_SUM(
                 1) " OR done <> " JOB_SUM(2) " OR failed <> " JOB_SUM(3),
         mend_job, false, NULL},
        {"counter", "the count is wrong", OFF(FILES), OFF(FILES TASKS), mend_counters, true, NULL, .text = true},
};
static_assert(COUNT_OF(checks) <= KEEP_CHECKS_MAX, "room for all results");

/* ---- running them ------------------------------------------------------------------------- */

void check_tell(struct check_run *run, const char *format, ...)
{
        char text[600];
        va_list ap;

        run->r->found++;
        if (!run->o->tell)
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        run->o->tell(run->o->ctx, run->r->name, text);
}

static void name_of(const struct check *k, const struct rows *s, char out[128])
{
        if (k->text)
                snprintf(out, 128, "%s", or_empty(col_str(s, 1)));
        else if (col_bytes(s, 1) == (int)sizeof(struct id))
                id_format(col_id(s, 1), out);
        else
                sha256_format(col_sha(s, 1), out);
}

static void tell_row(struct check_run *run, const struct check *k, const struct rows *s)
{
        const char *more = col_null(s, 2) ? NULL : col_str(s, 2);
        char name[128];

        name_of(k, s, name);
        if (more)
                check_tell(run, "%s %s (%.200s)", k->words, name, more);
        else
                check_tell(run, "%s %s", k->words, name);
}

static struct key key_of(const struct rows *s)
{
        return (struct key){.n = col_i64(s, 0), .sha256 = col_sha(s, 1)};
}

static int find_wrong(struct check_run *run, const struct check *k, const char *sql, struct key **keys, size_t *n,
                      struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(run->c, e);
        struct rows *s;
        size_t cap = 0;
        int rc = -1;

        if (!db)
                return -1;
        s = db_query(db, e, sql, "");
        while (s && (rc = db_step(db, s, e)) > 0) {
                tell_row(run, k, s);
                if (!run->o->repair || !k->mend || *n == KEYS_CAP)
                        continue;
                if (mem_grow((void **)keys, &cap, *n + 1, sizeof **keys)) {
                        db_end(s);
                        rc = err_oom(e);
                        break;
                }
                (*keys)[(*n)++] = key_of(s);
        }
        read_end(run->c, db, began);
        return rc < 0 ? -1 : 0;
}

struct slice {
        mend_fn *mend;
        const struct key *keys;
        size_t n;
};

static int do_slice(struct tx *tx, void *arg, struct err *e)
{
        const struct slice *s = arg;

        for (size_t i = 0; i < s->n; i++)
                if (s->mend(tx, &s->keys[i], e) < 0)
                        return -1;
        return 0;
}

static int mend_found(struct check_run *run, const struct check *k, const struct key *keys, size_t n, struct err *e)
{
        size_t step = k->together ? 1 : SLICE;

        for (size_t i = 0; i < n; i += step) {
                struct slice s = {.mend = k->mend, .keys = keys + i, .n = n - i < step ? n - i : step};
                if (write_do(run->c, LANE_BULK, do_slice, &s, e) < 0)
                        return -1;
                run->r->mended += k->together ? run->r->found : s.n;
                if (k->together)
                        break;
        }
        return 0;
}

static int query_check(struct check_run *run, const struct check *k, struct err *e)
{
        const char *sql = run->c->dialect == DIALECT_SQLITE ? k->sqlite : k->postgres;
        struct key *keys = NULL;
        size_t n = 0;
        int rc = 0;

        if (sql)
                rc = find_wrong(run, k, sql, &keys, &n, e) || mend_found(run, k, keys, n, e) ? -1 : 0;
        mem_free(keys);
        return rc;
}

int keep_check(struct catalog *c, const struct keep_check_opts *o, struct keep_check_result out[KEEP_CHECKS_MAX],
               size_t *n, struct err *e)
{
        *n = 0;
        for (size_t i = 0; i < COUNT_OF(checks); i++) {
                const struct check *k = &checks[i];
                struct check_run run = {.c = c, .o = o, .r = &out[*n]};
                struct err why;
                *run.r = (struct keep_check_result){.name = k->name};
                if ((k->run ? k->run(&run, &why) : query_check(&run, k, &why)) < 0)
                        return err_set(e, why.code, "check %s: %s", k->name, why.msg);
                ++*n;
        }
        return 0;
}
