/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks of other purposes than to analyse: claimed, failed, given up and
 * retried as any task, and whatever becomes of them, their asset, its job and
 * the limit of the queue notice nothing.
 */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#define ENRICH_KINDS TASK_KIND(PURPOSE_ENRICH, JOB_IMAGE)

static void add(struct fix *f, struct id id, enum task_purpose p)
{
        OK(catalog_task_add(f->c, id, NULL, p, &f->e));
}

static int try_claim(struct fix *f, uint64_t kinds, struct dur lease, struct task *t)
{
        return catalog_task_claim(f->c, "w", lease, kinds, f->a, t, &f->e);
}

static struct task claim_enrich(struct fix *f)
{
        struct task t;

        assert_int_equal(try_claim(f, ENRICH_KINDS, dur_s(60), &t), 1);
        assert_int_equal(t.purpose, PURPOSE_ENRICH);
        return t;
}

static void fail_task(struct fix *f, const struct task *t, bool dead)
{
        struct task_failure x = {.code = ERR_UNAVAILABLE, .reason = "the model is away", .dead = dead};

        x.retry_at = wall_now();
        OK(catalog_task_fail(f->c, t, &x, &f->e));
}

static const struct asset_task *task_of(const struct asset *x, enum task_purpose p)
{
        for (size_t i = 0; i < x->ntasks; i++)
                if (x->tasks[i].purpose == p)
                        return &x->tasks[i];
        return NULL;
}

/* The asset is done, as it was, and its enrichment is in this state; NULL: there is none. */
static void expect(struct fix *f, struct id id, const char *status, unsigned attempts)
{
        struct asset x = get(f, id);
        const struct asset_task *t = task_of(&x, PURPOSE_ENRICH);
        struct catalog_counts k;
        struct job_view j;

        assert_int_equal(x.status, ASSET_DONE);
        assert_null(x.error);
        assert_string_equal(x.stage, "done");
        OK(catalog_job_get(f->c, x.job_id, NULL, f->a, &j, &f->e));
        assert_int_equal(j.status, JOBS_DONE);
        assert_int_equal(j.done, j.total);
        OK(catalog_counts(f->c, NULL, &k, &f->e));
        assert_int_equal(k.waiting[JOB_IMAGE], 0);
        assert_int_equal(k.dead[JOB_IMAGE][0] + k.dead[JOB_IMAGE][1], 0);
        assert_int_equal(k.assets[KIND_MEDIA][ASSET_DONE], 1);
        assert_true(k.oldest_ready_seconds == 0);
        if (!status) {
                assert_null(t);
                return;
        }
        assert_non_null(t);
        assert_string_equal(asset_task_status(t->state), status);
        assert_int_equal(t->attempts, attempts);
        assert_int_equal(t->error != NULL, attempts > 0);
        if (t->error)
                assert_string_equal(t->stage, "enrich");
        assert_int_equal(k.purpose_waiting[PURPOSE_ENRICH], t->state == TASK_READY || t->state == TASK_LEASED);
        assert_int_equal(k.purpose_dead[PURPOSE_ENRICH][1], t->state == TASK_DEAD);
}

static uint64_t dead_ones(struct fix *f, struct dead_task **out)
{
        uint64_t total;
        const char *next;
        size_t n;

        OK(catalog_dlq_list(f->c, NULL, NULL, 10, NULL, f->a, out, &n, &total, &next, &f->e));
        assert_int_equal(n, total);
        return total;
}

/* ---- the tests ------------------------------------------------------------------------------ */

