/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading half of a copy. Temporary views that hide the tables of the same names give the source the target's
 * shape; tasks that a killed server left leased appear as ready in them, since nobody works on them any more.
 * Everything is read in one transaction on a connection that cannot write.
 */
#include "keep/keep_copy_priv.h"
#include "keep/keep_catalog_tables.h"
#include "catalog/sqlite/sqlite.h"
#include "vector/vector.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const char begin_sql[] =
        "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA busy_timeout = 10000;"
        "BEGIN;"
        "CREATE TEMP TABLE leased AS SELECT t.asset AS asset, a.job AS job FROM main.task t JOIN main.asset a ON a.n = "
        "t.asset WHERE t.state = 1 AND t.purpose = 0";

/*
 * Leases appear given back uncounted, as by a server that stops: the SQL that replaces a column of x or (column NULL)
 * x itself. In views of the temporary schema, "main." names the tables themselves.
 */
static const struct {
        const char *table, *column, *sql;
} given_back[] = {
        {"task", "state", "iif(x.state = 1, 0, x.state)"},
        {"task", "lease_until", "iif(x.state = 1, 0, x.lease_until)"},
        {"task", "deliveries", "iif(x.state = 1, max(x.deliveries - 1, 0), x.deliveries)"},
        {"task", "worker", "iif(x.state = 1, NULL, x.worker)"},
        {"asset", "status", "iif(x.status = 1 AND x.n IN (SELECT asset FROM leased), 0, x.status)"},
        {"job", NULL, "(SELECT *, (SELECT count(*) FROM leased WHERE job = j.n) AS back FROM main.job j) x"},
        {"job", "status", "iif(x.back = 0, x.status, iif(x.processing - x.back + x.done + x.failed = 0, 0, 1))"},
        {"job", "queued", "x.queued + x.back"},
        {"job", "processing", "x.processing - x.back"},
};

struct copy_source {
        struct conn db;
        sqlite3_stmt *rows, *objects;
        const struct copy_table *table;
        int64_t origin;
        uint64_t mended;
};

/* ---- opening -------------------------------------------------------------------------- */

static int no_catalog(const char *path, const char *why, struct err *e)
{
        return err_set(e, ERR_INVALID, "%.140s is not a catalog of File Allocator: %.60s", path, why);
}

static int check_schema(struct copy_source *s, const char *path, struct err *e)
{
        sqlite3_stmt *q = NULL;
        int64_t version = 0;
        int newest = 0, rc;

        for (const struct db_migration *m = catalog_migrations_sqlite; m->version; m++)
                newest = m->version;
        rc = sqlite3_prepare_v2(s->db.h, "SELECT max(version), min(at) FROM main.schema_version", -1, &q, NULL);
        if (rc == SQLITE_ERROR)
                return no_catalog(path, "it has no table schema_version", e);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(q);
        if (rc == SQLITE_ROW) {
                version = sqlite3_column_int64(q, 0);
                s->origin = sqlite3_column_int64(q, 1);
        }
        sqlite3_finalize(q);
        if (rc == SQLITE_NOTADB)
                return no_catalog(path, "it is no SQLite file", e);
        if (rc != SQLITE_ROW)
                return db_error(&s->db, rc, e);
        if (version > newest)
                return err_set(e, ERR_CONFLICT,
                               "the source has schema version %lld, this program knows up to %d: copy it with the "
                               "program that wrote it, or a newer one",
                               (long long)version, newest);
        if (version < newest)
                return err_set(
                        e, ERR_CONFLICT,
                        "the source has schema version %lld and this program copies %d: bring it up to date with "
                        "\"file-allocator migrate\" first",
                        (long long)version, newest);
        return 0;
}

