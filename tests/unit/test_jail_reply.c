/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of requests and replies, rule by rule. One honest reply has
 * everything that can be asked for; each lie is that reply with one thing
 * changed, and must be refused with the words that belong to it.
 */
#include "jail_help.h"

#include "jail/jail_priv.h"

#define ENTRIES_ROOM 16
#define BYTES_ROOM   4096

static const struct decode_request wishes = {
        .max_pixels = 1000,
        .max_text = 64,
        .product = {{.name = "thumb.webp", .type = JAIL_WEBP, .size = 16},
                    {.name = "frame-#.jpg", .type = JAIL_JPEG, .size = 16, .series = 2}},
        .input = {{.width = 2, .height = 1, .crop_num = 1, .crop_den = 1},
                  {.width = 1, .height = 1, .crop_num = 1, .crop_den = 1, .part = PART_FRAME, .series = 2}},
};

struct answer {
        struct jail_request req;
        struct jail_reply r;
        struct jail_entry entry[ENTRIES_ROOM];
        char bytes[BYTES_ROOM];
        size_t nbytes, n; /* n: what recvmsg returned */
};

/* Where the honest answer has what. */
enum { META, THUMB, FRAME_1, FRAME_2, INPUT, MOMENT_1, MOMENT_2, PAGE_1, PAGE_2, PIECE, HONEST };

static void add(struct answer *a, struct jail_entry x, const char *bytes)
{
        x.length = strlen(bytes);
        a->entry[a->r.entries++] = x;
        memcpy(a->bytes + a->nbytes, bytes, x.length);
        a->nbytes += x.length;
}

static struct answer honest(void)
{
        struct answer a = {
                .req = {.magic = JAIL_MAGIC, .serial = 5, .want = wishes},
                .r = {.magic = JAIL_MAGIC, .serial = 5, .width = 20, .height = 10, .pages = 5, .format = "png"},
                .n = sizeof a.r,
        };
        add(&a, (struct jail_entry){.kind = JAIL_METADATA}, "{\"a\":1}");
        add(&a, (struct jail_entry){.kind = JAIL_PRODUCT}, "RIFF");
        add(&a, (struct jail_entry){.kind = JAIL_PRODUCT, .wish = 1}, "first");
        add(&a, (struct jail_entry){.kind = JAIL_PRODUCT, .wish = 1}, "second");
        add(&a, (struct jail_entry){.kind = JAIL_INPUT}, "rgbrgb");
        add(&a, (struct jail_entry){.kind = JAIL_INPUT, .wish = 1, .part = PART_FRAME, .position = 3, .time_us = 100},
            "rgb");
        add(&a, (struct jail_entry){.kind = JAIL_INPUT, .wish = 1, .part = PART_FRAME, .position = 4, .time_us = 200},
            "RGB");
        add(&a, (struct jail_entry){.kind = JAIL_TEXT, .part = PART_PAGE, .position = 1, .page = 1}, "one\n");
        add(&a, (struct jail_entry){.kind = JAIL_TEXT, .part = PART_PAGE, .position = 2, .page = 2}, "zw\xc3\xb6lf");
        add(&a, (struct jail_entry){.kind = JAIL_TEXT, .part = PART_CHUNK, .page = 2, .offset = 7}, "piece");
        assert_int_equal(a.r.entries, HONEST);
        return a;
}

/* The memory file of an answer, in a block of its own size, so that a read past its end shows under a sanitizer. */
static struct span memory_of(const struct answer *a, size_t table)
{
        size_t head = table * sizeof a->entry[0];
        char *p = mem_alloc(head + a->nbytes + 1);
        assert_non_null(p);
        memcpy(p, a->entry, head);
        memcpy(p + head, a->bytes, a->nbytes);
        return (struct span){p, head + a->nbytes};
}

static int judge(const struct answer *a, struct span memory, struct err *e)
{
        *e = (struct err){0};
        int rc = jail_check_reply(&a->r, a->n, &a->req, memory, e);
        assert_true(rc == 0 || e->code == ERR_CRASHED);
        return rc;
}

