/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections, prepared statements and what SQLite's results mean to us. A
 * connection belongs to one thread at a time; its statements are kept prepared
 * under the address of their text, so a hot path never parses SQL.
 */
#include "catalog/catalog_sqlite_priv.h"

/* No mmap: a disk that fails to read would end the process by SIGBUS instead of giving an error. */
#define PRAGMAS                                                                                                        \
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000;" \
        "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cache_size = -4096;"                                 \
        "PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF;"

int db_error(struct conn *db, int rc, struct err *e)
{
        const char *what = db->h ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc);

        switch (rc & 0xFF) {
        case SQLITE_FULL:
                return err_set(e, ERR_NO_SPACE, "catalog: no space left: %s", what);
        case SQLITE_NOMEM:
                return err_set(e, ERR_OOM, "catalog: out of memory");
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return err_set(e, ERR_BUSY, "catalog: busy: %s", what);
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return err_set(e, ERR_IO, "catalog: %s", what);
        case SQLITE_TOOBIG:
                return err_set(e, ERR_TOO_LARGE, "catalog: %s", what);
        default:
                return err_set(e, ERR_INTERNAL, "catalog: %s", what);
        }
}

int conn_open(struct conn *db, const char *path, bool writer, struct err *e)
{
        int rc = sqlite3_open_v2(path, &db->h,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (writer ? SQLITE_OPEN_CREATE : 0), NULL);

        if (rc == SQLITE_OK) {
                sqlite3_extended_result_codes(db->h, 1);
                sqlite3_db_config(db->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
                sqlite3_db_config(db->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
                rc = sqlite3_exec(db->h, PRAGMAS, NULL, NULL, NULL);
        }
        if (rc == SQLITE_OK && !writer)
                rc = sqlite3_exec(db->h, "PRAGMA query_only = ON; PRAGMA cache_size = -4096", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                return 0;
        db_error(db, rc, e);
        conn_close(db);
        return -1;
}

void conn_close(struct conn *db)
{
        for (size_t i = 0; i < STMT_SLOTS; i++)
                sqlite3_finalize(db->slots[i].s);
        sqlite3_close(db->h);
        *db = (struct conn){0};
}

static sqlite3_stmt *prepared(struct conn *db, const char *sql, struct err *e)
{
        size_t i = ((uintptr_t)sql >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
        struct stmt_slot *slot;
        int rc;

        for (;; i++) {
                slot = &db->slots[i % STMT_SLOTS];
                if (!slot->sql || slot->sql == sql)
                        break;
        }
        if (!slot->sql) {
                assert(db->used < STMT_SLOTS - 1);
                rc = sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &slot->s, NULL);
                if (rc != SQLITE_OK) {
                        db_error(db, rc, e);
                        return NULL;
                }
                slot->sql = sql;
                db->used++;
        }
        assert(!sqlite3_stmt_busy(slot->s)); /* a statement used inside itself */
        return slot->s;
}

static int bind_one(sqlite3_stmt *s, int i, char type, va_list *ap)
{
        const void *p;
        size_t n;

        switch (type) {
        case 'i':
                return sqlite3_bind_int(s, i, va_arg(*ap, int));
        case 'l':
                return sqlite3_bind_int64(s, i, va_arg(*ap, int64_t));
        case 'd':
                return sqlite3_bind_double(s, i, va_arg(*ap, double));
        case 't':
                p = va_arg(*ap, const char *);
                return p ? sqlite3_bind_text(s, i, p, -1, SQLITE_STATIC) : sqlite3_bind_null(s, i);
        case 'u':
                p = va_arg(*ap, const struct id *);
                return p ? sqlite3_bind_blob(s, i, p, sizeof(struct id), SQLITE_STATIC) : sqlite3_bind_null(s, i);
        case 'h':
                return sqlite3_bind_blob(s, i, va_arg(*ap, const struct sha256 *), sizeof(struct sha256),
                                         SQLITE_STATIC);
        case 'b':
                p = va_arg(*ap, const void *);
                n = va_arg(*ap, size_t);
                return n ? sqlite3_bind_blob64(s, i, p, n, SQLITE_STATIC) : sqlite3_bind_zeroblob(s, i, 0);
        default:
                assert(!"unknown letter");
                return SQLITE_MISUSE;
        }
}

static sqlite3_stmt *query(struct conn *db, struct err *e, const char *sql, const char *fmt, va_list *ap)
{
        sqlite3_stmt *s = prepared(db, sql, e);
        int rc = SQLITE_OK, i;

        if (!s)
                return NULL;
        assert((int)strlen(fmt) == sqlite3_bind_parameter_count(s));
        for (i = 0; fmt[i] && rc == SQLITE_OK; i++)
                rc = bind_one(s, i + 1, fmt[i], ap);
        if (rc == SQLITE_OK)
                return s;
        db_error(db, rc, e);
        db_end(s);
        return NULL;
}

sqlite3_stmt *db_query(struct conn *db, struct err *e, const char *sql, const char *fmt, ...)
{
        va_list ap;
        sqlite3_stmt *s;

        va_start(ap, fmt);
        s = query(db, e, sql, fmt, &ap);
        va_end(ap);
        return s;
}

int db_step(struct conn *db, sqlite3_stmt *s, struct err *e)
{
        int rc = sqlite3_step(s);

        if (rc == SQLITE_ROW)
                return 1;
        if (rc != SQLITE_DONE)
                db_error(db, rc, e); /* before the reset, which may change the message */
        db_end(s);
        return rc == SQLITE_DONE ? 0 : -1;
}

void db_end(sqlite3_stmt *s)
{
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
}

int db_run(struct conn *db, struct err *e, const char *sql, const char *fmt, ...)
{
        va_list ap;
        sqlite3_stmt *s;
        int rc;

        va_start(ap, fmt);
        s = query(db, e, sql, fmt, &ap);
        va_end(ap);
        if (!s)
                return -1;
        while ((rc = db_step(db, s, e)) > 0)
                ;
        return rc;
}

int64_t db_changes(struct conn *db)
{
        return sqlite3_changes64(db->h);
}

int db_int(struct conn *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...)
{
        va_list ap;
        sqlite3_stmt *s;
        int rc;

        va_start(ap, fmt);
        s = query(db, e, sql, fmt, &ap);
        va_end(ap);
        if (!s)
                return -1;
        rc = db_step(db, s, e);
        if (rc <= 0)
                return rc;
        if (col_null(s, 0))
                rc = 0;
        else
                *out = sqlite3_column_int64(s, 0);
        db_end(s);
        return rc;
}

struct id col_id(sqlite3_stmt *s, int i)
{
        struct id id = {{0}};
        const void *p = sqlite3_column_blob(s, i);

        if (p && sqlite3_column_bytes(s, i) == (int)sizeof(id))
                memcpy(&id, p, sizeof(id));
        return id;
}

struct sha256 col_sha(sqlite3_stmt *s, int i)
{
        struct sha256 h = {{0}};
        const void *p = sqlite3_column_blob(s, i);

        if (p && sqlite3_column_bytes(s, i) == (int)sizeof(h))
                memcpy(&h, p, sizeof(h));
        return h;
}

const char *col_text(struct arena *a, sqlite3_stmt *s, int i, bool *ok)
{
        const char *p, *copy;

        if (col_null(s, i))
                return NULL;
        p = (const char *)sqlite3_column_text(s, i);
        copy = p ? arena_strndup(a, (struct span){p, (size_t)sqlite3_column_bytes(s, i)}) : NULL;
        if (!copy)
                *ok = false;
        return copy;
}
