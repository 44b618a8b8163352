/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of several sources as one text: whose word counts, and what is left out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "catalog/catalog_metadata.h"

static struct arena *arena;

static const char *merge(const struct source_metadata *texts, size_t n)
{
        const char *out = "never set";
        struct err e = {0};

        if (metadata_merge(texts, n, arena, &out, &e))
                fail_msg("%s", e.msg);
        return out;
}

#define MERGED(want, ...)                                                                                              \
        do {                                                                                                           \
                const struct source_metadata texts[] = {__VA_ARGS__};                                                  \
                assert_string_equal(merge(texts, COUNT_OF(texts)), want);                                              \
        } while (0)
#define NOTHING(...)                                                                                                   \
        do {                                                                                                           \
                const struct source_metadata texts[] = {__VA_ARGS__};                                                  \
                assert_null(merge(texts, COUNT_OF(texts)));                                                            \
        } while (0)
#define HUMAN(text)                                                                                                    \
        {                                                                                                              \
                TAG_HUMAN, text                                                                                        \
        }
#define VLM(text)                                                                                                      \
        {                                                                                                              \
                TAG_VLM, text                                                                                          \
        }
#define MODEL(text)                                                                                                    \
        {                                                                                                              \
                TAG_ZERO_SHOT, text                                                                                    \
        }
#define EXIF(text)                                                                                                     \
        {                                                                                                              \
                TAG_EXIF, text                                                                                         \
        }

static void the_higher_source_counts(void **state)
{
        (void)state;
        MERGED("{\"a\":1}", HUMAN("{\"a\":1}"), VLM("{\"a\":2}"), MODEL("{\"a\":3}"), EXIF("{\"a\":4}"));
        MERGED("{\"a\":1}", EXIF("{\"a\":4}"), MODEL("{\"a\":3}"), VLM("{\"a\":2}"), HUMAN("{\"a\":1}"));
        MERGED("{\"a\":2}", EXIF("{\"a\":4}"), VLM("{\"a\":2}"), MODEL("{\"a\":3}"));
        MERGED("{\"a\":3}", EXIF("{\"a\":4}"), MODEL("{\"a\":3}"));
        MERGED("{\"a\":1}", MODEL("{\"a\":1}"), MODEL("{\"a\":2}"));
}

static void all_that_is_said_is_there_once(void **state)
{
        (void)state;
        MERGED("{\"d\":4,\"both\":\"vlm\",\"c\":3,\"b\":2,\"a\":1}", HUMAN("{\"a\":1}"),
               VLM("{\"both\":\"vlm\",\"b\":2}"), MODEL("{\"c\":3}"), EXIF("{\"d\":4,\"both\":\"exif\"}"));
        MERGED("{\"width\":7,\"description\":\"a cat\"}", VLM("{\"description\":\"a cat\"}"), MODEL("{\"width\":7}"));
        MERGED("{\"exif\":{\"Make\":\"x\"}}", VLM("{\"exif\":{\"Make\":\"x\"}}"), /* whole members, not inside them */
               MODEL("{\"exif\":{\"Make\":\"y\",\"Model\":\"z\"}}"));
        MERGED("{\"a\":null}", VLM("{\"a\":null}"), MODEL("{\"a\":1}"));
        MERGED("{\"a \\\"b\\\"\":[1,2.5,true,\"\\n\xc3\xa9\"]}",
               MODEL("{\"a \\\"b\\\"\":[1,2.5,true,\"\\n\xc3\xa9\"]}"));
}

static char *deep(size_t levels)
{
        char *s = malloc(6 * levels + 2);

        assert_non_null(s);
        for (size_t i = 0; i < levels; i++)
                memcpy(s + 5 * i, "{\"a\":", 5);
        s[5 * levels] = '1';
        memset(s + 5 * levels + 1, '}', levels);
        s[6 * levels + 1] = '\0';
        return s;
}

static void what_is_no_object_says_nothing(void **state)
{
        static const char *const bad[] = {
                "", "[]", "1", "null", "\"x\"", "{", "{}x", "{\"a\":", "{a: 1}", "\xff{}", "{\"a\":1,\"a\":2}"};
        char *too_deep = deep(100000), *fits = deep(60);

        (void)state;
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                NOTHING(VLM(bad[i]));
                MERGED("{\"a\":1}", HUMAN(bad[i]), MODEL("{\"a\":1}"), EXIF(bad[i]));
        }
        NOTHING(VLM(too_deep), MODEL(NULL));
        MERGED("{\"b\":1}", VLM(too_deep), MODEL("{\"b\":1}"));
        MERGED(fits, VLM(fits));
        assert_null(merge(NULL, 0));
        MERGED("{}", MODEL("{}"));
        MERGED("{}", VLM("{}"), MODEL(NULL));
        MERGED("{\"a\":1}", VLM("{}"), MODEL("{\"a\":1}"));
        free(too_deep);
        free(fits);
}

static void only_what_a_catalog_takes_passes(void **state)
{
        char *big = malloc(METADATA_MAX + 2);
        struct err e;

        (void)state;
        assert_non_null(big);
        memset(big, ' ', METADATA_MAX);
        big[0] = '{';
        big[METADATA_MAX - 1] = '}';
        big[METADATA_MAX] = '\0';
        assert_int_equal(metadata_check(&(struct source_metadata)VLM(big), &e), 0);
        assert_int_equal(metadata_check(&(struct source_metadata)HUMAN("{}"), &e), 0);
        memcpy(big + METADATA_MAX, " ", 2);
        const struct source_metadata refused[] = {VLM(big), VLM(""), VLM("[]"), VLM("{"), MODEL("{}"), EXIF("{}")};
        for (size_t i = 0; i < COUNT_OF(refused); i++) {
                e = (struct err){0};
                assert_int_equal(metadata_check(&refused[i], &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
        }
        free(big);
}

static int set_up(void **state)
{
        (void)state;
        arena = arena_new(64 << 20);
        return arena ? 0 : -1;
}

static int tear_down(void **state)
{
        (void)state;
        arena_free(arena);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_higher_source_counts),
                cmocka_unit_test(all_that_is_said_is_there_once),
                cmocka_unit_test(what_is_no_object_says_nothing),
                cmocka_unit_test(only_what_a_catalog_takes_passes),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
