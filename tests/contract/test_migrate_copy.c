/* SPDX-License-Identifier: Apache-2.0 */
/* A catalog moved from SQLite to PostgreSQL answers as before, whatever cuts the copy off; everything else is refused.
 */
#include "catalog/catalog_copy.h"
#include "contract/catalog_postgres_backend.h"

#include <ftw.h>
#include <sqlite3.h>

struct world {
        struct fix from, to; /* f->c is NULL while closed */
        char path[64];       /* of the source's file */
        struct err e;
};

static struct id folders[3], gone_folder, leased_asset;

/* ---- a catalog with something of everything -------------------------------------------- */

static struct new_asset new_named(const char *name, enum asset_kind kind, const char *bytes)
{
        struct new_asset x = new_file(name, kind, kind == KIND_MEDIA);

        x.sha256 = sha256_of(bytes, strlen(bytes));
        x.size = strlen(bytes);
        return x;
}

static struct id ingest(struct fix *f, const char *owner, struct new_asset x, const char *folder, const char *key)
{
        static const char *const tags[] = {"summer", "Ünïcode été"};
        struct new_job j = new_job_of(owner, &x, 1);
        struct job_receipt r;

        j.comments = "from the old camera";
        j.tags = tags;
        j.ntags = COUNT_OF(tags);
        j.folder = folder;
        j.idempotency_scope = "k1";
        j.idempotency_key = key;
        j.content_hash = x.sha256;
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        return x.id;
}

static void complete(struct fix *f, unsigned seed, struct placement p)
{
        static const struct tag tags[] = {
                {"cat", TAG_VLM, 0.9f}, {"cat", TAG_ZERO_SHOT, 0.4f}, {"2024", TAG_EXIF, 0.25f}};
        struct task t = claim(f);
        float v[DIM];
        struct task_result r = {.task = &t,
                                .metadata = "{\"width\":4,\"description\":\"a crème brûlée on a table\"}",
                                .has_phash = true,
                                .phash = UINT64_C(0xF0F0F0F0F0F00000) + seed % 4,
                                .tags = tags,
                                .ntags = COUNT_OF(tags),
                                .model_id = MODEL,
                                .vector = v,
                                .dim = DIM,
                                .placement = p,
                                .step = "understand",
                                .step_version = "1",
                                .step_data = SPAN("\0\1\2step")};

        unit_vector(seed, v);
        if (seed % 2) /* numbers that are subnormal in half precision, and ties */
                v[0] = 0x1.002p-16f, v[1] = 0x1.8p-25f, v[2] = -0x1.002p-3f;
        OK(catalog_task_complete(f->c, &r, &f->e));
}

static void break_task(struct fix *f, bool dead, const char *reason)
{
        struct task t = claim(f);
        struct task_failure x = {
                .stage = "decode", .code = ERR_CORRUPT, .reason = reason, .dead = dead, .retry_at = wall_now()};

        OK(catalog_task_fail(f->c, &t, &x, &f->e));
}

static void fill_files(struct fix *f)
{
        static const char *const names[] = {"Привет мир.txt",   "日本語の名前.pdf", "שלום.doc",
                                            "naïve – café.odt", "IMG1234.jpeg",     "👩‍👩‍👧 family.bin",
                                            "a'b\"c\\d%_.txt"};
        struct asset_patch rename = {.filename = "renamed ÉTÉ.txt", .set_comments = true, .comments = "by hand"};

        for (size_t i = 0; i < COUNT_OF(names); i++)
                ingest(f, i % 2 ? "ann" : "bob", new_named(names[i], KIND_FILE, names[i]), NULL, NULL);
        ingest(f, "ann", new_named("empty", KIND_FILE, ""), NULL, NULL);
        OK(catalog_asset_patch(f->c, ingest(f, "ann", new_named("x", KIND_DOCUMENT, "doc"), NULL, "key-1"), NULL,
                               &rename, "user", NULL, &f->e));
        /* The same bytes twice, of one owner and of two; one of them in the trash. */
        ingest(f, "ann", new_named("first.bin", KIND_FILE, "same"), NULL, NULL);
        OK(catalog_asset_trash(f->c, ingest(f, "ann", new_named("second.bin", KIND_FILE, "same"), NULL, NULL), NULL,
                               "user", &f->e));
        ingest(f, "bob", new_named("third.bin", KIND_FILE, "same"), NULL, NULL);
}

