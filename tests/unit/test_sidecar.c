/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format: what is written is read back to the last bit, and what was not
 * written so is refused. The lane: on a real catalog and a real storage.
 */
#include "keep/keep_sidecar.h"
#include "catalog/catalog.h"
#include "catalog/catalog_asset.h"
#include "catalog/catalog_ingest.h"
#include "jobs/jobs.h"
#include "contract/sidecar_help.h"
#include "sidecar/sidecar.h"

#include "metrics/metrics.h"
#include "storage/storage.h"
#include "remove_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct id id_at(unsigned n)
{
        struct id id = {{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80}};

        id.b[15] = (uint8_t)n;
        return id;
}

static struct kept_asset rich(struct arena *a, unsigned dim)
{
        static struct tag tags[] = {{"cat \"quoted\"", TAG_HUMAN, 1}, {"tier", TAG_ZERO_SHOT, 0.1f}};
        static struct lineage_entry lineage[] = {{{1}, "accepted", "user", NULL},
                                                 {{1700000000123456}, "renamed", "service", "{\"to\":\"x\\n\"}"}};
        static struct task_error history[] = {{"decode", "corrupt", "bro\tken", {1700000000000001}, true}};
        static struct kept_dead dead = {3, 2, 1, history, 1};
        static struct kept_vector vector;
        static struct source_metadata others[] = {{TAG_HUMAN, "{\"a\":1}"}, {TAG_VLM, "{ \"say\": \"x\\n\" }"}};
        float *v = arena_array(a, dim + 1, sizeof *v);

        for (unsigned i = 0; i < dim; i++)
                v[i] = (float)(i + 1) / 3 * (i % 2 ? -1 : 1);
        vector = (struct kept_vector){"a model", dim, v};
        return (struct kept_asset){.asset = {.id = id_at(1),
                                             .job_id = id_at(2),
                                             .kind = KIND_MEDIA,
                                             .type = JOB_IMAGE,
                                             .status = ASSET_FAILED,
                                             .stage = "decode",
                                             .error = "bro\tken",
                                             .error_code = "corrupt",
                                             .filename = "\xc3\xa9 \xf0\x9f\x90\x88 \"a, b\".jpg",
                                             .content_type = "image/jpeg",
                                             .owner = "ann",
                                             .comments = "two\nlines",
                                             .sha256 = sha256_of("x", 1),
                                             .size = (uint64_t)1 << 40,
                                             .created = {1700000000000001},
                                             .updated = {1700000000999999},
                                             .trashed = {1700000001000000},
                                             .metadata = "{\"lat\":48.8584,\"n\":1e3}",
                                             .products = "preview.jpg thumb.webp",
                                             .analysis_note = "a note",
                                             .cluster_id = id_at(3),
                                             .cluster_name = "Cats",
                                             .cluster_provisional = true,
                                             .pinned = true,
                                             .cluster_similarity = 0.1f,
                                             .duplicate_of = id_at(4),
                                             .tags = tags,
                                             .ntags = 2},
                                   .others = others,
                                   .nothers = 2,
                                   .position = 7,
                                   .job_comments = "of the job",
                                   .job_created = {1699999999999999},
                                   .job_updated = {1700000002000000},
                                   .has_phash = true,
                                   .phash = 0xfedcba9876543210u,
                                   .vectors = &vector,
                                   .nvectors = 1,
                                   .lineage = lineage,
                                   .nlineage = 2,
                                   .dead = &dead};
}

static void an_asset_comes_back_to_the_last_bit(void **state)
{
        (void)state;
        for (unsigned dim = 1; dim < 9; dim++) {
                struct arena *a = arena_new(1 << 20);
                struct kept_asset k = rich(a, dim), back;
                struct err e = {0};
                struct buf b, again;

                buf_init(&b, 1 << 20);
                buf_init(&again, 1 << 20);
                sidecar_write_asset(&k, &b);
                assert_false(buf_failed(&b));
                if (sidecar_read_asset(buf_span(&b), k.asset.id, a, &back, &e) < 0)
                        fail_msg("%s: %s", e.msg, buf_str(&b));
                sidecar_write_asset(&back, &again);
                assert_string_equal(buf_str(&b), buf_str(&again));
                assert_int_equal(back.asset.created.us, k.asset.created.us);
                assert_string_equal(back.asset.metadata, k.asset.metadata);
                assert_int_equal(back.nothers, 2);
                assert_int_equal(back.others[1].source, TAG_VLM);
                assert_string_equal(back.others[1].text, k.others[1].text);
                assert_string_equal(back.asset.products, k.asset.products);
                assert_memory_equal(back.vectors[0].v, k.vectors[0].v, dim * sizeof(float));
                assert_true(back.asset.tags[1].confidence == 0.1f);
                assert_int_equal(back.phash, k.phash);
                buf_done(&b);
                buf_done(&again);
                arena_free(a);
        }
}

