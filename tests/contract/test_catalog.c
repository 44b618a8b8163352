/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's contract: ingest, tasks, the dead-letter queue. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

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
        assert_false(r2.other_content);
        FAILS(ERR_CONFLICT, catalog_ingest(f->c, &again, f->a, &r2, &f->e));
        assert_true(r2.other_content && id_eq(r2.job_id, j.id));
        FAILS(ERR_CONFLICT, catalog_idempotency_find(f->c, &again, f->a, &r2, &f->e));
        assert_true(r2.other_content && id_eq(r2.job_id, j.id));
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

/* Only SQLite's file is ours to watch; deleting is not asked whether there is room. */
static void room_is_left_to_delete(void **state)
{
        struct fix *f = *state;
        bool ours = strcmp(ENGINE, "sqlite") == 0;
        struct catalog_state st;

        OK(catalog_room(f->c, &f->e));
        catalog_close(f->c);
        f->opts.min_free = 1;
        fix_open(f);
        OK(catalog_room(f->c, &f->e));
        catalog_state(f->c, &st);
        assert_true(st.ok && !*st.note);
        catalog_close(f->c);
        f->opts.min_free = UINT64_MAX;
        fix_open(f);
        assert_int_equal(catalog_room(f->c, &f->e), ours ? -1 : 0);
        if (!ours)
                return;
        assert_int_equal(f->e.code, ERR_NO_SPACE);
        catalog_state(f->c, &st);
        assert_true(st.ok);
        assert_non_null(strstr(st.note, "MIN_FREE_SPACE"));
        struct id id = put_file(f, "ann", "1", KIND_FILE);
        OK(catalog_asset_trash(f->c, id, "ann", "ann", &f->e));
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
        struct id *ids = mem_calloc(THREADS * EACH, sizeof *ids);
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
                        if (catalog_ingest(f->c, &j, a, &r, &e) < 0 || write(p[1], &x.id, sizeof x.id) < 0)
                                _exit(2);
                        arena_free(a);
                }
        }
        close(p[1]);
        while (n < 50 && read(p[0], &id, sizeof id) == (ssize_t)sizeof id)
                n++;
        assert_int_equal(n, 50);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        fix_open(f);
        while (read(p[0], &id, sizeof id) == (ssize_t)sizeof id) {
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
        OK(catalog_task_release(f->c, &old, (struct dur){0}, &f->e));
        OK(catalog_task_extend(f->c, &now, dur_s(9), &f->e));
        OK(finish(f, &now, NULL, (struct placement){0}));
        FAILS(ERR_STALE, finish(f, &now, NULL, (struct placement){0}));
        /* The heartbeat is not counted here: the worker knows whether it really lost a lease. */
        assert_true(metrics_get(METRIC_TOKENS_REJECTED) == rejected + 4);
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
        OK(catalog_task_release(f->c, &t, (struct dur){0}, &f->e));
        t = claim(f);
        assert_int_equal(t.deliveries, 1);
        assert_int_equal(t.crashes + t.errors, 0);
        OK(catalog_task_release(f->c, &t, dur_s(60), &f->e));
        assert_int_equal(catalog_task_claim(f->c, "w", dur_s(60), ALL, f->a, &t, &f->e), 0);
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
        struct task_failure fail = {
                .stage = "decode", .code = ERR_TIMEOUT, .reason = "slow", .retry_at = wall_add(wall_now(), dur_s(60))};
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
        OK(catalog_dlq_list(f->c, NULL, NULL, 10, NULL, f->a, &dead, &ndead, &total, &cursor, &f->e));
        assert_int_equal(ndead, 1);
        assert_int_equal(total, 1);
        OK(catalog_dlq_list(f->c, NULL, "embed", 10, NULL, f->a, &dead, &ndead, &total, &cursor, &f->e));
        assert_int_equal(total, 0);
        OK(catalog_dlq_get(f->c, t.job_id, NULL, f->a, &dead, &ndead, &f->e));
        assert_int_equal(dead[0].nhistory, 1);
        assert_string_equal(dead[0].history[0].code, "corrupt");
        OK(catalog_counts(f->c, "ann", &n, &f->e));
        assert_int_equal(n.dead[JOB_IMAGE][0], 1);
        OK(catalog_dlq_retry(f->c, &(struct dlq_choice){.job = &t.job_id}, &moved, &f->e));
        assert_int_equal(moved, 1);
        assert_int_equal(get(f, t.asset_id).status, ASSET_QUEUED);
        t = claim(f);
        assert_int_equal(t.errors, 0);
        OK(catalog_task_fail(f->c, &t, &fail, &f->e));
        OK(catalog_dlq_get(f->c, t.job_id, NULL, f->a, &dead, &ndead, &f->e));
        assert_int_equal(dead[0].nhistory, 2);
        OK(catalog_dlq_discard(f->c, &(struct dlq_choice){.job = &t.job_id, .assets = &t.asset_id, .n = 1}, &moved,
                               &f->e));
        assert_int_equal(moved, 1);
        FAILS(ERR_NOT_FOUND, catalog_dlq_get(f->c, t.job_id, NULL, f->a, &dead, &ndead, &f->e));
        assert_int_equal(get(f, t.asset_id).status, ASSET_FAILED);
        OK(catalog_dlq_retry(f->c, &(struct dlq_choice){0}, &moved, &f->e));
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

/* Another asset with the bytes of one. */
static void put_copy(struct fix *f, const char *owner, struct id of)
{
        struct new_asset x = new_file("copy.jpg", KIND_MEDIA, false);
        struct new_job j = new_job_of(owner, &x, 1);
        struct job_receipt r;

        x.sha256 = get(f, of).sha256;
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
}

/* Completes the next task, which leaves that of the object. */
static void complete_with_step(struct fix *f, const char *data)
{
        struct task t = claim(f);
        const struct task_result r = {.task = &t,
                                      .metadata = "{}",
                                      .step = "image",
                                      .step_version = "1/m",
                                      .step_data = span_of(data),
                                      .placement = {.kind = PLACE_UNSORTED, .similarity = -1}};

        OK(catalog_task_complete(f->c, &r, &f->e));
}

static void step_results_are_kept_by_object_step_and_version(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        struct sha256 h = get(f, id).sha256;
        struct span out;

        complete_with_step(f, "learnt");
        put_copy(f, "bob", id);
        assert_int_equal(catalog_step_get(f->c, h, "ann", "image", "1/m", f->a, &out, &f->e), 0);
        assert_int_equal(catalog_step_get(f->c, h, "bob", "image", "1/m", f->a, &out, &f->e), 0);
        put_copy(f, "ann", id);
        assert_int_equal(catalog_step_get(f->c, h, "ann", "image", "1/m", f->a, &out, &f->e), 1);
        assert_true(span_eq(out, "learnt"));
        assert_int_equal(catalog_step_get(f->c, h, "ann", "image", "2/m", f->a, &out, &f->e), 0);
        assert_int_equal(catalog_step_get(f->c, h, "ann", "decode", "1/m", f->a, &out, &f->e), 0);
        OK(catalog_asset_reprocess(f->c, id, "ann", NULL, "user", &f->e));
        complete_with_step(f, "learnt anew");
        assert_int_equal(catalog_step_get(f->c, h, "ann", "image", "1/m", f->a, &out, &f->e), 1);
        assert_true(span_eq(out, "learnt anew"));
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
                T(room_is_left_to_delete),
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
        };

        return cmocka_run_group_tests_name("catalog (" ENGINE ")", tests, NULL, NULL);
}
