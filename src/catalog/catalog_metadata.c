/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata by source. Nearly all assets have none but the analysis', and who
 * reads such an asset parses nothing.
 */
#include "catalog/catalog_rules.h"
#include "json/json.h"

#define MERGED_MAX ((size_t)16 << 20)

/* ---- one text of several ------------------------------------------------------------- */

struct merge {
        struct json *said[METADATA_TEXTS_MAX]; /* whose word counts most first */
        size_t n;
        struct buf text, value;
        struct json_out out;
};

/* What it names: by its own value, or by that of the first that names it too. */
static void merge_member(struct merge *m, const char *name)
{
        size_t i = 0;

        while (!json_get(m->said[i], name))
                i++;
        buf_reset(&m->value);
        json_dump(json_get(m->said[i], name), &m->value);
        json_key(&m->out, name);
        json_put_raw(&m->out, buf_failed(&m->value) ? NULL : buf_str(&m->value));
}

static bool named_below(const struct merge *m, size_t i, const char *name)
{
        while (++i < m->n)
                if (json_get(m->said[i], name))
                        return true;
        return false;
}

/* From the last: what the analysis tells keeps its order, and others add to it. */
static void merge_members(struct merge *m)
{
        json_out_init(&m->out, &m->text);
        json_obj(&m->out);
        for (size_t i = m->n; i-- > 0;)
                for (void *it = json_iter(m->said[i]); it; it = json_next(m->said[i], it))
                        if (!named_below(m, i, json_iter_key(it)))
                                merge_member(m, json_iter_key(it));
        json_end(&m->out);
}

static void parse_texts(struct merge *m, const struct source_metadata *texts, size_t n)
{
        struct err ignored;

        for (int source = 0; source < TAG_SOURCE_COUNT; source++)
                for (size_t i = 0; i < n; i++) {
                        struct json *doc = (int)texts[i].source == source && texts[i].text
                                                   ? json_parse(span_of(texts[i].text), &ignored)
                                                   : NULL;
                        if (json_is_object(doc))
                                m->said[m->n++] = doc;
                        else
                                json_free(doc);
                }
}

int metadata_merge(const struct source_metadata *texts, size_t n, struct arena *a, const char **out, struct err *e)
{
        struct merge m = {.n = 0};
        int rc = 0;

        assert(n <= METADATA_TEXTS_MAX);
        *out = NULL;
        parse_texts(&m, texts, n);
        if (m.n == 0)
                return 0;
        buf_init(&m.text, MERGED_MAX);
        buf_init(&m.value, MERGED_MAX);
        merge_members(&m);
        if (!buf_failed(&m.text) && !buf_failed(&m.value))
                *out = arena_strdup(a, buf_str(&m.text));
        if (!*out)
                rc = err_oom(e);
        buf_done(&m.value);
        buf_done(&m.text);
        while (m.n > 0)
                json_free(m.said[--m.n]);
        return rc;
}

int metadata_check(const struct source_metadata *m, struct err *e)
{
        struct json *doc;
        bool object;

        if (ANALYSIS_SOURCES >> m->source & 1)
                return err_set(e, ERR_INVALID, "metadata of source %s is what an analysis says",
                               tag_source_name(m->source));
        if (strlen(m->text) > METADATA_MAX)
                return err_set(e, ERR_INVALID, "metadata is longer than %zu bytes", METADATA_MAX);
        doc = json_parse(span_of(m->text), e);
        object = json_is_object(doc);
        json_free(doc);
        return object ? 0 : err_set(e, ERR_INVALID, "metadata is not a JSON object");
}

/* ---- in the catalog -------------------------------------------------------------------- */

int metadata_list(struct db *db, int64_t asset, struct arena *a, struct source_metadata **out, size_t *n, struct err *e)
{
        struct rows *s =
                db_query(db, e, "SELECT source, data FROM asset_metadata WHERE asset = ? ORDER BY source", "l", asset);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        *out = NULL;
        *n = 0;
        while (s && (rc = db_step(db, s, e)) > 0) {
                int source = col_int(s, 0);
                if (source < 0 || source >= TAG_SOURCE_COUNT)
                        continue;
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        return -1;
                }
                (*out)[(*n)++] = (struct source_metadata){(enum tag_source)source, col_text(a, s, 1, &ok)};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

int metadata_read(struct db *db, int64_t asset, const char *analysis, struct arena *a, const char **out, struct err *e)
{
        struct source_metadata texts[METADATA_TEXTS_MAX], *others;
        size_t n;

        if (metadata_list(db, asset, a, &others, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++)
                texts[i] = others[i];
        texts[n] = (struct source_metadata){TAG_ZERO_SHOT, analysis};
        return metadata_merge(texts, n + 1, a, out, e);
}

int metadata_description(struct db *db, int64_t asset, struct arena *a, const char **out, struct err *e)
{
        struct source_metadata *others;
        struct json *doc = NULL;
        const char *merged;
        bool named;
        size_t n;

        *out = NULL;
        if (metadata_list(db, asset, a, &others, &n, e) || metadata_merge(others, n, a, &merged, e))
                return -1;
        if (!merged)
                return 0;
        doc = json_parse(span_of(merged), e);
        if (!doc)
                return -1;
        named = json_get(doc, "description") != NULL;
        if (named)
                *out = arena_strdup(a, json_get_str(doc, "description", ""));
        json_free(doc);
        return named && !*out ? err_oom(e) : 0;
}

int metadata_put(struct tx *tx, int64_t asset, const struct source_metadata *m, struct err *e)
{
        return db_run(tx->db, e,
                      "INSERT INTO asset_metadata (asset, source, data) VALUES (?, ?, ?) ON CONFLICT (asset, source) "
                      "DO UPDATE SET data = excluded.data",
                      "lit", asset, (int)m->source, m->text);
}
