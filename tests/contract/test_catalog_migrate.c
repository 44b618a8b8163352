/* SPDX-License-Identifier: Apache-2.0 */
/* An older catalog: what would be done is said first, what is done is told, and it can be stopped. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#include "catalog/catalog_asset.h"
#include "catalog/catalog_migrate.h"

#define OLD             4      /* a schema version before one that rewrites rows */
#define ALONE           7      /* the first that an older program cannot stand */
#define MANY            100000 /* rows that take a while to rewrite */
#define BEFORE_PARTS    6      /* the last whose vectors belong to assets */
#define BEFORE_PRODUCTS 7      /* the last without a list of what was made of an object */
#define BEFORE_PURPOSES 8      /* the last that allowed several tasks of an asset */

struct view {
        enum migration_phase last;
        int stop_before; /* this version; 0: run through */
        bool stop_late;  /* stop once a report came from the midst of a migration, or of waiting */
        unsigned begun, ended, reports;
        int version;
        struct dur elapsed;
        char what[256];
};

static void see(void *ctx, const struct migration_progress *p)
{
        struct view *v = ctx;

        v->last = p->phase;
        v->begun += p->phase == MIGRATION_BEGINS;
        v->ended += p->phase == MIGRATION_ENDS;
        v->reports += p->phase == MIGRATION_RUNS || p->phase == MIGRATION_WAITS;
        v->version = p->version;
        v->elapsed = p->elapsed;
        snprintf(v->what, sizeof v->what, "%s", p->what);
        assert_true(p->phase == MIGRATION_WAITS || (p->nth >= 1 && p->nth <= p->of));
}

static bool wants_end(void *ctx)
{
        struct view *v = ctx;

        return (v->stop_before && v->version >= v->stop_before) || (v->stop_late && v->reports > 1);
}

static int open_watched(struct fix *f, struct view *v)
{
        const struct migration_watch w = {.progress = see, .stop = wants_end, .ctx = v, .every = dur_ms(1)};
        struct catalog_opts opts = f->opts;

        opts.watch = &w;
        return catalog_open(&opts, &f->c, &f->e);
}

/* The catalog as a program made it that knew OLD migrations. */
static void make_old(struct fix *f)
{
        struct view v = {.stop_before = OLD + 1};

        FAILS(ERR_STOPPED, open_watched(f, &v));
        assert_int_equal(v.ended, OLD);
        assert_non_null(strstr(f->e.msg, "0005_upkeep"));
}

static int old_setup(void **state)
{
        struct fix *f = mem_calloc(1, sizeof *f);

        assert_non_null(f);
        assert_int_equal(metrics_init(), 0);
        fix_make(f);
        *state = f;
        return 0;
}

static void put_objects(struct fix *f, unsigned n)
{
        char sql[256];

#ifdef SUITE_POSTGRES
        snprintf(sql, sizeof sql,
                 "INSERT INTO object (sha256, size, created) SELECT sha256(i::text::bytea), 1, i FROM "
                 "generate_series(1, %u) i",
                 n);
#else
        snprintf(sql, sizeof sql,
                 "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT %u) INSERT INTO "
                 "object (sha256, size, created) SELECT randomblob(32), 1, x FROM c",
                 n);
#endif
        backend_sql(f->url, sql);
}

static struct migration_plan plan(struct fix *f)
{
        struct migration_plan p;

        OK(catalog_migration_plan(&f->opts, f->a, &p, &f->e));
        return p;
}

/* ---- saying it first ----------------------------------------------------------------- */

