/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections, prepared statements and the translation of PostgreSQL's errors. A connection belongs to one thread at
 * a time; its statements are cached as prepared under the address of their text. Values are sent in binary, always as
 * parameters with a declared type.
 */
#include "db/postgres/postgres_priv.h"

#include <arpa/inet.h>
#include <stdio.h>

#define PARAMS_MAX   BINDS_MAX
#define STATEMENT_MS "30000"
#define LOCK_MS      "10000"
#define IDLE_MS                                                                                                        \
        "8000" /* below LOCK_MS: an instance that hangs inside a transaction is cut off before those that wait give up \
                */
#define SHARDS      32
#define OID_UNKNOWN 0
#define OID_BYTEA   17
#define OID_INT8    20
#define OID_INT4    23
#define OID_TEXT    25
#define OID_FLOAT8  701
#define OID_UUID    2950

/* Settings of each session, whatever the server, role or database says. */
#define SESSION                                                                                                        \
        "SET statement_timeout = " STATEMENT_MS "; SET lock_timeout = " LOCK_MS ";"                                    \
        "SET idle_in_transaction_session_timeout = " IDLE_MS "; SET synchronous_commit = on;"                          \
        "SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on;"                  \
        "SET jit = off"

struct params {
        Oid types[PARAMS_MAX];
        const char *values[PARAMS_MAX];
        int lengths[PARAMS_MAX], formats[PARAMS_MAX];
        uint64_t numbers[PARAMS_MAX]; /* big-endian numbers that values points to */
        char *vector;                 /* a statement has at most one */
        int n;
};

static const struct driver pg_driver;

/* ---- errors ------------------------------------------------------------------------ */

static bool state_is(const char *state, const char *const *list)
{
        for (; *list; list++)
                if (strncmp(state, *list, strlen(*list)) == 0)
                        return true;
        return false;
}

static int connection_lost(struct pg_conn *db, struct err *e)
{
        db->broken = true;
        db->again = true;
        return err_set(e, ERR_UNAVAILABLE, "catalog: the connection to PostgreSQL is gone");
}

int pg_fail(struct db *base, PGresult *res, struct err *e)
{
        struct pg_conn *db = pg_of(base);
        /* Conflicts between transactions: serialization failure, deadlock, unique key, foreign key. */
        static const char *const met[] = {"40001", "40P01", "23505", "23503", NULL};
        static const char *const gone[] = {"57P", "08", NULL};
        static const char *const space[] = {"53100", NULL};
        static const char *const busy[] = {"55P03", "53", NULL};
        const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
        const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
        char what[160];
        int rc;

        snprintf(what, sizeof what, "%s", text ? text : "no answer");
        db->again = state && state_is(state, met);
        if (PQstatus(db->h) == CONNECTION_BAD || (state && state_is(state, gone)))
                rc = connection_lost(db, e);
        else if (!state)
                rc = err_set(e, ERR_OOM, "catalog: out of memory");
        else if (state_is(state, space))
                rc = err_set(e, ERR_NO_SPACE, "catalog: no space left: %s", what);
        else if (db->again || state_is(state, busy))
                rc = err_set(e, ERR_BUSY, "catalog: busy: %s", what);
        else if (strcmp(state, "57014") == 0)
                rc = err_set(e, ERR_TIMEOUT, "catalog: %s", what);
        else if (strcmp(state, "22021") == 0 || strcmp(state, "22P05") == 0)
                rc = err_set(e, ERR_INVALID, "catalog: text that is not UTF-8");
        else if (state_is(state, (const char *const[]){"58", "XX", NULL}))
                rc = err_set(e, ERR_IO, "catalog: %s", what);
        else
                rc = err_set(e, ERR_INTERNAL, "catalog: %s", what);
        PQclear(res);
        return rc;
}

/* ---- connections --------------------------------------------------------------------- */

static void no_notice(void *arg, const PGresult *res)
{
        (void)arg;
        (void)res;
}

