/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog on SQLite: opening, closing, what its hooks do at the moments of
 * a transaction, and the loader, a thread for what must not hold the writer up:
 * loading vectors and writing the cache file.
 */
#include "catalog/sqlite/sqlite_priv.h"

#include <stdio.h>
#include <unistd.h>

/* ---- the loader --------------------------------------------------------------------- */

static bool take_wish(bool *what)
{
        bool was = *what;

        *what = false;
        return was;
}

static void *loader_main(void *arg)
{
        struct sqlite_catalog *c = arg;
        bool load, save;

        for (;;) {
                lock_take(&c->llock);
                while (!c->want_load && !c->want_save && !atomic_load(&c->loader_stop))
                        cond_wait(&c->lcond, &c->llock);
                load = take_wish(&c->want_load);
                save = take_wish(&c->want_save);
                lock_drop(&c->llock);
                if (atomic_load(&c->loader_stop))
                        return NULL;
                if (load)
                        index_load(c);
                if (save)
                        index_save(c, false);
        }
}

static int loader_start(struct sqlite_catalog *c, struct err *e)
{
        if (thread_start(&c->loader, "catalog-loader", loader_main, c))
                return err_set(e, ERR_OOM, "catalog: cannot start the loader thread");
        c->loader_runs = true;
        return 0;
}

static void loader_end(struct sqlite_catalog *c)
{
        if (!c->loader_runs)
                return;
        lock_take(&c->llock);
        atomic_store(&c->loader_stop, true);
        cond_signal(&c->lcond);
        lock_drop(&c->llock);
        pthread_join(c->loader, NULL);
        c->loader_runs = false;
}

/* ---- transactions --------------------------------------------------------------------- */

static int hook_opened(void *owner, struct db *db, struct err *e)
{
        struct sqlite_catalog *c = owner;

        if (cursor_secret_load(&c->base, db, e) ||
            db_int(db, e, &c->waiting,
                   "SELECT (SELECT count(*) FROM task WHERE state = 0 AND purpose = 0) + (SELECT count(*) FROM task "
                   "WHERE state = 1 AND purpose = 0)",
                   "") < 0)
                return -1;
        return words_open(c, db, e);
}

static void hook_work_done(void *work)
{
        mem_free(((struct sqlite_work *)work)->events);
        work_done(work);
}

static void hook_begin(struct tx *tx)
{
        struct sqlite_catalog *c = self_of(catalog_of(tx));
        struct sqlite_work *w = sqlite_work_of(tx);

        work_begin(tx);
        w->nevents = 0;
        w->words_done = atomic_load(&c->words_done);
        w->words_newest = atomic_load(&c->words_newest);
        w->parts_done = atomic_load(&c->parts_done);
        w->parts_newest = atomic_load(&c->parts_newest);
}

static void hook_mark(struct tx *tx)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        work_mark(tx);
        w->before.nevents = w->nevents;
        w->before.words_done = w->words_done;
        w->before.parts_done = w->parts_done;
        w->before.parts_newest = w->parts_newest;
}

static void hook_rewind(struct tx *tx)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        work_rewind(tx);
        w->nevents = w->before.nevents;
        w->words_done = w->before.words_done;
        w->parts_done = w->before.parts_done;
        w->parts_newest = w->before.parts_newest;
}

/* Texts are indexed once for all writes of a transaction: FTS5 writes a segment at every savepoint otherwise. */
static int hook_finish(struct tx *tx, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        words_leave(w);
        if (text_flush(tx, e) || mark_flush(tx, e))
                return -1;
        for (size_t i = 0; i < w->nevents; i++)
                if (w->events[i].kind == EVENT_VECTOR)
                        return db_run(tx->db, e, "UPDATE meta SET value = value + 1 WHERE key = 'epoch'", "");
        return 0;
}

static void hook_committed(struct tx *tx)
{
        struct sqlite_catalog *c = self_of(catalog_of(tx));
        struct sqlite_work *w = sqlite_work_of(tx);

        c->waiting += w->base.waiting;
        atomic_store(&c->words_newest, w->words_newest);
        atomic_store(&c->words_done, w->words_done);
        atomic_store(&c->parts_newest, w->parts_newest);
        atomic_store(&c->parts_done, w->parts_done);
        if (w->nevents)
                index_apply(c, tx->db, w->events, w->nevents);
}

static int64_t hook_due(void *owner)
{
        return words_due(owner);
}

static void hook_quiet(void *owner)
{
        struct sqlite_catalog *c = owner;

        loader_ask(c, &c->want_save);
}

