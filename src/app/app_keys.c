/* SPDX-License-Identifier: Apache-2.0 */
/* A key made without a server: whoever may write to the catalog needs no further permission. */
#include <stdio.h>

#include "app/app_priv.h"
#include "catalog/catalog.h"
#include "access/access.h"

static int read_wish(const struct app_key *k, struct new_key *out, struct err *e)
{
        *out = (struct new_key){.name = k->name, .owner = k->owner, .actor = "cli"};
        if (!key_scope_parse(span_of(k->scope), &out->scope))
                return err_set(e, ERR_INVALID, "scope: '%.40s' is not read, write or admin", k->scope);
        if (k->expires && !wall_parse(span_of(k->expires), &out->expires))
                return err_set(e, ERR_INVALID, "expires: '%.40s' is not an RFC 3339 time", k->expires);
        return 0;
}

int app_key_create(const struct config *c, struct app_key *k, struct err *e)
{
        struct app *a = mem_calloc(1, sizeof *a);
        struct new_key wish;
        int rc;
        if (!a)
                return err_oom(e);
        a->c = c;
        a->lock_fd = -1;
        rc = read_wish(k, &wish, e);
        wish.alone = !*c->api_key;
        if (rc == 0)
                rc = app_open_data(a, c->database_path != NULL, e);
        if (rc == 0)
                rc = app_open_catalog(a, e);
        if (rc == 0)
                rc = key_make(a->catalog, &wish, k->key, NULL, e);
        if (rc == 0)
                id_format(wish.id, k->id);
        catalog_close(a->catalog);
        fd_close(&a->lock_fd);
        mem_free(a);
        return rc;
}
