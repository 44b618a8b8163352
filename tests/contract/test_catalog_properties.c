/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold whatever the order of calls: lists that are read while others
 * write, cursors that were changed, keys of idempotency used again and again.
 * A fixed seed decides the order, FA_SEED another; a failure prints it.
 */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

static uint64_t dice;

static unsigned roll(unsigned below)
{
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        return (unsigned)(dice >> 33) % below;
}

static int seed(void)
{
        const char *given = getenv("FA_SEED");
        dice = given ? strtoull(given, NULL, 10) | 1 : UINT64_C(20260101);
        print_message("seed %llu (FA_SEED)\n", (unsigned long long)dice);
        return 0;
}

static int setup(void **state)
{
        seed();
        return fix_setup(state);
}

/* ---- lists --------------------------------------------------------------------------------- */

#define MOST    2000
#define AT_ONCE 60

/* What the test knows of a file. */
struct known {
        struct id id;
        const char *owner;
        enum asset_kind kind;
        char name[24];
        bool tagged, trashed;
        bool touched; /* changed since the walk began: it may be seen or not, but not twice */
        unsigned seen;
};

struct shelf {
        struct fix *f;
        struct known *files;
        size_t n;
};

static void add_file(struct shelf *s)
{
        static const char *const words[] = {"cat", "Cat", "ÄPFEL", "äpfel", "dog", "zebra 9", "a%b"};
        static const char *const tags[] = {"sea"};
        struct known *k = &s->files[s->n++];
        struct new_asset x;
        struct new_job j;
        struct job_receipt r;
        struct fix *f = s->f;

        assert_true(s->n <= MOST);
        *k = (struct known){
                .owner = roll(3) ? "ann" : "bob", .kind = roll(2) ? KIND_MEDIA : KIND_FILE, .touched = true};
        /* few names and sizes, so that many rows share a sort key */
        snprintf(k->name, sizeof k->name, "%s.%s", words[roll(COUNT_OF(words))], roll(2) ? "jpg" : "JPG");
        k->tagged = roll(2);
        x = new_file(k->name, k->kind, false);
        x.size = 1 + roll(4);
        k->id = x.id;
        j = new_job_of(k->owner, &x, 1);
        j.tags = tags;
        j.ntags = k->tagged;
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
}

static void change_file(struct shelf *s)
{
        struct known *k = &s->files[roll((unsigned)s->n)];
        struct fix *f = s->f;

        k->touched = true;
        if (k->trashed) {
                OK(catalog_asset_restore(f->c, k->id, k->owner, "user", &f->e));
                k->trashed = false;
        } else if (roll(2)) {
                OK(catalog_asset_trash(f->c, k->id, k->owner, "user", &f->e));
                k->trashed = true;
        } else {
                snprintf(k->name, sizeof k->name, "moved %u.jpg", roll(9));
                OK(catalog_asset_patch(f->c, k->id, k->owner, &(struct asset_patch){.filename = k->name}, "user", NULL,
                                       &f->e));
        }
}

static bool has_cat(const char *name)
{
        return strncmp(name, "cat", 3) == 0 || strncmp(name, "Cat", 3) == 0;
}

/* The filter as the test understands it. */
static bool belongs(const struct known *k, const struct asset_filter *a)
{
        return k->trashed == a->trashed && (!a->owner || strcmp(a->owner, k->owner) == 0) &&
               (!a->kinds || a->kinds & 1U << k->kind) && (!a->ntags || k->tagged) && (!a->name || has_cat(k->name));
}

static struct known *known_of(struct shelf *s, struct id id)
{
        for (size_t i = 0; i < s->n; i++)
                if (id_eq(s->files[i].id, id))
                        return &s->files[i];
        fail_msg("a file that nobody put there");
        return NULL;
}

static void page_is_as_filtered(struct shelf *s, const struct asset_filter *a, const struct asset_page *p)
{
        for (size_t i = 0; i < p->n; i++) {
                struct known *k = known_of(s, p->assets[i].id);
                k->seen++;
                if (!belongs(k, a))
                        fail_msg("%s of %s does not belong in this list", k->name, k->owner);
        }
}

