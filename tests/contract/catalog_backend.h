/* SPDX-License-Identifier: Apache-2.0 */
/* The engine that the suite is built for: each of its files becomes one program an engine. */
#ifndef FA_CATALOG_BACKEND_H
#define FA_CATALOG_BACKEND_H

#ifdef SUITE_POSTGRES
#include "contract/catalog_postgres_backend.h"
#define ENGINE "postgresql"
#else
#include "contract/catalog_sqlite_backend.h"
#define ENGINE "sqlite"
#endif

#endif
