/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One box, one ranker, against the real catalog and the real text model. The
 * "photos" are query vectors bent away from their words, so that each has a
 * known cosine to what one would ask for.
 */
#include "embed/embed.h"
#include "catalog/catalog.h"
#include "catalog/catalog_search.h"
#include "search/search.h"
#include "test_organise_world.h"

static struct arena *a;
static struct search *searcher;

static int setup(void **state)
{
        struct err e = {0};
        a = arena_new(32u << 20);
        if (!a || world_open(state))
                return -1;
        const struct search_opts so = {.catalog = catalog, .embed = model, .timeout = dur_s(30)};
        return search_open(&so, &searcher, &e);
}

static int teardown(void **state)
{
        search_close(searcher);
        arena_free(a);
        return world_close(state);
}

/* A picture of words: cosine to embed_text(words). */
static struct id photo_of(const char *owner, const char *filename, const char *words, float cosine)
{
        static unsigned seed;
        float text[DIM], v[DIM], along = 0, rest = 0;
        struct id id = ingest((struct upload){.owner = owner, .name = filename});
        OK(embed_text(model, span_of(words), text, &e));
        picture(v, 1, ++seed, 0.01f);
        for (size_t i = 0; i < DIM; i++)
                along += v[i] * text[i];
        for (size_t i = 0; i < DIM; i++) {
                v[i] -= along * text[i];
                rest += v[i] * v[i];
        }
        for (size_t i = 0; i < DIM; i++)
                v[i] = cosine * text[i] + sqrtf(1 - cosine * cosine) * v[i] / sqrtf(rest);
        finish(v, NULL, 0, 0.1f);
        return id;
}

static struct search_result ask(struct search_query q)
{
        struct search_result r;
        if (!q.limit)
                q.limit = 10;
        if (!(q.threshold > 0))
                q.threshold = 0.5f;
        OK(search_text(searcher, &q, a, &r, &e));
        return r;
}

static void words_find_what_they_mean(void **state)
{
        (void)state;
        struct id dog = photo_of(NULL, "a.jpg", "dog", 0.6f);
        photo_of(NULL, "b.jpg", "dog", 0.2f);
        struct search_result r = ask((struct search_query){.text = "dog"});
        assert_int_equal(r.n, 1);
        assert_int_equal(r.total, 1);
        assert_true(id_eq(r.hits[0].asset->id, dog));
        assert_float_equal(r.hits[0].vector, embed_similarity_text(model, 0.6f), 0.01);
        assert_float_equal(r.hits[0].similarity, r.hits[0].vector, 1e-6);
        assert_false(r.hits[0].text || r.hits[0].tags || r.hits[0].filename);
        assert_string_equal(r.model, embed_model_id(model));
        assert_false(r.warming);
}

static void nothing_good_is_an_empty_answer(void **state)
{
        (void)state;
        photo_of(NULL, "a.jpg", "dog", 0.6f);
        assert_int_equal(ask((struct search_query){.text = "qwertzuiop"}).n, 0);
        assert_int_equal(ask((struct search_query){.text = "income tax declaration"}).n, 0);
        assert_int_equal(ask((struct search_query){.text = "dog", .threshold = 0.99f}).n, 0);
}

static void each_hit_says_why(void **state)
{
        (void)state;
        struct id both = photo_of(NULL, "dog.jpg", "dog", 0.55f);
        struct id meaning = photo_of(NULL, "IMG_1.jpg", "dog", 0.65f);
        struct id name = photo_of(NULL, "dog house.jpg", "cathedral", 0.6f);
        struct search_result r = ask((struct search_query){.text = "dog"});
        assert_int_equal(r.n, 3);
        assert_true(id_eq(r.hits[0].asset->id, both));
        assert_true(r.hits[0].filename && r.hits[0].vector > 0);
        assert_float_equal(r.hits[0].similarity, 1, 1e-6);
        for (size_t i = 1; i < 3; i++) {
                if (id_eq(r.hits[i].asset->id, meaning)) {
                        assert_true(r.hits[i].vector > 0 && !r.hits[i].filename);
                } else {
                        assert_true(id_eq(r.hits[i].asset->id, name));
                        assert_true(r.hits[i].vector < 0 && r.hits[i].filename);
                        assert_float_equal(r.hits[i].similarity, 0.8, 1e-6);
                }
        }
}

