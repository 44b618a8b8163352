/* SPDX-License-Identifier: Apache-2.0 */
/* What only PostgreSQL can get wrong: pools, restarts, instances, extensions, approximate search. */
#include "contract/catalog_postgres_backend.h"

#include <glob.h>
#include <limits.h>
#include <math.h>

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
        pgtest_url(url, sizeof(url), "super", "at_once"); /* who may make the extension, at once */
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
        pgtest_url(url, sizeof(url), "plain", "bare");
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
        pgtest_url(url, sizeof(url), "super", pgtest_database(f->url));
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
        struct writers *w = mem_calloc(1, sizeof(*w));
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
                                         .model_id = MODEL,
                                         .vector = v,
                                         .dim = DIM,
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
        qsort(w.got, TASKS, sizeof(*w.got), by_id);
        for (int i = 1; i < TASKS; i++)
                assert_false(id_eq(w.got[i - 1], w.got[i]));
        assert_int_equal(folder(f, w.folder).asset_count, TASKS);
        for (unsigned i = 0; i < TASKS; i++) {
                unit_vector(i, v);
                for (int d = 0; d < DIM; d++)
                        want[d] += v[d];
        }
        assert_true(vec_normalise(want, DIM));
        OK(catalog_cluster_snapshot(f->c, "ann", f->a, &folders, &protos, &n, &f->e));
        assert_int_equal(n, 1);
        for (int d = 0; d < DIM; d++)
                assert_float_equal(protos[d], want[d], 1e-4);
        catalog_close(w.c[1]);
}

/* ---- approximate search -------------------------------------------------------------------------- */

#define MANY  10000
#define WIDE  128
#define TOP   10
#define ASKED 40

/* Around one of a hundred centres, as pictures of like things lie. */
static void wide_vector(uint64_t seed, float *v)
{
        uint64_t x[2] = {(seed % 100 + 1) * UINT64_C(0x9E3779B97F4A7C15), (seed + 7) * UINT64_C(0xD1B54A32D192ED03)};
        float part[2];

        for (int i = 0; i < WIDE; i++) {
                for (int k = 0; k < 2; k++) {
                        x[k] ^= x[k] << 13;
                        x[k] ^= x[k] >> 7;
                        x[k] ^= x[k] << 17;
                        part[k] = (float)(int32_t)(x[k] >> 32) / 2147483648.0f;
                }
                v[i] = part[0] + 0.7f * part[1];
        }
        assert_true(vec_normalise(v, WIDE));
}

static void fill(const char *database, const float *all)
{
        static const char insert[] =
                "INSERT INTO embedding (asset, model, unit, vec, owner, kind, trashed) SELECT n, 1, "
                "$2::bytea, $3::vector::halfvec, owner, kind, 0 FROM asset WHERE n = $1::bigint";
        char url[256], number[24], text[WIDE * 16];
        PGresult *res;
        PGconn *h;

        pgtest_exec(
                database,
                "INSERT INTO model (id, dim) VALUES ('wide', 128);"
                "INSERT INTO object SELECT sha256(g::text::bytea), 1, 1 FROM generate_series(1, 10000) g;"
                "INSERT INTO job (id, owner, status, queued, processing, done, failed, created, updated) VALUES "
                "(gen_random_uuid(), 'ann', 2, 0, 0, 10000, 0, 1, 1);"
                "INSERT INTO asset (id, job, position, owner, kind, type, status, stage, filename, name_fold, "
                "content_type, sha256, size, created, updated) SELECT gen_random_uuid(), 1, g, CASE WHEN g % 10 = 0 "
                "THEN 'bob' ELSE 'ann' END, 0, 0, 2, 'done', 'a', 'a', 'image/jpeg', sha256(g::text::bytea), 1, g, 1 "
                "FROM generate_series(1, 10000) g");
        pgtest_url(url, sizeof(url), "super", database);
        h = PQconnectdb(url);
        PQclear(PQexec(h, "BEGIN"));
        PQclear(PQprepare(h, "i", insert, 0, NULL));
        for (size_t i = 0; i < MANY; i++) {
                const char *values[3] = {number, (const char *)&all[i * WIDE], text};
                int lengths[3] = {0, WIDE * 4, 0}, formats[3] = {0, 1, 0};
                size_t n = 0;
                snprintf(number, sizeof(number), "%zu", i + 1);
                for (size_t d = 0; d < WIDE; d++)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "%c%.7g", d ? ',' : '[',
                                              (double)all[i * WIDE + d]);
                snprintf(text + n, sizeof(text) - n, "]");
                res = PQexecPrepared(h, "i", 3, values, lengths, formats, 0);
                if (PQresultStatus(res) != PGRES_COMMAND_OK)
                        fail_msg("%s", PQerrorMessage(h));
                PQclear(res);
        }
        PQclear(PQexec(h, "COMMIT"));
        PQfinish(h);
        pgtest_exec(database, "ANALYZE");
}

