/* SPDX-License-Identifier: Apache-2.0 */
/* Approximate search in PostgreSQL: its index finds what comparing all finds, also with a filter. */
#include "contract/catalog_postgres_backend.h"

#include <math.h>

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
                "INSERT INTO embedding (part, model, unit, vec, owner, kind, trashed) SELECT n, 1, "
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
                "FROM generate_series(1, 10000) g;"
                "INSERT INTO part (n, asset, kind, position) OVERRIDING SYSTEM VALUE SELECT n, n, 0, 0 FROM asset");
        pgtest_url(url, sizeof url, "super", database);
        h = PQconnectdb(url);
        PQclear(PQexec(h, "BEGIN"));
        PQclear(PQprepare(h, "i", insert, 0, NULL));
        for (size_t i = 0; i < MANY; i++) {
                const char *values[3] = {number, (const char *)&all[i * WIDE], text};
                int lengths[3] = {0, WIDE * 4, 0}, formats[3] = {0, 1, 0};
                size_t n = 0;
                snprintf(number, sizeof number, "%zu", i + 1);
                for (size_t d = 0; d < WIDE; d++)
                        n += (size_t)snprintf(text + n, sizeof text - n, "%c%.7g", d ? ',' : '[',
                                              (double)all[i * WIDE + d]);
                snprintf(text + n, sizeof text - n, "]");
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
        float *cosines = mem_alloc(MANY * sizeof *cosines), q[WIDE];
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
                qsort(cosines, rest, sizeof *cosines, by_float_down);
                began = mono_now();
                OK(catalog_vector_search(f->c, "wide", q, &filter, TOP, m, &n, &f->e));
                *ms += dur_seconds(mono_since(began)) * 1000 / ASKED;
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
                OK(catalog_vector_search(f->c, "wide", q, &filter, COUNT_OF(m), m, &n, &f->e));
                assert_int_equal(n, COUNT_OF(m));
                for (size_t i = 0; i < n; i++) {
                        OK(catalog_vector_get(f->c, "wide", m[i].asset, v, &f->e));
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
        float *all = mem_alloc((size_t)MANY * WIDE * sizeof *all);
        char database[64], sql[128];
        double exact, near, narrow, ms[3];

        assert_non_null(all);
        for (size_t i = 0; i < MANY; i++)
                wide_vector(i, &all[i * WIDE]);
        snprintf(database, sizeof database, "%s", pgtest_database(f->url));
        fill(database, all);
        OK(catalog_use_model(f->c, "wide", WIDE, &f->e));
        exact = recall(f, all, NULL, 1, &ms[0]);
        assert_true(exact == 1);
        assert_int_equal(pgtest_number(database, "SELECT count(*) FROM pg_class WHERE relname LIKE 'embedding_hnsw%'"),
                         0);
        f->opts.vector_exact_max = 500;
        snprintf(sql, sizeof sql, "ALTER DATABASE %s SET enable_sort = off", database);
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
                T(filtered_search_by_the_index_finds_what_exact_search_finds),
        };

        return cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
}
