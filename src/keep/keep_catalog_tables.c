/* SPDX-License-Identifier: Apache-2.0 */
#include "keep/keep_catalog_tables.h"

#include <stddef.h>

#define COLUMN(letter, column)                                                                                         \
        {                                                                                                              \
                .name = #column, .type = letter, .engines = IN_BOTH                                                    \
        }
#define INT(column)   COLUMN('i', column)
#define LONG(column)  COLUMN('l', column)
#define REAL(column)  COLUMN('d', column)
#define TEXT(column)  COLUMN('t', column)
#define UUID(column)  COLUMN('u', column)
#define BYTES(column) COLUMN('b', column)
/* It refers to a row of another table, and what a check does when that is missing. */
#define REFERS(letter, column, target, target_key, what)                                                               \
        {                                                                                                              \
                .name = #column, .type = letter, .engines = IN_BOTH, .table = #target, .key = #target_key,             \
                .orphan = ORPHAN_##what                                                                                \
        }
/* Only PostgreSQL has it, and its values are made out of what SQLite has. */
#define REPEATS(letter, column, expression)                                                                            \
        {                                                                                                              \
                .name = #column, .type = letter, .engines = IN_POSTGRES, .sqlite = expression                          \
        }
/* One engine has it for itself. */
#define OWN(letter, column, engine, because)                                                                           \
        {                                                                                                              \
                .name = #column, .type = letter, .engines = IN_##engine, .why = because                                \
        }
#define END                                                                                                            \
        {                                                                                                              \
                .name = NULL                                                                                           \
        }
#define COLUMNS(table) static const struct table_column table##_columns[]

/* ---- what a copy has; the order of the columns is that of its stream -------------------------------- */

COLUMNS(object) = {BYTES(sha256),  LONG(size), LONG(created),   LONG(orphaned), LONG(collecting),
                   LONG(scrubbed), TEXT(bad),  LONG(bad_since), TEXT(products), END};

COLUMNS(job) = {LONG(n),       UUID(id),         TEXT(owner), TEXT(comments), INT(status),
                LONG(queued),  LONG(processing), LONG(done),  LONG(failed),   LONG(created),
                LONG(updated), LONG(completed),  END};

COLUMNS(cluster) = {LONG(n),     UUID(id),        TEXT(owner),   TEXT(name),    TEXT(name_fold),
                    INT(status), REAL(threshold), INT(locked),   INT(touched),  INT(named),
                    LONG(count), LONG(version),   LONG(created), LONG(updated), END};

COLUMNS(cluster_alias) = {UUID(id), REFERS('u', target, cluster, id, DELETED), END};

COLUMNS(asset) = {LONG(n),
                  UUID(id),
                  REFERS('l', job, job, n, TOLD),
                  INT(position),
                  TEXT(owner),
                  INT(kind),
                  INT(type),
                  INT(status),
                  TEXT(stage),
                  TEXT(error),
                  TEXT(error_code),
                  TEXT(filename),
                  TEXT(name_fold),
                  TEXT(content_type),
                  TEXT(comments),
                  REFERS('b', sha256, object, sha256, TOLD),
                  LONG(size),
                  LONG(created),
                  LONG(updated),
                  LONG(trashed),
                  TEXT(metadata),
                  TEXT(note),
                  REFERS('u', cluster, cluster, id, CLEARED),
                  INT(pinned),
                  REAL(similarity),
                  REFERS('u', duplicate_of, asset, id, CLEARED),
                  LONG(phash),
                  END};

#define FAILED "PostgreSQL has it in task_failed"
COLUMNS(task) = {LONG(n),
                 UUID(id),
                 REFERS('l', asset, asset, n, DELETED),
                 INT(type),
                 INT(state),
                 LONG(run_after),
                 LONG(token),
                 LONG(lease_until),
                 INT(deliveries),
                 INT(errors),
                 INT(crashes),
                 TEXT(worker),
                 INT(purpose),
                 OWN('t', stage, SQLITE, FAILED),
                 OWN('t', code, SQLITE, FAILED),
                 OWN('t', error, SQLITE, FAILED),
                 OWN('i', input_fault, SQLITE, FAILED),
                 OWN('l', first_failed, SQLITE, FAILED),
                 OWN('l', last_failed, SQLITE, FAILED),
                 END};

COLUMNS(task_failed) = {{.name = "task",
                         .type = 'l',
                         .engines = IN_POSTGRES,
                         .sqlite = "x.n",
                         .table = "task",
                         .key = "n",
                         .orphan = ORPHAN_DELETED},
                        TEXT(stage),
                        TEXT(code),
                        TEXT(error),
                        INT(input_fault),
                        LONG(first_failed),
                        LONG(last_failed),
                        END};

