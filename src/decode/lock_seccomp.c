/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of system calls that a decoder keeps; any other call ends the process. The hard part is that libraries
 * make calls on their own, at unpredictable times (glibc reads /proc when a thread's heap shrinks): those calls get
 * an error that the libraries can handle. docs/internals/jail.md gives the reason for each group.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "decode/lock_priv.h"
#include "jail/kernel.h"

/* Exactly what pthread_create asks for: no new process, no namespace. */
#define THREAD                                                                                                         \
        (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS |             \
         CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* With any arguments, these calls reach nothing but our own memory, threads and open descriptors. */
static const int harmless[] = {
        /* the file, the products */
        SCMP_SYS(read),
        SCMP_SYS(readv),
        SCMP_SYS(pread64),
        SCMP_SYS(write),
        SCMP_SYS(writev),
        SCMP_SYS(lseek),
        SCMP_SYS(fstat),
        SCMP_SYS(dup),
        SCMP_SYS(close),
        /* memory */
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        /* threads */
        SCMP_SYS(futex),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(rseq),
        SCMP_SYS(sched_yield),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        /* our own signals */
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(restart_syscall),
        /* clocks, random numbers, the size of the machine */
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(getrandom),
        SCMP_SYS(sysinfo),
        /* what the process is: numbers that the lock has fixed */
        SCMP_SYS(getuid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getegid),
        SCMP_SYS(getppid),
        SCMP_SYS(getrusage),
        SCMP_SYS(times),
        SCMP_SYS(clock_getres),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(time),
#ifdef FA_ASAN /* needed by sanitizers only: they give each thread a signal stack */
        SCMP_SYS(sigaltstack),
#endif
};

/* Libraries make these calls in passing and work without a result. */
static const struct {
        int call, answer;
        bool by_name; /* of a file: what documents may ask */
} declined[] = {
        {SCMP_SYS(open), ENOENT, true},
        {SCMP_SYS(openat), ENOENT, true},
        {SCMP_SYS(access), ENOENT, true},
        {SCMP_SYS(faccessat), ENOENT, true},
        {SCMP_SYS(faccessat2), ENOENT, true},
        {SCMP_SYS(readlink), ENOENT, true},
        {SCMP_SYS(readlinkat), ENOENT, true},
        {SCMP_SYS(stat), ENOENT, true},
        {SCMP_SYS(lstat), ENOENT, true},
        {SCMP_SYS(statx), ENOSYS, false},
        {SCMP_SYS(ioctl), ENOTTY, false},
        {SCMP_SYS(clone3), ENOSYS, false}, /* then clone */
        {SCMP_SYS(getcwd), ENOENT, false}, /* fontconfig, for relative font folders */
        {SCMP_SYS(uname), ENOSYS, false},  /* the kernel's version is nobody's business here */
        /* fontconfig, when a font folder is newer than its cache: it then wants to make the cache folder writable */
        {SCMP_SYS(chmod), EPERM, false},
        {SCMP_SYS(fchmod), EPERM, false},
        {SCMP_SYS(fchmodat), EPERM, false},
};

/* Returns 0 or a negative errno, like libseccomp. */
static int fill_filter(scmp_filter_ctx f, bool by_name)
{
        int r = 0;
        for (size_t i = 0; !r && i < COUNT_OF(harmless); i++)
                r = seccomp_rule_add(f, SCMP_ACT_ALLOW, harmless[i], 0);
        for (size_t i = 0; !r && i < COUNT_OF(declined); i++)
                if (!by_name || !declined[i].by_name)
                        r = seccomp_rule_add(f, SCMP_ACT_ERRNO((uint16_t)declined[i].answer), declined[i].call, 0);
        return r;
}

/* Flags of an open for more than reading; also O_PATH, which Landlock does not check. */
static const scmp_datum_t not_reading[] = {
        O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_PATH, O_TMPFILE & ~(unsigned)O_DIRECTORY};

/* One kind of open: with none of these flags Landlock decides, with any of them it is refused. */
static int fill_open(scmp_filter_ctx f, int call, unsigned argument)
{
        scmp_datum_t all = 0;
        int r = 0;
        for (size_t i = 0; !r && i < COUNT_OF(not_reading); i++) {
                struct scmp_arg_cmp has = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, not_reading[i], not_reading[i]);
                all |= not_reading[i];
                r = seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EACCES), call, 1, &has);
        }
        struct scmp_arg_cmp reads = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, all, 0);
        return r ? r : seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &reads);
}

