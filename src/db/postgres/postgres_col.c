/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of a result in PostgreSQL's binary format; the width of an integer follows from its length. */
#include "db/postgres/postgres_priv.h"

#include <arpa/inet.h>

#define OID_FLOAT4 700

static uint64_t read_u64(const char *p)
{
        uint32_t half[2];

        memcpy(half, p, sizeof half);
        return (uint64_t)ntohl(half[0]) << 32 | ntohl(half[1]);
}

int64_t pg_col_i64(const struct rows *rows, int i)
{
        const struct pg_rows *s = (const struct pg_rows *)rows;
        const char *p = PQgetvalue(s->res, s->row, i);
        uint32_t narrow;

        switch (PQgetlength(s->res, s->row, i)) {
        case 8:
                return (int64_t)read_u64(p);
        case 4:
                memcpy(&narrow, p, 4);
                return (int32_t)ntohl(narrow);
        case 1:
                return *p;
        default:
                return 0;
        }
}

double pg_col_f64(const struct rows *rows, int i)
{
        const struct pg_rows *s = (const struct pg_rows *)rows;
        const char *p = PQgetvalue(s->res, s->row, i);
        int n = PQgetlength(s->res, s->row, i);
        uint64_t bits;
        uint32_t narrow;
        double d = 0;
        float f;

        if (n == 8) {
                bits = read_u64(p);
                memcpy(&d, &bits, 8);
        } else if (n == 4 && PQftype(s->res, i) == OID_FLOAT4) {
                memcpy(&narrow, p, 4);
                narrow = ntohl(narrow);
                memcpy(&f, &narrow, 4);
                d = (double)f;
        }
        return d;
}

const char *pg_col_str(const struct rows *rows, int i)
{
        const struct pg_rows *s = (const struct pg_rows *)rows;
        return PQgetvalue(s->res, s->row, i);
}

const void *pg_col_blob(const struct rows *rows, int i)
{
        const struct pg_rows *s = (const struct pg_rows *)rows;
        return PQgetvalue(s->res, s->row, i);
}

int pg_col_bytes(const struct rows *rows, int i)
{
        const struct pg_rows *s = (const struct pg_rows *)rows;
        return PQgetlength(s->res, s->row, i);
}

bool pg_col_null(const struct rows *rows, int i)
{
        const struct pg_rows *s = (const struct pg_rows *)rows;
        return PQgetisnull(s->res, s->row, i) != 0;
}
