/* SPDX-License-Identifier: Apache-2.0 */
/* Which files an upload finds, and how a download comes to its name. */
#include <setjmp.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli_priv.h"

static char root[32];

static void run(const char *script) /* $R is the root */
{
        char line[2048];
        char *argv[] = {(char *)"sh", (char *)"-c", line, NULL};
        int status = -1;
        pid_t child;

        snprintf(line, sizeof line, "R=%s; %s", root, script);
        assert_int_equal(posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

static int setup(void **state)
{
        (void)state;
        snprintf(root, sizeof root, "/tmp/test_cli.XXXXXX");
        if (!mkdtemp(root))
                return -1;
        run("mkdir -p $R/in/b/deep $R/in/.hidden $R/other; for f in a.JPG b/z.jpg b/a.png b/deep/c.jpg .hidden/h.jpg "
            ".dot; do "
            "printf x > $R/in/$f; done; printf secret > $R/other/s.jpg; ln -s ../other/s.jpg $R/in/leak.jpg; "
            "ln -s b $R/in/loop; ln -s ../a.JPG $R/in/b/same.jpg; ln -s nowhere $R/in/dangling; mkfifo $R/in/pipe");
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        run("chmod -R u+rwx $R; rm -rf $R");
        return 0;
}

/* The paths found below the root, a blank after each. */
static void assert_found(const char *path, struct walk_rules rules, const char *expected)
{
        char full[128];
        struct walk w;
        struct buf b;
        struct err e;

        snprintf(full, sizeof full, "%s%s", root, path);
        buf_init(&b, 8192);
        assert_int_equal(walk_init(&w, &e), 0);
        assert_int_equal(walk_add(&w, full, &rules, &e), 0);
        for (size_t i = 0; i < w.n; i++)
                buf_printf(&b, "%s%s ", w.files[i].path + strlen(root), w.files[i].problem ? "!" : "");
        assert_string_equal(buf_str(&b), expected);
        buf_done(&b);
        walk_done(&w);
}

static void test_a_folder_is_walked_in_order(void **state)
{
        (void)state;
        assert_found("/in", (struct walk_rules){.recursive = true},
                     "/in/a.JPG /in/b/a.png /in/b/deep/c.jpg /in/b/same.jpg /in/b/z.jpg ");
        assert_found("/in/", (struct walk_rules){.recursive = true},
                     "/in/a.JPG /in/b/a.png /in/b/deep/c.jpg /in/b/same.jpg /in/b/z.jpg ");
}

static void test_without_recursion_folders_stay_closed(void **state)
{
        (void)state;
        assert_found("/in", (struct walk_rules){.recursive = false}, "/in/a.JPG ");
}

static void test_hidden_files_come_on_request(void **state)
{
        (void)state;
        assert_found("/in", (struct walk_rules){.recursive = true, .hidden = true},
                     "/in/.dot /in/.hidden/h.jpg /in/a.JPG /in/b/a.png /in/b/deep/c.jpg /in/b/same.jpg /in/b/z.jpg ");
}

static void test_links_out_of_the_folder_are_left_out_and_counted(void **state)
{
        struct walk w;
        struct err e;
        char full[64];

        (void)state;
        snprintf(full, sizeof full, "%s/in", root);
        assert_int_equal(walk_init(&w, &e), 0);
        assert_int_equal(walk_add(&w, full, &(struct walk_rules){.recursive = true}, &e), 0);
        assert_int_equal(w.links, 3); /* leak.jpg, loop, dangling */
        assert_int_equal(w.others, 1);
        walk_done(&w);
        assert_found("/in/leak.jpg", (struct walk_rules){.recursive = true}, "/in/leak.jpg "); /* named by the user */
}

static void test_patterns_choose(void **state)
{
        const char *const jpg[] = {"*.jpg"}, *const deep[] = {"deep"}, *const path[] = {"b/*.jpg"};

        (void)state;
        assert_found("/in", (struct walk_rules){.recursive = true, .include = jpg, .ninclude = 1},
                     "/in/a.JPG /in/b/deep/c.jpg /in/b/same.jpg /in/b/z.jpg ");
        assert_found(
                "/in",
                (struct walk_rules){.recursive = true, .include = jpg, .ninclude = 1, .exclude = deep, .nexclude = 1},
                "/in/a.JPG /in/b/same.jpg /in/b/z.jpg ");
        assert_found("/in", (struct walk_rules){.recursive = true, .include = path, .ninclude = 1},
                     "/in/b/same.jpg /in/b/z.jpg ");
}

static void test_what_is_not_there_is_a_problem_not_an_end(void **state)
{
        (void)state;
        assert_found("/nosuch", (struct walk_rules){.recursive = true}, "/nosuch! ");
        assert_found("/in/pipe", (struct walk_rules){.recursive = true}, "/in/pipe! ");
}

static void put(struct save *s, const char *text)
{
        struct err e;

        assert_int_equal(fd_write_all(s->fd, text, strlen(text), &e), 0);
}

static void assert_holds(const char *path, const char *text)
{
        struct err e;
        char *got;
        size_t n;

        assert_int_equal(file_read_all(path, 100, &got, &n, &e), 0);
        assert_string_equal(got, text);
        mem_free(got);
}

static void test_a_download_never_replaces_unless_told(void **state)
{
        char folder[64], name[96];
        struct save s;
        struct err e;

        (void)state;
        snprintf(folder, sizeof folder, "%s/other", root);
        snprintf(name, sizeof name, "%s/new", folder);
        assert_int_equal(save_open(&s, folder, &e), 0);
        put(&s, "one");
        assert_int_not_equal(access(name, F_OK), 0);
        assert_int_equal(save_finish(&s, name, false, &e), 0);
        save_abandon(&s);
        assert_holds(name, "one");

        assert_int_equal(save_open(&s, folder, &e), 0);
        put(&s, "two");
        assert_int_equal(save_finish(&s, name, false, &e), -1);
        assert_int_equal(e.code, ERR_CONFLICT);
        assert_holds(name, "one");
        assert_int_equal(save_finish(&s, name, true, &e), 0);
        save_abandon(&s);
        assert_holds(name, "two");
        run("test \"$(ls -A $R/other | tr '\\n' ' ')\" = 'new s.jpg '"); /* nothing left lying about */
}

static void test_an_abandoned_download_leaves_nothing(void **state)
{
        char folder[64];
        struct save s;
        struct err e;

        (void)state;
        snprintf(folder, sizeof folder, "%s/in/b/deep", root);
        assert_int_equal(save_open(&s, folder, &e), 0);
        put(&s, "half");
        save_abandon(&s);
        save_abandon(&s);
        run("test \"$(ls -A $R/in/b/deep)\" = 'c.jpg'");
        snprintf(folder, sizeof folder, "%s/nosuch", root);
        assert_int_equal(save_open(&s, folder, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        save_abandon(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_folder_is_walked_in_order),
                cmocka_unit_test(test_without_recursion_folders_stay_closed),
                cmocka_unit_test(test_hidden_files_come_on_request),
                cmocka_unit_test(test_links_out_of_the_folder_are_left_out_and_counted),
                cmocka_unit_test(test_patterns_choose),
                cmocka_unit_test(test_what_is_not_there_is_a_problem_not_an_end),
                cmocka_unit_test(test_a_download_never_replaces_unless_told),
                cmocka_unit_test(test_an_abandoned_download_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
