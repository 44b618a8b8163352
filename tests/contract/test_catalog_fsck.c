/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of damage is made, told, repaired, and gone after. */
#include "contract/fsck_world.h"
#include "keep/keep.h"

#include <fcntl.h>
#include <sys/stat.h>

static void a_whole_installation_is_clean(void **state)
{
        struct world *w = *state;
        struct fsck_report r;

        assert_clean(w);
        r = fsck(w, true);
        assert_int_equal(r.found, 0);
        assert_clean(w);
}

/* ---- the catalog ------------------------------------------------------------------------ */

static const struct {
        const char *check, *sqlite, *postgres; /* postgres NULL: the same; "": not there */
} damages[] = {
        {"counter", "UPDATE counter SET count = count + 7, bytes = bytes + 1 WHERE owner = 'ann' AND kind = 0", NULL},
        {"counter", "DELETE FROM counter WHERE owner = ''", NULL},
        {"job", "UPDATE job SET queued = queued + 1", NULL},
        {"folder", "UPDATE cluster SET count = 99", NULL},
        {"folder", "DELETE FROM cluster_prototype", NULL},
        {"folder", "UPDATE cluster_prototype SET count = 2", NULL},
        {"folder", "UPDATE cluster_prototype SET sum = (SELECT vec FROM embedding LIMIT 1)",
         "UPDATE cluster_prototype SET sum = (SELECT unit FROM embedding LIMIT 1)"},
        {"text_index", "DELETE FROM asset_text WHERE n = 1",
         "DELETE FROM asset_text WHERE n = (SELECT min(n) FROM asset)"},
        {"text_words", "INSERT INTO asset_fts (asset_fts) VALUES ('delete-all')", ""},
        {"text_words", "INSERT INTO name_fts (name_fts) VALUES ('delete-all')", ""},
        {"near_duplicate", "INSERT INTO near_duplicate (asset, other, distance) SELECT min(n), max(n), 3 FROM asset",
         NULL},
        {"task_state", "UPDATE task SET state = 7 WHERE state = 0", NULL},
        {"task_state", "UPDATE task SET state = 1 WHERE state = 0", NULL},
        {"task_missing", "DELETE FROM task WHERE state = 0", NULL},
        {"asset_status", "UPDATE asset SET status = 2 WHERE status = 0", NULL},
        {"asset_status", "UPDATE asset SET status = 1 WHERE status = 0", NULL},
        {"task_purpose", "UPDATE task SET purpose = 9 WHERE n = (SELECT min(n) FROM task WHERE state = 2)", NULL},
        {"reference",
         "INSERT INTO task (id, asset, purpose, type, state, run_after) VALUES (zeroblob(16), 9999, 1, 0, 0, 1)",
         "SET session_replication_role = replica; INSERT INTO task (id, asset, purpose, type, state, run_after) VALUES "
         "('00000000-0000-0000-0000-000000000000', 9999, 1, 0, 0, 1)"},
        {"object_marked", "UPDATE object SET orphaned = 1", NULL},
        {"object_unmarked", "INSERT INTO object (sha256, size, created, scrubbed) VALUES (zeroblob(32), 5, 1, 1)",
         "INSERT INTO object (sha256, size, created, scrubbed) VALUES (decode(repeat('00', 32), 'hex'), 5, 1, "
         "1)"},
        {"embedding", "", "UPDATE embedding SET owner = 'bob', cluster = NULL"},
        {"reference", "INSERT INTO part (asset, kind, position, text) VALUES (99999, 3, 0, 'gone')",
         "SET session_replication_role = replica; INSERT INTO part (asset, kind, position) VALUES (99999, 3, "
         "0)"},
        {"reference", "UPDATE embedding SET part = 99999 WHERE part = (SELECT max(part) FROM embedding)", ""},
        {"part_words", "DELETE FROM part_fts_docsize WHERE id = (SELECT min(id) FROM part_fts_docsize)",
         "UPDATE part SET words = NULL"},
        {"text_words", "UPDATE part SET text = 'else' WHERE n = (SELECT max(n) FROM part WHERE text IS NOT NULL)", ""},
};

