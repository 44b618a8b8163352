/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed requests against a verifier that accepts one spelling only, and the
 * verifier against the examples that Amazon publishes. Also what came with
 * signing: bodies from a part of a file, ranges into a file, headers kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contract/s3_peers.h"

static struct httpc *client;
static struct httpc_sigv4 account;

static int set_up(void **state)
{
        struct err e;

        (void)state;
        return s3_peers_start() < 0 || httpc_new(&client, &e) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
        (void)state;
        httpc_free(client);
        s3_peers_stop();
        return 0;
}

static int fresh_account(void **state)
{
        (void)state;
        account = (struct httpc_sigv4){.region = "eu-test-1", .service = "s3", .key = "KEYID", .secret = "se/cr+et="};
        return 0;
}

static void why(void)
{
        struct httpc_response r;
        struct err e;
        char url[64];

        snprintf(url, sizeof url, "http://127.0.0.1:%u/", s3_peers.control);
        if (httpc_do(client, &(struct httpc_request){.method = "GET", .url = url}, &r, &e) == 0)
                fprintf(stderr, "%s\n", buf_str(&r.body));
        httpc_response_done(&r);
}

/* path begins with a slash. The status. */
static unsigned ask(const char *path, struct httpc_request q, struct httpc_response *r)
{
        struct err e = {0};
        char url[512];

        snprintf(url, sizeof url, "http://127.0.0.1:%u%s", s3_peers.strict, path);
        q.url = url;
        q.sigv4 = &account;
        q.keep_headers = true;
        if (httpc_do(client, &q, r, &e) < 0)
                fail_msg("%s", e.msg);
        return r->status;
}

static unsigned ask_simply(const char *method, const char *path, const char *body)
{
        struct httpc_response r;
        unsigned status = ask(path, (struct httpc_request){.method = method, .body = span_of(body)}, &r);

        httpc_response_done(&r);
        return status;
}

#define must_answer(status, method, path, body)                                                                        \
        do {                                                                                                           \
                if (ask_simply(method, path, body) != (status)) {                                                      \
                        why();                                                                                         \
                        fail_msg("%s %s", method, path);                                                               \
                }                                                                                                      \
        } while (0)

