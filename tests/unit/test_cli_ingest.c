/* SPDX-License-Identifier: Apache-2.0 */
/* An upload meets a busy, forgetful or strict server: what is sent again, what is not, and with which exit code it
 * ends. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli_priv.h"
#include "unit/test_httpc_fake.h"

#define MAX_ARGS 24

#define ANSWER(status, extra, body)                                                                                    \
        "HTTP/1.1 " status " X\r\nConnection: close\r\nContent-Type: application/json\r\n" extra "\r\n" body
#define NOT_THERE ANSWER("200", "", "{\"objects\":[],\"total\":0}")
#define ACCEPTED  ANSWER("202", "", "{\"job_id\":\"j1\",\"system_ids\":[\"s1\"],\"status\":\"accepted\"}")
/* sha256 of "one" */
#define SHA_ONE "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

static char root[32], one[64], two[64];

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static int setup(void **state)
{
        (void)state;
        text_locale();
        unsetenv("FILE_ALLOCATOR_URL");
        unsetenv("FILE_ALLOCATOR_KEY");
        unsetenv("API_KEY");
        snprintf(root, sizeof root, "/tmp/test_ingest.XXXXXX");
        if (!mkdtemp(root) || chdir(root) != 0) /* no .env of anybody's is read */
                return -1;
        snprintf(one, sizeof one, "%s/one.txt", root);
        snprintf(two, sizeof two, "%s/two.txt", root);
        write_file(one, "one");
        write_file(two, "two");
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        unlink(one);
        unlink(two);
        return rmdir(root);
}

