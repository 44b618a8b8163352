/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PostgreSQL catalog with many synthetic pictures. The first hundred go
 * through the catalog's own functions, as the service would write them; all
 * others are copies of those made by SQL, with ids, hashes and vectors of their
 * own. Then the time that the catalog's keeper takes to build the HNSW index.
 *
 *   bench_fill_postgres URL ROWS       (an empty database, as a superuser)
 *
 * Prints: rows, seconds of filling, seconds of building the index.
 */
#include "mixture.h"
#include "words.h"

#include "catalog/catalog.h"
#include "catalog/catalog_ingest.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_task.h"
#include "metrics/metrics.h"

#include <libpq-fe.h>

#define PATTERNS 100 /* rows that the catalog writes */
#define MODEL    "bench"
#define ROWS     "current_setting('bench.rows')::bigint"

static PGconn *db;
static struct catalog *catalog;

static void stop(const char *what)
{
        fprintf(stderr, "bench: %s\n", what);
        exit(1);
}

static void run(const char *sql)
{
        PGresult *r = PQexec(db, sql);
        if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
                stop(PQerrorMessage(db));
        PQclear(r);
}

static long ask(const char *sql)
{
        PGresult *r = PQexec(db, sql);
        if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) != 1)
                stop(PQerrorMessage(db));
        long n = strtol(PQgetvalue(r, 0, 0), NULL, 10);
        PQclear(r);
        return n;
}

/* ---- the patterns ---------------------------------------------------------------------- */

static void ingest_pattern(unsigned i)
{
        struct arena *a = arena_new(1u << 20);
        if (!a)
                die("memory");
        struct new_asset x = {.id = id_new(),
                              .kind = row_kind(i),
                              .type = row_kind(i) == KIND_MEDIA ? JOB_IMAGE : JOB_DOCUMENT,
                              .content_type = "image/jpeg",
                              .size = 100000 + i * 4000,
                              .purposes = 1u << PURPOSE_ANALYSE};
        struct new_job job = {.id = id_new(), .owner = row_owner(i), .created = wall_now(), .assets = &x, .nassets = 1};
        struct job_receipt receipt;
        struct err e;
        x.filename = arena_printf(a, "%s %s %08u.jpg", words[i % COUNT_OF(words)], words[i * 7 % COUNT_OF(words)], i);
        random_bytes(&x.sha256, sizeof x.sha256);
        if (catalog_ingest(catalog, &job, a, &receipt, &e))
                stop(e.msg);
        arena_free(a);
}

/* One that was claimed becomes done. Its place in the mixture is the number in its name, since claims go by type. */
static void complete_pattern(void)
{
        static const char learnt[] =
                "{\"width\":1920,\"height\":1080,\"format\":\"jpeg\",\"description\":\"a picture\"}";
        struct arena *a = arena_new(1u << 20);
        char step[sizeof learnt + MIXTURE_DIM * sizeof(float)];
        float v[MIXTURE_DIM];
        struct tag tags[3];
        struct task task;
        struct err e;
        if (!a ||
            catalog_task_claim(catalog, "bench", dur_s(600), 1u << JOB_IMAGE | 1u << JOB_DOCUMENT, a, &task, &e) != 1)
                stop("no task to claim");
        uint64_t i = strtoul(strrchr(task.filename, ' ') + 1, NULL, 10), seed = i;
        mixture_row(i, v);
        for (size_t t = 0; t < COUNT_OF(tags); t++)
                tags[t] = (struct tag){
                        .name = words[(i + t * 31) % COUNT_OF(words)], .source = TAG_ZERO_SHOT, .confidence = 0.5f};
        memcpy(step, learnt, sizeof learnt);
        memcpy(step + sizeof learnt, v, sizeof v);
        struct task_result r = {.task = &task,
                                .metadata = learnt,
                                .has_phash = true,
                                .phash = mix_next(&seed),
                                .tags = tags,
                                .ntags = COUNT_OF(tags),
                                .parts = part_list_whole(&(struct part_room){.part = {0}}, MODEL, v, MIXTURE_DIM),
                                .placement = {.kind = PLACE_UNSORTED, .similarity = -1, .why = "bench"},
                                .step = "understand",
                                .step_version = MODEL,
                                .step_data = {step, sizeof step}};
        if (catalog_task_complete(catalog, &r, &e))
                stop(e.msg);
        arena_free(a);
}

static void open_catalog(const char *url)
{
        struct catalog_opts o = {.url = url, .idempotency_ttl = dur_s(60), .queue_max_depth = 1000};
        struct err e;
        if (catalog_open(&o, &catalog, &e) || catalog_use_model(catalog, MODEL, MIXTURE_DIM, &e))
                stop(e.msg);
}

static void write_patterns(const char *url)
{
        open_catalog(url);
        for (unsigned i = 0; i < PATTERNS; i++)
                ingest_pattern(i);
        for (unsigned i = 0; i < PATTERNS; i++)
                complete_pattern();
        catalog_close(catalog);
        if (ask("SELECT count(*) FROM asset a WHERE a.n = right(split_part(a.filename, '.', 1), 8)::bigint + 1") !=
            PATTERNS)
                stop("the database was not empty");
}

