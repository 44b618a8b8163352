/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's contract on SQLite: ingest, tasks, the dead-letter queue, lists, text. */
#include "contract/catalog_sqlite_backend.h"
#include "contract/catalog_suite.h"

#include <fcntl.h>

/* ---- ingest ------------------------------------------------------------------ */

static void ingest_keeps_all_it_was_given(void **state)
{
        struct fix *f = *state;
        struct new_asset x[2] = {new_file("IMG_1.jpg", KIND_MEDIA, true), new_file("note.bin", KIND_FILE, false)};
        struct new_job j = new_job_of("ann", x, 2);
        struct job_receipt r;
        struct job_view v;
        struct asset a;

        j.tags = (const char *const[]){"Sea", "holiday"};
        j.ntags = 2;
        j.comments = "from the beach";
        j.folder = "Trip";
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_int_equal(r.nassets, 2);
        assert_int_equal(r.nduplicates, 0);
        a = get(f, x[0].id);
        assert_string_equal(a.filename, "IMG_1.jpg");
        assert_string_equal(a.owner, "ann");
        assert_string_equal(a.comments, "from the beach");
        assert_string_equal(a.cluster_name, "Trip");
        assert_true(a.pinned);
        assert_int_equal(a.ntags, 2);
        assert_int_equal(a.status, ASSET_QUEUED);
        assert_int_equal(get(f, x[1].id).status, ASSET_DONE);
        assert_int_equal(folder(f, a.cluster_id).asset_count, 2);
        assert_int_equal(folder(f, a.cluster_id).status, CLUSTER_ACTIVE);
        assert_true(folder(f, a.cluster_id).touched);
        OK(catalog_job_get(f->c, j.id, "ann", f->a, &v, &f->e));
        assert_int_equal(v.status, JOBS_PROCESSING);
        assert_int_equal(v.total, 2);
        assert_int_equal(v.queued, 1);
        FAILS(ERR_NOT_FOUND, catalog_job_get(f->c, j.id, "bob", f->a, &v, &f->e));
        j.id = id_new();
        x[0].id = id_new();
        x[1].id = id_new();
        j.folder = "TRIP";
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_true(id_eq(get(f, x[0].id).cluster_id, a.cluster_id));
        assert_int_equal(r.nduplicates, 2);
        assert_true(id_eq(r.duplicates[0].of, a.id));
}

static void duplicates_stay_within_an_owner(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_FILE, false);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;

        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        x.id = id_new();
        j = new_job_of("bob", &x, 1);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_int_equal(r.nduplicates, 0);
}

static void idempotency_replays_and_conflicts(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_FILE, false);
        struct new_job j = new_job_of("ann", &x, 1), again;
        struct job_receipt r1, r2;

        j.idempotency_key = "k";
        j.content_hash = sha256_of("1", 1);
        assert_int_equal(catalog_idempotency_find(f->c, &j, f->a, &r1, &f->e), 0);
        OK(catalog_ingest(f->c, &j, f->a, &r1, &f->e));
        assert_false(r1.replayed);
        again = j;
        again.id = id_new();
        OK(catalog_ingest(f->c, &again, f->a, &r2, &f->e));
        assert_true(r2.replayed);
        assert_true(id_eq(r2.job_id, j.id));
        assert_true(id_eq(r2.assets[0], x.id));
        assert_int_equal(r2.created.us, r1.created.us);
        again.content_hash = sha256_of("2", 1);
        FAILS(ERR_CONFLICT, catalog_ingest(f->c, &again, f->a, &r2, &f->e));
        assert_true(id_eq(r2.job_id, j.id));
        assert_int_equal(catalog_idempotency_find(f->c, &again, f->a, &r2, &f->e), -1);
        again.owner = "bob";
        assert_int_equal(catalog_idempotency_find(f->c, &again, f->a, &r2, &f->e), 0);
        again.owner = "ann";
        again.idempotency_scope = "key2";
        assert_int_equal(catalog_idempotency_find(f->c, &again, f->a, &r2, &f->e), 0);
}

static void idempotency_expires(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_FILE, false);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;

        catalog_close(f->c);
        f->opts.idempotency_ttl = dur_ms(20);
        fix_open(f);
        j.idempotency_key = "k";
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        sleep_for(dur_ms(40));
        j.id = id_new();
        x.id = id_new();
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_false(r.replayed);
}

struct racer {
        struct fix *f;
        struct new_asset x;
        struct new_job j;
        struct job_receipt r;
        struct arena *a;
        int rc;
};

