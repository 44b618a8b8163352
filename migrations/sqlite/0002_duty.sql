-- What one instance at a time does for all of them (here there is but one). Times are microseconds.
CREATE TABLE duty (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        until INTEGER NOT NULL, -- the holder's lease; 0 when it is through
        done INTEGER NOT NULL   -- when somebody was last through with it
) STRICT, WITHOUT ROWID;
