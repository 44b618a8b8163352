/* SPDX-License-Identifier: Apache-2.0 */
/* Names, the table of task moves, owners and file names. */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void names_are_those_of_the_api(void **state)
{
        (void)state;
        assert_string_equal(asset_kind_name(KIND_MEDIA), "media");
        assert_string_equal(asset_status_name(ASSET_QUEUED), "queued");
        assert_string_equal(cluster_status_name(CLUSTER_PROVISIONAL), "provisional");
        assert_string_equal(tag_source_name(TAG_ZERO_SHOT), "zero-shot");
        assert_string_equal(job_type_name(JOB_JSON), "json");
        assert_string_equal(task_state_name(TASK_DEAD), "dead");
        for (int i = 0; i < KIND_COUNT; i++)
                assert_true(asset_kind_name((enum asset_kind)i)[0]);
        for (int i = 0; i < ASSET_STATUS_COUNT; i++)
                assert_true(asset_status_name((enum asset_status)i)[0]);
        for (int i = 0; i < CLUSTER_STATUS_COUNT; i++)
                assert_true(cluster_status_name((enum cluster_status)i)[0]);
}

static void tasks_move_only_as_the_table_says(void **state)
{
        static const enum task_state legal[][2] = {
                {TASK_READY, TASK_LEASED}, {TASK_LEASED, TASK_READY}, {TASK_LEASED, TASK_DONE},
                {TASK_LEASED, TASK_DEAD},  {TASK_DEAD, TASK_READY},
        };

        (void)state;
        for (int from = 0; from <= TASK_STATE_COUNT; from++)
                for (int to = 0; to <= TASK_STATE_COUNT; to++) {
                        bool may = false;
                        for (size_t i = 0; i < COUNT_OF(legal); i++)
                                may |= (int)legal[i][0] == from && (int)legal[i][1] == to;
                        assert_int_equal(task_may_move((enum task_state)from, (enum task_state)to), may);
                }
}

static void owners_are_short_and_plain(void **state)
{
        char longest[OWNER_MAX + 1];

        (void)state;
        memset(longest, 'a', sizeof longest);
        assert_true(owner_valid(SPAN("ann.b_c@d-9")));
        assert_true(owner_valid((struct span){longest, OWNER_MAX}));
        assert_false(owner_valid((struct span){longest, OWNER_MAX + 1}));
        assert_false(owner_valid(SPAN("")));
        assert_false(owner_valid(SPAN(".a")));
        assert_false(owner_valid(SPAN("a b")));
        assert_false(owner_valid(SPAN("a/b")));
        assert_false(owner_valid(SPAN("\xC3\xA4")));
}

static void file_names_are_made_safe(void **state)
{
        static const struct {
                const char *in, *out; /* out NULL: refused */
        } cases[] = {
                {"a.jpg", "a.jpg"},
                {"  a.jpg \t", NULL},
                {"  a.jpg  ", "a.jpg"},
                {"/etc/passwd", "passwd"},
                {"..\\..\\boot.ini", "boot.ini"},
                {"dir/", "unnamed"},
                {"", "unnamed"},
                {".", "unnamed"},
                {"..", "unnamed"},
                {".bashrc", ".bashrc"},
                {"\xF0\x9F\x90\xB1 \xC3\x84.png", "\xF0\x9F\x90\xB1 \xC3\x84.png"},
                {"a\nb", NULL},
                {"a\x7F", NULL},
                {"a\xC2\x85", NULL},
                {"a\xFF", NULL},
                {"\xC0\xAF", NULL},
        };
        char out[NAME_MAX_BYTES + 1];
        struct err e;

        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                int rc = filename_clean(span_of(cases[i].in), out, &e);
                assert_int_equal(rc, cases[i].out ? 0 : -1);
                if (cases[i].out)
                        assert_string_equal(out, cases[i].out);
                else
                        assert_int_equal(e.code, ERR_INVALID);
        }
}

static void long_names_are_cut_at_a_character_and_keep_their_ending(void **state)
{
        char in[1000], out[NAME_MAX_BYTES + 1];
        struct err e;

        (void)state;
        for (size_t lead = 0; lead < 4; lead++) {
                memset(in, 'x', lead);
                for (size_t i = lead; i + 4 <= 600; i += 4)
                        memcpy(in + i, "\xF0\x9F\x90\xB1", 4);
                memcpy(in + lead + (600 - lead) / 4 * 4, ".jpeg", 6);
                assert_int_equal(filename_clean(span_of(in), out, &e), 0);
                assert_true(strlen(out) <= NAME_MAX_BYTES && strlen(out) > NAME_MAX_BYTES - 4);
                assert_true(utf8_valid(span_of(out)));
                assert_string_equal(out + strlen(out) - 5, ".jpeg");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_are_those_of_the_api),
                cmocka_unit_test(tasks_move_only_as_the_table_says),
                cmocka_unit_test(owners_are_short_and_plain),
                cmocka_unit_test(file_names_are_made_safe),
                cmocka_unit_test(long_names_are_cut_at_a_character_and_keep_their_ending),
        };

        return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
