/* SPDX-License-Identifier: Apache-2.0 */
/* What only SQLite can get wrong: how the pages of a commit reach the WAL. */
#include "contract/catalog_sqlite_backend.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MANY 2000 /* assets in one job: more pages than are gathered in one piece, or kept in memory */

static struct new_job job_of_many(struct fix *f, const char *name)
{
        struct new_asset *x = arena_array(f->a, MANY, sizeof *x);

        for (unsigned i = 0; i < MANY; i++)
                x[i] = new_file(name, KIND_DOCUMENT, false);
        return new_job_of("ann", x, MANY);
}

/* Another connection, with SQLite's own files, as a person with a shell has it. */
static int64_t count_outside(struct fix *f)
{
        sqlite3 *h;
        sqlite3_stmt *s;
        int64_t n;

        assert_int_equal(sqlite3_open(f->url + strlen("sqlite://"), &h), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(h, "SELECT count(*) FROM asset", -1, &s, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        n = sqlite3_column_int64(s, 0);
        sqlite3_finalize(s);
        sqlite3_close(h);
        return n;
}

static void healthy(struct fix *f)
{
        sqlite3 *h;
        sqlite3_stmt *s;

        assert_int_equal(sqlite3_open(f->url + strlen("sqlite://"), &h), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(h, "PRAGMA integrity_check", -1, &s, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(s, 0), "ok");
        sqlite3_finalize(s);
        sqlite3_close(h);
}

static void what_is_committed_is_in_the_file(void **state)
{
        struct fix *f = *state;
        struct job_receipt r;
        int64_t n = 0;

        for (int i = 0; i < 30; i++, n++) {
                assert_int_equal(count_outside(f), n);
                put_file(f, "ann", "a.bin", KIND_DOCUMENT);
        }
        for (int i = 0; i < 3; i++, n += MANY) {
                struct new_job j = job_of_many(f, "b.bin");
                assert_int_equal(count_outside(f), n);
                OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        }
        assert_int_equal(count_outside(f), n);
        healthy(f);
        fix_reopen(f);
        assert_int_equal(count_outside(f), n);
}

static int64_t wal_bytes(struct fix *f)
{
        char path[600];
        struct stat st;

        snprintf(path, sizeof path, "%s/catalog.db-wal", f->data);
        assert_int_equal(stat(path, &st), 0);
        return st.st_size;
}

/* The system takes no more bytes of the WAL, at every place where the pages of a commit may be cut. */
static void a_commit_that_the_disk_refuses_is_no_commit(void **state)
{
        struct fix *f = *state;
        struct rlimit whole, less;
        struct job_receipt r;
        int64_t kept = 1, refused = 0;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
        signal(SIGXFSZ, SIG_IGN);
        put_file(f, "ann", "first.bin", KIND_DOCUMENT);
        for (rlim_t room = 0; room <= 400000; room += 33333) {
                struct new_asset x[50];
                struct new_job j = new_job_of("ann", x, COUNT_OF(x));
                for (size_t i = 0; i < COUNT_OF(x); i++)
                        x[i] = new_file("x.bin", KIND_DOCUMENT, false);
                less = whole;
                less.rlim_cur = (rlim_t)wal_bytes(f) + room;
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
                int rc = catalog_ingest(f->c, &j, f->a, &r, &f->e);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
                refused += rc < 0;
                kept += rc < 0 ? 0 : (int64_t)COUNT_OF(x);
                assert_int_equal(count_outside(f), kept);
                put_file(f, "ann", "after.bin", KIND_DOCUMENT);
                assert_int_equal(count_outside(f), ++kept);
        }
        signal(SIGXFSZ, SIG_DFL);
        assert_true(refused > 0);
        healthy(f);
        fix_reopen(f);
        assert_int_equal(count_outside(f), kept);
}

/* Whoever is refused has it given back; words of what came last may still be written to it. */
static bool log_goes(struct fix *f)
{
        for (int i = 0; i < 200; i++) {
                FAILS(ERR_NO_SPACE, catalog_room(f->c, &f->e));
                usleep(50000);
                if (wal_bytes(f) == 0)
                        return true;
        }
        return false;
}

/* Otherwise what the WAL once grew to is missing on a small volume for good, and uploads are refused for it. */
static void without_room_the_wal_gives_its_own_back(void **state)
{
        struct fix *f = *state;
        sqlite3 *reader;

        put_file(f, "ann", "first.bin", KIND_DOCUMENT);
        OK(catalog_room(f->c, &f->e));
        usleep(50000);
        assert_true(wal_bytes(f) > 0); /* with room it stays, to be written again */
        f->opts.min_free = UINT64_MAX;
        fix_reopen(f);
        put_file(f, "ann", "second.bin", KIND_DOCUMENT);
        assert_true(wal_bytes(f) > 0);
        assert_true(log_goes(f));
        /* Somebody who reads an old state keeps it, and holds nobody up. */
        put_file(f, "ann", "third.bin", KIND_DOCUMENT);
        assert_int_equal(sqlite3_open(f->url + strlen("sqlite://"), &reader), SQLITE_OK);
        assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM asset", NULL, NULL, NULL), SQLITE_OK);
        put_file(f, "ann", "fourth.bin", KIND_DOCUMENT);
        FAILS(ERR_NO_SPACE, catalog_room(f->c, &f->e));
        put_file(f, "ann", "fifth.bin", KIND_DOCUMENT);
        assert_true(wal_bytes(f) > 0);
        assert_int_equal(sqlite3_close(reader), SQLITE_OK);
        assert_true(log_goes(f));
        assert_int_equal(count_outside(f), 5);
        healthy(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(what_is_committed_is_in_the_file),
                T(a_commit_that_the_disk_refuses_is_no_commit),
                T(without_room_the_wal_gives_its_own_back),
        };

        return cmocka_run_group_tests_name("SQLite's own", tests, NULL, NULL);
}