static void expect_fault(const struct answer *a, const char *says)
{
        struct err e;
        struct span memory = memory_of(a, a->r.entries <= ENTRIES_ROOM ? a->r.entries : HONEST);
        if (!judge(a, memory, &e))
                fail_msg("accepted, which should be: %s", says);
        if (!strstr(e.msg, says))
                fail_msg("\"%s\" where \"%s\" should be", e.msg, says);
        mem_free((void *)(uintptr_t)memory.p);
}

/* ---- the honest answer ---------------------------------------------------------------- */

static void honest_answer_is_taken_apart(void **state)
{
        (void)state;
        struct answer a = honest();
        struct span memory = memory_of(&a, HONEST);
        struct decode_result d;
        struct err e;
        if (judge(&a, memory, &e) || jail_list_reply(&a.r, &a.req.want, memory, &d, &e))
                fail_msg("%s", e.msg);
        assert_true(span_eq(d.meta, "{\"a\":1}"));
        assert_int_equal(d.nproducts, 3);
        assert_true(span_eq(product_named(&d, "thumb.webp"), "RIFF"));
        assert_true(span_eq(product_named(&d, "frame-1.jpg"), "first"));
        assert_true(span_eq(product_named(&d, "frame-2.jpg"), "second"));
        assert_string_equal(d.products[2].media_type, "image/jpeg");
        assert_int_equal(d.ninputs, 3);
        assert_true(span_eq(decode_result_input(&d, 0), "rgbrgb"));
        assert_true(span_eq(decode_result_input(&d, 1), "rgb"));
        assert_int_equal(d.inputs[2].position, 4);
        assert_int_equal(d.inputs[2].time_us, 200);
        assert_int_equal(d.ntexts, 3);
        assert_int_equal(d.texts[2].part, PART_CHUNK);
        assert_int_equal(d.texts[2].offset, 7);
        decode_result_done(&d);
        mem_free((void *)(uintptr_t)memory.p);
}

static void order_of_entries_is_free_and_series_may_be_empty(void **state)
{
        (void)state;
        struct answer a = honest();
        struct err e;
        a.r.entries = 0;
        a.nbytes = 0;
        add(&a, (struct jail_entry){.kind = JAIL_INPUT}, "rgbrgb");
        add(&a, (struct jail_entry){.kind = JAIL_PRODUCT}, "RIFF");
        add(&a, (struct jail_entry){.kind = JAIL_METADATA}, "{}");
        struct span memory = memory_of(&a, a.r.entries);
        if (judge(&a, memory, &e))
                fail_msg("%s", e.msg);
        mem_free((void *)(uintptr_t)memory.p);
}

static void failure_needs_no_entries(void **state)
{
        (void)state;
        struct answer a = honest();
        struct err e;
        a.r.status = JAIL_CORRUPT;
        a.r.entries = 99;
        memcpy(a.r.error, "the picture is cut short", 25);
        assert_int_equal(judge(&a, (struct span){0}, &e), 0);
        static const char bad[] = {'\n', '\x1b', '\x7f', '\xff'};
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                a.r.error[3] = bad[i];
                expect_fault(&a, "no text");
        }
        memset(a.r.error, 'e', sizeof a.r.error);
        expect_fault(&a, "no text");
}

static void running_out_of_memory_leaves_nothing_behind(void **state)
{
        (void)state;
        struct answer a = honest();
        struct span memory = memory_of(&a, HONEST);
        for (long n = 0; n < 3; n++) {
                struct decode_result d;
                struct err e = {0};
                mem_fail_after(n);
                assert_int_equal(jail_list_reply(&a.r, &a.req.want, memory, &d, &e), -1);
                mem_fail_after(-1);
                assert_int_equal(e.code, ERR_OOM);
                assert_null(d.products);
        }
        mem_free((void *)(uintptr_t)memory.p);
}

