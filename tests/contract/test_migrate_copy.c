/* SPDX-License-Identifier: Apache-2.0 */
/* A catalog moved from SQLite to PostgreSQL answers as before, whatever cuts the copy off. */
#include "contract/migrate_world.h"

static struct id leased_asset;

/* ---- what a catalog says, as text --------------------------------------------------------- */

static void put_id(struct buf *b, struct id id)
{
        char text[ID_TEXT_LEN];

        buf_printf(b, " %s", id_format(id, text));
}

static int by_source_and_name(const void *a, const void *b)
{
        const struct tag *x = a, *y = b;

        return x->source != y->source ? (int)x->source - (int)y->source : strcmp(x->name, y->name);
}

static void say_asset(struct fix *f, struct id id, struct buf *b)
{
        struct asset x = get(f, id);
        struct lineage_entry *l;
        float v[DIM];
        size_t n;

        put_id(b, x.id);
        put_id(b, x.job_id);
        put_id(b, x.cluster_id);
        put_id(b, x.duplicate_of);
        buf_printf(b, " %d %d %d %s|%s|%s|%s|%s|%s|%s|%llu|%lld %lld %lld|%s|%s|%s|%d|%a|%s|%u\n", x.kind, x.type,
                   x.status, x.stage, x.error, x.error_code, x.filename, x.content_type, x.owner, x.comments,
                   (unsigned long long)x.size, (long long)x.created.us, (long long)x.updated.us,
                   (long long)x.trashed.us, x.metadata, x.analysis_note, x.cluster_name, x.pinned,
                   (double)x.cluster_similarity, x.model_id, x.dimension);
        qsort(x.tags, x.ntags, sizeof *x.tags, by_source_and_name);
        for (size_t i = 0; i < x.ntags; i++)
                buf_printf(b, "  tag %s %d %a\n", x.tags[i].name, x.tags[i].source, (double)x.tags[i].confidence);
        buf_printf(b, "  near %zu\n", x.nnear);
        OK(catalog_lineage(f->c, id, NULL, f->a, &l, &n, &f->e));
        for (size_t i = 0; i < n; i++)
                buf_printf(b, "  %lld %s %s %s\n", (long long)l[i].at.us, l[i].action, l[i].actor, l[i].detail);
        if (x.model_id) {
                OK(catalog_vector_get(f->c, MODEL, id, v, &f->e));
                for (int i = 0; i < DIM; i++)
                        buf_printf(b, " %a", (double)v[i]);
        }
}

static void say_assets(struct fix *f, struct asset_filter filter, struct buf *b)
{
        struct asset_page p;

        for (int sort = SORT_CREATED_DESC; sort <= SORT_SIZE_ASC; sort++) {
                OK(catalog_asset_list(f->c, &filter, (enum asset_sort)sort, 500, NULL, f->a, &p, &f->e));
                buf_printf(b, "list %d %zu %llu\n", sort, p.n, (unsigned long long)p.total);
                for (size_t i = 0; i < p.n; i++)
                        put_id(b, p.assets[i].id);
        }
        for (size_t i = 0; i < p.n; i++)
                say_asset(f, p.assets[i].id, b);
}

static void say_jobs(struct fix *f, struct buf *b)
{
        struct job_view *j;
        struct dead_task *d, *h;
        const char *next;
        uint64_t total;
        size_t n, m;

        OK(catalog_job_list(f->c, NULL, -1, 500, NULL, f->a, &j, &n, &next, &f->e));
        for (size_t i = 0; i < n; i++) {
                put_id(b, j[i].id);
                buf_printf(b, " %s %d %llu %llu %llu %llu %lld %lld\n", j[i].owner, j[i].status,
                           (unsigned long long)j[i].queued, (unsigned long long)j[i].processing,
                           (unsigned long long)j[i].done, (unsigned long long)j[i].failed, (long long)j[i].updated.us,
                           (long long)j[i].completed.us);
        }
        OK(catalog_dlq_list(f->c, NULL, NULL, 500, NULL, f->a, &d, &n, &total, &next, &f->e));
        for (size_t i = 0; i < n; i++) {
                OK(catalog_dlq_get(f->c, d[i].job_id, NULL, f->a, &h, &m, &f->e));
                buf_printf(b, "dead %s %s %s %s %u %u %u %lld %lld\n", d[i].filename, d[i].stage, d[i].error, d[i].code,
                           d[i].errors, d[i].crashes, d[i].deliveries, (long long)d[i].first_failed.us,
                           (long long)d[i].last_failed.us);
                for (size_t k = 0; k < h->nhistory; k++)
                        buf_printf(b, "  %s %s %lld\n", h->history[k].code, h->history[k].message,
                                   (long long)h->history[k].at.us);
        }
}

