/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of new assets, indexed after their acknowledgement. FTS5 writes a
 * segment a transaction, in two tables: as many pages and as much work as all
 * other rows of an ingest. So a commit leaves new assets out, and the writer
 * takes them up together when it has nothing else to do or many are due. Who
 * searches by words has the rest taken up first, so nobody sees the delay.
 *
 * Asset numbers only ever ascend, and they are taken up in that order: those up
 * to words_done are in the indexes, those behind it are not. A start finds the
 * mark again as the last row of asset_text.
 */
#include "catalog/sqlite/sqlite_priv.h"

#define SLICE 256 /* assets a write: some 10 ms */

int words_open(struct sqlite_catalog *c, struct db *db, struct err *e)
{
        int64_t done = 0, newest = 0;

        if (db_int(db, e, &done, "SELECT coalesce(max(n), 0) FROM asset_text", "") < 0 ||
            db_int(db, e, &newest, "SELECT coalesce(max(n), 0) FROM asset", "") < 0)
                return -1;
        atomic_store(&c->words_done, done);
        atomic_store(&c->words_newest, newest);
        return parts_open(c, db, e);
}

int64_t words_due(struct sqlite_catalog *c)
{
        return atomic_load(&c->words_newest) - atomic_load(&c->words_done) + atomic_load(&c->parts_newest) -
               atomic_load(&c->parts_done);
}

void words_leave(struct sqlite_work *w)
{
        struct work *base = &w->base;
        size_t kept = 0;

        for (size_t i = 0; i < base->ntexts; i++) {
                int64_t n = base->texts[i];
                if (n <= w->words_done)
                        base->texts[kept++] = n;
                else if (n > w->words_newest)
                        w->words_newest = n;
        }
        base->ntexts = kept;
}

static int next_slice(struct db *db, int64_t after, int64_t ns[SLICE], size_t *count, struct err *e)
{
        struct rows *s = db_query(db, e, "SELECT n FROM asset WHERE n > ? ORDER BY n LIMIT ?", "li", after, SLICE);
        int rc = -1;

        *count = 0;
        while (s && (rc = db_step(db, s, e)) > 0)
                ns[(*count)++] = col_i64(s, 0);
        return rc;
}

static int assets_catch_up(struct tx *tx, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);
        int64_t ns[SLICE];
        size_t count;

        if (next_slice(tx->db, w->words_done, ns, &count, e) < 0)
                return -1;
        for (size_t i = 0; i < count; i++) {
                struct arena *a = arena_new(16 << 20);
                int rc = a ? sqlite_text_put(tx->db, ns[i], a, e) : err_oom(e);
                arena_free(a);
                if (rc < 0)
                        return -1;
        }
        if (count > 0)
                w->words_done = ns[count - 1];
        if (count < SLICE && w->words_done < w->words_newest) /* the last of them are gone already */
                w->words_done = w->words_newest;
        return 0;
}

int words_catch_up(struct tx *tx, void *arg, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        (void)arg;
        if (w->words_done < w->words_newest && assets_catch_up(tx, e))
                return -1;
        return w->parts_done < w->parts_newest ? parts_catch_up(tx, e) : 0;
}

/* Where the catalog cannot be written, what is indexed is still found. */
void sqlite_words_settle(struct catalog *base, enum words_of what)
{
        struct sqlite_catalog *c = self_of(base);
        _Atomic int64_t *done = what == WORDS_OF_PARTS ? &c->parts_done : &c->words_done;
        int64_t newest = atomic_load(what == WORDS_OF_PARTS ? &c->parts_newest : &c->words_newest);
        struct err ignored;

        while (atomic_load(done) < newest)
                if (write_do(base, LANE_RESULT, words_catch_up, NULL, &ignored) < 0)
                        return;
}
