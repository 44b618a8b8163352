-- SPDX-License-Identifier: Apache-2.0
-- What was made of an object and lies beside it in the storage: names in order, with a blank between two.
-- touches: object
ALTER TABLE object ADD COLUMN products TEXT NOT NULL DEFAULT '';
-- Pictures that an earlier version understood have these two, also while they wait to be analysed once more and when
-- that failed or their bytes were lost since.
UPDATE object SET products = 'preview.jpg thumb.webp' WHERE EXISTS (SELECT 1 FROM asset a WHERE a.sha256 =
        object.sha256 AND a.type = 0 AND a.phash IS NOT NULL);