/* "file-allocator ingest --quiet --jobs 1 …" against a server with these answers. */
static int ingest(struct fake *f, const char *const *answers, size_t n, const char *const *words)
{
        char *argv[MAX_ARGS] = {(char *)"file-allocator", (char *)"--url", NULL,
                                (char *)"ingest",         (char *)"-q",    (char *)"-j1"};
        char url[128];
        int argc = 6, rc;
        struct cli c;
        struct err e;

        fake_start(f, answers, n);
        argv[2] = (char *)url_of(f, "", url);
        while (*words)
                argv[argc++] = (char *)*words++;
        assert_int_equal(cli_parse(&c, &cli_syntax, argc, argv, &e), 0);
        rc = c.command->run(&c);
        cli_done(&c);
        return rc;
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *key_of(const struct fake *f, size_t i)
{
        const char *at = strstr(buf_str(&f->seen[i]), "Idempotency-Key: ");

        assert_non_null(at);
        return at + strlen("Idempotency-Key: ");
}

static void test_trying_again_cannot_make_a_second_copy(void **state)
{
        const char *answers[] = {NOT_THERE, ANSWER("503", "Retry-After: 1\r\n", "{\"error\":\"busy\"}"), HANG_UP,
                                 ACCEPTED};
        struct fake f;

        (void)state;
        assert_int_equal(ingest(&f, answers, 4, WORDS("--owner", "anna", one)), CLI_OK);
        assert_non_null(strstr(buf_str(&f.seen[0]), "sha256=" SHA_ONE "&owner=anna "));
        assert_memory_equal(key_of(&f, 1), key_of(&f, 2), 36);
        assert_memory_equal(key_of(&f, 1), key_of(&f, 3), 36);
        assert_non_null(strstr(buf_str(&f.seen[3]), "name=\"owner\"\r\n\r\nanna\r\n"));
        assert_non_null(strstr(buf_str(&f.seen[3]), "filename=\"one.txt\""));
        fake_stop(&f);
}

static void test_what_the_server_has_is_not_sent(void **state)
{
        const char *answers[] = {ANSWER("200", "", "{\"objects\":[{\"id\":\"s1\",\"sha256\":\"" SHA_ONE "\"}]}")};
        struct fake f;

        (void)state;
        assert_int_equal(ingest(&f, answers, 1, WORDS(one)), CLI_OK);
        assert_non_null(strstr(buf_str(&f.seen[0]), "&owner=default ")); /* where a write without an owner goes */
        fake_stop(&f);
}

static void test_another_file_in_the_answer_is_not_taken_for_ours(void **state)
{
        const char *answers[] = {ANSWER("200", "", "{\"objects\":[{\"id\":\"s1\",\"sha256\":\"00\"}]}"), ACCEPTED};
        struct fake f;

        (void)state;
        assert_int_equal(ingest(&f, answers, 2, WORDS(one)), CLI_OK);
        assert_int_equal(strncmp(buf_str(&f.seen[1]), "POST /api/v1/ingest ", 20), 0);
        fake_stop(&f);
}

static void test_a_bad_file_fails_alone(void **state)
{
        const char *answers[] = {ANSWER("415", "", "{\"error\":\"unsupported\"}"), ACCEPTED};
        struct fake f;

        (void)state;
        assert_int_equal(ingest(&f, answers, 2, WORDS("--again", one, "/nonexistent/file", two)), CLI_PARTIAL);
        assert_non_null(strstr(buf_str(&f.seen[1]), "filename=\"two.txt\""));
        fake_stop(&f);
}

static void test_a_refused_key_ends_the_run(void **state)
{
        const char *answers[] = {ANSWER("401", "", "{\"error\":\"no key\"}"), ACCEPTED};
        struct fake f;

        (void)state;
        assert_int_equal(ingest(&f, answers, 2, WORDS("--again", one, two)), CLI_FAILED);
        assert_int_equal(f.seen[1].n, 0);
        fake_stop(&f);
}

static void test_waiting_tells_what_failed(void **state)
{
        const char *answers[] = {
                ACCEPTED, ANSWER("200", "", "{\"status\":\"processing\"}"),
                ANSWER("200", "", "{\"status\":\"queued\"}"),
                ANSWER("200", "", "{\"status\":\"failed\",\"assets\":[{\"system_id\":\"s1\",\"error\":\"broken\"}]}")};
        struct fake f;

        (void)state;
        assert_int_equal(ingest(&f, answers, 4, WORDS("--again", "--wait", one)), CLI_FAILED);
        assert_int_equal(strncmp(buf_str(&f.seen[3]), "GET /api/v1/ingest/j1/status ", 29), 0);
        fake_stop(&f);
}

static void assert_key(const char *url, const char *key)
{
        char *argv[] = {(char *)"file-allocator", (char *)"list", (char *)"--url", (char *)url};
        struct cli c;
        struct api a;
        struct err e;

        assert_int_equal(cli_parse(&c, &cli_syntax, 4, argv, &e), 0);
        assert_int_equal(client_open(&a, &c), 0);
        assert_string_equal(a.key, key);
        client_close(&a);
        cli_done(&c);
}

static void test_the_key_of_the_settings_stays_on_this_machine(void **state)
{
        (void)state;
        setenv("API_KEY", "of-this-machine", 1);
        assert_key("http://127.0.0.1:8000", "X-API-Key: of-this-machine");
        assert_key("http://[::1]:8000/", "X-API-Key: of-this-machine");
        assert_key("localhost:8000", "X-API-Key: of-this-machine");
        assert_key("http://127.0.0.1.example.org", "");
        assert_key("https://example.org", "");
        setenv("FILE_ALLOCATOR_KEY", "meant", 1);
        assert_key("https://example.org", "X-API-Key: meant");
        unsetenv("FILE_ALLOCATOR_KEY");
        unsetenv("API_KEY");
}

static void test_an_address_with_a_password_is_refused(void **state)
{
        char *argv[] = {(char *)"file-allocator", (char *)"list", (char *)"--url",
                        (char *)"http://127.0.0.1:80@example.org"};
        struct cli c;
        struct api a;
        struct err e;

        (void)state;
        assert_int_equal(cli_parse(&c, &cli_syntax, 4, argv, &e), 0);
        assert_int_equal(client_open(&a, &c), CLI_USAGE);
        cli_done(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_trying_again_cannot_make_a_second_copy),
                cmocka_unit_test(test_what_the_server_has_is_not_sent),
                cmocka_unit_test(test_another_file_in_the_answer_is_not_taken_for_ours),
                cmocka_unit_test(test_a_bad_file_fails_alone),
                cmocka_unit_test(test_a_refused_key_ends_the_run),
                cmocka_unit_test(test_waiting_tells_what_failed),
                cmocka_unit_test(test_the_key_of_the_settings_stays_on_this_machine),
                cmocka_unit_test(test_an_address_with_a_password_is_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
