/* SPDX-License-Identifier: Apache-2.0 */
/* The service object. */
#include "ingest/ingest_priv.h"
#include "catalog/catalog_ingest.h"

int ingest_open(const struct ingest_opts *opts, struct ingest **out, struct err *e)
{
        struct ingest *ing = mem_calloc(1, sizeof *ing);
        if (!ing)
                return err_oom(e);
        ing->o = *opts;
        *out = ing;
        return 0;
}

void ingest_close(struct ingest *ing)
{
        mem_free(ing);
}