static void its_life_leaves_the_asset_alone(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);
        struct dead_task *dead;
        struct task t;
        uint64_t moved;

        expect(f, id, NULL, 0);
        add(f, id, PURPOSE_ENRICH);
        expect(f, id, "queued", 0);
        assert_int_equal(try_claim(f, ALL, dur_s(60), &t), 0); /* no work for those who analyse */
        t = claim_enrich(f);
        expect(f, id, "processing", 0);
        assert_int_equal(try_claim(f, ENRICH_KINDS, dur_s(60), &t), 0);
        fail_task(f, &t, false);
        expect(f, id, "queued", 1);
        t = claim_enrich(f);
        OK(catalog_task_extend(f->c, &t, dur_s(60), &f->e));
        OK(catalog_task_release(f->c, &t, dur_ms(0), &f->e));
        expect(f, id, "queued", 1);
        t = claim_enrich(f);
        fail_task(f, &t, true);
        expect(f, id, "failed", 2);
        assert_int_equal(dead_ones(f, &dead), 1);
        assert_int_equal(dead[0].purpose, PURPOSE_ENRICH);
        assert_string_equal(dead[0].stage, "enrich");
        OK(catalog_dlq_retry(f->c, &(struct dlq_choice){.actor = "user"}, &moved, &f->e));
        assert_int_equal(moved, 1);
        expect(f, id, "queued", 0);
        t = claim_enrich(f);
        fail_task(f, &t, true);
        OK(catalog_dlq_discard(f->c, &(struct dlq_choice){.actor = "user", .assets = &id, .n = 1}, &moved, &f->e));
        assert_int_equal(moved, 1);
        expect(f, id, NULL, 0);
        assert_int_equal(dead_ones(f, &dead), 0);
}

static void a_lease_that_runs_out_is_a_crash_of_the_task_alone(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);
        struct dead_task *dead;
        struct task t;

        add(f, id, PURPOSE_ENRICH);
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(try_claim(f, ENRICH_KINDS, dur_ms(0), &t), 1);
                sleep_for(dur_ms(2));
                assert_int_equal(catalog_task_expire(f->c, 3, &f->e), 1);
                expect(f, id, i < 3 ? "queued" : "failed", i);
        }
        assert_int_equal(dead_ones(f, &dead), 1);
        assert_string_equal(dead[0].code, "crashed");
        FAILS(ERR_STALE, catalog_task_fail(f->c, &t, &(struct task_failure){.code = ERR_IO}, &f->e));
}

static void one_of_each_purpose_at_most(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL), none = id_new();
        struct asset x;
        struct task t;

        for (enum task_purpose p = PURPOSE_ENRICH; p < PURPOSE_COUNT; p++)
                add(f, id, p);
        FAILS(ERR_CONFLICT, catalog_task_add(f->c, id, NULL, PURPOSE_ENRICH, &f->e));
        t = claim_enrich(f);
        FAILS(ERR_CONFLICT, catalog_task_add(f->c, id, NULL, PURPOSE_ENRICH, &f->e));
        fail_task(f, &t, true);
        add(f, id, PURPOSE_ENRICH); /* in place of the one that was given up */
        expect(f, id, "queued", 0);
        x = get(f, id);
        assert_int_equal(x.ntasks, PURPOSE_COUNT);
        for (size_t i = 0; i < x.ntasks; i++)
                assert_int_equal(x.tasks[i].purpose, i);
        FAILS(ERR_NOT_FOUND, catalog_task_add(f->c, none, NULL, PURPOSE_ENRICH, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_task_add(f->c, id, "bob", PURPOSE_ENRICH, &f->e));
}

/* Also of one that came with the file, which nobody analyses. */
static void the_queues_limit_counts_analyses(void **state)
{
        struct fix *f = *state;
        struct id first = put_done(f, "ann", "a.jpg", NULL), second = put_done(f, "ann", "b.jpg", NULL);
        struct new_asset x = new_file("c.mp3", KIND_FILE, false);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;
        uint64_t ready;
        struct wall next;

        add(f, first, PURPOSE_ENRICH);
        add(f, second, PURPOSE_ENRICH);
        x.purposes = 1u << PURPOSE_TRANSCRIBE;
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_int_equal(get(f, x.id).status, ASSET_DONE);
        f->opts.queue_max_depth = 1;
        fix_reopen(f);
        put_file(f, "ann", "d.jpg", KIND_MEDIA);
        x = new_file("e.jpg", KIND_MEDIA, true);
        j = new_job_of("ann", &x, 1);
        FAILS(ERR_BUSY, catalog_ingest(f->c, &j, f->a, &r, &f->e));
        OK(catalog_task_ready(f->c, ALL, &ready, &next, &f->e));
        assert_int_equal(ready, 1);
        OK(catalog_task_ready(f->c, ALL | ENRICH_KINDS | TASK_KIND(PURPOSE_TRANSCRIBE, JOB_FILE), &ready, &next,
                              &f->e));
        assert_int_equal(ready, 4);
}

