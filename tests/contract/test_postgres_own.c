/* SPDX-License-Identifier: Apache-2.0 */
/* What only PostgreSQL can get wrong: pools, restarts, instances, extensions. */
#include "contract/catalog_postgres_backend.h"

#include <glob.h>
#include <limits.h>

#define INSTANCES 3
#define CROWD     50

static double seconds_since(struct mono began)
{
        return dur_seconds(mono_since(began));
}

static int ingest_one(struct catalog *c, const char *owner, enum asset_kind kind, struct id *id, struct err *e)
{
        struct arena *a = arena_new(1 << 20);
        struct new_asset x = new_file("a.jpg", kind, kind == KIND_MEDIA);
        struct new_job j = new_job_of(owner, &x, 1);
        struct job_receipt r;
        int rc = catalog_ingest(c, &j, a, &r, e);

        *id = x.id;
        arena_free(a);
        return rc;
}

/* ---- starting -------------------------------------------------------------------------- */

struct starter {
        const struct catalog_opts *opts;
        struct catalog *c;
        struct err e;
        int rc;
};

static void *start_main(void *arg)
{
        struct starter *s = arg;

        s->rc = catalog_open(s->opts, &s->c, &s->e);
        return NULL;
}

/* Numbers may be left out. */
static size_t migrations(void)
{
        glob_t g;
        size_t n;

        assert_int_equal(glob(PROJECT_DIR "/migrations/postgres/*.sql", 0, NULL, &g), 0);
        n = g.gl_pathc;
        globfree(&g);
        return n;
}

static void three_instances_that_start_at_once_migrate_once(void **state)
{
        struct fix *f = *state;
        struct starter s[INSTANCES];
        pthread_t t[INSTANCES];
        struct catalog_opts opts = f->opts;
        struct id id;
        char url[256];

        pgtest_exec("postgres", "CREATE DATABASE at_once");
        pgtest_url(url, sizeof url, "super", "at_once"); /* who may make the extension, at once */
        opts.url = url;
        for (int i = 0; i < INSTANCES; i++) {
                s[i] = (struct starter){.opts = &opts};
                assert_int_equal(pthread_create(&t[i], NULL, start_main, &s[i]), 0);
        }
        for (int i = 0; i < INSTANCES; i++)
                pthread_join(t[i], NULL);
        for (int i = 0; i < INSTANCES; i++) {
                if (s[i].rc != 0)
                        fail_msg("instance %d: %s", i, s[i].e.msg);
                assert_int_equal(ingest_one(s[i].c, "ann", KIND_FILE, &id, &f->e), 0);
        }
        for (int i = 0; i < INSTANCES; i++)
                catalog_close(s[i].c);
        assert_int_equal(pgtest_number("at_once", "SELECT count(*) FROM schema_version"), (int64_t)migrations());
        assert_int_equal(pgtest_number("at_once", "SELECT count(*) FROM asset"), INSTANCES);
        pgtest_exec("postgres", "DROP DATABASE at_once WITH (FORCE)");
}

static void expect_refusal(struct fix *f, const struct catalog_opts *opts, enum err_code code, const char *word)
{
        struct catalog *c = NULL;

        FAILS(code, catalog_open(opts, &c, &f->e));
        assert_null(c);
        if (!strstr(f->e.msg, word))
                fail_msg("\"%s\" does not say \"%s\"", f->e.msg, word);
}

static void without_pgvector_it_says_what_to_do(void **state)
{
        struct fix *f = *state;
        struct catalog_opts opts = f->opts;
        char url[256];

        pgtest_exec("postgres", "CREATE ROLE plain LOGIN");
        pgtest_exec("postgres", "CREATE DATABASE bare OWNER plain");
        pgtest_url(url, sizeof url, "plain", "bare");
        opts.url = url;
        expect_refusal(f, &opts, ERR_FORBIDDEN, "let a superuser run CREATE EXTENSION vector; in database bare");
        /* A view of that name before PostgreSQL's own: a server on which nobody installed it. */
        pgtest_exec("bare",
                    "CREATE SCHEMA fake; GRANT USAGE ON SCHEMA fake TO plain; CREATE VIEW "
                    "fake.pg_available_extensions AS SELECT ''::name AS name, ''::text AS default_version WHERE "
                    "false; GRANT SELECT ON fake.pg_available_extensions TO plain; ALTER ROLE plain SET "
                    "search_path = fake, pg_catalog, public");
        expect_refusal(f, &opts, ERR_UNAVAILABLE, "pgvector is missing");
        pgtest_exec("bare", "ALTER ROLE plain RESET search_path; CREATE EXTENSION vector; UPDATE pg_extension SET "
                            "extversion = '0.7.4' WHERE extname = 'vector'");
        expect_refusal(f, &opts, ERR_UNSUPPORTED, "ALTER EXTENSION vector UPDATE");
        pgtest_exec("bare", "UPDATE pg_extension SET extversion = '0.8.0' WHERE extname = 'vector'");
        /* An ordinary role is enough for all the rest. */
        OK(catalog_open(&opts, &f->c, &f->e));
        catalog_close(f->c);
        f->c = NULL;
        pgtest_exec("postgres", "DROP DATABASE bare WITH (FORCE)");
        pgtest_exec("postgres", "DROP ROLE plain");
}

