/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sidecars and listings, on every backend. The hard thing is that a listing
 * has no order and may tell a thing twice with write-back, so what is asked
 * for is: everything, and nothing else.
 */
#include "contract/sidecar_help.h"
#include "contract/storage_suite.h"

static void must_put_sidecar(struct storage *s, const char *name, const char *text)
{
        struct err e = {0};

        if (put_sidecar(s, name, span_of(text), &e) < 0)
                fail_msg("%s", e.msg);
}

static void assert_sidecar(struct storage *s, const char *name, const char *text)
{
        struct err e = {0};
        struct buf b;

        buf_init(&b, 1000);
        if (storage_get_sidecar(s, name, &b, &e) < 0)
                fail_msg("%s", e.msg);
        assert_string_equal(buf_str(&b), text);
        buf_done(&b);
}

static void assert_no_sidecar(struct storage *s, const char *name)
{
        struct err e = {0};
        struct buf b;

        buf_init(&b, 1000);
        assert_int_equal(storage_get_sidecar(s, name, &b, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        buf_done(&b);
}

static void a_sidecar_is_replaced_and_removed(void **state)
{
        struct fixture *f = *state;
        char asset[STORAGE_SIDECAR_NAME_LEN], folder[STORAGE_SIDECAR_NAME_LEN];
        struct err e = {0};
        struct buf small;

        storage_asset_sidecar(id_new(), asset);
        storage_folder_sidecar(id_new(), folder);
        assert_no_sidecar(f->s, asset);
        must_put_sidecar(f->s, asset, "first");
        must_put_sidecar(f->s, folder, "of a folder");
        assert_sidecar(f->s, asset, "first");
        must_put_sidecar(f->s, asset, "second");
        assert_sidecar(f->s, asset, "second");
        buf_init(&small, 3);
        assert_int_equal(storage_get_sidecar(f->s, asset, &small, &e), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        buf_done(&small);
        assert_int_equal(remove_sidecar(f->s, asset, &e), 0);
        assert_int_equal(remove_sidecar(f->s, asset, &e), 0);
        assert_no_sidecar(f->s, asset);
        assert_sidecar(f->s, folder, "of a folder");
        must_put_sidecar(f->s, STORAGE_CATALOG_SIDECAR, "of the catalog");
        assert_sidecar(f->s, STORAGE_CATALOG_SIDECAR, "of the catalog");
}

static void a_batch_writes_and_removes_many(void **state)
{
        struct fixture *f = *state;
        enum { N = 30 };
        char names[N][STORAGE_SIDECAR_NAME_LEN];
        struct storage_batch *b;
        struct err e = {0};

        for (size_t i = 0; i < N; i++)
                storage_asset_sidecar(id_new(), names[i]);
        must_put_sidecar(f->s, names[0], "old");
        must_put_sidecar(f->s, names[1], "old");
        assert_int_equal(storage_batch_begin(f->s, &b, &e), 0);
        assert_int_equal(storage_batch_remove(b, names[1], &e), 0);
        for (size_t i = 0; i < N; i++)
                if (i != 1)
                        assert_int_equal(storage_batch_put(b, names[i], SPAN("new"), &e), 0);
        assert_int_equal(storage_batch_commit(b, &e), 0);
        storage_batch_end(b);
        for (size_t i = 0; i < N; i++)
                if (i != 1)
                        assert_sidecar(f->s, names[i], "new");
        assert_no_sidecar(f->s, names[1]);
        assert_int_equal(storage_batch_begin(f->s, &b, &e), 0);
        assert_int_equal(storage_batch_commit(b, &e), 0);
        storage_batch_end(b);
        storage_batch_end(NULL);
}

static void only_names_of_ids_are_sidecars(void **state)
{
        static const char *const bad[] = {"",
                                          "x",
                                          "assets/",
                                          "assets/00/../../objects/x.json",
                                          "assets/aa/01890000-0000-7000-8000-0000000000ab.json", /* not its last byte */
                                          "assets/ab/01890000-0000-7000-8000-0000000000ab",
                                          "assets/ab/01890000-0000-7000-8000-0000000000ab.json/",
                                          "assets/ab/01890000-0000-7000-8000-0000000000ab.jsonx",
                                          "assets/ab/01890000-0000-7000-8000-0000000000AB.json",
                                          "assets/01890000-0000-7000-8000-0000000000ab.json",
                                          "folders/ab/01890000-0000-7000-8000-0000000000ab.json",
                                          "folders//01890000-0000-7000-8000-0000000000ab.json",
                                          "/folders/01890000-0000-7000-8000-0000000000ab.json",
                                          "files/01890000-0000-7000-8000-0000000000ab.json"};
        struct fixture *f = *state;
        char name[STORAGE_SIDECAR_NAME_LEN];
        struct id id = id_new(), back;
        struct err e = {0};
        struct buf b;
        bool folder;

        buf_init(&b, 10);
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                assert_false(storage_sidecar_parse(span_of(bad[i]), &folder, &back));
                assert_int_equal(put_sidecar(f->s, bad[i], SPAN("x"), &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
                assert_int_equal(storage_get_sidecar(f->s, bad[i], &b, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
                assert_int_equal(remove_sidecar(f->s, bad[i], &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
        }
        assert_true(storage_sidecar_parse(span_of(storage_asset_sidecar(id, name)), &folder, &back));
        assert_true(!folder && id_eq(id, back));
        assert_true(storage_sidecar_parse(span_of(storage_folder_sidecar(id, name)), &folder, &back));
        assert_true(folder && id_eq(id, back));
        buf_done(&b);
}

/* ---- listing ------------------------------------------------------------------------ */

#define SEEN_MAX 64

struct seen {
        struct storage_item items[SEEN_MAX];
        char names[SEEN_MAX][128];
        size_t n, stop_after;
};

static int see(void *ctx, const struct storage_item *item, struct err *e)
{
        struct seen *seen = ctx;

        (void)e;
        assert_true(seen->n < SEEN_MAX);
        seen->items[seen->n] = *item;
        snprintf(seen->names[seen->n], sizeof seen->names[0], "%s", item->name);
        return ++seen->n == seen->stop_after;
}

static void look(struct fixture *f, enum storage_area area, struct seen *seen)
{
        struct err e = {0};

        *seen = (struct seen){.n = 0};
        if (storage_list(f->s, area, see, seen, &e) != 0)
                fail_msg("%s", e.msg);
}

static const struct storage_item *find(const struct seen *seen, const char *name, struct sha256 key)
{
        for (size_t i = 0; i < seen->n; i++)
                if (strcmp(seen->names[i], name) == 0 && sha256_eq(seen->items[i].sha256, key))
                        return &seen->items[i];
        return NULL;
}

static void objects_are_listed(void **state)
{
        struct fixture *f = *state;
        struct seen seen;
        struct sha256 keys[7]; /* more than a page of the S3 peers */
        struct err e = {0};
        size_t different = 0;

        look(f, STORAGE_OBJECTS, &seen);
        size_t before = seen.n; /* the store is shared by the tests of a backend */
        for (unsigned i = 0; i < COUNT_OF(keys); i++) {
                char *bytes = pattern(1000 + i, 900 + i);
                struct stored was;
                assert_int_equal(put(f->s, bytes, 1000 + i, 0, &was, &e), 0);
                keys[i] = was.sha256;
                free(bytes);
        }
        look(f, STORAGE_OBJECTS, &seen);
        for (unsigned i = 0; i < COUNT_OF(keys); i++) {
                char hex[SHA256_TEXT_LEN];
                const struct storage_item *item = find(&seen, sha256_format(keys[i], hex), keys[i]);
                assert_non_null(item);
                assert_false(item->stray);
                assert_int_equal(item->size, 1000 + i);
                assert_true(item->mtime.us > 0);
        }
        for (size_t i = 0; i < seen.n; i++) {
                bool again = false;
                for (size_t k = 0; k < i; k++)
                        again |= sha256_eq(seen.items[i].sha256, seen.items[k].sha256);
                assert_true(!again || f->backend->later);
                different += !again;
        }
        assert_int_equal(different, before + COUNT_OF(keys));
        for (unsigned i = 0; i < COUNT_OF(keys); i++)
                assert_int_equal(storage_remove_object(f->s, keys[i], &e), 0);
}

static void derived_files_and_sidecars_are_listed(void **state)
{
        struct fixture *f = *state;
        char asset[STORAGE_SIDECAR_NAME_LEN], folder[STORAGE_SIDECAR_NAME_LEN];
        struct sha256 key = sha256_of("derived", 7), none = {{0}};
        struct id a = id_new(), c = id_new();
        const struct storage_item *item;
        struct seen seen;
        struct err e = {0};

        assert_int_equal(storage_put_derived(f->s, key, STORAGE_THUMB, SPAN("thumb"), &e), 0);
        assert_int_equal(storage_put_derived(f->s, key, STORAGE_PREVIEW, SPAN("a preview"), &e), 0);
        must_put_sidecar(f->s, storage_asset_sidecar(a, asset), "asset");
        must_put_sidecar(f->s, storage_folder_sidecar(c, folder), "a folder");
        look(f, STORAGE_DERIVED, &seen);
        item = find(&seen, STORAGE_THUMB, key);
        assert_true(item && !item->stray && item->size == 5);
        item = find(&seen, STORAGE_PREVIEW, key);
        assert_true(item && !item->stray && item->size == 9);
        look(f, STORAGE_SIDECARS, &seen);
        item = find(&seen, asset, none);
        assert_true(item && !item->stray && !item->folder && item->size == 5 && id_eq(item->id, a));
        item = find(&seen, folder, none);
        assert_true(item && !item->stray && item->folder && item->size == 8 && id_eq(item->id, c));
        assert_int_equal(remove_sidecar(f->s, asset, &e), 0);
        look(f, STORAGE_SIDECARS, &seen);
        assert_null(find(&seen, asset, none));
        assert_non_null(find(&seen, folder, none));
        assert_int_equal(storage_remove_object(f->s, key, &e), 0);
}

static int fail_at_once(void *ctx, const struct storage_item *item, struct err *e)
{
        (void)ctx, (void)item;
        return err_set(e, ERR_CONFLICT, "not this one");
}

static int remove_it(void *ctx, const struct storage_item *item, struct err *e)
{
        return remove_sidecar(ctx, item->name, e);
}

static void a_listing_can_be_stopped_and_removed_from(void **state)
{
        struct fixture *f = *state;
        char name[STORAGE_SIDECAR_NAME_LEN];
        struct seen seen = {.stop_after = 3};
        struct err e = {0};

        for (size_t i = 0; i < 8; i++)
                must_put_sidecar(f->s, storage_asset_sidecar(id_new(), name), "x");
        assert_int_equal(storage_list(f->s, STORAGE_SIDECARS, see, &seen, &e), 1);
        assert_int_equal(seen.n, 3);
        assert_int_equal(storage_list(f->s, STORAGE_SIDECARS, fail_at_once, NULL, &e), -1);
        assert_int_equal(e.code, ERR_CONFLICT);
        assert_int_equal(storage_list(f->s, STORAGE_SIDECARS, remove_it, f->s, &e), 0);
        look(f, STORAGE_SIDECARS, &seen);
        assert_int_equal(seen.n, 0);
}

/* ---- what only a directory can have ---------------------------------------------------- */

static void write_at(struct fixture *f, const char *path, const char *text)
{
        char full[400];
        int fd;

        snprintf(full, sizeof full, "%s/%s", f->path, path);
        fd = open(full, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
}

static const struct storage_item *stray(const struct seen *seen, const char *name)
{
        for (size_t i = 0; i < seen->n; i++)
                if (seen->items[i].stray && strcmp(seen->names[i], name) == 0)
                        return &seen->items[i];
        return NULL;
}

static void what_fits_no_name_is_a_stray(void **state)
{
        static const char *const names[] = {"notes.txt", "ba/notes.txt",
                                            "ba/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                            "ba/BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"};
        struct fixture *f = *state;
        char path[300], link[300];
        struct seen seen;
        struct stored was;
        struct err e = {0};

        if (f->backend->peer != NONE)
                return;
        for (size_t i = 0; i < COUNT_OF(names); i++) {
                snprintf(path, sizeof path, "objects/%s", names[i]);
                write_at(f, path, "stray");
        }
        snprintf(link, sizeof link, "%s/objects/ba/link", f->path);
        assert_int_equal(symlink("/etc", link), 0);
        snprintf(path, sizeof path, "%s/objects/ba/deep", f->path);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/objects/ba/deep/deeper", f->path);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(put(f->s, "abc", 3, 0, &was, &e), 0);
        look(f, STORAGE_OBJECTS, &seen);
        for (size_t i = 0; i < COUNT_OF(names); i++)
                assert_true(stray(&seen, names[i]) && stray(&seen, names[i])->size == 5);
        assert_non_null(stray(&seen, "ba/link"));
        assert_non_null(stray(&seen, "ba/deep/deeper"));
        assert_int_equal(seen.n, COUNT_OF(names) + 3);
}

static void a_failed_batch_changes_nothing(void **state)
{
        static const char *const faults[] = {"storage.sidecar=eio@2", "storage.sidecar.sync=eio@1"};
        struct fixture *f = *state;
        char names[6][STORAGE_SIDECAR_NAME_LEN];
        struct seen seen;

        if (f->backend->peer != NONE)
                return;
        for (size_t i = 0; i < COUNT_OF(names); i++)
                must_put_sidecar(f->s, storage_asset_sidecar(id_new(), names[i]), "old");
        for (size_t k = 0; k < COUNT_OF(faults); k++) {
                struct storage_batch *b;
                struct err e = {0};
                int rc = 0;
                setenv("FILE_ALLOCATOR_FAULT", faults[k], 1);
                fault_init();
                assert_int_equal(storage_batch_begin(f->s, &b, &e), 0);
                for (size_t i = 0; i < COUNT_OF(names); i++)
                        if (storage_batch_put(b, names[i], SPAN("new"), &e) < 0)
                                rc = -1;
                if (storage_batch_commit(b, &e) < 0)
                        rc = -1;
                storage_batch_end(b);
                unsetenv("FILE_ALLOCATOR_FAULT");
                fault_init();
                assert_int_equal(rc, -1);
                assert_int_equal(e.code, ERR_IO);
                for (size_t i = 0; i < COUNT_OF(names); i++)
                        assert_sidecar(f->s, names[i], "old");
        }
        look(f, STORAGE_SIDECARS, &seen);
        assert_int_equal(seen.n, COUNT_OF(names));
}

/* Killed at each step: whole old ones or whole new ones, and after the commit new ones. */
static void a_killed_batch_leaves_whole_sidecars(void **state)
{
        struct fixture *f = *state;
        char names[6][STORAGE_SIDECAR_NAME_LEN], fault[64];
        static const char *const points[] = {"storage.sidecar", "storage.sidecar.sync", "storage.sidecar.rename"};

        if (f->backend->peer != NONE)
                return;
        for (size_t i = 0; i < COUNT_OF(names); i++)
                must_put_sidecar(f->s, storage_asset_sidecar(id_new(), names[i]), "old");
        for (size_t k = 0; k < COUNT_OF(points); k++)
                for (unsigned nth = 1; nth <= 6; nth++) {
                        pid_t pid = fork();
                        int status;
                        if (pid == 0) {
                                struct storage_batch *b;
                                struct err e;
                                snprintf(fault, sizeof fault, "%s=kill@%u", points[k], nth);
                                setenv("FILE_ALLOCATOR_FAULT", fault, 1);
                                fault_init();
                                int rc = storage_batch_begin(f->s, &b, &e);
                                for (size_t i = 0; rc == 0 && i < COUNT_OF(names); i++)
                                        rc = storage_batch_put(b, names[i], SPAN("new one"), &e);
                                if (rc == 0)
                                        rc = storage_batch_commit(b, &e);
                                _exit(rc == 0 ? 0 : 1);
                        }
                        waitpid(pid, &status, 0);
                        bool over = WIFEXITED(status) && WEXITSTATUS(status) == 0;
                        assert_true(over || WIFSIGNALED(status));
                        for (size_t i = 0; i < COUNT_OF(names); i++) {
                                struct buf b;
                                struct err e = {0};
                                buf_init(&b, 100);
                                assert_int_equal(storage_get_sidecar(f->s, names[i], &b, &e), 0);
                                assert_true(!strcmp(buf_str(&b), "new one") || (!over && !strcmp(buf_str(&b), "old")));
                                buf_done(&b);
                                must_put_sidecar(f->s, names[i], "old");
                        }
                }
}

int main(void)
{
        static const struct CMUnitTest suite[] = {
                EACH(a_sidecar_is_replaced_and_removed),     EACH(a_batch_writes_and_removes_many),
                EACH(only_names_of_ids_are_sidecars),        EACH(objects_are_listed),
                EACH(derived_files_and_sidecars_are_listed), EACH(a_listing_can_be_stopped_and_removed_from),
                EACH(what_fits_no_name_is_a_stray),          EACH(a_failed_batch_changes_nothing),
                EACH(a_killed_batch_leaves_whole_sidecars),
        };

        return run_on_each_backend(suite, COUNT_OF(suite));
}
