-- SPDX-License-Identifier: Apache-2.0
-- What sources other than the analysis say of an asset: a JSON object of each. What the analysis says is asset.metadata.
-- source is an enum tag_source.
CREATE TABLE asset_metadata (
        asset bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        source integer NOT NULL,
        data text NOT NULL,
        PRIMARY KEY (asset, source)
);
