/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of proxies, and whom a proxy speaks for. */
#include "http/address.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct in6_addr ip(const char *text)
{
        struct in6_addr out;
        if (!address_parse(span_of(text), strchr(text, ':') ? AF_INET6 : AF_INET, &out))
                fail_msg("%s is no address", text);
        return out;
}

static struct networks *parse(const char *list)
{
        struct networks *n = NULL;
        struct err e;
        if (networks_parse("TRUSTED_PROXIES", list, &n, &e))
                fail_msg("%s", e.msg);
        return n;
}

static void addresses_are_read_and_printed(void **state)
{
        static const char *const good[] = {"127.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::abcd"};
        static const char *const bad[] = {"",     "1.2.3",   "1.2.3.4.5", "1.2.3.256", "01.2.3.4", " 1.2.3.4",
                                          ":::1", "::1%lo0", "1.2.3.4\n", "1.2.3.4/8", "g::1"};
        char text[INET6_ADDRSTRLEN];
        struct in6_addr out;
        (void)state;
        for (size_t i = 0; i < COUNT_OF(good); i++) {
                out = ip(good[i]);
                assert_string_equal(address_format(&out, text), good[i]);
        }
        out = ip("::ffff:1.2.3.4");
        assert_string_equal(address_format(&out, text), "1.2.3.4");
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                if (address_parse(span_of(bad[i]), AF_INET, &out) || address_parse(span_of(bad[i]), AF_INET6, &out))
                        fail_msg("taken: %s", bad[i]);
        }
        assert_false(address_parse((struct span){"1.2.3.4\0", 8}, AF_INET, &out));
        assert_false(address_parse(SPAN("1.2.3.4"), AF_INET6, &out));
        assert_false(address_parse(SPAN("::1"), AF_INET, &out));
}

static void networks_hold_what_their_prefix_says(void **state)
{
        static const struct {
                const char *list, *address;
                bool in;
        } rows[] = {
                {"10.0.0.0/8", "10.255.0.1", true},
                {"10.0.0.0/8", "11.0.0.1", false},
                {"10.1.2.3/8", "10.9.9.9", true},
                {"192.168.4.0/22", "192.168.7.255", true},
                {"192.168.4.0/22", "192.168.8.0", false},
                {"192.168.4.0/22", "192.168.3.255", false},
                {"1.2.3.4", "1.2.3.4", true},
                {"1.2.3.4", "1.2.3.5", false},
                {"1.2.3.4/32", "1.2.3.5", false},
                {"1.2.3.4/31", "1.2.3.5", true},
                {"0.0.0.0/0", "9.9.9.9", true},
                {"0.0.0.0/0", "2001:db8::1", false},
                {"::/0", "2001:db8::1", true},
                {"::/0", "9.9.9.9", true},
                {"fd00::/8", "fdff::1", true},
                {"fd00::/8", "fe00::1", false},
                {"2001:db8::/33", "2001:db8:7fff::1", true},
                {"2001:db8::/33", "2001:db8:8000::1", false},
                {"::ffff:10.0.0.0/104", "10.1.1.1", true},
                {"::1", "::1", true},
                {"::1", "127.0.0.1", false},
                {" 127.0.0.1 ,, ::1,10.0.0.0/8 ,", "10.0.0.1", true},
                {"", "127.0.0.1", false},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct networks *n = parse(rows[i].list);
                struct in6_addr a = ip(rows[i].address);
                if (networks_have(n, &a) != rows[i].in)
                        fail_msg("%s in %s: %d", rows[i].address, rows[i].list, !rows[i].in);
                networks_free(n);
        }
        struct in6_addr a = ip("::1");
        assert_false(networks_have(NULL, &a));
        networks_free(NULL);
}

