/* SPDX-License-Identifier: Apache-2.0 */
/* The suite's factory for SQLite: a folder of its own per catalog. */
#ifndef FA_CATALOG_SQLITE_BACKEND_H
#define FA_CATALOG_SQLITE_BACKEND_H

#include "contract/catalog_suite.h"
#include "remove_tree.h"

#include <sqlite3.h>

static void backend_make(char *url, size_t url_max, char *data, size_t data_max)
{
        char dir[] = "/tmp/fa-catalog-XXXXXX";

        assert_non_null(mkdtemp(dir));
        snprintf(url, url_max, "sqlite://%s/catalog.db", dir);
        snprintf(data, data_max, "%s", dir);
}

static void backend_drop(const char *url, const char *data)
{
        (void)url;
        remove_tree(data);
}

const struct suite_backend suite_backend = {.make = backend_make, .drop = backend_drop};

/* Statements behind the back of the (closed) catalog. */
static inline void backend_sql(const char *url, const char *sql)
{
        char *why = NULL;
        sqlite3 *h;

        assert_int_equal(sqlite3_open(url + strlen("sqlite://"), &h), SQLITE_OK);
        if (sqlite3_exec(h, sql, NULL, NULL, &why) != SQLITE_OK)
                fail_msg("%s: %s", sql, why);
        sqlite3_close(h);
}

static inline void backend_quiet(const char *url)
{
        (void)url; /* closed is closed */
}

/* Marks the (closed) catalog as one of a newer program. */
static inline void backend_future(const char *url)
{
        sqlite3 *h;

        assert_int_equal(sqlite3_open(url + strlen("sqlite://"), &h), SQLITE_OK);
        assert_int_equal(sqlite3_exec(h, "INSERT INTO schema_version VALUES (9999, 'x', 0)", NULL, NULL, NULL),
                         SQLITE_OK);
        sqlite3_close(h);
}

#endif