static void fill_pictures(struct fix *f)
{
        struct placement none = {.kind = PLACE_UNSORTED}, keep = {.kind = PLACE_KEEP, .similarity = 0.5f};
        struct placement assign = {.kind = PLACE_ASSIGN, .similarity = 0.8125f, .why = "0.81 to Cats"};
        char name[32];
        struct id id;

        for (unsigned i = 0; i < 12; i++) {
                snprintf(name, sizeof(name), "picture %u.jpg", i);
                id = ingest(f, i < 9 ? "ann" : "bob", new_named(name, KIND_MEDIA, name), i % 3 ? NULL : "Wished", NULL);
                assign.cluster_id = folders[i % 2];
                complete(f, i, i % 3 == 0 ? keep : i < 9 ? assign : none);
                if (i == 5)
                        OK(catalog_asset_trash(f->c, id, NULL, "user", &f->e));
        }
        ingest(f, "ann", new_named("broken.jpg", KIND_MEDIA, "broken"), NULL, NULL);
        break_task(f, false, "first try: ünreadable");
        break_task(f, true, "no picture at all");
        ingest(f, "bob", new_named("retry.jpg", KIND_MEDIA, "retry"), NULL, NULL);
        break_task(f, false, "later perhaps");
}

static void make_key(struct fix *f, struct new_key k)
{
        k.id = id_new();
        k.hash = sha256_of(k.prefix, strlen(k.prefix));
        k.actor = "test";
        OK(catalog_key_create(f->c, &k, NULL, &f->e));
}

static void fill_keys(struct fix *f)
{
        struct wall later = wall_add(wall_now(), dur_s(36000));

        make_key(f, (struct new_key){.prefix = "aaaaaaaa", .scope = KEY_ADMIN, .name = "first"});
        make_key(f, (struct new_key){.prefix = "bbbbbbbb",
                                     .scope = KEY_WRITE,
                                     .name = "phone of Änne",
                                     .owner = "ann",
                                     .expires = later});
}