/* ---- lies about the reply -------------------------------------------------------------- */

static void reply_must_answer_the_question(void **state)
{
        (void)state;
        struct answer a = honest();
        a.n--;
        expect_fault(&a, "wrong size");
        a = honest();
        a.r.magic ^= 1;
        expect_fault(&a, "another question");
        a = honest();
        a.r.serial++;
        expect_fault(&a, "another question");
        a = honest();
        a.r.status = JAIL_FAILED + 1;
        expect_fault(&a, "unknown status");
}

static void picture_must_be_one_that_was_allowed(void **state)
{
        (void)state;
        struct answer a = honest();
        memset(a.r.format, 'p', sizeof a.r.format);
        expect_fault(&a, "unknown format");
        a = honest();
        memcpy(a.r.format, "elf", 4);
        expect_fault(&a, "unknown format");
        for (int i = 0; i < 3; i++) {
                a = honest();
                *(uint32_t *[]){&a.r.width, &a.r.height, &a.r.pages}[i] = 0;
                expect_fault(&a, "empty picture");
                a = honest();
                *(uint32_t *[]){&a.r.width, &a.r.height, &a.r.pages}[i] = UINT32_MAX;
                expect_fault(&a, "more pixels");
        }
        a = honest();
        a.r.pages++;
        expect_fault(&a, "more pixels");
}

static void entries_must_fit_the_memory_file(void **state)
{
        (void)state;
        static const uint64_t lengths[] = {0, 8, 4096, UINT64_MAX, UINT64_MAX - 400};
        struct answer a = honest();
        a.r.entries = UINT32_MAX;
        expect_fault(&a, "more entries");
        a.r.entries = JAIL_ENTRIES_MAX + 1;
        expect_fault(&a, "more entries");
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
                a = honest();
                a.entry[PIECE].length = lengths[i];
                expect_fault(&a, "wrong length");
        }
        a = honest();
        a.nbytes++;
        expect_fault(&a, "belong to no entry");
        a = honest();
        a.entry[PIECE].length--;
        expect_fault(&a, "belong to no entry");
        a = honest();
        a.entry[PIECE].kind = JAIL_TEXT + 1;
        expect_fault(&a, "unknown kind");
        struct span memory = {.p = a.bytes, .n = (size_t)JAIL_OUTPUT_MAX + 1}; /* nothing of it is looked at */
        struct err e;
        a = honest();
        assert_int_equal(judge(&a, memory, &e), -1);
        assert_non_null(strstr(e.msg, "too large"));
}

static void table_itself_must_fit(void **state)
{
        (void)state;
        struct answer a = honest();
        struct span memory = memory_of(&a, HONEST);
        struct err e;
        memory.n = HONEST * sizeof(struct jail_entry) - 1;
        assert_int_equal(judge(&a, memory, &e), -1);
        assert_non_null(strstr(e.msg, "more entries"));
        memory.n = 0;
        assert_int_equal(judge(&a, memory, &e), -1);
        mem_free((void *)(uintptr_t)memory.p);
}

static void table_is_bounded(void **state)
{
        (void)state;
        struct answer a = honest();
        struct err e;
        size_t room = (JAIL_ENTRIES_MAX + 1) * sizeof(struct jail_entry) + 2;
        char *p = mem_calloc(1, room);
        assert_non_null(p);
        for (a.r.entries = JAIL_ENTRIES_MAX; a.r.entries <= JAIL_ENTRIES_MAX + 1; a.r.entries++) {
                assert_int_equal(judge(&a, (struct span){p, room}, &e), -1);
                bool over = strstr(e.msg, "more entries") != NULL;
                assert_int_equal(over, a.r.entries > JAIL_ENTRIES_MAX);
        }
        mem_free(p);
}

/* ---- lies about entries ------------------------------------------------------------------ */

