-- SPDX-License-Identifier: Apache-2.0
-- The first tables. Public ids are 16-byte UUIDv7 blobs; n is the small number
-- that rows refer to each other by. Times are microseconds since 1970 UTC, 0
-- where there is none. Enums are the numbers of src/model/model.h.

CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Goes up in each transaction that changes a vector; the vector cache carries it.
INSERT INTO meta (key, value) VALUES ('epoch', 0);

CREATE TABLE object (
        sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
        size INTEGER NOT NULL,
        created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        owner TEXT NOT NULL,
        comments TEXT,
        status INTEGER NOT NULL,
        queued INTEGER NOT NULL CHECK (queued >= 0),
        processing INTEGER NOT NULL CHECK (processing >= 0),
        done INTEGER NOT NULL CHECK (done >= 0),
        failed INTEGER NOT NULL CHECK (failed >= 0),
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        completed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX job_created ON job (created);
CREATE INDEX job_owner ON job (owner, created);
CREATE INDEX job_status ON job (status, created);

CREATE TABLE cluster (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        name_fold TEXT NOT NULL,
        status INTEGER NOT NULL,
        threshold REAL NOT NULL,
        locked INTEGER NOT NULL DEFAULT 0,
        touched INTEGER NOT NULL DEFAULT 0,
        named INTEGER NOT NULL DEFAULT 0,
        count INTEGER NOT NULL DEFAULT 0 CHECK (count >= 0),
        version INTEGER NOT NULL DEFAULT 1,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        UNIQUE (owner, name_fold)
) STRICT;
CREATE INDEX cluster_name ON cluster (name_fold);
CREATE INDEX cluster_created ON cluster (created);

-- Never a chain: a merge rewrites the aliases of what disappears.
CREATE TABLE cluster_alias (
        id BLOB PRIMARY KEY CHECK (length(id) = 16),
        target BLOB NOT NULL REFERENCES cluster (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX cluster_alias_target ON cluster_alias (target);

CREATE TABLE asset (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        job INTEGER NOT NULL REFERENCES job (n),
        position INTEGER NOT NULL,
        owner TEXT NOT NULL,
        kind INTEGER NOT NULL,
        type INTEGER NOT NULL,
        status INTEGER NOT NULL,
        stage TEXT NOT NULL,
        error TEXT,
        error_code TEXT,
        filename TEXT NOT NULL,
        name_fold TEXT NOT NULL,
        content_type TEXT NOT NULL,
        comments TEXT,
        sha256 BLOB NOT NULL REFERENCES object (sha256),
        size INTEGER NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        trashed INTEGER NOT NULL DEFAULT 0,
        metadata TEXT,
        note TEXT,
        cluster BLOB REFERENCES cluster (id),
        pinned INTEGER NOT NULL DEFAULT 0,
        similarity REAL,
        duplicate_of BLOB,
        phash INTEGER
) STRICT;
CREATE INDEX asset_job ON asset (job, position);
CREATE INDEX asset_object ON asset (sha256);
CREATE INDEX asset_created ON asset (created) WHERE trashed = 0;
CREATE INDEX asset_owner ON asset (owner, created) WHERE trashed = 0;
CREATE INDEX asset_name ON asset (name_fold, n, trashed) WHERE trashed = 0; -- covering for short substrings
CREATE INDEX asset_size ON asset (size) WHERE trashed = 0;
CREATE INDEX asset_cluster ON asset (cluster, created) WHERE cluster IS NOT NULL;
-- The constant columns at the end make it covering: it is counted every few seconds.
CREATE INDEX asset_unsorted ON asset (owner, created, cluster, kind, trashed)
        WHERE cluster IS NULL AND kind = 0 AND trashed = 0;
CREATE INDEX asset_trash ON asset (trashed) WHERE trashed > 0;

-- How many assets of each sort there are; status 4 is the trash. Kept by the
-- functions that change a status, so that totals need no scan. Objects are
-- counted here too: owner '', kind -1.
CREATE TABLE counter (
        owner TEXT NOT NULL,
        kind INTEGER NOT NULL,
        status INTEGER NOT NULL,
        count INTEGER NOT NULL CHECK (count >= 0),
        bytes INTEGER NOT NULL CHECK (bytes >= 0),
        PRIMARY KEY (owner, kind, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        asset INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        type INTEGER NOT NULL,
        state INTEGER NOT NULL,
        run_after INTEGER NOT NULL,
        token INTEGER NOT NULL DEFAULT 0,
        worker TEXT,
        lease_until INTEGER NOT NULL DEFAULT 0,
        deliveries INTEGER NOT NULL DEFAULT 0,
        errors INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        stage TEXT,
        code TEXT,
        error TEXT,
        input_fault INTEGER NOT NULL DEFAULT 0,
        first_failed INTEGER NOT NULL DEFAULT 0,
        last_failed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX task_asset ON task (asset);
CREATE INDEX task_ready ON task (type, run_after, n, state) WHERE state = 0;
CREATE INDEX task_leased ON task (lease_until, type, state) WHERE state = 1;
CREATE INDEX task_dead ON task (last_failed) WHERE state = 3;

CREATE TABLE task_error (
        n INTEGER PRIMARY KEY,
        task INTEGER NOT NULL REFERENCES task (n) ON DELETE CASCADE,
        at INTEGER NOT NULL,
        stage TEXT NOT NULL,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        crash INTEGER NOT NULL
) STRICT;
CREATE INDEX task_error_task ON task_error (task);

CREATE TABLE model (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        dim INTEGER NOT NULL
) STRICT;

-- vec: dim little-endian f32, unit length.
CREATE TABLE embedding (
        n INTEGER PRIMARY KEY,
        asset INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES model (n),
        vec BLOB NOT NULL,
        UNIQUE (asset, model)
) STRICT;
CREATE INDEX embedding_model ON embedding (model, asset);

-- The sum of the vectors of a folder's members that are not in the trash.
CREATE TABLE cluster_prototype (
        n INTEGER PRIMARY KEY,
        cluster BLOB NOT NULL REFERENCES cluster (id) ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES model (n),
        count INTEGER NOT NULL CHECK (count >= 0),
        sum BLOB NOT NULL,
        UNIQUE (cluster, model)
) STRICT;

CREATE TABLE tag (
        n INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        fold TEXT NOT NULL
) STRICT;
CREATE INDEX tag_fold ON tag (fold);

CREATE TABLE asset_tag (
        asset INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        tag INTEGER NOT NULL REFERENCES tag (n),
        source INTEGER NOT NULL,
        confidence REAL NOT NULL,
        PRIMARY KEY (asset, tag, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX asset_tag_tag ON asset_tag (tag, asset);

-- Both directions are stored.
CREATE TABLE near_duplicate (
        asset INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        other INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        distance INTEGER NOT NULL,
        PRIMARY KEY (asset, other)
) STRICT, WITHOUT ROWID;
CREATE INDEX near_duplicate_other ON near_duplicate (other);

-- Each perceptual hash four times, by each of its 16-bit quarters: two hashes at
-- a distance below 4(r+1) have a quarter in which they differ in at most r bits.
CREATE TABLE phash_band (
        owner TEXT NOT NULL,
        band INTEGER NOT NULL,
        value INTEGER NOT NULL,
        asset INTEGER NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        phash INTEGER NOT NULL,
        PRIMARY KEY (owner, band, value, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX phash_band_asset ON phash_band (asset);

CREATE TABLE step_result (
        n INTEGER PRIMARY KEY,
        object BLOB NOT NULL REFERENCES object (sha256) ON DELETE CASCADE,
        step TEXT NOT NULL,
        version TEXT NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (object, step, version)
) STRICT;

-- What happened to an asset; only ever added to, and kept when the asset is gone.
CREATE TABLE lineage (
        n INTEGER PRIMARY KEY,
        asset INTEGER NOT NULL,
        at INTEGER NOT NULL,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        detail TEXT
) STRICT;
CREATE INDEX lineage_asset ON lineage (asset);

-- What can be shown and undone: detail is a JSON object, the items say who was where.
CREATE TABLE operation (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        owner TEXT NOT NULL,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL,
        cluster BLOB,
        detail TEXT,
        undone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX operation_owner ON operation (owner, at);
CREATE TABLE operation_item (
        operation INTEGER NOT NULL REFERENCES operation (n) ON DELETE CASCADE,
        asset INTEGER NOT NULL,
        before_cluster BLOB,
        before_pinned INTEGER NOT NULL,
        before_similarity REAL,
        after_cluster BLOB,
        PRIMARY KEY (operation, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
        owner TEXT NOT NULL,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        hash BLOB NOT NULL,
        job BLOB NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        assets BLOB NOT NULL,
        duplicates BLOB NOT NULL,
        PRIMARY KEY (owner, scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires);

-- What is searchable of an asset, as it was last indexed. The indexes hold no
-- text of their own: a change tells them the old text from here.
CREATE TABLE asset_text (
        n INTEGER PRIMARY KEY,
        filename TEXT NOT NULL,
        tags TEXT NOT NULL,
        text TEXT NOT NULL,
        name_fold TEXT NOT NULL
) STRICT;
CREATE VIRTUAL TABLE asset_fts USING fts5 (
        filename, tags, text,
        content = 'asset_text', content_rowid = 'n',
        tokenize = 'unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE name_fts USING fts5 (
        name_fold,
        content = 'asset_text', content_rowid = 'n',
        tokenize = 'trigram case_sensitive 1'
);