static void what_is_no_network_is_named(void **state)
{
        static const struct {
                const char *list, *named;
        } rows[] = {
                {"10.0.0.0/33", "\"10.0.0.0/33\""},
                {"::1, 10.0.0/8", "\"10.0.0/8\""},
                {"fd00::/129", "\"fd00::/129\""},
                {"10.0.0.0/", "\"10.0.0.0/\""},
                {"10.0.0.0/8/9", "\"10.0.0.0/8/9\""},
                {"10.0.0.0/-1", "\"10.0.0.0/-1\""},
                {"/8", "\"/8\""},
                {"proxy.example", "\"proxy.example\""},
                {"[::1]", "\"[::1]\""},
                {"127.0.0.1 ::1", "\"127.0.0.1 ::1\""},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct networks *n = NULL;
                struct err e;
                if (networks_parse("TRUSTED_PROXIES", rows[i].list, &n, &e) == 0)
                        fail_msg("taken: %s", rows[i].list);
                assert_int_equal(e.code, ERR_INVALID);
                assert_non_null(strstr(e.msg, "TRUSTED_PROXIES"));
                assert_non_null(strstr(e.msg, rows[i].named));
                assert_non_null(strstr(e.msg, "10.0.0.0/8"));
        }
        for (long k = 0; k < 2; k++) {
                struct networks *n = NULL;
                struct err e;
                mem_fail_after(k);
                assert_int_equal(networks_parse("TRUSTED_PROXIES", "::1", &n, &e), -1);
                assert_int_equal(e.code, ERR_OOM);
        }
        mem_fail_after(-1);
}

static void the_rightmost_address_that_is_no_proxy_is_the_client(void **state)
{
        static const struct {
                const char *peer, *value, *client; /* NULL: malformed */
        } rows[] = {
                {"10.0.0.1", "1.2.3.4", "1.2.3.4"},
                {"10.0.0.1", "9.9.9.9, 1.2.3.4", "1.2.3.4"},
                {"10.0.0.1", "1.2.3.4, 10.0.0.2", "1.2.3.4"},
                {"10.0.0.1", "1.2.3.4,10.0.0.2,10.0.0.3", "1.2.3.4"},
                {"10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"},
                {"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
                {"10.0.0.1", "2001:db8::7", "2001:db8::7"},
                {"10.0.0.1", "[2001:db8::7]", "2001:db8::7"},
                {"10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"},
                {"10.0.0.1", "1.2.3.4:5678", "1.2.3.4"},
                {"10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"},
                {"fd00::1", "1.2.3.4", "1.2.3.4"},
                {"10.0.0.1", "", "10.0.0.1"},
                /* What a client wrote itself to the left of its own address does not matter. */
                {"10.0.0.1", "nonsense, 1.2.3.4", "1.2.3.4"},
                {"10.0.0.1", ", 1.2.3.4", "1.2.3.4"},
                {"10.0.0.1", "nonsense", NULL},
                {"10.0.0.1", "1.2.3.4, nonsense", NULL},
                {"10.0.0.1", "1.2.3.4, unknown, 10.0.0.2", NULL},
                {"10.0.0.1", "1.2.3.4,", NULL},
                {"10.0.0.1", " ", NULL},
                {"10.0.0.1", "1.2.3.4:", NULL},
                {"10.0.0.1", "1.2.3.4:65536", NULL},
                {"10.0.0.1", "1.2.3.4:80x", NULL},
                {"10.0.0.1", "[2001:db8::7", NULL},
                {"10.0.0.1", "[2001:db8::7]443", NULL},
                {"10.0.0.1", "[1.2.3.4]", NULL},
                {"10.0.0.1", "_hidden", NULL},
                /* Who is no proxy of ours is not believed about anything. */
                {"5.5.5.5", "1.2.3.4", "5.5.5.5"},
                {"5.5.5.5", "nonsense", "5.5.5.5"},
        };
        struct networks *proxies = parse("10.0.0.0/8, fd00::/8");
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct in6_addr at = ip(rows[i].peer);
                bool ok = address_walk_back(proxies, span_of(rows[i].value), &at);
                char text[INET6_ADDRSTRLEN];
                if (ok != (rows[i].client != NULL) || (ok && strcmp(address_format(&at, text), rows[i].client) != 0))
                        fail_msg("%s by %s: %s", rows[i].value, rows[i].peer,
                                 ok ? address_format(&at, text) : "malformed");
        }
        struct in6_addr at = ip("10.0.0.1"), same = at;
        assert_true(address_walk_back(NULL, SPAN("1.2.3.4"), &at));
        assert_memory_equal(&at, &same, sizeof at);
        networks_free(proxies);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses_are_read_and_printed),
                cmocka_unit_test(networks_hold_what_their_prefix_says),
                cmocka_unit_test(what_is_no_network_is_named),
                cmocka_unit_test(the_rightmost_address_that_is_no_proxy_is_the_client),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