static void say_keys(struct fix *f, struct buf *b)
{
        struct api_key *k;
        struct known_key known;
        uint64_t total;
        size_t n;

        OK(access_key_list(f->c, NULL, true, f->a, &k, &n, &total, &f->e));
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(access_key_find(f->c, k[i].prefix, &known, &f->e), 1);
                put_id(b, known.id);
                buf_printf(b, " %s %s %s %d %lld %lld %s\n", k[i].name, k[i].owner, k[i].prefix, k[i].scope,
                           (long long)k[i].created.us, (long long)k[i].expires.us, k[i].created_by);
        }
}

static void say_folders(struct fix *f, struct buf *b)
{
        struct cluster_filter all = {.status = -1};
        struct cluster *c;
        struct prototype_match pm[8];
        struct id survivor;
        const char *next;
        uint64_t total;
        float v[DIM];
        size_t n;

        OK(catalog_cluster_list(f->c, &all, CLUSTERS_BY_NAME, 500, NULL, f->a, &c, &n, &total, &next, &f->e));
        for (size_t i = 0; i < n; i++) {
                put_id(b, c[i].id);
                buf_printf(b, " %s %s %d %a %d%d%d %llu %llu %lld %lld\n", c[i].owner, c[i].name, c[i].status,
                           (double)c[i].threshold, c[i].locked, c[i].touched, c[i].named,
                           (unsigned long long)c[i].asset_count, (unsigned long long)c[i].version,
                           (long long)c[i].created.us, (long long)c[i].updated.us);
        }
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, folders[1], NULL, f->a, c, &survivor, &f->e));
        put_id(b, survivor);
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, gone_folder, NULL, f->a, c, NULL, &f->e));
        unit_vector(3, v);
        OK(catalog_prototype_search(f->c, MODEL, "ann", v, COUNT_OF(pm), f->a, pm, &n, &f->e));
        for (size_t i = 0; i < n; i++) {
                put_id(b, pm[i].cluster);
                buf_printf(b, " %s %.5f %llu\n", pm[i].name, (double)pm[i].cosine, (unsigned long long)pm[i].count);
        }
}

static int by_asset(const void *a, const void *b)
{
        return id_cmp(((const struct text_match *)a)->asset, ((const struct text_match *)b)->asset);
}

static void say_finds(struct fix *f, struct buf *b)
{
        static const char *const words[] = {"привет", "日本語", "cafe",       "img",     "1234", "summer",
                                            "ete",    "brulee", "camera old", "renamed", "שלום", "pict 3"};
        struct vector_match vm[32];
        struct text_match tm[64];
        struct catalog_counts n;
        float v[DIM];
        size_t got;

        for (size_t i = 0; i < COUNT_OF(words); i++) {
                OK(catalog_text_search(f->c, words[i], NULL, COUNT_OF(tm), tm, &got, &f->e));
                qsort(tm, got, sizeof *tm, by_asset);
                buf_printf(b, "find %s %zu", words[i], got);
                for (size_t k = 0; k < got; k++)
                        put_id(b, tm[k].asset);
        }
        unit_vector(4, v);
        OK(catalog_vector_search(f->c, MODEL, v, NULL, COUNT_OF(vm), vm, &got, &f->e));
        for (size_t k = 0; k < got; k++) {
                put_id(b, vm[k].asset);
                buf_printf(b, " %.5f\n", (double)vm[k].cosine);
        }
        for (const char *const *o = (const char *const[]){"", "ann", "bob", NULL}; *o; o++) {
                OK(catalog_counts(f->c, **o ? *o : NULL, &n, &f->e));
                n.oldest_ready_seconds = 0;
                for (size_t i = 0; i < sizeof n / sizeof(uint64_t); i++)
                        buf_printf(b, " %llu", (unsigned long long)((uint64_t *)&n)[i]);
        }
}