static void a_plan_names_each_step_and_changes_nothing(void **state)
{
        struct fix *f = *state;
        struct migration_plan p, again;

        make_old(f);
        put_objects(f, 37);
        p = plan(f);
        assert_string_equal(p.engine, ENGINE);
        assert_int_equal(p.version, OLD);
        assert_int_equal(p.nsteps, (size_t)(p.newest - OLD));
        for (size_t i = 0; i < p.nsteps; i++) {
                assert_int_equal(p.steps[i].version, OLD + 1 + i);
                assert_true(strlen(p.steps[i].what) > 10 && !strstr(p.steps[i].what, "SPDX"));
        }
        assert_string_equal(p.steps[0].name, "0005_upkeep");
        assert_int_equal(p.steps[0].rows, 37);
        again = plan(f);
        assert_int_equal(again.version, OLD);
        fix_open(f);
        p = plan(f); /* beside who has it open */
        assert_int_equal(p.version, p.newest);
        assert_int_equal(p.nsteps, 0);
        assert_false(p.vectors || p.text);
}

static void what_is_no_catalog_or_a_newer_one_has_no_plan(void **state)
{
        struct fix *f = *state;
        struct migration_plan p;

        FAILS(ERR_NOT_FOUND, catalog_migration_plan(&f->opts, f->a, &p, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_migration_plan(&f->opts, f->a, &p, &f->e)); /* it made none */
        fix_open(f);
        catalog_close(f->c);
        f->c = NULL;
        backend_future(f->url);
        FAILS(ERR_CONFLICT, catalog_migration_plan(&f->opts, f->a, &p, &f->e));
}

/* ---- what an older version left --------------------------------------------------------- */

#ifdef SUITE_POSTGRES
#define BYTES_SQL "'\\x%064d'"
#define UUID_SQL  "'%032d'"
#else
#define BYTES_SQL "x'%064d'"
#define UUID_SQL  "x'%032d'"
#endif

/* A picture with an object of its own; its id and the object's key are its number. */
static void put_picture(struct fix *f, int number, enum asset_status status, const char *phash)
{
        char sql[1024];

        snprintf(sql, sizeof sql, "INSERT INTO object (sha256, size, created) VALUES (" BYTES_SQL ", 1, 1)", number);
        backend_sql(f->url, sql);
        snprintf(sql, sizeof sql,
                 "INSERT INTO asset (id, job, position, owner, kind, type, status, stage, filename, name_fold, "
                 "content_type, sha256, size, created, updated, metadata, phash) VALUES (" UUID_SQL ", 1, %d, 'o', 0, "
                 "0, %d, 'done', 'a', 'a', 'image/png', " BYTES_SQL ", 1, 1, 1, '{}', %s)",
                 number, number, (int)status, number, phash);
        backend_sql(f->url, sql);
}

/* A catalog of this schema version with one job. */
static void make_version(struct fix *f, int version)
{
        struct view old = {.stop_before = version + 1};
        char sql[256];

        FAILS(ERR_STOPPED, open_watched(f, &old));
        snprintf(sql, sizeof sql,
                 "INSERT INTO job (id, owner, status, queued, processing, done, failed, created, updated) VALUES "
                 "(" UUID_SQL ", 'o', 0, 2, 2, 2, 2, 1, 1)",
                 1);
        backend_sql(f->url, sql);
}

static struct id id_of(int number)
{
        struct id id;
        char hex[33];

        snprintf(hex, sizeof hex, "%032d", number);
        for (size_t i = 0; i < sizeof id.b; i++)
                id.b[i] = (uint8_t)((hex[2 * i] - '0') << 4 | (hex[2 * i + 1] - '0'));
        return id;
}

static struct asset asset_of(struct fix *f, int number)
{
        struct asset a;

        OK(catalog_asset_get(f->c, id_of(number), NULL, f->a, &a, &f->e));
        return a;
}

static void thumbnails_of_an_older_version_stay(void **state)
{
        struct fix *f = *state;
        struct migration_plan p;

        make_version(f, BEFORE_PRODUCTS);
        for (int status = ASSET_QUEUED; status <= ASSET_FAILED; status++) {
                put_picture(f, 10 + status, (enum asset_status)status, "7");
                put_picture(f, 20 + status, (enum asset_status)status, "NULL");
        }
        p = plan(f);
        assert_int_equal(p.steps[0].rows, 8);
        fix_open(f);
        for (int status = ASSET_QUEUED; status <= ASSET_FAILED; status++) {
                assert_string_equal(asset_of(f, 10 + status).products, "preview.jpg thumb.webp");
                assert_string_equal(asset_of(f, 20 + status).products, "");
        }
}

/*
 * A vector keeps its number as that of its asset's whole; new parts come after all of them. There are more than a
 * write would pass over by being tried again.
 */
static void parts_are_counted_on_from_the_wholes(void **state)
{
        enum { PICTURES = 30, LAST = 10 + PICTURES - 1 };
        struct fix *f = *state;
        struct new_part p[3] = {{.kind = PART_CHUNK}, {.kind = PART_CHUNK, .position = 1}, {.kind = PART_PAGE}};
        struct part_list l = {.parts = p, .n = COUNT_OF(p)};

        make_version(f, BEFORE_PARTS);
        for (int i = 0; i < PICTURES; i++)
                put_picture(f, 10 + i, ASSET_DONE, "7");
        backend_sql(f->url, "INSERT INTO model (id, dim) VALUES ('old', 1)");
#ifdef SUITE_POSTGRES
        backend_sql(f->url, "INSERT INTO embedding (asset, model, unit, vec, owner, kind, trashed) SELECT a.n, m.n, "
                            "'\\x0000803f', '[1]', 'o', 0, 0 FROM asset a, model m WHERE a.n < 30");
#else
        backend_sql(f->url, "INSERT INTO embedding (asset, model, vec) SELECT a.n, m.n, x'0000803F' FROM asset a, "
                            "model m WHERE a.n < 30");
#endif
        fix_open(f);
        assert_string_equal(asset_of(f, 10).model_id, "old");
        assert_null(asset_of(f, LAST).model_id);
        OK(catalog_parts_put(f->c, id_of(LAST), NULL, &l, &f->e));
        OK(catalog_parts_put(f->c, id_of(10), NULL, &l, &f->e));
        for (int number = 10; number < LAST; number++)
                assert_string_equal(asset_of(f, number).model_id, "old");
        assert_null(asset_of(f, LAST).model_id);
}

/* Of several tasks the one stays that is furthest from its end, and the newest of those. */
static void one_task_of_several_stays(void **state)
{
        static const struct {
                int asset;
                enum task_state state;
                int errors;
        } tasks[] = {{10, TASK_READY, 1}, {10, TASK_LEASED, 2}, {10, TASK_DEAD, 3},  {10, TASK_DONE, 4},
                     {11, TASK_DEAD, 5},  {11, TASK_READY, 6},  {11, TASK_READY, 7}, {12, TASK_DONE, 8},
                     {12, TASK_DEAD, 9},  {12, TASK_DONE, 10},  {13, TASK_DEAD, 11}};
        static const struct {
                enum task_state state;
                unsigned errors;
        } stays[] = {{TASK_LEASED, 2}, {TASK_READY, 7}, {TASK_DEAD, 9}, {TASK_DEAD, 11}};
        struct fix *f = *state;
        char sql[256];

        make_version(f, BEFORE_PURPOSES);
        for (int i = 0; i < (int)COUNT_OF(stays); i++)
                put_picture(f, 10 + i, ASSET_DONE, "7");
        for (int i = 0; i < (int)COUNT_OF(tasks); i++) {
                snprintf(sql, sizeof sql,
                         "INSERT INTO task (id, asset, type, state, run_after, errors) VALUES (" UUID_SQL ", %d, 0, "
                         "%d, 0, %d)",
                         i + 1, tasks[i].asset - 9, (int)tasks[i].state, tasks[i].errors);
                backend_sql(f->url, sql);
        }
        fix_open(f);
        for (int i = 0; i < (int)COUNT_OF(stays); i++) {
                struct asset a = asset_of(f, 10 + i);
                assert_int_equal(a.ntasks, 1);
                assert_int_equal(a.tasks[0].state, stays[i].state);
                assert_int_equal(a.tasks[0].attempts, stays[i].errors);
        }
}

/* ---- telling, and stopping --------------------------------------------------------------- */

static void a_long_migration_tells_and_stops_and_is_undone(void **state)
{
        struct fix *f = *state;
        struct view stopped = {.stop_late = true}, through = {0};
        struct migration_plan p;

        make_old(f);
        put_objects(f, MANY);
        FAILS(ERR_STOPPED, open_watched(f, &stopped));
        assert_null(f->c);
        assert_int_equal(stopped.version, OLD + 1);
        assert_int_equal(stopped.ended, 0);
        assert_true(stopped.reports > 1 && stopped.elapsed.ns > 0);
        assert_non_null(strstr(f->e.msg, "undone"));
        p = plan(f);
        assert_int_equal(p.version, OLD);
        assert_int_equal(p.steps[0].rows, MANY);
        OK(open_watched(f, &through)); /* its columns would be there twice, were they not undone */
        assert_int_equal(through.begun, p.nsteps);
        assert_int_equal(through.ended, p.nsteps);
        assert_true(through.reports > 1);
        assert_int_equal(plan(f).nsteps, 0);
}

/* Another program holds what the migration needs. */
#ifdef SUITE_POSTGRES
static void *hold(struct fix *f, const char *sql)
{
        char url[512];
        PGconn *h;

        pgtest_url(url, sizeof url, "fa", pgtest_database(f->url));
        h = PQconnectdb(url);
        PQclear(PQexec(h, sql));
        assert_int_equal(PQstatus(h), CONNECTION_OK);
        return h;
}

static void let_go(void *held)
{
        PQfinish(held);
}
static const char *const holds[] = {"SELECT pg_advisory_lock(7733091250041987)", "BEGIN; LOCK TABLE object"};
#else
static void *hold(struct fix *f, const char *sql)
{
        sqlite3 *h;

        assert_int_equal(sqlite3_open(f->url + strlen("sqlite://"), &h), SQLITE_OK);
        assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
        return h;
}

static void let_go(void *held)
{
        sqlite3_close(held);
}
static const char *const holds[] = {"BEGIN IMMEDIATE"};
#endif

static void waiting_is_told_and_can_be_ended(void **state)
{
        struct fix *f = *state;

        make_old(f);
        for (size_t i = 0; i < COUNT_OF(holds); i++) {
                struct view v = {.stop_late = true};
                struct mono began = mono_now();
                void *held = hold(f, holds[i]);
                FAILS(ERR_STOPPED, open_watched(f, &v));
                assert_true(v.reports > 1);
                assert_true(mono_since(began).ns < dur_s(8).ns);
                let_go(held);
                backend_quiet(f->url);
                assert_int_equal(plan(f).version, OLD);
        }
        fix_open(f);
}

#ifdef SUITE_POSTGRES
static void what_an_older_program_cannot_stand_waits_for_its_end(void **state)
{
        struct fix *f = *state;
        struct view old = {.stop_before = ALONE}, v = {.stop_late = true};
        struct migration_plan p;
        void *held;

        FAILS(ERR_STOPPED, open_watched(f, &old));
        held = hold(f, "SET application_name = 'file-allocator'"); /* an idle connection of its pool */
        FAILS(ERR_STOPPED, open_watched(f, &v));
        assert_non_null(strstr(f->e.msg, "older version"));
        p = plan(f);
        assert_int_equal(p.version, ALONE - 1);
        assert_true(p.steps[0].alone);
        let_go(held);
        backend_quiet(f->url);
        fix_open(f);
        assert_int_equal(plan(f).nsteps, 0);
}
#endif

#define T(name) cmocka_unit_test_setup_teardown(name, old_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(a_plan_names_each_step_and_changes_nothing),
                T(what_is_no_catalog_or_a_newer_one_has_no_plan),
                T(thumbnails_of_an_older_version_stay),
                T(parts_are_counted_on_from_the_wholes),
                T(one_task_of_several_stays),
                T(a_long_migration_tells_and_stops_and_is_undone),
                T(waiting_is_told_and_can_be_ended),
#ifdef SUITE_POSTGRES
                T(what_an_older_program_cannot_stand_waits_for_its_end),
#endif
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
