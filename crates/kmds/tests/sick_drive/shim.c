/* A drive that fails: preloaded into the service, it lets calls on chosen files fail with EIO.
 *
 * KMDS_TEST_SICK names a file of rules, read anew at each call; while it is not there the drive is well. A rule a line:
 *
 *     CALL FROM PART
 *
 * CALL is read, write, sync or rename, FROM the first byte of the file that cannot be had, PART a part of its path, or
 * with a $ its end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* As on a network drive, no read is answered without waiting: the service then reads as this library sees it. */
__attribute__((constructor)) static void no_reads_beside_us(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_preadv2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (!getenv("KMDS_TEST_SICK"))
        return;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("the sick drive cannot be set up");
        _exit(99);
    }
}

static int is_meant(const char *path, char *part)
{
    size_t length = strlen(part), whole = strlen(path);
    if (part[length - 1] != '$')
        return strstr(path, part) != NULL;
    length--;
    return whole >= length && !strncmp(path + whole - length, part, length);
}

static int is_sick(const char *call, const char *path, off_t end)
{
    const char *rules = getenv("KMDS_TEST_SICK");
    FILE *file = rules ? fopen(rules, "re") : NULL;
    char name[16], part[256];
    long long from;
    int sick = 0;
    if (!file)
        return 0;
    while (!sick && fscanf(file, "%15s %lld %255s", name, &from, part) == 3)
        sick = !strcmp(name, call) && end > from && is_meant(path, part);
    fclose(file);
    return sick;
}

/* Of an open file, up to `end`. */
static int fails(const char *call, int fd, off_t end)
{
    char link[64], path[4096];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    int sick = 0;
    if (length > 0 && path[0] == '/') {
        path[length] = 0;
        sick = is_sick(call, path, end);
    }
    errno = sick ? EIO : before;
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

int rename(const char *from, const char *to)
{
    if (is_sick("rename", from, 1)) {
        errno = EIO;
        return -1;
    }
    return REAL(rename)(from, to);
}