/* Everything that can be asked; the caller's (mem_free). */
static char *say(struct fix *f)
{
        struct new_asset x = new_named("x", KIND_DOCUMENT, "doc");
        struct new_job again = new_job_of("ann", &x, 1);
        struct job_receipt r;
        struct buf b;
        char *out;

        buf_init(&b, 16 << 20);
        say_assets(f, (struct asset_filter){0}, &b);
        say_assets(f, (struct asset_filter){.trashed = true}, &b);
        say_assets(f, (struct asset_filter){.owner = "bob", .name = "É"}, &b);
        say_jobs(f, &b);
        say_keys(f, &b);
        say_folders(f, &b);
        say_finds(f, &b);
        again.idempotency_scope = "k1";
        again.idempotency_key = "key-1";
        again.content_hash = x.sha256;
        assert_int_equal(catalog_idempotency_find(f->c, &again, f->a, &r, &f->e), 1);
        put_id(&b, r.job_id);
        put_id(&b, r.assets[0]);
        assert_false(buf_failed(&b));
        out = mem_strdup(buf_str(&b));
        buf_done(&b);
        assert_non_null(out);
        return out;
}

/* The last of the catalogs' words about itself must be those of the first. */
static void expect_same(struct world *w)
{
        char *before, *after;
        size_t i = 0;

        fix_open(&w->from);
        fix_warm(&w->from, MODEL);
        fix_open(&w->to);
        fix_warm(&w->to, MODEL);
        before = say(&w->from);
        after = say(&w->to);
        while (before[i] && before[i] == after[i])
                i++;
        if (before[i] || after[i])
                fail_msg("differs at %zu:\n%.300s\n----\n%.300s", i, before + (i > 100 ? i - 100 : 0),
                         after + (i > 100 ? i - 100 : 0));
        mem_free(before);
        mem_free(after);
        shut(&w->from);
        shut(&w->to);
}

/* ---- the tests -------------------------------------------------------------------------------- */

static void a_copied_catalog_answers_as_before(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->to;

        fill(&w->from);
        shut(&w->from);
        expect_copy(w, COPY_NEW);
        expect_same(w);
        /* Half precision as the server makes it. */
        pgtest_exec(
                pgtest_database(w->to.url),
                "CREATE FUNCTION f32(b bytea) RETURNS real[] LANGUAGE sql AS $$ SELECT array_agg(v ORDER BY i) FROM "
                "(SELECT i, (CASE WHEN bits < 0 THEN -1 ELSE 1 END * CASE WHEN exp = 0 THEN 0 ELSE (1 + man / "
                "8388608.0::float8) * 2.0::float8 ^ (exp - 127) END)::real AS v FROM (SELECT i, bits, bits >> 23 & "
                "255 AS exp, bits & 8388607 AS man FROM (SELECT i, (get_byte(b, i * 4 + 3)::bit(8) || get_byte(b, i "
                "* 4 + 2)::bit(8) || get_byte(b, i * 4 + 1)::bit(8) || get_byte(b, i * 4)::bit(8))::bit(32)::integer "
                "AS bits FROM generate_series(0, length(b) / 4 - 1) AS i) AS x) AS y) AS z $$");
        assert_int_equal(in_target(w, "SELECT count(*) FROM embedding"), 12);
        assert_int_equal(in_target(w, "SELECT count(*) FROM embedding WHERE vec <> f32(unit)::vector::halfvec"), 0);
        /* Life goes on: numbers are not given twice, and names are found. */
        fix_open(f);
        fix_warm(f, MODEL);
        ingest(f, "ann", new_named("new.jpg", KIND_MEDIA, "new"), "Cats", NULL);
        complete(f, 77, (struct placement){.kind = PLACE_KEEP});
        assert_int_equal(in_target(w, "SELECT count(*) FROM asset WHERE filename = 'new.jpg' AND n > 24"), 1);
}

static void run_again_it_finds_nothing_to_do(void **state)
{
        struct world *w = *state;
        long finished;

        fill(&w->from);
        shut(&w->from);
        expect_copy(w, COPY_NEW);
        finished = in_target(w, "SELECT finished FROM catalog_copy");
        assert_true(finished > 0);
        expect_copy(w, COPY_FINISHED);
        assert_int_equal(in_target(w, "SELECT finished FROM catalog_copy"), finished);
        expect_same(w);
}