static void *race_ingest(void *arg)
{
        struct racer *g = arg;
        struct err e;

        g->rc = catalog_ingest(g->f->c, &g->j, g->a, &g->r, &e);
        return NULL;
}

static void of_two_in_flight_one_wins(void **state)
{
        struct fix *f = *state;
        struct racer g[8];
        pthread_t t[8];
        int fresh = 0;

        for (int i = 0; i < 8; i++) {
                g[i] = (struct racer){.f = f, .x = new_file("a", KIND_FILE, false), .a = arena_new(1 << 20)};
                g[i].j = new_job_of("ann", &g[i].x, 1);
                g[i].j.idempotency_key = "same";
                assert_int_equal(pthread_create(&t[i], NULL, race_ingest, &g[i]), 0);
        }
        for (int i = 0; i < 8; i++)
                pthread_join(t[i], NULL);
        for (int i = 0; i < 8; i++) {
                assert_int_equal(g[i].rc, 0);
                fresh += !g[i].r.replayed;
                assert_true(id_eq(g[i].r.job_id, g[0].r.job_id));
        }
        for (int i = 0; i < 8; i++)
                arena_free(g[i].a);
        assert_int_equal(fresh, 1);
}

static void a_full_queue_refuses(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_MEDIA, true);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;

        catalog_close(f->c);
        f->opts.queue_max_depth = 2;
        fix_open(f);
        put_file(f, "ann", "1", KIND_MEDIA);
        put_file(f, "ann", "2", KIND_MEDIA);
        FAILS(ERR_BUSY, catalog_ingest(f->c, &j, f->a, &r, &f->e));
        put_file(f, "ann", "plain", KIND_FILE);
        fix_reopen(f);
        FAILS(ERR_BUSY, catalog_ingest(f->c, &j, f->a, &r, &f->e));
        struct task t = claim(f);
        OK(finish(f, &t, NULL, (struct placement){.kind = PLACE_UNSORTED}));
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
}

struct crowd {
        struct fix *f;
        int i, n, bad;
        struct id *ids;
};

static void *crowd_ingest(void *arg)
{
        struct crowd *g = arg;

        for (int k = 0; k < g->n; k++) {
                struct arena *a = arena_new(1 << 20);
                struct new_asset x = new_file("crowd.jpg", KIND_MEDIA, true);
                struct new_job j = new_job_of("ann", &x, 1);
                struct job_receipt r;
                struct err e;
                /* Now and then one that must fail alone: its asset's id is taken. */
                if (k % 7 == 3) {
                        struct new_asset bad = x;
                        struct new_job jb = new_job_of("ann", &bad, 1);
                        bad.id = g->ids[g->i * g->n];
                        g->bad += catalog_ingest(g->f->c, &jb, a, &r, &e) == 0;
                }
                g->bad += catalog_ingest(g->f->c, &j, a, &r, &e) != 0;
                g->ids[g->i * g->n + k] = x.id;
                arena_free(a);
        }
        return NULL;
}