COLUMNS(task_error) = {
        LONG(n), REFERS('l', task, task, n, DELETED), LONG(at), TEXT(stage), TEXT(code), TEXT(message), INT(crash),
        END};

COLUMNS(model) = {LONG(n), TEXT(id), INT(dim), END};

COLUMNS(part) = {LONG(n),
                 REFERS('l', asset, asset, n, DELETED),
                 INT(kind),
                 INT(position),
                 LONG(time_us),
                 INT(page),
                 LONG(text_offset),
                 TEXT(text),
                 OWN('w', words, POSTGRES, "made again from the text"),
                 END};

COLUMNS(embedding) = {REFERS('l', part, part, n, DELETED),
                      REFERS('l', model, model, n, DELETED),
                      REPEATS('b', unit, "x.vec"),
                      COLUMN('h', vec),
                      REPEATS('t', owner, "a.owner"),
                      REPEATS('i', kind, "a.kind"),
                      REPEATS('u', cluster, "a.cluster"),
                      REPEATS('i', trashed, "a.trashed > 0"),
                      REPEATS('i', part_kind, "p.kind"),
                      OWN('l', n, SQLITE, "the number of the row, which nothing refers to"),
                      END};

COLUMNS(cluster_prototype) = {LONG(n),
                              REFERS('u', cluster, cluster, id, DELETED),
                              REFERS('l', model, model, n, DELETED),
                              LONG(count),
                              BYTES(sum),
                              REPEATS('v', unit, "x.sum"),
                              END};

COLUMNS(tag) = {LONG(n), TEXT(name), TEXT(fold), END};

COLUMNS(asset_tag) = {REFERS('l', asset, asset, n, DELETED), REFERS('l', tag, tag, n, DELETED), INT(source),
                      REAL(confidence), END};

COLUMNS(asset_metadata) = {REFERS('l', asset, asset, n, DELETED), INT(source), TEXT(data), END};

COLUMNS(near_duplicate) = {REFERS('l', asset, asset, n, DELETED), REFERS('l', other, asset, n, DELETED), INT(distance),
                           END};

COLUMNS(phash_band) = {TEXT(owner), INT(band), INT(value), REFERS('l', asset, asset, n, DELETED), LONG(phash), END};

COLUMNS(step_result) = {REFERS('b', object, object, sha256, DELETED),
                        TEXT(step),
                        TEXT(version),
                        BYTES(data),
                        OWN('l', n, SQLITE, "the number of the row, which nothing refers to"),
                        END};

/* Kept when the asset is gone. */
COLUMNS(lineage) = {LONG(n), LONG(asset), LONG(at), TEXT(action), TEXT(actor), TEXT(detail), END};

/* The folder may be gone, and the assets of its items. */
COLUMNS(operation) = {LONG(n),    UUID(id),      TEXT(owner),  LONG(at),    TEXT(actor),
                      TEXT(kind), UUID(cluster), TEXT(detail), INT(undone), END};

COLUMNS(operation_item) = {REFERS('l', operation, operation, n, DELETED),
                           LONG(asset),
                           UUID(before_cluster),
                           INT(before_pinned),
                           REAL(before_similarity),
                           UUID(after_cluster),
                           END};

COLUMNS(idempotency) = {TEXT(owner),   TEXT(scope),   TEXT(key),     BYTES(hash),       UUID(job),
                        LONG(created), LONG(expires), BYTES(assets), BYTES(duplicates), END};

COLUMNS(api_key) = {
        LONG(n),       UUID(id),         TEXT(name),    TEXT(prefix),    BYTES(hash),   INT(scope),       TEXT(owner),
        LONG(created), TEXT(created_by), LONG(expires), LONG(last_used), LONG(revoked), TEXT(revoked_by), END};

/* ---- what is made again, or is the installation's own ------------------------------------------------- */

COLUMNS(counter) = {TEXT(owner), INT(kind),   INT(status), OWN('i', shard, POSTGRES, "spreads the writers"),
                    LONG(count), LONG(bytes), END};

COLUMNS(asset_text) = {REFERS('l', n, asset, n, OTHERS), /* text_left takes the words out of the index as well */
                       TEXT(filename),
                       TEXT(tags),
                       TEXT(text),
                       OWN('t', name_fold, SQLITE, "indexed by name_fts"),
                       OWN('w', words, POSTGRES, "the index itself"),
                       END};

COLUMNS(sidecar_mark) = {INT(kind), UUID(id), LONG(at), LONG(change), END};

COLUMNS(session) = {LONG(n), BYTES(hash), REFERS('l', api_key, api_key, n, DELETED), BYTES(proof), LONG(expires), END};

COLUMNS(secret) = {TEXT(name), BYTES(value), END};

COLUMNS(duty) = {TEXT(name), TEXT(holder), LONG(until), LONG(done), END};

COLUMNS(placed) = {TEXT(owner), LONG(version), END};

