/* SPDX-License-Identifier: Apache-2.0 */
/* What the program knows of its tables is what the migrations make, on either engine; whoever adds to them sees it. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#include "catalog/catalog_rules.h"
#include "keep/keep_catalog_tables.h"
#include "keep/keep_backup.h"

#include <fnmatch.h>

#define SQLITE (strcmp(ENGINE, "sqlite") == 0)
#define HERE   (SQLITE ? IN_SQLITE : IN_POSTGRES)

/* What stands in a database beside the catalog's tables. */
static const struct {
        const char *name; /* one that ends in * is the beginning of several */
        enum table_engine engines;
        const char *why;
} foreign[] = {
        {"schema_version", IN_BOTH, "the migrations' own"},
        {"sqlite_sequence", IN_SQLITE, "SQLite's own"},
        {"asset_fts*", IN_SQLITE, "an index of asset_text, kept with it"},
        {"name_fts*", IN_SQLITE, "an index of asset_text, kept with it"},
        {"part_fts*", IN_SQLITE, "an index of part, kept with it"},
};

/* ---- what the database says ---------------------------------------------------------------- */

/* Rows of up to four texts. */
struct facts {
        const char *text[600][4];
        size_t n;
};

static void read_facts(struct fix *f, const char *sqlite, const char *postgres, int columns, struct facts *out)
{
        struct mono began = mono_now();
        struct db *db = read_begin(f->c, &f->e);
        struct rows *s;
        bool ok = true;

        assert_non_null(db);
        out->n = 0;
        s = db_query(db, &f->e, SQL(db, sqlite, postgres), "");
        while (s && db_step(db, s, &f->e) > 0) {
                assert_true(out->n < COUNT_OF(out->text));
                for (int i = 0; i < columns; i++)
                        out->text[out->n][i] = col_text(f->a, s, i, &ok);
                out->n++;
        }
        assert_true(s && ok);
        read_end(f->c, db, began);
}

/* Table, column, type. */
static void read_columns(struct fix *f, struct facts *out)
{
        read_facts(f,
                   "SELECT m.name, c.name, lower(c.type) FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE "
                   "m.type = 'table' ORDER BY 1",
                   "SELECT table_name::text, column_name::text, udt_name::text FROM information_schema.columns WHERE "
                   "table_schema = current_schema() ORDER BY 1",
                   3, out);
}

static const struct table *find_table(const char *name)
{
        for (const struct table *t = catalog_tables; t->name; t++)
                if (strcmp(t->name, name) == 0)
                        return t;
        return NULL;
}

static const struct table_column *find_column(const struct table *t, const char *name)
{
        for (const struct table_column *c = t->columns; c->name; c++)
                if (strcmp(c->name, name) == 0)
                        return c;
        return NULL;
}

static bool is_foreign(const char *name)
{
        for (size_t i = 0; i < COUNT_OF(foreign); i++)
                if ((foreign[i].engines & HERE) && fnmatch(foreign[i].name, name, 0) == 0)
                        return true;
        return false;
}

static const char *type_name(char letter)
{
        static const char *const names[][2] = {
                ['i'] = {"integer", "int4"}, ['l'] = {"integer", "int8"}, ['d'] = {"real", "float8"},
                ['t'] = {"text", "text"},    ['u'] = {"blob", "uuid"},    ['b'] = {"blob", "bytea"},
                ['h'] = {"blob", "halfvec"}, ['v'] = {"blob", "vector"},  ['w'] = {"blob", "tsvector"}};

        return names[(int)letter][!SQLITE];
}

static void compare_column(const char *const fact[4], struct buf *b)
{
        const struct table *t = find_table(fact[0]);
        const struct table_column *c;

        if (is_foreign(fact[0]))
                return;
        if (!t || !(t->engines & HERE)) {
                buf_printf(b, "catalog_tables.c does not describe the table %s (column %s)\n", fact[0], fact[1]);
                return;
        }
        c = find_column(t, fact[1]);
        if (!c || !(c->engines & HERE))
                buf_printf(b, "catalog_tables.c does not describe the column %s of table %s\n", fact[1], fact[0]);
        else if (strcmp(type_name(c->type), fact[2]) != 0)
                buf_printf(b, "the column %s of table %s is of type %s, and described as %s\n", fact[1], fact[0],
                           fact[2], type_name(c->type));
}

