/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full text. Words are cut here and handed to PostgreSQL as a finished tsvector:
 * its own parser takes "beach.jpg" for a host and depends on the server's
 * locale. Both sides are folded and lose their accents, so what is stored and
 * what is asked meet; every word asked is a prefix, and all must occur.
 */
#include "catalog/postgres/postgres_priv.h"
#include "json/json.h"

#define WORD_MAX   128 /* bytes of a word that count */
#define WORDS_MAX  32  /* of a search */
#define PART_MAX   100000
#define VECTOR_MAX (512 * 1024) /* bytes of words indexed of one asset; a tsvector holds a megabyte */
#define SCORED_MAX 5000

/* ---- words ---------------------------------------------------------------------------- */

/* Length of the character at p, and whether words end at it. */
static size_t char_at(const unsigned char *p, bool *apart)
{
        uint32_t c = p[0];
        size_t n = 1;

        if (c < 0x80) {
                *apart = !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
                return 1;
        }
        if (c >= 0xF0) {
                *apart = false;
                n = 4;
        } else if (c >= 0xE0) {
                c = (c & 0x0FU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);
                /* General punctuation, CJK punctuation, variation selectors, full-width punctuation. */
                *apart = (c >= 0x2000 && c <= 0x206F) || (c >= 0x3000 && c <= 0x303F) || (c >= 0xFE00 && c <= 0xFE0F) ||
                         (c >= 0xFF00 && c <= 0xFF0F);
                n = 3;
        } else {
                c = (c & 0x1FU) << 6 | (p[1] & 0x3FU);
                *apart = c <= 0xBF && c != 0xAA && c != 0xB5 && c != 0xBA;
                n = 2;
        }
        return n;
}

/* The next word of well-formed UTF-8, cut to WORD_MAX bytes. */
static bool word_next(const char **s, struct span *out)
{
        const char *p = *s;
        bool apart = true;
        size_t n = 0;

        while (*p && (n = char_at((const unsigned char *)p, &apart), apart))
                p += n;
        *out = (struct span){p, 0};
        if (!*p)
                return false;
        while (*p && (n = char_at((const unsigned char *)p, &apart), !apart)) {
                p += n;
                if ((size_t)(p - out->p) <= WORD_MAX)
                        out->n = (size_t)(p - out->p);
        }
        *s = p;
        return true;
}

static bool is_ascii(const char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s >= 0x80)
                        return false;
        return true;
}

/* Folded, compatibility forms taken apart, accents dropped; the database knows Unicode's tables. NULL on error. */
static char *plain(struct db *db, struct arena *a, const char *text, struct err *e)
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

static void put_words(struct buf *b, const char *text, char weight, unsigned *at)
{
        struct span w;

        while (b->n < VECTOR_MAX && word_next(&text, &w))
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
                "?2), a.metadata FROM asset a WHERE a.n = ?1",
                "li", n, PART_MAX);
        const char *name, *tags, *comments, *metadata, *description;
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
        db_end(s);
        if (!ok || !(name = text_name_words(a, name)))
                return err_oom(e);
        if (description_of(metadata, a, &description, e) < 0)
                return -1;
        both = arena_printf(a, "%s %s", comments, description);
        if (!both)
                return err_oom(e);
        out->filename = plain(db, a, name, e);
        out->tags = out->filename ? plain(db, a, tags, e) : NULL;
        out->text = out->tags ? plain(db, a, both, e) : NULL;
        return out->text ? 0 : -1;
}

static int words_put(struct db *db, int64_t n, const struct words *w, struct err *e)
{
        struct buf b;
        unsigned at = 1;
        int rc;

        buf_init(&b, 2 * VECTOR_MAX);
        put_words(&b, w->filename, 'A', &at);
        put_words(&b, w->tags, 'B', &at);
        put_words(&b, w->text, 'C', &at);
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

        if (words_now(db, n, a, &w, e) < 0)
                return -1;
        return w.filename ? words_put(db, n, &w, e) : 0;
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
        for (unsigned n = 0; n < WORDS_MAX && word_next(&text, &w); n++) {
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

static struct rows *run(struct db *db, const char *expr, const struct asset_filter *f, size_t k, struct arena *a,
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
        char *words = plain(db, a, text, e), *expr = words ? query_of(a, words) : NULL;
        struct rows *s;

        if (!words)
                return -1;
        if (!expr)
                return err_oom(e);
        if (!*expr)
                return 0;
        s = run(db, expr, f, k, a, e);
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
