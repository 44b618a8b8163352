/* SPDX-License-Identifier: Apache-2.0 */
/* The table descriptions in the form that a copy and a backup need. */
#include "keep/keep_copy_priv.h"
#include "keep/keep_catalog_tables.h"

#include <stdio.h>

/* "n, id, owner", and a letter each. */
static void copy_columns(const struct table *t, struct copy_table *out)
{
        size_t n = 0, types = 0;

        for (const struct table_column *c = t->columns; c->name; c++) {
                if (c->why)
                        continue;
                n += (size_t)snprintf(out->columns + n, sizeof out->columns - n, "%s%s", n ? ", " : "", c->name);
                assert(n < sizeof out->columns && types + 1 < sizeof out->types);
                out->types[types++] = c->type;
        }
        out->types[types] = '\0';
}

size_t copy_tables_of(unsigned flag, struct copy_table out[COPY_TABLES_MAX])
{
        size_t n = 0;

        for (const struct table *t = catalog_tables; t->name; t++) {
                if (!(t->flags & flag))
                        continue;
                assert(n < COPY_TABLES_MAX);
                out[n] = (struct copy_table){.name = t->name, .order = t->key};
                copy_columns(t, &out[n++]);
        }
        return n;
}
