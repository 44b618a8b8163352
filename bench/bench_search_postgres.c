/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearest neighbours by catalog_vector_search on a database that
 * bench_fill_postgres filled: durations, and how many of the ten nearest are
 * found, against all vectors compared in f32 here. Beside it what the server
 * itself needs to compare all of them, and a round trip that asks for nothing.
 *
 *   bench_search_postgres URL MILLISECONDS      (of each point)
 *
 * Prints lines of fields separated by tabs:
 *   limit   what  p50 p95 in ms
 *   search  query  filter  k  clients  searches  a second  p50 p95 p99 in ms  recall@10  failures
 *   cosine  the greatest difference of a returned cosine to that of single precision
 */
#include "mixture.h"

#include "catalog/catalog.h"
#include "catalog/catalog_asset.h"
#include "catalog/catalog_search.h"
#include "metrics/metrics.h"

#include <libpq-fe.h>

#define QUERIES 100 /* of each sort */
#define BEST    10
#define K_MAX   1000 /* what the search room asks for */
#define MODEL   "bench"

static const struct filter {
        const char *name, *sql;
        struct asset_filter by;
} filters[] = {
        {"none", "", {0}},
        {"owner of 1 %", " AND owner = 'one'", {.owner = "one"}},
        {"owner of 10 %", " AND owner = 'ten'", {.owner = "ten"}},
        {"documents, 5 %", " AND kind = 1", {.kinds = 1u << KIND_DOCUMENT}},
        {"media, 95 %", " AND kind = 0", {.kinds = 1u << KIND_MEDIA}},
};
static const char *const sort_names[] = {"picture", "text", "far text"}; /* by enum query_sort */

/* The rows nearest to a query among those of a filter, best first. */
struct truth {
        struct near {
                uint32_t row;
                float cosine;
        } best[BEST];
        size_t n;
};

static float queries[COUNT_OF(sort_names)][QUERIES][MIXTURE_DIM];
static struct truth truth[COUNT_OF(filters)][COUNT_OF(sort_names)][QUERIES];
static struct idmap *row_of;
static uint32_t rows;
static struct catalog *catalog;
static PGconn *db;
static float worst_cosine; /* written before any second client runs */

static void stop(const char *what)
{
        fprintf(stderr, "bench: %s\n", what);
        exit(1);
}

static PGresult *ask(const char *sql, const char *value)
{
        PGresult *r = PQexecParams(db, sql, value ? 1 : 0, NULL, &value, NULL, NULL, 0);
        if (PQresultStatus(r) != PGRES_TUPLES_OK)
                stop(PQerrorMessage(db));
        return r;
}

/* ---- what is true -------------------------------------------------------------------------- */

static void read_ids(void)
{
        PGresult *r = ask("SELECT id FROM asset ORDER BY n", NULL);
        rows = (uint32_t)PQntuples(r);
        row_of = idmap_new();
        for (uint32_t i = 0; i < rows; i++) {
                struct id id;
                if (!row_of || !id_parse(span_of(PQgetvalue(r, (int)i, 0)), &id) || idmap_put(row_of, id, i))
                        die("ids");
        }
        PQclear(r);
}

static bool passes(const struct filter *f, uint32_t row)
{
        return (!f->by.owner || !strcmp(f->by.owner, row_owner(row))) &&
               (!f->by.kinds || f->by.kinds & 1u << row_kind(row));
}

static void truth_add(struct truth *t, uint32_t row, float cosine)
{
        if (t->n == BEST && t->best[BEST - 1].cosine >= cosine)
                return;
        size_t at = t->n < BEST ? t->n++ : BEST - 1;
        for (; at > 0 && t->best[at - 1].cosine < cosine; at--)
                t->best[at] = t->best[at - 1];
        t->best[at] = (struct near){row, cosine};
}

static void find_truth(void)
{
        float v[MIXTURE_DIM];
        for (size_t s = 0; s < COUNT_OF(sort_names); s++)
                for (size_t q = 0; q < QUERIES; q++)
                        mixture_query(q, (enum query_sort)s, queries[s][q]);
        for (uint32_t row = 0; row < rows; row++) {
                bool pass[COUNT_OF(filters)];
                for (size_t f = 0; f < COUNT_OF(filters); f++)
                        pass[f] = passes(&filters[f], row);
                mixture_row(row, v);
                for (size_t q = 0; q < COUNT_OF(sort_names) * QUERIES; q++) {
                        size_t s = q / QUERIES;
                        float cosine = vec_dot(queries[s][q % QUERIES], v, MIXTURE_DIM);
                        for (size_t f = 0; f < COUNT_OF(filters); f++)
                                if (pass[f])
                                        truth_add(&truth[f][s][q % QUERIES], row, cosine);
                }
        }
}

