-- SPDX-License-Identifier: Apache-2.0
-- What of an asset is found by itself: the whole of it, a frame, a page, a chunk of text, a row. kind is an enum part_kind;
-- position counts the parts of one kind. Vectors belong to parts.
-- alone
-- touches: embedding
CREATE TABLE part (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        asset bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        kind integer NOT NULL,
        position integer NOT NULL,
        time_us bigint,     -- of a frame
        page integer,       -- of a page or a chunk, from 1 on
        text_offset bigint, -- of a chunk: bytes of text before it
        text text,          -- found by its words
        words tsvector,     -- those words, cut by the program as in asset_text
        UNIQUE (asset, kind, position)
);
-- None of these costs anything for assets that have but their whole.
CREATE INDEX part_wordless ON part (n) WHERE text IS NOT NULL AND words IS NULL; -- what a copy has brought
CREATE INDEX part_derived ON part (n) WHERE kind > 0;
CREATE INDEX part_words ON part USING gin (words) WHERE words IS NOT NULL;

-- A whole has its asset's number here, so that no vector is written anew and no index of vectors built anew.
INSERT INTO part (n, asset, kind, position) OVERRIDING SYSTEM VALUE
SELECT DISTINCT asset, asset, 0, 0 FROM embedding;
SELECT setval(pg_get_serial_sequence('part', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM part), false);
ALTER TABLE embedding DROP CONSTRAINT embedding_asset_fkey;
ALTER TABLE embedding RENAME COLUMN asset TO part;
ALTER TABLE embedding ADD COLUMN part_kind integer NOT NULL DEFAULT 0; -- repeated like owner, kind and cluster
ALTER TABLE embedding ADD FOREIGN KEY (part) REFERENCES part (n) ON DELETE CASCADE;
ANALYZE part;
