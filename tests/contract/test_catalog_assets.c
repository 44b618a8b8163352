/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's contract: lists, text, single assets, and what happens when things fail. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"
#include "keep/keep.h"

/* ---- lists and text ---------------------------------------------------------------------- */

static size_t count_list(struct fix *f, const struct asset_filter *filter)
{
        struct asset_page p;

        OK(catalog_asset_list(f->c, filter, SORT_CREATED_DESC, 100, NULL, f->a, &p, &f->e));
        assert_int_equal(p.total, p.n);
        return p.n;
}

static void filters_let_through_what_they_say(void **state)
{
        struct fix *f = *state;
        struct id pic = put_file(f, "ann", "Straße_ÄPFEL.jpg", KIND_MEDIA),
                  doc = put_file(f, "bob", "50%_a.bin", KIND_FILE);
        struct sha256 h = get(f, pic).sha256;
        struct id nil = {{0}}, unknown = id_new();
        const char *sea = "SEA", *no = "no";
        struct asset_patch patch = {.set_tags = true, .tags = (const char *const[]){"sea"}, .ntags = 1};

        OK(catalog_asset_patch(f->c, pic, "ann", &patch, "user", NULL, &f->e));
        assert_int_equal(count_list(f, &(struct asset_filter){0}), 2);
        assert_int_equal(count_list(f, &(struct asset_filter){.owner = "ann"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.owner = "nobody"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.kinds = 1U << KIND_FILE}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.statuses = 1U << ASSET_DONE}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.sha256 = &h}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.cluster_id = &nil}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.cluster_id = &unknown}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.content_type = "image/"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.content_type = "image/jpeg"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.content_type = "image"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.tags = &sea, .ntags = 1}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.tags = &no, .ntags = 1}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "äpfel"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "SE_Ä"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "STRA"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "Ä"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "%"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "50%_"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "\"*\""}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.after = {1}, .before = wall_add(wall_now(), dur_s(5))}),
                         2);
        assert_int_equal(count_list(f, &(struct asset_filter){.before = {1}}), 0);
        OK(catalog_asset_trash(f->c, doc, "bob", "user", &f->e));
        assert_int_equal(count_list(f, &(struct asset_filter){0}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.trashed = true}), 1);
}

static void pages_neither_repeat_nor_miss_while_others_add(void **state)
{
        struct fix *f = *state;
        struct id first[60], seen[200];
        size_t nseen = 0;

        for (int i = 0; i < 60; i++)
                first[i] = put_file(f, "ann", i % 2 ? "b.jpg" : "A.jpg", KIND_MEDIA);
        for (int sort = SORT_CREATED_DESC; sort <= SORT_SIZE_ASC; sort++) {
                struct asset_filter filter = {.owner = "ann"};
                struct asset_page p = {0};
                nseen = 0;
                do {
                        OK(catalog_asset_list(f->c, &filter, (enum asset_sort)sort, 7, p.next, f->a, &p, &f->e));
                        for (size_t i = 0; i < p.n; i++)
                                seen[nseen++] = p.assets[i].id;
                        if (nseen < 60)
                                put_file(f, "ann", "aa.jpg", KIND_MEDIA);
                } while (p.next && nseen < 190);
                for (int i = 0; i < 60; i++) {
                        int times = 0;
                        for (size_t k = 0; k < nseen; k++)
                                times += id_eq(seen[k], first[i]);
                        assert_int_equal(times, 1);
                }
        }
}

static void made_up_cursors_are_refused(void **state)
{
        struct fix *f = *state;
        struct asset_filter all = {0}, ann = {.owner = "ann"};
        struct asset_page p, q;
        char bent[2048];

        for (int i = 0; i < 5; i++)
                put_file(f, "ann", "x.jpg", KIND_MEDIA);
        OK(catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, NULL, f->a, &p, &f->e));
        assert_non_null(p.next);
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &ann, SORT_NAME_ASC, 2, p.next, f->a, &q, &f->e));
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_DESC, 2, p.next, f->a, &q, &f->e));
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, "AAAA", f->a, &q, &f->e));
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, "!", f->a, &q, &f->e));
        for (size_t i = 0; i < strlen(p.next); i++) {
                snprintf(bent, sizeof bent, "%s", p.next);
                bent[i] = bent[i] == 'A' ? 'B' : 'A';
                FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, bent, f->a, &q, &f->e));
        }
        assert_true(snprintf(bent, sizeof bent, "%sA", p.next) < (int)sizeof bent);
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, bent, f->a, &q, &f->e));
}