static void modes_choose_the_lists(void **state)
{
        (void)state;
        photo_of(NULL, "dog house.jpg", "cathedral", 0.6f);
        struct id meaning = photo_of(NULL, "IMG_1.jpg", "dog", 0.65f);
        struct search_result r = ask((struct search_query){.text = "dog", .mode = SEARCH_VECTOR});
        assert_int_equal(r.n, 1);
        assert_true(id_eq(r.hits[0].asset->id, meaning));
        r = ask((struct search_query){.text = "dog", .mode = SEARCH_TEXT});
        assert_int_equal(r.n, 1);
        assert_true(r.hits[0].filename && r.hits[0].vector < 0);
}

/* The words of a file name are no meaning: without this rule the nearest photo of a picture of "IMG" would come up. */
static void a_file_name_finds_that_file_only(void **state)
{
        (void)state;
        struct id file = photo_of(NULL, "IMG_2041.jpg", "cathedral", 0.6f);
        photo_of(NULL, "other.jpg", "IMG_2041.jpg", 0.7f);
        struct search_result r = ask((struct search_query){.text = "IMG_2041.jpg"});
        assert_int_equal(r.n, 1);
        assert_true(id_eq(r.hits[0].asset->id, file));
        assert_float_equal(r.hits[0].similarity, 1, 1e-6);
        r = ask((struct search_query){.text = "IMG_2041.jpg", .mode = SEARCH_VECTOR});
        assert_int_equal(r.n, 1);
        assert_true(r.hits[0].vector > 0);
}

static void filters_come_before_scoring(void **state)
{
        (void)state;
        for (int i = 0; i < 30; i++)
                photo_of("ann", "a.jpg", "dog", 0.7f);
        struct id far = photo_of("bob", "b.jpg", "dog", 0.5f);
        struct search_result r = ask((struct search_query){.text = "dog", .limit = 1, .filter = {.owner = "bob"}});
        assert_int_equal(r.n, 1);
        assert_int_equal(r.total, 1);
        assert_true(id_eq(r.hits[0].asset->id, far));
        r = ask((struct search_query){.text = "dog", .filter = {.kinds = 1u << KIND_DOCUMENT}});
        assert_int_equal(r.n, 0);
}

static void pages_neither_repeat_nor_miss(void **state)
{
        (void)state;
        struct idmap *seen = idmap_new();
        size_t n = 0;
        for (int i = 0; i < 25; i++)
                photo_of(NULL, i % 3 ? "a.jpg" : "dog.jpg", "dog", 0.6f);
        for (unsigned offset = 0; offset < 30; offset += 7) {
                struct search_result r = ask((struct search_query){.text = "dog", .limit = 7, .offset = offset});
                assert_int_equal(r.total, 25);
                for (size_t i = 0; i < r.n; i++) {
                        uint32_t at;
                        assert_false(idmap_get(seen, r.hits[i].asset->id, &at));
                        assert_int_equal(idmap_put(seen, r.hits[i].asset->id, 1), 0);
                        n++;
                }
        }
        assert_int_equal(n, 25);
        idmap_free(seen);
}

