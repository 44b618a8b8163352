/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the directory backend can be asked: its layout, its sentinel, what
 * a start clears away, and that objects are mended and kept in each of the ways
 * a file gets its address.
 */
#include "contract/storage_fs_world.h"

#include <fcntl.h>
#include <string.h>

static void the_layout_is_as_documented(void **state)
{
        struct storage *s = opened();
        struct stored was;
        struct err e;
        struct stat st;
        char *text;

        (void)state;
        assert_int_equal(entries(in_root("objects")), 256);
        assert_int_equal(file_read_all(in_root(".file-allocator"), 1000, &text, NULL, &e), 0);
        assert_non_null(strstr(text, "installation "));
        mem_free(text);
        mode_t before = umask(077);
        assert_int_equal(put(s, "abc", 3, &was, &e), 0);
        umask(before);
        assert_int_equal(stat(object_path(was.sha256), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0440);
        assert_int_equal(st.st_nlink, 1);
        assert_int_equal(entries(in_root("tmp")), 0);
        assert_int_equal(storage_put_derived(s, was.sha256, "thumb.webp", SPAN("t"), &e), 0);
        assert_int_equal(access(in_root("derived/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad/"
                                        "thumb.webp"),
                                R_OK),
                         0);
        assert_int_equal(entries(in_root("tmp")), 0);
        storage_close(s);
}

static void a_missing_sentinel_looks_unmounted(void **state)
{
        struct storage *s = opened();
        char *first, *again;
        struct err e;

        (void)state;
        storage_close(s);
        assert_int_equal(file_read_all(in_root(".file-allocator"), 1000, &first, NULL, &e), 0);
        assert_int_equal(open_at(root, true, &s, &e), 0);
        storage_close(s);
        assert_int_equal(file_read_all(in_root(".file-allocator"), 1000, &again, NULL, &e), 0);
        assert_string_equal(first, again); /* the installation keeps its id */
        mem_free(first);
        mem_free(again);
        assert_int_equal(unlink(in_root(".file-allocator")), 0);
        assert_int_equal(open_at(root, true, &s, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(e.msg, "unmounted"));
        assert_non_null(strstr(e.msg, root));
        assert_int_equal(open_at(in_root("absent"), true, &s, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_int_equal(access(in_root("absent"), F_OK), -1);
        assert_int_equal(open_at(in_root("absent/also"), false, &s, &e), 0); /* with its parents */
        storage_close(s);
        assert_int_equal(access(in_root("absent/also/.file-allocator"), R_OK), 0);
}

static void leftovers_go_unless_another_process_works(void **state)
{
        struct storage *s = opened(), *beside;
        struct err e;
        int fd = open(in_root("tmp/up-leftover"), O_CREAT | O_WRONLY, 0600);

        (void)state;
        close(fd);
        assert_int_equal(open_at(root, true, &beside, &e), 0);
        assert_int_equal(entries(in_root("tmp")), 1);
        storage_close(beside);
        storage_close(s);
        s = opened();
        assert_int_equal(entries(in_root("tmp")), 0);
        storage_close(s);
}

static void assert_holds(struct storage *s, struct stored was, const char *bytes)
{
        char got[16] = "";
        struct err e;
        int fd;

        if (storage_open_object(s, was.sha256, was.size, &fd, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(pread(fd, got, sizeof got, 0), strlen(bytes));
        assert_string_equal(got, bytes);
        close(fd);
}

static void an_existing_object_of_another_size_is_mended(void **state)
{
        struct storage *s = opened();
        struct stored was;
        struct err e;

        (void)state;
        assert_int_equal(put(s, "abc", 3, &was, &e), 0);
        assert_int_equal(truncate(object_path(was.sha256), 1), 0);
        assert_int_equal(put(s, "abc", 3, &was, &e), 0);
        assert_holds(s, was, "abc");
        storage_close(s);
}

/* Of one put: begun, written, sealed. */
static struct storage_put *sealed(struct storage *s, const char *bytes, struct stored *out)
{
        struct storage_put *p;
        struct err e;

        if (storage_put_begin(s, &p, &e) < 0 || storage_put_write(p, bytes, strlen(bytes), &e) < 0 ||
            storage_put_seal(p, out, &e) < 0)
                fail_msg("%s", e.msg);
        return p;
}

static void damage(struct sha256 object)
{
        int fd;

        assert_int_equal(chmod(object_path(object), 0600), 0);
        fd = open(object_path(object), O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "?", 1, 1), 1);
        close(fd);
}

/* The suite of all backends has the rest; here the file system lacks something. */
static void ensured_bytes_are_there_in_every_way(void **state)
{
        (void)state;
        for (size_t i = 0; i < COUNT_OF(ways); i++) {
                struct stored was;
                struct err e;
                faults(ways[i]);
                struct storage *s = opened();
                struct storage_put *p = sealed(s, "abc", &was);
                faults(NULL);
                assert_int_equal(storage_put_commit(p, &was, &e), 0);
                for (int k = 0; k < 3; k++) { /* its own file is removed, again and again */
                        assert_int_equal(storage_remove_object(s, was.sha256, &e), 0);
                        if (storage_put_ensure(p, false, &e) < 0)
                                fail_msg("%s", e.msg);
                        assert_holds(s, was, "abc");
                }
                storage_put_end(p);
                assert_holds(s, was, "abc");
                assert_int_equal(storage_remove_object(s, was.sha256, &e), 0);
                assert_int_equal(entries(in_root("tmp")), 0);
                storage_close(s);
        }
}

static void a_damaged_object_is_replaced_on_request(void **state)
{
        struct storage *s = opened();
        struct stored was;
        struct storage_put *p;
        struct err e;

        (void)state;
        assert_int_equal(put(s, "abc", 3, &was, &e), 0);
        damage(was.sha256);
        p = sealed(s, "abc", &was);
        assert_int_equal(storage_put_commit(p, &was, &e), 0);
        assert_int_equal(storage_put_ensure(p, false, &e), 0);
        assert_holds(s, was, "a?c"); /* it looks right, and nobody said otherwise */
        assert_int_equal(storage_put_ensure(p, true, &e), 0);
        assert_holds(s, was, "abc");
        assert_int_equal(storage_put_ensure(p, true, &e), 0);
        storage_put_end(p);
        assert_int_equal(entries(in_root("tmp")), 0);
        storage_close(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_layout_is_as_documented, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_missing_sentinel_looks_unmounted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(leftovers_go_unless_another_process_works, set_up, tear_down),
                cmocka_unit_test_setup_teardown(an_existing_object_of_another_size_is_mended, set_up, tear_down),
                cmocka_unit_test_setup_teardown(ensured_bytes_are_there_in_every_way, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_damaged_object_is_replaced_on_request, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("storage_fs", tests, NULL, NULL);
}
