-- SPDX-License-Identifier: Apache-2.0
-- What of an asset is found by itself: the whole of it, a frame, a page, a chunk of text, a row. kind is an enum part_kind;
-- position counts the parts of one kind. Vectors belong to parts.
-- alone
-- touches: embedding
CREATE TABLE part (
        n INTEGER PRIMARY KEY,
        asset INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        kind INTEGER NOT NULL,
        position INTEGER NOT NULL,
        time_us INTEGER,     -- of a frame
        page INTEGER,        -- of a page or a chunk, from 1 on
        text_offset INTEGER, -- of a chunk: bytes of text before it
        text TEXT,           -- found by its words
        UNIQUE (asset, kind, position)
) STRICT;
-- Neither costs anything for assets that have but their whole.
CREATE INDEX part_text ON part (n) WHERE text IS NOT NULL;
CREATE INDEX part_derived ON part (n) WHERE kind > 0;

-- The words of text parts, without a copy of the text. What is indexed stands in part_fts_docsize; who deletes a part
-- takes its words out before.
CREATE VIEW part_text_view AS SELECT n, text FROM part WHERE text IS NOT NULL;
CREATE VIRTUAL TABLE part_fts USING fts5 (
        text,
        content = 'part_text_view', content_rowid = 'n',
        tokenize = 'unicode61 remove_diacritics 2'
);

-- A whole has its asset's number here, so that no vector is written anew: the column changes its name and what it
-- refers to. Only the text of the schema says that, hence this way of SQLite's documentation for such changes.
INSERT INTO part (n, asset, kind, position) SELECT DISTINCT asset, asset, 0, 0 FROM embedding ORDER BY asset;
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'REFERENCES asset (n)', 'REFERENCES part (n)')
WHERE type = 'table' AND name = 'embedding';
PRAGMA writable_schema = OFF;
ALTER TABLE embedding RENAME COLUMN asset TO part;