static void an_empty_query_is_refused(void **state)
{
        (void)state;
        struct search_result r;
        struct err e = {0};
        double before = metrics_get(METRIC_SEARCH_QUERIES, "hybrid", "failure");
        const struct search_query q = {.text = " \t ", .limit = 10, .threshold = 0.5f};
        assert_int_equal(search_text(searcher, &q, a, &r, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        assert_float_equal(metrics_get(METRIC_SEARCH_QUERIES, "hybrid", "failure"), before + 1, 1e-9);
}

static void by_example_leaves_the_example_out(void **state)
{
        (void)state;
        struct id one = add(NULL, 1, 1), two = add(NULL, 1, 2);
        float v[DIM];
        add(NULL, 2, 1);
        const struct search_query q = {.limit = 10, .threshold = 0.72f};
        struct search_result r;
        OK(search_similar(searcher, one, &q, a, &r, &e));
        assert_int_equal(r.n, 1);
        assert_true(id_eq(r.hits[0].asset->id, two));
        assert_true(r.hits[0].vector >= 0.72f);
        OK(catalog_vector_get(catalog, embed_model_id(model), one, v, &e));
        OK(search_vector(searcher, v, &q, a, &r, &e));
        assert_int_equal(r.n, 2);
        assert_true(id_eq(r.hits[0].asset->id, one));
        struct err why = {0};
        assert_int_equal(search_similar(searcher, id_new(), &q, a, &r, &why), -1);
        assert_int_equal(why.code, ERR_NOT_FOUND);
}

static void before_vectors_are_there_words_answer(void **state)
{
        (void)state;
        char url[128];
        struct search_result r;
        struct err why = {0};
        photo_of(NULL, "dog.jpg", "dog", 0.6f);
        search_close(searcher);
        organise_close(organise);
        organise = NULL;
        catalog_close(catalog);
        snprintf(url, sizeof url, "sqlite://%s/catalog.db", dir);
        const struct catalog_opts co = {.url = url, .data_path = dir, .queue_max_depth = 10};
        OK(catalog_open(&co, &catalog, &e)); /* and no catalog_use_model */
        const struct search_opts so = {.catalog = catalog, .embed = model};
        OK(search_open(&so, &searcher, &e));
        r = ask((struct search_query){.text = "dog"});
        assert_true(r.warming);
        assert_int_equal(r.n, 1);
        assert_true(r.hits[0].filename && r.hits[0].vector < 0);
        const struct search_query q = {.text = "dog", .mode = SEARCH_VECTOR, .limit = 10, .threshold = 0.5f};
        assert_int_equal(search_text(searcher, &q, a, &r, &why), -1);
        assert_int_equal(why.code, ERR_UNAVAILABLE);
}

static void without_a_vector_nothing_is_similar(void **state)
{
        (void)state;
        const struct search_query q = {.limit = 10, .threshold = 0.5f};
        struct search_result r;
        add(NULL, 1, 1);
        struct id bare = ingest((struct upload){.name = "note.jpg"});
        finish(NULL, NULL, 0, 0);
        OK(search_similar(searcher, bare, &q, a, &r, &e));
        assert_int_equal(r.n, 0);
}

/* A document without a vector of its whole; its texts are chunks, two to a page. */
static struct id document_of(const char *owner, const char *filename, const char *const *texts, uint32_t n)
{
        struct id id = ingest((struct upload){.owner = owner, .name = filename});
        struct new_part *parts = arena_array(a, n, sizeof *parts);
        finish(NULL, NULL, 0, 0);
        for (uint32_t i = 0; i < n; i++)
                parts[i] = (struct new_part){.kind = PART_CHUNK, .position = i, .page = i / 2 + 1, .text = texts[i]};
        const struct part_list list = {.parts = parts, .n = n, .replaces = 1u << PART_CHUNK};
        OK(catalog_parts_put(catalog, id, owner, &list, &e));
        return id;
}

static void texts_of_parts_are_found(void **state)
{
        (void)state;
        struct id doc = document_of("ann", "annual.pdf", (const char *[]){"the heron waits", "a heron flies off"}, 2);
        struct id other = document_of("bob", "heron.pdf", (const char *[]){"nothing of the kind"}, 1);
        struct search_result r = ask((struct search_query){.text = "HERON", .mode = SEARCH_TEXT});
        assert_int_equal(r.n, 2);
        assert_int_equal(r.total, 2);
        for (size_t i = 0; i < 2; i++) {
                bool is_doc = id_eq(r.hits[i].asset->id, doc);
                assert_true(is_doc || id_eq(r.hits[i].asset->id, other));
                assert_int_equal(r.hits[i].text, is_doc);
                assert_int_equal(r.hits[i].filename, !is_doc);
                assert_float_equal(r.hits[i].similarity, is_doc ? 0.6 : 1, 1e-6);
                assert_true(r.hits[i].vector < 0);
        }
        r = ask((struct search_query){.text = "heron", .filter = {.owner = "ann"}});
        assert_int_equal(r.n, 1);
        assert_true(id_eq(r.hits[0].asset->id, doc) && r.hits[0].text);
        assert_int_equal(r.hits[0].part, PART_CHUNK);
        assert_int_equal(r.hits[0].page, 1);
        assert_non_null(strstr(r.hits[0].snippet, "<mark>heron</mark>"));
        r = ask((struct search_query){.text = "heron", .filter = {.kinds = 1u << KIND_DOCUMENT}});
        assert_int_equal(r.n, 0); /* what ingest makes is media */
        r = ask((struct search_query){.text = "flies", .mode = SEARCH_VECTOR});
        assert_int_equal(r.n, 0);
        r = ask((struct search_query){.text = "waits flies"}); /* all words in one part */
        assert_int_equal(r.n, 0);
}

/* A file whose name and text both have the words is found by two lists, so it comes before those with one. */
static void name_and_text_add_up(void **state)
{
        (void)state;
        document_of(NULL, "heron one.pdf", (const char *[]){"of storks"}, 1);
        document_of(NULL, "two.pdf", (const char *[]){"a heron"}, 1);
        struct id both = document_of(NULL, "three heron.pdf", (const char *[]){"storks, and a heron too"}, 1);
        struct search_result r = ask((struct search_query){.text = "heron"});
        assert_int_equal(r.n, 3);
        assert_true(id_eq(r.hits[0].asset->id, both));
        assert_true(r.hits[0].filename && r.hits[0].text);
}

/* The hits of a page are read in batches, each of which may be 100,000 characters long. */
static void the_best_part_is_shown(void **state)
{
        enum { DOCUMENTS = 20 };
        (void)state;
        char *text = arena_alloc(a, PART_TEXT_MAX + 1);
        char tail[40];
        for (size_t i = 0; i < PART_TEXT_MAX; i++)
                text[i] = i % 5 == 4 ? ' ' : 'w';
        text[PART_TEXT_MAX] = '\0';
        for (size_t i = 0; i < DOCUMENTS; i++) {
                snprintf(tail, sizeof tail, " <b>heron no%zu", i);
                memcpy(text + PART_TEXT_MAX - strlen(tail), tail, strlen(tail));
                document_of(NULL, "long.pdf", (const char *[]){"storks", "storks", text, "storks"}, 4);
        }
        photo_of(NULL, "dog.jpg", "cathedral", 0.6f);
        struct search_result r = ask((struct search_query){.text = "heron", .limit = 50});
        assert_int_equal(r.n, DOCUMENTS);
        for (size_t i = 0; i < r.n; i++) {
                assert_int_equal(r.hits[i].part, PART_CHUNK);
                assert_int_equal(r.hits[i].page, 2);
                assert_non_null(strstr(r.hits[i].snippet, " &lt;b&gt;<mark>heron</mark> no"));
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(r.hits[j].snippet, r.hits[i].snippet);
        }
        r = ask((struct search_query){.text = "dog"});
        assert_int_equal(r.n, 1);
        assert_true(r.hits[0].part == PART_WHOLE && r.hits[0].page == 0 && !r.hits[0].snippet);
}

/* A part found by its vector is shown where it is; its text has no mark where the words are others. */
static void a_near_part_says_where(void **state)
{
        (void)state;
        float v[DIM];
        struct id film = ingest((struct upload){.name = "film.mp4"}), doc;
        finish(NULL, NULL, 0, 0);
        OK(embed_text(model, SPAN("dog"), v, &e));
        const struct part_vector vector = {embed_model_id(model), v, DIM};
        struct new_part part = {.kind = PART_FRAME, .time_us = 12500000, .vectors = &vector, .nvectors = 1};
        struct part_list list = {.parts = &part, .n = 1, .replaces = 1u << PART_FRAME};
        OK(catalog_parts_put(catalog, film, NULL, &list, &e));
        struct search_result r = ask((struct search_query){.text = "dog"});
        assert_int_equal(r.n, 1);
        assert_true(id_eq(r.hits[0].asset->id, film) && r.hits[0].vector > 0.9f);
        assert_true(r.hits[0].part == PART_FRAME && r.hits[0].time_us == 12500000 && !r.hits[0].snippet);
        doc = ingest((struct upload){.name = "hounds.pdf"});
        finish(NULL, NULL, 0, 0);
        part = (struct new_part){
                .kind = PART_PAGE, .page = 7, .text = "Of hounds & men", .vectors = &vector, .nvectors = 1};
        list.replaces = 1u << PART_PAGE;
        OK(catalog_parts_put(catalog, doc, NULL, &list, &e));
        r = ask((struct search_query){.text = "dog", .mode = SEARCH_VECTOR});
        assert_int_equal(r.n, 2);
        const struct search_hit *hit = &r.hits[id_eq(r.hits[0].asset->id, doc) ? 0 : 1];
        assert_true(hit->part == PART_PAGE && hit->page == 7 && !hit->text);
        assert_string_equal(hit->snippet, "Of hounds &amp; men");
        const struct search_query like = {.limit = 10, .threshold = 0.9f};
        OK(search_vector(searcher, v, &like, a, &r, &e));
        assert_int_equal(r.n, 2);
        hit = &r.hits[id_eq(r.hits[0].asset->id, doc) ? 0 : 1];
        assert_string_equal(hit->snippet, "Of hounds &amp; men");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(words_find_what_they_mean),
                T(nothing_good_is_an_empty_answer),
                T(each_hit_says_why),
                T(modes_choose_the_lists),
                T(a_file_name_finds_that_file_only),
                T(filters_come_before_scoring),
                T(pages_neither_repeat_nor_miss),
                T(an_empty_query_is_refused),
                T(by_example_leaves_the_example_out),
                T(before_vectors_are_there_words_answer),
                T(without_a_vector_nothing_is_similar),
                T(texts_of_parts_are_found),
                T(name_and_text_add_up),
                T(the_best_part_is_shown),
                T(a_near_part_says_where),
        };
        return cmocka_run_group_tests(tests, model_open, model_close);
}