/* From the first page to the last, with changes in between. */
static void walk(struct shelf *s, const struct asset_filter *a, enum asset_sort sort)
{
        struct fix *f = s->f;
        struct asset_page p = {0};
        unsigned pages = 0;

        for (size_t i = 0; i < s->n; i++) {
                s->files[i].seen = 0;
                s->files[i].touched = false;
        }
        do {
                OK(catalog_asset_list(f->c, a, sort, 1 + roll(20), p.next, f->a, &p, &f->e));
                page_is_as_filtered(s, a, &p);
                for (unsigned i = roll(4); i > 0 && pages < AT_ONCE; i--)
                        roll(2) ? add_file(s) : change_file(s);
        } while (p.next && ++pages < 500);
        assert_null(p.next);
        for (size_t i = 0; i < s->n; i++) {
                const struct known *k = &s->files[i];
                bool by_name = sort == SORT_NAME_ASC || sort == SORT_NAME_DESC;
                if (k->seen > 1 && !(k->touched && by_name))
                        fail_msg("%s was seen %u times", k->name, k->seen);
                if (!k->touched && k->seen != belongs(k, a))
                        fail_msg("%s was seen %u times, sort %d", k->name, k->seen, (int)sort);
        }
}

static void no_file_twice_or_missed_while_others_change(void **state)
{
        static const char *const sea[] = {"sea"};
        const struct asset_filter filters[] = {
                {0},
                {.owner = "ann"},
                {.kinds = 1U << KIND_FILE},
                {.name = "CAT"},
                {.tags = sea, .ntags = 1},
                {.owner = "bob", .kinds = 1U << KIND_MEDIA, .name = "cat"},
                {.trashed = true},
        };
        struct fix *f = *state;
        struct shelf s = {.f = f, .files = mem_calloc(MOST, sizeof *s.files)};

        assert_non_null(s.files);
        while (s.n < 150)
                add_file(&s);
        for (size_t i = 0; i < COUNT_OF(filters); i++)
                for (int sort = SORT_CREATED_DESC; sort <= SORT_SIZE_ASC; sort++)
                        walk(&s, &filters[i], (enum asset_sort)sort);
        print_message("%zu walks, %zu files at the end\n", COUNT_OF(filters) * 6, s.n);
        mem_free(s.files);
}

/* Jobs, folders and failures go through the same pages: that each hands its own number and key over is shown here. */
static void count_ids(const struct id *ids, size_t n, const struct id *all, size_t nall)
{
        for (size_t i = 0; i < nall; i++) {
                unsigned times = 0;
                for (size_t k = 0; k < n; k++)
                        times += id_eq(ids[k], all[i]);
                assert_int_equal(times, 1);
        }
}

static void jobs_and_folders_too(void **state)
{
        struct fix *f = *state;
        struct id folders[30], jobs[30], seen[300];
        struct arena *a = f->a;
        const char *next = NULL;
        size_t n, got = 0;

        for (int i = 0; i < 30; i++) {
                char name[16];
                struct asset x;
                snprintf(name, sizeof name, "f%d", i);
                OK(catalog_cluster_create(f->c, "ann", name, 0.7f, "user", &folders[i], &f->e));
                x = get(f, put_file(f, "ann", name, KIND_FILE));
                jobs[i] = x.job_id;
        }
        do {
                struct job_view *v;
                OK(catalog_job_list(f->c, "ann", -1, 1 + roll(7), next, a, &v, &n, &next, &f->e));
                for (size_t i = 0; i < n; i++)
                        seen[got++] = v[i].id;
                put_file(f, roll(2) ? "ann" : "bob", "more", KIND_FILE);
        } while (next);
        count_ids(seen, got, jobs, 30);
        for (int sort = CLUSTERS_BY_NAME; sort <= CLUSTERS_BY_CREATED; sort++) {
                struct cluster_filter of = {.owner = "ann", .status = -1};
                got = 0;
                do {
                        struct cluster *c;
                        uint64_t total;
                        OK(catalog_cluster_list(f->c, &of, (enum cluster_sort)sort, 1 + roll(7), next, a, &c, &n,
                                                &total, &next, &f->e));
                        for (size_t i = 0; i < n; i++)
                                seen[got++] = c[i].id;
                } while (next && got < 290);
                assert_null(next);
                assert_int_equal(got, 30);
                count_ids(seen, got, folders, 30);
        }
}

static void fail_one(struct fix *f, const char *name)
{
        struct task t;

        put_file(f, "ann", name, KIND_MEDIA);
        t = claim(f);
        struct task_failure why = {.stage = "decode", .code = ERR_CORRUPT, .reason = "no picture", .dead = true};
        OK(catalog_task_fail(f->c, &t, &why, &f->e));
}

