/* SPDX-License-Identifier: Apache-2.0 */
/* config: where values come from, what is refused, and how settings show. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "json/json.h"

/* A folder for each test; files put there are removed at its end. */
static char dir[64];
static char made[8][128];
static size_t made_count;

static int set_up(void **state)
{
        (void)state;
        snprintf(dir, sizeof dir, "/tmp/fa-test-config-XXXXXX");
        made_count = 0;
        return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
        (void)state;
        for (size_t i = 0; i < made_count; i++)
                unlink(made[i]);
        return rmdir(dir);
}

static const char *put_file(const char *name, const char *text)
{
        char *path = made[made_count++];
        struct err e;
        int fd;

        snprintf(path, sizeof made[0], "%s/%s", dir, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, text, strlen(text), &e), 0);
        fd_close(&fd);
        return path;
}

static struct config config;
static struct config_report report;
static struct err error;

/* Up to three variables and one flag. */
static int load(const char *dotenv, const char *flag, const char *a, const char *b)
{
        const char *envp[] = {"PATH=/bin", a ? a : b, a ? b : NULL, NULL};
        struct config_sources src = {
                .envp = envp, .dotenv = dotenv, .flags = &flag, .nflags = flag != NULL, .secrets_dir = dir};

        error = (struct err){0};
        config_report_done(&report);
        return config_load(&config, &src, &report, &error);
}

static void must_load(const char *dotenv, const char *flag, const char *a, const char *b)
{
        int rc = load(dotenv, flag, a, b);

        assert_string_equal(error.msg, "");
        assert_int_equal(rc, 0);
}

static void refused(const char *variable, const char *why)
{
        int rc = load(NULL, NULL, variable, NULL);

        if (rc == 0)
                config_done(&config);
        assert_int_equal(rc, -1);
        if (!strstr(error.msg, why))
                fail_msg("\"%s\" does not say \"%s\"", error.msg, why);
}

static void without_sources_every_setting_has_its_default(void **state)
{
        (void)state;
        must_load(NULL, NULL, NULL, NULL);
        assert_string_equal(config.database_url, "sqlite:///./data/catalog.db");
        assert_string_equal(config.database_path, "./data/catalog.db");
        assert_string_equal(config.storage_path, "./data/storage");
        assert_string_equal(config.app_host, "127.0.0.1");
        assert_int_equal(config.app_port, 8000);
        assert_false(config.debug);
        assert_true(config.exif_gps);
        assert_string_equal(config.log_level, "INFO");
        assert_string_equal(config.log_format, "");
        assert_true(config.worker_threads >= 1 && config.worker_threads <= 256);
        assert_true(config.task_lease.ns == INT64_C(60000000000));
        assert_true(config.max_file_size == INT64_C(10) << 30);
        assert_int_equal(config.max_image_pixels, 100000000);
        assert_int_equal(config.min_body_rate, 1024);
        assert_true(config.cluster_threshold == 0.72);
        assert_string_equal(config.api_key, "");
        for (int i = 0; i < CONFIG_COUNT; i++)
                assert_string_equal(config_origin_name(&config, (enum config_setting)i), "default");
        assert_int_equal(report.n, 0);
        config_done(&config);
}

static void flag_beats_environment_beats_dotenv(void **state)
{
        const char *dotenv = put_file(".env", "APP_PORT=1\nLOG_LEVEL=error\nTRASH_DAYS=7\n");

        (void)state;
        must_load(dotenv, "APP_PORT=3", "APP_PORT=2", "LOG_LEVEL=debug");
        assert_int_equal(config.app_port, 3);
        assert_string_equal(config.log_level, "DEBUG");
        assert_int_equal(config.trash_days, 7);
        assert_string_equal(config_origin_name(&config, CONFIG_APP_PORT), "flag");
        assert_string_equal(config_origin_name(&config, CONFIG_LOG_LEVEL), "environment");
        assert_string_equal(config_origin_name(&config, CONFIG_TRASH_DAYS), ".env");
        config_done(&config);
}

