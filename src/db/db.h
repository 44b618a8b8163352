/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database interface that all SQL of the program uses: statements, columns and transactions, the same for both
 * engines. It knows only the two tables of its own bookkeeping, schema_version and write_mark. SQL that both engines
 * accept is written once; where they differ, SQL() holds both texts side by side. What a transaction collects for its
 * end belongs to the database's owner, see db_hooks.h.
 */
#ifndef FA_DB_H
#define FA_DB_H

#include "base/base.h"

#include <string.h>

struct database; /* an open one; made by sqlite_database_open or pg_database_open */
struct driver;

enum dialect { DIALECT_SQLITE, DIALECT_POSTGRES };

struct db { /* a connection inside a transaction, used by one thread at a time; first member of an engine's own */
        const struct driver *driver;
        enum dialect dialect;
        struct wall now; /* when the transaction began: the engine's clock in a write, this process's in a read */
        unsigned shard;  /* which of several rows of a sharded counter this connection adds to */
};

struct rows { /* the result of a statement; first member of an engine's own */
        const struct driver *driver;
};

/*
 * The text for this connection's engine. NULL: that engine has nothing to do, and db_run returns 0 without running
 * anything.
 */
#define SQL(db, sqlite, postgres) ((db)->dialect == DIALECT_SQLITE ? (sqlite) : (postgres))
/* Rows that are read to be changed are locked on the engine that has more than one writer. */
#define LOCKING(db, text, lock) SQL(db, text, text " " lock)

/* PostgreSQL's clock in microseconds; in one transaction always the same. */
#define DB_NOW "(extract(epoch FROM now()) * 1000000)::bigint"
/*
 * text is a macro that takes the current time as SQL; a read compares with the engine's own clock where it has one,
 * else with ?1, which is bound to db->now.
 */
#define BY_CLOCK(db, text) SQL(db, text("?1"), text(DB_NOW))

/* ---- statements --------------------------------------------------------------------- */

/*
 * Starts a statement. It is cached as prepared under the address of its text, so sql must be a string literal. fmt
 * gives one letter for each parameter ? or ?N: i int, l int64_t, d double, t const char * (NULL → NULL), u const
 * struct id * (NULL → NULL), h const struct sha256 *, b const void * and size_t; PostgreSQL only: f const float *
 * (NULL → NULL) and size_t, for a parameter written ?::vector. The values must stay valid until the last step.
 * Returns NULL on error.
 */
struct rows *db_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
/* Returns 1 for a row, 0 at the end, -1 on error; after 0 and -1 the statement has been freed. */
int db_step(struct db *db, struct rows *s, struct err *e) MUST_CHECK;
/* Frees a statement that has not been stepped to its end. */
void db_end(struct rows *s);
/* Runs a statement to its end. Returns 0 or -1; db_changes then gives the number of rows it changed. */
int db_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
int64_t db_changes(struct db *db);
/* Reads one number from one row: returns 1, 0 when there is no row or the value is NULL, -1 on error. */
int db_int(struct db *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...) MUST_CHECK;

/* Columns of the current row. Text and bytes are valid as long as the row. */
bool col_null(const struct rows *s, int i);
int64_t col_i64(const struct rows *s, int i);
double col_f64(const struct rows *s, int i);
const char *col_str(const struct rows *s, int i); /* NULL for SQL NULL, or when memory is short */
const void *col_blob(const struct rows *s, int i);
int col_bytes(const struct rows *s, int i); /* length in bytes of a text or blob */
int col_int(const struct rows *s, int i);
uint64_t col_u64(const struct rows *s, int i);
struct wall col_wall(const struct rows *s, int i);
struct id col_id(const struct rows *s, int i);
struct sha256 col_sha(const struct rows *s, int i);
/* Copies a text into the arena; NULL stays NULL. *ok becomes false when memory is short. */
const char *col_text(struct arena *a, const struct rows *s, int i, bool *ok);

static inline const char *or_empty(const char *s)
{
        return s ? s : "";
}

/* ---- statements made of parts (db_sql.c) ------------------------------------------------ */

#define SQL_MAX   16384
#define BINDS_MAX 64
struct sql { /* a statement built from parts; values are bound, never spliced into the text */
        struct db *db;
        struct arena *arena;
        struct buf text;
        struct bind {
                char type; /* the letters of db_query: l, t, u, h, f */
                int64_t l; /* f: number of elements */
                const void *p;
        } binds[BINDS_MAX];
        size_t n;
        bool failed;
};
void sql_init(struct sql *q, struct db *db, struct arena *a);
void sql_done(struct sql *q);
void sql_put(struct sql *q, const char *text);
void sql_int(struct sql *q, const char *text, int64_t v); /* text has one ? */
void sql_text(struct sql *q, const char *text, const char *v);
void sql_id(struct sql *q, const char *text, const struct id *v);
void sql_sha(struct sql *q, const char *text, const struct sha256 *v);
void sql_vector(struct sql *q, const char *text, const float *v, size_t dim); /* PostgreSQL only */
/* Appends " AND a.kind IN (0,2)" with literal numbers, so that the planner can estimate how many rows remain. */
void sql_set(struct sql *q, const char *column, uint32_t bits);
/* Runs the statement; the caller frees the result with rows_free. Returns NULL on error. */
struct rows *sql_run(struct sql *q, struct err *e) MUST_CHECK;
void rows_free(struct rows *s); /* NULL is fine */

/* ---- transactions --------------------------------------------------------------------- */

/*
 * Returns a connection inside a read transaction: all its queries see one snapshot. NULL on error; ERR_BUSY when no
 * connection became free in time.
 */
struct db *database_read(struct database *d, struct err *e) MUST_CHECK;
void database_read_end(struct database *d, struct db *db, struct mono began);

struct tx {
        void *owner; /* the owner of the database, for its hooks */
        void *work;  /* what the hooks collect until the transaction ends */
        struct db *db;
        struct wall now; /* the connection's */
};

typedef int write_fn(struct tx *tx, void *arg, struct err *e);
/* Priorities of the writer thread: acknowledgements of uploads first, then leases and results, then bulk work. */
enum lane { LANE_ACK, LANE_RESULT, LANE_BULK, LANE_COUNT };
/*
 * Runs fn(tx, arg) as one write and returns after its commit. fn may run on another thread and more than once, so it
 * must not read back from arg what it stored there. Results in arg are valid only if 0 is returned.
 */
int database_write(struct database *d, enum lane lane, write_fn *fn, void *arg, struct err *e) MUST_CHECK;
/* Number of writes queued for the writer thread; 0 on an engine without one. */
unsigned database_writes_waiting(const struct database *d);

/* ---- the database as a whole --------------------------------------------------------------- */

struct database_state {
        unsigned pool_size, overflow, max, in_use, idle, waiting; /* overflow: open beyond pool_size; max: of both */
};
void database_state(struct database *d, struct database_state *out);
/*
 * To be called before new data is accepted. ERR_NO_SPACE when the free space on the database's volume, together with
 * unused pages inside its file, is below the minimum it was opened with. PostgreSQL manages its own space, so there
 * it always returns 0.
 */
int database_room(struct database *d, struct err *e) MUST_CHECK;
void database_close(struct database *d); /* waits for queued writes; NULL is fine */

#endif