static void every_flipped_bit_is_damage(void **state)
{
        struct arena *a = arena_new(64 << 20);
        struct kept_asset k = rich(a, 2), back;
        struct buf b;

        (void)state;
        buf_init(&b, 1 << 20);
        sidecar_write_asset(&k, &b);
        for (size_t i = 0; i < b.n; i++) {
                struct err e = {0};
                b.p[i] ^= 1;
                assert_int_equal(sidecar_read_asset(buf_span(&b), k.asset.id, a, &back, &e), -1);
                assert_int_equal(e.code, ERR_CORRUPT);
                b.p[i] ^= 1;
                assert_int_equal(sidecar_read_asset((struct span){b.p, i}, k.asset.id, a, &back, &e), -1);
                assert_int_equal(e.code, ERR_CORRUPT);
        }
        buf_done(&b);
        arena_free(a);
}

/* With a hash that fits: somebody else's hand. */
static int read_changed(const char *from, const char *to, struct arena *a, struct kept_asset *back, struct err *e)
{
        struct kept_asset k = rich(a, 2);
        char hex[SHA256_TEXT_LEN];
        struct buf b, c;
        const char *at, *sum;
        int rc;

        buf_init(&b, 1 << 20);
        buf_init(&c, 1 << 20);
        sidecar_write_asset(&k, &b);
        at = strstr(buf_str(&b), from);
        sum = strstr(buf_str(&b), ",\"checksum\"");
        if (!at || at > sum)
                fail_msg("%s is not in %s", from, buf_str(&b));
        buf_put(&c, b.p, (size_t)(at - b.p));
        buf_puts(&c, to);
        buf_put(&c, at + strlen(from), (size_t)(sum - at) - strlen(from));
        sha256_format(sha256_of(c.p, c.n), hex);
        buf_printf(&c, ",\"checksum\":\"%s\"}\n", hex);
        rc = sidecar_read_asset(buf_span(&c), k.asset.id, a, back, e);
        buf_done(&b);
        buf_done(&c);
        return rc;
}

static void must_refuse(const char *from, const char *to, enum err_code code, const char *says)
{
        struct arena *a = arena_new(1 << 20);
        struct kept_asset back;
        struct err e = {0};

        if (read_changed(from, to, a, &back, &e) == 0)
                fail_msg("%s became %s and was taken", from, to);
        assert_int_equal(e.code, code);
        if (!strstr(e.msg, says))
                fail_msg("%s: %s does not say %s", to, e.msg, says);
        arena_free(a);
}