static void a_crowd_ingests_and_all_is_there_after_reopening(void **state)
{
        enum { THREADS = 32, EACH = 63 };
        struct fix *f = *state;
        struct crowd g[THREADS];
        pthread_t t[THREADS];
        struct id *ids = mem_calloc(THREADS * EACH, sizeof(*ids));
        struct asset *found;
        struct catalog_counts n;
        size_t count;

        for (int i = 0; i < THREADS; i++) {
                g[i] = (struct crowd){.f = f, .i = i, .n = EACH, .ids = ids};
                assert_int_equal(pthread_create(&t[i], NULL, crowd_ingest, &g[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
                pthread_join(t[i], NULL);
                assert_int_equal(g[i].bad, 0);
        }
        fix_reopen(f);
        OK(catalog_asset_get_many(f->c, ids, THREADS * EACH, "ann", f->a, &found, &count, &f->e));
        assert_int_equal(count, THREADS * EACH);
        OK(catalog_counts(f->c, NULL, &n, &f->e));
        assert_int_equal(n.assets[KIND_MEDIA][ASSET_QUEUED], THREADS * EACH);
        assert_int_equal(n.waiting[JOB_IMAGE], THREADS * EACH);
        assert_int_equal(n.objects, THREADS * EACH);
        mem_free(ids);
}

static void what_was_acknowledged_survives_kill(void **state)
{
        struct fix *f = *state;
        struct id id;
        int p[2], status, n = 0;
        pid_t pid;

        catalog_close(f->c);
        f->c = NULL;
        assert_int_equal(pipe(p), 0);
        pid = fork();
        if (pid == 0) {
                struct err e;
                close(p[0]);
                if (catalog_open(&f->opts, &f->c, &e) < 0)
                        _exit(1);
                for (;;) {
                        struct arena *a = arena_new(1 << 20);
                        struct new_asset x = new_file("k.jpg", KIND_MEDIA, true);
                        struct new_job j = new_job_of("ann", &x, 1);
                        struct job_receipt r;
                        if (catalog_ingest(f->c, &j, a, &r, &e) < 0 || write(p[1], &x.id, sizeof(x.id)) < 0)
                                _exit(2);
                        arena_free(a);
                }
        }
        close(p[1]);
        while (n < 50 && read(p[0], &id, sizeof(id)) == (ssize_t)sizeof(id))
                n++;
        assert_int_equal(n, 50);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        fix_open(f);
        while (read(p[0], &id, sizeof(id)) == (ssize_t)sizeof(id)) {
                get(f, id);
                n++;
        }
        close(p[0]);
        assert_true(n >= 50);
}

/* ---- tasks --------------------------------------------------------------------------- */

static void a_lost_lease_cannot_write(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        struct task old, now;
        double rejected = metrics_get(METRIC_TOKENS_REJECTED);
        struct task_failure fail = {.stage = "embed", .code = ERR_IO, .reason = "x"};

        assert_int_equal(catalog_task_claim(f->c, "w", dur_ms(1), ALL, f->a, &old, &f->e), 1);
        assert_int_equal(get(f, id).status, ASSET_PROCESSING);
        assert_int_equal(old.deliveries, 1);
        sleep_for(dur_ms(5));
        assert_int_equal(catalog_task_expire(f->c, 3, &f->e), 1);
        assert_int_equal(get(f, id).status, ASSET_QUEUED);
        FAILS(ERR_STALE, finish(f, &old, NULL, (struct placement){0}));
        now = claim(f);
        assert_true(id_eq(now.id, old.id));
        assert_int_equal(now.crashes, 1);
        assert_true(now.token > old.token);
        FAILS(ERR_STALE, finish(f, &old, NULL, (struct placement){0}));
        FAILS(ERR_STALE, catalog_task_extend(f->c, &old, dur_s(9), &f->e));
        FAILS(ERR_STALE, catalog_task_fail(f->c, &old, &fail, &f->e));
        OK(catalog_task_release(f->c, &old, &f->e));
        OK(catalog_task_extend(f->c, &now, dur_s(9), &f->e));
        OK(finish(f, &now, NULL, (struct placement){0}));
        FAILS(ERR_STALE, finish(f, &now, NULL, (struct placement){0}));
        assert_true(metrics_get(METRIC_TOKENS_REJECTED) >= rejected + 5);
        assert_int_equal(get(f, id).status, ASSET_DONE);
}

static void a_late_worker_whose_lease_nobody_took_may_finish(void **state)
{
        struct fix *f = *state;
        struct task t;

        put_file(f, "ann", "a.jpg", KIND_MEDIA);
        assert_int_equal(catalog_task_claim(f->c, "w", dur_ms(1), ALL, f->a, &t, &f->e), 1);
        sleep_for(dur_ms(5));
        OK(finish(f, &t, NULL, (struct placement){0}));
}

static void handing_back_is_not_counted(void **state)
{
        struct fix *f = *state;
        struct task t;

        put_file(f, "ann", "a.jpg", KIND_MEDIA);
        t = claim(f);
        OK(catalog_task_release(f->c, &t, &f->e));
        t = claim(f);
        assert_int_equal(t.deliveries, 1);
        assert_int_equal(t.crashes + t.errors, 0);
}

static void *race_claim(void *arg)
{
        struct crowd *g = arg;
        struct arena *a = arena_new(4 << 20);
        struct task t;
        struct err e;
        int rc;

        while ((rc = catalog_task_claim(g->f->c, "w", dur_s(60), ALL, a, &t, &e)) > 0)
                g->ids[g->n++] = t.id;
        g->bad = rc < 0;
        arena_free(a);
        return NULL;
}

static void racing_claims_get_different_tasks(void **state)
{
        struct fix *f = *state;
        struct crowd g[2];
        pthread_t t[2];
        int total;

        for (int i = 0; i < 100; i++)
                put_file(f, "ann", "a.jpg", KIND_MEDIA);
        for (int i = 0; i < 2; i++) {
                g[i] = (struct crowd){.f = f, .ids = mem_calloc(200, sizeof(struct id))};
                pthread_create(&t[i], NULL, race_claim, &g[i]);
        }
        for (int i = 0; i < 2; i++) {
                pthread_join(t[i], NULL);
                assert_int_equal(g[i].bad, 0);
        }
        total = g[0].n + g[1].n;
        assert_int_equal(total, 100);
        for (int i = 0; i < g[0].n; i++)
                for (int k = 0; k < g[1].n; k++)
                        assert_false(id_eq(g[0].ids[i], g[1].ids[k]));
        mem_free(g[0].ids);
        mem_free(g[1].ids);
}

static void retries_wait_and_the_dead_rest(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        struct task t = claim(f), none;
        struct task_failure fail = {.stage = "decode", .code = ERR_TIMEOUT, .reason = "slow", .retry_at = wall_add(wall_now(), dur_s(60))};
        struct dead_task *dead;
        struct catalog_counts n;
        struct wall next;
        const char *cursor;
        struct asset a;
        size_t ndead;
        uint64_t now, total, moved;

        OK(catalog_task_fail(f->c, &t, &fail, &f->e));
        a = get(f, id);
        assert_int_equal(a.status, ASSET_QUEUED);
        assert_null(a.error);
        assert_string_equal(a.stage, "decode");
        assert_int_equal(catalog_task_claim(f->c, "w", dur_s(9), ALL, f->a, &none, &f->e), 0);
        OK(catalog_task_ready(f->c, ALL, &now, &next, &f->e));
        assert_int_equal(now, 0);
        assert_int_equal(next.us, fail.retry_at.us);
        /* again, now for good */
        catalog_close(f->c);
        fix_open(f);
        put_file(f, "ann", "b.jpg", KIND_MEDIA);
        t = claim(f);
        fail.dead = true;
        fail.code = ERR_CORRUPT;
        OK(catalog_task_fail(f->c, &t, &fail, &f->e));
        a = get(f, t.asset_id);
        assert_int_equal(a.status, ASSET_FAILED);
        assert_string_equal(a.error, "slow");
        assert_string_equal(a.error_code, "corrupt");
        OK(catalog_dlq_list(f->c, NULL, 10, NULL, f->a, &dead, &ndead, &total, &cursor, &f->e));
        assert_int_equal(ndead, 1);
        assert_int_equal(total, 1);
        OK(catalog_dlq_list(f->c, "embed", 10, NULL, f->a, &dead, &ndead, &total, &cursor, &f->e));
        assert_int_equal(total, 0);
        OK(catalog_dlq_get(f->c, t.job_id, f->a, &dead, &ndead, &f->e));
        assert_int_equal(dead[0].nhistory, 1);
        assert_string_equal(dead[0].history[0].code, "corrupt");
        OK(catalog_counts(f->c, "ann", &n, &f->e));
        assert_int_equal(n.dead[JOB_IMAGE][0], 1);
        OK(catalog_dlq_retry(f->c, &t.job_id, NULL, 0, &moved, &f->e));
        assert_int_equal(moved, 1);
        assert_int_equal(get(f, t.asset_id).status, ASSET_QUEUED);
        t = claim(f);
        assert_int_equal(t.errors, 0);
        OK(catalog_task_fail(f->c, &t, &fail, &f->e));
        OK(catalog_dlq_get(f->c, t.job_id, f->a, &dead, &ndead, &f->e));
        assert_int_equal(dead[0].nhistory, 2);
        OK(catalog_dlq_discard(f->c, &t.job_id, &t.asset_id, 1, &moved, &f->e));
        assert_int_equal(moved, 1);
        FAILS(ERR_NOT_FOUND, catalog_dlq_get(f->c, t.job_id, f->a, &dead, &ndead, &f->e));
        assert_int_equal(get(f, t.asset_id).status, ASSET_FAILED);
        OK(catalog_dlq_retry(f->c, NULL, NULL, 0, &moved, &f->e));
        assert_int_equal(moved, 0);
}

static void three_crashes_quarantine(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        struct task t;

        for (int i = 0; i < 3; i++) {
                assert_int_equal(catalog_task_claim(f->c, "w", dur_ms(1), ALL, f->a, &t, &f->e), 1);
                sleep_for(dur_ms(3));
                assert_int_equal(catalog_task_expire(f->c, 3, &f->e), 1);
        }
        assert_string_equal(get(f, id).error_code, "crashed");
        assert_int_equal(catalog_task_claim(f->c, "w", dur_ms(1), ALL, f->a, &t, &f->e), 0);
}

static void a_job_goes_through_its_states(void **state)
{
        struct fix *f = *state;
        struct new_asset x[2] = {new_file("1.jpg", KIND_MEDIA, true), new_file("2.jpg", KIND_MEDIA, true)};
        struct new_job j = new_job_of("ann", x, 2);
        struct task_failure fail = {.stage = "decode", .code = ERR_CORRUPT, .reason = "bad", .dead = true};
        struct job_receipt r;
        struct job_view v, *list;
        struct task t;
        const char *next;
        size_t n;

        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        OK(catalog_job_get(f->c, j.id, NULL, f->a, &v, &f->e));
        assert_int_equal(v.status, JOBS_QUEUED);
        t = claim(f);
        OK(catalog_job_get(f->c, j.id, NULL, f->a, &v, &f->e));
        assert_int_equal(v.status, JOBS_PROCESSING);
        OK(finish(f, &t, NULL, (struct placement){0}));
        t = claim(f);
        OK(catalog_task_fail(f->c, &t, &fail, &f->e));
        OK(catalog_job_get(f->c, j.id, NULL, f->a, &v, &f->e));
        assert_int_equal(v.status, JOBS_PARTIAL);
        assert_true(v.completed.us > 0);
        OK(catalog_job_list(f->c, "ann", JOBS_PARTIAL, 10, NULL, f->a, &list, &n, &next, &f->e));
        assert_int_equal(n, 1);
        OK(catalog_job_list(f->c, "ann", JOBS_DONE, 10, NULL, f->a, &list, &n, &next, &f->e));
        assert_int_equal(n, 0);
        OK(catalog_job_list(f->c, "bob", -1, 10, NULL, f->a, &list, &n, &next, &f->e));
        assert_int_equal(n, 0);
}

static void step_results_are_kept_by_object_step_and_version(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        struct sha256 h = get(f, id).sha256, other = sha256_of("x", 1);
        struct span out;

        OK(catalog_step_put(f->c, h, "decode", "1", SPAN("abc"), &f->e));
        OK(catalog_step_put(f->c, h, "decode", "1", SPAN("abcd"), &f->e));
        assert_int_equal(catalog_step_get(f->c, h, "decode", "1", f->a, &out, &f->e), 1);
        assert_true(span_eq(out, "abcd"));
        assert_int_equal(catalog_step_get(f->c, h, "decode", "2", f->a, &out, &f->e), 0);
        FAILS(ERR_NOT_FOUND, catalog_step_put(f->c, other, "decode", "1", SPAN("x"), &f->e));
}

/* ---- lists and text ---------------------------------------------------------------------- */

static size_t count_list(struct fix *f, const struct asset_filter *filter)
{
        struct asset_page p;

        OK(catalog_asset_list(f->c, filter, SORT_CREATED_DESC, 100, NULL, f->a, &p, &f->e));
        assert_int_equal(p.total, p.n);
        return p.n;
}

static void filters_let_through_what_they_say(void **state)
{
        struct fix *f = *state;
        struct id pic = put_file(f, "ann", "Straße_ÄPFEL.jpg", KIND_MEDIA), doc = put_file(f, "bob", "50%_a.bin", KIND_FILE);
        struct sha256 h = get(f, pic).sha256;
        struct id nil = {{0}}, unknown = id_new();
        const char *sea = "SEA", *no = "no";
        struct asset_patch patch = {.set_tags = true, .tags = (const char *const[]){"sea"}, .ntags = 1};

        OK(catalog_asset_patch(f->c, pic, "ann", &patch, "user", NULL, &f->e));
        assert_int_equal(count_list(f, &(struct asset_filter){0}), 2);
        assert_int_equal(count_list(f, &(struct asset_filter){.owner = "ann"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.owner = "nobody"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.kinds = 1U << KIND_FILE}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.statuses = 1U << ASSET_DONE}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.sha256 = &h}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.cluster_id = &nil}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.cluster_id = &unknown}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.content_type = "image/"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.content_type = "image/jpeg"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.content_type = "image"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.tags = &sea, .ntags = 1}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.tags = &no, .ntags = 1}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "äpfel"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "SE_Ä"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "STRA"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "Ä"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "%"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "50%_"}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "\"*\""}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.after = {1}, .before = wall_add(wall_now(), dur_s(5))}), 2);
        assert_int_equal(count_list(f, &(struct asset_filter){.before = {1}}), 0);
        OK(catalog_asset_trash(f->c, doc, "bob", "user", &f->e));
        assert_int_equal(count_list(f, &(struct asset_filter){0}), 1);
        assert_int_equal(count_list(f, &(struct asset_filter){.trashed = true}), 1);
}

