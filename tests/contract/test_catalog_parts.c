/* SPDX-License-Identifier: Apache-2.0 */
/* Parts: frames, pages and chunks beside the whole, with vectors of several models and texts of their own. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#define TEXT_MODEL "t1"
#define CHUNK      (1u << PART_CHUNK)
#define FRAME      (1u << PART_FRAME)

static void use_both(struct fix *f)
{
        OK(catalog_use_model(f->c, MODEL, DIM, &f->e));
        fix_warm(f, TEXT_MODEL);
}

static void put_parts(struct fix *f, struct id asset, const struct new_part *parts, size_t n, uint32_t replaces)
{
        struct part_list l = {.parts = parts, .n = n, .replaces = replaces};

        OK(catalog_parts_put(f->c, asset, NULL, &l, &f->e));
}

/* n frames, a second apart, nearly the vector of seed, the first of them exactly it. */
static void put_frames(struct fix *f, struct id asset, unsigned seed, unsigned n)
{
        struct new_part *parts = arena_array(f->a, n, sizeof *parts);
        struct part_vector *vectors = arena_array(f->a, n, sizeof *vectors);

        for (unsigned i = 0; i < n; i++) {
                float *v = arena_array(f->a, DIM, sizeof *v);
                unit_vector(seed, v);
                v[0] += 0.0004f * (float)i;
                assert_true(vec_normalise(v, DIM));
                vectors[i] = (struct part_vector){MODEL, v, DIM};
                parts[i] = (struct new_part){.kind = PART_FRAME,
                                             .position = i,
                                             .time_us = (int64_t)i * 1000000,
                                             .vectors = &vectors[i],
                                             .nvectors = 1};
        }
        put_parts(f, asset, parts, n, FRAME);
}

static void put_chunk(struct fix *f, struct id asset, const char *text, const float *v, uint32_t replaces)
{
        struct part_vector vector = {TEXT_MODEL, v, DIM};
        struct new_part p = {
                .kind = PART_CHUNK, .page = 3, .offset = 77, .text = text, .vectors = &vector, .nvectors = v != NULL};

        put_parts(f, asset, &p, 1, replaces);
}

static size_t by_vector(struct fix *f, const char *model, const float *v, const struct asset_filter *filter,
                        struct vector_match *m, size_t k)
{
        size_t n;

        OK(catalog_vector_search(f->c, model, v, filter, k, m, &n, &f->e));
        return n;
}

static size_t by_words(struct fix *f, const char *text, const struct asset_filter *filter, struct part_match *m,
                       size_t k)
{
        size_t n;

        OK(catalog_part_search(f->c, text, filter, k, m, &n, &f->e));
        return n;
}

static struct part part_of(struct fix *f, int64_t n)
{
        struct part *p;

        OK(catalog_parts_get(f->c, &n, 1, f->a, &p, &f->e));
        return *p;
}