/* libpq's message names host and user but no password; its first line is enough. */
static int connect_refused(struct pg_conn *db, struct err *e)
{
        const char *text = PQerrorMessage(db->h);
        int n = (int)strcspn(text, "\n");

        return err_set(e, ERR_UNAVAILABLE, "catalog: cannot connect to PostgreSQL: %.*s", n > 180 ? 180 : n, text);
}

struct pg_conn *pg_connect(const struct pg_login *login, struct err *e)
{
        char seconds[24];
        const char *const keys[] = {"dbname",
                                    "fallback_application_name",
                                    "client_encoding",
                                    "keepalives_idle",
                                    "keepalives_interval",
                                    "keepalives_count",
                                    "tcp_user_timeout",
                                    "connect_timeout",
                                    login->password ? "password" : NULL,
                                    NULL};
        const char *const values[] = {login->url, PG_PROGRAM, "UTF8",          "30", "10", "3",
                                      "30000",    seconds,    login->password, NULL};
        struct pg_conn *db = mem_calloc(1, sizeof *db);

        if (!db) {
                err_oom(e);
                return NULL;
        }
        snprintf(seconds, sizeof seconds, "%lld", (long long)(login->timeout.ns / 1000000000 + 2));
        db->h = PQconnectdbParams(keys, values, 1);
        if (PQstatus(db->h) != CONNECTION_OK) {
                connect_refused(db, e);
        } else {
                PQsetNoticeReceiver(db->h, no_notice, NULL);
                db->base.driver = &pg_driver;
                db->base.dialect = DIALECT_POSTGRES;
                db->base.shard = (unsigned)PQbackendPID(db->h) % SHARDS;
                if (pg_exec(&db->base, SESSION, e) == 0)
                        return db;
        }
        pg_disconnect(db);
        return NULL;
}

void pg_disconnect(struct pg_conn *db)
{
        if (!db)
                return;
        for (size_t i = 0; i < PG_STMT_SLOTS; i++)
                PQclear(db->slots[i].rows.res);
        PQfinish(db->h);
        mem_free(db);
}

char *pg_plain_url(const char *url)
{
        const char *colon = strchr(url, ':'), *plus = strchr(url, '+');
        size_t scheme, rest;
        char *out;

        if (!colon || !plus || plus > colon)
                return mem_strdup(url);
        scheme = (size_t)(plus - url);
        rest = strlen(colon);
        out = mem_alloc(scheme + rest + 1);
        if (out) {
                memcpy(out, url, scheme);
                memcpy(out + scheme, colon, rest + 1);
        }
        return out;
}

/* ---- parameters ------------------------------------------------------------------------ */

static uint64_t big_endian(uint64_t v)
{
        return (uint64_t)htonl((uint32_t)v) << 32 | htonl((uint32_t)(v >> 32));
}

static void add_param(struct params *p, Oid type, const void *value, size_t n)
{
        p->types[p->n] = type;
        p->values[p->n] = value;
        p->lengths[p->n] = (int)n;
        p->formats[p->n] = type != OID_TEXT;
        p->n++;
}

static void param_int(struct params *p, int64_t v)
{
        p->numbers[p->n] = big_endian((uint64_t)v);
        add_param(p, OID_INT8, &p->numbers[p->n], 8);
}

/* pgvector's wire form: dimension, a zero, the numbers. */
static bool param_vector(struct params *p, const float *v, size_t n)
{
        uint16_t head[2] = {htons((uint16_t)n), 0};

        if (!v) {
                add_param(p, OID_UNKNOWN, NULL, 0);
                return true;
        }
        assert(!p->vector);
        p->vector = mem_alloc(sizeof head + n * 4);
        if (!p->vector)
                return false;
        memcpy(p->vector, head, sizeof head);
        for (size_t i = 0; i < n; i++) {
                uint32_t bits;
                memcpy(&bits, &v[i], 4);
                bits = htonl(bits);
                memcpy(p->vector + sizeof head + i * 4, &bits, 4);
        }
        add_param(p, OID_UNKNOWN, p->vector, sizeof head + n * 4);
        return true;
}