static void failures_too(void **state)
{
        struct fix *f = *state;
        struct id seen[100];
        const char *next = NULL;
        size_t n, got = 0;
        uint64_t total;

        for (int i = 0; i < 25; i++)
                fail_one(f, "broken");
        do {
                struct dead_task *d;
                OK(catalog_dlq_list(f->c, "ann", NULL, 1 + roll(5), next, f->a, &d, &n, &total, &next, &f->e));
                for (size_t i = 0; i < n; i++)
                        seen[got++] = d[i].asset_id;
                if (got < 20)
                        fail_one(f, "broken later");
        } while (next);
        for (size_t i = 0; i < got; i++)
                for (size_t k = 0; k < i; k++)
                        assert_false(id_eq(seen[i], seen[k]));
        assert_int_equal(got, 25); /* newest first: those that failed meanwhile stand before the first page */
}

/* ---- cursors -------------------------------------------------------------------------------- */

static bool taken(struct fix *f, const struct asset_filter *a, enum asset_sort sort, const char *cursor)
{
        struct asset_page p;
        int rc = catalog_asset_list(f->c, a, sort, 2, cursor, f->a, &p, &f->e);

        if (rc < 0 && (f->e.code != ERR_INVALID || strncmp(f->e.msg, "cursor", 6) != 0))
                fail_msg("%s: %s", err_name(f->e.code), f->e.msg);
        return rc == 0;
}

static void no_bit_of_a_cursor_can_be_changed(void **state)
{
        struct fix *f = *state;
        struct asset_filter all = {0};
        char bent[2048];
        unsigned tried = 0;

        for (int i = 0; i < 5; i++)
                put_file(f, "ann", i % 2 ? "straße über.jpg" : "x.jpg", KIND_MEDIA);
        for (int sort = SORT_CREATED_DESC; sort <= SORT_SIZE_ASC; sort++) {
                struct asset_page p;
                OK(catalog_asset_list(f->c, &all, (enum asset_sort)sort, 2, NULL, f->a, &p, &f->e));
                size_t n = strlen(p.next);
                assert_true(taken(f, &all, (enum asset_sort)sort, p.next));
                for (size_t bit = 0; bit < 8 * n; bit++, tried++) {
                        memcpy(bent, p.next, n + 1);
                        bent[bit / 8] = (char)(bent[bit / 8] ^ 1 << bit % 8);
                        if (bent[0] && taken(f, &all, (enum asset_sort)sort, bent))
                                fail_msg("bit %zu of %s", bit, p.next);
                }
                for (size_t cut = 1; cut < n; cut++, tried++) { /* and of any length */
                        snprintf(bent, sizeof bent, "%.*s", (int)cut, p.next);
                        assert_false(taken(f, &all, (enum asset_sort)sort, bent));
                        snprintf(bent, sizeof bent, "%s%.*s", p.next, (int)cut, p.next);
                        assert_false(taken(f, &all, (enum asset_sort)sort, bent));
                }
        }
        print_message("%u changed cursors refused\n", tried);
}

static void another_catalogs_cursor_is_refused(void **state)
{
        struct fix *f = *state, other = {0};
        struct asset_filter all = {0};
        struct asset_page p, q;

        for (int i = 0; i < 3; i++)
                put_file(f, "ann", "x.jpg", KIND_FILE);
        OK(catalog_asset_list(f->c, &all, SORT_SIZE_ASC, 2, NULL, f->a, &p, &f->e));
        suite_backend.make(other.url, sizeof other.url, other.data, sizeof other.data);
        other.opts = f->opts;
        other.opts.url = other.url;
        other.opts.data_path = other.data;
        fix_open(&other);
        FAILS(ERR_INVALID, catalog_asset_list(other.c, &all, SORT_SIZE_ASC, 2, p.next, f->a, &q, &f->e));
        catalog_close(other.c);
        suite_backend.drop(other.url, other.data);
        fix_reopen(f); /* its own are good after a restart */
        OK(catalog_asset_list(f->c, &all, SORT_SIZE_ASC, 2, p.next, f->a, &q, &f->e));
        assert_int_equal(q.n, 1);
}

