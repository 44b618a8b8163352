/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptions of the catalog's tables: their columns, what these refer to, whose the rows are, and what a copy, a
 * backup, a check and a rebuild do with a table. A new table or column is one row in keep_catalog_tables.c; a test
 * compares the rows with the tables that the migrations create.
 */
#ifndef FA_KEEP_CATALOG_TABLES_H
#define FA_KEEP_CATALOG_TABLES_H

enum table_engine { IN_SQLITE = 1, IN_POSTGRES = 2, IN_BOTH = 3 };

/* What a check does with a row that refers to a missing row. */
enum table_orphan {
        ORPHAN_DELETED, /* the row means nothing without its target */
        ORPHAN_CLEARED, /* the reference becomes NULL */
        ORPHAN_TOLD,    /* reported only: the right value cannot be known */
        ORPHAN_OTHERS,  /* left to another check, since more depends on the row */
};

struct table_column {
        const char *name; /* NULL ends the columns */
        /*
         * i integer, l bigint, d double precision, t text, u uuid, b bytea, w tsvector, h halfvec (of f32 numbers in
         * SQLite), v vector (the direction of f32 numbers, NULL when they have none). In SQLite i and l are INTEGER,
         * d is REAL, t TEXT, the others are BLOB.
         */
        char type;
        enum table_engine engines;
        const char *why;         /* why the column is not copied with its table; NULL: it is */
        const char *sqlite;      /* the expression that stands for it there, over its row x; NULL: its name */
        const char *table, *key; /* the table and column that it refers to; NULL: no reference that a check follows */
        enum table_orphan orphan;
};

enum table_flags {
        TABLE_COPIED = 1,    /* copied by "migrate copy" */
        TABLE_BACKED_UP = 2, /* a backup of PostgreSQL has a file for it; one of SQLite contains every table */
        TABLE_REBUILT = 4,   /* a rebuild from the sidecars and the storage restores its rows */
        TABLE_TELLS = 8,     /* while it has rows, the catalog counts as in use, and no rebuild begins */
        TABLE_TRIED = 16,    /* a server started only for a trial leaves rows in it, which a copy deletes */
};

struct table {
        const char *name;
        const struct table_column *columns; /* those that are copied, in the order of the copy */
        const char *key;                    /* unique key, by which a copy is ordered; NULL: not needed */
        /*
         * The column that holds the owner, or that refers to the row which has the owner. NULL: the rows have no
         * owner.
         */
        const char *owner;
        unsigned flags;
        enum table_engine engines;
        const char *why;    /* why the table is not copied; NULL: it is */
        const char *sqlite; /* what is read in its place in SQLite, with the alias x; NULL: the table of that name */
};
extern const struct table catalog_tables[]; /* each table after those it refers to; name NULL ends them */

#endif