static const struct db_hooks hooks = {
        .work_size = sizeof(struct sqlite_work),
        .work_done = hook_work_done,
        .opened = hook_opened,
        .begin = hook_begin,
        .mark = hook_mark,
        .flush = count_flush,
        .rewind = hook_rewind,
        .finish = hook_finish,
        .committed = hook_committed,
        .due = hook_due,
        .catch_up = words_catch_up,
        .quiet = hook_quiet,
};

/* ---- what the rules ask for ----------------------------------------------------------------- */

static int sqlite_event(struct tx *tx, struct event ev, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        if (mem_grow((void **)&w->events, &w->events_cap, w->nevents + 1, sizeof *w->events))
                return err_oom(e);
        w->events[w->nevents++] = ev;
        return 0;
}

/* What is committed, and what the transaction has done before. */
static int sqlite_waiting(struct tx *tx, int64_t *n, struct err *e)
{
        (void)e;
        *n = self_of(catalog_of(tx))->waiting + work_of(tx)->waiting;
        return 0;
}

static void sqlite_close(struct catalog *base)
{
        struct sqlite_catalog *c = self_of(base);

        loader_end(c);
        database_close(base->database);
        index_save(c, true);
        helper_close(c->helper);
        for (size_t i = 0; i < atomic_load(&c->nindexes); i++)
                index_free(c->indexes[i]);
        lock_done(&c->llock);
        cond_done(&c->lcond);
        mem_free(c->vector_dir);
        mem_free(c);
}

static const struct search_engine sqlite_search = {
        .name = "sqlite",
        .close = sqlite_close,
        .waiting = sqlite_waiting,
        .event = sqlite_event,
        .vector_put = sqlite_vector_put,
        .prototype_put = sqlite_prototype_put,
        .part_add = sqlite_part_add,
        .parts_again = sqlite_parts_again,
        .parts_have_text = sqlite_parts_have_text,
        .part_search = sqlite_part_search,
        .text_put = sqlite_text_put,
        .use_model = sqlite_use_model,
        .model = index_model,
        .warm = sqlite_warm,
        .vector_search = sqlite_vector_search,
        .prototype_search = sqlite_prototype_search,
        .text_search = sqlite_text_search,
        .words_settle = sqlite_words_settle,
};

const char *sqlite_vector_dir(const struct catalog *c)
{
        return ((const struct sqlite_catalog *)c)->vector_dir;
}

int catalog_sqlite_plan(const struct catalog_opts *opts, struct arena *a, struct migration_plan *out, struct err *e)
{
        int rc = sqlite_database_plan(opts->url + strlen("sqlite://"), catalog_migrations_sqlite, a, out, e);

        out->engine = "sqlite";
        return rc;
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* <data>/vector; the caller's. NULL on OOM. */
static char *vector_dir_of(const char *data_path)
{
        size_t n = strlen(data_path) + sizeof "/vector";
        char *dir = mem_alloc(n);

        if (dir)
                snprintf(dir, n, "%s/vector", data_path);
        return dir;
}

static int start_catalog(struct sqlite_catalog *c, const struct catalog_opts *opts, struct err *e)
{
        const struct sqlite_opts database = {.path = opts->url + strlen("sqlite://"),
                                             .min_free = opts->min_free,
                                             .functions = rank_register,
                                             .migrations = catalog_migrations_sqlite,
                                             .watch = opts->watch,
                                             .hooks = &hooks,
                                             .owner = c};

        if (!c->vector_dir)
                return err_oom(e);
        if (dir_make(c->vector_dir, e) || sqlite_database_open(&database, &c->base.database, e))
                return -1;
        return loader_start(c, e);
}

int catalog_sqlite_open(const struct catalog_opts *opts, struct catalog **out, struct err *e)
{
        struct sqlite_catalog *c = mem_calloc(1, sizeof *c);

        if (!c)
                return err_oom(e);
        catalog_init(&c->base, DIALECT_SQLITE, &sqlite_search, opts);
        lock_init(&c->llock, "catalog loader", RANK_CATALOG_INDEX);
        cond_init(&c->lcond);
        c->vector_dir = vector_dir_of(opts->data_path);
        if (start_catalog(c, opts, e)) {
                sqlite_close(&c->base);
                return -1;
        }
        if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && helper_open("catalog-scan", &c->helper))
                c->helper = NULL; /* then each scans alone */
        *out = &c->base;
        return 0;
}