static bool param_next(struct params *p, char type, va_list *ap)
{
        const void *v;
        size_t n;
        uint32_t narrow;
        double d;

        assert(p->n < PARAMS_MAX);
        switch (type) {
        case 'i':
                narrow = htonl((uint32_t)va_arg(*ap, int));
                memcpy(&p->numbers[p->n], &narrow, 4);
                add_param(p, OID_INT4, &p->numbers[p->n], 4);
                return true;
        case 'l':
                param_int(p, va_arg(*ap, int64_t));
                return true;
        case 'd':
                d = va_arg(*ap, double);
                memcpy(&p->numbers[p->n], &d, 8);
                p->numbers[p->n] = big_endian(p->numbers[p->n]);
                add_param(p, OID_FLOAT8, &p->numbers[p->n], 8);
                return true;
        case 't':
                add_param(p, OID_TEXT, va_arg(*ap, const char *), 0);
                return true;
        case 'u':
                add_param(p, OID_UUID, va_arg(*ap, const struct id *), sizeof(struct id));
                return true;
        case 'h':
                add_param(p, OID_BYTEA, va_arg(*ap, const struct sha256 *), sizeof(struct sha256));
                return true;
        case 'b':
                v = va_arg(*ap, const void *);
                n = va_arg(*ap, size_t);
                add_param(p, OID_BYTEA, n ? v : "", n);
                return true;
        case 'f':
                v = va_arg(*ap, const float *);
                return param_vector(p, v, va_arg(*ap, size_t));
        }
        assert(!"unknown letter");
        return false;
}

/* ? and ?N become $N. */
static void put_sql(struct buf *out, const char *sql)
{
        int n = 0;

        for (; *sql; sql++) {
                buf_putc(out, *sql == '?' ? '$' : *sql);
                if (*sql == '?' && (sql[1] < '0' || sql[1] > '9'))
                        buf_printf(out, "%d", ++n);
        }
}

/* ---- statements --------------------------------------------------------------------------- */

static bool has_succeeded(const PGresult *res)
{
        ExecStatusType st = PQresultStatus(res);

        return st == PGRES_TUPLES_OK || st == PGRES_COMMAND_OK;
}

static int prepare_slot(struct pg_conn *db, struct pg_slot *slot, const char *name, const struct params *p,
                        struct err *e)
{
        struct buf b;
        PGresult *res = NULL;
        int rc = 0;

        buf_init(&b, SQL_MAX);
        put_sql(&b, slot->sql);
        if (buf_failed(&b)) {
                rc = err_oom(e);
        } else {
                res = PQprepare(db->h, name, buf_str(&b), p->n, p->types);
                if (has_succeeded(res)) {
                        slot->prepared = true;
                        PQclear(res);
                } else {
                        rc = pg_fail(&db->base, res, e);
                }
        }
        buf_done(&b);
        return rc;
}

static struct pg_slot *slot_of(struct pg_conn *db, const char *sql)
{
        size_t i = ((uintptr_t)sql >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
        struct pg_slot *slot;

        for (;; i++) {
                slot = &db->slots[i % PG_STMT_SLOTS];
                if (!slot->sql || slot->sql == sql)
                        break;
        }
        if (!slot->sql) {
                assert(db->used < PG_STMT_SLOTS - 1);
                slot->sql = sql;
                slot->rows.base.driver = &pg_driver;
                slot->rows.cached = true;
                db->used++;
        }
        assert(!slot->rows.res); /* a statement used inside itself */
        return slot;
}

static void count_changes(struct pg_conn *db, PGresult *res)
{
        uint64_t n = 0;

        db->changes = span_u64(span_of(PQcmdTuples(res)), &n) ? (int64_t)n : 0;
}

static struct rows *pg_query(struct db *base, struct err *e, const char *sql, const char *fmt, va_list *ap)
{
        struct pg_conn *db = pg_of(base);
        struct params p = {.n = 0};
        struct pg_slot *slot;
        PGresult *res = NULL;
        char name[24];
        bool ok = true;

