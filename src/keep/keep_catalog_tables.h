/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tables of the catalog are: their columns, what these refer to, whose
 * the rows are, and what becomes of a table when a catalog is copied, backed up,
 * checked or rebuilt. A new table or column is one row in catalog_tables.c; a
 * test compares the rows with the tables that the migrations make.
 */
#ifndef FA_KEEP_CATALOG_TABLES_H
#define FA_KEEP_CATALOG_TABLES_H

enum table_engine { IN_SQLITE = 1, IN_POSTGRES = 2, IN_BOTH = 3 };

/* What a check does with a row that refers to something that is not there. */
enum table_orphan {
        ORPHAN_DELETED, /* it says nothing without that */
        ORPHAN_CLEARED, /* the reference becomes NULL */
        ORPHAN_TOLD,    /* nobody can tell what would be right */
        ORPHAN_OTHERS,  /* nothing: another check looks for it, since more goes with the row */
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
        const char *why;         /* it is not copied with its table, because; NULL: it is */
        const char *sqlite;      /* the expression that stands for it there, over its row x; NULL: its name */
        const char *table, *key; /* what it refers to, by which column; NULL: nothing that a check looks for */
        enum table_orphan orphan;
};

enum table_flags {
        TABLE_COPIED = 1,    /* "migrate copy" copies it */
        TABLE_BACKED_UP = 2, /* a backup of PostgreSQL has a file of it; one of SQLite has everything */
        TABLE_REBUILT = 4,   /* a rebuild from the sidecars and the storage makes its rows again */
        TABLE_TELLS = 8,     /* while it has rows the catalog is in use, and no rebuild begins in it */
        TABLE_TRIED = 16,    /* a server that was only tried leaves rows in it, which a copy takes for none */
};

struct table {
        const char *name;
        const struct table_column *columns; /* those that are copied, in the order of the copy */
        const char *key;                    /* unique; a copy is ordered by it. NULL: nobody asks for it */
        /* The column that holds the owner, or the one that refers to the row whose owner it is. NULL: no owner's. */
        const char *owner;
        unsigned flags;
        enum table_engine engines;
        const char *why;    /* it is not copied, because; NULL: it is */
        const char *sqlite; /* what is read instead of it there, with the alias x; NULL: the table of that name */
};
extern const struct table catalog_tables[]; /* each after those it refers to; name NULL ends them */

#endif
