/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections, prepared statements and the translation of SQLite's result codes. A connection belongs to one thread
 * at a time; its statements are cached as prepared under the address of their text, so a hot path never parses SQL.
 */
#include "db/sqlite/sqlite_priv.h"

/* No mmap: a read error of the disk would end the process by SIGBUS instead of returning an error. */
#define PRAGMAS                                                                                                        \
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"                              \
        "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cache_size = -4096;"                                 \
        "PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF;"

static const struct driver sqlite_driver;

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

void conn_adopt(struct conn *db, sqlite3 *h)
{
        db->h = h;
        db->base.driver = &sqlite_driver;
        db->base.dialect = DIALECT_SQLITE;
}

int conn_open(struct conn *db, const char *path, enum conn_kind kind, sqlite_functions_fn *functions, struct err *e)
{
        bool writer = kind == CONN_WRITER;
        int rc = sqlite3_open_v2(path, &db->h,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (writer ? SQLITE_OPEN_CREATE : 0),
                                 writer ? sqlite_writer_vfs() : NULL);

        if (rc == SQLITE_OK) {
                sqlite3_extended_result_codes(db->h, 1);
                sqlite3_busy_timeout(db->h, DB_BUSY_MS);
                sqlite3_db_config(db->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
                sqlite3_db_config(db->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
                rc = sqlite3_exec(db->h, PRAGMAS, NULL, NULL, NULL);
        }
        if (rc == SQLITE_OK && functions)
                rc = functions(db->h);
        if (rc == SQLITE_OK && !writer)
                rc = sqlite3_exec(db->h, "PRAGMA query_only = ON; PRAGMA cache_size = -4096", NULL, NULL, NULL);
        conn_adopt(db, db->h);
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

static struct stmt *prepared_stmt(struct conn *db, const char *sql, struct err *e)
{
        size_t i = ((uintptr_t)sql >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
        struct stmt *slot;
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
                slot->base.driver = &sqlite_driver;
                slot->sql = sql;
                db->used++;
        }
        assert(!sqlite3_stmt_busy(slot->s)); /* a statement used inside itself */
        return slot;
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

static struct rows *sqlite_query(struct db *base, struct err *e, const char *sql, const char *fmt, va_list *ap)
{
        struct conn *db = conn_of(base);
        struct stmt *s = prepared_stmt(db, sql, e);
        int rc = SQLITE_OK, i;

        if (!s)
                return NULL;
        assert((int)strlen(fmt) == sqlite3_bind_parameter_count(s->s));
        for (i = 0; fmt[i] && rc == SQLITE_OK; i++)
                rc = bind_one(s->s, i + 1, fmt[i], ap);
        if (rc == SQLITE_OK)
                return &s->base;
        db_error(db, rc, e);
        db_end(&s->base);
        return NULL;
}

static int bind_part(sqlite3_stmt *s, int i, const struct bind *b)
{
        switch (b->type) {
        case 'l':
                return sqlite3_bind_int64(s, i, b->l);
        case 't':
                return sqlite3_bind_text(s, i, b->p, -1, SQLITE_STATIC);
        case 'u':
                return sqlite3_bind_blob(s, i, b->p, sizeof(struct id), SQLITE_STATIC);
        default:
                assert(b->type == 'h');
                return sqlite3_bind_blob(s, i, b->p, sizeof(struct sha256), SQLITE_STATIC);
        }
}

static struct rows *query_binds(struct db *base, const char *sql, const struct bind *binds, size_t n, struct err *e)
{
        struct conn *db = conn_of(base);
        struct stmt *s = mem_calloc(1, sizeof *s);
        int rc;

        if (!s) {
                err_oom(e);
                return NULL;
        }
        s->base.driver = &sqlite_driver;
        rc = sqlite3_prepare_v2(db->h, sql, -1, &s->s, NULL);
        for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
                rc = bind_part(s->s, (int)i + 1, &binds[i]);
        if (rc == SQLITE_OK)
                return &s->base;
        db_error(db, rc, e);
        rows_free(&s->base);
        return NULL;
}

static sqlite3_stmt *stmt_of(const struct rows *s)
{
        return ((const struct stmt *)s)->s;
}

static void free_rows(struct rows *s)
{
        assert(!((struct stmt *)s)->sql);
        sqlite3_finalize(stmt_of(s));
        mem_free(s);
}

static void sqlite_end(struct rows *s)
{
        sqlite3_reset(stmt_of(s));
        sqlite3_clear_bindings(stmt_of(s));
}

static int sqlite_step(struct db *db, struct rows *s, struct err *e)
{
        int rc = sqlite3_step(stmt_of(s));

        if (rc == SQLITE_ROW)
                return 1;
        if (rc != SQLITE_DONE)
                db_error(conn_of(db), rc, e); /* before the reset, which may change the message */
        sqlite_end(s);
        return rc == SQLITE_DONE ? 0 : -1;
}

static int64_t sqlite_changes(struct db *db)
{
        return sqlite3_changes64(conn_of(db)->h);
}

static bool is_null(const struct rows *s, int i)
{
        return sqlite3_column_type(stmt_of(s), i) == SQLITE_NULL;
}

static int64_t column_i64(const struct rows *s, int i)
{
        return sqlite3_column_int64(stmt_of(s), i);
}

static double column_f64(const struct rows *s, int i)
{
        return sqlite3_column_double(stmt_of(s), i);
}

static const char *column_str(const struct rows *s, int i)
{
        return (const char *)sqlite3_column_text(stmt_of(s), i);
}

static const void *column_blob(const struct rows *s, int i)
{
        return sqlite3_column_blob(stmt_of(s), i);
}

static int column_bytes(const struct rows *s, int i)
{
        return sqlite3_column_bytes(stmt_of(s), i);
}

static const struct driver sqlite_driver = {
        .query = sqlite_query,
        .query_binds = query_binds,
        .rows_free = free_rows,
        .step = sqlite_step,
        .end = sqlite_end,
        .changes = sqlite_changes,
        .col_null = is_null,
        .col_i64 = column_i64,
        .col_f64 = column_f64,
        .col_str = column_str,
        .col_blob = column_blob,
        .col_bytes = column_bytes,
};
