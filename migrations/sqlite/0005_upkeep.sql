-- SPDX-License-Identifier: Apache-2.0
-- touches: object
-- Keeping an installation for years: objects that no asset refers to any more, and what reading them again tells.
ALTER TABLE object ADD COLUMN orphaned INTEGER NOT NULL DEFAULT 0;   -- since when no asset refers to it; 0: one does
ALTER TABLE object ADD COLUMN collecting INTEGER NOT NULL DEFAULT 0; -- until when its collector may remove the bytes; 0: there is none
ALTER TABLE object ADD COLUMN scrubbed INTEGER NOT NULL DEFAULT 0;   -- when its bytes were last hashed; 0: to be read next
ALTER TABLE object ADD COLUMN bad TEXT;                              -- what was wrong with them then
ALTER TABLE object ADD COLUMN bad_since INTEGER NOT NULL DEFAULT 0;
UPDATE object SET scrubbed = created;
CREATE INDEX object_orphaned ON object (orphaned) WHERE orphaned > 0;
CREATE INDEX object_scrubbed ON object (scrubbed);
CREATE INDEX object_bad ON object (bad_since) WHERE bad_since > 0;

-- The pass of the scrubber that is under way, and the last one. One row.
CREATE TABLE scrub (
        n INTEGER PRIMARY KEY CHECK (n = 1),
        began INTEGER NOT NULL DEFAULT 0,  -- objects not read since then belong to it; 0: none was ever begun
        hurry INTEGER NOT NULL DEFAULT 0,  -- 1: somebody asked for it, it is not spread over days
        objects INTEGER NOT NULL DEFAULT 0, -- read so far, and their bytes
        bytes INTEGER NOT NULL DEFAULT 0,
        bad INTEGER NOT NULL DEFAULT 0,
        finished INTEGER NOT NULL DEFAULT 0, -- the last pass that came to its end
        last_began INTEGER NOT NULL DEFAULT 0,
        last_objects INTEGER NOT NULL DEFAULT 0,
        last_bytes INTEGER NOT NULL DEFAULT 0,
        last_bad INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO scrub (n) VALUES (1);