static void a_server_that_forgets_is_refused(void **state)
{
        struct fix *f = *state;

        catalog_close(f->c);
        f->c = NULL;
        pgtest_exec("postgres", "ALTER SYSTEM SET fsync = off");
        pgtest_exec("postgres", "SELECT pg_reload_conf()");
        for (int i = 0; i < 100 && pgtest_number("postgres", "SELECT (current_setting('fsync') = 'on')::integer"); i++)
                sleep_for(dur_ms(20));
        expect_refusal(f, &f->opts, ERR_UNSUPPORTED, "fsync = off");
        pgtest_exec("postgres", "ALTER SYSTEM RESET fsync");
        pgtest_exec("postgres", "SELECT pg_reload_conf()");
        for (int i = 0; i < 100 && !pgtest_number("postgres", "SELECT (current_setting('fsync') = 'on')::integer"); i++)
                sleep_for(dur_ms(20));
        fix_open(f);
}

static void a_server_that_is_not_there_is_named(void **state)
{
        struct fix *f = *state;
        struct catalog_opts opts = f->opts;
        struct mono began = mono_now();

        opts.url = "postgresql+psycopg2://fa:s3cret@/x?host=/tmp/fa-nowhere";
        expect_refusal(f, &opts, ERR_UNAVAILABLE, "/tmp/fa-nowhere");
        assert_null(strstr(f->e.msg, "s3cret"));
        assert_true(seconds_since(began) < 5);
}

/* ---- the pool ----------------------------------------------------------------------------- */

struct crowd {
        struct fix *f;
        atomic_int ok, busy, failed;
        atomic_llong slowest_ms;
        int rounds;
};

static void *crowd_main(void *arg)
{
        struct crowd *w = arg;

        for (int i = 0; i < w->rounds; i++) {
                struct mono began = mono_now();
                struct err e = {0};
                struct id id;
                int rc = ingest_one(w->f->c, i % 2 ? "ann" : "bob", KIND_MEDIA, &id, &e);
                long long ms = mono_since(began).ns / 1000000, seen = atomic_load(&w->slowest_ms);
                while (ms > seen && !atomic_compare_exchange_weak(&w->slowest_ms, &seen, ms))
                        ;
                atomic_fetch_add(rc == 0 ? &w->ok : e.code == ERR_BUSY ? &w->busy : &w->failed, 1);
                if (rc < 0 && e.code != ERR_BUSY)
                        fprintf(stderr, "crowd: %s\n", e.msg);
        }
        return NULL;
}

static void reopen_with_pool(struct fix *f, unsigned size, unsigned overflow, struct dur timeout)
{
        f->opts.db_pool_size = size;
        f->opts.db_max_overflow = overflow;
        f->opts.db_pool_timeout = timeout;
        fix_reopen(f);
}

static int64_t connections_of(struct fix *f)
{
        return pgtest_number(pgtest_database(f->url),
                             "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'file-allocator' AND "
                             "datname = current_database()");
}

static void fifty_threads_share_two_connections(void **state)
{
        struct fix *f = *state;
        struct crowd w = {.f = f, .rounds = 10};
        pthread_t t[CROWD];
        struct catalog_state st;
        struct mono began;
        int64_t seen;

        reopen_with_pool(f, 1, 1, dur_s(30));
        /* Those of the catalog that was closed are counted until the server has ended them. */
        for (int i = 0; i < 500 && connections_of(f) > 0; i++)
                sleep_for(dur_ms(20));
        began = mono_now();
        for (int i = 0; i < CROWD; i++)
                assert_int_equal(pthread_create(&t[i], NULL, crowd_main, &w), 0);
        seen = connections_of(f);
        for (int i = 0; i < CROWD; i++)
                pthread_join(t[i], NULL);
        assert_true(seen <= 2);
        printf("pool of 2: %d ingests by %d threads in %.2f s, slowest %lld ms\n", atomic_load(&w.ok), CROWD,
               seconds_since(began), (long long)atomic_load(&w.slowest_ms));
        assert_int_equal(atomic_load(&w.ok), CROWD * w.rounds);
        catalog_state(f->c, &st);
        assert_true(st.ok);
        assert_string_equal(st.engine, "postgresql");
        assert_int_equal(st.pool_size, 1);
        assert_true(st.overflow <= 1);
        assert_int_equal(st.waiting, 0);
        assert_true(st.latency_ms > 0);
}