static void expect_column(const struct facts *x, const struct table *t, const struct table_column *c, struct buf *b)
{
        for (size_t i = 0; i < x->n; i++)
                if (strcmp(x->text[i][0], t->name) == 0 && strcmp(x->text[i][1], c->name) == 0)
                        return;
        buf_printf(b, "the column %s of table %s is described and not there\n", c->name, t->name);
}

/* Where the descriptions and the database differ, a line each; the caller's (mem_free). */
static char *differences(struct fix *f)
{
        struct facts *x = mem_calloc(1, sizeof *x);
        struct buf b;
        char *out;

        assert_non_null(x);
        read_columns(f, x);
        assert_true(x->n > 150);
        buf_init(&b, 1 << 20);
        for (size_t i = 0; i < x->n; i++)
                compare_column(x->text[i], &b);
        for (const struct table *t = catalog_tables; t->name; t++)
                for (const struct table_column *c = t->columns; c->name; c++)
                        if (t->engines & c->engines & HERE)
                                expect_column(x, t, c, &b);
        out = mem_strdup(buf_str(&b));
        assert_non_null(out);
        buf_done(&b);
        mem_free(x);
        return out;
}

/* ---- the tests ----------------------------------------------------------------------------------- */

static void each_table_and_column_is_described(void **state)
{
        char *found = differences(*state);

        if (*found)
                fail_msg("%s", found);
        mem_free(found);
}

static void expect_difference(const char *found, const char *line)
{
        if (!strstr(found, line))
                fail_msg("\"%s\" does not say \"%s\"", found, line);
}

/* As a migration would that comes without its descriptions. */
static void what_is_added_or_dropped_without_one_is_named(void **state)
{
        struct fix *f = *state;
        char *found;

        catalog_close(f->c);
        f->c = NULL;
        backend_sql(f->url, "CREATE TABLE palette (n bigint PRIMARY KEY)");
        backend_sql(f->url, "ALTER TABLE asset ADD COLUMN shade INTEGER");
        backend_sql(f->url, "ALTER TABLE scrub DROP COLUMN last_bad");
        if (!SQLITE) {
                backend_sql(f->url, "ALTER TABLE tag ALTER COLUMN n TYPE integer");
                backend_sql(f->url, "GRANT ALL ON palette TO fa");
        }
        fix_open(f);
        found = differences(f);
        expect_difference(found, "does not describe the table palette (column n)\n");
        expect_difference(found, "does not describe the column shade of table asset\n");
        expect_difference(found, "the column last_bad of table scrub is described and not there\n");
        if (!SQLITE)
                expect_difference(found, "the column n of table tag is of type int4, and described as int8\n");
        mem_free(found);
}

/* What the engine holds by a foreign key is described, so that a copy's order and a check follow it. */
static void each_foreign_key_is_described(void **state)
{
        struct fix *f = *state;
        struct facts *x = mem_calloc(1, sizeof *x);

        assert_non_null(x);
        read_facts(
                f,
                "SELECT m.name, k.\"from\", k.\"table\", k.\"to\" FROM sqlite_master m JOIN "
                "pragma_foreign_key_list(m.name) k WHERE m.type = 'table'",
                "SELECT k.conrelid::regclass::text, a.attname::text, k.confrelid::regclass::text, b.attname::text "
                "FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] JOIN "
                "pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1] WHERE k.contype = 'f' AND "
                "k.connamespace = current_schema()::regnamespace",
                4, x);
        assert_true(x->n >= 18);
        for (size_t i = 0; i < x->n; i++) {
                const char *const *k = x->text[i];
                const struct table *t = find_table(k[0]);
                const struct table_column *c = t ? find_column(t, k[1]) : NULL;
                if (!c || !c->table || strcmp(c->table, k[2]) != 0 || strcmp(c->key, k[3]) != 0)
                        fail_msg("that %s.%s refers to %s.%s is not described", k[0], k[1], k[2], k[3]);
        }
        mem_free(x);
}

/* ---- the descriptions among themselves ------------------------------------------------------------- */