static void debug_sets_the_log_level_unless_that_is_set(void **state)
{
        const char *dotenv = put_file(".env", "LOG_LEVEL=warning\n"), *debug = put_file("debug.env", "DEBUG=true\n");
        const char *level = put_file("level", "ERROR\n");
        char named[256];

        (void)state;
        must_load(NULL, NULL, "DEBUG=true", NULL);
        assert_string_equal(config.log_level, "DEBUG");
        assert_string_equal(config.text[CONFIG_LOG_LEVEL], "DEBUG");
        config_done(&config);
        must_load(debug, NULL, "LOG_LEVEL=", NULL); /* empty is not set */
        assert_string_equal(config.log_level, "DEBUG");
        config_done(&config);
        must_load(NULL, "LOG_LEVEL=INFO", "DEBUG=true", NULL);
        assert_string_equal(config.log_level, "INFO");
        config_done(&config);
        must_load(debug, NULL, "LOG_LEVEL=INFO", NULL);
        assert_string_equal(config.log_level, "INFO");
        config_done(&config);
        must_load(dotenv, NULL, "DEBUG=true", NULL);
        assert_string_equal(config.log_level, "WARNING");
        config_done(&config);
        assert_true((size_t)snprintf(named, sizeof named, "LOG_LEVEL_FILE=%s", level) < sizeof named);
        must_load(NULL, NULL, named, "DEBUG=true");
        assert_string_equal(config.log_level, "ERROR");
        config_done(&config);
        must_load(NULL, NULL, "DEBUG=false", NULL);
        assert_string_equal(config.log_level, "INFO");
        config_done(&config);
}

static void an_empty_value_counts_as_absent(void **state)
{
        const char *dotenv = put_file(".env", "APP_PORT=1\nAPP_HOST=\n");

        (void)state;
        must_load(dotenv, NULL, "APP_PORT=", NULL);
        assert_int_equal(config.app_port, 1);
        assert_string_equal(config.app_host, "127.0.0.1");
        config_done(&config);
}

static void a_named_file_gives_the_value_less_one_newline(void **state)
{
        char variable[200];

        (void)state;
        snprintf(variable, sizeof variable, "API_KEY_FILE=%s", put_file("key", "s3cret \n\n"));
        assert_int_equal(load(NULL, NULL, variable, NULL), -1); /* the second newline stays, and is refused */
        assert_null(strstr(error.msg, "s3cret"));
        put_file("key", "s3cret \n");
        must_load(NULL, NULL, variable, NULL);
        assert_string_equal(config.api_key, "s3cret ");
        assert_string_equal(config_origin_name(&config, CONFIG_API_KEY), "file");
        config_done(&config);
        assert_int_equal(load(NULL, NULL, variable, "API_KEY=x"), -1);
        assert_non_null(strstr(error.msg, "API_KEY and API_KEY_FILE are both set"));
        refused("API_KEY_FILE=/nowhere/key", "API_KEY_FILE: cannot open /nowhere/key");
}

static void secret_files_serve_secrets_only(void **state)
{
        char variable[200];

        (void)state;
        put_file("api_key", "from-secret\n");
        put_file("app_port", "9\n");
        must_load(NULL, NULL, NULL, NULL);
        assert_string_equal(config.api_key, "from-secret");
        assert_string_equal(config_origin_name(&config, CONFIG_API_KEY), "secret");
        assert_int_equal(config.app_port, 8000);
        config_done(&config);
        must_load(NULL, NULL, "API_KEY=from-env", NULL);
        assert_string_equal(config.api_key, "from-env");
        config_done(&config);
        put_file("metrics_token", "m\n");
        snprintf(variable, sizeof variable, "CREDENTIALS_DIRECTORY=%s", dir);
        must_load(NULL, NULL, variable, NULL);
        assert_string_equal(config.metrics_token, "m");
        config_done(&config);
}

static void env_file_replaces_dotenv_and_must_exist(void **state)
{
        const char *dotenv = put_file(".env", "APP_PORT=1\n"), *other = put_file("other.env", "APP_HOST=::1\n");
        char variable[200];

        (void)state;
        snprintf(variable, sizeof variable, "ENV_FILE=%s", other);
        must_load(dotenv, NULL, variable, NULL);
        assert_int_equal(config.app_port, 8000);
        assert_string_equal(config.app_host, "::1");
        config_done(&config);
        refused("ENV_FILE=/nowhere/.env", "ENV_FILE: cannot open /nowhere/.env");
        must_load("/nowhere/.env", NULL, NULL, NULL);
        config_done(&config);
}

