-- SPDX-License-Identifier: Apache-2.0
-- The first tables, as those of SQLite. Public ids are UUIDv7; n is the small
-- number that rows refer to each other by. Times are microseconds since 1970
-- UTC, 0 where there is none. Enums are the numbers of src/model/model.h. Text
-- is compared byte by byte (COLLATE "C"): cursors depend on it, and an upgrade
-- of the system's locales must not break an index.

-- One row a write, in its transaction: whether it is there tells what became of
-- a commit whose answer was lost. Swept after some minutes.
CREATE TABLE write_mark (
        id uuid PRIMARY KEY,
        at bigint NOT NULL
);
CREATE INDEX write_mark_at ON write_mark (at);

CREATE TABLE object (
        sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
        size bigint NOT NULL,
        created bigint NOT NULL
);

CREATE TABLE job (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        owner text COLLATE "C" NOT NULL,
        comments text,
        status integer NOT NULL,
        queued bigint NOT NULL CHECK (queued >= 0),
        processing bigint NOT NULL CHECK (processing >= 0),
        done bigint NOT NULL CHECK (done >= 0),
        failed bigint NOT NULL CHECK (failed >= 0),
        created bigint NOT NULL,
        updated bigint NOT NULL,
        completed bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX job_created ON job (created, n);
CREATE INDEX job_owner ON job (owner, created, n);
CREATE INDEX job_status ON job (status, created, n);

CREATE TABLE cluster (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        owner text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        name_fold text COLLATE "C" NOT NULL,
        status integer NOT NULL,
        threshold double precision NOT NULL,
        locked integer NOT NULL DEFAULT 0,
        touched integer NOT NULL DEFAULT 0,
        named integer NOT NULL DEFAULT 0,
        count bigint NOT NULL DEFAULT 0 CHECK (count >= 0),
        version bigint NOT NULL DEFAULT 1,
        created bigint NOT NULL,
        updated bigint NOT NULL,
        UNIQUE (owner, name_fold)
);
CREATE INDEX cluster_name ON cluster (name_fold, n);
CREATE INDEX cluster_created ON cluster (created, n);

-- Never a chain: a merge rewrites the aliases of what disappears.
CREATE TABLE cluster_alias (
        id uuid PRIMARY KEY,
        target uuid NOT NULL REFERENCES cluster (id) ON DELETE CASCADE
);
CREATE INDEX cluster_alias_target ON cluster_alias (target);

CREATE TABLE asset (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        job bigint NOT NULL REFERENCES job (n),
        position integer NOT NULL,
        owner text COLLATE "C" NOT NULL,
        kind integer NOT NULL,
        type integer NOT NULL,
        status integer NOT NULL,
        stage text NOT NULL,
        error text,
        error_code text,
        filename text COLLATE "C" NOT NULL,
        name_fold text COLLATE "C" NOT NULL,
        content_type text COLLATE "C" NOT NULL,
        comments text,
        sha256 bytea NOT NULL REFERENCES object (sha256),
        size bigint NOT NULL,
        created bigint NOT NULL,
        updated bigint NOT NULL,
        trashed bigint NOT NULL DEFAULT 0,
        metadata text,
        note text,
        cluster uuid REFERENCES cluster (id),
        pinned integer NOT NULL DEFAULT 0,
        similarity double precision,
        duplicate_of uuid,
        phash bigint
) WITH (fillfactor = 85);
CREATE INDEX asset_job ON asset (job, position);
CREATE INDEX asset_object ON asset (sha256);
CREATE INDEX asset_created ON asset (created, n) WHERE trashed = 0;
CREATE INDEX asset_owner ON asset (owner, created, n) WHERE trashed = 0;
CREATE INDEX asset_name ON asset (name_fold, n) WHERE trashed = 0;
CREATE INDEX asset_size ON asset (size, n) WHERE trashed = 0;
CREATE INDEX asset_cluster ON asset (cluster, created) WHERE cluster IS NOT NULL;
CREATE INDEX asset_unsorted ON asset (owner, created) WHERE cluster IS NULL AND kind = 0 AND trashed = 0;
CREATE INDEX asset_trash ON asset (trashed) WHERE trashed > 0;

-- Substrings of names. Trigrams come with a contrib module that the owner of a
-- database may create; without it such a search goes through the rows.
DO $$
BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX asset_name_part ON asset USING gin (name_fold gin_trgm_ops) WHERE trashed = 0;
EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'no pg_trgm: %', SQLERRM;
END
$$;

-- How many assets of each sort there are; status 4 is the trash. Objects are
-- counted here too (owner '', kind -1), and tasks that wait (kind -2). Each
-- fact is spread over shards, so that two writers seldom meet on one row; only
-- the sum over them means something, one alone may be negative.
CREATE TABLE counter (
        owner text COLLATE "C" NOT NULL,
        kind integer NOT NULL,
        status integer NOT NULL,
        shard integer NOT NULL,
        count bigint NOT NULL,
        bytes bigint NOT NULL,
        PRIMARY KEY (owner, kind, status, shard)
) WITH (fillfactor = 50);

-- Narrow, since it is the table that claims lock and update most: what a
-- failure has to tell stands in task_failed.
CREATE TABLE task (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        asset bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        type integer NOT NULL,
        state integer NOT NULL,
        run_after bigint NOT NULL,
        token bigint NOT NULL DEFAULT 0,
        lease_until bigint NOT NULL DEFAULT 0,
        deliveries integer NOT NULL DEFAULT 0,
        errors integer NOT NULL DEFAULT 0,
        crashes integer NOT NULL DEFAULT 0,
        worker text
) WITH (fillfactor = 70);
CREATE INDEX task_asset ON task (asset);
CREATE INDEX task_ready ON task (type, run_after, n) WHERE state = 0;
CREATE INDEX task_leased ON task (lease_until) WHERE state = 1;
CREATE INDEX task_dead ON task (n) WHERE state = 3;

CREATE TABLE task_failed (
        task bigint PRIMARY KEY REFERENCES task (n) ON DELETE CASCADE,
        stage text COLLATE "C" NOT NULL,
        code text NOT NULL,
        error text NOT NULL,
        input_fault integer NOT NULL,
        first_failed bigint NOT NULL,
        last_failed bigint NOT NULL
);

CREATE TABLE task_error (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        task bigint NOT NULL REFERENCES task (n) ON DELETE CASCADE,
        at bigint NOT NULL,
        stage text NOT NULL,
        code text NOT NULL,
        message text NOT NULL,
        crash integer NOT NULL
);
CREATE INDEX task_error_task ON task_error (task);

CREATE TABLE model (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text COLLATE "C" NOT NULL UNIQUE,
        dim integer NOT NULL
);

-- unit: dim little-endian f32, unit length, for exact scores and sums. vec: the
-- same in half precision, for scans and the HNSW index that each model gets of
-- its own once it has many. owner, kind, cluster and trashed repeat what the
-- asset says, so that a filtered search needs no join.
CREATE TABLE embedding (
        asset bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        model bigint NOT NULL REFERENCES model (n),
        unit bytea NOT NULL,
        vec halfvec NOT NULL,
        owner text COLLATE "C" NOT NULL,
        kind integer NOT NULL,
        cluster uuid,
        trashed integer NOT NULL,
        PRIMARY KEY (asset, model)
);
ALTER TABLE embedding ALTER COLUMN unit SET STORAGE EXTERNAL; -- noise: compressing it is lost work
CREATE INDEX embedding_model ON embedding (model, owner, kind) WHERE trashed = 0;
CREATE INDEX embedding_cluster ON embedding (cluster) WHERE cluster IS NOT NULL;

-- The sum of the vectors of a folder's members that are not in the trash, and
-- its direction (NULL when it has none).
CREATE TABLE cluster_prototype (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        cluster uuid NOT NULL REFERENCES cluster (id) ON DELETE CASCADE,
        model bigint NOT NULL REFERENCES model (n),
        count bigint NOT NULL CHECK (count >= 0),
        sum bytea NOT NULL,
        unit vector,
        UNIQUE (cluster, model)
);

CREATE TABLE tag (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        fold text COLLATE "C" NOT NULL
);
CREATE INDEX tag_fold ON tag (fold);

CREATE TABLE asset_tag (
        asset bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        tag bigint NOT NULL REFERENCES tag (n),
        source integer NOT NULL,
        confidence double precision NOT NULL,
        PRIMARY KEY (asset, tag, source)
);
CREATE INDEX asset_tag_tag ON asset_tag (tag, asset);

-- Both directions are stored.
CREATE TABLE near_duplicate (
        asset bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        other bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        distance integer NOT NULL,
        PRIMARY KEY (asset, other)
);
CREATE INDEX near_duplicate_other ON near_duplicate (other);

-- Each perceptual hash four times, by each of its 16-bit quarters: two hashes at
-- a distance below 4(r+1) have a quarter in which they differ in at most r bits.
CREATE TABLE phash_band (
        owner text COLLATE "C" NOT NULL,
        band integer NOT NULL,
        value integer NOT NULL,
        asset bigint NOT NULL REFERENCES asset (n) ON DELETE CASCADE,
        phash bigint NOT NULL,
        PRIMARY KEY (owner, band, value, asset)
);
CREATE INDEX phash_band_asset ON phash_band (asset);

CREATE TABLE step_result (
        object bytea NOT NULL REFERENCES object (sha256) ON DELETE CASCADE,
        step text COLLATE "C" NOT NULL,
        version text COLLATE "C" NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (object, step, version)
);

-- What happened to an asset; only ever added to, and kept when the asset is gone.
CREATE TABLE lineage (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        asset bigint NOT NULL,
        at bigint NOT NULL,
        action text NOT NULL,
        actor text NOT NULL,
        detail text
);
CREATE INDEX lineage_asset ON lineage (asset, n);

-- What can be shown and undone: detail is a JSON object, the items say who was where.
CREATE TABLE operation (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        owner text COLLATE "C" NOT NULL,
        at bigint NOT NULL,
        actor text NOT NULL,
        kind text NOT NULL,
        cluster uuid,
        detail text,
        undone integer NOT NULL DEFAULT 0
);
CREATE INDEX operation_owner ON operation (owner, at);
CREATE TABLE operation_item (
        operation bigint NOT NULL REFERENCES operation (n) ON DELETE CASCADE,
        asset bigint NOT NULL,
        before_cluster uuid,
        before_pinned integer NOT NULL,
        before_similarity double precision,
        after_cluster uuid,
        PRIMARY KEY (operation, asset)
);

CREATE TABLE idempotency (
        owner text COLLATE "C" NOT NULL,
        scope text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        hash bytea NOT NULL,
        job uuid NOT NULL,
        created bigint NOT NULL,
        expires bigint NOT NULL,
        assets bytea NOT NULL,
        duplicates bytea NOT NULL,
        PRIMARY KEY (owner, scope, key)
);
CREATE INDEX idempotency_expires ON idempotency (expires);

-- What is searchable of an asset, as it was last indexed. The words are cut by
-- the program, not by PostgreSQL's parser, which takes file names for hosts:
-- positions weigh A for the file name, B for tags, C for the rest.
CREATE TABLE asset_text (
        n bigint PRIMARY KEY REFERENCES asset (n) ON DELETE CASCADE,
        filename text NOT NULL,
        tags text NOT NULL,
        text text NOT NULL,
        words tsvector NOT NULL
);
CREATE INDEX asset_text_words ON asset_text USING gin (words);
