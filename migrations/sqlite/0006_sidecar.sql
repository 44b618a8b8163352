-- What has changed and is not in its sidecar yet. kind: 0 an asset, 1 a folder, 2 the catalog (its id is nil). at: since
-- when it waits; change: another number with each change, so that whoever wrote the sidecar takes away no later mark.
CREATE TABLE sidecar_mark (
        kind INTEGER NOT NULL,
        id BLOB NOT NULL CHECK (length(id) = 16),
        at INTEGER NOT NULL,
        change INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
-- What an earlier version has written has no sidecar.
INSERT INTO sidecar_mark (kind, id, at, change) SELECT 0, id, updated, 0 FROM asset;
INSERT INTO sidecar_mark (kind, id, at, change) SELECT 1, id, updated, 0 FROM cluster;
INSERT INTO sidecar_mark (kind, id, at, change) SELECT 2, zeroblob(16), max(created), 0 FROM api_key HAVING count(*) > 0;

-- A rebuild under way: a row as long as it is not over, and what was found in the storage. kind as above, key the id; 3:
-- an object, by its hash. done: it is in the catalog.
CREATE TABLE rebuild (
        begun INTEGER NOT NULL
) STRICT;
CREATE TABLE rebuild_item (
        kind INTEGER NOT NULL,
        key BLOB NOT NULL,
        size INTEGER NOT NULL,
        done INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
