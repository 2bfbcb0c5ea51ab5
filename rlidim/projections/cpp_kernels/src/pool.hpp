// Threads that share out numbered tasks. Which thread does a task never changes its result.
#pragma once

#include "common.hpp"

namespace rlidim {

// Run kernel(arguments, 0 .. tasks - 1) on up to `threads` threads, the caller among them.
void run(void (*kernel)(const void*, i64), const void* arguments, i64 tasks, int threads);

}  // namespace rlidim
