/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The promise that an acknowledged file is never lost, against collectors that
 * give no grace: the same few bytes are uploaded, deleted and collected all the
 * time, on PostgreSQL by two instances that share a folder of objects.
 */
#include "admin/admin.h"
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"
#include "ingest/ingest.h"
#include "storage/storage.h"

#define CONTENTS  5
#define UPLOADERS 4
#define ROUNDS    150
#define KEPT      3
#define INSTANCES (strcmp(ENGINE, "sqlite") == 0 ? 1 : 2)

struct instance {
        struct fix *f;
        char name[16];
        struct catalog *catalog;
        struct storage *storage;
        struct ingest *ingest;
        struct admin *admin;
        pthread_t collector, uploaders[UPLOADERS];
};

static atomic_bool stop;
static atomic_uint refused, acknowledged;

static const char *content(unsigned i)
{
        static const char *const all[CONTENTS] = {"one", "two and more", "", "a", "b"};

        return all[i % CONTENTS];
}

static void assert_there(struct instance *in, unsigned i, const char *when)
{
        const char *want = content(i);
        char got[32];
        struct err e = {.msg = ""};
        int fd;

        if (storage_open_object(in->storage, sha256_of(want, strlen(want)), strlen(want), &fd, &e) < 0) {
                fprintf(stderr, "%s: an acknowledged object is lost: %s\n", when, e.msg);
                abort();
        }
        assert(pread(fd, got, sizeof got, 0) == (ssize_t)strlen(want) && memcmp(got, want, strlen(want)) == 0);
        close(fd);
}

/* Whether it was acknowledged. */
static bool upload(struct instance *in, unsigned i, struct id *id)
{
        struct ingest_caller who = {0};
        struct ingest_request *r;
        struct job_receipt receipt;
        struct arena *a = arena_new(1 << 20);
        struct err e = {.msg = ""};
        int rc = ingest_begin(in->ingest, &who, &r, &e);

        assert(rc == 0);
        if (ingest_file_begin(r, "a", NULL, &e) < 0 || ingest_file_data(r, span_of(content(i)), &e) < 0 ||
            ingest_file_end(r, &e) < 0 || ingest_commit(r, a, &receipt, &e) < 0)
                rc = -1;
        if (rc < 0 && e.code != ERR_BUSY) {
                fprintf(stderr, "upload: %s: %s\n", err_name(e.code), e.msg);
                abort();
        }
        if (rc == 0)
                *id = receipt.assets[0];
        ingest_free(r);
        arena_free(a);
        return rc == 0;
}

static void *upload_and_delete(void *arg)
{
        struct instance *in = arg;
        struct id kept[KEPT];
        unsigned of[KEPT], n = 0;
        struct err e = {.msg = ""};

        for (unsigned round = 0; round < ROUNDS; round++) {
                unsigned i = (unsigned)(random_u64() % CONTENTS);
                if (!upload(in, i, &kept[n])) {
                        atomic_fetch_add(&refused, 1);
                        continue;
                }
                atomic_fetch_add(&acknowledged, 1);
                of[n++] = i;
                assert_there(in, i, "at once");
                /* So few are kept that now and then nobody refers to some bytes. */
                while (n == KEPT || (n > 0 && random_u64() % 4 > 0)) {
                        assert_there(in, of[n - 1], "before it is deleted");
                        if (catalog_asset_purge(in->catalog, kept[--n], NULL, "user", &e) < 0) {
                                fprintf(stderr, "purge: %s\n", e.msg);
                                abort();
                        }
                }
        }
        for (unsigned k = 0; k < n; k++)
                assert_there(in, of[k], "at the end of its uploader");
        return NULL;
}

static void *collect(void *arg)
{
        struct instance *in = arg;

        while (!atomic_load(&stop))
                admin_gc(in->admin);
        return NULL;
}

static void instance_open(struct fix *f, struct instance *in, int i)
{
        char path[600];
        struct storage_opts so = {.url = "fs://", .path = path};

        in->f = f;
        snprintf(in->name, sizeof in->name, "i%d", i);
        snprintf(path, sizeof path, "%s/objects", f->data);
        if (i == 0)
                in->catalog = f->c;
        else
                OK(catalog_open(&f->opts, &in->catalog, &f->e));
        OK(storage_open(&so, &in->storage, &f->e));
        OK(ingest_open(&(struct ingest_opts){.catalog = in->catalog, .storage = in->storage, .max_file_size = 1000},
                       &in->ingest, &f->e));
        OK(admin_open(
                &(struct admin_opts){
                        .catalog = in->catalog, .storage = in->storage, .api_key = "", .instance = in->name},
                &in->admin, &f->e));
}

static void instance_close(struct instance *in)
{
        admin_close(in->admin);
        ingest_close(in->ingest);
        storage_close(in->storage);
        if (in->catalog != in->f->c)
                catalog_close(in->catalog);
}

static unsigned collected(void)
{
        struct buf b;
        const char *at;
        unsigned long n = 0;

        buf_init(&b, 1 << 20);
        metrics_render(&b);
        at = strstr(buf_str(&b), "\ngc_objects_total ");
        if (at)
                n = strtoul(at + strlen("\ngc_objects_total "), NULL, 10);
        buf_done(&b);
        return (unsigned)n;
}

static void no_acknowledged_file_is_lost_to_a_collector(void **state)
{
        struct fix *f = *state;
        struct instance in[2];
        struct asset_page p;

        for (int i = 0; i < INSTANCES; i++)
                instance_open(f, &in[i], i);
        atomic_store(&stop, false);
        for (int i = 0; i < INSTANCES; i++) {
                assert_int_equal(thread_start(&in[i].collector, "collector", collect, &in[i]), 0);
                for (int k = 0; k < UPLOADERS; k++)
                        assert_int_equal(thread_start(&in[i].uploaders[k], "uploader", upload_and_delete, &in[i]), 0);
        }
        for (int i = 0; i < INSTANCES; i++)
                for (int k = 0; k < UPLOADERS; k++)
                        pthread_join(in[i].uploaders[k], NULL);
        atomic_store(&stop, true);
        for (int i = 0; i < INSTANCES; i++)
                pthread_join(in[i].collector, NULL);
        OK(catalog_asset_list(f->c, &(struct asset_filter){0}, SORT_CREATED_ASC, 500, NULL, f->a, &p, &f->e));
        for (size_t i = 0; i < p.n; i++)
                for (unsigned k = 0; k < CONTENTS; k++)
                        if (sha256_eq(p.assets[i].sha256, sha256_of(content(k), strlen(content(k)))))
                                assert_there(&in[0], k, "at the end");
        print_message("%u acknowledged, %u refused, %zu left, %u collected\n", acknowledged, refused, p.n, collected());
        assert_true(acknowledged > ROUNDS);
        assert_true(collected() > ROUNDS / 5);
        for (int i = 0; i < INSTANCES; i++)
                instance_close(&in[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {T(no_acknowledged_file_is_lost_to_a_collector)};

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