static size_t text(struct fix *f, const char *query, struct text_match *m)
{
        size_t n;

        OK(catalog_text_search(f->c, query, NULL, 20, m, &n, &f->e));
        return n;
}

static void words_are_found_whatever_is_typed(void **state)
{
        static const char *const odd[] = {"",
                                          "\"",
                                          "\"\"\"",
                                          "*",
                                          "NEAR(",
                                          "AND",
                                          "OR NOT",
                                          "a AND",
                                          "col:x",
                                          "{a b}:",
                                          "-x",
                                          "^x",
                                          "(((",
                                          "\xF0\x9F\x90\xB1",
                                          "\xFF",
                                          "a\"b*c",
                                          "' OR 1=1",
                                          "%_\\",
                                          "\xE2\x80\x8B x",
                                          "+ + +",
                                          "x\ty\nz"};
        struct fix *f = *state;
        struct id a = put_file(f, "ann", "IMG_1234.jpg", KIND_MEDIA),
                  b = put_file(f, "bob", "DSC777Caf\xC3\xA9.jpg", KIND_MEDIA);
        struct asset_patch p = {.set_comments = true,
                                .comments = "a walk by the sea",
                                .set_tags = true,
                                .tags = (const char *const[]){"Dog", "beach"},
                                .ntags = 2};
        struct asset_filter bob = {.owner = "bob"};
        struct text_match m[20];
        size_t n;

        OK(catalog_asset_patch(f->c, a, "ann", &p, "user", NULL, &f->e));
        assert_int_equal(text(f, "img", m), 1);
        assert_true(id_eq(m[0].asset, a) && m[0].in_filename && !m[0].in_tags && !m[0].in_text);
        assert_int_equal(text(f, "1234", m), 1);
        assert_int_equal(text(f, "img_1234", m), 1);
        assert_int_equal(text(f, "IMG_1234.jpg", m), 1);
        assert_int_equal(text(f, "777", m), 1);
        assert_true(id_eq(m[0].asset, b));
        assert_int_equal(text(f, "cafe", m), 1);
        assert_int_equal(text(f, "dog sea", m), 1);
        assert_true(m[0].in_tags && m[0].in_text && !m[0].in_filename);
        assert_int_equal(text(f, "dog zebra", m), 0); /* all words must be there */
        assert_int_equal(text(f, "zebra", m), 0);
        assert_int_equal(text(f, "jpg", m), 2);
        OK(catalog_text_search(f->c, "jpg", &bob, 20, m, &n, &f->e));
        assert_int_equal(n, 1);
        for (size_t i = 0; i < COUNT_OF(odd); i++)
                text(f, odd[i], m);
        p = (struct asset_patch){.filename = "zebra.jpg"};
        OK(catalog_asset_patch(f->c, a, "ann", &p, "user", NULL, &f->e));
        assert_int_equal(text(f, "zebra", m), 1);
        assert_int_equal(text(f, "1234", m), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "img_12"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "EBRA"}), 1);
        OK(catalog_asset_trash(f->c, a, "ann", "user", &f->e));
        assert_int_equal(text(f, "zebra", m), 0);
}

/* ---- one asset ----------------------------------------------------------------------------- */

