/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small database interface that all SQL of the program is written on:
 * statements, columns and transactions, the same for both engines. It knows no
 * table but the two of its own bookkeeping, schema_version and write_mark. SQL
 * that both engines take stands once; where they differ, SQL() holds both texts
 * side by side. What a transaction gathers for its end is its owner's, see
 * db_hooks.h.
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
        struct wall now; /* when the transaction began: in a write by the engine's clock, in a read by ours */
        unsigned shard;  /* of what is counted in several rows */
};

struct rows { /* what a statement answers; first member of an engine's own */
        const struct driver *driver;
};

/* The text for this connection's engine. NULL: the engine needs nothing done there, and db_run does nothing. */
#define SQL(db, sqlite, postgres) ((db)->dialect == DIALECT_SQLITE ? (sqlite) : (postgres))
/* Rows that are read in order to be changed are locked where there is more than one writer. */
#define LOCKING(db, text, lock) SQL(db, text, text " " lock)

/* PostgreSQL's clock in microseconds; in one transaction always the same. */
#define DB_NOW "(extract(epoch FROM now()) * 1000000)::bigint"
/* The text, a macro of the time to compare with, of a read by the engine's clock; ?1 is bound to db->now. */
#define BY_CLOCK(db, text) SQL(db, text("?1"), text(DB_NOW))

/* ---- statements --------------------------------------------------------------------- */

/*
 * A statement, kept prepared under the address of its text: text is a literal.
 * Parameters ? or ?N are bound by fmt, one letter an argument: i int, l int64_t,
 * d double, t const char * (NULL → NULL), u const struct id * (NULL → NULL),
 * h const struct sha256 *, b const void * and size_t; PostgreSQL only: f const
 * float * (NULL → NULL) and size_t, to be cast by ?::vector. The values must
 * outlive the steps. NULL on error.
 */
struct rows *db_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
/* 1 a row, 0 the end, -1 error; the statement is free again after the latter two. */
int db_step(struct db *db, struct rows *s, struct err *e) MUST_CHECK;
/* Free a statement before its end. */
void db_end(struct rows *s);
/* Query and run to the end. 0 or -1; db_changes tells how many rows. */
int db_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
int64_t db_changes(struct db *db);
/* Query for one row with one number: 1, 0 no row, -1. NULL counts as no row. */
int db_int(struct db *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...) MUST_CHECK;

/* Columns of the row that was stepped to; text and bytes live as long as it. */
bool col_null(const struct rows *s, int i);
int64_t col_i64(const struct rows *s, int i);
double col_f64(const struct rows *s, int i);
const char *col_str(const struct rows *s, int i); /* NULL for NULL, or without memory */
const void *col_blob(const struct rows *s, int i);
int col_bytes(const struct rows *s, int i); /* of a text or blob */
int col_int(const struct rows *s, int i);
uint64_t col_u64(const struct rows *s, int i);
struct wall col_wall(const struct rows *s, int i);
struct id col_id(const struct rows *s, int i);
struct sha256 col_sha(const struct rows *s, int i);
/* Copy a text into the arena; NULL stays NULL. *ok becomes false on OOM. */
const char *col_text(struct arena *a, const struct rows *s, int i, bool *ok);

static inline const char *or_empty(const char *s)
{
        return s ? s : "";
}

/* ---- statements made of parts (db_sql.c) ------------------------------------------------ */

#define SQL_MAX   16384
#define BINDS_MAX 64
struct sql { /* values are bound, never spliced */
        struct db *db;
        struct arena *arena;
        struct buf text;
        struct bind {
                char type; /* as db_query's letters: l, t, u, h, f */
                int64_t l; /* f: how many */
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
/* " AND a.kind IN (0,2)": literally, so that the planner knows how many rows they leave. */
void sql_set(struct sql *q, const char *column, uint32_t bits);
/* Run; the caller frees the rows. NULL on error. */
struct rows *sql_run(struct sql *q, struct err *e) MUST_CHECK;
void rows_free(struct rows *s); /* NULL is fine */

/* ---- transactions --------------------------------------------------------------------- */

/* A connection inside a read transaction: all its queries see one state. NULL: ERR_BUSY after a time of waiting for
 * one, or an error. */
struct db *database_read(struct database *d, struct err *e) MUST_CHECK;
void database_read_end(struct database *d, struct db *db, struct mono began);

struct tx {
        void *owner; /* whose hooks end it */
        void *work;  /* what they gather for that */
        struct db *db;
        struct wall now; /* the connection's */
};

typedef int write_fn(struct tx *tx, void *arg, struct err *e);
/* Where one thread writes for all: acknowledgements first, then leases and results, then bulk work. */
enum lane { LANE_ACK, LANE_RESULT, LANE_BULK, LANE_COUNT };
/*
 * Runs fn(tx, arg) as one write and returns after its commit. It may run on
 * another thread and more than once, so it must not read from arg what it wrote
 * there. Whatever it wrote counts only if 0 came back.
 */
int database_write(struct database *d, enum lane lane, write_fn *fn, void *arg, struct err *e) MUST_CHECK;
/* Writes that wait for the one thread that writes for all; 0 where there is none. */
unsigned database_writes_waiting(const struct database *d);

/* ---- the database as a whole --------------------------------------------------------------- */

struct database_state {
        unsigned pool_size, overflow, max, in_use, idle, waiting; /* overflow: open past pool_size; max: ever open */
};
void database_state(struct database *d, struct database_state *out);
/*
 * Before it takes more: ERR_NO_SPACE when less than the room it was opened with
 * is left for it, on its volume and of what deleted rows have left inside the
 * file. PostgreSQL sees to its own.
 */
int database_room(struct database *d, struct err *e) MUST_CHECK;
void database_close(struct database *d); /* waits for queued writes; NULL is fine */

#endif
