-- What one instance at a time does for all of them. Times are microseconds.
CREATE TABLE duty (
        name text COLLATE "C" PRIMARY KEY,
        holder text COLLATE "C" NOT NULL,
        until bigint NOT NULL, -- the holder's lease; 0 when it is through
        done bigint NOT NULL   -- when somebody was last through with it
);

-- Counts, for each owner, the placements after which another could turn out
-- differently: a folder was founded, or an asset stayed unsorted.
CREATE TABLE placed (
        owner text COLLATE "C" PRIMARY KEY,
        version bigint NOT NULL
) WITH (fillfactor = 50);