static void bad_values_name_setting_value_and_what_is_allowed(void **state)
{
        (void)state;
        refused("APP_PORT=65536", "APP_PORT is \"65536\" (environment): allowed is a whole number from 0 to 65535");
        refused("APP_PORT=-1", "APP_PORT");
        refused("APP_PORT=8k", "APP_PORT");
        refused("APP_PORT=1.5", "APP_PORT");
        refused("DEBUG=maybe", "true or false");
        refused("CLUSTER_THRESHOLD=1.01", "from 0 to 1");
        refused("CLUSTER_THRESHOLD=nan", "CLUSTER_THRESHOLD");
        refused("TASK_LEASE=999ms", "from 1s to 1h");
        refused("TASK_LEASE=2d", "from 1s to 1h");
        refused("TASK_LEASE=5 fortnights", "TASK_LEASE");
        refused("MAX_FILE_SIZE=99999T", "MAX_FILE_SIZE");
        refused("MAX_FILE_SIZE=1e9", "MAX_FILE_SIZE");
        refused("LOG_FORMAT=xml", "json, text");
        refused("STORAGE_BACKEND=s3://b", "fs://");
        refused("STORAGE_BACKEND=s3://b", "AWS_SECRET_ACCESS_KEY");
        refused("STORAGE_BACKEND=gs://b", "fs:// or s3://bucket/prefix");
        refused("WORKER_THREADS=257", "cores or a number from 0 to 256");
        refused("DATA_PATH=a\nb", "DATA_PATH");
        refused("DATABASE_URL=mysql://x", "allowed is sqlite:///");
        refused("DATABASE_URL=postgresql://u:pw\nx@h/d", "DATABASE_URL (environment): allowed");
        refused("DATABASE_URL=sqlite:///", "a file's path");
        refused("SEARCH_DEFAULT_LIMIT=101", "SEARCH_DEFAULT_LIMIT");
        refused("SEARCH_MAX_LIMIT=5", "SEARCH_DEFAULT_LIMIT is \"10\": allowed is at most SEARCH_MAX_LIMIT, 5");
        refused("API_KEY=your_api_key", "API_KEY is still the example's placeholder");
        refused("API_KEY=top\x01secret", "API_KEY (environment)");
        assert_null(strstr(error.msg, "top"));
        assert_int_equal(load(NULL, "NO_SUCH=1", NULL, NULL), -1);
        assert_non_null(strstr(error.msg, "there is no setting NO_SUCH"));
        assert_int_equal(load(NULL, "APP_PORT", NULL, NULL), -1);
}

static void units_and_words_are_understood(void **state)
{
        static const char dotenv[] =
                "MAX_FILE_SIZE=1.5GiB\nMAX_IMAGE_BYTES=20 mb\nMAX_IMAGE_PIXELS=2k\nTASK_LEASE=1.5m\n"
                "SEARCH_TIMEOUT=250ms\nSHUTDOWN_GRACE=10\nIDEMPOTENCY_TTL=2d\nDEBUG=ON\n"
                "METRICS_ENABLED=no\nWORKER_THREADS=0\nLOG_LEVEL=Warn\n";

        (void)state;
        must_load(put_file(".env", dotenv), NULL, NULL, NULL);
        assert_true(config.max_file_size == INT64_C(3) << 29);
        assert_int_equal(config.max_image_bytes, 20 << 20);
        assert_int_equal(config.max_image_pixels, 2000);
        assert_true(config.task_lease.ns == INT64_C(90000000000));
        assert_true(config.search_timeout.ns == dur_ms(250).ns);
        assert_true(config.shutdown_grace.ns == dur_s(10).ns);
        assert_true(config.idempotency_ttl.ns == dur_s(2 * 86400).ns);
        assert_true(config.debug);
        assert_false(config.metrics_enabled);
        assert_int_equal(config.worker_threads, 0);
        assert_string_equal(config.log_level, "WARN");
        config_done(&config);
}

static void comments_after_words_go_but_stay_in_environment_text(void **state)
{
        (void)state;
        must_load(put_file(".env", "APP_HOST=::1 # everywhere\nAPI_KEY=a#b\nMETRICS_TOKEN= # none\n"), NULL,
                  "APP_PORT=81 # the port", "STORAGE_PATH=/a #b");
        assert_string_equal(config.app_host, "::1");
        assert_string_equal(config.api_key, "a#b");
        assert_string_equal(config.metrics_token, "");
        assert_int_equal(config.app_port, 81);
        assert_string_equal(config.storage_path, "/a #b");
        config_done(&config);
}

static void names_that_are_nearly_a_setting_are_warned_about(void **state)
{
        (void)state;
        must_load(put_file(".env", "APP_PROT=1\nPOSTGRES_USER=x\nAPI_KEY_FILE=\n"), NULL, "LOG_LEVL=x", "APPP_HOSTS=x");
        assert_int_equal(report.n, 2);
        assert_string_equal(report.warnings[0], "LOG_LEVL (environment) is no setting; did you mean LOG_LEVEL?");
        assert_string_equal(report.warnings[1], "APP_PROT (.env) is no setting; did you mean APP_PORT?");
        config_done(&config);
}