        if (db->broken) {
                connection_lost(db, e);
                return NULL;
        }
        slot = slot_of(db, sql);
        snprintf(name, sizeof name, "s%zu", (size_t)(slot - db->slots));
        for (const char *f = fmt; *f && ok; f++)
                ok = param_next(&p, *f, ap);
        if (!ok) {
                err_oom(e);
        } else if (slot->prepared || prepare_slot(db, slot, name, &p, e) == 0) {
                res = PQexecPrepared(db->h, name, p.n, p.values, p.lengths, p.formats, 1);
                if (!has_succeeded(res)) {
                        pg_fail(&db->base, res, e);
                        res = NULL;
                }
        }
        mem_free(p.vector);
        if (!res)
                return NULL;
        count_changes(db, res);
        slot->rows.res = res;
        slot->rows.row = -1;
        return &slot->rows.base;
}

static bool bind_params(struct params *p, const struct bind *binds, size_t n)
{
        assert(n <= PARAMS_MAX);
        for (size_t i = 0; i < n; i++) {
                const struct bind *b = &binds[i];
                if (b->type == 'l')
                        param_int(p, b->l);
                else if (b->type == 't')
                        add_param(p, OID_TEXT, b->p, 0);
                else if (b->type == 'u')
                        add_param(p, OID_UUID, b->p, sizeof(struct id));
                else if (b->type == 'h')
                        add_param(p, OID_BYTEA, b->p, sizeof(struct sha256));
                else if (!param_vector(p, b->p, (size_t)b->l))
                        return false;
        }
        return true;
}

static struct rows *query_binds(struct db *base, const char *sql, const struct bind *binds, size_t n, struct err *e)
{
        struct pg_conn *db = pg_of(base);
        struct params p = {.n = 0};
        struct pg_rows *s = mem_calloc(1, sizeof *s);
        struct buf b;

        buf_init(&b, SQL_MAX);
        put_sql(&b, sql);
        if (!s || buf_failed(&b) || !bind_params(&p, binds, n)) {
                err_oom(e);
        } else {
                s->base.driver = &pg_driver;
                s->row = -1;
                s->res = PQexecParams(db->h, buf_str(&b), p.n, p.types, p.values, p.lengths, p.formats, 1);
                if (!has_succeeded(s->res)) {
                        pg_fail(base, s->res, e);
                        s->res = NULL;
                }
        }
        mem_free(p.vector);
        buf_done(&b);
        if (s && s->res)
                return &s->base;
        mem_free(s);
        return NULL;
}

static void pg_end(struct rows *rows)
{
        struct pg_rows *s = (struct pg_rows *)rows;

        PQclear(s->res);
        s->res = NULL;
}

static void free_rows(struct rows *rows)
{
        assert(!((struct pg_rows *)rows)->cached);
        pg_end(rows);
        mem_free(rows);
}

static int pg_step(struct db *db, struct rows *rows, struct err *e)
{
        struct pg_rows *s = (struct pg_rows *)rows;

        (void)db;
        (void)e;
        if (s->row + 1 < PQntuples(s->res)) {
                s->row++;
                return 1;
        }
        if (s->cached)
                pg_end(rows);
        return 0;
}

static int64_t pg_changes(struct db *db)
{
        return pg_of(db)->changes;
}

int pg_exec(struct db *db, const char *sql, struct err *e)
{
        PGresult *res = PQexec(pg_of(db)->h, sql);

        if (!has_succeeded(res))
                return pg_fail(db, res, e);
        PQclear(res);
        return 0;
}

int pg_word(struct db *db, const char *sql, char *out, size_t max, struct err *e)
{
        PGresult *res = PQexec(pg_of(db)->h, sql);
        int n;

        out[0] = '\0';
        if (!has_succeeded(res))
                return pg_fail(db, res, e);
        n = PQntuples(res);
        if (n > 0)
                snprintf(out, max, "%s", PQgetvalue(res, 0, 0));
        PQclear(res);
        return n > 0;
}

static const struct driver pg_driver = {
        .query = pg_query,
        .query_binds = query_binds,
        .rows_free = free_rows,
        .step = pg_step,
        .end = pg_end,
        .changes = pg_changes,
        .col_null = pg_col_null,
        .col_i64 = pg_col_i64,
        .col_f64 = pg_col_f64,
        .col_str = pg_col_str,
        .col_blob = pg_col_blob,
        .col_bytes = pg_col_bytes,
};
