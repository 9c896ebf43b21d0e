"""Libraries that make calls of the system fail as odd file systems make them fail, compiled when a test needs one."""

import atexit
import errno
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_SOURCE = r"""
/* FAULT_<CALL>=errno makes a call fail for paths that contain FAULT_PATH. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_meant(const char *path) {
    const char *part = getenv("FAULT_PATH");
    return part && path && strstr(path, part) != NULL;
}
static int is_meant_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_meant(path);
}
#define FAIL(call, condition, result) do { \
    const char *code = getenv("FAULT_" call); \
    if (code && (condition)) { errno = atoi(code); return result; } \
} while (0)
#define NEXT(result, name, ...) ((result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

pid_t fork(void) {
    static int forks = 0;
    const char *allowed = getenv("FAULT_FORKS_ALLOWED");
    FAIL("FORK", !allowed || forks++ >= atoi(allowed), -1);
    return NEXT(pid_t, "fork", void)();
}
int flock(int fd, int operation) {
    FAIL("FLOCK", is_meant_fd(fd), -1);
    return NEXT(int, "flock", int, int)(fd, operation);
}
int link(const char *from, const char *to) {
    FAIL("LINK", is_meant(to), -1);
    return NEXT(int, "link", const char *, const char *)(from, to);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    FAIL("LINK", is_meant(to), -1);
    return NEXT(int, "linkat", int, const char *, int, const char *, int)(a, from, b, to, flags);
}
int fsync(int fd) {
    struct stat status;
    FAIL("DIRECTORY_FSYNC", !fstat(fd, &status) && S_ISDIR(status.st_mode) && is_meant_fd(fd), -1);
    return NEXT(int, "fsync", int)(fd);
}
DIR *opendir(const char *path) {
    FAIL("OPENDIR", is_meant(path), NULL);
    return NEXT(DIR *, "opendir", const char *)(path);
}
struct dirent64 *readdir64(DIR *directory) {
    FAIL("READDIR", is_meant_fd(dirfd(directory)), NULL);
    return NEXT(struct dirent64 *, "readdir64", DIR *)(directory);
}
int fstatat(int at, const char *path, struct stat *status, int flags) {
    FAIL("STAT", is_meant(path) || (path[0] != '/' && is_meant_fd(at)), -1);
    return NEXT(int, "fstatat", int, const char *, struct stat *, int)(at, path, status, flags);
}
int fstatat64(int at, const char *path, struct stat64 *status, int flags) {
    FAIL("STAT", is_meant(path), -1);
    return NEXT(int, "fstatat64", int, const char *, struct stat64 *, int)(at, path, status, flags);
}
int stat(const char *path, struct stat *status) {
    FAIL("STAT", is_meant(path), -1);
    return NEXT(int, "stat", const char *, struct stat *)(path, status);
}
int stat64(const char *path, struct stat64 *status) {
    FAIL("STAT", is_meant(path), -1);
    return NEXT(int, "stat64", const char *, struct stat64 *)(path, status);
}
int lstat(const char *path, struct stat *status) {
    FAIL("STAT", is_meant(path), -1);
    return NEXT(int, "lstat", const char *, struct stat *)(path, status);
}
int lstat64(const char *path, struct stat64 *status) {
    FAIL("STAT", is_meant(path), -1);
    return NEXT(int, "lstat64", const char *, struct stat64 *)(path, status);
}
"""


def failing(path: Path | str, **calls: int) -> Mapping[str, str]:
    """
    Return the environment variables that make calls fail in a process that is started with them.

    Parameters
    ----------
    path
        Part of the paths for which they fail.
    calls
        Numbers of errors: of `flock`, `link`, `directory_fsync`, `opendir`, `readdir`, `stat`.
    """
    return {
        "LD_PRELOAD": str(_library()),
        "FAULT_PATH": str(path),
        **{f"FAULT_{call.upper()}": str(number) for call, number in calls.items()},
    }


def forking(allowed: int) -> Mapping[str, str]:
    """Return the environment variables with which a process, and each that it forks, forks so often and no more."""
    variables = {"LD_PRELOAD": str(_library()), "FAULT_FORK": str(errno.EAGAIN)}
    return {**variables, "FAULT_FORKS_ALLOWED": str(allowed)}


@cache
def _library() -> Path:
    """Compile the library, once per process; it is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="preload-"))
    atexit.register(shutil.rmtree, directory)
    library, source = directory / "faults.so", directory / "faults.c"
    source.write_text(_SOURCE, encoding="utf-8")
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library