static void two_models_are_searched_each_among_its_own(void **state)
{
        struct fix *f = *state;
        struct vector_match m[8];
        float a[DIM], b[DIM];
        struct id pic, doc;
        struct part p;

        use_both(f);
        unit_vector(1, a);
        unit_vector(2, b);
        pic = put_done(f, "ann", "a.jpg", a);
        doc = put_file(f, "ann", "a.pdf", KIND_DOCUMENT);
        put_chunk(f, doc, "a heron by the river", b, CHUNK);
        assert_int_equal(by_vector(f, MODEL, a, NULL, m, 8), 1);
        assert_true(id_eq(m[0].asset, pic) && m[0].kind == PART_WHOLE);
        assert_int_equal(by_vector(f, TEXT_MODEL, b, NULL, m, 8), 1);
        assert_true(id_eq(m[0].asset, doc) && m[0].kind == PART_CHUNK && m[0].cosine > 0.999f);
        p = part_of(f, m[0].part);
        assert_true(p.kind == PART_CHUNK && p.page == 3 && p.offset == 77 && p.position == 0);
        assert_string_equal(p.text, "a heron by the river");
        assert_int_equal(part_of(f, m[0].part + 1000).n, 0);
        /* A picture's vector by the other model goes to its whole beside the first. */
        put_parts(f, pic,
                  &(struct new_part){
                          .kind = PART_WHOLE, .vectors = &(struct part_vector){TEXT_MODEL, a, DIM}, .nvectors = 1},
                  1, 0);
        assert_int_equal(by_vector(f, TEXT_MODEL, a, NULL, m, 8), 2);
        assert_true(id_eq(m[0].asset, pic));
        OK(catalog_vector_get(f->c, TEXT_MODEL, pic, a, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_vector_get(f->c, TEXT_MODEL, doc, a, &f->e));
}

/* 300 frames of one film are nearer than all pictures, and hide none of them. */
static void one_asset_takes_one_place(void **state)
{
        struct fix *f = *state;
        struct vector_match m[5];
        float v[DIM];
        struct id film;

        use_both(f);
        film = put_file(f, "ann", "film.mp4", KIND_DOCUMENT);
        put_frames(f, film, 1, 300);
        for (unsigned i = 0; i < 6; i++) {
                unit_vector(i + 10, v);
                put_done(f, i == 5 ? "bob" : "ann", "a.jpg", v);
        }
        unit_vector(1, v);
        assert_int_equal(by_vector(f, MODEL, v, &(struct asset_filter){.owner = "ann"}, m, 5), 5);
        assert_true(id_eq(m[0].asset, film) && m[0].kind == PART_FRAME);
        assert_int_equal(part_of(f, m[0].part).time_us, 0);
        for (size_t i = 1; i < 5; i++)
                assert_true(m[i].kind == PART_WHOLE && m[i].cosine <= m[i - 1].cosine);
        assert_int_equal(by_vector(f, MODEL, v, &(struct asset_filter){.owner = "bob"}, m, 5), 1);
        assert_int_equal(by_vector(f, MODEL, v, &(struct asset_filter){.kinds = 1u << KIND_MEDIA}, m, 5), 5);
        assert_int_equal(m[0].kind, PART_WHOLE);
        assert_int_equal(by_vector(f, MODEL, v, &(struct asset_filter){.parts = 1u << PART_WHOLE}, m, 5), 5);
        assert_int_equal(m[0].kind, PART_WHOLE);
        assert_int_equal(by_vector(f, MODEL, v, &(struct asset_filter){.parts = FRAME, .name = "film"}, m, 5), 1);
}

static void the_trash_and_the_end_take_all_parts(void **state)
{
        struct fix *f = *state;
        struct vector_match m[4];
        struct part_match w[4];
        struct id film;
        float v[DIM];

        use_both(f);
        unit_vector(1, v);
        film = put_file(f, "ann", "film.mp4", KIND_DOCUMENT);
        put_frames(f, film, 1, 20);
        put_chunk(f, film, "the herons leave", v, CHUNK);
        OK(catalog_asset_trash(f->c, film, "ann", "user", &f->e));
        assert_int_equal(by_vector(f, MODEL, v, NULL, m, 4), 0);
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 0);
        assert_int_equal(by_words(f, "heron", NULL, w, 4), 0);
        OK(catalog_asset_restore(f->c, film, "ann", "user", &f->e));
        assert_int_equal(by_vector(f, MODEL, v, NULL, m, 4), 1);
        assert_int_equal(by_words(f, "heron", NULL, w, 4), 1);
        OK(catalog_asset_purge(f->c, film, "ann", "user", &f->e));
        assert_int_equal(by_vector(f, MODEL, v, NULL, m, 4), 0);
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 0);
        assert_int_equal(by_words(f, "heron", NULL, w, 4), 0);
        assert_int_equal(part_of(f, 1).n, 0);
        catalog_close(f->c); /* a load reads the same */
        fix_open(f);
        use_both(f);
        assert_int_equal(by_vector(f, MODEL, v, NULL, m, 4), 0);
}

