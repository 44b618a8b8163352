-- Random bytes of this catalog, made once; all instances share them. 'cursor': what pages of lists are sealed with.
CREATE TABLE secret (
        name text PRIMARY KEY,
        value bytea NOT NULL CHECK (length(value) = 32)
);
INSERT INTO secret (name, value)
VALUES ('cursor', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
