/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_recover DATA…: opens catalog and storage (../../store/storage) of each folder
 * that a power cut left, as the server does, and closes them. One line a folder: "ok", or
 * why it cannot be opened. Many in one process, since there are thousands.
 */
#include "catalog/catalog.h"
#include "jobs/counts.h"
#include "metrics/metrics.h"
#include "storage/storage.h"

#include <stdio.h>

static int recover(const char *data, struct err *e)
{
        char url[4200], path[4200];
        struct catalog *c = NULL;
        struct storage *s = NULL;
        struct catalog_counts counts;
        int rc;

        snprintf(url, sizeof url, "sqlite://%s/catalog.db", data);
        snprintf(path, sizeof path, "%s/../../store/storage", data);
        if (dir_make(data, e) < 0 || dir_make(path, e) < 0)
                return -1;
        rc = catalog_open(&(struct catalog_opts){.url = url, .data_path = data}, &c, e);
        if (rc == 0)
                rc = catalog_counts(c, NULL, &counts, e);
        if (rc == 0)
                rc = storage_open(
                        &(struct storage_opts){.url = "fs://", .path = path, .expect_content = counts.objects > 0}, &s,
                        e);
        storage_close(s);
        catalog_close(c);
        return rc;
}

int main(int argc, char **argv)
{
        if (metrics_init() < 0)
                return 1;
        for (int i = 1; i < argc; i++) {
                struct err e = {.msg = ""};
                printf("%s\n", recover(argv[i], &e) == 0 ? "ok" : e.msg);
        }
        metrics_done();
        return 0;
}