static void check_copied(const struct table *t)
{
        static const struct keep_backup_table manifest;
        bool copied = t->flags & (TABLE_COPIED | TABLE_BACKED_UP);
        size_t length = 0;

        if (copied != !t->why)
                fail_msg("%s is copied, or says why not", t->name);
        if (copied && t->engines == IN_POSTGRES && !t->sqlite)
                fail_msg("%s is copied, and SQLite has nothing that stands for it", t->name);
        for (const struct table_column *c = t->columns; c->name; c++) {
                if (copied && !c->why && !(c->engines & IN_SQLITE) && !c->sqlite)
                        fail_msg("%s.%s is copied, and SQLite has nothing that stands for it", t->name, c->name);
                if (copied && !c->why && !(c->engines & IN_POSTGRES))
                        fail_msg("%s.%s is copied, and PostgreSQL has it not", t->name, c->name);
                length += strlen(c->name) + 2;
        }
        /* What the manifest of a backup has room for. */
        assert_true(strlen(t->name) < sizeof manifest.name);
        assert_true(length < sizeof manifest.columns);
        assert_true(!t->key || strlen(t->key) < sizeof manifest.order);
}

static void check_references(const struct table *t)
{
        for (const struct table_column *c = t->columns; c->name; c++) {
                const struct table *to = c->table ? find_table(c->table) : NULL;
                if (!c->table)
                        continue;
                if (!to || !find_column(to, c->key) || find_column(to, c->key)->type != c->type)
                        fail_msg("%s.%s refers to %s.%s, which is not described so", t->name, c->name, c->table,
                                 c->key);
                if (to > t)
                        fail_msg("%s stands before %s, to which it refers", t->name, to->name);
        }
}

static void check_key(const struct table *t)
{
        char key[64], *save = NULL;

        if (!t->key) {
                assert_false(t->flags & (TABLE_COPIED | TABLE_BACKED_UP));
                return;
        }
        snprintf(key, sizeof key, "%s", t->key);
        for (char *word = strtok_r(key, ", ", &save); word; word = strtok_r(NULL, ", ", &save))
                if (!find_column(t, word))
                        fail_msg("the key of %s has a column %s, which is not described", t->name, word);
}

/* The owner's column leads, over any number of references, to a text. */
static void check_owner(const struct table *t)
{
        const struct table_column *c;

        for (const struct table *at = t; at->owner; at = find_table(c->table)) {
                c = find_column(at, at->owner);
                if (!c)
                        fail_msg("%s has no column %s for its owner", at->name, at->owner);
                if (strcmp(at->owner, "owner") == 0) {
                        assert_int_equal(c->type, 't');
                        return;
                }
                if (!c->table || !find_table(c->table)->owner)
                        fail_msg("%s.%s leads to no owner", at->name, at->owner);
        }
        if (find_column(t, "owner"))
                fail_msg("%s has a column owner and does not say so", t->name);
}

static void the_descriptions_fit_each_other(void **state)
{
        (void)state;
        for (const struct table *t = catalog_tables; t->name; t++) {
                assert_ptr_equal(find_table(t->name), t);
                check_copied(t);
                check_references(t);
                check_key(t);
                check_owner(t);
        }
}

/* "-- touches: asset, task" became a query for the plan. */
static void a_migration_touches_tables_that_are_described(void **state)
{
        unsigned n = 0;

        (void)state;
        for (const struct db_migration *m = SQLITE ? catalog_migrations_sqlite : catalog_migrations_postgres;
             m->version; m++)
                for (const char *p = m->count; p && (p = strstr(p, "FROM ")) != NULL; n++) {
                        char name[64];
                        p += strlen("FROM ");
                        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, ")"), p);
                        if (!find_table(name))
                                fail_msg("%s touches %s, which is not described", m->name, name);
                }
        assert_true(n > 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
        const struct CMUnitTest tests[] = {
                T(each_table_and_column_is_described),
                T(what_is_added_or_dropped_without_one_is_named),
                T(each_foreign_key_is_described),
                cmocka_unit_test(the_descriptions_fit_each_other),
                cmocka_unit_test(a_migration_touches_tables_that_are_described),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