/* As one of 0.1.0 is. */
static void a_sidecar_may_know_of_no_other_sources(void **state)
{
        struct arena *a = arena_new(1 << 20);
        struct kept_asset back;
        struct err e = {0};

        (void)state;
        if (read_changed("\"metadata_by_source\":", "\"unknown\":", a, &back, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(back.nothers, 0);
        assert_string_equal(back.asset.metadata, "{\"lat\":48.8584,\"n\":1e3}");
        arena_free(a);
}

#define OTHERS "\"metadata_by_source\":[{\"source\":\""

static void what_a_catalog_would_not_take_is_refused(void **state)
{
        (void)state;
        must_refuse("\"format\":1", "\"format\":2", ERR_UNSUPPORTED, "format 2");
        must_refuse("\"format\":1", "\"format\":0", ERR_CORRUPT, "not one of an asset");
        must_refuse("\"sidecar\":\"asset\"", "\"sidecar\":\"folder\"", ERR_CORRUPT, "not one of an asset");
        must_refuse("0000000001\"", "0000000009\"", ERR_CORRUPT, "another id");
        must_refuse("\"owner\":\"ann\"", "\"owner\":\".ann\"", ERR_CORRUPT, "owner");
        must_refuse("\"owner\":\"ann\"", "\"owner\":null", ERR_CORRUPT, "owner");
        must_refuse("\"filename\":\"", "\"filename\":\"../", ERR_CORRUPT, "filename");
        must_refuse("\"filename\":\"", "\"filename\":\"\\u0000", ERR_CORRUPT, "");
        must_refuse("\"kind\":\"media\"", "\"kind\":\"table\"", ERR_CORRUPT, "kind");
        must_refuse("\"status\":\"failed\"", "\"status\":\"processing\"", ERR_CORRUPT, "status");
        must_refuse("\"status\":\"failed\"", "\"status\":\"done\"", ERR_CORRUPT, "dead");
        must_refuse("\"size\":1099511627776", "\"size\":-1", ERR_CORRUPT, "size");
        must_refuse("\"size\":1099511627776", "\"size\":1e3", ERR_CORRUPT, "size");
        must_refuse("\"sha256\":\"", "\"sha256\":\"0", ERR_CORRUPT, "sha256");
        must_refuse("\"created\":\"2", "\"created\":\"x", ERR_CORRUPT, "created");
        must_refuse("\"pinned\":true", "\"pinned\":1", ERR_CORRUPT, "pinned");
        must_refuse("\"dimension\":2", "\"dimension\":3", ERR_CORRUPT, "vector");
        must_refuse("\"dimension\":2", "\"dimension\":0", ERR_CORRUPT, "dimension");
        must_refuse("\"dimension\":2", "\"dimension\":99999", ERR_CORRUPT, "dimension");
        must_refuse("\"metadata\":\"{", "\"metadata\":\"[{", ERR_CORRUPT, "metadata");
        must_refuse(OTHERS "human\",\"metadata\":\"{", OTHERS "human\",\"metadata\":\"[{", ERR_CORRUPT, "by_source");
        must_refuse(OTHERS "human\"", OTHERS "vlm\"", ERR_CORRUPT, "by_source"); /* twice */
        must_refuse(OTHERS "human\"", OTHERS "exif\"", ERR_CORRUPT, "by_source");
        must_refuse(OTHERS "human\"", OTHERS "alien\"", ERR_CORRUPT, "source");
        must_refuse(OTHERS "human\",\"metadata\":", OTHERS "human\",\"said\":", ERR_CORRUPT, "metadata");
        must_refuse("\"metadata_by_source\":[", "\"metadata_by_source\":1,\"x\":[", ERR_CORRUPT, "by_source");
        must_refuse("\"products\":\"", "\"products\":\"../../x ", ERR_CORRUPT, "products");
        must_refuse("\"phash\":\"fedc", "\"phash\":\"FEDC", ERR_CORRUPT, "phash");
        must_refuse("\"tags\":[", "\"tags\":[1,", ERR_CORRUPT, "name");
        must_refuse("\"source\":\"human\"", "\"source\":\"alien\"", ERR_CORRUPT, "source");
        must_refuse("\"cluster\":{", "\"cluster\":{\"id\":null,", ERR_CORRUPT, "");
}

static void folders_and_the_catalog_come_back(void **state)
{
        struct id aliases[] = {id_at(8), id_at(9)};
        struct kept_folder k = {.folder = {.id = id_at(3),
                                           .owner = "ann",
                                           .name = "Cats/dogs \\ \x01",
                                           .status = CLUSTER_ACTIVE,
                                           .threshold = 0.72f,
                                           .locked = true,
                                           .named = true,
                                           .created = {1700000000000001},
                                           .updated = {1700000000000002}},
                                .aliases = aliases,
                                .naliases = 2},
                           back;
        struct arena *a = arena_new(1 << 20);
        struct err e = {0};
        struct buf b, again;
        bool keys = false;

        (void)state;
        buf_init(&b, 1 << 20);
        buf_init(&again, 1 << 20);
        sidecar_write_folder(&k, &b);
        assert_int_equal(sidecar_read_folder(buf_span(&b), id_at(3), a, &back, &e), 0);
        sidecar_write_folder(&back, &again);
        assert_string_equal(buf_str(&b), buf_str(&again));
        assert_int_equal(sidecar_read_folder(buf_span(&b), id_at(4), a, &back, &e), -1);
        assert_int_equal(sidecar_read_catalog(buf_span(&b), &keys, &e), -1);
        buf_reset(&b);
        sidecar_write_catalog(true, &b);
        assert_int_equal(sidecar_read_catalog(buf_span(&b), &keys, &e), 0);
        assert_true(keys);
        buf_done(&b);
        buf_done(&again);
        arena_free(a);
}

/* ---- the lane ------------------------------------------------------------------------------- */

struct world {
        char dir[64], url[128], path[96];
        struct catalog *c;
        struct storage *s;
        struct arena *a;
        struct err e;
};

#define OK(call)                                                                                                       \
        do {                                                                                                           \
                if ((call) != 0)                                                                                       \
                        fail_msg("%s:%d %s: %s", __FILE__, __LINE__, #call, w->e.msg);                                 \
        } while (0)

static int set_up(void **state)
{
        struct world *w = calloc(1, sizeof *w);

        assert_int_equal(metrics_init(), 0);
        snprintf(w->dir, sizeof w->dir, "/tmp/fa-sidecar-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        snprintf(w->url, sizeof w->url, "sqlite://%s/catalog.db", w->dir);
        snprintf(w->path, sizeof w->path, "%s/storage", w->dir);
        w->a = arena_new(64 << 20);
        OK(catalog_open(&(struct catalog_opts){.url = w->url, .data_path = w->dir, .queue_max_depth = 1000}, &w->c,
                        &w->e));
        OK(storage_open(&(struct storage_opts){.url = "fs://", .path = w->path}, &w->s, &w->e));
        *state = w;
        return 0;
}

static int tear_down(void **state)
{
        struct world *w = *state;

        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        storage_close(w->s);
        catalog_close(w->c);
        arena_free(w->a);
        remove_tree(w->dir);
        free(w);
        return 0;
}

static struct id put(struct world *w, const char *name)
{
        struct new_asset x = {.id = id_new(),
                              .kind = KIND_FILE,
                              .type = JOB_FILE,
                              .filename = name,
                              .content_type = "text/plain",
                              .size = 3,
                              .sha256 = sha256_of("abc", 3)};
        struct new_job j = {.id = id_new(), .owner = "ann", .created = wall_now(), .assets = &x, .nassets = 1};
        struct job_receipt r;

        OK(catalog_ingest(w->c, &j, w->a, &r, &w->e));
        return x.id;
}

static struct sidecar *lane(struct world *w)
{
        struct sidecar *s;

        OK(sidecar_open(
                &(struct sidecar_opts){.catalog = w->c, .storage = w->s, .instance = "one", .every = dur_ms(20)}, &s,
                &w->e));
        return s;
}

static void until_waiting(struct world *w, uint64_t want)
{
        struct wall since;
        uint64_t n = want + 1;

        for (int i = 0; i < 1000 && n != want; i++) {
                OK(keep_marks_waiting(w->c, &n, &since, &w->e));
                if (n != want)
                        sleep_for(dur_ms(10));
        }
        assert_int_equal(n, want);
}

static bool told(struct world *w, struct id id, struct kept_asset *out)
{
        char name[STORAGE_SIDECAR_NAME_LEN];
        struct buf b;
        int rc;

        buf_init(&b, 1 << 20);
        rc = storage_get_sidecar(w->s, storage_asset_sidecar(id, name), &b, &w->e);
        if (rc == 0)
                OK(sidecar_read_asset(buf_span(&b), id, w->a, out, &w->e));
        buf_done(&b);
        return rc == 0;
}

static void changes_reach_the_storage_and_purges_too(void **state)
{
        struct world *w = *state;
        struct kept_asset k;
        struct id ids[600]; /* more than two pages */
        struct sidecar *s;

        for (size_t i = 0; i < COUNT_OF(ids); i++)
                ids[i] = put(w, "a.txt");
        s = lane(w);
        until_waiting(w, 0);
        for (size_t i = 0; i < COUNT_OF(ids); i += 100)
                assert_true(told(w, ids[i], &k));
        OK(catalog_asset_patch(w->c, ids[7], NULL, &(struct asset_patch){.filename = "b.txt"}, "t", NULL, &w->e));
        OK(catalog_asset_purge(w->c, ids[8], NULL, "t", &w->e));
        until_waiting(w, 0);
        assert_true(told(w, ids[7], &k));
        assert_string_equal(k.asset.filename, "b.txt");
        assert_false(told(w, ids[8], &k));
        sidecar_close(s, mono_add(mono_now(), dur_s(10)));
}

/* Restored from a backup, say: nothing is marked, and nothing is there. */
static void a_storage_without_sidecars_gets_all(void **state)
{
        struct world *w = *state;
        struct sidecar_mark *m;
        struct kept_asset k;
        struct sidecar *s;
        struct id id;
        size_t n;

        for (size_t i = 0; i < 300; i++)
                id = put(w, "a.txt");
        OK(keep_marks(w->c, NULL, 1000, w->a, &m, &n, &w->e));
        OK(keep_marks_clear(w->c, m, n, &w->e));
        s = lane(w);
        for (int i = 0; i < 1000 && !told(w, id, &k); i++)
                sleep_for(dur_ms(10));
        assert_true(told(w, id, &k));
        until_waiting(w, 0);
        sidecar_close(s, mono_now());
}

static void the_end_writes_what_is_left(void **state)
{
        struct world *w = *state;
        struct sidecar *s;
        struct kept_asset k;
        struct id id;

        OK(sidecar_open(
                &(struct sidecar_opts){.catalog = w->c, .storage = w->s, .instance = "one", .every = dur_s(3600)}, &s,
                &w->e));
        id = put(w, "a.txt");
        assert_false(told(w, id, &k));
        sidecar_close(s, mono_add(mono_now(), dur_s(10)));
        assert_true(told(w, id, &k));
        until_waiting(w, 0);
        sidecar_close(NULL, mono_now());
}

static void a_storage_that_fails_keeps_the_marks_and_is_told(void **state)
{
        struct world *w = *state;
        struct sidecar_state st = {.note = ""};
        struct sidecar *s;
        struct id id = put(w, "a.txt");
        struct kept_asset k;

        setenv("FILE_ALLOCATOR_FAULT", "storage.sidecar=enospc@1", 1);
        fault_init();
        s = lane(w);
        until_waiting(w, 0); /* the next try succeeds */
        assert_true(told(w, id, &k));
        sidecar_close(s, mono_now());

        put(w, "b.txt");
        remove_tree(w->path); /* the volume is gone */
        s = lane(w);
        for (int i = 0; i < 1000 && !*st.note; i++) {
                sleep_for(dur_ms(10));
                sidecar_state(s, &st);
        }
        assert_non_null(strstr(st.note, "sidecars are behind"));
        sidecar_close(s, mono_now());
        until_waiting(w, 3); /* both files and the catalog's own: this storage has nothing */
}

/* ---- rebuilding -------------------------------------------------------------------------------- */

static void put_bytes(struct world *w)
{
        struct storage_put *p;
        struct stored out;

        OK(storage_put_begin(w->s, &p, &w->e));
        OK(storage_put_write(p, "abc", 3, &w->e));
        OK(storage_put_seal(p, &out, &w->e));
        OK(storage_put_commit(p, &out, &w->e));
        storage_put_end(p);
}

static void complaint(void *ctx, const char *why)
{
        (void)why;
        ++*(unsigned *)ctx;
}

/* What is read ahead is taken for what it is, over more than one page, and with some that cannot be read among them. */
static void a_rebuild_takes_each_sidecar_for_its_own(void **state)
{
        enum { N = 1100 };
        struct world *w = *state;
        struct rebuild_report r;
        char name[STORAGE_SIDECAR_NAME_LEN], url[160];
        struct id ids[N];
        struct sidecar *lane_of_all;
        unsigned complaints = 0;
        uint64_t bad = 0;

        put_bytes(w);
        for (size_t i = 0; i < N; i++) {
                snprintf(name, sizeof name, "%zu.txt", i);
                ids[i] = put(w, name);
        }
        lane_of_all = lane(w);
        until_waiting(w, 0);
        sidecar_close(lane_of_all, mono_add(mono_now(), dur_s(10)));
        for (size_t i = 3; i < N; i += 97, bad++)
                OK(put_sidecar(w->s, storage_asset_sidecar(ids[i], name), SPAN("{}\n"), &w->e));
        catalog_close(w->c);
        snprintf(url, sizeof url, "sqlite://%s/again.db", w->dir);
        OK(catalog_open(&(struct catalog_opts){.url = url, .data_path = w->dir, .queue_max_depth = 1000}, &w->c,
                        &w->e));
        OK(rebuild_run(&(struct rebuild_opts){.catalog = w->c, .storage = w->s, .bad = complaint, .ctx = &complaints},
                       &r, &w->e));
        assert_int_equal(r.damaged, bad);
        assert_int_equal(complaints, bad);
        assert_int_equal(r.assets, N - bad);
        for (size_t i = 0; i < N; i++) {
                struct asset x;
                int rc = catalog_asset_get(w->c, ids[i], NULL, w->a, &x, &w->e);
                snprintf(name, sizeof name, "%zu.txt", i);
                assert_int_equal(rc, i % 97 == 3 ? -1 : 0);
                if (rc == 0)
                        assert_string_equal(x.filename, name);
        }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_asset_comes_back_to_the_last_bit),
                cmocka_unit_test(every_flipped_bit_is_damage),
                cmocka_unit_test(what_a_catalog_would_not_take_is_refused),
                cmocka_unit_test(a_sidecar_may_know_of_no_other_sources),
                cmocka_unit_test(folders_and_the_catalog_come_back),
                T(changes_reach_the_storage_and_purges_too),
                T(a_storage_without_sidecars_gets_all),
                T(the_end_writes_what_is_left),
                T(a_storage_that_fails_keeps_the_marks_and_is_told),
                T(a_rebuild_takes_each_sidecar_for_its_own),
        };

        return cmocka_run_group_tests_name("sidecar", tests, NULL, NULL);
}
