/* SPDX-License-Identifier: Apache-2.0 */
/* Each reference that a table's description names leads to nothing once: it is told, and mended as described. */
#include "contract/fsck_world.h"

#include "keep/keep_catalog_tables.h"

/* A row, at least, in each table that refers to another. */
static const char rest_sql[] =
        "INSERT INTO cluster_alias (id, target) SELECT a.id, c.id FROM asset a, cluster c LIMIT 1;"
        "INSERT INTO task_error (task, at, stage, code, message, crash) SELECT min(n), 1, 'decode', 'io', 'no', 0 FROM "
        "task;"
        "INSERT INTO tag (name, fold) VALUES ('cat', 'cat');"
        "INSERT INTO asset_tag (asset, tag, source, confidence) SELECT a.n, t.n, 1, 1 FROM asset a, tag t;"
        "INSERT INTO asset_metadata (asset, source, data) SELECT n, 1, '{}' FROM asset;"
        "INSERT INTO near_duplicate (asset, other, distance) SELECT a.n, b.n, 1 FROM asset a, asset b WHERE a.n <> b.n;"
        "INSERT INTO phash_band (owner, band, value, asset, phash) SELECT owner, 9, 9, n, 9 FROM asset;"
        "INSERT INTO step_result (object, step, version, data) SELECT sha256, 's', '1', sha256 FROM object;"
        "INSERT INTO operation (id, owner, at, actor, kind) SELECT id, owner, 1, 'user', 'move' FROM asset;"
        "INSERT INTO operation_item (operation, asset, before_pinned) SELECT max(n), 1, 0 FROM operation;"
        "INSERT INTO api_key (id, name, prefix, hash, scope, created, created_by) SELECT id, 'k', filename, sha256, 0, "
        "1, 'user' FROM asset LIMIT 1;"
        "INSERT INTO session (hash, api_key, expires) SELECT hash, n, 9 FROM api_key LIMIT 1;";
static const char rest_postgres_sql[] = "INSERT INTO task_failed (task, stage, code, error, input_fault, first_failed, "
                                        "last_failed) SELECT min(n), 'decode', 'io', 'no', 0, 1, 1 FROM task";

/* Past the foreign keys; backend_sql is a superuser's. */
static void exec_unchecked(struct world *w, const char *sql)
{
        char all[700];

        snprintf(all, sizeof all, "%s; %s",
                 SQLITE ? "PRAGMA foreign_keys = OFF" : "SET session_replication_role = replica", sql);
        close_all(w);
        backend_sql(w->f->url, all);
        open_all(w);
}

static const char *nowhere(char type)
{
        static const char *const values[][2] = {
                ['l'] = {"999999", "999999"},
                ['u'] = {"x'0123456789ABCDEF0123456789ABCDEF'", "'01234567-89AB-CDEF-0123-456789ABCDEF'"},
                ['b'] = {"zeroblob(32)", "decode(repeat('00', 32), 'hex')"}};

        return values[(int)type][!SQLITE];
}

static void break_reference(struct world *w, const struct table *t, const struct table_column *c)
{
        char sql[500];

        snprintf(sql, sizeof sql, "UPDATE %s SET %s = %s WHERE (%s) = (SELECT %s FROM %s ORDER BY %s LIMIT 1)", t->name,
                 c->name, nowhere(c->type), t->key, t->key, t->name, t->key);
        exec_unchecked(w, sql);
}

/* What nothing refers to any more is where it came from. */
static void put_back(struct world *w, const struct table *t, const struct table_column *c)
{
        char sql[500];

        snprintf(sql, sizeof sql,
                 "UPDATE %s SET %s = (SELECT %s FROM %s WHERE %s NOT IN (SELECT %s FROM %s)) WHERE %s = %s", t->name,
                 c->name, c->key, c->table, c->key, c->name, t->name, c->name, nowhere(c->type));
        exec_unchecked(w, sql);
        fsck(w, true);
        assert_clean(w);
}

static void expect_orphan_mended(struct world *w, const struct table *t, const struct table_column *c)
{
        struct fsck_report r = fsck(w, false);
        char words[100];

        snprintf(words, sizeof words, "reference: it refers to what is not there: %s ", t->name);
        if (of(&r, "reference").found != 1 || !strstr(w->told, words) || !strstr(w->told, c->name))
                fail_msg("%s.%s is not told: %s", t->name, c->name, w->told);
        r = fsck(w, true);
        if (of(&r, "reference").mended != (c->orphan != ORPHAN_TOLD))
                fail_msg("%s.%s: mended %llu: %s", t->name, c->name, (unsigned long long)of(&r, "reference").mended,
                         w->told);
        r = fsck(w, false);
        if (of(&r, "reference").found != (c->orphan == ORPHAN_TOLD) || (r.found && c->orphan != ORPHAN_TOLD))
                fail_msg("%s.%s is not as it should be: %s", t->name, c->name, w->told);
}

static size_t break_each(struct world *w, const struct table *t)
{
        size_t n = 0;

        for (const struct table_column *c = t->columns; c->name; c++) {
                if (!c->table || c->orphan == ORPHAN_OTHERS)
                        continue;
                break_reference(w, t, c);
                expect_orphan_mended(w, t, c);
                if (c->orphan == ORPHAN_TOLD)
                        put_back(w, t, c);
                n++;
        }
        return n;
}

static void each_reference_to_nothing_is_told_and_mended(void **state)
{
        struct world *w = *state;
        size_t tables = 0, n = 0;

        close_all(w);
        backend_sql(w->f->url, rest_sql);
        if (!SQLITE)
                backend_sql(w->f->url, rest_postgres_sql);
        open_all(w);
        assert_clean(w);
        while (catalog_tables[tables].name)
                tables++;
        while (tables-- > 0) /* from the last: what a table refers to is not gone before */
                if (catalog_tables[tables].engines & (SQLITE ? IN_SQLITE : IN_POSTGRES))
                        n += break_each(w, &catalog_tables[tables]);
        assert_true(n >= 20);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_reference_to_nothing_is_told_and_mended, set_up, tear_down),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