static void a_new_analysis_goes_beside_it(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);
        struct asset x;
        struct task enrich, analyse, again;

        add(f, id, PURPOSE_ENRICH);
        enrich = claim_enrich(f);
        OK(catalog_asset_reprocess(f->c, id, NULL, NULL, "user", &f->e));
        x = get(f, id);
        assert_int_equal(x.status, ASSET_QUEUED);
        assert_int_equal(task_of(&x, PURPOSE_ENRICH)->state, TASK_LEASED);
        FAILS(ERR_CONFLICT, catalog_asset_reprocess(f->c, id, NULL, NULL, "user", &f->e));
        /* Whoever serves both is given what waits for longer. */
        fail_task(f, &enrich, false);
        assert_int_equal(try_claim(f, ALL | ENRICH_KINDS, dur_s(60), &analyse), 1);
        assert_int_equal(analyse.purpose, PURPOSE_ANALYSE);
        assert_int_equal(get(f, id).status, ASSET_PROCESSING);
        assert_int_equal(try_claim(f, ALL | ENRICH_KINDS, dur_s(60), &again), 1);
        assert_int_equal(again.purpose, PURPOSE_ENRICH);
        fail_task(f, &again, true);
        assert_int_equal(get(f, id).status, ASSET_PROCESSING);
        OK(finish(f, &analyse, NULL, (struct placement){.kind = PLACE_UNSORTED}));
        expect(f, id, "failed", 2);
        OK(catalog_asset_purge(f->c, id, NULL, "user", &f->e));
        assert_int_equal(dead_ones(f, &(struct dead_task *){NULL}), 0);
}

static void a_task_is_added_whole_or_not_at_all(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);

        setenv("FILE_ALLOCATOR_FAULT", "task.add=eio", 1);
        fault_init();
        assert_int_equal(catalog_task_add(f->c, id, NULL, PURPOSE_ENRICH, &f->e), -1);
        expect(f, id, NULL, 0);
        setenv("FILE_ALLOCATOR_FAULT", "task.add.after=eio", 1);
        fault_init();
        assert_int_equal(catalog_task_add(f->c, id, NULL, PURPOSE_ENRICH, &f->e), -1);
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        expect(f, id, "queued", 0);
}

/* ---- what it found ------------------------------------------------------------------------------ */

static const struct tag *tag_named(const struct asset *x, const char *name, enum tag_source source)
{
        for (size_t i = 0; i < x->ntags; i++)
                if (x->tags[i].source == source && strcmp(x->tags[i].name, name) == 0)
                        return &x->tags[i];
        return NULL;
}

static int find_tag(struct fix *f, const char *name)
{
        struct tag t = {name, TAG_VLM, 0.75f};
        struct task task = claim_enrich(f);

        return catalog_task_finish(
                f->c,
                &(struct task_finding){.task = &task, .source = TAG_VLM, .has_tags = true, .tags = &t, .ntags = 1},
                &f->e);
}

static void analyse_again(struct fix *f, struct id id, const char *name)
{
        struct tag t = {name, TAG_ZERO_SHOT, 0.5f};
        struct task task;

        OK(catalog_asset_reprocess(f->c, id, NULL, NULL, "user", &f->e));
        task = claim(f);
        OK(catalog_task_complete(
                f->c,
                &(struct task_result){
                        .task = &task, .metadata = "{}", .tags = &t, .ntags = 1, .placement = {.kind = PLACE_KEEP}},
                &f->e));
}