static void fill(struct fix *f)
{
        static const char *const names[] = {"Cats", "Straße", "Zoo"};
        struct cluster_change lock = {.kind = CHANGE_LOCK, .locked = true};

        fix_warm(f, MODEL);
        for (size_t i = 0; i < COUNT_OF(folders); i++)
                OK(catalog_cluster_create(f->c, "ann", names[i], 0.5f, "user", &folders[i], &f->e));
        fill_files(f);
        fill_pictures(f);
        fill_keys(f);
        OK(catalog_cluster_merge(f->c, folders[0], &folders[1], 1, NULL, "ann", "user", NULL, NULL, &f->e));
        OK(catalog_cluster_change(f->c, folders[2], "ann", &lock, "user", NULL, NULL, &f->e));
        OK(catalog_cluster_create(f->c, "bob", "Short-lived", 0.5f, "user", &gone_folder, &f->e));
        OK(catalog_cluster_delete(f->c, gone_folder, "bob", "user", NULL, &f->e));
}

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
        qsort(x.tags, x.ntags, sizeof(*x.tags), by_source_and_name);
        for (size_t i = 0; i < x.ntags; i++)
                buf_printf(b, "  tag %s %d %a\n", x.tags[i].name, x.tags[i].source, (double)x.tags[i].confidence);
        buf_printf(b, "  near %zu\n", x.nnear);
        OK(catalog_lineage(f->c, id, NULL, f->a, &l, &n, &f->e));
        for (size_t i = 0; i < n; i++)
                buf_printf(b, "  %lld %s %s %s\n", (long long)l[i].at.us, l[i].action, l[i].actor, l[i].detail);
        if (x.model_id) {
                OK(catalog_vector_get(f->c, id, v, &f->e));
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

        OK(catalog_key_list(f->c, NULL, true, f->a, &k, &n, &total, &f->e));
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(catalog_key_find(f->c, k[i].prefix, &known, &f->e), 1);
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
        OK(catalog_prototype_search(f->c, "ann", v, COUNT_OF(pm), f->a, pm, &n, &f->e));
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
                qsort(tm, got, sizeof(*tm), by_asset);
                buf_printf(b, "find %s %zu", words[i], got);
                for (size_t k = 0; k < got; k++)
                        put_id(b, tm[k].asset);
        }
        unit_vector(4, v);
        OK(catalog_vector_search(f->c, v, NULL, COUNT_OF(vm), vm, &got, &f->e));
        for (size_t k = 0; k < got; k++) {
                put_id(b, vm[k].asset);
                buf_printf(b, " %.5f\n", (double)vm[k].cosine);
        }
        for (const char *const *o = (const char *const[]){"", "ann", "bob", NULL}; *o; o++) {
                OK(catalog_counts(f->c, **o ? *o : NULL, &n, &f->e));
                n.oldest_ready_seconds = 0;
                for (size_t i = 0; i < sizeof(n) / sizeof(uint64_t); i++)
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

/* ---- both sides --------------------------------------------------------------------------- */

static int world_setup(void **state)
{
        struct world *w = mem_calloc(1, sizeof(*w));
        char dir[] = "/tmp/fa-copy-XXXXXX";

        assert_non_null(w);
        assert_int_equal(metrics_init(), 0);
        suite_backend.make(w->to.url, sizeof(w->to.url), w->to.data, sizeof(w->to.data));
        assert_non_null(mkdtemp(dir));
        snprintf(w->from.data, sizeof(w->from.data), "%s", dir);
        snprintf(w->path, sizeof(w->path), "%s/catalog.db", dir);
        snprintf(w->from.url, sizeof(w->from.url), "sqlite://%s", w->path);
        for (struct fix *f = &w->from; f; f = f == &w->from ? &w->to : NULL) {
                f->opts = (struct catalog_opts){.url = f->url,
                                                .data_path = f->data,
                                                .idempotency_ttl = dur_s(3600),
                                                .phash_distance = 5,
                                                .queue_max_depth = 1000000};
                f->a = arena_new(256 << 20);
        }
        fix_open(&w->from);
        *state = w;
        return 0;
}

static void shut(struct fix *f)
{
        catalog_close(f->c);
        f->c = NULL;
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *w)
{
        (void)st;
        (void)type;
        (void)w;
        return remove(path);
}

static int world_teardown(void **state)
{
        struct world *w = *state;

        shut(&w->from);
        shut(&w->to);
        arena_free(w->from.a);
        arena_free(w->to.a);
        suite_backend.drop(w->to.url, w->to.data);
        nftw(w->from.data, rm, 16, FTW_DEPTH | FTW_PHYS);
        mem_free(w);
        return 0;
}

static struct catalog_copy_opts copy_opts(struct world *w)
{
        return (struct catalog_copy_opts){.from = w->path, .to = w->to.url, .batch_bytes = 600};
}

/* The whole of a copy; the state it was found in, or -1 with w->e. */
static int copy(struct world *w)
{
        struct catalog_copy_opts opts = copy_opts(w);
        struct catalog_copy *c = NULL;
        int rc = catalog_copy_open(&opts, &c, &w->e);
        bool equal = false;

        if (rc == 0)
                rc = (int)catalog_copy_state(c);
        if (rc >= 0 && (catalog_copy_load(c, &w->e) < 0 || catalog_copy_verify(c, &equal, &w->e) < 0))
                rc = -1;
        if (rc >= 0 && !equal)
                rc = err_set(&w->e, ERR_INTERNAL, "not equal");
        if (rc >= 0 && catalog_copy_finish(c, &w->e) < 0)
                rc = -1;
        catalog_copy_close(c);
        return rc;
}

static void expect_copy(struct world *w, enum catalog_copy_state state)
{
        int rc = copy(w);

        if (rc < 0)
                fail_msg("copy: %s", w->e.msg);
        assert_int_equal(rc, state);
}

static void expect_refusal(struct world *w, const char *words)
{
        assert_int_equal(copy(w), -1);
        if (!strstr(w->e.msg, words))
                fail_msg("\"%s\" does not say \"%s\"", w->e.msg, words);
}

static long in_target(struct world *w, const char *sql)
{
        return pgtest_number(pgtest_database(w->to.url), sql);
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
                snprintf(spec, sizeof(spec), "catalog.copy=eio@%u", n);
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
        assert_int_equal(get(f, leased_asset).status, ASSET_PROCESSING);
        shut(f);
        expect_copy(w, COPY_NEW);
        f = &w->to;
        fix_open(f);
        x = get(f, leased_asset);
        assert_int_equal(x.status, ASSET_QUEUED);
        OK(catalog_job_get(f->c, x.job_id, NULL, f->a, &job, &f->e));
        assert_int_equal(job.queued, 1);
        assert_int_equal(job.processing, 0);
        assert_int_equal(job.status, JOBS_QUEUED);
        t = claim(f);
        assert_true(id_eq(t.asset_id, leased_asset));
        assert_int_equal(t.deliveries, 1); /* the one that the copy took back was not counted */
        assert_int_equal(t.token, 2);      /* but its token is used up */
}

static void a_changed_source_is_refused(void **state)
{
        struct world *w = *state;

        fill(&w->from);
        shut(&w->from);
        expect_copy(w, COPY_NEW);
        fix_open(&w->from);
        ingest(&w->from, "ann", new_named("late", KIND_FILE, "late"), NULL, NULL);
        shut(&w->from);
        expect_refusal(w, "the source has changed since its copy was finished");
        assert_int_equal(in_target(w, "SELECT count(*) FROM asset WHERE filename = 'late'"), 0);
}

static void another_source_is_refused(void **state)
{
        struct world *w = *state;

        shut(&w->from);
        expect_copy(w, COPY_NEW);
        assert_int_equal(unlink(w->path), 0);
        fix_open(&w->from);
        shut(&w->from);
        expect_refusal(w, "begun from another catalog");
}

static void a_target_with_content_is_refused(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->to;

        ingest(&w->from, "ann", new_named("a", KIND_FILE, "a"), NULL, NULL);
        shut(&w->from);
        fix_open(f);
        ingest(f, "ann", new_named("foreign", KIND_FILE, "f"), NULL, NULL);
        expect_refusal(w, "stop it first");
        shut(f);
        backend_quiet(f->url);
        expect_refusal(w, "an empty database");
        assert_int_equal(in_target(w, "SELECT count(*) FROM asset"), 1);
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

static void a_damaged_target_is_noticed(void **state)
{
        struct world *w = *state;
        struct catalog_copy_opts opts = copy_opts(w);
        const struct catalog_copy_table *t;
        struct catalog_copy *c;
        unsigned differ = 0;
        bool equal = true;
        size_t n;

        fill(&w->from);
        shut(&w->from);
        expect_copy(w, COPY_NEW);
        pgtest_exec(pgtest_database(w->to.url), "UPDATE lineage SET detail = '{}' WHERE n = 3");
        assert_int_equal(catalog_copy_open(&opts, &c, &w->e), 0);
        assert_int_equal(catalog_copy_verify(c, &equal, &w->e), 0);
        assert_false(equal);
        t = catalog_copy_tables(c, &n);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(t[i].rows, t[i].target_rows);
                differ += !sha256_eq(t[i].hash, t[i].target_hash);
        }
        assert_int_equal(differ, 1);
        catalog_copy_close(c);
}

static void source_exec(struct world *w, const char *sql)
{
        sqlite3 *h;

        assert_int_equal(sqlite3_open(w->path, &h), SQLITE_OK);
        assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(h);
}

static void text_that_is_not_utf8_is_mended_and_told(void **state)
{
        struct world *w = *state;
        struct catalog_copy_opts opts = copy_opts(w);
        struct catalog_copy *c;
        bool equal = false;

        ingest(&w->from, "ann", new_named("a", KIND_FILE, "a"), NULL, NULL);
        shut(&w->from);
        source_exec(w, "UPDATE lineage SET detail = CAST(x'61C3' || x'28' || x'E282' || x'00' AS TEXT)");
        assert_int_equal(catalog_copy_open(&opts, &c, &w->e), 0);
        assert_int_equal(catalog_copy_mended(c), 1);
        if (catalog_copy_load(c, &w->e) < 0)
                fail_msg("%s", w->e.msg);
        assert_int_equal(catalog_copy_verify(c, &equal, &w->e), 0);
        assert_true(equal);
        catalog_copy_close(c);
        assert_int_equal(in_target(w, "SELECT count(*) FROM lineage WHERE detail = U&'a\\FFFD(\\FFFD\\FFFD\\FFFD'"), 1);
}

static void what_is_no_source_is_named(void **state)
{
        struct world *w = *state;
        FILE *file;

        shut(&w->from);
        source_exec(w, "INSERT INTO schema_version VALUES (9999, 'x', 0)");
        expect_refusal(w, "schema version 9999");
        source_exec(w, "DROP TABLE schema_version");
        expect_refusal(w, "is not a catalog of File Allocator");
        file = fopen(w->path, "w");
        assert_non_null(file);
        for (int i = 0; i < 500; i++)
                fputs("no database at all ", file);
        fclose(file);
        expect_refusal(w, "is not a catalog of File Allocator");
        unlink(w->path);
        expect_refusal(w, "there is no catalog at");
        assert_int_equal(in_target(w, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
}

static long in_source(struct world *w, const char *sql)
{
        sqlite3_stmt *q;
        sqlite3 *h;
        long n;

        assert_int_equal(sqlite3_open(w->path, &h), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &q, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(q), SQLITE_ROW);
        n = (long)sqlite3_column_int64(q, 0);
        sqlite3_finalize(q);
        sqlite3_close(h);
        return n;
}

/* Who adds a table or a column sees here that the copy must know it: catalog_copy.c has the target's columns, the
 * source's views in catalog_sqlite_copy.c those of the source. */
static void every_column_is_copied_or_derived(void **state)
{
        struct world *w = *state;

        shut(&w->from);
        expect_copy(w, COPY_NEW);
        assert_int_equal(
                in_target(w, "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' "
                             "AND table_name NOT IN ('counter', 'asset_text', 'write_mark', 'schema_version', "
                             "'catalog_copy', 'catalog_copy_table', 'duty', 'placed', 'session', 'secret', 'scrub', "
                             "'sidecar_mark', 'rebuild', 'rebuild_item')"),
                168);
        assert_int_equal(
                in_source(w, "SELECT count(*) FROM sqlite_master m JOIN pragma_table_info(m.name) WHERE "
                             "m.type = 'table' AND m.name NOT LIKE '%fts%' AND m.name NOT IN ('counter', 'asset_text', "
                             "'meta', 'duty', 'schema_version', 'sqlite_sequence', 'session', 'secret', 'scrub', "
                             "'sidecar_mark', 'rebuild', 'rebuild_item')"),
                163);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_copied_catalog_answers_as_before), TEST(run_again_it_finds_nothing_to_do),
                TEST(cut_off_anywhere_it_goes_on),        TEST(what_was_leased_is_ready),
                TEST(a_changed_source_is_refused),        TEST(another_source_is_refused),
                TEST(a_target_with_content_is_refused),   TEST(a_target_that_was_only_tried_is_taken),
                TEST(a_damaged_target_is_noticed),        TEST(text_that_is_not_utf8_is_mended_and_told),
                TEST(what_is_no_source_is_named),         TEST(every_column_is_copied_or_derived),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