static void a_list_replaces_what_it_speaks_for(void **state)
{
        struct fix *f = *state;
        struct vector_match m[4];
        struct part_match w[4];
        struct new_part chunks[3];
        float v[DIM], u[DIM];
        struct part_vector vector = {TEXT_MODEL, v, DIM};
        struct id doc;
        int64_t kept;

        use_both(f);
        unit_vector(1, v);
        unit_vector(2, u);
        doc = put_file(f, "ann", "a.pdf", KIND_DOCUMENT);
        put_frames(f, doc, 5, 3);
        for (uint32_t i = 0; i < 3; i++)
                chunks[i] = (struct new_part){.kind = PART_CHUNK,
                                              .position = i,
                                              .page = i + 1,
                                              .text = i == 0   ? "heron"
                                                      : i == 1 ? "stork"
                                                               : "crane",
                                              .vectors = &vector,
                                              .nvectors = i == 1};
        put_parts(f, doc, chunks, 3, CHUNK);
        assert_int_equal(by_words(f, "stork", NULL, w, 4), 1);
        kept = w[0].part;
        /* The second is as it was, and its vector is not named again; the first is another, the third is gone. */
        chunks[0].text = "swallow";
        chunks[1].nvectors = 0;
        put_parts(f, doc, chunks, 2, CHUNK);
        assert_int_equal(by_words(f, "stork", NULL, w, 4), 1);
        assert_int_equal(w[0].part, kept);
        assert_int_equal(by_words(f, "heron", NULL, w, 4), 0);
        assert_int_equal(by_words(f, "crane", NULL, w, 4), 0);
        assert_int_equal(by_words(f, "swall", NULL, w, 4), 1);
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 1);
        assert_int_equal(m[0].part, kept);
        unit_vector(5, u);
        assert_int_equal(by_vector(f, MODEL, u, NULL, m, 4), 1); /* of frames the list said nothing */
        /* With another text it is another part, whose old vector says nothing of it. */
        chunks[1].text = "stork and crane";
        put_parts(f, doc, chunks, 2, CHUNK);
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 0);
        assert_int_equal(by_words(f, "crane", NULL, w, 4), 1);
        put_parts(f, doc, NULL, 0, CHUNK);
        assert_int_equal(by_words(f, "stork", NULL, w, 4), 0);
        /* The number that was the highest may be given again. */
        put_chunk(f, doc, "dipper", NULL, CHUNK);
        assert_int_equal(by_words(f, "dipper", NULL, w, 4), 1);
        assert_int_equal(by_words(f, "stork", NULL, w, 4), 0);
        /* Who does not speak for a kind changes nothing that is there. */
        put_chunk(f, doc, "other", v, 0);
        assert_int_equal(by_words(f, "other", NULL, w, 4), 0);
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 1);
        assert_int_equal(by_words(f, "dipper", NULL, w, 4), 1);
        assert_int_equal(m[0].part, w[0].part);
}

/* Another place in the file makes another part of the same words; and a list of none takes the vectors along. */
static void a_part_that_moved_is_another(void **state)
{
        struct fix *f = *state;
        struct new_part p = {.kind = PART_CHUNK, .page = 3, .text = "heron"};
        struct vector_match m[4];
        struct part_match w[4];
        float v[DIM];
        struct id doc, other;

        use_both(f);
        unit_vector(1, v);
        doc = put_file(f, "ann", "a.pdf", KIND_DOCUMENT);
        other = put_file(f, "ann", "b.pdf", KIND_DOCUMENT);
        for (int i = 0; i < 3; i++) {
                put_chunk(f, doc, "heron", v, CHUNK); /* at page 3, 77 bytes from the beginning */
                assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 1);
                p.page = i == 0 ? 4 : 3;
                p.offset = i == 1 ? 78 : 77;
                p.time_us = i == 2;
                put_parts(f, doc, &p, 1, CHUNK);
                assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 0);
                assert_int_equal(by_words(f, "heron", NULL, w, 4), 1);
                assert_int_equal(part_of(f, w[0].part).page, p.page);
                assert_int_equal(part_of(f, w[0].part).offset, p.offset);
        }
        put_chunk(f, doc, "heron", v, CHUNK);
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 1);
        v[0] += 0.01f;
        assert_true(vec_normalise(v, DIM));
        put_chunk(f, other, "bittern", v, CHUNK);
        unit_vector(1, v);
        put_parts(f, doc, NULL, 0, CHUNK);
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 1), 1); /* what is gone takes nobody's place */
        assert_true(id_eq(m[0].asset, other));
        assert_int_equal(by_vector(f, TEXT_MODEL, v, NULL, m, 4), 1);
}

