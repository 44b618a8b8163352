/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full text. Words are cut here and handed to PostgreSQL as a finished tsvector:
 * its own parser takes "beach.jpg" for a host and depends on the server's
 * locale. Both sides are folded and lose their accents, so what is stored and
 * what is asked meet; every word asked is a prefix, and all must occur.
 */
#include "catalog/postgres/postgres_priv.h"
#include "json/json.h"

#define WORDS_MAX  32 /* of a search */
#define PART_MAX   100000
#define VECTOR_MAX (512 * 1024) /* bytes of words indexed of one asset; a tsvector holds a megabyte */
#define SCORED_MAX 5000
/* Of one part: with a place for each word what PART_TEXT_MAX bytes come to, unless normalising makes far more of them.
 */
#define PART_VECTOR_MAX (1000 * 1000)

/* ---- words ---------------------------------------------------------------------------- */

static bool is_ascii(const char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s >= 0x80)
                        return false;
        return true;
}

/* Folded, compatibility forms taken apart, accents dropped; the database knows Unicode's tables. NULL on error. */
static char *plain_text(struct db *db, struct arena *a, const char *text, struct err *e)
{
        struct rows *s;
        const char *bare;
        char *fold;
        bool ok = true;

        fold = text_fold(a, text);
        if (!fold)
                err_oom(e);
        if (!fold || is_ascii(fold))
                return fold;
        s = db_query(db, e, "SELECT regexp_replace(normalize(?, NFKD), '[\\u0300-\\u036F]', '', 'g')", "t", fold);
        if (!s || db_step(db, s, e) <= 0)
                return NULL;
        bare = col_text(a, s, 0, &ok);
        db_end(s);
        fold = bare ? text_fold(a, bare) : NULL;
        if (!fold)
                err_oom(e);
        return fold;
}

/* ---- indexing -------------------------------------------------------------------------- */

struct words {
        char *filename, *tags, *text;
};

static void put_words(struct buf *b, const char *text, char weight, unsigned *at, size_t max)
{
        struct span w;

        while (b->n < max && text_word_next(&text, &w))
                buf_printf(b, "'%.*s':%u%c ", (int)w.n, w.p, (*at)++, weight);
        *at += 10; /* no phrase goes over from one part to the next */
}

static int description_of(const char *metadata, struct arena *a, const char **out, struct err *e)
{
        struct err ignored;
        struct json *doc = metadata ? json_parse(span_of(metadata), &ignored) : NULL;
        const char *s = doc ? json_get_str(doc, "description", NULL) : NULL;

        *out = s ? arena_strdup(a, s) : "";
        json_free(doc);
        return *out ? 0 : err_oom(e);
}

/* What is to be found of the asset; filename NULL when it is gone. */
static int words_now(struct db *db, int64_t n, struct arena *a, struct words *out, struct err *e)
{
        struct rows *s = db_query(
                db, e,
                /* Cut, so that one absurd description cannot make an asset unindexable. */
                "SELECT a.filename, coalesce((SELECT substr(string_agg(t.name, ' , ' ORDER BY t.n), 1, ?2) FROM "
                "asset_tag x JOIN tag t ON t.n = x.tag WHERE x.asset = a.n), ''), substr(coalesce(a.comments, ''), 1, "
                "?2), a.metadata, (SELECT count(*) FROM asset_metadata x WHERE x.asset = a.n) FROM asset a WHERE a.n = "
                "?1",
                "li", n, PART_MAX);
        const char *name, *tags, *comments, *metadata, *description = NULL;
        bool others;
        char *both;
        bool ok = true;

        *out = (struct words){0};
        if (!s)
                return -1;
        if (db_step(db, s, e) == 0)
                return 0;
        name = col_text(a, s, 0, &ok);
        tags = col_text(a, s, 1, &ok);
        comments = col_text(a, s, 2, &ok);
        metadata = col_text(a, s, 3, &ok);
        others = col_i64(s, 4) > 0;
        db_end(s);
        if (!ok || !(name = text_name_words(a, name)))
                return err_oom(e);
        if ((others && metadata_description(db, n, a, &description, e)) ||
            (!description && description_of(metadata, a, &description, e)))
                return -1;
        both = arena_printf(a, "%s %s", comments, description);
        if (!both)
                return err_oom(e);
        out->filename = plain_text(db, a, name, e);
        out->tags = out->filename ? plain_text(db, a, tags, e) : NULL;
        out->text = out->tags ? plain_text(db, a, both, e) : NULL;
        return out->text ? 0 : -1;
}

