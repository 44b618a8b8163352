/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the enums and the table of legal task moves. The words are part of
 * the HTTP contract; the numbers are part of the catalog and never change.
 */
#include "model/model.h"

#include <string.h>

static const char *const kinds[KIND_COUNT] = {"media", "document", "json", "file"};
static const char *const asset_statuses[ASSET_STATUS_COUNT] = {"queued", "processing", "done", "failed"};
static const char *const types[JOB_TYPE_COUNT] = {"image", "video", "audio", "document", "json", "file"};
static const char *const purposes[PURPOSE_COUNT] = {"analyse", "enrich", "embed", "transcribe", "text"};
static const char *const states[TASK_STATE_COUNT] = {"ready", "leased", "done", "dead"};
static const char *const sources[TAG_SOURCE_COUNT] = {"human", "vlm", "zero-shot", "exif"};
static const char *const part_kinds[PART_KIND_COUNT] = {"whole", "frame", "page", "chunk", "row"};
static const char *const cluster_statuses[CLUSTER_STATUS_COUNT] = {"provisional", "active"};
static const char *const scopes[] = {"read", "write", "admin"};

/* A number outside the enum is a bug of ours: catalogs are read with checks of their own. */
static const char *name_of(const char *const *names, size_t count, unsigned i)
{
        assert(i < count);
        return names[i];
}

static bool find_name(const char *const *names, size_t count, struct span s, unsigned *out)
{
        for (size_t i = 0; i < count; i++) {
                if (span_eq(s, names[i])) {
                        *out = (unsigned)i;
                        return true;
                }
        }
        return false;
}

const char *asset_kind_name(enum asset_kind k)
{
        return name_of(kinds, COUNT_OF(kinds), k);
}

const char *asset_status_name(enum asset_status s)
{
        return name_of(asset_statuses, COUNT_OF(asset_statuses), s);
}

const char *job_type_name(enum job_type t)
{
        return name_of(types, COUNT_OF(types), t);
}

const char *task_purpose_name(enum task_purpose p)
{
        return name_of(purposes, COUNT_OF(purposes), p);
}

const char *task_label(enum task_purpose p, enum job_type t)
{
        return p == PURPOSE_ANALYSE ? job_type_name(t) : task_purpose_name(p);
}

const char *asset_task_status(enum task_state s)
{
        static const enum asset_status as[TASK_STATE_COUNT] = {[TASK_READY] = ASSET_QUEUED,
                                                               [TASK_LEASED] = ASSET_PROCESSING,
                                                               [TASK_DONE] = ASSET_DONE,
                                                               [TASK_DEAD] = ASSET_FAILED};

        assert(s < TASK_STATE_COUNT);
        return asset_status_name(as[s]);
}

uint32_t task_kind_types(uint64_t set, enum task_purpose p)
{
        return (uint32_t)(set >> ((unsigned)p * JOB_TYPE_COUNT)) & ((1u << JOB_TYPE_COUNT) - 1);
}

const char *task_state_name(enum task_state s)
{
        return name_of(states, COUNT_OF(states), s);
}

const char *tag_source_name(enum tag_source s)
{
        return name_of(sources, COUNT_OF(sources), s);
}

const char *part_kind_name(enum part_kind k)
{
        return name_of(part_kinds, COUNT_OF(part_kinds), k);
}

const char *cluster_status_name(enum cluster_status s)
{
        return name_of(cluster_statuses, COUNT_OF(cluster_statuses), s);
}

const char *key_scope_name(enum key_scope s)
{
        return name_of(scopes, COUNT_OF(scopes), (unsigned)s - KEY_READ);
}

bool key_scope_parse(struct span s, enum key_scope *out)
{
        struct span word;
        unsigned i, highest = 0;

        while (span_cut(&s, ',', &word)) {
                if (!find_name(scopes, COUNT_OF(scopes), span_trim(word), &i))
                        return false;
                highest = i + KEY_READ > highest ? i + KEY_READ : highest;
        }
        *out = (enum key_scope)highest;
        return highest > 0;
}

bool task_may_move(enum task_state from, enum task_state to)
{
        static const uint8_t next[TASK_STATE_COUNT] = {
                [TASK_READY] = 1U << TASK_LEASED,
                [TASK_LEASED] = 1U << TASK_READY | 1U << TASK_DONE | 1U << TASK_DEAD,
                [TASK_DONE] = 0,
                [TASK_DEAD] = 1U << TASK_READY,
        };

        return (unsigned)from < TASK_STATE_COUNT && (unsigned)to < TASK_STATE_COUNT && (next[from] & 1U << to);
}

bool owner_valid(struct span s)
{
        if (s.n == 0 || s.n > OWNER_MAX || s.p[0] == '.')
                return false;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                bool alnum = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
                if (!alnum && c != '.' && c != '_' && c != '@' && c != '-')
                        return false;
        }
        return true;
}

/* ---- products ------------------------------------------------------------------- */

bool product_next(struct span *rest, struct span *name)
{
        return span_cut(rest, ' ', name) && name->n > 0;
}

static bool product_name_valid(struct span name)
{
        if (name.n == 0 || name.p[0] < 'a' || name.p[0] > 'z')
                return false;
        for (size_t i = 0; i < name.n; i++)
                if (!memchr("abcdefghijklmnopqrstuvwxyz0123456789.-", name.p[i], 38))
                        return false;
        return true;
}

static bool names_ascend(struct span a, struct span b)
{
        int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

        return c < 0 || (c == 0 && a.n < b.n);
}

bool products_valid(struct span list)
{
        struct span rest = list, name, last = {0};

        if (list.n >= PRODUCTS_MAX || (list.n > 0 && list.p[list.n - 1] == ' '))
                return false;
        while (rest.n > 0) {
                if (!span_cut(&rest, ' ', &name) || !product_name_valid(name) || (last.n && !names_ascend(last, name)))
                        return false;
                last = name;
        }
        return true;
}

const char *job_status_name(enum job_status s)
{
        static const char *const names[JOBS_STATUS_COUNT] = {"queued", "processing", "done", "failed", "partial"};

        assert((unsigned)s < COUNT_OF(names));
        return names[s];
}