/* 600 chunks are more than an engine indexes at a time, and 400,000 characters more than one row of it held. */
static void a_long_text_is_found_at_its_end(void **state)
{
        enum { CHUNKS = 600 };
        struct fix *f = *state;
        struct new_part *parts = arena_array(f->a, CHUNKS, sizeof *parts);
        struct part_match w[4];
        char *big = arena_alloc(f->a, PART_TEXT_MAX + 1);
        struct id doc, other;
        size_t n = 0;

        doc = put_file(f, "ann", "long.pdf", KIND_DOCUMENT);
        other = put_file(f, "bob", "short.pdf", KIND_DOCUMENT);
        for (uint32_t i = 0; i < CHUNKS; i++) {
                char *text = arena_alloc(f->a, 800);
                memset(text, 0, 800);
                for (unsigned k = 0; strlen(text) < 700; k++)
                        snprintf(text + strlen(text), 800 - strlen(text), "word%u ", i * 100 + k);
                if (i == CHUNKS - 1)
                        snprintf(text + strlen(text), 800 - strlen(text), "Ölbaumgarten");
                parts[i] = (struct new_part){.kind = PART_CHUNK,
                                             .position = i,
                                             .page = i / 4 + 1,
                                             .offset = (uint64_t)i * 700,
                                             .text = text};
        }
        put_parts(f, doc, parts, CHUNKS, CHUNK);
        put_chunk(f, other, "word59900", NULL, CHUNK);
        assert_int_equal(by_words(f, "ölbaumg", NULL, w, 4), 1);
        assert_true(id_eq(w[0].asset, doc) && w[0].kind == PART_CHUNK);
        assert_int_equal(part_of(f, w[0].part).page, (CHUNKS - 1) / 4 + 1);
        assert_int_equal(by_words(f, "word59900", NULL, w, 4), 2);
        assert_int_equal(by_words(f, "word59900", &(struct asset_filter){.owner = "ann"}, w, 4), 1);
        assert_int_equal(by_words(f, "word59900 absent", NULL, w, 4), 0);
        assert_int_equal(by_words(f, "word", NULL, w, 4), 2); /* one place an asset */
        assert_int_equal(by_words(f, "word", &(struct asset_filter){.parts = 1u << PART_PAGE}, w, 4), 0);
        /* One part as long as a part may be. */
        while (n + 12 < PART_TEXT_MAX)
                n += (size_t)snprintf(big + n, PART_TEXT_MAX - n, "w%zu ", n);
        memcpy(big + n - 6, " endof", 6);
        put_parts(f, other, &(struct new_part){.kind = PART_PAGE, .page = 1, .text = big}, 1, 1u << PART_PAGE);
        assert_int_equal(by_words(f, "endof", NULL, w, 4), 1);
        assert_true(id_eq(w[0].asset, other) && w[0].kind == PART_PAGE);
        catalog_close(f->c); /* what is due is found after opening, too */
        fix_open(f);
        assert_int_equal(by_words(f, "endof", NULL, w, 4), 1);
        assert_int_equal(by_words(f, "olbaumgarten", NULL, w, 4), 1);
}

