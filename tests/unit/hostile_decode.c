/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real decoder with a trap door, built for tests only: a file that ends in
 * "hostile:WORD" makes it do WORD, as if that file had taken it over. The start
 * and the lock are the program's own object files; the linker puts the two
 * functions here in front of theirs (--wrap).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vips/vips.h>
#include "decode/decode.h"

int __real_decode_file(int fd, const struct decode_request *want, struct decode_output *out, struct err *e);
int __wrap_decode_file(int fd, const struct decode_request *want, struct decode_output *out, struct err *e);
int __real_decode_warm_up(const struct decode_warm_up *w, struct err *e);
int __wrap_decode_warm_up(const struct decode_warm_up *w, struct err *e);

/* ---- what it tries: each returns what the system call does ------------------------- */

static long t_open(void)
{
        return open("/etc/passwd", O_RDONLY);
}
static long t_open_library(void)
{
        return open("/usr/lib", O_RDONLY | O_DIRECTORY);
}
static long t_open_font_settings(void)
{
        return open("/etc/fonts/fonts.conf", O_RDONLY | O_CLOEXEC);
}
static long t_list_fonts(void)
{
        char room[1024];
        int fd = open("/usr/share/fonts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        long r = fd < 0 ? -1 : syscall(SYS_getdents64, fd, room, sizeof room);
        if (fd >= 0)
                close(fd);
        return r;
}
static int text_width(const char *text)
{
        VipsImage *im = NULL;
        int w = vips_text(&im, text, "dpi", 200, NULL) ? -1 : im->Xsize;
        if (im)
                g_object_unref(im);
        return w;
}
/* Text becomes a picture: fontconfig finds a font, FreeType reads it. Without one all letters are the same box. */
static long t_draw_text(void)
{
        int narrow = text_width("iiii"), wide = text_width("WWWW");
        errno = ENOENT;
        return narrow > 0 && wide > narrow ? 0 : -1;
}
static long t_chmod(void)
{
        return chmod("/var/cache/fontconfig", 0755);
}
static long t_getcwd(void)
{
        char room[256];
        return syscall(SYS_getcwd, room, sizeof room);
}
static long t_uname(void)
{
        char room[512];
        return syscall(SYS_uname, room);
}
static long t_write_font_settings(void)
{
        return open("/etc/fonts/fonts.conf", O_WRONLY);
}
static long t_empty_font_settings(void)
{
        return open("/etc/fonts/fonts.conf", O_RDONLY | O_TRUNC);
}
static long t_create_font(void)
{
        return open("/usr/share/fonts/hostile-decoder-was-here", O_CREAT | O_WRONLY, 0600);
}
static long t_unnamed_file(void)
{
        return open("/usr/share/fonts", O_TMPFILE | O_RDWR, 0600);
}
static long t_path_only(void)
{
        return open("/etc/passwd", O_PATH);
}
static long t_beside_fonts(void)
{
        return open("/usr/share/fonts/../../lib", O_RDONLY | O_DIRECTORY);
}
static long t_create(void)
{
        return open("/tmp/hostile-decoder-was-here", O_CREAT | O_WRONLY, 0600);
}
static long t_proc_fd(void)
{
        return open("/proc/self/fd/3", O_RDWR);
}
static long t_stat(void)
{
        struct stat st;
        return stat("/etc/passwd", &st);
}
static long t_readlink(void)
{
        char to[64];
        return readlink("/proc/self/exe", to, sizeof to);
}
static long t_unlink(void)
{
        return unlink("/tmp/hostile-decoder-was-here");
}
static long t_mkdir(void)
{
        return mkdir("/tmp/hostile-decoder-was-here", 0700);
}
static long t_socket(void)
{
        return socket(AF_INET, SOCK_STREAM, 0);
}
static long t_socketpair(void)
{
        int sv[2];
        return socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
}
static long t_sendmsg(void)
{
        struct msghdr m = {0};
        return sendmsg(JAIL_FD, &m, MSG_DONTWAIT);
}
static long t_recv_other(void)
{
        char c;
        return recv(STDIN_FILENO, &c, 1, 0);
}
static long t_fork(void)
{
        pid_t pid = fork();
        if (!pid)
                _exit(0);
        return pid;
}
static long t_vfork(void)
{
        return syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
}
static long t_new_user(void)
{
        return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
}
static long t_clone3(void)
{
        return syscall(SYS_clone3, NULL, 0);
}
static long t_unshare(void)
{
        return unshare(CLONE_NEWUSER);
}
static long t_exec(void)
{
        char *argv[] = {(char *)"true", NULL};
        return execve("/bin/true", argv, argv + 1);
}
static long t_exec_fd(void)
{
        char *argv[] = {(char *)"x", NULL};
        return fexecve(JAIL_FD + 1, argv, argv + 1);
}
static long t_ptrace(void)
{
        return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static long t_peek(void)
{
        return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}
static long t_memfd(void)
{
        return memfd_create("more", 0);
}
static long t_map_exec(void)
{
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}
static long t_make_exec(void)
{
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static long t_kill_parent(void)
{
        return syscall(SYS_kill, 1, SIGKILL);
}
static long t_kill_group(void)
{
        return syscall(SYS_kill, 0, SIGKILL);
}
static long t_kill_thread_of_other(void)
{
        return syscall(SYS_tgkill, 1, 1, SIGKILL);
}
static long t_root(void)
{
        return setuid(0);
}
static long t_dumpable(void)
{
        return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static long t_raise_limit(void)
{
        struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};
        return setrlimit(RLIMIT_AS, &l);
}
static long t_leave_group(void)
{
        return setsid();
}
static long t_io_uring(void)
{
        return syscall(SYS_io_uring_setup, 8, NULL);
}
static long t_bpf(void)
{
        return syscall(SYS_bpf, 0, NULL, 0);
}
#ifdef __x86_64__
static long t_32bit(void) /* getpid by the table of 32-bit programs */
{
        long r;
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
        return r;
}
#endif

/* The memory file is among the descriptors; past its limit a write must fail. */
static long t_write_on(void)
{
        static char block[1 << 20];
        for (int fd = JAIL_FD + 1; fd < 16; fd++)
                for (int i = 0; i < 1000; i++)
                        if (write(fd, block, sizeof block) < 0) {
                                if (errno == EFBIG)
                                        return -1;
                                break;
                        }
        return 0;
}
static long t_allocate(void)
{
        for (int i = 0; i < 4096; i++) {
                void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (p == MAP_FAILED)
                        return -1;
                memset(p, 1, 1 << 20);
        }
        return 0;
}
static void *wait_for_ever(void *arg)
{
        for (;;)
                sleep_for(dur_s(1000));
        return arg;
}
static long t_threads(void)
{
        pthread_attr_t a;
        pthread_t t;
        pthread_attr_init(&a);
        pthread_attr_setstacksize(&a, 32 << 10);
        for (int i = 0; i < 20000; i++)
                if ((errno = pthread_create(&t, &a, wait_for_ever, NULL)))
                        return -1;
        return 0;
}
static long t_descriptors(void)
{
        for (int i = 0; i < 1000; i++)
                if (dup(STDIN_FILENO) < 0)
                        return -1;
        return 0;
}

/* 400 MB that stay until the process ends. */
static long t_hold_memory(void)
{
        void *p = mmap(NULL, 400 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p != MAP_FAILED)
                memset(p, 1, 400 << 20);
        return p == MAP_FAILED ? 0 : -1;
}

/* Half a second of CPU time, then all is well. */
static long t_burn(void)
{
        clock_t end = clock() + CLOCKS_PER_SEC / 2;
        while (clock() < end)
                ;
        errno = EAGAIN;
        return -1;
}
static long t_loop(void)
{
        for (volatile bool on = true; on;)
                ;
        return 0;
}
static long t_sleep(void)
{
        wait_for_ever(NULL);
        return 0;
}
static long t_hang_up(void)
{
        close(JAIL_FD);
        return t_sleep();
}
static long t_ignore_and_loop(void)
{
        for (int s = 1; s < 32; s++)
                signal(s, SIG_IGN);
        return t_loop();
}
static long t_abort(void)
{
        abort();
}
static int depth(volatile int n)
{
        volatile char room[4096];
        room[0] = (char)n;
        return n < 1 << 30 ? depth(n + 1) + room[0] : 0;
}
static long t_recurse(void)
{
        return depth(0);
}
static long t_exit(void)
{
        _exit(0);
}

static const struct {
        const char *word;
        long (*fn)(void);
} tricks[] = {
        {"open", t_open},
        {"open-library", t_open_library},
        {"open-font-settings", t_open_font_settings},
        {"list-fonts", t_list_fonts},
        {"draw-text", t_draw_text},
        {"chmod", t_chmod},
        {"getcwd", t_getcwd},
        {"uname", t_uname},
        {"write-font-settings", t_write_font_settings},
        {"empty-font-settings", t_empty_font_settings},
        {"create-font", t_create_font},
        {"unnamed-file", t_unnamed_file},
        {"path-only", t_path_only},
        {"beside-fonts", t_beside_fonts},
        {"hold-memory", t_hold_memory},
        {"create", t_create},
        {"proc-fd", t_proc_fd},
        {"stat", t_stat},
        {"readlink", t_readlink},
        {"unlink", t_unlink},
        {"mkdir", t_mkdir},
        {"socket", t_socket},
        {"socketpair", t_socketpair},
        {"sendmsg", t_sendmsg},
        {"recv-other", t_recv_other},
        {"fork", t_fork},
        {"vfork", t_vfork},
        {"new-user", t_new_user},
        {"clone3", t_clone3},
        {"unshare", t_unshare},
        {"exec", t_exec},
        {"exec-fd", t_exec_fd},
        {"ptrace", t_ptrace},
        {"peek", t_peek},
        {"memfd", t_memfd},
        {"map-exec", t_map_exec},
        {"make-exec", t_make_exec},
        {"kill-parent", t_kill_parent},
        {"kill-group", t_kill_group},
        {"kill-thread-of-other", t_kill_thread_of_other},
        {"root", t_root},
        {"dumpable", t_dumpable},
        {"raise-limit", t_raise_limit},
        {"leave-group", t_leave_group},
        {"io-uring", t_io_uring},
        {"bpf", t_bpf},
#ifdef __x86_64__
        {"32bit", t_32bit},
#endif
        {"write-on", t_write_on},
        {"allocate", t_allocate},
        {"threads", t_threads},
        {"descriptors", t_descriptors},
        {"burn", t_burn},
        {"loop", t_loop},
        {"sleep", t_sleep},
        {"hang-up", t_hang_up},
        {"ignore-and-loop", t_ignore_and_loop},
        {"abort", t_abort},
        {"recurse", t_recurse},
        {"exit", t_exit},
};

/* ---- an accomplice: a thread from before seccomp ------------------------------------ */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long (*errand)(void);
static int errand_errno;

static void *accomplice(void *arg)
{
        pthread_mutex_lock(&mutex);
        for (;;) {
                while (!errand)
                        pthread_cond_wait(&changed, &mutex);
                errand_errno = errand() < 0 ? errno : 0;
                errand = NULL;
                pthread_cond_signal(&changed);
        }
        return arg;
}

static long run_elsewhere(long (*fn)(void))
{
        pthread_mutex_lock(&mutex);
        errand = fn;
        pthread_cond_signal(&changed);
        while (errand)
                pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
        errno = errand_errno;
        return errand_errno ? -1 : 0;
}

int __wrap_decode_warm_up(const struct decode_warm_up *w, struct err *e)
{
        static bool started;
        pthread_t t;
        if (!started && pthread_create(&t, NULL, accomplice, NULL))
                return err_set(e, ERR_UNAVAILABLE, "no accomplice");
        started = true;
        return __real_decode_warm_up(w, e);
}

/* ---- the trap door -------------------------------------------------------------------- */

static long run(const char *word)
{
        bool elsewhere = !strncmp(word, "thread-", 7);
        if (elsewhere)
                word += 7;
        for (size_t i = 0; i < COUNT_OF(tricks); i++) {
                if (strcmp(word, tricks[i].word))
                        continue;
                if (elsewhere)
                        return run_elsewhere(tricks[i].fn);
                return tricks[i].fn();
        }
        if (!strncmp(word, "signal-", 7))
                return raise((int)strtol(word + 7, NULL, 10));
        return 0; /* an unknown word must not pass for something that was stopped */
}

int __wrap_decode_file(int fd, const struct decode_request *want, struct decode_output *out, struct err *e)
{
        static const char mark[] = "hostile:";
        char tail[65] = "";
        struct stat st;
        if (fstat(fd, &st))
                return err_errno(e, errno, "fstat");
        ssize_t n = pread(fd, tail, sizeof tail - 1, st.st_size > 64 ? st.st_size - 64 : 0);
        const char *word = n > 0 ? memmem(tail, (size_t)n, mark, sizeof mark - 1) : NULL;
        if (!word)
                return __real_decode_file(fd, want, out, e);
        if (run(word + sizeof mark - 1) < 0)
                return err_set(e, ERR_INTERNAL, "refused: %s", strerrorname_np(errno));
        return err_set(e, ERR_CORRUPT, "%s went through", word);
}
