-- What a task is for: the numbers of enum task_purpose, 0 to analyse. An asset has at most one task of each purpose,
-- whether it waits, was done or is dead. No version made two; of any there are the one furthest from its end stays.
ALTER TABLE task ADD COLUMN purpose integer NOT NULL DEFAULT 0;
DELETE FROM task WHERE n IN (SELECT n FROM (SELECT n, row_number() OVER (PARTITION BY asset ORDER BY CASE state
        WHEN 1 THEN 0 WHEN 0 THEN 1 WHEN 3 THEN 2 ELSE 3 END, n DESC) AS place FROM task WHERE asset IN
        (SELECT asset FROM task GROUP BY asset HAVING count(*) > 1)) AS several WHERE place > 1);
DROP INDEX task_asset;
CREATE UNIQUE INDEX task_asset ON task (asset, purpose);
DROP INDEX task_ready;
CREATE INDEX task_ready ON task (purpose, type, run_after, n) WHERE state = 0;