static void pages_neither_repeat_nor_miss_while_others_add(void **state)
{
        struct fix *f = *state;
        struct id first[60], seen[200];
        size_t nseen = 0;

        for (int i = 0; i < 60; i++)
                first[i] = put_file(f, "ann", i % 2 ? "b.jpg" : "A.jpg", KIND_MEDIA);
        for (int sort = SORT_CREATED_DESC; sort <= SORT_SIZE_ASC; sort++) {
                struct asset_filter filter = {.owner = "ann"};
                struct asset_page p = {0};
                nseen = 0;
                do {
                        OK(catalog_asset_list(f->c, &filter, (enum asset_sort)sort, 7, p.next, f->a, &p, &f->e));
                        for (size_t i = 0; i < p.n; i++)
                                seen[nseen++] = p.assets[i].id;
                        if (nseen < 60)
                                put_file(f, "ann", "aa.jpg", KIND_MEDIA);
                } while (p.next && nseen < 190);
                for (int i = 0; i < 60; i++) {
                        int times = 0;
                        for (size_t k = 0; k < nseen; k++)
                                times += id_eq(seen[k], first[i]);
                        assert_int_equal(times, 1);
                }
        }
}

static void made_up_cursors_are_refused(void **state)
{
        struct fix *f = *state;
        struct asset_filter all = {0}, ann = {.owner = "ann"};
        struct asset_page p, q;
        char bent[2048];

        for (int i = 0; i < 5; i++)
                put_file(f, "ann", "x.jpg", KIND_MEDIA);
        OK(catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, NULL, f->a, &p, &f->e));
        assert_non_null(p.next);
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &ann, SORT_NAME_ASC, 2, p.next, f->a, &q, &f->e));
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_DESC, 2, p.next, f->a, &q, &f->e));
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, "AAAA", f->a, &q, &f->e));
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, "!", f->a, &q, &f->e));
        for (size_t i = 0; i < strlen(p.next); i++) {
                snprintf(bent, sizeof(bent), "%s", p.next);
                bent[i] = bent[i] == 'A' ? 'B' : 'A';
                FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, bent, f->a, &q, &f->e));
        }
        snprintf(bent, sizeof(bent), "%sA", p.next);
        FAILS(ERR_INVALID, catalog_asset_list(f->c, &all, SORT_NAME_ASC, 2, bent, f->a, &q, &f->e));
}

