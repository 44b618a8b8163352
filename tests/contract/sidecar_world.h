/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of marks and of a rebuild share: a small world of assets and
 * folders, some changes to it, and the marks that they leave.
 */
#ifndef FA_SIDECAR_WORLD_H
#define FA_SIDECAR_WORLD_H

#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#include "keep/keep_sidecar.h"

static inline struct sidecar_mark *marks_of(struct fix *f, size_t *n)
{
        struct sidecar_mark *m;

        OK(keep_marks(f->c, NULL, 1000, f->a, &m, n, &f->e));
        return m;
}

struct world {
        struct id a, b, queued, dead; /* a is in x, b in y */
        struct id dead_job;
        struct id x, y, z;
        struct id fresh; /* made by the change */
};

static inline void place(struct fix *f, struct id asset, struct id cluster)
{
        struct asset_patch p = {.set_cluster = true, .cluster_id = cluster};

        OK(catalog_asset_patch(f->c, asset, NULL, &p, "t", NULL, &f->e));
}

static inline void make_world(struct fix *f, struct world *w)
{
        struct task_failure lost = {.stage = "decode", .code = ERR_CORRUPT, .reason = "broken", .dead = true};
        float v[DIM];
        struct task t;

        unit_vector(1, v);
        fix_warm(f, MODEL);
        w->a = put_done(f, "ann", "a.jpg", v);
        w->b = put_done(f, "ann", "b.jpg", v);
        OK(catalog_cluster_create(f->c, "ann", "X", 0.7f, "t", &w->x, &f->e));
        OK(catalog_cluster_create(f->c, "ann", "Y", 0.7f, "t", &w->y, &f->e));
        OK(catalog_cluster_create(f->c, "ann", "Z", 0.7f, "t", &w->z, &f->e));
        place(f, w->a, w->x);
        place(f, w->b, w->y);
        w->dead = put_file(f, "ann", "dead.jpg", KIND_MEDIA);
        t = claim(f);
        OK(catalog_task_fail(f->c, &t, &lost, &f->e));
        w->dead_job = get(f, w->dead).job_id;
        w->queued = put_file(f, "ann", "queued.jpg", KIND_MEDIA);
}

static inline void do_comment(struct fix *f, struct world *w)
{
        OK(catalog_asset_patch(f->c, w->a, NULL, &(struct asset_patch){.set_comments = true, .comments = "hm"}, "t",
                               NULL, &f->e));
}

static inline void do_tag(struct fix *f, struct world *w)
{
        OK(catalog_asset_patch(f->c, w->a, NULL,
                               &(struct asset_patch){.set_tags = true, .tags = (const char *[]){"t"}, .ntags = 1}, "t",
                               NULL, &f->e));
}

static inline void change(struct fix *f, struct id cluster, struct cluster_change ch)
{
        OK(catalog_cluster_change(f->c, cluster, NULL, &ch, "t", NULL, NULL, &f->e));
}

static inline void do_rename_folder(struct fix *f, struct world *w)
{
        change(f, w->x, (struct cluster_change){.kind = CHANGE_RENAME, .name = "New", .by_person = true});
}

static inline void do_merge(struct fix *f, struct world *w)
{
        OK(catalog_cluster_merge(f->c, w->x, &w->y, 1, NULL, NULL, "t", NULL, NULL, &f->e));
}

static inline void do_key(struct fix *f, struct world *w)
{
        struct new_key k = {.id = id_new(), .name = "k", .prefix = "01234567", .scope = KEY_ADMIN, .actor = "t"};

        (void)w;
        OK(access_key_create(f->c, &k, NULL, &f->e));
}

#endif