/* ---- clients ------------------------------------------------------------------------------- */

struct point {
        const struct filter *filter;
        size_t sort, k;
        unsigned clients;
        struct mono until;
};

struct client {
        pthread_t thread;
        const struct point *point;
        size_t first;
        struct times times;
        uint64_t hits, wanted, failed;
        struct vector_match out[K_MAX];
};

/* How far the cosines are from those of single precision; those of the best must be the same. */
static void check_cosines(const struct client *c, const float *query, size_t n)
{
        float v[MIXTURE_DIM];
        for (size_t i = 0; i < n; i++) {
                uint32_t row;
                if (!idmap_get(row_of, c->out[i].asset, &row))
                        stop("a result that is no row");
                mixture_row(row, v);
                float off = __builtin_fabsf(vec_dot(query, v, MIXTURE_DIM) - c->out[i].cosine);
                if (i < BEST && off > 1e-5f)
                        stop("a cosine that is not exact");
                if (off > worst_cosine)
                        worst_cosine = off;
        }
}

static void count_hits(struct client *c, const struct truth *t, size_t n)
{
        c->wanted += t->n;
        for (size_t i = 0; i < n && i < BEST; i++) {
                uint32_t row;
                if (!idmap_get(row_of, c->out[i].asset, &row))
                        stop("a result that is no row");
                for (size_t j = 0; j < t->n; j++)
                        c->hits += t->best[j].row == row;
        }
}

static void *client_run(void *arg)
{
        struct client *c = arg;
        const struct point *p = c->point;
        struct err e;
        for (size_t i = c->first; !mono_reached(p->until) && c->failed < 5; i++) {
                size_t q = i % QUERIES, n;
                struct mono start = mono_now();
                if (catalog_vector_search(catalog, MODEL, queries[p->sort][q], &p->filter->by, p->k, c->out, &n, &e)) {
                        if (c->failed++ == 0)
                                fprintf(stderr, "bench: a search failed: %s\n", e.msg);
                        continue;
                }
                times_add(&c->times, dur_seconds(mono_since(start)) * 1e3);
                count_hits(c, &truth[p->filter - filters][p->sort][q], n);
        }
        return NULL;
}

static void run_point(struct point p, unsigned ms)
{
        struct client *all = mem_calloc(p.clients, sizeof *all);
        struct times t = {0};
        uint64_t hits = 0, wanted = 0, failed = 0;
        if (!all)
                die("memory");
        struct mono start = mono_now();
        p.until = mono_add(start, dur_ms(ms));
        for (unsigned i = 0; i < p.clients; i++) {
                all[i].point = &p;
                all[i].first = i * QUERIES / p.clients;
                if (pthread_create(&all[i].thread, NULL, client_run, &all[i]))
                        die("thread");
        }
        for (unsigned i = 0; i < p.clients; i++) {
                pthread_join(all[i].thread, NULL);
                times_join(&t, &all[i].times);
                hits += all[i].hits;
                wanted += all[i].wanted;
                failed += all[i].failed;
        }
        double s = dur_seconds(mono_since(start));
        times_sort(&t);
        printf("search\t%s\t%s\t%zu\t%u\t%zu\t%.1f\t%.2f\t%.2f\t%.2f\t%.3f\t%llu\n", sort_names[p.sort], p.filter->name,
               p.k, p.clients, t.n, (double)t.n / s, times_at(&t, 0.5), times_at(&t, 0.95), times_at(&t, 0.99),
               wanted ? (double)hits / (double)wanted : 0, (unsigned long long)failed);
        fflush(stdout);
        mem_free(t.ms);
        mem_free(all);
}