/* Row numbers are counted over all owners: read out of a cursor they would tell how much others upload. */
static void a_cursor_does_not_show_row_numbers(void **state)
{
        struct fix *f = *state;
        struct asset_filter bob = {.owner = "bob"};
        struct asset_page p, q;
        size_t same = 0, n;

        for (int i = 0; i < 4; i++)
                put_file(f, "bob", "x.jpg", KIND_FILE);
        OK(catalog_asset_list(f->c, &bob, SORT_SIZE_ASC, 1, NULL, f->a, &p, &f->e));
        OK(catalog_asset_list(f->c, &bob, SORT_SIZE_ASC, 1, p.next, f->a, &q, &f->e));
        n = strlen(p.next);
        assert_int_equal(strlen(q.next), n);
        /* All but the number is the same in both, and the number differs in one byte: in the open most would agree. */
        for (size_t i = 0; i < n; i++)
                same += p.next[i] == q.next[i];
        assert_true(same < n / 3);
}

/* ---- what others' files change ------------------------------------------------------------- */

static size_t ranks_of(struct fix *f, const char *owner, struct text_match *m)
{
        struct asset_filter of = {.owner = owner};
        size_t n;

        OK(catalog_text_search(f->c, "sea dog", &of, 20, m, &n, &f->e));
        return n;
}

static void ranks_do_not_depend_on_others_texts(void **state)
{
        static const char *const names[] = {"sea dog.jpg", "dog of the sea, dog.jpg", "a sea and a dog and a ship.jpg",
                                            "sea sea sea dog.jpg"};
        struct fix *f = *state;
        struct text_match before[20], after[20];
        size_t n;

        for (size_t i = 0; i < COUNT_OF(names); i++)
                put_file(f, "bob", names[i], KIND_FILE);
        n = ranks_of(f, "bob", before);
        assert_int_equal(n, COUNT_OF(names));
        assert_true(before[0].rank < before[n - 1].rank); /* there is an order to change */
        for (int i = 0; i < 60; i++)                      /* makes one word common, the other rare, and texts long */
                put_file(f, "ann",
                         i % 2 ? "sea sea sea of many words that say nothing at all to anybody.jpg" : "dog.jpg",
                         KIND_FILE);
        assert_int_equal(ranks_of(f, "bob", after), n);
        for (size_t i = 0; i < n; i++) {
                assert_true(id_eq(after[i].asset, before[i].asset));
                assert_true(after[i].rank <= before[i].rank && after[i].rank >= before[i].rank);
        }
}

/* ---- idempotency ------------------------------------------------------------------------------ */

#define KEYS     4
#define CONTENTS 3
#define OWNERS   2
#define SCOPES   2

struct first_use {
        bool used;
        unsigned content;
        struct id job, asset;
};

static void idempotency_is_a_table_of_first_uses(void **state)
{
        static const char *const owners[OWNERS] = {"ann", "bob"}, *const scopes[SCOPES] = {"", "key-1"};
        static const char *const keys[KEYS] = {"a", "b", "A", "a "};
        struct fix *f = *state;
        struct first_use table[OWNERS][SCOPES][KEYS] = {0};
        unsigned fresh = 0, replayed = 0, refused = 0;

        for (int i = 0; i < 400; i++) {
                unsigned o = roll(OWNERS), s = roll(SCOPES), k = roll(KEYS), content = roll(CONTENTS);
                struct first_use *u = &table[o][s][k];
                struct new_asset x = new_file("a", KIND_FILE, false);
                struct new_job j = new_job_of(owners[o], &x, 1);
                struct job_receipt r = {0};
                j.idempotency_scope = scopes[s];
                j.idempotency_key = keys[k];
                j.content_hash = sha256_of(&content, sizeof content);
                if (u->used && u->content != content) {
                        FAILS(ERR_CONFLICT, catalog_ingest(f->c, &j, f->a, &r, &f->e));
                        assert_true(id_eq(r.job_id, u->job));
                        refused++;
                        continue;
                }
                OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
                assert_int_equal(r.replayed, u->used);
                if (!u->used)
                        *u = (struct first_use){true, content, j.id, x.id};
                assert_true(id_eq(r.job_id, u->job) && id_eq(r.assets[0], u->asset));
                r.replayed ? replayed++ : fresh++;
        }
        assert_int_equal(fresh, OWNERS * SCOPES * KEYS);
        struct asset_page p;
        OK(catalog_asset_list(f->c, &(struct asset_filter){0}, SORT_SIZE_ASC, 1, NULL, f->a, &p, &f->e));
        assert_int_equal(p.total, fresh); /* what was replayed or refused left nothing */
        print_message("%u first uses, %u replayed, %u refused\n", fresh, replayed, refused);
}