static bool same_word(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static const char *find_given_back(const struct table *t, const char *column)
{
        for (size_t i = 0; i < COUNT_OF(given_back); i++)
                if (same_word(given_back[i].table, t->name) && same_word(given_back[i].column, column))
                        return given_back[i].sql;
        return NULL;
}

/* The SQL that is read for a column; NULL: the column itself. */
static const char *expression_of(const struct table *t, const struct table_column *c)
{
        const char *back = find_given_back(t, c->name);

        return back ? back : c->sqlite;
}

static bool is_as_copied(const struct table *t)
{
        bool same = !t->sqlite && !find_given_back(t, NULL);

        for (const struct table_column *c = t->columns; c->name; c++)
                same &= !expression_of(t, c);
        return same;
}

static int make_view(struct copy_source *s, const struct table *t, struct err *e)
{
        const char *from = find_given_back(t, NULL), *between = " ";
        struct buf b;
        int rc;

        buf_init(&b, 8192);
        buf_printf(&b, "CREATE TEMP VIEW %s AS SELECT", t->name);
        for (const struct table_column *c = t->columns; c->name; c++) {
                const char *sql = expression_of(t, c);
                if (c->why)
                        continue;
                if (sql)
                        buf_printf(&b, "%s%s AS %s", between, sql, c->name);
                else
                        buf_printf(&b, "%sx.%s", between, c->name);
                between = ", ";
        }
        if (from || t->sqlite)
                buf_printf(&b, " FROM %s", from ? from : t->sqlite);
        else
                buf_printf(&b, " FROM main.%s x", t->name);
        rc = buf_failed(&b) ? SQLITE_NOMEM : sqlite3_exec(s->db.h, buf_str(&b), NULL, NULL, NULL);
        buf_done(&b);
        return rc == SQLITE_OK ? 0 : db_error(&s->db, rc, e);
}

static int make_views(struct copy_source *s, struct err *e)
{
        int rc = 0;

        for (const struct table *t = catalog_tables; t->name && rc == 0; t++)
                if ((t->flags & TABLE_COPIED) && !is_as_copied(t))
                        rc = make_view(s, t, e);
        return rc;
}

static int open_file(struct copy_source *s, const char *path, struct err *e)
{
        int rc = sqlite3_open_v2(path, &s->db.h, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

        if (rc == SQLITE_CANTOPEN && access(path, F_OK))
                return err_set(e, ERR_NOT_FOUND, "there is no catalog at %.160s", path);
        if (rc == SQLITE_OK)
                rc = sqlite3_extended_result_codes(s->db.h, 1);
        if (rc != SQLITE_OK)
                return db_error(&s->db, rc, e);
        if (check_schema(s, path, e))
                return -1;
        rc = sqlite3_exec(s->db.h, begin_sql, NULL, NULL, NULL);
        return rc == SQLITE_OK ? make_views(s, e) : db_error(&s->db, rc, e);
}

int copy_source_open(const char *path, struct copy_source **out, struct err *e)
{
        struct copy_source *s = mem_calloc(1, sizeof *s);

        if (!s)
                return err_oom(e);
        if (open_file(s, path, e)) {
                copy_source_close(s);
                return -1;
        }
        *out = s;
        return 0;
}

void copy_source_close(struct copy_source *s)
{
        if (!s)
                return;
        sqlite3_finalize(s->rows);
        sqlite3_finalize(s->objects);
        conn_close(&s->db);
        mem_free(s);
}

int64_t copy_source_origin(const struct copy_source *s)
{
        return s->origin;
}

uint64_t copy_source_mended(const struct copy_source *s)
{
        return s->mended;
}

/* ---- fields ------------------------------------------------------------------------------ */

static void put_u16(struct buf *b, uint16_t v)
{
        v = htons(v);
        buf_put(b, &v, sizeof v);
}

static void put_u32(struct buf *b, uint32_t v)
{
        v = htonl(v);
        buf_put(b, &v, sizeof v);
}

static void put_u64(struct buf *b, uint64_t v)
{
        put_u32(b, (uint32_t)(v >> 32));
        put_u32(b, (uint32_t)v);
}

static void put_float(struct buf *b, float f)
{
        uint32_t bits;

        memcpy(&bits, &f, sizeof bits);
        put_u32(b, bits);
}

/* Rounds to IEEE half precision, to nearest, ties to even, as the server's cast from vector does. */
static uint16_t half_of(float f)
{
        uint32_t bits, sign, kept, rest, tie;
        unsigned shift = 13;

        memcpy(&bits, &f, sizeof bits);
        sign = bits >> 16 & 0x8000;
        bits &= 0x7FFFFFFF;
        if (bits >= 0x47800000) /* 2^16 and more, infinity */
                return (uint16_t)(sign | 0x7C00);
        if (bits < 0x33000000) /* below half of the least subnormal */
                return (uint16_t)sign;
        if (bits < 0x38800000) { /* below 2^-14: subnormal */
                shift = 126 - (bits >> 23);
                bits = (bits & 0x7FFFFF) | 0x800000;
        } else {
                bits -= 0x38000000; /* the exponent's bias from 127 to 15 */
        }
        kept = bits >> shift;
        rest = bits & ((1U << shift) - 1);
        tie = 1U << (shift - 1);
        kept += rest > tie || (rest == tie && (kept & 1));
        return (uint16_t)(sign | kept);
}

/*
 * Length of the well-formed UTF-8 character at p; 0 when there is none, or for NUL, which PostgreSQL does not accept
 * either.
 */
static size_t char_length(const char *p, size_t n)
{
        for (size_t len = 1; len <= 4 && len <= n; len++)
                if (*p && utf8_valid((struct span){p, len}))
                        return len;
        return 0;
}

static void put_text(struct copy_source *s, struct buf *b, struct span text)
{
        size_t length_at = b->n, n;
        bool mended = false;

        if (utf8_valid(text) && !memchr(text.p, '\0', text.n)) {
                put_u32(b, (uint32_t)text.n);
                buf_put(b, text.p, text.n);
                return;
        }
        put_u32(b, 0);
        for (; text.n > 0; text.p += n, text.n -= n) {
                n = char_length(text.p, text.n);
                mended |= n == 0;
                buf_put(b, n ? text.p : "\xEF\xBF\xBD", n ? n : 3);
                n = n ? n : 1;
        }
        s->mended += mended;
        if (!buf_failed(b)) {
                uint32_t length = htonl((uint32_t)(b->n - length_at - 4));
                memcpy(b->p + length_at, &length, sizeof length);
        }
}

/* Writes f32 numbers in pgvector's binary form: dimension, zero, numbers. */
static bool put_vector(struct buf *b, struct span raw, bool half)
{
        float v[VECTOR_MAX_DIM];
        size_t dim = raw.n / sizeof(float);

        if (dim == 0 || dim > VECTOR_MAX_DIM || raw.n % sizeof(float))
                return false;
        memcpy(v, raw.p, raw.n);
        if (!half && !vec_normalise(v, dim)) {
                put_u32(b, UINT32_MAX); /* NULL */
                return true;
        }
        put_u32(b, (uint32_t)(4 + dim * (half ? 2 : 4)));
        put_u16(b, (uint16_t)dim);
        put_u16(b, 0);
        for (size_t i = 0; i < dim; i++) {
                if (half)
                        put_u16(b, half_of(v[i]));
                else
                        put_float(b, v[i]);
        }
        return true;
}

static bool put_blob(struct copy_source *s, struct buf *b, char type, struct span raw)
{
        switch (type) {
        case 't':
                put_text(s, b, raw);
                return true;
        case 'u':
                if (raw.n != sizeof(struct id))
                        return false;
                /* fall through */
        case 'b':
                put_u32(b, (uint32_t)raw.n);
                buf_put(b, raw.p, raw.n);
                return true;
        case 'h':
        case 'v':
                return put_vector(b, raw, type == 'h');
        default:
                assert(!"unknown letter");
                return false;
        }
}

/* Returns false when the value does not fit its type. */
static bool put_field(struct copy_source *s, struct buf *b, int i, char type)
{
        int64_t l;
        double d;
        uint64_t bits;

        if (sqlite3_column_type(s->rows, i) == SQLITE_NULL) {
                put_u32(b, UINT32_MAX);
                return true;
        }
        switch (type) {
        case 'i':
                l = sqlite3_column_int64(s->rows, i);
                put_u32(b, 4);
                put_u32(b, (uint32_t)l);
                return l >= INT32_MIN && l <= INT32_MAX;
        case 'l':
                put_u32(b, 8);
                put_u64(b, (uint64_t)sqlite3_column_int64(s->rows, i));
                return true;
        case 'd':
                d = sqlite3_column_double(s->rows, i);
                memcpy(&bits, &d, sizeof bits);
                put_u32(b, 8);
                put_u64(b, bits);
                return true;
        default: {
                /* The pointer is taken before the length: SQLite may have to read the value first. */
                const char *p = sqlite3_column_blob(s->rows, i);
                return put_blob(s, b, type, (struct span){p ? p : "", (size_t)sqlite3_column_bytes(s->rows, i)});
        }
        }
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int prepare_stmt(struct copy_source *s, const char *sql, sqlite3_stmt **out, struct err *e)
{
        int rc = sqlite3_prepare_v2(s->db.h, sql, -1, out, NULL);

        return rc == SQLITE_OK ? 0 : db_error(&s->db, rc, e);
}

int copy_source_table(struct copy_source *s, const struct copy_table *t, uint64_t skip, struct err *e)
{
        char sql[1024];
        int n = snprintf(sql, sizeof sql, "SELECT %s FROM %s ORDER BY %s LIMIT -1 OFFSET %llu", t->columns, t->name,
                         t->order, (unsigned long long)skip);

        assert(n > 0 && (size_t)n < sizeof sql);
        sqlite3_finalize(s->rows);
        s->rows = NULL;
        s->table = t;
        if (prepare_stmt(s, sql, &s->rows, e))
                return -1;
        assert(sqlite3_column_count(s->rows) == (int)strlen(t->types));
        return 0;
}

int copy_source_row(struct copy_source *s, struct buf *out, struct err *e)
{
        const char *types = s->table->types;
        int rc = sqlite3_step(s->rows);

        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return db_error(&s->db, rc, e);
        put_u16(out, (uint16_t)strlen(types));
        for (int i = 0; types[i]; i++)
                if (!put_field(s, out, i, types[i]))
                        return err_set(e, ERR_CORRUPT, "the source's table %s has a bad value in column %s",
                                       s->table->name, sqlite3_column_name(s->rows, i));
        if (buf_failed(out))
                return err_set(e, ERR_TOO_LARGE, "a row of the source's table %s does not fit into memory",
                               s->table->name);
        return 1;
}

int copy_source_groups(struct copy_source *s, const char *sql, copy_group_fn *fn, void *ctx, struct err *e)
{
        sqlite3_stmt *q = NULL;
        int rc = prepare_stmt(s, sql, &q, e);

        while (rc == 0 && (rc = sqlite3_step(q)) == SQLITE_ROW)
                rc = fn(ctx, (const char *)sqlite3_column_text(q, 0), (const char *)sqlite3_column_text(q, 1),
                        (uint64_t)sqlite3_column_int64(q, 2), (uint64_t)sqlite3_column_int64(q, 3), e);
        if (rc > 0)
                rc = rc == SQLITE_DONE ? 0 : db_error(&s->db, rc, e);
        sqlite3_finalize(q);
        return rc;
}

int copy_source_object(struct copy_source *s, struct sha256 *object, uint64_t *size, char *products, size_t room,
                       struct err *e)
{
        int rc;

        if (!s->objects && prepare_stmt(s, "SELECT sha256, size, products FROM object ORDER BY sha256", &s->objects, e))
                return -1;
        rc = sqlite3_step(s->objects);
        if (rc == SQLITE_ROW) {
                assert(sqlite3_column_bytes(s->objects, 0) == (int)sizeof *object); /* by a CHECK of the table */
                memcpy(object, sqlite3_column_blob(s->objects, 0), sizeof *object);
                *size = (uint64_t)sqlite3_column_int64(s->objects, 1);
                snprintf(products, room, "%s", (const char *)sqlite3_column_text(s->objects, 2));
                return 1;
        }
        sqlite3_reset(s->objects);
        return rc == SQLITE_DONE ? 0 : db_error(&s->db, rc, e);
}