static void a_source_replaces_what_it_said_and_nothing_else(void **state)
{
        static const char *const mine[] = {"holiday"};
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);
        struct asset_patch patch = {.set_tags = true, .tags = mine, .ntags = 1};
        struct text_match m[4];
        struct asset x;
        size_t n;

        OK(catalog_asset_patch(f->c, id, NULL, &patch, "user", NULL, &f->e));
        analyse_again(f, id, "dog");
        add(f, id, PURPOSE_ENRICH);
        OK(find_tag(f, "beagle"));
        expect(f, id, "done", 0);
        analyse_again(f, id, "cat");
        x = get(f, id);
        assert_int_equal(x.ntags, 3);
        assert_non_null(tag_named(&x, "holiday", TAG_HUMAN));
        assert_non_null(tag_named(&x, "beagle", TAG_VLM));
        assert_non_null(tag_named(&x, "cat", TAG_ZERO_SHOT));
        add(f, id, PURPOSE_ENRICH);
        OK(find_tag(f, "pug"));
        x = get(f, id);
        assert_int_equal(x.ntags, 3);
        assert_non_null(tag_named(&x, "pug", TAG_VLM));
        OK(catalog_text_search(f->c, "pug", NULL, 4, m, &n, &f->e));
        assert_int_equal(n, 1);
        OK(catalog_text_search(f->c, "beagle", NULL, 4, m, &n, &f->e));
        assert_int_equal(n, 0);
}

static void a_finding_is_fenced_and_checked(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);
        struct tag t = {"cat", TAG_ZERO_SHOT, 1};
        struct task old, task;
        struct task_finding r = {.task = &task, .source = TAG_VLM, .has_tags = true, .tags = &t, .ntags = 1};

        add(f, id, PURPOSE_ENRICH);
        old = task = claim_enrich(f);
        FAILS(ERR_INVALID, catalog_task_finish(f->c, &r, &f->e));
        r.source = TAG_HUMAN;
        FAILS(ERR_INVALID, catalog_task_finish(f->c, &r, &f->e));
        r.source = t.source = TAG_VLM;
        FAILS(ERR_INVALID,
              catalog_task_complete(f->c, &(struct task_result){.task = &task, .tags = &t, .ntags = 1}, &f->e));
        FAILS(ERR_INTERNAL, catalog_task_complete(f->c, &(struct task_result){.task = &task}, &f->e));
        OK(catalog_task_release(f->c, &task, dur_ms(0), &f->e));
        FAILS(ERR_STALE, catalog_task_finish(f->c, &r, &f->e));
        task = claim_enrich(f);
        setenv("FILE_ALLOCATOR_FAULT", "task.finish=eio", 1);
        fault_init();
        assert_int_equal(catalog_task_finish(f->c, &r, &f->e), -1);
        assert_int_equal(get(f, id).ntags, 0);
        setenv("FILE_ALLOCATOR_FAULT", "task.finish.after=eio", 1);
        fault_init();
        assert_int_equal(catalog_task_finish(f->c, &r, &f->e), -1);
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        assert_int_equal(get(f, id).ntags, 1);
        expect(f, id, "done", 0);
        FAILS(ERR_STALE, catalog_task_finish(f->c, &r, &f->e));
        r.task = &old;
        FAILS(ERR_STALE, catalog_task_finish(f->c, &r, &f->e));
}

/* Also into the sum of the folder that it is in. */
static void a_vector_of_a_finding_is_searched(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);
        struct vector_match m[4];
        struct part_room room;
        struct task task;
        float v[DIM];
        size_t n;

        fix_warm(f, MODEL);
        unit_vector(3, v);
        add(f, id, PURPOSE_ENRICH);
        task = claim_enrich(f);
        OK(catalog_task_finish(f->c,
                               &(struct task_finding){.task = &task,
                                                      .source = TAG_VLM,
                                                      .parts = part_list_whole(&room, MODEL, v, DIM)},
                               &f->e));
        OK(catalog_vector_search(f->c, MODEL, v, NULL, 4, m, &n, &f->e));
        assert_int_equal(n, 1);
        assert_true(id_eq(m[0].asset, id));
}

/* ---- whatever happens ------------------------------------------------------------------------ */

static uint64_t dice;

static unsigned roll(unsigned below)
{
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        return (unsigned)(dice >> 33) % below;
}