static void the_verifier_agrees_with_the_published_examples(void **state)
{
        pid_t pid = fork();
        int status;

        (void)state;
        if (pid == 0) {
                execlp("node", "node", PROJECT_DIR "/tests/contract/s3_sigv4.mjs", (char *)NULL);
                _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void every_method_is_signed_right(void **state)
{
        (void)state;
        must_answer(200, "PUT", "/" S3_BUCKET "/a", "hello");
        must_answer(200, "GET", "/" S3_BUCKET "/a", NULL);
        must_answer(200, "HEAD", "/" S3_BUCKET "/a", NULL);
        must_answer(204, "DELETE", "/" S3_BUCKET "/a", NULL);
        must_answer(404, "GET", "/" S3_BUCKET "/a", NULL);
        must_answer(200, "POST", "/" S3_BUCKET "/a?uploads=", NULL);
        must_answer(404, "POST", "/" S3_BUCKET "/a?uploadId=x", "<x/>");
}

static void names_and_queries_of_all_kinds_are_signed_right(void **state)
{
        static const char *const paths[] = {"/a%20b", "/%C3%A9/%E2%82%AC", "/x%2By%3D%26%3F%23", "/~-._", "/a//b",
                                            "/100%25"};
        static const char *const queries[] = {"list-type=2&prefix=", "list-type=2&prefix=a%20b%2Fc%2B%C3%A9%3D",
                                              "continuation-token=%26%C3%A9%3D%2F%2B&list-type=2&prefix=x"};
        char path[160];

        (void)state;
        for (size_t i = 0; i < COUNT_OF(paths); i++) {
                snprintf(path, sizeof path, "/" S3_BUCKET "%s", paths[i]);
                must_answer(200, "PUT", path, "x");
                must_answer(200, "GET", path, NULL);
        }
        for (size_t i = 0; i < COUNT_OF(queries); i++) {
                snprintf(path, sizeof path, "/" S3_BUCKET "/?%s", queries[i]);
                must_answer(200, "GET", path, NULL);
        }
}

static void another_secret_region_payload_or_key_is_refused(void **state)
{
        (void)state;
        account.secret = "se/cr+et";
        must_answer(403, "GET", "/" S3_BUCKET "/a", NULL);
        fresh_account(NULL);
        account.region = "us-east-1";
        must_answer(403, "GET", "/" S3_BUCKET "/a", NULL);
        fresh_account(NULL);
        account.key = "KEYIE";
        must_answer(403, "GET", "/" S3_BUCKET "/a", NULL);
        fresh_account(NULL);
        account.payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        must_answer(400, "PUT", "/" S3_BUCKET "/a", "not empty");
}

static void the_token_of_a_session_is_sent_and_signed(void **state)
{
        (void)state;
        account.key = "TOKENID";
        must_answer(403, "GET", "/" S3_BUCKET "/none", NULL);
        account.token = "session/token+==";
        must_answer(404, "GET", "/" S3_BUCKET "/none", NULL);
        must_answer(200, "PUT", "/" S3_BUCKET "/some", "x");
        account.token = "session/token+=";
        must_answer(403, "GET", "/" S3_BUCKET "/none", NULL);
}

static int scratch(void)
{
        return open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static void a_part_of_a_file_is_a_body_and_a_range_goes_to_a_file(void **state)
{
        size_t n = 3000000;
        char *bytes = malloc(n), hex[SHA256_TEXT_LEN], got[32];
        static const char *const range[] = {"Range: bytes=1999990-2000009"};
        struct httpc_response r;
        struct span etag;
        struct err e;
        int in = scratch(), out = scratch();

        (void)state;
        for (size_t i = 0; i < n; i++)
                bytes[i] = (char)(i * 2654435761u >> 13);
        assert_int_equal(fd_write_all(in, bytes, n, &e), 0);
        account.payload = sha256_format(sha256_of(bytes + 77, n - 177), hex);
        unsigned status = ask(
                "/" S3_BUCKET "/part",
                (struct httpc_request){.method = "PUT", .body_fd = in, .body_offset = 77, .body_size = n - 177}, &r);
        if (status != 200)
                why();
        assert_int_equal(status, 200);
        assert_true(httpc_response_header(&r, "etag", &etag));
        assert_int_equal(etag.n, 66);
        assert_false(httpc_response_header(&r, "eta", &etag));
        httpc_response_done(&r);
        account.payload = NULL;
        assert_int_equal(ask("/" S3_BUCKET "/part", (struct httpc_request){.method = "HEAD"}, &r), 200);
        assert_int_equal(r.length, n - 177);
        httpc_response_done(&r);
        assert_int_equal(ask("/" S3_BUCKET "/part",
                             (struct httpc_request){.method = "GET", .headers = range, .nheaders = 1, .out_fd = out},
                             &r),
                         206);
        httpc_response_done(&r);
        assert_int_equal(pread(out, got, sizeof got, 0), 20);
        assert_memory_equal(got, bytes + 77 + 1999990, 20);
        close(in);
        close(out);
        free(bytes);
}

static void an_empty_file_is_a_body_too(void **state)
{
        struct httpc_response r;
        int in = scratch();

        (void)state;
        account.payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_int_equal(ask("/" S3_BUCKET "/empty", (struct httpc_request){.method = "PUT", .body_fd = in}, &r), 200);
        httpc_response_done(&r);
        account.payload = NULL;
        assert_int_equal(ask("/" S3_BUCKET "/empty", (struct httpc_request){.method = "HEAD"}, &r), 200);
        assert_int_equal(r.length, 0);
        httpc_response_done(&r);
        close(in);
}

#define EACH(test) cmocka_unit_test_setup(test, fresh_account)

int main(void)
{
        const struct CMUnitTest tests[] = {
                EACH(the_verifier_agrees_with_the_published_examples),
                EACH(every_method_is_signed_right),
                EACH(names_and_queries_of_all_kinds_are_signed_right),
                EACH(another_secret_region_payload_or_key_is_refused),
                EACH(the_token_of_a_session_is_sent_and_signed),
                EACH(a_part_of_a_file_is_a_body_and_a_range_goes_to_a_file),
                EACH(an_empty_file_is_a_body_too),
        };

        return cmocka_run_group_tests_name("httpc sigv4", tests, set_up, tear_down);
}