static void past_the_pools_timeout_it_is_busy(void **state)
{
        struct fix *f = *state;
        struct crowd w = {.f = f, .rounds = 1};
        struct catalog_state st;
        pthread_t t[6];
        char url[256];
        PGconn *h;

        reopen_with_pool(f, 2, UINT_MAX, dur_ms(300));
        pgtest_url(url, sizeof url, "super", pgtest_database(f->url));
        h = PQconnectdb(url);
        PQclear(PQexec(h, "BEGIN; LOCK TABLE job IN ACCESS EXCLUSIVE MODE"));
        for (int i = 0; i < 6; i++)
                assert_int_equal(pthread_create(&t[i], NULL, crowd_main, &w), 0);
        for (int i = 0; i < 3000 && atomic_load(&w.busy) < 4; i++)
                sleep_for(dur_ms(10));
        assert_int_equal(atomic_load(&w.busy), 4);
        assert_true(atomic_load(&w.slowest_ms) >= 250);
        catalog_state(f->c, &st);
        assert_false(st.ok);
        assert_int_equal(st.in_use, 2);
        assert_non_null(strstr(st.note, "busy"));
        PQfinish(h);
        for (int i = 0; i < 6; i++)
                pthread_join(t[i], NULL);
        assert_int_equal(atomic_load(&w.ok), 2);
        catalog_state(f->c, &st);
        assert_true(st.ok);
}

/* ---- a restart ------------------------------------------------------------------------------- */

#define WRITERS 6
#define IDS_MAX 20000

struct writers {
        struct fix *f;
        atomic_bool stop;
        struct lock lock;
        struct id kept[IDS_MAX], lost[IDS_MAX];
        size_t nkept, nlost, unknown;
};

static void *writers_main(void *arg)
{
        struct writers *w = arg;

        while (!atomic_load(&w->stop)) {
                struct err e = {0};
                struct id id;
                int rc = ingest_one(w->f->c, "ann", KIND_MEDIA, &id, &e);
                lock_take(&w->lock);
                if (rc == 0 && w->nkept < IDS_MAX)
                        w->kept[w->nkept++] = id;
                else if (rc < 0 && strstr(e.msg, "unknown"))
                        w->unknown++;
                else if (rc < 0 && w->nlost < IDS_MAX)
                        w->lost[w->nlost++] = id;
                if (rc < 0)
                        fprintf(stderr, "refused: %s\n", e.msg);
                lock_drop(&w->lock);
        }
        return NULL;
}

static void a_restart_loses_nothing_that_was_acknowledged(void **state)
{
        struct fix *f = *state;
        struct writers *w = mem_calloc(1, sizeof *w);
        pthread_t t[WRITERS];
        struct asset x;
        size_t before;

        assert_non_null(w);
        w->f = f;
        lock_init(&w->lock, "test", RANK_APP);
        for (int i = 0; i < WRITERS; i++)
                assert_int_equal(pthread_create(&t[i], NULL, writers_main, w), 0);
        sleep_for(dur_ms(700));
        for (int i = 0; i < 6; i++) {
                pgtest_restart(i % 2, dur_ms(i * 150));
                lock_take(&w->lock);
                before = w->nkept;
                lock_drop(&w->lock);
                sleep_for(dur_ms(400));
        }
        atomic_store(&w->stop, true);
        for (int i = 0; i < WRITERS; i++)
                pthread_join(t[i], NULL);
        printf("six restarts, three of them crashes: %zu acknowledged, %zu refused, %zu unknown\n", w->nkept, w->nlost,
               w->unknown);
        assert_true(w->nkept > before); /* it went on by itself */
        for (size_t i = 0; i < w->nkept; i++)
                OK(catalog_asset_get(f->c, w->kept[i], NULL, f->a, &x, &f->e));
        for (size_t i = 0; i < w->nlost; i++)
                FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, w->lost[i], NULL, f->a, &x, &f->e));
        assert_int_equal(pgtest_number(pgtest_database(f->url), "SELECT count(*) FROM asset"), w->nkept + w->unknown);
        lock_done(&w->lock);
        mem_free(w);
}