static void only_wholes_make_a_folder(void **state)
{
        struct fix *f = *state;
        struct placement p = {.kind = PLACE_FOUND, .similarity = 0.9f, .name = "Birds", .threshold = 0.7f};
        struct prototype_match pm[4];
        struct vector_match m[4];
        float v[DIM], u[DIM];
        struct catalog_counts counts;
        struct id film;
        struct task t;
        size_t n;

        use_both(f);
        p.cluster_id = id_new();
        p.why = "alone";
        unit_vector(1, v);
        unit_vector(9, u);
        film = put_file(f, "ann", "film.jpg", KIND_MEDIA);
        put_frames(f, film, 9, 30);
        t = claim(f);
        OK(finish(f, &t, v, p));
        put_frames(f, film, 9, 40);
        OK(catalog_prototype_search(f->c, MODEL, "ann", v, 4, f->a, pm, &n, &f->e));
        assert_int_equal(n, 1);
        assert_true(pm[0].cosine > 0.999f);
        OK(catalog_prototype_search(f->c, TEXT_MODEL, "ann", v, 4, f->a, pm, &n, &f->e));
        assert_int_equal(n, 0);
        /* The folder is a filter of frames as well. */
        assert_int_equal(by_vector(f, MODEL, u, &(struct asset_filter){.cluster_id = &p.cluster_id}, m, 4), 1);
        assert_int_equal(m[0].kind, PART_FRAME);
        OK(catalog_cluster_delete(f->c, p.cluster_id, "ann", "user", NULL, &f->e));
        assert_int_equal(by_vector(f, MODEL, u, &(struct asset_filter){.cluster_id = &p.cluster_id}, m, 4), 0);
        assert_int_equal(by_vector(f, MODEL, u, &(struct asset_filter){.cluster_id = &(struct id){{0}}}, m, 4), 1);
        OK(catalog_counts(f->c, NULL, &counts, &f->e));
        assert_int_equal(counts.embeddings, 1); /* of files, not of their parts */
        OK(catalog_counts(f->c, "ann", &counts, &f->e));
        assert_int_equal(counts.embeddings, 1);
}

static void a_list_that_cannot_be_changes_nothing(void **state)
{
        struct fix *f = *state;
        float v[DIM + 1] = {0}, bad[DIM] = {0};
        struct part_vector vectors[] = {{MODEL, v, DIM}, {MODEL, bad, DIM}, {MODEL, v, DIM + 1}};
        struct new_part good = {.kind = PART_CHUNK, .text = "heron"};
        struct new_part wrong[] = {
                {.kind = (enum part_kind)PART_KIND_COUNT},
                {.kind = PART_WHOLE, .position = 1},
                {.kind = PART_CHUNK, .position = 1, .text = "\xff\xfe"},
                {.kind = PART_CHUNK, .position = 1, .vectors = &vectors[1], .nvectors = 1},
                {.kind = PART_CHUNK, .position = 1, .vectors = &vectors[2], .nvectors = 1},
        };
        struct part_match w[4];
        struct id doc, nobody = id_new();

        use_both(f);
        unit_vector(1, v);
        bad[3] = NAN;
        doc = put_file(f, "ann", "a.pdf", KIND_DOCUMENT);
        for (size_t i = 0; i < COUNT_OF(wrong); i++) {
                struct new_part both[] = {good, wrong[i]};
                struct part_list l = {.parts = both, .n = 2, .replaces = CHUNK};
                bool other_dim = i == COUNT_OF(wrong) - 1;
                FAILS(other_dim ? ERR_CONFLICT : ERR_INVALID, catalog_parts_put(f->c, doc, NULL, &l, &f->e));
                assert_int_equal(by_words(f, "heron", NULL, w, 4), 0);
        }
        FAILS(ERR_NOT_FOUND, catalog_parts_put(f->c, nobody, NULL, &(struct part_list){.parts = &good, .n = 1}, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_parts_put(f->c, doc, "bob", &(struct part_list){.parts = &good, .n = 1}, &f->e));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(two_models_are_searched_each_among_its_own),
                T(one_asset_takes_one_place),
                T(the_trash_and_the_end_take_all_parts),
                T(a_list_replaces_what_it_speaks_for),
                T(a_part_that_moved_is_another),
                T(a_long_text_is_found_at_its_end),
                T(only_wholes_make_a_folder),
                T(a_list_that_cannot_be_changes_nothing),
        };

        return cmocka_run_group_tests_name("catalog parts (" ENGINE ")", tests, NULL, NULL);
}
