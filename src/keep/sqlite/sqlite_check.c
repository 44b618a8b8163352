/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of what only SQLite has: a file that may be damaged, full text in virtual tables, and cached vectors in a
 * file beside it.
 */
#include "keep/keep_check_priv.h"
#include "catalog/sqlite/sqlite.h"
#include "vector/vector_table.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static bool is_sqlite(const struct check_run *run)
{
        return run->c->dialect == DIALECT_SQLITE;
}

int sqlite_check_file(struct check_run *run, struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        struct rows *s;
        int rc = -1;

        if (!is_sqlite(run) || run->o->quick)
                return 0;
        db = read_begin(run->c, e);
        if (!db)
                return -1;
        s = db_query(db, e, "PRAGMA quick_check(20)", "");
        while (s && (rc = db_step(db, s, e)) > 0)
                if (strcmp(or_empty(col_str(s, 0)), "ok") != 0)
                        check_tell(run, "SQLite finds the file damaged (restore a backup): %s",
                                   or_empty(col_str(s, 0)));
        read_end(run->c, db, began);
        return rc < 0 ? -1 : 0;
}

/* ---- words -------------------------------------------------------------------------------- */

struct words {
        bool rebuild;
        const char *damaged; /* the first of the three indexes that does not match its content */
};

static int do_words(struct tx *tx, void *arg, struct err *e)
{
        struct words *w = arg;

        if (w->rebuild)
                return db_run(tx->db, e, "INSERT INTO asset_fts (asset_fts) VALUES ('rebuild')", "") ||
                                       db_run(tx->db, e, "INSERT INTO name_fts (name_fts) VALUES ('rebuild')", "") ||
                                       sqlite_parts_again(tx, e)
                               ? -1
                               : 0;
        w->damaged = "words";
        if (db_run(tx->db, e, "INSERT INTO asset_fts (asset_fts, rank) VALUES ('integrity-check', 1)", ""))
                return -1;
        w->damaged = "names";
        if (db_run(tx->db, e, "INSERT INTO name_fts (name_fts, rank) VALUES ('integrity-check', 1)", ""))
                return -1;
        w->damaged = "texts of parts";
        if (sqlite_parts_settle(tx, e))
                return -1;
        if (db_run(tx->db, e, "INSERT INTO part_fts (part_fts, rank) VALUES ('integrity-check', 1)", ""))
                return -1;
        w->damaged = NULL;
        return 0;
}

/* This check runs on the writer's connection. */
int sqlite_check_words(struct check_run *run, struct err *e)
{
        struct words w = {.rebuild = false};
        struct err why;

        if (!is_sqlite(run) || !run->o->alone)
                return 0;
        if (write_do(run->c, LANE_BULK, do_words, &w, &why) == 0)
                return 0;
        if (!w.damaged) {
                *e = why;
                return -1;
        }
        check_tell(run, "the index of %s does not match its content: %s", w.damaged, why.msg);
        w.rebuild = true;
        if (!run->o->repair)
                return 0;
        if (write_do(run->c, LANE_BULK, do_words, &w, e) < 0)
                return -1;
        run->r->mended = run->r->found;
        return 0;
}

/* ---- vectors -------------------------------------------------------------------------------- */

int sqlite_check_vectors(struct check_run *run, struct err *e)
{
        char path[4096];
        struct dirent *d;
        DIR *dir;
        int rc = 0;

        if (!is_sqlite(run))
                return 0;
        snprintf(path, sizeof path, "%s", sqlite_vector_dir(run->c));
        dir = opendir(path);
        if (!dir)
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot read %.200s", path);
        while (rc == 0 && (d = readdir(dir)) != NULL) {
                size_t n = strlen(d->d_name);
                if (n < 4 || strcmp(d->d_name + n - 3, ".i8") != 0)
                        continue;
                snprintf(path, sizeof path, "%.3000s/%.255s", sqlite_vector_dir(run->c), d->d_name);
                if (cache_whole(path) != 0)
                        continue;
                check_tell(run, "the cache of vectors is damaged (the service rebuilds it): %s", path);
                if (!run->o->repair)
                        continue;
                rc = unlink(path) ? err_errno(e, errno, "cannot remove %.200s", path) : 0;
                run->r->mended += rc == 0;
        }
        closedir(dir);
        return rc;
}
