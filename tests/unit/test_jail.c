/* SPDX-License-Identifier: Apache-2.0 */
/* The jail with the real decoder: every format, every refusal, every way for a child to go. */
#include "jail_help.h"

static struct jail *jail;

static int setup(void **state)
{
        (void)state;
        jail = open_jail(REAL, 2, 60, 0);
        return metrics_init();
}

static int teardown(void **state)
{
        (void)state;
        jail_close(jail);
        metrics_done();
        return 0;
}

static void every_format_decodes(void **state)
{
        static const struct {
                const char *file, *format;
                uint32_t w, h, pages;
        } rows[] = {
                {"photos/cat.jpg", "jpeg", 451, 300, 1}, /* stored on its side, orientation 6 */
                {"images/small.jpg", "jpeg", 64, 64, 1},   {"images/cmyk.jpg", "jpeg", 64, 64, 1},
                {"images/alpha.png", "png", 64, 64, 1},    {"photos/coins.png", "png", 384, 303, 1},
                {"images/small.webp", "webp", 96, 96, 1},  {"images/small.gif", "gif", 64, 64, 1},
                {"images/animated.gif", "gif", 40, 30, 3}, {"images/deep.tif", "tiff", 64, 64, 1},
                {"images/float.tif", "tiff", 32, 32, 1},   {"images/small.heic", "heif", 96, 96, 1},
                {"images/small.avif", "avif", 96, 96, 1},  {"images/small.jxl", "jxl", 96, 96, 1},
                {"images/alpha.jxl", "jxl", 64, 64, 1}, /* a bare codestream; the one before is in boxes */
                {"images/deep.jxl", "jxl", 32, 32, 1},     {"images/exif.jxl", "jxl", 64, 64, 1},
                {"images/animated.jxl", "jxl", 40, 30, 1}, /* its first frame */
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct decode_result r;
                struct err e;
                int fd = open_data(rows[i].file);
                if (jail_decode(jail, fd, &everything, &r, &e))
                        fail_msg("%s: %s", rows[i].file, e.msg);
                assert_string_equal(r.format, rows[i].format);
                assert_int_equal(r.width, rows[i].w);
                assert_int_equal(r.height, rows[i].h);
                assert_int_equal(r.pages, rows[i].pages);
                assert_int_equal(r.ninputs, 1);
                assert_int_equal(decode_result_input(&r, 0).n, 26 * 26 * 3);
                assert_int_equal(r.nproducts, 2);
                assert_memory_equal(product_named(&r, "thumb.webp").p + 8, "WEBP", 4);
                assert_memory_equal(product_named(&r, "preview.jpg").p, "\xff\xd8\xff", 3);
                assert_true(r.meta.p[0] == '{' && r.meta.p[r.meta.n - 1] == '}' && utf8_valid(r.meta));
                decode_result_done(&r);
                close(fd);
        }
}

static void metadata_tells_camera_and_frames(void **state)
{
        (void)state;
        struct decode_result r;
        struct err e;
        int fd = open_data("photos/cat.jpg");
        assert_int_equal(jail_decode(jail, fd, &everything, &r, &e), 0);
        assert_non_null(memmem(r.meta.p, r.meta.n, "\"Make\":\"ExampleCam\"", 19));
        assert_non_null(memmem(r.meta.p, r.meta.n, "\"color_palette\":[\"#", 19));
        decode_result_done(&r);
        close(fd);
        fd = open_data("images/animated.gif");
        assert_int_equal(jail_decode(jail, fd, &everything, &r, &e), 0);
        assert_non_null(memmem(r.meta.p, r.meta.n, "\"frames\":3", 10));
        decode_result_done(&r);
        close(fd);
}

static void exif_comes_as_numbers_and_text_and_leaves_no_trace_in_products(void **state)
{
        static const char *const parts[] = {"\"Make\":\"Example (Cam)\"",
                                            "\"DateTimeOriginal\":\"2021:07:04 12:30:15\"",
                                            "\"OffsetTimeOriginal\":\"+02:00\"",
                                            "\"LensModel\":\"Lens (50 mm) f/1.8\"",
                                            "\"ExposureTime\":0.004",
                                            "\"FNumber\":2.8",
                                            "\"ISOSpeedRatings\":400",
                                            "\"gps\":{\"latitude\":48.5,\"longitude\":-11.26,\"altitude\":519.5}"};
        (void)state;
        struct decode_result r;
        struct err e;
        int fd = open_data("images/exif.jpg");
        assert_int_equal(jail_decode(jail, fd, &everything, &r, &e), 0);
        for (size_t i = 0; i < COUNT_OF(parts); i++)
                if (!memmem(r.meta.p, r.meta.n, parts[i], strlen(parts[i])))
                        fail_msg("%s is not in %.*s", parts[i], (int)r.meta.n, r.meta.p);
        assert_null(memmem(r.meta.p, r.meta.n, "invalid", 7));
        for (size_t i = 0; i < r.nproducts; i++) {
                assert_null(memmem(r.products[i].bytes.p, r.products[i].bytes.n, "EXIF", 4));
                assert_null(memmem(r.products[i].bytes.p, r.products[i].bytes.n, "Exif", 4));
        }
        decode_result_done(&r);
        close(fd);
}