static int by_float_down(const void *a, const void *b)
{
        float x = *(const float *)a, y = *(const float *)b;

        return (x < y) - (x > y);
}

/* How many of the best TOP among what one owner has (of every step-th number) were found, by their cosines. */
static double recall(struct fix *f, const float *all, const char *owner, size_t step, double *ms)
{
        float *cosines = mem_alloc(MANY * sizeof(*cosines)), q[WIDE];
        struct asset_filter filter = {.owner = owner};
        size_t found = 0;

        assert_non_null(cosines);
        *ms = 0;
        for (size_t asked = 0; asked < ASKED; asked++) {
                struct vector_match m[TOP];
                size_t n, rest = 0;
                struct mono began;
                wide_vector(1000003 + asked * 7, q);
                for (size_t i = step; i <= MANY; i += step)
                        cosines[rest++] = vec_dot(q, &all[(i - 1) * WIDE], WIDE);
                qsort(cosines, rest, sizeof(*cosines), by_float_down);
                began = mono_now();
                OK(catalog_vector_search(f->c, q, &filter, TOP, m, &n, &f->e));
                *ms += seconds_since(began) * 1000 / ASKED;
                assert_int_equal(n, TOP); /* a filter never makes the answer short */
                for (size_t i = 0; i < n; i++)
                        found += m[i].cosine >= cosines[TOP - 1] - 1e-6f;
        }
        mem_free(cosines);
        return (double)found / (ASKED * TOP);
}

/* Of more results than are ranked by single precision. */
static void the_best_cosines_are_exact(struct fix *f, const char *owner)
{
        struct asset_filter filter = {.owner = owner};

        for (size_t asked = 0; asked < 5; asked++) {
                struct vector_match m[300];
                float q[WIDE], v[WIDE];
                size_t n;
                wide_vector(1000003 + asked * 7, q);
                OK(catalog_vector_search(f->c, q, &filter, COUNT_OF(m), m, &n, &f->e));
                assert_int_equal(n, COUNT_OF(m));
                for (size_t i = 0; i < n; i++) {
                        OK(catalog_vector_get(f->c, m[i].asset, v, &f->e));
                        assert_true(fabsf(vec_dot(q, v, WIDE) - m[i].cosine) <= (i < 100 ? 1e-6f : 1e-3f));
                        assert_true(i == 0 || m[i].cosine <= m[i - 1].cosine);
                }
        }
}

static void filtered_search_by_the_index_finds_what_exact_search_finds(void **state)
{
        static const char scans[] =
                "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname LIKE 'embedding_hnsw%'";
        struct fix *f = *state;
        float *all = mem_alloc((size_t)MANY * WIDE * sizeof(*all));
        char database[64], sql[128];
        double exact, near, narrow, ms[3];

        assert_non_null(all);
        for (size_t i = 0; i < MANY; i++)
                wide_vector(i, &all[i * WIDE]);
        snprintf(database, sizeof(database), "%s", pgtest_database(f->url));
        fill(database, all);
        OK(catalog_use_model(f->c, "wide", WIDE, &f->e));
        exact = recall(f, all, NULL, 1, &ms[0]);
        assert_true(exact == 1);
        assert_int_equal(pgtest_number(database, "SELECT count(*) FROM pg_class WHERE relname LIKE 'embedding_hnsw%'"),
                         0);
        f->opts.vector_exact_max = 500;
        snprintf(sql, sizeof(sql), "ALTER DATABASE %s SET enable_sort = off", database);
        pgtest_exec("postgres", sql); /* so that the planner takes the index although a tenth of 10,000 is little */
        fix_reopen(f);
        OK(catalog_use_model(f->c, "wide", WIDE, &f->e));
        for (int i = 0;; i++) {
                assert_true(i < 600);
                if (pgtest_number(database, "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                                            "WHERE c.relname LIKE 'embedding_hnsw%' AND i.indisvalid"))
                        break;
                sleep_for(dur_ms(50));
        }
        sleep_for(dur_s(1)); /* until the keeper has noted it */
        near = recall(f, all, NULL, 1, &ms[1]);
        narrow = recall(f, all, "bob", 10, &ms[2]);
        the_best_cosines_are_exact(f, "bob");
        printf("HNSW over %d x %d: recall@%d exact %.3f (%.2f ms), index %.3f (%.2f ms), index for a tenth %.3f (%.2f "
               "ms)\n",
               MANY, WIDE, TOP, exact, ms[0], near, ms[1], narrow, ms[2]);
        fix_reopen(f);
        for (int i = 0; i < 400 && pgtest_number(database, scans) < ASKED; i++) /* statistics come late */
                sleep_for(dur_ms(50));
        assert_true(pgtest_number(database, scans) >= ASKED);
        assert_true(near >= 0.95);
        assert_true(narrow >= 0.95);
        mem_free(all);
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
                T(filtered_search_by_the_index_finds_what_exact_search_finds),
        };

        return cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
}
