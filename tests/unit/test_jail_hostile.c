/* SPDX-License-Identifier: Apache-2.0 */
/* The jail with a decoder that lies, dies, hangs or never starts. */
#include "jail_help.h"

static int setup(void **state)
{
        (void)state;
        return metrics_init();
}

static int teardown(void **state)
{
        (void)state;
        metrics_done();
        return 0;
}

static void lies_are_caught_and_the_next_file_works(void **state)
{
        static const char *const lies[] = {"short",        "magic",      "serial",  "status", "length",  "wrap",
                                           "pixels",       "format",     "longer",  "keep",   "error",   "noise",
                                           "die",          "no-entries", "entries", "kind",   "unasked", "empty",
                                           "unasked-text", "meta-twice", "cut",     "huge"};
        (void)state;
        int fds = open_fds();
        struct jail *j = open_jail(FAKE, 1, 20, 0);
        for (size_t i = 0; i < COUNT_OF(lies); i++) {
                struct err e;
                double before = metrics_get(METRIC_WORKER_CRASHES);
                enum err_code got = decode_fd(j, file_of(lies[i]), &bare, &e);
                if (got != ERR_CRASHED)
                        fail_msg("%s: %s %s", lies[i], err_name(got), e.msg);
                assert_true(metrics_get(METRIC_WORKER_CRASHES) == before + 1);
                assert_int_equal(decode_fd(j, file_of("honest"), &bare, &e), ERR_NONE);
        }
        struct jail_state s;
        jail_state(j, &s);
        assert_int_equal(s.crashes, COUNT_OF(lies));
        jail_close(j);
        assert_int_equal(open_fds(), fds);
        assert_int_equal(children(NULL), 0);
}

static void honest_answer_comes_as_lists(void **state)
{
        static const struct decode_request all = {
                .max_pixels = 1000,
                .max_text = 100,
                .product = {{.name = "thumb.webp", .type = JAIL_WEBP, .size = 32},
                            {.name = "frame-#.jpg", .type = JAIL_JPEG, .size = 48, .series = 3}},
                .input = {{.width = 2, .height = 2, .crop_num = 1, .crop_den = 1},
                          {.width = 4, .height = 1, .crop_num = 1, .crop_den = 1, .part = PART_FRAME, .series = 9}},
        };
        static const char *const names[] = {"thumb.webp", "frame-1.jpg", "frame-2.jpg", "frame-3.jpg"};
        (void)state;
        struct jail *j = open_jail(FAKE, 1, 20, 0);
        struct decode_result r;
        struct err e;
        int fd = file_of("honest");
        if (jail_decode(j, fd, &all, &r, &e))
                fail_msg("%s", e.msg);
        close(fd);
        assert_true(span_eq(r.meta, "{}"));
        assert_int_equal(r.nproducts, COUNT_OF(names));
        for (size_t i = 0; i < r.nproducts; i++) {
                assert_string_equal(r.products[i].name, names[i]);
                assert_string_equal(r.products[i].media_type, i ? "image/jpeg" : "image/webp");
        }
        assert_true(span_eq(product_named(&r, "thumb.webp"), "aaaaaaaaaa"));
        assert_true(span_eq(product_named(&r, "frame-2.jpg"), "bbbbbbbbbbb"));
        assert_null(product_named(&r, "frame-#.jpg").p);
        assert_int_equal(r.ninputs, 4);
        assert_int_equal(decode_result_input(&r, 0).n, 12);
        assert_ptr_equal(decode_result_input(&r, 1).p, r.inputs[1].bytes.p);
        assert_null(decode_result_input(&r, 2).p);
        assert_int_equal(r.inputs[3].part, PART_FRAME);
        assert_int_equal(r.inputs[3].position, 2);
        assert_true(r.inputs[3].time_us == 3000000);
        assert_memory_equal(r.inputs[3].bytes.p, "\2\2\2\2\2\2\2\2\2\2\2\2", 12);
        assert_int_equal(r.ntexts, 2);
        assert_int_equal(r.texts[1].page, 2);
        assert_true(span_eq(r.texts[0].text, "The first page.\n"));
        decode_result_done(&r);
        decode_result_done(&r);
        jail_close(j);
}

static void request_that_makes_no_sense_reaches_no_decoder(void **state)
{
        (void)state;
        struct jail *j = open_jail("/nonexistent/decoder", 1, 5, 0);
        struct decode_request q = {.max_pixels = 1000, .product = {{.name = "../x", .type = JAIL_WEBP, .size = 1}}};
        struct err e;
        assert_int_equal(decode_fd(j, file_of("honest"), &q, &e), ERR_INVALID);
        jail_close(j);
}

static void answer_nobody_asked_for_is_not_taken_for_the_next(void **state)
{
        (void)state;
        struct jail *j = open_jail(FAKE, 1, 20, 0);
        struct err e;
        for (int i = 0; i < 3; i++) {
                assert_int_equal(decode_fd(j, file_of("twice"), &bare, &e), ERR_NONE);
                sleep_for(dur_ms(20));
        }
        jail_close(j);
}

static void hang_is_ended_in_time(void **state)
{
        (void)state;
        struct jail *j = open_jail(FAKE, 1, 1, 0);
        struct err e;
        struct mono t = mono_now();
        assert_int_equal(decode_fd(j, file_of("hang"), &bare, &e), ERR_TIMEOUT);
        assert_true(dur_seconds(mono_since(t)) < 30);
        assert_int_equal(decode_fd(j, file_of("honest"), &bare, &e), ERR_NONE);
        struct jail_state s;
        jail_state(j, &s);
        assert_int_equal(s.timeouts, 1);
        jail_close(j);
}

static void program_that_does_not_start_is_unavailable_and_tried_again_later(void **state)
{
        static const char *const programs[] = {"/bin/true", "/nonexistent/decoder"};
        (void)state;
        for (size_t i = 0; i < COUNT_OF(programs); i++) {
                struct jail *j = open_jail(programs[i], 1, 5, 0);
                struct err e;
                struct jail_state s;
                assert_int_equal(decode_fd(j, file_of("honest"), &bare, &e), ERR_UNAVAILABLE);
                for (int k = 0; k < 5 && !strstr(e.msg, "waiting");
                     k++) /* the first pause of 1 s may be over already */
                        assert_int_equal(decode_fd(j, file_of("honest"), &bare, &e), ERR_UNAVAILABLE);
                assert_non_null(strstr(e.msg, "waiting"));
                jail_state(j, &s);
                assert_true(s.note[0] && s.running == 0);
                for (int k = 0; k < 400 && strstr(e.msg, "waiting"); k++) {
                        sleep_for(dur_ms(100));
                        assert_int_equal(decode_fd(j, file_of("honest"), &bare, &e), ERR_UNAVAILABLE);
                }
                assert_null(strstr(e.msg, "waiting"));
                jail_close(j);
        }
        assert_int_equal(children(NULL), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lies_are_caught_and_the_next_file_works),
                cmocka_unit_test(honest_answer_comes_as_lists),
                cmocka_unit_test(request_that_makes_no_sense_reaches_no_decoder),
                cmocka_unit_test(answer_nobody_asked_for_is_not_taken_for_the_next),
                cmocka_unit_test(hang_is_ended_in_time),
                cmocka_unit_test(program_that_does_not_start_is_unavailable_and_tried_again_later),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
