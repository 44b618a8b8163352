/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PostgreSQL server for tests. It refuses to run as root, so then it runs as
 * the user postgres that its package made; it ends with the test, even one that
 * is killed.
 */
#include "contract/catalog_postgres_backend.h"
#include "remove_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>

#define BIN PROJECT_DIR "/.cache/pgvector/bin"

static struct {
        char dir[64];
        pid_t pid, owner; /* owner: forked children do not stop it */
        unsigned databases;
} server;

static void run_as(const char *program, char *const argv[])
{
        int out = open("/dev/null", O_RDWR);
        char log[128];

        snprintf(log, sizeof log, "%s/log", server.dir);
        dup2(out, 0);
        out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (geteuid() == 0) {
                struct passwd *pw = getpwnam("postgres");
                if (!pw || fchown(out, pw->pw_uid, pw->pw_gid) < 0 || setgroups(0, NULL) < 0 ||
                    setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
                        _exit(126);
        }
        prctl(PR_SET_PDEATHSIG, SIGQUIT);
        dup2(out, 1);
        dup2(out, 2);
        if (chdir(server.dir) < 0)
                _exit(126);
        execv(program, argv);
        _exit(127);
}

/* Called by its real path: it looks for its extensions from there. */
static pid_t spawn(const char *link, char *argv[])
{
        char *program = realpath(link, NULL);
        pid_t pid;

        assert_non_null(program);
        argv[0] = program;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                run_as(program, argv);
        free(program);
        return pid;
}

static PGconn *connect_to(const char *database)
{
        char url[256];

        pgtest_url(url, sizeof url, "super", database);
        return PQconnectdb(url);
}

static void show_log(void)
{
        char path[128], *text;
        size_t n;
        struct err e;

        snprintf(path, sizeof path, "%s/log", server.dir);
        if (file_read_all(path, 1 << 20, &text, &n, &e) == 0) {
                fprintf(stderr, "%s\n", n > 3000 ? text + n - 3000 : text);
                mem_free(text);
        }
}

static void serve(void)
{
        char data[80];
        /* fsync stays on: the catalog refuses a server without it. */
        char *argv[] = {"postgres",
                        "-D",
                        data,
                        "-k",
                        server.dir,
                        "-c",
                        "listen_addresses=",
                        "-c",
                        "max_connections=120",
                        "-c",
                        "shared_buffers=128MB",
                        "-c",
                        "deadlock_timeout=200ms",
                        "-c",
                        "max_wal_size=512MB",
                        "-c",
                        "unix_socket_permissions=0777",
                        NULL};

        snprintf(data, sizeof data, "%s/data", server.dir);
        server.pid = spawn(BIN "/postgres", argv);
        for (int i = 0; i < 600; i++) {
                PGconn *h = connect_to("postgres");
                bool up = PQstatus(h) == CONNECTION_OK;
                int status;
                PQfinish(h);
                if (up)
                        return;
                if (waitpid(server.pid, &status, WNOHANG) == server.pid)
                        break;
                sleep_for(dur_ms(50));
        }
        show_log();
        fail_msg("PostgreSQL did not start; is it installed, and has tools/fetch-pgvector been run?");
}

static void at_exit(void)
{
        if (getpid() != server.owner)
                return;
        pgtest_stop();
        remove_tree(server.dir);
}

void pgtest_start(void)
{
        char data[80];
        char *argv[] = {"initdb",           "-D",        data, "-U", "super", "-A", "trust", "-E", "UTF8",
                        "--locale=C.UTF-8", "--no-sync", NULL};
        int status;

        if (server.pid)
                return;
        if (server.dir[0]) {
                serve();
                return;
        }
        if (access(BIN "/postgres", X_OK) != 0)
                fail_msg(
                        "no PostgreSQL with pgvector: install what deps/test-*.txt names and run tools/fetch-pgvector");
        snprintf(server.dir, sizeof server.dir, "/tmp/fa-pg-XXXXXX");
        assert_non_null(mkdtemp(server.dir));
        if (geteuid() == 0) {
                struct passwd *pw = getpwnam("postgres");
                assert_non_null(pw);
                assert_int_equal(chown(server.dir, pw->pw_uid, pw->pw_gid), 0);
        }
        assert_int_equal(chmod(server.dir, 0755), 0);
        server.owner = getpid();
        atexit(at_exit);
        snprintf(data, sizeof data, "%s/data", server.dir);
        waitpid(spawn(BIN "/initdb", argv), &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                show_log();
                fail_msg("initdb failed: %d", status);
        }
        serve();
        pgtest_exec("postgres", "CREATE ROLE fa LOGIN");
}

void pgtest_stop(void)
{
        int status;

        if (server.pid <= 0)
                return;
        kill(server.pid, SIGINT);
        waitpid(server.pid, &status, 0);
        server.pid = 0;
}

void pgtest_restart(bool crash, struct dur down)
{
        int status;

        if (crash) {
                kill(server.pid, SIGQUIT); /* no checkpoint: what follows is a recovery */
                waitpid(server.pid, &status, 0);
                server.pid = 0;
        }
        pgtest_stop();
        sleep_for(down);
        serve();
}

void pgtest_url(char *out, size_t max, const char *role, const char *database)
{
        snprintf(out, max, "postgresql://%s@/%s?host=%s", role, database, server.dir);
}

void pgtest_exec(const char *database, const char *sql)
{
        PGconn *h = connect_to(database);
        PGresult *res = PQexec(h, sql);

        if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
                fail_msg("%s: %s", sql, PQerrorMessage(h));
        PQclear(res);
        PQfinish(h);
}

long pgtest_number(const char *database, const char *sql)
{
        PGconn *h = connect_to(database);
        PGresult *res = PQexec(h, sql);
        long n;

        if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) < 1)
                fail_msg("%s: %s", sql, PQerrorMessage(h));
        n = strtol(PQgetvalue(res, 0, 0), NULL, 10);
        PQclear(res);
        PQfinish(h);
        return n;
}

void backend_quiet(const char *url)
{
        static const char sql[] = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'file-allocator' AND "
                                  "datname = current_database()";

        for (int i = 0; i < 1000 && pgtest_number(pgtest_database(url), sql) > 0; i++)
                sleep_for(dur_ms(20));
        assert_int_equal(pgtest_number(pgtest_database(url), sql), 0);
}

const char *pgtest_database(const char *url)
{
        static char name[64];
        const char *from = strstr(url, "@/") + 2;

        snprintf(name, sizeof name, "%.*s", (int)strcspn(from, "?"), from);
        return name;
}

static void backend_make(char *url, size_t url_max, char *data, size_t data_max)
{
        char dir[] = "/tmp/fa-catalog-XXXXXX", name[32], sql[64];

        pgtest_start();
        snprintf(name, sizeof name, "fa_%u", server.databases++);
        /* As in production: an ordinary owner, and a superuser made the extension. */
        snprintf(sql, sizeof sql, "CREATE DATABASE %s OWNER fa", name);
        pgtest_exec("postgres", sql);
        pgtest_exec(name, "CREATE EXTENSION vector");
        pgtest_url(url, url_max, "fa", name);
        assert_non_null(mkdtemp(dir));
        snprintf(data, data_max, "%s", dir);
}

static void backend_drop(const char *url, const char *data)
{
        char sql[128];

        snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", pgtest_database(url));
        pgtest_exec("postgres", sql);
        remove_tree(data);
}

const struct suite_backend suite_backend = {.make = backend_make, .drop = backend_drop};

void backend_future(const char *url)
{
        pgtest_exec(pgtest_database(url), "INSERT INTO schema_version VALUES (9999, 'x', 0)");
}
