/* A drive that fails: preloaded into the service, it lets calls on chosen files fail.
 *
 * KMDS_TEST_SICK names a file of rules, read anew at each call; while it is not there the drive is well. A rule a line:
 *
 *     CALL[=ERROR][*TIMES][@open] FROM PART
 *
 * CALL is read, write, sync, rename or unlink; ERROR the name of what it fails with (else EIO), or HANGS: it returns
 * when the rule is gone; TIMES how often (else always), @open only while this process has the file open. FROM is the
 * first byte of the file that cannot be had, PART a part of its path, or with a $ its end.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <ucontext.h>
#include <unistd.h>

enum { HANGS = 1 << 20 };

static const struct {
    const char *name;
    int number;
} ERRORS[] = {
    {"EACCES", EACCES}, {"EBUSY", EBUSY},   {"EDQUOT", EDQUOT},         {"EINVAL", EINVAL}, {"ENAMETOOLONG", ENAMETOOLONG}, {"ENOSYS", ENOSYS},
    {"ENOTCONN", ENOTCONN}, {"EOPNOTSUPP", EOPNOTSUPP}, {"EROFS", EROFS}, {"ESTALE", ESTALE}, {"ETXTBSY", ETXTBSY}, {"HANGS", HANGS},
};

static int number_of(const char *error)
{
    for (size_t i = 0; error && i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (!strcmp(ERRORS[i].name, error))
            return ERRORS[i].number;
    return EIO;
}

static int is_meant(const char *path, const char *part)
{
    size_t length = strlen(part), whole = strlen(path);
    if (part[length - 1] != '$')
        return strstr(path, part) != NULL;
    length--;
    return whole >= length && !strncmp(path + whole - length, part, length);
}

static int path_of(int fd, char *path, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0 && path[0] == '/';
}

static int is_open(const char *path)
{
    DIR *all = opendir("/proc/self/fd");
    struct dirent *one;
    char other[4096];
    int found = 0;
    while (all && !found && (one = readdir(all)))
        found = path_of(atoi(one->d_name), other, sizeof other) && !strcmp(other, path);
    if (all)
        closedir(all);
    return found;
}

/* How often each rule was obeyed, since the rules were laid down. */
static int may_again(int rule, int times, FILE *file)
{
    static ino_t known;
    static int obeyed[16];
    struct stat about;
    if (times <= 0)
        return 1;
    if (!fstat(fileno(file), &about) && __atomic_exchange_n(&known, about.st_ino, __ATOMIC_SEQ_CST) != about.st_ino)
        memset(obeyed, 0, sizeof obeyed);
    return rule < 16 && __atomic_fetch_add(&obeyed[rule], 1, __ATOMIC_SEQ_CST) < times;
}

/* 0, or the error that this call on this file is to end with, or HANGS. */
static int sickness_now(const char *call, const char *path, off_t end)
{
    const char *rules = getenv("KMDS_TEST_SICK");
    FILE *file = rules ? fopen(rules, "re") : NULL;
    char what[64], part[256];
    long long from;
    int sick = 0;
    if (!file)
        return 0;
    for (int rule = 0; !sick && fscanf(file, "%63s %lld %255s", what, &from, part) == 3; rule++) {
        char *only_open = strstr(what, "@open"), *times = strchr(what, '*'), *error = strchr(what, '=');
        for (char *cut = what; *cut; cut++)
            if (*cut == '@' || *cut == '*' || *cut == '=')
                *cut = 0;
        if (!strcmp(what, call) && end > from && is_meant(path, part) && (!only_open || is_open(path))
            && may_again(rule, times ? atoi(times + 1) : 0, file))
            sick = number_of(error ? error + 1 : NULL);
    }
    fclose(file);
    return sick;
}

static int sickness(const char *call, const char *path, off_t end)
{
    int sick;
    while ((sick = sickness_now(call, path, end)) == HANGS)
        usleep(10000);
    return sick;
}

/* Calls that the service makes itself, without the C library: they are caught on their way into the kernel, and made
 * again with a mark in the half of the third argument that the kernel does not look at. */
static void caught(int signal, siginfo_t *call, void *context)
{
    mcontext_t *at = &((ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    long a = at->gregs[REG_RDI], b = at->gregs[REG_RSI], c = at->gregs[REG_RDX], d = at->gregs[REG_R10];
#else
    long a = at->regs[0], b = at->regs[1], c = at->regs[2], d = at->regs[3];
#endif
    char path[8192];
    long done;
    (void)signal;
    size_t length = path_of((int)a, path, 4096) ? strlen(path) : 0;
    snprintf(path + length, sizeof path - length, "/%s", (const char *)b);
    done = -sickness(call->si_syscall == SYS_unlinkat ? "unlink" : "rename", path, 1);
    if (!done) {
        done = syscall(call->si_syscall, a, b, (c & 0xffffffffL) | (1L << 32), d);
        done = done < 0 ? -errno : done;
    }
#if defined(__x86_64__)
    at->gregs[REG_RAX] = done;
#else
    at->regs[0] = done;
#endif
}

__attribute__((constructor)) static void set_up(void)
{
    const unsigned third = offsetof(struct seccomp_data, args[2]) + 4;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        /* As on a network drive, no read is answered without waiting: the service then reads as this library sees it. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_preadv2, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unlinkat, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, third),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 2),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    struct sigaction act = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (!getenv("KMDS_TEST_SICK"))
        return;
    if (sigaction(SIGSYS, &act, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("the sick drive cannot be set up");
        _exit(99);
    }
}

/* Of an open file, up to `end`. */
static int fails(const char *call, int fd, off_t end)
{
    char path[4096];
    int before = errno, sick = path_of(fd, path, sizeof path) ? sickness(call, path, end) : 0;
    errno = sick ? sick : before;
    return sick;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static off_t here(int fd) { return lseek(fd, 0, SEEK_CUR); }

ssize_t read(int fd, void *into, size_t count)
{
    /* Only files have a place; sockets and pipes are never meant. */
    off_t at = here(fd);
    return at >= 0 && fails("read", fd, at + (off_t)count) ? -1 : REAL(read)(fd, into, count);
}

ssize_t pread64(int fd, void *into, size_t count, off64_t at)
{
    return fails("read", fd, at + (off_t)count) ? -1 : REAL(pread64)(fd, into, count, at);
}

ssize_t write(int fd, const void *from, size_t count)
{
    off_t at = here(fd);
    return at >= 0 && fails("write", fd, at + (off_t)count) ? -1 : REAL(write)(fd, from, count);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at)
{
    return fails("write", fd, at + (off_t)count) ? -1 : REAL(pwrite64)(fd, from, count, at);
}

int fsync(int fd) { return fails("sync", fd, 1) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return fails("sync", fd, 1) ? -1 : REAL(fdatasync)(fd); }
