/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UUID version 7. The 48 bits of milliseconds and the 12 bits after them form one 60-bit tick of about a quarter of a
 * microsecond (RFC 9562 section 6.2, method 3). A tick that any thread has used already is skipped, so the ids of one
 * process never repeat a tick and never go back when the clock does.
 */
#include "base/base_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static _Atomic uint64_t last_tick;

static uint64_t next_tick(void)
{
        struct timespec ts;
        uint64_t now, last, tick;

        clock_gettime(CLOCK_REALTIME, &ts);
        now = ((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000) << 12;
        now |= (uint64_t)ts.tv_nsec % 1000000 * 4096 / 1000000;
        last = atomic_load_explicit(&last_tick, memory_order_relaxed);
        do {
                tick = now > last ? now : last + 1;
        } while (!atomic_compare_exchange_weak(&last_tick, &last, tick));
        return tick;
}

struct id id_new(void)
{
        uint64_t tick = next_tick(), ms = tick >> 12;
        struct id i;

        random_bytes(i.b + 8, 8);
        for (int k = 0; k < 6; k++)
                i.b[k] = (uint8_t)(ms >> (40 - 8 * k));
        i.b[6] = (uint8_t)(0x70 | (tick >> 8 & 0x0F));
        i.b[7] = (uint8_t)tick;
        i.b[8] = (uint8_t)(0x80 | (i.b[8] & 0x3F));
        return i;
}

bool id_is_nil(struct id i)
{
        return id_eq(i, (struct id){{0}});
}

bool id_eq(struct id a, struct id b)
{
        return memcmp(a.b, b.b, sizeof a.b) == 0;
}

int id_cmp(struct id a, struct id b)
{
        return memcmp(a.b, b.b, sizeof a.b);
}

const char *id_format(struct id i, char out[ID_TEXT_LEN])
{
        char hex[33];
        char *to = out;

        hex_write(hex, i.b, sizeof i.b);
        for (int k = 0; k < 32; k++) {
                if (k == 8 || k == 12 || k == 16 || k == 20)
                        *to++ = '-';
                *to++ = hex[k];
        }
        *to = '\0';
        return out;
}

bool id_parse(struct span s, struct id *out)
{
        struct id i = {{0}};
        size_t digit = 0;

        if (s.n != ID_TEXT_LEN - 1)
                return false;
        for (size_t k = 0; k < s.n; k++) {
                int v = hex_value(s.p[k]);
                if (k == 8 || k == 13 || k == 18 || k == 23) {
                        if (s.p[k] != '-')
                                return false;
                        continue;
                }
                if (v < 0)
                        return false;
                i.b[digit / 2] = (uint8_t)(i.b[digit / 2] << 4 | v);
                digit++;
        }
        *out = i;
        return true;
}

void random_bytes(void *p, size_t n)
{
        uint8_t *to = p;

        while (n > 0) {
                ssize_t got = getrandom(to, n, 0);
                if (got < 0) {
                        assert(errno == EINTR);
                        continue;
                }
                to += got;
                n -= (size_t)got;
        }
}

uint64_t random_u64(void)
{
        uint64_t v;

        random_bytes(&v, sizeof v);
        return v;
}