COLUMNS(scrub) = {INT(n),         LONG(began),      LONG(hurry),        LONG(objects),    LONG(bytes),    LONG(bad),
                  LONG(finished), LONG(last_began), LONG(last_objects), LONG(last_bytes), LONG(last_bad), END};

COLUMNS(rebuild) = {LONG(begun), END};

COLUMNS(rebuild_item) = {INT(kind), BYTES(key), LONG(size), INT(done), END};

COLUMNS(meta) = {TEXT(key), LONG(value), END};

COLUMNS(write_mark) = {UUID(id), LONG(at), END};

/* ---- the tables ------------------------------------------------------------------------------------------ */

#define KEPT  (TABLE_COPIED | TABLE_BACKED_UP)
#define AGAIN (KEPT | TABLE_REBUILT)
#define TABLE(table, its_key, its_owner, bits)                                                                         \
        {                                                                                                              \
                .name = #table, .columns = table##_columns, .key = its_key, .owner = its_owner, .flags = (bits),       \
                .engines = IN_BOTH                                                                                     \
        }
#define LOCAL(table, its_key, its_owner, bits, engine, because)                                                        \
        {                                                                                                              \
                .name = #table, .columns = table##_columns, .key = its_key, .owner = its_owner, .flags = (bits),       \
                .engines = IN_##engine, .why = because                                                                 \
        }

const struct table catalog_tables[] = {
        TABLE(object, "sha256", NULL, AGAIN | TABLE_TELLS),
        TABLE(job, "n", "owner", AGAIN | TABLE_TELLS),
        TABLE(cluster, "n", "owner", AGAIN | TABLE_TELLS),
        TABLE(cluster_alias, "id", "target", AGAIN),
        TABLE(asset, "n", "owner", AGAIN | TABLE_TELLS),
        TABLE(task, "n", "asset", AGAIN),
        {.name = "task_failed",
         .columns = task_failed_columns,
         .key = "task",
         .owner = "task",
         .flags = AGAIN,
         .engines = IN_POSTGRES,
         .sqlite = "main.task x WHERE x.code IS NOT NULL"},
        TABLE(task_error, "n", "task", AGAIN),
        TABLE(model, "n", NULL, AGAIN | TABLE_TRIED),
        TABLE(part, "n", "asset", AGAIN),
        {.name = "embedding",
         .columns = embedding_columns,
         .key = "part, model",
         .owner = "part",
         .flags = AGAIN,
         .engines = IN_BOTH,
         .sqlite = "main.embedding x JOIN main.part p ON p.n = x.part JOIN main.asset a ON a.n = p.asset"},
        TABLE(cluster_prototype, "n", "cluster", AGAIN),
        TABLE(tag, "n", NULL, AGAIN),
        TABLE(asset_tag, "asset, tag, source", "asset", AGAIN),
        TABLE(asset_metadata, "asset, source", "asset", AGAIN),
        TABLE(near_duplicate, "asset, other", "asset", AGAIN),
        TABLE(phash_band, "owner, band, value, asset", "owner", AGAIN),
        TABLE(step_result, "object, step, version", NULL, KEPT),
        TABLE(lineage, "n", NULL, AGAIN),
        TABLE(operation, "n", "owner", KEPT),
        TABLE(operation_item, "operation, asset", "operation", KEPT),
        TABLE(idempotency, "owner, scope, key", "owner", KEPT),
        TABLE(api_key, "n", "owner", KEPT | TABLE_TELLS),
        LOCAL(counter, NULL, "owner", TABLE_REBUILT | TABLE_TRIED, BOTH, "counted again"),
        LOCAL(asset_text, "n", "n", TABLE_REBUILT, BOTH, "indexed again from the assets"),
        LOCAL(sidecar_mark, "kind, id", NULL, 0, BOTH, "set again for all: there may be no sidecars where it goes"),
        LOCAL(session, "n", NULL, 0, BOTH, "browsers exchange their keys again"),
        LOCAL(secret, "name", NULL, 0, BOTH, "each catalog has its own; cursors end with it"),
        LOCAL(duty, "name", NULL, 0, BOTH, "leases among the instances at work"),
        LOCAL(placed, "owner", "owner", 0, POSTGRES, "orders placements that are under way"),
        LOCAL(scrub, "n", NULL, 0, BOTH, "a pass over this storage"),
        LOCAL(rebuild, NULL, NULL, 0, BOTH, "a rebuild that is under way"),
        LOCAL(rebuild_item, "kind, key", NULL, 0, BOTH, "a rebuild that is under way"),
        LOCAL(meta, "key", NULL, 0, SQLITE, "the age of the cached vectors beside the file"),
        LOCAL(write_mark, "id", NULL, TABLE_TRIED, POSTGRES, "tells what became of a commit without an answer"),
        {.name = NULL},
};