static int words_put(struct db *db, int64_t n, const struct words *w, struct err *e)
{
        struct buf b;
        unsigned at = 1;
        int rc;

        buf_init(&b, 2 * VECTOR_MAX);
        put_words(&b, w->filename, 'A', &at, VECTOR_MAX);
        put_words(&b, w->tags, 'B', &at, VECTOR_MAX);
        put_words(&b, w->text, 'C', &at, VECTOR_MAX);
        if (buf_failed(&b))
                rc = err_oom(e);
        else
                rc = db_run(db, e,
                            "INSERT INTO asset_text (n, filename, tags, text, words) VALUES (?, ?, ?, ?, ?::tsvector) "
                            "ON CONFLICT (n) DO UPDATE SET filename = excluded.filename, tags = excluded.tags, text = "
                            "excluded.text, words = excluded.words WHERE (asset_text.filename, asset_text.tags, "
                            "asset_text.text) IS DISTINCT FROM (excluded.filename, excluded.tags, excluded.text)",
                            "ltttt", n, w->filename, w->tags, w->text, buf_str(&b));
        buf_done(&b);
        return rc;
}

/* The row of an asset that is gone went with it. */
int pg_text_put(struct db *db, int64_t n, struct arena *a, struct err *e)
{
        struct words w;

        if (words_now(db, n, a, &w, e))
                return -1;
        return w.filename ? words_put(db, n, &w, e) : 0;
}

/* ---- parts ----------------------------------------------------------------------------- */

/* A text as a tsvector, into b. */
static int text_words(struct db *db, const char *text, struct arena *a, struct buf *b, struct err *e)
{
        const char *folded = plain_text(db, a, text, e);
        unsigned at = 1;

        if (!folded)
                return -1;
        put_words(b, folded, 'A', &at, PART_VECTOR_MAX);
        return buf_failed(b) ? err_oom(e) : 0;
}

static int part_insert(struct tx *tx, int64_t asset, const struct new_part *p, const char *words, int64_t *n,
                       struct err *e)
{
        return db_int(tx->db, e, n,
                      "INSERT INTO part (asset, kind, position, time_us, page, text_offset, text, words) VALUES "
                      "(?, ?, ?, nullif(?, 0::bigint), nullif(?, 0::bigint), nullif(?, 0::bigint), ?, ?::tsvector) "
                      "RETURNING n",
                      "liillltt", asset, (int)p->kind, (int)p->position, p->time_us, (int64_t)p->page,
                      (int64_t)p->offset, p->text, words) < 0
                       ? -1
                       : 0;
}

int pg_part_add(struct tx *tx, int64_t asset, const struct new_part *p, int64_t *n, struct err *e)
{
        struct arena *a;
        struct buf b;
        int rc;

        if (!p->text)
                return part_insert(tx, asset, p, NULL, n, e);
        a = arena_new(64u << 20);
        if (!a)
                return err_oom(e);
        buf_init(&b, 4 * VECTOR_MAX);
        rc = text_words(tx->db, p->text, a, &b, e);
        if (rc == 0)
                rc = part_insert(tx, asset, p, buf_str(&b), n, e);
        buf_done(&b);
        arena_free(a);
        return rc;
}

static int words_of_part(struct db *db, int64_t n, const char *text, struct arena *a, struct err *e)
{
        struct buf b;
        int rc;

        buf_init(&b, 4 * VECTOR_MAX);
        rc = text_words(db, text, a, &b, e);
        if (rc == 0)
                rc = db_run(db, e, "UPDATE part SET words = ?::tsvector WHERE n = ?", "tl", buf_str(&b), n);
        buf_done(&b);
        return rc;
}

int pg_part_words(struct db *db, struct err *e)
{
        struct arena *a = arena_new(64u << 20);
        struct rows *s;
        bool ok = true;
        int rc;

        if (!a)
                return err_oom(e);
        s = db_query(db, e, "SELECT n, text FROM part WHERE text IS NOT NULL AND words IS NULL ORDER BY n LIMIT 1", "");
        rc = s ? db_step(db, s, e) : -1;
        if (rc > 0) {
                int64_t n = col_i64(s, 0);
                const char *text = col_text(a, s, 1, &ok);
                db_end(s);
                rc = !ok ? err_oom(e) : words_of_part(db, n, text, a, e) ? -1 : 1;
        }
        arena_free(a);
        return rc;
}

int pg_parts_again(struct tx *tx, struct err *e)
{
        int rc;

        do
                rc = pg_part_words(tx->db, e);
        while (rc > 0);
        return rc;
}

/* ---- searching ---------------------------------------------------------------------------- */

static bool blank_between(const char *from, const char *to)
{
        for (; from < to; from++)
                if ((unsigned char)*from <= ' ')
                        return true;
        return false;
}