/* ---- vectors by COPY --------------------------------------------------------------------- */

struct row_buf {
        char p[8192];
        size_t n;
};

static void put(struct row_buf *b, const void *p, size_t n)
{
        memcpy(b->p + b->n, p, n);
        b->n += n;
}

static void put_int(struct row_buf *b, uint64_t v, unsigned bytes)
{
        while (bytes--)
                b->p[b->n++] = (char)(v >> 8 * bytes);
}

static void put_field(struct row_buf *b, const void *p, size_t n)
{
        put_int(b, n, 4);
        put(b, p, n);
}

static void put_long(struct row_buf *b, uint64_t v, unsigned bytes)
{
        put_int(b, bytes, 4);
        put_int(b, v, bytes);
}

/* part, model, unit, vec, owner, kind, trashed, part_kind as COPY's binary format has them. */
static void put_embedding(struct row_buf *b, uint64_t i, uint64_t part, long model)
{
        float v[MIXTURE_DIM];
        mixture_row(i, v);
        b->n = 0;
        put_int(b, 8, 2);
        put_long(b, part, 8);
        put_long(b, (uint64_t)model, 8);
        put_field(b, v, sizeof v);
        put_int(b, 4 + 2 * MIXTURE_DIM, 4);
        put_int(b, MIXTURE_DIM, 2);
        put_int(b, 0, 2);
        for (int d = 0; d < MIXTURE_DIM; d++) {
                _Float16 h = (_Float16)v[d];
                uint16_t bits;
                memcpy(&bits, &h, sizeof bits);
                put_int(b, bits, 2);
        }
        put_field(b, row_owner(i), strlen(row_owner(i)));
        put_long(b, row_kind(i), 4);
        put_long(b, 0, 4);
        put_long(b, 0, 4);
}

/* The vectors of rows first to end (not included), as table rows whose part is the row's number plus one. */
static void copy_vectors(const char *table, unsigned first, unsigned end)
{
        static const char head[19] = "PGCOPY\n\377\r\n", tail[2] = {-1, -1};
        struct row_buf b;
        char sql[160];
        long model = ask("SELECT n FROM model WHERE id = '" MODEL "'");
        snprintf(sql, sizeof sql,
                 "COPY %s (part, model, unit, vec, owner, kind, trashed, part_kind) FROM STDIN (FORMAT binary)", table);
        PGresult *r = PQexec(db, sql);
        if (PQresultStatus(r) != PGRES_COPY_IN || PQputCopyData(db, head, sizeof head) != 1)
                stop(PQerrorMessage(db));
        PQclear(r);
        for (unsigned i = first; i < end; i++) {
                put_embedding(&b, i, (uint64_t)i + 1, model);
                if (PQputCopyData(db, b.p, (int)b.n) != 1)
                        stop(PQerrorMessage(db));
        }
        if (PQputCopyData(db, tail, sizeof tail) != 1 || PQputCopyEnd(db, NULL) != 1)
                stop(PQerrorMessage(db));
        r = PQgetResult(db);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
                stop(PQerrorMessage(db));
        PQclear(r);
        PQclear(PQgetResult(db));
}

/* What COPY brings must be what the catalog wrote of the same vectors, to the bit. */
static void check_vectors(void)
{
        run("CREATE TEMP TABLE same (LIKE embedding)");
        copy_vectors("same", 0, PATTERNS);
        if (ask("SELECT count(*) FROM (TABLE same INTERSECT TABLE embedding) AS equal") != PATTERNS)
                stop("the copied vectors are not those that the catalog writes");
}

/* ---- the copies ----------------------------------------------------------------------------- */

/*
 * Row i has n = i + 1, in all tables that are numbered so, and is made after
 * row i % 100. Ids are UUIDs of version 7, ascending as those of the program.
 */
