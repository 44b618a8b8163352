/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long until an upload is acknowledged, and how many a second: clients on
 * keep-alive connections send files of which no two are equal. Beside it the
 * bare system calls that durability takes, by as many threads in the same file
 * system: unnamed file, write, fsync, link, fsync of the directory.
 *
 *   bench_ack raw FOLDER THREADS BYTES MILLISECONDS
 *   bench_ack commit FOLDER THREADS BYTES MILLISECONDS URL    (and one row into PostgreSQL)
 *   bench_ack put|form PORT CLIENTS BYTES MILLISECONDS
 *   bench_ack sync FOLDER        (median of one 4 KiB write and fsync)
 *
 * Prints: operations, seconds, a second, p50 p95 p99 in ms, failures.
 */
#include "load.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <sys/stat.h>

#define HEAD     16
#define BOUNDARY "fa-bench-7d3b1c5e"

static char *random_body; /* shared and never written: a file is 16 bytes of its own and the rest of this */
static size_t size;
static uint64_t salt;
static struct mono until;
static int folder = -1, shards[256];
static uint16_t port;
static const char *database; /* of commit */

struct client {
        pthread_t thread;
        uint32_t index, count;
        uint64_t failed;
        int (*once)(struct client *);
        struct times times;
        struct conn conn;
        PGconn *db; /* of commit */
};

static void unique_head(struct client *c, char head[HEAD])
{
        uint64_t n = (uint64_t)c->index << 32 | c->count++;
        memcpy(head, &salt, 8);
        memcpy(head + 8, &n, 8);
}

/* ---- the limit -------------------------------------------------------------------- */

static int raw_once(struct client *c)
{
        char head[HEAD], name[64], proc[40];
        int fd, shard;
        unique_head(c, head);
        shard = shards[(c->count * 131 + c->index) % COUNT_OF(shards)];
        snprintf(name, sizeof name, "%016llx-%u-%u", (unsigned long long)salt, c->index, c->count);
        fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);
        if (fd < 0)
                die("O_TMPFILE");
        struct iovec v[2] = {{head, HEAD}, {random_body + HEAD, size - HEAD}};
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
        int rc = writev(fd, v, 2) != (ssize_t)size || fsync(fd) ||
                 linkat(AT_FDCWD, proc, shard, name, AT_SYMLINK_FOLLOW) || fsync(shard);
        close(fd);
        return rc ? -1 : 0;
}

static void must(PGconn *db, const char *sql)
{
        PGresult *r = PQexec(db, sql);
        if (PQresultStatus(r) != PGRES_COMMAND_OK) {
                fprintf(stderr, "bench: %s", PQerrorMessage(db));
                exit(1);
        }
        PQclear(r);
}

static PGconn *connect_database(void)
{
        PGconn *db = PQconnectdb(database);
        must(db, "SET synchronous_commit = on; SET client_min_messages = warning");
        return db;
}

static void make_table(const char *url)
{
        database = url;
        PGconn *db = connect_database();
        must(db, "CREATE TABLE IF NOT EXISTS bench_commit (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)");
        PQfinish(db);
}

/* The file, then the least that a catalog on PostgreSQL has to do for it. */
static int commit_once(struct client *c)
{
        if (raw_once(c))
                return -1;
        must(c->db, "BEGIN; INSERT INTO bench_commit DEFAULT VALUES; COMMIT");
        return 0;
}

static void raw_open(const char *path)
{
        char name[8];
        folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                die(path);
        for (unsigned i = 0; i < COUNT_OF(shards); i++) {
                snprintf(name, sizeof name, "%02x", i);
                if (mkdirat(folder, name, 0700) && errno != EEXIST)
                        die("mkdir");
                shards[i] = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (shards[i] < 0)
                        die("open");
        }
        if (fsync(folder))
                die("fsync");
}

static int sync_once(const char *path)
{
        struct times t = {0};
        int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int fd = dir < 0 ? -1 : openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        char page[4096] = "";
        if (fd < 0)
                die(path);
        for (int i = 0; i < 200; i++) {
                struct mono start = mono_now();
                if (pwrite(fd, page, sizeof page, (off_t)i * (off_t)sizeof page) < 0 || fsync(fd))
                        die("fsync");
                times_add(&t, dur_seconds(mono_since(start)) * 1e3);
        }
        times_sort(&t);
        printf("%.3f %.3f\n", times_at(&t, 0.5), times_at(&t, 0.99));
        return 0;
}

/* ---- clients ------------------------------------------------------------------------ */