static int fill_by_name(scmp_filter_ctx f)
{
        static const int free_ones[] = {
                SCMP_SYS(access),     SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
                SCMP_SYS(readlinkat), SCMP_SYS(stat),      SCMP_SYS(lstat),      SCMP_SYS(newfstatat),
                SCMP_SYS(getdents64), SCMP_SYS(fadvise64), SCMP_SYS(fstatfs),    SCMP_SYS(statfs),
        };
        const struct scmp_arg_cmp close_on_exec = SCMP_CMP(1, SCMP_CMP_EQ, F_SETFD); /* of what was opened */
        int r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &close_on_exec);
        for (size_t i = 0; !r && i < COUNT_OF(free_ones); i++)
                r = seccomp_rule_add(f, SCMP_ACT_ALLOW, free_ones[i], 0);
        if (!r)
                r = fill_open(f, SCMP_SYS(open), 1);
        return r ? r : fill_open(f, SCMP_SYS(openat), 2);
}

/* Calls of which only some uses are permitted. */
static int fill_narrow(scmp_filter_ctx f, bool by_name)
{
        const struct {
                int call;
                struct scmp_arg_cmp when;
                uint32_t action;
        } rules[] = {
                /* the one socket, which takes no address; sendmsg could give descriptors away */
                {SCMP_SYS(recvmsg), SCMP_A0(SCMP_CMP_EQ, JAIL_FD), SCMP_ACT_ALLOW},
                {SCMP_SYS(sendto), SCMP_A0(SCMP_CMP_EQ, JAIL_FD), SCMP_ACT_ALLOW},
                /* memory is for data */
                {SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0), SCMP_ACT_ALLOW},
                {SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0), SCMP_ACT_ALLOW},
                {SCMP_SYS(clone), SCMP_A0(SCMP_CMP_EQ, THREAD), SCMP_ACT_ALLOW},
                {SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME), SCMP_ACT_ALLOW},
                /* abort() */
                {SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()), SCMP_ACT_ALLOW},
                /* fstat() of glibc 2.33 to 2.38; any other stat by name finds nothing */
                {SCMP_SYS(newfstatat), SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH), SCMP_ACT_ALLOW},
                {SCMP_SYS(newfstatat), SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, 0), SCMP_ACT_ERRNO(ENOENT)},
        };
        int r = 0;
        for (size_t i = 0; !r && i < COUNT_OF(rules) - (by_name ? 2 : 0); i++) /* the last two are about names */
                r = seccomp_rule_add_array(f, rules[i].action, rules[i].call, 1, &rules[i].when);
        return r;
}

int lock_calls(enum jail_profile profile, unsigned *locks, struct err *e)
{
        bool by_name = profile == JAIL_DOCUMENTS && *locks & JAIL_LOCK_FILES;
        if (!(jail_kernel_locks() & JAIL_LOCK_CALLS))
                return 0;
        scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
        int r = f ? seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;
        if (!r) /* a call of another architecture's table, such as 32-bit code makes */
                r = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (!r)
                r = fill_filter(f, by_name);
        if (!r)
                r = fill_narrow(f, by_name);
        if (!r && by_name)
                r = fill_by_name(f);
        if (!r)
                r = seccomp_load(f);
        seccomp_release(f);
        if (r)
                return err_set(e, ERR_UNAVAILABLE, "seccomp refuses: %s", strerror(-r));
        *locks |= JAIL_LOCK_CALLS;
        return 0;
}