/* Brings what a point needs into memory, and looks at the answers. */
static void warm_up(const struct point *p)
{
        struct client *c = mem_calloc(1, sizeof *c);
        struct err e;
        if (!c)
                die("memory");
        for (size_t q = 0; q < QUERIES / 5; q++) {
                const float *query = queries[p->sort][q];
                size_t n;
                if (catalog_vector_search(catalog, MODEL, query, &p->filter->by, p->k, c->out, &n, &e))
                        stop(e.msg);
                check_cosines(c, query, n);
        }
        mem_free(c);
}

static void measure(unsigned ms)
{
        for (size_t f = 0; f < COUNT_OF(filters); f++)
                for (size_t sort = 0; sort < (f ? 1 : COUNT_OF(sort_names)); sort++)
                        for (size_t k = BEST; k <= K_MAX; k += K_MAX - BEST) {
                                struct point p = {.filter = &filters[f], .sort = sort, .k = k, .clients = 1};
                                warm_up(&p);
                                run_point(p, ms);
                                p.clients = 4;
                                run_point(p, ms);
                        }
        printf("cosine\t%.6f\n", (double)worst_cosine);
}

/* ---- the limits ------------------------------------------------------------------------------- */

static void limit(const char *what, const char *sql, bool with_query, int times)
{
        struct times t = {0};
        for (int i = 0; i < times; i++) {
                struct buf b;
                buf_init(&b, 1u << 16);
                for (int d = 0; with_query && d < MIXTURE_DIM; d++)
                        buf_printf(&b, "%c%.7g", d ? ',' : '[', (double)queries[0][i % QUERIES][d]);
                buf_putc(&b, ']');
                struct mono start = mono_now();
                PQclear(ask(sql, with_query ? buf_str(&b) : NULL));
                times_add(&t, dur_seconds(mono_since(start)) * 1e3);
                buf_done(&b);
        }
        times_sort(&t);
        printf("limit\t%s\t%.2f\t%.2f\n", what, times_at(&t, 0.5), times_at(&t, 0.95));
        fflush(stdout);
        mem_free(t.ms);
}

static void limits(void)
{
        char sql[512], name[64];
        limit("SELECT 1", "SELECT 1", false, 1000);
        for (size_t f = 0; f < COUNT_OF(filters); f++) {
                snprintf(sql, sizeof sql,
                         "SELECT part FROM embedding WHERE model = (SELECT n FROM model WHERE id = '" MODEL
                         "') AND trashed = 0%s ORDER BY (vec <=> $1::halfvec) + 0 LIMIT 10",
                         filters[f].sql);
                snprintf(name, sizeof name, "exact scan: %s", filters[f].name);
                limit(name, sql, true, 11);
        }
}

/* ---- the catalog -------------------------------------------------------------------------------- */

static bool index_used(void)
{
        PGresult *r = ask("SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_indexes "
                          "WHERE indexrelname LIKE 'embedding\\_hnsw\\_%'",
                          NULL);
        bool used = strcmp(PQgetvalue(r, 0, 0), "0") != 0;
        PQclear(r);
        return used;
}

/* Until a search has gone by the index: the keeper looks for it when the model is chosen. */
static void open_catalog(const char *url)
{
        struct catalog_opts o = {.url = url, .idempotency_ttl = dur_s(60)};
        struct vector_match out[BEST];
        struct err e;
        size_t n;
        PQclear(ask("SELECT pg_stat_reset()", NULL));
        if (catalog_open(&o, &catalog, &e) || catalog_use_model(catalog, MODEL, MIXTURE_DIM, &e))
                stop(e.msg);
        for (int i = 0; !index_used(); i++) {
                if (i == 100)
                        stop("the index is not used");
                if (catalog_vector_search(catalog, MODEL, queries[0][0], NULL, BEST, out, &n, &e))
                        stop(e.msg);
                sleep_for(dur_ms(300));
        }
}

int main(int argc, char **argv)
{
        if (argc != 3) {
                fprintf(stderr, "usage: bench_search_postgres URL MILLISECONDS\n");
                return 2;
        }
        unsigned ms = number(argv[2], 100, 60000);
        if (metrics_init())
                die("memory");
        mixture_init();
        db = PQconnectdb(argv[1]);
        if (PQstatus(db) != CONNECTION_OK)
                stop(PQerrorMessage(db));
        read_ids();
        find_truth();
        limits();
        open_catalog(argv[1]);
        measure(ms);
        catalog_close(catalog);
        idmap_free(row_of);
        PQfinish(db);
        return 0;
}
