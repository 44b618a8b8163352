/* SPDX-License-Identifier: Apache-2.0 */
/* The target of a copy, between its opening (catalog_postgres_copy_open.c) and its writing (catalog_postgres_copy.c).
 */
#ifndef FA_CATALOG_POSTGRES_COPY_PRIV_H
#define FA_CATALOG_POSTGRES_COPY_PRIV_H

#include "catalog/catalog_postgres_priv.h"

struct copy_target {
        struct pg_conn *conn;
        struct db *db; /* the same */
};

#endif