static size_t text(struct fix *f, const char *query, struct text_match *m)
{
        size_t n;

        OK(catalog_text_search(f->c, query, NULL, 20, m, &n, &f->e));
        return n;
}

static void words_are_found_whatever_is_typed(void **state)
{
        static const char *const odd[] = {"",     "\"",      "\"\"\"", "*",       "NEAR(",        "AND",   "OR NOT",
                                          "a AND", "col:x",   "{a b}:", "-x",      "^x",           "(((",   "\xF0\x9F\x90\xB1",
                                          "\xFF",  "a\"b*c", "' OR 1=1", "%_\\", "\xE2\x80\x8B x", "+ + +", "x\ty\nz"};
        struct fix *f = *state;
        struct id a = put_file(f, "ann", "IMG_1234.jpg", KIND_MEDIA), b = put_file(f, "bob", "DSC777Caf\xC3\xA9.jpg", KIND_MEDIA);
        struct asset_patch p = {.set_comments = true,
                                .comments = "a walk by the sea",
                                .set_tags = true,
                                .tags = (const char *const[]){"Dog", "beach"},
                                .ntags = 2};
        struct asset_filter bob = {.owner = "bob"};
        struct text_match m[20];
        size_t n;

        OK(catalog_asset_patch(f->c, a, "ann", &p, "user", NULL, &f->e));
        assert_int_equal(text(f, "img", m), 1);
        assert_true(id_eq(m[0].asset, a) && m[0].in_filename && !m[0].in_tags && !m[0].in_text);
        assert_int_equal(text(f, "1234", m), 1);
        assert_int_equal(text(f, "img_1234", m), 1);
        assert_int_equal(text(f, "IMG_1234.jpg", m), 1);
        assert_int_equal(text(f, "777", m), 1);
        assert_true(id_eq(m[0].asset, b));
        assert_int_equal(text(f, "cafe", m), 1);
        assert_int_equal(text(f, "dog sea", m), 1);
        assert_true(m[0].in_tags && m[0].in_text && !m[0].in_filename);
        assert_int_equal(text(f, "dog zebra", m), 1); /* not all words: the best of what there is */
        assert_int_equal(text(f, "zebra", m), 0);
        assert_int_equal(text(f, "jpg", m), 2);
        OK(catalog_text_search(f->c, "jpg", &bob, 20, m, &n, &f->e));
        assert_int_equal(n, 1);
        for (size_t i = 0; i < COUNT_OF(odd); i++)
                text(f, odd[i], m);
        p = (struct asset_patch){.filename = "zebra.jpg"};
        OK(catalog_asset_patch(f->c, a, "ann", &p, "user", NULL, &f->e));
        assert_int_equal(text(f, "zebra", m), 1);
        assert_int_equal(text(f, "1234", m), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "img_12"}), 0);
        assert_int_equal(count_list(f, &(struct asset_filter){.name = "EBRA"}), 1);
        OK(catalog_asset_trash(f->c, a, "ann", "user", &f->e));
        assert_int_equal(text(f, "zebra", m), 0);
}