static void a_request_that_was_refused_leaves_its_key_free(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_MEDIA, true);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;

        catalog_close(f->c);
        f->opts.queue_max_depth = 1;
        fix_open(f);
        put_file(f, "ann", "fills the queue", KIND_MEDIA);
        j.idempotency_key = "k";
        FAILS(ERR_BUSY, catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_int_equal(catalog_idempotency_find(f->c, &j, f->a, &r, &f->e), 0);
        j.content_hash = sha256_of("other", 5); /* not even bound to the refused content */
        struct task t = claim(f);
        OK(finish(f, &t, NULL, (struct placement){.kind = PLACE_UNSORTED}));
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_false(r.replayed);
}

struct racer {
        struct fix *f;
        struct arena *a;
        struct new_asset x;
        struct new_job j;
        struct job_receipt r;
        struct err e;
        int rc;
        unsigned content, key;
};

static void *race(void *arg)
{
        struct racer *g = arg;

        g->rc = catalog_ingest(g->f->c, &g->j, g->a, &g->r, &g->e);
        return NULL;
}

/* Of all that come at once with one key, one content wins; the same content gets that answer, another a conflict. */
static void one_round_of_racers(struct fix *f, struct racer *g, size_t n, int round)
{
        pthread_t t[16];

        for (size_t i = 0; i < n; i++) {
                g[i] = (struct racer){.f = f, .x = new_file("a", KIND_FILE, false), .a = arena_new(1 << 20)};
                g[i].content = roll(2);
                g[i].key = roll(2);
                g[i].j = new_job_of("ann", &g[i].x, 1);
                g[i].j.idempotency_key = arena_printf(g[i].a, "%u of %d", g[i].key, round);
                g[i].j.content_hash = sha256_of(&g[i].content, sizeof g[i].content);
        }
        for (size_t i = 0; i < n; i++)
                assert_int_equal(pthread_create(&t[i], NULL, race, &g[i]), 0);
        for (size_t i = 0; i < n; i++)
                pthread_join(t[i], NULL);
}

static void of_many_at_once_one_content_wins_each_key(void **state)
{
        struct fix *f = *state;
        struct racer g[16];

        for (int round = 0; round < 5; round++) {
                one_round_of_racers(f, g, COUNT_OF(g), round);
                for (unsigned key = 0; key < 2; key++) {
                        const struct racer *won = NULL;
                        for (size_t i = 0; i < COUNT_OF(g); i++)
                                if (g[i].key == key && g[i].rc == 0 && !g[i].r.replayed) {
                                        assert_null(won);
                                        won = &g[i];
                                }
                        for (size_t i = 0; i < COUNT_OF(g); i++) {
                                if (g[i].key != key)
                                        continue;
                                assert_non_null(won);
                                assert_int_equal(g[i].rc, g[i].content == won->content ? 0 : -1);
                                assert_true(g[i].rc == 0 || g[i].e.code == ERR_CONFLICT);
                                assert_true(id_eq(g[i].r.job_id, won->j.id));
                        }
                }
                for (size_t i = 0; i < COUNT_OF(g); i++)
                        arena_free(g[i].a);
        }
}

static void keys_are_free_after_their_time(void **state)
{
        struct fix *f = *state;
        struct job_receipt r;

        catalog_close(f->c);
        f->opts.idempotency_ttl = dur_ms(1);
        fix_open(f);
        for (unsigned i = 0; i < 10; i++) {
                struct new_asset x = new_file("a", KIND_FILE, false);
                struct new_job j = new_job_of("ann", &x, 1);
                j.idempotency_key = "k";
                j.content_hash = sha256_of(&i, sizeof i);
                OK(catalog_ingest(f->c, &j, f->a, &r, &f->e)); /* another content each time */
                assert_false(r.replayed);
                sleep_for(dur_ms(5));
        }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(no_file_twice_or_missed_while_others_change),
                T(jobs_and_folders_too),
                T(failures_too),
                T(no_bit_of_a_cursor_can_be_changed),
                T(another_catalogs_cursor_is_refused),
                T(a_cursor_does_not_show_row_numbers),
                T(ranks_do_not_depend_on_others_texts),
                T(idempotency_is_a_table_of_first_uses),
                T(a_request_that_was_refused_leaves_its_key_free),
                T(of_many_at_once_one_content_wins_each_key),
                T(keys_are_free_after_their_time),
        };
        return cmocka_run_group_tests_name("catalog properties on " ENGINE, tests, NULL, NULL);
}