static void each_damage_of_the_catalog_is_told_and_mended(void **state)
{
        struct world *w = *state;
        struct fix *f = w->f;

        for (size_t i = 0; i < COUNT_OF(damages); i++) {
                const char *sql = SQLITE || !damages[i].postgres ? damages[i].sqlite : damages[i].postgres;
                struct fsck_report r;
                if (!*sql)
                        continue;
                close_all(w);
                backend_sql(f->url, sql);
                open_all(w);
                r = fsck(w, false);
                if (!of(&r, damages[i].check).found || of(&r, damages[i].check).mended)
                        fail_msg("%s is not told: %s", sql, w->told);
                r = fsck(w, true);
                if (!of(&r, damages[i].check).mended)
                        fail_msg("%s is not mended: %s", sql, w->told);
                if (strcmp(damages[i].check, "object_unmarked") == 0)
                        continue; /* it waits for its grace now */
                assert_clean(w);
        }
        assert_int_equal(folder(f, w->folder).asset_count, 3);
}

/* The status is the analysis's alone: what waits beside it, works or has failed is no damage. */
static void tasks_of_other_purposes_are_no_damage(void **state)
{
        struct world *w = *state;
        struct fix *f = w->f;
        struct task t;

        for (enum task_purpose p = PURPOSE_ENRICH; p < PURPOSE_COUNT; p++)
                OK(catalog_task_add(f->c, w->picture, NULL, p, &f->e));
        assert_int_equal(catalog_task_claim(f->c, "w", dur_s(60), TASK_KIND(PURPOSE_EMBED, JOB_IMAGE), f->a, &t, &f->e),
                         1);
        assert_int_equal(catalog_task_claim(f->c, "w", dur_s(60), TASK_KIND(PURPOSE_TEXT, JOB_IMAGE), f->a, &t, &f->e),
                         1);
        OK(catalog_task_fail(f->c, &t, &(struct task_failure){.code = ERR_IO, .reason = "no", .dead = true}, &f->e));
        assert_clean(w);
}

static void what_nobody_can_know_is_only_told(void **state)
{
        struct world *w = *state;
        struct fsck_report r;

        close_all(w);
        backend_sql(w->f->url, "UPDATE asset SET size = 12345 WHERE kind <> 0");
        open_all(w);
        r = fsck(w, true);
        assert_int_equal(of(&r, "asset_size").found, 1);
        assert_int_equal(of(&r, "asset_size").mended, 0);
        assert_true(r.mended < r.found);
}

static void a_damaged_cache_of_vectors_is_removed(void **state)
{
        struct world *w = *state;
        char path[700];
        struct fsck_report r;
        int fd;

        if (!SQLITE)
                return;
        snprintf(path, sizeof path, "%s/vector", w->f->data);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/vector/other.i8", w->f->data);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "junk", 4), 4);
        close(fd);
        r = fsck(w, false);
        assert_int_equal(of(&r, "vector_cache").found, 1);
        r = fsck(w, true);
        assert_int_equal(of(&r, "vector_cache").mended, 1);
        assert_int_equal(access(path, F_OK), -1);
        assert_clean(w);
}

/* ---- the storage ------------------------------------------------------------------------ */

static const char *object_path(struct world *w, struct sha256 object)
{
        static char path[800];
        char hex[SHA256_TEXT_LEN];

        sha256_format(object, hex);
        snprintf(path, sizeof path, "%s/objects/%.2s/%s", w->path, hex, hex);
        return path;
}

static void flip(const char *path)
{
        int fd;

        assert_int_equal(chmod(path, 0600), 0);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "?", 1, 1), 1);
        close(fd);
}