/* ---- one asset ----------------------------------------------------------------------------- */

static void another_owners_asset_does_not_exist(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA), c1, c2;
        struct asset_patch p = {.filename = "x"};
        struct cluster_change ch = {.kind = CHANGE_LOCK, .locked = true};
        struct lineage_entry *l;
        struct cluster cl;
        struct sha256 h;
        struct asset a, *many;
        bool orphan;
        size_t n;

        OK(catalog_cluster_create(f->c, "ann", "A", 0.5f, "user", &c1, &f->e));
        OK(catalog_cluster_create(f->c, "bob", "A", 0.5f, "user", &c2, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, id, "bob", f->a, &a, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_patch(f->c, id, "bob", &p, "user", NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_trash(f->c, id, "bob", "user", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_restore(f->c, id, "bob", "user", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_purge(f->c, id, "bob", "user", &h, &orphan, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_reprocess(f->c, id, "bob", "user", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_lineage(f->c, id, "bob", f->a, &l, &n, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, c1, "bob", f->a, &cl, NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_delete(f->c, c1, "bob", "user", NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_change(f->c, c1, "bob", &ch, "user", NULL, NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_merge(f->c, c1, &c2, 1, NULL, "bob", "user", NULL, NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_merge(f->c, c2, &c1, 1, NULL, NULL, "user", NULL, NULL, &f->e));
        OK(catalog_asset_get_many(f->c, &id, 1, "bob", f->a, &many, &n, &f->e));
        assert_int_equal(n, 0);
        p = (struct asset_patch){.set_cluster = true, .cluster_id = c2};
        FAILS(ERR_NOT_FOUND, catalog_asset_patch(f->c, id, "ann", &p, "user", NULL, &f->e));
        OK(catalog_lineage(f->c, id, "ann", f->a, &l, &n, &f->e));
        assert_int_equal(n, 1);
        assert_string_equal(l[0].action, "accepted");
}

static void purging_gives_the_object_back_when_it_was_the_last(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_FILE, false), y = x;
        struct new_job j = new_job_of("ann", &x, 1);
        struct catalog_counts n;
        struct job_receipt r;
        struct asset gone;
        struct sha256 h;
        struct id *due;
        size_t ndue;
        bool orphan;

        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        y.id = id_new();
        j = new_job_of("ann", &y, 1);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_true(id_eq(get(f, y.id).duplicate_of, x.id));
        OK(catalog_asset_trash(f->c, x.id, "ann", "user", &f->e));
        OK(catalog_trash_due(f->c, wall_add(wall_now(), dur_s(1)), 10, f->a, &due, &ndue, &f->e));
        assert_int_equal(ndue, 1);
        OK(catalog_asset_purge(f->c, x.id, "ann", "user", &h, &orphan, &f->e));
        assert_false(orphan);
        assert_true(id_is_nil(get(f, y.id).duplicate_of));
        OK(catalog_asset_purge(f->c, y.id, "ann", "user", &h, &orphan, &f->e));
        assert_true(orphan);
        assert_true(sha256_eq(h, x.sha256));
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, y.id, NULL, f->a, &gone, &f->e));
        OK(catalog_counts(f->c, NULL, &n, &f->e));
        assert_int_equal(n.objects + n.object_bytes + n.asset_bytes + n.trashed, 0);
}

static void reprocessing_makes_one_task(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA), plain = put_file(f, "ann", "a", KIND_FILE);
        struct task t;

        FAILS(ERR_CONFLICT, catalog_asset_reprocess(f->c, id, "ann", "user", &f->e));
        FAILS(ERR_UNSUPPORTED, catalog_asset_reprocess(f->c, plain, "ann", "user", &f->e));
        t = claim(f);
        OK(finish(f, &t, NULL, (struct placement){0}));
        OK(catalog_asset_reprocess(f->c, id, "ann", "user", &f->e));
        assert_int_equal(get(f, id).status, ASSET_QUEUED);
        t = claim(f);
        OK(finish(f, &t, NULL, (struct placement){0}));
}

static void near_duplicates_are_linked_both_ways(void **state)
{
        struct fix *f = *state;
        static const uint64_t hash[] = {0xF0F0, 0xF0F1, 0xF0F0 ^ (UINT64_C(0x1001001001) << 4), 0xFFFFFFFFFFFFFFFF};
        struct id id[4];

        for (int i = 0; i < 4; i++) {
                id[i] = put_file(f, "ann", "a.jpg", KIND_MEDIA);
                struct task t = claim(f);
                struct task_result r = {.task = &t, .has_phash = true, .phash = hash[i]};
                OK(catalog_task_complete(f->c, &r, &f->e));
        }
        assert_int_equal(get(f, id[0]).nnear, 2);
        assert_int_equal(get(f, id[1]).nnear, 1);
        assert_true(id_eq(get(f, id[1]).near_duplicates[0], id[0]));
        assert_int_equal(get(f, id[3]).nnear, 0);
        OK(catalog_asset_trash(f->c, id[1], "ann", "user", &f->e));
        assert_int_equal(get(f, id[0]).nnear, 1);
}

static void a_failed_commit_does_nothing(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a.jpg", KIND_MEDIA, true);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;
        struct asset a;

        setenv("FILE_ALLOCATOR_FAULT", "catalog.commit=enospc@1", 1);
        fault_init();
        FAILS(ERR_NO_SPACE, catalog_ingest(f->c, &j, f->a, &r, &f->e));
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, x.id, NULL, f->a, &a, &f->e));
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        fix_reopen(f);
        get(f, x.id);
}

static void no_single_failed_allocation_breaks_an_ingest(void **state)
{
        struct fix *f = *state;
        int failed = 0;

        for (long n = 0; n < 60; n++) {
                struct new_asset x = new_file("a.jpg", KIND_MEDIA, true);
                struct new_job j = new_job_of("ann", &x, 1);
                struct job_receipt r;
                struct asset a;
                int rc;
                j.folder = "F";
                j.tags = (const char *const[]){"t"};
                j.ntags = 1;
                mem_fail_after(n);
                rc = catalog_ingest(f->c, &j, f->a, &r, &f->e);
                mem_fail_after(-1);
                failed += rc < 0;
                if (rc < 0)
                        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, x.id, NULL, f->a, &a, &f->e));
                else
                        get(f, x.id);
        }
        assert_true(failed > 0);
}

static void a_catalog_from_the_future_is_refused(void **state)
{
        struct fix *f = *state;

        catalog_close(f->c);
        f->c = NULL;
        backend_future(f->url);
        FAILS(ERR_CONFLICT, catalog_open(&f->opts, &f->c, &f->e));
        assert_non_null(strstr(f->e.msg, "newer program"));
        assert_null(f->c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(ingest_keeps_all_it_was_given),
                T(duplicates_stay_within_an_owner),
                T(idempotency_replays_and_conflicts),
                T(idempotency_expires),
                T(of_two_in_flight_one_wins),
                T(a_full_queue_refuses),
                T(a_crowd_ingests_and_all_is_there_after_reopening),
                T(what_was_acknowledged_survives_kill),
                T(a_lost_lease_cannot_write),
                T(a_late_worker_whose_lease_nobody_took_may_finish),
                T(handing_back_is_not_counted),
                T(racing_claims_get_different_tasks),
                T(retries_wait_and_the_dead_rest),
                T(three_crashes_quarantine),
                T(a_job_goes_through_its_states),
                T(step_results_are_kept_by_object_step_and_version),
                T(filters_let_through_what_they_say),
                T(pages_neither_repeat_nor_miss_while_others_add),
                T(made_up_cursors_are_refused),
                T(words_are_found_whatever_is_typed),
                T(another_owners_asset_does_not_exist),
                T(purging_gives_the_object_back_when_it_was_the_last),
                T(reprocessing_makes_one_task),
                T(near_duplicates_are_linked_both_ways),
                T(a_failed_commit_does_nothing),
                T(no_single_failed_allocation_breaks_an_ingest),
                T(a_catalog_from_the_future_is_refused),
        };

        return cmocka_run_group_tests_name("catalog (sqlite)", tests, NULL, NULL);
}
