-- Keys of the API. A row stays when its key is revoked: it tells who made it and who ended it, and as long
-- as there is one row the API asks for keys. Times are microseconds, 0 where there is none.
CREATE TABLE api_key (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        name text NOT NULL,
        prefix text COLLATE "C" NOT NULL UNIQUE,
        hash bytea NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the whole key
        scope integer NOT NULL,
        owner text COLLATE "C", -- NULL: bound to none
        created bigint NOT NULL,
        created_by text NOT NULL,
        expires bigint NOT NULL DEFAULT 0,
        last_used bigint NOT NULL DEFAULT 0,
        revoked bigint NOT NULL DEFAULT 0,
        revoked_by text
);

-- Browsers that exchanged a key for a cookie. Of the cookie only the SHA-256 is kept.
CREATE TABLE session (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
        api_key bigint REFERENCES api_key (n) ON DELETE CASCADE, -- NULL: of API_KEY
        proof bytea CHECK (length(proof) = 32), -- HMAC-SHA256 of API_KEY by the cookie, where api_key is NULL
        expires bigint NOT NULL
);
CREATE INDEX session_key ON session (api_key);
CREATE INDEX session_expires ON session (expires);
