/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full text. The indexes are brought up to date once a transaction, after the
 * last savepoint: FTS5 writes a segment at every savepoint otherwise, and a
 * batch of ingests would pay for each of its members.
 */
#include "catalog/sqlite/sqlite_priv.h"

#define SCORED_MAX 5000

struct asset_words {
        const char *filename, *tags, *text, *fold; /* filename NULL: there is none */
};

static int words_row(struct db *db, struct rows *s, struct arena *a, struct asset_words *out, struct err *e)
{
        int rc = s ? db_step(db, s, e) : -1;
        bool ok = true;

        *out = (struct asset_words){0};
        if (rc <= 0)
                return rc;
        *out = (struct asset_words){.filename = col_text(a, s, 0, &ok),
                                    .tags = col_text(a, s, 1, &ok),
                                    .text = col_text(a, s, 2, &ok),
                                    .fold = col_text(a, s, 3, &ok)};
        db_end(s);
        return ok ? 0 : err_oom(e);
}

static int words_now(struct db *db, int64_t n, struct arena *a, struct asset_words *out, struct err *e)
{
        const char *description;
        struct rows *s;

        if (metadata_description(db, n, a, &description, e))
                return -1;
        s = db_query(
                db, e,
                /* Cut, so that one absurd description cannot fail the batch it is indexed in. */
                "SELECT a.filename, coalesce((SELECT substr(group_concat(t.name, ' , '), 1, 100000) FROM asset_tag x "
                "JOIN "
                "tag t ON t.n = x.tag WHERE x.asset = a.n), ''), substr(coalesce(a.comments, ''), 1, 100000) || ' ' || "
                "coalesce(?2, CASE WHEN json_valid(a.metadata) THEN substr(json_extract(a.metadata, '$.description'), "
                "1, "
                "100000) "
                "END, ''), a.name_fold FROM asset a WHERE a.n = ?1",
                "lt", n, description);
        if (words_row(db, s, a, out, e) < 0)
                return -1;
        if (!out->filename)
                return 0;
        out->filename = text_name_words(a, out->filename);
        return out->filename ? 0 : err_oom(e);
}

static int words_before(struct db *db, int64_t n, struct arena *a, struct asset_words *out, struct err *e)
{
        struct rows *s = db_query(db, e, "SELECT filename, tags, text, name_fold FROM asset_text WHERE n = ?", "l", n);

        return words_row(db, s, a, out, e);
}

static bool same_words(const struct asset_words *a, const struct asset_words *b)
{
        return a->filename && b->filename && strcmp(a->filename, b->filename) == 0 && strcmp(a->tags, b->tags) == 0 &&
               strcmp(a->text, b->text) == 0 && strcmp(a->fold, b->fold) == 0;
}

static int words_off(struct db *db, int64_t n, const struct asset_words *w, struct err *e)
{
        if (db_run(db, e,
                   "INSERT INTO asset_fts (asset_fts, rowid, filename, tags, text) VALUES ('delete', ?, ?, ?, ?)",
                   "lttt", n, w->filename, w->tags, w->text))
                return -1;
        if (db_run(db, e, "INSERT INTO name_fts (name_fts, rowid, name_fold) VALUES ('delete', ?, ?)", "lt", n,
                   w->fold))
                return -1;
        return db_run(db, e, "DELETE FROM asset_text WHERE n = ?", "l", n);
}

static int words_on(struct db *db, int64_t n, const struct asset_words *w, struct err *e)
{
        if (db_run(db, e, "INSERT INTO asset_text (n, filename, tags, text, name_fold) VALUES (?, ?, ?, ?, ?)", "ltttt",
                   n, w->filename, w->tags, w->text, w->fold))
                return -1;
        if (db_run(db, e, "INSERT INTO asset_fts (rowid, filename, tags, text) VALUES (?, ?, ?, ?)", "lttt", n,
                   w->filename, w->tags, w->text))
                return -1;
        return db_run(db, e, "INSERT INTO name_fts (rowid, name_fold) VALUES (?, ?)", "lt", n, w->fold);
}

