/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How well a text matches the words of a query, as an FTS5 function: BM25 without its two corpus-wide figures, the
 * rarity of a word and the average length of a text. Those count over all owners, so the order of one owner's hits
 * would change with what others upload. Every hit contains all the words of the query, so rarity would say little
 * anyway.
 */
#include "db/sqlite/sqlite.h"

#define K1        1.2
#define B         0.75
#define WORDS_MAX 64

/* Assumed average number of words of a text: a name with its tags and a sentence; a page or a chunk of a document. */
static double asset_length = 20.0, part_length = 200.0;

/* own_rank(table, weight of column 0, …): smaller is better, as with bm25(). */
static void own_rank(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *ctx, int nweights,
                     sqlite3_value **weights)
{
        double found[WORDS_MAX] = {0}, score = 0;
        const double *average = api->xUserData(fts);
        int phrases = api->xPhraseCount(fts), hits = 0, length = 0;
        int rc = api->xInstCount(fts, &hits);

        if (phrases > WORDS_MAX)
                phrases = WORDS_MAX;
        for (int i = 0; rc == SQLITE_OK && i < hits; i++) {
                int phrase, column, offset;
                rc = api->xInst(fts, i, &phrase, &column, &offset);
                if (rc == SQLITE_OK && phrase < phrases)
                        found[phrase] += column < nweights ? sqlite3_value_double(weights[column]) : 1.0;
        }
        if (rc == SQLITE_OK)
                rc = api->xColumnSize(fts, -1, &length);
        if (rc != SQLITE_OK) {
                sqlite3_result_error_code(ctx, rc);
                return;
        }
        for (int i = 0; i < phrases; i++)
                score += found[i] * (K1 + 1) / (found[i] + K1 * (1 - B + B * length / *average));
        sqlite3_result_double(ctx, -score);
}

int rank_register(sqlite3 *h)
{
        fts5_api *api = NULL;
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(h, "SELECT fts5(?1)", -1, &s, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_pointer(s, 1, &api, "fts5_api_ptr", NULL);
        if (rc == SQLITE_OK)
                sqlite3_step(s);
        sqlite3_finalize(s);
        if (rc == SQLITE_OK)
                rc = api ? api->xCreateFunction(api, "own_rank", &asset_length, own_rank, NULL) : SQLITE_ERROR;
        if (rc == SQLITE_OK)
                rc = api->xCreateFunction(api, "part_rank", &part_length, own_rank, NULL);
        return rc;
}