static int put_once(struct client *c)
{
        char head[HEAD], request[512];
        unique_head(c, head);
        int n = snprintf(request, sizeof request,
                         "PUT /api/v1/files/bench-%u-%u.bin HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                         "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
                         c->index, c->count, port, size);
        struct iovec v[3] = {{request, (size_t)n}, {head, HEAD}, {random_body + HEAD, size - HEAD}};
        return conn_send(&c->conn, v, 3) || conn_reply(&c->conn) != 202 ? -1 : 0;
}

static int form_once(struct client *c)
{
        static char tail[] = "\r\n--" BOUNDARY "--\r\n";
        char head[HEAD], request[512], part[256];
        unique_head(c, head);
        int p = snprintf(part, sizeof part,
                         "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"files\"; "
                         "filename=\"bench-%u-%u.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n",
                         c->index, c->count);
        int n = snprintf(request, sizeof request,
                         "POST /api/v1/ingest HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                         "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\nContent-Length: %zu\r\n\r\n",
                         port, (size_t)p + size + sizeof tail - 1);
        struct iovec v[5] = {{request, (size_t)n},
                             {part, (size_t)p},
                             {head, HEAD},
                             {random_body + HEAD, size - HEAD},
                             {tail, sizeof tail - 1}};
        return conn_send(&c->conn, v, 5) || conn_reply(&c->conn) != 202 ? -1 : 0;
}

static void *client_run(void *arg)
{
        struct client *c = arg;
        if (database)
                c->db = connect_database();
        if (folder < 0 && conn_open(&c->conn, port))
                die("connect");
        while (!mono_reached(until) && c->failed < 5) {
                struct mono start = mono_now();
                if (c->once(c) == 0) {
                        times_add(&c->times, dur_seconds(mono_since(start)) * 1e3);
                        continue;
                }
                /* The first failure is shown: a benchmark of errors would be a lie. */
                if (c->failed++ == 0)
                        fprintf(stderr, "bench: a request failed: %.300s\n", folder < 0 ? c->conn.in : strerror(errno));
                if (folder < 0) {
                        fd_close(&c->conn.fd);
                        if (conn_open(&c->conn, port))
                                die("connect");
                }
        }
        if (folder < 0)
                fd_close(&c->conn.fd);
        PQfinish(c->db);
        return NULL;
}

static void run(unsigned clients, unsigned ms, int (*once)(struct client *))
{
        struct client *all = mem_calloc(clients, sizeof *all);
        struct times t = {0};
        uint64_t failed = 0;
        if (!all)
                die("memory");
        struct mono start = mono_now();
        until = mono_add(start, dur_ms(ms));
        for (unsigned i = 0; i < clients; i++) {
                all[i].index = i;
                all[i].once = once;
                if (pthread_create(&all[i].thread, NULL, client_run, &all[i]))
                        die("thread");
        }
        for (unsigned i = 0; i < clients; i++)
                pthread_join(all[i].thread, NULL);
        double s = dur_seconds(mono_since(start));
        for (unsigned i = 0; i < clients; i++) {
                times_join(&t, &all[i].times);
                failed += all[i].failed;
        }
        times_sort(&t);
        printf("%zu %.3f %.1f %.3f %.3f %.3f %llu\n", t.n, s, (double)t.n / s, times_at(&t, 0.5), times_at(&t, 0.95),
               times_at(&t, 0.99), (unsigned long long)failed);
        mem_free(t.ms);
        mem_free(all);
}

int main(int argc, char **argv)
{
        if (argc == 3 && !strcmp(argv[1], "sync"))
                return sync_once(argv[2]);
        bool commit = argc == 7 && !strcmp(argv[1], "commit");
        bool raw = commit || (argc == 6 && !strcmp(argv[1], "raw"));
        bool form = argc == 6 && !strcmp(argv[1], "form");
        if (!raw && !form && !(argc == 6 && !strcmp(argv[1], "put"))) {
                fprintf(stderr, "usage: bench_ack raw|commit|put|form FOLDER|PORT CLIENTS BYTES MILLISECONDS [URL]\n");
                return 2;
        }
        unsigned clients = number(argv[3], 1, 256), ms = number(argv[5], 1, 60000);
        size = number(argv[4], HEAD + 1, 64u << 20);
        random_body = mem_alloc(size);
        if (!random_body)
                die("memory");
        random_bytes(random_body, size);
        salt = random_u64();
        if (raw)
                raw_open(argv[2]);
        else
                port = (uint16_t)number(argv[2], 1, 65535);
        if (commit)
                make_table(argv[6]);
        run(clients, ms, commit ? commit_once : raw ? raw_once : form ? form_once : put_once);
        mem_free(random_body);
        return 0;
}
