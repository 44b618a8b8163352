/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of clients: file names made safe to keep, text folded for finding, and
 * text as a full-text expression, which FTS5 itself must take: a syntax error
 * there would be a 500.
 */
#include <sqlite3.h>
#include "catalog/catalog_rules.h"
#include "model/model.h"
#include "fuzz.h"

static sqlite3_stmt *finder(void)
{
        static sqlite3_stmt *st;
        sqlite3 *db;
        if (!st) {
                demand(!sqlite3_open(":memory:", &db));
                demand(!sqlite3_exec(db, "CREATE VIRTUAL TABLE t USING fts5(name, tags)", NULL, NULL, NULL));
                demand(!sqlite3_exec(db, "INSERT INTO t VALUES ('a b', 'c')", NULL, NULL, NULL));
                demand(!sqlite3_prepare_v2(db, "SELECT 1 FROM t WHERE t MATCH ?", -1, &st, NULL));
        }
        return st;
}

static void ask(const char *expression)
{
        sqlite3_stmt *st = finder();
        if (!*expression)
                return;
        sqlite3_bind_text(st, 1, expression, -1, SQLITE_TRANSIENT);
        int rc = sqlite3_step(st);
        demand(rc == SQLITE_ROW || rc == SQLITE_DONE);
        sqlite3_reset(st);
}

static void check_filename(struct span raw)
{
        char *out = malloc(NAME_MAX_BYTES + 1), *again = malloc(NAME_MAX_BYTES + 1);
        struct err e = {0};
        demand(out && again);
        if (filename_clean(raw, out, &e) == 0) {
                struct span s = span_of(out);
                demand(s.n > 0 && s.n <= NAME_MAX_BYTES && utf8_valid(s) && !has_control(s));
                demand(!strpbrk(out, "/\\") && strcmp(out, ".") != 0 && strcmp(out, "..") != 0);
                demand(filename_clean(s, again, &e) == 0 && strcmp(out, again) == 0);
        } else {
                demand(e.code == ERR_INVALID);
        }
        free(out);
        free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct span s = {(const char *)data, size};
        struct arena *a = arena_new(4 << 20);
        char *text = exact_copy(s), *folded, *twice, *words;
        demand(a != NULL);
        check_filename(s);
        demand((folded = text_fold(a, text)) && (twice = text_fold(a, folded)));
        demand((words = text_name_words(a, text)) && strlen(words) <= 3 * strlen(text) + 1);
        if (utf8_valid(span_of(text)))
                demand(utf8_valid(span_of(folded)) && strcmp(folded, twice) == 0);
        demand(text_chars(text) <= strlen(text));
        const char *any = text_fts_query(a, text, " OR ", NULL), *all = text_fts_query(a, text, " AND ", "name tags");
        demand(any && all);
        ask(any);
        ask(all);
        (void)text_has_any("img 1234 straße", folded);
        arena_free(a);
        free(text);
        return 0;
}