/* What stands together without a blank is a phrase, its last word a prefix; "" when there is no word. NULL on OOM. */
static char *query_of(struct arena *a, const char *text)
{
        const char *after = NULL; /* the word before */
        struct buf b;
        struct span w;
        char *out;

        buf_init(&b, 16 * 1024);
        for (unsigned n = 0; n < WORDS_MAX && text_word_next(&text, &w); n++) {
                if (after)
                        buf_puts(&b, blank_between(after, w.p) ? ":* & " : " <-> ");
                buf_printf(&b, "'%.*s'", (int)w.n, w.p);
                after = w.p + w.n;
        }
        if (after)
                buf_puts(&b, ":*");
        out = buf_failed(&b) ? NULL : arena_strdup(a, buf_str(&b));
        buf_done(&b);
        return out;
}

static struct rows *run_match(struct db *db, const char *expr, const struct asset_filter *f, size_t k, struct arena *a,
                              struct err *e)
{
        struct rows *s = NULL;
        struct sql q;

        sql_init(&q, db, a);
        /* A word that half of all names hold ranks nothing: only the newest hits are scored then. */
        sql_text(&q,
                 "SELECT h.id, -ts_rank('{0, 0.25, 0.75, 1}', h.words, h.query)::float8 AS score, h.filename, h.tags, "
                 "h.text FROM (SELECT a.id, a.n, w.words, w.filename, w.tags, w.text, y.query FROM (SELECT "
                 "?::tsquery AS query) AS y JOIN asset_text w ON w.words @@ y.query JOIN asset a ON a.n = w.n",
                 expr);
        if (sql_filter(&q, f, e) == 0) {
                sql_int(&q, " ORDER BY a.n DESC LIMIT ?) AS h", k < SCORED_MAX ? SCORED_MAX : (int64_t)k);
                sql_int(&q, " ORDER BY score, h.n LIMIT ?", (int64_t)k);
                s = sql_run(&q, e);
        }
        sql_done(&q);
        return s;
}

int pg_text_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                   struct text_match *out, size_t *n, struct err *e)
{
        char *words = plain_text(db, a, text, e), *expr = words ? query_of(a, words) : NULL;
        struct rows *s;

        if (!words)
                return -1;
        if (!expr)
                return err_oom(e);
        if (!*expr)
                return 0;
        s = run_match(db, expr, f, k, a, e);
        if (!s)
                return -1;
        while (*n < k && db_step(db, s, e) > 0)
                out[(*n)++] = (struct text_match){.asset = col_id(s, 0),
                                                  .rank = (float)col_f64(s, 1),
                                                  .in_filename = text_has_any(col_str(s, 2), words),
                                                  .in_tags = text_has_any(col_str(s, 3), words),
                                                  .in_text = text_has_any(col_str(s, 4), words)};
        rows_free(s);
        return 0;
}

/* The best part of each asset, among the newest where there are too many. */
static struct rows *run_parts(struct db *db, const char *expr, const struct asset_filter *f, size_t k, struct arena *a,
                              struct err *e)
{
        struct rows *s = NULL;
        struct sql q;

        sql_init(&q, db, a);
        sql_text(
                &q,
                "SELECT id, n, kind, score FROM (SELECT DISTINCT ON (asset) id, asset, n, kind, score FROM (SELECT "
                "a.id, a.n AS asset, p.n, p.kind, -ts_rank('{0, 0.25, 0.75, 1}', p.words, y.query, 1)::float8 AS score "
                "FROM (SELECT ?::tsquery AS query) AS y JOIN part p ON p.words @@ y.query AND p.words IS NOT NULL JOIN "
                "asset a ON a.n = p.asset",
                expr);
        if (sql_filter(&q, f, e) == 0) {
                if (f->parts)
                        sql_set(&q, "p.kind", f->parts);
                sql_int(&q, " ORDER BY p.n DESC LIMIT ?) AS h ORDER BY asset, score, n) AS best", PARTS_SCORED_MAX);
                sql_int(&q, " ORDER BY score, id LIMIT ?", (int64_t)k);
                s = sql_run(&q, e);
        }
        sql_done(&q);
        return s;
}

int pg_part_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                   struct part_match *out, size_t *n, struct err *e)
{
        char *words = plain_text(db, a, text, e), *expr = words ? query_of(a, words) : NULL;
        struct rows *s;

        if (!words)
                return -1;
        if (!expr)
                return err_oom(e);
        if (!*expr)
                return 0;
        s = run_parts(db, expr, f, k, a, e);
        if (!s)
                return -1;
        while (*n < k && db_step(db, s, e) > 0)
                out[(*n)++] = (struct part_match){.asset = col_id(s, 0),
                                                  .part = col_i64(s, 1),
                                                  .kind = (enum part_kind)col_int(s, 2),
                                                  .rank = (float)col_f64(s, 3)};
        rows_free(s);
        return 0;
}