static void metadata_is_one_object(void **state)
{
        (void)state;
        static const char *const none[] = {"[]", "{", "}", "{}\n", "{\xff}"};
        struct answer a;
        for (size_t i = 0; i < COUNT_OF(none); i++) {
                a = honest();
                a.r.entries = 0;
                a.nbytes = 0;
                add(&a, (struct jail_entry){.kind = JAIL_METADATA}, none[i]);
                expect_fault(&a, strlen(none[i]) < 2 ? "metadata of a wrong length" : "no object");
        }
        a = honest();
        add(&a, (struct jail_entry){.kind = JAIL_METADATA}, "{}");
        expect_fault(&a, "metadata twice");
        a = honest();
        a.r.entries = 0;
        a.nbytes = 0;
        add(&a, (struct jail_entry){.kind = JAIL_INPUT}, "rgbrgb");
        add(&a, (struct jail_entry){.kind = JAIL_PRODUCT}, "RIFF");
        expect_fault(&a, "without metadata");
        for (int i = 0; i < 5; i++) {
                a = honest();
                struct jail_entry *x = &a.entry[META];
                *(uint32_t *[]){&x->wish, &x->part, &x->position, &x->page, &x->offset}[i] = 1;
                expect_fault(&a, "metadata of a part");
        }
        a = honest();
        a.entry[META].time_us = 1;
        expect_fault(&a, "metadata of a part");
}

static void metadata_is_bounded(void **state)
{
        (void)state;
        struct answer a = honest();
        struct err e;
        size_t head = sizeof a.entry[0], n = JAIL_META_MAX + 1;
        char *p = mem_alloc(head + n);
        assert_non_null(p);
        memset(p + head, ' ', n);
        p[head] = '{';
        p[head + n - 1] = '}';
        a.entry[0].length = n;
        a.r.entries = 1;
        memcpy(p, a.entry, head);
        assert_int_equal(judge(&a, (struct span){p, head + n}, &e), -1);
        assert_non_null(strstr(e.msg, "metadata of a wrong length"));
        mem_free(p);
}

static void products_are_those_asked_for(void **state)
{
        (void)state;
        static const uint32_t unasked[] = {2, JAIL_PRODUCTS_MAX, UINT32_MAX};
        struct answer a;
        for (size_t i = 0; i < COUNT_OF(unasked); i++) {
                a = honest();
                a.entry[THUMB].wish = unasked[i];
                expect_fault(&a, "not asked for");
        }
        a = honest();
        add(&a, (struct jail_entry){.kind = JAIL_PRODUCT, .wish = 0}, "again");
        expect_fault(&a, "more products");
        a = honest();
        add(&a, (struct jail_entry){.kind = JAIL_PRODUCT, .wish = 1}, "third");
        expect_fault(&a, "more products");
        a = honest();
        a.req.want.product[2] = (struct jail_product_wish){.name = "missing.jpg"};
        expect_fault(&a, "without a product");
        for (int i = 0; i < 4; i++) {
                a = honest();
                struct jail_entry *x = &a.entry[THUMB];
                *(uint32_t *[]){&x->part, &x->position, &x->page, &x->offset}[i] = 1;
                expect_fault(&a, "product of a part");
        }
        a = honest();
        a.entry[THUMB].time_us = 1;
        expect_fault(&a, "product of a part");
}

static void inputs_are_those_asked_for(void **state)
{
        (void)state;
        static const uint32_t unasked[] = {2, JAIL_INPUTS_MAX, UINT32_MAX};
        struct answer a;
        for (size_t i = 0; i < COUNT_OF(unasked); i++) {
                a = honest();
                a.entry[INPUT].wish = unasked[i];
                expect_fault(&a, "not asked for");
        }
        a = honest();
        a.req.want.input[0].height++;
        expect_fault(&a, "input of a wrong length");
        a = honest();
        add(&a, (struct jail_entry){.kind = JAIL_INPUT, .wish = 1, .part = PART_FRAME, .position = 5, .time_us = 300},
            "rgb");
        expect_fault(&a, "more model inputs");
        a = honest();
        a.req.want.input[2] = (struct jail_input_wish){.width = 1, .height = 1};
        expect_fault(&a, "without a model input");
}