int sqlite_text_put(struct db *db, int64_t n, struct arena *a, struct err *e)
{
        struct asset_words before, now;

        if (words_before(db, n, a, &before, e) < 0 || words_now(db, n, a, &now, e))
                return -1;
        if (same_words(&before, &now))
                return 0;
        if (before.filename && words_off(db, n, &before, e))
                return -1;
        return now.filename ? words_on(db, n, &now, e) : 0;
}

/* ---- searching ---------------------------------------------------------------------- */

static int run_match(struct db *db, const char *expr, const struct asset_filter *f, size_t k, struct arena *a,
                     struct text_match *out, int64_t *rows, size_t *n, struct err *e)
{
        struct sql q;
        struct rows *s = NULL;
        int rc = -1;

        sql_init(&q, db, a);
        /* A word that half of all names hold ranks nothing: only the newest hits are scored then. */
        sql_put(&q,
                "SELECT id, score, n FROM (SELECT a.id AS id, own_rank(asset_fts, 4.0, 3.0, 1.0) AS score, a.n AS n "
                "FROM asset_fts CROSS JOIN asset a ON a.n = asset_fts.rowid");
        if (sql_filter(&q, f, e) == 0) {
                sql_text(&q, " AND asset_fts MATCH ? ORDER BY asset_fts.rowid DESC", expr);
                sql_int(&q, " LIMIT ?) ORDER BY score, n", k < SCORED_MAX ? SCORED_MAX : (int64_t)k);
                sql_int(&q, " LIMIT ?", (int64_t)(k - *n));
                s = sql_run(&q, e);
        }
        while (s && (rc = db_step(db, s, e)) > 0 && *n < k) {
                int64_t row = col_i64(s, 2);
                size_t i = 0;
                while (i < *n && rows[i] != row)
                        i++;
                if (i < *n)
                        continue;
                rows[*n] = row;
                out[(*n)++] = (struct text_match){.asset = col_id(s, 0), .rank = (float)col_f64(s, 1)};
        }
        rows_free(s);
        sql_done(&q);
        return rc < 0 ? -1 : 0;
}

static int in_column(struct db *db, struct arena *a, const char *text, const char *column, int64_t row, bool *in,
                     struct err *e)
{
        char *expr = text_fts_query(a, text, " OR ", column);
        int64_t one;
        int rc;

        if (!expr)
                return err_oom(e);
        rc = db_int(db, e, &one, "SELECT 1 FROM asset_fts WHERE asset_fts MATCH ? AND rowid = ?", "tl", expr, row);
        *in = rc > 0;
        return rc < 0 ? -1 : 0;
}

/*
 * Where a hit matched. Comparing its own text is cheap; asking the index again
 * is not, since a prefix makes it read all it has. So that is only done where
 * the comparison, which knows nothing of accents, finds the words nowhere.
 */
static int tell_where(struct db *db, struct arena *a, const char *text, char *words, int64_t row, struct text_match *m,
                      struct err *e)
{
        struct asset_words w;
        char *name, *tags, *rest;

        if (words_before(db, row, a, &w, e) < 0)
                return -1;
        if (w.filename) {
                name = text_fold(a, w.filename);
                tags = text_fold(a, w.tags);
                rest = text_fold(a, w.text);
                if (!name || !tags || !rest)
                        return err_oom(e);
                m->in_filename = text_has_any(name, words);
                m->in_tags = text_has_any(tags, words);
                m->in_text = text_has_any(rest, words);
        }
        if (m->in_filename || m->in_tags || m->in_text)
                return 0;
        if (in_column(db, a, text, "filename", row, &m->in_filename, e) ||
            in_column(db, a, text, "tags", row, &m->in_tags, e))
                return -1;
        return in_column(db, a, text, "text", row, &m->in_text, e);
}

int sqlite_text_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                       struct text_match *out, size_t *n, struct err *e)
{
        char *all = text_fts_query(a, text, " AND ", NULL);
        int64_t *rows = arena_array(a, k + 1, sizeof *rows);
        char *words;

        if (!all || !rows)
                return err_oom(e);
        if (!*all)
                return 0;
        if (run_match(db, all, f, k, a, out, rows, n, e))
                return -1;
        words = text_fold(a, text);
        if (!words)
                return err_oom(e);
        for (size_t i = 0; i < *n; i++)
                if (tell_where(db, a, text, words, rows[i], &out[i], e))
                        return -1;
        return 0;
}
