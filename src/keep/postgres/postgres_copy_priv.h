/* SPDX-License-Identifier: Apache-2.0 */
/* The target of a copy, between its opening (postgres_copy_open.c) and its writing (postgres_copy.c).
 */
#ifndef FA_KEEP_POSTGRES_COPY_PRIV_H
#define FA_KEEP_POSTGRES_COPY_PRIV_H

#include "catalog/postgres/postgres.h"

struct copy_target {
        struct pg_conn *conn;
        struct db *db; /* the same */
};

#endif