static void bad_files_are_refused_with_a_reason(void **state)
{
        static const struct {
                const char *file;
                enum err_code code;
                const char *says;
        } rows[] = {
                {"images/truncated.jpg", ERR_CORRUPT, "cut short"},
                {"images/huge.png", ERR_TOO_LARGE, "200000000 pixels"},
                {"images/huge.jxl", ERR_TOO_LARGE, "200000000 pixels"},
                {"images/truncated.jxl", ERR_CORRUPT, "damaged"},
                {"images/text.jpg", ERR_UNSUPPORTED, "text/plain"},
                {"images/html.png", ERR_UNSUPPORTED, "text/html"},
                {"images/empty.jpg", ERR_CORRUPT, "empty"},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct err e;
                assert_int_equal(decode_fd(jail, open_data(rows[i].file), &everything, &e), rows[i].code);
                if (!strstr(e.msg, rows[i].says))
                        fail_msg("%s: %s", rows[i].file, e.msg);
        }
        struct jail_state s;
        jail_state(jail, &s);
        assert_int_equal(s.crashes + s.timeouts, 0);
}

static void file_offset_of_the_caller_does_not_matter(void **state)
{
        (void)state;
        struct err e;
        int fd = open_data("images/small.jpg");
        assert_int_equal(lseek(fd, 500, SEEK_SET), 500);
        assert_int_equal(decode_fd(jail, fd, &everything, &e), ERR_NONE);
}

struct victim {
        struct jail *j;
        pid_t pid;
};

static void *kill_at_work(void *arg)
{
        struct victim *v = arg;
        struct jail_state s;

        for (jail_state(v->j, &s); s.busy == 0; jail_state(v->j, &s))
                sleep_for(dur_ms(10));
        sleep_for(dur_ms(200)); /* until it has been given the file */
        kill(v->pid, SIGKILL);
        return NULL;
}

static void killed_child_costs_one_file(void **state)
{
        (void)state;
        struct jail *j = open_jail(REAL, 1, 60, 0);
        struct err e;
        pid_t pid = 0;
        pthread_t t;
        jail_close(jail); /* so that the only child is this jail's */
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_int_equal(children(&pid), 1);
        double before = metrics_get(METRIC_WORKER_CRASHES);
        kill(pid, SIGSTOP);
        assert_int_equal(thread_start(&t, "killer", kill_at_work, &(struct victim){j, pid}), 0);
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_CRASHED);
        pthread_join(t, NULL);
        assert_true(metrics_get(METRIC_WORKER_CRASHES) == before + 1);
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        /* dead between two files: nobody's fault */
        assert_int_equal(children(&pid), 1);
        kill(pid, SIGKILL);
        sleep_for(dur_ms(100));
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_true(metrics_get(METRIC_WORKER_CRASHES) == before + 1);
        jail_close(j);
        jail = open_jail(REAL, 2, 60, 0);
}

static void stopped_child_is_timed_out(void **state)
{
        (void)state;
        jail_close(jail);
        struct jail *j = open_jail(REAL, 1, 2, 0);
        struct err e;
        pid_t pid = 0;
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_int_equal(children(&pid), 1);
        kill(pid, SIGSTOP);
        struct mono t = mono_now();
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_TIMEOUT);
        double took = dur_seconds(mono_since(t));
        assert_true(took > 1.9 && took < 5);
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        jail_close(j);
        jail = open_jail(REAL, 2, 60, 0);
}

static void *decode_many(void *arg)
{
        intptr_t bad = 0;
        (void)arg;
        for (int i = 0; i < 12; i++) {
                struct err e;
                bad += decode_fd(jail, open_data(i % 3 ? "images/small.jpg" : "images/small.gif"), &everything, &e) !=
                       ERR_NONE;
                bad += decode_fd(jail, open_data("images/truncated.jpg"), &everything, &e) != ERR_CORRUPT;
        }
        return (void *)bad;
}

static void threads_share_two_children(void **state)
{
        (void)state;
        pthread_t t[8];
        for (size_t i = 0; i < COUNT_OF(t); i++)
                assert_int_equal(thread_start(&t[i], "decode", decode_many, NULL), 0);
        for (size_t i = 0; i < COUNT_OF(t); i++) {
                void *bad;
                pthread_join(t[i], &bad);
                assert_null(bad);
        }
        assert_true(children(NULL) <= 2);
}

static void nothing_leaks(void **state)
{
        (void)state;
        jail_close(jail);
        int before = open_fds();
        jail = open_jail(REAL, 2, 60, 3);
        decode_many(NULL); /* recycles every third file */
        jail_close(jail);
        assert_int_equal(open_fds(), before);
        assert_int_equal(children(NULL), 0);
        jail = open_jail(REAL, 2, 60, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_format_decodes),
                cmocka_unit_test(metadata_tells_camera_and_frames),
                cmocka_unit_test(exif_comes_as_numbers_and_text_and_leaves_no_trace_in_products),
                cmocka_unit_test(bad_files_are_refused_with_a_reason),
                cmocka_unit_test(file_offset_of_the_caller_does_not_matter),
                cmocka_unit_test(killed_child_costs_one_file),
                cmocka_unit_test(stopped_child_is_timed_out),
                cmocka_unit_test(threads_share_two_children),
                cmocka_unit_test(nothing_leaks),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