static const char *const copies[] = {
        /* Constraints were true of the patterns; without their triggers it goes twice as fast. */
        "SET session_replication_role = replica",
        "SET synchronous_commit = off",
        "SET work_mem = '64MB'",
        "CREATE TEMP TABLE copy AS SELECT i + 1 AS n, i % 100 + 1 AS of, sha256(i::text::bytea) AS sha256, "
        "(overlay(overlay(lpad(to_hex((SELECT max(created) FROM asset) / 1000 + i), 12, '0') || md5(i::text) "
        "PLACING '7' FROM 13 FOR 1) PLACING '8' FROM 17 FOR 1))::varchar(32)::uuid AS id, "
        "hashint8extended(i, 1) AS phash FROM generate_series(100, " ROWS " - 1) AS i",
        "CREATE UNIQUE INDEX ON copy (n)",
        "ANALYZE copy",
        "INSERT INTO object SELECT c.sha256, a.size, a.created FROM copy c JOIN asset a ON a.n = c.of",
        /* A job has one file in the patterns, and a hundred here. */
        "INSERT INTO asset (n, id, job, position, owner, kind, type, status, stage, filename, name_fold, content_type, "
        "sha256, size, created, updated, metadata, similarity, phash) OVERRIDING SYSTEM VALUE SELECT c.n, c.id, a.job, "
        "c.n / 100, a.owner, a.kind, a.type, a.status, a.stage, regexp_replace(a.filename, '\\d+', lpad(c.n::text, 8, "
        "'0')), regexp_replace(a.name_fold, '\\d+', lpad(c.n::text, 8, '0')), a.content_type, c.sha256, a.size, "
        "a.created + c.n * 1000, a.updated + c.n * 1000, a.metadata, a.similarity, c.phash "
        "FROM copy c JOIN asset a ON a.n = c.of ORDER BY c.n",
        "UPDATE job j SET done = x.done FROM (SELECT job, count(*) AS done FROM asset GROUP BY job) AS x WHERE x.job = "
        "j.n",
        "INSERT INTO task (n, id, asset, type, state, run_after, token, lease_until, deliveries, worker) OVERRIDING "
        "SYSTEM "
        "VALUE SELECT c.n, md5(c.id::text)::uuid, c.n, t.type, t.state, t.run_after, t.token, t.lease_until, "
        "t.deliveries, "
        "t.worker FROM copy c JOIN task t ON t.asset = c.of ORDER BY c.n",
        "INSERT INTO part (n, asset, kind, position) OVERRIDING SYSTEM VALUE SELECT c.n, c.n, 0, 0 FROM copy c ORDER "
        "BY c.n",
        "INSERT INTO asset_tag SELECT c.n, t.tag, t.source, t.confidence FROM copy c JOIN asset_tag t ON t.asset = "
        "c.of "
        "ORDER BY c.n",
        "INSERT INTO phash_band SELECT b.owner, b.band, (c.phash >> 16 * b.band) & 65535, c.n, c.phash FROM copy c "
        "JOIN phash_band b ON b.asset = c.of ORDER BY c.n",
        "INSERT INTO step_result SELECT c.sha256, s.step, s.version, s.data FROM copy c JOIN asset a ON a.n = c.of "
        "JOIN step_result s ON s.object = a.sha256 ORDER BY c.n",
        "INSERT INTO lineage (asset, at, action, actor, detail) SELECT c.n, l.at, l.action, l.actor, l.detail FROM "
        "copy c "
        "JOIN lineage l ON l.asset = c.of ORDER BY c.n",
        "INSERT INTO asset_text SELECT c.n, x.filename, x.tags, x.text, x.words FROM copy c JOIN asset_text x ON x.n = "
        "c.of "
        "ORDER BY c.n",
        "UPDATE counter SET count = count * (" ROWS " / 100), bytes = bytes * (" ROWS " / 100)",
        "SELECT setval(pg_get_serial_sequence('asset', 'n'), " ROWS
        "), setval(pg_get_serial_sequence('task', 'n'), " ROWS "), setval(pg_get_serial_sequence('part', 'n'), " ROWS
        ")",
};

static void copy_rows(unsigned rows)
{
        char sql[64];
        snprintf(sql, sizeof sql, "SET bench.rows = %u", rows);
        run(sql);
        for (size_t i = 0; i < COUNT_OF(copies); i++) {
                struct mono start = mono_now();
                run(copies[i]);
                fprintf(stderr, "%.1f s: %.60s\n", dur_seconds(mono_since(start)), copies[i]);
        }
        struct mono start = mono_now();
        copy_vectors("embedding", PATTERNS, rows);
        fprintf(stderr, "%.1f s: vectors\n", dur_seconds(mono_since(start)));
        /* As autovacuum would, sooner or later. */
        run("VACUUM ANALYZE");
}

/* Seconds until the keeper has built the index. A look of it comes at once when a model is chosen, then every minute.
 */
static double index_seconds(const char *url)
{
        struct mono start = mono_now();
        open_catalog(url);
        while (ask("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                   "WHERE c.relname LIKE 'embedding\\_hnsw\\_%' AND i.indisvalid") == 0)
                sleep_for(dur_ms(100));
        double s = dur_seconds(mono_since(start));
        catalog_close(catalog);
        return s;
}

int main(int argc, char **argv)
{
        if (argc != 3) {
                fprintf(stderr, "usage: bench_fill_postgres URL ROWS\n");
                return 2;
        }
        unsigned rows = number(argv[2], 30000, 10000000) / PATTERNS * PATTERNS;
        struct mono start = mono_now();
        if (metrics_init())
                die("memory");
        mixture_init();
        db = PQconnectdb(argv[1]);
        if (PQstatus(db) != CONNECTION_OK)
                stop(PQerrorMessage(db));
        write_patterns(argv[1]);
        check_vectors();
        copy_rows(rows);
        double filled = dur_seconds(mono_since(start));
        printf("%u %.1f %.1f\n", rows, filled, index_seconds(argv[1]));
        PQfinish(db);
        return 0;
}
