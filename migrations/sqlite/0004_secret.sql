-- Random bytes of this catalog, made once. 'cursor': what pages of lists are sealed with.
CREATE TABLE secret (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL CHECK (length(value) = 32)
) STRICT;
INSERT INTO secret (name, value) VALUES ('cursor', randomblob(32));