/* ---- the .env grammar ------------------------------------------------------------- */

static int collect(void *arg, struct span name, struct span value, struct err *e)
{
        (void)e;
        buf_printf(arg, "%.*s=[%.*s]\n", (int)name.n, name.p, (int)value.n, value.p);
        return 0;
}

static void the_env_grammar_is_read(void **state)
{
        static const char text[] =
                "\xEF\xBB\xBF# comment\r\n\n  A = 1  \r\nexport B=two words # c\nC='lit\\n # \"x\"' # c\n"
                "D=\"a\\nb\\\"c\\\\d\\e#\"#c\nE=\nF=x#y\nexport\t_G1='' \nA=2";
        struct err e = {0};
        struct buf b;

        (void)state;
        buf_init(&b, 1000);
        assert_int_equal(config_env_parse(SPAN(text), collect, &b, &e), 0);
        assert_string_equal(buf_str(&b), "A=[1]\nB=[two words]\nC=[lit\\n # \"x\"]\nD=[a\nb\"c\\d\\e#]\nE=[]\nF=[x#y]\n"
                                         "_G1=[]\nA=[2]\n");
        buf_done(&b);
}

static void bad_env_lines_are_named(void **state)
{
        static const char *const texts[] = {"A=1\nword",  "A=1\n=x",      "A=1\n1A=x",      "A=1\nA B=x",
                                            "A=1\nA=\"x", "A=1\nA='x' y", "A=1\nA=\"x\\\"", "A=1\nexport"};
        struct buf b;

        (void)state;
        buf_init(&b, 1000);
        for (size_t i = 0; i < COUNT_OF(texts); i++) {
                struct err e = {0};
                assert_int_equal(config_env_parse(span_of(texts[i]), collect, &b, &e), -1);
                assert_memory_equal(e.msg, "line 2: ", 8);
        }
        buf_done(&b);
        assert_int_equal(load(put_file(".env", "A=1\nword\n"), NULL, NULL, NULL), -1);
        assert_non_null(strstr(error.msg, ".env line 2: no = in it"));
}

/* ---- showing -------------------------------------------------------------------------- */

static void show_masks_secrets_and_tells_origins(void **state)
{
        struct err e = {0};
        struct json *doc;
        struct buf b;

        (void)state;
        buf_init(&b, 1 << 16);
        must_load(NULL, "APP_PORT=1", "API_KEY=hush", NULL);
        config_show(&config, &b, false);
        assert_non_null(strstr(buf_str(&b), "\nAPP_PORT=1  # flag\n"));
        assert_non_null(strstr(buf_str(&b), "\nAPI_KEY=********  # environment\n"));
        assert_non_null(strstr(buf_str(&b), "\nMETRICS_TOKEN=  # default\n"));
        assert_null(strstr(buf_str(&b), "hush"));
        buf_reset(&b);
        config_show(&config, &b, true);
        doc = json_parse(buf_span(&b), &e);
        assert_non_null(doc);
        assert_int_equal(json_count(doc), CONFIG_COUNT);
        assert_string_equal(json_get_str(json_get(doc, "API_KEY"), "value", ""), "********");
        assert_string_equal(json_get_str(json_get(doc, "APP_PORT"), "origin", ""), "flag");
        json_free(doc);
        config_done(&config);
        buf_done(&b);
}

static void show_masks_the_password_of_a_url(void **state)
{
        static const struct {
                const char *given, *shown;
        } cases[] = {
                {"redis://cache.example:6379/2", "redis://cache.example:6379/2"},
                {"redis://:hush@localhost", "redis://:********@localhost"},
                {"redis://me:hush@localhost:1/3", "redis://me:********@localhost:1/3"},
                {"redis://me:hu@sh@localhost", "redis://me:********@localhost"},
                {"redis://hush@localhost", "redis://********@localhost"},
                {"redis:/me:hush@localhost", "redis:********@localhost"},
                {"unix://:hush@/run/redis.sock", "unix://:********@/run/redis.sock"},
        };

        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                char setting[96], line[96];
                struct buf b;

                snprintf(setting, sizeof setting, "REDIS_URL=%s", cases[i].given);
                snprintf(line, sizeof line, "\nREDIS_URL=%s  # environment\n", cases[i].shown);
                buf_init(&b, 1 << 16);
                must_load(NULL, NULL, setting, NULL);
                assert_string_equal(config.redis_url, cases[i].given);
                config_show(&config, &b, false);
                assert_non_null(strstr(buf_str(&b), line));
                assert_null(strstr(buf_str(&b), "hush"));
                config_done(&config);
                buf_done(&b);
        }
}