static void step(struct fix *f, struct id *ids, size_t n)
{
        static const uint64_t all = ~UINT64_C(0) >> (64 - PURPOSE_COUNT * JOB_TYPE_COUNT);
        struct id id = ids[roll((unsigned)n)];
        struct dlq_choice one = {.assets = &id, .n = 1, .actor = "user"};
        struct task_failure x = {.code = ERR_IO, .reason = "no", .dead = roll(2), .retry_at = wall_now()};
        struct task t;
        uint64_t moved;

        switch (roll(7)) {
        case 0:
                if (catalog_task_add(f->c, id, NULL, PURPOSE_ENRICH + roll(PURPOSE_COUNT - 1), &f->e) < 0)
                        assert_int_equal(f->e.code, ERR_CONFLICT);
                break;
        case 1:
                if (catalog_asset_reprocess(f->c, id, NULL, NULL, "user", &f->e) < 0)
                        assert_int_equal(f->e.code, ERR_CONFLICT);
                break;
        case 2:
                OK(catalog_dlq_retry(f->c, &one, &moved, &f->e));
                break;
        case 3:
                OK(catalog_dlq_discard(f->c, &one, &moved, &f->e));
                break;
        case 4:
                assert_true(catalog_task_expire(f->c, 2, &f->e) >= 0);
                break;
        default: /* a lease that is left to run out, a failure, a success */
                if (try_claim(f, all, dur_ms(roll(2) ? 0 : 60000), &t) != 1 || roll(3) == 0)
                        break;
                if (t.purpose == PURPOSE_ANALYSE && roll(2))
                        OK(finish(f, &t, NULL, (struct placement){.kind = PLACE_UNSORTED}));
                else
                        OK(catalog_task_fail(f->c, &t, &x, &f->e));
        }
}

static void whatever_happens_an_asset_follows_its_analysis(void **state)
{
        struct fix *f = *state;
        const char *given = getenv("FA_SEED");
        struct id ids[6];
        struct catalog_counts k;

        dice = given ? strtoull(given, NULL, 10) | 1 : UINT64_C(20260101);
        print_message("seed %llu (FA_SEED)\n", (unsigned long long)dice);
        for (size_t i = 0; i < COUNT_OF(ids); i++)
                ids[i] = put_done(f, "ann", "a.jpg", NULL);
        for (int round = 0; round < 300; round++) {
                uint64_t tasks = 0, waiting = 0, ready = 0, shown = 0, by_status[ASSET_STATUS_COUNT] = {0};
                struct wall next;
                step(f, ids, COUNT_OF(ids));
                for (size_t i = 0; i < COUNT_OF(ids); i++) {
                        struct asset x = get(f, ids[i]);
                        const struct asset_task *t = task_of(&x, PURPOSE_ANALYSE);
                        if (t)
                                assert_string_equal(asset_task_status(t->state), asset_status_name(x.status));
                        by_status[x.status]++;
                        for (size_t j = 0; j < x.ntasks; j++)
                                tasks += x.tasks[j].purpose && x.tasks[j].state < TASK_DONE;
                }
                OK(catalog_counts(f->c, NULL, &k, &f->e));
                for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++)
                        waiting += k.purpose_waiting[p];
                assert_int_equal(waiting, tasks);
                assert_int_equal(k.waiting[JOB_IMAGE], by_status[ASSET_QUEUED] + by_status[ASSET_PROCESSING]);
                for (int s = 0; s < ASSET_STATUS_COUNT; s++)
                        shown += k.assets[KIND_MEDIA][s] == by_status[s];
                assert_int_equal(shown, ASSET_STATUS_COUNT);
                OK(catalog_task_ready(f->c, ALL, &ready, &next, &f->e));
                assert_true(ready <= by_status[ASSET_QUEUED]);
                arena_free(f->a);
                f->a = arena_new(256 << 20);
        }
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(its_life_leaves_the_asset_alone),
                T(a_lease_that_runs_out_is_a_crash_of_the_task_alone),
                T(one_of_each_purpose_at_most),
                T(the_queues_limit_counts_analyses),
                T(a_new_analysis_goes_beside_it),
                T(a_task_is_added_whole_or_not_at_all),
                T(a_source_replaces_what_it_said_and_nothing_else),
                T(a_finding_is_fenced_and_checked),
                T(a_vector_of_a_finding_is_searched),
                T(whatever_happens_an_asset_follows_its_analysis),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