static void another_owners_asset_does_not_exist(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA), c1, c2;
        struct asset_patch p = {.filename = "x"};
        struct cluster_change ch = {.kind = CHANGE_LOCK, .locked = true};
        struct lineage_entry *l;
        struct cluster cl;
        struct asset a, *many;
        size_t n;

        OK(catalog_cluster_create(f->c, "ann", "A", 0.5f, "user", &c1, &f->e));
        OK(catalog_cluster_create(f->c, "bob", "A", 0.5f, "user", &c2, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, id, "bob", f->a, &a, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_patch(f->c, id, "bob", &p, "user", NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_trash(f->c, id, "bob", "user", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_restore(f->c, id, "bob", "user", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_purge(f->c, id, "bob", "user", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_reprocess(f->c, id, "bob", NULL, "user", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_lineage(f->c, id, "bob", f->a, &l, &n, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, c1, "bob", f->a, &cl, NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_delete(f->c, c1, "bob", "user", NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_change(f->c, c1, "bob", &ch, "user", NULL, NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_merge(f->c, c1, &c2, 1, NULL, "bob", "user", NULL, NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_merge(f->c, c2, &c1, 1, NULL, NULL, "user", NULL, NULL, &f->e));
        OK(catalog_asset_get_many(f->c, &id, 1, "bob", f->a, &many, &n, &f->e));
        assert_int_equal(n, 0);
        p = (struct asset_patch){.set_cluster = true, .cluster_id = c2};
        FAILS(ERR_NOT_FOUND, catalog_asset_patch(f->c, id, "ann", &p, "user", NULL, &f->e));
        OK(catalog_lineage(f->c, id, "ann", f->a, &l, &n, &f->e));
        assert_int_equal(n, 1);
        assert_string_equal(l[0].action, "accepted");
}

static void purging_gives_the_object_back_when_it_was_the_last(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_FILE, false), y = x;
        struct new_job j = new_job_of("ann", &x, 1);
        struct catalog_counts n;
        struct job_receipt r;
        struct asset gone;
        struct doomed *o;
        struct id *due;
        size_t ndue, no;

        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        y.id = id_new();
        j = new_job_of("ann", &y, 1);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_true(id_eq(get(f, y.id).duplicate_of, x.id));
        OK(catalog_asset_trash(f->c, x.id, "ann", "user", &f->e));
        OK(catalog_trash_due(f->c, wall_add(wall_now(), dur_s(1)), 10, f->a, &due, &ndue, &f->e));
        assert_int_equal(ndue, 1);
        OK(catalog_asset_purge(f->c, x.id, "ann", "user", &f->e));
        OK(keep_gc_begin(f->c, dur_s(0), dur_s(60), 10, f->a, &o, &no, &f->e));
        assert_int_equal(no, 0);
        assert_true(id_is_nil(get(f, y.id).duplicate_of));
        OK(catalog_asset_purge(f->c, y.id, "ann", "user", &f->e));
        OK(keep_gc_begin(f->c, dur_s(0), dur_s(60), 10, f->a, &o, &no, &f->e));
        assert_int_equal(no, 1);
        assert_true(sha256_eq(o[0].sha256, x.sha256));
        OK(keep_gc_end(f->c, o, no, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, y.id, NULL, f->a, &gone, &f->e));
        OK(catalog_counts(f->c, NULL, &n, &f->e));
        assert_int_equal(n.objects + n.object_bytes + n.asset_bytes + n.trashed, 0);
}

static void reprocessing_makes_one_task(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA), plain = put_file(f, "ann", "a", KIND_FILE);
        const enum job_type image = JOB_IMAGE;
        struct task t;

        FAILS(ERR_CONFLICT, catalog_asset_reprocess(f->c, id, "ann", NULL, "user", &f->e));
        t = claim(f);
        OK(finish(f, &t, NULL, (struct placement){0}));
        OK(catalog_asset_reprocess(f->c, id, "ann", NULL, "user", &f->e));
        assert_int_equal(get(f, id).status, ASSET_QUEUED);
        t = claim(f);
        OK(finish(f, &t, NULL, (struct placement){0}));
        /* What an earlier version only stored, a later one may understand. */
        OK(catalog_asset_reprocess(f->c, plain, "ann", &image, "user", &f->e));
        t = claim(f);
        assert_int_equal(t.type, JOB_IMAGE);
        assert_true(id_eq(t.asset_id, plain));
        OK(finish(f, &t, NULL, (struct placement){0}));
        assert_int_equal(get(f, plain).status, ASSET_DONE);
        assert_int_equal(get(f, plain).type, JOB_IMAGE);
        assert_null(get(f, plain).analysis_note);
}

static void products_are_a_fact_of_the_object(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        struct task t = claim(f);
        struct task_result r = {.task = &t, .metadata = "{}", .products = "thumb.webp preview.jpg"};

        assert_string_equal(get(f, id).products, "");
        FAILS(ERR_INVALID, catalog_task_complete(f->c, &r, &f->e)); /* not in order */
        r.products = "../x.webp";
        FAILS(ERR_INVALID, catalog_task_complete(f->c, &r, &f->e));
        r.products = "preview.jpg thumb.webp";
        OK(catalog_task_complete(f->c, &r, &f->e));
        assert_string_equal(get(f, id).products, "preview.jpg thumb.webp");
        OK(catalog_asset_reprocess(f->c, id, "ann", NULL, "user", &f->e));
        t = claim(f);
        r.products = NULL; /* as before */
        OK(catalog_task_complete(f->c, &r, &f->e));
        assert_string_equal(get(f, id).products, "preview.jpg thumb.webp");
        for (int i = 0; i < 2; i++) {
                OK(catalog_asset_reprocess(f->c, id, "ann", NULL, "user", &f->e));
                t = claim(f);
                r.products = i ? "" : "poster.webp";
                OK(catalog_task_complete(f->c, &r, &f->e));
                assert_string_equal(get(f, id).products, r.products);
        }
}

static void near_duplicates_are_linked_both_ways(void **state)
{
        struct fix *f = *state;
        static const uint64_t hash[] = {0xF0F0, 0xF0F1, 0xF0F0 ^ (UINT64_C(0x1001001001) << 4), 0xFFFFFFFFFFFFFFFF};
        struct id id[4];

        for (int i = 0; i < 4; i++) {
                id[i] = put_file(f, "ann", "a.jpg", KIND_MEDIA);
                struct task t = claim(f);
                struct task_result r = {.task = &t, .has_phash = true, .phash = hash[i]};
                OK(catalog_task_complete(f->c, &r, &f->e));
        }
        assert_int_equal(get(f, id[0]).nnear, 2);
        assert_int_equal(get(f, id[1]).nnear, 1);
        assert_true(id_eq(get(f, id[1]).near_duplicates[0], id[0]));
        assert_int_equal(get(f, id[3]).nnear, 0);
        OK(catalog_asset_trash(f->c, id[1], "ann", "user", &f->e));
        assert_int_equal(get(f, id[0]).nnear, 1);
}

static void a_failed_commit_does_nothing(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a.jpg", KIND_MEDIA, true);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;
        struct asset a;

        setenv("FILE_ALLOCATOR_FAULT", "catalog.commit=enospc@1", 1);
        fault_init();
        FAILS(ERR_NO_SPACE, catalog_ingest(f->c, &j, f->a, &r, &f->e));
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, x.id, NULL, f->a, &a, &f->e));
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        fix_reopen(f);
        get(f, x.id);
}

static void no_single_failed_allocation_breaks_an_ingest(void **state)
{
        struct fix *f = *state;
        int failed = 0;

        for (long n = 0; n < 60; n++) {
                struct new_asset x = new_file("a.jpg", KIND_MEDIA, true);
                struct new_job j = new_job_of("ann", &x, 1);
                struct job_receipt r;
                struct asset a;
                int rc;
                j.folder = "F";
                j.tags = (const char *const[]){"t"};
                j.ntags = 1;
                mem_fail_after(n);
                rc = catalog_ingest(f->c, &j, f->a, &r, &f->e);
                mem_fail_after(-1);
                failed += rc < 0;
                if (rc < 0)
                        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, x.id, NULL, f->a, &a, &f->e));
                else
                        get(f, x.id);
        }
        assert_true(failed > 0);
}

static void a_catalog_from_the_future_is_refused(void **state)
{
        struct fix *f = *state;

        catalog_close(f->c);
        f->c = NULL;
        backend_future(f->url);
        FAILS(ERR_CONFLICT, catalog_open(&f->opts, &f->c, &f->e));
        assert_non_null(strstr(f->e.msg, "newer program"));
        assert_null(f->c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(filters_let_through_what_they_say),
                T(pages_neither_repeat_nor_miss_while_others_add),
                T(made_up_cursors_are_refused),
                T(words_are_found_whatever_is_typed),
                T(another_owners_asset_does_not_exist),
                T(purging_gives_the_object_back_when_it_was_the_last),
                T(reprocessing_makes_one_task),
                T(products_are_a_fact_of_the_object),
                T(near_duplicates_are_linked_both_ways),
                T(a_failed_commit_does_nothing),
                T(no_single_failed_allocation_breaks_an_ingest),
                T(a_catalog_from_the_future_is_refused),
        };

        return cmocka_run_group_tests_name("catalog assets (" ENGINE ")", tests, NULL, NULL);
}