static void age(const char *path)
{
        struct timespec then[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

        assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
}

/* Files of lost bytes say so; who brings the bytes again mends them. */
static void lost(struct world *w, const char *check)
{
        struct fix *f = w->f;
        struct fsck_report r = fsck(w, false);

        assert_int_equal(of(&r, check).found, 1);
        assert_int_equal(r.found, 1);
        assert_int_equal(get(f, w->picture).status, ASSET_DONE);
        r = fsck(w, true);
        assert_int_equal(of(&r, check).mended, 0);
        assert_int_equal(get(f, w->picture).status, ASSET_FAILED);
        assert_string_equal(get(f, w->picture).error_code, "lost");
        assert_non_null(strstr(get(f, w->picture).error, "upload it again"));
        struct scrub_state st;
        OK(keep_scrub_state(f->c, &st, &f->e));
        assert_int_equal(st.bad, 1);
        r = fsck(w, false);
        assert_int_equal(r.found, 1); /* as long as it is so */
        /* Somebody has put them back by hand. */
        remove(object_path(w, w->object));
        store(w, "one");
        r = fsck(w, false);
        assert_int_equal(of(&r, "lost_and_found").found, 1);
        r = fsck(w, true);
        assert_int_equal(of(&r, "lost_and_found").mended, 1);
        assert_int_equal(get(f, w->picture).status, ASSET_DONE);
        assert_null(get(f, w->picture).error);
        OK(keep_scrub_state(f->c, &st, &f->e));
        assert_int_equal(st.bad, 0);
        assert_clean(w);
}

static void a_missing_object_is_told(void **state)
{
        struct world *w = *state;

        unlink(object_path(w, w->object));
        lost(w, "object_missing");
}

static void a_cut_object_is_told(void **state)
{
        struct world *w = *state;

        assert_int_equal(chmod(object_path(w, w->object), 0600), 0);
        assert_int_equal(truncate(object_path(w, w->object), 1), 0);
        lost(w, "object_size");
}

/* It has no size that could be wrong: a folder stands where the file was. */
static void a_folder_in_an_objects_place_is_told(void **state)
{
        struct world *w = *state;

        unlink(object_path(w, w->object));
        assert_int_equal(mkdir(object_path(w, w->object), 0700), 0);
        lost(w, "object_bytes");
}

static void a_changed_object_is_told(void **state)
{
        struct world *w = *state;

        flip(object_path(w, w->object));
        lost(w, "object_bytes");
}

static void missing_pictures_are_made_again(void **state)
{
        struct world *w = *state;
        struct fix *f = w->f;
        char hex[SHA256_TEXT_LEN], path[800];
        struct fsck_report r;

        sha256_format(w->object, hex);
        snprintf(path, sizeof path, "%s/derived/%.2s/%s/%s", w->path, hex, hex, STORAGE_THUMB);
        assert_int_equal(unlink(path), 0);
        r = fsck(w, false);
        assert_int_equal(of(&r, "derived_missing").found, 1);
        assert_int_equal(r.found, 1);
        r = fsck(w, true);
        assert_int_equal(of(&r, "derived_missing").mended, 1);
        assert_int_equal(get(f, w->picture).status, ASSET_QUEUED);
        assert_clean(w);
}

static void what_nobody_refers_to_is_removed_when_it_is_old(void **state)
{
        struct world *w = *state;
        struct sha256 old, young;
        char path[800];
        struct fsck_report r;
        int fd;

        old = store(w, "left over");
        young = store(w, "an upload under way");
        derive(w, old);
        age(object_path(w, old));
        snprintf(path, sizeof path, "%s/objects/00/who-knows", w->path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        close(fd);
        r = fsck(w, false);
        assert_int_equal(of(&r, "object_stray").found, 1);
        assert_int_equal(of(&r, "name_stray").found, 1);
        r = fsck(w, true);
        assert_int_equal(of(&r, "object_stray").mended, 1);
        assert_int_equal(of(&r, "name_stray").mended, 0); /* somebody's */
        assert_false(storage_has_object(w->storage, old));
        assert_true(storage_has_object(w->storage, young));
        unlink(path);
        unlink(object_path(w, young));
        assert_clean(w);
        /* Only what was derived is left. */
        derive(w, old);
        char hex[SHA256_TEXT_LEN];
        sha256_format(old, hex);
        snprintf(path, sizeof path, "%s/derived/%.2s/%s/%s", w->path, hex, hex, STORAGE_THUMB);
        age(path);
        snprintf(path, sizeof path, "%s/derived/%.2s/%s/%s", w->path, hex, hex, STORAGE_PREVIEW);
        age(path);
        r = fsck(w, true);
        assert_int_equal(of(&r, "derived_stray").mended, 1);
        assert_int_equal(access(path, F_OK), -1);
        assert_clean(w);
}

static void leftovers_of_uploads_are_removed_when_they_are_old(void **state)
{
        struct world *w = *state;
        char path[800];
        struct fsck_report r;
        int fd;

        for (int i = 0; i < 2; i++) {
                snprintf(path, sizeof path, "%s/tmp/up-%d", w->path, i);
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                close(fd);
        }
        age(path);
        r = fsck(w, false);
        assert_int_equal(of(&r, "tmp").found, 1);
        r = fsck(w, true);
        assert_int_equal(of(&r, "tmp").mended, 1);
        assert_int_equal(access(path, F_OK), -1);
        assert_clean(w);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(a_whole_installation_is_clean),
                T(each_damage_of_the_catalog_is_told_and_mended),
                T(tasks_of_other_purposes_are_no_damage),
                T(what_nobody_can_know_is_only_told),
                T(a_damaged_cache_of_vectors_is_removed),
                T(a_missing_object_is_told),
                T(a_cut_object_is_told),
                T(a_folder_in_an_objects_place_is_told),
                T(a_changed_object_is_told),
                T(missing_pictures_are_made_again),
                T(what_nobody_refers_to_is_removed_when_it_is_old),
                T(leftovers_of_uploads_are_removed_when_they_are_old),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