/* ---- instances -------------------------------------------------------------------------------- */

#define CLAIMERS 8
#define TASKS    400

struct claimers {
        struct catalog *c[2];
        atomic_int next, taken, failed;
        struct id got[TASKS + CLAIMERS];
        struct id folder;
};

static void *claimers_main(void *arg)
{
        struct claimers *w = arg;
        struct catalog *c = w->c[atomic_fetch_add(&w->next, 1) % 2];
        struct arena *a = arena_new(64 << 20);
        float v[DIM];

        for (;;) {
                struct task t;
                struct err e = {0};
                int rc = catalog_task_claim(c, "w", dur_s(60), ALL, a, &t, &e), i;
                struct task_result r;
                if (rc == 0)
                        break;
                if (rc < 0) {
                        fprintf(stderr, "claim: %s\n", e.msg);
                        atomic_fetch_add(&w->failed, 1);
                        break;
                }
                i = atomic_fetch_add(&w->taken, 1);
                if (i >= TASKS)
                        break;
                w->got[i] = t.id;
                unit_vector((unsigned)i, v);
                r = (struct task_result){.task = &t,
                                         .parts = part_list_whole(&(struct part_room){.part = {0}}, MODEL, v, DIM),
                                         .placement = {.kind = PLACE_ASSIGN, .cluster_id = w->folder, .similarity = 1}};
                if (catalog_task_complete(c, &r, &e) < 0) {
                        fprintf(stderr, "complete: %s\n", e.msg);
                        atomic_fetch_add(&w->failed, 1);
                }
        }
        arena_free(a);
        return NULL;
}

static int by_id(const void *a, const void *b)
{
        return id_cmp(*(const struct id *)a, *(const struct id *)b);
}

static void two_instances_claim_no_task_twice_and_keep_the_sums(void **state)
{
        struct fix *f = *state;
        struct claimers w = {.c = {f->c}};
        pthread_t t[CLAIMERS];
        struct cluster *folders;
        float *protos, want[DIM] = {0}, v[DIM];
        struct mono began;
        size_t n;

        fix_warm(f, MODEL);
        OK(catalog_open(&f->opts, &w.c[1], &f->e));
        OK(catalog_cluster_create(f->c, "ann", "All", 0.5f, "user", &w.folder, &f->e));
        for (int i = 0; i < TASKS; i++)
                put_file(f, "ann", "a.jpg", KIND_MEDIA);
        began = mono_now();
        for (int i = 0; i < CLAIMERS; i++)
                assert_int_equal(pthread_create(&t[i], NULL, claimers_main, &w), 0);
        for (int i = 0; i < CLAIMERS; i++)
                pthread_join(t[i], NULL);
        printf("two instances, %d threads: %d tasks claimed and placed in one folder in %.2f s\n", CLAIMERS, TASKS,
               seconds_since(began));
        assert_int_equal(atomic_load(&w.failed), 0);
        assert_int_equal(atomic_load(&w.taken), TASKS);
        qsort(w.got, TASKS, sizeof *w.got, by_id);
        for (int i = 1; i < TASKS; i++)
                assert_false(id_eq(w.got[i - 1], w.got[i]));
        assert_int_equal(folder(f, w.folder).asset_count, TASKS);
        for (unsigned i = 0; i < TASKS; i++) {
                unit_vector(i, v);
                for (int d = 0; d < DIM; d++)
                        want[d] += v[d];
        }
        assert_true(vec_normalise(want, DIM));
        OK(catalog_cluster_snapshot(f->c, MODEL, "ann", f->a, &folders, &protos, &n, &f->e));
        assert_int_equal(n, 1);
        for (int d = 0; d < DIM; d++)
                assert_float_equal(protos[d], want[d], 1e-4);
        catalog_close(w.c[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(three_instances_that_start_at_once_migrate_once),
                T(without_pgvector_it_says_what_to_do),
                T(a_server_that_forgets_is_refused),
                T(a_server_that_is_not_there_is_named),
                T(fifty_threads_share_two_connections),
                T(past_the_pools_timeout_it_is_busy),
                T(a_restart_loses_nothing_that_was_acknowledged),
                T(two_instances_claim_no_task_twice_and_keep_the_sums),
        };

        return cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
}
