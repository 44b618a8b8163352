/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the program takes from its start to the first 200 of /ready and of a
 * search by meaning, what it holds in memory once idle, and how long it takes to
 * end. Started RUNS times on the same data folder; medians.
 *
 *   bench_start PROGRAM DATA_FOLDER RUNS
 *
 * Prints: ms to ready, ms to the first search, ms to end, then of the last run 3 s after ready: MB resident, MB
 * resident that is not files, MB proportional.
 */
#include "load.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PATIENCE 20.0

static pid_t child = -1;
static char said[65536];

static void give_up(const char *what)
{
        if (child > 0)
                kill(child, SIGKILL);
        fprintf(stderr, "bench: %s; the server said: %.2000s\n", what, said);
        exit(1);
}

/* The log goes to memory: a pipe nobody reads would stop the server. */
static int spawn(const char *program, const char *data)
{
        int log = memfd_create("bench-log", MFD_CLOEXEC);
        if (log < 0)
                die("memfd_create");
        child = fork();
        if (child < 0)
                die("fork");
        if (child == 0) {
                setenv("DATA_PATH", data, 1);
                setenv("APP_PORT", "0", 1);
                setenv("LOG_FORMAT", "json", 1);
                dup2(log, STDOUT_FILENO);
                dup2(log, STDERR_FILENO);
                execl(program, program, "serve", (char *)NULL);
                _exit(127);
        }
        return log;
}

static uint16_t wait_port(int log, struct mono start)
{
        static const char mark[] = "listens on http://127.0.0.1:";
        const char *at;
        for (;;) {
                ssize_t n = pread(log, said, sizeof said - 1, 0);
                said[n > 0 ? n : 0] = '\0';
                at = strstr(said, mark);
                if (at && strchr(at, '"'))
                        return (uint16_t)strtoul(at + sizeof mark - 1, NULL, 10);
                if (dur_seconds(mono_since(start)) > PATIENCE || waitpid(child, NULL, WNOHANG) != 0)
                        give_up("it does not listen");
                sleep_for(dur_ms(1));
        }
}

static double wait_ok(struct conn *c, const char *target, struct mono start)
{
        for (;;) {
                int status = conn_get(c, target);
                if (status == 200)
                        return dur_seconds(mono_since(start)) * 1e3;
                if (dur_seconds(mono_since(start)) > PATIENCE)
                        give_up(c->in);
                if (status < 0) {
                        fd_close(&c->fd);
                        if (conn_open(c, c->port))
                                give_up("connect");
                }
                sleep_for(dur_ms(2));
        }
}

/* Of /proc/PID/NAME, in MB. */
static double memory(const char *name, const char *field)
{
        char path[64], line[256];
        double mb = 0;
        snprintf(path, sizeof path, "/proc/%d/%s", (int)child, name);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
                if (!strncmp(line, field, strlen(field)))
                        mb = (double)strtoull(line + strlen(field), NULL, 10) * 1024 / 1e6;
        if (f)
                fclose(f);
        return mb;
}

static double end(int fd)
{
        int status;
        struct mono start = mono_now();
        kill(child, SIGTERM);
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
                give_up("it did not end well");
        child = -1;
        close(fd);
        return dur_seconds(mono_since(start)) * 1e3;
}

int main(int argc, char **argv)
{
        struct times ready = {0}, search = {0}, ended = {0};
        double all = 0, own = 0, share = 0;
        struct conn *c = mem_calloc(1, sizeof *c);
        if (argc != 4 || !c) {
                fprintf(stderr, "usage: bench_start PROGRAM DATA_FOLDER RUNS\n");
                return 2;
        }
        unsigned runs = number(argv[3], 1, 20);
        for (unsigned i = 0; i < runs; i++) {
                struct mono start = mono_now();
                int fd = spawn(argv[1], argv[2]);
                if (conn_open(c, wait_port(fd, start)))
                        give_up("connect");
                times_add(&ready, wait_ok(c, "/ready", start));
                times_add(&search, wait_ok(c, "/api/v1/search?query=dog&mode=vector", start));
                if (i + 1 == runs) {
                        sleep_for(dur_s(3));
                        all = memory("status", "VmRSS:");
                        own = memory("status", "RssAnon:");
                        share = memory("smaps_rollup", "Pss:");
                }
                fd_close(&c->fd);
                times_add(&ended, end(fd));
        }
        times_sort(&ready);
        times_sort(&search);
        times_sort(&ended);
        printf("%.0f %.0f %.0f %.0f %.0f %.0f\n", times_at(&ready, 0.5), times_at(&search, 0.5), times_at(&ended, 0.5),
               all, own, share);
        mem_free(ready.ms);
        mem_free(search.ms);
        mem_free(ended.ms);
        mem_free(c);
        return 0;
}
