/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the S3 backend can be asked: signatures a strict store accepts,
 * uploads in parts, and what it does when requests fail. Needs node and s3rver,
 * and fails without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contract/s3_world.h"

/* ---- addresses ---------------------------------------------------------------------- */

static void a_bucket_may_be_part_of_the_host(void **state)
{
        struct storage_opts o = opts_at(s3_peers.strict);
        struct storage *s;
        char uri[160];

        (void)state;
        snprintf(endpoint, sizeof endpoint, "http://localhost:%u/", s3_peers.strict);
        s = must_open(o);
        struct stored was = must_put(s, 1000);
        assert_int_equal(seen("PUT", S3_BUCKET), 0);
        assert_int_equal(seen("PUT", "/own/objects/"), 1);
        storage_uri(s, was.sha256, uri, sizeof uri);
        assert_memory_equal(uri, "s3://" S3_BUCKET "/own/objects/", 29);
        storage_close(s);
        o.s3.force_path_style = true;
        s = must_open(o);
        must_hold(s, was);
        assert_int_equal(seen("GET", "/" S3_BUCKET "/own/objects/"), 1);
        storage_close(s);
}

static void unusable_options_are_refused(void **state)
{
        static const char *const urls[] = {"s3://",          "s3:///x",      "s3://ab",     "s3://a_b/../c",
                                           "s3://abc//d",    "s3://abc/./d", "s3://a..b/d", "s3://abc/\x01",
                                           "s3://abc/\xff",  "s3://-abc",    "s3://a@bc",   "s3://abc/d//",
                                           "s3://other-one", "s3://abc?x"};
        static const char *const endpoints[] = {"ftp://x", "http://", "https:///x", "http://u:p@x", "x", "http://x?y"};
        struct storage_opts o = opts_at(s3_peers.strict);
        struct storage *s = NULL;
        struct err e;

        (void)state;
        for (size_t i = 0; i < COUNT_OF(urls); i++) {
                struct storage_opts bad = o;
                bad.url = urls[i];
                bad.s3.bucket = strcmp(urls[i], "s3://other-one") ? NULL : S3_BUCKET;
                if (strcmp(urls[i], "s3://abc/d//") == 0)
                        continue; /* slashes at the end mean nothing */
                assert_int_equal(storage_open(&bad, &s, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
        }
        for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
                struct storage_opts bad = o;
                bad.s3.endpoint = endpoints[i];
                assert_int_equal(storage_open(&bad, &s, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
                assert_null(strstr(e.msg, "u:p"));
        }
        o.s3.secret = "";
        assert_int_equal(storage_open(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        o = opts_at(s3_peers.strict);
        o.s3.spool_path = NULL;
        assert_int_equal(storage_open(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        o = opts_at(s3_peers.strict);
        o.url = "s3://";
        o.s3.bucket = S3_BUCKET;
        storage_close(must_open(o));
}

static void a_wrong_secret_or_bucket_is_told_at_once(void **state)
{
        struct storage_opts o = opts_at(s3_peers.strict);
        struct storage *s = NULL;
        struct err e;

        (void)state;
        o.s3.secret = "wrong-secret";
        assert_int_equal(storage_open(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(e.msg, "SignatureDoesNotMatch"));
        assert_null(strstr(e.msg, "wrong-secret"));
        assert_int_equal(seen("GET", ""), 1); /* a "no" is not asked for again */
        o = opts_at(s3_peers.strict);
        o.url = "s3://another-bucket/x";
        assert_int_equal(storage_open(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(e.msg, "NoSuchBucket"));
        o = (struct storage_opts){.url = "s3://another-bucket/x",
                                  .s3 = s3_s3rver_opts(endpoint, s3_peers.s3rver, spool)};
        assert_int_equal(storage_open(&o, &s, &e), -1);
        assert_non_null(strstr(e.msg, "NoSuchBucket"));
}

static void a_catalog_with_objects_wants_the_sentinel(void **state)
{
        struct storage_opts o = opts_at(s3_peers.strict);
        struct storage *s = NULL;
        struct err e;

        (void)state;
        o.url = "s3://" S3_BUCKET "/never/used";
        o.expect_content = true;
        assert_int_equal(storage_open(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_CONFLICT);
        assert_int_equal(seen("PUT", ""), 0);
        o.expect_content = false;
        storage_close(must_open(o));
        assert_int_equal(seen("PUT", "/never/used/.file-allocator"), 1);
        o.expect_content = true;
        storage_close(must_open(o));
}

static void a_key_may_be_lent_by_the_host(void **state)
{
        static const char *const untrusted[] = {"http://10.0.0.1/x", "http://127.0.0.1.example/x", "ftp://127.0.0.1/",
                                                "http://a@127.0.0.1/x", "/x"};
        struct storage_opts o = opts_at(s3_peers.strict);
        struct storage *s = NULL;
        char url[64];
        struct err e;

        (void)state;
        o.s3.key = o.s3.secret = NULL;
        o.s3.role_url = url;
        o.s3.role_token = "Bearer of good news";
        for (size_t i = 0; i < COUNT_OF(untrusted); i++) {
                snprintf(url, sizeof url, "%s", untrusted[i]);
                assert_int_equal(storage_open(&o, &s, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
        }
        control("/", NULL);
        unsigned long before = count_of("lent=");
        snprintf(url, sizeof url, "http://127.0.0.1:%u/role?3600", s3_peers.control);
        s = must_open(o);
        must_hold(s, must_put(s, 1000));
        storage_close(s);
        control("/", NULL);
        assert_int_equal(count_of("lent="), before + 1);
        snprintf(url, sizeof url, "http://127.0.0.1:%u/role?60", s3_peers.control); /* soon over: renewed each time */
        s = must_open(o);
        must_put(s, 1001);
        storage_close(s);
        control("/", NULL);
        assert_true(count_of("lent=") > before + 2);
        o.s3.role_token = "Bearer of bad news";
        assert_int_equal(storage_open(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_null(strstr(e.msg, "news"));
}

/* ---- parts ----------------------------------------------------------------------------- */

static struct storage_opts in_parts(unsigned port)
{
        struct storage_opts o = opts_at(port);

        o.s3.multipart_from = MIB;
        o.s3.part_size = 300000;
        return o;
}

static void large_objects_go_in_parts(void **state)
{
        struct storage *s = must_open(in_parts(s3_peers.strict));
        struct stored small = must_put(s, MIB - 1), large = must_put(s, MIB);

        (void)state;
        assert_int_equal(seen("POST", "uploads="), 1);
        assert_int_equal(seen("PUT", "partNumber="), 4);
        assert_int_equal(seen("PUT", "partNumber=4&uploadId=id%2B%2F%3D%26"), 1);
        assert_int_equal(count_of("uploads="), 0);
        storage_close(s);
        s = must_open(in_parts(s3_peers.strict));
        must_hold(s, small);
        must_hold(s, large);
        storage_close(s);
}

static void an_upload_in_parts_that_fails_is_aborted(void **state)
{
        struct storage *s = must_open(in_parts(s3_peers.flaky_strict));
        char *bytes = pattern(2 * MIB, 4711);
        struct stored was;
        struct err e;

        (void)state;
        /* The connection dies in the middle of the second part, each time. */
        control("/rules", "[{\"method\":\"PUT\",\"match\":\"partNumber=2\",\"action\":\"cut\",\"bytes\":100000,"
                          "\"times\":-1}]");
        assert_int_equal(put(s, bytes, 2 * MIB, &was, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_int_equal(seen("DELETE", "uploadId="), 1);
        assert_int_equal(count_of("uploads="), 0);
        assert_false(storage_has_object(s, sha256_of(bytes, 2 * MIB)));
        control("/rules", "[{\"method\":\"PUT\",\"match\":\"partNumber=2\",\"action\":\"cut\",\"bytes\":100000,"
                          "\"times\":2}]");
        assert_int_equal(put(s, bytes, 2 * MIB, &was, &e), 0);
        assert_false(was.existed);
        assert_int_equal(count_of("uploads="), 0);
        storage_close(s);
        free(bytes);
}

static void a_lost_answer_to_the_last_request_is_no_failure(void **state)
{
        struct storage *s = must_open(in_parts(s3_peers.flaky_strict));

        (void)state;
        control("/rules", "[{\"method\":\"POST\",\"match\":\"uploadId=\",\"action\":\"lose\",\"times\":1}]");
        struct stored was = must_put(s, 2 * MIB);
        assert_int_equal(seen("POST", "uploadId="), 2);
        storage_close(s);
        s = must_open(in_parts(s3_peers.strict));
        must_hold(s, was);
        storage_close(s);
}

/* ---- failures ----------------------------------------------------------------------------- */

static void what_passes_is_tried_again(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.flaky_strict));

        (void)state;
        control("/rules", "[{\"method\":\"PUT\",\"action\":\"status\",\"status\":503,\"times\":2},"
                          "{\"method\":\"PUT\",\"action\":\"reset\",\"times\":1},"
                          "{\"method\":\"HEAD\",\"action\":\"status\",\"status\":500,\"times\":1},"
                          "{\"method\":\"GET\",\"action\":\"short\",\"times\":2},"
                          "{\"method\":\"GET\",\"action\":\"status\",\"status\":429,\"times\":1}]");
        struct stored was = must_put(s, 500000);
        storage_close(s);
        control("/", NULL);
        assert_int_equal(count_of("left="), 3); /* those of GET */
        struct storage_opts o = opts_at(s3_peers.flaky_strict);
        o.expect_content = true;
        s = must_open(o);
        control("/rules", "[{\"method\":\"GET\",\"action\":\"short\",\"times\":2},"
                          "{\"method\":\"GET\",\"action\":\"status\",\"status\":429,\"times\":1}]");
        must_hold(s, was);
        control("/", NULL);
        assert_int_equal(count_of("left="), 0);
        storage_close(s);
}

static void a_store_may_take_a_moment_to_find_what_it_took(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.flaky_strict));
        struct stored was;
        struct err e;

        (void)state;
        control("/rules", "[{\"method\":\"HEAD\",\"action\":\"status\",\"status\":404,\"times\":3}]");
        must_put(s, 1000);
        control("/rules", "[{\"method\":\"HEAD\",\"action\":\"status\",\"status\":404,\"times\":-1}]");
        assert_int_equal(put(s, "never found", 11, &was, &e), -1);
        assert_int_equal(e.code, ERR_IO);
        storage_close(s);
}

static void failures_of_s3rver_are_survived_too(void **state)
{
        struct storage_opts o = {.url = "s3://" S3_BUCKET "/flaky",
                                 .s3 = s3_s3rver_opts(endpoint, s3_peers.flaky_s3rver, spool)};

        (void)state;
        o.s3.multipart_from = MIB;
        o.s3.part_size = 500000;
        control("/rules", "[{\"method\":\"PUT\",\"action\":\"status\",\"status\":503,\"times\":1},"
                          "{\"method\":\"PUT\",\"match\":\"partNumber=2\",\"action\":\"cut\",\"bytes\":9,\"times\":1},"
                          "{\"method\":\"GET\",\"action\":\"reset\",\"times\":1}]");
        struct storage *s = must_open(o);
        struct stored was = must_put(s, 3 * MIB);
        storage_close(s);
        s = must_open(o);
        must_hold(s, was);
        control("/", NULL);
        assert_int_equal(count_of("left="), 0);
        storage_close(s);
}

static void a_store_that_asks_for_rest_gets_it(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.flaky_strict));
        struct mono then;
        struct stored was;
        struct err e;

        (void)state;
        control("/rules",
                "[{\"method\":\"PUT\",\"action\":\"status\",\"status\":503,\"retryAfter\":\"1\",\"times\":1}]");
        then = mono_now();
        must_put(s, 1000);
        assert_true(dur_seconds(mono_since(then)) >= 1.0);
        control("/rules",
                "[{\"method\":\"PUT\",\"action\":\"status\",\"status\":503,\"retryAfter\":\"3600\",\"times\":-1}]");
        then = mono_now();
        assert_int_equal(put(s, "rest", 4, &was, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_true(dur_seconds(mono_since(then)) < 60);
        storage_close(s);
}

static void a_store_that_is_down_is_told_in_time(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.flaky_strict)), *other = NULL;
        struct mono then = mono_now();
        struct storage_opts o = opts_at(1); /* nobody listens there */
        struct stored was;
        struct err e;
        int fd;

        (void)state;
        assert_int_equal(storage_open(&o, &other, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(e.msg, "5 tries"));
        assert_true(dur_seconds(mono_since(then)) < 30);
        control("/rules", "[{\"action\":\"reset\",\"times\":-1}]");
        then = mono_now();
        assert_int_equal(put(s, "down", 4, &was, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_int_equal(storage_open_object(s, sha256_of("x", 1), 1, &fd, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE); /* not "not found" */
        assert_false(storage_has_object(s, sha256_of("x", 1)));
        assert_true(dur_seconds(mono_since(then)) < 60);
        control("/rules", "[]");
        must_put(s, 1000);
        storage_close(s);
}

static void damage_in_the_store_is_found(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.strict));
        struct stored was = must_put(s, 1000);
        char path[128], hex[SHA256_TEXT_LEN];
        struct err e;
        int fd;

        (void)state;
        storage_close(s);
        s = must_open(opts_at(s3_peers.strict));
        snprintf(path, sizeof path, "/damage?%s", sha256_format(was.sha256, hex));
        control(path, NULL);
        assert_int_equal(storage_open_object(s, was.sha256, UINT64_MAX, &fd, &e), -1);
        assert_int_equal(e.code, ERR_CORRUPT);
        storage_close(s);
}

static void who_verifies_is_not_given_a_copy(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.strict));
        struct stored was = must_put(s, 1000);
        struct storage_read *r;
        char path[128], hex[SHA256_TEXT_LEN], got[1000];
        uint64_t size;
        int64_t n;
        struct err e;
        int fd;

        (void)state;
        snprintf(path, sizeof path, "/damage?%s", sha256_format(was.sha256, hex));
        control(path, NULL);
        assert_int_equal(storage_read_begin(s, was.sha256, 1000, &fd, &r, &e), 0);
        assert_true(fd >= 0); /* the spool still has what was uploaded */
        close(fd);
        assert_int_equal(storage_verify_begin(s, was.sha256, &size, &fd, &r, &e), 0);
        assert_true(fd < 0);
        assert_true(size > 1000); /* the damage made it longer: that is told, not refused */
        n = storage_read_at(r, 0, got, sizeof got, &e);
        assert_true(n > 0 && got[0] == '!');
        storage_read_end(r);
        storage_close(s);
}

/* ---- derived -------------------------------------------------------------------------------- */

static void removal_reads_every_page_and_touches_no_neighbour(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.strict));
        struct stored was = must_put(s, 5000), other = must_put(s, 5001);
        char name[32], hex[SHA256_TEXT_LEN];
        uint64_t size;
        struct err e = {0};
        int fd;

        (void)state;
        for (int i = 0; i < 7; i++) { /* the strict store lists two a page */
                snprintf(name, sizeof name, "frame-%d.webp", i);
                assert_int_equal(storage_put_derived(s, was.sha256, name, SPAN("picture"), &e), 0);
                assert_int_equal(storage_put_derived(s, other.sha256, name, SPAN("picture"), &e), 0);
        }
        assert_int_equal(storage_open_derived(s, was.sha256, "frame-3.webp", &fd, &size, &e), 0);
        close(fd);
        if (storage_remove_object(s, was.sha256, &e) < 0)
                fail_msg("%s", e.msg);
        control("/", NULL);
        sha256_format(was.sha256, hex);
        char *keys = strstr(told, "\nkey ");
        assert_non_null(keys);
        assert_null(strstr(keys, hex));
        assert_int_equal(storage_open_derived(s, was.sha256, "frame-3.webp", &fd, &size, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_int_equal(storage_open_derived(s, other.sha256, "frame-6.webp", &fd, &size, &e), 0);
        close(fd);
        assert_true(storage_has_object(s, other.sha256));
        storage_close(s);
}

/* ---- sidecars ------------------------------------------------------------------------------- */

static int put_sidecars(struct storage *s, char names[][STORAGE_SIDECAR_NAME_LEN], unsigned n, struct err *e)
{
        struct storage_batch *b;
        int rc = storage_batch_begin(s, &b, e);

        for (unsigned i = 0; rc == 0 && i < n; i++) {
                storage_asset_sidecar(id_new(), names[i]);
                rc = storage_batch_put(b, names[i], SPAN("what an asset is like"), e);
        }
        if (rc == 0)
                rc = storage_batch_commit(b, e);
        storage_batch_end(b);
        return rc;
}

/* One after the other would wait at the proxy for good. */
static void a_batch_has_several_requests_on_the_way(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.flaky_strict));
        char names[16][STORAGE_SIDECAR_NAME_LEN];
        struct err e = {0};

        (void)state;
        control("/rules",
                "[{\"method\":\"PUT\",\"match\":\"sidecar\",\"action\":\"gather\",\"count\":8,\"times\":16}]");
        if (put_sidecars(s, names, COUNT_OF(names), &e) < 0)
                fail_msg("%s", e.msg);
        control("/", NULL);
        assert_int_equal(count_of("left="), 0);
        for (size_t i = 0; i < COUNT_OF(names); i++)
                assert_non_null(strstr(told, names[i]));
        storage_close(s);
}

static void a_batch_in_which_one_is_refused_fails(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.flaky_strict));
        char names[20][STORAGE_SIDECAR_NAME_LEN];
        struct err e = {0};

        (void)state;
        for (unsigned n = 1; n <= COUNT_OF(names); n += 1 + n / 2) { /* fewer than are on the way at a time, and more */
                control("/rules", "[{\"method\":\"PUT\",\"match\":\"sidecar\",\"action\":\"status\",\"status\":403,"
                                  "\"times\":1}]");
                assert_int_equal(put_sidecars(s, names, n, &e), -1);
                assert_non_null(strstr(e.msg, "cannot store sidecar/"));
                assert_int_equal(put_sidecars(s, names, n, &e), 0);
        }
        storage_close(s);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, spool_is_empty)

int main(void)
{
        const struct CMUnitTest tests[] = {
                EACH(a_bucket_may_be_part_of_the_host),
                EACH(unusable_options_are_refused),
                EACH(a_wrong_secret_or_bucket_is_told_at_once),
                EACH(a_catalog_with_objects_wants_the_sentinel),
                EACH(a_key_may_be_lent_by_the_host),
                EACH(large_objects_go_in_parts),
                EACH(an_upload_in_parts_that_fails_is_aborted),
                EACH(a_lost_answer_to_the_last_request_is_no_failure),
                EACH(what_passes_is_tried_again),
                EACH(a_store_may_take_a_moment_to_find_what_it_took),
                EACH(failures_of_s3rver_are_survived_too),
                EACH(a_store_that_asks_for_rest_gets_it),
                EACH(a_store_that_is_down_is_told_in_time),
                EACH(damage_in_the_store_is_found),
                EACH(who_verifies_is_not_given_a_copy),
                EACH(removal_reads_every_page_and_touches_no_neighbour),
                EACH(a_batch_has_several_requests_on_the_way),
                EACH(a_batch_in_which_one_is_refused_fails),
        };

        return cmocka_run_group_tests_name("storage s3", tests, group_up, group_down);
}
