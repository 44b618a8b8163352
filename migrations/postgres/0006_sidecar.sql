-- What has changed and is not in its sidecar yet. kind: 0 an asset, 1 a folder, 2 the catalog (its id is nil). at: since
-- when it waits; change: another number with each change, so that whoever wrote the sidecar takes away no later mark.
CREATE TABLE sidecar_mark (
        kind integer NOT NULL,
        id uuid NOT NULL,
        at bigint NOT NULL,
        change bigint NOT NULL,
        PRIMARY KEY (kind, id)
);
-- What an earlier version has written has no sidecar.
INSERT INTO sidecar_mark (kind, id, at, change) SELECT 0, id, updated, 0 FROM asset;
INSERT INTO sidecar_mark (kind, id, at, change) SELECT 1, id, updated, 0 FROM cluster;
INSERT INTO sidecar_mark (kind, id, at, change)
SELECT 2, '00000000-0000-0000-0000-000000000000', max(created), 0 FROM api_key HAVING count(*) > 0;

-- A rebuild under way: a row as long as it is not over, and what was found in the storage. kind as above, key the id; 3:
-- an object, by its hash. done: it is in the catalog.
CREATE TABLE rebuild (
        begun bigint NOT NULL
);
CREATE TABLE rebuild_item (
        kind integer NOT NULL,
        key bytea NOT NULL,
        size bigint NOT NULL,
        done integer NOT NULL DEFAULT 0,
        PRIMARY KEY (kind, key)
);