static void the_password_in_a_database_url_does_not_show(void **state)
{
        static const char *const urls[][2] = {
                {"postgresql://fa:hush@db:5432/files", "postgresql://fa:********@db:5432/files"},
                {"postgres://fa:hu@sh@db/files", "postgres://fa:********@db/files"},
                {"postgresql+psycopg2://fa:hush@db/files?sslmode=require",
                 "postgresql+psycopg2://fa:********@db/files?sslmode=require"},
                {"postgresql://db/files?user=fa&password=hush&x=1",
                 "postgresql://db/files?user=fa&password=********&x=1"},
                {"postgresql://fa@db:5432/files", "postgresql://********@db:5432/files"}, /* it may be one */
                {"postgresql:///files?host=/run/x", "postgresql:///files?host=/run/x"},
        };
        char flag[200], line[200];
        struct buf b;

        (void)state;
        buf_init(&b, 1 << 16);
        for (size_t i = 0; i < COUNT_OF(urls); i++) {
                snprintf(flag, sizeof flag, "DATABASE_URL=%s", urls[i][0]);
                snprintf(line, sizeof line, "\nDATABASE_URL=%s  # flag\n", urls[i][1]);
                must_load(NULL, flag, NULL, NULL);
                assert_string_equal(config.database_url, urls[i][0]);
                assert_null(config.database_path);
                buf_reset(&b);
                config_show(&config, &b, false);
                if (!strstr(buf_str(&b), line))
                        fail_msg("%s is not shown", line);
                config_done(&config);
        }
        buf_done(&b);
}

static void documentation_has_a_row_for_every_setting(void **state)
{
        size_t lines = 0;
        struct buf b;

        (void)state;
        buf_init(&b, 1 << 16);
        config_docs(&b);
        for (size_t i = 0; i < b.n; i++)
                lines += b.p[i] == '\n';
        assert_int_equal(lines, CONFIG_COUNT + 2);
        assert_non_null(strstr(buf_str(&b), "| `APP_PORT` | `8000` | a whole number from 0 to 65535 | "));
        buf_done(&b);
}

static void every_failed_allocation_of_loading_is_told(void **state)
{
        const char *dotenv = put_file(".env", "APP_PROT=1\nAPP_PORT=2\nLOG_LEVEL='info'\n");
        int failures = 0;

        (void)state;
        for (long n = 0;; n++) {
                int rc;
                config_report_done(&report);
                mem_fail_after(n);
                rc = load(dotenv, "TRASH_DAYS=1", "API_KEY=k", NULL);
                mem_fail_after(-1);
                if (rc == 0)
                        break;
                failures++;
                assert_int_equal(error.code, ERR_OOM);
        }
        assert_true(failures > 5);
        assert_int_equal(config.app_port, 2);
        assert_int_equal(report.n, 1);
        config_done(&config);
}

int main(void)
{
#define CONFIG_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(without_sources_every_setting_has_its_default),
                CONFIG_TEST(flag_beats_environment_beats_dotenv),
                CONFIG_TEST(debug_sets_the_log_level_unless_that_is_set),
                CONFIG_TEST(an_empty_value_counts_as_absent),
                CONFIG_TEST(a_named_file_gives_the_value_less_one_newline),
                CONFIG_TEST(secret_files_serve_secrets_only),
                CONFIG_TEST(env_file_replaces_dotenv_and_must_exist),
                CONFIG_TEST(bad_values_name_setting_value_and_what_is_allowed),
                CONFIG_TEST(units_and_words_are_understood),
                CONFIG_TEST(comments_after_words_go_but_stay_in_environment_text),
                CONFIG_TEST(names_that_are_nearly_a_setting_are_warned_about),
                CONFIG_TEST(the_env_grammar_is_read),
                CONFIG_TEST(bad_env_lines_are_named),
                CONFIG_TEST(show_masks_secrets_and_tells_origins),
                CONFIG_TEST(show_masks_the_password_of_a_url),
                CONFIG_TEST(the_password_in_a_database_url_does_not_show),
                CONFIG_TEST(documentation_has_a_row_for_every_setting),
                CONFIG_TEST(every_failed_allocation_of_loading_is_told),
        };
        int rc;

        config_report_init(&report);
        rc = cmocka_run_group_tests(tests, NULL, NULL);
        config_report_done(&report);
        return rc;
}