static void inputs_say_which_part_they_are(void **state)
{
        (void)state;
        struct answer a = honest();
        a.entry[MOMENT_1].part = PART_PAGE;
        expect_fault(&a, "wrong part");
        a = honest();
        a.entry[INPUT].position = 1;
        expect_fault(&a, "wrong part");
        a = honest();
        a.entry[MOMENT_1].page = 1;
        expect_fault(&a, "wrong part");
        a = honest();
        a.entry[MOMENT_1].offset = 1;
        expect_fault(&a, "wrong part");
        a = honest();
        a.entry[INPUT].time_us = 1;
        expect_fault(&a, "wrong time");
        a = honest();
        a.entry[MOMENT_2].time_us = UINT64_MAX;
        expect_fault(&a, "wrong time");
        a = honest();
        a.entry[MOMENT_2].time_us = 99;
        expect_fault(&a, "inputs out of order");
        a = honest();
        a.entry[MOMENT_2].position = 3;
        expect_fault(&a, "inputs out of order");
}

static void text_is_text_and_not_more_than_asked_for(void **state)
{
        (void)state;
        static const char bad[] = {'\0', '\x07', '\x1b', '\x7f', '\xff'};
        struct answer a = honest();
        a.req.want.max_text = 15;
        struct err e;
        struct span memory = memory_of(&a, HONEST);
        assert_int_equal(judge(&a, memory, &e), 0);
        mem_free((void *)(uintptr_t)memory.p);
        a.req.want.max_text = 14;
        expect_fault(&a, "more text");
        a.req.want.max_text = 0;
        expect_fault(&a, "more text");
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                a = honest();
                a.bytes[a.nbytes - 2] = bad[i];
                expect_fault(&a, "text that is none");
        }
}

static void texts_say_where_they_stand(void **state)
{
        (void)state;
        struct answer a = honest();
        a.entry[PIECE].part = PART_FRAME;
        expect_fault(&a, "text of a wrong part");
        a.entry[PIECE].part = PART_KIND_COUNT;
        expect_fault(&a, "text of a wrong part");
        a = honest();
        a.entry[PIECE].wish = 1;
        expect_fault(&a, "text of a wrong part");
        a = honest();
        a.entry[PIECE].time_us = 1;
        expect_fault(&a, "text of a wrong part");
        a = honest();
        a.entry[PIECE].part = PART_ROW;
        expect_fault(&a, "wrong place");
        a = honest();
        a.entry[PAGE_1].part = PART_WHOLE;
        a.entry[PAGE_1].page = 0;
        expect_fault(&a, "wrong place");
        a = honest();
        a.entry[PAGE_2].position = 1;
        expect_fault(&a, "texts out of order");
        a = honest();
        a.entry[PAGE_1].part = PART_CHUNK;
        expect_fault(&a, "texts out of order");
}

/* ---- requests ---------------------------------------------------------------------------- */

static bool accepted(const struct decode_request *q)
{
        struct err e = {0};
        int rc = jail_check_request(q, &e);
        assert_true(rc == 0 || e.code == ERR_INVALID);
        return rc == 0;
}