static void cut_off_anywhere_it_goes_on(void **state)
{
        struct world *w = *state;
        unsigned cuts = 0;
        char spec[64];
        int rc;

        fill(&w->from);
        shut(&w->from);
        for (unsigned n = 1;; n = n % 5 + 1) { /* the batch that fails */
                snprintf(spec, sizeof spec, "catalog.copy=eio@%u", n);
                setenv("FILE_ALLOCATOR_FAULT", spec, 1);
                fault_init();
                rc = copy(w);
                unsetenv("FILE_ALLOCATOR_FAULT");
                fault_init();
                if (rc >= 0)
                        break;
                assert_int_equal(w->e.code, ERR_IO);
                /* Nobody may serve half a catalog. */
                assert_int_equal(catalog_open(&w->to.opts, &w->to.c, &w->e), -1);
                assert_non_null(strstr(w->e.msg, "migrate copy"));
                assert_true(++cuts < 200);
        }
        assert_true(cuts > 10);
        assert_int_equal(rc, COPY_BEGUN);
        expect_same(w);
}

static void what_was_leased_is_ready(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->from;
        struct job_view job;
        struct asset x;
        struct task t;

        leased_asset = ingest(f, "ann", new_named("leased.jpg", KIND_MEDIA, "leased"), NULL, NULL);
        assert_true(id_eq(claim(f).asset_id, leased_asset));
        OK(catalog_task_add(f->c, leased_asset, NULL, PURPOSE_ENRICH, &f->e));
        assert_int_equal(
                catalog_task_claim(f->c, "w", dur_s(60), TASK_KIND(PURPOSE_ENRICH, JOB_IMAGE), f->a, &t, &f->e), 1);
        assert_int_equal(get(f, leased_asset).status, ASSET_PROCESSING);
        shut(f);
        expect_copy(w, COPY_NEW);
        f = &w->to;
        fix_open(f);
        x = get(f, leased_asset);
        assert_int_equal(x.status, ASSET_QUEUED);
        assert_int_equal(x.ntasks, 2);
        assert_int_equal(x.tasks[1].state, TASK_READY);
        OK(catalog_job_get(f->c, x.job_id, NULL, f->a, &job, &f->e));
        assert_int_equal(job.queued, 1);
        assert_int_equal(job.processing, 0);
        assert_int_equal(job.status, JOBS_QUEUED);
        t = claim(f);
        assert_true(id_eq(t.asset_id, leased_asset));
        assert_int_equal(t.deliveries, 1); /* the one that the copy took back was not counted */
        assert_int_equal(t.token, 2);      /* but its token is used up */
        assert_int_equal(
                catalog_task_claim(f->c, "w", dur_s(60), TASK_KIND(PURPOSE_ENRICH, JOB_IMAGE), f->a, &t, &f->e), 1);
        assert_int_equal(t.purpose, PURPOSE_ENRICH);
        assert_int_equal(t.token, 2);
}

/* Somebody may have looked whether a server starts on it. */
static void a_target_that_was_only_tried_is_taken(void **state)
{
        struct world *w = *state;

        fill(&w->from);
        shut(&w->from);
        fix_open(&w->to);
        fix_warm(&w->to, "another model");
        shut(&w->to);
        backend_quiet(w->to.url);
        expect_copy(w, COPY_NEW);
        expect_same(w);
}

static void text_that_is_not_utf8_is_mended_and_told(void **state)
{
        struct world *w = *state;
        struct keep_copy_opts opts = copy_opts(w);
        struct keep_copy *c;
        bool equal = false;

        ingest(&w->from, "ann", new_named("a", KIND_FILE, "a"), NULL, NULL);
        shut(&w->from);
        source_exec(w, "UPDATE lineage SET detail = CAST(x'61C3' || x'28' || x'E282' || x'00' AS TEXT)");
        assert_int_equal(keep_copy_open(&opts, &c, &w->e), 0);
        assert_int_equal(keep_copy_mended(c), 1);
        if (keep_copy_load(c, &w->e) < 0)
                fail_msg("%s", w->e.msg);
        assert_int_equal(keep_copy_verify(c, &equal, &w->e), 0);
        assert_true(equal);
        keep_copy_close(c);
        assert_int_equal(in_target(w, "SELECT count(*) FROM lineage WHERE detail = U&'a\\FFFD(\\FFFD\\FFFD\\FFFD'"), 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_copied_catalog_answers_as_before),    TEST(run_again_it_finds_nothing_to_do),
                TEST(cut_off_anywhere_it_goes_on),           TEST(what_was_leased_is_ready),
                TEST(a_target_that_was_only_tried_is_taken), TEST(text_that_is_not_utf8_is_mended_and_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
