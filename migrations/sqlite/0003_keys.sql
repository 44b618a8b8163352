-- Keys of the API. A row stays when its key is revoked: it tells who made it and who ended it, and as long
-- as there is one row the API asks for keys. Times are microseconds, 0 where there is none.
CREATE TABLE api_key (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        name TEXT NOT NULL,
        prefix TEXT NOT NULL UNIQUE,
        hash BLOB NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the whole key
        scope INTEGER NOT NULL,
        owner TEXT, -- NULL: bound to none
        created INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        expires INTEGER NOT NULL DEFAULT 0,
        last_used INTEGER NOT NULL DEFAULT 0,
        revoked INTEGER NOT NULL DEFAULT 0,
        revoked_by TEXT
) STRICT;

-- Browsers that exchanged a key for a cookie. Of the cookie only the SHA-256 is kept.
CREATE TABLE session (
        n INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
        api_key INTEGER REFERENCES api_key (n) ON DELETE CASCADE, -- NULL: of API_KEY
        proof BLOB CHECK (length(proof) = 32), -- HMAC-SHA256 of API_KEY by the cookie, where api_key is NULL
        expires INTEGER NOT NULL
) STRICT;
CREATE INDEX session_key ON session (api_key);
CREATE INDEX session_expires ON session (expires);