static void names_of_products_are_fit_for_files(void **state)
{
        static const struct {
                const char *name;
                uint32_t series;
                bool fits;
        } rows[] = {
                {"thumb.webp", 0, true},
                {"frame-#.jpg", 9, true},
                {"#", 1, true},
                {"frame-#.jpg", 0, false},
                {"frame.jpg", 9, false},
                {"#-#", 9, false},
                {"../thumb", 0, false},
                {"a/b", 0, false},
                {"a..b", 0, false},
                {".hidden", 0, false},
                {"Thumb", 0, false},
                {"th\xc3\xbcmb", 0, false},
                {"a b", 0, false},
                {"abcdefghijklmnopqrstuvwxyz01234", 0, true},   /* 31 characters */
                {"abcdefghijklmnopqrstuvwxyz012345", 0, false}, /* no room for the NUL */
                {"abcdefghijklmnopqrstuvwxyz0#", 9, true},      /* 31 with four digits */
                {"abcdefghijklmnopqrstuvwxyz01#", 9, false},
                {"a", JAIL_SERIES_MAX + 1, false},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct decode_request q = {.product = {{.size = 1, .series = rows[i].series}}};
                memcpy(q.product[0].name, rows[i].name, strnlen(rows[i].name, JAIL_NAME_MAX));
                if (accepted(&q) != rows[i].fits)
                        fail_msg("%s", rows[i].name);
        }
        struct decode_request twice = {.product = {{.name = "a"}, {.name = "b"}, {.name = "a"}}};
        assert_false(accepted(&twice));
        twice.product[2].name[0] = 'c';
        assert_true(accepted(&twice));
        twice.product[2].type = JAIL_TYPE_COUNT;
        assert_false(accepted(&twice));
}

static void wishes_must_make_sense(void **state)
{
        (void)state;
        struct decode_request q = wishes;
        assert_true(accepted(&q));
        q.reader = JAIL_READER_COUNT;
        assert_false(accepted(&q));
        q = wishes;
        q.max_text = JAIL_OUTPUT_MAX + 1;
        assert_false(accepted(&q));
        q = wishes;
        q.product[1].series = JAIL_SERIES_MAX + 1;
        assert_false(accepted(&q));
        static const struct jail_input_wish wrong[] = {
                {.width = 1, .height = 0, .crop_num = 1, .crop_den = 1},
                {.width = 1u << 16, .height = 1u << 16, .crop_num = 1, .crop_den = 1},
                {.width = UINT32_MAX, .height = UINT32_MAX, .crop_num = 1, .crop_den = 1},
                {.width = 1, .height = 1, .crop_num = 1},
                {.width = 1, .height = 1, .crop_den = 1},
                {.width = 1, .height = 1, .crop_num = 1, .crop_den = 1, .tensor = JAIL_TENSOR_COUNT},
                {.width = 1, .height = 1, .crop_num = 1, .crop_den = 1, .part = PART_FRAME},
                {.width = 1, .height = 1, .crop_num = 1, .crop_den = 1, .series = 2},
                {.width = 1, .height = 1, .crop_num = 1, .crop_den = 1, .part = PART_KIND_COUNT, .series = 2},
                {.width = 1,
                 .height = 1,
                 .crop_num = 1,
                 .crop_den = 1,
                 .part = PART_FRAME,
                 .series = JAIL_SERIES_MAX + 1},
        };
        for (size_t i = 0; i < COUNT_OF(wrong); i++) {
                q = wishes;
                q.input[0] = wrong[i];
                if (accepted(&q))
                        fail_msg("input %zu", i);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(honest_answer_is_taken_apart),
                cmocka_unit_test(order_of_entries_is_free_and_series_may_be_empty),
                cmocka_unit_test(failure_needs_no_entries),
                cmocka_unit_test(running_out_of_memory_leaves_nothing_behind),
                cmocka_unit_test(reply_must_answer_the_question),
                cmocka_unit_test(picture_must_be_one_that_was_allowed),
                cmocka_unit_test(entries_must_fit_the_memory_file),
                cmocka_unit_test(table_itself_must_fit),
                cmocka_unit_test(table_is_bounded),
                cmocka_unit_test(metadata_is_one_object),
                cmocka_unit_test(metadata_is_bounded),
                cmocka_unit_test(products_are_those_asked_for),
                cmocka_unit_test(inputs_are_those_asked_for),
                cmocka_unit_test(inputs_say_which_part_they_are),
                cmocka_unit_test(text_is_text_and_not_more_than_asked_for),
                cmocka_unit_test(texts_say_where_they_stand),
                cmocka_unit_test(names_of_products_are_fit_for_files),
                cmocka_unit_test(wishes_must_make_sense),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
