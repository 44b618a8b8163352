-- SPDX-License-Identifier: Apache-2.0
-- What sources other than the analysis say of an asset: a JSON object of each. What the analysis says is asset.metadata.
-- source is an enum tag_source.
CREATE TABLE asset_metadata (
        asset INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        source INTEGER NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (asset, source)
) STRICT;
