/* SPDX-License-Identifier: Apache-2.0 */
/* Several instances on one database: placements decided at the same time, one that hangs in the middle of a write. */
#include "contract/catalog_postgres_backend.h"

static uint64_t version(struct fix *f, const char *owner)
{
        uint64_t v = 0;

        OK(catalog_placing_version(f->c, owner, &v, &f->e));
        assert_true(v > 0);
        return v;
}

static struct placement found(const char *name, uint64_t seen)
{
        return (struct placement){.kind = PLACE_FOUND,
                                  .cluster_id = id_new(),
                                  .name = name,
                                  .threshold = 0.7f,
                                  .similarity = 0.9f,
                                  .seen = seen};
}

static struct task next(struct fix *f, const char *owner)
{
        put_file(f, owner, "a.jpg", KIND_MEDIA);
        return claim(f);
}

static void a_decision_others_made_wrong_is_made_again(void **state)
{
        struct fix *f = *state;
        float v[DIM];
        uint64_t seen;
        struct task a, b;

        fix_warm(f, MODEL);
        unit_vector(1, v);
        a = next(f, "ann");
        b = next(f, "ann");
        seen = version(f, "ann");
        OK(finish(f, &a, v, found("Dogs", seen)));
        /* The other instance decided before it could see that folder. */
        FAILS(ERR_CONFLICT, finish(f, &b, v, found("Dogs", seen)));
        FAILS(ERR_CONFLICT, finish(f, &b, v, (struct placement){.kind = PLACE_UNSORTED, .seen = seen}));
        assert_int_equal(version(f, "ann"), seen + 1); /* a refused one leaves no mark */
        OK(finish(f, &b, v, (struct placement){.kind = PLACE_UNSORTED, .seen = seen + 1}));
        assert_int_equal(version(f, "ann"), seen + 2);
        assert_int_equal(version(f, "bob"), 1);
}

static void what_makes_no_decision_wrong_is_in_nobodys_way(void **state)
{
        struct fix *f = *state;
        struct placement into = {.kind = PLACE_ASSIGN, .similarity = 0.9f};
        float v[DIM];
        uint64_t seen;
        struct task a, b, c;

        fix_warm(f, MODEL);
        unit_vector(1, v);
        a = next(f, "ann");
        b = next(f, "ann");
        c = next(f, "ann");
        OK(catalog_cluster_create(f->c, "ann", "All", 0.5f, "user", &into.cluster_id, &f->e));
        seen = version(f, "ann");
        into.seen = seen;
        OK(finish(f, &a, v, into));
        OK(finish(f, &b, v, (struct placement){.kind = PLACE_UNSORTED})); /* not looked at: the model was unsure */
        OK(finish(f, &c, v, found("Dogs", seen)));
}

/* An instance that stops for good between a write's last statement and its COMMIT. */
static pid_t start_hanging(struct fix *f, const char *owner)
{
        pid_t pid = fork();

        if (pid == 0) {
                struct catalog *c;
                struct err e;
                struct id id;
                if (catalog_open(&f->opts, &c, &e) == 0) {
                        setenv("FILE_ALLOCATOR_FAULT", "catalog.commit=stall", 1);
                        fault_init();
                        if (catalog_cluster_create(c, owner, "Hung", 0.5f, "user", &id, &e) == 0)
                                _exit(1);
                }
                _exit(2);
        }
        for (int i = 0; i < 1000; i++) {
                if (pgtest_number("postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in "
                                              "transaction' AND state_change < clock_timestamp() - interval '0.2 s'"))
                        return pid;
                sleep_for(dur_ms(20));
        }
        fail_msg("the other instance never began");
        return pid;
}

static void who_hangs_in_a_write_gives_way(void **state)
{
        struct fix *f = *state;
        pid_t hung = start_hanging(f, "ann");
        struct id id;
        int status;

        /* Its session is ended by the server before those who wait for the owner give up. */
        OK(catalog_cluster_create(f->c, "ann", "All", 0.5f, "user", &id, &f->e));
        kill(hung, SIGKILL);
        waitpid(hung, &status, 0);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(pgtest_number(pgtest_database(f->url), "SELECT count(*) FROM cluster"), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(a_decision_others_made_wrong_is_made_again),
                T(what_makes_no_decision_wrong_is_in_nobodys_way),
                T(who_hangs_in_a_write_gives_way),
        };

        return cmocka_run_group_tests_name("postgres, several instances", tests, NULL, NULL);
}
